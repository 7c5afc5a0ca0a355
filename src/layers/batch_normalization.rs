//! BatchNormalization: every channel gets mean 0 and variance 1 over the batch, then a scale and a shift of its own.
//!
//! ```text
//! Training  μ = mean of x, σ² = mean of (x − μ)²      over all rows, for each channel
//!           x̂ = (x − μ) / √(σ² + ε)
//!           y = γ x̂ + β
//!           moving mean     ← momentum · moving mean     + (1 − momentum) μ
//!           moving variance ← momentum · moving variance + (1 − momentum) σ²
//! Inference the same x̂ and y, with the moving mean and variance for μ and σ²
//!
//! Backward  dγ = Σᵣ dy ⊙ x̂
//!           dβ = Σᵣ dy
//!           dx = γ / √(σ² + ε) · (dy − dβ / R − x̂ ⊙ dγ / R)
//!           the two last terms are there because every row moves μ and σ²; in inference it does not, and
//!           dx = γ / √(σ² + ε) · dy
//!
//! Shapes    x, y [R, C]   γ, β, μ, σ² [C]   R: all dimensions but the last (N, or N·H·W of images)
//! ```
//!
//! As in Keras, σ² is the batch's own (biased) variance, both here and in the moving average.
//!
//! Source: Ioffe, Szegedy 2015, algorithms 1 and 2.

use super::{Build, Cx, FromConfig, Layer, Param, Plan, not_built};
use crate::backend::Affine;
use crate::config::{Config, Reader, record};
use crate::error::Result;
use crate::initializers::Initializer;
use crate::shape::Shape;
use crate::tensor::{Tensor, View, ViewMut};

/// Normalises each channel over the batch; see the [module](self) for the equations.
///
/// ```
/// use handgrad::{Sequential, layers::BatchNormalization};
/// let mut model = Sequential::new().with(BatchNormalization::new());
/// model.build([28, 28, 3])?;
/// assert_eq!(model.parameter_count()?, 12); // γ, β, moving mean and moving variance of 3 channels
/// # Ok::<(), handgrad::Error>(())
/// ```
pub struct BatchNormalization {
    momentum: f64,
    epsilon: f64,
    center: bool,
    scale: bool,
    beta_initializer: Initializer,
    gamma_initializer: Initializer,
    state: Option<State>,
}

/// What building makes; each `[C]`.
struct State {
    gamma: Option<Param>,
    beta: Option<Param>,
    moving_mean: Param,
    moving_variance: Param,
    /// μ of the last training batch.
    mean: Tensor,
    /// σ² of the last training batch.
    variance: Tensor,
}

impl Default for BatchNormalization {
    fn default() -> BatchNormalization {
        BatchNormalization::new()
    }
}

impl BatchNormalization {
    /// Momentum 0.99, ε 0.001, with γ (from 1) and β (from 0).
    pub fn new() -> BatchNormalization {
        BatchNormalization {
            momentum: 0.99,
            epsilon: 1e-3,
            center: true,
            scale: true,
            beta_initializer: Initializer::Zeros,
            gamma_initializer: Initializer::Ones,
            state: None,
        }
    }

    /// How much of the moving mean and variance stays at each step, 0 ≤ momentum ≤ 1; 0.99 by default.
    pub fn momentum(mut self, momentum: f64) -> BatchNormalization {
        self.momentum = momentum;
        self
    }

    /// What keeps the root away from 0, more than 0; 0.001 by default.
    pub fn epsilon(mut self, epsilon: f64) -> BatchNormalization {
        self.epsilon = epsilon;
        self
    }

    /// Whether there is a β; `true` by default.
    pub fn center(mut self, center: bool) -> BatchNormalization {
        self.center = center;
        self
    }

    /// Whether there is a γ; `true` by default.
    pub fn scale(mut self, scale: bool) -> BatchNormalization {
        self.scale = scale;
        self
    }

    /// How β starts; zeros by default.
    pub fn beta_initializer(mut self, initializer: Initializer) -> BatchNormalization {
        self.beta_initializer = initializer;
        self
    }

    /// How γ starts; ones by default.
    pub fn gamma_initializer(mut self, initializer: Initializer) -> BatchNormalization {
        self.gamma_initializer = initializer;
        self
    }
}

impl FromConfig for BatchNormalization {
    fn from_config(r: &mut Reader) -> Result<BatchNormalization> {
        let default = BatchNormalization::new();
        Ok(BatchNormalization {
            momentum: r.or("momentum", default.momentum)?,
            epsilon: r.or("epsilon", default.epsilon)?,
            center: r.or("center", default.center)?,
            scale: r.or("scale", default.scale)?,
            beta_initializer: r.or("beta_initializer", default.beta_initializer)?,
            gamma_initializer: r.or("gamma_initializer", default.gamma_initializer)?,
            ..default
        })
    }
}

impl Layer for BatchNormalization {
    fn kind(&self) -> &'static str {
        "BatchNormalization"
    }

    fn config(&self) -> Option<Config> {
        Some(record([
            ("momentum", self.momentum.into()),
            ("epsilon", self.epsilon.into()),
            ("center", self.center.into()),
            ("scale", self.scale.into()),
            ("beta_initializer", self.beta_initializer.to_value()),
            ("gamma_initializer", self.gamma_initializer.to_value()),
        ]))
    }

    fn build(&mut self, cx: &mut Build, input: Shape) -> Result<Shape> {
        if input.rank() == 0 {
            return Err(cx.shape_error(self, input, "[N, ..., channels]", "add Reshape::new([1]) before it"));
        }
        if !((0.0..=1.0).contains(&self.momentum) && self.epsilon > 0.0 && self.epsilon.is_finite()) {
            let problem = format!("momentum {}, epsilon {}", self.momentum, self.epsilon);
            return Err(cx.config_error(self, problem, "give 0 ≤ momentum ≤ 1 and an epsilon above 0"));
        }
        let channels = Shape::from([input.last()]);
        self.state = Some(State {
            gamma: match self.scale {
                true => Some(cx.param("gamma", channels, self.gamma_initializer)?),
                false => None,
            },
            beta: match self.center {
                true => Some(cx.param("beta", channels, self.beta_initializer)?),
                false => None,
            },
            moving_mean: cx.fixed("moving_mean", channels, Initializer::Zeros)?,
            moving_variance: cx.fixed("moving_variance", channels, Initializer::Ones)?,
            mean: cx.device.zeros(channels)?,
            variance: cx.device.zeros(channels)?,
        });
        Ok(input)
    }

    fn plan(&mut self, plan: &mut Plan) -> Result<()> {
        if let Some(s) = &self.state {
            plan.scratch(3 * s.mean.shape().len());
        }
        Ok(())
    }

    fn forward(&mut self, cx: &mut Cx, x: View, y: ViewMut) -> Result<()> {
        let dev = cx.device;
        let s = self.state.as_mut().ok_or_else(|| not_built("BatchNormalization"))?;
        if cx.training {
            let step = 1.0 - self.momentum;
            dev.moments(x, s.mean.view_mut(), s.variance.view_mut())?; //                      μ, σ²       [C]
            dev.interpolate(step, s.mean.view(), s.moving_mean.value.view_mut())?; //          moving μ    [C]
            dev.interpolate(step, s.variance.view(), s.moving_variance.value.view_mut())?; //  moving σ²   [C]
        }
        let (mean, variance) = match cx.training {
            true => (s.mean.view(), s.variance.view()),
            false => (s.moving_mean.view(), s.moving_variance.view()),
        };
        let (gamma, beta) = (s.gamma.as_ref().map(Param::view), s.beta.as_ref().map(Param::view));
        let a = Affine { mean, variance, gamma, beta, epsilon: self.epsilon };
        dev.normalize(&a, x, y) //                                                             y = γ x̂ + β [R, C]
    }

    fn backward(&mut self, cx: &mut Cx, x: View, _y: View, dy: ViewMut, dx: Option<ViewMut>) -> Result<()> {
        let (dev, dy) = (cx.device, dy.as_view());
        let s = self.state.as_mut().ok_or_else(|| not_built("BatchNormalization"))?;
        // Without γ or β their gradients go to scratch.
        let channels = s.mean.shape();
        let (spare_gamma, scratch) = cx.scratch.reborrow().split(channels)?;
        let (spare_beta, scratch) = scratch.split(channels)?;
        let (gamma, dgamma) = match &mut s.gamma {
            Some(p) => (Some(p.value.view()), p.grad.view_mut()),
            None => (None, spare_gamma),
        };
        let dbeta = s.beta.as_mut().map_or(spare_beta, Param::grad_mut);
        let a = Affine {
            mean: s.mean.view(),
            variance: s.variance.view(),
            gamma,
            beta: None,
            epsilon: self.epsilon,
        };
        if cx.training {
            return dev.normalize_backward(&a, x, dy, dgamma, dbeta, dx); //                    dγ, dβ, dx  [R, C]
        }
        let a = Affine { mean: s.moving_mean.view(), variance: s.moving_variance.view(), ..a };
        dev.normalize_backward(&a, x, dy, dgamma, dbeta, None)?; //                            dγ, dβ      [C]
        let Some(dx) = dx else { return Ok(()) };
        let (mut zero, _) = scratch.split(channels)?;
        dev.fill(0.0, zero.reborrow())?;
        dev.normalize(&Affine { mean: zero.as_view(), ..a }, dy, dx) //  dx = γ / √(σ² + ε) · (dy − 0) [R, C]
    }

    fn params(&mut self, visit: &mut dyn FnMut(&mut Param) -> Result<()>) -> Result<()> {
        let Some(s) = &mut self.state else { return Ok(()) };
        let learned = [s.gamma.as_mut(), s.beta.as_mut()].into_iter().flatten();
        learned.chain([&mut s.moving_mean, &mut s.moving_variance]).try_for_each(visit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::trial::{Trial, assert_close, refusal};

    /// Column 1 is 2 ± 1, so that with ε = 3 the root is 2; column 2 is 10 ± 0. By hand.
    #[test]
    fn statistics_of_a_batch() {
        let mut t = Trial::new(BatchNormalization::new().epsilon(3.0).momentum(0.75), [2]).unwrap();
        assert_eq!(t.names(), ["gamma", "beta", "moving_mean", "moving_variance"]);
        t.set("gamma", &[4., 5.]);
        t.set("beta", &[1., -1.]);
        let x = [1., 10., 3., 10., 1., 10., 3., 10.];
        assert_eq!(t.forward(&x), [-1., -1., 3., -1., -1., -1., 3., -1.]);
        assert_eq!(t.value("moving_mean"), [0.5, 2.5]); //       0.75 · 0 + 0.25 · μ
        assert_eq!(t.value("moving_variance"), [1.0, 0.75]); //  0.75 · 1 + 0.25 · σ², σ² = 1 and 0
        // In inference the moving statistics count, and stay as they are.
        t.training = false;
        t.set("moving_variance", &[1., 6.]);
        assert_close(&t.forward(&[0.5, 2.5, 1.5, 5.5]), &[1., -1., 3., 4.], 1e-15);
        assert_eq!(t.value("moving_mean"), [0.5, 2.5]);
    }

    /// Rows are samples and places alike: [4] samples of one place and one sample of 2×2 places give the same.
    #[test]
    fn every_place_of_an_image_is_a_row() {
        let (x, dy) = ([1., 10., 3., 30., 8., 20., 5., 0.], [1., 0., 2., 1., 0., -3., 1., 1.]);
        let mut flat = Trial::new(BatchNormalization::new(), [2]).unwrap();
        let mut image = Trial::new(BatchNormalization::new(), [2, 2, 2]).unwrap();
        assert_eq!(flat.forward(&x), image.forward(&x));
        assert_eq!(flat.backward(&x, &dy), image.backward(&x, &dy));
        assert_eq!(flat.grad("gamma"), image.grad("gamma"));
    }

    /// Keras's numbers, which it works out in f32.
    #[test]
    fn training_and_inference_as_in_keras() {
        let mut t = Trial::new(BatchNormalization::new().momentum(0.9), [2]).unwrap();
        t.set("gamma", &[2., 0.5]);
        t.set("beta", &[1., -1.]);
        let (x, dy) = ([1., 10., 3., 30., 8., 20.], [1., 0., 2., 1., 0., -3.]);
        let y = [-1.0379810333, -1.6123678684, 0.3206729889, -0.3876321316, 3.7173080444, -1.0];
        assert_close(&t.forward(&x), &y, 1e-6);
        assert_close(&t.value("moving_mean"), &[0.4, 2.0], 1e-7);
        assert_close(&t.value("moving_variance"), &[1.7666666508, 7.5666666031], 1e-7);
        let dx = [-0.3918741941, 0.0714424625, 0.5487022400, 0.0714433789, -0.1568281055, -0.1428858340];
        assert_close(&t.backward(&x, &dy), &dx, 1e-6);
        assert_close(&t.grad("gamma"), &[-1.6983175278, 1.2247357368], 1e-6);
        assert_close(&t.grad("beta"), &[3., -2.], 1e-12);

        t.training = false;
        t.set("moving_mean", &[2., 20.]);
        t.set("moving_variance", &[4., 100.]);
        let y = [0.0001249313, -1.4999974966, 1.9998750687, -0.5000026226, 6.9992504120, -1.0];
        assert_close(&t.forward(&x), &y, 1e-6);
        let dx = [0.9998750687, 0.0, 1.9997501373, 0.0499997474, 0.0, -0.1499992460];
        assert_close(&t.backward(&x, &dy), &dx, 1e-6);
        assert_close(&t.grad("gamma"), &[0.4999375343, 0.9999949336], 1e-6);
        assert_close(&t.grad("beta"), &[3., -2.], 1e-12);
    }

    /// Without γ and β nothing is learned, and dx is that of γ = 1.
    #[test]
    fn without_scale_and_center() {
        let (x, dy) = ([1., 10., 3., 30., 8., 20.], [1., 0., 2., 1., 0., -3.]);
        let mut full = Trial::new(BatchNormalization::new(), [2]).unwrap();
        let mut bare = Trial::new(BatchNormalization::new().scale(false).center(false), [2]).unwrap();
        assert_eq!(bare.names(), ["moving_mean", "moving_variance"]);
        for training in [true, false] {
            (full.training, bare.training) = (training, training);
            assert_eq!(full.forward(&x), bare.forward(&x));
            assert_eq!(full.backward(&x, &dy), bare.backward(&x, &dy));
        }
    }

    #[test]
    fn nonsense_is_an_error() {
        assert!(refusal(BatchNormalization::new().momentum(1.5), [2]).0.contains("momentum 1.5"));
        assert!(refusal(BatchNormalization::new().epsilon(0.0), [2]).1.contains("epsilon above 0"));
        assert!(refusal(BatchNormalization::new().epsilon(f64::NAN), [2]).0.contains("epsilon NaN"));
        assert!(refusal(BatchNormalization::new(), Shape::SCALAR).1.contains("Reshape::new([1])"));
    }
}
