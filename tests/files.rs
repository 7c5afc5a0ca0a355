//! Models and weights in files: what is saved comes back whole, training goes on bit for bit, and a saving that is
//! killed leaves the old file or the new one.

use handgrad::callbacks::{Callback, EarlyStopping, Flow, ReduceLROnPlateau, Running};
use handgrad::data::{Dataset, Features, Targets};
use handgrad::io::Checkpoints;
use handgrad::layers::*;
use handgrad::model::{Compile, Fit, Weight};
use handgrad::optimizers::{Adam, Optimizer, RmsProp, Sgd};
use handgrad::schedules::Schedule;
use handgrad::{Activation, Device, Result, Rng, Sequential, Shape, io};
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

/// Stopped after every possible batch, the last ones of epochs included, and taken up from the file.
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
            let mut pause = PauseAt(if resume.is_none() { pause } else { 0 });
            let mut fit = Fit::new().epochs(6).batch_size(16).verbose(0).validation(&validation);
            fit = fit.callback(&mut stop).callback(&mut slower).callback(&mut pause);
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
    assert_eq!((again.epochs.len(), second.best_epoch()), (0, Some(0)));
    assert_eq!(twin.get_weights().unwrap(), model.get_weights().unwrap());

    let (mut twin, resume, _) = Checkpoints::resume(at.path(), &Device::cpu().unwrap()).unwrap();
    let error = twin.fit(&train, Fit::new().epochs(9).verbose(0).resume(resume)).unwrap_err();
    assert!(error.to_string().contains("had 1 callbacks and goes on with 0"), "{error}");
    assert!(Checkpoints::create(at.path()).err().unwrap().to_string().contains("keeps a training already"));
    let nothing = tempfile::tempdir().unwrap();
    let error = Checkpoints::resume(nothing.path(), &Device::cpu().unwrap()).err().unwrap();
    assert!(error.to_string().contains("keeps no training"), "{error}");
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
