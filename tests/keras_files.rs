//! Keras's files: what Keras saved predicts the same here, and what is saved here predicts the same there.
//!
//! The first half reads `tests/keras/`, which `make.py` there made with Keras 3.15.1. The second half runs Keras itself,
//! in the Python that `HANDGRAD_KERAS_PYTHON` names: `tests/fetch_keras.sh` gets one.

#[path = "support/held.rs"]
mod held;

use handgrad::data::{Dataset, Features, Targets};
use handgrad::io::{self, keras};
use handgrad::layers::*;
use handgrad::model::{Compile, Fit};
use handgrad::optimizers::{Adam, RmsProp, Sgd};
use handgrad::{Activation, Error, Optimizer, Rng, Sequential, Shape};
use serde_json::{Value, json};
use std::fs;
use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};

/// What a prediction may differ by: both sides round to `f32` along the way.
const TOLERANCE: f64 = 1e-5;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/keras")
}

fn json_of(name: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(folder().join(name)).unwrap()).unwrap()
}

fn floats(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect()
}

fn predict(model: &mut Sequential, x: &[f32]) -> Vec<f64> {
    let sample = model.input_shape().unwrap();
    model
        .predict(&Features::F32 { sample, values: x.to_vec() })
        .unwrap()
        .to_vec()
        .into_iter()
        .map(f64::from)
        .collect()
}

#[track_caller]
fn assert_close(what: &str, got: &[f64], expected: &[f64]) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (i, (a, b)) in got.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= TOLERANCE, "{what}: number {i} is {a}, expected {b}");
    }
}

/// Every layer that both have, whole models in the new and the older file: fails for a weight in the wrong place, an
/// option read over, a gate or an axis out of order.
#[test]
fn what_keras_saved_predicts_the_same_here() {
    let (cases, mut files) = (json_of("cases.json"), 0);
    for (name, case) in cases.as_object().unwrap() {
        for file in [format!("{name}.keras"), format!("{name}.h5")] {
            let path = folder().join(&file);
            if !path.exists() {
                assert!(file.ends_with(".h5"), "{file} is missing");
                continue;
            }
            let mut model = io::load(&path).unwrap_or_else(|e| panic!("{file}: {e}"));
            let y: Vec<f64> = floats(&case["y"]).into_iter().map(f64::from).collect();
            assert_eq!(json!(model.output_shape().unwrap().dims()), case["output"], "{file}");
            assert_close(&file, &predict(&mut model, &floats(&case["x"])), &y);
            files += 1;
        }
    }
    assert_eq!(files, 15);
    let model = io::load(folder().join("mlp.keras")).unwrap();
    assert_eq!(model.layer_names().last(), Some(&"출력"));
}

/// `mlp.keras`, compiled with other metrics.
fn with_metrics(metrics: Value) -> Vec<u8> {
    let bytes = fs::read(folder().join("mlp.keras")).unwrap();
    let mut config: Value = serde_json::from_slice(&part(&bytes, "config.json")).unwrap();
    assert!(!config["compile_config"]["loss"].is_null());
    config["compile_config"]["metrics"] = metrics;
    archive(config.to_string().as_bytes(), &part(&bytes, "model.weights.h5"))
}

/// What the model was compiled with is not known here: it predicts all the same, with its softmax.
#[test]
fn a_model_with_a_metric_of_keras_s_alone_predicts_as_there() {
    let case = &json_of("cases.json")["mlp"];
    let y: Vec<f64> = floats(&case["y"]).into_iter().map(f64::from).collect();
    let mut model = load_bytes(&with_metrics(json!(["auc"]))).unwrap();
    assert_close("auc", &predict(&mut model, &floats(&case["x"])), &y);
    // And whoever wants more is told why.
    let values = vec![1., 0., 0.];
    let x = Features::F32 { sample: Shape::from([6]), values: vec![0.1; 6] };
    let data = Dataset::new(x, Targets::Values { sample: Shape::from([3]), values }).unwrap();
    assert_eq!(model.why_not_compiled(), Some("unknown metric `auc`"));
    for e in [
        model.evaluate(&data, 1).map(drop).unwrap_err(),
        model.fit(&data, Fit::new()).map(drop).unwrap_err(),
        model.learning_rate().map(drop).unwrap_err(),
        model.set_learning_rate(0.1).unwrap_err(),
    ] {
        assert!(e.to_string().ends_with("cannot be had here: unknown metric `auc`"), "{e}");
        assert!(e.hint().unwrap().contains("call `compile`"), "{e:?}");
    }
    assert!(model.summary().unwrap().ends_with("\nNot compiled: unknown metric `auc`\n"));
    model.compile(Compile::new("mse")).unwrap();
    assert_eq!(model.why_not_compiled(), None);
    model.evaluate(&data, 1).unwrap();
}

/// A metric is ours if it computes what ours computes.
#[test]
fn a_metric_s_options_are_read() {
    let metric = |class: &str, options: Value| json!([{"class_name": class, "config": options}]);
    let policy = json!({"class_name": "DTypePolicy", "config": {"name": "float32"}});
    for same in [
        metric("CategoricalAccuracy", json!({"name": "acc", "dtype": policy})),
        metric("TopKCategoricalAccuracy", json!({"k": 5, "dtype": "float32"})),
        metric("BinaryAccuracy", json!({"threshold": 0.5})),
        metric("Precision", json!({"thresholds": null, "top_k": null, "class_id": null})),
        metric("CategoricalCrossentropy", json!({"from_logits": false, "label_smoothing": 0, "axis": -1})),
        json!([["accuracy"]]),
    ] {
        let model = load_bytes(&with_metrics(same.clone())).unwrap();
        assert!(model.learning_rate().is_ok(), "{same}: {:?}", model.why_not_compiled());
    }
    for (other, words) in [
        (metric("TopKCategoricalAccuracy", json!({"k": 3})), "`TopKCategoricalAccuracy` has `k` 3"),
        (metric("BinaryAccuracy", json!({"threshold": 0.7})), "`threshold` 0.7"),
        (metric("Precision", json!({"class_id": 1})), "`class_id` 1"),
        (metric("CategoricalCrossentropy", json!({"from_logits": true})), "`from_logits` true"),
        (json!([7]), "7 is not a metric"),
    ] {
        let model = load_bytes(&with_metrics(other)).unwrap();
        assert!(model.why_not_compiled().unwrap().contains(words), "{:?}", model.why_not_compiled());
    }
}

#[test]
fn weights_alone_are_read_into_a_model_that_fits() {
    let cases = json_of("cases.json");
    for (name, file) in [
        ("mlp", "mlp.weights.h5"),
        ("lstm", "lstm.weights.h5"),
        ("mlp", "mlp.h5"),
        ("mlp", "mlp.keras"),
        ("conv2d", "conv2d.h5"),
    ] {
        let mut model = io::load(folder().join(format!("{name}.keras"))).unwrap();
        let mut weights = model.get_weights().unwrap();
        weights.iter_mut().for_each(|w| w.values.fill(0.5));
        model.set_weights(&weights).unwrap();
        model.load_weights(folder().join(file)).unwrap();
        let y: Vec<f64> = floats(&cases[name]["y"]).into_iter().map(f64::from).collect();
        assert_close(file, &predict(&mut model, &floats(&cases[name]["x"])), &y);
    }
}

#[test]
fn weights_of_another_model_are_refused_whole() {
    let mut model = Sequential::new().with(Dense::new(8)).with(("out", Dense::new(3)));
    model.build([6]).unwrap();
    let before = model.get_weights().unwrap();
    for (file, said) in [
        ("lstm.weights.h5", "layer `dense (Dense 8)` has 2 weights, the file has 0"),
        ("mlp.weights.h5", "layer `out (Dense 3)` has 2 weights, the file has 1 at `layers/dense_1/vars`"),
        ("lstm.h5", "the model has 2 layers with weights, the file has 4"),
    ] {
        let path = folder().join(file);
        // The LSTM model has one Dense: of another shape, and then no second.
        let e = model.load_weights(&path).unwrap_err().to_string();
        let lstm = "layer `out (Dense 3)` has 2 weights, the file has 0 at `layers/dense_1/vars`";
        assert!(e.starts_with(&path.display().to_string()), "{e}");
        assert!(e.contains(said) || e.contains(lstm), "{e}");
        assert_eq!(model.get_weights().unwrap(), before, "{file}");
    }
    let mut model = Sequential::new().with(Dense::new(9));
    model.build([6]).unwrap();
    let saved = tempfile::tempdir().unwrap();
    let path = saved.path().join("a.weights.h5");
    model.save_weights(&path).unwrap();
    let mut model = Sequential::new().with(Dense::new(8));
    model.build([6]).unwrap();
    let e = model.load_weights(&path).unwrap_err();
    assert!(
        e.to_string().contains("`kernel` of layer `dense (Dense 8)` is [6, 8], in the file it is [6, 9]"),
        "{e}"
    );
    assert!(e.hint().unwrap().contains("same layers"));
    let e = io::load(&path).map(drop).unwrap_err();
    assert!(e.to_string().contains("weights alone") && e.hint().unwrap().contains("load_weights"), "{e}");
}

/// A `.keras` file of this description and these weights.
fn archive(config: &[u8], weights: &[u8]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    for (name, bytes) in [("config.json", config), ("model.weights.h5", weights)] {
        zip.start_file(name, options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// What is in the zip under that name.
fn part(bytes: &[u8], name: &str) -> Vec<u8> {
    let mut zip = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
    let mut part = Vec::new();
    zip.by_name(name).unwrap().read_to_end(&mut part).unwrap();
    part
}

fn load_bytes(bytes: &[u8]) -> Result<Sequential, Error> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.keras");
    fs::write(&path, bytes).unwrap();
    io::load(&path)
}

/// What only Keras has is an error that names the layer and the option; nothing is read over that changes a prediction
/// or a training.
#[test]
fn what_only_keras_has_is_refused_by_name() {
    let weights = fs::read(folder().join("mlp.weights.h5")).unwrap();
    let refusals = json_of("refusals.json");
    assert_eq!(refusals.as_object().unwrap().len(), 11);
    for (reason, config) in refusals.as_object().unwrap() {
        let e = load_bytes(&archive(config.to_string().as_bytes(), &weights)).map(drop).unwrap_err();
        let said = e.to_string();
        assert!(said.contains(reason), "{reason}: {said}");
        assert!(reason == "branches" || said.contains("here"), "{reason}: {said}");
        assert!(e.hint().is_some_and(|hint| hint.len() > 10), "{reason}: {e:?}");
    }
}

/// A model for `name`: Keras's own with other weights, or one that was made here.
fn models() -> Vec<(String, Sequential, Vec<f32>)> {
    let mut models = Vec::new();
    for (name, case) in json_of("cases.json").as_object().unwrap() {
        let mut model = io::load(folder().join(format!("{name}.keras"))).unwrap();
        let mut weights = model.get_weights().unwrap();
        weights.iter_mut().flat_map(|w| &mut w.values).for_each(|v| *v *= 0.9);
        model.set_weights(&weights).unwrap();
        models.push((name.clone(), model, floats(&case["x"])));
    }
    let cnn = Sequential::new()
        .name("만든 모델")
        .with(("그림", Conv2D::new(3, [2, 3]).activation(Activation::Gelu { approximate: false })))
        .with(MaxPooling2D::new(2))
        .with(BatchNormalization::new())
        .with(Dropout::new(0.5))
        .with(Flatten::new())
        .with(Dense::new(3).activation(Activation::Elu { alpha: 0.3 }))
        .with(ActivationLayer::new(Activation::Softmax));
    let rnn = Sequential::new()
        .with(Reshape::new([8, 7]))
        .with(GRU::new(3).return_sequences(true))
        .with(LSTM::new(3).return_sequences(true).activation(Activation::LeakyRelu { negative_slope: 0.4 }))
        .with(SimpleRNN::new(2));
    for (name, mut model) in [("made_cnn", cnn), ("made_rnn", rnn)] {
        model.build([8, 7, 1]).unwrap();
        let x = (0..3 * 56).map(|i| (i * 37 % 101) as f32 / 50.0 - 1.0).collect();
        models.push((name.to_string(), model, x));
    }
    models
}

/// Optimizers whose slots Keras keeps in another order, or with more of them.
fn optimizers() -> Vec<(&'static str, Optimizer)> {
    vec![
        ("sgd", Sgd::new().learning_rate(0.05).momentum(0.9).nesterov(true).into()),
        ("rmsprop", RmsProp::new().learning_rate(0.01).momentum(0.5).centered(true).into()),
        ("adam", Adam::new().learning_rate(0.02).beta_1(0.8).into()),
        ("amsgrad", Adam::new().learning_rate(0.02).amsgrad(true).into()),
    ]
}

/// Three samples to learn by heart, in one batch.
fn lesson() -> (Dataset, Vec<f32>, Vec<f32>) {
    let x: Vec<f32> = (0..12).map(|i| (i * 7 % 11) as f32 / 5.0 - 1.0).collect();
    let y = vec![0.5, -0.5, 1.0, 0.0, -1.0, 0.25];
    let features = Features::F32 { sample: Shape::from([4]), values: x.clone() };
    let targets = Targets::Values { sample: Shape::from([2]), values: y.clone() };
    (Dataset::new(features, targets).unwrap(), x, y)
}

fn step(model: &mut Sequential, data: &Dataset, epochs: usize) {
    model.fit(data, Fit::new().epochs(epochs).batch_size(3).shuffle(false).verbose(0)).unwrap();
}

fn learner(optimizer: Optimizer) -> Sequential {
    let mut model = Sequential::new().with(Dense::new(5).activation(Activation::Tanh)).with(Dense::new(2));
    model.compile(Compile::new("mse").optimizer(optimizer).metric("mae").metric("r2")).unwrap();
    model
}

#[test]
fn what_is_saved_here_comes_back_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    for (name, mut model, x) in models() {
        let (whole, weights) = (folder.path().join("a.keras"), folder.path().join("a.weights.h5"));
        model.save(&whole).unwrap();
        model.save_weights(&weights).unwrap();
        let y = predict(&mut model, &x);
        let mut twin = Sequential::load(&whole).unwrap();
        assert_eq!(predict(&mut twin, &x), y, "{name}");
        assert_eq!(twin.layer_names(), model.layer_names(), "{name}");
        assert_eq!(twin.get_weights().unwrap(), model.get_weights().unwrap(), "{name}");
        twin.load_weights(&weights).unwrap();
        assert_eq!(predict(&mut twin, &x), y, "{name}");
        let again = folder.path().join("b.keras");
        model.save(&again).unwrap();
        assert!(fs::read(&whole).unwrap() == fs::read(&again).unwrap(), "{name}: one model, the same bytes");
    }
}

/// Training goes on with the optimizer's memory, as if it had never stopped.
#[test]
fn the_optimizer_goes_on_where_it_was() {
    let (folder, (data, x, _)) = (tempfile::tempdir().unwrap(), lesson());
    for (name, optimizer) in optimizers() {
        let mut model = learner(optimizer);
        step(&mut model, &data, 4);
        let path = folder.path().join(format!("{name}.keras"));
        model.save(&path).unwrap();
        let mut twin = io::load(&path).unwrap();
        step(&mut model, &data, 3);
        step(&mut twin, &data, 3);
        assert_eq!(predict(&mut twin, &x), predict(&mut model, &x), "{name}");
    }
    // What Keras compiled and trained is compiled here too.
    for file in ["mlp.keras", "mlp.h5"] {
        let mut model = io::load(self::folder().join(file)).unwrap();
        let values = vec![0.1; 6 * 2];
        let x = Features::F32 { sample: Shape::from([6]), values };
        let y = Targets::Values { sample: Shape::from([3]), values: vec![1., 0., 0., 0., 0., 1.] };
        let scores = model.evaluate(&Dataset::new(x, y).unwrap(), 2).unwrap();
        assert!(scores.get("accuracy").is_some() && scores.get("loss").is_some(), "{file}");
    }
}

#[test]
fn what_keras_cannot_have_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let cases: [(&str, Box<dyn Layer>); 3] = [
        ("truncate", Box::new(LSTM::new(2).truncate(2))),
        ("gelu", Box::new(ActivationLayer::new(Activation::Gelu { approximate: true }))),
        ("/", Box::new(Dense::new(2))),
    ];
    for (why, layer) in cases {
        let mut model = Sequential::new().with(("first", Reshape::new([4, 1])));
        model.add(layer);
        if why == "/" {
            model.add(("a/b", Dense::new(2)));
        }
        model.build([4]).unwrap();
        let path = folder.path().join("a.keras");
        let e = model.save(&path).unwrap_err();
        assert!(e.to_string().contains(why) && e.hint().unwrap().contains(".weights.h5"), "{e}");
        assert!(!path.exists());
    }
    let mut model = Sequential::new().with(Dense::new(2));
    assert!(model.save(folder.path().join("a.keras")).is_err(), "not built");
    model.build([2]).unwrap();
    assert!(model.save(folder.path().join("a.h5")).unwrap_err().hint().unwrap().contains(".keras"));
    assert!(
        model.save_weights(folder.path().join("a.h5")).unwrap_err().hint().unwrap().contains(".weights.h5")
    );
}

/// Every model of the cases, saved here, in Keras itself: one process for all, since it takes seconds to start.
#[test]
fn what_is_saved_here_predicts_the_same_in_keras() {
    let Some(python) = std::env::var_os("HANDGRAD_KERAS_PYTHON") else {
        let required = std::env::var("HANDGRAD_REQUIRE_ALL").is_ok_and(|v| v == "1");
        assert!(!required, "no Keras: HANDGRAD_KERAS_PYTHON names no Python; run tests/fetch_keras.sh");
        println!("skipped: HANDGRAD_KERAS_PYTHON names no Python with Keras");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (mut count, write) = (0, |name: &str, model: &mut Sequential, mut case: Value| {
        model.save(folder.path().join(format!("{name}.keras"))).unwrap();
        model.save_weights(folder.path().join(format!("{name}.weights.h5"))).unwrap();
        case["name"] = model.config().unwrap()["name"].clone();
        fs::write(folder.path().join(format!("{name}.json")), case.to_string()).unwrap();
    });
    for (name, mut model, x) in models() {
        let y = predict(&mut model, &x);
        write(&name, &mut model, json!({ "x": x, "y": y }));
        count += 1;
    }
    let (data, x, target) = lesson();
    for (name, optimizer) in optimizers() {
        let mut model = learner(optimizer);
        step(&mut model, &data, 4);
        let y = predict(&mut model, &x);
        let path = folder.path().join(format!("{name}.safetensors"));
        model.save(&path).unwrap();
        let mut twin = io::load(&path).unwrap();
        step(&mut twin, &data, 1);
        let after = predict(&mut twin, &x);
        write(name, &mut model, json!({ "x": x, "y": y, "target": target, "after": after }));
        count += 1;
    }
    let check = std::process::Command::new(python)
        .arg(self::folder().join("check.py"))
        .arg(folder.path())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    let (said, errors) = (String::from_utf8_lossy(&check.stdout), String::from_utf8_lossy(&check.stderr));
    assert!(check.status.success(), "{said}{errors}");
    println!("{said}");
    assert_eq!(said.lines().count(), count + 1, "{said}");
    let worst: f64 = said.lines().last().unwrap().parse().unwrap();
    assert!(worst <= TOLERANCE, "{said}");
}

/// Reads the file whichever way there is; nothing may panic, or hold more than its size allows.
fn read_hostile(path: &Path, bytes: &[u8], model: &mut Sequential) -> bool {
    fs::write(path, bytes).unwrap();
    let (read, used) =
        held::peak(|| io::load(path).map(drop).is_ok() | keras::load_weights(model, path).is_ok());
    let most = held::most(bytes.len());
    assert!(used <= most, "{used} bytes for a file of {}, kept at {}", bytes.len(), path.display());
    read
}

/// A few changes such as broken disks and bad intentions make.
fn mutate(bytes: &mut Vec<u8>, rng: &mut Rng) {
    let mut below = |n: usize| rng.below(n as u64) as usize;
    const NUMBERS: [u64; 8] = [0, 1, u64::MAX, 1 << 31, i64::MAX as u64, 1 << 24, 1 << 40, 255];
    let solid: Vec<usize> = (0..bytes.len()).filter(|&i| bytes[i] != 0).collect();
    for _ in 0..1 + below(4) {
        if bytes.is_empty() {
            return;
        }
        // Most of an HDF5 file is zeros that nobody reads.
        let i = if below(2) == 0 { solid[below(solid.len())] } else { below(bytes.len()) };
        let i = i.min(bytes.len() - 1);
        match below(8) {
            0 | 1 => bytes[i] ^= 1u8 << below(8),
            2 => bytes[i] = below(256) as u8,
            3 | 4 => {
                let number = match below(9) {
                    8 => below(bytes.len()) as u64,
                    n => NUMBERS[n],
                };
                let (at, width) = (i / 8 * 8, [2, 4, 8][below(3)]);
                for (byte, new) in bytes[at..].iter_mut().zip(&number.to_le_bytes()[..width]) {
                    *byte = *new;
                }
            }
            5 => {
                let (from, n) = (below(bytes.len()), below(100));
                let part = bytes[from..bytes.len().min(from + n)].to_vec();
                for (byte, new) in bytes[i..].iter_mut().zip(part) {
                    *byte = new;
                }
            }
            6 => drop(bytes.drain(i..bytes.len().min(i + 1 + below(20)))),
            _ => bytes.truncate(if below(4) == 0 { i } else { usize::MAX }),
        }
    }
}

#[test]
fn broken_hdf5_files_are_errors_and_nothing_worse() {
    let files: Vec<Vec<u8>> = ["mlp.h5", "lstm.h5", "mlp.weights.h5", "lstm.weights.h5", "conv2d.h5"]
        .map(|name| fs::read(folder().join(name)).unwrap())
        .into();
    let (saved, mut rng) = (tempfile::tempdir().unwrap(), Rng::new(5, 0));
    let path = saved.path().join("broken.h5");
    let mut model = io::load(folder().join("mlp.h5")).unwrap();
    let read = (0..2500).filter(|i| {
        let mut bytes = files[i % files.len()].clone();
        mutate(&mut bytes, &mut rng);
        read_hostile(&path, &bytes, &mut model)
    });
    let read = read.count();
    assert!((100..2400).contains(&read), "{read} of 2500 could be read");
}

#[test]
fn broken_keras_files_are_errors_and_nothing_worse() {
    let files: Vec<Vec<u8>> = ["mlp.keras", "lstm.keras", "conv1d.keras", "activations.keras", "chain.keras"]
        .map(|name| fs::read(folder().join(name)).unwrap())
        .into();
    let (saved, mut rng) = (tempfile::tempdir().unwrap(), Rng::new(6, 0));
    let path = saved.path().join("broken.keras");
    let mut model = io::load(folder().join("mlp.keras")).unwrap();
    let read = (0..2500).filter(|i| {
        let whole = &files[i % files.len()];
        let (mut config, mut weights) = (part(whole, "config.json"), part(whole, "model.weights.h5"));
        // A checksum guards what is in the zip: break the parts, and sometimes the zip.
        let bytes = match i / files.len() % 3 {
            0 => {
                let mut bytes = whole.clone();
                mutate(&mut bytes, &mut rng);
                bytes
            }
            1 => {
                mutate(&mut config, &mut rng);
                archive(&config, &weights)
            }
            _ => {
                mutate(&mut weights, &mut rng);
                archive(&config, &weights)
            }
        };
        read_hostile(&path, &bytes, &mut model)
    });
    let read = read.count();
    assert!((100..2400).contains(&read), "{read} of 2500 could be read");
}

/// Small files that ask for much.
#[test]
fn a_small_file_cannot_ask_for_much() {
    let saved = tempfile::tempdir().unwrap();
    let path = saved.path().join("small.keras");
    let mut model = io::load(folder().join("mlp.keras")).unwrap();
    let weights = fs::read(folder().join("mlp.weights.h5")).unwrap();
    let huge = |layer: Value, input: Value| {
        json!({"class_name": "Sequential", "config": {"name": "m", "layers": [
            {"class_name": "InputLayer", "config": {"batch_shape": input, "name": "i"}}, layer]}})
    };
    let dense = |units: u64| json!({"class_name": "Dense", "config": {"units": units, "name": "d"}});
    let wide = json!([null, 2147483648u64, 1024]);
    let conv = json!({"class_name": "Conv1D", "config": {"filters": 2147483648u64, "kernel_size": [9], "name": "c"}});
    let lstm = json!({"class_name": "LSTM", "config": {"units": 100_000_000, "name": "l"}});
    let deep = "[".repeat(100_000);
    let cases = [
        archive(huge(dense(1 << 31), json!([null, 6])).to_string().as_bytes(), &weights),
        archive(huge(dense(8), wide.clone()).to_string().as_bytes(), &weights),
        archive(huge(conv, wide).to_string().as_bytes(), &weights),
        archive(huge(lstm, json!([null, 5, 3])).to_string().as_bytes(), &weights),
        archive(deep.as_bytes(), &weights),
        archive(&vec![b' '; 80 << 20], &weights),
        archive(huge(dense(8), json!([null, 6])).to_string().as_bytes(), &vec![0; 80 << 20]),
    ];
    for (i, bytes) in cases.iter().enumerate() {
        fs::write(&path, bytes).unwrap();
        let e = io::load(&path).map(drop).unwrap_err();
        assert!(e.hint().is_some(), "{i}: {e}");
        // Nothing of it goes to weights either, but for the files whose weights are whole.
        read_hostile(&path, bytes, &mut model);
    }
}
