//! Kernels that are right must never be accused, in whatever order their warps and blocks run.

mod device;

use device::{Gpu, kernel};
use softgpu::control;

fn in_every_order(f: impl Fn(&Gpu, &str)) {
    for order in ["forward", "reverse", "random:1", "random:2", "random:3"] {
        for threads in ["1", "3"] {
            let gpu = Gpu::new();
            assert!(control::set("order", order) && control::set("threads", threads));
            f(&gpu, order);
        }
    }
}

const TREE: &str = "
    .shared .align 4 .b8 s[1024];
    mul.wide.u32 %rd1, %t, 4; add.u64 %rd2, %a, %rd1; ld.global.f32 %f1, [%rd2];
    mov.u32 %r1, s; shl.b32 %r2, %t, 2; add.u32 %r1, %r1, %r2; st.shared.f32 [%r1], %f1; bar.sync 0;
    mov.u32 %r3, 128;
    loop: setp.ge.u32 %p0, %t, %r3; @%p0 bra skip;
    shl.b32 %r4, %r3, 2; add.u32 %r5, %r1, %r4; ld.shared.f32 %f2, [%r5]; ld.shared.f32 %f3, [%r1];
    add.f32 %f3, %f3, %f2; st.shared.f32 [%r1], %f3;
    skip: bar.sync 0; shr.u32 %r3, %r3, 1; setp.ne.u32 %p1, %r3, 0; @%p1 bra loop;
    setp.ne.u32 %p2, %t, 0; @%p2 exit; ld.shared.f32 %f4, [s]; st.global.f32 [%b], %f4;";

/// A tree reduction: half of the threads read what the other half wrote, a barrier between each step.
#[test]
fn tree_reduction() {
    in_every_order(|gpu, order| {
        let x: Vec<f32> = (0..256).map(|i| i as f32).collect();
        let (a, b) = (gpu.upload(&x), gpu.alloc(4));
        gpu.run(&kernel(TREE), 1, 256, &[a, b, 0]).unwrap_or_else(|e| panic!("{order}: {e:?}"));
        assert_eq!(gpu.download::<f32>(b, 1), [32640.0]);
    });
}

/// The same without its second barrier is found in every order.
#[test]
fn tree_reduction_without_its_barrier() {
    for order in ["forward", "reverse", "random:5"] {
        let gpu = Gpu::new();
        assert!(control::set("order", order));
        let x = [1f32; 256];
        let (a, b) = (gpu.upload(&x), gpu.alloc(4));
        let (code, report) =
            gpu.run(&kernel(&TREE.replace("skip: bar.sync 0;", "skip:")), 1, 256, &[a, b, 0]).unwrap_err();
        assert!(code == 719 && report.contains("race"), "{order}: {report}");
    }
}

/// Warps reduce with shuffles, one of them the warps' sums, and blocks meet in an atomic.
#[test]
fn shuffle_reduction_and_atomic() {
    in_every_order(|gpu, _| {
        let mut body = String::from(
            ".shared .align 4 .b8 s[32]; mov.u32 %r9, %ntid.x; mad.lo.u32 %r1, %bid, %r9, %t;
             mul.wide.u32 %rd1, %r1, 4; add.u64 %rd2, %a, %rd1; ld.global.u32 %r2, [%rd2];\n",
        );
        let sum = "shfl.sync.bfly.b32 %r3, %r2, O, 31, -1; add.u32 %r2, %r2, %r3;\n";
        for o in [16, 8, 4, 2, 1] {
            body += &sum.replace('O', &o.to_string());
        }
        body += "and.b32 %r4, %t, 31; shr.u32 %r5, %t, 5; shl.b32 %r5, %r5, 2; mov.u32 %r6, s; add.u32 %r6, %r6, %r5;
            setp.eq.u32 %p0, %r4, 0; @%p0 st.shared.u32 [%r6], %r2; bar.sync 0;
            setp.ge.u32 %p1, %t, 8; @%p1 exit; shl.b32 %r7, %t, 2; mov.u32 %r6, s; add.u32 %r6, %r6, %r7; ld.shared.u32 %r2, [%r6];\n";
        for o in [4, 2, 1] {
            body += &sum.replace('O', &o.to_string()).replace("-1", "0xff");
        }
        body += "setp.eq.u32 %p2, %t, 0; @%p2 red.global.add.u32 [%b], %r2;";
        let x: Vec<u32> = (0..2048).collect();
        let (a, b) = (gpu.upload(&x), gpu.upload(&[0u32]));
        gpu.run(&kernel(&body), 8, 256, &[a, b, 0]).unwrap();
        assert_eq!(gpu.download::<u32>(b, 1), [2047 * 1024]);
    });
}

/// Two buffers in turns need one barrier a step, not two.
#[test]
fn double_buffer() {
    in_every_order(|gpu, _| {
        let body = "
            .shared .align 4 .b8 s[512];
            mov.u32 %r10, 0; mov.u32 %r11, 0;
            loop: and.b32 %r1, %r10, 1; shl.b32 %r1, %r1, 8; mov.u32 %r2, s; add.u32 %r2, %r2, %r1; shl.b32 %r3, %t, 2;
            add.u32 %r4, %r2, %r3; add.u32 %r5, %t, %r10; st.shared.u32 [%r4], %r5; bar.sync 0;
            xor.b32 %r6, %r3, 252; add.u32 %r7, %r2, %r6; ld.shared.u32 %r8, [%r7]; add.u32 %r11, %r11, %r8;
            add.u32 %r10, %r10, 1; setp.lt.u32 %p0, %r10, 5; @%p0 bra loop;
            mul.wide.u32 %rd1, %t, 4; add.u64 %rd2, %a, %rd1; st.global.u32 [%rd2], %r11;";
        let a = gpu.alloc(256);
        gpu.run(&kernel(body), 1, 64, &[a, 0, 0]).unwrap();
        for (t, v) in gpu.download::<u32>(a, 64).into_iter().enumerate() {
            assert_eq!(v, 5 * (63 - t as u32) + 10);
        }
    });
}

/// The next tile is on its way while this one is used.
#[test]
fn async_copy_pipeline() {
    in_every_order(|gpu, _| {
        let body = "
            .shared .align 16 .b8 s[2048];
            mov.u32 %r1, s; shl.b32 %r2, %t, 4; add.u32 %r3, %r1, %r2; cvt.u64.u32 %rd1, %r2; add.u64 %rd2, %a, %rd1;
            cp.async.cg.shared.global [%r3], [%rd2], 16; cp.async.commit_group;
            mov.u32 %r10, 0; mov.f32 %f1, 0f00000000;
            loop: add.u32 %r4, %r10, 1; setp.ge.u32 %p0, %r4, 4; and.b32 %r5, %r4, 1; shl.b32 %r5, %r5, 10; add.u32 %r6, %r3, %r5;
            mul.wide.u32 %rd3, %r4, 1024; add.u64 %rd4, %rd2, %rd3; @!%p0 cp.async.cg.shared.global [%r6], [%rd4], 16; cp.async.commit_group;
            cp.async.wait_group 1; bar.sync 0;
            and.b32 %r5, %r10, 1; shl.b32 %r5, %r5, 10; add.u32 %r7, %r1, %r5; xor.b32 %r8, %r2, 1008; add.u32 %r7, %r7, %r8;
            ld.shared.v4.f32 {%f2, %f3, %f4, %f5}, [%r7]; add.f32 %f1, %f1, %f2; add.f32 %f1, %f1, %f5; bar.sync 0;
            mov.u32 %r10, %r4; @!%p0 bra loop;
            mul.wide.u32 %rd5, %t, 4; add.u64 %rd6, %b, %rd5; st.global.f32 [%rd6], %f1;";
        let x: Vec<f32> = (0..1024).map(|i| i as f32).collect();
        let (a, b) = (gpu.upload(&x), gpu.alloc(256));
        gpu.run(&kernel(body), 1, 64, &[a, b, 0]).unwrap();
        for (t, v) in gpu.download::<f32>(b, 64).into_iter().enumerate() {
            let want: f32 = (0..4).map(|k| 2.0 * (k * 256 + (63 - t) * 4) as f32 + 3.0).sum();
            assert_eq!(v, want, "thread {t}");
        }
    });
}

/// The last block sums what all wrote: ordered by a fence and an atomic, not by the launch.
#[test]
fn last_block_sums() {
    in_every_order(|gpu, order| {
        let body = "
            .shared .align 4 .b8 last[4];
            setp.ne.u32 %p0, %t, 0; mul.wide.u32 %rd1, %bid, 4; add.u64 %rd2, %a, %rd1;
            @%p0 bra join; add.u32 %r1, %bid, 1; st.global.u32 [%rd2], %r1; membar.gl;
            atom.global.add.u32 %r2, [%b], 1; st.shared.u32 [last], %r2;
            join: bar.sync 0; ld.shared.u32 %r3, [last]; setp.ne.u32 %p1, %r3, 15; @%p1 exit;
            setp.ge.u32 %p2, %t, 16; @%p2 exit; mul.wide.u32 %rd3, %t, 4; add.u64 %rd4, %a, %rd3; ld.global.u32 %r4, [%rd4];
            red.global.add.u32 [%b+4], %r4; mov.u32 %r5, 0; @!%p0 st.global.u32 [%b], %r5;";
        let (a, b) = (gpu.alloc(64), gpu.upload(&[0u32; 2]));
        gpu.run(&kernel(body), 16, 32, &[a, b, 0]).unwrap_or_else(|e| panic!("{order}: {e:?}"));
        // the counter is back at zero for the next launch
        assert_eq!(gpu.download::<u32>(b, 2), [0, 136]);
    });
}

/// Threads that left early do not hold up a barrier, nor do they make it divergent.
#[test]
fn early_exit() {
    in_every_order(|gpu, _| {
        let body = "setp.ge.u32 %p0, %t, 40; @%p0 bra out; bar.sync 0; mul.wide.u32 %rd1, %t, 4; add.u64 %rd2, %a, %rd1; st.global.u32 [%rd2], %t; out:";
        let a = gpu.alloc(160);
        gpu.run(&kernel(body), 1, 96, &[a, 0, 0]).unwrap();
        assert_eq!(gpu.download::<u32>(a, 40), (0..40).collect::<Vec<_>>());
    });
}

/// Halves of a word belong to different threads.
#[test]
fn halves_of_words() {
    in_every_order(|gpu, _| {
        let body = "
            .shared .align 4 .b8 s[256];
            mov.u32 %r1, s; shl.b32 %r2, %t, 1; add.u32 %r3, %r1, %r2; cvt.u16.u32 %h1, %t; st.shared.u16 [%r3], %h1; bar.sync 0;
            xor.b32 %r4, %r2, 254; add.u32 %r5, %r1, %r4; ld.shared.u16 %h2, [%r5];
            mul.wide.u32 %rd1, %t, 2; add.u64 %rd2, %a, %rd1; st.global.u16 [%rd2], %h2; ld.global.u16 %h3, [%rd2]; st.global.u16 [%rd2], %h3;
            shl.b32 %r6, %t, 2; and.b32 %r6, %r6, 252; add.u32 %r7, %r1, %r6; ld.shared.u32 %r8, [%r7];";
        let a = gpu.alloc(256);
        gpu.run(&kernel(body), 1, 128, &[a, 0, 0]).unwrap();
        assert_eq!(gpu.download::<u16>(a, 128), (0..128).rev().collect::<Vec<_>>());
    });
}

/// A lane that spins for another of its own warp is set aside until that one has run.
#[test]
fn lock_between_lanes() {
    let gpu = Gpu::new();
    let body = "
        spin: atom.global.cas.b32 %r1, [%a], 0, 1; setp.ne.u32 %p0, %r1, 0; @%p0 bra spin;
        ld.volatile.global.u32 %r2, [%a+4]; add.u32 %r2, %r2, 1; st.volatile.global.u32 [%a+4], %r2; membar.gl;
        atom.global.exch.b32 %r3, [%a], 0;";
    assert!(control::set("budget", "20000000"));
    let a = gpu.upload(&[0u32; 2]);
    gpu.run(&kernel(body), 2, 32, &[a, 0, 0]).unwrap();
    assert_eq!(gpu.download::<u32>(a, 2)[1], 64);
}

/// Random orders are the same for the same seed, and results never depend on the order.
#[test]
fn named_barriers_and_partial_warps() {
    in_every_order(|gpu, _| {
        // warps 0 and 1 hand over to warps 2 and 3
        let body = "
            .shared .align 4 .b8 s[256];
            mov.u32 %r1, s; and.b32 %r2, %t, 63; shl.b32 %r2, %r2, 2; add.u32 %r3, %r1, %r2; setp.ge.u32 %p0, %t, 64; @%p0 bra consume;
            st.shared.u32 [%r3], %t; bar.arrive 3, 128; bra.uni out;
            consume: bar.sync 3, 128; xor.b32 %r2, %r2, 252; add.u32 %r3, %r1, %r2; ld.shared.u32 %r4, [%r3];
            sub.u32 %r5, %t, 64; mul.wide.u32 %rd1, %r5, 4; add.u64 %rd2, %a, %rd1; st.global.u32 [%rd2], %r4; out:";
        let a = gpu.alloc(256);
        gpu.run(&kernel(body), 1, 128, &[a, 0, 0]).unwrap();
        assert_eq!(gpu.download::<u32>(a, 64), (0..64).rev().collect::<Vec<_>>());
    });
}
