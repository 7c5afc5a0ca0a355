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

pub(super) fn lstm_step(
    _cpu: &Cpu,
    _acts: CellActivations,
    _gates: ViewMut,
    _c_prev: Option<View>,
    _c: ViewMut,
    _h: ViewMut,
) -> Result<()> {
    todo!("lstm_step")
}

pub(super) fn lstm_step_backward(
    _cpu: &Cpu,
    _acts: CellActivations,
    _gates: ViewMut,
    _c_prev: Option<View>,
    _c: View,
    _dh: View,
    _dc: ViewMut,
) -> Result<()> {
    todo!("lstm_step_backward")
}

pub(super) fn gru_step(
    _cpu: &Cpu,
    _acts: CellActivations,
    _gates: ViewMut,
    _recurrent: View,
    _h_prev: Option<View>,
    _h: ViewMut,
) -> Result<()> {
    todo!("gru_step")
}

pub(super) fn gru_step_backward(
    _cpu: &Cpu,
    _acts: CellActivations,
    _gates: ViewMut,
    _recurrent: ViewMut,
    _h_prev: Option<View>,
    _dh: ViewMut,
) -> Result<()> {
    todo!("gru_step_backward")
}
