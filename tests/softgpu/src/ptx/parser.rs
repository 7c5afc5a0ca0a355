//! Statements of PTX: variables, functions, and in a function's body its declarations, labels and instructions.

use super::lexer::{Tok, Token, tokens};
use super::{PtxError, Result};

/// An operand as written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Arg {
    /// A register, a special register, a symbol or a label; `_` for a result nobody wants.
    Word(String),
    Int(u64),
    F32(u32),
    F64(u64),
    Not(Box<Arg>),
    Vector(Vec<Arg>),
    /// `[base + offset]`; several for instructions with a list in brackets.
    Address(Box<Arg>, i64),
    /// `symbol + offset` outside brackets.
    Offset(String, i64),
    /// `%p1|%p2`
    Pair(Box<Arg>, Box<Arg>),
    /// `(a, b)` of a call.
    List(Vec<Arg>),
}

#[derive(Debug, Clone)]
pub(crate) struct Instruction {
    pub op: String,
    pub guard: Option<(String, bool)>,
    pub args: Vec<Arg>,
}

#[derive(Debug, Clone)]
pub(crate) enum Body {
    Open,
    Close,
    Label(String),
    /// type, name, and how many for `%r<17>`
    Registers(String, Vec<(String, Option<u32>)>),
    Variable(Variable),
    /// The jump table under the label before it.
    Targets(Vec<String>),
    Instruction(Instruction),
}

#[derive(Debug, Clone)]
pub(crate) struct Statement {
    pub line: u32,
    /// `.loc`'s file and line in force.
    pub loc: Option<(u32, u32)>,
    pub what: Body,
}

#[derive(Debug, Clone)]
pub(crate) enum Init {
    Value(u64),
    Float(u64, bool),
    Address(String, i64),
}

#[derive(Debug, Clone)]
pub(crate) struct Variable {
    pub name: String,
    pub space: Space,
    pub align: u32,
    pub ty: String,
    pub size: u32,
    /// Size given by the launch: `.extern .shared x[]`.
    pub dynamic: bool,
    pub init: Vec<Init>,
    pub element: u32,
    pub line: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Space {
    Global,
    Const,
    Shared,
    Local,
    Param,
}

#[derive(Debug, Clone)]
pub(crate) struct Param {
    pub name: String,
    pub size: u32,
    pub align: u32,
}

#[derive(Debug, Clone)]
pub(crate) struct Function {
    pub name: String,
    pub entry: bool,
    pub results: Vec<Param>,
    pub params: Vec<Param>,
    pub max_threads: Option<u32>,
    pub required_threads: Option<[u32; 3]>,
    pub body: Option<Vec<Statement>>,
    pub line: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Module {
    pub version: (u32, u32),
    pub target: u32,
    pub files: Vec<(u32, String)>,
    pub variables: Vec<Variable>,
    pub functions: Vec<Function>,
}

/// Bytes of a PTX type, if it names one that memory can hold.
pub(crate) fn type_bytes(ty: &str) -> Option<u32> {
    Some(match ty {
        "b8" | "u8" | "s8" => 1,
        "b16" | "u16" | "s16" | "f16" | "bf16" => 2,
        "b32" | "u32" | "s32" | "f32" | "f16x2" | "bf16x2" => 4,
        "b64" | "u64" | "s64" | "f64" => 8,
        "b128" => 16,
        _ => return None,
    })
}

struct Parser {
    toks: Vec<Token>,
    at: usize,
    loc: Option<(u32, u32)>,
}

pub(crate) fn parse(text: &str) -> Result<Module> {
    let mut p = Parser { toks: tokens(text)?, at: 0, loc: None };
    let mut m = Module::default();
    while p.at < p.toks.len() {
        p.top_level(&mut m)?;
    }
    if m.version == (0, 0) {
        return Err(PtxError::new(1, "no `.version`"));
    }
    if m.target == 0 {
        return Err(PtxError::new(1, "no `.target`"));
    }
    Ok(m)
}

impl Parser {
    fn line(&self) -> u32 {
        self.toks.get(self.at).or(self.toks.last()).map_or(1, |t| t.line)
    }

    fn error<T>(&self, message: impl Into<String>) -> Result<T> {
        Err(PtxError::new(self.line(), message))
    }

    fn peek(&self) -> Option<&Tok> {
        self.toks.get(self.at).map(|t| &t.tok)
    }

    fn next(&mut self) -> Result<Tok> {
        let t = self.toks.get(self.at).map(|t| t.tok.clone());
        self.at += 1;
        t.ok_or_else(|| PtxError::new(self.line(), "the text ends too early"))
    }

    fn is(&self, c: char) -> bool {
        self.peek() == Some(&Tok::Punct(c))
    }

    fn eat(&mut self, c: char) -> bool {
        let yes = self.is(c);
        self.at += usize::from(yes);
        yes
    }

    fn expect(&mut self, c: char) -> Result<()> {
        if self.eat(c) {
            return Ok(());
        }
        let got = self.peek().map_or("the end".to_string(), |t| format!("{t:?}"));
        self.error(format!("expected `{c}`, found {got}"))
    }

    fn word(&mut self) -> Result<String> {
        match self.next()? {
            Tok::Word(w) => Ok(w),
            t => {
                self.at -= 1;
                self.error(format!("expected a name, found {t:?}"))
            }
        }
    }

    fn int(&mut self) -> Result<u64> {
        match self.next()? {
            Tok::Int(v) => Ok(v),
            t => {
                self.at -= 1;
                self.error(format!("expected a number, found {t:?}"))
            }
        }
    }

    fn is_word(&self, w: &str) -> bool {
        matches!(self.peek(), Some(Tok::Word(x)) if x == w)
    }

    fn skip_line(&mut self) {
        let line = self.line();
        while self.at < self.toks.len() && self.toks[self.at].line == line {
            self.at += 1;
        }
    }

    fn top_level(&mut self, m: &mut Module) -> Result<()> {
        let line = self.line();
        let w = self.word()?;
        match w.as_str() {
            ".version" => {
                let Tok::F64(v) = self.next()? else { return self.error("bad `.version`") };
                let v = f64::from_bits(v);
                m.version = (v as u32, ((v - v.floor()) * 10.0).round() as u32);
                if m.version.0 > 9 {
                    return Err(PtxError::new(line, format!("PTX version {v} is newer than 9.x")));
                }
            }
            ".target" => {
                let t = self.word()?;
                let digits: String =
                    t.trim_start_matches("sm_").chars().take_while(char::is_ascii_digit).collect();
                m.target = digits.parse().map_err(|_| PtxError::new(line, format!("bad target `{t}`")))?;
                while self.eat(',') {
                    self.word()?;
                }
            }
            ".address_size" => {
                if self.int()? != 64 {
                    return Err(PtxError::new(line, "only 64-bit addresses"));
                }
            }
            ".file" => {
                let index = self.int()? as u32;
                if let Tok::Str(name) = self.next()? {
                    m.files.push((index, name));
                }
                while self.eat(',') {
                    self.int()?;
                }
            }
            ".section" => self.skip_section()?,
            ".loc" | ".pragma" => {
                self.at -= 1;
                self.directive()?;
            }
            ".visible" | ".extern" | ".weak" | ".common" => {
                if w == ".extern" {
                    self.declaration(m, true)?;
                } else {
                    self.declaration(m, false)?;
                }
            }
            _ => {
                self.at -= 1;
                self.declaration(m, false)?;
            }
        }
        Ok(())
    }

    fn skip_section(&mut self) -> Result<()> {
        while !self.eat('{') {
            self.next()?;
        }
        while !self.eat('}') {
            self.next()?;
        }
        Ok(())
    }

    fn declaration(&mut self, m: &mut Module, external: bool) -> Result<()> {
        if self.is_word(".entry") || self.is_word(".func") {
            let f = self.function()?;
            // a declaration before the definition is replaced by it
            if let Some(old) = m.functions.iter_mut().find(|o| o.name == f.name) {
                if f.body.is_some() {
                    if old.body.is_some() {
                        return Err(PtxError::new(f.line, format!("`{}` is defined twice", f.name)));
                    }
                    *old = f;
                }
            } else {
                m.functions.push(f);
            }
            return Ok(());
        }
        let v = self.variable(external)?;
        m.variables.push(v);
        Ok(())
    }

    fn function(&mut self) -> Result<Function> {
        let line = self.line();
        let entry = self.word()? == ".entry";
        let results = if !entry && self.is('(') { self.params()? } else { Vec::new() };
        let name = self.word()?;
        let params = if self.is('(') { self.params()? } else { Vec::new() };
        let mut f = Function {
            name,
            entry,
            results,
            params,
            max_threads: None,
            required_threads: None,
            body: None,
            line,
        };
        loop {
            if self.eat(';') {
                return Ok(f);
            }
            if self.is('{') {
                break;
            }
            let w = self.word()?;
            match w.as_str() {
                ".maxntid" | ".reqntid" => {
                    let mut n = [1u32; 3];
                    n[0] = self.int()? as u32;
                    for d in n.iter_mut().skip(1) {
                        if self.eat(',') {
                            *d = self.int()? as u32;
                        }
                    }
                    f.max_threads = Some(n.iter().product());
                    if w == ".reqntid" {
                        f.required_threads = Some(n);
                    }
                }
                ".minnctapersm" | ".maxnreg" | ".maxnctapersm" => {
                    self.int()?;
                }
                ".noinline" | ".noreturn" => {}
                ".pragma" => {
                    self.next()?;
                    self.expect(';')?;
                }
                _ => return self.error(format!("unknown performance directive `{w}`")),
            }
        }
        f.body = Some(self.body()?);
        Ok(f)
    }

    fn params(&mut self) -> Result<Vec<Param>> {
        self.expect('(')?;
        let mut out = Vec::new();
        while !self.eat(')') {
            let space = self.word()?;
            if space != ".param" {
                return self.error(format!("parameters in `{space}` are not implemented"));
            }
            out.push(self.param()?);
            if !self.is(')') {
                self.expect(',')?;
            }
        }
        Ok(out)
    }

    fn param(&mut self) -> Result<Param> {
        let mut align = None;
        let mut bytes = None;
        loop {
            let w = self.word()?;
            if w == ".align" {
                align = Some(self.int()? as u32);
            } else if let Some(b) = w.strip_prefix('.').and_then(type_bytes) {
                bytes = Some(b);
            } else if matches!(w.as_str(), ".ptr" | ".global" | ".const" | ".shared" | ".local") {
                // `.ptr .global .align 4` says what the pointer points to, not how the parameter lies; its
                // alignment comes after the type and must not become the parameter's
                if self.is_word(".align") {
                    self.at += 1;
                    self.int()?;
                }
            } else if w.starts_with('.') {
                return self.error(format!("unknown parameter attribute `{w}`"));
            } else {
                let Some(element) = bytes else { return self.error("a parameter without a type") };
                let mut size = element;
                if self.eat('[') {
                    if self.is(']') {
                        return self.error("parameters of unknown size are not implemented");
                    }
                    size = element * self.int()? as u32;
                    self.expect(']')?;
                }
                return Ok(Param { name: w, size, align: align.unwrap_or(element) });
            }
        }
    }

    fn variable(&mut self, external: bool) -> Result<Variable> {
        let line = self.line();
        let mut space = None;
        let mut align = None;
        let mut ty = None;
        loop {
            let w = self.word()?;
            match w.as_str() {
                ".global" => space = Some(Space::Global),
                ".const" => space = Some(Space::Const),
                ".shared" => space = Some(Space::Shared),
                ".local" => space = Some(Space::Local),
                ".param" => space = Some(Space::Param),
                ".align" => align = Some(self.int()? as u32),
                _ if w.strip_prefix('.').and_then(type_bytes).is_some() => ty = Some(w[1..].to_string()),
                _ if w.starts_with('.') => return self.error(format!("unknown directive `{w}`")),
                _ => {
                    let Some(space) = space else { return self.error(format!("unexpected `{w}`")) };
                    let Some(ty) = ty else { return self.error(format!("`{w}` has no type")) };
                    return self.variable_rest(w, space, align, ty, external, line);
                }
            }
        }
    }

    fn variable_rest(
        &mut self,
        name: String,
        space: Space,
        align: Option<u32>,
        ty: String,
        external: bool,
        line: u32,
    ) -> Result<Variable> {
        let element = type_bytes(&ty).unwrap_or(1);
        let (mut count, mut unsized_) = (1u64, false);
        while self.eat('[') {
            if self.eat(']') {
                unsized_ = true;
                continue;
            }
            count *= self.int()?;
            self.expect(']')?;
        }
        let mut init = Vec::new();
        if self.eat('=') {
            self.initialisers(&mut init)?;
        }
        self.expect(';')?;
        if unsized_ {
            count = init.len() as u64;
        }
        if external && !(space == Space::Shared && unsized_) {
            return Err(PtxError::new(
                line,
                format!("`{name}` is defined in another module, which is not linked"),
            ));
        }
        if count.saturating_mul(u64::from(element)) > u64::from(u32::MAX) {
            return Err(PtxError::new(line, format!("`{name}` is too large")));
        }
        let align = align.unwrap_or(element);
        if !align.is_power_of_two() {
            return Err(PtxError::new(line, format!("alignment {align} is no power of two")));
        }
        Ok(Variable {
            name,
            space,
            align,
            ty,
            size: (count * u64::from(element)) as u32,
            dynamic: unsized_ && space == Space::Shared,
            init,
            element,
            line,
        })
    }

    fn initialisers(&mut self, out: &mut Vec<Init>) -> Result<()> {
        if self.eat('{') {
            while !self.eat('}') {
                self.initialisers(out)?;
                if !self.is('}') {
                    self.expect(',')?;
                }
            }
            return Ok(());
        }
        let negative = self.eat('-');
        match self.next()? {
            Tok::Int(v) => out.push(Init::Value(if negative { v.wrapping_neg() } else { v })),
            Tok::F32(v) => out.push(Init::Float(u64::from(v), false)),
            Tok::F64(v) => out.push(Init::Float(v, true)),
            Tok::Word(w) => {
                // `generic(x)`, `generic(x)+4` or `x`: all addresses of globals are generic here
                let name = if w == "generic" {
                    self.expect('(')?;
                    let n = self.word()?;
                    self.expect(')')?;
                    n
                } else {
                    w
                };
                let mut off = 0i64;
                if self.eat('+') {
                    off = self.int()? as i64;
                }
                out.push(Init::Address(name, off));
            }
            t => return self.error(format!("bad initialiser {t:?}")),
        }
        Ok(())
    }

    /// `.loc` and friends, which may stand anywhere.
    fn directive(&mut self) -> Result<()> {
        let w = self.word()?;
        match w.as_str() {
            ".loc" => {
                let file = self.int()? as u32;
                let line = self.int()? as u32;
                self.loc = Some((file, line));
                // column, function_name, inlined_at: to the end of the line
                if self.at < self.toks.len() && self.toks[self.at].line == self.toks[self.at - 1].line {
                    self.skip_line();
                }
            }
            ".pragma" => {
                self.next()?;
                self.expect(';')?;
            }
            _ => return self.error(format!("unknown directive `{w}`")),
        }
        Ok(())
    }

    fn body(&mut self) -> Result<Vec<Statement>> {
        self.expect('{')?;
        self.loc = None;
        let mut out = Vec::new();
        let mut depth = 0;
        loop {
            let line = self.line();
            let what = match self.peek() {
                None => return self.error("a function that never ends"),
                Some(Tok::Punct('{')) => {
                    self.at += 1;
                    depth += 1;
                    Body::Open
                }
                Some(Tok::Punct('}')) => {
                    self.at += 1;
                    if depth == 0 {
                        return Ok(out);
                    }
                    depth -= 1;
                    Body::Close
                }
                Some(Tok::Punct(';')) => {
                    self.at += 1;
                    continue;
                }
                Some(Tok::Punct('@')) => self.instruction()?,
                Some(Tok::Word(w)) if w.starts_with('.') => match w.as_str() {
                    ".loc" | ".pragma" => {
                        self.directive()?;
                        continue;
                    }
                    ".reg" => {
                        self.at += 1;
                        self.registers()?
                    }
                    ".branchtargets" => {
                        self.at += 1;
                        let mut names = vec![self.word()?];
                        while self.eat(',') {
                            names.push(self.word()?);
                        }
                        self.expect(';')?;
                        Body::Targets(names)
                    }
                    ".section" => {
                        self.skip_section()?;
                        continue;
                    }
                    _ => Body::Variable(self.variable(false)?),
                },
                Some(Tok::Word(w)) => {
                    let label = matches!(self.toks.get(self.at + 1), Some(t) if t.tok == Tok::Punct(':'));
                    if label {
                        let w = w.clone();
                        self.at += 2;
                        Body::Label(w)
                    } else {
                        self.instruction()?
                    }
                }
                Some(t) => {
                    let t = format!("unexpected {t:?}");
                    return self.error(t);
                }
            };
            out.push(Statement { line, loc: self.loc, what });
        }
    }

    fn registers(&mut self) -> Result<Body> {
        let ty = self.word()?;
        let Some(ty) = ty.strip_prefix('.').map(str::to_string) else {
            return self.error("a register without a type");
        };
        if ty.starts_with('v') {
            return self.error("vector registers are not implemented");
        }
        let mut names = Vec::new();
        loop {
            let name = self.word()?;
            let mut count = None;
            if self.eat('<') {
                count = Some(self.int()? as u32);
                self.expect('>')?;
            }
            names.push((name, count));
            if !self.eat(',') {
                break;
            }
        }
        self.expect(';')?;
        Ok(Body::Registers(ty, names))
    }

    fn instruction(&mut self) -> Result<Body> {
        let mut guard = None;
        if self.eat('@') {
            let not = self.eat('!');
            guard = Some((self.word()?, not));
        }
        let op = self.word()?;
        let mut args = Vec::new();
        if !self.is(';') {
            loop {
                args.push(self.operand()?);
                if !self.eat(',') {
                    break;
                }
            }
        }
        self.expect(';')?;
        Ok(Body::Instruction(Instruction { op, guard, args }))
    }

    fn operand(&mut self) -> Result<Arg> {
        let first = self.simple_operand()?;
        if self.eat('|') {
            let second = self.simple_operand()?;
            return Ok(Arg::Pair(Box::new(first), Box::new(second)));
        }
        Ok(first)
    }

    fn offset(&mut self) -> Result<i64> {
        // `+4`, `+-4`, `-4`
        let mut sign = 1i64;
        if self.eat('+') {
            if self.eat('-') {
                sign = -1;
            }
        } else if self.eat('-') {
            sign = -1;
        } else {
            return Ok(0);
        }
        Ok(sign * self.int()? as i64)
    }

    fn simple_operand(&mut self) -> Result<Arg> {
        if self.eat('!') {
            return Ok(Arg::Not(Box::new(self.simple_operand()?)));
        }
        if self.eat('-') {
            return match self.next()? {
                Tok::Int(v) => Ok(Arg::Int(v.wrapping_neg())),
                Tok::F64(v) => Ok(Arg::F64((-f64::from_bits(v)).to_bits())),
                Tok::F32(v) => Ok(Arg::F32(v ^ 0x8000_0000)),
                t => self.error(format!("expected a number after `-`, found {t:?}")),
            };
        }
        match self.next()? {
            Tok::Int(v) => Ok(Arg::Int(v)),
            Tok::F32(v) => Ok(Arg::F32(v)),
            Tok::F64(v) => Ok(Arg::F64(v)),
            Tok::Word(w) => {
                if self.is('+') {
                    let off = self.offset()?;
                    return Ok(Arg::Offset(w, off));
                }
                Ok(Arg::Word(w))
            }
            Tok::Punct('{') => Ok(Arg::Vector(self.list('}')?)),
            Tok::Punct('(') => Ok(Arg::List(self.list(')')?)),
            Tok::Punct('[') => {
                let base = match self.next()? {
                    Tok::Word(w) => Arg::Word(w),
                    Tok::Int(v) => Arg::Int(v),
                    t => {
                        self.at -= 1;
                        return self.error(format!("bad address {t:?}"));
                    }
                };
                let off = self.offset()?;
                self.expect(']')?;
                Ok(Arg::Address(Box::new(base), off))
            }
            t => {
                self.at -= 1;
                self.error(format!("unexpected operand {t:?}"))
            }
        }
    }

    fn list(&mut self, close: char) -> Result<Vec<Arg>> {
        let mut out = Vec::new();
        while !self.eat(close) {
            out.push(self.operand()?);
            if !self.is(close) {
                self.expect(',')?;
            }
        }
        Ok(out)
    }
}
