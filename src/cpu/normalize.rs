//! Normalisation over columns: statistics in two passes, and everything element by element behind them.
//!
//! Sums over rows are made of one partial sum for each task, added in the order of the tasks. How many tasks there are
//! depends on the sizes alone, so the sums' bits do too.

use super::Cpu;
use super::parallel::{self, Pieces, SHARED, rows_per_task};
use super::simd::{Kernel, Lanes, Simd};
use crate::backend::Affine;
use crate::error::{Error, Result};
use crate::tensor::{View, ViewMut};

/// Registers of columns that share one walk over the rows.
const GROUP: usize = 4;

/// See [`Backend::moments`](crate::Backend::moments).
pub(super) fn moments(cpu: &Cpu, x: View, mean: ViewMut, variance: ViewMut) -> Result<()> {
    let (rows, columns) = x.shape().as_matrix();
    if rows == 0 || mean.len() != columns || variance.len() != columns {
        let (x, mean, variance) = (x.shape(), mean.shape(), variance.shape());
        return Err(Error::op("moments", format!("mean {mean} and variance {variance} of {x}")));
    }
    let (x, mean, variance) = (x.f32()?, mean.f32()?, variance.f32()?);
    column_sums(cpu, rows, [&mut *mean], |rows, [sum]| {
        cpu.isa.run(Columns { sums: [sum], term: Plain { x }, rows, columns });
    });
    mean.iter_mut().for_each(|m| *m /= rows as f32);
    let mean = &*mean;
    column_sums(cpu, rows, [&mut *variance], |rows, [sum]| {
        cpu.isa.run(Columns { sums: [sum], term: Squares { x, mean }, rows, columns });
    });
    variance.iter_mut().for_each(|v| *v /= rows as f32);
    Ok(())
}

/// Calls `add` with ranges of rows and `K` rows of sums to write, in parallel, and adds up what each wrote.
fn column_sums<const K: usize>(
    cpu: &Cpu,
    rows: usize,
    mut sums: [&mut [f32]; K],
    add: impl Fn(std::ops::Range<usize>, [&mut [f32]; K]) + Sync,
) {
    let columns = sums[0].len();
    let per_task = rows_per_task(rows, columns).max(rows.div_ceil((SHARED / K / columns.max(1)).max(1)));
    let tasks = rows.div_ceil(per_task);
    if tasks == 1 {
        return add(0..rows, sums);
    }
    parallel::with_shared(|partial| {
        let pieces = Pieces::new(partial);
        cpu.pool.run(tasks, &|t| {
            let own = std::array::from_fn(|k| {
                let at = (t * K + k) * columns;
                // SAFETY: no two (t, k) have the same row of the buffer.
                unsafe { pieces.piece(at..at + columns) }
            });
            add(t * per_task..rows.min((t + 1) * per_task), own);
        });
        for (k, sum) in sums.iter_mut().enumerate() {
            sum.copy_from_slice(&partial[k * columns..][..columns]);
            for t in 1..tasks {
                let more = &partial[(t * K + k) * columns..][..columns];
                sum.iter_mut().zip(more).for_each(|(s, m)| *s += m);
            }
        }
    });
}

/// What K column sums add up, at element `at` in column `column`.
trait Term<const K: usize>: Copy {
    /// # Safety
    /// `lanes` elements and columns must be there.
    unsafe fn at<S: Simd>(self, s: S, at: usize, column: usize, lanes: usize) -> [S::V; K];
}

/// x.
#[derive(Clone, Copy)]
struct Plain<'a> {
    x: &'a [f32],
}

impl Term<1> for Plain<'_> {
    #[inline(always)]
    unsafe fn at<S: Simd>(self, s: S, at: usize, _: usize, lanes: usize) -> [S::V; 1] {
        // SAFETY: the caller vouches for it.
        unsafe { [s.load_up_to(self.x.as_ptr().add(at), lanes)] }
    }
}

/// (x − μ)².
#[derive(Clone, Copy)]
struct Squares<'a> {
    x: &'a [f32],
    mean: &'a [f32],
}

impl Term<1> for Squares<'_> {
    #[inline(always)]
    unsafe fn at<S: Simd>(self, s: S, at: usize, column: usize, lanes: usize) -> [S::V; 1] {
        // SAFETY: the caller vouches for it.
        let d = unsafe {
            s.load_up_to(self.x.as_ptr().add(at), lanes) - s.load_up_to(self.mean.as_ptr().add(column), lanes)
        };
        [d * d]
    }
}

/// dy ⊙ (x − μ), and dy.
#[derive(Clone, Copy)]
struct Gradients<'a> {
    x: &'a [f32],
    dy: &'a [f32],
    mean: &'a [f32],
}

impl Term<2> for Gradients<'_> {
    #[inline(always)]
    unsafe fn at<S: Simd>(self, s: S, at: usize, column: usize, lanes: usize) -> [S::V; 2] {
        // SAFETY: the caller vouches for it.
        unsafe {
            let dy = s.load_up_to(self.dy.as_ptr().add(at), lanes);
            let d = s.load_up_to(self.x.as_ptr().add(at), lanes)
                - s.load_up_to(self.mean.as_ptr().add(column), lanes);
            [dy * d, dy]
        }
    }
}

/// sums[k][c] = Σ over `rows` of the terms.
struct Columns<'a, T, const K: usize> {
    sums: [&'a mut [f32]; K],
    term: T,
    rows: std::ops::Range<usize>,
    columns: usize,
}

impl<T: Term<K>, const K: usize> Kernel for Columns<'_, T, K> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let mut c = 0;
        while c + GROUP * S::LANES <= self.columns {
            self.group::<S, GROUP>(s, c, S::LANES);
            c += GROUP * S::LANES;
        }
        while c < self.columns {
            let lanes = S::LANES.min(self.columns - c);
            self.group::<S, 1>(s, c, lanes);
            c += lanes;
        }
    }
}

impl<T: Term<K>, const K: usize> Columns<'_, T, K> {
    /// G registers of columns from `c` on, `lanes` in each.
    #[inline(always)]
    fn group<S: Simd, const G: usize>(&mut self, s: S, c: usize, lanes: usize) {
        let mut sums = [[s.splat(0.0); G]; K];
        for r in self.rows.clone() {
            for g in 0..G {
                let column = c + g * S::LANES;
                // SAFETY: the rows and columns are those of x, and of whatever else the term reads.
                let terms = unsafe { self.term.at(s, r * self.columns + column, column, lanes) };
                for (sum, term) in sums.iter_mut().zip(terms) {
                    sum[g] = sum[g] + term;
                }
            }
        }
        for (to, sums) in self.sums.iter_mut().zip(sums) {
            for (to, sum) in to[c..].chunks_mut(S::LANES).zip(sums) {
                // SAFETY: `lanes` columns are left in `to`.
                unsafe { s.store_up_to(sum, to.as_mut_ptr(), lanes) };
            }
        }
    }
}

/// The numbers of an [`Affine`].
#[derive(Clone, Copy)]
struct Parts<'a> {
    mean: &'a [f32],
    variance: &'a [f32],
    gamma: Option<&'a [f32]>,
    beta: Option<&'a [f32]>,
    epsilon: f32,
}

impl<'a> Parts<'a> {
    fn new(op: &'static str, a: &Affine<'a>, columns: usize) -> Result<Parts<'a>> {
        for v in [Some(a.mean), Some(a.variance), a.gamma, a.beta].into_iter().flatten() {
            if v.len() != columns {
                return Err(Error::op(op, format!("statistics {} for {columns} columns", v.shape())));
            }
        }
        let (gamma, beta) = (a.gamma.map(View::f32).transpose()?, a.beta.map(View::f32).transpose()?);
        let (mean, variance) = (a.mean.f32()?, a.variance.f32()?);
        Ok(Parts { mean, variance, gamma, beta, epsilon: a.epsilon as f32 })
    }

    /// 1 / √(σ² + ε) of `lanes` columns from `c` on.
    ///
    /// # Safety
    /// They must be there.
    #[inline(always)]
    unsafe fn inverse<S: Simd>(&self, s: S, c: usize, lanes: usize) -> S::V {
        // SAFETY: the caller vouches for it.
        let variance = unsafe { column(s, Some(self.variance), 0.0, c, lanes) };
        s.splat(1.0) / (variance + s.splat(self.epsilon)).sqrt()
    }
}

/// `lanes` columns of `v` from `c` on, or `default` if there is no `v`.
///
/// # Safety
/// They must be there.
#[inline(always)]
unsafe fn column<S: Simd>(s: S, v: Option<&[f32]>, default: f32, c: usize, lanes: usize) -> S::V {
    match v {
        // SAFETY: the caller vouches for it.
        Some(v) => unsafe { s.load_up_to(v.as_ptr().add(c), lanes) },
        None => s.splat(default),
    }
}

/// See [`Backend::normalize`](crate::Backend::normalize).
pub(super) fn normalize(cpu: &Cpu, a: &Affine, x: View, y: ViewMut) -> Result<()> {
    let (rows, columns) = x.shape().as_matrix();
    if y.shape().as_matrix() != (rows, columns) {
        return Err(Error::op("normalize", format!("{} into {}", x.shape(), y.shape())));
    }
    let (parts, x) = (Parts::new("normalize", a, columns)?, x.f32()?);
    let per_task = rows_per_task(rows, columns);
    cpu.pool.run_chunks(y.f32()?, per_task * columns, |task, y| {
        let x = &x[task * per_task * columns..][..y.len()];
        cpu.isa.run(Normalize { parts, x, y });
    });
    Ok(())
}

/// y = (x − μ) · γ / √(σ² + ε) + β for some rows.
struct Normalize<'a> {
    parts: Parts<'a>,
    x: &'a [f32],
    y: &'a mut [f32],
}

impl Kernel for Normalize<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Normalize { parts, x, y } = self;
        let columns = parts.mean.len();
        for c in (0..columns).step_by(S::LANES) {
            let lanes = S::LANES.min(columns - c);
            // SAFETY: `lanes` columns are left, in the parts (whose lengths were checked) and in every row.
            unsafe {
                let mean = column(s, Some(parts.mean), 0.0, c, lanes);
                let beta = column(s, parts.beta, 0.0, c, lanes);
                let scale = column(s, parts.gamma, 1.0, c, lanes) * parts.inverse(s, c, lanes);
                for (x, y) in x.chunks_exact(columns).zip(y.chunks_exact_mut(columns)) {
                    let v = (s.load_up_to(x.as_ptr().add(c), lanes) - mean).mul_add(scale, beta);
                    s.store_up_to(v, y.as_mut_ptr().add(c), lanes);
                }
            }
        }
    }
}

/// See [`Backend::normalize_backward`](crate::Backend::normalize_backward).
pub(super) fn normalize_backward(
    cpu: &Cpu,
    a: &Affine,
    x: View,
    dy: View,
    dgamma: ViewMut,
    dbeta: ViewMut,
    dx: Option<ViewMut>,
) -> Result<()> {
    let op = "normalize_backward";
    let (rows, columns) = x.shape().as_matrix();
    let same = |s: crate::Shape| s.as_matrix() == (rows, columns);
    let dx_fits = dx.as_ref().is_none_or(|dx| same(dx.shape()));
    if !same(dy.shape()) || !dx_fits || dgamma.len() != columns || dbeta.len() != columns {
        let (x, dy, dgamma, dbeta) = (x.shape(), dy.shape(), dgamma.shape(), dbeta.shape());
        return Err(Error::op(op, format!("x {x}, dy {dy}, dγ {dgamma}, dβ {dbeta}, and dx as x")));
    }
    let parts = Parts::new(op, a, columns)?;
    let (x, dy, dgamma, dbeta) = (x.f32()?, dy.f32()?, dgamma.f32()?, dbeta.f32()?);
    if rows == 0 {
        dgamma.fill(0.0);
        dbeta.fill(0.0);
        return Ok(());
    }
    column_sums(cpu, rows, [&mut *dgamma, &mut *dbeta], |rows, sums| {
        cpu.isa.run(Columns { sums, term: Gradients { x, dy, mean: parts.mean }, rows, columns });
    });
    for (d, v) in dgamma.iter_mut().zip(parts.variance) {
        *d /= (v + parts.epsilon).sqrt(); //                           dγ = Σ dy ⊙ (x − μ) / √(σ² + ε)    [C]
    }
    let Some(dx) = dx else { return Ok(()) };
    let (dgamma, dbeta, per_task) = (&*dgamma, &*dbeta, rows_per_task(rows, 2 * columns));
    cpu.pool.run_chunks(dx.f32()?, per_task * columns, |task, dx| {
        let at = task * per_task * columns;
        let (x, dy) = (&x[at..][..dx.len()], &dy[at..][..dx.len()]);
        cpu.isa.run(NormalizeBackward { parts, rows: rows as f32, x, dy, dgamma, dbeta, dx });
    });
    Ok(())
}

/// dx = γ / √(σ² + ε) · (dy − dβ / R − x̂ ⊙ dγ / R) for some rows.
struct NormalizeBackward<'a> {
    parts: Parts<'a>,
    /// R.
    rows: f32,
    x: &'a [f32],
    dy: &'a [f32],
    dgamma: &'a [f32],
    dbeta: &'a [f32],
    dx: &'a mut [f32],
}

impl Kernel for NormalizeBackward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let NormalizeBackward { parts, rows, x, dy, dgamma, dbeta, dx } = self;
        let (columns, rows) = (parts.mean.len(), s.splat(rows));
        for c in (0..columns).step_by(S::LANES) {
            let lanes = S::LANES.min(columns - c);
            // SAFETY: `lanes` columns are left, in the parts (whose lengths were checked) and in every row.
            unsafe {
                let mean = column(s, Some(parts.mean), 0.0, c, lanes);
                let inverse = parts.inverse(s, c, lanes);
                let scale = column(s, parts.gamma, 1.0, c, lanes) * inverse; //            γ / √(σ² + ε)
                let shift = column(s, Some(dbeta), 0.0, c, lanes) / rows; //               dβ / R
                let slope = column(s, Some(dgamma), 0.0, c, lanes) * inverse / rows; //    dγ / (R √(σ² + ε))
                let all = x.chunks_exact(columns).zip(dy.chunks_exact(columns));
                for ((x, dy), dx) in all.zip(dx.chunks_exact_mut(columns)) {
                    let d = s.load_up_to(x.as_ptr().add(c), lanes) - mean;
                    let rest = s.load_up_to(dy.as_ptr().add(c), lanes) - shift;
                    s.store_up_to(d.neg_mul_add(slope, rest) * scale, dx.as_mut_ptr().add(c), lanes);
                }
            }
        }
    }
}
