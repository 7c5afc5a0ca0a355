//! Files of models and weights as the world has them: cut, changed, hostile. Reading one ends in a model or in one clear
//! sentence, and never allocates more than it may: 4 times the file, and 64 MiB.

#[path = "support/held.rs"]
mod held;

use handgrad::layers::*;
use handgrad::model::{Compile, Fit};
use handgrad::{Activation, Device, Sequential, data::Dataset, io};
use proptest::prelude::*;
use std::path::PathBuf;
use std::sync::OnceLock;

fn model() -> Sequential {
    Sequential::new()
        .with(Reshape::new([4, 4, 1]))
        .with(Conv2D::new(2, 2).activation(Activation::Relu))
        .with(BatchNormalization::new())
        .with(Reshape::new([3, 6]))
        .with(LSTM::new(3))
        .with(Dense::new(2).activation(Activation::Softmax))
        .device(device())
}

fn device() -> &'static Device {
    static DEVICE: OnceLock<Device> = OnceLock::new();
    DEVICE.get_or_init(|| Device::cpu_with(Some(1), None).unwrap())
}

/// A whole trained model, and its weights as npz.
fn files() -> &'static [Vec<u8>; 2] {
    static FILES: OnceLock<[Vec<u8>; 2]> = OnceLock::new();
    FILES.get_or_init(|| {
        let x: Vec<Vec<f32>> = (0..6).map(|i| (0..16).map(|j| ((i * j) % 5) as f32).collect()).collect();
        let y: Vec<[f32; 2]> = (0..6).map(|i| if i % 2 == 0 { [1., 0.] } else { [0., 1.] }).collect();
        let data = Dataset::from_rows(&x, &y).unwrap();
        let mut model = model();
        model.compile(Compile::new("categorical_crossentropy").optimizer("adam").metric("accuracy")).unwrap();
        model.fit(&data, Fit::new().epochs(2).verbose(0)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (whole, weights) = (folder.path().join("a.safetensors"), folder.path().join("a.npz"));
        model.save(&whole).unwrap();
        model.save_weights(&weights).unwrap();
        [std::fs::read(whole).unwrap(), std::fs::read(weights).unwrap()]
    })
}

/// Runs `read` and fails if it allocated more than it may for a file of `len` bytes.
fn within<T>(len: usize, read: impl FnOnce() -> T) -> T {
    let (result, peak) = held::peak(read);
    assert!(peak <= held::most(len), "{peak} bytes for a file of {len}");
    result
}

/// A file that is kept and overwritten: a rename for each case would take longer than all else.
fn place(name: &str, bytes: &[u8]) -> PathBuf {
    // Each test runs on a thread of its own, and must not find another's file.
    thread_local! {
        static FOLDER: tempfile::TempDir = tempfile::tempdir().unwrap();
    }
    let path = FOLDER.with(|folder| folder.path().join(name));
    std::fs::write(&path, bytes).unwrap();
    path
}

fn read_whole(bytes: &[u8]) -> Result<Sequential, handgrad::Error> {
    let path = place("whole.safetensors", bytes);
    within(bytes.len(), || io::load_on(&path, device()))
}

/// Whatever comes, the model's own weights are as before or as the file says, and never half.
fn read_npz(bytes: &[u8]) -> Result<(), handgrad::Error> {
    let path = place("weights.npz", bytes);
    let mut model = model();
    model.build([16]).unwrap();
    let before = model.get_weights().unwrap();
    let done = within(bytes.len(), || model.load_weights(&path));
    if done.is_err() {
        assert_eq!(model.get_weights().unwrap(), before);
    }
    done
}

/// A change of a file.
#[derive(Clone, Debug)]
enum Change {
    Cut(f64),
    Set(f64, u8),
    Flip(f64, u8),
    Insert(f64, Vec<u8>),
    Remove(f64, usize),
    /// A decimal digit in the text of the header becomes several: sizes grow.
    Digits(f64, u64),
}

fn change() -> impl Strategy<Value = Change> {
    let at = || 0.0..1.0f64;
    prop_oneof![
        1 => at().prop_map(Change::Cut),
        3 => (at(), any::<u8>()).prop_map(|(a, b)| Change::Set(a, b)),
        3 => (at(), 0u8..8).prop_map(|(a, b)| Change::Flip(a, b)),
        1 => (at(), proptest::collection::vec(any::<u8>(), 1..9)).prop_map(|(a, b)| Change::Insert(a, b)),
        1 => (at(), 1usize..9).prop_map(|(a, n)| Change::Remove(a, n)),
        3 => (at(), any::<u64>()).prop_map(|(a, n)| Change::Digits(a, n)),
    ]
}

/// The length of a safetensors header goes along with the change, so that more than the first check is tried.
fn apply(bytes: &[u8], changes: &[Change], safetensors: bool) -> Vec<u8> {
    let mut out = bytes.to_vec();
    for change in changes {
        let len = out.len();
        let place = |a: f64| ((a * len as f64) as usize).min(len.saturating_sub(1));
        if len == 0 {
            break;
        }
        match *change {
            Change::Cut(a) => out.truncate(place(a)),
            Change::Set(a, b) => out[place(a)] = b,
            Change::Flip(a, b) => out[place(a)] ^= 1 << b,
            Change::Insert(a, ref new) => {
                out.splice(place(a)..place(a), new.iter().copied());
            }
            Change::Remove(a, n) => {
                out.drain(place(a)..(place(a) + n).min(len));
            }
            Change::Digits(a, n) => {
                let digits: Vec<usize> = (8..len.min(6000)).filter(|&i| out[i].is_ascii_digit()).collect();
                if let Some(&i) = digits.get((a * digits.len() as f64) as usize) {
                    let text = n.to_string();
                    out.splice(i..=i, text.bytes());
                    if safetensors {
                        let grown = u64::from_le_bytes(*out.first_chunk::<8>().unwrap())
                            .wrapping_add(text.len() as u64 - 1);
                        out[..8].copy_from_slice(&grown.to_le_bytes());
                    }
                }
            }
        }
    }
    out
}

fn clear(error: &handgrad::Error) {
    let text = error.to_string();
    assert!(!text.is_empty() && text.lines().count() == 1 && text.len() < 2000, "{text}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changed_models_end_in_an_error(changes in proptest::collection::vec(change(), 1..4)) {
        if let Err(e) = read_whole(&apply(&files()[0], &changes, true)) {
            clear(&e);
        }
    }

    #[test]
    fn changed_npz_files_end_in_an_error(changes in proptest::collection::vec(change(), 1..4)) {
        if let Err(e) = read_npz(&apply(&files()[1], &changes, false)) {
            clear(&e);
        }
    }
}

#[test]
fn unchanged_files_are_read() {
    read_whole(&files()[0]).unwrap();
    read_npz(&files()[1]).unwrap();
}

/// A safetensors file of this header, with `data` zeros behind it.
fn safetensors(header: &str, data: usize) -> Vec<u8> {
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.bytes());
    file.resize(file.len() + data, 0);
    file
}

fn described(description: &str, tensors: &str, data: usize) -> Vec<u8> {
    let text = serde_json::Value::from(description).to_string();
    safetensors(&format!(r#"{{"__metadata__":{{"handgrad":{text}}}{tensors}}}"#), data)
}

/// What a hostile mind would write.
#[test]
fn files_that_ask_for_too_much_get_nothing() {
    let model = |layers: &str, input: &str| {
        format!(
            r#"{{"version":1,"compile":null,"training":{{"step":0,"epoch":0,"iterations":0,"history":[]}},
               "model":{{"name":"a","seed":1,"layers":[{layers}],"build_input_shape":{input}}}}}"#
        )
    };
    let dense = r#"{"class_name":"Dense","config":{"units":2147483647}}"#;
    let orthogonal = r#"{"class_name":"Dense","config":{"units":2000000,"kernel_initializer":"orthogonal"}}"#;
    let lstm = r#"{"class_name":"LSTM","config":{"units":2147483648}}"#;
    let nested = "[".repeat(100_000);
    let wide = format!(r#"{{"version":1,"model":[{}]}}"#, vec![r#"{"":0}"#; 10_000].join(","));
    let many = vec![r#"{"class_name":"Flatten"}"#; 2000].join(",");
    let tensors: String = (0..10_000)
        .map(|i| format!(r#","{i}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}"#))
        .collect();
    let extents =
        format!(r#","a":{{"dtype":"F32","shape":[0{}],"data_offsets":[0,0]}}"#, ",0".repeat(300_000));
    for (what, file) in [
        ("units", described(&model(dense, "[null,1000]"), "", 0)),
        ("a slow initializer", described(&model(orthogonal, "[null,1000]"), "", 0)),
        ("lstm", described(&model(lstm, "[null,3,1000]"), "", 0)),
        ("input", described(&model(dense, "[null,2147483648,2147483648]"), "", 0)),
        ("nesting", described(&nested, "", 0)),
        ("wide", described(&wide, "", 0)),
        ("tensors", described("{}", &tensors, 0)),
        ("extents", described("{}", &extents, 0)),
        ("header", safetensors(&"{".repeat(3 << 20), 0)),
        ("length", [&u64::MAX.to_le_bytes()[..], b"{}"].concat()),
        ("nothing", Vec::new()),
    ] {
        let error = read_whole(&file).err().unwrap_or_else(|| panic!("{what} was read"));
        clear(&error);
    }
    // Two thousand layers are too many for nothing but patience: this is a model.
    assert_eq!(read_whole(&described(&model(&many, "[null,1]"), "", 0)).unwrap().layer_names().len(), 2000);
}

/// The archive's own lies: sizes that are not there, arrays that are larger than they say, a bomb of zeros.
#[test]
fn archives_that_lie_are_found_out() {
    use std::io::{Cursor, Write};
    use zip::{ZipWriter, write::SimpleFileOptions};
    let archive = |name: &str, content: &[u8]| {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        zip.start_file(name, SimpleFileOptions::default()).unwrap();
        zip.write_all(content).unwrap();
        zip.finish().unwrap().into_inner()
    };
    let array = |shape: &str, numbers: usize| {
        let text = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n");
        let mut file = b"\x93NUMPY\x01\x00".to_vec();
        file.extend((text.len() as u16).to_le_bytes());
        file.extend(text.bytes());
        file.resize(file.len() + 4 * numbers, 0);
        file
    };
    let path = |bytes: &[u8]| place("lie.npz", bytes);
    let read = |file: &[u8]| {
        let mut model = Sequential::new().with(("a", Dense::new(2).use_bias(false))).device(device());
        model.build([3]).unwrap();
        within(file.len(), || model.load_weights(path(file)))
    };
    read(&archive("a/kernel.npy", &array("(3, 2)", 6))).unwrap();
    for (file, words) in [
        (archive("a/kernel.npy", &array("(3, 2)", 5)), "array `a/kernel`"),
        (archive("a/kernel.npy", &array("(3, 2)", 7)), "longer than its shape says"),
        (archive("a/kernel.npy", &array("(3, 2)", 50_000_000)), "longer than its shape says"),
        (archive("a/kernel.npy", &array("(2, 3)", 6)), "in the file, but [3, 2]"),
        (archive("a/kernel.npy", &array("(99999999999, 99999999999)", 6)), "is too large"),
        (archive("a/kernel.npy", &array("(99999999999999999999999,)", 6)), "its shape"),
        (archive("a/kernel.npy", b"\x93NUMPY\x02\x00\xff\xff\xff\xff"), "too long"),
        (archive("a/kernel.npy", b"no array"), "array `a/kernel`"),
        (archive("b.npy", &array("(3, 2)", 6)), "`a/kernel` [3, 2] is not in the file"),
        (b"PK\x05\x06no archive at all".to_vec(), "no npz file"),
    ] {
        let error = read(&file).unwrap_err();
        assert!(error.to_string().contains(words), "{error} should say {words}");
        clear(&error);
    }
}
