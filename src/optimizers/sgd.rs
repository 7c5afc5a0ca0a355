//! Stochastic gradient descent, with momentum.
//!
//! ```text
//! plain       w ← w − lr g
//! momentum    m ← μ m − lr g        w ← w + m
//! nesterov    m ← μ m − lr g        w ← w + μ m − lr g      looks ahead along m before it steps
//! ```
//!
//! Source: Polyak 1964 (momentum); Nesterov 1983; Sutskever et al. 2013.

use super::{Algorithm, Rule, fraction};
use crate::config::{Config, Reader, record};
use crate::error::Result;
use crate::schedules::Schedule;

/// SGD; see the source for the equations. Its learning rate is 0.01 by default.
///
/// ```
/// use handgrad::Optimizer;
/// use handgrad::optimizers::Sgd;
/// let optimizer = Optimizer::from(Sgd::new().learning_rate(0.1).momentum(0.9));
/// assert_eq!(optimizer.learning_rate_now(), 0.1);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Sgd {
    learning_rate: Schedule,
    momentum: f64,
    nesterov: bool,
}

impl Sgd {
    /// Learning rate 0.01, no momentum.
    pub fn new() -> Sgd {
        Sgd { learning_rate: Schedule::Constant(0.01), momentum: 0.0, nesterov: false }
    }

    /// A number, or a schedule; 0.01 by default.
    pub fn learning_rate(mut self, rate: impl Into<Schedule>) -> Sgd {
        self.learning_rate = rate.into();
        self
    }

    /// μ, how much of the last step goes into this one, 0 ≤ μ < 1; 0 by default.
    pub fn momentum(mut self, momentum: f64) -> Sgd {
        self.momentum = momentum;
        self
    }

    /// Whether momentum looks ahead; `false` by default.
    pub fn nesterov(mut self, nesterov: bool) -> Sgd {
        self.nesterov = nesterov;
        self
    }
}

impl Default for Sgd {
    fn default() -> Sgd {
        Sgd::new()
    }
}

impl Sgd {
    pub(super) fn from_config(r: &mut Reader) -> Result<Sgd> {
        let default = Sgd::new();
        Ok(Sgd {
            learning_rate: r.or("learning_rate", default.learning_rate)?,
            momentum: r.or("momentum", default.momentum)?,
            nesterov: r.or("nesterov", default.nesterov)?,
        })
    }
}

impl Algorithm for Sgd {
    fn name(&self) -> &'static str {
        "sgd"
    }

    fn class_name(&self) -> &'static str {
        "SGD"
    }

    fn config(&self) -> Option<Config> {
        Some(record([("momentum", self.momentum.into()), ("nesterov", self.nesterov.into())]))
    }

    fn learning_rate(&self) -> &Schedule {
        &self.learning_rate
    }

    fn check(&self) -> Result<()> {
        fraction("momentum", self.momentum)
    }

    fn rule(&mut self, _t: u64, lr: f64) -> Rule {
        Rule::Sgd { lr, momentum: self.momentum, nesterov: self.nesterov }
    }
}
