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

pub(super) fn max_pool(_cuda: &Cuda, _w: &Window, _x: View, _y: ViewMut) -> Result<()> {
    todo!()
}

pub(super) fn max_pool_backward(
    _cuda: &Cuda,
    _w: &Window,
    _x: View,
    _y: View,
    _dy: View,
    _dx: ViewMut,
) -> Result<()> {
    todo!()
}

pub(super) fn average_pool(_cuda: &Cuda, _w: &Window, _x: View, _y: ViewMut) -> Result<()> {
    todo!()
}

pub(super) fn average_pool_backward(_cuda: &Cuda, _w: &Window, _dy: View, _dx: ViewMut) -> Result<()> {
    todo!()
}
