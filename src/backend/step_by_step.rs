//! Sequences as plain ops: what [`Backend::lstm`], [`Backend::lstm_backward`] and [`Backend::recurrent_gradients`] are.

use super::{Activation, Backend, CellActivations, Gemm, Result, Shape, View, ViewMut};
use crate::error::check;
use crate::steps::{at, at_mut, before, is_cut, state_mut};

/// [T, N, U] of [`Backend::lstm`], if all shapes fit.
pub(crate) fn extents(
    xs: Shape,
    kernel: Shape,
    recurrent: Shape,
    bias: Option<Shape>,
    [gates, c, h]: [Shape; 3],
) -> Result<[usize; 3]> {
    let shapes = [("xs", xs), ("kernel", kernel), ("recurrent", recurrent), ("gates", gates), ("h", h)];
    let (&[steps, n, u], f) = (h.dims(), xs.last()) else {
        return check("lstm", false, &shapes).map(|()| [0; 3]);
    };
    let fit = xs.rank() == 3
        && xs.dims()[..2] == [steps, n]
        && gates.dims() == [steps, n, 4 * u]
        && c == h
        && kernel.dims() == [f, 4 * u]
        && recurrent.dims() == [u, 4 * u]
        && bias.is_none_or(|b| b.len() == 4 * u);
    check("lstm", fit, &shapes).map(|()| [steps, n, u])
}

/// [T, N, U] of [`Backend::lstm_backward`], if all shapes fit.
pub(crate) fn extents_backward(
    recurrent: Shape,
    gates: Shape,
    c: Shape,
    dh: Shape,
    dc: Shape,
) -> Result<[usize; 3]> {
    let shapes = [("recurrent", recurrent), ("gates", gates), ("c", c), ("dh", dh), ("dc", dc)];
    let &[steps, n, u] = dh.dims() else {
        return check("lstm_backward", false, &shapes).map(|()| [0; 3]);
    };
    let fit =
        gates.dims() == [steps, n, 4 * u] && c == dh && recurrent.dims() == [u, 4 * u] && dc.dims() == [n, u];
    check("lstm_backward", fit, &shapes).map(|()| [steps, n, u])
}

/// [T, N, F, U, G] of [`Backend::recurrent_gradients`], if all shapes fit.
pub(crate) fn extents_of_gradients(
    xs: Shape,
    h: Shape,
    dz: Shape,
    dw: Shape,
    du: Shape,
    db: Option<Shape>,
) -> Result<[usize; 5]> {
    let shapes = [("xs", xs), ("h", h), ("dz", dz), ("dw", dw), ("du", du)];
    let (&[steps, n, u], f, g) = (h.dims(), xs.last(), dz.last()) else {
        return check("recurrent_gradients", false, &shapes).map(|()| [0; 5]);
    };
    let fit = steps > 0
        && xs.dims() == [steps, n, f]
        && dz.dims() == [steps, n, g]
        && dw.dims() == [f, g]
        && du.dims() == [u, g]
        && db.is_none_or(|b| b.len() == g);
    check("recurrent_gradients", fit, &shapes).map(|()| [steps, n, f, u, g])
}

pub(crate) fn recurrent_gradients(
    dev: &(impl Backend + ?Sized),
    xs: View,
    h: View,
    dz: View,
    dw: ViewMut,
    du: ViewMut,
    db: Option<ViewMut>,
) -> Result<()> {
    let of_bias = db.as_ref().map(ViewMut::shape);
    let [steps, ..] =
        extents_of_gradients(xs.shape(), h.shape(), dz.shape(), dw.shape(), du.shape(), of_bias)?;
    dev.gemm(Gemm::tn(), xs, dz, dw)?;
    dev.gemm(Gemm::tn(), h.rows(0..steps - 1)?, dz.rows(1..steps)?, du)?;
    db.map_or(Ok(()), |db| dev.sum_rows(dz, db))
}

pub(crate) fn lstm(
    dev: &(impl Backend + ?Sized),
    acts: CellActivations,
    xs: View,
    kernel: View,
    recurrent: View,
    bias: Option<View>,
    mut gates: ViewMut,
    mut c: ViewMut,
    mut h: ViewMut,
) -> Result<()> {
    let all = [gates.shape(), c.shape(), h.shape()];
    let [steps, ..] = extents(xs.shape(), kernel.shape(), recurrent.shape(), bias.map(|b| b.shape()), all)?;
    dev.dense(Activation::Linear, xs, kernel, bias, gates.reborrow())?;
    for t in 0..steps {
        let (c_prev, c_t) = state_mut(&mut c, t)?;
        let (h_prev, h_t) = state_mut(&mut h, t)?;
        let mut z = at_mut(&mut gates, t)?;
        if let Some(h_prev) = h_prev {
            dev.gemm(Gemm::nn().add(), h_prev, recurrent, z.reborrow())?;
        }
        dev.lstm_step(acts, z, c_prev, c_t, h_t)?;
    }
    Ok(())
}

pub(crate) fn lstm_backward(
    dev: &(impl Backend + ?Sized),
    acts: CellActivations,
    recurrent: View,
    truncate: Option<usize>,
    mut gates: ViewMut,
    c: View,
    mut dh: ViewMut,
    mut dc: ViewMut,
) -> Result<()> {
    let [steps, ..] = extents_backward(recurrent.shape(), gates.shape(), c.shape(), dh.shape(), dc.shape())?;
    dev.fill(0.0, dc.reborrow())?;
    for t in (0..steps).rev() {
        let (c_prev, c_t, dh_t) = (before(c, t)?, at(c, t)?, at(dh.as_view(), t)?);
        let mut z = at_mut(&mut gates, t)?;
        dev.lstm_step_backward(acts, z.reborrow(), c_prev, c_t, dh_t, dc.reborrow())?;
        if !is_cut(truncate, t) {
            dev.gemm(Gemm::nt().add(), z.as_view(), recurrent, at_mut(&mut dh, t - 1)?)?;
        } else if t > 0 {
            dev.fill(0.0, dc.reborrow())?;
        }
    }
    Ok(())
}
