//! Losses, their gradients, and the end of a training step.

use super::abi::Ptr;
use super::layout::{self, Rows};
use super::{Cuda, activation, check, elementwise};
use crate::activations::Activation;
use crate::backend::{LossTerm, Target};
use crate::error::{Error, Result};
use crate::losses::Loss;
use crate::shape::Shape;
use crate::tensor::{View, ViewMut};

/// Where the targets of a prediction [R, C] are: values, or labels; the other is null.
#[derive(Clone, Copy)]
pub(super) struct Targets {
    pub(super) values: Ptr,
    pub(super) labels: Ptr,
}

impl Targets {
    /// Values of the prediction's own shape, or a label below `classes` for each row.
    pub(super) fn open(
        cuda: &Cuda,
        op: &'static str,
        prediction: Shape,
        target: Target,
        classes: usize,
    ) -> Result<Targets> {
        let (rows, cols) = prediction.as_matrix();
        let shapes = [("prediction", prediction), ("target", target.shape())];
        match target {
            Target::Values(t) => {
                check(op, cols > 0 && t.shape().as_matrix() == (rows, cols), &shapes)?;
                Ok(Targets { values: cuda.read(t)?, labels: Ptr::NULL })
            }
            Target::Labels(t) => {
                check(op, cols > 0 && t.shape().len() == rows, &shapes)?;
                let labels = cuda.indices_at(t)?;
                if rows > 0 && t.largest() as usize >= classes {
                    return Err(Error::op(op, format!("label {} of {classes} classes", t.largest())));
                }
                Ok(Targets { values: Ptr::NULL, labels })
            }
        }
    }
}

/// The numbers of loss.cu, for losses that are a mean over columns.
fn number(loss: Loss) -> Option<(i32, f32)> {
    Some(match loss {
        Loss::MeanSquaredError => (0, 0.0),
        Loss::MeanAbsoluteError => (1, 0.0),
        Loss::MeanAbsolutePercentageError => (2, 0.0),
        Loss::MeanSquaredLogarithmicError => (3, 0.0),
        Loss::Hinge => (4, 0.0),
        Loss::SquaredHinge => (5, 0.0),
        Loss::Huber { delta } => (6, delta as f32),
        Loss::BinaryCrossentropy { from_logits: false } => (7, 0.0),
        Loss::BinaryCrossentropy { from_logits: true } => (8, 0.0),
        Loss::CategoricalCrossentropy { .. } | Loss::SparseCategoricalCrossentropy { .. } => return None,
    })
}

/// The outputs that are wanted; the others are null.
struct Outputs {
    /// The folded activation's value.
    y: Ptr,
    /// The rows' losses.
    rows: Ptr,
    /// The gradient.
    d: Ptr,
}

/// What a gradient is multiplied by.
struct Factors {
    weights: Ptr,
    scale: f32,
}

impl Factors {
    fn open(cuda: &Cuda, op: &'static str, term: &LossTerm, prediction: Shape) -> Result<Factors> {
        if let Some(w) = term.weights {
            let fit = w.len() == prediction.as_matrix().0;
            check(op, fit, &[("prediction", prediction), ("weights", w.shape())])?;
        }
        Ok(Factors { weights: cuda.read_or_null(term.weights)?, scale: term.scale as f32 })
    }
}

/// The targets, after checking that `loss` can use them for this prediction.
fn open(cuda: &Cuda, op: &'static str, loss: Loss, prediction: Shape, target: Target) -> Result<Targets> {
    match (target, loss.is_sparse()) {
        (Target::Values(_), true) => Err(Error::op(op, format!("{loss} takes labels, got values"))),
        (Target::Labels(_), false) => Err(Error::op(op, format!("{loss} takes values, got labels"))),
        _ => Targets::open(cuda, op, prediction, target, prediction.last()),
    }
}

/// All that is wanted of a loss in one launch: each prediction and target is read once.
fn run(
    cuda: &Cuda,
    op: &'static str,
    loss: Loss,
    (p, shape): (Ptr, Shape),
    target: Targets,
    factors: Factors,
    out: Outputs,
) -> Result<()> {
    let (n, cols) = layout::matrix(op, shape)?;
    if n == 0 {
        return Ok(());
    }
    let (kernels, stream, by) = (cuda.kernels.loss()?, &cuda.stream, layout::rows(n, cols));
    let (Targets { values: t, labels }, Factors { weights, scale }) = (target, factors);
    let Outputs { y, rows, d } = out;
    match (number(loss), by) {
        (Some((kind, delta)), Rows::Short(grid, width)) => kernels
            .mean_loss_short(stream, grid, kind, delta, p, t, weights, scale, y, rows, d, n, cols, width),
        (Some((kind, delta)), Rows::Long(grid)) => {
            kernels.mean_loss_long(stream, grid, kind, delta, p, t, weights, scale, y, rows, d, cols)
        }
        (None, by) if is_from_logits(loss) => match by {
            Rows::Short(grid, width) => kernels.softmax_crossentropy_short(
                stream, grid, p, t, labels, weights, scale, y, rows, d, n, cols, width,
            ),
            Rows::Long(grid) => kernels
                .softmax_crossentropy_long(stream, grid, p, t, labels, weights, scale, y, rows, d, cols),
        },
        (None, Rows::Short(grid, width)) => {
            kernels.crossentropy_short(stream, grid, p, t, labels, weights, scale, rows, d, n, cols, width)
        }
        (None, Rows::Long(grid)) => {
            kernels.crossentropy_long(stream, grid, p, t, labels, weights, scale, rows, d, cols)
        }
    }
}

/// Whether the loss's prediction comes before the activation that makes probabilities.
fn is_from_logits(loss: Loss) -> bool {
    matches!(
        loss,
        Loss::BinaryCrossentropy { from_logits: true }
            | Loss::CategoricalCrossentropy { from_logits: true }
            | Loss::SparseCategoricalCrossentropy { from_logits: true }
    )
}

pub(super) fn loss(cuda: &Cuda, loss: Loss, prediction: View, target: Target, rows: ViewMut) -> Result<()> {
    let shape = prediction.shape();
    let target = open(cuda, "loss", loss, shape, target)?;
    let fit = rows.len() == shape.as_matrix().0;
    check("loss", fit, &[("prediction", shape), ("rows", rows.shape())])?;
    let factors = Factors { weights: Ptr::NULL, scale: 1.0 };
    let out = Outputs { y: Ptr::NULL, rows: cuda.write(rows)?, d: Ptr::NULL };
    run(cuda, "loss", loss, (cuda.read(prediction)?, shape), target, factors, out)
}

pub(super) fn loss_backward(cuda: &Cuda, term: &LossTerm, prediction: View, d: ViewMut) -> Result<()> {
    let (op, shape) = ("loss_backward", prediction.shape());
    let target = open(cuda, op, term.loss, shape, term.target)?;
    check(op, d.len() == shape.len(), &[("prediction", shape), ("d", d.shape())])?;
    let factors = Factors::open(cuda, op, term, shape)?;
    let out = Outputs { y: Ptr::NULL, rows: Ptr::NULL, d: cuda.write(d)? };
    run(cuda, op, term.loss, (cuda.read(prediction)?, shape), target, factors, out)
}

/// Where a softmax or a sigmoid is folded into its own crossentropy, one launch does everything. Otherwise the activation
/// has its own, and the loss and its gradient share one.
pub(super) fn loss_step(
    cuda: &Cuda,
    term: &LossTerm,
    z: View,
    mut y: ViewMut,
    rows: ViewMut,
    dz: ViewMut,
) -> Result<()> {
    let (op, shape) = ("loss_step", z.shape());
    let target = open(cuda, op, term.loss, shape, term.target)?;
    let fit = y.len() == shape.len() && dz.len() == shape.len() && rows.len() == shape.as_matrix().0;
    check(op, fit, &[("z", shape), ("y", y.shape()), ("rows", rows.shape()), ("dz", dz.shape())])?;
    let factors = Factors::open(cuda, op, term, shape)?;
    let (from, rows, d) = (cuda.read(z)?, cuda.write(rows)?, cuda.write(dz)?);
    let own = match term.loss {
        Loss::BinaryCrossentropy { .. } => Activation::Sigmoid,
        _ => Activation::Softmax,
    };
    let y = if is_from_logits(term.loss) && term.folded == own {
        cuda.write(y)?
    } else {
        elementwise::copy(cuda, z, y.reborrow())?;
        activation::activate(cuda, term.folded, y)?;
        Ptr::NULL
    };
    run(cuda, op, term.loss, (from, shape), target, factors, Outputs { y, rows, d })
}
