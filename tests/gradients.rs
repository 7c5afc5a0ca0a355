//! Every backward is the derivative of its forward: every parameter and every input of every case.
//!
//! Fails if a backward drops a term, transposes a matrix, forgets the batch sum or scales by 1/N twice:
//! `planted_faults.rs` does each of these, in every op of every case, and expects the check to notice.

#[path = "support/faults.rs"]
#[allow(dead_code, unreachable_pub)] // planted_faults.rs uses the rest
mod faults;
#[path = "support/spread.rs"]
#[allow(unreachable_pub)]
mod spread;

use handgrad::gradcheck::{Case, End, Oracle, Subject, cases};
use handgrad::{Activation, Device, Isa, Loss};
use std::collections::BTreeSet;

/// Runs `check` on every case, on both of a small machine's cores, and fails with all that failed.
fn every_case(check: impl Fn(&Case) -> Vec<String> + Sync) {
    let cases = cases();
    let next = std::sync::atomic::AtomicUsize::new(0);
    let work = || {
        let mut failed = Vec::new();
        while let Some(case) = cases.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
            failed.extend(check(case).into_iter().map(|why| format!("{}: {why}", case.name())));
        }
        failed
    };
    let failed = std::thread::scope(|s| {
        let other = s.spawn(work);
        let mut failed = work();
        failed.extend(other.join().unwrap());
        failed
    });
    assert!(failed.is_empty(), "{} failed:\n{}", failed.len(), failed.join("\n"));
}

/// The processor once for every instruction set that it has.
fn processors(threads: usize) -> Vec<(Isa, Device)> {
    let all = Isa::ALL;
    let there: Vec<_> = all
        .into_iter()
        .filter_map(|isa| Some((isa, Device::cpu_with(Some(threads), Some(isa)).ok()?)))
        .collect();
    assert!(there.iter().any(|(isa, _)| *isa == Isa::Portable), "portable code runs everywhere");
    there
}

#[test]
fn in_f64_gradients_are_central_differences_to_1e_6() {
    every_case(|case| {
        let report = Oracle::new(case).unwrap().check(&Device::reference()).unwrap();
        assert_eq!(report.tolerance, 1e-6);
        assert!(report.inputs > 0);
        if report.passed() { Vec::new() } else { vec![report.to_string()] }
    });
}

#[test]
fn in_f32_gradients_are_four_point_differences_to_1e_3() {
    every_case(|case| {
        let oracle = Oracle::new(case).unwrap();
        let mut failed = Vec::new();
        for (isa, device) in processors(1) {
            let report = oracle.check(&device).unwrap();
            assert_eq!(report.tolerance, 1e-3);
            if !report.passed() {
                failed.push(format!("{isa}: {report}"));
            }
        }
        failed
    });
}

/// Whole layers, forward and backward, in f32 against f64, within what rounding explains.
#[test]
fn the_cpu_computes_what_the_reference_computes() {
    every_case(|case| {
        let bounds = spread::Bounds::new(case);
        let mut failed = Vec::new();
        for (isa, device) in processors(1) {
            let mut subject = Subject::new(&device, case).unwrap();
            let got = spread::run(&mut subject, &device);
            failed.extend(bounds.violated(&got).map(|why| format!("{isa}: {why}")));
        }
        failed
    });
}

#[test]
fn threads_do_not_change_a_bit() {
    let run = |case: &Case, threads| {
        let device = Device::cpu_with(Some(threads), None).unwrap();
        spread::run(&mut Subject::new(&device, case).unwrap(), &device)
    };
    for case in cases() {
        let one = run(&case, 1);
        for threads in [2, 3] {
            assert_eq!(one, run(&case, threads), "{} with {threads} threads", case.name());
        }
    }
}

/// A layer that leaves its last activation out gives what the activation is then applied to.
#[test]
fn a_skipped_activation_can_be_applied_afterwards() {
    let device = Device::reference();
    for case in cases().iter().filter(|c| c.end == End::Cotangent) {
        let mut layers = case.layers();
        let f = layers.last_mut().unwrap().output_activation();
        if f == Activation::Linear {
            continue;
        }
        let mut whole = Subject::new(&device, case).unwrap();
        whole.forward(&device).unwrap();
        let mut without = Subject::new(&device, case).unwrap();
        without.skip_activation();
        without.forward(&device).unwrap();
        let shape = without.output_shape();
        let mut y = device.tensor(shape, &without.outputs()[0].values).unwrap();
        device.activate(f, y.view_mut()).unwrap();
        for (a, b) in y.view().to_vec_f64().iter().zip(&whole.outputs()[0].values) {
            assert!((a - b).abs() <= 1e-14 * b.abs(), "{}: {a} for {b}", case.name());
        }
    }
}

/// No layer, loss or activation without a case.
#[test]
fn the_table_is_complete() {
    let cases = cases();
    let names: Vec<String> = cases.iter().map(Case::name).collect();
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "two cases of one name");

    let kinds: BTreeSet<&str> = cases.iter().map(|case| case.kind).collect();
    let exported = exported_layers();
    assert!(exported.contains("Dense") && exported.contains("Conv2D"), "{exported:?}");
    for layer in exported {
        assert!(kinds.contains(layer.as_str()), "no case of {layer}");
    }
    for name in Loss::NAMES {
        let loss: Loss = name.parse().unwrap();
        let of = |end: &dyn Fn(End) -> bool| cases.iter().any(|c| c.kind == loss.to_string() && end(c.end));
        for weighted in [false, true] {
            assert!(of(&|end| matches!(end, End::Loss(goal) if goal.weighted == weighted)), "{name}");
            assert!(of(&|end| matches!(end, End::Step(goal, _) if goal.weighted == weighted)), "{name}");
        }
        for f in [Activation::Sigmoid, Activation::Softmax] {
            if let Some(folded) = loss.fold(f) {
                assert!(of(&|end| matches!(end, End::Step(_, g) if g == f)), "{name} with {f} folded");
                assert!(
                    of(&|end| matches!(end, End::Loss(goal) if goal.loss == folded)),
                    "{name} from logits"
                );
            }
        }
    }
    for f in Activation::NAMES {
        for kind in ["Dense", "Activation"] {
            let has = |case: &Case| case.kind == kind && case.configuration.contains(f);
            assert!(cases.iter().any(has), "no {kind} with {f}");
        }
    }
}

/// The layers that the sources define: `impl Layer for Name` and, where it is generic, `pub type Name = ...`.
fn exported_layers() -> BTreeSet<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/layers");
    let mut layers = BTreeSet::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let source = std::fs::read_to_string(file.unwrap().path()).unwrap();
        for line in source.lines() {
            let implemented = line.strip_prefix("impl Layer for ").and_then(|l| l.strip_suffix(" {"));
            let aliased =
                line.strip_prefix("pub type ").and_then(|l| l.split_once(" = ")).map(|(name, _)| name);
            let name = implemented.or(aliased).filter(|name| !name.contains('<'));
            layers.extend(name.map(|name| name.strip_suffix("Layer").unwrap_or(name).to_string()));
        }
    }
    layers
}
