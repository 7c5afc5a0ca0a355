//! Textbook loops in f64.
#![allow(unused)]
use crate::activations::Activation;
use crate::backend::*;
use crate::error::Result;
use crate::losses::Loss;
use crate::metrics::Score;
use crate::optimizers::Update;
use crate::rng::Noise;
use crate::shape::Shape;
use crate::tensor::{IndexView, Indices, Tensor, View, ViewMut};
use crate::window::Window;

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
        todo!("load_rows")
    }

    fn fill(&self, value: f64, y: ViewMut) -> Result<()> {
        todo!("fill")
    }

    fn copy(&self, x: View, y: ViewMut) -> Result<()> {
        todo!("copy")
    }

    fn scale(&self, a: f64, y: ViewMut) -> Result<()> {
        todo!("scale")
    }

    fn add_scaled(&self, a: f64, x: View, y: ViewMut) -> Result<()> {
        todo!("add_scaled")
    }

    fn interpolate(&self, a: f64, x: View, y: ViewMut) -> Result<()> {
        todo!("interpolate")
    }

    fn multiply(&self, x: View, y: ViewMut) -> Result<()> {
        todo!("multiply")
    }

    fn clamp(&self, low: f64, high: f64, y: ViewMut) -> Result<()> {
        todo!("clamp")
    }

    fn swap_axes(&self, x: View, y: ViewMut) -> Result<()> {
        todo!("swap_axes")
    }

    fn copy_columns(&self, x: View, from: usize, y: ViewMut, to: usize, width: usize) -> Result<()> {
        todo!("copy_columns")
    }

    fn gemm(&self, g: Gemm, a: View, b: View, c: ViewMut) -> Result<()> {
        todo!("gemm")
    }

    fn add_bias(&self, b: View, y: ViewMut) -> Result<()> {
        todo!("add_bias")
    }

    fn sum_rows(&self, x: View, y: ViewMut) -> Result<()> {
        todo!("sum_rows")
    }

    fn activate(&self, f: Activation, y: ViewMut) -> Result<()> {
        todo!("activate")
    }

    fn activation_backward(&self, f: Activation, x: Option<View>, y: View, dy: ViewMut) -> Result<()> {
        todo!("activation_backward")
    }

    fn im2col(&self, w: &Window, x: View, cols: ViewMut) -> Result<()> {
        todo!("im2col")
    }

    fn col2im(&self, w: &Window, dcols: View, dx: ViewMut) -> Result<()> {
        todo!("col2im")
    }

    fn max_pool(&self, w: &Window, x: View, y: ViewMut) -> Result<()> {
        todo!("max_pool")
    }

    fn max_pool_backward(&self, w: &Window, x: View, y: View, dy: View, dx: ViewMut) -> Result<()> {
        todo!("max_pool_backward")
    }

    fn average_pool(&self, w: &Window, x: View, y: ViewMut) -> Result<()> {
        todo!("average_pool")
    }

    fn average_pool_backward(&self, w: &Window, dy: View, dx: ViewMut) -> Result<()> {
        todo!("average_pool_backward")
    }

    fn moments(&self, x: View, mean: ViewMut, variance: ViewMut) -> Result<()> {
        todo!("moments")
    }

    fn normalize(&self, a: &Affine, x: View, y: ViewMut) -> Result<()> {
        todo!("normalize")
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
        todo!("normalize_backward")
    }

    fn lstm_step(
        &self,
        acts: CellActivations,
        gates: ViewMut,
        c_prev: Option<View>,
        c: ViewMut,
        h: ViewMut,
    ) -> Result<()> {
        todo!("lstm_step")
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
        todo!("lstm_step_backward")
    }

    fn gru_step(
        &self,
        acts: CellActivations,
        gates: ViewMut,
        recurrent: View,
        h_prev: Option<View>,
        h: ViewMut,
    ) -> Result<()> {
        todo!("gru_step")
    }

    fn gru_step_backward(
        &self,
        acts: CellActivations,
        gates: ViewMut,
        recurrent: ViewMut,
        h_prev: Option<View>,
        dh: ViewMut,
    ) -> Result<()> {
        todo!("gru_step_backward")
    }

    fn dropout(&self, rate: f64, noise: Noise, x: View, y: ViewMut) -> Result<()> {
        todo!("dropout")
    }

    fn loss(&self, loss: Loss, prediction: View, target: Target, rows: ViewMut) -> Result<()> {
        todo!("loss")
    }

    fn loss_backward(&self, term: &LossTerm, prediction: View, d: ViewMut) -> Result<()> {
        todo!("loss_backward")
    }

    fn score(&self, score: Score, prediction: View, target: Target, rows: ViewMut) -> Result<()> {
        todo!("score")
    }

    fn count_classes(
        &self,
        threshold: Option<f64>,
        prediction: View,
        target: Target,
        counts: ViewMut,
    ) -> Result<()> {
        todo!("count_classes")
    }

    fn count_pairs(&self, prediction: View, target: Target, counts: ViewMut) -> Result<()> {
        todo!("count_pairs")
    }

    fn accumulate(&self, x: View, weights: Option<View>, acc: ViewMut) -> Result<()> {
        todo!("accumulate")
    }

    fn update(&self, rule: &Update, value: ViewMut, grad: View, slots: &mut [Tensor]) -> Result<()> {
        todo!("update")
    }

    fn accumulate_squares(&self, x: View, acc: ViewMut) -> Result<()> {
        todo!("accumulate_squares")
    }

    fn limit_norm(&self, limit: f64, acc: View, y: ViewMut) -> Result<()> {
        todo!("limit_norm")
    }
}
