//! Weights, and whole models, as safetensors.
//!
//! | tensors | what |
//! |---|---|
//! | `layer/parameter` | the weights |
//! | `optimizer/layer/parameter/i` | slot i of the optimizer |
//! | `history` | each epoch's seconds and figures, one after the other |
//! | `pause/i` | the sums of an epoch that was left in the middle: the loss's, then each metric's |
//! | `callback/i/...` | in checkpoints: what callback i remembers |
//!
//! The description says what model it is, how it was compiled, and how often it has stepped. Beside a description the
//! names below the first row are the file's own, whatever the layers are called: see [`is_weight`]. A file without one
//! holds weights, and nothing else.

use super::tensor_file::{TensorFile, Writer};
use super::{broken, check_structure, structure};
use crate::config::{Config, Reader, read, record};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::model::{Counters, Epoch, History, Pause, Scores, Sequential};
use serde_json::Value;
use std::path::Path;

/// What this program writes, and the newest that it reads.
const VERSION: u64 = 1;
/// So many numbers of history are kept, of the newest epochs.
const MOST_HISTORY: usize = 250_000;
/// The longest name of a figure, in bytes.
const MOST_NAME: usize = 60;
/// The most bytes of figures' names, which are told again wherever they change.
const MOST_NAMES: usize = 32 << 10;
/// The most steps: dropout's noise is addressed by 32 bits.
const MOST_STEPS: u64 = 1 << 32;

pub(super) fn save_weights(model: &mut Sequential, path: &Path) -> Result<()> {
    let mut file = Writer::default();
    add_weights(model, &mut file)?;
    file.write(path, None)
}

pub(super) fn load_weights(model: &mut Sequential, path: &Path) -> Result<()> {
    let own = structure(model)?;
    let file = TensorFile::read(path)?;
    check_weights(&file, &own)?;
    copy_weights(&file, model)
}

pub(super) fn save(model: &mut Sequential, path: &Path) -> Result<()> {
    let mut file = Writer::default();
    let description = describe(model, &mut file)?;
    file.write(path, Some(description))
}

/// Fails where [`save`] would, now or after some epochs more.
pub(super) fn check(model: &mut Sequential, path: &Path) -> Result<()> {
    let mut file = Writer::outline();
    let description = describe(model, &mut file)?;
    file.check(path, Some(description))
}

pub(super) fn load(path: &Path, device: &Device) -> Result<Sequential> {
    let file = TensorFile::read(path)?;
    read_description(&file, |r| {
        ["callbacks", "run"].into_iter().for_each(|key| r.ignore(key)); // a checkpoint's own
        restore(&file, r, device)
    })
}

/// What `with` makes of the file's description.
pub(super) fn read_description<T>(
    file: &TensorFile,
    with: impl FnOnce(&mut Reader) -> Result<T>,
) -> Result<T> {
    let description = file.description()?.ok_or_else(|| {
        Error::format(
            file.path(),
            "this file holds weights and no model",
            "make the model in code and call `load_weights`, or save it with `save`",
        )
    })?;
    let made = read("the file", &description, |r| match r.need::<u64>("version")? {
        VERSION => with(r),
        other => Err(Error::format(
            file.path(),
            format!("it was written by a newer version of this program (format {other})"),
            "install the newest handgrad",
        )),
    });
    made.map_err(|e| match e {
        e @ (Error::Format { .. } | Error::Device { .. }) => e,
        e => Error::format(file.path(), e.to_string(), e.hint().unwrap_or_default()),
    })
}

/// Everything about the model: tensors into `file`, the rest is returned. What it returns can be read again.
pub(super) fn describe(model: &mut Sequential, file: &mut Writer) -> Result<Config> {
    let own = structure(model)?;
    if let Some((taken, _)) = own.iter().find(|(name, _)| !is_weight(name)) {
        return Err(Error::invalid(
            format!("weight `{taken}` has a name that files of whole models keep for themselves"),
            "give its layer another name, or save the weights alone, with `save_weights`",
        ));
    }
    add_weights(model, file)?;
    let iterations = match model.optimizer_mut() {
        Some(optimizer) => {
            let iterations = optimizer.iterations();
            add_slots(model, file)?;
            iterations
        }
        None => 0,
    };
    let Counters { step, epoch } = model.counters();
    let mut training = record([
        ("step", step.into()),
        ("epoch", epoch.into()),
        ("iterations", iterations.into()),
        ("history", add_history(model.history(), file)),
    ]);
    if let Some(pause) = model.pause() {
        for (i, sums) in pause.sums.iter().enumerate() {
            file.add_list(format!("pause/{i}"), sums);
        }
        let pause = record([
            ("batch", pause.batch.into()),
            ("seconds", pause.seconds.into()),
            ("sums", pause.sums.len().into()),
        ]);
        training.insert("pause".into(), pause.into());
    }
    let (config, compile) = (model.config()?, model.compile_config()?);
    let (mut twin, _) = Sequential::assemble(&config).map_err(unreadable)?;
    if let Some(compile) = &compile {
        twin.compile_from_config(compile).map_err(unreadable)?;
    }
    if iterations > MOST_STEPS {
        return Err(Error::invalid(
            "the optimizer has made more than 2³² steps, which no file can say",
            "save the weights alone, with `save_weights`",
        ));
    }
    Ok(record([
        ("version", VERSION.into()),
        ("model", config.into()),
        ("compile", compile.map_or(Value::Null, Value::Object)),
        ("training", training.into()),
    ]))
}

fn unreadable(e: Error) -> Error {
    Error::invalid(
        format!("the model could not be read from a file again: {e}"),
        "save the weights alone, with `save_weights`, and make the model in code",
    )
}

/// The model that [`describe`] described.
pub(super) fn restore(file: &TensorFile, r: &mut Reader, device: &Device) -> Result<Sequential> {
    let (model, input) = Sequential::assemble(&r.need("model")?)?;
    let mut model = model.device(device);
    let input = input.ok_or_else(|| broken(file.path(), "it does not say for which samples the model is"))?;
    model.build_within(input, file.count(is_weight))?;
    let own = structure(&mut model)?;
    check_weights(file, &own)?;
    copy_weights(file, &mut model)?;
    if let Some(compile) = r.get::<Config>("compile")? {
        model.compile_from_config(&compile)?;
    }
    let training: Config = r.need("training")?;
    read("training", &training, |r| {
        let step =
            u32::try_from(r.need::<u64>("step")?).map_err(|_| broken(file.path(), "too many steps"))?;
        model.set_counters(Counters { step, epoch: r.need("epoch")? });
        let iterations: u64 = r.need("iterations")?;
        if iterations > MOST_STEPS {
            return Err(broken(file.path(), "too many steps"));
        }
        restore_slots(file, &mut model, iterations)?;
        model.set_history(history(file, &r.need::<Vec<Value>>("history")?)?);
        if let Some(pause) = r.get::<Config>("pause")? {
            let pause = read("pause", &pause, |r| {
                let count: usize = r.need("sums")?;
                let mut sums = Vec::new();
                for i in 0..count {
                    sums.push(file.list(&format!("pause/{i}"))?);
                }
                Ok(Pause { batch: r.need("batch")?, seconds: r.need("seconds")?, sums })
            })?;
            model.set_pause(Some(pause));
        }
        Ok(())
    })?;
    Ok(model)
}

/// Whether a tensor of a whole model's file is a weight, and not one of the file's own. Layers may be called anything, so
/// `history/kernel` and `optimizer/dense/kernel` are weights: only the names that the file's own have in full are not.
fn is_weight(name: &str) -> bool {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let parts: Vec<&str> = name.split('/').collect();
    match parts[..] {
        ["history"] => false,
        ["pause", i] => !is_number(i),
        ["callback", i, "numbers"] => !is_number(i),
        ["callback", i, "weight", j] => !(is_number(i) && is_number(j)),
        ["optimizer", _, .., slot] => !is_number(slot),
        _ => true,
    }
}

fn add_weights(model: &mut Sequential, file: &mut Writer) -> Result<()> {
    model.each_param(&mut |layer, p| file.add(format!("{layer}/{}", p.name), p.view()))
}

fn check_weights(file: &TensorFile, own: &[(String, crate::Shape)]) -> Result<()> {
    let (names, alone) = (file.names(), !file.is_described());
    let weights = names.iter().map(String::as_str).filter(|name| alone || is_weight(name));
    check_structure(file.path(), own, |name| file.extents(name), weights)
}

fn copy_weights(file: &TensorFile, model: &mut Sequential) -> Result<()> {
    model.each_param(&mut |layer, p| file.copy(&format!("{layer}/{}", p.name), p.value.view_mut()))
}

/// The names of the parameters that have slots.
fn trained(model: &mut Sequential) -> Result<Vec<(String, Vec<usize>)>> {
    let mut names = Vec::new();
    model.each_param(&mut |layer, p| {
        if p.trainable {
            names.push((format!("optimizer/{layer}/{}", p.name), p.value.shape().dims().to_vec()));
        }
        Ok(())
    })?;
    Ok(names)
}

fn add_slots(model: &mut Sequential, file: &mut Writer) -> Result<()> {
    let trained = trained(model)?;
    let Some(optimizer) = model.optimizer_mut() else { return Ok(()) };
    let each = optimizer.slots_each();
    for (i, slot) in optimizer.slots().enumerate() {
        if let Some((name, _)) = trained.get(i / each.max(1)) {
            file.add(format!("{name}/{}", i % each), slot.view())?;
        }
    }
    Ok(())
}

/// An optimizer that has not stepped yet has no slots in the file.
fn restore_slots(file: &TensorFile, model: &mut Sequential, iterations: u64) -> Result<()> {
    let trained = trained(model)?;
    let Some(optimizer) = model.optimizer_mut() else { return Ok(()) };
    if iterations == 0 {
        return Ok(());
    }
    let each = optimizer.slots_each();
    let slot = |(name, extents): &(String, Vec<usize>), i| (format!("{name}/{i}"), extents.clone());
    let slots: Vec<_> = trained.iter().flat_map(|p| (0..each).map(move |i| slot(p, i))).collect();
    for (name, extents) in &slots {
        match file.extents(name) {
            Some(there) if there == *extents => {}
            there => {
                let there = there.map_or("missing".into(), |t| format!("{t:?}"));
                return Err(broken(
                    file.path(),
                    format!("tensor `{name}` is {there}, and should be {extents:?}"),
                ));
            }
        }
    }
    model.build_optimizer()?;
    let Some(optimizer) = model.optimizer_mut() else { return Ok(()) };
    for ((name, _), slot) in slots.iter().zip(optimizer.resume(iterations)) {
        file.copy(name, slot.view_mut())?;
    }
    Ok(())
}

/// The figures' names, for runs of epochs that have the same; the numbers go into `file`. Of a long history the newest
/// epochs are kept, and no figure whose name is too long.
fn add_history(history: &History, file: &mut Writer) -> Value {
    let kept = |epoch: &Epoch| -> Vec<(String, f64)> {
        epoch.scores.0.iter().filter(|(name, _)| name.len() <= MOST_NAME).cloned().collect()
    };
    let names = |scores: &[(String, f64)]| scores.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    let (mut first, mut room, mut room_for_names) = (history.epochs.len(), MOST_HISTORY, MOST_NAMES);
    let mut after = None;
    for epoch in history.epochs.iter().rev() {
        let names = names(&kept(epoch));
        let told = match after.as_ref() == Some(&names) {
            true => 0,
            false => {
                40 + names.iter().map(|name| Value::from(name.as_str()).to_string().len() + 1).sum::<usize>()
            }
        };
        let left = room.checked_sub(1 + names.len()).zip(room_for_names.checked_sub(told));
        let Some((left, left_for_names)) = left else { break };
        (first, room, room_for_names, after) = (first - 1, left, left_for_names, Some(names));
    }
    let (mut runs, mut values): (Vec<(Vec<String>, usize)>, Vec<f64>) = (Vec::new(), Vec::new());
    for epoch in &history.epochs[first..] {
        let scores = kept(epoch);
        let names = names(&scores);
        match runs.last_mut() {
            Some((last, count)) if *last == names => *count += 1,
            _ => runs.push((names, 1)),
        }
        values.push(epoch.seconds);
        values.extend(scores.iter().map(|&(_, value)| value));
    }
    if !values.is_empty() {
        file.add_list("history".into(), &values);
    }
    runs.into_iter()
        .map(|(names, epochs)| Value::from(record([("figures", names.into()), ("epochs", epochs.into())])))
        .collect()
}

fn history(file: &TensorFile, runs: &[Value]) -> Result<History> {
    let mut history = History::default();
    if runs.is_empty() {
        return Ok(history);
    }
    let values = file.list("history")?;
    if values.len() > MOST_HISTORY {
        return Err(broken(file.path(), "its history is too long"));
    }
    let mut values = values.iter().copied();
    let short = || broken(file.path(), "its history is incomplete");
    for run in runs {
        let run = run.as_object().ok_or_else(short)?;
        let (figures, epochs) =
            read("history", run, |r| Ok((r.need::<Vec<String>>("figures")?, r.need::<usize>("epochs")?)))?;
        if figures.iter().any(|name| name.len() > MOST_NAME) || epochs > values.len() {
            return Err(short());
        }
        for _ in 0..epochs {
            let seconds = values.next().ok_or_else(short)?;
            let mut scores = Vec::with_capacity(figures.len().min(values.len()));
            for name in &figures {
                scores.push((name.clone(), values.next().ok_or_else(short)?));
            }
            history.epochs.push(Epoch { seconds, scores: Scores(scores) });
        }
    }
    Ok(history)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::Dense;

    #[test]
    fn only_the_files_own_names_are_no_weights() {
        for own in [
            "history",
            "pause/0",
            "pause/17",
            "callback/0/numbers",
            "callback/2/weight/13",
            "optimizer/a/k/0",
        ] {
            assert!(!is_weight(own), "{own}");
        }
        for weight in [
            "history/kernel",
            "history2/kernel",
            "pause/kernel",
            "pause/0/kernel",
            "callback/0/kernel",
            "callback/numbers",
            "callback/0/weight/kernel",
            "optimizer/kernel",
            "optimizer/dense/kernel",
            "optimizer/0",
        ] {
            assert!(is_weight(weight), "{weight}");
        }
    }

    /// Figures that come and go fill the description: the newest are kept.
    #[test]
    fn of_a_long_history_the_newest_epochs_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        let mut model = Sequential::new().with(Dense::new(1));
        model.build([1]).unwrap();
        let epoch = |i: usize| {
            let name = if i.is_multiple_of(2) { "even" } else { "\"odd\"" };
            Epoch { seconds: i as f64, scores: Scores(vec![("loss".into(), 0.5), (name.into(), i as f64)]) }
        };
        for (epochs, most) in [(300, 300), (5000, 1000)] {
            let history = History { epochs: (0..epochs).map(epoch).collect() };
            model.set_history(history.clone());
            save(&mut model, &path).unwrap();
            check(&mut model, &path).unwrap();
            let kept = load(&path, &Device::cpu().unwrap()).unwrap().history().epochs.clone();
            assert!(kept.len() >= most.min(epochs) / 2 && kept.len() <= most, "{} of {epochs}", kept.len());
            assert_eq!(kept[..], history.epochs[epochs - kept.len()..]);
        }
    }
}
