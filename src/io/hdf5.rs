//! HDF5 files, read and written by the crate `hdf5-pure`; here is what keeps a broken or hostile one harmless.
//!
//! The crate checks every length against the file before it reserves memory, but a small file can still ask for much:
//! a data set whose shape is huge and whose chunks were never written, or an attribute of thousands of strings that
//! are all the same long one. So it reads through [`Metered`], which stops giving bytes when an operation has read more
//! than any honest file needs, and data sets are read only after their shapes were added up.

use crate::error::{Error, Result};
use hdf5_pure::{
    AttrValue, Dataset, File, FileBuilder, FormatError, GroupBuilder, H5Element, LibVer, Source,
};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What every file may cost, besides a multiple of its size: B-trees and headers are read more than once.
const SLACK: u64 = 1 << 20;

/// A file's bytes, and how many more of them may be read.
#[derive(Clone)]
struct Metered {
    bytes: Arc<Vec<u8>>,
    /// In the operation that goes on.
    left: Arc<AtomicU64>,
    /// In all.
    left_in_all: Arc<AtomicU64>,
}

impl Metered {
    /// Starts an operation, which may read as much as an honest file needs.
    fn start(&self) {
        let left = self.len() + SLACK;
        self.left.store(left.min(self.left_in_all.load(Ordering::Relaxed)), Ordering::Relaxed);
    }
}

impl Source for Metered {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), FormatError> {
        for left in [&self.left, &self.left_in_all] {
            let rest = left.load(Ordering::Relaxed).checked_sub(buf.len() as u64);
            let too_much = || FormatError::Source("its parts refer to each other without end".into());
            left.store(rest.ok_or_else(too_much)?, Ordering::Relaxed);
        }
        let available = self.bytes.len();
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = start.saturating_add(buf.len());
        let part =
            self.bytes.get(start..end).ok_or(FormatError::UnexpectedEof { expected: end, available })?;
        buf.copy_from_slice(part);
        Ok(())
    }
}

/// A file being read. Paths in it are like `layers/dense/vars/0`.
pub(crate) struct Hdf5 {
    path: PathBuf,
    file: File,
    source: Metered,
    /// How many bytes of numbers may still be read.
    numbers_left: u64,
}

impl Hdf5 {
    /// The file of these bytes; `path` is for errors.
    ///
    /// # Errors
    /// It is no HDF5 file, or a damaged one.
    pub(crate) fn parse(path: &Path, bytes: Vec<u8>) -> Result<Hdf5> {
        let len = bytes.len() as u64;
        let source = Metered {
            bytes: Arc::new(bytes),
            left: Arc::new(AtomicU64::new(len + SLACK)),
            left_in_all: Arc::new(AtomicU64::new(64 * len + 256 * SLACK)),
        };
        let file = File::from_source(source.clone()).map_err(|e| damaged(path, e))?;
        Ok(Hdf5 { path: path.to_path_buf(), file, source, numbers_left: 2 * len + SLACK })
    }

    /// What reading made of it, with as many bytes to read as an honest file needs for one operation.
    fn read<T>(&self, operation: impl FnOnce(&File) -> Result<T, hdf5_pure::Error>) -> Result<T> {
        self.source.start();
        operation(&self.file).map_err(|e| damaged(&self.path, e))
    }

    /// Whether there is a group at `path`; the file itself is the group ``.
    pub(crate) fn has_group(&self, path: &str) -> bool {
        self.source.start();
        self.file.group(path).is_ok()
    }

    /// The names of the groups in the group at `path`, sorted.
    ///
    /// # Errors
    /// There is no such group.
    pub(crate) fn groups(&self, path: &str) -> Result<Vec<String>> {
        let mut names = self.read(|f| group(f, path)?.groups())?;
        names.sort();
        Ok(names)
    }

    /// The names of the data sets in the group at `path`, sorted.
    ///
    /// # Errors
    /// There is no such group.
    pub(crate) fn datasets(&self, path: &str) -> Result<Vec<String>> {
        let mut names = self.read(|f| group(f, path)?.datasets())?;
        names.sort();
        Ok(names)
    }

    /// The texts of the attributes of the group at `path`; those that are not text are left out.
    ///
    /// # Errors
    /// There is no such group.
    pub(crate) fn texts(&self, path: &str) -> Result<HashMap<String, String>> {
        let attributes = self.read(|f| group(f, path)?.attrs())?;
        let text = |(name, value): (String, AttrValue)| Some((name, value.as_str()?.to_string()));
        Ok(attributes.into_iter().filter_map(text).collect())
    }

    /// The attributes of the group at `path` that are lists of texts.
    ///
    /// # Errors
    /// There is no such group.
    pub(crate) fn lists(&self, path: &str) -> Result<HashMap<String, Vec<String>>> {
        let attributes = self.read(|f| group(f, path)?.attrs())?;
        let list = |(name, value): (String, AttrValue)| Some((name, value.as_strings()?.to_vec()));
        Ok(attributes.into_iter().filter_map(list).collect())
    }

    /// The shape of the data set at `path`.
    ///
    /// # Errors
    /// There is none, or it has too many dimensions to be a weight.
    pub(crate) fn shape(&self, path: &str) -> Result<Vec<usize>> {
        let dims = self.read(|f| f.dataset(path)?.shape())?;
        dims.iter()
            .map(|&d| usize::try_from(d).map_err(|_| damaged(&self.path, "an extent without end")))
            .collect()
    }

    /// How many numbers the file may fill.
    pub(crate) fn room(&self) -> usize {
        usize::try_from(self.numbers_left / 4).unwrap_or(usize::MAX)
    }

    /// The numbers of the data set at `path`, row-major. The caller has checked the shape.
    ///
    /// # Errors
    /// There is none, its elements are no numbers, or it says that it has more than the file can hold.
    pub(crate) fn numbers<T: H5Element>(&mut self, path: &str) -> Result<Vec<T>> {
        let room = self.numbers_left;
        let (values, used) = self.read(|f| {
            let dataset = f.dataset(path)?;
            Ok(match bytes_of(&dataset)?.filter(|&n| n <= room) {
                Some(n) => (Some(dataset.read::<T>()?), n),
                None => (None, 0),
            })
        })?;
        self.numbers_left -= used;
        values.ok_or_else(|| {
            damaged(&self.path, format!("`{path}` claims more numbers than the file can hold"))
        })
    }
}

/// How many bytes of memory reading the data set takes, its largest chunk included; `None` if that cannot be counted.
fn bytes_of(dataset: &Dataset) -> Result<Option<u64>, hdf5_pure::Error> {
    let product = |dims: &[u64]| dims.iter().try_fold(1u64, |n, &d| n.checked_mul(d));
    let chunk = dataset.chunk_shape()?.unwrap_or_default();
    let elements = product(&dataset.shape()?).zip(product(&chunk)).map(|(all, chunk)| all.max(chunk));
    let size = dataset.element_size()?;
    Ok(elements.and_then(|n| n.checked_mul(size)))
}

fn group(file: &File, path: &str) -> Result<hdf5_pure::Group, hdf5_pure::Error> {
    if path.is_empty() { Ok(file.root()) } else { file.group(path) }
}

fn damaged(path: &Path, problem: impl std::fmt::Display) -> Error {
    let problem = format!("it is no HDF5 file that Keras wrote: {problem}");
    Error::format(path, problem, "copy the file again, or save the model again")
}

/// A group being written: its texts, its data sets and its groups.
#[derive(Default)]
pub(crate) struct Group {
    texts: Vec<(String, String)>,
    datasets: Vec<(String, Numbers)>,
    groups: BTreeMap<String, Group>,
}

/// A data set being written.
pub(crate) enum Numbers {
    /// `f32` of this shape.
    F32(Vec<u64>, Vec<f32>),
    /// One `i32`.
    I32(i32),
}

impl Group {
    /// The group of that name in this one, made if it is not there.
    pub(crate) fn group(&mut self, name: &str) -> &mut Group {
        self.groups.entry(name.to_string()).or_default()
    }

    /// Gives the group an attribute.
    pub(crate) fn text(&mut self, name: &str, text: &str) {
        self.texts.push((name.to_string(), text.to_string()));
    }

    /// Puts numbers into the group.
    pub(crate) fn dataset(&mut self, name: &str, numbers: Numbers) {
        self.datasets.push((name.to_string(), numbers));
    }

    /// This group as the root of a file that HDF5 1.8 and later can read; `path` is for errors.
    ///
    /// # Errors
    /// A name that HDF5 cannot have, such as one with a slash.
    pub(crate) fn to_bytes(&self, path: &Path) -> Result<Vec<u8>> {
        let mut file = FileBuilder::new();
        file.with_libver_bounds(LibVer::Earliest, LibVer::V18);
        for (name, text) in &self.texts {
            file.set_attr(name, AttrValue::VarLenString(text.clone()));
        }
        for (name, numbers) in &self.datasets {
            write_numbers(file.create_dataset(name), numbers);
        }
        for (name, group) in &self.groups {
            let mut builder = file.create_group(name);
            group.write(&mut builder);
            file.add_group(builder.finish());
        }
        file.finish().map_err(|e| {
            let problem = format!("the weights cannot be laid out as HDF5: {e}");
            Error::format(path, problem, "give the layers names without `/`")
        })
    }

    fn write(&self, to: &mut GroupBuilder) {
        for (name, text) in &self.texts {
            to.set_attr(name, AttrValue::VarLenString(text.clone()));
        }
        for (name, numbers) in &self.datasets {
            write_numbers(to.create_dataset(name), numbers);
        }
        for (name, group) in &self.groups {
            let mut builder = to.create_group(name);
            group.write(&mut builder);
            to.add_group(builder.finish());
        }
    }
}

fn write_numbers(to: &mut hdf5_pure::DatasetBuilder, numbers: &Numbers) {
    match numbers {
        Numbers::F32(shape, values) => to.with_f32_data(values).with_shape(shape),
        Numbers::I32(value) => to.with_i32_data(&[*value]).with_shape(&[]),
    };
}
