//! A ladder of matrix products: from the definition to [`gemm`](crate::Backend::gemm), one idea a rung.
//!
//! ```text
//! C = A B        A [m, k], B [k, n], C [m, n], row-major;  C[i, j] = Σₚ A[i, p] B[p, j]
//! ```
//!
//! All rungs do the same m·n·k multiply-adds. What differs is how many of them wait for memory, or for each other:
//!
//! | rung | of B, a multiply-add reads | and of C |
//! |---|---|---|
//! | naive | one number, n numbers after the last | nothing: the sum is in a register |
//! | loop_reordered | the next number | one number, and writes it |
//! | blocked | the next number, from a near cache | one number, and writes it |
//! | simd | a sixth of a number | nothing: the sums are in registers |
//! | packed | the same, all of it neighbours, from L1 | nothing |
//! | threaded | the same, on every core | nothing |
//!
//! The first three are plain loops, compiled for the same instruction set as the others, so that a step from rung to
//! rung is the idea and not the compiler's flags. `handgrad bench gemm` climbs the ladder and prints what part of the
//! machine's peak each rung reaches, at two sizes; `HANDGRAD_ISA=portable` shows the same with narrow registers.
//!
//! Source: Goto and van de Geijn 2008, "Anatomy of High-Performance Matrix Multiplication"; the order of loops: Golub
//! and Van Loan 2013, "Matrix Computations", §1.1 and §1.5.

use super::simd::{Kernel, Lanes, Simd};
use super::{Cpu, gemm};
use crate::backend::Gemm;
use crate::error::{Error, Result};
use crate::tensor::{View, ViewMut};
use std::fmt;
use std::str::FromStr;

/// A matrix product on the processor, each with one idea more than the one before. See the module's source for the
/// table of what each reads.
///
/// ```
/// use handgrad::{Device, cpu::{Cpu, Rung}};
/// let dev = Device::cpu()?;
/// let a = dev.tensor([2, 2], &[1., 2., 3., 4.])?;
/// let mut c = dev.zeros([2, 2].into())?;
/// Rung::Blocked.run(&Cpu::new(None, None)?, a.view(), a.view(), c.view_mut())?;
/// assert_eq!(c.to_vec(), [7., 10., 15., 22.]);
/// # Ok::<(), handgrad::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rung {
    /// The definition: for each i and j, a sum over p. Walks down a column of B, so that of every cache line it fetches
    /// it uses one number; and each addition waits for the one before. Expect a hundredth of the peak, and less for
    /// larger matrices.
    Naive,
    /// The loops over j and p change places: to row i of C, add A[i, p] times row p of B. Everything is now read in
    /// the order in which it lies in memory, and no addition waits for another, so the compiler can do a register at a
    /// time. The largest step of all for so small a change: expect a factor of ten and more. But each multiply-add still
    /// loads a number of B and one of C, and stores one.
    LoopReordered,
    /// The same loops over blocks of B that stay in a near cache while all rows of A use them. Expect little as long
    /// as B fits into L2 anyway, and more the larger the matrices are: the time for a multiply-add no longer grows
    /// with them.
    Blocked,
    /// A tile of C, 6 rows of 2 registers, stays in registers for all k steps. A step loads 2 registers of B and 6
    /// numbers of A for 12 multiply-adds of a register, where the rungs below load two registers and store one for
    /// each. Expect a factor of two to three, and most of the peak while a panel of B fits into L1. Rows of B lie n
    /// numbers apart, though: when n is a power of two they fall on the same few places of L1 and displace each other.
    Simd,
    /// The five loops of Goto and van de Geijn: blocks for every cache, and B (and a transposed A) copied once into
    /// panels in the order in which the tile reads them. This is the crate's own [`gemm`](crate::Backend::gemm) on one
    /// thread. Expect nothing while everything fits into L2, and a rate that stays where it is when the rung below
    /// falls: for large matrices and for all shapes.
    Packed,
    /// The same, C cut into tasks for all threads. Expect as many times more as there are cores, less what they share:
    /// the last cache, memory, and the power that sets the clock.
    Threaded,
}

impl Rung {
    /// All rungs, the lowest first.
    pub const ALL: [Rung; 6] =
        [Rung::Naive, Rung::LoopReordered, Rung::Blocked, Rung::Simd, Rung::Packed, Rung::Threaded];

    /// The rung's name, as [`FromStr`] reads it.
    pub const fn name(self) -> &'static str {
        match self {
            Rung::Naive => "naive",
            Rung::LoopReordered => "loop_reordered",
            Rung::Blocked => "blocked",
            Rung::Simd => "simd",
            Rung::Packed => "packed",
            Rung::Threaded => "threaded",
        }
    }

    /// What it does that the rung below does not.
    pub const fn idea(self) -> &'static str {
        match self {
            Rung::Naive => "the definition: a dot product for each element",
            Rung::LoopReordered => "rows of B are added to rows of C, in the order of memory",
            Rung::Blocked => "a block of B stays in a near cache",
            Rung::Simd => "a tile of C stays in registers",
            Rung::Packed => "operands are copied into the order in which they are read",
            Rung::Threaded => "every core computes some of C",
        }
    }

    /// C = A B, with A [m, k], B [k, n] and C [m, n], which is written and never read. Any m, n, k ≥ 0; k = 0 gives 0.
    /// `cpu` says the instruction set, and the threads of [`Rung::Threaded`]; the other rungs use one.
    ///
    /// # Errors
    /// The shapes do not fit each other, or a tensor is not the processor's.
    pub fn run(self, cpu: &Cpu, a: View, b: View, c: ViewMut) -> Result<()> {
        match self {
            Rung::Threaded => return gemm::gemm(cpu, Gemm::nn(), a, b, c),
            Rung::Packed => return gemm::gemm(&Cpu::new(Some(1), Some(cpu.isa))?, Gemm::nn(), a, b, c),
            _ => (),
        }
        let (m, n, k) = Gemm::nn().extents(a.shape(), b.shape(), c.shape())?;
        let (a, b, c) = (a.f32()?, b.f32()?, c.f32()?);
        if m > 0 && n > 0 {
            cpu.isa.run(Plain { rung: self, extents: [m, n, k], a, b, c });
        }
        Ok(())
    }
}

impl fmt::Display for Rung {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Rung {
    type Err = Error;

    fn from_str(name: &str) -> Result<Rung> {
        let names = Rung::ALL.map(Rung::name);
        let found = Rung::ALL.into_iter().find(|r| r.name() == name);
        found.ok_or_else(|| Error::unknown("rung", name, &names))
    }
}

/// The rungs without packing, compiled for an instruction set.
struct Plain<'a> {
    rung: Rung,
    extents: [usize; 3],
    a: &'a [f32],
    b: &'a [f32],
    c: &'a mut [f32],
}

impl Kernel for Plain<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Plain { rung, extents, a, b, c } = self;
        match rung {
            Rung::Naive => naive(extents, a, b, c),
            Rung::LoopReordered => loop_reordered(extents, a, b, c),
            Rung::Blocked => blocked(extents, a, b, c),
            _ => simd(s, extents, a, b, c),
        }
    }
}

// ---------------------------------------------------------------- rung 1

#[inline(always)]
fn naive([_, n, k]: [usize; 3], a: &[f32], b: &[f32], c: &mut [f32]) {
    for (i, row_of_c) in c.chunks_exact_mut(n).enumerate() {
        let row_of_a = &a[i * k..][..k];
        for (j, c) in row_of_c.iter_mut().enumerate() {
            let mut sum = 0.0;
            for (p, a) in row_of_a.iter().enumerate() {
                sum += a * b[p * n + j];
            }
            *c = sum;
        }
    }
}

// ---------------------------------------------------------------- rung 2

#[inline(always)]
fn loop_reordered([_, n, k]: [usize; 3], a: &[f32], b: &[f32], c: &mut [f32]) {
    for (i, row_of_c) in c.chunks_exact_mut(n).enumerate() {
        row_of_c.fill(0.0);
        for p in 0..k {
            add_scaled(a[i * k + p], &b[p * n..][..n], row_of_c);
        }
    }
}

/// y ← y + a x.
#[inline(always)]
fn add_scaled(a: f32, x: &[f32], y: &mut [f32]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += a * x;
    }
}

// ---------------------------------------------------------------- rung 3

/// A block of B, [BLOCK_K, BLOCK_N]: half a megabyte, which L2 holds, in rows long enough for the loop along them.
const BLOCK_K: usize = 128;
const BLOCK_N: usize = 1024;

#[inline(always)]
fn blocked([_, n, k]: [usize; 3], a: &[f32], b: &[f32], c: &mut [f32]) {
    c.fill(0.0);
    for first_column in (0..n).step_by(BLOCK_N) {
        let columns = first_column..n.min(first_column + BLOCK_N);
        for first_step in (0..k).step_by(BLOCK_K) {
            for (i, row_of_c) in c.chunks_exact_mut(n).enumerate() {
                for p in first_step..k.min(first_step + BLOCK_K) {
                    add_scaled(a[i * k + p], &b[p * n..][columns.clone()], &mut row_of_c[columns.clone()]);
                }
            }
        }
    }
}

// ---------------------------------------------------------------- rung 4

/// A tile: 12 registers of sums, 2 of B and 1 of A, which even 16 registers can hold.
const ROWS: usize = 6;
const REGISTERS: usize = 2;

#[inline(always)]
fn simd<S: Simd>(s: S, [m, n, k]: [usize; 3], a: &[f32], b: &[f32], c: &mut [f32]) {
    assert!(a.len() == m * k && b.len() == k * n && c.len() == m * n, "extents that are not the matrices'");
    let wide = REGISTERS * S::LANES;
    let mut j = 0;
    while j < n {
        // A panel of B: two registers wide; at the right border one, of which the last may be used in part.
        let columns = if j + wide <= n { wide } else { S::LANES.min(n - j) };
        let mut i = 0;
        while i < m {
            let rows = if i + ROWS <= m { ROWS } else { 1 };
            let t = Tile { k, n, columns, a: &a[i * k..], b: &b[j.min(b.len())..], c: &mut c[i * n + j..] };
            // SAFETY: k steps of these rows are inside A and of these columns inside B; the tile is inside C. `columns`
            // is as many registers as the constant says, or fits into one.
            unsafe {
                match (rows, columns > S::LANES) {
                    (ROWS, true) => tile::<S, ROWS, REGISTERS>(s, t),
                    (ROWS, false) => tile::<S, ROWS, 1>(s, t),
                    (_, true) => tile::<S, 1, REGISTERS>(s, t),
                    (_, false) => tile::<S, 1, 1>(s, t),
                }
            }
            i += rows;
        }
        j += columns;
    }
}

/// Where a tile's operands begin, and how far their rows are apart: k in A, n in B and C.
struct Tile<'a> {
    k: usize,
    n: usize,
    columns: usize,
    a: &'a [f32],
    b: &'a [f32],
    c: &'a mut [f32],
}

/// C's tile of R rows and V registers. The compiler knows R and V, so `sums` is 12 registers and never memory.
///
/// # Safety
/// `a` must have R rows of k numbers, `b` k rows and `c` R rows, all n apart, of `columns`: V registers, or, if V is 1,
/// up to one.
#[inline(always)]
unsafe fn tile<S: Simd, const R: usize, const V: usize>(s: S, t: Tile) {
    let Tile { k, n, columns, a, b, c } = t;
    let whole = columns == V * S::LANES;
    let mut sums = [[s.splat(0.0); V]; R];
    for p in 0..k {
        let mut bs = [s.splat(0.0); V];
        for (j, v) in bs.iter_mut().enumerate() {
            // SAFETY: the caller vouches for `columns` numbers in row p of B.
            *v = unsafe {
                let at = b.as_ptr().add(p * n + j * S::LANES);
                if whole { s.load(at) } else { s.load_part(at, columns) }
            };
        }
        for (i, row) in sums.iter_mut().enumerate() {
            // SAFETY: the caller vouches for R rows of A.
            let ai = s.splat(unsafe { *a.get_unchecked(i * k + p) });
            for (sum, bj) in row.iter_mut().zip(bs) {
                *sum = ai.mul_add(bj, *sum);
            }
        }
    }
    for (i, row) in sums.into_iter().enumerate() {
        for (j, sum) in row.into_iter().enumerate() {
            // SAFETY: the caller vouches for R rows of `columns` of C.
            unsafe {
                let at = c.as_mut_ptr().add(i * n + j * S::LANES);
                if whole { s.store(sum, at) } else { s.store_part(sum, at, columns) }
            }
        }
    }
}

// ---------------------------------------------------------------- beside the ladder

/// C = op(A) op(B) by the `matrixmultiply` crate on one thread: another hand's work on the same ideas, which the benches
/// hold [`gemm`](crate::Backend::gemm) against. α and β are as in `g`.
///
/// # Errors
/// The shapes do not fit each other, or a tensor is not the processor's.
pub fn matrixmultiply(g: Gemm, a: View, b: View, c: ViewMut) -> Result<()> {
    let (m, n, k) = g.extents(a.shape(), b.shape(), c.shape())?;
    let (a, b, c) = (a.f32()?, b.f32()?, c.f32()?);
    assert!(
        a.len() == m * k && b.len() == k * n && c.len() == m * n,
        "views have the lengths of their shapes"
    );
    // From a row of op(A) or op(B) to the next, and from a column to the next.
    let strides = |transpose, rows: usize, columns: usize| match transpose {
        true => (1, rows as isize),
        false => (columns as isize, 1),
    };
    let ((ra, ca), (rb, cb)) = (strides(g.transpose_a, m, k), strides(g.transpose_b, k, n));
    let (alpha, beta, (a, b, c)) = (g.alpha as f32, g.beta as f32, (a.as_ptr(), b.as_ptr(), c.as_mut_ptr()));
    // SAFETY: op(A) is [m, k] and op(B) [k, n] at these strides, so their last elements are the slices' last, as the
    // assertion holds; C is borrowed exclusively. Extents of slices fit into isize.
    unsafe { matrixmultiply::sgemm(m, k, n, alpha, a, ra, ca, b, rb, cb, beta, c, n as isize, 1) };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Backend;
    use crate::cpu::Isa;
    use crate::cpu::random;
    use crate::rng::Rng;

    /// Every rung and every instruction set at sizes around registers, tiles and blocks, into a C of NaN, against three
    /// loops in f64. k additions round, each at most as much as the sum of the products' sizes.
    #[test]
    fn every_rung_is_the_product() {
        let mut rng = Rng::new(5, 0);
        let sizes = [
            [1, 1, 1],
            [1, 17, 3],
            [2, 3, 0],
            [0, 3, 2],
            [3, 0, 2],
            [5, 7, 11],
            [6, 16, 64],
            [7, 15, 65],
            [12, 33, 63],
            [13, 31, 129],
            [31, 41, 37],
            [19, 257, 67],
            [67, 300, 130],
            [3, 1025, 129],
        ];
        for isa in Isa::available() {
            let cpu = Cpu::new(Some(2), Some(isa)).unwrap();
            for [m, n, k] in sizes {
                let (a, b) = (random(&mut rng, [m, k]), random(&mut rng, [k, n]));
                let (av, bv) = (a.to_vec(), b.to_vec());
                let mut products = Vec::new();
                for rung in Rung::ALL {
                    let mut c = random(&mut rng, [m, n]);
                    c.view_mut().write_f32(&vec![f32::NAN; m * n]).unwrap();
                    rung.run(&cpu, a.view(), b.view(), c.view_mut()).unwrap();
                    products.push((rung.name(), c.to_vec()));
                }
                let mut c = random(&mut rng, [m, n]);
                matrixmultiply(Gemm::nn(), a.view(), b.view(), c.view_mut()).unwrap();
                products.push(("matrixmultiply", c.to_vec()));
                for (i, j) in (0..m).flat_map(|i| (0..n).map(move |j| (i, j))) {
                    let terms = (0..k).map(|p| f64::from(av[i * k + p]) * f64::from(bv[p * n + j]));
                    let (sum, size) = terms.fold((0.0, 0.0), |(s, t), x| (s + x, t + x.abs()));
                    let bound = (k + 1) as f64 * f64::from(f32::EPSILON) * size;
                    for (name, c) in &products {
                        let got = c[i * n + j];
                        let error = (f64::from(got) - sum).abs();
                        assert!(
                            error <= bound,
                            "{name} on {isa}, {m}×{n}×{k}: C[{i}, {j}] = {got}, not {sum}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn the_other_hand_transposes_too() {
        let cpu = Cpu::new(Some(1), None).unwrap();
        let mut rng = Rng::new(6, 0);
        let (m, n, k) = (5, 7, 9);
        for (g, a, b) in
            [(Gemm::tn(), [k, m], [k, n]), (Gemm::nt(), [m, k], [n, k]), (Gemm::tt(), [k, m], [n, k])]
        {
            let g = Gemm { alpha: 0.5, beta: 2.0, ..g };
            let (a, b) = (random(&mut rng, [a[0], a[1]]), random(&mut rng, [b[0], b[1]]));
            let (mut c, mut ours) = (random(&mut rng, [m, n]), cpu.zeros([m, n].into()).unwrap());
            ours.view_mut().write_f32(&c.to_vec()).unwrap();
            cpu.gemm(g, a.view(), b.view(), ours.view_mut()).unwrap();
            matrixmultiply(g, a.view(), b.view(), c.view_mut()).unwrap();
            assert!(c.to_vec().iter().zip(ours.to_vec()).all(|(x, y)| (x - y).abs() < 1e-5), "{g:?}");
        }
    }

    #[test]
    fn shapes_that_do_not_fit_are_errors() {
        let cpu = Cpu::new(Some(1), None).unwrap();
        let zeros = |rows: usize, columns: usize| cpu.zeros([rows, columns].into()).unwrap();
        for rung in Rung::ALL {
            let error = rung.run(&cpu, zeros(2, 3).view(), zeros(2, 3).view(), zeros(2, 3).view_mut());
            assert!(error.unwrap_err().to_string().contains("[2, 3]"), "{rung}");
        }
    }

    #[test]
    fn names_are_found_or_corrected() {
        for rung in Rung::ALL {
            assert_eq!(rung.name().parse::<Rung>().unwrap(), rung);
            assert!(!rung.idea().is_empty());
        }
        let error = "blokced".parse::<Rung>().unwrap_err();
        assert!(error.hint().unwrap().starts_with("did you mean `blocked`?"), "{error:?}");
    }
}
