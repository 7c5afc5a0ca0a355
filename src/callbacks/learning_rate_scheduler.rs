//! LearningRateScheduler: a learning rate for each epoch.

use super::{Callback, Flow, say};
use crate::error::Result;
use crate::model::{Epoch, Sequential};

/// Sets the learning rate before each epoch to what a function makes of the epoch (from 0) and the rate so far. Adds
/// `learning_rate` to the history, as Keras does.
///
/// For rates that change from step to step see [`Schedule`](crate::schedules::Schedule); the two cannot be combined.
///
/// ```
/// use handgrad::callbacks::LearningRateScheduler;
/// use handgrad::{Sequential, data::Dataset, layers::Dense, model::{Compile, Fit}};
/// let line = Dataset::from_rows(&[[0.], [1.], [2.]], &[[1.], [3.], [5.]])?;
/// let mut model = Sequential::new().with(Dense::new(1));
/// model.compile(Compile::new("mse").optimizer("sgd"))?;
/// let mut halve = LearningRateScheduler::new(|epoch, rate| if epoch < 2 { rate } else { rate / 2.0 });
/// let history = model.fit(&line, Fit::new().epochs(4).verbose(0).callback(&mut halve))?;
/// assert_eq!(history.get("learning_rate"), [0.01, 0.01, 0.005, 0.0025]);
/// # Ok::<(), handgrad::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct LearningRateScheduler<F> {
    schedule: F,
    verbose: bool,
}

impl<F: FnMut(usize, f64) -> f64> LearningRateScheduler<F> {
    /// With a function of the epoch and the current rate.
    pub fn new(schedule: F) -> LearningRateScheduler<F> {
        LearningRateScheduler { schedule, verbose: false }
    }

    /// Whether it says each epoch's rate on standard output.
    pub fn verbose(mut self, verbose: bool) -> LearningRateScheduler<F> {
        self.verbose = verbose;
        self
    }
}

impl<F: FnMut(usize, f64) -> f64> Callback for LearningRateScheduler<F> {
    fn on_epoch_begin(&mut self, model: &mut Sequential, epoch: usize) -> Result<()> {
        let rate = (self.schedule)(epoch, model.learning_rate()?);
        model.set_learning_rate(rate)?;
        if self.verbose {
            say(format_args!("Epoch {}: setting the learning rate to {rate:?}", epoch + 1));
        }
        Ok(())
    }

    fn on_epoch_end(&mut self, model: &mut Sequential, _epoch: usize, record: &mut Epoch) -> Result<Flow> {
        record.scores.set("learning_rate", model.learning_rate()?);
        Ok(Flow::Continue)
    }
}
