//! The suite is tested: mistakes are planted, and the checks must notice every one.
//!
//! Systematically: in every case of the table, every op that a backward calls errs in every way of [`FAULTS`], one at
//! a time, and the gradient check must fail. The same for every op of a forward. By hand, in `wrong_layers.rs`: the
//! mistakes that people really make.
//!
//! A mistake is one only if it can be seen at all. Two rules say which cannot, and no fault is excused by name:
//! 1. inert: the op wrote the same numbers as without it (zeros changed sign, two equal numbers changed places);
//! 2. unread: everything came out the same, because what the op wrote is not used, or is multiplied by zeros.
//!
//! Where rule 2 excuses all faults of an output, nobody reads that output. [`UNREAD`] lists those, each with a reason.
#![allow(clippy::neg_cmp_op_on_partial_ord)] // !(error <= tolerance): NaN must fail

#[path = "support/faults.rs"]
#[allow(unreachable_pub, dead_code)] // gradients.rs uses the rest
mod faults;

#[path = "support/spread.rs"]
#[allow(unreachable_pub)]
mod spread;

use faults::{Fault, Log, Plant, faulty};
use handgrad::Device;
use handgrad::gradcheck::{Case, Oracle, Slot, Subject, cases, central, compare};
use std::collections::BTreeMap;

/// The ways to err. 1.01 is a factor that training would forgive.
const FAULTS: [Fault; 9] = [
    Fault::Flip,
    Fault::Scale(2.0),
    Fault::Scale(1.01),
    Fault::Drop,
    Fault::Shift,
    Fault::Swap,
    Fault::Edge,
    Fault::Skip,
    Fault::Alone,
];

/// The largest error that the gradient check lets pass in f64.
const TOLERANCE: f64 = 1e-6;

/// An output that nobody reads.
#[derive(Clone, Copy)]
struct Unread {
    op: &'static str,
    output: &'static str,
    /// In which cases: a word of the configuration, or any.
    configuration: &'static str,
    /// How many calls of a run, for each layer of the case.
    calls: usize,
}

const fn unread(op: &'static str, output: &'static str, configuration: &'static str, calls: usize) -> Unread {
    Unread { op, output, configuration, calls }
}

const UNREAD_BACKWARD: [Unread; 14] = [
    // The forward's results, which the step writes beside the gradient.
    unread("loss_step", "y", "", 1),
    unread("loss_step", "rows", "", 1),
    // Without γ or β, nobody asks for their gradients.
    unread("normalize_backward", "dgamma", "no scale", 1),
    unread("normalize_backward", "dgamma", "neither", 1),
    unread("normalize_backward", "dbeta", "no center", 1),
    unread("normalize_backward", "dbeta", "neither", 1),
    // The gradient by the state before the first step, which is 0 and no parameter.
    unread("lstm_step_backward", "dc", "", 1),
    unread("gru_step_backward", "dh", "", 1),
    // ds of the first step: U is multiplied by that state, and there is no bᵣ.
    unread("gru_step_backward", "recurrent", "no bias", 1),
    // The same for a reset gate before the product, in plain ops: dq = dĥ Uₕᵀ, e = dq ⊙ r, dh += e.
    unread("gemm", "c", "reset before", 1),
    unread("copy", "y", "reset before", 1),
    unread("multiply", "y", "reset before", 1),
    unread("add_scaled", "y", "reset before", 1),
    // U's blocks for z and r, where no step comes before.
    unread("copy_columns", "y", "1 step, reset before", 2),
];

const UNREAD_FORWARD: [Unread; 5] = [
    // Moving averages: only inference reads them.
    unread("interpolate", "y", "", 2),
    // What the step writes besides the loss and the prediction.
    unread("loss_step", "dz", "", 1),
    // r of the first step, which is multiplied by the state before it: 0.
    unread("gemm", "c", "reset before", 1),
    unread("activate", "y", "reset before", 1),
    unread("copy_columns", "y", "1 step, reset before", 1),
];

/// What became of a fault.
#[derive(Clone, Copy, PartialEq)]
enum Outcome {
    Inert,
    Unread,
    ByGradient,
    /// The gradient is right, but of another function: only a comparison of outputs can tell.
    ByOutput,
    Survived,
}

/// What became of all faults.
#[derive(Default)]
struct Tally {
    by_gradient: usize,
    by_output: usize,
    excused: usize,
    failures: Vec<String>,
}

impl Tally {
    /// Plants every fault in every output of every op of a run on one case, and counts what `attempt` says of each.
    fn run(&mut self, case: &Case, log: &Log, rules: &[Unread], mut attempt: impl FnMut(Plant) -> Outcome) {
        let mut nobody_reads: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for (call, (op, outputs)) in log.calls.iter().enumerate() {
            for (output, name) in outputs.iter().enumerate() {
                let plants = FAULTS.map(|fault| Plant { call, period: log.calls.len(), output, fault });
                let outcomes = plants.map(&mut attempt);
                for (plant, outcome) in plants.iter().zip(outcomes) {
                    match outcome {
                        Outcome::Inert | Outcome::Unread => self.excused += 1,
                        Outcome::ByGradient => self.by_gradient += 1,
                        Outcome::ByOutput => self.by_output += 1,
                        Outcome::Survived => {
                            let (case, fault) = (case.name(), plant.fault);
                            self.failures.push(format!(
                                "{case}: nobody noticed {fault:?} in {op}.{name}, call {call}"
                            ));
                        }
                    }
                }
                let excuses = [Outcome::Inert, Outcome::Unread];
                if outcomes.contains(&Outcome::Unread) && outcomes.iter().all(|o| excuses.contains(o)) {
                    *nobody_reads.entry((op, name)).or_default() += 1;
                }
            }
        }
        for ((op, output), calls) in nobody_reads {
            let fits = |rule: &&Unread| rule.op == op && rule.output == output;
            let fits = |rule: &&Unread| fits(rule) && case.configuration.contains(rule.configuration);
            let layers = case.layers().len().max(1);
            let known: usize = rules.iter().filter(fits).map(|rule| rule.calls * layers).sum();
            if calls > known {
                self.failures.push(format!("{}: nobody reads {op}.{output}, {calls} times", case.name()));
            }
        }
    }

    fn finish(self) {
        assert!(self.failures.is_empty(), "{}:\n{}", self.failures.len(), self.failures.join("\n"));
        println!("{} by gradient, {} by output, {} excused", self.by_gradient, self.by_output, self.excused);
        // Most of what is planted must be a mistake, and the gradient check alone must find nearly all of it.
        assert!(self.by_gradient > 3 * self.excused / 2 && self.by_gradient > 5 * self.by_output);
    }
}

fn equal(a: &[Slot], b: &[Slot]) -> bool {
    a.iter().zip(b).all(|(a, b)| a.values == b.values)
}

/// Whether a comparison of outputs would pass.
fn near(a: &[Slot], b: &[Slot]) -> bool {
    let values = |slots: &[Slot]| slots.iter().flat_map(|s| s.values.clone()).collect::<Vec<f64>>();
    values(a).iter().zip(values(b)).all(|(a, b)| (a - b).abs() <= 1e-9 * b.abs())
}

#[test]
fn no_op_of_a_backward_errs_unnoticed() {
    let mut tally = Tally::default();
    for case in cases() {
        let reference = Device::reference();
        let (device, watch) = faulty(&reference);
        let oracle = Oracle::new(&case).unwrap();
        let mut subject = Subject::new(&reference, &case).unwrap();
        let mut backward = |plant| {
            subject.forward(&reference).unwrap();
            watch.plant(plant);
            subject.backward(&device, true).unwrap();
            (subject.gradients().unwrap(), watch.log())
        };
        let (right, log) = backward(None);
        assert!(compare(oracle.numeric(), &right).error <= TOLERANCE, "{} without a fault", case.name());
        tally.run(&case, &log, &UNREAD_BACKWARD, |plant| {
            let (wrong, log) = backward(Some(plant));
            let noticed = !(compare(oracle.numeric(), &wrong).error <= TOLERANCE);
            match (log.changed, noticed) {
                (_, true) => Outcome::ByGradient,
                (false, _) => Outcome::Inert,
                _ if equal(&wrong, &right) => Outcome::Unread,
                _ => Outcome::Survived,
            }
        });
    }
    tally.finish();
}

/// Here the forward errs alike at every call, and the backward is sound. A few faults make another function with the
/// same derivative rule (minus eˣ is its own derivative, too): those, only the output gives away.
#[test]
fn no_op_of_a_forward_errs_unnoticed() {
    let mut tally = Tally::default();
    for case in cases() {
        let reference = Device::reference();
        let (device, watch) = faulty(&reference);
        let run = |plant| {
            let mut subject = Subject::new(&reference, &case).unwrap();
            watch.plant(plant);
            subject.forward(&device).unwrap();
            let log = watch.log();
            let output = subject.outputs();
            subject.backward(&reference, true).unwrap();
            let gradient = subject.gradients().unwrap();
            (subject, output, gradient, log)
        };
        let (_, right_output, right, log) = run(None);
        tally.run(&case, &log, &UNREAD_FORWARD, |plant| {
            let (mut subject, output, gradient, log) = run(Some(plant));
            if !log.changed {
                Outcome::Inert
            } else if !is_gradient(&mut subject, &device, &gradient) {
                Outcome::ByGradient
            } else if !near(&output, &right_output) {
                Outcome::ByOutput
            } else if equal(&gradient, &right) {
                Outcome::Unread
            } else {
                Outcome::Survived
            }
        });
    }
    tally.finish();
}

/// The same on an f32 device, forward and backward, where parity with the reference must notice.
#[test]
fn no_op_of_the_cpu_errs_unnoticed() {
    let mut tally = Tally::default();
    for case in cases() {
        let cpu = Device::cpu_with(Some(1), None).unwrap();
        let (device, watch) = faulty(&cpu);
        let bounds = spread::Bounds::new(&case);
        let run = |plant| {
            let mut subject = Subject::new(&cpu, &case).unwrap();
            watch.plant(plant);
            let got = spread::run(&mut subject, &device);
            (got, watch.log())
        };
        let (right, log) = run(None);
        assert_eq!(bounds.violated(&right), None, "{} without a fault", case.name());
        let rules = [&UNREAD_FORWARD[..], &UNREAD_BACKWARD].concat();
        tally.run(&case, &log, &rules, |plant| {
            let (got, log) = run(Some(plant));
            match bounds.violated(&got) {
                Some(_) => Outcome::ByOutput,
                None if !log.changed => Outcome::Inert,
                None if equal(&got, &right) => Outcome::Unread,
                None => Outcome::Survived,
            }
        });
    }
    assert!(tally.by_output > 3 * tally.excused / 2);
    assert!(tally.failures.is_empty(), "{}:\n{}", tally.failures.len(), tally.failures.join("\n"));
}

/// The error of the gradient check when one op of a backward errs.
fn error_of(case: &Case, op: &str, nth: usize, output: usize, fault: Fault) -> f64 {
    let reference = Device::reference();
    let (device, watch) = faulty(&reference);
    let mut subject = Subject::new(&reference, case).unwrap();
    let mut run = |plant| {
        watch.plant(plant);
        subject.forward(&reference).unwrap();
        subject.backward(&device, true).unwrap();
        (subject.gradients().unwrap(), watch.log())
    };
    let (_, log) = run(None);
    let mut calls = log.calls.iter().enumerate().filter(|(_, (name, _))| *name == op).map(|(call, _)| call);
    let call = calls.nth(nth).unwrap();
    let (gradients, _) = run(Some(Plant { call, period: log.calls.len(), output, fault }));
    compare(Oracle::new(case).unwrap().numeric(), &gradients).error
}

fn case(kind: &str, configuration: &str) -> Case {
    cases().into_iter().find(|c| c.kind == kind && c.configuration == configuration).unwrap()
}

#[test]
fn an_lstm_whose_cell_gradient_forgets_the_forget_gate() {
    // Backward walks from the last step, number 0 here, to the first, number 4, whose dc nobody reads.
    for nth in 0..4 {
        assert!(error_of(&case("LSTM", "3 units"), "lstm_step_backward", nth, 1, Fault::NoForget) > 1e-3);
    }
}

#[test]
fn a_loss_gradient_scaled_by_the_batch_twice_or_never() {
    let model = case("Model", "CNN, softmax folded");
    for factor in [1.0 / 3.0, 3.0] {
        assert!(error_of(&model, "loss_step", 0, 2, Fault::Scale(factor)) > 0.1);
    }
}

/// Whether a gradient is that of what the subject computes: the gradient check, up to the first element that says no.
fn is_gradient(subject: &mut Subject, device: &Device, gradient: &[Slot]) -> bool {
    let mut numeric = gradient.to_vec();
    for slot in 0..numeric.len() {
        for index in 0..numeric[slot].values.len() {
            numeric[slot].values[index] = central(subject, device, slot, index).unwrap();
            if !(compare(&numeric[slot..=slot], &gradient[slot..=slot]).error <= TOLERANCE) {
                return false;
            }
        }
    }
    true
}
