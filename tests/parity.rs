//! Every op of the processor against the reference device, on every instruction set that this machine has.
//!
//! Bounds follow the arithmetic. The same cases show that 1, 2 and 3 threads give the same bits, and that an op refuses
//! views that do not fit it instead of panicking. The cases are in `support/parity`, one file for each family of ops,
//! and know nothing of the processor: another device runs on the same table.
//!
//! Fused ops (`dense`, `conv`, `loss_step`) are compared as all others: the reference device has their default bodies,
//! which are their definition.

#[path = "support/parity/mod.rs"]
mod parity;

use handgrad::{Device, Isa};
use parity::{cases, compare, misfits, mistakes, same_bits, strangers};

/// The processor with every instruction set that it has. What it lacks is said aloud; AVX2, which all the machines that
/// test this have, must be there where nothing may be skipped.
fn instruction_sets() -> Vec<Isa> {
    for isa in Isa::ALL.into_iter().filter(|isa| !isa.is_available()) {
        println!("skipped: this processor has no {isa}");
        let required = std::env::var("HANDGRAD_REQUIRE_ALL").is_ok_and(|v| v == "1");
        assert!(!(required && isa == Isa::Avx2 && cfg!(target_arch = "x86_64")), "no {isa} to test");
    }
    Isa::available().collect()
}

fn check(family: &str) {
    let (cases, oracle) = (cases(family), Device::reference());
    for isa in instruction_sets() {
        let [one, two, three] = [1, 2, 3].map(|threads| Device::cpu_with(Some(threads), Some(isa)).unwrap());
        let worst = compare(&cases, &one, &oracle);
        println!("{family} on {isa}: {} cases, the largest error is {worst:.2} of its bound", cases.len());
        same_bits(&cases, &one, &two);
        same_bits(&cases, &one, &three);
    }
    let cpu = Device::cpu_with(Some(2), None).unwrap();
    for (device, other) in [(&cpu, &oracle), (&oracle, &cpu)] {
        misfits(&cases, device);
        strangers(&cases, device, other);
    }
}

#[test]
fn elementwise() {
    check("elementwise");
}

#[test]
fn gemm() {
    check("gemm");
}

#[test]
fn activation() {
    check("activation");
}

#[test]
fn conv() {
    check("conv");
}

#[test]
fn pool() {
    check("pool");
}

#[test]
fn normalize() {
    check("normalize");
}

#[test]
fn recurrent() {
    check("recurrent");
}

#[test]
fn loss() {
    check("loss");
}

#[test]
fn score() {
    check("score");
}

#[test]
fn update() {
    check("update");
}

/// Wrong kinds of target, indices out of range, parameters out of their domain.
#[test]
fn mistakes_are_errors() {
    mistakes(&Device::reference());
    for isa in instruction_sets() {
        mistakes(&Device::cpu_with(Some(2), Some(isa)).unwrap());
    }
}
