//! RMSprop: each weight's step is divided by the size of its recent gradients.
//!
//! ```text
//! v ← ρ v + (1 − ρ) g²
//! plain       w ← w − lr g / √(v + ε)
//! centered    a ← ρ a + (1 − ρ) g       w ← w − lr g / √(v − a² + ε)      v − a² is g's variance
//! momentum    m ← μ m + that step       w ← w − m
//! ```
//!
//! Source: Tieleman, Hinton 2012 (Coursera, lecture 6.5); Graves 2013 (centered).

use super::{Algorithm, Rule, fraction, positive};
use crate::config::{Config, Reader, record};
use crate::error::Result;
use crate::schedules::Schedule;

/// RMSprop; see the source for the equations.
///
/// ```
/// use handgrad::Optimizer;
/// use handgrad::optimizers::RmsProp;
/// let optimizer = Optimizer::from(RmsProp::new().rho(0.95));
/// assert_eq!(optimizer.learning_rate_now(), 0.001);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct RmsProp {
    learning_rate: Schedule,
    rho: f64,
    momentum: f64,
    epsilon: f64,
    centered: bool,
}

impl RmsProp {
    /// Learning rate 0.001, ρ 0.9, no momentum, ε 1e-7, not centered.
    pub fn new() -> RmsProp {
        RmsProp {
            learning_rate: Schedule::Constant(0.001),
            rho: 0.9,
            momentum: 0.0,
            epsilon: 1e-7,
            centered: false,
        }
    }

    /// A number, or a schedule; 0.001 by default.
    pub fn learning_rate(mut self, rate: impl Into<Schedule>) -> RmsProp {
        self.learning_rate = rate.into();
        self
    }

    /// ρ, how slowly old gradients are forgotten, 0 ≤ ρ < 1; 0.9 by default.
    pub fn rho(mut self, rho: f64) -> RmsProp {
        self.rho = rho;
        self
    }

    /// μ, how much of the last step goes into this one, 0 ≤ μ < 1; 0 by default.
    pub fn momentum(mut self, momentum: f64) -> RmsProp {
        self.momentum = momentum;
        self
    }

    /// ε, which keeps the root away from 0; 1e-7 by default.
    pub fn epsilon(mut self, epsilon: f64) -> RmsProp {
        self.epsilon = epsilon;
        self
    }

    /// Whether to divide by the gradients' deviation instead of their size; `false` by default.
    pub fn centered(mut self, centered: bool) -> RmsProp {
        self.centered = centered;
        self
    }
}

impl Default for RmsProp {
    fn default() -> RmsProp {
        RmsProp::new()
    }
}

impl RmsProp {
    pub(super) fn from_config(r: &mut Reader) -> Result<RmsProp> {
        let default = RmsProp::new();
        Ok(RmsProp {
            learning_rate: r.or("learning_rate", default.learning_rate)?,
            rho: r.or("rho", default.rho)?,
            momentum: r.or("momentum", default.momentum)?,
            epsilon: r.or("epsilon", default.epsilon)?,
            centered: r.or("centered", default.centered)?,
        })
    }
}

impl Algorithm for RmsProp {
    fn name(&self) -> &'static str {
        "rmsprop"
    }

    fn class_name(&self) -> &'static str {
        "RMSprop"
    }

    fn config(&self) -> Option<Config> {
        Some(record([
            ("rho", self.rho.into()),
            ("momentum", self.momentum.into()),
            ("epsilon", self.epsilon.into()),
            ("centered", self.centered.into()),
        ]))
    }

    fn learning_rate(&self) -> &Schedule {
        &self.learning_rate
    }

    fn check(&self) -> Result<()> {
        fraction("rho", self.rho)?;
        fraction("momentum", self.momentum)?;
        positive("epsilon", self.epsilon)
    }

    fn rule(&mut self, _t: u64, lr: f64) -> Rule {
        let RmsProp { rho, momentum, epsilon, centered, .. } = *self;
        Rule::RmsProp { lr, rho, momentum, epsilon, centered }
    }
}
