//! A preset's training, from its parts to its figures: what `train` and `replay` share.

use super::keep::{self, Interrupt, Kept};
use super::say;
use handgrad::callbacks::{Callback, EarlyStopping, TerminateOnNan};
use handgrad::data::Dataset;
use handgrad::model::{Compile, Fit, History, Scores};
use handgrad::presets::{Keep, Parts, Preset};
use handgrad::{Device, Error, Optimizer, Result, Sequential};

/// What to train, and how.
pub(super) struct Training<'a> {
    pub(super) preset: &'a Preset,
    pub(super) data: &'a Parts,
    pub(super) device: &'a Device,
    /// A new optimizer for each model.
    pub(super) optimizer: &'a dyn Fn() -> Result<Optimizer>,
    pub(super) keep: Keep,
    pub(super) epochs: usize,
    pub(super) batch_size: usize,
    pub(super) seed: u64,
    pub(super) verbose: u8,
}

/// What came of it.
pub(super) struct Trained {
    /// With folds, the last fold's.
    pub(super) model: Sequential,
    /// The same.
    pub(super) history: History,
    /// The epoch whose weights the model has, from 0; `None` for the last.
    pub(super) best: Option<usize>,
    /// Each fold's figures on the samples that it was not trained on.
    pub(super) folds: Vec<Scores>,
    pub(super) test: Option<Scores>,
}

impl Training<'_> {
    /// The model, ready to train.
    pub(super) fn model(&self) -> Result<Sequential> {
        let mut model = (self.preset.model)().seed(self.seed).device(self.device);
        model.build(self.data.train.sample_shape())?;
        let compile = Compile::new(self.preset.loss).optimizer((self.optimizer)()?).metric("accuracy");
        model.compile(compile)?;
        Ok(model)
    }

    /// Trains, in folds if the preset has such, with these callbacks besides, in a folder if one keeps it.
    pub(super) fn run(
        &self,
        callbacks: &mut [Box<dyn Callback>],
        kept: Option<&mut Kept>,
    ) -> Result<Trained> {
        let (data, batch_size) = (self.data, self.batch_size);
        let mut trained = match self.preset.folds {
            0 => self.fit(&data.train, data.validation.as_ref(), callbacks, kept)?,
            k => self.cross_validate(k)?,
        };
        trained.test = match &data.test {
            Some(test) if trained.folds.is_empty() => Some(trained.model.evaluate(test, batch_size)?),
            _ => None,
        };
        Ok(trained)
    }

    fn cross_validate(&self, k: usize) -> Result<Trained> {
        let mut folds = Vec::new();
        let mut last = None;
        for (i, (train, test)) in self.data.train.k_fold(k, self.seed, true)?.enumerate() {
            let mut trained = self.fit(&train, None, &mut [], None)?;
            let scores = trained.model.evaluate(&test, 512)?; // how many together changes no figure
            if self.verbose > 0 {
                say(format!("Fold {}/{k}  {}", i + 1, scores.line()))?;
            }
            folds.push(scores);
            last = Some(trained);
        }
        let Some(last) = last else { return Err(Error::invalid("no folds", "give at least 2")) };
        Ok(Trained { folds, ..last })
    }

    fn fit(
        &self,
        train: &Dataset,
        validation: Option<&Dataset>,
        callbacks: &mut [Box<dyn Callback>],
        mut kept: Option<&mut Kept>,
    ) -> Result<Trained> {
        let (mut model, resume) = match kept.as_mut().and_then(|kept| kept.before.take()) {
            Some((model, resume)) => (model, Some(resume)),
            None => (self.model()?, None),
        };
        let monitor = if validation.is_some() { "val_loss" } else { "loss" };
        let (mut guard, mut keeper) = (TerminateOnNan::new(), self.keep.keeper(monitor));
        let fit = Fit::new().epochs(self.epochs).batch_size(self.batch_size).verbose(self.verbose);
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
        let mut interrupt = kept.as_ref().map(|_| Interrupt::new()).transpose()?;
        if let Some(interrupt) = &mut interrupt {
            fit = fit.callback(interrupt);
        }
        if let Some(kept) = &mut kept {
            fit = fit.checkpoints(&mut kept.checkpoints);
        }
        if let Some(resume) = resume {
            fit = fit.resume(resume);
        }
        model.fit(train, fit)?;
        let history = model.history().clone();
        let ended = keeper.as_ref().is_some_and(|keeper| keeper.stopped_epoch().is_some());
        if let Some(kept) = &kept
            && keep::interrupted(history.epochs.len(), self.epochs, ended)
        {
            kept.how_to_go_on(self.preset.name, history.epochs.len(), model.paused())?;
            std::process::exit(130); // as programs do that Ctrl-C ended
        }
        if let Some(epoch) = history.get("loss").iter().position(|loss| !loss.is_finite()) {
            return Err(Error::data(
                format!("training diverged: in epoch {} the loss is no longer a number", epoch + 1),
                "give a lower --learning-rate, or another --optimizer",
            ));
        }
        let best = keeper.as_ref().and_then(EarlyStopping::best_epoch);
        Ok(Trained { model, history, best, folds: Vec::new(), test: None })
    }
}

impl Trained {
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
