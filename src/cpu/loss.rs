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

pub(super) fn loss(
    _cpu: &Cpu,
    _loss: Loss,
    _prediction: View,
    _target: Target,
    _rows: ViewMut,
) -> Result<()> {
    todo!("loss")
}

pub(super) fn loss_backward(_cpu: &Cpu, _term: &LossTerm, _prediction: View, _d: ViewMut) -> Result<()> {
    todo!("loss_backward")
}

pub(super) fn loss_step(
    _cpu: &Cpu,
    _term: &LossTerm,
    _z: View,
    _y: ViewMut,
    _rows: ViewMut,
    _dz: ViewMut,
) -> Result<()> {
    todo!("loss_step")
}
