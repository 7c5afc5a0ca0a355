//! A person's own data through the command: from a file to a model that answers, and what is said when the file is wrong.
#![cfg(feature = "cli")]

#[path = "support/command.rs"]
mod command;

use handgrad::Rng;
use handgrad::data::{Element, Idx};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

fn handgrad(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = command::handgrad(arguments);
    command.current_dir(folder);
    command
}

#[track_caller]
fn succeeds(folder: &Path, arguments: &[&str]) -> String {
    let output = handgrad(folder, arguments).output().unwrap();
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success() && err.is_empty(), "{arguments:?}: {:?}: {err}", output.status);
    out
}

/// One sentence with `words`, a hint with `hint`, and the exit code.
#[track_caller]
fn fails(folder: &Path, arguments: &[&str], code: i32, words: &str, hint: &str) {
    let output = handgrad(folder, arguments).output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {err}");
    assert!(err.starts_with("error: ") && err.contains(words), "{err} should say {words}");
    assert!(err.contains(hint) && !err.contains("panicked"), "{err} should hint at {hint}");
}

/// Three kinds of penguins as a biologist would write them down: two measures, an island, gaps.
fn birds(seed: u64, rows: usize) -> String {
    let mut rng = Rng::new(seed, 0);
    let mut text = String::from("종,부리 길이,\"mass, g\",island\n");
    for i in 0..rows {
        let (name, bill, mass, island) = [
            ("Adelie", 38.8, 3700., "Torgersen"),
            ("Chinstrap", 48.8, 3730., "Dream"),
            ("Gentoo", 47.5, 5070., "Biscoe"),
        ][i % 3];
        let bill = bill + 1.5 * rng.normal();
        let mass = if i % 17 == 5 { "NA".to_string() } else { format!("{:.0}", mass + 250. * rng.normal()) };
        text += &format!("{name},{bill:.1},{mass},\"{island}\"\n");
    }
    text
}

fn write(folder: &TempDir, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    path
}

const TRAIN: [&str; 7] = ["train", "--csv", "birds.csv", "--target", "종", "--missing", "median"];

/// The way of a new user: train and save, look, evaluate, predict. Headers in Korean, quoted cells, gaps, a text column.
#[test]
fn from_a_table_to_answers() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    write(&folder, "birds.csv", birds(1, 150));
    let new = birds(2, 60);
    write(&folder, "new.csv", &new);
    let out =
        succeeds(at, &[&TRAIN[..], &["--test-split", "0.2", "--save", "birds", "--seed", "3"]].concat());
    for words in
        ["150 rows, 3 columns as 5 numbers", "Adelie 50", "Use it:", "type = \"Dense\"", "validation"]
    {
        assert!(out.contains(words), "{words} is missing in {out}");
    }
    assert!(fs::read_to_string(at.join("birds/history.csv")).unwrap().starts_with("epoch,"));

    let summary = succeeds(at, &["summary", "birds"]);
    assert!(
        summary.contains("one of Adelie, Chinstrap, Gentoo") && summary.contains("부리 길이"),
        "{summary}"
    );

    let out = succeeds(at, &["evaluate", "birds", "--csv", "new.csv", "--json", "e.json"]);
    let figures: serde_json::Value = serde_json::from_slice(&fs::read(at.join("e.json")).unwrap()).unwrap();
    let accuracy = figures["accuracy"].as_f64().unwrap();
    assert!(accuracy >= 0.9, "{accuracy}: {out}");
    assert!(out.contains("taken for") && figures["samples"] == 60, "{out}");

    // Without the answers, and in another order of columns.
    let without: String = new
        .lines()
        .map(|line| {
            let cells: Vec<&str> = line.splitn(3, ',').collect();
            format!("{},{}\n", cells[2], cells[1])
        })
        .collect();
    write(&folder, "unknown.csv", without);
    let out = succeeds(at, &["predict", "birds", "--csv", "unknown.csv", "--out", "answers.csv"]);
    assert!(out.contains("50 more rows"), "{out}");
    let answers = fs::read_to_string(at.join("answers.csv")).unwrap();
    assert!(
        answers
            .lines()
            .next()
            .unwrap()
            .ends_with("predicted 종,probability Adelie,probability Chinstrap,probability Gentoo")
    );
    let right = answers.lines().skip(1).zip(new.lines().skip(1)).filter(|(answer, line)| {
        let name = line.split(',').next().unwrap();
        answer.split(',').any(|cell| cell == name)
    });
    assert_eq!(right.count() as f64 / 60.0, accuracy, "evaluate and predict agree");
}

/// The same seed, the same model: at any number of threads.
#[test]
fn own_data_is_learned_the_same_way_twice() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder, "birds.csv", birds(1, 60));
    let sum = |more: &[&str]| {
        let json = ["--epochs", "3", "--json", "r.json"];
        succeeds(folder.path(), &[&TRAIN[..], &json, more].concat());
        let report: serde_json::Value =
            serde_json::from_slice(&fs::read(folder.path().join("r.json")).unwrap()).unwrap();
        report["weights_sha256"].as_str().unwrap().to_string()
    };
    let one = sum(&["--threads", "1"]);
    assert_eq!(one, sum(&["--threads", "2"]));
    assert_ne!(one, sum(&["--seed", "1"]));
    assert_ne!(one, sum(&["--min-max"]));
    assert_ne!(one, sum(&["--label-encode"]));
    assert_eq!(one, sum(&["--standardize", "--one-hot"]));
}

/// Stopped after two epochs and resumed to five, the weights are those of five in one go; other data are refused.
#[test]
fn own_data_goes_on_where_it_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    write(&folder, "birds.csv", birds(1, 60));
    let sum = |more: &[&str]| {
        let out = succeeds(at, &[&TRAIN[..], &["--json", "r.json"], more].concat());
        let report: serde_json::Value =
            serde_json::from_slice(&fs::read(at.join("r.json")).unwrap()).unwrap();
        (report["weights_sha256"].as_str().unwrap().to_string(), out)
    };
    let (whole, _) = sum(&["--epochs", "5"]);
    sum(&["--epochs", "2", "--save", "m"]);
    let (resumed, out) = sum(&["--epochs", "5", "--resume", "m"]);
    assert_eq!(resumed, whole, "{out}");
    assert!(out.contains("2 epochs were done"), "{out}");
    assert_eq!(fs::read_to_string(at.join("m/history.csv")).unwrap().lines().count(), 6);
    let resume = |more: &[&'static str]| [&TRAIN[..], &["--epochs", "6", "--resume", "m"], more].concat();
    fails(at, &resume(&["--scale", "none"]), 1, "began with other data", "");
    write(
        &folder,
        "other.toml",
        "loss = \"sparse_categorical_crossentropy\"\n[[layers]]\ntype = \"Dense\"\nunits = 3\n",
    );
    fails(at, &resume(&["--model", "other.toml"]), 1, "began with another model file", "leave --model out");
    fails(at, &[&TRAIN[..], &["--save", "m"]].concat(), 1, "keeps a training already", "");
}

const MODEL: &str = "loss = \"mse\"\nmetrics = [\"mae\"]\nepochs = 60\nbatch_size = 8\n[optimizer]\nname = \"adam\"\n\
learning_rate = 0.05\n[[layers]]\ntype = \"Dense\"\nunits = 1\n";

/// y = 3a − 2b + 7, with a semicolon, decimal commas and a CR LF: one linear unit finds it.
#[test]
fn a_number_is_learned_in_its_own_units() {
    let folder = tempfile::tempdir().unwrap();
    let mut rng = Rng::new(5, 0);
    let mut text = String::from("\u{feff}a;b;y\r\n");
    for _ in 0..120 {
        let (a, b) = (rng.normal(), rng.normal());
        text += &format!("{a:.4};{b:.4};{:.4}\r\n", 3. * a - 2. * b + 7.).replace('.', ",");
    }
    write(&folder, "line.csv", &text);
    write(&folder, "model.toml", MODEL);
    let reading = ["--delimiter", ";", "--decimal-comma"];
    let train = ["train", "--csv", "line.csv", "--target", "y", "--model", "model.toml", "--save", "line"];
    let out = succeeds(folder.path(), &[&train[..], &reading].concat());
    assert!(out.contains("mae"), "{out}");
    succeeds(
        folder.path(),
        &[&["evaluate", "line", "--csv", "line.csv", "--json", "e.json"][..], &reading].concat(),
    );
    let figures: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.path().join("e.json")).unwrap()).unwrap();
    assert!(figures["mae"].as_f64().unwrap() < 0.01, "{figures}"); // one linear unit is all it takes
    // Without a model the target is scaled; predictions are in its units again.
    let out = succeeds(
        folder.path(),
        &[&["train", "--csv", "line.csv", "--target", "y", "--save", "own"][..], &reading].concat(),
    );
    assert!(out.contains("standard deviations of `y`"), "{out}");
    let out =
        [&["predict", "own", "--csv", "line.csv", "--out", "p.csv", "--limit", "1"][..], &reading].concat();
    succeeds(folder.path(), &out);
    // What is written has the file's delimiter and its commas.
    let mut reader =
        csv::ReaderBuilder::new().delimiter(b';').from_path(folder.path().join("p.csv")).unwrap();
    let mut worst = 0f64;
    for row in reader.records() {
        let row = row.unwrap();
        let number = |i: usize| row[i].replacen(',', ".", 1).parse::<f64>().unwrap();
        worst = worst.max((number(2) - number(3)).abs());
    }
    assert!(worst < 1.0, "{worst}"); // of a range of some 20
}

/// What `train` was told of the cells, `predict` and `evaluate` know: -999 is no number, and 007 is not 7.
#[test]
fn a_model_knows_how_its_cells_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let rows: String = (0..40)
        .map(|i| match i % 8 {
            0 => format!("-999,007,{i},01\n"),
            _ => format!("\"{},5\",7,{i},{}\n", i % 5, ["01", "02"][i % 2]),
        })
        .collect();
    write(&folder, "a.csv", format!("x,zip,id,y\n{rows}"));
    let reading = ["--missing-value", "-999", "--text", "zip", "--text", "y", "--decimal-comma"];
    let train =
        ["train", "--csv", "a.csv", "--target", "y", "--missing", "mean", "--epochs", "2", "--save", "m"];
    succeeds(folder.path(), &[&train[..], &reading].concat());
    let predict = |out: &str, more: &[&str]| {
        succeeds(folder.path(), &[&["predict", "m", "--csv", "a.csv", "--out", out][..], more].concat());
        fs::read_to_string(folder.path().join(out)).unwrap()
    };
    assert_eq!(predict("plain.csv", &[]), predict("told.csv", &reading));
    let out = succeeds(folder.path(), &["evaluate", "m", "--csv", "a.csv"]);
    assert!(out.contains("40 samples"), "{out}");
    // The answers' column is of texts, and not there.
    write(&folder, "new.csv", "x,zip,id\n-999,007,1\n");
    succeeds(folder.path(), &["predict", "m", "--csv", "new.csv"]);
}

#[test]
fn classes_of_unequal_size_are_made_equal() {
    let folder = tempfile::tempdir().unwrap();
    let rows: String =
        (0..60).map(|i| format!("{},{}\n", i % 7, if i % 6 == 0 { "rare" } else { "common" })).collect();
    write(&folder, "a.csv", format!("x,y\n{rows}"));
    let train = ["train", "--csv", "a.csv", "--target", "y", "--epochs", "1"];
    let out = succeeds(folder.path(), &[&train[..], &["--oversample"]].concat());
    assert!(
        out.contains("80 samples to train on, 12 to validate") && out.contains("common 40, rare 8"),
        "{out}"
    );
    let out = succeeds(folder.path(), &[&train[..], &["--undersample", "--validation-split", "0"]].concat());
    assert!(out.contains("20 samples to train on\n"), "{out}");
    fails(
        folder.path(),
        &[&train[..], &["--undersample", "--oversample"]].concat(),
        2,
        "cannot be used with",
        "",
    );
}

#[test]
fn tables_that_teach_nothing_say_where_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let case = |text: &str, more: &[&str], code: i32, words: &str, hint: &str| {
        write(&folder, "a.csv", text);
        let train = ["train", "--csv", "a.csv", "--target", "y"];
        fails(folder.path(), &[&train[..], more].concat(), code, words, hint);
    };
    case(
        "x,y\n1,a\n2\n",
        &[],
        1,
        "a.csv: line 3 has 1 cell, the first line names 2 columns",
        "complete the row",
    );
    case("x,z\n1,a\n2,b\n", &[], 2, "unknown column `y`", "known: x, z");
    case("x,y\n1,a\n2,a\n", &[], 1, "one class alone (`a`)", "another class");
    case(
        "x,y\n1,a\n,b\n3,b\n",
        &[],
        1,
        "column `x` has nothing in 1 rows, the first in line 3",
        "--missing drop",
    );
    case(
        "x,y\n1,a\n2,\n3,b\n",
        &[],
        1,
        "column `y` has nothing in 1 rows, the first in line 3",
        "--missing drop",
    );
    case(
        "x,y\n1,a\n2,b\n3,b\nx3,b\n",
        &[],
        1,
        "line 5: column `x` has `x3`, and 3 numbers",
        "--missing-value 'x3'",
    );
    case("x;y\n1;a\n", &[], 1, "a single column, named `x;y`", "--delimiter ';'");
    case("x,y\n1,a\n2,b\n", &["--drop", "x"], 1, "no column is left", "fewer");
    case("x,y\n1,a\n2,b\n", &["--drop", "xx"], 2, "unknown column `xx`", "did you mean `x`?");
    case("x,y\n1,a\n2,b\n", &["--task", "regression"], 1, "column `y` is text", "--task classification");
    case("x,y\n1,a\n2,b\n3,a\n4,b\n", &["--model", "no.toml"], 1, "cannot read no.toml", "");
    case("", &[], 1, "the file is empty", "");
    fails(folder.path(), &["train", "--csv", "a.csv"], 2, "--target", "");
    fails(folder.path(), &["train"], 2, "required", "");
    fails(folder.path(), &["train", "--csv", "b.csv", "--target", "y"], 1, "cannot read b.csv", "");
    write(&folder, "a.csv", "x,y\n1,a\n2,b\nNA,a\n4,b\n5,a\n6,b\n");
    let out = succeeds(
        folder.path(),
        &[
            "train",
            "--csv",
            "a.csv",
            "--target",
            "y",
            "--missing",
            "drop",
            "--epochs",
            "1",
            "--validation-split",
            "0",
        ],
    );
    assert!(
        out.contains("1 rows with a missing cell were left out") && out.contains("5 samples to train on"),
        "{out}"
    );
}

#[test]
fn a_model_file_is_read_with_a_teachers_eye() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder, "a.csv", "x,y\n1,2.5\n2,3\n3,9.25\n4,1\n");
    let case = |toml: String, words: &str, hint: &str| {
        write(&folder, "m.toml", toml);
        let train = ["train", "--csv", "a.csv", "--target", "y", "--model", "m.toml"];
        fails(folder.path(), &train, 1, words, hint);
    };
    case(
        MODEL.replace("units", "unitz"),
        "m.toml: line 10: unknown option of Dense `unitz`",
        "did you mean `units`?",
    );
    case(MODEL.replace("Dense", "Dens"), "m.toml: line 9: unknown layer `Dens`", "did you mean `Dense`?");
    case(MODEL.replace("adam", "adm"), "m.toml: line 6: unknown optimizer `adm`", "did you mean `adam`?");
    case(MODEL.replace("epochs", "epoch"), "m.toml: line 3: unknown key `epoch`", "did you mean `epochs`?");
    case(MODEL.replace("= 1\n", "= 2\n"), "gives 2 numbers for a sample, but `y` is one number", "units = 1");
    case("[[layers]\n".into(), "m.toml: line 1", "toml.io");
}

fn png(path: PathBuf, width: u32, height: u32, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut encoder = png::Encoder::new(fs::File::create(path).unwrap(), width, height);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header().unwrap().write_image_data(bytes).unwrap();
}

/// Bars that lie and bars that stand, of 8 × 8.
fn bars(folder: &Path) {
    let mut rng = Rng::new(8, 0);
    for i in 0..24u32 {
        let at = rng.below(8) as usize;
        let mut noisy = |lit: &dyn Fn(usize) -> bool| -> Vec<u8> {
            (0..64).map(|p| if lit(p) { 255 } else { rng.below(60) as u8 }).collect()
        };
        let (lying, standing) = (noisy(&|p| p / 8 == at), noisy(&|p| p % 8 == at));
        png(folder.join(format!("pictures/lying/{i}.png")), 8, 8, &lying);
        png(folder.join(format!("pictures/standing/{i}.png")), 8, 8, &standing);
    }
}

#[test]
fn from_folders_of_pictures_to_answers() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    bars(at);
    let out =
        succeeds(at, &["train", "--images", "pictures", "--save", "m", "--epochs", "60", "--seed", "1"]);
    assert!(out.contains("48 pictures of 8 × 8, grey; lying 24, standing 24"), "{out}");
    let out = succeeds(at, &["evaluate", "m", "--images", "pictures", "--json", "e.json"]);
    let figures: serde_json::Value = serde_json::from_slice(&fs::read(at.join("e.json")).unwrap()).unwrap();
    assert!(figures["accuracy"].as_f64().unwrap() >= 0.9, "{out}");

    // A picture of another size, dark on bright, and an IDX file.
    let large: Vec<u8> = (0..32 * 32).map(|p| if (p / 32) / 4 == 3 { 0 } else { 255 }).collect();
    png(at.join("large.png"), 32, 32, &large);
    let out = succeeds(at, &["predict", "m", "large.png", "--invert"]);
    assert!(out.starts_with("large.png: lying\n") && out.contains("the model looks at 8 × 8, grey"), "{out}");
    // Two rows of pixels are a line: the fourth row is bright, the third is not.
    let shown = format!("{0}\n{1}\n{0}\n{0}\n", " ".repeat(8), "=".repeat(8));
    assert!(out.contains(&shown) && out.contains(" %  █"), "{out}");
    assert!(!out.contains('\x1b'), "no colours where there is no terminal");
    let standing: Vec<u8> = (0..64).map(|p| if p % 8 == 2 { 255 } else { 0 }).collect();
    Idx::new([2, 8, 8], Element::U8, [standing.clone(), standing].concat())
        .unwrap()
        .write(at.join("two.idx.gz"))
        .unwrap();
    let out = succeeds(at, &["predict", "m", "two.idx.gz", "--limit", "1"]);
    assert!(out.contains("two.idx.gz [0]: standing") && out.contains("1 more in two.idx.gz"), "{out}");

    fails(
        at,
        &["predict", "m", "--csv", "a.csv"],
        1,
        "trained on pictures, and reads no tables",
        "predict MODEL IMAGE.png",
    );
    fails(at, &["predict", "m", "no.png"], 1, "cannot read no.png", "");
    write(&folder, "no.png", "no picture");
    fails(at, &["predict", "m", "no.png"], 1, "not a PNG picture", "give a PNG file");
    png(at.join("pictures/lying/odd.png"), 4, 2, &[0; 8]);
    fails(
        at,
        &["train", "--images", "pictures"],
        1,
        "odd.png: 2 × 4 pixels, those before it have 8 × 8",
        "--image-size 8x8",
    );
    succeeds(at, &["train", "--images", "pictures", "--image-size", "8x8", "--epochs", "1"]);
    fails(at, &["train", "--images", "nowhere"], 1, "there is no such folder", "cats/tom.png");
    fails(
        at,
        &["predict", "pictures", "large.png"],
        1,
        "there is neither best.safetensors nor last.safetensors",
        "--save",
    );
}

/// One class is enough to be asked about, and of an IDX set the part to test on; to learn from, it is not.
#[test]
fn a_part_of_the_pictures_is_enough_to_evaluate() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    bars(at);
    succeeds(at, &["train", "--images", "pictures", "--save", "m", "--epochs", "30", "--seed", "1"]);
    fs::create_dir(at.join("one")).unwrap();
    fs::rename(at.join("pictures/standing"), at.join("one/standing")).unwrap();
    let out = succeeds(at, &["evaluate", "m", "--images", "one"]);
    assert!(
        out.contains("one: 24 samples") && out.contains("│ lying          ┆ 0     ┆ 0        │"),
        "{out}"
    );
    fails(at, &["train", "--images", "one"], 1, "one: one class alone (`standing`)", "cats/tom.png");
    fs::rename(at.join("one/standing"), at.join("one/stending")).unwrap();
    fails(at, &["evaluate", "m", "--images", "one"], 1, "the model knows no such class", "`standing`");

    let standing: Vec<u8> = (0..64).map(|p| if p % 8 == 2 { 255 } else { 0 }).collect();
    fs::create_dir(at.join("idx")).unwrap();
    Idx::new([1, 8, 8], Element::U8, standing).unwrap().write(at.join("idx/t10k-images-idx3-ubyte")).unwrap();
    Idx::new([1], Element::U8, vec![1]).unwrap().write(at.join("idx/t10k-labels-idx1-ubyte")).unwrap();
    let out = succeeds(at, &["evaluate", "m", "--data", "idx"]);
    assert!(out.contains("idx: 1 samples") && out.contains("accuracy: 1.0000"), "{out}");
}

const LOGITS: &str = "loss = { class_name = \"BinaryCrossentropy\", config = { from_logits = true } }";

/// A model of one linear unit, or of three.
fn linear(loss: &str, units: usize) -> String {
    format!(
        "{loss}\nmetrics = [\"accuracy\"]\nepochs = 100\nbatch_size = 4\noptimizer = \"adam\"\nlearning_rate = 0.1\n\
         [[layers]]\ntype = \"Dense\"\nunits = {units}\n"
    )
}

/// What comes out of a model is called what it is, and the class that it speaks for is found: on which side of 0 a logit
/// or a margin is, on which side of ½ a score.
#[test]
fn probabilities_are_only_what_softmax_and_sigmoid_made() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let rows: String =
        (0..40).map(|i| format!("{},{}\n", i - 20, if i < 20 { "low" } else { "up" })).collect();
    write(&folder, "a.csv", format!("x,y\n{rows}"));
    for (loss, name) in [(LOGITS, "logit"), ("loss = \"hinge\"", "margin"), ("loss = \"mse\"", "score")] {
        write(&folder, "m.toml", linear(loss, 1));
        let train = ["train", "--csv", "a.csv", "--target", "y", "--task", "classification"];
        succeeds(
            at,
            &[&train[..], &["--model", "m.toml", "--validation-split", "0", "--save", name]].concat(),
        );
        let out = succeeds(at, &["predict", name, "--csv", "a.csv", "--out", "p.csv"]);
        assert!(out.contains(&format!("Numbers are {name}s and no probabilities: ")), "{out}");
        let mut reader = csv::Reader::from_path(at.join("p.csv")).unwrap();
        let names: Vec<String> = reader.headers().unwrap().iter().map(String::from).collect();
        assert_eq!(names[2..], ["predicted y".into(), format!("{name} low"), format!("{name} up")]);
        let right =
            reader.records().filter(|row| row.as_ref().unwrap()[1] == row.as_ref().unwrap()[2]).count();
        assert!(right >= 38, "{name}: {right} of 40");
    }
    // One-hot rows are made where the loss wants them, in evaluate as in train.
    write(&folder, "m.toml", linear("loss = \"categorical_crossentropy\"", 2) + "activation = \"softmax\"\n");
    let train = ["train", "--csv", "a.csv", "--target", "y", "--model", "m.toml", "--save", "softmax"];
    succeeds(at, &train);
    let out = succeeds(at, &["evaluate", "softmax", "--csv", "a.csv"]);
    assert!(out.contains("40 samples") && out.contains("taken for"), "{out}");
    let out = succeeds(at, &["predict", "softmax", "--csv", "a.csv", "--out", "p.csv"]);
    assert!(!out.contains("Numbers are"), "{out}");
    assert!(fs::read_to_string(at.join("p.csv")).unwrap().starts_with("x,y,predicted y,probability low,"));
}

/// The file as it was written, mark, quotes, spellings and line ends included, with the answers at the ends of the rows.
#[test]
fn predictions_come_behind_the_table_as_it_stands() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let rows: String = (0..20)
        .map(|i| format!("{i},5;{};{}\r\n", i % 3, if i < 10 { "a;b" } else { "c" }))
        .map(|row| row.replace("a;b", "\"a;b\""))
        .collect();
    write(&folder, "t.csv", format!("n;k;y\r\n{rows}"));
    let train =
        ["train", "--csv", "t.csv", "--target", "y", "--missing", "drop", "--epochs", "3", "--save", "m"];
    let reading = ["--delimiter", ";", "--decimal-comma"];
    succeeds(at, &[&train[..], &reading].concat());
    let records = [
        "\u{feff}\"note\";n;k;predicted y",
        "\"he said \"\"hi\"\"\";1,50;007;x",
        " spaces ;2e0;\"1\";",
        "\"two\r\nlines\";;1;NA", // n is missing
        ";+19,25; 2 ;",
    ];
    write(&folder, "new.csv", records.join("\r\n") + "\r\n");
    succeeds(at, &["predict", "m", "--csv", "new.csv", "--delimiter", ";", "--out", "p.csv"]);
    let written = fs::read_to_string(at.join("p.csv")).unwrap();
    let mut rest = written.as_str();
    for (i, record) in records.iter().enumerate() {
        rest =
            rest.strip_prefix(record).unwrap_or_else(|| panic!("{record:?} is not at the start of {rest:?}"));
        let (answer, after) = rest.split_once("\r\n").unwrap();
        match i {
            0 => assert_eq!(answer, ";predicted y 2;\"probability a;b\";probability c"),
            3 => assert_eq!(answer, ";;;"),
            _ => {
                let numbers = answer.strip_prefix(";\"a;b\";").or(answer.strip_prefix(";c;")).expect(answer);
                let numbers: Vec<f64> =
                    numbers.split(';').map(|n| n.replacen(',', ".", 1).parse().unwrap()).collect();
                assert!(!answer.contains('.') && numbers.len() == 2, "{answer}");
                assert!((numbers.iter().sum::<f64>() - 1.0).abs() < 2e-4, "{answer}");
            }
        }
        rest = after;
    }
    assert_eq!(rest, "");
}

/// What does not apply is an error of usage that names it, and no option without effect.
#[test]
fn options_that_do_not_apply_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let case = |arguments: &str, option: &str, with: &str| {
        let output = handgrad(folder.path(), &arguments.split(' ').collect::<Vec<_>>()).output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        let sentence = err.lines().next().unwrap_or_default();
        assert_eq!(output.status.code(), Some(2), "{arguments}: {err}");
        assert!(sentence.starts_with("error: the argument '"), "{arguments}: {err}");
        assert!(sentence.contains(option) && sentence.contains(with), "{arguments}: {err}");
    };
    let tables = [
        "--delimiter ;",
        "--decimal-comma",
        "--missing-value x",
        "--text x",
        "--target x",
        "--task regression",
        "--scale none",
        "--standardize",
        "--min-max",
        "--encode label",
        "--one-hot",
        "--label-encode",
        "--missing mean",
        "--drop x",
    ];
    for option in tables {
        let name = option.split(' ').next().unwrap();
        case(&format!("train --images d {option}"), name, "--images");
        case(&format!("train xor {option}"), name, "[PRESET]");
    }
    for option in
        ["--validation-split 0.1", "--test-split 0.1", "--oversample", "--undersample", "--model m.toml"]
    {
        case(&format!("train xor {option}"), option.split(' ').next().unwrap(), "[PRESET]");
    }
    for option in ["--image-size 8", "--colours grey"] {
        let name = option.split(' ').next().unwrap();
        case(&format!("train --csv a.csv --target y {option}"), name, "--csv");
        case(&format!("train xor {option}"), name, "[PRESET]");
    }
    for option in &tables[..4] {
        let name = option.split(' ').next().unwrap();
        case(&format!("predict m p.png {option}"), name, "[IMAGE]");
        case(&format!("evaluate m --images d {option}"), name, "--images");
        case(&format!("evaluate m --data d {option}"), name, "--data");
    }
    case("predict m p.png --out p.csv", "--out", "[IMAGE]");
    case("predict m --csv a.csv --top 3", "--top", "--csv");
    case("predict m --csv a.csv --invert", "--invert", "--csv");
}

/// A part without a sample, a class that is in none: what was asked for, and what to ask for instead.
#[test]
fn splits_that_cannot_be_say_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    write(&folder, "a.csv", "x,y\n1,a\n2,b\n3,a\n4,b\n5,a\n6,b\n7,a\n8,b\n");
    let train = |more: &'static str| {
        let train = ["train", "--csv", "a.csv", "--epochs", "1", "--target"];
        train.into_iter().chain(more.split(' ')).collect::<Vec<_>>()
    };
    for target in ["y", "x"] {
        let target = |more: &str| -> &'static str { format!("{target} {more}").leak() };
        let case = |more: &str, words: &str, hint: &str| fails(at, &train(target(more)), 1, words, hint);
        case(
            "--validation-split 0.01",
            "--validation-split 0.01 of 8 samples is less than one",
            "split 0.13 or more, or 0",
        );
        case(
            "--test-split 0.02",
            "--test-split 0.02 of 8 samples is less than one",
            "--test-split 0.13 or more, or 0",
        );
        case(
            "--validation-split 0.99",
            "--validation-split 0.99 of 8 samples leaves none to train on",
            "smaller shares",
        );
        let both = "--validation-split 0.6 --test-split 0.5";
        case(
            both,
            "--validation-split 0.6 and --test-split 0.5 of 8 samples leaves none",
            "below 1 together",
        );
        case("--validation-split 0.5 --test-split 0.5", "leaves none to train on", "below 1 together");
        succeeds(at, &train(target("--validation-split 0.13 --test-split 0.13")));
    }
    write(&folder, "a.csv", "x,y\n1,a\n2,b\n3,a\n4,b\n5,a\n6,b\n7,a\n8,rare\n");
    let note = "the validation part does not keep the classes' shares: there is a single sample of `rare`";
    let lost = "no sample of `rare` is left to train on";
    let mut seen = [false; 2];
    for seed in 0..12 {
        let out = succeeds(at, &train(format!("y --validation-split 0.5 --seed {seed}").leak()));
        assert!(out.contains(note), "{out}");
        seen[usize::from(out.contains(lost))] = true;
    }
    assert_eq!(seen, [true; 2], "the one sample is at times here and at times there");
}

/// A model from code or from a preset knows nothing of columns or names: pictures still work, tables say why not.
#[test]
fn models_without_notes() {
    use handgrad::{Activation, Sequential, layers::Dense, layers::Flatten};
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let mut model =
        Sequential::new().with(Flatten::new()).with(Dense::new(10).activation(Activation::Softmax));
    model.build([28, 28]).unwrap();
    model.save(at.join("plain.safetensors")).unwrap();
    png(at.join("p.png"), 28, 28, &[200; 784]);
    let out = succeeds(at, &["predict", "plain.safetensors", "p.png", "--top", "3"]);
    assert_eq!(out.matches(" %").count(), 3, "{out}");
    assert!(succeeds(at, &["summary", "plain.safetensors"]).contains("7,850"));
    write(&folder, "a.csv", "x\n1\n");
    fails(
        at,
        &["predict", "plain.safetensors", "--csv", "a.csv"],
        1,
        "does not say which columns",
        "--save DIR",
    );
    fails(at, &["evaluate", "plain.safetensors", "--data", "nowhere"], 1, "there is no such folder", "");
}
