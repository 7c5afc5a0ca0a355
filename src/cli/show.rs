//! Pictures in the terminal, and what the last numbers of a model say.

use anstream::{AutoStream, ColorChoice};
use handgrad::config::{Config, FromValue};
use handgrad::data::{Colours, Features, Picture};
use handgrad::{Loss, Result, Sequential, Tensor};

/// From dark to bright, for output without colours.
const RAMP: &[u8] = b" .:-=+*#%@";

/// Wider pictures are shown smaller.
const WIDTH: usize = 64;

/// Whether standard output shows colours: a terminal, and nobody said NO_COLOR.
pub(super) fn colours() -> bool {
    AutoStream::choice(&std::io::stdout()) != ColorChoice::Never
}

/// A picture in half blocks, two rows of pixels a line; without colours in characters from dark to bright.
pub(super) fn picture(picture: &Picture, colours: bool) -> Result<String> {
    let mut picture = picture.clone();
    if picture.width() > WIDTH {
        let height = (picture.height() * WIDTH).div_ceil(picture.width()).clamp(1, 4 * WIDTH);
        picture = picture.resized(height, WIDTH)?;
    } else if picture.height() > 4 * WIDTH {
        picture = picture.resized(4 * WIDTH, picture.width())?;
    }
    let (width, rgb) = (picture.width(), picture.in_colours(Colours::Rgb));
    let rows: Vec<&[u8]> = rgb.bytes().chunks_exact(3 * width).collect();
    let mut text = String::new();
    for pair in rows.chunks(2) {
        for x in 0..width {
            let pixel = |row: &[u8]| [row[3 * x], row[3 * x + 1], row[3 * x + 2]];
            let (upper, lower) = (pixel(pair[0]), pair.get(1).map(|row| pixel(row)));
            text += &match (colours, lower) {
                (true, Some(lower)) => format!("{}{}▀", code(38, upper), code(48, lower)),
                (true, None) => format!("{}▀", code(38, upper)),
                (false, lower) => {
                    let light = brightness(upper).midpoint(brightness(lower.unwrap_or(upper)));
                    char::from(RAMP[light * (RAMP.len() - 1) / 255]).to_string()
                }
            };
        }
        text += if colours { "\x1b[0m\n" } else { "\n" };
    }
    Ok(text)
}

/// The escape code of a colour, `layer` 38 for the block and 48 for what is behind it. Greys are those of the palette of
/// 256, which more terminals have.
fn code(layer: u8, [r, g, b]: [u8; 3]) -> String {
    match r == g && g == b {
        true if r < 4 => format!("\x1b[{layer};5;16m"),
        true if r > 246 => format!("\x1b[{layer};5;231m"),
        true => format!("\x1b[{layer};5;{}m", 232 + (u32::from(r.max(8)) - 8) / 10),
        false => format!("\x1b[{layer};2;{r};{g};{b}m"),
    }
}

fn brightness([r, g, b]: [u8; 3]) -> usize {
    (299 * usize::from(r) + 587 * usize::from(g) + 114 * usize::from(b)) / 1000
}

/// What the last numbers of a model that tells classes apart are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Figure {
    /// Softmax or sigmoid made them.
    Probability,
    /// What softmax or sigmoid would make probabilities of: the loss does.
    Logit,
    /// How far on which side of the border: what the hinges learn.
    Margin,
    /// Anything else, near 1 for what it is and near 0 for what it is not.
    Score,
}

/// The figures of all classes for a sample, and the class with the largest, the first of equal ones.
pub(super) struct Verdict {
    pub(super) figures: Vec<f32>,
    pub(super) class: usize,
}

impl Figure {
    /// What this model's are: its last activation says, and where there is none, its loss.
    pub(super) fn of(model: &Sequential) -> Figure {
        if model.config().is_ok_and(|config| ends_in_probabilities(&config)) {
            return Figure::Probability;
        }
        match loss(model) {
            Some(
                Loss::BinaryCrossentropy { from_logits: true }
                | Loss::CategoricalCrossentropy { from_logits: true }
                | Loss::SparseCategoricalCrossentropy { from_logits: true },
            ) => Figure::Logit,
            Some(Loss::Hinge | Loss::SquaredHinge) => Figure::Margin,
            _ => Figure::Score,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Figure::Probability => "probability",
            Figure::Logit => "logit",
            Figure::Margin => "margin",
            Figure::Score => "score",
        }
    }

    /// What they are and why, for those who expect probabilities; `None` where they are.
    pub(super) fn explained(self) -> Option<&'static str> {
        match self {
            Figure::Probability => None,
            Figure::Logit => {
                Some("logits and no probabilities: the softmax or sigmoid is in the model's loss")
            }
            Figure::Margin => {
                Some("margins and no probabilities: a hinge loss learns on which side a sample is")
            }
            Figure::Score => {
                Some("scores and no probabilities: the model ends in neither softmax nor sigmoid")
            }
        }
    }

    /// What the outputs for a sample say. A single one is the second class's, and the first class has the rest.
    pub(super) fn read(self, outputs: &[f32]) -> Verdict {
        let figures = match (self, outputs) {
            (Figure::Probability | Figure::Score, &[second]) => vec![1.0 - second, second],
            (Figure::Logit | Figure::Margin, &[second]) => vec![-second, second],
            (_, all) => all.to_vec(),
        };
        let class = (1..figures.len()).fold(0, |best, i| if figures[i] > figures[best] { i } else { best });
        Verdict { figures, class }
    }
}

/// What the model predicts for samples of classes, so that ½ is the border of a single number, as it is of a probability: 0 or
/// 1 by the sign of a logit or margin. All else as it is.
pub(super) fn guesses(model: &mut Sequential, x: &Features) -> Result<Tensor> {
    let (mut outputs, figure) = (model.predict(x)?, Figure::of(model));
    if outputs.shape().sample().len() == 1 && matches!(figure, Figure::Logit | Figure::Margin) {
        let signs: Vec<f64> = outputs.to_vec().iter().map(|&y| figure.read(&[y]).class as f64).collect();
        outputs.view_mut().write(&signs)?;
    }
    Ok(outputs)
}

/// The loss that the model was trained with.
pub(super) fn loss(model: &Sequential) -> Option<Loss> {
    let compiled = model.compile_config().ok().flatten()?;
    Loss::from_value(compiled.get("loss")?).ok()
}

/// Whether the last layer that changes numbers is a softmax or a sigmoid.
fn ends_in_probabilities(config: &Config) -> bool {
    let layers = config.get("layers").and_then(|layers| layers.as_array()).map_or(&[][..], Vec::as_slice);
    let class = |i: usize| layers[i]["class_name"].as_str().unwrap_or_default();
    let last = (0..layers.len()).rev().find(|&i| !["Flatten", "Reshape", "Dropout"].contains(&class(i)));
    last.is_some_and(|i| {
        let acts = class(i) == "Activation" || class(i) == "Dense" || class(i).starts_with("Conv");
        acts && matches!(layers[i]["config"]["activation"].as_str(), Some("softmax" | "sigmoid"))
    })
}

/// The classes with the largest figures; each probability with a bar.
pub(super) fn bars(names: &[String], figures: &[f32], figure: Figure, top: usize) -> String {
    let mut order: Vec<usize> = (0..figures.len()).collect();
    order.sort_by(|&a, &b| figures[b].total_cmp(&figures[a]));
    order.truncate(top);
    let name = |i: usize| names.get(i).cloned().unwrap_or_else(|| i.to_string());
    let width = order.iter().map(|&i| name(i).chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for i in order {
        let (x, name) = (figures[i], name(i));
        let gap = " ".repeat(width - name.chars().count());
        text += &match figure {
            Figure::Probability => {
                let eighths = (x.clamp(0.0, 1.0) * 30.0 * 8.0).round() as usize;
                let part = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][eighths % 8];
                let bar = "█".repeat(eighths / 8) + part;
                format!("  {name}{gap}  {:5.1} %  {bar}\n", 100.0 * x)
            }
            _ => format!("  {name}{gap}  {} {x:9.4}\n", figure.name()),
        };
    }
    text
}

/// The names of a model's classes: those it was trained with, or their numbers.
pub(super) fn class_names(model: &Sequential, known: Option<&[String]>) -> Vec<String> {
    let outputs = model.output_shape().map_or(0, |shape| shape.len());
    match known {
        Some(names) => names.to_vec(),
        None => (0..outputs.max(2)).map(|i| i.to_string()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_rows_of_pixels_are_a_line() {
        let dark_over_bright = Picture::new(3, 2, Colours::Grey, vec![0, 255, 0, 255, 255, 0]).unwrap();
        assert_eq!(picture(&dark_over_bright, false).unwrap(), " @\n@ \n");
        let lines = picture(&dark_over_bright, true).unwrap();
        assert_eq!(lines.lines().count(), 2);
        assert!(
            lines.starts_with("\x1b[38;5;16m\x1b[48;5;16m▀\x1b[38;5;231m\x1b[48;5;231m▀\x1b[0m\n"),
            "{lines:?}"
        );
        let wide = Picture::new(2, 640, Colours::Grey, vec![128; 1280]).unwrap();
        assert_eq!(picture(&wide, false).unwrap(), format!("{}\n", "=".repeat(64)));
        let red = Picture::new(1, 1, Colours::Rgb, vec![255, 0, 9]).unwrap();
        assert_eq!(picture(&red, true).unwrap(), "\x1b[38;2;255;0;9m▀\x1b[0m\n");
    }

    #[test]
    fn bars_are_as_long_as_they_are_probable() {
        let names = ["cat".to_string(), "강아지".into(), "x".into()];
        let text = bars(&names, &[0.25, 0.75, 0.0], Figure::Probability, 2);
        assert_eq!(text, "  강아지   75.0 %  ██████████████████████▌\n  cat   25.0 %  ███████▌\n");
        let text = bars(&names, &[-0.5, 12.25], Figure::Logit, 9);
        assert_eq!(text, "  강아지  logit   12.2500\n  cat  logit   -0.5000\n");
    }

    #[test]
    fn a_single_output_is_the_second_class() {
        for (figure, output, figures, class) in [
            (Figure::Probability, 0.25, [0.75, 0.25], 0),
            (Figure::Probability, 0.5, [0.5, 0.5], 0),
            (Figure::Score, 0.75, [0.25, 0.75], 1),
            (Figure::Logit, 0.25, [-0.25, 0.25], 1),
            (Figure::Margin, -3.0, [3.0, -3.0], 0),
        ] {
            let verdict = figure.read(&[output]);
            assert_eq!((&verdict.figures[..], verdict.class), (&figures[..], class), "{figure:?} {output}");
        }
        assert_eq!(Figure::Logit.read(&[1.0, 3.0, 3.0]).class, 1);
    }

    /// 0.25 is a probability below the border, and a logit above it.
    #[test]
    fn guesses_are_on_their_side_of_the_border() {
        use handgrad::model::Compile;
        let x = Features::from_rows(&[[-1.0], [0.25], [1.0]]).unwrap();
        let guesses_of = |loss: Loss| {
            let mut model = Sequential::new().with(handgrad::layers::Dense::new(1).use_bias(false));
            model.build([1]).unwrap();
            let mut weights = model.get_weights().unwrap();
            weights[0].values = vec![1.0];
            model.set_weights(&weights).unwrap();
            model.compile(Compile::new(loss)).unwrap();
            guesses(&mut model, &x).unwrap().to_vec()
        };
        assert_eq!(guesses_of(Loss::BinaryCrossentropy { from_logits: true }), [0.0, 1.0, 1.0]);
        assert_eq!(guesses_of(Loss::Hinge), [0.0, 1.0, 1.0]);
        assert_eq!(guesses_of(Loss::MeanSquaredError), [-1.0, 0.25, 1.0]);
    }

    /// By the last layer that changes numbers; without an activation there, by the loss.
    #[test]
    fn figures_are_called_what_they_are() {
        use handgrad::model::Compile;
        use handgrad::{Activation, layers};
        let model = |units, activation, loss: Option<Loss>| {
            let last = layers::Dense::new(units).activation(activation);
            let mut model = Sequential::new().with(last).with(layers::Reshape::new([units, 1]));
            model.build([2]).unwrap();
            loss.into_iter().for_each(|loss| model.compile(Compile::new(loss)).unwrap());
            model
        };
        let logits = Loss::BinaryCrossentropy { from_logits: true };
        for (units, activation, loss, figure) in [
            (3, Activation::Softmax, None, Figure::Probability),
            (3, Activation::Softmax, Some(Loss::MeanSquaredError), Figure::Probability),
            (1, Activation::Sigmoid, Some(Loss::Hinge), Figure::Probability),
            (1, Activation::Linear, Some(logits), Figure::Logit),
            (1, Activation::Tanh, Some(Loss::Hinge), Figure::Margin),
            (1, Activation::Linear, Some(Loss::MeanSquaredError), Figure::Score),
            (1, Activation::Linear, None, Figure::Score),
        ] {
            assert_eq!(Figure::of(&model(units, activation, loss)), figure, "{activation:?} {loss:?}");
        }
        // An LSTM's activation is within it.
        let mut lstm = Sequential::new().with(layers::LSTM::new(2).activation(Activation::Sigmoid));
        lstm.build([3, 2]).unwrap();
        assert_eq!(Figure::of(&lstm), Figure::Score);
    }
}
