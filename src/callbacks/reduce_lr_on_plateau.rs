//! ReduceLROnPlateau: smaller steps once a figure no longer gets better.
//!
//! Names, defaults and the moment of each reduction are Keras 3's.

use super::monitor::{Mode, Monitor};
use super::{Callback, Flow, State, say};
use crate::error::{Error, Result};
use crate::model::{Epoch, Sequential};
use std::ops::Range;

/// Multiplies the learning rate by `factor` when `monitor` has not improved by more than `min_delta` for `patience`
/// epochs; after that it waits `cooldown` epochs before it counts again. Adds `learning_rate`, as the epoch had it, to
/// the history.
///
/// ```
/// use handgrad::callbacks::ReduceLROnPlateau;
/// use handgrad::{Sequential, data::Dataset, layers::Dense, model::{Compile, Fit}};
/// let line = Dataset::from_rows(&[[0.], [1.], [2.]], &[[1.], [3.], [5.]])?;
/// let mut model = Sequential::new().with(Dense::new(1));
/// model.compile(Compile::new("mse").optimizer("sgd"))?;
/// let mut reduce = ReduceLROnPlateau::new("loss").factor(0.5).patience(2).min_delta(1e3).min_lr(0.004);
/// let history = model.fit(&line, Fit::new().epochs(6).verbose(0).callback(&mut reduce))?;
/// assert_eq!(history.get("learning_rate"), [0.01, 0.01, 0.01, 0.005, 0.005, 0.004]);
/// # Ok::<(), handgrad::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ReduceLROnPlateau {
    monitor: Monitor,
    factor: f64,
    patience: usize,
    cooldown: usize,
    min_lr: f64,
    verbose: bool,
    best: Option<f64>,
    waited: usize,
    cooling: usize,
}

impl ReduceLROnPlateau {
    /// Watches a figure by its name in the history, as in `val_loss`. Factor 0.1, patience 10, minimal change 0.0001,
    /// no cooldown, down to 0.
    pub fn new(monitor: &str) -> ReduceLROnPlateau {
        ReduceLROnPlateau {
            monitor: Monitor { min_delta: 1e-4, ..Monitor::new(monitor) },
            factor: 0.1,
            patience: 10,
            cooldown: 0,
            min_lr: 0.0,
            verbose: false,
            best: None,
            waited: 0,
            cooling: 0,
        }
    }

    /// What the learning rate is multiplied by, 0 ≤ factor < 1.
    pub fn factor(mut self, factor: f64) -> ReduceLROnPlateau {
        self.factor = factor;
        self
    }

    /// How many epochs without improvement reduce the rate; 0 and 1 both reduce it at the first.
    pub fn patience(mut self, epochs: usize) -> ReduceLROnPlateau {
        self.patience = epochs;
        self
    }

    /// What counts as an improvement: a change of more than this.
    pub fn min_delta(mut self, delta: f64) -> ReduceLROnPlateau {
        self.monitor.min_delta = delta.abs();
        self
    }

    /// Which way the figure gets better; by default as its name says.
    pub fn mode(mut self, mode: Mode) -> ReduceLROnPlateau {
        self.monitor.mode = mode;
        self
    }

    /// How many epochs after a reduction do not count as waiting.
    pub fn cooldown(mut self, epochs: usize) -> ReduceLROnPlateau {
        self.cooldown = epochs;
        self
    }

    /// The rate goes no lower than this.
    pub fn min_lr(mut self, rate: f64) -> ReduceLROnPlateau {
        self.min_lr = rate;
        self
    }

    /// Whether it says each reduction on standard output.
    pub fn verbose(mut self, verbose: bool) -> ReduceLROnPlateau {
        self.verbose = verbose;
        self
    }
}

impl Callback for ReduceLROnPlateau {
    fn on_train_begin(&mut self, _model: &mut Sequential, _epochs: Range<usize>) -> Result<()> {
        if !(0.0..1.0).contains(&self.factor) {
            return Err(Error::invalid(
                format!("ReduceLROnPlateau's factor is {}, which reduces nothing", self.factor),
                "give a factor from 0 up to, but not, 1, such as 0.1",
            ));
        }
        if !(self.min_lr.is_finite() && self.min_lr >= 0.0) {
            return Err(Error::invalid(
                format!("ReduceLROnPlateau's min_lr is {}", self.min_lr),
                "give a learning rate that is 0 or more",
            ));
        }
        (self.best, self.waited, self.cooling) = (None, 0, 0);
        Ok(())
    }

    fn on_epoch_end(&mut self, model: &mut Sequential, epoch: usize, record: &mut Epoch) -> Result<Flow> {
        let rate = model.learning_rate()?;
        record.scores.set("learning_rate", rate);
        let value = self.monitor.read(record)?;
        if self.cooling > 0 {
            self.cooling -= 1;
            self.waited = 0;
        }
        if self.monitor.improves(model, value, self.best)? {
            (self.best, self.waited) = (Some(value), 0);
        } else if self.cooling == 0 {
            self.waited += 1;
            if self.waited >= self.patience && rate > self.min_lr {
                let reduced = (rate * self.factor).max(self.min_lr);
                model.set_learning_rate(reduced)?;
                (self.cooling, self.waited) = (self.cooldown, 0);
                if self.verbose {
                    say(format_args!("Epoch {}: reducing the learning rate to {reduced:?}", epoch + 1));
                }
            }
        }
        Ok(Flow::Continue)
    }

    fn state(&self) -> Option<State> {
        let state = State::new("ReduceLROnPlateau")
            .with("waited", self.waited as f64)
            .with("cooling", self.cooling as f64);
        Some(match self.best {
            Some(best) => state.with("best", best),
            None => state,
        })
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        state.check_kind("ReduceLROnPlateau")?;
        (self.waited, self.cooling) = (state.count("waited")?, state.count("cooling")?);
        self.best = state.get("best");
        Ok(())
    }
}
