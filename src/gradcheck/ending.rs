//! What makes a number of a stack's output, with the tensors that it needs.

use super::case::{Case, End, Goal, signed};
use crate::activations::Activation;
use crate::backend::{LossTerm, Target};
use crate::device::Device;
use crate::error::Result;
use crate::losses::Loss;
use crate::shape::Shape;
use crate::tensor::{Indices, Tensor, View, ViewMut};

/// An [`End`] on a device.
pub(super) enum Ending {
    Cotangent {
        r: Vec<f64>,
        /// The output on the host.
        y: Vec<f64>,
    },
    Loss(Box<Measured>),
}

/// A loss, and where its results go.
pub(super) struct Measured {
    formula: Formula,
    /// Whether the loss is taken by [`loss_step`](crate::Backend::loss_step).
    by_step: bool,
    /// The rows' losses.
    rows: Tensor,
    /// The folded activation's value: an output of the step that the gradient does not depend on.
    folded: Tensor,
}

/// A loss, and what it measures against.
struct Formula {
    loss: Loss,
    /// The activation that is folded into the loss.
    folded: Activation,
    truth: Truth,
    weights: Option<Tensor>,
    /// 1/R, as for the mean over the batch.
    scale: f64,
}

enum Truth {
    Values(Tensor),
    Labels(Indices),
}

impl Ending {
    pub(super) fn new(device: &Device, case: &Case, output: Shape) -> Result<Ending> {
        let measured =
            |goal, step| Ok(Ending::Loss(Box::new(Measured::new(device, case, goal, step, output)?)));
        match case.end {
            End::Cotangent => {
                let r = signed(output.len(), 0.25, 1.0, &mut case.rng(2));
                Ok(Ending::Cotangent { r, y: vec![0.0; output.len()] })
            }
            End::Loss(goal) => measured(goal, None),
            End::Step(goal, folded) => measured(goal, Some(folded)),
        }
    }

    /// L of an output. A step writes L's gradient as well, to `dy`.
    pub(super) fn forward(&mut self, device: &Device, output: View, dy: ViewMut) -> Result<f64> {
        match self {
            Ending::Cotangent { r, y } => {
                output.read(y)?;
                Ok(r.iter().zip(y).map(|(r, y)| r * *y).sum()) //        L = Σ r ⊙ y
            }
            Ending::Loss(m) => {
                match m.by_step {
                    true => m.take_step(device, output, dy)?,
                    false => {
                        device.loss(m.formula.loss, output, m.formula.truth.target(), m.rows.view_mut())?
                    }
                }
                let (rows, scale) = (m.rows.view().to_vec_f64(), m.formula.scale);
                let weights = m.formula.weights.as_ref().map(|w| w.view().to_vec_f64());
                let weights = weights.unwrap_or(vec![1.0; rows.len()]);
                Ok(rows.iter().zip(weights).map(|(loss, weight)| scale * weight * loss).sum()) // L = Σᵣ scale w loss
            }
        }
    }

    /// What forward wrote, besides L.
    pub(super) fn outputs(&self) -> Vec<(&'static str, View<'_>)> {
        match self {
            Ending::Cotangent { .. } => vec![],
            Ending::Loss(m) if m.by_step => vec![("rows", m.rows.view()), ("prediction", m.folded.view())],
            Ending::Loss(m) => vec![("rows", m.rows.view())],
        }
    }

    /// dy = ∂L / ∂output.
    pub(super) fn backward(&mut self, device: &Device, output: View, dy: ViewMut) -> Result<()> {
        match self {
            Ending::Cotangent { r, .. } => dy.write(r),
            Ending::Loss(m) if m.by_step => m.take_step(device, output, dy),
            Ending::Loss(m) => device.loss_backward(&m.formula.term(), output, dy),
        }
    }
}

impl Measured {
    fn new(
        device: &Device,
        case: &Case,
        goal: Goal,
        step: Option<Activation>,
        output: Shape,
    ) -> Result<Measured> {
        let (rows, columns) = output.as_matrix();
        let by_row = Shape::from([rows]);
        let drawn = goal.targets.draw(rows, columns, &mut case.rng(4));
        let truth = if goal.loss.is_sparse() {
            let mut labels = device.indices(by_row)?;
            labels.write(&drawn.iter().map(|&t| t as u32).collect::<Vec<_>>())?;
            Truth::Labels(labels)
        } else {
            Truth::Values(device.tensor(output, &drawn)?)
        };
        let weights: Vec<f64> = signed(rows, 0.25, 1.5, &mut case.rng(5)).iter().map(|w| w.abs()).collect();
        let formula = Formula {
            loss: step.and_then(|folded| goal.loss.fold(folded)).unwrap_or(goal.loss),
            folded: step.unwrap_or_default(),
            truth,
            weights: goal.weighted.then(|| device.tensor(by_row, &weights)).transpose()?,
            scale: 1.0 / rows as f64,
        };
        Ok(Measured {
            formula,
            by_step: step.is_some(),
            rows: device.zeros(by_row)?,
            folded: device.zeros(output)?,
        })
    }

    /// One pass over the whole end of a training step.
    fn take_step(&mut self, device: &Device, z: View, dz: ViewMut) -> Result<()> {
        let Measured { formula, rows, folded, .. } = self;
        device.loss_step(&formula.term(), z, folded.view_mut(), rows.view_mut(), dz)
    }
}

impl Formula {
    fn term(&self) -> LossTerm<'_> {
        let weights = self.weights.as_ref().map(Tensor::view);
        LossTerm {
            loss: self.loss,
            folded: self.folded,
            target: self.truth.target(),
            weights,
            scale: self.scale,
        }
    }
}

impl Truth {
    fn target(&self) -> Target<'_> {
        match self {
            Truth::Values(t) => Target::Values(t.view()),
            Truth::Labels(l) => Target::Labels(l.view()),
        }
    }
}
