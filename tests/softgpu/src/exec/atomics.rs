//! `atom` and `red`: on the host's own atomics, since blocks run on several threads.

use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering::SeqCst};

use super::access::{Addresses, each};
use super::code::{Atom, AtomOp, AtomTy};
use super::round;
use super::warp::{Block, Step, Warp};

fn step32(op: AtomOp, ty: AtomTy, old: u32, a: u32, b: u32) -> u32 {
    match (op, ty) {
        (AtomOp::Add, AtomTy::F32) => (f32::from_bits(old) + f32::from_bits(a)).to_bits(),
        (AtomOp::Add, AtomTy::F16x2) => add_halves(old, a, false),
        (AtomOp::Add, AtomTy::Bf16x2) => add_halves(old, a, true),
        (AtomOp::Add, _) => old.wrapping_add(a),
        (AtomOp::Min, AtomTy::S32) => (old as i32).min(a as i32) as u32,
        (AtomOp::Max, AtomTy::S32) => (old as i32).max(a as i32) as u32,
        (AtomOp::Min, _) => old.min(a),
        (AtomOp::Max, _) => old.max(a),
        (AtomOp::And, _) => old & a,
        (AtomOp::Or, _) => old | a,
        (AtomOp::Xor, _) => old ^ a,
        (AtomOp::Exch, _) => a,
        (AtomOp::Cas, _) => {
            if old == a {
                b
            } else {
                old
            }
        }
        (AtomOp::Inc, _) => {
            if old >= a {
                0
            } else {
                old + 1
            }
        }
        (AtomOp::Dec, _) => {
            if old == 0 || old > a {
                a
            } else {
                old - 1
            }
        }
    }
}

fn add_half(x: u16, y: u16, bf: bool) -> u16 {
    if bf {
        let s = f64::from(round::bf16_to_f32(x)) + f64::from(round::bf16_to_f32(y));
        round::round(s, 0.0, round::BF16, round::Mode::Rn) as u16
    } else {
        let s = f64::from(round::f16_to_f32(x)) + f64::from(round::f16_to_f32(y));
        round::round(s, 0.0, round::F16, round::Mode::Rn) as u16
    }
}

fn add_halves(x: u32, y: u32, bf: bool) -> u32 {
    let lo = add_half(x as u16, y as u16, bf);
    let hi = add_half((x >> 16) as u16, (y >> 16) as u16, bf);
    u32::from(hi) << 16 | u32::from(lo)
}

fn step64(op: AtomOp, ty: AtomTy, old: u64, a: u64, b: u64) -> u64 {
    match (op, ty) {
        (AtomOp::Add, AtomTy::F64) => (f64::from_bits(old) + f64::from_bits(a)).to_bits(),
        (AtomOp::Add, _) => old.wrapping_add(a),
        (AtomOp::Min, AtomTy::S64) => (old as i64).min(a as i64) as u64,
        (AtomOp::Max, AtomTy::S64) => (old as i64).max(a as i64) as u64,
        (AtomOp::Min, _) => old.min(a),
        (AtomOp::Max, _) => old.max(a),
        (AtomOp::And, _) => old & a,
        (AtomOp::Or, _) => old | a,
        (AtomOp::Xor, _) => old ^ a,
        (AtomOp::Exch, _) => a,
        (AtomOp::Cas, _) if old == a => b,
        _ => old,
    }
}

fn step16(atom: &Atom, old: u16, a: u16, b: u16) -> u16 {
    match atom.op {
        AtomOp::Cas => {
            if old == a {
                b
            } else {
                old
            }
        }
        _ => add_half(old, a, atom.ty == AtomTy::Bf16),
    }
}

impl Block<'_> {
    /// # Safety
    /// `ops` are the result's and the operands' places in the warp's file.
    pub(crate) unsafe fn atomic(
        &mut self,
        w: &Warp,
        atom: &Atom,
        shared: bool,
        addrs: &Addresses,
        m: u32,
        ops: &[u32],
    ) -> Step<()> {
        let bytes = match atom.ty {
            AtomTy::U64 | AtomTy::S64 | AtomTy::F64 => 8u64,
            AtomTy::F16 | AtomTy::Bf16 | AtomTy::B16 => 2,
            _ => 4,
        };
        self.acquired |= !shared;
        each(m, |l| {
            let (area, offset) = self.single(shared, addrs[l as usize], bytes, l)?;
            if self.checks {
                let me = self.actor(shared, w);
                self.check_atomic(&area, &me, w, l, offset, bytes)?;
                self.note_atomic(&area, &me, l, offset, bytes);
                area.line(offset / 4).forget();
            }
            let lane = l as usize;
            // SAFETY: the offset is within the area and aligned, places are within the file by the caller's word.
            unsafe {
                let at = area.host.add(offset as usize);
                if bytes == 8 {
                    let a = *w.file.add(ops[2] as usize).cast::<u64>().add(lane);
                    let b = ops.get(3).map_or(0, |p| *w.file.add(*p as usize).cast::<u64>().add(lane));
                    let cell = &*at.cast::<AtomicU64>();
                    let mut old = cell.load(SeqCst);
                    while let Err(now) =
                        cell.compare_exchange_weak(old, step64(atom.op, atom.ty, old, a, b), SeqCst, SeqCst)
                    {
                        old = now;
                    }
                    *w.file.add(ops[0] as usize).cast::<u64>().add(lane) = old;
                } else {
                    let a = *w.file.add(ops[2] as usize).cast::<u32>().add(lane);
                    let b = ops.get(3).map_or(0, |p| *w.file.add(*p as usize).cast::<u32>().add(lane));
                    let result = if bytes == 4 {
                        let cell = &*at.cast::<AtomicU32>();
                        let mut old = cell.load(SeqCst);
                        while let Err(now) = cell.compare_exchange_weak(
                            old,
                            step32(atom.op, atom.ty, old, a, b),
                            SeqCst,
                            SeqCst,
                        ) {
                            old = now;
                        }
                        old
                    } else {
                        let cell = &*at.cast::<AtomicU16>();
                        let mut old = cell.load(SeqCst);
                        while let Err(now) = cell.compare_exchange_weak(
                            old,
                            step16(atom, old, a as u16, b as u16),
                            SeqCst,
                            SeqCst,
                        ) {
                            old = now;
                        }
                        u32::from(old)
                    };
                    *w.file.add(ops[0] as usize).cast::<u32>().add(lane) = result;
                }
            }
            Ok(())
        })
    }
}
