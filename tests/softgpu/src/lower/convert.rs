//! `cvt` in all its roundings and saturations.

use super::arithmetic::ROUNDINGS;
use super::decode::Decoder;
use super::*;
use crate::exec::round::{self, Mode};
use crate::exec::scalar::mask;

fn is_float(ty: &str) -> bool {
    matches!(ty, "f16" | "bf16" | "f32" | "f64" | "tf32")
}

/// A source value as f64 (exact) — or as an integer, which i128 holds.
fn read_float(x: u64, ty: &str, ftz: bool) -> f64 {
    match ty {
        "f16" => f64::from(round::f16_to_f32(x as u16)),
        "bf16" => f64::from(round::bf16_to_f32(x as u16)),
        "f32" => {
            let v = f32::from_bits(x as u32);
            let v = if ftz && v.is_subnormal() { 0f32.copysign(v) } else { v };
            f64::from(v)
        }
        _ => f64::from_bits(x),
    }
}

/// A float to its type's bits.
fn write_float(x: f64, lo: f64, ty: &str, mode: Mode, sat: bool, relu: bool) -> u64 {
    let mut x = x;
    if sat {
        x = if x > 0.0 { x.min(1.0) } else { 0.0 };
    }
    if relu && x <= 0.0 {
        x = 0.0;
    }
    match ty {
        "f16" => round::round(x, lo, round::F16, mode),
        "bf16" => round::round(x, lo, round::BF16, mode),
        "tf32" => match round::round(x, lo, round::TF32, mode) {
            b if x.is_nan() => b << 13 | 0x1fff,
            b => b << 13,
        },
        "f32" => round::round(x, lo, round::F32, mode),
        _ => {
            if x.is_nan() {
                0x7fff_ffff_ffff_ffff
            } else {
                round::round_f64(x, lo, mode).to_bits()
            }
        }
    }
}

fn to_int(x: f64, bits: u32, signed: bool, mode: Mode) -> u64 {
    if x.is_nan() {
        // as the hardware: the most negative 64-bit integer, zero for narrower ones
        return if bits == 64 { 1 << 63 } else { 0 };
    }
    let v = round::to_integral(x, mode);
    let r = if signed {
        let (lo, hi) = (-(2f64.powi(bits as i32 - 1)), 2f64.powi(bits as i32 - 1));
        if v <= lo {
            (1u64 << (bits - 1)).wrapping_neg()
        } else if v >= hi {
            (1u64 << (bits - 1)) - 1
        } else {
            v as i64 as u64
        }
    } else if v <= 0.0 {
        0
    } else if v >= 2f64.powi(bits as i32) {
        mask(bits)
    } else {
        v as u64
    };
    r & mask(bits)
}

/// An integer, exact as a pair of floats.
fn split(x: i128) -> (f64, f64) {
    let hi = x as f64;
    (hi, (x - hi as i128) as f64)
}

impl Decoder<'_, '_, '_> {
    pub(super) fn convert(&mut self) -> Result<()> {
        self.class(Class::Convert);
        let from = self.ty()?;
        let to = self.ty()?;
        if matches!(to, "f16x2" | "bf16x2") {
            return self.convert_packed(from, to);
        }
        let ftz = self.take("ftz");
        let sat = self.take("sat");
        let relu = self.take("relu");
        let satfinite = self.take("satfinite");
        let mut mode = self.take_any(&ROUNDINGS);
        if self.take("rna") {
            mode = Some(Mode::Rna);
        }
        let integral =
            self.take_any(&[("rni", Mode::Rn), ("rzi", Mode::Rz), ("rmi", Mode::Rm), ("rpi", Mode::Rp)]);
        self.done(2)?;
        let bits_of =
            |t: &str| if t == "tf32" { Some(32) } else { ptx::parser::type_bytes(t).map(|b| b * 8) };
        let (Some(fb), Some(tb)) = (bits_of(from), bits_of(to)) else { return self.unknown() };
        if from.starts_with('b') && from != "bf16" || to.starts_with('b') && to != "bf16" || from == "tf32" {
            return self.unknown();
        }
        if satfinite || relu && !(matches!(to, "f16" | "bf16" | "tf32") && from == "f32") {
            return self.unknown();
        }
        let args = self.args;
        let (d, dbits) = self.relaxed(&args[0], tb)?;
        if is_float(to) && dbits != tb {
            return self.error("a float result in a wider register");
        }
        let float_source = is_float(from);
        let a = match &args[1] {
            Arg::Word(_) if self.register(&args[1])?.is_some() => {
                let (v, have) = self.relaxed(&args[1], fb)?;
                if float_source && have != fb {
                    return self.error("a float operand in a wider register");
                }
                v
            }
            other if float_source => self.float(other, fb)?,
            other => self.value(other, fb)?,
        };
        let a_wide = self.l.values[a as usize].width == Width::Wide;
        let d_wide = self.l.values[d as usize].width == Width::Wide;
        let plain = !ftz && !sat && !relu;
        // the frequent ones have vector loops
        let hot = match (to, from, mode, integral) {
            ("s64", "s32", None, None) if plain && !a_wide => Some(Op::Sext64),
            ("u64" | "s64", "u32", None, None) if plain && !a_wide => Some(Op::Zext64),
            ("u64", "s32", None, None) if plain && !a_wide => Some(Op::Sext64),
            ("u32" | "s32", "u64" | "s64", None, None) if plain && a_wide && !d_wide => Some(Op::Trunc32),
            ("u32" | "s32", "u32" | "s32", None, None) if plain && !a_wide && !d_wide => Some(Op::Mov32),
            ("u32" | "s32", "u16", None, None) if plain && !a_wide && !d_wide => Some(Op::Zext16),
            ("u32" | "s32", "s16", None, None) if plain && !a_wide && !d_wide => Some(Op::Sext16),
            ("u32" | "s32", "u8", None, None) if plain && !a_wide && !d_wide => Some(Op::Zext8),
            ("u16" | "s16", "u32" | "s32", None, None) if plain && !a_wide && dbits == 16 => Some(Op::Zext16),
            ("f32", "s32", Some(Mode::Rn), None) if plain && !a_wide => Some(Op::F32FromS32),
            ("f32", "u32", Some(Mode::Rn), None) if plain && !a_wide => Some(Op::F32FromU32),
            ("s32", "f32", None, Some(Mode::Rz)) if plain && !d_wide => Some(Op::S32FromF32),
            ("u32", "f32", None, Some(Mode::Rz)) if plain && !d_wide => Some(Op::U32FromF32),
            ("f64", "f32", None, None) if plain => Some(Op::F64FromF32),
            ("f32", "f64", Some(Mode::Rn), None) if plain => Some(Op::F32FromF64),
            _ => None,
        };
        if let Some(op) = hot {
            self.emit(op, d, vec![a]);
            return Ok(());
        }
        let (from, to) = (from.to_string(), to.to_string());
        match (float_source, is_float(&to)) {
            (true, true) => {
                let widening = tb > fb || to == from;
                let narrowing = tb < fb || to == "tf32" || (from != to && tb == fb);
                if integral.is_some() && to != from
                    || narrowing && mode.is_none()
                    || widening && mode.is_some() && !(from == "bf16" || to == "tf32")
                    || mode == Some(Mode::Rna) && to != "tf32"
                    || to == "tf32" && from != "f32"
                {
                    return self.unknown();
                }
                let m = mode.unwrap_or(Mode::Rn);
                self.l.emit_scalar(d, vec![a], move |v| {
                    let mut x = read_float(v[0], &from, ftz);
                    if let Some(i) = integral {
                        x = round::to_integral(x, i);
                    }
                    let r = write_float(x, 0.0, &to, m, sat, relu);
                    flush(r, &to, ftz)
                });
            }
            (true, false) => {
                let Some(m) = integral else { return self.unknown() };
                if mode.is_some() {
                    return self.unknown();
                }
                let signed = to.starts_with('s');
                self.l.emit_scalar(d, vec![a], move |v| {
                    let r = to_int(read_float(v[0], &from, ftz), tb, signed, m);
                    extend(r, tb, signed, dbits)
                });
            }
            (false, true) => {
                let Some(m) = mode else { return self.unknown() };
                if integral.is_some() || ftz && to != "f32" || to == "tf32" || m == Mode::Rna {
                    return self.unknown();
                }
                let signed = from.starts_with('s');
                self.l.emit_scalar(d, vec![a], move |v| {
                    let (hi, lo) = split(integer(v[0], fb, signed));
                    write_float(hi, lo, &to, m, sat, false)
                });
            }
            (false, false) => {
                if mode.is_some() || integral.is_some() || ftz {
                    return self.unknown();
                }
                let (fs, ts) = (from.starts_with('s'), to.starts_with('s'));
                self.l.emit_scalar(d, vec![a], move |v| {
                    let mut x = integer(v[0], fb, fs);
                    if sat {
                        let (lo, hi) = if ts {
                            (-(1i128 << (tb - 1)), (1i128 << (tb - 1)) - 1)
                        } else {
                            (0, (1i128 << tb) - 1)
                        };
                        x = x.clamp(lo, hi);
                    }
                    // the source's sign extends it before the target's width cuts it
                    extend(x as u64 & mask(tb), tb, ts, dbits)
                });
            }
        }
        Ok(())
    }
}

fn flush(r: u64, ty: &str, ftz: bool) -> u64 {
    if ftz && ty == "f32" && r & 0x7f80_0000 == 0 { r & 0x8000_0000 } else { r }
}

fn integer(x: u64, bits: u32, signed: bool) -> i128 {
    if signed { i128::from((x << (64 - bits)) as i64 >> (64 - bits)) } else { i128::from(x & mask(bits)) }
}

/// A result in a register that may be wider than its type.
fn extend(x: u64, bits: u32, signed: bool, register: u32) -> u64 {
    let r = if signed { ((x << (64 - bits)) as i64 >> (64 - bits)) as u64 } else { x };
    r & mask(register)
}
