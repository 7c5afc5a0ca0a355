//! Precision, recall and F1: figures of counts, class by class.
//!
//! ```text
//! tp, pp, ap [C]    true positives, predicted positives, actual positives of each class
//! precision         Σ tp / Σ pp                  of what was called positive, how much is
//! recall            Σ tp / Σ ap                  of what is positive, how much was called so
//! f1                mean over classes of 2 tp / (pp + ap)
//! ```
//!
//! f1 is the harmonic mean of a class's precision and recall: 2 P R / (P + R) with P = tp / pp and R = tp / ap.
//! A quotient 0 / 0 counts as 0; Keras adds 1e-7 to the divisors of F1 instead, and is off by about that much.
//! Counts are exact up to 2²⁴ of a kind on devices that compute in `f32`.
//!
//! Source: van Rijsbergen 1979, ch. 7.

use super::{Metric, not_planned, other_sums};
use crate::backend::Target;
use crate::device::Device;
use crate::error::Result;
use crate::shape::Shape;
use crate::tensor::{Tensor, View};

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
/// asked for an average; this is its "macro" average, and [`f1_by_class`](ClassCounts::f1_by_class) has the others.
///
/// ```
/// use handgrad::{Device, Target, metrics::{ClassCounts, Counted, Metric}};
/// let dev = Device::reference();
/// let mut recall = ClassCounts::new("recall", Counted::Recall).threshold(0.5);
/// recall.plan(&dev, [1].into(), 4)?;
/// let (p, t) = (dev.tensor([4, 1], &[0.9, 0.2, 0.8, 0.1])?, dev.tensor([4, 1], &[1., 1., 0., 0.])?);
/// recall.update(&dev, p.view(), Target::Values(t.view()))?;
/// assert_eq!(recall.result()?, 0.5);
/// # Ok::<(), handgrad::Error>(())
/// ```
pub struct ClassCounts {
    name: String,
    counted: Counted,
    threshold: Option<f64>,
    /// tp, pp, ap, once planned.                                                                           [3, C]
    counts: Option<Tensor>,
}

impl ClassCounts {
    /// One figure, where a row's largest prediction is the positive one.
    pub fn new(name: impl Into<String>, counted: Counted) -> ClassCounts {
        ClassCounts { name: name.into(), counted, threshold: None, counts: None }
    }

    /// Calls positive what is above `threshold` instead.
    pub fn threshold(mut self, threshold: f64) -> ClassCounts {
        self.threshold = Some(threshold);
        self
    }

    /// The F1 of each class.
    ///
    /// # Errors
    /// It was not planned.
    pub fn f1_by_class(&self) -> Result<Vec<f64>> {
        let counts = self.counts.as_ref().ok_or_else(|| not_planned(&self.name))?;
        let (counts, classes) = (counts.view().values()?, counts.shape().last());
        let (tp, rest) = counts.split_at(classes);
        let (pp, ap) = rest.split_at(classes);
        Ok((0..classes).map(|c| ratio(2.0 * tp[c], pp[c] + ap[c])).collect()) // 2 tp / (pp + ap)
    }
}

/// a / b, and 0 if b is 0.
fn ratio(a: f64, b: f64) -> f64 {
    if b == 0.0 { 0.0 } else { a / b }
}

impl Metric for ClassCounts {
    fn name(&self) -> &str {
        &self.name
    }

    fn plan(&mut self, device: &Device, output: Shape, _max_batch: usize) -> Result<()> {
        self.counts = Some(device.zeros([3, output.last()].into())?);
        Ok(())
    }

    fn reset(&mut self, device: &Device) -> Result<()> {
        let counts = self.counts.as_mut().ok_or_else(|| not_planned(&self.name))?;
        device.fill(0.0, counts.view_mut())
    }

    fn update(&mut self, device: &Device, prediction: View, target: Target) -> Result<()> {
        let counts = self.counts.as_mut().ok_or_else(|| not_planned(&self.name))?;
        device.count_classes(self.threshold, prediction, target, counts.view_mut())
    }

    fn result(&self) -> Result<f64> {
        let counts = self.counts.as_ref().ok_or_else(|| not_planned(&self.name))?;
        let sum = |row| Ok::<f64, crate::Error>(counts.view().rows(row..row + 1)?.values()?.iter().sum());
        Ok(match self.counted {
            Counted::Precision => ratio(sum(0)?, sum(1)?),
            Counted::Recall => ratio(sum(0)?, sum(2)?),
            Counted::F1 => {
                let f1 = self.f1_by_class()?;
                f1.iter().sum::<f64>() / f1.len() as f64
            }
        })
    }

    fn sums(&self) -> Result<Vec<f64>> {
        self.counts.as_ref().ok_or_else(|| not_planned(&self.name))?.view().values()
    }

    fn set_sums(&mut self, sums: &[f64]) -> Result<()> {
        let counts = self.counts.as_mut().ok_or_else(|| not_planned(&self.name))?;
        match sums.len() == counts.shape().len() {
            true => counts.view_mut().write(sums),
            false => Err(other_sums(&self.name)),
        }
    }

    fn larger_is_better(&self) -> Option<bool> {
        Some(true)
    }
}
