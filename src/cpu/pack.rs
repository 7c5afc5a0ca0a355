//! Packing: operands of a product copied into the order in which the microkernel reads them.
//!
//! ```text
//! B in panels   [kc, NR] one behind the other: a step reads NR numbers side by side
//! A in rows     not transposed: rows keep their order and only move together
//! A in slivers  transposed: for each sliver of MR rows, step after step, the numbers that a step spreads
//! ```
//!
//! A row or step of the source lies far from the next one, so the loops go through it once, and ask for one further on.

use super::Cpu;
use super::cut::Cut;
use super::gemm::{KC, blocks_of, steps_of};
use super::parallel;
use super::simd::{Kernel, MAX_LANES, Simd};
use super::tile::{self, columns_of_tile};
use crate::backend::LiveColumns;
use crate::error::{Error, Result};
use crate::tensor::View;
use std::ops::Range;

/// A or B, transposed or not: element (i, j) is `data[i·row + j·col]`.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a> {
    pub(super) data: &'a [f32],
    pub(super) row: usize,
    pub(super) col: usize,
}

impl<'a> Matrix<'a> {
    /// op(M) for the row-major M of `columns` columns.
    pub(super) fn new(data: &'a [f32], columns: usize, transpose: bool) -> Matrix<'a> {
        match transpose {
            false => Matrix { data, row: columns, col: 1 },
            true => Matrix { data, row: 1, col: columns },
        }
    }

    /// Where element (i, j) is, if there is one.
    pub(super) fn at(&self, i: usize, j: usize) -> *const f32 {
        self.data.as_ptr().wrapping_add(i * self.row + j * self.col)
    }

    /// From element (i, j) on.
    pub(super) fn from(&self, i: usize, j: usize) -> Matrix<'a> {
        let at = (i * self.row + j * self.col).min(self.data.len());
        Matrix { data: &self.data[at..], ..*self }
    }
}

/// The left operand of a product, which may be a batch in blocks of columns.
#[derive(Clone, Copy)]
pub(super) enum Left<'a> {
    Rows(Matrix<'a>),
    /// A batch of `n` samples, or its transpose, from step `first` along k on.
    Blocks {
        data: &'a [f32],
        live: &'a LiveColumns,
        n: usize,
        first: usize,
        transposed: bool,
    },
}

/// Some rows and steps of the left operand.
pub(super) struct Part<'a> {
    /// Without the columns of the batch that are 0 in all samples.
    pub(super) a: Matrix<'a>,
    /// Its columns in the batch, if some are missing; those of the batch are counted from `start`.
    pub(super) live: Option<&'a [u32]>,
    pub(super) start: usize,
}

impl Part<'_> {
    /// What lies between stretches of neighbours among the live columns: (columns left out, columns that follow). There is
    /// `room` for as many as a block may have.
    pub(super) fn gaps<'a>(&self, live: &[u32], room: &'a mut [(usize, usize); KC]) -> &'a [(usize, usize)] {
        let (mut count, mut next) = (0, self.start);
        for &column in live {
            let column = column as usize;
            if count == 0 || column != next {
                room[count] = (column - next, 0);
                count += 1;
            }
            room[count - 1].1 += 1;
            next = column + 1;
        }
        &room[..count]
    }
}

impl<'a> Left<'a> {
    /// op(a).
    pub(super) fn new(a: View<'a>, transposed: bool) -> Result<Left<'a>> {
        let (n, width) = a.shape().as_matrix();
        Ok(match a.blocks() {
            Some((_, live)) if live.width() != width => {
                let problem = format!("{} in blocks of {} columns", a.shape(), live.width());
                return Err(Error::op("gemm", problem));
            }
            Some((data, live)) => Left::Blocks { data, live, n, first: 0, transposed },
            None => Left::Rows(Matrix::new(a.f32()?, width, transposed)),
        })
    }

    pub(super) fn is_in_blocks(&self) -> bool {
        matches!(self, Left::Blocks { .. })
    }

    /// Whether k runs along the columns of memory.
    pub(super) fn is_transposed(&self) -> bool {
        match self {
            Left::Rows(a) => a.col != 1,
            Left::Blocks { transposed, .. } => *transposed,
        }
    }

    /// From step `p` along k on.
    pub(super) fn after(self, p: usize) -> Left<'a> {
        match self {
            Left::Rows(a) => Left::Rows(a.from(0, p)),
            Left::Blocks { data, live, n, first, transposed } => {
                Left::Blocks { data, live, n, first: first + p, transposed }
            }
        }
    }

    /// Some rows and steps. In a batch in blocks, the rows of a transposed one, or else the steps, are of one block.
    pub(super) fn part(self, rows: Range<usize>, steps: Range<usize>) -> Part<'a> {
        match self {
            Left::Rows(a) => Part { a: a.from(rows.start, steps.start), live: None, start: 0 },
            Left::Blocks { data, live, n, first, transposed } => {
                let steps = first + steps.start..first + steps.end;
                let (samples, columns) = if transposed { (steps, rows) } else { (rows, steps) };
                let blocks = blocks_of(live.width());
                let mut all = (0..blocks.parts()).map(|i| steps_of(blocks, live.width(), i));
                let block = all.find(|block| columns.end <= block.end).unwrap_or(0..0);
                assert!(block.start <= columns.start && samples.end <= n, "some columns of one block");
                let here = live.of_block(block.clone());
                let at = |column: usize| here.partition_point(|&c| (c as usize) < column);
                let some = at(columns.start)..at(columns.end);
                let a = Matrix::new(
                    &data[n * block.start + samples.start * here.len() + some.start..],
                    here.len(),
                    transposed,
                );
                let live = (some.len() < columns.len()).then_some(&here[some]);
                Part { a, live, start: columns.start }
            }
        }
    }
}

/// Packs the first `columns` of B [kc, ...] into panels [kc, NR], one behind the other; the last is filled up with zeros.
/// `packed` is as long as the panels.
pub(super) fn pack(cpu: &Cpu, b: Matrix, kc: usize, columns: usize, packed: &mut [f32]) {
    let (_, nr) = tile::size(cpu.isa);
    let panel = kc * nr;
    if packed.is_empty() {
        return;
    }
    let each = (parallel::GRAIN / panel).max(1);
    cpu.pool.run_chunks(packed, each * panel, |i, panels| {
        let first = i * each * nr;
        cpu.isa.run(PackPanels { b: b.from(0, first), columns: columns - first, kc, panels });
    });
}

/// Packs some panels of kc rows: `columns` of B, or as many as they hold, and zeros behind them.
pub(super) struct PackPanels<'a, 'b> {
    pub(super) b: Matrix<'a>,
    pub(super) columns: usize,
    pub(super) kc: usize,
    pub(super) panels: &'b mut [f32],
}

/// Rows of B ahead of the one that is packed whose memory is asked for.
const AHEAD: usize = 8;

impl Kernel for PackPanels<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let PackPanels { b, columns, kc, panels } = self;
        let (lanes, nr) = (S::LANES, columns_of_tile::<S>());
        let columns = columns.min(panels.len() / kc.max(1));
        if b.col == 1 {
            // Row by row through all panels: rows lie far apart, what they hold together.
            for p in 0..kc {
                let from = &b.data[p * b.row..][..columns];
                for j in (0..columns).step_by(16) {
                    s.prefetch(from.as_ptr().wrapping_add(AHEAD * b.row + j));
                }
                let (whole, mut at) = (from.chunks_exact(nr), p * nr);
                let rest = whole.remainder();
                for from in whole {
                    let to = &mut panels[at..][..nr];
                    for j in (0..nr).step_by(lanes) {
                        // SAFETY: both have NR floats.
                        unsafe { s.store(s.load(from[j..].as_ptr()), to[j..].as_mut_ptr()) };
                    }
                    at += kc * nr;
                }
                for j in (0..if rest.is_empty() { 0 } else { nr }).step_by(lanes) {
                    let (from, to) = (&rest[rest.len().min(j)..], &mut panels[at + j..][..lanes]);
                    // SAFETY: no more than `from` has; `to` has LANES floats.
                    unsafe { s.store(s.load_up_to(from.as_ptr(), from.len().min(lanes)), to.as_mut_ptr()) };
                }
            }
            return;
        }
        // Bᵀ [n, k] lies in memory: its rows are the panels' columns.
        for (i, panel) in panels.chunks_exact_mut(kc * nr).enumerate() {
            let (b, columns) = (b.from(0, i * nr), nr.min(columns - i * nr));
            for j in (0..nr).step_by(lanes) {
                let rows = lanes.min(columns.saturating_sub(j));
                for p in (0..kc).step_by(lanes) {
                    let steps = lanes.min(kc - p);
                    if rows == lanes && steps == lanes {
                        let from = &b.data[j * b.col + p..(j + lanes - 1) * b.col + p + lanes];
                        let to = &mut panel[p * nr + j..(p + lanes - 1) * nr + j + lanes];
                        // SAFETY: both slices reach to the end of the block's last row.
                        unsafe { s.transpose(from.as_ptr(), b.col, to.as_mut_ptr(), nr) };
                        continue;
                    }
                    // A block at the border, filled up with zeros.
                    let (mut block, mut turned) =
                        ([0.0; MAX_LANES * MAX_LANES], [0.0; MAX_LANES * MAX_LANES]);
                    for (i, row) in block.chunks_exact_mut(lanes).enumerate().take(rows) {
                        let from = &b.data[(j + i) * b.col + p..][..steps];
                        // SAFETY: the slice has so many, and the row has LANES.
                        unsafe { s.store(s.load_part(from.as_ptr(), steps), row.as_mut_ptr()) };
                    }
                    // SAFETY: both have room for LANES rows of LANES.
                    unsafe { s.transpose(block.as_ptr(), lanes, turned.as_mut_ptr(), lanes) };
                    for (i, row) in turned.chunks_exact(lanes).enumerate().take(steps) {
                        panel[(p + i) * nr + j..][..lanes].copy_from_slice(row);
                    }
                }
            }
        }
    }
}

/// Packs some rows of an A that is not transposed: one behind the other.
pub(super) struct PackRows<'a, 'b> {
    pub(super) a: Matrix<'a>,
    pub(super) kc: usize,
    pub(super) packed: &'b mut [f32],
}

impl Kernel for PackRows<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let PackRows { a, kc, packed } = self;
        for (i, row) in packed.chunks_exact_mut(kc).enumerate() {
            // The next rows are in other pages: the processor would not ask for them by itself.
            for j in (0..kc).step_by(16) {
                s.prefetch(a.data.as_ptr().wrapping_add((i + 2) * a.row + j));
            }
            row.copy_from_slice(&a.data[i * a.row..][..kc]);
        }
    }
}

/// Packs some rows of a transposed A, cut into slivers: step after step of the first, then the next. A step takes room
/// for `wide` rows, so that whole registers fit.
pub(super) struct PackSlivers<'a, 'b> {
    pub(super) a: Matrix<'a>,
    pub(super) kc: usize,
    pub(super) slivers: Cut,
    pub(super) wide: usize,
    pub(super) packed: &'b mut [f32],
}

impl Kernel for PackSlivers<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let PackSlivers { a, kc, slivers, wide, packed } = self;
        // Step by step through all slivers: what a step reads lies together, steps lie far apart.
        for p in 0..kc {
            let step = &a.data[p * a.col..];
            for j in (0..slivers.part(slivers.parts() - 1).end).step_by(16) {
                s.prefetch(step.as_ptr().wrapping_add(AHEAD * a.col + j));
            }
            let (mut row, mut at) = (0, p * wide);
            for (rows, count) in slivers.sizes() {
                for _ in 0..count {
                    for j in (0..rows).step_by(S::LANES) {
                        let (from, to) = (&step[row + j..], &mut packed[at + j..][..S::LANES]);
                        // SAFETY: no more than `from` has; `to` has LANES floats.
                        unsafe {
                            let v = s.load_up_to(from.as_ptr(), from.len().min(S::LANES));
                            s.store(v, to.as_mut_ptr());
                        }
                    }
                    (row, at) = (row + rows, at + kc * wide);
                }
            }
        }
    }
}
