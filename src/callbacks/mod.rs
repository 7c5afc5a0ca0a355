//! What a person can hang into training: to watch, to stop, to save.

mod early_stopping;
mod progress;

pub use early_stopping::EarlyStopping;
pub use progress::Progress;

use crate::error::Result;
use crate::metrics::{Mean, Metric};
use crate::model::{self, Epoch, Scores, Sequential};

/// Called by [`fit`](Sequential::fit) at the moments that its methods name. All have an empty default.
///
/// Several callbacks are called in the order in which they were given.
pub trait Callback {
    /// Before the first epoch.
    ///
    /// # Errors
    /// End the training with this error.
    fn on_train_begin(&mut self, _model: &mut Sequential, _epochs: usize) -> Result<()> {
        Ok(())
    }

    /// After each batch. [`Running::scores`] reads the figures so far, which on a GPU waits for it: ask rarely.
    ///
    /// # Errors
    /// End the training with this error.
    fn on_batch_end(&mut self, _running: &Running) -> Result<()> {
        Ok(())
    }

    /// After each epoch and its validation; `epoch` counts from 0.
    ///
    /// # Errors
    /// End the training with this error.
    fn on_epoch_end(&mut self, _model: &mut Sequential, _epoch: usize, _record: &Epoch) -> Result<Flow> {
        Ok(Flow::Continue)
    }

    /// After the last epoch, however it came about.
    ///
    /// # Errors
    /// End `fit` with this error.
    fn on_train_end(&mut self, _model: &mut Sequential) -> Result<()> {
        Ok(())
    }
}

/// Whether training goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// On to the next epoch.
    Continue,
    /// This epoch was the last. The other callbacks of this epoch are still called.
    Stop,
}

/// An epoch under way.
pub struct Running<'a> {
    /// The epoch, from 0.
    pub epoch: usize,
    /// How many batches are done.
    pub batch: usize,
    /// How many there are in the epoch.
    pub batches: usize,
    pub(crate) loss: &'a Mean,
    pub(crate) metrics: &'a [Box<dyn Metric>],
}

impl Running<'_> {
    /// The loss and metrics over the epoch's batches so far.
    ///
    /// # Errors
    /// Those of the device.
    pub fn scores(&self) -> Result<Scores> {
        model::scores(self.loss, self.metrics)
    }
}
