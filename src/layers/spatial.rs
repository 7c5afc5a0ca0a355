//! What convolution and pooling share: a number for each axis of space, and the check of the images that come in.

use super::{Build, Layer};
use crate::config::{FromValue, wrong};
use crate::error::{Error, Result};
use crate::shape::Shape;
use crate::window::{Padding, Window};
use serde_json::Value;
use std::fmt;

/// One number for each of D axes of space; a single number stands for all of them. Prints as `3×3`.
///
/// ```
/// use handgrad::layers::Extents;
/// assert_eq!(Extents::<2>::from(3), Extents::from([3, 3]));
/// assert_eq!(Extents::from([3, 5]).to_string(), "3×5");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extents<const D: usize>(pub(super) [usize; D]);

impl<const D: usize> From<usize> for Extents<D> {
    fn from(n: usize) -> Extents<D> {
        Extents([n; D])
    }
}

impl<const D: usize> From<[usize; D]> for Extents<D> {
    fn from(extents: [usize; D]) -> Extents<D> {
        Extents(extents)
    }
}

impl<const D: usize> fmt::Display for Extents<D> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for (axis, n) in self.0.iter().enumerate() {
            write!(f, "{}{n}", if axis == 0 { "" } else { "×" })?;
        }
        Ok(())
    }
}

impl<const D: usize> From<Extents<D>> for Value {
    fn from(extents: Extents<D>) -> Value {
        extents.0.as_slice().into()
    }
}

impl<const D: usize> FromValue for Extents<D> {
    fn from_value(value: &Value) -> Result<Extents<D>> {
        if value.is_number() {
            return Ok(Extents([usize::from_value(value)?; D]));
        }
        let extents = <[usize; D]>::try_from(Vec::from_value(value)?);
        extents.map(Extents).map_err(|_| wrong(value, &format!("a number, or a list of {D}")))
    }
}

/// A layer's window over its input.
///
/// # Errors
/// The input is not an image of D axes and channels, or the window does not fit into it.
pub(super) fn window<const D: usize>(
    cx: &Build,
    layer: &dyn Layer,
    input: Shape,
    kernel: Extents<D>,
    strides: Extents<D>,
    dilation: Extents<D>,
    padding: Padding,
) -> Result<Window> {
    if input.rank() != D + 1 {
        return Err(not_an_image::<D>(cx, layer, input));
    }
    Window::new(input, &kernel.0, &strides.0, &dilation.0, padding)
        .map_err(|e| cx.config_error(layer, &e, e.hint().unwrap_or_default()))
}

/// The shape of an image: D extents, then channels.
pub(super) fn image<const D: usize>(extents: [usize; 3], channels: usize) -> Result<Shape> {
    let [d, h, w] = extents;
    Shape::new(&[d, h, w, channels][3 - D..])
}

fn not_an_image<const D: usize>(cx: &Build, layer: &dyn Layer, input: Shape) -> Error {
    let expected =
        ["[N, steps, channels]", "[N, height, width, channels]", "[N, depth, height, width, channels]"];
    let side = input.len().isqrt();
    let hint = match input.rank() {
        rank if rank == D => {
            let with_channel: Vec<usize> = input.dims().iter().copied().chain([1]).collect();
            format!("add Reshape::new({with_channel:?}) before it")
        }
        1 if D == 2 && side * side == input.len() => {
            format!("add Reshape::new([{side}, {side}, 1]) before it")
        }
        _ => format!("add a Reshape before it that gives extents of space ({D}) and then channels"),
    };
    cx.shape_error(layer, input, expected[D - 1], &hint)
}
