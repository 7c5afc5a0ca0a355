//! What a model with two inputs says to every pair of them, and where it changes its mind.

use super::Picture;
use super::axis::Axis;
use super::canvas::{Align, Area, Canvas};
use super::images::class_name;
use super::lines::{self, Entry, Legend, MARGIN};
use super::palette::{Colour, FAINT, INK, Look, Mark, PAPER, mix, viridis};
use super::tiles::Bar;
use crate::data::{Dataset, Features};
use crate::error::{Error, Result};
use crate::metrics::{class_of, label_of};
use crate::model::Sequential;
use crate::rng::Rng;

/// A decision boundary; see [`boundary`].
pub struct Boundary<'a> {
    model: &'a mut Sequential,
    data: &'a Dataset,
    title: String,
    classes: Vec<String>,
    inputs: [String; 2],
}

/// The answers of a model to a grid of pairs, as colours, with the samples of `data` on top of them.
///
/// Of a model with one output, the colour is the answer from 0 to 1 and a black line is where it is ½: there accuracy
/// draws the line between its two classes. Of one with more, the colour is the class with the largest output, the fainter
/// the smaller that is. Of more than 2000 samples, so many are drawn, chosen at random.
///
/// ```
/// use handgrad::{data::Dataset, layers::Dense, model::{Compile, Fit}, viz, Activation, Sequential};
/// let xor = Dataset::from_rows(&[[0., 0.], [0., 1.], [1., 0.], [1., 1.]], &[[0.], [1.], [1.], [0.]])?;
/// let mut model = Sequential::new()
///     .with(Dense::new(8).activation(Activation::Relu))
///     .with(Dense::new(1).activation(Activation::Sigmoid));
/// model.compile(Compile::new("mse"))?;
/// model.fit(&xor, Fit::new().epochs(10).verbose(0))?;
/// let folder = tempfile::tempdir().unwrap();
/// viz::boundary(&mut model, &xor).title("XOR").draw()?.save(folder.path().join("boundary.svg"))?;
/// # Ok::<(), handgrad::Error>(())
/// ```
pub fn boundary<'a>(model: &'a mut Sequential, data: &'a Dataset) -> Boundary<'a> {
    Boundary {
        model, data, title: String::new(), classes: Vec::new(), inputs: ["x₁".into(), "x₂".into()]
    }
}

/// Answers along each side.
const GRID: usize = 160;
const SIDE: f64 = 400.0;
const LEFT: f64 = 76.0;
const MOST_POINTS: usize = 2000;

impl Boundary<'_> {
    /// What stands above the picture, in any language.
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = title.into();
        self
    }

    /// What the classes are called; by default, by their numbers.
    pub fn classes(mut self, names: &[impl AsRef<str>]) -> Self {
        self.classes = names.iter().map(|name| name.as_ref().to_string()).collect();
        self
    }

    /// What the two inputs are called; x₁ and x₂ by default.
    pub fn inputs(mut self, first: impl Into<String>, second: impl Into<String>) -> Self {
        self.inputs = [first.into(), second.into()];
        self
    }

    /// Asks the model 25,600 times, and draws its answers.
    ///
    /// # Errors
    /// Samples of another number of inputs than two; those of [`Sequential::predict`].
    pub fn draw(self) -> Result<Picture> {
        let sample = self.data.sample_shape();
        if sample.len() != 2 {
            return Err(Error::data(
                format!(
                    "a decision boundary is drawn over two inputs, samples of shape {sample} have {}",
                    sample.len()
                ),
                "train a model on two columns of the data",
            ));
        }
        let drawn = drawn(self.data.len());
        let points: Vec<[f64; 2]> = drawn
            .iter()
            .map(|&i| self.data.x().values_of(i))
            .map(|v| [f64::from(v[0]), f64::from(v[1])])
            .collect();
        let [x, y] = [0, 1].map(|c| {
            let axis = Axis::around(&self.inputs[c], points.iter().map(|p| p[c]));
            let ends =
                points.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |e, p| (e.0.min(p[c]), e.1.max(p[c])));
            let room = 0.3 * (ends.1 - ends.0);
            // All in one place: the axis knows how to make a range of that.
            if room > 0.0 { Axis::linear(&self.inputs[c], ends.0 - room, ends.1 + room) } else { axis }
        });
        let at = |axis: &Axis, i: usize| {
            let (from, to) = axis.ends();
            from + (to - from) * (i as f64 + 0.5) / GRID as f64
        };
        // Row 0 is at the bottom, as on the axis.
        let asked = (0..GRID * GRID).flat_map(|i| [at(&x, i % GRID) as f32, at(&y, i / GRID) as f32]);
        let values: Vec<f32> = asked.collect();
        let answers = self.model.predict(&Features::F32 { sample, values })?;
        let outputs = answers.shape().len() / (GRID * GRID);
        let answers = answers.to_vec();

        // Of all samples, drawn or not: which classes there are does not depend on which points are drawn.
        let labels: Vec<Option<usize>> = (0..self.data.len()).map(|i| label_of(self.data.y(), i)).collect();
        let classes = labels.iter().flatten().max().map_or(0, |c| c + 1).max(2);
        let is_classes = labels.iter().all(Option::is_some) && classes <= 49;
        let one = outputs == 1;
        let range = match (one, is_classes) {
            (true, false) => Axis::around("", answers.iter().map(|&v| f64::from(v))).ends(),
            _ => (0.0, 1.0),
        };
        let share = |v: f32| (f64::from(v) - range.0) / (range.1 - range.0);
        let colour = |row: &[f32]| -> Colour {
            match (one, class_of(row)) {
                (true, _) => viridis(share(row[0])),
                (_, Some(class)) => mix(
                    PAPER,
                    Look::number(class).colour,
                    0.15 + 0.45 * f64::from(row[class]).clamp(0.0, 1.0),
                ),
                (_, None) => viridis(f64::NAN),
            }
        };
        // A few shades less make large pieces, and a small file.
        let step = |c: u8| (c / 6) * 6 + 3;
        let rows = answers.chunks_exact(outputs.max(1)).map(|row| colour(row).map(step));
        let rows: Vec<Colour> = rows.collect();
        let upright: Vec<Colour> = rows.chunks(GRID).rev().flatten().copied().collect();

        let look = |class: usize| match one {
            true => Look {
                mark: if class == 0 { Mark::Disc } else { Mark::Square },
                colour: if class == 0 { PAPER } else { INK },
                ..Look::number(class)
            },
            false => Look::number(class),
        };
        let mut entries = Vec::new();
        if is_classes {
            entries.extend((0..classes).map(|class| Entry {
                name: class_name(&self.classes, class),
                look: look(class),
                line: false,
                mark: true,
            }));
        }
        let bar = if one { Bar::WIDTH + 12.0 } else { 0.0 };
        let width = MARGIN + LEFT + SIDE + bar + MARGIN;
        let legend = Legend::new(entries.clone(), SIDE);
        let title = lines::title_height(&self.title);
        let top = MARGIN + title + legend.height() + if entries.is_empty() { 0.0 } else { 10.0 };
        let hidden = self.data.len() - points.len();
        let height = top + SIDE + 56.0 + if hidden > 0 { 20.0 } else { 0.0 };
        let mut canvas = Canvas::new(&self.title, width, height)?;
        let left = MARGIN + LEFT;
        lines::title(&mut canvas, &self.title);
        let area = Area::sized((left, top), SIDE, SIDE);
        let axes = canvas.axes(area, x.clone(), y.clone())?;
        canvas.cells(area, GRID, &upright);
        if one && is_classes {
            let line = Look { colour: [0, 0, 0], dash: &[], width: 2.0, ..Look::number(0) };
            for ((x0, y0), (x1, y1)) in crossings(&answers, 0.5) {
                let place = |x: f64, y: f64| {
                    (left + SIDE * (x + 0.5) / GRID as f64, top + SIDE - SIDE * (y + 0.5) / GRID as f64)
                };
                canvas.line(&[place(x0, y0), place(x1, y1)], line);
            }
        }
        for (point, &i) in points.iter().zip(&drawn) {
            let at = axes.at(point[0], point[1]);
            let look = labels[i].filter(|_| is_classes).map_or(Look { mark: Mark::Disc, ..look(0) }, look);
            if one {
                canvas.mark(at, Look { colour: INK, ..look }, 6.4);
            }
            canvas.mark(at, look, 4.6);
        }
        for (class, entry) in entries.iter_mut().enumerate().filter(|_| one) {
            // White marks need a rim on white paper.
            entry.look =
                Look { mark: if class == 0 { Mark::Ring } else { Mark::Square }, ..look(class).colour(INK) };
        }
        Legend::new(entries, SIDE).draw(&mut canvas, left, MARGIN + title, SIDE);
        if one {
            let bar = Bar { from: range.0, to: range.1, colour: &viridis };
            bar.draw(&mut canvas, left + SIDE + 16.0, top, top + SIDE);
        }
        if hidden > 0 {
            let note = format!("{MOST_POINTS} of {} samples are drawn, chosen at random", self.data.len());
            canvas.text_in((left, height - 14.0), SIDE, &note, 12.0, FAINT, Align::Left);
        }
        Ok(canvas.finish())
    }
}

/// Which of `count` samples are drawn: all, or some by chance, the same ones each time. Not the first: data may be sorted
/// by class. Not every so many: data may repeat itself.
fn drawn(count: usize) -> Vec<usize> {
    let mut all: Vec<usize> = (0..count).collect();
    if count > MOST_POINTS {
        Rng::new(0, 0).shuffle(&mut all);
        all.truncate(MOST_POINTS);
        all.sort_unstable();
    }
    all
}

type Place = (f64, f64);

/// Where the grid's values cross `level`, in grid steps, piece by piece. Source: marching squares, Lorensen, Cline 1987
/// (there in three dimensions).
fn crossings(values: &[f32], level: f64) -> Vec<(Place, Place)> {
    let at = |x: usize, y: usize| f64::from(values[y * GRID + x]) - level;
    let mut pieces = Vec::new();
    for (x, y) in (0..GRID - 1).flat_map(|y| (0..GRID - 1).map(move |x| (x, y))) {
        let corners = [(x, y), (x + 1, y), (x + 1, y + 1), (x, y + 1)];
        let v = corners.map(|(x, y)| at(x, y));
        if v.iter().any(|v| !v.is_finite()) {
            continue;
        }
        let cut = |i: usize| {
            let (a, b) = (i, (i + 1) % 4);
            let t = v[a] / (v[a] - v[b]);
            let (p, q) = (corners[a], corners[b]);
            (p.0 as f64 + t * (q.0 as f64 - p.0 as f64), p.1 as f64 + t * (q.1 as f64 - p.1 as f64))
        };
        let cuts: Vec<Place> = (0..4).filter(|&i| (v[i] > 0.0) != (v[(i + 1) % 4] > 0.0)).map(cut).collect();
        pieces.extend(cuts.chunks_exact(2).map(|c| (c[0], c[1])));
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    /// x + y = 100 on the grid: every piece lies on that line, and together they are as long as it.
    #[test]
    fn a_straight_boundary_is_found_where_it_is() {
        let values: Vec<f32> = (0..GRID * GRID).map(|i| (i % GRID + i / GRID) as f32).collect();
        let pieces = crossings(&values, 100.25);
        let length: f64 = pieces.iter().map(|(a, b)| (a.0 - b.0).hypot(a.1 - b.1)).sum();
        assert!(
            pieces
                .iter()
                .all(|(a, b)| (a.0 + a.1 - 100.25).abs() < 1e-9 && (b.0 + b.1 - 100.25).abs() < 1e-9)
        );
        assert!((length - 100.25 * 2f64.sqrt()).abs() < 1e-6, "{length}");
        assert!(crossings(&vec![f32::NAN; GRID * GRID], 0.5).is_empty());
    }
}
