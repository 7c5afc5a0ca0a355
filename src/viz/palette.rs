//! Colours that colour-blind people can tell apart, and marks and dashes that say the same again.
//!
//! Sources: Okabe, Ito 2008, "Color Universal Design"; viridis by Smith, van der Walt 2015.

use plotters::style::colors::colormaps::{ColorMap, ViridisRGB};

/// Red, green, blue.
pub type Colour = [u8; 3];

/// Text and frames.
pub const INK: Colour = [34, 34, 34];
/// What should not draw the eye.
pub const FAINT: Colour = [120, 120, 120];
/// Grid lines.
pub const HAIR: Colour = [228, 228, 228];
/// Behind everything.
pub const PAPER: Colour = [255, 255, 255];
/// What is right.
pub const BLUE: Colour = [0, 114, 178];
/// What is wrong.
pub const VERMILLION: Colour = [213, 94, 0];

/// The colours of Okabe and Ito, those apart from each other first.
pub const COLOURS: [Colour; 7] =
    [BLUE, VERMILLION, [0, 158, 115], [230, 159, 0], [86, 180, 233], [204, 121, 167], [0, 0, 0]];

/// What a point looks like.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)] // the names say it
pub enum Mark {
    Disc,
    Square,
    Triangle,
    Diamond,
    Ring,
    Frame,
    Cross,
}

const MARKS: [Mark; 7] =
    [Mark::Disc, Mark::Square, Mark::Triangle, Mark::Diamond, Mark::Ring, Mark::Frame, Mark::Cross];

/// Lengths of strokes and gaps, in pixels; none for a whole line.
const DASHES: [&[f64]; 4] = [&[], &[7.0, 4.0], &[2.0, 3.0], &[9.0, 3.0, 2.0, 3.0]];

/// How one of several things is told from the others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Look {
    /// Of its line and its points.
    pub colour: Colour,
    /// Of its points.
    pub mark: Mark,
    /// Of its line, in pixels: stroke, gap, ...; empty for a whole line.
    pub dash: &'static [f64],
    /// Of its line, in pixels.
    pub width: f64,
}

impl Look {
    /// The look of the thing with that number: its colour, its mark and its dashes differ from those of its neighbours.
    /// The 7 colours come again after 7, then with the next mark and the next dashes.
    pub fn number(i: usize) -> Look {
        let round = i / COLOURS.len();
        Look {
            colour: COLOURS[i % COLOURS.len()],
            mark: MARKS[(i + round) % MARKS.len()],
            dash: DASHES[(i + 2 * round) % DASHES.len()],
            width: 1.8,
        }
    }

    /// The same in another colour.
    pub fn colour(self, colour: Colour) -> Look {
        Look { colour, ..self }
    }
}

/// viridis, dark to light, for `t` from 0 to 1. What is no number is grey.
pub fn viridis(t: f64) -> Colour {
    if t.is_nan() {
        return NO_NUMBER;
    }
    let colour = ViridisRGB.get_color(t.clamp(0.0, 1.0));
    [colour.0, colour.1, colour.2]
}

/// Blue through white to vermillion, for `t` from −1 to 1. What is no number is grey.
pub fn diverging(t: f64) -> Colour {
    if t.is_nan() {
        return NO_NUMBER;
    }
    mix(PAPER, if t < 0.0 { BLUE } else { VERMILLION }, t.abs())
}

/// Black to white, for `t` from 0 to 1. What is no number is a light red.
pub fn grey(t: f64) -> Colour {
    if t.is_nan() {
        return NO_NUMBER;
    }
    [(t.clamp(0.0, 1.0) * 255.0).round() as u8; 3]
}

const NO_NUMBER: Colour = [190, 170, 180];

/// `a` and, as `t` goes to 1, `b`.
pub fn mix(a: Colour, b: Colour, t: f64) -> Colour {
    let t = t.clamp(0.0, 1.0);
    std::array::from_fn(|i| (f64::from(a[i]) * (1.0 - t) + f64::from(b[i]) * t).round() as u8)
}

/// Black or white, whichever can be read on `ground`. Source: WCAG 2.1, relative luminance.
pub fn readable_on(ground: Colour) -> Colour {
    let linear = |c: u8| match f64::from(c) / 255.0 {
        c if c <= 0.04045 => c / 12.92,
        c => ((c + 0.055) / 1.055).powf(2.4),
    };
    let [r, g, b] = ground.map(linear);
    if 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 { INK } else { PAPER }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_maps_have_their_ends_and_their_middle() {
        assert_eq!([viridis(0.0), viridis(1.0)], [[68, 1, 84], [254, 232, 37]]);
        assert_eq!([diverging(-1.0), diverging(0.0), diverging(1.0)], [BLUE, PAPER, VERMILLION]);
        assert_eq!([grey(-3.0), grey(0.5), grey(f64::INFINITY)], [[0; 3], [128; 3], [255; 3]]);
        assert_eq!(viridis(f64::NAN), diverging(f64::NAN));
        assert_eq!([readable_on([68, 1, 84]), readable_on([254, 232, 37])], [PAPER, INK]);
    }

    #[test]
    fn neighbours_differ_in_more_than_colour() {
        for i in 0..60 {
            let (a, b) = (Look::number(i), Look::number(i + 1));
            assert!(a.colour != b.colour && a.mark != b.mark && a.dash != b.dash, "{i}");
        }
        // Marks and dashes alone tell apart what shares a colour.
        for i in 0..21 {
            let (a, b) = (Look::number(i), Look::number(i + 7));
            assert!(a.colour == b.colour && a.mark != b.mark && a.dash != b.dash, "{i}");
        }
    }
}
