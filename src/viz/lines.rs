//! Lines over an axis: what curves and activation functions share. And the legend that says which is which.

use super::axis::{Axes, FAR};
use super::canvas::{Align, Canvas};
use super::font;
use super::palette::{INK, Look};

/// Points in order, some of which may be no numbers: the line has gaps there.
pub(super) struct Line<'a> {
    pub(super) points: &'a [(f64, f64)],
    pub(super) look: Look,
    /// Whether each point has a mark. A point alone always has one.
    pub(super) marked: bool,
}

/// Beyond so many points to a pixel of width, a line shows the least and the greatest in each pixel.
const POINTS_A_PIXEL: usize = 4;

pub(super) fn draw(canvas: &mut Canvas, axes: &Axes, line: &Line) {
    let thin;
    let width = (axes.area.right - axes.area.left) as usize;
    let points = match line.points.len() > POINTS_A_PIXEL * width {
        true => {
            thin = thinned(line.points, 2 * width);
            &thin
        }
        false => line.points,
    };
    let drawable = |&(x, y): &(f64, f64)| x.abs() <= FAR && y.abs() <= FAR;
    for run in points.chunk_by(|a, b| drawable(a) == drawable(b)).filter(|run| drawable(&run[0])) {
        let at: Vec<(f64, f64)> = run.iter().map(|&(x, y)| axes.at(x, y)).collect();
        if at.len() > 1 {
            canvas.line(&at, line.look);
        }
        if line.marked || at.len() == 1 {
            at.iter().for_each(|&point| canvas.mark(point, line.look, 3.6));
        }
    }
}

/// Of each of `parts` parts the first, the least, the greatest and the last point, in order: the line looks the same.
fn thinned(points: &[(f64, f64)], parts: usize) -> Vec<(f64, f64)> {
    let mut out = Vec::new();
    for part in points.chunks(points.len().div_ceil(parts.max(1))) {
        let by = |i: &usize, j: &usize| part[*i].1.total_cmp(&part[*j].1);
        let numbers = || (0..part.len()).filter(|&i| part[i].1.is_finite());
        let mut kept = vec![0, part.len() - 1];
        kept.extend(numbers().min_by(by).into_iter().chain(numbers().max_by(by)));
        kept.sort_unstable();
        kept.dedup();
        out.extend(kept.into_iter().map(|i| part[i]));
    }
    out
}

/// What a legend says about one thing: its name and look; whether a line, a mark, or both show it.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) look: Look,
    pub(super) line: bool,
    pub(super) mark: bool,
}

/// A legend, laid out in rows of a width.
pub(super) struct Legend {
    entries: Vec<(Entry, f64, usize)>,
    rows: usize,
}

const TEXT: f64 = 13.0;
const SIGN: f64 = 30.0;
const GAP: f64 = 18.0;
const ROW: f64 = 20.0;

impl Legend {
    pub(super) fn new(entries: Vec<Entry>, width: f64) -> Legend {
        let (mut x, mut row, mut placed) = (0.0, 0, Vec::new());
        for entry in entries {
            let wide = (SIGN + 6.0 + font::width(&entry.name, TEXT)).min(width);
            if x > 0.0 && x + wide > width {
                (x, row) = (0.0, row + 1);
            }
            placed.push((entry, x, row));
            x += wide + GAP;
        }
        let rows = if placed.is_empty() { 0 } else { row + 1 };
        Legend { entries: placed, rows }
    }

    pub(super) fn height(&self) -> f64 {
        self.rows as f64 * ROW
    }

    pub(super) fn draw(&self, canvas: &mut Canvas, left: f64, top: f64, width: f64) {
        for (entry, x, row) in &self.entries {
            let (x, y) = (left + x, top + (*row as f64 + 0.5) * ROW);
            if entry.line {
                canvas.line(&[(x, y), (x + SIGN, y)], entry.look);
            }
            if entry.mark {
                canvas.mark((x + SIGN / 2.0, y), entry.look, 4.0);
            }
            let room = width - (x - left) - SIGN - 6.0;
            canvas.text_in((x + SIGN + 6.0, y), room, &entry.name, TEXT, INK, Align::Left);
        }
    }
}

/// Around every picture.
pub(super) const MARGIN: f64 = 16.0;
const TITLE: f64 = 17.0;

/// A title over the whole width of a picture, between its margins.
pub(super) fn title(canvas: &mut Canvas, text: &str) {
    let width = canvas.size().0;
    canvas.text_in((width / 2.0, MARGIN + 10.0), width - 2.0 * MARGIN, text, TITLE, INK, Align::Center);
}

/// What a title takes of the height below the margin: nothing, if there is none.
pub(super) fn title_height(text: &str) -> f64 {
    if text.is_empty() { 0.0 } else { 32.0 }
}

/// How wide a picture should be for its title's sake.
pub(super) fn title_width(text: &str) -> f64 {
    font::width(text, TITLE).min(560.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thinned_line_keeps_its_peaks_and_its_ends() {
        let mut points: Vec<(f64, f64)> = (0..10_000).map(|i| (f64::from(i), 0.0)).collect();
        points[4321].1 = 9.0;
        points[77].1 = -9.0;
        points[5000].1 = f64::NAN;
        let thin = thinned(&points, 100);
        assert!(thin.len() <= 400 && thin.contains(&(4321.0, 9.0)) && thin.contains(&(77.0, -9.0)));
        assert_eq!((thin[0].0, thin[thin.len() - 1].0), (0.0, 9999.0));
        assert!(thin.windows(2).all(|w| w[0].0 < w[1].0));
    }
}
