//! The device: there is one, unless `SOFTGPU_DEVICES=0`.

use std::ffi::{c_char, c_int, c_void};
use std::sync::atomic::Ordering::SeqCst;

use super::{
    DEVICE, INVALID_DEVICE, INVALID_VALUE, NO_DEVICE, NOT_FOUND, NOT_INITIALIZED, Outcome, api, give,
};
use crate::config::config;

fn initialised() -> Outcome {
    if DEVICE.initialised.load(SeqCst) == 0 { Err(NOT_INITIALIZED) } else { Ok(()) }
}

pub(crate) fn is_device(dev: c_int) -> Outcome {
    initialised()?;
    if dev == 0 && config().devices > 0 { Ok(()) } else { Err(INVALID_DEVICE) }
}

/// What a block may have of shared memory if it asks (`cuFuncSetAttribute`), and a multiprocessor has in all.
pub(crate) fn shared_limits() -> (u32, u32) {
    match config().sm {
        50 | 60 => (48 << 10, 64 << 10),
        61 => (48 << 10, 96 << 10),
        70 => (96 << 10, 96 << 10),
        75 => (64 << 10, 64 << 10),
        80 | 87 => (163 << 10, 164 << 10),
        86 | 89 | 120 => (99 << 10, 100 << 10),
        _ => (227 << 10, 228 << 10),
    }
}

pub(crate) fn multiprocessors() -> u32 {
    match config().sm {
        75 => 40,
        80 => 108,
        86 => 84,
        89 => 128,
        90 => 132,
        100 => 148,
        120 => 170,
        _ => 20,
    }
}

/// Threads that fit a multiprocessor.
pub(crate) fn threads_per_multiprocessor() -> u32 {
    match config().sm {
        75 => 1024,
        86 | 87 | 89 | 120 => 1536,
        _ => 2048,
    }
}

pub(crate) fn blocks_per_multiprocessor() -> u32 {
    match config().sm {
        75 | 86 | 87 => 16,
        89 | 120 => 24,
        _ => 32,
    }
}

fn attribute(a: u32) -> Option<i32> {
    let sm = config().sm;
    let (optin, all) = shared_limits();
    Some(match a {
        1 => 1024,       // threads per block
        2 | 3 => 1024,   // block x, y
        4 => 64,         // block z
        5 => i32::MAX,   // grid x
        6 | 7 => 65535,  // grid y, z
        8 => 48 << 10,   // shared memory per block
        9 => 64 << 10,   // constant memory
        10 => 32,        // warp size
        11 => i32::MAX,  // pitch
        12 => 65536,     // registers per block
        13 => 1_410_000, // clock, kHz
        14 => 512,       // texture alignment
        15 => 1,         // overlap
        16 => multiprocessors() as i32,
        17 => 0,         // run-time limit
        18 => 0,         // integrated
        19 => 1,         // can map host memory
        20 => 0,         // compute mode
        31 => 1,         // concurrent kernels
        32 => 0,         // ECC
        33..=35 => 0,    // PCI
        36 => 1_215_000, // memory clock, kHz
        37 => 5120,      // bus width
        38 => 40 << 20,  // L2
        39 => threads_per_multiprocessor() as i32,
        40 => 3, // copy engines
        41 => 1, // unified addressing
        75 => (sm / 10) as i32,
        76 => (sm % 10) as i32,
        78 => 1,      // stream priorities
        79 | 80 => 1, // L1 caches
        81 => all as i32,
        82 => 65536, // registers per multiprocessor
        83 => 0,     // managed memory
        97 => optin as i32,
        98 => 1, // can use host pointers of registered memory
        106 => blocks_per_multiprocessor() as i32,
        111 => 1024, // reserved shared memory per block
        115 => 0,    // memory pools: plain allocations, please
        _ if a > 0 && a < 150 => 0,
        _ => return None,
    })
}

api! {
    fn cuInit(flags: u32) {
        if flags != 0 {
            return Err(INVALID_VALUE);
        }
        if config().devices == 0 {
            return Err(NO_DEVICE);
        }
        DEVICE.initialised.store(1, SeqCst);
        Ok(())
    }

    fn cuDriverGetVersion(version: *mut c_int) {
        // SAFETY: the caller's pointer.
        unsafe { give(version, 12090) }
    }

    fn cuDeviceGetCount(count: *mut c_int) {
        initialised()?;
        // SAFETY: the caller's pointer.
        unsafe { give(count, config().devices as c_int) }
    }

    fn cuDeviceGet(device: *mut c_int, ordinal: c_int) {
        is_device(ordinal)?;
        // SAFETY: the caller's pointer.
        unsafe { give(device, ordinal) }
    }

    fn cuDeviceGetName(name: *mut c_char, len: c_int, dev: c_int) {
        is_device(dev)?;
        if name.is_null() || len < 1 {
            return Err(INVALID_VALUE);
        }
        let text = format!("Software GPU (sm_{})", config().sm);
        let n = text.len().min(len as usize - 1);
        // SAFETY: the caller's buffer has `len` bytes.
        unsafe {
            std::ptr::copy_nonoverlapping(text.as_ptr(), name.cast::<u8>(), n);
            *name.add(n) = 0;
        }
        Ok(())
    }

    fn cuDeviceGetUuid(uuid: *mut [u8; 16], dev: c_int) {
        is_device(dev)?;
        // SAFETY: the caller's pointer.
        unsafe { give(uuid, *b"software-gpu-001") }
    }

    fn cuDeviceGetUuid_v2(uuid: *mut [u8; 16], dev: c_int) {
        is_device(dev)?;
        // SAFETY: the caller's pointer.
        unsafe { give(uuid, *b"software-gpu-001") }
    }

    fn cuDeviceTotalMem_v2(bytes: *mut usize, dev: c_int) {
        is_device(dev)?;
        // SAFETY: the caller's pointer.
        unsafe { give(bytes, config().memory as usize) }
    }

    fn cuDeviceGetAttribute(value: *mut c_int, attrib: u32, dev: c_int) {
        is_device(dev)?;
        // SAFETY: the caller's pointer.
        unsafe { give(value, attribute(attrib).ok_or(INVALID_VALUE)?) }
    }

    fn cuDeviceComputeCapability(major: *mut c_int, minor: *mut c_int, dev: c_int) {
        is_device(dev)?;
        // SAFETY: the caller's pointers.
        unsafe {
            give(major, (config().sm / 10) as c_int)?;
            give(minor, (config().sm % 10) as c_int)
        }
    }

    fn cuGetExportTable(table: *mut *const c_void, id: *const c_void) {
        Err(NOT_FOUND)
    }
}
