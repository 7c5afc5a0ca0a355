//! Arithmetic of f32 and f64 in all roundings.

use super::arithmetic::ROUNDINGS;
use super::decode::Decoder;
use super::*;
use crate::exec::round::{self, Mode};
use crate::exec::scalar as s;

fn f32_of(x: u64) -> f64 {
    f64::from(f32::from_bits(x as u32))
}

impl Decoder<'_, '_, '_> {
    pub(super) fn float32(&mut self) -> Result<()> {
        let args = self.args;
        let base = self.base;
        let ftz = self.take("ftz");
        let sat = self.take("sat");
        let mode = self.take_any(&ROUNDINGS);
        let approx = self.take("approx");
        let full = self.take("full");
        let nan = self.take("NaN");
        let xorsign = self.take("xorsign");
        let abs_first = xorsign && self.take("abs");
        let n = match base {
            "neg" | "abs" | "sqrt" | "rsqrt" | "rcp" | "ex2" | "lg2" | "sin" | "cos" | "tanh" => 1,
            "fma" | "mad" => 3,
            _ => 2,
        };
        self.class(match base {
            "fma" | "mad" => Class::Fma,
            "sqrt" | "rsqrt" | "rcp" | "ex2" | "lg2" | "sin" | "cos" | "tanh" | "div" => Class::Special,
            "min" | "max" | "testp" => Class::Select,
            _ => Class::F32,
        });
        if base == "testp" {
            let kind = self.take_any(&[
                ("finite", 0),
                ("infinite", 1),
                ("number", 2),
                ("notanumber", 3),
                ("normal", 4),
                ("subnormal", 5),
            ]);
            let Some(kind) = kind else { return self.unknown() };
            self.done(2)?;
            let d = self.pred_result(&args[0])?;
            let a = self.float(&args[1], 32)?;
            self.l.emit_scalar(d, vec![a], move |v| {
                u64::from(s::testp(f32_of(v[0]), kind, f32::from_bits(v[0] as u32).is_subnormal()))
            });
            return Ok(());
        }
        // max and min take three operands on the newest devices: not implemented
        self.done(n + 1)?;
        let d = self.result(&args[0], 32)?;
        let mut v = Vec::new();
        for a in &args[1..] {
            let x = self.float(a, 32)?;
            v.push(if ftz && !matches!(base, "copysign") { self.through(Op::FtzF32, x) } else { x });
        }
        let post = ftz || sat;
        let r = if post { self.l.temp(Width::Line) } else { d };
        let plain = !approx && !full && !nan && !xorsign;
        let rn = matches!(mode, None | Some(Mode::Rn));
        let m = mode.unwrap_or(Mode::Rn);
        match base {
            "add" if plain && rn => self.emit(Op::AddF32, r, v),
            "sub" if plain && rn => self.emit(Op::SubF32, r, v),
            "mul" if plain && rn => self.emit(Op::MulF32, r, v),
            "fma" | "mad" if plain && mode == Some(Mode::Rn) => self.emit(Op::FmaF32, r, v),
            "add" if plain => self.l.emit_scalar(r, v, move |v| {
                let (hi, lo) = round::two_sum(f32_of(v[0]), f32_of(v[1]));
                s::sum_f32(hi, lo, m)
            }),
            "sub" if plain => self.l.emit_scalar(r, v, move |v| {
                let (hi, lo) = round::two_sum(f32_of(v[0]), -f32_of(v[1]));
                s::sum_f32(hi, lo, m)
            }),
            "mul" if plain => self
                .l
                .emit_scalar(r, v, move |v| round::round(f32_of(v[0]) * f32_of(v[1]), 0.0, round::F32, m)),
            "fma" | "mad" if plain && mode.is_some() => self.l.emit_scalar(r, v, move |v| {
                let (hi, lo) = round::fma_exact(f32_of(v[0]), f32_of(v[1]), f32_of(v[2]));
                s::sum_f32(hi, lo, m)
            }),
            "div" if !nan && !xorsign && (approx || full || mode == Some(Mode::Rn)) => {
                self.emit(Op::DivF32, r, v);
            }
            "div" if plain && mode.is_some() => {
                self.l.emit_scalar(r, v, move |v| s::div_f32(v[0] as u32, v[1] as u32, m));
            }
            "rcp" if !full && !nan && !xorsign && (approx || mode == Some(Mode::Rn)) => {
                self.emit(Op::RcpF32, r, v);
            }
            "rcp" if plain && mode.is_some() => {
                self.l.emit_scalar(r, v, move |v| s::div_f32(1f32.to_bits(), v[0] as u32, m));
            }
            "sqrt" if !full && !nan && !xorsign && (approx || mode == Some(Mode::Rn)) => {
                self.emit(Op::SqrtF32, r, v);
            }
            "sqrt" if plain && mode.is_some() => {
                self.l.emit_scalar(r, v, move |v| s::sqrt_f32(v[0] as u32, m));
            }
            "neg" if plain && mode.is_none() => self.emit(Op::NegF32, r, v),
            "abs" if plain && mode.is_none() => self.emit(Op::AbsF32, r, v),
            "rsqrt" if approx && mode.is_none() => self.emit(Op::RsqrtF32, r, v),
            "ex2" if approx && mode.is_none() => self.emit(Op::Ex2F32, r, v),
            "lg2" if approx && mode.is_none() => self.emit(Op::Lg2F32, r, v),
            "sin" if approx && mode.is_none() => {
                self.l.emit_scalar(r, v, |v| u64::from((f32_of(v[0]).sin() as f32).to_bits()));
            }
            "cos" if approx && mode.is_none() => {
                self.l.emit_scalar(r, v, |v| u64::from((f32_of(v[0]).cos() as f32).to_bits()));
            }
            "tanh" if approx && mode.is_none() => {
                self.l.emit_scalar(r, v, |v| u64::from((f32_of(v[0]).tanh() as f32).to_bits()));
            }
            "min" if plain && mode.is_none() => self.emit(Op::MinF32, r, v),
            "max" if plain && mode.is_none() => self.emit(Op::MaxF32, r, v),
            "min" | "max" if mode.is_none() && !approx && !full && (!xorsign || abs_first) => {
                let max = base == "max";
                self.l.emit_scalar(r, v, move |v| {
                    u64::from(s::minmax_f32(v[0] as u32, v[1] as u32, max, nan, xorsign))
                });
            }
            "copysign" if plain && mode.is_none() && !ftz => {
                self.l.emit_scalar(r, v, |v| (v[1] & 0x7fff_ffff) | (v[0] & 0x8000_0000));
            }
            _ => return self.unknown(),
        }
        if post {
            let mut r = r;
            if ftz {
                let t = if sat { self.l.temp(Width::Line) } else { d };
                self.emit(Op::FtzF32, t, vec![r]);
                r = t;
            }
            if sat {
                self.emit(Op::SatF32, d, vec![r]);
            }
        }
        Ok(())
    }

    pub(super) fn float64(&mut self) -> Result<()> {
        let args = self.args;
        let base = self.base;
        let mode = self.take_any(&ROUNDINGS);
        let approx = self.take("approx");
        let _ftz = approx && self.take("ftz");
        self.class(Class::F64);
        if base == "testp" {
            let kind = self.take_any(&[
                ("finite", 0),
                ("infinite", 1),
                ("number", 2),
                ("notanumber", 3),
                ("normal", 4),
                ("subnormal", 5),
            ]);
            let Some(kind) = kind else { return self.unknown() };
            self.done(2)?;
            let d = self.pred_result(&args[0])?;
            let a = self.float(&args[1], 64)?;
            self.l.emit_scalar(d, vec![a], move |v| {
                let x = f64::from_bits(v[0]);
                u64::from(s::testp(x, kind, x.is_subnormal()))
            });
            return Ok(());
        }
        let n = match base {
            "neg" | "abs" | "sqrt" | "rsqrt" | "rcp" => 1,
            "fma" | "mad" => 3,
            "add" | "sub" | "mul" | "div" | "min" | "max" | "copysign" => 2,
            _ => return self.unknown(),
        };
        self.done(n + 1)?;
        let d = self.result(&args[0], 64)?;
        let mut v = Vec::new();
        for a in &args[1..] {
            v.push(self.float(a, 64)?);
        }
        let f = f64::from_bits;
        let rn = matches!(mode, None | Some(Mode::Rn)) && !approx;
        let m = mode.unwrap_or(Mode::Rn);
        match base {
            "add" if rn => self.emit(Op::AddF64, d, v),
            "sub" if rn => self.emit(Op::SubF64, d, v),
            "mul" if rn => self.emit(Op::MulF64, d, v),
            "fma" | "mad" if rn && mode.is_some() => self.emit(Op::FmaF64, d, v),
            "div" if rn && mode.is_some() => self.emit(Op::DivF64, d, v),
            "sqrt" if rn && mode.is_some() => self.emit(Op::SqrtF64, d, v),
            "rcp" if rn && mode.is_some() => self.emit(Op::RcpF64, d, v),
            "rcp" if approx => self.emit(Op::RcpF64, d, v),
            "rsqrt" if approx => self.l.emit_scalar(d, v, move |v| (1.0 / f(v[0]).sqrt()).to_bits()),
            "add" if !approx => self.l.emit_scalar(d, v, move |v| {
                let (hi, lo) = round::two_sum(f(v[0]), f(v[1]));
                round::round_f64(hi, lo, m).to_bits()
            }),
            "sub" if !approx => self.l.emit_scalar(d, v, move |v| {
                let (hi, lo) = round::two_sum(f(v[0]), -f(v[1]));
                round::round_f64(hi, lo, m).to_bits()
            }),
            "mul" if !approx => self.l.emit_scalar(d, v, move |v| {
                let p = f(v[0]) * f(v[1]);
                round::round_f64(p, f(v[0]).mul_add(f(v[1]), -p), m).to_bits()
            }),
            "neg" if mode.is_none() && !approx => self.emit(Op::NegF64, d, v),
            "abs" if mode.is_none() && !approx => self.emit(Op::AbsF64, d, v),
            "min" | "max" if mode.is_none() && !approx => {
                let max = base == "max";
                self.l.emit_scalar(d, v, move |v| s::minmax_f64(v[0], v[1], max));
            }
            "copysign" if mode.is_none() && !approx => {
                self.l.emit_scalar(d, v, |v| (v[1] & !(1 << 63)) | (v[0] & 1 << 63));
            }
            _ => return self.unknown(),
        }
        Ok(())
    }
}
