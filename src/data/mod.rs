//! Data: what a model learns from, in the program's own memory.
//!
//! A [`Dataset`] pairs [`Features`] with [`Targets`], checked once when it is made. [`mnist`], [`fashion_mnist`],
//! [`kmnist`] and [`emnist_letters`] read pictures from [`Idx`] files, [`cifar10`] from its own, [`ImageFolder`] PNG files
//! from a folder for each class, [`Table`] rows from CSV. [`Preprocessing`] turns a table's columns into numbers;
//! [`Meaning`] says what a trained model's numbers stand for. [`Collection`] says where public images are published; with
//! the feature `cli`, `Install` fetches them.

mod atomic;
mod catalog;
mod cifar;
mod dataset;
#[cfg(feature = "cli")]
mod download;
mod features;
mod idx;
mod image_folder;
mod images;
#[cfg(feature = "cli")]
mod install;
mod k_fold;
mod meaning;
pub(crate) mod npy;
mod picture;
mod preprocessing;
mod sampling;
mod split;
mod table;
#[cfg(feature = "cli")]
mod unpack;

pub use atomic::AtomicFile;
pub use catalog::{Archive, ArchiveKind, COLLECTIONS, Collection, Member, RemoteFile, cache_folder};
pub use cifar::{cifar10, read_cifar10};
pub use dataset::Dataset;
pub(crate) use dataset::check_labels;
#[cfg(feature = "cli")]
pub use download::{Download, Fetching};
pub use features::{Features, Targets};
pub use idx::{Element, Idx};
pub use image_folder::{ImageFolder, ImageFolderOptions};
pub use images::{ImageDataset, emnist_letters, fashion_mnist, kmnist, mnist};
#[cfg(feature = "cli")]
pub use install::{Install, Installed};
pub use k_fold::KFold;
pub use meaning::{Classes, Input, Meaning, Output};
pub use npy::Array;
pub use picture::{Colours, Picture};
pub use preprocessing::{Missing, Preparation, Preprocessing, Scale, Scaling, TextEncoding, Transformed};
pub use split::{TestSize, train_test_indices};
pub use table::{Cells, Column, CsvFile, CsvOptions, MISSING, Stray, Table};
