//! The gradients of a recurrent layer's weights: two products and a sum, in one pass over dz.
//!
//! dz is the largest of the operands, [T · N, 4U] in an LSTM. A task has some of its columns, and goes down through them
//! in blocks of rows, each packed once:
//!
//! ```text
//!                 block of dz [kc, columns]     packed, in L2
//! dW[:, columns] += x of these rowsᵀ  · block
//! dU[:, columns] += h of the rows N before ᵀ · block      not for the first step
//! db[columns]    += the sum of its rows
//! ```

use super::Cpu;
use super::elementwise::SumRows;
use super::gemm::{MC, blocks_of, multiply_columns, steps_of};
use super::pack::{Matrix, PackPanels};
use super::parallel::{self, Pieces};
use super::simd::MAX_LANES;
use super::tile::{self, Tail};
use crate::backend::step_by_step::extents_of_gradients;
use crate::error::Result;
use crate::tensor::{View, ViewMut};

/// The fewest and the most panels of dz in one task. Each task reads all of x and h: where there are few threads, fewer
/// tasks are better. (Which columns a task has does not show in what they become.)
const PANELS: (usize, usize) = (4, 8);
/// The widest panel of any set.
const MAX_NR: usize = 2 * MAX_LANES;

/// See [`Backend::recurrent_gradients`](crate::Backend::recurrent_gradients). `false` if the layer is so wide that its
/// inputs or states are better packed, or so small that one pass is not worth it: nothing is done then.
pub(super) fn recurrent_gradients(
    cpu: &Cpu,
    xs: View,
    h: View,
    dz: View,
    dw: ViewMut,
    du: ViewMut,
    db: Option<ViewMut>,
) -> Result<bool> {
    let of_bias = db.as_ref().map(ViewMut::shape);
    let [steps, n, f, u, g] =
        extents_of_gradients(xs.shape(), h.shape(), dz.shape(), dw.shape(), du.shape(), of_bias)?;
    let (_, nr) = tile::size(cpu.isa);
    if f.max(u) > MC || g < 2 * PANELS.0 * nr || n == 0 {
        return Ok(false);
    }
    let (xs, h, dz) = (xs.f32()?, h.f32()?, dz.f32()?);
    let (dw, du) = (Pieces::new(dw.f32()?), Pieces::new(du.f32()?));
    let db = db.map(ViewMut::f32).transpose()?.map(Pieces::new);
    let per_task = g.div_ceil(nr).div_ceil(2 * cpu.pool.threads()).clamp(PANELS.0, PANELS.1) * nr;
    cpu.pool.run(g.div_ceil(per_task), &|task| {
        let columns = task * per_task..g.min((task + 1) * per_task);
        // SAFETY: tasks have different columns.
        let mut db = db.as_ref().map(|db| unsafe { db.piece(columns.clone()) });
        if let Some(db) = &mut db {
            db.fill(0.0);
        }
        if steps == 1 {
            // SAFETY: as above.
            (0..u).for_each(|i| unsafe { du.piece(i * g + columns.start..i * g + columns.end) }.fill(0.0));
        }
        // The first step, which has no state before it, and then the others.
        for (first, last) in [(0, n), (n, steps * n)].into_iter().take(steps) {
            let blocks = blocks_of(last - first);
            for i in 0..blocks.parts() {
                let rows = steps_of(blocks, last - first, i);
                let (row, kc) = (first + rows.start, rows.len());
                let count = columns.len().div_ceil(nr);
                parallel::with_own(|own| {
                    let panels = &mut own[..count * kc * nr];
                    let b = Matrix::new(dz, g, false).from(row, columns.start);
                    cpu.isa.run(PackPanels { b, columns: columns.len(), kc, panels });
                    let multiply = |m, a: &[f32], c: &Pieces<f32>, is_first| {
                        let tail = if is_first { Tail::PLAIN } else { Tail::ADD };
                        let a = Matrix::new(a, m, true);
                        // SAFETY: as above.
                        unsafe {
                            multiply_columns(
                                cpu.isa,
                                [m, kc],
                                a,
                                (panels, kc),
                                (c, g),
                                columns.clone(),
                                tail,
                                &mut [],
                            )
                        };
                    };
                    multiply(f, &xs[row * f..], &dw, row == 0);
                    if first > 0 {
                        multiply(u, &h[(row - n) * u..], &du, row == n);
                    }
                    if let Some(db) = &mut db {
                        for (x, db) in panels.chunks_exact(kc * nr).zip(db.chunks_mut(nr)) {
                            let mut sums = [0.0; MAX_NR];
                            let y = &mut sums[..db.len()];
                            cpu.isa.run(SumRows { x, cols: nr, columns: 0..db.len(), y });
                            db.iter_mut().zip(sums).for_each(|(db, sum)| *db += sum);
                        }
                    }
                });
            }
        }
    });
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Backend;
    use crate::cpu::Isa;
    use crate::cpu::random;
    use crate::rng::Rng;
    use crate::tensor::Tensor;

    /// However many panels a task has, the bits are the same.
    #[test]
    fn threads_do_not_show() {
        for isa in Isa::available() {
            let mut seen: Option<Vec<u32>> = None;
            for threads in [1, 2, 5] {
                let cpu = Cpu::new(Some(threads), Some(isa)).unwrap();
                let mut rng = Rng::new(6, 0);
                let [steps, n, f, u, g] = [3, 150, 20, 70, 1000];
                let [xs, h, dz] = [f, u, g].map(|width| random(&mut rng, [steps, n, width]));
                let [mut dw, mut du, mut db] =
                    [[f, g], [u, g], [1, g]].map(|shape| cpu.zeros(shape.into()).unwrap());
                let (dw_mut, du_mut, db_mut) = (dw.view_mut(), du.view_mut(), Some(db.view_mut()));
                let (x, h, dz) = (xs.view(), h.view(), dz.view());
                let one_pass = super::recurrent_gradients(&cpu, x, h, dz, dw_mut, du_mut, db_mut).unwrap();
                assert!(one_pass, "nothing was computed");
                let bits: Vec<u32> = [dw, du, db].iter().flat_map(Tensor::to_vec).map(f32::to_bits).collect();
                assert!(*seen.get_or_insert_with(|| bits.clone()) == bits, "{isa}, {threads} threads");
            }
        }
    }
}
