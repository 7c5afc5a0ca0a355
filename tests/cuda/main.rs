//! The CUDA backend, unmodified, on a GPU in software (`tests/softgpu`), or on this machine's with `HANDGRAD_TEST_GPU=1`.
//!
//! The tables are the processor's: parity of every op, gradients and outputs of every layer, whole training runs. The
//! software GPU adds what no hardware shows: it stops a kernel that reads or writes out of bounds, reads what nobody
//! wrote, or has two threads meet in one word without a barrier; and it runs the warps in orders of our choice.
#![cfg(feature = "cuda")]

#[path = "../support/faults.rs"]
#[allow(dead_code, unreachable_pub)] // planted_faults.rs uses the rest
mod faults;
#[path = "../support/gpu.rs"]
#[allow(dead_code, unreachable_pub)] // barriers.rs uses the rest
mod gpu;
#[path = "../support/parity/mod.rs"]
#[allow(dead_code)] // parity.rs uses the rest
mod parity;
#[path = "../support/spread.rs"]
#[allow(unreachable_pub)]
mod spread;

mod files;
mod layers;
mod ops;
mod rows;
mod steps;
mod traffic;
mod training;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// The software GPU has one setting of each kind for the whole process: who changes one keeps the others out.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Calls `f` for the warps running first to last, and last to first. On hardware, where they run as they like, once.
fn in_each_order(mut f: impl FnMut(&str)) {
    let _alone = alone();
    match gpu::software() {
        None => f("its own order"),
        Some(soft) => {
            for order in ["forward", "reverse"] {
                gpu::set(&soft, "order", order);
                f(order);
            }
            gpu::set(&soft, "order", "forward");
        }
    }
}
