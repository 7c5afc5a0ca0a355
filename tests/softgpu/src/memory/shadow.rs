//! What is known about a word of memory: who wrote it last and which of its bytes were ever written, who read it.
//!
//! Both records are one `u64` each. Time is a counter that every barrier and every warp-level synchronisation
//! advances: two accesses are ordered if a barrier of their block, or a synchronisation of their warp, lies between
//! their times. It never runs backwards, so records of older blocks and launches expire by themselves and nothing
//! is cleared between them.
//!
//! ```text
//! 63            24 23    18 17  13 12   8 7      4 3     0
//! | time          | worker | warp | lane | bytes  | flags |    last write
//! | time          | worker | warp | lane |        | flags |    reads since
//! ```

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

pub(crate) const BYTES_ALL: u64 = 0xf;
pub(crate) const TIME_SHIFT: u32 = 24;
const WORKER_SHIFT: u32 = 18;
const WARP_SHIFT: u32 = 13;
const LANE_SHIFT: u32 = 8;
const BYTES_SHIFT: u32 = 4;
pub(crate) const BYTES_MASK: u64 = BYTES_ALL << BYTES_SHIFT;
/// The last write was atomic.
pub(crate) const ATOMIC: u64 = 1;
/// `cp.async` has been issued for this word and not waited for.
pub(crate) const PENDING: u64 = 2;
/// The word's parts have entries of their own.
pub(crate) const FINE: u64 = 4;
/// Of an atomic word: several threads. (In the read record, bit 2 says the same of lanes.)
const SHARED_WRITE: u64 = 8;
const MULTI_LANE: u64 = 1;
const MULTI_WARP: u64 = 2;
const MULTI_BLOCK: u64 = 4;

/// The records of one word.
#[repr(C)]
pub(crate) struct Entry {
    pub w: AtomicU64,
    pub r: AtomicU64,
}

/// What is known of 32 words at once, so that a tile that all warps read is not looked at word by word each time:
/// which of them were written before the horizon, and which have so many readers that one more changes nothing.
#[repr(C)]
pub(crate) struct Line {
    /// The horizon for which `sets` holds.
    stamp: AtomicU64,
    /// Words written before it and read since by several warps (shared) or blocks (global).
    sets: AtomicU64,
}

impl Line {
    #[inline(always)]
    pub(crate) fn knows(&self, horizon: u64, words: u32) -> bool {
        words & !(self.sets.load(Relaxed) as u32) == 0 && self.stamp.load(Relaxed) == horizon
    }

    fn learn(&self, horizon: u64, words: u32) {
        let old = if self.stamp.load(Relaxed) == horizon { self.sets.load(Relaxed) } else { 0 };
        self.sets.store(old | u64::from(words), Relaxed);
        self.stamp.store(horizon, Relaxed);
    }

    /// Something was written: nothing is known any more.
    #[inline(always)]
    pub(crate) fn forget(&self) {
        self.stamp.store(u64::MAX, Relaxed);
    }
}

/// Who accesses, and what is ordered before it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Actor {
    /// Worker and warp, in place for a record; a lane is added by `| lane << 8`.
    pub who: u64,
    pub now: u64,
    /// Records older than this are of earlier launches (global) or of earlier barrier intervals (shared).
    pub horizon: u64,
    /// Writes older than this are not of this memory at all: shared memory belongs to one block.
    pub floor: u64,
    pub block_start: u64,
    pub last_barrier: u64,
    pub warp_sync: u64,
}

impl Actor {
    pub(crate) fn id(worker: u32, warp: u32) -> u64 {
        u64::from(worker) << WORKER_SHIFT | u64::from(warp) << WARP_SHIFT
    }

    pub(crate) fn record(&self, lane: u32) -> u64 {
        self.now << TIME_SHIFT | self.who | u64::from(lane) << LANE_SHIFT
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Access {
    Read,
    Write,
    Atomic,
    /// Volatile, acquire, release: takes part in protocols that this model does not follow.
    Sync,
}

/// Two accesses that nothing orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Conflict {
    Unwritten,
    /// The word waits for an asynchronous copy.
    Pending(u64),
    /// The record of the write that this access races with.
    WithWrite(u64),
    WithRead(u64),
}

pub(crate) fn time(r: u64) -> u64 {
    r >> TIME_SHIFT
}

pub(crate) fn worker(r: u64) -> u32 {
    (r >> WORKER_SHIFT) as u32 & 63
}

pub(crate) fn warp(r: u64) -> u32 {
    (r >> WARP_SHIFT) as u32 & 31
}

pub(crate) fn lane(r: u64) -> u32 {
    (r >> LANE_SHIFT) as u32 & 31
}

const WORKER_MASK: u64 = 63 << WORKER_SHIFT;
const WARP_MASK: u64 = 31 << WARP_SHIFT;
const LANE_MASK: u64 = 31 << LANE_SHIFT;

impl Entry {
    pub(crate) fn written(&self) -> u64 {
        let w = self.w.load(Relaxed);
        if w & PENDING != 0 { 0 } else { (w & BYTES_MASK) >> BYTES_SHIFT }
    }

    pub(crate) fn set_host_written(&self, bytes: u64) {
        self.w.store(bytes << BYTES_SHIFT, Relaxed);
    }

    pub(crate) fn add_host_written(&self, bytes: u64) {
        // what the host does is ordered with every launch: the word is whole again
        self.w.store((self.written() | bytes) << BYTES_SHIFT, Relaxed);
    }

    pub(crate) fn remove_written(&self, bytes: u64) {
        self.w.fetch_and(!(bytes << BYTES_SHIFT), Relaxed);
    }

    /// Nobody's write of this record conflicts with `me` reading or writing now.
    fn ordered(w: u64, me: &Actor, lane: u32) -> bool {
        let t = time(w);
        if t < me.horizon {
            return true;
        }
        let same_block = (w ^ me.who) & WORKER_MASK == 0 && t >= me.block_start;
        if !same_block {
            return false;
        }
        if t < me.last_barrier {
            return true;
        }
        if (w ^ me.who) & WARP_MASK != 0 {
            return false;
        }
        t < me.warp_sync || (w & LANE_MASK) >> LANE_SHIFT == u64::from(lane)
    }

    /// Reads whole words in a row. `several`: not only this lane of the warp does. Returns how many were in order;
    /// the one after them needs a closer look.
    #[inline(always)]
    pub(crate) fn read_row(
        row: &[Entry],
        line: &Line,
        first: u64,
        me: &Actor,
        lane: u32,
        several: bool,
        shared: bool,
    ) -> usize {
        let low = me.floor << TIME_SHIFT;
        let span = me.horizon.wrapping_sub(me.floor) << TIME_SHIFT;
        let horizon = me.horizon << TIME_SHIFT;
        let mine = me.record(lane) | if several { MULTI_LANE } else { 0 };
        let full = if shared { MULTI_WARP } else { MULTI_BLOCK };
        let mut learnt = 0u32;
        for (k, e) in row.iter().enumerate() {
            let (w, r) = (e.w.load(Relaxed), e.r.load(Relaxed));
            let in_order = w.wrapping_sub(low) < span && w & (BYTES_MASK | PENDING | FINE) == BYTES_MASK;
            if !in_order {
                return k;
            }
            if r < horizon {
                e.r.store(mine, Relaxed);
            } else if r & full != 0 {
                learnt |= 1u32.wrapping_shl(first as u32 + k as u32);
            } else {
                e.note_read(me, lane);
                if several {
                    e.note_read(me, lane ^ 1);
                }
            }
        }
        if learnt != 0 {
            line.learn(me.horizon, learnt);
        }
        row.len()
    }

    /// Reads the bytes `bytes` of this word.
    #[inline(always)]
    pub(crate) fn read(&self, me: &Actor, lane: u32, bytes: u64) -> Result<(), Conflict> {
        let w = self.w.load(Relaxed);
        if time(w) < me.horizon && time(w) >= me.floor && w & (BYTES_MASK | PENDING | FINE) == BYTES_MASK {
            self.note_read(me, lane);
            return Ok(());
        }
        self.read_slow(me, lane, bytes, w)
    }

    #[cold]
    #[inline(never)]
    fn read_slow(&self, me: &Actor, lane: u32, bytes: u64, w: u64) -> Result<(), Conflict> {
        if w & PENDING != 0 && time(w) >= me.floor {
            return Err(Conflict::Pending(w));
        }
        if (w >> BYTES_SHIFT) & bytes != bytes || time(w) < me.floor {
            return Err(Conflict::Unwritten);
        }
        if w & SHARED_WRITE != 0 {
            // several threads' atomics: only a barrier orders them all
            let same_block = (w ^ me.who) & WORKER_MASK == 0 && time(w) >= me.block_start;
            if time(w) >= me.horizon && !(same_block && time(w) < me.last_barrier) {
                return Err(Conflict::WithWrite(w));
            }
        } else if !Self::ordered(w, me, lane) {
            return Err(Conflict::WithWrite(w));
        }
        self.note_read(me, lane);
        Ok(())
    }

    #[inline(always)]
    pub(crate) fn note_read(&self, me: &Actor, lane: u32) {
        let r = self.r.load(Relaxed);
        let mine = me.record(lane);
        if time(r) < me.horizon {
            self.r.store(mine, Relaxed);
            return;
        }
        if r & MULTI_BLOCK != 0 {
            return;
        }
        let same_block = (r ^ me.who) & WORKER_MASK == 0 && time(r) >= me.block_start;
        let next = if !same_block {
            r | MULTI_BLOCK
        } else if time(r) < me.last_barrier {
            mine
        } else if (r ^ me.who) & WARP_MASK != 0 {
            r | MULTI_WARP
        } else if r & MULTI_WARP != 0 {
            return;
        } else if time(r) < me.warp_sync {
            mine
        } else if (r ^ mine) & LANE_MASK != 0 {
            r | MULTI_LANE
        } else {
            return;
        };
        if next != r {
            self.r.store(next, Relaxed);
        }
    }

    /// Whether a write now would race: with an earlier write, or with a read.
    #[inline(always)]
    pub(crate) fn check_write(&self, me: &Actor, lane: u32, atomic: bool) -> Result<(), Conflict> {
        let (w, r) = (self.w.load(Relaxed), self.r.load(Relaxed));
        if time(w) < me.horizon && time(r) < me.horizon {
            return Ok(());
        }
        Self::check_write_slow(me, lane, atomic, w, r)
    }

    #[cold]
    #[inline(never)]
    fn check_write_slow(me: &Actor, lane: u32, atomic: bool, w: u64, r: u64) -> Result<(), Conflict> {
        if w & PENDING != 0 && time(w) >= me.block_start.max(me.floor) {
            return Err(Conflict::Pending(w));
        }
        if w & SHARED_WRITE != 0 && !atomic {
            let same_block = (w ^ me.who) & WORKER_MASK == 0 && time(w) >= me.block_start;
            if time(w) >= me.horizon && !(same_block && time(w) < me.last_barrier) {
                return Err(Conflict::WithWrite(w));
            }
        } else if !(Self::ordered(w, me, lane) || atomic && w & ATOMIC != 0) {
            return Err(Conflict::WithWrite(w));
        }
        if time(r) >= me.horizon {
            if r & MULTI_BLOCK != 0 {
                return Err(Conflict::WithRead(r));
            }
            let same_block = (r ^ me.who) & WORKER_MASK == 0 && time(r) >= me.block_start;
            let free = same_block
                && (time(r) < me.last_barrier
                    || (r & MULTI_WARP == 0
                        && (r ^ me.who) & WARP_MASK == 0
                        && (time(r) < me.warp_sync
                            || (r & MULTI_LANE == 0 && (r & LANE_MASK) >> LANE_SHIFT == u64::from(lane)))));
            if !free {
                return Err(Conflict::WithRead(r));
            }
        }
        Ok(())
    }

    /// A plain write of a whole word.
    #[inline(always)]
    pub(crate) fn note_write(&self, record: u64) {
        self.w.store(record | BYTES_MASK, Relaxed);
    }

    /// A write of some bytes: `base` is the time before which nothing counts as written (shared memory).
    pub(crate) fn note_write_bytes(&self, record: u64, bytes: u64, base: u64) {
        let w = self.w.load(Relaxed);
        let old = if time(w) < base || w & PENDING != 0 { 0 } else { w & BYTES_MASK };
        self.w.store(record | old | bytes << BYTES_SHIFT | w & FINE, Relaxed);
    }

    pub(crate) fn note_atomic(&self, me: &Actor, lane: u32) {
        let w = self.w.load(Relaxed);
        let several = w & ATOMIC != 0
            && (w & SHARED_WRITE != 0 && time(w) >= me.horizon || !Self::ordered(w, me, lane));
        let flag = if several { SHARED_WRITE } else { 0 };
        self.w.store(me.record(lane) | BYTES_MASK | ATOMIC | flag, Relaxed);
    }

    /// The earlier write was made by another lane of the same instruction.
    pub(crate) fn just_written_by_other(&self, me: &Actor, lane: u32) -> bool {
        let w = self.w.load(Relaxed);
        time(w) == me.now
            && (w ^ me.who) & (WORKER_MASK | WARP_MASK) == 0
            && (w & LANE_MASK) >> LANE_SHIFT != u64::from(lane)
    }
}
