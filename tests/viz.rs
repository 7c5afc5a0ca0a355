//! Pictures: what is in the data is in the picture, as SVG that can be parsed and as PNG that can be decoded; and
//! whatever comes, there is a picture or an error.
#![cfg(feature = "viz")]

use handgrad::data::{Dataset, Features, Targets};
use handgrad::layers::{Conv2D, Dense, Flatten};
use handgrad::model::{Compile, Epoch, Fit, History, Scores};
use handgrad::viz::{self, Confusion, Picture};
use handgrad::{Activation, Device, Result, Sequential};
use proptest::prelude::*;
use resvg::tiny_skia::Pixmap;
use resvg::usvg::roxmltree::{Document, Node};

fn history(columns: &[(&str, &[f64])]) -> History {
    let epochs = columns.iter().map(|(_, values)| values.len()).max().unwrap_or(0);
    let epoch = |i: usize| Epoch {
        seconds: 1.0,
        scores: Scores(columns.iter().filter_map(|(n, v)| Some((n.to_string(), *v.get(i)?))).collect()),
    };
    History { epochs: (0..epochs).map(epoch).collect() }
}

/// Four images of 3 × 3 pixels, of classes 0, 1, 1 and 0.
fn images() -> Dataset {
    let x = Features::F32 { sample: [3, 3, 1].into(), values: (0..36).map(|i| i as f32 / 36.0).collect() };
    Dataset::new(x, Targets::labels(vec![0, 1, 1, 0])).unwrap()
}

fn model() -> Sequential {
    let mut model = Sequential::new()
        .device(&Device::reference())
        .with(Conv2D::new(5, 2).activation(Activation::Relu))
        .with(Flatten::new())
        .with(Dense::new(2).activation(Activation::Softmax));
    model.compile(Compile::new("sparse_categorical_crossentropy")).unwrap();
    model.fit(&images(), Fit::new().epochs(1).verbose(0)).unwrap();
    model
}

/// All texts of a picture, which must be XML.
fn texts(picture: &Picture) -> Vec<String> {
    let xml = Document::parse(picture.svg()).unwrap();
    xml.descendants().filter(|n| n.has_tag_name("text")).map(|n| n.text().unwrap_or("").to_string()).collect()
}

fn count(picture: &Picture, wanted: impl Fn(&Node) -> bool) -> usize {
    Document::parse(picture.svg()).unwrap().descendants().filter(wanted).count()
}

/// Rows and columns of every block of cells.
fn cells(picture: &Picture) -> Vec<(usize, usize)> {
    let xml = Document::parse(picture.svg()).unwrap();
    let number = |n: &Node, name: &str| n.attribute(name).unwrap().parse::<usize>().unwrap();
    let blocks = xml.descendants().filter(|n| n.attribute("class") == Some("cells"));
    blocks.map(|n| (number(&n, "data-rows"), number(&n, "data-columns"))).collect()
}

fn has(picture: &Picture, words: &[&str]) {
    let texts = texts(picture);
    for word in words {
        assert!(texts.iter().any(|t| t == word), "`{word}` is not in {texts:?}");
    }
}

/// Decodes the picture's PNG: twice the picture's size, and not blank.
fn pixels(picture: &Picture) -> Pixmap {
    let image = Pixmap::decode_png(&picture.png().unwrap()).unwrap();
    let (width, height) = picture.size();
    assert_eq!((image.width(), image.height()), (2 * width, 2 * height));
    let dark = image.pixels().iter().filter(|p| p.red() < 200 || p.blue() < 200).count();
    assert!(dark > 50, "{dark} pixels are not white");
    image
}

#[test]
fn curves_have_every_epoch_and_every_name() {
    let (loss, val) = (vec![0.9, 0.5, 0.4], vec![0.8, 0.6, 0.7]);
    let history =
        history(&[("loss", &loss), ("val_loss", &val), ("accuracy", &loss), ("val_accuracy", &val)]);
    let picture = viz::curves(&history).title("패션 MNIST 모델 <&>").legend("훈련", "검증").draw().unwrap();
    has(&picture, &["패션 MNIST 모델 <&>", "훈련", "검증", "loss", "accuracy", "epoch", "1", "2", "3"]);
    let lines =
        |n: &Node| n.has_tag_name("polyline") && n.attribute("points").unwrap().split(',').count() == 3;
    assert_eq!(count(&picture, lines), 4);
    assert_eq!(count(&picture, |n| n.attribute("class") == Some("mark")), 12 + 2, "and two in the legend");
    let dashed = |n: &Node| n.has_tag_name("polyline") && n.attribute("stroke-dasharray").is_some();
    assert_eq!(count(&picture, dashed), 3, "validation twice, and in the legend");
    pixels(&picture);
    assert!(viz::curves(&history).only(&["los"]).draw().unwrap_err().hint().unwrap().contains("`loss`"));
}

/// Hangul is drawn with the font that ships: other letters, other pixels, and no empty boxes.
#[test]
fn hangul_shows_in_a_png() {
    let history = history(&[("loss", &[1.0, 0.5])]);
    let title = |text: &str| pixels(&viz::curves(&history).title(text).draw().unwrap());
    let ink = |image: &Pixmap| {
        image.pixels()[..60 * image.width() as usize].iter().filter(|p| p.red() < 128).count()
    };
    let (korean, other, none) = (title("패션 모델"), title("하얀 구름"), title("\u{a0}"));
    assert!(korean.data() != other.data());
    assert!(ink(&korean) > ink(&none) + 200, "{} {}", ink(&korean), ink(&none));
}

#[test]
fn a_figure_that_is_no_number_is_a_gap_and_is_counted() {
    let picture =
        viz::curves(&history(&[("loss", &[1.0, f64::NAN, 0.5, 0.4, f64::INFINITY])])).draw().unwrap();
    has(&picture, &["2 figures are missing or no numbers"]);
    assert_eq!(count(&picture, |n| n.attribute("class") == Some("mark")), 3 + 1);
    let nothing = viz::curves(&history(&[("loss", &[f64::NAN])])).draw().unwrap();
    has(&nothing, &["no numbers"]);
    assert!(viz::curves(&History::default()).draw().is_err());
}

#[test]
fn images_have_their_pixels_labels_and_verdicts() {
    let (data, mut model) = (images(), model());
    let guesses = model.predict(data.x()).unwrap();
    let picture = viz::samples(&data).classes(&["바지", "Ankle boot"]).predictions(&guesses).draw().unwrap();
    assert_eq!(cells(&picture), [(3, 3); 4]);
    has(&picture, &["바지", "Ankle boot"]);
    let verdicts = texts(&picture).iter().filter(|t| t.starts_with(['✓', '✗'])).count();
    assert_eq!(verdicts, 4);
    pixels(&picture);
    has(&viz::sample(&data, 2).draw().unwrap(), &["sample 2: 1"]);
    assert!(viz::sample(&data, 4).draw().unwrap_err().to_string().contains("the dataset has 4"));
    let table = Dataset::from_rows(&[[1.0, 2.0, 3.0]], &[[1.0]]).unwrap();
    assert!(viz::samples(&table).draw().unwrap_err().to_string().contains("no images"));
}

#[test]
fn a_confusion_matrix_has_every_count() {
    let picture =
        viz::confusion(&[[50, 2, 0], [7, 41, 1], [0, 3, 99]]).classes(&["T-shirt/top", "가방", "Ankle boot"]);
    let picture = picture.draw().unwrap();
    assert_eq!(cells(&picture)[0], (3, 3));
    has(&picture, &["50", "41", "99", "7", "T-shirt/top", "가방", "Ankle boot", "actual", "predicted"]);
    pixels(&picture);
    let many = viz::confusion(&vec![vec![1; 700]; 700]).draw().unwrap();
    assert_eq!(cells(&many)[0], (700, 700));
    for wrong in [vec![], vec![vec![1, 2]], vec![vec![1; 3000]; 3000]] {
        assert!(viz::confusion(&wrong).draw().is_err());
    }
    let (data, mut model) = (images(), model());
    let guesses = model.predict(data.x()).unwrap();
    let of = Confusion::of(&data, &guesses).unwrap().draw().unwrap();
    let counts = texts(&of).iter().filter_map(|t| t.parse::<u32>().ok()).take(4).sum::<u32>();
    assert_eq!(counts, 4, "each sample is counted once");
}

#[test]
fn layers_show_their_filters_and_their_output() {
    let (data, mut model) = (images(), model());
    let filters = viz::filters(&mut model, "conv2d").draw().unwrap();
    assert_eq!(cells(&filters)[..5], [(2, 2); 5]);
    let maps = viz::feature_maps(&mut model, "conv2d", data.x(), 1).draw().unwrap();
    assert_eq!(cells(&maps)[..6], [(3, 3), (2, 2), (2, 2), (2, 2), (2, 2), (2, 2)]);
    pixels(&filters);
    pixels(&maps);
    let error = viz::filters(&mut model, "conv2").draw().unwrap_err();
    assert!(error.hint().unwrap().contains("conv2d"), "{error}");
    assert!(viz::filters(&mut model, "flatten").draw().is_err());
    assert!(viz::feature_maps(&mut model, "conv2d", data.x(), 4).draw().is_err());
    // The layer's own output: relu is in it, and the last layer's is the prediction, though the loss has its softmax.
    let conv = model.layer_output("conv2d", data.x()).unwrap();
    assert_eq!(conv.shape().dims(), [4, 2, 2, 5]);
    assert!(conv.to_vec().iter().all(|v| *v >= 0.0));
    let (last, all) = (model.layer_output("dense", data.x()).unwrap(), model.predict(data.x()).unwrap());
    assert_eq!(last.to_vec(), all.to_vec());
    assert!(last.to_vec().chunks(2).all(|row| (row[0] + row[1] - 1.0).abs() < 1e-5));
}

#[test]
fn functions_and_boundaries_are_drawn() {
    let all: Vec<Activation> = Activation::NAMES.iter().map(|name| name.parse().unwrap()).collect();
    let picture = viz::activations(&all).title("활성화 함수").draw().unwrap();
    has(&picture, &Activation::NAMES);
    pixels(&picture);
    assert!(viz::activations(&[]).draw().is_err());
    assert!(viz::activations(&all).range(1.0, f64::NAN).draw().is_err());

    let xor =
        Dataset::from_rows(&[[0., 0.], [0., 1.], [1., 0.], [1., 1.]], &[[0.], [1.], [1.], [0.]]).unwrap();
    let mut model = Sequential::new().device(&Device::reference()).with(Dense::new(1));
    model.build([2]).unwrap();
    let picture = viz::boundary(&mut model, &xor).title("XOR").classes(&["거짓", "참"]).draw().unwrap();
    assert_eq!(cells(&picture)[0], (160, 160));
    assert_eq!(count(&picture, |n| n.attribute("class") == Some("mark")), 2 * 4 + 2, "four points with rims");
    has(&picture, &["거짓", "참", "x₁", "x₂"]);
    pixels(&picture);
    let mut other = Sequential::new().device(&Device::reference()).with(Dense::new(1));
    assert!(viz::boundary(&mut other, &images()).draw().unwrap_err().to_string().contains("two inputs"));
}

/// Data sorted by class, of which not all is drawn, and data that repeats itself: every class is in the legend and has
/// points in the picture.
#[test]
fn a_boundary_shows_every_class_of_sorted_data() {
    let mut model = Sequential::new().device(&Device::reference()).with(Dense::new(3));
    model.build([2]).unwrap();
    for class_of in [|i: usize| i as u32 / 2000, |i: usize| i as u32 % 3] {
        let values = (0..6000).flat_map(|i| [(i % 77) as f32, (i / 77) as f32]).collect();
        let x = Features::F32 { sample: 2.into(), values };
        let data = Dataset::new(x, Targets::labels((0..6000).map(class_of).collect())).unwrap();
        let names = ["가", "나", "다"];
        let picture = viz::boundary(&mut model, &data).classes(&names).draw().unwrap();
        has(&picture, &names);
        has(&picture, &["2000 of 6000 samples are drawn, chosen at random"]);
        assert_eq!(count(&picture, |n| n.attribute("class") == Some("mark")), 2000 + 3);
        for class in 0..3 {
            let [r, g, b] = viz::palette::Look::number(class).colour;
            let colour = format!("#{r:02x}{g:02x}{b:02x}");
            let own = |n: &Node| {
                n.attribute("class") == Some("mark") && n.attribute("fill") == Some(colour.as_str())
            };
            let points = count(&picture, own);
            assert!((500..800).contains(&points), "{points} points of class {class}");
        }
    }
}

#[test]
fn files_are_what_their_endings_say() -> Result<()> {
    let folder = tempfile::tempdir().unwrap();
    let picture = viz::activations(&[Activation::Tanh]).draw()?;
    let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    picture.save(folder.path().join("a.svg"))?;
    picture.save(folder.path().join("a.PNG"))?;
    assert!(read("a.svg").starts_with(b"<svg") && read("a.PNG").starts_with(b"\x89PNG"));
    for wrong in ["a.jpg", "a", ""] {
        assert!(
            picture.save(folder.path().join(wrong)).unwrap_err().hint().unwrap().contains(".svg or .png")
        );
    }
    assert!(
        picture.save(folder.path().join("no/a.svg")).unwrap_err().to_string().starts_with("cannot write")
    );
    Ok(())
}

/// A number as trainings have them, and as they should not.
fn figure() -> impl Strategy<Value = f64> {
    prop_oneof![4 => -10.0..10.0, 2 => any::<f64>(), 1 => Just(0.25), 1 => Just(f64::NAN), 1 => Just(f64::INFINITY)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever a history holds, its curves are XML on paper of a sane size, without NaN in any coordinate.
    #[test]
    fn any_history_is_drawn_or_refused(
        loss in prop::collection::vec(figure(), 0..60),
        val in prop::collection::vec(figure(), 0..60),
        title in any::<String>(),
        repeat in prop_oneof![4 => Just(1_usize), 1 => Just(200)],
    ) {
        let (loss, val) = (loss.repeat(repeat), val.repeat(repeat));
        let history = history(&[("loss", &loss), ("val_loss", &val)]);
        match viz::curves(&history).title(title).draw() {
            Ok(picture) => {
                prop_assert!(!history.epochs.is_empty());
                let xml = Document::parse(picture.svg()).unwrap();
                for node in xml.descendants().filter(|n| n.has_tag_name("polyline") || n.has_tag_name("circle")) {
                    let numbers = node.attribute("points").or(node.attribute("cy")).unwrap();
                    let inside = |n: &str| n.parse::<f64>().is_ok_and(|n| (-1.0..9000.0).contains(&n));
                    prop_assert!(numbers.split([' ', ',']).all(inside), "{}", numbers);
                }
            }
            Err(e) => prop_assert!(history.epochs.is_empty(), "{}", e),
        }
    }

    /// The same of counts.
    #[test]
    fn any_counts_are_drawn_or_refused(
        counts in prop::collection::vec(prop::collection::vec(any::<u64>(), 0..8), 0..8),
    ) {
        let n = counts.len();
        let square = n > 0 && counts.iter().all(|row| row.len() == n);
        let drawn = viz::confusion(&counts).draw();
        prop_assert_eq!(drawn.is_ok(), square);
        if let Ok(picture) = drawn {
            prop_assert!(Document::parse(picture.svg()).is_ok());
        }
    }
}
