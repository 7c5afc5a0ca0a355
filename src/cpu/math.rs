//! Functions of a register: exp, ln and their kin, to within a few units in the last place.
//!
//! Each follows the classical plan (Cody and Waite 1980): reduce the argument to a small interval, exactly; take a
//! polynomial there; put the result together so that the last operation is the only one that rounds much. The
//! polynomials are weighted minimax fits to 40-digit values, their coefficients rounded to f32 one after another, from
//! the lowest, each time refitting the others. Their own errors are below 0.3 units in the last place.
//!
//! | function | error, in units in the last place | measured | where |
//! |---|---|---|---|
//! | [`exp`] | 1.1 | 1.03 | everywhere, subnormal results included |
//! | [`exp_m1`] | 2 | 1.73 | everywhere |
//! | [`ln`] | 1 | 0.80 | everywhere, subnormals included |
//! | [`ln_1p`] | 2 | 1.44 | everywhere |
//! | [`tanh`] | 2 | 1.99 | everywhere |
//! | [`sigmoid`] | 2 | 1.75 | everywhere, subnormal results included |
//! | [`normal`] | 4.5; of the density 2 | 4.12; 1.93 | everywhere but in subnormal tails |
//!
//! NaN stays NaN, zeros keep their signs where the function is odd, and infinities give limits. The tests hold every
//! function to this table, on each instruction set: all but the last at every float there is, those 2³² of them.

use super::simd::{Lanes, Simd};

/// c₀ + c₁ x + c₂ x² + ..., by Horner's rule.
#[inline(always)]
fn polynomial<S: Simd, const N: usize>(s: S, x: S::V, c: [f32; N]) -> S::V {
    let mut y = s.splat(c[N - 1]);
    for k in (0..N - 1).rev() {
        y = y.mul_add(x, s.splat(c[k]));
    }
    y
}

/// ln 2 in two parts: the first has ten bits, so that its product with a whole exponent is exact.
const LN_2_HIGH: f32 = 355.0 / 512.0;
const LN_2_LOW: f32 = -2.121_944_4e-4;

/// 1.5 · 2²³ + 127. Floats up here are whole numbers, so that adding it rounds; and the sum's low bits are those of
/// the exponent that [`Lanes::power_of_biased`] makes of it.
const BIASED: f32 = 12_582_912.0 + 127.0;

/// (eʳ − 1 − r) / r² on |r| ≤ ½ ln 2: for eʳ, and for eʳ − 1.
const EXP: [f32; 5] = [0.499_999_94, 0.166_665_21, 0.041_668_292, 0.008_368_716, 0.001_381_869_8];
const EXP_M1: [f32; 5] = [0.499_999_97, 0.166_665_45, 0.041_667_446, 0.008_366_447, 0.001_386_984_5];

/// x = n ln 2 + r with a whole n and |r| ≤ ½ ln 2. Returns (n + `biased`, r), for `biased` = [`BIASED`] + a whole
/// number.
#[inline(always)]
fn reduce<S: Simd>(s: S, x: S::V, biased: f32) -> (S::V, S::V) {
    let m = x.mul_add(s.splat(std::f32::consts::LOG2_E), s.splat(biased));
    let n = m - s.splat(biased);
    let r = n.neg_mul_add(s.splat(LN_2_HIGH), x);
    (m, n.neg_mul_add(s.splat(LN_2_LOW), r))
}

/// eʳ − 1 = r + r² (c₀ + c₁ r + c₂ r² + c₃ r³ + c₄ r⁴), the sum in pairs: a shorter chain than Horner's.
#[inline(always)]
fn exp_m1_near<S: Simd>(s: S, r: S::V, c: [f32; 5]) -> S::V {
    let rr = r * r;
    let low = r.mul_add(s.splat(c[1]), s.splat(c[0]));
    let high = rr.mul_add(s.splat(c[4]), r.mul_add(s.splat(c[3]), s.splat(c[2])));
    rr.mul_add(rr.mul_add(high, low), r)
}

/// eʰ⁺ˡ, for an exponent known to more digits than one number holds. |low| ≤ 0.05.
#[inline(always)]
fn exp_sum<S: Simd>(s: S, high: S::V, low: S::V) -> S::V {
    // Beyond these bounds the result is 0 or ∞ anyway. The NaN-keeping order of min and max.
    let x = s.splat(90.0).min(s.splat(-110.0).max(high));
    let (m, r) = reduce(s, x, BIASED);
    let p = exp_m1_near(s, r + low, EXP);
    // 2ⁿ in two factors, since n reaches beyond both ends of the exponents: 2ⁿ⁻ᵏ, and 2ᵏ, where alone the product
    // with a subnormal result rounds.
    let k = s.splat(64.0).copysign(x);
    let t = (m - k).power_of_biased();
    p.mul_add(t, t) * (s.splat(BIASED) + k).power_of_biased()
}

/// eˣ.
#[inline(always)]
pub(super) fn exp<S: Simd>(s: S, x: S::V) -> S::V {
    exp_sum(s, x, s.splat(0.0))
}

/// eˣ − 1, which keeps its digits near 0.
#[inline(always)]
pub(super) fn exp_m1<S: Simd>(s: S, x: S::V) -> S::V {
    let (m, r) = reduce(s, s.splat(89.0).min(s.splat(-30.0).max(x)), BIASED - 1.0);
    // ½ (eˣ − 1) = 2ⁿ⁻¹ p + (2ⁿ⁻¹ − ½): near its end, 2ⁿ itself would be ∞.
    let t = m.power_of_biased();
    let y = exp_m1_near(s, r, EXP_M1).mul_add(t, t - s.splat(0.5));
    // Where x is its own result, the detour would turn −0 into 0, and lose the last digit of a subnormal.
    S::V::select(s.splat(1e-9).gt(x.abs()), x, y + y)
}

/// (ln(1 + f) − f + f²/2) / f³ on √½ ≤ 1 + f ≤ √2.
const LN: [f32; 9] = [
    0.333_333_13,
    -0.250_000_1,
    0.200_020_72,
    -0.166_679_89,
    0.142_203_58,
    -0.124_062_34,
    0.118_835_49,
    -0.116_700_98,
    0.067_492_68,
];

/// ln x: −∞ at 0, NaN below.
#[inline(always)]
pub(super) fn ln<S: Simd>(s: S, x: S::V) -> S::V {
    let (zero, one) = (s.splat(0.0), s.splat(1.0));
    let subnormal = s.splat(f32::MIN_POSITIVE).gt(x);
    let normal = S::V::select(subnormal, x * s.splat(8_388_608.0), x); // · 2²³
    let (e, m) = (normal.exponent(), normal.mantissa());
    // m in [1, 2) to 1 + f in [√½, √2), so that f is exact and ln has its zero where f has.
    let high = m.gt(s.splat(std::f32::consts::SQRT_2));
    let f = S::V::select(high, m * s.splat(0.5), m) - one;
    let e = S::V::select(high, e + one, e);
    let e = S::V::select(subnormal, e - s.splat(23.0), e);
    let ff = f * f;
    // e ln 2 + f − f²/2 + f³ p(f), the smallest first.
    let tail = (polynomial(s, f, LN) * f).mul_add(ff, e * s.splat(LN_2_LOW));
    let tail = ff.neg_mul_add(s.splat(0.5), tail) + f;
    let y = e.mul_add(s.splat(LN_2_HIGH), tail);
    let y = S::V::select(x.gt(s.splat(f32::MAX)), x, y); // ln ∞ = ∞
    let y = S::V::select(x.gt(zero), y, s.splat(f32::NAN)); // ln of the negative, and of NaN
    S::V::select(zero.ge(x.abs()), s.splat(f32::NEG_INFINITY), y) // ln ±0 = −∞
}

/// ln(1 + x), which keeps its digits near 0: −∞ at −1, NaN below.
///
/// 1 + x rounds to u; the lost x − (u − 1) is worth (x − (u − 1)) / u.
#[inline(always)]
pub(super) fn ln_1p<S: Simd>(s: S, x: S::V) -> S::V {
    let one = s.splat(1.0);
    let u = one + x;
    let lost = x - (u - one);
    let lost = S::V::select(u.gt(s.splat(1e9)), s.splat(0.0), lost); // ∞ − ∞ would be NaN
    // Not by 0, where there is nothing to add; and ln 1 + (−0) is 0.
    (ln(s, u) + lost / s.splat(f32::MIN_POSITIVE).max(u)).copysign(x)
}

/// 1 / (1 + e⁻ˣ), as u / (u + u e⁻ˣ) with u = 2⁻²⁴, so that nothing overflows even where the result is subnormal.
#[inline(always)]
pub(super) fn sigmoid<S: Simd>(s: S, x: S::V) -> S::V {
    const U: f32 = 1.0 / 16_777_216.0;
    let u = s.splat(U);
    let (m, r) = reduce(s, -s.splat(60.0).min(s.splat(-105.0).max(x)), BIASED - 24.0);
    let (t, p) = (m.power_of_biased(), exp_m1_near(s, r, EXP));
    // u + t + t p. The first sum loses digits where the results are smallest; the last one takes them back in.
    let sum = u + t;
    let lost = u - (sum - t);
    u / (sum + p.mul_add(t, lost))
}

/// The hyperbolic tangent: (1 − z) / (1 + z) with z = e^−2|x|, its sign put back.
///
/// z = t + t p with a power of two t, so that both products are exact. With n = 0, where |x| is small, 1 − t is 0
/// and no digit is lost. Where n is large, z is small: ln 2 in one part will do.
#[inline(always)]
pub(super) fn tanh<S: Simd>(s: S, x: S::V) -> S::V {
    let y = s.splat(-20.0).max(-(x + x).abs());
    let m = y.mul_add(s.splat(std::f32::consts::LOG2_E), s.splat(BIASED));
    let r = (m - s.splat(BIASED)).neg_mul_add(s.splat(std::f32::consts::LN_2), y);
    let (t, one) = (m.power_of_biased(), s.splat(1.0));
    let tp = t * exp_m1_near(s, r, EXP_M1);
    (((one - t) - tp) / ((one + t) + tp)).flip(x)
}

/// (Φ(x) − ½) / x in x² on |x| ≤ 1.02.
const NEAR: [f32; 6] =
    [0.398_942_3, -0.066_490_896, 0.009_977_33, -0.001_196_892_7, 0.000_124_905_36, -0.000_011_988_358];
/// (1 − Φ(a)) e^(a²/2) in t = 1 / (a + 3), without its first factor t, on 0.98 ≤ a ≤ 14.5.
const TAIL: [f32; 8] =
    [0.398_930_22, 1.197_880_4, 3.153_334_4, 7.934_202, 3.137_374, 69.705_11, -290.267_36, 285.029_82];

/// The standard normal distribution: Φ(x) = ½ (1 + erf(x / √2)), and its density φ(x) = e^(−x²/2) / √(2π).
///
/// ½ + x p(x²) where |x| < 1; else the tail behind |x|, e^(−x²/2) t q(t), or 1 less it.
#[inline(always)]
pub(super) fn normal<S: Simd>(s: S, x: S::V) -> (S::V, S::V) {
    let half = s.splat(0.5);
    // Beyond 20 the tail is 0, and squares stay finite; NaN is kept.
    let a = s.splat(20.0).min(x.abs());
    // a² = h² + (a − h)(a + h) with h of 12 bits, so that h² is exact and the rest is small.
    let h = (a * s.splat(128.0)).round() * s.splat(1.0 / 128.0);
    let bell = exp_sum(s, -(h * h * half), (h - a) * (a + h) * half);
    let t = s.splat(1.0) / (a + s.splat(3.0));
    let tail = bell * (polynomial(s, t, TAIL) * t);
    let far = S::V::select(x.gt(s.splat(0.0)), s.splat(1.0) - tail, tail);
    let near = polynomial(s, x * x, NEAR).mul_add(x, half);
    let phi = S::V::select(s.splat(1.0).gt(a), near, far);
    (phi, bell * s.splat(0.398_942_3))
}

#[cfg(test)]
mod tests;
