//! Data: what a model learns from, in the program's own memory.
//!
//! A [`Dataset`] pairs [`Features`] with [`Targets`], checked once when it is made. [`mnist`], [`fashion_mnist`],
//! [`kmnist`] and [`emnist_letters`] read pictures from [`Idx`] files, [`cifar10`] from its own. [`Collection`] says where
//! these are published; with the feature `cli`, `Install` fetches them.

mod atomic;
mod catalog;
mod cifar;
mod dataset;
#[cfg(feature = "cli")]
mod download;
mod features;
mod idx;
mod images;
#[cfg(feature = "cli")]
mod install;
mod k_fold;
#[cfg(feature = "cli")]
mod unpack;

pub use atomic::AtomicFile;
pub use catalog::{Archive, ArchiveKind, COLLECTIONS, Collection, Member, RemoteFile, cache_folder};
pub use cifar::{cifar10, read_cifar10};
pub(crate) use dataset::check_labels;
pub use dataset::{Dataset, TestSize};
#[cfg(feature = "cli")]
pub use download::{Download, Fetching};
pub use features::{Features, Targets};
pub use idx::{Element, Idx};
pub use images::{ImageDataset, emnist_letters, fashion_mnist, kmnist, mnist};
#[cfg(feature = "cli")]
pub use install::{Install, Installed};
pub use k_fold::KFold;
