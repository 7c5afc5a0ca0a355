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

pub(super) fn update(
    _cpu: &Cpu,
    _rule: &Update,
    _value: ViewMut,
    _grad: View,
    _slots: &mut [Tensor],
) -> Result<()> {
    todo!("update")
}

pub(super) fn limit_norm(_cpu: &Cpu, _limit: f64, _acc: View, _y: ViewMut) -> Result<()> {
    todo!("limit_norm")
}
