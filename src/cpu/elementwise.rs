//! Element by element, moves, and sums over rows.

use super::Cpu;
use super::formula::{Formula, Same, check, elements, formula, same_len, slices};
use super::parallel::rows_per_task;
use super::simd::{Kernel, Lanes, Simd};
use crate::error::{Error, Result};
use crate::tensor::{View, ViewMut};
use std::ops::Range;

formula! { Fill { value } [] -> [_y] |s| [s.splat(value)] }
formula! { Scale { a } [] -> [y] |s| [s.splat(a) * y] }
formula! { AddScaled { a } [x] -> [y] |s| [s.splat(a).mul_add(x, y)] }
formula! { Interpolate { a } [x] -> [y] |s| [s.splat(a).mul_add(x - y, y)] }
formula! { Multiply { } [x] -> [y] |_s| [x * y] }
formula! { Clamp { low, high } [] -> [y] |s| [s.splat(high).min(s.splat(low).max(y))] } // NaN stays
formula! { Add { } [x] -> [y] |_s| [x + y] }

pub(super) fn fill(cpu: &Cpu, value: f64, y: ViewMut) -> Result<()> {
    elements(cpu, 1, Fill { value: value as f32 }, [], [y.f32()?]);
    Ok(())
}

pub(super) fn copy(cpu: &Cpu, x: View, y: ViewMut) -> Result<()> {
    zip(cpu, "copy", Same {}, x, y)
}

pub(super) fn scale(cpu: &Cpu, a: f64, y: ViewMut) -> Result<()> {
    elements(cpu, 1, Scale { a: a as f32 }, [], [y.f32()?]);
    Ok(())
}

pub(super) fn add_scaled(cpu: &Cpu, a: f64, x: View, y: ViewMut) -> Result<()> {
    zip(cpu, "add_scaled", AddScaled { a: a as f32 }, x, y)
}

pub(super) fn interpolate(cpu: &Cpu, a: f64, x: View, y: ViewMut) -> Result<()> {
    zip(cpu, "interpolate", Interpolate { a: a as f32 }, x, y)
}

pub(super) fn multiply(cpu: &Cpu, x: View, y: ViewMut) -> Result<()> {
    zip(cpu, "multiply", Multiply {}, x, y)
}

pub(super) fn clamp(cpu: &Cpu, low: f64, high: f64, y: ViewMut) -> Result<()> {
    elements(cpu, 1, Clamp { low: low as f32, high: high as f32 }, [], [y.f32()?]);
    Ok(())
}

/// y = f(x, y).
fn zip(cpu: &Cpu, op: &'static str, f: impl Formula<1, 1>, x: View, y: ViewMut) -> Result<()> {
    same_len(op, x.shape(), y.shape())?;
    elements(cpu, 1, f, [x.f32()?], [y.f32()?]);
    Ok(())
}

// ---------------------------------------------------------------- moves

pub(super) fn swap_axes(cpu: &Cpu, x: View, y: ViewMut) -> Result<()> {
    let (from, to) = (x.shape(), y.shape());
    let (f, t) = (from.dims(), to.dims());
    let fit = f.len() >= 2 && f.len() == t.len() && f[0] == t[1] && f[1] == t[0] && f[2..] == t[2..];
    check("swap_axes", fit, &[("x", from), ("y", to)])?;
    let (a, b, rest) = (f[0], f[1], f[2..].iter().product::<usize>());
    let (x, y, per_task) = (x.f32()?, y.f32()?, rows_per_task(b, a * rest));
    if y.is_empty() {
        return Ok(());
    }
    cpu.pool.run_chunks(y, per_task * a * rest, |task, y| {
        for (j, y) in y.chunks_exact_mut(a * rest).enumerate() {
            let j = task * per_task + j;
            for (i, y) in y.chunks_exact_mut(rest).enumerate() {
                let at = (i * b + j) * rest;
                y.copy_from_slice(&x[at..at + rest]);
            }
        }
    });
    Ok(())
}

pub(super) fn copy_columns(
    cpu: &Cpu,
    x: View,
    from: usize,
    y: ViewMut,
    to: usize,
    width: usize,
) -> Result<()> {
    let ((rows, cx), (ry, cy)) = (x.shape().as_matrix(), y.shape().as_matrix());
    let inside = |start: usize, c| start.checked_add(width).is_some_and(|end| end <= c);
    if rows != ry || !inside(from, cx) || !inside(to, cy) {
        let (x, y) = (x.shape(), y.shape());
        let problem = format!("{width} columns from column {from} of {x} to column {to} of {y}");
        return Err(Error::op("copy_columns", problem));
    }
    let (x, y, per_task) = (x.f32()?, y.f32()?, rows_per_task(rows, width));
    if width == 0 {
        return Ok(());
    }
    cpu.pool.run_chunks(y, per_task * cy, |task, y| {
        let x = x[task * per_task * cx..].chunks_exact(cx);
        for (y, x) in y.chunks_exact_mut(cy).zip(x) {
            y[to..to + width].copy_from_slice(&x[from..from + width]);
        }
    });
    Ok(())
}

// ---------------------------------------------------------------- rows

/// y[r, :] += b.
struct AddBias<'a>(&'a [f32], &'a mut [f32]);

impl Kernel for AddBias<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for row in self.1.chunks_exact_mut(self.0.len()) {
            slices(s, Add {}, [self.0], [row]);
        }
    }
}

pub(super) fn add_bias(cpu: &Cpu, b: View, y: ViewMut) -> Result<()> {
    let (rows, cols) = y.shape().as_matrix();
    check("add_bias", b.len() == cols, &[("b", b.shape()), ("y", y.shape())])?;
    let (b, y) = (b.f32()?, y.f32()?);
    if cols > 0 {
        cpu.pool.run_chunks(y, rows_per_task(rows, cols) * cols, |_, y| cpu.isa.run(AddBias(b, y)));
    }
    Ok(())
}

/// y = y + the sum of eight rows, in pairs.
#[derive(Clone, Copy)]
struct AddEight;

impl Formula<8, 1> for AddEight {
    #[inline(always)]
    fn apply<S: Simd>(self, _s: S, x: [S::V; 8], [y]: [S::V; 1]) -> [S::V; 1] {
        let [a, b, c, d, e, f, g, h] = x;
        [y + (((a + b) + (c + d)) + ((e + f) + (g + h)))]
    }
}

/// y = Σᵣ x[r, columns], eight rows at a time.
pub(super) struct SumRows<'a> {
    pub(super) x: &'a [f32],
    pub(super) cols: usize,
    pub(super) columns: Range<usize>,
    pub(super) y: &'a mut [f32],
}

impl Kernel for SumRows<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let SumRows { x, cols, columns, y } = self;
        y.fill(0.0);
        let mut eights = x.chunks_exact(8 * cols);
        for eight in eights.by_ref() {
            let mut rows: [&[f32]; 8] = [&[]; 8];
            for (k, row) in rows.iter_mut().enumerate() {
                *row = &eight[k * cols..][columns.clone()];
            }
            slices(s, AddEight, rows, [y]);
        }
        for row in eights.remainder().chunks_exact(cols) {
            slices(s, Add {}, [&row[columns.clone()]], [y]);
        }
    }
}

/// Up to this many columns, tasks take rows; above, columns.
const NARROW: usize = 64;
/// The most tasks for narrow rows.
const BLOCKS: usize = 16;

pub(super) fn sum_rows(cpu: &Cpu, x: View, y: ViewMut) -> Result<()> {
    let (rows, cols) = x.shape().as_matrix();
    check("sum_rows", y.len() == cols, &[("x", x.shape()), ("y", y.shape())])?;
    let (x, y) = (x.f32()?, y.f32()?);
    if x.is_empty() {
        y.fill(0.0);
    } else if cols <= NARROW {
        let mut sums = [0.0; BLOCKS * NARROW];
        let per_task = rows_per_task(rows, cols).max(rows.div_ceil(BLOCKS));
        let sums = &mut sums[..rows.div_ceil(per_task) * cols];
        cpu.pool.run_chunks(sums, cols, |task, y| {
            let x = &x[task * per_task * cols..rows.min((task + 1) * per_task) * cols];
            cpu.isa.run(SumRows { x, cols, columns: 0..cols, y });
        });
        cpu.isa.run(SumRows { x: sums, cols, columns: 0..cols, y });
    } else {
        let per_task = rows_per_task(cols, rows).next_multiple_of(NARROW);
        cpu.pool.run_chunks(y, per_task, |task, y| {
            let columns = task * per_task..task * per_task + y.len();
            cpu.isa.run(SumRows { x, cols, columns, y });
        });
    }
    Ok(())
}
