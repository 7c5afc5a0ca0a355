//! One block from its first instruction to its last.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};

use super::{Launch, mix};
use crate::config::Order;
use crate::counters::Tally;
use crate::exec::code::{Code, Special};
use crate::exec::exchange;
use crate::exec::ops::Op;
use crate::exec::warp::*;
use crate::exec::{Outcome, run_warp};
use crate::memory::{Entry, Line};

/// Zeroed memory, aligned to a register line, that grows and is kept.
struct Buffer {
    at: *mut u8,
    size: usize,
}

// SAFETY: a buffer is owned by one worker at a time.
unsafe impl Send for Buffer {}

impl Buffer {
    const fn new() -> Buffer {
        Buffer { at: std::ptr::null_mut(), size: 0 }
    }

    fn layout(size: usize) -> Layout {
        Layout::from_size_align(size, 128).expect("a buffer's layout")
    }

    /// At least `size` bytes; true if they are new, hence zero.
    fn grow(&mut self, size: usize) -> bool {
        let size = size.max(128);
        if size <= self.size {
            return false;
        }
        self.release();
        // SAFETY: the size is above zero.
        self.at = unsafe { alloc_zeroed(Self::layout(size)) };
        if self.at.is_null() {
            handle_alloc_error(Self::layout(size));
        }
        self.size = size;
        true
    }

    fn release(&mut self) {
        if self.size > 0 {
            // SAFETY: allocated by `grow` with this layout.
            unsafe { dealloc(self.at, Self::layout(self.size)) };
            self.size = 0;
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.release();
    }
}

/// What a worker keeps between blocks and launches.
pub(crate) struct Worker {
    pub index: u32,
    files: Buffer,
    shared: Buffer,
    shadow: Buffer,
    fine: Buffer,
    lines: Buffer,
    warps: Vec<Warp>,
    random: u64,
}

// SAFETY: the pointers in `warps` go into `files`, which the worker owns.
unsafe impl Send for Worker {}

impl Worker {
    pub(crate) fn new(index: u32) -> Worker {
        Worker {
            index,
            files: Buffer::new(),
            shared: Buffer::new(),
            shadow: Buffer::new(),
            fine: Buffer::new(),
            lines: Buffer::new(),
            warps: Vec::new(),
            random: 0,
        }
    }

    fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(1);
        mix(self.random)
    }

    /// Runs blocks of a launch until there are no more.
    pub(crate) fn run(&mut self, launch: &Launch) {
        let code = &*launch.code;
        let threads = launch.threads();
        let warps = threads.div_ceil(32);
        let file_bytes = code.file_bytes.next_multiple_of(128);
        self.files.grow(file_bytes * warps as usize);
        let (dynamic_base, shared_size) = shared_layout(code, launch.dynamic);
        self.shared.grow(shared_size as usize + 64);
        self.shadow.grow((shared_size as usize / 4 + 16) * std::mem::size_of::<Entry>());
        self.lines.grow((shared_size as usize / 128 + 2) * std::mem::size_of::<Line>());
        self.fine.grow((shared_size as usize + 64) * std::mem::size_of::<Entry>());
        if let Order::Random(seed) = launch.order {
            self.random = mix(seed ^ launch.number << 8 ^ u64::from(self.index));
        }
        while self.warps.len() < warps as usize {
            self.warps.push(Warp {
                file: std::ptr::null_mut(),
                index: self.warps.len() as u32,
                live: 0,
                groups: Vec::with_capacity(4),
                sync_time: 0,
                executed: 0,
                local: Vec::new(),
                local_written: Vec::new(),
                flights: Vec::new(),
                committed: [0; 32],
                worked_apart: false,
            });
        }
        for (i, w) in self.warps.iter_mut().enumerate().take(warps as usize) {
            // SAFETY: the buffer has room for all files.
            w.file = unsafe { self.files.at.add(i * file_bytes) };
            if code.local_bytes > 0 {
                w.local.resize((code.local_bytes as usize).div_ceil(4) * 32, 0);
                w.local_written.clear();
                w.local_written.resize(code.local_bytes as usize, 0);
            }
            // SAFETY: the file is this warp's.
            unsafe { set_up(w.file, launch, i as u32, dynamic_base, shared_size) };
        }
        let mut block = Block {
            launch,
            code,
            insts: &code.insts,
            index: [0; 3],
            linear: 0,
            shared: self.shared.at,
            shared_shadow: self.shadow.at.cast(),
            shared_fine: self.fine.at.cast(),
            shared_lines: self.lines.at.cast(),
            shared_size,
            dynamic_base,
            snapshot: launch.snapshot.clone(),
            recent: std::ptr::null(),
            worker: self.index,
            clock: launch.start_time + 1,
            block_start: 0,
            last_barrier: 0,
            barriers: [Barrier::default(); 16],
            live_threads: threads,
            acquired: false,
            checks: launch.checks,
            tally: launch.count.then(|| Box::new(Tally::new(launch))),
            used_local: false,
            region: 0,
        };
        while let Some(linear) = launch.take() {
            if let Err((fault, pc, warp)) = self.run_block(&mut block, linear) {
                launch.fail(&fault, pc, linear, warp);
                break;
            }
        }
        launch.end_time.fetch_max(block.clock + 1, std::sync::atomic::Ordering::SeqCst);
        if let Some(t) = block.tally.take() {
            t.finish(launch);
        }
    }

    fn run_block(&mut self, b: &mut Block<'_>, linear: u64) -> Result<(), (Box<Fault>, u32, u32)> {
        let launch = b.launch;
        let code = b.code;
        let n = launch.threads().div_ceil(32) as usize;
        b.linear = linear;
        b.index = launch.block_index(linear);
        b.clock += 1;
        b.block_start = b.clock;
        b.last_barrier = b.clock;
        b.live_threads = launch.threads();
        b.acquired = false;
        b.barriers = [Barrier::default(); 16];
        launch.began_block(self.index, b.clock, linear);
        if !b.checks && b.shared_size > 0 {
            // without the shadow nobody would notice an unwritten read: show it as the hardware might, as garbage
            // SAFETY: the buffer has at least this size.
            unsafe { std::ptr::write_bytes(self.shared.at, 0xff, b.shared_size as usize) };
        }
        if let Some(t) = &mut b.tally {
            t.blocks += 1;
        }
        for (i, w) in self.warps.iter_mut().enumerate().take(n) {
            w.live = launch.lanes(i as u32);
            w.groups.clear();
            w.groups.push(Group { pc: 0, mask: w.live, wait: Wait::Ready });
            w.sync_time = b.clock;
            w.executed = 0;
            w.worked_apart = false;
            w.flights.clear();
            w.committed = [0; 32];
            if b.used_local {
                w.local_written.fill(0);
            }
            // SAFETY: places are within the file.
            unsafe {
                std::ptr::write_bytes(w.file.add(code.valid.0 as usize), 0, code.valid.1 as usize);
                for (at, s, wide) in &code.specials {
                    if let Special::Ctaid(d) = s {
                        fill(w.file, *at, u64::from(b.index[*d as usize]), *wide);
                    }
                }
            }
        }
        let mut state = vec![Outcome::Yield; n];
        let mut order: Vec<usize> = (0..n).collect();
        if launch.order == Order::Reverse {
            order.reverse();
        }
        let random = matches!(launch.order, Order::Random(_));
        loop {
            if random {
                for i in (1..n).rev() {
                    let j = self.next_random() as usize % (i + 1);
                    order.swap(i, j);
                }
            }
            let mut ran = false;
            for &i in &order {
                if state[i] != Outcome::Yield {
                    continue;
                }
                ran = true;
                let fuel = if random { 1 + self.next_random() % 400 } else { 1 << 16 };
                let w = &mut self.warps[i];
                let fuel = fuel.min(launch.budget.saturating_sub(w.executed).max(1));
                match run_warp(b, w, fuel) {
                    Ok(o) => state[i] = o,
                    Err((f, pc)) => return Err((f, pc, i as u32)),
                }
                if w.executed >= launch.budget && state[i] == Outcome::Yield {
                    let g = w.groups[0];
                    let text = format!(
                        "endless loop: a warp ran {} instructions and is not done (SOFTGPU_BUDGET)",
                        w.executed
                    );
                    let f = Fault::new(LAUNCH_TIMEOUT, g.mask.trailing_zeros() & 31, text);
                    return Err((f, g.pc, i as u32));
                }
                if state[i] != Outcome::Yield {
                    release(b, &mut self.warps[..n], &mut state);
                }
            }
            if !ran {
                if state.iter().all(|s| *s == Outcome::Finished) {
                    return Ok(());
                }
                let (f, pc, warp) = deadlock(b, &self.warps[..n]);
                return Err((f, pc, warp));
            }
            if launch.stop.load(std::sync::atomic::Ordering::Relaxed) {
                return Ok(());
            }
        }
    }
}

/// Where dynamic shared memory begins, and where all of it ends.
pub(crate) fn shared_layout(code: &Code, dynamic: u32) -> (u32, u32) {
    let base = code.shared_placed.next_multiple_of(16) + if code.shared_vars.is_empty() { 0 } else { 1024 };
    (base, base + dynamic)
}

/// # Safety
/// `at` is a place of this width in the file.
unsafe fn fill(file: *mut u8, at: u32, v: u64, wide: bool) {
    // SAFETY: the caller's word.
    unsafe {
        if wide {
            *file.add(at as usize).cast::<[u64; 32]>() = [v; 32];
        } else {
            *file.add(at as usize).cast::<[u32; 32]>() = [v as u32; 32];
        }
    }
}

/// Constants and special registers, which stay what they are for the whole launch.
///
/// # Safety
/// `file` is a warp's register file of the launch's code.
unsafe fn set_up(file: *mut u8, launch: &Launch, warp: u32, dynamic_base: u32, shared_size: u32) {
    let code = &*launch.code;
    // SAFETY: places are within the file.
    unsafe {
        for (at, v, wide, pred) in &code.consts {
            if *pred {
                *file.add(*at as usize).cast::<u32>() = *v as u32;
            } else {
                fill(file, *at, *v, *wide);
            }
        }
        for (at, s, wide) in &code.specials {
            let each = |f: &dyn Fn(u32) -> u32| {
                for l in 0..32u32 {
                    let v = f(l);
                    if *wide {
                        *file.add(*at as usize).cast::<u64>().add(l as usize) = u64::from(v);
                    } else {
                        *file.add(*at as usize).cast::<u32>().add(l as usize) = v;
                    }
                }
            };
            match *s {
                Special::Tid(d) => each(&|l| launch.thread(warp * 32 + l)[d as usize]),
                Special::Ntid(d) => each(&|_| launch.block[d as usize]),
                Special::Ctaid(_) => {}
                Special::Nctaid(d) => each(&|_| launch.grid[d as usize]),
                Special::LaneId => each(&|l| l),
                Special::WarpId => each(&|_| warp),
                Special::NwarpId => each(&|_| launch.threads().div_ceil(32)),
                Special::SmId | Special::Zero => each(&|_| 0),
                Special::NsmId => each(&|_| 1),
                Special::GridId => each(&|_| launch.number as u32),
                Special::LaneMaskEq => each(&|l| 1 << l),
                Special::LaneMaskLe => each(&|l| ((2u64 << l) - 1) as u32),
                Special::LaneMaskLt => each(&|l| (1 << l) - 1),
                Special::LaneMaskGe => each(&|l| !((1u32 << l) - 1)),
                Special::LaneMaskGt => each(&|l| !(((2u64 << l) - 1) as u32)),
                Special::DynamicShared => each(&|_| launch.dynamic),
                Special::TotalShared => each(&|_| code.shared_packed + launch.dynamic),
                Special::DynamicSharedBase => each(&|_| dynamic_base),
                Special::Param(off, bytes, signed) => {
                    let mut raw = [0u8; 8];
                    let (off, n) = (off as usize, bytes as usize);
                    raw[..n].copy_from_slice(&launch.params[off..off + n]);
                    let mut v = u64::from_le_bytes(raw);
                    if signed {
                        let shift = 64 - 8 * n as u32;
                        v = ((v << shift) as i64 >> shift) as u64;
                    }
                    fill(file, *at, v, *wide);
                }
            }
        }
    }
    let _ = shared_size;
}

/// Lets the threads of every complete barrier go on.
fn release(b: &mut Block<'_>, warps: &mut [Warp], state: &mut [Outcome]) {
    for id in 0..16 {
        let bar = b.barriers[id];
        if !bar.active {
            continue;
        }
        let complete = if bar.count == 0 { bar.threads >= b.live_threads } else { bar.warps >= bar.count };
        if !complete {
            continue;
        }
        b.block_synchronised();
        let now = b.clock;
        for (w, s) in warps.iter_mut().zip(state.iter_mut()) {
            let file = w.file;
            let mut released = false;
            for g in &mut w.groups {
                if g.wait != Wait::Barrier(id as u32) {
                    continue;
                }
                let i = &b.insts[g.pc as usize];
                if i.op == Op::BarrierReduce {
                    let (yes, n) = (bar.trues, bar.threads);
                    // SAFETY: the result is a line, or a predicate.
                    unsafe {
                        if i.x == 0 {
                            let d = file.add(i.d as usize).cast::<u32>();
                            for l in 0..32 {
                                if g.mask >> l & 1 == 1 {
                                    *d.add(l) = yes;
                                }
                            }
                        } else {
                            let truth = if i.x == 1 { yes == n } else { yes > 0 };
                            let p = file.add(i.d as usize).cast::<u32>();
                            *p = *p & !g.mask | if truth { g.mask } else { 0 };
                        }
                    }
                }
                g.pc += 1;
                g.wait = Wait::Ready;
                released = true;
            }
            if released {
                w.sync_time = now;
                if *s == Outcome::Blocked {
                    *s = Outcome::Yield;
                }
            }
        }
        b.barriers[id] = Barrier::default();
        if let Some(t) = &mut b.tally {
            t.barriers += 1;
        }
    }
}

/// All warps wait, and nothing will come.
fn deadlock(b: &Block<'_>, warps: &[Warp]) -> (Box<Fault>, u32, u32) {
    // lanes that wait for others of their warp first: a barrier may only wait because of them
    let waiting = |f: &dyn Fn(Wait) -> bool| {
        warps.iter().find_map(|w| w.groups.iter().find(|g| f(g.wait)).map(|g| (w, *g)))
    };
    if let Some((w, g)) = waiting(&|w| matches!(w, Wait::Lanes(_) | Wait::Warp(_))) {
        let op = b.insts[g.pc as usize].op;
        let (Wait::Lanes(want) | Wait::Warp(want)) = g.wait else { unreachable!("just matched") };
        let text = exchange::missing(op, want, g.mask, w.live);
        return (Fault::new(LAUNCH_FAILED, g.mask.trailing_zeros() & 31, text), g.pc, w.index);
    }
    match waiting(&|w| matches!(w, Wait::Barrier(_))) {
        Some((w, g)) => {
            let Wait::Barrier(id) = g.wait else { unreachable!("just matched") };
            let bar = b.barriers[id as usize];
            let (have, want) =
                if bar.count == 0 { (bar.threads, b.live_threads) } else { (bar.warps, bar.count) };
            let away = w.live & !g.mask;
            let mut text = format!(
                "deadlock: divergent barrier {id}: {have} of {want} threads have arrived and the others never will"
            );
            if away != 0 {
                text += &format!("; {} of this warp are elsewhere", lanes_text(away));
            }
            (Fault::new(LAUNCH_FAILED, g.mask.trailing_zeros() & 31, text), g.pc, w.index)
        }
        None => (Fault::new(LAUNCH_FAILED, 0, "deadlock: no warp can run"), 0, 0),
    }
}
