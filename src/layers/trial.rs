//! A layer on trial: built alone on the reference device, and run on numbers that a test can work out by hand.
//!
//! Every output is full of NaN before the layer writes it, so that a number left out, or read too early, shows.

use super::{Build, Cx, Layer, Param, Plan};
use crate::device::Device;
use crate::error::Result;
use crate::rng::{Noise, Rng};
use crate::shape::Shape;
use crate::tensor::Tensor;

pub(crate) struct Trial<L> {
    pub(crate) layer: L,
    pub(crate) output: Shape,
    pub(crate) training: bool,
    input: Shape,
    device: Device,
    scratch: Tensor,
}

impl<L: Layer> Trial<L> {
    /// Builds `layer` for samples of shape `input` and plans it for batches of up to 8.
    pub(crate) fn new(mut layer: L, input: impl Into<Shape>) -> Result<Trial<L>> {
        let (device, input) = (Device::reference(), input.into());
        let mut build = Build { device: &device, rng: &mut Rng::new(1, 0), name: "on_trial", budget: None };
        let output = layer.build(&mut build, input)?;
        let mut plan = Plan { device: &device, max_batch: 8, scratch: 0 };
        layer.plan(&mut plan)?;
        let scratch = unwritten(&device, Shape::from([plan.scratch]))?;
        Ok(Trial { layer, output, training: true, input, device, scratch })
    }

    fn run(&mut self, x: &[f64], dy: Option<&[f64]>) -> Result<(Vec<f64>, Vec<f64>)> {
        let n = x.len() / self.input.len();
        let x = self.device.tensor(self.input.batched(n), x)?;
        let mut y = unwritten(&self.device, self.output.batched(n))?;
        let mut dx = unwritten(&self.device, x.shape())?;
        let noise = Noise { seed: 1, layer: 2, step: 3 };
        let (device, scratch) = (&self.device, self.scratch.view_mut());
        let mut cx = Cx::new(device, self.training, noise, scratch);
        self.layer.forward(&mut cx, x.view(), y.view_mut())?;
        if let Some(dy) = dy {
            let mut dy = device.tensor(y.shape(), dy)?;
            self.layer.backward(&mut cx, x.view(), y.view(), dy.view_mut(), Some(dx.view_mut()))?;
        }
        Ok((y.view().to_vec_f64(), dx.view().to_vec_f64()))
    }

    /// y of a batch.
    pub(crate) fn forward(&mut self, x: &[f64]) -> Vec<f64> {
        self.run(x, None).unwrap().0
    }

    /// dx of a batch, with the parameters' gradients left in the layer.
    pub(crate) fn backward(&mut self, x: &[f64], dy: &[f64]) -> Vec<f64> {
        self.run(x, Some(dy)).unwrap().1
    }

    /// The parameters' names, in order.
    pub(crate) fn names(&mut self) -> Vec<&'static str> {
        let mut names = Vec::new();
        self.each(|p| names.push(p.name));
        names
    }

    /// Sets a parameter.
    pub(crate) fn set(&mut self, name: &str, values: &[f64]) {
        assert!(self.names().contains(&name), "no parameter `{name}`");
        self.each(|p| {
            if p.name == name {
                p.value.view_mut().write(values).unwrap();
            }
        });
    }

    /// A parameter's value.
    pub(crate) fn value(&mut self, name: &str) -> Vec<f64> {
        let mut found = Vec::new();
        self.each(|p| found.extend((p.name == name).then(|| p.view().to_vec_f64())));
        found.remove(0)
    }

    /// A parameter's gradient.
    pub(crate) fn grad(&mut self, name: &str) -> Vec<f64> {
        let mut found = Vec::new();
        self.each(|p| found.extend((p.name == name).then(|| p.grad.view().to_vec_f64())));
        found.remove(0)
    }

    fn each(&mut self, mut see: impl FnMut(&mut Param)) {
        let seen = self.layer.params(&mut |p| {
            see(p);
            Ok(())
        });
        seen.unwrap();
    }
}

fn unwritten(device: &Device, shape: Shape) -> Result<Tensor> {
    let mut t = device.zeros(shape)?;
    device.fill(f64::NAN, t.view_mut())?;
    Ok(t)
}

/// The error that building `layer` for samples of shape `input` ends in, with its hint.
pub(crate) fn refusal(layer: impl Layer, input: impl Into<Shape>) -> (String, String) {
    let error = Trial::new(layer, input).err().expect("the layer was built");
    (error.to_string(), error.hint().unwrap_or_default().to_string())
}

/// Fails where two lists differ in length, or by more than `tolerance` of the wanted number (of 1, if that is smaller).
#[track_caller]
pub(crate) fn assert_close(got: &[f64], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len(), "{got:?} is not {want:?}");
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!(
            (g - w).abs() <= tolerance * w.abs().max(1.0),
            "[{i}]: {g} is not {w}\n got {got:?}\nwant {want:?}"
        );
    }
}
