//! Gradient checks: is every backward the derivative of its forward?
//!
//! A [`Case`] ends in one number L: Σ r ⊙ y with a random cotangent r, or a loss. Its gradient is worked out twice:
//! by the backward pass, and by moving every single input and parameter a little and looking at L.
//!
//! | device | difference quotient | tolerance |
//! |---|---|---|
//! | f64 | (L(h) − L(−h)) / 2h | 1e-6 |
//! | f32 | (8 (L(h) − L(−h)) − (L(2h) − L(−2h))) / 12h | 1e-3 |
//!
//! The error of an element is |numeric − analytic| / max(|numeric|, |analytic|, RMS of its tensor's gradient).
//! All buffers hold NaN before a backward, so that what is not written shows.
//!
//! **The step in f32.** A wide step drowns rounding, but may cross a kink (relu at 0, a tie in a max-pool). So the step
//! of each element is chosen on the reference device, where both can be told apart: the widest of [`STEPS`] at which
//! the four-point quotient in f64 agrees with the central one. The f32 device's gradient plays no part in the choice.
//! An element for which no step would do counts as [`Report::excluded`], and a report with one has not passed.
//!
//! Source: Baydin et al. 2018, §2.1; Abramowitz and Stegun 1964, 25.3.4 and 25.3.6 for the quotients.
//!
//! ```
//! use handgrad::{Device, gradcheck};
//! let case = gradcheck::cases().into_iter().find(|c| c.kind == "Dense").unwrap();
//! let report = gradcheck::check(&Device::reference(), &case)?;
//! assert!(report.passed(), "{report}");
//! # Ok::<(), handgrad::Error>(())
//! ```

mod case;
mod cases;
mod ending;
mod subject;

pub use case::{Case, End, Goal, Targets, spaced};
pub use cases::cases;
pub use subject::{Slot, Subject};

use crate::device::Device;
use crate::error::Result;
use crate::shape::Shape;
use std::fmt;

/// The step of the central difference in f64: truncation is h² f‴ / 6 ≈ 1e-11 f‴, rounding ε L / h ≈ 1e-11 L.
pub const STEP: f64 = 1.0 / 131072.0;

/// The steps of the four-point quotient in f32, widest first. Powers of two, so that x ± 2h is exact.
pub const STEPS: [f64; 5] = [1.0 / 8.0, 1.0 / 32.0, 1.0 / 128.0, 1.0 / 512.0, 1.0 / 2048.0];

/// How far the four-point quotient in f64 may be from the central one for its step to be used in f32.
const STEP_TOLERANCE: f64 = 1e-4;

/// The outcome of one case on one device.
#[derive(Clone, Debug)]
pub struct Report {
    /// The case's kind: `Dense`.
    pub kind: &'static str,
    /// Its configuration and shape.
    pub configuration: String,
    /// How many numbers of parameters were checked.
    pub parameters: usize,
    /// How many inputs were checked.
    pub inputs: usize,
    /// How many numbers could not be checked, a kink being too near. 0 in a report that passed.
    pub excluded: usize,
    /// The element with the largest error.
    pub worst: Mismatch,
    /// The largest error that passes: 1e-6 in f64, 1e-3 in f32.
    pub tolerance: f64,
    /// What else was wrong: a second run with other bits, say.
    pub problem: Option<String>,
}

/// An element whose two gradients differ, and by how much.
#[derive(Clone, Debug)]
pub struct Mismatch {
    /// `input`, or a parameter's name.
    pub tensor: String,
    /// The element's place, row-major.
    pub index: usize,
    /// The difference quotient.
    pub numeric: f64,
    /// What backward says.
    pub analytic: f64,
    /// |numeric − analytic| / max(|numeric|, |analytic|, RMS of the tensor); infinite if either is not a number.
    pub error: f64,
}

impl Report {
    /// Whether every element was checked and agrees, and nothing else was wrong.
    pub fn passed(&self) -> bool {
        self.worst.error <= self.tolerance && self.excluded == 0 && self.problem.is_none()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Report { kind, configuration, parameters, inputs, worst, .. } = self;
        write!(f, "{kind} ({configuration}): {parameters} parameters, {inputs} inputs, {worst}")?;
        if self.excluded > 0 {
            write!(f, "; {} elements could not be checked", self.excluded)?;
        }
        self.problem.iter().try_for_each(|problem| write!(f, "; {problem}"))
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Mismatch { tensor, index, numeric, analytic, error } = self;
        write!(
            f,
            "worst error {error:.1e} at {tensor}[{index}]: numeric {numeric:.9}, analytic {analytic:.9}"
        )
    }
}

/// Checks one case on one device. To check it on several, make one [`Oracle`].
///
/// # Errors
/// The case cannot be built, or those of the device.
pub fn check(device: &Device, case: &Case) -> Result<Report> {
    Oracle::new(case)?.check(device)
}

/// What difference quotients on the reference device say about a case: worked out once, held against many devices.
pub struct Oracle<'a> {
    case: &'a Case,
    numeric: Vec<Slot>,
}

impl<'a> Oracle<'a> {
    /// Takes central differences in f64 for every input and parameter.
    ///
    /// # Errors
    /// The case cannot be built, or an op failed.
    pub fn new(case: &'a Case) -> Result<Oracle<'a>> {
        let device = Device::reference();
        let mut subject = Subject::new(&device, case)?;
        let mut numeric = subject.point().to_vec();
        for (slot, tensor) in numeric.iter_mut().enumerate() {
            for (index, value) in tensor.values.iter_mut().enumerate() {
                *value = central(&mut subject, &device, slot, index)?;
            }
        }
        Ok(Oracle { case, numeric })
    }

    /// The gradient by central differences in f64.
    pub fn numeric(&self) -> &[Slot] {
        &self.numeric
    }

    /// Holds a device's backward against difference quotients: those of the oracle if the device computes in f64, the
    /// device's own if it computes in f32.
    ///
    /// # Errors
    /// The case cannot be built on the device, or an op failed.
    pub fn check(&self, device: &Device) -> Result<Report> {
        let mut subject = Subject::new(device, self.case)?;
        let (analytic, problem) = analytic(&mut subject, device)?;
        let exact = device.zeros(Shape::from([1]))?.view().f64().is_ok();
        let mut excluded = 0;
        let (worst, tolerance) = if exact {
            (compare(&self.numeric, &analytic), 1e-6)
        } else {
            let steps = self.steps()?;
            let mut numeric = self.numeric.clone();
            for (slot, steps) in steps.iter().enumerate() {
                for (index, step) in steps.iter().enumerate() {
                    match step {
                        Some(h) => {
                            numeric[slot].values[index] = four_point(&mut subject, device, slot, index, *h)?;
                        }
                        None => excluded += 1,
                    }
                }
            }
            (compare(&numeric, &analytic), 1e-3)
        };
        let parameters = self.numeric[1..].iter().map(|slot| slot.values.len()).sum();
        let shape = self.case.input.batched(self.case.batch);
        Ok(Report {
            kind: self.case.kind,
            configuration: format!("{} on {shape}", self.case.configuration),
            parameters,
            inputs: self.numeric[0].values.len(),
            excluded,
            worst,
            tolerance,
            problem,
        })
    }

    /// For every element the widest step at which nothing bends too much; see the [module](self).
    fn steps(&self) -> Result<Vec<Vec<Option<f64>>>> {
        let device = Device::reference();
        let mut subject = Subject::new(&device, self.case)?;
        let mut all = Vec::new();
        for (slot, central) in self.numeric.iter().enumerate() {
            let floor = rms(&central.values);
            let mut steps = Vec::new();
            for (index, &derivative) in central.values.iter().enumerate() {
                let mut found = None;
                for h in STEPS {
                    let wide = four_point(&mut subject, &device, slot, index, h)?;
                    if (wide - derivative).abs() <= STEP_TOLERANCE * derivative.abs().max(floor) {
                        found = Some(h);
                        break;
                    }
                }
                steps.push(found);
            }
            all.push(steps);
        }
        Ok(all)
    }
}

/// (L(h) − L(−h)) / 2h with [`STEP`]: the derivative by one number of one slot of the subject's
/// [`point`](Subject::point).
///
/// # Errors
/// Those of the device.
pub fn central(subject: &mut Subject, device: &Device, slot: usize, index: usize) -> Result<f64> {
    let mut at = |step| subject.moved(device, slot, index, step);
    Ok((at(STEP)? - at(-STEP)?) / (2.0 * STEP))
}

/// (8 (L(h) − L(−h)) − (L(2h) − L(−2h))) / 12h: exact for polynomials of degree 4.
fn four_point(subject: &mut Subject, device: &Device, slot: usize, index: usize, h: f64) -> Result<f64> {
    let mut at = |step| subject.moved(device, slot, index, step);
    // Differences first: where a number has no influence, they are exactly 0.
    Ok((8.0 * (at(h)? - at(-h)?) - (at(2.0 * h)? - at(-2.0 * h)?)) / (12.0 * h))
}

/// What backward says, and whether it says the same a second time, and to a layer that wants no dx.
fn analytic(subject: &mut Subject, device: &Device) -> Result<(Vec<Slot>, Option<String>)> {
    let mut run = |dx: bool| -> Result<_> {
        let loss = subject.forward(device)?;
        let mut output = subject.outputs();
        output.push(Slot { name: "L".into(), values: vec![loss] });
        subject.backward(device, dx)?;
        Ok((output, subject.gradients()?))
    };
    let (output, gradient) = run(true)?;
    let (output_again, again) = run(true)?;
    let (_, without_dx) = run(false)?;
    let other =
        |a: &[Slot], b: &[Slot]| a.iter().zip(b).find(|(a, b)| !same_bits(a, b)).map(|(a, _)| a.name.clone());
    let nan = output.iter().find(|slot| slot.values.iter().any(|y| y.is_nan()));
    let problem = if let Some(slot) = nan {
        Some(format!("forward left NaN in {}", slot.name))
    } else if let Some(name) = other(&output, &output_again).or(other(&gradient, &again)) {
        Some(format!("a second run gave other bits of {name}"))
    } else {
        let name = other(&gradient[1..], &without_dx[1..]);
        name.map(|name| format!("without dx, {name}'s gradient has other bits"))
    };
    Ok((gradient, problem))
}

fn same_bits(a: &Slot, b: &Slot) -> bool {
    a.values.len() == b.values.len()
        && a.values.iter().zip(&b.values).all(|(a, b)| a.to_bits() == b.to_bits())
}

fn rms(values: &[f64]) -> f64 {
    (values.iter().map(|x| x * x).sum::<f64>() / values.len() as f64).sqrt()
}

/// The element on which two gradients differ most. Anything that is not a number differs infinitely.
pub fn compare(numeric: &[Slot], analytic: &[Slot]) -> Mismatch {
    let mut worst = Mismatch { tensor: "input".into(), index: 0, numeric: 0.0, analytic: 0.0, error: 0.0 };
    for (n, a) in numeric.iter().zip(analytic) {
        let floor = rms(&n.values);
        for (index, (&numeric, &analytic)) in n.values.iter().zip(&a.values).enumerate() {
            let error = match (numeric - analytic).abs() {
                0.0 => 0.0,
                d if d.is_nan() => f64::INFINITY,
                d => d / numeric.abs().max(analytic.abs()).max(floor),
            };
            if index == 0 && worst.tensor == "input" && worst.error == 0.0 || error > worst.error {
                worst = Mismatch { tensor: n.name.clone(), index, numeric, analytic, error };
            }
        }
    }
    worst
}
