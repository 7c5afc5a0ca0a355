//! Dropout: the mask comes from a counter, a block of four words for four elements.

use super::elementwise::by_fours;
use super::{Cuda, check};
use crate::error::{Error, Result};
use crate::rng::Noise;
use crate::tensor::{View, ViewMut};

pub(super) fn dropout(cuda: &Cuda, rate: f64, noise: Noise, x: View, y: ViewMut) -> Result<()> {
    check("dropout", x.len() == y.len(), &[("x", x.shape()), ("y", y.shape())])?;
    if !(0.0..1.0).contains(&rate) {
        return Err(Error::op("dropout", format!("the rate {rate} is not in 0 .. 1")));
    }
    let n = y.len();
    let (x, y) = (cuda.read(x)?, cuda.write(y)?);
    if n == 0 {
        return Ok(());
    }
    let threshold = (rate * 32f64.exp2()).ceil() as u64; // word ≥ rate · 2³², in whole numbers
    let scale = (1.0 / (1.0 - rate)) as f32;
    let (low, high) = (noise.seed as u32, (noise.seed >> 32) as u32);
    let (kernels, grid, layer, step) = (cuda.kernels.dropout()?, by_fours(n), noise.layer, noise.step);
    kernels.dropout(&cuda.stream, grid, low, high, layer, step, threshold, scale, x, y, n as u64)
}
