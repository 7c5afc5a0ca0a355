//! `handgrad bench gemm`: matrix products against the floor and against `matrixmultiply`, and the ladder.

use super::measure::race;
use super::report::Row;
use super::{Bench, By, Case, uniform};
use handgrad::cpu::{Rung, matrixmultiply};
use handgrad::{Gemm, Result};

/// What, which transposes, [m, k, n].
type Product = (&'static str, Gemm, [usize; 3]);

/// Squares, those of small models, odd ones. `benches/gemm.rs` has the same.
const PRODUCTS: [Product; 21] = [
    ("square", Gemm::nn(), [64; 3]),
    ("square", Gemm::nn(), [128; 3]),
    ("square", Gemm::nn(), [256; 3]),
    ("square", Gemm::nn(), [512; 3]),
    ("square", Gemm::nn(), [1024; 3]),
    ("square", Gemm::nn(), [2048; 3]),
    ("square tn", Gemm::tn(), [512; 3]),
    ("square nt", Gemm::nt(), [512; 3]),
    ("dense", Gemm::nn(), [32, 784, 100]),
    ("dense dW", Gemm::tn(), [784, 32, 100]),
    ("dense dx", Gemm::nt(), [32, 100, 784]),
    ("dense", Gemm::nn(), [128, 784, 64]),
    ("dense", Gemm::nn(), [128, 784, 128]),
    ("recurrent", Gemm::nn(), [128, 128, 512]),
    ("recurrent dW", Gemm::tn(), [128, 3584, 512]),
    ("recurrent dh", Gemm::nt(), [128, 512, 128]),
    ("im2col", Gemm::nn(), [15488, 288, 64]),
    ("im2col", Gemm::nn(), [86528, 9, 32]),
    ("primes", Gemm::nn(), [31, 37, 41]),
    ("primes", Gemm::nn(), [127, 131, 137]),
    ("primes", Gemm::nn(), [509, 521, 523]),
];
/// Multiply-adds of the largest product that `--quick` measures.
const QUICK: usize = 128 * 3584 * 512;

/// The shape of a product, m × k × n.
fn extents([m, k, n]: [usize; 3]) -> String {
    if m == k && k == n { format!("{m}³") } else { format!("{m}×{k}×{n}") }
}

/// C = op(A) op(B) for each of the sizes.
pub(super) fn cases(quick: bool) -> Result<Vec<Case>> {
    let fits = |p: &Product| !quick || p.2.iter().product::<usize>() <= QUICK;
    PRODUCTS.into_iter().filter(fits).map(product).collect()
}

fn product((op, g, [m, k, n]): Product) -> Result<Case> {
    let a = uniform(if g.transpose_a { [k, m] } else { [m, k] })?;
    let b = uniform(if g.transpose_b { [n, k] } else { [k, n] })?;
    let mut c = uniform([m, n])?;
    let numbers = m * k + k * n + m * n;
    let case = Case::new("gemm", (op, extents([m, k, n])), 2 * m * k * n, (numbers, numbers), |_| Ok(()));
    let run = move |by: By| match by {
        By::Ours(crew) => crew.device.gemm(g, a.view(), b.view(), c.view_mut()),
        By::Rival => matrixmultiply(g, a.view(), b.view(), c.view_mut()),
    };
    Ok(Case { rival: true, run: Box::new(run), ..case })
}

/// Every rung at one size: on one thread, but for the last. The lowest is left out where it would take seconds.
pub(super) fn ladder(bench: &Bench, side: usize) -> Result<Vec<Row>> {
    let (Some(one), Some(all)) = (bench.crews.first(), bench.crews.last()) else { return Ok(Vec::new()) };
    let crew = |rung| if rung == Rung::Threaded { all } else { one };
    let rungs: Vec<Rung> = Rung::ALL.into_iter().filter(|r| *r != Rung::Naive || side <= 512).collect();
    let (a, b, mut c) = (uniform([side, side])?, uniform([side, side])?, uniform([side, side])?);
    let timings = race(rungs.len(), bench.budget, |i| {
        rungs[i].run(&crew(rungs[i]).cpu, a.view(), b.view(), c.view_mut())
    })?;
    let rows = rungs.into_iter().zip(timings).map(|(rung, timing)| {
        let (flops, numbers) = (2 * side * side * side, 3 * side * side);
        let name = (rung.name(), extents([side; 3]));
        Row::new(&Case::new("ladder", name, flops, (numbers, numbers), |_| Ok(())), crew(rung), &timing)
    });
    Ok(rows.collect())
}
