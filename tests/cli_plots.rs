//! `handgrad plot` and `handgrad train --plots`, as a user has them.
#![cfg(feature = "cli")]

#[path = "support/command.rs"]
mod command;

use handgrad::Shape;
use handgrad::data::{Collection, Element, Idx};
use std::path::Path;

fn handgrad(folder: &Path, arguments: &str) -> (i32, String, String) {
    let output = command::handgrad(arguments.split_whitespace()).current_dir(folder).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_training_leaves_its_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let (code, out, err) =
        handgrad(folder.path(), "train xor --epochs 3 --device reference --plots new/pictures");
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.contains("curves.svg, boundary.svg"), "{out}");
    for name in ["curves.svg", "boundary.svg"] {
        let svg = std::fs::read_to_string(folder.path().join("new/pictures").join(name)).unwrap();
        assert!(svg.contains(">xor<"), "{svg}");
    }
    let (code, _, err) = handgrad(folder.path(), "train xor --plots-format png");
    assert!(code == 2 && err.contains("--plots"), "{err}");
}

/// Ten small files in the place of Fashion-MNIST: the pictures call its classes what the catalog calls them.
#[test]
fn classes_have_the_names_of_their_data_set() {
    let folder = tempfile::tempdir().unwrap();
    for part in ["train", "t10k"] {
        let write = |name: &str, shape: &[usize], bytes: Vec<u8>| {
            let path = folder.path().join(format!("{part}-{name}-ubyte"));
            Idx::new(Shape::new(shape).unwrap(), Element::U8, bytes).unwrap().write(path).unwrap();
        };
        write("images-idx3", &[20, 28, 28], (0..20 * 784).map(|i| (i % 251) as u8).collect());
        write("labels-idx1", &[20], (0..20).map(|i| i % 10).collect());
    }
    let (code, out, err) =
        handgrad(folder.path(), "train fashion-softmax --device reference --data . --epochs 1 --plots p");
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.contains("curves.svg, confusion.svg, samples.svg, filters.svg"), "{out}");
    let fashion = Collection::named("fashion-mnist").unwrap();
    for name in ["confusion.svg", "samples.svg"] {
        let svg = std::fs::read_to_string(folder.path().join("p").join(name)).unwrap();
        for class in fashion.classes {
            assert!(svg.contains(&format!("{class}<")), "{name} has no {class}");
        }
    }
}

#[test]
fn a_log_becomes_a_picture() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("log.csv"), "epoch,loss,val_loss\n0,0.7,0.6\n1,0.5,NA\n").unwrap();
    let (code, out, err) = handgrad(folder.path(), "plot log.csv");
    assert_eq!((code, out.as_str(), err.as_str()), (0, "wrote log.svg\n", ""));
    assert!(std::fs::read_to_string(folder.path().join("log.svg")).unwrap().contains("validation"));
    let (code, ..) = handgrad(folder.path(), "plot log.csv loss --out log.png --title 손실");
    assert!(code == 0 && std::fs::read(folder.path().join("log.png")).unwrap().starts_with(b"\x89PNG"));
    let (code, out, _) = handgrad(folder.path(), "plot activations relu tanh");
    assert_eq!((code, out.as_str()), (0, "wrote activations.svg\n"));

    std::fs::write(folder.path().join("bad.csv"), "epoch,loss\n0,high\n").unwrap();
    for (arguments, exit, words) in [
        ("plot bad.csv", 1, "line 2 has `high` for `loss`"),
        ("plot none.csv", 1, "cannot read none.csv"),
        ("plot log.csv --out log.jpg", 1, "end its name in .svg or .png"),
        ("plot log.csv lss", 2, "did you mean `loss`?"),
        ("plot activations rleu", 2, "did you mean `relu`?"),
    ] {
        let (code, _, err) = handgrad(folder.path(), arguments);
        assert!(code == exit && err.contains(words), "{arguments}: {code} {err}");
    }
}
