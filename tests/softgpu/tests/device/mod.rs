//! A software GPU for one test at a time: the driver's state belongs to the whole process.
#![allow(dead_code, reason = "every test file uses a part")]

use std::ffi::{CString, c_void};
use std::sync::{Mutex, MutexGuard};

use softgpu::{control, exports::*};

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

pub struct Gpu {
    _guard: MutexGuard<'static, ()>,
}

/// `CUresult` and the report.
pub type Failure = (u32, String);

impl Gpu {
    pub fn new() -> Gpu {
        let guard = ONE_AT_A_TIME.lock().unwrap_or_else(|e| e.into_inner());
        // SAFETY: the pointers are valid for the calls.
        unsafe {
            assert_eq!(cuInit(0), 0);
            let mut ctx: *mut c_void = std::ptr::null_mut();
            assert_eq!(cuDevicePrimaryCtxRetain(&mut ctx, 0), 0);
            assert_eq!(cuCtxSetCurrent(ctx), 0);
        }
        for (k, v) in
            [("order", "forward"), ("counters", "0"), ("checks", "1"), ("quiet", "1"), ("threads", "2")]
        {
            assert!(control::set(k, v));
        }
        assert!(control::set("budget", "2000000"));
        softgpu::clear_report();
        Gpu { _guard: guard }
    }

    pub fn alloc(&self, bytes: usize) -> u64 {
        let mut p = 0;
        // SAFETY: a pointer to a local.
        assert_eq!(unsafe { cuMemAlloc_v2(&mut p, bytes) }, 0);
        p
    }

    pub fn upload<T: Copy>(&self, data: &[T]) -> u64 {
        let p = self.alloc(size_of_val(data));
        // SAFETY: the slice is valid for its size.
        assert_eq!(unsafe { cuMemcpyHtoD_v2(p, data.as_ptr().cast(), size_of_val(data)) }, 0);
        p
    }

    pub fn download<T: Copy + Default>(&self, p: u64, n: usize) -> Vec<T> {
        let mut out = vec![T::default(); n];
        // SAFETY: the vector is valid for its size.
        let r = unsafe { cuMemcpyDtoH_v2(out.as_mut_ptr().cast(), p, n * size_of::<T>()) };
        assert_eq!(r, 0, "{}", softgpu::last_report());
        out
    }

    pub fn module(&self, ptx: &str) -> Result<*mut c_void, Failure> {
        let text = CString::new(ptx).unwrap();
        let mut m = std::ptr::null_mut();
        // SAFETY: a string that ends with zero.
        match unsafe { cuModuleLoadData(&mut m, text.as_ptr().cast()) } {
            0 => Ok(m),
            e => Err((e, softgpu::last_report())),
        }
    }

    pub fn function(&self, m: *mut c_void, name: &str) -> *mut c_void {
        let name = CString::new(name).unwrap();
        let mut f = std::ptr::null_mut();
        // SAFETY: a string that ends with zero.
        assert_eq!(unsafe { cuModuleGetFunction(&mut f, m, name.as_ptr()) }, 0);
        f
    }

    pub fn launch(
        &self,
        f: *mut c_void,
        grid: u32,
        block: u32,
        shared: u32,
        args: &[u64],
    ) -> Result<(), Failure> {
        let mut pointers: Vec<*mut c_void> =
            args.iter().map(|a| std::ptr::from_ref(a) as *mut c_void).collect();
        // SAFETY: a pointer to eight bytes for each parameter.
        let r = unsafe {
            cuLaunchKernel(
                f,
                grid,
                1,
                1,
                block,
                1,
                1,
                shared,
                std::ptr::null_mut(),
                pointers.as_mut_ptr(),
                std::ptr::null_mut(),
            )
        };
        if r == 0 { Ok(()) } else { Err((r, softgpu::last_report())) }
    }

    /// Loads a module of one kernel, `k`, and runs it.
    pub fn run(&self, ptx: &str, grid: u32, block: u32, args: &[u64]) -> Result<(), Failure> {
        let m = self.module(ptx)?;
        self.launch(self.function(m, "k"), grid, block, 0, args)
    }
}

impl Drop for Gpu {
    fn drop(&mut self) {
        // SAFETY: no pointers; the last holder's release ends the context.
        unsafe { while cuDevicePrimaryCtxRelease_v2(0) == 0 {} }
    }
}

/// A module with one kernel `k` of 64-bit parameters `a`, `b`, `c`, all read into `%a`, `%b`, `%c`.
pub fn kernel(body: &str) -> String {
    kernel_with("", body)
}

pub fn kernel_with(globals: &str, body: &str) -> String {
    format!(
        ".version 8.0\n.target sm_80\n.address_size 64\n{globals}\n\
         .visible .entry k(.param .u64 pa, .param .u64 pb, .param .u64 pc)\n{{\n\
         .reg .pred %p<16>; .reg .b16 %h<16>; .reg .b32 %r<32>; .reg .f32 %f<32>; .reg .b64 %rd<32>; .reg .f64 %fd<16>;\n\
         .reg .b64 %a, %b, %c; .reg .b32 %t, %bid;\n\
         ld.param.u64 %a, [pa]; ld.param.u64 %b, [pb]; ld.param.u64 %c, [pc];\n\
         mov.u32 %t, %tid.x; mov.u32 %bid, %ctaid.x;\n{body}\nret;\n}}\n"
    )
}
