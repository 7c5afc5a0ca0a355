//! A file from the web, whole and right or not at all.
//!
//! ```text
//! NAME.part        what has come so far; stays when a download is cut off, and is gone on with the next time
//! NAME.part.from   the address it came from, and how that server names the version: for If-Range
//! NAME             appears by a rename, once size and SHA-256 are right and the bytes are on the disk
//! ```
//!
//! Nothing that a server says is believed: not the length it promises, not the range it claims to send. A mirror that
//! refuses or lies is left for the next; one that drops or stalls is asked again for the rest, a little later each time.

use super::catalog::RemoteFile;
use crate::error::{Error, Result};
use sha2::{Digest, Sha256};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use ureq::http::{HeaderMap, StatusCode};

/// How patient a download is.
///
/// ```no_run
/// use handgrad::data::{Collection, Download};
/// let mnist = Collection::named("mnist")?;
/// let file = mnist.files[0];
/// let addresses: Vec<String> = mnist.mirrors.iter().map(|m| format!("{m}{}", file.name)).collect();
/// let sha256 = Download::new().fetch(&addresses, &file, file.name.as_ref(), &mut |_| ())?;
/// println!("{sha256}");
/// # Ok::<(), handgrad::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Download {
    stall: Duration,
    attempts: u32,
    backoff: Duration,
}

/// What a download is doing, for those who watch.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Fetching<'a> {
    /// So many bytes of the file are here.
    Bytes {
        /// Its name.
        file: &'a str,
        /// How many are here.
        done: u64,
        /// How many it has in all.
        of: u64,
    },
    /// A mirror failed; it is asked again after a pause, or the next one is.
    Again {
        /// What went wrong, in one sentence.
        why: &'a str,
        /// How long the pause is.
        pause: Duration,
    },
    /// The file is whole, and its checksum is being worked out.
    Checking,
    /// The archive is right and is being unpacked.
    Unpacking,
}

/// Why an attempt did not bring the whole file.
enum Trouble {
    /// It may work the next time.
    Passing(String, Option<Duration>),
    /// The server's name is unknown. Worth another try only where it was known before: else there is no network.
    Unknown(String),
    /// What is here cannot be gone on with: begin anew.
    Afresh(String),
    /// This mirror will not do.
    Lasting(String),
    /// No mirror will do: the disk is full, or the folder cannot be written to.
    Fatal(Error),
}

/// A try that brought at least so much is not counted as a failure: a large file may come over a bad line.
const PROGRESS: u64 = 1 << 20;
/// No mirror is asked more often than this, whatever it brings.
const MOST_TRIES: u32 = 1000;
/// The longest pause that a server can ask for by Retry-After.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Fewer bytes than this in the time of a stall are a stall too.
const TRICKLE: u64 = 1024;

impl Default for Download {
    fn default() -> Download {
        Download::new()
    }
}

impl Download {
    /// A server may be silent for 30 s, and gets 5 attempts, the second after 1 s and each later one after twice as long.
    pub fn new() -> Download {
        Download { stall: Duration::from_secs(30), attempts: 5, backoff: Duration::from_secs(1) }
    }

    /// How long a server may be silent before it is given up.
    pub fn stall(mut self, stall: Duration) -> Download {
        self.stall = stall.max(Duration::from_millis(1));
        self
    }

    /// How often in a row a mirror may fail; at least 1.
    pub fn attempts(mut self, attempts: u32) -> Download {
        self.attempts = attempts.max(1);
        self
    }

    /// The pause after the first failure.
    pub fn backoff(mut self, backoff: Duration) -> Download {
        self.backoff = backoff;
        self
    }

    /// Fetches `wanted` from the first of `addresses` that has it and puts it at `target`. Returns its SHA-256, which is
    /// the published one. What was at `target` stays until the new file is whole.
    ///
    /// # Errors
    /// [`Error::Network`] with what every mirror said; [`Error::Io`] when the disk does not take it; another process
    /// is fetching the same file.
    pub fn fetch(
        &self,
        addresses: &[String],
        wanted: &RemoteFile,
        target: &Path,
        watch: &mut dyn FnMut(Fetching),
    ) -> Result<String> {
        let mut partial = Partial::open(target)?;
        let mut said: Vec<String> = Vec::new();
        for address in addresses {
            match self.from(address, wanted, &mut partial, watch) {
                Ok(sha256) => {
                    partial.publish(target)?;
                    return Ok(sha256);
                }
                Err(Trouble::Fatal(e)) => return Err(e),
                Err(
                    Trouble::Passing(why, _)
                    | Trouble::Unknown(why)
                    | Trouble::Afresh(why)
                    | Trouble::Lasting(why),
                ) => {
                    let why = format!("{}: {why}", host(address));
                    watch(Fetching::Again { why: &why, pause: Duration::ZERO });
                    if !said.contains(&why) {
                        said.push(why);
                    }
                }
            }
        }
        partial.tidy();
        let hint = match partial.len {
            0 => "check the network, or give another mirror",
            _ => "check the network; what has come is kept, and the next try goes on with it",
        };
        let problem = format!("cannot fetch {}: {}", wanted.name, said.join("; "));
        Err(Error::Network { problem, hint: hint.into() })
    }

    /// One mirror, as often as it may be asked.
    fn from(
        &self,
        address: &str,
        wanted: &RemoteFile,
        partial: &mut Partial,
        watch: &mut dyn FnMut(Fetching),
    ) -> Result<String, Trouble> {
        let agent = self.agent();
        let (mut failures, mut anew, at_first) = (0, 0, partial.len);
        for _ in 0..MOST_TRIES {
            let before = partial.len;
            let trouble = match self.attempt(&agent, address, wanted, partial, watch) {
                Ok(()) => {
                    watch(Fetching::Checking);
                    match partial.verify(wanted) {
                        Ok(sha256) => return Ok(sha256),
                        Err(e) => e,
                    }
                }
                Err(e) => e,
            };
            let (why, asked) = match trouble {
                Trouble::Passing(why, asked) => (why, asked),
                Trouble::Unknown(why) if partial.len > at_first => (why, None),
                Trouble::Afresh(why) => {
                    partial.restart()?;
                    anew += 1;
                    if anew > 1 {
                        return Err(Trouble::Lasting(why)); // the beginning was not at fault
                    }
                    watch(Fetching::Again {
                        why: &format!("{}: {why}", host(address)),
                        pause: Duration::ZERO,
                    });
                    continue;
                }
                other => return Err(other),
            };
            failures = if partial.len >= before.saturating_add(PROGRESS) { 0 } else { failures + 1 };
            if failures >= self.attempts {
                let tries = if failures == 1 { String::new() } else { format!(" ({failures} tries)") };
                return Err(Trouble::Lasting(format!("{why}{tries}")));
            }
            let doubled = self.backoff.saturating_mul(1 << failures.saturating_sub(1).min(16));
            let pause = asked.unwrap_or(doubled).min(LONGEST_PAUSE);
            watch(Fetching::Again { why: &format!("{}: {why}", host(address)), pause });
            std::thread::sleep(pause);
        }
        Err(Trouble::Lasting(format!("not whole after {MOST_TRIES} tries")))
    }

    fn agent(&self) -> ureq::Agent {
        ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_resolve(Some(self.stall))
            .timeout_connect(Some(self.stall))
            .timeout_recv_response(Some(self.stall))
            .timeout_per_read(Some(self.stall))
            .timeout_per_write(Some(self.stall))
            .user_agent(concat!("handgrad/", env!("CARGO_PKG_VERSION")))
            .build()
            .into()
    }

    /// One request, which adds to what is here. `Ok` when the file has its size.
    fn attempt(
        &self,
        agent: &ureq::Agent,
        address: &str,
        wanted: &RemoteFile,
        partial: &mut Partial,
        watch: &mut dyn FnMut(Fetching),
    ) -> Result<(), Trouble> {
        if partial.len > wanted.bytes {
            partial.restart()?;
        }
        if partial.len == wanted.bytes {
            return Ok(());
        }
        // Another mirror's beginning is gone on with too: the checksum tells in the end whether they fit.
        let mut request = agent.get(address).header("Accept-Encoding", "identity");
        if partial.len > 0 {
            request = request.header("Range", format!("bytes={}-", partial.len));
            if let Some(o) = partial.origin.as_ref().filter(|o| o.address == address && !o.version.is_empty())
            {
                request = request.header("If-Range", &o.version);
            }
        }
        let response = request.call().map_err(|e| transport(&e, self.stall))?;
        let (status, headers) = (response.status(), response.headers());
        match status {
            StatusCode::PARTIAL_CONTENT => {
                let (first, total) = content_range(headers)
                    .ok_or_else(|| Trouble::Afresh("a part without saying which".into()))?;
                if first != partial.len {
                    let why = format!("byte {first} and on was sent, not {} and on", partial.len);
                    return Err(Trouble::Afresh(why));
                }
                if let Some(total) = total {
                    length_fits(total, wanted)?;
                }
            }
            StatusCode::OK => {
                if let Some(length) = content_length(headers) {
                    length_fits(length, wanted)?;
                }
                partial.restart()?; // it does not know ranges, or has another version
            }
            StatusCode::RANGE_NOT_SATISFIABLE => return Err(Trouble::Afresh(status.to_string())),
            s if s.is_server_error()
                || matches!(s, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS) =>
            {
                return Err(Trouble::Passing(s.to_string(), retry_after(headers)));
            }
            s => return Err(Trouble::Lasting(s.to_string())),
        }
        partial.come_from(address, version(headers))?;
        self.receive(response.into_body().into_reader(), wanted, partial, watch)
    }

    fn receive(
        &self,
        mut body: impl Read,
        wanted: &RemoteFile,
        partial: &mut Partial,
        watch: &mut dyn FnMut(Fetching),
    ) -> Result<(), Trouble> {
        let mut block = vec![0; 64 << 10];
        let (mut since, mut came) = (Instant::now(), 0);
        loop {
            watch(Fetching::Bytes { file: wanted.name, done: partial.len, of: wanted.bytes });
            let read = match body.read(&mut block) {
                Ok(0) if partial.len == wanted.bytes => return Ok(()),
                Ok(0) => {
                    let why = format!("it ended after {} of {} bytes", partial.len, wanted.bytes);
                    return Err(Trouble::Passing(why, None));
                }
                Ok(read) => read,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) if partial.len == wanted.bytes => return Ok(()), // all is here, only the end was not said
                Err(e) => return Err(dropped(&e, self.stall, partial.len, wanted.bytes)),
            };
            if read as u64 > wanted.bytes - partial.len {
                partial.restart()?;
                return Err(Trouble::Lasting(format!("more came than the {} bytes published", wanted.bytes)));
            }
            partial.append(&block[..read])?;
            came += read as u64;
            if since.elapsed() >= self.stall {
                if came < TRICKLE {
                    let why = format!("only {came} bytes came in {}", seconds(self.stall));
                    return Err(Trouble::Passing(why, None));
                }
                (since, came) = (Instant::now(), 0);
            }
        }
    }
}

/// What has come so far, on disk and locked.
struct Partial {
    path: PathBuf,
    file: File,
    len: u64,
    origin: Option<Origin>,
    /// Whether some of it came by an earlier request, so that a wrong checksum may be due to how they were joined.
    joined: bool,
}

/// Where the bytes of a partial file came from.
struct Origin {
    address: String,
    /// A strong ETag or a Last-Modified date; empty if the server gave neither.
    version: String,
}

impl Partial {
    fn open(target: &Path) -> Result<Partial> {
        let mut name = target.file_name().unwrap_or_default().to_os_string();
        name.push(".part");
        let path = target.with_file_name(name);
        let failed = |source| Error::Io { action: "write", path: path.clone(), source };
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = file.map_err(failed)?;
        if let Err(std::fs::TryLockError::WouldBlock) = file.try_lock() {
            return Err(Error::Network {
                problem: format!("another process is fetching {}", target.display()),
                hint: "wait for it to end".into(),
            });
        } // a file system without locks is no reason to stop
        let len = file.seek(SeekFrom::End(0)).map_err(failed)?;
        let mut partial = Partial { path, file, len, origin: None, joined: len > 0 };
        partial.origin = std::fs::read_to_string(partial.note()).ok().and_then(|text| {
            let (address, version) = text.split_once('\n')?;
            Some(Origin { address: address.into(), version: version.trim_end().into() })
        });
        Ok(partial)
    }

    fn note(&self) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".from");
        name.into()
    }

    fn failed(&self, source: io::Error) -> Trouble {
        Trouble::Fatal(Error::Io { action: "write", path: self.path.clone(), source })
    }

    /// Throws away what is here.
    fn restart(&mut self) -> Result<(), Trouble> {
        let done = self.file.set_len(0).and_then(|()| self.file.rewind());
        done.map_err(|e| self.failed(e))?;
        (self.len, self.origin, self.joined) = (0, None, false);
        Ok(())
    }

    /// Notes where the next bytes come from.
    fn come_from(&mut self, address: &str, version: String) -> Result<(), Trouble> {
        self.joined |= self.len > 0;
        let note = format!("{address}\n{version}\n");
        std::fs::write(self.note(), note).map_err(|e| self.failed(e))?;
        self.origin = Some(Origin { address: address.into(), version });
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), Trouble> {
        self.file.write_all(bytes).map_err(|e| self.failed(e))?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// The SHA-256 of what is here, read back from the disk.
    fn verify(&mut self, wanted: &RemoteFile) -> Result<String, Trouble> {
        let sum = self.file.rewind().and_then(|()| sha256_of(&mut self.file)).map_err(|e| self.failed(e))?;
        if sum == wanted.sha256 {
            return Ok(sum);
        }
        let why = format!("its SHA-256 is {sum}, not the published {}", wanted.sha256);
        match self.joined {
            true => Err(Trouble::Afresh(why)),
            false => {
                self.restart()?;
                Err(Trouble::Lasting(why))
            }
        }
    }

    /// Puts the file in its place.
    fn publish(self, target: &Path) -> Result<()> {
        let failed = |source| Error::Io { action: "write", path: target.to_path_buf(), source };
        self.file.sync_all().and_then(|()| std::fs::rename(&self.path, target)).map_err(failed)?;
        let _ = std::fs::remove_file(self.note()); // a stray note does no harm
        Ok(())
    }

    /// Leaves nothing behind where nothing came.
    fn tidy(&self) {
        if self.len == 0 {
            let _ = std::fs::remove_file(&self.path);
            let _ = std::fs::remove_file(self.note());
        }
    }
}

/// The SHA-256 of all that `file` gives, in small hexadecimal digits.
pub(super) fn sha256_of(file: &mut impl Read) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut block = vec![0; 64 << 10];
    loop {
        match file.read(&mut block) {
            Ok(0) => return Ok(hexadecimal(hasher)),
            Ok(n) => hasher.update(&block[..n]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

pub(super) fn hexadecimal(hasher: Sha256) -> String {
    hasher.finalize().iter().map(|b| format!("{b:02x}")).collect()
}

fn length_fits(length: u64, wanted: &RemoteFile) -> Result<(), Trouble> {
    match length == wanted.bytes {
        true => Ok(()),
        false => Err(Trouble::Lasting(format!("it has {length} bytes, the published file {}", wanted.bytes))),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|v| v.to_str().ok()).map(str::trim)
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    text(headers, "content-length")?.parse().ok()
}

/// First byte and length of the whole, of `bytes 100-199/200`.
fn content_range(headers: &HeaderMap) -> Option<(u64, Option<u64>)> {
    let (range, total) = text(headers, "content-range")?.strip_prefix("bytes ")?.split_once('/')?;
    let (first, _) = range.split_once('-')?;
    Some((first.trim().parse().ok()?, total.trim().parse().ok()))
}

/// What If-Range takes: a strong ETag, or else the date of the last change.
fn version(headers: &HeaderMap) -> String {
    let strong = text(headers, "etag").filter(|tag| tag.starts_with('"'));
    strong.or_else(|| text(headers, "last-modified")).unwrap_or_default().to_string()
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    text(headers, "retry-after")?.parse().ok().map(Duration::from_secs)
}

/// The server's name, by which people know a mirror.
fn host(address: &str) -> &str {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs_f64())
}

/// A request that got no answer.
fn transport(e: &ureq::Error, stall: Duration) -> Trouble {
    let unknown = || Trouble::Unknown("its name cannot be resolved".into());
    match e {
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => Trouble::Lasting(format!("not an address: {e}")),
        ureq::Error::Timeout(_) => Trouble::Passing(format!("no answer in {}", seconds(stall)), None),
        ureq::Error::HostNotFound => unknown(),
        // The standard library has no kind of its own for this.
        ureq::Error::Io(e) if e.to_string().contains("lookup") => unknown(),
        ureq::Error::Io(e) if e.kind() == io::ErrorKind::ConnectionRefused => {
            Trouble::Passing("connection refused".into(), None)
        }
        ureq::Error::TooManyRedirects | ureq::Error::RedirectFailed => Trouble::Lasting(e.to_string()),
        _ => Trouble::Passing(one_line(e), None),
    }
}

/// An answer that broke off.
fn dropped(e: &io::Error, stall: Duration, done: u64, of: u64) -> Trouble {
    let timed_out = matches!(e.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)
        || matches!(e.get_ref().and_then(|e| e.downcast_ref()), Some(ureq::Error::Timeout(_)));
    let why = match (timed_out, e.kind()) {
        (true, _) => format!("nothing came for {} after {done} of {of} bytes", seconds(stall)),
        (_, io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => {
            format!("it broke off after {done} of {of} bytes")
        }
        _ => format!("it broke off after {done} of {of} bytes ({})", one_line(e)),
    };
    Trouble::Passing(why, None)
}

fn one_line(e: &dyn std::fmt::Display) -> String {
    let text = e.to_string();
    text.lines().next().unwrap_or_default().trim_start_matches("io: ").trim().to_string()
}
