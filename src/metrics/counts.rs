//! Counts of right and wrong answers, class by class: the table on the device that they are gathered in, and what
//! precision, recall and F1 make of them.
//!
//! ```text
//! tp, fp, fn        how often a class was found, claimed where it was not, and missed
//! precision         tp / (tp + fp)               of what was called positive, how much is
//! recall            tp / (tp + fn)               of what is positive, how much was called so
//! f1                2 tp / (2 tp + fp + fn)      the harmonic mean of both
//! ```
//!
//! A quotient 0 / 0 counts as 0; Keras adds 1e-7 to the divisors of F1 instead, and is off by about that much.
//! Counts are exact up to 2²⁴ of a kind on devices that compute in `f32`.
//!
//! Source: van Rijsbergen 1979, ch. 7.

use super::other_sums;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::shape::Shape;
use crate::tensor::Tensor;

/// How often a class, or several together, was found, claimed wrongly and missed.
///
/// ```
/// use handgrad::metrics::Counts;
/// let cats = Counts { true_positives: 6, false_positives: 2, false_negatives: 4 };
/// assert_eq!((cats.precision(), cats.recall(), cats.f1()), (0.75, 0.6, 12.0 / 18.0));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Is of the class, and was called so.
    pub true_positives: u64,
    /// Is not, and was called so.
    pub false_positives: u64,
    /// Is, and was not called so.
    pub false_negatives: u64,
}

impl Counts {
    /// Of what was called positive, how much is.
    pub fn precision(&self) -> f64 {
        ratio(self.true_positives, self.true_positives + self.false_positives)
    }

    /// Of what is positive, how much was called so.
    pub fn recall(&self) -> f64 {
        ratio(self.true_positives, self.true_positives + self.false_negatives)
    }

    /// The harmonic mean of precision and recall.
    pub fn f1(&self) -> f64 {
        let found = 2 * self.true_positives;
        ratio(found, found + self.false_positives + self.false_negatives)
    }
}

/// Several classes together.
impl std::iter::Sum for Counts {
    fn sum<I: Iterator<Item = Counts>>(all: I) -> Counts {
        all.fold(Counts::default(), |a, b| Counts {
            true_positives: a.true_positives + b.true_positives,
            false_positives: a.false_positives + b.false_positives,
            false_negatives: a.false_negatives + b.false_negatives,
        })
    }
}

/// a / b, and 0 if b is 0.
pub(super) fn ratio(a: u64, b: u64) -> f64 {
    if b == 0 { 0.0 } else { a as f64 / b as f64 }
}

/// A table of counts on the device: what every metric that counts is made of.
pub(super) struct Tally {
    /// The metric's.
    pub(super) name: String,
    /// Once planned.
    table: Option<Tensor>,
}

impl Tally {
    pub(super) fn new(name: impl Into<String>) -> Tally {
        Tally { name: name.into(), table: None }
    }

    pub(super) fn plan(&mut self, device: &Device, table: impl Into<Shape>) -> Result<()> {
        self.table = Some(device.zeros(table.into())?);
        Ok(())
    }

    pub(super) fn reset(&mut self, device: &Device) -> Result<()> {
        device.fill(0.0, self.table_mut()?.view_mut())
    }

    pub(super) fn table_mut(&mut self) -> Result<&mut Tensor> {
        self.table.as_mut().ok_or_else(|| super::not_planned(&self.name))
    }

    fn table(&self) -> Result<&Tensor> {
        self.table.as_ref().ok_or_else(|| super::not_planned(&self.name))
    }

    /// The table's rows, as whole numbers. Waits for the device.
    pub(super) fn rows(&self) -> Result<Vec<Vec<u64>>> {
        let columns = self.table()?.shape().last();
        Ok(self.sums()?.chunks(columns).map(|row| row.iter().map(|&n| n as u64).collect()).collect())
    }

    pub(super) fn sums(&self) -> Result<Vec<f64>> {
        self.table()?.view().values()
    }

    pub(super) fn set_sums(&mut self, sums: &[f64]) -> Result<(), Error> {
        let len = self.table()?.shape().len();
        match sums.len() == len {
            true => self.table_mut()?.view_mut().write(sums),
            false => Err(other_sums(&self.name)),
        }
    }
}
