//! Element by element.

use super::Cuda;
use super::check;
use super::stream::Grid;
use crate::backend::HostRows;
use crate::error::{Error, Result};
use crate::tensor::{View, ViewMut};

/// Rows are gathered on the host, straight into page-locked memory; bytes cross the bus as bytes.
pub(super) fn load_rows(cuda: &Cuda, rows: HostRows, order: &[u32], y: ViewMut) -> Result<()> {
    let (shape, width) = (y.shape(), y.shape().sample().len());
    if shape.rank() == 0 || order.len() != shape.rows() || (width > 0 && !rows.len().is_multiple_of(width)) {
        let (n, len) = (order.len(), rows.len());
        return Err(Error::op("load_rows", format!("{n} rows out of {len} numbers into {shape}")));
    }
    if y.len() == 0 {
        return Ok(());
    }
    let there = rows.len() / width;
    if let Some(r) = order.iter().find(|&&r| r as usize >= there) {
        return Err(Error::op("load_rows", format!("row {r} of {there}")));
    }
    let n = y.len();
    let y = cuda.write(y)?;
    match rows {
        HostRows::F32(reals) => {
            let (bytes, row) = (bytemuck::cast_slice(reals), 4 * width);
            cuda.stream.write(y.0, 4 * n, |start, piece| gather(bytes, row, order, start, piece))
        }
        HostRows::U8 { bytes, scale } => {
            let staged = cuda.scratch(n.div_ceil(4))?;
            cuda.stream.write(staged.ptr().0, n, |start, piece| gather(bytes, width, order, start, piece))?;
            let grid = Grid::elements(n);
            cuda.kernels.elementwise()?.load_bytes(&cuda.stream, grid, staged.ptr(), scale, y, n as u64)
        }
    }
}

/// Fills `piece` with the bytes from `start` on of the rows `order`, each of `row` bytes, one behind the other.
fn gather(bytes: &[u8], row: usize, order: &[u32], mut start: usize, mut piece: &mut [u8]) {
    while !piece.is_empty() {
        let (number, within) = (start / row, start % row);
        let len = (row - within).min(piece.len());
        let (now, rest) = piece.split_at_mut(len);
        now.copy_from_slice(&bytes[order[number] as usize * row + within..][..len]);
        (start, piece) = (start + len, rest);
    }
}

pub(super) fn fill(cuda: &Cuda, value: f64, y: ViewMut) -> Result<()> {
    let n = y.len();
    if n == 0 {
        return Ok(());
    }
    let y = cuda.write(y)?;
    cuda.kernels.elementwise()?.fill(&cuda.stream, Grid::elements(n), value as f32, y, n as u64)
}

pub(super) fn copy(cuda: &Cuda, x: View, y: ViewMut) -> Result<()> {
    check("copy", x.len() == y.len(), &[("x", x.shape()), ("y", y.shape())])?;
    let n = y.len();
    if n == 0 {
        return Ok(());
    }
    let (x, y) = (cuda.read(x)?, cuda.write(y)?);
    cuda.kernels.elementwise()?.copy(&cuda.stream, Grid::elements(n), x, y, n as u64)
}

pub(super) fn scale(_cuda: &Cuda, _a: f64, _y: ViewMut) -> Result<()> {
    todo!()
}

pub(super) fn add_scaled(_cuda: &Cuda, _a: f64, _x: View, _y: ViewMut) -> Result<()> {
    todo!()
}

pub(super) fn interpolate(_cuda: &Cuda, _a: f64, _x: View, _y: ViewMut) -> Result<()> {
    todo!()
}

pub(super) fn multiply(_cuda: &Cuda, _x: View, _y: ViewMut) -> Result<()> {
    todo!()
}

pub(super) fn clamp(_cuda: &Cuda, _low: f64, _high: f64, _y: ViewMut) -> Result<()> {
    todo!()
}

pub(super) fn swap_axes(_cuda: &Cuda, _x: View, _y: ViewMut) -> Result<()> {
    todo!()
}

pub(super) fn copy_columns(
    _cuda: &Cuda,
    _x: View,
    _from: usize,
    _y: ViewMut,
    _to: usize,
    _width: usize,
) -> Result<()> {
    todo!()
}

pub(super) fn add_bias(_cuda: &Cuda, _b: View, _y: ViewMut) -> Result<()> {
    todo!()
}

pub(super) fn sum_rows(_cuda: &Cuda, _x: View, _y: ViewMut) -> Result<()> {
    todo!()
}
