//! A CUDA driver in software: it interprets PTX on the processor, checks every memory access, finds races, and
//! counts what a kernel does. See README.md.

mod config;
mod counters;
mod driver;
mod exec;
mod lower;
mod memory;
mod ptx;
mod report;
mod sched;

pub mod control;
pub use counters::{counters, reset_counters};
pub use driver::exports;
pub use report::{clear_report, last_report};
