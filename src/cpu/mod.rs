//! The processor: SIMD and threads, in f32.
//!
//! | file | ops |
//! |---|---|
//! | gather | load_rows, load_blocks |
//! | elementwise | fill, copy, scale, add_scaled, interpolate, multiply, clamp, swap_axes, copy_columns, add_bias, sum_rows |
//! | gemm | gemm, dense, dense_backward_input |
//! | activation | activate, activation_backward |
//! | conv | im2col, col2im, conv_scratch, conv |
//! | conv_backward | conv_backward_kernel, conv_pool_backward, conv_backward_input |
//! | winograd | conv_in_tiles; the same three ops for windows of 3×3 |
//! | pool | max_pool, max_pool_backward, average_pool, average_pool_backward |
//! | normalize | moments, normalize, normalize_backward |
//! | recurrent | lstm_step, lstm_step_backward, gru_step, gru_step_backward |
//! | lstm | lstm, lstm_backward |
//! | recurrent_gradients | recurrent_gradients |
//! | dropout | dropout |
//! | loss | loss, loss_backward, loss_step |
//! | score | score, count_classes, count_pairs, accumulate, accumulate_squares |
//! | update | update, limit_norm |
//!
//! Beneath them: `simd` (instruction sets), `math` (exp, ln and their kin), `formula` (loops over registers), `parallel`
//! (threads), `tile` and `pack` (what products are made of), `targets` (what predictions are compared with).
//!
//! Beside them, to measure with: `caches` (what processor this is), `floor` (how fast it can be at best), `ladder`
//! (the matrix product from the definition to `gemm`, one idea at a time).
#![allow(unsafe_code)]

mod activation;
mod caches;
mod conv;
mod conv_backward;
mod cut;
mod dropout;
mod elementwise;
mod floor;
mod formula;
mod gather;
mod gemm;
mod ladder;
mod loss;
mod lstm;
mod math;
mod normalize;
mod pack;
mod parallel;
mod pool;
mod recurrent;
mod recurrent_gradients;
mod score;
mod simd;
mod targets;
mod tile;
mod update;
mod winograd;

use crate::activations::Activation;
use crate::backend::step_by_step;
use crate::backend::*;
use crate::error::Result;
use crate::losses::Loss;
use crate::metrics::Score;
use crate::optimizers::Update;
use crate::rng::Noise;
use crate::shape::Shape;
use crate::tensor::{Indices, Tensor, View, ViewMut};
use crate::window::Window;
pub use caches::{Caches, caches, processor};
pub use floor::{Floor, Level, handoff};
pub use ladder::{Rung, matrixmultiply};
use parallel::Pool;
pub use simd::Isa;

/// The processor as a device.
pub struct Cpu {
    isa: Isa,
    pool: Pool,
}

impl Cpu {
    /// With `threads` threads (one a core if `None`) and instruction set `isa` (the best there is, or what
    /// `HANDGRAD_ISA` says, if `None`).
    ///
    /// # Errors
    /// No thread at all, or an instruction set that this processor lacks.
    pub fn new(threads: Option<usize>, isa: Option<Isa>) -> Result<Cpu> {
        Ok(Cpu { isa: Isa::choose(isa)?, pool: Pool::new(threads)? })
    }
}

impl Backend for Cpu {
    fn name(&self) -> &str {
        "cpu"
    }

    fn describe(&self) -> String {
        let threads = self.threads();
        format!("{}, {threads} thread{}", self.arithmetic(), if threads == 1 { "" } else { "s" })
    }

    fn arithmetic(&self) -> String {
        format!("cpu: f32, {}", self.isa)
    }

    fn threads(&self) -> usize {
        self.pool.threads()
    }

    fn zeros(&self, shape: Shape) -> Result<Tensor> {
        Ok(Tensor::zeros_f32(shape))
    }

    fn indices(&self, shape: Shape) -> Result<Indices> {
        Ok(Indices::zeros_host(shape))
    }

    fn has_blocks(&self, width: usize) -> bool {
        width >= gemm::WIDE
    }

    fn load_blocks(&self, rows: HostRows, order: &[u32], y: ViewMut, live: &mut LiveColumns) -> Result<()> {
        gather::load_blocks(self, rows, order, y, live)
    }

    fn load_rows(&self, rows: HostRows, order: &[u32], y: ViewMut) -> Result<()> {
        gather::load_rows(self, rows, order, y)
    }

    fn fill(&self, value: f64, y: ViewMut) -> Result<()> {
        elementwise::fill(self, value, y)
    }

    fn copy(&self, x: View, y: ViewMut) -> Result<()> {
        elementwise::copy(self, x, y)
    }

    fn scale(&self, a: f64, y: ViewMut) -> Result<()> {
        elementwise::scale(self, a, y)
    }

    fn add_scaled(&self, a: f64, x: View, y: ViewMut) -> Result<()> {
        elementwise::add_scaled(self, a, x, y)
    }

    fn interpolate(&self, a: f64, x: View, y: ViewMut) -> Result<()> {
        elementwise::interpolate(self, a, x, y)
    }

    fn multiply(&self, x: View, y: ViewMut) -> Result<()> {
        elementwise::multiply(self, x, y)
    }

    fn clamp(&self, low: f64, high: f64, y: ViewMut) -> Result<()> {
        elementwise::clamp(self, low, high, y)
    }

    fn swap_axes(&self, x: View, y: ViewMut) -> Result<()> {
        elementwise::swap_axes(self, x, y)
    }

    fn copy_columns(&self, x: View, from: usize, y: ViewMut, to: usize, width: usize) -> Result<()> {
        elementwise::copy_columns(self, x, from, y, to, width)
    }

    fn gemm(&self, g: Gemm, a: View, b: View, c: ViewMut) -> Result<()> {
        gemm::gemm(self, g, a, b, c)
    }

    fn add_bias(&self, b: View, y: ViewMut) -> Result<()> {
        elementwise::add_bias(self, b, y)
    }

    fn sum_rows(&self, x: View, y: ViewMut) -> Result<()> {
        elementwise::sum_rows(self, x, y)
    }

    fn activate(&self, f: Activation, y: ViewMut) -> Result<()> {
        activation::activate(self, f, y)
    }

    fn activation_backward(&self, f: Activation, x: Option<View>, y: View, dy: ViewMut) -> Result<()> {
        activation::activation_backward(self, f, x, y, dy)
    }

    fn dense(&self, f: Activation, x: View, w: View, b: Option<View>, y: ViewMut) -> Result<()> {
        gemm::dense(self, f, x, w, b, y)
    }

    fn dense_backward_input(&self, f: Activation, dz: View, w: View, x: View, dx: ViewMut) -> Result<()> {
        gemm::dense_backward_input(self, f, dz, w, x, dx)
    }

    fn im2col(&self, w: &Window, x: View, cols: ViewMut) -> Result<()> {
        conv::im2col(self, w, x, cols)
    }

    fn col2im(&self, w: &Window, dcols: View, dx: ViewMut) -> Result<()> {
        conv::col2im(self, w, dcols, dx)
    }

    fn conv_scratch(&self, w: &Window, filters: usize, n: usize) -> usize {
        conv::conv_scratch(w, filters, n)
    }

    fn conv_in_tiles(&self, w: &Window, filters: usize) -> bool {
        winograd::fits(w, filters)
    }

    fn conv(
        &self,
        w: &Window,
        f: Activation,
        x: View,
        kernel: View,
        b: Option<View>,
        scratch: ViewMut,
        y: ViewMut,
    ) -> Result<()> {
        conv::conv(self, w, f, x, kernel, b, scratch, y)
    }

    fn conv_backward_kernel(
        &self,
        w: &Window,
        x: View,
        dz: View,
        scratch: ViewMut,
        dk: ViewMut,
    ) -> Result<()> {
        conv_backward::conv_backward_kernel(self, w, x, dz, scratch, dk)
    }

    fn conv_pool_backward(
        &self,
        w: &Window,
        pool: &Window,
        x: View,
        pooled: [View; 3],
        scratch: ViewMut,
        dz: ViewMut,
        dk: ViewMut,
        db: Option<ViewMut>,
    ) -> Result<()> {
        conv_backward::conv_pool_backward(self, w, pool, x, pooled, scratch, dz, dk, db)
    }

    fn conv_backward_input(
        &self,
        w: &Window,
        dz: View,
        kernel: View,
        scratch: ViewMut,
        dx: ViewMut,
    ) -> Result<()> {
        conv_backward::conv_backward_input(self, w, dz, kernel, scratch, dx)
    }

    fn max_pool(&self, w: &Window, x: View, y: ViewMut) -> Result<()> {
        pool::max_pool(self, w, x, y)
    }

    fn max_pool_backward(&self, w: &Window, x: View, y: View, dy: View, dx: ViewMut) -> Result<()> {
        pool::max_pool_backward(self, w, x, y, dy, dx)
    }

    fn average_pool(&self, w: &Window, x: View, y: ViewMut) -> Result<()> {
        pool::average_pool(self, w, x, y)
    }

    fn average_pool_backward(&self, w: &Window, dy: View, dx: ViewMut) -> Result<()> {
        pool::average_pool_backward(self, w, dy, dx)
    }

    fn moments(&self, x: View, mean: ViewMut, variance: ViewMut) -> Result<()> {
        normalize::moments(self, x, mean, variance)
    }

    fn normalize(&self, a: &Affine, x: View, y: ViewMut) -> Result<()> {
        normalize::normalize(self, a, x, y)
    }

    fn normalize_backward(
        &self,
        a: &Affine,
        x: View,
        dy: View,
        dgamma: ViewMut,
        dbeta: ViewMut,
        dx: Option<ViewMut>,
    ) -> Result<()> {
        normalize::normalize_backward(self, a, x, dy, dgamma, dbeta, dx)
    }

    fn lstm_step(
        &self,
        acts: CellActivations,
        gates: ViewMut,
        c_prev: Option<View>,
        c: ViewMut,
        h: ViewMut,
    ) -> Result<()> {
        recurrent::lstm_step(self, acts, gates, c_prev, c, h)
    }

    fn lstm_step_backward(
        &self,
        acts: CellActivations,
        gates: ViewMut,
        c_prev: Option<View>,
        c: View,
        dh: View,
        dc: ViewMut,
    ) -> Result<()> {
        recurrent::lstm_step_backward(self, acts, gates, c_prev, c, dh, dc)
    }

    fn lstm(
        &self,
        acts: CellActivations,
        xs: View,
        kernel: View,
        recurrent: View,
        bias: Option<View>,
        mut gates: ViewMut,
        mut c: ViewMut,
        mut h: ViewMut,
    ) -> Result<()> {
        let (z, cells, states) = (gates.reborrow(), c.reborrow(), h.reborrow());
        match lstm::lstm(self, acts, xs, kernel, recurrent, bias, z, cells, states)? {
            true => Ok(()),
            false => step_by_step::lstm(self, acts, xs, kernel, recurrent, bias, gates, c, h),
        }
    }

    fn lstm_backward(
        &self,
        acts: CellActivations,
        recurrent: View,
        truncate: Option<usize>,
        mut gates: ViewMut,
        c: View,
        mut dh: ViewMut,
        mut dc: ViewMut,
    ) -> Result<()> {
        let (z, d, cells) = (gates.reborrow(), dh.reborrow(), dc.reborrow());
        match lstm::lstm_backward(self, acts, recurrent, truncate, z, c, d, cells)? {
            true => Ok(()),
            false => step_by_step::lstm_backward(self, acts, recurrent, truncate, gates, c, dh, dc),
        }
    }

    fn recurrent_gradients(
        &self,
        xs: View,
        h: View,
        dz: View,
        mut dw: ViewMut,
        mut du: ViewMut,
        mut db: Option<ViewMut>,
    ) -> Result<()> {
        let bias = db.as_mut().map(ViewMut::reborrow);
        match recurrent_gradients::recurrent_gradients(self, xs, h, dz, dw.reborrow(), du.reborrow(), bias)? {
            true => Ok(()),
            false => step_by_step::recurrent_gradients(self, xs, h, dz, dw, du, db),
        }
    }

    fn gru_step(
        &self,
        acts: CellActivations,
        gates: ViewMut,
        recurrent: View,
        h_prev: Option<View>,
        h: ViewMut,
    ) -> Result<()> {
        recurrent::gru_step(self, acts, gates, recurrent, h_prev, h)
    }

    fn gru_step_backward(
        &self,
        acts: CellActivations,
        gates: ViewMut,
        recurrent: ViewMut,
        h_prev: Option<View>,
        dh: ViewMut,
    ) -> Result<()> {
        recurrent::gru_step_backward(self, acts, gates, recurrent, h_prev, dh)
    }

    fn dropout(&self, rate: f64, noise: Noise, x: View, y: ViewMut) -> Result<()> {
        dropout::dropout(self, rate, noise, x, y)
    }

    fn loss(&self, loss: Loss, prediction: View, target: Target, rows: ViewMut) -> Result<()> {
        loss::loss(self, loss, prediction, target, rows)
    }

    fn loss_backward(&self, term: &LossTerm, prediction: View, d: ViewMut) -> Result<()> {
        loss::loss_backward(self, term, prediction, d)
    }

    fn loss_step(&self, term: &LossTerm, z: View, y: ViewMut, rows: ViewMut, dz: ViewMut) -> Result<()> {
        loss::loss_step(self, term, z, y, rows, dz)
    }

    fn score(&self, score: Score, prediction: View, target: Target, rows: ViewMut) -> Result<()> {
        score::score(self, score, prediction, target, rows)
    }

    fn count_classes(
        &self,
        threshold: Option<f64>,
        prediction: View,
        target: Target,
        counts: ViewMut,
    ) -> Result<()> {
        score::count_classes(self, threshold, prediction, target, counts)
    }

    fn count_pairs(&self, prediction: View, target: Target, counts: ViewMut) -> Result<()> {
        score::count_pairs(self, prediction, target, counts)
    }

    fn accumulate(&self, x: View, weights: Option<View>, acc: ViewMut) -> Result<()> {
        score::accumulate(self, x, weights, acc)
    }

    fn update(&self, rule: &Update, value: ViewMut, grad: View, slots: &mut [Tensor]) -> Result<()> {
        update::update(self, rule, value, grad, slots)
    }

    fn accumulate_squares(&self, x: View, acc: ViewMut) -> Result<()> {
        score::accumulate_squares(self, x, acc)
    }

    fn limit_norm(&self, limit: f64, acc: View, y: ViewMut) -> Result<()> {
        update::limit_norm(self, limit, acc, y)
    }
}

/// Uniform numbers in [−1, 1).
#[cfg(test)]
fn random(rng: &mut crate::rng::Rng, shape: impl Into<Shape>) -> Tensor {
    let mut t = Tensor::zeros_f32(shape.into());
    let values: Vec<f32> = (0..t.shape().len()).map(|_| (rng.uniform() * 2.0 - 1.0) as f32).collect();
    t.view_mut().write_f32(&values).unwrap();
    t
}
