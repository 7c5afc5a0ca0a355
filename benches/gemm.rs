//! How fast matrix products are: multiply-adds per second, ours against `matrixmultiply::sgemm`.
//!
//! ```text
//! cargo bench --bench gemm                   # all sizes, one thread
//! cargo bench --bench gemm -- 'dW'           # those whose name has dW
//! HANDGRAD_ISA=portable cargo bench --bench gemm
//! ```
//!
//! Sizes are m × k × n. An element is one multiply-add; twice that is what others call FLOPs. What the machine can do
//! at best is printed first.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use handgrad::cpu::{Cpu, Floor, matrixmultiply};
use handgrad::{Device, Gemm, Rng, Tensor};
use std::sync::Arc;
use std::time::Duration;

/// Numbers in [−1, 1).
fn uniform(dev: &Device, rows: usize, columns: usize) -> Tensor {
    let mut rng = Rng::new(1, 2);
    let values: Vec<f64> = (0..rows * columns).map(|_| rng.uniform() * 2.0 - 1.0).collect();
    dev.tensor([rows, columns], &values).unwrap()
}

fn products(c: &mut Criterion) {
    let cpu = Arc::new(Cpu::new(Some(1), None).unwrap());
    let floor = Floor::measure(&cpu, Duration::from_secs(1));
    println!("at best {floor}: {:.1} Gelem/s below", floor.flops * 0.5e-9);
    let dev = Device::from_shared(cpu);
    let all = [
        ("dense 784-100", Gemm::nn(), [32, 784, 100]),
        ("dense 784-100 dW", Gemm::tn(), [784, 32, 100]),
        ("dense 784-100 dx", Gemm::nt(), [32, 100, 784]),
        ("dense 784-64", Gemm::nn(), [128, 784, 64]),
        ("dense 784-128", Gemm::nn(), [128, 784, 128]),
        ("recurrent 128", Gemm::nn(), [128, 128, 512]),
        ("recurrent 128 dW", Gemm::tn(), [128, 3584, 512]),
        ("recurrent 128 dh", Gemm::nt(), [128, 512, 128]),
        ("square", Gemm::nn(), [64, 64, 64]),
        ("square", Gemm::nn(), [128, 128, 128]),
        ("square", Gemm::nn(), [256, 256, 256]),
        ("square", Gemm::nn(), [512, 512, 512]),
        ("square", Gemm::nn(), [1024, 1024, 1024]),
        ("square", Gemm::nn(), [2048, 2048, 2048]),
        ("square tn", Gemm::tn(), [512, 512, 512]),
        ("square nt", Gemm::nt(), [512, 512, 512]),
        ("im2col of 3×3×32", Gemm::nn(), [15488, 288, 64]),
        ("im2col of 3×3×1", Gemm::nn(), [86528, 9, 32]),
        ("primes", Gemm::nn(), [31, 37, 41]),
        ("primes", Gemm::nn(), [127, 131, 137]),
        ("primes", Gemm::nn(), [509, 521, 523]),
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
        group.bench_function("matrixmultiply", |bench| {
            bench.iter(|| matrixmultiply(g, a.view(), b.view(), y.view_mut()).unwrap());
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
