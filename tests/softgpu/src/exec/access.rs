//! Loads and stores of global and shared memory, with every check.

use std::sync::Arc;

use super::code::{Mem, MemSpace, Order};
use super::warp::{Block, Fault, ILLEGAL_ADDRESS, LAUNCH_FAILED, MISALIGNED, Step, Warp};
use crate::exec::code::Inst;
use crate::memory::shadow::{self, Access, Actor, BYTES_MASK, Conflict, Entry, FINE, Line};
use crate::memory::{Allocation, LOCAL_WINDOW, PARAM_WINDOW, SHARED_WINDOW, WINDOW_SIZE};

/// Bytes and their shadow, in global or in shared memory.
pub(crate) struct Area {
    pub host: *mut u8,
    pub shadow: *const Entry,
    pub fine: *const Entry,
    pub lines: *const Line,
    pub shared: bool,
    /// Null in shared memory; kept alive by the launch's snapshot otherwise.
    allocation: *const Allocation,
}

impl Area {
    #[inline(always)]
    fn entry(&self, word: u64) -> &Entry {
        // SAFETY: offsets were checked against the area's size, which its shadow covers.
        unsafe { &*self.shadow.add(word as usize) }
    }

    fn fine(&self, byte: u64) -> &Entry {
        // SAFETY: as for `entry`: an entry for each byte.
        unsafe { &*self.fine.add(byte as usize) }
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

    fn lock(&self) -> Option<std::sync::MutexGuard<'_, ()>> {
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
        let (mut lo, mut hi, mut bits) = (u64::MAX, 0u64, 0u64);
        for a in addrs {
            lo = lo.min(*a);
            hi = hi.max(*a);
            bits |= a;
        }
        if bits & (bytes - 1) != 0 {
            return Err(misaligned(addrs, m, bytes, if shared { "shared" } else { "global" }));
        }
        if shared {
            return self.shared_area(lo, hi, addrs, m, bytes);
        }
        // SAFETY: null, or an allocation of the snapshot that this block holds.
        if let Some(a) = unsafe { self.recent.as_ref() }
            && lo >= a.base
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
        if hi.wrapping_add(bytes) > a.end() || hi.wrapping_add(bytes) < hi {
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
        let inside = |start: u64, size: u64| lo >= start && hi + bytes <= start + size && hi < 1 << 40;
        let area = Area {
            host: self.shared,
            shadow: self.shared_shadow,
            fine: self.shared_fine,
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

    /// A conflict as a report.
    #[cold]
    pub(crate) fn accuse(
        &self,
        c: Conflict,
        area: &Area,
        offset: u64,
        w: &Warp,
        lane: u32,
        access: Access,
    ) -> Box<Fault> {
        let place = self.place(area, offset);
        let doing = match access {
            Access::Read => "read",
            Access::Write => "write",
            Access::Atomic => "atomic access",
            Access::Sync => "volatile access",
        };
        let message = match c {
            Conflict::Unwritten => format!("unwritten: read of {place}, which nothing has written"),
            Conflict::Pending(r) => format!(
                "asynchronous copy in flight: {doing} of {place}, to which {} copies with cp.async and has not waited",
                self.who(r, w)
            ),
            Conflict::WithWrite(r) => {
                format!(
                    "race: {doing} of {place}, and a write by {} that nothing orders with it",
                    self.who(r, w)
                )
            }
            Conflict::WithRead(r) => {
                format!(
                    "race: {doing} of {place}, and a read by {} that nothing orders with it",
                    self.who(r, w)
                )
            }
        };
        let result = if c == Conflict::Unwritten { ILLEGAL_ADDRESS } else { LAUNCH_FAILED };
        Fault::new(result, lane, message)
    }

    pub(crate) fn place(&self, area: &Area, offset: u64) -> String {
        match area.allocation() {
            Some(a) => format!("offset {offset} of {}", a.describe()),
            None => {
                let o = offset as u32;
                for v in &self.code.shared_vars {
                    if o >= v.start && o < v.start + v.size {
                        return format!("offset {} of shared `{}` ({} bytes)", o - v.start, v.name, v.size);
                    }
                }
                format!(
                    "offset {} of dynamic shared memory ({} bytes)",
                    o.wrapping_sub(self.dynamic_base),
                    self.shared_size - self.dynamic_base
                )
            }
        }
    }

    /// Who made a record.
    fn who(&self, r: u64, w: &Warp) -> String {
        let thread = self.launch.thread(shadow::warp(r) * 32 + shadow::lane(r));
        let same = shadow::worker(r) == self.worker && shadow::time(r) >= self.block_start;
        if !same {
            return match self.launch.block_at(shadow::worker(r), shadow::time(r)) {
                Some(b) => format!("thread {} of block {}", triple(thread), triple(b)),
                None => format!("thread {} of another block", triple(thread)),
            };
        }
        if shadow::warp(r) == w.index {
            format!("thread {} of the same warp", triple(thread))
        } else {
            format!("thread {} (warp {})", triple(thread), shadow::warp(r))
        }
    }

    /// The word's parts get entries of their own, which start with what is known of the whole.
    fn split(&self, area: &Area, word: u64, me: &Actor) {
        use std::sync::atomic::Ordering::Relaxed;
        let e = area.entry(word);
        let w = e.w.load(Relaxed);
        if w & FINE != 0 && shadow::time(w) >= me.floor {
            return;
        }
        let r = e.r.load(Relaxed);
        for b in 0..4 {
            let fine = area.fine(word * 4 + b);
            let have = w & BYTES_MASK & (1 << (4 + b)) != 0;
            fine.w.store(if have { w | BYTES_MASK } else { w & !BYTES_MASK } & !FINE, Relaxed);
            fine.r.store(r, Relaxed);
        }
        // the time keeps the mark alive in shared memory, where old words belong to old blocks
        let t = me.now << shadow::TIME_SHIFT;
        let bytes = if shadow::time(w) < me.floor { 0 } else { w & BYTES_MASK };
        e.w.store(t | bytes | FINE, Relaxed);
    }

    fn is_fine(area: &Area, word: u64, me: &Actor) -> bool {
        let w = area.entry(word).w.load(std::sync::atomic::Ordering::Relaxed);
        w & FINE != 0 && shadow::time(w) >= me.floor
    }

    fn acquired_write(&self, c: Conflict) -> bool {
        // Another block's write before its __threadfence, seen by a block that synchronised through an atomic.
        match c {
            Conflict::WithWrite(r) | Conflict::WithRead(r) => {
                let other = shadow::worker(r) != self.worker || shadow::time(r) < self.block_start;
                other && self.acquired && self.launch.fenced(shadow::worker(r), shadow::time(r))
            }
            _ => false,
        }
    }

    /// One lane reads `len` bytes at `offset`.
    #[inline(always)]
    pub(crate) fn note_read(
        &self,
        area: &Area,
        me: &Actor,
        w: &Warp,
        lane: u32,
        offset: u64,
        len: u64,
        access: Access,
    ) -> Step<()> {
        if len >= 4 && access == Access::Read {
            for k in 0..len / 4 {
                let word = offset / 4 + k;
                if let Err(c) = area.entry(word).read(me, lane, 15) {
                    self.read_again(area, me, w, lane, word, 15, c, access)?;
                }
            }
            return Ok(());
        }
        self.note_read_parts(area, me, w, lane, offset, len, access)
    }

    #[inline(never)]
    fn note_read_parts(
        &self,
        area: &Area,
        me: &Actor,
        w: &Warp,
        lane: u32,
        offset: u64,
        len: u64,
        access: Access,
    ) -> Step<()> {
        let mut at = offset;
        while at < offset + len {
            let word = at / 4;
            let n = (4 - at % 4).min(offset + len - at);
            let bytes = ((1u64 << n) - 1) << (at % 4);
            let c = if n == 4 { Conflict::Unwritten } else { Conflict::WithRead(0) };
            self.read_again(area, me, w, lane, word, bytes, c, access)?;
            at += n;
        }
        Ok(())
    }

    /// The slow way: parts of words, words whose parts are known apart, and excuses.
    #[cold]
    #[inline(never)]
    fn read_again(
        &self,
        area: &Area,
        me: &Actor,
        w: &Warp,
        lane: u32,
        word: u64,
        bytes: u64,
        c: Conflict,
        access: Access,
    ) -> Step<()> {
        let _guard = area.lock();
        if bytes == 15 && !Self::is_fine(area, word, me) {
            if access == Access::Sync {
                let e = area.entry(word);
                let have = shadow::time(e.w.load(std::sync::atomic::Ordering::Relaxed)) >= me.floor;
                if e.written() == 15 && have {
                    return Ok(());
                }
                return Err(self.accuse(Conflict::Unwritten, area, word * 4, w, lane, access));
            }
            if self.acquired_write(c) {
                return Ok(());
            }
            return Err(self.accuse(c, area, word * 4, w, lane, access));
        }
        self.split(area, word, me);
        for b in 0..4 {
            if bytes >> b & 1 == 0 {
                continue;
            }
            let at = word * 4 + b;
            if access == Access::Sync {
                if area.fine(at).written() != 15 {
                    return Err(self.accuse(Conflict::Unwritten, area, at, w, lane, access));
                }
            } else if let Err(c) = area.fine(at).read(me, lane, 15)
                && !self.acquired_write(c)
            {
                return Err(self.accuse(c, area, at, w, lane, access));
            }
        }
        Ok(())
    }

    /// May this lane write here now?
    #[inline(always)]
    fn check_write(
        &self,
        area: &Area,
        me: &Actor,
        w: &Warp,
        lane: u32,
        offset: u64,
        len: u64,
        access: Access,
    ) -> Step<()> {
        if len >= 4 {
            for k in 0..len / 4 {
                let word = offset / 4 + k;
                let r = area.entry(word).check_write(me, lane, access == Access::Atomic);
                if r.is_err() || Self::is_fine(area, word, me) {
                    self.check_write_again(area, me, w, lane, word, 15, r, access)?;
                }
            }
            return Ok(());
        }
        let bytes = ((1u64 << len) - 1) << (offset % 4);
        self.check_write_again(area, me, w, lane, offset / 4, bytes, Ok(()), access)
    }

    #[cold]
    #[inline(never)]
    fn check_write_again(
        &self,
        area: &Area,
        me: &Actor,
        w: &Warp,
        lane: u32,
        word: u64,
        bytes: u64,
        r: Result<(), Conflict>,
        access: Access,
    ) -> Step<()> {
        let _guard = area.lock();
        if bytes == 15 && !Self::is_fine(area, word, me) {
            return match r {
                Err(c) if !self.acquired_write(c) => Err(self.accuse(c, area, word * 4, w, lane, access)),
                _ => Ok(()),
            };
        }
        self.split(area, word, me);
        for b in 0..4 {
            let at = word * 4 + b;
            if bytes >> b & 1 == 1
                && let Err(c) = area.fine(at).check_write(me, lane, access == Access::Atomic)
                && !self.acquired_write(c)
            {
                return Err(self.accuse(c, area, at, w, lane, access));
            }
        }
        Ok(())
    }

    #[inline(always)]
    fn note_write(&self, area: &Area, me: &Actor, lane: u32, offset: u64, len: u64) {
        let record = me.record(lane);
        if len >= 4 {
            for k in 0..len / 4 {
                let word = offset / 4 + k;
                if Self::is_fine(area, word, me) {
                    self.note_write_parts(area, me, lane, word, 15, false);
                } else {
                    area.entry(word).note_write(record);
                }
            }
            return;
        }
        let bytes = ((1u64 << len) - 1) << (offset % 4);
        self.note_write_parts(area, me, lane, offset / 4, bytes, false);
    }

    #[inline(never)]
    fn note_write_parts(&self, area: &Area, me: &Actor, lane: u32, word: u64, bytes: u64, atomic: bool) {
        let _guard = area.lock();
        self.split(area, word, me);
        for b in 0..4 {
            if bytes >> b & 1 == 1 {
                if atomic {
                    area.fine(word * 4 + b).note_atomic(me, lane);
                } else {
                    area.fine(word * 4 + b).note_write(me.record(lane));
                }
            }
        }
        area.entry(word).note_write_bytes(me.now << shadow::TIME_SHIFT, bytes, me.floor);
    }

    /// An atomic operation or volatile write of a lane has been made.
    pub(crate) fn note_atomic(&self, area: &Area, me: &Actor, lane: u32, offset: u64, len: u64) {
        let mut at = offset;
        while at < offset + len {
            let word = at / 4;
            let n = (4 - at % 4).min(offset + len - at);
            if n == 4 && !Self::is_fine(area, word, me) {
                area.entry(word).note_atomic(me, lane);
            } else {
                let bytes = ((1u64 << n) - 1) << (at % 4);
                self.note_write_parts(area, me, lane, word, bytes, true);
            }
            at += n;
        }
    }

    /// Checks for an atomic operation: it reads and writes.
    pub(crate) fn check_atomic(
        &self,
        area: &Area,
        me: &Actor,
        w: &Warp,
        lane: u32,
        offset: u64,
        len: u64,
    ) -> Step<()> {
        self.note_read_parts(area, me, w, lane, offset, len, Access::Sync)?;
        if len < 4 {
            let bytes = ((1u64 << len) - 1) << (offset % 4);
            return self.check_write_again(area, me, w, lane, offset / 4, bytes, Ok(()), Access::Atomic);
        }
        self.check_write(area, me, w, lane, offset, len, Access::Atomic)
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
            each(m, |l| self.check_write(&area, &me, w, l, addrs[l as usize] - base, bytes, Access::Write))?;
        }
        // lanes of one instruction may write the same word only with the same value
        let mut apart = true;
        let mut last = None;
        let mut left = m;
        while left != 0 {
            let l = left.trailing_zeros() as usize;
            left &= left - 1;
            apart &= last.is_none_or(|p| addrs[l] >= p + bytes);
            last = Some(addrs[l]);
        }
        if self.checks && (bytes < 4 || sync) {
            each(m, |l| {
                area.line((addrs[l as usize] - base) / 4).forget();
                Ok(())
            })?;
        }
        if apart && !sync && mem.bytes == 4 && !mem.wide {
            each(m, |l| {
                let offset = addrs[l as usize] - base;
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
            let offset = addrs[l as usize] - base;
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

    /// Every lane's read, word by word.
    fn note_reads(
        &self,
        area: &Area,
        base: u64,
        me: &Actor,
        w: &Warp,
        addrs: &Addresses,
        m: u32,
        bytes: u64,
        access: Access,
    ) -> Step<()> {
        if bytes < 4 || access != Access::Read {
            return each(m, |l| self.note_read(area, me, w, l, addrs[l as usize] - base, bytes, access));
        }
        // the second half of the warp may read just what the first half does
        let mirror = m == u32::MAX && addrs[..16] == addrs[16..];
        let mut left = if mirror { m & 0xffff } else { m };
        while left != 0 {
            let l = left.trailing_zeros();
            left &= left - 1;
            let a = addrs[l as usize];
            let mut several = mirror;
            let mut other = if mirror { l + 16 } else { l };
            // neighbours that read the same
            while left != 0 && addrs[left.trailing_zeros() as usize] == a {
                other = left.trailing_zeros();
                left &= left - 1;
                several = true;
            }
            let (word, n) = ((a - base) / 4, (bytes / 4) as usize);
            // SAFETY: the access is within the area, whose shadow has an entry for each word.
            let row = unsafe { std::slice::from_raw_parts(area.shadow.add(word as usize), n) };
            let good = Entry::read_row(row, area.line(word), word, me, l, several, area.shared);
            if good < n {
                let rest = (n - good) as u64 * 4;
                self.note_read(area, me, w, l, a - base + good as u64 * 4, rest, access)?;
                if several {
                    self.note_read(area, me, w, other, a - base + good as u64 * 4, rest, access)?;
                }
            }
        }
        Ok(())
    }

    fn same_or_race(
        &self,
        area: &Area,
        me: &Actor,
        w: &Warp,
        lane: u32,
        offset: u64,
        data: &[u8],
    ) -> Step<()> {
        for (i, b) in data.iter().enumerate() {
            let at = offset + i as u64;
            let e = if Self::is_fine(area, at / 4, me) { area.fine(at) } else { area.entry(at / 4) };
            // SAFETY: the byte is within the area.
            if e.just_written_by_other(me, lane) && unsafe { *area.host.add(at as usize) } != *b {
                let other = e.w.load(std::sync::atomic::Ordering::Relaxed);
                return Err(self.accuse(Conflict::WithWrite(other), area, at & !3, w, lane, Access::Write));
            }
        }
        Ok(())
    }
}

/// Whether all words of a read are known to be in order, by their lines.
#[inline(always)]
fn known(area: &Area, base: u64, addrs: &Addresses, bytes: u64, me: &Actor) -> bool {
    if bytes < 4 {
        return false;
    }
    let width = ((1u64 << (bytes / 4)) - 1) as u32;
    let mut offsets = [0u32; 32];
    let (mut lo, mut hi) = (u32::MAX, 0);
    for l in 0..32 {
        let o = (addrs[l] - base) as u32;
        offsets[l] = o;
        lo = lo.min(o >> 7);
        hi = hi.max(o >> 7);
    }
    // inactive lanes have the first active one's address
    if hi - lo > 15 {
        return false;
    }
    for line in lo..=hi {
        let mut words = 0u32;
        for o in offsets {
            let here = if o >> 7 == line { width } else { 0 };
            words |= here << (o >> 2 & 31);
        }
        if words != 0 && !area.line(u64::from(line) * 32).knows(me.horizon, words) {
            return false;
        }
    }
    true
}

#[inline(always)]
fn global_area(a: &Allocation) -> Area {
    Area { host: a.host, shadow: a.shadow, fine: a.fine, lines: a.lines, shared: false, allocation: a }
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
                let v = area.host.add((addrs[l] - base) as usize).cast::<[u32; 4]>().read();
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
                        *line.add(l) = from.add((addrs[l] - base) as usize).cast::<u32>().read();
                    }
                } else {
                    let mut left = m;
                    while left != 0 {
                        let l = left.trailing_zeros() as usize;
                        left &= left - 1;
                        *line.add(l) = from.add((addrs[l] - base) as usize).cast::<u32>().read();
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
                let from = area.host.add((addrs[l] - base) as usize + n * k);
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
