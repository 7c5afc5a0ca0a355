//! Loads and stores of global and shared memory, with every check.

use std::sync::Arc;

use super::check::known;
use super::code::{Mem, MemSpace, Order};
use super::warp::{Block, Fault, ILLEGAL_ADDRESS, MISALIGNED, Step, Warp};
use crate::exec::code::Inst;
use crate::memory::shadow::{Access, Actor, Entry, Line};
use crate::memory::{Allocation, LOCAL_WINDOW, PARAM_WINDOW, SHARED_WINDOW, WINDOW_SIZE};

/// Bytes and their shadow, in global or in shared memory.
pub(crate) struct Area {
    pub host: *mut u8,
    pub shadow: *const Entry,
    shared_fine: *const Entry,
    pub lines: *const Line,
    pub shared: bool,
    /// Null in shared memory; kept alive by the launch's snapshot otherwise.
    allocation: *const Allocation,
}

impl Area {
    #[inline(always)]
    pub(super) fn entry(&self, word: u64) -> &Entry {
        // SAFETY: offsets were checked against the area's size, which its shadow covers.
        unsafe { &*self.shadow.add(word as usize) }
    }

    pub(super) fn fine(&self, byte: u64) -> &Entry {
        match self.allocation() {
            Some(a) => a.fine(byte),
            // SAFETY: shared memory has an entry for each byte.
            None => unsafe { &*self.shared_fine.add(byte as usize) },
        }
    }

    pub(crate) fn allocation(&self) -> Option<&Allocation> {
        // SAFETY: null, or an allocation that the launch's snapshot keeps alive.
        unsafe { self.allocation.as_ref() }
    }

    #[inline(always)]
    pub(crate) fn line(&self, word: u64) -> &Line {
        // SAFETY: as for `entry`: a line for each 32 words.
        unsafe { &*self.lines.add((word / 32) as usize) }
    }

    pub(super) fn lock(&self) -> Option<std::sync::MutexGuard<'_, ()>> {
        self.allocation().map(|a| a.fine_lock.lock().unwrap_or_else(|e| e.into_inner()))
    }
}

/// The addresses of a warp's access: one for each lane, inactive lanes at the first active one's.
pub(crate) type Addresses = [u64; 32];

/// # Safety
/// `file` is the warp's register file and `i` an instruction made for it, whose operand `a` is the address.
#[inline(always)]
pub(crate) unsafe fn addresses(file: *const u8, i: &Inst, addr64: bool, m: u32) -> Addresses {
    let mut out = [0u64; 32];
    // SAFETY: the operand's place is within the file, of the width that `addr64` says.
    unsafe {
        if addr64 {
            let a = &*file.add(i.a as usize).cast::<[u64; 32]>();
            for l in 0..32 {
                out[l] = a[l].wrapping_add(i.imm as u64);
            }
        } else {
            let a = &*file.add(i.a as usize).cast::<[u32; 32]>();
            for l in 0..32 {
                out[l] = u64::from(a[l]).wrapping_add(i.imm as u64);
            }
        }
    }
    if m != u32::MAX {
        let lead = out[m.trailing_zeros() as usize & 31];
        for (l, o) in out.iter_mut().enumerate() {
            if m >> l & 1 == 0 {
                *o = lead;
            }
        }
    }
    out
}

#[inline(always)]
pub(crate) fn each(m: u32, mut f: impl FnMut(u32) -> Step<()>) -> Step<()> {
    let mut left = m;
    while left != 0 {
        f(left.trailing_zeros())?;
        left &= left - 1;
    }
    Ok(())
}

/// Which space a generic address is in.
fn window(a: u64) -> MemSpace {
    if a.wrapping_sub(SHARED_WINDOW) < WINDOW_SIZE {
        MemSpace::Shared
    } else if a.wrapping_sub(LOCAL_WINDOW) < WINDOW_SIZE {
        MemSpace::Local
    } else if a.wrapping_sub(PARAM_WINDOW) < WINDOW_SIZE {
        MemSpace::Param
    } else {
        MemSpace::Global
    }
}

fn window_base(s: MemSpace) -> u64 {
    match s {
        MemSpace::Shared => SHARED_WINDOW,
        MemSpace::Local => LOCAL_WINDOW,
        MemSpace::Param => PARAM_WINDOW,
        _ => 0,
    }
}

/// Runs `f` for each space that the lanes' generic addresses fall into, with addresses of that space.
pub(crate) fn by_space(
    space: MemSpace,
    addrs: &Addresses,
    m: u32,
    mut f: impl FnMut(MemSpace, &Addresses, u32) -> Step<()>,
) -> Step<()> {
    if space != MemSpace::Generic {
        return f(space, addrs, m);
    }
    let mut left = m;
    while left != 0 {
        let lead = left.trailing_zeros() as usize;
        let s = window(addrs[lead]);
        let (mut now, base) = (0u32, window_base(s));
        let mut local = [0u64; 32];
        for l in 0..32 {
            if left >> l & 1 == 1 && window(addrs[l]) == s {
                now |= 1 << l;
                local[l] = addrs[l] - base;
            } else {
                local[l] = addrs[lead] - base;
            }
        }
        f(s, &local, now)?;
        left &= !now;
    }
    Ok(())
}

#[cold]
pub(crate) fn misaligned(addrs: &Addresses, m: u32, bytes: u64, space: &str) -> Box<Fault> {
    let l = (0..32).find(|l| m >> l & 1 == 1 && addrs[*l as usize] & (bytes - 1) != 0).unwrap_or(0);
    let a = addrs[l as usize];
    Fault::new(MISALIGNED, l, format!("misaligned: {space} address {a:#x} is no multiple of {bytes}"))
}

impl Block<'_> {
    /// The area that holds all lanes' accesses, and their offsets; or `None` where they lie in several.
    #[inline(always)]
    fn area(&mut self, shared: bool, addrs: &Addresses, m: u32, bytes: u64) -> Step<Option<(Area, u64)>> {
        // signed, for the processor compares only those many at a time: an address with the top bit set is below
        // all others, and `lo > hi` tells
        let (mut least, mut most, mut bits) = (i64::MAX, i64::MIN, 0u64);
        for a in addrs {
            least = least.min(*a as i64);
            most = most.max(*a as i64);
            bits |= a;
        }
        let (lo, hi) = (least as u64, most as u64);
        if bits & (bytes - 1) != 0 {
            return Err(misaligned(addrs, m, bytes, if shared { "shared" } else { "global" }));
        }
        if shared {
            return self.shared_area(lo, hi, addrs, m, bytes);
        }
        // SAFETY: null, or an allocation of the snapshot that this block holds.
        if let Some(a) = unsafe { self.recent.as_ref() }
            && lo >= a.base
            && lo <= hi
            && hi.wrapping_add(bytes) <= a.end()
            && hi.wrapping_add(bytes) > hi
        {
            return Ok(Some((global_area(a), a.base)));
        }
        // SAFETY: an allocation of the snapshot that this block holds.
        let Some(a) = self.find(lo).map(|a| unsafe { &*Arc::as_ptr(a) }) else {
            let l = (0..32).find(|l| addrs[*l] == lo).unwrap_or(0) as u32;
            return Err(self.outside(lo, bytes, l));
        };
        self.recent = a;
        if lo > hi || hi.wrapping_add(bytes) > a.end() || hi.wrapping_add(bytes) < hi {
            if m.count_ones() == 1 {
                return Err(self.outside(hi, bytes, m.trailing_zeros()));
            }
            return Ok(None);
        }
        Ok(Some((global_area(a), a.base)))
    }

    #[inline(always)]
    fn shared_area(
        &mut self,
        lo: u64,
        hi: u64,
        addrs: &Addresses,
        m: u32,
        bytes: u64,
    ) -> Step<Option<(Area, u64)>> {
        let inside =
            |start: u64, size: u64| lo >= start && lo <= hi && hi < 1 << 40 && hi + bytes <= start + size;
        let area = Area {
            host: self.shared,
            shadow: self.shared_shadow,
            shared_fine: self.shared_fine,
            lines: self.shared_lines,
            shared: true,
            allocation: std::ptr::null(),
        };
        let vars = &self.code.shared_vars;
        if let Some(v) = vars.get(self.region)
            && inside(u64::from(v.start), u64::from(v.size))
        {
            return Ok(Some((area, 0)));
        }
        if let Some(i) = vars.iter().position(|v| inside(u64::from(v.start), u64::from(v.size))) {
            self.region = i;
            return Ok(Some((area, 0)));
        }
        let dynamic = u64::from(self.dynamic_base);
        if inside(dynamic, u64::from(self.shared_size) - dynamic) {
            return Ok(Some((area, 0)));
        }
        if m.count_ones() > 1 {
            // lanes in several variables, or one of them outside: one by one
            return Ok(None);
        }
        let l = m.trailing_zeros();
        Err(self.outside_shared(addrs[l as usize], bytes, l))
    }

    #[cold]
    fn outside_shared(&self, a: u64, bytes: u64, lane: u32) -> Box<Fault> {
        let dynamic = u64::from(self.shared_size - self.dynamic_base);
        let mut best: Option<(u64, String)> = None;
        let mut consider = |start: u64, size: u64, name: &str| {
            if a + bytes > start && a < start + size.max(1) + 1024 {
                let past = (a + bytes).saturating_sub(start + size);
                let text = format!(
                    "offset {} of `{name}` ({size} bytes), {past} bytes past its end",
                    a.wrapping_sub(start) as i64
                );
                if best.as_ref().is_none_or(|b| past < b.0) {
                    best = Some((past, text));
                }
            }
        };
        for v in &self.code.shared_vars {
            consider(u64::from(v.start), u64::from(v.size), &v.name);
        }
        if self.code.uses_dynamic {
            consider(u64::from(self.dynamic_base), dynamic, "dynamic shared memory");
        }
        let place = best.map_or_else(|| format!("address {a:#x} is in no shared variable"), |b| b.1);
        Fault::new(ILLEGAL_ADDRESS, lane, format!("out of bounds: {bytes} bytes of shared memory at {place}"))
    }

    fn find(&self, address: u64) -> Option<&Arc<Allocation>> {
        let i = self.snapshot.partition_point(|a| a.base <= address);
        let a = self.snapshot.get(i.checked_sub(1)?)?;
        (address < a.end()).then_some(a)
    }

    #[cold]
    fn outside(&self, address: u64, bytes: u64, lane: u32) -> Box<Fault> {
        let what = match window(address) {
            MemSpace::Shared => format!("{address:#x} is a shared address, not a global one"),
            MemSpace::Local => format!("{address:#x} is a local address, not a global one"),
            _ => match self.launch.space.range(address, bytes) {
                Err(e) => e,
                Ok(a) => format!("{address:#x} is in {}", a.describe()),
            },
        };
        Fault::new(ILLEGAL_ADDRESS, lane, format!("out of bounds: {bytes} bytes at {what}"))
    }

    /// The area of one lane's access.
    pub(crate) fn single(&mut self, shared: bool, address: u64, bytes: u64, lane: u32) -> Step<(Area, u64)> {
        match self.area(shared, &[address; 32], 1 << lane, bytes)? {
            Some((area, base)) => Ok((area, address - base)),
            None => Err(self.outside(address, bytes, lane)),
        }
    }

    pub(crate) fn actor(&self, shared: bool, w: &Warp) -> Actor {
        if shared { self.shared_actor(w) } else { self.global_actor(w) }
    }

    /// `ld` of global or shared memory.
    ///
    /// # Safety
    /// `dst` are places in the warp's file for each element, of the width that `mem` says.
    #[inline(always)]
    pub(crate) unsafe fn load(
        &mut self,
        w: &Warp,
        mem: &Mem,
        shared: bool,
        addrs: &Addresses,
        m: u32,
        dst: &[u32],
    ) -> Step<()> {
        let bytes = u64::from(mem.bytes) * u64::from(mem.vec);
        let Some((area, base)) = self.area(shared, addrs, m, bytes)? else {
            return each(m, |l| {
                let one = [addrs[l as usize]; 32];
                // SAFETY: as the caller's.
                unsafe { self.load_one(w, mem, shared, &one, 1 << l, dst) }
            });
        };
        if self.checks {
            let me = self.actor(shared, w);
            let access = if mem.order == Order::Sync { Access::Sync } else { Access::Read };
            if access == Access::Sync || !known(&area, base, addrs, bytes, &me) {
                self.note_reads(&area, base, &me, w, addrs, m, bytes, access)?;
            }
        }
        if mem.order == Order::Sync && !shared {
            self.acquired = true;
        }
        // SAFETY: all offsets are within the area, `dst` is the caller's word.
        unsafe { gather(&area, base, addrs, m, mem, w.file, dst) };
        Ok(())
    }

    /// `st` of global or shared memory.
    ///
    /// # Safety
    /// As [`Self::load`], of the sources.
    #[inline(always)]
    pub(crate) unsafe fn store(
        &mut self,
        w: &Warp,
        mem: &Mem,
        shared: bool,
        addrs: &Addresses,
        m: u32,
        src: &[u32],
    ) -> Step<()> {
        let bytes = u64::from(mem.bytes) * u64::from(mem.vec);
        let Some((area, base)) = self.area(shared, addrs, m, bytes)? else {
            return each(m, |l| {
                let one = [addrs[l as usize]; 32];
                // SAFETY: as the caller's.
                unsafe { self.store_one(w, mem, shared, &one, 1 << l, src) }
            });
        };
        // SAFETY: the caller's word.
        unsafe { self.store_in((area, base), w, mem, shared, addrs, m, src) }
    }

    /// # Safety
    /// As [`Self::store`]; all lanes' accesses are within the area.
    #[inline(always)]
    unsafe fn store_in(
        &mut self,
        (area, base): (Area, u64),
        w: &Warp,
        mem: &Mem,
        shared: bool,
        addrs: &Addresses,
        m: u32,
        src: &[u32],
    ) -> Step<()> {
        let bytes = u64::from(mem.bytes) * u64::from(mem.vec);
        if let Some(a) = area.allocation()
            && let crate::memory::Kind::Const(n) = &a.kind
        {
            let text = format!("store to the constant `{n}`");
            return Err(Fault::new(ILLEGAL_ADDRESS, m.trailing_zeros(), text));
        }
        let me = self.actor(shared, w);
        let sync = mem.order == Order::Sync;
        if self.checks && !sync {
            each(m, |l| {
                self.check_write(&area, &me, w, l, addrs[l as usize].wrapping_sub(base), bytes, Access::Write)
            })?;
        }
        // lanes of one instruction may write the same word only with the same value
        let apart = apart(addrs, m, bytes);
        if self.checks && (bytes < 4 || sync) {
            each(m, |l| {
                area.line((addrs[l as usize].wrapping_sub(base)) / 4).forget();
                Ok(())
            })?;
        }
        if apart && !sync && mem.bytes == 4 && !mem.wide {
            each(m, |l| {
                let offset = addrs[l as usize].wrapping_sub(base);
                // SAFETY: the offset is within the area, places are lines of the file.
                unsafe {
                    let to = area.host.add(offset as usize).cast::<u32>();
                    for (k, s) in src.iter().enumerate() {
                        *to.add(k) = *w.file.add(*s as usize).cast::<u32>().add(l as usize);
                    }
                }
                if self.checks {
                    area.line(offset / 4).forget();
                    self.note_write(&area, &me, l, offset, bytes);
                }
                Ok(())
            })?;
            return Ok(());
        }
        each(m, |l| {
            let offset = addrs[l as usize].wrapping_sub(base);
            if self.checks {
                area.line(offset / 4).forget();
            }
            // SAFETY: the offset is within the area, `src` is the caller's word.
            let data = unsafe { collect(w.file, src, mem, l) };
            if self.checks && !apart && !sync {
                self.same_or_race(&area, &me, w, l, offset, &data[..bytes as usize])?;
            }
            // SAFETY: `bytes` bytes at `offset` are within the area.
            unsafe {
                std::ptr::copy_nonoverlapping(data.as_ptr(), area.host.add(offset as usize), bytes as usize);
            }
            if self.checks {
                if sync {
                    self.note_atomic(&area, &me, l, offset, bytes);
                } else {
                    self.note_write(&area, &me, l, offset, bytes);
                }
            }
            Ok(())
        })
    }

    /// [`Self::load`] for the rarer ways there.
    ///
    /// # Safety
    /// As [`Self::load`].
    #[inline(never)]
    pub(crate) unsafe fn load_any(
        &mut self,
        w: &Warp,
        mem: &Mem,
        shared: bool,
        addrs: &Addresses,
        m: u32,
        dst: &[u32],
    ) -> Step<()> {
        // SAFETY: the caller's word.
        unsafe { self.load(w, mem, shared, addrs, m, dst) }
    }

    /// # Safety
    /// As [`Self::store`].
    #[inline(never)]
    pub(crate) unsafe fn store_any(
        &mut self,
        w: &Warp,
        mem: &Mem,
        shared: bool,
        addrs: &Addresses,
        m: u32,
        src: &[u32],
    ) -> Step<()> {
        // SAFETY: the caller's word.
        unsafe { self.store(w, mem, shared, addrs, m, src) }
    }

    /// A single lane's load, where the lanes' addresses lie in several allocations.
    ///
    /// # Safety
    /// As [`Self::load`].
    #[inline(never)]
    unsafe fn load_one(
        &mut self,
        w: &Warp,
        mem: &Mem,
        shared: bool,
        addrs: &Addresses,
        m: u32,
        dst: &[u32],
    ) -> Step<()> {
        let bytes = u64::from(mem.bytes) * u64::from(mem.vec);
        let Some((area, base)) = self.area(shared, addrs, m, bytes)? else {
            return Err(self.outside(addrs[0], bytes, m.trailing_zeros()));
        };
        if self.checks {
            let me = self.actor(shared, w);
            let access = if mem.order == Order::Sync { Access::Sync } else { Access::Read };
            self.note_reads(&area, base, &me, w, addrs, m, bytes, access)?;
        }
        self.acquired |= mem.order == Order::Sync && !shared;
        // SAFETY: the offset is within the area, `dst` is the caller's word.
        unsafe { gather(&area, base, addrs, m, mem, w.file, dst) };
        Ok(())
    }

    /// # Safety
    /// As [`Self::store`].
    #[inline(never)]
    unsafe fn store_one(
        &mut self,
        w: &Warp,
        mem: &Mem,
        shared: bool,
        addrs: &Addresses,
        m: u32,
        src: &[u32],
    ) -> Step<()> {
        let bytes = u64::from(mem.bytes) * u64::from(mem.vec);
        let Some(found) = self.area(shared, addrs, m, bytes)? else {
            return Err(self.outside(addrs[0], bytes, m.trailing_zeros()));
        };
        // SAFETY: the caller's word.
        unsafe { self.store_in(found, w, mem, shared, addrs, m, src) }
    }
}

/// Whether no two lanes access the same place. Aligned accesses of one size coincide or are apart.
#[inline(always)]
fn apart(addrs: &Addresses, m: u32, bytes: u64) -> bool {
    let lead = addrs[m.trailing_zeros() as usize & 31];
    // a bit for each place, of those near the first lane's
    let mut seen = [0u64; 64];
    let shift = bytes.trailing_zeros();
    let start = (lead >> shift).wrapping_sub(2048);
    let mut left = m;
    while left != 0 {
        let l = left.trailing_zeros() as usize;
        left &= left - 1;
        let place = (addrs[l] >> shift).wrapping_sub(start);
        if place >= 4096 {
            let mut sorted: Vec<u64> =
                (0..32).filter(|l| m >> l & 1 == 1).map(|l| addrs[l as usize]).collect();
            sorted.sort_unstable();
            return sorted.windows(2).all(|w| w[0] != w[1]);
        }
        let (word, bit) = ((place / 64) as usize, 1 << (place % 64));
        if seen[word] & bit != 0 {
            return false;
        }
        seen[word] |= bit;
    }
    true
}

#[inline(always)]
fn global_area(a: &Allocation) -> Area {
    Area {
        host: a.host,
        shadow: a.shadow,
        shared_fine: std::ptr::null(),
        lines: a.lines,
        shared: false,
        allocation: a,
    }
}

pub(crate) fn triple(t: [u32; 3]) -> String {
    format!("({}, {}, {})", t[0], t[1], t[2])
}

/// A lane's bytes to store.
unsafe fn collect(file: *const u8, src: &[u32], mem: &Mem, lane: u32) -> [u8; 32] {
    let mut out = [0u8; 32];
    let n = mem.bytes as usize;
    for (k, s) in src.iter().enumerate() {
        // SAFETY: `s` is a place in the file of the width `mem` says, and 4 or 8 bytes of it are this lane's.
        unsafe {
            let at = file.add(*s as usize).add(lane as usize * if mem.wide { 8 } else { 4 });
            std::ptr::copy_nonoverlapping(at, out.as_mut_ptr().add(k * n), n);
        }
    }
    out
}

/// Loaded bytes into the registers.
#[inline(always)]
unsafe fn gather(area: &Area, base: u64, addrs: &Addresses, m: u32, mem: &Mem, file: *mut u8, dst: &[u32]) {
    let n = mem.bytes as usize;
    // SAFETY: offsets are within the area and places within the file, by the caller's word.
    unsafe {
        if n == 4 && !mem.wide && m == u32::MAX && dst.len() == 4 {
            let lines = [0, 1, 2, 3].map(|k: usize| file.add(dst[k] as usize).cast::<u32>());
            for l in 0..32 {
                let v = area.host.add(addrs[l].wrapping_sub(base) as usize).cast::<[u32; 4]>().read();
                *lines[0].add(l) = v[0];
                *lines[1].add(l) = v[1];
                *lines[2].add(l) = v[2];
                *lines[3].add(l) = v[3];
            }
            return;
        }
        if n == 4 && !mem.wide {
            for (k, d) in dst.iter().enumerate() {
                let line = file.add(*d as usize).cast::<u32>();
                let from = area.host.add(4 * k);
                if m == u32::MAX {
                    for l in 0..32 {
                        *line.add(l) = from.add(addrs[l].wrapping_sub(base) as usize).cast::<u32>().read();
                    }
                } else {
                    let mut left = m;
                    while left != 0 {
                        let l = left.trailing_zeros() as usize;
                        left &= left - 1;
                        *line.add(l) = from.add(addrs[l].wrapping_sub(base) as usize).cast::<u32>().read();
                    }
                }
            }
            return;
        }
        let mut left = m;
        while left != 0 {
            let l = left.trailing_zeros() as usize;
            left &= left - 1;
            for (k, d) in dst.iter().enumerate() {
                let from = area.host.add(addrs[l].wrapping_sub(base) as usize + n * k);
                put(file, *d, l, read_raw(from, n), mem);
            }
        }
    }
}

/// # Safety
/// `n` bytes at `from` may be read.
pub(crate) unsafe fn read_raw(from: *const u8, n: usize) -> u64 {
    // SAFETY: the caller's word.
    unsafe {
        match n {
            1 => u64::from(*from),
            2 => u64::from(from.cast::<u16>().read_unaligned()),
            4 => u64::from(from.cast::<u32>().read_unaligned()),
            _ => from.cast::<u64>().read_unaligned(),
        }
    }
}

/// A loaded element into a lane of its register, extended as its type says.
///
/// # Safety
/// `d` is a place in the file of the width `mem` says.
pub(crate) unsafe fn put(file: *mut u8, d: u32, lane: usize, raw: u64, mem: &Mem) {
    let bits = u32::from(mem.bytes) * 8;
    let v = if mem.signed { ((raw << (64 - bits)) as i64 >> (64 - bits)) as u64 } else { raw };
    // SAFETY: the caller's word.
    unsafe {
        if mem.wide {
            *file.add(d as usize).cast::<u64>().add(lane) = v;
        } else {
            *file.add(d as usize).cast::<u32>().add(lane) = v as u32;
        }
    }
}
