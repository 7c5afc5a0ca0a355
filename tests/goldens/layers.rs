//! Layers forward and backward.

use super::{
    Config, ROUNDINGS, cases, close, close_to, count, devices, flag, golden, list, number, numbers, shape,
    tensor, text, unwritten,
};
use handgrad::layers::*;
use handgrad::rng::Noise;
use handgrad::{Activation, Device, Padding, Rng, View};
use serde_json::Value;

fn activation(v: Value) -> Activation {
    match text(&v) {
        "gelu_by_tanh" => Activation::Gelu { approximate: true },
        name => name.parse().unwrap(),
    }
}

fn padding(v: Value) -> Padding {
    if text(&v) == "same" { Padding::Same } else { Padding::Valid }
}

fn extents<const D: usize>(v: Value) -> [usize; D] {
    list(&v).iter().map(count).collect::<Vec<_>>().try_into().unwrap()
}

fn conv<const D: usize>(c: &mut Config) -> Box<dyn Layer> {
    let filters = count(&c.take("filters").unwrap());
    let conv = Conv::<D>::new(filters, extents::<D>(c.take("kernel_size").unwrap()));
    let conv = c.set("strides", conv, |l, v| l.strides(extents::<D>(v)));
    let conv = c.set("dilation_rate", conv, |l, v| l.dilation_rate(extents::<D>(v)));
    let conv = c.set("padding", conv, |l, v| l.padding(padding(v)));
    let conv = c.set("activation", conv, |l, v| l.activation(activation(v)));
    Box::new(c.set("use_bias", conv, |l, v| l.use_bias(flag(v))))
}

fn pooling<R: Reduce + 'static, const D: usize>(c: &mut Config) -> Box<dyn Layer> {
    let pool = Pooling::<R, D>::new(extents::<D>(c.take("pool_size").unwrap()));
    let pool = c.set("strides", pool, |l, v| l.strides(extents::<D>(v)));
    Box::new(c.set("padding", pool, |l, v| l.padding(padding(v))))
}

/// The settings that all recurrent layers have.
macro_rules! recurrent {
    ($layer:ident, $c:ident) => {{
        let layer = $layer::new(count(&$c.take("units").unwrap()));
        let layer = $c.set("activation", layer, |l, v| l.activation(activation(v)));
        let layer = $c.set("use_bias", layer, |l, v| l.use_bias(flag(v)));
        let layer = $c.set("return_sequences", layer, |l, v| l.return_sequences(flag(v)));
        $c.set("go_backwards", layer, |l, v| l.go_backwards(flag(v)))
    }};
}

fn layer(kind: &str, config: &Value) -> Box<dyn Layer> {
    let mut config = Config::new(config);
    let c = &mut config;
    let layer: Box<dyn Layer> = match kind {
        "Dense" => {
            let dense = Dense::new(count(&c.take("units").unwrap()));
            let dense = c.set("activation", dense, |l, v| l.activation(activation(v)));
            Box::new(c.set("use_bias", dense, |l, v| l.use_bias(flag(v))))
        }
        "Activation" => Box::new(ActivationLayer::new(activation(c.take("activation").unwrap()))),
        "Conv1D" => conv::<1>(c),
        "Conv2D" => conv::<2>(c),
        "Conv3D" => conv::<3>(c),
        "MaxPooling1D" => pooling::<Max, 1>(c),
        "MaxPooling2D" => pooling::<Max, 2>(c),
        "MaxPooling3D" => pooling::<Max, 3>(c),
        "AveragePooling1D" => pooling::<Average, 1>(c),
        "AveragePooling2D" => pooling::<Average, 2>(c),
        "AveragePooling3D" => pooling::<Average, 3>(c),
        "GlobalMaxPooling1D" => Box::new(GlobalMaxPooling1D::new()),
        "GlobalMaxPooling2D" => Box::new(GlobalMaxPooling2D::new()),
        "GlobalMaxPooling3D" => Box::new(GlobalMaxPooling3D::new()),
        "GlobalAveragePooling1D" => Box::new(GlobalAveragePooling1D::new()),
        "GlobalAveragePooling2D" => Box::new(GlobalAveragePooling2D::new()),
        "GlobalAveragePooling3D" => Box::new(GlobalAveragePooling3D::new()),
        "BatchNormalization" => {
            let norm = BatchNormalization::new();
            let norm = c.set("momentum", norm, |l, v| l.momentum(number(&v)));
            let norm = c.set("epsilon", norm, |l, v| l.epsilon(number(&v)));
            let norm = c.set("center", norm, |l, v| l.center(flag(v)));
            Box::new(c.set("scale", norm, |l, v| l.scale(flag(v))))
        }
        "SimpleRNN" => Box::new(recurrent!(SimpleRNN, c)),
        "LSTM" => {
            let lstm = recurrent!(LSTM, c);
            Box::new(c.set("recurrent_activation", lstm, |l, v| l.recurrent_activation(activation(v))))
        }
        "GRU" => {
            let gru = recurrent!(GRU, c);
            let gru = c.set("recurrent_activation", gru, |l, v| l.recurrent_activation(activation(v)));
            Box::new(c.set("reset_after", gru, |l, v| l.reset_after(flag(v))))
        }
        _ => panic!("no layer {kind}"),
    };
    config.finish();
    layer
}

/// Builds the case's layer, gives it the golden's weights, and compares the output, all gradients, and the moving
/// averages that a training step leaves behind.
fn check_layer(dev: &Device, tolerance: f64, case: &Value) {
    let name = format!("{} on {}", text(&case["name"]), dev.describe());
    let mut layer = layer(text(&case["layer"]), &case["config"]);
    let x = tensor(dev, &case["x"]);
    let mut build = Build { device: dev, rng: &mut Rng::new(1, 0), name: "golden", budget: None };
    let output = layer.build(&mut build, x.shape().sample()).unwrap();
    // Planned for more than comes, as for a short last batch.
    let batch = x.shape().rows();
    let mut plan = Plan { device: dev, max_batch: batch + 1, scratch: 0 };
    layer.plan(&mut plan).unwrap();
    let mut scratch = unwritten(dev, [plan.scratch].into());

    let mut params = list(&case["params"]).iter();
    let set = layer.params(&mut |p| {
        let golden = params.next().unwrap_or_else(|| panic!("{name}: `{}` is one too many", p.name));
        assert_eq!((p.name, p.value.shape()), (text(&golden["name"]), shape(&golden["shape"])), "{name}");
        dev.fill(f64::NAN, p.grad.view_mut())?;
        p.value.view_mut().write(&numbers(&golden["values"]))
    });
    set.unwrap();
    assert!(params.next().is_none(), "{name}: a parameter is missing");

    let mut y = unwritten(dev, output.batched(batch));
    let mut dx = unwritten(dev, x.shape());
    let mut dy = tensor(dev, &case["r"]);
    let noise = Noise { seed: 0, layer: 0, step: 0 };
    let mut cx = Cx::new(dev, flag(case["training"].clone()), noise, scratch.view_mut());
    layer.forward(&mut cx, x.view(), y.view_mut()).unwrap();
    assert_eq!(y.shape(), shape(&case["y"]["shape"]), "{name}");
    layer.backward(&mut cx, x.view(), y.view(), dy.view_mut(), Some(dx.view_mut())).unwrap();

    let check = |got: View, want: &Value, what: &str| {
        close(&got.to_vec_f64(), &numbers(&want["values"]), tolerance, &format!("{name}: {what}"));
    };
    // db = Σ dz and dW = Σ x dz over rows. Behind a softmax the terms nearly cancel, and then they, not their sum, say
    // how it rounds: Σ |dz|, times the largest |x| for dW. Dense and Conv leave dz where dy was.
    let has_dz = ["Dense", "Conv"].iter().any(|kind| text(&case["layer"]).starts_with(kind));
    let (dz, columns) = (dy.view().to_vec_f64(), output.last());
    let terms_of = |j: usize| dz.iter().skip(j).step_by(columns).map(|dz| dz.abs()).sum::<f64>();
    let terms = (0..columns).map(terms_of).fold(0.0, f64::max);
    let largest_x = x.view().to_vec_f64().iter().fold(0.0f64, |m, x| m.max(x.abs()));
    check(y.view(), &case["y"], "y");
    check(dx.view(), &case["dx"], "dx");
    let (mut slopes, mut kept) = (list(&case["dparams"]).iter(), list(&case["kept"]).iter());
    let compared = layer.params(&mut |p| {
        match p.trainable {
            true if has_dz => {
                let want = numbers(&slopes.next().unwrap()["values"]);
                let size = if p.name == "bias" { terms } else { terms * largest_x };
                let what = format!("{name}: d {}", p.name);
                close_to(&p.grad.view().to_vec_f64(), &want, tolerance * size, &what);
            }
            true => check(p.grad.view(), slopes.next().unwrap(), &format!("d {}", p.name)),
            // PyTorch's moving variance is not Keras's, so its goldens have none.
            false => kept.by_ref().take(1).for_each(|want| check(p.view(), want, p.name)),
        }
        Ok(())
    });
    compared.unwrap();
    assert!(slopes.next().is_none() && kept.next().is_none(), "{name}: something was not compared");
}

#[test]
fn layers_are_keras_s() {
    let file = golden("layers.json");
    for (dev, epsilon) in devices() {
        cases(&file).iter().for_each(|case| check_layer(&dev, ROUNDINGS * epsilon, case));
    }
}

#[test]
fn layers_are_pytorch_s() {
    let file = golden("torch.json");
    for (dev, epsilon) in devices() {
        cases(&file).iter().for_each(|case| check_layer(&dev, ROUNDINGS * epsilon, case));
    }
}
