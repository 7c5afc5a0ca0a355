//! One instruction: its mnemonic taken apart, each modifier used up by whoever understands it.

use super::*;
use crate::ptx::parser::Instruction;

/// An instruction while it is being understood.
pub(super) struct Decoder<'a, 'l, 'm> {
    pub l: &'l mut Lower<'m>,
    pub full: &'a str,
    pub base: &'a str,
    mods: Vec<&'a str>,
    pub args: &'a [Arg],
}

pub(super) fn instruction(l: &mut Lower<'_>, inst: &Instruction) -> Result<()> {
    let mut parts = inst.op.split('.');
    let base = parts.next().unwrap_or("");
    let mut d = Decoder { l, full: &inst.op, base, mods: parts.collect(), args: &inst.args };
    d.run()
}

impl<'a> Decoder<'a, '_, '_> {
    fn run(&mut self) -> Result<()> {
        match self.base {
            "ld" | "ldu" => self.load(),
            "st" => self.store(),
            "atom" | "red" => self.atomic(),
            "cp" => self.async_copy(),
            "prefetch" | "prefetchu" | "applypriority" | "discard" => self.hint(),
            "cvta" => self.cvta(),
            "isspacep" => self.isspacep(),
            "ldmatrix" => self.ldmatrix(),
            "mma" => self.mma(),
            "cvt" => self.convert(),
            "bar" | "barrier" | "membar" | "fence" | "shfl" | "vote" | "match" | "redux" | "activemask"
            | "elect" | "griddepcontrol" => self.synchronise(),
            "bra" | "brx" | "call" | "ret" | "exit" | "trap" | "brkpt" | "nanosleep" => self.control(),
            _ => self.arithmetic(),
        }
    }

    pub(super) fn unknown<T>(&self) -> Result<T> {
        self.l.error(format!("`{}` is not implemented", self.full))
    }

    pub(super) fn error<T>(&self, message: impl Into<String>) -> Result<T> {
        self.l.error(format!("`{}`: {}", self.full, message.into()))
    }

    /// Uses up a modifier.
    pub(super) fn take(&mut self, m: &str) -> bool {
        match self.mods.iter().position(|x| *x == m) {
            Some(i) => {
                self.mods.remove(i);
                true
            }
            None => false,
        }
    }

    pub(super) fn take_any<T: Copy>(&mut self, choices: &[(&str, T)]) -> Option<T> {
        choices.iter().find(|(m, _)| self.take(m)).map(|c| c.1)
    }

    /// Uses up every modifier that starts so.
    pub(super) fn take_prefix(&mut self, prefix: &str) -> bool {
        let n = self.mods.len();
        self.mods.retain(|m| !m.starts_with(prefix));
        self.mods.len() != n
    }

    /// Uses up the last modifier, the type.
    pub(super) fn ty(&mut self) -> Result<&'a str> {
        match self.mods.pop() {
            Some(t) => Ok(t),
            None => self.unknown(),
        }
    }

    pub(super) fn next_mod(&mut self) -> Option<&'a str> {
        if self.mods.is_empty() { None } else { Some(self.mods.remove(0)) }
    }

    /// All modifiers must have been used up, and there are `n` operands.
    pub(super) fn done(&self, n: usize) -> Result<()> {
        if let Some(m) = self.mods.first() {
            return self.error(format!("the modifier `.{m}` is not implemented here"));
        }
        if self.args.len() != n {
            return self.error(format!("{} operands, expected {n}", self.args.len()));
        }
        Ok(())
    }

    pub(super) fn bits(&self, ty: &str) -> Result<u32> {
        match ptx::parser::type_bytes(ty) {
            Some(b) if b <= 8 => Ok(b * 8),
            _ => self.unknown(),
        }
    }

    /// A register as written, or `None` if the name is none.
    pub(super) fn register(&mut self, arg: &Arg) -> Result<Option<V>> {
        let Arg::Word(name) = arg else { return Ok(None) };
        if let Some(n) = self.l.lookup(name) {
            return Ok(if let Name::Register(v) = n { Some(v) } else { None });
        }
        Ok(None)
    }

    fn special_register(&self, name: &str) -> Option<Special> {
        let dim = |n: &str| match n {
            "x" => Some(0),
            "y" => Some(1),
            "z" => Some(2),
            _ => None,
        };
        let name = name.strip_prefix('%')?;
        if let Some((stem, d)) = name.split_once('.') {
            let d = dim(d)?;
            return Some(match stem {
                "tid" => Special::Tid(d),
                "ntid" => Special::Ntid(d),
                "ctaid" => Special::Ctaid(d),
                "nctaid" => Special::Nctaid(d),
                "cluster_ctaid" => Special::Zero,
                _ => return None,
            });
        }
        Some(match name {
            "laneid" => Special::LaneId,
            "warpid" => Special::WarpId,
            "nwarpid" => Special::NwarpId,
            "smid" => Special::SmId,
            "nsmid" => Special::NsmId,
            "gridid" => Special::GridId,
            "lanemask_eq" => Special::LaneMaskEq,
            "lanemask_le" => Special::LaneMaskLe,
            "lanemask_lt" => Special::LaneMaskLt,
            "lanemask_ge" => Special::LaneMaskGe,
            "lanemask_gt" => Special::LaneMaskGt,
            "dynamic_smem_size" => Special::DynamicShared,
            "total_smem_size" => Special::TotalShared,
            _ => return None,
        })
    }

    /// An operand to read, of exactly `bits` (8-bit types live in 16-bit registers and wider).
    pub(super) fn value(&mut self, arg: &Arg, bits: u32) -> Result<V> {
        self.value_of(arg, bits, false)
    }

    /// As [`Self::value`], of a float type: only float constants fit.
    pub(super) fn float(&mut self, arg: &Arg, bits: u32) -> Result<V> {
        self.value_of(arg, bits, true)
    }

    fn value_of(&mut self, arg: &Arg, bits: u32, float: bool) -> Result<V> {
        let width = if bits == 64 { Width::Wide } else { Width::Line };
        match arg {
            Arg::Int(v) if !float => {
                let v = if bits == 64 { *v } else { v & ((1u64 << bits) - 1) };
                Ok(self.l.constant(v, width))
            }
            Arg::F32(v) => match bits {
                32 => Ok(self.l.constant(u64::from(*v), width)),
                64 if float => Ok(self.l.constant(f64::from(f32::from_bits(*v)).to_bits(), width)),
                _ => self.error("a constant of the wrong type"),
            },
            Arg::F64(v) => match bits {
                64 => Ok(self.l.constant(*v, width)),
                32 => Ok(self.l.constant(u64::from((f64::from_bits(*v) as f32).to_bits()), width)),
                _ => self.error("a constant of the wrong type"),
            },
            Arg::Word(name) => {
                if let Some(v) = self.register(arg)? {
                    let have = &self.l.values[v as usize];
                    if have.width == Width::Pred {
                        return self.error(format!("`{name}` is a predicate"));
                    }
                    if have.bits != bits {
                        let text = format!("`{name}` has {} bits, the instruction {bits}", have.bits);
                        return self.error(text);
                    }
                    return Ok(v);
                }
                if self.l.lookup(name).is_none() {
                    if let Some(s) = self.special_register(name) {
                        return Ok(self.l.special(s, width));
                    }
                    if name == "WARP_SZ" {
                        return Ok(self.l.constant(32, width));
                    }
                }
                self.l.address_of(name, width)
            }
            Arg::Offset(name, off) => {
                let base = self.l.address_of(name, width)?;
                let off = self.l.constant(if bits == 64 { *off as u64 } else { *off as u32 as u64 }, width);
                let t = self.l.temp(width);
                let op = if width == Width::Wide { Op::Add64 } else { Op::Add32 };
                self.l.emit(op, vec![t], vec![base, off]);
                Ok(t)
            }
            _ => self.error("an operand of the wrong kind"),
        }
    }

    /// A register to write, of exactly `bits`; `_` gives one that nobody reads.
    pub(super) fn result(&mut self, arg: &Arg, bits: u32) -> Result<V> {
        let width = if bits == 64 { Width::Wide } else { Width::Line };
        if let Arg::Word(name) = arg {
            if name == "_" {
                return Ok(self.l.temp(width));
            }
            if let Some(v) = self.register(arg)? {
                let have = &self.l.values[v as usize];
                if have.width == Width::Pred || have.bits != bits {
                    let text = format!("`{name}` has {} bits, the instruction {bits}", have.bits);
                    return self.error(text);
                }
                return Ok(v);
            }
            return self.error(format!("`{name}` is no declared register"));
        }
        self.error("the result is no register")
    }

    /// A register of at least `bits`, for instructions that extend (ld, st, cvt): the register and its bits.
    pub(super) fn relaxed(&mut self, arg: &Arg, bits: u32) -> Result<(V, u32)> {
        if let Some(v) = self.register(arg)? {
            let have = &self.l.values[v as usize];
            if have.width != Width::Pred && have.bits >= bits {
                return Ok((v, have.bits));
            }
            let text = format!("`{}` has {} bits, the instruction {bits}", have.name, have.bits);
            return self.error(text);
        }
        if let Arg::Word(name) = arg {
            if name == "_" {
                let v = self.l.temp(if bits == 64 { Width::Wide } else { Width::Line });
                return Ok((v, bits.max(32)));
            }
            return self.error(format!("`{name}` is no declared register"));
        }
        self.error("an operand that is no register")
    }

    pub(super) fn pred_result(&mut self, arg: &Arg) -> Result<V> {
        match arg {
            Arg::Word(n) if n == "_" => Ok(self.l.temp(Width::Pred)),
            Arg::Word(n) => self.l.predicate(n),
            _ => self.error("the result is no predicate"),
        }
    }

    /// A predicate to read; a negated one goes through a temporary.
    pub(super) fn pred(&mut self, arg: &Arg) -> Result<V> {
        match arg {
            Arg::Word(n) => self.l.predicate(n),
            Arg::Int(v) => {
                let t = self.l.temp(Width::Pred);
                let c = self.l.constant(if *v != 0 { u64::from(u32::MAX) } else { 0 }, Width::Pred);
                self.l.emit(Op::PredMov, vec![t], vec![c]);
                Ok(t)
            }
            Arg::Not(inner) => {
                let p = self.pred(inner)?;
                let t = self.l.temp(Width::Pred);
                self.l.emit(Op::PredNot, vec![t], vec![p]);
                Ok(t)
            }
            _ => self.error("an operand that is no predicate"),
        }
    }

    pub(super) fn class(&mut self, c: Class) {
        self.l.class = c;
    }

    pub(super) fn emit(&mut self, op: Op, d: V, uses: Vec<V>) {
        self.l.emit(op, vec![d], uses);
    }
}
