//! The primary context, the only one there is.

use std::cell::Cell;
use std::ffi::{c_int, c_uint, c_void};
use std::sync::atomic::Ordering::SeqCst;

use super::device::is_device;
use super::{
    DEVICE, INVALID_CONTEXT, INVALID_VALUE, Outcome, api, events, give, graph, module, ready, stream,
};

/// The handle of the primary context.
const PRIMARY: usize = 0x4_0000_0000;

thread_local! {
    static CURRENT: Cell<usize> = const { Cell::new(0) };
}

/// There is a context on this thread, and it is alive.
pub(crate) fn current() -> Outcome {
    if CURRENT.get() == PRIMARY && DEVICE.holders.load(SeqCst) > 0 { Ok(()) } else { Err(INVALID_CONTEXT) }
}

/// The context ends: what it held goes, and so does its error.
fn destroy() {
    stream::clear();
    events::clear();
    graph::clear();
    module::clear();
    DEVICE.space.clear_heap();
    DEVICE.sticky.store(0, SeqCst);
}

api! {
    fn cuDevicePrimaryCtxRetain(ctx: *mut *mut c_void, dev: c_int) {
        is_device(dev)?;
        // SAFETY: the caller's pointer.
        unsafe { give(ctx, PRIMARY as *mut c_void) }?;
        DEVICE.holders.fetch_add(1, SeqCst);
        Ok(())
    }

    fn cuDevicePrimaryCtxRelease_v2(dev: c_int) {
        is_device(dev)?;
        let before = DEVICE.holders.fetch_update(SeqCst, SeqCst, |n| n.checked_sub(1));
        match before {
            Ok(1) => destroy(),
            Ok(_) => {}
            Err(_) => return Err(INVALID_CONTEXT),
        }
        Ok(())
    }

    fn cuDevicePrimaryCtxReset_v2(dev: c_int) {
        is_device(dev)?;
        destroy();
        Ok(())
    }

    fn cuDevicePrimaryCtxGetState(dev: c_int, flags: *mut c_uint, active: *mut c_int) {
        is_device(dev)?;
        // SAFETY: the caller's pointers.
        unsafe {
            give(flags, 0)?;
            give(active, c_int::from(DEVICE.holders.load(SeqCst) > 0))
        }
    }

    fn cuDevicePrimaryCtxSetFlags_v2(dev: c_int, flags: c_uint) {
        is_device(dev)
    }

    fn cuCtxGetCurrent(ctx: *mut *mut c_void) {
        // SAFETY: the caller's pointer.
        unsafe { give(ctx, CURRENT.get() as *mut c_void) }
    }

    fn cuCtxSetCurrent(ctx: *mut c_void) {
        let ctx = ctx as usize;
        if ctx != 0 && ctx != PRIMARY {
            return Err(INVALID_CONTEXT);
        }
        CURRENT.set(ctx);
        Ok(())
    }

    fn cuCtxPushCurrent_v2(ctx: *mut c_void) {
        if ctx as usize != PRIMARY {
            return Err(INVALID_VALUE);
        }
        CURRENT.set(PRIMARY);
        Ok(())
    }

    fn cuCtxPopCurrent_v2(ctx: *mut *mut c_void) {
        if !ctx.is_null() {
            // SAFETY: the caller's pointer.
            unsafe { ctx.write(CURRENT.get() as *mut c_void) };
        }
        CURRENT.set(0);
        Ok(())
    }

    fn cuCtxGetDevice(dev: *mut c_int) {
        current()?;
        // SAFETY: the caller's pointer.
        unsafe { give(dev, 0) }
    }

    fn cuCtxSynchronize() {
        ready()
    }

    fn cuCtxGetFlags(flags: *mut c_uint) {
        current()?;
        // SAFETY: the caller's pointer.
        unsafe { give(flags, 0) }
    }

    fn cuCtxSetFlags(flags: c_uint) {
        current()
    }

    fn cuCtxSetLimit(limit: c_uint, value: usize) {
        current()
    }

    fn cuCtxGetLimit(value: *mut usize, limit: c_uint) {
        current()?;
        // SAFETY: the caller's pointer.
        unsafe { give(value, 1 << 20) }
    }

    fn cuCtxSetCacheConfig(config: c_uint) {
        current()
    }

    fn cuCtxGetStreamPriorityRange(least: *mut c_int, greatest: *mut c_int) {
        current()?;
        // SAFETY: the caller's pointers, which may be null here.
        unsafe {
            if !least.is_null() {
                least.write(0);
            }
            if !greatest.is_null() {
                greatest.write(-5);
            }
        }
        Ok(())
    }
}
