//! Tables: named columns of numbers or texts, some cells of which may be missing.

mod csv;
mod file;

pub use csv::CsvOptions;
pub(super) use csv::Spelling;
pub use file::CsvFile;

use crate::error::{Error, Result};
use std::path::{Path, PathBuf};

/// Rows and named columns, as a CSV file has them.
///
/// ```
/// use handgrad::data::{Cells, CsvOptions, Table};
/// let text = "island,mass\nBiscoe,3750\n\"Dream\",NA\n";
/// let table = Table::from_csv(text.as_bytes(), "birds.csv", &CsvOptions::default())?;
/// assert_eq!((table.len(), table.names()), (2, vec!["island", "mass"]));
/// assert!(matches!(&table.column("mass")?.cells, Cells::Numbers(n) if n[0] == 3750. && n[1].is_nan()));
/// assert_eq!(table.column("maas").unwrap_err().to_string(), "unknown column `maas`");
/// # Ok::<(), handgrad::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    source: PathBuf,
    columns: Vec<Column>,
    /// The line of the file in which each row begins.
    lines: Vec<u32>,
    spelling: Spelling,
}

/// One column of a [`Table`].
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// What its header says.
    pub name: String,
    /// Its cells.
    pub cells: Cells,
    /// The first cell that is no number, where most are: a slip of the pen, or text after all.
    pub stray: Option<Stray>,
}

/// The cells of a [`Column`], all of one type.
#[derive(Clone, Debug, PartialEq)]
pub enum Cells {
    /// Numbers; NaN where one is missing.
    Numbers(Vec<f64>),
    /// Texts by number; [`MISSING`] where one is missing.
    Texts {
        /// The different texts, in the order in which they came.
        levels: Vec<String>,
        /// Each row's place among them.
        codes: Vec<u32>,
    },
    /// More different texts than a model could learn from, such as names: not kept.
    Varied,
}

/// A text among numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Stray {
    /// What it says.
    pub text: String,
    /// The line of the file.
    pub line: u32,
    /// How many cells of the column are numbers.
    pub numbers: usize,
}

/// The number of a text that is missing.
pub const MISSING: u32 = u32::MAX;

impl Table {
    /// How many rows; at least one.
    #[allow(clippy::len_without_is_empty)] // a table is never empty
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// The columns, in the file's order.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The names of the columns, in the file's order.
    pub fn names(&self) -> Vec<&str> {
        self.columns.iter().map(|c| c.name.as_str()).collect()
    }

    /// The file it came from.
    pub fn source(&self) -> &Path {
        &self.source
    }

    /// The line of the file in which row `i` begins; 0 if there is no such row.
    pub fn line(&self, i: usize) -> u32 {
        self.lines.get(i).copied().unwrap_or(0)
    }

    /// The column of that name.
    ///
    /// # Errors
    /// [`Mistake::UnknownName`](crate::Mistake::UnknownName) with the nearest.
    pub fn column(&self, name: &str) -> Result<&Column> {
        self.columns.iter().find(|c| c.name == name).ok_or_else(|| {
            let known: Vec<&str> = self.names().into_iter().take(40).collect();
            Error::unknown("column", name, &known)
        })
    }

    /// The rows at the given positions, in that order. Positions past the end are left out.
    pub fn select(&self, rows: &[usize]) -> Table {
        let rows: Vec<usize> = rows.iter().copied().filter(|&i| i < self.len()).collect();
        let column = |c: &Column| Column {
            name: c.name.clone(),
            cells: match &c.cells {
                Cells::Numbers(n) => Cells::Numbers(rows.iter().map(|&i| n[i]).collect()),
                Cells::Texts { levels, codes } => {
                    Cells::Texts { levels: levels.clone(), codes: rows.iter().map(|&i| codes[i]).collect() }
                }
                Cells::Varied => Cells::Varied,
            },
            stray: c.stray.clone(),
        };
        Table {
            source: self.source.clone(),
            columns: self.columns.iter().map(column).collect(),
            lines: rows.iter().map(|&i| self.lines[i]).collect(),
            spelling: self.spelling.clone(),
        }
    }

    /// A number as this table spells it: with a decimal comma if it does.
    pub fn spelled(&self, number: &str) -> String {
        match self.spelling.decimal_comma() && number.parse::<f64>().is_ok() {
            true => number.replace('.', ","),
            false => number.to_string(),
        }
    }

    /// How its cells were read.
    pub(super) fn spelling(&self) -> &Spelling {
        &self.spelling
    }

    /// An error about this table's file.
    pub(super) fn wrong(&self, problem: impl Into<String>, hint: impl Into<String>) -> Error {
        Error::format(&self.source, problem, hint)
    }
}

impl Column {
    /// Whether row `i` has nothing in this column.
    pub fn is_missing(&self, i: usize) -> bool {
        match &self.cells {
            Cells::Numbers(n) => n.get(i).is_none_or(|n| n.is_nan()),
            Cells::Texts { codes, .. } => codes.get(i).is_none_or(|&c| c == MISSING),
            Cells::Varied => false,
        }
    }

    /// How many rows have nothing in this column.
    pub fn missing(&self) -> usize {
        match &self.cells {
            Cells::Numbers(n) => n.iter().filter(|n| n.is_nan()).count(),
            Cells::Texts { codes, .. } => codes.iter().filter(|&&c| c == MISSING).count(),
            Cells::Varied => 0,
        }
    }

    /// Cell `i` as text; `None` if it is missing.
    pub fn text(&self, i: usize) -> Option<String> {
        match &self.cells {
            Cells::Numbers(n) => n.get(i).filter(|n| !n.is_nan()).map(f64::to_string),
            Cells::Texts { levels, codes } => levels.get(*codes.get(i)? as usize).cloned(),
            Cells::Varied => None,
        }
    }

    /// What a person is told of a column that mixes numbers and texts, or has too many texts to learn from.
    pub(super) fn check_usable(&self, table: &Table) -> Result<()> {
        let name = &self.name;
        if let Some(Stray { text, line, numbers }) = &self.stray {
            return Err(table.wrong(
                format!("line {line}: column `{name}` has `{}`, and {numbers} numbers", shortened(text)),
                format!(
                    "correct the cell, or say that it is missing (--missing-value '{0}'), that the column is \
                     text (--text '{name}'), or leave the column out (--drop '{name}')",
                    shortened(text)
                ),
            ));
        }
        match &self.cells {
            Cells::Varied => Err(table.wrong(
                format!("column `{name}` has too many different texts to learn from"),
                format!("leave it out (--drop '{name}'): names and numbers of rows teach a model nothing"),
            )),
            _ => Ok(()),
        }
    }
}

/// A cell as errors show it: the first 40 characters, in one line.
pub(super) fn shortened(text: &str) -> String {
    let more = if text.chars().nth(40).is_some() { "…" } else { "" };
    text.chars().take(40).map(|c| if c.is_control() { ' ' } else { c }).collect::<String>() + more
}
