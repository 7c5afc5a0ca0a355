//! ONNX export: the graph's structure always, and onnxruntime's predictions where Python has it.
//!
//! `HANDGRAD_KERAS_PYTHON` names an interpreter with `onnx` and `onnxruntime`.

use handgrad::data::Features;
use handgrad::io::onnx;
use handgrad::layers::*;
use handgrad::{Activation, Padding, Rng, Sequential, Shape};
use prost::Message;
use std::collections::HashSet;
use std::fmt::Write;
use std::path::Path;
use std::process::Command;

/// The messages as they stand in `onnx.proto`: what is written is read as another program would.
#[allow(dead_code, missing_docs, clippy::all, unreachable_pub)] // generated
#[rustfmt::skip]
#[path = "../src/io/onnx/proto.rs"]
mod proto;

/// A model of every kind of layer, every activation, every option that changes the graph; with the shape of a sample.
fn models() -> Vec<(String, Sequential, Vec<usize>)> {
    let mut all: Vec<(String, Sequential, Vec<usize>)> = Vec::new();
    let mut one = |name: &str, shape: &[usize], layers: Vec<Box<dyn Layer>>| {
        let model = layers.into_iter().fold(Sequential::new().seed(3), Sequential::with);
        all.push((name.to_string(), model, shape.to_vec()));
    };
    macro_rules! one {
        ($name:expr, $shape:expr, $($layer:expr),+ $(,)?) => { one($name, &$shape, vec![$(Box::new($layer)),+]) };
    }
    let same = Padding::Same;
    one!("dense", [5], Dense::new(4).activation(Activation::Softmax));
    one!("dense_no_bias", [5], Dense::new(4).use_bias(false));
    one!("dense_sequence", [3, 5], Dense::new(4).activation(Activation::Softmax));
    one!("dense_sequence_no_bias", [2, 3, 5], Dense::new(4).use_bias(false));
    one!("input_dropout", [3, 2], Input::new([3, 2]), Dropout::new(0.5));
    one!("flatten", [3, 4, 2], Flatten::new());
    one!("reshape", [12], Reshape::new([2, 6]), Dense::new(3), Reshape::new([3, 2, 1]));
    one!("conv1d", [9, 2], Conv1D::new(3, 3).activation(Activation::Relu));
    one!("conv1d_same", [9, 2], Conv1D::new(3, 4).padding(same).strides(2));
    one!("conv1d_dilated", [9, 2], Conv1D::new(3, 3).dilation_rate(2).padding(same).use_bias(false));
    one!("conv2d", [7, 8, 3], Conv2D::new(4, [3, 2]).strides([2, 1]).activation(Activation::Softmax));
    one!(
        "conv2d_same",
        [7, 8, 3],
        Conv2D::new(4, [4, 3]).padding(same).strides([3, 2]),
        Flatten::new(),
        Dense::new(2)
    );
    one!("conv3d", [5, 6, 4, 2], Conv3D::new(3, [2, 3, 2]).padding(same).activation(Activation::Tanh));
    for (kind, padding, strides) in [("valid", Padding::Valid, 3), ("same", same, 2)] {
        let name = |what: &str| format!("{what}_{kind}");
        one!(&name("max1"), [8, 3], MaxPooling1D::new(3).padding(padding).strides(strides));
        one!(&name("max2"), [7, 8, 3], MaxPooling2D::new([3, 2]).padding(padding).strides(strides));
        one!(&name("max3"), [5, 7, 6, 2], MaxPooling3D::new(2).padding(padding).strides(strides));
        one!(&name("average1"), [8, 3], AveragePooling1D::new(3).padding(padding).strides(strides));
        one!(&name("average2"), [7, 8, 3], AveragePooling2D::new([3, 2]).padding(padding).strides(strides));
        one!(&name("average3"), [5, 7, 6, 2], AveragePooling3D::new(3).padding(padding).strides(strides));
    }
    one!("global_max1", [8, 3], GlobalMaxPooling1D::new());
    one!("global_max2", [7, 8, 3], GlobalMaxPooling2D::new(), Dense::new(2));
    one!("global_max3", [5, 7, 6, 2], GlobalMaxPooling3D::new());
    one!("global_average1", [8, 3], GlobalAveragePooling1D::new());
    one!("global_average2", [7, 8, 3], Conv2D::new(4, 3), GlobalAveragePooling2D::new(), Dense::new(2));
    one!("global_average3", [5, 7, 6, 2], GlobalAveragePooling3D::new());
    one!("batch_normalization", [5], BatchNormalization::new());
    one!("batch_normalization_image", [4, 5, 3], BatchNormalization::new().epsilon(0.01).scale(false));
    one!("batch_normalization_sequence", [4, 3], BatchNormalization::new().center(false), Flatten::new());
    for activation in Activation::NAMES {
        let f: Activation = activation.parse().unwrap();
        one!(&format!("activation_{activation}"), [3, 6], ActivationLayer::new(f));
    }
    one!("activation_elu_2", [7], ActivationLayer::new(Activation::Elu { alpha: 0.7 }));
    one!("activation_leaky", [7], Dense::new(4).activation(Activation::LeakyRelu { negative_slope: 0.05 }));
    one!("activation_gelu_tanh", [7], Dense::new(4).activation(Activation::Gelu { approximate: true }));
    for sequences in [false, true] {
        for backwards in [false, true] {
            let name = |what: &str| format!("{what}_{sequences}_{backwards}");
            one!(&name("rnn"), [6, 3], SimpleRNN::new(4).return_sequences(sequences).go_backwards(backwards));
            one!(&name("lstm"), [6, 3], LSTM::new(4).return_sequences(sequences).go_backwards(backwards));
            for after in [false, true] {
                let gru = GRU::new(4).reset_after(after).return_sequences(sequences).go_backwards(backwards);
                one!(&format!("{}_{after}", name("gru")), [6, 3], gru, Dense::new(2));
            }
        }
    }
    one!("rnn_no_bias", [6, 3], SimpleRNN::new(4).use_bias(false), Dense::new(2));
    one!("lstm_no_bias", [6, 3], LSTM::new(4).use_bias(false));
    one!("gru_no_bias", [6, 3], GRU::new(4).use_bias(false));
    for activation in ["linear", "relu", "softplus", "softsign", "elu", "leaky_relu"] {
        let f: Activation = activation.parse().unwrap();
        one!(&format!("rnn_{activation}"), [4, 3], SimpleRNN::new(4).activation(f));
        one!(&format!("lstm_{activation}"), [4, 3], LSTM::new(4).activation(f));
        one!(
            &format!("gru_{activation}"),
            [4, 3],
            GRU::new(4).activation(f).recurrent_activation(Activation::Softsign)
        );
    }
    one!(
        "convolutional",
        [12, 12, 1],
        Conv2D::new(4, 3).use_bias(false),
        BatchNormalization::new(),
        ActivationLayer::new(Activation::Relu),
        MaxPooling2D::new(2),
        Conv2D::new(3, 3).padding(same).activation(Activation::Gelu { approximate: false }),
        Dropout::new(0.25),
        AveragePooling2D::new(2),
        Flatten::new(),
        Dense::new(5).activation(Activation::Softmax),
    );
    one!(
        "stacked",
        [6, 3],
        Conv1D::new(4, 2).activation(Activation::Silu),
        LSTM::new(5).return_sequences(true),
        GRU::new(3),
        Dense::new(2),
    );
    all
}

/// Built, with every weight away from its initial value: biases that are 0, or moving means, would hide a mistake.
fn ready(model: &mut Sequential, shape: &[usize]) {
    model.build(Shape::new(shape).unwrap()).unwrap();
    let mut rng = Rng::new(11, 0);
    let mut weights = model.get_weights().unwrap();
    for w in &mut weights {
        let positive = w.name.ends_with("variance");
        for v in &mut w.values {
            let noise = rng.uniform() * 2.0 - 1.0;
            *v = f64::from(if positive { (0.2 + noise.abs()) as f32 } else { (*v + 0.5 * noise) as f32 });
        }
    }
    model.set_weights(&weights).unwrap();
}

fn samples(shape: &[usize], n: usize) -> Vec<f32> {
    let mut rng = Rng::new(12, 0);
    (0..n * shape.iter().product::<usize>()).map(|_| (rng.uniform() * 4.0 - 2.0) as f32).collect()
}

fn decoded(model: &mut Sequential) -> proto::ModelProto {
    proto::ModelProto::decode(onnx::encode(model).unwrap().as_slice()).unwrap()
}

fn extents(value: &proto::ValueInfoProto) -> Vec<String> {
    use proto::{tensor_shape_proto::dimension::Value, type_proto};
    let Some(type_proto::Value::TensorType(tensor)) = value.r#type.clone().unwrap().value else {
        panic!("no tensor")
    };
    assert_eq!(tensor.elem_type, proto::tensor_proto::DataType::Float as i32);
    let dims = tensor.shape.unwrap().dim.into_iter().map(|d| match d.value.unwrap() {
        Value::DimValue(n) => n.to_string(),
        Value::DimParam(name) => name,
    });
    dims.collect()
}

/// Names, shapes, order: what every graph must keep to.
#[test]
fn every_graph_is_sound() {
    for (name, mut model, shape) in models() {
        ready(&mut model, &shape);
        let written = decoded(&mut model);
        assert_eq!((written.ir_version, written.opset_import[0].version), (8, 17), "{name}");
        let graph = written.graph.unwrap();
        let batch = |shape: &[usize]| -> Vec<String> {
            ["N".to_string()].into_iter().chain(shape.iter().map(usize::to_string)).collect()
        };
        assert_eq!((graph.input.len(), graph.output.len()), (1, 1), "{name}");
        assert_eq!(
            (graph.input[0].name.as_str(), extents(&graph.input[0])),
            ("input", batch(&shape)),
            "{name}"
        );
        let out = model.output_shape().unwrap();
        assert_eq!(
            (graph.output[0].name.as_str(), extents(&graph.output[0])),
            ("output", batch(out.dims())),
            "{name}"
        );
        let mut known: HashSet<&str> = HashSet::from(["input", ""]);
        for constant in &graph.initializer {
            let each = if constant.data_type == proto::tensor_proto::DataType::Float as i32 { 4 } else { 8 };
            let elements: i64 = constant.dims.iter().product();
            assert_eq!(constant.raw_data.len() as i64, each * elements, "{name}: {}", constant.name);
            assert!(known.insert(&constant.name), "{name}: {} twice", constant.name);
        }
        let mut used = HashSet::new();
        for node in &graph.node {
            for input in &node.input {
                assert!(known.contains(input.as_str()), "{name}: {} reads {input}", node.name);
                used.insert(input.as_str());
            }
            for output in node.output.iter().filter(|o| !o.is_empty()) {
                assert!(known.insert(output), "{name}: {output} twice");
            }
        }
        assert!(known.contains("output"), "{name}");
        for constant in &graph.initializer {
            assert!(used.contains(constant.name.as_str()), "{name}: nobody reads {}", constant.name);
        }
    }
}

/// A graph as text, to be read beside the model.
fn text(model: &proto::ModelProto) -> String {
    let graph = model.graph.as_ref().unwrap();
    let mut out = format!("{} ir {} opset {}\n", graph.name, model.ir_version, model.opset_import[0].version);
    for v in graph.input.iter().chain(&graph.output) {
        writeln!(out, "{} {:?}", v.name, extents(v)).unwrap();
    }
    for c in &graph.initializer {
        writeln!(out, "{} type {} {:?} {:?}", c.name, c.data_type, c.dims, c.raw_data).unwrap();
    }
    for n in &graph.node {
        write!(out, "{} {} {:?} -> {:?}", n.name, n.op_type, n.input, n.output).unwrap();
        for a in &n.attribute {
            write!(out, " {}={:?}{:?}{:?}{:?}", a.name, a.i, a.f, a.ints, a.floats).unwrap();
        }
        out.push('\n');
    }
    out
}

/// One small model against `tests/goldens/onnx.txt`: whatever changes in the file that others read is seen in a diff.
/// `HANDGRAD_WRITE_GOLDENS=1` writes it anew.
#[test]
fn a_small_model_is_written_as_always() {
    let mut model = Sequential::new()
        .name("작은 모델")
        .with(Conv2D::new(1, 2).activation(Activation::Relu))
        .with(Flatten::new())
        .with(("head", Dense::new(2).activation(Activation::Softmax)));
    model.build([3, 3, 1]).unwrap();
    let mut weights = model.get_weights().unwrap();
    for w in &mut weights {
        w.values.iter_mut().enumerate().for_each(|(i, v)| *v = i as f64 - 1.5);
    }
    model.set_weights(&weights).unwrap();
    let text = text(&decoded(&mut model));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/onnx.txt");
    if std::env::var_os("HANDGRAD_WRITE_GOLDENS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    assert_eq!(text, std::fs::read_to_string(path).unwrap());
}

#[test]
fn what_has_no_form_is_an_error_that_names_the_layer() {
    let refused = |mut model: Sequential, shape: &[usize]| {
        model.build(Shape::new(shape).unwrap()).unwrap();
        onnx::encode(&mut model).unwrap_err()
    };
    let e = refused(Sequential::new().with(("gate", LSTM::new(2).activation(Activation::Selu))), &[3, 2]);
    assert_eq!(e.to_string(), "layer `gate (LSTM)`: `selu` inside of a recurrent layer has no form in ONNX");
    assert!(e.hint().is_some());
    let square =
        Activation::Custom(handgrad::activations::Custom { name: "square", f: |x| x * x, df: |x| 2.0 * x });
    let e = refused(Sequential::new().with(("own", Dense::new(2).activation(square))), &[3]);
    assert!(e.to_string().contains("`own (Dense"), "{e}");
    assert!(onnx::encode(&mut Sequential::new().with(Dense::new(2))).is_err(), "not built");
}

const CHECK: &str = r"
import json, sys
import numpy as np, onnx, onnxruntime
folder = sys.argv[1]
for name, shape, n in json.load(open(folder + '/models.json')):
    path = f'{folder}/{name}.onnx'
    onnx.checker.check_model(path, full_check=True)
    session = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])
    x = np.fromfile(f'{folder}/{name}.x', np.float32).reshape([n, *shape])
    session.run(['output'], {'input': x})[0].astype(np.float32).tofile(f'{folder}/{name}.y')
print(onnx.__version__, onnxruntime.__version__)
";

/// onnx's checker and shape inference pass, and onnxruntime predicts what this crate predicts, for every model above.
#[test]
fn onnxruntime_predicts_the_same() {
    let Some(python) = std::env::var_os("HANDGRAD_KERAS_PYTHON") else {
        let say = "HANDGRAD_KERAS_PYTHON names no Python with onnx and onnxruntime";
        assert!(std::env::var("HANDGRAD_REQUIRE_ALL").as_deref() != Ok("1"), "{say}");
        eprintln!("SKIPPED: {say}");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str, end: &str| folder.path().join(format!("{name}.{end}"));
    let (mut wanted, mut list) = (Vec::new(), Vec::new());
    for (name, mut model, shape) in models() {
        ready(&mut model, &shape);
        let n = 3;
        let x = samples(&shape, n);
        std::fs::write(place(&name, "x"), x.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>())
            .unwrap();
        onnx::save(&mut model, place(&name, "onnx")).unwrap();
        let x = Features::F32 { sample: Shape::new(&shape).unwrap(), values: x };
        wanted.push((name.clone(), model.predict(&x).unwrap().to_vec()));
        list.push(serde_json::json!([name, shape, n]));
    }
    std::fs::write(folder.path().join("models.json"), serde_json::to_vec(&list).unwrap()).unwrap();
    let output = Command::new(python).args(["-c", CHECK]).arg(folder.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    eprintln!("onnx, onnxruntime {}", String::from_utf8_lossy(&output.stdout).trim());
    let mut wrong = Vec::new();
    for (name, ours) in wanted {
        let theirs: Vec<f32> = std::fs::read(place(&name, "y"))
            .unwrap()
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect();
        assert_eq!(ours.len(), theirs.len(), "{name}");
        let scale = ours.iter().fold(0f32, |m, v| m.max(v.abs()));
        for (i, (a, b)) in ours.iter().zip(&theirs).enumerate() {
            let near = (a - b).abs() <= 1e-5 * scale; // not so for NaN
            if !near {
                wrong.push(format!("{name} at {i}: {a} here, {b} there"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[cfg(feature = "cli")]
#[path = "support/command.rs"]
mod command;

/// `handgrad export`: what the library writes, from a model's file; and what it refuses.
#[cfg(feature = "cli")]
#[test]
fn the_command_exports() {
    let folder = tempfile::tempdir().unwrap();
    let mut model = Sequential::new().with(Dense::new(3)).with(Dropout::new(0.5)).with(Dense::new(2));
    model.build([4]).unwrap();
    model.save(folder.path().join("my.model.safetensors")).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = command::handgrad(["export"]);
        let output = command.args(arguments).current_dir(folder.path()).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout) + &text(output.stderr))
    };
    let (code, said) = run(&["my.model.safetensors", "--to", "onnx"]);
    assert_eq!((code, said.as_str()), (0, "Wrote the model, 23 parameters, to my.model.onnx\n"));
    assert!(std::fs::read(folder.path().join("my.model.onnx")).unwrap() == onnx::encode(&mut model).unwrap());
    assert_eq!(run(&["my.model.safetensors", "--to", "npz", "--out", "w.npz"]).0, 0);
    let mut twin = Sequential::new().seed(9).with(Dense::new(3)).with(Dense::new(2));
    twin.build([4]).unwrap();
    twin.load_weights(folder.path().join("w.npz")).unwrap();
    let values =
        |m: &mut Sequential| m.get_weights().unwrap().into_iter().map(|w| w.values).collect::<Vec<_>>();
    assert_eq!(values(&mut twin), values(&mut model));
    assert_eq!(run(&["my.model.safetensors", "--to", "safetensors", "--out", "copy.safetensors"]).0, 0);
    let mut copy = handgrad::io::load(folder.path().join("copy.safetensors")).unwrap();
    assert_eq!(copy.get_weights().unwrap(), model.get_weights().unwrap());

    // The folder of a training, by its own name and with its better model.
    std::fs::create_dir(folder.path().join("run")).unwrap();
    twin.save(folder.path().join("run/last.safetensors")).unwrap();
    model.save(folder.path().join("run/best.safetensors")).unwrap();
    let (code, said) = run(&["run", "--to", "onnx"]);
    assert_eq!((code, said.as_str()), (0, "Wrote the model, 23 parameters, to run.onnx\n"));
    assert!(std::fs::read(folder.path().join("run.onnx")).unwrap() == onnx::encode(&mut model).unwrap());

    for (arguments, words) in [
        (&["my.model.safetensors", "--to", "safetensors"][..], "would be written over itself"),
        (&["my.model.safetensors", "--to", "onnx", "--out", "x.npz"], "x.npz does not end in .onnx"),
        (&["nothing.safetensors", "--to", "onnx"], "nothing.safetensors"),
        (&["w.npz", "--to", "onnx"], "`.npz`"),
        (&[".", "--to", "onnx"], "neither best.safetensors nor last.safetensors"),
    ] {
        let (code, said) = run(arguments);
        assert!(code == 1 && said.starts_with("error: ") && said.contains(words), "{said}");
    }
    assert!(!folder.path().join("nothing.onnx").exists());
}
