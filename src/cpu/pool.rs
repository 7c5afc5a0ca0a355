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

pub(super) fn max_pool(_cpu: &Cpu, _w: &Window, _x: View, _y: ViewMut) -> Result<()> {
    todo!("max_pool")
}

pub(super) fn max_pool_backward(
    _cpu: &Cpu,
    _w: &Window,
    _x: View,
    _y: View,
    _dy: View,
    _dx: ViewMut,
) -> Result<()> {
    todo!("max_pool_backward")
}

pub(super) fn average_pool(_cpu: &Cpu, _w: &Window, _x: View, _y: ViewMut) -> Result<()> {
    todo!("average_pool")
}

pub(super) fn average_pool_backward(_cpu: &Cpu, _w: &Window, _dy: View, _dx: ViewMut) -> Result<()> {
    todo!("average_pool_backward")
}
