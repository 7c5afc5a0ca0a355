//! From a table's columns to the numbers that a model works with: learned from the training rows, applied to all others.
//!
//! | column | becomes |
//! |---|---|
//! | numbers | one number: as it is, (x − mean) / deviation, or (x − smallest) / (largest − smallest) |
//! | texts, one-hot | one number for each different text: 1 for the one it is, 0 for the others |
//! | texts, by label | one number: the text's place in the alphabet, scaled as numbers are |
//!
//! Deviations are those of the whole training part (divided by N), as in scikit-learn's StandardScaler and Keras's
//! Normalization.

use super::features::Features;
use super::table::{Cells, Column, CsvFile, CsvOptions, MISSING, Spelling, Table, shortened};
use crate::error::{Error, Result};
use crate::shape::Shape;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// How columns of numbers are scaled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scaling {
    /// Not at all.
    #[default]
    None,
    /// To mean 0 and standard deviation 1.
    Standardize,
    /// To 0 ..= 1.
    MinMax,
}

/// How columns of texts become numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextEncoding {
    /// One number for each different text.
    #[default]
    OneHot,
    /// One number: for texts that have an order, or very many of them.
    Label,
}

/// What is done about missing cells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// They are an error.
    #[default]
    Refuse,
    /// Their rows are left out.
    Drop,
    /// The column's mean stands in; of texts, the most frequent.
    Mean,
    /// The column's median stands in; of texts, the most frequent.
    Median,
    /// The column's most frequent value stands in, the smallest of equally frequent ones.
    MostFrequent,
}

/// What [`Preprocessing::fit`] is to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Preparation {
    /// With numbers.
    pub scaling: Scaling,
    /// With texts.
    pub texts: TextEncoding,
    /// With missing cells.
    pub missing: Missing,
}

/// What the training rows taught about each column: how new rows become a model's input.
///
/// ```
/// use handgrad::data::{CsvOptions, Preparation, Preprocessing, Scaling, Table};
/// let read = |text: &str| Table::from_csv(text.as_bytes(), "birds.csv", &CsvOptions::default());
/// let train = read("mass,island\n3000,Dream\n5000,Biscoe\n")?;
/// let how = Preparation { scaling: Scaling::Standardize, ..Preparation::default() };
/// let fitted = Preprocessing::fit(&train, &["mass", "island"], how)?;
/// assert_eq!(fitted.feature_names(), ["mass", "island=Biscoe", "island=Dream"]);
/// let new = fitted.transform(&read("island,mass\nDream,4500\n")?)?;
/// assert_eq!(new.x.values_of(0), [0.5, 0.0, 1.0]);
/// # Ok::<(), handgrad::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocessing {
    columns: Vec<Fitted>,
    missing: Missing,
    /// How the training table's cells were read: other tables are read alike, or the same cell would mean another thing.
    #[serde(default)]
    spelling: Spelling,
}

/// What was learned of one column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fitted {
    name: String,
    kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Kind {
    Number { scale: Scale, fill: Option<f64> },
    Text { levels: Vec<String>, encoding: TextEncoding, scale: Scale, fill: Option<usize> },
}

/// (x − shift) / by.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scale {
    /// What is subtracted.
    pub shift: f64,
    /// What is divided by.
    pub by: f64,
}

impl Scale {
    /// Changes nothing.
    pub const NONE: Scale = Scale { shift: 0.0, by: 1.0 };

    /// Learned from `values`. A column that never changes is shifted only.
    pub fn fit(values: &[f64], scaling: Scaling) -> Scale {
        let (shift, by) = match scaling {
            Scaling::None => return Scale::NONE,
            _ if values.is_empty() => return Scale::NONE,
            Scaling::Standardize => {
                let n = values.len() as f64;
                let mean = values.iter().map(|v| v / n).sum::<f64>();
                let spread = values.iter().map(|v| (v - mean).abs()).fold(0.0, f64::max);
                // Divided by the largest distance first: squares of large numbers overflow.
                let square = |v: &f64| ((v - mean) / spread).powi(2) / n;
                (
                    mean,
                    if spread > 0.0 { spread * values.iter().map(square).sum::<f64>().sqrt() } else { 0.0 },
                )
            }
            Scaling::MinMax => {
                let least = values.iter().copied().fold(f64::INFINITY, f64::min);
                let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                (least, most - least)
            }
        };
        match shift.is_finite() && by.is_finite() {
            true => Scale { shift, by: if by > 0.0 { by } else { 1.0 } },
            false => Scale::NONE, // numbers near the end of f64; what comes out of them is checked
        }
    }

    /// From the column's units to the model's.
    pub fn apply(self, x: f64) -> f64 {
        (x - self.shift) / self.by
    }

    /// From the model's units to the column's.
    pub fn undo(self, y: f64) -> f64 {
        y * self.by + self.shift
    }

    /// Whether it can be applied and undone.
    pub(super) fn is_sound(self) -> bool {
        self.shift.is_finite() && self.by.is_finite() && self.by != 0.0
    }
}

/// Rows of a table as a model sees them.
#[derive(Clone, Debug, PartialEq)]
pub struct Transformed {
    /// The numbers.
    pub x: Features,
    /// Which rows of the table they are: all, or those without missing cells under [`Missing::Drop`].
    pub rows: Vec<usize>,
    /// Texts that the training rows did not have, in a sentence for each column.
    pub notes: Vec<String>,
}

impl Preprocessing {
    /// Learns from the training rows of `table` how the columns `inputs` become numbers, in that order.
    ///
    /// # Errors
    /// No column, one that is not there, one without any value, one that mixes numbers and texts or has too many
    /// different texts; a missing cell under [`Missing::Refuse`].
    pub fn fit(table: &Table, inputs: &[&str], how: Preparation) -> Result<Preprocessing> {
        if inputs.is_empty() {
            return Err(table.wrong("no column is left to learn from", "leave fewer columns out"));
        }
        let mut columns = Vec::with_capacity(inputs.len());
        for name in inputs {
            let column = table.column(name)?;
            column.check_usable(table)?;
            if column.missing() == table.len() {
                return Err(table.wrong(
                    format!("column `{name}` has no value at all in the rows to train on"),
                    format!("leave it out: --drop '{name}'"),
                ));
            }
            if how.missing == Missing::Refuse {
                refuse_missing(table, column)?;
            }
            columns.push(Fitted { name: name.to_string(), kind: fit_column(column, how) });
        }
        Ok(Preprocessing { columns, missing: how.missing, spelling: table.spelling().clone() })
    }

    /// Reads a table as the one was read that it learned from: what meant that a cell is missing there means it here, a
    /// column of texts is one, and so is a decimal comma. What `options` say comes on top of that.
    ///
    /// # Errors
    /// As [`Table::read_csv`]. A column that is missing is no error before [`transform`](Preprocessing::transform) needs
    /// it.
    pub fn read_csv(&self, path: impl AsRef<Path>, options: &CsvOptions) -> Result<Table> {
        self.table(&CsvFile::read(path)?, options)
    }

    /// The same of a file in memory.
    ///
    /// # Errors
    /// As [`read_csv`](Preprocessing::read_csv), but for the system's.
    pub fn table(&self, file: &CsvFile, options: &CsvOptions) -> Result<Table> {
        file.spelled(options, &self.spelling)
    }

    /// Turns the rows of `table` into numbers, as the training rows were.
    ///
    /// A text that the training rows did not have is none of them under one-hot encoding, and is noted; as a label
    /// it is an error.
    ///
    /// # Errors
    /// A column is missing or of another type; a missing cell under [`Missing::Refuse`]; a number too large for `f32`;
    /// no row is left.
    pub fn transform(&self, table: &Table) -> Result<Transformed> {
        let columns: Vec<&Column> =
            self.columns.iter().map(|f| table.column(&f.name)).collect::<Result<_>>()?;
        for (fitted, column) in self.columns.iter().zip(&columns) {
            column.check_usable(table)?;
            match (&fitted.kind, &column.cells) {
                (Kind::Number { .. }, Cells::Texts { levels, codes }) => {
                    let row = codes.iter().position(|&c| c != MISSING).unwrap_or(0);
                    return Err(table.wrong(
                        format!(
                            "line {}: column `{}` has `{}`",
                            table.line(row),
                            fitted.name,
                            shortened(&levels[codes[row] as usize])
                        ),
                        "the model was trained on numbers there: correct the column, or train on texts",
                    ));
                }
                _ if self.missing == Missing::Refuse => refuse_missing(table, column)?,
                _ => {}
            }
        }
        let whole = |&i: &usize| self.missing != Missing::Drop || !columns.iter().any(|c| c.is_missing(i));
        let rows: Vec<usize> = (0..table.len()).filter(whole).collect();
        if rows.is_empty() {
            return Err(table.wrong(
                "every row has a missing cell, none is left",
                "fill them instead: --missing mean, median or most-frequent",
            ));
        }
        let width = self.width();
        let sample = Shape::new(&[width])?;
        let numbers = Shape::new(&[rows.len(), width])?.len();
        let mut values = vec![0f32; numbers];
        let mut notes = Vec::new();
        let mut at = 0;
        for (fitted, column) in self.columns.iter().zip(columns) {
            let mut write = |k: usize, j: usize, x: f64| {
                let x = x as f32;
                values[k * width + at + j] = x;
                if x.is_finite() { Ok(()) } else { Err(too_large(table, &fitted.name, rows[k])) }
            };
            match &fitted.kind {
                Kind::Number { scale, fill } => {
                    let Cells::Numbers(cells) = &column.cells else { continue };
                    for (k, &i) in rows.iter().enumerate() {
                        let x = if cells[i].is_nan() { fill.unwrap_or(scale.shift) } else { cells[i] };
                        write(k, 0, scale.apply(x))?;
                    }
                }
                Kind::Text { levels, encoding, scale, fill } => {
                    let places = places(column, levels, *fill);
                    let (mut strangers, mut first) = (0, None);
                    for (k, &i) in rows.iter().enumerate() {
                        match (places[i], encoding) {
                            (Some(place), TextEncoding::OneHot) => write(k, place, 1.0)?,
                            (Some(place), TextEncoding::Label) => write(k, 0, scale.apply(place as f64))?,
                            (None, TextEncoding::OneHot) => {
                                strangers += 1;
                                first = first.or(Some(i));
                            }
                            (None, TextEncoding::Label) => return Err(stranger(table, column, levels, i)),
                        }
                    }
                    if let Some(i) = first {
                        notes.push(format!(
                            "column `{}`: {strangers} of {} rows have a text that the training rows did not have, \
                             as `{}` in line {}: it counts as none of those known",
                            fitted.name,
                            rows.len(),
                            shortened(&column.text(i).unwrap_or_default()),
                            table.line(i),
                        ));
                    }
                }
            }
            at += fitted.width();
        }
        let x = Features::F32 { sample, values };
        x.check()?;
        Ok(Transformed { x, rows, notes })
    }

    /// How many numbers a row becomes.
    pub fn width(&self) -> usize {
        self.columns.iter().map(Fitted::width).sum()
    }

    /// The columns it reads, in order.
    pub fn columns(&self) -> Vec<&str> {
        self.columns.iter().map(|f| f.name.as_str()).collect()
    }

    /// What each number of a row is: the column's name, and for a one-hot column `name=text`.
    pub fn feature_names(&self) -> Vec<String> {
        let of = |f: &Fitted| match &f.kind {
            Kind::Text { levels, encoding: TextEncoding::OneHot, .. } => {
                levels.iter().map(|level| format!("{}={level}", f.name)).collect()
            }
            _ => vec![f.name.clone()],
        };
        self.columns.iter().flat_map(of).collect()
    }

    /// Whether it is what [`fit`](Preprocessing::fit) could have made: asked of what comes out of a file.
    pub(super) fn is_sound(&self) -> bool {
        let sound = |f: &Fitted| match &f.kind {
            Kind::Number { scale, fill } => scale.is_sound() && fill.is_none_or(f64::is_finite),
            Kind::Text { levels, scale, fill, .. } => {
                scale.is_sound() && !levels.is_empty() && fill.is_none_or(|f| f < levels.len())
            }
        };
        !self.columns.is_empty() && self.columns.iter().all(sound)
    }
}

impl Fitted {
    fn width(&self) -> usize {
        match &self.kind {
            Kind::Text { levels, encoding: TextEncoding::OneHot, .. } => levels.len(),
            _ => 1,
        }
    }
}

/// Where the text of each row stands among those of the training rows, which are sorted; `fill` where it is missing.
fn places(column: &Column, levels: &[String], fill: Option<usize>) -> Vec<Option<usize>> {
    let place = |text: &String| levels.binary_search(text).ok();
    match &column.cells {
        Cells::Texts { levels: own, codes } => {
            let of_code: Vec<Option<usize>> = own.iter().map(place).collect();
            codes.iter().map(|&c| if c == MISSING { fill } else { of_code[c as usize] }).collect()
        }
        // A column that was texts in training and looks like numbers now.
        Cells::Numbers(numbers) => {
            let row = |i| if column.is_missing(i) { fill } else { place(&column.text(i)?) };
            (0..numbers.len()).map(row).collect()
        }
        Cells::Varied => Vec::new(), // refused before
    }
}

fn fit_column(column: &Column, how: Preparation) -> Kind {
    match &column.cells {
        Cells::Numbers(cells) => {
            let present: Vec<f64> = cells.iter().copied().filter(|x| !x.is_nan()).collect();
            let fill = match how.missing {
                Missing::Refuse | Missing::Drop => None,
                Missing::Mean => Some(Scale::fit(&present, Scaling::Standardize).shift),
                Missing::Median => Some(median(&present)),
                Missing::MostFrequent => Some(most_frequent(&present)),
            };
            // What stands in for missing cells is seen in training too, and shapes the mean and the deviation.
            let filled: Vec<f64> =
                cells.iter().filter_map(|&x| if x.is_nan() { fill } else { Some(x) }).collect();
            Kind::Number { scale: Scale::fit(&filled, how.scaling), fill }
        }
        Cells::Texts { levels, codes } => {
            let mut counts = vec![0usize; levels.len()];
            codes.iter().filter(|&&c| c != MISSING).for_each(|&c| counts[c as usize] += 1);
            let mut seen: Vec<(&String, usize)> = levels.iter().zip(counts).filter(|&(_, n)| n > 0).collect();
            seen.sort();
            let fill = match how.missing {
                Missing::Refuse | Missing::Drop => None,
                _ => (0..seen.len()).rev().max_by_key(|&i| seen[i].1), // the first of equally frequent ones
            };
            let levels: Vec<String> = seen.into_iter().map(|(text, _)| text.clone()).collect();
            let scale = match how.texts {
                TextEncoding::OneHot => Scale::NONE,
                TextEncoding::Label => {
                    let places = places(column, &levels, fill).into_iter().flatten();
                    Scale::fit(&places.map(|p| p as f64).collect::<Vec<_>>(), how.scaling)
                }
            };
            Kind::Text { levels, encoding: how.texts, scale, fill }
        }
        Cells::Varied => Kind::Number { scale: Scale::NONE, fill: None }, // refused before
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => 0.0,
        n if n % 2 == 1 => sorted[middle],
        _ => sorted[middle - 1] / 2.0 + sorted[middle] / 2.0,
    }
}

fn most_frequent(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let runs = sorted.chunk_by(|a, b| a == b).map(|run| (run.len(), run[0]));
    runs.fold((0, 0.0), |best, run| if run.0 > best.0 { run } else { best }).1
}

fn refuse_missing(table: &Table, column: &Column) -> Result<()> {
    let Some(row) = (0..table.len()).find(|&i| column.is_missing(i)) else { return Ok(()) };
    Err(table.wrong(
        format!(
            "column `{}` has nothing in {} rows, the first in line {}",
            column.name,
            column.missing(),
            table.line(row)
        ),
        "say what to do: --missing drop, mean, median or most-frequent",
    ))
}

fn too_large(table: &Table, name: &str, row: usize) -> Error {
    table.wrong(
        format!("line {}: the number in column `{name}` is too large for a model", table.line(row)),
        "correct it, or scale the column in the file",
    )
}

fn stranger(table: &Table, column: &Column, levels: &[String], row: usize) -> Error {
    let text = shortened(&column.text(row).unwrap_or_default());
    let known: Vec<&str> = levels.iter().map(String::as_str).take(40).collect();
    let hint = match Error::unknown("text", &text, &known).hint() {
        Some(hint) => hint.to_string(),
        None => String::new(),
    };
    let (line, name) = (table.line(row), &column.name);
    table.wrong(
        format!("line {line}: column `{name}` has `{text}`, which no training row had"),
        format!("{hint}; one-hot encoding takes an unknown text as none of the known"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::CsvOptions;

    fn table(text: &str) -> Table {
        Table::from_csv(text.as_bytes(), "t.csv", &CsvOptions::default()).unwrap()
    }

    fn rows(t: &Transformed) -> Vec<Vec<f32>> {
        (0..t.x.len()).map(|i| t.x.values_of(i)).collect()
    }

    fn fit(text: &str, inputs: &[&str], how: Preparation) -> Preprocessing {
        Preprocessing::fit(&table(text), inputs, how).unwrap()
    }

    const MIXED: &str = "n,t,m\n2,b,1\n4,a,NA\n6,b,3\n8,,5\n";

    #[test]
    fn scalings_are_those_of_scikit_learn() {
        let how = |scaling| Preparation { scaling, ..Preparation::default() };
        let values =
            |scaling| rows(&fit(MIXED, &["n"], how(scaling)).transform(&table(MIXED)).unwrap()).concat();
        assert_eq!(values(Scaling::None), [2., 4., 6., 8.]);
        assert_eq!(values(Scaling::MinMax), [0., 1. / 3., 2. / 3., 1.]);
        let s = 5f64.sqrt(); // the deviation over N
        assert_eq!(values(Scaling::Standardize), [-3. / s, -1. / s, 1. / s, 3. / s].map(|v| v as f32));
    }

    #[test]
    fn constants_and_giants_do_not_divide_by_nothing() {
        let constant = Scale::fit(&[7.0; 3], Scaling::Standardize);
        assert_eq!((constant, constant.apply(7.0)), (Scale { shift: 7.0, by: 1.0 }, 0.0));
        assert_eq!(Scale::fit(&[7.0; 3], Scaling::MinMax).apply(7.0), 0.0);
        let huge = Scale::fit(&[-1e308, 1e308], Scaling::Standardize);
        assert!((huge.apply(1e308) - 1.0).abs() <= 1e-12, "{huge:?}");
        assert_eq!(Scale::fit(&[-1.7e308, 1.7e308], Scaling::MinMax), Scale::NONE);
        let e = fit("n\n1\n", &["n"], Preparation::default()).transform(&table("n\n2\n1e39\n")).unwrap_err();
        assert_eq!(e.to_string(), "t.csv: line 3: the number in column `n` is too large for a model");
    }

    #[test]
    fn missing_cells_are_filled_with_what_was_asked() {
        let text = "n,t\n1,b\n1,b\n4,a\nNA,\n10,a\n";
        let last = |missing| {
            let how = Preparation { missing, ..Preparation::default() };
            rows(&fit(text, &["n", "t"], how).transform(&table(text)).unwrap())[3].clone()
        };
        assert_eq!(last(Missing::Mean), [4., 1., 0.]);
        assert_eq!(last(Missing::Median), [2.5, 1., 0.]);
        assert_eq!(last(Missing::MostFrequent), [1., 1., 0.]);
        let how = Preparation { missing: Missing::Drop, ..Preparation::default() };
        let dropped = fit(text, &["n", "t"], how).transform(&table(text)).unwrap();
        assert_eq!(dropped.rows, [0, 1, 2, 4]);
        let e = Preprocessing::fit(&table(text), &["t"], Preparation::default()).unwrap_err();
        assert_eq!(e.to_string(), "t.csv: column `t` has nothing in 1 rows, the first in line 5");
    }

    /// Only the training rows teach: what new rows hold changes nothing.
    #[test]
    fn new_rows_are_seen_with_the_training_rows_eyes() {
        let how =
            Preparation { scaling: Scaling::Standardize, missing: Missing::Mean, ..Preparation::default() };
        let fitted = fit("n,t\n0,x\n2,y\n", &["n", "t"], how);
        let new = fitted.transform(&table("t,extra,n\ny,1,100\nz,2,\n")).unwrap();
        assert_eq!(rows(&new), [[99., 0., 1.], [0., 0., 0.]]);
        assert!(new.notes[0].contains("`z` in line 3") && new.notes.len() == 1, "{:?}", new.notes);
    }

    #[test]
    fn labels_are_places_in_the_alphabet() {
        let how = Preparation { texts: TextEncoding::Label, ..Preparation::default() };
        let fitted = fit("t\nb\nc\na\n", &["t"], how);
        assert_eq!(rows(&fitted.transform(&table("t\nc\na\n")).unwrap()).concat(), [2., 0.]);
        let e = fitted.transform(&table("t\na\nd\n")).unwrap_err();
        assert_eq!(e.to_string(), "t.csv: line 3: column `t` has `d`, which no training row had");
    }

    #[test]
    fn columns_that_changed_their_type() {
        let numbers = fit("n\n1\n2\n", &["n"], Preparation::default());
        let e = numbers.transform(&table("n\n\nx\n")).unwrap_err();
        assert!(e.to_string().contains("line 3: column `n` has `x`"), "{e}");
        let options = CsvOptions { text: vec!["zip".into()], ..CsvOptions::default() };
        let zips = Table::from_csv(b"zip\n10\n20\n", "t", &options).unwrap();
        let fitted = Preprocessing::fit(&zips, &["zip"], Preparation::default()).unwrap();
        assert_eq!(rows(&fitted.transform(&table("zip\n20\n")).unwrap()), [[0., 1.]]);
        let e = numbers.transform(&table("m\n1\n")).unwrap_err();
        assert_eq!(e.to_string(), "unknown column `n`");
    }

    /// The same cell means the same thing in every table that a model sees.
    #[test]
    fn new_tables_are_read_as_the_first_was() {
        let options = CsvOptions {
            missing: vec!["-999".into()],
            text: vec!["zip".into(), "y".into()],
            decimal_comma: true,
            ..CsvOptions::default()
        };
        let text = "n,zip,id,y\n\"1,5\",007,a1,01\n-999,7,b,02\n\"4,5\",7,3,01\n";
        let first = Table::from_csv(text.as_bytes(), "t.csv", &options).unwrap();
        let how = Preparation { missing: Missing::Mean, ..Preparation::default() };
        let fitted = Preprocessing::fit(&first, &["n", "zip", "id"], how).unwrap();
        let fitted: Preprocessing = serde_json::from_str(&serde_json::to_string(&fitted).unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new.csv");
        std::fs::write(&path, "n,zip,id\n-999,007,3\n\"2,5\",7,3\nXX,7,3\n").unwrap();
        let more = CsvOptions { missing: vec!["XX".into()], ..CsvOptions::default() };
        let new = fitted.transform(&fitted.read_csv(&path, &more).unwrap()).unwrap();
        assert_eq!(
            rows(&new),
            [[3., 1., 0., 1., 0., 0.], [2.5, 0., 1., 1., 0., 0.], [3., 0., 1., 1., 0., 0.]]
        );
        assert_eq!(new.notes, [] as [String; 0]);
    }

    #[test]
    fn what_it_learned_survives_a_file() {
        let how =
            Preparation { scaling: Scaling::Standardize, missing: Missing::Median, ..Preparation::default() };
        let fitted = fit("n,나이\n0.1,x\n2,\n,y\n", &["n", "나이"], how);
        let json = serde_json::to_string(&fitted).unwrap();
        let back: Preprocessing = serde_json::from_str(&json).unwrap();
        assert!(back == fitted && back.is_sound(), "{json}");
        let mut broken = serde_json::to_value(&fitted).unwrap();
        broken["columns"][0]["kind"]["number"]["scale"]["by"] = 0.into();
        let broken: Preprocessing = serde_json::from_value(broken).unwrap();
        assert!(!broken.is_sound());
    }
}
