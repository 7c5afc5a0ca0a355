//! How fast the software GPU is: a register-tiled matrix product and an empty launch.
//!
//! ```text
//! cargo run -p softgpu --example speed
//! SOFTGPU_CHECKS=0 SOFTGPU_THREADS=1 cargo run -p softgpu --example speed
//! ```

use std::ffi::{CString, c_void};
use std::fmt::Write;
use std::time::Instant;

use softgpu::exports::*;

/// C = A B of N×N: blocks of 128×128, 256 threads with 8×8 sums each, panels of 8 along k in shared memory.
fn product(n: usize) -> String {
    let mut s = format!(
        ".version 8.0\n.target sm_80\n.address_size 64\n
.visible .entry gemm(.param .u64 pa, .param .u64 pb, .param .u64 pc) {{
.reg .pred %p<2>; .reg .b32 %r<32>; .reg .b64 %rd<16>; .reg .f32 %f<8>, %x<16>, %s<64>;
.shared .align 16 .b8 as[4096]; .shared .align 16 .b8 bs[4096];
ld.param.u64 %rd1, [pa]; ld.param.u64 %rd2, [pb]; ld.param.u64 %rd3, [pc];
mov.u32 %r1, %tid.x; mov.u32 %r2, %ctaid.x; mov.u32 %r3, %ctaid.y; shl.b32 %r2, %r2, 7; shl.b32 %r3, %r3, 7;
and.b32 %r4, %r1, 15; shr.u32 %r5, %r1, 4; mov.u32 %r6, as; mov.u32 %r7, bs;
shr.u32 %r8, %r1, 1; and.b32 %r9, %r1, 1; shl.b32 %r9, %r9, 2;
add.u32 %r10, %r3, %r8; mad.lo.u32 %r10, %r10, {n}, %r9; mul.wide.u32 %rd4, %r10, 4; add.u64 %rd4, %rd1, %rd4;
mad.lo.u32 %r11, %r9, 128, %r8; mad.lo.u32 %r11, %r11, 4, %r6;
shr.u32 %r12, %r1, 5; and.b32 %r13, %r1, 31; shl.b32 %r13, %r13, 2;
mad.lo.u32 %r14, %r12, {n}, %r13; add.u32 %r14, %r14, %r2; mul.wide.u32 %rd5, %r14, 4; add.u64 %rd5, %rd2, %rd5;
mad.lo.u32 %r15, %r12, 128, %r13; mad.lo.u32 %r15, %r15, 4, %r7;
mad.lo.u32 %r16, %r5, 32, %r6; mad.lo.u32 %r17, %r4, 32, %r7; mov.u32 %r18, 0;\n"
    );
    for i in 0..64 {
        let _ = writeln!(s, "mov.f32 %s{i}, 0f00000000;");
    }
    s += "loop: ld.global.v4.f32 {%f0, %f1, %f2, %f3}, [%rd4]; ld.global.v4.f32 {%f4, %f5, %f6, %f7}, [%rd5];\n";
    for i in 0..4 {
        let _ = writeln!(s, "st.shared.f32 [%r11+{}], %f{i};", i * 512);
    }
    s += "st.shared.v4.f32 [%r15], {%f4, %f5, %f6, %f7}; bar.sync 0;\n";
    for k in 0..8 {
        for (first, base) in [(0, "%r16"), (8, "%r17")] {
            for h in 0..2 {
                let (x, o) = (first + 4 * h, k * 512 + 16 * h);
                let _ = writeln!(
                    s,
                    "ld.shared.v4.f32 {{%x{x}, %x{}, %x{}, %x{}}}, [{base}+{o}];",
                    x + 1,
                    x + 2,
                    x + 3
                );
            }
        }
        for i in 0..64 {
            let _ = writeln!(s, "fma.rn.f32 %s{i}, %x{}, %x{}, %s{i};", i / 8, 8 + i % 8);
        }
    }
    let _ = write!(
        s,
        "bar.sync 0; add.u64 %rd4, %rd4, 32; add.u64 %rd5, %rd5, {}; add.u32 %r18, %r18, 8;
setp.lt.u32 %p1, %r18, {n}; @%p1 bra loop;
mad.lo.u32 %r19, %r5, 8, %r3; mad.lo.u32 %r20, %r4, 8, %r2; mad.lo.u32 %r21, %r19, {n}, %r20;
mul.wide.u32 %rd6, %r21, 4; add.u64 %rd6, %rd3, %rd6;\n",
        32 * n
    );
    for i in 0..64 {
        let _ = writeln!(s, "st.global.f32 [%rd6+{}], %s{i};", i / 8 * n * 4 + i % 8 * 4);
    }
    s + "ret;\n}\n.visible .entry nothing() { ret; }\n"
}

fn main() {
    let n = 512;
    let text = CString::new(product(n)).expect("PTX");
    // SAFETY: the driver API as a program uses it: pointers to locals, buffers of the sizes given.
    unsafe {
        let mut ctx: *mut c_void = std::ptr::null_mut();
        assert_eq!(cuInit(0), 0);
        assert_eq!(cuDevicePrimaryCtxRetain(&mut ctx, 0), 0);
        assert_eq!(cuCtxSetCurrent(ctx), 0);
        let (mut module, mut gemm, mut nothing) =
            (std::ptr::null_mut(), std::ptr::null_mut(), std::ptr::null_mut());
        assert_eq!(cuModuleLoadData(&mut module, text.as_ptr().cast()), 0);
        assert_eq!(cuModuleGetFunction(&mut gemm, module, c"gemm".as_ptr()), 0);
        assert_eq!(cuModuleGetFunction(&mut nothing, module, c"nothing".as_ptr()), 0);
        let x = vec![1f32; n * n];
        let mut args = [0u64; 3];
        for a in &mut args {
            assert_eq!(cuMemAlloc_v2(a, 4 * n * n), 0);
            assert_eq!(cuMemcpyHtoD_v2(*a, x.as_ptr().cast(), 4 * n * n), 0);
        }
        let mut pointers = args.each_mut().map(|a| std::ptr::from_mut(a).cast::<c_void>());
        let none = std::ptr::null_mut::<c_void>();
        let blocks = n as u32 / 128;
        let mut best = f64::MAX;
        for _ in 0..5 {
            let start = Instant::now();
            let r = cuLaunchKernel(
                gemm,
                blocks,
                blocks,
                1,
                256,
                1,
                1,
                0,
                none,
                pointers.as_mut_ptr(),
                none.cast(),
            );
            assert_eq!(r, 0, "{}", softgpu::last_report());
            best = best.min(start.elapsed().as_secs_f64());
        }
        let mut c = vec![0f32; n * n];
        assert_eq!(cuMemcpyDtoH_v2(c.as_mut_ptr().cast(), args[2], 4 * n * n), 0);
        assert!(c.iter().all(|v| *v == n as f32), "a wrong product");
        println!(
            "{n}×{n} product: {:.1} ms, {:.2} G multiply-adds a second",
            best * 1e3,
            (n * n * n) as f64 / best / 1e9
        );
        let (launches, start) = (10_000, Instant::now());
        for _ in 0..launches {
            assert_eq!(cuLaunchKernel(nothing, 1, 1, 1, 32, 1, 1, 0, none, none.cast(), none.cast()), 0);
        }
        println!("empty launch: {:.2} µs", start.elapsed().as_secs_f64() / f64::from(launches) * 1e6);
    }
}
