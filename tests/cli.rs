//! The command as its users have it: what it writes, what it says when something is wrong, and its exit codes.
#![cfg(feature = "cli")]

#[path = "support/command.rs"]
mod command;

use handgrad::data::{Element, Idx};
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

fn handgrad(arguments: &str) -> Command {
    let mut command = command::handgrad(arguments.split_whitespace());
    command.current_dir(env!("CARGO_MANIFEST_DIR")).env_remove("HANDGRAD_FASHION_MNIST");
    command
}

/// Standard output of a run that must succeed in silence on standard error.
fn succeeds(mut command: Command) -> String {
    let output = command.output().unwrap();
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success() && err.is_empty(), "{:?}: {err}", output.status);
    out
}

/// Standard error of a run that must end with `code`, in one sentence that has `words` and no backtrace.
#[track_caller]
fn fails(mut command: Command, code: i32, words: &str) -> String {
    let output = command.output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{err}");
    assert!(err.starts_with("error: ") && err.contains(words), "{err} should say {words}");
    assert!(!err.contains("panicked") && !err.contains("RUST_BACKTRACE"), "{err}");
    err
}

/// The same, with a hint on the second line and nothing after it.
#[track_caller]
fn fails_with_hint(command: Command, code: i32, words: &str) {
    let err = fails(command, code, words);
    let lines: Vec<&str> = err.lines().collect();
    assert!(lines.len() == 2 && lines[1].starts_with("  hint: "), "{err}");
}

/// `train PRESET` with `--json`, as the object that it wrote.
fn report(arguments: &str) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("result.json");
    let mut command = handgrad(arguments);
    command.arg("--json").arg(&path);
    succeeds(command);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn a_training_keeps_the_best_weights_and_says_which() {
    let fashion = data(|_| ());
    let mut command = handgrad("train fashion-early-stopping --device reference --epochs 3 --data");
    command.arg(fashion.path());
    let out = succeeds(command);
    assert!(out.contains("the weights are those of epoch") && out.contains("stopped near epoch 13"), "{out}");
}

#[test]
fn a_training_shows_its_model_and_its_figures_beside_the_published_ones() {
    let out = succeeds(handgrad("train xor --device reference --seed 1"));
    for words in
        ["32 relu, 1 sigmoid", "rmsprop", "seed 1", "Total params: 129", "published", "0.0420", "samples/s"]
    {
        assert!(out.contains(words), "{words} is missing in {out}");
    }
    let out = succeeds(handgrad("train mnist-mlp --device reference --limit 40 --epochs 2 --batch-size 7"));
    for words in
        ["28 samples to train on, 12 to validate, 40 to test", "Epoch 2/2  4/4 [====", "val_accuracy: "]
    {
        assert!(out.contains(words), "{words} is missing in {out}");
    }
    assert!(
        !succeeds(handgrad("train mnist-mlp --device reference --limit 40 --epochs 1 --verbose 0"))
            .contains("Epoch")
    );
}

#[test]
fn the_json_object_has_exactly_the_promised_names() {
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
    let xor = report("train xor --device reference --epochs 3 --seed 5");
    assert_eq!(keys(&xor), "device epochs parameters preset samples_per_second seed threads weights_sha256");
    assert_eq!(
        (&xor["preset"], &xor["device"], &xor["threads"]),
        (&"xor".into(), &"reference".into(), &1.into())
    );
    assert_eq!((&xor["seed"], &xor["parameters"]), (&5.into(), &129.into()));
    assert!(xor["samples_per_second"].as_f64().unwrap() > 0.0);
    let sum = xor["weights_sha256"].as_str().unwrap();
    assert!(sum.len() == 64 && sum.bytes().all(|b| b.is_ascii_hexdigit()));
    let epochs = xor["epochs"].as_array().unwrap();
    assert_eq!((epochs.len(), keys(&epochs[0]).as_str()), (3, "accuracy loss seconds"));

    let mlp = report("train mnist-mlp --device reference --limit 50 --epochs 2");
    assert_eq!(keys(&mlp["test"]), "accuracy loss");
    assert_eq!(keys(&mlp["epochs"][1]), "accuracy loss seconds val_accuracy val_loss");
    assert_eq!(report("train mnist --device reference --limit 8 --epochs 1")["preset"], "mnist-cnn");
}

/// One seed, one result: at any number of threads, and again.
#[test]
fn weights_depend_on_the_seed_alone() {
    for preset in ["mnist-mlp", "mnist-cnn", "mnist-lstm"] {
        let weights = |arguments: &str| {
            report(&format!("train {preset} --limit 300 --epochs 2 {arguments}"))["weights_sha256"].clone()
        };
        let one = weights("--threads 1 --seed 3");
        assert_eq!(one, weights("--threads 2 --seed 3"), "{preset}");
        assert_eq!(one, weights("--threads 2 --seed 3"), "{preset}");
        assert_ne!(one, weights("--threads 1 --seed 4"), "{preset}");
    }
}

#[test]
fn the_optimizer_can_be_changed() {
    let first_loss = |arguments: &str| {
        let report = report(&format!("train or --device reference --epochs 2 {arguments}"));
        assert_eq!(report["epochs"].as_array().unwrap().len(), 2);
        report["epochs"][1]["loss"].as_f64().unwrap()
    };
    let published = first_loss("");
    assert_eq!(published, first_loss("--optimizer sgd --learning-rate 0.01"));
    assert_ne!(published, first_loss("--learning-rate 0.1"));
    assert_ne!(published, first_loss("--optimizer adam"));
}

#[test]
fn a_training_that_diverges_says_so() {
    let diverging = handgrad("train or --device reference --learning-rate 1e6");
    fails_with_hint(diverging, 1, "training diverged");
}

#[test]
fn lists_and_help() {
    let presets = succeeds(handgrad("presets"));
    for preset in &handgrad::presets::PRESETS {
        assert!(presets.contains(preset.name) && presets.contains(preset.summary), "{}", preset.name);
    }
    let devices = succeeds(handgrad("devices"));
    assert!(devices.contains("cpu") && devices.contains("textbook loops"), "{devices}");
    assert!(succeeds(handgrad("--help")).contains("handgrad train mnist"));
    assert!(succeeds(handgrad("train --help")).contains("--learning-rate"));
    let version = format!("handgrad {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(succeeds(handgrad("--version")), version);
}

#[test]
fn gradients_can_be_checked_by_anyone() {
    let out = succeeds(handgrad("gradcheck dense"));
    assert!(out.contains("5 units, relu") && out.contains("checks passed") && !out.contains("LSTM"), "{out}");
    fails_with_hint(handgrad("gradcheck Conv2"), 2, "unknown layer `Conv2`");
}

#[test]
fn names_that_nobody_knows_are_usage_errors() {
    fails_with_hint(handgrad("train mnst"), 2, "unknown preset `mnst`");
    fails_with_hint(handgrad("train xor --optimizer adm"), 2, "unknown optimizer `adm`");
    fails_with_hint(handgrad("train xor --device gpu"), 2, "unknown device `gpu`");
    fails(handgrad("trian xor"), 2, "trian");
    fails(handgrad("train xor --epoch 3"), 2, "--epochs");
}

#[test]
fn values_out_of_range_are_usage_errors() {
    fails_with_hint(handgrad("train xor --epochs 0"), 2, "the number of epochs is 0");
    fails_with_hint(handgrad("train xor --batch-size 0"), 2, "the batch size is 0");
    for option in ["--threads 0", "--limit 0", "--verbose 3", "--seed -1"] {
        fails(handgrad(&format!("train xor {option}")), 2, option.split(' ').next().unwrap());
    }
    for rate in ["0", "-1", "nan", "inf", "fast"] {
        fails(handgrad(&format!("train xor --learning-rate {rate}")), 2, "learning");
    }
}

/// The preset's name proves that nothing was announced, let alone trained.
#[test]
fn a_result_that_cannot_be_written_is_found_out_before_training() {
    let output =
        handgrad("train xor --device reference --json /no/such/folder/result.json").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    fails(
        handgrad("train xor --json /no/such/folder/result.json"),
        1,
        "cannot write /no/such/folder/result.json",
    );
    fails(handgrad("train xor --json ."), 1, "cannot write .");
}

/// The four files of a small data set, in which `edit` may replace one.
fn data(edit: impl Fn(&Path)) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for part in ["train", "t10k"] {
        let pixels = (0..20 * 784).map(|i| (i % 251) as u8).collect();
        let labels = (0..20).map(|i| i % 10).collect();
        let file = |name: &str| folder.path().join(format!("{part}-{name}-ubyte"));
        Idx::new([20, 28, 28], Element::U8, pixels).unwrap().write(file("images-idx3")).unwrap();
        Idx::new([20], Element::U8, labels).unwrap().write(file("labels-idx1")).unwrap();
    }
    edit(folder.path());
    folder
}

fn train_on(folder: &Path) -> Command {
    let mut command = handgrad("train mnist-mlp --device reference --epochs 1 --data");
    command.arg(folder);
    command
}

#[test]
fn bad_files_end_in_one_sentence() {
    succeeds(train_on(data(|_| ()).path()));
    let images =
        |bytes: &[u8]| data(|folder| std::fs::write(folder.join("train-images-idx3-ubyte"), bytes).unwrap());
    let header =
        |n: u32| [&[0, 0, 8, 3][..], &n.to_be_bytes(), &28u32.to_be_bytes(), &28u32.to_be_bytes()].concat();
    let cases: [(&str, Vec<u8>); 6] = [
        ("ends within its first four bytes", vec![]),
        ("promises 15696 bytes, the file has 16", header(20)),
        ("promises 3367254359296 bytes", header(u32::MAX)),
        ("not an IDX file", b"<html>Not found</html>".to_vec()),
        ("element type 0x0a", [&[0, 0, 10, 3][..], &header(20)[4..]].concat()),
        ("21 samples came with 20 targets", [header(21), vec![0; 21 * 784]].concat()),
    ];
    for (words, bytes) in cases {
        fails_with_hint(train_on(images(&bytes).path()), 1, words);
    }
    let truncated = data(|folder| {
        let path = folder.join("train-images-idx3-ubyte");
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(path, &whole[..whole.len() / 2]).unwrap();
    });
    fails_with_hint(train_on(truncated.path()), 1, "the file has 7848");
}

#[test]
fn bad_data_ends_in_one_sentence() {
    let replaced = |name: &str, idx: Idx| data(|folder| idx.write(folder.join(name)).unwrap());
    let labels = |labels: Vec<u8>| Idx::new([20], Element::U8, labels).unwrap();
    let outside = replaced("train-labels-idx1-ubyte", labels(vec![10; 20]));
    fails_with_hint(train_on(outside.path()), 1, "sample 0 has label 10, outside the 10 classes");

    let mut pixels = vec![0; 20 * 784 * 4];
    pixels[784 * 4..][..4].copy_from_slice(&f32::NAN.to_be_bytes());
    let nan = replaced("t10k-images-idx3-ubyte", Idx::new([20, 28, 28], Element::F32, pixels).unwrap());
    fails_with_hint(train_on(nan.path()), 1, "x has NaN in sample 1, position [0, 0]");

    let small =
        replaced("t10k-images-idx3-ubyte", Idx::new([20, 14, 56], Element::U8, vec![0; 20 * 784]).unwrap());
    fails_with_hint(train_on(small.path()), 1, "training images are [28, 28], test images [14, 56]");

    let gone = data(|folder| std::fs::remove_file(folder.join("t10k-labels-idx1-ubyte")).unwrap());
    fails_with_hint(train_on(gone.path()), 1, "t10k-labels-idx1-ubyte");
    fails_with_hint(train_on(&gone.path().join("nowhere")), 1, "there is no such folder");
    fails_with_hint(handgrad("train xor --data ."), 1, "not from files");
}

#[test]
fn a_data_set_that_is_nowhere_says_where_it_belongs() {
    let empty = tempfile::tempdir().unwrap();
    let mut command = handgrad("train fashion-relu");
    command.env("HANDGRAD_FASHION_MNIST", empty.path().join("fashion"));
    fails_with_hint(command, 1, "there is no such folder");
    let mut command = handgrad("train fashion-relu --limit 20 --epochs 1 --device reference");
    let fashion = data(|_| ());
    command.env("HANDGRAD_FASHION_MNIST", fashion.path());
    succeeds(command);
}

/// `handgrad presets | head -1`: the reader goes away, and nothing is wrong.
#[cfg(unix)]
#[test]
fn a_reader_that_goes_away_is_no_error() {
    use std::process::Stdio;
    for arguments in [&["presets"][..], &["train", "xor", "--device", "reference", "--verbose", "2"]] {
        let mut child =
            command::handgrad(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && err.is_empty(), "{:?}: {err}", output.status);
    }
}
