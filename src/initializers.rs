//! How parameters start.
//!
//! Weights must start unequal, or all units of a layer would learn the same thing, and of the right size, or signals
//! would fade or explode from layer to layer. Most rules therefore look at the fans: how many inputs one output sums
//! (`fan_in`) and how many outputs one input reaches (`fan_out`).
//!
//! | name | draws | Keras's default |
//! |---|---|---|
//! | zeros, ones, constant | one value | constant: 0 |
//! | random_uniform | uniform in [minval, maxval) | −0.05, 0.05 |
//! | random_normal | normal | mean 0, stddev 0.05 |
//! | truncated_normal | normal, redrawn beyond two deviations | mean 0, stddev 0.05 |
//! | glorot_uniform, glorot_normal | variance 2 / (fan_in + fan_out) | |
//! | he_uniform, he_normal | variance 2 / fan_in | |
//! | lecun_uniform, lecun_normal | variance 1 / fan_in | |
//! | orthogonal | gain × a random orthogonal matrix | gain 1 |
//! | identity | gain × the identity matrix | gain 1 |
//!
//! A uniform rule of variance v draws from ±√(3 v), a normal one from a truncated normal of deviation √v once truncated.
//!
//! Sources: Glorot, Bengio 2010; He et al. 2015; LeCun et al. 1998; Saxe et al. 2014 (orthogonal). Names, defaults and
//! formulas are Keras 3's.

use crate::config::{Config, FromValue, camel_case, class, object, read, record, snake_case};
use crate::error::{Error, Result};
use crate::rng::Rng;
use crate::shape::Shape;
use serde_json::Value;
use std::fmt;
use std::str::FromStr;

/// The standard deviation that a standard normal has left when it is truncated at ±2.
const TRUNCATED_STDDEV: f64 = 0.879_625_661_034_239_8;

/// A rule that draws a parameter's first values; see the [module](self) for the table.
///
/// ```
/// use handgrad::{Initializer, Rng};
/// let glorot: Initializer = "glorot_uniform".parse()?;
/// let kernel = glorot.draw([784, 10].into(), &mut Rng::new(1, 0))?;
/// let limit = (6.0 / (784.0 + 10.0f64)).sqrt();
/// assert!(kernel.iter().all(|w| w.abs() <= limit));
/// # Ok::<(), handgrad::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Initializer {
    /// All 0.
    Zeros,
    /// All 1.
    Ones,
    /// All this value.
    Constant(f64),
    /// Uniform in [minval, maxval).
    RandomUniform {
        /// The lower bound.
        minval: f64,
        /// The upper bound, which is not drawn.
        maxval: f64,
    },
    /// Normal.
    RandomNormal {
        /// The mean.
        mean: f64,
        /// The standard deviation.
        stddev: f64,
    },
    /// Normal, redrawn until it lies within two deviations of the mean.
    TruncatedNormal {
        /// The mean.
        mean: f64,
        /// The standard deviation before truncation.
        stddev: f64,
    },
    /// Uniform in ±√(6 / (fan_in + fan_out)): for sigmoid, tanh and softmax.
    GlorotUniform,
    /// Truncated normal of variance 2 / (fan_in + fan_out).
    GlorotNormal,
    /// Uniform in ±√(6 / fan_in): for relu and its kin, which silence half of the inputs.
    HeUniform,
    /// Truncated normal of variance 2 / fan_in.
    HeNormal,
    /// Uniform in ±√(3 / fan_in): for selu.
    LecunUniform,
    /// Truncated normal of variance 1 / fan_in.
    LecunNormal,
    /// gain × a matrix `[R, C]` with orthonormal columns, or rows where R < C: keeps lengths through many time steps.
    Orthogonal {
        /// The length of each column (or row).
        gain: f64,
    },
    /// gain on the diagonal of a matrix, 0 elsewhere.
    Identity {
        /// The diagonal.
        gain: f64,
    },
}

impl Initializer {
    /// The names that [`FromStr`] knows.
    pub const NAMES: [&'static str; 14] = [
        "zeros",
        "ones",
        "constant",
        "random_uniform",
        "random_normal",
        "truncated_normal",
        "glorot_uniform",
        "glorot_normal",
        "he_uniform",
        "he_normal",
        "lecun_uniform",
        "lecun_normal",
        "orthogonal",
        "identity",
    ];

    /// Values of a parameter of `shape`, row-major.
    ///
    /// # Errors
    /// The rule cannot fill this shape (`identity` wants a matrix, `orthogonal` at least one), or its own numbers make
    /// no sense (a negative deviation, bounds in the wrong order).
    pub fn draw(self, shape: Shape, rng: &mut Rng) -> Result<Vec<f64>> {
        self.validate(shape)?;
        let n = shape.len();
        let (fan_in, fan_out) = fans(shape);
        let mut uniform = |low: f64, high: f64| (0..n).map(|_| low + (high - low) * rng.uniform()).collect();
        Ok(match self {
            Initializer::Zeros => vec![0.0; n],
            Initializer::Ones => vec![1.0; n],
            Initializer::Constant(value) => vec![value; n],
            Initializer::RandomUniform { minval, maxval } => uniform(minval, maxval),
            Initializer::GlorotUniform => {
                let limit = (6.0 / (fan_in + fan_out)).sqrt();
                uniform(-limit, limit)
            }
            Initializer::HeUniform => {
                let limit = (6.0 / fan_in).sqrt();
                uniform(-limit, limit)
            }
            Initializer::LecunUniform => {
                let limit = (3.0 / fan_in).sqrt();
                uniform(-limit, limit)
            }
            Initializer::RandomNormal { mean, stddev } => {
                (0..n).map(|_| mean + stddev * rng.normal()).collect()
            }
            Initializer::TruncatedNormal { mean, stddev } => truncated_normal(mean, stddev, n, rng),
            Initializer::GlorotNormal => scaled_normal(2.0 / (fan_in + fan_out), n, rng),
            Initializer::HeNormal => scaled_normal(2.0 / fan_in, n, rng),
            Initializer::LecunNormal => scaled_normal(1.0 / fan_in, n, rng),
            Initializer::Orthogonal { gain } => orthogonal(gain, shape, rng),
            Initializer::Identity { gain } => {
                let (rows, cols) = shape.as_matrix();
                let mut values = vec![0.0; n];
                (0..rows.min(cols)).for_each(|i| values[i * cols + i] = gain);
                values
            }
        })
    }

    /// Whether the rule's own numbers and the shape make sense.
    fn validate(self, shape: Shape) -> Result<()> {
        let (problem, hint) = match self {
            Initializer::RandomUniform { minval, maxval }
                if !(minval <= maxval && (maxval - minval).is_finite()) =>
            {
                (format!("minval {minval}, maxval {maxval}"), "give finite bounds, the smaller one first")
            }
            Initializer::RandomNormal { mean, stddev } | Initializer::TruncatedNormal { mean, stddev }
                if !(stddev >= 0.0 && stddev.is_finite() && mean.is_finite()) =>
            {
                (format!("mean {mean}, stddev {stddev}"), "give a finite mean and a deviation of 0 or more")
            }
            Initializer::Constant(x)
            | Initializer::Orthogonal { gain: x }
            | Initializer::Identity { gain: x }
                if !x.is_finite() =>
            {
                (format!("value {x}"), "give a finite number")
            }
            Initializer::Orthogonal { .. } if shape.rank() < 2 => (
                format!("a parameter of shape {shape}"),
                "use it for matrices and larger; a vector can be `zeros`",
            ),
            Initializer::Identity { .. } if shape.rank() != 2 => {
                (format!("a parameter of shape {shape}"), "use it for matrices; kernels can be `orthogonal`")
            }
            _ => return Ok(()),
        };
        Err(Error::invalid(format!("initializer `{self}` cannot draw with {problem}"), hint))
    }
}

/// `(fan_in, fan_out)`, at least 1 each. The dimensions before the last two are a convolution's receptive field: every
/// output sums all of it, and every input reaches as many outputs.
fn fans(shape: Shape) -> (f64, f64) {
    let (fan_in, fan_out) = match *shape.dims() {
        [] => (1, 1),
        [n] => (n, n),
        [ref field @ .., fan_in, fan_out] => {
            let field: usize = field.iter().product();
            (field * fan_in, field * fan_out)
        }
    };
    (fan_in.max(1) as f64, fan_out.max(1) as f64)
}

fn truncated_normal(mean: f64, stddev: f64, n: usize, rng: &mut Rng) -> Vec<f64> {
    let mut within_two = || loop {
        let z = rng.normal();
        if z.abs() <= 2.0 {
            return z;
        }
    };
    (0..n).map(|_| mean + stddev * within_two()).collect()
}

/// A truncated normal that has this variance after truncation.
fn scaled_normal(variance: f64, n: usize, rng: &mut Rng) -> Vec<f64> {
    truncated_normal(0.0, variance.sqrt() / TRUNCATED_STDDEV, n, rng)
}

/// The Q of the QR decomposition of a Gaussian matrix, with a positive diagonal in R: every orthogonal matrix is equally
/// likely (Stewart 1980). Gram and Schmidt's way: each new random vector loses its part along all before it. A second
/// pass takes away what rounding left of it (Giraud et al. 2005, "twice is enough").
fn orthogonal(gain: f64, shape: Shape, rng: &mut Rng) -> Vec<f64> {
    let (rows, cols) = shape.as_matrix();
    let (count, length) = (rows.min(cols), rows.max(cols));
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let mut q: Vec<Vec<f64>> = Vec::with_capacity(count); // `count` orthonormal vectors of `length`
    while q.len() < count {
        let mut v: Vec<f64> = (0..length).map(|_| rng.normal()).collect();
        for u in q.iter().chain(&q) {
            let along = dot(u, &v);
            v.iter_mut().zip(u).for_each(|(v, u)| *v -= along * u); // v = v − (uᵀ v) u
        }
        let norm = dot(&v, &v).sqrt();
        // A vector that all but vanished had no direction of its own: draw another.
        if norm > 1e-6 {
            v.iter_mut().for_each(|v| *v /= norm);
            q.push(v);
        }
    }
    let at = |r: usize, c: usize| if rows < cols { q[r][c] } else { q[c][r] };
    (0..rows * cols).map(|i| gain * at(i / cols, i % cols)).collect()
}

impl FromStr for Initializer {
    type Err = Error;

    fn from_str(name: &str) -> Result<Initializer> {
        Ok(match name {
            "zeros" => Initializer::Zeros,
            "ones" => Initializer::Ones,
            "constant" => Initializer::Constant(0.0),
            "random_uniform" => Initializer::RandomUniform { minval: -0.05, maxval: 0.05 },
            "random_normal" => Initializer::RandomNormal { mean: 0.0, stddev: 0.05 },
            "truncated_normal" => Initializer::TruncatedNormal { mean: 0.0, stddev: 0.05 },
            "glorot_uniform" => Initializer::GlorotUniform,
            "glorot_normal" => Initializer::GlorotNormal,
            "he_uniform" => Initializer::HeUniform,
            "he_normal" => Initializer::HeNormal,
            "lecun_uniform" => Initializer::LecunUniform,
            "lecun_normal" => Initializer::LecunNormal,
            "orthogonal" => Initializer::Orthogonal { gain: 1.0 },
            "identity" => Initializer::Identity { gain: 1.0 },
            _ => return Err(Error::unknown("initializer", name, &Initializer::NAMES)),
        })
    }
}

impl Initializer {
    /// As Keras serialises it: `{"module": "keras.initializers", "class_name": "Constant", "config": {"value": 2.0}, ...}`.
    pub fn to_value(self) -> Value {
        let config = match self {
            Initializer::Constant(value) => record([("value", value.into())]),
            Initializer::RandomUniform { minval, maxval } => {
                record([("minval", minval.into()), ("maxval", maxval.into())])
            }
            Initializer::RandomNormal { mean, stddev } | Initializer::TruncatedNormal { mean, stddev } => {
                record([("mean", mean.into()), ("stddev", stddev.into())])
            }
            Initializer::Orthogonal { gain } | Initializer::Identity { gain } => {
                record([("gain", gain.into())])
            }
            _ => Config::new(),
        };
        object("keras.initializers", &camel_case(&self.to_string()), config)
    }
}

/// By name or as Keras serialises it. A seed is read over: a layer draws from its model's seed.
impl FromValue for Initializer {
    fn from_value(value: &Value) -> Result<Initializer> {
        let (name, config) = class("an initializer", value)?;
        read(&name, &config, |r| {
            ["seed", "input_axes", "output_axes"].into_iter().for_each(|key| r.ignore(key));
            Ok(match snake_case(&name).parse()? {
                Initializer::Constant(value) => Initializer::Constant(r.or("value", value)?),
                Initializer::RandomUniform { minval, maxval } => Initializer::RandomUniform {
                    minval: r.or("minval", minval)?,
                    maxval: r.or("maxval", maxval)?,
                },
                Initializer::RandomNormal { mean, stddev } => {
                    Initializer::RandomNormal { mean: r.or("mean", mean)?, stddev: r.or("stddev", stddev)? }
                }
                Initializer::TruncatedNormal { mean, stddev } => Initializer::TruncatedNormal {
                    mean: r.or("mean", mean)?,
                    stddev: r.or("stddev", stddev)?,
                },
                Initializer::Orthogonal { gain } => Initializer::Orthogonal { gain: r.or("gain", gain)? },
                Initializer::Identity { gain } => Initializer::Identity { gain: r.or("gain", gain)? },
                plain => plain,
            })
        })
    }
}

impl fmt::Display for Initializer {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Initializer::Zeros => "zeros",
            Initializer::Ones => "ones",
            Initializer::Constant(_) => "constant",
            Initializer::RandomUniform { .. } => "random_uniform",
            Initializer::RandomNormal { .. } => "random_normal",
            Initializer::TruncatedNormal { .. } => "truncated_normal",
            Initializer::GlorotUniform => "glorot_uniform",
            Initializer::GlorotNormal => "glorot_normal",
            Initializer::HeUniform => "he_uniform",
            Initializer::HeNormal => "he_normal",
            Initializer::LecunUniform => "lecun_uniform",
            Initializer::LecunNormal => "lecun_normal",
            Initializer::Orthogonal { .. } => "orthogonal",
            Initializer::Identity { .. } => "identity",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(init: Initializer, shape: impl Into<Shape>) -> Vec<f64> {
        init.draw(shape.into(), &mut Rng::new(11, 4)).unwrap()
    }

    #[test]
    fn names_come_back() {
        for name in Initializer::NAMES {
            assert_eq!(name.parse::<Initializer>().unwrap().to_string(), name);
        }
        let e = "glorot_unifrom".parse::<Initializer>().unwrap_err();
        assert!(e.hint().unwrap().starts_with("did you mean `glorot_uniform`?"), "{e:?}");
    }

    /// Keras's `compute_fans` for a bias, a dense kernel and convolution kernels.
    #[test]
    fn fans_count_the_receptive_field() {
        assert_eq!(fans(Shape::SCALAR), (1.0, 1.0));
        assert_eq!(fans(Shape::from([7])), (7.0, 7.0));
        assert_eq!(fans(Shape::from([784, 10])), (784.0, 10.0));
        assert_eq!(fans(Shape::from([5, 2, 3])), (10.0, 15.0));
        assert_eq!(fans(Shape::from([3, 3, 32, 64])), (288.0, 576.0));
    }

    /// Mean and variance of every rule within five standard errors, and no value beyond its limit.
    #[test]
    fn moments_and_limits() {
        use Initializer as I;
        let shape = [5, 5, 40, 60]; // fan_in 1000, fan_out 1500
        // (rule, mean, variance, kurtosis μ₄/σ⁴, largest distance from the mean)
        let uniform = 1.8;
        let (normal, truncated, t) = (3.0, 2.37, TRUNCATED_STDDEV);
        let cases = [
            (I::GlorotUniform, 0.0, 2.0 / 2500.0, uniform, (6.0 / 2500f64).sqrt()),
            (I::HeUniform, 0.0, 2.0 / 1000.0, uniform, (6.0 / 1000f64).sqrt()),
            (I::LecunUniform, 0.0, 1.0 / 1000.0, uniform, (3.0 / 1000f64).sqrt()),
            (I::RandomUniform { minval: 1.0, maxval: 3.0 }, 2.0, 1.0 / 3.0, uniform, 1.0),
            (I::GlorotNormal, 0.0, 2.0 / 2500.0, truncated, 2.0 / t * (2.0 / 2500f64).sqrt()),
            (I::HeNormal, 0.0, 2.0 / 1000.0, truncated, 2.0 / t * (2.0 / 1000f64).sqrt()),
            (I::LecunNormal, 0.0, 1.0 / 1000.0, truncated, 2.0 / t * (1.0 / 1000f64).sqrt()),
            (I::TruncatedNormal { mean: 1.0, stddev: 0.5 }, 1.0, (0.5 * t).powi(2), truncated, 1.0),
            (I::RandomNormal { mean: -1.0, stddev: 0.5 }, -1.0, 0.25, normal, 0.5 * 7.0),
        ];
        for (init, mean, variance, kurtosis, limit) in cases {
            let values = draw(init, shape);
            let n = values.len() as f64;
            let m = values.iter().sum::<f64>() / n;
            let v = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
            let far = values.iter().map(|x| (x - mean).abs()).fold(0.0, f64::max);
            assert!((m - mean).abs() <= 5.0 * (variance / n).sqrt(), "{init}: mean {m}");
            assert!(
                (v / variance - 1.0).abs() <= 5.0 * ((kurtosis - 1.0) / n).sqrt(),
                "{init}: variance {v}"
            );
            assert!(far <= limit, "{init}: {far} beyond {limit}");
            assert!(
                init == I::RandomNormal { mean: -1.0, stddev: 0.5 } || far >= 0.99 * limit,
                "{init}: {far}"
            );
        }
    }

    /// QᵀQ = gain² I for tall matrices, QQᵀ for wide ones, and for kernels flattened to [rows, last].
    #[test]
    fn orthogonal_vectors_are_orthonormal() {
        for shape in [vec![6, 6], vec![33, 7], vec![7, 33], vec![1, 1], vec![3, 3, 2, 5], vec![128, 512]] {
            let shape = Shape::new(&shape).unwrap();
            let q = draw(Initializer::Orthogonal { gain: 2.0 }, shape);
            let (rows, cols) = shape.as_matrix();
            let (count, length) = (rows.min(cols), rows.max(cols));
            let at = |v: usize, i: usize| if rows < cols { q[v * cols + i] } else { q[i * cols + v] };
            for a in 0..count {
                for b in 0..=a {
                    let product: f64 = (0..length).map(|i| at(a, i) * at(b, i)).sum();
                    let want = if a == b { 4.0 } else { 0.0 };
                    assert!((product - want).abs() <= 1e-13, "{shape}: vectors {a}, {b}: {product}");
                }
            }
        }
    }

    /// The first column of a random orthogonal matrix points anywhere: its first entry has mean 0 and variance 1/n.
    #[test]
    fn orthogonal_directions_are_uniform() {
        let (n, draws) = (4, 4000);
        let mut rng = Rng::new(2, 0);
        let mut corner =
            || Initializer::Orthogonal { gain: 1.0 }.draw([n, n].into(), &mut rng).unwrap()[n * n - 1];
        let values: Vec<f64> = (0..draws).map(|_| corner()).collect();
        let mean = values.iter().sum::<f64>() / draws as f64;
        let square = values.iter().map(|x| x * x).sum::<f64>() / draws as f64;
        assert!(mean.abs() <= 5.0 * (0.25 / draws as f64).sqrt(), "{mean}");
        // Var(x²) = 3 / (n (n + 2)) − 1/n² = 1/16 for n = 4.
        assert!((square - 0.25).abs() <= 5.0 * (1.0 / 16.0 / draws as f64).sqrt(), "{square}");
    }

    #[test]
    fn fixed_values() {
        assert_eq!(draw(Initializer::Zeros, [2]), [0.0, 0.0]);
        assert_eq!(draw(Initializer::Ones, [2]), [1.0, 1.0]);
        assert_eq!(draw(Initializer::Constant(0.5), [2]), [0.5, 0.5]);
        assert_eq!(draw(Initializer::Identity { gain: 2.0 }, [2, 3]), [2.0, 0.0, 0.0, 0.0, 2.0, 0.0]);
        assert_eq!(draw(Initializer::Identity { gain: 1.0 }, [2, 1]), [1.0, 0.0]);
        assert!(draw(Initializer::Orthogonal { gain: 1.0 }, [0, 3]).is_empty());
    }

    #[test]
    fn nonsense_is_an_error() {
        let fails = |init: Initializer, shape: &[usize]| {
            let shape = Shape::new(shape).unwrap();
            assert!(init.draw(shape, &mut Rng::new(0, 0)).is_err(), "{init:?} {shape}");
        };
        fails(Initializer::Identity { gain: 1.0 }, &[3]);
        fails(Initializer::Identity { gain: 1.0 }, &[3, 3, 3]);
        fails(Initializer::Orthogonal { gain: 1.0 }, &[3]);
        fails(Initializer::Orthogonal { gain: f64::NAN }, &[3, 3]);
        fails(Initializer::RandomUniform { minval: 1.0, maxval: 0.0 }, &[3]);
        fails(Initializer::RandomUniform { minval: 0.0, maxval: f64::INFINITY }, &[3]);
        fails(Initializer::RandomNormal { mean: 0.0, stddev: -1.0 }, &[3]);
        fails(Initializer::TruncatedNormal { mean: f64::NAN, stddev: 1.0 }, &[3]);
        fails(Initializer::Constant(f64::NAN), &[3]);
    }
}
