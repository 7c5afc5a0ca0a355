//! Adagrad: each weight's step is divided by the size of all its gradients so far.
//!
//! ```text
//! a ← a + g²                   a starts at 0.1
//! w ← w − lr g / √(a + ε)
//! ```
//!
//! Source: Duchi, Hazan, Singer 2011.

use super::{Algorithm, Rule, not_negative, positive};
use crate::config::{Config, Reader, record};
use crate::error::Result;
use crate::schedules::Schedule;

/// Adagrad; see the source for the equations.
///
/// ```
/// use handgrad::Optimizer;
/// use handgrad::optimizers::Adagrad;
/// let optimizer = Optimizer::from(Adagrad::new().learning_rate(0.01));
/// assert_eq!(optimizer.name(), "adagrad");
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Adagrad {
    learning_rate: Schedule,
    initial_accumulator_value: f64,
    epsilon: f64,
}

impl Adagrad {
    /// Learning rate 0.001, initial accumulator 0.1, ε 1e-7.
    pub fn new() -> Adagrad {
        Adagrad { learning_rate: Schedule::Constant(0.001), initial_accumulator_value: 0.1, epsilon: 1e-7 }
    }

    /// A number, or a schedule; 0.001 by default.
    pub fn learning_rate(mut self, rate: impl Into<Schedule>) -> Adagrad {
        self.learning_rate = rate.into();
        self
    }

    /// What a starts at, 0 or more; 0.1 by default.
    pub fn initial_accumulator_value(mut self, value: f64) -> Adagrad {
        self.initial_accumulator_value = value;
        self
    }

    /// ε, which keeps the root away from 0; 1e-7 by default.
    pub fn epsilon(mut self, epsilon: f64) -> Adagrad {
        self.epsilon = epsilon;
        self
    }
}

impl Default for Adagrad {
    fn default() -> Adagrad {
        Adagrad::new()
    }
}

impl Adagrad {
    pub(super) fn from_config(r: &mut Reader) -> Result<Adagrad> {
        let default = Adagrad::new();
        Ok(Adagrad {
            learning_rate: r.or("learning_rate", default.learning_rate)?,
            initial_accumulator_value: r
                .or("initial_accumulator_value", default.initial_accumulator_value)?,
            epsilon: r.or("epsilon", default.epsilon)?,
        })
    }
}

impl Algorithm for Adagrad {
    fn name(&self) -> &'static str {
        "adagrad"
    }

    fn class_name(&self) -> &'static str {
        "Adagrad"
    }

    fn config(&self) -> Option<Config> {
        Some(record([
            ("initial_accumulator_value", self.initial_accumulator_value.into()),
            ("epsilon", self.epsilon.into()),
        ]))
    }

    fn learning_rate(&self) -> &Schedule {
        &self.learning_rate
    }

    fn check(&self) -> Result<()> {
        not_negative("initial accumulator value", self.initial_accumulator_value)?;
        positive("epsilon", self.epsilon)
    }

    fn rule(&mut self, _t: u64, lr: f64) -> Rule {
        Rule::Adagrad { lr, epsilon: self.epsilon }
    }

    fn initial_slot(&self) -> f64 {
        self.initial_accumulator_value
    }
}
