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

pub(super) fn im2col(_cpu: &Cpu, _w: &Window, _x: View, _cols: ViewMut) -> Result<()> {
    todo!("im2col")
}

pub(super) fn col2im(_cpu: &Cpu, _w: &Window, _dcols: View, _dx: ViewMut) -> Result<()> {
    todo!("col2im")
}

pub(super) fn conv_scratch(_w: &Window, _filters: usize, _n: usize) -> usize {
    todo!("conv_scratch")
}

pub(super) fn conv(
    _cpu: &Cpu,
    _w: &Window,
    _f: Activation,
    _x: View,
    _kernel: View,
    _b: Option<View>,
    _scratch: ViewMut,
    _y: ViewMut,
) -> Result<()> {
    todo!("conv")
}

pub(super) fn conv_backward_kernel(
    _cpu: &Cpu,
    _w: &Window,
    _x: View,
    _dz: View,
    _scratch: ViewMut,
    _dk: ViewMut,
) -> Result<()> {
    todo!("conv_backward_kernel")
}

pub(super) fn conv_backward_input(
    _cpu: &Cpu,
    _w: &Window,
    _dz: View,
    _kernel: View,
    _scratch: ViewMut,
    _dx: ViewMut,
) -> Result<()> {
    todo!("conv_backward_input")
}
