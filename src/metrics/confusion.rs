//! The confusion matrix: which class was taken for which.
//!
//! ```text
//! m[a, p]     how many rows of class a were predicted to be p, each by its largest entry      [C, C]
//! result      Σ m[a, a] / Σ m                                                                 the accuracy
//! ```

use super::{Metric, not_planned, other_sums};
use crate::backend::Target;
use crate::device::Device;
use crate::error::Result;
use crate::shape::Shape;
use crate::tensor::{Tensor, View};

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
/// assert_eq!(confusion.matrix()?, [[1, 0], [1, 1]]);
/// # Ok::<(), handgrad::Error>(())
/// ```
pub struct ConfusionMatrix {
    name: String,
    /// m, once planned.                                                                                    [C, C]
    counts: Option<Tensor>,
}

impl ConfusionMatrix {
    /// Of nothing yet.
    pub fn new(name: impl Into<String>) -> ConfusionMatrix {
        ConfusionMatrix { name: name.into(), counts: None }
    }

    /// The counts: a row for each actual class, in it a column for each predicted class.
    ///
    /// # Errors
    /// It was not planned.
    pub fn matrix(&self) -> Result<Vec<Vec<u64>>> {
        let counts = self.counts.as_ref().ok_or_else(|| not_planned(&self.name))?;
        let all = counts.view().values()?;
        let row = |row: &[f64]| row.iter().map(|&n| n as u64).collect();
        Ok(all.chunks(counts.shape().last()).map(row).collect())
    }
}

impl Metric for ConfusionMatrix {
    fn name(&self) -> &str {
        &self.name
    }

    fn plan(&mut self, device: &Device, output: Shape, _max_batch: usize) -> Result<()> {
        let classes = output.last().max(2);
        self.counts = Some(device.zeros([classes, classes].into())?);
        Ok(())
    }

    fn reset(&mut self, device: &Device) -> Result<()> {
        let counts = self.counts.as_mut().ok_or_else(|| not_planned(&self.name))?;
        device.fill(0.0, counts.view_mut())
    }

    fn update(&mut self, device: &Device, prediction: View, target: Target) -> Result<()> {
        let counts = self.counts.as_mut().ok_or_else(|| not_planned(&self.name))?;
        device.count_pairs(prediction, target, counts.view_mut())
    }

    fn result(&self) -> Result<f64> {
        let matrix = self.matrix()?;
        let right: u64 = matrix.iter().enumerate().map(|(class, row)| row[class]).sum();
        let all: u64 = matrix.iter().flatten().sum();
        Ok(if all == 0 { 0.0 } else { right as f64 / all as f64 })
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
