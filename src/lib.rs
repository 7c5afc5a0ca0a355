//! handgrad: a neural-network engine written by hand.
//!
//! Every layer's backward pass is spelled out, every hot loop is this crate's own, and every number can be checked.
//!
//! # Reading order
//!
//! 1. [`layers::Dense`]: the shortest layer that shows the whole idea. Equations, forward, backward.
//! 2. [`backend`]: the op table, everything that a device can do. `reference/` is the same in textbook loops.
//! 3. [`Sequential`]: how layers become a model that learns.
//! 4. `cpu/`: the same ops again, fast. [`cpu::Rung`] climbs from the textbook's matrix product to the engine's, one idea
//!    at a time; [`cpu::Floor`] says how fast a machine could be. `cuda/` and `kernels/*.cu`: once more, on a GPU.
//!
//! # Dimensions
//!
//! | letter | meaning |
//! |---|---|
//! | N | samples of a batch |
//! | T | time steps |
//! | D, H, W | depth, height, width |
//! | C | channels, or classes |
//! | F, U | features in, units out |
//! | R, C | rows and columns: the last dimension, and all others together |
//!
//! Data is row-major and channels-last, as in Keras: images `[N, H, W, C]`, sequences `[N, T, F]`, dense kernels
//! `[F, U]`, convolution kernels `[kh, kw, Cin, Cout]`.
#![deny(unsafe_code)]

pub mod activations;
pub mod backend;
pub mod callbacks;
pub mod config;
pub mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
pub mod data;
pub mod device;
pub mod error;
pub mod gradcheck;
pub mod initializers;
pub mod io;
pub mod layers;
pub mod losses;
pub mod metrics;
pub mod mistakes;
pub mod model;
pub mod optimizers;
pub mod presets;
pub mod recipe;
mod reference;
pub mod rng;
pub mod schedules;
pub mod shape;
mod steps;
pub mod tensor;
#[cfg(feature = "viz")]
pub mod viz;
pub mod window;

pub use activations::Activation;
pub use backend::{Backend, Gemm, HostRows, LiveColumns, Target};
pub use cpu::Isa;
pub use device::Device;
pub use error::{Error, Result};
pub use initializers::Initializer;
pub use layers::Layer;
pub use losses::Loss;
pub use mistakes::{Language, Mistake};
pub use model::Sequential;
pub use optimizers::Optimizer;
pub use rng::Rng;
pub use shape::Shape;
pub use tensor::{IndexView, Indices, Tensor, View, ViewMut};
pub use window::Padding;
