//! Adadelta: steps as large as the recent steps were, in units of the weight itself.
//!
//! ```text
//! a ← ρ a + (1 − ρ) g²                    recent gradients, squared
//! u = g √(d + ε) / √(a + ε)
//! d ← ρ d + (1 − ρ) u²                    recent steps, squared
//! w ← w − lr u
//! ```
//!
//! The paper has lr = 1; Keras's default is 0.001. Source: Zeiler 2012.

use super::{Algorithm, Rule, fraction, positive};
use crate::config::{Config, Reader, record};
use crate::error::Result;
use crate::schedules::Schedule;

/// Adadelta; see the source for the equations.
///
/// ```
/// use handgrad::Optimizer;
/// use handgrad::optimizers::Adadelta;
/// let as_in_the_paper = Optimizer::from(Adadelta::new().learning_rate(1.0));
/// assert_eq!(as_in_the_paper.name(), "adadelta");
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Adadelta {
    learning_rate: Schedule,
    rho: f64,
    epsilon: f64,
}

impl Adadelta {
    /// Learning rate 0.001, ρ 0.95, ε 1e-7.
    pub fn new() -> Adadelta {
        Adadelta { learning_rate: Schedule::Constant(0.001), rho: 0.95, epsilon: 1e-7 }
    }

    /// A number, or a schedule; 0.001 by default.
    pub fn learning_rate(mut self, rate: impl Into<Schedule>) -> Adadelta {
        self.learning_rate = rate.into();
        self
    }

    /// ρ, how slowly the past is forgotten, 0 ≤ ρ < 1; 0.95 by default.
    pub fn rho(mut self, rho: f64) -> Adadelta {
        self.rho = rho;
        self
    }

    /// ε, which starts the steps off; 1e-7 by default.
    pub fn epsilon(mut self, epsilon: f64) -> Adadelta {
        self.epsilon = epsilon;
        self
    }
}

impl Default for Adadelta {
    fn default() -> Adadelta {
        Adadelta::new()
    }
}

impl Adadelta {
    pub(super) fn from_config(r: &mut Reader) -> Result<Adadelta> {
        let default = Adadelta::new();
        Ok(Adadelta {
            learning_rate: r.or("learning_rate", default.learning_rate)?,
            rho: r.or("rho", default.rho)?,
            epsilon: r.or("epsilon", default.epsilon)?,
        })
    }
}

impl Algorithm for Adadelta {
    fn name(&self) -> &'static str {
        "adadelta"
    }

    fn class_name(&self) -> &'static str {
        "Adadelta"
    }

    fn config(&self) -> Option<Config> {
        Some(record([("rho", self.rho.into()), ("epsilon", self.epsilon.into())]))
    }

    fn learning_rate(&self) -> &Schedule {
        &self.learning_rate
    }

    fn check(&self) -> Result<()> {
        fraction("rho", self.rho)?;
        positive("epsilon", self.epsilon)
    }

    fn rule(&mut self, _t: u64, lr: f64) -> Rule {
        Rule::Adadelta { lr, rho: self.rho, epsilon: self.epsilon }
    }
}
