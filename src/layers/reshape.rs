//! Reshape: the same numbers in the same order, under another shape.
//!
//! ```text
//! Forward   y = x
//! Backward  dx = dy
//!
//! Shapes    x [N, ...]   y [N, target...]   both with as many numbers
//! ```

use super::{Build, Cx, FromConfig, Layer};
use crate::config::{Config, FromValue, Reader, record};
use crate::error::Result;
use crate::mistakes::Mistake;
use crate::shape::{MAX_DIMS, Shape};
use crate::tensor::{View, ViewMut};
use serde_json::{Value, json};

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
    /// The dimension whose extent follows from the number of numbers, which is 1 in `target`.
    free: Option<usize>,
}

impl Reshape {
    /// To samples of shape `target`, without the batch.
    pub fn new(target: impl Into<Shape>) -> Reshape {
        Reshape { target: target.into(), free: None }
    }
}

impl FromConfig for Reshape {
    fn from_config(r: &mut Reader) -> Result<Reshape> {
        let Target(target, free) = r.need("target_shape")?;
        Ok(Reshape { target, free })
    }
}

/// A shape, one of whose extents may be -1, which stands for whatever is left.
struct Target(Shape, Option<usize>);

impl FromValue for Target {
    fn from_value(value: &Value) -> Result<Target> {
        let mut target = Vec::<Value>::from_value(value)?;
        let free = target.iter().position(|extent| *extent == json!(-1));
        if let Some(free) = free {
            target[free] = 1.into();
        }
        Ok(Target(Shape::from_value(&target.into())?, free))
    }
}

impl Layer for Reshape {
    fn kind(&self) -> &'static str {
        "Reshape"
    }

    fn describe(&self) -> String {
        format!("Reshape {}", self.target)
    }

    fn config(&self) -> Option<Config> {
        let mut target: Vec<Value> = self.target.dims().iter().map(|&extent| extent.into()).collect();
        if let Some(free) = self.free {
            target[free] = json!(-1);
        }
        Some(record([("target_shape", target.into())]))
    }

    fn build(&mut self, cx: &mut Build, input: Shape) -> Result<Shape> {
        if self.target.rank() >= MAX_DIMS {
            let hint = format!("a sample has up to {} dimensions: the batch is one more", MAX_DIMS - 1);
            return Err(cx.config_error(self, "too many dimensions", hint));
        }
        if let Some(free) = self.free {
            let mut dims = self.target.dims().to_vec();
            dims[free] = 1;
            let others: usize = dims.iter().product();
            dims[free] = (input.len() / others.max(1)).max(1);
            self.target = Shape::new(&dims)?;
        }
        if input.len() != self.target.len() {
            let (layer, nearest) = (Some(cx.called(self)), nearest(self.target, input.len()));
            return Err(Mistake::ReshapeCount { layer, from: input, to: self.target, nearest }.into());
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
pub(crate) fn nearest(target: Shape, len: usize) -> Option<Shape> {
    (0..target.rank()).rev().find_map(|axis| {
        let mut dims = target.dims().to_vec();
        dims[axis] = 1;
        let others: usize = dims.iter().product();
        dims[axis] = len.checked_div(others)?;
        Shape::new(&dims).ok().filter(|shape| shape.len() == len && len > 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::trial::{Trial, refusal};
    use crate::layers::{Flatten, Input};

    /// A model skips these layers; called directly, they copy.
    #[test]
    fn numbers_keep_their_order() {
        fn check(layer: impl Layer, input: Shape, output: Shape) {
            let (x, dy) = ([1., 2., 3., 4., 5., 6., 7., 8.], [8., 7., 6., 5., 4., 3., 2., 1.]);
            let mut t = Trial::new(layer, input).unwrap();
            assert!(t.layer.is_reshape());
            assert_eq!((t.output, t.forward(&x), t.backward(&x, &dy)), (output, x.to_vec(), dy.to_vec()));
        }
        check(Reshape::new([2, 2, 1]), [4].into(), [2, 2, 1].into());
        check(Flatten::new(), [2, 1, 2].into(), [4].into());
        check(Flatten::new(), Shape::SCALAR, [1].into());
        check(Input::new([2, 2]), [2, 2].into(), [2, 2].into());
    }

    #[test]
    fn a_wrong_count_is_explained() {
        let (error, hint) = refusal(Reshape::new([28, 20]), [784]);
        let expected = "expected [N, ...] with 560 numbers a sample";
        assert_eq!(error, format!("layer `on_trial (Reshape [28, 20])` got [N, 784], {expected}"));
        assert!(hint.ends_with("did you mean [28, 28]?"), "{hint}");
        assert!(refusal(Reshape::new([5, 5]), [784]).1.ends_with("choose extents whose product is 784"));
        assert!(refusal(Reshape::new([0]), Shape::SCALAR).1.ends_with("did you mean [1]?"));
        assert!(refusal(Reshape::new([1; 6]), [1]).1.contains("up to 5 dimensions"));
    }

    #[test]
    fn what_is_left_follows_from_the_input() {
        let config = json!({"target_shape": [2, -1]}).as_object().cloned().unwrap();
        let mut reshape = crate::layers::from_config("Reshape", &config).unwrap();
        let (device, mut rng) = (crate::Device::reference(), crate::Rng::new(1, 0));
        for (input, output) in [(6, 3), (10, 5)] {
            let built = reshape
                .build(
                    &mut Build { device: &device, rng: &mut rng, name: "on_trial", budget: None },
                    [input].into(),
                )
                .unwrap();
            assert_eq!((built, reshape.config()), (Shape::from([2, output]), Some(config.clone())));
        }
        assert!(
            reshape
                .build(
                    &mut Build { device: &device, rng: &mut rng, name: "on_trial", budget: None },
                    [7].into()
                )
                .is_err()
        );
    }

    #[test]
    fn an_input_of_another_shape_is_an_error() {
        let (error, hint) = refusal(Input::new([28, 28, 1]), [784]);
        assert_eq!(error, "layer `on_trial (Input [28, 28, 1])` got [N, 784], expected [N, 28, 28, 1]");
        assert_eq!(hint, "reshape the samples: `data.reshape([28, 28, 1])?`, or declare Input::new(784)");
        assert!(refusal(Input::new([3]), [4]).1.starts_with("give samples of that shape"));
        assert!(refusal(Input::new([1; 6]), [1]).1.contains("up to 5 dimensions"));
    }
}
