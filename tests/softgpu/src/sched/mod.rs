//! A launch: blocks over host threads, warps of a block in turns.

mod block;
mod pool;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::*};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use crate::config::{Order, config};
use crate::exec::code::Code;
use crate::exec::warp::Fault;
use crate::memory::{Snapshot, Space};

pub(crate) use pool::launch;

/// One launch of a kernel.
pub(crate) struct Launch {
    pub code: Arc<Code>,
    pub grid: [u32; 3],
    pub block: [u32; 3],
    pub dynamic: u32,
    pub params: Vec<u8>,
    pub space: &'static Space,
    pub snapshot: Snapshot,
    pub start_time: u64,
    pub order: Order,
    pub checks: bool,
    pub count: bool,
    pub budget: u64,
    pub blocks: u64,
    pub number: u64,
    next: AtomicU64,
    stop: AtomicBool,
    fault: Mutex<Option<(u32, String)>>,
    pub tally: Mutex<Option<crate::counters::Tally>>,
    /// For each worker: when it began which block.
    log: Vec<Mutex<Vec<(u64, u64)>>>,
    /// For each worker: its clock at the last __threadfence.
    fences: Vec<AtomicU64>,
    /// The latest clock of all workers.
    end_time: AtomicU64,
    began: Instant,
}

impl Launch {
    pub(crate) fn new(
        code: Arc<Code>,
        grid: [u32; 3],
        block: [u32; 3],
        dynamic: u32,
        params: Vec<u8>,
        space: &'static Space,
        start_time: u64,
        number: u64,
    ) -> Launch {
        let c = config();
        let workers = c.threads.load(Relaxed) as usize;
        Launch {
            code,
            grid,
            block,
            dynamic,
            params,
            space,
            snapshot: space.snapshot(),
            start_time,
            order: c.order(),
            checks: c.checks.load(Relaxed),
            count: c.counters.load(Relaxed),
            budget: c.budget.load(Relaxed),
            blocks: grid.iter().map(|n| u64::from(*n)).product(),
            number,
            next: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            fault: Mutex::new(None),
            tally: Mutex::new(None),
            log: (0..workers).map(|_| Mutex::new(Vec::new())).collect(),
            fences: (0..workers).map(|_| AtomicU64::new(0)).collect(),
            end_time: AtomicU64::new(start_time + 1),
            began: Instant::now(),
        }
    }

    pub(crate) fn threads(&self) -> u32 {
        self.block.iter().product()
    }

    /// A thread's coordinates from its number in the block.
    pub(crate) fn thread(&self, linear: u32) -> [u32; 3] {
        let [x, y, _] = self.block;
        [linear % x, linear / x % y, linear / x / y]
    }

    pub(crate) fn block_index(&self, linear: u64) -> [u32; 3] {
        let (x, y) = (u64::from(self.grid[0]), u64::from(self.grid[1]));
        [(linear % x) as u32, (linear / x % y) as u32, (linear / x / y) as u32]
    }

    /// The lanes that a warp has.
    pub(crate) fn lanes(&self, warp: u32) -> u32 {
        let left = self.threads() - warp * 32;
        if left >= 32 { u32::MAX } else { (1 << left) - 1 }
    }

    /// The block that a worker ran at a time.
    pub(crate) fn block_at(&self, worker: u32, time: u64) -> Option<[u32; 3]> {
        let log = self.log.get(worker as usize)?.lock().unwrap_or_else(|e| e.into_inner());
        let i = log.partition_point(|l| l.0 <= time);
        let (_, linear) = *log.get(i.checked_sub(1)?)?;
        Some(self.block_index(linear))
    }

    fn began_block(&self, worker: u32, time: u64, linear: u64) {
        self.log[worker as usize].lock().unwrap_or_else(|e| e.into_inner()).push((time, linear));
    }

    pub(crate) fn fence(&self, worker: u32, time: u64) {
        self.fences[worker as usize].store(time + 1, SeqCst);
    }

    /// Whether a worker's block has executed a __threadfence since this time.
    pub(crate) fn fenced(&self, worker: u32, time: u64) -> bool {
        self.fences.get(worker as usize).is_some_and(|f| f.load(SeqCst) > time)
    }

    pub(crate) fn nanoseconds(&self) -> u64 {
        self.began.elapsed().as_nanos() as u64
    }

    /// The next block to run, in the order asked for.
    fn take(&self) -> Option<u64> {
        if self.stop.load(Relaxed) {
            return None;
        }
        let i = self.next.fetch_add(1, Relaxed);
        if i >= self.blocks {
            return None;
        }
        Some(match self.order {
            Order::Forward => i,
            Order::Reverse => self.blocks - 1 - i,
            Order::Random(seed) => {
                // a permutation: multiples of a number that shares no factor with the count
                let n = self.blocks;
                let mut step = (mix(seed) % n.max(2)) | 1;
                while gcd(step, n) != 1 {
                    step += 2;
                }
                ((u128::from(i) * u128::from(step) + u128::from(mix(seed ^ 77) % n)) % u128::from(n)) as u64
            }
        })
    }

    /// The first error of the launch wins.
    fn fail(&self, fault: &Fault, pc: u32, block: u64, warp: u32) {
        self.stop.store(true, SeqCst);
        let mut slot = self.fault.lock().unwrap_or_else(|e| e.into_inner());
        if slot.is_none() {
            *slot = Some((fault.result, self.describe(fault, pc, block, warp)));
        }
    }

    fn describe(&self, fault: &Fault, pc: u32, block: u64, warp: u32) -> String {
        let b = self.block_index(block);
        let code = &self.code;
        let mut text =
            format!("{}\n  kernel {}, block ({}, {}, {})", fault.message, code.name, b[0], b[1], b[2]);
        if let Some(lane) = fault.lane {
            let t = self.thread(warp * 32 + lane);
            text += &format!(", thread ({}, {}, {})", t[0], t[1], t[2]);
        }
        text += &format!(" (warp {warp})");
        if let Some(info) = code.infos.get(pc as usize) {
            text += &format!("\n  PTX line {}: {}", info.line, code.source.line(info.line));
            if let Some((file, line)) = info.loc {
                text += &format!("\n  at {}:{line}", code.source.file(file));
            }
        }
        text
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// A scrambled number: the step of splitmix64.
pub(crate) fn mix(x: u64) -> u64 {
    let mut z = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}
