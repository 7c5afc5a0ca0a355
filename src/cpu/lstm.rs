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
use super::gemm::{Cut, Matrix, pack};
use super::parallel::{self, OWN, Pieces, SHARED};
use super::recurrent;
use super::simd::Isa;
use super::tile::{self, Tail, Tile, Walk};
use crate::backend::CellActivations;
use crate::error::{Result, check};
use crate::steps::is_cut;
use crate::tensor::{View, ViewMut};
use std::ops::Range;

/// Rows of one task, unless there are too many tasks then.
const ROWS: usize = 24;
/// The most tasks.
const MAX_TASKS: usize = 64;
/// Steps along k of one block of a product, as in [`gemm`](super::gemm).
const KC: usize = 256;

/// The rows of each task.
fn tasks(n: usize) -> Cut {
    Cut::new(n, n.div_ceil(ROWS).clamp(1, MAX_TASKS))
}

/// B [k, n] in panels, one behind the other.
#[derive(Clone, Copy)]
struct Panels<'a> {
    isa: Isa,
    packed: &'a [f32],
    k: usize,
    n: usize,
}

impl Panels<'_> {
    /// C = tail(A B), with the first `k` rows of B. A has `rows` rows of k numbers, `a_row` apart, C as many of n, side
    /// by side.
    fn multiply(&self, rows: usize, k: usize, a: &[f32], a_row: usize, c: &mut [f32], tail: Tail) {
        let (mr, nr) = tile::size(self.isa);
        assert!(k <= self.k && c.len() == rows * self.n && a.len() + a_row >= rows * a_row + k);
        let (blocks, slivers) = (Cut::at_most(k, KC), Cut::at_most(rows, mr));
        for j in 0..self.n.div_ceil(nr) {
            for (i, block) in (0..blocks.parts()).map(|i| (i, blocks.part(i))) {
                let (walk, tail) = (Walk::matrix(a_row, 1, block.len()), tail.of_block(i, blocks.parts()));
                for rows in (0..slivers.parts()).map(|i| slivers.part(i)) {
                    let t = Tile {
                        a: a[rows.start * a_row + block.start..].as_ptr(),
                        b: self.packed[(j * self.k + block.start) * nr..].as_ptr(),
                        b_row: nr,
                        c: c[rows.start * self.n + j * nr..].as_mut_ptr(),
                        c_row: self.n,
                        rows: rows.len(),
                        columns: nr.min(self.n - j * nr),
                        column: j * nr,
                    };
                    // SAFETY: A, the panel and C have these rows and columns, as asserted, and C is borrowed here alone.
                    unsafe { tile::compute(self.isa, &t, &walk, &tail) };
                }
            }
        }
    }
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
    let op = "lstm";
    recurrent::check_activations(op, acts)?;
    let &[steps, n, u] = h.shape().dims() else {
        return check(op, false, &[("h", h.shape())]).map(|()| false);
    };
    let f = xs.shape().last();
    let fit = xs.len() == steps * n * f
        && gates.len() == 4 * h.len()
        && c.len() == h.len()
        && kernel.len() == f * 4 * u
        && recurrent.len() == u * 4 * u
        && bias.is_none_or(|b| b.len() == 4 * u);
    let shapes = [("xs", xs.shape()), ("kernel", kernel.shape()), ("gates", gates.shape()), ("h", h.shape())];
    check(op, fit, &shapes)?;
    let (mr, nr) = tile::size(cpu.isa);
    let (k, columns) = (f + u, (4 * u).next_multiple_of(nr));
    let tasks = tasks(n);
    if k * columns > SHARED || tasks.part(0).len() * k > OWN || tasks.part(0).len() < mr {
        return Ok(false);
    }
    let (xs, w, w_h, bias) = (xs.f32()?, kernel.f32()?, recurrent.f32()?, bias.map(View::f32).transpose()?);
    let (gates, c, h) = (Pieces::new(gates.f32()?), Pieces::new(c.f32()?), Pieces::new(h.f32()?));
    parallel::with_shared(|buffer| {
        let packed = &mut buffer[..k * columns];
        // [W; U]: panels of F + U rows, filled from the two.
        cpu.pool.run_chunks(packed, k * nr, |j, panel| {
            let (of_w, of_u) = panel.split_at_mut(f * nr);
            let columns = nr.min(4 * u - j * nr);
            for (from, rows) in [(w, of_w), (w_h, of_u)] {
                pack_rows(from, 4 * u, j * nr, columns, nr, rows);
            }
        });
        let panels = Panels { isa: cpu.isa, packed, k, n: 4 * u };
        let tail = Tail { bias, ..Tail::PLAIN };
        cpu.pool.run(tasks.parts(), &|task| {
            let rows = tasks.part(task);
            parallel::with_own(|own| {
                let a = &mut own[..rows.len() * k];
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
                    panels.multiply(rows.len(), used, a, k, z, tail);
                    recurrent::lstm_rows(cpu.isa, acts, u, z, before.map(|(c, _)| c), c_t, h_t);
                }
            });
        });
    });
    Ok(true)
}

/// Some columns of some rows, each filled up with zeros to `nr`.
fn pack_rows(from: &[f32], row: usize, column: usize, columns: usize, nr: usize, to: &mut [f32]) {
    for (p, to) in to.chunks_exact_mut(nr).enumerate() {
        to[..columns].copy_from_slice(&from[p * row + column..][..columns]);
        to[columns..].fill(0.0);
    }
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
    let op = "lstm_backward";
    recurrent::check_activations(op, acts)?;
    let &[steps, n, u] = dh.shape().dims() else {
        return check(op, false, &[("dh", dh.shape())]).map(|()| false);
    };
    let fit = gates.len() == 4 * dh.len()
        && c.len() == dh.len()
        && recurrent.len() == u * 4 * u
        && dc.len() == n * u;
    let shapes =
        [("recurrent", recurrent.shape()), ("gates", gates.shape()), ("dh", dh.shape()), ("dc", dc.shape())];
    check(op, fit, &shapes)?;
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
        pack(cpu, Matrix::new(w_h, k, true), k, 0..u, packed); // Uᵀ [4U, U]
        let panels = Panels { isa: cpu.isa, packed, k, n: u };
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
                    panels.multiply(rows.len(), k, z, k, dh_prev, Tail::ADD);
                } else {
                    dc.fill(0.0);
                }
            }
        });
    });
    Ok(true)
}
