//! Input: says which shape the samples have, and passes them on.
//!
//! ```text
//! Forward   y = x
//! Backward  dx = dy
//!
//! Shapes    x, y [N, ...]
//! ```

use super::{Build, Cx, FromConfig, Layer};
use crate::config::{BatchShape, Config, Reader, record};
use crate::error::Result;
use crate::shape::{MAX_DIMS, Shape};
use crate::tensor::{View, ViewMut};

/// The shape of one sample, declared at the head of a model, which then needs no `build`. It computes nothing.
///
/// ```
/// use handgrad::{Sequential, layers::{Dense, Input}};
/// let mut model = Sequential::new().with(Input::new([784])).with(Dense::new(10));
/// assert_eq!(model.parameter_count()?, 7850);
/// assert!(model.build([28, 28]).is_err());
/// # Ok::<(), handgrad::Error>(())
/// ```
pub struct Input {
    shape: Shape,
}

impl Input {
    /// Samples of `shape`, without the batch.
    pub fn new(shape: impl Into<Shape>) -> Input {
        Input { shape: shape.into() }
    }
}

/// From `batch_shape`, as in files, or from `shape`, as people write it.
impl FromConfig for Input {
    fn from_config(r: &mut Reader) -> Result<Input> {
        match r.get("shape")? {
            Some(shape) => Ok(Input { shape }),
            None => r.need("batch_shape").map(|BatchShape(shape)| Input { shape }),
        }
    }
}

impl Layer for Input {
    fn kind(&self) -> &'static str {
        "Input"
    }

    fn describe(&self) -> String {
        format!("Input {}", self.shape)
    }

    fn config(&self) -> Option<Config> {
        Some(record([("batch_shape", BatchShape(self.shape).into())]))
    }

    fn build(&mut self, cx: &mut Build, input: Shape) -> Result<Shape> {
        if self.shape.rank() >= MAX_DIMS {
            let hint = format!("a sample has up to {} dimensions: the batch is one more", MAX_DIMS - 1);
            return Err(cx.config_error(self, "too many dimensions", hint));
        }
        if input != self.shape {
            let hint = match input.len() == self.shape.len() {
                true => format!("reshape the samples to {}, or declare Input::new({input})", self.shape),
                false => format!("give samples of that shape, or declare Input::new({input})"),
            };
            return Err(cx.shape_error(self, input, &self.shape.per_sample(), &hint));
        }
        Ok(input)
    }

    fn forward(&mut self, cx: &mut Cx, x: View, y: ViewMut) -> Result<()> {
        cx.device.copy(x, y) //                                                          y = x   [N, ...]
    }

    fn backward(&mut self, cx: &mut Cx, _x: View, _y: View, dy: ViewMut, dx: Option<ViewMut>) -> Result<()> {
        dx.map_or(Ok(()), |dx| cx.device.copy(dy.as_view(), dx)) //                      dx = dy [N, ...]
    }

    fn declared_input(&self) -> Option<Shape> {
        Some(self.shape)
    }

    fn is_reshape(&self) -> bool {
        true
    }
}
