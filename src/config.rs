//! Configurations: what a layer, an optimizer or a whole model is made of, as JSON with Keras's names and values.
//!
//! A configuration is read strictly: every entry must be known and of the right type, or the error names it and the
//! nearest that is known. What is not there has Keras's default, and so has what is `null`.
//!
//! Things with a class of their own, such as an initializer, stand in it as Keras serialises them,
//! `{"class_name": "RandomNormal", "config": {"mean": 0.0, "stddev": 0.02}}`, or by name alone: `"random_normal"`.

use crate::error::{Error, Result};
use crate::shape::Shape;
use serde_json::{Value, json};

/// Names and values; the names are Keras's.
pub type Config = serde_json::Map<String, Value>;

/// No layer has more units, no kernel more taps than this: more is a broken file, and products of two stay countable.
const MOST: u64 = 1 << 31;

/// What can be an entry of a [`Config`].
pub trait FromValue: Sized {
    /// The value, or what is wrong with it.
    ///
    /// # Errors
    /// It is of another type or out of range, or names something that nobody knows.
    fn from_value(value: &Value) -> Result<Self>;
}

/// A [`Config`] being read. It remembers what it was asked for, so that [`finish`](Reader::finish) knows what nobody
/// wanted.
///
/// ```
/// use handgrad::config::Reader;
/// let config = serde_json::json!({"rate": 0.5, "noise": 3}).as_object().cloned().unwrap();
/// let mut reader = Reader::new("Dropout", &config);
/// assert_eq!(reader.need::<f64>("rate")?, 0.5);
/// assert_eq!(reader.or("seed", 7u64)?, 7);
/// assert_eq!(reader.finish().unwrap_err().to_string(), "unknown option of Dropout `noise`");
/// # Ok::<(), handgrad::Error>(())
/// ```
pub struct Reader<'a> {
    of: &'a str,
    config: &'a Config,
    known: Vec<&'static str>,
}

impl<'a> Reader<'a> {
    /// Reads `config`, which belongs to `of`: the name is for errors.
    pub fn new(of: &'a str, config: &'a Config) -> Reader<'a> {
        Reader { of, config, known: Vec::new() }
    }

    /// The entry `key`, if it is there and not `null`.
    ///
    /// # Errors
    /// Its value makes no sense.
    pub fn get<T: FromValue>(&mut self, key: &'static str) -> Result<Option<T>> {
        self.known.push(key);
        let value = self.config.get(key).filter(|value| !value.is_null());
        value.map(T::from_value).transpose().map_err(|e| match e {
            Error::Invalid { problem, hint } => {
                Error::Invalid { problem: format!("`{key}` of {}: {problem}", self.of), hint }
            }
            e => e,
        })
    }

    /// The entry `key`, or `default` if it is not there.
    ///
    /// # Errors
    /// Its value makes no sense.
    pub fn or<T: FromValue>(&mut self, key: &'static str, default: T) -> Result<T> {
        Ok(self.get(key)?.unwrap_or(default))
    }

    /// The entry `key`, which must be there.
    ///
    /// # Errors
    /// It is not, or its value makes no sense.
    pub fn need<T: FromValue>(&mut self, key: &'static str) -> Result<T> {
        if let Some(value) = self.get(key)? {
            return Ok(value);
        }
        let nearly = |given: &&String| {
            !self.known.contains(&given.as_str()) && strsim::normalized_damerau_levenshtein(given, key) > 0.7
        };
        Err(match self.config.keys().find(nearly) {
            Some(misspelt) => self.unknown(misspelt, &[key]),
            None => Error::invalid(format!("{} has no `{key}`", self.of), format!("give it a `{key}`")),
        })
    }

    /// Knows the entry `key`, and takes no notice of it.
    pub fn ignore(&mut self, key: &'static str) {
        self.known.push(key);
    }

    /// The end of reading.
    ///
    /// # Errors
    /// [`Mistake::UnknownName`](crate::Mistake::UnknownName) for an entry that nobody asked for.
    pub fn finish(self) -> Result<()> {
        match self.config.keys().find(|key| !self.known.contains(&key.as_str())) {
            Some(key) => Err(self.unknown(key, &self.known)),
            None => Ok(()),
        }
    }

    fn unknown(&self, key: &str, known: &[&'static str]) -> Error {
        Error::unknown(format!("option of {}", self.of), key, known)
    }
}

/// What `with` makes of `config`, all of it: the way to read one from beginning to end.
///
/// # Errors
/// Those of `with`, and entries that it did not ask for.
pub fn read<T>(of: &str, config: &Config, with: impl FnOnce(&mut Reader) -> Result<T>) -> Result<T> {
    let mut reader = Reader::new(of, config);
    let made = with(&mut reader)?;
    reader.finish()?;
    Ok(made)
}

/// A configuration of these entries.
pub fn record<const N: usize>(entries: [(&str, Value); N]) -> Config {
    entries.into_iter().map(|(name, value)| (name.to_string(), value)).collect()
}

/// A thing with a class and a configuration of its own, as Keras serialises it; `module` is Keras's, as in
/// `keras.initializers`.
pub fn object(module: &str, class_name: &str, config: Config) -> Value {
    json!({ "module": module, "class_name": class_name, "config": config, "registered_name": null })
}

/// The class name and the configuration of a serialised thing; of a bare name, that and nothing. `what` is for errors.
///
/// # Errors
/// It is neither a name nor an object with a `class_name`.
pub fn class(what: &str, value: &Value) -> Result<(String, Config)> {
    let parts = match value {
        Value::String(name) => Some((name.clone(), Config::new())),
        Value::Object(object) => match (object.get("class_name"), object.get("config")) {
            // Keras serialises functions, such as activations, with their name in the place of a configuration.
            (Some(Value::String(class)), Some(Value::String(name))) if class == "function" => {
                Some((name.clone(), Config::new()))
            }
            (Some(Value::String(class)), Some(Value::Object(config))) => {
                Some((class.clone(), config.clone()))
            }
            (Some(Value::String(class)), None | Some(Value::Null)) => Some((class.clone(), Config::new())),
            _ => None,
        },
        _ => None,
    };
    parts.ok_or_else(|| {
        let mut error = wrong(value, what);
        if let Error::Invalid { hint, .. } = &mut error {
            *hint = "give its name, or an object with `class_name` and `config`".into();
        }
        error
    })
}

/// Removes those entries of `config` that say no more than that a feature is off: for readers of files whose writers
/// know more options than this crate has. An entry with another value stays, and [`Reader::finish`] complains about it.
///
/// ```
/// use handgrad::config::drop_neutral;
/// let json = serde_json::json!({"units": 3, "kernel_regularizer": null, "groups": 2});
/// let mut config = json.as_object().cloned().unwrap();
/// drop_neutral(&mut config, &[("kernel_regularizer", ().into()), ("groups", 1.into())]);
/// assert!(config.contains_key("groups") && !config.contains_key("kernel_regularizer"));
/// ```
pub fn drop_neutral(config: &mut Config, neutral: &[(&str, Value)]) {
    config.retain(|key, value| !neutral.iter().any(|(name, off)| name == key && same(value, off)));
}

/// Equal, and 1 is 1.0.
fn same(a: &Value, b: &Value) -> bool {
    a == b || (a.is_number() && a.as_f64() == b.as_f64())
}

/// The error of a value that is not `what`.
pub fn wrong(value: &Value, what: &str) -> Error {
    let mut shown = value.to_string();
    if let Some((at, _)) = shown.char_indices().nth(60) {
        shown.truncate(at);
        shown.push('…');
    }
    Error::invalid(format!("{shown} is not {what}"), "")
}

/// `GlorotUniform` → `glorot_uniform`, `MaxPooling2D` → `max_pooling2d`, `LSTM` → `lstm`: an underscore before a capital
/// that follows a small letter, or that starts a word after a capital.
pub(crate) fn snake_case(kind: &str) -> String {
    let chars: Vec<char> = kind.chars().collect();
    let mut name = String::new();
    for (i, &c) in chars.iter().enumerate() {
        let before = i.checked_sub(1).map(|j| chars[j]);
        let after = chars.get(i + 1);
        let new_word = before.is_some_and(char::is_lowercase)
            || (before.is_some_and(char::is_alphanumeric) && after.is_some_and(|a| a.is_lowercase()));
        if c.is_uppercase() && new_word {
            name.push('_');
        }
        name.extend(c.to_lowercase());
    }
    name
}

/// `glorot_uniform` → `GlorotUniform`.
pub(crate) fn camel_case(name: &str) -> String {
    let word = |word: &str| {
        let mut chars = word.chars();
        chars.next().map_or(String::new(), |first| first.to_uppercase().chain(chars).collect())
    };
    name.split('_').map(word).collect()
}

impl FromValue for bool {
    fn from_value(value: &Value) -> Result<bool> {
        value.as_bool().ok_or_else(|| wrong(value, "true or false"))
    }
}

impl FromValue for f64 {
    fn from_value(value: &Value) -> Result<f64> {
        value.as_f64().ok_or_else(|| wrong(value, "a number"))
    }
}

impl FromValue for u64 {
    fn from_value(value: &Value) -> Result<u64> {
        value.as_u64().ok_or_else(|| wrong(value, "a whole number, 0 or more"))
    }
}

/// A count: of units, of taps, of extents.
impl FromValue for usize {
    fn from_value(value: &Value) -> Result<usize> {
        let count = value.as_u64().filter(|&n| n <= MOST).and_then(|n| n.try_into().ok());
        count.ok_or_else(|| wrong(value, "a whole number from 0 to 2³¹"))
    }
}

impl FromValue for String {
    fn from_value(value: &Value) -> Result<String> {
        value.as_str().map(String::from).ok_or_else(|| wrong(value, "text"))
    }
}

impl FromValue for Config {
    fn from_value(value: &Value) -> Result<Config> {
        value.as_object().cloned().ok_or_else(|| wrong(value, "an object of names and values"))
    }
}

/// Unread, to be looked at by whoever asked.
impl FromValue for Value {
    fn from_value(value: &Value) -> Result<Value> {
        Ok(value.clone())
    }
}

impl<T: FromValue> FromValue for Vec<T> {
    fn from_value(value: &Value) -> Result<Vec<T>> {
        value.as_array().ok_or_else(|| wrong(value, "a list"))?.iter().map(T::from_value).collect()
    }
}

/// The extents of a sample.
impl FromValue for Shape {
    fn from_value(value: &Value) -> Result<Shape> {
        Shape::new(&Vec::from_value(value)?)
    }
}

impl From<Shape> for Value {
    fn from(shape: Shape) -> Value {
        shape.dims().into()
    }
}

/// A sample's shape behind an unknown batch, as Keras writes it: `[null, 28, 28]`.
pub struct BatchShape(
    /// Without the batch.
    pub Shape,
);

impl FromValue for BatchShape {
    fn from_value(value: &Value) -> Result<BatchShape> {
        match value.as_array().map(Vec::as_slice) {
            Some([Value::Null, sample @ ..]) => {
                let sample: Vec<usize> = sample.iter().map(usize::from_value).collect::<Result<_>>()?;
                Ok(BatchShape(Shape::new(&sample)?))
            }
            _ => Err(wrong(value, "a shape behind an unknown batch, as [null, 28, 28]")),
        }
    }
}

impl From<BatchShape> for Value {
    fn from(BatchShape(shape): BatchShape) -> Value {
        std::iter::once(Value::Null).chain(shape.dims().iter().map(|&n| n.into())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(value: Value) -> Config {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn what_is_misspelt_is_named_with_the_nearest() {
        let c = config(json!({"unist": 3}));
        let e = read("Dense", &c, |r| r.need::<usize>("units")).unwrap_err();
        assert_eq!(e.to_string(), "unknown option of Dense `unist`");
        assert!(e.hint().unwrap().starts_with("did you mean `units`?"), "{e:?}");
        let c = config(json!({"units": 3, "use_bais": true}));
        let e = read("Dense", &c, |r| Ok((r.need::<usize>("units")?, r.or("use_bias", true)?))).unwrap_err();
        assert!(e.hint().unwrap().starts_with("did you mean `use_bias`?"), "{e:?}");
        let e = read("Dense", &config(json!({})), |r| r.need::<usize>("units")).unwrap_err();
        assert_eq!(e.to_string(), "Dense has no `units`");
    }

    #[test]
    fn a_value_of_the_wrong_type_is_shown() {
        let c = json!({"units": "ten", "many": 9e99, "shape": [2, -1], "wide": vec![1; 100], "batch": [3]});
        let c = config(c);
        let mut r = Reader::new("Dense", &c);
        let shown = r.need::<usize>("units").unwrap_err().to_string();
        assert_eq!(shown, "`units` of Dense: \"ten\" is not a whole number from 0 to 2³¹");
        assert!(r.need::<usize>("many").is_err() && r.need::<Shape>("shape").is_err());
        assert!(r.need::<Shape>("wide").is_err() && r.need::<BatchShape>("batch").is_err());
        assert!(r.need::<String>("wide").unwrap_err().to_string().len() < 120);
    }

    #[test]
    fn names_go_to_and_fro() {
        for name in crate::Initializer::NAMES {
            assert_eq!(snake_case(&camel_case(name)), name);
        }
        assert_eq!(camel_case("mean_squared_error"), "MeanSquaredError");
    }
}
