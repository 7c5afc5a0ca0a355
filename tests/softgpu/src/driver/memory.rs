//! Allocations, copies and fills.

use std::alloc::{Layout, alloc, dealloc};
use std::collections::HashMap;
use std::ffi::{c_uint, c_void};
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::{LazyLock, Mutex};

use super::stream::{Work, submit};
use super::{DEVICE, INVALID_VALUE, OUT_OF_MEMORY, Outcome, api, give, lock, ready, wrong};
use crate::config::config;
use crate::memory::Kind;

static PINNED: LazyLock<Mutex<HashMap<usize, Layout>>> = LazyLock::new(|| Mutex::new(HashMap::new()));

fn allocate(out: *mut u64, size: usize) -> Outcome {
    ready()?;
    if size == 0 {
        return wrong(INVALID_VALUE, "cuMemAlloc of zero bytes");
    }
    let checks = config().checks.load(Relaxed);
    match DEVICE.space.allocate(size as u64, config().memory, !checks) {
        // SAFETY: the caller's pointer.
        Some(base) => unsafe { give(out, base) },
        None => Err(OUT_OF_MEMORY),
    }
}

fn free(address: u64) -> Outcome {
    ready()?;
    if address == 0 {
        return Ok(());
    }
    DEVICE.space.free_heap(address).or_else(|e| wrong(INVALID_VALUE, format!("cuMemFree: {e}")))
}

/// Host to device.
///
/// # Safety
/// `src` is valid for `len` bytes.
pub(crate) unsafe fn upload(dst: u64, src: *const u8, len: u64) -> Outcome {
    if len == 0 {
        return Ok(());
    }
    if src.is_null() {
        return Err(INVALID_VALUE);
    }
    let a = match DEVICE.space.range(dst, len) {
        Ok(a) => a,
        Err(e) => return wrong(INVALID_VALUE, format!("copy to the device: {e}")),
    };
    // SAFETY: the range is within the allocation, and the host's memory is apart from it.
    unsafe { std::ptr::copy_nonoverlapping(src, a.host.add((dst - a.base) as usize), len as usize) };
    a.mark_written(dst - a.base, len);
    Ok(())
}

/// Device to host.
///
/// # Safety
/// `dst` is valid for `len` bytes.
pub(crate) unsafe fn download(dst: *mut u8, src: u64, len: u64) -> Outcome {
    if len == 0 {
        return Ok(());
    }
    if dst.is_null() {
        return Err(INVALID_VALUE);
    }
    let a = match DEVICE.space.range(src, len) {
        Ok(a) => a,
        Err(e) => return wrong(INVALID_VALUE, format!("copy from the device: {e}")),
    };
    let checked = config().checks.load(Relaxed);
    // SAFETY: the range is within the allocation, `dst` is the caller's word.
    let unwritten = unsafe { a.copy_out(src - a.base, dst, len, checked) };
    DEVICE.unwritten_copied.fetch_add(unwritten, SeqCst);
    Ok(())
}

pub(crate) fn device_copy(dst: u64, src: u64, len: u64) -> Outcome {
    if len == 0 {
        return Ok(());
    }
    let find = |at| match DEVICE.space.range(at, len) {
        Ok(a) => Ok(a),
        Err(e) => wrong(INVALID_VALUE, format!("copy on the device: {e}")),
    };
    let (to, from) = (find(dst)?, find(src)?);
    let (t, f) = (dst - to.base, src - from.base);
    // SAFETY: both ranges are within their allocations; they may overlap.
    unsafe { std::ptr::copy(from.host.add(f as usize), to.host.add(t as usize), len as usize) };
    to.copy_shadow_from(t, &from, f, len);
    Ok(())
}

/// Fills `count` elements of `size` bytes with `value`.
pub(crate) fn fill(dst: u64, value: u32, size: u64, count: u64) -> Outcome {
    if count == 0 {
        return Ok(());
    }
    if !dst.is_multiple_of(size) {
        return wrong(INVALID_VALUE, format!("memset of {size}-byte elements at {dst:#x}"));
    }
    let Some(len) = count.checked_mul(size) else { return Err(INVALID_VALUE) };
    let a = match DEVICE.space.range(dst, len) {
        Ok(a) => a,
        Err(e) => return wrong(INVALID_VALUE, format!("memset: {e}")),
    };
    let bytes = value.to_le_bytes();
    // SAFETY: the range is within the allocation.
    let all = unsafe { std::slice::from_raw_parts_mut(a.host.add((dst - a.base) as usize), len as usize) };
    if size == 1 || bytes.iter().all(|b| *b == bytes[0]) {
        all.fill(bytes[0]);
    } else {
        for c in all.chunks_exact_mut(size as usize) {
            c.copy_from_slice(&bytes[..size as usize]);
        }
    }
    a.mark_written(dst - a.base, len);
    Ok(())
}

api! {
    fn cuMemGetInfo_v2(free: *mut usize, total: *mut usize) {
        ready()?;
        let all = config().memory;
        // SAFETY: the caller's pointers.
        unsafe {
            give(free, (all - DEVICE.space.used()) as usize)?;
            give(total, all as usize)
        }
    }

    fn cuMemAlloc_v2(out: *mut u64, size: usize) {
        allocate(out, size)
    }

    fn cuMemAllocAsync(out: *mut u64, size: usize, stream: *mut c_void) {
        allocate(out, size)
    }

    fn cuMemFree_v2(address: u64) {
        free(address)
    }

    fn cuMemFreeAsync(address: u64, stream: *mut c_void) {
        free(address)
    }

    fn cuMemHostAlloc(out: *mut *mut c_void, size: usize, flags: c_uint) {
        ready()?;
        if size == 0 {
            return Err(INVALID_VALUE);
        }
        let layout = Layout::from_size_align(size, 4096).map_err(|_| OUT_OF_MEMORY)?;
        // SAFETY: the size is above zero.
        let p = unsafe { alloc(layout) };
        if p.is_null() {
            return Err(OUT_OF_MEMORY);
        }
        lock(&PINNED).insert(p as usize, layout);
        // SAFETY: the caller's pointer.
        unsafe { give(out, p.cast()) }
    }

    fn cuMemAllocHost_v2(out: *mut *mut c_void, size: usize) {
        // SAFETY: the same function under an older name.
        match unsafe { cuMemHostAlloc(out, size, 0) } {
            0 => Ok(()),
            e => Err(e),
        }
    }

    fn cuMemFreeHost(p: *mut c_void) {
        match lock(&PINNED).remove(&(p as usize)) {
            // SAFETY: allocated above with this layout.
            Some(layout) => unsafe { dealloc(p.cast(), layout) },
            None => return wrong(INVALID_VALUE, "cuMemFreeHost of memory that is not pinned"),
        }
        Ok(())
    }

    fn cuMemHostGetFlags(flags: *mut c_uint, p: *mut c_void) {
        // SAFETY: the caller's pointer.
        unsafe { give(flags, 0) }
    }

    fn cuMemcpyHtoD_v2(dst: u64, src: *const c_void, len: usize) {
        ready()?;
        // SAFETY: the caller's buffer.
        unsafe { upload(dst, src.cast(), len as u64) }
    }

    fn cuMemcpyHtoDAsync_v2(dst: u64, src: *const c_void, len: usize, stream: *mut c_void) {
        ready()?;
        submit(stream, Work::Upload { dst, src: src as usize, len: len as u64 })
    }

    fn cuMemcpyDtoH_v2(dst: *mut c_void, src: u64, len: usize) {
        ready()?;
        // SAFETY: the caller's buffer.
        unsafe { download(dst.cast(), src, len as u64) }
    }

    fn cuMemcpyDtoHAsync_v2(dst: *mut c_void, src: u64, len: usize, stream: *mut c_void) {
        ready()?;
        submit(stream, Work::Download { dst: dst as usize, src, len: len as u64 })
    }

    fn cuMemcpyDtoD_v2(dst: u64, src: u64, len: usize) {
        ready()?;
        device_copy(dst, src, len as u64)
    }

    fn cuMemcpyDtoDAsync_v2(dst: u64, src: u64, len: usize, stream: *mut c_void) {
        ready()?;
        submit(stream, Work::Copy { dst, src, len: len as u64 })
    }

    fn cuMemsetD8_v2(dst: u64, value: u8, n: usize) {
        ready()?;
        fill(dst, u32::from(value), 1, n as u64)
    }

    fn cuMemsetD16_v2(dst: u64, value: u16, n: usize) {
        ready()?;
        fill(dst, u32::from(value), 2, n as u64)
    }

    fn cuMemsetD32_v2(dst: u64, value: u32, n: usize) {
        ready()?;
        fill(dst, value, 4, n as u64)
    }

    fn cuMemsetD8Async(dst: u64, value: u8, n: usize, stream: *mut c_void) {
        ready()?;
        submit(stream, Work::Fill { dst, value: u32::from(value), size: 1, count: n as u64 })
    }

    fn cuMemsetD16Async(dst: u64, value: u16, n: usize, stream: *mut c_void) {
        ready()?;
        submit(stream, Work::Fill { dst, value: u32::from(value), size: 2, count: n as u64 })
    }

    fn cuMemsetD32Async(dst: u64, value: u32, n: usize, stream: *mut c_void) {
        ready()?;
        submit(stream, Work::Fill { dst, value, size: 4, count: n as u64 })
    }

    fn cuMemGetAddressRange_v2(base: *mut u64, size: *mut usize, address: u64) {
        ready()?;
        let Some(a) = DEVICE.space.find(address) else { return Err(super::NOT_FOUND) };
        // SAFETY: the caller's pointers, which may be null here.
        unsafe {
            if !base.is_null() {
                base.write(a.base);
            }
            if !size.is_null() {
                size.write(a.size as usize);
            }
        }
        Ok(())
    }

    fn cuPointerGetAttribute(data: *mut c_void, attribute: u32, address: u64) {
        ready()?;
        let Some(a) = DEVICE.space.find(address) else { return Err(INVALID_VALUE) };
        let _ = matches!(a.kind, Kind::Heap(_));
        match attribute {
            // memory type: device
            // SAFETY: the caller's pointer, of the attribute's type.
            2 => unsafe { give(data.cast::<c_uint>(), 2) },
            // device pointer
            // SAFETY: as above.
            3 => unsafe { give(data.cast::<u64>(), address) },
            // is managed
            // SAFETY: as above.
            8 => unsafe { give(data.cast::<c_uint>(), 0) },
            // device ordinal
            // SAFETY: as above.
            9 => unsafe { give(data.cast::<i32>(), 0) },
            _ => Err(INVALID_VALUE),
        }
    }
}
