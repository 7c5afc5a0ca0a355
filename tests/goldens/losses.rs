//! Losses, and their gradients by the prediction.

use super::{
    Config, ROUNDINGS, Targets, cases, close, devices, flag, golden, number, numbers, tensor, text, unwritten,
};
use handgrad::backend::LossTerm;
use handgrad::metrics::Mean;
use handgrad::{Activation, Loss, Tensor};
use serde_json::Value;

fn loss(case: &Value) -> Loss {
    let mut config = Config::new(&case["config"]);
    let from_logits = config.take("from_logits").is_some_and(flag);
    let loss = match text(&case["loss"]).parse().unwrap() {
        Loss::Huber { delta } => Loss::Huber { delta: config.take("delta").map_or(delta, |v| number(&v)) },
        Loss::BinaryCrossentropy { .. } => Loss::BinaryCrossentropy { from_logits },
        Loss::CategoricalCrossentropy { .. } => Loss::CategoricalCrossentropy { from_logits },
        Loss::SparseCategoricalCrossentropy { .. } => Loss::SparseCategoricalCrossentropy { from_logits },
        other => other,
    };
    config.finish();
    loss
}

#[test]
fn losses_are_keras_s() {
    let file = golden("losses.json");
    for (dev, epsilon) in devices() {
        for case in cases(&file) {
            let name = format!("{} on {}", text(&case["name"]), dev.describe());
            let tolerance = ROUNDINGS * epsilon;
            let (prediction, targets) = (tensor(&dev, &case["prediction"]), Targets::new(&dev, case));
            let (count, _) = prediction.shape().as_matrix();
            let weights = case["weights"].as_array().map(|_| numbers(&case["weights"]));
            let weights = weights.map(|w| dev.tensor([w.len()], &w).unwrap());
            let weights = weights.as_ref().map(Tensor::view);
            let (loss, target) = (loss(case), targets.target());

            let mut rows = unwritten(&dev, [count].into());
            dev.loss(loss, prediction.view(), target, rows.view_mut()).unwrap();
            close(&rows.view().to_vec_f64(), &numbers(&case["rows"]), tolerance, &format!("{name}: rows"));
            let mut mean = Mean::new(&dev).unwrap();
            mean.add(&dev, rows.view(), weights).unwrap();
            close(&[mean.result().unwrap()], &[number(&case["value"])], tolerance, &format!("{name}: value"));

            let scale = 1.0 / count as f64;
            let mut term = LossTerm { loss, folded: Activation::Linear, target, weights, scale };
            let mut d = unwritten(&dev, prediction.shape());
            dev.loss_backward(&term, prediction.view(), d.view_mut()).unwrap();
            let gradient = numbers(&case["gradient"]["values"]);
            close(&d.view().to_vec_f64(), &gradient, tolerance, &format!("{name}: gradient"));

            let Some(folded) = case["folded"].as_str() else { continue };
            term.folded = folded.parse().unwrap();
            let (mut y, mut rows) = (unwritten(&dev, prediction.shape()), unwritten(&dev, [count].into()));
            let mut dz = unwritten(&dev, prediction.shape());
            dev.loss_step(&term, prediction.view(), y.view_mut(), rows.view_mut(), dz.view_mut()).unwrap();
            for (got, want, what) in [
                (&y, numbers(&case["activated"]["values"]), "y"),
                (&rows, numbers(&case["rows"]), "rows"),
                (&dz, gradient, "dz"),
            ] {
                close(&got.view().to_vec_f64(), &want, tolerance, &format!("{name}: step, {what}"));
            }
        }
    }
}
