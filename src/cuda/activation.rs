//! Activations and their derivatives.

use super::elementwise::by_fours;
use super::layout::{self, Rows};
use super::{Cuda, abi, check};
use crate::activations::Activation;
use crate::error::{Error, Result};
use crate::tensor::{View, ViewMut};

pub(super) fn activate(cuda: &Cuda, f: Activation, y: ViewMut) -> Result<()> {
    let ((rows, cols), n) = (y.shape().as_matrix(), y.len());
    let (y, kind) = (cuda.write(y)?, abi::Activation::new(f)?);
    if n == 0 || f == Activation::Linear {
        return Ok(());
    }
    let (kernels, stream) = (cuda.kernels.activation()?, &cuda.stream);
    if f != Activation::Softmax {
        return kernels.activate(stream, by_fours(n), kind, y, n as u64);
    }
    let (rows, cols) = (layout::int("activate", rows)?, layout::int("activate", cols)?);
    match layout::rows(rows, cols) {
        Rows::Short(grid, width) => kernels.softmax_short(stream, grid, y, rows, cols, width),
        Rows::Long(grid) => kernels.softmax_long(stream, grid, y, cols),
    }
}

pub(super) fn activation_backward(
    cuda: &Cuda,
    f: Activation,
    x: Option<View>,
    y: View,
    dy: ViewMut,
) -> Result<()> {
    let op = "activation_backward";
    check(op, y.len() == dy.len(), &[("y", y.shape()), ("dy", dy.shape())])?;
    if let Some(x) = x {
        check(op, x.len() == y.len(), &[("x", x.shape()), ("y", y.shape())])?;
    }
    let kind = abi::Activation::new(f)?;
    let ((rows, cols), n) = (y.shape().as_matrix(), y.len());
    let (y, dy) = (cuda.read(y)?, cuda.write(dy)?);
    let from = match (f.needs_input(), x) {
        (true, Some(x)) => cuda.read(x)?,
        (true, None) => return Err(Error::op(op, format!("the derivative of {f} needs x"))),
        (false, _) => y,
    };
    if n == 0 || f == Activation::Linear {
        return Ok(());
    }
    let (kernels, stream) = (cuda.kernels.activation()?, &cuda.stream);
    if f.needs_input() {
        return kernels.activate_backward_at(stream, by_fours(n), kind, from, dy, n as u64);
    }
    if f != Activation::Softmax {
        return kernels.activate_backward(stream, by_fours(n), kind, from, dy, n as u64);
    }
    let (rows, cols) = (layout::int(op, rows)?, layout::int(op, cols)?);
    match layout::rows(rows, cols) {
        Rows::Short(grid, width) => kernels.softmax_backward_short(stream, grid, y, dy, rows, cols, width),
        Rows::Long(grid) => kernels.softmax_backward_long(stream, grid, y, dy, cols),
    }
}
