//! Loss and metrics over the epochs: one panel for each, training and validation together.

use super::Picture;
use super::axis::{Axis, FAR};
use super::canvas::{Align, Area, Canvas};
use super::lines::{self, Entry, Legend, Line, MARGIN};
use super::palette::{FAINT, Look};
use crate::error::{Error, Result};
use crate::model::History;

/// The curves of one training; see [`curves`].
#[derive(Clone, Debug)]
pub struct Curves<'a> {
    history: &'a History,
    title: String,
    only: Vec<String>,
    epoch: String,
    legend: [String; 2],
}

/// Loss and metrics of every epoch. A figure and the same with `val_` in front share a panel: the first as a whole line
/// with discs, the second dashed with squares. Where a figure is missing or no number, the line has a gap, and a note
/// counts them.
///
/// ```
/// use handgrad::{data::Dataset, layers::Dense, model::{Compile, Fit}, viz, Sequential};
/// let or = Dataset::from_rows(&[[0., 0.], [0., 1.], [1., 0.], [1., 1.]], &[[0.], [1.], [1.], [1.]])?;
/// let mut model = Sequential::new().with(Dense::new(1));
/// model.compile(Compile::new("mse").metric("accuracy"))?;
/// let history = model.fit(&or, Fit::new().epochs(20).validation(&or).verbose(0))?;
/// let folder = tempfile::tempdir().unwrap();
/// viz::curves(&history).title("OR").draw()?.save(folder.path().join("curves.svg"))?;
/// viz::curves(&history).only(&["loss"]).legend("훈련", "검증").epoch("에포크").draw()?;
/// # Ok::<(), handgrad::Error>(())
/// ```
pub fn curves(history: &History) -> Curves<'_> {
    Curves {
        history,
        title: String::new(),
        only: Vec::new(),
        epoch: "epoch".into(),
        legend: ["training".into(), "validation".into()],
    }
}

const PANEL: (f64, f64) = (400.0, 280.0);
/// Around a panel's axes: left for numbers and a name, below for the same.
const LEFT: f64 = 78.0;
const BELOW: f64 = 54.0;
/// With more epochs than this, points have no marks of their own.
const MARKED: usize = 40;
const MOST_PANELS: usize = 30;

/// Figures of each epoch: none where nobody measured them.
struct Panel {
    name: String,
    training: Vec<f64>,
    validation: Vec<f64>,
}

impl Curves<'_> {
    /// What stands above the picture, in any language.
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = title.into();
        self
    }

    /// Draws these figures alone, in this order, each with its `val_`: `["loss"]`. All by default.
    pub fn only(mut self, names: &[&str]) -> Self {
        self.only = names.iter().map(|name| name.to_string()).collect();
        self
    }

    /// What the horizontal axis is called; `epoch` by default.
    pub fn epoch(mut self, name: impl Into<String>) -> Self {
        self.epoch = name.into();
        self
    }

    /// What the legend calls the two lines; `training` and `validation` by default.
    pub fn legend(mut self, training: impl Into<String>, validation: impl Into<String>) -> Self {
        self.legend = [training.into(), validation.into()];
        self
    }

    /// Draws them.
    ///
    /// # Errors
    /// No epoch; a figure that nobody measured; more than 30 figures.
    pub fn draw(&self) -> Result<Picture> {
        let panels = self.panels()?;
        let epochs = self.history.epochs.len();
        let columns = if panels.len() == 4 { 2 } else { panels.len().min(3) };
        let rows = panels.len().div_ceil(columns);
        let width = MARGIN + columns as f64 * (LEFT + PANEL.0 + MARGIN);
        let inner = width - 2.0 * MARGIN;

        let both =
            [panels.iter().any(|p| !p.training.is_empty()), panels.iter().any(|p| !p.validation.is_empty())];
        let looks = [Look::number(0), Look::number(1)];
        let marked = epochs <= MARKED;
        let entries = (0..2).filter(|&i| both[i]).map(|i| Entry {
            name: self.legend[i].clone(),
            look: looks[i],
            line: true,
            mark: marked,
        });
        let legend = Legend::new(entries.collect(), inner - LEFT);
        let missing: usize = panels
            .iter()
            .flat_map(|p| [&p.training, &p.validation])
            .flatten()
            .filter(|v| v.is_nan() || v.abs() > FAR)
            .count();
        let note = match missing {
            0 => String::new(),
            1 => "1 figure is missing or no number".into(),
            n => format!("{n} figures are missing or no numbers"),
        };
        let title = lines::title_height(&self.title);
        let top = MARGIN + title + legend.height() + 14.0;
        let below = if note.is_empty() { 0.0 } else { 20.0 };
        let height = top + rows as f64 * (PANEL.1 + BELOW + 16.0) - 10.0 + below;
        let mut canvas = Canvas::new(&self.title, width, height)?;
        lines::title(&mut canvas, &self.title);
        legend.draw(&mut canvas, MARGIN + LEFT, MARGIN + title, inner - LEFT);
        for (i, panel) in panels.iter().enumerate() {
            let left = MARGIN + LEFT + (i % columns) as f64 * (LEFT + PANEL.0 + MARGIN);
            let top = top + (i / columns) as f64 * (PANEL.1 + BELOW + 16.0);
            let area = Area::sized((left, top), PANEL.0, PANEL.1);
            let room = if epochs == 1 { 0.5 } else { 0.025 * (epochs - 1) as f64 };
            let x = Axis::counts(&self.epoch, 1.0 - room, epochs as f64 + room);
            let y = Axis::around(&panel.name, panel.training.iter().chain(&panel.validation).copied());
            let axes = canvas.axes(area, x, y)?;
            for (values, look) in [(&panel.training, looks[0]), (&panel.validation, looks[1])] {
                let points: Vec<(f64, f64)> =
                    values.iter().enumerate().map(|(i, &v)| ((i + 1) as f64, v)).collect();
                lines::draw(&mut canvas, &axes, &Line { points: &points, look, marked });
            }
            let numbers = [&panel.training, &panel.validation].into_iter().flatten();
            if !numbers.clone().any(|v| v.abs() <= FAR) {
                let centre = (left + PANEL.0 / 2.0, top + PANEL.1 / 2.0);
                canvas.text(centre, "no numbers", 15.0, FAINT, Align::Center);
            }
        }
        let at = (width - MARGIN, height - 14.0);
        canvas.text_in(at, inner, &note, 12.0, FAINT, Align::Right);
        Ok(canvas.finish())
    }

    fn panels(&self) -> Result<Vec<Panel>> {
        let epochs = &self.history.epochs;
        if epochs.is_empty() {
            return Err(Error::data("the history has no epochs to draw", "train for at least one epoch"));
        }
        let mut known: Vec<&str> = Vec::new();
        for (name, _) in epochs.iter().flat_map(|e| &e.scores.0) {
            let name = name.strip_prefix("val_").unwrap_or(name);
            if !known.contains(&name) {
                known.push(name);
                if known.len() > MOST_PANELS && self.only.is_empty() {
                    return Err(Error::data(
                        format!("the history has more than {MOST_PANELS} figures"),
                        "draw a few of them: `.only(&[\"loss\", \"accuracy\"])`",
                    ));
                }
            }
        }
        let names: Vec<&str> = match self.only.is_empty() {
            true => known.clone(),
            false => self.only.iter().take(MOST_PANELS).map(String::as_str).collect(),
        };
        if let Some(name) = names.iter().find(|name| !known.contains(name)) {
            return Err(Error::unknown("figure of the history", name, &known));
        }
        if names.is_empty() {
            return Err(Error::data("the history has no figures to draw", "compile the model with a metric"));
        }
        let all = |name: &str| {
            let values: Vec<Option<f64>> = epochs.iter().map(|e| e.scores.get(name)).collect();
            match values.iter().any(Option::is_some) {
                true => values.into_iter().map(|v| v.unwrap_or(f64::NAN)).collect(),
                false => Vec::new(),
            }
        };
        let panel = |name: &&str| Panel {
            name: name.to_string(),
            training: all(name),
            validation: all(&format!("val_{name}")),
        };
        Ok(names.iter().map(panel).collect())
    }
}
