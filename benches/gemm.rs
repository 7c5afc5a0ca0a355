//! How fast matrix products are: multiply-adds per second, ours against `matrixmultiply::sgemm`.
//!
//! ```text
//! cargo bench --bench gemm                   # all sizes, one thread
//! cargo bench --bench gemm -- 'dW'           # those whose name has dW
//! HANDGRAD_ISA=portable cargo bench --bench gemm
//! ```
//!
//! Sizes are m × k × n. An element is one multiply-add; twice that is what others call FLOPs.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use handgrad::{Device, Gemm, Rng, Tensor};
use std::time::Duration;

/// Numbers in [−1, 1).
fn uniform(dev: &Device, rows: usize, columns: usize) -> Tensor {
    let mut rng = Rng::new(1, 2);
    let values: Vec<f64> = (0..rows * columns).map(|_| rng.uniform() * 2.0 - 1.0).collect();
    dev.tensor([rows, columns], &values).unwrap()
}

fn products(c: &mut Criterion) {
    let dev = Device::cpu_with(Some(1), None).unwrap();
    println!("{}", dev.describe());
    let all = [
        ("dense 784-100", Gemm::nn(), [32, 784, 100]),
        ("dense 784-100 dW", Gemm::tn(), [784, 32, 100]),
        ("dense 784-100 dx", Gemm::nt(), [32, 100, 784]),
        ("dense 784-64", Gemm::nn(), [128, 784, 64]),
        ("recurrent 128", Gemm::nn(), [128, 128, 512]),
        ("recurrent 128 dW", Gemm::tn(), [128, 3584, 512]),
        ("recurrent 128 dh", Gemm::nt(), [128, 512, 128]),
        ("square", Gemm::nn(), [512, 512, 512]),
        ("square tn", Gemm::tn(), [512, 512, 512]),
        ("square nt", Gemm::nt(), [512, 512, 512]),
        ("im2col of 3×3×32", Gemm::nn(), [15488, 288, 64]),
        ("im2col of 3×3×1", Gemm::nn(), [86528, 9, 32]),
    ];
    for (name, g, [m, k, n]) in all {
        let flip = |transpose, rows, columns| match transpose {
            true => uniform(&dev, columns, rows),
            false => uniform(&dev, rows, columns),
        };
        let (a, b) = (flip(g.transpose_a, m, k), flip(g.transpose_b, k, n));
        let mut y = uniform(&dev, m, n);
        let mut group = c.benchmark_group(format!("gemm/{name} {m}×{k}×{n}"));
        group.throughput(Throughput::Elements((m * k * n) as u64));
        group.bench_function("handgrad", |bench| {
            bench.iter(|| dev.gemm(g, a.view(), b.view(), y.view_mut()).unwrap());
        });
        // Strides of op(A) and op(B): from a row to the next, from a column to the next.
        let strides = |transpose, rows: usize, columns: usize| match transpose {
            true => (1, rows as isize),
            false => (columns as isize, 1),
        };
        let ((ra, ca), (rb, cb)) = (strides(g.transpose_a, m, k), strides(g.transpose_b, k, n));
        let (a, b) = (a.view().f32().unwrap(), b.view().f32().unwrap());
        group.bench_function("matrixmultiply", |bench| {
            let y = y.view_mut().f32().unwrap().as_mut_ptr();
            let (a, b) = (a.as_ptr(), b.as_ptr());
            // SAFETY: the strides are those of the tensors, whose extents they were made with.
            bench.iter(|| unsafe {
                matrixmultiply::sgemm(m, k, n, 1.0, a, ra, ca, b, rb, cb, 0.0, y, n as isize, 1);
            });
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = products
}
criterion_main!(benches);
