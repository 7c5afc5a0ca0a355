//! Samples on their way from the data set: gathered into a batch, and converted to f32.
//!
//! A batch for a wide layer lies in blocks of columns ([`load_blocks`]), those in which its forward pass sums along k:
//!
//! ```text
//! in rows      sample 0: columns 0 … 783   sample 1: columns 0 … 783   ...
//! in blocks    columns 0 … 207 of sample 0, of sample 1, ...   then columns 208 … 399 of sample 0, of sample 1, ...
//! ```
//!
//! Each thread has the inputs whose weights it owns: some columns of every sample. In rows these pieces are neighbours of
//! the other threads' pieces, and a processor that goes through a run of cache lines asks for those behind it, too. It
//! takes them away from the core that will write the next batch into them, at each row anew.
//!
//! **A column that is 0 in all samples of the batch stays out**: a pixel of a border, a word that no text has, a class of a
//! one-hot code that nobody belongs to. It adds nothing to y = x W, and its row of dW = xᵀ dy is 0. A block's other columns
//! move together, [`LiveColumns`] says which they are, and products read rows of W and write rows of dW by that list. Of
//! MNIST's pixels 33 % stay out of a batch of 128 and 42 % out of one of 32; of Fashion-MNIST's 2 and 5 %, too few to be
//! left out. To see that none is 0 takes a look at a few samples.
//!
//! ```text
//! x                          columns    1 3 4   there are 3 of 6, in a block of its own
//! 0 7 0 3 1 0                           7 3 1
//! 0 2 0 0 5 0                           2 0 5   y = x[:, 1 3 4] W[1 3 4, :]      dW[1 3 4, :] = x[:, 1 3 4]ᵀ dy
//! ```

use super::Cpu;
use super::cut::{Cut, share};
use super::gemm::{KC, blocks_of, steps_of};
use super::parallel::{Pieces, rows_per_task};
use super::simd::{Kernel, Simd};
use crate::backend::{HostRows, LiveColumns};
use crate::error::Result;
use crate::tensor::ViewMut;
use std::ops::Range;

/// Rows ahead of the one that is converted whose memory is asked for: a batch's rows lie anywhere, and the first byte of
/// each takes longer to come than all the others.
const AHEAD: usize = 6;
/// A number that comes from anywhere in memory costs as much as so many simple operations.
const GATHER: usize = 4;
/// The most samples of one task of a batch in blocks.
const ROWS: usize = 256;
/// Samples that are looked at before the question whether a column is left that was 0 in all of them.
const SAMPLES: usize = 8;
/// Columns stay out if at least one in so many of their block is 0 in all samples.
const WORTH: usize = 8;

pub(super) fn load_rows(cpu: &Cpu, rows: HostRows, order: &[u32], y: ViewMut) -> Result<()> {
    let (width, n) = (rows.width(order, y.shape())?, order.len());
    if width == 0 {
        return Ok(());
    }
    let per_task = rows_per_task(n, width * GATHER);
    cpu.pool.run_chunks(y.f32()?, per_task * width, |task, y| {
        let order = &order[task * per_task..][..y.len() / width];
        let part = Part { rows, width, order, columns: 0..width, ask: 0..width };
        cpu.isa.run(Convert { part, y });
    });
    Ok(())
}

pub(super) fn load_blocks(
    cpu: &Cpu,
    rows: HostRows,
    order: &[u32],
    y: ViewMut,
    live: &mut LiveColumns,
) -> Result<()> {
    let (width, n) = (rows.width(order, y.shape())?, order.len());
    if width == 0 {
        return Ok(());
    }
    let (y, live) = (Pieces::new(y.f32()?), Pieces::new(live.of_width(width)));
    let (blocks, slices) = (blocks_of(width), Cut::at_most(n, ROWS));
    // Half of the blocks to a task: what one thread has of each sample lies together in the data set.
    cpu.pool.run(2 * slices.parts(), &|task| {
        let (half, slice) = (task / slices.parts(), slices.part(task % slices.parts()));
        let some = share(blocks.parts(), 1, 2, half);
        let own = steps_of(blocks, width, some.start).start..steps_of(blocks, width, some.end.max(1) - 1).end;
        for i in some.clone() {
            let columns = steps_of(blocks, width, i);
            // What comes from memory comes with the first block.
            let ask = if i == some.start { own.clone() } else { 0..0 };
            let first = n * columns.start + slice.start * columns.len();
            // SAFETY: tasks have different samples or blocks.
            let y = unsafe { y.piece(first..first + slice.len() * columns.len()) };
            let part = Part { rows, width, order: &order[slice.clone()], columns: columns.clone(), ask };
            if slice.start > 0 {
                cpu.isa.run(Convert { part, y });
                continue;
            }
            // SAFETY: a block's list is written with its first sample.
            let live = unsafe { live.piece(columns.clone()) };
            if slices.parts() == 1 && cpu.isa.run(Look { part: part.clone(), live }) {
                cpu.isa.run(Compress { part, live, y });
            } else {
                columns.zip(live).for_each(|(column, live)| *live = column as u32);
                cpu.isa.run(Convert { part, y });
            }
        }
    });
    Ok(())
}

/// Some columns of some samples.
#[derive(Clone)]
struct Part<'a> {
    rows: HostRows<'a>,
    width: usize,
    /// The samples.
    order: &'a [u32],
    columns: Range<usize>,
    /// The columns to ask for ahead.
    ask: Range<usize>,
}

impl Part<'_> {
    /// Where the numbers of sample i begin.
    #[inline(always)]
    fn at(&self, i: usize) -> usize {
        self.order[i] as usize * self.width + self.columns.start
    }

    /// Asks for the sample that will be wanted after some more, and before the first one for all up to it.
    #[inline(always)]
    fn ask_ahead<S: Simd>(&self, s: S, i: usize) {
        if self.ask.is_empty() {
            return;
        }
        let from = if i == 0 { 0 } else { i + AHEAD };
        for &row in &self.order[from.min(self.order.len())..self.order.len().min(i + AHEAD + 1)] {
            ask(s, self.rows, row as usize * self.width + self.ask.start, self.ask.len());
        }
    }
}

/// The numbers side by side, one sample's behind the other's.
struct Convert<'a, 'b> {
    part: Part<'a>,
    y: &'b mut [f32],
}

impl Kernel for Convert<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Convert { part, y } = self;
        for (i, y) in y.chunks_exact_mut(part.columns.len()).enumerate() {
            part.ask_ahead(s, i);
            convert(part.rows, part.at(i), y);
        }
    }
}

/// As many numbers as `y` has, from `at` on.
#[inline(always)]
fn convert(rows: HostRows, at: usize, y: &mut [f32]) {
    let len = y.len();
    match rows {
        HostRows::F32(v) => y.copy_from_slice(&v[at..at + len]),
        // A plain loop, which the compiler turns into registers of the set that it is compiled for.
        HostRows::U8 { bytes, scale } => {
            for (y, &byte) in y.iter_mut().zip(&bytes[at..at + len]) {
                *y = f32::from(byte) * scale;
            }
        }
    }
}

/// Which of up to KC columns are not 0 in all samples: their list, and whether it is worth it to leave out the others.
struct Look<'a, 'b> {
    part: Part<'a>,
    live: &'b mut [u32],
}

impl Kernel for Look<'_, '_> {
    type Output = bool;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> bool {
        let Look { part, live } = self;
        let len = part.columns.len();
        // A byte for each column, sixteen in a word.
        let mut words = [0; KC.div_ceil(16)];
        for first in (0..part.order.len()).step_by(SAMPLES) {
            let seen = &bytemuck::cast_slice::<u128, u8>(&words)[..len];
            if seen.iter().fold(1, |least, &seen| seen.min(least)) > 0 {
                return false;
            }
            for i in first..part.order.len().min(first + SAMPLES) {
                part.ask_ahead(s, i);
                let at = part.at(i);
                let seen = &mut bytemuck::cast_slice_mut::<u128, u8>(&mut words)[..len];
                match part.rows {
                    HostRows::F32(v) => {
                        for (seen, &v) in seen.iter_mut().zip(&v[at..at + len]) {
                            *seen |= u8::from(v != 0.0);
                        }
                    }
                    HostRows::U8 { bytes, .. } => {
                        let (whole, rest) = bytes[at..at + len].as_chunks::<16>();
                        for (seen, &byte) in seen[whole.len() * 16..].iter_mut().zip(rest) {
                            *seen |= byte;
                        }
                        for (word, &bytes) in words.iter_mut().zip(whole) {
                            *word |= u128::from_ne_bytes(bytes);
                        }
                    }
                }
            }
        }
        let seen = &bytemuck::cast_slice::<u128, u8>(&words)[..len];
        let mut count = 0;
        for (column, &seen) in part.columns.zip(seen) {
            live[count] = column as u32; // the next one takes its place, if this one is not live
            count += usize::from(seen > 0);
        }
        live[count..].fill(LiveColumns::NONE);
        (len - count) * WORTH >= len
    }
}

/// [`Convert`] without the columns that are not on the list.
struct Compress<'a, 'b> {
    part: Part<'a>,
    live: &'b [u32],
    y: &'b mut [f32],
}

impl Kernel for Compress<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Compress { part, live, y } = self;
        let Part { rows, columns, .. } = part.clone();
        let live = &live[..live.partition_point(|&c| c != LiveColumns::NONE)];
        // Registers to load and where to store them: stretches of neighbours, up to a register's lanes beyond their end. What
        // is written too far the next one writes again.
        let mut moves = [(0, 0); KC];
        let (mut count, mut end) = (0, 0);
        for (at, &column) in live.iter().enumerate() {
            let column = column as usize - columns.start;
            let (from, to) = moves[count.max(1) - 1];
            if count == 0 || column >= end || column - from != at - to {
                moves[count] = (column, at);
                (count, end) = (count + 1, column + S::LANES);
            }
        }
        let moves = &moves[..count];
        for i in 0..part.order.len() {
            part.ask_ahead(s, i);
            let (from, to) = (part.at(i), i * live.len());
            if from + columns.len() + S::LANES > rows.len() || to + live.len() + S::LANES > y.len() {
                for (&column, y) in live.iter().zip(&mut y[to..]) {
                    convert(rows, from + column as usize - columns.start, std::slice::from_mut(y));
                }
                continue;
            }
            for &(first, at) in moves {
                // SAFETY: there is room for one register more than the columns of the sample, on both sides.
                unsafe {
                    let v = match rows {
                        HostRows::F32(v) => s.load(v.as_ptr().add(from + first)),
                        HostRows::U8 { bytes, scale } => {
                            s.load_bytes(bytes.as_ptr().add(from + first)) * s.splat(scale)
                        }
                    };
                    s.store(v, y.as_mut_ptr().add(to + at));
                }
            }
        }
    }
}

/// Asks for the cache lines of `len` numbers from `at` on.
#[inline(always)]
fn ask<S: Simd>(s: S, rows: HostRows, at: usize, len: usize) {
    let (start, bytes) = match rows {
        HostRows::F32(v) => (v[at..at + len].as_ptr().cast::<u8>(), 4 * len),
        HostRows::U8 { bytes, .. } => (bytes[at..at + len].as_ptr(), len),
    };
    for line in (0..bytes).step_by(64) {
        s.prefetch(start.wrapping_add(line));
    }
    s.prefetch(start.wrapping_add(bytes.saturating_sub(1)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activations::Activation;
    use crate::backend::{Backend, Gemm};
    use crate::cpu::Isa;
    use crate::cpu::random;
    use crate::rng::Rng;

    /// Columns that are 0 in all samples: none, some here and there, long runs, all, all but one, all of some blocks.
    fn dead(pattern: usize, column: usize) -> bool {
        [
            false,
            column * column % 7 < 3,
            column % 28 < 9,
            true,
            column != 300,
            column < 300 || column.is_multiple_of(2),
            column % 20 != 19,
        ][pattern]
    }
    const PATTERNS: usize = 7;

    /// Samples in an order that repeats some and skips others, as bytes and as reals: every number of the batch is where
    /// its block has it, and every column is there that is not 0 in all of them.
    #[test]
    fn blocks_hold_the_rows() {
        let mut rng = Rng::new(4, 0);
        let sizes = [(1, 512), (5, 600), (130, 513), (32, 784), (256, 700), (257, 1600), (0, 512)];
        for isa in Isa::available() {
            let cpu = Cpu::new(Some(2), Some(isa)).unwrap();
            let mut live = LiveColumns::default();
            for ((n, width), pattern) in sizes.into_iter().flat_map(|s| (0..PATTERNS).map(move |p| (s, p))) {
                let byte =
                    |rng: &mut Rng, column| if dead(pattern, column) { 0 } else { 1 + rng.below(255) as u8 };
                let bytes: Vec<u8> = (0..7 * width).map(|i| byte(&mut rng, i % width)).collect();
                let reals: Vec<f32> = bytes.iter().map(|&b| f32::from(b) * -0.25).collect();
                let order: Vec<u32> = (0..n).map(|_| rng.below(7) as u32).collect();
                for rows in [HostRows::U8 { bytes: &bytes, scale: -0.25 }, HostRows::F32(&reals)] {
                    let mut y = cpu.zeros([n, width].into()).unwrap();
                    let mut z = cpu.zeros([n, width].into()).unwrap();
                    cpu.load_rows(rows, &order, y.view_mut()).unwrap();
                    cpu.load_blocks(rows, &order, z.view_mut(), &mut live).unwrap();
                    let (y, z) = (y.to_vec(), z.to_vec());
                    let want: Vec<f32> =
                        order.iter().flat_map(|&r| &reals[r as usize * width..][..width]).copied().collect();
                    assert!(y == want, "{n} × {width} in rows");
                    let blocks = blocks_of(width);
                    for columns in (0..blocks.parts()).map(|i| steps_of(blocks, width, i)) {
                        let here = live.of_block(columns.clone());
                        let missing = columns.clone().filter(|&c| here.binary_search(&(c as u32)).is_err());
                        assert!(missing.clone().all(|c| dead(pattern, c) || n == 0), "pattern {pattern}");
                        assert!(n > ROWS || n == 0 || missing.count() > 0 || pattern == 0 || pattern == 5);
                        for (i, row) in want.chunks_exact(width).enumerate() {
                            let got = &z[n * columns.start + i * here.len()..][..here.len()];
                            let want = here.iter().map(|&c| row[c as usize]);
                            assert!(want.eq(got.iter().copied()), "{isa} {n} × {width}: columns {columns:?}");
                        }
                    }
                }
                let rows = HostRows::F32(&reals);
                let mut y = cpu.zeros([n, width].into()).unwrap();
                let outside = cpu.load_blocks(rows, &vec![7; n], y.view_mut(), &mut live);
                assert!(outside.is_err() || n == 0, "there are 7 samples");
            }
        }
    }

    /// A product of a batch in blocks has the bits of the one in rows: forward and backward, where k is cut and where C
    /// is, on every set, however many threads, whatever stays out.
    #[test]
    fn products_do_not_see_blocks() {
        let mut rng = Rng::new(5, 0);
        let sizes =
            [[32, 784, 100], [128, 784, 64], [1, 784, 3], [16, 513, 64], [130, 600, 130], [300, 1600, 10]];
        for isa in Isa::available() {
            for (i, threads) in
                (0..sizes.len() * PATTERNS).flat_map(|i| [1, 2, 5].map(|threads| (i, threads)))
            {
                let ([n, width, units], pattern) = (sizes[i % sizes.len()], i / sizes.len());
                let cpu = Cpu::new(Some(threads), Some(isa)).unwrap();
                assert!(cpu.has_blocks(width));
                let (mut x, w, b) = (
                    random(&mut rng, [n, width]),
                    random(&mut rng, [width, units]),
                    random(&mut rng, [1, units]),
                );
                for (i, x) in x.view_mut().f32().unwrap().iter_mut().enumerate() {
                    *x = if dead(pattern, i % width) { 0.0 } else { *x };
                }
                let order: Vec<u32> = (0..n as u32).collect();
                let (mut in_blocks, mut live) = (cpu.zeros(x.shape()).unwrap(), LiveColumns::default());
                let values = x.to_vec();
                cpu.load_blocks(HostRows::F32(&values), &order, in_blocks.view_mut(), &mut live).unwrap();
                let (dz, old) = (random(&mut rng, [n, units]), random(&mut rng, [width, units]));
                let [rows, blocks] = [x.view(), in_blocks.view().in_blocks(&live).unwrap()].map(|x| {
                    let mut y = cpu.zeros([n, units].into()).unwrap();
                    cpu.dense(Activation::Relu, x, w.view(), Some(b.view()), y.view_mut()).unwrap();
                    let dw = [(0.0, f32::NAN), (1.0, 1.0), (-0.5, 1.0)].map(|(beta, scale)| {
                        let mut dw = cpu.zeros([width, units].into()).unwrap();
                        let before: Vec<f32> = old.to_vec().iter().map(|x| x * scale).collect();
                        dw.view_mut().write_f32(&before).unwrap();
                        let g = Gemm { alpha: 2.0, beta, ..Gemm::tn() };
                        cpu.gemm(g, x, dz.view(), dw.view_mut()).unwrap();
                        dw.to_vec()
                    });
                    (y.to_vec(), dw)
                });
                // As numbers: the sign of a zero may differ, in rows that nothing is added to.
                assert!(rows.0 == blocks.0, "{isa}, {threads} threads: y of {n} × {width} × {units}");
                assert!(rows.1 == blocks.1, "{isa}, {threads} threads: dW of {n} × {width} × {units}");
            }
        }
    }

    /// A list is of batches of its own width.
    #[test]
    fn another_list_is_refused() {
        let cpu = Cpu::new(Some(1), None).unwrap();
        let (x, w) = (cpu.zeros([2, 512].into()).unwrap(), cpu.zeros([256, 3].into()).unwrap());
        let (live, mut y) = (LiveColumns::all(512), cpu.zeros([4, 3].into()).unwrap());
        let x = x.view().in_blocks(&live).unwrap().reshape([4, 256]).unwrap();
        let refused = cpu.dense(Activation::Linear, x, w.view(), None, y.view_mut()).unwrap_err().to_string();
        assert!(refused.contains("blocks of 512 columns"), "{refused}");
    }
}
