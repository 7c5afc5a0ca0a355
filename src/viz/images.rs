//! Samples that are images: a strip of them with their labels, or one with its index.

use super::Picture;
use super::palette::{BLUE, Colour, INK, VERMILLION, grey};
use super::tiles::{Sheet, Tile};
use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::metrics::{class_of, label_of, predicted_rows};
use crate::shape::Shape;
use crate::tensor::Tensor;

/// A strip of images; see [`samples`].
#[derive(Clone, Debug)]
pub struct Samples<'a> {
    data: &'a Dataset,
    indices: Vec<usize>,
    title: String,
    classes: Vec<String>,
    predicted: Option<&'a Tensor>,
    columns: usize,
    inverted: bool,
}

/// Images of a dataset with their labels: the first ten, unless told otherwise. With
/// [`predictions`](Samples::predictions), what a model made of each stands below its label, and what it got wrong has a
/// frame.
///
/// Samples may be `[H, W]`, `[H, W, 1]`, `[H, W, 3]` (red, green, blue), `[H, W, 4]` (and opacity, left out), or square
/// images in one dimension, `[784]`. Numbers from 0 to 1, or to 255, are as bright as they say; others are spread from
/// black to white over all images drawn.
///
/// ```
/// use handgrad::{data::{Dataset, Features, Targets}, viz};
/// let bytes = (0..2 * 64).map(|i| (i * 2) as u8).collect();
/// let x = Features::Bytes { sample: [8, 8].into(), bytes, scale: 1.0 / 255.0 };
/// let data = Dataset::new(x, Targets::labels(vec![1, 0]))?;
/// let folder = tempfile::tempdir().unwrap();
/// let picture = viz::samples(&data).classes(&["티셔츠", "바지"]).title("처음 두 개").draw()?;
/// picture.save(folder.path().join("samples.png"))?;
/// assert!(picture.svg().contains("바지"));
/// # Ok::<(), handgrad::Error>(())
/// ```
pub fn samples(data: &Dataset) -> Samples<'_> {
    Samples {
        data,
        indices: (0..data.len().min(10)).collect(),
        title: String::new(),
        classes: Vec::new(),
        predicted: None,
        columns: 10,
        inverted: false,
    }
}

/// One image; see [`sample`].
#[derive(Clone, Debug)]
pub struct Sample<'a>(Samples<'a>);

/// One image of a dataset, large, with its index and its label.
///
/// ```
/// use handgrad::{data::{Dataset, Features, Targets}, viz};
/// let x = Features::F32 { sample: [2, 2].into(), values: vec![0., 1., 0., 1., 1., 0., 0., 1.] };
/// let data = Dataset::new(x, Targets::labels(vec![3, 0]))?;
/// assert!(viz::sample(&data, 1).draw()?.svg().contains("sample 1: 0"));
/// # Ok::<(), handgrad::Error>(())
/// ```
pub fn sample(data: &Dataset, index: usize) -> Sample<'_> {
    Sample(samples(data).indices(&[index]))
}

const MOST_IMAGES: usize = 1000;

impl<'a> Samples<'a> {
    /// Which samples, in which order.
    pub fn indices(mut self, indices: &[usize]) -> Self {
        self.indices = indices.to_vec();
        self
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

    /// What a model made of the dataset: `model.predict(data.x())?`.
    pub fn predictions(mut self, predictions: &'a Tensor) -> Self {
        self.predicted = Some(predictions);
        self
    }

    /// How many images stand in a row; ten by default.
    pub fn columns(mut self, columns: usize) -> Self {
        self.columns = columns;
        self
    }

    /// Whether what is large is dark, as ink on paper; `false` by default.
    pub fn inverted(mut self, inverted: bool) -> Self {
        self.inverted = inverted;
        self
    }

    /// Draws them.
    ///
    /// # Errors
    /// Samples that are no images; no sample, more than 1000, or one past the end; predictions of another dataset.
    pub fn draw(&self) -> Result<Picture> {
        let captions = |i: usize, label: Option<usize>, predicted: Option<usize>| {
            let mut lines: Vec<(String, Colour)> = Vec::new();
            lines.extend(self.label_text(i, label).map(|text| (text, INK)));
            lines.extend(predicted.map(|p| self.verdict(p, label)));
            lines
        };
        let tiles = self.tiles(&captions)?;
        let (title, per_row) = (self.title.as_str(), self.columns);
        Sheet { title, tiles, per_row, side: 84.0, bar: None, note: String::new() }.draw()
    }

    fn label_text(&self, i: usize, label: Option<usize>) -> Option<String> {
        match (label, self.data.y().values_of(i).as_slice()) {
            (Some(class), _) => Some(class_name(&self.classes, class)),
            (None, [value]) => Some(super::axis::short(f64::from(*value), f64::from(value.abs()) / 1000.0)),
            _ => None,
        }
    }

    /// What a model took the sample for: with a sign, and in a colour, for right or wrong.
    fn verdict(&self, predicted: usize, label: Option<usize>) -> (String, Colour) {
        let (sign, colour) = if label == Some(predicted) { ("✓", BLUE) } else { ("✗", VERMILLION) };
        (format!("{sign} {}", class_name(&self.classes, predicted)), colour)
    }

    fn tiles(
        &self,
        caption: &dyn Fn(usize, Option<usize>, Option<usize>) -> Vec<(String, Colour)>,
    ) -> Result<Vec<Tile>> {
        let data = self.data;
        let (_, columns, channels) = image_shape(data.sample_shape())?;
        if self.indices.is_empty() || self.indices.len() > MOST_IMAGES {
            return Err(Error::invalid(
                format!("{} samples cannot be drawn in one picture", self.indices.len()),
                format!("give between 1 and {MOST_IMAGES} indices"),
            ));
        }
        if let Some(i) = self.indices.iter().find(|&&i| i >= data.len()) {
            return Err(Error::data(
                format!("sample {i} was asked for, the dataset has {}", data.len()),
                format!("indices go from 0 to {}", data.len() - 1),
            ));
        }
        let predicted = self.predicted.map(|p| predicted_rows(p, data.len())).transpose()?;
        let images: Vec<Vec<f32>> = self.indices.iter().map(|&i| data.x().values_of(i)).collect();
        let shade = Shade::of(images.iter().flatten().copied());
        let tile = |(&i, image): (&usize, &Vec<f32>)| {
            let label = label_of(data.y(), i);
            let guess =
                predicted.as_ref().and_then(|(all, n)| class_of(all.get(i * n..(i + 1) * n).unwrap_or(&[])));
            let wrong = guess.is_some() && label.is_some() && guess != label;
            Tile {
                columns,
                pixels: shade.pixels(image, channels, self.inverted),
                caption: caption(i, label, guess),
                frame: wrong.then_some(VERMILLION),
            }
        };
        Ok(self.indices.iter().zip(&images).map(tile).collect())
    }
}

impl<'a> Sample<'a> {
    /// What stands above the picture, in any language; by default, `sample 17: Sneaker`.
    pub fn title(self, title: impl Into<String>) -> Self {
        Sample(self.0.title(title))
    }

    /// What the classes are called; by default, by their numbers.
    pub fn classes(self, names: &[impl AsRef<str>]) -> Self {
        Sample(self.0.classes(names))
    }

    /// What a model made of the dataset: `model.predict(data.x())?`.
    pub fn predictions(self, predictions: &'a Tensor) -> Self {
        Sample(self.0.predictions(predictions))
    }

    /// Whether what is large is dark, as ink on paper; `false` by default.
    pub fn inverted(self, inverted: bool) -> Self {
        Sample(self.0.inverted(inverted))
    }

    /// Draws it.
    ///
    /// # Errors
    /// As [`Samples::draw`].
    pub fn draw(&self) -> Result<Picture> {
        let all = &self.0;
        let guess = |_, label: Option<usize>, predicted: Option<usize>| {
            predicted.map(|p| all.verdict(p, label)).into_iter().collect()
        };
        let tiles = all.tiles(&guess)?;
        let index = all.indices[0];
        let label = all.label_text(index, label_of(all.data.y(), index));
        let title = match (all.title.as_str(), label) {
            ("", Some(label)) => format!("sample {index}: {label}"),
            ("", None) => format!("sample {index}"),
            (title, _) => title.to_string(),
        };
        Sheet { title: &title, tiles, per_row: 1, side: 280.0, bar: None, note: String::new() }.draw()
    }
}

/// Height, width and channels of an image.
pub(super) fn image_shape(sample: Shape) -> Result<(usize, usize, usize)> {
    let side = |n: usize| n.isqrt();
    let shape = match *sample.dims() {
        [h, w] => Some((h, w, 1)),
        [h, w, c @ (1 | 3 | 4)] => Some((h, w, c)),
        [n] if n > 1 && side(n) * side(n) == n => Some((side(n), side(n), 1)),
        _ => None,
    };
    shape.filter(|(h, w, _)| *h > 0 && *w > 0).ok_or_else(|| {
        Error::data(
            format!("samples of shape {sample} are no images"),
            "give them height and width, and one or three channels: `.reshape([28, 28])`",
        )
    })
}

/// How bright a number is.
pub(super) struct Shade {
    low: f32,
    high: f32,
}

impl Shade {
    fn of(values: impl Iterator<Item = f32>) -> Shade {
        let finite = values.filter(|v| v.is_finite());
        let (low, high) = finite.fold((0.0_f32, 0.0_f32), |(low, high), v| (low.min(v), high.max(v)));
        match (low >= 0.0, high) {
            (true, ..=1.0) => Shade { low: 0.0, high: 1.0 },
            (true, ..=255.0) => Shade { low: 0.0, high: 255.0 },
            _ => Shade { low, high },
        }
    }

    fn share(&self, v: f32) -> f64 {
        // In f64, where the distance of any two f32 is a number.
        (f64::from(v) - f64::from(self.low)) / (f64::from(self.high) - f64::from(self.low)).max(1e-300)
    }

    /// From black for the least to white for the greatest of `values`.
    pub(super) fn spread(values: &[f32]) -> Shade {
        let finite = values.iter().filter(|v| v.is_finite());
        let ends = finite.fold((f32::INFINITY, f32::NEG_INFINITY), |e, &v| (e.0.min(v), e.1.max(v)));
        if ends.0 <= ends.1 { Shade { low: ends.0, high: ends.1 } } else { Shade { low: 0.0, high: 1.0 } }
    }

    /// The pixels of an image: grey of one channel, the first three of more are red, green and blue. `inverted` grey is
    /// dark where the number is large.
    pub(super) fn pixels(&self, image: &[f32], channels: usize, inverted: bool) -> Vec<Colour> {
        let pixel = |p: &[f32]| match *p {
            [r, g, b, ..] => [r, g, b].map(|v| grey(self.share(v))[0]),
            _ if inverted => grey(1.0 - self.share(p[0])),
            _ => grey(self.share(p[0])),
        };
        image.chunks_exact(channels).map(pixel).collect()
    }
}

/// What a class is called: its name, or its number.
pub(super) fn class_name(names: &[String], class: usize) -> String {
    names.get(class).cloned().unwrap_or_else(|| class.to_string())
}
