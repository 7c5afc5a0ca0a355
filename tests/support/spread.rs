//! How far a whole layer in f32 may be from the same layer in f64: as far as rounding takes it, and no farther.
//!
//! The bound follows the arithmetic. The case runs in f64 several times; each time every input, every parameter and
//! every number that any op writes is off by a random part of itself, up to f32's precision. A sum that cancels spreads
//! as widely as it does in f32; a product does not. What an element's results spread over, times a factor for the
//! rounding inside long sums, is its bound.

use crate::faults::rounding;
use handgrad::Device;
use handgrad::gradcheck::{Case, Slot, Subject};

/// How precise an op of an f32 device is, its exponentials included: two units in the last place.
const PRECISION: f64 = 1.0 / 4194304.0;

/// A sum of K terms rounds K times, and a run of this module once: √K between typical errors, for K up to 64.
const FACTOR: f64 = 8.0;

/// L and all outputs, then L's gradient by every input and parameter.
pub fn run(subject: &mut Subject, device: &Device) -> Vec<Slot> {
    let loss = subject.forward(device).unwrap();
    let mut all = vec![Slot { name: "L".into(), values: vec![loss] }];
    all.extend(subject.outputs());
    subject.backward(device, true).unwrap();
    all.extend(subject.gradients().unwrap());
    all
}

/// What the reference device says, and how far from it an f32 device may be.
pub struct Bounds {
    pub exact: Vec<Slot>,
    pub bounds: Vec<Vec<f64>>,
}

impl Bounds {
    pub fn new(case: &Case) -> Bounds {
        let reference = Device::reference();
        let exact = run(&mut Subject::new(&reference, case).unwrap(), &reference);
        let mut bounds: Vec<Vec<f64>> = exact.iter().map(|s| vec![0.0; s.values.len()]).collect();
        for seed in 0..8 {
            let device = rounding(&reference, PRECISION, 1000 * seed);
            let mut subject = Subject::new(&reference, case).unwrap();
            for slot in 0..subject.point().len() {
                let mut rng = handgrad::Rng::new(seed, slot as u64);
                let values = subject.point()[slot].values.iter();
                let shaken: Vec<f64> =
                    values.map(|x| x * (1.0 + PRECISION * (2.0 * rng.uniform() - 1.0))).collect();
                subject.write(slot, &shaken).unwrap();
            }
            for (slot, shaken) in run(&mut subject, &device).iter().enumerate() {
                let pairs = shaken.values.iter().zip(&exact[slot].values);
                bounds[slot].iter_mut().zip(pairs).for_each(|(b, (s, e))| *b = b.max((s - e).abs()));
            }
        }
        for tensor in &mut bounds {
            let rms = (tensor.iter().map(|b| b * b).sum::<f64>() / tensor.len() as f64).sqrt();
            tensor.iter_mut().for_each(|b| *b = FACTOR * b.max(rms));
        }
        Bounds { exact, bounds }
    }

    /// The first element that is farther off than rounding explains.
    pub fn violated(&self, got: &[Slot]) -> Option<String> {
        assert_eq!(got.len(), self.exact.len());
        for ((got, exact), bounds) in got.iter().zip(&self.exact).zip(&self.bounds) {
            assert_eq!(got.values.len(), exact.values.len());
            for (i, ((g, e), bound)) in got.values.iter().zip(&exact.values).zip(bounds).enumerate() {
                let within = (g - e).abs() <= *bound;
                if !within {
                    return Some(format!("{}[{i}]: {g} for {e}, off by more than {bound:.1e}", got.name));
                }
            }
        }
        None
    }
}
