//! The control surface besides the driver API: settings, counters and reports.

use std::ffi::{CStr, CString, c_char, c_int};
use std::sync::atomic::Ordering::Relaxed;

use crate::config::config;
use crate::driver::DEVICE;

/// Changes a setting at run time; false if there is no such key or the value is not understood.
pub fn set(key: &str, value: &str) -> bool {
    let checked = config().checks.load(Relaxed);
    let known = config().set(key, value);
    if !checked && config().checks.load(Relaxed) {
        DEVICE.space.mark_all_written();
    }
    known
}

/// Driver allocations made so far.
pub fn allocations() -> u64 {
    DEVICE.space.allocations()
}

/// How often a driver function was called.
pub fn calls(name: &str) -> u64 {
    DEVICE.calls(name)
}

/// Bytes that were copied to the host without ever having been written.
pub fn unwritten_copied() -> u64 {
    DEVICE.unwritten_copied.load(std::sync::atomic::Ordering::SeqCst)
}

/// # Safety
/// `s` is null or a string that ends with zero.
unsafe fn text<'a>(s: *const c_char) -> Option<&'a str> {
    if s.is_null() {
        return None;
    }
    // SAFETY: the caller's word.
    unsafe { CStr::from_ptr(s) }.to_str().ok()
}

fn guard<T>(default: T, f: impl FnOnce() -> T) -> T {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).unwrap_or(default)
}

fn give(s: String) -> *mut c_char {
    CString::new(s.replace('\0', " ")).map_or(std::ptr::null_mut(), CString::into_raw)
}

/// `softgpu_set(key, value)`: 0 if the setting was changed.
///
/// # Safety
/// Both are strings that end with zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn softgpu_set(key: *const c_char, value: *const c_char) -> c_int {
    guard(1, || {
        // SAFETY: the caller's word.
        match unsafe { (text(key), text(value)) } {
            (Some(k), Some(v)) => c_int::from(!set(k, v)),
            _ => 1,
        }
    })
}

/// All counters by kernel as JSON, to be freed with [`softgpu_free`].
#[unsafe(no_mangle)]
pub extern "C" fn softgpu_counters() -> *mut c_char {
    guard(std::ptr::null_mut(), || give(crate::counters::counters()))
}

#[unsafe(no_mangle)]
pub extern "C" fn softgpu_reset_counters() {
    guard((), crate::counters::reset_counters);
}

/// The text of the last report, to be freed with [`softgpu_free`]; empty if there was none.
#[unsafe(no_mangle)]
pub extern "C" fn softgpu_report() -> *mut c_char {
    guard(std::ptr::null_mut(), || give(crate::report::last_report()))
}

#[unsafe(no_mangle)]
pub extern "C" fn softgpu_clear_report() {
    guard((), crate::report::clear_report);
}

#[unsafe(no_mangle)]
pub extern "C" fn softgpu_allocations() -> u64 {
    guard(0, allocations)
}

/// How often the driver function of this name was called.
///
/// # Safety
/// A string that ends with zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn softgpu_calls(name: *const c_char) -> u64 {
    // SAFETY: the caller's word.
    guard(0, || unsafe { text(name) }.map_or(0, calls))
}

/// Frees a text of this library.
///
/// # Safety
/// `s` is null or came from `softgpu_report` or `softgpu_counters`, and is not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn softgpu_free(s: *mut c_char) {
    if !s.is_null() {
        // SAFETY: the caller's word.
        drop(unsafe { CString::from_raw(s) });
    }
}
