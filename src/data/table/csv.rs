//! CSV (RFC 4180) in: a line with the columns' names, then a line for each row.
//!
//! The file is read twice from memory: first to count the rows and to see what each column holds, then to keep the cells.
//! What is kept is known before it is allocated, and refused beyond four times the file and 64 MiB.

use super::file::{CsvFile, MAX_COLUMNS, Next, Records, without_mark};
use super::{Cells, Column, MISSING, Stray, Table, shortened};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::Path;

/// How to read a CSV file.
#[derive(Clone, Debug, PartialEq)]
pub struct CsvOptions {
    /// What stands between two cells: `,` unless said otherwise.
    pub delimiter: u8,
    /// Whether `3,5` is three and a half, as in files whose delimiter is `;`.
    pub decimal_comma: bool,
    /// What else means that a cell is missing, besides nothing, `NA`, `N/A`, `NaN`, `null` and `?`.
    pub missing: Vec<String>,
    /// Columns whose numbers are names, such as postcodes.
    pub text: Vec<String>,
}

impl Default for CsvOptions {
    fn default() -> CsvOptions {
        CsvOptions { delimiter: b',', decimal_comma: false, missing: Vec::new(), text: Vec::new() }
    }
}

/// What the cells of a table mean: what of [`CsvOptions`] is true of other files of the same data too.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::data) struct Spelling {
    decimal_comma: bool,
    missing: Vec<String>,
    /// Columns of texts, whether that was asked or seen: what looks like numbers in the next file is texts there as well.
    text: Vec<String>,
}

/// What means that a cell is missing, in any file.
const NOTHING: [&str; 9] = ["", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "?"];

/// What a different text costs in memory besides its own bytes, at most: its place in the map while reading.
const LEVEL_COST: usize = 160;

impl Spelling {
    /// Whether `3,5` is three and a half.
    pub(super) fn decimal_comma(&self) -> bool {
        self.decimal_comma
    }
}

impl CsvOptions {
    /// With what `known` says besides.
    fn and(&self, known: &Spelling) -> CsvOptions {
        let both = |own: &[String], known: &[String]| [own, known].concat();
        CsvOptions {
            delimiter: self.delimiter,
            decimal_comma: self.decimal_comma || known.decimal_comma,
            missing: both(&self.missing, &known.missing),
            text: both(&self.text, &known.text),
        }
    }

    fn is_missing(&self, cell: &str) -> bool {
        NOTHING.contains(&cell) || self.missing.iter().any(|m| m == cell)
    }

    fn number(&self, cell: &str) -> Option<f64> {
        let number = match self.decimal_comma && cell.matches(',').count() == 1 {
            true => cell.replace(',', ".").parse(),
            false => cell.parse(),
        };
        number.ok().filter(|n: &f64| n.is_finite())
    }
}

impl Table {
    /// Reads a file whose first line names the columns.
    ///
    /// UTF-8, with or without a byte order mark; lines end in LF or CR LF; cells with delimiters, quotes or line ends
    /// stand in double quotes. A column is numbers if all its cells are that are not missing.
    ///
    /// # Errors
    /// The system cannot read it; it is not such a file; each error names the line and, where it can, the column.
    pub fn read_csv(path: impl AsRef<Path>, options: &CsvOptions) -> Result<Table> {
        CsvFile::read(path)?.table(options)
    }

    /// The same of bytes in memory; errors call them `name`.
    ///
    /// # Errors
    /// As [`read_csv`](Table::read_csv).
    pub fn from_csv(bytes: &[u8], name: impl AsRef<Path>, options: &CsvOptions) -> Result<Table> {
        Table::parse(bytes, name.as_ref(), options, &Spelling::default())
    }

    pub(super) fn parse(bytes: &[u8], name: &Path, options: &CsvOptions, known: &Spelling) -> Result<Table> {
        let wrong = |problem: String, hint: &str| Error::format(name, problem, hint);
        let bytes = without_mark(bytes);
        check_text(bytes).map_err(|(problem, hint)| wrong(problem, hint))?;
        if !options.delimiter.is_ascii() || b"\"\r\n".contains(&options.delimiter) {
            let delimiter = char::from(options.delimiter);
            return Err(Error::invalid(
                format!("cells cannot be separated by {delimiter:?}"),
                "give a comma, a semicolon, a tab or another single character",
            ));
        }

        let mut records = Records::new(bytes, options.delimiter);
        let names = header(&mut records, name, options)?;
        for text in &options.text {
            if !names.contains(text) {
                let known: Vec<&str> = names.iter().map(String::as_str).take(40).collect();
                return Err(Error::unknown("column", text, &known));
            }
        }
        let options = &options.and(known);
        let (rows, sketches) = survey(&mut records, name, &names, options)?;
        if rows == 0 {
            return Err(wrong("there is no row below the names of the columns".into(), "give at least one"));
        }
        let kept = rows.saturating_mul(8 * names.len() + 4);
        let buffers = 2 * records.text.len(); // they grow by copying
        drop(records);
        let room = bytes.len().saturating_mul(3).saturating_add(ROOM / 4 * 3).saturating_sub(buffers);
        if kept > room {
            return Err(wrong(
                format!(
                    "{rows} rows of {} cells take {} MiB, too much for a file of its size",
                    names.len(),
                    kept >> 20
                ),
                "most cells are empty or a digit: leave columns out of the file, or split it",
            ));
        }

        let mut records = Records::new(bytes, options.delimiter); // csv-core 0.1.13 clones half a reader
        records.next(); // from the beginning: a reader takes a mark off that, which may be a character of the first row
        records.ends = vec![0; names.len() + 1];
        keep(records, rows, &names, sketches, options, room - kept, name)
    }
}

/// What may be allocated beyond four times the file.
pub(super) const ROOM: usize = 64 << 20;

/// UTF-8, and no stream of zeros.
fn check_text(bytes: &[u8]) -> Result<(), (String, &'static str)> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err((
            "the file is empty".into(),
            "its first line names the columns, each line after it is a row",
        ));
    }
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(("the text is UTF-16".into(), "save it as UTF-8: in Excel, \"CSV UTF-8\""));
    }
    let at = match std::str::from_utf8(bytes) {
        Err(e) => e.valid_up_to(),
        Ok(_) => match bytes.iter().position(|&b| b == 0) {
            Some(at) => at,
            None => return Ok(()),
        },
    };
    let line = 1 + bytes[..at].iter().filter(|&&b| b == b'\n').count();
    let problem = format!("line {line} has a byte 0x{:02x}, which is not UTF-8 text", bytes[at]);
    Err((problem, "save it as UTF-8: in Excel, \"CSV UTF-8\"; or it is no CSV file at all"))
}

/// The names of the columns.
fn header(records: &mut Records, path: &Path, options: &CsvOptions) -> Result<Vec<String>> {
    let wrong =
        |line: u32, problem: String, hint: &str| Error::format(path, format!("line {line}: {problem}"), hint);
    match records.next() {
        Next::Record => {}
        Next::TooMany => {
            return Err(wrong(records.line, format!("more than {MAX_COLUMNS} columns"), "leave columns out"));
        }
        Next::End => {
            return Err(wrong(1, "no names of columns".into(), "begin with a line that names them"));
        }
    }
    let line = records.line;
    // A name that is broken into two lines would break every message about it.
    let one_line = |name: &str| name.replace(char::is_control, " ");
    let mut names: Vec<String> = (0..records.fields).map(|i| one_line(records.field(i))).collect();
    if names.iter().all(|n| options.number(n).is_some()) {
        return Err(wrong(
            line,
            "numbers stand where the names of the columns belong".into(),
            "begin the file with a line that names the columns",
        ));
    }
    if let [only] = &names[..] {
        let other = [(',', "','"), (';', "';'"), ('\t', "'\\t'"), ('|', "'|'")];
        if let Some((_, shown)) = other.iter().find(|(c, _)| only.contains(*c)) {
            return Err(wrong(
                line,
                format!("a single column, named `{}`", shortened(only)),
                &format!("if its cells are separated by another character, say so: --delimiter {shown}"),
            ));
        }
    }
    for (i, name) in names.iter_mut().enumerate().filter(|(_, name)| name.is_empty()) {
        *name = format!("column {}", i + 1);
    }
    let mut first = HashMap::with_capacity(names.len());
    for (i, name) in names.iter().enumerate() {
        if let Some(before) = first.insert(name.as_str(), i) {
            return Err(wrong(
                line,
                format!("columns {} and {} are both named `{}`", before + 1, i + 1, shortened(name)),
                "give each column a name of its own",
            ));
        }
    }
    records.ends = vec![0; names.len() + 1];
    Ok(names)
}

/// What a first look says of a column.
#[derive(Clone, Default)]
struct Sketch {
    numbers: usize,
    texts: usize,
    first_text: Option<(u32, String)>,
}

impl Sketch {
    /// Texts, and neither numbers nor nothing at all.
    fn is_text(&self) -> bool {
        self.texts > 0
    }
}

/// Counts the rows, and looks at what each column holds.
fn survey(
    records: &mut Records,
    path: &Path,
    names: &[String],
    options: &CsvOptions,
) -> Result<(usize, Vec<Sketch>)> {
    let as_text: Vec<bool> = names.iter().map(|n| options.text.contains(n)).collect();
    let (mut rows, mut sketches) = (0, vec![Sketch::default(); names.len()]);
    loop {
        let (more, fields) = match records.next() {
            Next::Record => ("", records.fields),
            Next::TooMany => ("more than ", names.len() + 1),
            Next::End => return Ok((rows, sketches)),
        };
        if records.input.is_empty() && records.is_open(options.delimiter) {
            return Err(Error::format(
                path,
                format!("line {}: a quote is opened and never closed", records.line),
                "close it, or write a quote within quotes twice",
            ));
        }
        if !more.is_empty() || fields != names.len() {
            let cells = if fields == 1 { "cell" } else { "cells" };
            let problem = format!(
                "line {} has {more}{fields} {cells}, the first line names {} columns",
                records.line,
                names.len()
            );
            let hint = "put a cell that contains the delimiter into double quotes, or complete the row";
            return Err(Error::format(path, problem, hint));
        }
        for (i, sketch) in sketches.iter_mut().enumerate() {
            let cell = records.field(i);
            if options.is_missing(cell) {
                continue;
            }
            if !as_text[i] && options.number(cell).is_some() {
                sketch.numbers += 1;
                continue;
            }
            if sketch.first_text.is_none() && !as_text[i] {
                sketch.first_text = Some((records.line, shortened(cell)));
            }
            sketch.texts += 1;
        }
        rows += 1;
    }
}

/// Reads the rows again, and keeps their cells. Different texts may take `room` bytes.
fn keep(
    mut records: Records,
    rows: usize,
    names: &[String],
    sketches: Vec<Sketch>,
    options: &CsvOptions,
    mut room: usize,
    path: &Path,
) -> Result<Table> {
    let mut lines = Vec::with_capacity(rows);
    let mut cells: Vec<Cells> = Vec::with_capacity(names.len());
    for sketch in &sketches {
        cells.push(match sketch.is_text() {
            true => Cells::Texts { levels: Vec::new(), codes: Vec::with_capacity(rows) },
            false => Cells::Numbers(Vec::with_capacity(rows)),
        });
    }
    let mut known: Vec<HashMap<Box<str>, u32>> = vec![HashMap::new(); names.len()];
    while lines.len() < rows
        && let Next::Record = records.next()
    {
        lines.push(records.line);
        for (i, column) in cells.iter_mut().enumerate() {
            let cell = records.field(i);
            let missing = options.is_missing(cell);
            match column {
                Cells::Numbers(numbers) => {
                    numbers.push(if missing { f64::NAN } else { options.number(cell).unwrap_or(f64::NAN) });
                }
                Cells::Texts { codes, .. } if missing => codes.push(MISSING),
                Cells::Texts { codes, .. } => match known[i].get(cell) {
                    Some(&code) => codes.push(code),
                    None => match room.checked_sub(LEVEL_COST + 2 * cell.len()) {
                        Some(left) => {
                            room = left;
                            let code = known[i].len() as u32;
                            known[i].insert(cell.into(), code);
                            codes.push(code);
                        }
                        None => {
                            (*column, known[i]) = (Cells::Varied, HashMap::new());
                        }
                    },
                },
                Cells::Varied => {}
            }
        }
    }
    let mut columns: Vec<Column> = Vec::with_capacity(names.len());
    for (((name, sketch), mut cells), known) in names.iter().zip(sketches).zip(cells).zip(known) {
        if let Cells::Texts { levels, .. } = &mut cells {
            let mut sorted: Vec<(Box<str>, u32)> = known.into_iter().collect();
            sorted.sort_unstable_by_key(|&(_, code)| code);
            *levels = sorted.into_iter().map(|(text, _)| text.into()).collect();
        }
        let mostly_numbers = sketch.numbers > sketch.texts;
        let stray = sketch.first_text.filter(|_| mostly_numbers);
        let stray = stray.map(|(line, text)| Stray { text, line, numbers: sketch.numbers });
        columns.push(Column { name: name.clone(), cells, stray });
    }
    let is_text = |c: &&Column| matches!(c.cells, Cells::Texts { .. });
    let spelling = Spelling {
        decimal_comma: options.decimal_comma,
        missing: options.missing.clone(),
        text: columns.iter().filter(is_text).map(|c| c.name.clone()).collect(),
    };
    Ok(Table { source: path.to_path_buf(), columns, lines, spelling })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Table> {
        Table::from_csv(text.as_bytes(), "t.csv", &CsvOptions::default())
    }

    #[track_caller]
    fn fails(text: impl AsRef<[u8]>, words: &str, hint: &str) {
        let e = Table::from_csv(text.as_ref(), "t.csv", &CsvOptions::default()).unwrap_err();
        assert!(e.to_string().contains(words), "`{e}` should say `{words}`");
        assert!(e.hint().is_some_and(|h| h.contains(hint)), "{:?} should say `{hint}`", e.hint());
    }

    fn numbers(table: &Table, name: &str) -> Vec<f64> {
        match &table.column(name).unwrap().cells {
            Cells::Numbers(n) => n.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn quotes_line_ends_and_a_byte_order_mark() {
        let text = "\u{feff}이름,\"a, b\",n\r\n\"x \"\"y\"\"\",\"one\r\ntwo\",1\r\n\r\n김, z ,-2.5e1\r\n";
        let table = read(text).unwrap();
        assert_eq!(table.names(), ["이름", "a, b", "n"]);
        assert_eq!(table.column("이름").unwrap().text(0).unwrap(), "x \"y\"");
        assert_eq!(table.column("a, b").unwrap().text(0).unwrap(), "one\r\ntwo");
        assert_eq!(table.column("a, b").unwrap().text(1).unwrap(), "z");
        assert_eq!(numbers(&table, "n"), [1., -25.]);
        assert_eq!((table.line(0), table.line(1)), (2, 5));
    }

    #[test]
    fn a_mark_within_the_table_is_a_character() {
        let table = read("a,b\n\u{feff}1,2\n3,4\n").unwrap();
        assert_eq!(table.column("a").unwrap().text(0).unwrap(), "\u{feff}1");
        assert_eq!((table.line(0), table.line(1)), (2, 3));
    }

    /// Inches are no open quote, even where the last cell is of two lines.
    #[test]
    fn quotes_within_a_cell_are_characters() {
        let table = read("a,b\n5\" screen,\"\"\n6\",\"one\ntwo\"").unwrap();
        assert_eq!(table.column("a").unwrap().text(0).unwrap(), "5\" screen");
        assert_eq!(table.column("b").unwrap().text(1).unwrap(), "one\ntwo");
        assert!(read("a\n1\n\"\"\"").unwrap_err().to_string().contains("never closed"));
        assert_eq!(read("a\n1\n\"\"\"\"").unwrap().column("a").unwrap().text(1).unwrap(), "\"");
    }

    /// All that is not a further cell is what it was: the mark, quotes, spaces, blank lines, ends of lines, the lack of one.
    #[test]
    fn further_cells_change_nothing_else() {
        let text = "\u{feff}a;\"b\"\r\n1,50; \"x\" \r\n\r\n\"two\nlines\";\"q\"\"\"\n\n007;";
        let cells = [["p", ""], ["3,5", "x;y"], [" ", "\""], ["1\n", "é"]];
        let mut out = Vec::new();
        let file = CsvFile::new("t.csv", text);
        file.write_with(b';', |record| cells[record].map(String::from).to_vec(), &mut out).unwrap();
        let expected = "\u{feff}a;\"b\";p;\r\n1,50; \"x\" ;3,5;\"x;y\"\r\n\r\n\
                        \"two\nlines\";\"q\"\"\";\" \";\"\"\"\"\n\n007;;\"1\n\";é";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn every_way_to_say_missing() {
        let table = read("a,b\n1,x\n,?\nNA,null\nNaN,N/A\n?,\n").unwrap();
        assert_eq!((table.column("a").unwrap().missing(), table.column("b").unwrap().missing()), (4, 4));
        let options = CsvOptions { missing: vec!["-999".into()], ..CsvOptions::default() };
        let table = Table::from_csv(b"a\n-999\n3\n", "t", &options).unwrap();
        assert_eq!((table.column("a").unwrap().missing(), numbers(&table, "a")[1]), (1, 3.0));
        assert!(matches!(read("a,b\n,1\n,2\n").unwrap().column("a").unwrap().cells, Cells::Numbers(_)));
    }

    #[test]
    fn semicolons_and_decimal_commas() {
        let options = CsvOptions { delimiter: b';', decimal_comma: true, ..CsvOptions::default() };
        let table = Table::from_csv("a;b\n3,5;1.5\n-1;2\n".as_bytes(), "t", &options).unwrap();
        assert_eq!((numbers(&table, "a"), numbers(&table, "b")), (vec![3.5, -1.], vec![1.5, 2.]));
    }

    #[test]
    fn numbers_that_are_names() {
        let options = CsvOptions { text: vec!["zip".into()], ..CsvOptions::default() };
        let table = Table::from_csv(b"zip\n01234\n5\n01234\n", "t", &options).unwrap();
        let expected = Cells::Texts { levels: vec!["01234".into(), "5".into()], codes: vec![0, 1, 0] };
        assert_eq!(table.column("zip").unwrap().cells, expected);
        table.column("zip").unwrap().check_usable(&table).unwrap();
    }

    #[test]
    fn a_text_among_numbers_is_remembered() {
        let table = read("age\n1\n2\nold\n4\n").unwrap();
        let e = table.column("age").unwrap().check_usable(&table).unwrap_err();
        assert_eq!(e.to_string(), "t.csv: line 4: column `age` has `old`, and 3 numbers");
        assert!(e.hint().unwrap().contains("--missing-value 'old'"));
        let even = read("cabin\n1\nC2\n").unwrap();
        even.column("cabin").unwrap().check_usable(&even).unwrap();
    }

    #[test]
    fn what_is_wrong_and_where() {
        fails("", "the file is empty", "names the columns");
        fails(" \r\n\n", "the file is empty", "names the columns");
        fails("a,b\n", "no row", "at least one");
        fails("a,b\n1,2\n1\n", "line 3 has 1 cell, the first line names 2 columns", "complete the row");
        fails("a,b\n\n1,2,3\n", "line 3 has 3 cells", "double quotes");
        fails("a,b\n1,\"2\n3,4\n5,6,7\n8,9", "line 2: a quote is opened and never closed", "close it");
        fails("a\n1\n\"2", "line 3: a quote is opened and never closed", "close it");
        fails("a,b\n1,2,3,4\n", "line 2 has more than", "double quotes");
        fails("a,a\n1,2\n", "columns 1 and 2 are both named `a`", "name of its own");
        fails("1,2\n3,4\n", "numbers stand where", "names the columns");
        fails("a;b\n1;2\n", "a single column, named `a;b`", "--delimiter ';'");
        fails(b"a\n\xb0\xa1\n", "line 2 has a byte 0xb0", "UTF-8");
        fails(b"a\n1\0\n", "line 2 has a byte 0x00", "UTF-8");
        fails(b"\xff\xfea\0", "UTF-16", "UTF-8");
        let options = CsvOptions { text: vec!["agee".into()], ..CsvOptions::default() };
        let e = Table::from_csv(b"age\n1\n", "t", &options).unwrap_err();
        assert_eq!(e.to_string(), "unknown column `agee`");
        let options = CsvOptions { delimiter: b'\n', ..CsvOptions::default() };
        assert!(Table::from_csv(b"age\n1\n", "t", &options).is_err());
    }

    #[test]
    fn a_name_for_every_column() {
        assert_eq!(read(",x,\n1,2,3\n").unwrap().names(), ["column 1", "x", "column 3"]);
    }

    /// A million different texts of three bytes are too many; the other columns stay usable.
    #[test]
    fn too_many_texts_are_not_kept() {
        let mut text = String::from("id,n\n");
        (0..400_000).for_each(|i| text += &format!("{},1\n", char_id(i)));
        let table = read(&text).unwrap();
        assert_eq!(table.column("id").unwrap().cells, Cells::Varied);
        assert!(
            table.column("id").unwrap().check_usable(&table).unwrap_err().hint().unwrap().contains("--drop")
        );
        assert_eq!(numbers(&table, "n").len(), 400_000);
    }

    fn char_id(i: usize) -> String {
        [i / 17_576 + 26, i / 676, i / 26, i].iter().map(|d| char::from(b'a' + (d % 26) as u8)).collect()
    }

    #[test]
    fn selected_rows_keep_their_lines() {
        let table = read("a,b\n1,x\n2,y\n3,x\n").unwrap().select(&[2, 0, 9]);
        assert_eq!((numbers(&table, "a"), table.line(0), table.len()), (vec![3., 1.], 4, 2));
        assert_eq!(table.column("b").unwrap().text(1).unwrap(), "x");
    }
}
