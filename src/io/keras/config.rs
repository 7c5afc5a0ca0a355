//! Keras's description of a model to this crate's, and back.
//!
//! Both use Keras's names and values, so what is left to do is: options that only Keras has are dropped where they are
//! off, and are errors where they are on; layers that are an activation (`ReLU`, `Softmax`) become [`Activation`]s; and
//! a chain that was written with Keras's functional API becomes a row of layers.
//!
//! [`Activation`]: crate::layers::ActivationLayer

use crate::config::{Config, FromValue, class, drop_neutral, object, record, wrong};
use crate::error::{Error, Result};
use crate::initializers::Initializer;
use crate::layers;
use crate::mistakes::Mistake;
use crate::model::Sequential;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::Path;

/// Options of Keras's layers with the values that say that they are off. A `null` says so everywhere.
fn neutral() -> [(&'static str, Value); 16] {
    [
        ("trainable", true.into()),
        ("data_format", "channels_last".into()),
        ("groups", 1.into()),
        ("keepdims", false.into()),
        ("sparse", false.into()),
        ("ragged", false.into()),
        ("optional", false.into()),
        ("synchronized", false.into()),
        ("renorm", false.into()),
        ("stateful", false.into()),
        ("return_state", false.into()),
        ("time_major", false.into()),
        ("zero_output_for_mask", false.into()),
        ("dropout", 0.into()),
        ("recurrent_dropout", 0.into()),
        ("dtype", "float32".into()),
    ]
}

/// Options that change neither what a layer computes nor how it goes on learning, once its weights are there.
const IDLE: [&str; 6] = [
    "seed",
    "unroll",
    "implementation",
    "renorm_momentum",
    "moving_mean_initializer",
    "moving_variance_initializer",
];

/// A model's description, on its way from Keras.
struct Reader<'a> {
    path: &'a Path,
    /// The dimensions of a sample here; for options that count axes.
    rank: usize,
    input: Option<Value>,
}

/// This crate's description of the model that Keras describes as `described`.
pub(super) fn from_keras(path: &Path, described: &Value) -> Result<Config> {
    let broken =
        || Error::format(path, "it does not describe a model", "save the model again with `model.save`");
    let (class, config) = class("a model", described).map_err(|_| broken())?;
    let described: Vec<&Value> = match (class.as_str(), config.get("layers").and_then(Value::as_array)) {
        ("Sequential", Some(layers)) => layers.iter().collect(),
        ("Functional" | "Model", Some(layers)) => chain(path, layers)?,
        (_, None) => return Err(broken()),
        _ => {
            let problem =
                format!("the model is a `{class}`: its Python code says what it computes, not the file");
            return Err(Error::format(path, problem, "save a `Sequential` model, or a chain of layers"));
        }
    };
    let mut reader = Reader { path, rank: 0, input: None };
    if let Some(shape) = config.get("build_input_shape").filter(|shape| shape.is_array()) {
        reader.expect("the model", shape)?;
    }
    let layers = described.into_iter().map(|layer| reader.layer(layer)).collect::<Result<Vec<_>>>()?;
    let name = config.get("name").cloned().unwrap_or("sequential".into());
    let input = reader.input.unwrap_or(Value::Null);
    Ok(record([("name", name), ("layers", layers.into()), ("build_input_shape", input)]))
}

impl Reader<'_> {
    fn error(&self, layer: &str, problem: impl std::fmt::Display, hint: impl Into<String>) -> Error {
        Error::format(self.path, format!("layer `{layer}`: {problem}"), hint)
    }

    /// The model is for samples of `shape`, which begins with the batch; the first one to say so counts.
    fn expect(&mut self, layer: &str, shape: &Value) -> Result<Value> {
        let Some([_, sample @ ..]) = shape.as_array().map(Vec::as_slice) else {
            return Err(self.error(layer, wrong(shape, "the shape of a batch"), ""));
        };
        if sample.iter().any(Value::is_null) {
            let problem = format!("the shape {shape} leaves more than the batch open");
            return Err(self.error(layer, problem, "build the model in Keras for samples of one shape"));
        }
        let shape = Value::from_iter([&[Value::Null], sample].concat());
        if self.input.is_none() {
            (self.input, self.rank) = (Some(shape.clone()), sample.len());
        }
        Ok(shape)
    }

    /// One layer.
    fn layer(&mut self, described: &Value) -> Result<Value> {
        let (class, mut config) = class("a layer", described).map_err(|e| self.error("?", e, ""))?;
        let name = config.get("name").and_then(Value::as_str).unwrap_or_default().to_string();
        let shown = format!("{name} ({class})");
        if let Some(own) =
            described.get("registered_name").and_then(Value::as_str).filter(|n| n.contains('>'))
        {
            let problem = format!("`{own}` is its author's own, and the file does not say what it computes");
            return Err(self.error(&shown, problem, "make the model in code, and load its weights alone"));
        }
        // Keras 2 says so in the first layer.
        for key in ["batch_shape", "batch_input_shape"] {
            if let Some(shape) = config.remove(key).filter(|shape| shape.is_array()) {
                let shape = self.expect(&shown, &shape)?;
                if class == "InputLayer" {
                    config.insert("batch_shape".into(), shape);
                }
            }
        }
        self.neutralise(&shown, &mut config)?;
        let class = self.as_activation(&shown, class, &mut config)?;
        for key in ["activation", "recurrent_activation"] {
            if let Some(value) = config.get_mut(key) {
                let (class, mut inner) = crate::config::class("an activation", value)
                    .map_err(|e| self.error(&shown, format!("`{key}`: {e}"), e.hint().unwrap_or_default()))?;
                if matches!(class.as_str(), "ReLU" | "Softmax") {
                    self.neutralise(&shown, &mut inner)?;
                    self.as_activation(&shown, class, &mut inner)?;
                    *value = inner.remove("activation").unwrap_or_default();
                }
            }
        }
        if !layers::kinds().any(|kind| kind == class) {
            let mut known: Vec<&str> = layers::kinds().collect();
            known.extend(["ReLU", "LeakyReLU", "ELU", "Softmax"]);
            let e = Error::unknown("layer", &class, &known);
            return Err(self.error(&name, e.to_string(), e.hint().unwrap_or_default()));
        }
        layers::from_config(&class, &config).map_err(|e| self.refusal(&shown, &config, &e))?;
        self.follow(&class, &config);
        Ok(object("keras.layers", &class, config))
    }

    /// Removes what is off.
    fn neutralise(&self, shown: &str, config: &mut Config) -> Result<()> {
        // Keras 3's name for a number type is an object.
        if let Some(policy) = config.get("dtype").and_then(|d| d.pointer("/config/name")).cloned() {
            config.insert("dtype".into(), policy);
        }
        drop_neutral(config, &neutral());
        config.retain(|key, value| !value.is_null() && !IDLE.contains(&key.as_str()));
        // What draws initial values matters no more, so one that only Keras has does not either.
        config.retain(|key, value| !key.ends_with("_initializer") || Initializer::from_value(value).is_ok());
        if let Some(axis) = config.remove("axis") {
            let last = [json!(-1), json!([-1]), json!(self.rank), json!([self.rank])];
            if !last.contains(&axis) {
                let problem = format!("`axis` is {axis}, here it is always the last, the channels");
                return Err(self.error(shown, problem, "train the model with channels last, `axis=-1`"));
            }
        }
        Ok(())
    }

    /// Keras's layers that are an activation, as an `Activation`; any other class stays.
    fn as_activation(&self, shown: &str, class: String, config: &mut Config) -> Result<String> {
        let mut take = |key: &str| config.remove(key).unwrap_or(json!(0));
        let activation = match class.as_str() {
            "Softmax" => "softmax".into(),
            "ReLU" => {
                let (most, threshold) = (take("max_value"), take("threshold"));
                let slope = take("negative_slope");
                if most != json!(0) || threshold.as_f64() != Some(0.0) {
                    let problem =
                        format!("`max_value` is {most}, `threshold` is {threshold}: here it has neither");
                    return Err(self.error(shown, problem, "use `ReLU()` without them, or `LeakyReLU`"));
                }
                match slope.as_f64() {
                    Some(0.0) => "relu".into(),
                    _ => object("keras.layers", "LeakyReLU", record([("negative_slope", slope)])),
                }
            }
            "LeakyReLU" => {
                let slope = config.remove("negative_slope").or(config.remove("alpha")).unwrap_or(json!(0.3));
                object("keras.layers", "LeakyReLU", record([("negative_slope", slope)]))
            }
            "ELU" => {
                let alpha = config.remove("alpha").unwrap_or(json!(1.0));
                object("keras.layers", "ELU", record([("alpha", alpha)]))
            }
            _ => return Ok(class),
        };
        config.insert("activation".into(), activation);
        Ok("Activation".into())
    }

    /// Why the layer cannot be: an option that this crate does not have is shown with its value.
    fn refusal(&self, shown: &str, config: &Config, e: &Error) -> Error {
        if let Error::Mistake { mistake, .. } = e
            && let Mistake::UnknownName { name, .. } = &**mistake
            && let Some(value) = config.get(name)
        {
            let problem = format!("`{name}` is {}, which handgrad cannot do", short(value));
            let off = neutral().into_iter().find(|(key, _)| key == name).map_or(Value::Null, |(_, off)| off);
            let hint = format!("train and save the model with `{name}` {off}, or load the weights alone");
            return self.error(shown, problem, hint);
        }
        self.error(shown, e, e.hint().unwrap_or_default())
    }

    /// What the layer makes of the number of dimensions.
    fn follow(&mut self, class: &str, config: &Config) {
        self.rank = match class {
            "Flatten" => 1,
            "Reshape" => config.get("target_shape").and_then(Value::as_array).map_or(1, Vec::len),
            "SimpleRNN" | "LSTM" | "GRU" => {
                1 + usize::from(config.get("return_sequences") == Some(&json!(true)))
            }
            _ if class.starts_with("Global") => 1,
            _ => self.rank,
        };
    }
}

/// A value for an error, not too long.
fn short(value: &Value) -> String {
    let (text, class) = (value.to_string(), value.get("class_name").and_then(Value::as_str));
    match class {
        Some(class) => format!("`{class}`"),
        None => text.chars().take(60).collect(),
    }
}

/// The layers of a functional model in their order, if each has the one before as its only input.
fn chain<'a>(path: &Path, layers: &'a [Value]) -> Result<Vec<&'a Value>> {
    let name = |layer: &'a Value| layer.get("name").or(layer.pointer("/config/name"))?.as_str();
    let branches = || {
        let hint = "handgrad's models are layers in a row: save a chain with one input and one output";
        Error::format(path, "the model is a graph with branches, several inputs or a layer used twice", hint)
    };
    let (mut first, mut after) = (None, HashMap::new());
    for layer in layers {
        let nodes = layer.get("inbound_nodes").and_then(Value::as_array).ok_or_else(branches)?;
        let taken = match nodes.as_slice() {
            [] => first.replace(layer).is_some(),
            [node] => after.insert(parent(node).ok_or_else(branches)?, layer).is_some(),
            _ => true,
        };
        if taken {
            return Err(branches());
        }
    }
    let mut row = vec![first.ok_or_else(branches)?];
    while let Some(next) = row.last().and_then(|last| after.remove(name(last)?)) {
        row.push(next);
    }
    if row.len() == layers.len() { Ok(row) } else { Err(branches()) }
}

/// The name of the only layer whose output this node takes.
fn parent(node: &Value) -> Option<&str> {
    let history = match node.get("args").and_then(Value::as_array).map(Vec::as_slice) {
        Some([tensor]) => tensor.pointer("/config/keras_history")?.as_array()?,
        Some(_) => return None,
        None => match node.as_array()?.as_slice() {
            [one] => one.as_array()?, // Keras 2
            _ => return None,
        },
    };
    let extra = node.get("kwargs").and_then(Value::as_object);
    if extra.is_some_and(|kwargs| kwargs.values().any(|v| !v.is_null() && *v != json!(false))) {
        return None;
    }
    history.first()?.as_str()
}

/// Keras's description of the model.
pub(super) fn to_keras(path: &Path, model: &mut Sequential) -> Result<Value> {
    model.each_layer(&mut |_, _| Ok(()))?; // builds it if it can be
    let mut config = model.config()?;
    config.remove("seed");
    config.insert("trainable".into(), true.into());
    config.insert("dtype".into(), "float32".into());
    for layer in config.get_mut("layers").and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(options) = layer.get_mut("config").and_then(Value::as_object_mut) else { continue };
        let name = options.get("name").and_then(Value::as_str).unwrap_or_default();
        let refuse = |problem: &str| {
            let hint = "save the weights alone as `.weights.h5`, or the model as `.safetensors`";
            Error::format(path, format!("layer `{name}`: {problem}"), hint)
        };
        if name.contains('/') {
            return Err(refuse("Keras allows no `/` in a name"));
        }
        if options.contains_key("truncate") {
            return Err(refuse("Keras cannot truncate backpropagation through time"));
        }
        if options.values().any(|value| value.get("module") == Some(&json!("handgrad"))) {
            return Err(refuse(
                "Keras has no such activation: gelu is approximated there by a function of its own",
            ));
        }
        options.insert("dtype".into(), "float32".into());
        if !options.contains_key("batch_shape") {
            options.insert("trainable".into(), true.into());
        }
    }
    let build = json!({ "input_shape": config.get("build_input_shape") });
    let mut described = object("keras", "Sequential", config);
    described["build_config"] = build;
    Ok(described)
}
