//! Downloads from servers that drop, stall, cut, corrupt and lie: each ends with the right file in its place or in one
//! clear sentence, and never with a wrong file.
#![cfg(feature = "cli")]

#[path = "support/command.rs"]
mod command;
#[path = "download/server.rs"]
mod server;

use flate2::{Compression, write::GzEncoder};
use handgrad::data::{
    Archive, ArchiveKind, Collection, Download, Element, Fetching, Idx, Install, Installed, Member,
    RemoteFile,
};
use handgrad::{Error, Result};
use proptest::prelude::*;
use server::{Act, Server};
use sha2::{Digest, Sha256};
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

fn body() -> Vec<u8> {
    (0..100_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// A file of a test's own collection: its name and sums must live as long as the catalog's.
fn remote(name: &'static str, bytes: &[u8]) -> RemoteFile {
    RemoteFile { name, bytes: bytes.len() as u64, sha256: sha256(bytes).leak() }
}

/// Patient enough for a busy machine, and quick to try again.
fn quick() -> Download {
    Download::new().stall(Duration::from_secs(10)).backoff(Duration::from_millis(1)).attempts(3)
}

/// For servers that are to be found too slow: a good one has a second for each answer.
fn hasty(act: &Act) -> Download {
    match act {
        Act::Stall(_) | Act::Silence | Act::Trickle => quick().stall(Duration::from_secs(1)).attempts(2),
        _ => quick(),
    }
}

/// An address where nobody listens: the port is taken, by the calling side of a connection, for as long as that lives.
fn nobody() -> (String, [TcpStream; 2]) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let caller = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let called = listener.accept().unwrap().0;
    (format!("127.0.0.1:{}", caller.local_addr().unwrap().port()), [caller, called])
}

/// A folder that a file is fetched into, once or more.
struct Trial {
    folder: TempDir,
    wanted: RemoteFile,
    said: Vec<String>,
}

impl Trial {
    fn new() -> Trial {
        Trial { folder: tempfile::tempdir().unwrap(), wanted: remote("file.gz", &body()), said: Vec::new() }
    }

    fn target(&self) -> PathBuf {
        self.folder.path().join("file.gz")
    }

    fn fetch(&mut self, servers: &[&Server]) -> Result<String> {
        self.fetch_with(&quick(), servers)
    }

    fn fetch_with(&mut self, download: &Download, servers: &[&Server]) -> Result<String> {
        let urls: Vec<String> = servers.iter().map(|s| s.url("file.gz")).collect();
        let said = &mut self.said;
        let result = download.fetch(&urls, &self.wanted, &self.folder.path().join("file.gz"), &mut |event| {
            if let Fetching::Again { why, .. } = event {
                said.push(why.to_string());
            }
        });
        match &result {
            Ok(sum) => {
                assert_eq!(sum, &sha256(&body()));
                assert!(std::fs::read(self.target()).unwrap() == body(), "a wrong file");
                assert_eq!(
                    std::fs::read_dir(self.folder.path()).unwrap().count(),
                    1,
                    "something is left over"
                );
            }
            Err(e) => {
                assert!(!self.target().exists(), "a wrong file after {e}");
                let text = e.to_string();
                assert!(
                    matches!(e, Error::Network { .. }) && text.starts_with("cannot fetch file.gz: "),
                    "{text}"
                );
                assert!(!text.contains('\n') && e.hint().is_some(), "{text}");
            }
        }
        result
    }
}

/// One act for the first request, and good service after it.
#[track_caller]
fn recovers(act: Act) -> (Server, Trial) {
    let server = Server::new(body(), vec![act.clone(), Act::Serve]);
    let mut trial = Trial::new();
    if let Err(e) = trial.fetch_with(&hasty(&act), &[&server]) {
        panic!("{act:?}: {e}");
    }
    (server, trial)
}

/// The same act for every request: it must fail with these words, and the next mirror must help.
#[track_caller]
fn gives_up(act: Act, words: &str) {
    let bad = Server::new(body(), vec![act.clone()]);
    let error = Trial::new().fetch_with(&hasty(&act), &[&bad]).unwrap_err().to_string();
    assert!(error.contains(words), "{act:?}: {error} should say {words}");
    let (bad, good) = (Server::new(body(), vec![act.clone()]), Server::new(body(), vec![Act::Serve]));
    let mut trial = Trial::new();
    if let Err(e) = trial.fetch_with(&hasty(&act), &[&bad, &good]) {
        panic!("{act:?}, then a good mirror: {e}");
    }
}

#[test]
fn a_good_server_is_asked_once() {
    let (server, _) = recovers(Act::Serve);
    let seen = server.requests();
    assert!(seen.len() == 1 && seen[0].range.is_none() && seen[0].path == "/file.gz", "{seen:?}");
}

#[test]
fn what_broke_off_is_gone_on_with() {
    for act in [Act::Drop(30_000), Act::Stall(30_000)] {
        let (server, trial) = recovers(act);
        let seen = server.requests();
        assert_eq!(seen.len(), 2, "{seen:?}");
        assert_eq!(seen[1].range.as_deref(), Some("bytes=30000-"));
        assert_eq!(seen[1].if_range.as_deref(), Some("\"one\""));
        assert!(trial.said[0].contains("after 30000 of 100000 bytes"), "{:?}", trial.said);
    }
}

/// A process that ended goes on where it was; so does one that asks another mirror.
#[test]
fn a_later_run_goes_on_too() {
    let mut trial = Trial::new();
    let drops = Server::new(body(), vec![Act::Drop(40_000)]);
    trial.fetch_with(&quick().attempts(1), &[&drops]).unwrap_err();
    let other = Server::new(body(), vec![Act::Serve]);
    trial.fetch(&[&other]).unwrap();
    let seen = other.requests();
    assert_eq!((seen[0].range.as_deref(), &seen[0].if_range), (Some("bytes=40000-"), &None));
}

#[test]
fn a_server_may_fail_a_few_times() {
    for act in [Act::Status(500), Act::Busy, Act::Status(429), Act::Garbage, Act::Silence, Act::Drop(0)] {
        recovers(act);
    }
    let server = Server::new(body(), vec![Act::Drop(10_000), Act::Status(502), Act::Drop(5_000), Act::Serve]);
    let error = Trial::new().fetch(&[&server]).unwrap_err().to_string();
    assert!(error.contains("(3 tries)"), "{error}");
    let server = Server::new(body(), vec![Act::Drop(10_000), Act::Status(502), Act::Serve]);
    Trial::new().fetch(&[&server]).unwrap();
}

#[test]
fn what_does_not_pass_ends_in_a_sentence_or_at_the_next_mirror() {
    gives_up(Act::Status(404), "404 Not Found");
    gives_up(Act::Status(403), "403 Forbidden");
    gives_up(Act::Status(500), "500 Internal Server Error (3 tries)");
    gives_up(Act::Truncate(70_000), "it has 70000 bytes, the published file 100000");
    gives_up(Act::WrongLength, "it has 100100 bytes, the published file 100000");
    gives_up(Act::Overlong, "more came than the 100000 bytes published");
    gives_up(Act::Corrupt, "its SHA-256 is ");
    gives_up(Act::Garbage, "(3 tries)");
    gives_up(Act::Redirect("/round"), "redirect");
}

/// Tests of their own, which run beside each other: each waits four times.
#[test]
fn a_server_that_stalls_is_left() {
    gives_up(Act::Stall(0), "nothing came for 1 s after 0 of 100000 bytes (2 tries)");
}

#[test]
fn a_silent_server_is_left() {
    gives_up(Act::Silence, "no answer in 1 s (2 tries)");
}

#[test]
fn a_server_that_trickles_is_left() {
    gives_up(Act::Trickle, "bytes came in 1 s (2 tries)");
}

#[test]
fn a_redirect_is_followed() {
    let (server, _) = recovers(Act::Redirect("/elsewhere"));
    assert_eq!(server.requests()[1].path, "/elsewhere");
}

/// Servers that take a Range and do not keep to it: the rest must not be put behind a beginning it does not fit.
#[test]
fn a_wrong_rest_is_noticed() {
    for act in
        [Act::IgnoreRange, Act::NewVersion, Act::WrongPart, Act::NamelessPart, Act::Corrupt, Act::Status(416)]
    {
        let server = Server::new(body(), vec![Act::Drop(30_000), act.clone(), Act::Serve]);
        let mut trial = Trial::new();
        if let Err(e) = trial.fetch(&[&server]) {
            panic!("{act:?}: {e}");
        }
    }
    // A beginning that was wrong on the disk: the whole comes out wrong once, and is fetched anew.
    let mut trial = Trial::new();
    std::fs::write(trial.folder.path().join("file.gz.part"), [0; 500]).unwrap();
    let server = Server::new(body(), vec![Act::Serve]);
    trial.fetch_with(&quick().attempts(1), &[&server]).unwrap(); // no failure of the server's
    assert_eq!(server.requests().len(), 2);
    // One that is longer than the file.
    let mut trial = Trial::new();
    std::fs::write(trial.folder.path().join("file.gz.part"), [0; 100_001]).unwrap();
    trial.fetch(&[&server]).unwrap();
}

#[test]
fn what_was_there_stays_until_the_new_file_is_right() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("file.gz");
    std::fs::write(&target, "before").unwrap();
    let bad = Server::new(body(), vec![Act::Corrupt]);
    let wanted = remote("file.gz", &body());
    quick().fetch(&[bad.url("file.gz")], &wanted, &target, &mut |_| ()).unwrap_err();
    assert_eq!(std::fs::read(&target).unwrap(), b"before");
    let good = Server::new(body(), vec![Act::Serve]);
    quick().fetch(&[good.url("file.gz")], &wanted, &target, &mut |_| ()).unwrap();
    assert!(std::fs::read(&target).unwrap() == body());
}

#[test]
fn two_processes_do_not_write_one_file() {
    let trial = Trial::new();
    let part = std::fs::File::create(trial.folder.path().join("file.gz.part")).unwrap();
    part.lock().unwrap();
    let error = quick().fetch(&[], &trial.wanted, &trial.target(), &mut |_| ()).unwrap_err().to_string();
    assert!(error.starts_with("another process is fetching "), "{error}");
}

fn any_act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => Just(Act::Serve),
        1 => Just(Act::NewVersion),
        1 => Just(Act::IgnoreRange),
        3 => (0..100_000usize).prop_map(Act::Drop),
        1 => (0..100_000usize).prop_map(Act::Truncate),
        1 => Just(Act::Overlong),
        1 => Just(Act::WrongLength),
        2 => Just(Act::Corrupt),
        1 => Just(Act::WrongPart),
        1 => Just(Act::NamelessPart),
        1 => prop::sample::select(vec![400, 404, 410, 416, 429, 500, 503]).prop_map(Act::Status),
        1 => Just(Act::Busy),
        1 => Just(Act::Redirect("/x")),
        1 => Just(Act::Garbage),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any behaviours in any order, over two mirrors and three runs in one folder: `Trial::fetch` checks every outcome. A
    /// good server then brings the file, whatever they left.
    #[test]
    fn whatever_happens_no_wrong_file_appears(
        runs in prop::collection::vec((prop::collection::vec(any_act(), 1..5), prop::collection::vec(any_act(), 1..5)), 3),
    ) {
        let mut trial = Trial::new();
        for (a, b) in runs {
            let (a, b) = (Server::new(body(), a), Server::new(body(), b));
            if trial.fetch(&[&a, &b]).is_ok() {
                return Ok(());
            }
        }
        let good = Server::new(body(), vec![Act::Serve]);
        prop_assert!(trial.fetch(&[&good]).is_ok(), "{:?}", trial.said);
    }
}

/// What a test's collection is fetched from: one archive, or files as they are.
fn collection(files: Vec<RemoteFile>, archive: Option<Archive>) -> Collection {
    Collection {
        name: "toys",
        title: "Toys",
        summary: "",
        source: "",
        classes: &[],
        mirrors: &["http://127.0.0.1:0/none/"], // no port at all
        files: files.leak(),
        archive,
    }
}

const MEMBERS: [Member; 2] = [
    Member { path: "deep/a.bin", name: "a.bin", at_most: 1000 },
    Member { path: "deep/b.bin", name: "b.bin", at_most: 10 },
];

fn zipped(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in members {
        let options =
            zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
        zip.start_file(*name, options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn tarred(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for (name, bytes) in members {
        let mut header = tar::Header::new_gnu();
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes()); // `..` too
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        tar.append(&header, *bytes).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

/// Installs an archive that comes over the wire as it is.
fn install(kind: ArchiveKind, bytes: Vec<u8>, folder: &Path) -> Result<Installed> {
    let files = vec![remote("all.archive", &bytes)];
    let toys = collection(files, Some(Archive { kind, members: &MEMBERS }));
    let server = Server::new(bytes, vec![Act::Drop(20), Act::Serve]);
    Install::new(&toys, folder).from(&server.url("")).run(&quick(), &mut |_| ())
}

#[test]
fn archives_are_unpacked_checked_and_known_again() {
    let members: [(&str, &[u8]); 3] = [("deep/a.bin", &[7; 1000]), ("other", b"left"), ("deep/b.bin", b"bb")];
    for (kind, bytes) in [(ArchiveKind::Zip, zipped(&members)), (ArchiveKind::TarGz, tarred(&members))] {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("new/folder");
        let done = install(kind, bytes.clone(), &place).unwrap();
        assert_eq!(done.fetched, 1);
        assert_eq!(std::fs::read(place.join("a.bin")).unwrap(), [7; 1000]);
        assert_eq!(std::fs::read(place.join("b.bin")).unwrap(), b"bb");
        let mut names: Vec<_> = std::fs::read_dir(&place)
            .unwrap()
            .map(|f| f.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["SHA256SUMS", "a.bin", "b.bin"]);
        let sums = std::fs::read_to_string(place.join("SHA256SUMS")).unwrap();
        assert_eq!(sums, format!("{}  a.bin\n{}  b.bin\n", sha256(&[7; 1000]), sha256(b"bb")));
        assert_eq!(install(kind, bytes.clone(), &place).unwrap(), Installed { fetched: 0, ..done });
        // A file that was changed since is put right.
        std::fs::write(place.join("b.bin"), "bc").unwrap();
        assert_eq!(install(kind, bytes, &place).unwrap().fetched, 1);
        assert_eq!(std::fs::read(place.join("b.bin")).unwrap(), b"bb");
    }
}

#[test]
fn an_archive_placed_by_hand_is_unpacked_without_a_network() {
    let bytes = zipped(&[("deep/a.bin", b"a"), ("deep/b.bin", b"b")]);
    let folder = tempfile::tempdir().unwrap();
    let toys = collection(
        vec![remote("all.zip", &bytes)],
        Some(Archive { kind: ArchiveKind::Zip, members: &MEMBERS }),
    );
    let offline = Install::new(&toys, folder.path());
    let error = offline.run(&quick().attempts(1), &mut |_| ()).unwrap_err();
    let hint = error.hint().unwrap();
    assert!(
        hint.contains("put all.zip from http://127.0.0.1:0/none/ into ") && hint.contains("again"),
        "{hint}"
    );
    std::fs::write(folder.path().join("all.zip"), &bytes).unwrap();
    assert_eq!(offline.run(&quick(), &mut |_| ()).unwrap().fetched, 0);
    assert_eq!(std::fs::read(folder.path().join("a.bin")).unwrap(), b"a");
}

#[test]
fn hostile_archives_leave_nothing_outside_and_nothing_too_large() {
    for kind in [ArchiveKind::Zip, ArchiveKind::TarGz] {
        let pack = |members: &[(&str, &[u8])]| match kind {
            ArchiveKind::Zip => zipped(members),
            ArchiveKind::TarGz => tarred(members),
        };
        let outer = tempfile::tempdir().unwrap();
        let place = outer.path().join("in");
        let refused = |bytes: Vec<u8>, words: &str| {
            let error = install(kind, bytes, &place).unwrap_err();
            assert!(error.to_string().contains(words) && error.hint().is_some(), "{kind:?}: {error}");
            let _ = std::fs::remove_file(place.join("all.archive"));
        };
        refused(pack(&[("../a.bin", b"x"), ("deep/../deep/a.bin", b"y")]), "no `deep/a.bin` in it");
        refused(
            pack(&[("deep/a.bin", b"x"), ("deep/b.bin", &[0; 11])]),
            "`deep/b.bin` in it has more than 10 bytes",
        );
        refused(pack(&[("deep/a.bin", &vec![0; 8 << 20]), ("deep/b.bin", b"")]), "more than 1000 bytes");
        // A zip is not read where nothing is wanted; a tar is, up to what its members may take.
        let zeros = pack(&[("zeros", &vec![0; 8 << 20]), ("deep/a.bin", b"")]);
        match kind {
            ArchiveKind::Zip => refused(zeros, "no `deep/b.bin` in it"),
            ArchiveKind::TarGz => refused(zeros, "damaged archive"),
        }
        let whole = pack(&[("deep/a.bin", &body()[..900]), ("deep/b.bin", b"b")]);
        refused(whole[..whole.len() / 2].to_vec(), "damaged archive");
        refused(vec![0; 300], "damaged archive");
        assert_eq!(std::fs::read_dir(outer.path()).unwrap().count(), 1, "{kind:?}: something came out");
        assert!(!place.join("b.bin").exists());
    }
}

#[test]
fn a_tar_link_is_not_followed() {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    tar.append_link(&mut header, "deep/a.bin", "/etc/passwd").unwrap();
    let bytes = tar.into_inner().unwrap().finish().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let error = install(ArchiveKind::TarGz, bytes, folder.path()).unwrap_err().to_string();
    assert!(error.contains("no `deep/a.bin` in it") && !folder.path().join("a.bin").exists(), "{error}");
}

/// Plain files: one by one, those that are there already not again, and another's file only replaced where it may be.
#[test]
fn files_that_are_there_are_not_fetched_again() {
    let bytes = body();
    let toys = collection(vec![remote("one.gz", &bytes), remote("two.gz", &bytes)], None);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("one.gz"), &bytes).unwrap();
    let server = Server::new(bytes.clone(), vec![Act::Serve]);
    let url = server.url("sub/");
    let install = Install::new(&toys, folder.path()).from(&url);
    assert_eq!(install.run(&quick(), &mut |_| ()).unwrap().fetched, 1);
    assert_eq!(server.requests().iter().map(|r| r.path.as_str()).collect::<Vec<_>>(), ["/sub/two.gz"]);
    std::fs::write(folder.path().join("two.gz"), "mine").unwrap();
    let error = install.run(&quick(), &mut |_| ()).unwrap_err().to_string();
    assert!(error.contains("two.gz: it is there already, and is not the published file of Toys"), "{error}");
    assert_eq!(std::fs::read(folder.path().join("two.gz")).unwrap(), b"mine");
    assert_eq!(install.clone().replace(true).run(&quick(), &mut |_| ()).unwrap().fetched, 1);
    assert!(std::fs::read(folder.path().join("two.gz")).unwrap() == bytes);
}

fn handgrad(cache: &Path, arguments: &[&str]) -> (i32, String, String) {
    let mut command = command::handgrad(arguments);
    let elsewhere = tempfile::tempdir().unwrap();
    command.current_dir(&elsewhere).env("HANDGRAD_CACHE", cache).env_remove("HANDGRAD_FASHION_MNIST");
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_command_lists_fetches_and_says_what_to_place_where() {
    let cache = tempfile::tempdir().unwrap();
    let (code, out, err) = handgrad(cache.path(), &["data", "list"]);
    assert!((code, err.as_str()) == (0, ""), "{err}");
    for words in ["mnist", "fashion-mnist", "kmnist", "emnist-letters", "cifar10", "MiB"] {
        assert!(out.contains(words), "{out}");
    }
    let (code, _, err) = handgrad(cache.path(), &["data", "get", "fashon-mnist"]);
    assert!(code == 2 && err.contains("did you mean `fashion-mnist`?"), "{err}");
    let (code, _, err) = handgrad(cache.path(), &["data", "get", "mnist", "--from", "ftp://x"]);
    assert!(code == 1 && err.contains("`ftp://x` is not an address on the web"), "{err}");

    let get =
        |from: &str| handgrad(cache.path(), &["data", "get", "kmnist", "--attempts", "1", "--from", from]);
    let (nobody, _port) = nobody();
    let (code, _, err) = get(&format!("http://{nobody}/"));
    let place = cache.path().join("data/kmnist");
    for words in [
        &format!("error: cannot fetch train-images-idx3-ubyte.gz: {nobody}: connection refused\n  hint: "),
        "t10k-labels-idx1-ubyte.gz from http://codh.rois.ac.jp",
        &format!("into {}", place.display()),
    ] {
        assert!(code == 1 && err.contains(words) && err.lines().count() == 2, "{err}");
    }
    let server = Server::new(body(), vec![Act::Serve]);
    let (code, _, err) = get(&server.url(""));
    assert!(code == 1 && err.contains("it has 100000 bytes, the published file 18165135"), "{err}");
    assert!(!place.exists(), "nothing came, nothing stays");
}

#[test]
fn training_finds_what_is_in_the_cache() {
    let cache = tempfile::tempdir().unwrap();
    let place = cache.path().join("data/fashion-mnist");
    let train = ["train", "fashion-softmax", "--device", "reference", "--epochs", "1", "--batch-size", "4"];
    let (code, _, err) = handgrad(cache.path(), &train);
    assert!(code == 1 && err.contains("hint: fetch it with `handgrad data get fashion-mnist`"), "{err}");
    std::fs::create_dir_all(&place).unwrap();
    for part in ["train", "t10k"] {
        let images = Idx::new([20, 28, 28], Element::U8, vec![9; 20 * 784]).unwrap();
        images.write(place.join(format!("{part}-images-idx3-ubyte.gz"))).unwrap();
        let labels = Idx::new([20], Element::U8, (0..20).map(|i| i % 10).collect()).unwrap();
        labels.write(place.join(format!("{part}-labels-idx1-ubyte.gz"))).unwrap();
    }
    let (code, out, err) = handgrad(cache.path(), &train);
    assert!(code == 0 && out.contains(&place.display().to_string()), "{out}{err}");
}
