//! The confusion matrix as a picture: which class was taken for which.

use super::canvas::{Align, Area, Canvas};
use super::images::class_name;
use super::lines::{self, MARGIN};
use super::palette::{Colour, FAINT, INK, readable_on, viridis};
use super::tiles::Bar;
use super::{Picture, font};
use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::metrics::ConfusionCounts;
use crate::tensor::Tensor;

/// A confusion matrix; see [`confusion`].
#[derive(Clone, Debug)]
pub struct Confusion {
    counts: Vec<Vec<u64>>,
    title: String,
    classes: Vec<String>,
    names: [String; 2],
}

/// How often each class was taken for each, from counts in rows of actual classes and columns of predicted ones, as
/// [`ConfusionCounts::rows`](crate::metrics::ConfusionCounts::rows) gives them. Colours are shares of the row, so that
/// rare classes can be read too; the numbers are the counts, where there is room for them.
///
/// ```
/// use handgrad::viz;
/// let picture = viz::confusion(&[[50, 2], [7, 41]]).classes(&["cat", "dog"]).title("고양이와 개").draw()?;
/// assert!(picture.svg().contains(">41<"));
/// # Ok::<(), handgrad::Error>(())
/// ```
pub fn confusion(counts: &[impl AsRef<[u64]>]) -> Confusion {
    Confusion {
        counts: counts.iter().map(|row| row.as_ref().to_vec()).collect(),
        title: String::new(),
        classes: Vec::new(),
        names: ["actual".into(), "predicted".into()],
    }
}

const LABEL: f64 = 12.0;
/// Names are given this much room at most.
const LONGEST: f64 = 150.0;
const MOST_CLASSES: usize = 2000;
/// A cell that holds a number.
const READABLE: f64 = 24.0;

impl Confusion {
    /// The counts of a model's predictions: `model.predict(data.x())?`.
    ///
    /// ```
    /// use handgrad::{data::{Dataset, Features, Targets}, tensor::Tensor, viz::Confusion, Shape};
    /// let x = Features::F32 { sample: 1.into(), values: vec![0., 1., 2.] };
    /// let data = Dataset::new(x, Targets::labels(vec![0, 1, 1]))?;
    /// let mut predictions = Tensor::zeros_f32(Shape::new(&[3, 2])?);
    /// predictions.view_mut().write_f32(&[0.9, 0.1, 0.2, 0.8, 0.6, 0.4])?;
    /// assert!(Confusion::of(&data, &predictions)?.draw().is_ok());
    /// # Ok::<(), handgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`ConfusionCounts::of`].
    pub fn of(data: &Dataset, predictions: &Tensor) -> Result<Confusion> {
        Ok(confusion(ConfusionCounts::of(data.y(), predictions)?.rows()))
    }

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

    /// What rows and columns are called; `actual` and `predicted` by default.
    pub fn names(mut self, actual: impl Into<String>, predicted: impl Into<String>) -> Self {
        self.names = [actual.into(), predicted.into()];
        self
    }

    /// Draws it.
    ///
    /// # Errors
    /// Counts that are no square; no class, or more than 2000.
    pub fn draw(&self) -> Result<Picture> {
        let n = self.counts.len();
        if n == 0 || self.counts.iter().any(|row| row.len() != n) {
            let columns = self.counts.iter().map(Vec::len).max().unwrap_or(0);
            return Err(Error::invalid(
                format!("counts of {n} rows and up to {columns} columns are no confusion matrix"),
                "give as many columns as rows: one for each class",
            ));
        }
        if n > MOST_CLASSES {
            return Err(too_many(n));
        }
        let digits = self.counts.iter().flatten().max().map_or(1, |c| c.to_string().len()) as f64;
        let cell = match n {
            ..=12 => (digits * 8.0 + 10.0).clamp(44.0, 90.0),
            13..=30 => (digits * 6.6 + 6.0).clamp(26.0, 60.0),
            _ => (720.0 / n as f64).clamp(1.0, 14.0),
        };
        let side = cell * n as f64;
        // Labels stand apart by a line at least: of many classes, only some are named.
        let every = (1..=n).find(|every| *every as f64 * cell >= 14.0).unwrap_or(n);
        let shown: Vec<usize> = (0..n).step_by(every).collect();
        let names: Vec<String> = shown.iter().map(|&c| class_name(&self.classes, c)).collect();
        let longest = names.iter().map(|t| font::width(t, LABEL)).fold(0.0, f64::max).min(LONGEST);
        let slanted = longest > cell * every as f64 - 6.0;
        let below = if slanted { 0.75 * longest + 16.0 } else { 20.0 };
        let left = MARGIN + 24.0 + longest + 8.0;
        let title = lines::title_height(&self.title);
        let top = MARGIN + title;
        let right = left + side.max(60.0) + 16.0 + Bar::WIDTH;
        let height = top + side.max(70.0) + below + 30.0;
        let mut canvas = Canvas::new(&self.title, right + 8.0, height)?;
        lines::title(&mut canvas, &self.title);

        let sums: Vec<f64> = self.counts.iter().map(|row| row.iter().map(|&c| c as f64).sum()).collect();
        let share = |r: usize, c: usize| self.counts[r][c] as f64 / sums[r].max(1.0);
        let colours: Vec<Colour> = (0..n * n).map(|i| viridis(share(i / n, i % n))).collect();
        let area = Area::sized((left, top), side, side);
        canvas.cells(area, n, &colours);
        canvas.frame(area, FAINT, 0.8);
        let centre = |i: usize| (i as f64 + 0.5) * cell;
        if cell >= READABLE {
            let size = if cell >= 40.0 { 13.0 } else { 11.0 };
            for (i, count) in self.counts.iter().flatten().enumerate() {
                let (r, c) = (i / n, i % n);
                let at = (left + centre(c), top + centre(r));
                let (text, ink) = (count.to_string(), readable_on(colours[i]));
                canvas.text_in(at, cell - 4.0, &text, size, ink, Align::Center);
            }
        }
        for (&class, name) in shown.iter().zip(&names) {
            let at = (left - 8.0, top + centre(class));
            canvas.text_in(at, longest + 1.0, name, LABEL, INK, Align::Right);
            let (x, y) = (left + centre(class), area.bottom);
            let room = super::canvas::cut(name, LABEL, longest + 1.0);
            match slanted {
                true => canvas.turned_text((x + 3.0, y + 10.0), &room, LABEL, INK, Align::Right, -45.0),
                false => canvas.text((x, y + 13.0), &room, LABEL, INK, Align::Center),
            }
        }
        let middle = (left + side / 2.0, top + side / 2.0);
        let name = super::canvas::cut(&self.names[0], 13.0, side.max(60.0));
        canvas.turned_text((MARGIN + 4.0, middle.1), &name, 13.0, INK, Align::Center, -90.0);
        let at = (middle.0, area.bottom + below + 8.0);
        canvas.text_in(at, side.max(80.0), &self.names[1], 13.0, INK, Align::Center);
        let bar = Bar { from: 0.0, to: 1.0, colour: &viridis };
        bar.draw(&mut canvas, left + side.max(60.0) + 16.0, top, top + side.clamp(70.0, 260.0));
        Ok(canvas.finish())
    }
}

fn too_many(classes: usize) -> Error {
    Error::invalid(
        format!("a confusion matrix of {classes} classes cannot be drawn"),
        format!("draw {MOST_CLASSES} classes at most, or fewer of them"),
    )
}
