//! Execution: what the 32 lanes of a warp do for each instruction.

pub(crate) mod access;
pub(crate) mod async_copy;
pub(crate) mod atomics;
pub(crate) mod check;
pub(crate) mod code;
pub(crate) mod exchange;
pub(crate) mod lanes;
pub(crate) mod local;
pub(crate) mod ops;
pub(crate) mod output;
pub(crate) mod round;
pub(crate) mod run;
pub(crate) mod scalar;
pub(crate) mod tensor;
pub(crate) mod warp;

pub(crate) use run::{Outcome, run_warp};
