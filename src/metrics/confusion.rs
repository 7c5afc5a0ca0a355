//! The confusion matrix: which class was taken for which.
//!
//! ```text
//! m[a, p]     how many rows of class a were predicted to be p, each by its largest entry      [C, C]
//! accuracy    Σ m[a, a] / Σ m
//! of class c  tp = m[c, c]    fp = Σₐ m[a, c] − tp    fn = Σₚ m[c, p] − tp
//! ```

use super::Metric;
use super::counts::{Counts, Tally, ratio};
use crate::backend::Target;
use crate::data::Targets;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::shape::Shape;
use crate::tensor::{Tensor, View};

/// How often each class was taken for each: a confusion matrix. With one output column the classes are 0 and 1, by whether
/// it is above ½.
///
/// [`Sequential::confusion`](crate::Sequential::confusion) gives that of a model on data, [`ConfusionMatrix`] one that is
/// counted while a model trains.
///
/// ```
/// use handgrad::{data::Targets, metrics::ConfusionCounts, tensor::Tensor, Shape};
/// let mut predictions = Tensor::zeros_f32(Shape::new(&[3, 2])?);
/// predictions.view_mut().write_f32(&[0.9, 0.1, 0.2, 0.8, 0.6, 0.4])?;
/// let counts = ConfusionCounts::of(&Targets::labels(vec![0, 1, 1]), &predictions)?;
/// assert_eq!(counts.rows(), [[1, 0], [1, 1]]);
/// assert_eq!((counts.accuracy(), counts.of_class(1).recall()), (2.0 / 3.0, 0.5));
/// assert_eq!(counts.mistakes(), [(1, 1, 0)]); // one, of class 1, taken for 0
/// # Ok::<(), handgrad::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfusionCounts {
    rows: Vec<Vec<u64>>,
}

/// A table of more classes would be larger than half a gigabyte.
const MOST_CLASSES: usize = 8192;

impl ConfusionCounts {
    /// Those of `predictions` as `model.predict(data.x())?` gives them, against the targets of the same samples.
    ///
    /// # Errors
    /// Predictions of another number of samples, or of more than 8192 classes; a target that is no class, or one that is
    /// not predicted; a prediction that is no number.
    pub fn of(targets: &Targets, predictions: &Tensor) -> Result<ConfusionCounts> {
        let (values, columns) = predicted_rows(predictions, targets.len())?;
        let classes = columns.max(2);
        if classes > MOST_CLASSES {
            return Err(Error::invalid(
                format!("{classes} classes are too many for a confusion matrix"),
                format!("give it {MOST_CLASSES} classes at most"),
            ));
        }
        let mut rows = vec![vec![0; classes]; classes];
        for (i, row) in values.chunks_exact(columns).enumerate() {
            match (label_of(targets, i), class_of(row)) {
                (Some(actual), Some(predicted)) if actual < classes => rows[actual][predicted] += 1,
                (Some(actual), Some(_)) => {
                    return Err(Error::data(
                        format!("sample {i} has label {actual}, the model knows {classes} classes"),
                        "give the data that the model is for",
                    ));
                }
                (None, _) => {
                    return Err(Error::data(
                        format!("the target of sample {i} is not one class"),
                        "give one label a sample, or one one-hot row",
                    ));
                }
                (_, None) => {
                    return Err(Error::data(
                        format!("the prediction for sample {i} is no number"),
                        "train again with a lower learning rate",
                    ));
                }
            }
        }
        Ok(ConfusionCounts { rows })
    }

    /// The counts: a row for each actual class, in it a column for each predicted class.
    pub fn rows(&self) -> &[Vec<u64>] {
        &self.rows
    }

    /// The share of all samples whose class was found; 0 of none.
    pub fn accuracy(&self) -> f64 {
        let right = self.rows.iter().enumerate().map(|(class, row)| row[class]).sum();
        ratio(right, self.rows.iter().flatten().sum())
    }

    /// How often class `class` was found, claimed wrongly and missed; never, where there is no such class.
    pub fn of_class(&self, class: usize) -> Counts {
        let Some(row) = self.rows.get(class) else { return Counts::default() };
        let claimed: u64 = self.rows.iter().map(|row| row[class]).sum();
        Counts {
            true_positives: row[class],
            false_positives: claimed - row[class],
            false_negatives: row.iter().sum::<u64>() - row[class],
        }
    }

    /// Which class was taken for which other and how often, the most frequent first: (count, actual, predicted).
    pub fn mistakes(&self) -> Vec<(u64, usize, usize)> {
        let all = self.rows.iter().enumerate();
        let all = all.flat_map(|(a, row)| row.iter().enumerate().map(move |(p, &count)| (count, a, p)));
        let mut mistakes: Vec<_> = all.filter(|&(count, a, p)| count > 0 && a != p).collect();
        mistakes.sort_by_key(|&(count, a, p)| (std::cmp::Reverse(count), a, p));
        mistakes
    }
}

/// The numbers of predictions for `samples` samples, and how many each has.
pub(crate) fn predicted_rows(predictions: &Tensor, samples: usize) -> Result<(Vec<f32>, usize)> {
    let shape = predictions.shape();
    if shape.rank() == 0 || shape.rows() != samples || shape.len() == 0 {
        return Err(Error::data(
            format!("predictions of shape {shape} are not those of {samples} samples"),
            "give what `model.predict(data.x())` gave for this dataset",
        ));
    }
    Ok((predictions.to_vec(), shape.len() / samples))
}

/// The class of sample `i`, if its target is one: a label, 0 or 1, or a row with one largest entry.
pub(crate) fn label_of(y: &Targets, i: usize) -> Option<usize> {
    match (y, y.values_of(i).as_slice()) {
        (Targets::Labels { labels, sample }, [_]) if sample.len() == 1 => labels.get(i).map(|&l| l as usize),
        (Targets::Values { .. }, [v]) if *v == 0.0 || *v == 1.0 => Some(usize::from(*v == 1.0)),
        (Targets::Values { .. }, row @ [_, _, ..]) => class_of(row),
        _ => None,
    }
}

/// The class that one row of predictions says: the largest entry, or whether the only one is above ½.
pub(crate) fn class_of(row: &[f32]) -> Option<usize> {
    match row {
        [] => None,
        [v] => (!v.is_nan()).then_some(usize::from(*v > 0.5)),
        row if row.iter().any(|v| v.is_nan()) => None,
        row => Some((1..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best })),
    }
}

/// Counts each pair of actual and predicted class over a whole epoch.
///
/// With one output column the classes are 0 and 1, by whether it is above ½.
///
/// ```
/// use handgrad::{Device, Target, metrics::{ConfusionMatrix, Metric}};
/// let dev = Device::reference();
/// let mut confusion = ConfusionMatrix::new("confusion_matrix");
/// confusion.plan(&dev, [2].into(), 3)?;
/// let p = dev.tensor([3, 2], &[0.9, 0.1, 0.3, 0.7, 0.6, 0.4])?;
/// let t = dev.tensor([3, 2], &[1., 0., 0., 1., 0., 1.])?;
/// confusion.update(&dev, p.view(), Target::Values(t.view()))?;
/// assert_eq!(confusion.counts()?.rows(), [[1, 0], [1, 1]]);
/// # Ok::<(), handgrad::Error>(())
/// ```
pub struct ConfusionMatrix {
    /// m.                                                                                                  [C, C]
    tally: Tally,
}

impl ConfusionMatrix {
    /// Of nothing yet.
    pub fn new(name: impl Into<String>) -> ConfusionMatrix {
        ConfusionMatrix { tally: Tally::new(name) }
    }

    /// How often each class was taken for each.
    ///
    /// # Errors
    /// It was not planned.
    pub fn counts(&self) -> Result<ConfusionCounts> {
        Ok(ConfusionCounts { rows: self.tally.rows()? })
    }
}

impl Metric for ConfusionMatrix {
    fn name(&self) -> &str {
        &self.tally.name
    }

    fn plan(&mut self, device: &Device, output: Shape, _max_batch: usize) -> Result<()> {
        let classes = output.last().max(2);
        self.tally.plan(device, [classes, classes])
    }

    fn reset(&mut self, device: &Device) -> Result<()> {
        self.tally.reset(device)
    }

    fn update(&mut self, device: &Device, prediction: View, target: Target) -> Result<()> {
        device.count_pairs(prediction, target, self.tally.table_mut()?.view_mut())
    }

    fn result(&self) -> Result<f64> {
        Ok(self.counts()?.accuracy())
    }

    fn sums(&self) -> Result<Vec<f64>> {
        self.tally.sums()
    }

    fn set_sums(&mut self, sums: &[f64]) -> Result<()> {
        self.tally.set_sums(sums)
    }

    fn larger_is_better(&self) -> Option<bool> {
        Some(true)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ClassCounts, Counted};
    use super::*;
    use crate::rng::Rng;

    /// 200 rows by chance: predictions counted on the host are those that the metric counts on the devices, and each class's
    /// counts are those of the metrics that are made of them.
    #[test]
    fn all_that_counts_counts_the_same() {
        for columns in [1, 4] {
            let classes = columns.max(2);
            let mut rng = Rng::new(5, 0);
            let values: Vec<f32> = (0..200 * columns).map(|_| rng.uniform() as f32).collect();
            let labels: Vec<u32> = (0..200).map(|_| rng.below(classes as u64) as u32).collect();
            let mut predictions = Tensor::zeros_f32([200, columns].into());
            predictions.view_mut().write_f32(&values).unwrap();
            let host = ConfusionCounts::of(&Targets::labels(labels.clone()), &predictions).unwrap();
            assert_eq!(host.rows().iter().flatten().sum::<u64>(), 200);
            let wrong: u64 = host.mistakes().iter().map(|m| m.0).sum();
            assert!(host.mistakes().is_sorted_by(|a, b| a.0 >= b.0));
            assert!((host.accuracy() - (200 - wrong) as f64 / 200.0).abs() < 1e-12);

            for device in [Device::reference(), Device::cpu().unwrap()] {
                let shape = [200, columns];
                let p =
                    device.tensor(shape, &values.iter().map(|&v| v.into()).collect::<Vec<f64>>()).unwrap();
                let one_hot = |i: usize| match columns {
                    1 => f64::from(labels[i]),
                    _ => f64::from(u8::from(labels[i / columns] as usize == i % columns)),
                };
                let t = device.tensor(shape, &(0..200 * columns).map(one_hot).collect::<Vec<f64>>()).unwrap();
                let measured = |metric: &mut dyn Metric| {
                    metric.plan(&device, [columns].into(), 200).unwrap();
                    metric.update(&device, p.view(), Target::Values(t.view())).unwrap();
                };
                let mut matrix = ConfusionMatrix::new("confusion_matrix");
                measured(&mut matrix);
                assert_eq!(matrix.counts().unwrap(), host, "{}", device.describe());
                let mut f1 = ClassCounts::new("f1", Counted::F1);
                if columns == 1 {
                    f1 = f1.threshold(0.5);
                }
                measured(&mut f1);
                // A single column counts class 1 alone.
                let first = classes - columns;
                let own: Vec<Counts> = (first..classes).map(|c| host.of_class(c)).collect();
                assert_eq!(f1.by_class().unwrap(), own, "{}", device.describe());
            }
        }
    }

    #[test]
    fn what_cannot_be_counted_is_refused() {
        let mut predictions = Tensor::zeros_f32([2, 3].into());
        let of = |predictions: &Tensor, labels: &[u32]| {
            ConfusionCounts::of(&Targets::labels(labels.to_vec()), predictions).map_err(|e| e.to_string())
        };
        assert!(of(&predictions, &[0, 1, 2]).unwrap_err().contains("not those of 3 samples"));
        assert!(of(&predictions, &[0, 3]).unwrap_err().contains("sample 1 has label 3"));
        let values = Targets::Values { sample: 1.into(), values: vec![1.0, 0.5] };
        assert!(ConfusionCounts::of(&values, &predictions).unwrap_err().to_string().contains("sample 1"));
        predictions.view_mut().write_f32(&[0.0, f32::NAN, 0.0, 0.0, 0.0, 0.0]).unwrap();
        assert!(of(&predictions, &[0, 1]).unwrap_err().contains("sample 0 is no number"));
    }
}
