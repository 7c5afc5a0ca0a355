//! Precision, recall and F1 as metrics: [`Counts`] of every class, gathered over an epoch.
//!
//! ```text
//! tp, pp, ap [C]    true positives, predicted positives, actual positives of each class
//! precision         Σ tp / Σ pp
//! recall            Σ tp / Σ ap
//! f1                mean over classes of 2 tp / (pp + ap)
//! ```

use super::Metric;
use super::counts::{Counts, Tally};
use crate::backend::Target;
use crate::device::Device;
use crate::error::Result;
use crate::shape::Shape;
use crate::tensor::View;

/// What [`ClassCounts`] makes of its counts; see the source for the equations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Of what was called positive, how much is. All classes together.
    Precision,
    /// Of what is positive, how much was called so. All classes together.
    Recall,
    /// The harmonic mean of both for each class, averaged over classes with equal weight ("macro").
    F1,
}

/// Precision, recall or F1 over a whole epoch.
///
/// By name they are Keras's: precision and recall call positive what is above ½, F1 the row's largest (with a single
/// column: what is above ½, where Keras would call every row positive). Keras's F1 is a number for each class unless
/// asked for an average; this is its "macro" average, and [`by_class`](ClassCounts::by_class) has the others.
///
/// ```
/// use handgrad::{Device, Target, metrics::{ClassCounts, Counted, Metric}};
/// let dev = Device::reference();
/// let mut recall = ClassCounts::new("recall", Counted::Recall).threshold(0.5);
/// recall.plan(&dev, [1].into(), 4)?;
/// let (p, t) = (dev.tensor([4, 1], &[0.9, 0.2, 0.8, 0.1])?, dev.tensor([4, 1], &[1., 1., 0., 0.])?);
/// recall.update(&dev, p.view(), Target::Values(t.view()))?;
/// assert_eq!(recall.result()?, 0.5);
/// assert_eq!(recall.by_class()?[0].false_positives, 1);
/// # Ok::<(), handgrad::Error>(())
/// ```
pub struct ClassCounts {
    counted: Counted,
    threshold: Option<f64>,
    /// tp, pp, ap.                                                                                         [3, C]
    tally: Tally,
}

impl ClassCounts {
    /// One figure, where a row's largest prediction is the positive one.
    pub fn new(name: impl Into<String>, counted: Counted) -> ClassCounts {
        ClassCounts { counted, threshold: None, tally: Tally::new(name) }
    }

    /// Calls positive what is above `threshold` instead.
    pub fn threshold(mut self, threshold: f64) -> ClassCounts {
        self.threshold = Some(threshold);
        self
    }

    /// The counts of each class: their precision, recall and F1.
    ///
    /// # Errors
    /// It was not planned.
    pub fn by_class(&self) -> Result<Vec<Counts>> {
        let rows = self.tally.rows()?; // tp, pp, ap
        let class = |c: usize| Counts {
            true_positives: rows[0][c],
            false_positives: rows[1][c].saturating_sub(rows[0][c]),
            false_negatives: rows[2][c].saturating_sub(rows[0][c]),
        };
        Ok((0..rows[0].len()).map(class).collect())
    }
}

impl Metric for ClassCounts {
    fn name(&self) -> &str {
        &self.tally.name
    }

    fn plan(&mut self, device: &Device, output: Shape, _max_batch: usize) -> Result<()> {
        self.tally.plan(device, [3, output.last()])
    }

    fn reset(&mut self, device: &Device) -> Result<()> {
        self.tally.reset(device)
    }

    fn update(&mut self, device: &Device, prediction: View, target: Target) -> Result<()> {
        device.count_classes(self.threshold, prediction, target, self.tally.table_mut()?.view_mut())
    }

    fn result(&self) -> Result<f64> {
        let classes = self.by_class()?;
        let together: Counts = classes.iter().copied().sum();
        Ok(match self.counted {
            Counted::Precision => together.precision(),
            Counted::Recall => together.recall(),
            Counted::F1 => classes.iter().map(Counts::f1).sum::<f64>() / classes.len() as f64,
        })
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
