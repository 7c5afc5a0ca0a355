//! Instructions against values worked out by hand or by the host's own arithmetic.

mod device;

use device::{Gpu, kernel};

/// Runs `text` on inputs in `%rd1..`, `%r1..`, `%f1..`, `%fd1..`, `%h1..` (the same bits in each) and gives what it
/// left in `result`.
fn eval(gpu: &Gpu, text: &str, result: &str, inputs: &[u64]) -> u64 {
    let mut body = String::new();
    for i in 0..inputs.len() {
        let (n, o) = (i + 1, i * 8);
        body += &format!("ld.global.u64 %rd{n}, [%a+{o}]; ld.global.u32 %r{n}, [%a+{o}]; ");
        body += &format!(
            "ld.global.f32 %f{n}, [%a+{o}]; ld.global.f64 %fd{n}, [%a+{o}]; ld.global.u16 %h{n}, [%a+{o}];\n"
        );
    }
    body += &format!("{text}\n");
    body += &match result {
        "p0" => "selp.b32 %r31, 1, 0, %p0; st.global.u32 [%b], %r31;".to_string(),
        r if r.starts_with("rd") || r.starts_with("fd") => format!("st.global.b64 [%b], %{r};"),
        r if r.starts_with('h') => format!("st.global.b16 [%b], %{r};"),
        r => format!("st.global.b32 [%b], %{r};"),
    };
    let (a, b) = (gpu.upload(inputs), gpu.upload(&[0u64]));
    gpu.run(&kernel(&body), 1, 1, &[a, b, 0]).unwrap_or_else(|e| panic!("{text}: {e:?}"));
    gpu.download::<u64>(b, 1)[0]
}

fn f(x: f32) -> u64 {
    u64::from(x.to_bits())
}

fn d(x: f64) -> u64 {
    x.to_bits()
}

fn s(x: i32) -> u64 {
    u64::from(x as u32)
}

/// Fails if an instruction is decoded as another one, or computes another value on the corner that a row names.
#[test]
fn table() {
    let gpu = Gpu::new();
    let nan = f(f32::from_bits(0x7fff_ffff));
    let big = f(3e9);
    #[rustfmt::skip]
    let rows: &[(&str, &str, &[u64], u64)] = &[
        ("add.s32 %r0, %r1, %r2;", "r0", &[s(-5), s(3)], s(-2)),
        ("add.sat.s32 %r0, %r1, %r2;", "r0", &[s(i32::MAX), s(3)], s(i32::MAX)),
        ("sub.sat.s32 %r0, %r1, %r2;", "r0", &[s(i32::MIN), s(3)], s(i32::MIN)),
        ("sub.u64 %rd0, %rd1, %rd2;", "rd0", &[1, 2], u64::MAX),
        ("mul.hi.s32 %r0, %r1, %r2;", "r0", &[s(-1), s(2)], s(-1)),
        ("mul.hi.u32 %r0, %r1, %r2;", "r0", &[s(-1), s(2)], 1),
        ("mul.wide.s32 %rd0, %r1, %r2;", "rd0", &[s(-3), s(7)], -21i64 as u64),
        ("mul.wide.u32 %rd0, %r1, %r2;", "rd0", &[s(-1), s(2)], 0x1_ffff_fffe),
        ("mul.wide.s16 %r0, %h1, %h2;", "r0", &[0xffff, 5], s(-5)),
        ("mul.hi.u64 %rd0, %rd1, %rd2;", "rd0", &[u64::MAX, 16], 15),
        ("mad.lo.s32 %r0, %r1, %r2, %r3;", "r0", &[s(-3), 7, 1], s(-20)),
        ("mad.wide.u32 %rd0, %r1, %r2, %rd3;", "rd0", &[s(-1), 2, 5], 0x2_0000_0003),
        ("mad.hi.u32 %r0, %r1, %r2, %r3;", "r0", &[s(-1), 2, 5], 6),
        ("mul24.lo.s32 %r0, %r1, %r2;", "r0", &[0x00ff_ffff, 3], s(-3)),
        ("div.s32 %r0, %r1, %r2;", "r0", &[s(-7), 2], s(-3)),
        ("rem.s32 %r0, %r1, %r2;", "r0", &[s(-7), 2], s(-1)),
        ("div.u32 %r0, %r1, %r2;", "r0", &[7, 0], s(-1)),
        ("div.s64 %rd0, %rd1, %rd2;", "rd0", &[-7i64 as u64, 2], -3i64 as u64),
        ("rem.u64 %rd0, %rd1, %rd2;", "rd0", &[7, 4], 3),
        ("div.s16 %h0, %h1, %h2;", "h0", &[0xfff9, 2], 0xfffd),
        ("abs.s32 %r0, %r1;", "r0", &[s(i32::MIN)], s(i32::MIN)),
        ("neg.s64 %rd0, %rd1;", "rd0", &[5], -5i64 as u64),
        ("min.s32 %r0, %r1, %r2;", "r0", &[s(-1), 1], s(-1)),
        ("min.u32 %r0, %r1, %r2;", "r0", &[s(-1), 1], 1),
        ("max.s16 %h0, %h1, %h2;", "h0", &[0xffff, 1], 1),
        ("sad.s32 %r0, %r1, %r2, %r3;", "r0", &[s(-5), 5, 1], 11),
        ("and.b32 %r0, %r1, %r2;", "r0", &[0b1100, 0b1010], 0b1000),
        ("xor.b64 %rd0, %rd1, %rd2;", "rd0", &[u64::MAX, 1], u64::MAX - 1),
        ("not.b32 %r0, %r1;", "r0", &[0], s(-1)),
        ("cnot.b32 %r0, %r1;", "r0", &[7], 0),
        ("shl.b32 %r0, %r1, 33;", "r0", &[7], 0),
        ("shr.s32 %r0, %r1, 40;", "r0", &[s(-7)], s(-1)),
        ("shr.u64 %rd0, %rd1, 4;", "rd0", &[0xff0], 0xff),
        ("shr.s16 %h0, %h1, 4;", "h0", &[0x8000], 0xf800),
        ("shf.l.wrap.b32 %r0, %r1, %r2, 8;", "r0", &[0x1234_5678, 0x9abc_def0], 0xbcde_f012),
        ("shf.r.wrap.b32 %r0, %r1, %r2, 40;", "r0", &[0x1234_5678, 0x9abc_def0], 0xf012_3456),
        ("shf.r.clamp.b32 %r0, %r1, %r2, 40;", "r0", &[1, 2], 2),
        ("lop3.b32 %r0, %r1, %r2, %r3, 0xe8;", "r0", &[0b1100, 0b1010, 0b0110], 0b1110),
        ("prmt.b32 %r0, %r1, %r2, 0x7531;", "r0", &[0x3322_1100, 0x7766_5544], 0x7755_3311),
        ("prmt.b32 %r0, %r1, %r2, 0x8888;", "r0", &[0x80, 0], s(-1)),
        ("prmt.b32.rc8 %r0, %r1, %r2, 2;", "r0", &[0x3322_1100, 0], 0x2222_2222),
        ("bfe.u32 %r0, %r1, 4, 8;", "r0", &[0xabcd], 0xbc),
        ("bfe.s32 %r0, %r1, 4, 8;", "r0", &[0xabcd], s(0xbcu8 as i8 as i32)),
        ("bfi.b32 %r0, %r1, %r2, 8, 8;", "r0", &[0xff, 0x1234_5678], 0x1234_ff78),
        ("bfind.u32 %r0, %r1;", "r0", &[0x100], 8),
        ("bfind.shiftamt.s32 %r0, %r1;", "r0", &[s(-1)], s(-1)),
        ("fns.b32 %r0, %r1, 0, 3;", "r0", &[0b101_1000], 6),
        ("popc.b64 %r0, %rd1;", "r0", &[u64::MAX], 64),
        ("clz.b32 %r0, %r1;", "r0", &[1], 31),
        ("brev.b32 %r0, %r1;", "r0", &[1], 1 << 31),
        ("dp4a.s32.s32 %r0, %r1, %r2, %r3;", "r0", &[0xff01_02fe, 0x0202_0202, 10], 10),
        ("dp2a.lo.u32.u32 %r0, %r1, %r2, %r3;", "r0", &[0x0003_0002, 0x0505, 1], 26),
        ("add.cc.u32 %r4, %r1, %r2; addc.u32 %r0, %r3, 0;", "r0", &[s(-1), 1, 5], 6),
        ("sub.cc.u32 %r4, %r1, %r2; subc.u32 %r0, %r3, 0;", "r0", &[0, 1, 5], 4),
        ("mad.lo.cc.u32 %r4, %r1, %r2, %r3; madc.hi.u32 %r0, %r1, %r2, 0;", "r0", &[s(-1), s(-1), s(-1)], s(-1)),
        ("selp.b32 %r0, %r1, %r2, 0;", "r0", &[3, 4], 4),
        ("slct.f32.s32 %f0, %f1, %f2, %r3;", "f0", &[f(1.0), f(2.0), s(-1)], f(2.0)),
        ("set.lt.u32.s32 %r0, %r1, %r2;", "r0", &[s(-1), 0], s(-1)),
        ("set.gt.f32.f32 %f0, %f1, %f2;", "f0", &[f(2.0), f(1.0)], f(1.0)),
        ("setp.lt.s32 %p0, %r1, %r2;", "p0", &[s(-1), 0], 1),
        ("setp.lo.u32 %p0, %r1, %r2;", "p0", &[s(-1), 0], 0),
        ("setp.lt.s16 %p0, %h1, %h2;", "p0", &[0xffff, 0], 1),
        ("setp.ltu.f32 %p0, %f1, %f2;", "p0", &[nan, 0], 1),
        ("setp.ne.f32 %p0, %f1, %f2;", "p0", &[nan, 0], 0),
        ("setp.neu.f64 %p0, %fd1, %fd2;", "p0", &[d(f64::NAN), 0], 1),
        ("setp.eq.s32 %p1, 1, 1; setp.lt.and.s32 %p2|%p0, %r1, %r2, %p1;", "p0", &[s(-1), 0], 0),
        ("setp.eq.s32 %p1, 1, 0; setp.lt.or.s32 %p0, %r1, %r2, !%p1;", "p0", &[1, 0], 1),
        // floats
        ("fma.rn.f32 %f0, %f1, %f2, %f3;", "f0", &[f(1.0 + 1.2e-7), f(1.0 + 1.2e-7), f(-1.0)], f((1.0f32 + 1.2e-7).mul_add(1.0 + 1.2e-7, -1.0))),
        ("add.rz.f32 %f0, %f1, %f2;", "f0", &[f(1.0), f(1e-10)], f(1.0)),
        ("add.rp.f32 %f0, %f1, %f2;", "f0", &[f(1.0), f(1e-10)], f(1f32.next_up())),
        ("add.rm.f32 %f0, %f1, %f2;", "f0", &[f(1.0), f(-1e-10)], f(1f32.next_down())),
        ("mul.rz.f32 %f0, %f1, %f2;", "f0", &[f(1f32.next_up()), f(1f32.next_up())], f(1f32.next_up().next_up())),
        ("fma.rp.f32 %f0, %f1, %f2, %f3;", "f0", &[f(1.0), f(1.0), f(1e-30)], f(1f32.next_up())),
        ("div.rz.f32 %f0, %f1, %f2;", "f0", &[f(2.0), f(3.0)], f((2f32 / 3.0).next_down())),
        ("div.rn.f32 %f0, %f1, %f2;", "f0", &[f(2.0), f(3.0)], f(2.0 / 3.0)),
        ("sqrt.rm.f32 %f0, %f1;", "f0", &[f(2.0)], f(2f32.sqrt())),
        ("add.ftz.f32 %f0, %f1, %f2;", "f0", &[1, 0], 0),
        ("mul.ftz.f32 %f0, %f1, %f2;", "f0", &[f(1e-30), f(-1e-10)], f(-0.0)),
        ("add.sat.f32 %f0, %f1, %f2;", "f0", &[f(1.0), f(1.0)], f(1.0)),
        ("add.sat.f32 %f0, %f1, %f2;", "f0", &[nan, f(1.0)], 0),
        ("min.f32 %f0, %f1, %f2;", "f0", &[nan, f(1.0)], f(1.0)),
        ("min.f32 %f0, %f1, %f2;", "f0", &[f(0.0), f(-0.0)], f(-0.0)),
        ("max.NaN.f32 %f0, %f1, %f2;", "f0", &[nan, f(1.0)], 0x7fff_ffff),
        ("copysign.f32 %f0, %f1, %f2;", "f0", &[f(-1.0), f(3.0)], f(-3.0)),
        ("testp.subnormal.f32 %p0, %f1;", "p0", &[1], 1),
        ("testp.finite.f64 %p0, %fd1;", "p0", &[d(f64::INFINITY)], 0),
        ("ex2.approx.ftz.f32 %f0, %f1;", "f0", &[f(3.0)], f(8.0)),
        ("lg2.approx.f32 %f0, %f1;", "f0", &[f(8.0)], f(3.0)),
        ("rsqrt.approx.f32 %f0, %f1;", "f0", &[f(4.0)], f(0.5)),
        ("tanh.approx.f32 %f0, %f1;", "f0", &[f(0.0)], f(0.0)),
        ("add.f64 %fd0, %fd1, %fd2;", "fd0", &[d(1.5), d(2.0)], d(3.5)),
        ("mul.rp.f64 %fd0, %fd1, %fd2;", "fd0", &[d(0.1), d(0.1)], d(0.1 * 0.1)),
        ("fma.rn.f64 %fd0, %fd1, %fd2, %fd3;", "fd0", &[d(2.0), d(3.0), d(1.0)], d(7.0)),
        // conversions
        ("cvt.rzi.s32.f32 %r0, %f1;", "r0", &[f(-2.7)], s(-2)),
        ("cvt.rni.s32.f32 %r0, %f1;", "r0", &[f(2.5)], 2),
        ("cvt.rmi.s32.f32 %r0, %f1;", "r0", &[f(-2.1)], s(-3)),
        ("cvt.rzi.s32.f32 %r0, %f1;", "r0", &[big], s(i32::MAX)),
        ("cvt.rzi.u32.f32 %r0, %f1;", "r0", &[f(-1.0)], 0),
        ("cvt.rzi.s32.f32 %r0, %f1;", "r0", &[nan], 0),
        ("cvt.rpi.f32.f32 %f0, %f1;", "f0", &[f(2.1)], f(3.0)),
        ("cvt.rn.f32.u32 %f0, %r1;", "f0", &[s(-1)], f(4294967296.0)),
        ("cvt.rz.f32.u32 %f0, %r1;", "f0", &[s(-1)], f(4294967040.0)),
        ("cvt.rn.f32.s64 %f0, %rd1;", "f0", &[-3i64 as u64], f(-3.0)),
        ("cvt.rn.f32.f64 %f0, %fd1;", "f0", &[d(1.0 + 1e-9)], f(1.0)),
        ("cvt.rp.f32.f64 %f0, %fd1;", "f0", &[d(1.0 + 1e-9)], f(1f32.next_up())),
        ("cvt.f64.f32 %fd0, %f1;", "fd0", &[f(1.5)], d(1.5)),
        ("cvt.s64.s32 %rd0, %r1;", "rd0", &[s(-1)], u64::MAX),
        ("cvt.s32.s8 %r0, %r1;", "r0", &[0xff], s(-1)),
        ("cvt.u16.u32 %h0, %r1;", "h0", &[0x1_2345], 0x2345),
        ("cvt.sat.u8.s32 %r0, %r1;", "r0", &[300], 255),
        ("cvt.sat.s8.s32 %r0, %r1;", "r0", &[s(-300)], s(-128)),
        ("cvt.sat.f32.f32 %f0, %f1;", "f0", &[f(1.5)], f(1.0)),
        ("cvt.rn.f16.f32 %h0, %f1;", "h0", &[f(65504.0)], 0x7bff),
        ("cvt.rn.f16.f32 %h0, %f1;", "h0", &[f(65520.0)], 0x7c00),
        ("cvt.rz.f16.f32 %h0, %f1;", "h0", &[f(65520.0)], 0x7bff),
        ("cvt.rn.f16.f32 %h0, %f1;", "h0", &[f(5.960_464_5e-8)], 1),
        ("cvt.f32.f16 %f0, %h1;", "f0", &[1], f(5.960_464_5e-8)),
        ("cvt.rn.bf16.f32 %h0, %f1;", "h0", &[f(1.005_859_4)], 0x3f81),
        ("cvt.rna.tf32.f32 %r0, %f1;", "r0", &[0x3f80_1000], 0x3f80_2000),
        ("cvt.rn.f16x2.f32 %r0, %f1, %f2;", "r0", &[f(1.0), f(2.0)], 0x3c00_4000),
        ("add.f16 %h0, %h1, %h2;", "h0", &[0x3c00, 0x3c00], 0x4000),
        ("fma.rn.f16x2 %r0, %r1, %r2, %r3;", "r0", &[0x4000_3c00, 0x4000_3c00, 0x3c00_3c00], 0x4500_4000),
        ("mul.f16x2 %r0, %r1, %r2;", "r0", &[0x7bff_4000, 0x4000_4000], 0x7c00_4400),
        ("max.bf16 %h0, %h1, %h2;", "h0", &[0x3f80, 0x4000], 0x4000),
        ("mov.b64 {%r5, %r0}, %rd1;", "r0", &[0x1_0000_0002], 1),
        ("mov.b64 %rd0, {%r1, %r2};", "rd0", &[2, 1], 0x1_0000_0002),
        ("mov.b32 {%h0, %h5}, %r1;", "h0", &[0x1234_5678], 0x5678),
    ];
    for (text, result, inputs, want) in rows {
        let got = eval(&gpu, text, result, inputs);
        assert_eq!(got, *want, "{text} of {inputs:x?} gave {got:#x}, expected {want:#x}");
    }
}

/// The carry goes through three words.
#[test]
fn long_addition() {
    let gpu = Gpu::new();
    let text = "add.cc.u32 %r5, %r1, 1; addc.cc.u32 %r6, %r2, 0; addc.u32 %r0, %r3, 0;";
    assert_eq!(eval(&gpu, text, "r0", &[s(-1), s(-1), 7]), 8);
    assert_eq!(eval(&gpu, text, "r0", &[s(-1), 0, 7]), 7);
}

/// What is not implemented is named, with its line, and nothing of the module runs.
#[test]
fn unknown_forms_are_rejected() {
    let gpu = Gpu::new();
    for (text, why) in [
        ("frobnicate.b32 %r0, %r1;", "`frobnicate.b32` is not implemented"),
        ("add.wibble.s32 %r0, %r0, 1;", "the modifier `.wibble` is not implemented"),
        ("mov.u32 %r0, %rd1;", "`%rd1` has 64 bits"),
        ("mov.u32 %r99, 1;", "`%r99` is no declared register"),
        ("bra nowhere;", "there is no label `nowhere`"),
        ("mov.u64 %rd0, nothing;", "`nothing` is not declared"),
        ("fma.f32 %f0, %f0, %f0, %f0;", "`fma.f32` is not implemented"),
        ("add.s32 %r0, %r1;", "2 operands, expected 3"),
        ("wgmma.fence.sync.aligned;", "is not implemented"),
        ("tex.2d.v4.f32.f32 %f0, %f1;", "is not implemented"),
        ("setp.lt.s32 %r0, %r1, %r2;", "`%r0` is no predicate"),
        ("mov.u32 %r0, 1", "expected"),
    ] {
        let (code, report) = gpu.run(&kernel(text), 1, 1, &[0, 0, 0]).unwrap_err();
        assert_eq!(code, 218, "{text}");
        assert!(report.contains(why), "{text}: {report}");
        assert!(report.contains("PTX line"), "{report}");
    }
}

/// Every lane of a diverged warp computes for itself, whichever way it went, and all meet again.
#[test]
fn divergence() {
    let gpu = Gpu::new();
    let body = "
        mov.u32 %r1, 0; mov.u32 %r2, 0;
        loop: add.u32 %r2, %r2, %r1; add.u32 %r1, %r1, 1; setp.le.u32 %p0, %r1, %t; @%p0 bra loop;
        and.b32 %r3, %t, 1; setp.eq.u32 %p1, %r3, 0; @%p1 bra even;
        mul.lo.u32 %r2, %r2, 3; bra.uni done;
        even: add.u32 %r2, %r2, 100;
        done: activemask.b32 %r4; add.u32 %r2, %r2, %r4;
        mul.wide.u32 %rd1, %t, 4; add.u64 %rd2, %a, %rd1; st.global.u32 [%rd2], %r2;";
    let out = gpu.alloc(128);
    gpu.run(&kernel(body), 1, 32, &[out, 0, 0]).unwrap();
    for (t, v) in gpu.download::<u32>(out, 32).into_iter().enumerate() {
        let sum = (t * (t + 1) / 2) as u32;
        let want = if t % 2 == 0 { sum + 100 } else { sum * 3 };
        assert_eq!(v, want.wrapping_sub(1), "thread {t}");
    }
}

/// Shuffles, votes and matches of a whole warp.
#[test]
fn exchanges() {
    let gpu = Gpu::new();
    let store = "mul.wide.u32 %rd1, %t, 4; add.u64 %rd2, %a, %rd1; st.global.u32 [%rd2], %r0;";
    type Want = fn(u32) -> u32;
    let rows: &[(&str, Want)] = &[
        ("shfl.sync.bfly.b32 %r0, %t, 5, 31, -1;", |t| t ^ 5),
        ("shfl.sync.up.b32 %r0, %t, 1, 0, -1;", |t| t.saturating_sub(1)),
        ("shfl.sync.down.b32 %r0|%p0, %t, 4, 31, -1;", |t| if t + 4 < 32 { t + 4 } else { t }),
        ("shfl.sync.idx.b32 %r0, %t, 3, 0x181f, -1;", |t| (t & !7) + 3),
        ("setp.lt.u32 %p0, %t, 5; vote.sync.ballot.b32 %r0, %p0, -1;", |_| 31),
        ("setp.lt.u32 %p0, %t, 5; vote.sync.any.pred %p1, %p0, -1; selp.b32 %r0, 1, 0, %p1;", |_| 1),
        ("setp.lt.u32 %p0, %t, 5; vote.sync.all.pred %p1, !%p0, -1; selp.b32 %r0, 1, 0, %p1;", |_| 0),
        (
            "shr.u32 %r1, %t, 4; match.any.sync.b32 %r0, %r1, -1;",
            |t| if t < 16 { 0xffff } else { 0xffff_0000 },
        ),
        ("redux.sync.add.s32 %r0, %t, -1;", |_| 496),
        ("redux.sync.max.u32 %r0, %t, -1;", |_| 31),
        ("mov.u32 %r0, %lanemask_lt;", |t| (1 << t) - 1),
        ("mov.u32 %r0, %ntid.x;", |_| 32),
        ("bar.red.popc.u32 %r0, 0, 1;", |_| 32),
    ];
    for (text, want) in rows {
        let out = gpu.alloc(128);
        gpu.run(&kernel(&format!("{text}\n{store}")), 1, 32, &[out, 0, 0])
            .unwrap_or_else(|e| panic!("{text}: {e:?}"));
        let got = gpu.download::<u32>(out, 32);
        for t in 0..32 {
            assert_eq!(got[t as usize], want(t), "{text}: thread {t}");
        }
    }
}

/// Functions are called with their parameters; tables of targets jump; constants and local memory hold values.
#[test]
fn functions_tables_and_memory_spaces() {
    let gpu = Gpu::new();
    let globals = "
        .const .align 4 .b32 weights[4] = {1, 10, 100, 1000};
        .global .align 8 .u64 where = weights;
        .func (.param .b32 out) triple(.param .b32 x) { .reg .b32 %r<3>;
          ld.param.u32 %r1, [x]; mul.lo.u32 %r2, %r1, 3; st.param.b32 [out], %r2; ret; }";
    let body = "
        .local .align 8 .b8 stack[16];
        and.b32 %r1, %t, 3;
        ts: .branchtargets zero, one, two, two;
        brx.idx %r1, ts;
        zero: mov.u32 %r2, 7; bra.uni on;
        one: mov.u32 %r2, 8; bra.uni on;
        two: mov.u32 %r2, 9;
        on:
        { .param .b32 in; .param .b32 res; .reg .b32 %r1;
          st.param.b32 [in], %r2; call.uni (res), triple, (in); ld.param.b32 %r1, [res]; mov.u32 %r2, %r1; }
        mul.wide.u32 %rd1, %r1, 4; mov.u64 %rd2, weights; add.u64 %rd3, %rd2, %rd1; ld.const.u32 %r3, [%rd3];
        ld.global.u64 %rd4, [where]; ld.u32 %r4, [%rd4+4];
        mov.u64 %rd5, stack; cvta.local.u64 %rd6, %rd5; st.u32 [%rd6+8], %r3; ld.local.u32 %r5, [stack+8];
        add.u32 %r6, %r2, %r5; add.u32 %r6, %r6, %r4;
        mul.wide.u32 %rd7, %t, 4; add.u64 %rd8, %a, %rd7; st.global.u32 [%rd8], %r6;";
    let out = gpu.alloc(128);
    gpu.run(&device::kernel_with(globals, body), 1, 32, &[out, 0, 0]).unwrap();
    for (t, v) in gpu.download::<u32>(out, 32).into_iter().enumerate() {
        let base = [7, 8, 9, 9][t & 3] * 3;
        assert_eq!(v, base + 10u32.pow(t as u32 & 3) + 10, "thread {t}");
    }
}

/// Atomics of all kinds give the sum of everybody, from several blocks on several threads.
#[test]
fn atomics_add_up() {
    let gpu = Gpu::new();
    let body = "
        atom.global.add.u32 %r1, [%a], 1;
        atom.global.add.f32 %f1, [%a+4], 0f3F000000;
        red.global.max.s32 [%a+8], %t;
        atom.global.add.u64 %rd1, [%a+16], 3;
        atom.global.inc.u32 %r2, [%a+12], 4;
        again: ld.volatile.global.u32 %r3, [%a+24]; add.u32 %r4, %r3, 2;
        atom.global.cas.b32 %r5, [%a+24], %r3, %r4; setp.ne.u32 %p0, %r5, %r3; @%p0 bra again;";
    let a = gpu.upload(&[0u32; 8]);
    gpu.run(&kernel(body), 8, 64, &[a, 0, 0]).unwrap();
    let v = gpu.download::<u32>(a, 8);
    assert_eq!(v[0], 512);
    assert_eq!(f32::from_bits(v[1]), 256.0);
    assert_eq!(v[2], 63);
    assert_eq!(v[3], 512 % 5);
    assert_eq!(v[4], 1536);
    assert_eq!(v[6], 1024);
}
