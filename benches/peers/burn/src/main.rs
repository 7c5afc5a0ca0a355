//! burn on flex, its backend for processors: modules, loss, optimizer and training loop as its book has them. A batch is
//! gathered here and handed over as a whole, which takes fewer copies than `select`.

#[path = "../../mnist.rs"]
mod mnist;

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::nn::{Dropout, DropoutConfig, Linear, LinearConfig, Lstm, LstmConfig};
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Int, Tensor, TensorData};

/// What the four models have in common: images [N, 784] in, logits [N, 10] out.
trait Model: Module {
    fn forward(&self, x: Tensor<2>) -> Tensor<2>;
}

/// Dense layers with relu between them: the tasks `mlp` and `mlp2`.
#[derive(Module, Debug)]
struct Mlp {
    layers: Vec<Linear>,
}

impl Model for Mlp {
    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let (last, hidden) = self.layers.split_last().expect("a layer");
        last.forward(hidden.iter().fold(x, |x, layer| relu(layer.forward(x))))
    }
}

#[derive(Module, Debug)]
struct Cnn {
    conv1: Conv2d,
    conv2: Conv2d,
    pool: MaxPool2d,
    dropout1: Dropout,
    dense1: Linear,
    dropout2: Dropout,
    dense2: Linear,
}

impl Model for Cnn {
    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let x = x.reshape([-1, 1, 28, 28]);
        let x = self.pool.forward(relu(self.conv1.forward(x)));
        let x = self.pool.forward(relu(self.conv2.forward(x)));
        let x = self.dropout1.forward(x).flatten(1, 3);
        let x = self.dropout2.forward(relu(self.dense1.forward(x)));
        self.dense2.forward(x)
    }
}

#[derive(Module, Debug)]
struct Rows {
    lstm: Lstm,
    dense: Linear,
}

impl Model for Rows {
    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let (_, last) = self.lstm.forward(x.reshape([-1, 28, 28]), None);
        self.dense.forward(last.hidden)
    }
}

fn train(run: &mnist::Run, model: impl Model, device: &Device) {
    let loss_fn = CrossEntropyLossConfig::new().init(device);
    let mut optimizer = AdamConfig::new().with_epsilon(1e-8).init();
    let mut model = Some(model);
    run.measure(|x, y| {
        let now = model.take().expect("the model comes back");
        let x = Tensor::<2>::from_data(TensorData::new(x, [run.batch, 784]), device);
        let y: Vec<i32> = y.iter().map(|&y| y.into()).collect();
        let y = Tensor::<1, Int>::from_data(TensorData::new(y, [run.batch]), device);
        let loss = loss_fn.forward(now.forward(x), y);
        let gradients = GradientsParams::from_grads(loss.backward(), &now);
        model = Some(optimizer.step(0.001, now, gradients));
        loss.into_scalar()
    });
}

fn main() {
    let run = mnist::Run::from_arguments();
    let device = &Device::flex().autodiff();
    let dense = |widths: &[usize]| Mlp {
        layers: widths.windows(2).map(|w| LinearConfig::new(w[0], w[1]).init(device)).collect(),
    };
    match run.task.as_str() {
        "mlp" => train(&run, dense(&[784, 100, 10]), device),
        "mlp2" => train(&run, dense(&[784, 64, 32, 10]), device),
        "cnn" => {
            let model = Cnn {
                conv1: Conv2dConfig::new([1, 32], [3, 3]).init(device),
                conv2: Conv2dConfig::new([32, 64], [3, 3]).init(device),
                pool: MaxPool2dConfig::new([2, 2]).init(),
                dropout1: DropoutConfig::new(0.25).init(),
                dense1: LinearConfig::new(1600, 128).init(device),
                dropout2: DropoutConfig::new(0.5).init(),
                dense2: LinearConfig::new(128, 10).init(device),
            };
            train(&run, model, device)
        }
        _ => {
            let model = Rows {
                lstm: LstmConfig::new(28, 128, true).init(device),
                dense: LinearConfig::new(128, 10).init(device),
            };
            train(&run, model, device)
        }
    }
}
