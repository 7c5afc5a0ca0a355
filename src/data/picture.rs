//! Pictures: PNG files and those of IDX files, brought to the size and the colours that a model works with.

use super::features::Features;
use super::idx::{Element, Idx};
use crate::error::{Error, Result};
use crate::shape::Shape;
use png::{ColorType, Decoder, DecodingError, Limits, Transformations};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

/// How many numbers a pixel has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Colours {
    /// One: its brightness.
    Grey,
    /// Three: red, green and blue.
    Rgb,
}

impl Colours {
    /// 1 or 3.
    pub fn channels(self) -> usize {
        match self {
            Colours::Grey => 1,
            Colours::Rgb => 3,
        }
    }
}

/// One picture: rows of pixels, each one byte or three, 0 dark, 255 bright.
///
/// ```
/// use handgrad::data::{Colours, Picture};
/// let picture = Picture::new(2, 2, Colours::Grey, vec![0, 100, 200, 100])?;
/// assert_eq!(picture.resized(1, 1)?.bytes(), [100]);
/// assert_eq!(picture.inverted().bytes(), [255, 155, 55, 155]);
/// # Ok::<(), handgrad::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    height: usize,
    width: usize,
    colours: Colours,
    bytes: Vec<u8>,
}

/// No model looks at larger pictures, and no file may ask for them.
const MAX_BYTES: usize = 1 << 28;

impl Picture {
    /// From pixels, row by row.
    ///
    /// # Errors
    /// No pixel, or another number of bytes than that size has.
    pub fn new(height: usize, width: usize, colours: Colours, bytes: Vec<u8>) -> Result<Picture> {
        let size = Shape::new(&[height, width, colours.channels()])?.len();
        if size == 0 || size != bytes.len() {
            return Err(Error::data(
                format!("{} bytes are not a picture of {height} × {width} ({colours:?})", bytes.len()),
                "give one byte for each grey pixel, three for each coloured one",
            ));
        }
        Ok(Picture { height, width, colours, bytes })
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// What a pixel has.
    pub fn colours(&self) -> Colours {
        self.colours
    }

    /// The pixels, row by row.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Reads a PNG file. 16-bit samples are cut to 8, palettes become colours, transparent parts stand before white.
    /// It is grey if the file says so, whatever its colours are.
    ///
    /// # Errors
    /// The system cannot read it, it is no whole and correct PNG file, or it would unpack to more than four times its
    /// size and 64 MiB.
    pub fn read_png(path: impl AsRef<Path>) -> Result<Picture> {
        let path = path.as_ref();
        let failed = |source| Error::Io { action: "read", path: path.to_path_buf(), source };
        let file = File::open(path).map_err(failed)?;
        let about = file.metadata().map_err(failed)?;
        if about.is_dir() {
            return Err(failed(std::io::ErrorKind::IsADirectory.into()));
        }
        let on_disk = about.len();
        let room = usize::try_from(on_disk).unwrap_or(usize::MAX).saturating_mul(4).saturating_add(60 << 20);
        let file = BufReader::new(file.take(on_disk));

        let mut decoder = Decoder::new_with_limits(file, Limits { bytes: room / 2 });
        decoder.set_transformations(Transformations::normalize_to_color8());
        decoder.set_ignore_text_chunk(true);
        decoder.set_ignore_iccp_chunk(true);
        let mut reader = decoder.read_info().map_err(|e| no_png(path, &e))?;
        let (width, height) = (reader.info().width as usize, reader.info().height as usize);
        let size = reader.output_buffer_size().filter(|&n| n <= (room / 4).min(MAX_BYTES));
        let Some(size) = size else {
            return Err(Error::format(
                path,
                format!("a picture of {width} × {height}, which so small a file is not trusted to hold"),
                "save the picture smaller: models look at some hundred pixels, not at thousands",
            ));
        };
        let mut bytes = vec![0; size];
        let frame = reader.next_frame(&mut bytes).map_err(|e| no_png(path, &e))?;
        bytes.truncate(frame.buffer_size());
        let (colours, bytes) = match frame.color_type {
            ColorType::Grayscale => (Colours::Grey, bytes),
            ColorType::GrayscaleAlpha => (Colours::Grey, before_white::<2>(&bytes)),
            ColorType::Rgba => (Colours::Rgb, before_white::<4>(&bytes)),
            ColorType::Rgb | ColorType::Indexed => (Colours::Rgb, bytes),
        };
        Picture::new(height, width, colours, bytes)
            .map_err(|e| Error::format(path, e.to_string(), "save it again"))
    }

    /// The pictures of an IDX file: `[n, rows, columns]`, or `[rows, columns]` for one.
    ///
    /// # Errors
    /// Those of [`Idx::read`]; it holds labels or something else, and no bytes of pictures.
    pub fn read_idx(path: impl AsRef<Path>) -> Result<Vec<Picture>> {
        let path = path.as_ref();
        let idx = Idx::read(path)?;
        let (shape, element) = (idx.shape(), idx.element());
        let (height, width) = match (shape.dims(), element) {
            (&[_, h, w] | &[h, w], Element::U8) => (h, w),
            _ => {
                return Err(Error::format(
                    path,
                    format!("an array of shape {shape} and type {element:?}, and no pictures"),
                    "give a file of bytes with three dimensions: number, rows, columns",
                ));
            }
        };
        let one = |bytes: &[u8]| Picture::new(height, width, Colours::Grey, bytes.to_vec());
        idx.bytes().chunks_exact(height * width).map(one).collect()
    }

    /// In other colours. Brightness is 0.299 red + 0.587 green + 0.114 blue (ITU-R BT.601).
    pub fn in_colours(self, colours: Colours) -> Picture {
        let bytes = match (self.colours, colours) {
            (Colours::Grey, Colours::Rgb) => self.bytes.iter().flat_map(|&b| [b; 3]).collect(),
            (Colours::Rgb, Colours::Grey) => {
                let brightness = |p: &[u8]| {
                    ((299 * u32::from(p[0]) + 587 * u32::from(p[1]) + 114 * u32::from(p[2]) + 500) / 1000)
                        as u8
                };
                self.bytes.chunks_exact(3).map(brightness).collect()
            }
            _ => self.bytes,
        };
        Picture { colours, bytes, ..self }
    }

    /// Whether every pixel is grey, whatever it is made of.
    pub fn is_grey(&self) -> bool {
        self.colours == Colours::Grey || self.bytes.chunks_exact(3).all(|p| p[0] == p[1] && p[1] == p[2])
    }

    /// Dark made bright and bright dark: ink on paper as MNIST has it, light on dark.
    pub fn inverted(mut self) -> Picture {
        self.bytes.iter_mut().for_each(|b| *b = 255 - *b);
        self
    }

    /// Another size. Each new pixel is the mean of the area that it covers in the old picture.
    ///
    /// # Errors
    /// A size of 0, or of more than 2²⁸ bytes.
    pub fn resized(&self, height: usize, width: usize) -> Result<Picture> {
        let channels = self.colours.channels();
        let size = height.checked_mul(width).and_then(|n| n.checked_mul(channels));
        let between = self.height.checked_mul(width).and_then(|n| n.checked_mul(channels * 4));
        if height == 0
            || width == 0
            || size.is_none_or(|n| n > MAX_BYTES)
            || between.is_none_or(|n| n > MAX_BYTES)
        {
            return Err(Error::invalid(
                format!("a picture cannot become {height} × {width} pixels"),
                "give a height and a width such as 28 and 28",
            ));
        }
        if (height, width) == (self.height, self.width) {
            return Ok(self.clone());
        }
        let old: Vec<f32> = self.bytes.iter().map(|&b| f32::from(b)).collect();
        let rows = squeeze(&old, self.height, self.width, width, channels);
        let all = squeeze(&rows, 1, self.height, height, width * channels);
        let bytes = all.iter().map(|v| v.round() as u8).collect();
        Ok(Picture { height, width, colours: self.colours, bytes })
    }

    /// Pictures of one size and colours as a model's input: bytes worth 1/255, samples `[height, width, channels]`.
    ///
    /// # Errors
    /// No picture, or pictures that differ.
    pub fn features(pictures: &[Picture]) -> Result<Features> {
        let Some(first) = pictures.first() else {
            return Err(Error::data("no picture is given", "give at least one"));
        };
        let kind = |p: &Picture| (p.height, p.width, p.colours);
        if let Some(i) = pictures.iter().position(|p| kind(p) != kind(first)) {
            return Err(Error::data(
                format!("picture {i} is {}, picture 0 {}", pictures[i].describe(), first.describe()),
                "bring them to one size with `resized` and to one kind with `in_colours`",
            ));
        }
        let sample = Shape::new(&[first.height, first.width, first.colours.channels()])?;
        let bytes = pictures.iter().flat_map(|p| &p.bytes).copied().collect();
        Ok(Features::Bytes { sample, bytes, scale: 1.0 / 255.0 })
    }

    /// As errors and notes say it: `28 × 28, grey`.
    pub fn describe(&self) -> String {
        let colours = match self.colours {
            Colours::Grey => "grey",
            Colours::Rgb => "coloured",
        };
        format!("{} × {}, {colours}", self.height, self.width)
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// Along the middle axis of `[outer, from, inner]`: each of `to` new places is the mean of what it covers.
fn squeeze(values: &[f32], outer: usize, from: usize, to: usize, inner: usize) -> Vec<f32> {
    let mut out = vec![0f32; outer * to * inner];
    let step = from as f64 / to as f64;
    for j in 0..to {
        let (begin, end) = (j as f64 * step, (j + 1) as f64 * step);
        for k in begin as usize..from.min(end.ceil() as usize) {
            let share = ((end.min((k + 1) as f64) - begin.max(k as f64)) / step) as f32;
            if share <= 0.0 {
                continue;
            }
            for o in 0..outer {
                let (to_row, from_row) = ((o * to + j) * inner, (o * from + k) * inner);
                let new = &mut out[to_row..to_row + inner];
                new.iter_mut().zip(&values[from_row..]).for_each(|(n, v)| *n += share * v);
            }
        }
    }
    out
}

/// Pixels of N bytes, the last of them opacity, before a white wall.
fn before_white<const N: usize>(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() / N * (N - 1));
    for pixel in bytes.chunks_exact(N) {
        let opacity = u32::from(pixel[N - 1]);
        let over = |&b: &u8| ((u32::from(b) * opacity + 255 * (255 - opacity) + 127) / 255) as u8;
        out.extend(pixel[..N - 1].iter().map(over));
    }
    out
}

fn no_png(path: &Path, e: &DecodingError) -> Error {
    let hint = "give a PNG file, or save the picture as PNG again";
    match e {
        DecodingError::LimitsExceeded => Error::format(
            path,
            "it unpacks to more than so small a file is trusted to hold",
            "save the picture smaller: models look at some hundred pixels, not at thousands",
        ),
        e => {
            let what = e.to_string();
            let what = what.lines().next().unwrap_or("it is damaged");
            Error::format(path, format!("not a PNG picture: {what}"), hint)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write_png(
        path: &Path,
        width: u32,
        height: u32,
        colour: ColorType,
        depth: png::BitDepth,
        bytes: &[u8],
    ) {
        let mut encoder = png::Encoder::new(File::create(path).unwrap(), width, height);
        encoder.set_color(colour);
        encoder.set_depth(depth);
        if colour == ColorType::Indexed {
            encoder.set_palette(&[255, 0, 0, 0, 0, 255][..]);
        }
        encoder.write_header().unwrap().write_image_data(bytes).unwrap();
    }

    #[test]
    fn every_kind_of_png() {
        use png::BitDepth::{Eight, One, Sixteen};
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.png");
        type Case = (ColorType, png::BitDepth, &'static [u8], Colours, &'static [u8]);
        let cases: [Case; 6] = [
            (ColorType::Grayscale, Eight, &[7, 200], Colours::Grey, &[7, 200]),
            (ColorType::Grayscale, Sixteen, &[7, 255, 200, 0], Colours::Grey, &[7, 200]),
            (ColorType::Grayscale, One, &[0b0100_0000], Colours::Grey, &[0, 255]),
            (ColorType::GrayscaleAlpha, Eight, &[10, 255, 10, 0], Colours::Grey, &[10, 255]),
            (ColorType::Rgba, Eight, &[1, 2, 3, 255, 0, 0, 0, 51], Colours::Rgb, &[1, 2, 3, 204, 204, 204]),
            (ColorType::Indexed, Eight, &[1, 0], Colours::Rgb, &[0, 0, 255, 255, 0, 0]),
        ];
        for (colour, depth, bytes, colours, pixels) in cases {
            write_png(&path, 2, 1, colour, depth, bytes);
            let picture = Picture::read_png(&path).unwrap();
            assert_eq!((picture.height(), picture.width(), picture.colours()), (1, 2, colours), "{colour:?}");
            assert_eq!(picture.bytes(), pixels, "{colour:?} {depth:?}");
        }
    }

    #[test]
    fn what_is_no_picture_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.png");
        write_png(&path, 40, 40, ColorType::Grayscale, png::BitDepth::Eight, &[9; 1600]);
        let good = std::fs::read(&path).unwrap();
        let mut giant = good.clone();
        giant[16..24].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]); // 65,536 × 65,536, with a wrong checksum
        for bytes in [b"".to_vec(), b"GIF89a".to_vec(), good[..good.len() / 2].to_vec(), giant] {
            std::fs::write(&path, bytes).unwrap();
            let e = Picture::read_png(&path).unwrap_err();
            assert!(e.to_string().contains("p.png: not a PNG picture") && e.hint().is_some(), "{e}");
        }
        write_png(&path, 1 << 15, 1 << 10, ColorType::Grayscale, png::BitDepth::One, &vec![0; 1 << 22]);
        let e = Picture::read_png(&path).unwrap_err().to_string();
        assert!(e.contains("32768 × 1024"), "{e}");
        assert!(Picture::read_png(folder.path()).unwrap_err().to_string().contains("directory"));
    }

    #[test]
    fn a_new_pixel_is_the_mean_of_what_it_covers() {
        let ramp = Picture::new(2, 3, Colours::Grey, vec![0, 30, 60, 90, 120, 150]).unwrap();
        assert_eq!(ramp.resized(1, 3).unwrap().bytes(), [45, 75, 105]);
        assert_eq!(ramp.resized(2, 2).unwrap().bytes(), [10, 50, 100, 140]); // ⅔ · 0 + ⅓ · 30, ⅓ · 30 + ⅔ · 60
        assert_eq!(ramp.resized(4, 6).unwrap().bytes()[..6], [0, 0, 30, 30, 60, 60]);
        let rgb = Picture::new(1, 2, Colours::Rgb, vec![0, 10, 20, 100, 110, 120]).unwrap();
        assert_eq!(rgb.resized(1, 1).unwrap().bytes(), [50, 60, 70]);
        assert!(ramp.resized(0, 2).is_err() && ramp.resized(1 << 40, 1 << 40).is_err());
        let flat = Picture::new(37, 23, Colours::Grey, vec![77; 37 * 23]).unwrap();
        assert!(flat.resized(11, 29).unwrap().bytes().iter().all(|&b| b == 77), "no rounding is lost");
    }

    #[test]
    fn colours_and_back() {
        let red = Picture::new(1, 1, Colours::Rgb, vec![255, 0, 0]).unwrap();
        assert!(!red.is_grey());
        let grey = red.in_colours(Colours::Grey);
        assert_eq!((grey.bytes(), grey.colours()), (&[76][..], Colours::Grey));
        let back = grey.in_colours(Colours::Rgb);
        assert!(back.is_grey());
        assert_eq!(back.in_colours(Colours::Grey).bytes(), [76]);
    }

    #[test]
    fn pictures_of_an_idx_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.gz");
        Idx::new([2, 1, 2], Element::U8, vec![1, 2, 3, 4]).unwrap().write(&path).unwrap();
        let pictures = Picture::read_idx(&path).unwrap();
        assert_eq!((pictures.len(), pictures[1].bytes()), (2, &[3, 4][..]));
        let x = Picture::features(&pictures).unwrap();
        assert_eq!((x.sample().dims(), x.len()), (&[1, 2, 1][..], 2));
        Idx::new([2], Element::U8, vec![1, 2]).unwrap().write(&path).unwrap();
        assert!(Picture::read_idx(&path).unwrap_err().to_string().contains("no pictures"));
        let other = Picture::new(1, 1, Colours::Grey, vec![0]).unwrap();
        let e = Picture::features(&[pictures[0].clone(), other]).unwrap_err();
        assert_eq!(e.to_string(), "picture 1 is 1 × 1, grey, picture 0 1 × 2, grey");
    }
}
