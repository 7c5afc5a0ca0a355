//! How a gradient changes a weight.

/// One step of an optimizer on one parameter, with all that depends on the step's number already worked out.
///
/// w is the value, g the gradient, the slots are the optimizer's memory of this parameter, in the order named.
/// `decay` shrinks the value first: w ← w − decay · w (decoupled weight decay, Loshchilov and Hutter 2017).
/// Formulas are Keras 3's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Update {
    /// Learning rate times weight decay; 0 for none.
    pub decay: f64,
    /// The formula.
    pub rule: Rule,
}

/// The formulas of [`Update`].
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)] // each variant's formula names its fields
pub enum Rule {
    /// No slot, momentum 0: w ← w − lr g.
    /// Slot m: m ← momentum · m − lr g; w ← w + m, or with nesterov w ← w + momentum · m − lr g.
    Sgd { lr: f64, momentum: f64, nesterov: bool },
    /// Slots v, then m if momentum ≠ 0, then a if centered:
    /// v ← ρ v + (1 − ρ) g²; a ← ρ a + (1 − ρ) g; u = lr g / √(v − a² + ε) (without a²: √(v + ε));
    /// w ← w − u, or with momentum: m ← momentum · m + u; w ← w − m.
    RmsProp { lr: f64, rho: f64, momentum: f64, epsilon: f64, centered: bool },
    /// Slot a: a ← a + g²; w ← w − lr g / √(a + ε).
    Adagrad { lr: f64, epsilon: f64 },
    /// Slots a, d: a ← ρ a + (1 − ρ) g²; u = g √(d + ε) / √(a + ε); d ← ρ d + (1 − ρ) u²; w ← w − lr u.
    Adadelta { lr: f64, rho: f64, epsilon: f64 },
    /// Slots m, v, then s if amsgrad: m ← m + (1 − β₁)(g − m); v ← v + (1 − β₂)(g² − v); s ← max(s, v);
    /// w ← w − alpha m / (√v + ε), or √s with amsgrad. alpha = lr √(1 − β₂ᵗ) / (1 − β₁ᵗ).
    Adam { alpha: f64, beta_1: f64, beta_2: f64, epsilon: f64, amsgrad: bool },
    /// Slots m, u: m ← m + (1 − β₁)(g − m); u ← max(β₂ u, |g|); w ← w − alpha m / (u + ε).
    /// alpha = lr / (1 − β₁ᵗ).
    Adamax { alpha: f64, beta_1: f64, beta_2: f64, epsilon: f64 },
    /// Slots m, v: m ← m + (1 − β₁)(g − m); v ← v + (1 − β₂)(g² − v);
    /// w ← w − lr (from_m m + from_g g) / (√(v from_v) + ε).
    /// from_m = uₜ₊₁ / (1 − Π uᵢ, i ≤ t + 1), from_g = (1 − uₜ) / (1 − Π uᵢ, i ≤ t), from_v = 1 / (1 − β₂ᵗ),
    /// uₜ = β₁ (1 − ½ · 0.96ᵗ).
    Nadam { lr: f64, beta_1: f64, beta_2: f64, epsilon: f64, from_m: f64, from_g: f64, from_v: f64 },
}

impl Rule {
    /// How many slots the rule wants.
    pub fn slots(&self) -> usize {
        match *self {
            Rule::Sgd { momentum, .. } => usize::from(momentum != 0.0),
            Rule::RmsProp { momentum, centered, .. } => {
                1 + usize::from(momentum != 0.0) + usize::from(centered)
            }
            Rule::Adagrad { .. } => 1,
            Rule::Adadelta { .. } | Rule::Adamax { .. } | Rule::Nadam { .. } => 2,
            Rule::Adam { amsgrad, .. } => 2 + usize::from(amsgrad),
        }
    }
}

/// An optimizer.
pub struct Optimizer;
