//! NEON, which every aarch64 processor has.

use super::{Kernel, Lanes, Simd};
use std::arch::aarch64::*;
use std::ops::{Add, Div, Mul, Neg, Sub};

/// Proof that the processor has NEON.
#[derive(Clone, Copy)]
pub(crate) struct Neon(());

#[inline]
pub(super) fn enter<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Neon(()))
}

/// Four floats.
#[derive(Clone, Copy)]
pub(crate) struct F32x4(float32x4_t);

/// Functions whose body is one expression of intrinsics.
macro_rules! intrinsics {
    ($($name:ident($($arg:ident: $ty:ty),*) -> $out:ty = $body:expr;)*) => {$(
        #[inline(always)]
        fn $name($($arg: $ty),*) -> $out {
            // SAFETY: this file is compiled for aarch64 alone, all of which has the instructions.
            unsafe { $body }
        }
    )*};
}

/// An operator from its intrinsic.
macro_rules! operator {
    ($($trait:ident $name:ident $f:ident),*) => {$(
        impl $trait for F32x4 {
            type Output = F32x4;
            intrinsics! { $name(self: Self, b: F32x4) -> F32x4 = F32x4($f(self.0, b.0)); }
        }
    )*};
}

impl Simd for Neon {
    type V = F32x4;
    const LANES: usize = 4;
    const ROWS: usize = 12;
    type Half = Neon;

    #[inline(always)]
    fn half(self) -> Neon {
        self
    }

    intrinsics! { splat(self: Self, x: f32) -> F32x4 = F32x4(vdupq_n_f32(x)); }

    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> F32x4 {
        // SAFETY: the caller vouches for four floats.
        F32x4(unsafe { vld1q_f32(p) })
    }

    #[inline(always)]
    unsafe fn load_part(self, p: *const f32, n: usize) -> F32x4 {
        // SAFETY: the caller vouches for n floats. (A loop would become a call that copies memory.)
        unsafe {
            let zero = vdupq_n_f32(0.0);
            F32x4(match n {
                0 => zero,
                1 => vld1q_lane_f32::<0>(p, zero),
                2 => vcombine_f32(vld1_f32(p), vget_low_f32(zero)),
                3 => vld1q_lane_f32::<2>(p.add(2), vcombine_f32(vld1_f32(p), vget_low_f32(zero))),
                _ => vld1q_f32(p),
            })
        }
    }

    #[inline(always)]
    unsafe fn store(self, v: F32x4, p: *mut f32) {
        // SAFETY: the caller vouches for four floats.
        unsafe { vst1q_f32(p, v.0) }
    }

    /// In pieces of 4, 2 and 1.
    #[inline(always)]
    unsafe fn store_part(self, v: F32x4, mut p: *mut f32, n: usize) {
        // SAFETY: the pieces are the bits of n, one behind the other; the caller vouches for the memory.
        unsafe {
            if n >= 4 {
                return vst1q_f32(p, v.0);
            }
            let mut rest = vget_low_f32(v.0);
            if n & 2 != 0 {
                vst1_f32(p, rest);
                (rest, p) = (vget_high_f32(v.0), p.add(2));
            }
            if n & 1 != 0 {
                vst1_lane_f32::<0>(p, rest);
            }
        }
    }

    #[inline(always)]
    unsafe fn transpose(self, from: *const f32, from_row: usize, to: *mut f32, to_row: usize) {
        // SAFETY: the caller vouches for four rows of four floats in both places.
        unsafe {
            let row = |i: usize| vld1q_f32(from.add(i * from_row));
            let (a, b, c, d) = (row(0), row(1), row(2), row(3));
            let pair = |v| vreinterpretq_f64_f32(v);
            let (ab, cd) = (pair(vtrn1q_f32(a, b)), pair(vtrn1q_f32(c, d))); // a0 b0 a2 b2, c0 d0 c2 d2
            let (ef, gh) = (pair(vtrn2q_f32(a, b)), pair(vtrn2q_f32(c, d))); // a1 b1 a3 b3, c1 d1 c3 d3
            let put = |j: usize, v| vst1q_f32(to.add(j * to_row), vreinterpretq_f32_f64(v));
            put(0, vtrn1q_f64(ab, cd)); //                                      a0 b0 c0 d0
            put(1, vtrn1q_f64(ef, gh));
            put(2, vtrn2q_f64(ab, cd));
            put(3, vtrn2q_f64(ef, gh));
        }
    }
}

operator!(Add add vaddq_f32, Sub sub vsubq_f32, Mul mul vmulq_f32, Div div vdivq_f32);

impl Neg for F32x4 {
    type Output = F32x4;
    intrinsics! { neg(self: Self) -> F32x4 = F32x4(vnegq_f32(self.0)); }
}

/// The sign bit of a lane.
const SIGN: u32 = 1 << 31;
/// The bits behind the binary point.
const FRACTION: u32 = 0x007f_ffff;
/// The bits of 1.0.
const ONE: u32 = 0x3f80_0000;

impl Lanes for F32x4 {
    type Mask = uint32x4_t;

    intrinsics! {
        mul_add(self: Self, a: Self, b: Self) -> Self = F32x4(vfmaq_f32(b.0, self.0, a.0));
        neg_mul_add(self: Self, a: Self, b: Self) -> Self = F32x4(vfmsq_f32(b.0, self.0, a.0));
        // The instructions for these keep a NaN on either side.
        min(self: Self, b: Self) -> Self = F32x4(vbslq_f32(vcltq_f32(self.0, b.0), self.0, b.0));
        max(self: Self, b: Self) -> Self = F32x4(vbslq_f32(vcgtq_f32(self.0, b.0), self.0, b.0));
        abs(self: Self) -> Self = F32x4(vabsq_f32(self.0));
        sqrt(self: Self) -> Self = F32x4(vsqrtq_f32(self.0));
        round(self: Self) -> Self = F32x4(vrndnq_f32(self.0));
        gt(self: Self, b: Self) -> uint32x4_t = vcgtq_f32(self.0, b.0);
        ge(self: Self, b: Self) -> uint32x4_t = vcgeq_f32(self.0, b.0);
        select(mask: uint32x4_t, yes: Self, no: Self) -> Self = F32x4(vbslq_f32(mask, yes.0, no.0));
        zero_if(self: Self, mask: uint32x4_t) -> Self =
            F32x4(vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(self.0), mask)));
        copysign(self: Self, sign: Self) -> Self = F32x4(vbslq_f32(vdupq_n_u32(SIGN), sign.0, self.0));
        flip(self: Self, sign: Self) -> Self = {
            let bit = vandq_u32(vreinterpretq_u32_f32(sign.0), vdupq_n_u32(SIGN));
            F32x4(vreinterpretq_f32_u32(veorq_u32(vreinterpretq_u32_f32(self.0), bit)))
        };
        power_of_biased(self: Self) -> Self =
            F32x4(vreinterpretq_f32_u32(vshlq_n_u32::<23>(vreinterpretq_u32_f32(self.0))));
        exponent(self: Self) -> Self = {
            let biased = vreinterpretq_s32_u32(vshrq_n_u32::<23>(vreinterpretq_u32_f32(self.0)));
            F32x4(vcvtq_f32_s32(vsubq_s32(biased, vdupq_n_s32(127))))
        };
        mantissa(self: Self) -> Self = {
            let fraction = vandq_u32(vreinterpretq_u32_f32(self.0), vdupq_n_u32(FRACTION));
            F32x4(vreinterpretq_f32_u32(vorrq_u32(fraction, vdupq_n_u32(ONE))))
        };
        sum(self: Self) -> f32 = vpadds_f32(vadd_f32(vget_low_f32(self.0), vget_high_f32(self.0)));
        largest(self: Self) -> f32 = vmaxnmvq_f32(self.0);
    }
}
