//! The address space: every allocation has unmapped gaps around it, and no address is ever given out twice, so
//! that an overrun or a use after free never lands in somebody else's memory.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use super::POISON;
use super::shadow::{BYTES_ALL, Entry, Line};

const FIRST: u64 = 0x0001_0000_0000;
const GAP: u64 = 0x1_0000;
const ALIGN: u64 = 512;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// From `cuMemAlloc`: number of the allocation.
    Heap(u64),
    /// A `.global` variable.
    Variable(String),
    /// A `.const` variable: kernels only read it.
    Const(String),
}

/// One allocation: its bytes on the host and a shadow entry for each word.
pub(crate) struct Allocation {
    pub base: u64,
    pub size: u64,
    pub kind: Kind,
    pub host: *mut u8,
    pub shadow: *mut Entry,
    /// Entries of single bytes, for words that are accessed in parts: made for 4096 bytes at a time when they are
    /// first needed, under `fine_lock`.
    fine: Vec<AtomicPtr<Entry>>,
    pub fine_lock: Mutex<()>,
    /// Summaries of 32 words each.
    pub lines: *mut Line,
    lines_layout: Layout,
    bytes_layout: Layout,
    shadow_layout: Layout,
}

// SAFETY: the bytes are device memory, which every thread may touch by the rules of the device (racing kernels
// race; nothing of Rust's lives there), the shadow's entries are atomics and `fine` is guarded by its lock.
unsafe impl Send for Allocation {}
// SAFETY: as above.
unsafe impl Sync for Allocation {}

/// Bytes that one piece of the fine shadow is for.
const PIECE: u64 = 4096;

/// Zeroed memory, which costs nothing before it is touched.
fn zeroed(layout: Layout) -> Option<*mut u8> {
    // SAFETY: every layout here has a size above zero.
    let p = unsafe { alloc_zeroed(layout) };
    (!p.is_null()).then_some(p)
}

fn piece_layout() -> Layout {
    Layout::array::<Entry>(PIECE as usize).expect("a fine shadow's layout")
}

impl Allocation {
    /// `None` if the host has not the memory.
    fn new(base: u64, size: u64, kind: Kind) -> Option<Allocation> {
        let words = size.div_ceil(4).max(1) as usize;
        // room behind the last byte, so that whole-word copies of the host side never leave it
        let bytes_layout = Layout::from_size_align(words * 4 + 64, 64).ok()?;
        let shadow_layout = Layout::array::<Entry>(words).ok()?;
        let lines_layout = Layout::array::<Line>(words.div_ceil(32)).ok()?;
        let mut a = Allocation {
            base,
            size,
            kind,
            host: std::ptr::null_mut(),
            shadow: std::ptr::null_mut(),
            fine: Vec::new(),
            fine_lock: Mutex::new(()),
            lines: std::ptr::null_mut(),
            lines_layout,
            bytes_layout,
            shadow_layout,
        };
        // what was made is freed by `drop` if the rest cannot be
        a.host = zeroed(bytes_layout)?;
        a.shadow = zeroed(shadow_layout)?.cast();
        a.lines = zeroed(lines_layout)?.cast();
        a.fine.resize_with(size.div_ceil(PIECE) as usize, AtomicPtr::default);
        Some(a)
    }

    /// The entry of a byte. Called with the lock held, or for bytes whose word is marked as known in parts.
    pub(crate) fn fine(&self, byte: u64) -> &Entry {
        let piece = &self.fine[(byte / PIECE) as usize];
        let mut p = piece.load(Ordering::Acquire);
        if p.is_null() {
            p = zeroed(piece_layout()).unwrap_or_else(|| handle_alloc_error(piece_layout())).cast();
            piece.store(p, Ordering::Release);
        }
        // SAFETY: a piece has an entry for each of its bytes and lives as long as the allocation.
        unsafe { &*p.add((byte % PIECE) as usize) }
    }

    pub(crate) fn end(&self) -> u64 {
        self.base + self.size
    }

    pub(crate) fn describe(&self) -> String {
        match &self.kind {
            Kind::Heap(n) => format!("allocation #{n} ({} bytes at {:#x})", self.size, self.base),
            Kind::Variable(n) => format!("global variable `{n}` ({} bytes)", self.size),
            Kind::Const(n) => format!("constant `{n}` ({} bytes)", self.size),
        }
    }

    fn entry(&self, word: u64) -> &Entry {
        debug_assert!(word < self.size.div_ceil(4));
        // SAFETY: the shadow holds an entry for each of the allocation's words and lives as long as it.
        unsafe { &*self.shadow.add(word as usize) }
    }

    /// The host wrote these bytes.
    pub(crate) fn mark_written(&self, offset: u64, len: u64) {
        if len == 0 {
            return;
        }
        let (first, last) = (offset / 4, (offset + len - 1) / 4);
        for w in first..=last {
            let begin = if w == first { offset % 4 } else { 0 };
            let end = if w == last { (offset + len - 1) % 4 + 1 } else { 4 };
            if end - begin == 4 {
                self.entry(w).set_host_written(BYTES_ALL);
            } else {
                let mut bits = 0;
                for b in begin..end {
                    bits |= 1 << b;
                }
                self.entry(w).add_host_written(bits);
            }
        }
    }

    /// Copies to the host, with poison in place of what was never written. Returns how many bytes those were.
    ///
    /// # Safety
    /// `dst` has room for `len` bytes, and `offset + len` is within the allocation.
    pub(crate) unsafe fn copy_out(&self, offset: u64, dst: *mut u8, len: u64, checked: bool) -> u64 {
        // SAFETY: both ranges are valid by the caller's word, and device memory never overlaps the host's.
        unsafe { std::ptr::copy_nonoverlapping(self.host.add(offset as usize), dst, len as usize) };
        if !checked || len == 0 {
            return 0;
        }
        let mut unwritten = 0;
        let (first, last) = (offset / 4, (offset + len - 1) / 4);
        for w in first..=last {
            let have = self.entry(w).written();
            if have == BYTES_ALL {
                continue;
            }
            for b in 0..4 {
                let at = w * 4 + b;
                if have & (1 << b) == 0 && at >= offset && at < offset + len {
                    unwritten += 1;
                    let poison = POISON.to_le_bytes()[b as usize];
                    // SAFETY: `at - offset` is below `len`.
                    unsafe { *dst.add((at - offset) as usize) = poison };
                }
            }
        }
        unwritten
    }

    /// Copies within the device: what was unwritten stays so.
    pub(crate) fn copy_shadow_from(&self, to: u64, from: &Allocation, at: u64, len: u64) {
        if (to | at | len).is_multiple_of(4) {
            for i in 0..len / 4 {
                self.entry(to / 4 + i).set_host_written(from.entry(at / 4 + i).written());
            }
            return;
        }
        for i in 0..len {
            let bit = 1 << ((at + i) % 4);
            if from.entry((at + i) / 4).written() & bit != 0 {
                self.entry((to + i) / 4).add_host_written(1 << ((to + i) % 4));
            } else {
                self.entry((to + i) / 4).remove_written(1 << ((to + i) % 4));
            }
        }
    }
}

impl Drop for Allocation {
    fn drop(&mut self) {
        // SAFETY: each pointer that is not null came from `alloc_zeroed` with the layout that is kept beside it.
        unsafe {
            for (p, layout) in [
                (self.host, self.bytes_layout),
                (self.shadow.cast(), self.shadow_layout),
                (self.lines.cast(), self.lines_layout),
            ] {
                if !p.is_null() {
                    dealloc(p, layout);
                }
            }
            for p in &self.fine {
                let p = p.load(Ordering::Acquire);
                if !p.is_null() {
                    dealloc(p.cast(), piece_layout());
                }
            }
        }
    }
}

/// All allocations of a moment, sorted by address: what a launch looks addresses up in.
pub(crate) type Snapshot = Arc<Vec<Arc<Allocation>>>;

struct Inner {
    live: BTreeMap<u64, Arc<Allocation>>,
    /// Freed ranges, for reports: base, size, description.
    freed: BTreeMap<u64, (u64, String)>,
    next: u64,
    used: u64,
    snapshot: Option<Snapshot>,
}

pub(crate) struct Space {
    inner: RwLock<Inner>,
    count: AtomicU64,
}

impl Space {
    pub(crate) fn new() -> Space {
        Space {
            inner: RwLock::new(Inner {
                live: BTreeMap::new(),
                freed: BTreeMap::new(),
                next: FIRST,
                used: 0,
                snapshot: None,
            }),
            count: AtomicU64::new(0),
        }
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(|e| e.into_inner())
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(|e| e.into_inner())
    }

    /// How many allocations the driver made so far; variables of modules do not count.
    pub(crate) fn allocations(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    pub(crate) fn used(&self) -> u64 {
        self.read().used
    }

    /// A heap allocation, or `None` when `limit` would be passed.
    pub(crate) fn allocate(&self, size: u64, limit: u64, poison: bool) -> Option<u64> {
        let mut inner = self.write();
        if inner.used.checked_add(size)? > limit {
            return None;
        }
        let n = self.count.load(Ordering::Relaxed) + 1;
        let a = inner.insert(size, Kind::Heap(n))?;
        self.count.store(n, Ordering::Relaxed);
        inner.used += size;
        if poison {
            for w in 0..size as usize / 4 {
                // SAFETY: within the allocation just made, whose bytes are aligned to 64.
                unsafe { *a.host.cast::<u32>().add(w) = POISON };
            }
        }
        Some(a.base)
    }

    /// A module's variable, with its first bytes; the rest is zero, as for every variable.
    pub(crate) fn variable(&self, size: u64, kind: Kind) -> Option<Arc<Allocation>> {
        let a = self.write().insert(size.max(1), kind)?;
        a.mark_written(0, size);
        Some(a)
    }

    pub(crate) fn free_heap(&self, base: u64) -> Result<(), String> {
        let mut inner = self.write();
        match inner.live.get(&base) {
            Some(a) if matches!(a.kind, Kind::Heap(_)) => {}
            Some(a) => return Err(format!("free of {}", a.describe())),
            None => {
                return Err(match inner.freed_at(base) {
                    Some(d) => format!("double free: {base:#x} is in {d}, which was freed before"),
                    None => match inner.find(base) {
                        Some(a) => {
                            format!("free of {base:#x}, which is inside {} and not its start", a.describe())
                        }
                        None => format!("free of {base:#x}, which no allocation ever had"),
                    },
                });
            }
        }
        inner.remove(base);
        Ok(())
    }

    pub(crate) fn free_variable(&self, base: u64) {
        self.write().remove(base);
    }

    /// Frees what the heap still holds: the context is gone.
    pub(crate) fn clear_heap(&self) {
        let mut inner = self.write();
        let all: Vec<u64> =
            inner.live.values().filter(|a| matches!(a.kind, Kind::Heap(_))).map(|a| a.base).collect();
        for base in all {
            inner.remove(base);
        }
    }

    /// What was written while nobody looked cannot be known: all of it counts as written.
    pub(crate) fn mark_all_written(&self) {
        for a in self.read().live.values() {
            a.mark_written(0, a.size);
        }
    }

    pub(crate) fn find(&self, address: u64) -> Option<Arc<Allocation>> {
        self.read().find(address)
    }

    /// The allocation that holds `[address, address + len)`, or what is wrong with that range.
    pub(crate) fn range(&self, address: u64, len: u64) -> Result<Arc<Allocation>, String> {
        let inner = self.read();
        match inner.find(address) {
            Some(a) if len <= a.end() - address => Ok(a),
            Some(a) => Err(format!(
                "{len} bytes at {address:#x} overrun {} by {} bytes",
                a.describe(),
                len - (a.end() - address)
            )),
            None => Err(inner.nowhere(address)),
        }
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        if let Some(s) = &self.read().snapshot {
            return s.clone();
        }
        let mut inner = self.write();
        let s: Snapshot = Arc::new(inner.live.values().cloned().collect());
        inner.snapshot = Some(s.clone());
        s
    }
}

impl Inner {
    fn insert(&mut self, size: u64, kind: Kind) -> Option<Arc<Allocation>> {
        let base = self.next;
        self.next = (base + size + GAP).next_multiple_of(ALIGN);
        let a = Arc::new(Allocation::new(base, size, kind)?);
        self.live.insert(base, a.clone());
        self.snapshot = None;
        Some(a)
    }

    fn remove(&mut self, base: u64) {
        if let Some(a) = self.live.remove(&base) {
            if matches!(a.kind, Kind::Heap(_)) {
                self.used -= a.size;
            }
            self.freed.insert(base, (a.size, a.describe()));
            // reports remember the last few thousand only
            if self.freed.len() > 8192 {
                self.freed.pop_first();
            }
            self.snapshot = None;
        }
    }

    fn find(&self, address: u64) -> Option<Arc<Allocation>> {
        let (_, a) = self.live.range(..=address).next_back()?;
        (address < a.end()).then(|| a.clone())
    }

    fn freed_at(&self, address: u64) -> Option<&str> {
        let (base, (size, d)) = self.freed.range(..=address).next_back()?;
        (address < base + size).then_some(d.as_str())
    }

    fn nowhere(&self, address: u64) -> String {
        if let Some(d) = self.freed_at(address) {
            return format!(
                "use after free: {address:#x} is {} bytes into {d}",
                address - self.freed_base(address)
            );
        }
        let before = self.live.range(..=address).next_back().map(|(_, a)| a);
        let after = self.live.range(address..).next().map(|(_, a)| a);
        let near = |d: u64| d < GAP;
        if let Some(a) = before.filter(|a| near(address - a.end())) {
            return format!("{address:#x} is {} bytes past the end of {}", address - a.end(), a.describe());
        }
        if let Some(a) = after.filter(|a| near(a.base - address)) {
            return format!(
                "{address:#x} is {} bytes before the start of {}",
                a.base - address,
                a.describe()
            );
        }
        format!("{address:#x} is in no allocation")
    }

    fn freed_base(&self, address: u64) -> u64 {
        self.freed.range(..=address).next_back().map_or(0, |(b, _)| *b)
    }
}
