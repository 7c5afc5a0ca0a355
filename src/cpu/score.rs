//! Scores, counts, and sums that keep their digits.

use super::Cpu;
use super::formula::check;
use super::parallel::rows_per_task;
use super::simd::{Kernel, Simd};
use super::targets::{Targets, argmax};
use crate::backend::Target;
use crate::error::{Error, Result};
use crate::metrics::Score;
use crate::tensor::{View, ViewMut};

pub(super) fn score(cpu: &Cpu, score: Score, prediction: View, target: Target, rows: ViewMut) -> Result<()> {
    let (r, cols) = prediction.shape().as_matrix();
    let targets = Targets::open("score", prediction.shape(), target, cols)?;
    check("score", rows.len() == r, &[("prediction", prediction.shape()), ("rows", rows.shape())])?;
    if matches!((score, targets), (Score::Binary { .. }, Targets::Labels(_))) {
        return Err(Error::op("score", "a binary score takes values, got labels"));
    }
    let (p, per_task) = (prediction.f32()?, rows_per_task(r, 2 * cols));
    cpu.pool.run_chunks(rows.f32()?, per_task, |task, rows| {
        for (r, out) in (task * per_task..).zip(rows) {
            let row = &p[r * cols..(r + 1) * cols];
            *out = match (score, targets) {
                (Score::Binary { threshold }, Targets::Values(t)) => {
                    let right = |&(&p, &t): &(&f32, &f32)| f32::from(u8::from(f64::from(p) > threshold)) == t;
                    row.iter().zip(&t[r * cols..]).filter(right).count() as f32 / cols as f32
                }
                (Score::TopK(k), _) => {
                    let own = row[targets.class(r, cols)];
                    f32::from(u8::from(row.iter().filter(|&&p| p > own).count() < k))
                }
                _ => f32::from(u8::from(argmax(row) == targets.class(r, cols))),
            };
        }
    });
    Ok(())
}

// Counts are added one by one, by one thread: it is little work, and whole numbers below 2²⁴ are exact.

pub(super) fn count_classes(
    _cpu: &Cpu,
    threshold: Option<f64>,
    prediction: View,
    target: Target,
    counts: ViewMut,
) -> Result<()> {
    let op = "count_classes";
    let (rows, cols) = prediction.shape().as_matrix();
    let targets = Targets::open(op, prediction.shape(), target, cols)?;
    let shapes = [("prediction", prediction.shape()), ("counts", counts.shape())];
    check(op, counts.shape().as_matrix() == (3, cols), &shapes)?;
    let (p, counts) = (prediction.f32()?, counts.f32()?);
    for r in 0..rows {
        let row = &p[r * cols..(r + 1) * cols];
        let largest = argmax(row);
        for j in 0..cols {
            let predicted = match threshold {
                Some(threshold) => f64::from(row[j]) > threshold,
                None => largest == j,
            };
            let actual = match targets {
                Targets::Values(t) => t[r * cols + j] > 0.5,
                Targets::Labels(t) => t[r] as usize == j,
            };
            for (k, yes) in [predicted && actual, predicted, actual].into_iter().enumerate() {
                counts[k * cols + j] += f32::from(u8::from(yes));
            }
        }
    }
    Ok(())
}

pub(super) fn count_pairs(_cpu: &Cpu, prediction: View, target: Target, counts: ViewMut) -> Result<()> {
    let op = "count_pairs";
    let (rows, cols) = prediction.shape().as_matrix();
    let classes = if cols == 1 { 2 } else { cols };
    let targets = Targets::open(op, prediction.shape(), target, classes)?;
    let shapes = [("prediction", prediction.shape()), ("counts", counts.shape())];
    check(op, counts.shape().as_matrix() == (classes, classes), &shapes)?;
    let (p, counts) = (prediction.f32()?, counts.f32()?);
    for r in 0..rows {
        let (actual, predicted) = match targets {
            Targets::Values(t) if cols == 1 => (usize::from(t[r] > 0.5), usize::from(p[r] > 0.5)),
            Targets::Labels(t) if cols == 1 => (t[r] as usize, usize::from(p[r] > 0.5)),
            _ => (targets.class(r, cols), argmax(&p[r * cols..(r + 1) * cols])),
        };
        counts[actual * classes + predicted] += 1.0;
    }
    Ok(())
}

/// acc[0] + acc[1] += x: the sum in f64, rounded to f32, and what that rounding lost.
fn add(acc: &mut [f32], x: f64) {
    let sum = f64::from(acc[0]) + f64::from(acc[1]) + x;
    acc[0] = sum as f32;
    acc[1] = if acc[0].is_finite() { (sum - f64::from(acc[0])) as f32 } else { 0.0 };
}

pub(super) fn accumulate(_cpu: &Cpu, x: View, weights: Option<View>, acc: ViewMut) -> Result<()> {
    check("accumulate", acc.len() == 2, &[("acc", acc.shape())])?;
    if let Some(w) = weights {
        check("accumulate", w.len() == x.len(), &[("x", x.shape()), ("weights", w.shape())])?;
    }
    let (x, weights) = (x.f32()?, weights.map(View::f32).transpose()?);
    let sum: f64 = match weights {
        Some(w) => x.iter().zip(w).map(|(&x, &w)| f64::from(w) * f64::from(x)).sum(),
        None => x.iter().map(|&x| f64::from(x)).sum(),
    };
    add(acc.f32()?, sum);
    Ok(())
}

/// Σ x² in f64, in 16 sums side by side, which the compiler keeps in registers.
struct Squares<'a>(&'a [f32]);

impl Kernel for Squares<'_> {
    type Output = f64;
    #[inline(always)]
    fn run<S: Simd>(self, _s: S) -> f64 {
        let mut sums = [0.0f64; 16];
        let mut chunks = self.0.chunks_exact(16);
        for chunk in chunks.by_ref() {
            for (sum, &x) in sums.iter_mut().zip(chunk) {
                *sum += f64::from(x) * f64::from(x);
            }
        }
        for (sum, &x) in sums.iter_mut().zip(chunks.remainder()) {
            *sum += f64::from(x) * f64::from(x);
        }
        sums.iter().sum()
    }
}

/// The most tasks of a sum of squares.
const BLOCKS: usize = 64;

pub(super) fn accumulate_squares(cpu: &Cpu, x: View, acc: ViewMut) -> Result<()> {
    check("accumulate_squares", acc.len() == 2, &[("acc", acc.shape())])?;
    let x = x.f32()?;
    let per_task = rows_per_task(x.len(), 1).max(x.len().div_ceil(BLOCKS));
    let mut sums = [0.0f64; BLOCKS];
    let sums = &mut sums[..x.len().div_ceil(per_task)];
    cpu.pool.run_chunks(sums, 1, |task, sum| {
        let end = x.len().min((task + 1) * per_task);
        sum[0] = cpu.isa.run(Squares(&x[task * per_task..end]));
    });
    add(acc.f32()?, sums.iter().sum());
    Ok(())
}
