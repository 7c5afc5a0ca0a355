//! Using a model: scores on data, and predictions.

use super::train::Batches;
use super::workspace::Step;
use super::{Scores, Sequential};
use crate::activations::Activation;
use crate::data::{Dataset, Features};
use crate::error::{Error, Result};
use crate::metrics::ConfusionCounts;
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
        self.check_built_for(Some(x.sample()))?;
        let last = self.nodes.0.len().saturating_sub(1); // a built model has a layer
        self.outputs_of(last, x)
    }

    /// How often the model takes each class for each, over `data`: a confusion matrix.
    ///
    /// ```
    /// use handgrad::{Sequential, data::{Dataset, Features, Targets}, layers::Dense};
    /// let x = Features::from_rows(&[[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])?;
    /// let data = Dataset::new(x, Targets::labels(vec![0, 1, 1]))?;
    /// let mut model = Sequential::new().with(Dense::new(2));
    /// model.build([2])?;
    /// let counts = model.confusion(&data)?;
    /// assert_eq!(counts.rows().iter().map(|row| row.iter().sum()).collect::<Vec<u64>>(), [1, 2]);
    /// # Ok::<(), handgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`predict`](Sequential::predict) and [`ConfusionCounts::of`].
    pub fn confusion(&mut self, data: &Dataset) -> Result<ConfusionCounts> {
        ConfusionCounts::of(data.y(), &self.predict(data.x())?)
    }

    /// The output of one layer, by its name, for every sample of `x`: `[N, output...]`, on the host. The layer's own
    /// activation is in it, as in [`predict`](Sequential::predict), which is the last layer's output.
    ///
    /// ```
    /// use handgrad::{Activation, Sequential, data::Features, layers::Dense};
    /// let mut model = Sequential::new()
    ///     .with(("hidden", Dense::new(3).activation(Activation::Relu)))
    ///     .with(("answer", Dense::new(1)));
    /// model.build([2])?;
    /// let x = Features::from_rows(&[[0.0, 1.0], [1.0, 0.0]])?;
    /// assert_eq!(model.layer_output("hidden", &x)?.shape().dims(), [2, 3]);
    /// assert_eq!(model.layer_output("answer", &x)?.to_vec(), model.predict(&x)?.to_vec());
    /// # Ok::<(), handgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// No layer has that name; those of [`predict`](Sequential::predict).
    pub fn layer_output(&mut self, layer: &str, x: &Features) -> Result<Tensor> {
        match self.nodes.0.iter().position(|node| node.name == layer) {
            Some(node) => self.outputs_of(node, x),
            None => Err(Error::unknown("layer", layer, &self.layer_names())),
        }
    }

    fn outputs_of(&mut self, node: usize, x: &Features) -> Result<Tensor> {
        x.check()?;
        self.check_built_for(Some(x.sample()))?;
        self.build_for(x.sample())?;
        self.plan_for(32)?;
        let (last, output) = (self.nodes.0.len() - 1, self.nodes.0[node].output);
        let folded = self.compiled.as_ref().map_or(Activation::Linear, |c| c.folded);
        let Some(ws) = &mut self.workspace else {
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
            ws.load_in_rows(x.rows(), part)?;
            ws.forward(&mut self.nodes, n, step)?;
            ws.finish(n, folded)?;
            // The last layer may have left its activation to the loss; `finish` has made up for it.
            let y = if node == last { ws.prediction(n)? } else { ws.output(node, n)? };
            values.extend(y.values()?.iter().map(|&v| v as f32));
        }
        let mut out = Tensor::zeros_f32(Shape::new(output.batched(count).dims())?);
        out.view_mut().write_f32(&values)?;
        Ok(out)
    }
}
