//! Arithmetic, logic, comparison and selection on registers.

use super::decode::Decoder;
use super::*;
use crate::exec::round::Mode;
use crate::exec::scalar as s;

pub(super) const ROUNDINGS: [(&str, Mode); 4] =
    [("rn", Mode::Rn), ("rz", Mode::Rz), ("rm", Mode::Rm), ("rp", Mode::Rp)];

/// The operation of this table for integers: (mnemonic, 32 bits signed?, op).
fn int_op(base: &str, ty: &str) -> Option<Op> {
    Some(match (base, ty) {
        ("add", "s32" | "u32") => Op::Add32,
        ("sub", "s32" | "u32") => Op::Sub32,
        ("add", "s64" | "u64") => Op::Add64,
        ("sub", "s64" | "u64") => Op::Sub64,
        ("add", "s16" | "u16") => Op::Add16,
        ("sub", "s16" | "u16") => Op::Sub16,
        ("div", "u32") => Op::DivU32,
        ("div", "s32") => Op::DivS32,
        ("rem", "u32") => Op::RemU32,
        ("rem", "s32") => Op::RemS32,
        ("min", "s32") => Op::MinS32,
        ("max", "s32") => Op::MaxS32,
        ("min", "u32") => Op::MinU32,
        ("max", "u32") => Op::MaxU32,
        ("min", "s64") => Op::MinS64,
        ("max", "s64") => Op::MaxS64,
        ("min", "u64") => Op::MinU64,
        ("max", "u64") => Op::MaxU64,
        ("and", "b32") => Op::And32,
        ("or", "b32") => Op::Or32,
        ("xor", "b32") => Op::Xor32,
        ("and", "b64") => Op::And64,
        ("or", "b64") => Op::Or64,
        ("xor", "b64") => Op::Xor64,
        ("and", "b16") => Op::And32,
        ("or", "b16") => Op::Or32,
        ("xor", "b16") => Op::Xor32,
        _ => return None,
    })
}

impl Decoder<'_, '_, '_> {
    pub(super) fn arithmetic(&mut self) -> Result<()> {
        let args = self.args;
        match self.base {
            "mov" => self.mov(),
            "setp" => self.setp(),
            "set" => self.set(),
            "selp" => {
                self.class(Class::Select);
                let ty = self.ty()?;
                let bits = self.bits(ty)?;
                self.done(4)?;
                let d = self.result(&args[0], bits)?;
                let (a, b) = (self.any(&args[1], ty)?, self.any(&args[2], ty)?);
                let p = self.pred(&args[3])?;
                let op = if bits == 64 { Op::Select64 } else { Op::Select32 };
                self.emit(op, d, vec![a, b, p]);
                Ok(())
            }
            "slct" => self.slct(),
            "add" | "sub" | "mul" | "mad" | "fma" | "div" | "min" | "max" | "neg" | "abs" | "sqrt"
            | "rsqrt" | "rcp" | "ex2" | "lg2" | "sin" | "cos" | "tanh" | "testp" | "copysign" | "addc"
            | "subc" | "madc" | "rem" => self.number(),
            "and" | "or" | "xor" | "not" | "cnot" | "shl" | "shr" | "lop3" | "shf" => self.logic(),
            "mul24" | "mad24" | "sad" | "popc" | "clz" | "bfind" | "fns" | "brev" | "bfe" | "bfi"
            | "prmt" | "dp4a" | "dp2a" | "bmsk" | "szext" => self.bit_fields(),
            _ => self.unknown(),
        }
    }

    /// An operand of a type, float or not.
    pub(super) fn any(&mut self, arg: &Arg, ty: &str) -> Result<V> {
        let bits = self.bits(ty)?;
        if matches!(ty, "f32" | "f64") { self.float(arg, bits) } else { self.value(arg, bits) }
    }

    fn mov(&mut self) -> Result<()> {
        self.class(Class::Select);
        let ty = self.ty()?;
        let args = self.args;
        self.done(2)?;
        if ty == "pred" {
            let d = self.pred_result(&args[0])?;
            let p = self.pred(&args[1])?;
            self.emit(Op::PredMov, d, vec![p]);
            return Ok(());
        }
        let bits = self.bits(ty)?;
        if let Arg::Vector(parts) = &args[1] {
            return self.pack(&args[0], parts, bits);
        }
        if let Arg::Vector(parts) = &args[0] {
            return self.unpack(parts, &args[1], bits);
        }
        if let Arg::Word(name) = &args[1] {
            let clock = match name.as_str() {
                "%clock" | "%clock_hi" => Some(Op::Clock32),
                "%clock64" => Some(Op::Clock64),
                "%globaltimer" => Some(Op::GlobalTimer),
                "%globaltimer_lo" => Some(Op::Clock32),
                _ => None,
            };
            if let Some(op) = clock {
                self.class(Class::Other);
                let d = self.result(&args[0], bits)?;
                if (op == Op::Clock32) != (bits == 32) {
                    return self.error("the special register has another width");
                }
                self.emit(op, d, vec![]);
                return Ok(());
            }
        }
        let d = self.result(&args[0], bits)?;
        let a = self.any(&args[1], ty)?;
        self.emit(if bits == 64 { Op::Mov64 } else { Op::Mov32 }, d, vec![a]);
        Ok(())
    }

    fn pack(&mut self, d: &Arg, parts: &[Arg], bits: u32) -> Result<()> {
        let each = bits / parts.len() as u32;
        if !matches!(parts.len(), 2 | 4) || each < 8 {
            return self.unknown();
        }
        let d = self.result(d, bits)?;
        let mut uses = Vec::new();
        for p in parts {
            uses.push(if each == 8 { self.relaxed(p, 8)?.0 } else { self.value(p, each)? });
        }
        let n = parts.len();
        self.l.emit_scalar(d, uses, move |v| {
            (0..n).map(|i| (v[i] & ((1u64 << each) - 1)) << (i as u32 * each)).sum()
        });
        Ok(())
    }

    fn unpack(&mut self, parts: &[Arg], a: &Arg, bits: u32) -> Result<()> {
        let each = bits / parts.len() as u32;
        if !matches!(parts.len(), 2 | 4) || each < 8 {
            return self.unknown();
        }
        let a = self.value(a, bits)?;
        let mut ds = Vec::new();
        for p in parts {
            ds.push(if each == 8 { self.relaxed(p, 8)?.0 } else { self.result(p, each)? });
        }
        // the source may be one of the results: all parts go through temporaries but the last
        let mut temps = Vec::new();
        for i in 0..ds.len() {
            let t = self.l.temp(if each == 64 { Width::Wide } else { Width::Line });
            self.l.emit_scalar(t, vec![a], move |v| v[0] >> (i as u32 * each) & ((1u64 << each) - 1));
            temps.push(t);
        }
        for (d, t) in ds.into_iter().zip(temps) {
            self.emit(Op::Mov32, d, vec![t]);
        }
        Ok(())
    }

    fn compare_op(&mut self, cmp: &str, ty: &str) -> Option<Op> {
        let cmp = match cmp {
            "lo" => "lt",
            "ls" => "le",
            "hi" => "gt",
            "hs" => "ge",
            c => c,
        };
        macro_rules! table {
            ($($c:literal: $u32:ident $s32:ident $u64:ident $s64:ident $f32:ident $f64:ident;)*) => {
                match (cmp, ty) {
                    $(($c, "u32" | "b32" | "u16" | "b16") => Some(Op::$u32), ($c, "s32" | "s16") => Some(Op::$s32),
                      ($c, "u64" | "b64") => Some(Op::$u64), ($c, "s64") => Some(Op::$s64),
                      ($c, "f32" | "f16" | "bf16") => Some(Op::$f32), ($c, "f64") => Some(Op::$f64),)*
                    _ => None,
                }
            };
        }
        table!(
            "eq": SetEqU32 SetEqU32 SetEqU64 SetEqU64 SetEqF32 SetEqF64;
            "ne": SetNeU32 SetNeU32 SetNeU64 SetNeU64 SetNeF32 SetNeF64;
            "lt": SetLtU32 SetLtS32 SetLtU64 SetLtS64 SetLtF32 SetLtF64;
            "le": SetLeU32 SetLeS32 SetLeU64 SetLeS64 SetLeF32 SetLeF64;
            "gt": SetGtU32 SetGtS32 SetGtU64 SetGtS64 SetGtF32 SetGtF64;
            "ge": SetGeU32 SetGeS32 SetGeU64 SetGeS64 SetGeF32 SetGeF64;
        )
        .or_else(|| {
            let f64_ = match ty {
                "f64" => true,
                "f32" | "f16" | "bf16" => false,
                _ => return None,
            };
            Some(match (cmp, f64_) {
                ("equ", false) => Op::SetEquF32,
                ("neu", false) => Op::SetNeuF32,
                ("ltu", false) => Op::SetLtuF32,
                ("leu", false) => Op::SetLeuF32,
                ("gtu", false) => Op::SetGtuF32,
                ("geu", false) => Op::SetGeuF32,
                ("num", false) => Op::SetNumF32,
                ("nan", false) => Op::SetNanF32,
                ("equ", true) => Op::SetEquF64,
                ("neu", true) => Op::SetNeuF64,
                ("ltu", true) => Op::SetLtuF64,
                ("leu", true) => Op::SetLeuF64,
                ("gtu", true) => Op::SetGtuF64,
                ("geu", true) => Op::SetGeuF64,
                ("num", true) => Op::SetNumF64,
                ("nan", true) => Op::SetNanF64,
                _ => return None,
            })
        })
    }

    /// The comparison of a setp or set into a new predicate.
    fn compare(&mut self, a: &Arg, b: &Arg, cmp: &str, ty: &str, ftz: bool) -> Result<V> {
        let Some(op) = self.compare_op(cmp, ty) else { return self.unknown() };
        let (mut a, mut b) = (self.any(a, ty)?, self.any(b, ty)?);
        match ty {
            "s16" => {
                a = self.through(Op::Sext16, a);
                b = self.through(Op::Sext16, b);
            }
            "f16" | "bf16" => {
                a = self.widen_half(a, ty);
                b = self.widen_half(b, ty);
            }
            "f32" if ftz => {
                a = self.through(Op::FtzF32, a);
                b = self.through(Op::FtzF32, b);
            }
            _ => {}
        }
        let t = self.l.temp(Width::Pred);
        self.emit(op, t, vec![a, b]);
        Ok(t)
    }

    /// `op` of a value, in a new one.
    pub(super) fn through(&mut self, op: Op, a: V) -> V {
        let t = self.l.temp(Width::Line);
        self.emit(op, t, vec![a]);
        t
    }

    fn setp(&mut self) -> Result<()> {
        self.class(Class::Select);
        let ty = self.ty()?;
        let Some(cmp) = self.next_mod() else { return self.unknown() };
        let ftz = self.take("ftz");
        let combine = self.take_any(&[("and", Op::PredAnd), ("or", Op::PredOr), ("xor", Op::PredXor)]);
        if matches!(ty, "f16x2" | "bf16x2") {
            return self.setp_packed(cmp, ty, combine);
        }
        self.done(if combine.is_some() { 4 } else { 3 })?;
        let args = self.args;
        let t = self.compare(&args[1], &args[2], cmp, ty, ftz)?;
        let (p, q) = match &args[0] {
            Arg::Pair(p, q) => (self.pred_result(p)?, Some(self.pred_result(q)?)),
            p => (self.pred_result(p)?, None),
        };
        match combine {
            None => {
                if let Some(q) = q {
                    self.emit(Op::PredNot, q, vec![t]);
                }
                // the comparison writes its predicate directly where it can
                match (q, self.l.insts.last_mut()) {
                    (None, Some(last)) if last.defs == [t] => last.defs[0] = p,
                    _ => self.emit(Op::PredMov, p, vec![t]),
                }
            }
            Some(op) => {
                let c = self.pred(&args[3])?;
                if let Some(q) = q {
                    let n = self.l.temp(Width::Pred);
                    self.emit(Op::PredNot, n, vec![t]);
                    let r = self.l.temp(Width::Pred);
                    self.emit(op, r, vec![t, c]);
                    self.emit(op, q, vec![n, c]);
                    self.emit(Op::PredMov, p, vec![r]);
                } else {
                    self.emit(op, p, vec![t, c]);
                }
            }
        }
        Ok(())
    }

    fn set(&mut self) -> Result<()> {
        self.class(Class::Select);
        let ty = self.ty()?;
        let dty = self.ty()?;
        let Some(cmp) = self.next_mod() else { return self.unknown() };
        let ftz = self.take("ftz");
        let combine = self.take_any(&[("and", Op::PredAnd), ("or", Op::PredOr), ("xor", Op::PredXor)]);
        if matches!(ty, "f16x2" | "bf16x2") {
            return self.set_packed(cmp, ty, dty, combine.is_some());
        }
        let ones = match dty {
            "u32" | "s32" => u64::from(u32::MAX),
            "f32" => u64::from(1f32.to_bits()),
            "f16" => 0x3c00,
            "bf16" => 0x3f80,
            "u16" | "s16" => 0xffff,
            _ => return self.unknown(),
        };
        self.done(if combine.is_some() { 4 } else { 3 })?;
        let args = self.args;
        let mut t = self.compare(&args[1], &args[2], cmp, ty, ftz)?;
        if let Some(op) = combine {
            let c = self.pred(&args[3])?;
            let r = self.l.temp(Width::Pred);
            self.emit(op, r, vec![t, c]);
            t = r;
        }
        let bits = self.bits(dty)?;
        let d = self.result(&args[0], bits)?;
        let (one, zero) = (self.l.constant(ones, Width::Line), self.l.constant(0, Width::Line));
        self.emit(Op::Select32, d, vec![one, zero, t]);
        Ok(())
    }

    fn slct(&mut self) -> Result<()> {
        self.class(Class::Select);
        let ctype = self.ty()?;
        let ty = self.ty()?;
        let ftz = self.take("ftz");
        self.done(4)?;
        let args = self.args;
        let bits = self.bits(ty)?;
        let d = self.result(&args[0], bits)?;
        let (a, b) = (self.any(&args[1], ty)?, self.any(&args[2], ty)?);
        let mut c = self.any(&args[3], ctype)?;
        let zero = self.l.constant(0, Width::Line);
        let t = self.l.temp(Width::Pred);
        match ctype {
            "s32" => self.emit(Op::SetGeS32, t, vec![c, zero]),
            "f32" => {
                if ftz {
                    c = self.through(Op::FtzF32, c);
                }
                self.emit(Op::SetGeF32, t, vec![c, zero]);
            }
            _ => return self.unknown(),
        }
        self.emit(if bits == 64 { Op::Select64 } else { Op::Select32 }, d, vec![a, b, t]);
        Ok(())
    }

    fn number(&mut self) -> Result<()> {
        let ty = self.ty()?;
        match ty {
            "f32" => self.float32(),
            "f64" => self.float64(),
            "f16" | "bf16" | "f16x2" | "bf16x2" => self.half_arithmetic(ty),
            "f32x2" => self.float32x2(),
            _ => self.integer(ty),
        }
    }

    fn integer(&mut self, ty: &str) -> Result<()> {
        self.class(Class::Integer);
        let bits = self.bits(ty)?;
        let signed = ty.starts_with('s');
        if !matches!(bits, 16 | 32 | 64) || ty.starts_with('b') {
            return self.unknown();
        }
        let args = self.args;
        let base = self.base;
        if self.take("cc") || matches!(base, "addc" | "subc" | "madc") {
            return self.carry(bits, signed);
        }
        match base {
            "add" | "sub" | "div" | "rem" | "min" | "max" => {
                let sat = self.take("sat");
                self.done(3)?;
                let d = self.result(&args[0], bits)?;
                let v = vec![self.value(&args[1], bits)?, self.value(&args[2], bits)?];
                if sat {
                    if ty != "s32" || !matches!(base, "add" | "sub") {
                        return self.unknown();
                    }
                    let add = base == "add";
                    self.l.emit_scalar(d, v, move |v| {
                        let (a, b) = (v[0] as i32, v[1] as i32);
                        u64::from((if add { a.saturating_add(b) } else { a.saturating_sub(b) }) as u32)
                    });
                    return Ok(());
                }
                if let Some(op) = int_op(base, ty) {
                    self.emit(op, d, v);
                    return Ok(());
                }
                let f = s::int_binary(base, bits, signed);
                let Some(f) = f else { return self.unknown() };
                self.l.emit_scalar(d, v, move |v| f(v[0], v[1]));
                Ok(())
            }
            "neg" | "abs" => {
                self.done(2)?;
                if !signed {
                    return self.unknown();
                }
                let d = self.result(&args[0], bits)?;
                let v = vec![self.value(&args[1], bits)?];
                let abs = base == "abs";
                match (abs, bits) {
                    (false, 32) => self.emit(Op::Neg32, d, v),
                    (true, 32) => self.emit(Op::AbsS32, d, v),
                    (false, 64) => self.emit(Op::Neg64, d, v),
                    (true, 64) => self.emit(Op::AbsS64, d, v),
                    _ => self.l.emit_scalar(d, v, move |v| {
                        let x = v[0] as i16;
                        u64::from((if abs { x.wrapping_abs() } else { x.wrapping_neg() }) as u16)
                    }),
                }
                Ok(())
            }
            "mul" | "mad" => {
                let wide = self.take("wide");
                let hi = self.take("hi");
                let lo = self.take("lo");
                let sat = self.take("sat");
                let mad = base == "mad";
                self.done(if mad { 4 } else { 3 })?;
                if u8::from(wide) + u8::from(hi) + u8::from(lo) != 1 || sat {
                    return self.unknown();
                }
                let dbits = if wide { bits * 2 } else { bits };
                if dbits > 64 {
                    return self.unknown();
                }
                let d = self.result(&args[0], dbits)?;
                let mut v = vec![self.value(&args[1], bits)?, self.value(&args[2], bits)?];
                if mad {
                    v.push(self.value(&args[3], dbits)?);
                }
                let op = match (wide, hi, bits, mad) {
                    (false, false, 32, false) => Some(Op::Mul32),
                    (false, false, 32, true) => Some(Op::Mad32),
                    (false, false, 64, false) => Some(Op::Mul64),
                    (false, false, 64, true) => Some(Op::Mad64),
                    (false, false, 16, false) => Some(Op::Mul16),
                    (false, true, 32, false) if signed => Some(Op::MulHiS32),
                    (false, true, 32, false) => Some(Op::MulHiU32),
                    (true, false, 32, false) if signed => Some(Op::MulWideS),
                    (true, false, 32, false) => Some(Op::MulWideU),
                    (true, false, 32, true) if signed => Some(Op::MadWideS),
                    (true, false, 32, true) => Some(Op::MadWideU),
                    _ => None,
                };
                if let Some(op) = op {
                    self.emit(op, d, v);
                    return Ok(());
                }
                self.l.emit_scalar(d, v, move |v| {
                    let p = s::product(v[0], v[1], bits, signed);
                    let p = if hi { (p >> bits) as u64 } else { p as u64 };
                    let r = if mad { p.wrapping_add(v[2]) } else { p };
                    if dbits == 64 { r } else { r & ((1 << dbits) - 1) }
                });
                Ok(())
            }
            _ => self.unknown(),
        }
    }

    /// `add.cc`, `addc`, …: the carry flag is a predicate of its own, one for each function.
    fn carry(&mut self, bits: u32, signed: bool) -> Result<()> {
        let args = self.args;
        let base = self.base;
        let _ = signed;
        let out = self.full.split('.').any(|m| m == "cc");
        self.take("cc");
        let into = matches!(base, "addc" | "subc" | "madc");
        let hi = self.take("hi");
        let lo = self.take("lo");
        if bits == 16 {
            return self.unknown();
        }
        let mad = matches!(base, "mad" | "madc");
        if mad != (hi || lo) {
            return self.unknown();
        }
        self.done(if mad { 4 } else { 3 })?;
        let cc = match self.l.lookup("%carry flag") {
            Some(Name::Register(v)) => v,
            _ => {
                let v = self.l.new_value(Source_::Register, Width::Pred, 1, "the carry flag".into());
                self.l.scopes[0].names.insert("%carry flag".into(), Name::Register(v));
                v
            }
        };
        let d = self.result(&args[0], bits)?;
        let (mut a, mut b) = (self.value(&args[1], bits)?, self.value(&args[2], bits)?);
        let width = if bits == 64 { Width::Wide } else { Width::Line };
        if mad {
            let c = self.value(&args[3], bits)?;
            let p = self.l.temp(width);
            self.l.emit_scalar(p, vec![a, b], move |v| {
                let p = s::product(v[0], v[1], bits, signed);
                (if hi { (p >> bits) as u64 } else { p as u64 }) & s::mask(bits)
            });
            (a, b) = (p, c);
        }
        let sub = matches!(base, "sub" | "subc");
        // the carry as a number, before the result may overwrite what it was made from
        let cin = self.l.temp(Width::Line);
        let (one, zero) = (self.l.constant(1, Width::Line), self.l.constant(0, Width::Line));
        if into {
            self.emit(Op::Select32, cin, vec![one, zero, cc]);
        } else {
            self.emit(Op::Mov32, cin, vec![zero]);
        }
        let sum = move |v: [u64; 4]| -> u128 {
            let (a, b, c) = (u128::from(v[0]), u128::from(v[1]), u128::from(v[2]));
            let m = u128::from(s::mask(bits));
            if sub { (a + (1u128 << bits) - b - c) & (m << 1 | 1) } else { a + b + c }
        };
        let r = self.l.temp(width);
        self.l.emit_scalar(r, vec![a, b, cin], move |v| sum(v) as u64 & s::mask(bits));
        if out {
            // a borrow leaves the bit above clear
            self.l.emit_scalar(cc, vec![a, b, cin], move |v| u64::from((sum(v) >> bits & 1 == 1) != sub));
        }
        self.emit(if bits == 64 { Op::Mov64 } else { Op::Mov32 }, d, vec![r]);
        Ok(())
    }

    fn logic(&mut self) -> Result<()> {
        self.class(Class::Integer);
        let args = self.args;
        let base = self.base;
        if base == "shf" {
            let left = self.take("l");
            let right = self.take("r");
            let clamp = self.take("clamp");
            let wrap = self.take("wrap");
            let ty = self.ty()?;
            self.done(4)?;
            if ty != "b32" || left == right || clamp == wrap {
                return self.unknown();
            }
            let d = self.result(&args[0], 32)?;
            let v = vec![self.value(&args[1], 32)?, self.value(&args[2], 32)?, self.value(&args[3], 32)?];
            if clamp {
                self.l.emit_scalar(d, v, move |v| s::shf(v[0], v[1], v[2] as u32, left, clamp));
            } else {
                self.emit(if left { Op::ShfLeft } else { Op::ShfRight }, d, v);
            }
            return Ok(());
        }
        let ty = self.ty()?;
        if ty == "pred" {
            let op = match base {
                "and" => Op::PredAnd,
                "or" => Op::PredOr,
                "xor" => Op::PredXor,
                "not" => Op::PredNot,
                _ => return self.unknown(),
            };
            self.done(if base == "not" { 2 } else { 3 })?;
            let mut v = vec![self.pred(&args[1])?];
            if base != "not" {
                v.push(self.pred(&args[2])?);
            }
            let d = self.pred_result(&args[0])?;
            self.emit(op, d, v);
            return Ok(());
        }
        let bits = self.bits(ty)?;
        if bits == 8 {
            return self.unknown();
        }
        match base {
            "and" | "or" | "xor" => {
                self.done(3)?;
                let Some(op) = int_op(base, ty) else { return self.unknown() };
                let d = self.result(&args[0], bits)?;
                let v = vec![self.value(&args[1], bits)?, self.value(&args[2], bits)?];
                self.emit(op, d, v);
            }
            "not" | "cnot" if ty.starts_with('b') => {
                self.done(2)?;
                let d = self.result(&args[0], bits)?;
                let v = vec![self.value(&args[1], bits)?];
                match (base, bits) {
                    ("not", 32) => self.emit(Op::Not32, d, v),
                    ("not", 64) => self.emit(Op::Not64, d, v),
                    ("not", _) => self.l.emit_scalar(d, v, move |v| !v[0] & s::mask(bits)),
                    _ => self.l.emit_scalar(d, v, |v| u64::from(v[0] == 0)),
                }
            }
            "shl" | "shr" => {
                self.done(3)?;
                if base == "shl" && !ty.starts_with('b') {
                    return self.unknown();
                }
                let d = self.result(&args[0], bits)?;
                let a = self.value(&args[1], bits)?;
                let b = self.value(&args[2], 32)?;
                let signed = ty.starts_with('s');
                match (base, bits, signed) {
                    ("shl", 32, _) => self.emit(Op::Shl32, d, vec![a, b]),
                    ("shl", 64, _) => self.emit(Op::Shl64, d, vec![a, b]),
                    ("shr", 32, false) => self.emit(Op::ShrU32, d, vec![a, b]),
                    ("shr", 64, false) => self.emit(Op::ShrU64, d, vec![a, b]),
                    ("shr", 32, true) => self.emit(Op::ShrS32, d, vec![a, b]),
                    ("shr", 64, true) => self.emit(Op::ShrS64, d, vec![a, b]),
                    ("shl", _, _) => {
                        self.l.emit_scalar(
                            d,
                            vec![a, b],
                            |v| if v[1] > 15 { 0 } else { v[0] << v[1] & 0xffff },
                        );
                    }
                    (_, _, false) => {
                        self.l.emit_scalar(d, vec![a, b], |v| if v[1] > 15 { 0 } else { v[0] >> v[1] });
                    }
                    _ => {
                        self.l.emit_scalar(d, vec![a, b], |v| u64::from((v[0] as i16 >> v[1].min(15)) as u16))
                    }
                }
            }
            "lop3" => {
                self.done(5)?;
                let Arg::Int(table) = args[4] else { return self.unknown() };
                if ty != "b32" || table > 255 {
                    return self.unknown();
                }
                let d = self.result(&args[0], 32)?;
                let v = vec![self.value(&args[1], 32)?, self.value(&args[2], 32)?, self.value(&args[3], 32)?];
                self.l.emit_scalar(d, v, move |v| s::lop3(v[0], v[1], v[2], table as u8));
            }
            _ => return self.unknown(),
        }
        Ok(())
    }

    fn bit_fields(&mut self) -> Result<()> {
        self.class(Class::Integer);
        let args = self.args;
        let base = self.base;
        if base == "prmt" {
            let mut mode = None;
            for (i, m) in ["f4e", "b4e", "rc8", "ecl", "ecr", "rc16"].iter().enumerate() {
                if self.take(m) {
                    mode = Some(i);
                }
            }
            if self.ty()? != "b32" {
                return self.unknown();
            }
            self.done(4)?;
            let d = self.result(&args[0], 32)?;
            let v = vec![self.value(&args[1], 32)?, self.value(&args[2], 32)?, self.value(&args[3], 32)?];
            self.l
                .emit_scalar(d, v, move |v| u64::from(s::prmt(v[0] as u32, v[1] as u32, v[2] as u32, mode)));
            return Ok(());
        }
        let ty = self.ty()?;
        if matches!(base, "dp4a" | "dp2a") {
            return self.dot_product(ty);
        }
        let bits = self.bits(ty)?;
        let signed = ty.starts_with('s');
        if bits < 16 {
            return self.unknown();
        }
        match base {
            "mul24" | "mad24" => {
                let hi = self.take("hi");
                let lo = self.take("lo");
                let mad = base == "mad24";
                self.done(if mad { 4 } else { 3 })?;
                if bits != 32 || hi == lo {
                    return self.unknown();
                }
                let d = self.result(&args[0], 32)?;
                let mut v = vec![self.value(&args[1], 32)?, self.value(&args[2], 32)?];
                if mad {
                    v.push(self.value(&args[3], 32)?);
                }
                self.l.emit_scalar(d, v, move |v| {
                    let cut = |x: u64| {
                        if signed { i64::from((x as i32) << 8 >> 8) } else { (x & 0xff_ffff) as i64 }
                    };
                    let p = cut(v[0]) * cut(v[1]);
                    let p = if hi { p >> 16 } else { p } as u32;
                    u64::from(if mad { p.wrapping_add(v[2] as u32) } else { p })
                });
            }
            "sad" => {
                self.done(4)?;
                let d = self.result(&args[0], bits)?;
                let v = vec![
                    self.value(&args[1], bits)?,
                    self.value(&args[2], bits)?,
                    self.value(&args[3], bits)?,
                ];
                self.l.emit_scalar(d, v, move |v| s::sad(v[0], v[1], v[2], bits, signed));
            }
            "popc" | "clz" => {
                self.done(2)?;
                let d = self.result(&args[0], 32)?;
                let a = self.value(&args[1], bits)?;
                match (base, bits) {
                    ("popc", 32) => self.emit(Op::Popc32, d, vec![a]),
                    ("clz", 32) => self.emit(Op::Clz32, d, vec![a]),
                    ("popc", 64) => self.l.emit_scalar(d, vec![a], |v| u64::from(v[0].count_ones())),
                    ("clz", 64) => self.l.emit_scalar(d, vec![a], |v| u64::from(v[0].leading_zeros())),
                    _ => return self.unknown(),
                }
            }
            "brev" => {
                self.done(2)?;
                let d = self.result(&args[0], bits)?;
                let a = self.value(&args[1], bits)?;
                match bits {
                    32 => self.emit(Op::Brev32, d, vec![a]),
                    64 => self.l.emit_scalar(d, vec![a], |v| v[0].reverse_bits()),
                    _ => return self.unknown(),
                }
            }
            "bfind" => {
                let shift = self.take("shiftamt");
                self.done(2)?;
                let d = self.result(&args[0], 32)?;
                let a = self.value(&args[1], bits)?;
                self.l.emit_scalar(d, vec![a], move |v| s::bfind(v[0], bits, signed, shift));
            }
            "fns" => {
                self.done(4)?;
                let d = self.result(&args[0], 32)?;
                let v = vec![self.value(&args[1], 32)?, self.value(&args[2], 32)?, self.value(&args[3], 32)?];
                self.l.emit_scalar(d, v, |v| u64::from(s::fns(v[0] as u32, v[1] as u32, v[2] as i32)));
            }
            "bfe" => {
                self.done(4)?;
                let d = self.result(&args[0], bits)?;
                let v =
                    vec![self.value(&args[1], bits)?, self.value(&args[2], 32)?, self.value(&args[3], 32)?];
                if ty == "u32" {
                    self.emit(Op::BfeU32, d, v);
                } else {
                    self.l.emit_scalar(d, v, move |v| s::bfe(v[0], v[1] as u32, v[2] as u32, bits, signed));
                }
            }
            "bfi" => {
                self.done(5)?;
                let d = self.result(&args[0], bits)?;
                let v = vec![
                    self.value(&args[1], bits)?,
                    self.value(&args[2], bits)?,
                    self.value(&args[3], 32)?,
                    self.value(&args[4], 32)?,
                ];
                self.l.emit_scalar(d, v, move |v| s::bfi(v[0], v[1], v[2] as u32, v[3] as u32, bits));
            }
            "bmsk" => {
                let clamp = self.take("clamp");
                let wrap = self.take("wrap");
                self.done(3)?;
                if clamp == wrap || bits != 32 {
                    return self.unknown();
                }
                let d = self.result(&args[0], 32)?;
                let v = vec![self.value(&args[1], 32)?, self.value(&args[2], 32)?];
                self.l.emit_scalar(d, v, move |v| s::bmsk(v[0] as u32, v[1] as u32, clamp));
            }
            "szext" => {
                let clamp = self.take("clamp");
                let wrap = self.take("wrap");
                self.done(3)?;
                if clamp == wrap || bits != 32 {
                    return self.unknown();
                }
                let d = self.result(&args[0], 32)?;
                let v = vec![self.value(&args[1], 32)?, self.value(&args[2], 32)?];
                self.l.emit_scalar(d, v, move |v| {
                    let n = if clamp { v[1].min(32) } else { v[1] & 31 } as u32;
                    s::bfe(v[0], 0, n, 32, signed)
                });
            }
            _ => return self.unknown(),
        }
        Ok(())
    }

    fn dot_product(&mut self, b_ty: &str) -> Result<()> {
        let args = self.args;
        let a_ty = self.ty()?;
        let half = if self.base == "dp2a" {
            if self.take("hi") {
                1
            } else if self.take("lo") {
                0
            } else {
                return self.unknown();
            }
        } else {
            0
        };
        self.done(4)?;
        if !matches!(a_ty, "u32" | "s32") || !matches!(b_ty, "u32" | "s32") {
            return self.unknown();
        }
        let (sa, sb, four) = (a_ty == "s32", b_ty == "s32", self.base == "dp4a");
        let d = self.result(&args[0], 32)?;
        let v = vec![self.value(&args[1], 32)?, self.value(&args[2], 32)?, self.value(&args[3], 32)?];
        self.l.emit_scalar(d, v, move |v| {
            u64::from(s::dot(v[0] as u32, v[1] as u32, v[2] as u32, sa, sb, four, half))
        });
        Ok(())
    }
}
