//! The planned memory, and the walk through all layers.
//!
//! Everything that a training step needs is laid out once, for the largest batch: each layer's output, two gradient
//! buffers that take turns, one block of scratch, the batch's targets and losses. Smaller batches use the first rows.
//! After that a step allocates nothing.

use super::Nodes;
use crate::activations::Activation;
use crate::backend::{HostRows, LiveColumns, LossTerm, Target};
use crate::device::Device;
use crate::error::Result;
use crate::layers::{Cx, Plan, Pooled};
use crate::losses::Loss;
use crate::metrics::Mean;
use crate::rng::Noise;
use crate::shape::Shape;
use crate::tensor::{Indices, Tensor, View};

/// Buffers for batches of up to `max_batch` samples.
pub(super) struct Workspace {
    device: Device,
    pub(super) max_batch: usize,
    /// `buffers[0]` is the model's input; the others are outputs of layers.
    buffers: Vec<Tensor>,
    /// Node i reads `buffers[slot[i]]` under the shape `shapes[i]` and writes `buffers[slot[i + 1]]` under
    /// `shapes[i + 1]`. The two are the same buffer where a layer only reshapes.
    slot: Vec<usize>,
    shapes: Vec<Shape>,
    /// Whether the first layer takes its input [in blocks](View::in_blocks), and whether it is now.
    takes_blocks: bool,
    in_blocks: bool,
    /// The columns that it has.
    live: LiveColumns,
    /// Which layers [take along](crate::layers::Layer::takes_relu) the derivative of a relu below them.
    takes_relu: Vec<bool>,
    /// The lowest layer with parameters: below it nobody wants a gradient.
    lowest: usize,
    /// The gradient by a layer's output, and by its input; they swap roles from layer to layer.
    gradients: [Tensor; 2],
    scratch: Tensor,
    /// The output after the activation that the loss has folded in.
    prediction: Tensor,
    /// One loss for each row of the output.
    rows: Tensor,
    /// One weight for each row of the output.
    pub(super) weights: Tensor,
    pub(super) values: Tensor,
    pub(super) labels: Indices,
    /// The loss over the batches so far.
    pub(super) mean_loss: Mean,
}

/// The step's number and seed, which address its noise.
#[derive(Clone, Copy)]
pub(super) struct Step {
    pub(super) seed: u64,
    pub(super) number: u32,
    pub(super) training: bool,
}

impl Step {
    fn noise(self, layer: usize) -> Noise {
        Noise { seed: self.seed, layer: layer as u32, step: self.number }
    }
}

impl Workspace {
    pub(super) fn new(
        device: &Device,
        nodes: &mut Nodes,
        input: Shape,
        max_batch: usize,
    ) -> Result<Workspace> {
        let mut plan = Plan { device, max_batch, scratch: 0 };
        let mut buffers = vec![device.zeros(input.batched(max_batch))?];
        let (mut slot, mut shapes) = (vec![0], vec![input]);
        let (mut lowest, mut largest) = (None, input.len());
        for (i, node) in nodes.0.iter_mut().enumerate() {
            node.layer.plan(&mut plan)?;
            if !node.layer.is_reshape() {
                buffers.push(device.zeros(node.output.batched(max_batch))?);
            }
            slot.push(buffers.len() - 1);
            shapes.push(node.output);
            largest = largest.max(node.output.len());
            node.layer.params(&mut |_| {
                lowest.get_or_insert(i);
                Ok(())
            })?;
        }
        let mut relu = false;
        let mut takes_relu = Vec::with_capacity(nodes.0.len());
        for layer in nodes.0.iter().map(|node| &node.layer) {
            takes_relu.push(relu && layer.takes_relu());
            if !layer.is_reshape() {
                relu = layer.output_activation() == Activation::Relu;
            }
        }
        let mut layers = nodes.0.iter().zip(&shapes);
        let takes_blocks = layers.find(|(node, _)| !node.layer.is_reshape()).is_some_and(|(node, x)| {
            node.layer.takes_blocks() && x.rank() == 1 && device.has_blocks(x.len())
        });
        let output = shapes[shapes.len() - 1].batched(max_batch);
        let rows = Shape::from([output.as_matrix().0]);
        let gradient = || device.zeros(Shape::from([max_batch * largest]));
        Ok(Workspace {
            device: device.clone(),
            max_batch,
            buffers,
            slot,
            shapes,
            takes_blocks,
            in_blocks: false,
            takes_relu,
            live: LiveColumns::default(),
            lowest: lowest.unwrap_or(nodes.0.len()),
            gradients: [gradient()?, gradient()?],
            scratch: device.zeros(Shape::from([plan.scratch]))?,
            prediction: device.zeros(output)?,
            rows: device.zeros(rows)?,
            weights: device.zeros(rows)?,
            values: device.zeros(output)?,
            labels: device.indices(rows)?,
            mean_loss: Mean::new(device)?,
        })
    }

    /// Gathers a batch of samples into the input, as the first layer likes it best.
    pub(super) fn load(&mut self, rows: HostRows, order: &[u32]) -> Result<()> {
        self.load_as(self.takes_blocks, rows, order)
    }

    /// Gathers a batch of samples into the input, which is then what [`output`](Workspace::output) gives for layers
    /// that only reshape it.
    pub(super) fn load_in_rows(&mut self, rows: HostRows, order: &[u32]) -> Result<()> {
        self.load_as(false, rows, order)
    }

    fn load_as(&mut self, in_blocks: bool, rows: HostRows, order: &[u32]) -> Result<()> {
        let x = self.buffers[0].prefix_mut(self.shapes[0].batched(order.len()))?;
        self.in_blocks = in_blocks;
        match in_blocks {
            true => self.device.load_blocks(rows, order, x, &mut self.live),
            false => self.device.load_rows(rows, order, x),
        }
    }

    fn output_shape(&self, n: usize) -> Shape {
        self.shapes[self.shapes.len() - 1].batched(n)
    }

    /// How many rows the output of `n` samples has: n, or more where each sample has an output for each time step.
    pub(super) fn output_rows(&self, n: usize) -> usize {
        self.output_shape(n).as_matrix().0
    }

    /// All layers, first to last, on the first `n` samples of the input.
    pub(super) fn forward(&mut self, nodes: &mut Nodes, n: usize, step: Step) -> Result<()> {
        for (i, node) in nodes.0.iter_mut().enumerate() {
            let (from, to) = (self.slot[i], self.slot[i + 1]);
            if from == to {
                continue; // the layer only reshapes: the next one reads the same buffer
            }
            let (below, above) = self.buffers.split_at_mut(to);
            let x = below[from].prefix(self.shapes[i].batched(n))?;
            let x = if self.in_blocks && from == 0 { x.in_blocks(&self.live)? } else { x };
            let y = above[0].prefix_mut(self.shapes[i + 1].batched(n))?;
            let mut cx = Cx::new(&self.device, step.training, step.noise(i), self.scratch.view_mut());
            node.layer.forward(&mut cx, x, y)?;
        }
        Ok(())
    }

    /// What node `node` gave in the last [`forward`](Workspace::forward).
    pub(super) fn output(&self, node: usize, n: usize) -> Result<View<'_>> {
        self.buffers[self.slot[node + 1]].prefix(self.shapes[node + 1].batched(n))
    }

    /// The model's output after [`finish`](Workspace::finish) or [`backward`](Workspace::backward).
    pub(super) fn prediction(&self, n: usize) -> Result<View<'_>> {
        self.prediction.prefix(self.output_shape(n))
    }

    /// The batch's targets, as `loss` wants them.
    pub(super) fn target(&self, n: usize, sparse: bool) -> Result<Target<'_>> {
        Ok(match sparse {
            true => Target::Labels(self.labels.prefix(Shape::from([self.output_rows(n)]))?),
            false => Target::Values(self.values.prefix(self.output_shape(n))?),
        })
    }

    /// The prediction from the last layer's output: copies it and applies the folded activation.
    pub(super) fn finish(&mut self, n: usize, folded: Activation) -> Result<()> {
        let shape = self.output_shape(n);
        let y = self.buffers[self.buffers.len() - 1].prefix(shape)?;
        let mut prediction = self.prediction.prefix_mut(shape)?;
        self.device.copy(y, prediction.reborrow())?;
        self.device.activate(folded, prediction)
    }

    /// The losses of the batch's rows, into `rows`, without a gradient.
    pub(super) fn loss(&mut self, n: usize, loss: Loss) -> Result<()> {
        let rows = Shape::from([self.output_rows(n)]);
        let last = self.buffers[self.buffers.len() - 1].prefix(self.output_shape(n))?;
        let target = match loss.is_sparse() {
            true => Target::Labels(self.labels.prefix(rows)?),
            false => Target::Values(self.values.prefix(self.output_shape(n))?),
        };
        self.device.loss(loss, last, target, self.rows.prefix_mut(rows)?)
    }

    /// Adds the batch's losses to their mean.
    pub(super) fn add_loss(&mut self, n: usize, weighted: bool) -> Result<()> {
        let rows = Shape::from([self.output_rows(n)]);
        let weights = match weighted {
            true => Some(self.weights.prefix(rows)?),
            false => None,
        };
        self.mean_loss.add(&self.device, self.rows.prefix(rows)?, weights)
    }

    /// The prediction, the losses of the batch's rows, and every parameter's gradient of their weighted mean.
    pub(super) fn backward(
        &mut self,
        nodes: &mut Nodes,
        n: usize,
        step: Step,
        loss: Loss,
        folded: Activation,
        weighted: bool,
    ) -> Result<()> {
        let (shape, count) = (self.output_shape(n), self.output_rows(n));
        let rows = Shape::from([count]);
        let z = self.buffers[self.buffers.len() - 1].prefix(shape)?;
        let target = match loss.is_sparse() {
            true => Target::Labels(self.labels.prefix(rows)?),
            false => Target::Values(self.values.prefix(shape)?),
        };
        let weights = match weighted {
            true => Some(self.weights.prefix(rows)?),
            false => None,
        };
        let term = LossTerm { loss, folded, target, weights, scale: 1.0 / count as f64 };
        let (y, rows) = (self.prediction.prefix_mut(shape)?, self.rows.prefix_mut(rows)?);
        self.device.loss_step(&term, z, y, rows, self.gradients[0].prefix_mut(shape)?)?;

        let ([mut above, mut below], mut relu_done) = (self.gradients.each_mut(), false);
        for i in (self.lowest..nodes.0.len()).rev() {
            let (from, to) = (self.slot[i], self.slot[i + 1]);
            if from == to {
                continue; // the gradient by a reshaped tensor is the reshaped gradient
            }
            let (x_shape, y_shape) = (self.shapes[i].batched(n), self.shapes[i + 1].batched(n));
            let (x, y) = (self.buffers[from].prefix(x_shape)?, self.buffers[to].prefix(y_shape)?);
            let x = if self.in_blocks && from == 0 { x.in_blocks(&self.live)? } else { x };
            let dy = above.prefix_mut(y_shape)?;
            let (under, rest) = nodes.0.split_at_mut(i);
            let layer = &mut rest[0].layer;
            if let (Some(window), Some(under)) = (layer.max_window(), under.last_mut())
                && i == self.lowest + 1
                && under.layer.takes_pooling()
            {
                // The last two at once: dz of the lowest layer is as large as its y.
                let (noise, scratch) = (step.noise(i - 1), self.scratch.view_mut());
                let mut cx = Cx::new(&self.device, step.training, noise, scratch);
                cx.pooled = Some(Pooled { window, q: y, dz: below.prefix_mut(x_shape)? });
                let under_x = self.buffers[self.slot[i - 1]].prefix(self.shapes[i - 1].batched(n))?;
                return under.layer.backward(&mut cx, under_x, x, dy, None);
            }
            let dx = match i > self.lowest {
                true => Some(below.prefix_mut(x_shape)?),
                false => None,
            };
            let mut cx = Cx::new(&self.device, step.training, step.noise(i), self.scratch.view_mut());
            (cx.relu_below, cx.relu_done) = (self.takes_relu[i], relu_done);
            layer.backward(&mut cx, x, y, dy, dx)?;
            relu_done = self.takes_relu[i];
            std::mem::swap(&mut above, &mut below);
        }
        Ok(())
    }
}
