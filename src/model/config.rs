//! A model as its configuration, and back.

use super::{Compile, MetricChoice, NamedLayer, Sequential};
use crate::config::{BatchShape, Config, FromValue, class, object, read, record};
use crate::error::{Error, Result};
use crate::layers;
use crate::losses::Loss;
use crate::optimizers::Optimizer;
use crate::shape::Shape;
use serde_json::Value;

impl Sequential {
    /// What the model is made of, as Keras's `get_config` has it: its name, its seed, its layers with their names, and
    /// if it is built, for which samples. No weights, and nothing of [`compile`](Sequential::compile).
    ///
    /// ```
    /// use handgrad::{Sequential, layers::Dense};
    /// let mut model = Sequential::new().seed(7).with(("digits", Dense::new(10)));
    /// model.build([784])?;
    /// let config = model.config()?;
    /// assert_eq!(config["layers"][0]["config"]["units"], 10);
    /// let twin = Sequential::from_config(&config)?;
    /// assert_eq!((twin.layer_names(), twin.input_shape()), (vec!["digits"], Some([784].into())));
    /// # Ok::<(), handgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// A layer or an activation is a user's own.
    pub fn config(&self) -> Result<Config> {
        let mut layers = Vec::new();
        for node in &self.nodes.0 {
            let mut config = node.layer.config().ok_or_else(|| {
                Error::invalid(
                    format!(
                        "layer `{} ({})` cannot be written down: it is your own, or its activation is",
                        node.name,
                        node.layer.describe()
                    ),
                    "save the weights alone, with `save_weights`, and make the model in code",
                )
            })?;
            config.insert("name".into(), node.name.as_str().into());
            let class = match node.layer.kind() {
                "Input" => "InputLayer", // so Keras calls it in files
                kind => kind,
            };
            layers.push(object("keras.layers", class, config));
        }
        let mut config = record([
            ("name", self.name.as_str().into()),
            ("seed", self.seed.into()),
            ("layers", layers.into()),
            ("build_input_shape", self.input.map(BatchShape).map_or(Value::Null, Into::into)),
        ]);
        if !self.notes.is_empty() {
            config.insert("notes".into(), self.notes.clone().into());
        }
        Ok(config)
    }

    /// The model of that configuration: built on the processor, with new weights, if it says for which samples.
    ///
    /// # Errors
    /// Unknown layers or entries, with the nearest known one; values that make no sense; layers that do not fit each
    /// other.
    pub fn from_config(config: &Config) -> Result<Sequential> {
        let (mut model, input) = Sequential::assemble(config)?;
        if let Some(input) = input {
            model.build(input)?;
        }
        Ok(model)
    }

    /// The model of that configuration, not built, and the samples to build it for.
    pub(crate) fn assemble(config: &Config) -> Result<(Sequential, Option<Shape>)> {
        read("the model", config, |r| {
            let mut model =
                Sequential::new().name(r.or("name", "sequential".to_string())?).seed(r.or("seed", 0)?);
            for value in r.need::<Vec<Value>>("layers")? {
                let (kind, config) = class("a layer", &value)?;
                let name = config.get("name").filter(|n| !n.is_null()).map(String::from_value).transpose()?;
                let layer = layers::from_config(&kind, &config)?;
                model.add(NamedLayer { name, layer });
            }
            model.notes = r.or("notes", Config::new())?;
            let input: Option<BatchShape> = r.get("build_input_shape")?;
            Ok((model, input.map(|BatchShape(shape)| shape)))
        })
    }

    /// How the model learns, as Keras's `get_compile_config` has it: optimizer, with its learning rate of now, loss and
    /// metrics by name. A user's own metrics are left out. `None` before [`compile`](Sequential::compile).
    ///
    /// # Errors
    /// The optimizer is a user's own.
    pub fn compile_config(&self) -> Result<Option<Config>> {
        let Some(c) = &self.compiled else { return Ok(None) };
        Ok(Some(record([
            ("optimizer", c.optimizer.to_value()?),
            ("loss", c.loss.to_value()),
            ("metrics", c.metric_names.as_slice().into()),
        ])))
    }

    /// Compiles the model as [`compile_config`](Sequential::compile_config) says.
    ///
    /// # Errors
    /// As [`compile`](Sequential::compile); unknown entries, with the nearest known one.
    pub fn compile_from_config(&mut self, config: &Config) -> Result<()> {
        let compile = read("compile", config, |r| {
            let mut compile = Compile::new(r.need::<Loss>("loss")?);
            if let Some(optimizer) = r.get::<Optimizer>("optimizer")? {
                compile = compile.optimizer(optimizer);
            }
            let metrics = r.or("metrics", Vec::<String>::new())?;
            Ok(metrics.into_iter().fold(compile, |c, name| c.metric(MetricChoice::Name(name))))
        })?;
        self.compile(compile)
    }
}
