//! MNIST, Fashion-MNIST and whatever else comes in the same four files.

use super::catalog::{Collection, places};
use super::dataset::{Dataset, check_labels};
use super::features::{Features, Targets};
use super::idx::{Element, Idx};
use crate::error::{Error, Result};
use crate::mistakes::Mistake;
use crate::shape::Shape;
use std::path::{Path, PathBuf};

/// Pictures of one size with a class each, in a part to train on and one to test on.
///
/// Pixels are bytes worth 1/255 each, samples `[rows, columns]`, targets labels.
#[derive(Clone, Debug)]
pub struct ImageDataset {
    /// What to train on.
    pub train: Dataset,
    /// What to test on, once.
    pub test: Dataset,
    /// How many classes there are.
    pub classes: usize,
    /// The folder it came from.
    pub folder: PathBuf,
}

/// MNIST: 60,000 + 10,000 handwritten digits of 28 × 28 (LeCun, Cortes, Burges 1998).
///
/// Looked for in `mnist` under the folder that the environment's `HANDGRAD_DATA` names, then in `data/mnist` of the
/// current folder, then of the source tree that this was built from, then in `data/mnist` of
/// [`cache_folder`](super::cache_folder), where `handgrad data get mnist` puts it.
///
/// # Errors
/// It is nowhere to be found, or a file is wrong; see [`ImageDataset::read`].
pub fn mnist() -> Result<ImageDataset> {
    ImageDataset::read(find("mnist", None)?, 10)
}

/// Fashion-MNIST: 60,000 + 10,000 pictures of clothes of 28 × 28 (Xiao, Rasul, Vollgraf 2017).
///
/// Looked for in the folder that the environment's `HANDGRAD_FASHION_MNIST` names, then as `fashion-mnist` where
/// [`mnist`] looks for `mnist`.
///
/// # Errors
/// As [`mnist`].
pub fn fashion_mnist() -> Result<ImageDataset> {
    ImageDataset::read(
        find("fashion-mnist", std::env::var_os("HANDGRAD_FASHION_MNIST").map(PathBuf::from))?,
        10,
    )
}

/// KMNIST: 60,000 + 10,000 cursive Japanese characters of 28 × 28, in ten classes (Clanuwat et al. 2018). It has
/// MNIST's shape and file names.
///
/// Looked for as `kmnist` where [`mnist`] looks for `mnist`.
///
/// # Errors
/// As [`mnist`].
pub fn kmnist() -> Result<ImageDataset> {
    ImageDataset::read(find("kmnist", None)?, 10)
}

/// EMNIST letters: 124,800 + 20,800 handwritten letters of 28 × 28, large and small together in 26 classes (Cohen et al.
/// 2017).
///
/// Looked for as `emnist-letters` where [`mnist`] looks for `mnist`.
///
/// # Errors
/// It is nowhere to be found, or a file is wrong; see [`ImageDataset::read_emnist_letters`].
pub fn emnist_letters() -> Result<ImageDataset> {
    ImageDataset::read_emnist_letters(find("emnist-letters", None)?)
}

/// How the four files of a set differ from MNIST's.
struct Files {
    train: &'static str,
    test: &'static str,
    classes: usize,
    /// The label of the first class.
    first_label: u8,
    /// Whether pictures are stored column by column.
    transposed: bool,
}

const MNIST: Files = Files { train: "train", test: "t10k", classes: 10, first_label: 0, transposed: false };

impl ImageDataset {
    /// Reads the four files of a folder, each plain or gzipped: `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`,
    /// `t10k-images-idx3-ubyte` and `t10k-labels-idx1-ubyte`, with or without `.gz`.
    ///
    /// Images of another element type than bytes are taken as they are, unscaled.
    ///
    /// # Errors
    /// The folder or a file is missing, a file is not correct IDX, images and labels differ in number, a label is
    /// outside the classes, a pixel is not a number, or the two parts have pictures of different size.
    pub fn read(folder: impl Into<PathBuf>, classes: usize) -> Result<ImageDataset> {
        read_parts(folder.into(), &Files { classes, ..MNIST })
    }

    /// Reads the part to test on alone, of a folder as [`read`](ImageDataset::read) wants it: the part to train on need not
    /// be there.
    ///
    /// # Errors
    /// As [`read`](ImageDataset::read).
    pub fn read_test(folder: impl AsRef<Path>, classes: usize) -> Result<Dataset> {
        let folder = folder.as_ref();
        check_folder(folder, MNIST.test)?;
        read_part(folder, MNIST.test, &Files { classes, ..MNIST })
    }

    /// Reads EMNIST's four files of letters from a folder, each plain or gzipped: `emnist-letters-train-images-idx3-ubyte`
    /// and its like.
    ///
    /// The files hold pictures column by column and labels from 1 to 26. What comes out stands upright, and labels go
    /// from 0 (a) to 25 (z), as losses want them.
    ///
    /// # Errors
    /// As [`read`](ImageDataset::read).
    pub fn read_emnist_letters(folder: impl Into<PathBuf>) -> Result<ImageDataset> {
        let (train, test) = ("emnist-letters-train", "emnist-letters-test");
        let files = Files { train, test, classes: 26, first_label: 1, transposed: true };
        read_parts(folder.into(), &files)
    }
}

fn check_folder(folder: &Path, part: &str) -> Result<()> {
    match folder.is_dir() {
        true => Ok(()),
        false => {
            let problem = format!("{}: there is no such folder", folder.display());
            Err(Error::Missing { problem, hint: place_files(folder, part) })
        }
    }
}

fn read_parts(folder: PathBuf, files: &Files) -> Result<ImageDataset> {
    check_folder(&folder, files.train)?;
    let train = read_part(&folder, files.train, files)?;
    let test = read_part(&folder, files.test, files)?;
    let (a, b) = (train.sample_shape(), test.sample_shape());
    if a != b {
        let problem = format!("training images are {a}, test images {b}");
        return Err(Error::format(&folder, problem, "use the four files of one data set"));
    }
    Ok(ImageDataset { train, test, classes: files.classes, folder })
}

fn read_part(folder: &Path, part: &str, files: &Files) -> Result<Dataset> {
    let images_path = find_file(folder, &format!("{part}-images"), "idx3-ubyte")?;
    let labels_path = find_file(folder, &format!("{part}-labels"), "idx1-ubyte")?;

    let labels = Idx::read(&labels_path)?;
    if labels.shape().rank() != 1 || labels.element() != Element::U8 {
        let problem = format!("labels of shape {} and type {:?}", labels.shape(), labels.element());
        return Err(Error::format(&labels_path, problem, "labels are one byte each, in one dimension"));
    }
    let (first, classes) = (files.first_label, files.classes);
    let last = (first as usize + classes).saturating_sub(1);
    let outside = |&l: &u8| first > 0 && !(first as usize..=last).contains(&(l as usize));
    if let Some(i) = labels.bytes().iter().position(outside) {
        let problem = format!("label {} at position {i} is outside the {classes} classes", labels.bytes()[i]);
        return Err(Error::format(&labels_path, problem, format!("labels go from {first} to {last}")));
    }
    let numbers: Vec<u32> = labels.bytes().iter().map(|&l| u32::from(l - first)).collect();
    check_labels(&numbers, 1, classes, || None).map_err(|e| e.in_file(&labels_path))?;

    let images = Idx::read(&images_path)?;
    let shape = images.shape();
    if shape.rank() != 3 {
        let problem = format!("images of shape {shape}");
        return Err(Error::format(
            &images_path,
            problem,
            "images have three dimensions: number, rows, columns",
        ));
    }
    if shape.rows() != labels.shape().len() {
        let counts = Mistake::Counts { samples: shape.rows(), targets: numbers.len() };
        return Err(Error::from(counts).in_file(&labels_path));
    }
    let sample = match files.transposed {
        true => Shape::from([shape.dims()[2], shape.dims()[1]]),
        false => shape.sample(),
    };
    let x = match images.element() {
        Element::U8 => {
            let mut bytes = images.into_bytes();
            if files.transposed {
                transpose(&mut bytes, shape.sample());
            }
            Features::Bytes { sample, bytes, scale: 1.0 / 255.0 }
        }
        _ => {
            let mut values = images.to_f32();
            if files.transposed {
                transpose(&mut values, shape.sample());
            }
            Features::F32 { sample, values }
        }
    };
    Dataset::new(x, Targets::labels(numbers)).map_err(|e| e.in_file(&images_path))
}

/// Turns each picture of `stored` rows and columns on its diagonal.
fn transpose<T: Copy>(pixels: &mut [T], stored: Shape) {
    let (rows, columns) = stored.as_matrix();
    let mut one = Vec::with_capacity(rows * columns);
    for picture in pixels.chunks_exact_mut(rows * columns) {
        one.clear();
        one.extend((0..columns).flat_map(|c| (0..rows).map(move |r| r * columns + c)).map(|i| picture[i]));
        picture.copy_from_slice(&one);
    }
}

/// The file `stem-kind`, or `stem.kind` as some archives have it, plain or gzipped.
fn find_file(folder: &Path, stem: &str, kind: &str) -> Result<PathBuf> {
    let names = ["-", "."]
        .map(|joint| format!("{stem}{joint}{kind}"))
        .map(|name| [name.clone(), format!("{name}.gz")]);
    names.as_flattened().iter().map(|name| folder.join(name)).find(|path| path.is_file()).ok_or_else(|| {
        Error::Missing {
            problem: format!("{}: {stem}-{kind} (or {stem}-{kind}.gz) is not there", folder.display()),
            hint: place_files(folder, stem.trim_end_matches("-images").trim_end_matches("-labels")),
        }
    })
}

/// Where the set of that name is: in `named`, or as `name` in the first of the usual places.
pub(super) fn find(name: &str, named: Option<PathBuf>) -> Result<PathBuf> {
    if let Some(folder) = named {
        return Ok(folder);
    }
    let places = places(name);
    places.iter().find(|p| p.is_dir()).cloned().ok_or_else(|| {
        let looked: Vec<String> = places.iter().map(|p| format!("`{}`", p.display())).collect();
        let fetch = format!("fetch it with `handgrad data get {name}`, or give its folder with --data DIR");
        let by_hand = |c: &Collection| c.by_hand(&Path::new("data").join(name));
        let by_hand = Collection::named(name).map(by_hand).unwrap_or_default();
        let problem = format!("{name} is not in {}", looked.join(" or "));
        Error::Missing { problem, hint: format!("{fetch}; {by_hand}") }
    })
}

fn place_files(folder: &Path, part: &str) -> String {
    format!("put {part}-images-idx3-ubyte.gz and the three files that go with it into {}", folder.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of two tiny parts, after `edit` had its way with the training part.
    fn folder(edit: impl Fn(&mut Vec<u8>, &mut Vec<u8>)) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for part in ["train", "t10k"] {
            let (mut images, mut labels) = ((0..12).collect::<Vec<u8>>(), vec![3, 9]);
            if part == "train" {
                edit(&mut images, &mut labels);
            }
            let (i, l) = (images.len() / 6, labels.len());
            let name = |kind| folder.path().join(format!("{part}-{kind}"));
            Idx::new([i, 2, 3], Element::U8, images).unwrap().write(name("images-idx3-ubyte.gz")).unwrap();
            Idx::new([l], Element::U8, labels).unwrap().write(name("labels.idx1-ubyte")).unwrap();
        }
        folder
    }

    #[test]
    fn four_files_make_two_datasets() {
        let folder = folder(|_, _| ());
        let data = ImageDataset::read(folder.path(), 10).unwrap();
        assert_eq!((data.train.len(), data.train.sample_shape().dims()), (2, &[2, 3][..]));
        assert_eq!(data.train.x().values_of(1)[5], 11.0 * (1.0 / 255.0));
        assert_eq!(data.test.y(), &Targets::labels(vec![3, 9]));
        std::fs::remove_file(folder.path().join("train-images-idx3-ubyte.gz")).unwrap();
        assert_eq!(ImageDataset::read_test(folder.path(), 10).unwrap(), data.test);
        assert!(ImageDataset::read(folder.path(), 10).is_err());
        assert!(ImageDataset::read_test(folder.path(), 9).unwrap_err().to_string().contains("label 9"));
        let nowhere = ImageDataset::read_test(folder.path().join("no"), 10).unwrap_err();
        assert!(nowhere.to_string().ends_with("there is no such folder"), "{nowhere}");
    }

    #[test]
    fn letters_stand_upright_and_start_at_0() {
        let folder = tempfile::tempdir().unwrap();
        for part in ["train", "test"] {
            let name = |kind| folder.path().join(format!("emnist-letters-{part}-{kind}.gz"));
            let images = Idx::new([2, 2, 3], Element::U8, (0..12).collect()).unwrap();
            images.write(name("images-idx3-ubyte")).unwrap();
            Idx::new([2], Element::U8, vec![1, 26]).unwrap().write(name("labels-idx1-ubyte")).unwrap();
        }
        let data = ImageDataset::read_emnist_letters(folder.path()).unwrap();
        assert_eq!((data.classes, data.train.sample_shape().dims()), (26, &[3, 2][..]));
        let second: Vec<f32> = data.train.x().values_of(1).iter().map(|v| (v * 255.0).round()).collect();
        assert_eq!(second, [6., 9., 7., 10., 8., 11.]);
        assert_eq!(data.test.y(), &Targets::labels(vec![0, 25]));

        let labels = folder.path().join("emnist-letters-test-labels-idx1-ubyte.gz");
        for wrong in [0, 27] {
            Idx::new([2], Element::U8, vec![1, wrong]).unwrap().write(&labels).unwrap();
            let e = ImageDataset::read_emnist_letters(folder.path()).unwrap_err();
            assert!(
                e.to_string().ends_with(&format!("label {wrong} at position 1 is outside the 26 classes")),
                "{e}"
            );
            assert_eq!(e.hint(), Some("labels go from 1 to 26"));
        }
    }

    #[test]
    fn files_that_do_not_fit_say_so() {
        let error = |folder: &Path| ImageDataset::read(folder, 10).unwrap_err().to_string();
        let bad_label = folder(|_, labels| labels[1] = 10);
        assert!(error(bad_label.path()).ends_with("sample 1 has label 10, outside the 10 classes"));
        let extra_label = folder(|_, labels| labels.push(1));
        assert!(error(extra_label.path()).contains("2 samples came with 3 targets"));
        let no_labels = folder(|_, _| ());
        std::fs::remove_file(no_labels.path().join("t10k-labels.idx1-ubyte")).unwrap();
        assert!(
            error(no_labels.path())
                .contains("t10k-labels-idx1-ubyte (or t10k-labels-idx1-ubyte.gz) is not there")
        );
        assert!(error(&no_labels.path().join("nowhere")).contains("no such folder"));
        let nan = folder(|_, _| ());
        let mut floats = [0; 48];
        floats[16..20].copy_from_slice(&f32::NAN.to_be_bytes());
        let images = Idx::new([2, 2, 3], Element::F32, floats.to_vec()).unwrap();
        images.write(nan.path().join("train-images-idx3-ubyte.gz")).unwrap();
        assert!(error(nan.path()).ends_with(
            "train-images-idx3-ubyte.gz: x has NaN in sample 0, position [1, 1] (counted from 0)"
        ));
    }
}
