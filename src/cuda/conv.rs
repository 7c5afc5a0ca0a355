//! Convolution: which kernel of `kernels/conv.cu` computes what, and the geometry of a window as kernels take it.
//!
//! Forward and dK are products that unroll the images while they are made; so is dx, where windows move one by one. With
//! larger strides most of dx meets few windows, and dz Kᵀ followed by col2im is less work: the one op that wants scratch.

use super::abi::{self, Divisor, GemmArgs, Ptr, WindowArgs};
use super::gemm::{self, Rung};
use super::stream::Grid;
use super::{Cuda, activation, elementwise};
use crate::activations::Activation;
use crate::backend::Gemm;
use crate::error::{Error, Result};
use crate::shape::Shape;
use crate::tensor::{View, ViewMut};
use crate::window::Window;

/// Numbers of a launch that kernels count in 32 bits: one short of the sign, with room for a tile.
const MOST: usize = (1 << 31) - (1 << 16);

/// The number of images, if x is [n, D, H, W, C] and `rows` a matrix of `columns` with a row for each window.
pub(super) fn images(op: &'static str, w: &Window, x: Shape, rows: Shape, columns: usize) -> Result<usize> {
    let n = x.rows();
    let fits = x.rank() > 1 && x.len() == n * w.input_len() && x.last() == w.channels;
    match fits && rows.as_matrix() == (n * w.positions(), columns) {
        true => Ok(n),
        false => Err(Error::op(op, format!("{x} and {rows} for a window {:?} over {:?}", w.kernel, w.input))),
    }
}

/// The geometry as kernels take it; `filters` is 1 where there are none.
pub(super) fn args(op: &'static str, w: &Window, filters: usize) -> Result<WindowArgs> {
    // The farthest position that a kernel computes.
    let fits = (0..3).all(|a| {
        let far = (w.output[a] - 1).saturating_mul(w.stride[a]);
        let reach = (w.kernel[a] - 1).saturating_mul(w.dilation[a]);
        let extent = w.input[a].saturating_add(w.before[a]).saturating_add(w.stride[a]);
        far.saturating_add(reach).saturating_add(extent) <= MOST
    });
    if !fits || w.taps().saturating_mul(filters) > MOST {
        return Err(Error::op(
            op,
            format!("a window {:?} over {:?} is too large for a GPU", w.kernel, w.input),
        ));
    }
    let ints = |v: [usize; 3]| v.map(|i| i as i32);
    let by = |v: [usize; 3]| v.map(Divisor::new);
    Ok(WindowArgs {
        input: ints(w.input),
        output: ints(w.output),
        kernel: ints(w.kernel),
        stride: ints(w.stride),
        dilation: ints(w.dilation),
        before: ints(w.before),
        channels: w.channels as i32,
        filters: filters as i32,
        by_input: by(w.input),
        by_output: by(w.output),
        by_kernel: by(w.kernel),
        by_stride: by(w.stride),
        by_channels: Divisor::new(w.channels),
        by_filters: Divisor::new(filters.max(1)),
    })
}

/// Calls `launch(first image, images)` for as many images at a time as kernels can count, where an image is `size`
/// numbers in its largest tensor.
pub(super) fn by_images(
    op: &'static str,
    n: usize,
    size: usize,
    mut launch: impl FnMut(usize, usize) -> Result<()>,
) -> Result<()> {
    let at_once = MOST / size.max(1);
    if at_once == 0 {
        return Err(Error::op(op, format!("an image of {size} numbers: kernels count to 2³¹")));
    }
    (0..n).step_by(at_once).try_for_each(|first| launch(first, at_once.min(n - first)))
}

/// See [`Backend::im2col`](crate::Backend::im2col).
pub(super) fn im2col(cuda: &Cuda, w: &Window, x: View, cols: ViewMut) -> Result<()> {
    let op = "im2col";
    let n = images(op, w, x.shape(), cols.shape(), w.taps())?;
    let (x, cols, g) = (cuda.read(x)?, cuda.write(cols)?, args(op, w, 1)?);
    let (input, output) = (w.input_len(), w.positions() * w.taps());
    by_images(op, n, input.max(output), |first, count| {
        let (x, cols, size) = (x.plus(first * input), cols.plus(first * output), count * output);
        let by_taps = Divisor::new(w.taps());
        cuda.kernels.conv()?.im2col(&cuda.stream, Grid::elements(size), x, cols, size as u64, by_taps, g)
    })
}

/// See [`Backend::col2im`](crate::Backend::col2im).
pub(super) fn col2im(cuda: &Cuda, w: &Window, dcols: View, dx: ViewMut) -> Result<()> {
    let op = "col2im";
    let n = images(op, w, dx.shape(), dcols.shape(), w.taps())?;
    let (dcols, dx, g) = (cuda.read(dcols)?, cuda.write(dx)?, args(op, w, 1)?);
    let (input, output) = (w.input_len(), w.positions() * w.taps());
    by_images(op, n, input.max(output), |first, count| {
        let (dcols, dx, size) = (dcols.plus(first * output), dx.plus(first * input), count * input);
        cuda.kernels.conv()?.col2im(&cuda.stream, Grid::elements(size), dcols, dx, size as u64, g)
    })
}

/// Whether windows move one by one.
fn is_dense(w: &Window) -> bool {
    w.stride == [1; 3]
}

/// See [`Backend::conv_scratch`](crate::Backend::conv_scratch).
pub(super) fn conv_scratch(_cuda: &Cuda, w: &Window, _filters: usize, n: usize) -> usize {
    if is_dense(w) { 0 } else { n * w.positions() * w.taps() }
}

/// The rung of a product of a convolution: the one asked for, or the one planned. The large tiles read in fours only.
fn rung(asked: Option<Rung>, planned: Rung, in_fours: bool) -> Rung {
    match asked.unwrap_or(planned) {
        Rung::WarpTiled if in_fours => Rung::WarpTiled,
        Rung::WarpTiled | Rung::Medium => Rung::Medium,
        _ => Rung::Small,
    }
}

/// The arguments of a product of m × n × k.
fn product(op: &'static str, [m, n, k]: [usize; 3], f: Activation) -> Result<GemmArgs> {
    let (m, n, k) = (gemm::int(op, m)?, gemm::int(op, n)?, gemm::int(op, k)?);
    let f = abi::Activation::new(f)?;
    let (batch_a, batch_b, batch_c) = (0, 0, 0);
    let (lda, ldb, ldc, split, part) = (0, n, n, 1, k);
    Ok(GemmArgs { batch_a, batch_b, batch_c, m, n, k, lda, ldb, ldc, split, part, alpha: 1.0, beta: 0.0, f })
}

fn check_kernel(op: &'static str, w: &Window, filters: usize, len: usize) -> Result<()> {
    match len == w.taps() * filters {
        true => Ok(()),
        false => Err(Error::op(op, format!("a kernel of {len} numbers for {} taps × {filters}", w.taps()))),
    }
}

/// See [`Backend::conv`](crate::Backend::conv).
pub(super) fn conv(
    cuda: &Cuda,
    w: &Window,
    f: Activation,
    x: View,
    kernel: View,
    b: Option<View>,
    _scratch: ViewMut,
    y: ViewMut,
) -> Result<()> {
    forward(cuda, None, w, f, x, kernel, b, y)
}

fn forward(
    cuda: &Cuda,
    asked: Option<Rung>,
    w: &Window,
    f: Activation,
    x: View,
    kernel: View,
    b: Option<View>,
    mut y: ViewMut,
) -> Result<()> {
    let (op, filters, taps, p) = ("conv", y.shape().last(), w.taps(), w.positions());
    let n = images(op, w, x.shape(), y.shape(), filters)?;
    check_kernel(op, w, filters, kernel.len())?;
    let (now, later) = gemm::fused(f);
    let bias = gemm::bias(cuda, op, b, filters)?;
    let (x, kernel, out) = (cuda.read(x)?, cuda.read(kernel)?, cuda.write(y.reborrow())?);
    if filters == 0 {
        return Ok(());
    }
    let geometry = args(op, w, filters)?;
    let fours = w.channels.is_multiple_of(4) && filters.is_multiple_of(4) && kernel.is_aligned();
    by_images(op, n, w.input_len().max(p * filters), |first, count| {
        let (x, y) = (x.plus(first * w.input_len()), out.plus(first * p * filters));
        let m = count * p;
        let rung = rung(asked, gemm::plan(m, filters, taps, 1, false).0, fours && x.is_aligned());
        let (g, grid) = (product(op, [m, filters, taps], now)?, gemm::grid(op, rung, m, filters, 1)?);
        let (k, s) = (cuda.kernels.conv()?, &cuda.stream);
        match rung {
            Rung::WarpTiled => k.conv_large(s, grid, x, kernel, bias, y, g, geometry),
            Rung::Medium => k.conv_medium(s, grid, x, kernel, bias, y, g, geometry),
            _ => k.conv_small(s, grid, x, kernel, bias, y, g, geometry),
        }
    })?;
    later.map_or(Ok(()), |f| activation::activate(cuda, f, y))
}

/// See [`Backend::conv_backward_kernel`](crate::Backend::conv_backward_kernel).
pub(super) fn conv_backward_kernel(
    cuda: &Cuda,
    w: &Window,
    x: View,
    dz: View,
    _scratch: ViewMut,
    dk: ViewMut,
) -> Result<()> {
    backward_kernel(cuda, None, w, x, dz, dk)
}

fn backward_kernel(
    cuda: &Cuda,
    asked: Option<Rung>,
    w: &Window,
    x: View,
    dz: View,
    dk: ViewMut,
) -> Result<()> {
    let (op, filters, taps, p) = ("conv_backward_kernel", dz.shape().last(), w.taps(), w.positions());
    let n = images(op, w, x.shape(), dz.shape(), filters)?;
    check_kernel(op, w, filters, dk.len())?;
    let (x, dz) = (cuda.read(x)?, cuda.read(dz)?);
    if n == 0 {
        return elementwise::fill(cuda, 0.0, dk);
    }
    let dk = cuda.write(dk)?;
    if filters == 0 {
        return Ok(());
    }
    let geometry = args(op, w, filters)?;
    let fours = w.channels.is_multiple_of(4) && filters.is_multiple_of(4);
    by_images(op, n, w.input_len().max(p * filters), |first, count| {
        let (x, dz) = (x.plus(first * w.input_len()), dz.plus(first * p * filters));
        let steps = count * p;
        let (planned, parts) = gemm::plan(taps, filters, steps, 1, true);
        let rung = rung(asked, planned, fours && x.is_aligned() && dz.is_aligned());
        let mut g = product(op, [taps, filters, steps], Activation::Linear)?;
        let part = steps.div_ceil(parts).next_multiple_of(8);
        let parts = steps.div_ceil(part);
        (g.split, g.part) = (gemm::int(op, parts)?, gemm::int(op, part)?);
        g.beta = if first == 0 { 0.0 } else { 1.0 };
        let launch = |dk: Ptr, g: GemmArgs| {
            let grid = gemm::grid(op, rung, taps, filters, parts)?;
            let (k, s) = (cuda.kernels.conv()?, &cuda.stream);
            match rung {
                Rung::WarpTiled => k.conv_backward_kernel_large(s, grid, x, dz, dk, g, geometry),
                Rung::Medium => k.conv_backward_kernel_medium(s, grid, x, dz, dk, g, geometry),
                _ => k.conv_backward_kernel_small(s, grid, x, dz, dk, g, geometry),
            }
        };
        if parts == 1 {
            return launch(dk, g);
        }
        let partial = cuda.scratch(parts * taps * filters)?;
        launch(partial.ptr(), g.partial())?;
        gemm::add_parts(cuda, partial.ptr(), Ptr::NULL, dk, 1, g)
    })
}

/// See [`Backend::conv_backward_input`](crate::Backend::conv_backward_input).
pub(super) fn conv_backward_input(
    cuda: &Cuda,
    w: &Window,
    dz: View,
    kernel: View,
    scratch: ViewMut,
    dx: ViewMut,
) -> Result<()> {
    let (op, filters, taps, p) = ("conv_backward_input", dz.shape().last(), w.taps(), w.positions());
    let n = images(op, w, dx.shape(), dz.shape(), filters)?;
    check_kernel(op, w, filters, kernel.len())?;
    if is_dense(w) {
        return backward_input(cuda, None, w, dz, kernel, dx);
    }
    let (mut dcols, _) = scratch.split([n * p, taps])?;
    gemm::gemm(cuda, Gemm::nt(), dz, kernel.reshape([taps, filters])?, dcols.reborrow())?;
    col2im(cuda, w, dcols.as_view(), dx)
}

/// For strides of 1.
fn backward_input(
    cuda: &Cuda,
    asked: Option<Rung>,
    w: &Window,
    dz: View,
    kernel: View,
    dx: ViewMut,
) -> Result<()> {
    let (op, filters, taps, p) = ("conv_backward_input", dz.shape().last(), w.taps(), w.positions());
    let n = images(op, w, dx.shape(), dz.shape(), filters)?;
    check_kernel(op, w, filters, kernel.len())?;
    let (dz, kernel) = (cuda.read(dz)?, cuda.read(kernel)?);
    if filters == 0 {
        return elementwise::fill(cuda, 0.0, dx);
    }
    let (dx, geometry) = (cuda.write(dx)?, args(op, w, filters)?);
    let steps = taps / w.channels * filters;
    let fours = filters.is_multiple_of(4) && kernel.is_aligned();
    by_images(op, n, w.input_len().max(p * filters), |first, count| {
        let (dz, dx) = (dz.plus(first * p * filters), dx.plus(first * w.input_len()));
        let (m, channels) = (count * w.input_len() / w.channels, w.channels);
        let rung = rung(asked, gemm::plan(m, channels, steps, 1, false).0, fours && dz.is_aligned());
        let g = product(op, [m, channels, steps], Activation::Linear)?;
        let grid = gemm::grid(op, rung, m, channels, 1)?;
        let (k, s) = (cuda.kernels.conv()?, &cuda.stream);
        match rung {
            Rung::WarpTiled => k.conv_backward_input_large(s, grid, dz, kernel, dx, g, geometry),
            Rung::Medium => k.conv_backward_input_medium(s, grid, dz, kernel, dx, g, geometry),
            _ => k.conv_backward_input_small(s, grid, dz, kernel, dx, g, geometry),
        }
    })
}

/// Convolutions on the rung of your choice: [`Rung::WarpTiled`], which reads in fours and is replaced by the next where
/// it cannot, [`Rung::Medium`], or, for all others, [`Rung::Small`].
impl Cuda {
    /// [`conv`](crate::Backend::conv).
    ///
    /// # Errors
    /// As `conv`.
    pub fn conv_with(
        &self,
        rung: Rung,
        w: &Window,
        f: Activation,
        x: View,
        kernel: View,
        b: Option<View>,
        y: ViewMut,
    ) -> Result<()> {
        forward(self, Some(rung), w, f, x, kernel, b, y)
    }

    /// [`conv_backward_kernel`](crate::Backend::conv_backward_kernel).
    ///
    /// # Errors
    /// As `conv_backward_kernel`.
    pub fn conv_backward_kernel_with(
        &self,
        rung: Rung,
        w: &Window,
        x: View,
        dz: View,
        dk: ViewMut,
    ) -> Result<()> {
        backward_kernel(self, Some(rung), w, x, dz, dk)
    }

    /// [`conv_backward_input`](crate::Backend::conv_backward_input), for strides of 1.
    ///
    /// # Errors
    /// As `conv_backward_input`; or a stride is not 1.
    pub fn conv_backward_input_with(
        &self,
        rung: Rung,
        w: &Window,
        dz: View,
        kernel: View,
        dx: ViewMut,
    ) -> Result<()> {
        match is_dense(w) {
            true => backward_input(self, Some(rung), w, dz, kernel, dx),
            false => Err(Error::op("conv_backward_input", format!("strides {:?} are not 1", w.stride))),
        }
    }
}
