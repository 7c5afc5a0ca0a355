//! What Keras and PyTorch say, against every device: layers forward and backward, optimizers, schedules, losses, metrics,
//! initializers.
//!
//! `goldens/make.py` computed the files in float64 from inputs that are exact in float32. So a device may differ by its
//! own rounding alone, and is held to it: to [`ROUNDINGS`] units in the last place of a tensor's largest number.

use handgrad::backend::LossTerm;
use handgrad::layers::*;
use handgrad::metrics::{self, Mean, Metric};
use handgrad::optimizers::*;
use handgrad::rng::Noise;
use handgrad::schedules::Schedule;
use handgrad::{
    Activation, Device, Error, Indices, Initializer, Loss, Padding, Rng, Shape, Target, Tensor, View,
};
use serde_json::{Map, Value};

/// How many roundings of a tensor's largest number a result may be off by. A sum of n terms takes about √n, the longest
/// ones here have some 100 terms, and recurrent layers chain four of them.
const ROUNDINGS: f64 = 64.0;

// ---------------------------------------------------------------- reading

fn golden(file: &str) -> Value {
    let path = format!("{}/tests/goldens/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The cases of a file; none would be a test of nothing.
fn cases(file: &Value) -> &[Value] {
    let cases = list(&file["cases"]);
    assert!(!cases.is_empty());
    cases
}

fn list(v: &Value) -> &[Value] {
    v.as_array().unwrap_or_else(|| panic!("{v} is not a list"))
}

fn number(v: &Value) -> f64 {
    v.as_f64().unwrap_or_else(|| panic!("{v} is not a number"))
}

fn count(v: &Value) -> usize {
    v.as_u64().unwrap_or_else(|| panic!("{v} is not a count")) as usize
}

fn text(v: &Value) -> &str {
    v.as_str().unwrap_or_else(|| panic!("{v} is not text"))
}

fn numbers(v: &Value) -> Vec<f64> {
    list(v).iter().map(number).collect()
}

fn shape(v: &Value) -> Shape {
    Shape::new(&list(v).iter().map(count).collect::<Vec<_>>()).unwrap()
}

fn tensor(dev: &Device, v: &Value) -> Tensor {
    dev.tensor(shape(&v["shape"]), &numbers(&v["values"])).unwrap()
}

/// A configuration; every entry must be asked for.
struct Config(Map<String, Value>);

impl Config {
    fn new(v: &Value) -> Config {
        Config(v.as_object().cloned().unwrap_or_else(|| panic!("{v} is not a configuration")))
    }

    fn take(&mut self, key: &str) -> Option<Value> {
        self.0.remove(key)
    }

    /// Passes the entry `key` to `set`, if it is there.
    fn set<T>(&mut self, key: &str, built: T, set: impl FnOnce(T, Value) -> T) -> T {
        match self.take(key) {
            Some(value) => set(built, value),
            None => built,
        }
    }

    fn finish(self) {
        assert!(self.0.is_empty(), "nobody asked for {:?}", self.0);
    }
}

// ---------------------------------------------------------------- comparing

/// The devices under test, by name and precision: the spacing of numbers just above 1.
fn devices() -> Vec<(Device, f64)> {
    vec![(Device::reference(), f64::EPSILON)]
}

/// Tensors filled with NaN, so that a number which is read before it is written, or not written, shows.
fn unwritten(dev: &Device, shape: Shape) -> Tensor {
    let mut t = dev.zeros(shape).unwrap();
    dev.fill(f64::NAN, t.view_mut()).unwrap();
    t
}

/// Holds `got` to `want` within `tolerance` of the largest number in `want`.
fn close(got: &[f64], want: &[f64], tolerance: f64, what: &str) {
    let largest = want.iter().fold(0.0f64, |m, x| m.max(x.abs()));
    close_to(got, want, tolerance * largest, what);
}

fn close_to(got: &[f64], want: &[f64], tolerance: f64, what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        let error = (g - w).abs();
        assert!(error <= tolerance, "{what}[{i}]: {g} is not {w}, off by {error:.1e} of {tolerance:.1e}");
    }
}

#[test]
fn what_is_wrong_is_not_close() {
    for wrong in [[1.0, 2.0 + 1e-12], [f64::NAN, 2.0], [1.0, f64::INFINITY]] {
        assert!(
            std::panic::catch_unwind(|| close(&wrong, &[1.0, 2.0], 1e-13, "planted")).is_err(),
            "{wrong:?}"
        );
    }
    assert!(std::panic::catch_unwind(|| close(&[1.0], &[1.0, 2.0], 1e-13, "planted")).is_err());
}

// ---------------------------------------------------------------- layers

fn activation(v: Value) -> Activation {
    match text(&v) {
        "gelu_by_tanh" => Activation::Gelu { approximate: true },
        name => name.parse().unwrap(),
    }
}

fn padding(v: Value) -> Padding {
    if text(&v) == "same" { Padding::Same } else { Padding::Valid }
}

fn flag(v: Value) -> bool {
    v.as_bool().unwrap()
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

fn pooling<R: Reduce, const D: usize>(c: &mut Config) -> Box<dyn Layer> {
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
    let name = format!("{} on {}", text(&case["name"]), dev.name());
    let mut layer = layer(text(&case["layer"]), &case["config"]);
    let x = tensor(dev, &case["x"]);
    let mut build = Build { device: dev, rng: &mut Rng::new(1, 0), name: "golden" };
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
    let mut cx =
        Cx { device: dev, training: flag(case["training"].clone()), noise, scratch: scratch.view_mut() };
    layer.forward(&mut cx, x.view(), y.view_mut()).unwrap();
    assert_eq!(y.shape(), shape(&case["y"]["shape"]), "{name}");
    layer.backward(&mut cx, x.view(), y.view(), dy.view_mut(), Some(dx.view_mut())).unwrap();

    let check = |got: View, want: &Value, what: &str| {
        close(&got.to_vec_f64(), &numbers(&want["values"]), tolerance, &format!("{name}: {what}"));
    };
    check(y.view(), &case["y"], "y");
    check(dx.view(), &case["dx"], "dx");
    let (mut slopes, mut kept) = (list(&case["dparams"]).iter(), list(&case["kept"]).iter());
    let compared = layer.params(&mut |p| {
        match p.trainable {
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

// ---------------------------------------------------------------- schedules and optimizers

fn schedule(v: &Value) -> Schedule {
    if let Some(rate) = v.as_f64() {
        return Schedule::Constant(rate);
    }
    let (steps, rate) = (|key: &str| count(&v[key]) as u64, |key: &str| number(&v[key]));
    let or = |key: &str, default: f64| v[key].as_f64().unwrap_or(default);
    let on = |key: &str| v[key].as_bool().unwrap_or(false);
    match text(&v["schedule"]) {
        "ExponentialDecay" => Schedule::ExponentialDecay {
            initial: rate("initial_learning_rate"),
            decay_steps: steps("decay_steps"),
            decay_rate: rate("decay_rate"),
            staircase: on("staircase"),
        },
        "InverseTimeDecay" => Schedule::InverseTimeDecay {
            initial: rate("initial_learning_rate"),
            decay_steps: steps("decay_steps"),
            decay_rate: rate("decay_rate"),
            staircase: on("staircase"),
        },
        "PolynomialDecay" => Schedule::PolynomialDecay {
            initial: rate("initial_learning_rate"),
            decay_steps: steps("decay_steps"),
            end: or("end_learning_rate", 0.0001),
            power: or("power", 1.0),
            cycle: on("cycle"),
        },
        "PiecewiseConstantDecay" => Schedule::PiecewiseConstantDecay {
            boundaries: list(&v["boundaries"]).iter().map(|b| count(b) as u64).collect(),
            values: numbers(&v["values"]),
        },
        "CosineDecay" => Schedule::CosineDecay {
            initial: rate("initial_learning_rate"),
            decay_steps: steps("decay_steps"),
            alpha: or("alpha", 0.0),
            warmup_target: v["warmup_target"].as_f64(),
            warmup_steps: v["warmup_steps"].as_u64().unwrap_or(0),
        },
        "CosineDecayRestarts" => Schedule::CosineDecayRestarts {
            initial: rate("initial_learning_rate"),
            first_decay_steps: steps("first_decay_steps"),
            t_mul: or("t_mul", 2.0),
            m_mul: or("m_mul", 1.0),
            alpha: or("alpha", 0.0),
        },
        other => panic!("no schedule {other}"),
    }
}

#[test]
fn schedules_are_keras_s() {
    for case in cases(&golden("schedules.json")) {
        let made = schedule(case);
        made.check().unwrap();
        let steps = list(&case["steps"]).iter().map(|s| count(s) as u64);
        let rates: Vec<f64> = steps.map(|s| made.at(s)).collect();
        // Near a cycle's end 1 − p cancels: no more digits are left than those of the largest rate.
        close(&rates, &numbers(&case["rates"]), ROUNDINGS * f64::EPSILON, &format!("{made:?}"));
    }
}

fn optimizer(case: &Value) -> Optimizer {
    let mut config = Config::new(&case["config"]);
    let c = &mut config;
    let name = text(&case["optimizer"]);
    macro_rules! configured {
        ($made:expr, $($setting:ident),*) => {{
            let made = $made;
            $(let made = c.set(stringify!($setting), made, |o, v| o.$setting(number(&v)));)*
            made
        }};
    }
    let adam = |c: &mut Config| {
        let made = c.set("beta_1", Adam::new(), |o, v| o.beta_1(number(&v)));
        let made = c.set("beta_2", made, |o, v| o.beta_2(number(&v)));
        let made = c.set("epsilon", made, |o, v| o.epsilon(number(&v)));
        c.set("amsgrad", made, |o, v| o.amsgrad(flag(v)))
    };
    let made: Optimizer = match name {
        _ if c.0.is_empty() => name.parse().unwrap(),
        "SGD" => {
            let sgd = configured!(Sgd::new(), momentum);
            c.set("nesterov", sgd, |o, v| o.nesterov(flag(v))).into()
        }
        "RMSprop" => {
            let rmsprop = configured!(RmsProp::new(), rho, momentum, epsilon);
            c.set("centered", rmsprop, |o, v| o.centered(flag(v))).into()
        }
        "Adagrad" => configured!(Adagrad::new(), initial_accumulator_value, epsilon).into(),
        "Adadelta" => configured!(Adadelta::new(), rho, epsilon).into(),
        "Adam" => adam(c).into(),
        "AdamW" => AdamW::new().adam(adam(c)).into(),
        "Adamax" => configured!(Adamax::new(), beta_1, beta_2, epsilon).into(),
        "Nadam" => configured!(Nadam::new(), beta_1, beta_2, epsilon).into(),
        _ => panic!("no optimizer {name}"),
    };
    let made = c.set("learning_rate", made, |o, v| o.learning_rate(schedule(&v)));
    let made = c.set("weight_decay", made, |o, v| o.weight_decay(number(&v)));
    let made = c.set("clipvalue", made, |o, v| o.clip_value(number(&v)));
    let made = c.set("clipnorm", made, |o, v| o.clip_norm(number(&v)));
    let made = c.set("global_clipnorm", made, |o, v| o.global_clip_norm(number(&v)));
    config.finish();
    made
}

/// Two parameters, and between them one that is not trained.
fn parameters(dev: &Device, start: &Value) -> Vec<Param> {
    let param = |name, v: &Value, trainable| {
        let value = tensor(dev, v);
        let grad = unwritten(dev, value.shape());
        Param { name, value, grad, trainable }
    };
    let start = list(start);
    vec![param("kernel", &start[0], true), param("kept", &start[1], false), param("bias", &start[1], true)]
}

fn set_gradients(params: &mut [Param], gradients: &Value) {
    for (i, golden) in [0, 2].into_iter().zip(list(gradients)) {
        params[i].grad.view_mut().write(&numbers(&golden["values"])).unwrap();
    }
}

#[test]
fn optimizers_are_keras_s() {
    let file = golden("optimizers.json");
    for (dev, epsilon) in devices() {
        for case in cases(&file) {
            let name = format!("{} {} on {}", case["optimizer"], case["config"], dev.name());
            let mut optimizer = optimizer(case);
            let mut params = parameters(&dev, &file["start"]);
            optimizer.build(&dev, &mut params).unwrap();
            for (t, (gradients, want)) in
                list(&file["gradients"]).iter().zip(list(&case["steps"])).enumerate()
            {
                set_gradients(&mut params, gradients);
                optimizer.step(&dev, &mut params).unwrap();
                assert_eq!(optimizer.iterations(), t as u64 + 1);
                for (i, want) in [0, 2].into_iter().zip(list(want)) {
                    let what = format!("{name}, step {}: {}", t + 1, params[i].name);
                    close(&params[i].view().to_vec_f64(), &numbers(want), ROUNDINGS * epsilon, &what);
                }
            }
            assert_eq!(params[1].view().to_vec_f64(), numbers(&file["start"][1]["values"]), "{name}: kept");
        }
    }
}

/// What an optimizer remembers is its iterations and slots, and nothing else: with them, another one goes on bit for bit.
#[test]
fn a_restored_optimizer_goes_on() {
    let file = golden("optimizers.json");
    for (dev, _) in devices() {
        for case in cases(&file) {
            let (mut params, mut first) = (parameters(&dev, &file["start"]), optimizer(case));
            first.build(&dev, &mut params).unwrap();
            let gradients = list(&file["gradients"]);
            for step in &gradients[..4] {
                set_gradients(&mut params, step);
                first.step(&dev, &mut params).unwrap();
            }
            let slots: Vec<Vec<f64>> = first.slots().map(|s| s.view().to_vec_f64()).collect();
            let mut second = optimizer(case);
            second.build(&dev, &mut params).unwrap();
            second.restore(first.iterations(), &slots).unwrap();
            let values: Vec<Vec<f64>> = params.iter().map(|p| p.view().to_vec_f64()).collect();
            let mut ends = [first, second].map(|mut optimizer| {
                let mut params = parameters(&dev, &file["start"]);
                for (p, value) in params.iter_mut().zip(&values) {
                    p.value.view_mut().write(value).unwrap();
                }
                for step in &gradients[4..] {
                    set_gradients(&mut params, step);
                    optimizer.step(&dev, &mut params).unwrap();
                }
                params.iter().map(|p| p.view().to_vec_f64()).collect::<Vec<_>>()
            });
            let (first, second) = ends.split_at_mut(1);
            assert_eq!(first, second, "{}", case["optimizer"]);
        }
    }
}

#[test]
fn an_optimizer_knows_its_parameters() {
    let (dev, file) = (Device::reference(), golden("optimizers.json"));
    let mut params = parameters(&dev, &file["start"]);
    let mut adam = Optimizer::from(Adam::new());
    let refused = |e: Error, word: &str| assert!(e.to_string().contains(word) && e.hint().is_some(), "{e}");
    refused(adam.step(&dev, &mut params).unwrap_err(), "before it is built");
    adam.build(&dev, &mut params).unwrap();
    adam.build(&dev, &mut params).unwrap();
    assert_eq!(adam.slots().count(), 4);
    params[1].trainable = true;
    refused(adam.build(&dev, &mut params).unwrap_err(), "other parameters");
    set_gradients(&mut params, &file["gradients"][0]);
    refused(adam.step(&dev, &mut params).unwrap_err(), "other parameters");
    assert_eq!(adam.iterations(), 0);
    refused(adam.restore(1, &[vec![0.0]]).unwrap_err(), "other parameters");
}

// ---------------------------------------------------------------- losses and metrics

/// A batch's targets: values or labels.
enum Targets {
    Values(Tensor),
    Labels(Indices),
}

impl Targets {
    fn new(dev: &Device, case: &Value) -> Targets {
        let Some(labels) = case["labels"].as_array() else {
            return Targets::Values(tensor(dev, &case["target"]));
        };
        let labels: Vec<u32> = labels.iter().map(|l| count(l) as u32).collect();
        let mut indices = dev.indices([labels.len()].into()).unwrap();
        indices.write(&labels).unwrap();
        Targets::Labels(indices)
    }

    fn target(&self) -> Target<'_> {
        match self {
            Targets::Values(v) => Target::Values(v.view()),
            Targets::Labels(l) => Target::Labels(l.view()),
        }
    }
}

fn loss(case: &Value) -> Loss {
    let mut config = Config::new(&case["config"]);
    let from_logits = config.take("from_logits").is_some_and(flag);
    let loss = match text(&case["loss"]).parse().unwrap() {
        Loss::Huber { delta } => Loss::Huber { delta: config.take("delta").map_or(delta, |v| number(&v)) },
        Loss::BinaryCrossentropy { .. } => Loss::BinaryCrossentropy { from_logits },
        Loss::CategoricalCrossentropy { .. } => Loss::CategoricalCrossentropy { from_logits },
        Loss::SparseCategoricalCrossentropy { .. } => Loss::SparseCategoricalCrossentropy { from_logits },
        other => other,
    };
    config.finish();
    loss
}

#[test]
fn losses_are_keras_s() {
    let file = golden("losses.json");
    for (dev, epsilon) in devices() {
        for case in cases(&file) {
            let name = format!("{} on {}", text(&case["name"]), dev.name());
            let tolerance = ROUNDINGS * epsilon;
            let (prediction, targets) = (tensor(&dev, &case["prediction"]), Targets::new(&dev, case));
            let (count, _) = prediction.shape().as_matrix();
            let weights = case["weights"].as_array().map(|_| numbers(&case["weights"]));
            let weights = weights.map(|w| dev.tensor([w.len()], &w).unwrap());
            let weights = weights.as_ref().map(Tensor::view);
            let (loss, target) = (loss(case), targets.target());

            let mut rows = unwritten(&dev, [count].into());
            dev.loss(loss, prediction.view(), target, rows.view_mut()).unwrap();
            close(&rows.view().to_vec_f64(), &numbers(&case["rows"]), tolerance, &format!("{name}: rows"));
            let mut mean = Mean::new(&dev).unwrap();
            mean.add(&dev, rows.view(), weights).unwrap();
            close(&[mean.result()], &[number(&case["value"])], tolerance, &format!("{name}: value"));

            let scale = 1.0 / count as f64;
            let mut term = LossTerm { loss, folded: Activation::Linear, target, weights, scale };
            let mut d = unwritten(&dev, prediction.shape());
            dev.loss_backward(&term, prediction.view(), d.view_mut()).unwrap();
            let gradient = numbers(&case["gradient"]["values"]);
            close(&d.view().to_vec_f64(), &gradient, tolerance, &format!("{name}: gradient"));

            let Some(folded) = case["folded"].as_str() else { continue };
            term.folded = folded.parse().unwrap();
            let (mut y, mut rows) = (unwritten(&dev, prediction.shape()), unwritten(&dev, [count].into()));
            let mut dz = unwritten(&dev, prediction.shape());
            dev.loss_step(&term, prediction.view(), y.view_mut(), rows.view_mut(), dz.view_mut()).unwrap();
            for (got, want, what) in [
                (&y, numbers(&case["activated"]["values"]), "y"),
                (&rows, numbers(&case["rows"]), "rows"),
                (&dz, gradient, "dz"),
            ] {
                close(&got.view().to_vec_f64(), &want, tolerance, &format!("{name}: step, {what}"));
            }
        }
    }
}

#[test]
fn metrics_are_keras_s() {
    let file = golden("metrics.json");
    for (dev, epsilon) in devices() {
        for case in cases(&file) {
            let batches = list(&case["batches"]);
            let sparse = batches[0]["labels"].is_array();
            let loss = match sparse {
                true => Loss::SparseCategoricalCrossentropy { from_logits: false },
                false => Loss::CategoricalCrossentropy { from_logits: false },
            };
            let output = shape(&batches[0]["prediction"]["shape"]).sample();
            let name = format!("{} of {output} on {}", text(&case["metric"]), dev.name());
            let mut metric = metrics::from_name(text(&case["metric"]), loss, output).unwrap();
            assert_eq!(metric.name(), text(&case["metric"]));
            metric.plan(&dev, output, 5).unwrap();
            // The second epoch must not remember the first.
            for epoch in 0..2 {
                metric.reset(&dev).unwrap();
                assert_eq!(metric.result().unwrap(), 0.0, "{name}: of nothing");
                for batch in batches {
                    let prediction = tensor(&dev, &batch["prediction"]);
                    metric.update(&dev, prediction.view(), Targets::new(&dev, batch).target()).unwrap();
                }
                let what = format!("{name}, epoch {epoch}");
                close(&[metric.result().unwrap()], &[number(&case["result"])], ROUNDINGS * epsilon, &what);
            }
        }
    }
}

#[test]
fn the_confusion_matrix_counts_pairs() {
    let file = golden("metrics.json");
    let case = cases(&file).iter().find(|case| case["matrix"].is_array()).unwrap();
    let want: Vec<Vec<f64>> = list(&case["matrix"]).iter().map(numbers).collect();
    for (dev, _) in devices() {
        let mut confusion = metrics::ConfusionMatrix::new("confusion_matrix");
        confusion.plan(&dev, [4].into(), 5).unwrap();
        for batch in list(&case["batches"]) {
            let prediction = tensor(&dev, &batch["prediction"]);
            confusion.update(&dev, prediction.view(), Targets::new(&dev, batch).target()).unwrap();
        }
        let got = confusion.matrix().unwrap();
        let got: Vec<Vec<f64>> = got.iter().map(|row| row.iter().map(|&n| n as f64).collect()).collect();
        assert_eq!(got, want, "{}", dev.name());
    }
}

// ---------------------------------------------------------------- initializers

/// Draws lie within the bounds that Keras gives its generator for the same shape, and reach them.
#[test]
fn initializers_have_keras_s_bounds() {
    for case in cases(&golden("initializers.json")) {
        let (name, shape) = (text(&case["initializer"]), shape(&case["shape"]));
        let rule: Initializer = name.parse().unwrap();
        let mut draws = Vec::new();
        let mut rng = Rng::new(11, 0);
        while draws.len() < 20_000 {
            draws.extend(rule.draw(shape, &mut rng).unwrap());
        }
        let bound = match text(&case["draw"]) {
            "uniform" => number(&case["maxval"]),
            "truncated_normal" => 2.0 * number(&case["stddev"]), // Keras cuts at two deviations
            other => panic!("no draw {other}"),
        };
        let furthest = draws.iter().fold(0.0f64, |m, x| m.max(x.abs()));
        // Of 20,000 draws, the furthest misses the bound by 1 % with a probability below 1e-9.
        assert!(
            furthest <= bound * (1.0 + 1e-12) && furthest >= 0.99 * bound,
            "{name} {shape}: {furthest}, {bound}"
        );
    }
}
