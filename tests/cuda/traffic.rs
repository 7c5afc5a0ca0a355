//! What fused kernels move: each input byte read once, each output byte written once.

use super::{alone, gpu};
use handgrad::cuda::{Cuda, Size, exercises};
use std::sync::Arc;

/// The part by which a kernel may move more than that: a bias or a statistic that many rows share is read again.
const ALLOWANCE: f64 = 1.05;

/// Softmax-crossentropy, normalisation, optimizers and gates. Rows of 20,000 columns are more than a block can hold, and
/// are read again.
fn is_fused(exercise: &str) -> bool {
    let families = ["loss_step", "moments", "normalize", "update", "lstm_step", "gru_step", "dropout"];
    families.iter().any(|f| exercise.starts_with(f)) && !exercise.contains("20000")
}

#[test]
fn fused_kernels_read_and_write_each_byte_once() {
    let Some(soft) = gpu::software() else { return };
    let _alone = alone();
    let cuda = Arc::new(Cuda::new(0).unwrap());
    let mut all = exercises(&cuda, Size::Small).unwrap();
    cuda.synchronize().unwrap();
    gpu::set(&soft, "counters", "1");
    let (mut wasteful, mut kernels) = (Vec::new(), 0);
    for exercise in all.iter_mut().filter(|e| is_fused(&e.name)) {
        soft.reset();
        exercise.run().unwrap();
        cuda.synchronize().unwrap();
        for (kernel, counts) in gpu::counters(&soft).as_object().unwrap() {
            let sum = |what: &str| -> f64 {
                ["load", "store"].map(|way| counts["global_memory"][way][what].as_f64().unwrap()).iter().sum()
            };
            let part = sum("bytes_requested") / sum("bytes_distinct");
            kernels += 1;
            // NaN must not pass.
            if part.is_nan() || part > ALLOWANCE {
                wasteful.push(format!("{}: {kernel} moves {part:.3} of the fewest bytes", exercise.name));
            }
        }
    }
    gpu::set(&soft, "counters", "0");
    assert!(kernels > 25, "{kernels} kernels ran");
    assert!(wasteful.is_empty(), "{wasteful:#?}");
}
