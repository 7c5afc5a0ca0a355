//! Losses: each formula above its derivative; see [`Loss`](crate::losses) for the equations.
//!
//! Probabilities are clipped to [ε, 1 − ε]. In f32, 1 − ε has few digits left, so it is −ln that is clipped, to what
//! it is at those ends.

use super::Cpu;
use super::activation::{Columns, EXP_WORK, NARROW, softmax, softmax_of_narrow};
use super::formula::{Formula, Same, check, formula, largest, slices, sum_of};
use super::math::{exp, ln, ln_1p, sigmoid};
use super::parallel::{Pieces, rows_per_task};
use super::simd::{Kernel, Lanes, Simd};
use super::targets::{Row, Targets};
use crate::activations::Activation;
use crate::backend::{Backend, LossTerm, Target};
use crate::error::{Error, Result};
use crate::losses::{EPSILON, Loss};
use crate::shape::Shape;
use crate::tensor::{View, ViewMut};
use std::ops::Range;

/// ε.
const EPS: f32 = EPSILON as f32;
/// −ln(1 − ε) = ε + ε²/2 + ...
const LEAST: f32 = (EPSILON + EPSILON * EPSILON / 2.0) as f32;
/// −ln ε.
const MOST: f32 = 16.118_095;

// ---------------------------------------------------------------- losses that are a mean over columns

/// −ln clip(p).
#[inline(always)]
fn minus_ln<S: Simd>(s: S, p: S::V) -> S::V {
    s.splat(LEAST).max(-ln(s, s.splat(EPS).max(p)))
}

/// −ln(1 − clip(p)).
#[inline(always)]
fn minus_ln_rest<S: Simd>(s: S, p: S::V) -> S::V {
    let below_one = s.splat(1.0 - f32::EPSILON / 2.0).min(p);
    s.splat(LEAST).max(s.splat(MOST).min(-ln_1p(s, -below_one)))
}

/// x where ε ≤ p ≤ 1 − ε, else 0.
#[inline(always)]
fn unclipped<S: Simd>(s: S, p: S::V, x: S::V) -> S::V {
    let (zero, eps) = (s.splat(0.0), s.splat(EPS));
    S::V::select(p.ge(eps), S::V::select((s.splat(1.0) - p).ge(eps), x, zero), zero)
}

/// −1, 0 or 1.
#[inline(always)]
fn sign<S: Simd>(s: S, x: S::V) -> S::V {
    S::V::select(x.abs().gt(s.splat(0.0)), s.splat(1.0).copysign(x), x) // NaN stays
}

/// A target of a hinge loss: −1 or 1; a 0 counts as −1.
#[inline(always)]
fn sign_of_class<S: Simd>(s: S, t: S::V) -> S::V {
    S::V::select(s.splat(0.0).ge(t.abs()), s.splat(-1.0), t)
}

/// The loss of one prediction p with target t.
#[derive(Clone, Copy)]
struct Term(Loss);

impl Formula<2, 1> for Term {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, [p, t]: [S::V; 2], _y: [S::V; 1]) -> [S::V; 1] {
        let (zero, one, eps) = (s.splat(0.0), s.splat(1.0), s.splat(EPS));
        let e = p - t;
        [match self.0 {
            Loss::MeanAbsoluteError => e.abs(),
            Loss::MeanAbsolutePercentageError => s.splat(100.0) * e.abs() / eps.max(t.abs()),
            Loss::MeanSquaredLogarithmicError => {
                let e = ln_1p(s, eps.max(p)) - ln_1p(s, eps.max(t));
                e * e
            }
            Loss::Hinge => zero.max(sign_of_class(s, t).neg_mul_add(p, one)),
            Loss::SquaredHinge => {
                let e = zero.max(sign_of_class(s, t).neg_mul_add(p, one));
                e * e
            }
            Loss::Huber { delta } => {
                let (e, delta, half) = (e.abs(), s.splat(delta as f32), s.splat(0.5));
                S::V::select(e.gt(delta), delta * (e - half * delta), half * e * e)
            }
            Loss::BinaryCrossentropy { from_logits: true } => {
                p.neg_mul_add(t, zero.max(p)) + ln_1p(s, exp(s, -p.abs()))
            }
            Loss::BinaryCrossentropy { from_logits: false } => {
                t.mul_add(minus_ln(s, p), (one - t) * minus_ln_rest(s, p))
            }
            _ => e * e, // the mean squared error; crossentropies over classes are below
        }]
    }
}

/// Its derivative by p, times a factor.
#[derive(Clone, Copy)]
struct TermSlope(Loss, f32);

impl Formula<2, 1> for TermSlope {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, [p, t]: [S::V; 2], _y: [S::V; 1]) -> [S::V; 1] {
        let (zero, one, two, eps) = (s.splat(0.0), s.splat(1.0), s.splat(2.0), s.splat(EPS));
        let e = p - t;
        let slope = match self.0 {
            Loss::MeanAbsoluteError => sign(s, e),
            Loss::MeanAbsolutePercentageError => s.splat(100.0) * sign(s, e) / eps.max(t.abs()),
            Loss::MeanSquaredLogarithmicError => {
                let p1 = eps.max(p);
                let slope = two * (ln_1p(s, p1) - ln_1p(s, eps.max(t))) / (one + p1);
                S::V::select(eps.gt(p), zero, slope)
            }
            Loss::Hinge => {
                let t = sign_of_class(s, t);
                S::V::select(t.neg_mul_add(p, one).gt(zero), -t, zero)
            }
            Loss::SquaredHinge => {
                let t = sign_of_class(s, t);
                -two * t * zero.max(t.neg_mul_add(p, one))
            }
            Loss::Huber { delta } => s.splat(delta as f32).min(s.splat(-delta as f32).max(e)),
            Loss::BinaryCrossentropy { from_logits: true } => sigmoid(s, p) - t,
            Loss::BinaryCrossentropy { from_logits: false } => unclipped(s, p, e / (p * (one - p))),
            _ => two * e,
        };
        [s.splat(self.1) * slope]
    }
}

// ---------------------------------------------------------------- crossentropies over classes, one row

formula! { /// e^(z − max)
ExpLess { max } [z] -> [_y] |s| [exp(s, z - s.splat(max))] }
formula! { /// t (lse − z) = −t ln softmax(z)
FromLogits { lse } [z, t] -> [_y] |s| [t * (s.splat(lse) - z)] }
formula! { /// −t ln clip(q), with q = p / Σ p
FromProbabilities { sum } [p, t] -> [_y] |s| [t * minus_ln(s, p / s.splat(sum))] }
formula! { /// t where q is not clipped
Unclipped { sum } [p, t] -> [_y] |s| [unclipped(s, p / s.splat(sum), t)] }
formula! { /// factor (total − t / q), the second where q is not clipped
ProbabilitySlope { sum, factor, total } [p, t] -> [_d] |s| {
    let q = p / s.splat(sum);
    [s.splat(factor) * (s.splat(total) - unclipped(s, q, t / q))]
} }
formula! { /// factor (y total − t), with y = softmax(z)
LogitSlope { factor, total } [t] -> [y] |s| [s.splat(factor) * y.mul_add(s.splat(total), -t)] }
formula! { Scale { a } [] -> [y] |s| [s.splat(a) * y] }

/// −Σⱼ tⱼ ln softmax(z)ⱼ = Σⱼ tⱼ (lse − zⱼ), with lse = ln Σⱼ e^zⱼ.
#[inline(always)]
fn logit_loss<S: Simd>(s: S, z: &[f32], t: Row, lse: f32) -> f32 {
    match t {
        Row::Values(t) => sum_of(s, FromLogits { lse }, [z, t]),
        Row::Label(label) => lse - z[label],
    }
}

/// d = factor (y Σ t − t), where d holds y = softmax(z) before.
#[inline(always)]
fn logit_slope<S: Simd>(s: S, t: Row, factor: f32, d: &mut [f32]) {
    match t {
        Row::Values(t) => {
            let total = sum_of(s, Same {}, [t]);
            slices(s, LogitSlope { factor, total }, [t], [d]);
        }
        Row::Label(label) => {
            d[label] -= 1.0;
            slices(s, Scale { a: factor }, [], [d]);
        }
    }
}

/// Whether a single probability is not clipped.
fn is_inside(q: f32) -> bool {
    q >= EPS && 1.0 - q >= EPS
}

/// −Σⱼ tⱼ ln clip(qⱼ), with q = p / Σ p.
#[inline(always)]
fn probability_loss<S: Simd>(s: S, p: &[f32], t: Row) -> f32 {
    let sum = sum_of(s, Same {}, [p]);
    match t {
        Row::Values(t) => sum_of(s, FromProbabilities { sum }, [p, t]),
        Row::Label(label) => sum_of(s, FromProbabilities { sum }, [&p[label..=label], &[1.0]]),
    }
}

/// gⱼ = −tⱼ / qⱼ, or 0 where qⱼ is clipped; d = factor (g − Σⱼ gⱼ qⱼ) / Σ p.
#[inline(always)]
fn probability_slope<S: Simd>(s: S, p: &[f32], t: Row, factor: f32, d: &mut [f32]) {
    let sum = sum_of(s, Same {}, [p]);
    let factor = factor / sum;
    match t {
        Row::Values(t) => {
            let total = sum_of(s, Unclipped { sum }, [p, t]);
            slices(s, ProbabilitySlope { sum, factor, total }, [p, t], [d]);
        }
        Row::Label(label) => {
            let q = p[label] / sum;
            let inside = is_inside(q);
            d.fill(if inside { factor } else { 0.0 });
            if inside {
                d[label] -= factor / q;
            }
        }
    }
}

// ---------------------------------------------------------------- all rows

/// Opens `target` after checking that `loss` can use it for this prediction.
fn open<'a>(op: &'static str, loss: Loss, prediction: Shape, target: Target<'a>) -> Result<Targets<'a>> {
    match (target, loss.is_sparse()) {
        (Target::Values(_), true) => Err(Error::op(op, format!("{loss} takes labels, got values"))),
        (Target::Labels(_), false) => Err(Error::op(op, format!("{loss} takes values, got labels"))),
        _ => Targets::open(op, prediction, target, prediction.last()),
    }
}

/// What a row's gradient is multiplied by.
#[derive(Clone, Copy)]
struct Factors<'a> {
    scale: f64,
    weights: Option<&'a [f32]>,
}

impl<'a> Factors<'a> {
    fn open(op: &'static str, term: &LossTerm<'a>, prediction: Shape) -> Result<Factors<'a>> {
        if let Some(w) = term.weights {
            let fit = w.len() == prediction.as_matrix().0;
            check(op, fit, &[("prediction", prediction), ("weights", w.shape())])?;
        }
        Ok(Factors { scale: term.scale, weights: term.weights.map(View::f32).transpose()? })
    }

    /// The factor of every row, if it is the same.
    fn of_all(&self) -> Option<f32> {
        self.weights.is_none().then_some(self.scale as f32)
    }

    fn row(&self, r: usize) -> f32 {
        (self.scale * self.weights.map_or(1.0, |w| f64::from(w[r]))) as f32
    }
}

/// Rows `first ..` of [`loss`], as many as `rows` has.
struct LossRows<'a> {
    loss: Loss,
    first: usize,
    cols: usize,
    p: &'a [f32],
    targets: Targets<'a>,
    rows: &'a mut [f32],
}

impl Kernel for LossRows<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let cols = self.cols;
        for (r, out) in (self.first..).zip(self.rows) {
            let (p, t) = (&self.p[r * cols..(r + 1) * cols], self.targets.row(r, cols));
            *out = match (self.loss, t) {
                (
                    Loss::CategoricalCrossentropy { from_logits }
                    | Loss::SparseCategoricalCrossentropy { from_logits },
                    t,
                ) => match from_logits {
                    true => {
                        let max = largest(s, p);
                        logit_loss(s, p, t, max + sum_of(s, ExpLess { max }, [p]).ln())
                    }
                    false => probability_loss(s, p, t),
                },
                (loss, Row::Values(t)) => sum_of(s, Term(loss), [p, t]) / cols as f32,
                (_, Row::Label(_)) => f32::NAN, // refused by `open`
            };
        }
    }
}

pub(super) fn loss(cpu: &Cpu, loss: Loss, prediction: View, target: Target, rows: ViewMut) -> Result<()> {
    let (r, cols) = prediction.shape().as_matrix();
    let targets = open("loss", loss, prediction.shape(), target)?;
    check("loss", rows.len() == r, &[("prediction", prediction.shape()), ("rows", rows.shape())])?;
    let (p, per_task) = (prediction.f32()?, rows_per_task(r, cols * EXP_WORK));
    cpu.pool.run_chunks(rows.f32()?, per_task, |task, rows| {
        cpu.isa.run(LossRows { loss, first: task * per_task, cols, p, targets, rows });
    });
    Ok(())
}

/// Rows `first ..` of [`loss_backward`], as many as `d` has.
struct SlopeRows<'a> {
    loss: Loss,
    factors: Factors<'a>,
    first: usize,
    cols: usize,
    p: &'a [f32],
    targets: Targets<'a>,
    d: &'a mut [f32],
}

impl Kernel for SlopeRows<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let cols = self.cols;
        for (r, d) in (self.first..).zip(self.d.chunks_exact_mut(cols)) {
            let (p, t) = (&self.p[r * cols..(r + 1) * cols], self.targets.row(r, cols));
            let factor = self.factors.row(r);
            match (self.loss, t) {
                (
                    Loss::CategoricalCrossentropy { from_logits }
                    | Loss::SparseCategoricalCrossentropy { from_logits },
                    t,
                ) => match from_logits {
                    true => {
                        d.copy_from_slice(p);
                        softmax(s, d);
                        logit_slope(s, t, factor, d);
                    }
                    false => probability_slope(s, p, t, factor, d),
                },
                (loss, Row::Values(t)) => {
                    slices(s, TermSlope(loss, factor / cols as f32), [p, t], [d]);
                }
                (_, Row::Label(_)) => d.fill(f32::NAN), // refused by `open`
            }
        }
    }
}

pub(super) fn loss_backward(cpu: &Cpu, term: &LossTerm, prediction: View, d: ViewMut) -> Result<()> {
    let op = "loss_backward";
    let (rows, cols) = prediction.shape().as_matrix();
    let targets = open(op, term.loss, prediction.shape(), term.target)?;
    check(op, d.len() == prediction.len(), &[("prediction", prediction.shape()), ("d", d.shape())])?;
    let factors = Factors::open(op, term, prediction.shape())?;
    let (p, loss, per_task) = (prediction.f32()?, term.loss, rows_per_task(rows, cols * EXP_WORK));
    cpu.pool.run_chunks(d.f32()?, per_task * cols, |task, d| {
        cpu.isa.run(SlopeRows { loss, factors, first: task * per_task, cols, p, targets, d });
    });
    Ok(())
}

// ---------------------------------------------------------------- the end of a training step

/// y = σ(z); d = the loss of z with target t. One exponential serves both.
#[derive(Clone, Copy)]
struct SigmoidStep;

impl Formula<2, 2> for SigmoidStep {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, [z, t]: [S::V; 2], _: [S::V; 2]) -> [S::V; 2] {
        let (zero, one) = (s.splat(0.0), s.splat(1.0));
        let u = exp(s, -z.abs());
        let y = S::V::select(z.gt(zero), one, u) / (one + u);
        [y, z.neg_mul_add(t, zero.max(z)) + ln_1p(s, u)]
    }
}

formula! { /// factor (y − t)
SigmoidSlope { factor } [y, t] -> [_d] |s| [s.splat(factor) * (y - t)] }

formula! { ScaleInto { a } [x] -> [_y] |s| [s.splat(a) * x] }

/// Rows `range` of [`loss_step`], where a softmax or a sigmoid is folded.
struct StepRows<'a> {
    factors: Factors<'a>,
    range: Range<usize>,
    cols: usize,
    z: &'a [f32],
    targets: Targets<'a>,
    y: &'a Pieces<'a, f32>,
    rows: &'a Pieces<'a, f32>,
    dz: &'a Pieces<'a, f32>,
    softmax: bool,
}

impl Kernel for StepRows<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let cols = self.cols;
        if self.softmax && cols <= NARROW {
            return self.narrow(s);
        }
        for r in self.range.clone() {
            let at = r * cols..(r + 1) * cols;
            let (z, t, factor) = (&self.z[at.clone()], self.targets.row(r, cols), self.factors.row(r));
            // SAFETY: tasks have different rows, and each row is lent once.
            let (y, d, out) =
                unsafe { (self.y.piece(at.clone()), self.dz.piece(at.clone()), self.rows.piece(r..r + 1)) };
            match (self.softmax, t) {
                (false, Row::Values(t)) => {
                    slices(s, SigmoidStep, [z, t], [&mut *y, &mut *d]);
                    out[0] = sum_of(s, Same {}, [d]) / cols as f32;
                    slices(s, SigmoidSlope { factor: factor / cols as f32 }, [y, t], [d]);
                }
                _ => {
                    y.copy_from_slice(z);
                    let (max, sum) = softmax(s, y);
                    out[0] = logit_loss(s, z, t, max + sum.ln());
                    d.copy_from_slice(y);
                    logit_slope(s, t, factor, d);
                }
            }
        }
    }
}

impl StepRows<'_> {
    /// Softmax and crossentropy of narrow rows, as many at a time as a register has lanes.
    #[inline(always)]
    fn narrow<S: Simd>(self, s: S) {
        let (cols, mut columns) = (self.cols, Columns::NEW);
        for first in self.range.clone().step_by(S::LANES) {
            let rows = first..self.range.end.min(first + S::LANES);
            let all = rows.start * cols..rows.end * cols;
            // SAFETY: tasks have different rows, and each row is lent once.
            let (y, d, out) = unsafe {
                (self.y.piece(all.clone()), self.dz.piece(all.clone()), self.rows.piece(rows.clone()))
            };
            y.copy_from_slice(&self.z[all]);
            let log = softmax_of_narrow(s, cols, &mut columns, y);
            // Where all rows count the same, d is factor · y but for one number of each row with a label.
            let factor = self.factors.of_all().filter(|_| matches!(self.targets, Targets::Labels(_)));
            if let Some(a) = factor {
                slices(s, ScaleInto { a }, [&*y], [&mut *d]);
            }
            for (i, (r, d)) in rows.zip(d.chunks_exact_mut(cols)).enumerate() {
                let (t, y) = (self.targets.row(r, cols), &y[i * cols..(i + 1) * cols]);
                out[i] = logit_loss(s, &self.z[r * cols..(r + 1) * cols], t, log[i]);
                match (t, factor) {
                    (Row::Label(label), Some(factor)) => d[label] = factor * (y[label] - 1.0),
                    (t, _) => {
                        d.copy_from_slice(y);
                        logit_slope(s, t, self.factors.row(r), d);
                    }
                }
            }
        }
    }
}

pub(super) fn loss_step(
    cpu: &Cpu,
    term: &LossTerm,
    z: View,
    mut y: ViewMut,
    rows: ViewMut,
    dz: ViewMut,
) -> Result<()> {
    let softmax = match (term.folded, term.loss) {
        (
            Activation::Softmax,
            Loss::CategoricalCrossentropy { from_logits: true }
            | Loss::SparseCategoricalCrossentropy { from_logits: true },
        ) => true,
        (Activation::Sigmoid, Loss::BinaryCrossentropy { from_logits: true }) => false,
        _ => {
            cpu.copy(z, y.reborrow())?;
            cpu.activate(term.folded, y)?;
            cpu.loss(term.loss, z, term.target, rows)?;
            return cpu.loss_backward(term, z, dz);
        }
    };
    let op = "loss_step";
    let (r, cols) = z.shape().as_matrix();
    let targets = open(op, term.loss, z.shape(), term.target)?;
    let fit = y.len() == z.len() && dz.len() == z.len() && rows.len() == r;
    check(op, fit, &[("z", z.shape()), ("y", y.shape()), ("rows", rows.shape()), ("dz", dz.shape())])?;
    let factors = Factors::open(op, term, z.shape())?;
    let z = z.f32()?;
    let (y, rows, dz) = (Pieces::new(y.f32()?), Pieces::new(rows.f32()?), Pieces::new(dz.f32()?));
    let per_task = rows_per_task(r, cols * 2 * EXP_WORK);
    cpu.pool.run(r.div_ceil(per_task), &|task| {
        let range = task * per_task..r.min((task + 1) * per_task);
        cpu.isa.run(StepRows { factors, range, cols, z, targets, y: &y, rows: &rows, dz: &dz, softmax });
    });
    Ok(())
}
