//! Kernels that are wrong on purpose: each is reported, for what it is, and where.

mod device;

use device::{Gpu, kernel, kernel_with};

const SLOT: &str = "mul.wide.u32 %rd1, %t, 4; add.u64 %rd2, %a, %rd1; add.u64 %rd3, %b, %rd1;\n";

/// Runs a kernel on `a`, 32 zeros, and `b`, 32 words never written; gives the report.
fn fault(body: &str, grid: u32, block: u32, code: u32, texts: &[&str]) {
    let gpu = Gpu::new();
    fault_on(&gpu, "", body, grid, block, code, texts);
}

fn fault_on(gpu: &Gpu, globals: &str, body: &str, grid: u32, block: u32, code: u32, texts: &[&str]) {
    let (a, b) = (gpu.upload(&[0f32; 32]), gpu.alloc(128));
    let ptx = kernel_with(globals, &format!("{SLOT}{body}"));
    let (got, report) = gpu.run(&ptx, grid, block, &[a, b, 0]).expect_err(body);
    for t in texts.iter().chain(&["kernel k", "PTX line"]) {
        assert!(report.contains(t), "{body}\nexpected `{t}` in:\n{report}");
    }
    assert_eq!(got, code, "{report}");
}

#[test]
fn out_of_bounds() {
    fault(
        "ld.global.f32 %f1, [%rd2];",
        1,
        64,
        700,
        &["out of bounds", "0 bytes past the end", "thread (32, 0, 0)"],
    );
    fault("st.global.f32 [%rd2], 0f00000000;", 2, 33, 700, &["out of bounds", "thread (32, 0, 0)"]);
    fault("ld.global.f32 %f1, [%a+-4];", 1, 1, 700, &["4 bytes before the start", "allocation #"]);
    fault("ld.global.f32 %f1, [0];", 1, 1, 700, &["in no allocation"]);
    fault("mov.u64 %rd5, 8; ld.u64 %rd4, [%rd5];", 1, 1, 700, &["in no allocation"]);
    // a vector whose first element is the allocation's last
    fault(
        "ld.global.v2.f32 {%f1, %f2}, [%a+120]; ld.global.v4.f32 {%f1,%f2,%f3,%f4}, [%a+128];",
        1,
        1,
        700,
        &["out of bounds"],
    );
}

#[test]
fn shared_and_local_bounds() {
    let shared = ".shared .align 4 .b8 s[64]; .shared .align 4 .b8 other[64]; cvt.u32.u64 %r1, %rd1; mov.u32 %r2, s; mov.u32 %r3, other; add.u32 %r2, %r2, %r1;";
    fault(
        &format!("{shared} st.shared.u32 [%r2], %t;"),
        1,
        32,
        700,
        &["out of bounds", "`s` (64 bytes)", "thread (16, 0, 0)"],
    );
    fault("ld.shared.u32 %r1, [4];", 1, 1, 700, &["in no shared variable"]);
    let local = ".local .align 4 .b8 stack[16]; mov.u64 %rd4, stack; add.u64 %rd5, %rd4, %rd1;";
    fault(
        &format!("{local} st.local.u32 [%rd5], %t;"),
        1,
        32,
        700,
        &["out of bounds", "local", "`stack` (16 bytes)", "thread (4, 0, 0)"],
    );
    // shared addresses are no global ones
    fault(
        ".shared .align 4 .b8 s[64]; mov.u64 %rd4, s; cvta.shared.u64 %rd4, %rd4; ld.global.u32 %r1, [%rd4];",
        1,
        1,
        700,
        &["shared address"],
    );
}

#[test]
fn use_after_free() {
    let gpu = Gpu::new();
    let a = gpu.upload(&[0f32; 32]);
    // SAFETY: an allocation of this device.
    assert_eq!(unsafe { softgpu::exports::cuMemFree_v2(a) }, 0);
    let _other = gpu.upload(&[0f32; 32]);
    let (code, report) = gpu.run(&kernel("ld.global.f32 %f1, [%a+8];"), 1, 1, &[a, 0, 0]).unwrap_err();
    assert_eq!(code, 700);
    assert!(report.contains("use after free") && report.contains("8 bytes into allocation #"), "{report}");
}

#[test]
fn misaligned() {
    fault("ld.global.f32 %f1, [%a+2];", 1, 1, 716, &["misaligned", "no multiple of 4"]);
    fault("ld.global.v4.f32 {%f1,%f2,%f3,%f4}, [%a+8];", 1, 1, 716, &["misaligned", "no multiple of 16"]);
    fault(
        ".shared .align 16 .b8 s[64]; st.shared.v2.u32 [s+4], {%t, %t};",
        1,
        1,
        716,
        &["misaligned", "shared"],
    );
    fault(".local .align 8 .b8 l[64]; st.local.u64 [l+4], %rd1;", 1, 1, 716, &["misaligned", "local"]);
    fault(
        ".shared .align 16 .b8 s[1024]; mov.u32 %r1, s; shl.b32 %r2, %t, 3; add.u32 %r1, %r1, %r2; st.shared.u64 [%r1], %rd1; bar.warp.sync -1; ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r3}, [%r1];",
        1,
        32,
        716,
        &["misaligned", "no multiple of 16"],
    );
}

#[test]
fn unwritten() {
    fault("ld.global.f32 %f1, [%rd3];", 1, 32, 700, &["unwritten", "offset 0 of allocation #"]);
    fault(
        ".shared .align 4 .b8 s[64]; ld.shared.u32 %r1, [s+4];",
        1,
        1,
        700,
        &["unwritten", "offset 4 of shared `s`"],
    );
    fault(".local .align 4 .b8 l[64]; ld.local.u32 %r1, [l];", 1, 1, 700, &["unwritten", "local memory"]);
    // half of the word is written
    fault("mov.u16 %h1, 1; st.global.u16 [%b], %h1; ld.global.u32 %r1, [%b];", 1, 1, 700, &["unwritten"]);
    // shared memory of an earlier block is not this block's
    fault(
        ".shared .align 4 .b8 s[64]; setp.eq.u32 %p0, %bid, 0; @%p0 st.shared.u32 [s], %t; ld.shared.u32 %r1, [s];",
        2,
        1,
        700,
        &["unwritten", "block (1, 0, 0)"],
    );
    fault("add.u32 %r1, %r2, 1;", 1, 1, 719, &["uninitialised", "%r2"]);
    // one way leaves the register unwritten
    fault(
        "setp.eq.u32 %p0, %t, 3; @%p0 bra on; mov.u32 %r1, 1; on: add.u32 %r2, %r1, 1;",
        1,
        32,
        719,
        &["uninitialised", "%r1", "thread (3, 0, 0)"],
    );
    fault("@%p3 bra on; on:", 1, 1, 719, &["uninitialised", "%p3"]);
}

const SHARED: &str =
    ".shared .align 4 .b8 s[256]; mov.u32 %r1, s; shl.b32 %r2, %t, 2; add.u32 %r1, %r1, %r2;";

#[test]
fn races_in_shared_memory() {
    // a neighbour's word, with nothing between
    let between = |sync: &str| {
        format!(
            "{SHARED} st.shared.u32 [%r1], %t; {sync} xor.b32 %r3, %r2, 128; mov.u32 %r4, s; add.u32 %r4, %r4, %r3; ld.shared.u32 %r5, [%r4];"
        )
    };
    let gpu = Gpu::new();
    for order in ["forward", "reverse", "random:3"] {
        assert!(softgpu::control::set("order", order));
        let ptx = kernel(&between("bar.sync 0;"));
        gpu.run(&ptx, 1, 64, &[0, 0, 0]).unwrap();
    }
    drop(gpu);
    // written after read
    let war = "st.shared.u32 [%r1], %t; bar.sync 0; xor.b32 %r3, %r2, 128; mov.u32 %r4, s; add.u32 %r4, %r4, %r3; ld.shared.u32 %r5, [%r4]; st.shared.u32 [%r1], %r5;";
    fault(&format!("{SHARED} {war}"), 1, 64, 719, &["race", "nothing orders", "shared `s`"]);
    // within a warp, without bar.warp.sync
    let warp = |sync: &str| {
        format!(
            "{SHARED} st.shared.u32 [%r1], %t; {sync} xor.b32 %r3, %r2, 4; mov.u32 %r4, s; add.u32 %r4, %r4, %r3; ld.shared.u32 %r5, [%r4];"
        )
    };
    fault(&warp(""), 1, 32, 719, &["race: read", "of the same warp"]);
    let gpu = Gpu::new();
    gpu.run(&kernel(&warp("bar.warp.sync -1;")), 1, 32, &[0, 0, 0]).unwrap();
    drop(gpu);
    // lanes of one instruction: the same value may be written by all, different ones may not
    let gpu = Gpu::new();
    gpu.run(&kernel(&format!("{SHARED} mov.u32 %r5, 7; st.shared.u32 [s], %r5;")), 1, 32, &[0, 0, 0])
        .unwrap();
    drop(gpu);
    fault(
        &format!("{SHARED} st.shared.u32 [s], %t;"),
        1,
        32,
        719,
        &["race: write", "a write by thread (0, 0, 0)"],
    );
    // an atomic and a plain read
    fault(
        &format!(
            "{SHARED} mov.u32 %r5, 0; setp.eq.u32 %p0, %t, 0; @%p0 st.shared.u32 [s], %r5; bar.sync 0; atom.shared.add.u32 %r6, [s], 1; ld.shared.u32 %r7, [s];"
        ),
        1,
        64,
        719,
        &["race: read"],
    );
}

#[test]
fn a_missing_barrier_is_a_race_in_every_order() {
    for order in ["forward", "reverse", "random:1", "random:2"] {
        let gpu = Gpu::new();
        assert!(softgpu::control::set("order", order));
        let body = format!(
            "{SHARED} st.shared.u32 [%r1], %t; bar.sync 0; ld.shared.u32 %r5, [%r1]; xor.b32 %r3, %r2, 128; mov.u32 %r4, s; add.u32 %r4, %r4, %r3; st.shared.u32 [%r4], %r5;"
        );
        fault_on(&gpu, "", &body, 1, 64, 719, &["race", "nothing orders"]);
    }
}

#[test]
fn races_in_global_memory() {
    fault("st.global.u32 [%rd2], %t;", 2, 32, 719, &["race: write", "of block (0, 0, 0)"]);
    fault(
        "setp.eq.u32 %p0, %bid, 0; @%p0 st.global.u32 [%rd2], %t; @!%p0 ld.global.u32 %r1, [%rd2];",
        2,
        32,
        719,
        &["race"],
    );
    // between warps of one block
    fault(
        "and.b32 %r1, %t, 31; mul.wide.u32 %rd4, %r1, 4; add.u64 %rd5, %a, %rd4; st.global.u32 [%rd5], %t;",
        1,
        64,
        719,
        &["race: write", "(warp 0)"],
    );
    // bytes of one word by neighbours are no race, the same byte is
    let gpu = Gpu::new();
    let body = "cvt.u64.u32 %rd4, %t; add.u64 %rd5, %b, %rd4; cvt.u16.u32 %h1, %t; st.global.u8 [%rd5], %h1; ld.global.u8 %h2, [%rd5];";
    let b = gpu.alloc(128);
    gpu.run(&kernel(body), 1, 128, &[0, b, 0]).unwrap();
    drop(gpu);
    fault(
        "cvt.u64.u32 %rd4, %t; shr.u64 %rd4, %rd4, 1; add.u64 %rd5, %b, %rd4; cvt.u16.u32 %h1, %t; st.global.u8 [%rd5], %h1;",
        1,
        32,
        719,
        &["race: write"],
    );
}

#[test]
fn barriers() {
    fault(
        "setp.lt.u32 %p0, %t, 16; @%p0 bar.sync 0; st.global.u32 [%rd2], %t;",
        1,
        32,
        719,
        &["divergent barrier", "lanes 0-15", "lanes 16-31"],
    );
    fault(
        "setp.lt.u32 %p0, %t, 16; @%p0 bra x; bar.sync 0; bra.uni y; x: bar.sync 0; y:",
        1,
        32,
        719,
        &["divergent barrier", "another barrier"],
    );
    fault(
        "setp.lt.u32 %p0, %t, 32; @%p0 bra x; bar.sync 1; bra.uni y; x: bar.sync 2; y:",
        1,
        64,
        719,
        &["deadlock", "barrier"],
    );
    fault("bar.sync 1, 128;", 1, 64, 719, &["deadlock", "64 of 128"]);
    fault("bar.sync 16;", 1, 32, 719, &["barrier 16"]);
}

#[test]
fn exchanges_with_absent_lanes() {
    fault(
        "setp.lt.u32 %p0, %t, 16; @%p0 bra x; bra.uni y; x: shfl.sync.bfly.b32 %r1, %t, 1, 31, -1; y:",
        1,
        32,
        719,
        &["shuffle", "names"],
    );
    fault(
        "shfl.sync.bfly.b32 %r1, %t, 1, 31, 0xffff;",
        1,
        32,
        719,
        &["does not name the lane itself", "thread (16, 0, 0)"],
    );
    fault(
        "setp.ge.u32 %p0, %t, 8; @%p0 exit; shfl.sync.down.b32 %r1, %t, 1, 31, -1;",
        1,
        32,
        719,
        &["exited"],
    );
    fault("shfl.sync.down.b32 %r1, %t, 1, 31, -1;", 1, 16, 719, &["never was"]);
    fault("setp.lt.u32 %p0, %t, 4; @%p0 vote.sync.ballot.b32 %r1, %p0, 0xff;", 1, 32, 719, &["vote"]);
}

#[test]
fn endless_loops_and_traps() {
    fault("again: bra.uni again;", 1, 1, 702, &["endless loop"]);
    fault(
        "again: ld.volatile.global.u32 %r1, [%a]; setp.eq.u32 %p0, %r1, 0; @%p0 bra again;",
        1,
        32,
        702,
        &["endless loop"],
    );
    fault("setp.eq.u32 %p0, %t, 5; @%p0 trap;", 1, 32, 719, &["trap", "thread (5, 0, 0)"]);
}

#[test]
fn asynchronous_copies() {
    let copy = "add.u64 %rd6, %c, %rd1; cp.async.ca.shared.global [%r1], [%rd6], 4; cp.async.commit_group;";
    let other = "xor.b32 %r3, %r2, 4; mov.u32 %r4, s; add.u32 %r4, %r4, %r3; ld.shared.u32 %r5, [%r4];";
    for (wait, want) in [
        ("", "asynchronous copy in flight"),
        ("bar.sync 0;", "asynchronous copy in flight"),
        ("cp.async.wait_group 1; bar.sync 0;", "asynchronous copy in flight"),
        ("cp.async.wait_group 0;", "race: read"),
        ("cp.async.wait_all; bar.sync 0;", ""),
    ] {
        let gpu = Gpu::new();
        let c = gpu.upload(&[1f32; 64]);
        let r = gpu.run(&kernel(&format!("{SLOT}{SHARED}{copy}{wait}{other}")), 1, 64, &[0, 0, c]);
        match r {
            Ok(()) => assert_eq!(want, "", "{wait}"),
            Err((_, report)) => assert!(!want.is_empty() && report.contains(want), "{wait}: {report}"),
        }
    }
}

/// The context keeps the error until its last holder lets go.
#[test]
fn errors_stick() {
    let gpu = Gpu::new();
    gpu.run(&kernel("ld.global.f32 %f1, [0];"), 1, 1, &[0, 0, 0]).unwrap_err();
    // SAFETY: no pointers, or to locals.
    unsafe {
        assert_eq!(softgpu::exports::cuCtxSynchronize(), 700);
        let mut p = 0;
        assert_eq!(softgpu::exports::cuMemAlloc_v2(&mut p, 4), 700);
    }
    drop(gpu);
    Gpu::new().run(&kernel(""), 1, 1, &[0, 0, 0]).unwrap();
}

/// `.loc` names the source.
#[test]
fn source_lines() {
    let gpu = Gpu::new();
    fault_on(
        &gpu,
        ".file 1 \"dense.cu\"",
        ".loc 1 42 7\nld.global.f32 %f1, [%rd3];",
        1,
        1,
        700,
        &["at dense.cu:42"],
    );
}
