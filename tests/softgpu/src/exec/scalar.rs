//! Rare operations, one lane at a time, on values zero-extended to 64 bits.

use super::round::{self, Mode};

pub(crate) fn mask(bits: u32) -> u64 {
    if bits == 64 { u64::MAX } else { (1 << bits) - 1 }
}

fn sext(x: u64, bits: u32) -> i64 {
    (x << (64 - bits)) as i64 >> (64 - bits)
}

pub(crate) fn testp(x: f64, kind: i32, subnormal: bool) -> bool {
    match kind {
        0 => x.is_finite(),
        1 => x.is_infinite(),
        2 => !x.is_nan(),
        3 => x.is_nan(),
        4 => x.is_finite() && x != 0.0 && !subnormal,
        _ => subnormal,
    }
}

/// `hi + lo` as f32; an exact zero of a sum is -0 only when rounding down.
pub(crate) fn sum_f32(hi: f64, lo: f64, mode: Mode) -> u64 {
    if hi == 0.0 && mode == Mode::Rm && hi.is_sign_positive() && lo == 0.0 {
        // x + (-x) is -0 in this mode; +0 + +0 stays +0, which the caller cannot tell apart here: both exact
        return 0x8000_0000;
    }
    round::round(hi, lo, round::F32, mode)
}

pub(crate) fn div_f32(a: u32, b: u32, mode: Mode) -> u64 {
    let (x, y) = (f64::from(f32::from_bits(a)), f64::from(f32::from_bits(b)));
    let q = x / y;
    if !q.is_finite() || q == 0.0 || y.is_infinite() {
        return round::round(q, 0.0, round::F32, mode);
    }
    // the sign of the remainder says on which side of `q` the quotient lies
    let r = (-q).mul_add(y, x);
    let lo = if r == 0.0 { 0.0 } else { f64::MIN_POSITIVE.copysign(r * y) };
    round::round(q, lo, round::F32, mode)
}

pub(crate) fn sqrt_f32(a: u32, mode: Mode) -> u64 {
    let x = f64::from(f32::from_bits(a));
    let q = x.sqrt();
    if !q.is_finite() || q == 0.0 {
        return round::round(q, 0.0, round::F32, mode);
    }
    let r = (-q).mul_add(q, x);
    let lo = if r == 0.0 { 0.0 } else { f64::MIN_POSITIVE.copysign(r) };
    round::round(q, lo, round::F32, mode)
}

pub(crate) fn minmax_f32(a: u32, b: u32, max: bool, nan: bool, xorsign: bool) -> u32 {
    let (mut x, mut y) = (f32::from_bits(a), f32::from_bits(b));
    let sign = (a ^ b) & 0x8000_0000;
    if xorsign {
        (x, y) = (x.abs(), y.abs());
    }
    let r = if x.is_nan() && y.is_nan() || nan && (x.is_nan() || y.is_nan()) {
        return 0x7fff_ffff;
    } else if x.is_nan() {
        y
    } else if y.is_nan() {
        x
    } else if x == y {
        // zeros of both signs
        if x.is_sign_negative() == max { y } else { x }
    } else if (x > y) == max {
        x
    } else {
        y
    };
    if xorsign { r.to_bits() | sign } else { r.to_bits() }
}

pub(crate) fn minmax_f64(a: u64, b: u64, max: bool) -> u64 {
    let (x, y) = (f64::from_bits(a), f64::from_bits(b));
    if x.is_nan() && y.is_nan() {
        0x7fff_ffff_ffff_ffff
    } else if x.is_nan() {
        b
    } else if y.is_nan() {
        a
    } else if x == y {
        if x.is_sign_negative() == max { b } else { a }
    } else if (x > y) == max {
        a
    } else {
        b
    }
}

pub(crate) type Binary = Box<dyn Fn(u64, u64) -> u64 + Send + Sync>;

/// Division, remainder, minimum and maximum of the widths that have no vector loop.
pub(crate) fn int_binary(base: &str, bits: u32, signed: bool) -> Option<Binary> {
    let m = mask(bits);
    Some(match (base, signed) {
        ("div", false) => Box::new(move |a, b| a.checked_div(b).unwrap_or(m) & m),
        ("rem", false) => Box::new(move |a, b| a.checked_rem(b).unwrap_or(a) & m),
        ("div", true) => Box::new(move |a, b| match sext(b, bits) {
            0 => m,
            d => sext(a, bits).wrapping_div(d) as u64 & m,
        }),
        ("rem", true) => Box::new(move |a, b| match sext(b, bits) {
            0 => a,
            d => sext(a, bits).wrapping_rem(d) as u64 & m,
        }),
        ("min", false) => Box::new(|a, b| a.min(b)),
        ("max", false) => Box::new(|a, b| a.max(b)),
        ("min", true) => Box::new(move |a, b| if sext(a, bits) < sext(b, bits) { a } else { b }),
        ("max", true) => Box::new(move |a, b| if sext(a, bits) > sext(b, bits) { a } else { b }),
        _ => return None,
    })
}

/// The full product, in two's complement.
pub(crate) fn product(a: u64, b: u64, bits: u32, signed: bool) -> u128 {
    if signed {
        (i128::from(sext(a, bits)) * i128::from(sext(b, bits))) as u128
    } else {
        u128::from(a) * u128::from(b)
    }
}

pub(crate) fn shf(a: u64, b: u64, c: u32, left: bool, clamp: bool) -> u64 {
    let n = if clamp { c.min(32) } else { c & 31 };
    let both = b << 32 | a;
    (if left { (both << n) >> 32 } else { both >> n }) & 0xffff_ffff
}

pub(crate) fn lop3(a: u64, b: u64, c: u64, table: u8) -> u64 {
    let mut r = 0;
    for i in 0..8 {
        if table >> i & 1 == 1 {
            r |= (if i & 4 != 0 { a } else { !a })
                & (if i & 2 != 0 { b } else { !b })
                & (if i & 1 != 0 { c } else { !c });
        }
    }
    r & 0xffff_ffff
}

pub(crate) fn prmt(a: u32, b: u32, c: u32, mode: Option<usize>) -> u32 {
    let bytes = (u64::from(b) << 32 | u64::from(a)).to_le_bytes();
    let n = (c & 3) as usize;
    let mut r = [0u8; 4];
    for (i, out) in r.iter_mut().enumerate() {
        *out = match mode {
            None => {
                let sel = c >> (4 * i) & 15;
                let v = bytes[(sel & 7) as usize];
                if sel & 8 != 0 { if v & 0x80 != 0 { 0xff } else { 0 } } else { v }
            }
            Some(0) => bytes[n + i],
            Some(1) => bytes[(n + 8 - i) % 8],
            Some(2) => bytes[n],
            Some(3) => bytes[n.max(i)],
            Some(4) => bytes[n.min(i)],
            Some(_) => bytes[(n & 1) * 2 + (i & 1)],
        };
    }
    u32::from_le_bytes(r)
}

pub(crate) fn sad(a: u64, b: u64, c: u64, bits: u32, signed: bool) -> u64 {
    let (x, y) = if signed {
        (i128::from(sext(a, bits)), i128::from(sext(b, bits)))
    } else {
        (i128::from(a), i128::from(b))
    };
    c.wrapping_add((x - y).unsigned_abs() as u64) & mask(bits)
}

pub(crate) fn bfind(a: u64, bits: u32, signed: bool, shift: bool) -> u64 {
    let a = if signed && sext(a, bits) < 0 { !a & mask(bits) } else { a };
    if a == 0 {
        return 0xffff_ffff;
    }
    let at = 63 - u64::from(a.leading_zeros());
    if shift { u64::from(bits) - 1 - at } else { at }
}

pub(crate) fn fns(m: u32, base: u32, offset: i32) -> u32 {
    let base = base & 31;
    if offset == 0 {
        return if m >> base & 1 == 1 { base } else { u32::MAX };
    }
    let (mut pos, step) = (base as i32, offset.signum());
    let mut left = offset.abs();
    // the base counts only if it is set and lies in the direction of the search
    while (0..32).contains(&pos) {
        if m >> pos & 1 == 1 {
            left -= 1;
            if left == 0 {
                return pos as u32;
            }
        }
        pos += step;
    }
    u32::MAX
}

pub(crate) fn bfe(a: u64, pos: u32, len: u32, bits: u32, signed: bool) -> u64 {
    let (pos, len) = (pos & 255, len & 255);
    let top = bits - 1;
    let sign = if !signed || len == 0 { 0 } else { a >> (pos + len - 1).min(top) & 1 };
    let mut r = if pos < bits { a >> pos } else { 0 };
    let have = bits.saturating_sub(pos).min(len);
    r &= if have == 64 { u64::MAX } else { (1 << have) - 1 };
    if sign == 1 {
        r |= if have == 64 { 0 } else { u64::MAX << have };
    }
    r & mask(bits)
}

pub(crate) fn bfi(a: u64, b: u64, pos: u32, len: u32, bits: u32) -> u64 {
    let (pos, len) = (pos & 255, len & 255);
    if pos >= bits || len == 0 {
        return b;
    }
    let len = len.min(bits - pos);
    let m = if len == 64 { u64::MAX } else { ((1 << len) - 1) << pos };
    (b & !m | a << pos & m) & mask(bits)
}

pub(crate) fn bmsk(a: u32, b: u32, clamp: bool) -> u64 {
    if clamp {
        if a >= 32 {
            return 0;
        }
        let n = b.min(32 - a);
        return (((1u64 << n) - 1) << a) & 0xffff_ffff;
    }
    let (a, n) = (a & 31, b & 31);
    (((1u64 << n) - 1) << a) & 0xffff_ffff
}

pub(crate) fn dot(a: u32, b: u32, c: u32, sa: bool, sb: bool, four: bool, half: u32) -> u32 {
    let byte = |x: u32, i: u32, signed: bool| {
        let v = (x >> (8 * i)) as u8;
        if signed { i32::from(v as i8) } else { i32::from(v) }
    };
    let mut r = c as i32;
    if four {
        for i in 0..4 {
            r = r.wrapping_add(byte(a, i, sa).wrapping_mul(byte(b, i, sb)));
        }
    } else {
        for i in 0..2 {
            let x = (a >> (16 * i)) as u16;
            let x = if sa { i32::from(x as i16) } else { i32::from(x) };
            r = r.wrapping_add(x.wrapping_mul(byte(b, 2 * half + i, sb)));
        }
    }
    r as u32
}
