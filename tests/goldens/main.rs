//! What Keras and PyTorch say, against every device: layers forward and backward, optimizers, schedules, losses, metrics,
//! initializers.
//!
//! `make.py` beside this file computed the files in float64 from inputs that are exact in float32. So a device may differ by its
//! own rounding alone, and is held to it: to [`ROUNDINGS`] units in the last place of a tensor's largest number.

mod initializers;
mod layers;
mod losses;
mod metrics;
mod optimizers;

use handgrad::{Device, Indices, Isa, Shape, Target, Tensor};
use serde_json::{Map, Value};

/// How many units in the last place of a tensor's largest number each of its numbers may be off by. Most are off by 4
/// at most, and none by 8 where it was measured (AVX2, portable, f64). Gradients of Dense and Conv are measured by the
/// terms that they sum, which may cancel.
const ROUNDINGS: f64 = 16.0;

// ---------------------------------------------------------------- reading

fn golden(file: &str) -> Value {
    let path = format!("{}/tests/goldens/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The cases of a file; none would be a test of nothing.
fn cases(file: &Value) -> &[Value] {
    let cases = list(&file["cases"]);
    assert!(!cases.is_empty());
    cases
}

fn list(v: &Value) -> &[Value] {
    v.as_array().unwrap_or_else(|| panic!("{v} is not a list"))
}

fn number(v: &Value) -> f64 {
    v.as_f64().unwrap_or_else(|| panic!("{v} is not a number"))
}

fn count(v: &Value) -> usize {
    v.as_u64().unwrap_or_else(|| panic!("{v} is not a count")) as usize
}

fn text(v: &Value) -> &str {
    v.as_str().unwrap_or_else(|| panic!("{v} is not text"))
}

fn flag(v: Value) -> bool {
    v.as_bool().unwrap()
}

fn numbers(v: &Value) -> Vec<f64> {
    list(v).iter().map(number).collect()
}

fn shape(v: &Value) -> Shape {
    Shape::new(&list(v).iter().map(count).collect::<Vec<_>>()).unwrap()
}

fn tensor(dev: &Device, v: &Value) -> Tensor {
    dev.tensor(shape(&v["shape"]), &numbers(&v["values"])).unwrap()
}

/// A configuration; every entry must be asked for.
struct Config(Map<String, Value>);

impl Config {
    fn new(v: &Value) -> Config {
        Config(v.as_object().cloned().unwrap_or_else(|| panic!("{v} is not a configuration")))
    }

    fn take(&mut self, key: &str) -> Option<Value> {
        self.0.remove(key)
    }

    /// Passes the entry `key` to `set`, if it is there.
    fn set<T>(&mut self, key: &str, built: T, set: impl FnOnce(T, Value) -> T) -> T {
        match self.take(key) {
            Some(value) => set(built, value),
            None => built,
        }
    }

    fn finish(self) {
        assert!(self.0.is_empty(), "nobody asked for {:?}", self.0);
    }
}

// ---------------------------------------------------------------- comparing

/// The devices under test and their precision: the spacing of numbers just above 1. The processor comes once for each
/// instruction set that it has.
fn devices() -> Vec<(Device, f64)> {
    let cpu = |isa| (Device::cpu_with(None, Some(isa)).unwrap(), f64::from(f32::EPSILON));
    [(Device::reference(), f64::EPSILON)].into_iter().chain(Isa::available().map(cpu)).collect()
}

/// Tensors filled with NaN, so that a number which is read before it is written, or not written, shows.
fn unwritten(dev: &Device, shape: Shape) -> Tensor {
    let mut t = dev.zeros(shape).unwrap();
    dev.fill(f64::NAN, t.view_mut()).unwrap();
    t
}

/// Holds `got` to `want` within `tolerance` of the largest number in `want`.
fn close(got: &[f64], want: &[f64], tolerance: f64, what: &str) {
    let largest = want.iter().fold(0.0f64, |m, x| m.max(x.abs()));
    close_to(got, want, tolerance * largest, what);
}

fn close_to(got: &[f64], want: &[f64], tolerance: f64, what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        let error = (g - w).abs();
        assert!(error <= tolerance, "{what}[{i}]: {g} is not {w}, off by {error:.1e} of {tolerance:.1e}");
    }
}

#[test]
fn what_is_wrong_is_not_close() {
    for wrong in [[1.0, 2.0 + 1e-12], [f64::NAN, 2.0], [1.0, f64::INFINITY]] {
        assert!(
            std::panic::catch_unwind(|| close(&wrong, &[1.0, 2.0], 1e-13, "planted")).is_err(),
            "{wrong:?}"
        );
    }
    assert!(std::panic::catch_unwind(|| close(&[1.0], &[1.0, 2.0], 1e-13, "planted")).is_err());
}

// ---------------------------------------------------------------- targets

/// A batch's targets: values or labels.
enum Targets {
    Values(Tensor),
    Labels(Indices),
}

impl Targets {
    fn new(dev: &Device, case: &Value) -> Targets {
        let Some(labels) = case["labels"].as_array() else {
            return Targets::Values(tensor(dev, &case["target"]));
        };
        let labels: Vec<u32> = labels.iter().map(|l| count(l) as u32).collect();
        let mut indices = dev.indices([labels.len()].into()).unwrap();
        indices.write(&labels).unwrap();
        Targets::Labels(indices)
    }

    fn target(&self) -> Target<'_> {
        match self {
            Targets::Values(v) => Target::Values(v.view()),
            Targets::Labels(l) => Target::Labels(l.view()),
        }
    }
}
