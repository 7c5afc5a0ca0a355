//! A picture that is ready: as SVG, as PNG, as a file.

use super::font;
use crate::data::AtomicFile;
use crate::error::{Error, Result};
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree};
use std::path::Path;

/// A picture, whatever it shows.
///
/// ```
/// use handgrad::{Activation, viz};
/// let folder = tempfile::tempdir().unwrap();
/// let picture = viz::activations(&[Activation::Relu, Activation::Tanh]).draw()?;
/// picture.save(folder.path().join("functions.svg"))?;
/// picture.save(folder.path().join("functions.png"))?;
/// # Ok::<(), handgrad::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    pub(super) svg: String,
    /// Characters that the font that ships does not have.
    pub(super) foreign: Vec<char>,
    pub(super) width: u32,
    pub(super) height: u32,
}

/// PNG pixels to a pixel of the picture: sharp on screens of today, and in print.
const SCALE: u32 = 2;

impl Picture {
    /// Width and height in pixels, as SVG has them. A PNG has twice as many.
    pub fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    /// The picture as SVG. Text is text, so it can be searched and copied; whoever shows it needs a font for it.
    pub fn svg(&self) -> &str {
        &self.svg
    }

    /// The picture as a PNG, with the font that ships; what that does not have, with the system's.
    ///
    /// # Errors
    /// A letter that no font of this machine has.
    pub fn png(&self) -> Result<Vec<u8>> {
        let fonts = font::database(&self.foreign).map_err(|c| {
            Error::invalid(
                format!("no font of this machine has the letter `{c}`, so the picture cannot be a PNG"),
                "write an .svg, or install a font for that language (in Debian: fonts-noto-cjk, fonts-noto)",
            )
        })?;
        let failed =
            |why: String| Error::invalid(format!("the picture cannot be a PNG: {why}"), "write an .svg");
        let options = Options { font_family: "Pretendard".into(), fontdb: fonts, ..Options::default() };
        let tree = Tree::from_str(&self.svg, &options).map_err(|e| failed(e.to_string()))?;
        let mut pixels = Pixmap::new(self.width * SCALE, self.height * SCALE)
            .ok_or_else(|| failed(format!("{} × {} pixels are too many", self.width, self.height)))?;
        let scale = SCALE as f32;
        resvg::render(&tree, Transform::from_scale(scale, scale), &mut pixels.as_mut());
        pixels.encode_png().map_err(|e| failed(e.to_string()))
    }

    /// Writes the picture, whole or not at all: as its ending says, `.svg` or `.png`.
    ///
    /// # Errors
    /// Another ending; those of [`png`](Picture::png); the system cannot write the file.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let png;
        let bytes = match Format::of(path)? {
            Format::Svg => self.svg.as_bytes(),
            Format::Png => {
                png = self.png()?;
                &png
            }
        };
        AtomicFile::write(path, bytes)
    }
}

/// What a picture's file can be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Format {
    /// Vectors and text.
    Svg,
    /// Pixels.
    Png,
}

impl Format {
    /// The format that a file's ending says: `.svg` or `.png`, in small letters or capitals.
    ///
    /// # Errors
    /// Another ending, or none.
    ///
    /// ```
    /// use handgrad::viz::Format;
    /// assert_eq!(Format::of("curves.svg")?, Format::Svg);
    /// assert!(Format::of("curves.jpg").is_err());
    /// # Ok::<(), handgrad::Error>(())
    /// ```
    pub fn of(path: impl AsRef<Path>) -> Result<Format> {
        let path = path.as_ref();
        let ending = path.extension().map(|e| e.to_string_lossy().to_lowercase());
        match ending.as_deref() {
            Some("svg") => Ok(Format::Svg),
            Some("png") => Ok(Format::Png),
            _ => Err(Error::invalid(
                format!("`{}` does not say which kind of picture it is to be", path.display()),
                "end its name in .svg or .png",
            )),
        }
    }
}
