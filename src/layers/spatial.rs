//! What convolution and pooling share: a number for each axis of space, and the check of the images that come in.

use super::{Build, Layer};
use crate::config::{FromValue, wrong};
use crate::error::Result;
use crate::mistakes::Mistake;
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
        let layer = cx.called(layer);
        return Err(Mistake::ImageWanted { layer, got: input, axes: D, flattened: None }.into());
    }
    if padding == Padding::Valid {
        let reach = |a: usize| kernel.0[a].saturating_sub(1).saturating_mul(dilation.0[a]).saturating_add(1);
        let extents = &input.dims()[..D];
        // Farther than this is no slip but a number too large for a window, which `Window::new` says.
        let small = |a: &usize| reach(*a) > extents[*a] && extents[*a] > 0 && reach(*a) <= 1 << 31;
        if let Some(a) = (0..D).find(small) {
            return Err(Mistake::WindowTooLarge {
                layer: cx.called(layer),
                got: input,
                reach: reach(a),
                extent: extents[a],
                channels_first: a == 0
                    && D == 2
                    && matches!(extents[0], 1 | 3)
                    && extents[1] > extents[0]
                    && extents[1] == input.last(),
            }
            .into());
        }
    }
    Window::new(input, &kernel.0, &strides.0, &dilation.0, padding)
        .map_err(|e| cx.config_error(layer, &e, e.hint().unwrap_or_default()))
}

/// The shape of an image: D extents, then channels.
pub(super) fn image<const D: usize>(extents: [usize; 3], channels: usize) -> Result<Shape> {
    let [d, h, w] = extents;
    Shape::new(&[d, h, w, channels][3 - D..])
}
