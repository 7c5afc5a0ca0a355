//! Pictures and probabilities in the terminal.

use anstream::{AutoStream, ColorChoice};
use handgrad::data::{Colours, Picture};
use handgrad::{Result, Sequential};

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

/// The most probable classes, each with a bar.
pub(super) fn bars(names: &[String], probabilities: &[f32], top: usize) -> String {
    let mut order: Vec<usize> = (0..probabilities.len()).collect();
    order.sort_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]));
    order.truncate(top);
    let name = |i: usize| names.get(i).cloned().unwrap_or_else(|| i.to_string());
    let width = order.iter().map(|&i| name(i).chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for i in order {
        let (p, name) = (probabilities[i], name(i));
        let eighths = (p.clamp(0.0, 1.0) * 30.0 * 8.0).round() as usize;
        let part = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][eighths % 8];
        let bar = "█".repeat(eighths / 8) + part;
        let gap = " ".repeat(width - name.chars().count());
        text += &format!("  {name}{gap}  {:5.1} %  {bar}\n", 100.0 * p);
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

/// Probabilities of all classes: of a model with one output, which is the second class's, both.
pub(super) fn probabilities(outputs: &[f32]) -> Vec<f32> {
    match outputs {
        [second] => vec![1.0 - second, *second],
        all => all.to_vec(),
    }
}

/// The largest, the first of equal ones.
pub(super) fn largest(values: &[f32]) -> usize {
    (1..values.len()).fold(0, |best, i| if values[i] > values[best] { i } else { best })
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
        let text = bars(&names, &[0.25, 0.75, 0.0], 2);
        assert_eq!(text, "  강아지   75.0 %  ██████████████████████▌\n  cat   25.0 %  ███████▌\n");
        assert_eq!((probabilities(&[0.25]), largest(&[0.5, 0.5])), (vec![0.75, 0.25], 0));
    }
}
