//! Counters of what kernels do.

use crate::exec::code::Mem;

/// What one worker counts during a launch.
pub(crate) struct Tally {
    pub warps: Vec<u64>,
    pub threads: Vec<u64>,
    pub pc: u32,
    pub blocks: u64,
    pub barriers: u64,
}

impl Tally {
    pub(crate) fn new(launch: &crate::sched::Launch, _worker: u32) -> Tally {
        let n = launch.code.insts.len();
        Tally { warps: vec![0; n], threads: vec![0; n], pc: 0, blocks: 0, barriers: 0 }
    }

    pub(crate) fn finish(self, _launch: &crate::sched::Launch) {}

    #[inline(always)]
    pub(crate) fn executed(&mut self, pc: u32, m: u32) {
        self.pc = pc;
        self.warps[pc as usize] += 1;
        self.threads[pc as usize] += u64::from(m.count_ones());
    }

    pub(crate) fn shared(&mut self, _addrs: &[u64], _m: u32, _mem: &Mem, _store: bool) {}

    pub(crate) fn global(&mut self, _addrs: &[u64], _m: u32, _mem: &Mem, _store: bool) {}
}
