//! Named tensors and a description, in one safetensors file.
//!
//! The description is JSON under the key `handgrad` of the file's metadata.

use super::numbers::{CHUNK, Width, decode, decode_doubles, encode, encode_doubles};
use super::{broken, cannot_read};
use crate::config::Config;
use crate::data::AtomicFile;
use crate::error::{Error, Result};
use crate::tensor::{View, ViewMut};
use safetensors::tensor::{Dtype, Metadata, SafeTensors, TensorInfo, TensorView};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

/// What the description stands under.
const KEY: &str = "handgrad";
/// The longest header, with the names and shapes of all tensors. Parsed it takes up to 16 times as much.
const MOST_HEADER: usize = 2 << 20;
/// The longest description. Parsed it takes up to 100 times as much.
const MOST_DESCRIPTION: usize = 256 << 10;

/// A file being put together, in memory.
#[derive(Default)]
pub(super) struct Writer {
    tensors: Vec<Entry>,
    /// Whether only to see if the file can be: names and shapes, no numbers.
    outline: bool,
}

struct Entry {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Writer {
    /// Of a file that is never written: [`check`](Writer::check) says whether it could be, without a copy of its numbers.
    pub(super) fn outline() -> Writer {
        Writer { tensors: Vec::new(), outline: true }
    }

    /// Adds what `view` holds, in its device's precision: 32 bits, or 64 on the reference device.
    pub(super) fn add(&mut self, name: String, view: View) -> Result<()> {
        let dtype = if Width::of(view) == Width::Double { Dtype::F64 } else { Dtype::F32 };
        let bytes = if self.outline { Vec::new() } else { encode(view)? };
        self.tensors.push(Entry { name, dtype, shape: view.shape().dims().to_vec(), bytes });
        Ok(())
    }

    /// Adds a list of numbers, with all their bits.
    pub(super) fn add_list(&mut self, name: String, values: &[f64]) {
        self.add_values(name, &[values.len()], values);
    }

    /// Adds a tensor of 64-bit numbers.
    pub(super) fn add_values(&mut self, name: String, shape: &[usize], values: &[f64]) {
        let bytes = if self.outline { Vec::new() } else { encode_doubles(values) };
        self.tensors.push(Entry { name, dtype: Dtype::F64, shape: shape.to_vec(), bytes });
    }

    /// Fails where the file could not be written, or not be read again. A part of the room is left for what a training adds.
    pub(super) fn check(mut self, path: &Path, description: Option<Config>) -> Result<()> {
        self.metadata(path, description, (MOST_HEADER / 4 * 3, MOST_DESCRIPTION / 4 * 3)).map(drop)
    }

    /// Writes the file, whole or not at all.
    pub(super) fn write(mut self, path: &Path, description: Option<Config>) -> Result<()> {
        let metadata = self.metadata(path, description, (MOST_HEADER, MOST_DESCRIPTION))?;
        let views = self
            .tensors
            .iter()
            .map(|t| TensorView::new(t.dtype, t.shape.clone(), &t.bytes).map(|view| (t.name.as_str(), view)));
        let views = views.collect::<std::result::Result<Vec<_>, _>>().map_err(|e| unfit(path, e))?;
        let bytes = safetensors::serialize(views, metadata).map_err(|e| unfit(path, e))?;
        AtomicFile::write(path, &bytes)
    }

    /// The file's metadata, once all holds that a reader will want: names that differ, a header and a description of
    /// at most so many bytes.
    fn metadata(
        &mut self,
        path: &Path,
        description: Option<Config>,
        (most_header, most_description): (usize, usize),
    ) -> Result<Option<HashMap<String, String>>> {
        // The order that safetensors lays them out in: so the header below is the file's own.
        self.tensors.sort_by(|a, b| b.dtype.cmp(&a.dtype).then_with(|| a.name.cmp(&b.name)));
        let mut names = HashSet::new();
        if let Some(twice) = self.tensors.iter().find(|t| !names.insert(t.name.as_str())) {
            return Err(unfit(path, format!("two of its tensors are called `{}`", twice.name)));
        }
        let metadata = match description {
            Some(description) => {
                let text = serde_json::Value::from(description).to_string();
                if text.len() > most_description {
                    let (long, most) = (text.len() >> 10, most_description >> 10);
                    let what = "the description of its layers, notes and training";
                    return Err(unfit(path, format!("{what} takes {long} KiB, and may take {most}")));
                }
                if let Err(e) = serde_json::from_str::<Config>(&text) {
                    return Err(unfit(path, format!("its description could not be read again: {e}")));
                }
                Some(HashMap::from([(KEY.to_string(), text)]))
            }
            None => None,
        };
        let mut end = 0;
        let infos = self.tensors.iter().map(|t| {
            let from = end;
            end += t.shape.iter().product::<usize>() * t.dtype.bitsize() / 8;
            let info = TensorInfo { dtype: t.dtype, shape: t.shape.clone(), data_offsets: (from, end) };
            (t.name.clone(), info)
        });
        let header = Metadata::new(metadata.clone(), infos.collect()).map_err(|e| unfit(path, e))?;
        let long = serde_json::to_string(&header).map_err(|e| unfit(path, e))?.len();
        if long + 8 > most_header {
            let most = most_header >> 10;
            return Err(unfit(
                path,
                format!("its tensors' names take {} KiB, and may take {most}", long >> 10),
            ));
        }
        Ok(metadata)
    }
}

fn unfit(path: &Path, problem: impl std::fmt::Display) -> Error {
    Error::invalid(
        format!("{} cannot be written: {problem}", path.display()),
        "give the model fewer layers, and layers and notes shorter names of their own, or save the weights alone",
    )
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

    /// Whether there is a description: a whole model, and not weights alone.
    pub(super) fn is_described(&self) -> bool {
        self.header.metadata().as_ref().is_some_and(|metadata| metadata.contains_key(KEY))
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

    fn tensor(&self, name: &str) -> Result<(Width, &[u8])> {
        let missing = || broken(&self.path, format!("it has no tensor `{name}`"));
        let info = self.header.info(name).ok_or_else(missing)?;
        let (from, to) = info.data_offsets;
        let bytes = self.bytes.get(self.data + from..self.data + to).ok_or_else(missing)?;
        match info.dtype {
            Dtype::F32 => Ok((Width::Single, bytes)),
            Dtype::F64 => Ok((Width::Double, bytes)),
            other => Err(Error::format(
                &self.path,
                format!("tensor `{name}` holds {other:?}"),
                "convert it to 32-bit floats, F32",
            )),
        }
    }

    /// Copies the tensor `name` into `view`, which must be as long; no more is in memory than a part of it.
    pub(super) fn copy(&self, name: &str, view: ViewMut) -> Result<()> {
        let (width, bytes) = self.tensor(name)?;
        let (len, size) = (view.len(), width as usize);
        if bytes.len() != len * size {
            return Err(broken(
                &self.path,
                format!("tensor `{name}` is not of the {len} numbers that are wanted"),
            ));
        }
        let mut view = view.reshape([len])?;
        for (i, part) in bytes.chunks(CHUNK * size).enumerate() {
            let from = i * CHUNK;
            decode(part, width, view.reborrow().rows(from..from + part.len() / size)?)?;
        }
        Ok(())
    }

    /// A list of 64-bit numbers: no more than the file holds.
    pub(super) fn list(&self, name: &str) -> Result<Vec<f64>> {
        match self.tensor(name)? {
            (Width::Double, bytes) => Ok(decode_doubles(bytes)),
            _ => Err(broken(&self.path, format!("tensor `{name}` is no list of 64-bit numbers"))),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}
