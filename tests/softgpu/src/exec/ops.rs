//! The table of operations that are worth a vector loop; everything rarer is a scalar function (`Op::Scalar`).

use super::code::Inst;
use super::lanes;

/// What an operation leaves behind.
pub(crate) enum Done {
    /// A line of 32-bit lanes at `d`.
    Line,
    /// Two lines of 64-bit lanes at `d`.
    Wide,
    /// A bit a lane.
    Mask(u32),
    /// The operation is none of this table.
    Other,
}

/// Makes the enumeration of all operations and the function that runs those of the table. A row's group says of how
/// many lanes of which width its operands and its result are; the names of operands are `a`, `b`, `c`.
macro_rules! operations {
    (
        lines { $($lane:ident $args:tt { $($name:ident => $e:expr;)* })* }
        masks { $($mlane:ident $margs:tt { $($mname:ident => $me:expr;)* })* }
        others { $($other:ident),* $(,)? }
    ) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u16)]
        pub(crate) enum Op {
            $($($name,)*)*
            $($($mname,)*)*
            $($other,)*
        }

        /// Runs an operation of the table. The result goes to `d`; a comparison's is returned.
        ///
        /// # Safety
        /// `file` is a warp's register file that the instruction was made for, `d` has room for the result.
        #[inline(always)]
        pub(crate) unsafe fn run(op: Op, file: *mut u8, i: &Inst, d: *mut u8) -> Done {
            // SAFETY: operands' places are within the file, aligned to a line, and of the operation's widths.
            unsafe {
                match op {
                    $($(Op::$name => operations!(@$lane $args $e, file, i, d),)*)*
                    $($(Op::$mname => Done::Mask(operations!(@$mlane $margs $me, file, i)),)*)*
                    Op::Select32 => {
                        let p = *file.add(i.c as usize).cast::<u32>();
                        lanes::select32(d.cast(), at(file, i.a), at(file, i.b), p);
                        Done::Line
                    }
                    Op::Select64 => {
                        let p = *file.add(i.c as usize).cast::<u32>();
                        lanes::select64(d.cast(), at(file, i.a), at(file, i.b), p);
                        Done::Wide
                    }
                    Op::PredAnd => Done::Mask(*at::<u32>(file, i.a) & *at::<u32>(file, i.b)),
                    Op::PredOr => Done::Mask(*at::<u32>(file, i.a) | *at::<u32>(file, i.b)),
                    Op::PredXor => Done::Mask(*at::<u32>(file, i.a) ^ *at::<u32>(file, i.b)),
                    Op::PredNot => Done::Mask(!*at::<u32>(file, i.a)),
                    Op::PredMov => Done::Mask(*at::<u32>(file, i.a)),
                    _ => Done::Other,
                }
            }
        }
    };
    (@l1 ($a:ident) $e:expr, $file:ident, $i:ident, $d:ident) => {{
        lanes::l1($d.cast(), at($file, $i.a), |$a| $e);
        Done::Line
    }};
    (@l2 ($a:ident, $b:ident) $e:expr, $file:ident, $i:ident, $d:ident) => {{
        lanes::l2($d.cast(), at($file, $i.a), at($file, $i.b), |$a, $b| $e);
        Done::Line
    }};
    (@l3 ($a:ident, $b:ident, $c:ident) $e:expr, $file:ident, $i:ident, $d:ident) => {{
        lanes::l3($d.cast(), at($file, $i.a), at($file, $i.b), at($file, $i.c), |$a, $b, $c| $e);
        Done::Line
    }};
    (@n1 ($a:ident) $e:expr, $file:ident, $i:ident, $d:ident) => {{
        lanes::n1($d.cast(), at($file, $i.a), |$a| $e);
        Done::Line
    }};
    (@w1 ($a:ident) $e:expr, $file:ident, $i:ident, $d:ident) => {{
        lanes::w1($d.cast(), at($file, $i.a), |$a| $e);
        Done::Wide
    }};
    (@w2 ($a:ident, $b:ident) $e:expr, $file:ident, $i:ident, $d:ident) => {{
        lanes::w2($d.cast(), at($file, $i.a), at($file, $i.b), |$a, $b| $e);
        Done::Wide
    }};
    (@w3 ($a:ident, $b:ident, $c:ident) $e:expr, $file:ident, $i:ident, $d:ident) => {{
        lanes::w3($d.cast(), at($file, $i.a), at($file, $i.b), at($file, $i.c), |$a, $b, $c| $e);
        Done::Wide
    }};
    (@ws ($a:ident, $b:ident) $e:expr, $file:ident, $i:ident, $d:ident) => {{
        lanes::ws($d.cast(), at($file, $i.a), at($file, $i.b), |$a, $b| $e);
        Done::Wide
    }};
    (@x1 ($a:ident) $e:expr, $file:ident, $i:ident, $d:ident) => {{
        lanes::x1($d.cast(), at($file, $i.a), |$a| $e);
        Done::Wide
    }};
    (@x2 ($a:ident, $b:ident) $e:expr, $file:ident, $i:ident, $d:ident) => {{
        lanes::x2($d.cast(), at($file, $i.a), at($file, $i.b), |$a, $b| $e);
        Done::Wide
    }};
    (@x3 ($a:ident, $b:ident, $c:ident) $e:expr, $file:ident, $i:ident, $d:ident) => {{
        lanes::x3($d.cast(), at($file, $i.a), at($file, $i.b), at($file, $i.c), |$a, $b, $c| $e);
        Done::Wide
    }};
    (@c2 ($a:ident, $b:ident) $e:expr, $file:ident, $i:ident) => {
        lanes::c2(at($file, $i.a), at($file, $i.b), |$a, $b| $e)
    };
    (@k2 ($a:ident, $b:ident) $e:expr, $file:ident, $i:ident) => {
        lanes::k2(at($file, $i.a), at($file, $i.b), |$a, $b| $e)
    };
}

/// # Safety
/// `place` is an operand's place within the file.
#[inline(always)]
unsafe fn at<T>(file: *mut u8, place: u32) -> *const T {
    // SAFETY: the caller's word.
    unsafe { file.add(place as usize).cast() }
}

operations! {
    lines {
        // 32-bit lanes, one operand
        l1 (a) {
            Mov32 => a;
            Not32 => !a;
            Neg32 => a.wrapping_neg();
            AbsS32 => (a as i32).wrapping_abs() as u32;
            NegF32 => a ^ 0x8000_0000;
            AbsF32 => a & 0x7fff_ffff;
            SqrtF32 => f32::from_bits(a).sqrt().to_bits();
            RcpF32 => (1.0 / f32::from_bits(a)).to_bits();
            RsqrtF32 => ((1.0 / f64::from(f32::from_bits(a)).sqrt()) as f32).to_bits();
            Ex2F32 => f32::from_bits(a).exp2().to_bits();
            Lg2F32 => f32::from_bits(a).log2().to_bits();
            FtzF32 => if a & 0x7f80_0000 == 0 { a & 0x8000_0000 } else { a };
            SatF32 => saturate(a);
            Zext16 => a & 0xffff;
            Sext16 => a as u16 as i16 as u32;
            Zext8 => a & 0xff;
            F32FromS32 => (a as i32 as f32).to_bits();
            F32FromU32 => (a as f32).to_bits();
            S32FromF32 => f32::from_bits(a) as i32 as u32;
            U32FromF32 => f32::from_bits(a) as u32;
            Popc32 => a.count_ones();
            Clz32 => a.leading_zeros();
            Brev32 => a.reverse_bits();
        }
        // 32-bit lanes, two operands
        l2 (a, b) {
            Add32 => a.wrapping_add(b);
            Sub32 => a.wrapping_sub(b);
            Mul32 => a.wrapping_mul(b);
            MulHiU32 => ((u64::from(a) * u64::from(b)) >> 32) as u32;
            MulHiS32 => ((i64::from(a as i32) * i64::from(b as i32)) >> 32) as u32;
            And32 => a & b;
            Or32 => a | b;
            Xor32 => a ^ b;
            Shl32 => if b > 31 { 0 } else { a << (b & 31) };
            ShrU32 => if b > 31 { 0 } else { a >> (b & 31) };
            ShrS32 => ((a as i32) >> b.min(31)) as u32;
            MinS32 => (a as i32).min(b as i32) as u32;
            MaxS32 => (a as i32).max(b as i32) as u32;
            MinU32 => a.min(b);
            MaxU32 => a.max(b);
            DivU32 => a.checked_div(b).unwrap_or(!0);
            RemU32 => a.checked_rem(b).unwrap_or(a);
            DivS32 => if b == 0 { !0 } else { (a as i32).wrapping_div(b as i32) as u32 };
            RemS32 => if b == 0 { a } else { (a as i32).wrapping_rem(b as i32) as u32 };
            AddF32 => (f32::from_bits(a) + f32::from_bits(b)).to_bits();
            SubF32 => (f32::from_bits(a) - f32::from_bits(b)).to_bits();
            MulF32 => (f32::from_bits(a) * f32::from_bits(b)).to_bits();
            DivF32 => (f32::from_bits(a) / f32::from_bits(b)).to_bits();
            MinF32 => min_f32(a, b);
            MaxF32 => max_f32(a, b);
            Add16 => a.wrapping_add(b) & 0xffff;
            Sub16 => a.wrapping_sub(b) & 0xffff;
            Mul16 => a.wrapping_mul(b) & 0xffff;
        }
        // 32-bit lanes, three operands
        l3 (a, b, c) {
            Mad32 => a.wrapping_mul(b).wrapping_add(c);
            FmaF32 => f32::from_bits(a).mul_add(f32::from_bits(b), f32::from_bits(c)).to_bits();
            BfeU32 => bfe_u32(a, b, c);
            ShfLeft => ((u64::from(b) << 32 | u64::from(a)) << (c & 31) >> 32) as u32;
            ShfRight => ((u64::from(b) << 32 | u64::from(a)) >> (c & 31)) as u32;
        }
        // 64-bit lanes, one operand
        w1 (a) {
            Mov64 => a;
            Not64 => !a;
            Neg64 => a.wrapping_neg();
            AbsS64 => (a as i64).wrapping_abs() as u64;
            NegF64 => a ^ (1 << 63);
            AbsF64 => a & !(1 << 63);
            SqrtF64 => f64::from_bits(a).sqrt().to_bits();
            RcpF64 => (1.0 / f64::from_bits(a)).to_bits();
        }
        // 64-bit lanes, two operands
        w2 (a, b) {
            Add64 => a.wrapping_add(b);
            Sub64 => a.wrapping_sub(b);
            Mul64 => a.wrapping_mul(b);
            And64 => a & b;
            Or64 => a | b;
            Xor64 => a ^ b;
            MinS64 => (a as i64).min(b as i64) as u64;
            MaxS64 => (a as i64).max(b as i64) as u64;
            MinU64 => a.min(b);
            MaxU64 => a.max(b);
            AddF64 => (f64::from_bits(a) + f64::from_bits(b)).to_bits();
            SubF64 => (f64::from_bits(a) - f64::from_bits(b)).to_bits();
            MulF64 => (f64::from_bits(a) * f64::from_bits(b)).to_bits();
            DivF64 => (f64::from_bits(a) / f64::from_bits(b)).to_bits();
        }
        // 64-bit lanes, three operands
        w3 (a, b, c) {
            Mad64 => a.wrapping_mul(b).wrapping_add(c);
            FmaF64 => f64::from_bits(a).mul_add(f64::from_bits(b), f64::from_bits(c)).to_bits();
        }
        // 64-bit lanes, shifted
        ws (a, b) {
            Shl64 => if b > 63 { 0 } else { a << (b & 63) };
            ShrU64 => if b > 63 { 0 } else { a >> (b & 63) };
            ShrS64 => ((a as i64) >> b.min(63)) as u64;
        }
        // 32-bit lanes to 64-bit ones
        x1 (a) {
            Zext64 => u64::from(a);
            Sext64 => a as i32 as u64;
            F64FromF32 => f64::from(f32::from_bits(a)).to_bits();
        }
        // 32-bit lanes to 64-bit ones, two operands
        x2 (a, b) {
            MulWideU => u64::from(a) * u64::from(b);
            MulWideS => (i64::from(a as i32) * i64::from(b as i32)) as u64;
        }
        // wide multiply-add
        x3 (a, b, c) {
            MadWideU => (u64::from(a) * u64::from(b)).wrapping_add(c);
            MadWideS => ((i64::from(a as i32) * i64::from(b as i32)) as u64).wrapping_add(c);
        }
        // 64-bit lanes to 32-bit ones
        n1 (a) {
            Trunc32 => a as u32;
            F32FromF64 => (f64::from_bits(a) as f32).to_bits();
        }
    }
    masks {
        // comparisons of 32-bit lanes
        c2 (a, b) {
            SetEqU32 => a == b;
            SetNeU32 => a != b;
            SetLtU32 => a < b;
            SetLeU32 => a <= b;
            SetGtU32 => a > b;
            SetGeU32 => a >= b;
            SetLtS32 => (a as i32) < (b as i32);
            SetLeS32 => (a as i32) <= (b as i32);
            SetGtS32 => (a as i32) > (b as i32);
            SetGeS32 => (a as i32) >= (b as i32);
            SetEqF32 => f32::from_bits(a) == f32::from_bits(b);
            SetNeF32 => f32::from_bits(a) != f32::from_bits(b) && !nan32(a, b);
            SetLtF32 => f32::from_bits(a) < f32::from_bits(b);
            SetLeF32 => f32::from_bits(a) <= f32::from_bits(b);
            SetGtF32 => f32::from_bits(a) > f32::from_bits(b);
            SetGeF32 => f32::from_bits(a) >= f32::from_bits(b);
            SetEquF32 => f32::from_bits(a) == f32::from_bits(b) || nan32(a, b);
            SetLtuF32 => f32::from_bits(a) < f32::from_bits(b) || nan32(a, b);
            SetLeuF32 => f32::from_bits(a) <= f32::from_bits(b) || nan32(a, b);
            SetGtuF32 => f32::from_bits(a) > f32::from_bits(b) || nan32(a, b);
            SetGeuF32 => f32::from_bits(a) >= f32::from_bits(b) || nan32(a, b);
            SetNeuF32 => f32::from_bits(a) != f32::from_bits(b);
            SetNumF32 => !nan32(a, b);
            SetNanF32 => nan32(a, b);
        }
        // comparisons of 64-bit lanes
        k2 (a, b) {
            SetEqU64 => a == b;
            SetNeU64 => a != b;
            SetLtU64 => a < b;
            SetLeU64 => a <= b;
            SetGtU64 => a > b;
            SetGeU64 => a >= b;
            SetLtS64 => (a as i64) < (b as i64);
            SetLeS64 => (a as i64) <= (b as i64);
            SetGtS64 => (a as i64) > (b as i64);
            SetGeS64 => (a as i64) >= (b as i64);
            SetEqF64 => f64::from_bits(a) == f64::from_bits(b);
            SetNeF64 => f64::from_bits(a) != f64::from_bits(b) && !nan64(a, b);
            SetLtF64 => f64::from_bits(a) < f64::from_bits(b);
            SetLeF64 => f64::from_bits(a) <= f64::from_bits(b);
            SetGtF64 => f64::from_bits(a) > f64::from_bits(b);
            SetGeF64 => f64::from_bits(a) >= f64::from_bits(b);
            SetEquF64 => f64::from_bits(a) == f64::from_bits(b) || nan64(a, b);
            SetLtuF64 => f64::from_bits(a) < f64::from_bits(b) || nan64(a, b);
            SetLeuF64 => f64::from_bits(a) <= f64::from_bits(b) || nan64(a, b);
            SetGtuF64 => f64::from_bits(a) > f64::from_bits(b) || nan64(a, b);
            SetGeuF64 => f64::from_bits(a) >= f64::from_bits(b) || nan64(a, b);
            SetNeuF64 => f64::from_bits(a) != f64::from_bits(b);
            SetNumF64 => !nan64(a, b);
            SetNanF64 => nan64(a, b);
        }
    }
    others {
        Select32, Select64, PredAnd, PredOr, PredXor, PredNot, PredMov, Scalar, ScalarSet, Load, Store,
        Atom, Branch, BranchTable, Exit, Barrier, BarrierArrive, BarrierReduce, WarpSync, Shuffle, Vote,
        Match, Redux, ActiveMask, Elect, Mma, LdMatrix, CpAsync, CpCommit, CpWait, CpWaitAll, Printf,
        Assert, Trap, Clock32, Clock64, GlobalTimer, CheckInit, MarkInit, MoveInit, Fence, Nop,
    }
}

/// `min` and `max` of PTX: a NaN loses against a number, and -0 is below +0.
#[inline(always)]
fn min_f32(a: u32, b: u32) -> u32 {
    let (x, y) = (f32::from_bits(a), f32::from_bits(b));
    if x < y {
        a
    } else if y < x {
        b
    } else if x.is_nan() {
        if y.is_nan() { 0x7fff_ffff } else { b }
    } else if y.is_nan() {
        a
    } else {
        a | b
    }
}

#[inline(always)]
fn max_f32(a: u32, b: u32) -> u32 {
    let (x, y) = (f32::from_bits(a), f32::from_bits(b));
    if x > y {
        a
    } else if y > x {
        b
    } else if x.is_nan() {
        if y.is_nan() { 0x7fff_ffff } else { b }
    } else if y.is_nan() {
        a
    } else {
        a & b
    }
}

/// To [0, 1]; NaN becomes +0.
#[inline(always)]
fn saturate(a: u32) -> u32 {
    let x = f32::from_bits(a);
    if x > 0.0 { if x < 1.0 { a } else { 1.0f32.to_bits() } } else { 0 }
}

#[inline(always)]
fn bfe_u32(a: u32, pos: u32, len: u32) -> u32 {
    let (pos, len) = (pos & 255, len & 255);
    if pos > 31 || len == 0 {
        return 0;
    }
    let v = a >> pos;
    if len > 31 { v } else { v & ((1 << len) - 1) }
}

#[inline(always)]
fn nan32(a: u32, b: u32) -> bool {
    f32::from_bits(a).is_nan() || f32::from_bits(b).is_nan()
}

#[inline(always)]
fn nan64(a: u64, b: u64) -> bool {
    f64::from_bits(a).is_nan() || f64::from_bits(b).is_nan()
}
