//! A warp runs: the loop over instructions, and which of its lanes run when they went different ways.
//!
//! Lanes at one place are a group. The group that is furthest behind runs first, so that lanes meet again at the
//! first place they share; a group that spins for another one of its warp is set aside after a while.

use super::access::{addresses, by_space};
use super::code::{AtomTy, Inst, MemSpace};
use super::exchange;
use super::ops::{self, Done, Op};
use super::warp::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Its time is up.
    Yield,
    /// All lanes wait for others of the block.
    Blocked,
    Finished,
}

/// How long a group may run while others of its warp are ready.
const STINT: u64 = 20_000;

/// Runs a warp for at most `fuel` instructions.
pub(crate) fn run_warp(b: &mut Block<'_>, w: &mut Warp, fuel: u64) -> Result<Outcome, (Box<Fault>, u32)> {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
        // SAFETY: the features were just found.
        return unsafe { run_avx2(b, w, fuel) };
    }
    run::<false>(b, w, fuel)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,bmi1,bmi2,lzcnt,popcnt")]
fn run_avx2(b: &mut Block<'_>, w: &mut Warp, fuel: u64) -> Result<Outcome, (Box<Fault>, u32)> {
    run::<true>(b, w, fuel)
}

#[inline(always)]
fn run<const VECTOR: bool>(b: &mut Block<'_>, w: &mut Warp, fuel: u64) -> Result<Outcome, (Box<Fault>, u32)> {
    let mut left = fuel;
    // a group that spins for one of its warp that is further on: that one runs for as long
    let mut aside = false;
    loop {
        let Some((mut at, mut limit)) = pick(w) else {
            return Ok(if w.live == 0 { Outcome::Finished } else { Outcome::Blocked });
        };
        if std::mem::take(&mut aside)
            && let Some(other) = furthest(w)
        {
            (at, limit) = (other, u32::MAX);
        }
        let alone = w.groups.len() == 1;
        let stint = if alone { left } else { left.min(STINT) };
        let mut used = 0;
        let result = run_group::<VECTOR>(b, w, at, limit, stint, &mut used);
        w.executed += used;
        left -= used.min(left);
        if let Err(e) = result {
            let pc = e.0.pc.unwrap_or(e.1);
            return Err((e.0, pc));
        }
        if w.live == 0 {
            return Ok(Outcome::Finished);
        }
        if left == 0 {
            return Ok(Outcome::Yield);
        }
        aside = used >= STINT && limit != u32::MAX;
    }
}

/// Joins groups that are at one place, and finds the one furthest behind and where the next one stands.
fn pick(w: &mut Warp) -> Option<(usize, u32)> {
    if w.groups.len() == 1 {
        return (w.groups[0].wait == Wait::Ready).then_some((0, u32::MAX));
    }
    w.groups.sort_unstable_by_key(|g| g.pc);
    let mut i = 0;
    while i + 1 < w.groups.len() {
        let (x, y) = (w.groups[i], w.groups[i + 1]);
        let same = x.wait == y.wait
            || matches!((x.wait, y.wait), (Wait::Lanes(_), Wait::Ready) | (Wait::Ready, Wait::Lanes(_)));
        if x.pc == y.pc && same {
            w.groups[i].mask |= y.mask;
            // one more lane has come to the shuffle: it is tried again
            if matches!(x.wait, Wait::Lanes(_)) || matches!(y.wait, Wait::Lanes(_)) {
                w.groups[i].wait = Wait::Ready;
            }
            w.groups.remove(i + 1);
        } else {
            i += 1;
        }
    }
    let first = w.groups.iter().position(|g| g.wait == Wait::Ready)?;
    // a group that waits at a place for others is met there, too
    let limit = w.groups[first + 1..]
        .iter()
        .filter(|g| matches!(g.wait, Wait::Ready | Wait::Lanes(_)))
        .map(|g| g.pc)
        .next()
        .unwrap_or(u32::MAX);
    Some((first, limit))
}

fn furthest(w: &Warp) -> Option<usize> {
    w.groups.iter().rposition(|g| g.wait == Wait::Ready)
}

#[inline(always)]
fn run_group<const VECTOR: bool>(
    b: &mut Block<'_>,
    w: &mut Warp,
    at: usize,
    limit: u32,
    fuel: u64,
    used: &mut u64,
) -> Result<(), (Box<Fault>, u32)> {
    let file = w.file;
    let insts = b.insts;
    let scratch = b.code.scratch;
    let mut pc = w.groups[at].pc;
    let mask = w.groups[at].mask;
    let mut n = 0u64;
    macro_rules! leave {
        () => {{
            w.groups[at].pc = pc;
            *used = n;
            return Ok(());
        }};
    }
    loop {
        if pc >= limit || n >= fuel {
            leave!();
        }
        n += 1;
        debug_assert!((pc as usize) < insts.len());
        // SAFETY: every path ends with an exit, and targets are places of instructions.
        let i = unsafe { insts.get_unchecked(pc as usize) };
        // SAFETY: the guard is a predicate's place.
        let m = mask & unsafe { *file.add(i.guard as usize).cast::<u32>() ^ i.guard_not };
        if let Some(t) = &mut b.tally {
            t.executed(pc, m);
        }
        if i.op == Op::Branch {
            if m == mask {
                pc = i.x;
            } else if m == 0 {
                pc += 1;
            } else {
                w.groups[at] = Group { pc: pc + 1, mask: mask & !m, wait: Wait::Ready };
                w.groups.push(Group { pc: i.x, mask: m, wait: Wait::Ready });
                *used = n;
                return Ok(());
            }
            continue;
        }
        if m == 0 {
            pc += 1;
            continue;
        }
        let whole = m == w.live;
        if whole && i.op == Op::FmaF32 && b.tally.is_none() {
            // an unrolled inner product is hundreds of these in a row
            let mut i = i;
            loop {
                // SAFETY: the instruction was made for this file.
                unsafe { fma(file, i) };
                pc += 1;
                // SAFETY: an arithmetic instruction is never the last.
                i = unsafe { insts.get_unchecked(pc as usize) };
                if i.op != Op::FmaF32 || i.guard != 0 || pc >= limit {
                    break;
                }
                n += 1;
            }
            continue;
        }
        // SAFETY: places are within the file.
        let d = unsafe { file.add(std::hint::black_box(if whole { i.d } else { scratch }) as usize) };
        // SAFETY: the instruction was made for this file.
        match unsafe { ops::run(i.op, file, i, d) } {
            Done::Line => {
                if !whole {
                    // SAFETY: both are lines of the file.
                    unsafe { merge32(file.add(i.d as usize).cast(), d.cast(), m) };
                }
                pc += 1;
                continue;
            }
            Done::Wide => {
                if !whole {
                    // SAFETY: both are wide places of the file.
                    unsafe { merge64(file.add(i.d as usize).cast(), d.cast(), m) };
                }
                pc += 1;
                continue;
            }
            Done::Mask(r) => {
                // SAFETY: the result is a predicate.
                unsafe {
                    let p = file.add(i.d as usize).cast::<u32>();
                    *p = *p & !m | r & m;
                }
                pc += 1;
                continue;
            }
            Done::Other => {}
        }
        match i.op {
            // SAFETY: the instruction was made for this file, as are all below.
            Op::Load => unsafe { if VECTOR { load_vector(b, w, i, m) } else { load_plain(b, w, i, m) } }
                .map_err(|e| (e, pc))?,
            // SAFETY: as above.
            Op::Store => {
                // SAFETY: as above.
                unsafe { if VECTOR { store_vector(b, w, i, m, mask) } else { store_plain(b, w, i, m, mask) } }
                    .map_err(|e| (e, pc))?
            }
            Op::Exit => {
                exit(b, w, m).map_err(|e| (e, pc))?;
                w.groups[at].mask = mask & !m;
                w.groups[at].pc = pc + 1;
                if mask == m {
                    w.groups.remove(at);
                }
                *used = n;
                return Ok(());
            }
            _ => {
                // SAFETY: as above.
                match unsafe { rare(b, w, at, i, m, mask, pc) }.map_err(|e| (e, pc))? {
                    Next::Go => {}
                    Next::Wait => {
                        *used = n;
                        return Ok(());
                    }
                }
            }
        }
        pc += 1;
    }
}

/// # Safety
/// As [`load`]; the processor has the features.
#[cfg(target_arch = "x86_64")]
#[inline(never)]
#[target_feature(enable = "avx2,fma,bmi1,bmi2,lzcnt,popcnt")]
unsafe fn load_vector(b: &mut Block<'_>, w: &mut Warp, i: &Inst, m: u32) -> Step<()> {
    // SAFETY: the caller's word.
    unsafe { load(b, w, i, m) }
}

/// # Safety
/// As [`store`]; the processor has the features.
#[cfg(target_arch = "x86_64")]
#[inline(never)]
#[target_feature(enable = "avx2,fma,bmi1,bmi2,lzcnt,popcnt")]
unsafe fn store_vector(b: &mut Block<'_>, w: &mut Warp, i: &Inst, m: u32, mask: u32) -> Step<()> {
    // SAFETY: the caller's word.
    unsafe { store(b, w, i, m, mask) }
}

#[cfg(not(target_arch = "x86_64"))]
use {load_plain as load_vector, store_plain as store_vector};

/// # Safety
/// As [`load`].
#[inline(never)]
unsafe fn load_plain(b: &mut Block<'_>, w: &mut Warp, i: &Inst, m: u32) -> Step<()> {
    // SAFETY: the caller's word.
    unsafe { load(b, w, i, m) }
}

/// # Safety
/// As [`store`].
#[inline(never)]
unsafe fn store_plain(b: &mut Block<'_>, w: &mut Warp, i: &Inst, m: u32, mask: u32) -> Step<()> {
    // SAFETY: the caller's word.
    unsafe { store(b, w, i, m, mask) }
}

enum Next {
    Go,
    /// The group's state says what it waits for.
    Wait,
}

/// # Safety
/// The instruction was made for this file.
#[inline(always)]
unsafe fn fma(file: *mut u8, i: &Inst) {
    // SAFETY: the caller's word.
    unsafe {
        let at = |o: u32| file.add(o as usize).cast::<u32>();
        super::lanes::l3(at(i.d), at(i.a), at(i.b), at(i.c), |a, b, c| {
            f32::from_bits(a).mul_add(f32::from_bits(b), f32::from_bits(c)).to_bits()
        });
    }
}

/// # Safety
/// Lines of 32.
#[inline(always)]
unsafe fn merge32(d: *mut u32, s: *const u32, m: u32) {
    for l in 0..32 {
        // SAFETY: the caller's word.
        unsafe {
            let take = 0u32.wrapping_sub(m >> l & 1);
            *d.add(l) = *s.add(l) & take | *d.add(l) & !take;
        }
    }
}

/// # Safety
/// Lines of 32.
#[inline(always)]
unsafe fn merge64(d: *mut u64, s: *const u64, m: u32) {
    for l in 0..32 {
        // SAFETY: the caller's word.
        unsafe {
            let take = 0u64.wrapping_sub(u64::from(m >> l & 1));
            *d.add(l) = *s.add(l) & take | *d.add(l) & !take;
        }
    }
}

#[inline(always)]
unsafe fn load(b: &mut Block<'_>, w: &mut Warp, i: &Inst, m: u32) -> Step<()> {
    let code = b.code;
    let mem = code.mems[i.x as usize];
    let dst = &code.pool[i.p as usize..i.p as usize + i.nd as usize];
    // SAFETY: the operand is an address of the width that `mem` says.
    let addrs = unsafe { addresses(w.file, i, mem.addr64, m) };
    let direct = matches!(mem.space, MemSpace::Global | MemSpace::Const | MemSpace::Shared);
    if direct && b.tally.is_none() {
        // SAFETY: `dst` are the instruction's results.
        return unsafe { b.load(w, &mem, mem.space == MemSpace::Shared, &addrs, m, dst) };
    }
    by_space(mem.space, &addrs, m, |space, addrs, m| {
        // SAFETY: `dst` are the instruction's results.
        unsafe {
            match space {
                MemSpace::Shared => {
                    if let Some(t) = &mut b.tally {
                        t.shared(&addrs[..], m, &mem, false);
                    }
                    b.load_any(w, &mem, true, addrs, m, dst)
                }
                MemSpace::Local => b.load_local(w, &mem, addrs, m, dst),
                MemSpace::Param => b.load_param(w, &mem, addrs, m, dst),
                _ => {
                    if let Some(t) = &mut b.tally {
                        t.global(b.launch, &addrs[..], m, &mem, false);
                    }
                    b.load_any(w, &mem, false, addrs, m, dst)
                }
            }
        }
    })
}

#[inline(always)]
unsafe fn store(b: &mut Block<'_>, w: &mut Warp, i: &Inst, m: u32, mask: u32) -> Step<()> {
    let code = b.code;
    let mem = code.mems[i.x as usize];
    let src = &code.pool[i.p as usize + 1..i.p as usize + i.nu as usize];
    if mask != w.live && mem.space != MemSpace::Local {
        w.worked_apart |= w.groups.iter().any(|g| matches!(g.wait, Wait::Barrier(_)));
    }
    // SAFETY: the operand is an address of the width that `mem` says.
    let addrs = unsafe { addresses(w.file, i, mem.addr64, m) };
    if matches!(mem.space, MemSpace::Global | MemSpace::Shared) && b.tally.is_none() {
        // SAFETY: `src` are the instruction's operands.
        return unsafe { b.store(w, &mem, mem.space == MemSpace::Shared, &addrs, m, src) };
    }
    by_space(mem.space, &addrs, m, |space, addrs, m| {
        // SAFETY: `src` are the instruction's operands.
        unsafe {
            match space {
                MemSpace::Shared => {
                    if let Some(t) = &mut b.tally {
                        t.shared(&addrs[..], m, &mem, true);
                    }
                    b.store_any(w, &mem, true, addrs, m, src)
                }
                MemSpace::Local => b.store_local(w, &mem, addrs, m, src),
                MemSpace::Param => {
                    Err(Fault::new(ILLEGAL_ADDRESS, m.trailing_zeros(), "store to the kernel's parameters"))
                }
                _ => {
                    if let Some(t) = &mut b.tally {
                        t.global(b.launch, &addrs[..], m, &mem, true);
                    }
                    b.store_any(w, &mem, false, addrs, m, src)
                }
            }
        }
    })
}

fn exit(b: &mut Block<'_>, w: &mut Warp, m: u32) -> Step<()> {
    if w.worked_apart
        && let Some(g) = w.groups.iter().find(|g| matches!(g.wait, Wait::Barrier(_)))
    {
        let text = format!(
            "divergent barrier: {} wait at it, {} of the same warp went on without them and exited",
            lanes_text(g.mask),
            lanes_text(m)
        );
        let lane = g.mask.trailing_zeros() & 31;
        return Err(Box::new(Fault {
            result: LAUNCH_FAILED,
            message: text,
            lane: Some(lane),
            pc: Some(g.pc),
        }));
    }
    w.live &= !m;
    b.live_threads -= m.count_ones();
    if !w.flights.is_empty() {
        w.flights.retain(|f| m >> f.lane & 1 == 0);
    }
    Ok(())
}

/// Everything that is neither arithmetic nor a plain load or store.
#[inline(never)]
unsafe fn rare(
    b: &mut Block<'_>,
    w: &mut Warp,
    at: usize,
    i: &Inst,
    m: u32,
    mask: u32,
    pc: u32,
) -> Step<Next> {
    let file = w.file;
    let code = b.code;
    let pred = |place: u32| {
        // SAFETY: a predicate's place.
        unsafe { &mut *file.add(place as usize).cast::<u32>() }
    };
    // SAFETY: a line's place.
    let line = |place: u32| unsafe { &mut *file.add(place as usize).cast::<[u32; 32]>() };
    // SAFETY: a wide place.
    let wide = |place: u32| unsafe { &mut *file.add(place as usize).cast::<[u64; 32]>() };
    let lead = m.trailing_zeros();
    match i.op {
        Op::MarkInit => *pred(i.d) |= m,
        Op::MoveInit => set(pred(i.d), *pred(i.a), m),
        Op::CheckInit => {
            let bad = m & !*pred(i.a);
            if bad != 0 && b.checks {
                let name = &code.texts[i.x as usize];
                let text = format!("uninitialised: register {name} is read and was never written");
                return Err(Fault::new(LAUNCH_FAILED, bad.trailing_zeros(), text));
            }
        }
        Op::Scalar | Op::ScalarSet => {
            let (f, widths, result_wide) = &code.scalars[i.x as usize];
            let ops = &code.pool[i.p as usize + 1..i.p as usize + 1 + i.nu as usize];
            let mut left = m;
            let mut bits = 0u32;
            while left != 0 {
                let l = left.trailing_zeros() as usize;
                left &= left - 1;
                let mut v = [0u64; 4];
                for (k, o) in ops.iter().enumerate() {
                    v[k] = if widths[k] { wide(*o)[l] } else { u64::from(line(*o)[l]) };
                }
                let r = f(v);
                if i.op == Op::ScalarSet {
                    bits |= (r as u32 & 1) << l;
                } else if *result_wide {
                    wide(i.d)[l] = r;
                } else {
                    line(i.d)[l] = r as u32;
                }
            }
            if i.op == Op::ScalarSet {
                set(pred(i.d), bits, m);
            }
        }
        // SAFETY: the instruction was made for this file; so are all below.
        Op::Atom => unsafe {
            let atom = code.atoms[i.x as usize];
            let addrs = addresses(file, i, atom.addr64, m);
            // for an atomic, the address is the first operand after the result
            let ops = &code.pool[i.p as usize..i.p as usize + 1 + i.nu as usize];
            let bytes = if matches!(atom.ty, AtomTy::U64 | AtomTy::S64 | AtomTy::F64) { 8 } else { 4 };
            by_space(atom.space, &addrs, m, |space, addrs, m| match space {
                MemSpace::Shared => b.atomic(w, &atom, true, addrs, m, ops),
                MemSpace::Global => {
                    if let Some(t) = &mut b.tally {
                        t.global(b.launch, addrs, m, &crate::counters::shape(space, bytes), true);
                    }
                    b.atomic(w, &atom, false, addrs, m, ops)
                }
                _ => Err(Fault::new(
                    ILLEGAL_ADDRESS,
                    m.trailing_zeros(),
                    "atomic on local or parameter memory",
                )),
            })?;
        },
        Op::BranchTable => {
            let table = &code.tables[i.x as usize];
            let index = *line(i.a);
            let mut by_target: Vec<(u32, u32)> = Vec::new();
            for l in 0..32u32 {
                if m >> l & 1 == 0 {
                    continue;
                }
                let Some(t) = table.get(index[l as usize] as usize) else {
                    let text = format!("brx.idx: index {} of {} targets", index[l as usize], table.len());
                    return Err(Fault::new(ILLEGAL_INSTRUCTION, l, text));
                };
                match by_target.iter_mut().find(|x| x.0 == *t) {
                    Some(x) => x.1 |= 1 << l,
                    None => by_target.push((*t, 1 << l)),
                }
            }
            let rest = mask & !m;
            w.groups.remove(at);
            if rest != 0 {
                w.groups.push(Group { pc: pc + 1, mask: rest, wait: Wait::Ready });
            }
            for (t, lanes) in by_target {
                w.groups.push(Group { pc: t, mask: lanes, wait: Wait::Ready });
            }
            return Ok(Next::Wait);
        }
        Op::Barrier | Op::BarrierArrive | Op::BarrierReduce => return barrier(b, w, at, i, m, mask, pc),
        Op::WarpSync => {
            let masks = *line(i.a);
            let want = masks[lead as usize];
            for l in 0..32u32 {
                if m >> l & 1 == 1 && masks[l as usize] >> l & 1 == 0 {
                    let text = format!(
                        "bar.warp.sync: member mask {:#010x} does not name the lane itself",
                        masks[l as usize]
                    );
                    return Err(Fault::new(LAUNCH_FAILED, l, text));
                }
            }
            let gone = want & !w.live;
            if gone != 0 && want != u32::MAX {
                return Err(Fault::new(LAUNCH_FAILED, lead, exchange::missing(i.op, want, m, w.live)));
            }
            let want = want & w.live;
            // those of the mask that wait already, at this or another bar.warp.sync
            let there =
                w.groups.iter().filter(|g| matches!(g.wait, Wait::Warp(_))).fold(m, |a, g| a | g.mask);
            if want & !there != 0 {
                wait_here(w, at, m, mask, pc, Wait::Warp(want));
                return Ok(Next::Wait);
            }
            for g in &mut w.groups {
                if matches!(g.wait, Wait::Warp(_)) && g.mask & want != 0 {
                    g.wait = Wait::Ready;
                    g.pc += 1;
                }
            }
            b.warp_synchronised(w);
            // those released have to be looked at again
            if w.groups.len() > 1 {
                w.groups[at].pc = pc + 1;
                return Ok(Next::Wait);
            }
        }
        // SAFETY: as above.
        Op::Shuffle | Op::Vote | Op::Match | Op::Redux | Op::Elect => unsafe {
            let want = exchange::members(w, i, &code.pool, m)?;
            let gone = want & !w.live;
            if gone != 0 && (gone & w_existing(b, w) != 0 || want != u32::MAX) {
                return Err(Fault::new(LAUNCH_FAILED, lead, exchange::missing(i.op, want, m, w.live)));
            }
            if want & w.live & !m != 0 {
                wait_here(w, at, m, mask, pc, Wait::Lanes(want));
                return Ok(Next::Wait);
            }
            exchange::exchange(w, i, &code.pool, m)?;
            b.warp_synchronised(w);
        },
        Op::ActiveMask => {
            for l in 0..32 {
                if m >> l & 1 == 1 {
                    line(i.d)[l] = m;
                }
            }
        }
        // SAFETY: as above.
        Op::Mma => unsafe { super::tensor::mma(w, i, &code.pool, &code.mmas[i.x as usize], m)? },
        // SAFETY: as above.
        Op::LdMatrix => unsafe { b.load_matrix(w, i, &code.pool, m)? },
        // SAFETY: as above.
        Op::CpAsync => unsafe { b.copy_async(w, i, m)? },
        Op::CpCommit => {
            for l in 0..32 {
                w.committed[l] += m >> l & 1;
            }
        }
        Op::CpWait => b.land(w, m, i.imm as u32, false)?,
        Op::CpWaitAll => b.land(w, m, 0, true)?,
        // SAFETY: as above.
        Op::Printf => unsafe { b.printf(w, i, &code.pool, m)? },
        // SAFETY: as above.
        Op::Assert => unsafe { b.assert(w, i, &code.pool, m)? },
        Op::Trap => return Err(Fault::new(LAUNCH_FAILED, lead, "trap")),
        Op::Clock32 => {
            let now = w.executed as u32;
            for l in 0..32 {
                if m >> l & 1 == 1 {
                    line(i.d)[l] = now;
                }
            }
        }
        Op::Clock64 | Op::GlobalTimer => {
            let now = if i.op == Op::Clock64 { w.executed } else { b.launch.nanoseconds() };
            for l in 0..32 {
                if m >> l & 1 == 1 {
                    wide(i.d)[l] = now;
                }
            }
        }
        Op::Fence => {
            if i.x == 1 {
                b.launch.fence(b.worker, b.clock);
                b.clock += 1;
            }
        }
        Op::Nop => {}
        op => {
            let text = format!("{op:?} is not implemented");
            return Err(Fault::new(ILLEGAL_INSTRUCTION, lead, text));
        }
    }
    Ok(Next::Go)
}

/// Lanes that the warp ever had.
fn w_existing(b: &Block<'_>, w: &Warp) -> u32 {
    b.launch.lanes(w.index)
}

fn set(p: &mut u32, v: u32, m: u32) {
    *p = *p & !m | v & m;
}

/// The active lanes of a group wait at its instruction; those that the guard excluded go on.
fn wait_here(w: &mut Warp, at: usize, m: u32, mask: u32, pc: u32, wait: Wait) {
    w.groups[at] = Group { pc, mask: m, wait };
    if mask != m {
        w.groups.push(Group { pc: pc + 1, mask: mask & !m, wait: Wait::Ready });
    }
}

fn barrier(b: &mut Block<'_>, w: &mut Warp, at: usize, i: &Inst, m: u32, mask: u32, pc: u32) -> Step<Next> {
    let lead = m.trailing_zeros();
    let code = b.code;
    let first = usize::from(i.op == Op::BarrierReduce);
    let ops = &code.pool[i.p as usize..];
    // SAFETY: operands are lines of the file.
    let of = |k: usize| unsafe { (*w.file.add(ops[first + k] as usize).cast::<[u32; 32]>())[lead as usize] };
    let (id, count) = (of(0), of(1));
    if id > 15 {
        return Err(Fault::new(LAUNCH_FAILED, lead, format!("barrier {id}: there are 16")));
    }
    let aligned = i.imm == 1;
    if count % 32 != 0 {
        return Err(Fault::new(
            LAUNCH_FAILED,
            lead,
            format!("barrier {id}: {count} threads are no whole warps"),
        ));
    }
    if aligned && mask == m {
        for g in &w.groups {
            if let Wait::Barrier(_) = g.wait
                && g.pc != pc
            {
                let other = code.infos[g.pc as usize].line;
                let text = format!(
                    "divergent barrier: {} wait here, {} of the same warp at another barrier, PTX line {other}",
                    lanes_text(m),
                    lanes_text(g.mask)
                );
                return Err(Fault::new(LAUNCH_FAILED, lead, text));
            }
        }
    }
    let bar = &mut b.barriers[id as usize];
    if bar.active && bar.count != count {
        let text = format!("barrier {id}: some threads expect {count} threads, others {}", bar.count);
        return Err(Fault::new(LAUNCH_FAILED, lead, text));
    }
    bar.active = true;
    bar.count = count;
    bar.threads += m.count_ones();
    // explicit counts are in whole warps: a warp that is not full counts as one
    let whole = m == w.live;
    bar.warps += if whole { 32 } else { m.count_ones() };
    if i.op == Op::BarrierReduce {
        // SAFETY: the third operand is a predicate.
        let p = unsafe { *w.file.add(ops[first + 2] as usize).cast::<u32>() };
        bar.trues += (p & m).count_ones();
    }
    if i.op == Op::BarrierArrive {
        return Ok(Next::Go);
    }
    w.worked_apart = false;
    wait_here(w, at, m, mask, pc, Wait::Barrier(id));
    Ok(Next::Wait)
}
