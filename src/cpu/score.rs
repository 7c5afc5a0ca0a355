#![allow(unused)]
use super::Cpu;
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

pub(super) fn score(
    _cpu: &Cpu,
    _score: Score,
    _prediction: View,
    _target: Target,
    _rows: ViewMut,
) -> Result<()> {
    todo!("score")
}

pub(super) fn count_classes(
    _cpu: &Cpu,
    _threshold: Option<f64>,
    _prediction: View,
    _target: Target,
    _counts: ViewMut,
) -> Result<()> {
    todo!("count_classes")
}

pub(super) fn count_pairs(_cpu: &Cpu, _prediction: View, _target: Target, _counts: ViewMut) -> Result<()> {
    todo!("count_pairs")
}

pub(super) fn accumulate(_cpu: &Cpu, _x: View, _weights: Option<View>, _acc: ViewMut) -> Result<()> {
    todo!("accumulate")
}

pub(super) fn accumulate_squares(_cpu: &Cpu, _x: View, _acc: ViewMut) -> Result<()> {
    todo!("accumulate_squares")
}
