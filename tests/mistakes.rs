//! Mistakes that learners make, each made here; what they are told in English and in Korean is on `docs/mistakes.md`,
//! word for word. `HANDGRAD_BLESS=1 cargo test --test mistakes` writes the messages there after a change: read the
//! difference.

use handgrad::callbacks::EarlyStopping;
use handgrad::data::{Dataset, Features, Targets};
use handgrad::layers::{Conv2D, Dense, Dropout, Flatten, Input, LSTM, MaxPooling2D, Reshape};
use handgrad::model::{Compile, Fit};
use handgrad::optimizers::Sgd;
use handgrad::{Activation, Device, Error, Language, Mistake, Sequential, Shape};
use std::collections::BTreeSet;
use std::path::Path;

const SPARSE: &str = "sparse_categorical_crossentropy";
const CATEGORICAL: &str = "categorical_crossentropy";

fn model() -> Sequential {
    Sequential::new().device(&Device::reference())
}

/// A last layer of that many units.
fn units(units: usize, activation: Activation) -> Sequential {
    model().with(Dense::new(units).activation(activation))
}

fn softmax() -> Sequential {
    units(10, Activation::Softmax)
}

fn xor() -> Dataset {
    Dataset::from_rows(&[[0., 0.], [0., 1.], [1., 0.], [1., 1.]], &[[0.], [1.], [1.], [0.]]).unwrap()
}

fn zeros(n: usize, sample: impl Into<Shape>) -> Features {
    let sample = sample.into();
    Features::F32 { sample, values: vec![0.0; n * sample.len()] }
}

/// As many samples of that shape as labels.
fn labelled(sample: impl Into<Shape>, labels: &[u32]) -> Dataset {
    Dataset::new(zeros(labels.len(), sample), Targets::labels(labels.to_vec())).unwrap()
}

/// Twenty samples of 4 features and their digits.
fn digits() -> Dataset {
    labelled(4, &Vec::from_iter((0..20).map(|i| i % 10)))
}

fn valued(n: usize, target: impl Into<Shape>) -> Dataset {
    let sample = target.into();
    let y = Targets::Values { sample, values: vec![0.0; n * sample.len()] };
    Dataset::new(zeros(n, 4), y).unwrap()
}

/// What `compile` and `fit` say.
fn fitting(model: Sequential, loss: &str, data: &Dataset) -> Error {
    fitting_with(model, loss, data, Fit::new())
}

fn fitting_with(mut model: Sequential, loss: &str, data: &Dataset, fit: Fit) -> Error {
    model.compile(Compile::new(loss)).and_then(|()| model.fit(data, fit.verbose(0)).map(drop)).unwrap_err()
}

fn building(mut model: Sequential, sample: impl Into<Shape>) -> Error {
    model.build(sample).unwrap_err()
}

fn watching(figure: &str) -> Error {
    let mut stop = EarlyStopping::new(figure);
    fitting_with(units(1, Activation::Sigmoid), "mse", &xor(), Fit::new().callback(&mut stop))
}

/// One test for each, and the list of all.
macro_rules! mistakes {
    ($($(#[$doc:meta])* $name:ident => $error:expr;)*) => {
        $(
            $(#[$doc])*
            #[test]
            fn $name() {
                explained(stringify!($name), &$error);
            }
        )*

        fn all() -> Vec<(&'static str, Error)> {
            vec![$((stringify!($name), $error)),*]
        }
    };
}

mistakes! {
    a_misspelt_loss => fitting(softmax(), "categorical_crosentropy", &digits());
    a_misspelt_optimizer => softmax().compile(Compile::new("mse").optimizer("adm")).unwrap_err();
    a_misspelt_activation => "rleu".parse::<Activation>().unwrap_err();
    a_misspelt_metric => {
        let mut model = softmax();
        model.compile(Compile::new(SPARSE).metric("acuracy")).and_then(|()| model.build(4)).unwrap_err()
    };
    a_metric_for_a_loss => fitting(softmax(), "accuracy", &digits());
    an_optimizer_for_a_loss => fitting(softmax(), "adam", &digits());
    a_loss_for_an_optimizer => softmax().compile(Compile::new("mse").optimizer("mse")).unwrap_err();
    an_activation_for_a_metric => {
        let mut model = softmax();
        model.compile(Compile::new("mse").metric("relu")).and_then(|()| model.build(4)).unwrap_err()
    };
    a_metric_that_nobody_asked_for => watching("accuracy");
    a_validation_figure_without_validation => watching("val_loss");

    a_model_without_layers => building(model(), 4);
    two_layers_of_one_name =>
        building(model().with(("hidden", Dense::new(8))).with(("hidden", Dense::new(1))), 4);
    a_layer_without_units => building(model().with(Dense::new(0)), 4);
    a_convolution_without_filters => building(model().with(Conv2D::new(0, 3)), [28, 28, 1]);
    dropout_in_per_cent => building(model().with(Dropout::new(25.0)), 4);
    dropout_below_0 => building(model().with(Dropout::new(-0.5)), 4);
    images_without_channels => building(model().with(Conv2D::new(32, 3)), [28, 28]);
    a_convolution_behind_flatten =>
        building(model().with(Flatten::new()).with(Dense::new(64)).with(Conv2D::new(32, 3)), [28, 28, 1]);
    a_recurrent_layer_on_a_vector => building(model().with(LSTM::new(8)), 7);
    a_recurrent_layer_on_images => building(model().with(LSTM::new(8)), [28, 28, 1]);
    a_recurrent_layer_on_a_last_step =>
        building(model().with(LSTM::new(8)).with(Dropout::new(0.2)).with(LSTM::new(8)), [28, 28]);
    too_much_pooling => building(
        model().with(MaxPooling2D::new(4)).with(MaxPooling2D::new(4)).with(Conv2D::new(8, 3)), [28, 28, 1]);
    channels_first => building(model().with(Conv2D::new(8, 3)), [1, 28, 28]);
    a_reshape_to_28_times_20 => labelled([28, 28], &[0]).reshape(28 * 20).unwrap_err();
    a_reshape_layer_to_28_times_20 => building(model().with(Reshape::new([28, 20])), 784);
    a_reshape_that_cannot_be => labelled(784, &[0]).reshape([5, 5]).unwrap_err();
    another_input_than_declared => building(model().with(Input::new([28, 28, 1])), 784);
    another_width_than_declared => building(model().with(Input::new(4)), 3);
    samples_of_784_by_1_into_a_model_for_28_by_28_by_1 => {
        let mut model = model().with(Conv2D::new(8, 3)).with(Flatten::new()).with(Dense::new(10));
        model.build([28, 28, 1]).unwrap();
        fitting(model, SPARSE, &labelled([784, 1], &[0, 1]))
    };
    samples_of_another_width => {
        let mut model = softmax();
        model.build(4).unwrap();
        model.predict(&zeros(2, 3)).unwrap_err()
    };

    predicting_before_building => softmax().predict(&zeros(3, [28, 28, 1])).unwrap_err();
    a_summary_before_building => softmax().name("digits").summary().unwrap_err();
    training_before_compiling => softmax().fit(&digits(), Fit::new()).unwrap_err();

    softmax_with_one_unit => fitting(units(1, Activation::Softmax), "mse", &xor());
    one_unit_for_many_classes => fitting(units(1, Activation::Linear), SPARSE, &digits());
    sigmoid_with_a_categorical_loss =>
        fitting(units(10, Activation::Sigmoid), CATEGORICAL, &digits().one_hot(10).unwrap());
    a_negative_learning_rate =>
        softmax().compile(Compile::new(SPARSE).optimizer(Sgd::new().learning_rate(-0.1))).unwrap_err();
    momentum_of_1 => softmax().compile(Compile::new(SPARSE).optimizer(Sgd::new().momentum(1.0))).unwrap_err();
    accuracy_for_other_targets => {
        let mut model = softmax();
        let compile = Compile::new(SPARSE).metric("categorical_accuracy");
        model.compile(compile).and_then(|()| model.build(4)).unwrap_err()
    };

    sparse_loss_with_one_hot_labels => fitting(softmax(), SPARSE, &digits().one_hot(10).unwrap());
    sparse_loss_with_a_column_of_numbers => fitting(softmax(), SPARSE, &valued(3, 1));
    sparse_loss_with_values => fitting(softmax(), SPARSE, &valued(3, 4));
    categorical_loss_with_labels => fitting(softmax(), CATEGORICAL, &digits());
    mse_with_labels => fitting(softmax(), "mse", &digits());
    a_label_outside_the_classes => fitting(softmax(), SPARSE, &labelled(4, &[3, 0, 12]));
    labels_that_begin_with_1 => fitting(softmax(), SPARSE, &labelled(4, &[1, 2, 10, 5]));
    too_few_classes_to_encode => labelled(4, &[0, 1, 2]).one_hot(2).unwrap_err();
    labels_of_minus_1_and_1 => {
        let data = Dataset::from_rows(&[[0., 1.], [1., 0.]], &[[1.], [-1.]]).unwrap();
        fitting(units(1, Activation::Sigmoid), "binary_crossentropy", &data)
    };
    ten_classes_with_a_binary_loss => fitting(units(1, Activation::Sigmoid), "binary_crossentropy", &digits());
    targets_of_another_width => fitting(units(4, Activation::Linear), "mse", &valued(5, 3));
    one_hot_labels_of_another_width => fitting(units(9, Activation::Softmax), CATEGORICAL, &digits().one_hot(10).unwrap());
    dense_on_images_without_flatten => fitting(softmax(), SPARSE, &labelled([28, 28, 1], &[0, 1]));
    a_target_for_a_whole_sequence => fitting(
        model().with(LSTM::new(8).return_sequences(true)).with(Dense::new(1)), "mse", &labelled([5, 2], &[0, 1]));
    one_hot_labels_encoded_again => digits().one_hot(10).unwrap().one_hot(10).unwrap_err();
    one_hot_labels_encoded_twice => fitting(softmax(), CATEGORICAL, &valued(60, [10, 10, 10]));

    an_empty_dataset => Dataset::new(zeros(0, [28, 28, 1]), Targets::labels(vec![])).unwrap_err();
    nan_in_a_table => Dataset::from_rows(&[[0., 1.], [2., f32::NAN]], &[[0.], [1.]]).unwrap_err();
    infinity_in_an_image => {
        let mut values = vec![0.0; 2 * 784];
        values[784 + 28 * 3 + 5] = f32::INFINITY;
        Dataset::new(Features::F32 { sample: [28, 28, 1].into(), values }, Targets::labels(vec![0, 1])).unwrap_err()
    };
    more_samples_than_targets => Dataset::new(zeros(3, 4), Targets::labels(vec![0, 1])).unwrap_err();
    a_row_that_is_too_short =>
        Dataset::from_rows(&[vec![0., 1.], vec![2.]], &[[0.], [1.]]).unwrap_err();
    half_a_sample => {
        let x = Features::F32 { sample: [28, 28].into(), values: vec![0.0; 1000] };
        Dataset::new(x, Targets::labels(vec![0])).unwrap_err()
    };
    a_split_with_nothing_on_one_side => digits().split_at(20).unwrap_err();
    a_subset_of_nothing => digits().take(0).unwrap_err();

    no_epochs => fitting_with(softmax(), SPARSE, &digits(), Fit::new().epochs(0));
    batches_of_0 => fitting_with(softmax(), SPARSE, &digits(), Fit::new().batch_size(0));
    a_validation_split_of_0 => fitting_with(softmax(), SPARSE, &digits(), Fit::new().validation_split(0.0));
    a_validation_split_of_1 => fitting_with(softmax(), SPARSE, &digits(), Fit::new().validation_split(1.0));
    a_test_share_of_1 => digits().train_test_split(1.0, 0, false).unwrap_err();
    validation_data_with_another_label => {
        let validation = labelled(4, &[3, 12]);
        fitting_with(softmax(), SPARSE, &digits(), Fit::new().validation(&validation))
    };
    too_few_sample_weights => fitting_with(softmax(), SPARSE, &digits(), Fit::new().sample_weight(&[1.0]));
    a_negative_class_weight =>
        fitting_with(softmax(), SPARSE, &digits(), Fit::new().class_weight([(0, 1.0), (3, -1.0)]));
    a_sample_weight_that_is_nan => {
        let weights = [&[1.0; 19][..], &[f32::NAN]].concat();
        fitting_with(softmax(), SPARSE, &digits(), Fit::new().sample_weight(&weights))
    };
    a_training_that_diverges => Mistake::Diverged { epoch: 2, learning_rate: 0.5 }.into();

    weights_of_another_model => {
        let (mut own, mut other) = (softmax(), units(3, Activation::Softmax));
        own.build(4).unwrap();
        other.build(4).unwrap();
        own.set_weights(&other.get_weights().unwrap()).unwrap_err()
    };
    weights_of_a_smaller_model => {
        let (mut own, mut other) = (softmax().with(Dense::new(2)), softmax());
        own.build(4).unwrap();
        other.build(4).unwrap();
        own.set_weights(&other.get_weights().unwrap()).unwrap_err()
    };
}

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/mistakes.md");

/// `a_misspelt_loss` as `A misspelt loss`.
fn heading(name: &str) -> String {
    let words = name.replace('_', " ");
    words[..1].to_uppercase() + &words[1..]
}

/// What the command prints, in both languages, as it stands on the page.
fn blocks(error: &Error) -> String {
    let block = |language, (label, label_hint): (&str, &str)| {
        let (sentence, hint) = error.in_language(language);
        format!("```text\n{label}: {sentence}\n  {label_hint}: {}\n```\n", hint.unwrap())
    };
    block(Language::English, ("error", "hint")) + "\n" + &block(Language::Korean, ("오류", "도움말"))
}

/// The sections of the page: heading, messages, the paragraph that says why; and what stands before them.
fn page() -> (String, Vec<(String, String, String)>) {
    let text = std::fs::read_to_string(PAGE).unwrap();
    let mut parts = text.split("\n### ");
    let top = parts.next().unwrap_or_default().to_string();
    let sections = parts.map(|part| {
        let (heading, body) = part.split_once('\n').unwrap();
        let at = body.rfind("```\n").map_or(0, |at| at + 4);
        (heading.to_string(), body[..at].trim_start().to_string(), body[at..].trim().to_string())
    });
    (top, sections.collect())
}

#[track_caller]
fn explained(name: &str, error: &Error) {
    assert!(matches!(error, Error::Mistake { .. }), "{error:?}");
    assert_eq!(error.in_language(Language::English), (error.to_string(), error.hint().map(str::to_string)));
    let (_, sections) = page();
    let section = sections.iter().find(|(title, ..)| *title == heading(name));
    let (_, messages, why) = section.unwrap_or_else(|| panic!("docs/mistakes.md has no `{}`", heading(name)));
    if std::env::var_os("HANDGRAD_BLESS").is_none() {
        assert_eq!(*messages, blocks(error), "{name}");
    }
    assert!(why.len() > 80, "docs/mistakes.md does not say why `{}` is one", heading(name));
}

/// Every section is one of the mistakes above, in their order. Writes the messages when it is told to.
#[test]
fn the_page_has_what_the_tests_have() {
    let (top, sections) = page();
    if std::env::var_os("HANDGRAD_BLESS").is_some() {
        let whys =
            |name: &str| sections.iter().find(|(title, ..)| *title == heading(name)).map(|s| s.2.clone());
        let written = all().iter().fold(top, |page, (name, error)| {
            let why = whys(name).unwrap_or_default();
            format!("{}\n\n### {}\n\n{}\n{why}\n", page.trim_end(), heading(name), blocks(error))
        });
        std::fs::write(PAGE, written).unwrap();
        return;
    }
    let titles: Vec<String> = sections.into_iter().map(|(title, ..)| title).collect();
    let names: Vec<String> = all().iter().map(|(name, _)| heading(name)).collect();
    assert_eq!(titles, names);
}

/// No mistake without an example. Their names are read from the enum's own text.
#[test]
fn every_mistake_is_made_here() {
    let source = include_str!("../src/mistakes/mod.rs");
    let body = source.split_once("pub enum Mistake {").unwrap().1.split_once("\n}").unwrap().0;
    let name = |line: &str| line.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_string();
    let variants: BTreeSet<String> = body
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .filter(|line| line.starts_with(char::is_uppercase))
        .map(name)
        .collect();
    let made = all().into_iter().map(|(_, error)| match error {
        Error::Mistake { mistake, .. } => name(&format!("{mistake:?}")),
        other => panic!("{other:?}"),
    });
    assert_eq!(made.collect::<BTreeSet<_>>(), variants);
}

/// Whole sentences in polite written style, and no particle behind a word whose last sound nobody knows.
#[test]
fn korean_is_korean() {
    let is_hangul = |c: char| ('가'..='힣').contains(&c);
    for (name, error) in all() {
        let (sentence, hint) = error.in_language(Language::Korean);
        let hint = hint.unwrap();
        for text in [&sentence, &hint] {
            assert!(text.chars().any(is_hangul), "{name}: {text}");
            // Fixed numbers, whose particles were chosen by ear.
            let rest = text.replace("-1과 1이 아니라", "").replace("0과 1", "");
            let chars: Vec<char> = rest.chars().collect();
            for three in chars.windows(3) {
                let inserted = matches!(three[0], '`' | ']' | '0'..='9') || three[0].is_ascii_alphabetic();
                let particle =
                    matches!(three[1], '을' | '를' | '이' | '가' | '은' | '는' | '과' | '와' | '로');
                let ends = !is_hangul(three[2]);
                assert!(!(inserted && particle && ends), "{name}: {three:?} in {text}");
            }
        }
        assert!(sentence.contains("니다"), "{name}: {sentence}");
        let polite = ["세요", "니다", "인가요?"].iter().any(|end| hint.contains(end));
        assert!(polite, "{name}: {hint}");
        for text in [sentence, hint] {
            assert!(!text.contains("(을)") && !text.contains("을(를)") && !text.contains("(으)로"), "{text}");
        }
    }
}

#[test]
fn a_file_is_named_in_both_languages() {
    let error = Error::from(Mistake::Counts { samples: 2, targets: 3 }).in_file("labels.csv");
    assert_eq!(error.to_string(), "labels.csv: 2 samples came with 3 targets");
    assert_eq!(error.in_language(Language::Korean).0, "labels.csv: 샘플은 2개인데 타깃은 3개입니다");
    let other = Error::invalid("no", "do").in_file("a.toml");
    assert_eq!((other.to_string().as_str(), other.hint()), ("a.toml: no", Some("do")));
    // What names a file already keeps it, and keeps its kind.
    let io = Error::Io { action: "read", path: "x".into(), source: std::io::ErrorKind::NotFound.into() };
    assert!(matches!(io.in_file("y"), Error::Io { path, .. } if path == Path::new("x")));
    let format = Error::format("x", "no", "do").in_file("y");
    assert_eq!((format.to_string().as_str(), format.hint()), ("x: no", Some("do")));
    let mistake = Error::from(Mistake::NoLayers).in_file("x").in_file("y");
    assert!(mistake.to_string().starts_with("x: the model"), "{mistake}");
}

/// What the page also promises: a Dense works on the last dimension of images, as in Keras.
#[test]
fn dense_on_images_is_allowed() {
    let mut model = softmax();
    model.build([28, 28, 1]).unwrap();
    assert_eq!(model.output_shape(), Some([28, 28, 10].into()));
}

/// The mistakes that can be made on the command line.
#[cfg(feature = "cli")]
#[path = "support/command.rs"]
mod run;

#[cfg(feature = "cli")]
mod command {
    use super::*;
    use handgrad::data::{Element, Idx};
    use handgrad::mistakes::{Count, Part, Range};
    use std::path::Path;
    use std::process::Command;
    use tempfile::TempDir;

    /// The command in an environment that says nothing about languages.
    fn handgrad(arguments: &str) -> Command {
        let mut command = super::run::handgrad(arguments.split_whitespace());
        command.current_dir(env!("CARGO_MANIFEST_DIR"));
        command
    }

    #[track_caller]
    fn says(mut command: Command, code: i32, expected: &str) {
        let output = command.output().unwrap();
        assert_eq!(String::from_utf8(output.stderr).unwrap(), expected);
        assert_eq!(output.status.code(), Some(code), "{expected}");
    }

    /// Both languages, word for word, and the code.
    #[track_caller]
    fn tells(arguments: &str, data: Option<&Path>, code: i32, error: Error) {
        for (language, label, label_hint) in
            [(Language::English, "error", "hint"), (Language::Korean, "오류", "도움말")]
        {
            let mut command = handgrad(arguments);
            command.args(["--lang", language.code()]);
            if let Some(folder) = data {
                command.arg("--data").arg(folder);
            }
            let (sentence, hint) = error.in_language(language);
            says(command, code, &format!("{label}: {sentence}\n  {label_hint}: {}\n", hint.unwrap()));
        }
    }

    #[test]
    fn names_and_numbers() {
        let text = "오류: 에포크 수가 0입니다\n  도움말: 1 이상으로 지정하세요: 프로그램에서는 `.epochs(5)`, 명령줄에서는 `--epochs 5`\n";
        says(handgrad("train xor --epochs 0 --lang ko"), 2, text);
        tells("train xor --epochs 0", None, 2, Mistake::Zero(Count::Epochs).into());
        tells("train xor --batch-size 0", None, 2, Mistake::Zero(Count::BatchSize).into());
        for value in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let mistake = Mistake::Hyperparameter { name: "learning rate", value, range: Range::Positive };
            tells(&format!("train xor --learning-rate {value}"), None, 2, mistake.into());
        }
        tells("train xor --optimizer adm", None, 2, "adm".parse::<handgrad::Optimizer>().err().unwrap());
        tells("train xor --optimizer relu", None, 2, "relu".parse::<handgrad::Optimizer>().err().unwrap());
        tells("train mnst", None, 2, handgrad::presets::Preset::named("mnst").unwrap_err());
        let device = Error::unknown("device", "gpu", &["auto", "cpu", "reference", "cuda:0"]);
        tells("train xor --device gpu", None, 2, device);
        for (language, words) in [("en", "did you mean `Conv2D`?"), ("ko", "혹시 `Conv2D`인가요?")] {
            let output = handgrad(&format!("gradcheck Conv2 --lang {language}")).output().unwrap();
            assert_eq!(output.status.code(), Some(2));
            assert!(String::from_utf8(output.stderr).unwrap().contains(words));
        }
        let none = Mistake::NothingLeft { part: 0, of: 1 };
        tells("train mnist-mlp --device reference --limit 1", None, 1, none.into());
    }

    #[test]
    fn a_training_that_diverges() {
        let mut command = handgrad("train or --device reference --learning-rate 1e6 --lang ko");
        let err = String::from_utf8(command.output().unwrap().stderr).unwrap();
        assert!(
            err.starts_with("오류: 훈련이 발산했습니다. ") && err.contains("--learning-rate 100000`"),
            "{err}"
        );
    }

    /// The four files of a small data set, with images of that type and shape.
    fn files(images: (Element, [usize; 3], Vec<u8>), labels: Vec<u8>) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        for part in ["train", "t10k"] {
            let file = |name: &str| folder.path().join(format!("{part}-{name}-ubyte"));
            let (element, shape, bytes) = images.clone();
            Idx::new(shape, element, bytes).unwrap().write(file("images-idx3")).unwrap();
            Idx::new([labels.len()], Element::U8, labels.clone())
                .unwrap()
                .write(file("labels-idx1"))
                .unwrap();
        }
        folder
    }

    #[test]
    fn files_that_cannot_be_learned_from() {
        let train = "train mnist-mlp --device reference --epochs 1";
        let bytes = |side: usize| (Element::U8, [4, side, side], vec![0; 4 * side * side]);
        let tell = |folder: TempDir, file: &str, mistake: Mistake| {
            let path = if file.is_empty() { folder.path().to_path_buf() } else { folder.path().join(file) };
            tells(train, Some(folder.path()), 1, Error::from(mistake).in_file(path));
        };
        let label = Mistake::LabelOutside { layer: None, label: 11, sample: 2, classes: 10, from_one: false };
        tell(files(bytes(28), vec![0, 3, 11, 1]), "train-labels-idx1-ubyte", label);
        let one = Mistake::LabelOutside { layer: None, label: 10, sample: 1, classes: 10, from_one: true };
        tell(files(bytes(28), vec![1, 10, 2, 3]), "train-labels-idx1-ubyte", one);
        let counts = Mistake::Counts { samples: 4, targets: 3 };
        tell(files(bytes(28), vec![0, 1, 2]), "train-labels-idx1-ubyte", counts);
        let (from, to) = ([20, 20].into(), [28, 28].into());
        let reshape = Mistake::ReshapeCount { layer: None, from, to, nearest: None };
        tell(files(bytes(20), vec![0, 1, 2, 3]), "", reshape);

        let mut pixels = vec![0; 4 * 784 * 4];
        pixels[(2 * 784 + 28 + 5) * 4..][..4].copy_from_slice(&f32::INFINITY.to_be_bytes());
        let value = f32::INFINITY;
        let nan = Mistake::NotFinite { part: Part::X, value, sample: 2, at: vec![1, 5] };
        tell(files((Element::F32, [4, 28, 28], pixels), vec![0, 1, 2, 3]), "train-images-idx3-ubyte", nan);

        let empty = files(bytes(28), vec![0, 1, 2, 3]);
        let header = [&[0, 0, 8, 3, 0, 0, 0, 0][..], &28u32.to_be_bytes(), &28u32.to_be_bytes()].concat();
        std::fs::write(empty.path().join("train-images-idx3-ubyte"), header).unwrap();
        tell(empty, "train-images-idx3-ubyte", Mistake::Empty { part: None, shape: vec![0, 28, 28] });
    }

    /// The option before the environment, and there the order that POSIX gives.
    #[test]
    fn the_language_is_the_one_that_was_asked_for() {
        let label = |option: &str, environment: &[(&str, &str)]| {
            let mut command = handgrad(&format!("{option} train mnst"));
            command.envs(environment.iter().copied());
            let err = String::from_utf8(command.output().unwrap().stderr).unwrap();
            err.split(':').next().unwrap().to_string()
        };
        let (english, korean) = ("error", "오류");
        assert_eq!(label("", &[]), english);
        assert_eq!(label("", &[("LANG", "ko_KR.UTF-8")]), korean);
        assert_eq!(label("", &[("LANG", "fr_FR.UTF-8")]), english);
        assert_eq!(label("", &[("LANG", "ko_KR.UTF-8"), ("LC_ALL", "C")]), english);
        assert_eq!(label("", &[("LANG", "en_US.UTF-8"), ("LC_ALL", "ko_KR")]), korean);
        assert_eq!(label("", &[("LC_ALL", ""), ("LANG", "ko")]), korean);
        assert_eq!(label("", &[("LC_ALL", "en_US"), ("HANDGRAD_LANG", "ko")]), korean);
        assert_eq!(label("--lang en", &[("HANDGRAD_LANG", "ko")]), english);
        assert_eq!(label("--lang ko", &[("HANDGRAD_LANG", "en")]), korean);
        says(
            handgrad("train xor --lang kor"),
            2,
            "error: unknown language `kor`\n  hint: did you mean `ko`? known: en, ko\n",
        );
    }
}
