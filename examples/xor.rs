//! The smallest program that learns: `cargo run --release --example xor`.

use handgrad::data::Dataset;
use handgrad::layers::Dense;
use handgrad::model::{Compile, Fit};
use handgrad::{Activation, Result, Sequential};

fn main() -> Result<()> {
    let xor = Dataset::from_rows(&[[0., 0.], [0., 1.], [1., 0.], [1., 1.]], &[[0.], [1.], [1.], [0.]])?;

    let mut model = Sequential::new()
        .with(Dense::new(32).activation(Activation::Relu))
        .with(Dense::new(1).activation(Activation::Sigmoid));
    model.compile(Compile::new("mse").optimizer("rmsprop").metric("accuracy"))?;
    let history = model.fit(&xor, Fit::new().epochs(500).verbose(0))?;

    println!("{}", model.summary()?);
    for (x, y) in [[0, 0], [0, 1], [1, 0], [1, 1]].iter().zip(model.predict(xor.x())?.to_vec()) {
        println!("{} xor {} = {y:.3}", x[0], x[1]);
    }
    for name in ["loss", "accuracy"] {
        println!("{name} {:.4}", history.last(name).unwrap_or(f64::NAN));
    }
    Ok(())
}
