//! `--save DIR` and `--resume DIR`: a training that survives Ctrl-C, and goes on as if it had never stopped.

use super::own::NAME;
use super::say;
use super::train::Arguments;
use handgrad::callbacks::{Callback, Flow, Running};
use handgrad::config::{Config, FromValue};
use handgrad::data::{Dataset, Features, Targets};
use handgrad::io::{Checkpoints, Resume};
use handgrad::{Device, Error, Result, Sequential};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether someone has pressed Ctrl-C.
static ASKED: AtomicBool = AtomicBool::new(false);

/// Pauses the training after the step in which Ctrl-C was pressed; a second Ctrl-C ends the program at once.
pub(super) struct Interrupt;

impl Interrupt {
    /// Listens from now on.
    pub(super) fn new() -> Result<Interrupt> {
        let handler = || {
            if ASKED.swap(true, Ordering::Relaxed) {
                std::process::exit(130);
            }
            eprintln!("\nFinishing this step and saving; press Ctrl-C again to stop at once.");
        };
        ctrlc::set_handler(handler).map_err(|e| Error::Device {
            problem: format!("Ctrl-C cannot be listened to: {e}"),
            hint: "train without --save".into(),
        })?;
        Ok(Interrupt)
    }
}

impl Callback for Interrupt {
    fn on_batch_end(&mut self, _running: &Running) -> Result<Flow> {
        Ok(if ASKED.load(Ordering::Relaxed) { Flow::Pause } else { Flow::Continue })
    }
}

/// Whether someone has pressed Ctrl-C by now.
pub(super) fn asked() -> bool {
    ASKED.load(Ordering::Relaxed)
}

/// A folder that keeps the training, and if it kept one before, that one's model and how it goes on.
pub(super) struct Kept {
    pub(super) folder: PathBuf,
    pub(super) checkpoints: Checkpoints,
    pub(super) before: Option<(Sequential, Resume)>,
    /// What is worth knowing about how it goes on.
    note: Option<String>,
}

impl Kept {
    /// The folder of `--save` or `--resume`, if one is given; `name` is what is trained, on `parts`; `recipe` the model's
    /// text, if it has one.
    pub(super) fn open<'a>(
        arguments: &Arguments,
        name: &str,
        recipe: Option<&str>,
        parts: impl IntoIterator<Item = &'a Dataset>,
        device: &Device,
    ) -> Result<Option<Kept>> {
        let seen = || fingerprint(parts);
        match (&arguments.save, &arguments.resume) {
            (Some(folder), _) => {
                let said = said(arguments, name, recipe, device, seen())?;
                let checkpoints = Checkpoints::create(folder)?.run(said);
                Ok(Some(Kept { folder: folder.clone(), checkpoints, before: None, note: None }))
            }
            (None, Some(folder)) => {
                let (model, resume, checkpoints) = Checkpoints::resume(folder, device)?;
                let seen = seen();
                check_data(resume.run(), &seen, folder, name == NAME)?;
                let note = other_arithmetic(resume.run(), device)?;
                let checkpoints = checkpoints.run(said(arguments, name, recipe, device, seen)?);
                Ok(Some(Kept { folder: folder.clone(), checkpoints, before: Some((model, resume)), note }))
            }
            (None, None) => Ok(None),
        }
    }

    /// Says what is kept where, or what was done before; refuses to go on to fewer epochs than were done.
    pub(super) fn announce(&self, epochs: usize) -> Result<()> {
        let folder = self.folder.display();
        let Some((_, resume)) = &self.before else {
            return say(format!("saving    to {folder} after each epoch; Ctrl-C ends after the step, saved"));
        };
        let (done, ended) = (resume.epochs(), if resume.ended() { ", and was ended early" } else { "" });
        if epochs < done {
            return Err(Error::invalid(
                format!("the training in {folder} has had {done} epochs, --epochs asks for {epochs} in all"),
                format!("give --epochs {done} or more"),
            ));
        }
        say(format!("resuming  {folder}: {done} epochs were done{ended}"))?;
        self.note.as_ref().map_or(Ok(()), |note| say(format!("note      {note}")))
    }

    /// Says how to go on with `what`, which was interrupted after so many epochs, or within the next.
    pub(super) fn how_to_go_on(&self, what: &str, done: usize, paused: Option<usize>) -> Result<()> {
        let place = match paused {
            Some(batch) => format!("after {batch} batches of epoch {}", done + 1),
            None => format!("after epoch {done}"),
        };
        let folder = self.folder.display().to_string();
        let folder = if folder.contains(' ') { format!("'{folder}'") } else { folder };
        say(format!("Stopped {place}; all is saved. Go on with\n  handgrad train {what} --resume {folder}"))
    }
}

/// Takes over what the training in `folder` began with, where the command says nothing; where it says something else,
/// that is an error. `preset` is the preset's own name.
pub(super) fn take_over(arguments: &mut Arguments, preset: &str, folder: &Path) -> Result<()> {
    let said = Checkpoints::said(folder)?;
    let kept: String = get(&said, "preset")?.unwrap_or_default();
    if kept != preset {
        return Err(Error::invalid(
            format!("{} keeps a training of `{kept}`, not of `{preset}`", folder.display()),
            match kept == NAME {
                true => "resume it with --csv or --images, and the options that it began with".to_string(),
                false => format!("resume it with `handgrad train {kept} --resume {}`", folder.display()),
            },
        ));
    }
    same(&said, "seed", &mut arguments.seed, folder)?;
    same_count(&said, "batch-size", &mut arguments.batch_size, folder)?;
    same(&said, "optimizer", &mut arguments.optimizer, folder)?;
    same(&said, "learning-rate", &mut arguments.learning_rate, folder)?;
    same_count(&said, "limit", &mut arguments.limit, folder)?;
    same_count(&said, "early-stopping", &mut arguments.early_stopping, folder)?;
    same_count(&said, "reduce-lr", &mut arguments.reduce_lr, folder)?;
    if arguments.device.as_deref() == Some("auto") {
        arguments.device = None;
    }
    same(&said, "device", &mut arguments.device, folder)?;
    if arguments.data.is_none() {
        arguments.data = get::<String>(&said, "data")?.map(Into::into);
    }
    if arguments.log.is_none() {
        arguments.log = get::<String>(&said, "log")?.map(Into::into);
    }
    if arguments.epochs.is_none() {
        arguments.epochs = get::<u64>(&said, "epochs")?.and_then(|n| n.try_into().ok());
    }
    Ok(())
}

/// The text of the model that the training in `folder` began with.
pub(super) fn recipe(folder: &Path) -> Result<Option<String>> {
    get(&Checkpoints::said(folder)?, "recipe")
}

fn get<T: FromValue>(said: &Config, name: &str) -> Result<Option<T>> {
    said.get(name).filter(|value| !value.is_null()).map(T::from_value).transpose()
}

fn same<T>(said: &Config, name: &str, given: &mut Option<T>, folder: &Path) -> Result<()>
where
    T: FromValue + PartialEq + std::fmt::Display,
{
    let kept: Option<T> = get(said, name)?;
    match (&kept, &given) {
        (_, None) => {
            *given = kept;
            Ok(())
        }
        (Some(kept), Some(given)) if kept == given => Ok(()),
        (kept, Some(given)) => {
            let kept = match kept {
                Some(kept) => format!("with --{name} {kept}"),
                None => format!("without --{name}"),
            };
            Err(Error::invalid(
                format!("the training in {} began {kept}, not with --{name} {given}", folder.display()),
                format!("leave --{name} out, or begin a new training with --save in another folder"),
            ))
        }
    }
}

/// The same, of a number as large as the command line takes it.
fn same_count(said: &Config, name: &str, given: &mut Option<usize>, folder: &Path) -> Result<()> {
    let mut wide = given.map(|n| n as u64);
    same(said, name, &mut wide, folder)?;
    *given = wide.and_then(|n| n.try_into().ok());
    Ok(())
}

/// What the checkpoints are to say about the training. `device` is the one that computes, `data` a fingerprint.
fn said(
    arguments: &Arguments,
    preset: &str,
    recipe: Option<&str>,
    device: &Device,
    data: String,
) -> Result<Config> {
    let whole = |path: &Option<PathBuf>| match path {
        Some(path) => match std::path::absolute(path) {
            Ok(whole) => Ok(Value::from(whole.to_string_lossy())),
            Err(source) => Err(Error::Io { action: "find", path: path.clone(), source }),
        },
        None => Ok(Value::Null),
    };
    Ok(handgrad::config::record([
        ("preset", preset.into()),
        ("recipe", recipe.into()),
        ("epochs", arguments.epochs.into()),
        ("seed", arguments.seed.into()),
        ("batch-size", arguments.batch_size.into()),
        ("optimizer", arguments.optimizer.clone().into()),
        ("learning-rate", arguments.learning_rate.into()),
        ("limit", arguments.limit.into()),
        ("early-stopping", arguments.early_stopping.into()),
        ("reduce-lr", arguments.reduce_lr.into()),
        ("device", device.name().into()),
        ("arithmetic", device.arithmetic().into()),
        ("log", whole(&arguments.log)?),
        ("data", whole(&arguments.data)?),
        ("data_sha256", data.into()),
    ]))
}

/// What to say where the training goes on with other instructions, on another machine perhaps.
fn other_arithmetic(said: &Config, device: &Device) -> Result<Option<String>> {
    let (then, now) = (get::<String>(said, "arithmetic")?, device.arithmetic());
    Ok(then.filter(|then| *then != now).map(|then| {
        format!("it began with ({then}) and goes on with ({now}): figures will differ in their last digits")
    }))
}

/// Checks that the training goes on with the data that it began with.
fn check_data(said: &Config, now: &str, folder: &Path, own: bool) -> Result<()> {
    match said.get("data_sha256").and_then(Value::as_str) {
        Some(then) if then == now => Ok(()),
        _ => Err(Error::data(
            format!("the training in {} began with other data", folder.display()),
            match own {
                true => {
                    "give the same file and the same options for its columns, rows and splits, or begin a new training with --save in another folder"
                }
                false => {
                    "give it the same files with --data, or begin a new training with --save in another folder"
                }
            },
        )),
    }
}

/// The fingerprint of all samples and targets that a training sees.
fn fingerprint<'a>(data: impl IntoIterator<Item = &'a Dataset>) -> String {
    let mut sha = Sha256::new();
    for data in data {
        sha.update(format!("{} {}", data.sample_shape(), data.target_shape()));
        match data.x() {
            Features::Bytes { bytes, scale, .. } => {
                sha.update(scale.to_le_bytes());
                sha.update(bytes);
            }
            Features::F32 { values, .. } => values.iter().for_each(|v| sha.update(v.to_le_bytes())),
        }
        match data.y() {
            Targets::Labels { labels, .. } => labels.iter().for_each(|l| sha.update(l.to_le_bytes())),
            Targets::Values { values, .. } => values.iter().for_each(|v| sha.update(v.to_le_bytes())),
        }
    }
    sha.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
