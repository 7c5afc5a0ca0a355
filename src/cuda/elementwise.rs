//! Element by element, moves, bias, and sums over rows.

use super::abi::Ptr;
use super::layout::{self, int};
use super::stream::Grid;
use super::{Cuda, check};
use crate::backend::HostRows;
use crate::error::{Error, Result};
use crate::tensor::{View, ViewMut};

/// Rows are gathered on the host, straight into page-locked memory; bytes cross the bus as bytes.
pub(super) fn load_rows(cuda: &Cuda, rows: HostRows, order: &[u32], y: ViewMut) -> Result<()> {
    let (width, n) = (rows.width(order, y.shape())?, y.len());
    let y = cuda.write(y)?;
    if n == 0 {
        return Ok(());
    }
    match rows {
        HostRows::F32(reals) => {
            let (bytes, row) = (bytemuck::cast_slice(reals), 4 * width);
            cuda.stream.write(y.0, 4 * n, |start, piece| gather(bytes, row, order, start, piece))
        }
        HostRows::U8 { bytes, scale } => {
            let staged = cuda.scratch(n.div_ceil(4))?;
            cuda.stream.write(staged.ptr().0, n, |start, piece| gather(bytes, width, order, start, piece))?;
            let grid = by_fours(n);
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

/// For kernels that take four elements at a time where they can, and one where they cannot.
pub(super) fn by_fours(n: usize) -> Grid {
    Grid::elements(n.div_ceil(4))
}

/// x and y, which have as many elements, and how many.
fn pair(cuda: &Cuda, op: &'static str, x: View, y: ViewMut) -> Result<(Ptr, Ptr, usize)> {
    check(op, x.len() == y.len(), &[("x", x.shape()), ("y", y.shape())])?;
    let n = y.len();
    Ok((cuda.read(x)?, cuda.write(y)?, n))
}

pub(super) fn fill(cuda: &Cuda, value: f64, y: ViewMut) -> Result<()> {
    let n = y.len();
    let y = cuda.write(y)?;
    if n == 0 {
        return Ok(());
    }
    cuda.kernels.elementwise()?.fill(&cuda.stream, by_fours(n), value as f32, y, n as u64)
}

pub(super) fn copy(cuda: &Cuda, x: View, y: ViewMut) -> Result<()> {
    let (x, y, n) = pair(cuda, "copy", x, y)?;
    if n == 0 {
        return Ok(());
    }
    cuda.kernels.elementwise()?.copy(&cuda.stream, by_fours(n), x, y, n as u64)
}

pub(super) fn scale(cuda: &Cuda, a: f64, y: ViewMut) -> Result<()> {
    let n = y.len();
    let y = cuda.write(y)?;
    if n == 0 {
        return Ok(());
    }
    cuda.kernels.elementwise()?.scale(&cuda.stream, by_fours(n), a as f32, y, n as u64)
}

pub(super) fn add_scaled(cuda: &Cuda, a: f64, x: View, y: ViewMut) -> Result<()> {
    let (x, y, n) = pair(cuda, "add_scaled", x, y)?;
    if n == 0 {
        return Ok(());
    }
    cuda.kernels.elementwise()?.add_scaled(&cuda.stream, by_fours(n), a as f32, x, y, n as u64)
}

pub(super) fn interpolate(cuda: &Cuda, a: f64, x: View, y: ViewMut) -> Result<()> {
    let (x, y, n) = pair(cuda, "interpolate", x, y)?;
    if n == 0 {
        return Ok(());
    }
    cuda.kernels.elementwise()?.interpolate(&cuda.stream, by_fours(n), a as f32, x, y, n as u64)
}

pub(super) fn multiply(cuda: &Cuda, x: View, y: ViewMut) -> Result<()> {
    let (x, y, n) = pair(cuda, "multiply", x, y)?;
    if n == 0 {
        return Ok(());
    }
    cuda.kernels.elementwise()?.multiply(&cuda.stream, by_fours(n), x, y, n as u64)
}

pub(super) fn clamp(cuda: &Cuda, low: f64, high: f64, y: ViewMut) -> Result<()> {
    let n = y.len();
    let y = cuda.write(y)?;
    if n == 0 {
        return Ok(());
    }
    cuda.kernels.elementwise()?.clamp(&cuda.stream, by_fours(n), low as f32, high as f32, y, n as u64)
}

// ---------------------------------------------------------------- moves

/// Rows of fewer numbers than this, 32 bytes, go through a tile of shared memory.
const SMALL: usize = 8;

pub(super) fn swap_axes(cuda: &Cuda, x: View, y: ViewMut) -> Result<()> {
    let (from, to) = (x.shape(), y.shape());
    let (f, t) = (from.dims(), to.dims());
    let fit = f.len() >= 2 && f.len() == t.len() && f[0] == t[1] && f[1] == t[0] && f[2..] == t[2..];
    check("swap_axes", fit, &[("x", from), ("y", to)])?;
    let rest = f[2..].iter().product::<usize>();
    let (a, b) = (int("swap_axes", f[0])?, int("swap_axes", f[1])?);
    let (x, y) = (cuda.read(x)?, cuda.write(y)?);
    if from.len() == 0 {
        return Ok(());
    }
    let kernels = cuda.kernels.elementwise()?;
    if rest >= SMALL {
        let (grid, width) = layout::copies(f[0] * f[1], rest);
        return kernels.swap_axes_rows(&cuda.stream, grid, x, y, a, b, rest as u64, width);
    }
    let tiles = int("swap_axes", f[0].div_ceil(32) * f[1].div_ceil(32))?;
    let grid = Grid::new([tiles as u32, 1, 1], [Grid::BLOCK, 1, 1]).shared(4 * 32 * (32 * rest + 1));
    kernels.swap_axes_tile(&cuda.stream, grid, x, y, a, b, rest as i32)
}

pub(super) fn copy_columns(
    cuda: &Cuda,
    x: View,
    from: usize,
    y: ViewMut,
    to: usize,
    width: usize,
) -> Result<()> {
    let op = "copy_columns";
    let ((rows, cx), (ry, cy)) = (x.shape().as_matrix(), y.shape().as_matrix());
    let inside = |start: usize, c| start.checked_add(width).is_some_and(|end| end <= c);
    if rows != ry || !inside(from, cx) || !inside(to, cy) {
        let (x, y) = (x.shape(), y.shape());
        let problem = format!("{width} columns from column {from} of {x} to column {to} of {y}");
        return Err(Error::op(op, problem));
    }
    let (x, y) = (cuda.read(x)?, cuda.write(y)?);
    if rows == 0 || width == 0 {
        return Ok(());
    }
    let (grid, lanes) = layout::copies(rows, width);
    let (rows, cx, cy) = (int(op, rows)?, int(op, cx)?, int(op, cy)?);
    let (from, to, width) = (from as i32, to as i32, width as i32); // no larger than cx and cy
    cuda.kernels.elementwise()?.copy_columns(&cuda.stream, grid, x, from, cx, y, to, cy, rows, width, lanes)
}

// ---------------------------------------------------------------- rows

pub(super) fn add_bias(cuda: &Cuda, b: View, y: ViewMut) -> Result<()> {
    let (rows, cols) = layout::matrix("add_bias", y.shape())?;
    check("add_bias", b.len() == cols as usize, &[("b", b.shape()), ("y", y.shape())])?;
    let (b, y) = (cuda.read(b)?, cuda.write(y)?);
    if rows == 0 || cols == 0 {
        return Ok(());
    }
    let c = layout::columns(rows, cols);
    cuda.kernels.elementwise()?.add_bias(&cuda.stream, c.grid, b, y, rows, cols, c.width, c.chunk)
}

pub(super) fn sum_rows(cuda: &Cuda, x: View, mut y: ViewMut) -> Result<()> {
    let (rows, cols) = layout::matrix("sum_rows", x.shape())?;
    check("sum_rows", y.len() == cols as usize, &[("x", x.shape()), ("y", y.shape())])?;
    let (x, to) = (cuda.read(x)?, cuda.write(y.reborrow())?);
    if rows == 0 || cols == 0 {
        return fill(cuda, 0.0, y);
    }
    let (kernels, c) = (cuda.kernels.elementwise()?, layout::columns(rows, cols));
    if c.chunks == 1 {
        return kernels.sum_rows(&cuda.stream, c.grid, x, to, rows, cols, c.width, c.chunk);
    }
    let parts = cuda.scratch((c.chunks * cols) as usize)?;
    kernels.sum_rows(&cuda.stream, c.grid, x, parts.ptr(), rows, cols, c.width, c.chunk)?;
    let all = layout::whole_columns(c.chunks, cols);
    kernels.sum_rows(&cuda.stream, all.grid, parts.ptr(), to, c.chunks, cols, all.width, all.chunk)
}
