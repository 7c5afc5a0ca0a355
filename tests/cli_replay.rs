//! `handgrad replay`, and the callbacks of `handgrad train`, as their users have them.
#![cfg(feature = "cli")]

#[path = "support/command.rs"]
mod command;

use handgrad::data::{Element, Idx};
use serde_json::Value;
use std::process::Command;
use tempfile::TempDir;

fn handgrad(arguments: &str) -> Command {
    let mut command = command::handgrad(arguments.split_whitespace());
    command.current_dir(env!("CARGO_MANIFEST_DIR")).env_remove("HANDGRAD_FASHION_MNIST");
    command
}

/// Exit code, standard output, standard error.
fn ran(mut command: Command) -> (Option<i32>, String, String) {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// The four files of a small data set: `n` pictures of each of ten classes, in both parts.
fn data(n: usize) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for part in ["train", "t10k"] {
        let pixels = (0..10 * n * 784).map(|i| (i % 251) as u8).collect();
        let labels = (0..10 * n).map(|i| (i % 10) as u8).collect();
        let file = |name: &str| folder.path().join(format!("{part}-{name}-ubyte"));
        Idx::new([10 * n, 28, 28], Element::U8, pixels).unwrap().write(file("images-idx3")).unwrap();
        Idx::new([10 * n], Element::U8, labels).unwrap().write(file("labels-idx1")).unwrap();
    }
    folder
}

#[test]
fn a_preset_is_held_to_its_published_figures() {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("replay.json");
    let mut command = handgrad("replay xor --device reference --seed 3");
    command.arg("--json").arg(&json);
    let (code, out, err) = ran(command);
    assert!(code == Some(0) && err.is_empty(), "{out}{err}");
    for words in ["training accuracy", "1.0000", "inside", "All 2 judged figures are inside."] {
        assert!(out.contains(words), "{words} is missing in {out}");
    }
    let report: Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    assert_eq!((&report["seed"], report["rows"].as_array().unwrap().len()), (&3.into(), 2));
    let row = &report["rows"][1];
    assert_eq!(
        (&row["figure"], &row["ours"], &row["difference"]),
        (&"accuracy".into(), &1.0.into(), &0.0.into())
    );
    assert_eq!((&row["inside"], &row["tolerance"]), (&true.into(), &0.01.into()));
}

/// Pictures of stripes with labels at random: no model reaches anything, and the exit code says so.
#[test]
fn a_figure_outside_is_an_error() {
    let data = data(6);
    let mut command = handgrad("replay fashion-softmax --device reference --data");
    command.arg(data.path());
    let (code, out, err) = ran(command);
    assert_eq!(code, Some(1), "{out}{err}");
    assert!(out.contains("OUTSIDE") && out.contains("not judged"), "{out}");
    assert!(err.starts_with("error: 2 of 2 figures are outside") && err.contains("hint"), "{err}");
}

#[test]
fn what_is_not_there_is_skipped_aloud_and_what_is_wrong_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = handgrad("replay fashion-relu --data");
    command.arg(folder.path().join("nowhere"));
    let (code, out, err) = ran(command);
    assert!(code == Some(1) && err.starts_with("error: nothing was replayed"), "{err}");
    assert!(out.contains("skipped   fashion-relu") && out.contains("there is no such folder"), "{out}");

    // Nor where the data is looked for when nobody says where it is.
    let mut command = handgrad("replay fashion-relu");
    command.env("HANDGRAD_CACHE", folder.path());
    let (code, out, err) = ran(command);
    assert!(code == Some(1) && err.starts_with("error: nothing was replayed"), "{err}");
    assert!(out.contains("skipped   fashion-relu") && out.contains("handgrad data get"), "{out}");

    let broken = data(2);
    std::fs::write(broken.path().join("train-images-idx3-ubyte"), "<html>").unwrap();
    let mut command = handgrad("replay fashion-relu --data");
    command.arg(broken.path());
    let (code, _, err) = ran(command);
    assert!(code == Some(1) && err.contains("not an IDX file"), "{err}");

    let (code, out, _) = ran(handgrad("replay mnist-cnn --quick"));
    assert!(code == Some(1) && out.contains("leave --quick out"), "{out}");
    assert_eq!(ran(handgrad("replay mnst")).0, Some(2));
}

#[test]
fn folds_are_shown_one_by_one() {
    let train = |data: &TempDir, more: &str| {
        let mut command =
            handgrad(&format!("train fashion-sgd-classifier --device reference --epochs 1 {more} --data"));
        command.arg(data.path());
        ran(command)
    };
    let pictures = data(6);
    let (code, out, err) = train(&pictures, "");
    assert!(code == Some(0) && err.is_empty(), "{err}");
    for words in ["Fold 1/5", "Fold 5/5", "0.8196", "SGDClassifier"] {
        assert!(out.contains(words), "{words} is missing in {out}");
    }
    for option in ["--log a.csv", "--early-stopping 2", "--reduce-lr 2"] {
        let (code, _, err) = train(&pictures, option);
        assert!(code == Some(1) && err.contains("one for each fold"), "{err}");
    }
    let (code, _, err) = train(&data(2), "");
    assert!(code == Some(1) && err.contains("class 0 has 2 of the samples"), "{err}");
}

#[test]
fn train_logs_stops_and_reduces() {
    let folder = tempfile::tempdir().unwrap();
    let (log, json) = (folder.path().join("log.csv"), folder.path().join("run.json"));
    let mut command = handgrad(
        "train mnist-mlp --device reference --limit 60 --epochs 40 --early-stopping 6 --reduce-lr 2 --learning-rate 0.05",
    );
    command.arg("--log").arg(&log).arg("--json").arg(&json);
    let (code, out, err) = ran(command);
    assert!(code == Some(0) && err.is_empty(), "{err}");
    assert!(out.contains("the weights are those of epoch"), "{out}");
    assert!(out.contains("reducing the learning rate to 0.005"), "{out}");
    let report: Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    let epochs = report["epochs"].as_array().unwrap();
    let text = std::fs::read_to_string(log).unwrap();
    let mut rows = text.lines();
    assert_eq!(rows.next(), Some("epoch,accuracy,learning_rate,loss,val_accuracy,val_loss"));
    let rows: Vec<&str> = rows.collect();
    assert!(rows.len() == epochs.len() && rows.len() < 40, "{text}");
    for (row, epoch) in rows.iter().zip(epochs) {
        let cells: Vec<f64> = row.split(',').map(|cell| cell.parse().unwrap()).collect();
        for (cell, name) in cells[1..].iter().zip(["accuracy", "learning_rate", "loss"]) {
            assert_eq!(Some(*cell), epoch[name].as_f64(), "{name} in {row}");
        }
    }
    let (code, out, err) = ran(handgrad("train xor --device reference --log /no/such/folder/log.csv"));
    assert!(code == Some(1) && err.contains("cannot write /no/such/folder/log.csv"), "{out}{err}");
}

/// The log of a training that goes on is the log of one that never stopped, without being named again.
#[test]
fn a_resumed_training_goes_on_with_its_log() {
    let folder = tempfile::tempdir().unwrap();
    let (kept, log) = (folder.path().join("kept"), folder.path().join("log.csv"));
    let mut command = handgrad("train xor --device reference --epochs 3 --verbose 0");
    command.arg("--save").arg(&kept).arg("--log").arg(&log);
    assert_eq!(ran(command).0, Some(0));
    let mut command = handgrad("train xor --epochs 5 --verbose 0");
    command.arg("--resume").arg(&kept);
    let (code, _, err) = ran(command);
    assert!(code == Some(0) && err.is_empty(), "{err}");
    let text = std::fs::read_to_string(log).unwrap();
    let epochs: Vec<&str> = text.lines().skip(1).filter_map(|row| row.split(',').next()).collect();
    assert_eq!(epochs, ["0", "1", "2", "3", "4"]);
}

const RECIPE: &str = "loss = \"mse\"\nepochs = 30\n[optimizer]\nname = \"adam\"\nlearning_rate = 1.0\n\
                      [[layers]]\ntype = \"Dense\"\nunits = 1\n";

/// One's own model and data: what goes on is what began, and what is shown belongs to the weights that are kept.
#[test]
fn own_data_goes_on_with_the_model_that_it_began_with() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let rows: String = (0..40).map(|i| format!("{i},{}\n", (i * 7) % 11)).collect();
    std::fs::write(place("data.csv"), format!("x,y\n{rows}")).unwrap();
    std::fs::write(place("a.toml"), RECIPE).unwrap();
    std::fs::write(place("b.toml"), RECIPE.replace("1.0", "0.5")).unwrap();
    let train = |arguments: &str| {
        let mut command = handgrad("train --csv data.csv --target y --task regression --device reference");
        command.args(arguments.split_whitespace()).current_dir(folder.path());
        ran(command)
    };
    let (code, out, err) = train("--model a.toml --early-stopping 2 --save kept --json a.json");
    assert!(code == Some(0) && err.is_empty(), "{err}");
    // The validation row is that of the best epoch.
    let report: Value = serde_json::from_slice(&std::fs::read(place("a.json")).unwrap()).unwrap();
    let losses = report["epochs"].as_array().unwrap().iter().map(|e| e["val_loss"].as_f64().unwrap());
    let best = losses.fold(f64::INFINITY, f64::min);
    assert!(out.contains("the weights are those of epoch"), "{out}");
    let row = out.lines().find(|line| line.starts_with("│ validation")).unwrap();
    assert!(row.contains(&format!("{best:.4}")), "{row} should say {best}");

    // What was not said when it began, but was so, may be said.
    let (code, _, err) = train("--resume kept --optimizer adam --learning-rate 1");
    assert!(code == Some(0) && err.is_empty(), "{err}");
    let (code, _, err) = train("--resume kept --model b.toml");
    assert!(code == Some(1) && err.contains("began with another model file"), "{err}");
    assert_eq!(std::fs::read_to_string(place("kept/model.toml")).unwrap(), RECIPE);
    let (code, _, err) = train("--resume kept --scale none");
    assert!(code == Some(1) && err.contains("the same options for its columns"), "{err}");
}

/// A preset's model knows what its classes are called.
#[test]
fn a_saved_preset_answers_with_the_names_of_its_classes() {
    let (folder, data) = (tempfile::tempdir().unwrap(), data(2));
    let saved = folder.path().join("saved");
    let mut command = handgrad("train fashion-softmax --device reference --epochs 1 --verbose 0 --data");
    command.arg(data.path()).arg("--save").arg(&saved);
    assert_eq!(ran(command).0, Some(0));
    let names = handgrad::data::Collection::named("fashion-mnist").unwrap().classes;
    let mut command = handgrad("summary");
    command.arg(&saved);
    let (_, out, _) = ran(command);
    assert!(out.contains("pictures of 28 × 28, grey") && out.contains(&names.join(", ")), "{out}");
    let mut command = handgrad("predict --limit 1");
    command.arg(&saved).arg(data.path().join("t10k-images-idx3-ubyte"));
    let (code, out, err) = ran(command);
    assert!(code == Some(0) && err.is_empty(), "{err}");
    let name = out.lines().next().unwrap().split_once("[0]: ").unwrap().1;
    assert!(names.contains(&name), "{out}");

    // Class folders are called as the classes are; by its number only the one whose name no folder can have.
    let pictures = folder.path().join("pictures");
    for class in ["0", "Bag"] {
        std::fs::create_dir_all(pictures.join(class)).unwrap();
        let file = std::fs::File::create(pictures.join(class).join("a.png")).unwrap();
        let mut encoder = png::Encoder::new(file, 28, 28);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.write_header().unwrap().write_image_data(&[100; 784]).unwrap();
    }
    let evaluated = || {
        let mut command = handgrad("evaluate");
        command.arg(&saved).arg("--images").arg(&pictures);
        ran(command)
    };
    let (code, out, err) = evaluated();
    assert!(code == Some(0) && out.contains("2 samples"), "{out}{err}");
    std::fs::rename(pictures.join("Bag"), pictures.join("8")).unwrap();
    let (code, _, err) = evaluated();
    assert!(code == Some(1) && err.contains("the model knows no such class"), "{err}");
}
