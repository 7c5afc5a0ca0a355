//! IDX, the format of MNIST's files: a magic number, the extents, the elements.
//!
//! ```text
//! 0      0, 0, type, rank         type 0x08 u8, 0x09 i8, 0x0B i16, 0x0C i32, 0x0D f32, 0x0E f64
//! 4      extent × rank            u32 each
//! 4+4r   elements                 row-major
//! ```
//!
//! All numbers are big-endian. A file may be gzipped; its first two bytes tell. Nothing in a file is believed before it
//! is checked against the file's size, so that no file, however broken or hostile, makes the reader allocate more than
//! four times that size and 64 MiB.
//!
//! Source: LeCun, Cortes, Burges, *The MNIST database of handwritten digits*, "file formats".

use super::atomic::AtomicFile;
use crate::error::{Error, Result};
use crate::mistakes::Mistake;
use crate::shape::{MAX_DIMS, Shape};
use byteorder::{BigEndian, ByteOrder, ReadBytesExt, WriteBytesExt};
use flate2::{Compression, read::MultiGzDecoder, write::GzEncoder};
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;

/// What an element of an IDX file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub enum Element {
    U8,
    I8,
    I16,
    I32,
    F32,
    F64,
}

impl Element {
    /// All of them.
    pub const ALL: [Element; 6] =
        [Element::U8, Element::I8, Element::I16, Element::I32, Element::F32, Element::F64];

    /// The third byte of a file.
    pub fn code(self) -> u8 {
        match self {
            Element::U8 => 0x08,
            Element::I8 => 0x09,
            Element::I16 => 0x0B,
            Element::I32 => 0x0C,
            Element::F32 => 0x0D,
            Element::F64 => 0x0E,
        }
    }

    /// How many bytes it has.
    pub fn size(self) -> usize {
        match self {
            Element::U8 | Element::I8 => 1,
            Element::I16 => 2,
            Element::I32 | Element::F32 => 4,
            Element::F64 => 8,
        }
    }
}

/// The contents of an IDX file.
///
/// ```
/// use handgrad::data::{Element, Idx};
/// let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("labels-idx1-ubyte.gz");
/// let labels = Idx::new([4], Element::U8, vec![7, 2, 1, 0])?;
/// labels.write(&path)?;
/// assert_eq!(Idx::read(&path)?, labels);
/// # Ok::<(), handgrad::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idx {
    shape: Shape,
    element: Element,
    bytes: Vec<u8>,
}

impl Idx {
    /// Elements as their big-endian bytes.
    ///
    /// # Errors
    /// There is no element, no dimension, an extent beyond 2³², or bytes that are not of that shape.
    pub fn new(shape: impl Into<Shape>, element: Element, bytes: Vec<u8>) -> Result<Idx> {
        let shape = shape.into();
        let fits = shape.rank() > 0 && shape.dims().iter().all(|&d| u32::try_from(d).is_ok());
        if !fits || bytes.is_empty() || shape.len().checked_mul(element.size()) != Some(bytes.len()) {
            return Err(Error::data(
                format!("{} bytes are not {element:?} elements of shape {shape}", bytes.len()),
                "give at least one element, and as many as the shape has",
            ));
        }
        Ok(Idx { shape, element, bytes })
    }

    /// The extents.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// What the elements are.
    pub fn element(&self) -> Element {
        self.element
    }

    /// The elements as they stand in the file, big-endian.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The elements as they stand in the file, big-endian.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The elements as reals; large integers and doubles are rounded.
    pub fn to_f32(&self) -> Vec<f32> {
        let each = self.bytes.chunks_exact(self.element.size());
        match self.element {
            Element::U8 => self.bytes.iter().map(|&b| f32::from(b)).collect(),
            Element::I8 => self.bytes.iter().map(|&b| f32::from(b as i8)).collect(),
            Element::I16 => each.map(|b| f32::from(BigEndian::read_i16(b))).collect(),
            Element::I32 => each.map(|b| BigEndian::read_i32(b) as f32).collect(),
            Element::F32 => each.map(BigEndian::read_f32).collect(),
            Element::F64 => each.map(|b| BigEndian::read_f64(b) as f32).collect(),
        }
    }

    /// Reads a file, plain or gzipped.
    ///
    /// # Errors
    /// The system cannot read it, or it is not a whole and correct IDX file.
    pub fn read(path: impl AsRef<Path>) -> Result<Idx> {
        let path = path.as_ref();
        let fail = |source| Error::Io { action: "read", path: path.to_path_buf(), source };
        let file = File::open(path).map_err(fail)?;
        let on_disk = file.metadata().map_err(fail)?.len();
        let mut file = BufReader::new(file);
        let gzipped = file.fill_buf().map_err(fail)?.starts_with(&GZIP_MAGIC);
        if gzipped {
            let room = on_disk.saturating_mul(4).saturating_add(64 << 20);
            parse(&mut MultiGzDecoder::new(file), Length::AtMost(room), path)
        } else {
            parse(&mut file, Length::Exactly(on_disk), path)
        }
    }

    /// Writes a file, gzipped if its name ends in `.gz`. The file appears whole or not at all.
    ///
    /// # Errors
    /// The system cannot write it.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let mut file = AtomicFile::create(path)?;
        let mut out = BufWriter::new(&mut file);
        let written = if path.extension().is_some_and(|e| e == "gz") {
            let mut gz = GzEncoder::new(&mut out, Compression::default());
            self.write_to(&mut gz).and_then(|()| gz.finish().map(drop))
        } else {
            self.write_to(&mut out)
        };
        written.and_then(|()| out.flush()).map_err(|source| Error::Io {
            action: "write",
            path: path.to_path_buf(),
            source,
        })?;
        drop(out);
        file.commit()
    }

    fn write_to(&self, out: &mut impl Write) -> io::Result<()> {
        out.write_all(&[0, 0, self.element.code(), self.shape.rank() as u8])?;
        for &d in self.shape.dims() {
            out.write_u32::<BigEndian>(d as u32)?; // `new` and `read` have only such extents
        }
        out.write_all(&self.bytes)
    }
}

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// What is known of the unpacked file's length before reading it.
enum Length {
    /// It is the file itself.
    Exactly(u64),
    /// It is gzipped, and may unpack to so much.
    AtMost(u64),
}

fn parse(file: &mut impl Read, length: Length, path: &Path) -> Result<Idx> {
    let wrong = |problem: String, hint: &str| Error::format(path, problem, hint);
    let short = |what| move |e| unreadable(path, what, e);

    let mut magic = [0; 4];
    file.read_exact(&mut magic).map_err(short("its first four bytes"))?;
    let [zero, zero_too, code, rank] = magic;
    if (zero, zero_too) != (0, 0) {
        return Err(wrong(
            format!("not an IDX file: it begins with {magic:02x?}, and not with two zero bytes"),
            "check that it is one of the four files, and not a web page or an archive of them",
        ));
    }
    let Some(element) = Element::ALL.into_iter().find(|e| e.code() == code) else {
        return Err(wrong(
            format!("element type 0x{code:02x} is unknown to IDX"),
            "known are 0x08 u8, 0x09 i8, 0x0b i16, 0x0c i32, 0x0d f32 and 0x0e f64",
        ));
    };
    let rank = usize::from(rank);
    if rank == 0 || rank > MAX_DIMS {
        return Err(wrong(
            format!("an array of {rank} dimensions"),
            "labels have 1 dimension, images 3, and no more than 6 can be read",
        ));
    }
    let mut dims = [0; MAX_DIMS];
    for d in &mut dims[..rank] {
        *d = file.read_u32::<BigEndian>().map_err(short("its header"))? as usize;
    }
    let dims = &dims[..rank];
    if dims.contains(&0) {
        return Err(Error::from(Mistake::Empty { part: None, shape: dims.to_vec() }).in_file(path));
    }

    // No allocation before this point, and none larger than this.
    let header = 4 + 4 * rank as u64;
    let promised = dims.iter().try_fold(element.size() as u64, |n, &d| n.checked_mul(d as u64));
    let total = promised.and_then(|n| n.checked_add(header));
    let amount = |n: Option<u64>| n.map_or("more than 2⁶⁴ bytes".to_string(), |n| format!("{n} bytes"));
    match length {
        Length::Exactly(on_disk) if total != Some(on_disk) => {
            let hint = match total.is_some_and(|n| n < on_disk) {
                true => "something was added behind the last element: fetch or copy the file again",
                false => "the file is incomplete or its header wrong: fetch or copy it again",
            };
            let says = format!("its header {dims:?} promises {}, the file has {on_disk}", amount(total));
            return Err(wrong(says, hint));
        }
        Length::AtMost(room) if total.is_none_or(|n| n > room) => {
            let says = format!("its header {dims:?} promises {}, which so small a gzip file", amount(total));
            return Err(wrong(
                format!("{says} is not trusted to hold"),
                "if it is right, unpack the file with `gunzip` and read it unpacked",
            ));
        }
        _ => {}
    }
    let shape = Shape::new(dims)?;
    let mut bytes = vec![0; shape.len() * element.size()];
    file.read_exact(&mut bytes).map_err(short("its elements"))?;
    if file.read(&mut [0]).map_err(short("its last bytes"))? != 0 {
        return Err(wrong(
            format!("there is more in it than its header {dims:?} promises"),
            "something was added behind the last element: fetch or copy the file again",
        ));
    }
    Ok(Idx { shape, element, bytes })
}

/// Reading `what` came to an end, to damaged gzip data, or to the system's refusal.
fn unreadable(path: &Path, what: &str, e: io::Error) -> Error {
    match e.kind() {
        io::ErrorKind::UnexpectedEof => Error::format(
            path,
            format!("the file ends within {what}"),
            "the file is incomplete: fetch or copy it again",
        ),
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
            Error::format(path, format!("the gzip data is damaged ({e})"), "fetch or copy the file again")
        }
        _ => Error::Io { action: "read", path: path.to_path_buf(), source: e },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(bytes: &[u8]) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, bytes).unwrap();
        (folder, path)
    }

    #[test]
    fn every_element_type_reads_as_it_was_written() {
        let cases: [(Element, &[u8], [f32; 2]); 6] = [
            (Element::U8, &[255, 1], [255., 1.]),
            (Element::I8, &[255, 1], [-1., 1.]),
            (Element::I16, &[0xff, 0xfe, 1, 0], [-2., 256.]),
            (Element::I32, &[0xff, 0xff, 0xff, 0xfd, 0, 1, 0, 0], [-3., 65536.]),
            (Element::F32, &[0x3f, 0x80, 0, 0, 0xbf, 0, 0, 0], [1., -0.5]),
            (Element::F64, &[0x3f, 0xf0, 0, 0, 0, 0, 0, 0, 0xbf, 0xe0, 0, 0, 0, 0, 0, 0], [1., -0.5]),
        ];
        for (element, bytes, values) in cases {
            let (_folder, path) = file(&[&[0, 0, element.code(), 1, 0, 0, 0, 2], bytes].concat());
            let idx = Idx::read(&path).unwrap();
            assert_eq!(
                (idx.shape().dims(), idx.element(), idx.to_f32()),
                (&[2][..], element, values.to_vec())
            );
        }
    }

    #[test]
    fn each_fault_has_its_own_words() {
        let huge: Vec<u8> = [&[0, 0, 8, 4][..], &[0xff; 16]].concat();
        let gz = |bytes: &[u8]| {
            let mut gz = GzEncoder::new(Vec::new(), Compression::default());
            gz.write_all(bytes).unwrap();
            gz.finish().unwrap()
        };
        let good = [0, 0, 8, 1, 0, 0, 0, 2, 5, 6];
        let packed = gz(&good);
        let mut damaged = packed.clone();
        *damaged.last_mut().unwrap() ^= 1; // the length in the gzip trailer
        let cases: [(&[u8], &str); 15] = [
            (b"", "ends within its first four bytes"),
            (&[0, 0, 8], "ends within its first four bytes"),
            (&[0, 0, 8, 3, 0, 0], "ends within its header"),
            (b"<!DOCTYPE html>", "not an IDX file"),
            (&[0, 0, 7, 1, 0, 0, 0, 1, 0], "element type 0x07"),
            (&[0, 0, 8, 0, 1], "an array of 0 dimensions"),
            (&[0, 0, 8, 7, 1], "an array of 7 dimensions"),
            (&[0, 0, 8, 2, 0, 0, 0, 0, 0, 0, 0, 3], "the data is empty"),
            (&good[..9], "promises 10 bytes, the file has 9"),
            (&[&good[..], &[0]].concat(), "promises 10 bytes, the file has 11"),
            (&huge, "promises more than 2⁶⁴ bytes"),
            (&gz(&huge), "not trusted to hold"),
            (&gz(&[&good[..], &[0]].concat()), "more in it than its header"),
            (&packed[..packed.len() - 3], "the file ends within its last bytes"),
            (&damaged, "the gzip data is damaged"),
        ];
        for (bytes, words) in cases {
            let (_folder, path) = file(bytes);
            let error = Idx::read(&path).unwrap_err();
            assert!(error.to_string().contains(words), "{error} should say {words}");
            assert!(error.to_string().contains(path.to_str().unwrap()) && error.hint().is_some(), "{error}");
        }
    }
}
