//! Dense: every output unit sees every input feature.
//!
//! ```text
//! Forward   y = f(x W + b)
//! Backward  dz = dy ⊙ f′         the activation's derivative, written in y where it can be
//!           dW = xᵀ dz           each weight gathers input × error over the batch
//!           db = Σₙ dz           a bias sees every sample once
//!           dx = dz Wᵀ           what the layer below is to blame for
//!
//! Shapes    x [N, ..., F]   W [F, U]   b [U]   y [N, ..., U]
//! ```
//!
//! Source: Rumelhart, Hinton, Williams 1986; Goodfellow et al. 2016, §6.5.

use super::{Build, Cx, FromConfig, Layer, Param, Plan, not_built};
use crate::activations::Activation;
use crate::backend::Gemm;
use crate::config::{Config, Reader, record};
use crate::error::Result;
use crate::initializers::Initializer;
use crate::mistakes::{Mistake, Units};
use crate::shape::Shape;
use crate::tensor::{Tensor, View, ViewMut};

/// A fully connected layer; see the [module](self) for the equations.
///
/// ```
/// use handgrad::{Activation, Sequential, layers::Dense};
/// let mut model = Sequential::new().with(Dense::new(10).activation(Activation::Softmax));
/// model.build([784])?;
/// assert_eq!(model.parameter_count()?, 7850);
/// # Ok::<(), handgrad::Error>(())
/// ```
pub struct Dense {
    units: usize,
    activation: Activation,
    use_bias: bool,
    kernel_initializer: Initializer,
    bias_initializer: Initializer,
    skip_activation: bool,
    state: Option<State>,
}

/// What building makes.
struct State {
    kernel: Param,
    bias: Option<Param>,
    output: Shape,
    /// z = x W + b, kept only for activations whose derivative needs it.    [N, ..., U]
    z: Option<Tensor>,
}

impl Dense {
    /// A layer of `units` outputs: linear, with bias, `glorot_uniform` kernel and zero bias.
    pub fn new(units: usize) -> Dense {
        Dense {
            units,
            activation: Activation::Linear,
            use_bias: true,
            kernel_initializer: Initializer::GlorotUniform,
            bias_initializer: Initializer::Zeros,
            skip_activation: false,
            state: None,
        }
    }

    /// The function applied to x W + b.
    pub fn activation(mut self, activation: Activation) -> Dense {
        self.activation = activation;
        self
    }

    /// Whether there is a b; `true` by default.
    pub fn use_bias(mut self, use_bias: bool) -> Dense {
        self.use_bias = use_bias;
        self
    }

    /// How W starts; `glorot_uniform` by default.
    pub fn kernel_initializer(mut self, initializer: Initializer) -> Dense {
        self.kernel_initializer = initializer;
        self
    }

    /// How b starts; zeros by default.
    pub fn bias_initializer(mut self, initializer: Initializer) -> Dense {
        self.bias_initializer = initializer;
        self
    }

    /// The activation that is applied here: none when the loss has it.
    fn applied(&self) -> Activation {
        if self.skip_activation { Activation::Linear } else { self.activation }
    }
}

impl FromConfig for Dense {
    fn from_config(r: &mut Reader) -> Result<Dense> {
        let default = Dense::new(r.need("units")?);
        Ok(Dense {
            activation: r.or("activation", default.activation)?,
            use_bias: r.or("use_bias", default.use_bias)?,
            kernel_initializer: r.or("kernel_initializer", default.kernel_initializer)?,
            bias_initializer: r.or("bias_initializer", default.bias_initializer)?,
            ..default
        })
    }
}

impl Layer for Dense {
    fn kind(&self) -> &'static str {
        "Dense"
    }

    fn describe(&self) -> String {
        format!("Dense {}", self.units)
    }

    fn config(&self) -> Option<Config> {
        Some(record([
            ("units", self.units.into()),
            ("activation", self.activation.to_value()?),
            ("use_bias", self.use_bias.into()),
            ("kernel_initializer", self.kernel_initializer.to_value()),
            ("bias_initializer", self.bias_initializer.to_value()),
        ]))
    }

    fn build(&mut self, cx: &mut Build, input: Shape) -> Result<Shape> {
        let features = input.last();
        if self.units == 0 {
            return Err(Mistake::NoUnits { layer: cx.called(self), units: Units::Units }.into());
        }
        if input.rank() == 0 || input.len() == 0 {
            let hint = "give the layer at least one feature: Reshape::new([1]) before it makes one of a single number";
            return Err(cx.shape_error(self, input, "[N, ..., features]", hint));
        }
        let kernel = cx.param("kernel", Shape::new(&[features, self.units])?, self.kernel_initializer)?;
        let bias = match self.use_bias {
            true => Some(cx.param("bias", [self.units], self.bias_initializer)?),
            false => None,
        };
        let mut dims = input.dims().to_vec();
        dims[input.rank() - 1] = self.units;
        let output = Shape::new(&dims)?;
        self.state = Some(State { kernel, bias, output, z: None });
        Ok(output)
    }

    fn plan(&mut self, plan: &mut Plan) -> Result<()> {
        if let Some(s) = &mut self.state
            && self.activation.needs_input()
        {
            s.z = Some(plan.cache(s.output)?);
        }
        Ok(())
    }

    fn forward(&mut self, cx: &mut Cx, x: View, mut y: ViewMut) -> Result<()> {
        let (dev, f) = (cx.device, self.applied());
        let s = self.state.as_mut().ok_or_else(|| not_built("Dense"))?;
        let (w, b) = (s.kernel.view(), s.bias.as_ref().map(Param::view));
        match &mut s.z {
            Some(z) => {
                let mut z = z.prefix_mut(y.shape())?;
                dev.dense(Activation::Linear, x, w, b, z.reborrow())?; // z = x W + b            [N, U]
                dev.copy(z.as_view(), y.reborrow())?;
                dev.activate(f, y) //                                   y = f(z)               [N, U]
            }
            None => dev.dense(f, x, w, b, y), //                         y = f(x W + b)         [N, U]
        }
    }

    fn backward(
        &mut self,
        cx: &mut Cx,
        x: View,
        y: View,
        mut dy: ViewMut,
        dx: Option<ViewMut>,
    ) -> Result<()> {
        let (dev, f) = (cx.device, self.applied());
        let s = self.state.as_mut().ok_or_else(|| not_built("Dense"))?;
        let z = s.z.as_ref().map(|z| z.prefix(y.shape())).transpose()?;
        if !cx.relu_done {
            // by the layer above, which had y at hand as its x
            dev.activation_backward(f, z, y, dy.reborrow())?; //        dz = dy ⊙ f′           [N, U]
        }
        let dz = dy.as_view();
        dev.gemm(Gemm::tn(), x, dz, s.kernel.grad_mut())?; //           dW = xᵀ dz             [F, U]
        if let Some(b) = &mut s.bias {
            dev.sum_rows(dz, b.grad_mut())?; //                         db = Σₙ dz             [U]
        }
        match dx {
            Some(dx) if cx.relu_below => {
                dev.dense_backward_input(Activation::Relu, dz, s.kernel.view(), x, dx) // dx = dz Wᵀ ⊙ relu′(x)  [N, F]
            }
            Some(dx) => dev.gemm(Gemm::nt(), dz, s.kernel.view(), dx), // dx = dz Wᵀ           [N, F]
            None => Ok(()), //                                          the first layer blames nobody
        }
    }

    fn params(&mut self, visit: &mut dyn FnMut(&mut Param) -> Result<()>) -> Result<()> {
        match &mut self.state {
            Some(s) => [Some(&mut s.kernel), s.bias.as_mut()].into_iter().flatten().try_for_each(visit),
            None => Ok(()),
        }
    }

    fn takes_relu(&self) -> bool {
        true
    }

    fn takes_blocks(&self) -> bool {
        true
    }

    fn output_activation(&self) -> Activation {
        self.activation
    }

    fn skip_activation(&mut self, skip: bool) {
        self.skip_activation = skip;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::trial::{Trial, assert_close, refusal};

    #[test]
    fn a_batch_by_hand() {
        let mut t = Trial::new(Dense::new(2), [3]).unwrap();
        assert_eq!((t.output, t.names()), (Shape::from([2]), vec!["kernel", "bias"]));
        t.set("kernel", &[1., 2., 3., 4., 5., 6.]);
        t.set("bias", &[10., -10.]);
        let x = [1., 0., 2., 0., 1., -1.];
        assert_eq!(t.forward(&x), [21., 4., 8., -12.]);
        assert_eq!(t.backward(&x, &[1., 2., 3., 4.]), [5., 11., 17., 11., 25., 39.]); // dz Wᵀ
        assert_eq!(t.grad("kernel"), [1., 2., 3., 4., -1., 0.]); // xᵀ dz
        assert_eq!(t.grad("bias"), [4., 6.]);
    }

    #[test]
    fn without_bias_only_the_kernel_is_left() {
        let mut t = Trial::new(Dense::new(1).use_bias(false).activation(Activation::Relu), [2]).unwrap();
        assert_eq!(t.names(), ["kernel"]);
        t.set("kernel", &[1., -1.]);
        assert_eq!(t.forward(&[3., 1., 1., 3.]), [2., 0.]);
        assert_eq!(t.backward(&[3., 1., 1., 3.], &[5., 7.]), [5., -5., 0., 0.]);
        assert_eq!(t.grad("kernel"), [15., 5.]);
    }

    /// Every place of a [2, 2] sample is a row of its own.
    #[test]
    fn works_on_the_last_dimension() {
        let mut t = Trial::new(Dense::new(1), [2, 2]).unwrap();
        assert_eq!(t.output, Shape::from([2, 1]));
        t.set("kernel", &[2., 3.]);
        t.set("bias", &[1.]);
        assert_eq!(t.forward(&[1., 0., 0., 1., 1., 1., 2., -1.]), [3., 4., 6., 2.]);
        assert_eq!(t.backward(&[1., 0., 0., 1., 1., 1., 2., -1.], &[1., 2., 3., 4.])[6..], [8., 12.]);
        assert_eq!(t.grad("kernel"), [12., 1.]);
        assert_eq!(t.grad("bias"), [10.]);
    }

    /// gelu's derivative needs z, which y does not give back. Keras's numbers.
    #[test]
    fn gelu_remembers_z() {
        let mut t = Trial::new(Dense::new(2).activation("gelu".parse().unwrap()), [2]).unwrap();
        t.set("kernel", &[1., 2., -1., 0.5]);
        t.set("bias", &[0.5, -0.5]);
        let x = [1., 2., -1., 0.5];
        assert_close(
            &t.forward(&x),
            &[-0.154268769363, 2.484475836686, -0.158655253931, -0.027505063474],
            1e-11,
        );
        let dx = [4.282949218976418, 0.905106210564308, -0.7234643635647144, 0.13156692381264484];
        assert_close(&t.backward(&x, &[1., 2., 3., 4.]), &dx, 1e-12);
        let dw = [0.3824512871068959, 2.311981147717118, 0.1400365448061449, 4.032064855682166];
        assert_close(&t.grad("kernel"), &dw, 1e-12);
        assert_close(&t.grad("bias"), &[-0.11744153641922161, 1.8384631959154625], 1e-12);
    }

    /// A loss that has the activation folded in gets z and gives dz.
    #[test]
    fn the_activation_can_be_left_to_the_loss() {
        let mut t = Trial::new(Dense::new(2).activation(Activation::Softmax), [1]).unwrap();
        t.set("kernel", &[1., 3.]);
        assert_close(&t.forward(&[1.]), &[1. / (1. + 2f64.exp()), 1. / (1. + (-2f64).exp())], 1e-15);
        t.layer.skip_activation(true);
        assert_eq!(t.forward(&[1.]), [1., 3.]);
        assert_eq!(t.backward(&[1.], &[0.5, -0.5]), [-1.]);
        assert_eq!(t.layer.output_activation(), Activation::Softmax);
    }

    #[test]
    fn no_units_is_an_error() {
        let (error, hint) = refusal(Dense::new(0), [3]);
        assert_eq!(error, "layer `on_trial (Dense 0)` has no units");
        assert_eq!(hint, "give it at least one unit: the first number after the layer's name says how many");
        assert!(refusal(Dense::new(usize::MAX), [3]).0.contains("too large"));
    }
}
