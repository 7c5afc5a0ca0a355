//! One step of an LSTM and of a GRU, and their backwards.

use super::activation::{slope, value};
use super::check;
use crate::backend::CellActivations;
use crate::error::{Error, Result};
use crate::tensor::{View, ViewMut};

/// Whether both activations work element by element and have a derivative in terms of their value.
fn check_activations(op: &'static str, acts: CellActivations) -> Result<()> {
    match [acts.activation, acts.recurrent].into_iter().find(|f| !f.is_elementwise() || f.needs_input()) {
        None => Ok(()),
        Some(f) => {
            Err(Error::op(op, format!("a cell cannot use {f}: its derivative needs more than its value")))
        }
    }
}

pub(super) fn lstm_step(
    acts: CellActivations,
    gates: ViewMut,
    c_prev: Option<View>,
    c: ViewMut,
    h: ViewMut,
) -> Result<()> {
    let op = "lstm_step";
    check_activations(op, acts)?;
    let (n, u) = c.shape().as_matrix();
    let shapes = [("gates", gates.shape()), ("c", c.shape()), ("h", h.shape())];
    check(op, gates.shape().as_matrix() == (n, 4 * u) && h.len() == n * u, &shapes)?;
    if let Some(p) = c_prev {
        check(op, p.len() == n * u, &[("c_prev", p.shape()), ("c", c.shape())])?;
    }
    let c_prev = c_prev.map(View::f64).transpose()?;
    let (gates, c, h) = (gates.f64()?, c.f64()?, h.f64()?);
    for r in 0..n {
        for j in 0..u {
            let (at, e) = (r * 4 * u + j, r * u + j);
            let i = value(acts.recurrent, gates[at]);
            let f = value(acts.recurrent, gates[at + u]);
            let candidate = value(acts.activation, gates[at + 2 * u]);
            let o = value(acts.recurrent, gates[at + 3 * u]);
            c[e] = f * c_prev.map_or(0.0, |c| c[e]) + i * candidate;
            h[e] = o * value(acts.activation, c[e]);
            (gates[at], gates[at + u], gates[at + 2 * u], gates[at + 3 * u]) = (i, f, candidate, o);
        }
    }
    Ok(())
}

pub(super) fn lstm_step_backward(
    acts: CellActivations,
    gates: ViewMut,
    c_prev: Option<View>,
    c: View,
    dh: View,
    dc: ViewMut,
) -> Result<()> {
    let op = "lstm_step_backward";
    check_activations(op, acts)?;
    let (n, u) = c.shape().as_matrix();
    let shapes = [("gates", gates.shape()), ("c", c.shape()), ("dh", dh.shape()), ("dc", dc.shape())];
    let fit = gates.shape().as_matrix() == (n, 4 * u) && dh.len() == n * u && dc.len() == n * u;
    check(op, fit, &shapes)?;
    if let Some(p) = c_prev {
        check(op, p.len() == n * u, &[("c_prev", p.shape()), ("c", c.shape())])?;
    }
    let c_prev = c_prev.map(View::f64).transpose()?;
    let (gates, c, dh, dc) = (gates.f64()?, c.f64()?, dh.f64()?, dc.f64()?);
    for r in 0..n {
        for j in 0..u {
            let (at, e) = (r * 4 * u + j, r * u + j);
            let (i, f, candidate, o) = (gates[at], gates[at + u], gates[at + 2 * u], gates[at + 3 * u]);
            let t = value(acts.activation, c[e]);
            dc[e] += dh[e] * o * slope(acts.activation, t);
            gates[at] = dc[e] * candidate * slope(acts.recurrent, i);
            gates[at + u] = dc[e] * c_prev.map_or(0.0, |c| c[e]) * slope(acts.recurrent, f);
            gates[at + 2 * u] = dc[e] * i * slope(acts.activation, candidate);
            gates[at + 3 * u] = dh[e] * t * slope(acts.recurrent, o);
            dc[e] *= f;
        }
    }
    Ok(())
}

pub(super) fn gru_step(
    acts: CellActivations,
    gates: ViewMut,
    recurrent: View,
    h_prev: Option<View>,
    h: ViewMut,
) -> Result<()> {
    let op = "gru_step";
    check_activations(op, acts)?;
    let (n, u) = h.shape().as_matrix();
    let shapes = [("gates", gates.shape()), ("recurrent", recurrent.shape()), ("h", h.shape())];
    check(op, gates.shape().as_matrix() == (n, 3 * u) && recurrent.len() == n * 3 * u, &shapes)?;
    if let Some(p) = h_prev {
        check(op, p.len() == n * u, &[("h_prev", p.shape()), ("h", h.shape())])?;
    }
    let h_prev = h_prev.map(View::f64).transpose()?;
    let (gates, recurrent, h) = (gates.f64()?, recurrent.f64()?, h.f64()?);
    for row in 0..n {
        for j in 0..u {
            let (at, e) = (row * 3 * u + j, row * u + j);
            let z = value(acts.recurrent, gates[at] + recurrent[at]);
            let r = value(acts.recurrent, gates[at + u] + recurrent[at + u]);
            let candidate = value(acts.activation, gates[at + 2 * u] + r * recurrent[at + 2 * u]);
            h[e] = z * h_prev.map_or(0.0, |h| h[e]) + (1.0 - z) * candidate;
            (gates[at], gates[at + u], gates[at + 2 * u]) = (z, r, candidate);
        }
    }
    Ok(())
}

pub(super) fn gru_step_backward(
    acts: CellActivations,
    gates: ViewMut,
    recurrent: ViewMut,
    h_prev: Option<View>,
    dh: ViewMut,
) -> Result<()> {
    let op = "gru_step_backward";
    check_activations(op, acts)?;
    let (n, u) = dh.shape().as_matrix();
    let shapes = [("gates", gates.shape()), ("recurrent", recurrent.shape()), ("dh", dh.shape())];
    check(op, gates.shape().as_matrix() == (n, 3 * u) && recurrent.len() == n * 3 * u, &shapes)?;
    if let Some(p) = h_prev {
        check(op, p.len() == n * u, &[("h_prev", p.shape()), ("dh", dh.shape())])?;
    }
    let h_prev = h_prev.map(View::f64).transpose()?;
    let (gates, recurrent, dh) = (gates.f64()?, recurrent.f64()?, dh.f64()?);
    for row in 0..n {
        for j in 0..u {
            let (at, e) = (row * 3 * u + j, row * u + j);
            let (z, r, candidate) = (gates[at], gates[at + u], gates[at + 2 * u]);
            let dz = dh[e] * (h_prev.map_or(0.0, |h| h[e]) - candidate) * slope(acts.recurrent, z);
            let dcandidate = dh[e] * (1.0 - z) * slope(acts.activation, candidate);
            let dr = dcandidate * recurrent[at + 2 * u] * slope(acts.recurrent, r);
            (gates[at], gates[at + u], gates[at + 2 * u]) = (dz, dr, dcandidate);
            (recurrent[at], recurrent[at + u], recurrent[at + 2 * u]) = (dz, dr, dcandidate * r);
            dh[e] *= z;
        }
    }
    Ok(())
}
