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

use super::Cpu;
use super::cut::{Cut, share};
use super::gemm::{blocks_of, steps_of};
use super::parallel::{Pieces, rows_per_task};
use super::simd::{Kernel, Simd};
use crate::backend::HostRows;
use crate::error::Result;
use crate::tensor::ViewMut;
use std::ops::Range;

/// Rows ahead of the one that is converted whose memory is asked for: a batch's rows lie anywhere, and the first byte of
/// each takes longer to come than all the others.
const AHEAD: usize = 6;
/// A number that comes from anywhere in memory costs as much as so many simple operations.
const GATHER: usize = 4;
/// The most samples of one task of a batch in blocks.
const ROWS: usize = 128;

pub(super) fn load_rows(cpu: &Cpu, rows: HostRows, order: &[u32], y: ViewMut) -> Result<()> {
    let (width, n) = (rows.width(order, y.shape())?, order.len());
    if width == 0 {
        return Ok(());
    }
    let (y, per_task) = (Pieces::new(y.f32()?), rows_per_task(n, width * GATHER));
    cpu.pool.run(n.div_ceil(per_task), &|task| {
        let range = task * per_task..n.min((task + 1) * per_task);
        cpu.isa.run(Gather { rows, width, order, range, columns: |_| 0..width, some: 0..1, y: &y });
    });
    Ok(())
}

pub(super) fn load_blocks(cpu: &Cpu, rows: HostRows, order: &[u32], y: ViewMut) -> Result<()> {
    let (width, n) = (rows.width(order, y.shape())?, order.len());
    if width == 0 {
        return Ok(());
    }
    let (y, blocks, slices) = (Pieces::new(y.f32()?), blocks_of(width), Cut::at_most(n, ROWS));
    // Half of the blocks to a task: what one thread has of each sample lies together in the data set.
    cpu.pool.run(2 * slices.parts(), &|task| {
        let (half, range) = (task / slices.parts(), slices.part(task % slices.parts()));
        let some = share(blocks.parts(), 1, 2, half);
        cpu.isa.run(Gather {
            rows,
            width,
            order,
            range,
            columns: |i| steps_of(blocks, width, i),
            some,
            y: &y,
        });
    });
    Ok(())
}

/// Some blocks of columns of some samples of a batch.
struct Gather<'a, F> {
    rows: HostRows<'a>,
    width: usize,
    /// The batch.
    order: &'a [u32],
    /// The samples.
    range: Range<usize>,
    /// The columns of a block.
    columns: F,
    /// The blocks.
    some: Range<usize>,
    y: &'a Pieces<'a, f32>,
}

impl<F: Fn(usize) -> Range<usize>> Kernel for Gather<'_, F> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Gather { rows, width, order, range, columns, some, y } = self;
        if some.is_empty() {
            return;
        }
        let (first, len) = (columns(some.start).start, columns(some.end - 1).end - columns(some.start).start);
        let ask = |row: u32| ask(s, rows, row as usize * width + first, len);
        order[range.clone()].iter().take(AHEAD).for_each(|&row| ask(row));
        for i in range.clone() {
            if let Some(&next) = order[..range.end].get(i + AHEAD) {
                ask(next);
            }
            for columns in some.clone().map(&columns) {
                let (at, len) = (order[i] as usize * width + columns.start, columns.len());
                let to = order.len() * columns.start + i * len;
                // SAFETY: tasks have different samples or blocks.
                let y = unsafe { y.piece(to..to + len) };
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
    use crate::tensor::Tensor;

    fn bits(t: &Tensor) -> Vec<u32> {
        t.to_vec().into_iter().map(f32::to_bits).collect()
    }

    /// Samples in an order that repeats some and skips others, as bytes and as reals: every number of the batch is where
    /// its block has it.
    #[test]
    fn blocks_hold_the_rows() {
        let mut rng = Rng::new(4, 0);
        let cpu = Cpu::new(Some(2), None).unwrap();
        for (n, width) in [(1, 512), (5, 600), (130, 513), (32, 784), (257, 1600)] {
            let bytes: Vec<u8> = (0..7 * width).map(|_| rng.below(256) as u8).collect();
            let reals: Vec<f32> = bytes.iter().map(|&b| f32::from(b) * 0.25).collect();
            let order: Vec<u32> = (0..n).map(|_| rng.below(7) as u32).collect();
            for rows in [HostRows::U8 { bytes: &bytes, scale: 0.25 }, HostRows::F32(&reals)] {
                let mut y = cpu.zeros([n, width].into()).unwrap();
                let mut z = cpu.zeros([n, width].into()).unwrap();
                cpu.load_rows(rows, &order, y.view_mut()).unwrap();
                cpu.load_blocks(rows, &order, z.view_mut()).unwrap();
                let (y, mut z) = (y.to_vec(), &z.to_vec()[..]);
                let want: Vec<f32> =
                    order.iter().flat_map(|&r| &reals[r as usize * width..][..width]).copied().collect();
                assert!(y == want, "{n} × {width} in rows");
                let blocks = blocks_of(width);
                for columns in (0..blocks.parts()).map(|i| steps_of(blocks, width, i)) {
                    for row in want.chunks_exact(width) {
                        let (here, rest) = z.split_at(columns.len());
                        assert!(here == &row[columns.clone()], "{n} × {width}: columns {columns:?}");
                        z = rest;
                    }
                }
                assert!(z.is_empty());
            }
            let rows = HostRows::F32(&reals);
            let mut y = cpu.zeros([n, width].into()).unwrap();
            assert!(cpu.load_blocks(rows, &vec![7; n], y.view_mut()).is_err(), "there are 7 samples");
        }
    }

    /// A product of a batch in blocks has the bits of the one in rows: forward and backward, where k is cut and where C
    /// is, on every set, however many threads.
    #[test]
    fn products_do_not_see_blocks() {
        let mut rng = Rng::new(5, 0);
        for isa in Isa::available() {
            for ([n, width, units], threads) in
                [[32, 784, 100], [128, 784, 64], [1, 784, 3], [16, 513, 64], [130, 600, 130], [300, 1600, 10]]
                    .into_iter()
                    .flat_map(|size| [1, 2, 5].map(|threads| (size, threads)))
            {
                let cpu = Cpu::new(Some(threads), Some(isa)).unwrap();
                assert!(cpu.has_blocks(width));
                let (x, w, b) = (
                    random(&mut rng, [n, width]),
                    random(&mut rng, [width, units]),
                    random(&mut rng, [1, units]),
                );
                let order: Vec<u32> = (0..n as u32).collect();
                let mut in_blocks = cpu.zeros(x.shape()).unwrap();
                cpu.load_blocks(HostRows::F32(&x.to_vec()), &order, in_blocks.view_mut()).unwrap();
                let dz = random(&mut rng, [n, units]);
                let [rows, blocks] = [x.view(), in_blocks.view().in_blocks().unwrap()].map(|x| {
                    let (mut y, mut dw) =
                        (cpu.zeros([n, units].into()).unwrap(), cpu.zeros([width, units].into()).unwrap());
                    cpu.dense(Activation::Relu, x, w.view(), Some(b.view()), y.view_mut()).unwrap();
                    cpu.gemm(Gemm::tn(), x, dz.view(), dw.view_mut()).unwrap();
                    (bits(&y), bits(&dw))
                });
                assert!(rows.0 == blocks.0, "{isa}, {threads} threads: y of {n} × {width} × {units}");
                assert!(rows.1 == blocks.1, "{isa}, {threads} threads: dW of {n} × {width} × {units}");
            }
        }
    }
}
