//! `handgrad bench step`: whole training steps, on random pixels.
//!
//! A step loads a batch, goes forward, takes the loss, goes backward and updates. Counted are the operations of its
//! matrix products: 2 m n k for the forward pass and each of the two backward ones, but for the first layer, which
//! blames nobody. All else that a step does is time and no operation: its part of the peak shows that, too.

use super::{By, Case, Crew};
use handgrad::data::{Dataset, Features, Targets};
use handgrad::model::{Compile, Fit};
use handgrad::presets::Preset;
use handgrad::{Device, Result, Rng, Sequential, Shape};

/// A preset, what it is called here, steps of one run, multiply-adds of a sample for each weight matrix; those of the
/// first also lie next to the data.
type Model = (&'static str, &'static str, usize, &'static [usize]);

const MODELS: [Model; 4] = [
    ("fashion-adam", "mlp 784-100-10", 64, &[784 * 100, 100 * 10]),
    ("mnist-mlp", "mlp 784-64-32-10", 16, &[784 * 64, 64 * 32, 32 * 10]),
    ("mnist-cnn", "cnn", 2, &[26 * 26 * 9 * 32, 11 * 11 * 288 * 64, 1600 * 128, 128 * 10]),
    ("mnist-lstm", "lstm 128", 2, &[28 * 28 * 512, 27 * 128 * 512, 128 * 10]),
];

/// One training step of each model, for every crew.
pub(super) fn cases(crews: &[Crew], quick: bool) -> Result<Vec<Case>> {
    MODELS.into_iter().map(|m| case(m, crews, quick)).collect()
}

fn case((preset, name, steps, products): Model, crews: &[Crew], quick: bool) -> Result<Case> {
    let preset = Preset::named(preset)?;
    let (batch, steps) = (preset.batch_size, if quick { 1 } else { steps });
    let data = pixels(Shape::new(preset.sample)?, steps * batch)?;
    let mut models = Vec::new();
    for crew in crews {
        models.push(model(preset, &crew.device)?);
    }
    let parameters = models.first_mut().map_or(Ok(0), Sequential::parameter_count)?;
    let multiply_adds = 3 * products.iter().sum::<usize>() - products.first().unwrap_or(&0);
    let pixels = batch * data.sample_shape().len() / 4; // bytes
    // Adam reads and writes a parameter and its two moments, and the gradient is written and read.
    let moved = (8 * parameters + pixels, 4 * parameters + pixels);
    let shape = format!("batch {batch}, adam");
    Ok(Case {
        times: steps as f64,
        samples: Some(batch as f64),
        run: Box::new(move |by| match by {
            By::Ours(crew) => {
                models[crew.number].fit(&data, Fit::new().batch_size(batch).verbose(0)).map(drop)
            }
            By::Rival => Ok(()),
        }),
        ..Case::new("step", (name, shape), 2 * batch * multiply_adds, moved, |_| Ok(()))
    })
}

/// The preset's model on a device, ready to train.
fn model(preset: &Preset, device: &Device) -> Result<Sequential> {
    let mut model = (preset.model)().device(device);
    model.build(Shape::new(preset.sample)?)?;
    model.compile(Compile::new(preset.loss).optimizer(preset.optimizer))?;
    Ok(model)
}

/// Random bytes with random labels.
fn pixels(sample: Shape, count: usize) -> Result<Dataset> {
    let mut rng = Rng::new(3, 0);
    let bytes = (0..count * sample.len()).map(|_| rng.below(256) as u8).collect();
    let labels = (0..count).map(|_| rng.below(10) as u32).collect();
    Dataset::new(Features::Bytes { sample, bytes, scale: 1.0 / 255.0 }, Targets::labels(labels))
}
