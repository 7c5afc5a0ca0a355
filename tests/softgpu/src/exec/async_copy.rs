//! `cp.async`: data is read when the copy is issued and lands when its thread waits, so that a missing wait is seen.

use super::access::each;
use super::code::{Inst, MemSpace};
use super::warp::{Block, Fault, Flight, LAUNCH_FAILED, Step, Warp};
use crate::counters::shape;
use crate::memory::shadow::{Access, BYTES_MASK, FINE, PENDING};

impl Block<'_> {
    /// # Safety
    /// The instruction was made for the warp's file.
    pub(crate) unsafe fn copy_async(&mut self, w: &mut Warp, i: &Inst, m: u32) -> Step<()> {
        use std::sync::atomic::Ordering::Relaxed;
        let size = i.imm as u64;
        // SAFETY: operands are two wide places and a line.
        let (dst, src, count) = unsafe {
            (
                *w.file.add(i.a as usize).cast::<[u64; 32]>(),
                *w.file.add(i.b as usize).cast::<[u64; 32]>(),
                *w.file.add(i.c as usize).cast::<[u32; 32]>(),
            )
        };
        if let Some(t) = &mut self.tally {
            let reads = (0..32).filter(|l| count[*l] > 0).fold(0, |x, l| x | 1 << l) & m;
            t.global(self.launch, &src, reads, &shape(MemSpace::Global, size as u8), false);
            t.shared(&dst, m, &shape(MemSpace::Shared, size as u8), true);
        }
        each(m, |l| {
            let n = u64::from(count[l as usize]);
            if n > size {
                return Err(Fault::new(
                    LAUNCH_FAILED,
                    l,
                    format!("cp.async: {n} source bytes for a copy of {size}"),
                ));
            }
            let (to, at) = self.single(true, dst[l as usize], size, l)?;
            if src[l as usize] & (size - 1) != 0 {
                let addrs = [src[l as usize]; 32];
                return Err(super::access::misaligned(&addrs, 1 << l, size, "global"));
            }
            let mut data = [0u8; 16];
            if n > 0 {
                // bytes of the source beyond `n` are not read: check what is
                let mut done = 0;
                while done < n {
                    let mut step = 16;
                    while step > n - done || (src[l as usize] + done) & (step - 1) != 0 {
                        step /= 2;
                    }
                    let (from, off) = self.single(false, src[l as usize] + done, step, l)?;
                    if self.checks {
                        let me = self.global_actor(w);
                        self.note_read(&from, &me, w, l, off, step, Access::Read)?;
                    }
                    // SAFETY: `step` bytes at `off` are within the area, and fit `data`.
                    unsafe {
                        std::ptr::copy_nonoverlapping(
                            from.host.add(off as usize),
                            data.as_mut_ptr().add(done as usize),
                            step as usize,
                        );
                    }
                    done += step;
                }
            }
            if self.checks {
                let me = self.shared_actor(w);
                for k in 0..size / 4 {
                    let word = at / 4 + k;
                    // SAFETY: the word is within the area.
                    let e = unsafe { &*to.shadow.add(word as usize) };
                    if let Err(c) = e.check_write(&me, l, false) {
                        return Err(self.accuse(c, &to, word * 4, w, l, Access::Write));
                    }
                    let old = e.w.load(Relaxed);
                    if old & FINE != 0 && old >> 24 >= me.floor {
                        for b in 0..4 {
                            let f = to.fine(word * 4 + b);
                            if let Err(c) = f.check_write(&me, l, false) {
                                return Err(self.accuse(c, &to, word * 4 + b, w, l, Access::Write));
                            }
                        }
                    }
                    e.w.store(me.record(l) | PENDING, Relaxed);
                    to.line(word).forget();
                }
            }
            let group = w.committed[l as usize];
            w.flights.push(Flight { to: at as u32, len: size as u32, data, group, lane: l });
            Ok(())
        })
    }

    /// Copies of the lanes `m` land, but for the last `keep` groups; `all`: those not committed as well.
    pub(crate) fn land(&mut self, w: &mut Warp, m: u32, keep: u32, all: bool) -> Step<()> {
        use std::sync::atomic::Ordering::Relaxed;
        let me = self.shared_actor(w);
        let flights = std::mem::take(&mut w.flights);
        for f in &flights {
            let committed = w.committed[f.lane as usize];
            let due = m >> f.lane & 1 == 1 && (all || f.group + keep < committed);
            if !due {
                w.flights.push(*f);
                continue;
            }
            // SAFETY: the destination was checked when the copy was issued.
            unsafe {
                std::ptr::copy_nonoverlapping(
                    f.data.as_ptr(),
                    self.shared.add(f.to as usize),
                    f.len as usize,
                );
            }
            if self.checks {
                for k in 0..f.len / 4 {
                    // SAFETY: as above.
                    let e = unsafe { &*self.shared_shadow.add((f.to / 4 + k) as usize) };
                    e.w.store(me.record(f.lane) | BYTES_MASK, Relaxed);
                }
            }
        }
        Ok(())
    }
}
