//! What a case is: something differentiable, and the numbers to try it on.

use crate::activations::Activation;
use crate::layers::Layer;
use crate::losses::Loss;
use crate::rng::Rng;
use crate::shape::Shape;

/// A layer, a loss, or layers with a loss behind them, at one point.
///
/// One form fits all: a stack of layers (none for a bare loss) and an [`End`] that makes one number L of its output.
pub struct Case {
    /// What is checked: a layer's [`kind`](Layer::kind), a loss's name, `Model`.
    pub kind: &'static str,
    /// How it is configured, for people; different for each case of a kind.
    pub configuration: String,
    /// The shape of one sample of the input.
    pub input: Shape,
    /// How many samples.
    pub batch: usize,
    /// Draws inputs, parameters, targets, weights and the cotangent.
    pub seed: u64,
    /// The inputs lie in this open interval, evenly spaced and shuffled; see [`spaced`].
    pub range: (f64, f64),
    /// Whether it runs as in training, or as in inference.
    pub training: bool,
    /// What makes a number of the output.
    pub end: End,
    layers: Constructor,
}

/// Makes the layers anew for every device.
type Constructor = Box<dyn Fn() -> Vec<Box<dyn Layer>> + Send + Sync>;

/// How a stack's output y becomes the number L whose gradient is checked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum End {
    /// L = Σ r ⊙ y with a random cotangent r. With r = 1, errors that cancel in the sum would pass.
    Cotangent,
    /// L = Σᵣ scale · weightᵣ · lossᵣ, by [`Backend::loss`](crate::Backend::loss) and
    /// [`loss_backward`](crate::Backend::loss_backward).
    Loss(Goal),
    /// The same by [`Backend::loss_step`](crate::Backend::loss_step), with the activation folded into the loss.
    Step(Goal, Activation),
}

/// A loss and what it is to be measured against.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Goal {
    /// The formula.
    pub loss: Loss,
    /// What targets look like.
    pub targets: Targets,
    /// Whether each row has a weight of its own.
    pub weighted: bool,
}

/// What targets look like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Targets {
    /// Reals in (0.1, 1.9).
    Reals,
    /// 0 or 1.
    Bits,
    /// −1 or 1.
    Signs,
    /// Rows of probabilities that sum to 1, one-hot rows among them.
    Distributions,
    /// One class a row, as an index.
    Labels,
}

impl Case {
    /// A stack of layers; more than one is a model.
    pub fn new(
        kind: &'static str,
        configuration: impl Into<String>,
        batch: usize,
        input: impl Into<Shape>,
        end: End,
        layers: impl Fn() -> Vec<Box<dyn Layer>> + Send + Sync + 'static,
    ) -> Case {
        let (configuration, input, layers) = (configuration.into(), input.into(), Box::new(layers));
        Case { kind, configuration, input, batch, seed: 1, range: (-2.0, 2.0), training: true, end, layers }
    }

    /// With inputs in another interval.
    pub fn range(self, low: f64, high: f64) -> Case {
        Case { range: (low, high), ..self }
    }

    /// New layers, not yet built.
    pub fn layers(&self) -> Vec<Box<dyn Layer>> {
        (self.layers)()
    }

    /// What it is called in a table or a failure: kind, configuration and the input's shape.
    pub fn name(&self) -> String {
        format!("{} ({}) on {}", self.kind, self.configuration, self.input.batched(self.batch))
    }

    /// The random stream of one purpose.
    pub(super) fn rng(&self, purpose: u64) -> Rng {
        Rng::new(self.seed, purpose)
    }

    /// The inputs, batch and all.
    pub(super) fn inputs(&self) -> Vec<f64> {
        spaced(self.input.len() * self.batch, self.range, &mut self.rng(1))
    }
}

/// `n` different numbers in an open interval, evenly spaced and shuffled. None is 0 in an interval around it: where a
/// layer has a kink at 0 or at equal inputs, all are a fifth of the spacing away from it.
///
/// They are multiples of 2⁻¹⁴, so that adding a small power of two is exact, in `f32` too.
pub fn spaced(n: usize, (low, high): (f64, f64), rng: &mut Rng) -> Vec<f64> {
    let spacing = (high - low) / n as f64;
    let mut values: Vec<f64> = (0..n).map(|k| dyadic(low + (k as f64 + 0.3) * spacing)).collect();
    rng.shuffle(&mut values);
    values
}

/// `n` numbers of either sign with a magnitude in [low, high): none so small that its gradient could hide.
pub(super) fn signed(n: usize, low: f64, high: f64, rng: &mut Rng) -> Vec<f64> {
    let draw = |rng: &mut Rng| {
        let magnitude = low + (high - low) * rng.uniform();
        dyadic(if rng.below(2) == 0 { magnitude } else { -magnitude })
    };
    (0..n).map(|_| draw(rng)).collect()
}

/// The nearest multiple of 2⁻¹⁴.
fn dyadic(x: f64) -> f64 {
    (x * 16384.0).round() / 16384.0
}

impl Targets {
    /// Targets for a prediction of `rows` times `columns`: values, or class indices as numbers.
    pub(super) fn draw(self, rows: usize, columns: usize, rng: &mut Rng) -> Vec<f64> {
        let n = rows * columns;
        match self {
            Targets::Reals => (0..n).map(|_| dyadic(0.1 + 1.8 * rng.uniform())).collect(),
            Targets::Bits => (0..n).map(|_| rng.below(2) as f64).collect(),
            Targets::Signs => (0..n).map(|_| 2.0 * rng.below(2) as f64 - 1.0).collect(),
            Targets::Labels => (0..rows).map(|_| rng.below(columns as u64) as f64).collect(),
            Targets::Distributions => (0..rows)
                .flat_map(|r| {
                    let hot = rng.below(columns as u64) as usize;
                    let soft = if r % 2 == 0 { 0.0 } else { 0.25 };
                    (0..columns).map(move |c| soft / columns as f64 + if c == hot { 1.0 - soft } else { 0.0 })
                })
                .collect(),
        }
    }
}
