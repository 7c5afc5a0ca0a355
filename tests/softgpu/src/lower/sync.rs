//! Control flow, barriers and everything that moves values between lanes.

use super::decode::Decoder;
use super::*;

impl Decoder<'_, '_, '_> {
    fn label(&mut self, arg: &Arg) -> Result<usize> {
        if let Arg::Word(n) = arg {
            if let Some(Name::Label(l)) = self.l.lookup(n) {
                return Ok(l);
            }
            return self.error(format!("there is no label `{n}`"));
        }
        self.unknown()
    }

    pub(super) fn control(&mut self) -> Result<()> {
        let args = self.args;
        match self.base {
            "bra" => {
                self.class(Class::Branch);
                self.take("uni");
                self.done(1)?;
                let l = self.label(&args[0])?;
                self.l.emit_full(Op::Branch, vec![], vec![], 0, 0, Some(l));
            }
            "brx" => {
                self.class(Class::Branch);
                if !self.take("idx") {
                    return self.unknown();
                }
                self.take("uni");
                self.done(2)?;
                let index = self.value(&args[0], 32)?;
                let Arg::Word(table) = &args[1] else { return self.unknown() };
                let Some(Name::Table(names)) = self.l.lookup(table) else {
                    return self.error(format!("there is no table `{table}`"));
                };
                let mut targets = Vec::new();
                for n in names {
                    targets.push(self.label(&Arg::Word(n))?);
                }
                self.l.tables.push(targets);
                let x = self.l.tables.len() as u32 - 1;
                self.l.emit_full(Op::BranchTable, vec![], vec![index], x, 0, None);
            }
            "ret" | "exit" => {
                self.class(Class::Branch);
                self.take("uni");
                self.done(0)?;
                match self.l.returns.last().copied().flatten() {
                    Some(l) if self.base == "ret" => {
                        self.l.emit_full(Op::Branch, vec![], vec![], 0, 0, Some(l));
                    }
                    _ => self.l.emit(Op::Exit, vec![], vec![]),
                }
            }
            "trap" | "brkpt" => {
                self.done(0)?;
                self.l.emit(Op::Trap, vec![], vec![]);
            }
            "nanosleep" => {
                if self.ty()? != "u32" {
                    return self.unknown();
                }
                self.done(1)?;
                self.value(&args[0], 32)?;
                self.l.emit(Op::Nop, vec![], vec![]);
            }
            "call" => return self.call(),
            _ => return self.unknown(),
        }
        Ok(())
    }

    fn call(&mut self) -> Result<()> {
        self.take("uni");
        let args = self.args;
        if self.full.split('.').count() > 2 {
            return self.unknown();
        }
        let (results, rest): (&[Arg], &[Arg]) = match args.first() {
            Some(Arg::List(r)) => (r, &args[1..]),
            _ => (&[], args),
        };
        let Some(Arg::Word(name)) = rest.first() else { return self.unknown() };
        if self.register(&rest[0])?.is_some() {
            return self.error("calls through a register are not implemented");
        }
        let empty = Vec::new();
        let list = match rest.get(1) {
            Some(Arg::List(l)) => l,
            None => &empty,
            _ => return self.unknown(),
        };
        if rest.len() > 2 {
            return self.error("calls with a prototype are not implemented");
        }
        match name.as_str() {
            "vprintf" => {
                let places = self.local_places(list, 2)?;
                let ret = self.local_places(results, 1)?;
                let uses =
                    places.iter().chain(&ret).map(|p| self.l.constant(u64::from(*p), Width::Line)).collect();
                self.l.emit(Op::Printf, vec![], uses);
                Ok(())
            }
            "__assertfail" => {
                let places = self.local_places(list, 5)?;
                let uses = places.iter().map(|p| self.l.constant(u64::from(*p), Width::Line)).collect();
                self.l.emit(Op::Assert, vec![], uses);
                Ok(())
            }
            _ => self.l.inline(name, results, list),
        }
    }

    fn local_places(&mut self, list: &[Arg], n: usize) -> Result<Vec<u32>> {
        if list.len() != n {
            return self.error(format!("expected {n} arguments"));
        }
        let mut out = Vec::new();
        for a in list {
            match a {
                Arg::Word(w) => match self.l.lookup(w) {
                    Some(Name::Local(at, _)) => out.push(at),
                    _ => return self.error(format!("`{w}` is no parameter variable")),
                },
                _ => return self.unknown(),
            }
        }
        Ok(out)
    }

    pub(super) fn synchronise(&mut self) -> Result<()> {
        match self.base {
            "bar" | "barrier" => self.barrier(),
            "membar" | "fence" => {
                self.class(Class::Barrier);
                let mut gpu = false;
                for m in ["gl", "sys", "gpu"] {
                    gpu |= self.take(m);
                }
                for m in ["cta", "cluster", "acq_rel", "sc", "acquire", "release"] {
                    self.take(m);
                }
                self.done(0)?;
                self.l.emit_full(Op::Fence, vec![], vec![], u32::from(gpu), 0, None);
                Ok(())
            }
            "griddepcontrol" => {
                if !self.take("wait") && !self.take("launch_dependents") {
                    return self.unknown();
                }
                self.done(0)?;
                self.l.emit(Op::Nop, vec![], vec![]);
                Ok(())
            }
            _ => self.lanes(),
        }
    }

    fn barrier(&mut self) -> Result<()> {
        self.class(Class::Barrier);
        let args = self.args;
        if self.take("warp") {
            if !self.take("sync") {
                return self.unknown();
            }
            self.done(1)?;
            let m = self.value(&args[0], 32)?;
            self.l.emit(Op::WarpSync, vec![], vec![m]);
            return Ok(());
        }
        self.take("cta");
        let bar = self.base == "bar";
        let aligned = self.take("aligned") || bar;
        if self.take("red") {
            let ty = self.ty()?;
            let op = self.take_any(&[("popc", 0u32), ("and", 1), ("or", 2)]);
            let Some(op) = op else { return self.unknown() };
            if (op == 0) != (ty == "u32") || (op != 0) != (ty == "pred") {
                return self.unknown();
            }
            if !(3..=4).contains(&args.len()) {
                return self.unknown();
            }
            self.done(args.len())?;
            let d = if op == 0 { self.result(&args[0], 32)? } else { self.pred_result(&args[0])? };
            let id = self.value(&args[1], 32)?;
            let count =
                if args.len() == 4 { self.value(&args[2], 32)? } else { self.l.constant(0, Width::Line) };
            let p = self.pred(&args[args.len() - 1])?;
            self.l.emit_full(Op::BarrierReduce, vec![d], vec![id, count, p], op, i64::from(aligned), None);
            return Ok(());
        }
        let sync = self.take("sync");
        let arrive = self.take("arrive");
        if sync == arrive || args.is_empty() || args.len() > 2 || arrive && args.len() != 2 {
            return self.unknown();
        }
        self.done(args.len())?;
        let id = self.value(&args[0], 32)?;
        let count = if args.len() == 2 { self.value(&args[1], 32)? } else { self.l.constant(0, Width::Line) };
        let op = if sync { Op::Barrier } else { Op::BarrierArrive };
        self.l.emit_full(op, vec![], vec![id, count], 0, i64::from(aligned), None);
        Ok(())
    }

    fn lanes(&mut self) -> Result<()> {
        let args = self.args;
        self.class(Class::Shuffle);
        match self.base {
            "shfl" => {
                if self.ty()? != "b32" || !self.take("sync") {
                    return self.unknown();
                }
                let mode = self.take_any(&[("up", 0u32), ("down", 1), ("bfly", 2), ("idx", 3)]);
                let Some(mode) = mode else { return self.unknown() };
                self.done(5)?;
                let (d, p) = match &args[0] {
                    Arg::Pair(d, p) => (self.result(d, 32)?, Some(self.pred_result(p)?)),
                    d => (self.result(d, 32)?, None),
                };
                let uses = vec![
                    self.value(&args[1], 32)?,
                    self.value(&args[2], 32)?,
                    self.value(&args[3], 32)?,
                    self.value(&args[4], 32)?,
                ];
                let p = match p {
                    Some(p) => p,
                    None => self.l.temp(Width::Pred),
                };
                self.l.emit_full(Op::Shuffle, vec![d, p], uses, mode, 0, None);
            }
            "vote" => {
                let ty = self.ty()?;
                if !self.take("sync") {
                    return self.unknown();
                }
                let mode = self.take_any(&[("all", 0u32), ("any", 1), ("uni", 2), ("ballot", 3)]);
                let Some(mode) = mode else { return self.unknown() };
                if (mode == 3) != (ty == "b32") || (mode != 3) != (ty == "pred") {
                    return self.unknown();
                }
                self.done(3)?;
                let d = if mode == 3 { self.result(&args[0], 32)? } else { self.pred_result(&args[0])? };
                let p = self.pred(&args[1])?;
                let m = self.value(&args[2], 32)?;
                self.l.emit_full(Op::Vote, vec![d], vec![p, m], mode, 0, None);
            }
            "match" => {
                let ty = self.ty()?;
                let all = self.take("all");
                let any = self.take("any");
                if !self.take("sync") || all == any || !matches!(ty, "b32" | "b64") {
                    return self.unknown();
                }
                self.done(3)?;
                let (d, p) = match &args[0] {
                    Arg::Pair(d, p) if all => (self.result(d, 32)?, self.pred_result(p)?),
                    d => (self.result(d, 32)?, self.l.temp(Width::Pred)),
                };
                let bits = self.bits(ty)?;
                let a = self.value(&args[1], bits)?;
                let m = self.value(&args[2], 32)?;
                let x = u32::from(all) | u32::from(bits == 64) << 1;
                self.l.emit_full(Op::Match, vec![d, p], vec![a, m], x, 0, None);
            }
            "redux" => {
                let ty = self.ty()?;
                if !self.take("sync") {
                    return self.unknown();
                }
                let op = self.take_any(&[
                    ("add", 0u32),
                    ("min", 1),
                    ("max", 2),
                    ("and", 3),
                    ("or", 4),
                    ("xor", 5),
                ]);
                let Some(mut op) = op else { return self.unknown() };
                if (op >= 3) != (ty == "b32") || !matches!(ty, "b32" | "u32" | "s32") {
                    return self.unknown();
                }
                if ty == "s32" {
                    op |= 8;
                }
                self.done(3)?;
                let d = self.result(&args[0], 32)?;
                let uses = vec![self.value(&args[1], 32)?, self.value(&args[2], 32)?];
                self.l.emit_full(Op::Redux, vec![d], uses, op, 0, None);
            }
            "activemask" => {
                if self.ty()? != "b32" {
                    return self.unknown();
                }
                self.done(1)?;
                let d = self.result(&args[0], 32)?;
                self.l.emit(Op::ActiveMask, vec![d], vec![]);
            }
            "elect" => {
                if !self.take("sync") {
                    return self.unknown();
                }
                self.done(2)?;
                let Arg::Pair(d, p) = &args[0] else { return self.unknown() };
                let d = self.result(d, 32)?;
                let p = self.pred_result(p)?;
                let m = self.value(&args[1], 32)?;
                self.l.emit(Op::Elect, vec![d, p], vec![m]);
            }
            _ => return self.unknown(),
        }
        Ok(())
    }

    pub(super) fn mma(&mut self) -> Result<()> {
        self.class(Class::Tensor);
        let args = self.args;
        let ok = self.take("sync") & self.take("aligned") & self.take("row") & self.take("col");
        let (ct, bt, at, dt) = (self.ty()?, self.ty()?, self.ty()?, self.ty()?);
        let shape = self.take_any(&[("m16n8k4", 4u8), ("m16n8k8", 8), ("m16n8k16", 16)]);
        let Some(k) = shape else { return self.unknown() };
        let kind = match (dt, at, bt, ct) {
            ("f32", "tf32", "tf32", "f32") if k != 16 => MmaKind::Tf32,
            ("f32", "bf16", "bf16", "f32") if k != 4 => MmaKind::Bf16,
            ("f32", "f16", "f16", "f32") if k != 4 => MmaKind::F16,
            ("f16", "f16", "f16", "f16") if k != 4 => MmaKind::F16F16,
            _ => return self.unknown(),
        };
        if !ok {
            return self.unknown();
        }
        self.done(4)?;
        let (na, nb) = match (kind, k) {
            (MmaKind::Tf32, 4) => (2, 1),
            (MmaKind::Tf32, _) => (4, 2),
            (_, 8) => (2, 1),
            _ => (4, 2),
        };
        let nc = if kind == MmaKind::F16F16 { 2 } else { 4 };
        let mut lists = Vec::new();
        for (i, n) in [nc, na, nb, nc].into_iter().enumerate() {
            let Arg::Vector(v) = &args[i] else { return self.error("an operand that is no vector") };
            if v.len() != n {
                return self.error(format!("operand {i} has {} registers, expected {n}", v.len()));
            }
            let mut l = Vec::new();
            for a in v {
                l.push(if i == 0 {
                    self.result(a, 32)?
                } else if i == 3 && nc == 4 {
                    self.float(a, 32)?
                } else {
                    self.value(a, 32)?
                });
            }
            lists.push(l);
        }
        self.l.code.mmas.push(Mma { kind, k });
        let x = self.l.code.mmas.len() as u32 - 1;
        let uses = lists[1..].concat();
        self.l.emit_full(Op::Mma, lists[0].clone(), uses, x, 0, None);
        Ok(())
    }
}
