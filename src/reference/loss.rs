//! Losses: each formula above its derivative.

use super::activation::sigmoid;
use super::check;
use crate::backend::{LossTerm, Target};
use crate::error::{Error, Result};
use crate::losses::{EPSILON, Loss};
use crate::shape::Shape;
use crate::tensor::{View, ViewMut};

/// The targets of all rows, opened.
#[derive(Clone, Copy)]
enum Targets<'a> {
    Values(&'a [f64]),
    Labels(&'a [u32]),
}

/// The targets of one row.
#[derive(Clone, Copy)]
enum Row<'a> {
    Values(&'a [f64]),
    Label(usize),
}

impl<'a> Targets<'a> {
    /// Opens `target` after checking that `loss` can use it for a prediction [R, C].
    fn open(op: &'static str, loss: Loss, prediction: Shape, target: Target<'a>) -> Result<Targets<'a>> {
        let (rows, cols) = prediction.as_matrix();
        let shapes = [("prediction", prediction), ("target", target.shape())];
        match target {
            Target::Values(t) if !loss.is_sparse() => {
                check(op, cols > 0 && t.shape().as_matrix() == (rows, cols), &shapes)?;
                Ok(Targets::Values(t.f64()?))
            }
            Target::Labels(t) if loss.is_sparse() => {
                check(op, t.shape().len() == rows, &shapes)?;
                let labels = t.host()?;
                match labels.iter().find(|&&label| label as usize >= cols) {
                    Some(label) => Err(Error::op(op, format!("label {label} of {cols} classes"))),
                    None => Ok(Targets::Labels(labels)),
                }
            }
            Target::Values(_) => Err(Error::op(op, format!("{loss} takes labels, got values"))),
            Target::Labels(_) => Err(Error::op(op, format!("{loss} takes values, got labels"))),
        }
    }

    fn row(self, r: usize, cols: usize) -> Row<'a> {
        match self {
            Targets::Values(t) => Row::Values(&t[r * cols..(r + 1) * cols]),
            Targets::Labels(t) => Row::Label(t[r] as usize),
        }
    }
}

impl Row<'_> {
    /// The target of column `j`; a label counts as one-hot.
    fn at(self, j: usize) -> f64 {
        match self {
            Row::Values(t) => t[j],
            Row::Label(label) => f64::from(u8::from(label == j)),
        }
    }
}

pub(super) fn loss(loss: Loss, prediction: View, target: Target, rows: ViewMut) -> Result<()> {
    let (r, cols) = prediction.shape().as_matrix();
    let targets = Targets::open("loss", loss, prediction.shape(), target)?;
    check("loss", rows.len() == r, &[("prediction", prediction.shape()), ("rows", rows.shape())])?;
    let (p, rows) = (prediction.f64()?, rows.f64()?);
    for r in 0..rows.len() {
        let (p, t) = (&p[r * cols..(r + 1) * cols], targets.row(r, cols));
        rows[r] = match loss {
            Loss::CategoricalCrossentropy { from_logits }
            | Loss::SparseCategoricalCrossentropy { from_logits } => {
                if from_logits {
                    softmax_crossentropy(p, t)
                } else {
                    crossentropy(p, t)
                }
            }
            _ => (0..cols).map(|j| term(loss, p[j], t.at(j))).sum::<f64>() / cols as f64,
        };
    }
    Ok(())
}

pub(super) fn loss_backward(term: &LossTerm, prediction: View, d: ViewMut) -> Result<()> {
    let op = "loss_backward";
    let (rows, cols) = prediction.shape().as_matrix();
    let targets = Targets::open(op, term.loss, prediction.shape(), term.target)?;
    check(op, d.len() == prediction.len(), &[("prediction", prediction.shape()), ("d", d.shape())])?;
    if let Some(w) = term.weights {
        check(op, w.len() == rows, &[("prediction", prediction.shape()), ("weights", w.shape())])?;
    }
    let weights = term.weights.map(View::f64).transpose()?;
    let (p, d) = (prediction.f64()?, d.f64()?);
    for r in 0..rows {
        let at = r * cols..(r + 1) * cols;
        let (p, t, d) = (&p[at.clone()], targets.row(r, cols), &mut d[at]);
        match term.loss {
            Loss::CategoricalCrossentropy { from_logits }
            | Loss::SparseCategoricalCrossentropy { from_logits } => {
                if from_logits {
                    softmax_crossentropy_slope(p, t, d);
                } else {
                    crossentropy_slope(p, t, d);
                }
            }
            loss => (0..cols).for_each(|j| d[j] = term_slope(loss, p[j], t.at(j)) / cols as f64),
        }
        d.iter_mut().for_each(|d| *d *= term.scale * weights.map_or(1.0, |w| w[r]));
    }
    Ok(())
}

// ---------------------------------------------------------------- losses that are a mean over columns

/// The loss of one prediction `p` with target `t`.
fn term(loss: Loss, p: f64, t: f64) -> f64 {
    match loss {
        Loss::MeanSquaredError => (p - t).powi(2),
        Loss::MeanAbsoluteError => (p - t).abs(),
        Loss::MeanAbsolutePercentageError => 100.0 * (p - t).abs() / t.abs().max(EPSILON),
        Loss::MeanSquaredLogarithmicError => (log_1p(p) - log_1p(t)).powi(2),
        Loss::Hinge => (1.0 - sign_of_class(t) * p).max(0.0),
        Loss::SquaredHinge => (1.0 - sign_of_class(t) * p).max(0.0).powi(2),
        Loss::Huber { delta } => {
            let e = (p - t).abs();
            if e <= delta { 0.5 * e * e } else { delta * e - 0.5 * delta * delta }
        }
        Loss::BinaryCrossentropy { from_logits: true } => p.max(0.0) - p * t + (-p.abs()).exp().ln_1p(),
        Loss::BinaryCrossentropy { from_logits: false } => {
            let p = clip(p);
            -t * p.ln() - (1.0 - t) * (1.0 - p).ln()
        }
        Loss::CategoricalCrossentropy { .. } | Loss::SparseCategoricalCrossentropy { .. } => {
            unreachable!("{loss} is not a mean over columns")
        }
    }
}

/// Its derivative by `p`.
fn term_slope(loss: Loss, p: f64, t: f64) -> f64 {
    match loss {
        Loss::MeanSquaredError => 2.0 * (p - t),
        Loss::MeanAbsoluteError => sign(p - t),
        Loss::MeanAbsolutePercentageError => 100.0 * sign(p - t) / t.abs().max(EPSILON),
        Loss::MeanSquaredLogarithmicError if p < EPSILON => 0.0,
        Loss::MeanSquaredLogarithmicError => 2.0 * (log_1p(p) - log_1p(t)) / (1.0 + p),
        Loss::Hinge => -sign_of_class(t) * (1.0 - sign_of_class(t) * p > 0.0) as u8 as f64,
        Loss::SquaredHinge => -2.0 * sign_of_class(t) * (1.0 - sign_of_class(t) * p).max(0.0),
        Loss::Huber { delta } => {
            let e = p - t;
            if e.abs() <= delta { e } else { delta * sign(e) }
        }
        Loss::BinaryCrossentropy { from_logits: true } => sigmoid(p) - t,
        Loss::BinaryCrossentropy { from_logits: false } if is_clipped(p) => 0.0,
        Loss::BinaryCrossentropy { from_logits: false } => (1.0 - t) / (1.0 - p) - t / p,
        Loss::CategoricalCrossentropy { .. } | Loss::SparseCategoricalCrossentropy { .. } => {
            unreachable!("{loss} is not a mean over columns")
        }
    }
}

/// ln(1 + max(x, 1e-7)).
fn log_1p(x: f64) -> f64 {
    x.max(EPSILON).ln_1p()
}

/// −1, 0 or 1.
fn sign(x: f64) -> f64 {
    if x == 0.0 { 0.0 } else { x.signum() }
}

/// A target of a hinge loss: −1 or 1; a 0 counts as −1.
fn sign_of_class(t: f64) -> f64 {
    if t == 0.0 { -1.0 } else { t }
}

/// A probability kept away from 0 and 1.
fn clip(p: f64) -> f64 {
    p.clamp(EPSILON, 1.0 - EPSILON)
}

/// Whether [`clip`] changes `p`: its slope is 0 there.
fn is_clipped(p: f64) -> bool {
    clip(p) != p
}

// ---------------------------------------------------------------- crossentropies over classes

/// −Σⱼ tⱼ ln clip(qⱼ), with q = p / Σ p.
fn crossentropy(p: &[f64], t: Row) -> f64 {
    let sum: f64 = p.iter().sum();
    -(0..p.len()).map(|j| t.at(j) * clip(p[j] / sum).ln()).sum::<f64>()
}

/// gⱼ = ∂L/∂qⱼ = −tⱼ / qⱼ, or 0 where qⱼ is clipped; ∂L/∂pᵢ = (gᵢ − Σⱼ gⱼ qⱼ) / Σ p.
fn crossentropy_slope(p: &[f64], t: Row, d: &mut [f64]) {
    let sum: f64 = p.iter().sum();
    let g = |j: usize| if is_clipped(p[j] / sum) { 0.0 } else { -t.at(j) / (p[j] / sum) };
    let dot: f64 = (0..p.len()).map(|j| g(j) * p[j] / sum).sum();
    for i in 0..p.len() {
        d[i] = (g(i) - dot) / sum;
    }
}

/// ln Σⱼ e^zⱼ, by the largest so that nothing overflows.
fn log_sum_exp(z: &[f64]) -> f64 {
    let max = z.iter().fold(f64::NEG_INFINITY, |m, &z| m.max(z));
    max + z.iter().map(|z| (z - max).exp()).sum::<f64>().ln()
}

/// −Σⱼ tⱼ ln softmax(z)ⱼ = Σⱼ tⱼ (ln Σ e^z − zⱼ).
fn softmax_crossentropy(z: &[f64], t: Row) -> f64 {
    let lse = log_sum_exp(z);
    (0..z.len()).map(|j| t.at(j) * (lse - z[j])).sum()
}

/// ∂L/∂zᵢ = softmax(z)ᵢ Σⱼ tⱼ − tᵢ.
fn softmax_crossentropy_slope(z: &[f64], t: Row, d: &mut [f64]) {
    let lse = log_sum_exp(z);
    let total: f64 = (0..z.len()).map(|j| t.at(j)).sum();
    for i in 0..z.len() {
        d[i] = (z[i] - lse).exp() * total - t.at(i);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOSSES: [Loss; 8] = [
        Loss::MeanSquaredError,
        Loss::MeanAbsoluteError,
        Loss::MeanAbsolutePercentageError,
        Loss::MeanSquaredLogarithmicError,
        Loss::Hinge,
        Loss::SquaredHinge,
        Loss::Huber { delta: 0.5 },
        Loss::BinaryCrossentropy { from_logits: true },
    ];

    #[test]
    fn slopes_belong_to_their_losses() {
        let h = 1e-6;
        for loss in LOSSES.into_iter().chain([Loss::BinaryCrossentropy { from_logits: false }]) {
            for (p, t) in [(0.3, 1.0), (0.8, 0.0), (0.05, 1.0), (0.9, 1.0)] {
                let numeric = (term(loss, p + h, t) - term(loss, p - h, t)) / (2.0 * h);
                let exact = term_slope(loss, p, t);
                assert!(
                    (numeric - exact).abs() <= 1e-7 * (1.0 + exact.abs()),
                    "{loss}: {numeric} and {exact}"
                );
            }
        }
        let p = [0.2, 0.1, 0.6];
        for (value, slope) in [
            (crossentropy as fn(&[f64], Row) -> f64, crossentropy_slope as fn(&[f64], Row, &mut [f64])),
            (softmax_crossentropy, softmax_crossentropy_slope),
        ] {
            for t in [Row::Label(2), Row::Values(&[0.5, 0.3, 0.4])] {
                let mut d = [f64::NAN; 3];
                slope(&p, t, &mut d);
                for i in 0..3 {
                    let (mut up, mut down) = (p, p);
                    up[i] += h;
                    down[i] -= h;
                    let numeric = (value(&up, t) - value(&down, t)) / (2.0 * h);
                    assert!((numeric - d[i]).abs() <= 1e-7, "{numeric} and {}", d[i]);
                }
            }
        }
    }

    #[test]
    fn extremes_stay_finite_and_clips_stop_the_gradient() {
        let bce = Loss::BinaryCrossentropy { from_logits: false };
        assert!((term(bce, 0.0, 1.0) - 16.118_095_650_958_32).abs() <= 1e-9);
        assert_eq!((term_slope(bce, 0.0, 1.0), term_slope(bce, 1.0, 0.0)), (0.0, 0.0));
        let logits = Loss::BinaryCrossentropy { from_logits: true };
        assert_eq!((term(logits, -1000.0, 1.0), term_slope(logits, -1000.0, 1.0)), (1000.0, -1.0));
        assert_eq!(softmax_crossentropy(&[1000.0, 0.0], Row::Label(1)), 1000.0);
        let mut d = [f64::NAN; 2];
        crossentropy_slope(&[1.0, 0.0], Row::Label(1), &mut d);
        assert_eq!(d, [0.0, 0.0]);
    }
}
