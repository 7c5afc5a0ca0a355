//! Nadam: Adam with Nesterov's look ahead.
//!
//! ```text
//! uₜ = β₁ (1 − ½ · 0.96ᵗ)                                  momentum that warms up from β₁/2 to β₁
//! Uₜ = u₁ u₂ ··· uₜ
//! m ← β₁ m + (1 − β₁) g        v ← β₂ v + (1 − β₂) g²
//! m̂ = uₜ₊₁ m / (1 − Uₜ₊₁) + (1 − uₜ) g / (1 − Uₜ)          v̂ = v / (1 − β₂ᵗ)
//! w ← w − lr m̂ / (√v̂ + ε)
//! ```
//!
//! Source: Dozat 2016. t counts from 1.

use super::{Algorithm, Rule, fraction, positive};
use crate::config::{Config, Reader, record};
use crate::error::Result;
use crate::schedules::Schedule;

/// Nadam; see the source for the equations.
///
/// ```
/// use handgrad::Optimizer;
/// use handgrad::optimizers::Nadam;
/// let optimizer = Optimizer::from(Nadam::new().learning_rate(0.002));
/// assert_eq!(optimizer.name(), "nadam");
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Nadam {
    learning_rate: Schedule,
    beta_1: f64,
    beta_2: f64,
    epsilon: f64,
    /// t and Uₜ of the last step, so that the next one need not multiply from the start.
    product: (u64, f64),
}

impl Nadam {
    /// Learning rate 0.001, β₁ 0.9, β₂ 0.999, ε 1e-7.
    pub fn new() -> Nadam {
        Nadam {
            learning_rate: Schedule::Constant(0.001),
            beta_1: 0.9,
            beta_2: 0.999,
            epsilon: 1e-7,
            product: (0, 1.0),
        }
    }

    /// A number, or a schedule; 0.001 by default.
    pub fn learning_rate(mut self, rate: impl Into<Schedule>) -> Nadam {
        self.learning_rate = rate.into();
        self
    }

    /// β₁, how slowly the mean forgets, 0 ≤ β₁ < 1; 0.9 by default.
    pub fn beta_1(mut self, beta_1: f64) -> Nadam {
        self.beta_1 = beta_1;
        self
    }

    /// β₂, how slowly the mean square forgets, 0 ≤ β₂ < 1; 0.999 by default.
    pub fn beta_2(mut self, beta_2: f64) -> Nadam {
        self.beta_2 = beta_2;
        self
    }

    /// ε, which keeps the divisor away from 0; 1e-7 by default.
    pub fn epsilon(mut self, epsilon: f64) -> Nadam {
        self.epsilon = epsilon;
        self
    }
}

impl Default for Nadam {
    fn default() -> Nadam {
        Nadam::new()
    }
}

impl Nadam {
    pub(super) fn from_config(r: &mut Reader) -> Result<Nadam> {
        let default = Nadam::new();
        Ok(Nadam {
            learning_rate: r.or("learning_rate", default.learning_rate)?,
            beta_1: r.or("beta_1", default.beta_1)?,
            beta_2: r.or("beta_2", default.beta_2)?,
            epsilon: r.or("epsilon", default.epsilon)?,
            product: default.product,
        })
    }
}

impl Algorithm for Nadam {
    fn name(&self) -> &'static str {
        "nadam"
    }

    fn class_name(&self) -> &'static str {
        "Nadam"
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
        let Nadam { beta_1, beta_2, epsilon, product, .. } = *self;
        let u = |t: u64| beta_1 * (1.0 - 0.5 * 0.96f64.powf(t as f64)); //       uₜ
        let (done, before) = if product.0 <= t { product } else { (0, 1.0) };
        let now = (done + 1..=t).fold(before, |product, i| product * u(i)); //   Uₜ
        self.product = (t, now);
        Rule::Nadam {
            lr,
            beta_1,
            beta_2,
            epsilon,
            from_m: u(t + 1) / (1.0 - now * u(t + 1)),
            from_g: (1.0 - u(t)) / (1.0 - now),
            from_v: 1.0 / (1.0 - beta_2.powf(t as f64)),
        }
    }
}
