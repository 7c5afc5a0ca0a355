//! `train --save` and `--resume` as a user has them: stopped anywhere, by an epoch's end or by Ctrl-C, and at any number of
//! threads, a training ends in the same weights as one that never stopped.
#![cfg(feature = "cli")]

#[path = "support/command.rs"]
mod command;

use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use tempfile::TempDir;

fn handgrad(arguments: &str) -> Command {
    let mut command = command::handgrad(arguments.split_whitespace());
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A run that must succeed.
#[track_caller]
fn succeeds(mut command: Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert!(status.success(), "{status:?}: {}{}", text(&stdout), text(&stderr));
    text(&stdout)
}

/// A run that must be refused, with its message and hint.
#[track_caller]
fn refused(arguments: &str) -> String {
    let Output { status, stderr, .. } = handgrad(arguments).output().unwrap();
    let err = text(&stderr);
    assert!(!status.success() && err.starts_with("error: ") && err.contains("  hint: "), "{status:?}: {err}");
    err
}

/// What `--json` wrote, without what depends on the time and the machine.
#[track_caller]
fn report(arguments: &str) -> Value {
    let folder = folder();
    let path = folder.path().join("r.json");
    let mut command = handgrad(arguments);
    command.arg("--json").arg(&path);
    succeeds(command);
    let mut report: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    for key in ["samples_per_second", "threads"] {
        report.as_object_mut().unwrap().remove(key);
    }
    for epoch in report["epochs"].as_array_mut().unwrap() {
        epoch.as_object_mut().unwrap().remove("seconds");
    }
    report
}

fn dir(folder: &TempDir) -> String {
    folder.path().join("run").display().to_string()
}

/// The four files of a small data set: noise.
fn noise() -> TempDir {
    let folder = folder();
    for (part, n) in [("train", 60u32), ("t10k", 20)] {
        let images: Vec<u8> = (0..n * 784).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let mut file =
            [0u32.to_be_bytes(), n.to_be_bytes(), 28u32.to_be_bytes(), 28u32.to_be_bytes()].concat();
        (file[2], file[3]) = (8, 3);
        file.extend(images);
        std::fs::write(folder.path().join(format!("{part}-images-idx3-ubyte")), file).unwrap();
        let mut file = [0u32.to_be_bytes(), n.to_be_bytes()].concat();
        (file[2], file[3]) = (8, 1);
        file.extend((0..n).map(|i| (i % 10) as u8));
        std::fs::write(folder.path().join(format!("{part}-labels-idx1-ubyte")), file).unwrap();
    }
    folder
}

/// Dropout, a validation part and the best weights kept; a recurrent layer; a logic gate without either.
#[test]
fn a_training_in_parts_is_a_training_in_one() {
    let data = noise();
    for (preset, options) in [
        ("mnist-mlp", "--limit 50 --seed 3 --batch-size 16 --verbose 0 --data"),
        ("mnist-mlp", "--reduce-lr 1 --learning-rate 0.03 --batch-size 16 --verbose 0 --data"),
        ("mnist-cnn", "--limit 8 --batch-size 4 --verbose 0 --data"),
        ("mnist-lstm", "--limit 8 --batch-size 4 --optimizer nadam --verbose 0 --data"),
        ("xor", "--device reference"),
    ] {
        let options = &match options.ends_with("--data") {
            true => format!("{options} {}", data.path().display()),
            false => options.to_string(),
        };
        let whole = report(&format!("train {preset} {options} --epochs 4 --threads 1"));
        let folder = folder();
        let at = dir(&folder);
        report(&format!("train {preset} {options} --epochs 1 --threads 2 --save {at}"));
        report(&format!("train {preset} --resume {at} --epochs 3 --threads 1 --verbose 0"));
        let parts = report(&format!("train {preset} --resume {at} --epochs 4 --threads 2 --verbose 0"));
        assert_eq!(parts, whole, "{preset}");
        assert_eq!(parts["epochs"].as_array().unwrap().len(), 4);
        // Nothing is left to do, and the same is reported once more.
        assert_eq!(report(&format!("train {preset} --resume {at} --verbose 0")), whole, "{preset}");
    }
}

/// Bits are promised where the instructions are the same; where they are not, that is said.
#[test]
fn other_instructions_are_noticed() {
    let folder = folder();
    let at = dir(&folder);
    let with = |isa: &str, arguments: &str| {
        let mut command = handgrad(&format!("train xor --device cpu {arguments} {at}"));
        command.env("HANDGRAD_ISA", isa);
        succeeds(command)
    };
    let best = handgrad::Isa::available().next().unwrap().to_string();
    assert!(!with("portable", "--epochs 1 --save").contains("note"));
    assert!(!with("portable", "--epochs 2 --resume").contains("note"));
    let note = format!("note      it began with (cpu: f32, portable) and goes on with (cpu: f32, {best})");
    assert_eq!(with(&best, "--epochs 3 --resume").contains(&note), best != "portable");
    assert!(!with(&best, "--epochs 4 --resume").contains("note"));
}

/// The rate that a plateau had brought down, and the waiting for the next one, survive the stop.
#[test]
fn a_reduced_learning_rate_stays_reduced() {
    let data = noise();
    let options = format!("--data {} --batch-size 8 --learning-rate 0.03 --verbose 0", data.path().display());
    let whole = report(&format!("train mnist-mlp {options} --reduce-lr 2 --epochs 8"));
    let rates: Vec<f64> =
        whole["epochs"].as_array().unwrap().iter().map(|e| e["learning_rate"].as_f64().unwrap()).collect();
    let falls: Vec<usize> = (1..8).filter(|&i| rates[i] < rates[i - 1]).collect();
    assert!(falls.len() >= 2, "{rates:?}: nothing to lose");
    for first in [falls[0] - 1, falls[0], falls[1]] {
        let folder = folder();
        let at = dir(&folder);
        report(&format!("train mnist-mlp {options} --reduce-lr 2 --epochs {first} --save {at}"));
        let parts = report(&format!("train mnist-mlp --resume {at} --epochs 8 --verbose 0"));
        assert_eq!(parts, whole, "stopped after epoch {first}");
    }
}

/// A batch as large as the command takes it is no other batch when it is read again.
#[test]
fn the_largest_batch_goes_on() {
    let folder = folder();
    let (at, most) = (dir(&folder), 1u64 << 32);
    let whole = report(&format!("train xor --epochs 4 --batch-size {most}"));
    report(&format!("train xor --epochs 2 --batch-size {most} --save {at}"));
    assert_eq!(report(&format!("train xor --epochs 4 --resume {at}")), whole);
    let error = refused(&format!("train xor --resume {at} --batch-size 4"));
    assert!(error.contains(&format!("began with --batch-size {most}, not with --batch-size 4")), "{error}");
}

/// Noise cannot be learned, so patience runs out: its count, and the best weights, must survive the stops.
#[test]
fn early_stopping_remembers() {
    let data = noise();
    let options = format!("--data {} --batch-size 8 --learning-rate 0.01 --verbose 0", data.path().display());
    let whole = report(&format!("train fashion-early-stopping {options} --epochs 20"));
    let epochs = whole["epochs"].as_array().unwrap().len();
    assert!((3..20).contains(&epochs), "{epochs} epochs: the patience of 2 has not run out");
    for first in 1..=epochs {
        let folder = folder();
        let at = dir(&folder);
        report(&format!("train fashion-early-stopping {options} --epochs {first} --save {at}"));
        let parts = report(&format!("train fashion-early-stopping --resume {at} --epochs 20 --verbose 0"));
        assert_eq!(parts, whole, "stopped after epoch {first}");
    }
}

#[test]
fn another_training_is_refused() {
    let (folder, data) = (folder(), noise());
    let at = dir(&folder);
    let first = format!("--limit 40 --seed 3 --epochs 1 --verbose 0 --data {}", data.path().display());
    report(&format!("train mnist-mlp {first} --save {at}"));
    for (arguments, words) in [
        ("xor", "keeps a training of `mnist-mlp`, not of `xor`"),
        ("mnist-mlp --seed 4", "began with --seed 3, not with --seed 4"),
        ("mnist-mlp --batch-size 7", "began with --batch-size 128, not with --batch-size 7"),
        ("mnist-mlp --optimizer sgd", "began with --optimizer adam"),
        ("mnist-mlp --learning-rate 0.5", "began with --learning-rate 0.001"),
        ("mnist-mlp --reduce-lr 3", "began without --reduce-lr, not with --reduce-lr 3"),
        ("mnist-mlp --limit 41", "began with --limit 40"),
        ("mnist-mlp --device reference", "began with --device"),
    ] {
        let error = refused(&format!("train {arguments} --resume {at}"));
        assert!(error.contains(words), "{error} should say {words}");
    }
    let other = noise();
    let images = other.path().join("train-images-idx3-ubyte");
    let mut bytes = std::fs::read(&images).unwrap();
    bytes[4000] ^= 1;
    std::fs::write(images, bytes).unwrap();
    let error = refused(&format!("train mnist-mlp --resume {at} --data {}", other.path().display()));
    assert!(error.contains("began with other data"), "{error}");
    assert!(refused(&format!("train mnist-mlp --save {at}")).contains("keeps a training already"));
    assert!(refused("train mnist-mlp --resume /no/such/folder").contains("keeps no training"));
    let error = handgrad(&format!("train mnist-mlp --save {at} --resume {at}")).output().unwrap();
    assert_eq!(error.status.code(), Some(2));
    // What was said again in the same words is no difference.
    report(&format!(
        "train mnist-mlp --resume {at} --epochs 2 --seed 3 --batch-size 128 --optimizer adam --verbose 0"
    ));
    let error = refused(&format!("train mnist-mlp --resume {at} --epochs 1"));
    assert!(error.contains("has had 2 epochs, --epochs asks for 1 in all"), "{error}");

    std::fs::write(Path::new(&at).join("last.safetensors"), b"no model").unwrap();
    assert!(refused(&format!("train mnist-mlp --resume {at}")).contains("no safetensors file"));
}

/// Starts a training and lets it come into its third epoch: the first is saved then.
#[cfg(unix)]
fn started(arguments: &str) -> Child {
    let mut child = handgrad(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("Epoch 2/") {
        line.clear();
        assert!(out.read_line(&mut line).unwrap() > 0, "it ended before its second epoch did");
    }
    child.stdout = Some(out.into_inner());
    child
}

#[cfg(unix)]
fn interrupt(child: &Child) {
    let done = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(done.success());
}

/// A real SIGINT, at whatever batch it comes, twice in a row.
#[cfg(unix)]
#[test]
fn ctrl_c_ends_after_the_step_and_says_how_to_go_on() {
    let data = noise();
    let options = format!("--data {} --epochs 40 --batch-size 8 --verbose 2", data.path().display());
    let whole = report(&format!("train mnist-mlp {options}"));
    let folder = folder();
    let at = dir(&folder);
    let mut command = format!("train mnist-mlp {options} --save {at}");
    for stop in 0..2 {
        let child = match stop {
            0 => started(&command),
            _ => {
                let child = handgrad(&command).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
                std::thread::sleep(std::time::Duration::from_millis(300));
                child
            }
        };
        interrupt(&child);
        let output = child.wait_with_output().unwrap();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        if output.status.success() || output.status.code().is_none() {
            // The second signal may come too late, or before anybody listens.
            assert_eq!(stop, 1, "{:?}: {out}{err}", output.status);
            continue;
        }
        assert_eq!(output.status.code(), Some(130), "{out}{err}");
        assert!(err.contains("Finishing this step"), "{err}");
        let (_, last) = out.split_once("all is saved. Go on with").expect(&out);
        command = last.trim().strip_prefix("handgrad ").unwrap().to_string() + " --verbose 2";
        assert_eq!(command, format!("train mnist-mlp --resume {at} --verbose 2"));
    }
    assert_eq!(report(&command), whole);
}

/// The second Ctrl-C does not wait for the step, nor does it save; what was saved before is whole. A step may end between
/// the two all the same, so there are ten tries: were the second not heard, every one would end saved.
#[cfg(unix)]
#[test]
fn a_second_ctrl_c_ends_at_once() {
    let at_once = (0..10).any(|_| {
        let folder = folder();
        let at = dir(&folder);
        let child = started(&format!(
            "train mnist-cnn --limit 64 --epochs 500 --batch-size 64 --verbose 2 --save {at}"
        ));
        interrupt(&child);
        interrupt(&child);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
        let saved = handgrad::Sequential::load(Path::new(&at).join("last.safetensors")).unwrap();
        assert!(!saved.history().epochs.is_empty());
        !text(&output.stdout).contains("all is saved")
    });
    assert!(at_once, "the second Ctrl-C was waited for, ten times");
}
