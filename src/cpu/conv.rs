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
//! [`im2col`] and [`col2im`] themselves are here too, as ops of their own.
//!
//! Source: Chellapilla et al. 2006 for convolution as GEMM; the walk in place of the copy is what Cong and Xiao 2014
//! and cuDNN (Chetlur et al. 2014) call implicit GEMM.

use super::Cpu;
use super::gemm::{Cut, Matrix, PackPanel, pack};
use super::parallel::{self, OWN, Pieces, rows_per_task};
use super::pool::{images, span};
use super::simd::{Isa, Kernel, Simd};
use super::tile::{self, Tail, Tile, Walk};
use crate::activations::Activation;
use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::tensor::{View, ViewMut};
use crate::window::Window;
use std::ops::Range;

/// The most columns of a tile on any instruction set: packed operands are at most rounded up to this.
const WIDEST: usize = 32;
/// Multiply-adds of one task, at least.
const TASK: usize = 1 << 20;
/// The most tasks.
const MAX_TASKS: usize = 64;
/// The most partial sums of dK.
const MAX_PARTS: usize = 16;
/// Floats of all partial sums of dK, at most (or one).
const PARTS: usize = 1 << 20;
/// Positions of one block of dz, at most.
const POSITIONS: usize = OWN / WIDEST;
/// Positions of one block of dz, if there are as many: the steps that a tile of dK stays in registers.
const STEPS: usize = 192;
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
struct Images<'a> {
    data: &'a [f32],
    /// From an image, a slice, a line, a position to the next.
    image: usize,
    slice: usize,
    line: usize,
    position: usize,
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
fn padded<'a>(cpu: &Cpu, w: &Window, n: usize, x: &'a [f32], scratch: &'a mut [f32]) -> Images<'a> {
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
    fn window(&self, w: &Window, image: usize, at: [usize; 3]) -> usize {
        let [d, h, x] = [0, 1, 2].map(|a| at[a] * w.stride[a]);
        image * self.image + d * self.slice + h * self.line + x * self.position
    }

    /// Runs of the taps of one window: how many in each loop, how far apart, and how long each.
    fn tap_runs(&self, w: &Window) -> ([usize; 3], [usize; 3], usize) {
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
struct Lines {
    /// Lines run through the batch.
    through_batch: bool,
    lines: usize,
    /// Positions of a line.
    len: usize,
}

impl Lines {
    fn new(w: &Window, n: usize, mr: usize) -> Lines {
        let [od, oh, ow] = w.output;
        match ow < mr && n > ow {
            true => Lines { through_batch: true, lines: od * oh * ow, len: n },
            false => Lines { through_batch: false, lines: n * od * oh, len: ow },
        }
    }

    /// Image and window of the first position of line `l`.
    fn start(&self, w: &Window, l: usize) -> (usize, [usize; 3]) {
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
    let kernel = (parts(w, filters, n) - 1) * taps * filters;
    let input = window * filters * w.channels.next_multiple_of(WIDEST);
    let border = if is_padded(w) { n * extents_len(w) } else { 0 };
    border + forward.max(kernel).max(input)
}

/// Cuts the scratch into the images' border and the rest.
fn cut<'a>(
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
    Ok(scratch.f32()?.split_at_mut(if is_padded(w) { n * extents_len(w) } else { 0 }))
}

/// See [`Backend::conv`].
#[allow(clippy::too_many_arguments)]
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
    if y.len() > 0 {
        let x = padded(cpu, w, n, x.f32()?, border);
        let (mr, nr) = tile::size(cpu.isa);
        let packed = &mut packed[..taps * filters.next_multiple_of(nr)];
        pack(cpu, Matrix::new(kernel.f32()?, filters, false), taps, 0..filters, packed);
        let (lines, work) = (Lines::new(w, n, mr), y.len() * taps);
        let (runs, jump, len) = x.tap_runs(w);
        let (row, c_row) = match lines.through_batch {
            true => (x.image, w.positions() * filters),
            false => (w.stride[2] * x.position, filters),
        };
        let walk = Walk { row, step: 1, len, runs, jump };
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

fn check_kernel(op: &'static str, w: &Window, filters: usize, len: usize) -> Result<()> {
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
    walk: Walk,
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
                    for rows in (first..last).map(|i| slivers.part(i)) {
                        let t = Tile {
                            a: x.data[a + rows.start * walk.row..].as_ptr(),
                            b: packed[j * taps * nr..].as_ptr(),
                            b_row: nr,
                            c: y.start().wrapping_add(c + rows.start * c_row),
                            c_row,
                            rows: rows.len(),
                            columns: nr.min(filters - j * nr),
                            column: j * nr,
                        };
                        // SAFETY: every window lies inside the images, the panel has as many rows as there are taps,
                        // and no other unit has these rows of y.
                        unsafe { tile::compute(isa, &t, &walk, &tail) };
                    }
                    unit += last - first;
                }
            }
        }
    }
}

/// The row of y or dz that window `at` of `image` has.
fn position(w: &Window, image: usize, at: [usize; 3]) -> usize {
    ((image * w.output[0] + at[0]) * w.output[1] + at[1]) * w.output[2] + at[2]
}

// ---------------------------------------------------------------- dK

/// How many partial sums of dK there are: so many parts of the batch are worked on at once.
fn parts(w: &Window, filters: usize, n: usize) -> usize {
    let len = w.taps() * filters;
    let room = PARTS.checked_div(len).unwrap_or(1);
    (n * w.positions() * len / TASK).min(n).min(room).clamp(1, MAX_PARTS)
}

/// See [`Backend::conv_backward_kernel`].
pub(super) fn conv_backward_kernel(
    cpu: &Cpu,
    w: &Window,
    x: View,
    dz: View,
    scratch: ViewMut,
    dk: ViewMut,
) -> Result<()> {
    let op = "conv_backward_kernel";
    let filters = dz.shape().last();
    let n = images(op, w, x.shape(), dz.shape(), filters)?;
    check_kernel(op, w, filters, dk.len())?;
    let (border, partial) = cut(op, w, filters, n, scratch)?;
    let (x, dz, dk) = (padded(cpu, w, n, x.f32()?, border), dz.f32()?, dk.f32()?);
    if n == 0 || dk.is_empty() {
        dk.fill(0.0);
        return Ok(());
    }
    let (mr, _) = tile::size(cpu.isa);
    let (runs, _, len) = x.tap_runs(w);
    let slivers = runs.iter().product::<usize>() * len.div_ceil(mr);
    let parts = parts(w, filters, n);
    let groups = (MAX_PARTS / parts).min(slivers.div_ceil(8)).min(n * w.positions() * dk.len() / TASK + 1);
    let (images, slivers) = (Cut::new(n, parts), Cut::new(slivers, groups));
    let size = dk.len();
    let (sums, more) = (Pieces::new(&mut *dk), Pieces::new(&mut partial[..(parts - 1) * size]));
    cpu.pool.run(parts * groups, &|t| {
        let (p, g) = (t / groups, t % groups);
        let dk = if p == 0 { sums.start() } else { more.start().wrapping_add((p - 1) * size) };
        parallel::with_own(|own| {
            let (images, slivers) = (images.part(p), slivers.part(g));
            BackwardKernel { isa: cpu.isa, w, x, dz, filters, images, slivers, dk }.run(own);
        });
    });
    let partial = &partial[..(parts - 1) * size];
    let per_task = rows_per_task(size, parts);
    cpu.pool.run_chunks(dk, per_task, |task, dk| {
        cpu.isa.run(AddParts { partial, size, first: task * per_task, dk });
    });
    Ok(())
}

/// dK of some images: some slivers of its rows.
struct BackwardKernel<'a> {
    isa: Isa,
    w: &'a Window,
    x: Images<'a>,
    dz: &'a [f32],
    filters: usize,
    images: Range<usize>,
    /// Slivers of taps, counted through all runs.
    slivers: Range<usize>,
    /// Where this part's sum goes.
    dk: *mut f32,
}

/// A block of positions whose dz is packed: whole images, or some lines of one slice of an image, or a piece of a line.
struct Block {
    image: usize,
    /// The first window.
    at: [usize; 3],
    /// Images, slices, lines, and positions in a line.
    count: [usize; 4],
}

/// Calls `visit` with blocks that cover all positions of `images`, in order.
fn each_block(w: &Window, images: Range<usize>, mut visit: impl FnMut(Block)) {
    let [od, oh, ow] = w.output;
    if w.positions() <= POSITIONS {
        let each = (STEPS / w.positions()).max(1);
        for image in images.clone().step_by(each) {
            visit(Block { image, at: [0; 3], count: [each.min(images.end - image), od, oh, ow] });
        }
        return;
    }
    let (lines, width) = ((POSITIONS / ow).max(1), ow.min(POSITIONS));
    for image in images {
        for d in 0..od {
            for h in (0..oh).step_by(lines) {
                for x in (0..ow).step_by(width) {
                    visit(Block {
                        image,
                        at: [d, h, x],
                        count: [1, 1, lines.min(oh - h), width.min(ow - x)],
                    });
                }
            }
        }
    }
}

impl BackwardKernel<'_> {
    /// `own` holds the packed dz of one block.
    fn run(self, own: &mut [f32]) {
        let BackwardKernel { isa, w, x, dz, filters, images, slivers, dk } = self;
        let (mr, nr) = tile::size(isa);
        let (runs, jump, len) = x.tap_runs(w);
        let each = Cut::at_most(len, mr); // slivers of a run
        let first = images.start;
        each_block(w, images, |block| {
            let [n, depth, height, width] = block.count;
            let (steps, at) = (n * depth * height * width, block.at);
            let tail = if block.image == first && at == [0; 3] { Tail::PLAIN } else { Tail::ADD };
            let walk = Walk {
                row: 1,
                step: w.stride[2] * x.position,
                len: width,
                runs: [n, depth, height],
                jump: [x.image, w.stride[0] * x.slice, w.stride[1] * x.line],
            };
            for j in (0..filters).step_by(nr) {
                let columns = nr.min(filters - j);
                let panel = &mut own[..steps * nr];
                let b = Matrix::new(&dz[position(w, block.image, at) * filters + j..], filters, false);
                isa.run(PackPanel { b, columns, panel: &mut *panel });
                for run in slivers.start / each.parts()..slivers.end.div_ceil(each.parts()) {
                    let [r0, r1, r2] = [run / runs[2] / runs[1], run / runs[2] % runs[1], run % runs[2]];
                    let a = x.window(w, block.image, at) + r0 * jump[0] + r1 * jump[1] + r2 * jump[2];
                    let before = run * each.parts();
                    let of_run = slivers.start.max(before) - before..each.parts().min(slivers.end - before);
                    for rows in of_run.map(|i| each.part(i)) {
                        let t = Tile {
                            a: x.data[a + rows.start..].as_ptr(),
                            b: panel.as_ptr(),
                            b_row: nr,
                            c: dk.wrapping_add((run * len + rows.start) * filters + j),
                            c_row: filters,
                            rows: rows.len(),
                            columns,
                            column: j,
                        };
                        // SAFETY: every window lies inside the images, the panel has a row for each position, and no
                        // other task has these rows of this partial sum.
                        unsafe { tile::compute(isa, &t, &walk, &tail) };
                    }
                }
            }
        });
    }
}

/// dK = dK + the other partial sums, in order.
struct AddParts<'a> {
    partial: &'a [f32],
    size: usize,
    first: usize,
    dk: &'a mut [f32],
}

impl Kernel for AddParts<'_> {
    type Output = ();

    /// A plain loop, which the compiler turns into registers of the set that it is compiled for.
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        for more in self.partial.chunks_exact(self.size) {
            for (d, m) in self.dk.iter_mut().zip(&more[self.first..]) {
                *d += m;
            }
        }
    }
}

// ---------------------------------------------------------------- dx

/// See [`Backend::conv_backward_input`].
pub(super) fn conv_backward_input(
    cpu: &Cpu,
    w: &Window,
    dz: View,
    kernel: View,
    scratch: ViewMut,
    dx: ViewMut,
) -> Result<()> {
    let op = "conv_backward_input";
    let filters = dz.shape().last();
    let n = images(op, w, dx.shape(), dz.shape(), filters)?;
    check_kernel(op, w, filters, kernel.len())?;
    let (_, packed) = cut(op, w, filters, n, scratch)?;
    let (dz, kernel, dx) = (dz.f32()?, kernel.f32()?, dx.f32()?);
    let (mr, nr) = tile::size(cpu.isa);
    let of_tap = filters * w.channels.next_multiple_of(nr);
    if n == 0 || of_tap == 0 {
        dx.fill(0.0);
        return Ok(());
    }
    let packed = &mut packed[..w.kernel.iter().product::<usize>() * of_tap];
    for (tap, packed) in packed.chunks_exact_mut(of_tap).enumerate() {
        let kernel = Matrix::new(&kernel[tap * w.channels * filters..], filters, true);
        pack(cpu, kernel, filters, 0..w.channels, packed); // K[tap]ᵀ [F, C]
    }
    // Tasks: groups of images, and of panels of channels where there are few images.
    let (packed, panels) = (&*packed, w.channels.div_ceil(nr));
    let tasks = (dz.len() * w.taps() / TASK).clamp(1, MAX_TASKS);
    let groups = tasks.min(if w.output[2] < mr { n.div_ceil(mr) } else { n });
    let (groups, along) = (Cut::new(n, groups), Cut::new(panels, (tasks / groups).clamp(1, panels)));
    let dx = Pieces::new(dx);
    cpu.pool.run(groups.parts() * along.parts(), &|t| {
        let (images, panels) = (groups.part(t / along.parts()), along.part(t % along.parts()));
        BackwardInput { isa: cpu.isa, w, dz, packed, filters, images, panels, dx: &dx }.run();
    });
    Ok(())
}

/// dx of some images and some panels of channels.
struct BackwardInput<'a> {
    isa: Isa,
    w: &'a Window,
    dz: &'a [f32],
    /// Kᵀ, tap after tap, in panels [F, NR].
    packed: &'a [f32],
    filters: usize,
    images: Range<usize>,
    panels: Range<usize>,
    dx: &'a Pieces<'a, f32>,
}

impl BackwardInput<'_> {
    fn run(self) {
        let BackwardInput { isa, w, dz, packed, filters, images, panels, dx } = self;
        let ((mr, nr), c) = (tile::size(isa), w.channels);
        let channels = panels.start * nr..c.min(panels.end * nr);
        for position in images.start * w.input_len() / c..images.end * w.input_len() / c {
            // SAFETY: these images and channels are this task's.
            unsafe { dx.piece(position * c + channels.start..position * c + channels.end) }.fill(0.0);
        }
        let lines = Lines::new(w, images.len(), mr);
        let (row, c_row) = match lines.through_batch {
            true => (w.positions() * filters, w.input_len()),
            false => (filters, w.stride[2] * c),
        };
        let walk = Walk::matrix(row, 1, filters);
        let all_panels = c.div_ceil(nr);
        // Some lines at a time, so that their dz and dx stay in the cache from tap to tap.
        let some = (OWN / 4 / (lines.len * filters.max(c)).max(1)).max(1);
        for first in (0..lines.lines).step_by(some) {
            for tap in 0..w.kernel.iter().product() {
                let k = [tap / w.kernel[2] / w.kernel[1], tap / w.kernel[2] % w.kernel[1], tap % w.kernel[2]];
                let inside = if lines.through_batch { 0..lines.len } else { positions_inside(w, k[2]) };
                let slivers = Cut::at_most(inside.len(), mr);
                for j in panels.clone() {
                    let b = &packed[(tap * all_panels + j) * filters * nr..][..filters * nr];
                    for line in first..lines.lines.min(first + some) {
                        let (image, [d, h, mut o]) = lines.start(w, line);
                        if !lines.through_batch {
                            o = inside.start;
                        }
                        let at = (w.at(0, d, k[0]), w.at(1, h, k[1]), w.at(2, o, k[2]));
                        let (Some(z), Some(y), Some(x), false) = (at.0, at.1, at.2, inside.is_empty()) else {
                            continue;
                        };
                        let image = images.start + image;
                        let from = position(w, image, [d, h, o]) * filters;
                        let to = (((image * w.input[0] + z) * w.input[1] + y) * w.input[2] + x) * c + j * nr;
                        for rows in (0..slivers.parts()).map(|i| slivers.part(i)) {
                            let t = Tile {
                                a: dz[from + rows.start * row..].as_ptr(),
                                b: b.as_ptr(),
                                b_row: nr,
                                c: dx.start().wrapping_add(to + rows.start * c_row),
                                c_row,
                                rows: rows.len(),
                                columns: nr.min(c - j * nr),
                                column: j * nr,
                            };
                            // SAFETY: dz has a row of F for each position, the panel F rows, and the tap of each
                            // position lies in the input; these images and channels are this task's.
                            unsafe { tile::compute(isa, &t, &walk, &Tail::ADD) };
                        }
                    }
                }
            }
        }
    }
}

/// Along the width, the output positions whose tap `k` lies in the input.
#[inline(always)]
fn positions_inside(w: &Window, k: usize) -> Range<usize> {
    let (tap, before) = (k * w.dilation[2], w.before[2]);
    let start = before.saturating_sub(tap).div_ceil(w.stride[2]);
    let end = (w.input[2] + before).saturating_sub(tap).div_ceil(w.stride[2]).min(w.output[2]);
    start..end.max(start)
}
