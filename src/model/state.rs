//! What a model remembers of its training, for files that keep it.

use super::{History, Sequential};
use crate::error::{Error, Result};
use crate::layers::{Layer, Param, Parameters};
use crate::mistakes::Mistake;
use crate::optimizers::Optimizer;

/// An epoch that was left in the middle.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Pause {
    /// How many of its batches are done.
    pub(crate) batch: usize,
    /// How long they took.
    pub(crate) seconds: f64,
    /// What the loss, and then each metric, had added up.
    pub(crate) sums: Vec<Vec<f64>>,
}

/// The counters that address randomness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counters {
    /// Training steps so far, for dropout's noise.
    pub(crate) step: u32,
    /// Epochs so far, for shuffling.
    pub(crate) epoch: u64,
}

impl Sequential {
    /// Every epoch that this model was trained for, over all its `fit`s.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// How many batches of an epoch are done that a callback [paused](crate::callbacks::Flow::Pause); `None` if the last
    /// epoch was ended.
    pub fn paused(&self) -> Option<usize> {
        self.pause.as_ref().map(|pause| pause.batch)
    }

    pub(crate) fn set_history(&mut self, history: History) {
        self.history = history;
    }

    pub(crate) fn pause(&self) -> Option<&Pause> {
        self.pause.as_ref()
    }

    pub(crate) fn set_pause(&mut self, pause: Option<Pause>) {
        self.pause = pause;
    }

    pub(crate) fn counters(&self) -> Counters {
        Counters { step: self.step, epoch: self.epoch }
    }

    pub(crate) fn set_counters(&mut self, counters: Counters) {
        (self.step, self.epoch) = (counters.step, counters.epoch);
    }

    /// Shows every parameter with its layer's name, in the order of [`get_weights`](Sequential::get_weights).
    pub(crate) fn each_param(&mut self, visit: &mut dyn FnMut(&str, &mut Param) -> Result<()>) -> Result<()> {
        self.check_built()?;
        self.nodes.0.iter_mut().try_for_each(|node| node.layer.params(&mut |p| visit(&node.name, p)))
    }

    /// Shows every layer with its name, in order.
    pub(crate) fn each_layer(
        &mut self,
        visit: &mut dyn FnMut(&str, &mut dyn Layer) -> Result<()>,
    ) -> Result<()> {
        self.check_built()?;
        self.nodes.0.iter_mut().try_for_each(|node| visit(&node.name, node.layer.as_mut()))
    }

    /// Forgets what the model was compiled with, and gives the last layer its activation back if the loss had it.
    pub(crate) fn uncompile(&mut self) {
        self.compiled = None;
        if let Some(node) = self.nodes.0.last_mut() {
            node.layer.skip_activation(false);
        }
    }

    /// The same, of a model whose file says that it was compiled, but with something that is not to be had here.
    pub(crate) fn leave_uncompiled(&mut self, why: String) {
        self.uncompile();
        self.why_not_compiled = Some(why);
    }

    /// Why a model from a file is not compiled, though it was when it was saved: the file has a loss, an optimizer or a
    /// metric that this crate does not have. `None` once it is compiled, and where there was nothing to compile.
    pub fn why_not_compiled(&self) -> Option<&str> {
        self.why_not_compiled.as_deref()
    }

    /// The error of a model that is used for what only a compiled one can do.
    pub(super) fn not_compiled(&self) -> Error {
        let model = self.name.clone();
        match &self.why_not_compiled {
            None => Mistake::NotCompiled { model }.into(),
            Some(why) => Error::invalid(
                format!(
                    "the model `{model}` is not compiled, since what its file says cannot be had here: {why}"
                ),
                "call `compile` with a loss, an optimizer and metrics of handgrad's; it predicts without",
            ),
        }
    }

    /// The optimizer, if the model is compiled.
    pub(crate) fn optimizer_mut(&mut self) -> Option<&mut Optimizer> {
        self.compiled.as_mut().map(|c| &mut c.optimizer)
    }

    /// Allocates the optimizer's slots.
    pub(crate) fn build_optimizer(&mut self) -> Result<()> {
        let (device, c) = match (&self.device, &mut self.compiled) {
            (Some(device), Some(c)) => (device, c),
            _ => return Err(self.not_compiled()),
        };
        let nodes: &mut dyn Parameters = &mut self.nodes;
        c.optimizer.build(device, nodes)
    }
}
