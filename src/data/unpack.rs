//! Files out of an archive: only those that are wanted, under the names that we give them, no larger than they may be.
//!
//! A path in an archive is only ever compared with the one that is wanted and never used as a path, so that `../` or a
//! link in it leads nowhere.

use super::atomic::AtomicFile;
use super::catalog::{Archive, ArchiveKind, Member};
use super::download::hexadecimal;
use crate::error::{Error, Result};
use flate2::read::GzDecoder;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

/// Takes the members out of the archive at `path` into `folder`. Returns each one's name and SHA-256.
///
/// # Errors
/// The archive is damaged, misses a member, or has one that is too large; the disk does not take it. Members that came
/// before stay, each of them whole.
pub(super) fn unpack(path: &Path, archive: &Archive, folder: &Path) -> Result<Vec<(&'static str, String)>> {
    let file = File::open(path).map_err(|source| Error::Io { action: "read", path: path.into(), source })?;
    let file = BufReader::new(file);
    match archive.kind {
        ArchiveKind::Zip => zip(file, path, archive.members, folder),
        ArchiveKind::TarGz => tar_gz(file, path, archive.members, folder),
    }
}

type Unpacked = Vec<(&'static str, String)>;

fn zip(file: BufReader<File>, path: &Path, members: &[Member], folder: &Path) -> Result<Unpacked> {
    let damaged = |e: zip::result::ZipError| match e {
        zip::result::ZipError::Io(e) => broken(path, &e),
        e => broken(path, &e),
    };
    let mut zip = zip::ZipArchive::new(file).map_err(damaged)?;
    let mut unpacked = Vec::new();
    for member in members {
        let file = match zip.by_name(member.path) {
            Err(zip::result::ZipError::FileNotFound) => return Err(missing(path, member)),
            file => file.map_err(damaged)?,
        };
        unpacked.push(take(file, path, member, folder)?);
    }
    Ok(unpacked)
}

fn tar_gz(file: BufReader<File>, path: &Path, members: &[Member], folder: &Path) -> Result<Unpacked> {
    // All that is wanted, and room for headers and notes: more would be a bomb.
    let room = members.iter().map(|m| m.at_most).sum::<u64>() + (4 << 20);
    let mut tar = tar::Archive::new(GzDecoder::new(file).take(room));
    let mut unpacked: Unpacked = Vec::new();
    for entry in tar.entries().map_err(|e| broken(path, &e))? {
        let entry = entry.map_err(|e| broken(path, &e))?;
        let wanted = members
            .iter()
            .find(|m| entry.header().entry_type().is_file() && *entry.path_bytes() == *m.path.as_bytes());
        if let Some(member) = wanted
            && !unpacked.iter().any(|(name, _)| *name == member.name)
        {
            unpacked.push(take(entry, path, member, folder)?);
        }
        if unpacked.len() == members.len() {
            break;
        }
    }
    match members.iter().find(|m| !unpacked.iter().any(|(name, _)| *name == m.name)) {
        Some(member) => Err(missing(path, member)),
        None => Ok(unpacked),
    }
}

fn take(file: impl Read, path: &Path, member: &Member, folder: &Path) -> Result<(&'static str, String)> {
    let target = folder.join(member.name);
    let failed = |source| Error::Io { action: "write", path: target.clone(), source };
    let mut file = file.take(member.at_most + 1);
    let mut out = AtomicFile::create(&target)?;
    let (mut hasher, mut bytes, mut block) = (Sha256::new(), 0, vec![0; 64 << 10]);
    loop {
        let read = match file.read(&mut block) {
            Ok(0) => break,
            Ok(read) => read,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(broken(path, &e)),
        };
        bytes += read as u64;
        if bytes > member.at_most {
            let problem = format!("`{}` in it has more than {} bytes", member.path, member.at_most);
            return Err(Error::format(path, problem, "it is not the published archive: fetch it again"));
        }
        hasher.update(&block[..read]);
        out.write_all(&block[..read]).map_err(failed)?;
    }
    out.commit()?;
    Ok((member.name, hexadecimal(hasher)))
}

fn broken(path: &Path, e: &dyn std::fmt::Display) -> Error {
    let e = e.to_string();
    let why = e.lines().next().unwrap_or_default();
    Error::format(path, format!("damaged archive ({why})"), "remove it and fetch it again")
}

fn missing(path: &Path, member: &Member) -> Error {
    let problem = format!("there is no `{}` in it", member.path);
    Error::format(path, problem, "it is not the published archive: remove it and fetch it again")
}
