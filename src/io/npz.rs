//! Weights as `.npz`: a zip archive with one `.npy` array for each weight, as `numpy.savez` writes it.
//!
//! An array is read twice, the first time to see that all of it is there: so a broken file changes no weight, and needs
//! no memory beyond a small buffer, however large it claims to be.
//!
//! What an array begins with is written down in `data/npy.rs`, which reads arrays of data.

use super::numbers::{CHUNK, Width, decode, encode};
use super::{broken, cannot_read, check_structure, structure};
use crate::data::{AtomicFile, npy};
use crate::error::{Error, Result};
use crate::model::Sequential;
use crate::shape::Shape;
use crate::tensor::ViewMut;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Cursor, Read, Write};
use std::path::Path;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter};

type Archive = ZipArchive<BufReader<File>>;

pub(super) fn save_weights(model: &mut Sequential, path: &Path) -> Result<()> {
    // Neither compressed, which floats hardly are, nor dated: the same weights give the same file.
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::default())
        .large_file(true);
    let failed = |e: std::io::Error| Error::Io { action: "write", path: path.to_path_buf(), source: e };
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    model.each_param(&mut |layer, p| {
        zip.start_file(format!("{layer}/{}.npy", p.name), options).map_err(|e| failed(e.into()))?;
        let header = header(&format!("<f{}", Width::of(p.view()) as usize), p.value.shape());
        let numbers = encode(p.view())?;
        zip.write_all(&header).and_then(|()| zip.write_all(&numbers)).map_err(failed)
    })?;
    let archive = zip.finish().map_err(|e| failed(e.into()))?.into_inner();
    AtomicFile::write(path, &archive)
}

/// The header of an array, padded so that the numbers begin at a multiple of 64 bytes.
fn header(descr: &str, shape: Shape) -> Vec<u8> {
    let extents: String = shape.dims().iter().map(|n| format!("{n},")).collect();
    let mut text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({extents}), }}");
    let length = (10 + text.len() + 1).next_multiple_of(64) - 10;
    text.extend(std::iter::repeat_n(' ', length - 1 - text.len()));
    text.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((length as u16).to_le_bytes());
    bytes.extend(text.bytes());
    bytes
}

pub(super) fn load_weights(model: &mut Sequential, path: &Path) -> Result<()> {
    let own = structure(model)?;
    let file = File::open(path).map_err(|e| cannot_read(path, e))?;
    let mut archive = ZipArchive::new(BufReader::new(file))
        .map_err(|e| broken(path, format!("this is no npz file: {e}")))?;
    let mut arrays = BTreeMap::new();
    let names: Vec<String> =
        archive.file_names().filter_map(|n| n.strip_suffix(".npy")).map(String::from).collect();
    for name in names {
        let (_, array) = open(&mut archive, path, &name)?;
        arrays.insert(name, array.extents);
    }
    check_structure(path, &own, |name| arrays.get(name).cloned(), arrays.keys().map(String::as_str))?;
    for (name, shape) in &own {
        read(&mut archive, path, name, shape.len(), None)?;
    }
    model.each_param(&mut |layer, p| {
        let (len, name) = (p.value.shape().len(), format!("{layer}/{}", p.name));
        read(&mut archive, path, &name, len, Some(p.value.view_mut()))
    })
}

/// What an array's header says.
struct Array {
    doubles: bool,
    extents: Vec<usize>,
}

/// An entry of the archive, behind its header.
fn open<'a>(archive: &'a mut Archive, path: &Path, name: &str) -> Result<(impl Read + 'a, Array)> {
    let failed = |e: &dyn std::fmt::Display| broken(path, format!("array `{name}`: {e}"));
    let mut entry = archive.by_name(&format!("{name}.npy")).map_err(|e| failed(&e))?;
    let (header, _) = npy::read_header(&mut entry).map_err(|e| failed(&e))?;
    let array = npy::parse_header(&header).and_then(|(kind, shape)| match (kind.letter, kind.size) {
        (b'f', size) => Ok(Array { doubles: size == 8, extents: shape.dims().to_vec() }),
        _ => Err(format!("it holds `{kind}`")),
    });
    let array = array.map_err(|problem| {
        Error::format(
            path,
            format!("array `{name}`: {problem}"),
            "save it as little-endian floats, row-major",
        )
    })?;
    Ok((entry, array))
}

/// Reads an array of `len` numbers, all of it, into `view` if there is one.
fn read(archive: &mut Archive, path: &Path, name: &str, len: usize, view: Option<ViewMut>) -> Result<()> {
    let failed = |e: &dyn std::fmt::Display| broken(path, format!("array `{name}`: {e}"));
    let (mut entry, array) = open(archive, path, name)?;
    let kind = if array.doubles { Width::Double } else { Width::Single };
    let width = kind as usize;
    let mut view = view.map(|view| view.reshape([len])).transpose()?;
    let mut bytes = vec![0; CHUNK.min(len) * width];
    for from in (0..len).step_by(CHUNK.max(1)) {
        let part = &mut bytes[..CHUNK.min(len - from) * width];
        entry.read_exact(part).map_err(|e| failed(&e))?;
        let Some(view) = &mut view else { continue };
        decode(part, kind, view.reborrow().rows(from..from + part.len() / width)?)?;
    }
    // The end: the archive's checksum is looked at here.
    match entry.read(&mut [0; 1]).map_err(|e| failed(&e))? {
        0 => Ok(()),
        _ => Err(failed(&"it is longer than its shape says")),
    }
}
