//! What the numbers of a trained model stand for: saved beside its weights, so that it can be used on new data.

use super::preprocessing::{Preprocessing, Scale};
use super::table::{Cells, Table, shortened};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// How a person's data becomes a model's input, and what its output says.
///
/// ```
/// use handgrad::data::{Input, Meaning, Output};
/// let meaning = Meaning {
///     input: Input::Pictures { height: 28, width: 28, channels: 1 },
///     output: Output::Classes { target: "digit".into(), names: (0..10).map(|d| d.to_string()).collect() },
/// };
/// assert_eq!(Meaning::from_json(&meaning.to_json()?)?, meaning);
/// # Ok::<(), handgrad::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Meaning {
    /// What goes in.
    pub input: Input,
    /// What comes out.
    pub output: Output,
}

/// What goes in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Input {
    /// Rows of a table.
    Table(Preprocessing),
    /// Pictures, bytes worth 1/255.
    Pictures {
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
        /// 1 for grey, 3 for colours.
        channels: usize,
    },
}

/// What comes out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Output {
    /// A class: of two, the probability of the second may be all that comes out.
    Classes {
        /// The column that it was learned from, or what the classes are.
        target: String,
        /// The names, in the order of their numbers.
        names: Vec<String>,
    },
    /// A number.
    Number {
        /// The column that it was learned from.
        target: String,
        /// What was done to it before training.
        scale: Scale,
    },
}

impl Meaning {
    /// As it is kept in a file.
    ///
    /// # Errors
    /// Never for what `fit` made: a number in it that JSON cannot say.
    pub fn to_json(&self) -> Result<serde_json::Value> {
        serde_json::to_value(self).map_err(|e| {
            Error::data(format!("what the model's data means cannot be saved: {e}"), "train again")
        })
    }

    /// From a file.
    ///
    /// # Errors
    /// It was not written by [`to_json`](Meaning::to_json), or was changed since.
    pub fn from_json(json: &serde_json::Value) -> Result<Meaning> {
        let wrong = |why: String| {
            Error::data(
                format!("what the model says of its data makes no sense: {why}"),
                "the file was changed, or written by another version: train and save the model again",
            )
        };
        let meaning = Meaning::deserialize(json).map_err(|e| wrong(e.to_string()))?;
        let input = match &meaning.input {
            Input::Table(preprocessing) => preprocessing.is_sound(),
            Input::Pictures { height, width, channels } => {
                (1..1 << 14).contains(height) && (1..1 << 14).contains(width) && [1, 3].contains(channels)
            }
        };
        let output = match &meaning.output {
            Output::Classes { names, .. } => !names.is_empty(),
            Output::Number { scale, .. } => scale.is_sound(),
        };
        match (input, output) {
            (true, true) => Ok(meaning),
            (false, _) => Err(wrong("a number of its input is out of its range".into())),
            (_, false) => Err(wrong("a number of its output is out of its range".into())),
        }
    }
}

/// A column to be learned, in classes.
#[derive(Clone, Debug, PartialEq)]
pub struct Classes {
    /// Their names: texts in the order of the alphabet, numbers in theirs.
    pub names: Vec<String>,
    /// The class of each row; `None` where it is missing.
    pub of_row: Vec<Option<u32>>,
}

impl Table {
    /// The column `target` as classes.
    ///
    /// # Errors
    /// There is no such column, it has too many different texts, or but one class.
    pub fn classes(&self, target: &str) -> Result<Classes> {
        let column = self.column(target)?;
        column.check_usable(self)?;
        let mut names: Vec<String> = Vec::new();
        let of_row: Vec<Option<u32>> = match &column.cells {
            Cells::Texts { levels, codes } => {
                let mut used = vec![false; levels.len()];
                codes.iter().for_each(|&c| used.get_mut(c as usize).into_iter().for_each(|u| *u = true));
                let seen = levels.iter().zip(used).filter(|(_, used)| *used);
                names = seen.map(|(level, _)| level.clone()).collect();
                names.sort();
                let place: Vec<Option<u32>> =
                    levels.iter().map(|level| names.binary_search(level).ok().map(|i| i as u32)).collect();
                codes.iter().map(|&c| place.get(c as usize).copied().flatten()).collect()
            }
            Cells::Numbers(numbers) => {
                let mut seen: Vec<f64> =
                    numbers.iter().copied().filter(|n| !n.is_nan()).map(|n| n + 0.0).collect();
                seen.sort_unstable_by(f64::total_cmp);
                seen.dedup();
                if seen.len() <= MAX_CLASSES {
                    names = seen.iter().map(f64::to_string).collect();
                }
                let place =
                    |n: &f64| seen.binary_search_by(|s| s.total_cmp(&(n + 0.0))).ok().map(|i| i as u32);
                numbers.iter().map(|n| if n.is_nan() { None } else { place(n) }).collect()
            }
            Cells::Varied => Vec::new(), // refused above
        };
        let rows = of_row.iter().flatten().count();
        match names.len() {
            _ if rows == 0 => Err(self.wrong(
                format!("column `{target}` has no value at all"),
                "fill in what the model is to learn, or name another --target",
            )),
            1 => Err(self.wrong(
                format!(
                    "column `{target}` has one class alone (`{}`): there is nothing to tell apart",
                    shortened(&names[0])
                ),
                "add rows of another class, or name another --target",
            )),
            n if n == 0 || n > MAX_CLASSES || (n > 20 && 2 * n > rows) => Err(self.wrong(
                format!("column `{target}` has a class for nearly every row, in {rows} rows"),
                "name another --target, or learn a number: --task regression",
            )),
            _ => Ok(Classes { names, of_row }),
        }
    }

    /// The column `target` as numbers, NaN where it is missing.
    ///
    /// # Errors
    /// There is no such column, it is text, or has no number.
    pub fn numbers(&self, target: &str) -> Result<&[f64]> {
        let column = self.column(target)?;
        column.check_usable(self)?;
        match &column.cells {
            Cells::Numbers(numbers) if numbers.iter().any(|n| !n.is_nan()) => Ok(numbers),
            Cells::Numbers(_) => Err(self.wrong(
                format!("column `{target}` has no value at all"),
                "fill in what the model is to learn, or name another --target",
            )),
            _ => Err(self.wrong(
                format!("column `{target}` is text, and a regression learns numbers"),
                "learn its classes: --task classification, with a crossentropy as the loss",
            )),
        }
    }
}

/// More classes than a model for tables has.
const MAX_CLASSES: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{CsvOptions, Preparation};

    fn table(text: &str) -> Table {
        Table::from_csv(text.as_bytes(), "t.csv", &CsvOptions::default()).unwrap()
    }

    #[test]
    fn classes_have_an_order_of_their_own() {
        let words = table("y,x\nb,1\na,1\n,1\nb,1\n").classes("y").unwrap();
        assert_eq!(
            (words.names, words.of_row),
            (vec!["a".to_string(), "b".into()], vec![Some(1), Some(0), None, Some(1)])
        );
        let numbers = table("y\n10\n9\n-0\n0\n10\n").classes("y").unwrap();
        assert_eq!(
            (numbers.names, numbers.of_row[4]),
            (vec!["0".to_string(), "9".into(), "10".into()], Some(2))
        );
        let part = table("y\na\nb\nc\n").select(&[2, 0]).classes("y").unwrap();
        assert_eq!(part.names, ["a", "c"], "a class without rows is none");
    }

    #[test]
    fn targets_that_teach_nothing() {
        let error = |text: &str| table(text).classes("y").unwrap_err().to_string();
        assert!(error("y\na\na\n").contains("one class alone (`a`)"));
        assert!(error("y,x\n,1\nNA,2\n").contains("no value at all"));
        assert!(error("z\n1\n").contains("unknown column `y`"));
        let unique: String = (0..30).map(|i| format!("id{i}\n")).collect();
        assert!(error(&format!("y\n{unique}")).contains("a class for nearly every row"));
        assert!(
            table("y\na\nb\n").numbers("y").unwrap_err().hint().unwrap().contains("--task classification")
        );
        assert_eq!(table("y\n2\n\n3\n").numbers("y").unwrap(), [2.0, 3.0]);
    }

    #[test]
    fn what_was_changed_in_a_file_is_noticed() {
        let preprocessing = Preprocessing::fit(&table("x\n1\n2\n"), &["x"], Preparation::default()).unwrap();
        let output = Output::Number { target: "y".into(), scale: Scale { shift: 0.1, by: 3.0 } };
        let meaning = Meaning { input: Input::Table(preprocessing), output };
        let json = meaning.to_json().unwrap();
        assert_eq!(Meaning::from_json(&json).unwrap(), meaning);
        for (path, value) in
            [("/output/number/scale/by", 0.into()), ("/input/table/columns", serde_json::json!([]))]
        {
            let mut changed = json.clone();
            *changed.pointer_mut(path).unwrap() = value;
            assert!(Meaning::from_json(&changed).is_err(), "{path}");
        }
        assert!(Meaning::from_json(&serde_json::json!({"input": 3})).is_err());
    }
}
