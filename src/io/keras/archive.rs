//! The zip that a `.keras` file is.

use crate::data::AtomicFile;
use crate::error::{Error, Result};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufReader, Cursor, Read, Write};
use std::path::Path;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

/// The longest description of a model that is read. JSON grows when it is read: a short text of many small numbers
/// takes sixteen times its length.
pub(super) const CONFIG_MOST: usize = 4 << 20;

const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.weights.h5";
/// The Keras whose files these are.
const KERAS: &str = "3.15.1";

/// Whether the file begins as a zip does.
pub(super) fn is_zip(path: &Path) -> Result<bool> {
    let mut magic = [0; 4];
    let read = File::open(path).and_then(|mut file| file.read(&mut magic));
    let n = read.map_err(|source| Error::Io { action: "read", path: path.to_path_buf(), source })?;
    Ok(&magic[..n] == b"PK\x03\x04")
}

/// The description of the model and the bytes of its weights file.
pub(super) fn read(path: &Path) -> Result<(Value, Vec<u8>)> {
    let cannot = |source| Error::Io { action: "read", path: path.to_path_buf(), source };
    let file = File::open(path).map_err(cannot)?;
    let size = file.metadata().map_err(cannot)?.len();
    let mut zip = ZipArchive::new(BufReader::new(file)).map_err(|e| damaged(path, e))?;
    let config = entry(path, &mut zip, CONFIG, CONFIG_MOST as u64)?;
    // Weights hardly get smaller in a zip, but for zeros that nobody trained yet.
    let weights = entry(path, &mut zip, WEIGHTS, (16 << 20) + 3 * size)?;
    Ok((super::json(path, CONFIG, &config)?, weights))
}

/// The contents of the entry `name`, which may have `most` bytes.
fn entry(path: &Path, zip: &mut ZipArchive<BufReader<File>>, name: &str, most: u64) -> Result<Vec<u8>> {
    let entry = zip.by_name(name).map_err(|e| match e {
        zip::result::ZipError::FileNotFound => {
            let hint =
                "a `.keras` file has `config.json` and `model.weights.h5`: save the model with `model.save`";
            Error::format(path, format!("there is no `{name}` in it"), hint)
        }
        e => damaged(path, e),
    })?;
    let mut bytes = Vec::new();
    entry.take(most + 1).read_to_end(&mut bytes).map_err(|e| damaged(path, e))?;
    match bytes.len() as u64 > most {
        true => Err(damaged(path, format!("`{name}` has more than {most} bytes"))),
        false => Ok(bytes),
    }
}

/// Writes the description of the model and its weights file.
pub(super) fn write(path: &Path, described: &Value, weights: &[u8]) -> Result<()> {
    let metadata =
        json!({ "keras_version": KERAS, "written_by": concat!("handgrad ", env!("CARGO_PKG_VERSION")) });
    // As Keras does it: not compressed, and here without a date, so that one model is always the same bytes.
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let mut zip = ZipWriter::new(Cursor::new(Vec::with_capacity(weights.len() + (1 << 16))));
    let mut put = |name: &str, bytes: &[u8]| {
        zip.start_file(name, options.large_file(bytes.len() as u64 >= u64::from(u32::MAX)))?;
        zip.write_all(bytes).map_err(zip::result::ZipError::from)
    };
    let cannot =
        |e: zip::result::ZipError| Error::Io { action: "write", path: path.to_path_buf(), source: e.into() };
    put("metadata.json", metadata.to_string().as_bytes()).map_err(cannot)?;
    put(CONFIG, described.to_string().as_bytes()).map_err(cannot)?;
    put(WEIGHTS, weights).map_err(cannot)?;
    AtomicFile::write(path, zip.finish().map_err(cannot)?.get_ref())
}

fn damaged(path: &Path, problem: impl std::fmt::Display) -> Error {
    let problem = format!("it is no `.keras` file: {problem}");
    Error::format(path, problem, "copy the file again, or save the model again")
}
