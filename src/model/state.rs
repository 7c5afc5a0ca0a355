//! What a model keeps, for files that keep it too.

use super::Sequential;
use crate::error::{Error, Result};
use crate::layers::{Layer, Parameters};
use crate::optimizers::Optimizer;

impl Sequential {
    /// Shows every layer with its name to `visit`, in order.
    ///
    /// # Errors
    /// The model is not built; those of `visit`.
    pub(crate) fn each_layer(
        &mut self,
        visit: &mut dyn FnMut(&str, &mut dyn Layer) -> Result<()>,
    ) -> Result<()> {
        self.check_built()?;
        self.nodes.0.iter_mut().try_for_each(|node| visit(&node.name, node.layer.as_mut()))
    }

    /// The optimizer, if the model is compiled.
    pub(crate) fn optimizer_mut(&mut self) -> Option<&mut Optimizer> {
        self.compiled.as_mut().map(|c| &mut c.optimizer)
    }

    /// Allocates the optimizer's slots.
    pub(crate) fn build_optimizer(&mut self) -> Result<()> {
        let (device, c) = match (&self.device, &mut self.compiled) {
            (Some(device), Some(c)) => (device, c),
            _ => return Err(Error::invalid("the model is not compiled", "call `compile` first")),
        };
        let nodes: &mut dyn Parameters = &mut self.nodes;
        c.optimizer.build(device, nodes)
    }

    /// Forgets what the model was compiled with.
    pub(crate) fn uncompile(&mut self) {
        self.compiled = None;
    }
}
