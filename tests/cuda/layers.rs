//! Every layer, forward and backward: gradients by finite differences, and outputs against the reference device.

use super::{gpu, in_each_order, spread};
use handgrad::gradcheck::{Case, Oracle, Subject, cases};

/// The cases but those whose activation is a Rust function.
fn gpu_cases() -> impl Iterator<Item = Case> {
    cases().into_iter().filter(|case| !case.configuration.contains("arctan"))
}

#[test]
fn in_f32_gradients_are_four_point_differences_to_1e_3() {
    let Some(device) = gpu::device() else { return };
    let _alone = super::alone();
    let (mut failed, mut count) = (Vec::new(), 0);
    for case in gpu_cases() {
        let report = Oracle::new(&case).unwrap().check(&device).unwrap();
        assert_eq!(report.tolerance, 1e-3);
        count += 1;
        if !report.passed() {
            failed.push(format!("{}: {report}", case.name()));
        }
    }
    assert!(failed.is_empty(), "{} of {count} failed:\n{}", failed.len(), failed.join("\n"));
    println!("{count} cases");
}

/// Whole layers, forward and backward, in f32 against f64, within what rounding explains.
#[test]
fn a_gpu_computes_what_the_reference_computes() {
    let Some(device) = gpu::device() else { return };
    let mut failed = Vec::new();
    in_each_order(|order| {
        for case in gpu_cases() {
            let bounds = spread::Bounds::new(&case);
            let mut subject = Subject::new(&device, &case).unwrap();
            let got = spread::run(&mut subject, &device);
            failed
                .extend(bounds.violated(&got).map(|why| format!("warps in {order}: {}: {why}", case.name())));
        }
    });
    assert!(failed.is_empty(), "{} failed:\n{}", failed.len(), failed.join("\n"));
}
