//! Models and weights as files.
//!
//! | file | holds | read with |
//! |---|---|---|
//! | `.safetensors` from [`save`](Sequential::save) | the whole model: layers, weights, loss, optimizer with its slots, counters, history | [`load`] |
//! | `.safetensors` from [`save_weights`](Sequential::save_weights) | weights, named `layer/parameter` | [`load_weights`](Sequential::load_weights) |
//! | `.npz` | the same, for numpy: `np.load(file)["dense/kernel"]` | the same |
//! | `.keras`, `.weights.h5`, `.h5` | what Keras writes and reads: see [`keras`] | [`load`], [`load_weights`](Sequential::load_weights) |
//! | `.onnx` from [`onnx::save`] | what the model predicts, for other programs | onnxruntime and its like |
//! | a folder of [`Checkpoints`] | the newest and the best state of a training, to go on with | [`Checkpoints::resume`] |
//!
//! Every file is written beside its target, flushed to the disk, and then renamed: whenever a program or a machine dies,
//! the old file or the new one is there, whole. Reading a file checks every length before it allocates; a file that is
//! broken, or hostile, ends in an error.

mod checkpoint;
mod hdf5;
pub mod keras;
mod npz;
mod numbers;
pub mod onnx;
mod tensor_file;
mod whole_model;

pub use checkpoint::{Checkpoints, Resume};

use crate::device::Device;
use crate::error::{Error, Result};
use crate::model::Sequential;
use crate::shape::Shape;
use std::path::Path;

/// Reads a whole model, by the end of the file's name: `.safetensors`, Keras's `.keras` or its older `.h5`. It computes on the processor.
///
/// ```
/// use handgrad::{Sequential, data::Dataset, io, layers::Dense, model::{Compile, Fit}};
/// let line = Dataset::from_rows(&[[0.], [1.], [2.]], &[[1.], [3.], [5.]])?;
/// let mut model = Sequential::new().with(Dense::new(1));
/// model.compile(Compile::new("mse").optimizer("adam"))?;
/// model.fit(&line, Fit::new().epochs(5).verbose(0))?;
/// let file = tempfile::tempdir().unwrap().keep().join("line.safetensors");
/// model.save(&file)?;
///
/// let mut twin = io::load(&file)?;
/// assert_eq!(twin.evaluate(&line, 32)?, model.evaluate(&line, 32)?); // compiled already
/// twin.fit(&line, Fit::new().epochs(5).verbose(0))?; // and on it goes, with Adam's memory of the first five
/// # Ok::<(), handgrad::Error>(())
/// ```
///
/// # Errors
/// The file cannot be read, or is no model of a kind that is known; see [`Sequential::load_weights`] for weights alone.
pub fn load(path: impl AsRef<Path>) -> Result<Sequential> {
    load_on(path, &Device::cpu()?)
}

/// The same, on a device of one's choice.
///
/// # Errors
/// As [`load`]; those of the device.
pub fn load_on(path: impl AsRef<Path>, device: &Device) -> Result<Sequential> {
    let path = path.as_ref();
    match extension(path).as_str() {
        "safetensors" => whole_model::load(path, device),
        "keras" | "h5" => keras::load_on(path, device),
        other => Err(unknown_kind("a model", other, &[".safetensors", ".keras"])),
    }
}

impl Sequential {
    /// Writes the whole model: its layers and their names, weights, loss, optimizer with its slots and its learning rate
    /// of now, metrics, random state, history. By the end of the file's name: `.safetensors`, or for Keras
    /// `.keras`, which knows no random state and no history.
    ///
    /// A user's own metrics are left out: compile again to have them back.
    ///
    /// # Errors
    /// The model is not built; a layer, activation or optimizer is a user's own; what describes the model is longer than
    /// [`load`] would read; the file cannot be written.
    pub fn save(&mut self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        match ModelFile::named(path)? {
            ModelFile::Safetensors => whole_model::save(self, path),
            ModelFile::Keras => keras::save(self, path),
        }
    }

    /// Fails where [`save`](Sequential::save) would, as far as can be known beforehand; the numbers are not looked at.
    pub(crate) fn check_save(&mut self, path: &Path) -> Result<()> {
        match ModelFile::named(path)? {
            ModelFile::Safetensors => whole_model::check(self, path),
            ModelFile::Keras => keras::check(self, path),
        }
    }

    /// Fails where [`save_weights`](Sequential::save_weights) would because of the file's name.
    pub(crate) fn check_save_weights(&self, path: &Path) -> Result<()> {
        WeightsFile::named(path).map(drop)
    }

    /// [`io::load`](load): a whole model from a file.
    ///
    /// # Errors
    /// As [`load`].
    pub fn load(path: impl AsRef<Path>) -> Result<Sequential> {
        load(path)
    }

    /// Writes the weights alone, each under the name `layer/parameter`. By the end of the file's name: `.safetensors`,
    /// `.npz`, or for Keras `.weights.h5`.
    ///
    /// # Errors
    /// The model is not built; the file cannot be written.
    pub fn save_weights(&mut self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        match WeightsFile::named(path)? {
            WeightsFile::Safetensors => whole_model::save_weights(self, path),
            WeightsFile::Npz => npz::save_weights(self, path),
            WeightsFile::Keras => keras::save_weights(self, path),
        }
    }

    /// Replaces all weights by those of a file from [`save_weights`](Sequential::save_weights) or
    /// [`save`](Sequential::save). Names and shapes must agree; unless they all do, nothing changes.
    ///
    /// # Errors
    /// The model is not built; the file cannot be read, or is broken; the first weight that differs, with both shapes.
    pub fn load_weights(&mut self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        match extension(path).as_str() {
            "safetensors" => whole_model::load_weights(self, path),
            "npz" => npz::load_weights(self, path),
            "keras" | "h5" => keras::load_weights(self, path),
            other => Err(unknown_kind("weights", other, &[".safetensors", ".npz", ".weights.h5", ".keras"])),
        }
    }
}

/// What a whole model is written as.
enum ModelFile {
    Safetensors,
    Keras,
}

impl ModelFile {
    fn named(path: &Path) -> Result<ModelFile> {
        match extension(path).as_str() {
            "safetensors" => Ok(ModelFile::Safetensors),
            "keras" => Ok(ModelFile::Keras),
            other => Err(unknown_kind("a model", other, &[".safetensors", ".keras"])),
        }
    }
}

/// What weights alone are written as.
enum WeightsFile {
    Safetensors,
    Npz,
    Keras,
}

impl WeightsFile {
    fn named(path: &Path) -> Result<WeightsFile> {
        match extension(path).as_str() {
            "safetensors" => Ok(WeightsFile::Safetensors),
            "npz" => Ok(WeightsFile::Npz),
            // Keras takes any other `.h5` for the older layout, which is not written here.
            "h5" if path.to_string_lossy().to_lowercase().ends_with(".weights.h5") => Ok(WeightsFile::Keras),
            other => Err(unknown_kind("weights", other, &[".safetensors", ".npz", ".weights.h5"])),
        }
    }
}

/// The end of a file's name, in small letters and without its dot.
fn extension(path: &Path) -> String {
    path.extension().map_or(String::new(), |e| e.to_string_lossy().to_lowercase())
}

fn unknown_kind(what: &str, extension: &str, known: &[&str]) -> Error {
    let problem = match extension {
        "" => format!("a file of {what} needs an ending that says of which kind it is"),
        other => format!("a file of {what} cannot be of the kind `.{other}`"),
    };
    Error::invalid(problem, format!("end the file's name in {}", known.join(" or ")))
}

fn cannot_read(path: &Path, source: std::io::Error) -> Error {
    Error::Io { action: "read", path: path.to_path_buf(), source }
}

/// A file whose contents are not what they should be, where saving again is all that helps.
fn broken(path: &Path, problem: impl std::fmt::Display) -> Error {
    Error::format(
        path,
        problem.to_string(),
        "the file is damaged, or not one of this program's: save it again",
    )
}

/// The names and shapes of a model's weights, in order.
fn structure(model: &mut Sequential) -> Result<Vec<(String, Shape)>> {
    let mut own = Vec::new();
    model.each_param(&mut |layer, p| {
        own.push((format!("{layer}/{}", p.name), p.value.shape()));
        Ok(())
    })?;
    Ok(own)
}

/// Checks that a file has a weight for each of the model's, of its shape, and no other. `theirs` finds the file's extents
/// by name, `names` are all of them.
fn check_structure<'a>(
    path: &Path,
    own: &[(String, Shape)],
    theirs: impl Fn(&str) -> Option<Vec<usize>>,
    names: impl Iterator<Item = &'a str>,
) -> Result<()> {
    let hint = || "load it into a model with the same layers under the same names".to_string();
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    for (name, shape) in own {
        match theirs(name) {
            Some(extents) if extents == shape.dims() => {}
            Some(extents) => {
                let problem = format!("weight `{name}` is {extents:?} in the file, but {shape} in the model");
                return Err(Error::format(path, problem, hint()));
            }
            None => {
                let known: Vec<&str> = names.iter().take(8).copied().collect();
                let more = if names.len() > known.len() { ", ..." } else { "" };
                let problem = format!("the model's weight `{name}` {shape} is not in the file");
                return Err(Error::format(
                    path,
                    problem,
                    format!("{}; the file has {}{more}", hint(), known.join(", ")),
                ));
            }
        }
    }
    match names.into_iter().find(|name| !own.iter().any(|(own, _)| own == name)) {
        Some(extra) => {
            let extents = theirs(extra).unwrap_or_default();
            let problem = format!("the file has a weight `{extra}` {extents:?}, which the model has not");
            Err(Error::format(path, problem, hint()))
        }
        None => Ok(()),
    }
}
