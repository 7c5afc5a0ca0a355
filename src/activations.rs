//! The functions that bend a layer's output, with their derivatives.
//!
//! | name | f(x) | f′, in terms of y = f(x) |
//! |---|---|---|
//! | linear | x | 1 |
//! | relu | max(x, 0) | 1 if y > 0 else 0 |
//! | sigmoid | 1 / (1 + e⁻ˣ) | y (1 − y) |
//! | softmax | eˣⁱ / Σⱼ eˣʲ over the last dimension | dxᵢ = yᵢ (dyᵢ − Σⱼ dyⱼ yⱼ) |
//! | tanh | tanh x | 1 − y² |
//! | softplus | ln(1 + eˣ) | 1 − e⁻ʸ |
//! | softsign | x / (1 + \|x\|) | (1 − \|y\|)² |
//! | elu | x if x > 0 else α (eˣ − 1) | 1 if y > 0 else y + α |
//! | selu | λ x if x > 0 else λ α (eˣ − 1) | λ if y > 0 else y + λ α |
//! | exponential | eˣ | y |
//! | leaky_relu | x if x > 0 else s x | 1 if y > 0 else s |
//! | gelu | x Φ(x), or its tanh approximation | needs x |
//! | silu | x / (1 + e⁻ˣ) | needs x |
//!
//! Most derivatives can be written in y, so a layer need not keep x; [`Activation::needs_input`] names the others.
//! Sources: Goodfellow et al. 2016, §6.2–6.3; Clevert et al. 2015 (elu); Klambauer et al. 2017 (selu); Hendrycks and
//! Gimpel 2016 (gelu); Elfwing et al. 2017 (silu). Names and defaults are Keras 3's.

use crate::config::{FromValue, class, object, read, record};
use crate::error::{Error, Result};
use serde_json::Value;
use std::fmt;
use std::str::FromStr;

/// λ of selu.
pub const SELU_SCALE: f64 = 1.050_700_987_355_480_5;
/// α of selu.
pub const SELU_ALPHA: f64 = 1.673_263_242_354_377_2;

/// A function of a layer's output; see the [module](self) for the equations.
///
/// ```
/// use handgrad::Activation;
/// assert_eq!("relu".parse::<Activation>()?, Activation::Relu);
/// assert_eq!("rleu".parse::<Activation>().unwrap_err().hint().unwrap()[..22], *"did you mean `relu`? k");
/// # Ok::<(), handgrad::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Activation {
    /// y = x.
    #[default]
    Linear,
    /// max(x, 0).
    Relu,
    /// 1 / (1 + e⁻ˣ).
    Sigmoid,
    /// eˣⁱ / Σⱼ eˣʲ over the last dimension.
    Softmax,
    /// The hyperbolic tangent.
    Tanh,
    /// ln(1 + eˣ).
    Softplus,
    /// x / (1 + |x|).
    Softsign,
    /// x above 0, α (eˣ − 1) below.
    Elu {
        /// α, 1 by default.
        alpha: f64,
    },
    /// elu scaled so that layers keep mean 0 and variance 1.
    Selu,
    /// eˣ.
    Exponential,
    /// x above 0, `negative_slope`·x below.
    LeakyRelu {
        /// The slope below 0; 0.2 by default.
        negative_slope: f64,
    },
    /// x Φ(x), with Φ the normal distribution function.
    Gelu {
        /// Whether to take 0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³))) instead; false by default.
        approximate: bool,
    },
    /// x / (1 + e⁻ˣ), also called swish.
    Silu,
    /// A user's own function of one number.
    Custom(Custom),
}

/// A user's own activation: a function and its derivative, both of x.
///
/// ```
/// use handgrad::{Activation, activations::Custom};
/// let square = Activation::Custom(Custom { name: "square", f: |x| x * x, df: |x| 2.0 * x });
/// assert_eq!(square.to_string(), "square");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Custom {
    /// The name that summaries show.
    pub name: &'static str,
    /// f(x).
    pub f: fn(f64) -> f64,
    /// f′(x).
    pub df: fn(f64) -> f64,
}

/// Two of a user's own activations are the same when their names are: functions cannot be compared.
impl PartialEq for Custom {
    fn eq(&self, other: &Custom) -> bool {
        self.name == other.name
    }
}

impl Activation {
    /// The names that [`FromStr`] knows.
    pub const NAMES: [&'static str; 13] = [
        "linear",
        "relu",
        "sigmoid",
        "softmax",
        "tanh",
        "softplus",
        "softsign",
        "elu",
        "selu",
        "exponential",
        "leaky_relu",
        "gelu",
        "silu",
    ];

    /// Whether the derivative needs x, and y alone does not do.
    pub fn needs_input(self) -> bool {
        matches!(self, Activation::Gelu { .. } | Activation::Silu | Activation::Custom(_))
    }

    /// Whether each output depends on one input alone. Softmax alone does not.
    pub fn is_elementwise(self) -> bool {
        self != Activation::Softmax
    }
}

impl FromStr for Activation {
    type Err = Error;

    fn from_str(name: &str) -> Result<Activation> {
        Ok(match name {
            "linear" => Activation::Linear,
            "relu" => Activation::Relu,
            "sigmoid" => Activation::Sigmoid,
            "softmax" => Activation::Softmax,
            "tanh" => Activation::Tanh,
            "softplus" => Activation::Softplus,
            "softsign" => Activation::Softsign,
            "elu" => Activation::Elu { alpha: 1.0 },
            "selu" => Activation::Selu,
            "exponential" => Activation::Exponential,
            "leaky_relu" => Activation::LeakyRelu { negative_slope: 0.2 },
            "gelu" => Activation::Gelu { approximate: false },
            "silu" | "swish" => Activation::Silu,
            _ => return Err(Error::unknown("activation", name, &Activation::NAMES)),
        })
    }
}

impl Activation {
    /// As Keras serialises it: its name, or where a parameter is not the default one, an object as of Keras's
    /// `LeakyReLU` and `ELU` layers. (Keras has no such thing for gelu's approximation: there it is an object of this
    /// crate's.) `None` for a user's own function, which no file can hold.
    pub fn to_value(self) -> Option<Value> {
        let (module, class, config) = match self {
            Activation::Custom(_) => return None,
            Activation::LeakyRelu { negative_slope } if negative_slope != 0.2 => {
                ("keras.layers", "LeakyReLU", record([("negative_slope", negative_slope.into())]))
            }
            Activation::Elu { alpha } if alpha != 1.0 => {
                ("keras.layers", "ELU", record([("alpha", alpha.into())]))
            }
            Activation::Gelu { approximate: true } => {
                ("handgrad", "gelu", record([("approximate", true.into())]))
            }
            _ => return Some(self.to_string().into()),
        };
        Some(object(module, class, config))
    }
}

/// By name, or as Keras serialises its activation functions and the layers that are one.
impl FromValue for Activation {
    fn from_value(value: &Value) -> Result<Activation> {
        let (name, config) = class("an activation", value)?;
        read(&name, &config, |r| {
            if value.is_object() {
                ["name", "trainable", "dtype"].into_iter().for_each(|key| r.ignore(key)); // a Keras layer's
            }
            Ok(match name.as_str() {
                // Keras's layer has another default slope than its function.
                "LeakyReLU" => Activation::LeakyRelu { negative_slope: r.or("negative_slope", 0.3)? },
                "ELU" => Activation::Elu { alpha: r.or("alpha", 1.0)? },
                name => match name.parse()? {
                    Activation::Gelu { approximate } => {
                        Activation::Gelu { approximate: r.or("approximate", approximate)? }
                    }
                    Activation::LeakyRelu { negative_slope } => {
                        Activation::LeakyRelu { negative_slope: r.or("negative_slope", negative_slope)? }
                    }
                    Activation::Elu { alpha } => Activation::Elu { alpha: r.or("alpha", alpha)? },
                    plain => plain,
                },
            })
        })
    }
}

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Activation::Linear => "linear",
            Activation::Relu => "relu",
            Activation::Sigmoid => "sigmoid",
            Activation::Softmax => "softmax",
            Activation::Tanh => "tanh",
            Activation::Softplus => "softplus",
            Activation::Softsign => "softsign",
            Activation::Elu { .. } => "elu",
            Activation::Selu => "selu",
            Activation::Exponential => "exponential",
            Activation::LeakyRelu { .. } => "leaky_relu",
            Activation::Gelu { .. } => "gelu",
            Activation::Silu => "silu",
            Activation::Custom(c) => c.name,
        })
    }
}
