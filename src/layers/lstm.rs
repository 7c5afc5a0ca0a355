//! LSTM: long short-term memory. A cell that is written, kept and read through gates.
//!
//! ```text
//! Forward   zₜ = xₜ W + hₜ₋₁ U + b                          [N, 4U], blocks in the order i, f, ĉ, o
//!           i = σ(zᵢ)   f = σ(z_f)   ĉ = tanh(z_c)   o = σ(zₒ)
//!           cₜ = f ⊙ cₜ₋₁ + i ⊙ ĉ                           keep some of the cell, write something new
//!           hₜ = o ⊙ tanh(cₜ)                               show some of it
//!
//! Backward  for t = T−1 … 0                                 backpropagation through time
//!             dc += dhₜ ⊙ o ⊙ tanh′(cₜ)
//!             do = dhₜ ⊙ tanh(cₜ)   df = dc ⊙ cₜ₋₁   di = dc ⊙ ĉ   dĉ = dc ⊙ i
//!             dzₜ = [di ⊙ σ′, df ⊙ σ′, dĉ ⊙ tanh′, do ⊙ σ′]
//!             dc ← dc ⊙ f                                   the cell's path back: no matrix, no squashing
//!             dhₜ₋₁ += dzₜ Uᵀ                               the state's path back
//!           dW = Σₜ xₜᵀ dzₜ   dU = Σₜ hₜ₋₁ᵀ dzₜ   db = Σₜ Σₙ dzₜ   dxₜ = dzₜ Wᵀ
//!
//! Shapes    x [N, T, F]   W [F, 4U]   U [U, 4U]   b [4U]   h, c [T, N, U]   y [N, U], or [N, T, U] as a sequence
//! ```
//!
//! Where f stays near 1, dc passes through many steps unharmed; therefore b_f starts at 1 (`unit_forget_bias`).
//! Only the lines inside the loop wait for each other; each sum over t is one GEMM over all T·N rows.
//!
//! Source: Hochreiter, Schmidhuber 1997; the forget gate: Gers, Schmidhuber, Cummins 2000; its bias: Jozefowicz et
//! al. 2015; Goodfellow et al. 2016, §10.10. Gate order and defaults are Keras 3's.

use super::recurrent::{Options, State, Weights, recurrent_options};
use super::{Build, Cx, FromConfig, Layer, Param, Plan, not_built};
use crate::activations::Activation;
use crate::backend::{CellActivations, Gemm};
use crate::config::{Config, Reader};
use crate::error::Result;
use crate::initializers::Initializer;
use crate::shape::Shape;
use crate::tensor::{Tensor, View, ViewMut};

/// A long short-term memory; see the [module](self) for the equations.
///
/// ```
/// use handgrad::{Activation, Sequential, layers::{Dense, LSTM}};
/// let mut model = Sequential::new()
///     .with(LSTM::new(128))
///     .with(Dense::new(10).activation(Activation::Softmax));
/// model.build([28, 28])?; // an image as 28 steps of 28 pixels
/// assert_eq!(model.parameter_count()?, 4 * 128 * (28 + 128 + 1) + 10 * (128 + 1));
/// # Ok::<(), handgrad::Error>(())
/// ```
pub struct LSTM {
    options: Options,
    activations: CellActivations,
    unit_forget_bias: bool,
    state: Option<State<Cache>>,
}

/// What forward leaves for backward, time-major.
struct Cache {
    /// x in the order of the walk.                     [T, N, F]
    x: Tensor,
    /// First z, then i, f, ĉ, o; after backward dz.     [T, N, 4U]
    gates: Tensor,
    /// The cell after each step.                        [T, N, U]
    c: Tensor,
    /// The state after each step.                       [T, N, U]
    h: Tensor,
}

impl LSTM {
    /// A layer of `units` cells with Keras's defaults: tanh, sigmoid gates, bias, the last state as output.
    pub fn new(units: usize) -> LSTM {
        LSTM {
            options: Options::new(units),
            activations: CellActivations { activation: Activation::Tanh, recurrent: Activation::Sigmoid },
            unit_forget_bias: true,
            state: None,
        }
    }

    /// What squashes the candidate ĉ and the output; `tanh` by default. Its derivative must be one that can be
    /// written in its value.
    pub fn activation(mut self, activation: Activation) -> LSTM {
        self.activations.activation = activation;
        self
    }

    /// σ of the three gates; `sigmoid` by default. As [`activation`](LSTM::activation).
    pub fn recurrent_activation(mut self, activation: Activation) -> LSTM {
        self.activations.recurrent = activation;
        self
    }

    /// Whether the forget gate's bias starts at 1, so that a new cell remembers; `true` by default.
    pub fn unit_forget_bias(mut self, unit_forget_bias: bool) -> LSTM {
        self.unit_forget_bias = unit_forget_bias;
        self
    }
}

recurrent_options!(LSTM);

impl FromConfig for LSTM {
    fn from_config(r: &mut Reader) -> Result<LSTM> {
        let options = Options::from_config(r)?;
        let default = LSTM::new(options.units);
        let CellActivations { activation, recurrent } = default.activations;
        Ok(LSTM {
            options,
            activations: CellActivations {
                activation: r.or("activation", activation)?,
                recurrent: r.or("recurrent_activation", recurrent)?,
            },
            unit_forget_bias: r.or("unit_forget_bias", default.unit_forget_bias)?,
            state: None,
        })
    }
}

impl Layer for LSTM {
    fn kind(&self) -> &'static str {
        "LSTM"
    }

    fn describe(&self) -> String {
        format!("LSTM {}", self.options.units)
    }

    fn config(&self) -> Option<Config> {
        let mut config = self.options.config();
        config.insert("activation".into(), self.activations.activation.to_value()?);
        config.insert("recurrent_activation".into(), self.activations.recurrent.to_value()?);
        config.insert("unit_forget_bias".into(), self.unit_forget_bias.into());
        Some(config)
    }

    fn build(&mut self, cx: &mut Build, input: Shape) -> Result<Shape> {
        let (o, u) = (&self.options, self.options.units);
        let acts = [self.activations.activation, self.activations.recurrent];
        let (steps, features) = o.extents(cx, self, input, &acts)?;
        let mut weights = Weights::build(cx, o, features, 4, 1)?;
        if self.unit_forget_bias
            && let Some(b) = &mut weights.bias
        {
            cx.device.fill(1.0, b.value.view_mut().rows(u..2 * u)?)?;
        }
        let output = o.output_shape(steps);
        self.state = Some(State { weights, steps, features, cache: None });
        Ok(output)
    }

    fn plan(&mut self, plan: &mut Plan) -> Result<()> {
        let s = self.state.as_mut().ok_or_else(|| not_built("LSTM"))?;
        let (steps, u) = (s.steps, self.options.units);
        s.cache = Some(Cache {
            x: plan.cache([steps, s.features])?,
            gates: plan.cache([steps, 4 * u])?,
            c: plan.cache([steps, u])?,
            h: plan.cache([steps, u])?,
        });
        plan.scratch(plan.max_batch * (steps + 1) * u);
        Ok(())
    }

    fn forward(&mut self, cx: &mut Cx, x: View, y: ViewMut) -> Result<()> {
        let (dev, o, u, acts) = (cx.device, &self.options, self.options.units, self.activations);
        let (steps, features, w, cache) = State::ready(&mut self.state, "LSTM")?;
        let n = x.shape().rows();
        let mut xs = cache.x.prefix_mut([steps, n, features].into())?;
        let gates = cache.gates.prefix_mut([steps, n, 4 * u].into())?;
        let c = cache.c.prefix_mut([steps, n, u].into())?;
        let mut h = cache.h.prefix_mut([steps, n, u].into())?;

        o.to_steps(dev, x, xs.reborrow())?;
        let (w_x, w_h, b) = (w.kernel.view(), w.recurrent.view(), w.bias.as_ref().map(Param::view));
        dev.lstm(acts, xs.as_view(), w_x, w_h, b, gates, c, h.reborrow())?; //       z → i f ĉ o, c, h, step by step
        o.output(dev, h.as_view(), y)
    }

    /// Uses up what forward left: one backward for each forward.
    fn backward(&mut self, cx: &mut Cx, _x: View, _y: View, dy: ViewMut, dx: Option<ViewMut>) -> Result<()> {
        let (dev, o, u, acts) = (cx.device, &self.options, self.options.units, self.activations);
        let (steps, features, w, cache) = State::ready(&mut self.state, "LSTM")?;
        let n = dy.shape().rows();
        let mut xs = cache.x.prefix_mut([steps, n, features].into())?;
        let mut gates = cache.gates.prefix_mut([steps, n, 4 * u].into())?;
        let c = cache.c.prefix([steps, n, u].into())?;
        let h = cache.h.prefix([steps, n, u].into())?;
        let (mut dh, rest) = cx.scratch.reborrow().split([steps, n, u])?;
        let (dc, _) = rest.split([n, u])?;

        o.output_backward(dev, dy.as_view(), dh.reborrow())?;
        let (w_h, cut) = (w.recurrent.view(), o.truncate);
        dev.lstm_backward(acts, w_h, cut, gates.reborrow(), c, dh, dc)?; //          i f ĉ o → dz, dh, step by step
        let dz = gates.into_view();
        // dW = xᵀ dz [F, 4U], dU = h₋₁ᵀ dz [U, 4U], db = Σₜ Σₙ dz [4U]
        let (dw, du, db) =
            (w.kernel.grad_mut(), w.recurrent.grad_mut(), w.bias.as_mut().map(Param::grad_mut));
        dev.recurrent_gradients(xs.as_view(), h, dz, dw, du, db)?;
        let Some(dx) = dx else { return Ok(()) };
        dev.gemm(Gemm::nt(), dz, w.kernel.view(), xs.reborrow())?; //                dx = dz Wᵀ       [T, N, F]
        o.to_samples(dev, xs.as_view(), dx)
    }

    fn params(&mut self, visit: &mut dyn FnMut(&mut Param) -> Result<()>) -> Result<()> {
        self.state.as_mut().map_or(Ok(()), |s| s.weights.each(visit))
    }
}
