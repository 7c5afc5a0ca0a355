//! Files as the world has them: broken, cut, overlong, hostile. Whatever comes, reading one ends in the right array or in
//! one clear sentence, and never allocates more than it may.

#[path = "support/held.rs"]
mod held;

use flate2::{Compression, write::GzEncoder};
use handgrad::data::{Element, Idx, mnist};
use held::peak;
use proptest::prelude::*;
use std::io::Write;

/// What the reader's own buffers, gzip's tables and an error's text may take.
const SLACK: usize = 256 << 10;

/// Reads `bytes` as a file and checks everything that holds for every file. Says whether it was accepted.
fn read(bytes: &[u8]) -> Result<Option<Idx>, TestCaseError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("images-idx3-ubyte");
    std::fs::write(&path, bytes).unwrap();
    let (result, peak) = peak(|| Idx::read(&path));
    let limit = if bytes.starts_with(&[0x1f, 0x8b]) { 4 * bytes.len() + (64 << 20) } else { bytes.len() };
    prop_assert!(peak <= limit + SLACK, "{peak} bytes allocated for a file of {}", bytes.len());
    match result {
        Ok(idx) => {
            prop_assert_eq!(idx.shape().len() * idx.element().size(), idx.bytes().len());
            prop_assert!(!idx.bytes().is_empty());
            prop_assert_eq!(idx.to_f32().len(), idx.shape().len());
            Ok(Some(idx))
        }
        Err(e) => {
            let text = e.to_string();
            prop_assert!(text.contains("images-idx3-ubyte") && !text.contains('\n'), "{}", text);
            prop_assert!(e.hint().is_some_and(|h| !h.is_empty()), "{}", text);
            Ok(None)
        }
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
    gz.write_all(bytes).unwrap();
    gz.finish().unwrap()
}

fn any_idx() -> impl Strategy<Value = Idx> {
    let shape = prop::collection::vec(1usize..6, 1..=4);
    (shape, prop::sample::select(Element::ALL.to_vec())).prop_flat_map(|(dims, element)| {
        let size = dims.iter().product::<usize>() * element.size();
        prop::collection::vec(any::<u8>(), size)
            .prop_map(move |bytes| Idx::new(handgrad::Shape::new(&dims).unwrap(), element, bytes).unwrap())
    })
}

/// The bytes of a correct plain file.
fn plain(idx: &Idx) -> Vec<u8> {
    let mut file = vec![0, 0, idx.element().code(), idx.shape().rank() as u8];
    idx.shape().dims().iter().for_each(|&d| file.extend((d as u32).to_be_bytes()));
    file.extend(idx.bytes());
    file
}

/// One way to break a file.
#[derive(Clone, Debug)]
enum Damage {
    Cut(prop::sample::Index),
    Append(Vec<u8>),
    Flip(prop::sample::Index, u8),
    Extent(usize, u32),
    Replace(Vec<u8>),
}

impl Damage {
    fn apply(&self, file: &mut Vec<u8>) {
        match self {
            Damage::Cut(at) => file.truncate(at.index(file.len())),
            Damage::Append(more) => file.extend(more),
            Damage::Flip(at, mask) => {
                let at = at.index(file.len());
                file[at] ^= mask;
            }
            Damage::Extent(which, value) => {
                let at = 4 + 4 * which;
                if let Some(extent) = file.get_mut(at..at + 4) {
                    extent.copy_from_slice(&value.to_be_bytes());
                }
            }
            Damage::Replace(bytes) => *file = bytes.clone(),
        }
    }
}

fn any_damage() -> impl Strategy<Value = Damage> {
    let extent = prop_oneof![any::<u32>(), 0u32..10, Just(u32::MAX), Just(1 << 31), Just(1 << 16)];
    prop_oneof![
        any::<prop::sample::Index>().prop_map(Damage::Cut),
        prop::collection::vec(any::<u8>(), 1..20).prop_map(Damage::Append),
        (any::<prop::sample::Index>(), 1u8..).prop_map(|(at, mask)| Damage::Flip(at, mask)),
        (0usize..4, extent).prop_map(|(which, value)| Damage::Extent(which, value)),
        prop::collection::vec(any::<u8>(), 0..100).prop_map(Damage::Replace),
    ]
}

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(1024))]

    /// Fails if a length is believed before it is checked, or if trailing or missing bytes pass.
    #[test]
    fn damaged_plain_files(idx in any_idx(), damage in any_damage()) {
        let good = plain(&idx);
        let mut file = good.clone();
        damage.apply(&mut file);
        let accepted = read(&file)?;
        if matches!(damage, Damage::Cut(_) | Damage::Append(_)) {
            prop_assert!(accepted.is_none(), "a file of another length was accepted");
        }
        if let Some(accepted) = accepted && accepted.shape() == idx.shape() && accepted.element() == idx.element() {
            prop_assert_eq!(plain(&accepted), file);
        }
    }

    /// The damage is done before packing: the gzip layer is sound, what is in it is not.
    #[test]
    fn damaged_files_packed(idx in any_idx(), damage in any_damage()) {
        let mut file = plain(&idx);
        damage.apply(&mut file);
        let accepted = read(&gzip(&file))?;
        if matches!(damage, Damage::Cut(_) | Damage::Append(_)) {
            prop_assert!(accepted.is_none(), "a file of another length was accepted");
        }
    }

    /// The damage is done to the packed bytes: gzip's own checksum must notice what changes the contents.
    #[test]
    fn packed_files_damaged(idx in any_idx(), damage in any_damage()) {
        let mut file = gzip(&plain(&idx));
        damage.apply(&mut file);
        if let Some(accepted) = read(&file)? {
            let header_only = matches!(damage, Damage::Flip(..) | Damage::Extent(..));
            prop_assert!(header_only, "{:?} was accepted", damage);
            prop_assert_eq!(accepted, idx);
        }
    }

    #[test]
    fn what_was_written_is_read(idx in any_idx(), packed in any::<bool>()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(if packed { "a.gz" } else { "a" });
        idx.write(&path).unwrap();
        let on_disk = std::fs::read(&path).unwrap();
        prop_assert_eq!(on_disk.starts_with(&[0x1f, 0x8b]), packed);
        prop_assert_eq!(packed || on_disk == plain(&idx), true);
        prop_assert_eq!(Idx::read(&path).unwrap(), idx);
    }
}

/// A small file that unpacks to a gigabyte, and one that says it does: neither gets the memory.
#[test]
fn a_bomb_does_not_go_off() {
    let mut gz = GzEncoder::new(Vec::new(), Compression::best());
    gz.write_all(&[0, 0, 8, 1, 0x40, 0, 0, 0]).unwrap();
    let zeros = vec![0; 1 << 20];
    (0..1024).for_each(|_| gz.write_all(&zeros).unwrap());
    let bomb = gz.finish().unwrap();
    assert!(bomb.len() < 2 << 20);
    assert!(read(&bomb).unwrap().is_none());

    let mut promise = vec![0, 0, 14, 6];
    promise.extend([0xff; 24]);
    assert!(read(&promise).unwrap().is_none());
    assert!(read(&gzip(&promise)).unwrap().is_none());
}

/// The four files are those that their README lists.
#[cfg(feature = "cli")] // which brings SHA-256
#[test]
fn the_bundled_mnist_has_the_listed_sums() {
    use sha2::Digest;
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("data/mnist");
    let readme = std::fs::read_to_string(folder.join("README.md")).unwrap();
    let listed: Vec<(&str, &str)> = readme
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | "))
        .filter(|(sum, _)| sum.len() == 64)
        .collect();
    assert_eq!(listed.len(), 4);
    for (sum, name) in listed {
        let sum_of: Vec<String> = sha2::Sha256::digest(std::fs::read(folder.join(name)).unwrap())
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(sum_of.concat(), sum, "{name}");
    }
}

/// The counts that its authors publish.
#[test]
fn the_bundled_mnist_holds_what_mnist_holds() {
    let data = mnist().unwrap();
    assert_eq!((data.train.len(), data.test.len()), (60_000, 10_000));
    assert_eq!(data.train.sample_shape().dims(), [28, 28]);
    assert_eq!(
        data.train.class_counts().unwrap(),
        [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    );
    assert_eq!(data.test.class_counts().unwrap(), [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]);
}
