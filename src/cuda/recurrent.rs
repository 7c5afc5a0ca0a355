//! One step of an LSTM and of a GRU, behind their GEMMs.

use super::layout::int;
use super::stream::Grid;
use super::{Cuda, abi, check};
use crate::backend::CellActivations;
use crate::error::{Error, Result};
use crate::shape::Shape;
use crate::tensor::{View, ViewMut};

/// A cell's two functions as kernels take them, if both work element by element and have a derivative in terms of
/// their value.
fn functions(op: &'static str, acts: CellActivations) -> Result<(abi::Activation, abi::Activation)> {
    match [acts.activation, acts.recurrent].into_iter().find(|f| !f.is_elementwise() || f.needs_input()) {
        None => Ok((abi::Activation::new(acts.activation)?, abi::Activation::new(acts.recurrent)?)),
        Some(f) => {
            Err(Error::op(op, format!("a cell cannot use {f}: its derivative needs more than its value")))
        }
    }
}

/// The batch and the units of `state` [N, U], as kernels take them, if `gates` have as many times `blocks` and all of
/// `others` as many numbers as the state.
fn extents(
    op: &'static str,
    state: (&str, Shape),
    blocks: usize,
    gates: &[(&str, Shape)],
    others: &[(&str, Option<Shape>)],
) -> Result<(i32, i32)> {
    let (n, units) = state.1.as_matrix();
    for &(name, shape) in gates {
        check(op, shape.as_matrix() == (n, blocks * units), &[(name, shape), state])?;
    }
    for &(name, shape) in others {
        if let Some(shape) = shape {
            check(op, shape.len() == n * units, &[(name, shape), state])?;
        }
    }
    Ok((int(op, n)?, int(op, units)?))
}

/// A thread for each unit of each sample.
fn grid(n: i32, units: i32) -> Grid {
    Grid::elements(n as usize * units as usize)
}

pub(super) fn lstm_step(
    cuda: &Cuda,
    acts: CellActivations,
    gates: ViewMut,
    c_prev: Option<View>,
    c: ViewMut,
    h: ViewMut,
) -> Result<()> {
    let op = "lstm_step";
    let (f, recurrent) = functions(op, acts)?;
    let others = [("h", Some(h.shape())), ("c_prev", c_prev.map(|v| v.shape()))];
    let (n, units) = extents(op, ("c", c.shape()), 4, &[("gates", gates.shape())], &others)?;
    let (gates, c_prev) = (cuda.write(gates)?, cuda.read_or_null(c_prev)?);
    let (c, h) = (cuda.write(c)?, cuda.write(h)?);
    if n == 0 || units == 0 {
        return Ok(());
    }
    let kernels = cuda.kernels.recurrent()?;
    kernels.lstm_step(&cuda.stream, grid(n, units), f, recurrent, gates, c_prev, c, h, n, units)
}

pub(super) fn lstm_step_backward(
    cuda: &Cuda,
    acts: CellActivations,
    gates: ViewMut,
    c_prev: Option<View>,
    c: View,
    dh: View,
    dc: ViewMut,
) -> Result<()> {
    let op = "lstm_step_backward";
    let (f, recurrent) = functions(op, acts)?;
    let others = [("dh", Some(dh.shape())), ("dc", Some(dc.shape())), ("c_prev", c_prev.map(|v| v.shape()))];
    let (n, units) = extents(op, ("c", c.shape()), 4, &[("gates", gates.shape())], &others)?;
    let (gates, c_prev) = (cuda.write(gates)?, cuda.read_or_null(c_prev)?);
    let (c, dh, dc) = (cuda.read(c)?, cuda.read(dh)?, cuda.write(dc)?);
    if n == 0 || units == 0 {
        return Ok(());
    }
    let kernels = cuda.kernels.recurrent()?;
    kernels.lstm_step_backward(&cuda.stream, grid(n, units), f, recurrent, gates, c_prev, c, dh, dc, n, units)
}

pub(super) fn gru_step(
    cuda: &Cuda,
    acts: CellActivations,
    gates: ViewMut,
    recurrent: View,
    h_prev: Option<View>,
    h: ViewMut,
) -> Result<()> {
    let op = "gru_step";
    let (f, of_gates) = functions(op, acts)?;
    let both = [("gates", gates.shape()), ("recurrent", recurrent.shape())];
    let (n, units) = extents(op, ("h", h.shape()), 3, &both, &[("h_prev", h_prev.map(|v| v.shape()))])?;
    let (gates, inner) = (cuda.write(gates)?, cuda.read(recurrent)?);
    let (h_prev, h) = (cuda.read_or_null(h_prev)?, cuda.write(h)?);
    if n == 0 || units == 0 {
        return Ok(());
    }
    let kernels = cuda.kernels.recurrent()?;
    kernels.gru_step(&cuda.stream, grid(n, units), f, of_gates, gates, inner, h_prev, h, n, units)
}

pub(super) fn gru_step_backward(
    cuda: &Cuda,
    acts: CellActivations,
    gates: ViewMut,
    recurrent: ViewMut,
    h_prev: Option<View>,
    dh: ViewMut,
) -> Result<()> {
    let op = "gru_step_backward";
    let (f, of_gates) = functions(op, acts)?;
    let both = [("gates", gates.shape()), ("recurrent", recurrent.shape())];
    let (n, units) = extents(op, ("dh", dh.shape()), 3, &both, &[("h_prev", h_prev.map(|v| v.shape()))])?;
    let (gates, inner) = (cuda.write(gates)?, cuda.write(recurrent)?);
    let (h_prev, dh) = (cuda.read_or_null(h_prev)?, cuda.write(dh)?);
    if n == 0 || units == 0 {
        return Ok(());
    }
    let kernels = cuda.kernels.recurrent()?;
    kernels.gru_step_backward(&cuda.stream, grid(n, units), f, of_gates, gates, inner, h_prev, dh, n, units)
}
