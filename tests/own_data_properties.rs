//! Files of a person's own data as the world has them: whatever is done to a CSV, TOML or PNG file, reading it ends in data or
//! in one clear sentence, soon, and within four times its size and 64 MiB.

#[path = "support/held.rs"]
mod held;

use handgrad::data::{Cells, CsvOptions, Missing, Picture, Preparation, Preprocessing, Table, TextEncoding};
use handgrad::recipe::Recipe;
use proptest::prelude::*;

/// What came of reading, unless it held more memory than a file of that size may take.
fn bounded<T>(size: usize, read: impl FnOnce() -> T) -> Result<T, TestCaseError> {
    let (result, peak) = held::peak(read);
    prop_assert!(peak <= held::most(size), "{} bytes held for a file of {}", peak, size);
    Ok(result)
}

fn one_sentence(e: &handgrad::Error) -> Result<(), TestCaseError> {
    let text = e.to_string();
    prop_assert!(!text.is_empty() && !text.contains('\n') && text.len() < 4000, "{}", text);
    Ok(())
}

const CSV: &str = "name,\"mass, g\",island,n\n\"Al \"\"A\"\"\",3750,Dream,1\nBo,NA,Biscoe,2.5\n김,4100,,-3e2\nZoe,1e3,Dream,?\n";
const TOML: &str = "name = \"x\"\nloss = \"mse\"\nmetrics = [\"mae\"]\nepochs = 3\n[optimizer]\nname = \"adam\"\n\
learning_rate = 0.1\n[[layers]]\ntype = \"Dense\"\nunits = 4\nactivation = \"relu\"\nkernel_initializer = { class_name = \
\"RandomNormal\", config = { stddev = 0.1 } }\n[[layers]]\ntype = \"Dropout\"\nrate = 0.5\n[[layers]]\ntype = \"Dense\"\nunits = 1\n";

fn png() -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, 9, 7);
    encoder.set_color(png::ColorType::Rgba);
    let bytes: Vec<u8> = (0..9 * 7 * 4).map(|i| (i * 37 % 251) as u8).collect();
    encoder.write_header().unwrap().write_image_data(&bytes).unwrap();
    file
}

/// One way to break a file. Pieces are what the formats are made of, so that damage gets past the first check.
#[derive(Clone, Debug)]
enum Damage {
    Cut(prop::sample::Index),
    Flip(prop::sample::Index, u8),
    Insert(prop::sample::Index, Vec<u8>),
    Remove(prop::sample::Index, usize),
    Repeat(prop::sample::Index, usize, usize),
    Number(prop::sample::Index, u32),
}

impl Damage {
    fn apply(&self, file: &mut Vec<u8>) {
        let at = |index: &prop::sample::Index, n: usize| if n == 0 { 0 } else { index.index(n) };
        let n = file.len();
        match self {
            Damage::Cut(i) => file.truncate(at(i, n)),
            Damage::Flip(i, mask) => {
                let i = at(i, n);
                if let Some(byte) = file.get_mut(i) {
                    *byte ^= mask;
                }
            }
            Damage::Insert(i, bytes) => {
                let i = at(i, n);
                file.splice(i..i, bytes.iter().copied());
            }
            Damage::Remove(i, count) => {
                let i = at(i, n);
                file.drain(i..(i + count).min(n));
            }
            Damage::Repeat(i, count, times) => {
                let i = at(i, n);
                let piece = file[i..(i + count).min(n)].to_vec();
                file.splice(i..i, piece.repeat(*times));
            }
            Damage::Number(i, value) => {
                let i = at(i, n);
                if let Some(four) = file.get_mut(i..i + 4) {
                    four.copy_from_slice(&value.to_be_bytes());
                }
            }
        }
    }
}

fn any_damage(pieces: &'static [&'static str]) -> impl Strategy<Value = Vec<Damage>> {
    let index = any::<prop::sample::Index>;
    let piece = prop::sample::select(pieces).prop_map(|p| p.as_bytes().to_vec());
    let bytes = prop_oneof![piece, prop::collection::vec(any::<u8>(), 1..9)];
    let number = prop_oneof![any::<u32>(), 0u32..70_000, Just(u32::MAX), Just(1 << 31)];
    let one = prop_oneof![
        1 => index().prop_map(Damage::Cut),
        2 => (index(), 1u8..).prop_map(|(i, mask)| Damage::Flip(i, mask)),
        4 => (index(), bytes).prop_map(|(i, b)| Damage::Insert(i, b)),
        2 => (index(), 1usize..30).prop_map(|(i, n)| Damage::Remove(i, n)),
        2 => (index(), 1usize..60, 1usize..40).prop_map(|(i, n, times)| Damage::Repeat(i, n, times)),
        1 => (index(), number).prop_map(|(i, v)| Damage::Number(i, v)),
    ];
    prop::collection::vec(one, 1..4)
}

fn damaged(good: &[u8], damage: &[Damage]) -> Vec<u8> {
    let mut file = good.to_vec();
    damage.iter().for_each(|d| d.apply(&mut file));
    file
}

/// Row by row and cell by cell what the `csv` crate reads.
fn same_cells(file: &[u8], table: &Table) -> Result<(), TestCaseError> {
    let records: Result<Vec<csv::StringRecord>, _> = csv::Reader::from_reader(file).into_records().collect();
    let records = records.map_err(|e| TestCaseError::fail(e.to_string()))?;
    prop_assert_eq!(records.len(), table.len());
    for (i, record) in records.iter().enumerate() {
        prop_assert_eq!(record.len(), table.columns().len());
        for (cell, column) in record.iter().map(str::trim).zip(table.columns()) {
            let number = cell.parse().ok().filter(|n: &f64| n.is_finite());
            match &column.cells {
                Cells::Numbers(n) => prop_assert_eq!(number, Some(n[i]).filter(|n| !n.is_nan()), "{}", cell),
                Cells::Texts { levels, codes } if codes[i] != handgrad::data::MISSING => {
                    prop_assert_eq!(&levels[codes[i] as usize], cell);
                }
                _ => {}
            }
        }
    }
    Ok(())
}

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(2500))]

    /// Fails if a row or a cell is lost, made up or another one, if columns differ in length, or if preprocessing lets a
    /// number that is not finite through.
    #[test]
    fn damaged_tables(damage in any_damage(&["\"", ",", "\n", "\r\n", ";", "NA", "1e400", "inf", "-", "\u{feff}", "\0", "é"])) {
        let file = damaged(CSV.as_bytes(), &damage);
        match bounded(file.len(), || Table::from_csv(&file, "a.csv", &CsvOptions::default()))? {
            Err(e) => one_sentence(&e)?,
            Ok(table) => {
                prop_assert!(table.len() > 0);
                same_cells(&file, &table)?;
                for column in table.columns() {
                    let rows = match &column.cells {
                        Cells::Numbers(n) => {
                            prop_assert!(n.iter().all(|n| !n.is_infinite()));
                            n.len()
                        }
                        Cells::Texts { levels, codes } => {
                            prop_assert!(codes.iter().all(|&c| c == handgrad::data::MISSING || (c as usize) < levels.len()));
                            codes.len()
                        }
                        Cells::Varied => table.len(),
                    };
                    prop_assert_eq!(rows, table.len());
                }
                for missing in [Missing::Refuse, Missing::Drop, Missing::Mean, Missing::Median, Missing::MostFrequent] {
                    for texts in [TextEncoding::OneHot, TextEncoding::Label] {
                        let how = Preparation { missing, texts, scaling: handgrad::data::Scaling::Standardize };
                        let done = Preprocessing::fit(&table, &table.names(), how).and_then(|fitted| fitted.transform(&table));
                        match done {
                            Ok(done) => prop_assert!(done.x.check().is_ok() && done.x.len() == done.rows.len()),
                            Err(e) => one_sentence(&e)?,
                        }
                    }
                }
            }
        }
    }

    /// What is accepted must make a model; with what it then asks for in memory left to `build`.
    #[test]
    fn damaged_recipes(damage in any_damage(&["[", "]", "{", "}", "=", "\"", "\n", ".", "#", "99999999999999999999", "nan", "1979-05-27", "[[layers]]\n", "'''"])) {
        let file = damaged(TOML.as_bytes(), &damage);
        let text = String::from_utf8_lossy(&file);
        match bounded(text.len(), || Recipe::parse(&text, "m.toml"))? {
            Err(e) => {
                one_sentence(&e)?;
                prop_assert!(e.to_string().starts_with("m.toml: line "), "{}", e);
            }
            Ok(recipe) => prop_assert!(recipe.model(0).is_ok() && recipe.optimizer().is_ok()),
        }
    }

    #[test]
    fn damaged_pictures(damage in any_damage(&["IHDR", "IDAT", "PLTE", "tRNS", "IEND", "acTL", "\0\0\0\0", "zTXt"])) {
        let file = damaged(&png(), &damage);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        std::fs::write(&path, &file).unwrap();
        match bounded(file.len(), || Picture::read_png(&path))? {
            Err(e) => one_sentence(&e)?,
            Ok(picture) => {
                prop_assert_eq!(picture.bytes().len(), picture.height() * picture.width() * picture.colours().channels());
                let small = picture.resized(3, 5).unwrap();
                prop_assert_eq!((small.height(), small.width()), (3, 5));
            }
        }
    }
}

/// Files that are made to be large once read: many empty cells, one endless cell, texts that are all different, very many
/// columns, a picture of nothing, nested lists.
#[test]
fn small_files_stay_small() {
    let read = |bytes: &[u8]| {
        bounded(bytes.len(), || Table::from_csv(bytes, "a.csv", &CsvOptions::default()).map(drop)).unwrap()
    };
    let wide: String = (0..2000).map(|i| format!("c{i},")).collect::<String>() + "z\n";
    assert!(read((wide.clone() + &(",".repeat(2000) + "\n").repeat(500)).as_bytes()).is_ok());
    let e = read((wide + &(",".repeat(2000) + "\n").repeat(6000)).as_bytes()).unwrap_err();
    assert!(e.to_string().contains("too much for a file of its size"), "{e}");
    read(format!("a\n\"{}\"\n", "x".repeat(30 << 20)).as_bytes()).unwrap();
    read(format!("{}\n1\n", ",".repeat(1 << 20)).as_bytes()).unwrap_err();
    read(format!("a,b\n{}\n", "\"\n\",".repeat(1 << 18)).as_bytes()).unwrap_err();
    let ids: String = (0..300_000).map(|i| format!("i{i}\n")).collect();
    read(format!("id\n{ids}").as_bytes()).unwrap();

    let nested = format!("loss = {}{}\n", "[".repeat(100_000), "]".repeat(100_000));
    let e = bounded(nested.len(), || Recipe::parse(&nested, "m.toml")).unwrap().unwrap_err();
    assert!(e.to_string().starts_with("m.toml: line 1"), "{e}");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.png");
    let mut encoder = png::Encoder::new(std::fs::File::create(&path).unwrap(), 20_000, 20_000);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::One);
    encoder.write_header().unwrap().write_image_data(&vec![0; 2500 * 20_000]).unwrap();
    let size = std::fs::metadata(&path).unwrap().len() as usize;
    let e = bounded(size, || Picture::read_png(&path)).unwrap().unwrap_err();
    assert!(e.to_string().contains("20000 × 20000"), "{e}");
}
