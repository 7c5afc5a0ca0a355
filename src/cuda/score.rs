//! Stub.
#![allow(unused_imports)]
use super::Cuda;
use crate::activations::Activation;
use crate::backend::*;
use crate::error::Result;
use crate::losses::Loss;
use crate::metrics::Score;
use crate::optimizers::Update;
use crate::rng::Noise;
use crate::tensor::{Tensor, View, ViewMut};
use crate::window::Window;

pub(super) fn score(
    _cuda: &Cuda,
    _score: Score,
    _prediction: View,
    _target: Target,
    _rows: ViewMut,
) -> Result<()> {
    todo!()
}

pub(super) fn count_classes(
    _cuda: &Cuda,
    _threshold: Option<f64>,
    _prediction: View,
    _target: Target,
    _counts: ViewMut,
) -> Result<()> {
    todo!()
}

pub(super) fn count_pairs(_cuda: &Cuda, _prediction: View, _target: Target, _counts: ViewMut) -> Result<()> {
    todo!()
}

pub(super) fn accumulate(_cuda: &Cuda, _x: View, _weights: Option<View>, _acc: ViewMut) -> Result<()> {
    todo!()
}

pub(super) fn accumulate_squares(_cuda: &Cuda, _x: View, _acc: ViewMut) -> Result<()> {
    todo!()
}
