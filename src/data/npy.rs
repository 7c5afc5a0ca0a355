//! Arrays of numpy: `.npy` files, and `.npz` archives of them, as `numpy.save` and `numpy.savez` write them.
//!
//! ```text
//! \x93NUMPY  1 0  length   {'descr': '<f4', 'fortran_order': False, 'shape': (150, 4), }   numbers
//! 6 bytes    2    2 or 4   `length` bytes of text, the last one a newline                   row-major
//! ```
//!
//! Source: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>.

use super::features::{Features, Targets};
use crate::error::{Error, Result};
use crate::shape::Shape;
use std::fmt;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use zip::ZipArchive;

/// No header of a plain array is longer.
const MOST_HEADER: usize = 4096;

/// An array of numbers as it stands in a file. The first extent is the samples.
///
/// ```
/// use handgrad::data::Array;
/// let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("x.npy");
/// let mut text = "{'descr': '<i2', 'fortran_order': False, 'shape': (2, 1), }\n".to_string();
/// let mut file = [b"\x93NUMPY\x01\x00", &(text.len() as u16).to_le_bytes()[..]].concat();
/// file.extend(text.bytes().chain([7, 0, 255, 255]));
/// std::fs::write(&path, file).unwrap();
/// let array = Array::read_npy(&path)?;
/// assert_eq!((array.shape().dims(), array.to_f32()), (&[2, 1][..], vec![7.0, -1.0]));
/// # Ok::<(), handgrad::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    shape: Shape,
    kind: Kind,
    bytes: Vec<u8>,
}

/// Little-endian numbers of `size` bytes: `u`nsigned, `i`ntegers or `f`loats.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Kind {
    pub(crate) letter: u8,
    pub(crate) size: usize,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "<{}{}", char::from(self.letter), self.size)
    }
}

impl Array {
    /// Reads a `.npy` file.
    ///
    /// # Errors
    /// The system cannot read it; it is no array, or one of texts, of complex or big-endian numbers, or column by column;
    /// it is shorter or longer than its shape says.
    pub fn read_npy(path: impl AsRef<Path>) -> Result<Array> {
        let path = path.as_ref();
        let failed = |source| Error::Io { action: "read", path: path.to_path_buf(), source };
        let file = File::open(path).map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        read(&mut BufReader::new(file), size).map_err(|problem| wrong(path, &problem))
    }

    /// Reads all arrays of a `.npz` file, with their names.
    ///
    /// # Errors
    /// As [`read_npy`](Array::read_npy) for each; the archive is damaged, or unpacks to more than four times its size and
    /// 64 MiB.
    pub fn read_npz(path: impl AsRef<Path>) -> Result<Vec<(String, Array)>> {
        let path = path.as_ref();
        let failed = |source| Error::Io { action: "read", path: path.to_path_buf(), source };
        let file = File::open(path).map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        let mut room = size.saturating_mul(4).saturating_add(48 << 20);
        let mut archive = ZipArchive::new(BufReader::new(file)).map_err(|e| wrong(path, &e.to_string()))?;
        let mut arrays = Vec::new();
        for i in 0..archive.len() {
            let mut entry = archive.by_index(i).map_err(|e| wrong(path, &e.to_string()))?;
            let name = entry.name().trim_end_matches(".npy").to_string();
            room = room.checked_sub(entry.size()).ok_or_else(|| {
                wrong(
                    path,
                    &format!("array `{name}` unpacks to more than so small a file is trusted to hold"),
                )
            })?;
            let size = entry.size();
            let array = read(&mut entry, size).map_err(|e| wrong(path, &format!("array `{name}`: {e}")))?;
            arrays.push((name, array));
        }
        Ok(arrays)
    }

    /// The extents.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The numbers as reals; large integers and doubles are rounded.
    pub fn to_f32(&self) -> Vec<f32> {
        self.bytes.chunks_exact(self.kind.size).map(|b| self.number(b) as f32).collect()
    }

    /// The array as samples: bytes stay bytes, each worth 1; [`scale`](super::Dataset::scale) makes them less.
    ///
    /// # Errors
    /// It has no sample, or one has too many dimensions.
    pub fn features(self) -> Result<Features> {
        let sample = self.shape.sample();
        let x = match self.kind {
            Kind { letter: b'u', size: 1 } => Features::Bytes { sample, bytes: self.bytes, scale: 1.0 },
            _ => Features::F32 { sample, values: self.to_f32() },
        };
        x.check()?;
        Ok(x)
    }

    /// The array as class numbers, one for each sample.
    ///
    /// # Errors
    /// A number is not a class: negative, broken or too large.
    pub fn labels(&self) -> Result<Targets> {
        let class = |(i, b): (usize, &[u8])| match self.number(b) {
            n if n.fract() == 0.0 && (0.0..f64::from(u32::MAX)).contains(&n) => Ok(n as u32),
            n => Err(Error::data(
                format!("number {i} of the array is {n}, which is no class"),
                "classes are whole numbers from 0",
            )),
        };
        let labels = self.bytes.chunks_exact(self.kind.size).enumerate().map(class).collect::<Result<_>>()?;
        Ok(Targets::Labels { sample: self.shape.sample(), labels })
    }

    fn number(&self, b: &[u8]) -> f64 {
        let mut wide = [0; 8];
        wide[..b.len()].copy_from_slice(b);
        let bits = u64::from_le_bytes(wide);
        let unused = 64 - 8 * self.kind.size as u32;
        match (self.kind.letter, self.kind.size) {
            (b'f', 4) => f64::from(f32::from_bits(bits as u32)),
            (b'f', _) => f64::from_bits(bits),
            (b'i', _) => (((bits << unused) as i64) >> unused) as f64,
            _ => bits as f64,
        }
    }
}

fn wrong(path: &Path, problem: &str) -> Error {
    let problem = problem.lines().next().unwrap_or_default();
    Error::format(
        path,
        problem,
        "save it with numpy.save or numpy.savez, as np.ascontiguousarray(x, 'float32')",
    )
}

/// Reads an array that takes all of `size` bytes.
fn read(file: &mut impl Read, size: u64) -> Result<Array, String> {
    let (header, before) = read_header(file)?;
    let (kind, shape) = parse_header(&header)?;
    // Nothing large is allocated before this.
    let promised = (shape.len() as u64).checked_mul(kind.size as u64);
    if promised.and_then(|n| n.checked_add(before)) != Some(size) {
        return Err(format!("its shape {shape} does not fit its {size} bytes"));
    }
    let mut bytes = vec![0; shape.len() * kind.size];
    file.read_exact(&mut bytes).map_err(|e| format!("its numbers cannot be read ({e})"))?;
    if file.read(&mut [0]).map_err(|e| format!("its end cannot be read ({e})"))? != 0 {
        return Err("it is longer than its shape says".into());
    }
    Ok(Array { shape, kind, bytes })
}

/// Reads the header's text, a Python dictionary of three entries; and how many bytes there are before the numbers.
pub(crate) fn read_header(file: &mut impl Read) -> Result<(String, u64), String> {
    let mut bytes = |n: usize| {
        let mut bytes = vec![0; n];
        let read = file.read_exact(&mut bytes);
        read.map(|()| bytes).map_err(|e| format!("its header cannot be read ({e})"))
    };
    let wide = match bytes(8)?[..] {
        [0x93, b'N', b'U', b'M', b'P', b'Y', 1, _] => 2,
        [0x93, b'N', b'U', b'M', b'P', b'Y', 2 | 3, _] => 4,
        _ => return Err("it is no numpy array".into()),
    };
    let length = bytes(wide)?.iter().rev().fold(0, |length, &byte| length << 8 | usize::from(byte));
    if length > MOST_HEADER {
        return Err("its header is too long".into());
    }
    let text = String::from_utf8(bytes(length)?).map_err(|e| format!("its header is no text ({e})"))?;
    Ok((text, (8 + wide + length) as u64))
}

/// What stands behind a header of this text.
pub(crate) fn parse_header(text: &str) -> Result<(Kind, Shape), String> {
    let after = |key: &str| {
        let found = text.split_once(&format!("'{key}':")).map(|(_, rest)| rest.trim_start());
        found.ok_or_else(|| format!("its header has no `{key}`"))
    };
    let descr =
        after("descr")?.strip_prefix('\'').and_then(|rest| rest.split('\'').next()).unwrap_or("records");
    let kind = match descr.as_bytes() {
        [b'|', b'b', b'1'] => Kind { letter: b'u', size: 1 },
        [b'<' | b'|', letter @ (b'u' | b'i'), size @ (b'1' | b'2' | b'4' | b'8')]
        | [b'<', letter @ b'f', size @ (b'4' | b'8')] => {
            Kind { letter: *letter, size: usize::from(size - b'0') }
        }
        _ => return Err(format!("it holds `{descr}`, and no plain numbers")),
    };
    if !after("fortran_order")?.starts_with("False") {
        return Err("it is stored column by column".into());
    }
    let list = after("shape")?.strip_prefix('(').and_then(|rest| rest.split_once(')'));
    let (list, _) = list.ok_or("its shape is not a tuple")?;
    let extents = list.split(',').map(str::trim).filter(|n| !n.is_empty()).map(str::parse);
    let extents = extents.collect::<Result<Vec<usize>, _>>().map_err(|e| format!("its shape: {e}"))?;
    Ok((kind, Shape::new(&extents).map_err(|e| e.to_string())?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn npy(descr: &str, shape: &str, numbers: &[u8]) -> Vec<u8> {
        let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
        [b"\x93NUMPY\x01\x00", &(text.len() as u16).to_le_bytes()[..], text.as_bytes(), numbers].concat()
    }

    fn from(bytes: &[u8]) -> Result<Array, String> {
        read(&mut &bytes[..], bytes.len() as u64)
    }

    #[test]
    fn every_kind_of_number() {
        let cases: [(&str, Vec<u8>, f32); 8] = [
            ("|u1", vec![200], 200.),
            ("|b1", vec![1], 1.),
            ("|i1", vec![254], -2.),
            ("<i2", vec![0xfe, 0xff], -2.),
            ("<u4", vec![0, 0, 0, 0x80], 2147483648.),
            ("<i8", (-3i64).to_le_bytes().to_vec(), -3.),
            ("<f4", 0.5f32.to_le_bytes().to_vec(), 0.5),
            ("<f8", 0.25f64.to_le_bytes().to_vec(), 0.25),
        ];
        for (descr, bytes, value) in cases {
            let array = from(&npy(descr, "(1,)", &bytes)).unwrap();
            assert_eq!((array.shape().dims(), array.to_f32()), (&[1][..], vec![value]), "{descr}");
        }
        let labels = from(&npy("<i2", "(2,)", &[3, 0, 0, 0])).unwrap().labels().unwrap();
        assert_eq!(labels, Targets::labels(vec![3, 0]));
        assert!(from(&npy("<i2", "(1,)", &[0xff, 0xff])).unwrap().labels().is_err());
        let x = from(&npy("|u1", "(1, 2, 2)", &[1, 2, 3, 4])).unwrap().features().unwrap();
        assert_eq!((x.sample().dims(), x.values_of(0)), (&[2, 2][..], vec![1., 2., 3., 4.]));
    }

    #[test]
    fn what_is_no_array_says_so() {
        let good = npy("<f4", "(2,)", &[0; 8]);
        let cases = [
            (b"PK".to_vec(), "header cannot be read"),
            (b"GIF89a, and more of it".to_vec(), "no numpy array"),
            (good[..good.len() - 1].to_vec(), "does not fit"),
            ([&good[..], &[0]].concat(), "does not fit"),
            ([b"\x93NUMPY\x02\x00", &[0, 0, 1, 0][..], &[b' '; 99]].concat(), "header is too long"),
            (npy("<U3", "(1,)", &[0; 12]), "holds `<U3`"),
            (npy(">f4", "(1,)", &[0; 4]), "holds `>f4`"),
            (npy("<f4", "(99999999999, 99999999999)", &[0; 4]), "too large"),
            (npy("<f4", "(1099511627776,)", &[0; 4]), "does not fit"),
            (npy("<f4", "3", &[0; 12]), "not a tuple"),
            (good.iter().map(|&b| if b == b'F' { b'T' } else { b }).collect(), "column by column"),
        ];
        for (bytes, words) in cases {
            let e = from(&bytes).unwrap_err();
            assert!(e.contains(words), "{e} should say {words}");
        }
    }

    #[test]
    fn archives_and_bombs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npz");
        let write = |entries: &[(&str, Vec<u8>)]| {
            let mut zip = zip::ZipWriter::new(File::create(&path).unwrap());
            for (name, bytes) in entries {
                zip.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
                zip.write_all(bytes).unwrap();
            }
            zip.finish().unwrap();
        };
        write(&[("x.npy", npy("<f4", "(1, 2)", &[0; 8])), ("y.npy", npy("|u1", "(1,)", &[7]))]);
        let arrays = Array::read_npz(&path).unwrap();
        assert_eq!((arrays[0].0.as_str(), arrays[1].0.as_str()), ("x", "y"));
        assert_eq!(arrays[1].1.to_f32(), [7.0]);
        write(&[("bomb.npy", npy("|u1", "(60000000,)", &vec![0; 60_000_000]))]);
        let e = Array::read_npz(&path).unwrap_err().to_string();
        assert!(e.contains("not trusted") || e.contains("so small a file"), "{e}");
        std::fs::write(&path, "no archive").unwrap();
        assert!(Array::read_npz(&path).is_err());
    }
}
