//! The flow of values: which registers may be read before they are written, how long each is needed, and where in
//! the register file it lives.
//!
//! NVRTC's registers are used once each, a thousand of them in an unrolled kernel. A warp's file with a line for
//! each would not fit the first-level cache, so lines are shared by registers that are never alive together. Every
//! lane follows its own path through the program and writes its own column only, so what is right for a scalar
//! program is right for a warp, diverged or not.

use super::*;

/// A set of registers.
#[derive(Clone, PartialEq)]
struct Bits(Vec<u64>);

impl Bits {
    fn new(n: usize) -> Bits {
        Bits(vec![0; n.div_ceil(64)])
    }

    fn full(n: usize) -> Bits {
        Bits(vec![u64::MAX; n.div_ceil(64)])
    }

    fn has(&self, i: u32) -> bool {
        self.0[i as usize / 64] >> (i % 64) & 1 == 1
    }

    fn add(&mut self, i: u32) {
        self.0[i as usize / 64] |= 1 << (i % 64);
    }

    fn remove(&mut self, i: u32) {
        self.0[i as usize / 64] &= !(1 << (i % 64));
    }

    fn each(&self, mut f: impl FnMut(u32)) {
        for (w, bits) in self.0.iter().enumerate() {
            let mut b = *bits;
            while b != 0 {
                f(w as u32 * 64 + b.trailing_zeros());
                b &= b - 1;
            }
        }
    }
}

struct Block {
    first: usize,
    last: usize,
    next: Vec<usize>,
    before: Vec<usize>,
}

fn successors(l: &Lower<'_>, i: usize) -> Vec<usize> {
    let inst = &l.insts[i];
    let label = |x: usize| l.labels[x].expect("a label's place");
    let mut out = Vec::new();
    match inst.op {
        Op::Branch => {
            out.push(label(inst.target.expect("a branch's target")));
            if inst.guard.is_some() {
                out.push(i + 1);
            }
        }
        Op::BranchTable => {
            out.extend(l.tables[inst.x as usize].iter().map(|t| label(*t)));
            if inst.guard.is_some() {
                out.push(i + 1);
            }
        }
        Op::Exit if inst.guard.is_none() => {}
        _ => out.push(i + 1),
    }
    out
}

fn blocks(l: &Lower<'_>) -> Vec<Block> {
    let n = l.insts.len();
    let mut leader = vec![false; n + 1];
    leader[0] = true;
    for t in l.labels.iter().flatten() {
        leader[*t] = true;
    }
    for i in 0..n {
        if matches!(l.insts[i].op, Op::Branch | Op::BranchTable | Op::Exit) {
            leader[i + 1] = true;
        }
    }
    let mut of = vec![0; n];
    let mut out: Vec<Block> = Vec::new();
    for i in 0..n {
        if leader[i] {
            out.push(Block { first: i, last: i, next: Vec::new(), before: Vec::new() });
        }
        let b = out.len() - 1;
        out[b].last = i;
        of[i] = b;
    }
    for b in 0..out.len() {
        let mut next: Vec<usize> =
            successors(l, out[b].last).into_iter().filter(|i| *i < n).map(|i| of[i]).collect();
        next.sort_unstable();
        next.dedup();
        for s in &next {
            out[*s].before.push(b);
        }
        out[b].next = next;
    }
    out
}

fn is_move(op: Op) -> bool {
    matches!(op, Op::Mov32 | Op::Mov64 | Op::PredMov)
}

fn is_register(l: &Lower<'_>, v: V) -> bool {
    matches!(l.values[v as usize].what, Source_::Register)
}

/// After this instruction, what is surely written.
fn define(l: &Lower<'_>, i: &VInst, set: &mut Bits) {
    if i.guard.is_some() {
        return;
    }
    if is_move(i.op) {
        let s = i.uses[0];
        if is_register(l, s) && !set.has(s) {
            set.remove(i.defs[0]);
            return;
        }
    }
    for d in &i.defs {
        set.add(*d);
    }
}

/// Puts checks before reads of registers that may be unwritten.
fn check_unwritten(l: &mut Lower<'_>) {
    let blocks = blocks(l);
    let n = l.values.len();
    let mut into: Vec<Bits> = vec![Bits::full(n); blocks.len()];
    into[0] = Bits::new(n);
    let mut work: Vec<usize> = (0..blocks.len()).rev().collect();
    while let Some(b) = work.pop() {
        let mut set = into[b].clone();
        for i in blocks[b].first..=blocks[b].last {
            define(l, &l.insts[i], &mut set);
        }
        for s in &blocks[b].next {
            let mut changed = false;
            for (x, y) in into[*s].0.iter_mut().zip(&set.0) {
                let new = *x & y;
                changed |= new != *x;
                *x = new;
            }
            if changed {
                work.push(*s);
            }
        }
    }
    // what must be watched: read somewhere while it may be unwritten
    let mut watched = Bits::new(n);
    let mut reads: HashMap<usize, Vec<V>> = HashMap::new();
    let mut moves: Vec<(V, V)> = Vec::new();
    for (b, block) in blocks.iter().enumerate() {
        // unreachable blocks keep the full set
        let mut set = into[b].clone();
        for i in block.first..=block.last {
            let inst = &l.insts[i];
            let guard = inst.guard.map(|g| g.0);
            for u in inst.uses.iter().copied().chain(guard) {
                if is_register(l, u) && !set.has(u) {
                    if is_move(inst.op) && Some(u) != guard {
                        moves.push((inst.defs[0], u));
                    } else {
                        watched.add(u);
                        let list = reads.entry(i).or_default();
                        if !list.contains(&u) {
                            list.push(u);
                        }
                    }
                }
            }
            define(l, &l.insts[i], &mut set);
        }
    }
    // a watched copy needs its source watched
    loop {
        let mut changed = false;
        for (d, s) in &moves {
            if watched.has(*d) && !watched.has(*s) {
                watched.add(*s);
                changed = true;
            }
        }
        if !changed {
            break;
        }
    }
    if watched.0.iter().all(|w| *w == 0) {
        return;
    }
    let mut flags: HashMap<V, V> = HashMap::new();
    let mut list = Vec::new();
    watched.each(|v| list.push(v));
    for v in list {
        let f = l.new_value(Source_::Register, Width::Pred, 1, String::new());
        flags.insert(v, f);
    }
    let old = std::mem::take(&mut l.insts);
    let mut place = Vec::with_capacity(old.len() + 1);
    for (i, inst) in old.into_iter().enumerate() {
        place.push(l.insts.len());
        let info = Info { first: false, ..inst.info.clone() };
        let plain = |op, defs, uses, x, guard| VInst {
            op,
            defs,
            uses,
            guard,
            target: None,
            x,
            imm: 0,
            info: info.clone(),
        };
        for u in reads.get(&i).into_iter().flatten() {
            l.code.texts.push(l.values[*u as usize].name.clone());
            let x = l.code.texts.len() as u32 - 1;
            // a guard is read by every lane
            let guard = inst.guard.filter(|g| g.0 != *u);
            let check = plain(Op::CheckInit, vec![], vec![flags[u]], x, guard);
            l.insts.push(check);
        }
        for d in &inst.defs {
            if let Some(f) = flags.get(d) {
                let source = if is_move(inst.op) { flags.get(&inst.uses[0]) } else { None };
                let mark = match source {
                    Some(s) => plain(Op::MoveInit, vec![*f], vec![*s], 0, inst.guard),
                    None => plain(Op::MarkInit, vec![*f], vec![*f], 0, inst.guard),
                };
                l.insts.push(mark);
            }
        }
        l.insts.push(inst);
    }
    place.push(l.insts.len());
    for t in l.labels.iter_mut().flatten() {
        *t = place[*t];
    }
}

/// First and last position at which each register is needed.
fn intervals(l: &Lower<'_>) -> Vec<Option<(u32, u32)>> {
    let blocks = blocks(l);
    let n = l.values.len();
    let watch = |v: V| is_register(l, v) && l.values[v as usize].width != Width::Pred;
    let mut uses = Vec::new();
    let mut kills = Vec::new();
    for b in &blocks {
        let (mut u, mut k) = (Bits::new(n), Bits::new(n));
        for i in b.first..=b.last {
            let inst = &l.insts[i];
            for v in &inst.uses {
                if watch(*v) && !k.has(*v) {
                    u.add(*v);
                }
            }
            for v in &inst.defs {
                if watch(*v) {
                    // a guarded write leaves the other lanes' values alive
                    if inst.guard.is_none() {
                        k.add(*v);
                    } else if !k.has(*v) {
                        u.add(*v);
                    }
                }
            }
        }
        uses.push(u);
        kills.push(k);
    }
    let mut into: Vec<Bits> = uses.clone();
    let mut out: Vec<Bits> = vec![Bits::new(n); blocks.len()];
    let mut work: Vec<usize> = (0..blocks.len()).collect();
    let mut queued = vec![true; blocks.len()];
    while let Some(b) = work.pop() {
        queued[b] = false;
        let mut o = Bits::new(n);
        for s in &blocks[b].next {
            for (x, y) in o.0.iter_mut().zip(&into[*s].0) {
                *x |= y;
            }
        }
        let mut changed = false;
        for w in 0..o.0.len() {
            let i = uses[b].0[w] | o.0[w] & !kills[b].0[w];
            changed |= i != into[b].0[w];
            into[b].0[w] = i;
        }
        out[b] = o;
        if changed {
            for p in &blocks[b].before {
                if !queued[*p] {
                    queued[*p] = true;
                    work.push(*p);
                }
            }
        }
    }
    let mut span: Vec<Option<(u32, u32)>> = vec![None; n];
    let mut touch = |v: V, at: u32| {
        let s = &mut span[v as usize];
        *s = Some(s.map_or((at, at), |(a, b)| (a.min(at), b.max(at))));
    };
    for (b, block) in blocks.iter().enumerate() {
        into[b].each(|v| touch(v, 2 * block.first as u32));
        out[b].each(|v| touch(v, 2 * block.last as u32 + 2));
        for i in block.first..=block.last {
            for v in &l.insts[i].uses {
                if watch(*v) {
                    touch(*v, 2 * i as u32);
                }
            }
            for v in &l.insts[i].defs {
                if watch(*v) {
                    touch(*v, 2 * i as u32 + 1);
                    touch(*v, 2 * i as u32 + 2);
                }
            }
        }
    }
    span
}

/// Lines for one width of registers, each as soon as it is free again.
fn allocate(l: &Lower<'_>, span: &[Option<(u32, u32)>], width: Width, places: &mut [u32]) -> u32 {
    let mut order: Vec<(u32, u32, V)> = Vec::new();
    for (v, s) in span.iter().enumerate() {
        if let Some((a, b)) = s
            && l.values[v].width == width
        {
            order.push((*a, *b, v as V));
        }
    }
    order.sort_unstable();
    let mut active: std::collections::BinaryHeap<std::cmp::Reverse<(u32, u32)>> = Default::default();
    let mut free: Vec<u32> = Vec::new();
    let mut count = 0;
    for (start, end, v) in order {
        while let Some(std::cmp::Reverse((e, line))) = active.peek().copied() {
            if e > start {
                break;
            }
            active.pop();
            free.push(line);
        }
        let line = free.pop().unwrap_or_else(|| {
            count += 1;
            count - 1
        });
        active.push(std::cmp::Reverse((end, line)));
        places[v as usize] = line;
    }
    count
}

pub(super) fn finish(mut l: Lower<'_>, f: &Function) -> Result<Code> {
    for (i, t) in l.labels.iter().enumerate() {
        if t.is_none() {
            return Err(PtxError::new(f.line, format!("label {i} of `{}` has no place", f.name)));
        }
    }
    if l.code.dynamic_align > 1 || l.code.uses_dynamic {
        let align = l.code.dynamic_align.max(16);
        let c = &mut l.code;
        let packed = c.shared_packed.next_multiple_of(align);
        c.shared_placed = packed + GAP * c.shared_vars.len() as u32;
        c.shared_packed = packed;
    }
    check_unwritten(&mut l);
    let span = intervals(&l);
    let n = l.values.len();
    let mut places = vec![0u32; n];

    // predicates first: the constant ones, then those that are cleared for each block
    let mut at = 4u32;
    let mut consts = vec![(0u32, u64::from(u32::MAX), Width::Pred)];
    for (v, value) in l.values.iter().enumerate() {
        if let (Source_::Const(c), Width::Pred) = (&value.what, value.width) {
            consts.push((at, *c, Width::Pred));
            places[v] = at;
            at += 4;
        }
    }
    let valid = at;
    for (v, value) in l.values.iter().enumerate() {
        if let (Source_::Register, Width::Pred) = (&value.what, value.width) {
            places[v] = at;
            at += 4;
        }
    }
    let valid = (valid, at - valid);
    at = at.next_multiple_of(128);
    let mut specials = Vec::new();
    for (v, value) in l.values.iter().enumerate() {
        let wide = value.width == Width::Wide;
        match value.what {
            Source_::Const(c) if value.width != Width::Pred => consts.push((at, c, value.width)),
            Source_::Special(s) => specials.push((at, s, wide)),
            _ => continue,
        }
        places[v] = at;
        at += if wide { 256 } else { 128 };
    }
    let mut lines = vec![0u32; n];
    let narrow = allocate(&l, &span, Width::Line, &mut lines);
    let wide = allocate(&l, &span, Width::Wide, &mut lines);
    for (v, value) in l.values.iter().enumerate() {
        if matches!(value.what, Source_::Register) && span[v].is_some() {
            match value.width {
                Width::Line => places[v] = at + lines[v] * 128,
                Width::Wide => places[v] = at + narrow * 128 + lines[v] * 256,
                Width::Pred => {}
            }
        }
    }
    at += narrow * 128 + wide * 256;
    let scratch = at;
    at += 256;

    let label = |x: usize| l.labels[x].expect("a label's place") as u32;
    let mut pool = Vec::new();
    let mut insts = Vec::with_capacity(l.insts.len());
    let mut infos = Vec::with_capacity(l.insts.len());
    let mut has_loop = false;
    for (i, v) in l.insts.iter().enumerate() {
        let p = pool.len() as u32;
        pool.extend(v.defs.iter().chain(&v.uses).map(|x| places[*x as usize]));
        let operand = |k: usize| v.uses.get(k).map_or(0, |u| places[*u as usize]);
        let x = match v.target {
            Some(t) => label(t),
            None => v.x,
        };
        has_loop |= v.op == Op::Branch && x as usize <= i;
        insts.push(Inst {
            op: v.op,
            nd: v.defs.len() as u8,
            nu: v.uses.len() as u8,
            guard: v.guard.map_or(0, |g| places[g.0 as usize]),
            guard_not: if v.guard.is_some_and(|g| g.1) { u32::MAX } else { 0 },
            d: v.defs.first().map_or(0, |d| places[*d as usize]),
            a: operand(0),
            b: operand(1),
            c: operand(2),
            p,
            x,
            imm: v.imm,
        });
        infos.push(v.info.clone());
    }
    let tables: Vec<Vec<u32>> = l.tables.iter().map(|t| t.iter().map(|x| label(*x)).collect()).collect();
    has_loop |= !tables.is_empty();
    Ok(Code {
        name: f.name.clone(),
        insts,
        infos,
        pool,
        scalars: l.code.scalars,
        mems: l.code.mems,
        atoms: l.code.atoms,
        mmas: l.code.mmas,
        tables,
        texts: l.code.texts,
        file_bytes: at as usize,
        consts: consts.into_iter().map(|(o, v, w)| (o, v, w == Width::Wide, w == Width::Pred)).collect(),
        specials,
        scratch,
        valid,
        shared_vars: l.code.shared_vars,
        shared_packed: l.code.shared_packed,
        shared_placed: l.code.shared_placed,
        uses_dynamic: l.code.uses_dynamic,
        local_vars: l.code.local_vars,
        local_bytes: l.code.local_bytes,
        params: l.code.params,
        param_bytes: l.code.param_bytes,
        max_threads: f.max_threads,
        required_threads: f.required_threads,
        registers: narrow + 2 * wide,
        source: l.cx.source.clone(),
        _variables: l.cx.globals.values().cloned().collect(),
        has_loop,
    })
}
