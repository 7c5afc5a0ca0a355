//! All steps of an LSTM, for some rows of the batch at a time.
//!
//! A step waits for the one before it, but rows of the batch do not wait for each other. So each task takes some rows
//! through all steps: threads meet once, not T times, and W, U stay packed in the caches of the core that reads them.
//!
//! ```text
//! forward    for each step t      a = [xₜ, hₜ₋₁]            [R, F + U]     side by side: one product for both
//!                                 z = a [W; U] + b          [R, 4U]
//!                                 z → i f ĉ o, cₜ, hₜ       [R, U]         while z is in the cache
//! backward   for t = T−1 … 0      i f ĉ o → dz, dc          [R, 4U]
//!                                 dhₜ₋₁ += dz Uᵀ            [R, U]
//! ```
//!
//! Equations are in [`layers`](crate::layers), those of one step in [`Backend`](crate::Backend).

use super::Cpu;
use super::cut::Cut;
use super::gemm::multiply_panels;
use super::pack::{Matrix, PackPanels, pack};
use super::parallel::{self, IN_L2, Pieces, SHARED};
use super::recurrent;
use super::tile::{self, Tail};
use crate::backend::{CellActivations, step_by_step};
use crate::error::Result;
use crate::steps::is_cut;
use crate::tensor::{View, ViewMut};
use std::ops::Range;

/// Rows of one task, unless there are too many tasks then.
const ROWS: usize = 24;
/// The most tasks.
const MAX_TASKS: usize = 64;
/// Floats of a thread's own memory that stay for a block of A.
const BLOCK: usize = IN_L2 / 2;

/// The rows of each task.
fn tasks(n: usize) -> Cut {
    Cut::new(n, n.div_ceil(ROWS).clamp(1, MAX_TASKS))
}

/// See [`Backend::lstm`](crate::Backend::lstm). `false` if nothing was done, because the weights are too large to be
/// packed whole, or the rows too few: then the steps are better products of their own.
pub(super) fn lstm(
    cpu: &Cpu,
    acts: CellActivations,
    xs: View,
    kernel: View,
    recurrent: View,
    bias: Option<View>,
    gates: ViewMut,
    c: ViewMut,
    h: ViewMut,
) -> Result<bool> {
    recurrent::check_activations("lstm", acts)?;
    let all = [gates.shape(), c.shape(), h.shape()];
    let [steps, n, u] =
        step_by_step::extents(xs.shape(), kernel.shape(), recurrent.shape(), bias.map(|b| b.shape()), all)?;
    let f = xs.shape().last();
    let (mr, nr) = tile::size(cpu.isa);
    let (k, columns) = (f + u, (4 * u).next_multiple_of(nr));
    let tasks = tasks(n);
    if k * columns > SHARED || tasks.part(0).len() * k > IN_L2 - BLOCK || tasks.part(0).len() < mr {
        return Ok(false);
    }
    let (xs, w, w_h, bias) = (xs.f32()?, kernel.f32()?, recurrent.f32()?, bias.map(View::f32).transpose()?);
    let (gates, c, h) = (Pieces::new(gates.f32()?), Pieces::new(c.f32()?), Pieces::new(h.f32()?));
    parallel::with_shared(|buffer| {
        let packed = &mut buffer[..k * columns];
        // [W; U]: panels of F + U rows, filled from the two.
        cpu.pool.run_chunks(packed, k * nr, |j, panel| {
            let (of_w, of_u) = panel.split_at_mut(f * nr);
            for (from, kc, panels) in [(w, f, of_w), (w_h, u, of_u)] {
                let (b, columns) = (Matrix::new(from, 4 * u, false).from(0, j * nr), 4 * u - j * nr);
                cpu.isa.run(PackPanels { b, columns, kc, panels });
            }
        });
        let panels = (&*packed, k);
        let tail = Tail { bias, ..Tail::PLAIN };
        cpu.pool.run(tasks.parts(), &|task| {
            let rows = tasks.part(task);
            parallel::with_own(|own| {
                let (a, own) = own.split_at_mut(rows.len() * k);
                for t in 0..steps {
                    let at =
                        |t: usize, width: usize| (t * n + rows.start) * width..(t * n + rows.end) * width;
                    // SAFETY: no other task has these rows of any step.
                    let (z, c_t, h_t) =
                        unsafe { (gates.piece(at(t, 4 * u)), c.piece(at(t, u)), h.piece(at(t, u))) };
                    // SAFETY: as above, and they are other rows than those of step t.
                    let before =
                        (t > 0).then(|| unsafe { (&*c.piece(at(t - 1, u)), &*h.piece(at(t - 1, u))) });
                    for (r, a) in a.chunks_exact_mut(k).enumerate() {
                        a[..f].copy_from_slice(&xs[at(t, f)][r * f..][..f]);
                        if let Some((_, h)) = before {
                            a[f..].copy_from_slice(&h[r * u..][..u]);
                        }
                    }
                    let used = if before.is_some() { k } else { f };
                    multiply_panels(cpu.isa, [rows.len(), 4 * u, used], (a, k), panels, z, tail, own);
                    recurrent::lstm_rows(cpu.isa, acts, u, z, before.map(|(c, _)| c), c_t, h_t);
                }
            });
        });
    });
    Ok(true)
}

/// See [`Backend::lstm_backward`](crate::Backend::lstm_backward). `false` as in [`lstm`].
pub(super) fn lstm_backward(
    cpu: &Cpu,
    acts: CellActivations,
    recurrent: View,
    truncate: Option<usize>,
    gates: ViewMut,
    c: View,
    dh: ViewMut,
    dc: ViewMut,
) -> Result<bool> {
    recurrent::check_activations("lstm_backward", acts)?;
    let [steps, n, u] =
        step_by_step::extents_backward(recurrent.shape(), gates.shape(), c.shape(), dh.shape(), dc.shape())?;
    let (mr, nr) = tile::size(cpu.isa);
    let (k, columns) = (4 * u, u.next_multiple_of(nr));
    let tasks = tasks(n);
    if k * columns > SHARED || tasks.part(0).len() < mr || truncate == Some(0) {
        return Ok(false);
    }
    let (w_h, c) = (recurrent.f32()?, c.f32()?);
    let (gates, dh, dc) = (Pieces::new(gates.f32()?), Pieces::new(dh.f32()?), Pieces::new(dc.f32()?));
    parallel::with_shared(|buffer| {
        let packed = &mut buffer[..k * columns];
        pack(cpu, Matrix::new(w_h, k, true), k, u, packed); // Uᵀ [4U, U]
        let panels = (&*packed, k);
        cpu.pool.run(tasks.parts(), &|task| {
            let rows = tasks.part(task);
            let at = |t: usize, width: usize| -> Range<usize> {
                (t * n + rows.start) * width..(t * n + rows.end) * width
            };
            // SAFETY: no other task has these rows, here and below.
            let dc = unsafe { dc.piece(at(0, u)) };
            dc.fill(0.0);
            for t in (0..steps).rev() {
                // SAFETY: as above.
                let (z, dh_t) = unsafe { (gates.piece(at(t, 4 * u)), dh.piece(at(t, u))) };
                let c_prev = (t > 0).then(|| &c[at(t - 1, u)]);
                recurrent::lstm_rows_backward(cpu.isa, acts, u, z, c_prev, &c[at(t, u)], dh_t, dc);
                if !is_cut(truncate, t) {
                    // SAFETY: as above, and they are other rows than those of step t.
                    let dh_prev = unsafe { dh.piece(at(t - 1, u)) };
                    parallel::with_own(|own| {
                        let extents = [rows.len(), u, k];
                        multiply_panels(cpu.isa, extents, (z, k), panels, dh_prev, Tail::ADD, own);
                    });
                } else {
                    dc.fill(0.0);
                }
            }
        });
    });
    Ok(true)
}
