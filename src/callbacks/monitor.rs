//! What a callback watches, and what counts as better.

use crate::error::{Error, Result};
use crate::model::{Epoch, Sequential};

/// Which way a figure gets better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// As the figure has it: a loss or an error should fall, an accuracy, precision, recall, F1 or r2 rise. A metric of
    /// one's own says so by [`larger_is_better`](crate::metrics::Metric::larger_is_better).
    #[default]
    Auto,
    /// Smaller is better.
    Min,
    /// Larger is better.
    Max,
}

/// A figure of the history by its name, and by how much it must change to count as better.
#[derive(Clone, Debug)]
pub(super) struct Monitor {
    pub(super) name: String,
    pub(super) mode: Mode,
    pub(super) min_delta: f64,
}

impl Monitor {
    /// In mode auto, with every change counting.
    pub(super) fn new(name: &str) -> Monitor {
        Monitor { name: name.to_string(), mode: Mode::Auto, min_delta: 0.0 }
    }

    /// The figure of this epoch.
    pub(super) fn read(&self, record: &Epoch) -> Result<f64> {
        record.scores.get(&self.name).ok_or_else(|| {
            let known: Vec<&str> = record.scores.0.iter().map(|(name, _)| name.as_str()).collect();
            let without_val = self.name.strip_prefix("val_").filter(|rest| known.contains(rest));
            match without_val {
                Some(rest) => Error::invalid(
                    format!("a callback watches `{}`, but there is no validation data", self.name),
                    format!("give `fit` a validation set or split, or watch `{rest}`"),
                ),
                None => Error::unknown("figure to monitor", &self.name, &known),
            }
        })
    }

    /// Whether `value` is better than `reference`; anything is better than nothing, and nothing better than NaN.
    /// The sum stands where Keras has it, so that both agree to the last bit.
    pub(super) fn improves(&self, model: &Sequential, value: f64, reference: Option<f64>) -> Result<bool> {
        let maximize = match self.mode {
            Mode::Max => true,
            Mode::Min => false,
            Mode::Auto => {
                let metric = self.name.strip_prefix("val_").unwrap_or(&self.name);
                model.larger_is_better(metric).ok_or_else(|| {
                    Error::invalid(
                        format!(
                            "a callback watches `{}`, and nobody says which way it gets better",
                            self.name
                        ),
                        "give the callback `.mode(Mode::Max)` or `.mode(Mode::Min)`",
                    )
                })?
            }
        };
        Ok(match reference {
            None => true,
            Some(best) if maximize => value - self.min_delta > best,
            Some(best) => value + self.min_delta < best,
        })
    }
}
