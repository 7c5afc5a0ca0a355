//! What SimpleRNN, LSTM and GRU have in common: their options, their weights, and time-major order.
//!
//! Data comes sample by sample, `[N, T, F]`; the work goes step by step. So a recurrent layer keeps everything
//! time-major, `[T, N, F]`: the rows of one step lie together, and whatever does not wait for the state is one GEMM
//! over all T·N rows. h₋₁ of all steps is h itself, shifted by one block of N rows.
//!
//! Steps are counted in the order in which they are walked: with `go_backwards`, step 0 is the last of the input.

use super::{Build, Layer, Param, not_built};
use crate::activations::Activation;
use crate::config::{Config, Reader, record};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::initializers::Initializer;
use crate::shape::Shape;
use crate::steps::is_cut;
pub(super) use crate::steps::{at, at_mut, before, pair_mut, state_mut};
use crate::tensor::{View, ViewMut};

/// What a user can choose in all three layers; [`recurrent_options`] makes the methods.
pub(super) struct Options {
    pub(super) units: usize,
    pub(super) use_bias: bool,
    pub(super) kernel_initializer: Initializer,
    pub(super) recurrent_initializer: Initializer,
    pub(super) bias_initializer: Initializer,
    pub(super) return_sequences: bool,
    pub(super) go_backwards: bool,
    pub(super) truncate: Option<usize>,
}

/// The methods that set [`Options`], for a layer that has them as its field `options`.
macro_rules! recurrent_options {
    ($layer:ident) => {
        impl $layer {
            /// Whether there is a bias; `true` by default.
            pub fn use_bias(mut self, use_bias: bool) -> $layer {
                self.options.use_bias = use_bias;
                self
            }

            /// How W starts; `glorot_uniform` by default.
            pub fn kernel_initializer(mut self, initializer: Initializer) -> $layer {
                self.options.kernel_initializer = initializer;
                self
            }

            /// How U starts; `orthogonal` by default, drawn for the whole matrix at once, as in Keras.
            pub fn recurrent_initializer(mut self, initializer: Initializer) -> $layer {
                self.options.recurrent_initializer = initializer;
                self
            }

            /// How b starts; zeros by default.
            pub fn bias_initializer(mut self, initializer: Initializer) -> $layer {
                self.options.bias_initializer = initializer;
                self
            }

            /// Whether the output is h of every step, `[N, T, U]`, and not of the last alone, `[N, U]`.
            /// A layer below another recurrent one needs it.
            pub fn return_sequences(mut self, return_sequences: bool) -> $layer {
                self.options.return_sequences = return_sequences;
                self
            }

            /// Whether to walk from the last step of the input to the first. A returned sequence is in the order of
            /// the walk, as in Keras.
            pub fn go_backwards(mut self, go_backwards: bool) -> $layer {
                self.options.go_backwards = go_backwards;
                self
            }

            /// Truncated backpropagation through time (Werbos 1990; Williams and Peng 1990; Goodfellow et al. 2016,
            /// §10.2): cuts the sequence into segments of `steps`. The state flows on over a cut, gradients do not
            /// flow back over it. Without `return_sequences` only the last segment learns. With `steps` ≥ T the
            /// gradient is the full one, which is the default.
            pub fn truncate(mut self, steps: usize) -> $layer {
                self.options.truncate = Some(steps);
                self
            }
        }
    };
}
pub(super) use recurrent_options;

impl Options {
    pub(super) fn new(units: usize) -> Options {
        Options {
            units,
            use_bias: true,
            kernel_initializer: Initializer::GlorotUniform,
            recurrent_initializer: Initializer::Orthogonal { gain: 1.0 },
            bias_initializer: Initializer::Zeros,
            return_sequences: false,
            go_backwards: false,
            truncate: None,
        }
    }

    /// The entries of a layer's configuration that are these options.
    pub(super) fn config(&self) -> Config {
        let mut config = record([
            ("units", self.units.into()),
            ("use_bias", self.use_bias.into()),
            ("kernel_initializer", self.kernel_initializer.to_value()),
            ("recurrent_initializer", self.recurrent_initializer.to_value()),
            ("bias_initializer", self.bias_initializer.to_value()),
            ("return_sequences", self.return_sequences.into()),
            ("go_backwards", self.go_backwards.into()),
        ]);
        // Keras knows nothing of it: a layer that does without can be read there.
        if let Some(steps) = self.truncate {
            config.insert("truncate".into(), steps.into());
        }
        config
    }

    pub(super) fn from_config(r: &mut Reader) -> Result<Options> {
        let default = Options::new(r.need("units")?);
        Ok(Options {
            units: default.units,
            use_bias: r.or("use_bias", default.use_bias)?,
            kernel_initializer: r.or("kernel_initializer", default.kernel_initializer)?,
            recurrent_initializer: r.or("recurrent_initializer", default.recurrent_initializer)?,
            bias_initializer: r.or("bias_initializer", default.bias_initializer)?,
            return_sequences: r.or("return_sequences", default.return_sequences)?,
            go_backwards: r.or("go_backwards", default.go_backwards)?,
            truncate: r.get("truncate")?,
        })
    }

    /// `(T, F)` of an input that this layer can work with.
    pub(super) fn extents(
        &self,
        cx: &Build,
        layer: &dyn Layer,
        input: Shape,
        activations: &[Activation],
    ) -> Result<(usize, usize)> {
        let &[steps, features] = input.dims() else {
            let hint = match input.rank() {
                1 => {
                    "a sequence has time steps: add Reshape before it, or return_sequences(true) to the layer below"
                }
                _ => "a recurrent layer walks over one dimension: fold the others with Reshape",
            };
            return Err(cx.shape_error(layer, input, "[N, steps, features]", hint));
        };
        if steps == 0 || features == 0 || self.units == 0 {
            let hint = "use at least one unit, one step and one feature";
            return Err(cx.shape_error(layer, input, "[N, steps, features]", hint));
        }
        if self.truncate == Some(0) {
            return Err(Error::invalid(
                format!("layer `{}` ({}) is truncated to segments of 0 steps", cx.name, layer.describe()),
                "use truncate(1) or more, or leave it out for the full gradient",
            ));
        }
        match activations.iter().find(|f| f.needs_input() || !f.is_elementwise()) {
            None => Ok((steps, features)),
            Some(f) => Err(Error::invalid(
                format!(
                    "layer `{}` ({}) cannot use {f}: a cell keeps only its outputs, element by element",
                    cx.name,
                    layer.describe()
                ),
                "use tanh, sigmoid, relu or another activation whose derivative can be written in its output",
            )),
        }
    }

    /// The output's shape, of one sample.
    pub(super) fn output_shape(&self, steps: usize) -> Shape {
        if self.return_sequences { Shape::from([steps, self.units]) } else { Shape::from([self.units]) }
    }

    /// Into the order of the walk. x is [N, T, F], xs [T, N, F].
    pub(super) fn to_steps(&self, dev: &Device, x: View, mut xs: ViewMut) -> Result<()> {
        if !self.go_backwards {
            return dev.swap_axes(x, xs);
        }
        let (n, steps, f) = (x.shape().rows(), xs.shape().rows(), x.shape().last());
        let x = x.reshape([n, steps * f])?;
        for t in 0..steps {
            dev.copy_columns(x, (steps - 1 - t) * f, at_mut(&mut xs, t)?, 0, f)?;
        }
        Ok(())
    }

    /// And back: dxs is [T, N, F], dx [N, T, F].
    pub(super) fn to_samples(&self, dev: &Device, dxs: View, dx: ViewMut) -> Result<()> {
        if !self.go_backwards {
            return dev.swap_axes(dxs, dx);
        }
        let (n, steps, f) = (dx.shape().rows(), dxs.shape().rows(), dx.shape().last());
        let mut dx = dx.reshape([n, steps * f])?;
        for t in 0..steps {
            dev.copy_columns(at(dxs, t)?, 0, dx.reborrow(), (steps - 1 - t) * f, f)?;
        }
        Ok(())
    }

    /// y is h of every step, [N, T, U], or of the last, [N, U]. h is [T, N, U].
    pub(super) fn output(&self, dev: &Device, h: View, y: ViewMut) -> Result<()> {
        match self.return_sequences {
            true => dev.swap_axes(h, y),
            false => dev.copy(at(h, h.shape().rows() - 1)?, y),
        }
    }

    /// What the layer above says about every h: dy in its place, 0 where no output was. dh is [T, N, U].
    pub(super) fn output_backward(&self, dev: &Device, dy: View, mut dh: ViewMut) -> Result<()> {
        if self.return_sequences {
            return dev.swap_axes(dy, dh);
        }
        let last = dh.shape().rows() - 1;
        dev.fill(0.0, dh.reborrow().rows(0..last)?)?;
        dev.copy(dy, at_mut(&mut dh, last)?)
    }

    /// Whether nothing flows back from step t to the one before.
    pub(super) fn is_cut(&self, t: usize) -> bool {
        is_cut(self.truncate, t)
    }
}

/// W [F, G·U] for x, U [U, G·U] for h₋₁, and b, for G blocks of U columns.
pub(super) struct Weights {
    pub(super) kernel: Param,
    pub(super) recurrent: Param,
    pub(super) bias: Option<Param>,
}

impl Weights {
    /// Weights of `blocks` blocks, with as many rows of biases as asked for.
    pub(super) fn build(
        cx: &mut Build,
        o: &Options,
        features: usize,
        blocks: usize,
        biases: usize,
    ) -> Result<Weights> {
        let columns = blocks.saturating_mul(o.units);
        let kernel = cx.param("kernel", Shape::new(&[features, columns])?, o.kernel_initializer)?;
        let recurrent =
            cx.param("recurrent_kernel", Shape::new(&[o.units, columns])?, o.recurrent_initializer)?;
        let bias = if biases == 1 { Shape::new(&[columns])? } else { Shape::new(&[biases, columns])? };
        let bias = o.use_bias.then(|| cx.param("bias", bias, o.bias_initializer)).transpose()?;
        Ok(Weights { kernel, recurrent, bias })
    }

    /// Shows them in Keras's order.
    pub(super) fn each(&mut self, visit: &mut dyn FnMut(&mut Param) -> Result<()>) -> Result<()> {
        visit(&mut self.kernel)?;
        visit(&mut self.recurrent)?;
        self.bias.iter_mut().try_for_each(visit)
    }
}

/// What building makes: weights, the input's extents, and what planning adds for a step's forward to leave to its
/// backward.
pub(super) struct State<C> {
    pub(super) weights: Weights,
    pub(super) steps: usize,
    pub(super) features: usize,
    pub(super) cache: Option<C>,
}

impl<C> State<C> {
    /// All of it: T, F, the weights and the cache.
    ///
    /// # Errors
    /// The layer was not built, or not planned.
    pub(super) fn ready<'a>(
        state: &'a mut Option<State<C>>,
        layer: &str,
    ) -> Result<(usize, usize, &'a mut Weights, &'a mut C)> {
        match state {
            Some(State { weights, steps, features, cache: Some(cache) }) => {
                Ok((*steps, *features, weights, cache))
            }
            _ => Err(not_built(layer)),
        }
    }
}
