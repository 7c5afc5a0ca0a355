//! Reshape: the same numbers in the same order, under another shape.
//!
//! ```text
//! Forward   y = x
//! Backward  dx = dy
//!
//! Shapes    x [N, ...]   y [N, target...]   both with as many numbers
//! ```

use super::{Build, Cx, Layer};
use crate::error::Result;
use crate::shape::{MAX_DIMS, Shape};
use crate::tensor::{View, ViewMut};

/// Gives every sample another shape: a vector of 784 becomes an image.
///
/// ```
/// use handgrad::{Sequential, layers::Reshape};
/// let mut model = Sequential::new().with(Reshape::new([28, 28, 1]));
/// model.build([784])?;
/// assert_eq!(model.output_shape(), Some([28, 28, 1].into()));
///
/// let wrong = Sequential::new().with(Reshape::new([28, 20])).build([784]).unwrap_err();
/// assert_eq!(wrong.hint(), Some("a reshape keeps every number, and 784 are not 560: did you mean [28, 28]?"));
/// # Ok::<(), handgrad::Error>(())
/// ```
pub struct Reshape {
    target: Shape,
}

impl Reshape {
    /// To samples of shape `target`, without the batch.
    pub fn new(target: impl Into<Shape>) -> Reshape {
        Reshape { target: target.into() }
    }
}

impl Layer for Reshape {
    fn kind(&self) -> &'static str {
        "Reshape"
    }

    fn describe(&self) -> String {
        format!("Reshape {}", self.target)
    }

    fn build(&mut self, cx: &mut Build, input: Shape) -> Result<Shape> {
        if self.target.rank() >= MAX_DIMS {
            let hint = format!("a sample has up to {} dimensions: the batch is one more", MAX_DIMS - 1);
            return Err(cx.config_error(self, "too many dimensions", hint));
        }
        if input.len() != self.target.len() {
            let (have, want) = (input.len(), self.target.len());
            let rule = format!("a reshape keeps every number, and {have} are not {want}");
            let hint = match nearest(self.target, have) {
                Some(near) => format!("{rule}: did you mean {near}?"),
                None => format!("{rule}: choose extents whose product is {have}"),
            };
            return Err(cx.shape_error(
                self,
                input,
                &format!("[N, ...] with {want} numbers a sample"),
                &hint,
            ));
        }
        Ok(self.target)
    }

    fn forward(&mut self, cx: &mut Cx, x: View, y: ViewMut) -> Result<()> {
        cx.device.copy(x, y) //                                                          y = x   [N, ...]
    }

    fn backward(&mut self, cx: &mut Cx, _x: View, _y: View, dy: ViewMut, dx: Option<ViewMut>) -> Result<()> {
        dx.map_or(Ok(()), |dx| cx.device.copy(dy.as_view(), dx)) //                      dx = dy [N, ...]
    }

    fn is_reshape(&self) -> bool {
        true
    }
}

/// `target` with one extent changed so that it holds `len` numbers, if that can be; the last such extent.
fn nearest(target: Shape, len: usize) -> Option<Shape> {
    (0..target.rank()).rev().find_map(|axis| {
        let mut dims = target.dims().to_vec();
        dims[axis] = 1;
        let others: usize = dims.iter().product();
        dims[axis] = len.checked_div(others)?;
        Shape::new(&dims).ok().filter(|shape| shape.len() == len && len > 0)
    })
}
