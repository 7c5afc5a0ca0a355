//! Pooling: one number for each window of an image, its largest or its mean, channel by channel.
//!
//! ```text
//! Max       forward   y[n, o, c] = max over the window of o
//!           backward  dy goes to the one element that was the largest: the others did not matter
//! Average   forward   y[n, o, c] = mean over the window of o, padding not counted
//!           backward  dy is shared out evenly over the window
//!
//! Shapes    x [N, D, H, W, C]   y [N, od, oh, ow, C]   (without D in 2-D, without D and H in 1-D)
//!           global: the window is the whole image       y [N, C]
//! ```
//!
//! Of several equal maxima the first in row-major order gets the gradient. There is nothing to learn here.
//!
//! Source: LeCun et al. 1998; Goodfellow et al. 2016, §9.3; Lin, Chen, Yan 2013 (global average pooling).

use super::spatial::{Extents, image, window};
use super::{Build, Cx, FromConfig, Layer, not_built};
use crate::activations::Activation;
use crate::config::{Config, Reader, record};
use crate::device::Device;
use crate::error::Result;
use crate::shape::Shape;
use crate::tensor::{View, ViewMut};
use crate::window::{Padding, Window};
use std::marker::PhantomData;

/// How a window becomes one number: [`Max`] or [`Average`].
pub trait Reduce: Send {
    /// What summaries call a pooling layer over 1, 2 and 3 axes.
    const KINDS: [&'static str; 3];
    /// What they call it when its window is the whole image.
    const GLOBAL_KINDS: [&'static str; 3];

    /// Whether the number is one of the window's, and only that one matters.
    const SELECTS: bool;

    /// y from x. x is [N, ..., C], y [N, od, oh, ow, C].
    ///
    /// # Errors
    /// Those of the device.
    fn forward(dev: &Device, w: &Window, x: View, y: ViewMut) -> Result<()>;

    /// dx from dy, and from what forward saw and made.
    ///
    /// # Errors
    /// Those of the device.
    fn backward(dev: &Device, w: &Window, x: View, y: View, dy: View, dx: ViewMut) -> Result<()>;
}

/// The largest number of a window.
pub struct Max;

impl Reduce for Max {
    const KINDS: [&'static str; 3] = ["MaxPooling1D", "MaxPooling2D", "MaxPooling3D"];
    const GLOBAL_KINDS: [&'static str; 3] =
        ["GlobalMaxPooling1D", "GlobalMaxPooling2D", "GlobalMaxPooling3D"];
    const SELECTS: bool = true;

    fn forward(dev: &Device, w: &Window, x: View, y: ViewMut) -> Result<()> {
        dev.max_pool(w, x, y) //                    y = max x                              [N, o, C]
    }

    fn backward(dev: &Device, w: &Window, x: View, y: View, dy: View, dx: ViewMut) -> Result<()> {
        dev.max_pool_backward(w, x, y, dy, dx) //   dx = dy where x was the largest, else 0 [N, i, C]
    }
}

/// The mean of a window.
pub struct Average;

impl Reduce for Average {
    const KINDS: [&'static str; 3] = ["AveragePooling1D", "AveragePooling2D", "AveragePooling3D"];
    const GLOBAL_KINDS: [&'static str; 3] =
        ["GlobalAveragePooling1D", "GlobalAveragePooling2D", "GlobalAveragePooling3D"];
    const SELECTS: bool = false;

    fn forward(dev: &Device, w: &Window, x: View, y: ViewMut) -> Result<()> {
        dev.average_pool(w, x, y) //                y = mean x                             [N, o, C]
    }

    fn backward(dev: &Device, w: &Window, _x: View, _y: View, dy: View, dx: ViewMut) -> Result<()> {
        dev.average_pool_backward(w, dy, dx) //     dx = Σ dy / size of its window         [N, i, C]
    }
}

/// Relu's derivative where x is what relu gave: the one element that gets dy is as large as y, so it is above 0 where y is.
fn relu_backward(cx: &Cx, y: View, dy: ViewMut) -> Result<()> {
    match cx.relu_below {
        true => cx.device.activation_backward(Activation::Relu, None, y, dy),
        false => Ok(()),
    }
}

/// Pooling over windows of D axes; see the [module](self) for the equations.
///
/// ```
/// use handgrad::{Sequential, layers::{AveragePooling2D, MaxPooling2D}};
/// let mut model = Sequential::new()
///     .with(MaxPooling2D::new(2)) //                      [28, 28, 3] → [14, 14, 3]
///     .with(AveragePooling2D::new([3, 2]).strides(1)); // [14, 14, 3] → [12, 13, 3]
/// model.build([28, 28, 3])?;
/// assert_eq!(model.output_shape(), Some([12, 13, 3].into()));
/// # Ok::<(), handgrad::Error>(())
/// ```
pub struct Pooling<R, const D: usize> {
    pool_size: Extents<D>,
    strides: Option<Extents<D>>,
    padding: Padding,
    window: Option<Window>,
    reduce: PhantomData<R>,
}

/// The largest number of each window.
pub type MaxPooling<const D: usize> = Pooling<Max, D>;
/// [`MaxPooling`] over sequences `[N, steps, channels]`.
pub type MaxPooling1D = MaxPooling<1>;
/// [`MaxPooling`] over images `[N, height, width, channels]`.
pub type MaxPooling2D = MaxPooling<2>;
/// [`MaxPooling`] over volumes `[N, depth, height, width, channels]`.
pub type MaxPooling3D = MaxPooling<3>;
/// The mean of each window.
pub type AveragePooling<const D: usize> = Pooling<Average, D>;
/// [`AveragePooling`] over sequences `[N, steps, channels]`.
pub type AveragePooling1D = AveragePooling<1>;
/// [`AveragePooling`] over images `[N, height, width, channels]`.
pub type AveragePooling2D = AveragePooling<2>;
/// [`AveragePooling`] over volumes `[N, depth, height, width, channels]`.
pub type AveragePooling3D = AveragePooling<3>;

impl<R: Reduce, const D: usize> Pooling<R, D> {
    /// Pooling over windows of `pool_size` (`2`, or `[2, 3]`) side by side, without padding.
    pub fn new(pool_size: impl Into<Extents<D>>) -> Pooling<R, D> {
        const { assert!(D >= 1 && D <= 3, "pooling has 1 to 3 axes of space") };
        let pool_size = pool_size.into();
        Pooling { pool_size, strides: None, padding: Padding::Valid, window: None, reduce: PhantomData }
    }

    /// Steps between neighbouring windows; `pool_size` by default.
    pub fn strides(mut self, strides: impl Into<Extents<D>>) -> Pooling<R, D> {
        self.strides = Some(strides.into());
        self
    }

    /// What happens at the border; [`Padding::Valid`] by default.
    pub fn padding(mut self, padding: Padding) -> Pooling<R, D> {
        self.padding = padding;
        self
    }
}

/// Windows of 2, as in Keras.
impl<R: Reduce, const D: usize> Default for Pooling<R, D> {
    fn default() -> Pooling<R, D> {
        Pooling::new(2)
    }
}

impl<R: Reduce + 'static, const D: usize> FromConfig for Pooling<R, D> {
    fn from_config(r: &mut Reader) -> Result<Pooling<R, D>> {
        let default = Pooling::default();
        Ok(Pooling {
            pool_size: r.or("pool_size", default.pool_size)?,
            strides: r.get("strides")?,
            padding: r.or("padding", default.padding)?,
            ..default
        })
    }
}

impl<R: Reduce, const D: usize> Layer for Pooling<R, D> {
    fn kind(&self) -> &'static str {
        R::KINDS[D - 1]
    }

    fn describe(&self) -> String {
        format!("{} {}", self.kind(), self.pool_size)
    }

    fn config(&self) -> Option<Config> {
        Some(record([
            ("pool_size", self.pool_size.into()),
            ("strides", self.strides.unwrap_or(self.pool_size).into()),
            ("padding", self.padding.into()),
        ]))
    }

    fn build(&mut self, cx: &mut Build, input: Shape) -> Result<Shape> {
        let strides = self.strides.unwrap_or(self.pool_size);
        let window = window(cx, self, input, self.pool_size, strides, 1.into(), self.padding)?;
        self.window = Some(window);
        image::<D>(window.output, window.channels)
    }

    fn forward(&mut self, cx: &mut Cx, x: View, y: ViewMut) -> Result<()> {
        let w = self.window.as_ref().ok_or_else(|| not_built(self.kind()))?;
        R::forward(cx.device, w, x, y) //                   y = max or mean of each window         [N, o, C]
    }

    fn backward(
        &mut self,
        cx: &mut Cx,
        x: View,
        y: View,
        mut dy: ViewMut,
        dx: Option<ViewMut>,
    ) -> Result<()> {
        let w = self.window.as_ref().ok_or_else(|| not_built(self.kind()))?;
        relu_backward(cx, y, dy.reborrow())?;
        match dx {
            Some(dx) => R::backward(cx.device, w, x, y, dy.as_view(), dx), // dx from dy            [N, i, C]
            None => Ok(()),
        }
    }

    fn takes_relu(&self) -> bool {
        R::SELECTS
    }

    fn max_window(&self) -> Option<&Window> {
        self.window.as_ref().filter(|_| R::SELECTS)
    }
}

/// Pooling over the whole image: one number for each channel, `[N, C]`. See the [module](self) for the equations.
///
/// ```
/// use handgrad::{Sequential, layers::GlobalAveragePooling2D};
/// let mut model = Sequential::new().with(GlobalAveragePooling2D::new());
/// model.build([7, 7, 64])?;
/// assert_eq!(model.output_shape(), Some([64].into()));
/// # Ok::<(), handgrad::Error>(())
/// ```
pub struct GlobalPooling<R, const D: usize> {
    /// The window, and y's shape as an image of one place, `[1, ..., 1, C]`.
    state: Option<(Window, Shape)>,
    reduce: PhantomData<R>,
}

/// The largest number of each channel.
pub type GlobalMaxPooling<const D: usize> = GlobalPooling<Max, D>;
/// [`GlobalMaxPooling`] over sequences `[N, steps, channels]`.
pub type GlobalMaxPooling1D = GlobalMaxPooling<1>;
/// [`GlobalMaxPooling`] over images `[N, height, width, channels]`.
pub type GlobalMaxPooling2D = GlobalMaxPooling<2>;
/// [`GlobalMaxPooling`] over volumes `[N, depth, height, width, channels]`.
pub type GlobalMaxPooling3D = GlobalMaxPooling<3>;
/// The mean of each channel.
pub type GlobalAveragePooling<const D: usize> = GlobalPooling<Average, D>;
/// [`GlobalAveragePooling`] over sequences `[N, steps, channels]`.
pub type GlobalAveragePooling1D = GlobalAveragePooling<1>;
/// [`GlobalAveragePooling`] over images `[N, height, width, channels]`.
pub type GlobalAveragePooling2D = GlobalAveragePooling<2>;
/// [`GlobalAveragePooling`] over volumes `[N, depth, height, width, channels]`.
pub type GlobalAveragePooling3D = GlobalAveragePooling<3>;

impl<R: Reduce, const D: usize> GlobalPooling<R, D> {
    /// Pooling over all there is.
    pub fn new() -> GlobalPooling<R, D> {
        const { assert!(D >= 1 && D <= 3, "pooling has 1 to 3 axes of space") };
        GlobalPooling { state: None, reduce: PhantomData }
    }
}

impl<R: Reduce, const D: usize> Default for GlobalPooling<R, D> {
    fn default() -> GlobalPooling<R, D> {
        GlobalPooling::new()
    }
}

impl<R: Reduce + 'static, const D: usize> FromConfig for GlobalPooling<R, D> {
    fn from_config(_: &mut Reader) -> Result<GlobalPooling<R, D>> {
        Ok(GlobalPooling::new())
    }
}

impl<R: Reduce, const D: usize> Layer for GlobalPooling<R, D> {
    fn kind(&self) -> &'static str {
        R::GLOBAL_KINDS[D - 1]
    }

    fn config(&self) -> Option<Config> {
        Some(Config::new())
    }

    fn build(&mut self, cx: &mut Build, input: Shape) -> Result<Shape> {
        // Of an input of another rank these extents mean nothing, but then the check in `window` fails.
        let whole = Extents::<D>(std::array::from_fn(|axis| input.dims().get(axis).copied().unwrap_or(1)));
        let window = window(cx, self, input, whole, whole, 1.into(), Padding::Valid)?;
        self.state = Some((window, image::<D>(window.output, window.channels)?));
        Ok(Shape::from([window.channels]))
    }

    fn forward(&mut self, cx: &mut Cx, x: View, y: ViewMut) -> Result<()> {
        let (w, place) = self.state.as_ref().ok_or_else(|| not_built(self.kind()))?;
        let y = y.reshape(place.batched(x.shape().rows()))?; //             [N, C] → [N, 1, ..., 1, C]
        R::forward(cx.device, w, x, y) //                   y = max or mean of each channel        [N, C]
    }

    fn backward(
        &mut self,
        cx: &mut Cx,
        x: View,
        y: View,
        mut dy: ViewMut,
        dx: Option<ViewMut>,
    ) -> Result<()> {
        relu_backward(cx, y, dy.reborrow())?;
        let (w, place) = self.state.as_ref().ok_or_else(|| not_built(self.kind()))?;
        let place = place.batched(x.shape().rows());
        match dx {
            Some(dx) => {
                let (y, dy) = (y.reshape(place)?, dy.as_view().reshape(place)?);
                R::backward(cx.device, w, x, y, dy, dx) //  dx from dy                             [N, i, C]
            }
            None => Ok(()),
        }
    }

    fn takes_relu(&self) -> bool {
        R::SELECTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::trial::{Trial, refusal};

    #[rustfmt::skip]
    const IMAGE: [f64; 12] = [1., 7., 3., 4.,
                              5., 6., 4., 4.,
                              9., 0., 8., 2.];

    /// 3×4 with windows of 2: the last row is left over, and gets no gradient. Of three equal 4s the first one does.
    #[test]
    fn the_largest_of_each_window() {
        let mut t = Trial::new(MaxPooling2D::default(), [3, 4, 1]).unwrap();
        assert_eq!(t.output, Shape::from([1, 2, 1]));
        assert_eq!(t.forward(&IMAGE), [7., 4.]);
        assert_eq!(t.backward(&IMAGE, &[1., 2.]), [0., 1., 0., 2., 0., 0., 0., 0., 0., 0., 0., 0.]);
    }

    /// Windows overlap, so one maximum can collect several gradients; zeros of the padding never win.
    #[test]
    fn overlapping_windows_and_padding() {
        let layer = MaxPooling1D::new(3).strides(1).padding(Padding::Same);
        let mut t = Trial::new(layer, [4, 1]).unwrap();
        assert_eq!(t.forward(&[-5., -1., -2., -3.]), [-1., -1., -1., -2.]);
        assert_eq!(t.backward(&[-5., -1., -2., -3.], &[1., 2., 4., 8.]), [0., 7., 8., 0.]);
    }

    /// Same padding, stride 2 over 3×3: the windows at the right and lower edges hold 2 and 1 numbers.
    #[test]
    fn the_mean_does_not_count_padding() {
        let mut t = Trial::new(AveragePooling2D::new(2).padding(Padding::Same), [3, 3, 1]).unwrap();
        let x = [1., 2., 3., 4., 5., 6., 7., 8., 9.];
        assert_eq!(t.forward(&x), [3., 4.5, 7.5, 9.]);
        assert_eq!(t.backward(&x, &[4., 2., 6., 5.]), [1., 1., 1., 1., 1., 1., 3., 3., 5.]);
    }

    /// Two channels, two samples: neither mixes with the other.
    #[test]
    fn channels_and_samples_stay_apart() {
        let mut t = Trial::new(MaxPooling1D::new(2), [2, 2]).unwrap();
        let x = [1., 4., 3., 2., 8., 5., 7., 6.];
        assert_eq!(t.forward(&x), [3., 4., 8., 6.]);
        assert_eq!(t.backward(&x, &[1., 2., 3., 4.]), [0., 2., 1., 0., 3., 0., 0., 4.]);
        let mut t = Trial::new(AveragePooling3D::new([1, 2, 1]), [1, 2, 1, 2]).unwrap();
        assert_eq!(t.forward(&x), [2., 3., 7.5, 5.5]);
    }

    #[test]
    fn global_pooling_leaves_channels() {
        let x = [1., 4., 3., 2., 8., 0., 4., 6.];
        let mut t = Trial::new(GlobalAveragePooling2D::new(), [2, 2, 2]).unwrap();
        assert_eq!((t.output, t.forward(&x)), (Shape::from([2]), vec![4., 3.]));
        assert_eq!(t.backward(&x, &[4., 8.]), [1., 2., 1., 2., 1., 2., 1., 2.]);
        let mut t = Trial::new(GlobalMaxPooling1D::new(), [2, 2]).unwrap();
        assert_eq!(t.forward(&x), [3., 4., 8., 6.]);
        assert_eq!(t.backward(&x, &[1., 2., 3., 4.]), [0., 2., 1., 0., 3., 0., 0., 4.]);
        let mut t = Trial::new(GlobalMaxPooling3D::new(), [1, 2, 2, 2]).unwrap();
        assert_eq!(t.forward(&x), [8., 6.]);
    }

    #[test]
    fn errors_name_the_layer() {
        assert_eq!(
            refusal(MaxPooling2D::new(2), [28, 28]).0,
            "layer `on_trial (MaxPooling2D 2×2)` got [N, 28, 28], expected [N, height, width, channels]"
        );
        assert!(refusal(AveragePooling1D::new(5), [4, 1]).0.contains("AveragePooling1D 5"));
        assert!(refusal(GlobalAveragePooling1D::new(), [4]).1.contains("Reshape::new([4, 1])"));
        assert!(refusal(GlobalMaxPooling3D::new(), [4, 4]).0.contains("GlobalMaxPooling3D"));
    }
}
