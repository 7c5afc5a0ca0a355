//! Device memory: allocations far apart in a virtual address space, and what is known about each of their words.

pub(crate) mod shadow;
pub(crate) mod space;

pub(crate) use shadow::{Entry, Line};
pub(crate) use space::{Allocation, Kind, Snapshot, Space};

/// Generic addresses of a block's shared memory.
pub(crate) const SHARED_WINDOW: u64 = 0x7fff_0000_0000;
/// Generic addresses of a thread's local memory.
pub(crate) const LOCAL_WINDOW: u64 = 0x7ffe_0000_0000;
/// Generic addresses of the kernel's parameters.
pub(crate) const PARAM_WINDOW: u64 = 0x7ffd_0000_0000;
pub(crate) const WINDOW_SIZE: u64 = 0x0100_0000;

/// What unwritten memory holds when it is copied to the host: a NaN as f32 and, twice, as f64.
pub(crate) const POISON: u32 = 0x7fff_dead;
