//! What a person can hang into training: to watch, to steer, to stop, to log.
//!
//! | callback | what it does |
//! |---|---|
//! | [`EarlyStopping`] | ends training when a figure no longer gets better; can put the best weights back |
//! | [`ReduceLROnPlateau`] | makes smaller steps when a figure no longer gets better |
//! | [`LearningRateScheduler`] | a learning rate for each epoch, by a function |
//! | [`ModelCheckpoint`] | the model in a file after each epoch, or each best one |
//! | [`CsvLogger`] | the history as a table in a file |
//! | [`TerminateOnNan`] | ends training when the loss is no longer a number |
//! | [`Progress`] | the progress line; `fit` adds it by itself |
//!
//! What Keras calls `History` is what [`fit`](Sequential::fit) returns. Names, arguments, defaults and what happens when
//! are Keras 3's; a figure that does not exist is an error here, where Keras warns and does nothing.
//!
//! # The order of calls
//!
//! ```text
//! on_train_begin                              once, with the epochs to come
//!     on_epoch_begin                          for each epoch
//!         on_batch_begin                      for each batch
//!             forward, backward, update
//!         on_batch_end                        may stop: no further batch of this epoch
//!     validation
//!     on_epoch_end                            may stop: no further epoch
//! on_train_end                                once, also when one of them stopped
//! ```
//!
//! At each moment the callbacks are called in the order in which they were given, all of them, also when one of them has
//! said stop. What one changes, those after it see: figures that it adds to the record (a [`CsvLogger`] that comes after
//! a [`ReduceLROnPlateau`] logs the learning rate), weights and learning rate. The progress line comes last. Where two
//! put weights back at the end, the last has its way. The first error ends training at once: no callback is called any
//! more, and `fit` returns the error.
//!
//! # One's own
//!
//! `examples/custom_callback.rs` is a warm-up that raises the learning rate from batch to batch. A short one:
//!
//! ```
//! use handgrad::callbacks::{Callback, Flow};
//! use handgrad::model::Epoch;
//! use handgrad::{Result, Sequential};
//!
//! /// Ends training once the loss is small enough.
//! struct GoodEnough(f64);
//!
//! impl Callback for GoodEnough {
//!     fn on_epoch_end(&mut self, _: &mut Sequential, _: usize, record: &mut Epoch) -> Result<Flow> {
//!         let reached = record.scores.get("loss").is_some_and(|loss| loss < self.0);
//!         Ok(if reached { Flow::Stop } else { Flow::Continue })
//!     }
//! }
//! ```

mod csv_logger;
mod early_stopping;
mod learning_rate_scheduler;
mod model_checkpoint;
mod monitor;
mod progress;
mod reduce_lr_on_plateau;
mod state;
mod terminate_on_nan;

pub use csv_logger::CsvLogger;
pub use early_stopping::EarlyStopping;
pub use learning_rate_scheduler::LearningRateScheduler;
pub use model_checkpoint::ModelCheckpoint;
pub use monitor::Mode;
pub use progress::Progress;
pub use reduce_lr_on_plateau::ReduceLROnPlateau;
pub use state::State;
pub use terminate_on_nan::TerminateOnNan;

use crate::error::Result;
use crate::metrics::{Mean, Metric};
use crate::model::{self, Epoch, Scores, Sequential};
use std::ops::Range;

/// Called by [`fit`](Sequential::fit) at the moments that its methods name; see the [module](self) for their order. All
/// have an empty default.
pub trait Callback {
    /// Before the first epoch. `epochs` are those to come, counted from 0: `0..20`, or `5..20` of a training that goes on
    /// where another ended. A callback that is used a second time forgets the first here.
    ///
    /// # Errors
    /// End the training with this error.
    fn on_train_begin(&mut self, _model: &mut Sequential, _epochs: Range<usize>) -> Result<()> {
        Ok(())
    }

    /// Before the first batch of each epoch; `epoch` counts from 0. Once: where a training goes on in the middle of an
    /// epoch that it was [paused](Flow::Pause) in, not again.
    ///
    /// # Errors
    /// End the training with this error.
    fn on_epoch_begin(&mut self, _model: &mut Sequential, _epoch: usize) -> Result<()> {
        Ok(())
    }

    /// Before each batch; `batch` counts from 0 in each epoch. The place to set the learning rate step by step.
    ///
    /// # Errors
    /// End the training with this error.
    fn on_batch_begin(&mut self, _model: &mut Sequential, _epoch: usize, _batch: usize) -> Result<()> {
        Ok(())
    }

    /// After each batch. [`Running::scores`] reads the figures so far, which on a GPU waits for it: ask rarely.
    /// To stop here leaves out the epoch's other batches; its validation and `on_epoch_end` still follow.
    ///
    /// # Errors
    /// End the training with this error.
    fn on_batch_end(&mut self, _running: &Running) -> Result<Flow> {
        Ok(Flow::Continue)
    }

    /// After each epoch and its validation; `epoch` counts from 0. Figures that are added to `record` are seen by the
    /// callbacks after this one, and stand in the history.
    ///
    /// # Errors
    /// End the training with this error.
    fn on_epoch_end(&mut self, _model: &mut Sequential, _epoch: usize, _record: &mut Epoch) -> Result<Flow> {
        Ok(Flow::Continue)
    }

    /// After the last epoch, however it came about, unless by an error.
    ///
    /// # Errors
    /// End `fit` with this error.
    fn on_train_end(&mut self, _model: &mut Sequential) -> Result<()> {
        Ok(())
    }

    /// What must be kept for a training to go on later as if it had never stopped, as it stands after an epoch, or after
    /// a batch. A training that goes on knows whose it is by its [kind](State::kind): so always some state, or always
    /// `None`, for a callback that remembers nothing.
    fn state(&self) -> Option<State> {
        None
    }

    /// Takes up what [`state`](Callback::state) gave. Comes after `on_train_begin`.
    ///
    /// # Errors
    /// The state is another callback's.
    fn restore(&mut self, _state: &State) -> Result<()> {
        Ok(())
    }
}

/// Whether training goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// On to the next batch, or the next epoch.
    Continue,
    /// This one was the last. The other callbacks are still called.
    Stop,
    /// From [`on_batch_end`](Callback::on_batch_end): leaves the epoch as it is, in the middle. There is no validation, and
    /// neither `on_epoch_end` nor `on_train_end`: the training has not ended, and can go on from here later, as if
    /// nothing had been; see [`Checkpoints`](crate::io::Checkpoints). Elsewhere it is the same as `Stop`.
    Pause,
}

impl Flow {
    /// Pause or stop if either says so; pause if they disagree.
    pub fn or(self, other: Flow) -> Flow {
        match (self, other) {
            (Flow::Pause, _) | (_, Flow::Pause) => Flow::Pause,
            (Flow::Stop, _) | (_, Flow::Stop) => Flow::Stop,
            (Flow::Continue, Flow::Continue) => Flow::Continue,
        }
    }
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
    /// The loss over the epoch's batches so far.
    ///
    /// # Errors
    /// Those of the device.
    pub fn loss(&self) -> Result<f64> {
        self.loss.result()
    }

    /// The loss and metrics over the epoch's batches so far.
    ///
    /// # Errors
    /// Those of the device.
    pub fn scores(&self) -> Result<Scores> {
        model::scores(self.loss, self.metrics)
    }
}

/// A line on standard output. A reader that went away is no reason to stop training.
fn say(line: std::fmt::Arguments) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{line}");
}
