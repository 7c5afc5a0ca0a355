//! Matrix products: C = α op(A) op(B) + β C, and Dense with its bias and activation behind the same loops.
//!
//! The five loops of Goto and van de Geijn around the microkernel of [`tile`](super::tile):
//!
//! ```text
//! loop 5  columns of C, NC at a time         B's block is packed into panels of NR columns, for all threads;
//!                                            then C is cut into tasks
//! loop 4  steps along k, KC at a time        B's block [kc, nc] stays in the last cache
//! loop 3  rows of C, MC at a time            A's block [mc, kc] stays in L2
//! loop 2  panels of B                        one panel [kc, NR] stays in L1
//! loop 1  slivers of A                       a tile [MR, NR] of C stays in registers (this loop is the microkernel's)
//! ```
//!
//! Packing makes neighbours of what the microkernel reads one after the other. It costs a pass over the operand:
//!
//! - B is packed when it is transposed, or when enough rows of C will read it again; with AVX-512, where a row of a panel
//!   is two cache lines, only if its rows lie far apart, too. Otherwise the panels lie where they are, and a last one that
//!   is narrower than NR is read with a mask.
//! - A is packed when enough panels will read it again, and it is transposed or its rows lie far apart: each step of a
//!   transposed A is a line of its own, and lines a power of two apart displace each other in the caches. Rows along k
//!   keep their order, and only move together: the microkernel walks through MR of them at once, as fast as through a
//!   packed sliver.
//!
//! All four transposes come down to strides and packing, so there is one microkernel.
//!
//! Tasks cut C, and where C is small and its sums are long, k (`deep` below): partial sums are added in one order. So which
//! thread did what never shows. What does is KC, which is therefore the same on every machine; NC and MC follow its
//! caches.
//!
//! **Cuts keep to one plan**, so that what a core writes it finds in its own cache: a layer's weights belong to threads
//! by rows. dW is cut into rows, the optimizer's step into ranges, the forward pass of a layer with many inputs along k,
//! dx, whose columns are the rows of W, into columns.
//!
//! Source: Goto and van de Geijn 2008, "Anatomy of High-Performance Matrix Multiplication"; Van Zee and van de Geijn
//! 2015, "BLIS: A Framework for Rapidly Instantiating BLAS Functionality".

use super::Cpu;
use super::caches::caches;
use super::cut::{Cut, share};
use super::pack::{Left, Matrix, PackPanels, PackRows, PackSlivers, pack};
use super::parallel::{self, IN_L2, Pieces, SHARED, rows_per_task};
use super::simd::{Isa, Kernel, Lanes, Simd};
use super::tile::{self, Tail, Tiles, Walk};
use crate::activations::Activation;
use crate::backend::Gemm;
use crate::error::{Error, Result};
use crate::tensor::{View, ViewMut};
use std::ops::Range;

/// The most steps along k of one block: a panel [KC, NR] fits into L1 beside a sliver of A, but with AVX-512 into L2 only.
pub(super) const KC: usize = 256;
/// The most columns of one block: [KC, NC] fits into the buffer that a calling thread keeps. A multiple of every NR.
const NC: usize = SHARED / KC / 96 * 96;
/// The most rows of one block of A: [MC, KC] fits into a thread's own memory.
pub(super) const MC: usize = 160;
/// Floats of B that are packed at once, if they are more than one block.
const CHUNK: usize = 128 * 1024;
/// Blocks along k begin at multiples of this.
const STEP: usize = 16;
/// A layer with at least so many inputs is wide: what belongs to one of them, a column of the batch, a row of W, of dW and
/// of the optimizer's slots, belongs to one thread in all ops.
pub(super) const WIDE: usize = 2 * KC;
/// B is packed when C has more rows than this, or, where B's rows lie far apart, than two tiles ...
const FEW_ROWS: usize = 128;
/// ... but where a panel's rows are [`TWO_LINES`], only if B's rows lie far apart and C has more than so many.
const MANY_ROWS: usize = 512;
/// Columns of a panel, from which on packing gains little: each row is two cache lines, and asked for ahead.
const TWO_LINES: usize = 32;
/// A transposed A is packed when C has more columns than this, and k more steps ...
const FEW_COLUMNS: usize = 64;
/// ... or, beside panels of [`TWO_LINES`], more than so many.
const MORE_COLUMNS: usize = 512;
/// An A that is not transposed is packed when its rows lie far apart and C has at least so many columns.
const MANY_COLUMNS: usize = 256;
/// Rows of B that are so many numbers apart are far apart: lines of a panel displace each other in L1.
const FAR: usize = 512;
/// The same of A, of which a tile reads a few rows only.
const FAR_IN_A: usize = 1024;
/// Multiply-adds of one task, at least: some 10 µs.
const TASK: usize = 1 << 19;
/// The same where there are but two tasks.
const HALF: usize = 1 << 17;
/// The most tasks.
const MAX_TASKS: usize = 32;
/// Tasks for each thread with which all end at about the same time.
const ENOUGH: usize = 4;
/// A block of A fits into a thread's own memory, also where six rows take the room of eight, or twelve of sixteen.
const _: () = assert!(MC.div_ceil(6) * 8 * KC <= IN_L2 && MC.div_ceil(12) * 16 * KC <= IN_L2);

/// The columns of a block that half of this machine's last cache holds.
fn columns_of_block() -> usize {
    (caches().last() / 2 / (4 * KC)).clamp(384, NC) / 96 * 96
}

/// The rows of a block of A that a quarter of this machine's L2 holds.
fn rows_of_block() -> usize {
    (caches().l2 / 4 / (4 * KC)).clamp(48, MC)
}

/// Whether B's panels stay where they are.
fn in_place(b: Matrix, m: usize, (mr, nr): (usize, usize)) -> bool {
    let rows = match (nr >= TWO_LINES, b.row < FAR) {
        (true, true) => usize::MAX,
        (true, false) => MANY_ROWS,
        (false, true) => FEW_ROWS,
        (false, false) => 2 * mr,
    };
    b.col == 1 && m <= rows
}

/// Steps of C = A B in blocks: up to KC each.
pub(super) fn blocks_of(k: usize) -> Cut {
    Cut::at_most(k.div_ceil(STEP), KC / STEP)
}

/// The steps of block i.
pub(super) fn steps_of(blocks: Cut, k: usize, i: usize) -> Range<usize> {
    let units = blocks.part(i);
    units.start * STEP..k.min(units.end * STEP)
}

/// See [`Backend::gemm`](crate::Backend::gemm).
pub(super) fn gemm(cpu: &Cpu, g: Gemm, a: View, b: View, c: ViewMut) -> Result<()> {
    let (m, n, k) = g.extents(a.shape(), b.shape(), c.shape())?;
    let a = Left::new(a, g.transpose_a)?;
    let b = Matrix::new(b.f32()?, b.shape().last(), g.transpose_b);
    let tail = Tail { alpha: g.alpha as f32, beta: g.beta as f32, ..Tail::PLAIN };
    product(cpu, [m, n, k], a, b, c.f32()?, tail);
    Ok(())
}

/// See [`Backend::dense`](crate::Backend::dense). Bias and relu are done on the tile while it is in registers.
pub(super) fn dense(
    cpu: &Cpu,
    f: Activation,
    x: View,
    w: View,
    b: Option<View>,
    mut y: ViewMut,
) -> Result<()> {
    let (m, n, k) = Gemm::nn().extents(x.shape(), w.shape(), y.shape())?;
    let (tail, rest) = Tail::of_layer("dense", f, b, n)?;
    let (x, w) = (Left::new(x, false)?, Matrix::new(w.f32()?, n, false));
    product(cpu, [m, n, k], x, w, y.reborrow().f32()?, tail);
    match rest {
        Activation::Linear => Ok(()),
        f => super::activation::activate(cpu, f, y),
    }
}

/// See [`Backend::dense_backward_input`](crate::Backend::dense_backward_input). Relu's derivative is done on the tile while
/// it is in registers.
pub(super) fn dense_backward_input(
    cpu: &Cpu,
    f: Activation,
    dz: View,
    w: View,
    x: View,
    mut dx: ViewMut,
) -> Result<()> {
    let (m, n, k) = Gemm::nt().extents(dz.shape(), w.shape(), dx.shape())?;
    if x.len() != dx.len() {
        return Err(Error::op("dense_backward_input", format!("x {} and dx {}", x.shape(), dx.shape())));
    }
    let (a, b) = (Left::new(dz, false)?, Matrix::new(w.f32()?, w.shape().last(), true));
    let c = dx.reborrow().f32()?;
    let (relu, rest) = match f {
        Activation::Relu => (Some((x.f32()?, c.as_ptr().addr())), Activation::Linear),
        f => (None, f),
    };
    product(cpu, [m, n, k], a, b, c, Tail { relu, ..Tail::PLAIN });
    super::activation::activation_backward(cpu, rest, None, x, dx)
}

/// C = tail(A B), with A [m, k], B [k, n] and C [m, n] row-major. Packs B and cuts C into tasks.
fn product(cpu: &Cpu, [m, n, k]: [usize; 3], a: Left, b: Matrix, c: &mut [f32], tail: Tail) {
    if m == 0 || n == 0 {
        return;
    }
    let (mr, nr) = tile::size(cpu.isa);
    let blocks = blocks_of(k);
    if is_deep([m, n, k], a, b) && blocks.parts() * m * n + k * (n + nr) <= SHARED {
        return deep(cpu, [m, n, k], a, b, c, tail);
    }
    let block_of_k = |i| steps_of(blocks, k, i);
    let c = Pieces::new(c);
    let widest = columns_of_block();
    // A low transposed A beside a wide B, as for dU of a recurrent layer: every task takes all of A to some panels that
    // its thread has packed itself. What slivers share of A's lines they find in L2, and packing it would gain nothing.
    let low = a.is_transposed() && m <= rows_of_block() && n >= 2 * m.max(FEW_COLUMNS);
    let is_wide = a.is_transposed() && m >= WIDE;
    parallel::with_shared(|buffer| {
        for jc in (0..n).step_by(widest) {
            let nc = widest.min(n - jc);
            let panels = nc.div_ceil(nr);
            let in_place = in_place(b, m, (mr, nr));
            let to_pack = if in_place { 0 } else { panels };
            // As many blocks along k at once as L2 holds of B: fewer forks and joins.
            let some = (CHUNK / (KC * nr * to_pack.max(1))).max(1);
            for first in (0..blocks.parts()).step_by(some) {
                let chunk = first..blocks.parts().min(first + some);
                let start = block_of_k(first).start;
                let steps = block_of_k(chunk.end - 1).end - start;
                let b = b.from(start, jc);
                let packed = &mut buffer[..to_pack * steps * nr];
                pack(cpu, b, steps, nc, packed);
                let rows = Rows {
                    isa: cpu.isa,
                    tile: (mr, nr),
                    a: a.after(start),
                    b,
                    packed,
                    in_place,
                    packs_a: !low,
                    steps,
                    blocks: chunk.clone().map(|i| {
                        let block = block_of_k(i);
                        (block.start - start..block.end - start, tail.of_block(i, blocks.parts()))
                    }),
                    c: &c,
                    first: 0,
                    c_row: n,
                    column: jc,
                    columns: nc,
                };
                let work = m * nc * steps;
                let tasks = (work / TASK).max((work / HALF).min(2)).clamp(1, MAX_TASKS);
                // Rows first, as tasks share what they read of B; but each must read a panel often enough. Then panels.
                let across = match low {
                    true => 1,
                    false => tasks.min(m.div_ceil(4 * mr)).min((m / (5 * mr)).max(16)),
                };
                // Where each task packs its rows of a transposed A, they must be worth it.
                let least = if a.is_transposed() && !low { 16 } else { 4 };
                // Each group of panels reads, and perhaps packs, all of A again: no more of them than threads need. (What is
                // added up is the same in any group.)
                let along = match across >= ENOUGH * cpu.pool.threads() {
                    true => 1,
                    false => tasks.div_ceil(across).min(panels.div_ceil(least)),
                };
                // dW of a wide layer is cut into the blocks of its forward pass, each of them into as many slices.
                let in_blocks = is_wide && across > 1 || a.is_in_blocks();
                let of_m = if in_blocks { blocks_of(m) } else { Cut::new(m, 1) };
                let across = across.next_multiple_of(of_m.parts());
                let slice_of = |i| {
                    let per_block = across / of_m.parts();
                    let block = if in_blocks { steps_of(of_m, m, i / per_block) } else { 0..m };
                    let slice = share(block.len(), 1, per_block, i % per_block);
                    block.start + slice.start..block.start + slice.end
                };
                let groups = Cut::new(panels, along);
                // Neighbouring tasks, which one thread has, share what they read of the smaller operand.
                cpu.pool.run(across * along, &|t| {
                    let (slice, group) =
                        if m < nc { (t % across, t / across) } else { (t / along, t % along) };
                    let (slice, group) = (slice_of(slice), groups.part(group));
                    parallel::with_own(|own| rows.task(slice, group, own));
                });
            }
        }
    });
}

/// Whether C is small and the sums are long, as in the forward pass of a layer with many inputs. Then B, the weights, is
/// what moves; so it is k that is cut, and each thread reads the rows of B that it also updates: dW is cut into rows, and
/// so is the optimizer's step. Cut by rows or columns of C, half of B would travel from core to core, twice in each step.
fn is_deep([m, n, k]: [usize; 3], a: Left, b: Matrix) -> bool {
    !a.is_transposed() && b.col == 1 && k >= WIDE && m * n <= 16 * k && m * n * k >= 4 * TASK
}

/// C = tail(A B): the blocks along k in two halves, each of which adds its own, and then the two sums. On two threads a
/// half is a task, which keeps its sum to itself until it is whole; on more threads each block is.
fn deep(cpu: &Cpu, [m, n, k]: [usize; 3], a: Left, b: Matrix, c: &mut [f32], tail: Tail) {
    let (tile, blocks) = (tile::size(cpu.isa), blocks_of(k));
    let (panels, in_place) = (n.div_ceil(tile.1), in_place(b, m, tile));
    debug_assert!(tail.relu.is_none(), "relu's derivative belongs to a product with Wᵀ");
    let parts = if cpu.pool.threads() > 2 { blocks.parts() } else { 2 };
    let blocks_of_part = |p| share(blocks.parts(), 1, parts, p);
    let width = if in_place { 0 } else { panels * tile.1 };
    parallel::with_shared(|buffer| {
        let (sums, packed) = buffer.split_at_mut(parts * m * n);
        let packed = &mut packed[..k * width];
        let pieces = Pieces::new(packed);
        cpu.pool.run(if width > 0 { parts } else { 0 }, &|p| {
            for i in blocks_of_part(p) {
                let steps = steps_of(blocks, k, i);
                // SAFETY: blocks do not overlap.
                let panels = unsafe { pieces.piece(steps.start * width..steps.end * width) };
                let b = b.from(steps.start, 0);
                cpu.isa.run(PackPanels { b, columns: n, kc: steps.len(), panels });
            }
        });
        let slices = Cut::at_most(m, MC);
        let (packed, all) = (&*packed, Pieces::new(&mut *sums));
        cpu.pool.run(parts * slices.parts(), &|t| {
            let (p, slice) = (t / slices.parts(), slices.part(t % slices.parts()));
            for (at, i) in blocks_of_part(p).enumerate() {
                let steps = steps_of(blocks, k, i);
                let tail = if at == 0 { Tail::PLAIN } else { Tail::ADD };
                let rows = Rows {
                    isa: cpu.isa,
                    tile,
                    a: a.after(steps.start),
                    b: b.from(steps.start, 0),
                    packed: &packed[steps.start * width..steps.end * width],
                    in_place,
                    packs_a: true,
                    steps: steps.len(),
                    blocks: std::iter::once((0..steps.len(), tail)),
                    c: &all,
                    first: p * m * n,
                    c_row: n,
                    column: 0,
                    columns: n,
                };
                parallel::with_own(|own| rows.task(slice.clone(), 0..panels, own));
            }
        });
        // Half of the rows to a thread, as in the layers behind.
        let (sums, per_task) = (&*sums, rows_per_task(m, 2 * n * blocks.parts()));
        cpu.pool.run_chunks(c, per_task * n, |task, c| {
            cpu.isa.run(AddParts { sums, size: m * n, first: task * per_task * n, n, tail, c });
        });
    });
}

/// C = tail(A B) for few rows, on this thread: A row-major with rows `a_row` apart, C with rows side by side. `panels` and
/// `own` as in [`multiply_columns`].
pub(super) fn multiply_panels(
    isa: Isa,
    [rows, n, k]: [usize; 3],
    (a, a_row): (&[f32], usize),
    panels: (&[f32], usize),
    c: &mut [f32],
    tail: Tail,
    own: &mut [f32],
) {
    let (a, c) = (Matrix::new(a, a_row, false), Pieces::new(c));
    // SAFETY: C is borrowed exclusively.
    unsafe { multiply_columns(isa, [rows, k], a, panels, (&c, n), 0..n, tail, own) }
}

/// C[:, columns] = tail(A B) on this thread, for some columns of a C whose rows are `c_row` long: A [m, k], `panels` the
/// first k rows of packed panels of `panel_rows` rows each. `own` is room for a block of A, which stays where it is if
/// there is none.
///
/// # Safety
/// Nobody else may have these columns of C as long as the call lasts.
pub(super) unsafe fn multiply_columns(
    isa: Isa,
    [m, k]: [usize; 2],
    a: Matrix,
    (panels, panel_rows): (&[f32], usize),
    (c, c_row): (&Pieces<f32>, usize),
    columns: Range<usize>,
    tail: Tail,
    own: &mut [f32],
) {
    let (tile, blocks) = (tile::size(isa), blocks_of(k));
    let count = columns.len().div_ceil(tile.1);
    assert!(k <= panel_rows && panels.len() >= count * panel_rows * tile.1);
    assert!(columns.end <= c_row && m * c_row <= c.len());
    assert!(m == 0 || k == 0 || a.data.len() > (m - 1) * a.row + (k - 1) * a.col);
    let some = Rows {
        isa,
        tile,
        a: Left::Rows(a),
        b: a, // not read: its panels are packed
        packed: panels,
        in_place: false,
        packs_a: !own.is_empty(),
        steps: panel_rows,
        blocks: (0..blocks.parts()).map(|i| (steps_of(blocks, k, i), tail.of_block(i, blocks.parts()))),
        c,
        first: 0,
        c_row,
        column: columns.start,
        columns: columns.len(),
    };
    some.task(0..m, 0..count, own);
}

/// C = tail(Σ of the first half of the partial sums, in order, + the same of the second) for some rows.
struct AddParts<'a, 'b> {
    sums: &'a [f32],
    /// From one partial sum to the next.
    size: usize,
    /// Where the rows begin in each.
    first: usize,
    n: usize,
    tail: Tail<'a>,
    c: &'b mut [f32],
}

impl Kernel for AddParts<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let AddParts { sums, size, first, n, tail, c } = self;
        let (alpha, beta, floor) = (s.splat(tail.alpha), s.splat(tail.beta), s.splat(tail.floor));
        let (parts, half) = (sums.len() / size, (sums.len() / size).div_ceil(2));
        for (r, row) in c.chunks_exact_mut(n).enumerate() {
            for j in (0..n).step_by(S::LANES) {
                let (lanes, at) = (S::LANES.min(n - j), first + r * n + j);
                let mut halves = [s.splat(0.0); 2];
                for (sum, (start, end)) in halves.iter_mut().zip([(0, half), (half, parts)]) {
                    for part in start..end {
                        let from = &sums[part * size + at..][..lanes];
                        // SAFETY: as many as the row has left.
                        let v = unsafe { s.load_up_to(from.as_ptr(), lanes) };
                        *sum = if part == start { v } else { *sum + v };
                    }
                }
                let mut v = (halves[0] + halves[1]) * alpha;
                let to = &mut row[j..j + lanes];
                // SAFETY: as above.
                unsafe {
                    if tail.beta != 0.0 {
                        v = s.load_up_to(to.as_ptr(), lanes).mul_add(beta, v);
                    }
                    if let Some(bias) = tail.bias {
                        v = v + s.load_up_to(bias[j..j + lanes].as_ptr(), lanes);
                    }
                    s.store_up_to(floor.max(v), to.as_mut_ptr(), lanes); // NaN is second, and stays
                }
            }
        }
    }
}

/// What the tasks share: all rows of A and C, and some columns and steps of B.
struct Rows<'a, I> {
    isa: Isa,
    /// (MR, NR).
    tile: (usize, usize),
    a: Left<'a>,
    b: Matrix<'a>,
    /// B's panels, unless they lie in B itself.
    packed: &'a [f32],
    in_place: bool,
    /// Whether A is packed where it is worth it.
    packs_a: bool,
    /// Rows of a panel.
    steps: usize,
    /// The steps in blocks, and what becomes of their sums.
    blocks: I,
    c: &'a Pieces<'a, f32>,
    /// Where C begins.
    first: usize,
    c_row: usize,
    /// The first column in C.
    column: usize,
    /// nc.
    columns: usize,
}

impl<'a, I: Iterator<Item = (Range<usize>, Tail<'a>)> + Clone> Rows<'a, I> {
    /// Some rows of C times some panels of B: loops 4 to 1. `own` holds a packed block of A.
    fn task(&self, slice: Range<usize>, panels: Range<usize>, own: &mut [f32]) {
        let (isa, (mr, nr)) = (self.isa, self.tile);
        let (blocks, wide) = (Cut::at_most(slice.len(), rows_of_block()), mr.next_power_of_two());
        let columns = panels.len() * nr;
        for (steps, tail) in self.blocks.clone() {
            for ic in 0..blocks.parts() {
                let block = blocks.part(ic);
                let rows = slice.start + block.start..slice.start + block.end;
                let part = self.a.part(rows.clone(), steps.clone());
                let (mut room, a) = (None, part.a);
                let (count, kc, first, c_rows, gaps) = match part.live {
                    None => (rows.len(), steps.len(), rows.start, None, None),
                    Some(live) if self.a.is_transposed() => {
                        self.add_nothing(rows, live, &panels, tail);
                        (live.len(), steps.len(), 0, Some(live), None)
                    }
                    Some(live) => {
                        let gaps = part.gaps(live, room.insert([(0, 0); KC]));
                        (rows.len(), live.len(), rows.start, None, Some(gaps))
                    }
                };
                let slivers = Cut::at_most(count, mr);
                let few = if nr >= TWO_LINES { MORE_COLUMNS } else { FEW_COLUMNS };
                let pack_a = self.packs_a
                    && match a.col {
                        1 => a.row >= FAR_IN_A && columns >= MANY_COLUMNS,
                        _ => kc > FEW_COLUMNS && columns > few,
                    };
                if pack_a {
                    match a.col {
                        1 => isa.run(PackRows { a, kc, packed: &mut own[..count * kc] }),
                        _ => isa.run(PackSlivers { a, kc, slivers, wide, packed: &mut *own }),
                    }
                }
                let (a, a_sliver, walk) = match pack_a {
                    true if a.col == 1 => (own.as_ptr(), None, Walk::matrix(kc, 1, kc)),
                    true => (own.as_ptr(), Some(wide * kc), Walk::matrix(1, wide, kc)),
                    false => (a.data.as_ptr(), None, Walk::matrix(a.row, a.col, kc)),
                };
                let walk = Walk { gaps, ..walk };
                for jr in panels.clone() {
                    let (b, b_row) = match self.in_place {
                        true => (self.b.at(steps.start, jr * nr), self.b.row),
                        false => (self.packed[(jr * self.steps + steps.start) * nr..].as_ptr(), nr),
                    };
                    let column = self.column + jr * nr;
                    let t = Tiles {
                        a,
                        a_sliver,
                        slivers,
                        b,
                        b_row,
                        b_ends: self.in_place,
                        c: self.c.start().wrapping_add(self.first + first * self.c_row + column),
                        c_row: self.c_row,
                        c_rows,
                        columns: nr.min(self.columns - jr * nr),
                        column,
                    };
                    // SAFETY: A has these rows of kc steps, packed or not. The panel has kc rows of NR columns, and those that
                    // gaps leave out, if it is packed, of as many as B has there if it is not. The tiles lie in C, and no other
                    // task has these rows and panels.
                    unsafe { tile::compute(isa, &t, &walk, &tail) };
                }
            }
        }
    }

    /// C = β C in some columns of those among the rows that are not live: a dW has neither bias nor activation.
    fn add_nothing(&self, rows: Range<usize>, live: &[u32], panels: &Range<usize>, tail: Tail) {
        let nr = self.tile.1;
        let columns = self.column + panels.start * nr..self.column + self.columns.min(panels.end * nr);
        let mut live = live.iter().peekable();
        for row in rows.filter(|&row| live.next_if(|&&l| l as usize == row).is_none()) {
            let at = self.first + row * self.c_row;
            // SAFETY: no other task has this row of these panels.
            let c = unsafe { self.c.piece(at + columns.start..at + columns.end) };
            match tail.beta {
                0.0 => c.fill(0.0),
                1.0 => (),
                beta => c.iter_mut().for_each(|c| *c *= beta),
            }
        }
    }
}

#[cfg(test)]
mod tests;
