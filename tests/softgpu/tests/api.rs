//! The driver API as a program uses and misuses it, linked and through `dlopen`.

mod device;

use std::ffi::{c_int, c_uint, c_void};

use device::{Gpu, kernel};
use softgpu::{control, exports::*};

const STORE: &str = "mul.wide.u32 %rd1, %t, 4; add.u64 %rd2, %a, %rd1; ld.global.u32 %r1, [%rd2]; cvt.u32.u64 %r2, %b; add.u32 %r1, %r1, %r2; st.global.u32 [%rd2], %r1;";

/// `CUDA_KERNEL_NODE_PARAMS`
#[repr(C)]
struct NodeParams {
    func: *mut c_void,
    grid: [c_uint; 3],
    block: [c_uint; 3],
    shared: c_uint,
    params: *mut *mut c_void,
    extra: *mut *mut c_void,
    kern: *mut c_void,
    ctx: *mut c_void,
}

#[test]
fn memory_misuse_is_refused() {
    let gpu = Gpu::new();
    let a = gpu.alloc(64);
    let mut host = [0u8; 256];
    // SAFETY: the host's buffers are valid; the device refuses the rest.
    unsafe {
        let mut p = 0;
        assert_eq!(cuMemAlloc_v2(&mut p, 0), 1);
        assert_eq!(cuMemAlloc_v2(&mut p, 1 << 50), 2);
        assert_eq!(cuMemcpyHtoD_v2(a, host.as_ptr().cast(), 65), 1);
        assert!(softgpu::last_report().contains("overrun"), "{}", softgpu::last_report());
        assert_eq!(cuMemcpyDtoH_v2(host.as_mut_ptr().cast(), a + 32, 33), 1);
        assert_eq!(cuMemsetD32_v2(a + 2, 0, 1), 1);
        assert_eq!(cuMemsetD32_v2(a, 0x0102_0304, 16), 0);
        assert_eq!(cuMemcpyDtoH_v2(host.as_mut_ptr().cast(), a, 64), 0);
        assert_eq!(host[..4], [4, 3, 2, 1]);
        assert_eq!(cuMemFree_v2(a + 16), 1);
        assert!(softgpu::last_report().contains("inside"));
        assert_eq!(cuMemFree_v2(a), 0);
        assert_eq!(cuMemFree_v2(a), 1);
        assert!(softgpu::last_report().contains("double free"));
        assert_eq!(cuMemFree_v2(0x1234), 1);
        assert_eq!(cuMemFree_v2(0), 0);
    }
}

/// What was never written comes back as a NaN and is counted.
#[test]
fn unwritten_memory_is_poison() {
    let gpu = Gpu::new();
    let a = gpu.alloc(16);
    let before = control::unwritten_copied();
    let v = gpu.download::<f32>(a, 4);
    assert!(v.iter().all(|x| x.is_nan()));
    assert_eq!(control::unwritten_copied() - before, 16);
}

#[test]
fn launches_that_a_device_refuses() {
    let gpu = Gpu::new();
    let m = gpu.module(&kernel(".shared .align 4 .b8 s[1024];\nst.shared.u32 [s], %t;")).unwrap();
    let f = gpu.function(m, "k");
    for (grid, block, shared) in [(0, 32, 0), (1, 0, 0), (1, 1025, 0), (1, 1, 48 << 10)] {
        assert_eq!(
            gpu.launch(f, grid, block, shared, &[0, 0, 0]).unwrap_err().0,
            1,
            "{grid} {block} {shared}"
        );
    }
    // SAFETY: handles of this device, pointers to locals.
    unsafe {
        assert_eq!(cuFuncSetAttribute(f, 8, 200 << 10), 1);
        assert_eq!(cuFuncSetAttribute(f, 8, 48 << 10), 0);
        let mut v: c_int = 0;
        assert_eq!(cuFuncGetAttribute(&mut v, 1, f), 0);
        assert_eq!(v, 1024);
        assert_eq!(cuFuncGetAttribute(&mut v, 0, f), 0);
        assert_eq!(v, 1024);
        let none: *mut *mut c_void = std::ptr::null_mut();
        assert_eq!(cuLaunchKernel(f, 1, 1, 1, 1, 1, 1, 0, none.cast(), none, none), 1);
        assert_eq!(cuLaunchKernel(f, 1, 65536, 1, 1, 1, 1, 0, none.cast(), none, none), 1);
        assert_eq!(cuLaunchKernel(std::ptr::null_mut(), 1, 1, 1, 1, 1, 1, 0, none.cast(), none, none), 400);
        let mut blocks: c_int = 0;
        assert_eq!(cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(&mut blocks, f, 256, 0, 0), 0);
        assert!(blocks >= 1);
    }
    gpu.launch(f, 1, 1, 48 << 10, &[0, 0, 0]).unwrap();
}

#[test]
fn modules_that_are_none() {
    let gpu = Gpu::new();
    assert_eq!(gpu.module("hello").unwrap_err().0, 200);
    let newer = kernel("").replace("sm_80", "sm_90");
    assert_eq!(gpu.module(&newer).unwrap_err().0, 209);
    assert_eq!(gpu.module(&kernel("{")).unwrap_err().0, 218);
    let m = gpu.module(&kernel("")).unwrap();
    let mut f = std::ptr::null_mut();
    // SAFETY: a string that ends with zero.
    unsafe {
        assert_eq!(cuModuleGetFunction(&mut f, m, c"absent".as_ptr()), 500);
        assert_eq!(cuModuleUnload(m), 0);
        assert_eq!(cuModuleUnload(m), 400);
    }
}

/// A module's variables start with their values and can be written by the host.
#[test]
fn globals() {
    let gpu = Gpu::new();
    let ptx = device::kernel_with(
        ".global .align 4 .f32 scale = 0f40000000;\n.global .align 4 .b32 tab[3] = {1, 2};",
        "ld.global.f32 %f1, [scale]; st.global.f32 [%a], %f1; ld.global.u32 %r1, [tab+8]; st.global.u32 [%a+4], %r1;",
    );
    let m = gpu.module(&ptx).unwrap();
    let out = gpu.alloc(8);
    let f = gpu.function(m, "k");
    gpu.launch(f, 1, 1, 0, &[out, 0, 0]).unwrap();
    assert_eq!(gpu.download::<f32>(out, 2), [2.0, 0.0]);
    let (mut at, mut size) = (0, 0);
    // SAFETY: pointers to locals.
    unsafe {
        assert_eq!(cuModuleGetGlobal_v2(&mut at, &mut size, m, c"scale".as_ptr()), 0);
        assert_eq!(size, 4);
        assert_eq!(cuMemcpyHtoD_v2(at, (&raw const PI).cast(), 4), 0);
    }
    gpu.launch(f, 1, 1, 0, &[out, 0, 0]).unwrap();
    assert_eq!(gpu.download::<f32>(out, 1), [PI]);
}

static PI: f32 = std::f32::consts::PI;

#[test]
fn graphs_and_capture() {
    let gpu = Gpu::new();
    let a = gpu.upload(&[0u32; 32]);
    let f = gpu.function(gpu.module(&kernel(STORE)).unwrap(), "k");
    let args = [a, 1u64, 0];
    let pointers = |args: &[u64; 3]| args.each_ref().map(|x| std::ptr::from_ref(x) as *mut c_void);
    let params = |p: &mut [*mut c_void; 3]| NodeParams {
        func: f,
        grid: [1; 3],
        block: [32, 1, 1],
        shared: 0,
        params: p.as_mut_ptr(),
        extra: std::ptr::null_mut(),
        kern: std::ptr::null_mut(),
        ctx: std::ptr::null_mut(),
    };
    // SAFETY: handles of this device, pointers to locals that outlive the calls.
    unsafe {
        let (mut g, mut e, mut n1, mut n2) =
            (std::ptr::null_mut(), std::ptr::null_mut(), std::ptr::null_mut(), std::ptr::null_mut());
        assert_eq!(cuGraphCreate(&mut g, 0), 0);
        let mut p = pointers(&args);
        assert_eq!(
            cuGraphAddKernelNode_v2(
                &mut n1,
                g,
                std::ptr::null(),
                0,
                std::ptr::from_ref(&params(&mut p)).cast()
            ),
            0
        );
        assert_eq!(
            cuGraphAddKernelNode_v2(&mut n2, g, &n1, 1, std::ptr::from_ref(&params(&mut p)).cast()),
            0
        );
        let mut count = 0;
        assert_eq!(cuGraphGetNodes(g, std::ptr::null_mut(), &mut count), 0);
        assert_eq!(count, 2);
        assert_eq!(cuGraphInstantiateWithFlags(&mut e, g, 0), 0);
        assert_eq!(cuGraphDestroy(g), 0);
        let stream = std::ptr::null_mut();
        assert_eq!(cuGraphUpload(e, stream), 0);
        for _ in 0..3 {
            assert_eq!(cuGraphLaunch(e, stream), 0);
        }
        assert_eq!(gpu.download::<u32>(a, 1), [6]);
        let other = [a, 10u64, 0];
        let mut p = pointers(&other);
        assert_eq!(cuGraphExecKernelNodeSetParams_v2(e, n2, std::ptr::from_ref(&params(&mut p)).cast()), 0);
        assert_eq!(cuGraphLaunch(e, stream), 0);
        assert_eq!(gpu.download::<u32>(a, 1), [17]);
        assert_eq!(cuGraphExecDestroy(e), 0);
        assert_eq!(cuGraphLaunch(e, stream), 400);
        // capture: nothing runs until the graph does
        let mut s = std::ptr::null_mut();
        assert_eq!(cuStreamCreate(&mut s, 1), 0);
        assert_eq!(cuStreamBeginCapture_v2(s, 0), 0);
        let mut on = 0;
        assert_eq!(cuStreamIsCapturing(s, &mut on), 0);
        assert_eq!(on, 1);
        let mut p = pointers(&args);
        assert_eq!(cuMemsetD32Async(a, 5, 32, s), 0);
        assert_eq!(cuLaunchKernel(f, 1, 1, 1, 32, 1, 1, 0, s, p.as_mut_ptr(), std::ptr::null_mut()), 0);
        assert_eq!(cuStreamSynchronize(s), 900);
        assert_eq!(gpu.download::<u32>(a, 1), [17]);
        assert_eq!(cuStreamEndCapture(s, &mut g), 0);
        assert_eq!(cuGraphInstantiateWithFlags(&mut e, g, 0), 0);
        assert_eq!(cuGraphLaunch(e, s), 0);
        assert_eq!(cuStreamSynchronize(s), 0);
        assert_eq!(gpu.download::<u32>(a, 1), [6]);
        assert_eq!(cuStreamDestroy_v2(s), 0);
    }
}

#[test]
fn calls_and_allocations_are_counted() {
    let gpu = Gpu::new();
    let (a, n) = (control::allocations(), control::calls("cuCtxSynchronize"));
    gpu.alloc(4);
    // SAFETY: no pointers.
    assert_eq!(unsafe { cuCtxSynchronize() }, 0);
    assert_eq!(control::allocations(), a + 1);
    assert_eq!(control::calls("cuCtxSynchronize"), n + 1);
    assert!(!control::set("colour", "red") && !control::set("order", "sideways"));
}

#[test]
fn names_of_errors_and_symbols() {
    let mut text = std::ptr::null();
    let mut f = std::ptr::null_mut();
    // SAFETY: pointers to locals, strings of the library.
    unsafe {
        assert_eq!(cuGetErrorName(700, &mut text), 0);
        assert_eq!(std::ffi::CStr::from_ptr(text).to_str(), Ok("CUDA_ERROR_ILLEGAL_ADDRESS"));
        assert_eq!(cuGetErrorString(12345, &mut text), 1);
        assert_eq!(cuGetProcAddress(c"cuMemAlloc".as_ptr(), &mut f, 12000, 0), 0);
        assert_eq!(f as usize, cuMemAlloc_v2 as *const () as usize);
        assert_eq!(cuGetExportTable(std::ptr::null_mut(), std::ptr::null()), 500);
    }
}

/// As a program without a GPU uses it: opened by path, functions by name.
#[test]
fn through_dlopen() {
    let exe = std::env::current_exe().unwrap();
    let dir = exe.parent().unwrap();
    let age = |p: &std::path::PathBuf| std::fs::metadata(p).and_then(|m| m.modified()).ok();
    // beside the test or above it, wherever this build has put it
    let path = [dir.join("libsoftgpu.so"), dir.join("../libsoftgpu.so")].into_iter().max_by_key(age);
    let path = path.filter(|p| p.exists()).expect("libsoftgpu.so beside the test");
    // SAFETY: our own library; the types are those of the driver API.
    unsafe {
        let lib = libloading::Library::new(path).unwrap();
        let init: libloading::Symbol<unsafe extern "C" fn(c_uint) -> c_uint> = lib.get(b"cuInit").unwrap();
        assert_eq!(init(0), 0);
        let name: libloading::Symbol<unsafe extern "C" fn(*mut u8, c_int, c_int) -> c_uint> =
            lib.get(b"cuDeviceGetName").unwrap();
        let mut text = [0u8; 64];
        assert_eq!(name(text.as_mut_ptr(), 64, 0), 0);
        assert!(text.starts_with(b"Software GPU (sm_"));
        let set: libloading::Symbol<unsafe extern "C" fn(*const u8, *const u8) -> c_int> =
            lib.get(b"softgpu_set").unwrap();
        assert_eq!(set(c"order".as_ptr().cast(), c"reverse".as_ptr().cast()), 0);
        assert_eq!(set(c"order".as_ptr().cast(), c"nonsense".as_ptr().cast()), 1);
        type Alloc = unsafe extern "C" fn(*mut u64, usize) -> c_uint;
        let alloc: libloading::Symbol<Alloc> = lib.get(b"cuMemAlloc_v2").unwrap();
        let mut p = 0;
        // no context is current in this copy of the driver
        assert_eq!(alloc(&mut p, 4), 201);
        for symbol in [
            "softgpu_counters",
            "softgpu_reset_counters",
            "softgpu_report",
            "softgpu_clear_report",
            "softgpu_allocations",
            "softgpu_calls",
            "softgpu_free",
            "cuGraphAddKernelNode_v2",
            "cuStreamBeginCapture_v2",
        ] {
            assert!(lib.get::<*const ()>(symbol.as_bytes()).is_ok(), "{symbol}");
        }
    }
}
