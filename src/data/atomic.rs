//! Files that appear whole or not at all.

use crate::error::{Error, Result};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// A file being written beside its target, which [`commit`](AtomicFile::commit) puts in the target's place.
/// Dropped before that, it leaves no trace, and whatever was there stays.
///
/// A target that is no file, such as `/dev/stdout`, is written directly.
///
/// ```
/// use handgrad::data::AtomicFile;
/// use std::io::Write;
/// let folder = tempfile::tempdir().unwrap();
/// let target = folder.path().join("result.txt");
/// AtomicFile::probe(&target)?;
/// assert!(!target.exists());
/// let mut file = AtomicFile::create(&target)?;
/// file.write_all(b"whole").unwrap();
/// assert!(!target.exists());
/// file.commit()?;
/// assert_eq!(std::fs::read(&target).unwrap(), b"whole");
/// AtomicFile::write(&target, b"at once")?;
/// # Ok::<(), handgrad::Error>(())
/// ```
pub struct AtomicFile {
    target: PathBuf,
    place: Place,
}

enum Place {
    Beside(NamedTempFile),
    Directly(File),
}

impl AtomicFile {
    /// Starts a file that will be `target`. Succeeds only where the target can be written.
    ///
    /// # Errors
    /// The folder is missing or may not be written to, or the target is a folder.
    pub fn create(target: impl AsRef<Path>) -> Result<AtomicFile> {
        let target = target.as_ref().to_path_buf();
        let failed = |source| Error::Io { action: "write", path: target.clone(), source };
        let place = match std::fs::metadata(&target) {
            Ok(there) if there.is_dir() => return Err(failed(io::ErrorKind::IsADirectory.into())),
            Ok(there) if !there.is_file() => {
                Place::Directly(File::options().write(true).open(&target).map_err(failed)?)
            }
            _ if target.file_name().is_none() => return Err(failed(io::ErrorKind::InvalidInput.into())),
            _ => Place::Beside(temporary(&target).map_err(failed)?),
        };
        Ok(AtomicFile { target, place })
    }

    /// Finds out early whether `target` can be written, and leaves it as it is.
    ///
    /// # Errors
    /// As [`create`](AtomicFile::create).
    pub fn probe(target: impl AsRef<Path>) -> Result<()> {
        AtomicFile::create(target).map(drop)
    }

    /// Removes what programs that were killed while they wrote `target` left beside it. Nobody may be writing it now.
    pub(crate) fn sweep(target: impl AsRef<Path>) {
        let target = target.as_ref();
        let prefix = prefix(target);
        let Ok(files) = std::fs::read_dir(folder(target)) else { return };
        for file in files.flatten() {
            let name = file.file_name().to_string_lossy().into_owned();
            let random = name.strip_prefix(&prefix).and_then(|rest| rest.strip_suffix(SUFFIX));
            if random.is_some_and(|r| r.len() == RANDOM && r.bytes().all(|b| b.is_ascii_alphanumeric())) {
                let _ = std::fs::remove_file(file.path()); // it takes room, and does no other harm
            }
        }
    }

    /// Writes a file that is in memory.
    ///
    /// # Errors
    /// As [`create`](AtomicFile::create); the system cannot write it, and the target is as it was.
    pub fn write(target: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
        let mut file = AtomicFile::create(target)?;
        let written = file.write_all(bytes);
        written.map_err(|source| Error::Io { action: "write", path: file.target.clone(), source })?;
        file.commit()
    }

    /// Puts the file in its target's place, once all of it has reached the disk.
    ///
    /// # Errors
    /// The system cannot write or rename it; the target is as it was.
    pub fn commit(self) -> Result<()> {
        let AtomicFile { target, place } = self;
        let done = match place {
            Place::Directly(mut file) => file.flush(),
            Place::Beside(mut file) => file
                .flush()
                .and_then(|()| file.as_file().sync_all())
                .and_then(|()| file.persist(&target).map(drop).map_err(|e| e.error)),
        };
        done.map_err(|source| Error::Io { action: "write", path: target, source })
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.place {
            Place::Beside(file) => file.write(bytes),
            Place::Directly(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.place {
            Place::Beside(file) => file.flush(),
            Place::Directly(file) => file.flush(),
        }
    }
}

/// How the name of a temporary file ends, after so many letters that nobody else has.
const SUFFIX: &str = ".tmp";
const RANDOM: usize = 6;

/// How the names of the target's temporary files begin: as its own, but hidden. File systems allow 255 bytes.
fn prefix(target: &Path) -> String {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    format!(".{}.", name.chars().take(50).collect::<String>())
}

/// Where the target is.
fn folder(target: &Path) -> &Path {
    target.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A temporary file beside the target, with the permissions of an ordinary one.
fn temporary(target: &Path) -> io::Result<NamedTempFile> {
    let (folder, prefix) = (folder(target), prefix(target));
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).suffix(SUFFIX).rand_bytes(RANDOM);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666)); // less the user's umask
    }
    std::fs::metadata(folder)?; // says best when the folder is missing
    builder.tempfile_in(folder).map_err(|e| e.kind().into()) // without a name that nobody asked for
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_abandoned_file_leaves_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a");
        std::fs::write(&target, "before").unwrap();
        let mut file = AtomicFile::create(&target).unwrap();
        file.write_all(b"half").unwrap();
        drop(file);
        assert_eq!(std::fs::read(&target).unwrap(), b"before");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_killed_programs_left_is_swept_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let (target, other) = (folder.path().join("last.safetensors"), folder.path().join("other"));
        let own = [".last.safetensors.notes.tmp", ".last.safetensors.tmp", "last.safetensors.abcdef.tmp"];
        own.iter().for_each(|name| std::fs::write(folder.path().join(name), "mine").unwrap());
        let killed = || {
            let mut file = AtomicFile::create(&target).unwrap();
            file.write_all(b"half").unwrap();
            std::mem::forget(file); // as nobody drops it who is killed
        };
        killed();
        killed();
        let alive = AtomicFile::create(&other).unwrap();
        let count = || std::fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(count(), own.len() + 2 + 1);
        AtomicFile::sweep(&target);
        assert_eq!(count(), own.len() + 1);
        alive.commit().unwrap();
        assert!(other.exists());
        AtomicFile::sweep(folder.path().join("no/such/folder/a"));
        let long = folder.path().join("긴".repeat(80));
        AtomicFile::write(&long, b"whole").unwrap();
        assert_eq!(std::fs::read(&long).unwrap(), b"whole");
    }

    #[test]
    fn what_cannot_be_written_is_found_at_once() {
        let folder = tempfile::tempdir().unwrap();
        for target in [folder.path().to_path_buf(), folder.path().join("no/such/folder/a"), "".into()] {
            for error in [AtomicFile::probe(&target), AtomicFile::write(&target, b"x")] {
                let error = error.unwrap_err().to_string();
                assert!(error.starts_with("cannot write") && !error.contains("at path"), "{error}");
            }
        }
    }

    #[test]
    fn a_file_in_memory_is_written_whole_and_a_probe_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a");
        AtomicFile::probe(&target).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        AtomicFile::write(&target, b"first, and longer").unwrap();
        AtomicFile::write(&target, b"second").unwrap();
        AtomicFile::probe(&target).unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"second");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
