//! Checkpoints: the state of a training in a folder, to go on with later.

use super::broken;
use super::tensor_file::{TensorFile, Writer};
use super::whole_model::{describe, read_description, restore};
use crate::callbacks::{Callback, State};
use crate::config::{Config, Reader, read, record};
use crate::data::AtomicFile;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::model::{Epoch, Sequential, Weight};
use crate::shape::Shape;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A folder that keeps a training: `last.safetensors`, from which it goes on as if it had never stopped, and
/// `best.safetensors`, the model after the epoch with the lowest `val_loss` (without validation data: `loss`).
/// Both are whole models, so that [`load`](super::load) reads them too.
///
/// ```
/// use handgrad::{Device, Sequential, data::Dataset, io::Checkpoints, layers::Dense, model::{Compile, Fit}};
/// let line = Dataset::from_rows(&[[0.], [1.], [2.]], &[[1.], [3.], [5.]])?;
/// let folder = tempfile::tempdir().unwrap();
/// let mut model = Sequential::new().with(Dense::new(1));
/// model.compile(Compile::new("mse"))?;
/// let mut checkpoints = Checkpoints::create(folder.path())?;
/// model.fit(&line, Fit::new().epochs(3).verbose(0).checkpoints(&mut checkpoints))?;
///
/// // Another day.
/// let (mut model, resume, mut checkpoints) = Checkpoints::resume(folder.path(), &Device::cpu()?)?;
/// let fit = Fit::new().epochs(10).verbose(0).checkpoints(&mut checkpoints).resume(resume);
/// assert_eq!(model.fit(&line, fit)?.epochs.len(), 7);
/// assert_eq!(model.history().epochs.len(), 10);
/// # Ok::<(), handgrad::Error>(())
/// ```
pub struct Checkpoints {
    folder: PathBuf,
    run: Config,
    best: Option<f64>,
}

/// What a checkpoint knows beside the model; for [`Fit::resume`](crate::model::Fit::resume).
#[derive(Debug)]
pub struct Resume {
    epochs: usize,
    ended: bool,
    run: Config,
    states: Vec<State>,
}

impl Resume {
    /// How many epochs of this training were ended.
    pub fn epochs(&self) -> usize {
        self.epochs
    }

    /// Whether a callback, such as [`EarlyStopping`](crate::callbacks::EarlyStopping), has ended the training: no more
    /// epochs will come.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// What was [said](Checkpoints::run) about the training.
    pub fn run(&self) -> &Config {
        &self.run
    }

    /// Gives the callbacks what they remembered: each state to the first callback of its kind that has none yet. Those
    /// that remember nothing, such as a log, may come and go.
    pub(crate) fn restore(&self, callbacks: &mut [&mut dyn Callback]) -> Result<()> {
        let kinds: Vec<Option<String>> = callbacks.iter().map(|c| c.state().map(|s| s.kind)).collect();
        let mut owner = vec![None; callbacks.len()];
        for state in &self.states {
            let mut free = kinds.iter().zip(&mut owner).filter(|(_, owner)| owner.is_none());
            match free.find(|(kind, _)| kind.as_deref() == Some(state.kind.as_str())) {
                Some((_, owner)) => *owner = Some(state),
                None => return Err(self.other_callbacks(&state.kind, "was there, and is not now")),
            }
        }
        if let Some((Some(kind), _)) = kinds.iter().zip(&owner).find(|(k, o)| k.is_some() && o.is_none()) {
            return Err(self.other_callbacks(kind, "is there now, and was not"));
        }
        let states = callbacks.iter_mut().zip(owner);
        states.filter_map(|(c, state)| Some((c, state?))).try_for_each(|(c, state)| c.restore(state))
    }

    fn other_callbacks(&self, kind: &str, what: &str) -> Error {
        let kinds: Vec<&str> = self.states.iter().map(|state| state.kind.as_str()).collect();
        Error::invalid(
            format!("the training goes on with other callbacks: {kind} {what}"),
            match kinds[..] {
                [] => "give only callbacks that remember nothing, as the training had".to_string(),
                _ => format!("give the callbacks that it had: {}", kinds.join(", ")),
            },
        )
    }
}

impl Checkpoints {
    /// Keeps a new training in `folder`, which is made if it is not there.
    ///
    /// What a program that was killed while it saved here left behind is removed.
    ///
    /// # Errors
    /// The folder cannot be made or written to, or keeps a training already.
    pub fn create(folder: impl AsRef<Path>) -> Result<Checkpoints> {
        let folder = folder.as_ref().to_path_buf();
        std::fs::create_dir_all(&folder).map_err(|source| Error::Io {
            action: "create",
            path: folder.clone(),
            source,
        })?;
        let checkpoints = Checkpoints { folder, run: Config::new(), best: None };
        let last = checkpoints.last();
        if last.exists() {
            return Err(Error::invalid(
                format!("{} keeps a training already", checkpoints.folder.display()),
                "go on with it (`--resume`, `Checkpoints::resume`), or choose another folder",
            ));
        }
        AtomicFile::probe(&last)?; // what cannot be written is found out before the training
        checkpoints.sweep();
        Ok(checkpoints)
    }

    /// Removes what a killed program left of these files, half written.
    fn sweep(&self) {
        AtomicFile::sweep(self.last());
        AtomicFile::sweep(self.best());
    }

    /// The training that `folder` keeps: its model on `device`, how to go on, and the folder to keep it in.
    ///
    /// # Errors
    /// There is none, or its file is damaged.
    pub fn resume(folder: impl AsRef<Path>, device: &Device) -> Result<(Sequential, Resume, Checkpoints)> {
        let folder = folder.as_ref().to_path_buf();
        let mut checkpoints = Checkpoints { folder, run: Config::new(), best: None };
        let file = checkpoints.open()?;
        let (model, resume) = read_description(&file, |r| {
            let model = restore(&file, r, device)?;
            let run: Config = r.need("run")?;
            let states = r.need::<Vec<Value>>("callbacks")?;
            let states = states.iter().enumerate().filter_map(|(i, v)| state(&file, i, v).transpose());
            let states = states.collect::<Result<_>>()?;
            let (epochs, ended, best, said) = read_run(&run)?;
            checkpoints.best = best;
            Ok((model, Resume { epochs, ended, run: said, states }))
        })?;
        checkpoints.run = resume.run.clone();
        checkpoints.sweep();
        Ok((model, resume, checkpoints))
    }

    /// What was [said](Checkpoints::run) about the training in `folder`, without its model.
    ///
    /// # Errors
    /// As [`resume`](Checkpoints::resume).
    pub fn said(folder: impl AsRef<Path>) -> Result<Config> {
        let folder = folder.as_ref().to_path_buf();
        let file = Checkpoints { folder, run: Config::new(), best: None }.open()?;
        read_description(&file, |r| {
            ["model", "compile", "training", "callbacks"].into_iter().for_each(|key| r.ignore(key));
            Ok(read_run(&r.need("run")?)?.3)
        })
    }

    /// Writes `run` into every checkpoint: whatever must be the same when the training goes on.
    pub fn run(mut self, run: Config) -> Checkpoints {
        self.run = run;
        self
    }

    /// The file from which the training goes on.
    pub fn last(&self) -> PathBuf {
        self.folder.join("last.safetensors")
    }

    /// The model after the best epoch.
    pub fn best(&self) -> PathBuf {
        self.folder.join("best.safetensors")
    }

    fn open(&self) -> Result<TensorFile> {
        let last = self.last();
        match last.exists() {
            true => TensorFile::read(&last),
            false => Err(Error::invalid(
                format!("{} keeps no training", self.folder.display()),
                "name the folder that the training was saved to",
            )),
        }
    }

    /// Whether the training can be kept, and taken up again: before its first epoch.
    pub(crate) fn check(&self, model: &mut Sequential, callbacks: &[&mut dyn Callback]) -> Result<()> {
        let mut file = Writer::outline();
        let description = self.describe(model, 0, callbacks, false, &mut file)?;
        file.check(&self.last(), Some(description))
    }

    /// After so many epochs of the training; `ended` if a callback stopped it.
    pub(crate) fn epoch_end(
        &mut self,
        model: &mut Sequential,
        epochs: usize,
        record: &Epoch,
        callbacks: &[&mut dyn Callback],
        ended: bool,
    ) -> Result<()> {
        let value = record.scores.get("val_loss").or(record.scores.get("loss"));
        if let Some(value) = value
            && self.best.is_none_or(|best| value < best)
            && !value.is_nan()
        {
            model.save(self.best())?;
            self.best = Some(value);
        }
        self.save(model, epochs, callbacks, ended)
    }

    /// In the middle of an epoch, after so many.
    pub(crate) fn pause(
        &mut self,
        model: &mut Sequential,
        epochs: usize,
        callbacks: &[&mut dyn Callback],
    ) -> Result<()> {
        self.save(model, epochs, callbacks, false)
    }

    fn save(
        &self,
        model: &mut Sequential,
        epochs: usize,
        callbacks: &[&mut dyn Callback],
        ended: bool,
    ) -> Result<()> {
        let mut file = Writer::default();
        let description = self.describe(model, epochs, callbacks, ended, &mut file)?;
        file.write(&self.last(), Some(description))
    }

    /// Everything about the training: tensors into `file`, the rest is returned.
    fn describe(
        &self,
        model: &mut Sequential,
        epochs: usize,
        callbacks: &[&mut dyn Callback],
        ended: bool,
        file: &mut Writer,
    ) -> Result<Config> {
        let mut description = describe(model, file)?;
        let states = callbacks.iter().enumerate().map(|(i, c)| add_state(i, c.state(), file));
        description.insert("callbacks".into(), states.collect());
        let best = self.best.map_or(Value::Null, |best| best.to_bits().into());
        let run = record([
            ("epochs", epochs.into()),
            ("ended", ended.into()),
            ("best", best),
            ("said", self.run.clone().into()),
        ]);
        description.insert("run".into(), run.into());
        Ok(description)
    }
}

/// Epochs, ended, best, and what was said.
fn read_run(run: &Config) -> Result<(usize, bool, Option<f64>, Config)> {
    read("run", run, |r: &mut Reader| {
        let best = r.get::<u64>("best")?.map(f64::from_bits);
        let epochs = usize::try_from(r.need::<u64>("epochs")?).unwrap_or(usize::MAX);
        Ok((epochs, r.need("ended")?, best, r.need("said")?))
    })
}

/// Numbers and weights go into `file`, their names are returned.
fn add_state(i: usize, state: Option<State>, file: &mut Writer) -> Value {
    let Some(state) = state else { return Value::Null };
    let (names, values): (Vec<String>, Vec<f64>) = state.numbers.into_iter().unzip();
    file.add_list(format!("callback/{i}/numbers"), &values);
    for (j, weight) in state.weights.iter().enumerate() {
        file.add_values(format!("callback/{i}/weight/{j}"), weight.shape.dims(), &weight.values);
    }
    let weights: Vec<String> = state.weights.into_iter().map(|w| w.name).collect();
    record([("kind", state.kind.into()), ("numbers", names.into()), ("weights", weights.into())]).into()
}

fn state(file: &TensorFile, i: usize, value: &Value) -> Result<Option<State>> {
    let Some(config) = value.as_object() else { return Ok(None) };
    read("a callback", config, |r| {
        let mut state = State::new(&r.need::<String>("kind")?);
        let names: Vec<String> = r.need("numbers")?;
        let values = file.list(&format!("callback/{i}/numbers"))?;
        if names.len() != values.len() {
            return Err(broken(file.path(), "what a callback remembers is incomplete"));
        }
        state.numbers = names.into_iter().zip(values).collect();
        for (j, name) in r.need::<Vec<String>>("weights")?.into_iter().enumerate() {
            let tensor = format!("callback/{i}/weight/{j}");
            let shape = Shape::new(&file.extents(&tensor).unwrap_or_default())?;
            let values = file.list(&tensor)?;
            if values.len() != shape.len() {
                return Err(broken(file.path(), "what a callback remembers is incomplete"));
            }
            state.weights.push(Weight { name, shape, values });
        }
        Ok(Some(state))
    })
}
