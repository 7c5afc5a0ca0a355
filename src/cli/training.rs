//! Training, from a model to its figures: what `train`, on presets and on own data, and `replay` share.

use super::keep::{self, Interrupt, Kept};
use super::own::NOTE;
use super::say;
use handgrad::callbacks::{Callback, EarlyStopping, TerminateOnNan};
use handgrad::data::{Dataset, Input, Meaning, Output};
use handgrad::mistakes::Mistake;
use handgrad::model::{Compile, Fit, History, Scores};
use handgrad::presets::{Keep, Parts, Preset};
use handgrad::{Device, Error, Optimizer, Result, Sequential};

/// A preset to train, and how.
pub(super) struct Training<'a> {
    pub(super) preset: &'a Preset,
    pub(super) data: &'a Parts,
    pub(super) device: &'a Device,
    /// A new optimizer for each model.
    pub(super) optimizer: &'a dyn Fn() -> Result<Optimizer>,
    pub(super) plan: Plan,
    pub(super) seed: u64,
}

/// What came of it.
pub(super) struct Trained {
    /// With folds, the last fold's.
    pub(super) model: Sequential,
    /// The same.
    pub(super) history: History,
    /// The epoch whose weights the model has, from 0; `None` for the last.
    pub(super) best: Option<usize>,
    /// What was lowest then.
    monitor: &'static str,
    /// Each fold's figures on the samples that it was not trained on.
    pub(super) folds: Vec<Scores>,
    pub(super) test: Option<Scores>,
    /// Ctrl-C ended it before its time.
    pub(super) interrupted: bool,
}

impl Training<'_> {
    /// The model, ready to train.
    pub(super) fn model(&self) -> Result<Sequential> {
        let mut model = (self.preset.model)().seed(self.seed).device(self.device);
        model.build(self.data.train.sample_shape())?;
        let compile = Compile::new(self.preset.loss).optimizer((self.optimizer)()?).metric("accuracy");
        model.compile(compile)?;
        if let Some(collection) = self.preset.source.collection() {
            let names = collection.classes.iter().map(|name| name.to_string()).collect();
            let output = Output::Classes { target: "class".into(), names };
            let shape = self.data.train.sample_shape(); // [height, width] or [height, width, channels]
            let [height, width, channels] =
                [0, 1, 2].map(|axis| shape.dims().get(axis).copied().unwrap_or(1));
            let input = Input::Pictures { height, width, channels };
            model.set_note(NOTE, Meaning { input, output }.to_json()?);
        }
        Ok(model)
    }

    /// Trains, in folds if the preset has such, with these callbacks besides, and `kept` if a folder keeps it.
    pub(super) fn run(
        &self,
        callbacks: &mut [Box<dyn Callback>],
        kept: Option<&mut Kept>,
    ) -> Result<Trained> {
        let data = self.data;
        let mut trained = match self.preset.folds {
            0 => fit(self.model()?, &self.plan, &data.train, data.validation.as_ref(), callbacks, kept)?,
            k => self.cross_validate(k)?,
        };
        trained.test = match &data.test {
            Some(test) if trained.folds.is_empty() && !trained.interrupted => {
                Some(trained.model.evaluate(test, self.plan.batch_size)?)
            }
            _ => None,
        };
        Ok(trained)
    }

    fn cross_validate(&self, k: usize) -> Result<Trained> {
        let mut folds = Vec::new();
        let mut last = None;
        for (i, (train, test)) in self.data.train.k_fold(k, self.seed, true)?.enumerate() {
            let mut trained = fit(self.model()?, &self.plan, &train, None, &mut [], None)?;
            let scores = trained.model.evaluate(&test, 512)?; // how many together changes no figure
            if self.plan.verbose > 0 {
                say(format!("Fold {}/{k}  {}", i + 1, scores.line()))?;
            }
            folds.push(scores);
            last = Some(trained);
        }
        let Some(last) = last else { return Err(Error::invalid("no folds", "give at least 2")) };
        Ok(Trained { folds, ..last })
    }
}

/// How to train a model, whatever it is of.
#[derive(Clone, Copy)]
pub(super) struct Plan {
    pub(super) keep: Keep,
    pub(super) epochs: usize,
    pub(super) batch_size: usize,
    pub(super) verbose: u8,
}

/// Trains `model`, which is compiled, with these callbacks besides; where `kept` kept a training before, that one's
/// model goes on in its place.
pub(super) fn fit(
    mut model: Sequential,
    plan: &Plan,
    train: &Dataset,
    validation: Option<&Dataset>,
    callbacks: &mut [Box<dyn Callback>],
    kept: Option<&mut Kept>,
) -> Result<Trained> {
    let monitor = if validation.is_some() { "val_loss" } else { "loss" };
    let (mut guard, mut keeper) = (TerminateOnNan::new(), plan.keep.keeper(monitor));
    let mut interrupt = kept.as_ref().map(|_| Interrupt::new()).transpose()?;
    let fit = Fit::new().epochs(plan.epochs).batch_size(plan.batch_size).verbose(plan.verbose);
    let mut fit = fit.callback(&mut guard);
    if let Some(validation) = validation {
        fit = fit.validation(validation);
    }
    if let Some(keeper) = &mut keeper {
        fit = fit.callback(keeper);
    }
    for callback in callbacks {
        fit = fit.callback(callback.as_mut());
    }
    if let Some(interrupt) = &mut interrupt {
        fit = fit.callback(interrupt);
    }
    if let Some(kept) = kept {
        if let Some((before, resume)) = kept.before.take() {
            model = before;
            fit = fit.resume(resume);
        }
        fit = fit.checkpoints(&mut kept.checkpoints);
    }
    let learning_rate = model.learning_rate()?;
    model.fit(train, fit)?;
    let history = model.history().clone();
    if let Some(epoch) = history.get("loss").iter().position(|loss| !loss.is_finite()) {
        return Err(Mistake::Diverged { epoch: epoch + 1, learning_rate }.into());
    }
    let ended = keeper.as_ref().is_some_and(|k| k.stopped_epoch().is_some());
    let interrupted = interrupt.is_some() && keep::asked() && history.epochs.len() < plan.epochs && !ended;
    let best = keeper.as_ref().and_then(EarlyStopping::best_epoch);
    let monitor = if validation.is_some() { "validation loss" } else { "loss" };
    Ok(Trained { model, history, best, monitor, folds: Vec::new(), test: None, interrupted })
}

impl Trained {
    /// Says which weights the model has, if not the last.
    pub(super) fn say_which(&self) -> Result<()> {
        let Some(best) = self.best else { return Ok(()) };
        let (last, best, monitor) = (self.history.epochs.len(), best + 1, self.monitor);
        say(format!(
            "Ended with epoch {last}; the weights are those of epoch {best}, with the lowest {monitor}."
        ))
    }

    /// A figure (`loss`, `accuracy`) of a part (`training`, `validation`, `test`), if it was measured: training over
    /// the last epoch, the others with the weights that were kept; with folds, validation is the mean over them.
    pub(super) fn figure(&self, part: &str, name: &str) -> Option<f64> {
        match part {
            "training" => self.history.last(name),
            "test" => self.test.as_ref()?.get(name),
            _ if !self.folds.is_empty() => {
                let all: Option<Vec<f64>> = self.folds.iter().map(|scores| scores.get(name)).collect();
                all.map(|all| all.iter().sum::<f64>() / all.len() as f64)
            }
            _ => {
                let kept = self.best.unwrap_or(self.history.epochs.len().checked_sub(1)?);
                self.history.epochs.get(kept)?.scores.get(&format!("val_{name}"))
            }
        }
    }
}
