//! Launching a kernel: limits as the device has them, parameters copied as the PTX lays them out.

use std::ffi::{c_uint, c_void};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use super::module::{Function, function};
use super::stream::{Work, submit};
use super::{DEVICE, INVALID_VALUE, LAUNCH_OUT_OF_RESOURCES, Outcome, api, ready, wrong};
use crate::report::report;

/// A kernel with all it needs to run.
#[derive(Clone)]
pub(crate) struct Kernel {
    pub function: Arc<Function>,
    pub grid: [u32; 3],
    pub block: [u32; 3],
    pub dynamic: u32,
    pub params: Vec<u8>,
}

/// Copies a kernel's parameters.
///
/// # Safety
/// `params` points to as many pointers as the kernel has parameters, or is null; `extra` is null or a list as
/// `cuLaunchKernel` takes it.
pub(crate) unsafe fn collect(
    f: &Function,
    params: *mut *mut c_void,
    extra: *mut *mut c_void,
) -> Result<Vec<u8>, u32> {
    let code = &f.code;
    let mut out = vec![0u8; code.param_bytes as usize];
    if code.params.is_empty() {
        return Ok(out);
    }
    if !params.is_null() {
        for (i, p) in code.params.iter().enumerate() {
            // SAFETY: the caller passes a pointer for each parameter.
            let from = unsafe { *params.add(i) };
            if from.is_null() {
                return wrong(INVALID_VALUE, format!("launch of {}: parameter {i} is null", code.name));
            }
            let to = &mut out[p.offset as usize..(p.offset + p.size) as usize];
            // SAFETY: as many bytes as the kernel declares for it.
            unsafe { std::ptr::copy_nonoverlapping(from.cast::<u8>(), to.as_mut_ptr(), to.len()) };
        }
        return Ok(out);
    }
    if extra.is_null() {
        let text = format!("launch of {}: it takes {} parameters and got none", code.name, code.params.len());
        return wrong(INVALID_VALUE, text);
    }
    let (mut buffer, mut size, mut i) = (std::ptr::null::<u8>(), 0usize, 0);
    loop {
        // SAFETY: the list ends with zero.
        unsafe {
            match *extra.add(i) as usize {
                0 => break,
                1 => buffer = (*extra.add(i + 1)).cast(),
                2 => size = *(*extra.add(i + 1)).cast::<usize>(),
                _ => return Err(INVALID_VALUE),
            }
        }
        i += 2;
    }
    if buffer.is_null() || size < out.len() {
        let text = format!("launch of {}: {size} bytes of parameters, {} are needed", code.name, out.len());
        return wrong(INVALID_VALUE, text);
    }
    // SAFETY: the buffer has `size` bytes.
    unsafe { std::ptr::copy_nonoverlapping(buffer, out.as_mut_ptr(), out.len()) };
    Ok(out)
}

/// What the device refuses to launch.
pub(crate) fn check(k: &Kernel) -> Outcome {
    let code = &k.function.code;
    let name = &code.name;
    let [bx, by, bz] = k.block;
    if k.grid.contains(&0) || k.block.contains(&0) {
        return wrong(INVALID_VALUE, format!("launch of {name}: grid {:?}, block {:?}", k.grid, k.block));
    }
    if k.grid[0] > i32::MAX as u32 || k.grid[1] > 65535 || k.grid[2] > 65535 {
        return wrong(INVALID_VALUE, format!("launch of {name}: a grid of {:?} is too large", k.grid));
    }
    let threads = u64::from(bx) * u64::from(by) * u64::from(bz);
    if threads > 1024 || bz > 64 {
        return wrong(INVALID_VALUE, format!("launch of {name}: a block of {:?} is too large", k.block));
    }
    if let Some(max) = code.max_threads
        && threads > u64::from(max)
    {
        let text = format!("launch of {name}: {threads} threads a block, __launch_bounds__ says {max}");
        return wrong(INVALID_VALUE, text);
    }
    if let Some(want) = code.required_threads
        && want != k.block
    {
        let text = format!("launch of {name}: a block of {:?}, .reqntid says {want:?}", k.block);
        return wrong(INVALID_VALUE, text);
    }
    let limit = k.function.max_dynamic.load(SeqCst);
    if i64::from(k.dynamic) > i64::from(limit) {
        let text = format!(
            "launch of {name}: {} bytes of dynamic shared memory, {limit} are allowed (cuFuncSetAttribute)",
            k.dynamic
        );
        return wrong(INVALID_VALUE, text);
    }
    if code.shared_packed > super::device::shared_limits().0 {
        let text = format!("launch of {name}: {} bytes of shared memory", code.shared_packed);
        return wrong(LAUNCH_OUT_OF_RESOURCES, text);
    }
    Ok(())
}

/// Runs a kernel to its end.
pub(crate) fn run_kernel(k: &Kernel) -> Outcome {
    k.function.launches.fetch_add(1, SeqCst);
    let ran =
        crate::sched::launch(&k.function.code, k.grid, k.block, k.dynamic, k.params.clone(), &DEVICE.space);
    if let Err((code, text)) = ran {
        report(text);
        DEVICE.sticky.store(code, SeqCst);
        return Err(code);
    }
    Ok(())
}

api! {
    fn cuLaunchKernel(
        f: *mut c_void,
        gx: c_uint,
        gy: c_uint,
        gz: c_uint,
        bx: c_uint,
        by: c_uint,
        bz: c_uint,
        shared: c_uint,
        stream: *mut c_void,
        params: *mut *mut c_void,
        extra: *mut *mut c_void,
    ) {
        ready()?;
        let function = function(f)?;
        // SAFETY: the caller's parameters.
        let params = unsafe { collect(&function, params, extra)? };
        let k = Kernel { function, grid: [gx, gy, gz], block: [bx, by, bz], dynamic: shared, params };
        check(&k)?;
        submit(stream, Work::Kernel(k))
    }
}
