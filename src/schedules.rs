//! Learning rates that change from step to step.
//!
//! With step s = 0, 1, 2 ..., initial rate η₀ and p = s / decay_steps (with `staircase`, ⌊p⌋):
//!
//! | schedule | rate at step s |
//! |---|---|
//! | ExponentialDecay | η₀ · decay_rateᵖ |
//! | InverseTimeDecay | η₀ / (1 + decay_rate · p) |
//! | PolynomialDecay | end + (η₀ − end) (1 − min(p, 1))^power; with `cycle`, decay_steps grows to the next multiple above s |
//! | PiecewiseConstantDecay | values\[i\], i = how many boundaries are smaller than s |
//! | CosineDecay | η₀ ((1 − α) ½ (1 + cos π min(p, 1)) + α), after a linear warmup if there is one |
//! | CosineDecayRestarts | the same, starting over after first_decay_steps, ·t_mul, ·t_mul² ...; the i-th restart scaled by m_mulⁱ |
//!
//! Formulas, names and defaults are Keras 3's; CosineDecay and its restarts are Loshchilov and Hutter 2016 (SGDR).
//! The `decay` that SGD took in older courses is `InverseTimeDecay` with `decay_steps: 1` and `decay_rate: decay`.

use crate::config::{FromValue, class, object, read, record};
use crate::error::{Error, Result};
use serde_json::Value;
use std::f64::consts::PI;

/// A learning rate as a function of the step; see the [module](self) for the equations.
///
/// A number is a schedule too: `Sgd::new().learning_rate(0.1)`.
///
/// ```
/// use handgrad::schedules::Schedule;
/// let decay = Schedule::InverseTimeDecay { initial: 0.1, decay_steps: 1, decay_rate: 0.01, staircase: false };
/// assert_eq!(decay.at(0), 0.1);
/// assert_eq!(decay.at(100), 0.05);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum Schedule {
    /// The same at every step.
    Constant(f64),
    /// Falls by the factor `decay_rate` every `decay_steps`.
    ExponentialDecay {
        /// The rate at step 0.
        initial: f64,
        /// How many steps one unit of decay takes.
        decay_steps: u64,
        /// The factor.
        decay_rate: f64,
        /// Whether to fall in jumps, once in `decay_steps`.
        staircase: bool,
    },
    /// Falls like 1 / s.
    InverseTimeDecay {
        /// The rate at step 0.
        initial: f64,
        /// How many steps one unit of decay takes.
        decay_steps: u64,
        /// What one unit adds to the denominator.
        decay_rate: f64,
        /// Whether to fall in jumps, once in `decay_steps`.
        staircase: bool,
    },
    /// Falls from `initial` to `end` in `decay_steps`, in a straight line if `power` is 1.
    PolynomialDecay {
        /// The rate at step 0.
        initial: f64,
        /// How many steps the fall takes.
        decay_steps: u64,
        /// The rate afterwards; 0.0001 in Keras.
        end: f64,
        /// The exponent; 1 in Keras.
        power: f64,
        /// Whether to start again, from lower, after the end.
        cycle: bool,
    },
    /// Steps down (or up) at given steps.
    PiecewiseConstantDecay {
        /// The last step of each value but the last, rising.
        boundaries: Vec<u64>,
        /// The rates, one more than there are boundaries.
        values: Vec<f64>,
    },
    /// Falls along half a cosine, after an optional warmup.
    CosineDecay {
        /// The rate at step 0.
        initial: f64,
        /// How many steps the fall takes, after the warmup.
        decay_steps: u64,
        /// The share of the rate that is left at the end; 0 in Keras.
        alpha: f64,
        /// Where the warmup leads in a straight line, and the fall starts; without it there is no warmup.
        warmup_target: Option<f64>,
        /// How many steps the warmup takes.
        warmup_steps: u64,
    },
    /// Falls along half a cosine, again and again.
    CosineDecayRestarts {
        /// The rate at step 0.
        initial: f64,
        /// How many steps the first fall takes.
        first_decay_steps: u64,
        /// How much longer each fall is than the one before; 2 in Keras.
        t_mul: f64,
        /// How much higher each fall starts than the one before; 1 in Keras.
        m_mul: f64,
        /// The share of the rate that is left at the end of a fall; 0 in Keras.
        alpha: f64,
    },
}

impl Schedule {
    /// As Keras serialises it: a number, or an object of `keras.optimizers.schedules`.
    pub fn to_value(&self) -> Value {
        let initial_rate = |rate: f64| ("initial_learning_rate", rate.into());
        let (class, config) = match *self {
            Schedule::Constant(rate) => return rate.into(),
            Schedule::ExponentialDecay { initial, decay_steps, decay_rate, staircase }
            | Schedule::InverseTimeDecay { initial, decay_steps, decay_rate, staircase } => (
                match self {
                    Schedule::ExponentialDecay { .. } => "ExponentialDecay",
                    _ => "InverseTimeDecay",
                },
                record([
                    initial_rate(initial),
                    ("decay_steps", decay_steps.into()),
                    ("decay_rate", decay_rate.into()),
                    ("staircase", staircase.into()),
                ]),
            ),
            Schedule::PolynomialDecay { initial, decay_steps, end, power, cycle } => (
                "PolynomialDecay",
                record([
                    initial_rate(initial),
                    ("decay_steps", decay_steps.into()),
                    ("end_learning_rate", end.into()),
                    ("power", power.into()),
                    ("cycle", cycle.into()),
                ]),
            ),
            Schedule::PiecewiseConstantDecay { ref boundaries, ref values } => (
                "PiecewiseConstantDecay",
                record([("boundaries", boundaries.as_slice().into()), ("values", values.as_slice().into())]),
            ),
            Schedule::CosineDecay { initial, decay_steps, alpha, warmup_target, warmup_steps } => (
                "CosineDecay",
                record([
                    initial_rate(initial),
                    ("decay_steps", decay_steps.into()),
                    ("alpha", alpha.into()),
                    ("warmup_target", warmup_target.into()),
                    ("warmup_steps", warmup_steps.into()),
                ]),
            ),
            Schedule::CosineDecayRestarts { initial, first_decay_steps, t_mul, m_mul, alpha } => (
                "CosineDecayRestarts",
                record([
                    initial_rate(initial),
                    ("first_decay_steps", first_decay_steps.into()),
                    ("t_mul", t_mul.into()),
                    ("m_mul", m_mul.into()),
                    ("alpha", alpha.into()),
                ]),
            ),
        };
        object("keras.optimizers.schedules", class, config)
    }

    /// The rate at step `step`; the first step is 0.
    pub fn at(&self, step: u64) -> f64 {
        let s = step as f64;
        let progress = |decay_steps: u64, staircase: bool| {
            let p = s / decay_steps as f64;
            if staircase { p.floor() } else { p }
        };
        let cosine = |p: f64| 0.5 * (1.0 + (PI * p).cos());
        match *self {
            Schedule::Constant(rate) => rate,
            Schedule::ExponentialDecay { initial, decay_steps, decay_rate, staircase } => {
                initial * decay_rate.powf(progress(decay_steps, staircase))
            }
            Schedule::InverseTimeDecay { initial, decay_steps, decay_rate, staircase } => {
                initial / (1.0 + decay_rate * progress(decay_steps, staircase))
            }
            Schedule::PolynomialDecay { initial, decay_steps, end, power, cycle } => {
                let cycles = if cycle { step.div_ceil(decay_steps).max(1) } else { 1 };
                let p = (s / (decay_steps as f64 * cycles as f64)).min(1.0);
                end + (initial - end) * (1.0 - p).powf(power)
            }
            Schedule::PiecewiseConstantDecay { ref boundaries, ref values } => {
                values[boundaries.iter().filter(|&&b| b < step).count()]
            }
            Schedule::CosineDecay { initial, decay_steps, alpha, warmup_target, warmup_steps } => {
                let (start, s) = match warmup_target {
                    None => (initial, s),
                    Some(target) if step < warmup_steps => {
                        return initial + (target - initial) * s / warmup_steps as f64;
                    }
                    Some(target) => (target, s - warmup_steps as f64),
                };
                start * ((1.0 - alpha) * cosine((s / decay_steps as f64).min(1.0)) + alpha)
            }
            Schedule::CosineDecayRestarts { initial, first_decay_steps, t_mul, m_mul, alpha } => {
                let p = s / first_decay_steps as f64;
                // The i-th fall, of length t_mulⁱ, starts at 1 + t_mul + ... + t_mulⁱ⁻¹ = (t_mulⁱ − 1) / (t_mul − 1).
                let (restarts, p) = if t_mul == 1.0 {
                    (p.floor(), p.fract())
                } else {
                    let i = ((1.0 + p * (t_mul - 1.0)).ln() / t_mul.ln()).floor();
                    let length = t_mul.powf(i);
                    (i, (p - (length - 1.0) / (t_mul - 1.0)) / length)
                };
                initial * ((1.0 - alpha) * m_mul.powf(restarts) * cosine(p) + alpha)
            }
        }
    }

    /// Whether the rates make sense at every step; an [`Optimizer`](crate::Optimizer) asks before it starts.
    ///
    /// # Errors
    /// A rate or factor that is negative or not a number, a fall that takes no step, boundaries that do not rise or
    /// do not fit the values.
    pub fn check(&self) -> Result<()> {
        let wrong = |problem: String, hint: &str| Err(Error::invalid(problem, hint));
        let numbers: &[(&str, f64)] = match *self {
            Schedule::Constant(rate) => &[("learning rate", rate)],
            Schedule::ExponentialDecay { initial, decay_rate, .. }
            | Schedule::InverseTimeDecay { initial, decay_rate, .. } => {
                &[("initial learning rate", initial), ("decay rate", decay_rate)]
            }
            Schedule::PolynomialDecay { initial, end, power, .. } => {
                &[("initial learning rate", initial), ("end learning rate", end), ("power", power)]
            }
            Schedule::PiecewiseConstantDecay { .. } => &[],
            Schedule::CosineDecay { initial, alpha, warmup_target, .. } => &[
                ("initial learning rate", initial),
                ("alpha", alpha),
                ("warmup target", warmup_target.unwrap_or(0.0)),
            ],
            Schedule::CosineDecayRestarts { initial, t_mul, m_mul, alpha, .. } => {
                &[("initial learning rate", initial), ("t_mul", t_mul), ("m_mul", m_mul), ("alpha", alpha)]
            }
        };
        for &(name, value) in numbers {
            if !(value >= 0.0 && value.is_finite()) {
                return wrong(format!("the {name} is {value}"), "give a number that is 0 or more");
            }
        }
        match self {
            Schedule::ExponentialDecay { decay_steps: 0, .. }
            | Schedule::InverseTimeDecay { decay_steps: 0, .. }
            | Schedule::PolynomialDecay { decay_steps: 0, .. }
            | Schedule::CosineDecay { decay_steps: 0, .. }
            | Schedule::CosineDecayRestarts { first_decay_steps: 0, .. } => {
                wrong("a learning rate that decays within 0 steps".into(), "give at least 1 decay step")
            }
            // Shorter and shorter falls would end after first_decay_steps / (1 − t_mul) steps.
            Schedule::CosineDecayRestarts { t_mul, .. } if *t_mul < 1.0 => wrong(
                format!("t_mul is {t_mul}"),
                "give 1 or more: each fall is at least as long as the last",
            ),
            Schedule::PiecewiseConstantDecay { boundaries, values } => {
                if values.len() != boundaries.len() + 1 {
                    let (b, v) = (boundaries.len(), values.len());
                    return wrong(
                        format!("{b} boundaries and {v} learning rates"),
                        "give one more learning rate than boundaries",
                    );
                }
                if !boundaries.is_sorted_by(|a, b| a < b) {
                    return wrong(format!("the boundaries {boundaries:?} do not rise"), "sort them");
                }
                match values.iter().find(|v| !(**v >= 0.0 && v.is_finite())) {
                    Some(v) => wrong(format!("a learning rate is {v}"), "give numbers that are 0 or more"),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}

impl From<f64> for Schedule {
    fn from(rate: f64) -> Schedule {
        Schedule::Constant(rate)
    }
}

/// The classes of Keras that are schedules.
const CLASSES: [&str; 6] = [
    "ExponentialDecay",
    "InverseTimeDecay",
    "PolynomialDecay",
    "PiecewiseConstantDecay",
    "CosineDecay",
    "CosineDecayRestarts",
];

/// A number, or a schedule as Keras serialises it.
impl FromValue for Schedule {
    fn from_value(value: &Value) -> Result<Schedule> {
        if let Some(rate) = value.as_f64() {
            return Ok(Schedule::Constant(rate));
        }
        let (name, config) = class("a learning rate", value)?;
        read(&name, &config, |r| {
            r.ignore("name");
            Ok(match name.as_str() {
                "PiecewiseConstantDecay" => Schedule::PiecewiseConstantDecay {
                    boundaries: r.need("boundaries")?,
                    values: r.need("values")?,
                },
                "ExponentialDecay" => Schedule::ExponentialDecay {
                    initial: r.need("initial_learning_rate")?,
                    decay_steps: r.need("decay_steps")?,
                    decay_rate: r.need("decay_rate")?,
                    staircase: r.or("staircase", false)?,
                },
                "InverseTimeDecay" => Schedule::InverseTimeDecay {
                    initial: r.need("initial_learning_rate")?,
                    decay_steps: r.need("decay_steps")?,
                    decay_rate: r.need("decay_rate")?,
                    staircase: r.or("staircase", false)?,
                },
                "PolynomialDecay" => Schedule::PolynomialDecay {
                    initial: r.need("initial_learning_rate")?,
                    decay_steps: r.need("decay_steps")?,
                    end: r.or("end_learning_rate", 1e-4)?,
                    power: r.or("power", 1.0)?,
                    cycle: r.or("cycle", false)?,
                },
                "CosineDecay" => Schedule::CosineDecay {
                    initial: r.need("initial_learning_rate")?,
                    decay_steps: r.need("decay_steps")?,
                    alpha: r.or("alpha", 0.0)?,
                    warmup_target: r.get("warmup_target")?,
                    warmup_steps: r.or("warmup_steps", 0)?,
                },
                "CosineDecayRestarts" => Schedule::CosineDecayRestarts {
                    initial: r.need("initial_learning_rate")?,
                    first_decay_steps: r.need("first_decay_steps")?,
                    t_mul: r.or("t_mul", 2.0)?,
                    m_mul: r.or("m_mul", 1.0)?,
                    alpha: r.or("alpha", 0.0)?,
                },
                name => return Err(Error::unknown("learning rate schedule", name, &CLASSES)),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_is_refused() {
        let cosine = |alpha, warmup_target| Schedule::CosineDecay {
            initial: 0.1,
            decay_steps: 10,
            alpha,
            warmup_target,
            warmup_steps: 2,
        };
        assert!(cosine(0.1, Some(0.2)).check().is_ok());
        let piecewise = |boundaries: &[u64], values: &[f64]| Schedule::PiecewiseConstantDecay {
            boundaries: boundaries.to_vec(),
            values: values.to_vec(),
        };
        assert!(piecewise(&[3, 7], &[0.3, 0.2, 0.1]).check().is_ok());
        for schedule in [
            Schedule::Constant(-0.1),
            Schedule::Constant(f64::NAN),
            cosine(f64::INFINITY, None),
            cosine(0.0, Some(f64::NAN)),
            piecewise(&[3, 3], &[0.3, 0.2, 0.1]),
            piecewise(&[3], &[0.3]),
            piecewise(&[3], &[0.3, f64::NAN]),
            Schedule::ExponentialDecay { initial: 0.1, decay_steps: 0, decay_rate: 0.9, staircase: false },
            Schedule::CosineDecayRestarts {
                initial: 0.1,
                first_decay_steps: 5,
                t_mul: 0.5,
                m_mul: 1.0,
                alpha: 0.0,
            },
        ] {
            let e = schedule.check().unwrap_err();
            assert!(e.hint().is_some(), "{schedule:?}: {e}");
        }
    }
}
