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

pub(super) fn lstm_step(
    _cuda: &Cuda,
    _acts: CellActivations,
    _gates: ViewMut,
    _c_prev: Option<View>,
    _c: ViewMut,
    _h: ViewMut,
) -> Result<()> {
    todo!()
}

pub(super) fn lstm_step_backward(
    _cuda: &Cuda,
    _acts: CellActivations,
    _gates: ViewMut,
    _c_prev: Option<View>,
    _c: View,
    _dh: View,
    _dc: ViewMut,
) -> Result<()> {
    todo!()
}

pub(super) fn gru_step(
    _cuda: &Cuda,
    _acts: CellActivations,
    _gates: ViewMut,
    _recurrent: View,
    _h_prev: Option<View>,
    _h: ViewMut,
) -> Result<()> {
    todo!()
}

pub(super) fn gru_step_backward(
    _cuda: &Cuda,
    _acts: CellActivations,
    _gates: ViewMut,
    _recurrent: ViewMut,
    _h_prev: Option<View>,
    _dh: ViewMut,
) -> Result<()> {
    todo!()
}
