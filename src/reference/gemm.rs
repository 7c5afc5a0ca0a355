//! The matrix product: the textbook's three loops for small ones, the `matrixmultiply` crate for large ones.
//!
//! Both sum in double precision; a test below holds the crate to the loops.
#![allow(unsafe_code)]

use crate::backend::Gemm;
use crate::error::Result;
use crate::tensor::{View, ViewMut};

/// From this many multiplications on, the loops take too long.
const LARGE: usize = 32 * 32 * 32;

/// m, n, k.
type Extents = (usize, usize, usize);

pub(super) fn gemm(g: Gemm, a: View, b: View, c: ViewMut) -> Result<()> {
    let (m, n, k) = g.extents(a.shape(), b.shape(), c.shape())?;
    let (a, b, c) = (a.f64()?, b.f64()?, c.f64()?);
    let product = if m.saturating_mul(n).saturating_mul(k) > LARGE { blocked } else { textbook };
    product(g, (m, n, k), a, b, c);
    Ok(())
}

fn textbook(g: Gemm, (m, n, k): Extents, a: &[f64], b: &[f64], c: &mut [f64]) {
    let op_a = |i: usize, l: usize| if g.transpose_a { a[l * m + i] } else { a[i * k + l] };
    let op_b = |l: usize, j: usize| if g.transpose_b { b[j * k + l] } else { b[l * n + j] };
    for i in 0..m {
        for j in 0..n {
            let mut sum = 0.0;
            for l in 0..k {
                sum += op_a(i, l) * op_b(l, j);
            }
            let c = &mut c[i * n + j];
            *c = g.alpha * sum + if g.beta == 0.0 { 0.0 } else { g.beta * *c };
        }
    }
}

fn blocked(g: Gemm, (m, n, k): Extents, a: &[f64], b: &[f64], c: &mut [f64]) {
    // Distances from row to row and from column to column of op(A) and op(B).
    let (row_a, col_a) = if g.transpose_a { (1, m) } else { (k, 1) };
    let (row_b, col_b) = if g.transpose_b { (1, k) } else { (n, 1) };
    assert!(a.len() == m * k && b.len() == k * n && c.len() == m * n, "gemm: lengths do not fit the extents");
    // SAFETY: op(A) has m rows and k columns at these distances, so its last element is at (m−1) row_a + (k−1) col_a
    // = m k − 1, the slice's last; likewise B and C, as the assertion holds. C is borrowed exclusively, so nothing
    // aliases it. Extents of slices fit into isize.
    unsafe {
        matrixmultiply::dgemm(
            m,
            k,
            n,
            g.alpha,
            a.as_ptr(),
            row_a as isize,
            col_a as isize,
            b.as_ptr(),
            row_b as isize,
            col_b as isize,
            g.beta,
            c.as_mut_ptr(),
            n as isize,
            1,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;

    /// Every transpose, α and β, into a C full of NaN where β = 0.
    #[test]
    fn the_crate_agrees_with_the_loops() {
        let mut rng = Rng::new(1, 0);
        for (m, n, k) in [(1, 1, 1), (3, 5, 7), (33, 31, 37), (8, 64, 65), (70, 1, 19)] {
            for g in [Gemm::nn(), Gemm::tn(), Gemm::nt(), Gemm::tt()] {
                for (alpha, beta) in [(1.0, 0.0), (-0.5, 0.0), (1.0, 1.0), (2.0, -0.25)] {
                    let g = Gemm { alpha, beta, ..g };
                    let mut draw = |n| (0..n).map(|_| rng.normal()).collect::<Vec<_>>();
                    let (a, b) = (draw(m * k), draw(k * n));
                    let c = if beta == 0.0 { vec![f64::NAN; m * n] } else { draw(m * n) };
                    let (mut loops, mut krate) = (c.clone(), c);
                    textbook(g, (m, n, k), &a, &b, &mut loops);
                    blocked(g, (m, n, k), &a, &b, &mut krate);
                    for (x, y) in loops.iter().zip(&krate) {
                        assert!((x - y).abs() <= 1e-15 * (k + 2) as f64 * 10.0, "{x} and {y}, {g:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn no_inner_extent_leaves_beta_c() {
        let mut c = [3.0, 4.0];
        textbook(Gemm { beta: 0.5, ..Gemm::nn() }, (2, 1, 0), &[], &[], &mut c);
        assert_eq!(c, [1.5, 2.0]);
    }
}
