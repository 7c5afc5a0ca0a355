//! Loss, optimizer and metrics, and the checks that they fit the model and the data.

use super::{Node, Nodes, Scores};
use crate::activations::Activation;
use crate::data::{Dataset, Targets, check_labels};
use crate::error::{Error, Result};
use crate::losses::Loss;
use crate::metrics::{self, Mean, Metric};
use crate::mistakes::Mistake;
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
        optimizer.check()?;
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

    /// Checks the loss against the last layer, makes the metrics, and folds the last activation into the loss where the
    /// two belong together. The folding comes last: an error leaves the layer as it was, with or without its activation.
    pub(super) fn fit_to_model(&mut self, nodes: &mut Nodes) -> Result<()> {
        let Some(node) = nodes.0.last_mut() else { return Ok(()) };
        let (output, activation) = (node.output, node.layer.output_activation());
        check_output(self.loss, output, activation, node)?;
        for choice in std::mem::take(&mut self.choices) {
            self.metrics.push(match choice {
                MetricChoice::Name(name) => metrics::from_name(&name, self.loss, output)?,
                MetricChoice::Own(metric) => metric,
            });
        }
        (self.computed, self.folded) = match self.loss.fold(activation) {
            Some(from_logits) => (from_logits, activation),
            None => (self.loss, Activation::Linear),
        };
        node.layer.skip_activation(self.folded != Activation::Linear);
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
fn check_output(loss: Loss, output: Shape, activation: Activation, last: &Node) -> Result<()> {
    let categorical =
        matches!(loss, Loss::CategoricalCrossentropy { .. } | Loss::SparseCategoricalCrossentropy { .. });
    let layer = last.called();
    match (activation, output.last()) {
        (Activation::Softmax, 1) => Err(Mistake::SoftmaxOverOne { layer }.into()),
        (_, 1) if categorical => Err(Mistake::OneOutput { loss, layer }.into()),
        (Activation::Sigmoid, _) if categorical => Err(Mistake::SigmoidForClasses { loss, layer }.into()),
        _ => Ok(()),
    }
}

/// The targets must be of the kind and shape that the loss compares with the output of the last layer.
pub(super) fn check_targets(loss: Loss, last: &Node, data: &Dataset) -> Result<()> {
    let (output, target, layer) = (last.output, data.target_shape(), last.called());
    let (rows, classes) = output.as_matrix();
    let single = rows > 1 && target.rank() <= 1;
    match (data.y(), loss.is_sparse()) {
        (Targets::Labels { .. }, _) if single && target.len() == 1 => {
            Err(Mistake::MissingFlatten { layer, output }.into())
        }
        (Targets::Labels { labels, .. }, true) if target.len() == rows => {
            check_labels(labels, rows, classes, || Some(last.called()))
        }
        (Targets::Labels { .. }, true) => Err(Error::data(
            format!("each sample has {} labels, layer `{layer}` gives {rows} rows", target.len()),
            "give one label for each row of the model's output",
        )),
        (Targets::Labels { labels, .. }, false) if target.len() == output.len() && classes == 1 => {
            let beyond = labels.iter().position(|&l| l > 1).filter(|_| is_binary(loss));
            not_binary(beyond.map(|at| (at, labels[at] as f32)), target, layer)
        }
        (Targets::Labels { .. }, false) => {
            Err(Mistake::ValuesWanted { loss, layer, outputs: output.len() }.into())
        }
        (Targets::Values { .. }, _) if is_encoded_twice(output, target) => {
            let targets = [&[data.len()], target.dims()].concat();
            Err(Mistake::EncodedTwice { layer, targets, output }.into())
        }
        (Targets::Values { .. }, true) => Err(Mistake::LabelsWanted { loss, layer, target, classes }.into()),
        (Targets::Values { values, .. }, false) if target.len() == output.len() => {
            let beyond = |v: &f32| !(0.0..=1.0).contains(v);
            let beyond = if is_binary(loss) { values.iter().position(beyond) } else { None };
            not_binary(beyond.map(|at| (at, values[at])), target, layer)
        }
        (Targets::Values { .. }, false) if single && target.last() == classes => {
            Err(Mistake::MissingFlatten { layer, output }.into())
        }
        (Targets::Values { .. }, false) => Err(Mistake::TargetWidth { loss, layer, output, target }.into()),
    }
}

fn is_binary(loss: Loss) -> bool {
    matches!(loss, Loss::BinaryCrossentropy { .. })
}

/// One-hot rows of one-hot rows: more dimensions than the output has, each with an entry a class.
fn is_encoded_twice(output: Shape, target: Shape) -> bool {
    let (first, classes) = (output.rank().saturating_sub(1), output.last());
    target.rank() > output.rank() && classes > 1 && target.dims()[first..].iter().all(|&d| d == classes)
}

/// Fails if there is a number, at that position of all targets, that is not from 0 to 1.
fn not_binary(beyond: Option<(usize, f32)>, target: Shape, layer: String) -> Result<()> {
    let Some((at, value)) = beyond else { return Ok(()) };
    Err(Mistake::NotBinary { layer, value, sample: at / target.len(), column: at % target.len() }.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Features;
    use crate::layers::Dense;
    use crate::model::Sequential;

    /// Each row sums to 1 where a softmax was applied, and logits do not.
    #[track_caller]
    fn assert_probabilities(model: &mut Sequential) {
        let x = Features::from_rows(&[[3.0, -2.0], [0.5, 4.0]]).unwrap();
        let y = model.layer_output("digits", &x).unwrap().to_vec();
        for row in y.chunks(3) {
            let sum: f32 = row.iter().sum();
            assert!(
                (sum - 1.0).abs() <= 1e-5 && row.iter().all(|&p| p > 0.0),
                "{row:?} are no probabilities"
            );
        }
    }

    fn digits() -> Sequential {
        let mut model = Sequential::new().with(("digits", Dense::new(3).activation(Activation::Softmax)));
        model.build([2]).unwrap();
        model
    }

    fn folding() -> Compile {
        Compile::new("categorical_crossentropy").optimizer("sgd")
    }

    #[test]
    fn a_failed_compile_leaves_the_predictions_alone() {
        let mut model = digits();
        assert!(model.compile(folding().metric("acuracy")).is_err());
        assert_probabilities(&mut model);
        model.compile(folding()).unwrap();
        assert!(model.compile(Compile::new("mse").metric("acuracy")).is_err());
        assert_probabilities(&mut model); // as it was compiled before
        model.uncompile();
        assert_probabilities(&mut model);
    }

    #[test]
    fn a_layer_that_is_no_longer_the_last_has_its_activation_back() {
        let mut model = digits();
        model.compile(folding()).unwrap();
        model.add(Dense::new(2));
        model.compile(Compile::new("mse")).unwrap();
        model.build([2]).unwrap();
        assert_probabilities(&mut model);
    }

    #[test]
    fn a_model_that_is_built_again_predicts_with_its_last_activation() {
        let mut model = digits();
        model.compile(folding()).unwrap();
        model.build([2]).unwrap();
        assert_probabilities(&mut model);
    }
}
