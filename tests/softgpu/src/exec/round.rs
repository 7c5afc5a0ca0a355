//! Rounding to any of PTX's float formats in any of its modes, and sums and products with their exact remainder.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// to nearest, ties to even
    Rn,
    /// towards zero
    Rz,
    /// down
    Rm,
    /// up
    Rp,
    /// to nearest, ties away from zero
    Rna,
}

/// A float format by its exponent and mantissa bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Format {
    pub exponent: u32,
    pub mantissa: u32,
}

pub(crate) const F16: Format = Format { exponent: 5, mantissa: 10 };
pub(crate) const BF16: Format = Format { exponent: 8, mantissa: 7 };
pub(crate) const TF32: Format = Format { exponent: 8, mantissa: 10 };
pub(crate) const F32: Format = Format { exponent: 8, mantissa: 23 };

impl Format {
    fn infinity(self) -> u64 {
        ((1 << self.exponent) - 1) << self.mantissa
    }

    fn sign(self) -> u64 {
        1 << (self.exponent + self.mantissa)
    }

    pub(crate) fn nan(self) -> u64 {
        self.sign() - 1
    }
}

/// `hi + lo`, exact, to `format`; `lo` is below half a unit in the last place of `hi`.
pub(crate) fn round(hi: f64, lo: f64, format: Format, mode: Mode) -> u64 {
    if hi.is_nan() {
        return format.nan();
    }
    let negative = hi.is_sign_negative();
    let sign = if negative { format.sign() } else { 0 };
    if hi.is_infinite() {
        return sign | format.infinity();
    }
    if hi == 0.0 {
        return sign;
    }
    let (hi, lo) = if negative { (-hi, -lo) } else { (hi, lo) };
    let man = format.mantissa as i32;
    let emin = 2 - (1 << (format.exponent - 1));
    let mut ex = exponent(hi).max(emin);
    // the value in units of the last place: exact, for a power of two only moves the exponent
    let q = scale(hi, man - ex);
    let mut n = q.floor() as u64;
    let frac = q - q.floor();
    // where between n and n + 1: 0 at n, 1 below the middle, 2 at it, 3 above
    let mut part = if frac == 0.0 {
        0
    } else if frac < 0.5 {
        1
    } else if frac == 0.5 {
        2
    } else {
        3
    };
    if lo > 0.0 {
        part = match part {
            0 | 1 => 1,
            _ => 3,
        };
    } else if lo < 0.0 {
        part = match part {
            0 => {
                if n == 1 << man && ex > emin {
                    ex -= 1;
                    n = (1 << (man + 1)) - 1;
                } else {
                    n = n.saturating_sub(1);
                }
                3
            }
            1 | 2 => 1,
            _ => 3,
        };
    }
    let up = match mode {
        Mode::Rn => part == 3 || (part == 2 && n & 1 == 1),
        Mode::Rna => part >= 2,
        Mode::Rz => false,
        Mode::Rm => negative && part > 0,
        Mode::Rp => !negative && part > 0,
    };
    let bits = n + u64::from(up) + (((ex - emin) as u64) << man);
    if bits >= format.infinity() {
        let to_infinity = match mode {
            Mode::Rn | Mode::Rna => true,
            Mode::Rz => false,
            Mode::Rm => negative,
            Mode::Rp => !negative,
        };
        return sign | if to_infinity { format.infinity() } else { format.infinity() - 1 };
    }
    sign | bits
}

fn exponent(x: f64) -> i32 {
    let e = (x.to_bits() >> 52) as i32 & 0x7ff;
    if e == 0 { -1011 - x.to_bits().leading_zeros() as i32 } else { e - 1023 }
}

/// `x · 2^n` where the result is a normal number.
fn scale(x: f64, n: i32) -> f64 {
    let half = n / 2;
    x * 2f64.powi(half) * 2f64.powi(n - half)
}

/// The sum and what rounding took from it.
pub(crate) fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let s = a + b;
    if !s.is_finite() {
        return (s, 0.0);
    }
    let bb = s - a;
    (s, (a - (s - bb)) + (b - bb))
}

/// `a b + c` of floats whose product is exact in f64.
pub(crate) fn fma_exact(a: f64, b: f64, c: f64) -> (f64, f64) {
    two_sum(a * b, c)
}

/// To f64 in a direction: `hi + lo` is the exact value and `hi` its nearest double.
pub(crate) fn round_f64(hi: f64, lo: f64, mode: Mode) -> f64 {
    if !hi.is_finite() || lo == 0.0 {
        return hi;
    }
    match mode {
        Mode::Rn | Mode::Rna => hi,
        Mode::Rp if lo > 0.0 => hi.next_up(),
        Mode::Rm if lo < 0.0 => hi.next_down(),
        Mode::Rz if hi > 0.0 && lo < 0.0 => hi.next_down(),
        Mode::Rz if hi < 0.0 && lo > 0.0 => hi.next_up(),
        _ => hi,
    }
}

pub(crate) fn f16_to_f32(h: u16) -> f32 {
    let sign = u32::from(h & 0x8000) << 16;
    let (e, m) = (u32::from(h >> 10) & 31, u32::from(h) & 0x3ff);
    match e {
        0 => {
            let v = m as f32 * (1.0 / 16_777_216.0);
            f32::from_bits(v.to_bits() | sign)
        }
        31 => f32::from_bits(sign | 0x7f80_0000 | m << 13),
        _ => f32::from_bits(sign | (e + 112) << 23 | m << 13),
    }
}

pub(crate) fn bf16_to_f32(h: u16) -> f32 {
    f32::from_bits(u32::from(h) << 16)
}

/// An integer of `f64`'s kind from a float in the mode of `cvt.r?i`.
pub(crate) fn to_integral(x: f64, mode: Mode) -> f64 {
    match mode {
        Mode::Rn => x.round_ties_even(),
        Mode::Rz => x.trunc(),
        Mode::Rm => x.floor(),
        Mode::Rp => x.ceil(),
        Mode::Rna => x.round(),
    }
}
