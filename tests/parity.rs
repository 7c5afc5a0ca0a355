//! Every op of the processor against the reference device, on every instruction set that this machine has.
//!
//! Bounds follow the arithmetic. The same cases show that 1, 2 and 3 threads give the same bits, and that an op refuses
//! views that do not fit it instead of panicking. The cases are in `support/parity`, one file for each family of ops,
//! and know nothing of the processor: another device runs on the same table.
//!
//! Fused ops (`dense`, `conv`, `loss_step`) are compared as all others: the reference device has their default bodies,
//! which are their definition.

#[path = "support/faults.rs"]
#[allow(dead_code, unreachable_pub)] // planted_faults.rs uses the rest
mod faults;
#[path = "support/parity/mod.rs"]
mod parity;

use faults::{Fault, Plant, faulty};
use handgrad::{Device, Isa};
use parity::{Expected, FAMILIES, cases, compare, misfits, mistakes, same_bits, strangers};
use std::collections::BTreeMap;

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

parity::test_each_family!(check);

/// Wrong kinds of target, indices out of range, parameters out of their domain.
#[test]
fn mistakes_are_errors() {
    mistakes(&Device::reference());
    for isa in instruction_sets() {
        mistakes(&Device::cpu_with(Some(2), Some(isa)).unwrap());
    }
}

/// The table is tested, too: every op errs in every case, once in every way, and the comparison must notice.
///
/// Where a case is small and all that is wrong is below rounding (the last of two rows holds 1e-30, and is dropped), it
/// cannot. So of each op's cases nine in ten must notice each fault; as it is, 997 of 1000 do.
#[test]
fn planted_faults_are_noticed() {
    let oracle = Device::reference();
    let (device, watch) = faulty(&oracle);
    let faults = [
        Fault::Flip,
        Fault::Scale(1.001),
        Fault::Drop,
        Fault::Shift,
        Fault::Swap,
        Fault::Edge,
        Fault::Skip,
        Fault::Alone,
    ];
    // By op, output and fault: how many were planted, and how many of them noticed.
    let mut counts = BTreeMap::<String, (u32, u32)>::new();
    for (family, _) in FAMILIES {
        for (number, case) in cases(family).iter().enumerate() {
            let expected = Expected::new(case, number, &oracle, &device);
            // Larger cases are there for the threads.
            if expected.numbers > 10_000 {
                continue;
            }
            watch.plant(None);
            assert_eq!(expected.differences(&device).0, 0.0, "{} without a fault", case.name());
            let (op, outputs) = watch.log().calls[0].clone();
            for fault in faults {
                for (output, name) in outputs.iter().enumerate() {
                    watch.plant(Some(Plant { call: 0, period: 1, output, fault }));
                    let (worst, failures) = expected.differences(&device);
                    // Nothing but equal numbers: the fault is none here, as a swap in a view of one number.
                    if worst > 0.0 {
                        let count = counts.entry(format!("{op}, {name}, {fault:?}")).or_default();
                        *count = (count.0 + 1, count.1 + u32::from(!failures.is_empty()));
                    }
                }
            }
        }
    }
    let (planted, noticed) = counts.values().fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
    println!("{noticed} of {planted} faults were noticed");
    let escaped: Vec<_> =
        counts.iter().filter(|(_, (planted, noticed))| noticed * 10 < planted * 9).collect();
    assert!(escaped.is_empty(), "op, output, fault, (planted, noticed): {escaped:#?}");

    // Every method of the trait that computes has its cases.
    let methods = include_str!("../src/backend.rs").lines().filter_map(|line| line.strip_prefix("    fn "));
    let ops: Vec<&str> = methods.filter_map(|method| method.split(['(', '<']).next()).collect();
    let asked = [
        "name",
        "describe",
        "arithmetic",
        "threads",
        "zeros",
        "indices",
        "begin_step",
        "end_step",
        "conv_scratch",
        "conv_in_tiles",
        "has_blocks",
        "load_blocks", // a device's own layout, which it tests itself
    ];
    assert!(ops.len() > 40, "the trait is written otherwise: {ops:?}");
    // The faulty device does these op by op, so that a fault can strike each of them.
    let sequences = ["lstm", "lstm_backward", "recurrent_gradients", "conv_pool_backward"];
    for op in ops.iter().filter(|op| !asked.contains(op) && !sequences.contains(op)) {
        assert!(counts.keys().any(|key| key.split(',').next() == Some(op)), "no case for `{op}`");
    }
}
