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

pub(super) fn load_rows(_cpu: &Cpu, _rows: HostRows, _order: &[u32], _y: ViewMut) -> Result<()> {
    todo!("load_rows")
}

pub(super) fn fill(_cpu: &Cpu, _value: f64, _y: ViewMut) -> Result<()> {
    todo!("fill")
}

pub(super) fn copy(_cpu: &Cpu, _x: View, _y: ViewMut) -> Result<()> {
    todo!("copy")
}

pub(super) fn scale(_cpu: &Cpu, _a: f64, _y: ViewMut) -> Result<()> {
    todo!("scale")
}

pub(super) fn add_scaled(_cpu: &Cpu, _a: f64, _x: View, _y: ViewMut) -> Result<()> {
    todo!("add_scaled")
}

pub(super) fn interpolate(_cpu: &Cpu, _a: f64, _x: View, _y: ViewMut) -> Result<()> {
    todo!("interpolate")
}

pub(super) fn multiply(_cpu: &Cpu, _x: View, _y: ViewMut) -> Result<()> {
    todo!("multiply")
}

pub(super) fn clamp(_cpu: &Cpu, _low: f64, _high: f64, _y: ViewMut) -> Result<()> {
    todo!("clamp")
}

pub(super) fn swap_axes(_cpu: &Cpu, _x: View, _y: ViewMut) -> Result<()> {
    todo!("swap_axes")
}

pub(super) fn copy_columns(
    _cpu: &Cpu,
    _x: View,
    _from: usize,
    _y: ViewMut,
    _to: usize,
    _width: usize,
) -> Result<()> {
    todo!("copy_columns")
}

pub(super) fn add_bias(_cpu: &Cpu, _b: View, _y: ViewMut) -> Result<()> {
    todo!("add_bias")
}

pub(super) fn sum_rows(_cpu: &Cpu, _x: View, _y: ViewMut) -> Result<()> {
    todo!("sum_rows")
}
