//! Losses, their gradients, and the fused end of a training step.

use super::*;
use handgrad::backend::LossTerm;
use handgrad::losses::EPSILON;
use handgrad::{Activation, Indices, Loss, Target};

/// Losses that are a mean over columns.
const MEANS: [Loss; 10] = [
    Loss::MeanSquaredError,
    Loss::MeanAbsoluteError,
    Loss::MeanAbsolutePercentageError,
    Loss::MeanSquaredLogarithmicError,
    Loss::Hinge,
    Loss::SquaredHinge,
    Loss::Huber { delta: 1.0 },
    Loss::Huber { delta: 0.3 },
    Loss::BinaryCrossentropy { from_logits: true },
    Loss::BinaryCrossentropy { from_logits: false },
];

/// Crossentropies over classes.
const CLASSES: [Loss; 4] = [
    Loss::CategoricalCrossentropy { from_logits: true },
    Loss::CategoricalCrossentropy { from_logits: false },
    Loss::SparseCategoricalCrossentropy { from_logits: true },
    Loss::SparseCategoricalCrossentropy { from_logits: false },
];

/// A prediction and what it should have been.
#[derive(Clone)]
struct Pair {
    loss: Loss,
    rows: usize,
    cols: usize,
    p: Array,
    /// One-hot where the target is labels.
    t: Array,
    labels: Vec<u32>,
    weights: Option<Array>,
}

pub(super) fn cases(t: &mut Table) {
    let small = SIZES.into_iter().enumerate().map(|(i, rows)| (rows, SIZES[(5 * i + 3) % SIZES.len()]));
    let shapes = small.chain([(32, 10), (128, 10), (65, 1), (1, 65), (3000, 1), (1001, 100), (9, 5000)]);
    for (i, (rows, cols)) in shapes.enumerate() {
        for loss in MEANS.into_iter().chain(CLASSES) {
            let pair = Pair::new(&mut t.draw(), loss, rows, cols, i % 2 == 0);
            forward(t, &pair);
            backward(t, &pair);
            let folded = match loss {
                Loss::BinaryCrossentropy { from_logits: true } => Activation::Sigmoid,
                Loss::CategoricalCrossentropy { from_logits: true }
                | Loss::SparseCategoricalCrossentropy { from_logits: true } => Activation::Softmax,
                _ => Activation::Linear,
            };
            step(t, &pair, folded);
            if folded != Activation::Linear {
                step(t, &pair, Activation::Linear);
            }
        }
    }
}

impl Pair {
    fn new(draw: &mut Draw, loss: Loss, rows: usize, cols: usize, weighted: bool) -> Pair {
        let shape = [rows, cols];
        let labels = draw.labels(rows, cols);
        let one_hot = || {
            Array::new(
                shape,
                (0..rows * cols).map(|e| f64::from(u8::from(labels[e / cols] as usize == e % cols))),
            )
        };
        let extreme = |array: &mut Array, values: &[f64]| {
            let len = array.values.len();
            array.values.iter_mut().skip(len / 2).zip(values).for_each(|(x, v)| *x = *v);
        };
        let (p, t) = match loss {
            Loss::MeanSquaredLogarithmicError => {
                (draw.uniform(shape, -0.5, 4.0), draw.uniform(shape, -0.1, 4.0))
            }
            Loss::Hinge | Loss::SquaredHinge => {
                let t = draw.whole(shape, 1); // −1, 1, and 0, which counts as −1
                (draw.normal(shape), t)
            }
            Loss::BinaryCrossentropy { from_logits } => {
                let mut t = draw.uniform(shape, 0.0, 1.0);
                t.values.iter_mut().enumerate().filter(|(e, _)| e % 3 > 0).for_each(|(_, t)| *t = t.round());
                let mut p = if from_logits {
                    draw.normal(shape).map(|z| 4.0 * z)
                } else {
                    draw.uniform(shape, 0.001, 0.999)
                };
                extreme(&mut p, if from_logits { &[100.0, -100.0, 0.0] } else { &[0.0, 1.0] });
                (p, t)
            }
            Loss::CategoricalCrossentropy { from_logits }
            | Loss::SparseCategoricalCrossentropy { from_logits } => {
                let mut t = one_hot();
                if !loss.is_sparse() {
                    // The first row is soft, and its sum is not 1.
                    t.values[..cols].iter_mut().for_each(|t| *t = f64::from(0.7 / cols as f32));
                }
                let mut p = if from_logits {
                    draw.normal(shape).map(|z| 4.0 * z)
                } else {
                    draw.uniform(shape, 0.001, 1.0)
                };
                if from_logits {
                    extreme(&mut p, &[500.0, -500.0]);
                } else if cols > 1 && rows > 1 {
                    // The last row is sure of one class.
                    p.values[(rows - 1) * cols..]
                        .iter_mut()
                        .enumerate()
                        .for_each(|(j, p)| *p = f64::from(u8::from(j == 1)));
                }
                (p, t)
            }
            _ => (draw.normal(shape), draw.normal(shape)),
        };
        let weights = weighted.then(|| draw.uniform([rows], 0.0, 2.0));
        Pair { loss, rows, cols, p, t, labels, weights }
    }

    fn title(&self, op: &str) -> String {
        format!("{op} {:?} {}x{}, weights {}", self.loss, self.rows, self.cols, self.weights.is_some())
    }

    /// The target on a device: values or labels, whichever the loss takes.
    fn target(&self, r: &mut Run) -> Owned {
        match self.loss.is_sparse() {
            true => Owned::Labels(r.labels(&self.labels)),
            false => Owned::Values(r.input(&self.t)),
        }
    }

    /// What the op must check of the prediction: beside labels, there may be any number of columns.
    fn prediction(&self, r: &mut Run, fit: Fit) -> Buffer {
        r.input_fit(&self.p, if self.loss.is_sparse() { fit } else { Fit::All })
    }

    /// Predictions and targets of row `r`.
    fn row(&self, r: usize) -> (&[f64], &[f64]) {
        let at = r * self.cols..(r + 1) * self.cols;
        (&self.p.values[at.clone()], &self.t.values[at])
    }

    /// What rounding may do to each row's loss.
    fn loss_bounds(&self) -> Vec<f64> {
        let n = self.cols;
        let of_row = |r: usize| {
            let (p, t) = self.row(r);
            let (sum, lse) = (p.iter().sum::<f64>(), log_sum_exp(p));
            let size = |(&p, &t): (&f64, &f64)| match self.loss {
                // ln Σ e^z − z
                Loss::CategoricalCrossentropy { from_logits: true }
                | Loss::SparseCategoricalCrossentropy { from_logits: true } => {
                    t * (lse.abs() + p.abs() + additions(n))
                }
                // The logarithm turns q's relative error into an absolute one.
                Loss::CategoricalCrossentropy { .. } | Loss::SparseCategoricalCrossentropy { .. } => {
                    t * (clip(p / sum).ln().abs() + additions(n))
                }
                loss => value_size(loss, p, t) / n as f64,
            };
            (6.0 + additions(n)) * EPS * p.iter().zip(t).map(size).sum::<f64>()
        };
        (0..self.rows).map(of_row).collect()
    }

    /// What rounding may do to each element of the gradient.
    fn gradient_bounds(&self, scale: f64) -> Vec<f64> {
        let n = self.cols;
        let of_row = |r: usize| {
            let (p, t) = self.row(r);
            let (sum, lse, total) = (p.iter().sum::<f64>(), log_sum_exp(p), t.iter().sum::<f64>());
            let slope = |p: f64, t: f64| if clip(p / sum) == p / sum { t / (p / sum) } else { 0.0 };
            let dot: f64 = p.iter().zip(t).map(|(&p, &t)| slope(p, t) * p / sum).sum();
            let weight = scale * self.weights.as_ref().map_or(1.0, |w| w.values[r]);
            let loss = self.loss;
            let size = move |(&p, &t): (&f64, &f64)| match loss {
                Loss::CategoricalCrossentropy { from_logits: true }
                | Loss::SparseCategoricalCrossentropy { from_logits: true } => {
                    // The exponent z − ln Σ e^z is off by roundings of its parts, and softmax by as much of itself.
                    let exponent = p.abs() + lse.abs() + 2.0 * additions(n);
                    (p - lse).exp() * total * (6.0 + exponent) + 2.0 * t
                }
                Loss::CategoricalCrossentropy { .. } | Loss::SparseCategoricalCrossentropy { .. } => {
                    (4.0 + 2.0 * additions(n)) * (slope(p, t) + dot) / sum
                }
                loss => 8.0 * slope_size(loss, p, t) / n as f64,
            };
            p.iter().zip(t).map(size).map(|s| weight * EPS * s).collect::<Vec<f64>>()
        };
        (0..self.rows).flat_map(of_row).collect()
    }
}

/// A target's storage.
enum Owned {
    Values(Buffer),
    Labels(Indices),
}

impl Owned {
    fn view(&self) -> Target<'_> {
        match self {
            Owned::Values(b) => Target::Values(b.view()),
            Owned::Labels(i) => Target::Labels(i.view()),
        }
    }
}

fn clip(p: f64) -> f64 {
    p.clamp(EPSILON, 1.0 - EPSILON)
}

fn log_sum_exp(z: &[f64]) -> f64 {
    let max = z.iter().fold(f64::NEG_INFINITY, |a, &b| a.max(b));
    max + z.iter().map(|z| (z - max).exp()).sum::<f64>().ln()
}

fn log_1p(x: f64) -> f64 {
    x.max(EPSILON).ln_1p()
}

/// The sum of the sizes of a loss's terms, for one element.
fn value_size(loss: Loss, p: f64, t: f64) -> f64 {
    let e = (p - t).abs();
    match loss {
        Loss::MeanSquaredError => e * e,
        Loss::MeanAbsoluteError => e,
        Loss::MeanAbsolutePercentageError => 100.0 * e / t.abs().max(EPSILON),
        Loss::MeanSquaredLogarithmicError => {
            let (d, both) = ((log_1p(p) - log_1p(t)).abs(), log_1p(p) + log_1p(t));
            2.0 * d * both + 8.0 * EPS * both * both
        }
        Loss::Hinge => 1.0 + (t * p).abs(),
        Loss::SquaredHinge => {
            let both = 1.0 + p.abs();
            let h = (1.0 - if t == 0.0 { -1.0 } else { t } * p).max(0.0);
            2.0 * h * both + 8.0 * EPS * both * both
        }
        Loss::Huber { delta } => {
            if e <= delta {
                e * e
            } else {
                delta * e + delta * delta
            }
        }
        Loss::BinaryCrossentropy { from_logits: true } => {
            p.max(0.0) + (p * t).abs() + (-p.abs()).exp().ln_1p()
        }
        Loss::BinaryCrossentropy { from_logits: false } => {
            let q = clip(p);
            // f32 has no 1 − 1e-7: it clips at a neighbour.
            let clipped = if q < p { (1.0 - t) / (1.0 - q) } else { 0.0 };
            t * (q.ln().abs() + 1.0) + (1.0 - t) * ((1.0 - q).ln().abs() + 1.0) + clipped
        }
        _ => unreachable!(),
    }
}

/// The sum of the sizes of its derivative's terms.
fn slope_size(loss: Loss, p: f64, t: f64) -> f64 {
    let e = (p - t).abs();
    match loss {
        Loss::MeanSquaredError => e,
        Loss::MeanAbsoluteError | Loss::Hinge => 1.0,
        Loss::MeanAbsolutePercentageError => 100.0 / t.abs().max(EPSILON),
        Loss::MeanSquaredLogarithmicError if p < EPSILON => 0.0,
        Loss::MeanSquaredLogarithmicError => (log_1p(p) + log_1p(t)) / (1.0 + p),
        Loss::SquaredHinge => 1.0 + p.abs(),
        Loss::Huber { delta } => e.min(delta),
        Loss::BinaryCrossentropy { from_logits: true } => 1.0 / (1.0 + (-p).exp()) + t,
        Loss::BinaryCrossentropy { from_logits: false } if clip(p) != p => 0.0,
        Loss::BinaryCrossentropy { from_logits: false } => t / p + (1.0 - t) / (1.0 - p),
        _ => unreachable!(),
    }
}

fn forward(t: &mut Table, pair: &Pair) {
    let pair = pair.clone();
    t.case(pair.title("loss"), move |r| {
        let (p, target) = (pair.prediction(r, Fit::Rows), pair.target(r));
        let mut rows = r.output([pair.rows]);
        r.device.loss(pair.loss, p.view(), target.view(), rows.view_mut())?;
        r.show("rows", &rows, |_| pair.loss_bounds());
        Ok(())
    });
}

fn backward(t: &mut Table, pair: &Pair) {
    let pair = pair.clone();
    t.case(pair.title("loss_backward"), move |r| {
        let (p, target) = (pair.prediction(r, Fit::All), pair.target(r));
        let weights = pair.weights.as_ref().map(|w| r.input(w));
        let mut d = r.output([pair.rows, pair.cols]);
        let scale = 1.0 / pair.rows as f64;
        let term = LossTerm {
            loss: pair.loss,
            folded: Activation::Linear,
            target: target.view(),
            weights: weights.as_ref().map(Buffer::view),
            scale,
        };
        r.device.loss_backward(&term, p.view(), d.view_mut())?;
        r.show("d", &d, |_| pair.gradient_bounds(scale));
        Ok(())
    });
}

fn step(t: &mut Table, pair: &Pair, folded: Activation) {
    let pair = pair.clone();
    t.case(pair.title(&format!("loss_step behind {folded},")), move |r| {
        let (z, target) = (pair.prediction(r, Fit::All), pair.target(r));
        let weights = pair.weights.as_ref().map(|w| r.input(w));
        let (mut y, mut rows) = (r.output([pair.rows, pair.cols]), r.output([pair.rows]));
        let mut dz = r.output([pair.rows, pair.cols]);
        let scale = 1.0 / pair.rows as f64;
        let term = LossTerm {
            loss: pair.loss,
            folded,
            target: target.view(),
            weights: weights.as_ref().map(Buffer::view),
            scale,
        };
        r.device.loss_step(&term, z.view(), y.view_mut(), rows.view_mut(), dz.view_mut())?;
        let n = pair.cols;
        r.show("y", &y, |want| match folded {
            Activation::Linear => exact(want),
            Activation::Softmax => {
                let sums: Vec<f64> = (0..pair.rows).map(|i| log_sum_exp(pair.row(i).0)).collect();
                let size = |e: usize| (sums[e / n] - pair.p.values[e]).abs();
                (0..want.len()).map(|e| (6.0 + size(e) + 2.0 * additions(n)) * EPS * want[e]).collect()
            }
            _ => ulps(6.0)(want),
        });
        r.show("rows", &rows, |_| pair.loss_bounds());
        r.show("dz", &dz, |_| pair.gradient_bounds(scale));
        Ok(())
    });
}
