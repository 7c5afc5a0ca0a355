//! Layers: one file each, equations first, then forward, then backward.
//!
//! A layer sees a batch of samples: where this module says shape, the batch is not in it; where a method gets a view,
//! it is the outermost dimension. A layer is its configuration and, once built, its [`Param`]s and those caches that
//! its input and output cannot give back.

pub mod activation;
pub mod batch_normalization;
pub mod conv;
pub mod dense;
pub mod dropout;
pub mod flatten;
pub mod gru;
pub mod input;
pub mod lstm;
pub mod pooling;
mod recurrent;
#[cfg(test)]
mod recurrent_tests;
pub mod reshape;
pub mod simple_rnn;
mod spatial;
#[cfg(test)]
mod trial;

#[doc(inline)]
pub use self::{
    activation::ActivationLayer,
    batch_normalization::BatchNormalization,
    conv::{Conv, Conv1D, Conv2D, Conv3D},
    dense::Dense,
    dropout::Dropout,
    flatten::Flatten,
    gru::GRU,
    input::Input,
    lstm::LSTM,
    pooling::*,
    reshape::Reshape,
    simple_rnn::SimpleRNN,
};
pub use spatial::Extents;

use crate::activations::Activation;
use crate::config::{self, Config, Reader};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::initializers::Initializer;
use crate::rng::{Noise, Rng};
use crate::shape::Shape;
use crate::tensor::{Tensor, View, ViewMut};
use crate::window::Window;
use std::fmt::Display;

/// A layer of a [`Sequential`](crate::Sequential) model. A user's own layer implements this and nothing else; see
/// `examples/custom_layer.rs`.
///
/// The order of calls: `build` once, `plan` whenever the largest batch grows, then any number of
/// `forward` and `backward`, each `backward` with the `x` and `y` of the `forward` before it, and one at most for each
/// `forward`: a layer may use up what its forward left, as recurrent ones do.
pub trait Layer: Send {
    /// What summaries call it: `Dense`, `Conv2D`.
    fn kind(&self) -> &'static str;

    /// Its configuration in short, for errors: `Conv2D 64, 3×3`.
    fn describe(&self) -> String {
        self.kind().to_string()
    }

    /// All that it was made with, in Keras's names and values: what [`from_config`] makes the same layer from. `None` if
    /// it cannot be written down, and so for a user's own layer: a model with it saves its weights alone.
    fn config(&self) -> Option<Config> {
        None
    }

    /// Checks the input's shape, makes the parameters, and says the output's shape, both of one sample.
    ///
    /// # Errors
    /// [`Error::LayerShape`] when it cannot work with this input; see [`Build::shape_error`].
    fn build(&mut self, cx: &mut Build, input: Shape) -> Result<Shape>;

    /// Allocates caches for batches of up to [`Plan::max_batch`], and asks for scratch. Called again with a larger
    /// batch, it must leave parameters alone.
    ///
    /// # Errors
    /// The device is out of memory.
    fn plan(&mut self, _plan: &mut Plan) -> Result<()> {
        Ok(())
    }

    /// y = f(x), written whole.
    ///
    /// # Errors
    /// Those of the device; a layer that was not built.
    fn forward(&mut self, cx: &mut Cx, x: View, y: ViewMut) -> Result<()>;

    /// Writes the gradient of every parameter, and `dx` if it is wanted: the first layer has nobody below.
    /// `dy` is consumed: it may be overwritten.
    ///
    /// # Errors
    /// Those of the device; a layer that was not built.
    fn backward(&mut self, cx: &mut Cx, x: View, y: View, dy: ViewMut, dx: Option<ViewMut>) -> Result<()>;

    /// Shows every parameter to `visit`, always in the same order: the order of
    /// [`get_weights`](crate::Sequential::get_weights).
    ///
    /// # Errors
    /// Those of `visit`.
    fn params(&mut self, _visit: &mut dyn FnMut(&mut Param) -> Result<()>) -> Result<()> {
        Ok(())
    }

    /// Whether y is x under another shape and nothing else, so that the model can skip it and pass x on.
    fn is_reshape(&self) -> bool {
        false
    }

    /// Whether x, in `forward` and in `backward`, goes nowhere but into [`dense`](crate::Backend::dense) and
    /// [`gemm`](crate::Backend::gemm), so that it may be a batch [in blocks](View::in_blocks).
    fn takes_blocks(&self) -> bool {
        false
    }

    /// Whether `backward` takes relu's derivative along when [`Cx::relu_below`] says that x is what a relu gave: dx is then
    /// 0 where x is. A product does so while its tile is in registers; max pooling in its dy, which is smaller.
    fn takes_relu(&self) -> bool {
        false
    }

    /// The window of a max pooling: its backward may be left to the layer below, if that one
    /// [takes it along](Layer::takes_pooling).
    fn max_window(&self) -> Option<&Window> {
        None
    }

    /// Whether `backward`, when nobody wants dx, takes along that of a max pooling above: with [`Cx::pooled`], dy is the
    /// gradient by what was pooled.
    fn takes_pooling(&self) -> bool {
        false
    }

    /// The shape of the samples that the model is for, if this layer declares one: [`Input`] does.
    fn declared_input(&self) -> Option<Shape> {
        None
    }

    /// The activation at the very end of this layer, if there is one.
    fn output_activation(&self) -> Activation {
        Activation::Linear
    }

    /// Whether to leave that activation out, because the loss has it folded in. A layer whose
    /// [`output_activation`](Layer::output_activation) is not linear must obey.
    fn skip_activation(&mut self, _skip: bool) {}
}

/// A layer that can be made from its [`config`](Layer::config).
trait FromConfig: Layer + Sized + 'static {
    fn from_config(r: &mut Reader) -> Result<Self>;
}

type Make = fn(&mut Reader) -> Result<Box<dyn Layer>>;

fn make<L: FromConfig>(r: &mut Reader) -> Result<Box<dyn Layer>> {
    Ok(Box::new(L::from_config(r)?))
}

/// Every layer that a configuration can name.
const KINDS: [(&str, Make); 26] = [
    ("Input", make::<Input>),
    ("InputLayer", make::<Input>), // Keras's name for it in files
    ("Dense", make::<Dense>),
    ("Activation", make::<ActivationLayer>),
    ("Flatten", make::<Flatten>),
    ("Reshape", make::<Reshape>),
    ("Dropout", make::<Dropout>),
    ("BatchNormalization", make::<BatchNormalization>),
    ("Conv1D", make::<Conv1D>),
    ("Conv2D", make::<Conv2D>),
    ("Conv3D", make::<Conv3D>),
    ("MaxPooling1D", make::<MaxPooling1D>),
    ("MaxPooling2D", make::<MaxPooling2D>),
    ("MaxPooling3D", make::<MaxPooling3D>),
    ("AveragePooling1D", make::<AveragePooling1D>),
    ("AveragePooling2D", make::<AveragePooling2D>),
    ("AveragePooling3D", make::<AveragePooling3D>),
    ("GlobalMaxPooling1D", make::<GlobalMaxPooling1D>),
    ("GlobalMaxPooling2D", make::<GlobalMaxPooling2D>),
    ("GlobalMaxPooling3D", make::<GlobalMaxPooling3D>),
    ("GlobalAveragePooling1D", make::<GlobalAveragePooling1D>),
    ("GlobalAveragePooling2D", make::<GlobalAveragePooling2D>),
    ("GlobalAveragePooling3D", make::<GlobalAveragePooling3D>),
    ("SimpleRNN", make::<SimpleRNN>),
    ("LSTM", make::<LSTM>),
    ("GRU", make::<GRU>),
];

/// The names that [`from_config`] knows.
pub fn kinds() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(|&(kind, _)| kind)
}

/// The layer of that kind and configuration. An entry `name` is the model's business, and read over.
///
/// ```
/// use handgrad::layers;
/// let config = serde_json::json!({"units": 10, "activation": "softmax"});
/// let dense = layers::from_config("Dense", config.as_object().unwrap())?;
/// assert_eq!(dense.describe(), "Dense 10");
/// assert_eq!(dense.config().unwrap()["use_bias"], true);
/// # Ok::<(), handgrad::Error>(())
/// ```
///
/// # Errors
/// An unknown kind; an unknown entry, with the nearest known one; a value that makes no sense.
pub fn from_config(kind: &str, config: &Config) -> Result<Box<dyn Layer>> {
    let Some((_, make)) = KINDS.iter().find(|(known, _)| *known == kind) else {
        return Err(Error::unknown("layer", kind, &kinds().collect::<Vec<_>>()));
    };
    config::read(kind, config, |r| {
        r.ignore("name");
        make(r)
    })
}

/// A parameter: a value that is trained, or (like a moving average) kept.
pub struct Param {
    /// What Keras calls it: `kernel`, `bias`, `moving_mean`.
    pub name: &'static str,
    /// The value.
    pub value: Tensor,
    /// The loss's gradient by the value, of the same shape.
    pub grad: Tensor,
    /// Whether an optimizer may change it.
    pub trainable: bool,
}

impl Param {
    /// The value, to read.
    pub fn view(&self) -> View<'_> {
        self.value.view()
    }

    /// The gradient, to write.
    pub fn grad_mut(&mut self) -> ViewMut<'_> {
        self.grad.view_mut()
    }
}

/// Whoever owns parameters: a model, or a bare list of them. Optimizers walk over it, more than once in a step.
pub trait Parameters {
    /// Shows every parameter to `visit`, always in the same order.
    ///
    /// # Errors
    /// Those of `visit`.
    fn each(&mut self, visit: &mut dyn FnMut(&mut Param) -> Result<()>) -> Result<()>;
}

impl Parameters for Vec<Param> {
    fn each(&mut self, visit: &mut dyn FnMut(&mut Param) -> Result<()>) -> Result<()> {
        self.iter_mut().try_for_each(visit)
    }
}

/// What [`Layer::build`] gets: a device, randomness, and its own name for errors.
pub struct Build<'a> {
    /// Where parameters live.
    pub device: &'a Device,
    /// Draws initial values. Each layer gets its own stream of the model's seed.
    pub rng: &'a mut Rng,
    /// The layer's name in the model.
    pub name: &'a str,
    /// How many numbers parameters may still hold, where a file is to fill them: then they start at 0, since nobody will
    /// see what an initializer draws, and what the file says cannot ask for more memory than its own weights take.
    /// `None` for a model that starts from its initializers.
    pub budget: Option<&'a mut usize>,
}

impl Build<'_> {
    /// How errors call `layer`: `conv2d_1 (Conv2D 64, 3×3)`.
    pub fn called(&self, layer: &dyn Layer) -> String {
        called(self.name, layer)
    }

    /// A trainable parameter with initial values drawn by `init`.
    ///
    /// # Errors
    /// The device is out of memory, or the initializer cannot fill this shape.
    pub fn param(&mut self, name: &'static str, shape: impl Into<Shape>, init: Initializer) -> Result<Param> {
        let shape = shape.into();
        if let Some(budget) = &mut self.budget {
            **budget = budget.checked_sub(shape.len()).ok_or_else(|| {
                Error::invalid(
                    format!(
                        "layer `{}`: its `{name}` of {shape} is more than the file has weights for",
                        self.name
                    ),
                    "the file is broken, or was put together from two: save the model again",
                )
            })?;
        }
        let mut value = self.device.zeros(shape)?;
        if self.budget.is_none() {
            value.view_mut().write(&init.draw(shape, self.rng)?)?;
        }
        Ok(Param { name, value, grad: self.device.zeros(shape)?, trainable: true })
    }

    /// A parameter that the optimizer leaves alone.
    ///
    /// # Errors
    /// As [`param`](Build::param).
    pub fn fixed(&mut self, name: &'static str, shape: impl Into<Shape>, init: Initializer) -> Result<Param> {
        Ok(Param { trainable: false, ..self.param(name, shape, init)? })
    }

    /// The error of a layer that cannot work with `input`.
    pub fn shape_error(&self, layer: &dyn Layer, input: Shape, expected: &str, hint: &str) -> Error {
        Error::LayerShape {
            layer: self.called(layer),
            got: input.per_sample(),
            expected: expected.into(),
            hint: hint.into(),
        }
    }

    /// The error of a layer whose configuration makes no sense, alone or with this input.
    pub fn config_error(&self, layer: &dyn Layer, problem: impl Display, hint: impl Into<String>) -> Error {
        Error::invalid(format!("layer `{}`: {problem}", self.called(layer)), hint)
    }
}

/// What [`Layer::plan`] gets: the largest batch, and a place to ask for scratch.
pub struct Plan<'a> {
    /// Where caches live.
    pub device: &'a Device,
    /// No batch will be larger than this.
    pub max_batch: usize,
    /// The largest request for scratch so far, in numbers.
    pub scratch: usize,
}

impl Plan<'_> {
    /// A cache for a batch: zeros of shape `[max_batch, sample...]`.
    ///
    /// # Errors
    /// The device is out of memory.
    pub fn cache(&self, sample: impl Into<Shape>) -> Result<Tensor> {
        self.device.zeros(sample.into().batched(self.max_batch))
    }

    /// Asks for `len` numbers of scratch in every [`Cx`].
    pub fn scratch(&mut self, len: usize) {
        self.scratch = self.scratch.max(len);
    }
}

/// What [`Layer::forward`] and [`Layer::backward`] get.
pub struct Cx<'a> {
    /// Who computes.
    pub device: &'a Device,
    /// Whether this is a training step: dropout drops, batch normalisation uses the batch's statistics.
    pub training: bool,
    /// The address of this layer's randomness in this step; forward and backward see the same.
    pub noise: Noise,
    /// In `backward`: whether a relu made x, whose derivative this layer [takes along](Layer::takes_relu).
    pub relu_below: bool,
    /// In `backward`: whether the layer above did so, so that dy is 0 already wherever this layer's relu is.
    pub relu_done: bool,
    /// In `backward`: the max pooling above, if this layer [takes it along](Layer::takes_pooling).
    pub pooled: Option<Pooled<'a>>,
    /// The block that all layers share, at least as long as the layer asked for in `plan`. Holds anything.
    pub scratch: ViewMut<'a>,
}

/// A max pooling whose backward the layer below does.
pub struct Pooled<'a> {
    /// Its window.
    pub window: &'a Window,
    /// What it made of y.                                                                [N, p, F]
    pub q: View<'a>,
    /// Room for the gradient by y.                                                       [N, o, F]
    pub dz: ViewMut<'a>,
}

impl<'a> Cx<'a> {
    /// For a layer by itself: whatever is below and above, relu's derivative is left to the layer that has it.
    pub fn new(device: &'a Device, training: bool, noise: Noise, scratch: ViewMut<'a>) -> Cx<'a> {
        Cx { device, training, noise, relu_below: false, relu_done: false, pooled: None, scratch }
    }
}

/// How errors call a layer: by its name and its configuration.
pub(crate) fn called(name: &str, layer: &dyn Layer) -> String {
    format!("{name} ({})", layer.describe())
}

/// The error of a layer that is used before it is built.
pub fn not_built(layer: &str) -> Error {
    Error::invalid(
        format!("the {layer} layer is used before it is built"),
        "call `build` on the model, or `fit`, first",
    )
}
