//! ModelCheckpoint: the model, or its weights, in a file after each epoch, or after each that was the best so far.
//!
//! Names, defaults and places in the file's name are Keras 3's. For a training that is to go on after a stop see
//! [`Checkpoints`](crate::io::Checkpoints): it keeps the other callbacks' memory too.

use super::monitor::Monitor;
use super::{Callback, Flow, Mode, State};
use crate::data::AtomicFile;
use crate::error::{Error, Result};
use crate::model::{Epoch, Sequential};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Saves the model after each epoch.
///
/// ```
/// use handgrad::{Sequential, callbacks::ModelCheckpoint, data::Dataset, layers::Dense, model::{Compile, Fit}};
/// let line = Dataset::from_rows(&[[0.], [1.], [2.]], &[[1.], [3.], [5.]])?;
/// let folder = tempfile::tempdir().unwrap();
/// let mut model = Sequential::new().with(Dense::new(1));
/// model.compile(Compile::new("mse"))?;
/// let path = folder.path().join("line-{epoch:02d}-{loss:.1f}.safetensors");
/// let mut keep = ModelCheckpoint::new(path).monitor("loss").save_best_only(true);
/// model.fit(&line, Fit::new().epochs(2).verbose(0).callback(&mut keep))?;
/// let best = Sequential::load(keep.last_saved().unwrap())?;
/// assert_eq!(best.history().epochs.len(), 2);
/// # Ok::<(), handgrad::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ModelCheckpoint {
    path: PathBuf,
    monitor: Monitor,
    best_only: bool,
    weights_only: bool,
    best: Option<f64>,
    saved: Option<PathBuf>,
}

impl ModelCheckpoint {
    /// To `path`, whose ending says the kind of file, as for [`save`](Sequential::save). In its name `{epoch}` stands for the
    /// epoch, counted from 1, and `{val_loss}` or another figure's name for that figure; `{epoch:02d}` has two digits at
    /// least, `{val_loss:.4f}` four after the point. Without these each file replaces the one before. A training does not
    /// begin with a name or a place that no model can be saved to.
    pub fn new(path: impl AsRef<Path>) -> ModelCheckpoint {
        ModelCheckpoint {
            path: path.as_ref().to_path_buf(),
            monitor: Monitor::new("val_loss"),
            best_only: false,
            weights_only: false,
            best: None,
            saved: None,
        }
    }

    /// The figure that says which epoch is the best; `val_loss` by default.
    pub fn monitor(mut self, figure: &str) -> ModelCheckpoint {
        self.monitor.name = figure.to_string();
        self
    }

    /// Which way that figure gets better; by default as its name says.
    pub fn mode(mut self, mode: Mode) -> ModelCheckpoint {
        self.monitor.mode = mode;
        self
    }

    /// Whether to save only after epochs that are better than all before; `false` by default.
    pub fn save_best_only(mut self, best_only: bool) -> ModelCheckpoint {
        self.best_only = best_only;
        self
    }

    /// Whether to save the weights alone, for [`load_weights`](Sequential::load_weights); `false` by default.
    pub fn save_weights_only(mut self, weights_only: bool) -> ModelCheckpoint {
        self.weights_only = weights_only;
        self
    }

    /// The best value so far; only epochs that are better are saved. For a training that goes on.
    pub fn initial_value_threshold(mut self, value: f64) -> ModelCheckpoint {
        self.best = Some(value);
        self
    }

    /// The file that was written last.
    pub fn last_saved(&self) -> Option<&Path> {
        self.saved.as_deref()
    }

    /// The path after an epoch, with its figures.
    fn place(&self, epoch: usize, record: &Epoch) -> Result<PathBuf> {
        self.filled(epoch, &|name| {
            record.scores.get(name).ok_or_else(|| {
                let figures = record.scores.0.iter().map(|(name, _)| name.as_str());
                let known: Vec<&str> = std::iter::once("epoch").chain(figures).collect();
                Error::unknown("figure in the file's name", name, &known)
            })
        })
    }

    /// The path with each `{name}` and `{name:format}` replaced by what `figure` says of it.
    fn filled(&self, epoch: usize, figure: &dyn Fn(&str) -> Result<f64>) -> Result<PathBuf> {
        let whole = self.path.to_string_lossy();
        let (mut path, mut rest) = (String::new(), &*whole);
        while let Some(at) = rest.find('{') {
            path += &rest[..at];
            let (inside, after) = rest[at + 1..].split_once('}').ok_or_else(|| {
                Error::invalid(format!("the file's name {whole} has a `{{` without `}}`"), "close it")
            })?;
            let (name, format) = inside.split_once(':').unwrap_or((inside, ""));
            let written = match (name, format) {
                ("epoch", "") => number((epoch + 1) as f64, "d"),
                ("epoch", format) => number((epoch + 1) as f64, format),
                (name, format) => number(figure(name)?, format),
            };
            path += &written.ok_or_else(|| {
                Error::invalid(
                    format!("the file's name {whole} has `{inside}`, whose format nobody knows"),
                    "write {epoch:02d} for digits, {val_loss:.4f} for digits after the point",
                )
            })?;
            rest = after;
        }
        Ok(PathBuf::from(path + rest))
    }
}

/// A number in Python's format `d`, `02d`, `.4f` or none; `None` in any other.
fn number(value: f64, format: &str) -> Option<String> {
    if format.is_empty() {
        return Some(value.to_string());
    }
    if let Some(width) = format.strip_suffix('d') {
        let zeros = width.starts_with('0');
        let width: usize = if width.is_empty() { 0 } else { width.parse().ok()? };
        return match (width <= 20, zeros) {
            (true, true) => Some(format!("{value:0width$.0}")),
            (true, false) => Some(format!("{value:width$.0}")),
            (false, _) => None,
        };
    }
    let digits: usize = format.strip_prefix('.')?.strip_suffix('f')?.parse().ok()?;
    (digits <= 20).then(|| format!("{value:.digits$}"))
}

impl Callback for ModelCheckpoint {
    /// What cannot be saved is found out before the training: a model without a configuration, a name that makes no sense
    /// or ends in no kind of file, a place that nobody may write to. Which figures there are shows after the first epoch:
    /// other callbacks may add some.
    fn on_train_begin(&mut self, model: &mut Sequential, epochs: Range<usize>) -> Result<()> {
        let first = self.filled(epochs.start, &|_| Ok(0.0))?;
        match self.weights_only {
            true => model.check_save_weights(&first)?,
            false => model.check_save(&first)?,
        }
        AtomicFile::probe(first)
    }

    fn on_epoch_end(&mut self, model: &mut Sequential, epoch: usize, record: &mut Epoch) -> Result<Flow> {
        if self.best_only {
            let value = self.monitor.read(record)?;
            if value.is_nan() || !self.monitor.improves(model, value, self.best)? {
                return Ok(Flow::Continue);
            }
            self.best = Some(value);
        }
        let path = self.place(epoch, record)?;
        match self.weights_only {
            true => model.save_weights(&path)?,
            false => model.save(&path)?,
        }
        self.saved = Some(path);
        Ok(Flow::Continue)
    }

    fn state(&self) -> Option<State> {
        let state = State::new("ModelCheckpoint");
        Some(match self.best {
            Some(best) => state.with("best", best),
            None => state,
        })
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        state.check_kind("ModelCheckpoint")?;
        self.best = state.get("best");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::Dense;
    use crate::model::{Compile, Scores};

    fn record(loss: f64) -> Epoch {
        let scores = vec![("loss".to_string(), 9.0), ("val_loss".to_string(), loss)];
        Epoch { seconds: 0.0, scores: Scores(scores) }
    }

    #[test]
    fn figures_stand_in_the_name_as_in_keras() {
        let place = |name: &str| {
            ModelCheckpoint::new(name).place(4, &record(0.123456)).map(|p| p.to_string_lossy().into_owned())
        };
        assert_eq!(place("a-{epoch}-{val_loss:.2f}.npz").unwrap(), "a-5-0.12.npz");
        assert_eq!(place("{epoch:03d}.npz").unwrap(), "005.npz");
        assert_eq!(place("{val_loss}").unwrap(), "0.123456");
        assert_eq!(place("plain.npz").unwrap(), "plain.npz");
        let error = place("{val_los}.npz").unwrap_err();
        assert!(error.hint().unwrap().starts_with("did you mean `val_loss`?"), "{error:?}");
        for wrong in ["{epoch", "{epoch:x}", "{epoch:999999d}", "{val_loss:.99999999f}"] {
            assert!(place(wrong).unwrap_err().hint().is_some(), "{wrong}");
        }
    }

    #[test]
    fn only_better_epochs_are_saved() {
        let folder = tempfile::tempdir().unwrap();
        let mut model = Sequential::new().with(Dense::new(1));
        model.build([1]).unwrap();
        model.compile(Compile::new("mse")).unwrap();
        let path = folder.path().join("{epoch}.npz");
        let mut keep = ModelCheckpoint::new(path).save_best_only(true).save_weights_only(true);
        keep.on_train_begin(&mut model, 0..5).unwrap();
        for (epoch, loss) in [f64::NAN, 3.0, 4.0, 2.0, 2.0].into_iter().enumerate() {
            keep.on_epoch_end(&mut model, epoch, &mut record(loss)).unwrap();
        }
        let mut names: Vec<_> = folder.path().read_dir().unwrap().map(|f| f.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["2.npz", "4.npz"]);

        // Larger is better, and the memory of the best goes on.
        let mut keep = keep.mode(Mode::Max);
        let mut twin = keep.clone().initial_value_threshold(0.0);
        twin.restore(&keep.state().unwrap()).unwrap();
        for keep in [&mut keep, &mut twin] {
            keep.on_epoch_end(&mut model, 7, &mut record(1.0)).unwrap();
            assert!(keep.last_saved().unwrap().ends_with("4.npz") || keep.last_saved().is_none());
            keep.on_epoch_end(&mut model, 8, &mut record(2.5)).unwrap();
            assert!(keep.last_saved().unwrap().ends_with("9.npz"));
        }
    }

    /// Before the first epoch, and without a trace.
    #[test]
    fn what_cannot_be_saved_is_found_out_at_once() {
        let mut model = Sequential::new().with(Dense::new(1));
        model.build([1]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("a.npz")).unwrap();
        let mut begin = |name: &str, weights_only: bool| {
            let mut keep = ModelCheckpoint::new(folder.path().join(name)).save_weights_only(weights_only);
            keep.on_train_begin(&mut model, 4..9).map_err(|e| e.to_string())
        };
        for (name, weights_only, words) in [
            ("no/a.safetensors", false, "cannot write"),
            ("a.npz", true, "cannot write"),
            ("{epoch}/a.npz", true, "cannot write"),
            ("a.npz", false, "a file of a model cannot be of the kind `.npz`"),
            ("a.keras", true, "a file of weights cannot be of the kind `.keras`"),
            ("a-{loss:.2f}", false, "a file of a model cannot be of the kind `.00`"),
            ("a", false, "needs an ending"),
            ("a-{epoch.keras", false, "without `}`"),
            ("a-{epoch:x}.keras", false, "whose format nobody knows"),
            ("a-{val_loss:2}.keras", false, "whose format nobody knows"),
        ] {
            let error = begin(name, weights_only).unwrap_err();
            assert!(error.contains(words), "{name}: {error}");
        }
        for (name, weights_only) in [
            ("a-{epoch:02d}-{val_loss:.3f}.safetensors", false),
            ("{any}.weights.h5", true),
            ("{any}.keras", false),
        ] {
            begin(name, weights_only).unwrap();
        }
        assert_eq!(folder.path().read_dir().unwrap().count(), 1, "a probe leaves no file");
    }
}
