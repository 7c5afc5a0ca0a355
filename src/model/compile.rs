//! Loss, optimizer and metrics, and the checks that they fit the model and the data.

use super::{Nodes, Scores};
use crate::activations::Activation;
use crate::data::{Dataset, Targets};
use crate::error::{Error, Result};
use crate::losses::Loss;
use crate::metrics::{self, Mean, Metric};
use crate::optimizers::{Optimizer, RmsProp};
use crate::shape::Shape;

/// How a model is to learn: a loss, an optimizer (RMSprop if none is said), metrics.
///
/// Each may be a name or a value: `Compile::new("mse").optimizer(Adam::default()).metric("accuracy")`.
/// A misspelt name is an error of [`compile`](super::Sequential::compile).
pub struct Compile {
    loss: Result<Loss>,
    optimizer: Result<Optimizer>,
    metrics: Vec<MetricChoice>,
}

/// A metric by name, or a user's own.
pub enum MetricChoice {
    /// As in `"accuracy"`.
    Name(String),
    /// Any [`Metric`].
    Own(Box<dyn Metric>),
}

impl From<&str> for MetricChoice {
    fn from(name: &str) -> MetricChoice {
        MetricChoice::Name(name.to_string())
    }
}

impl From<Box<dyn Metric>> for MetricChoice {
    fn from(metric: Box<dyn Metric>) -> MetricChoice {
        MetricChoice::Own(metric)
    }
}

impl Compile {
    /// With that loss and RMSprop.
    pub fn new<L>(loss: L) -> Compile
    where
        L: TryInto<Loss>,
        L::Error: Into<Error>,
    {
        let loss = loss.try_into().map_err(Into::into);
        Compile { loss, optimizer: Ok(RmsProp::default().into()), metrics: Vec::new() }
    }

    /// With that optimizer.
    pub fn optimizer<O>(mut self, optimizer: O) -> Compile
    where
        O: TryInto<Optimizer>,
        O::Error: Into<Error>,
    {
        self.optimizer = optimizer.try_into().map_err(Into::into);
        self
    }

    /// With one more metric.
    pub fn metric(mut self, metric: impl Into<MetricChoice>) -> Compile {
        self.metrics.push(metric.into());
        self
    }
}

/// A checked [`Compile`], inside the model.
pub(super) struct Compiled {
    /// As the user said it: what the data must fit.
    pub(super) loss: Loss,
    /// As it is computed: from logits if the last activation is folded in.
    pub(super) computed: Loss,
    pub(super) folded: Activation,
    pub(super) optimizer: Optimizer,
    choices: Vec<MetricChoice>,
    /// The metrics that were chosen by name, in order.
    pub(super) metric_names: Vec<String>,
    /// Made for the model's output once that is known.
    pub(super) metrics: Vec<Box<dyn Metric>>,
}

impl Compiled {
    pub(super) fn new(compile: Compile) -> Result<Compiled> {
        let Compile { loss, optimizer, metrics } = compile;
        let (loss, optimizer) = (loss?, optimizer?);
        let folded = Activation::Linear;
        let named = metrics.iter().filter_map(|choice| match choice {
            MetricChoice::Name(name) => Some(name.clone()),
            MetricChoice::Own(_) => None,
        });
        let metric_names = named.collect();
        Ok(Compiled {
            loss,
            computed: loss,
            folded,
            optimizer,
            choices: metrics,
            metric_names,
            metrics: Vec::new(),
        })
    }

    /// Checks the loss against the last layer, folds the last activation into the loss where the two belong
    /// together, and makes the metrics.
    pub(super) fn fit_to_model(&mut self, nodes: &mut Nodes) -> Result<()> {
        let Some(node) = nodes.0.last_mut() else { return Ok(()) };
        let (output, activation) = (node.output, node.layer.output_activation());
        check_output(self.loss, output, activation, &node.name)?;
        (self.computed, self.folded) = match self.loss.fold(activation) {
            Some(from_logits) => (from_logits, activation),
            None => (self.loss, Activation::Linear),
        };
        node.layer.skip_activation(self.folded != Activation::Linear);
        for choice in std::mem::take(&mut self.choices) {
            self.metrics.push(match choice {
                MetricChoice::Name(name) => metrics::from_name(&name, self.loss, output)?,
                MetricChoice::Own(metric) => metric,
            });
        }
        Ok(())
    }

    /// Whether a figure gets better as it gets larger; `None` if it is none of this model's, or does not say.
    pub(super) fn larger_is_better(&self, figure: &str) -> Option<bool> {
        match figure {
            "loss" => Some(false),
            _ => self.metrics.iter().find(|m| m.name() == figure)?.larger_is_better(),
        }
    }

    /// One line for the summary.
    pub(super) fn line(&self) -> String {
        format!("Optimizer: {}, loss: {}\n", self.optimizer.name(), self.loss)
    }
}

/// The loss first, then the metrics in their order.
pub(crate) fn scores(loss: &Mean, metrics: &[Box<dyn Metric>]) -> Result<Scores> {
    let mut scores = vec![("loss".to_string(), loss.result()?)];
    for metric in metrics {
        scores.push((metric.name().to_string(), metric.result()?));
    }
    Ok(Scores(scores))
}

/// The last layer must be able to give what the loss wants.
fn check_output(loss: Loss, output: Shape, activation: Activation, layer: &str) -> Result<()> {
    let classes = output.last();
    let categorical =
        matches!(loss, Loss::CategoricalCrossentropy { .. } | Loss::SparseCategoricalCrossentropy { .. });
    if activation == Activation::Softmax && classes == 1 {
        return Err(Error::invalid(
            format!("layer `{layer}` is a softmax over one unit, which is always 1"),
            "use `sigmoid` with `binary_crossentropy`, or give it one unit for each class",
        ));
    }
    if categorical && classes == 1 {
        return Err(Error::invalid(
            format!("`{loss}` needs one output for each class, layer `{layer}` has one"),
            "give the last layer one unit for each class, or use `binary_crossentropy`",
        ));
    }
    if categorical && activation == Activation::Sigmoid {
        return Err(Error::invalid(
            format!("`{loss}` needs probabilities that sum to 1, layer `{layer}` ends in `sigmoid`"),
            "use `softmax`, or `binary_crossentropy` where several classes may hold at once",
        ));
    }
    Ok(())
}

/// The targets must be of the kind and shape that the loss compares with the model's output.
pub(super) fn check_targets(loss: Loss, output: Shape, data: &Dataset) -> Result<()> {
    match (data.y(), loss.is_sparse()) {
        (Targets::Labels { sample, labels }, true) => {
            let (expected, classes) = (without_last(output), output.last());
            if sample.len() != expected.len() {
                return Err(Error::data(
                    format!(
                        "each sample has {} labels, the model gives {} rows",
                        sample.len(),
                        expected.len()
                    ),
                    "give one label for each row of the model's output",
                ));
            }
            match labels.iter().position(|&l| l as usize >= classes) {
                Some(at) => Err(Error::data(
                    format!("label {} of sample {} is outside 0..{classes}", labels[at], at / sample.len()),
                    format!("the model's output has {classes} classes: give it more, or correct the label"),
                )),
                None => Ok(()),
            }
        }
        (Targets::Values { .. }, true) => Err(Error::data(
            format!("`{loss}` wants class numbers, the targets are rows of values"),
            "use `categorical_crossentropy` for one-hot rows, or give the data labels",
        )),
        (Targets::Labels { sample, .. }, false) if sample.len() == output.len() && output.last() == 1 => {
            Ok(())
        }
        (Targets::Labels { .. }, false) => Err(Error::data(
            format!(
                "`{loss}` wants a value for each of the {} outputs, the targets are labels",
                output.len()
            ),
            "use `sparse_categorical_crossentropy`, or encode the labels with `one_hot`",
        )),
        (Targets::Values { sample, .. }, false) if sample.len() == output.len() => Ok(()),
        (Targets::Values { sample, .. }, false) => Err(Error::data(
            format!("targets are {}, the model gives {}", sample.per_sample(), output.per_sample()),
            match sample.rank() > output.rank() {
                true => "the labels look encoded twice: apply `one_hot` once",
                false => "give the last layer as many units as a target has values",
            },
        )),
    }
}

fn without_last(shape: Shape) -> Shape {
    Shape::from([shape.as_matrix().0])
}
