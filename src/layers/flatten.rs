//! Flatten: a sample's numbers in a row, in the order they have in memory.
//!
//! ```text
//! Forward   y = x
//! Backward  dx = dy
//!
//! Shapes    x [N, ...]   y [N, F]   F = the product of the extents
//! ```

use super::{Build, Cx, FromConfig, Layer};
use crate::config::{Config, Reader};
use crate::error::Result;
use crate::shape::Shape;
use crate::tensor::{View, ViewMut};

/// Makes every sample a vector: what Dense wants behind a convolution.
///
/// ```
/// use handgrad::{Sequential, layers::Flatten};
/// let mut model = Sequential::new().with(Flatten::new());
/// model.build([5, 5, 64])?;
/// assert_eq!(model.output_shape(), Some([1600].into()));
/// # Ok::<(), handgrad::Error>(())
/// ```
#[derive(Default)]
pub struct Flatten;

impl Flatten {
    /// The layer; there is nothing to choose.
    pub fn new() -> Flatten {
        Flatten
    }
}

impl FromConfig for Flatten {
    fn from_config(_: &mut Reader) -> Result<Flatten> {
        Ok(Flatten)
    }
}

impl Layer for Flatten {
    fn kind(&self) -> &'static str {
        "Flatten"
    }

    fn config(&self) -> Option<Config> {
        Some(Config::new())
    }

    fn build(&mut self, _cx: &mut Build, input: Shape) -> Result<Shape> {
        Ok(Shape::from([input.len()]))
    }

    fn forward(&mut self, cx: &mut Cx, x: View, y: ViewMut) -> Result<()> {
        cx.device.copy(x, y) //                                                          y = x   [N, F]
    }

    fn backward(&mut self, cx: &mut Cx, _x: View, _y: View, dy: ViewMut, dx: Option<ViewMut>) -> Result<()> {
        dx.map_or(Ok(()), |dx| cx.device.copy(dy.as_view(), dx)) //                      dx = dy [N, ...]
    }

    fn is_reshape(&self) -> bool {
        true
    }
}
