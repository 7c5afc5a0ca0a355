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

pub(super) fn gemm(_cpu: &Cpu, _g: Gemm, _a: View, _b: View, _c: ViewMut) -> Result<()> {
    todo!("gemm")
}

pub(super) fn dense(
    _cpu: &Cpu,
    _f: Activation,
    _x: View,
    _w: View,
    _b: Option<View>,
    _y: ViewMut,
) -> Result<()> {
    todo!("dense")
}
