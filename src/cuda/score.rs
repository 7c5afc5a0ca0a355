//! Scores, counts, and sums that keep their digits.

use super::abi::Ptr;
use super::layout::{self, Columns, int};
use super::loss::Targets;
use super::stream::Grid;
use super::{Cuda, check};
use crate::backend::Target;
use crate::error::{Error, Result};
use crate::metrics::Score;
use crate::tensor::{View, ViewMut};

/// The largest f32 that is no larger: p > `threshold` in f64 is p > this in f32.
fn rounded_down(threshold: f64) -> f32 {
    let rounded = threshold as f32;
    if f64::from(rounded) > threshold { rounded.next_down() } else { rounded }
}

pub(super) fn score(
    cuda: &Cuda,
    score: Score,
    prediction: View,
    target: Target,
    rows: ViewMut,
) -> Result<()> {
    let shape = prediction.shape();
    let (n, cols) = layout::matrix("score", shape)?;
    let Targets { values, labels } = Targets::open(cuda, "score", shape, target, cols as usize)?;
    check("score", rows.len() == n as usize, &[("prediction", shape), ("rows", rows.shape())])?;
    if matches!((score, target), (Score::Binary { .. }, Target::Labels(_))) {
        return Err(Error::op("score", "a binary score takes values, got labels"));
    }
    let (p, rows) = (cuda.read(prediction)?, cuda.write(rows)?);
    if n == 0 {
        return Ok(());
    }
    let (kernels, stream, (grid, width)) = (cuda.kernels.score()?, &cuda.stream, layout::lanes(n, cols));
    match score {
        Score::Binary { threshold } => {
            kernels.score_binary(stream, grid, rounded_down(threshold), p, values, rows, n, cols, width)
        }
        Score::Categorical => {
            kernels.score_categorical(stream, grid, p, values, labels, rows, n, cols, width)
        }
        Score::TopK(k) => {
            let k = k.min(i32::MAX as usize) as i32;
            kernels.score_top_k(stream, grid, k, p, values, labels, rows, n, cols, width)
        }
    }
}

pub(super) fn count_classes(
    cuda: &Cuda,
    threshold: Option<f64>,
    prediction: View,
    target: Target,
    counts: ViewMut,
) -> Result<()> {
    let (op, shape) = ("count_classes", prediction.shape());
    let (n, cols) = layout::matrix(op, shape)?;
    let Targets { values, labels } = Targets::open(cuda, op, shape, target, cols as usize)?;
    let shapes = [("prediction", shape), ("counts", counts.shape())];
    check(op, counts.shape().as_matrix() == (3, cols as usize), &shapes)?;
    let (p, counts) = (cuda.read(prediction)?, cuda.write(counts)?);
    if n == 0 {
        return Ok(());
    }
    let (kernels, stream) = (cuda.kernels.score()?, &cuda.stream);
    let (Columns { grid, width, chunk, chunks }, all) =
        (layout::columns(n, cols), int(op, 3 * cols as usize)?);
    let (limit, size) = (threshold.map_or(0.0, rounded_down), n as usize);
    let scratch = cuda.scratch(size + 3 * chunks as usize * cols as usize)?;
    let (mut predicted, parts) = (Ptr::NULL, scratch.ptr().plus(size));
    if threshold.is_none() {
        let (grid, lanes) = layout::lanes(n, cols);
        predicted = scratch.ptr();
        kernels.largest(stream, grid, p, predicted, n, cols, lanes)?;
    }
    kernels.count_classes(
        stream, grid, limit, p, predicted, values, labels, parts, counts, n, cols, width, chunk,
    )?;
    if chunks == 1 {
        return Ok(());
    }
    let over = layout::whole_columns(chunks, all);
    kernels.count_together(stream, over.grid, parts, counts, chunks, all, over.width)
}

pub(super) fn count_pairs(cuda: &Cuda, prediction: View, target: Target, counts: ViewMut) -> Result<()> {
    let (op, shape) = ("count_pairs", prediction.shape());
    let (n, cols) = layout::matrix(op, shape)?;
    let classes = if cols == 1 { 2 } else { cols };
    let Targets { values, labels } = Targets::open(cuda, op, shape, target, classes as usize)?;
    let shapes = [("prediction", shape), ("counts", counts.shape())];
    check(op, counts.shape().as_matrix() == (classes as usize, classes as usize), &shapes)?;
    let (p, counts) = (cuda.read(prediction)?, cuda.write(counts)?);
    if n == 0 {
        return Ok(());
    }
    let (kernels, stream, (grid, width)) = (cuda.kernels.score()?, &cuda.stream, layout::lanes(n, cols));
    let scratch = cuda.scratch(2 * n as usize)?;
    let predicted = scratch.ptr();
    kernels.classes(stream, grid, p, predicted, n, cols, width)?;
    let actual = match target {
        Target::Labels(_) => labels,
        Target::Values(_) => {
            let actual = predicted.plus(n as usize);
            kernels.classes(stream, grid, values, actual, n, cols, width)?;
            actual
        }
    };
    let runs = (classes as u32).div_ceil(1024); // of predicted classes, which a block counts at once
    let grid = Grid::new([classes as u32, runs, 1], [Grid::BLOCK, 1, 1]);
    kernels.count_pairs(stream, grid, actual, predicted, counts, n, classes)
}

/// Elements that a block of a sum has at least, and blocks at most: few sums, little to add up at the end.
const PART: usize = 4096;
const PARTS: usize = 512;

/// How many blocks a sum of `n` numbers has.
fn parts(n: usize) -> (Grid, i32) {
    let blocks = n.div_ceil(PART).min(PARTS);
    (Grid::new([blocks as u32, 1, 1], [Grid::BLOCK, 1, 1]), blocks as i32)
}

pub(super) fn accumulate(cuda: &Cuda, x: View, weights: Option<View>, acc: ViewMut) -> Result<()> {
    check("accumulate", acc.len() == 2, &[("acc", acc.shape())])?;
    if let Some(w) = weights {
        check("accumulate", w.len() == x.len(), &[("x", x.shape()), ("weights", w.shape())])?;
    }
    let n = x.len();
    let (x, weights, acc) = (cuda.read(x)?, cuda.read_or_null(weights)?, cuda.write(acc)?);
    if n == 0 {
        return Ok(());
    }
    let (kernels, (grid, blocks)) = (cuda.kernels.score()?, parts(n));
    let scratch = cuda.scratch(2 * blocks as usize)?;
    kernels.accumulate(&cuda.stream, grid, x, weights, scratch.ptr(), acc, n as u64)?;
    together(cuda, scratch.ptr(), acc, blocks)
}

pub(super) fn accumulate_squares(cuda: &Cuda, x: View, acc: ViewMut) -> Result<()> {
    check("accumulate_squares", acc.len() == 2, &[("acc", acc.shape())])?;
    let n = x.len();
    let (x, acc) = (cuda.read(x)?, cuda.write(acc)?);
    if n == 0 {
        return Ok(());
    }
    let (kernels, (grid, blocks)) = (cuda.kernels.score()?, parts(n));
    let scratch = cuda.scratch(2 * blocks as usize)?;
    kernels.accumulate_squares(&cuda.stream, grid, x, scratch.ptr(), acc, n as u64)?;
    together(cuda, scratch.ptr(), acc, blocks)
}

/// Adds what the blocks of a sum left; a single block has added it itself.
fn together(cuda: &Cuda, parts: Ptr, acc: Ptr, blocks: i32) -> Result<()> {
    if blocks == 1 {
        return Ok(());
    }
    let grid = Grid::new([1, 1, 1], [Grid::BLOCK, 1, 1]);
    cuda.kernels.score()?.accumulate_parts(&cuda.stream, grid, parts, acc, blocks)
}
