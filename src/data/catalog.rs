//! The public image sets that handgrad knows: what they are, where they are published, and how to tell that a copy is
//! the published one.
//!
//! Sizes and SHA-256 checksums are those that TensorFlow Datasets publishes for the same files
//! (`tensorflow_datasets/url_checksums` in its repository).

use crate::error::{Error, Result};
use etcetera::BaseStrategy;
use std::path::{Path, PathBuf};

/// A public set of images with its files, checksums and mirrors.
///
/// ```
/// use handgrad::data::Collection;
/// let mnist = Collection::named("mnist")?;
/// assert_eq!((mnist.files.len(), mnist.classes.len()), (4, 10));
/// assert!(Collection::named("minst").unwrap_err().hint().unwrap().starts_with("did you mean `mnist`?"));
/// # Ok::<(), handgrad::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Collection {
    /// What it is called here; also the name of its folder.
    pub name: &'static str,
    /// What its makers call it.
    pub title: &'static str,
    /// What is in it: how many images of which size, to train on and to test on.
    pub summary: &'static str,
    /// Who made it, and under which licence it may be used.
    pub source: &'static str,
    /// The classes by label, from 0 on.
    pub classes: &'static [&'static str],
    /// Folders on the web that have all of `files`, each ending in `/`; the first is asked first.
    pub mirrors: &'static [&'static str],
    /// What is fetched.
    pub files: &'static [RemoteFile],
    /// What is taken out of the one archive in `files`; `None` where the files are used as they are.
    pub archive: Option<Archive>,
}

/// A file as it is published.
#[derive(Clone, Copy, Debug)]
pub struct RemoteFile {
    /// Its name, on the mirrors and on disk.
    pub name: &'static str,
    /// Its size in bytes.
    pub bytes: u64,
    /// The published SHA-256 of its bytes, in small hexadecimal digits.
    pub sha256: &'static str,
}

/// What is wanted from an archive.
#[derive(Clone, Copy, Debug)]
pub struct Archive {
    /// How it is packed.
    pub kind: ArchiveKind,
    /// The files that are wanted; all others are left where they are.
    pub members: &'static [Member],
}

/// How an archive is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArchiveKind {
    /// A zip file.
    Zip,
    /// A gzipped tar file.
    TarGz,
}

/// A file inside of an archive.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// Its path in the archive.
    pub path: &'static str,
    /// Its name on disk.
    pub name: &'static str,
    /// The most bytes that it may have once it is out.
    pub at_most: u64,
}

const fn file(name: &'static str, bytes: u64, sha256: &'static str) -> RemoteFile {
    RemoteFile { name, bytes, sha256 }
}

const fn member(path: &'static str, name: &'static str, at_most: u64) -> Member {
    Member { path, name, at_most }
}

const DIGITS: &[&str] = &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];

/// All of them.
#[rustfmt::skip] // one line a file, as `sha256sum` has it
pub const COLLECTIONS: [Collection; 5] = [
    Collection {
        name: "mnist",
        title: "MNIST",
        summary: "60,000 + 10,000 handwritten digits, 28×28 grey",
        source: "LeCun, Cortes, Burges 1998; CC BY-SA 3.0",
        classes: DIGITS,
        mirrors: &[
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ],
        files: &[
            file("train-images-idx3-ubyte.gz", 9_912_422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
            file("train-labels-idx1-ubyte.gz", 28_881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
            file("t10k-images-idx3-ubyte.gz", 1_648_877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
            file("t10k-labels-idx1-ubyte.gz", 4_542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
        ],
        archive: None,
    },
    Collection {
        name: "fashion-mnist",
        title: "Fashion-MNIST",
        summary: "60,000 + 10,000 pictures of clothes, 28×28 grey",
        source: "Xiao, Rasul, Vollgraf 2017 (Zalando); MIT",
        classes: &["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"],
        mirrors: &[
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        ],
        files: &[
            file("train-images-idx3-ubyte.gz", 26_421_880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
            file("train-labels-idx1-ubyte.gz", 29_515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
            file("t10k-images-idx3-ubyte.gz", 4_422_102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
            file("t10k-labels-idx1-ubyte.gz", 5_148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
        ],
        archive: None,
    },
    Collection {
        name: "kmnist",
        title: "KMNIST",
        summary: "60,000 + 10,000 cursive Japanese characters, 28×28 grey",
        source: "Clanuwat et al. 2018 (CODH); CC BY-SA 4.0",
        classes: &["お", "き", "す", "つ", "な", "は", "ま", "や", "れ", "を"],
        mirrors: &[
            "http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
            "https://codh.rois.ac.jp/kmnist/dataset/kmnist/",
        ],
        files: &[
            file("train-images-idx3-ubyte.gz", 18_165_135, "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4"),
            file("train-labels-idx1-ubyte.gz", 29_497, "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17"),
            file("t10k-images-idx3-ubyte.gz", 3_041_136, "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5"),
            file("t10k-labels-idx1-ubyte.gz", 5_120, "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c"),
        ],
        archive: None,
    },
    Collection {
        name: "emnist-letters",
        title: "EMNIST letters",
        summary: "124,800 + 20,800 handwritten letters, 28×28 grey",
        source: "Cohen, Afshar, Tapson, van Schaik 2017; public domain (NIST)",
        classes: &["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s", "t", "u", "v", "w", "x", "y", "z"],
        mirrors: &[
            "https://biometrics.nist.gov/cs_links/EMNIST/",
            "https://www.itl.nist.gov/iaui/vip/cs_links/EMNIST/",
        ],
        files: &[
            file("gzip.zip", 561_753_746, "fb9bb67e33772a9cc0b895e4ecf36d2cf35be8b709693c3564cea2a019fcda8e"),
        ],
        archive: Some(Archive {
            kind: ArchiveKind::Zip,
            members: &[
                member("gzip/emnist-letters-train-images-idx3-ubyte.gz", "emnist-letters-train-images-idx3-ubyte.gz", 128 << 20),
                member("gzip/emnist-letters-train-labels-idx1-ubyte.gz", "emnist-letters-train-labels-idx1-ubyte.gz", 1 << 20),
                member("gzip/emnist-letters-test-images-idx3-ubyte.gz", "emnist-letters-test-images-idx3-ubyte.gz", 32 << 20),
                member("gzip/emnist-letters-test-labels-idx1-ubyte.gz", "emnist-letters-test-labels-idx1-ubyte.gz", 1 << 20),
            ],
        }),
    },
    Collection {
        name: "cifar10",
        title: "CIFAR-10",
        summary: "50,000 + 10,000 photographs, 32×32 colour",
        source: "Krizhevsky 2009",
        classes: &["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"],
        mirrors: &[
            "https://www.cs.toronto.edu/~kriz/",
            "http://www.cs.toronto.edu/~kriz/",
            "https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10/",
        ],
        files: &[
            file("cifar-10-binary.tar.gz", 170_052_171, "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"),
        ],
        archive: Some(Archive {
            kind: ArchiveKind::TarGz,
            members: &[
                member("cifar-10-batches-bin/data_batch_1.bin", "data_batch_1.bin", 30_730_000),
                member("cifar-10-batches-bin/data_batch_2.bin", "data_batch_2.bin", 30_730_000),
                member("cifar-10-batches-bin/data_batch_3.bin", "data_batch_3.bin", 30_730_000),
                member("cifar-10-batches-bin/data_batch_4.bin", "data_batch_4.bin", 30_730_000),
                member("cifar-10-batches-bin/data_batch_5.bin", "data_batch_5.bin", 30_730_000),
                member("cifar-10-batches-bin/test_batch.bin", "test_batch.bin", 30_730_000),
            ],
        }),
    },
];

impl Collection {
    /// The set of that name.
    ///
    /// # Errors
    /// [`Mistake::UnknownName`](crate::Mistake::UnknownName) with the nearest.
    pub fn named(name: &str) -> Result<&'static Collection> {
        COLLECTIONS
            .iter()
            .find(|c| c.name == name)
            .ok_or_else(|| Error::unknown("data set", name, &COLLECTIONS.map(|c| c.name)))
    }

    /// How many bytes are fetched in all.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|f| f.bytes).sum()
    }

    /// The names of the files that a loader reads, once all is fetched and unpacked.
    pub fn installed(&self) -> Vec<&'static str> {
        match &self.archive {
            Some(archive) => archive.members.iter().map(|m| m.name).collect(),
            None => self.files.iter().map(|f| f.name).collect(),
        }
    }

    /// Whether `folder` has every file that a loader reads. Says nothing about what is in them.
    pub fn is_in(&self, folder: &Path) -> bool {
        self.installed().iter().all(|name| folder.join(name).is_file())
    }

    /// The first of the folders where loaders look for it that has all of its files.
    pub fn here(&self) -> Option<PathBuf> {
        places(self.name).into_iter().find(|folder| self.is_in(folder))
    }

    /// The folder where it is kept if nobody names another: of its name, under `HANDGRAD_DATA` or else under `data` in
    /// [`cache_folder`]. `None` where the system has no home folder.
    pub fn home(&self) -> Option<PathBuf> {
        let under = data_folder().or_else(|| cache_folder().map(|c| c.join("data")));
        under.map(|folder| folder.join(self.name))
    }

    /// What to place where when there is no network, in one sentence.
    pub fn by_hand(&self, folder: &Path) -> String {
        let names: Vec<&str> = self.files.iter().map(|f| f.name).collect();
        let mirrors = self.mirrors.join(" or ");
        let then = match self.archive {
            Some(_) => format!(", then run `handgrad data get {}` again to unpack it", self.name),
            None => String::new(),
        };
        format!("without a network, put {} from {mirrors} into {}{then}", names.join(", "), folder.display())
    }
}

/// Where loaders look for the set of that name: as `name` in the folder that the environment's `HANDGRAD_DATA` names, in
/// `data` of the current folder, in that of the source tree, in that of [`cache_folder`].
pub(super) fn places(name: &str) -> Vec<PathBuf> {
    let source_tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("data");
    let cache = cache_folder().map(|c| c.join("data"));
    let places = [data_folder(), Some("data".into()), Some(source_tree), cache];
    places.into_iter().flatten().map(|place| place.join(name)).collect()
}

/// The folder that the environment's `HANDGRAD_DATA` names.
fn data_folder() -> Option<PathBuf> {
    variable("HANDGRAD_DATA")
}

/// The folder for what can be had again: the one that the environment's `HANDGRAD_CACHE` names, or `handgrad` in the
/// user's cache folder (`~/.cache` on Unix). `None` where the system has no home folder.
pub fn cache_folder() -> Option<PathBuf> {
    let own = || etcetera::choose_base_strategy().ok().map(|s| s.cache_dir().join("handgrad"));
    variable("HANDGRAD_CACHE").or_else(own)
}

fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalog_is_well_formed() {
        for c in &COLLECTIONS {
            assert!(c.mirrors.iter().all(|m| m.starts_with("http") && m.ends_with('/')), "{}", c.name);
            for f in c.files {
                let digest = f.sha256;
                assert!(
                    digest.len() == 64 && digest.bytes().all(|b| b"0123456789abcdef".contains(&b)),
                    "{}",
                    f.name
                );
                assert!(f.bytes > 0 && !f.name.contains('/'));
            }
            assert!(c.archive.is_none() || c.files.len() == 1);
            let installed = c.installed();
            assert!(
                installed.iter().all(|n| Path::new(n).file_name().is_some_and(|f| f == *n)),
                "{installed:?}"
            );
        }
    }

    #[test]
    fn what_to_place_where_names_files_mirrors_and_folder() {
        let say = Collection::named("mnist").unwrap().by_hand(Path::new("/d/mnist"));
        for words in
            ["train-images-idx3-ubyte.gz, ", "t10k-labels-idx1-ubyte.gz from https://", "into /d/mnist"]
        {
            assert!(say.contains(words), "{say}");
        }
        let say = Collection::named("cifar10").unwrap().by_hand(Path::new("c"));
        assert!(say.ends_with("into c, then run `handgrad data get cifar10` again to unpack it"), "{say}");
    }
}
