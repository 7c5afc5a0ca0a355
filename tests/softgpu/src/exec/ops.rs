//! The table of operations that are worth a vector loop; everything rarer is a scalar function (`Op::Scalar`).

use super::code::Inst;
use super::lanes;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum Op {
    // 32-bit lanes, one operand
    Mov32,
    Not32,
    Neg32,
    AbsS32,
    NegF32,
    AbsF32,
    SqrtF32,
    RcpF32,
    RsqrtF32,
    Ex2F32,
    Lg2F32,
    FtzF32,
    SatF32,
    Zext16,
    Sext16,
    Zext8,
    F32FromS32,
    F32FromU32,
    S32FromF32,
    U32FromF32,
    Popc32,
    Clz32,
    Brev32,
    // 32-bit lanes, two operands
    Add32,
    Sub32,
    Mul32,
    MulHiU32,
    MulHiS32,
    And32,
    Or32,
    Xor32,
    Shl32,
    ShrU32,
    ShrS32,
    MinS32,
    MaxS32,
    MinU32,
    MaxU32,
    DivU32,
    RemU32,
    DivS32,
    RemS32,
    AddF32,
    SubF32,
    MulF32,
    DivF32,
    MinF32,
    MaxF32,
    Add16,
    Sub16,
    Mul16,
    // 32-bit lanes, three operands
    Mad32,
    FmaF32,
    BfeU32,
    // 64-bit lanes, one operand
    Mov64,
    Not64,
    Neg64,
    AbsS64,
    NegF64,
    AbsF64,
    SqrtF64,
    RcpF64,
    // 64-bit lanes, two operands
    Add64,
    Sub64,
    Mul64,
    And64,
    Or64,
    Xor64,
    MinS64,
    MaxS64,
    MinU64,
    MaxU64,
    AddF64,
    SubF64,
    MulF64,
    DivF64,
    // 64-bit lanes, three operands
    Mad64,
    FmaF64,
    // 64-bit lanes, shifted
    Shl64,
    ShrU64,
    ShrS64,
    // 32-bit lanes to 64-bit ones
    Zext64,
    Sext64,
    F64FromF32,
    // 32-bit lanes to 64-bit ones, two operands
    MulWideU,
    MulWideS,
    // wide multiply-add
    MadWideU,
    MadWideS,
    // 64-bit lanes to 32-bit ones
    Trunc32,
    F32FromF64,
    // comparisons of 32-bit lanes
    SetEqU32,
    SetNeU32,
    SetLtU32,
    SetLeU32,
    SetGtU32,
    SetGeU32,
    SetLtS32,
    SetLeS32,
    SetGtS32,
    SetGeS32,
    SetEqF32,
    SetNeF32,
    SetLtF32,
    SetLeF32,
    SetGtF32,
    SetGeF32,
    SetEquF32,
    SetLtuF32,
    SetLeuF32,
    SetGtuF32,
    SetGeuF32,
    SetNeuF32,
    SetNumF32,
    SetNanF32,
    // comparisons of 64-bit lanes
    SetEqU64,
    SetNeU64,
    SetLtU64,
    SetLeU64,
    SetGtU64,
    SetGeU64,
    SetLtS64,
    SetLeS64,
    SetGtS64,
    SetGeS64,
    SetEqF64,
    SetNeF64,
    SetLtF64,
    SetLeF64,
    SetGtF64,
    SetGeF64,
    SetEquF64,
    SetLtuF64,
    SetLeuF64,
    SetGtuF64,
    SetGeuF64,
    SetNeuF64,
    SetNumF64,
    SetNanF64,
    // everything that is not lane by lane
    Select32,
    Select64,
    PredAnd,
    PredOr,
    PredXor,
    PredNot,
    PredMov,
    Scalar,
    ScalarSet,
    Load,
    Store,
    Atom,
    Branch,
    BranchTable,
    Exit,
    Barrier,
    BarrierArrive,
    BarrierReduce,
    WarpSync,
    Shuffle,
    Vote,
    Match,
    Redux,
    ActiveMask,
    Elect,
    Mma,
    LdMatrix,
    CpAsync,
    CpCommit,
    CpWait,
    CpWaitAll,
    Printf,
    Assert,
    Trap,
    Clock32,
    Clock64,
    GlobalTimer,
    CheckInit,
    MarkInit,
    MoveInit,
    Fence,
    Nop,
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

/// Towards zero, clamped; NaN becomes 0.
#[inline(always)]
fn to_s32(x: f32) -> u32 {
    x as i32 as u32
}

#[inline(always)]
fn to_u32(x: f32) -> u32 {
    x as u32
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

/// Runs an operation of the table. The result goes to `d`; a comparison's is returned.
///
/// # Safety
/// `file` is a warp's register file that the instruction was made for, `d` has room for the result.
#[inline(always)]
pub(crate) unsafe fn run(op: Op, file: *mut u8, i: &Inst, d: *mut u8) -> Done {
    macro_rules! at {
        ($o:expr, $t:ty) => {
            // operands' places are within the file and aligned to a line
            file.add($o as usize).cast::<$t>()
        };
    }
    match op {
        // SAFETY: places of this operation's widths.
        Op::Mov32 => unsafe { lanes::l1(d.cast::<u32>(), at!(i.a, u32), |a| a) },
        // SAFETY: places of this operation's widths.
        Op::Not32 => unsafe { lanes::l1(d.cast::<u32>(), at!(i.a, u32), |a| !a) },
        // SAFETY: places of this operation's widths.
        Op::Neg32 => unsafe { lanes::l1(d.cast::<u32>(), at!(i.a, u32), |a| a.wrapping_neg()) },
        // SAFETY: places of this operation's widths.
        Op::AbsS32 => unsafe {
            lanes::l1(d.cast::<u32>(), at!(i.a, u32), |a| (a as i32).wrapping_abs() as u32)
        },
        // SAFETY: places of this operation's widths.
        Op::NegF32 => unsafe { lanes::l1(d.cast::<u32>(), at!(i.a, u32), |a| a ^ 0x8000_0000) },
        // SAFETY: places of this operation's widths.
        Op::AbsF32 => unsafe { lanes::l1(d.cast::<u32>(), at!(i.a, u32), |a| a & 0x7fff_ffff) },
        // SAFETY: places of this operation's widths.
        Op::SqrtF32 => unsafe {
            lanes::l1(d.cast::<u32>(), at!(i.a, u32), |a| f32::from_bits(a).sqrt().to_bits())
        },
        // SAFETY: places of this operation's widths.
        Op::RcpF32 => unsafe {
            lanes::l1(d.cast::<u32>(), at!(i.a, u32), |a| (1.0 / f32::from_bits(a)).to_bits())
        },
        // SAFETY: places of this operation's widths.
        Op::RsqrtF32 => unsafe {
            lanes::l1(d.cast::<u32>(), at!(i.a, u32), |a| {
                ((1.0 / f64::from(f32::from_bits(a)).sqrt()) as f32).to_bits()
            })
        },
        // SAFETY: places of this operation's widths.
        Op::Ex2F32 => unsafe {
            lanes::l1(d.cast::<u32>(), at!(i.a, u32), |a| f32::from_bits(a).exp2().to_bits())
        },
        // SAFETY: places of this operation's widths.
        Op::Lg2F32 => unsafe {
            lanes::l1(d.cast::<u32>(), at!(i.a, u32), |a| f32::from_bits(a).log2().to_bits())
        },
        // SAFETY: places of this operation's widths.
        Op::FtzF32 => unsafe {
            lanes::l1(
                d.cast::<u32>(),
                at!(i.a, u32),
                |a| if a & 0x7f80_0000 == 0 { a & 0x8000_0000 } else { a },
            )
        },
        // SAFETY: places of this operation's widths.
        Op::SatF32 => unsafe { lanes::l1(d.cast::<u32>(), at!(i.a, u32), |a| saturate(a)) },
        // SAFETY: places of this operation's widths.
        Op::Zext16 => unsafe { lanes::l1(d.cast::<u32>(), at!(i.a, u32), |a| a & 0xffff) },
        // SAFETY: places of this operation's widths.
        Op::Sext16 => unsafe { lanes::l1(d.cast::<u32>(), at!(i.a, u32), |a| a as u16 as i16 as u32) },
        // SAFETY: places of this operation's widths.
        Op::Zext8 => unsafe { lanes::l1(d.cast::<u32>(), at!(i.a, u32), |a| a & 0xff) },
        // SAFETY: places of this operation's widths.
        Op::F32FromS32 => unsafe {
            lanes::l1(d.cast::<u32>(), at!(i.a, u32), |a| (a as i32 as f32).to_bits())
        },
        // SAFETY: places of this operation's widths.
        Op::F32FromU32 => unsafe { lanes::l1(d.cast::<u32>(), at!(i.a, u32), |a| (a as f32).to_bits()) },
        // SAFETY: places of this operation's widths.
        Op::S32FromF32 => unsafe { lanes::l1(d.cast::<u32>(), at!(i.a, u32), |a| to_s32(f32::from_bits(a))) },
        // SAFETY: places of this operation's widths.
        Op::U32FromF32 => unsafe { lanes::l1(d.cast::<u32>(), at!(i.a, u32), |a| to_u32(f32::from_bits(a))) },
        // SAFETY: places of this operation's widths.
        Op::Popc32 => unsafe { lanes::l1(d.cast::<u32>(), at!(i.a, u32), |a| a.count_ones()) },
        // SAFETY: places of this operation's widths.
        Op::Clz32 => unsafe { lanes::l1(d.cast::<u32>(), at!(i.a, u32), |a| a.leading_zeros()) },
        // SAFETY: places of this operation's widths.
        Op::Brev32 => unsafe { lanes::l1(d.cast::<u32>(), at!(i.a, u32), |a| a.reverse_bits()) },
        // SAFETY: places of this operation's widths.
        Op::Add32 => unsafe {
            lanes::l2(d.cast::<u32>(), at!(i.a, u32), at!(i.b, u32), |a, b| a.wrapping_add(b))
        },
        // SAFETY: places of this operation's widths.
        Op::Sub32 => unsafe {
            lanes::l2(d.cast::<u32>(), at!(i.a, u32), at!(i.b, u32), |a, b| a.wrapping_sub(b))
        },
        // SAFETY: places of this operation's widths.
        Op::Mul32 => unsafe {
            lanes::l2(d.cast::<u32>(), at!(i.a, u32), at!(i.b, u32), |a, b| a.wrapping_mul(b))
        },
        // SAFETY: places of this operation's widths.
        Op::MulHiU32 => unsafe {
            lanes::l2(d.cast::<u32>(), at!(i.a, u32), at!(i.b, u32), |a, b| {
                ((u64::from(a) * u64::from(b)) >> 32) as u32
            })
        },
        // SAFETY: places of this operation's widths.
        Op::MulHiS32 => unsafe {
            lanes::l2(d.cast::<u32>(), at!(i.a, u32), at!(i.b, u32), |a, b| {
                ((i64::from(a as i32) * i64::from(b as i32)) >> 32) as u32
            })
        },
        // SAFETY: places of this operation's widths.
        Op::And32 => unsafe { lanes::l2(d.cast::<u32>(), at!(i.a, u32), at!(i.b, u32), |a, b| a & b) },
        // SAFETY: places of this operation's widths.
        Op::Or32 => unsafe { lanes::l2(d.cast::<u32>(), at!(i.a, u32), at!(i.b, u32), |a, b| a | b) },
        // SAFETY: places of this operation's widths.
        Op::Xor32 => unsafe { lanes::l2(d.cast::<u32>(), at!(i.a, u32), at!(i.b, u32), |a, b| a ^ b) },
        // SAFETY: places of this operation's widths.
        Op::Shl32 => unsafe {
            lanes::l2(
                d.cast::<u32>(),
                at!(i.a, u32),
                at!(i.b, u32),
                |a, b| if b > 31 { 0 } else { a << (b & 31) },
            )
        },
        // SAFETY: places of this operation's widths.
        Op::ShrU32 => unsafe {
            lanes::l2(
                d.cast::<u32>(),
                at!(i.a, u32),
                at!(i.b, u32),
                |a, b| if b > 31 { 0 } else { a >> (b & 31) },
            )
        },
        // SAFETY: places of this operation's widths.
        Op::ShrS32 => unsafe {
            lanes::l2(d.cast::<u32>(), at!(i.a, u32), at!(i.b, u32), |a, b| ((a as i32) >> b.min(31)) as u32)
        },
        // SAFETY: places of this operation's widths.
        Op::MinS32 => unsafe {
            lanes::l2(d.cast::<u32>(), at!(i.a, u32), at!(i.b, u32), |a, b| (a as i32).min(b as i32) as u32)
        },
        // SAFETY: places of this operation's widths.
        Op::MaxS32 => unsafe {
            lanes::l2(d.cast::<u32>(), at!(i.a, u32), at!(i.b, u32), |a, b| (a as i32).max(b as i32) as u32)
        },
        // SAFETY: places of this operation's widths.
        Op::MinU32 => unsafe { lanes::l2(d.cast::<u32>(), at!(i.a, u32), at!(i.b, u32), |a, b| a.min(b)) },
        // SAFETY: places of this operation's widths.
        Op::MaxU32 => unsafe { lanes::l2(d.cast::<u32>(), at!(i.a, u32), at!(i.b, u32), |a, b| a.max(b)) },
        // SAFETY: places of this operation's widths.
        Op::DivU32 => unsafe {
            lanes::l2(d.cast::<u32>(), at!(i.a, u32), at!(i.b, u32), |a, b| a.checked_div(b).unwrap_or(!0))
        },
        // SAFETY: places of this operation's widths.
        Op::RemU32 => unsafe {
            lanes::l2(d.cast::<u32>(), at!(i.a, u32), at!(i.b, u32), |a, b| a.checked_rem(b).unwrap_or(a))
        },
        // SAFETY: places of this operation's widths.
        Op::DivS32 => unsafe {
            lanes::l2(d.cast::<u32>(), at!(i.a, u32), at!(i.b, u32), |a, b| {
                if b == 0 { !0 } else { (a as i32).wrapping_div(b as i32) as u32 }
            })
        },
        // SAFETY: places of this operation's widths.
        Op::RemS32 => unsafe {
            lanes::l2(d.cast::<u32>(), at!(i.a, u32), at!(i.b, u32), |a, b| {
                if b == 0 { a } else { (a as i32).wrapping_rem(b as i32) as u32 }
            })
        },
        // SAFETY: places of this operation's widths.
        Op::AddF32 => unsafe {
            lanes::l2(d.cast::<u32>(), at!(i.a, u32), at!(i.b, u32), |a, b| {
                (f32::from_bits(a) + f32::from_bits(b)).to_bits()
            })
        },
        // SAFETY: places of this operation's widths.
        Op::SubF32 => unsafe {
            lanes::l2(d.cast::<u32>(), at!(i.a, u32), at!(i.b, u32), |a, b| {
                (f32::from_bits(a) - f32::from_bits(b)).to_bits()
            })
        },
        // SAFETY: places of this operation's widths.
        Op::MulF32 => unsafe {
            lanes::l2(d.cast::<u32>(), at!(i.a, u32), at!(i.b, u32), |a, b| {
                (f32::from_bits(a) * f32::from_bits(b)).to_bits()
            })
        },
        // SAFETY: places of this operation's widths.
        Op::DivF32 => unsafe {
            lanes::l2(d.cast::<u32>(), at!(i.a, u32), at!(i.b, u32), |a, b| {
                (f32::from_bits(a) / f32::from_bits(b)).to_bits()
            })
        },
        // SAFETY: places of this operation's widths.
        Op::MinF32 => unsafe {
            lanes::l2(d.cast::<u32>(), at!(i.a, u32), at!(i.b, u32), |a, b| min_f32(a, b))
        },
        // SAFETY: places of this operation's widths.
        Op::MaxF32 => unsafe {
            lanes::l2(d.cast::<u32>(), at!(i.a, u32), at!(i.b, u32), |a, b| max_f32(a, b))
        },
        // SAFETY: places of this operation's widths.
        Op::Add16 => unsafe {
            lanes::l2(d.cast::<u32>(), at!(i.a, u32), at!(i.b, u32), |a, b| a.wrapping_add(b) & 0xffff)
        },
        // SAFETY: places of this operation's widths.
        Op::Sub16 => unsafe {
            lanes::l2(d.cast::<u32>(), at!(i.a, u32), at!(i.b, u32), |a, b| a.wrapping_sub(b) & 0xffff)
        },
        // SAFETY: places of this operation's widths.
        Op::Mul16 => unsafe {
            lanes::l2(d.cast::<u32>(), at!(i.a, u32), at!(i.b, u32), |a, b| a.wrapping_mul(b) & 0xffff)
        },
        // SAFETY: places of this operation's widths.
        Op::Mad32 => unsafe {
            lanes::l3(d.cast::<u32>(), at!(i.a, u32), at!(i.b, u32), at!(i.c, u32), |a, b, c| {
                a.wrapping_mul(b).wrapping_add(c)
            })
        },
        // SAFETY: places of this operation's widths.
        Op::FmaF32 => unsafe {
            lanes::l3(d.cast::<u32>(), at!(i.a, u32), at!(i.b, u32), at!(i.c, u32), |a, b, c| {
                f32::from_bits(a).mul_add(f32::from_bits(b), f32::from_bits(c)).to_bits()
            })
        },
        // SAFETY: places of this operation's widths.
        Op::BfeU32 => unsafe {
            lanes::l3(d.cast::<u32>(), at!(i.a, u32), at!(i.b, u32), at!(i.c, u32), |a, b, c| {
                bfe_u32(a, b, c)
            })
        },
        // SAFETY: places of this operation's widths.
        Op::Mov64 => unsafe { lanes::w1(d.cast::<u64>(), at!(i.a, u64), |a| a) },
        // SAFETY: places of this operation's widths.
        Op::Not64 => unsafe { lanes::w1(d.cast::<u64>(), at!(i.a, u64), |a| !a) },
        // SAFETY: places of this operation's widths.
        Op::Neg64 => unsafe { lanes::w1(d.cast::<u64>(), at!(i.a, u64), |a| a.wrapping_neg()) },
        // SAFETY: places of this operation's widths.
        Op::AbsS64 => unsafe {
            lanes::w1(d.cast::<u64>(), at!(i.a, u64), |a| (a as i64).wrapping_abs() as u64)
        },
        // SAFETY: places of this operation's widths.
        Op::NegF64 => unsafe { lanes::w1(d.cast::<u64>(), at!(i.a, u64), |a| a ^ (1 << 63)) },
        // SAFETY: places of this operation's widths.
        Op::AbsF64 => unsafe { lanes::w1(d.cast::<u64>(), at!(i.a, u64), |a| a & !(1 << 63)) },
        // SAFETY: places of this operation's widths.
        Op::SqrtF64 => unsafe {
            lanes::w1(d.cast::<u64>(), at!(i.a, u64), |a| f64::from_bits(a).sqrt().to_bits())
        },
        // SAFETY: places of this operation's widths.
        Op::RcpF64 => unsafe {
            lanes::w1(d.cast::<u64>(), at!(i.a, u64), |a| (1.0 / f64::from_bits(a)).to_bits())
        },
        // SAFETY: places of this operation's widths.
        Op::Add64 => unsafe {
            lanes::w2(d.cast::<u64>(), at!(i.a, u64), at!(i.b, u64), |a, b| a.wrapping_add(b))
        },
        // SAFETY: places of this operation's widths.
        Op::Sub64 => unsafe {
            lanes::w2(d.cast::<u64>(), at!(i.a, u64), at!(i.b, u64), |a, b| a.wrapping_sub(b))
        },
        // SAFETY: places of this operation's widths.
        Op::Mul64 => unsafe {
            lanes::w2(d.cast::<u64>(), at!(i.a, u64), at!(i.b, u64), |a, b| a.wrapping_mul(b))
        },
        // SAFETY: places of this operation's widths.
        Op::And64 => unsafe { lanes::w2(d.cast::<u64>(), at!(i.a, u64), at!(i.b, u64), |a, b| a & b) },
        // SAFETY: places of this operation's widths.
        Op::Or64 => unsafe { lanes::w2(d.cast::<u64>(), at!(i.a, u64), at!(i.b, u64), |a, b| a | b) },
        // SAFETY: places of this operation's widths.
        Op::Xor64 => unsafe { lanes::w2(d.cast::<u64>(), at!(i.a, u64), at!(i.b, u64), |a, b| a ^ b) },
        // SAFETY: places of this operation's widths.
        Op::MinS64 => unsafe {
            lanes::w2(d.cast::<u64>(), at!(i.a, u64), at!(i.b, u64), |a, b| (a as i64).min(b as i64) as u64)
        },
        // SAFETY: places of this operation's widths.
        Op::MaxS64 => unsafe {
            lanes::w2(d.cast::<u64>(), at!(i.a, u64), at!(i.b, u64), |a, b| (a as i64).max(b as i64) as u64)
        },
        // SAFETY: places of this operation's widths.
        Op::MinU64 => unsafe { lanes::w2(d.cast::<u64>(), at!(i.a, u64), at!(i.b, u64), |a, b| a.min(b)) },
        // SAFETY: places of this operation's widths.
        Op::MaxU64 => unsafe { lanes::w2(d.cast::<u64>(), at!(i.a, u64), at!(i.b, u64), |a, b| a.max(b)) },
        // SAFETY: places of this operation's widths.
        Op::AddF64 => unsafe {
            lanes::w2(d.cast::<u64>(), at!(i.a, u64), at!(i.b, u64), |a, b| {
                (f64::from_bits(a) + f64::from_bits(b)).to_bits()
            })
        },
        // SAFETY: places of this operation's widths.
        Op::SubF64 => unsafe {
            lanes::w2(d.cast::<u64>(), at!(i.a, u64), at!(i.b, u64), |a, b| {
                (f64::from_bits(a) - f64::from_bits(b)).to_bits()
            })
        },
        // SAFETY: places of this operation's widths.
        Op::MulF64 => unsafe {
            lanes::w2(d.cast::<u64>(), at!(i.a, u64), at!(i.b, u64), |a, b| {
                (f64::from_bits(a) * f64::from_bits(b)).to_bits()
            })
        },
        // SAFETY: places of this operation's widths.
        Op::DivF64 => unsafe {
            lanes::w2(d.cast::<u64>(), at!(i.a, u64), at!(i.b, u64), |a, b| {
                (f64::from_bits(a) / f64::from_bits(b)).to_bits()
            })
        },
        // SAFETY: places of this operation's widths.
        Op::Mad64 => unsafe {
            lanes::w3(d.cast::<u64>(), at!(i.a, u64), at!(i.b, u64), at!(i.c, u64), |a, b, c| {
                a.wrapping_mul(b).wrapping_add(c)
            })
        },
        // SAFETY: places of this operation's widths.
        Op::FmaF64 => unsafe {
            lanes::w3(d.cast::<u64>(), at!(i.a, u64), at!(i.b, u64), at!(i.c, u64), |a, b, c| {
                f64::from_bits(a).mul_add(f64::from_bits(b), f64::from_bits(c)).to_bits()
            })
        },
        // SAFETY: places of this operation's widths.
        Op::Shl64 => unsafe {
            lanes::ws(
                d.cast::<u64>(),
                at!(i.a, u64),
                at!(i.b, u32),
                |a, b| if b > 63 { 0 } else { a << (b & 63) },
            )
        },
        // SAFETY: places of this operation's widths.
        Op::ShrU64 => unsafe {
            lanes::ws(
                d.cast::<u64>(),
                at!(i.a, u64),
                at!(i.b, u32),
                |a, b| if b > 63 { 0 } else { a >> (b & 63) },
            )
        },
        // SAFETY: places of this operation's widths.
        Op::ShrS64 => unsafe {
            lanes::ws(d.cast::<u64>(), at!(i.a, u64), at!(i.b, u32), |a, b| ((a as i64) >> b.min(63)) as u64)
        },
        // SAFETY: places of this operation's widths.
        Op::Zext64 => unsafe { lanes::x1(d.cast::<u64>(), at!(i.a, u32), |a| u64::from(a)) },
        // SAFETY: places of this operation's widths.
        Op::Sext64 => unsafe { lanes::x1(d.cast::<u64>(), at!(i.a, u32), |a| a as i32 as u64) },
        // SAFETY: places of this operation's widths.
        Op::F64FromF32 => unsafe {
            lanes::x1(d.cast::<u64>(), at!(i.a, u32), |a| f64::from(f32::from_bits(a)).to_bits())
        },
        // SAFETY: places of this operation's widths.
        Op::MulWideU => unsafe {
            lanes::x2(d.cast::<u64>(), at!(i.a, u32), at!(i.b, u32), |a, b| u64::from(a) * u64::from(b))
        },
        // SAFETY: places of this operation's widths.
        Op::MulWideS => unsafe {
            lanes::x2(d.cast::<u64>(), at!(i.a, u32), at!(i.b, u32), |a, b| {
                (i64::from(a as i32) * i64::from(b as i32)) as u64
            })
        },
        // SAFETY: places of this operation's widths.
        Op::MadWideU => unsafe {
            lanes::x3(d.cast::<u64>(), at!(i.a, u32), at!(i.b, u32), at!(i.c, u64), |a, b, c| {
                (u64::from(a) * u64::from(b)).wrapping_add(c)
            })
        },
        // SAFETY: places of this operation's widths.
        Op::MadWideS => unsafe {
            lanes::x3(d.cast::<u64>(), at!(i.a, u32), at!(i.b, u32), at!(i.c, u64), |a, b, c| {
                ((i64::from(a as i32) * i64::from(b as i32)) as u64).wrapping_add(c)
            })
        },
        // SAFETY: places of this operation's widths.
        Op::Trunc32 => unsafe { lanes::n1(d.cast::<u32>(), at!(i.a, u64), |a| a as u32) },
        // SAFETY: places of this operation's widths.
        Op::F32FromF64 => unsafe {
            lanes::n1(d.cast::<u32>(), at!(i.a, u64), |a| (f64::from_bits(a) as f32).to_bits())
        },
        // SAFETY: places of this operation's widths.
        Op::SetEqU32 => return Done::Mask(unsafe { lanes::c2(at!(i.a, u32), at!(i.b, u32), |a, b| a == b) }),
        // SAFETY: places of this operation's widths.
        Op::SetNeU32 => return Done::Mask(unsafe { lanes::c2(at!(i.a, u32), at!(i.b, u32), |a, b| a != b) }),
        // SAFETY: places of this operation's widths.
        Op::SetLtU32 => return Done::Mask(unsafe { lanes::c2(at!(i.a, u32), at!(i.b, u32), |a, b| a < b) }),
        // SAFETY: places of this operation's widths.
        Op::SetLeU32 => return Done::Mask(unsafe { lanes::c2(at!(i.a, u32), at!(i.b, u32), |a, b| a <= b) }),
        // SAFETY: places of this operation's widths.
        Op::SetGtU32 => return Done::Mask(unsafe { lanes::c2(at!(i.a, u32), at!(i.b, u32), |a, b| a > b) }),
        // SAFETY: places of this operation's widths.
        Op::SetGeU32 => return Done::Mask(unsafe { lanes::c2(at!(i.a, u32), at!(i.b, u32), |a, b| a >= b) }),
        // SAFETY: places of this operation's widths.
        Op::SetLtS32 => {
            return Done::Mask(unsafe {
                lanes::c2(at!(i.a, u32), at!(i.b, u32), |a, b| (a as i32) < (b as i32))
            });
        }
        // SAFETY: places of this operation's widths.
        Op::SetLeS32 => {
            return Done::Mask(unsafe {
                lanes::c2(at!(i.a, u32), at!(i.b, u32), |a, b| (a as i32) <= (b as i32))
            });
        }
        // SAFETY: places of this operation's widths.
        Op::SetGtS32 => {
            return Done::Mask(unsafe {
                lanes::c2(at!(i.a, u32), at!(i.b, u32), |a, b| (a as i32) > (b as i32))
            });
        }
        // SAFETY: places of this operation's widths.
        Op::SetGeS32 => {
            return Done::Mask(unsafe {
                lanes::c2(at!(i.a, u32), at!(i.b, u32), |a, b| (a as i32) >= (b as i32))
            });
        }
        // SAFETY: places of this operation's widths.
        Op::SetEqF32 => {
            return Done::Mask(unsafe {
                lanes::c2(at!(i.a, u32), at!(i.b, u32), |a, b| f32::from_bits(a) == f32::from_bits(b))
            });
        }
        // SAFETY: places of this operation's widths.
        Op::SetNeF32 => {
            return Done::Mask(unsafe {
                lanes::c2(at!(i.a, u32), at!(i.b, u32), |a, b| {
                    f32::from_bits(a) != f32::from_bits(b) && !nan32(a, b)
                })
            });
        }
        // SAFETY: places of this operation's widths.
        Op::SetLtF32 => {
            return Done::Mask(unsafe {
                lanes::c2(at!(i.a, u32), at!(i.b, u32), |a, b| f32::from_bits(a) < f32::from_bits(b))
            });
        }
        // SAFETY: places of this operation's widths.
        Op::SetLeF32 => {
            return Done::Mask(unsafe {
                lanes::c2(at!(i.a, u32), at!(i.b, u32), |a, b| f32::from_bits(a) <= f32::from_bits(b))
            });
        }
        // SAFETY: places of this operation's widths.
        Op::SetGtF32 => {
            return Done::Mask(unsafe {
                lanes::c2(at!(i.a, u32), at!(i.b, u32), |a, b| f32::from_bits(a) > f32::from_bits(b))
            });
        }
        // SAFETY: places of this operation's widths.
        Op::SetGeF32 => {
            return Done::Mask(unsafe {
                lanes::c2(at!(i.a, u32), at!(i.b, u32), |a, b| f32::from_bits(a) >= f32::from_bits(b))
            });
        }
        // SAFETY: places of this operation's widths.
        Op::SetEquF32 => {
            return Done::Mask(unsafe {
                lanes::c2(at!(i.a, u32), at!(i.b, u32), |a, b| {
                    f32::from_bits(a) == f32::from_bits(b) || nan32(a, b)
                })
            });
        }
        // SAFETY: places of this operation's widths.
        Op::SetLtuF32 => {
            return Done::Mask(unsafe {
                lanes::c2(at!(i.a, u32), at!(i.b, u32), |a, b| {
                    f32::from_bits(a) < f32::from_bits(b) || nan32(a, b)
                })
            });
        }
        // SAFETY: places of this operation's widths.
        Op::SetLeuF32 => {
            return Done::Mask(unsafe {
                lanes::c2(at!(i.a, u32), at!(i.b, u32), |a, b| {
                    f32::from_bits(a) <= f32::from_bits(b) || nan32(a, b)
                })
            });
        }
        // SAFETY: places of this operation's widths.
        Op::SetGtuF32 => {
            return Done::Mask(unsafe {
                lanes::c2(at!(i.a, u32), at!(i.b, u32), |a, b| {
                    f32::from_bits(a) > f32::from_bits(b) || nan32(a, b)
                })
            });
        }
        // SAFETY: places of this operation's widths.
        Op::SetGeuF32 => {
            return Done::Mask(unsafe {
                lanes::c2(at!(i.a, u32), at!(i.b, u32), |a, b| {
                    f32::from_bits(a) >= f32::from_bits(b) || nan32(a, b)
                })
            });
        }
        // SAFETY: places of this operation's widths.
        Op::SetNeuF32 => {
            return Done::Mask(unsafe {
                lanes::c2(at!(i.a, u32), at!(i.b, u32), |a, b| f32::from_bits(a) != f32::from_bits(b))
            });
        }
        // SAFETY: places of this operation's widths.
        Op::SetNumF32 => {
            return Done::Mask(unsafe { lanes::c2(at!(i.a, u32), at!(i.b, u32), |a, b| !nan32(a, b)) });
        }
        // SAFETY: places of this operation's widths.
        Op::SetNanF32 => {
            return Done::Mask(unsafe { lanes::c2(at!(i.a, u32), at!(i.b, u32), |a, b| nan32(a, b)) });
        }
        // SAFETY: places of this operation's widths.
        Op::SetEqU64 => return Done::Mask(unsafe { lanes::k2(at!(i.a, u64), at!(i.b, u64), |a, b| a == b) }),
        // SAFETY: places of this operation's widths.
        Op::SetNeU64 => return Done::Mask(unsafe { lanes::k2(at!(i.a, u64), at!(i.b, u64), |a, b| a != b) }),
        // SAFETY: places of this operation's widths.
        Op::SetLtU64 => return Done::Mask(unsafe { lanes::k2(at!(i.a, u64), at!(i.b, u64), |a, b| a < b) }),
        // SAFETY: places of this operation's widths.
        Op::SetLeU64 => return Done::Mask(unsafe { lanes::k2(at!(i.a, u64), at!(i.b, u64), |a, b| a <= b) }),
        // SAFETY: places of this operation's widths.
        Op::SetGtU64 => return Done::Mask(unsafe { lanes::k2(at!(i.a, u64), at!(i.b, u64), |a, b| a > b) }),
        // SAFETY: places of this operation's widths.
        Op::SetGeU64 => return Done::Mask(unsafe { lanes::k2(at!(i.a, u64), at!(i.b, u64), |a, b| a >= b) }),
        // SAFETY: places of this operation's widths.
        Op::SetLtS64 => {
            return Done::Mask(unsafe {
                lanes::k2(at!(i.a, u64), at!(i.b, u64), |a, b| (a as i64) < (b as i64))
            });
        }
        // SAFETY: places of this operation's widths.
        Op::SetLeS64 => {
            return Done::Mask(unsafe {
                lanes::k2(at!(i.a, u64), at!(i.b, u64), |a, b| (a as i64) <= (b as i64))
            });
        }
        // SAFETY: places of this operation's widths.
        Op::SetGtS64 => {
            return Done::Mask(unsafe {
                lanes::k2(at!(i.a, u64), at!(i.b, u64), |a, b| (a as i64) > (b as i64))
            });
        }
        // SAFETY: places of this operation's widths.
        Op::SetGeS64 => {
            return Done::Mask(unsafe {
                lanes::k2(at!(i.a, u64), at!(i.b, u64), |a, b| (a as i64) >= (b as i64))
            });
        }
        // SAFETY: places of this operation's widths.
        Op::SetEqF64 => {
            return Done::Mask(unsafe {
                lanes::k2(at!(i.a, u64), at!(i.b, u64), |a, b| f64::from_bits(a) == f64::from_bits(b))
            });
        }
        // SAFETY: places of this operation's widths.
        Op::SetNeF64 => {
            return Done::Mask(unsafe {
                lanes::k2(at!(i.a, u64), at!(i.b, u64), |a, b| {
                    f64::from_bits(a) != f64::from_bits(b) && !nan64(a, b)
                })
            });
        }
        // SAFETY: places of this operation's widths.
        Op::SetLtF64 => {
            return Done::Mask(unsafe {
                lanes::k2(at!(i.a, u64), at!(i.b, u64), |a, b| f64::from_bits(a) < f64::from_bits(b))
            });
        }
        // SAFETY: places of this operation's widths.
        Op::SetLeF64 => {
            return Done::Mask(unsafe {
                lanes::k2(at!(i.a, u64), at!(i.b, u64), |a, b| f64::from_bits(a) <= f64::from_bits(b))
            });
        }
        // SAFETY: places of this operation's widths.
        Op::SetGtF64 => {
            return Done::Mask(unsafe {
                lanes::k2(at!(i.a, u64), at!(i.b, u64), |a, b| f64::from_bits(a) > f64::from_bits(b))
            });
        }
        // SAFETY: places of this operation's widths.
        Op::SetGeF64 => {
            return Done::Mask(unsafe {
                lanes::k2(at!(i.a, u64), at!(i.b, u64), |a, b| f64::from_bits(a) >= f64::from_bits(b))
            });
        }
        // SAFETY: places of this operation's widths.
        Op::SetEquF64 => {
            return Done::Mask(unsafe {
                lanes::k2(at!(i.a, u64), at!(i.b, u64), |a, b| {
                    f64::from_bits(a) == f64::from_bits(b) || nan64(a, b)
                })
            });
        }
        // SAFETY: places of this operation's widths.
        Op::SetLtuF64 => {
            return Done::Mask(unsafe {
                lanes::k2(at!(i.a, u64), at!(i.b, u64), |a, b| {
                    f64::from_bits(a) < f64::from_bits(b) || nan64(a, b)
                })
            });
        }
        // SAFETY: places of this operation's widths.
        Op::SetLeuF64 => {
            return Done::Mask(unsafe {
                lanes::k2(at!(i.a, u64), at!(i.b, u64), |a, b| {
                    f64::from_bits(a) <= f64::from_bits(b) || nan64(a, b)
                })
            });
        }
        // SAFETY: places of this operation's widths.
        Op::SetGtuF64 => {
            return Done::Mask(unsafe {
                lanes::k2(at!(i.a, u64), at!(i.b, u64), |a, b| {
                    f64::from_bits(a) > f64::from_bits(b) || nan64(a, b)
                })
            });
        }
        // SAFETY: places of this operation's widths.
        Op::SetGeuF64 => {
            return Done::Mask(unsafe {
                lanes::k2(at!(i.a, u64), at!(i.b, u64), |a, b| {
                    f64::from_bits(a) >= f64::from_bits(b) || nan64(a, b)
                })
            });
        }
        // SAFETY: places of this operation's widths.
        Op::SetNeuF64 => {
            return Done::Mask(unsafe {
                lanes::k2(at!(i.a, u64), at!(i.b, u64), |a, b| f64::from_bits(a) != f64::from_bits(b))
            });
        }
        // SAFETY: places of this operation's widths.
        Op::SetNumF64 => {
            return Done::Mask(unsafe { lanes::k2(at!(i.a, u64), at!(i.b, u64), |a, b| !nan64(a, b)) });
        }
        // SAFETY: places of this operation's widths.
        Op::SetNanF64 => {
            return Done::Mask(unsafe { lanes::k2(at!(i.a, u64), at!(i.b, u64), |a, b| nan64(a, b)) });
        }
        // SAFETY: two lines and a predicate.
        Op::Select32 => unsafe {
            lanes::select32(d.cast::<u32>(), at!(i.a, u32), at!(i.b, u32), *at!(i.c, u32));
            return Done::Line;
        },
        // SAFETY: two wide places and a predicate.
        Op::Select64 => unsafe {
            lanes::select64(d.cast::<u64>(), at!(i.a, u64), at!(i.b, u64), *at!(i.c, u32));
            return Done::Wide;
        },
        // SAFETY: predicates.
        Op::PredAnd => return Done::Mask(unsafe { *at!(i.a, u32) & *at!(i.b, u32) }),
        // SAFETY: predicates.
        Op::PredOr => return Done::Mask(unsafe { *at!(i.a, u32) | *at!(i.b, u32) }),
        // SAFETY: predicates.
        Op::PredXor => return Done::Mask(unsafe { *at!(i.a, u32) ^ *at!(i.b, u32) }),
        // SAFETY: predicates.
        Op::PredNot => return Done::Mask(unsafe { !*at!(i.a, u32) }),
        // SAFETY: predicates.
        Op::PredMov => return Done::Mask(unsafe { *at!(i.a, u32) }),
        _ => return Done::Other,
    }
    if is_wide(op) { Done::Wide } else { Done::Line }
}

/// Results of 64-bit lanes.
#[inline(always)]
pub(crate) fn is_wide(op: Op) -> bool {
    (op as u16) >= Op::Mov64 as u16 && (op as u16) <= Op::MadWideS as u16
}
