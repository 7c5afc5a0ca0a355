//! Named tensors and a description, in one safetensors file.
//!
//! The description is JSON under the key `handgrad` of the file's metadata.

use super::{broken, cannot_read};
use crate::config::Config;
use crate::data::AtomicFile;
use crate::error::{Error, Result};
use crate::tensor::{View, ViewMut};
use safetensors::tensor::{Dtype, Metadata, SafeTensors, TensorView};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// What the description stands under.
const KEY: &str = "handgrad";
/// The longest header, with the names and shapes of all tensors. Parsed it takes up to 16 times as much.
const MOST_HEADER: usize = 2 << 20;
/// The longest description. Parsed it takes up to 100 times as much.
const MOST_DESCRIPTION: usize = 256 << 10;
/// How many numbers are copied at a time.
const CHUNK: usize = 16 << 10;

/// A file being put together, in memory.
#[derive(Default)]
pub(super) struct Writer {
    tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)>,
}

impl Writer {
    /// Adds what `view` holds, in its device's precision: 32 bits, or 64 on the reference device.
    pub(super) fn add(&mut self, name: String, view: View) -> Result<()> {
        let shape = view.shape().dims().to_vec();
        let (dtype, bytes) = match view.f64() {
            Ok(values) => (Dtype::F64, values.iter().flat_map(|v| v.to_le_bytes()).collect()),
            Err(_) => (Dtype::F32, view.values()?.iter().flat_map(|&v| (v as f32).to_le_bytes()).collect()),
        };
        self.tensors.push((name, dtype, shape, bytes));
        Ok(())
    }

    /// Adds a list of numbers, with all their bits.
    pub(super) fn add_list(&mut self, name: String, values: &[f64]) {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.tensors.push((name, Dtype::F64, vec![values.len()], bytes));
    }

    /// Adds a tensor of 64-bit numbers.
    pub(super) fn add_values(&mut self, name: String, shape: &[usize], values: &[f64]) {
        self.add_list(name, values);
        if let Some(last) = self.tensors.last_mut() {
            last.2 = shape.to_vec();
        }
    }

    /// Writes the file, whole or not at all.
    pub(super) fn write(self, path: &Path, description: Option<Config>) -> Result<()> {
        let unfit = |e: &dyn std::fmt::Display| {
            Error::invalid(format!("{} cannot be written: {e}", path.display()), "save the weights alone")
        };
        let metadata = match description {
            Some(description) => {
                let text = serde_json::Value::from(description).to_string();
                if text.len() > MOST_DESCRIPTION {
                    return Err(unfit(&"the model has too many layers to describe in 256 KiB"));
                }
                Some(HashMap::from([(KEY.to_string(), text)]))
            }
            None => None,
        };
        let views = self.tensors.iter().map(|(name, dtype, shape, bytes)| {
            TensorView::new(*dtype, shape.clone(), bytes).map(|view| (name.as_str(), view))
        });
        let views = views.collect::<std::result::Result<Vec<_>, _>>().map_err(|e| unfit(&e))?;
        let bytes = safetensors::serialize(views, metadata).map_err(|e| unfit(&e))?;
        AtomicFile::write(path, &bytes)
    }
}

/// A file in memory, its header checked: every tensor lies inside, and is as long as its shape says.
pub(super) struct TensorFile {
    path: PathBuf,
    bytes: Vec<u8>,
    data: usize,
    header: Metadata,
}

impl TensorFile {
    pub(super) fn read(path: &Path) -> Result<TensorFile> {
        let bytes = std::fs::read(path).map_err(|e| cannot_read(path, e))?;
        let length = bytes.first_chunk::<8>().map_or(u64::MAX, |&n| u64::from_le_bytes(n));
        if length > MOST_HEADER.min(bytes.len()) as u64 {
            return Err(broken(path, "this is no safetensors file, or its beginning is damaged"));
        }
        let (length, header) = SafeTensors::read_metadata(&bytes).map_err(|e| broken(path, e))?;
        Ok(TensorFile { path: path.to_path_buf(), data: 8 + length, bytes, header })
    }

    /// The description, if there is one.
    pub(super) fn description(&self) -> Result<Option<Config>> {
        let Some(text) = self.header.metadata().as_ref().and_then(|m| m.get(KEY)) else { return Ok(None) };
        if text.len() > MOST_DESCRIPTION {
            return Err(broken(&self.path, "its description is too long"));
        }
        serde_json::from_str(text).map(Some).map_err(|e| broken(&self.path, format!("its description: {e}")))
    }

    /// All names, in no order.
    pub(super) fn names(&self) -> Vec<String> {
        self.header.offset_keys()
    }

    /// The extents of a tensor of real numbers.
    pub(super) fn extents(&self, name: &str) -> Option<Vec<usize>> {
        self.header.info(name).map(|info| info.shape.clone())
    }

    /// How many numbers there are in the tensors whose names fit.
    pub(super) fn count(&self, fits: impl Fn(&str) -> bool) -> usize {
        let of = |name: String| self.header.info(&name).map_or(0, |i| i.data_offsets.1 - i.data_offsets.0);
        self.names().into_iter().filter(|name| fits(name)).map(of).sum::<usize>() / 4
    }

    fn tensor(&self, name: &str) -> Result<(Dtype, &[u8])> {
        let missing = || broken(&self.path, format!("it has no tensor `{name}`"));
        let info = self.header.info(name).ok_or_else(missing)?;
        let (from, to) = info.data_offsets;
        let bytes = self.bytes.get(self.data + from..self.data + to).ok_or_else(missing)?;
        match info.dtype {
            Dtype::F32 | Dtype::F64 => Ok((info.dtype, bytes)),
            other => Err(Error::format(
                &self.path,
                format!("tensor `{name}` holds {other:?}"),
                "convert it to 32-bit floats, F32",
            )),
        }
    }

    /// Copies the tensor `name` into `view`, which must be as long; no more is in memory than a part of it.
    pub(super) fn copy(&self, name: &str, view: ViewMut) -> Result<()> {
        let (dtype, bytes) = self.tensor(name)?;
        let width = if dtype == Dtype::F64 { 8 } else { 4 };
        let len = view.len();
        if bytes.len() != len * width {
            return Err(broken(
                &self.path,
                format!("tensor `{name}` is not of the {len} numbers that are wanted"),
            ));
        }
        let mut view = view.reshape([len])?;
        for (i, part) in bytes.chunks(CHUNK * width).enumerate() {
            let n = part.len() / width;
            let to = view.reborrow().rows(i * CHUNK..i * CHUNK + n)?;
            match dtype {
                Dtype::F64 => to.write(&doubles(part))?,
                _ => {
                    let floats = part.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
                    to.write_f32(&floats.collect::<Vec<_>>())?;
                }
            }
        }
        Ok(())
    }

    /// A short list of 64-bit numbers, at most `most`.
    pub(super) fn list(&self, name: &str, most: usize) -> Result<Vec<f64>> {
        match self.tensor(name)? {
            (Dtype::F64, bytes) if bytes.len() <= most * 8 => Ok(doubles(bytes)),
            _ => Err(broken(&self.path, format!("tensor `{name}` is no list of up to {most} numbers"))),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

fn doubles(bytes: &[u8]) -> Vec<f64> {
    let one = |b: &[u8]| f64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]);
    bytes.chunks_exact(8).map(one).collect()
}
