//! A whole collection into a folder: fetched, checked, unpacked, and known again the next time.

use super::atomic::AtomicFile;
use super::catalog::{Collection, RemoteFile};
use super::download::{Download, Fetching, sha256_of};
use super::unpack::unpack;
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self};
use std::path::Path;

/// The names and checksums of a folder's files, as `sha256sum -c` reads them.
const SUMS: &str = "SHA256SUMS";

/// Puts a [`Collection`] into a folder.
///
/// ```no_run
/// use handgrad::data::{Collection, Download, Install};
/// let mnist = Collection::named("mnist")?;
/// Install::new(mnist, "data/mnist").run(&Download::new(), &mut |_| ())?;
/// # Ok::<(), handgrad::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Install<'a> {
    collection: &'a Collection,
    folder: &'a Path,
    from: Option<&'a str>,
    replace: bool,
}

/// What [`Install::run`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// Each file that a loader reads, with its SHA-256.
    pub files: Vec<(String, String)>,
    /// How many files had to be fetched.
    pub fetched: usize,
}

impl<'a> Install<'a> {
    /// Of `collection`, into `folder`, from its own mirrors.
    pub fn new(collection: &'a Collection, folder: &'a (impl AsRef<Path> + ?Sized)) -> Install<'a> {
        Install { collection, folder: folder.as_ref(), from: None, replace: false }
    }

    /// From the folder on the web at `address` instead: `http://intranet/mnist/`. Checksums stay the published ones.
    pub fn from(mut self, address: &'a str) -> Install<'a> {
        self.from = Some(address);
        self
    }

    /// Whether a file that is there already, and is not the published one, may be replaced; `false` by default.
    pub fn replace(mut self, replace: bool) -> Install<'a> {
        self.replace = replace;
        self
    }

    /// Fetches what is not there, checks what is, unpacks, and notes the checksums in `SHA256SUMS`.
    ///
    /// # Errors
    /// The folder cannot be made; a file that is there is another one; nobody sends the right file
    /// ([`Error::Network`], whose hint says what to place where by hand); the archive is not what it should be.
    pub fn run(&self, download: &Download, watch: &mut dyn FnMut(Fetching)) -> Result<Installed> {
        let new = !self.folder.exists();
        let done = self.install(download, watch);
        if new && done.is_err() {
            let _ = std::fs::remove_dir(self.folder); // which the system only does if nothing came
        }
        done
    }

    fn install(&self, download: &Download, watch: &mut dyn FnMut(Fetching)) -> Result<Installed> {
        let (c, folder) = (self.collection, self.folder);
        let io = |action, path: &Path| {
            let path = path.to_path_buf();
            move |source| Error::Io { action, path, source }
        };
        std::fs::create_dir_all(folder).map_err(io("create", folder))?;
        if let Some(files) = self.already()? {
            return Ok(Installed { files, fetched: 0 });
        }
        let mut fetched = 0;
        let mut files = Vec::new();
        for file in c.files {
            let target = folder.join(file.name);
            let sum = match sum_of(&target)? {
                Some(sum) if sum == file.sha256 => sum,
                Some(_) if !self.replace => {
                    return Err(Error::format(
                        &target,
                        format!("it is there already, and is not the published file of {}", c.title),
                        "remove it, or give another folder with --dir",
                    ));
                }
                _ => {
                    fetched += 1;
                    let addresses = self.addresses(file);
                    download.fetch(&addresses, file, &target, watch).map_err(|e| self.with_remedy(e))?
                }
            };
            files.push((file.name.to_string(), sum));
        }
        if let Some(archive) = &c.archive {
            watch(Fetching::Unpacking);
            let path = folder.join(c.files[0].name);
            let members = unpack(&path, archive, folder)?;
            files = members.into_iter().map(|(name, sum)| (name.to_string(), sum)).collect();
            std::fs::remove_file(&path).map_err(io("remove", &path))?; // its size again for nothing
        }
        write_sums(folder, &files)?;
        Ok(Installed { files, fetched })
    }

    /// The checksums of the files that a loader reads, if they are all there and right.
    fn already(&self) -> Result<Option<Vec<(String, String)>>> {
        let (c, noted) = (self.collection, read_sums(self.folder));
        let mut files = Vec::new();
        for name in c.installed() {
            let published = c.files.iter().find(|f| f.name == name).map(|f| f.sha256);
            let Some(right) = published.or(noted.get(name).map(String::as_str)) else { return Ok(None) };
            match sum_of(&self.folder.join(name))? {
                Some(sum) if sum == right => files.push((name.to_string(), sum)),
                _ => return Ok(None),
            }
        }
        Ok(Some(files))
    }

    fn addresses(&self, file: &RemoteFile) -> Vec<String> {
        match self.from {
            Some(address) => vec![format!("{}/{}", address.trim_end_matches('/'), file.name)],
            None => self.collection.mirrors.iter().map(|m| format!("{m}{}", file.name)).collect(),
        }
    }

    fn with_remedy(&self, e: Error) -> Error {
        match e {
            Error::Network { problem, hint } => {
                let by_hand = self.collection.by_hand(self.folder);
                Error::Network { problem, hint: format!("{hint}; {by_hand}") }
            }
            e => e,
        }
    }
}

/// The SHA-256 of the file at `path`; `None` if there is none.
fn sum_of(path: &Path) -> Result<Option<String>> {
    let read = File::open(path).and_then(|mut file| sha256_of(&mut file));
    match read {
        Ok(sum) => Ok(Some(sum)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Io { action: "read", path: path.to_path_buf(), source }),
    }
}

/// What an earlier run noted. A list that cannot be read is as good as none: the files are then fetched again.
fn read_sums(folder: &Path) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(folder.join(SUMS)).unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.split_once("  "));
    lines.map(|(sum, name)| (name.to_string(), sum.to_string())).collect()
}

fn write_sums(folder: &Path, files: &[(String, String)]) -> Result<()> {
    let lines: String = files.iter().map(|(name, sum)| format!("{sum}  {name}\n")).collect();
    AtomicFile::write(folder.join(SUMS), lines.as_bytes())
}
