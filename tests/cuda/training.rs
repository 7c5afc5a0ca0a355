//! Whole training runs: what a user does.

use super::{alone, gpu};
use handgrad::callbacks::{Callback, Flow, Running};
use handgrad::model::{Compile, Fit};
use handgrad::presets::Preset;
use handgrad::{Device, Result};

/// Notes the mean loss after every step.
struct Losses(Vec<f64>);

impl Callback for Losses {
    fn on_batch_end(&mut self, running: &Running) -> Result<Flow> {
        self.0.extend(running.scores()?.get("loss"));
        Ok(Flow::Continue)
    }
}

/// The mean losses of an epoch after each of its steps.
fn losses(device: &Device, name: &str, samples: usize, batch: usize) -> Vec<f64> {
    let preset = Preset::named(name).unwrap();
    let data = preset.load(None, None, 0).unwrap_or_else(|e| panic!("{name}: {e} ({:?})", e.hint()));
    let train = data.train.take(samples).unwrap();
    let mut model = (preset.model)().seed(3).device(device);
    model.compile(Compile::new(preset.loss).optimizer(preset.optimizer).metric("accuracy")).unwrap();
    let mut losses = Losses(Vec::new());
    let fit = Fit::new().epochs(1).batch_size(batch).verbose(0).callback(&mut losses);
    model.fit(&train, fit).unwrap();
    losses.0
}

/// Holds a GPU's losses against the processor's. Rounding differs, and each step builds on the one before: errors grow
/// from `1e-6` as the weights drift apart, slowly where the model learns smoothly.
fn agree(name: &str, steps: usize, batch: usize) {
    let Some(device) = gpu::device() else { return };
    let _alone = alone();
    let gpu = losses(&device, name, steps * batch, batch);
    let cpu = losses(&Device::cpu().unwrap(), name, steps * batch, batch);
    assert_eq!((gpu.len(), cpu.len()), (steps, steps));
    let error = |(a, b): (&f64, &f64)| (a - b).abs() / b.abs();
    let worst = gpu.iter().zip(&cpu).map(error).fold(0.0, f64::max);
    println!(
        "{name}: after {steps} steps loss {} on the GPU, {} on the processor; apart by {worst:.1e}",
        gpu[steps - 1],
        cpu[steps - 1]
    );
    assert!(gpu.iter().zip(&cpu).map(error).all(|e| e <= 1e-6), "{name}: {gpu:?}\n{cpu:?}");
    assert!(gpu[steps - 1] < gpu[0], "{name} does not learn: {gpu:?}");
}

#[test]
fn xor_is_learnt() {
    let Some(device) = gpu::device() else { return };
    let _alone = alone();
    let preset = Preset::named("xor").unwrap();
    let data = preset.load(None, None, 0).unwrap();
    let mut model = (preset.model)().device(&device);
    model.compile(Compile::new(preset.loss).optimizer(preset.optimizer).metric("accuracy")).unwrap();
    let fit = Fit::new().epochs(preset.epochs).batch_size(preset.batch_size).verbose(0);
    let history = model.fit(&data.train, fit).unwrap();
    assert_eq!(history.last("accuracy"), Some(1.0), "{:?}", history.last("loss"));
}

#[test]
fn two_hundred_steps_of_mnist_mlp() {
    agree("mnist-mlp", 200, 128);
}

#[test]
fn twenty_steps_of_mnist_cnn() {
    agree("mnist-cnn", 20, 16);
}

#[test]
fn twenty_steps_of_mnist_lstm() {
    agree("mnist-lstm", 20, 32);
}
