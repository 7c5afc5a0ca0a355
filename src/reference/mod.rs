//! The op table in textbook loops, f64, one thread: the oracle that every other device is measured against.
//!
//! Each op is written as close to its equation in [`backend`](crate::backend) as it will go, so that it can be
//! checked by reading. Fused ops keep their default bodies: here the definition is the implementation.
//!
//! | file | ops |
//! |---|---|
//! | elementwise | load_rows, fill, copy, scale, add_scaled, interpolate, multiply, clamp, swap_axes, copy_columns, add_bias, sum_rows, dropout |
//! | gemm | gemm |
//! | activation | activate, activation_backward |
//! | conv | im2col, col2im, max_pool, average_pool and their backwards |
//! | normalize | moments, normalize, normalize_backward |
//! | recurrent | lstm_step, gru_step and their backwards |
//! | loss | loss, loss_backward |
//! | score | score, count_classes, count_pairs, accumulate, accumulate_squares |
//! | update | update, limit_norm |
//! | erf | the error function, for gelu |
#![allow(clippy::needless_range_loop)] // indices, as in the equations

mod activation;
mod conv;
mod elementwise;
pub(crate) mod erf;
mod gemm;
mod loss;
mod normalize;
mod recurrent;
mod score;
mod update;

use crate::activations::Activation;
use crate::backend::*;
use crate::error::{Result, check};
use crate::losses::Loss;
use crate::metrics::Score;
use crate::optimizers::Update;
use crate::rng::Noise;
use crate::shape::Shape;
use crate::tensor::{Indices, Tensor, View, ViewMut};
use crate::window::Window;

/// The reference device.
pub(crate) struct Reference;

impl Backend for Reference {
    fn name(&self) -> &str {
        "reference"
    }

    fn describe(&self) -> String {
        "reference: textbook loops in f64, one thread".into()
    }

    fn zeros(&self, shape: Shape) -> Result<Tensor> {
        Ok(Tensor::zeros_f64(shape))
    }

    fn indices(&self, shape: Shape) -> Result<Indices> {
        Ok(Indices::zeros_host(shape))
    }

    fn load_rows(&self, rows: HostRows, order: &[u32], y: ViewMut) -> Result<()> {
        elementwise::load_rows(rows, order, y)
    }

    fn fill(&self, value: f64, y: ViewMut) -> Result<()> {
        elementwise::fill(value, y)
    }

    fn copy(&self, x: View, y: ViewMut) -> Result<()> {
        elementwise::copy(x, y)
    }

    fn scale(&self, a: f64, y: ViewMut) -> Result<()> {
        elementwise::scale(a, y)
    }

    fn add_scaled(&self, a: f64, x: View, y: ViewMut) -> Result<()> {
        elementwise::add_scaled(a, x, y)
    }

    fn interpolate(&self, a: f64, x: View, y: ViewMut) -> Result<()> {
        elementwise::interpolate(a, x, y)
    }

    fn multiply(&self, x: View, y: ViewMut) -> Result<()> {
        elementwise::multiply(x, y)
    }

    fn clamp(&self, low: f64, high: f64, y: ViewMut) -> Result<()> {
        elementwise::clamp(low, high, y)
    }

    fn swap_axes(&self, x: View, y: ViewMut) -> Result<()> {
        elementwise::swap_axes(x, y)
    }

    fn copy_columns(&self, x: View, from: usize, y: ViewMut, to: usize, width: usize) -> Result<()> {
        elementwise::copy_columns(x, from, y, to, width)
    }

    fn gemm(&self, g: Gemm, a: View, b: View, c: ViewMut) -> Result<()> {
        gemm::gemm(g, a, b, c)
    }

    fn add_bias(&self, b: View, y: ViewMut) -> Result<()> {
        elementwise::add_bias(b, y)
    }

    fn sum_rows(&self, x: View, y: ViewMut) -> Result<()> {
        elementwise::sum_rows(x, y)
    }

    fn activate(&self, f: Activation, y: ViewMut) -> Result<()> {
        activation::activate(f, y)
    }

    fn activation_backward(&self, f: Activation, x: Option<View>, y: View, dy: ViewMut) -> Result<()> {
        activation::activation_backward(f, x, y, dy)
    }

    fn im2col(&self, w: &Window, x: View, cols: ViewMut) -> Result<()> {
        conv::im2col(w, x, cols)
    }

    fn col2im(&self, w: &Window, dcols: View, dx: ViewMut) -> Result<()> {
        conv::col2im(w, dcols, dx)
    }

    fn max_pool(&self, w: &Window, x: View, y: ViewMut) -> Result<()> {
        conv::max_pool(w, x, y)
    }

    fn max_pool_backward(&self, w: &Window, x: View, y: View, dy: View, dx: ViewMut) -> Result<()> {
        conv::max_pool_backward(w, x, y, dy, dx)
    }

    fn average_pool(&self, w: &Window, x: View, y: ViewMut) -> Result<()> {
        conv::average_pool(w, x, y)
    }

    fn average_pool_backward(&self, w: &Window, dy: View, dx: ViewMut) -> Result<()> {
        conv::average_pool_backward(w, dy, dx)
    }

    fn moments(&self, x: View, mean: ViewMut, variance: ViewMut) -> Result<()> {
        normalize::moments(x, mean, variance)
    }

    fn normalize(&self, a: &Affine, x: View, y: ViewMut) -> Result<()> {
        normalize::normalize(a, x, y)
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
        normalize::normalize_backward(a, x, dy, dgamma, dbeta, dx)
    }

    fn lstm_step(
        &self,
        acts: CellActivations,
        gates: ViewMut,
        c_prev: Option<View>,
        c: ViewMut,
        h: ViewMut,
    ) -> Result<()> {
        recurrent::lstm_step(acts, gates, c_prev, c, h)
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
        recurrent::lstm_step_backward(acts, gates, c_prev, c, dh, dc)
    }

    fn gru_step(
        &self,
        acts: CellActivations,
        gates: ViewMut,
        recurrent: View,
        h_prev: Option<View>,
        h: ViewMut,
    ) -> Result<()> {
        recurrent::gru_step(acts, gates, recurrent, h_prev, h)
    }

    fn gru_step_backward(
        &self,
        acts: CellActivations,
        gates: ViewMut,
        recurrent: ViewMut,
        h_prev: Option<View>,
        dh: ViewMut,
    ) -> Result<()> {
        recurrent::gru_step_backward(acts, gates, recurrent, h_prev, dh)
    }

    fn dropout(&self, rate: f64, noise: Noise, x: View, y: ViewMut) -> Result<()> {
        elementwise::dropout(rate, noise, x, y)
    }

    fn loss(&self, loss: Loss, prediction: View, target: Target, rows: ViewMut) -> Result<()> {
        loss::loss(loss, prediction, target, rows)
    }

    fn loss_backward(&self, term: &LossTerm, prediction: View, d: ViewMut) -> Result<()> {
        loss::loss_backward(term, prediction, d)
    }

    fn score(&self, score: Score, prediction: View, target: Target, rows: ViewMut) -> Result<()> {
        score::score(score, prediction, target, rows)
    }

    fn count_classes(
        &self,
        threshold: Option<f64>,
        prediction: View,
        target: Target,
        counts: ViewMut,
    ) -> Result<()> {
        score::count_classes(threshold, prediction, target, counts)
    }

    fn count_pairs(&self, prediction: View, target: Target, counts: ViewMut) -> Result<()> {
        score::count_pairs(prediction, target, counts)
    }

    fn accumulate(&self, x: View, weights: Option<View>, acc: ViewMut) -> Result<()> {
        score::accumulate(x, weights, acc)
    }

    fn update(&self, rule: &Update, value: ViewMut, grad: View, slots: &mut [Tensor]) -> Result<()> {
        update::update(rule, value, grad, slots)
    }

    fn accumulate_squares(&self, x: View, acc: ViewMut) -> Result<()> {
        score::accumulate_squares(x, acc)
    }

    fn limit_norm(&self, limit: f64, acc: View, y: ViewMut) -> Result<()> {
        update::limit_norm(limit, acc, y)
    }
}
