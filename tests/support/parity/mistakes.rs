//! Mistakes that shapes do not show: wrong kinds of target, indices out of range, parameters out of their domain.

use super::*;
use handgrad::backend::{CellActivations, LossTerm};
use handgrad::metrics::Score;
use handgrad::optimizers::{Rule, Update};
use handgrad::rng::Noise;
use handgrad::{Activation, HostRows, Loss, Target};

/// Every mistake on `device`: each must be an error, and none a panic.
pub(crate) fn mistakes(device: &Device) {
    let zeros = |shape: &[usize]| device.zeros(Shape::new(shape).unwrap()).unwrap();
    let refused = |what: &str, op: &dyn Fn() -> Result<()>| match catch_unwind(AssertUnwindSafe(op)) {
        Ok(Err(Error::OpShape { .. })) => {}
        Ok(answer) => panic!("{what} on {}: {answer:?}", device.describe()),
        Err(_) => panic!("{what} on {}: panicked", device.describe()),
    };

    let load = |len: usize, order: &[u32]| {
        device.load_rows(HostRows::F32(&vec![0.0; len]), order, zeros(&[2, 3]).view_mut())
    };
    refused("load_rows: a row that is not there", &|| load(9, &[0, 3]));
    refused("load_rows: the largest number as a row", &|| load(9, &[u32::MAX, 0]));
    refused("load_rows: half a row", &|| load(8, &[0, 1]));
    refused("load_rows: a row too few", &|| load(9, &[0]));

    let columns = |from: usize, to: usize, width: usize| {
        device.copy_columns(zeros(&[2, 4]).view(), from, zeros(&[2, 5]).view_mut(), to, width)
    };
    refused("copy_columns: beyond x", &|| columns(2, 0, 3));
    refused("copy_columns: beyond y", &|| columns(0, 4, 2));
    refused("copy_columns: more than a word holds", &|| columns(2, 0, usize::MAX));
    refused("swap_axes: of one axis", &|| device.swap_axes(zeros(&[4]).view(), zeros(&[4]).view_mut()));

    for f in ["gelu", "silu"] {
        let f: Activation = f.parse().unwrap();
        refused("activation_backward: without x", &|| {
            device.activation_backward(f, None, zeros(&[3]).view(), zeros(&[3]).view_mut())
        });
    }
    let noise = Noise { seed: 1, layer: 2, step: 3 };
    for rate in [1.0, 2.0, -0.1, f64::NAN] {
        refused("dropout: a rate out of range", &|| {
            device.dropout(rate, noise, zeros(&[3]).view(), zeros(&[3]).view_mut())
        });
    }
    refused("moments: of no rows", &|| {
        device.moments(zeros(&[0, 3]).view(), zeros(&[3]).view_mut(), zeros(&[3]).view_mut())
    });

    let (p, values) = (zeros(&[2, 3]), zeros(&[2, 3]));
    let labels = device.indices([2].into()).unwrap();
    let (values, labels) = (Target::Values(values.view()), Target::Labels(labels.view()));
    let sparse = Loss::SparseCategoricalCrossentropy { from_logits: true };
    for (loss, target) in [(Loss::MeanSquaredError, labels), (sparse, values)] {
        let term = LossTerm { loss, folded: Activation::Linear, target, weights: None, scale: 1.0 };
        refused("loss: the other kind of target", &|| {
            device.loss(loss, p.view(), target, zeros(&[2]).view_mut())
        });
        refused("loss_backward: the other kind of target", &|| {
            device.loss_backward(&term, p.view(), zeros(&[2, 3]).view_mut())
        });
        refused("loss_step: the other kind of target", &|| {
            let [mut y, mut dz] = [zeros(&[2, 3]), zeros(&[2, 3])];
            device.loss_step(&term, p.view(), y.view_mut(), zeros(&[2]).view_mut(), dz.view_mut())
        });
    }
    refused("score: a binary score of labels", &|| {
        device.score(Score::Binary { threshold: 0.5 }, p.view(), labels, zeros(&[2]).view_mut())
    });

    for f in [Activation::Softmax, Activation::Silu] {
        for acts in [
            CellActivations { activation: f, recurrent: Activation::Sigmoid },
            CellActivations { activation: Activation::Tanh, recurrent: f },
        ] {
            let (four, three, one) = (|| zeros(&[2, 12]), || zeros(&[2, 9]), || zeros(&[2, 3]));
            refused("lstm_step: an activation that cells cannot use", &|| {
                device.lstm_step(acts, four().view_mut(), None, one().view_mut(), one().view_mut())
            });
            refused("lstm_step_backward: an activation that cells cannot use", &|| {
                let mut dc = one();
                device.lstm_step_backward(
                    acts,
                    four().view_mut(),
                    None,
                    one().view(),
                    one().view(),
                    dc.view_mut(),
                )
            });
            refused("gru_step: an activation that cells cannot use", &|| {
                device.gru_step(acts, three().view_mut(), three().view(), None, one().view_mut())
            });
            refused("gru_step_backward: an activation that cells cannot use", &|| {
                device.gru_step_backward(acts, three().view_mut(), three().view_mut(), None, one().view_mut())
            });
        }
    }

    for slots in [0, 1, 3] {
        let rule = Rule::Adam { alpha: 0.1, beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7, amsgrad: false };
        refused("update: the wrong number of slots", &|| {
            let mut tensors: Vec<Tensor> = (0..slots).map(|_| zeros(&[3])).collect();
            let u = Update { decay: 0.0, rule };
            device.update(&u, zeros(&[3]).view_mut(), zeros(&[3]).view(), &mut tensors)
        });
    }
}
