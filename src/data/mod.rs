//! Data: what a model learns from, in the program's own memory.
//!
//! A [`Dataset`] pairs [`Features`] with [`Targets`], checked once when it is made.

mod dataset;

pub use dataset::{Dataset, Features, Targets, TestSize};
