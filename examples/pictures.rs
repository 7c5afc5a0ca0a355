//! One of each picture, of a small convolutional network that learns digits:
//! `cargo run --release --example pictures -- FOLDER`.

use handgrad::data::{Dataset, mnist};
use handgrad::layers::{Conv2D, Dense, Flatten, MaxPooling2D};
use handgrad::model::{Compile, Fit};
use handgrad::viz::{self, Confusion};
use handgrad::{Activation, Result, Sequential};
use std::path::PathBuf;

fn main() -> Result<()> {
    let folder = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "pictures".into()));
    std::fs::create_dir_all(&folder).expect("the folder cannot be made");
    let images = |data: Dataset, n| data.take(n)?.reshape([28, 28, 1]);
    let data = mnist()?;
    let (train, test) = (images(data.train, 2000)?, images(data.test, 500)?);
    let mut model = Sequential::new()
        .with(Conv2D::new(8, 5).activation(Activation::Relu))
        .with(MaxPooling2D::new(2))
        .with(Flatten::new())
        .with(Dense::new(10).activation(Activation::Softmax));
    model.compile(Compile::new("sparse_categorical_crossentropy").optimizer("adam").metric("accuracy"))?;
    let history = model.fit(&train, Fit::new().epochs(5).validation(&test))?;
    let guesses = model.predict(test.x())?;

    viz::curves(&history).title("MNIST 모델").draw()?.save(folder.join("curves.png"))?;
    viz::samples(&test).predictions(&guesses).draw()?.save(folder.join("samples.png"))?;
    viz::sample(&test, 7).draw()?.save(folder.join("sample.png"))?;
    Confusion::of(&test, &guesses)?.draw()?.save(folder.join("confusion.png"))?;
    viz::filters(&mut model, "conv2d").draw()?.save(folder.join("filters.png"))?;
    viz::feature_maps(&mut model, "conv2d", test.x(), 7).draw()?.save(folder.join("feature_maps.png"))?;
    let functions = ["sigmoid", "tanh", "relu", "gelu"].map(|name| name.parse::<Activation>());
    let functions: Vec<Activation> = functions.into_iter().collect::<Result<_>>()?;
    viz::activations(&functions).draw()?.save(folder.join("activations.png"))?;

    let corners = [[0., 0.], [0., 1.], [1., 0.], [1., 1.]];
    let xor = Dataset::from_rows(&corners, &[[0.], [1.], [1.], [0.]])?;
    let mut two_layers = Sequential::new()
        .with(Dense::new(32).activation(Activation::Relu))
        .with(Dense::new(1).activation(Activation::Sigmoid));
    two_layers.compile(Compile::new("mse").optimizer("rmsprop"))?;
    two_layers.fit(&xor, Fit::new().epochs(500).verbose(0))?;
    viz::boundary(&mut two_layers, &xor).title("XOR").draw()?.save(folder.join("boundary.png"))
}
