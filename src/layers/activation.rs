//! Activation: a function of every number, as a layer of its own.
//!
//! ```text
//! Forward   y = f(x)
//! Backward  dx = dy ⊙ f′     the derivative, written in y where it can be
//!
//! Shapes    x, y [N, ...]    softmax works on the last dimension
//! ```
//!
//! The functions and their derivatives are the table of [`activations`](crate::activations).

use super::{Build, Cx, FromConfig, Layer};
use crate::activations::Activation;
use crate::config::{Config, Reader, record};
use crate::error::Result;
use crate::shape::Shape;
use crate::tensor::{View, ViewMut};

/// Keras's `Activation` layer: for a function that comes after something other than a product, such as
/// [`BatchNormalization`](super::BatchNormalization).
///
/// ```
/// use handgrad::{Activation, Sequential, layers::{ActivationLayer, BatchNormalization, Dense}};
/// let mut model = Sequential::new()
///     .with(Dense::new(64).use_bias(false))
///     .with(BatchNormalization::new())
///     .with(ActivationLayer::new(Activation::Relu));
/// model.build([784])?;
/// assert_eq!(model.output_shape(), Some([64].into()));
/// # Ok::<(), handgrad::Error>(())
/// ```
pub struct ActivationLayer {
    activation: Activation,
    skip: bool,
}

impl ActivationLayer {
    /// Applies `activation`.
    pub fn new(activation: Activation) -> ActivationLayer {
        ActivationLayer { activation, skip: false }
    }

    /// The activation that is applied here: none when the loss has it.
    fn applied(&self) -> Activation {
        if self.skip { Activation::Linear } else { self.activation }
    }
}

impl FromConfig for ActivationLayer {
    fn from_config(r: &mut Reader) -> Result<ActivationLayer> {
        Ok(ActivationLayer::new(r.need("activation")?))
    }
}

impl Layer for ActivationLayer {
    fn kind(&self) -> &'static str {
        "Activation"
    }

    fn describe(&self) -> String {
        format!("Activation {}", self.activation)
    }

    fn config(&self) -> Option<Config> {
        Some(record([("activation", self.activation.to_value()?)]))
    }

    fn build(&mut self, _cx: &mut Build, input: Shape) -> Result<Shape> {
        Ok(input)
    }

    fn forward(&mut self, cx: &mut Cx, x: View, mut y: ViewMut) -> Result<()> {
        cx.device.copy(x, y.reborrow())?;
        cx.device.activate(self.applied(), y) //                                    y = f(x)        [N, ...]
    }

    fn backward(
        &mut self,
        cx: &mut Cx,
        x: View,
        y: View,
        mut dy: ViewMut,
        dx: Option<ViewMut>,
    ) -> Result<()> {
        let Some(dx) = dx else { return Ok(()) };
        cx.device.activation_backward(self.applied(), Some(x), y, dy.reborrow())?; // dy ⊙ f′       [N, ...]
        cx.device.copy(dy.as_view(), dx) //                                         dx = dy ⊙ f′    [N, ...]
    }

    fn output_activation(&self) -> Activation {
        self.activation
    }

    fn skip_activation(&mut self, skip: bool) {
        self.skip = skip;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::trial::{Trial, assert_close};

    #[test]
    fn forward_and_backward_by_hand() {
        let mut t = Trial::new(ActivationLayer::new(Activation::Relu), [2, 2]).unwrap();
        assert_eq!(t.output, Shape::from([2, 2]));
        assert_eq!(t.forward(&[1., -2., 0., 3.]), [1., 0., 0., 3.]);
        assert_eq!(t.backward(&[1., -2., 0., 3.], &[5., 6., 7., 8.]), [5., 0., 0., 8.]);
    }

    /// silu′(0) = 1/2, and silu′(x) + silu′(−x) = 1: neither can be had from y alone.
    #[test]
    fn silu_looks_at_x() {
        let mut t = Trial::new(ActivationLayer::new(Activation::Silu), [3]).unwrap();
        let dx = t.backward(&[0., 2., -2.], &[1., 1., 1.]);
        assert_close(&[dx[0], dx[1] + dx[2]], &[0.5, 1.0], 1e-15);
        let s = 1.0 / (1.0 + (-2.0f64).exp());
        assert_close(&dx[1..2], &[s + 2.0 * s * (1.0 - s)], 1e-15);
    }

    #[test]
    fn the_loss_can_take_it_over() {
        let mut t = Trial::new(ActivationLayer::new(Activation::Sigmoid), [2]).unwrap();
        assert_eq!(t.layer.output_activation(), Activation::Sigmoid);
        t.layer.skip_activation(true);
        assert_eq!(t.forward(&[1., -2.]), [1., -2.]);
        assert_eq!(t.backward(&[1., -2.], &[3., 4.]), [3., 4.]);
    }
}
