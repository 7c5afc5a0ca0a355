//! A callback of your own: `cargo run --release --example custom_callback`.
//!
//! Warm-up (Goyal et al. 2017): the learning rate rises in a straight line over the first steps, then stays. It shows the
//! three things that a callback does: it sets something before a step, it watches while an epoch runs, and it adds a
//! figure to the history, where others see it.

use handgrad::callbacks::{Callback, CsvLogger, Flow, Running};
use handgrad::data::Dataset;
use handgrad::layers::Dense;
use handgrad::model::{Compile, Epoch, Fit};
use handgrad::{Activation, Result, Sequential};
use std::ops::Range;

/// From 0 to `target` in `steps` steps.
struct Warmup {
    target: f64,
    steps: usize,
    done: usize,
    halfway: f64,
}

impl Callback for Warmup {
    /// Called once before the first epoch: a callback that is used again forgets here what it saw.
    fn on_train_begin(&mut self, _model: &mut Sequential, _epochs: Range<usize>) -> Result<()> {
        self.done = 0;
        Ok(())
    }

    /// Before each step: the place to set the learning rate.
    fn on_batch_begin(&mut self, model: &mut Sequential, _epoch: usize, _batch: usize) -> Result<()> {
        self.done += 1;
        let share = (self.done as f64 / self.steps as f64).min(1.0);
        model.set_learning_rate(self.target * share)
    }

    /// After each step. `running.loss()` is the mean over the epoch so far. On a GPU whoever asks waits until all steps are
    /// computed: ask once an epoch, as here, and not after each batch.
    fn on_batch_end(&mut self, running: &Running) -> Result<Flow> {
        if running.batch == running.batches.div_ceil(2) {
            self.halfway = running.loss()?;
        }
        Ok(Flow::Continue)
    }

    /// After each epoch and its validation. What is added to the record stands in the history and in the log.
    fn on_epoch_end(&mut self, model: &mut Sequential, _epoch: usize, record: &mut Epoch) -> Result<Flow> {
        record.scores.set("halfway_loss", self.halfway);
        record.scores.set("learning_rate", model.learning_rate()?);
        Ok(if record.scores.get("loss").is_some_and(|loss| loss < 0.005) {
            Flow::Stop
        } else {
            Flow::Continue
        })
    }
}

fn main() -> Result<()> {
    let xor = Dataset::from_rows(&[[0., 0.], [0., 1.], [1., 0.], [1., 1.]], &[[0.], [1.], [1.], [0.]])?;
    let mut model = Sequential::new()
        .with(Dense::new(32).activation(Activation::Relu))
        .with(Dense::new(1).activation(Activation::Sigmoid));
    model.compile(Compile::new("mse").optimizer("rmsprop").metric("accuracy"))?;

    let mut warmup = Warmup { target: 0.01, steps: 50, done: 0, halfway: f64::NAN };
    let path = std::env::temp_dir().join("handgrad_custom_callback.csv");
    let mut log = CsvLogger::new(&path); // after the warm-up, so that it sees the figures of that
    let fit = Fit::new().epochs(500).batch_size(2).verbose(0).callback(&mut warmup).callback(&mut log);
    let history = model.fit(&xor, fit)?;

    let rates = history.get("learning_rate");
    println!("{} epochs, rates {:?} ... {:?}", rates.len(), &rates[..3], rates[rates.len() - 1]);
    println!("loss {:.4}, figures in {}", history.last("loss").unwrap_or(f64::NAN), path.display());
    Ok(())
}
