//! Convolution backwards: dK and dx, from the images themselves. [`conv`](super::conv) has the idea and the geometry.
//!
//! dK sums over all positions of the batch. The batch is cut into parts, each with a partial sum of its own, and the
//! partial sums are added in order; how many there are depends on the sizes alone. dx is cut into images.
//!
//! Under a max pooling, dz is made image by image and consumed at once ([`conv_pool_backward`]): y, dz and what they make other
//! layers lose from the caches are more than all else that such a step moves.

use super::Cpu;
use super::conv::{
    Images, Lines, MAX_PARTS, MAX_TASKS, TASK, WIDEST, check_kernel, cut, padded, parts, position,
};
use super::cut::Cut;
use super::elementwise::{SumRows, sum_rows};
use super::formula::check;
use super::pack::{Matrix, PackPanels, pack};
use super::parallel::{self, IN_L2, Pieces, rows_per_task};
use super::pool::{Backward, images};
use super::simd::{Isa, Kernel, Simd};
use super::tile::{self, Tail, Tiles, Walk};
use super::winograd;
use crate::error::Result;
use crate::tensor::{View, ViewMut};
use crate::window::Window;
use std::ops::Range;

/// Positions of one block of dz, at most.
const POSITIONS: usize = IN_L2 / WIDEST;
/// Positions of one block of dz, if there are as many: the steps that a tile of dK stays in registers.
const STEPS: usize = 256;
/// A block of dz that so few slivers read is not packed.
const FEW_SLIVERS: usize = 8;

// ---------------------------------------------------------------- dK

/// See [`Backend::conv_backward_kernel`](crate::Backend::conv_backward_kernel).
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
    let (dz, dk) = (dz.f32()?, dk.f32()?);
    if n == 0 || dk.is_empty() {
        dk.fill(0.0);
        return Ok(());
    }
    if winograd::fits(w, filters) {
        let parts = parts(w, filters, n);
        let partial = &mut partial[..(parts - 1) * dk.len()];
        winograd::backward_kernel(cpu, w, [n, filters], x.f32()?, dz, parts, partial, dk);
        add_parts(cpu, parts, partial, dk);
        return Ok(());
    }
    sum_over_images(
        cpu,
        w,
        [n, filters],
        padded(cpu, w, n, x.f32()?, border),
        Source::Dz(dz),
        partial,
        dk,
        None,
    );
    Ok(())
}

/// See [`Backend::conv_pool_backward`](crate::Backend::conv_pool_backward). Each task takes its images through both, so
/// that dz is in its core's cache when it is multiplied, and never in memory.
pub(super) fn conv_pool_backward(
    cpu: &Cpu,
    w: &Window,
    pool: &Window,
    x: View,
    [y, q, dq]: [View; 3],
    scratch: ViewMut,
    mut dz: ViewMut,
    dk: ViewMut,
    db: Option<ViewMut>,
) -> Result<()> {
    let op = "conv_pool_backward";
    let filters = y.shape().last();
    let n = images(op, w, x.shape(), y.shape(), filters)?;
    let fit =
        images(op, pool, y.shape(), dq.shape(), filters)? == n && (q.len(), dz.len()) == (dq.len(), y.len());
    check(op, fit, &[("y", y.shape()), ("dz", dz.shape()), ("q", q.shape()), ("dq", dq.shape())])?;
    let in_cache = images_of_block(w) * w.positions() * filters <= IN_L2;
    if n == 0 || winograd::fits(w, filters) || !in_cache || cuts(cpu, w, filters, n)[1] > 1 {
        super::pool::max_pool_backward(cpu, pool, y, q, dq, dz.reborrow())?;
        conv_backward_kernel(cpu, w, x, dz.as_view(), scratch, dk)?;
        return db.map_or(Ok(()), |db| sum_rows(cpu, dz.as_view(), db));
    }
    check_kernel(op, w, filters, dk.len())?;
    if let Some(db) = &db {
        check(op, db.len() == filters, &[("y", y.shape()), ("db", db.shape())])?;
    }
    dz.f32()?; // not used, but another device's is an error
    let (border, partial) = cut(op, w, filters, n, scratch)?;
    let (x, db) = (padded(cpu, w, n, x.f32()?, border), db.map(ViewMut::f32).transpose()?);
    let source = Source::Pooled { window: pool, y: y.f32()?, q: q.f32()?, dq: dq.f32()? };
    sum_over_images(cpu, w, [n, filters], x, source, partial, dk.f32()?, db);
    Ok(())
}

/// Slivers of taps, in all runs of a window.
fn slivers(cpu: &Cpu, w: &Window) -> usize {
    let ([depth, height, width], (mr, _)) = (w.kernel, tile::size(cpu.isa));
    let of_line = match w.dilation[2] {
        1 => (width * w.channels).div_ceil(mr),
        _ => width * w.channels.div_ceil(mr),
    };
    depth * height * of_line
}

/// Parts of the batch, and groups of slivers, each of which goes through all of a part's dz.
fn cuts(cpu: &Cpu, w: &Window, filters: usize, n: usize) -> [usize; 2] {
    let (parts, work) = (parts(w, filters, n), n * w.positions() * w.taps() * filters);
    [parts, (MAX_PARTS / parts).min(slivers(cpu, w).div_ceil(8)).min(work / TASK + 1)]
}

/// dK, and db if it is wanted, from partial sums over some images each.
fn sum_over_images(
    cpu: &Cpu,
    w: &Window,
    [n, filters]: [usize; 2],
    x: Images,
    source: Source,
    partial: &mut [f32],
    dk: &mut [f32],
    db: Option<&mut [f32]>,
) {
    let ([parts, groups], size) = (cuts(cpu, w, filters, n), dk.len());
    let (partial, of_bias) = partial.split_at_mut((parts - 1) * size);
    let of_bias = &mut of_bias[..if db.is_some() { parts * filters } else { 0 }];
    let (images, slivers) = (Cut::new(n, parts), Cut::new(slivers(cpu, w), groups));
    let (sums, more, biases) =
        (Pieces::new(&mut *dk), Pieces::new(&mut *partial), Pieces::new(&mut *of_bias));
    cpu.pool.run(parts * groups, &|t| {
        let (p, g) = (t / groups, t % groups);
        let dk = if p == 0 { sums.start() } else { more.start().wrapping_add((p - 1) * size) };
        // SAFETY: one task of each part has its piece.
        let db =
            (g == 0 && biases.len() > 0).then(|| unsafe { biases.piece(p * filters..(p + 1) * filters) });
        parallel::with_own(|own| {
            let (images, slivers) = (images.part(p), slivers.part(g));
            BackwardKernel { isa: cpu.isa, w, x, source, filters, images, slivers, dk, db }.run(own);
        });
    });
    add_parts(cpu, parts, partial, dk);
    if let Some(db) = db {
        cpu.isa.run(SumRows { x: of_bias, cols: filters, columns: 0..filters, y: db });
    }
}

/// dK = dK + the other partial sums, in order.
fn add_parts(cpu: &Cpu, parts: usize, partial: &[f32], dk: &mut [f32]) {
    let size = dk.len();
    let per_task = rows_per_task(size, parts);
    cpu.pool.run_chunks(dk, per_task, |task, dk| {
        cpu.isa.run(AddParts { partial, size, first: task * per_task, dk });
    });
}

/// dK of some images: some slivers of its rows.
struct BackwardKernel<'a> {
    isa: Isa,
    w: &'a Window,
    x: Images<'a>,
    source: Source<'a>,
    filters: usize,
    images: Range<usize>,
    /// Slivers of taps, counted through all runs.
    slivers: Range<usize>,
    /// Where this part's sum goes.
    dk: *mut f32,
    /// And that of the rows of dz, if it is wanted.
    db: Option<&'a mut [f32]>,
}

/// Where dz comes from.
#[derive(Clone, Copy)]
enum Source<'a> {
    /// From memory.                                                                       [N, od, oh, ow, F]
    Dz(&'a [f32]),
    /// From the gradient of the max pooling q of y, block by block.
    Pooled { window: &'a Window, y: &'a [f32], q: &'a [f32], dq: &'a [f32] },
}

impl<'a> Source<'a> {
    /// dz from a block's first position on. There is `room` for that of a block's images.
    fn of_block(self, isa: Isa, w: &Window, filters: usize, block: &Block, room: &'a mut [f32]) -> &'a [f32] {
        let (window, y, q, dq) = match self {
            Source::Dz(dz) => return &dz[position(w, block.image, block.at) * filters..],
            Source::Pooled { window, y, q, dq } => (window, y, q, dq),
        };
        let (size, pooled) = (w.positions() * filters, window.positions() * filters);
        let made = &mut room[..block.count[0] * size];
        for (dx, image) in made.chunks_exact_mut(size).zip(block.image..) {
            let (y, of_q) = (&y[image * size..][..size], image * pooled..(image + 1) * pooled);
            isa.run(Backward { w: window, max: Some((y, &q[of_q.clone()])), dy: &dq[of_q], dx });
        }
        made
    }
}

/// A block of positions whose dz is packed: whole images, or some lines of one slice of an image, or a piece of a line.
struct Block {
    image: usize,
    /// The first window.
    at: [usize; 3],
    /// Images, slices, lines, and positions in a line.
    count: [usize; 4],
}

/// How many images a block has, if it has whole ones.
fn images_of_block(w: &Window) -> usize {
    (STEPS / w.positions()).max(1)
}

/// Calls `visit` with blocks that cover all positions of `images`, in order.
fn each_block(w: &Window, images: Range<usize>, mut visit: impl FnMut(Block)) {
    let [od, oh, ow] = w.output;
    if w.positions() <= POSITIONS {
        let each = images_of_block(w);
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
    /// `own` holds the dz of one block, if it must be made, and its packed panel.
    fn run(self, own: &mut [f32]) {
        let BackwardKernel { isa, w, x, source, filters, images, slivers, dk, mut db } = self;
        let made = match source {
            Source::Dz(_) => 0,
            Source::Pooled { .. } => images_of_block(w) * w.positions() * filters,
        };
        let (made, own) = own.split_at_mut(made);
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
                gaps: None,
            };
            let dz = source.of_block(isa, w, filters, &block, made);
            if let Some(db) = &mut db {
                add_rows(isa, &dz[..steps * filters], db, tail.beta);
            }
            for j in (0..filters).step_by(nr) {
                let columns = nr.min(filters - j);
                let b = Matrix::new(&dz[j..], filters, false);
                let in_place = slivers.len() <= FEW_SLIVERS;
                let (panel, b_row) = if in_place {
                    (b.at(0, 0), filters)
                } else {
                    let panel = &mut own[..steps * nr];
                    isa.run(PackPanels { b, columns, kc: steps, panels: &mut *panel });
                    (panel.as_ptr(), nr)
                };
                for run in slivers.start / each.parts()..slivers.end.div_ceil(each.parts()) {
                    let [r0, r1, r2] = [run / runs[2] / runs[1], run / runs[2] % runs[1], run % runs[2]];
                    let a = x.window(w, block.image, at) + r0 * jump[0] + r1 * jump[1] + r2 * jump[2];
                    let before = run * each.parts();
                    let of_run = slivers.start.max(before) - before..each.parts().min(slivers.end - before);
                    let row = each.part(of_run.start).start;
                    let t = Tiles {
                        a: x.data[a + row..].as_ptr(),
                        a_sliver: None,
                        slivers: each.some(of_run),
                        b: panel,
                        b_row,
                        b_ends: in_place,
                        c: dk.wrapping_add((run * len + row) * filters + j),
                        c_row: filters,
                        c_rows: None,
                        columns,
                        column: j,
                    };
                    // SAFETY: every window lies inside the images, the panel has a row for each position, packed or not,
                    // and no other task has these rows of this partial sum.
                    unsafe { tile::compute(isa, &t, &walk, &tail) };
                }
            }
        });
    }
}

/// db = β db + the sum of the rows of dz.
fn add_rows(isa: Isa, dz: &[f32], db: &mut [f32], beta: f32) {
    let (filters, mut sums) = (db.len(), [0.0; WIDEST]);
    for (first, db) in (0..filters).step_by(WIDEST).zip(db.chunks_mut(WIDEST)) {
        let (columns, y) = (first..first + db.len(), &mut sums[..db.len()]);
        isa.run(SumRows { x: dz, cols: filters, columns, y });
        db.iter_mut().zip(sums).for_each(|(db, sum)| *db = if beta == 0.0 { sum } else { *db + sum });
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

/// See [`Backend::conv_backward_input`](crate::Backend::conv_backward_input).
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
    if winograd::fits(w, filters) {
        winograd::backward_input(cpu, w, filters, dz, kernel, packed, dx);
        return Ok(());
    }
    let packed = &mut packed[..w.kernel.iter().product::<usize>() * of_tap];
    for (tap, packed) in packed.chunks_exact_mut(of_tap).enumerate() {
        let kernel = Matrix::new(&kernel[tap * w.channels * filters..], filters, true);
        pack(cpu, kernel, filters, w.channels, packed); // K[tap]ᵀ [F, C]
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
        let some = (IN_L2 / 4 / (lines.len * filters.max(c)).max(1)).max(1);
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
                        let t = Tiles {
                            a: dz[from..].as_ptr(),
                            a_sliver: None,
                            slivers,
                            b: b.as_ptr(),
                            b_row: nr,
                            b_ends: false,
                            c: dx.start().wrapping_add(to),
                            c_row,
                            c_rows: None,
                            columns: nr.min(c - j * nr),
                            column: j * nr,
                        };
                        // SAFETY: dz has a row of F for each position, the panel F rows, and the tap of each position
                        // lies in the input; these images and channels are this task's.
                        unsafe { tile::compute(isa, &t, &walk, &Tail::ADD) };
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
