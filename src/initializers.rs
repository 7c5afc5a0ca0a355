//! How parameters start.

use crate::error::Result;
use crate::rng::Rng;
use crate::shape::Shape;

/// A rule that draws a parameter's first values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Initializer {
    /// All 0.
    Zeros,
    /// Uniform in ±√(6 / (fan_in + fan_out)) (Glorot, Bengio 2010).
    GlorotUniform,
}

impl Initializer {
    /// Values of a parameter of `shape`.
    ///
    /// # Errors
    /// The rule cannot fill this shape.
    pub fn draw(self, shape: Shape, rng: &mut Rng) -> Result<Vec<f64>> {
        let (fan_in, fan_out) = shape.as_matrix();
        let limit = (6.0 / (fan_in + fan_out) as f64).sqrt();
        Ok(match self {
            Initializer::Zeros => vec![0.0; shape.len()],
            Initializer::GlorotUniform => {
                (0..shape.len()).map(|_| limit * (2.0 * rng.uniform() - 1.0)).collect()
            }
        })
    }
}
