//! Convolution as matrix products whose operands are read from the images themselves.
//!
//! ```text
//! forward   y  = f(im2col(x) K + b)     rows: positions    columns: filters    steps: taps
//! kernel    dK = im2col(x)ᵀ dz          rows: taps         columns: filters    steps: positions
//! input     dx = col2im(dz Kᵀ)          rows: positions    columns: channels   steps: filters, tap after tap
//! ```
//!
//! im2col(x) is never made. Channels-last images hold a window's row of `kw·C` numbers side by side, and neighbouring
//! positions are a fixed distance apart, so the microkernel's [`Walk`] finds every row of im2col(x) in x: one run for
//! each row of the window. For dx the same idea runs backwards: for each tap, a tile is added straight to where its
//! positions lie in dx. Padding is the one thing that is copied: images that need it get their border of zeros first.
//!
//! [`im2col`] and [`col2im`] themselves are here too, as ops of their own. Windows of 3×3 over many channels are computed in
//! another way, by [`winograd`](super::winograd).
//!
//! Source: Chellapilla et al. 2006, "High Performance Convolutional Neural Networks for Document Processing", for
//! convolution as GEMM; Chetlur et al. 2014, "cuDNN", for reading im2col(x) from x while the product is made.

use super::Cpu;
use super::cut::Cut;
use super::pack::{Matrix, pack};
use super::parallel::{Pieces, rows_per_task};
use super::pool::{images, span};
use super::simd::Isa;
use super::tile::{self, Tail, Tiles, Walk};
use super::winograd;
use crate::activations::Activation;
use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::tensor::{View, ViewMut};
use crate::window::Window;
use std::ops::Range;

/// The most columns of a tile on any instruction set: packed operands are at most rounded up to this.
pub(super) const WIDEST: usize = 32;
/// Multiply-adds of one task, at least.
pub(super) const TASK: usize = 1 << 20;
/// The most tasks.
pub(super) const MAX_TASKS: usize = 64;
/// The most partial sums of dK.
pub(super) const MAX_PARTS: usize = 16;
/// Floats of all partial sums of dK, at most (or one).
const PARTS: usize = 1 << 20;
/// Slivers that pass over one panel before the next: what they read of the images stays in L2.
const SLIVERS: usize = 32;

// ---------------------------------------------------------------- im2col and its transpose

/// See [`Backend::im2col`].
pub(super) fn im2col(cpu: &Cpu, w: &Window, x: View, cols: ViewMut) -> Result<()> {
    let n = images("im2col", w, x.shape(), cols.shape(), w.taps())?;
    let (x, taps) = (x.f32()?, w.taps());
    let per_task = rows_per_task(n * w.positions(), taps);
    cpu.pool.run_chunks(cols.f32()?, per_task * taps, |task, cols| {
        for (i, row) in cols.chunks_exact_mut(taps).enumerate() {
            let (image, o) = ((task * per_task + i) / w.positions(), (task * per_task + i) % w.positions());
            let x = &x[image * w.input_len()..][..w.input_len()];
            row.fill(0.0);
            each_run(w, o, |at, from, len| row[at..at + len].copy_from_slice(&x[from..from + len]));
        }
    });
    Ok(())
}

/// See [`Backend::col2im`].
pub(super) fn col2im(cpu: &Cpu, w: &Window, dcols: View, dx: ViewMut) -> Result<()> {
    let n = images("col2im", w, dx.shape(), dcols.shape(), w.taps())?;
    let (dcols, input, output) = (dcols.f32()?, w.input_len(), w.positions() * w.taps());
    let per_task = rows_per_task(n, output);
    cpu.pool.run_chunks(dx.f32()?, per_task * input, |task, dx| {
        for (i, dx) in dx.chunks_exact_mut(input).enumerate() {
            let dcols = &dcols[(task * per_task + i) * output..][..output];
            dx.fill(0.0);
            for (o, row) in dcols.chunks_exact(w.taps()).enumerate() {
                each_run(w, o, |at, to, len| {
                    dx[to..to + len].iter_mut().zip(&row[at..at + len]).for_each(|(d, r)| *d += r);
                });
            }
        }
    });
    Ok(())
}

/// Calls `visit(column, element of the image, length)` for every run of numbers that window `o` and one row of im2col
/// have in common.
fn each_run(w: &Window, o: usize, mut visit: impl FnMut(usize, usize, usize)) {
    let [_, oh, ow] = w.output;
    let at = [o / (oh * ow), o / ow % oh, o % ow];
    let c = w.channels;
    for d in 0..w.kernel[0] {
        let Some(z) = w.at(0, at[0], d) else { continue };
        for h in 0..w.kernel[1] {
            let Some(y) = w.at(1, at[1], h) else { continue };
            let (column, row) = ((d * w.kernel[1] + h) * w.kernel[2], (z * w.input[1] + y) * w.input[2]);
            if w.dilation[2] == 1 {
                let (first, count) = span(w, 2, at[2]);
                let skipped = (w.before[2]).saturating_sub(at[2] * w.stride[2]);
                visit((column + skipped) * c, (row + first) * c, count * c);
                continue;
            }
            for k in 0..w.kernel[2] {
                if let Some(x) = w.at(2, at[2], k) {
                    visit((column + k) * c, (row + x) * c, c);
                }
            }
        }
    }
}

// ---------------------------------------------------------------- the images as operands

/// Images whose every window lies inside: the input itself, or a copy with a border of zeros.
#[derive(Clone, Copy)]
pub(super) struct Images<'a> {
    pub(super) data: &'a [f32],
    /// From an image, a slice, a line, a position to the next.
    pub(super) image: usize,
    pub(super) slice: usize,
    pub(super) line: usize,
    pub(super) position: usize,
}

/// What the windows reach over along each axis.
fn reach(w: &Window) -> [usize; 3] {
    std::array::from_fn(|a| (w.output[a] - 1) * w.stride[a] + (w.kernel[a] - 1) * w.dilation[a] + 1)
}

/// Whether some window looks over the border.
fn is_padded(w: &Window) -> bool {
    (0..3).any(|a| w.before[a] > 0 || reach(w)[a] > w.input[a])
}

/// Extents of the images that the products read.
fn extents(w: &Window) -> [usize; 3] {
    if is_padded(w) { reach(w) } else { w.input }
}

/// Numbers of one such image.
fn extents_len(w: &Window) -> usize {
    extents(w).iter().product::<usize>() * w.channels
}

/// x as the products read it; `scratch` holds the copy if there must be one.
pub(super) fn padded<'a>(
    cpu: &Cpu,
    w: &Window,
    n: usize,
    x: &'a [f32],
    scratch: &'a mut [f32],
) -> Images<'a> {
    let ([depth, height, width], len, c) = (extents(w), extents_len(w), w.channels);
    let strides = |data| Images { data, image: len, slice: height * width * c, line: width * c, position: c };
    if !is_padded(w) {
        return strides(x);
    }
    let lines = depth * height;
    let per_task = rows_per_task(n * lines, width * c);
    cpu.pool.run_chunks(&mut scratch[..n * len], per_task * width * c, |task, to| {
        for (i, to) in to.chunks_exact_mut(width * c).enumerate() {
            let (image, l) = ((task * per_task + i) / lines, (task * per_task + i) % lines);
            let inside =
                |axis: usize, at: usize| at.checked_sub(w.before[axis]).filter(|i| *i < w.input[axis]);
            to.fill(0.0);
            if let (Some(z), Some(y)) = (inside(0, l / height), inside(1, l % height)) {
                let count = w.input[2].min(width.saturating_sub(w.before[2])) * c;
                let from = ((image * w.input[0] + z) * w.input[1] + y) * w.input[2] * c;
                to[w.before[2] * c..][..count].copy_from_slice(&x[from..from + count]);
            }
        }
    });
    strides(&scratch[..n * len])
}

impl Images<'_> {
    /// The number at tap run `r` of window `at` of `image`.
    pub(super) fn window(&self, w: &Window, image: usize, at: [usize; 3]) -> usize {
        let [d, h, x] = [0, 1, 2].map(|a| at[a] * w.stride[a]);
        image * self.image + d * self.slice + h * self.line + x * self.position
    }

    /// Runs of the taps of one window: how many in each loop, how far apart, and how long each.
    pub(super) fn tap_runs(&self, w: &Window) -> ([usize; 3], [usize; 3], usize) {
        let [kd, kh, kw] = w.kernel;
        let jump = [w.dilation[0] * self.slice, w.dilation[1] * self.line, w.dilation[2] * self.position];
        match w.dilation[2] {
            1 => ([kd, kh, 1], jump, kw * w.channels),
            _ => ([kd, kh, kw], jump, w.channels),
        }
    }
}

/// The places of a window in the batch, as lines of equally spaced positions: along the width, or, where the output is
/// narrow and the batch is not, through the batch.
#[derive(Clone, Copy)]
pub(super) struct Lines {
    /// Lines run through the batch.
    pub(super) through_batch: bool,
    pub(super) lines: usize,
    /// Positions of a line.
    pub(super) len: usize,
}

impl Lines {
    pub(super) fn new(w: &Window, n: usize, mr: usize) -> Lines {
        let [od, oh, ow] = w.output;
        match ow < mr && n > ow {
            true => Lines { through_batch: true, lines: od * oh * ow, len: n },
            false => Lines { through_batch: false, lines: n * od * oh, len: ow },
        }
    }

    /// Image and window of the first position of line `l`.
    pub(super) fn start(&self, w: &Window, l: usize) -> (usize, [usize; 3]) {
        let [od, oh, ow] = w.output;
        match self.through_batch {
            true => (0, [l / (oh * ow), l / ow % oh, l % ow]),
            false => (l / (od * oh), [l / oh % od, l % oh, 0]),
        }
    }
}

// ---------------------------------------------------------------- forward

/// See [`Backend::conv_scratch`].
pub(super) fn conv_scratch(w: &Window, filters: usize, n: usize) -> usize {
    let (taps, window) = (w.taps(), w.kernel.iter().product::<usize>());
    let forward = taps * filters.next_multiple_of(WIDEST);
    let parts = parts(w, filters, n);
    let kernel = (parts - 1) * taps * filters + parts * filters; // partial sums of dK and db
    let input = window * filters * w.channels.next_multiple_of(WIDEST);
    match winograd::fits(w, filters) {
        true => kernel.max(winograd::scratch(w, filters)),
        false => border(w, filters, n) + forward.max(kernel).max(input),
    }
}

/// Numbers of the images' copy with a border of zeros, if there must be one.
fn border(w: &Window, filters: usize, n: usize) -> usize {
    if is_padded(w) && !winograd::fits(w, filters) { n * extents_len(w) } else { 0 }
}

/// How many partial sums of dK there are: so many parts of the batch are worked on at once.
pub(super) fn parts(w: &Window, filters: usize, n: usize) -> usize {
    let len = w.taps() * filters;
    let room = PARTS.checked_div(len).unwrap_or(1);
    let most = if winograd::fits(w, filters) { winograd::parts(w, n) } else { n };
    (n * w.positions() * len / TASK).min(most).min(room).clamp(1, MAX_PARTS)
}

/// Cuts the scratch into the images' border and the rest.
pub(super) fn cut<'a>(
    op: &'static str,
    w: &Window,
    filters: usize,
    n: usize,
    scratch: ViewMut<'a>,
) -> Result<(&'a mut [f32], &'a mut [f32])> {
    let (want, have) = (conv_scratch(w, filters, n), scratch.len());
    if have < want {
        return Err(Error::op(op, format!("a scratch of {have} numbers, {want} are needed")));
    }
    Ok(scratch.f32()?.split_at_mut(border(w, filters, n)))
}

/// See [`Backend::conv`].
pub(super) fn conv(
    cpu: &Cpu,
    w: &Window,
    f: Activation,
    x: View,
    kernel: View,
    b: Option<View>,
    scratch: ViewMut,
    mut y: ViewMut,
) -> Result<()> {
    let (filters, taps) = (y.shape().last(), w.taps());
    let n = images("conv", w, x.shape(), y.shape(), filters)?;
    check_kernel("conv", w, filters, kernel.len())?;
    let (tail, rest) = Tail::of_layer("conv", f, b, filters)?;
    let (border, packed) = cut("conv", w, filters, n, scratch)?;
    if y.len() > 0 && winograd::fits(w, filters) {
        winograd::conv(cpu, w, [n, filters], x.f32()?, kernel.f32()?, tail, packed, y.reborrow().f32()?);
    } else if y.len() > 0 {
        let x = padded(cpu, w, n, x.f32()?, border);
        let (mr, nr) = tile::size(cpu.isa);
        let packed = &mut packed[..taps * filters.next_multiple_of(nr)];
        pack(cpu, Matrix::new(kernel.f32()?, filters, false), taps, filters, packed);
        let (lines, work) = (Lines::new(w, n, mr), y.len() * taps);
        let (runs, jump, len) = x.tap_runs(w);
        let (row, c_row) = match lines.through_batch {
            true => (x.image, w.positions() * filters),
            false => (w.stride[2] * x.position, filters),
        };
        let walk = Walk { row, step: 1, len, runs, jump, gaps: None };
        let y = Pieces::new(y.reborrow().f32()?);
        let forward =
            Forward { isa: cpu.isa, tile: (mr, nr), w, x, lines, walk, packed, filters, y: &y, c_row, tail };
        let units = lines.lines * lines.len.div_ceil(mr);
        let tasks = Cut::new(units, (work / TASK).clamp(1, MAX_TASKS).min(units));
        cpu.pool.run(tasks.parts(), &|t| forward.task(tasks.part(t)));
    }
    match rest {
        Activation::Linear => Ok(()),
        f => cpu.activate(f, y),
    }
}

pub(super) fn check_kernel(op: &'static str, w: &Window, filters: usize, len: usize) -> Result<()> {
    match len == w.taps() * filters {
        true => Ok(()),
        false => Err(Error::op(op, format!("a kernel of {len} numbers for {} taps × {filters}", w.taps()))),
    }
}

/// What the tasks of the forward pass share.
struct Forward<'a> {
    isa: Isa,
    /// (MR, NR).
    tile: (usize, usize),
    w: &'a Window,
    x: Images<'a>,
    lines: Lines,
    walk: Walk<'a>,
    /// K in panels [taps, NR].
    packed: &'a [f32],
    filters: usize,
    y: &'a Pieces<'a, f32>,
    c_row: usize,
    tail: Tail<'a>,
}

impl Forward<'_> {
    /// Some slivers of positions, counted through all lines, times the whole kernel.
    fn task(&self, units: Range<usize>) {
        let Forward { isa, tile: (mr, nr), w, x, lines, walk, packed, filters, y, c_row, tail } = *self;
        let (taps, slivers) = (w.taps(), Cut::at_most(lines.len, mr));
        let blocks = Cut::at_most(units.len(), SLIVERS);
        for block in (0..blocks.parts()).map(|i| blocks.part(i)) {
            for j in 0..filters.div_ceil(nr) {
                let (mut unit, end) = (units.start + block.start, units.start + block.end);
                while unit < end {
                    // The slivers of one line.
                    let (line, first) = (unit / slivers.parts(), unit % slivers.parts());
                    let last = slivers.parts().min(first + end - unit);
                    let (image, at) = lines.start(w, line);
                    let (a, c) = (x.window(w, image, at), position(w, image, at) * filters + j * nr);
                    let row = slivers.part(first).start;
                    let t = Tiles {
                        a: x.data[a + row * walk.row..].as_ptr(),
                        a_sliver: None,
                        slivers: slivers.some(first..last),
                        b: packed[j * taps * nr..].as_ptr(),
                        b_row: nr,
                        b_ends: false,
                        c: y.start().wrapping_add(c + row * c_row),
                        c_row,
                        c_rows: None,
                        columns: nr.min(filters - j * nr),
                        column: j * nr,
                    };
                    // SAFETY: every window lies inside the images, the panel has as many rows as there are taps, and no
                    // other unit has these rows of y.
                    unsafe { tile::compute(isa, &t, &walk, &tail) };
                    unit += last - first;
                }
            }
        }
    }
}

/// The row of y or dz that window `at` of `image` has.
pub(super) fn position(w: &Window, image: usize, at: [usize; 3]) -> usize {
    ((image * w.output[0] + at[0]) * w.output[1] + at[1]) * w.output[2] + at[2]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Gemm;
    use crate::cpu::Isa;
    use crate::rng::Rng;
    use crate::tensor::Tensor;
    use crate::window::Padding;

    fn random(cpu: &Cpu, dims: &[usize]) -> Tensor {
        let (shape, mut rng) = (crate::Shape::new(dims).unwrap(), Rng::new(dims.len() as u64, 7));
        let mut t = cpu.zeros(shape).unwrap();
        t.view_mut().f32().unwrap().iter_mut().for_each(|x| *x = (rng.uniform() * 2.0 - 1.0) as f32);
        t
    }

    /// The fused ops against what defines them, im2col and a product, where the cuts are unusual: images of many
    /// blocks, with and without padding; narrow outputs, whose lines run through the batch; one image.
    #[test]
    fn without_im2col_is_as_with_it() {
        for (n, input, kernel, stride, padding, filters) in [
            (2, vec![5000, 3], vec![5], vec![2], Padding::Same, 7),
            (1, vec![60, 50, 2], vec![3, 3], vec![1, 1], Padding::Same, 18),
            (3, vec![64, 64, 1], vec![3, 3], vec![1, 1], Padding::Valid, 5),
            (1, vec![14, 15, 16, 3], vec![2, 3, 2], vec![1, 1, 1], Padding::Same, 4),
            (70, vec![4, 4, 40], vec![3, 3], vec![1, 1], Padding::Valid, 33),
            (9, vec![5, 3, 6], vec![3, 3], vec![2, 1], Padding::Same, 20),
        ] {
            let axes = kernel.len();
            let shape = crate::Shape::new(&input).unwrap();
            let w = Window::new(shape, &kernel, &stride, &[1, 1, 1][..axes], padding).unwrap();
            let (rows, taps) = (n * w.positions(), w.taps());
            for isa in Isa::available() {
                let cpu = Cpu::new(Some(2), Some(isa)).unwrap();
                let x = random(&cpu, shape.batched(n).dims());
                let (dz, k) = (random(&cpu, &[rows, filters]), random(&cpu, &[taps, filters]));
                let [mut cols, mut dcols] = [0, 1].map(|_| random(&cpu, &[rows, taps]));
                let [mut y, mut y_too] = [0, 1].map(|_| random(&cpu, &[rows, filters]));
                let [mut dk, mut dk_too] = [0, 1].map(|_| random(&cpu, &[taps, filters]));
                let [mut dx, mut dx_too] = [0, 1].map(|_| random(&cpu, x.shape().dims()));
                let mut s = random(&cpu, &[cpu.conv_scratch(&w, filters, n)]);
                let f = Activation::Linear;
                cpu.im2col(&w, x.view(), cols.view_mut()).unwrap();
                cpu.gemm(Gemm::nn(), cols.view(), k.view(), y_too.view_mut()).unwrap();
                cpu.conv(&w, f, x.view(), k.view(), None, s.view_mut(), y.view_mut()).unwrap();
                cpu.gemm(Gemm::tn(), cols.view(), dz.view(), dk_too.view_mut()).unwrap();
                cpu.conv_backward_kernel(&w, x.view(), dz.view(), s.view_mut(), dk.view_mut()).unwrap();
                cpu.gemm(Gemm::nt(), dz.view(), k.view(), dcols.view_mut()).unwrap();
                cpu.col2im(&w, dcols.view(), dx_too.view_mut()).unwrap();
                cpu.conv_backward_input(&w, dz.view(), k.view(), s.view_mut(), dx.view_mut()).unwrap();
                // Products are below 1 and their signs random: sums stay below √terms, and so many roundings of them
                // add up to √terms · √terms · ε.
                for (name, terms, got, want) in
                    [("y", taps, y, y_too), ("dK", rows, dk, dk_too), ("dx", taps * filters, dx, dx_too)]
                {
                    let tol = terms as f32 * f32::EPSILON;
                    for (i, (a, b)) in got.to_vec().into_iter().zip(want.to_vec()).enumerate() {
                        let err = (a - b).abs();
                        assert!(err <= tol, "{isa} {w:?} {name}[{i}]: {a} and {b}, {err:e} > {tol:e}");
                    }
                }
            }
        }
    }
}
