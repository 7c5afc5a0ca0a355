//! What a person wants to know about a model besides its loss.
//!
//! A metric sees every batch of an epoch and says one number at its end, computed over all samples and never averaged
//! over batches. Its sums stay on the device until [`Metric::result`] reads them.
//!
//! | name | over all rows, with prediction p and target t |
//! |---|---|
//! | accuracy (acc) | binary_ for one output column, else categorical_ or sparse_categorical_accuracy |
//! | binary_accuracy | mean of (p > ½) = t |
//! | categorical_accuracy, sparse_categorical_accuracy | mean of argmax p = argmax t, or = the label |
//! | top_k_categorical_accuracy, sparse_top_k_categorical_accuracy | mean of "t's class is among the 5 largest p" |
//! | mean_squared_error (mse) and all other [losses](crate::losses), by their names | the loss, unweighted |
//! | root_mean_squared_error (rmse) | √ mse |
//! | r2_score (r2) | mean over columns of 1 − Σ (t − p)² / Σ (t − mean t)² |
//! | precision | true positives / predicted positives, over all columns; positive is p > ½ |
//! | recall | true positives / actual positives |
//! | f1_score (f1) | mean over classes of 2 · precision · recall / (precision + recall) |
//! | confusion_matrix | how often each class was taken for each; as one number, the share on the diagonal |
//!
//! Formulas and names are Keras 3's, where Keras has them.

mod class_counts;
mod confusion;
mod counts;
mod mean;
mod r2;

pub use class_counts::{ClassCounts, Counted};
pub use confusion::{ConfusionCounts, ConfusionMatrix};
#[cfg(feature = "viz")]
pub(crate) use confusion::{class_of, label_of, predicted_rows};
pub use counts::Counts;
pub use mean::{Mean, RowMean};
pub use r2::R2Score;

use crate::backend::Target;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::losses::Loss;
use crate::mistakes::Mistake;
use crate::shape::Shape;
use crate::tensor::View;

/// How right one row of a prediction [R, C] is; ops write one number in 0 ..= 1 for each row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Score {
    /// The share of the row's columns where (prediction > threshold) equals the target, which is 0 or 1.
    Binary {
        /// Usually ½.
        threshold: f64,
    },
    /// 1 if the largest prediction stands where the largest target does, or at the label. The first of equals counts.
    Categorical,
    /// 1 if the target's class is among the k largest predictions: fewer than k are strictly larger than it.
    TopK(
        /// k, at least 1.
        usize,
    ),
}

/// Something measured over an epoch. A user's own implements this and is given to `compile` in a box.
///
/// The order of calls: `plan` once (and again if batches grow), then for every epoch `reset`, `update` with each batch,
/// `result`.
pub trait Metric: Send {
    /// What the progress line and the history call it.
    fn name(&self) -> &str;

    /// Allocates what `update` needs, for an output of shape `output` (one sample's) and up to `max_batch` samples.
    ///
    /// # Errors
    /// The metric does not fit the output; no memory.
    fn plan(&mut self, device: &Device, output: Shape, max_batch: usize) -> Result<()>;

    /// Forgets what it saw: an epoch begins.
    ///
    /// # Errors
    /// It was not planned; those of the device.
    fn reset(&mut self, device: &Device) -> Result<()>;

    /// Adds a batch. `prediction` is [N, sample...], after the last activation. Allocates nothing.
    ///
    /// # Errors
    /// It was not planned; prediction and target do not fit each other; those of the device.
    fn update(&mut self, device: &Device, prediction: View, target: Target) -> Result<()>;

    /// The figure over all that was added since `reset`; 0 if that was nothing.
    ///
    /// # Errors
    /// It was not planned; those of the device.
    fn result(&self) -> Result<f64>;

    /// All that it has added up since `reset`, for a training that is left in the middle of an epoch. A metric without
    /// (nothing, by default) then gives the figure of the epoch's rest.
    ///
    /// # Errors
    /// Those of the device.
    fn sums(&self) -> Result<Vec<f64>> {
        Ok(Vec::new())
    }

    /// Goes on from what [`sums`](Metric::sums) gave; comes after `reset`.
    ///
    /// # Errors
    /// They are another metric's; it was not planned.
    fn set_sums(&mut self, _sums: &[f64]) -> Result<()> {
        Ok(())
    }

    /// Whether larger is better, for callbacks that watch it; `None` if only the user can know.
    fn larger_is_better(&self) -> Option<bool> {
        None
    }
}

/// The names that [`from_name`] knows besides those of the [losses](Loss::NAMES).
pub const NAMES: [&str; 16] = [
    "accuracy",
    "acc",
    "binary_accuracy",
    "categorical_accuracy",
    "sparse_categorical_accuracy",
    "top_k_categorical_accuracy",
    "sparse_top_k_categorical_accuracy",
    "root_mean_squared_error",
    "rmse",
    "r2_score",
    "r2",
    "precision",
    "recall",
    "f1_score",
    "f1",
    "confusion_matrix",
];

/// The metric called `name`, for a model with this loss and this output of one sample.
///
/// As in Keras, "accuracy" looks at the shapes: one output column is binary, more are categorical, with labels or
/// one-hot rows as the loss has them. It keeps the name that it was asked by.
///
/// ```
/// use handgrad::{Loss, Shape, metrics};
/// let loss = Loss::SparseCategoricalCrossentropy { from_logits: false };
/// assert_eq!(metrics::from_name("acc", loss, Shape::from([10]))?.name(), "acc");
/// let error = metrics::from_name("acuracy", loss, Shape::from([10])).err().unwrap();
/// assert!(error.hint().unwrap().starts_with("did you mean `accuracy`?"));
/// # Ok::<(), handgrad::Error>(())
/// ```
///
/// # Errors
/// An unknown name; a metric of labels for a loss of one-hot rows, or the reverse.
pub fn from_name(name: &str, loss: Loss, output: Shape) -> Result<Box<dyn Metric>> {
    let binary = Score::Binary { threshold: 0.5 };
    let single = output.last() == 1;
    let score = match name {
        "accuracy" | "acc" if single => Some(binary),
        "accuracy" | "acc" => Some(Score::Categorical),
        "binary_accuracy" => Some(binary),
        "categorical_accuracy" | "sparse_categorical_accuracy" => Some(Score::Categorical),
        "top_k_categorical_accuracy" | "sparse_top_k_categorical_accuracy" => Some(Score::TopK(5)),
        _ => None,
    };
    let categorical = name.starts_with("categorical") || name.starts_with("top_k");
    if (name.starts_with("sparse") && !loss.is_sparse()) || (categorical && loss.is_sparse()) {
        return Err(Mistake::MetricTargets { metric: name.to_string(), loss }.into());
    }
    if let Some(score) = score {
        return Ok(Box::new(RowMean::of_score(name, score)));
    }
    Ok(match name {
        "rmse" | "root_mean_squared_error" => Box::new(RowMean::of_loss(name, Loss::MeanSquaredError).root()),
        "r2" | "r2_score" => Box::new(R2Score::new(name)),
        "precision" => Box::new(ClassCounts::new(name, Counted::Precision).threshold(0.5)),
        "recall" => Box::new(ClassCounts::new(name, Counted::Recall).threshold(0.5)),
        "f1" | "f1_score" if single => Box::new(ClassCounts::new(name, Counted::F1).threshold(0.5)),
        "f1" | "f1_score" => Box::new(ClassCounts::new(name, Counted::F1)),
        "confusion_matrix" => Box::new(ConfusionMatrix::new(name)),
        _ => match name.parse() {
            Ok(loss) => Box::new(RowMean::of_loss(name, loss)),
            Err(_) => return Err(Error::unknown("metric", name, &[&NAMES[..], &Loss::NAMES].concat())),
        },
    })
}

/// The error of sums that belong to something else.
fn other_sums(name: &str) -> Error {
    Error::data(
        format!("the sums of {name} in the middle of an epoch are another metric's"),
        "go on with the metrics that the training began with",
    )
}

/// The error of a metric that is used before it is planned.
fn not_planned(name: &str) -> Error {
    Error::invalid(format!("the metric `{name}` is used before it is planned"), "call `plan` on it first")
}
