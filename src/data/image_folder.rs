//! Pictures in folders that name their class: `cats/tom.png`, `dogs/rex.png`.

use super::dataset::Dataset;
use super::features::{Features, Targets};
use super::picture::{Colours, Picture};
use crate::error::{Error, Result};
use crate::shape::Shape;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// How to read a folder of pictures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImageFolderOptions {
    /// Height and width that all pictures are brought to; `None` refuses pictures of different sizes.
    pub size: Option<(usize, usize)>,
    /// What pixels are made of; `None` takes colours if any picture has them.
    pub colours: Option<Colours>,
    /// Whether dark is made bright and bright dark.
    pub invert: bool,
}

/// The PNG files of a folder whose subfolders are the classes.
///
/// Samples are `[height, width, channels]`, bytes worth 1/255 each; classes are numbered in the order of their names,
/// pictures come in that of theirs.
#[derive(Clone, Debug)]
pub struct ImageFolder {
    /// Pictures and class numbers.
    pub data: Dataset,
    /// The names of the classes, in the order of their numbers.
    pub classes: Vec<String>,
    /// The file of each sample.
    pub files: Vec<PathBuf>,
    /// How many files were passed over because their names do not end in `.png`.
    pub skipped: usize,
}

impl ImageFolder {
    /// Reads `folder/class/*.png`. Names that begin with a dot are passed over.
    ///
    /// # Errors
    /// There is no such folder, no subfolder, none with a picture; a file that is no PNG picture;
    /// pictures of different sizes; more memory than four times the files and 64 MiB.
    pub fn read(folder: impl AsRef<Path>, options: ImageFolderOptions) -> Result<ImageFolder> {
        let folder = folder.as_ref();
        let like_this =
            "put the pictures of each class into a folder of its own, as cats/tom.png and dogs/rex.png";
        if !folder.is_dir() {
            return Err(Error::format(folder, "there is no such folder", like_this));
        }
        let (mut classes, mut files, mut labels, mut skipped) = (Vec::new(), Vec::new(), Vec::new(), 0);
        let mut loose = 0;
        for class in entries(folder)? {
            if !class.is_dir() {
                loose += usize::from(is_png(&class));
                continue;
            }
            let Some(name) = class.file_name().map(|n| n.to_string_lossy().into_owned()) else { continue };
            let inside = entries(&class)?;
            let (pictures, others): (Vec<PathBuf>, Vec<PathBuf>) =
                inside.into_iter().partition(|path| is_png(path) && path.is_file());
            skipped += others.len();
            if pictures.is_empty() {
                let what = if others.is_empty() { "is empty" } else { "has no file whose name ends in .png" };
                return Err(Error::format(&class, format!("the class {what}"), like_this));
            }
            labels.extend(std::iter::repeat_n(classes.len() as u32, pictures.len()));
            classes.push(name);
            files.extend(pictures);
        }
        match classes.len() {
            0 if loose > 0 => {
                let problem = format!("{loose} pictures, but no folders that say of which class they are");
                return Err(Error::format(folder, problem, like_this));
            }
            0 => return Err(Error::format(folder, "no folder of a class is in it", like_this)),
            _ => {}
        }
        let (sample, bytes) = pixels(&files, options)?;
        let data =
            Dataset::new(Features::Bytes { sample, bytes, scale: 1.0 / 255.0 }, Targets::labels(labels))?;
        Ok(ImageFolder { data, classes, files, skipped })
    }
}

/// What is in a folder, by name; nothing that begins with a dot.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |source| Error::Io { action: "read", path: folder.to_path_buf(), source };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if !path.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b".")) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn is_png(path: &Path) -> bool {
    path.extension().and_then(OsStr::to_str).is_some_and(|e| e.eq_ignore_ascii_case("png"))
}

/// All pictures behind one another, and the shape of each. Unless `options` say it, they are grey until one has colours:
/// those before it then get three equal bytes a pixel.
fn pixels(files: &[PathBuf], options: ImageFolderOptions) -> Result<(Shape, Vec<u8>)> {
    let mut colours = options.colours.unwrap_or(Colours::Grey);
    let (mut height, mut width) = options.size.unwrap_or_default();
    let mut all = Vec::new();
    let mut on_disk = 0u64;
    for (i, file) in files.iter().enumerate() {
        let mut picture = Picture::read_png(file)?;
        on_disk += file.metadata().map_or(0, |m| m.len());
        let own = (picture.height(), picture.width());
        if options.size.is_none() && i == 0 {
            (height, width) = own;
        }
        if options.size.is_none() && own != (height, width) {
            return Err(Error::format(
                file,
                format!("{} × {} pixels, those before it have {height} × {width}", own.0, own.1),
                format!("bring all pictures to one size: --image-size {height}x{width}"),
            ));
        }
        let widen = options.colours.is_none() && colours == Colours::Grey && !picture.is_grey();
        if widen {
            colours = Colours::Rgb;
        }
        if widen || i == 0 {
            let mut wide = room_for(files.len(), height * width * colours.channels(), file)?;
            wide.extend(all.iter().flat_map(|&grey| [grey; 3]));
            all = wide;
        }
        picture = picture.in_colours(colours);
        if options.invert {
            picture = picture.inverted();
        }
        if options.size.is_some() {
            picture = picture.resized(height, width)?;
        }
        all.extend(picture.into_bytes());
        let room = on_disk.saturating_mul(4).saturating_add(64 << 20);
        if options.size.is_none() && all.len() as u64 > room {
            return Err(Error::format(
                file,
                "the pictures up to this one unpack to more than their files are trusted to hold",
                format!("if that is right, give their size: --image-size {height}x{width}"),
            ));
        }
    }
    Ok((Shape::new(&[height, width, colours.channels()])?, all))
}

/// Room for so many pictures of `bytes` each. The sum of the files' sizes is not known yet, their number is: pictures that
/// unpack to far more than their files are found out as they come.
fn room_for(pictures: usize, bytes: usize, like: &Path) -> Result<Vec<u8>> {
    let total = bytes.saturating_mul(pictures);
    let mut room = Vec::new();
    match total <= MAX_TOTAL && room.try_reserve_exact(total).is_ok() {
        true => Ok(room),
        false => Err(Error::format(
            like,
            format!("{pictures} pictures like this one take {} MiB", total >> 20),
            "bring them to a smaller size: --image-size 64x64",
        )),
    }
}

/// More bytes of pictures than are read into memory.
const MAX_TOTAL: usize = 1 << 34;

#[cfg(test)]
mod tests {
    use super::*;

    fn png(path: &Path, height: u32, width: u32, rgb: bool, byte: u8) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut encoder = png::Encoder::new(std::fs::File::create(path).unwrap(), width, height);
        encoder.set_color(if rgb { png::ColorType::Rgb } else { png::ColorType::Grayscale });
        let mut bytes = vec![byte; (height * width) as usize * if rgb { 3 } else { 1 }];
        bytes[0] = 0;
        encoder.write_header().unwrap().write_image_data(&bytes).unwrap();
    }

    fn read(folder: &Path, options: ImageFolderOptions) -> Result<ImageFolder> {
        ImageFolder::read(folder, options)
    }

    #[test]
    fn folders_are_classes_in_the_order_of_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        png(&at("강아지/b.PNG"), 2, 3, false, 10);
        png(&at("cats/z.png"), 2, 3, false, 20);
        png(&at("cats/a.png"), 2, 3, false, 30);
        std::fs::write(at("cats/notes.txt"), "x").unwrap();
        std::fs::write(at("cats/.DS_Store"), "x").unwrap();
        std::fs::write(at("README.md"), "x").unwrap();
        let read = read(folder.path(), ImageFolderOptions::default()).unwrap();
        assert_eq!((&read.classes[..], read.skipped), (&["cats".to_string(), "강아지".into()][..], 1));
        assert_eq!(read.data.y(), &Targets::labels(vec![0, 0, 1]));
        assert_eq!(read.data.sample_shape().dims(), [2, 3, 1]);
        assert_eq!(read.data.x().values_of(0)[1], 30.0 * (1.0 / 255.0));
        assert!(read.files[2].ends_with("강아지/b.PNG"));
    }

    #[test]
    fn one_coloured_picture_makes_all_of_three_channels() {
        let folder = tempfile::tempdir().unwrap();
        png(&folder.path().join("a/1.png"), 2, 2, false, 10);
        png(&folder.path().join("b/1.png"), 2, 2, true, 20);
        let all = read(folder.path(), ImageFolderOptions::default()).unwrap();
        assert_eq!(all.data.sample_shape().dims(), [2, 2, 3]);
        let bytes = |i: usize| -> Vec<u8> {
            all.data.x().values_of(i).iter().map(|v| (v * 255.0).round() as u8).collect()
        };
        assert_eq!(bytes(0), [0, 0, 0, 10, 10, 10, 10, 10, 10, 10, 10, 10]);
        assert_eq!(bytes(1), [0, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20]);
        let grey = ImageFolderOptions { colours: Some(Colours::Grey), ..Default::default() };
        let grey = read(folder.path(), ImageFolderOptions { invert: true, ..grey }).unwrap();
        assert_eq!(grey.data.sample_shape().dims(), [2, 2, 1]);
        assert_eq!(grey.data.x().values_of(1)[3], 235.0 * (1.0 / 255.0));
    }

    #[test]
    fn sizes_that_differ_are_refused_or_made_equal() {
        let folder = tempfile::tempdir().unwrap();
        png(&folder.path().join("a/1.png"), 4, 4, false, 10);
        png(&folder.path().join("b/1.png"), 8, 2, false, 20);
        let e = read(folder.path(), ImageFolderOptions::default()).unwrap_err();
        assert!(e.to_string().ends_with("1.png: 8 × 2 pixels, those before it have 4 × 4"), "{e}");
        assert!(e.hint().unwrap().contains("--image-size 4x4"));
        let options = ImageFolderOptions { size: Some((2, 3)), ..Default::default() };
        assert_eq!(read(folder.path(), options).unwrap().data.sample_shape().dims(), [2, 3, 1]);
    }

    #[test]
    fn folders_that_teach_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let error = |path: &Path| read(path, ImageFolderOptions::default()).unwrap_err().to_string();
        assert!(error(&folder.path().join("no")).ends_with("there is no such folder"));
        assert!(error(folder.path()).ends_with("no folder of a class is in it"));
        png(&folder.path().join("1.png"), 1, 1, false, 1);
        assert!(error(folder.path()).contains("1 pictures, but no folders"));
        png(&folder.path().join("a/1.png"), 1, 1, false, 1);
        let one = read(folder.path(), ImageFolderOptions::default()).unwrap();
        assert_eq!((one.classes, one.data.len()), (vec!["a".to_string()], 1));
        std::fs::create_dir(folder.path().join("b")).unwrap();
        assert!(error(folder.path()).ends_with("b: the class is empty"));
        std::fs::write(folder.path().join("b/2.png"), "no picture").unwrap();
        assert!(error(folder.path()).contains("2.png: not a PNG picture"));
    }
}
