//! Means over rows: of accuracies, of losses.
//!
//! ```text
//! result = Σᵣ weightᵣ · xᵣ / R            over all R rows of all batches
//! ```
//!
//! The sum is one pair of numbers on the device: a sum and its rounding error (Neumaier 1974).

use super::{Metric, Score, not_planned, other_sums};
use crate::backend::Target;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::losses::Loss;
use crate::shape::Shape;
use crate::tensor::{Tensor, View};

/// A running mean on a device; what a model's loss and most metrics are made of.
///
/// ```
/// use handgrad::{Device, metrics::Mean};
/// let dev = Device::reference();
/// let mut mean = Mean::new(&dev)?;
/// mean.add(&dev, dev.tensor([3], &[1., 2., 6.])?.view(), None)?;
/// mean.add(&dev, dev.tensor([1], &[7.])?.view(), None)?;
/// assert_eq!(mean.result()?, 4.0);
/// # Ok::<(), handgrad::Error>(())
/// ```
pub struct Mean {
    /// Σ weight · x, and that sum's rounding error.                                                           [2]
    acc: Tensor,
    /// R, the rows added.
    rows: u64,
}

impl Mean {
    /// Of nothing yet.
    ///
    /// # Errors
    /// The device is out of memory.
    pub fn new(device: &Device) -> Result<Mean> {
        Ok(Mean { acc: device.zeros([2].into())?, rows: 0 })
    }

    /// Forgets what was added.
    ///
    /// # Errors
    /// Those of the device.
    pub fn reset(&mut self, device: &Device) -> Result<()> {
        self.rows = 0;
        device.fill(0.0, self.acc.view_mut())
    }

    /// Adds rows `[R]`, each times its weight. The mean divides by the number of rows, whatever the weights:
    /// Keras's `sum_over_batch_size`.
    ///
    /// # Errors
    /// There are not as many weights as rows; those of the device.
    pub fn add(&mut self, device: &Device, rows: View, weights: Option<View>) -> Result<()> {
        device.accumulate(rows, weights, self.acc.view_mut())?;
        self.rows += rows.len() as u64;
        Ok(())
    }

    /// The mean of all rows; 0 of none. Waits for the device.
    ///
    /// # Errors
    /// The device failed.
    pub fn result(&self) -> Result<f64> {
        let mut acc = [0.0; 2];
        self.acc.view().read(&mut acc)?;
        Ok(if self.rows == 0 { 0.0 } else { (acc[0] + acc[1]) / self.rows as f64 })
    }
}

/// For a training that is left in the middle of an epoch.
impl Mean {
    /// The sum, its rounding error, and the number of rows.
    pub(crate) fn sums(&self) -> Result<Vec<f64>> {
        let mut sums = self.acc.view().values()?;
        sums.push(self.rows as f64);
        Ok(sums)
    }

    pub(crate) fn set_sums(&mut self, sums: &[f64]) -> Result<()> {
        let &[sum, error, rows] = sums else { return Err(other_sums("a mean")) };
        self.rows = rows as u64;
        self.acc.view_mut().write(&[sum, error])
    }
}

/// What each row gives.
#[derive(Clone, Copy)]
enum Row {
    Score(Score),
    Loss(Loss),
}

/// The mean of a [`Score`] or a [`Loss`] over all rows, or its square root.
///
/// ```
/// use handgrad::metrics::{Metric, RowMean, Score};
/// let top_3 = RowMean::of_score("top_3_accuracy", Score::TopK(3));
/// assert_eq!(top_3.name(), "top_3_accuracy");
/// ```
pub struct RowMean {
    name: String,
    row: Row,
    root: bool,
    state: Option<State>,
}

/// What planning makes.
struct State {
    /// One number for each row of the largest batch.                                                          [R]
    rows: Tensor,
    mean: Mean,
}

impl RowMean {
    /// The mean of a score: an accuracy.
    pub fn of_score(name: impl Into<String>, score: Score) -> RowMean {
        RowMean { name: name.into(), row: Row::Score(score), root: false, state: None }
    }

    /// The mean of a loss.
    pub fn of_loss(name: impl Into<String>, loss: Loss) -> RowMean {
        RowMean { name: name.into(), row: Row::Loss(loss), root: false, state: None }
    }

    /// The square root of the mean, taken once, at the end.
    pub fn root(mut self) -> RowMean {
        self.root = true;
        self
    }
}

impl Metric for RowMean {
    fn name(&self) -> &str {
        &self.name
    }

    fn plan(&mut self, device: &Device, output: Shape, max_batch: usize) -> Result<()> {
        if let Row::Score(Score::TopK(0)) = self.row {
            return Err(Error::invalid(
                format!("the metric `{}` looks at the 0 largest", self.name),
                "give a k of at least 1",
            ));
        }
        let (rows, _) = output.batched(max_batch).as_matrix();
        self.state = Some(State { rows: device.zeros([rows].into())?, mean: Mean::new(device)? });
        Ok(())
    }

    fn reset(&mut self, device: &Device) -> Result<()> {
        let state = self.state.as_mut().ok_or_else(|| not_planned(&self.name))?;
        state.mean.reset(device)
    }

    fn update(&mut self, device: &Device, prediction: View, target: Target) -> Result<()> {
        let state = self.state.as_mut().ok_or_else(|| not_planned(&self.name))?;
        let mut rows = state.rows.prefix_mut([prediction.shape().as_matrix().0].into())?;
        match self.row {
            Row::Score(score) => device.score(score, prediction, target, rows.reborrow())?,
            Row::Loss(loss) => device.loss(loss, prediction, target, rows.reborrow())?,
        }
        state.mean.add(device, rows.as_view(), None)
    }

    fn result(&self) -> Result<f64> {
        let state = self.state.as_ref().ok_or_else(|| not_planned(&self.name))?;
        let mean = state.mean.result()?;
        Ok(if self.root { mean.sqrt() } else { mean })
    }

    fn sums(&self) -> Result<Vec<f64>> {
        self.state.as_ref().ok_or_else(|| not_planned(&self.name))?.mean.sums()
    }

    fn set_sums(&mut self, sums: &[f64]) -> Result<()> {
        self.state.as_mut().ok_or_else(|| not_planned(&self.name))?.mean.set_sums(sums)
    }

    fn larger_is_better(&self) -> Option<bool> {
        Some(matches!(self.row, Row::Score(_)))
    }
}
