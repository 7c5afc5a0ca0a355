//! fit: epochs of shuffled batches, each one forward, loss, backward, update.

use super::compile::{Compile, Compiled, check_targets, scores};
use super::workspace::{Step, Workspace};
use super::{Epoch, History, Nodes, Pause, Scores, Sequential};
use crate::backend::HostRows;
use crate::callbacks::{Callback, Flow, Progress, Running};
use crate::data::{Dataset, Targets};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::io::{Checkpoints, Resume};
use crate::layers::not_built;
use crate::losses::Loss;
use crate::mistakes::{Count, Mistake, Weighted};
use crate::rng::Rng;
use crate::shape::Shape;
use std::ops::Range;
use std::time::Instant;

/// The first random stream that shuffles; those below it belong to layers.
const SHUFFLE: u64 = 1 << 32;

/// How to train: one epoch of batches of 32, shuffled, with a progress line, unless said otherwise.
pub struct Fit<'a> {
    epochs: usize,
    initial_epoch: usize,
    batch_size: usize,
    shuffle: bool,
    verbose: u8,
    validation: Validation<'a>,
    class_weight: Vec<(u32, f64)>,
    sample_weight: Option<&'a [f32]>,
    callbacks: Vec<&'a mut dyn Callback>,
    checkpoints: Option<&'a mut Checkpoints>,
    resume: Option<Resume>,
}

enum Validation<'a> {
    None,
    Data(&'a Dataset),
    Split(f64),
}

impl Default for Fit<'_> {
    fn default() -> Self {
        Fit::new()
    }
}

impl<'a> Fit<'a> {
    /// With the defaults.
    pub fn new() -> Fit<'a> {
        Fit {
            epochs: 1,
            initial_epoch: 0,
            batch_size: 32,
            shuffle: true,
            verbose: 1,
            validation: Validation::None,
            class_weight: Vec::new(),
            sample_weight: None,
            callbacks: Vec::new(),
            checkpoints: None,
            resume: None,
        }
    }

    /// How many times to go through the data.
    pub fn epochs(mut self, epochs: usize) -> Fit<'a> {
        self.epochs = epochs;
        self
    }

    /// The number of the first epoch, from 0, of a training that goes on: epochs are then counted from here to
    /// [`epochs`](Fit::epochs), which is their number in all.
    pub fn initial_epoch(mut self, epoch: usize) -> Fit<'a> {
        self.initial_epoch = epoch;
        self
    }

    /// How many samples share one update.
    pub fn batch_size(mut self, batch_size: usize) -> Fit<'a> {
        self.batch_size = batch_size;
        self
    }

    /// Whether each epoch goes through the data in an order of its own.
    pub fn shuffle(mut self, shuffle: bool) -> Fit<'a> {
        self.shuffle = shuffle;
        self
    }

    /// 0: silent, 1: a progress line, 2: one line for each epoch.
    pub fn verbose(mut self, verbose: u8) -> Fit<'a> {
        self.verbose = verbose;
        self
    }

    /// Data to evaluate the model on after each epoch.
    pub fn validation(mut self, data: &'a Dataset) -> Fit<'a> {
        self.validation = Validation::Data(data);
        self
    }

    /// Sets the last `share` of the samples aside, before any shuffling, to evaluate the model on after each epoch.
    pub fn validation_split(mut self, share: f64) -> Fit<'a> {
        self.validation = Validation::Split(share);
        self
    }

    /// How much each class counts in the loss: pairs of class and weight; a class that is not named counts 1.
    /// The class of a one-hot row is its largest entry, of a single value its rounding.
    pub fn class_weight(mut self, weights: impl IntoIterator<Item = (u32, f64)>) -> Fit<'a> {
        self.class_weight = weights.into_iter().collect();
        self
    }

    /// How much each sample counts in the loss: one weight for each sample of the data.
    pub fn sample_weight(mut self, weights: &'a [f32]) -> Fit<'a> {
        self.sample_weight = Some(weights);
        self
    }

    /// One more callback; read it again after `fit`.
    pub fn callback(mut self, callback: &'a mut dyn Callback) -> Fit<'a> {
        self.callbacks.push(callback);
        self
    }

    /// Keeps the state of the training in a folder: after each epoch, and where a callback
    /// [pauses](crate::callbacks::Flow::Pause).
    pub fn checkpoints(mut self, checkpoints: &'a mut Checkpoints) -> Fit<'a> {
        self.checkpoints = Some(checkpoints);
        self
    }

    /// Goes on where a checkpoint was made, bit for bit: with the model that came with it, the same data, the same
    /// options and the same callbacks. [`epochs`](Fit::epochs) counts those before as well.
    ///
    /// What a callback remembered goes to the callback of the same [kind](crate::callbacks::State::kind); of two of a
    /// kind, the first is the first again. A kind that is missing, or new, is an error of [`fit`](Sequential::fit).
    /// Callbacks that remember nothing may differ.
    pub fn resume(mut self, resume: Resume) -> Fit<'a> {
        self.initial_epoch = resume.epochs();
        self.resume = Some(resume);
        self
    }

    fn check(&self, data: &Dataset) -> Result<()> {
        if self.epochs == 0 {
            return Err(Mistake::Zero(Count::Epochs).into());
        }
        if self.initial_epoch >= self.epochs && self.resume.is_none() {
            return Err(Error::invalid(
                format!("initial_epoch {} of {} epochs leaves none", self.initial_epoch, self.epochs),
                "epochs counts those before as well: give more of them",
            ));
        }
        if self.batch_size == 0 {
            return Err(Mistake::Zero(Count::BatchSize).into());
        }
        if let Some(w) = self.sample_weight
            && w.len() != data.len()
        {
            return Err(Mistake::SampleWeights { weights: w.len(), samples: data.len() }.into());
        }
        let class_weights = self.class_weight.iter().map(|&(class, w)| (Weighted::Class(class), w));
        let sample_weights = self.sample_weight.unwrap_or(&[]).iter().enumerate();
        let sample_weights = sample_weights.map(|(i, &w)| (Weighted::Sample(i), f64::from(w)));
        match class_weights.chain(sample_weights).find(|(_, w)| !(w.is_finite() && *w >= 0.0)) {
            Some((of, weight)) => Err(Mistake::BadWeight { of, weight }.into()),
            None => Ok(()),
        }
    }

    /// Each sample's weight in the loss: its own times its class's; `None` when all count the same.
    fn weights(&self, data: &Dataset) -> Option<Vec<f32>> {
        if self.class_weight.is_empty() {
            return self.sample_weight.map(<[f32]>::to_vec);
        }
        let of_class = |class: u32| {
            let named = self.class_weight.iter().find(|(c, _)| *c == class);
            named.map_or(1.0, |&(_, w)| w as f32)
        };
        let classes = (0..data.len()).map(|i| match data.y() {
            Targets::Labels { sample, labels } => labels[i * sample.len()],
            Targets::Values { sample, values } => class_of(&values[i * sample.len()..][..sample.len()]),
        });
        let own = |i: usize| self.sample_weight.map_or(1.0, |w| w[i]);
        Some(classes.enumerate().map(|(i, class)| own(i) * of_class(class)).collect())
    }

    /// How many of `count` samples are for training; the others are for validation.
    fn training_share(&self, count: usize) -> Result<usize> {
        let Validation::Split(share) = self.validation else { return Ok(count) };
        let training = (count as f64 * (1.0 - share)) as usize;
        if !(share > 0.0 && share < 1.0) || training == 0 || training == count {
            return Err(Mistake::ValidationSplit { share, training, samples: count }.into());
        }
        Ok(training)
    }
}

/// The class that a target row stands for.
fn class_of(row: &[f32]) -> u32 {
    match row {
        [value] => value.round().max(0.0) as u32,
        _ => (1..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best }) as u32,
    }
}

/// Batches of a dataset, in an order that may change from epoch to epoch.
pub(super) struct Batches<'a> {
    data: &'a Dataset,
    first: u32,
    order: Vec<u32>,
    weights: Option<Vec<f32>>,
    // What a batch's labels and weights pass through on their way to the device.
    labels: Vec<u32>,
    reals: Vec<f32>,
}

impl<'a> Batches<'a> {
    pub(super) fn new(data: &'a Dataset, samples: Range<usize>, weights: Option<Vec<f32>>) -> Batches<'a> {
        let (first, order) = (samples.start as u32, samples.map(|i| i as u32).collect());
        Batches { data, first, order, weights, labels: Vec::new(), reals: Vec::new() }
    }

    /// Puts the samples back in the data's own order.
    fn sort(&mut self) {
        (self.first..).zip(&mut self.order).for_each(|(i, at)| *at = i);
    }

    pub(super) fn weighted(&self) -> bool {
        self.weights.is_some()
    }

    fn count(&self, batch_size: usize) -> usize {
        self.order.len().div_ceil(batch_size)
    }

    /// Writes the samples `at ..` of the order into the workspace, at most `batch_size`, and says how many;
    /// `None` at the end. Allocates nothing after the first batch.
    pub(super) fn load(
        &mut self,
        device: &Device,
        ws: &mut Workspace,
        loss: Loss,
        at: usize,
        batch_size: usize,
    ) -> Result<Option<usize>> {
        let part = &self.order[at..self.order.len().min(at.saturating_add(batch_size))];
        let n = part.len();
        if n == 0 {
            return Ok(None);
        }
        ws.load(self.data.x().rows(), part)?;
        let rows = ws.output_rows(n);
        match self.data.y() {
            Targets::Labels { sample, labels } => {
                let width = sample.len();
                let of = |&i: &u32| &labels[i as usize * width..][..width];
                if loss.is_sparse() {
                    self.labels.clear();
                    self.labels.extend(part.iter().flat_map(of));
                    ws.labels.write(&self.labels)?;
                } else {
                    self.reals.clear();
                    self.reals.extend(part.iter().flat_map(of).map(|&l| l as f32));
                    ws.values.prefix_mut(Shape::from([n * width]))?.write_f32(&self.reals)?;
                }
            }
            Targets::Values { sample, values } => {
                let into = ws.values.prefix_mut(Shape::from([n, sample.len()]))?;
                device.load_rows(HostRows::F32(values), part, into)?;
            }
        }
        if let Some(weights) = &self.weights {
            let of = |&i: &u32| std::iter::repeat_n(weights[i as usize], rows / n);
            self.reals.clear();
            self.reals.extend(part.iter().flat_map(of));
            ws.weights.prefix_mut(Shape::from([rows]))?.write_f32(&self.reals)?;
        }
        Ok(Some(n))
    }
}

impl Parts<'_> {
    /// Starts the loss and the metrics at nothing.
    pub(super) fn reset(&mut self) -> Result<()> {
        self.ws.mean_loss.reset(self.device)?;
        self.c.metrics.iter_mut().try_for_each(|m| m.reset(self.device))
    }

    /// Adds a batch's losses and predictions, as the workspace holds them, to the loss and the metrics.
    pub(super) fn measure(&mut self, n: usize, weighted: bool) -> Result<()> {
        self.ws.add_loss(n, weighted)?;
        for metric in &mut self.c.metrics {
            let target = self.ws.target(n, self.c.loss.is_sparse())?;
            metric.update(self.device, self.ws.prediction(n)?, target)?;
        }
        Ok(())
    }

    /// What the loss, and then each metric, has added up.
    fn sums(&self) -> Result<Vec<Vec<f64>>> {
        let metrics = self.c.metrics.iter().map(|m| m.sums());
        std::iter::once(self.ws.mean_loss.sums()).chain(metrics).collect()
    }

    /// Goes on from those sums.
    fn set_sums(&mut self, sums: &[Vec<f64>]) -> Result<()> {
        let fits = sums.len() == 1 + self.c.metrics.len();
        let Some((loss, metrics)) = sums.split_first().filter(|_| fits) else {
            return Err(Error::data(
                format!(
                    "the epoch was left with {} sums, the model has {}",
                    sums.len(),
                    1 + self.c.metrics.len()
                ),
                "go on with the metrics that the training began with",
            ));
        };
        self.ws.mean_loss.set_sums(loss)?;
        self.c.metrics.iter_mut().zip(metrics).try_for_each(|(metric, sums)| metric.set_sums(sums))
    }

    /// The loss and the metrics so far.
    pub(super) fn scores(&self) -> Result<Scores> {
        scores(&self.ws.mean_loss, &self.c.metrics)
    }
}

/// A model that is ready to run.
pub(super) struct Parts<'a> {
    pub(super) device: &'a Device,
    pub(super) nodes: &'a mut Nodes,
    pub(super) ws: &'a mut Workspace,
    pub(super) c: &'a mut Compiled,
    /// Training steps so far.
    pub(super) step: &'a mut u32,
}

impl Sequential {
    /// Says how the model is to learn, and folds a last softmax or sigmoid into its crossentropy.
    ///
    /// # Errors
    /// A misspelt name; a last layer that cannot give what the loss wants.
    pub fn compile(&mut self, compile: Compile) -> Result<()> {
        let mut compiled = Compiled::new(compile)?;
        if self.input.is_some() {
            compiled.fit_to_model(&mut self.nodes)?;
        }
        self.compiled = Some(compiled);
        self.why_not_compiled = None;
        self.workspace = None; // metrics and optimizer plan their own memory with it
        Ok(())
    }

    /// Trains, and says how it went. Builds the model for the data if nobody has.
    ///
    /// # Errors
    /// The model is not compiled, the data does not fit the model or the loss, an option is out of its range, checkpoints
    /// are wanted of what cannot be saved, a callback's error. The weights are as the last finished step left them.
    pub fn fit(&mut self, data: &Dataset, mut fit: Fit) -> Result<History> {
        fit.check(data)?;
        let training = fit.training_share(data.len())?;
        self.prepare(data, fit.batch_size)?;
        let mut batches = Batches::new(data, 0..training, fit.weights(data));
        let mut validation = match fit.validation {
            Validation::None => None,
            Validation::Data(other) => {
                self.prepare(other, fit.batch_size).map_err(Error::in_validation)?;
                Some(Batches::new(other, 0..other.len(), None))
            }
            Validation::Split(_) => Some(Batches::new(data, training..data.len(), fit.weights(data))),
        };
        let mut progress = Progress::new(fit.verbose);
        let callbacks = &mut fit.callbacks[..];
        let ended = fit.resume.as_ref().is_some_and(Resume::ended);
        let epochs = fit.initial_epoch..if ended { fit.initial_epoch } else { fit.epochs };
        progress.on_train_begin(self, epochs.clone())?;
        for callback in callbacks.iter_mut() {
            callback.on_train_begin(self, epochs.clone())?;
        }
        let mut paused = match &fit.resume {
            Some(resume) => {
                resume.restore(callbacks)?;
                self.pause.take()
            }
            None => None,
        };
        self.pause = None;
        if let (Some(checkpoints), None) = (&fit.checkpoints, &fit.resume) {
            checkpoints.check(self, callbacks)?; // and not after an epoch's work; what goes on was kept already
        }
        let mut history = History::default();
        for epoch in epochs {
            let from = paused.take();
            if from.is_none() {
                // An epoch that was left in the middle has begun: the callbacks remember it so.
                for callback in callbacks.iter_mut() {
                    callback.on_epoch_begin(self, epoch)?;
                }
            }
            if fit.shuffle {
                batches.sort(); // the order depends on the epoch's number, not on the epochs before
                Rng::new(self.seed, SHUFFLE + self.epoch).shuffle(&mut batches.order);
            }
            let from = from.unwrap_or_default();
            let (scores, seconds, flow) =
                self.epoch(&mut batches, fit.batch_size, epoch, from, callbacks, &mut progress)?;
            if self.pause.is_some() {
                progress.clear();
                if let Some(checkpoints) = &mut fit.checkpoints {
                    checkpoints.pause(self, epoch, callbacks)?;
                }
                return Ok(history);
            }
            let mut record = Epoch { seconds, scores };
            if let Some(batches) = &mut validation {
                let scores = self.evaluate_batches(batches, fit.batch_size)?;
                let named = scores.0.into_iter().map(|(name, value)| (format!("val_{name}"), value));
                record.scores.0.extend(named);
            }
            self.epoch += 1;
            self.history.epochs.push(record.clone()); // a callback may save the model
            progress.clear(); // callbacks may print
            let mut stop = flow == Flow::Stop;
            for callback in callbacks.iter_mut() {
                stop |= callback.on_epoch_end(self, epoch, &mut record)? != Flow::Continue;
            }
            progress.on_epoch_end(self, epoch, &mut record)?;
            if let Some(last) = self.history.epochs.last_mut() {
                last.clone_from(&record);
            }
            if let Some(checkpoints) = &mut fit.checkpoints {
                checkpoints.epoch_end(self, epoch + 1, &record, callbacks, stop)?;
            }
            history.epochs.push(record);
            if stop {
                break;
            }
            if flow == Flow::Pause && epoch + 1 < fit.epochs {
                return Ok(history); // the pause fell on the last batch of an epoch
            }
        }
        for callback in callbacks {
            callback.on_train_end(self)?;
        }
        Ok(history)
    }

    /// One pass through the batches, from where it was paused, or through those before a callback stopped it. Gives the
    /// figures and how long it took. If a callback paused it, the model remembers where.
    fn epoch(
        &mut self,
        batches: &mut Batches,
        batch_size: usize,
        epoch: usize,
        from: Pause,
        callbacks: &mut [&mut dyn Callback],
        progress: &mut Progress,
    ) -> Result<(Scores, f64, Flow)> {
        let start = Instant::now();
        let (seed, count) = (self.seed, batches.count(batch_size));
        let mut p = self.parts()?;
        p.reset()?;
        if from.batch > 0 {
            p.set_sums(&from.sums)?;
        }
        let (mut at, mut flow) = (from.batch.saturating_mul(batch_size), Flow::Continue);
        for batch in from.batch..count {
            for callback in callbacks.iter_mut() {
                callback.on_batch_begin(self, epoch, batch)?;
            }
            let mut p = self.parts()?;
            let Some(n) = batches.load(p.device, p.ws, p.c.loss, at, batch_size)? else { break };
            let step = Step { seed, number: *p.step, training: true };
            p.device.begin_step()?;
            p.ws.forward(p.nodes, n, step)?;
            p.ws.backward(p.nodes, n, step, p.c.computed, p.c.folded, batches.weighted())?;
            p.c.optimizer.step(p.device, p.nodes)?;
            p.measure(n, batches.weighted())?;
            p.device.end_step()?;
            (at, *p.step) = (at + n, p.step.wrapping_add(1));
            let (loss, metrics) = (&p.ws.mean_loss, &p.c.metrics[..]);
            let running = Running { epoch, batch: batch + 1, batches: count, loss, metrics };
            for callback in callbacks.iter_mut() {
                flow = flow.or(callback.on_batch_end(&running)?);
            }
            progress.on_batch_end(&running)?;
            if flow == Flow::Pause && batch + 1 < count {
                let seconds = from.seconds + start.elapsed().as_secs_f64();
                self.pause = Some(Pause { batch: batch + 1, seconds, sums: self.parts()?.sums()? });
                return Ok((Scores::default(), seconds, flow));
            }
            if flow == Flow::Stop {
                break;
            }
        }
        Ok((self.parts()?.scores()?, from.seconds + start.elapsed().as_secs_f64(), flow))
    }

    /// The model's parts, to be used side by side.
    pub(super) fn parts(&mut self) -> Result<Parts<'_>> {
        match (&self.device, &mut self.workspace, &mut self.compiled) {
            (Some(device), Some(ws), Some(c)) => {
                Ok(Parts { device, nodes: &mut self.nodes, ws, c, step: &mut self.step })
            }
            _ => Err(not_built("model's first")),
        }
    }

    /// Everything that must hold before a batch of this data can run, checked once.
    pub(super) fn prepare(&mut self, data: &Dataset, batch_size: usize) -> Result<()> {
        if batch_size == 0 {
            return Err(Mistake::Zero(Count::BatchSize).into());
        }
        if u32::try_from(data.len()).is_err() {
            return Err(Error::data("more than 2³² samples", "train on them in parts"));
        }
        self.build_for(data.sample_shape())?;
        let (Some(node), Some(c)) = (self.nodes.0.last(), &self.compiled) else {
            return Err(self.not_compiled());
        };
        check_targets(c.loss, node, data)?;
        self.plan_for(batch_size.min(data.len()))
    }

    /// Lays out the memory for batches of `batch` samples, unless what is there will do.
    pub(super) fn plan_for(&mut self, batch: usize) -> Result<()> {
        if self.workspace.as_ref().is_some_and(|ws| ws.max_batch >= batch) {
            return Ok(());
        }
        let (Some(device), Some(input)) = (&self.device, self.input) else {
            return Err(self.not_built(None));
        };
        self.workspace = None; // the old one's memory goes before the new one's comes
        let ws = Workspace::new(device, &mut self.nodes, input, batch)?;
        if let (Some(c), Some(node)) = (&mut self.compiled, self.nodes.0.last()) {
            c.metrics.iter_mut().try_for_each(|m| m.plan(device, node.output, batch))?;
            c.optimizer.build(device, &mut self.nodes)?;
        }
        self.workspace = Some(ws);
        Ok(())
    }
}
