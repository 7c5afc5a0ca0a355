//! candle on its processor backend, without MKL: layers, loss and training loop as its examples have them.
//! Its Adam is AdamW without decay.

#[path = "../../mnist.rs"]
mod mnist;

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::ops::Dropout;
use candle_nn::rnn::{LSTMConfig, RNN};
use candle_nn::{AdamW, Module, ModuleT, Optimizer, ParamsAdamW, VarBuilder, VarMap};
use candle_nn::{conv2d, linear, loss, lstm};

/// Images [N, 784] to logits [N, 10].
type Forward = Box<dyn Fn(&Tensor) -> Result<Tensor>>;

fn model(task: &str, vb: VarBuilder) -> Result<Forward> {
    Ok(match task {
        "mlp" => {
            let (a, b) = (linear(784, 100, vb.pp("a"))?, linear(100, 10, vb.pp("b"))?);
            Box::new(move |x| b.forward(&a.forward(x)?.relu()?))
        }
        "mlp2" => {
            let (a, b) = (linear(784, 64, vb.pp("a"))?, linear(64, 32, vb.pp("b"))?);
            let c = linear(32, 10, vb.pp("c"))?;
            Box::new(move |x| c.forward(&b.forward(&a.forward(x)?.relu()?)?.relu()?))
        }
        "cnn" => {
            let conv1 = conv2d(1, 32, 3, Default::default(), vb.pp("conv1"))?;
            let conv2 = conv2d(32, 64, 3, Default::default(), vb.pp("conv2"))?;
            let (dense1, dense2) = (linear(1600, 128, vb.pp("dense1"))?, linear(128, 10, vb.pp("dense2"))?);
            let (dropout1, dropout2) = (Dropout::new(0.25), Dropout::new(0.5));
            Box::new(move |x| {
                let x = x.reshape(((), 1, 28, 28))?;
                let x = conv1.forward(&x)?.relu()?.max_pool2d(2)?;
                // 11 × 11 is cut to 10 × 10: candle pools backward only what the window divides
                let x = conv2.forward(&x)?.relu()?.narrow(2, 0, 10)?.narrow(3, 0, 10)?.max_pool2d(2)?;
                let x = dropout1.forward_t(&x.flatten_from(1)?, true)?;
                let x = dropout2.forward_t(&dense1.forward(&x)?.relu()?, true)?;
                dense2.forward(&x)
            })
        }
        _ => {
            let (rows, dense) =
                (lstm(28, 128, LSTMConfig::default(), vb.pp("lstm"))?, linear(128, 10, vb.pp("b"))?);
            Box::new(move |x| {
                let states = rows.seq(&x.reshape(((), 28, 28))?)?;
                dense.forward(states[27].h())
            })
        }
    })
}

fn main() -> Result<()> {
    let run = mnist::Run::from_arguments();
    let (device, vars) = (Device::Cpu, VarMap::new());
    let forward = model(&run.task, VarBuilder::from_varmap(&vars, DType::F32, &device))?;
    let adam = ParamsAdamW { lr: 0.001, weight_decay: 0.0, ..Default::default() };
    let mut optimizer = AdamW::new(vars.all_vars(), adam)?;
    let mut step = |x, y: &[u8]| -> Result<f32> {
        let x = Tensor::from_vec(x, (run.batch, 784), &device)?;
        let y = Tensor::from_iter(y.iter().map(|&y| u32::from(y)), &device)?;
        let loss = loss::cross_entropy(&forward(&x)?, &y)?;
        optimizer.backward_step(&loss)?;
        loss.to_scalar()
    };
    run.measure(|x, y| step(x, y).expect("a step"));
    Ok(())
}
