//! What a layer has learned to look for, and where it finds it.

use super::Picture;
use super::images::{Shade, image_shape};
use super::palette::{FAINT, INK, diverging, viridis};
use super::tiles::{Bar, Sheet, Tile};
use crate::data::Features;
use crate::error::{Error, Result};
use crate::model::Sequential;
use crate::shape::Shape;

/// The kernels of a layer; see [`filters`].
pub struct Filters<'a> {
    model: &'a mut Sequential,
    layer: String,
    title: String,
    most: usize,
}

/// The kernel of a layer as images, one for each filter or unit: white is 0, vermillion is above, blue below.
///
/// A convolution over images `[kh, kw, C, F]` gives F of them for each input channel, in a row for each channel; of the
/// channels the first 16 are drawn. A convolution over sequences `[k, C, F]` gives F images of `k × C`. A dense layer gives
/// each unit's weights in the shape of the model's input, where that is an image.
///
/// ```
/// use handgrad::{layers::{Conv2D, Dense, Flatten}, viz, Sequential};
/// let mut model = Sequential::new().with(Conv2D::new(8, 3)).with(Flatten::new()).with(Dense::new(2));
/// model.build([6, 6, 1])?;
/// let folder = tempfile::tempdir().unwrap();
/// viz::filters(&mut model, "conv2d").title("필터").draw()?.save(folder.path().join("filters.svg"))?;
/// # Ok::<(), handgrad::Error>(())
/// ```
pub fn filters<'a>(model: &'a mut Sequential, layer: &str) -> Filters<'a> {
    Filters { model, layer: layer.to_string(), title: String::new(), most: 64 }
}

/// What a layer makes of one sample; see [`feature_maps`].
pub struct FeatureMaps<'a> {
    model: &'a mut Sequential,
    layer: String,
    x: &'a Features,
    index: usize,
    title: String,
    most: usize,
}

/// The output of a layer for sample `index` of `x`: an image for each channel, all with one scale of colours, after the
/// sample itself where that is an image. Units without space are drawn as cells in rows.
///
/// ```
/// use handgrad::{data::Features, layers::{Conv2D, Dense, Flatten}, viz, Sequential};
/// let mut model = Sequential::new().with(Conv2D::new(8, 3)).with(Flatten::new()).with(Dense::new(2));
/// model.build([6, 6, 1])?;
/// let x = Features::F32 { sample: [6, 6, 1].into(), values: (0..36).map(|i| i as f32 / 36.0).collect() };
/// let folder = tempfile::tempdir().unwrap();
/// viz::feature_maps(&mut model, "conv2d", &x, 0).draw()?.save(folder.path().join("maps.png"))?;
/// # Ok::<(), handgrad::Error>(())
/// ```
pub fn feature_maps<'a>(
    model: &'a mut Sequential,
    layer: &str,
    x: &'a Features,
    index: usize,
) -> FeatureMaps<'a> {
    FeatureMaps { model, layer: layer.to_string(), x, index, title: String::new(), most: 64 }
}

/// Input channels that are drawn of one convolution.
const MOST_CHANNELS: usize = 16;

impl Filters<'_> {
    /// What stands above the picture, in any language; by default, the layer's name.
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = title.into();
        self
    }

    /// Draws this many filters at most; 64 by default.
    pub fn most(mut self, most: usize) -> Self {
        self.most = most.clamp(1, 1000);
        self
    }

    /// Draws them.
    ///
    /// # Errors
    /// The model is not built; no layer has that name; the layer has no kernel that can be seen as images.
    pub fn draw(self) -> Result<Picture> {
        let names: Vec<&str> = self.model.layer_names();
        if !names.contains(&self.layer.as_str()) {
            return Err(Error::unknown("layer", &self.layer, &names));
        }
        let Some(kernel) = self.model.weight(&format!("{}/kernel", self.layer))? else {
            return Err(Error::invalid(
                format!("layer `{}` has no kernel to draw", self.layer),
                "name a convolution or a dense layer; `summary` lists them",
            ));
        };
        let image = self.model.input_shape().and_then(|shape| image_shape(shape).ok());
        let (height, width, channels, filters) = self.extents(kernel.shape, image)?;
        let largest = kernel.values.iter().filter(|v| v.is_finite()).fold(0.0_f64, |m, v| m.max(v.abs()));
        let scale = if largest > 0.0 { largest } else { 1.0 };
        let (shown, seen) = (filters.min(self.most), channels.min(MOST_CHANNELS));
        let tile = |filter: usize, channel: usize| {
            let value = |p: usize| kernel.values[(p * channels + channel) * filters + filter];
            Tile {
                columns: width,
                pixels: (0..height * width).map(|p| diverging(value(p) / scale)).collect(),
                caption: if channel + 1 == seen { vec![(filter.to_string(), FAINT)] } else { Vec::new() },
                frame: None,
            }
        };
        // A row for each channel where there are several; else the filters in as many rows as they need.
        let per_row = if seen > 1 { shown } else { shown.min(16) };
        let tiles =
            (0..seen).flat_map(|c| (0..shown).map(move |f| (f, c))).map(|(f, c)| tile(f, c)).collect();
        let mut note = Vec::new();
        if shown < filters {
            note.push(format!("the first {shown} of {filters} filters"));
        }
        if seen > 1 {
            note.push("a row for each input channel".into());
        }
        if seen < channels {
            note.push(format!("the first {seen} of {channels} channels"));
        }
        let title = if self.title.is_empty() { self.layer.clone() } else { self.title.clone() };
        let side = if seen > 1 { 28.0 } else { 56.0 };
        let colour = |t: f64| diverging(2.0 * t - 1.0);
        let bar = Some(Bar { from: -scale, to: scale, colour: &colour });
        Sheet { title: &title, tiles, per_row, side, bar, note: note.join("; ") }.draw()
    }

    /// Height, width, channels and filters of a kernel.
    fn extents(
        &self,
        kernel: Shape,
        image: Option<(usize, usize, usize)>,
    ) -> Result<(usize, usize, usize, usize)> {
        match (kernel.dims(), image) {
            (&[h, w, c, f], _) => Ok((h, w, c, f)),
            (&[k, c, f], _) => Ok((k, c, 1, f)),
            (&[inputs, units], Some((h, w, c))) if h * w * c == inputs && h * w > 1 => Ok((h, w, c, units)),
            _ => Err(Error::invalid(
                format!("the kernel of layer `{}` is {kernel}: that is no image", self.layer),
                "name a convolution over images or sequences, or a dense layer right above an image",
            )),
        }
    }
}

impl FeatureMaps<'_> {
    /// What stands above the picture, in any language; by default, the layer's name and the sample's index.
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = title.into();
        self
    }

    /// Draws this many channels at most; 64 by default.
    pub fn most(mut self, most: usize) -> Self {
        self.most = most.clamp(1, 1000);
        self
    }

    /// Runs the model on the sample, and draws them.
    ///
    /// # Errors
    /// No such sample or layer; an output of four dimensions; those of [`Sequential::predict`].
    pub fn draw(self) -> Result<Picture> {
        let values = self.x.values_of(self.index);
        if values.is_empty() {
            return Err(Error::data(
                format!("sample {} was asked for, there are {}", self.index, self.x.len()),
                "indices go from 0 to one less than the number of samples",
            ));
        }
        let sample = self.x.sample();
        let one = Features::F32 { sample, values: values.clone() };
        let output = self.model.layer_output(&self.layer, &one)?;
        let shape = output.shape().sample();
        let (height, width, channels) = match *shape.dims() {
            [h, w, c] => (h, w, c),
            [t, c] => (t, c, 1),
            [n] => (n.div_ceil(32), n.min(32), 1),
            [] => (1, 1, 1),
            _ => {
                return Err(Error::invalid(
                    format!("the output of layer `{}` is {shape}: that is no set of images", self.layer),
                    "name a layer whose output has at most height, width and channels",
                ));
            }
        };
        let maps: Vec<f64> = output.to_vec().into_iter().map(f64::from).collect();
        let finite = maps.iter().filter(|v| v.is_finite());
        let (low, high) = finite.fold((0.0_f64, 0.0_f64), |(l, h), &v| (l.min(v), h.max(v)));
        let span = if high > low { high - low } else { 1.0 };
        let shown = channels.min(self.most);
        let map = |channel: usize| {
            let at = |p: usize| maps.get(p * channels + channel).map(|v| viridis((v - low) / span));
            Tile {
                columns: width,
                pixels: (0..height * width).map(|p| at(p).unwrap_or([255; 3])).collect(),
                caption: if channels > 1 { vec![(channel.to_string(), FAINT)] } else { Vec::new() },
                frame: None,
            }
        };
        let mut tiles: Vec<Tile> = Vec::new();
        if channels > 1
            && let Ok((_, columns, depth)) = image_shape(sample)
        {
            let pixels = Shade::spread(&values).pixels(&values, depth, false);
            tiles.push(Tile { columns, pixels, caption: vec![("x".into(), INK)], frame: None });
        }
        tiles.extend((0..shown).map(map));
        let title = match self.title.as_str() {
            "" => format!("{}, sample {}", self.layer, self.index),
            title => title.to_string(),
        };
        let note = match shown < channels {
            true => format!("the first {shown} of {channels} channels"),
            false => String::new(),
        };
        let side = if channels > 1 { 84.0 } else { 480.0 };
        let bar = Some(Bar { from: low, to: low + span, colour: &viridis });
        Sheet { title: &title, tiles, per_row: 9, side, bar, note }.draw()
    }
}
