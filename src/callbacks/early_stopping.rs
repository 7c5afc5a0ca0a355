//! EarlyStopping: ends training when a figure no longer gets better.
//!
//! Source: Prechelt 1998; names, defaults and the moment of stopping are Keras 3's.

use super::{Callback, Flow};
use crate::error::Result;
use crate::mistakes::Mistake;
use crate::model::{Epoch, Sequential, Weight};

/// Stops when `monitor` has not improved by more than `min_delta` for `patience` epochs.
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
    monitor: String,
    patience: usize,
    min_delta: f64,
    restore: bool,
    maximize: bool,
    best: Option<(usize, f64)>,
    best_weights: Vec<Weight>,
    waited: usize,
    stopped_epoch: Option<usize>,
}

impl EarlyStopping {
    /// Watches a figure by its name in the history, as in `val_loss`. Patience 0, no minimal change.
    ///
    /// Larger is better for accuracy, precision, recall, f1 and r2, smaller for all else;
    /// [`maximize`](EarlyStopping::maximize) says otherwise.
    pub fn new(monitor: &str) -> EarlyStopping {
        let larger = ["accuracy", "acc", "precision", "recall", "f1", "r2"];
        EarlyStopping {
            monitor: monitor.to_string(),
            patience: 0,
            min_delta: 0.0,
            restore: false,
            maximize: larger.iter().any(|name| monitor.contains(name)),
            best: None,
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
        self.min_delta = delta.abs();
        self
    }

    /// Whether the weights of the best epoch are put back at the end.
    pub fn restore_best_weights(mut self, restore: bool) -> EarlyStopping {
        self.restore = restore;
        self
    }

    /// Whether larger is better.
    pub fn maximize(mut self, maximize: bool) -> EarlyStopping {
        self.maximize = maximize;
        self
    }

    /// The epoch (from 0) after which training stopped; `None` if it ran to its end.
    pub fn stopped_epoch(&self) -> Option<usize> {
        self.stopped_epoch
    }

    /// The best epoch, from 0.
    pub fn best_epoch(&self) -> Option<usize> {
        self.best.map(|(epoch, _)| epoch)
    }

    fn improves(&self, value: f64) -> bool {
        match self.best {
            None => !value.is_nan(),
            Some((_, best)) if self.maximize => value > best + self.min_delta,
            Some((_, best)) => value < best - self.min_delta,
        }
    }
}

impl Callback for EarlyStopping {
    fn on_train_begin(&mut self, _model: &mut Sequential, _epochs: usize) -> Result<()> {
        (self.best, self.waited, self.stopped_epoch) = (None, 0, None);
        self.best_weights.clear();
        Ok(())
    }

    fn on_epoch_end(&mut self, model: &mut Sequential, epoch: usize, record: &Epoch) -> Result<Flow> {
        let Some(value) = record.scores.get(&self.monitor) else {
            let known: Vec<&str> = record.scores.0.iter().map(|(name, _)| name.as_str()).collect();
            return Err(Mistake::unknown_figure(&self.monitor, &known).into());
        };
        if self.improves(value) {
            (self.best, self.waited) = (Some((epoch, value)), 0);
            if self.restore {
                self.best_weights = model.get_weights()?;
            }
            return Ok(Flow::Continue);
        }
        self.waited += 1;
        if self.waited < self.patience || epoch == 0 {
            return Ok(Flow::Continue);
        }
        self.stopped_epoch = Some(epoch);
        Ok(Flow::Stop)
    }

    fn on_train_end(&mut self, model: &mut Sequential) -> Result<()> {
        match self.best_weights.is_empty() {
            true => Ok(()),
            false => model.set_weights(&self.best_weights),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::Dense;
    use crate::model::Scores;

    /// The epoch after which a sequence of losses stops, and the best one.
    fn run(mut stop: EarlyStopping, name: &str, values: &[f64]) -> (Option<usize>, Option<usize>) {
        let mut model = Sequential::new().with(Dense::new(1));
        model.build([1]).unwrap();
        stop.on_train_begin(&mut model, values.len()).unwrap();
        for (epoch, &v) in values.iter().enumerate() {
            let record = Epoch { seconds: 0.0, scores: Scores(vec![(name.into(), v)]) };
            if stop.on_epoch_end(&mut model, epoch, &record).unwrap() == Flow::Stop {
                break;
            }
        }
        (stop.stopped_epoch(), stop.best_epoch())
    }

    #[test]
    fn stops_when_keras_stops() {
        let losses = [5.0, 4.0, 4.5, 3.9, 3.95, 3.92, 1.0];
        let patience = |n| EarlyStopping::new("val_loss").patience(n);
        assert_eq!(run(patience(2), "val_loss", &losses), (Some(5), Some(3)));
        assert_eq!(run(patience(0), "val_loss", &losses), (Some(2), Some(1)));
        assert_eq!(run(patience(3), "val_loss", &losses), (None, Some(6)));
        assert_eq!(run(patience(2).min_delta(0.5), "val_loss", &losses), (Some(3), Some(1)));
        let scores = [0.5, 0.6, 0.55, 0.54];
        assert_eq!(
            run(EarlyStopping::new("val_accuracy").patience(2), "val_accuracy", &scores),
            (Some(3), Some(1))
        );
        assert_eq!(run(patience(1), "val_loss", &[f64::NAN, f64::NAN]), (Some(1), None));
    }

    #[test]
    fn an_unknown_figure_names_the_known_ones() {
        let mut model = Sequential::new();
        let record = Epoch { seconds: 0.0, scores: Scores(vec![("loss".into(), 1.0)]) };
        let e = EarlyStopping::new("val_los").on_epoch_end(&mut model, 0, &record).unwrap_err();
        assert_eq!(e.to_string(), "a callback watches `val_los`, but the epochs have only loss");
        assert!(e.hint().unwrap().contains("validation_split"));
    }
}
