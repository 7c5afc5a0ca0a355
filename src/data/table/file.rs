//! A CSV file as it stands: its records, one after the other, and further cells behind them.
//!
//! CSV out is the file that came in, byte for byte, with further cells at the end of each record: nobody's spelling of a
//! number, quote or line end is changed.

use super::Table;
use super::csv::{CsvOptions, ROOM, Spelling};
use crate::error::{Error, Result};
use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Tables are wide, but not so wide.
pub(super) const MAX_COLUMNS: usize = 1 << 16;

/// A CSV file as it stands, in memory: what a [`Table`] is read from, and what further columns can be put behind.
///
/// ```
/// use handgrad::data::{CsvFile, CsvOptions};
/// let file = CsvFile::new("birds.csv", "mass,island\r\n3750.0,\"Dream\"\r\n");
/// assert_eq!(file.table(&CsvOptions::default())?.len(), 1);
/// let mut out = Vec::new();
/// file.write_with(b',', |record| vec![if record == 0 { "bird" } else { "Gentoo" }.into()], &mut out).unwrap();
/// assert_eq!(out, b"mass,island,bird\r\n3750.0,\"Dream\",Gentoo\r\n");
/// # Ok::<(), handgrad::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsvFile {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl CsvFile {
    /// From bytes; errors call them `path`.
    pub fn new(path: impl Into<PathBuf>, bytes: impl Into<Vec<u8>>) -> CsvFile {
        CsvFile { path: path.into(), bytes: bytes.into() }
    }

    /// Reads a file, or what a pipe gives.
    ///
    /// # Errors
    /// The system cannot read it; more than 16 MiB come out of what is not a file.
    pub fn read(path: impl AsRef<Path>) -> Result<CsvFile> {
        let path = path.as_ref();
        let failed = |source| Error::Io { action: "read", path: path.to_path_buf(), source };
        let mut file = File::open(path).map_err(failed)?;
        let about = file.metadata().map_err(failed)?;
        let mut bytes = Vec::new();
        if about.is_file() {
            bytes.reserve_exact(about.len() as usize + 1); // so that the end is seen without growing
            file.read_to_end(&mut bytes).map_err(failed)?;
        } else {
            file.take(ROOM as u64 / 4 + 1).read_to_end(&mut bytes).map_err(failed)?; // a pipe has no size to go by
            if bytes.len() > ROOM / 4 {
                let problem = format!("more than {} MiB come out of what is not a file", ROOM >> 22);
                return Err(Error::format(path, problem, "put it into a file first"));
            }
        }
        Ok(CsvFile { path: path.to_path_buf(), bytes })
    }

    /// Its rows and columns.
    ///
    /// # Errors
    /// As [`Table::read_csv`], but for the system's.
    pub fn table(&self, options: &CsvOptions) -> Result<Table> {
        self.spelled(options, &Spelling::default())
    }

    /// The same, with what is known of the table's cells; columns that are known and not there are none of its business.
    pub(in crate::data) fn spelled(&self, options: &CsvOptions, known: &Spelling) -> Result<Table> {
        Table::parse(&self.bytes, &self.path, options, known)
    }

    /// Writes the file as it stands, byte for byte, with `more` cells at the end of each record: the names of the columns
    /// are record 0, the first row of the [`Table`] is record 1.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_with(
        &self,
        delimiter: u8,
        mut more: impl FnMut(usize) -> Vec<String>,
        mut out: impl Write,
    ) -> io::Result<()> {
        let text = without_mark(&self.bytes);
        out.write_all(&self.bytes[..self.bytes.len() - text.len()])?;
        let (mut records, mut rest) = (Records::new(text, delimiter), text);
        let mut record = 0;
        while let Next::Record = records.next() {
            // Up to the record's last byte, with the blank lines before it; its line end comes before the next.
            let (before, after) = rest.split_at(rest.len() - records.after);
            out.write_all(before)?;
            for cell in more(record) {
                out.write_all(&[delimiter])?;
                out.write_all(quoted(&cell, delimiter).as_bytes())?;
            }
            (rest, record) = (after, record + 1);
        }
        out.write_all(rest)?;
        out.flush()
    }
}

/// Without the byte order mark.
pub(super) fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

/// A cell that is read back as it is: in quotes where it needs them.
fn quoted(cell: &str, delimiter: u8) -> Cow<'_, str> {
    match cell.trim() != cell || cell.bytes().any(|b| b == delimiter || b"\"\r\n".contains(&b)) {
        true => format!("\"{}\"", cell.replace('"', "\"\"")).into(),
        false => cell.into(),
    }
}

/// The records of a CSV text, one after the other, in buffers no larger than the text.
pub(super) struct Records<'a> {
    core: Reader,
    pub(super) input: &'a [u8],
    pub(super) line: u32,
    /// The record as it stands, without its line end.
    raw: &'a [u8],
    /// How many bytes come after it.
    after: usize,
    pub(super) text: Vec<u8>,
    pub(super) ends: Vec<usize>,
    pub(super) fields: usize,
}

/// What came of asking for a record.
pub(super) enum Next {
    Record,
    TooMany,
    End,
}

impl<'a> Records<'a> {
    pub(super) fn new(input: &'a [u8], delimiter: u8) -> Records<'a> {
        let core = ReaderBuilder::new().delimiter(delimiter).build();
        let (text, ends) = (vec![0; 1024], vec![0; MAX_COLUMNS]);
        Records { core, input, line: 1, raw: &[], after: input.len(), text, ends, fields: 0 }
    }

    /// Reads a record of fewer than `ends.len()` fields; `line` is then the one in which it begins.
    pub(super) fn next(&mut self) -> Next {
        let blank = self.input.iter().take_while(|b| b"\r\n".contains(b)).count();
        let skipped = self.input[..blank].iter().filter(|&&b| b == b'\n').count();
        self.line = (self.core.line() as u32).saturating_add(skipped as u32);
        let start = &self.input[blank..];
        let (mut written, mut fields) = (0, 0);
        loop {
            let (result, read, wrote, ended) =
                self.core.read_record(self.input, &mut self.text[written..], &mut self.ends[fields..]);
            self.input = &self.input[read..];
            (written, fields) = (written + wrote, fields + ended);
            match result {
                ReadRecordResult::InputEmpty => {} // asked again, it knows that this was the end
                ReadRecordResult::OutputFull => {
                    let more = self.text.len().min(self.input.len()) + 1;
                    self.text.resize(self.text.len() + more, 0);
                }
                ReadRecordResult::OutputEndsFull => return self.read(start, fields, Next::TooMany),
                ReadRecordResult::Record => return self.read(start, fields, Next::Record),
                ReadRecordResult::End => return Next::End,
            }
        }
    }

    /// Notes where the record stands, of which `start` is the beginning.
    fn read(&mut self, start: &'a [u8], fields: usize, next: Next) -> Next {
        let read = &start[..start.len() - self.input.len()];
        let end = read.iter().rposition(|b| !b"\r\n".contains(b)).map_or(0, |last| last + 1);
        (self.raw, self.after, self.fields) = (&read[..end], start.len() - end, fields);
        next
    }

    /// Whether the record, which is the last, ends within quotes.
    pub(super) fn is_open(&self, delimiter: u8) -> bool {
        let (mut at_start, mut open) = (true, false);
        let mut bytes = self.raw.iter().peekable();
        while let Some(&byte) = bytes.next() {
            match byte {
                b'"' if open => open = bytes.next_if_eq(&&b'"').is_some(), // a quote in quotes is written twice
                b'"' if at_start => open = true,
                _ => {}
            }
            at_start = !open && byte == delimiter;
        }
        open
    }

    pub(super) fn field(&self, i: usize) -> &str {
        let from = i.checked_sub(1).map_or(0, |before| self.ends[before]);
        let bytes = self.text.get(from..self.ends[i]).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default().trim() // all of the text is UTF-8, and quotes are ASCII
    }
}
