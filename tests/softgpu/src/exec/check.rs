//! What an access does to the shadow: is it in order, and what does it leave for those that come after.

use super::access::{Addresses, Area, each, triple};
use super::warp::{Block, Fault, ILLEGAL_ADDRESS, LAUNCH_FAILED, Step, Warp};
use crate::memory::shadow::{self, Access, Actor, BYTES_MASK, Conflict, Entry, FINE};

impl Block<'_> {
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
    pub(super) fn who(&self, r: u64, w: &Warp) -> String {
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
    pub(super) fn split(&self, area: &Area, word: u64, me: &Actor) {
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

    pub(super) fn is_fine(area: &Area, word: u64, me: &Actor) -> bool {
        let w = area.entry(word).w.load(std::sync::atomic::Ordering::Relaxed);
        w & FINE != 0 && shadow::time(w) >= me.floor
    }

    pub(super) fn acquired_write(&self, c: Conflict) -> bool {
        match c {
            // several blocks' atomics on a counter, and a plain access by the block that they told to be the last
            Conflict::WithWrite(r)
                if r & shadow::ATOMIC != 0
                    && self.acquired
                    && self.launch.fenced(self.worker, self.block_start) =>
            {
                true
            }
            // another block's access before its __threadfence, seen by a block that synchronised through an atomic
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
    pub(super) fn note_read_parts(
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
    pub(super) fn read_again(
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
    pub(super) fn check_write(
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
    pub(super) fn check_write_again(
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
    pub(super) fn note_write(&self, area: &Area, me: &Actor, lane: u32, offset: u64, len: u64) {
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
    pub(super) fn note_write_parts(
        &self,
        area: &Area,
        me: &Actor,
        lane: u32,
        word: u64,
        bytes: u64,
        atomic: bool,
    ) {
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

    /// Every lane's read, word by word.
    pub(super) fn note_reads(
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
            return each(m, |l| {
                self.note_read(area, me, w, l, addrs[l as usize].wrapping_sub(base), bytes, access)
            });
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

    pub(super) fn same_or_race(
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
pub(super) fn known(area: &Area, base: u64, addrs: &Addresses, bytes: u64, me: &Actor) -> bool {
    if bytes < 4 {
        return false;
    }
    let width = ((1u64 << (bytes / 4)) - 1) as u32;
    let mut offsets = [0u32; 32];
    let (mut lo, mut hi) = (u32::MAX, 0);
    for l in 0..32 {
        let o = addrs[l].wrapping_sub(base) as u32;
        offsets[l] = o;
        lo = lo.min(o >> 7);
        hi = hi.max(o >> 7);
    }
    // inactive lanes have the first active one's address
    if hi.wrapping_sub(lo) > 15 {
        return false;
    }
    for line in lo..=hi {
        let mut words = 0u32;
        for o in offsets {
            let here = if o >> 7 == line { width } else { 0 };
            words |= here.wrapping_shl(o >> 2 & 31);
        }
        if words != 0 && !area.line(u64::from(line) * 32).knows(me.horizon, words) {
            return false;
        }
    }
    true
}
