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

pub(super) fn update(
    _cuda: &Cuda,
    _rule: &Update,
    _value: ViewMut,
    _grad: View,
    _slots: &[Tensor],
) -> Result<()> {
    todo!()
}

pub(super) fn limit_norm(_cuda: &Cuda, _limit: f64, _acc: View, _y: ViewMut) -> Result<()> {
    todo!()
}
