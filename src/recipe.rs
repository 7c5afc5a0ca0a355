//! Recipes: a model and its way of training as a small TOML file, for those who have data and no Rust.
//!
//! ```toml
//! loss = "sparse_categorical_crossentropy"
//! metrics = ["accuracy"]
//! epochs = 50
//! batch_size = 32
//!
//! [optimizer]
//! name = "adam"
//! learning_rate = 0.01
//!
//! [[layers]]
//! type = "Dense"
//! units = 16
//! activation = "relu"
//!
//! [[layers]]
//! type = "Dense"
//! units = 3
//! activation = "softmax"
//! ```
//!
//! Layers, optimizers and losses have Keras's names and parameters; what is left out has Keras's default. `optimizer =
//! "adam"` and `learning_rate = 0.01` at the top are the short form of the table. What nobody knows is an error with its
//! line and the nearest name that is known.

use crate::config::{Config, FromValue};
use crate::data::Output;
use crate::error::{Error, Result};
use crate::losses::Loss;
use crate::model::Sequential;
use crate::optimizers::Optimizer;
use crate::shape::Shape;
use crate::{layers, metrics};
use serde_json::Value;
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A model and its way of training, read from a file or made up for the data.
///
/// ```
/// use handgrad::recipe::Recipe;
/// let text = "loss = \"mse\"\n[[layers]]\ntype = \"Dense\"\nunitz = 1\n";
/// let e = Recipe::parse(text, "model.toml").unwrap_err();
/// assert_eq!(e.to_string(), "model.toml: line 4: unknown option of Dense `unitz`");
/// assert!(e.hint().unwrap().starts_with("did you mean `units`?"));
/// let mut model = Recipe::parse(&text.replace("unitz", "units"), "model.toml")?.model(7)?;
/// model.build([3])?;
/// assert_eq!(model.parameter_count()?, 4);
/// # Ok::<(), handgrad::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    /// The file it was read from; `None` for one that was made up.
    pub path: Option<PathBuf>,
    /// As TOML.
    pub text: String,
    /// How often to go through the data.
    pub epochs: usize,
    /// How many samples share one update.
    pub batch_size: usize,
    /// What to make small.
    pub loss: Loss,
    /// What to watch besides.
    pub metrics: Vec<String>,
    optimizer: Value,
    layers: Vec<Value>,
    name: Option<String>,
}

/// More is no recipe.
const MAX_BYTES: u64 = 1 << 20;

const KEYS: [&str; 8] =
    ["name", "loss", "metrics", "optimizer", "learning_rate", "epochs", "batch_size", "layers"];

impl Recipe {
    /// Reads a file.
    ///
    /// # Errors
    /// The system cannot read it; it is no TOML; a key or a name that nobody knows, with its line and the nearest that
    /// is known; a value that makes no sense; no layer, no loss.
    pub fn read(path: impl AsRef<Path>) -> Result<Recipe> {
        let path = path.as_ref();
        let failed = |source| Error::Io { action: "read", path: path.to_path_buf(), source };
        let mut text = String::new();
        let file = File::open(path).map_err(failed)?;
        file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(|e| match e.kind() {
            std::io::ErrorKind::InvalidData => {
                Error::format(path, "it is no text", "give a TOML file; --help shows one")
            }
            _ => failed(e),
        })?;
        if text.len() as u64 > MAX_BYTES {
            return Err(Error::format(path, "too long for a model", "give a TOML file of some lines"));
        }
        Recipe::parse(&text, path)
    }

    /// The same of text; errors call it `name`.
    ///
    /// # Errors
    /// As [`read`](Recipe::read).
    pub fn parse(text: &str, name: impl AsRef<Path>) -> Result<Recipe> {
        let source = Source { text, path: name.as_ref() };
        let table = DeTable::parse(text).map_err(|e| {
            let at = e.span().map_or(0, |span| span.start);
            source.wrong(
                at,
                e.message().lines().next().unwrap_or("no TOML"),
                "see https://toml.io for what TOML is",
            )
        })?;
        let whole = Part { source: &source, span: table.span(), table: table.get_ref() };
        whole.check_keys("key", &KEYS)?;

        let loss = whole.need("loss")?;
        let loss: Loss = whole.of("loss", Loss::from_value(&loss))?;
        let metrics = whole.get("metrics")?.map(|m| whole.of("metrics", Vec::<String>::from_value(&m)));
        let metrics = metrics.transpose()?.unwrap_or_default();
        let known = [&metrics::NAMES[..], &Loss::NAMES].concat();
        if let Some(unknown) = metrics.iter().find(|m| !known.contains(&m.as_str())) {
            return whole.of("metrics", Err(Error::unknown("metric", unknown, &known)));
        }
        Ok(Recipe {
            path: Some(name.as_ref().to_path_buf()),
            text: text.to_string(),
            epochs: whole.count("epochs", 20)?,
            batch_size: whole.count("batch_size", 32)?,
            loss,
            metrics,
            optimizer: whole.optimizer()?,
            layers: whole.layers()?,
            name: whole.get("name")?.map(|n| whole.of("name", String::from_value(&n))).transpose()?,
        })
    }

    /// The layers, not built.
    ///
    /// # Errors
    /// None that [`parse`](Recipe::parse) would not have found.
    pub fn model(&self, seed: u64) -> Result<Sequential> {
        let mut config = Config::new();
        config.insert("name".into(), self.name.as_deref().unwrap_or("sequential").into());
        config.insert("seed".into(), seed.into());
        config.insert("layers".into(), self.layers.clone().into());
        Sequential::from_config(&config)
    }

    /// The optimizer, at its first step.
    ///
    /// # Errors
    /// None that [`parse`](Recipe::parse) would not have found.
    pub fn optimizer(&self) -> Result<Optimizer> {
        Optimizer::from_value(&self.optimizer)
    }

    /// A model that is worth a first try on samples of shape `input`: for tables two layers of 32 and 16, for pictures of
    /// at least 16 × 16 two convolutions, and the output and the loss that fit what is to be learned.
    ///
    /// # Errors
    /// None that is known: what it makes up is read like a user's file.
    pub fn suggested(input: Shape, output: &Output) -> Result<Recipe> {
        let (units, activation, loss, metric) = match output {
            Output::Classes { names, .. } if names.len() == 2 => {
                (1, "sigmoid", "binary_crossentropy", "accuracy")
            }
            Output::Classes { names, .. } => {
                (names.len(), "softmax", "sparse_categorical_crossentropy", "accuracy")
            }
            Output::Number { .. } => (1, "linear", "mse", "mae"),
        };
        let layer = |kind: &str, rest: &str| format!("\n[[layers]]\ntype = \"{kind}\"\n{rest}");
        let (relu, picture) = ("activation = \"relu\"\n", input.rank() > 1);
        let mut text = format!(
            "loss = \"{loss}\"\nmetrics = [\"{metric}\"]\nepochs = {}\nbatch_size = 32\n\n[optimizer]\nname = \"adam\"\n\
             learning_rate = {}\n",
            if picture { 20 } else { 50 },
            if picture { 0.001 } else { 0.01 },
        );
        match input.dims() {
            &[height, width, _] if height.min(width) >= 16 => {
                for filters in [16, 32] {
                    text += &layer("Conv2D", &format!("filters = {filters}\nkernel_size = 3\n{relu}"));
                    text += &layer("MaxPooling2D", "pool_size = 2\n");
                }
                text += &layer("Flatten", "");
                text += &layer("Dropout", "rate = 0.25\n");
                text += &layer("Dense", &format!("units = 64\n{relu}"));
            }
            dims => {
                if dims.len() > 1 {
                    text += &layer("Flatten", "");
                }
                text += &layer("Dense", &format!("units = 32\n{relu}"));
                text += &layer("Dense", &format!("units = 16\n{relu}"));
            }
        }
        text += &layer("Dense", &format!("units = {units}\nactivation = \"{activation}\"\n"));
        Ok(Recipe { path: None, ..Recipe::parse(&text, "the suggested model")? })
    }
}

/// The text, for the lines of errors.
struct Source<'a> {
    text: &'a str,
    path: &'a Path,
}

impl Source<'_> {
    fn wrong(&self, at: usize, problem: &str, hint: &str) -> Error {
        let before = self.text.as_bytes().get(..at).unwrap_or(self.text.as_bytes());
        let line = 1 + before.iter().filter(|&&b| b == b'\n').count();
        Error::format(self.path, format!("line {line}: {problem}"), hint)
    }
}

/// One table of the file.
struct Part<'a> {
    source: &'a Source<'a>,
    span: Range<usize>,
    table: &'a DeTable<'a>,
}

impl<'a> Part<'a> {
    fn check_keys(&self, what: &'static str, known: &[&str]) -> Result<()> {
        match self.table.keys().find(|key| !known.contains(&key.get_ref().as_ref())) {
            Some(key) => self.of("", Err(Error::unknown(what, key.get_ref(), known))),
            None => Ok(()),
        }
    }

    fn spanned(&self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.table.iter().find(|(k, _)| k.get_ref() == key).map(|(_, value)| value)
    }

    fn get(&self, key: &str) -> Result<Option<Value>> {
        self.spanned(key).map(|value| json(self.source, value)).transpose()
    }

    fn need(&self, key: &str) -> Result<Value> {
        let example = match key {
            "loss" => "loss = \"sparse_categorical_crossentropy\" for classes, loss = \"mse\" for numbers",
            _ => "see the examples in --help",
        };
        self.get(key)?
            .ok_or_else(|| self.source.wrong(self.span.start, &format!("there is no `{key}`"), example))
    }

    fn count(&self, key: &str, default: usize) -> Result<usize> {
        let Some(value) = self.get(key)? else { return Ok(default) };
        let count = usize::from_value(&value);
        self.of(
            key,
            count.and_then(|n| match n {
                0 => Err(Error::invalid(format!("{key} is 0"), "give 1 or more")),
                n => Ok(n),
            }),
        )
    }

    /// `result`, its error placed: in the line of the key or the value that it names, or in that of `key`.
    fn of<T>(&self, key: &str, result: Result<T>) -> Result<T> {
        result.map_err(|e| {
            let told = e.to_string();
            let named = |text: &str| told.contains(&format!("`{text}`"));
            let by_key = self.table.keys().find(|k| named(k.get_ref())).map(Spanned::span);
            let by_value =
                || self.table.values().find(|v| v.get_ref().as_str().is_some_and(named)).map(Spanned::span);
            let asked = || self.spanned(key).map(Spanned::span);
            let place = by_key.or_else(by_value).or_else(asked).map_or(self.span.start, |span| span.start);
            let hint = e.hint().unwrap_or("correct it, or leave it out: then it is Keras's default");
            self.source.wrong(place, &told, hint)
        })
    }

    /// The optimizer as Keras serialises it, tried once.
    fn optimizer(&self) -> Result<Value> {
        let rate = self.get("learning_rate")?;
        let (name, mut config, part) = match self.spanned("optimizer").map(|o| (o, o.get_ref())) {
            None => ("rmsprop".to_string(), Config::new(), None),
            Some((_, DeValue::String(name))) => (name.to_string(), Config::new(), None),
            Some((spanned, DeValue::Table(table))) => {
                let part = Part { source: self.source, span: spanned.span(), table };
                let name = part.of("name", String::from_value(&part.need("name")?))?;
                let mut config = Config::new();
                for key in table.keys().map(|k| k.get_ref()).filter(|&k| k != "name") {
                    config.insert(key.to_string(), part.get(key)?.unwrap_or_default());
                }
                (name, config, Some(part))
            }
            Some((spanned, _)) => {
                return Err(self.source.wrong(
                    spanned.span().start,
                    "the optimizer is neither a name nor a table",
                    "write optimizer = \"adam\", or a table [optimizer] with a name",
                ));
            }
        };
        if let Some(rate) = rate
            && config.insert("learning_rate".into(), rate).is_some()
        {
            let two = Error::invalid("there are two learning rates: `learning_rate`", "remove one");
            return self.of("learning_rate", Err(two));
        }
        let value = serde_json::json!({ "class_name": name, "config": config });
        let tried = Optimizer::from_value(&value);
        match &part {
            Some(part) if self.spanned("learning_rate").is_none() => part.of("name", tried)?,
            _ => self.of("optimizer", tried)?,
        };
        Ok(value)
    }

    /// The layers as Keras serialises them, each tried once.
    fn layers(&self) -> Result<Vec<Value>> {
        let example = "add one:\n\n[[layers]]\ntype = \"Dense\"\nunits = 10\nactivation = \"softmax\"";
        let Some(spanned) = self.spanned("layers") else {
            return Err(self.source.wrong(self.source.text.len(), "there is no layer", example));
        };
        let tables = spanned.get_ref().as_array().filter(|list| !list.is_empty());
        let Some(tables) = tables else {
            return Err(self.source.wrong(spanned.span().start, "`layers` is no list of layers", example));
        };
        let mut values = Vec::with_capacity(tables.len());
        for spanned in tables.iter() {
            let Some(table) = spanned.get_ref().as_table() else {
                return Err(self.source.wrong(spanned.span().start, "a layer is a table", example));
            };
            let first = table.keys().map(|k| k.span().start).min().unwrap_or(spanned.span().start);
            let part = Part { source: self.source, span: first..spanned.span().end, table };
            if part.spanned("type").is_none() {
                let near = table
                    .keys()
                    .find(|k| ["kind", "class", "class_name", "layer"].contains(&k.get_ref().as_ref()));
                let at = near.map_or(first, |k| k.span().start);
                return Err(self.source.wrong(
                    at,
                    "a layer without a `type`",
                    "give it one: type = \"Dense\"",
                ));
            }
            let kind = part.of("type", String::from_value(&part.need("type")?))?;
            let mut config = Config::new();
            for key in table.keys().map(|k| k.get_ref()).filter(|&k| k != "type") {
                config.insert(key.to_string(), part.get(key)?.unwrap_or_default());
            }
            if let Some(name) = config.get("name") {
                part.of("name", String::from_value(name))?;
            }
            part.of("type", layers::from_config(&kind, &config).map(drop))?;
            values.push(serde_json::json!({ "class_name": kind, "config": config }));
        }
        Ok(values)
    }
}

/// A value as JSON, which has neither dates nor infinities.
fn json(source: &Source, value: &Spanned<DeValue>) -> Result<Value> {
    let wrong = |what: &str| {
        source.wrong(
            value.span().start,
            what,
            "give a number, a text, true, false, a list or a table of such",
        )
    };
    Ok(match value.get_ref() {
        DeValue::String(text) => text.as_ref().into(),
        DeValue::Boolean(b) => (*b).into(),
        DeValue::Integer(n) => i64::from_str_radix(n.as_str(), n.radix())
            .map_err(|_| wrong("a whole number beyond 64 bits"))?
            .into(),
        DeValue::Float(x) => {
            let x = x.as_str().parse::<f64>().ok().and_then(serde_json::Number::from_f64);
            Value::Number(x.ok_or_else(|| wrong("a number that is not finite"))?)
        }
        DeValue::Datetime(_) => return Err(wrong("a date, which no model needs")),
        DeValue::Array(list) => list.iter().map(|v| json(source, v)).collect::<Result<Vec<Value>>>()?.into(),
        DeValue::Table(table) => {
            let entry = |(k, v): (&Spanned<_>, _)| {
                let key: &std::borrow::Cow<str> = k.get_ref();
                Ok((key.to_string(), json(source, v)?))
            };
            table.iter().map(entry).collect::<Result<Config>>()?.into()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"# 펭귄
name = "펭귄"
loss = "mse"
metrics = ["mae", "r2"]
epochs = 3
learning_rate = 0.5
optimizer = "sgd"

[[layers]]
type = "Dense"
name = "hidden"
units = 0x10
activation = "relu"

[[layers]]
type = "Reshape"
target_shape = [4, 4]

[[layers]]
type = "Flatten"

[[layers]]
type = "Dense"
units = 1
"#;

    #[track_caller]
    fn fails(text: &str, line: usize, words: &str, hint: &str) {
        let e = Recipe::parse(text, "m.toml").unwrap_err();
        let told = e.to_string();
        assert!(told.starts_with(&format!("m.toml: line {line}: ")) && told.contains(words), "{told}");
        assert!(e.hint().is_some_and(|h| h.contains(hint)), "{:?} should say {hint}", e.hint());
    }

    #[test]
    fn a_recipe_makes_its_model() {
        let recipe = Recipe::parse(GOOD, "m.toml").unwrap();
        assert_eq!((recipe.epochs, recipe.batch_size, recipe.loss), (3, 32, Loss::MeanSquaredError));
        let optimizer = recipe.optimizer().unwrap();
        assert_eq!((optimizer.name(), optimizer.learning_rate_now()), ("sgd", 0.5));
        let mut model = recipe.model(1).unwrap();
        model.build([3]).unwrap();
        assert_eq!(model.parameter_count().unwrap(), 3 * 16 + 16 + 17);
        assert_eq!(model.layer_names(), ["hidden", "reshape", "flatten", "dense"]);
    }

    /// Each in a line of its own: the line, the nearest name.
    #[test]
    fn every_slip_has_its_line_and_its_remedy() {
        let change = |from: &str, to: &str| GOOD.replacen(from, to, 1);
        fails(
            &change("units = 0x10", "unist = 16"),
            12,
            "unknown option of Dense `unist`",
            "did you mean `units`?",
        );
        fails(&change("\"Dense\"", "\"Densse\""), 10, "unknown layer `Densse`", "did you mean `Dense`?");
        fails(&change("\"relu\"", "\"rellu\""), 13, "rellu", "did you mean `relu`?");
        fails(&change("\"mse\"", "\"mme\""), 3, "unknown loss `mme`", "did you mean `m");
        fails(&change("\"mae\"", "\"acuracy\""), 4, "unknown metric `acuracy`", "did you mean `accuracy`?");
        fails(&change("\"sgd\"", "\"sgdd\""), 7, "unknown optimizer `sgdd`", "did you mean `sgd`?");
        fails(&change("epochs", "epoch"), 5, "unknown key `epoch`", "did you mean `epochs`?");
        fails(&change("epochs = 3", "epochs = 0"), 5, "epochs is 0", "1 or more");
        fails(&change("0x10", "-3"), 12, "`units` of Dense", "");
        fails(&change("0x10", "1979-05-27"), 12, "a date", "give a number");
        fails(&change("0.5", "inf"), 6, "not finite", "give a number");
        fails(&change("[4, 4]", "[4, \"x\"]"), 17, "target_shape", "");
        fails(&change("epochs = 3", "epochs 3"), 5, "", "toml.io");
        fails(&change("loss = \"mse\"", ""), 1, "there is no `loss`", "loss = ");
        fails(
            &change("type = \"Dense\"\nname", "class = \"Dense\"\nname"),
            10,
            "without a `type`",
            "type = ",
        );
        fails("loss = \"mse\"\n", 2, "there is no layer", "[[layers]]");
        fails("loss = \"mse\"\nlayers = 3\n", 2, "no list of layers", "[[layers]]");
        fails("loss = \"mse\"\nlayers = [3]\n", 2, "a layer is a table", "[[layers]]");
        let table = "loss = \"mse\"\n[optimizer]\nname = \"adam\"\nlerning_rate = 0.1\n[[layers]]\ntype = \"Flatten\"\n";
        fails(table, 4, "unknown option of adam `lerning_rate`", "did you mean `learning_rate`?");
        let twice = table.replace("lerning", "learning").replace("[opt", "learning_rate = 0.1\n[opt");
        fails(&twice, 2, "two learning rates", "remove one");
    }

    #[test]
    fn suggestions_train() {
        let classes =
            |n: usize| Output::Classes { target: "y".into(), names: (0..n).map(|i| i.to_string()).collect() };
        let number = Output::Number { target: "y".into(), scale: crate::data::Scale::NONE };
        for input in [Shape::from([7]), Shape::from([28, 28, 3]), Shape::from([8, 9, 1])] {
            for (output, units) in [(classes(2), 1), (classes(5), 5), (number.clone(), 1)] {
                let recipe = Recipe::suggested(input, &output).unwrap();
                let again = Recipe { path: None, ..Recipe::parse(&recipe.text, "m.toml").unwrap() };
                assert_eq!(again, recipe);
                let mut model = recipe.model(0).unwrap();
                model.build(input).unwrap();
                assert_eq!(model.output_shape().unwrap().dims(), [units], "{}", recipe.text);
                model.compile(crate::model::Compile::new(recipe.loss).metric(&*recipe.metrics[0])).unwrap();
            }
        }
    }
}
