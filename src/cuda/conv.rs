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

pub(super) fn im2col(_cuda: &Cuda, _w: &Window, _x: View, _cols: ViewMut) -> Result<()> {
    todo!()
}

pub(super) fn col2im(_cuda: &Cuda, _w: &Window, _dcols: View, _dx: ViewMut) -> Result<()> {
    todo!()
}

pub(super) fn conv(
    _cuda: &Cuda,
    _w: &Window,
    _f: Activation,
    _x: View,
    _kernel: View,
    _b: Option<View>,
    _scratch: ViewMut,
    _y: ViewMut,
) -> Result<()> {
    todo!()
}
pub(super) fn conv_backward_kernel(
    _cuda: &Cuda,
    _w: &Window,
    _x: View,
    _dz: View,
    _scratch: ViewMut,
    _dk: ViewMut,
) -> Result<()> {
    todo!()
}

pub(super) fn conv_backward_input(
    _cuda: &Cuda,
    _w: &Window,
    _dz: View,
    _kernel: View,
    _scratch: ViewMut,
    _dx: ViewMut,
) -> Result<()> {
    todo!()
}

pub(super) fn conv_scratch(_cuda: &Cuda, w: &Window, _filters: usize, n: usize) -> usize {
    n * w.positions() * w.taps()
}
