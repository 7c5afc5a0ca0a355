//! Data: what a model learns from, in the program's own memory.
//!
//! A [`Dataset`] pairs [`Features`] with [`Targets`], checked once when it is made. [`mnist`] and [`fashion_mnist`]
//! read pictures from [`Idx`] files.

mod atomic;
mod dataset;
mod features;
mod idx;
mod images;
mod k_fold;

pub use atomic::AtomicFile;
pub use dataset::{Dataset, TestSize};
pub use features::{Features, Targets};
pub use idx::{Element, Idx};
pub use images::{ImageDataset, fashion_mnist, mnist};
pub use k_fold::KFold;
