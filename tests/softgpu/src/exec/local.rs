//! Local memory: a thread's own. Words of all lanes lie side by side, as on the device, so that an access at one
//! offset by all lanes is a line. Nobody else can race here; bounds and unwritten reads remain.

use super::access::{Addresses, each, misaligned, put};
use super::code::Mem;
use super::warp::{Block, Fault, ILLEGAL_ADDRESS, Step, Warp};

impl Block<'_> {
    fn local_check(&self, addrs: &Addresses, m: u32, bytes: u64) -> Step<()> {
        let mut bits = 0;
        let (mut lo, mut hi) = (u64::MAX, 0);
        for a in addrs {
            bits |= a;
            lo = lo.min(*a);
            hi = hi.max(*a);
        }
        if bits & (bytes - 1) != 0 {
            return Err(misaligned(addrs, m, bytes, "local"));
        }
        let vars = &self.code.local_vars;
        let fits = |lo: u64, hi: u64| {
            vars.iter()
                .any(|v| lo >= u64::from(v.start) && hi + bytes <= u64::from(v.start) + u64::from(v.size))
        };
        if hi < 1 << 32 && fits(lo, hi) {
            return Ok(());
        }
        each(m, |l| {
            let a = addrs[l as usize];
            if a < 1 << 32 && fits(a, a) {
                return Ok(());
            }
            let near =
                vars.iter().min_by_key(|v| (i64::from(v.start) + i64::from(v.size) / 2 - a as i64).abs());
            let text = match near {
                Some(v) => format!(
                    "out of bounds: {bytes} bytes of local memory at offset {} of `{}` ({} bytes)",
                    a as i64 - i64::from(v.start),
                    v.name,
                    v.size
                ),
                None => format!("out of bounds: local address {a:#x}, and the kernel has no local memory"),
            };
            Err(Fault::new(ILLEGAL_ADDRESS, l, text))
        })
    }

    /// # Safety
    /// `dst` are places in the warp's file of the width `mem` says.
    pub(crate) unsafe fn load_local(
        &mut self,
        w: &mut Warp,
        mem: &Mem,
        addrs: &Addresses,
        m: u32,
        dst: &[u32],
    ) -> Step<()> {
        let n = u64::from(mem.bytes);
        self.local_check(addrs, m, n * u64::from(mem.vec))?;
        each(m, |l| {
            for (k, d) in dst.iter().enumerate() {
                let at = addrs[l as usize] + n * k as u64;
                let mut raw = 0u64;
                for b in 0..n {
                    let byte = (at + b) as usize;
                    if w.local_written[byte] >> l & 1 == 0 && self.checks {
                        return Err(self.unwritten_local(at, l));
                    }
                    let word = w.local[byte / 4 * 32 + l as usize];
                    raw |= u64::from(word >> (byte % 4 * 8) & 0xff) << (8 * b);
                }
                // SAFETY: the caller's word.
                unsafe { put(w.file, *d, l as usize, raw, mem) };
            }
            Ok(())
        })
    }

    #[cold]
    fn unwritten_local(&self, at: u64, lane: u32) -> Box<Fault> {
        let v = self
            .code
            .local_vars
            .iter()
            .find(|v| at >= u64::from(v.start) && at < u64::from(v.start) + u64::from(v.size));
        let place =
            v.map_or(String::new(), |v| format!("offset {} of `{}`", at - u64::from(v.start), v.name));
        let text = format!("unwritten: read of local memory at {place}, which this thread has not written");
        Fault::new(ILLEGAL_ADDRESS, lane, text)
    }

    /// # Safety
    /// As [`Self::load_local`].
    pub(crate) unsafe fn store_local(
        &mut self,
        w: &mut Warp,
        mem: &Mem,
        addrs: &Addresses,
        m: u32,
        src: &[u32],
    ) -> Step<()> {
        let n = u64::from(mem.bytes);
        self.local_check(addrs, m, n * u64::from(mem.vec))?;
        self.used_local = true;
        each(m, |l| {
            for (k, s) in src.iter().enumerate() {
                // SAFETY: the caller's word.
                let v = unsafe {
                    let at = w.file.add(*s as usize);
                    if mem.wide {
                        *at.cast::<u64>().add(l as usize)
                    } else {
                        u64::from(*at.cast::<u32>().add(l as usize))
                    }
                };
                for b in 0..n {
                    let byte = (addrs[l as usize] + n * k as u64 + b) as usize;
                    let shift = byte % 4 * 8;
                    let word = &mut w.local[byte / 4 * 32 + l as usize];
                    *word = *word & !(0xff << shift) | ((v >> (8 * b)) as u32 & 0xff) << shift;
                    w.local_written[byte] |= 1 << l;
                }
            }
            Ok(())
        })
    }

    /// Parameters at an address that the kernel computes.
    ///
    /// # Safety
    /// As [`Self::load_local`].
    pub(crate) unsafe fn load_param(
        &mut self,
        w: &Warp,
        mem: &Mem,
        addrs: &Addresses,
        m: u32,
        dst: &[u32],
    ) -> Step<()> {
        let n = u64::from(mem.bytes);
        let total = n * u64::from(mem.vec);
        each(m, |l| {
            let a = addrs[l as usize];
            if a & (total - 1) != 0 {
                return Err(misaligned(addrs, m, total, "parameter"));
            }
            let inside = self.code.params.iter().any(|p| {
                a >= u64::from(p.offset) && a.saturating_add(total) <= u64::from(p.offset) + u64::from(p.size)
            });
            if !inside {
                let text = format!("out of bounds: {total} bytes at offset {a} of the parameters");
                return Err(Fault::new(ILLEGAL_ADDRESS, l, text));
            }
            for (k, d) in dst.iter().enumerate() {
                let at = (a + n * k as u64) as usize;
                let mut raw = [0u8; 8];
                raw[..n as usize].copy_from_slice(&self.launch.params[at..at + n as usize]);
                // SAFETY: the caller's word.
                unsafe { put(w.file, *d, l as usize, u64::from_le_bytes(raw), mem) };
            }
            Ok(())
        })
    }
}
