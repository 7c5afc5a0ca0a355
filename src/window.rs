//! The geometry of a window that slides over space: what convolution and pooling share.

use crate::config::{FromValue, wrong};
use crate::error::{Error, Result};
use crate::shape::Shape;
use serde_json::Value;
use std::fmt;

/// What happens at the border. Names are Keras's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Padding {
    /// The window stays inside: `out = (in − reach) / stride + 1`, rounded down.
    #[default]
    Valid,
    /// `out = in / stride`, rounded up; zeros outside, the odd one behind.
    Same,
}

impl fmt::Display for Padding {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(if *self == Padding::Valid { "valid" } else { "same" })
    }
}

impl From<Padding> for Value {
    fn from(padding: Padding) -> Value {
        padding.to_string().into()
    }
}

impl FromValue for Padding {
    fn from_value(value: &Value) -> Result<Padding> {
        match value.as_str() {
            Some("valid") => Ok(Padding::Valid),
            Some("same") => Ok(Padding::Same),
            Some(other) => Err(Error::unknown("padding", other, &["valid", "same"])),
            None => Err(wrong(value, "\"valid\" or \"same\"")),
        }
    }
}

/// A window over images `[N, D, H, W, C]`. One-dimensional data has D = H = 1, two-dimensional D = 1.
///
/// Output position o and kernel position k meet at input position `o·stride + k·dilation − before`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Extents of the input: depth, height, width.
    pub input: [usize; 3],
    /// Extents of the output.
    pub output: [usize; 3],
    /// Extents of the window.
    pub kernel: [usize; 3],
    /// Steps between neighbouring windows.
    pub stride: [usize; 3],
    /// Steps between neighbouring elements of one window.
    pub dilation: [usize; 3],
    /// Padding in front of the first element, along each axis.
    pub before: [usize; 3],
    /// Channels of the input.
    pub channels: usize,
}

impl Window {
    /// A window over `input` (1 to 3 extents, then channels) with as many extents in `kernel`, `stride`, `dilation`.
    ///
    /// # Errors
    /// An extent of 0, or a window that does not fit into the input without padding.
    pub fn new(
        input: Shape,
        kernel: &[usize],
        stride: &[usize],
        dilation: &[usize],
        padding: Padding,
    ) -> Result<Window> {
        let axes = kernel.len();
        if input.rank() != axes + 1 || !(1..=3).contains(&axes) {
            return Err(Error::op("window", format!("a window of {axes} extents over {input}")));
        }
        let unit = [1; 3];
        let mut w = Window {
            input: unit,
            output: unit,
            kernel: unit,
            stride: unit,
            dilation: unit,
            before: [0; 3],
            channels: input.last(),
        };
        for a in 0..axes {
            let (n, k, s, d) = (input.dims()[a], kernel[a], stride[a], dilation[a]);
            if n == 0 || k == 0 || s == 0 || d == 0 {
                return Err(Error::invalid(
                    format!("a window of {k} with stride {s} and dilation {d} over an extent of {n}"),
                    "extents, strides and dilations start at 1",
                ));
            }
            let reach = (k - 1).saturating_mul(d).saturating_add(1);
            let (out, before) = match padding {
                _ if reach > 1 << 31 || s > 1 << 31 => {
                    return Err(Error::invalid(
                        format!("a window that reaches over {reach} with stride {s} is too large"),
                        "use a smaller kernel, stride or dilation",
                    ));
                }
                Padding::Valid if reach > n => {
                    return Err(Error::invalid(
                        format!("a window that reaches over {reach} does not fit into an extent of {n}"),
                        "use a smaller kernel or dilation, a larger input, or padding `same`",
                    ));
                }
                Padding::Valid => ((n - reach) / s + 1, 0),
                Padding::Same => {
                    let out = n.div_ceil(s);
                    (out, ((out - 1) * s + reach).saturating_sub(n) / 2)
                }
            };
            let at = 3 - axes + a;
            (w.input[at], w.output[at], w.kernel[at], w.stride[at]) = (n, out, k, s);
            (w.dilation[at], w.before[at]) = (d, before);
        }
        Ok(w)
    }

    /// Output positions of one image: `od·oh·ow`.
    pub fn positions(&self) -> usize {
        self.output.iter().product()
    }

    /// Numbers that one window sees: `kd·kh·kw·C`, the columns of im2col.
    pub fn taps(&self) -> usize {
        self.kernel.iter().product::<usize>() * self.channels
    }

    /// Numbers of one input image: `D·H·W·C`.
    pub fn input_len(&self) -> usize {
        self.input.iter().product::<usize>() * self.channels
    }

    /// The input position that output position `o` and kernel position `k` meet at along `axis`;
    /// `None` in the padding.
    #[inline(always)]
    pub fn at(&self, axis: usize, o: usize, k: usize) -> Option<usize> {
        let i = (o * self.stride[axis] + k * self.dilation[axis]).checked_sub(self.before[axis])?;
        (i < self.input[axis]).then_some(i)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Output extents and the first input position as TensorFlow computes them for `same`.
    #[test]
    fn same_padding_puts_the_odd_zero_behind() {
        let w = |n, k, s| Window::new(Shape::from([n, 1]), &[k], &[s], &[1], Padding::Same).unwrap();
        assert_eq!((w(5, 2, 1).output[2], w(5, 2, 1).before[2]), (5, 0));
        assert_eq!((w(5, 3, 1).output[2], w(5, 3, 1).before[2]), (5, 1));
        assert_eq!((w(5, 3, 2).output[2], w(5, 3, 2).before[2]), (3, 1));
        assert_eq!((w(6, 3, 2).output[2], w(6, 3, 2).before[2]), (3, 0));
        assert_eq!(w(6, 3, 2).at(2, 2, 2), None);
        assert_eq!(w(5, 3, 2).at(2, 0, 0), None);
    }

    #[test]
    fn valid_windows_stay_inside() {
        let image = Shape::from([28, 28, 3]);
        let w = Window::new(image, &[3, 3], &[1, 1], &[2, 2], Padding::Valid).unwrap();
        assert_eq!((w.output, w.taps(), w.positions()), ([1, 24, 24], 27, 576));
        assert!(Window::new(image, &[29, 1], &[1, 1], &[1, 1], Padding::Valid).is_err());
        assert!(Window::new(image, &[3, 3], &[0, 1], &[1, 1], Padding::Same).is_err());
        assert!(Window::new(image, &[3, 3], &[1, 1], &[usize::MAX, 2], Padding::Same).is_err());
    }
}
