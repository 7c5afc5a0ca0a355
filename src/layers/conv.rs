//! Conv: one small kernel looks at every place of an image, so what it learns here it knows everywhere.
//!
//! ```text
//! Forward   z[n, o, :] = Σₖ x[n, o·s + k·d − p, :] K[k, :, :] + b     x is 0 outside the image
//!           y = f(z)
//! Backward  dz = dy ⊙ f′
//!           dK = im2col(x)ᵀ dz          each tap gathers what it saw × error over all places
//!           db = Σₙₒ dz                 a bias sees every place of every sample
//!           dx = col2im(dz Kᵀ)          every window hands its blame back to where it looked
//!
//! Shapes    x [N, D, H, W, C]   K [kd, kh, kw, C, F]   b [F]   z, y [N, od, oh, ow, F]
//!           without D in 2-D, without D and H in 1-D; o, k, s (stride), d (dilation), p (padding) have one number
//!           for each axis
//! ```
//!
//! im2col copies each window into a row, `[N·od·oh·ow, kd·kh·kw·C]`; then the sum over taps is the inner sum of a matrix
//! product, z = im2col(x) K + b, and all of Dense's equations hold. A window and its padding are
//! [`Window`]'s. A device may find the same sums in another way: the processor neither makes im2col(x), nor, for windows
//! of 3×3, most of the multiplications (`src/cpu/conv.rs`, `src/cpu/winograd.rs`).
//!
//! Source: LeCun et al. 1998; Dumoulin, Visin 2016 (the arithmetic of padding and strides); Goodfellow et al. 2016, §9.

use super::spatial::{Extents, image, window};
use super::{Build, Cx, FromConfig, Layer, Param, Plan, not_built};
use crate::activations::Activation;
use crate::config::{Config, Reader, record};
use crate::error::Result;
use crate::initializers::Initializer;
use crate::mistakes::{Mistake, Units};
use crate::shape::Shape;
use crate::tensor::{Tensor, View, ViewMut};
use crate::window::{Padding, Window};

/// A convolution over D axes of space; see the [module](self) for the equations.
///
/// ```
/// use handgrad::{Activation, Padding, Sequential, layers::{Conv2D, Flatten, Dense}};
/// let mut model = Sequential::new()
///     .with(Conv2D::new(32, 3).activation(Activation::Relu))
///     .with(Conv2D::new(64, [3, 3]).strides(2).padding(Padding::Same))
///     .with(Flatten::new())
///     .with(Dense::new(10));
/// model.build([28, 28, 1])?;
/// let (first, second, dense) = (320, 18_496, 13 * 13 * 64 * 10 + 10);
/// assert_eq!(model.parameter_count()?, first + second + dense);
/// # Ok::<(), handgrad::Error>(())
/// ```
pub struct Conv<const D: usize> {
    filters: usize,
    kernel_size: Extents<D>,
    strides: Extents<D>,
    padding: Padding,
    dilation_rate: Extents<D>,
    activation: Activation,
    use_bias: bool,
    kernel_initializer: Initializer,
    bias_initializer: Initializer,
    skip_activation: bool,
    state: Option<State>,
}

/// A convolution over sequences `[N, steps, channels]`.
pub type Conv1D = Conv<1>;
/// A convolution over images `[N, height, width, channels]`.
pub type Conv2D = Conv<2>;
/// A convolution over volumes `[N, depth, height, width, channels]`.
pub type Conv3D = Conv<3>;

/// What building makes.
struct State {
    kernel: Param,
    bias: Option<Param>,
    window: Window,
    output: Shape,
    /// z = im2col(x) K + b, kept only for activations whose derivative needs it.    [N, od, oh, ow, F]
    z: Option<Tensor>,
}

impl<const D: usize> Conv<D> {
    /// A layer of `filters` kernels of `kernel_size` (`3`, or `[3, 5]`): linear, with bias, stride 1, no padding,
    /// no dilation, `glorot_uniform` kernel and zero bias.
    pub fn new(filters: usize, kernel_size: impl Into<Extents<D>>) -> Conv<D> {
        const { assert!(D >= 1 && D <= 3, "a convolution has 1 to 3 axes of space") };
        Conv {
            filters,
            kernel_size: kernel_size.into(),
            strides: 1.into(),
            padding: Padding::Valid,
            dilation_rate: 1.into(),
            activation: Activation::Linear,
            use_bias: true,
            kernel_initializer: Initializer::GlorotUniform,
            bias_initializer: Initializer::Zeros,
            skip_activation: false,
            state: None,
        }
    }

    /// Steps between neighbouring windows; 1 by default.
    pub fn strides(mut self, strides: impl Into<Extents<D>>) -> Conv<D> {
        self.strides = strides.into();
        self
    }

    /// What happens at the border; [`Padding::Valid`] by default.
    pub fn padding(mut self, padding: Padding) -> Conv<D> {
        self.padding = padding;
        self
    }

    /// Steps between neighbouring taps of the kernel; 1 by default. More than 1 goes with stride 1 only, as in Keras.
    pub fn dilation_rate(mut self, dilation_rate: impl Into<Extents<D>>) -> Conv<D> {
        self.dilation_rate = dilation_rate.into();
        self
    }

    /// The function applied to im2col(x) K + b.
    pub fn activation(mut self, activation: Activation) -> Conv<D> {
        self.activation = activation;
        self
    }

    /// Whether there is a b; `true` by default.
    pub fn use_bias(mut self, use_bias: bool) -> Conv<D> {
        self.use_bias = use_bias;
        self
    }

    /// How K starts; `glorot_uniform` by default.
    pub fn kernel_initializer(mut self, initializer: Initializer) -> Conv<D> {
        self.kernel_initializer = initializer;
        self
    }

    /// How b starts; zeros by default.
    pub fn bias_initializer(mut self, initializer: Initializer) -> Conv<D> {
        self.bias_initializer = initializer;
        self
    }

    /// The activation that is applied here: none when the loss has it.
    fn applied(&self) -> Activation {
        if self.skip_activation { Activation::Linear } else { self.activation }
    }
}

impl<const D: usize> FromConfig for Conv<D> {
    fn from_config(r: &mut Reader) -> Result<Conv<D>> {
        let default = Conv::new(r.need("filters")?, r.need::<Extents<D>>("kernel_size")?);
        Ok(Conv {
            strides: r.or("strides", default.strides)?,
            padding: r.or("padding", default.padding)?,
            dilation_rate: r.or("dilation_rate", default.dilation_rate)?,
            activation: r.or("activation", default.activation)?,
            use_bias: r.or("use_bias", default.use_bias)?,
            kernel_initializer: r.or("kernel_initializer", default.kernel_initializer)?,
            bias_initializer: r.or("bias_initializer", default.bias_initializer)?,
            ..default
        })
    }
}

impl<const D: usize> Layer for Conv<D> {
    fn kind(&self) -> &'static str {
        ["Conv1D", "Conv2D", "Conv3D"][D - 1]
    }

    fn describe(&self) -> String {
        format!("{} {}, {}", self.kind(), self.filters, self.kernel_size)
    }

    fn config(&self) -> Option<Config> {
        Some(record([
            ("filters", self.filters.into()),
            ("kernel_size", self.kernel_size.into()),
            ("strides", self.strides.into()),
            ("padding", self.padding.into()),
            ("dilation_rate", self.dilation_rate.into()),
            ("activation", self.activation.to_value()?),
            ("use_bias", self.use_bias.into()),
            ("kernel_initializer", self.kernel_initializer.to_value()),
            ("bias_initializer", self.bias_initializer.to_value()),
        ]))
    }

    fn build(&mut self, cx: &mut Build, input: Shape) -> Result<Shape> {
        let (kernel, strides, dilation) = (self.kernel_size, self.strides, self.dilation_rate);
        if self.filters == 0 {
            return Err(Mistake::NoUnits { layer: cx.called(self), units: Units::Filters }.into());
        }
        if strides.0.iter().any(|&s| s > 1) && dilation.0.iter().any(|&d| d > 1) {
            let problem = format!("strides {strides} and dilation {dilation} cannot both be more than 1");
            return Err(cx.config_error(self, problem, "leave one of them at 1"));
        }
        let window = window(cx, self, input, kernel, strides, dilation, self.padding)?;
        let mut dims = kernel.0.to_vec();
        dims.extend([window.channels, self.filters]);
        let kernel = cx.param("kernel", Shape::new(&dims)?, self.kernel_initializer)?;
        let bias = match self.use_bias {
            true => Some(cx.param("bias", [self.filters], self.bias_initializer)?),
            false => None,
        };
        let output = image::<D>(window.output, self.filters)?;
        self.state = Some(State { kernel, bias, window, output, z: None });
        Ok(output)
    }

    fn plan(&mut self, plan: &mut Plan) -> Result<()> {
        if let Some(s) = &mut self.state {
            plan.scratch(plan.device.conv_scratch(&s.window, self.filters, plan.max_batch));
            if self.activation.needs_input() {
                s.z = Some(plan.cache(s.output)?);
            }
        }
        Ok(())
    }

    fn forward(&mut self, cx: &mut Cx, x: View, mut y: ViewMut) -> Result<()> {
        let (dev, f, scratch) = (cx.device, self.applied(), cx.scratch.reborrow());
        let s = self.state.as_mut().ok_or_else(|| not_built("Conv"))?;
        let (w, k, b) = (&s.window, s.kernel.view(), s.bias.as_ref().map(Param::view));
        match &mut s.z {
            Some(z) => {
                let mut z = z.prefix_mut(y.shape())?;
                dev.conv(w, Activation::Linear, x, k, b, scratch, z.reborrow())?; // z = im2col(x) K + b  [N, o, F]
                dev.copy(z.as_view(), y.reborrow())?;
                dev.activate(f, y) //                                        y = f(z)               [N, o, F]
            }
            None => dev.conv(w, f, x, k, b, scratch, y), //                  y = f(im2col(x) K + b) [N, o, F]
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
        let (dev, f, mut scratch) = (cx.device, self.applied(), cx.scratch.reborrow());
        let s = self.state.as_mut().ok_or_else(|| not_built("Conv"))?;
        if let (Some(pooled), None) = (cx.pooled.take(), &dx) {
            // dq in the place of dy: dz = dq where y was the largest, else 0, image by image, and what follows
            let (w, q, dk) = (&s.window, pooled.q, s.kernel.grad_mut());
            dev.activation_backward(f, None, q, dy.reborrow())?; //          dq = dq ⊙ f′           [N, p, F]
            let (of_q, db) = ([y, q, dy.as_view()], s.bias.as_mut().map(Param::grad_mut));
            return dev.conv_pool_backward(w, pooled.window, x, of_q, scratch, pooled.dz, dk, db);
        }
        let (w, z) = (&s.window, s.z.as_ref().map(|z| z.prefix(y.shape())).transpose()?);
        if !cx.relu_done {
            dev.activation_backward(f, z, y, dy.reborrow())?; //             dz = dy ⊙ f′           [N, o, F]
        }
        let dz = dy.as_view();
        dev.conv_backward_kernel(w, x, dz, scratch.reborrow(), s.kernel.grad_mut())?; // dK = im2col(x)ᵀ dz  [k, C, F]
        if let Some(b) = &mut s.bias {
            dev.sum_rows(dz, b.grad_mut())?; //                              db = Σₙₒ dz            [F]
        }
        match dx {
            Some(dx) => dev.conv_backward_input(w, dz, s.kernel.view(), scratch, dx), // dx = col2im(dz Kᵀ)  [N, i, C]
            None => Ok(()),
        }
    }

    fn params(&mut self, visit: &mut dyn FnMut(&mut Param) -> Result<()>) -> Result<()> {
        match &mut self.state {
            Some(s) => [Some(&mut s.kernel), s.bias.as_mut()].into_iter().flatten().try_for_each(visit),
            None => Ok(()),
        }
    }

    fn output_activation(&self) -> Activation {
        self.activation
    }

    /// Where f′ is a function of y: the one element that gets dq is as large as q, so f′ can be applied to what was pooled.
    fn takes_pooling(&self) -> bool {
        self.applied().is_elementwise() && !self.activation.needs_input()
    }

    fn skip_activation(&mut self, skip: bool) {
        self.skip_activation = skip;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::trial::{Trial, assert_close, refusal};

    /// 1, 2, 3, ...
    fn ramp(n: usize) -> Vec<f64> {
        (1..=n).map(|i| i as f64).collect()
    }

    /// A 3×3 kernel inside a 4×4 image, bias and relu, by hand.
    #[test]
    fn a_valid_convolution_by_hand() {
        let mut t = Trial::new(Conv2D::new(1, 3).activation(Activation::Relu), [4, 4, 1]).unwrap();
        assert_eq!((t.output, t.names()), (Shape::from([2, 2, 1]), vec!["kernel", "bias"]));
        #[rustfmt::skip]
        let (kernel, x) = ([ 0., 1., 0.,
                             1., -4., 1.,
                             0., 1., 0.],
                           [1., 2., 3., 4.,
                            5., 6., 9., 8.,
                            9., 7., 5., 3.,
                            1., 0., 1., 0.]);
        t.set("kernel", &kernel);
        t.set("bias", &[2.]);
        // -4·6 + 2 + 5 + 9 + 7 = -1;  -4·9 + 3 + 6 + 8 + 5 = -14;  -4·7 + 6 + 9 + 5 + 0 = -8;  -4·5 + 9 + 7 + 3 + 1 = 0
        assert_eq!(t.forward(&x), [1., 0., 0., 2.]);
        let dx = t.backward(&x, &[1., 10., 100., 2.]); // relu lets only the first and the last through
        #[rustfmt::skip]
        assert_eq!(dx, [0., 1., 0., 0.,
                        1., -4., 1. + 2., 0.,
                        0., 1. + 2., -8., 2.,
                        0., 0., 2., 0.]);
        // dK[i, j] = 1 · x[i, j] + 2 · x[i + 1, j + 1]
        assert_eq!(t.grad("kernel"), [13., 20., 19., 19., 16., 15., 9., 9., 5.]);
        assert_eq!(t.grad("bias"), [3.]);
    }

    /// Even and odd extents at stride 2: the odd zero of the padding is behind. Keras's numbers.
    #[test]
    fn same_padding_with_strides() {
        let layer = Conv2D::new(1, 3).padding(Padding::Same).strides(2).use_bias(false);
        let mut t = Trial::new(layer, [4, 5, 1]).unwrap();
        assert_eq!((t.output, t.names()), (Shape::from([2, 3, 1]), vec!["kernel"]));
        t.set("kernel", &ramp(9));
        assert_eq!(t.forward(&ramp(20)), [276., 456., 318., 240., 352., 220.]);
        #[rustfmt::skip]
        assert_eq!(t.backward(&ramp(20), &ramp(6)), [2., 5., 4., 9., 6., 5., 14., 10., 24., 15.,
                                                     16., 40., 26., 60., 36., 20., 44., 25., 54., 30.]);
        assert_eq!(t.grad("kernel"), [160., 221., 128., 240., 326., 188., 66., 82., 40.]);
    }

    /// Two channels in, two filters, taps three apart. Keras's numbers; the two samples of a batch do not mix.
    #[test]
    fn a_dilated_sequence() {
        let mut t = Trial::new(Conv1D::new(2, 2).dilation_rate(3), [5, 2]).unwrap();
        assert_eq!(t.output, Shape::from([2, 2]));
        t.set("kernel", &ramp(8));
        t.set("bias", &[1., -1.]);
        let (once, dx) = ([99., 115., 131., 155.], [5., 11., 11., 25., 0., 0., 17., 23., 39., 53.]);
        let (x, dy) = ([ramp(10), ramp(10)].concat(), [ramp(4), ramp(4)].concat());
        assert_eq!(t.forward(&x), [once, once].concat());
        assert_eq!(t.backward(&x, &dy), [dx, dx].concat());
        assert_eq!(t.grad("kernel"), [10., 14., 14., 20., 34., 50., 38., 56.].map(|g| 2. * g));
        assert_eq!(t.grad("bias"), [8., 12.]);
    }

    /// Keras's numbers.
    #[test]
    fn a_volume_with_same_padding() {
        let layer = Conv3D::new(1, [2, 1, 2]).padding(Padding::Same).use_bias(false);
        let mut t = Trial::new(layer, [2, 2, 3, 1]).unwrap();
        t.set("kernel", &ramp(4));
        assert_eq!(t.forward(&ramp(12)), [58., 68., 30., 88., 98., 42., 23., 26., 9., 32., 35., 12.]);
        let dx = [1., 4., 7., 4., 13., 16., 10., 32., 42., 22., 62., 72.];
        assert_eq!(t.backward(&ramp(12), &ramp(12)), dx);
        assert_eq!(t.grad("kernel"), [650., 428., 217., 130.]);
    }

    /// gelu's derivative needs z, which y does not give back. Keras's numbers.
    #[test]
    fn gelu_remembers_z() {
        let mut t = Trial::new(Conv1D::new(1, 2).activation("gelu".parse().unwrap()), [4, 1]).unwrap();
        t.set("kernel", &[1., -0.5]);
        t.set("bias", &[0.25]);
        let x = [-1.5, -0.5, 0.5, 1.5];
        assert_close(&t.forward(&x), &[-0.15865525393145707, -0.15426876936299344, 0.], 1e-14);
        let dx = [-0.08331547058768624, 0.3066674859815174, 1.3674951246561629, -0.75];
        assert_close(&t.backward(&x, &ramp(3)), &dx, 1e-14);
        assert_close(&t.grad("kernel"), &[0.7424683305376922, 2.4241626106376803], 1e-14);
    }

    #[test]
    fn a_missing_channel_is_named_with_its_remedy() {
        let (error, hint) = refusal(Conv2D::new(64, 3), [28, 28]);
        let expected = "expected [N, height, width, channels]";
        assert_eq!(error, format!("layer `on_trial (Conv2D 64, 3×3)` got [N, 28, 28], {expected}"));
        assert_eq!(hint, "add Reshape::new([28, 28, 1]) before it");
        assert_eq!(refusal(Conv2D::new(64, 3), [784]).1, "add Reshape::new([28, 28, 1]) before it");
        assert_eq!(refusal(Conv1D::new(8, 3), [100]).1, "add Reshape::new([100, 1]) before it");
        assert!(
            refusal(Conv3D::new(8, 3), [28, 28]).0.ends_with("expected [N, depth, height, width, channels]")
        );
    }

    #[test]
    fn what_cannot_be_is_an_error() {
        let small = refusal(Conv2D::new(1, [3, 5]), [4, 4, 1]);
        assert!(small.0.starts_with("layer `on_trial (Conv2D 1, 3×5)`: a window"), "{small:?}");
        assert!(small.1.contains("padding `same`"), "{small:?}");
        let both = refusal(Conv2D::new(1, 2).strides([1, 2]).dilation_rate([2, 1]), [9, 9, 1]);
        assert!(both.0.contains("strides 1×2 and dilation 2×1"), "{both:?}");
        assert!(refusal(Conv2D::new(0, 3), [9, 9, 1]).0.contains("no filters"));
        assert!(refusal(Conv2D::new(1, 0), [9, 9, 1]).1.contains("start at 1"));
        assert!(refusal(Conv2D::new(1, 3).strides(0), [9, 9, 1]).1.contains("start at 1"));
        assert!(refusal(Conv1D::new(usize::MAX, 3), [9, 9]).0.contains("too large"));
    }
}
