//! Data: what a model learns from, in the program's own memory.
//!
//! A [`Dataset`] pairs [`Features`] with [`Targets`], checked once when it is made. [`mnist`] and [`fashion_mnist`]
//! read pictures from [`Idx`] files, [`Table`] rows from CSV, [`ImageFolder`] PNG files from a folder for each class.
//! [`Preprocessing`] turns a table's columns into numbers; [`Meaning`] says what a trained model's numbers stand for.

mod atomic;
mod dataset;
mod features;
mod idx;
mod image_folder;
mod images;
mod k_fold;
mod meaning;
mod npy;
mod picture;
mod preprocessing;
mod sampling;
mod table;

pub use atomic::AtomicFile;
pub use dataset::{Dataset, TestSize};
pub use features::{Features, Targets};
pub use idx::{Element, Idx};
pub use image_folder::{ImageFolder, ImageFolderOptions};
pub use images::{ImageDataset, fashion_mnist, mnist};
pub use k_fold::KFold;
pub use meaning::{Classes, Input, Meaning, Output};
pub use npy::Array;
pub use picture::{Colours, Picture};
pub use preprocessing::{Missing, Preparation, Preprocessing, Scale, Scaling, TextEncoding, Transformed};
pub use table::{Cells, Column, CsvOptions, MISSING, Stray, Table};
