//! What training makes small.
//!
//! A prediction `p` is `[R, C]`; each row gives one number, the mean (crossentropies over classes: the sum) over its
//! C columns. The loss of a batch is `Σᵣ weightᵣ · lossᵣ / R`, Keras's `sum_over_batch_size`. With target `t`:
//!
//! | name | loss of a row |
//! |---|---|
//! | mean_squared_error (mse) | mean (p − t)² |
//! | mean_absolute_error (mae) | mean \|p − t\| |
//! | mean_absolute_percentage_error (mape) | 100 · mean \|p − t\| / max(\|t\|, 1e-7) |
//! | mean_squared_logarithmic_error (msle) | mean (ln(1 + max(p, 1e-7)) − ln(1 + max(t, 1e-7)))² |
//! | hinge | mean max(0, 1 − t p), with t ∈ {−1, 1}; a 0 counts as −1 |
//! | squared_hinge | mean max(0, 1 − t p)² |
//! | huber | mean of ½ e² if \|e\| ≤ δ else δ \|e\| − ½ δ², e = p − t |
//! | binary_crossentropy | mean −t ln p − (1 − t) ln(1 − p); from logits: max(z, 0) − z t + ln(1 + e^−\|z\|) |
//! | categorical_crossentropy | −Σ t ln(p / Σ p); from logits: −Σ t ln softmax(z) |
//! | sparse_categorical_crossentropy | the same with t one-hot at the label |
//!
//! (Keras takes a 0 of the hinges for −1 only where a whole batch is of zeros and ones.)
//! Probabilities are clipped to [1e-7, 1 − 1e-7] before the logarithm, and where the clip holds the gradient is 0.
//! Source: the formulas are Keras 3's; Goodfellow et al. 2016, §6.2.

use crate::activations::Activation;
use crate::config::{Config, FromValue, camel_case, class, drop_neutral, object, read, record, snake_case};
use crate::error::{Error, Result};
use serde_json::Value;
use std::fmt;
use std::str::FromStr;

/// What keeps logarithms and divisions away from 0, as in Keras.
pub const EPSILON: f64 = 1e-7;

/// A loss; see the [module](self) for the formulas.
///
/// ```
/// use handgrad::Loss;
/// assert_eq!("mse".parse::<Loss>()?, Loss::MeanSquaredError);
/// # Ok::<(), handgrad::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)] // the module's table says what they are
pub enum Loss {
    MeanSquaredError,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredLogarithmicError,
    Hinge,
    SquaredHinge,
    Huber { delta: f64 },
    BinaryCrossentropy { from_logits: bool },
    CategoricalCrossentropy { from_logits: bool },
    SparseCategoricalCrossentropy { from_logits: bool },
}

impl Loss {
    /// The names that [`FromStr`] knows.
    pub const NAMES: [&'static str; 14] = [
        "mean_squared_error",
        "mse",
        "mean_absolute_error",
        "mae",
        "mean_absolute_percentage_error",
        "mape",
        "mean_squared_logarithmic_error",
        "msle",
        "hinge",
        "squared_hinge",
        "huber",
        "binary_crossentropy",
        "categorical_crossentropy",
        "sparse_categorical_crossentropy",
    ];

    /// Whether targets are labels and not values.
    pub fn is_sparse(self) -> bool {
        matches!(self, Loss::SparseCategoricalCrossentropy { .. })
    }

    /// The same loss from logits, if `activation` is the one that makes probabilities for it: softmax for the
    /// categorical crossentropies, sigmoid for the binary one. Folding the two is exact where probabilities underflow.
    pub fn fold(self, activation: Activation) -> Option<Loss> {
        match (self, activation) {
            (Loss::BinaryCrossentropy { from_logits: false }, Activation::Sigmoid) => {
                Some(Loss::BinaryCrossentropy { from_logits: true })
            }
            (Loss::CategoricalCrossentropy { from_logits: false }, Activation::Softmax) => {
                Some(Loss::CategoricalCrossentropy { from_logits: true })
            }
            (Loss::SparseCategoricalCrossentropy { from_logits: false }, Activation::Softmax) => {
                Some(Loss::SparseCategoricalCrossentropy { from_logits: true })
            }
            _ => None,
        }
    }
}

impl FromStr for Loss {
    type Err = Error;

    fn from_str(name: &str) -> Result<Loss> {
        Ok(match name {
            "mse" | "mean_squared_error" => Loss::MeanSquaredError,
            "mae" | "mean_absolute_error" => Loss::MeanAbsoluteError,
            "mape" | "mean_absolute_percentage_error" => Loss::MeanAbsolutePercentageError,
            "msle" | "mean_squared_logarithmic_error" => Loss::MeanSquaredLogarithmicError,
            "hinge" => Loss::Hinge,
            "squared_hinge" => Loss::SquaredHinge,
            "huber" => Loss::Huber { delta: 1.0 },
            "binary_crossentropy" => Loss::BinaryCrossentropy { from_logits: false },
            "categorical_crossentropy" => Loss::CategoricalCrossentropy { from_logits: false },
            "sparse_categorical_crossentropy" => Loss::SparseCategoricalCrossentropy { from_logits: false },
            _ => return Err(Error::unknown("loss", name, &Loss::NAMES)),
        })
    }
}

impl TryFrom<&str> for Loss {
    type Error = Error;

    fn try_from(name: &str) -> Result<Loss> {
        name.parse()
    }
}

impl Loss {
    /// As Keras serialises it: `{"module": "keras.losses", "class_name": "Huber", "config": {"delta": 1.0}, ...}`.
    pub fn to_value(self) -> Value {
        let config = match self {
            Loss::Huber { delta } => record([("delta", delta.into())]),
            Loss::BinaryCrossentropy { from_logits }
            | Loss::CategoricalCrossentropy { from_logits }
            | Loss::SparseCategoricalCrossentropy { from_logits } => {
                record([("from_logits", from_logits.into())])
            }
            _ => Config::new(),
        };
        object("keras.losses", &camel_case(&self.to_string()), config)
    }
}

/// By name or as Keras serialises it.
impl FromValue for Loss {
    fn from_value(value: &Value) -> Result<Loss> {
        let (name, mut config) = class("a loss", value)?;
        drop_neutral(
            &mut config,
            &[
                ("reduction", "sum_over_batch_size".into()),
                ("label_smoothing", 0.into()),
                ("axis", (-1).into()),
                ("ignore_class", Value::Null),
            ],
        );
        read(&name, &config, |r| {
            r.ignore("name");
            Ok(match snake_case(&name).parse()? {
                Loss::Huber { delta } => Loss::Huber { delta: r.or("delta", delta)? },
                Loss::BinaryCrossentropy { from_logits } => {
                    Loss::BinaryCrossentropy { from_logits: r.or("from_logits", from_logits)? }
                }
                Loss::CategoricalCrossentropy { from_logits } => {
                    Loss::CategoricalCrossentropy { from_logits: r.or("from_logits", from_logits)? }
                }
                Loss::SparseCategoricalCrossentropy { from_logits } => {
                    Loss::SparseCategoricalCrossentropy { from_logits: r.or("from_logits", from_logits)? }
                }
                plain => plain,
            })
        })
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Loss::MeanSquaredError => "mean_squared_error",
            Loss::MeanAbsoluteError => "mean_absolute_error",
            Loss::MeanAbsolutePercentageError => "mean_absolute_percentage_error",
            Loss::MeanSquaredLogarithmicError => "mean_squared_logarithmic_error",
            Loss::Hinge => "hinge",
            Loss::SquaredHinge => "squared_hinge",
            Loss::Huber { .. } => "huber",
            Loss::BinaryCrossentropy { .. } => "binary_crossentropy",
            Loss::CategoricalCrossentropy { .. } => "categorical_crossentropy",
            Loss::SparseCategoricalCrossentropy { .. } => "sparse_categorical_crossentropy",
        })
    }
}
