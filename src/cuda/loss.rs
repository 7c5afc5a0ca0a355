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

pub(super) fn loss(
    _cuda: &Cuda,
    _loss: Loss,
    _prediction: View,
    _target: Target,
    _rows: ViewMut,
) -> Result<()> {
    todo!()
}

pub(super) fn loss_backward(_cuda: &Cuda, _term: &LossTerm, _prediction: View, _d: ViewMut) -> Result<()> {
    todo!()
}

pub(super) fn loss_step(
    _cuda: &Cuda,
    _term: &LossTerm,
    _z: View,
    _y: ViewMut,
    _rows: ViewMut,
    _dz: ViewMut,
) -> Result<()> {
    todo!()
}
