//! Whole training runs on real data, against the published figures of the same models.
//!
//! Fails if anything between the file and the last weight is wrong enough to matter: a loader, a layer, a loss, an
//! optimizer, the shuffling. The models of logic gates are in `presets.rs`.

use handgrad::model::{Compile, Fit, Scores};
use handgrad::presets::{Figures, Preset};
use handgrad::{Device, Isa};

/// The processor as most machines have it. Figures that lie close to their bar need the same bits everywhere, and each
/// instruction set rounds in its own way; that all of them are right is for `parity.rs`. One thread for each, as these
/// tests run side by side: threads change no bit, but two crews on the same cores keep each other waiting.
fn processor() -> Device {
    Device::cpu_with(Some(1), Some(Isa::Avx2).filter(|isa| isa.is_available())).unwrap()
}

/// Trains a preset on the processor and compares its accuracies with the published ones.
fn replay(name: &str, epochs: Option<usize>) {
    let preset = Preset::named(name).unwrap();
    let data = preset.load(None, None, 0).unwrap_or_else(|e| panic!("{name}: {e} ({:?})", e.hint()));
    let mut model = (preset.model)().device(&processor());
    model
        .compile(Compile::new(preset.loss).optimizer(preset.optimizer().unwrap()).metric("accuracy"))
        .unwrap();
    let mut keeper = preset.keeper();
    let mut fit = Fit::new().epochs(epochs.unwrap_or(preset.epochs)).batch_size(preset.batch_size).verbose(0);
    if let Some(validation) = &data.validation {
        fit = fit.validation(validation);
    }
    if let Some(keeper) = &mut keeper {
        fit = fit.callback(keeper);
    }
    let history = model.fit(&data.train, fit).unwrap();
    let kept = keeper.and_then(|k| k.best_epoch()).unwrap_or(history.epochs.len() - 1);
    let kept = &history.epochs[kept].scores;
    let part = |prefix: &str| kept.get(&format!("{prefix}accuracy"));
    agree(name, "training", part(""), preset.published.training);
    agree(name, "validation", part("val_"), preset.published.validation);
    let test: Option<Scores> = data.test.as_ref().map(|t| model.evaluate(t, preset.batch_size).unwrap());
    agree(name, "test", test.and_then(|t| t.get("accuracy")), preset.published.test);
}

fn agree(preset: &str, part: &str, accuracy: Option<f64>, published: Figures) {
    let Some(accuracy) = accuracy else { return };
    eprintln!("{preset}, {part}: accuracy {accuracy:.4}, published {}", published.accuracy);
    assert!(
        published.accuracy.agrees(accuracy, 0.01),
        "{preset}, {part}: {accuracy}, not {}",
        published.accuracy
    );
}

#[test]
fn mnist_mlp() {
    replay("mnist-mlp", None);
}

#[test]
fn mnist_cnn_reaches_99_percent_in_five_epochs() {
    replay("mnist-cnn", Some(5));
}

/// After five epochs this model is at 0.978, here as in Keras 3.15, whose loss and accuracy fall in the same steps.
#[test]
fn mnist_lstm_reaches_98_percent_in_ten_epochs() {
    replay("mnist-lstm", None);
}

/// Fashion-MNIST is not in the repository: these run where `HANDGRAD_FASHION_MNIST` says where it is. (Tests begin in the
/// order of their names, the two long ones above first.)
#[test]
fn the_models_of_fashion_mnist() {
    if std::env::var_os("HANDGRAD_FASHION_MNIST").is_none() {
        eprintln!("SKIPPED: HANDGRAD_FASHION_MNIST does not say where Fashion-MNIST is");
        return;
    }
    for name in ["softmax", "sigmoid", "relu", "adam", "dropout", "early-stopping"] {
        replay(&format!("fashion-{name}"), None);
    }
}
