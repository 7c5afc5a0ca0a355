//! Dropout: the mask comes from a counter, four elements a block, so that any cut of the work draws the same mask.

use super::Cpu;
use super::formula::same_len;
use super::parallel::rows_per_task;
use super::simd::{Kernel, Simd};
use crate::error::{Error, Result};
use crate::rng::Noise;
use crate::tensor::{View, ViewMut};

/// What one block's ten rounds cost, shared out over its elements.
const WORK: usize = 4;
/// The elements of 64 blocks.
const STEP: usize = 256;

/// y = x scaled where its word reaches the threshold, else 0. Begins at block `first`. Plain loops over 64
/// blocks: the compiler turns them into registers of the set that it is compiled for.
struct Dropout<'a> {
    noise: Noise,
    first: u64,
    threshold: u64,
    scale: f32,
    x: &'a [f32],
    y: &'a mut [f32],
}

impl Kernel for Dropout<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, _s: S) {
        for (i, (x, y)) in self.x.chunks(STEP).zip(self.y.chunks_mut(STEP)).enumerate() {
            let words = self.noise.blocks(self.first + (i * STEP / 4) as u64);
            for ((x, y), &word) in x.iter().zip(y).zip(words.as_flattened()) {
                *y = if u64::from(word) >= self.threshold { x * self.scale } else { 0.0 };
            }
        }
    }
}

pub(super) fn dropout(cpu: &Cpu, rate: f64, noise: Noise, x: View, y: ViewMut) -> Result<()> {
    same_len("dropout", x.shape(), y.shape())?;
    if !(0.0..1.0).contains(&rate) {
        return Err(Error::op("dropout", format!("the rate {rate} is not in 0 .. 1")));
    }
    let (x, y) = (x.f32()?, y.f32()?);
    let threshold = (rate * 32f64.exp2()).ceil() as u64; // word ≥ rate · 2³², in whole numbers
    let scale = (1.0 / (1.0 - rate)) as f32;
    let per_task = rows_per_task(y.len(), WORK).next_multiple_of(STEP);
    cpu.pool.run_chunks(y, per_task, |task, y| {
        let (start, first) = (task * per_task, (task * per_task / 4) as u64);
        cpu.isa.run(Dropout { noise, first, threshold, scale, x: &x[start..start + y.len()], y });
    });
    Ok(())
}
