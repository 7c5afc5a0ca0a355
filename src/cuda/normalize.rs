//! Normalisation over columns.

use super::abi::Ptr;
use super::layout::{self, Columns};
use super::{Cuda, check, elementwise};
use crate::backend::Affine;
use crate::error::Result;
use crate::tensor::{View, ViewMut};

pub(super) fn moments(cuda: &Cuda, x: View, mean: ViewMut, variance: ViewMut) -> Result<()> {
    let (rows, cols) = layout::matrix("moments", x.shape())?;
    let shapes = [("x", x.shape()), ("mean", mean.shape()), ("variance", variance.shape())];
    let fit = rows > 0 && mean.len() == cols as usize && variance.len() == cols as usize;
    check("moments", fit, &shapes)?;
    let (x, mean, variance) = (cuda.read(x)?, cuda.write(mean)?, cuda.write(variance)?);
    if cols == 0 {
        return Ok(());
    }
    let (kernels, stream) = (cuda.kernels.normalize()?, &cuda.stream);
    let Columns { grid, width, chunk, chunks } = layout::columns(rows, cols);
    if chunks == 1 {
        return kernels.moments(stream, grid, x, Ptr::NULL, mean, variance, rows, cols, width, chunk);
    }
    let scratch = cuda.scratch(3 * chunks as usize * cols as usize)?;
    let parts = scratch.ptr();
    kernels.moments(stream, grid, x, parts, mean, variance, rows, cols, width, chunk)?;
    let grid = layout::whole_columns(chunks, cols).grid;
    kernels.moments_together(stream, grid, parts, mean, variance, chunks, cols, width, rows, chunk)
}

/// Where the parts of an affine normalisation of `cols` columns are.
struct Parts {
    mean: Ptr,
    variance: Ptr,
    gamma: Ptr,
    beta: Ptr,
    epsilon: f32,
}

impl Parts {
    fn open(cuda: &Cuda, op: &'static str, a: &Affine, cols: i32) -> Result<Parts> {
        let parts =
            [("mean", Some(a.mean)), ("variance", Some(a.variance)), ("gamma", a.gamma), ("beta", a.beta)];
        for (name, part) in parts {
            if let Some(part) = part {
                let columns = (cols as usize).into();
                check(op, part.len() == cols as usize, &[(name, part.shape()), ("columns", columns)])?;
            }
        }
        Ok(Parts {
            mean: cuda.read(a.mean)?,
            variance: cuda.read(a.variance)?,
            gamma: cuda.read_or_null(a.gamma)?,
            beta: cuda.read_or_null(a.beta)?,
            epsilon: a.epsilon as f32,
        })
    }
}

pub(super) fn normalize(cuda: &Cuda, a: &Affine, x: View, y: ViewMut) -> Result<()> {
    let (rows, cols) = layout::matrix("normalize", x.shape())?;
    let fit = y.shape().as_matrix() == x.shape().as_matrix();
    check("normalize", fit, &[("x", x.shape()), ("y", y.shape())])?;
    let Parts { mean, variance, gamma, beta, epsilon } = Parts::open(cuda, "normalize", a, cols)?;
    let (x, y) = (cuda.read(x)?, cuda.write(y)?);
    if rows == 0 || cols == 0 {
        return Ok(());
    }
    let Columns { grid, width, chunk, .. } = layout::columns(rows, cols);
    let kernels = cuda.kernels.normalize()?;
    kernels.normalize(
        &cuda.stream,
        grid,
        mean,
        variance,
        gamma,
        beta,
        epsilon,
        x,
        y,
        rows,
        cols,
        width,
        chunk,
    )
}

pub(super) fn normalize_backward(
    cuda: &Cuda,
    a: &Affine,
    x: View,
    dy: View,
    mut dgamma: ViewMut,
    mut dbeta: ViewMut,
    dx: Option<ViewMut>,
) -> Result<()> {
    let op = "normalize_backward";
    let ((rows, cols), shape) = (layout::matrix(op, x.shape())?, x.shape().as_matrix());
    check(op, dy.shape().as_matrix() == shape, &[("x", x.shape()), ("dy", dy.shape())])?;
    let both = [("x", x.shape()), ("dgamma", dgamma.shape()), ("dbeta", dbeta.shape())];
    check(op, dgamma.len() == cols as usize && dbeta.len() == cols as usize, &both)?;
    if let Some(dx) = &dx {
        check(op, dx.shape().as_matrix() == shape, &[("x", x.shape()), ("dx", dx.shape())])?;
    }
    let Parts { mean, variance, gamma, epsilon, .. } = Parts::open(cuda, op, a, cols)?;
    let (x, dy, dx) = (cuda.read(x)?, cuda.read(dy)?, dx.map(|dx| cuda.write(dx)).transpose()?);
    let (to_gamma, to_beta) = (cuda.write(dgamma.reborrow())?, cuda.write(dbeta.reborrow())?);
    if rows == 0 || cols == 0 {
        elementwise::fill(cuda, 0.0, dgamma)?;
        return elementwise::fill(cuda, 0.0, dbeta);
    }
    let (kernels, stream) = (cuda.kernels.normalize()?, &cuda.stream);
    let Columns { grid, width, chunk, chunks } = layout::columns(rows, cols);
    let scratch = cuda.scratch(2 * chunks as usize * cols as usize)?;
    let parts = scratch.ptr();
    kernels.normalize_sums(stream, grid, mean, x, dy, parts, rows, cols, width, chunk)?;
    let all = layout::whole_columns(chunks, cols).grid;
    kernels.normalize_sums_together(
        stream, all, variance, epsilon, parts, to_gamma, to_beta, chunks, cols, width,
    )?;
    let Some(dx) = dx else { return Ok(()) };
    kernels.normalize_backward(
        stream, grid, mean, variance, gamma, epsilon, x, dy, to_gamma, to_beta, dx, rows, cols, width, chunk,
    )
}
