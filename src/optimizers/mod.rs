//! How a gradient changes a weight: one file for each optimizer, equations first.
//!
//! Each step, an [`Algorithm`] turns the step's number and learning rate into a [`Rule`], the device's [`update`] applies
//! it to every trainable parameter, and the [`Optimizer`] around it keeps the slots, clips and counts.
//!
//! [`update`]: crate::Backend::update

mod adadelta;
mod adagrad;
mod adam;
mod adamax;
mod nadam;
mod rmsprop;
mod sgd;

pub use adadelta::Adadelta;
pub use adagrad::Adagrad;
pub use adam::{Adam, AdamW};
pub use adamax::Adamax;
pub use nadam::Nadam;
pub use rmsprop::RmsProp;
pub use sgd::Sgd;

use crate::config::{self, Config, FromValue, class, drop_neutral, object};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::layers::Parameters;
use crate::mistakes::{Mistake, Range};
use crate::schedules::Schedule;
use crate::shape::Shape;
use crate::tensor::Tensor;
use serde_json::Value;
use std::str::FromStr;

/// One step of an optimizer on one parameter, with all that depends on the step's number already worked out.
///
/// w is the value, g the gradient, the slots are the optimizer's memory of this parameter, in the order named.
/// `decay` shrinks the value first: w ← w − decay · w (decoupled weight decay, Loshchilov and Hutter 2017).
/// Formulas are Keras 3's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Update {
    /// Learning rate times weight decay; 0 for none.
    pub decay: f64,
    /// The formula.
    pub rule: Rule,
}

/// The formulas of [`Update`].
///
/// A device may take a running mean below 10⁻³⁰ for 0: no weight can tell.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)] // each variant's formula names its fields
pub enum Rule {
    /// No slot, momentum 0: w ← w − lr g.
    /// Slot m: m ← momentum · m − lr g; w ← w + m, or with nesterov w ← w + momentum · m − lr g.
    Sgd { lr: f64, momentum: f64, nesterov: bool },
    /// Slots v, then m if momentum ≠ 0, then a if centered:
    /// v ← ρ v + (1 − ρ) g²; a ← ρ a + (1 − ρ) g; u = lr g / √(v − a² + ε) (without a²: √(v + ε));
    /// w ← w − u, or with momentum: m ← momentum · m + u; w ← w − m.
    RmsProp { lr: f64, rho: f64, momentum: f64, epsilon: f64, centered: bool },
    /// Slot a: a ← a + g²; w ← w − lr g / √(a + ε).
    Adagrad { lr: f64, epsilon: f64 },
    /// Slots a, d: a ← ρ a + (1 − ρ) g²; u = g √(d + ε) / √(a + ε); d ← ρ d + (1 − ρ) u²; w ← w − lr u.
    Adadelta { lr: f64, rho: f64, epsilon: f64 },
    /// Slots m, v, then s if amsgrad: m ← m + (1 − β₁)(g − m); v ← v + (1 − β₂)(g² − v); s ← max(s, v);
    /// w ← w − alpha m / (√v + ε), or √s with amsgrad. alpha = lr √(1 − β₂ᵗ) / (1 − β₁ᵗ).
    Adam { alpha: f64, beta_1: f64, beta_2: f64, epsilon: f64, amsgrad: bool },
    /// Slots m, u: m ← m + (1 − β₁)(g − m); u ← max(β₂ u, |g|); w ← w − alpha m / (u + ε).
    /// alpha = lr / (1 − β₁ᵗ).
    Adamax { alpha: f64, beta_1: f64, beta_2: f64, epsilon: f64 },
    /// Slots m, v: m ← m + (1 − β₁)(g − m); v ← v + (1 − β₂)(g² − v);
    /// w ← w − lr (from_m m + from_g g) / (√(v from_v) + ε).
    /// from_m = uₜ₊₁ / (1 − Π uᵢ, i ≤ t + 1), from_g = (1 − uₜ) / (1 − Π uᵢ, i ≤ t), from_v = 1 / (1 − β₂ᵗ),
    /// uₜ = β₁ (1 − ½ · 0.96ᵗ).
    Nadam { lr: f64, beta_1: f64, beta_2: f64, epsilon: f64, from_m: f64, from_g: f64, from_v: f64 },
}

impl Rule {
    /// How many slots the rule wants.
    pub fn slots(&self) -> usize {
        match *self {
            Rule::Sgd { momentum, .. } => usize::from(momentum != 0.0),
            Rule::RmsProp { momentum, centered, .. } => {
                1 + usize::from(momentum != 0.0) + usize::from(centered)
            }
            Rule::Adagrad { .. } => 1,
            Rule::Adadelta { .. } | Rule::Adamax { .. } | Rule::Nadam { .. } => 2,
            Rule::Adam { amsgrad, .. } => 2 + usize::from(amsgrad),
        }
    }
}

/// What tells one optimizer from another: its hyperparameters, and the [`Rule`] that they make of a step.
pub trait Algorithm: Send + 'static {
    /// Keras's name for it, in lower case: `adam`.
    fn name(&self) -> &'static str;

    /// The learning rate that it was configured with.
    fn learning_rate(&self) -> &Schedule;

    /// Keras's name for its class: `RMSprop`.
    fn class_name(&self) -> &'static str {
        self.name()
    }

    /// The hyperparameters in Keras's names, without the learning rate; `None` for a user's own algorithm, which
    /// cannot be saved.
    fn config(&self) -> Option<Config> {
        None
    }

    /// Whether the hyperparameters lie in their ranges.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the first that does not.
    fn check(&self) -> Result<()>;

    /// The formula of step `t`, which counts from 1, at learning rate `lr`. Always the same kind of [`Rule`].
    fn rule(&mut self, t: u64, lr: f64) -> Rule;

    /// What every number of every slot starts as; 0 for all but [`Adagrad`].
    fn initial_slot(&self) -> f64 {
        0.0
    }

    /// The weight decay unless the [`Optimizer`] is given one; none for all but [`AdamW`].
    fn weight_decay(&self) -> Option<f64> {
        None
    }
}

/// An [`Algorithm`] at work: with a learning rate, clipping, weight decay, and the slots of a model's parameters.
///
/// Made from an algorithm's configuration, or by name with Keras 3's defaults. The default is RMSprop, as in Keras.
/// A step computes, for every trainable parameter,
///
/// ```text
/// g ← clipped g            by value, by its own norm, or by the norm of all gradients together
/// w ← w − lr λ w           weight decay λ, if there is any
/// w, slots ← rule(w, g, slots)
/// ```
///
/// ```
/// use handgrad::optimizers::{Optimizer, Sgd};
/// let mut sgd = Optimizer::from(Sgd::new().learning_rate(0.1).momentum(0.9)).global_clip_norm(5.0);
/// sgd.set_learning_rate(0.05)?;
/// assert_eq!(sgd.learning_rate_now(), 0.05);
///
/// let adam: Optimizer = "adam".parse()?;
/// assert_eq!(adam.learning_rate_now(), 0.001);
/// let error = "adm".parse::<Optimizer>().err().unwrap();
/// assert!(error.hint().unwrap().starts_with("did you mean `adam`?"));
/// # Ok::<(), handgrad::Error>(())
/// ```
pub struct Optimizer {
    algorithm: Box<dyn Algorithm>,
    learning_rate: Schedule,
    clip_value: Option<f64>,
    clip_norm: Option<f64>,
    global_clip_norm: Option<f64>,
    weight_decay: Option<f64>,
    iterations: u64,
    state: Option<State>,
}

/// By name or as Keras serialises it.
impl FromValue for Optimizer {
    fn from_value(value: &Value) -> Result<Optimizer> {
        let (name, mut config) = class("an optimizer", value)?;
        drop_neutral(
            &mut config,
            &[
                ("use_ema", false.into()),
                ("ema_momentum", 0.99.into()),
                ("ema_overwrite_frequency", Value::Null),
                ("loss_scale_factor", Value::Null),
                ("gradient_accumulation_steps", Value::Null),
            ],
        );
        Optimizer::from_config(&name, &config)
    }
}

/// What building makes.
struct State {
    /// The slots of each parameter; none for those that are not trained.
    slots: Vec<Vec<Tensor>>,
    /// Every parameter's shape, and whether it is trained.
    structure: Vec<(Shape, bool)>,
    /// A squared norm and its rounding error, for clipping.                                                   [2]
    norm: Tensor,
}

impl<A: Algorithm> From<A> for Optimizer {
    fn from(algorithm: A) -> Optimizer {
        Optimizer {
            learning_rate: algorithm.learning_rate().clone(),
            weight_decay: algorithm.weight_decay(),
            algorithm: Box::new(algorithm),
            clip_value: None,
            clip_norm: None,
            global_clip_norm: None,
            iterations: 0,
            state: None,
        }
    }
}

impl Default for Optimizer {
    fn default() -> Optimizer {
        RmsProp::new().into()
    }
}

impl FromStr for Optimizer {
    type Err = Error;

    fn from_str(name: &str) -> Result<Optimizer> {
        Ok(match name.to_lowercase().as_str() {
            "sgd" => Sgd::new().into(),
            "rmsprop" => RmsProp::new().into(),
            "adagrad" => Adagrad::new().into(),
            "adadelta" => Adadelta::new().into(),
            "adam" => Adam::new().into(),
            "adamw" => AdamW::new().into(),
            "adamax" => Adamax::new().into(),
            "nadam" => Nadam::new().into(),
            _ => return Err(Error::unknown("optimizer", name, &Optimizer::NAMES)),
        })
    }
}

impl TryFrom<&str> for Optimizer {
    type Error = Error;

    fn try_from(name: &str) -> Result<Optimizer> {
        name.parse()
    }
}

impl Optimizer {
    /// The names that [`FromStr`] knows, in any case.
    pub const NAMES: [&'static str; 8] =
        ["sgd", "rmsprop", "adagrad", "adadelta", "adam", "adamw", "adamax", "nadam"];

    /// A number, or a schedule.
    pub fn learning_rate(mut self, rate: impl Into<Schedule>) -> Optimizer {
        self.learning_rate = rate.into();
        self
    }

    /// Clips every number of every gradient to ± `limit`. At most one of the three ways to clip can be chosen.
    pub fn clip_value(mut self, limit: f64) -> Optimizer {
        self.clip_value = Some(limit);
        self
    }

    /// Scales each parameter's gradient down to the norm `limit` if it is longer.
    pub fn clip_norm(mut self, limit: f64) -> Optimizer {
        self.clip_norm = Some(limit);
        self
    }

    /// Scales all gradients down by one factor if together they are longer than `limit`
    /// (Pascanu, Mikolov, Bengio 2012).
    pub fn global_clip_norm(mut self, limit: f64) -> Optimizer {
        self.global_clip_norm = Some(limit);
        self
    }

    /// λ: every step first shrinks every trainable parameter by the share lr · λ (Loshchilov, Hutter 2017).
    pub fn weight_decay(mut self, decay: f64) -> Optimizer {
        self.weight_decay = Some(decay);
        self
    }

    /// All that it was made with, in Keras's names and values, with the learning rate or schedule of now; the steps so
    /// far and the slots are not in it.
    ///
    /// # Errors
    /// It is a user's own.
    pub fn config(&self) -> Result<Config> {
        let mut config = self.algorithm.config().ok_or_else(|| {
            Error::invalid(
                format!("the optimizer `{}` cannot be saved: it is your own", self.name()),
                "save the weights alone, with `save_weights`",
            )
        })?;
        let mut set = |name: &str, value: Value| config.insert(name.into(), value);
        set("name", self.name().into());
        set("learning_rate", self.learning_rate.to_value());
        set("weight_decay", self.weight_decay.into());
        set("clipvalue", self.clip_value.into());
        set("clipnorm", self.clip_norm.into());
        set("global_clipnorm", self.global_clip_norm.into());
        Ok(config)
    }

    /// The optimizer of that name, in any case, and configuration.
    ///
    /// ```
    /// use handgrad::Optimizer;
    /// let config = serde_json::json!({"learning_rate": 0.1, "momentum": 0.9});
    /// let sgd = Optimizer::from_config("SGD", config.as_object().unwrap())?;
    /// assert_eq!((sgd.name(), sgd.learning_rate_now()), ("sgd", 0.1));
    /// # Ok::<(), handgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// An unknown name; an unknown entry, with the nearest known one; a value that makes no sense.
    pub fn from_config(name: &str, config: &Config) -> Result<Optimizer> {
        config::read(name, config, |r| {
            r.ignore("name");
            let mut optimizer: Optimizer = match name.to_lowercase().as_str() {
                "sgd" => Sgd::from_config(r)?.into(),
                "rmsprop" => RmsProp::from_config(r)?.into(),
                "adagrad" => Adagrad::from_config(r)?.into(),
                "adadelta" => Adadelta::from_config(r)?.into(),
                "adam" => Adam::from_config(r)?.into(),
                "adamw" => AdamW::from_config(r)?.into(),
                "adamax" => Adamax::from_config(r)?.into(),
                "nadam" => Nadam::from_config(r)?.into(),
                _ => return Err(Error::unknown("optimizer", name, &Optimizer::NAMES)),
            };
            optimizer.weight_decay = r.get("weight_decay")?.or(optimizer.weight_decay);
            optimizer.clip_value = r.get("clipvalue")?;
            optimizer.clip_norm = r.get("clipnorm")?;
            optimizer.global_clip_norm = r.get("global_clipnorm")?;
            optimizer.check()?;
            Ok(optimizer)
        })
    }

    /// As Keras serialises it: `{"module": "keras.optimizers", "class_name": "Adam", "config": {...}, ...}`.
    ///
    /// # Errors
    /// It is a user's own.
    pub fn to_value(&self) -> Result<Value> {
        Ok(object("keras.optimizers", self.algorithm.class_name(), self.config()?))
    }

    /// The algorithm's name: `adam`.
    pub fn name(&self) -> &'static str {
        self.algorithm.name()
    }

    /// How many steps were made.
    pub fn iterations(&self) -> u64 {
        self.iterations
    }

    /// The learning rate of the next step.
    pub fn learning_rate_now(&self) -> f64 {
        self.learning_rate.at(self.iterations)
    }

    /// Whether the learning rate changes by itself from step to step.
    pub fn follows_schedule(&self) -> bool {
        !matches!(self.learning_rate, Schedule::Constant(_))
    }

    /// Another learning rate, or another schedule, from the next step on.
    ///
    /// # Errors
    /// A rate that makes no sense; the old one stays.
    pub fn set_learning_rate(&mut self, rate: impl Into<Schedule>) -> Result<()> {
        let rate = rate.into();
        rate.check()?;
        self.learning_rate = rate;
        Ok(())
    }

    /// Whether all that was configured makes sense; [`build`](Optimizer::build) asks this first.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming what does not: a hyperparameter outside its range, two ways to clip.
    pub fn check(&self) -> Result<()> {
        self.learning_rate.check()?;
        self.algorithm.check()?;
        if let Some(decay) = self.weight_decay {
            not_negative("weight decay", decay)?;
        }
        let clips = [self.clip_value, self.clip_norm, self.global_clip_norm];
        clips.into_iter().flatten().try_for_each(|limit| positive("clipping limit", limit))?;
        if clips.into_iter().flatten().count() > 1 {
            return Err(Error::invalid(
                "more than one way to clip gradients",
                "choose one of clip_value, clip_norm and global_clip_norm",
            ));
        }
        Ok(())
    }

    /// Allocates the slots of `params`. Done once: a second call with the same parameters changes nothing.
    ///
    /// # Errors
    /// Those of [`check`](Optimizer::check); other parameters than those it was built for; no memory.
    pub fn build(&mut self, device: &Device, params: &mut dyn Parameters) -> Result<()> {
        self.check()?;
        let mut structure = Vec::new();
        params.each(&mut |p| {
            structure.push((p.value.shape(), p.trainable));
            Ok(())
        })?;
        match &self.state {
            Some(built) if built.structure == structure => return Ok(()),
            Some(_) => return Err(other_parameters()),
            None => {}
        }
        let count = self.algorithm.rule(1, 0.0).slots();
        let slot = |shape| {
            let mut slot = device.zeros(shape)?;
            device.fill(self.algorithm.initial_slot(), slot.view_mut())?;
            Ok(slot)
        };
        let slots = structure.iter().map(|&(shape, trainable)| {
            let count = if trainable { count } else { 0 };
            (0..count).map(|_| slot(shape)).collect::<Result<Vec<_>>>()
        });
        let slots = slots.collect::<Result<Vec<_>>>()?;
        self.state = Some(State { slots, structure, norm: device.zeros([2].into())? });
        Ok(())
    }

    /// One step: clips the gradients of `params`, in place, and moves every trainable one of them.
    ///
    /// # Errors
    /// It was not built, or for other parameters; those of the device.
    pub fn step(&mut self, device: &Device, params: &mut dyn Parameters) -> Result<()> {
        let lr = self.learning_rate_now();
        let rule = self.algorithm.rule(self.iterations + 1, lr);
        let update = Update { decay: lr * self.weight_decay.unwrap_or(0.0), rule };
        self.clip(device, params)?;
        let state = self.state.as_mut().ok_or_else(not_built)?;
        let mut i = 0;
        params.each(&mut |p| {
            let built = state.structure.get(i).is_some_and(|&s| s == (p.value.shape(), p.trainable));
            let slots = state.slots.get_mut(i).filter(|_| built).ok_or_else(other_parameters)?;
            i += 1;
            match p.trainable {
                true => device.update(&update, p.value.view_mut(), p.grad.view(), slots),
                false => Ok(()),
            }
        })?;
        self.iterations += 1;
        Ok(())
    }

    /// Clips the gradients of all trainable parameters, in place.
    fn clip(&mut self, device: &Device, params: &mut dyn Parameters) -> Result<()> {
        let norm = &mut self.state.as_mut().ok_or_else(not_built)?.norm;
        if let Some(limit) = self.clip_value {
            params.each(&mut |p| match p.trainable {
                true => device.clamp(-limit, limit, p.grad.view_mut()), //           −limit ≤ g ≤ limit
                false => Ok(()),
            })?;
        }
        if let Some(limit) = self.clip_norm {
            params.each(&mut |p| {
                if p.trainable {
                    device.fill(0.0, norm.view_mut())?;
                    device.accumulate_squares(p.grad.view(), norm.view_mut())?; //   |g|² of this one
                    device.limit_norm(limit, norm.view(), p.grad.view_mut())?; //    g · min(1, limit / |g|)
                }
                Ok(())
            })?;
        }
        if let Some(limit) = self.global_clip_norm {
            device.fill(0.0, norm.view_mut())?;
            params.each(&mut |p| match p.trainable {
                true => device.accumulate_squares(p.grad.view(), norm.view_mut()), // |g|² of all
                false => Ok(()),
            })?;
            params.each(&mut |p| match p.trainable {
                true => device.limit_norm(limit, norm.view(), p.grad.view_mut()), // each · min(1, limit / |g|)
                false => Ok(()),
            })?;
        }
        Ok(())
    }

    /// The slots, parameter after parameter in the model's order: with [`iterations`](Optimizer::iterations), all that
    /// a step remembers. Empty before it is built.
    pub fn slots(&self) -> impl Iterator<Item = &Tensor> {
        self.state.iter().flat_map(|s| s.slots.iter().flatten())
    }

    /// How many slots each trained parameter has: the next step's rule says so, and Nadam, which remembers the step that
    /// it was asked for last, goes on from there.
    pub(crate) fn slots_each(&mut self) -> usize {
        self.algorithm.rule(self.iterations + 1, 0.0).slots()
    }

    /// Goes on after `iterations` steps, with slots that the caller fills, in the order of
    /// [`slots`](Optimizer::slots).
    pub(crate) fn resume(&mut self, iterations: u64) -> impl Iterator<Item = &mut Tensor> {
        self.iterations = iterations;
        self.state.iter_mut().flat_map(|s| s.slots.iter_mut().flatten())
    }

    /// Takes training up where it was left: `iterations` steps done, with these slots, in the order of
    /// [`slots`](Optimizer::slots).
    ///
    /// # Errors
    /// It was not built, or has other slots.
    pub fn restore(&mut self, iterations: u64, slots: &[Vec<f64>]) -> Result<()> {
        let state = self.state.as_mut().ok_or_else(not_built)?;
        let lengths = state.slots.iter().flatten().map(|slot| slot.shape().len());
        if !lengths.eq(slots.iter().map(Vec::len)) {
            return Err(other_parameters());
        }
        self.iterations = iterations;
        state.slots.iter_mut().flatten().zip(slots).try_for_each(|(slot, saved)| slot.view_mut().write(saved))
    }
}

fn not_built() -> Error {
    Error::invalid(
        "the optimizer is used before it is built",
        "call `build` with the model's parameters first",
    )
}

fn other_parameters() -> Error {
    Error::invalid(
        "the optimizer was built for other parameters, or some were frozen or thawed since",
        "give each model an optimizer of its own, and a new one after a change: call `compile` again",
    )
}

/// Hyperparameters that share out: 0 ≤ value < 1.
fn fraction(name: &'static str, value: f64) -> Result<()> {
    match (0.0..1.0).contains(&value) {
        true => Ok(()),
        false => Err(Mistake::Hyperparameter { name, value, range: Range::Fraction }.into()),
    }
}

/// Hyperparameters that divide or limit: 0 < value < ∞.
fn positive(name: &'static str, value: f64) -> Result<()> {
    match value > 0.0 && value.is_finite() {
        true => Ok(()),
        false => Err(Mistake::Hyperparameter { name, value, range: Range::Positive }.into()),
    }
}

/// Hyperparameters that may be off: 0 ≤ value < ∞.
fn not_negative(name: &'static str, value: f64) -> Result<()> {
    match value >= 0.0 && value.is_finite() {
        true => Ok(()),
        false => Err(Mistake::Hyperparameter { name, value, range: Range::NotNegative }.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_is_refused() {
        let nonsense: [Optimizer; 14] = [
            Sgd::new().learning_rate(-0.1).into(),
            Sgd::new().learning_rate(f64::NAN).into(),
            Sgd::new().momentum(1.0).into(),
            Sgd::new().momentum(-0.1).into(),
            RmsProp::new().rho(f64::NAN).into(),
            RmsProp::new().epsilon(0.0).into(),
            Adagrad::new().initial_accumulator_value(-1.0).into(),
            Adadelta::new().rho(1.5).into(),
            Adam::new().beta_1(1.0).into(),
            AdamW::new().adam(Adam::new().beta_2(-0.5)).into(),
            Nadam::new().beta_2(1.0).into(),
            Optimizer::default().weight_decay(-1e-4),
            Optimizer::default().clip_norm(0.0),
            Optimizer::default().clip_norm(1.0).clip_value(0.5),
        ];
        for optimizer in nonsense {
            let e = optimizer.check().unwrap_err();
            assert!(e.hint().is_some(), "{}: {e}", optimizer.name());
        }
        for name in Optimizer::NAMES {
            let optimizer: Optimizer = name.to_uppercase().parse().unwrap();
            assert_eq!(optimizer.name(), name);
            optimizer.check().unwrap();
        }
        assert_eq!(Optimizer::default().name(), "rmsprop");
    }
}
