//! Using a model: scores on data, and predictions.

use super::train::Batches;
use super::workspace::Step;
use super::{Scores, Sequential};
use crate::activations::Activation;
use crate::data::{Dataset, Features};
use crate::error::{Error, Result};
use crate::shape::Shape;
use crate::tensor::Tensor;

impl Sequential {
    /// The loss and the metrics over `data`, in batches of `batch_size`.
    ///
    /// # Errors
    /// The model is not compiled; the data does not fit it.
    pub fn evaluate(&mut self, data: &Dataset, batch_size: usize) -> Result<Scores> {
        self.prepare(data, batch_size)?;
        let mut batches = Batches::new(data, 0..data.len(), None);
        self.evaluate_batches(&mut batches, batch_size)
    }

    pub(super) fn evaluate_batches(&mut self, batches: &mut Batches, batch_size: usize) -> Result<Scores> {
        let mut p = self.parts()?;
        let step = Step { seed: 0, number: 0, training: false };
        p.reset()?;
        let mut at = 0;
        while let Some(n) = batches.load(p.device, p.ws, p.c.loss, at, batch_size)? {
            p.ws.forward(p.nodes, n, step)?;
            p.ws.loss(n, p.c.computed)?;
            p.ws.finish(n, p.c.folded)?;
            p.measure(n, batches.weighted())?;
            at += n;
        }
        p.scores()
    }

    /// The model's output for every sample of `x`: `[N, output...]`, on the host. In batches of 32 at least.
    ///
    /// # Errors
    /// The model is not built, or not for samples of this shape.
    pub fn predict(&mut self, x: &Features) -> Result<Tensor> {
        x.check()?;
        self.check_built_for(Some(x.sample()))?;
        let Some(output) = self.output_shape() else { return Err(self.not_built(None)) };
        self.build_for(x.sample())?;
        self.plan_for(32)?;
        let folded = self.compiled.as_ref().map_or(Activation::Linear, |c| c.folded);
        let (Some(device), Some(ws)) = (&self.device, &mut self.workspace) else {
            return Err(self.not_built(None));
        };
        let count = x.len();
        if u32::try_from(count).is_err() {
            return Err(Error::data("more than 2³² samples", "predict them in parts"));
        }
        let order: Vec<u32> = (0..count as u32).collect();
        let step = Step { seed: 0, number: 0, training: false };
        let mut values = Vec::with_capacity(count * output.len());
        for part in order.chunks(ws.max_batch) {
            let n = part.len();
            device.load_rows(x.rows(), part, ws.input(n)?)?;
            ws.forward(&mut self.nodes, n, step)?;
            ws.finish(n, folded)?;
            let prediction = ws.prediction(n)?.values()?;
            values.extend(prediction.iter().map(|&v| v as f32));
        }
        let mut out = Tensor::zeros_f32(Shape::new(output.batched(count).dims())?);
        out.view_mut().write_f32(&values)?;
        Ok(out)
    }
}
