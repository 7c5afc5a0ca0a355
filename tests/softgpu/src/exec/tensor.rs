//! `mma.sync` and `ldmatrix`: fragments as PTX lays them out over the lanes of a warp.

use super::access::{each, misaligned};
use super::code::{Inst, MemSpace, Mma, MmaKind};
use super::round::{self, Mode};
use super::warp::{Block, Fault, LAUNCH_FAILED, Step, Warp};
use crate::memory::shadow::Access;

/// # Safety
/// The instruction was made for the warp's file.
pub(crate) unsafe fn mma(w: &Warp, i: &Inst, pool: &[u32], mma: &Mma, m: u32) -> Step<()> {
    if m != u32::MAX {
        let text = "mma: not all 32 lanes are here";
        return Err(Fault::new(LAUNCH_FAILED, m.trailing_zeros() & 31, text));
    }
    let k = mma.k as usize;
    let ops = &pool[i.p as usize..];
    let nd = i.nd as usize;
    let half = mma.kind != MmaKind::Tf32;
    let per_row_regs = if half { k / 8 } else { k / 4 };
    let (na, nb) = (per_row_regs * 2, per_row_regs);
    let mut a = [[0f32; 16]; 16];
    let mut b = [[0f32; 8]; 16];
    let mut c = [[0f32; 8]; 16];
    let widen = |h: u16| match mma.kind {
        MmaKind::Bf16 => round::bf16_to_f32(h),
        _ => round::f16_to_f32(h),
    };
    // SAFETY: every operand is a line of the file.
    let line = |n: usize| unsafe { &*w.file.add(ops[n] as usize).cast::<[u32; 32]>() };
    for lane in 0..32 {
        let (g, t) = (lane / 4, lane % 4);
        for r in 0..na {
            let v = line(nd + r)[lane];
            let row = g + 8 * (r & 1);
            if half {
                let col = 2 * t + 8 * (r / 2);
                a[row][col] = widen(v as u16);
                a[row][col + 1] = widen((v >> 16) as u16);
            } else {
                // the lowest 13 bits of a tf32 are not read
                a[row][t + 4 * (r / 2)] = f32::from_bits(v & 0xffff_e000);
            }
        }
        for r in 0..nb {
            let v = line(nd + na + r)[lane];
            if half {
                let row = 2 * t + 8 * r;
                b[row][g] = widen(v as u16);
                b[row + 1][g] = widen((v >> 16) as u16);
            } else {
                b[t + 4 * r][g] = f32::from_bits(v & 0xffff_e000);
            }
        }
        if nd == 4 {
            for r in 0..4 {
                c[g + 8 * (r / 2)][2 * t + (r & 1)] = f32::from_bits(line(nd + na + nb + r)[lane]);
            }
        } else {
            for r in 0..2 {
                let v = line(nd + na + nb + r)[lane];
                c[g + 8 * r][2 * t] = round::f16_to_f32(v as u16);
                c[g + 8 * r][2 * t + 1] = round::f16_to_f32((v >> 16) as u16);
            }
        }
    }
    for row in 0..16 {
        for kk in 0..k {
            let x = a[row][kk];
            for col in 0..8 {
                c[row][col] += x * b[kk][col];
            }
        }
    }
    for lane in 0..32 {
        let (g, t) = (lane / 4, lane % 4);
        // SAFETY: results are lines of the file.
        let out = |n: usize, v: u32| unsafe { *w.file.add(ops[n] as usize).cast::<u32>().add(lane) = v };
        if nd == 4 {
            for r in 0..4 {
                out(r, c[g + 8 * (r / 2)][2 * t + (r & 1)].to_bits());
            }
        } else {
            for r in 0..2 {
                let h = |x: f32| round::round(f64::from(x), 0.0, round::F16, Mode::Rn) as u32;
                out(r, h(c[g + 8 * r][2 * t]) | h(c[g + 8 * r][2 * t + 1]) << 16);
            }
        }
    }
    Ok(())
}

impl Block<'_> {
    /// # Safety
    /// The instruction was made for the warp's file.
    pub(crate) unsafe fn load_matrix(&mut self, w: &Warp, i: &Inst, pool: &[u32], m: u32) -> Step<()> {
        if m != u32::MAX {
            let text = "ldmatrix: not all 32 lanes are here";
            return Err(Fault::new(LAUNCH_FAILED, m.trailing_zeros() & 31, text));
        }
        let n = i.imm as usize;
        let trans = i.x == 1;
        let ops = &pool[i.p as usize..];
        // SAFETY: the operand is a wide place.
        let addrs = unsafe { *w.file.add(i.a as usize).cast::<[u64; 32]>() };
        let mut rows = [[0u16; 8]; 32];
        let used = if n == 4 { u32::MAX } else { (1 << (8 * n)) - 1 };
        if let Some(t) = &mut self.tally {
            t.shared(&addrs, used, &crate::counters::shape(MemSpace::Shared, 16), false);
        }
        each(used, |l| {
            let a = addrs[l as usize];
            if a & 15 != 0 {
                return Err(misaligned(&addrs, 1 << l, 16, "shared"));
            }
            let (area, off) = self.single(true, a, 16, l)?;
            if self.checks {
                let me = self.shared_actor(w);
                self.note_read(&area, &me, w, l, off, 16, Access::Read)?;
            }
            // SAFETY: 16 bytes at `off` are within the area.
            rows[l as usize] = unsafe { area.host.add(off as usize).cast::<[u16; 8]>().read_unaligned() };
            Ok(())
        })?;
        for (k, d) in ops[..n].iter().enumerate() {
            for lane in 0..32 {
                let (g, t) = (lane / 4, lane % 4);
                let (lo, hi) = if trans {
                    (rows[8 * k + 2 * t][g], rows[8 * k + 2 * t + 1][g])
                } else {
                    (rows[8 * k + g][2 * t], rows[8 * k + g][2 * t + 1])
                };
                // SAFETY: the result is a line of the file.
                unsafe {
                    *w.file.add(*d as usize).cast::<u32>().add(lane) = u32::from(lo) | u32::from(hi) << 16;
                }
            }
        }
        Ok(())
    }
}
