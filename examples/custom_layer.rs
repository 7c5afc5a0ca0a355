//! A layer of your own: `cargo run --release --example custom_layer`.
//!
//! Swish with a slope that is learned (Ramachandran, Zoph, Le 2017): between a straight line (β = 0) and relu (β → ∞).
//!
//! ```text
//! Forward   s = σ(β x)
//!           y = x ⊙ s
//! Backward  dz = dy ⊙ x ⊙ s ⊙ (1 − s)     the gradient of z = β x
//!           dβ = Σ x ⊙ dz                 one number for all: as a matrix product, xᵀ dz of [R, 1] columns
//!           dx = dy ⊙ s + β dz
//!
//! Shapes    x, y, s, z [N, ...]   β [1, 1]   R = all numbers of a batch
//! ```
//!
//! The layer is written in ops of the table alone, so it runs on every device, and the gradient check proves it.

use handgrad::data::Dataset;
use handgrad::gradcheck::{self, Case, End};
use handgrad::layers::{Build, Cx, Layer, Param, Plan, not_built};
use handgrad::model::{Compile, Fit};
use handgrad::optimizers::Adam;
use handgrad::{Activation, Device, Gemm, Initializer, Result, Sequential, Shape, Tensor, View, ViewMut};

/// y = x σ(β x) with a trainable β.
#[derive(Default)]
struct Swish {
    state: Option<State>,
}

/// What building makes.
struct State {
    beta: Param,
    sample: Shape,
    /// s of the last batch, for backward.    [N, ...]
    s: Option<Tensor>,
}

impl Layer for Swish {
    fn kind(&self) -> &'static str {
        "Swish"
    }

    fn build(&mut self, cx: &mut Build, input: Shape) -> Result<Shape> {
        let beta = cx.param("beta", [1, 1], Initializer::Ones)?;
        self.state = Some(State { beta, sample: input, s: None });
        Ok(input)
    }

    fn plan(&mut self, plan: &mut Plan) -> Result<()> {
        if let Some(state) = &mut self.state {
            state.s = Some(plan.cache(state.sample)?);
        }
        Ok(())
    }

    fn forward(&mut self, cx: &mut Cx, x: View, mut y: ViewMut) -> Result<()> {
        let (dev, column) = (cx.device, [x.len(), 1]);
        let Some(State { beta, s: Some(s), .. }) = &mut self.state else { return Err(not_built("Swish")) };
        let mut s = s.prefix_mut(x.shape())?;
        dev.gemm(Gemm::nn(), x.reshape(column)?, beta.view(), s.reborrow().reshape(column)?)?; // z = x β  [R, 1]
        dev.activate(Activation::Sigmoid, s.reborrow())?; //    s = σ(z)                         [N, ...]
        dev.copy(x, y.reborrow())?;
        dev.multiply(s.as_view(), y) //                         y = x ⊙ s                        [N, ...]
    }

    fn backward(
        &mut self,
        cx: &mut Cx,
        x: View,
        _y: View,
        mut dy: ViewMut,
        mut dx: Option<ViewMut>,
    ) -> Result<()> {
        let (dev, column) = (cx.device, [x.len(), 1]);
        let Some(State { beta, s: Some(s), .. }) = &mut self.state else { return Err(not_built("Swish")) };
        let s = s.prefix(x.shape())?;
        if let Some(dx) = &mut dx {
            dev.copy(dy.as_view(), dx.reborrow())?;
            dev.multiply(s, dx.reborrow())?; //                 dx = dy ⊙ s                      [N, ...]
        }
        dev.multiply(x, dy.reborrow())?; //                     ds = dy ⊙ x                      [N, ...]
        dev.activation_backward(Activation::Sigmoid, None, s, dy.reborrow())?; // dz = ds ⊙ s ⊙ (1 − s)
        let dz = dy.as_view().reshape(column)?;
        dev.gemm(Gemm::tn(), x.reshape(column)?, dz, beta.grad_mut())?; //   dβ = xᵀ dz          [1, 1]
        match dx {
            Some(dx) => dev.gemm(Gemm::nn().add(), dz, beta.view(), dx.reshape(column)?), // dx += dz β  [R, 1]
            None => Ok(()),
        }
    }

    fn params(&mut self, visit: &mut dyn FnMut(&mut Param) -> Result<()>) -> Result<()> {
        self.state.as_mut().map_or(Ok(()), |state| visit(&mut state.beta))
    }
}

fn main() -> Result<()> {
    // Is backward the derivative of forward? Every number of x and β against finite differences, in f64.
    let case =
        Case::new("Swish", "β trainable", 5, [3], End::Cotangent, || vec![Box::new(Swish::default())]);
    let report = gradcheck::check(&Device::reference(), &case)?;
    println!("{report}: {}\n", if report.passed() { "passed" } else { "FAILED" });

    // Samples of x σ(3x), 64 of them between −4 and 4.
    let x: Vec<[f32; 1]> = (0..64).map(|i| [i as f32 / 8.0 - 4.0]).collect();
    let y: Vec<[f32; 1]> = x.iter().map(|[x]| [x / (1.0 + (-3.0 * x).exp())]).collect();
    let data = Dataset::from_rows(&x, &y)?;

    let mut model = Sequential::new().with(Swish::default());
    model.compile(Compile::new("mse").optimizer(Adam::new().learning_rate(0.1)))?;
    let history = model.fit(&data, Fit::new().epochs(200).verbose(0))?;
    println!("{}", model.summary()?);
    println!("loss {:.1e} after 200 epochs", history.last("loss").unwrap_or(f64::NAN));
    println!("β = {:.3}; the data was made with 3", model.get_weights()?[0].values[0]);
    Ok(())
}
