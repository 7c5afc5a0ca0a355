//! TerminateOnNan: no more steps once the loss is no longer a number.

use super::{Callback, Flow, Running, say};
use crate::error::{Error, Result};

/// Stops training, within the epoch, when the loss is NaN or infinite: Keras's `TerminateOnNaN`.
///
/// As there, nothing is put back: the weights are those of the last step, and so most likely not numbers either. The epoch
/// ends as any other, with its validation and the other callbacks, so that an
/// [`EarlyStopping`](super::EarlyStopping) with `restore_best_weights` still brings back the best. With
/// [`raise_error`](TerminateOnNan::raise_error) `fit` ends with an error instead.
///
/// The loss that it looks at is the epoch's so far, a sum: once it is spoilt, it stays so to the epoch's end. Reading it
/// makes the program wait for a GPU. So it is read after the first batch, every [`every`](TerminateOnNan::every) = 16
/// batches and after the last. Nothing is missed, at most 15 steps are made for nothing, and where training stops
/// depends neither on the device nor on the time.
///
/// ```
/// use handgrad::callbacks::TerminateOnNan;
/// use handgrad::{Sequential, data::Dataset, layers::Dense, model::{Compile, Fit}, optimizers::Sgd};
/// let line = Dataset::from_rows(&[[0.], [1.], [2.]], &[[1.], [3.], [5.]])?;
/// let mut model = Sequential::new().with(Dense::new(1));
/// model.compile(Compile::new("mse").optimizer(Sgd::new().learning_rate(1e12)))?;
/// let mut guard = TerminateOnNan::new();
/// let history = model.fit(&line, Fit::new().epochs(500).verbose(0).callback(&mut guard))?;
/// assert!(history.epochs.len() < 10 && guard.stopped_at().is_some());
/// # Ok::<(), handgrad::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct TerminateOnNan {
    every: usize,
    raise_error: bool,
    verbose: bool,
    stopped_at: Option<(usize, usize)>,
}

impl TerminateOnNan {
    /// Looks every 16 batches, and stops without an error.
    pub fn new() -> TerminateOnNan {
        TerminateOnNan { every: 16, raise_error: false, verbose: false, stopped_at: None }
    }

    /// How many batches apart it looks; 1 is after each, as Keras does. 0 is taken as 1.
    pub fn every(mut self, batches: usize) -> TerminateOnNan {
        self.every = batches.max(1);
        self
    }

    /// Whether `fit` ends with an error, at once, and no callback is called any more.
    pub fn raise_error(mut self, raise: bool) -> TerminateOnNan {
        self.raise_error = raise;
        self
    }

    /// Whether it says on standard output that it stopped.
    pub fn verbose(mut self, verbose: bool) -> TerminateOnNan {
        self.verbose = verbose;
        self
    }

    /// The epoch and the batch (both from 0) after which it saw the loss spoilt and stopped.
    pub fn stopped_at(&self) -> Option<(usize, usize)> {
        self.stopped_at
    }
}

impl Default for TerminateOnNan {
    fn default() -> TerminateOnNan {
        TerminateOnNan::new()
    }
}

impl Callback for TerminateOnNan {
    fn on_train_begin(
        &mut self,
        _model: &mut crate::Sequential,
        _epochs: std::ops::Range<usize>,
    ) -> Result<()> {
        self.stopped_at = None;
        Ok(())
    }

    fn on_batch_end(&mut self, running: &Running) -> Result<Flow> {
        let done = running.batch;
        if done != 1 && done != running.batches && !done.is_multiple_of(self.every) {
            return Ok(Flow::Continue);
        }
        let loss = running.loss()?;
        if loss.is_finite() {
            return Ok(Flow::Continue);
        }
        let (epoch, batch) = (running.epoch, done - 1);
        self.stopped_at = Some((epoch, batch));
        if self.raise_error {
            return Err(Error::data(
                format!("the loss is {loss} in epoch {}, batch {done} of {}", epoch + 1, running.batches),
                "give a lower learning rate, clip the gradients, or look for extreme numbers in the data",
            ));
        }
        if self.verbose {
            say(format_args!("Epoch {}, batch {done}: the loss is {loss}, training ends", epoch + 1));
        }
        Ok(Flow::Stop)
    }
}
