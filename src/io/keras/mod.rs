//! Keras's files: a model trained there predicts here what it predicted there, and the reverse.
//!
//! | file | read | written | what |
//! |---|---|---|---|
//! | `.keras` | yes | yes | a zip of `config.json`, `metadata.json` and `model.weights.h5`: the whole model |
//! | `.weights.h5` | yes | yes | weights alone, as `layers/dense_1/vars/0` |
//! | `.h5` | yes | no | what Keras wrote before: the whole model, or weights alone, by the layers' names |
//!
//! | file of this module | what |
//! |---|---|
//! | `mod.rs` | the four calls |
//! | `archive.rs` | the zip |
//! | `config.rs` | Keras's description of a model to this crate's, and back |
//! | `weights.rs` | which weight stands where |
//! | `training.rs` | loss, optimizer and its state |
//!
//! Layers, activations and options that only one of the two has are errors that name them: nothing is left out in
//! silence that would change a prediction. What matters in training alone and has no counterpart here (a regularizer, a
//! frozen layer, dropout inside of a recurrent layer) is an error too. Names, weights, and what the model was compiled
//! with are kept, where this crate has that loss, optimizer and metric; where not, the model is not compiled,
//! and [says why](Sequential::why_not_compiled).
//!
//! Checked with Keras 3.15.1.

mod archive;
mod config;
mod training;
mod weights;

use super::hdf5::{Group, Hdf5};
use crate::config::Config;
use crate::data::AtomicFile;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::model::Sequential;
use serde_json::Value;
use std::path::Path;

/// The whole model in a `.keras` or an older `.h5` file, built on the processor.
///
/// ```no_run
/// let mut model = handgrad::io::keras::load("digits.keras")?;
/// println!("{}", model.summary()?);
/// # Ok::<(), handgrad::Error>(())
/// ```
///
/// # Errors
/// The file cannot be read, is damaged, or holds weights alone; a layer or an option that this crate does not have.
pub fn load(path: impl AsRef<Path>) -> Result<Sequential> {
    load_on(path, &Device::cpu()?)
}

/// The same, on a device of one's choice.
///
/// # Errors
/// As [`load`]; those of the device.
pub fn load_on(path: impl AsRef<Path>, device: &Device) -> Result<Sequential> {
    let path = path.as_ref();
    if archive::is_zip(path)? {
        let (described, weights) = archive::read(path)?;
        let h5 = Hdf5::parse(path, weights)?;
        return assemble(path, device, &described, h5, described.get("compile_config"));
    }
    let h5 = open(path)?;
    let texts = h5.texts("")?;
    let Some(described) = texts.get("model_config") else {
        let hint = "make the model in code and call `load_weights`, or save it with Keras's `model.save`";
        return Err(Error::format(path, "it holds weights alone, without the model they belong to", hint));
    };
    let described = json(path, "model_config", described.as_bytes())?;
    let training =
        texts.get("training_config").map(|t| json(path, "training_config", t.as_bytes())).transpose()?;
    assemble(path, device, &described, h5, training.as_ref())
}

/// Writes the whole model as a `.keras` file that Keras can load, with its weights, and if it is compiled, its loss,
/// optimizer and metrics.
///
/// # Errors
/// The model is not built; it has something that Keras does not know; the file cannot be written.
pub fn save(model: &mut Sequential, path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    let mut described = describe(path, model)?;
    let mut file = Group::default();
    weights::write(path, model, &mut file)?;
    training::write(model, &mut described, &mut file)?;
    archive::write(path, &described, &file.to_bytes(path)?)
}

/// Fails where [`save`] would, its numbers not looked at.
pub(super) fn check(model: &mut Sequential, path: &Path) -> Result<()> {
    describe(path, model)?;
    model.compile_config().map(drop)
}

/// Keras's description of the model, which can be read again.
fn describe(path: &Path, model: &mut Sequential) -> Result<Value> {
    let described = config::to_keras(path, model)?;
    if described.to_string().len() > archive::CONFIG_MOST / 2 {
        let hint = "save the weights alone, as `.weights.h5`";
        return Err(Error::format(path, "the model has too many layers to describe in 2 MiB", hint));
    }
    Sequential::assemble(&config::from_keras(path, &described)?)?;
    Ok(described)
}

/// Replaces the model's weights by those in a `.weights.h5`, `.keras` or older `.h5` file. All shapes are checked before
/// anything changes.
///
/// # Errors
/// The model is not built; the file cannot be read or is damaged; the first layer or weight that does not fit.
pub fn load_weights(model: &mut Sequential, path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    let mut h5 = match archive::is_zip(path)? {
        true => Hdf5::parse(path, archive::read(path)?.1)?,
        false => open(path)?,
    };
    weights::read(path, model, &mut h5)
}

/// Writes the model's weights as a `.weights.h5` file that Keras's `load_weights` can read.
///
/// # Errors
/// The model is not built; the file cannot be written.
pub fn save_weights(model: &mut Sequential, path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    let mut file = Group::default();
    weights::write(path, model, &mut file)?;
    AtomicFile::write(path, &file.to_bytes(path)?)
}

/// The model that `described` describes, with the weights of `h5`.
fn assemble(
    path: &Path,
    device: &Device,
    described: &Value,
    mut h5: Hdf5,
    training: Option<&Value>,
) -> Result<Sequential> {
    let in_file = |e: Error| match e {
        Error::Format { .. } => e,
        e => Error::format(path, e.to_string(), e.hint().unwrap_or_default()),
    };
    let config: Config = config::from_keras(path, described)?;
    let (mut model, input) = Sequential::assemble(&config).map_err(in_file)?;
    let input = input.ok_or_else(|| {
        let hint = "give it an `Input`, or call it on data, before you save it";
        Error::format(path, "the model was not built when Keras saved it: it has no weights", hint)
    })?;
    model = model.device(device);
    model.build_within(input, h5.room()).map_err(in_file)?;
    weights::read(path, &mut model, &mut h5)?;
    training::read(&mut model, training, &mut h5);
    Ok(model)
}

fn open(path: &Path) -> Result<Hdf5> {
    let bytes = std::fs::read(path);
    Hdf5::parse(path, bytes.map_err(|source| Error::Io { action: "read", path: path.to_path_buf(), source })?)
}

/// The JSON in the part `what` of the file.
fn json(path: &Path, what: &str, text: &[u8]) -> Result<Value> {
    if text.len() > archive::CONFIG_MOST {
        let problem = format!("its {what} is {} MiB long: no model is that complicated", text.len() >> 20);
        return Err(Error::format(
            path,
            problem,
            "the file is broken: copy it again, or save the model again",
        ));
    }
    serde_json::from_slice(text).map_err(|e| {
        let hint = "the file is broken: copy it again, or save the model again";
        Error::format(path, format!("its {what} is no JSON: {e}"), hint)
    })
}
