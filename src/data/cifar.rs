//! CIFAR-10 as its makers publish it for programs in C: records of a label and three planes of colour.
//!
//! ```text
//! 0      label        one byte, 0 to 9
//! 1      red          32 × 32 bytes, row-major
//! 1025   green        the same
//! 2049   blue         the same
//! ```
//!
//! A file is 10,000 such records (any number is read) and nothing else: `data_batch_1.bin` to `data_batch_5.bin` to train
//! on, `test_batch.bin` to test on. They leave here channels-last, `[32, 32, 3]`, as all images do.
//!
//! Source: Krizhevsky, *Learning Multiple Layers of Features from Tiny Images*, 2009; the page of the data set.

use super::dataset::Dataset;
use super::features::{Features, Targets};
use super::images::{ImageDataset, find};
use crate::error::{Error, Result};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

const SIDE: usize = 32;
const PLANE: usize = SIDE * SIDE;
const RECORD: usize = 1 + 3 * PLANE;
const CLASSES: usize = 10;

/// CIFAR-10: 50,000 + 10,000 photographs of 32 × 32 in colour, of ten classes (Krizhevsky 2009). Samples are
/// `[32, 32, 3]`.
///
/// Looked for as `cifar10` where [`mnist`](super::mnist) looks for `mnist`; `handgrad data get cifar10` fetches it.
///
/// # Errors
/// It is nowhere to be found, or a file is wrong; see [`read_cifar10`].
pub fn cifar10() -> Result<ImageDataset> {
    read_cifar10(find("cifar10", None)?)
}

/// Reads the six files of the binary version from `folder`, or from `cifar-10-batches-bin` in it.
///
/// # Errors
/// The folder or a file is missing, a file is not whole records, or a label is above 9.
pub fn read_cifar10(folder: impl Into<PathBuf>) -> Result<ImageDataset> {
    let folder = folder.into();
    let inner = folder.join("cifar-10-batches-bin");
    let place = if inner.is_dir() { &inner } else { &folder };
    let train: Vec<PathBuf> = (1..=5).map(|i| place.join(format!("data_batch_{i}.bin"))).collect();
    let (train, test) = (read(&train)?, read(&[place.join("test_batch.bin")])?);
    Ok(ImageDataset { train, test, classes: CLASSES, folder })
}

fn read(paths: &[PathBuf]) -> Result<Dataset> {
    let (mut images, mut labels) = (Vec::new(), Vec::new());
    for path in paths {
        append(path, &mut images, &mut labels)?;
    }
    let x = Features::Bytes { sample: [SIDE, SIDE, 3].into(), bytes: images, scale: 1.0 / 255.0 };
    Dataset::new(x, Targets::labels(labels))
}

/// Adds a file's records. Reads one at a time, so that nothing larger than the images is ever held.
fn append(path: &Path, images: &mut Vec<u8>, labels: &mut Vec<u32>) -> Result<()> {
    let failed = |source| Error::Io { action: "read", path: path.to_path_buf(), source };
    let file = File::open(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => Error::format(
            path,
            "there is no such file",
            "fetch it with `handgrad data get cifar10`, or unpack cifar-10-binary.tar.gz there",
        ),
        _ => failed(e),
    })?;
    let bytes = file.metadata().map_err(failed)?.len();
    let records = bytes / RECORD as u64;
    if records == 0 || bytes % RECORD as u64 != 0 {
        return Err(Error::format(
            path,
            format!("{bytes} bytes are not whole records of {RECORD}"),
            "the file is incomplete, or not the binary version of CIFAR-10: fetch it again",
        ));
    }
    images.reserve(records as usize * 3 * PLANE);
    labels.reserve(records as usize);
    let mut file = std::io::BufReader::new(file);
    let mut record = [0; RECORD];
    for i in 0..records {
        file.read_exact(&mut record).map_err(failed)?;
        let [label, planes @ ..] = &record;
        if usize::from(*label) >= CLASSES {
            return Err(Error::format(
                path,
                format!("label {label} of record {i} is outside the {CLASSES} classes"),
                "labels go from 0 to 9: check that this is CIFAR-10, and not CIFAR-100",
            ));
        }
        labels.push(u32::from(*label));
        images.extend((0..PLANE).flat_map(|p| [planes[p], planes[PLANE + p], planes[2 * PLANE + p]]));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of six files of one record each, whose planes are `10 i`, `10 i + 1` and `10 i + 2`.
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let names =
            ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"];
        for (i, name) in (0u8..).zip(names) {
            let mut record = vec![i];
            (0..3).for_each(|c| record.extend([10 * i + c; PLANE]));
            record[2] = 99; // the second pixel's red
            std::fs::write(folder.path().join(format!("{name}.bin")), record).unwrap();
        }
        folder
    }

    #[test]
    fn planes_become_channels() {
        let folder = folder();
        let data = read_cifar10(folder.path()).unwrap();
        assert_eq!((data.train.len(), data.test.len()), (5, 1));
        assert_eq!(data.train.sample_shape().dims(), [32, 32, 3]);
        assert_eq!(data.test.y(), &Targets::labels(vec![5]));
        let first: Vec<f32> = data.train.x().values_of(2)[..6].iter().map(|v| (v * 255.0).round()).collect();
        assert_eq!(first, [20., 21., 22., 99., 21., 22.]);
    }

    #[test]
    fn wrong_files_say_so() {
        let folder = folder();
        let path = folder.path().join("data_batch_3.bin");
        let mut record = std::fs::read(&path).unwrap();
        let error = || read_cifar10(folder.path()).unwrap_err().to_string();
        std::fs::write(&path, &record[1..]).unwrap();
        assert!(
            error().ends_with("data_batch_3.bin: 3072 bytes are not whole records of 3073"),
            "{}",
            error()
        );
        record[0] = 10;
        std::fs::write(&path, &record).unwrap();
        assert!(error().ends_with("label 10 of record 0 is outside the 10 classes"), "{}", error());
        std::fs::write(&path, []).unwrap();
        assert!(error().contains("0 bytes"));
        std::fs::remove_file(&path).unwrap();
        assert!(error().ends_with("data_batch_3.bin: there is no such file"));
    }
}
