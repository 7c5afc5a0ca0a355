//! Loads, stores, atomics, asynchronous copies and addresses.

use super::decode::Decoder;
use super::*;
use crate::memory::{LOCAL_WINDOW, PARAM_WINDOW, SHARED_WINDOW, WINDOW_SIZE};

const CACHE: [&str; 7] = ["ca", "cg", "cs", "lu", "cv", "wb", "wt"];

impl Decoder<'_, '_, '_> {
    fn space(&mut self) -> MemSpace {
        for (m, s) in [
            ("global", MemSpace::Global),
            ("shared", MemSpace::Shared),
            ("shared::cta", MemSpace::Shared),
            ("local", MemSpace::Local),
            ("const", MemSpace::Const),
            ("param", MemSpace::Param),
            ("param::entry", MemSpace::Param),
            ("param::func", MemSpace::Param),
        ] {
            if self.take(m) {
                return s;
            }
        }
        MemSpace::Generic
    }

    /// Semantics, scopes and cache hints, none of which changes what is stored.
    fn hints(&mut self) -> Order {
        let mut order = Order::Weak;
        for m in ["volatile", "relaxed", "acquire", "release", "acq_rel", "mmio"] {
            if self.take(m) {
                order = Order::Sync;
            }
        }
        self.take("weak");
        for m in ["cta", "gpu", "sys", "cluster"] {
            self.take(m);
        }
        for m in CACHE {
            self.take(m);
        }
        self.take("nc");
        self.take_prefix("L1::");
        self.take_prefix("L2::");
        order
    }

    /// The address operand: a value and a constant offset.
    fn address(&mut self, arg: &Arg) -> Result<(V, i64)> {
        let Arg::Address(base, off) = arg else { return self.error("the address is not in brackets") };
        match base.as_ref() {
            Arg::Int(v) => Ok((self.l.constant(*v, Width::Wide), *off)),
            Arg::Word(name) => {
                if let Some(v) = self.register(base)? {
                    let have = &self.l.values[v as usize];
                    if have.bits < 32 || have.width == Width::Pred {
                        return self.error(format!("`{name}` holds no address"));
                    }
                    return Ok((v, *off));
                }
                let v = self.l.address_of(name, Width::Wide)?;
                Ok((v, *off))
            }
            _ => self.error("a bad address"),
        }
    }

    fn is_wide(&self, v: V) -> bool {
        self.l.values[v as usize].width == Width::Wide
    }

    fn memory_class(&mut self, space: MemSpace, load: bool) {
        self.class(match (space, load) {
            (MemSpace::Global | MemSpace::Generic, true) => Class::GlobalLoad,
            (MemSpace::Global | MemSpace::Generic, false) => Class::GlobalStore,
            (MemSpace::Shared, true) => Class::SharedLoad,
            (MemSpace::Shared, false) => Class::SharedStore,
            (MemSpace::Local, _) => Class::Local,
            (MemSpace::Const | MemSpace::Param, _) => Class::Param,
        });
    }

    fn vector(&mut self, ty: &str) -> Result<(u32, usize)> {
        let n = self.take_any(&[("v2", 2usize), ("v4", 4), ("v8", 8)]).unwrap_or(1);
        let bits = self.bits(ty)?;
        let limit = if n == 8 || (n == 4 && bits == 64) { 256 } else { 128 };
        if bits * n as u32 > limit {
            return self.unknown();
        }
        Ok((bits, n))
    }

    fn parts<'x>(&self, arg: &'x Arg, n: usize) -> Result<Vec<&'x Arg>> {
        match arg {
            Arg::Vector(v) if v.len() == n && n > 1 => Ok(v.iter().collect()),
            a if n == 1 && !matches!(a, Arg::Vector(_)) => Ok(vec![a]),
            _ => self.error(format!("expected {n} registers")),
        }
    }

    pub(super) fn load(&mut self) -> Result<()> {
        let ty = self.ty()?;
        let (bits, n) = self.vector(ty)?;
        let mut space = self.space();
        let order = self.hints();
        let args = self.args;
        self.done(2)?;
        let mut defs = Vec::new();
        let mut widths = Vec::new();
        for p in self.parts(&args[0], n)? {
            let (v, b) = self.relaxed(p, bits)?;
            widths.push(self.is_wide(v));
            if b > bits && matches!(ty, "f16" | "bf16" | "f32") {
                return self.error("a float in a wider register");
            }
            defs.push((v, b));
        }
        if widths.iter().any(|w| *w != widths[0]) {
            return self.error("results of different widths");
        }
        let signed = ty.starts_with('s');
        // parameters at constant offsets are constants of the launch
        if space == MemSpace::Param {
            self.memory_class(space, true);
            let Arg::Address(base, off) = &args[1] else { return self.unknown() };
            if let Arg::Word(name) = base.as_ref() {
                match self.l.lookup(name) {
                    Some(Name::Param(at, size)) => {
                        let bytes = bits / 8;
                        if *off < 0 || *off as u64 + u64::from(bytes) * n as u64 > u64::from(size) {
                            return self.error(format!("reads past the {size} bytes of `{name}`"));
                        }
                        if !(*off as u32).is_multiple_of(bytes * n as u32) {
                            return self.error("a misaligned parameter");
                        }
                        for (i, (d, dbits)) in defs.into_iter().enumerate() {
                            let place = at + *off as u32 + bytes * i as u32;
                            let wide = self.is_wide(d);
                            let _ = dbits;
                            let s = self.l.special(
                                Special::Param(place, bytes as u8, signed),
                                if wide { Width::Wide } else { Width::Line },
                            );
                            self.emit(if wide { Op::Mov64 } else { Op::Mov32 }, d, vec![s]);
                        }
                        return Ok(());
                    }
                    // a variable that passes an argument or a result is local memory here
                    Some(Name::Local(..)) => space = MemSpace::Local,
                    Some(Name::Register(_)) => {}
                    _ => return self.error(format!("`{name}` is no parameter")),
                }
            }
        } else {
            self.memory_class(space, true);
        }
        let (a, off) = self.address(&args[1])?;
        let mem = Mem {
            space,
            bytes: (bits / 8) as u8,
            vec: n as u8,
            signed,
            wide: widths[0],
            addr64: self.is_wide(a),
            order,
        };
        self.l.code.mems.push(mem);
        let x = self.l.code.mems.len() as u32 - 1;
        self.l.emit_full(Op::Load, defs.iter().map(|d| d.0).collect(), vec![a], x, off, None);
        // 8- and 16-bit results are extended to their register; the register's own width cuts them
        if signed && bits < 32 && defs[0].1 == 16 && bits == 8 {
            for (d, _) in defs {
                self.emit(Op::Zext16, d, vec![d]);
            }
        }
        Ok(())
    }

    pub(super) fn store(&mut self) -> Result<()> {
        let ty = self.ty()?;
        let (bits, n) = self.vector(ty)?;
        let mut space = self.space();
        let order = self.hints();
        let args = self.args;
        self.done(2)?;
        self.memory_class(space, false);
        if space == MemSpace::Param {
            let Arg::Address(base, _) = &args[0] else { return self.unknown() };
            match base.as_ref() {
                Arg::Word(name) if matches!(self.l.lookup(name), Some(Name::Local(..))) => {
                    space = MemSpace::Local;
                }
                _ => return self.error("only a call's variables are stored to"),
            }
        }
        if space == MemSpace::Const {
            return self.unknown();
        }
        let mut uses = Vec::new();
        let mut wide = None;
        for p in self.parts(&args[1], n)? {
            let v = match p {
                Arg::Word(_) if self.register(p)?.is_some() => self.relaxed(p, bits)?.0,
                Arg::F32(_) | Arg::F64(_) => self.float(p, bits)?,
                other => self.value(other, bits)?,
            };
            let w = self.is_wide(v);
            if wide.is_some_and(|o| o != w) {
                return self.error("operands of different widths");
            }
            wide = Some(w);
            uses.push(v);
        }
        let (a, off) = self.address(&args[0])?;
        let mem = Mem {
            space,
            bytes: (bits / 8) as u8,
            vec: n as u8,
            signed: false,
            wide: wide.unwrap_or(false),
            addr64: self.is_wide(a),
            order,
        };
        self.l.code.mems.push(mem);
        let x = self.l.code.mems.len() as u32 - 1;
        uses.insert(0, a);
        self.l.emit_full(Op::Store, vec![], uses, x, off, None);
        Ok(())
    }

    pub(super) fn atomic(&mut self) -> Result<()> {
        self.class(Class::Atomic);
        let reduce = self.base == "red";
        let ty = self.ty()?;
        let noftz = self.take("noftz");
        let space = self.space();
        self.hints();
        use AtomOp::*;
        let op = self.take_any(&[
            ("add", Add),
            ("min", Min),
            ("max", Max),
            ("and", And),
            ("or", Or),
            ("xor", Xor),
            ("exch", Exch),
            ("cas", Cas),
            ("inc", Inc),
            ("dec", Dec),
        ]);
        let Some(op) = op else { return self.unknown() };
        use AtomTy::*;
        let kind = match (ty, op) {
            ("u32", Add | Min | Max | Inc | Dec) => U32,
            ("b32", And | Or | Xor | Exch | Cas) => U32,
            ("u32" | "s32", And | Or | Xor | Exch | Cas) => U32,
            ("s32", Add | Min | Max) => S32,
            ("u64", Add | Min | Max | Exch | Cas) => U64,
            ("b64", And | Or | Xor | Exch | Cas) => U64,
            ("s64", Add | Min | Max) => S64,
            ("f32", Add) => F32,
            ("f64", Add) => F64,
            ("f16x2", Add) if noftz => F16x2,
            ("bf16x2", Add) if noftz => Bf16x2,
            ("f16", Add) if noftz => F16,
            ("bf16", Add) if noftz => Bf16,
            ("b16", Cas) => B16,
            _ => return self.unknown(),
        };
        if reduce && matches!(op, Exch | Cas)
            || !matches!(space, MemSpace::Global | MemSpace::Shared | MemSpace::Generic)
        {
            return self.unknown();
        }
        let operands = if op == Cas { 2 } else { 1 };
        self.done(operands + if reduce { 1 } else { 2 })?;
        let bits = self.bits(ty)?;
        let args = self.args;
        let at = usize::from(!reduce);
        let width = if bits == 64 { Width::Wide } else { Width::Line };
        let d = if reduce { self.l.temp(width) } else { self.result(&args[0], bits)? };
        let (a, off) = self.address(&args[at])?;
        let mut uses = vec![a];
        for arg in &args[at + 1..] {
            uses.push(self.any(arg, ty)?);
        }
        let atom = Atom { op, ty: kind, space, addr64: self.is_wide(a) };
        self.l.code.atoms.push(atom);
        let x = self.l.code.atoms.len() as u32 - 1;
        self.l.emit_full(Op::Atom, vec![d], uses, x, off, None);
        Ok(())
    }

    /// Prefetches and the like move nothing.
    pub(super) fn hint(&mut self) -> Result<()> {
        let args = self.args;
        if let Some(a) = args.first() {
            self.address(a)?;
        }
        self.l.emit(Op::Nop, vec![], vec![]);
        Ok(())
    }

    pub(super) fn cvta(&mut self) -> Result<()> {
        self.class(Class::Integer);
        let ty = self.ty()?;
        let bits = self.bits(ty)?;
        let to = self.take("to");
        let space = self.space();
        self.done(2)?;
        let args = self.args;
        let d = self.result(&args[0], bits)?;
        let a = self.value(&args[1], bits)?;
        let window = match space {
            MemSpace::Global | MemSpace::Const => 0,
            MemSpace::Shared => SHARED_WINDOW,
            MemSpace::Local => LOCAL_WINDOW,
            MemSpace::Param => PARAM_WINDOW,
            MemSpace::Generic => return self.unknown(),
        };
        if window == 0 {
            self.emit(if bits == 64 { Op::Mov64 } else { Op::Mov32 }, d, vec![a]);
        } else if bits != 64 {
            return self.unknown();
        } else {
            let w = self.l.constant(window, Width::Wide);
            self.emit(if to { Op::Sub64 } else { Op::Add64 }, d, vec![a, w]);
        }
        Ok(())
    }

    pub(super) fn isspacep(&mut self) -> Result<()> {
        self.class(Class::Select);
        let space = self.space();
        self.done(2)?;
        let args = self.args;
        let d = self.pred_result(&args[0])?;
        let a = self.value(&args[1], 64)?;
        let inside = |base: u64| move |v: [u64; 4]| u64::from(v[0].wrapping_sub(base) < WINDOW_SIZE);
        match space {
            MemSpace::Shared => self.l.emit_scalar(d, vec![a], inside(SHARED_WINDOW)),
            MemSpace::Local => self.l.emit_scalar(d, vec![a], inside(LOCAL_WINDOW)),
            MemSpace::Param => self.l.emit_scalar(d, vec![a], inside(PARAM_WINDOW)),
            MemSpace::Global => self.l.emit_scalar(d, vec![a], |v| u64::from(v[0] < PARAM_WINDOW)),
            _ => return self.unknown(),
        }
        Ok(())
    }

    pub(super) fn async_copy(&mut self) -> Result<()> {
        self.class(Class::AsyncCopy);
        if !self.take("async") {
            return self.unknown();
        }
        let args = self.args;
        if self.take("commit_group") {
            self.done(0)?;
            self.l.emit(Op::CpCommit, vec![], vec![]);
            return Ok(());
        }
        if self.take("wait_all") {
            self.done(0)?;
            self.l.emit(Op::CpWaitAll, vec![], vec![]);
            return Ok(());
        }
        if self.take("wait_group") {
            self.done(1)?;
            let Arg::Int(n) = args[0] else { return self.unknown() };
            self.l.emit_full(Op::CpWait, vec![], vec![], 0, n as i64, None);
            return Ok(());
        }
        let cg = self.take("cg");
        let ca = self.take("ca");
        let shared = self.take("shared") || self.take("shared::cta");
        let global = self.take("global");
        self.take_prefix("L2::");
        if cg == ca || !shared || !global || !(3..=4).contains(&args.len()) {
            return self.unknown();
        }
        self.done(args.len())?;
        let Arg::Int(size) = args[2] else { return self.unknown() };
        if !(size == 16 || ca && (size == 4 || size == 8)) {
            return self.error(format!("copies of {size} bytes do not exist"));
        }
        let (dst, doff) = self.address(&args[0])?;
        let (src, soff) = self.address(&args[1])?;
        let count = match args.get(3) {
            Some(a) => self.value(a, 32)?,
            None => self.l.constant(size, Width::Line),
        };
        // both addresses as 64 bits with their offsets
        let dst = self.plus(dst, doff);
        let src = self.plus(src, soff);
        self.l.emit_full(Op::CpAsync, vec![], vec![dst, src, count], 0, size as i64, None);
        Ok(())
    }

    fn plus(&mut self, a: V, off: i64) -> V {
        let mut a = a;
        if !self.is_wide(a) {
            let t = self.l.temp(Width::Wide);
            self.emit(Op::Zext64, t, vec![a]);
            a = t;
        }
        if off != 0 {
            let c = self.l.constant(off as u64, Width::Wide);
            let t = self.l.temp(Width::Wide);
            self.emit(Op::Add64, t, vec![a, c]);
            a = t;
        }
        a
    }

    pub(super) fn ldmatrix(&mut self) -> Result<()> {
        self.class(Class::SharedLoad);
        let ty = self.ty()?;
        let n = self.take_any(&[("x1", 1usize), ("x2", 2), ("x4", 4)]);
        let ok = self.take("sync") & self.take("aligned") & self.take("m8n8");
        let trans = self.take("trans");
        let shared = self.space();
        let Some(n) = n else { return self.unknown() };
        if !ok || ty != "b16" || shared != MemSpace::Shared {
            return self.unknown();
        }
        self.done(2)?;
        let args = self.args;
        let list: Vec<&Arg> = match &args[0] {
            Arg::Vector(v) if v.len() == n => v.iter().collect(),
            a if n == 1 => vec![a],
            _ => return self.error(format!("expected {n} registers")),
        };
        let mut defs = Vec::new();
        for a in list {
            defs.push(self.result(a, 32)?);
        }
        let (a, off) = self.address(&args[1])?;
        let a = self.plus(a, off);
        self.l.emit_full(Op::LdMatrix, defs, vec![a], u32::from(trans), n as i64, None);
        Ok(())
    }
}
