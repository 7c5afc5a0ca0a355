//! The logic gates, trained in full on every seed: what the course promises, and what it says cannot be.

use handgrad::Device;
use handgrad::model::{Compile, Fit};
use handgrad::presets::Preset;

/// Final loss and accuracy on seeds 0 to 99.
fn train(name: &str) -> Vec<(f64, f64)> {
    let preset = Preset::named(name).unwrap();
    let figures = |seed| {
        let data = preset.load(None, None, seed).unwrap().train;
        let mut model = (preset.model)().seed(seed).device(&Device::reference());
        let compile = Compile::new(preset.loss).optimizer(preset.optimizer().unwrap()).metric("accuracy");
        model.compile(compile).unwrap();
        let fit = Fit::new().epochs(preset.epochs).batch_size(preset.batch_size).verbose(0);
        let history = model.fit(&data, fit).unwrap();
        (history.last("loss").unwrap(), history.last("accuracy").unwrap())
    };
    (0..100).map(figures).collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A line separates these: one linear unit must learn them. 1/16 is the least that its squared error can be.
#[test]
fn one_unit_learns_or_and_nand() {
    for name in ["or", "and", "nand"] {
        let figures = train(name);
        assert!(
            figures.iter().all(|&(loss, accuracy)| accuracy == 1.0 && loss >= 0.0625),
            "{name}: {figures:?}"
        );
        let loss = median(figures.iter().map(|f| f.0).collect());
        assert!((loss - 0.07).abs() <= 0.01, "{name}: {loss}");
    }
}

/// No line separates xor's classes (Minsky, Papert 1969): the best that one linear unit can do is ½ everywhere.
#[test]
fn one_unit_cannot_learn_xor() {
    let figures = train("xor-perceptron");
    assert!(
        figures.iter().all(|&(loss, accuracy)| (0.25..0.28).contains(&loss) && accuracy < 1.0),
        "{figures:?}"
    );
    assert!(median(figures.iter().map(|f| f.1).collect()) <= 0.5);
}

#[test]
fn a_hidden_layer_learns_xor_on_every_seed() {
    let figures = train("xor");
    assert!(figures.iter().all(|&(_, accuracy)| accuracy == 1.0), "{figures:?}");
    let loss = median(figures.iter().map(|f| f.0).collect());
    assert!((loss - 0.06).abs() <= 0.01, "{loss}");
}
