//! AVX2 with FMA, and AVX-512.

use super::{Kernel, Lanes, Simd};
use std::arch::x86_64::*;
use std::ops::{Add, Div, Mul, Neg, Sub};

/// Proof that the processor has AVX2 and FMA.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(());

/// Proof that the processor has AVX-512 F, BW, DQ and VL.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(());

/// AVX-512's masks and 32 registers, of half the width.
#[derive(Clone, Copy)]
pub(crate) struct Avx512Half(#[allow(dead_code)] Avx512);

#[target_feature(enable = "avx2,fma")]
pub(super) fn enter_avx2<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx2(()))
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) fn enter_avx512<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx512(()))
}

/// Eight floats.
#[derive(Clone, Copy)]
pub(crate) struct F32x8(__m256);

/// Sixteen floats.
#[derive(Clone, Copy)]
pub(crate) struct F32x16(__m512);

/// Functions whose body is one expression of intrinsics.
macro_rules! intrinsics {
    ($($name:ident($($arg:ident: $ty:ty),*) -> $out:ty = $body:expr;)*) => {$(
        #[inline(always)]
        fn $name($($arg: $ty),*) -> $out {
            // SAFETY: a register or token of this kind exists, so the processor has the instructions.
            unsafe { $body }
        }
    )*};
}

/// The same for those that take a pointer.
macro_rules! memory {
    ($($name:ident($($arg:ident: $ty:ty),*) -> $out:ty = $body:expr;)*) => {$(
        #[inline(always)]
        unsafe fn $name(self, $($arg: $ty),*) -> $out {
            // SAFETY: the token proves the instructions, the caller vouches for the memory; masked-out lanes are
            // not touched.
            unsafe { $body }
        }
    )*};
}

/// An operator from its intrinsic.
macro_rules! operator {
    ($v:ident: $($trait:ident $name:ident $f:ident),*) => {$(
        impl $trait for $v {
            type Output = $v;
            intrinsics! { $name(self: Self, b: $v) -> $v = $v($f(self.0, b.0)); }
        }
    )*};
}

/// All ones in the lanes 0..n.
///
/// # Safety
/// The processor must have AVX2.
#[inline(always)]
unsafe fn below(n: usize) -> __m256i {
    // SAFETY: the caller vouches for the instructions.
    unsafe { _mm256_cmpgt_epi32(_mm256_set1_epi32(n as i32), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)) }
}

/// The mask of lanes 0..n.
#[inline(always)]
fn below16(n: usize) -> __mmask16 {
    ((1u32 << n.min(16)) - 1) as __mmask16
}

/// Writes the first `n ≤ 8` lanes in pieces of 8, 4, 2 and 1: the masked store that does it in one is slow on AMD.
///
/// # Safety
/// Those `n` must be writable, and the processor must have AVX.
#[inline(always)]
unsafe fn store_pieces(v: __m256, mut p: *mut f32, n: usize) {
    // SAFETY: the pieces are the bits of n, one behind the other; the caller vouches for the memory.
    unsafe {
        if n >= 8 {
            return _mm256_storeu_ps(p, v);
        }
        let mut rest = _mm256_castps256_ps128(v);
        if n & 4 != 0 {
            _mm_storeu_ps(p, rest);
            (rest, p) = (_mm256_extractf128_ps::<1>(v), p.add(4));
        }
        if n & 2 != 0 {
            _mm_storel_epi64(p.cast(), _mm_castps_si128(rest));
            (rest, p) = (_mm_movehl_ps(rest, rest), p.add(2));
        }
        if n & 1 != 0 {
            _mm_store_ss(p, rest);
        }
    }
}

/// Four floats into each half of a register.
///
/// # Safety
/// They must be readable, and the processor must have AVX.
#[inline(always)]
unsafe fn halves(low: *const f32, high: *const f32) -> __m256 {
    // SAFETY: passed on to our caller.
    unsafe { _mm256_insertf128_ps::<1>(_mm256_castps128_ps256(_mm_loadu_ps(low)), _mm_loadu_ps(high)) }
}

/// [`Simd::transpose`] of a block of 8 × 8. Loading rows i and i + 4 into the halves of one register leaves only
/// transposes of 4 × 4, inside halves.
///
/// # Safety
/// As there, and the processor must have AVX.
#[inline(always)]
unsafe fn transpose8(from: *const f32, from_row: usize, to: *mut f32, to_row: usize) {
    for half in [0, 4] {
        // SAFETY: columns half..half + 4 of the eight rows, and as many rows of the result; the caller vouches for
        // both and for the instructions.
        unsafe {
            let row = |i: usize| from.wrapping_add(i * from_row + half);
            let (a, b, c, d) = (
                halves(row(0), row(4)),
                halves(row(1), row(5)),
                halves(row(2), row(6)),
                halves(row(3), row(7)),
            );
            let (ab, cd) = (_mm256_unpacklo_ps(a, b), _mm256_unpacklo_ps(c, d)); // a0 b0 a1 b1, c0 d0 c1 d1
            let (ef, gh) = (_mm256_unpackhi_ps(a, b), _mm256_unpackhi_ps(c, d)); // a2 b2 a3 b3, c2 d2 c3 d3
            let to = to.add(half * to_row);
            _mm256_storeu_ps(to, _mm256_shuffle_ps::<0x44>(ab, cd)); //             a0 b0 c0 d0
            _mm256_storeu_ps(to.add(to_row), _mm256_shuffle_ps::<0xee>(ab, cd));
            _mm256_storeu_ps(to.add(2 * to_row), _mm256_shuffle_ps::<0x44>(ef, gh));
            _mm256_storeu_ps(to.add(3 * to_row), _mm256_shuffle_ps::<0xee>(ef, gh));
        }
    }
}

impl Simd for Avx2 {
    type V = F32x8;
    const LANES: usize = 8;
    const ROWS: usize = 6;
    type Half = Avx2;

    #[inline(always)]
    fn half(self) -> Avx2 {
        self
    }
    intrinsics! { splat(self: Self, x: f32) -> F32x8 = F32x8(_mm256_set1_ps(x)); }
    memory! {
        load(p: *const f32) -> F32x8 = F32x8(_mm256_loadu_ps(p));
        load_bytes(p: *const u8) -> F32x8 =
            F32x8(_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(p.cast()))));
        load_part(p: *const f32, n: usize) -> F32x8 = F32x8(_mm256_maskload_ps(p, below(n)));
        store(v: F32x8, p: *mut f32) -> () = _mm256_storeu_ps(p, v.0);
        store_part(v: F32x8, p: *mut f32, n: usize) -> () = store_pieces(v.0, p, n);
        transpose(from: *const f32, from_row: usize, to: *mut f32, to_row: usize) -> () =
            transpose8(from, from_row, to, to_row);
    }
}

impl Simd for Avx512 {
    type V = F32x16;
    const LANES: usize = 16;
    const ROWS: usize = 14;
    type Half = Avx512Half;

    #[inline(always)]
    fn half(self) -> Avx512Half {
        Avx512Half(self)
    }
    intrinsics! { splat(self: Self, x: f32) -> F32x16 = F32x16(_mm512_set1_ps(x)); }
    memory! {
        load(p: *const f32) -> F32x16 = F32x16(_mm512_loadu_ps(p));
        load_bytes(p: *const u8) -> F32x16 =
            F32x16(_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(p.cast()))));
        load_part(p: *const f32, n: usize) -> F32x16 = F32x16(_mm512_maskz_loadu_ps(below16(n), p));
        store(v: F32x16, p: *mut f32) -> () = _mm512_storeu_ps(p, v.0);
        store_part(v: F32x16, p: *mut f32, n: usize) -> () = _mm512_mask_storeu_ps(p, below16(n), v.0);
        transpose(from: *const f32, from_row: usize, to: *mut f32, to_row: usize) -> () = {
            transpose8(from, from_row, to, to_row);
            transpose8(from.add(8), from_row, to.add(8 * to_row), to_row);
            transpose8(from.add(8 * from_row), from_row, to.add(8), to_row);
            transpose8(from.add(8 * from_row + 8), from_row, to.add(8 * to_row + 8), to_row);
        };
    }
}

impl Simd for Avx512Half {
    type V = F32x8;
    const LANES: usize = 8;
    const ROWS: usize = 14;
    type Half = Avx512Half;

    #[inline(always)]
    fn half(self) -> Avx512Half {
        self
    }
    intrinsics! { splat(self: Self, x: f32) -> F32x8 = F32x8(_mm256_set1_ps(x)); }
    memory! {
        load(p: *const f32) -> F32x8 = F32x8(_mm256_loadu_ps(p));
        load_part(p: *const f32, n: usize) -> F32x8 = F32x8(_mm256_maskz_loadu_ps(below16(n) as __mmask8, p));
        store(v: F32x8, p: *mut f32) -> () = _mm256_storeu_ps(p, v.0);
        store_part(v: F32x8, p: *mut f32, n: usize) -> () =
            _mm256_mask_storeu_ps(p, below16(n) as __mmask8, v.0);
        transpose(from: *const f32, from_row: usize, to: *mut f32, to_row: usize) -> () =
            transpose8(from, from_row, to, to_row);
    }
}

operator!(F32x8: Add add _mm256_add_ps, Sub sub _mm256_sub_ps, Mul mul _mm256_mul_ps, Div div _mm256_div_ps);
operator!(F32x16: Add add _mm512_add_ps, Sub sub _mm512_sub_ps, Mul mul _mm512_mul_ps, Div div _mm512_div_ps);

impl Neg for F32x8 {
    type Output = F32x8;
    intrinsics! { neg(self: Self) -> F32x8 = F32x8(_mm256_xor_ps(self.0, _mm256_set1_ps(-0.0))); }
}

impl Neg for F32x16 {
    type Output = F32x16;
    intrinsics! { neg(self: Self) -> F32x16 = F32x16(_mm512_xor_ps(self.0, _mm512_set1_ps(-0.0))); }
}

/// The sign bit of every lane.
const SIGN: i32 = i32::MIN;
/// The bits behind the binary point.
const FRACTION: i32 = 0x007f_ffff;
/// The bits of 1.0.
const ONE: i32 = 0x3f80_0000;

impl Lanes for F32x8 {
    type Mask = __m256;

    intrinsics! {
        mul_add(self: Self, a: Self, b: Self) -> Self = F32x8(_mm256_fmadd_ps(self.0, a.0, b.0));
        neg_mul_add(self: Self, a: Self, b: Self) -> Self = F32x8(_mm256_fnmadd_ps(self.0, a.0, b.0));
        min(self: Self, b: Self) -> Self = F32x8(_mm256_min_ps(self.0, b.0));
        max(self: Self, b: Self) -> Self = F32x8(_mm256_max_ps(self.0, b.0));
        abs(self: Self) -> Self = F32x8(_mm256_andnot_ps(_mm256_set1_ps(-0.0), self.0));
        sqrt(self: Self) -> Self = F32x8(_mm256_sqrt_ps(self.0));
        round(self: Self) -> Self =
            F32x8(_mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(self.0));
        gt(self: Self, b: Self) -> __m256 = _mm256_cmp_ps::<_CMP_GT_OQ>(self.0, b.0);
        ge(self: Self, b: Self) -> __m256 = _mm256_cmp_ps::<_CMP_GE_OQ>(self.0, b.0);
        select(mask: __m256, yes: Self, no: Self) -> Self = F32x8(_mm256_blendv_ps(no.0, yes.0, mask));
        zero_if(self: Self, mask: __m256) -> Self = F32x8(_mm256_andnot_ps(mask, self.0));
        copysign(self: Self, sign: Self) -> Self = {
            let bit = _mm256_castsi256_ps(_mm256_set1_epi32(SIGN));
            F32x8(_mm256_or_ps(_mm256_andnot_ps(bit, self.0), _mm256_and_ps(bit, sign.0)))
        };
        flip(self: Self, sign: Self) -> Self = {
            let bit = _mm256_castsi256_ps(_mm256_set1_epi32(SIGN));
            F32x8(_mm256_xor_ps(self.0, _mm256_and_ps(bit, sign.0)))
        };
        power_of_biased(self: Self) -> Self =
            F32x8(_mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_castps_si256(self.0))));
        exponent(self: Self) -> Self = {
            let biased = _mm256_srli_epi32::<23>(_mm256_castps_si256(self.0));
            F32x8(_mm256_cvtepi32_ps(_mm256_sub_epi32(biased, _mm256_set1_epi32(127))))
        };
        mantissa(self: Self) -> Self = {
            let fraction = _mm256_and_si256(_mm256_castps_si256(self.0), _mm256_set1_epi32(FRACTION));
            F32x8(_mm256_castsi256_ps(_mm256_or_si256(fraction, _mm256_set1_epi32(ONE))))
        };
        sum(self: Self) -> f32 = {
            let four = _mm_add_ps(_mm256_castps256_ps128(self.0), _mm256_extractf128_ps::<1>(self.0));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
        };
        largest(self: Self) -> f32 = {
            let four = _mm_max_ps(_mm256_castps256_ps128(self.0), _mm256_extractf128_ps::<1>(self.0));
            let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps::<1>(two, two)))
        };
    }
}

impl F32x16 {
    intrinsics! {
        halves(self: Self) -> (F32x8, F32x8) = {
            let high = _mm512_extractf64x4_pd::<1>(_mm512_castps_pd(self.0));
            (F32x8(_mm512_castps512_ps256(self.0)), F32x8(_mm256_castpd_ps(high)))
        };
    }
}

impl Lanes for F32x16 {
    type Mask = __mmask16;

    intrinsics! {
        mul_add(self: Self, a: Self, b: Self) -> Self = F32x16(_mm512_fmadd_ps(self.0, a.0, b.0));
        neg_mul_add(self: Self, a: Self, b: Self) -> Self = F32x16(_mm512_fnmadd_ps(self.0, a.0, b.0));
        min(self: Self, b: Self) -> Self = F32x16(_mm512_min_ps(self.0, b.0));
        max(self: Self, b: Self) -> Self = F32x16(_mm512_max_ps(self.0, b.0));
        abs(self: Self) -> Self = F32x16(_mm512_abs_ps(self.0));
        sqrt(self: Self) -> Self = F32x16(_mm512_sqrt_ps(self.0));
        round(self: Self) -> Self =
            F32x16(_mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(self.0));
        gt(self: Self, b: Self) -> __mmask16 = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(self.0, b.0);
        ge(self: Self, b: Self) -> __mmask16 = _mm512_cmp_ps_mask::<_CMP_GE_OQ>(self.0, b.0);
        select(mask: __mmask16, yes: Self, no: Self) -> Self = F32x16(_mm512_mask_blend_ps(mask, no.0, yes.0));
        zero_if(self: Self, mask: __mmask16) -> Self = F32x16(_mm512_maskz_mov_ps(!mask, self.0));
        copysign(self: Self, sign: Self) -> Self = {
            let bit = _mm512_castsi512_ps(_mm512_set1_epi32(SIGN));
            F32x16(_mm512_or_ps(_mm512_andnot_ps(bit, self.0), _mm512_and_ps(bit, sign.0)))
        };
        flip(self: Self, sign: Self) -> Self = {
            let bit = _mm512_castsi512_ps(_mm512_set1_epi32(SIGN));
            F32x16(_mm512_xor_ps(self.0, _mm512_and_ps(bit, sign.0)))
        };
        power_of_biased(self: Self) -> Self =
            F32x16(_mm512_castsi512_ps(_mm512_slli_epi32::<23>(_mm512_castps_si512(self.0))));
        exponent(self: Self) -> Self = {
            let biased = _mm512_srli_epi32::<23>(_mm512_castps_si512(self.0));
            F32x16(_mm512_cvtepi32_ps(_mm512_sub_epi32(biased, _mm512_set1_epi32(127))))
        };
        mantissa(self: Self) -> Self = {
            let fraction = _mm512_and_si512(_mm512_castps_si512(self.0), _mm512_set1_epi32(FRACTION));
            F32x16(_mm512_castsi512_ps(_mm512_or_si512(fraction, _mm512_set1_epi32(ONE))))
        };
    }
    #[inline(always)]
    fn sum(self) -> f32 {
        let (low, high) = self.halves();
        (low + high).sum()
    }
    #[inline(always)]
    fn largest(self) -> f32 {
        let (low, high) = self.halves();
        low.max(high).largest()
    }
}
