//! The driver API: handles, sticky errors, and every call wrapped so that no panic leaves the library.
//!
//! Work is done when it is asked for, on the calling thread and the pool's: a stream is always empty. That is one
//! of the orders a real device may choose.

mod context;
mod device;
mod errors;
mod events;
mod graph;
mod launch;
mod memory;
mod module;
mod stream;
mod symbols;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};
use std::sync::{LazyLock, Mutex, MutexGuard};

use crate::memory::Space;
use crate::report::report;

/// The exported functions, for Rust programs that link the library instead of loading it.
pub mod exports {
    pub use super::context::*;
    pub use super::device::*;
    pub use super::errors::*;
    pub use super::events::*;
    pub use super::graph::*;
    pub use super::launch::*;
    pub use super::memory::*;
    pub use super::module::*;
    pub use super::stream::*;
    pub use super::symbols::*;
}

/// `CUresult`
pub(crate) type Code = u32;
pub(crate) type Outcome = Result<(), Code>;

pub(crate) const INVALID_VALUE: Code = 1;
pub(crate) const OUT_OF_MEMORY: Code = 2;
pub(crate) const NOT_INITIALIZED: Code = 3;
pub(crate) const NO_DEVICE: Code = 100;
pub(crate) const INVALID_DEVICE: Code = 101;
pub(crate) const INVALID_IMAGE: Code = 200;
pub(crate) const INVALID_CONTEXT: Code = 201;
pub(crate) const NO_BINARY_FOR_GPU: Code = 209;
pub(crate) const INVALID_PTX: Code = 218;
pub(crate) const FILE_NOT_FOUND: Code = 301;
pub(crate) const INVALID_HANDLE: Code = 400;
pub(crate) const NOT_FOUND: Code = 500;
pub(crate) const LAUNCH_OUT_OF_RESOURCES: Code = 701;
pub(crate) const NOT_SUPPORTED: Code = 801;
pub(crate) const STREAM_CAPTURE_UNSUPPORTED: Code = 900;
pub(crate) const UNKNOWN: Code = 999;

/// What the whole process shares.
pub(crate) struct Device {
    pub space: Space,
    pub initialised: AtomicU32,
    /// Holders of the primary context.
    pub holders: AtomicU32,
    /// An error that a kernel left in the context.
    pub sticky: AtomicU32,
    next_handle: AtomicU64,
    calls: Mutex<HashMap<&'static str, u64>>,
    pub unwritten_copied: AtomicU64,
}

pub(crate) static DEVICE: LazyLock<Device> = LazyLock::new(|| Device {
    space: Space::new(),
    initialised: AtomicU32::new(0),
    holders: AtomicU32::new(0),
    sticky: AtomicU32::new(0),
    next_handle: AtomicU64::new(1),
    calls: Mutex::new(HashMap::new()),
    unwritten_copied: AtomicU64::new(0),
});

pub(crate) fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(|e| e.into_inner())
}

impl Device {
    /// A handle that no other object has or will have.
    pub(crate) fn handle(&self) -> usize {
        0x5_0000_0000 + (self.next_handle.fetch_add(1, SeqCst) as usize) * 64
    }

    pub(crate) fn calls(&self, name: &str) -> u64 {
        lock(&self.calls).get(name).copied().unwrap_or(0)
    }
}

/// Runs the body of a driver call.
pub(crate) fn call(name: &'static str, f: impl FnOnce() -> Outcome) -> Code {
    match catch_unwind(AssertUnwindSafe(|| {
        *lock(&DEVICE.calls).entry(name).or_insert(0) += 1;
        f()
    })) {
        Ok(Ok(())) => 0,
        Ok(Err(code)) => code,
        Err(panic) => {
            let text = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("a panic");
            report(format!("{name} failed inside the software GPU: {text}"));
            UNKNOWN
        }
    }
}

/// The call is wrong, and the report says why.
pub(crate) fn wrong<T>(code: Code, text: impl Into<String>) -> Result<T, Code> {
    report(text.into());
    Err(code)
}

/// A pointer to write a result to.
///
/// # Safety
/// `p` is null or valid for writing.
pub(crate) unsafe fn give<T>(p: *mut T, v: T) -> Outcome {
    if p.is_null() {
        return Err(INVALID_VALUE);
    }
    // SAFETY: not null, and the caller's word.
    unsafe { p.write(v) };
    Ok(())
}

/// Declares driver functions: each body is a `Result`, wrapped by [`call`].
macro_rules! api {
    ($($(#[$doc:meta])* fn $name:ident($($a:ident: $t:ty),* $(,)?) $body:block)*) => {
        $(
            $(#[$doc])*
            #[allow(non_snake_case, unused_variables, clippy::missing_safety_doc)]
            #[unsafe(no_mangle)]
            pub unsafe extern "C" fn $name($($a: $t),*) -> u32 {
                $crate::driver::call(stringify!($name), || $body)
            }
        )*

        /// This file's functions by name.
        pub(crate) fn symbols() -> Vec<(&'static str, *const ())> {
            vec![$((stringify!($name), $name as *const ())),*]
        }
    };
}
pub(crate) use api;

/// Calls that need a context: it is current on this thread, and no kernel has left an error in it.
pub(crate) fn ready() -> Outcome {
    if DEVICE.initialised.load(SeqCst) == 0 {
        return Err(NOT_INITIALIZED);
    }
    context::current()?;
    match DEVICE.sticky.load(SeqCst) {
        0 => Ok(()),
        e => Err(e),
    }
}
