//! What predictions are compared with.

use super::formula::check;
use crate::backend::Target;
use crate::error::{Error, Result};
use crate::shape::Shape;

/// The targets of a prediction [R, C], opened.
#[derive(Clone, Copy)]
pub(super) enum Targets<'a> {
    Values(&'a [f32]),
    Labels(&'a [u32]),
}

impl<'a> Targets<'a> {
    /// Values of the prediction's own shape, or a label below `classes` for each row.
    pub(super) fn open(
        op: &'static str,
        prediction: Shape,
        target: Target<'a>,
        classes: usize,
    ) -> Result<Targets<'a>> {
        let (rows, cols) = prediction.as_matrix();
        let shapes = [("prediction", prediction), ("target", target.shape())];
        match target {
            Target::Values(t) => {
                check(op, cols > 0 && t.shape().as_matrix() == (rows, cols), &shapes)?;
                Ok(Targets::Values(t.f32()?))
            }
            Target::Labels(t) => {
                check(op, cols > 0 && t.shape().len() == rows, &shapes)?;
                let labels = t.host()?;
                match labels.iter().find(|&&label| label as usize >= classes) {
                    Some(label) => Err(Error::op(op, format!("label {label} of {classes} classes"))),
                    None => Ok(Targets::Labels(labels)),
                }
            }
        }
    }

    /// The class of row `r`: its label, or where its largest target stands.
    pub(super) fn class(&self, r: usize, cols: usize) -> usize {
        match self {
            Targets::Values(t) => argmax(&t[r * cols..(r + 1) * cols]),
            Targets::Labels(t) => t[r] as usize,
        }
    }

    /// The targets of row `r`.
    pub(super) fn row(self, r: usize, cols: usize) -> Row<'a> {
        match self {
            Targets::Values(t) => Row::Values(&t[r * cols..(r + 1) * cols]),
            Targets::Labels(t) => Row::Label(t[r] as usize),
        }
    }
}

/// The targets of one row.
#[derive(Clone, Copy)]
pub(super) enum Row<'a> {
    /// One for each column.
    Values(&'a [f32]),
    /// One-hot at this column.
    Label(usize),
}

/// Where the largest stands; the first of equals.
pub(super) fn argmax(x: &[f32]) -> usize {
    let (mut at, mut best) = (0, x[0]);
    for (j, &v) in x.iter().enumerate() {
        if v > best {
            (at, best) = (j, v);
        }
    }
    at
}
