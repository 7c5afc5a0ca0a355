//! A case on a device: the layers built, their buffers laid out, the end attached.

use super::case::{Case, End, signed};
use super::ending::Ending;
use crate::activations::Activation;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::layers::{Build, Cx, Layer, Param, Plan};
use crate::rng::Noise;
use crate::shape::Shape;
use crate::tensor::Tensor;

/// A case built on a device. Forward makes the number L, backward its gradient by every input and parameter.
///
/// The device of a forward or a backward is an argument, and need only share memory with the one that built: a test
/// can hand a faulty one to the backward alone.
pub struct Subject {
    layers: Vec<Box<dyn Layer>>,
    /// The input, then each layer's output.
    values: Vec<Tensor>,
    /// L's gradient by each of them.
    slopes: Vec<Tensor>,
    scratch: Tensor,
    end: Ending,
    /// The numbers at which to differentiate, input first, then the parameters.
    point: Vec<Slot>,
    /// Parameters that are kept and not trained, such as moving averages: they have no gradient.
    kept: usize,
    training: bool,
}

/// Some tensor's numbers on the host: values, or a gradient.
#[derive(Clone, Debug, PartialEq)]
pub struct Slot {
    /// `input`, or the parameter's name, behind its layer's place in a model: `2.kernel`.
    pub name: String,
    /// The numbers, row-major.
    pub values: Vec<f64>,
}

/// Noise of any layer in any step: fixed, so that dropout is a fixed mask.
fn noise(layer: usize) -> Noise {
    Noise { seed: 5, layer: layer as u32, step: 3 }
}

impl Subject {
    /// Builds the layers, draws inputs and parameters, and fills every buffer with NaN.
    ///
    /// # Errors
    /// The layers do not fit the case's shapes, or those of the device.
    pub fn new(device: &Device, case: &Case) -> Result<Subject> {
        let mut layers = case.layers();
        let mut shapes = vec![case.input];
        let mut rng = case.rng(0);
        for layer in &mut layers {
            let name = layer.kind().to_lowercase();
            let mut cx = Build { device, rng: &mut rng, name: &name, budget: None };
            shapes.push(layer.build(&mut cx, shapes[shapes.len() - 1])?);
        }
        if let (End::Step(_, folded), Some(last)) = (case.end, layers.last_mut())
            && folded != Activation::Linear
        {
            if last.output_activation() != folded {
                return Err(Error::invalid(
                    format!("{}: nothing to fold", case.name()),
                    "fold what is there",
                ));
            }
            last.skip_activation(true);
        }
        // Planned for one sample more than come: a short last batch, as training meets it.
        let mut plan = Plan { device, max_batch: case.batch + 1, scratch: 1 };
        layers.iter_mut().try_for_each(|layer| layer.plan(&mut plan))?;
        let scratch = device.zeros(Shape::from([plan.scratch]))?;

        let buffers =
            || shapes.iter().map(|s| device.zeros(s.batched(case.batch))).collect::<Result<Vec<_>>>();
        let (values, slopes) = (buffers()?, buffers()?);
        let output = values[layers.len()].shape();
        let end = Ending::new(device, case, output)?;
        let mut point = vec![Slot { name: "input".into(), values: case.inputs() }];
        let (mut kept, mut rng, single) = (0, case.rng(3), layers.len() == 1);
        for (i, layer) in layers.iter_mut().enumerate() {
            layer.params(&mut |p| {
                let values = signed(p.value.shape().len(), 0.05, 0.8, &mut rng);
                if p.trainable {
                    let name = if single { p.name.to_string() } else { format!("{i}.{}", p.name) };
                    p.value.view_mut().write(&values)?;
                    point.push(Slot { name, values });
                } else {
                    // Positive, as a moving variance is.
                    let values: Vec<f64> = values.iter().map(|x| 0.5 + x.abs()).collect();
                    p.value.view_mut().write(&values)?;
                    kept += 1;
                }
                Ok(())
            })?;
        }
        let training = case.training;
        let mut subject = Subject { layers, values, slopes, scratch, end, point, kept, training };
        subject.values.iter_mut().try_for_each(poison)?;
        subject.values[0].view_mut().write(&subject.point[0].values)?;
        poison(&mut subject.scratch)?;
        Ok(subject)
    }

    /// What the numbers are at which L is differentiated: the input first, then every parameter that is trained.
    pub fn point(&self) -> &[Slot] {
        &self.point
    }

    /// How many parameters are kept and not trained; they alone have no gradient.
    pub fn kept(&self) -> usize {
        self.kept
    }

    /// What the last forward wrote: the last layer's output; of a loss also its rows, and the prediction that a step
    /// makes of the output.
    pub fn outputs(&self) -> Vec<Slot> {
        let output = Some(("output", self.values[self.layers.len()].view()));
        let all = output.into_iter().chain(self.end.outputs());
        all.map(|(name, view)| Slot { name: name.into(), values: view.to_vec_f64() }).collect()
    }

    /// The output's extents, batch and all.
    pub fn output_shape(&self) -> Shape {
        self.values[self.layers.len()].shape()
    }

    /// Has the last layer leave its activation out.
    pub fn skip_activation(&mut self) {
        if let Some(last) = self.layers.last_mut() {
            last.skip_activation(true);
        }
    }

    /// Everything forward, to the number L, summed in f64.
    ///
    /// # Errors
    /// Those of the device.
    pub fn forward(&mut self, device: &Device) -> Result<f64> {
        for (i, layer) in self.layers.iter_mut().enumerate() {
            let (below, above) = self.values.split_at_mut(i + 1);
            let mut cx = Cx::new(device, self.training, noise(i), self.scratch.view_mut());
            layer.forward(&mut cx, below[i].view(), above[0].view_mut())?;
        }
        let last = self.layers.len();
        self.end.forward(device, self.values[last].view(), self.slopes[last].view_mut())
    }

    /// Everything backward, into buffers that hold NaN: whatever is not written shows. Forward comes first.
    ///
    /// # Errors
    /// Those of the device.
    pub fn backward(&mut self, device: &Device, dx: bool) -> Result<()> {
        self.slopes.iter_mut().try_for_each(poison)?;
        poison(&mut self.scratch)?;
        self.each_param(&mut |p| poison(&mut p.grad))?;
        let last = self.layers.len();
        self.end.backward(device, self.values[last].view(), self.slopes[last].view_mut())?;
        for (i, layer) in self.layers.iter_mut().enumerate().rev() {
            let (below, above) = self.slopes.split_at_mut(i + 1);
            let mut cx = Cx::new(device, self.training, noise(i), self.scratch.view_mut());
            let (x, y) = (self.values[i].view(), self.values[i + 1].view());
            let wanted = (i > 0 || dx).then(|| below[i].view_mut());
            layer.backward(&mut cx, x, y, above[0].view_mut(), wanted)?;
        }
        Ok(())
    }

    /// The gradients that the last backward wrote, in the order of [`point`](Subject::point).
    ///
    /// # Errors
    /// None: the layers visit their parameters.
    pub fn gradients(&mut self) -> Result<Vec<Slot>> {
        let mut gradients = vec![self.slopes[0].view().to_vec_f64()];
        self.each_param(&mut |p| {
            gradients.push(p.grad.view().to_vec_f64());
            Ok(())
        })?;
        let names = self.point.iter().map(|slot| slot.name.clone());
        Ok(names.zip(gradients).map(|(name, values)| Slot { name, values }).collect())
    }

    /// Moves the whole of one slot of the [`point`](Subject::point) elsewhere.
    ///
    /// # Errors
    /// `values` are not as many as the slot has.
    pub fn write(&mut self, slot: usize, values: &[f64]) -> Result<()> {
        self.point[slot].values = values.to_vec();
        self.load(slot)
    }

    /// L with one number moved by `step`; the number is put back.
    ///
    /// # Errors
    /// Those of the device.
    pub fn moved(&mut self, device: &Device, slot: usize, index: usize, step: f64) -> Result<f64> {
        let stood = self.point[slot].values[index];
        self.point[slot].values[index] = stood + step;
        self.load(slot)?;
        let loss = self.forward(device);
        self.point[slot].values[index] = stood;
        self.load(slot)?;
        loss
    }

    /// Writes a slot's numbers to the device.
    fn load(&mut self, slot: usize) -> Result<()> {
        let values = std::mem::take(&mut self.point[slot].values);
        let mut at = 0;
        match slot {
            0 => self.values[0].view_mut().write(&values)?,
            _ => self.each_param(&mut |p| {
                at += 1;
                if at == slot { p.value.view_mut().write(&values) } else { Ok(()) }
            })?,
        }
        self.point[slot].values = values;
        Ok(())
    }

    /// Every parameter that is trained, in order.
    fn each_param(&mut self, visit: &mut dyn FnMut(&mut Param) -> Result<()>) -> Result<()> {
        let mut trained = |p: &mut Param| if p.trainable { visit(p) } else { Ok(()) };
        self.layers.iter_mut().try_for_each(|layer| layer.params(&mut trained))
    }
}

/// Fills a buffer with NaN: whoever reads what was not written will show it.
fn poison(tensor: &mut Tensor) -> Result<()> {
    let n = tensor.shape().len();
    tensor.view_mut().write(&vec![f64::NAN; n])
}
