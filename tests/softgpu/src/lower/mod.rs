//! From statements to code: names are resolved, functions called are put in place of the calls, every instruction
//! is checked against what is implemented. What is not understood in full is rejected.

mod arithmetic;
mod convert;
mod decode;
mod floats;
mod flow;
mod packed;
mod storage;
mod sync;

use std::collections::HashMap;
use std::sync::Arc;

use crate::exec::code::*;
use crate::exec::ops::Op;
use crate::memory::Allocation;
use crate::ptx::{self, Arg, Body, Function, Module, PtxError, Result, Statement, Variable};

/// A value: register, constant or special register.
pub(crate) type V = u32;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Width {
    Pred,
    /// Up to 32 bits: one line.
    Line,
    /// 64 bits: two lines.
    Wide,
}

#[derive(Clone, Debug)]
pub(crate) enum Source_ {
    Register,
    Const(u64),
    Special(Special),
}

pub(crate) struct Value {
    pub what: Source_,
    pub width: Width,
    /// Declared bits of a register: 16, 32 …
    pub bits: u32,
    pub name: String,
}

/// An instruction over values.
#[derive(Clone, Debug)]
pub(crate) struct VInst {
    pub op: Op,
    pub defs: Vec<V>,
    pub uses: Vec<V>,
    pub guard: Option<(V, bool)>,
    pub target: Option<usize>,
    pub x: u32,
    pub imm: i64,
    pub info: Info,
}

/// What a name means in a scope.
#[derive(Clone, Debug)]
pub(crate) enum Name {
    Register(V),
    /// Offset in local memory.
    Local(u32, u32),
    /// Address in shared memory.
    Shared(u32),
    Dynamic,
    /// Offset and size of a kernel parameter.
    Param(u32, u32),
    Label(usize),
    Table(Vec<String>),
}

/// Names of one `{ }`.
#[derive(Default)]
pub(crate) struct Scope {
    names: HashMap<String, Name>,
    families: Vec<(String, u32, V)>,
}

pub(crate) struct Context<'m> {
    pub module: &'m Module,
    pub globals: &'m HashMap<String, Arc<Allocation>>,
    pub source: Arc<Source>,
    /// Compute capability the device claims: 80 …
    pub sm: u32,
}

pub(crate) struct Lower<'m> {
    cx: &'m Context<'m>,
    pub values: Vec<Value>,
    constants: HashMap<(u64, Width), V>,
    special: HashMap<(Special, Width), V>,
    pub insts: Vec<VInst>,
    /// Where each label is: index of an instruction.
    pub labels: Vec<Option<usize>>,
    pub tables: Vec<Vec<usize>>,
    scopes: Vec<Scope>,
    /// Functions being put in place, outermost first, and where a `ret` goes.
    calls: Vec<String>,
    returns: Vec<Option<usize>>,
    pub code: Parts,
    shared_names: HashMap<String, u32>,
    line: u32,
    loc: Option<(u32, u32)>,
    guard: Option<(V, bool)>,
    first: bool,
    class: Class,
}

/// What becomes part of the code as it is.
#[derive(Default)]
pub(crate) struct Parts {
    pub scalars: Vec<(Scalar, [bool; 4], bool)>,
    pub mems: Vec<Mem>,
    pub atoms: Vec<Atom>,
    pub mmas: Vec<Mma>,
    pub texts: Vec<String>,
    pub shared_vars: Vec<Region>,
    pub shared_packed: u32,
    pub shared_placed: u32,
    pub dynamic_align: u32,
    pub uses_dynamic: bool,
    pub local_vars: Vec<Region>,
    pub local_bytes: u32,
    pub params: Vec<ParamInfo>,
    pub param_bytes: u32,
}

/// Bytes between variables of shared and local memory: a multiple of all banks, so that conflicts are counted as if
/// it were not there.
const GAP: u32 = 1024;
const LOCAL_GAP: u32 = 64;

/// A kernel's code.
pub(crate) fn lower(cx: &Context<'_>, f: &Function) -> Result<Code> {
    let mut l = Lower {
        cx,
        values: Vec::new(),
        constants: HashMap::new(),
        special: HashMap::new(),
        insts: Vec::new(),
        labels: Vec::new(),
        tables: Vec::new(),
        scopes: vec![Scope::default()],
        calls: Vec::new(),
        returns: Vec::new(),
        code: Parts { dynamic_align: 1, ..Parts::default() },
        shared_names: HashMap::new(),
        line: f.line,
        loc: None,
        guard: None,
        first: true,
        class: Class::Other,
    };
    let mut offset = 0u32;
    for p in &f.params {
        offset = offset.next_multiple_of(p.align);
        l.code.params.push(ParamInfo { offset, size: p.size });
        l.declare(p.name.clone(), Name::Param(offset, p.size))?;
        offset += p.size;
    }
    l.code.param_bytes = offset;
    if offset > 32764 {
        return Err(PtxError::new(f.line, format!("{offset} bytes of parameters")));
    }
    l.body(f, None)?;
    flow::finish(l, f)
}

impl Lower<'_> {
    pub(crate) fn error<T>(&self, message: impl Into<String>) -> Result<T> {
        Err(PtxError::new(self.line, message))
    }

    fn declare(&mut self, name: String, what: Name) -> Result<()> {
        let line = self.line;
        let scope = self.scopes.last_mut().expect("a scope");
        if scope.names.insert(name.clone(), what).is_some() {
            return Err(PtxError::new(line, format!("`{name}` is declared twice in one scope")));
        }
        Ok(())
    }

    pub(crate) fn new_value(&mut self, what: Source_, width: Width, bits: u32, name: String) -> V {
        self.values.push(Value { what, width, bits, name });
        self.values.len() as u32 - 1
    }

    pub(crate) fn temp(&mut self, width: Width) -> V {
        let bits = if width == Width::Wide { 64 } else { 32 };
        self.new_value(Source_::Register, width, bits, "a temporary".into())
    }

    pub(crate) fn constant(&mut self, value: u64, width: Width) -> V {
        if let Some(v) = self.constants.get(&(value, width)) {
            return *v;
        }
        let bits = if width == Width::Wide { 64 } else { 32 };
        let v = self.new_value(Source_::Const(value), width, bits, String::new());
        self.constants.insert((value, width), v);
        v
    }

    pub(crate) fn special(&mut self, s: Special, width: Width) -> V {
        if let Some(v) = self.special.get(&(s, width)) {
            return *v;
        }
        let bits = if width == Width::Wide { 64 } else { 32 };
        let v = self.new_value(Source_::Special(s), width, bits, String::new());
        self.special.insert((s, width), v);
        v
    }

    pub(crate) fn new_label(&mut self) -> usize {
        self.labels.push(None);
        self.labels.len() - 1
    }

    /// The innermost meaning of a name.
    pub(crate) fn lookup(&mut self, name: &str) -> Option<Name> {
        for i in (0..self.scopes.len()).rev() {
            if let Some(n) = self.scopes[i].names.get(name) {
                return Some(n.clone());
            }
            // %r17 of `%r<20>`
            let digits = name.len() - name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
            if digits > 0 {
                let (stem, number) = name.split_at(name.len() - digits);
                if number.len() > 1 && number.starts_with('0') {
                    continue;
                }
                if let (Ok(n), Some((_, count, first))) =
                    (number.parse::<u32>(), self.scopes[i].families.iter().find(|f| f.0 == stem))
                {
                    return (n < *count).then_some(Name::Register(first + n));
                }
            }
        }
        None
    }

    /// A function's body at this place. `exit` is where its `ret` goes; a kernel's ends the thread.
    fn body(&mut self, f: &Function, exit: Option<usize>) -> Result<()> {
        let Some(body) = &f.body else {
            return self.error(format!("`{}` is declared but nowhere defined", f.name));
        };
        if self.calls.contains(&f.name) {
            return self.error(format!("recursive call of `{}`: not implemented", f.name));
        }
        if self.insts.len() > 4_000_000 {
            return self.error("more than four million instructions after inlining");
        }
        self.calls.push(f.name.clone());
        self.returns.push(exit);
        let depth = self.scopes.len();
        self.collect_labels(body, 0)?;
        for (i, s) in body.iter().enumerate() {
            self.line = s.line;
            self.loc = s.loc;
            match &s.what {
                Body::Open => {
                    self.scopes.push(Scope::default());
                    self.collect_labels(body, i + 1)?;
                }
                Body::Close => {
                    self.scopes.pop();
                }
                Body::Label(name) => {
                    if let Some(Name::Label(l)) = self.lookup(name) {
                        self.labels[l] = Some(self.insts.len());
                    }
                }
                Body::Targets(_) => {}
                Body::Registers(ty, names) => self.registers(ty, names)?,
                Body::Variable(v) => self.variable(v)?,
                Body::Instruction(inst) => {
                    self.guard = match &inst.guard {
                        None => None,
                        Some((name, not)) => Some((self.predicate(name)?, *not)),
                    };
                    self.first = true;
                    self.class = Class::Other;
                    decode::instruction(self, inst)?;
                }
            }
        }
        debug_assert_eq!(self.scopes.len(), depth);
        self.guard = None;
        // falling off the end returns
        match exit {
            Some(_) => {}
            None => self.emit(Op::Exit, vec![], vec![]),
        }
        self.calls.pop();
        self.returns.pop();
        Ok(())
    }

    /// Labels are known in their whole scope, before and after.
    fn collect_labels(&mut self, body: &[Statement], from: usize) -> Result<()> {
        let mut depth = 0;
        for (i, s) in body.iter().enumerate().skip(from) {
            match &s.what {
                Body::Open => depth += 1,
                Body::Close if depth == 0 => break,
                Body::Close => depth -= 1,
                Body::Label(name) if depth == 0 => {
                    self.line = s.line;
                    if let Some(Statement { what: Body::Targets(t), .. }) = body.get(i + 1) {
                        self.declare(name.clone(), Name::Table(t.clone()))?;
                    } else {
                        let l = self.new_label();
                        self.declare(name.clone(), Name::Label(l))?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn registers(&mut self, ty: &str, names: &[(String, Option<u32>)]) -> Result<()> {
        let (width, bits) = match ty {
            "pred" => (Width::Pred, 1),
            _ => match ptx::parser::type_bytes(ty) {
                Some(8) => (Width::Wide, 64),
                Some(16) | None => {
                    return self.error(format!("registers of type `.{ty}` are not implemented"));
                }
                Some(b) => (Width::Line, b * 8),
            },
        };
        for (name, count) in names {
            match count {
                None => {
                    let v = self.new_value(Source_::Register, width, bits, name.clone());
                    self.declare(name.clone(), Name::Register(v))?;
                }
                Some(n) => {
                    if *n > 1_000_000 {
                        return self.error(format!("{n} registers"));
                    }
                    let first = self.values.len() as u32;
                    for i in 0..*n {
                        self.new_value(Source_::Register, width, bits, format!("{name}{i}"));
                    }
                    let scope = self.scopes.last_mut().expect("a scope");
                    if scope.families.iter().any(|f| f.0 == *name) {
                        let message = format!("`{name}<>` is declared twice in one scope");
                        return self.error(message);
                    }
                    scope.families.push((name.clone(), *n, first));
                }
            }
        }
        Ok(())
    }

    fn variable(&mut self, v: &Variable) -> Result<()> {
        use ptx::parser::Space;
        let name = match v.space {
            Space::Local | Space::Param => {
                let at = self.local(&v.name, v.size, v.align);
                Name::Local(at, v.size)
            }
            Space::Shared if v.dynamic => {
                self.code.dynamic_align = self.code.dynamic_align.max(v.align);
                self.code.uses_dynamic = true;
                Name::Dynamic
            }
            Space::Shared => {
                let scope = self.calls.last().cloned().unwrap_or_default();
                Name::Shared(self.shared(&format!("{scope}/{}", v.name), v))
            }
            Space::Global | Space::Const => {
                return self.error("global variables inside a function are not implemented");
            }
        };
        self.declare(v.name.clone(), name)
    }

    fn local(&mut self, name: &str, size: u32, align: u32) -> u32 {
        let c = &mut self.code;
        let at = (c.local_bytes + LOCAL_GAP).next_multiple_of(align.max(16));
        c.local_vars.push(Region { name: name.to_string(), start: at, size });
        c.local_bytes = (at + size).next_multiple_of(16);
        at
    }

    /// Place of a shared variable; one that a function called twice declares is one variable.
    fn shared(&mut self, key: &str, v: &Variable) -> u32 {
        if let Some(at) = self.shared_names.get(key) {
            return *at;
        }
        let c = &mut self.code;
        let packed = c.shared_packed.next_multiple_of(v.align);
        let at = packed + GAP * c.shared_vars.len() as u32;
        c.shared_vars.push(Region { name: v.name.clone(), start: at, size: v.size });
        c.shared_packed = packed + v.size;
        c.shared_placed = at + v.size;
        self.shared_names.insert(key.to_string(), at);
        at
    }

    /// What a symbol's address is: a value of 64 bits (or 32, in shared and local memory).
    pub(crate) fn address_of(&mut self, name: &str, width: Width) -> Result<V> {
        match self.lookup(name) {
            Some(Name::Local(at, _)) => return Ok(self.constant(u64::from(at), width)),
            Some(Name::Shared(at)) => return Ok(self.constant(u64::from(at), width)),
            Some(Name::Dynamic) => return Ok(self.special(Special::DynamicSharedBase, width)),
            Some(Name::Param(at, _)) => return Ok(self.constant(u64::from(at), width)),
            Some(_) => return self.error(format!("`{name}` has no address")),
            None => {}
        }
        if let Some(a) = self.cx.globals.get(name) {
            if width != Width::Wide {
                return self.error(format!("the address of `{name}` needs 64 bits"));
            }
            let base = a.base;
            return Ok(self.constant(base, width));
        }
        let module = self.cx.module;
        if let Some(v) = module.variables.iter().find(|v| v.name == name) {
            if v.dynamic {
                self.code.dynamic_align = self.code.dynamic_align.max(v.align);
                self.code.uses_dynamic = true;
                return Ok(self.special(Special::DynamicSharedBase, width));
            }
            if v.space == ptx::parser::Space::Shared {
                let at = self.shared(&format!("/{name}"), v);
                return Ok(self.constant(u64::from(at), width));
            }
        }
        self.error(format!("`{name}` is not declared"))
    }

    pub(crate) fn predicate(&mut self, name: &str) -> Result<V> {
        match self.lookup(name) {
            Some(Name::Register(v)) if self.values[v as usize].width == Width::Pred => Ok(v),
            Some(Name::Register(_)) => self.error(format!("`{name}` is no predicate")),
            _ => self.error(format!("`{name}` is not declared")),
        }
    }

    pub(crate) fn emit(&mut self, op: Op, defs: Vec<V>, uses: Vec<V>) {
        self.emit_full(op, defs, uses, 0, 0, None);
    }

    pub(crate) fn emit_full(
        &mut self,
        op: Op,
        defs: Vec<V>,
        uses: Vec<V>,
        x: u32,
        imm: i64,
        target: Option<usize>,
    ) {
        let info = Info { line: self.line, loc: self.loc, class: self.class, first: self.first };
        self.first = false;
        self.insts.push(VInst { op, defs, uses, guard: self.guard, target, x, imm, info });
    }

    /// A cold operation: `f` gets the operands zero-extended to 64 bits.
    pub(crate) fn emit_scalar(
        &mut self,
        d: V,
        uses: Vec<V>,
        f: impl Fn([u64; 4]) -> u64 + Send + Sync + 'static,
    ) {
        let mut wide = [false; 4];
        for (w, u) in wide.iter_mut().zip(&uses) {
            *w = self.values[*u as usize].width == Width::Wide;
        }
        let result_wide = self.values[d as usize].width == Width::Wide;
        let op = if self.values[d as usize].width == Width::Pred { Op::ScalarSet } else { Op::Scalar };
        self.code.scalars.push((Box::new(f), wide, result_wide));
        let x = self.code.scalars.len() as u32 - 1;
        self.emit_full(op, vec![d], uses, x, 0, None);
    }

    /// Puts a called function here.
    pub(crate) fn inline(&mut self, name: &str, results: &[Arg], args: &[Arg]) -> Result<()> {
        let module = self.cx.module;
        let Some(f) = module.functions.iter().find(|f| f.name == name) else {
            return self.error(format!("call of `{name}`, which is not declared"));
        };
        if f.body.is_none() {
            return self.error(format!("call of `{name}`, which is nowhere defined"));
        }
        let (line, loc, guard) = (self.line, self.loc, self.guard);
        if f.params.len() != args.len() || f.results.len() != results.len() {
            return self.error(format!("call of `{name}` with {} arguments", args.len()));
        }
        let mut names = HashMap::new();
        for (formal, actual) in f.params.iter().chain(&f.results).zip(args.iter().chain(results)) {
            let Arg::Word(actual) = actual else {
                return self.error("only variables are passed to functions");
            };
            match self.lookup(actual) {
                Some(Name::Local(at, size)) if size == formal.size => {
                    names.insert(formal.name.clone(), Name::Local(at, size));
                }
                Some(Name::Local(_, size)) => {
                    let text =
                        format!("`{actual}` has {size} bytes, `{}` wants {}", formal.name, formal.size);
                    return self.error(text);
                }
                _ => return self.error(format!("`{actual}` is no parameter variable")),
            }
        }
        let skip = self.new_label();
        if let Some((p, not)) = guard {
            // only some lanes call: the others jump over the body
            self.guard = Some((p, !not));
            self.class = Class::Branch;
            self.emit_full(Op::Branch, vec![], vec![], 0, 0, Some(skip));
        } else {
            self.class = Class::Branch;
            self.emit(Op::Nop, vec![], vec![]);
        }
        // the callee sees its own names and the module's, not the caller's
        let saved = std::mem::replace(&mut self.scopes, vec![Scope { names, families: Vec::new() }]);
        self.body(f, Some(skip))?;
        self.scopes = saved;
        self.labels[skip] = Some(self.insts.len());
        (self.line, self.loc, self.guard) = (line, loc, guard);
        Ok(())
    }
}
