//! Pooling: the largest or the mean number of each window.

use super::Cuda;
use super::conv::{args, by_images, images};
use super::stream::Grid;
use crate::error::{Error, Result};
use crate::tensor::{View, ViewMut};
use crate::window::Window;

/// Numbers of an image, and of what its windows give.
fn sizes(w: &Window) -> (usize, usize) {
    (w.input_len(), w.positions() * w.channels)
}

/// See [`Backend::max_pool`](crate::Backend::max_pool).
pub(super) fn max_pool(cuda: &Cuda, w: &Window, x: View, y: ViewMut) -> Result<()> {
    let op = "max_pool";
    let n = images(op, w, x.shape(), y.shape(), w.channels)?;
    let (x, y, g, (input, output)) = (cuda.read(x)?, cuda.write(y)?, args(op, w, 1)?, sizes(w));
    by_images(op, n, input.max(output), |first, count| {
        let (x, y, size) = (x.plus(first * input), y.plus(first * output), count * output);
        cuda.kernels.pool()?.max_pool(&cuda.stream, Grid::elements(size), x, y, size as u64, g)
    })
}

/// See [`Backend::max_pool_backward`](crate::Backend::max_pool_backward).
pub(super) fn max_pool_backward(
    cuda: &Cuda,
    w: &Window,
    x: View,
    y: View,
    dy: View,
    dx: ViewMut,
) -> Result<()> {
    let op = "max_pool_backward";
    let n = images(op, w, x.shape(), y.shape(), w.channels)?;
    if x.len() != dx.len() || y.len() != dy.len() {
        let (x, dx, y, dy) = (x.shape(), dx.shape(), y.shape(), dy.shape());
        return Err(Error::op(op, format!("x {x} and dx {dx}, y {y} and dy {dy}")));
    }
    let (x, y, dy, dx) = (cuda.read(x)?, cuda.read(y)?, cuda.read(dy)?, cuda.write(dx)?);
    let (g, (input, output)) = (args(op, w, 1)?, sizes(w));
    by_images(op, n, input.max(output), |first, count| {
        let (x, dx, size) = (x.plus(first * input), dx.plus(first * input), count * input);
        let (y, dy) = (y.plus(first * output), dy.plus(first * output));
        let (k, s) = (cuda.kernels.pool()?, &cuda.stream);
        if apart(w) {
            let size = count * output;
            return k.max_pool_backward_apart(s, Grid::elements(size), x, y, dy, dx, size as u64, g);
        }
        k.max_pool_backward(s, Grid::elements(size), x, y, dy, dx, size as u64, g)
    })
}

/// Whether no two windows overlap, and every input position has a window next to it: there is at least one.
fn apart(w: &Window) -> bool {
    w.dilation == [1; 3] && (0..3).all(|axis| w.stride[axis] >= w.kernel[axis] && w.output[axis] > 0)
}

/// See [`Backend::average_pool`](crate::Backend::average_pool).
pub(super) fn average_pool(cuda: &Cuda, w: &Window, x: View, y: ViewMut) -> Result<()> {
    let op = "average_pool";
    let n = images(op, w, x.shape(), y.shape(), w.channels)?;
    let (x, y, g, (input, output)) = (cuda.read(x)?, cuda.write(y)?, args(op, w, 1)?, sizes(w));
    by_images(op, n, input.max(output), |first, count| {
        let (x, y, size) = (x.plus(first * input), y.plus(first * output), count * output);
        cuda.kernels.pool()?.average_pool(&cuda.stream, Grid::elements(size), x, y, size as u64, g)
    })
}

/// See [`Backend::average_pool_backward`](crate::Backend::average_pool_backward).
pub(super) fn average_pool_backward(cuda: &Cuda, w: &Window, dy: View, dx: ViewMut) -> Result<()> {
    let op = "average_pool_backward";
    let n = images(op, w, dx.shape(), dy.shape(), w.channels)?;
    let (dy, dx, g, (input, output)) = (cuda.read(dy)?, cuda.write(dx)?, args(op, w, 1)?, sizes(w));
    by_images(op, n, input.max(output), |first, count| {
        let (dy, dx, size) = (dy.plus(first * output), dx.plus(first * input), count * input);
        let (k, grid) = (cuda.kernels.pool()?, Grid::elements(size));
        k.average_pool_backward(&cuda.stream, grid, dy, dx, size as u64, g)
    })
}
