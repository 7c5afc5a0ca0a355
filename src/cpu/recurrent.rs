//! Recurrent cells, one step: all that stands behind the GEMMs, in one pass.
//!
//! A row of `gates` holds blocks of U columns. Each op is a [`Cell`]: a function of one register of every block.
//! Equations are in [`Backend`](crate::Backend).

use super::Cpu;
use super::activation::{EXP_WORK, slope, value};
use super::formula::{Formula, check, slices};
use super::math::{sigmoid, tanh};
use super::parallel::{Pieces, rows_per_task};
use super::simd::{Isa, Kernel, Lanes, Portable, Simd};
use crate::activations::Activation;
use crate::backend::CellActivations;
use crate::error::{Error, Result};
use crate::shape::Shape;
use crate::tensor::{View, ViewMut};
use std::array::from_fn;
use std::marker::PhantomData;
use std::ops::Range;

/// The two functions of a cell and their slopes, in terms of their values.
trait Functions: Copy + Sync {
    fn activation<S: Simd>(self, s: S, x: S::V) -> S::V;
    fn recurrent<S: Simd>(self, s: S, x: S::V) -> S::V;
    fn activation_slope<S: Simd>(self, s: S, y: S::V) -> S::V;
    fn recurrent_slope<S: Simd>(self, s: S, y: S::V) -> S::V;
}

/// Keras's choice: tanh and sigmoid, compiled into the loop.
const KERAS: CellActivations =
    CellActivations { activation: Activation::Tanh, recurrent: Activation::Sigmoid };

#[derive(Clone, Copy)]
struct Keras;

impl Functions for Keras {
    #[inline(always)]
    fn activation<S: Simd>(self, s: S, x: S::V) -> S::V {
        tanh(s, x)
    }
    #[inline(always)]
    fn recurrent<S: Simd>(self, s: S, x: S::V) -> S::V {
        sigmoid(s, x)
    }
    #[inline(always)]
    fn activation_slope<S: Simd>(self, s: S, y: S::V) -> S::V {
        y.neg_mul_add(y, s.splat(1.0))
    }
    #[inline(always)]
    fn recurrent_slope<S: Simd>(self, s: S, y: S::V) -> S::V {
        y * (s.splat(1.0) - y)
    }
}

/// Any other choice, as calls. A call cannot cross into another instruction set, so these cells run in the portable one.
#[derive(Clone, Copy)]
struct Any(CellActivations);

impl Functions for Any {
    fn activation<S: Simd>(self, s: S, x: S::V) -> S::V {
        value(s, self.0.activation, x)
    }
    fn recurrent<S: Simd>(self, s: S, x: S::V) -> S::V {
        value(s, self.0.recurrent, x)
    }
    fn activation_slope<S: Simd>(self, s: S, y: S::V) -> S::V {
        slope(s, self.0.activation, y)
    }
    fn recurrent_slope<S: Simd>(self, s: S, y: S::V) -> S::V {
        slope(s, self.0.recurrent, y)
    }
}

/// Whether both activations work element by element and have a derivative in terms of their value.
pub(super) fn check_activations(op: &'static str, acts: CellActivations) -> Result<()> {
    match [acts.activation, acts.recurrent].into_iter().find(|f| !f.is_elementwise() || f.needs_input()) {
        None => Ok(()),
        Some(f) => {
            Err(Error::op(op, format!("a cell cannot use {f}: its derivative needs more than its value")))
        }
    }
}

/// The state before, which is 0 where there is none.
#[inline(always)]
fn before<S: Simd>(s: S, previous: &[S::V]) -> S::V {
    previous.first().copied().unwrap_or(s.splat(0.0))
}

/// What becomes of one register of each of OUT blocks, given one of each of IN others.
trait Cell<const IN: usize, const OUT: usize> {
    fn step<S: Simd, A: Functions>(s: S, acts: A, x: [S::V; IN], y: [S::V; OUT]) -> [S::V; OUT];
}

/// In: c₋₁ or nothing. Out: i, f, ĉ, o (before, their pre-activations), c, h.
struct Lstm;

impl<const IN: usize> Cell<IN, 6> for Lstm {
    #[inline(always)]
    fn step<S: Simd, A: Functions>(
        s: S,
        acts: A,
        c_prev: [S::V; IN],
        [i, f, candidate, o, _, _]: [S::V; 6],
    ) -> [S::V; 6] {
        let (i, f, o) = (acts.recurrent(s, i), acts.recurrent(s, f), acts.recurrent(s, o));
        let candidate = acts.activation(s, candidate);
        let c = f.mul_add(before(s, &c_prev), i * candidate);
        [i, f, candidate, o, c, o * acts.activation(s, c)]
    }
}

/// In: c, dh, and c₋₁ or nothing. Out: di, df, dĉ, do (before, the gates), dc.
struct LstmBackward;

impl<const IN: usize> Cell<IN, 5> for LstmBackward {
    #[inline(always)]
    fn step<S: Simd, A: Functions>(
        s: S,
        acts: A,
        x: [S::V; IN],
        [i, f, candidate, o, dc]: [S::V; 5],
    ) -> [S::V; 5] {
        let (c, dh, c_prev) = (x[0], x[1], before(s, &x[2..]));
        let t = acts.activation(s, c);
        let dc = (dh * o).mul_add(acts.activation_slope(s, t), dc);
        let di = dc * candidate * acts.recurrent_slope(s, i);
        let df = dc * c_prev * acts.recurrent_slope(s, f);
        let dcandidate = dc * i * acts.activation_slope(s, candidate);
        let do_ = dh * t * acts.recurrent_slope(s, o);
        [di, df, dcandidate, do_, dc * f]
    }
}

/// In: the three blocks of h₋₁ U + bᵣ, and h₋₁ or nothing. Out: z, r, ĥ (before, x W + bᵢ), h.
struct Gru;

impl<const IN: usize> Cell<IN, 4> for Gru {
    #[inline(always)]
    fn step<S: Simd, A: Functions>(
        s: S,
        acts: A,
        x: [S::V; IN],
        [z, r, candidate, _]: [S::V; 4],
    ) -> [S::V; 4] {
        let z = acts.recurrent(s, z + x[0]);
        let r = acts.recurrent(s, r + x[1]);
        let candidate = acts.activation(s, r.mul_add(x[2], candidate));
        let h = z.mul_add(before(s, &x[3..]), (s.splat(1.0) - z) * candidate);
        [z, r, candidate, h]
    }
}

/// In: h₋₁ or nothing. Out: the gradients of x W + bᵢ (before, z, r, ĥ), those of h₋₁ U + bᵣ (before, the last of
/// itself), dh.
struct GruBackward;

impl<const IN: usize> Cell<IN, 7> for GruBackward {
    #[inline(always)]
    fn step<S: Simd, A: Functions>(
        s: S,
        acts: A,
        x: [S::V; IN],
        [z, r, candidate, _, _, inner, dh]: [S::V; 7],
    ) -> [S::V; 7] {
        let dz = dh * (before(s, &x) - candidate) * acts.recurrent_slope(s, z);
        let dcandidate = dh * (s.splat(1.0) - z) * acts.activation_slope(s, candidate);
        let dr = dcandidate * inner * acts.recurrent_slope(s, r);
        [dz, dr, dcandidate, dz, dr, dcandidate * r, dh * z]
    }
}

/// A cell with its functions, as a formula.
struct With<A, C>(A, PhantomData<fn(C)>);

impl<A: Copy, C> Clone for With<A, C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A: Copy, C> Copy for With<A, C> {}

impl<A: Functions, C: Cell<IN, OUT>, const IN: usize, const OUT: usize> Formula<IN, OUT> for With<A, C> {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, x: [S::V; IN], y: [S::V; OUT]) -> [S::V; OUT] {
        C::step(s, self.0, x, y)
    }
}

/// Block `at` of the `of` blocks of U columns that a row of a tensor has.
#[derive(Clone, Copy)]
struct Block<T> {
    tensor: T,
    at: usize,
    of: usize,
}

impl<T> Block<T> {
    /// Where the block of row `r` is.
    #[inline(always)]
    fn row(&self, r: usize, u: usize) -> Range<usize> {
        let start = (r * self.of + self.at) * u;
        start..start + u
    }
}

/// All blocks of a tensor.
fn blocks<T: Copy, const N: usize>(tensor: T) -> [Block<T>; N] {
    from_fn(|at| Block { tensor, at, of: N })
}

/// Rows of a step.
struct Rows<'a, A, C, const IN: usize, const OUT: usize> {
    formula: With<A, C>,
    rows: Range<usize>,
    u: usize,
    x: [Block<&'a [f32]>; IN],
    y: [Block<&'a Pieces<'a, f32>>; OUT],
}

impl<A: Functions, C: Cell<IN, OUT>, const IN: usize, const OUT: usize> Kernel for Rows<'_, A, C, IN, OUT> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let u = self.u;
        for r in self.rows {
            let x = self.x.map(|b| &b.tensor[b.row(r, u)]);
            // SAFETY: blocks are different parts of their rows, and tasks have different rows.
            let y = self.y.map(|b| unsafe { b.tensor.piece(b.row(r, u)) });
            slices(s, self.formula, x, y);
        }
    }
}

/// Runs a cell on all rows. Tensors that are written must be different ones, or different blocks of one.
fn step<C: Cell<IN, OUT>, const IN: usize, const OUT: usize>(
    cpu: &Cpu,
    _cell: C,
    acts: CellActivations,
    (n, u): (usize, usize),
    x: [Block<&[f32]>; IN],
    y: [Block<&Pieces<f32>>; OUT],
) {
    let per_task = rows_per_task(n, u * OUT * EXP_WORK);
    cpu.pool.run(n.div_ceil(per_task), &|task| {
        rows_of_step::<C, IN, OUT>(cpu.isa, acts, task * per_task..n.min((task + 1) * per_task), u, x, y);
    });
}

/// Runs a cell on some rows.
fn rows_of_step<C: Cell<IN, OUT>, const IN: usize, const OUT: usize>(
    isa: Isa,
    acts: CellActivations,
    rows: Range<usize>,
    u: usize,
    x: [Block<&[f32]>; IN],
    y: [Block<&Pieces<f32>>; OUT],
) {
    match acts == KERAS {
        true => isa.run(Rows { formula: With::<_, C>(Keras, PhantomData), rows, u, x, y }),
        false => Rows { formula: With::<_, C>(Any(acts), PhantomData), rows, u, x, y }.run(Portable),
    }
}

/// The shapes of a step: `state` is [N, U], `gates` [N, blocks · U], all others as long as they must be.
fn check_shapes(
    op: &'static str,
    blocks: usize,
    gates: Shape,
    state: Shape,
    others: &[(&'static str, Option<Shape>, usize)],
) -> Result<(usize, usize)> {
    let (n, u) = state.as_matrix();
    check(op, gates.as_matrix() == (n, blocks * u), &[("gates", gates), ("state", state)])?;
    for &(name, shape, of) in others {
        if let Some(shape) = shape {
            check(op, shape.len() == n * u * of, &[(name, shape), ("state", state)])?;
        }
    }
    Ok((n, u))
}

pub(super) fn lstm_step(
    cpu: &Cpu,
    acts: CellActivations,
    gates: ViewMut,
    c_prev: Option<View>,
    c: ViewMut,
    h: ViewMut,
) -> Result<()> {
    let op = "lstm_step";
    check_activations(op, acts)?;
    let others = [("c_prev", c_prev.map(|p| p.shape()), 1), ("h", Some(h.shape()), 1)];
    let size = check_shapes(op, 4, gates.shape(), c.shape(), &others)?;
    let (gates, c, h) = (Pieces::new(gates.f32()?), Pieces::new(c.f32()?), Pieces::new(h.f32()?));
    let ([i, f, candidate, o], [c], [h]) = (blocks(&gates), blocks(&c), blocks(&h));
    let y = [i, f, candidate, o, c, h];
    match c_prev {
        Some(p) => step(cpu, Lstm, acts, size, blocks::<_, 1>(p.f32()?), y),
        None => step(cpu, Lstm, acts, size, [], y),
    }
    Ok(())
}

pub(super) fn lstm_step_backward(
    cpu: &Cpu,
    acts: CellActivations,
    gates: ViewMut,
    c_prev: Option<View>,
    c: View,
    dh: View,
    dc: ViewMut,
) -> Result<()> {
    let op = "lstm_step_backward";
    check_activations(op, acts)?;
    let others =
        [("c_prev", c_prev.map(|p| p.shape()), 1), ("dh", Some(dh.shape()), 1), ("dc", Some(dc.shape()), 1)];
    let size = check_shapes(op, 4, gates.shape(), c.shape(), &others)?;
    let (gates, dc) = (Pieces::new(gates.f32()?), Pieces::new(dc.f32()?));
    let ([i, f, candidate, o], [dc]) = (blocks(&gates), blocks(&dc));
    let ([c], [dh], y) = (blocks(c.f32()?), blocks(dh.f32()?), [i, f, candidate, o, dc]);
    match c_prev {
        Some(p) => step(cpu, LstmBackward, acts, size, [c, dh, blocks::<_, 1>(p.f32()?)[0]], y),
        None => step(cpu, LstmBackward, acts, size, [c, dh], y),
    }
    Ok(())
}

/// [`lstm_step`] of some rows, on this thread.
pub(super) fn lstm_rows(
    isa: Isa,
    acts: CellActivations,
    u: usize,
    gates: &mut [f32],
    c_prev: Option<&[f32]>,
    c: &mut [f32],
    h: &mut [f32],
) {
    let rows = 0..c.len() / u.max(1);
    let (gates, c, h) = (Pieces::new(gates), Pieces::new(c), Pieces::new(h));
    let ([i, f, candidate, o], [c], [h]) = (blocks(&gates), blocks(&c), blocks(&h));
    let y = [i, f, candidate, o, c, h];
    match c_prev {
        Some(p) => rows_of_step::<Lstm, 1, 6>(isa, acts, rows, u, blocks(p), y),
        None => rows_of_step::<Lstm, 0, 6>(isa, acts, rows, u, [], y),
    }
}

/// [`lstm_step_backward`] of some rows, on this thread.
pub(super) fn lstm_rows_backward(
    isa: Isa,
    acts: CellActivations,
    u: usize,
    gates: &mut [f32],
    c_prev: Option<&[f32]>,
    c: &[f32],
    dh: &[f32],
    dc: &mut [f32],
) {
    let rows = 0..c.len() / u.max(1);
    let (gates, dc) = (Pieces::new(gates), Pieces::new(dc));
    let ([i, f, candidate, o], [dc]) = (blocks(&gates), blocks(&dc));
    let ([c], [dh], y) = (blocks(c), blocks(dh), [i, f, candidate, o, dc]);
    match c_prev {
        Some(p) => rows_of_step::<LstmBackward, 3, 5>(isa, acts, rows, u, [c, dh, blocks::<_, 1>(p)[0]], y),
        None => rows_of_step::<LstmBackward, 2, 5>(isa, acts, rows, u, [c, dh], y),
    }
}

pub(super) fn gru_step(
    cpu: &Cpu,
    acts: CellActivations,
    gates: ViewMut,
    recurrent: View,
    h_prev: Option<View>,
    h: ViewMut,
) -> Result<()> {
    let op = "gru_step";
    check_activations(op, acts)?;
    let others = [("h_prev", h_prev.map(|p| p.shape()), 1), ("recurrent", Some(recurrent.shape()), 3)];
    let size = check_shapes(op, 3, gates.shape(), h.shape(), &others)?;
    let (gates, h) = (Pieces::new(gates.f32()?), Pieces::new(h.f32()?));
    let ([z, r, candidate], [h]) = (blocks(&gates), blocks(&h));
    let ([xz, xr, xc], y) = (blocks(recurrent.f32()?), [z, r, candidate, h]);
    match h_prev {
        Some(p) => step(cpu, Gru, acts, size, [xz, xr, xc, blocks::<_, 1>(p.f32()?)[0]], y),
        None => step(cpu, Gru, acts, size, [xz, xr, xc], y),
    }
    Ok(())
}

pub(super) fn gru_step_backward(
    cpu: &Cpu,
    acts: CellActivations,
    gates: ViewMut,
    recurrent: ViewMut,
    h_prev: Option<View>,
    dh: ViewMut,
) -> Result<()> {
    let op = "gru_step_backward";
    check_activations(op, acts)?;
    let others = [("h_prev", h_prev.map(|p| p.shape()), 1), ("recurrent", Some(recurrent.shape()), 3)];
    let size = check_shapes(op, 3, gates.shape(), dh.shape(), &others)?;
    let (gates, dh) = (Pieces::new(gates.f32()?), Pieces::new(dh.f32()?));
    let recurrent = Pieces::new(recurrent.f32()?);
    let ([z, r, candidate], [rz, rr, rc], [dh]) = (blocks(&gates), blocks(&recurrent), blocks(&dh));
    let y = [z, r, candidate, rz, rr, rc, dh];
    match h_prev {
        Some(p) => step(cpu, GruBackward, acts, size, blocks::<_, 1>(p.f32()?), y),
        None => step(cpu, GruBackward, acts, size, [], y),
    }
    Ok(())
}
