//! R²: how much of the targets' variance the predictions explain.
//!
//! ```text
//! R² = mean over columns of 1 − Σ (t − p)² / Σ (t − mean t)²
//! ```
//!
//! Both sums run over all rows of all batches. The second one grows with its mean, row by row (Welford 1962), because
//! Σ t² − (Σ t)² / R loses all digits where the mean is far from 0.
//! A column whose targets are all alike counts as 0.

use super::{Metric, not_planned, other_sums};
use crate::backend::Target;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::shape::Shape;
use crate::tensor::View;

/// The coefficient of determination over a whole epoch. Unlike the others it sums on the host, in `f64`.
///
/// ```
/// use handgrad::{Device, Target, metrics::{Metric, R2Score}};
/// let dev = Device::reference();
/// let mut r2 = R2Score::new("r2_score");
/// r2.plan(&dev, [1].into(), 3)?;
/// let (p, t) = (dev.tensor([3, 1], &[1., 2., 2.])?, dev.tensor([3, 1], &[1., 2., 3.])?);
/// r2.update(&dev, p.view(), Target::Values(t.view()))?;
/// assert_eq!(r2.result()?, 0.5);
/// # Ok::<(), handgrad::Error>(())
/// ```
pub struct R2Score {
    name: String,
    columns: Vec<Column>,
    rows: u64,
    /// A batch of predictions and of targets.                                                              [R, C]
    prediction: Vec<f64>,
    target: Vec<f64>,
}

/// The sums of one output column.
#[derive(Clone, Copy, Default)]
struct Column {
    /// Σ (t − p)².
    residual: f64,
    /// mean t.
    mean: f64,
    /// Σ (t − mean t)².
    total: f64,
}

impl R2Score {
    /// Of nothing yet.
    pub fn new(name: impl Into<String>) -> R2Score {
        R2Score { name: name.into(), columns: vec![], rows: 0, prediction: vec![], target: vec![] }
    }
}

impl Metric for R2Score {
    fn name(&self) -> &str {
        &self.name
    }

    fn plan(&mut self, _device: &Device, output: Shape, max_batch: usize) -> Result<()> {
        self.columns = vec![Column::default(); output.last()];
        self.prediction = vec![0.0; output.len() * max_batch];
        self.target = vec![0.0; output.len() * max_batch];
        Ok(())
    }

    fn reset(&mut self, _device: &Device) -> Result<()> {
        self.columns.fill(Column::default());
        self.rows = 0;
        Ok(())
    }

    fn update(&mut self, _device: &Device, prediction: View, target: Target) -> Result<()> {
        let Target::Values(target) = target else {
            return Err(Error::invalid(
                format!("the metric `{}` is for real targets and got labels", self.name),
                "use the metric `accuracy` for labels",
            ));
        };
        let (len, columns) = (prediction.len(), self.columns.len());
        if columns == 0 {
            return Err(not_planned(&self.name));
        }
        if target.len() != len {
            return Err(Error::op("r2_score", format!("{} against {}", prediction.shape(), target.shape())));
        }
        let (Some(p), Some(t)) = (self.prediction.get_mut(..len), self.target.get_mut(..len)) else {
            return Err(not_planned(&self.name));
        };
        prediction.read(p)?;
        target.read(t)?;
        for (p, t) in p.chunks_exact(columns).zip(t.chunks_exact(columns)) {
            self.rows += 1;
            for ((column, &p), &t) in self.columns.iter_mut().zip(p).zip(t) {
                let from_old_mean = t - column.mean;
                column.mean += from_old_mean / self.rows as f64;
                column.total += from_old_mean * (t - column.mean);
                column.residual += (t - p) * (t - p);
            }
        }
        Ok(())
    }

    fn result(&self) -> Result<f64> {
        let explained = |c: &Column| if c.total == 0.0 { 0.0 } else { 1.0 - c.residual / c.total };
        match self.columns.len() {
            0 => Err(not_planned(&self.name)),
            n => Ok(self.columns.iter().map(explained).sum::<f64>() / n as f64),
        }
    }

    fn sums(&self) -> Result<Vec<f64>> {
        let columns = self.columns.iter().flat_map(|c| [c.residual, c.mean, c.total]);
        Ok(columns.chain([self.rows as f64]).collect())
    }

    fn set_sums(&mut self, sums: &[f64]) -> Result<()> {
        let Some((rows, columns)) = sums.split_last().filter(|_| sums.len() == 3 * self.columns.len() + 1)
        else {
            return Err(other_sums(&self.name));
        };
        self.rows = *rows as u64;
        for (column, sums) in self.columns.iter_mut().zip(columns.chunks_exact(3)) {
            *column = Column { residual: sums[0], mean: sums[1], total: sums[2] };
        }
        Ok(())
    }

    fn larger_is_better(&self) -> Option<bool> {
        Some(true)
    }
}
