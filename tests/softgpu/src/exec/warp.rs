//! The state of a warp and of the block it belongs to.

use super::code::{Code, Inst};
use crate::counters::Tally;
use crate::memory::shadow::{Actor, Entry, Line};
use crate::memory::{Allocation, Snapshot};
use crate::sched::Launch;

/// What a kernel did wrong.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    /// The `CUresult` that the launch ends with.
    pub result: u32,
    pub message: String,
    /// The lane to blame, if there is one.
    pub lane: Option<u32>,
    /// Where, if it is not the instruction being run.
    pub pc: Option<u32>,
}

impl Fault {
    #[cold]
    pub(crate) fn new(result: u32, lane: u32, message: impl Into<String>) -> Box<Fault> {
        Box::new(Fault { result, message: message.into(), lane: Some(lane), pc: None })
    }
}

pub(crate) const ILLEGAL_ADDRESS: u32 = 700;
pub(crate) const LAUNCH_TIMEOUT: u32 = 702;
pub(crate) const ASSERT: u32 = 710;
pub(crate) const ILLEGAL_INSTRUCTION: u32 = 715;
pub(crate) const MISALIGNED: u32 = 716;
pub(crate) const LAUNCH_FAILED: u32 = 719;

pub(crate) type Step<T> = Result<T, Box<Fault>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    Ready,
    /// `bar.warp.sync`: for these lanes.
    Warp(u32),
    /// A shuffle or vote: for these lanes, at the same instruction.
    Lanes(u32),
    /// A barrier of the block.
    Barrier(u32),
}

/// Lanes that run together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group {
    pub pc: u32,
    pub mask: u32,
    pub wait: Wait,
}

/// An asynchronous copy that was issued and has not landed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flight {
    pub to: u32,
    pub len: u32,
    pub data: [u8; 16],
    /// Groups committed by this thread before it.
    pub group: u32,
    pub lane: u32,
}

pub(crate) struct Warp {
    pub file: *mut u8,
    pub index: u32,
    /// Lanes that have not exited.
    pub live: u32,
    pub groups: Vec<Group>,
    pub sync_time: u64,
    pub executed: u64,
    /// Local memory: words of 32 lanes, and for each byte the lanes that wrote it.
    pub local: Vec<u32>,
    pub local_written: Vec<u32>,
    pub flights: Vec<Flight>,
    /// Groups of asynchronous copies each lane has committed.
    pub committed: [u32; 32],
    /// Lanes stored something while others of the warp waited at a barrier.
    pub worked_apart: bool,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Barrier {
    pub threads: u32,
    pub warps: u32,
    pub count: u32,
    /// Threads whose predicate was true.
    pub trues: u32,
    pub active: bool,
}

/// A block's memory and clocks, and what its warps need of the launch.
pub(crate) struct Block<'a> {
    pub launch: &'a Launch,
    pub code: &'a Code,
    pub insts: &'a [Inst],
    pub index: [u32; 3],
    pub linear: u64,
    pub shared: *mut u8,
    pub shared_shadow: *const Entry,
    pub shared_fine: *const Entry,
    pub shared_lines: *const Line,
    /// Placed bytes of shared memory, and of them the dynamic ones.
    pub shared_size: u32,
    pub dynamic_base: u32,
    pub snapshot: Snapshot,
    /// The allocation found last.
    pub recent: *const Allocation,
    pub worker: u32,
    pub clock: u64,
    pub block_start: u64,
    pub last_barrier: u64,
    pub barriers: [Barrier; 16],
    pub live_threads: u32,
    /// A thread of the block has synchronised with other blocks.
    pub acquired: bool,
    pub checks: bool,
    pub tally: Option<Box<Tally>>,
    pub used_local: bool,
    pub region: usize,
}

impl Block<'_> {
    /// Who accesses shared memory.
    #[inline(always)]
    pub(crate) fn shared_actor(&self, w: &Warp) -> Actor {
        Actor {
            who: Actor::id(self.worker, w.index),
            now: self.clock,
            horizon: self.last_barrier,
            floor: self.block_start,
            block_start: self.block_start,
            last_barrier: self.last_barrier,
            warp_sync: w.sync_time,
        }
    }

    #[inline(always)]
    pub(crate) fn global_actor(&self, w: &Warp) -> Actor {
        Actor {
            who: Actor::id(self.worker, w.index),
            now: self.clock,
            horizon: self.launch.start_time,
            floor: 0,
            block_start: self.block_start,
            last_barrier: self.last_barrier,
            warp_sync: w.sync_time,
        }
    }

    /// Everything before is ordered before everything after, for this warp.
    pub(crate) fn warp_synchronised(&mut self, w: &mut Warp) {
        self.clock += 1;
        w.sync_time = self.clock;
    }

    pub(crate) fn block_synchronised(&mut self) {
        self.clock += 1;
        self.last_barrier = self.clock;
    }
}

/// The threads of a mask, for reports.
pub(crate) fn lanes_text(mask: u32) -> String {
    let mut parts = Vec::new();
    let mut i = 0;
    while i < 32 {
        if mask >> i & 1 == 1 {
            let first = i;
            while i < 31 && mask >> (i + 1) & 1 == 1 {
                i += 1;
            }
            parts.push(if first == i { format!("{first}") } else { format!("{first}-{i}") });
        }
        i += 1;
    }
    if parts.len() == 1 && mask.count_ones() == 1 {
        format!("lane {}", parts[0])
    } else {
        format!("lanes {}", parts.join(", "))
    }
}
