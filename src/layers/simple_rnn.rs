//! SimpleRNN: a layer that sees its own last output.
//!
//! ```text
//! Forward   hₜ = f(xₜ W + hₜ₋₁ U + b)         h₋₁ = 0
//! Backward  for t = T−1 … 0                   backpropagation through time
//!             dzₜ = dhₜ ⊙ f′                  the activation's derivative, written in h
//!             dhₜ₋₁ += dzₜ Uᵀ                 the step before is to blame too
//!           dW = Σₜ xₜᵀ dzₜ                   one W for all steps: its gradients add up
//!           dU = Σₜ hₜ₋₁ᵀ dzₜ
//!           db = Σₜ Σₙ dzₜ
//!           dxₜ = dzₜ Wᵀ
//!
//! Shapes    x [N, T, F]   W [F, U]   U [U, U]   b [U]   h [T, N, U]   y [N, U], or [N, T, U] as a sequence
//! ```
//!
//! Only the lines inside the loop wait for each other; each sum over t is one GEMM over all T·N rows.
//! Along the way dh is multiplied by Uᵀ and f′ at each step, so it vanishes or explodes with T: what the
//! [`LSTM`](super::LSTM) is there for.
//!
//! Source: Elman 1990; Werbos 1990; Goodfellow et al. 2016, §10.2 and §10.7.

use super::recurrent::{Options, State, Weights, at, at_mut, pair_mut, recurrent_options, state_mut};
use super::{Build, Cx, FromConfig, Layer, Param, Plan, not_built};
use crate::activations::Activation;
use crate::backend::Gemm;
use crate::config::{Config, Reader};
use crate::error::Result;
use crate::initializers::Initializer;
use crate::shape::Shape;
use crate::tensor::{Tensor, View, ViewMut};

/// A fully connected recurrent layer; see the [module](self) for the equations.
///
/// ```
/// use handgrad::{Sequential, layers::SimpleRNN};
/// let mut model = Sequential::new()
///     .with(SimpleRNN::new(16).return_sequences(true))
///     .with(SimpleRNN::new(8));
/// model.build([28, 28])?; // 28 steps of 28 features
/// assert_eq!(model.parameter_count()?, 16 * (28 + 16 + 1) + 8 * (16 + 8 + 1));
/// # Ok::<(), handgrad::Error>(())
/// ```
pub struct SimpleRNN {
    options: Options,
    activation: Activation,
    state: Option<State<Cache>>,
}

/// What forward leaves for backward, time-major.
struct Cache {
    /// x in the order of the walk.                     [T, N, F]
    x: Tensor,
    /// The state after each step.                       [T, N, U]
    h: Tensor,
}

impl SimpleRNN {
    /// A layer of `units` states with Keras's defaults: tanh, bias, the last state as output.
    pub fn new(units: usize) -> SimpleRNN {
        SimpleRNN { options: Options::new(units), activation: Activation::Tanh, state: None }
    }

    /// f; `tanh` by default. Its derivative must be one that can be written in h.
    pub fn activation(mut self, activation: Activation) -> SimpleRNN {
        self.activation = activation;
        self
    }
}

recurrent_options!(SimpleRNN);

impl FromConfig for SimpleRNN {
    fn from_config(r: &mut Reader) -> Result<SimpleRNN> {
        let options = Options::from_config(r)?;
        let activation = r.or("activation", Activation::Tanh)?;
        Ok(SimpleRNN { options, activation, state: None })
    }
}

impl Layer for SimpleRNN {
    fn kind(&self) -> &'static str {
        "SimpleRNN"
    }

    fn describe(&self) -> String {
        format!("SimpleRNN {}", self.options.units)
    }

    fn config(&self) -> Option<Config> {
        let mut config = self.options.config();
        config.insert("activation".into(), self.activation.to_value()?);
        Some(config)
    }

    fn build(&mut self, cx: &mut Build, input: Shape) -> Result<Shape> {
        let (steps, features) = self.options.extents(cx, self, input, &[self.activation])?;
        let weights = Weights::build(cx, &self.options, features, 1, 1)?;
        self.state = Some(State { weights, steps, features, cache: None });
        Ok(self.options.output_shape(steps))
    }

    fn plan(&mut self, plan: &mut Plan) -> Result<()> {
        let s = self.state.as_mut().ok_or_else(|| not_built("SimpleRNN"))?;
        let h = [s.steps, self.options.units];
        s.cache = Some(Cache { x: plan.cache([s.steps, s.features])?, h: plan.cache(h)? });
        plan.scratch(plan.max_batch * Shape::from(h).len());
        Ok(())
    }

    fn forward(&mut self, cx: &mut Cx, x: View, y: ViewMut) -> Result<()> {
        let (dev, o) = (cx.device, &self.options);
        let (steps, features, w, cache) = State::ready(&mut self.state, "SimpleRNN")?;
        let n = x.shape().rows();
        let mut xs = cache.x.prefix_mut([steps, n, features].into())?;
        let mut h = cache.h.prefix_mut([steps, n, o.units].into())?;

        o.to_steps(dev, x, xs.reborrow())?;
        let (w_x, w_h, b) = (w.kernel.view(), w.recurrent.view(), w.bias.as_ref().map(Param::view));
        dev.dense(Activation::Linear, xs.as_view(), w_x, b, h.reborrow())?; //       z = x W + b      [T, N, U]
        for t in 0..steps {
            let (h_prev, mut h_t) = state_mut(&mut h, t)?;
            if let Some(h_prev) = h_prev {
                dev.gemm(Gemm::nn().add(), h_prev, w_h, h_t.reborrow())?; //         z += h₋₁ U       [N, U]
            }
            dev.activate(self.activation, h_t)?; //                                  h = f(z)         [N, U]
        }
        o.output(dev, h.as_view(), y)
    }

    /// Uses up what forward left: one backward for each forward.
    fn backward(&mut self, cx: &mut Cx, _x: View, _y: View, dy: ViewMut, dx: Option<ViewMut>) -> Result<()> {
        let (dev, o) = (cx.device, &self.options);
        let (steps, features, w, cache) = State::ready(&mut self.state, "SimpleRNN")?;
        let n = dy.shape().rows();
        let mut xs = cache.x.prefix_mut([steps, n, features].into())?;
        let h = cache.h.prefix([steps, n, o.units].into())?;
        let (mut dh, _) = cx.scratch.reborrow().split([steps, n, o.units])?;

        o.output_backward(dev, dy.as_view(), dh.reborrow())?;
        for t in (0..steps).rev() {
            let (h_t, dh_t) = (at(h, t)?, at_mut(&mut dh, t)?);
            dev.activation_backward(self.activation, None, h_t, dh_t)?; //           dz = dh ⊙ f′     [N, U]
            if !o.is_cut(t) {
                let (dh_prev, dz) = pair_mut(&mut dh, t)?;
                let (dz, w_h) = (dz.as_view(), w.recurrent.view());
                dev.gemm(Gemm::nt().add(), dz, w_h, dh_prev)?; //                    dh₋₁ += dz Uᵀ    [N, U]
            }
        }
        let dz = dh.into_view();
        // dW = xᵀ dz [F, U], dU = h₋₁ᵀ dz [U, U], db = Σₜ Σₙ dz [U]
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
