//! Models and weights in files: what is saved comes back whole, training goes on bit for bit, and a saving that is
//! killed leaves the old file or the new one.

use handgrad::callbacks::{
    Callback, EarlyStopping, Flow, LearningRateScheduler, ModelCheckpoint, ReduceLROnPlateau, Running,
};
use handgrad::config::Config;
use handgrad::data::{AtomicFile, Dataset, Features, Targets};
use handgrad::io::Checkpoints;
use handgrad::layers::*;
use handgrad::model::{Compile, Epoch, Fit, Weight};
use handgrad::optimizers::{Adam, Optimizer, RmsProp, Sgd};
use handgrad::schedules::Schedule;
use handgrad::{Activation, Device, Result, Rng, Sequential, Shape, View, ViewMut, io};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// `n` noisy images of 6×6 in 3 classes.
fn data(n: usize, seed: u64) -> Dataset {
    let mut rng = Rng::new(seed, 0);
    let labels: Vec<u32> = (0..n as u32).map(|i| i % 3).collect();
    let of = |&label: &u32| (0..36).map(move |i| if i % 3 == label as usize { 90 } else { 20 });
    let bytes = labels.iter().flat_map(of).map(|b| b + rng.below(120) as u8).collect();
    let x = Features::Bytes { sample: Shape::from([6, 6, 1]), bytes, scale: 1.0 / 255.0 };
    Dataset::new(x, Targets::labels(labels)).unwrap()
}

/// With all that has a state: noise, moving statistics, a recurrent layer.
fn model() -> Sequential {
    Sequential::new()
        .name("패션")
        .seed(5)
        .with(Conv2D::new(4, 3).activation(Activation::Relu))
        .with(BatchNormalization::new())
        .with(Reshape::new([4, 16]))
        .with(("gedächtnis", GRU::new(5)))
        .with(Dropout::new(0.25))
        .with(Dense::new(3).activation(Activation::Softmax))
}

fn compile(optimizer: impl Into<Optimizer>) -> Compile {
    Compile::new("sparse_categorical_crossentropy")
        .optimizer(optimizer.into())
        .metric("accuracy")
        .metric("f1")
}

fn bits(weights: &[Weight]) -> Vec<u64> {
    weights.iter().flat_map(|w| &w.values).map(|v| v.to_bits()).collect()
}

/// Fails if a slot, the step, the epoch or the learning rate of now is lost, or one number of them changes.
#[test]
fn training_goes_on_bit_for_bit_with_every_optimizer() {
    let (train, test) = (data(60, 1), data(20, 2));
    let folder = tempfile::tempdir().unwrap();
    let mut optimizers: Vec<Optimizer> = Optimizer::NAMES.iter().map(|name| name.parse().unwrap()).collect();
    let decay =
        Schedule::ExponentialDecay { initial: 0.05, decay_steps: 3, decay_rate: 0.9, staircase: false };
    optimizers.push(Optimizer::from(Sgd::new().learning_rate(decay).momentum(0.9).nesterov(true)));
    optimizers.push(Optimizer::from(RmsProp::new().momentum(0.5).centered(true)).clip_norm(0.1));
    optimizers.push(Optimizer::from(Adam::new().amsgrad(true)).weight_decay(0.01));
    for (i, optimizer) in optimizers.into_iter().enumerate() {
        let name = optimizer.name();
        let path = folder.path().join(format!("{i}.safetensors"));
        let mut whole = model();
        whole.compile(compile(optimizer)).unwrap();
        let fit = || Fit::new().epochs(2).batch_size(16).verbose(0);
        whole.fit(&train, fit()).unwrap();
        whole.save(&path).unwrap();

        let mut twin = Sequential::load(&path).unwrap();
        assert_eq!(twin.layer_names(), whole.layer_names());
        assert_eq!(twin.history(), whole.history(), "{name}");
        assert_eq!(twin.config().unwrap(), whole.config().unwrap());
        assert_eq!(bits(&twin.get_weights().unwrap()), bits(&whole.get_weights().unwrap()), "{name}");
        assert_eq!(twin.evaluate(&test, 8).unwrap(), whole.evaluate(&test, 8).unwrap(), "{name}");
        let (a, b) = (whole.fit(&train, fit()).unwrap(), twin.fit(&train, fit()).unwrap());
        assert_eq!(a.get("loss"), b.get("loss"), "{name}");
        assert_eq!(bits(&twin.get_weights().unwrap()), bits(&whole.get_weights().unwrap()), "{name}");
        assert_eq!(twin.history().epochs.len(), 4);
    }
}

/// The reference device computes in 64 bits: not one may be lost.
#[test]
fn sixty_four_bits_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let device = Device::reference();
    let mut model = model().device(&device);
    model.compile(compile(Adam::new())).unwrap();
    model.fit(&data(12, 1), Fit::new().verbose(0)).unwrap();
    let before = bits(&model.get_weights().unwrap());
    let whole = folder.path().join("a.safetensors");
    model.save(&whole).unwrap();
    let mut twin = io::load_on(&whole, &device).unwrap();
    assert_eq!(bits(&twin.get_weights().unwrap()), before);
    for weights in ["w.safetensors", "w.npz"] {
        let path = folder.path().join(weights);
        model.save_weights(&path).unwrap();
        let mut other = self::model().seed(9).device(&device);
        other.build([6, 6, 1]).unwrap();
        other.load_weights(&path).unwrap();
        assert_eq!(bits(&other.get_weights().unwrap()), before, "{weights}");
    }
}

#[test]
fn a_model_that_was_never_compiled_or_trained_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    let mut fresh = model();
    assert!(fresh.save(&path).unwrap_err().to_string().contains("before it is built"));
    fresh.build([6, 6, 1]).unwrap();
    fresh.save(&path).unwrap();
    let mut twin = Sequential::load(&path).unwrap();
    assert_eq!(twin.get_weights().unwrap(), fresh.get_weights().unwrap());
    assert!(twin.evaluate(&data(3, 1), 3).unwrap_err().to_string().contains("not compiled"));
    fresh.compile(compile(Adam::new())).unwrap();
    fresh.save(&path).unwrap();
    Sequential::load(&path).unwrap().fit(&data(3, 1), Fit::new().verbose(0)).unwrap();
}

#[test]
fn weights_that_do_not_fit_are_refused_whole_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let build = |layers: Vec<(&str, usize)>| {
        let mut model = Sequential::new();
        layers.into_iter().for_each(|(name, units)| model.add((name, Dense::new(units))));
        model.build([4]).unwrap();
        model
    };
    for ending in ["npz", "safetensors"] {
        let path = folder.path().join(format!("w.{ending}"));
        build(vec![("a", 3), ("b", 2)]).save_weights(&path).unwrap();
        for (layers, words) in [
            (vec![("a", 3), ("b", 5)], "weight `b/kernel` is [3, 2] in the file, but [3, 5] in the model"),
            (vec![("a", 3), ("c", 2)], "the model's weight `c/kernel` [3, 2] is not in the file"),
            (vec![("a", 3)], "the file has a weight `b/bias` [2], which the model has not"),
        ] {
            let mut model = build(layers);
            let before = model.get_weights().unwrap();
            let error = model.load_weights(&path).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
            assert!(error.hint().unwrap().contains("same layers under the same names"));
            assert_eq!(model.get_weights().unwrap(), before);
        }
    }
    let mut model = build(vec![("a", 3)]);
    let weights = folder.path().join("w.safetensors");
    assert!(Sequential::load(&weights).err().unwrap().hint().unwrap().contains("load_weights"));
    assert!(model.save("a.txt").unwrap_err().to_string().contains("`.txt`"));
    assert!(model.load_weights("/no/such.npz").unwrap_err().to_string().starts_with("cannot read"));
}

/// A whole model's file serves for its weights alone.
#[test]
fn weights_can_be_taken_out_of_a_whole_model() {
    let path = tempfile::tempdir().unwrap().keep().join("a.safetensors");
    let mut trained = model();
    trained.compile(compile(Adam::new())).unwrap();
    trained.fit(&data(12, 1), Fit::new().verbose(0)).unwrap();
    trained.save(&path).unwrap();
    let mut other = model();
    other.build([6, 6, 1]).unwrap();
    other.load_weights(&path).unwrap();
    assert_eq!(other.get_weights().unwrap(), trained.get_weights().unwrap());
}

/// Pauses after so many batches.
struct PauseAt(usize);

impl Callback for PauseAt {
    fn on_batch_end(&mut self, _: &Running) -> Result<Flow> {
        self.0 = self.0.wrapping_sub(1);
        Ok(if self.0 == 0 { Flow::Pause } else { Flow::Continue })
    }
}

/// Stopped after every possible batch, the last ones of epochs included, and taken up from the file. The learning rate
/// that falls with each epoch's begin says whether one began twice.
#[test]
fn a_paused_training_goes_on_as_if_it_had_never_stopped() {
    let (train, validation) = (data(40, 1), data(20, 2));
    let folder = tempfile::tempdir().unwrap();
    let run = |pause: usize, at: &Path| {
        let mut model = model();
        model.compile(compile(Sgd::new().learning_rate(0.3).momentum(0.9))).unwrap();
        let mut checkpoints = Checkpoints::create(at).unwrap();
        let mut resume = None;
        loop {
            let mut stop = EarlyStopping::new("val_loss").patience(2).restore_best_weights(true);
            let mut slower = ReduceLROnPlateau::new("val_loss").patience(1).factor(0.5);
            let mut decay = LearningRateScheduler::new(|_, rate| rate * 0.9);
            let mut pause = PauseAt(if resume.is_none() { pause } else { 0 });
            let mut fit = Fit::new().epochs(6).batch_size(16).verbose(0).validation(&validation);
            fit = fit.callback(&mut stop).callback(&mut slower).callback(&mut pause).callback(&mut decay);
            fit = fit.checkpoints(&mut checkpoints);
            if let Some(resume) = resume.take() {
                fit = fit.resume(resume);
            }
            model.fit(&train, fit).unwrap();
            let done = model.history().epochs.len();
            if model.paused().is_none() && (done == 6 || stop.stopped_epoch().is_some()) {
                let figures: Vec<_> = model.history().epochs.iter().map(|e| e.scores.clone()).collect();
                return (figures, stop.best_epoch(), bits(&model.get_weights().unwrap()));
            }
            let again = Checkpoints::resume(at, &Device::cpu().unwrap()).unwrap();
            (model, resume, checkpoints) = (again.0, Some(again.1), again.2);
        }
    };
    let whole = run(0, &folder.path().join("whole"));
    for pause in 1..=18 {
        assert_eq!(run(pause, &folder.path().join(pause.to_string())), whole, "paused after batch {pause}");
    }
}

/// An ended training stays ended, and puts its best weights back again.
#[test]
fn an_ended_training_is_not_continued() {
    let at = tempfile::tempdir().unwrap();
    let train = data(20, 1);
    let mut model = model();
    model.compile(compile(Sgd::new())).unwrap();
    let stop = || EarlyStopping::new("loss").min_delta(100.0).patience(1).restore_best_weights(true);
    let (mut first, mut checkpoints) = (stop(), Checkpoints::create(at.path()).unwrap());
    let fit = Fit::new().epochs(9).verbose(0).callback(&mut first).checkpoints(&mut checkpoints);
    assert_eq!(model.fit(&train, fit).unwrap().epochs.len(), 2);
    let (mut twin, resume, _) = Checkpoints::resume(at.path(), &Device::cpu().unwrap()).unwrap();
    assert!(resume.ended());
    let mut second = stop();
    let again =
        twin.fit(&train, Fit::new().epochs(9).verbose(0).callback(&mut second).resume(resume)).unwrap();
    assert_eq!((again.epochs.len(), second.best_epoch(), second.stopped_epoch()), (0, Some(0), Some(1)));
    assert_eq!(twin.get_weights().unwrap(), model.get_weights().unwrap());

    assert!(Checkpoints::create(at.path()).err().unwrap().to_string().contains("keeps a training already"));
    let nothing = tempfile::tempdir().unwrap();
    let error = Checkpoints::resume(nothing.path(), &Device::cpu().unwrap()).err().unwrap();
    assert!(error.to_string().contains("keeps no training"), "{error}");
}

/// What the callbacks remember goes by their kind, whatever place they have.
#[test]
fn each_callback_gets_what_it_remembered() {
    let (at, train, device) = (tempfile::tempdir().unwrap(), data(20, 1), Device::cpu().unwrap());
    let mut model = model();
    model.compile(compile(Sgd::new())).unwrap();
    let stop = |patience| EarlyStopping::new("loss").min_delta(100.0).patience(patience);
    let slower = || ReduceLROnPlateau::new("loss").patience(9);
    let (mut first, mut second, mut slow) = (stop(3), stop(9), slower());
    let mut checkpoints = Checkpoints::create(at.path()).unwrap();
    let fit = Fit::new().epochs(2).verbose(0).checkpoints(&mut checkpoints);
    model.fit(&train, fit.callback(&mut first).callback(&mut second).callback(&mut slow)).unwrap();

    let go_on = |callbacks: Vec<&mut dyn Callback>| {
        let (mut model, resume, _) = Checkpoints::resume(at.path(), &device).unwrap();
        let fit = Fit::new().epochs(9).verbose(0).resume(resume);
        model.fit(&train, callbacks.into_iter().fold(fit, |fit, callback| fit.callback(callback)))
    };
    // One epoch was waited for: patience 3 ends after two more. In another order, and with one that remembers nothing.
    let (mut first, mut second, mut slow) = (stop(3), stop(9), slower());
    let mut nothing = PauseAt(0);
    let history = go_on(vec![&mut nothing, &mut slow, &mut first, &mut second]).unwrap();
    assert_eq!((history.epochs.len(), first.stopped_epoch(), first.best_epoch()), (2, Some(3), Some(0)));
    let e = go_on(vec![&mut stop(3), &mut slower()]).unwrap_err();
    assert!(e.to_string().contains("EarlyStopping was there, and is not now"), "{e}");
    assert!(e.hint().unwrap().contains("EarlyStopping, EarlyStopping, ReduceLROnPlateau"), "{e:?}");
    let mut keep = ModelCheckpoint::new(at.path().join("a.safetensors"));
    let e = go_on(vec![&mut stop(3), &mut stop(9), &mut slower(), &mut keep]).unwrap_err();
    assert!(e.to_string().contains("ModelCheckpoint is there now, and was not"), "{e}");
    let mut restores = stop(3).restore_best_weights(true);
    let e = go_on(vec![&mut restores, &mut stop(9), &mut slower()]).unwrap_err();
    assert!(e.to_string().contains("those of epoch 1 were not kept"), "{e}");
}

/// Records the epochs' numbers, and gives each a figure whose name no file keeps.
#[derive(Default)]
struct Numbers(Vec<usize>);

impl Callback for Numbers {
    fn on_epoch_end(&mut self, _: &mut Sequential, epoch: usize, record: &mut Epoch) -> Result<Flow> {
        self.0.push(epoch);
        record.scores.set(&"long".repeat(20), 1.0);
        Ok(Flow::Continue)
    }
}

/// A model that was trained before counts its epochs, and this training counts its own.
#[test]
fn a_training_counts_its_own_epochs() {
    let (at, train) = (tempfile::tempdir().unwrap(), data(20, 1));
    let mut model = model();
    model.compile(compile(Sgd::new())).unwrap();
    model.fit(&train, Fit::new().epochs(2).verbose(0)).unwrap();
    let mut checkpoints = Checkpoints::create(at.path()).unwrap();
    let mut numbers = Numbers::default();
    let fit = Fit::new().epochs(3).verbose(0).callback(&mut numbers);
    model.fit(&train, fit.checkpoints(&mut checkpoints)).unwrap();
    let (mut twin, resume, mut checkpoints) =
        Checkpoints::resume(at.path(), &Device::cpu().unwrap()).unwrap();
    assert_eq!((resume.epochs(), twin.history().epochs.len()), (3, 5));
    // The long name is left out, and no epoch with it.
    let figures = |model: &Sequential, name: &str| model.history().get(name);
    assert_eq!(figures(&twin, "loss"), figures(&model, "loss"));
    assert_eq!((figures(&twin, &"long".repeat(20)).len(), figures(&model, &"long".repeat(20)).len()), (0, 3));
    let (mut numbers, mut pause) = (Numbers::default(), PauseAt(2));
    let fit = Fit::new().epochs(5).batch_size(8).verbose(0).callback(&mut numbers).callback(&mut pause);
    twin.fit(&train, fit.checkpoints(&mut checkpoints).resume(resume)).unwrap();
    assert_eq!((numbers.0, twin.paused()), (vec![], Some(2)));
    let (mut twin, resume, _) = Checkpoints::resume(at.path(), &Device::cpu().unwrap()).unwrap();
    assert_eq!(resume.epochs(), 3);
    let mut numbers = Numbers::default();
    let fit = Fit::new().epochs(5).batch_size(8).verbose(0).callback(&mut numbers);
    twin.fit(&train, fit.resume(resume)).unwrap();
    assert_eq!((numbers.0, twin.history().epochs.len()), (vec![3, 4], 7));
}

/// Layers may be called as the file's own tensors are.
#[test]
fn no_name_of_a_layer_costs_it_its_weights() {
    let folder = tempfile::tempdir().unwrap();
    let names =
        ["history", "history_2", "optimizer", "optimizer/pause", "pause", "callback/0", "callback", "run"];
    let named = |seed| {
        let mut model = Sequential::new().seed(seed);
        names.iter().for_each(|&name| model.add((name, Dense::new(3))));
        model.compile(Compile::new("mse").optimizer("adam")).unwrap();
        model
    };
    let rows = Dataset::from_rows(&[[0., 1.], [1., 0.]], &[[0., 1., 2.], [1., 2., 0.]]).unwrap();
    let (mut model, mut stop) = (named(1), EarlyStopping::new("loss").restore_best_weights(true).patience(9));
    let mut checkpoints = Checkpoints::create(folder.path()).unwrap();
    let fit = Fit::new().epochs(3).verbose(0).callback(&mut stop).checkpoints(&mut checkpoints);
    model.fit(&rows, fit).unwrap();
    let weights = bits(&model.get_weights().unwrap());
    let (whole, alone) = (folder.path().join("a.safetensors"), folder.path().join("w.safetensors"));
    model.save(&whole).unwrap();
    model.save_weights(&alone).unwrap();
    for path in [&whole, &alone, &checkpoints.last()] {
        let mut other = named(2);
        other.build([2]).unwrap();
        other.load_weights(path).unwrap();
        assert_eq!(bits(&other.get_weights().unwrap()), weights, "{}", path.display());
    }
    let mut twin = Sequential::load(&whole).unwrap();
    assert_eq!(bits(&twin.get_weights().unwrap()), weights);
    for model in [&mut model, &mut twin] {
        model.fit(&rows, Fit::new().epochs(2).verbose(0)).unwrap();
    }
    assert_eq!(bits(&twin.get_weights().unwrap()), bits(&model.get_weights().unwrap()));
}

/// Passes its input on. A file can hold what it says of itself, and nobody can read that again.
struct Own;

impl Layer for Own {
    fn kind(&self) -> &'static str {
        "Own"
    }

    fn config(&self) -> Option<Config> {
        Some(Config::new())
    }

    fn build(&mut self, _: &mut Build, input: Shape) -> Result<Shape> {
        Ok(input)
    }

    fn forward(&mut self, cx: &mut Cx, x: View, y: ViewMut) -> Result<()> {
        cx.device.copy(x, y)
    }

    fn backward(&mut self, cx: &mut Cx, _: View, _: View, dy: ViewMut, dx: Option<ViewMut>) -> Result<()> {
        dx.map_or(Ok(()), |dx| cx.device.copy(dy.as_view(), dx))
    }
}

/// What could not be read again is not written, and a training that could not be kept does not begin.
#[test]
fn what_cannot_be_saved_is_found_out_before_the_training() {
    let rows = Dataset::from_rows(&[[0., 1.], [1., 0.]], &[[0.], [1.]]).unwrap();
    let plain = || Sequential::new().with(Dense::new(1));
    let noted = |note| {
        let mut model = plain();
        model.set_note("note", note);
        model
    };
    let deep = (0..200).fold(serde_json::json!(1), |inside, _| serde_json::json!([inside]));
    let models = [
        (plain().with(Own), "unknown layer `Own`"),
        (noted("long ".repeat(60_000).into()), "KiB, and may take"),
        (noted(deep), "could not be read again"),
        (plain().with(("n".repeat(3 << 20).as_str(), Dense::new(1))), "KiB, and may take"),
    ];
    for (mut model, words) in models {
        let folder = tempfile::tempdir().unwrap();
        model.compile(Compile::new("mse")).unwrap();
        let mut checkpoints = Checkpoints::create(folder.path()).unwrap();
        let fit = || Fit::new().epochs(2).verbose(0);
        let e = model.fit(&rows, fit().checkpoints(&mut checkpoints)).unwrap_err();
        assert!(e.to_string().contains(words) && e.hint().is_some(), "{e}");
        let mut keep = ModelCheckpoint::new(folder.path().join("a.safetensors"));
        let e = model.fit(&rows, fit().callback(&mut keep)).unwrap_err();
        assert!(e.to_string().contains(words), "{e}");
        assert!(model.history().epochs.is_empty(), "{words}");
        assert!(model.save(folder.path().join("b.safetensors")).unwrap_err().to_string().contains(words));
        assert_eq!(folder.path().read_dir().unwrap().count(), 0, "{words}");
        model.fit(&rows, fit()).unwrap();
    }
    for (name, weights) in
        [("a.h5", false), ("a.npz", false), ("a.txt", true), ("a.h5", true), ("a.keras", true)]
    {
        let folder = tempfile::tempdir().unwrap();
        let mut model = plain();
        model.compile(Compile::new("mse")).unwrap();
        let mut keep = ModelCheckpoint::new(folder.path().join(name)).save_weights_only(weights);
        let e = model.fit(&rows, Fit::new().verbose(0).callback(&mut keep)).unwrap_err();
        assert!(e.hint().unwrap().contains("end the file's name in"), "{e}");
        assert!(model.history().epochs.is_empty(), "{name}");
    }
}

/// A metric's sums, in the middle of an epoch, may be many: here those of 1100 classes.
#[test]
fn a_pause_keeps_however_much_was_added_up() {
    let at = tempfile::tempdir().unwrap();
    let classes = 1100;
    let x = Features::F32 { sample: Shape::from([1]), values: (0..4).map(|i| i as f32).collect() };
    let train = Dataset::new(x, Targets::labels(vec![0, 5, 1000, 7])).unwrap();
    let mut model = Sequential::new().with(Dense::new(classes).activation(Activation::Softmax));
    let compile = Compile::new("sparse_categorical_crossentropy").optimizer("sgd");
    model.compile(compile.metric("confusion_matrix")).unwrap();
    let (mut checkpoints, mut pause) = (Checkpoints::create(at.path()).unwrap(), PauseAt(1));
    let fit = || Fit::new().batch_size(2).verbose(0);
    model.fit(&train, fit().callback(&mut pause).checkpoints(&mut checkpoints)).unwrap();
    let (mut twin, resume, _) = Checkpoints::resume(at.path(), &Device::cpu().unwrap()).unwrap();
    assert_eq!(twin.paused(), Some(1));
    twin.fit(&train, fit().resume(resume)).unwrap();
    assert!(twin.history().last("confusion_matrix").is_some());
}

/// A program that was killed while it saved leaves a file that has no name yet.
#[test]
fn a_folder_of_checkpoints_is_swept_when_it_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let killed = |name: &str| std::mem::forget(AtomicFile::create(folder.path().join(name)).unwrap());
    let count = || folder.path().read_dir().unwrap().count();
    killed("last.safetensors");
    killed("best.safetensors");
    std::fs::write(folder.path().join("notes.tmp"), "mine").unwrap();
    assert_eq!(count(), 3);
    let mut checkpoints = Checkpoints::create(folder.path()).unwrap();
    assert_eq!(count(), 1);
    let mut model = model();
    model.compile(compile(Sgd::new())).unwrap();
    model.fit(&data(12, 1), Fit::new().verbose(0).checkpoints(&mut checkpoints)).unwrap();
    killed("last.safetensors");
    assert_eq!(count(), 4);
    Checkpoints::resume(folder.path(), &Device::cpu().unwrap()).unwrap();
    assert_eq!(count(), 3);
}

// ---------------------------------------------------------------- other programs

/// What numpy wrote (see `make.py` there) is read, and what we write numpy reads.
#[test]
fn numpy_and_we_read_each_other() {
    let committed = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/files/dense.npz");
    let mut model = Sequential::new().with(Dense::new(3)).with(Dense::new(2).use_bias(false));
    model.build([2]).unwrap();
    model.load_weights(committed).unwrap();
    let weights = model.get_weights().unwrap();
    assert_eq!(weights[0].values, [0.5, -1.0, 1.5, -2.0, 2.5, -3.0]);
    assert_eq!(weights[1].values, [1.0, 2.0, 3.0]); // compressed, 64 bits
    assert_eq!(weights[2].values, [1e-30, 2.0, -3.0, 4.0, 5.0, 6e30].map(|v: f64| f64::from(v as f32)));

    let python = std::env::var("HANDGRAD_KERAS_PYTHON").unwrap_or("python3".into());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.npz");
    model.save_weights(&path).unwrap();
    let script = "import sys, numpy as np\nf = np.load(sys.argv[1])\n\
                  for n in f.files: print(n, f[n].dtype, f[n].shape, [float(x) for x in f[n].ravel()])";
    let output = Command::new(&python).args(["-c", script]).arg(&path).output();
    let Some(output) = output.ok().filter(|o| o.status.success()) else {
        assert!(std::env::var("HANDGRAD_REQUIRE_ALL").as_deref() != Ok("1"), "{python} has no numpy");
        eprintln!(
            "SKIPPED: numpy did not read our file, since {python} has no numpy (HANDGRAD_KERAS_PYTHON names another)"
        );
        return;
    };
    let said = String::from_utf8(output.stdout).unwrap();
    let mut lines = said.lines();
    assert_eq!(lines.next(), Some("dense/kernel float32 (2, 3) [0.5, -1.0, 1.5, -2.0, 2.5, -3.0]"));
    assert_eq!(lines.next(), Some("dense/bias float32 (3,) [1.0, 2.0, 3.0]"));
}

// ---------------------------------------------------------------- being killed

const SAVER: &str = "HANDGRAD_TEST_SAVER";

/// Not a test: what the next one runs in another process, to be killed there. It saves model 1, model 2, and so on.
#[test]
fn saver() {
    let Some(path) = std::env::var_os(SAVER) else { return };
    let mut model = big(0.0);
    for i in 1.. {
        let weights: Vec<Weight> = model.get_weights().unwrap();
        let value = f64::from(i % 1000);
        let filled = weights.into_iter().map(|w| Weight { values: vec![value; w.values.len()], ..w });
        model.set_weights(&filled.collect::<Vec<_>>()).unwrap();
        model.save(Path::new(&path)).unwrap();
    }
}

fn big(value: f64) -> Sequential {
    let mut model =
        Sequential::new().with(Dense::new(64).kernel_initializer(handgrad::Initializer::Constant(value)));
    model.build([256]).unwrap();
    model
}

/// 200 times at a random moment: the file that is there is always whole, all its numbers of one saving.
#[test]
fn a_saving_that_is_killed_leaves_a_whole_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    big(0.0).save(&path).unwrap();
    let mut rng = Rng::new(7, 0);
    let mut saved = 0;
    for kill in 0..200 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "saver", "--nocapture"])
            .env(SAVER, &path)
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(4 + rng.below(40)));
        child.kill().unwrap();
        child.wait().unwrap();
        let weights =
            Sequential::load(&path).unwrap_or_else(|e| panic!("kill {kill}: {e}")).get_weights().unwrap();
        let first = weights[0].values[0];
        assert!(weights[0].values.iter().all(|&v| v == first), "kill {kill}: a mixture");
        saved += usize::from(first > 0.0);
    }
    assert!(saved > 0, "no child lived long enough to save anything");
}
