//! Functions of a register: exp, ln and their kin, to within a few units in the last place.
//!
//! Each follows the classical plan (Cody and Waite 1980): reduce the argument to a small interval, exactly; take a
//! polynomial there; put the result together so that the last operation is the only one that rounds much. The
//! polynomials are weighted minimax fits to 40-digit values, their coefficients rounded to f32 one after another, from
//! the lowest, each time refitting the others. Their own errors are below 0.3 units in the last place.
//!
//! | function | error, in units in the last place | where |
//! |---|---|---|
//! | [`exp`] | 1 | everywhere, subnormal results included |
//! | [`exp_m1`] | 2 | x ≤ 88 |
//! | [`ln`] | 1 | everywhere, subnormals included |
//! | [`ln_1p`] | 2 | x > −1 |
//! | [`tanh`] | 2 | everywhere |
//! | [`sigmoid`] | 2.5 | everywhere, subnormal results included |
//! | [`normal`] | 4.5; of the density 2 | everywhere but in subnormal tails |
//!
//! NaN stays NaN, and infinities give limits. The tests hold every function to this table, on each instruction set.

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

/// (eʳ − 1 − r) / r² on |r| ≤ 0.4.
const EXP: [f32; 6] = [0.5, 0.166_666_66, 0.041_666_344, 0.008_333_506, 0.001_394_774_3, 0.000_198_109_1];

/// x = n ln 2 + r with a whole n and |r| ≤ ½ ln 2 (and a bit more if |low| is not small). Returns (n, r) for
/// x = high + low.
#[inline(always)]
fn reduce<S: Simd>(s: S, high: S::V, low: S::V) -> (S::V, S::V) {
    let n = (high * s.splat(std::f32::consts::LOG2_E)).round();
    let r = n.neg_mul_add(s.splat(LN_2_HIGH), high);
    (n, n.neg_mul_add(s.splat(LN_2_LOW), r + low))
}

/// eʰ⁺ˡ, for an exponent known to more digits than one number holds. |low| ≤ 0.05.
#[inline(always)]
fn exp_sum<S: Simd>(s: S, high: S::V, low: S::V) -> S::V {
    // Beyond these bounds the result is 0 or ∞ anyway. The NaN-keeping order of min and max.
    let high = s.splat(90.0).min(s.splat(-110.0).max(high));
    let (n, r) = reduce(s, high, low);
    let y = polynomial(s, r, EXP).mul_add(r * r, r) + s.splat(1.0);
    // 2ⁿ in two factors: n reaches beyond both ends of the exponents, and the second product alone rounds there.
    let half = (n * s.splat(0.5)).round();
    y * half.power_of_two() * (n - half).power_of_two()
}

/// eˣ.
#[inline(always)]
pub(super) fn exp<S: Simd>(s: S, x: S::V) -> S::V {
    exp_sum(s, x, s.splat(0.0))
}

/// eˣ − 1, which keeps its digits near 0. For x ≤ 88.
#[inline(always)]
pub(super) fn exp_m1<S: Simd>(s: S, x: S::V) -> S::V {
    let (n, r) = reduce(s, s.splat(-30.0).max(x), s.splat(0.0));
    let y = polynomial(s, r, EXP).mul_add(r * r, r);
    let scale = n.power_of_two();
    // Where x is its own result, the detour would turn −0 into 0.
    let z = y.mul_add(scale, scale - s.splat(1.0));
    S::V::select(s.splat(1e-9).gt(x.abs()), x, z)
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

/// ln(1 + x), which keeps its digits near 0. For x > −1.
///
/// 1 + x rounds to u; the lost x − (u − 1) is worth (x − (u − 1)) / u.
#[inline(always)]
pub(super) fn ln_1p<S: Simd>(s: S, x: S::V) -> S::V {
    let one = s.splat(1.0);
    let u = one + x;
    let lost = x - (u - one);
    let lost = S::V::select(u.gt(s.splat(1e9)), s.splat(0.0), lost); // ∞ − ∞ would be NaN
    ln(s, u) + lost / u
}

/// 1 / (1 + e⁻ˣ).
///
/// With z = e^−|x| ≤ 1, so that nothing overflows: 1 / (1 + z) above 0, z / (1 + z) below.
#[inline(always)]
pub(super) fn sigmoid<S: Simd>(s: S, x: S::V) -> S::V {
    let one = s.splat(1.0);
    let z = exp(s, -x.abs());
    S::V::select(x.gt(s.splat(0.0)), one, z) / (one + z)
}

/// (tanh x / x − 1) / x² in x² on |x| ≤ 0.625.
const TANH: [f32; 5] = [-0.333_332_8, 0.133_314_06, -0.053_736_515, 0.020_628_167, -0.005_692_296];

/// The hyperbolic tangent: x + x³ p(x²) where |x| < 0.625, else 1 − 2 / (e²ˣ + 1).
#[inline(always)]
pub(super) fn tanh<S: Simd>(s: S, x: S::V) -> S::V {
    let (a, one) = (x.abs(), s.splat(1.0));
    let square = x * x;
    let near = (polynomial(s, square, TANH) * square).mul_add(x, x);
    let far = one - s.splat(2.0) / (exp(s, a + a) + one);
    S::V::select(s.splat(0.625).gt(a), near, far.copysign(x))
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
mod tests {
    use super::*;
    use crate::cpu::simd::{Isa, Kernel};

    /// The distance of `got` from `want` in units in `want`'s last place; a subnormal's unit is the smallest there is.
    fn ulps(got: f32, want: f64) -> f64 {
        let nearest = want as f32;
        if got.to_bits() == nearest.to_bits() || (got.is_nan() && want.is_nan()) {
            return 0.0;
        }
        let exponent = if want == 0.0 { -126.0 } else { want.abs().log2().floor().max(-126.0) };
        let d = (f64::from(got) - want).abs() / (exponent - 23.0).exp2();
        if d.is_nan() { f64::INFINITY } else { d }
    }

    /// The worst error of a function over a sample of all floats in `low ..= high`: every 4999th bit pattern, about
    /// 860,000 in all, and the special ones.
    struct Worst<'a, F> {
        f: F,
        want: &'a dyn Fn(f64) -> f64,
        low: f32,
        high: f32,
    }

    trait Function: Copy {
        fn call<S: Simd>(self, s: S, x: S::V) -> S::V;
    }

    macro_rules! functions {
        ($($name:ident = $f:expr;)*) => {$(
            #[derive(Clone, Copy)]
            struct $name;
            impl Function for $name {
                #[inline(always)]
                fn call<S: Simd>(self, s: S, x: S::V) -> S::V {
                    let f: fn(S, S::V) -> S::V = $f;
                    f(s, x)
                }
            }
        )*};
    }

    functions! {
        Exp = exp;
        ExpM1 = exp_m1;
        Ln = ln;
        Ln1p = ln_1p;
        Sigmoid = sigmoid;
        Tanh = tanh;
        Phi = |s, x| normal(s, x).0;
        Density = |s, x| normal(s, x).1;
    }

    impl<F: Function> Kernel for Worst<'_, F> {
        type Output = (f64, f32);
        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> (f64, f32) {
            let special =
                [0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 1.0, -1.0, f32::MIN_POSITIVE];
            let dense = (0..=u32::MAX / 4999).map(|i| f32::from_bits(i * 4999));
            let inside = |x: &f32| x.is_nan() || (self.low..=self.high).contains(x);
            let mut worst = (0.0, f32::NAN);
            let (mut xs, mut ys) = (vec![0.0; S::LANES], vec![0.0; S::LANES]);
            let mut sample = special.into_iter().chain(dense).filter(inside).peekable();
            while sample.peek().is_some() {
                xs.iter_mut().zip(&mut sample).for_each(|(x, v)| *x = v);
                // SAFETY: both have LANES floats.
                unsafe { s.store(self.f.call(s, s.load(xs.as_ptr())), ys.as_mut_ptr()) };
                for (&x, &y) in xs.iter().zip(&ys) {
                    let e = ulps(y, (self.want)(x.into()));
                    if e > worst.0 {
                        worst = (e, x);
                    }
                }
            }
            worst
        }
    }

    fn check<F: Function>(name: &str, f: F, low: f32, high: f32, bound: f64, want: &dyn Fn(f64) -> f64) {
        for isa in Isa::available() {
            let (e, x) = isa.run(Worst { f, want, low, high });
            println!("{name} on {isa}: {e:.2} ulp at {x:e}");
            assert!(e <= bound, "{name} on {isa}: {e} ulp at {x:e}");
        }
    }

    const ALL: (f32, f32) = (f32::NEG_INFINITY, f32::INFINITY);

    #[test]
    fn exponentials() {
        check("exp", Exp, ALL.0, ALL.1, 1.0, &f64::exp);
        check("exp_m1", ExpM1, ALL.0, 88.0, 2.0, &f64::exp_m1);
        check("sigmoid", Sigmoid, ALL.0, ALL.1, 2.5, &|x| 1.0 / (1.0 + (-x).exp()));
        check("tanh", Tanh, ALL.0, ALL.1, 2.0, &f64::tanh);
    }

    #[test]
    fn logarithms() {
        check("ln", Ln, ALL.0, ALL.1, 1.0, &f64::ln);
        check("ln_1p", Ln1p, -0.999_999_94, ALL.1, 2.0, &f64::ln_1p);
    }

    /// φ in f64, and Φ as ½ + φ(x) (x + x³/3 + x⁵/15 + ...) near 0, as Laplace's continued fraction beyond 2.
    #[test]
    fn the_normal_distribution() {
        let density = |x: f64| (-0.5 * x * x).exp() / (std::f64::consts::TAU).sqrt();
        let phi = move |x: f64| {
            let a = x.abs();
            let tail = if x.is_nan() {
                x
            } else if a < 2.0 {
                let (mut term, mut sum) = (a, a);
                for k in 1..60 {
                    term *= a * a / f64::from(2 * k + 1);
                    sum += term;
                }
                0.5 - density(a) * sum
            } else if a < 40.0 {
                density(a) / (1..200).rev().fold(a, |below, k| a + f64::from(k) / below)
            } else {
                0.0
            };
            if x > 0.0 { 1.0 - tail } else { tail }
        };
        check("density", Density, -13.0, 13.0, 2.0, &density);
        check("normal", Phi, -12.8, ALL.1, 4.5, &phi);
        assert!(
            (phi(1.0) - 0.841_344_746_068_542_9).abs() < 1e-15
                && (phi(-3.0) - 0.001_349_898_031_630_095).abs() < 1e-17
        );
    }
}
