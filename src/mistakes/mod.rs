//! Mistakes that learners make, each with its facts; what is said about them, in English and in Korean.
//!
//! | file | what |
//! |---|---|
//! | `mod.rs` | the mistakes |
//! | `english.rs`, `korean.rs` | one table each: a sentence that says what is wrong and where, a hint that says what to do |
//! | `language.rs` | which language is wanted |
//!
//! The tables match on every mistake, so none can be without words in one of the languages. `docs/mistakes.md` shows each
//! with its message and says why it is a mistake.

mod english;
mod korean;
mod language;

pub use language::Language;

use crate::activations::Activation;
use crate::error::Error;
use crate::losses::Loss;
use crate::metrics;
use crate::optimizers::Optimizer;
use crate::shape::Shape;
use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

/// A mistake that learners make. `Display` is the English sentence; [`told`](Mistake::told) has both languages and the
/// hint.
///
/// Wherever a layer is named, it is with its configuration, as in `conv2d_1 (Conv2D 64, 3×3)`; shapes of samples are
/// without the batch.
///
/// ```
/// use handgrad::{Error, Language, Mistake};
/// let e = Error::from(Mistake::Zero(handgrad::mistakes::Count::Epochs));
/// assert_eq!(e.to_string(), "the number of epochs is 0");
/// assert_eq!(e.in_language(Language::Korean).0, "에포크 수가 0입니다");
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[allow(missing_docs)] // the names of the facts say it; docs/mistakes.md explains the mistakes
pub enum Mistake {
    // Names
    UnknownName { what: Cow<'static, str>, name: String, nearest: Option<String>, known: Vec<String> },
    OtherKind { what: Kind, name: String, kind: Kind },
    UnknownFigure { figure: String, nearest: Option<String>, known: Vec<String> },
    // Layers
    NoLayers,
    SameName { name: String },
    NoUnits { layer: String, units: Units },
    DropoutRate { layer: String, rate: f64 },
    ImageWanted { layer: String, got: Shape, axes: usize, flattened: Option<String> },
    SequenceWanted { layer: String, got: Shape, last_step_of: Option<String> },
    WindowTooLarge { layer: String, got: Shape, reach: usize, extent: usize, channels_first: bool },
    ReshapeCount { layer: Option<String>, from: Shape, to: Shape, nearest: Option<Shape> },
    DeclaredInput { layer: String, declared: Shape, got: Shape },
    OtherInput { layer: String, built: Shape, got: Shape },
    // The order of calls
    NotBuilt { model: String, sample: Option<Shape> },
    NotCompiled { model: String },
    // Loss, optimizer and metrics
    SoftmaxOverOne { layer: String },
    OneOutput { loss: Loss, layer: String },
    SigmoidForClasses { loss: Loss, layer: String },
    Hyperparameter { name: &'static str, value: f64, range: Range },
    MetricTargets { metric: String, loss: Loss },
    // Targets
    LabelsWanted { loss: Loss, layer: String, target: Shape, classes: usize },
    ValuesWanted { loss: Loss, layer: String, outputs: usize },
    LabelOutside { layer: Option<String>, label: u32, sample: usize, classes: usize, from_one: bool },
    NotBinary { layer: String, value: f32, sample: usize, column: usize },
    TargetWidth { loss: Loss, layer: String, output: Shape, target: Shape },
    MissingFlatten { layer: String, output: Shape },
    EncodedAgain { targets: Vec<usize>, classes: usize },
    EncodedTwice { layer: String, targets: Vec<usize>, output: Shape },
    // Data
    Empty { part: Option<Part>, shape: Vec<usize> },
    NotFinite { part: Part, value: f32, sample: usize, at: Vec<usize> },
    Counts { samples: usize, targets: usize },
    RaggedRow { part: Part, row: usize, numbers: usize, expected: usize },
    BrokenSample { part: Part, sample: Shape, numbers: usize },
    NothingLeft { part: usize, of: usize },
    // Training
    Zero(Count),
    ValidationSplit { share: f64, training: usize, samples: usize },
    TestShare { share: f64 },
    SampleWeights { weights: usize, samples: usize },
    BadWeight { of: Weighted, weight: f64 },
    Diverged { epoch: usize, learning_rate: f64 },
    // Weights
    WeightShape { weight: String, shape: Shape, given: String, given_shape: Shape },
    WeightCount { model: usize, given: usize, unpaired: String },
}

/// What is chosen by name for a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What training makes small.
    Loss,
    /// What is measured besides.
    Metric,
    /// How weights are changed.
    Optimizer,
    /// What a layer applies to its sums.
    Activation,
}

impl Kind {
    const ALL: [Kind; 4] = [Kind::Loss, Kind::Metric, Kind::Optimizer, Kind::Activation];

    /// What [`Error::unknown`] calls it.
    fn word(self) -> &'static str {
        match self {
            Kind::Loss => "loss",
            Kind::Metric => "metric",
            Kind::Optimizer => "optimizer",
            Kind::Activation => "activation",
        }
    }

    fn names(self) -> &'static [&'static str] {
        match self {
            Kind::Loss => &Loss::NAMES,
            Kind::Metric => &metrics::NAMES,
            Kind::Optimizer => &Optimizer::NAMES,
            Kind::Activation => &Activation::NAMES,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(
            f,
            "{} {}",
            if matches!(self, Kind::Optimizer | Kind::Activation) { "an" } else { "a" },
            self.word()
        )
    }
}

/// A half of a dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// What goes in.
    X,
    /// What should come out.
    Y,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Part::X => "x",
            Part::Y => "y",
        })
    }
}

/// What a layer has at least one of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Units {
    /// Dense and recurrent layers.
    Units,
    /// Convolutions.
    Filters,
}

/// What training needs at least one of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Passes through the data.
    Epochs,
    /// Samples that share an update.
    BatchSize,
}

/// Whose weight in the loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weighted {
    /// The class of that number.
    Class(u32),
    /// The sample of that number.
    Sample(usize),
}

/// Where a hyperparameter must lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// Above 0.
    Positive,
    /// 0 or above.
    NotNegative,
    /// From 0 up to, but not, 1.
    Fraction,
}

/// Where a mistake was found, if not in the program's own numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the data that a model is validated on.
    Validation,
    /// In a file.
    File(PathBuf),
}

impl Place {
    /// What stands in front of a message.
    pub(crate) fn prefix(place: Option<&Place>, language: Language) -> String {
        match (place, language) {
            (None, _) => String::new(),
            (Some(Place::File(path)), _) => format!("{}: ", path.display()),
            (Some(Place::Validation), Language::English) => "validation data: ".into(),
            (Some(Place::Validation), Language::Korean) => "검증 데이터: ".into(),
        }
    }
}

impl Mistake {
    /// What is wrong and where, and what to do about it.
    pub fn told(&self, language: Language) -> (String, String) {
        match language {
            Language::English => english::told(self),
            Language::Korean => korean::told(self),
        }
    }

    /// Whether the question made no sense, whatever the data: an unknown name, a number out of its range. A command ends
    /// with the code of a misuse then.
    pub fn is_misuse(&self) -> bool {
        matches!(
            self,
            Mistake::UnknownName { .. }
                | Mistake::OtherKind { .. }
                | Mistake::Hyperparameter { .. }
                | Mistake::Zero(_)
        )
    }

    /// A name that is not one of `known`, which are those of a `what`: a loss, an optimizer, a preset ...
    pub fn unknown_name(what: impl Into<Cow<'static, str>>, name: &str, known: &[&str]) -> Mistake {
        let what = what.into();
        let knows = |kind: &Kind| kind.names().contains(&name);
        let name_of = Kind::ALL.into_iter().find(|kind| kind.word() == what);
        match (name_of, Kind::ALL.into_iter().find(knows)) {
            (Some(what), Some(kind)) => Mistake::OtherKind { what, name: name.to_string(), kind },
            _ => Mistake::UnknownName {
                what,
                name: name.to_string(),
                nearest: Mistake::nearest(name, known),
                known: known.iter().map(|k| k.to_string()).collect(),
            },
        }
    }

    /// A callback watches a figure that no epoch has.
    pub fn unknown_figure(figure: &str, known: &[&str]) -> Mistake {
        let nearest = Mistake::nearest(figure, known)
            .filter(|near| near.starts_with("val_") == figure.starts_with("val_"));
        let known = known.iter().map(|k| k.to_string()).collect();
        Mistake::UnknownFigure { figure: figure.to_string(), nearest, known }
    }

    /// The nearest of `known` to a misspelt name, if any is near. Capitals make no difference.
    pub fn nearest(name: &str, known: &[&str]) -> Option<String> {
        let name = name.to_lowercase();
        let scored = known.iter().map(|k| (strsim::jaro_winkler(&name, &k.to_lowercase()), k));
        let near = scored.filter(|(score, _)| *score > 0.7);
        near.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, k)| k.to_string())
    }

    /// Adds what only the model knows: the layers below the one that complains, nearest first, by name and kind.
    pub(crate) fn above<'a>(&mut self, mut below: impl Iterator<Item = (&'a str, &'a str)>) {
        match self {
            Mistake::ImageWanted { got, flattened, .. } if got.rank() == 1 => {
                *flattened = below.find(|(_, kind)| *kind == "Flatten").map(|(name, _)| name.to_string());
            }
            Mistake::SequenceWanted { got, last_step_of, .. } if got.rank() == 1 => {
                let recurrent = |kind: &str| matches!(kind, "SimpleRNN" | "LSTM" | "GRU");
                let shaping = |kind: &str| !matches!(kind, "Dropout" | "Activation" | "BatchNormalization");
                *last_step_of = below
                    .find(|(_, kind)| shaping(kind))
                    .filter(|(_, kind)| recurrent(kind))
                    .map(|(name, _)| name.to_string());
            }
            _ => {}
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.told(Language::English).0)
    }
}

impl From<Mistake> for Error {
    fn from(mistake: Mistake) -> Error {
        let hint = mistake.told(Language::English).1;
        Error::Mistake { place: None, mistake: Box::new(mistake), hint }
    }
}

/// `[784]` as `784`, `[28, 28, 1]` as it is: how a shape is written in a call.
fn argument(shape: &Shape) -> String {
    match shape.dims() {
        [one] => one.to_string(),
        dims => format!("{dims:?}"),
    }
}

/// A shape with `1` as its channels, or a square image of one channel for a vector of that many numbers.
fn as_image(got: &Shape, axes: usize) -> Option<Vec<usize>> {
    let side = got.len().isqrt();
    match got.dims() {
        dims if dims.len() == axes => Some(dims.iter().copied().chain([1]).collect()),
        [n] if axes == 2 && side * side == *n => Some(vec![side, side, 1]),
        _ => None,
    }
}

/// A shape as steps and features, all but the first dimension folded into one.
fn as_sequence(got: &Shape) -> [usize; 2] {
    match got.dims() {
        [] => [1, 1],
        [steps, others @ ..] => [*steps, others.iter().product()],
    }
}

/// Where in a sample: a column for tables, coordinates for all else.
fn is_column(at: &[usize]) -> Option<usize> {
    match at {
        [] => Some(0),
        [column] => Some(*column),
        _ => None,
    }
}

/// Whether a label beyond the classes may mean that the layer has too few units, and not that it is no label at all.
fn more_units(label: u32, classes: usize) -> bool {
    label as usize <= 2 * classes + 10
}

/// A tenth of a learning rate, to try next: three digits of it.
fn tenth(rate: f64) -> f64 {
    format!("{:.2e}", rate / 10.0).parse().unwrap_or(rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_near() {
        for (name, known, expected) in [
            ("msee", &["mae", "mse"][..], Some("mse")),
            ("conv2", &["Dense", "Conv2D", "Conv1D"], Some("Conv2D")),
            (
                "CategoricalCrossentropy",
                &["hinge", "categorical_crossentropy"],
                Some("categorical_crossentropy"),
            ),
            ("xyz", &["adam", "sgd"], None),
            ("", &["adam"], None),
        ] {
            assert_eq!(Mistake::nearest(name, known).as_deref(), expected, "{name}");
        }
    }
}
