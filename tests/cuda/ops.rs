//! Every op against the reference device: the processor's table of cases, under two orders of warps.

use super::{gpu, in_each_order, parity};
use handgrad::Device;
use parity::{cases, compare, misfits, mistakes, same_bits, strangers};

fn check(family: &str) {
    let (Some(device), oracle) = (gpu::device(), Device::reference()) else { return };
    let mut cases = cases(family);
    // Activations that are Rust functions: a GPU cannot call them, and says so (see below).
    cases.retain(|case| !case.name().contains("square"));
    in_each_order(|order| {
        let worst = compare(&cases, &device, &oracle);
        println!(
            "{family}, warps in {order}: {} cases, the largest error is {worst:.2} of its bound",
            cases.len()
        );
    });
    let _alone = super::alone();
    same_bits(&cases, &device, &device);
    misfits(&cases, &device);
    for (device, other) in [(&device, &oracle), (&oracle, &device)] {
        strangers(&cases, device, other);
    }
}

parity::test_each_family!(check);

#[test]
fn mistakes_are_errors() {
    let Some(device) = gpu::device() else { return };
    let _alone = super::alone();
    mistakes(&device);
}

#[test]
fn a_rust_function_is_refused_in_words() {
    use handgrad::activations::{Activation, Custom};
    let Some(device) = gpu::device() else { return };
    let _alone = super::alone();
    let square = Activation::Custom(Custom { name: "square", f: |x| x * x, df: |x| 2.0 * x });
    let mut y = device.tensor([3], &[1.0, 2.0, 3.0]).unwrap();
    let error = device.activate(square, y.view_mut()).unwrap_err();
    assert!(error.to_string().contains("`square` is a Rust function"), "{error}");
    assert!(error.hint().is_some());
    assert_eq!(y.to_vec(), [1.0, 2.0, 3.0]);
}
