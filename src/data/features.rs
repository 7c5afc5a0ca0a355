//! The two halves of a dataset: what goes in and what should come out.

use super::split::check_positions;
use crate::backend::HostRows;
use crate::error::{Error, Result};
use crate::layers::reshape::nearest;
use crate::mistakes::{Mistake, Part};
use crate::shape::{MAX_DIMS, Shape};

/// What goes into a model: samples of one shape, one after the other, row-major.
#[derive(Clone, Debug, PartialEq)]
pub enum Features {
    /// Reals.
    F32 {
        /// The shape of one sample.
        sample: Shape,
        /// All samples, `[N, sample...]`.
        values: Vec<f32>,
    },
    /// Bytes, each worth `byte · scale`: images as their files hold them, a quarter of the memory.
    Bytes {
        /// The shape of one sample.
        sample: Shape,
        /// All samples, `[N, sample...]`.
        bytes: Vec<u8>,
        /// What one step of a byte is worth: 1/255 for pixels in [0, 1].
        scale: f32,
    },
}

/// What should come out of a model.
#[derive(Clone, Debug, PartialEq)]
pub enum Targets {
    /// Classes by number.
    Labels {
        /// The shape of one sample's labels: [`Shape::SCALAR`] for one label, `[T]` for one a time step.
        sample: Shape,
        /// All labels, `[N, sample...]`.
        labels: Vec<u32>,
    },
    /// Reals, or one-hot rows.
    Values {
        /// The shape of one sample's values.
        sample: Shape,
        /// All values, `[N, sample...]`.
        values: Vec<f32>,
    },
}

impl Features {
    /// Rows of equal length; a sample is `[row length]`.
    ///
    /// # Errors
    /// No row, rows of different lengths, a number that is not finite.
    pub fn from_rows(rows: &[impl AsRef<[f32]>]) -> Result<Features> {
        let (sample, values) = flatten(rows, Part::X)?;
        let x = Features::F32 { sample, values };
        x.check()?;
        Ok(x)
    }

    /// The numbers, for a device to gather batches from.
    pub fn rows(&self) -> HostRows<'_> {
        match self {
            Features::F32 { values, .. } => HostRows::F32(values),
            Features::Bytes { bytes, scale, .. } => HostRows::U8 { bytes, scale: *scale },
        }
    }

    /// The shape of one sample.
    pub fn sample(&self) -> Shape {
        match self {
            Features::F32 { sample, .. } | Features::Bytes { sample, .. } => *sample,
        }
    }

    /// How many samples.
    pub fn len(&self) -> usize {
        self.rows().len() / self.sample().len().max(1)
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sample `i` as reals, scaled; empty when there is no such sample.
    pub fn values_of(&self, i: usize) -> Vec<f32> {
        let n = self.sample().len();
        let range = i.saturating_mul(n)..i.saturating_add(1).saturating_mul(n);
        match self {
            Features::F32 { values, .. } => values.get(range).unwrap_or(&[]).to_vec(),
            Features::Bytes { bytes, scale, .. } => {
                bytes.get(range).unwrap_or(&[]).iter().map(|&b| f32::from(b) * scale).collect()
            }
        }
    }

    /// Checks what [`Dataset::new`](super::Dataset::new) checks: whole samples, at least one, finite numbers.
    ///
    /// # Errors
    /// The first thing that is wrong, and where.
    pub fn check(&self) -> Result<()> {
        check_layout(Part::X, self.sample(), self.rows().len())?;
        match self {
            Features::F32 { sample, values } => check_finite(Part::X, *sample, values),
            Features::Bytes { scale, .. } if !(scale.is_finite() && *scale != 0.0) => Err(Error::data(
                format!("a byte of x cannot be worth {scale}"),
                "give a scale such as 1.0 / 255.0",
            )),
            Features::Bytes { .. } => Ok(()),
        }
    }

    /// The same numbers with another shape of a sample: `[784]` as `[28, 28, 1]`.
    ///
    /// # Errors
    /// The two shapes do not have the same number of elements, or a sample has too many dimensions.
    pub fn reshape(mut self, to: impl Into<Shape>) -> Result<Features> {
        let (from, to) = (self.sample(), to.into());
        if from.len() != to.len() {
            let nearest = nearest(to, from.len());
            return Err(Mistake::ReshapeCount { layer: None, from, to, nearest }.into());
        }
        if to.rank() >= MAX_DIMS {
            return Err(Error::data(
                format!("samples cannot have the {} dimensions of {to}", to.rank()),
                "a sample has at most five dimensions: the batch is the sixth",
            ));
        }
        match &mut self {
            Features::F32 { sample, .. } | Features::Bytes { sample, .. } => *sample = to,
        }
        Ok(self)
    }

    pub(super) fn gather(&self, order: &[usize]) -> Features {
        let n = self.sample().len();
        match self {
            Features::F32 { sample, values } => {
                Features::F32 { sample: *sample, values: gather(values, n, order) }
            }
            Features::Bytes { sample, bytes, scale } => {
                Features::Bytes { sample: *sample, bytes: gather(bytes, n, order), scale: *scale }
            }
        }
    }

    pub(super) fn split_off(&mut self, at: usize) -> Features {
        let n = self.sample().len();
        match self {
            Features::F32 { sample, values } => {
                Features::F32 { sample: *sample, values: values.split_off(at * n) }
            }
            Features::Bytes { sample, bytes, scale } => {
                Features::Bytes { sample: *sample, bytes: bytes.split_off(at * n), scale: *scale }
            }
        }
    }
}

impl Targets {
    /// One class a sample.
    pub fn labels(labels: Vec<u32>) -> Targets {
        Targets::Labels { sample: Shape::SCALAR, labels }
    }

    /// The shape of one sample's target.
    pub fn sample(&self) -> Shape {
        match self {
            Targets::Labels { sample, .. } | Targets::Values { sample, .. } => *sample,
        }
    }

    /// How many samples.
    pub fn len(&self) -> usize {
        self.numbers() / self.sample().len().max(1)
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The target of sample `i` as reals; empty when there is no such sample.
    pub fn values_of(&self, i: usize) -> Vec<f32> {
        let n = self.sample().len();
        let range = i.saturating_mul(n)..i.saturating_add(1).saturating_mul(n);
        match self {
            Targets::Labels { labels, .. } => {
                labels.get(range).unwrap_or(&[]).iter().map(|&l| l as f32).collect()
            }
            Targets::Values { values, .. } => values.get(range).unwrap_or(&[]).to_vec(),
        }
    }

    /// The targets at the given positions, in that order; a position may come more than once.
    ///
    /// # Errors
    /// No position, or one past the end.
    pub fn subset(&self, order: &[usize]) -> Result<Targets> {
        check_positions(order, self.len())?;
        Ok(self.gather(order))
    }

    pub(super) fn numbers(&self) -> usize {
        match self {
            Targets::Labels { labels, .. } => labels.len(),
            Targets::Values { values, .. } => values.len(),
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        check_layout(Part::Y, self.sample(), self.numbers())?;
        match self {
            Targets::Values { sample, values } => check_finite(Part::Y, *sample, values),
            Targets::Labels { .. } => Ok(()),
        }
    }

    pub(super) fn gather(&self, order: &[usize]) -> Targets {
        let n = self.sample().len();
        match self {
            Targets::Labels { sample, labels } => {
                Targets::Labels { sample: *sample, labels: gather(labels, n, order) }
            }
            Targets::Values { sample, values } => {
                Targets::Values { sample: *sample, values: gather(values, n, order) }
            }
        }
    }

    pub(super) fn split_off(&mut self, at: usize) -> Targets {
        let n = self.sample().len();
        match self {
            Targets::Labels { sample, labels } => {
                Targets::Labels { sample: *sample, labels: labels.split_off(at * n) }
            }
            Targets::Values { sample, values } => {
                Targets::Values { sample: *sample, values: values.split_off(at * n) }
            }
        }
    }
}

fn gather<T: Copy>(values: &[T], row: usize, order: &[usize]) -> Vec<T> {
    let mut gathered = Vec::with_capacity(order.len() * row);
    order.iter().for_each(|&i| gathered.extend_from_slice(&values[i * row..(i + 1) * row]));
    gathered
}

pub(super) fn flatten(rows: &[impl AsRef<[f32]>], part: Part) -> Result<(Shape, Vec<f32>)> {
    let width = rows.first().map_or(0, |row| row.as_ref().len());
    if let Some(i) = rows.iter().position(|row| row.as_ref().len() != width) {
        let (numbers, row) = (rows[i].as_ref().len(), i);
        return Err(Mistake::RaggedRow { part, row, numbers, expected: width }.into());
    }
    let values = rows.iter().flat_map(|row| row.as_ref().iter().copied()).collect();
    Ok((Shape::new(&[width])?, values))
}

/// Whole samples, and at least one.
fn check_layout(part: Part, sample: Shape, numbers: usize) -> Result<()> {
    if numbers == 0 || sample.len() == 0 {
        let mut shape = sample.dims().to_vec();
        shape.insert(0, numbers.checked_div(sample.len()).unwrap_or(0));
        return Err(Mistake::Empty { part: Some(part), shape }.into());
    }
    if !numbers.is_multiple_of(sample.len()) {
        return Err(Mistake::BrokenSample { part, sample, numbers }.into());
    }
    if sample.rank() >= MAX_DIMS {
        return Err(Error::data(
            format!("a sample of {part} has {} dimensions ({sample})", sample.rank()),
            "a sample has at most five dimensions: the batch is the sixth",
        ));
    }
    Ok(())
}

fn check_finite(part: Part, sample: Shape, values: &[f32]) -> Result<()> {
    let Some(i) = values.iter().position(|v| !v.is_finite()) else { return Ok(()) };
    let (value, at) = (values[i], sample.coordinates(i % sample.len()));
    Err(Mistake::NotFinite { part, value, sample: i / sample.len(), at }.into())
}
