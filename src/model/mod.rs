//! Sequential: layers in a row, and how they learn.
//!
//! | file | what |
//! |---|---|
//! | `mod.rs` | the layers, their names, building, weights, the summary |
//! | `workspace.rs` | the planned memory; forward and backward through all layers |
//! | `config.rs` | the model as its configuration, and back |
//! | `compile.rs` | loss, optimizer, metrics, and the checks that they fit the model and the data |
//! | `train.rs` | fit: epochs, batches, callbacks |
//! | `evaluate.rs` | evaluate, predict |

mod compile;
mod config;
mod evaluate;
mod history;
mod log;
mod notes;
mod state;
mod summary;
mod train;
mod workspace;

pub(crate) use compile::scores;
pub use compile::{Compile, MetricChoice};
pub use history::{Epoch, History, Scores};
pub(crate) use state::{Counters, Pause};
pub use train::Fit;

use crate::config::{Config, snake_case};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::layers::{self, Build, Layer, Param, Parameters};
use crate::mistakes::Mistake;
use crate::rng::Rng;
use crate::shape::{MAX_DIMS, Shape};
use compile::Compiled;
use std::collections::HashSet;
use workspace::Workspace;

/// Layers in a row: each one's output is the next one's input.
///
/// ```
/// use handgrad::{Activation, Sequential, data::Dataset, layers::Dense, model::{Compile, Fit}};
///
/// let xor = Dataset::from_rows(&[[0., 0.], [0., 1.], [1., 0.], [1., 1.]], &[[0.], [1.], [1.], [0.]])?;
/// let mut model = Sequential::new()
///     .with(Dense::new(32).activation(Activation::Relu))
///     .with(Dense::new(1).activation(Activation::Sigmoid));
/// model.compile(Compile::new("mse").optimizer("rmsprop").metric("accuracy"))?;
/// let history = model.fit(&xor, Fit::new().epochs(500).verbose(0))?;
/// assert_eq!(history.last("accuracy"), Some(1.0));
/// # Ok::<(), handgrad::Error>(())
/// ```
pub struct Sequential {
    name: String,
    notes: Config,
    nodes: Nodes,
    seed: u64,
    device: Option<Device>,
    input: Option<Shape>,
    workspace: Option<Workspace>,
    compiled: Option<Compiled>,
    /// Why a model that was compiled when its file was saved is not now.
    why_not_compiled: Option<String>,
    /// Training steps so far: they address dropout's noise, so that a second `fit` goes on where the first ended.
    step: u32,
    /// Epochs so far: they address the shuffling, for the same reason.
    epoch: u64,
    /// All epochs so far.
    history: History,
    /// Where the last epoch was left, if it was not ended.
    pause: Option<Pause>,
}

/// A layer with its name and, once built, the shape of its output.
struct Node {
    name: String,
    layer: Box<dyn Layer>,
    output: Shape,
}

impl Node {
    /// How errors call it.
    fn called(&self) -> String {
        layers::called(&self.name, &*self.layer)
    }
}

/// The layers, as the owner of all parameters.
#[derive(Default)]
struct Nodes(Vec<Node>);

impl Parameters for Nodes {
    fn each(&mut self, visit: &mut dyn FnMut(&mut Param) -> Result<()>) -> Result<()> {
        self.0.iter_mut().try_for_each(|node| node.layer.params(visit))
    }
}

/// One weight of a model, on the host.
#[derive(Clone, Debug, PartialEq)]
pub struct Weight {
    /// `layer/parameter`, as in `dense_1/kernel`.
    pub name: String,
    /// The extents.
    pub shape: Shape,
    /// The numbers, row-major. An `f32` device's numbers pass through `f64` unchanged.
    pub values: Vec<f64>,
}

/// A layer on its way into a model, with or without a name of its own.
pub struct NamedLayer {
    name: Option<String>,
    layer: Box<dyn Layer>,
}

impl<L: Layer + 'static> From<L> for NamedLayer {
    fn from(layer: L) -> NamedLayer {
        NamedLayer { name: None, layer: Box::new(layer) }
    }
}

impl From<Box<dyn Layer>> for NamedLayer {
    fn from(layer: Box<dyn Layer>) -> NamedLayer {
        NamedLayer { name: None, layer }
    }
}

impl<L: Layer + 'static> From<(&str, L)> for NamedLayer {
    fn from((name, layer): (&str, L)) -> NamedLayer {
        NamedLayer { name: Some(name.to_string()), layer: Box::new(layer) }
    }
}

impl Default for Sequential {
    fn default() -> Sequential {
        Sequential::new()
    }
}

impl Sequential {
    /// A model without layers, named `sequential`, seed 0, on the best device there is.
    pub fn new() -> Sequential {
        Sequential {
            name: "sequential".into(),
            notes: Config::new(),
            nodes: Nodes::default(),
            seed: 0,
            device: None,
            input: None,
            workspace: None,
            compiled: None,
            why_not_compiled: None,
            step: 0,
            epoch: 0,
            history: History::default(),
            pause: None,
        }
    }

    /// Names the model, in any language.
    pub fn name(mut self, name: impl Into<String>) -> Sequential {
        self.name = name.into();
        self
    }

    /// Seeds everything random: initial weights, shuffling, dropout. One seed, one result.
    pub fn seed(mut self, seed: u64) -> Sequential {
        self.seed = seed;
        self
    }

    /// Chooses who computes; before the model is built. [`Device::cpu`] if never said.
    pub fn device(mut self, device: &Device) -> Sequential {
        self.device = Some(device.clone());
        self
    }

    /// Adds a layer at the end, and returns the model: for chains. See [`add`](Sequential::add).
    pub fn with(mut self, layer: impl Into<NamedLayer>) -> Sequential {
        self.add(layer);
        self
    }

    /// Adds a layer at the end: `model.add(Dense::new(10))`, or with a name `model.add(("digits", Dense::new(10)))`.
    ///
    /// Without one it is named after its kind: `dense`, `dense_1`, ... A built model must be built again.
    pub fn add(&mut self, layer: impl Into<NamedLayer>) {
        let NamedLayer { name, layer } = layer.into();
        let name = name.unwrap_or_else(|| self.automatic_name(layer.kind()));
        self.uncompile(); // before the layer that was the last is no longer
        self.nodes.0.push(Node { name, layer, output: Shape::SCALAR });
        self.input = None;
        self.workspace = None;
    }

    fn automatic_name(&self, kind: &str) -> String {
        let base = snake_case(kind);
        // The first free number; of n layers some number up to n is free. A file may name thousands.
        let mut taken = vec![false; self.nodes.0.len() + 1];
        for rest in self.nodes.0.iter().filter_map(|node| node.name.strip_prefix(&base)) {
            let number = match rest {
                "" => Some(0),
                _ => rest.strip_prefix('_').and_then(|n| n.parse().ok()),
            };
            if let Some(taken) = number.and_then(|n: usize| taken.get_mut(n)) {
                *taken = true;
            }
        }
        match taken.iter().position(|taken| !taken) {
            None | Some(0) => base,
            Some(number) => format!("{base}_{number}"),
        }
    }

    /// Makes every layer's parameters for samples of shape `input` (without the batch).
    ///
    /// `fit` does this by itself from the data, and a model that begins with an [`Input`](crate::layers::Input) needs
    /// nobody to tell it. Building again draws new initial weights, and the model must be
    /// compiled again.
    ///
    /// # Errors
    /// A layer that cannot work with what the layer before it gives; two layers of one name; no layer.
    pub fn build(&mut self, input: impl Into<Shape>) -> Result<()> {
        self.build_with(input.into(), None)
    }

    /// The same, with all parameters 0 and of `most` numbers together at most: for weights that come from a file.
    ///
    /// # Errors
    /// As [`build`](Sequential::build); a layer that wants more numbers than are left.
    pub(crate) fn build_within(&mut self, input: Shape, mut most: usize) -> Result<()> {
        self.build_with(input, Some(&mut most))
    }

    fn build_with(&mut self, input: Shape, mut budget: Option<&mut usize>) -> Result<()> {
        if input.rank() >= MAX_DIMS || input.len() == 0 {
            return Err(Error::invalid(
                format!("a model cannot be built for samples of shape {input}"),
                format!("give 0 to {} extents of at least 1, without the batch", MAX_DIMS - 1),
            ));
        }
        if self.nodes.0.is_empty() {
            return Err(Mistake::NoLayers.into());
        }
        let mut names = HashSet::new();
        for node in &self.nodes.0 {
            if !names.insert(node.name.as_str()) {
                return Err(Mistake::SameName { name: node.name.clone() }.into());
            }
        }
        let device = match &self.device {
            Some(device) => device.clone(),
            None => Device::cpu()?,
        };
        if self.input.take().is_some() {
            self.uncompile();
        }
        let mut shape = input;
        for i in 0..self.nodes.0.len() {
            let (below, rest) = self.nodes.0.split_at_mut(i);
            let node = &mut rest[0];
            let mut rng = Rng::new(self.seed, i as u64);
            let budget = budget.as_deref_mut();
            let mut cx = Build { device: &device, rng: &mut rng, name: &node.name, budget };
            shape = node.layer.build(&mut cx, shape).map_err(|e| {
                e.above(below.iter().rev().map(|node| (node.name.as_str(), node.layer.kind())))
            })?;
            node.output = shape;
        }
        self.device = Some(device);
        self.input = Some(input);
        self.workspace = None;
        if let Some(mut compiled) = self.compiled.take() {
            compiled.fit_to_model(&mut self.nodes)?;
            self.compiled = Some(compiled);
        }
        Ok(())
    }

    /// Builds for samples of shape `input`, or checks that the model was built for them.
    fn build_for(&mut self, input: Shape) -> Result<()> {
        match self.input {
            None => self.build(input),
            Some(built) if built == input => Ok(()),
            Some(built) => {
                let layer = self.nodes.0.first().map_or(String::new(), Node::called);
                Err(Mistake::OtherInput { layer, built, got: input }.into())
            }
        }
    }

    /// The optimizer's learning rate for the next step.
    ///
    /// # Errors
    /// The model is not compiled.
    pub fn learning_rate(&self) -> Result<f64> {
        match &self.compiled {
            Some(compiled) => Ok(compiled.optimizer.learning_rate_now()),
            None => Err(self.not_compiled()),
        }
    }

    /// Another learning rate, from the next step on.
    ///
    /// # Errors
    /// The model is not compiled; its rate follows a [`Schedule`](crate::schedules::Schedule) already; the rate is not a
    /// number of 0 or more.
    pub fn set_learning_rate(&mut self, rate: f64) -> Result<()> {
        let Some(Compiled { optimizer, .. }) = &mut self.compiled else { return Err(self.not_compiled()) };
        if optimizer.follows_schedule() {
            return Err(Error::invalid(
                "the learning rate follows a schedule, so it cannot be set besides",
                "compile with a number as learning rate, or leave out the callback that sets it",
            ));
        }
        optimizer.set_learning_rate(rate)
    }

    /// Whether a figure of training gets better as it gets larger; `None` if nobody said.
    pub(crate) fn larger_is_better(&self, figure: &str) -> Option<bool> {
        match &self.compiled {
            Some(compiled) => compiled.larger_is_better(figure),
            None => (figure == "loss").then_some(false),
        }
    }

    /// The shape of one sample going in; `None` before building.
    pub fn input_shape(&self) -> Option<Shape> {
        self.input
    }

    /// The shape of one sample coming out; `None` before building.
    pub fn output_shape(&self) -> Option<Shape> {
        self.input.and_then(|_| self.nodes.0.last()).map(|node| node.output)
    }

    /// The names of the layers, in order.
    pub fn layer_names(&self) -> Vec<&str> {
        self.nodes.0.iter().map(|n| n.name.as_str()).collect()
    }

    /// The shape of one sample that comes out of each layer; of a model that is built.
    pub(crate) fn output_shapes(&self) -> Vec<Shape> {
        self.nodes.0.iter().map(|node| node.output).collect()
    }

    /// Builds a model whose first layer is an `Input`, which says for what; any other must have been built.
    fn check_built(&mut self) -> Result<()> {
        self.check_built_for(None)
    }

    /// The same, with the shape of the samples that it is used for, if one is known.
    fn check_built_for(&mut self, sample: Option<Shape>) -> Result<()> {
        match (self.input, self.nodes.0.first().and_then(|node| node.layer.declared_input())) {
            (Some(_), _) => Ok(()),
            (None, Some(declared)) => self.build(declared),
            (None, None) => Err(self.not_built(sample)),
        }
    }

    /// The error of a model that is used before it is built, for samples of that shape if one is known.
    fn not_built(&self, sample: Option<Shape>) -> Error {
        Mistake::NotBuilt { model: self.name.clone(), sample }.into()
    }

    /// How many numbers the model holds, those that are not trained included.
    ///
    /// # Errors
    /// The model is not built.
    pub fn parameter_count(&mut self) -> Result<usize> {
        self.check_built()?;
        let mut count = 0;
        self.nodes.each(&mut |p| {
            count += p.value.shape().len();
            Ok(())
        })?;
        Ok(count)
    }

    /// A copy of all weights, layer by layer.
    ///
    /// # Errors
    /// The model is not built.
    pub fn get_weights(&mut self) -> Result<Vec<Weight>> {
        self.check_built()?;
        let mut weights = Vec::new();
        for node in &mut self.nodes.0 {
            let layer = &node.name;
            node.layer.params(&mut |p| {
                let name = format!("{layer}/{}", p.name);
                weights.push(Weight { name, shape: p.value.shape(), values: p.view().values()? });
                Ok(())
            })?;
        }
        Ok(weights)
    }

    /// A copy of one weight, by its name. `None`, if no layer has it.
    ///
    /// ```
    /// use handgrad::{Sequential, layers::Dense};
    /// let mut model = Sequential::new().with(Dense::new(3)).with(Dense::new(1));
    /// model.build([2])?;
    /// assert_eq!(model.weight("dense_1/kernel")?.unwrap().shape.dims(), [3, 1]);
    /// assert!(model.weight("dense_1/gamma")?.is_none());
    /// # Ok::<(), handgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// The model is not built.
    pub fn weight(&mut self, name: &str) -> Result<Option<Weight>> {
        let mut found = None;
        self.each_param(&mut |layer, p| {
            if name.strip_prefix(layer).and_then(|rest| rest.strip_prefix('/')) == Some(p.name) {
                let values = p.view().values()?;
                found = Some(Weight { name: name.to_string(), shape: p.value.shape(), values });
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// Replaces all weights by copies of `weights`, in the order of [`get_weights`](Sequential::get_weights).
    /// Names may differ; all shapes are checked before anything changes.
    ///
    /// # Errors
    /// The model is not built; the first weight whose shape differs, or that is missing or left over.
    pub fn set_weights(&mut self, weights: &[Weight]) -> Result<()> {
        let own = self.get_weights()?;
        for (w, o) in weights.iter().zip(&own) {
            if w.shape != o.shape {
                return Err(Mistake::WeightShape {
                    weight: o.name.clone(),
                    shape: o.shape,
                    given: w.name.clone(),
                    given_shape: w.shape,
                }
                .into());
            }
            if w.values.len() != w.shape.len() {
                let problem =
                    format!("weight `{}` says {} but has {} numbers", w.name, w.shape, w.values.len());
                return Err(Error::invalid(problem, "give as many numbers as the shape holds"));
            }
        }
        let (model, given) = (own.len(), weights.len());
        if let Some(w) = own.get(given).or_else(|| weights.get(model)) {
            return Err(Mistake::WeightCount { model, given, unpaired: w.name.clone() }.into());
        }
        let mut given = weights.iter();
        self.nodes.each(&mut |p| match given.next() {
            Some(w) => p.value.view_mut().write(&w.values),
            None => Ok(()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::Dense;

    #[test]
    fn automatic_names_are_keras_names() {
        for (kind, name) in [
            ("Dense", "dense"),
            ("Conv2D", "conv2d"),
            ("MaxPooling2D", "max_pooling2d"),
            ("GlobalAveragePooling2D", "global_average_pooling2d"),
            ("BatchNormalization", "batch_normalization"),
            ("SimpleRNN", "simple_rnn"),
            ("LSTM", "lstm"),
            ("GRU", "gru"),
        ] {
            assert_eq!(snake_case(kind), name);
        }
        let model = Sequential::new().with(Dense::new(2)).with(("kopf", Dense::new(2))).with(Dense::new(1));
        assert_eq!(model.layer_names(), ["dense", "kopf", "dense_1"]);
    }

    #[test]
    fn weights_of_another_model_are_refused_whole() {
        let mut a = Sequential::new().with(Dense::new(3)).with(Dense::new(1));
        assert!(a.get_weights().is_err(), "not built");
        a.build([2]).unwrap();
        let mut b = Sequential::new().seed(1).with(Dense::new(3)).with(Dense::new(2));
        b.build([2]).unwrap();
        let (before, other) = (a.get_weights().unwrap(), b.get_weights().unwrap());
        let e = a.set_weights(&other).unwrap_err();
        assert_eq!(
            e.to_string(),
            "weight `dense_1/kernel` is [3, 1], the given one (`dense_1/kernel`) is [3, 2]"
        );
        assert_eq!(a.get_weights().unwrap(), before);
        assert!(a.set_weights(&before[..3]).unwrap_err().to_string().contains("has 4 weights, 3 are given"));
        let mut c = Sequential::new().seed(2).with(Dense::new(3)).with(Dense::new(1));
        c.build([2]).unwrap();
        assert_ne!(c.get_weights().unwrap(), before);
        c.set_weights(&before).unwrap();
        assert_eq!(c.get_weights().unwrap(), before);
    }
}
