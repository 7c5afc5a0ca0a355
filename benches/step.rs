//! How fast whole training steps are: samples per second of the presets' models, on random pixels. A step loads a batch,
//! goes forward, takes the loss, goes backward and updates.
//!
//! ```text
//! cargo bench --bench step                   # all models, all threads
//! cargo bench --bench step -- mnist-lstm     # one
//! ```
//!
//! `handgrad bench step` says beside it what part of the machine's peak that is.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use handgrad::cpu::{Cpu, Floor};
use handgrad::data::{Dataset, Features, Targets};
use handgrad::model::{Compile, Fit};
use handgrad::presets::Preset;
use handgrad::{Device, Rng, Shape};
use std::sync::Arc;
use std::time::Duration;

fn steps(criterion: &mut Criterion) {
    let cpu = Arc::new(Cpu::new(None, None).unwrap());
    println!("at best {}", Floor::measure(&cpu, Duration::from_secs(1)));
    let (device, mut rng) = (Device::from_shared(cpu), Rng::new(3, 0));
    for (name, steps) in [("fashion-adam", 64), ("mnist-mlp", 16), ("mnist-cnn", 2), ("mnist-lstm", 2)] {
        let preset = Preset::named(name).unwrap();
        let (sample, count) = (Shape::new(preset.sample).unwrap(), steps * preset.batch_size);
        let bytes = (0..count * sample.len()).map(|_| rng.below(256) as u8).collect();
        let labels = (0..count).map(|_| rng.below(10) as u32).collect();
        let x = Features::Bytes { sample, bytes, scale: 1.0 / 255.0 };
        let data = Dataset::new(x, Targets::labels(labels)).unwrap();
        let mut model = (preset.model)().device(&device);
        model.build(sample).unwrap();
        model.compile(Compile::new(preset.loss).optimizer(preset.optimizer)).unwrap();
        let mut group = criterion.benchmark_group("step");
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(format!("{name}, batch {}", preset.batch_size), |b| {
            b.iter(|| model.fit(&data, Fit::new().batch_size(preset.batch_size).verbose(0)).unwrap());
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = steps
}
criterion_main!(benches);
