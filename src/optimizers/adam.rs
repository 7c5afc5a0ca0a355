//! Adam: steps along the gradient's mean, divided by its size; and AdamW.
//!
//! ```text
//! m ← β₁ m + (1 − β₁) g              the gradient's mean, too small at first by the factor 1 − β₁ᵗ
//! v ← β₂ v + (1 − β₂) g²             its mean square, too small at first by the factor 1 − β₂ᵗ
//! w ← w − lr √(1 − β₂ᵗ) / (1 − β₁ᵗ) · m / (√v + ε)
//! amsgrad     s ← max(s, v)          and √s in the place of √v
//! AdamW       w ← w − lr λ w         before each step
//! ```
//!
//! ε stands beside the uncorrected √v, as in the paper's own efficient form (end of §2) and in Keras. t counts from 1.
//!
//! Source: Kingma, Ba 2014; Reddi, Kale, Kumar 2018 (amsgrad); Loshchilov, Hutter 2017 (AdamW).

use super::{Algorithm, Rule, fraction, positive};
use crate::config::{Config, Reader, record};
use crate::error::Result;
use crate::schedules::Schedule;

/// Adam; see the source for the equations.
///
/// ```
/// use handgrad::Optimizer;
/// use handgrad::optimizers::Adam;
/// let optimizer = Optimizer::from(Adam::new().learning_rate(3e-4)).clip_norm(1.0);
/// assert_eq!(optimizer.name(), "adam");
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Adam {
    learning_rate: Schedule,
    beta_1: f64,
    beta_2: f64,
    epsilon: f64,
    amsgrad: bool,
}

impl Adam {
    /// Learning rate 0.001, β₁ 0.9, β₂ 0.999, ε 1e-7, no amsgrad.
    pub fn new() -> Adam {
        Adam {
            learning_rate: Schedule::Constant(0.001),
            beta_1: 0.9,
            beta_2: 0.999,
            epsilon: 1e-7,
            amsgrad: false,
        }
    }

    /// A number, or a schedule; 0.001 by default.
    pub fn learning_rate(mut self, rate: impl Into<Schedule>) -> Adam {
        self.learning_rate = rate.into();
        self
    }

    /// β₁, how slowly the mean forgets, 0 ≤ β₁ < 1; 0.9 by default.
    pub fn beta_1(mut self, beta_1: f64) -> Adam {
        self.beta_1 = beta_1;
        self
    }

    /// β₂, how slowly the mean square forgets, 0 ≤ β₂ < 1; 0.999 by default.
    pub fn beta_2(mut self, beta_2: f64) -> Adam {
        self.beta_2 = beta_2;
        self
    }

    /// ε, which keeps the divisor away from 0; 1e-7 by default.
    pub fn epsilon(mut self, epsilon: f64) -> Adam {
        self.epsilon = epsilon;
        self
    }

    /// Whether the divisor may never shrink; `false` by default.
    pub fn amsgrad(mut self, amsgrad: bool) -> Adam {
        self.amsgrad = amsgrad;
        self
    }
}

impl Default for Adam {
    fn default() -> Adam {
        Adam::new()
    }
}

impl Adam {
    pub(super) fn from_config(r: &mut Reader) -> Result<Adam> {
        let default = Adam::new();
        Ok(Adam {
            learning_rate: r.or("learning_rate", default.learning_rate)?,
            beta_1: r.or("beta_1", default.beta_1)?,
            beta_2: r.or("beta_2", default.beta_2)?,
            epsilon: r.or("epsilon", default.epsilon)?,
            amsgrad: r.or("amsgrad", default.amsgrad)?,
        })
    }
}

impl Algorithm for Adam {
    fn name(&self) -> &'static str {
        "adam"
    }

    fn class_name(&self) -> &'static str {
        "Adam"
    }

    fn config(&self) -> Option<Config> {
        Some(record([
            ("beta_1", self.beta_1.into()),
            ("beta_2", self.beta_2.into()),
            ("epsilon", self.epsilon.into()),
            ("amsgrad", self.amsgrad.into()),
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
        let Adam { beta_1, beta_2, epsilon, amsgrad, .. } = *self;
        let alpha = lr * (1.0 - beta_2.powf(t as f64)).sqrt() / (1.0 - beta_1.powf(t as f64));
        Rule::Adam { alpha, beta_1, beta_2, epsilon, amsgrad }
    }
}

/// Adam with decoupled weight decay, 0.004 by default; see the source for the equations.
///
/// The same as an Adam with [`Optimizer::weight_decay`](crate::Optimizer::weight_decay), which also changes the 0.004.
/// Every trainable parameter decays, biases too, as in Keras.
///
/// ```
/// use handgrad::Optimizer;
/// use handgrad::optimizers::{Adam, AdamW};
/// let optimizer = Optimizer::from(AdamW::new().adam(Adam::new().amsgrad(true))).weight_decay(0.01);
/// assert_eq!(optimizer.name(), "adamw");
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AdamW(Adam);

impl AdamW {
    /// The weight decay λ unless [`Optimizer::weight_decay`](crate::Optimizer::weight_decay) gives another.
    pub const WEIGHT_DECAY: f64 = 0.004;

    /// [`Adam::new`], with weight decay.
    pub fn new() -> AdamW {
        AdamW(Adam::new())
    }

    /// A number, or a schedule; 0.001 by default.
    pub fn learning_rate(mut self, rate: impl Into<Schedule>) -> AdamW {
        self.0.learning_rate = rate.into();
        self
    }

    /// The Adam whose weights decay; [`Adam::new`] by default.
    pub fn adam(mut self, adam: Adam) -> AdamW {
        self.0 = adam;
        self
    }
}

impl AdamW {
    pub(super) fn from_config(r: &mut Reader) -> Result<AdamW> {
        Adam::from_config(r).map(AdamW)
    }
}

impl Algorithm for AdamW {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn class_name(&self) -> &'static str {
        "AdamW"
    }

    fn config(&self) -> Option<Config> {
        self.0.config()
    }

    fn learning_rate(&self) -> &Schedule {
        &self.0.learning_rate
    }

    fn check(&self) -> Result<()> {
        self.0.check()
    }

    fn rule(&mut self, t: u64, lr: f64) -> Rule {
        self.0.rule(t, lr)
    }

    fn weight_decay(&self) -> Option<f64> {
        Some(AdamW::WEIGHT_DECAY)
    }
}
