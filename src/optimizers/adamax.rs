//! Adamax: Adam with the largest recent gradient in the place of their mean square.
//!
//! ```text
//! m ← β₁ m + (1 − β₁) g
//! u ← max(β₂ u, |g|)
//! w ← w − lr / (1 − β₁ᵗ) · m / (u + ε)
//! ```
//!
//! Source: Kingma, Ba 2014, §7.1. t counts from 1.

use super::{Algorithm, Rule, fraction, positive};
use crate::config::{Config, Reader, record};
use crate::error::Result;
use crate::schedules::Schedule;

/// Adamax; see the source for the equations.
///
/// ```
/// use handgrad::Optimizer;
/// use handgrad::optimizers::Adamax;
/// let optimizer = Optimizer::from(Adamax::new().beta_1(0.95));
/// assert_eq!(optimizer.name(), "adamax");
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Adamax {
    learning_rate: Schedule,
    beta_1: f64,
    beta_2: f64,
    epsilon: f64,
}

impl Adamax {
    /// Learning rate 0.001, β₁ 0.9, β₂ 0.999, ε 1e-7.
    pub fn new() -> Adamax {
        Adamax { learning_rate: Schedule::Constant(0.001), beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7 }
    }

    /// A number, or a schedule; 0.001 by default.
    pub fn learning_rate(mut self, rate: impl Into<Schedule>) -> Adamax {
        self.learning_rate = rate.into();
        self
    }

    /// β₁, how slowly the mean forgets, 0 ≤ β₁ < 1; 0.9 by default.
    pub fn beta_1(mut self, beta_1: f64) -> Adamax {
        self.beta_1 = beta_1;
        self
    }

    /// β₂, how slowly the largest gradient is forgotten, 0 ≤ β₂ < 1; 0.999 by default.
    pub fn beta_2(mut self, beta_2: f64) -> Adamax {
        self.beta_2 = beta_2;
        self
    }

    /// ε, which keeps the divisor away from 0; 1e-7 by default.
    pub fn epsilon(mut self, epsilon: f64) -> Adamax {
        self.epsilon = epsilon;
        self
    }
}

impl Default for Adamax {
    fn default() -> Adamax {
        Adamax::new()
    }
}

impl Adamax {
    pub(super) fn from_config(r: &mut Reader) -> Result<Adamax> {
        let default = Adamax::new();
        Ok(Adamax {
            learning_rate: r.or("learning_rate", default.learning_rate)?,
            beta_1: r.or("beta_1", default.beta_1)?,
            beta_2: r.or("beta_2", default.beta_2)?,
            epsilon: r.or("epsilon", default.epsilon)?,
        })
    }
}

impl Algorithm for Adamax {
    fn name(&self) -> &'static str {
        "adamax"
    }

    fn class_name(&self) -> &'static str {
        "Adamax"
    }

    fn config(&self) -> Option<Config> {
        Some(record([
            ("beta_1", self.beta_1.into()),
            ("beta_2", self.beta_2.into()),
            ("epsilon", self.epsilon.into()),
        ]))
    }

    fn learning_rate(&self) -> &Schedule {
        &self.learning_rate
    }

    fn check(&self) -> Result<()> {
        fraction("beta_1", self.beta_1)?;
        fraction("beta_2", self.beta_2)?;
        positive("epsilon", self.epsilon)
    }

    fn rule(&mut self, t: u64, lr: f64) -> Rule {
        let Adamax { beta_1, beta_2, epsilon, .. } = *self;
        Rule::Adamax { alpha: lr / (1.0 - beta_1.powf(t as f64)), beta_1, beta_2, epsilon }
    }
}
