//! Callbacks in real trainings: the same epochs, rates and weights as Keras's, logs that survive, and errors.

use handgrad::callbacks::{
    Callback, CsvLogger, EarlyStopping, Flow, LearningRateScheduler, Mode, ReduceLROnPlateau, State,
    TerminateOnNan,
};
use handgrad::data::Dataset;
use handgrad::layers::Dense;
use handgrad::model::{Compile, Epoch, Fit, History};
use handgrad::optimizers::Sgd;
use handgrad::schedules::Schedule;
use handgrad::{Device, Result, Sequential};
use serde_json::Value;
use std::path::Path;

/// One weight, one sample: nothing is learnt, the callbacks are what matters.
fn model(rate: impl Into<Schedule>) -> Sequential {
    let mut model = Sequential::new().device(&Device::reference()).with(Dense::new(1).use_bias(false));
    let sgd = Sgd::new().learning_rate(rate);
    model.build([1]).unwrap();
    model.compile(Compile::new("mse").optimizer(sgd).metric("accuracy")).unwrap();
    model
}

fn line() -> Dataset {
    Dataset::from_rows(&[[0.0]], &[[0.0]]).unwrap()
}

fn weight(model: &mut Sequential) -> f64 {
    model.get_weights().unwrap()[0].values[0]
}

/// Puts figures into the record as if training had made them, and makes the weight the number of the epoch.
struct Script(Vec<(String, Vec<f64>)>);

impl Script {
    fn of(name: &str, values: &[f64]) -> Script {
        Script(vec![(name.into(), values.to_vec())])
    }
}

impl Callback for Script {
    fn on_epoch_end(&mut self, model: &mut Sequential, epoch: usize, record: &mut Epoch) -> Result<Flow> {
        self.0.iter().for_each(|(name, values)| record.scores.set(name, values[epoch]));
        let mut weights = model.get_weights()?;
        weights[0].values = vec![epoch as f64];
        model.set_weights(&weights)?;
        Ok(Flow::Continue)
    }
}

// ---------------------------------------------------------------- Keras

/// Numbers are text in the file: every bit of them counts.
fn number(v: &Value) -> f64 {
    v.as_str().unwrap().parse().unwrap()
}

fn numbers(v: &Value) -> Vec<f64> {
    v.as_str().unwrap().split_whitespace().map(|n| n.parse().unwrap()).collect()
}

fn count(v: &Value) -> usize {
    v.as_u64().unwrap() as usize
}

fn mode(v: &Value) -> Mode {
    match v.as_str().unwrap() {
        "auto" => Mode::Auto,
        "min" => Mode::Min,
        "max" => Mode::Max,
        other => panic!("{other}"),
    }
}

/// The same bits, or both not a number.
fn same(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
}

fn early_stopping(o: &Value) -> EarlyStopping {
    let stop = EarlyStopping::new(o["monitor"].as_str().unwrap())
        .min_delta(number(&o["min_delta"]))
        .patience(count(&o["patience"]))
        .mode(mode(&o["mode"]))
        .restore_best_weights(o["restore_best_weights"].as_bool().unwrap())
        .start_from_epoch(count(&o["start_from_epoch"]));
    if o["baseline"].is_null() { stop } else { stop.baseline(number(&o["baseline"])) }
}

fn reduce_lr(o: &Value) -> ReduceLROnPlateau {
    ReduceLROnPlateau::new(o["monitor"].as_str().unwrap())
        .factor(number(&o["factor"]))
        .patience(count(&o["patience"]))
        .mode(mode(&o["mode"]))
        .min_delta(number(&o["min_delta"]))
        .cooldown(count(&o["cooldown"]))
        .min_lr(number(&o["min_lr"]))
}

/// Figures that Keras's callbacks saw: here they end training at the same epoch, with the same rates, the same best epoch,
/// the same weights put back and the same log. Random settings and figures, with ties, changes of exactly min_delta,
/// NaN and infinities; alone and together, in random order.
#[test]
fn scripted_figures_have_keras_s_effects() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/callbacks.json");
    let golden: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log.csv");
    let cases = golden["cases"].as_array().unwrap();
    let (mut stopped, mut reduced, mut logged) = (0, 0, 0);
    for (i, case) in cases.iter().enumerate() {
        let script = case["script"].as_object().unwrap();
        let mut script = Script(script.iter().map(|(name, v)| (name.clone(), numbers(v))).collect());
        let keras = &case["keras"];
        let epochs = script.0[0].1.len();
        let (mut stop, mut callbacks): (Option<EarlyStopping>, Vec<Box<dyn Callback>>) = (None, Vec::new());
        let mut order = Vec::new();
        for callback in case["callbacks"].as_array().unwrap() {
            let o = &callback[1];
            order.push(callback[0].as_str().unwrap());
            match callback[0].as_str().unwrap() {
                "EarlyStopping" => stop = Some(early_stopping(o)),
                "ReduceLROnPlateau" => callbacks.push(Box::new(reduce_lr(o))),
                "LearningRateScheduler" => {
                    let (from, factor) = (count(&o["from"]), number(&o["factor"]));
                    let schedule = move |epoch, rate| if epoch < from { rate } else { rate * factor };
                    callbacks.push(Box::new(LearningRateScheduler::new(schedule)));
                }
                "CSVLogger" => callbacks.push(Box::new(CsvLogger::new(&log))),
                other => panic!("{other}"),
            }
        }
        let mut model = model(number(&golden["initial_rate"]));
        let mut fit = Fit::new().epochs(epochs).verbose(0).callback(&mut script);
        let (mut others, mut stop_once) = (callbacks.iter_mut(), stop.as_mut());
        for kind in order {
            fit = match kind {
                "EarlyStopping" => fit.callback(stop_once.take().unwrap()),
                _ => fit.callback(others.next().unwrap().as_mut()),
            };
        }
        let history = model.fit(&line(), fit).unwrap();
        drop(callbacks);

        assert_eq!(history.epochs.len(), count(&keras["epochs"]), "case {i}: epochs");
        assert_eq!(weight(&mut model), keras["weights"].as_f64().unwrap(), "case {i}: weights");
        assert!(same(model.learning_rate().unwrap(), number(&keras["rate"])), "case {i}: rate");
        let (rates, theirs) = (history.get("learning_rate"), numbers(&keras["rates"]));
        assert!(
            rates.len() == theirs.len() && rates.iter().zip(&theirs).all(|(&a, &b)| same(a, b)),
            "case {i}: {rates:?}, Keras {theirs:?}"
        );
        if let Some(stop) = stop {
            let best_epoch = keras["best_epoch"].as_u64().map(|e| e as usize);
            assert_eq!(stop.best_epoch(), best_epoch, "case {i}: best epoch");
            let best = keras["best"].as_str().map(|b| b.parse::<f64>().unwrap());
            let agree = match (stop.best(), best) {
                (Some(own), Some(theirs)) => same(own, theirs),
                (own, theirs) => own.is_none() && theirs.is_none(),
            };
            assert!(agree, "case {i}: best {:?}, Keras {best:?}", stop.best());
            assert_eq!(stop.stopped_epoch(), keras["stopped_epoch"].as_u64().map(|e| e as usize), "case {i}");
            stopped += usize::from(stop.stopped_epoch().is_some());
        }
        reduced += usize::from(rates.last() < rates.first());
        if let Some(rows) = keras["csv"].as_array() {
            logged += 1;
            same_log(&log, rows, i);
        }
    }
    let enough = cases.len() / 10;
    assert!(stopped > enough && reduced > enough && logged > enough, "{stopped} {reduced} {logged}");
}

/// Cell by cell; numbers by their bits.
fn same_log(log: &Path, rows: &[Value], case: usize) {
    let text = std::fs::read_to_string(log).unwrap();
    let own: Vec<&str> = text.lines().collect();
    assert_eq!(own.len(), rows.len(), "case {case}: rows");
    for (own, theirs) in own.iter().zip(rows) {
        let (own, theirs): (Vec<&str>, Vec<&str>) =
            (own.split(',').collect(), theirs.as_str().unwrap().split(' ').collect());
        assert_eq!(own.len(), theirs.len(), "case {case}: {own:?}, Keras {theirs:?}");
        for (a, b) in own.iter().zip(&theirs) {
            let equal = match (a.parse::<f64>(), b.parse::<f64>()) {
                (Ok(a), Ok(b)) => same(a, b),
                _ => a == b,
            };
            assert!(equal, "case {case}: {own:?}, Keras {theirs:?}");
        }
    }
}

// ---------------------------------------------------------------- resuming

/// A training in two parts, the callbacks' state carried over and the log appended to, is the training in one.
#[test]
fn a_training_that_goes_on_is_the_training_that_never_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let losses = [3.0, 2.0, 2.5, 2.6, 2.4, 1.95, 1.9, 2.0, 2.0, 2.0, 2.0];
    let log = folder.path().join("log.csv");
    let part = |model: &mut Sequential, epochs: std::ops::Range<usize>, kept: &mut Vec<State>| {
        let mut script = Script::of("loss", &losses);
        let mut stop = EarlyStopping::new("loss").patience(4).restore_best_weights(true);
        let mut reduce = ReduceLROnPlateau::new("loss").factor(0.5).patience(2).cooldown(1);
        let mut csv = CsvLogger::new(&log).append(epochs.start > 0);
        // `fit` restores nothing by itself: this stands where a resumed training does it.
        let (mut restore_stop, mut restore_reduce) = (Restore(&mut stop, None), Restore(&mut reduce, None));
        if let [a, b] = &kept[..] {
            (restore_stop.1, restore_reduce.1) = (Some(a.clone()), Some(b.clone()));
        }
        let fit = Fit::new().initial_epoch(epochs.start).epochs(epochs.end).verbose(0);
        let fit = fit.callback(&mut script).callback(&mut restore_stop).callback(&mut restore_reduce);
        let history = model.fit(&line(), fit.callback(&mut csv)).unwrap();
        *kept = vec![stop.state().unwrap(), reduce.state().unwrap()];
        (history, stop.stopped_epoch())
    };
    let mut whole = model(0.1);
    let (history, stopped) = part(&mut whole, 0..11, &mut Vec::new());
    assert_eq!((stopped, weight(&mut whole)), (Some(10), 6.0));
    let text = std::fs::read_to_string(&log).unwrap();
    for at in 1..10 {
        let (mut model, mut kept) = (model(0.1), Vec::new());
        let (first, _) = part(&mut model, 0..at, &mut kept);
        let (second, stopped) = part(&mut model, at..11, &mut kept);
        let figures = |h: &[&History]| {
            h.iter().flat_map(|h| h.epochs.iter().map(|e| e.scores.clone())).collect::<Vec<_>>()
        };
        assert_eq!(figures(&[&first, &second]), figures(&[&history]), "in two parts, at {at}");
        assert_eq!((stopped, weight(&mut model)), (Some(10), 6.0), "at {at}");
        assert_eq!(std::fs::read_to_string(&log).unwrap(), text, "at {at}");
    }
}

/// Passes every call on, and gives back a saved state as training begins.
struct Restore<'a, C>(&'a mut C, Option<State>);

impl<C: Callback> Callback for Restore<'_, C> {
    fn on_train_begin(&mut self, model: &mut Sequential, epochs: std::ops::Range<usize>) -> Result<()> {
        self.0.on_train_begin(model, epochs)?;
        self.1.iter().try_for_each(|state| self.0.restore(state))
    }

    fn on_epoch_end(&mut self, model: &mut Sequential, epoch: usize, record: &mut Epoch) -> Result<Flow> {
        self.0.on_epoch_end(model, epoch, record)
    }

    fn on_train_end(&mut self, model: &mut Sequential) -> Result<()> {
        self.0.on_train_end(model)
    }
}

// ---------------------------------------------------------------- the log

fn log_epochs(csv: CsvLogger, epochs: std::ops::Range<usize>) -> Result<History> {
    let mut csv = csv;
    let mut script = Script::of("loss", &[0.5, f64::NAN, 1e-7, f64::INFINITY, 2.0, 3.0]);
    let fit = Fit::new().initial_epoch(epochs.start).epochs(epochs.end).verbose(0);
    model(0.1).fit(&line(), fit.callback(&mut script).callback(&mut csv))
}

#[test]
fn a_log_is_begun_anew_or_continued() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.csv");
    let read = || std::fs::read_to_string(&path).unwrap();
    log_epochs(CsvLogger::new(&path), 0..4).unwrap();
    let four = "epoch,accuracy,loss\n0,1.0,0.5\n1,1.0,nan\n2,1.0,1e-7\n3,1.0,inf\n";
    assert_eq!(read(), four);
    log_epochs(CsvLogger::new(&path), 0..4).unwrap();
    assert_eq!(read(), four, "anew");

    // Epoch 3 comes again, and the row that was cut short is gone.
    std::fs::write(&path, format!("{four}4,1.0,9.0\n5,1.")).unwrap();
    log_epochs(CsvLogger::new(&path).append(true), 3..5).unwrap();
    assert_eq!(read(), format!("{four}4,1.0,2.0\n"));

    // A second training from the first epoch on is appended as Keras appends it.
    log_epochs(CsvLogger::new(&path).append(true), 0..1).unwrap();
    assert_eq!(read(), format!("{four}4,1.0,2.0\n0,1.0,0.5\n"));

    // Also to nothing, and to a header of which a part arrived.
    for torn in ["", "epoch,ac"] {
        std::fs::write(&path, torn).unwrap();
        log_epochs(CsvLogger::new(&path).append(true), 0..1).unwrap();
        assert_eq!(read(), "epoch,accuracy,loss\n0,1.0,0.5\n");
    }
    log_epochs(CsvLogger::new(&path).separator(';').append(false), 0..1).unwrap();
    assert_eq!(read(), "epoch;accuracy;loss\n0;1.0;0.5\n");
}

#[test]
fn a_log_that_cannot_be_continued_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.csv");
    for (text, words) in [
        ("epoch,loss,mae\n0,1.0,1.0\n", "has the columns loss, mae, this training gives accuracy, loss"),
        ("epoch;accuracy;loss\n0;1.0;1.0\n", "no log of a training"),
        ("name,price\napple,1\n", "no log of a training"),
        ("my diary", "no log of a training"),
        ("epoch,accuracy,loss\n0,1.0,1.0\nx,1.0,1.0\n", "row 2 has no epoch's number"),
        ("epoch,\u{fffd}\n", "has the columns"),
    ] {
        std::fs::write(&path, text).unwrap();
        let e = log_epochs(CsvLogger::new(&path).append(true), 0..1).unwrap_err();
        assert!(e.to_string().contains(words) && e.hint().is_some(), "{text}: {e}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }
    std::fs::write(&path, b"epoch,\xff\xfe\n0,1\n").unwrap();
    assert!(log_epochs(CsvLogger::new(&path).append(true), 0..1).is_err());
    for (log, words) in [
        (CsvLogger::new(folder.path().join("no/such/folder.csv")), "cannot write"),
        (CsvLogger::new(folder.path()), "cannot write"),
        (CsvLogger::new(&path).separator('"'), "separator"),
        (CsvLogger::new(&path).separator('→'), "separator"),
    ] {
        let e = log_epochs(log, 0..1).unwrap_err();
        assert!(e.to_string().contains(words), "{e}");
    }
}

// ---------------------------------------------------------------- not a number

/// A rate at which x·w overflows after a few steps.
fn diverging(guard: &mut TerminateOnNan) -> Result<History> {
    let data = growing();
    let fit = Fit::new().epochs(5).batch_size(1).shuffle(false).verbose(0).callback(guard);
    model(1e9).fit(&data, fit.validation(&data))
}

fn growing() -> Dataset {
    let rows: Vec<[f32; 1]> = (0..40).map(|i| [i as f32 + 1.0]).collect();
    Dataset::from_rows(&rows, &rows).unwrap()
}

#[test]
fn a_loss_that_is_no_number_ends_training_within_the_epoch() {
    let mut every = TerminateOnNan::new().every(1);
    let history = diverging(&mut every).unwrap();
    let (epoch, batch) = every.stopped_at().unwrap();
    assert!(epoch == 0 && (2..39).contains(&batch), "batch {batch}");
    // The epoch ends as any other: its figures, its validation.
    assert_eq!(history.epochs.len(), 1);
    assert!(!history.last("loss").unwrap().is_finite() && history.last("val_loss").is_some());
    // By default it is seen at the 16th batch after, at the latest.
    let mut guard = TerminateOnNan::new();
    diverging(&mut guard).unwrap();
    let (_, later) = guard.stopped_at().unwrap();
    assert!(later >= batch && later < batch + 16 && (later + 1) % 16 == 0, "{batch}, then {later}");

    let e = diverging(&mut TerminateOnNan::new().every(1).raise_error(true)).unwrap_err();
    assert!(e.to_string().contains(&format!("in epoch 1, batch {} of 40", batch + 1)), "{e}");
}

/// Learns for two epochs, diverges in the third, and ends with the weights of the second.
#[test]
fn the_best_weights_come_back_after_a_loss_that_is_no_number() {
    struct Spoil(Vec<f64>);
    impl Callback for Spoil {
        fn on_epoch_begin(&mut self, model: &mut Sequential, epoch: usize) -> Result<()> {
            model.set_learning_rate(if epoch < 2 { 1e-5 } else { 1e9 })
        }
        fn on_epoch_end(&mut self, model: &mut Sequential, _: usize, _: &mut Epoch) -> Result<Flow> {
            self.0.push(weight(model));
            Ok(Flow::Continue)
        }
    }
    let data = growing();
    let (mut spoil, mut guard) = (Spoil(Vec::new()), TerminateOnNan::new());
    let mut stop = EarlyStopping::new("val_loss").patience(9).restore_best_weights(true);
    let fit = Fit::new().epochs(9).batch_size(1).shuffle(false).verbose(0).validation(&data);
    let fit = fit.callback(&mut spoil).callback(&mut guard).callback(&mut stop);
    let mut model = model(0.0);
    assert_eq!(model.fit(&data, fit).unwrap().epochs.len(), 3);
    let [first, second, third] = spoil.0[..] else { panic!("{:?}", spoil.0) };
    assert!(first != second && (third.is_nan() || third.abs() > 1e100), "{first} {second} {third}");
    assert_eq!((guard.stopped_at().unwrap().0, stop.best_epoch()), (2, Some(1)));
    assert_eq!(weight(&mut model), second);
}

// ---------------------------------------------------------------- errors, learning rates

#[test]
fn settings_that_make_no_sense_are_explained_before_training() {
    let told = |callback: &mut dyn Callback, mut model: Sequential| {
        let e = model.fit(&line(), Fit::new().epochs(3).verbose(0).callback(callback)).unwrap_err();
        assert!(e.hint().is_some(), "{e}");
        e.to_string()
    };
    let reduce = || ReduceLROnPlateau::new("loss");
    assert!(told(&mut reduce().factor(1.0), model(0.1)).contains("factor is 1, which reduces nothing"));
    assert!(told(&mut reduce().factor(f64::NAN), model(0.1)).contains("factor is NaN"));
    assert!(told(&mut reduce().min_lr(-1.0), model(0.1)).contains("min_lr is -1"));
    assert!(told(&mut ReduceLROnPlateau::new("val_loss"), model(0.1)).contains("the epochs have only loss"));
    let mut figure = EarlyStopping::new("learning_rate");
    let e =
        model(0.1).fit(&line(), Fit::new().verbose(0).callback(&mut reduce().clone()).callback(&mut figure));
    assert!(e.unwrap_err().to_string().contains("nobody says which way it gets better"));
    for rate in [f64::NAN, -0.1, f64::INFINITY] {
        assert!(
            told(&mut LearningRateScheduler::new(move |_, _| rate), model(0.1)).contains("learning rate is")
        );
    }
    let decay =
        Schedule::InverseTimeDecay { initial: 0.1, decay_steps: 1, decay_rate: 0.1, staircase: false };
    let e = told(&mut LearningRateScheduler::new(|_, rate| rate), model(decay));
    assert!(e.contains("follows a schedule"), "{e}");
    let e = model(0.1).fit(&line(), Fit::new().initial_epoch(3).epochs(3)).unwrap_err();
    assert!(e.to_string().contains("leaves none"), "{e}");
    let uncompiled = Sequential::new().with(Dense::new(1));
    assert!(uncompiled.learning_rate().unwrap_err().to_string().contains("not compiled"));
}

/// The rate that a callback sets is the rate of the next step: w ← w − rate · 2 w for a target of 0 and x = 1.
#[test]
fn the_rate_that_is_set_is_the_rate_that_is_used() {
    struct Rates;
    impl Callback for Rates {
        fn on_batch_begin(&mut self, model: &mut Sequential, epoch: usize, batch: usize) -> Result<()> {
            model.set_learning_rate(0.05 * (epoch * 2 + batch) as f64)
        }
    }
    let data = Dataset::from_rows(&[[1.0], [1.0]], &[[0.0], [0.0]]).unwrap();
    let mut model = model(0.5);
    let mut expected = weight(&mut model);
    model.fit(&data, Fit::new().epochs(3).batch_size(1).verbose(0).callback(&mut Rates)).unwrap();
    (0..6).for_each(|step| expected *= 1.0 - 2.0 * (0.05 * step as f64)); // 1 · 0.9 · 0.8 · 0.7 · 0.6 · 0.5
    assert!(expected.abs() > 1e-3 && (weight(&mut model) - expected).abs() <= 1e-12 * expected.abs());
}

/// An error of one callback ends training at once: the ones after it are not called, and the log has the epochs before.
#[test]
fn an_error_of_a_callback_is_the_error_of_fit() {
    struct Fails;
    impl Callback for Fails {
        fn on_epoch_end(&mut self, _: &mut Sequential, epoch: usize, _: &mut Epoch) -> Result<Flow> {
            match epoch {
                2 => Err(handgrad::Error::data("the disk is full", "empty it")),
                _ => Ok(Flow::Continue),
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.csv");
    let mut csv = CsvLogger::new(&path);
    let (mut fails, fit) = (Fails, Fit::new().epochs(9).verbose(0));
    let fit = fit.callback(&mut fails).callback(&mut csv);
    let e = model(0.1).fit(&line(), fit).unwrap_err();
    assert_eq!(e.to_string(), "the disk is full");
    assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 3);
}
