//! Sequential as its users use it: what fit, evaluate and predict promise, and what they say when asked the impossible.

use handgrad::callbacks::{Callback, Flow, Running};
use handgrad::data::{Dataset, Features, Targets};
use handgrad::layers::{Build, Conv2D, Cx, Dense, Dropout, Flatten, Layer, MaxPooling2D, Param, Reshape};
use handgrad::model::{Compile, Epoch, Fit, History, Weight};
use handgrad::optimizers::Sgd;
use handgrad::{Activation, Device, Loss, Padding, Result, Rng, Sequential, Shape, View, tensor::ViewMut};

fn xor() -> Dataset {
    Dataset::from_rows(&[[0., 0.], [0., 1.], [1., 0.], [1., 1.]], &[[0.], [1.], [1.], [0.]]).unwrap()
}

/// Three noisy clouds of 4 features with their labels.
fn clouds(n: usize) -> Dataset {
    let mut rng = Rng::new(5, 0);
    let labels: Vec<u32> = (0..n).map(|_| rng.below(3) as u32).collect();
    let rows: Vec<[f32; 4]> = labels
        .iter()
        .map(|&l| std::array::from_fn(|j| (rng.normal() + if j as u32 == l { 2.0 } else { 0.0 }) as f32))
        .collect();
    Dataset::new(Features::from_rows(&rows).unwrap(), Targets::labels(labels)).unwrap()
}

fn classifier(device: &Device, seed: u64) -> Sequential {
    let mut model = Sequential::new()
        .device(device)
        .seed(seed)
        .with(Dense::new(16).activation(Activation::Relu))
        .with(Dropout::new(0.2))
        .with(Dense::new(3).activation(Activation::Softmax));
    model
        .compile(Compile::new("sparse_categorical_crossentropy").optimizer("adam").metric("accuracy"))
        .unwrap();
    model
}

fn train(device: &Device, seed: u64, data: &Dataset, fit: Fit) -> (History, Vec<Weight>) {
    let mut model = classifier(device, seed);
    let history = model.fit(data, fit.verbose(0)).unwrap();
    (history, model.get_weights().unwrap())
}

fn losses(history: &History) -> Vec<f64> {
    history.get("loss")
}

fn devices() -> [Device; 2] {
    [Device::reference(), Device::cpu().unwrap()]
}

#[test]
fn one_seed_one_result_at_any_number_of_threads() {
    let data = clouds(333);
    let run = |threads, seed| {
        let device = Device::cpu_with(Some(threads), None).unwrap();
        train(&device, seed, &data, Fit::new().epochs(3))
    };
    let (history, weights) = run(1, 0);
    for threads in [1, 2, 5] {
        let (h, w) = run(threads, 0);
        assert_eq!(losses(&h), losses(&history), "{threads} threads");
        assert!(w == weights, "{threads} threads");
    }
    assert!(run(2, 1).1 != weights, "another seed must give another model");
}

#[test]
fn training_in_two_parts_is_training_at_once() {
    let data = clouds(100);
    for device in devices() {
        let (history, weights) = train(&device, 3, &data, Fit::new().epochs(5));
        let mut model = classifier(&device, 3);
        let first = model.fit(&data, Fit::new().epochs(2).verbose(0)).unwrap();
        let second = model.fit(&data, Fit::new().epochs(3).verbose(0)).unwrap();
        assert_eq!([losses(&first), losses(&second)].concat(), losses(&history));
        assert!(model.get_weights().unwrap() == weights);
    }
}

#[test]
fn a_model_learns_and_its_figures_agree() {
    let (data, test) = clouds(600).train_test_split(0.25, 1, false).unwrap();
    for device in devices() {
        let mut model = classifier(&device, 0);
        let history = model.fit(&data, Fit::new().epochs(20).verbose(0).validation(&test)).unwrap();
        assert!(history.last("val_accuracy").unwrap() > 0.8, "{:?}", history.epochs.last());
        // What fit said of the validation data is what evaluate says, in batches of any size.
        for batch in [32, 7, 1000] {
            let scores = model.evaluate(&test, batch).unwrap();
            assert!((scores.get("loss").unwrap() - history.last("val_loss").unwrap()).abs() < 1e-6);
            assert_eq!(scores.get("accuracy"), history.last("val_accuracy"));
        }
        // And what predict says: probabilities, whose largest is right that often.
        let p = model.predict(test.x()).unwrap();
        assert_eq!(p.shape().dims(), [test.len(), 3]);
        let Targets::Labels { labels, .. } = test.y() else { panic!("labels") };
        let rows = p.to_vec();
        let right = rows.chunks(3).zip(labels).filter(|(row, l)| {
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6);
            row.iter().all(|x| *x <= row[**l as usize])
        });
        let accuracy = right.count() as f64 / test.len() as f64;
        assert!((accuracy - history.last("val_accuracy").unwrap()).abs() < 1e-9);
    }
}

/// A step of SGD with learning rate 1 moves every weight by its gradient, so `fit` itself can be held against central
/// differences of what `evaluate` says. Fails if anything in the planned memory, the walk through the layers, the
/// weighting or the optimizer's bookkeeping puts a gradient in the wrong place or scales it.
#[test]
fn a_step_of_fit_goes_down_the_slope_of_evaluate() {
    let model = || Sequential::new().device(&Device::reference());
    let last = || Dense::new(3).activation(Activation::Softmax);
    let dense = model().with(Dense::new(5).activation(Activation::Tanh)).with(Flatten::new());
    let dense = dense.with(Dense::new(4).activation(Activation::Silu)).with(last());
    goes_down_the_slope(dense, &clouds(7), 25 + 24 + 15);
    // The convolution takes the pooling's backward along.
    let conv = Conv2D::new(3, 2).padding(Padding::Same).activation(Activation::Tanh);
    let cnn = model().with(conv).with(MaxPooling2D::new(2).strides(1).padding(Padding::Same));
    let cnn = cnn.with(Flatten::new()).with(last());
    goes_down_the_slope(cnn, &clouds(7).reshape([2, 2, 1]).unwrap(), 15 + 39);
}

fn goes_down_the_slope(mut model: Sequential, data: &Dataset, parameters: usize) {
    let compile =
        Compile::new("sparse_categorical_crossentropy").optimizer(Sgd::default().learning_rate(1.0));
    model.compile(compile).unwrap();
    model.build(data.sample_shape()).unwrap();
    let before = model.get_weights().unwrap();
    model.fit(data, Fit::new().batch_size(7).verbose(0)).unwrap();
    let after = model.get_weights().unwrap();
    let mut checked = 0;
    for (w, (old, new)) in before.iter().zip(&after).enumerate() {
        for i in 0..old.values.len() {
            let mut loss_at = |value: f64| {
                let mut moved = before.clone();
                moved[w].values[i] = value;
                model.set_weights(&moved).unwrap();
                model.evaluate(data, 7).unwrap().get("loss").unwrap()
            };
            let h = 1e-5;
            let slope = (loss_at(old.values[i] + h) - loss_at(old.values[i] - h)) / (2.0 * h);
            let gradient = old.values[i] - new.values[i];
            assert!((gradient - slope).abs() <= 1e-8, "{}[{i}]: {gradient}, not {slope}", old.name);
            checked += 1;
        }
    }
    assert_eq!(checked, parameters);
}

/// Folding softmax into the loss changes the arithmetic and not the result: the same model with a linear last layer
/// and the loss from logits learns the same weights.
/// Samples of 576 numbers, whose batches the processor keeps in blocks of columns: it learns as the reference does, with
/// any number of threads, from a last batch that is smaller, and what it says of its layers and samples is in rows.
#[test]
fn a_wide_first_layer_learns_as_a_narrow_one() {
    let mut rng = Rng::new(8, 0);
    let bytes: Vec<u8> = (0..70 * 576).map(|_| rng.below(256) as u8).collect();
    let labels: Vec<u32> = (0..70).map(|i| u32::from(bytes[i * 576] > 127)).collect();
    let x = Features::Bytes { sample: [24, 24].into(), bytes: bytes.clone(), scale: 1.0 / 255.0 };
    let data = Dataset::new(x, Targets::labels(labels)).unwrap();
    let run = |device: &Device| {
        let mut model = Sequential::new()
            .device(device)
            .seed(3)
            .with(("flat", Flatten::new()))
            .with(Dense::new(9).activation(Activation::Relu))
            .with(Dense::new(2).activation(Activation::Softmax));
        model
            .compile(Compile::new("sparse_categorical_crossentropy").optimizer("adam").metric("accuracy"))
            .unwrap();
        let history =
            model.fit(&data, Fit::new().epochs(4).batch_size(32).validation(&data).verbose(0)).unwrap();
        let scores = model.evaluate(&data, 32).unwrap();
        assert_eq!(scores.get("loss"), history.get("val_loss").last().copied());
        let flat = model.layer_output("flat", data.x()).unwrap();
        let want: Vec<f32> = bytes.iter().map(|&b| f32::from(b) * (1.0 / 255.0)).collect();
        assert!(flat.to_vec() == want, "{}: Flatten only reshapes", device.name());
        (losses(&history), model.predict(data.x()).unwrap().to_vec())
    };
    let (loss, y) = run(&Device::reference());
    assert!(loss[3] < loss[0], "{loss:?}");
    let cpu = [1, 2, 3].map(|threads| run(&Device::cpu_with(Some(threads), None).unwrap()));
    assert!(cpu[0] == cpu[1] && cpu[0] == cpu[2], "the number of threads shows");
    assert!(loss.iter().zip(&cpu[0].0).all(|(a, b)| (a - b).abs() < 1e-4), "{loss:?} and {:?}", cpu[0].0);
    assert!(y.iter().zip(&cpu[0].1).all(|(a, b)| (a - b).abs() < 1e-3));
}

#[test]
fn a_folded_softmax_is_a_softmax() {
    let data = clouds(64);
    let run = |activation, from_logits| {
        let mut model =
            Sequential::new().device(&Device::reference()).with(Dense::new(3).activation(activation));
        let loss = Loss::SparseCategoricalCrossentropy { from_logits };
        model.compile(Compile::new(loss).optimizer("sgd")).unwrap();
        model.fit(&data, Fit::new().epochs(2).verbose(0)).unwrap();
        model.get_weights().unwrap()
    };
    assert!(run(Activation::Softmax, false) == run(Activation::Linear, true));
}

#[test]
fn weights_count_in_the_loss() {
    let data = clouds(48);
    for device in devices() {
        let classes = || [(0, 2.0), (2, 0.5)];
        let Targets::Labels { labels, .. } = data.y() else { panic!("labels") };
        let each: Vec<f32> = labels.iter().map(|l| [2.0, 1.0, 0.5][*l as usize]).collect();
        let by_class = train(&device, 0, &data, Fit::new().class_weight(classes()).epochs(2));
        let by_sample = train(&device, 0, &data, Fit::new().sample_weight(&each).epochs(2));
        let plain = train(&device, 0, &data, Fit::new().epochs(2));
        assert!(by_class.1 == by_sample.1 && by_class.1 != plain.1);
        assert_eq!(losses(&by_class.0), losses(&by_sample.0));
        // A weight of 0 takes a sample out of the gradient: the others alone decide, at half the mean.
        let halves = [vec![1.0; 24], vec![0.0; 24]].concat();
        let step = |data: &Dataset, weights: Option<&[f32]>, rate| {
            let mut model =
                Sequential::new().device(&device).with(Dense::new(3).activation(Activation::Softmax));
            let compile =
                Compile::new("sparse_categorical_crossentropy").optimizer(Sgd::default().learning_rate(rate));
            model.compile(compile).unwrap();
            let fit = Fit::new().shuffle(false).batch_size(48).verbose(0);
            let fit = if let Some(w) = weights { fit.sample_weight(w) } else { fit };
            let loss = model.fit(data, fit).unwrap().last("loss").unwrap();
            (loss, model.get_weights().unwrap())
        };
        let (loss, weights) = step(&data, Some(&halves), 0.2);
        let (half_loss, half_weights) = step(&data.subset(&(0..24).collect::<Vec<_>>()).unwrap(), None, 0.1);
        assert!((2.0 * loss - half_loss).abs() < 1e-6, "{loss} {half_loss}");
        for (a, b) in weights.iter().zip(&half_weights) {
            assert!(a.values.iter().zip(&b.values).all(|(a, b)| (a - b).abs() < 1e-6), "{}", a.name);
        }
    }
}

#[test]
fn a_validation_split_sets_the_last_samples_aside() {
    let data = clouds(100);
    let device = Device::reference();
    let (first, last): (Vec<_>, Vec<_>) = (0..100).partition(|i| *i < 80);
    let (train_part, rest) = (data.subset(&first).unwrap(), data.subset(&last).unwrap());
    let split = train(&device, 0, &data, Fit::new().epochs(2).validation_split(0.2));
    let given = train(&device, 0, &train_part, Fit::new().epochs(2).validation(&rest));
    assert!(split.1 == given.1);
    assert_eq!(split.0.get("val_loss"), given.0.get("val_loss"));
}

/// Writes down when it is called, and stops after the second epoch.
#[derive(Default)]
struct Diary(Vec<String>);

impl Callback for Diary {
    fn on_train_begin(&mut self, _: &mut Sequential, epochs: std::ops::Range<usize>) -> Result<()> {
        self.0.push(format!("begin {epochs:?}"));
        Ok(())
    }

    fn on_epoch_begin(&mut self, _: &mut Sequential, epoch: usize) -> Result<()> {
        self.0.push(format!("epoch {epoch} begins"));
        Ok(())
    }

    fn on_batch_begin(&mut self, model: &mut Sequential, epoch: usize, batch: usize) -> Result<()> {
        assert!(model.learning_rate()? > 0.0);
        self.0.push(format!("batch {batch} of {epoch} begins"));
        Ok(())
    }

    fn on_batch_end(&mut self, running: &Running) -> Result<Flow> {
        assert!(running.scores()?.get("loss").is_some_and(f64::is_finite));
        self.0.push(format!("batch {}/{} of {}", running.batch, running.batches, running.epoch));
        Ok(Flow::Continue)
    }

    fn on_epoch_end(&mut self, _: &mut Sequential, epoch: usize, record: &mut Epoch) -> Result<Flow> {
        self.0.push(format!("epoch {epoch} with {}", record.scores.0.len()));
        Ok(if epoch == 1 { Flow::Stop } else { Flow::Continue })
    }

    fn on_train_end(&mut self, _: &mut Sequential) -> Result<()> {
        self.0.push("end".into());
        Ok(())
    }
}

#[test]
fn callbacks_are_called_in_order_and_can_stop() {
    let mut diary = Diary::default();
    let (history, _) = train(&Device::reference(), 0, &clouds(40), Fit::new().epochs(9).callback(&mut diary));
    assert_eq!(history.epochs.len(), 2);
    let expected = [
        "begin 0..9",
        "epoch 0 begins",
        "batch 0 of 0 begins",
        "batch 1/2 of 0",
        "batch 1 of 0 begins",
        "batch 2/2 of 0",
        "epoch 0 with 2",
        "epoch 1 begins",
        "batch 0 of 1 begins",
        "batch 1/2 of 1",
        "batch 1 of 1 begins",
        "batch 2/2 of 1",
        "epoch 1 with 2",
        "end",
    ];
    assert_eq!(diary.0, expected);
}

/// What people do by mistake, what they are told, and the hint they get.
#[test]
fn mistakes_are_explained() {
    let device = Device::reference();
    let data = clouds(20);
    let one_hot = data.clone().one_hot(3).unwrap();
    let model = |units, f| Sequential::new().device(&device).with(Dense::new(units).activation(f));
    let softmax = || model(3, Activation::Softmax);
    let told = |mut model: Sequential, loss: &str, data: &Dataset, fit: Fit| {
        let result = model.compile(Compile::new(loss)).and_then(|()| model.fit(data, fit.verbose(0)));
        let e = result.expect_err("this is a mistake");
        (e.to_string(), e.hint().unwrap_or_default().to_string())
    };
    let (sparse, categorical) = ("sparse_categorical_crossentropy", "categorical_crossentropy");
    let fit = Fit::new;
    let of_images = Features::F32 { sample: [28, 28, 1].into(), values: vec![0.0; 784 * 20] };
    let images = Dataset::new(of_images, data.y().clone()).unwrap();
    let flat = images.clone().reshape([784, 1]).unwrap();
    let mut for_images = Sequential::new().device(&device).with(Flatten::new()).with(Dense::new(3));
    for_images.build([28, 28, 1]).unwrap();
    let twice =
        Dataset::new(data.x().clone(), Targets::Values { sample: [3, 3].into(), values: vec![0.0; 20 * 9] });

    let table = [
        (
            told(softmax(), "categorical_crosentropy", &one_hot, fit()),
            "unknown loss",
            "did you mean `categorical_crossentropy`",
        ),
        (told(softmax(), sparse, &one_hot, fit()), "wants class numbers", "categorical_crossentropy"),
        (told(softmax(), categorical, &data, fit()), "the targets are labels", "one_hot"),
        (told(softmax(), categorical, &twice.unwrap(), fit()), "encoded twice", "one_hot(3)"),
        (told(model(2, Activation::Softmax), sparse, &data, fit()), "outside the 2 classes", "3 units"),
        (told(model(1, Activation::Softmax), "mse", &xor(), fit()), "always 1", "sigmoid"),
        (told(model(3, Activation::Sigmoid), categorical, &one_hot, fit()), "sum to 1", "softmax"),
        (
            told(model(1, Activation::Sigmoid), sparse, &data, fit()),
            "one output for each class",
            "binary_crossentropy",
        ),
        (told(softmax(), sparse, &data, fit().batch_size(0)), "batch size is 0", "1 or more"),
        (told(softmax(), sparse, &data, fit().epochs(0)), "epochs is 0", "1 or more"),
        (told(softmax(), sparse, &data, fit().validation_split(0.0)), "leaves 20 of 20", "0.2"),
        (told(softmax(), sparse, &data, fit().validation_split(1.0)), "leaves 0 of 20", "0.2"),
        (told(softmax(), sparse, &data, fit().validation_split(f64::NAN)), "NaN", "0.2"),
        (
            told(softmax(), sparse, &data, fit().sample_weight(&[1.0])),
            "1 sample weights for 20",
            "each sample",
        ),
        (
            told(softmax(), sparse, &data, fit().class_weight([(0, -1.0)])),
            "weight of class 0 is -1",
            "at least 0",
        ),
        (
            told(for_images, sparse, &flat, fit()),
            "[N, 28, 28, 1], the data has [N, 784, 1]",
            "reshape([28, 28, 1])",
        ),
        (told(Sequential::new(), "mse", &xor(), fit()), "no layers", "add"),
    ];
    for (i, ((message, hint), expected, remedy)) in table.iter().enumerate() {
        assert!(message.contains(expected), "{i}: {message}");
        assert!(hint.contains(remedy), "{i}: {message}; {hint}");
    }
    let told = |e: handgrad::Error| e.to_string();
    assert!(told(softmax().fit(&data, fit()).unwrap_err()).contains("not compiled"));
    assert!(told(softmax().predict(data.x()).unwrap_err()).contains("before it is built"));
    let twins = || Sequential::new().with(("a", Dense::new(1))).with(("a", Dense::new(1)));
    assert!(told(twins().build([2]).unwrap_err()).contains("two layers are named `a`"));
    let mut m = softmax();
    let with_metric = Compile::new(sparse).metric("acuracy").optimizer("adam");
    assert!(told(m.compile(with_metric).and_then(|()| m.build([4])).unwrap_err()).contains("unknown metric"));
    assert!(
        told(m.compile(Compile::new("mse").optimizer("adamm")).unwrap_err()).contains("unknown optimizer")
    );
}

/// The largest batch there is holds all samples, whatever is added to it.
#[test]
fn a_batch_may_be_larger_than_all_data() {
    let fitted = |batch_size| {
        let mut model = Sequential::new().with(Dense::new(1));
        model.compile(Compile::new("mse").optimizer("sgd")).unwrap();
        let fit = Fit::new().epochs(3).batch_size(batch_size).verbose(0);
        let history = model.fit(&xor(), fit.validation(&xor())).unwrap();
        (history.get("loss"), history.get("val_loss"), model.evaluate(&xor(), batch_size).unwrap())
    };
    let whole = fitted(4);
    for batch_size in [5, usize::MAX - 3, usize::MAX] {
        assert_eq!(fitted(batch_size), whole, "{batch_size}");
    }
}

/// A layer that does not take relu's derivative along: it is left to the layer below.
struct Reserved<L>(L);

impl<L: Layer> Layer for Reserved<L> {
    fn kind(&self) -> &'static str {
        "Reserved"
    }

    fn build(&mut self, cx: &mut Build, input: Shape) -> Result<Shape> {
        self.0.build(cx, input)
    }

    fn forward(&mut self, cx: &mut Cx, x: View, y: ViewMut) -> Result<()> {
        self.0.forward(cx, x, y)
    }

    fn backward(&mut self, cx: &mut Cx, x: View, y: View, dy: ViewMut, dx: Option<ViewMut>) -> Result<()> {
        self.0.backward(cx, x, y, dy, dx)
    }

    fn params(&mut self, visit: &mut dyn FnMut(&mut Param) -> Result<()>) -> Result<()> {
        self.0.params(visit)
    }
}

/// Whether relu's derivative is taken by its own layer or by the one above does not show in a single bit: above a
/// convolution, pooling with windows side by side and windows that overlap, also behind a reshape; dense on dense; on
/// each device.
#[test]
fn the_layer_above_takes_relu_along() {
    fn model<P: Layer + 'static, D: Layer + 'static>(
        device: &Device,
        pool: impl Fn() -> P,
        dense: impl Fn(Dense) -> D,
    ) -> Sequential {
        let conv = || Conv2D::new(6, 2).padding(Padding::Same).activation(Activation::Relu);
        let model = Sequential::new().device(device).with(conv()).with(Reshape::new([2, 2, 6]));
        let model = model.with(pool()).with(conv()).with(pool()).with(Flatten::new());
        let model = model.with(Dense::new(9).activation(Activation::Relu));
        let model = model.with(dense(Dense::new(21).activation(Activation::Relu)));
        model.with(Dense::new(3).activation(Activation::Softmax))
    }
    let data = clouds(24).reshape([2, 2, 1]).unwrap();
    let trained = |mut model: Sequential| {
        model.compile(Compile::new("sparse_categorical_crossentropy").optimizer("sgd")).unwrap();
        model.fit(&data, Fit::new().epochs(2).batch_size(8).verbose(0)).unwrap();
        model.get_weights().unwrap().into_iter().map(|w| w.values).collect::<Vec<_>>()
    };
    let pools = [
        || MaxPooling2D::new(2).padding(Padding::Same),
        || MaxPooling2D::new(2).strides(1).padding(Padding::Same),
        || MaxPooling2D::new([1, 2]).strides(1).padding(Padding::Same),
    ];
    for device in devices() {
        for pool in pools {
            let along = trained(model(&device, pool, |dense| dense));
            let left = trained(model(&device, || Reserved(pool()), Reserved));
            assert!(along == left, "{device:?}");
        }
    }
}

/// Whether the first convolution takes the backward of the pooling above along, or each does its own, makes no difference
/// but of rounding: the rows of a bias add up in another order.
#[test]
fn the_layer_below_takes_pooling_along() {
    let data = clouds(24).reshape([2, 2, 1]).unwrap();
    let trained = |mut model: Sequential| {
        model.add(Flatten::new());
        model.add(Dense::new(3).activation(Activation::Softmax));
        model.compile(Compile::new("sparse_categorical_crossentropy").optimizer("sgd")).unwrap();
        model.fit(&data, Fit::new().epochs(2).batch_size(9).verbose(0)).unwrap();
        model.get_weights().unwrap().into_iter().flat_map(|w| w.values).collect::<Vec<_>>()
    };
    let convs = [
        || Conv2D::new(6, 2).activation(Activation::Relu),
        || Conv2D::new(40, 2).use_bias(false).activation(Activation::Relu),
        || Conv2D::new(3, 1),
        || Conv2D::new(3, 2).activation(Activation::Tanh),
        || Conv2D::new(3, 2).activation(Activation::Silu), // the pooling keeps its own: f′ is a function of x
    ];
    for device in devices() {
        for conv in convs {
            let pool = || MaxPooling2D::new(2).strides(1).padding(Padding::Same);
            let below = || Sequential::new().device(&device).with(conv().padding(Padding::Same));
            let (along, alone) = (trained(below().with(pool())), trained(below().with(Reserved(pool()))));
            let close = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-6;
            assert!(along.len() == alone.len() && along.iter().zip(&alone).all(close), "{device:?}");
        }
    }
}
