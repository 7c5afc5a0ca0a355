//! Rows that do not fit into a block's registers, and rows of infinities: what the table of cases leaves out.

use super::{gpu, in_each_order};
use handgrad::backend::LossTerm;
use handgrad::{Activation, Device, Loss, Result, Rng, Target, Tensor};

/// Around what a warp and a block keep in registers, and far beyond.
const COLUMNS: [usize; 7] = [512, 513, 8191, 8192, 8193, 9000, 20_000];

/// The largest distance of `got` from `want`, beside the largest of `want`. What is not finite must be the same.
fn distance(want: &[f64], got: &[f64]) -> f64 {
    assert_eq!(want.len(), got.len());
    let largest = want.iter().filter(|w| w.is_finite()).fold(1e-30, |a: f64, w| a.max(w.abs()));
    let off = want.iter().zip(got).map(|(w, g)| match w.is_finite() {
        true => (w - g).abs() / largest,
        false if w.is_nan() == g.is_nan() && (w.is_nan() || w == g) => 0.0,
        false => f64::INFINITY,
    });
    off.fold(0.0, |a, b| if b <= a { a } else { b }) // NaN is large
}

/// All ops on rows of z [2, cols], on one device: what they wrote.
fn all(device: &Device, z: &[f64], t: &[f64], labels: &[u32]) -> Result<Vec<Vec<f64>>> {
    let shape = [2, z.len() / 2];
    let tensor = |values: &[f64]| device.tensor(shape, values);
    let (z, t) = (tensor(z)?, tensor(t)?);
    let mut out = Vec::new();
    let mut keep = |tensors: &[&Tensor]| out.extend(tensors.iter().map(|t| t.view().to_vec_f64()));

    let (mut y, mut dy) = (tensor(&vec![0.0; z.shape().len()])?, tensor(&t.view().to_vec_f64())?);
    device.copy(z.view(), y.view_mut())?;
    device.activate(Activation::Softmax, y.view_mut())?;
    device.activation_backward(Activation::Softmax, None, y.view(), dy.view_mut())?;
    keep(&[&y, &dy]);

    let mut indices = device.indices([2].into())?;
    indices.write(labels)?;
    let (values, labels) = (Target::Values(t.view()), Target::Labels(indices.view()));
    let (mut rows, mut d) = (device.zeros([2].into())?, device.zeros(shape.into())?);
    for from_logits in [true, false] {
        for (loss, target) in [
            (Loss::CategoricalCrossentropy { from_logits }, values),
            (Loss::SparseCategoricalCrossentropy { from_logits }, labels),
        ] {
            let folded = if from_logits { Activation::Softmax } else { Activation::Linear };
            let term = LossTerm { loss, folded, target, weights: None, scale: 0.5 };
            // Probabilities that are not the targets: those would have a gradient of 0.
            let p: Vec<f64> = match from_logits {
                true => z.view().to_vec_f64(),
                false => t.view().to_vec_f64().into_iter().rev().collect(),
            };
            let p = tensor(&p)?;
            device.loss_step(&term, p.view(), y.view_mut(), rows.view_mut(), d.view_mut())?;
            keep(&[&y, &rows, &d]);
        }
    }
    let term = LossTerm {
        loss: Loss::MeanSquaredError,
        folded: Activation::Linear,
        target: values,
        weights: None,
        scale: 0.5,
    };
    device.loss_step(&term, z.view(), y.view_mut(), rows.view_mut(), d.view_mut())?;
    keep(&[&rows, &d]);
    Ok(out)
}

#[test]
fn rows_longer_than_registers() {
    let (Some(device), oracle) = (gpu::device(), Device::reference()) else { return };
    in_each_order(|order| {
        for cols in COLUMNS {
            let mut rng = Rng::new(3, cols as u64);
            let f32ed = |x: f64| f64::from(x as f32);
            let mut z: Vec<f64> = (0..2 * cols).map(|_| f32ed(3.0 * rng.normal())).collect();
            let t: Vec<f64> = (0..2 * cols).map(|_| f32ed(0.01 + rng.uniform())).collect();
            z[cols - 1] = 40.0; // the largest comes last, and again and again before it
            (0..cols).step_by(97).for_each(|j| z[cols + j] = 10.0 + j as f64 / 512.0);
            let labels = [cols as u32 - 1, 0];
            let want = all(&oracle, &z, &t, &labels).unwrap();
            let got = all(&device, &z, &t, &labels).unwrap();
            for (i, (want, got)) in want.iter().zip(&got).enumerate() {
                let off = distance(want, got);
                assert!(off <= 2e-5, "{cols} columns, warps in {order}: output {i} is off by {off:e}");
            }
        }
    });
}

/// A mask of −∞ leaves the rest alone; +∞, NaN, and nothing but −∞, spoil the row, as they do on the reference device.
#[test]
fn infinities_and_nan_are_the_references() {
    let (Some(device), oracle) = (gpu::device(), Device::reference()) else { return };
    let inf = f64::INFINITY;
    in_each_order(|order| {
        for cols in [1, 3, 10, 33, 600, 9000] {
            for (i, special) in [-inf, inf, f64::NAN].into_iter().enumerate() {
                for every in [1, 2, cols] {
                    let mut z: Vec<f64> = (0..2 * cols).map(|e| f64::from((e % 7) as u8)).collect();
                    (0..cols).step_by(every).for_each(|j| z[cols + j] = special);
                    let soft = |device: &Device| {
                        let mut y = device.tensor([2, cols], &z).unwrap();
                        device.activate(Activation::Softmax, y.view_mut()).unwrap();
                        let mut labels = device.indices([2].into()).unwrap();
                        labels.write(&[0, cols as u32 - 1]).unwrap();
                        let z = device.tensor([2, cols], &z).unwrap();
                        let mut rows = device.zeros([2].into()).unwrap();
                        let loss = Loss::SparseCategoricalCrossentropy { from_logits: true };
                        let target = Target::Labels(labels.view());
                        device.loss(loss, z.view(), target, rows.view_mut()).unwrap();
                        [y.view().to_vec_f64(), rows.view().to_vec_f64()]
                    };
                    let (want, got) = (soft(&oracle), soft(&device));
                    for (what, (want, got)) in ["softmax", "loss"].into_iter().zip(want.iter().zip(&got)) {
                        let same = want.iter().zip(got).all(|(w, g)| w.is_nan() == g.is_nan());
                        let off = distance(want, got);
                        // A loss of a label that was masked is 0 · ∞ to the reference, and ∞ to those who look at
                        // the label alone.
                        let masked = what == "loss" && i == 0;
                        assert!(
                            masked || same && off <= 1e-6,
                            "{what}, {special} every {every} of {cols}, {order}: {want:?}, {got:?}"
                        );
                    }
                }
            }
        }
    });
}
