//! What training and evaluating report.

/// Named figures of one evaluation: `loss` first, then the metrics in their order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scores(
    /// Name and value.
    pub Vec<(String, f64)>,
);

impl Scores {
    /// The figure of that name.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.0.iter().find(|(n, _)| n == name).map(|&(_, v)| v)
    }

    /// Gives the figure of that name another value, or adds it at the end.
    pub fn set(&mut self, name: &str, value: f64) {
        match self.0.iter_mut().find(|(n, _)| n == name) {
            Some((_, v)) => *v = value,
            None => self.0.push((name.to_string(), value)),
        }
    }

    /// As progress lines show them: `loss: 0.4785 - accuracy: 0.8385`.
    pub fn line(&self) -> String {
        let one = |(name, value): &(String, f64)| match value.abs() {
            v if v != 0.0 && !(1e-3..1e6).contains(&v) => format!("{name}: {value:.4e}"),
            _ => format!("{name}: {value:.4}"),
        };
        self.0.iter().map(one).collect::<Vec<_>>().join(" - ")
    }
}

/// One epoch of a [`History`].
#[derive(Clone, Debug, PartialEq)]
pub struct Epoch {
    /// How long the training took, validation not counted.
    pub seconds: f64,
    /// `loss`, the metrics, then the same of the validation data with `val_` in front; then what callbacks added.
    pub scores: Scores,
}

/// What happened in each epoch of one `fit`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// In order.
    pub epochs: Vec<Epoch>,
}

impl History {
    /// One figure over all epochs: `history.get("val_loss")`. Empty if nobody measured it.
    pub fn get(&self, name: &str) -> Vec<f64> {
        self.epochs.iter().filter_map(|e| e.scores.get(name)).collect()
    }

    /// One figure of the last epoch.
    pub fn last(&self, name: &str) -> Option<f64> {
        self.epochs.last()?.scores.get(name)
    }
}
