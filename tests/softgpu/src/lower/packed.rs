//! Arithmetic of half precision, one or two to a register, and of pairs of f32.
//!
//! A result is the exact one rounded once: sums and products of halves are exact in f64, and what a fused
//! multiply-add loses there is kept beside it.

use super::arithmetic::ROUNDINGS;
use super::decode::Decoder;
use super::*;
use crate::exec::round::{self, BF16, F16, Format, Mode};

fn widen(h: u64, bf: bool) -> f64 {
    let h = h as u16;
    f64::from(if bf { round::bf16_to_f32(h) } else { round::f16_to_f32(h) })
}

fn format(bf: bool) -> Format {
    if bf { BF16 } else { F16 }
}

/// `f` of each half of packed operands.
fn halves(v: [u64; 4], packed: bool, f: impl Fn([u64; 4]) -> u64) -> u64 {
    let lo = f(v.map(|x| x & 0xffff)) & 0xffff;
    if packed { lo | (f(v.map(|x| x >> 16 & 0xffff)) & 0xffff) << 16 } else { lo }
}

fn flush(h: u64, bf: bool) -> u64 {
    let exponent = if bf { 0x7f80 } else { 0x7c00 };
    if h & exponent == 0 { h & 0x8000 } else { h }
}

/// Minimum or maximum of two halves, which are returned as they are.
fn minmax(a: u64, b: u64, bf: bool, max: bool, nan: bool) -> u64 {
    let (x, y) = (widen(a, bf), widen(b, bf));
    if x.is_nan() && y.is_nan() || nan && (x.is_nan() || y.is_nan()) {
        0x7fff
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

fn compares(cmp: &str) -> Option<fn(f64, f64) -> bool> {
    Some(match cmp {
        "eq" => |a, b| a == b,
        "ne" => |a, b| a != b && !a.is_nan() && !b.is_nan(),
        "lt" => |a, b| a < b,
        "le" => |a, b| a <= b,
        "gt" => |a, b| a > b,
        "ge" => |a, b| a >= b,
        "equ" => |a, b| a == b || a.is_nan() || b.is_nan(),
        "neu" => |a, b| a != b,
        "ltu" => |a, b| a < b || a.is_nan() || b.is_nan(),
        "leu" => |a, b| a <= b || a.is_nan() || b.is_nan(),
        "gtu" => |a, b| a > b || a.is_nan() || b.is_nan(),
        "geu" => |a, b| a >= b || a.is_nan() || b.is_nan(),
        "num" => |a, b| !a.is_nan() && !b.is_nan(),
        "nan" => |a, b| a.is_nan() || b.is_nan(),
        _ => return None,
    })
}

impl Decoder<'_, '_, '_> {
    pub(super) fn widen_half(&mut self, a: V, ty: &str) -> V {
        let t = self.l.temp(Width::Line);
        let bf = ty == "bf16";
        self.l.emit_scalar(t, vec![a], move |v| u64::from((widen(v[0], bf) as f32).to_bits()));
        t
    }

    /// `setp` of two halves: a predicate for each.
    pub(super) fn setp_packed(&mut self, cmp: &str, ty: &str, combine: Option<Op>) -> Result<()> {
        let bf = ty == "bf16x2";
        let Some(f) = compares(cmp) else { return self.unknown() };
        self.done(if combine.is_some() { 4 } else { 3 })?;
        let args = self.args;
        let Arg::Pair(p, q) = &args[0] else { return self.error("the result is no pair of predicates") };
        let (p, q) = (self.pred_result(p)?, self.pred_result(q)?);
        let v = vec![self.value(&args[1], 32)?, self.value(&args[2], 32)?];
        let (t, u) = (self.l.temp(Width::Pred), self.l.temp(Width::Pred));
        self.l.emit_scalar(t, v.clone(), move |v| u64::from(f(widen(v[0], bf), widen(v[1], bf))));
        self.l.emit_scalar(u, v, move |v| u64::from(f(widen(v[0] >> 16, bf), widen(v[1] >> 16, bf))));
        match combine {
            Some(op) => {
                let c = self.pred(&args[3])?;
                let keep = self.l.temp(Width::Pred);
                self.emit(Op::PredMov, keep, vec![c]);
                self.emit(op, p, vec![t, keep]);
                self.emit(op, q, vec![u, keep]);
            }
            None => {
                self.emit(Op::PredMov, p, vec![t]);
                self.emit(Op::PredMov, q, vec![u]);
            }
        }
        Ok(())
    }

    pub(super) fn set_packed(&mut self, cmp: &str, ty: &str, dty: &str, combine: bool) -> Result<()> {
        let bf = ty == "bf16x2";
        let Some(f) = compares(cmp) else { return self.unknown() };
        let one = match dty {
            "f16x2" => 0x3c00,
            "bf16x2" => 0x3f80,
            "u32" | "s32" => 0xffff,
            _ => return self.unknown(),
        };
        if combine {
            return self.unknown();
        }
        self.done(3)?;
        let args = self.args;
        let d = self.result(&args[0], 32)?;
        let v = vec![self.value(&args[1], 32)?, self.value(&args[2], 32)?];
        self.l.emit_scalar(d, v, move |v| {
            halves(v, true, |h| if f(widen(h[0], bf), widen(h[1], bf)) { one } else { 0 })
        });
        Ok(())
    }

    pub(super) fn half_arithmetic(&mut self, ty: &str) -> Result<()> {
        let bf = ty.starts_with('b');
        let packed = ty.ends_with("x2");
        let bits = if packed { 32 } else { 16 };
        let args = self.args;
        let base = self.base;
        let ftz = self.take("ftz");
        let sat = self.take("sat");
        let relu = self.take("relu");
        let rn = self.take("rn");
        let nan = self.take("NaN");
        let approx = self.take("approx");
        self.class(match base {
            "tanh" | "ex2" => Class::Special,
            "min" | "max" => Class::Select,
            _ => Class::F32,
        });
        let n = match base {
            "neg" | "abs" | "tanh" | "ex2" => 1,
            "fma" => 3,
            "add" | "sub" | "mul" | "min" | "max" => 2,
            _ => return self.unknown(),
        };
        let fits = match base {
            "add" | "sub" | "mul" => !nan && !approx && !relu && !(bf && (ftz || sat)),
            "fma" => rn && !nan && !approx && !(bf && (ftz || sat)) && !(sat && relu),
            "min" | "max" => !rn && !approx && !sat && !relu,
            "neg" | "abs" => !rn && !nan && !approx && !sat && !relu,
            _ => approx && !rn && !nan && !sat && !relu,
        };
        if !fits {
            return self.unknown();
        }
        self.done(n + 1)?;
        let d = self.result(&args[0], bits)?;
        let mut v = Vec::new();
        for a in &args[1..] {
            v.push(self.value(a, bits)?);
        }
        let base = base.to_string();
        self.l.emit_scalar(d, v, move |v| {
            halves(v, packed, |h| {
                let h = if ftz { h.map(|x| flush(x, bf)) } else { h };
                let (x, y, z) = (widen(h[0], bf), widen(h[1], bf), widen(h[2], bf));
                let (hi, lo) = match base.as_str() {
                    "neg" => return h[0] ^ 0x8000,
                    "abs" => return h[0] & 0x7fff,
                    "min" => return minmax(h[0], h[1], bf, false, nan),
                    "max" => return minmax(h[0], h[1], bf, true, nan),
                    "add" => round::two_sum(x, y),
                    "sub" => round::two_sum(x, -y),
                    "mul" => (x * y, 0.0),
                    "fma" => round::fma_exact(x, y, z),
                    "tanh" => (x.tanh(), 0.0),
                    _ => (x.exp2(), 0.0),
                };
                let mut r = round::round(hi, lo, format(bf), Mode::Rn);
                if ftz {
                    r = flush(r, bf);
                }
                let value = widen(r, bf);
                if sat {
                    if value > 1.0 {
                        r = 0x3c00;
                    } else if value.is_nan() || value <= 0.0 {
                        r = 0;
                    }
                }
                if relu && value <= 0.0 {
                    r = 0;
                }
                r
            })
        });
        Ok(())
    }

    /// Two floats in a 64-bit register: add, sub, mul, fma of sm_100.
    pub(super) fn float32x2(&mut self) -> Result<()> {
        let args = self.args;
        let base = self.base;
        let ftz = self.take("ftz");
        let mode = self.take_any(&ROUNDINGS).unwrap_or(Mode::Rn);
        if self.l.cx.sm < 100 {
            return self.error("needs sm_100");
        }
        self.class(if base == "fma" { Class::Fma } else { Class::F32 });
        let n = match base {
            "add" | "sub" | "mul" => 2,
            "fma" => 3,
            _ => return self.unknown(),
        };
        if ftz || mode != Mode::Rn {
            return self.unknown();
        }
        self.done(n + 1)?;
        let d = self.result(&args[0], 64)?;
        let mut v = Vec::new();
        for a in &args[1..] {
            v.push(self.value(a, 64)?);
        }
        let base = base.to_string();
        self.l.emit_scalar(d, v, move |v| {
            let one = |s: u32| {
                let f = |i: usize| f32::from_bits((v[i] >> s) as u32);
                let r = match base.as_str() {
                    "add" => f(0) + f(1),
                    "sub" => f(0) - f(1),
                    "mul" => f(0) * f(1),
                    _ => f(0).mul_add(f(1), f(2)),
                };
                u64::from(r.to_bits())
            };
            one(0) | one(32) << 32
        });
        Ok(())
    }

    /// `cvt.rn.f16x2.f32 d, a, b`: `a` becomes the upper half.
    pub(super) fn convert_packed(&mut self, from: &str, to: &str) -> Result<()> {
        let bf = to == "bf16x2";
        let relu = self.take("relu");
        let mode = self.take_any(&[("rn", Mode::Rn), ("rz", Mode::Rz)]);
        let Some(mode) = mode else { return self.unknown() };
        if from != "f32" {
            return self.unknown();
        }
        self.done(3)?;
        let args = self.args;
        let d = self.result(&args[0], 32)?;
        let v = vec![self.float(&args[1], 32)?, self.float(&args[2], 32)?];
        self.l.emit_scalar(d, v, move |v| {
            let one = |x: u64| {
                let x = f64::from(f32::from_bits(x as u32));
                let x = if relu && x <= 0.0 { 0.0 } else { x };
                round::round(x, 0.0, format(bf), mode)
            };
            one(v[0]) << 16 | one(v[1])
        });
        Ok(())
    }
}
