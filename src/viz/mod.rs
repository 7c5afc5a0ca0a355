//! Pictures: how a training went, what a model sees, where it errs. Feature `viz`.
//!
//! | function | shows |
//! |---|---|
//! | [`curves`] | loss and metrics over the epochs, training and validation together |
//! | [`samples`], [`sample`] | images with their labels, and with what a model made of them; one image with its index |
//! | [`confusion`] | which class was taken for which |
//! | [`activations`] | activation functions, and their derivatives |
//! | [`boundary`] | what a model with two inputs says to every pair of them |
//! | [`filters`], [`feature_maps`] | what a layer has learned to look for, and where it finds it in an image |
//! | [`canvas`] | axes, lines, marks and text for a picture of one's own |
//!
//! Each gives something with a few settings, whose `draw` makes a [`Picture`], which is saved as `.svg` or `.png`.
//! Labels may be in any language: a font with Latin, Greek, Cyrillic, kana and Hangul ships with the crate, and nothing
//! is asked of the machine. Colours can be told apart by colour-blind people, and are never all that says something.
//!
//! ```
//! use handgrad::{model::{Epoch, History, Scores}, viz};
//! let epoch = |loss, val_loss| Epoch {
//!     seconds: 1.0,
//!     scores: Scores(vec![("loss".into(), loss), ("val_loss".into(), val_loss)]),
//! };
//! let history = History { epochs: vec![epoch(0.7, 0.6), epoch(0.4, 0.5), epoch(0.3, 0.5)] };
//! let folder = tempfile::tempdir().unwrap();
//! let picture = viz::curves(&history).title("패션 MNIST 모델").draw()?;
//! picture.save(folder.path().join("curves.png"))?;
//! assert!(picture.svg().contains("패션 MNIST 모델"));
//! # Ok::<(), handgrad::Error>(())
//! ```

mod activations;
mod axis;
mod boundary;
pub mod canvas;
mod confusion;
mod curves;
mod filters;
mod font;
mod images;
mod lines;
pub mod palette;
mod picture;
mod tiles;

pub use activations::{Activations, activations};
pub use axis::{Axes, Axis};
pub use boundary::{Boundary, boundary};
pub use confusion::{Confusion, confusion};
pub use curves::{Curves, curves};
pub use filters::{FeatureMaps, Filters, feature_maps, filters};
pub use images::{Sample, Samples, sample, samples};
pub use picture::{Format, Picture};
