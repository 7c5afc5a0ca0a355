//! How fast the ops between the GEMMs are: bytes of main memory that each reads and writes, per second.
//!
//! ```text
//! cargo bench --bench ops                    # all
//! cargo bench --bench ops -- adam            # one
//! HANDGRAD_ISA=portable cargo bench --bench ops
//! ```
//!
//! Sizes are those of a small model's layer, which stay in the caches: what is measured is arithmetic. `relu` does next
//! to none, and shows what moving the numbers costs.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use handgrad::backend::{CellActivations, LossTerm};
use handgrad::cpu::{Cpu, Floor};
use handgrad::optimizers::{Rule, Update};
use handgrad::rng::Noise;
use handgrad::{Activation, Device, Loss, Rng, Shape, Target, Tensor};
use std::sync::Arc;
use std::time::Duration;

/// Standard normal numbers.
fn normal(dev: &Device, shape: impl Into<Shape>) -> Tensor {
    let (shape, mut rng) = (shape.into(), Rng::new(1, 2));
    let values: Vec<f64> = (0..shape.len()).map(|_| rng.normal()).collect();
    dev.tensor(shape, &values).unwrap()
}

/// `ops/name`, which moves `numbers` numbers of f32.
fn bench(c: &mut Criterion, name: &str, numbers: usize, mut op: impl FnMut() -> handgrad::Result<()>) {
    let mut group = c.benchmark_group("ops");
    group.throughput(Throughput::Bytes(4 * numbers as u64));
    group.bench_function(name, |b| b.iter(|| op().unwrap()));
}

fn ops(c: &mut Criterion) {
    let cpu = Arc::new(Cpu::new(None, None).unwrap());
    println!("at best {}", Floor::measure(&cpu, Duration::from_secs(1)));
    let dev = &Device::from_shared(cpu);
    let (n, u, classes) = (128, 512, 10);
    let x = normal(dev, [n, u]);
    let mut y = normal(dev, [n, u]);
    let all = [
        ("relu", Activation::Relu),
        ("exponential", Activation::Exponential),
        ("tanh", Activation::Tanh),
        ("sigmoid", Activation::Sigmoid),
        ("gelu", Activation::Gelu { approximate: false }),
        ("softmax", Activation::Softmax),
    ];
    for (name, f) in all {
        // Copied in each time: an activation of its own result would drift away. The copy is counted.
        bench(c, name, 4 * n * u, || {
            dev.copy(x.view(), y.view_mut())?;
            dev.activate(f, y.view_mut())
        });
    }

    let noise = Noise { seed: 1, layer: 2, step: 3 };
    bench(c, "dropout", 2 * n * u, || dev.dropout(0.5, noise, x.view(), y.view_mut()));

    let z = normal(dev, [n, classes]);
    let (mut p, mut dz) = (normal(dev, [n, classes]), normal(dev, [n, classes]));
    let mut rows = normal(dev, [n]);
    let mut labels = dev.indices(n.into()).unwrap();
    labels.write(&(0..n as u32).map(|r| r % classes as u32).collect::<Vec<_>>()).unwrap();
    bench(c, "softmax_crossentropy_step", (3 * classes + 2) * n, || {
        let term = LossTerm {
            loss: Loss::SparseCategoricalCrossentropy { from_logits: true },
            folded: Activation::Softmax,
            target: Target::Labels(labels.view()),
            weights: None,
            scale: 1.0 / n as f64,
        };
        dev.loss_step(&term, z.view(), p.view_mut(), rows.view_mut(), dz.view_mut())
    });

    let cell = CellActivations { activation: Activation::Tanh, recurrent: Activation::Sigmoid };
    let (u, before) = (128, normal(dev, [n, 128]));
    let (mut gates, mut state, mut h) = (normal(dev, [n, 4 * u]), normal(dev, [n, u]), normal(dev, [n, u]));
    bench(c, "lstm_step", (4 + 4 + 3) * n * u, || {
        dev.lstm_step(cell, gates.view_mut(), Some(before.view()), state.view_mut(), h.view_mut())
    });
    let after = dev.tensor([n, 4 * u], &gates.view().to_vec_f64()).unwrap();
    bench(c, "lstm_step_backward", (4 + 4 + 5 + 8 + 2) * n * u, || {
        // Copied in each time: gradients of gradients would vanish. The copies are counted.
        dev.copy(after.view(), gates.view_mut())?;
        dev.copy(before.view(), h.view_mut())?;
        let (c_prev, dh) = (Some(before.view()), before.view());
        dev.lstm_step_backward(cell, gates.view_mut(), c_prev, state.view(), dh, h.view_mut())
    });

    let (mut w, g) = (normal(dev, [784, 100]), normal(dev, [784, 100]));
    let mut slots = [dev.zeros([784, 100].into()).unwrap(), dev.zeros([784, 100].into()).unwrap()];
    let rule = Rule::Adam { alpha: 0.001, beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7, amsgrad: false };
    bench(c, "adam", 7 * w.shape().len(), || {
        dev.update(&Update { decay: 0.0, rule }, w.view_mut(), g.view(), &mut slots)
    });
}

criterion_group!(benches, ops);
criterion_main!(benches);
