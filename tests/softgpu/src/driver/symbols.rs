//! `cuGetProcAddress`: the driver's functions by name.

use std::ffi::{CStr, c_char, c_int, c_uint, c_ulonglong, c_void};

use super::{INVALID_VALUE, NOT_FOUND, Outcome, api, context, device, errors, events, give, graph, launch};
use super::{memory, module, stream};

/// # Safety
/// `symbol` is null or a string that ends with zero; `out` is null or valid for writing.
unsafe fn find(symbol: *const c_char, out: *mut *mut c_void) -> Outcome {
    if symbol.is_null() {
        return Err(INVALID_VALUE);
    }
    // SAFETY: the caller's word.
    let name = unsafe { CStr::from_ptr(symbol) }.to_string_lossy();
    let all = [
        context::symbols(),
        device::symbols(),
        errors::symbols(),
        events::symbols(),
        graph::symbols(),
        launch::symbols(),
        memory::symbols(),
        module::symbols(),
        stream::symbols(),
        symbols(),
    ]
    .concat();
    // a name stands for its newest version
    let newest = format!("{name}_v2");
    let found = all.iter().find(|s| s.0 == newest).or_else(|| all.iter().find(|s| s.0 == name));
    match found {
        // SAFETY: the caller's pointer.
        Some(s) => unsafe { give(out, s.1 as *mut c_void) },
        None => {
            // SAFETY: the caller's pointer.
            unsafe { give(out, std::ptr::null_mut()) }?;
            Err(NOT_FOUND)
        }
    }
}

api! {
    fn cuGetProcAddress(symbol: *const c_char, out: *mut *mut c_void, version: c_int, flags: c_ulonglong) {
        // SAFETY: the caller's pointers.
        unsafe { find(symbol, out) }
    }

    fn cuGetProcAddress_v2(
        symbol: *const c_char,
        out: *mut *mut c_void,
        version: c_int,
        flags: c_ulonglong,
        status: *mut c_uint,
    ) {
        // SAFETY: the caller's pointers.
        let r = unsafe { find(symbol, out) };
        if !status.is_null() {
            // SAFETY: the caller's pointer: 0 is found, 1 is not.
            unsafe { status.write(c_uint::from(r.is_err())) };
        }
        r
    }
}
