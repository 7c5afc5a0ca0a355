//! EarlyStopping: ends training when a figure no longer gets better.
//!
//! Source: Prechelt 1998; names, defaults and the moment of stopping are Keras 3's.

use super::monitor::{Mode, Monitor};
use super::{Callback, Flow, State, say};
use crate::error::{Error, Result};
use crate::model::{Epoch, Sequential, Weight};
use std::ops::Range;

/// Stops when `monitor` has not improved by more than `min_delta` for `patience` epochs.
///
/// A figure that is NaN at the first epoch it is watched is the best to the end, as in Keras: nothing compares with it.
/// [`TerminateOnNan`](super::TerminateOnNan) ends such a training at once.
///
/// ```
/// use handgrad::{Sequential, callbacks::EarlyStopping, data::Dataset, layers::Dense, model::{Compile, Fit}};
/// let line = Dataset::from_rows(&[[0.], [1.], [2.]], &[[1.], [3.], [5.]])?;
/// let mut model = Sequential::new().with(Dense::new(1));
/// model.compile(Compile::new("mse").optimizer("sgd"))?;
/// let mut stop = EarlyStopping::new("loss").patience(1).min_delta(1e3).restore_best_weights(true);
/// let history = model.fit(&line, Fit::new().epochs(50).verbose(0).callback(&mut stop))?;
/// assert_eq!((history.epochs.len(), stop.stopped_epoch(), stop.best_epoch()), (2, Some(1), Some(0)));
/// # Ok::<(), handgrad::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct EarlyStopping {
    monitor: Monitor,
    patience: usize,
    baseline: Option<f64>,
    start_from_epoch: usize,
    restore: bool,
    verbose: bool,
    best: Option<f64>,
    best_epoch: Option<usize>,
    best_weights: Vec<Weight>,
    waited: usize,
    stopped_epoch: Option<usize>,
}

impl EarlyStopping {
    /// Watches a figure by its name in the history, as in `val_loss`. Patience 0, no minimal change.
    pub fn new(monitor: &str) -> EarlyStopping {
        EarlyStopping {
            monitor: Monitor::new(monitor),
            patience: 0,
            baseline: None,
            start_from_epoch: 0,
            restore: false,
            verbose: false,
            best: None,
            best_epoch: None,
            best_weights: Vec::new(),
            waited: 0,
            stopped_epoch: None,
        }
    }

    /// How many epochs without improvement end the training; 0 and 1 both end it at the first.
    pub fn patience(mut self, epochs: usize) -> EarlyStopping {
        self.patience = epochs;
        self
    }

    /// What counts as an improvement: a change of more than this.
    pub fn min_delta(mut self, delta: f64) -> EarlyStopping {
        self.monitor.min_delta = delta.abs();
        self
    }

    /// Which way the figure gets better; by default as its name says.
    pub fn mode(mut self, mode: Mode) -> EarlyStopping {
        self.monitor.mode = mode;
        self
    }

    /// A value that the figure has to beat as well: improvements that stay below it do not end the waiting.
    pub fn baseline(mut self, baseline: f64) -> EarlyStopping {
        self.baseline = Some(baseline);
        self
    }

    /// The first epoch (from 0) that is watched; those before it are a warm-up.
    pub fn start_from_epoch(mut self, epoch: usize) -> EarlyStopping {
        self.start_from_epoch = epoch;
        self
    }

    /// Whether the weights of the best epoch are put back at the end, whether it came early or not.
    pub fn restore_best_weights(mut self, restore: bool) -> EarlyStopping {
        self.restore = restore;
        self
    }

    /// Whether it says on standard output that it stopped, and which weights it put back.
    pub fn verbose(mut self, verbose: bool) -> EarlyStopping {
        self.verbose = verbose;
        self
    }

    /// The epoch (from 0) after which training stopped; `None` if it ran to its end.
    pub fn stopped_epoch(&self) -> Option<usize> {
        self.stopped_epoch
    }

    /// The best epoch, from 0.
    pub fn best_epoch(&self) -> Option<usize> {
        self.best_epoch
    }

    /// The best value.
    pub fn best(&self) -> Option<f64> {
        self.best
    }
}

impl Callback for EarlyStopping {
    fn on_train_begin(&mut self, _model: &mut Sequential, _epochs: Range<usize>) -> Result<()> {
        (self.best, self.best_epoch, self.waited, self.stopped_epoch) = (None, None, 0, None);
        self.best_weights.clear();
        Ok(())
    }

    fn on_epoch_end(&mut self, model: &mut Sequential, epoch: usize, record: &mut Epoch) -> Result<Flow> {
        let value = self.monitor.read(record)?;
        if epoch < self.start_from_epoch {
            return Ok(Flow::Continue);
        }
        self.waited += 1;
        if self.monitor.improves(model, value, self.best)? {
            (self.best, self.best_epoch) = (Some(value), Some(epoch));
            if self.restore {
                self.best_weights = model.get_weights()?;
            }
            if self.baseline.is_none() || self.monitor.improves(model, value, self.baseline)? {
                self.waited = 0;
            }
            return Ok(Flow::Continue);
        }
        if self.waited < self.patience {
            return Ok(Flow::Continue);
        }
        self.stopped_epoch = Some(epoch);
        Ok(Flow::Stop)
    }

    fn on_train_end(&mut self, model: &mut Sequential) -> Result<()> {
        if let (Some(epoch), true) = (self.stopped_epoch, self.verbose) {
            say(format_args!("Epoch {}: early stopping", epoch + 1));
        }
        let Some(best) = self.best_epoch.filter(|_| !self.best_weights.is_empty()) else { return Ok(()) };
        if self.verbose {
            say(format_args!("Restoring the weights of the best epoch: {}", best + 1));
        }
        model.set_weights(&self.best_weights)
    }

    fn state(&self) -> Option<State> {
        let mut state = State::new("EarlyStopping").with("waited", self.waited as f64);
        if let (Some(best), Some(epoch)) = (self.best, self.best_epoch) {
            state = state.with("best", best).with("best_epoch", epoch as f64);
        }
        if let Some(epoch) = self.stopped_epoch {
            state = state.with("stopped_epoch", epoch as f64);
        }
        state.weights.clone_from(&self.best_weights);
        Some(state)
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        state.check_kind("EarlyStopping")?;
        self.waited = state.count("waited")?;
        (self.best, self.best_epoch) = match state.get("best") {
            Some(best) => (Some(best), Some(state.count("best_epoch")?)),
            None => (None, None),
        };
        self.stopped_epoch = state.get("stopped_epoch").map(|_| state.count("stopped_epoch")).transpose()?;
        self.best_weights.clear();
        match (self.restore, self.best_epoch) {
            (true, Some(epoch)) if state.weights.is_empty() => Err(Error::data(
                format!(
                    "EarlyStopping is to put the best weights back, and those of epoch {} were not kept",
                    epoch + 1
                ),
                "leave `restore_best_weights` as it was when the training began",
            )),
            (true, _) => {
                self.best_weights.clone_from(&state.weights);
                Ok(())
            }
            (false, _) => Ok(()), // it puts nothing back, whoever kept weights
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::Dense;
    use crate::model::Scores;

    fn run(stop: &mut EarlyStopping, from: usize, losses: &[f64]) -> Flow {
        let mut model = Sequential::new().with(Dense::new(1));
        model.build([1]).unwrap();
        let mut flow = Flow::Continue;
        for (epoch, &v) in (from..).zip(losses) {
            let mut record = Epoch { seconds: 0.0, scores: Scores(vec![("loss".into(), v)]) };
            flow = stop.on_epoch_end(&mut model, epoch, &mut record).unwrap();
        }
        flow
    }

    #[test]
    fn what_is_restored_goes_on_as_if_nothing_had_happened() {
        let new = || EarlyStopping::new("loss").patience(3).restore_best_weights(true);
        let (mut first, mut second) = (new(), new());
        run(&mut first, 0, &[3.0, 2.0, 2.5]);
        second.restore(&first.state().unwrap()).unwrap();
        assert_eq!(second.state(), first.state());
        assert_eq!(run(&mut second, 3, &[2.5, 2.5]), Flow::Stop);
        assert_eq!(
            (second.stopped_epoch(), second.best_epoch(), second.best()),
            (Some(4), Some(1), Some(2.0))
        );
        assert!(second.restore(&State::new("ReduceLROnPlateau")).is_err());
        let mut third = new();
        third.restore(&second.state().unwrap()).unwrap();
        assert_eq!((third.stopped_epoch(), third.state()), (Some(4), second.state()));
    }

    /// Weights are put back by those that were told to, and they must have some.
    #[test]
    fn weights_that_nobody_is_to_put_back_are_left() {
        let plain = || EarlyStopping::new("loss").patience(3);
        let (mut with, mut without) = (plain().restore_best_weights(true), plain());
        run(&mut with, 0, &[3.0, 2.0]);
        run(&mut without, 0, &[3.0, 2.0]);
        let mut other = plain();
        other.restore(&with.state().unwrap()).unwrap();
        assert_eq!(other.state(), without.state());
        let e = plain().restore_best_weights(true).restore(&without.state().unwrap()).unwrap_err();
        assert!(e.to_string().contains("those of epoch 2 were not kept"), "{e}");
        plain().restore_best_weights(true).restore(&plain().state().unwrap()).unwrap(); // no epoch was watched yet
    }

    #[test]
    fn an_unknown_figure_names_the_known_ones() {
        let mut model = Sequential::new();
        let mut told = |monitor: &str| {
            let mut record = Epoch { seconds: 0.0, scores: Scores(vec![("loss".into(), 1.0)]) };
            let e = EarlyStopping::new(monitor).on_epoch_end(&mut model, 0, &mut record).unwrap_err();
            (e.to_string(), e.hint().unwrap_or_default().to_string())
        };
        let (problem, hint) = told("los");
        assert_eq!(problem, "a callback watches `los`, but the epochs have only loss");
        assert!(hint.contains("`loss`"), "{hint}");
        let (_, hint) = told("val_loss");
        assert!(hint.contains("validation_split"), "{hint}");
    }
}
