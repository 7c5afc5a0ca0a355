//! CsvLogger: the history as a table in a file, one row an epoch.
//!
//! ```text
//! epoch,accuracy,loss,val_accuracy,val_loss
//! 0,0.8123,0.5311,0.8391,0.4502
//! ```
//!
//! The columns are Keras's: `epoch` from 0, then the figures by their names in alphabetical order.

use super::{Callback, Flow};
use crate::data::AtomicFile;
use crate::error::{Error, Result};
use crate::model::{Epoch, Sequential};
use csv::{ReaderBuilder, StringRecord, WriterBuilder};
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Writes each epoch's figures as a row of a CSV file: Keras's `CSVLogger`.
///
/// Every row is handed to the system whole at the end of its epoch: when the program dies, what was written stays. A
/// figure that is not a number is written `nan`, `inf` or `-inf`, one that an epoch lacks `NA`.
///
/// Figures that other callbacks add, such as `learning_rate`, are there if those callbacks come before this one.
///
/// ```
/// use handgrad::callbacks::CsvLogger;
/// use handgrad::{Sequential, data::Dataset, layers::Dense, model::{Compile, Fit}};
/// let line = Dataset::from_rows(&[[0.], [1.], [2.]], &[[1.], [3.], [5.]])?;
/// let mut model = Sequential::new().with(Dense::new(1));
/// model.compile(Compile::new("mse").metric("mae"))?;
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("log.csv");
/// let mut log = CsvLogger::new(&path);
/// model.fit(&line, Fit::new().epochs(3).verbose(0).callback(&mut log))?;
/// let text = std::fs::read_to_string(&path).unwrap();
/// assert!(text.starts_with("epoch,loss,mae\n0,") && text.lines().count() == 4);
/// # Ok::<(), handgrad::Error>(())
/// ```
#[derive(Debug)]
pub struct CsvLogger {
    path: PathBuf,
    separator: u8,
    append: bool,
    file: Option<File>,
    /// The header, once it is in the file.
    columns: Option<Vec<String>>,
    /// Whether the next row is this training's first.
    first: bool,
}

impl CsvLogger {
    /// Writes to `path`, in place of what is there, separated by commas.
    pub fn new(path: impl AsRef<Path>) -> CsvLogger {
        CsvLogger {
            path: path.as_ref().to_path_buf(),
            separator: b',',
            append: false,
            file: None,
            columns: None,
            first: true,
        }
    }

    /// What stands between two columns: `;`, a tab, or another ASCII character.
    pub fn separator(mut self, separator: char) -> CsvLogger {
        self.separator = u8::try_from(separator).ok().filter(u8::is_ascii).unwrap_or(0); // 0 is refused at the begin
        self
    }

    /// Whether to go on below the rows that the file has. A last row that was cut short is removed; and when training
    /// begins at a later epoch than the first (see [`initial_epoch`](crate::model::Fit::initial_epoch)), so are those
    /// from that epoch on, which come again.
    pub fn append(mut self, append: bool) -> CsvLogger {
        self.append = append;
        self
    }

    fn failed(&self, action: &'static str) -> impl Fn(std::io::Error) -> Error + use<> {
        let path = self.path.clone();
        move |source| Error::Io { action, path: path.clone(), source }
    }

    /// One row as bytes, quoted where that is needed.
    fn row<T: AsRef<[u8]>>(&self, cells: impl IntoIterator<Item = T>) -> Result<Vec<u8>> {
        let mut writer = WriterBuilder::new().delimiter(self.separator).from_writer(Vec::new());
        writer.write_record(cells).map_err(|e| self.failed("write")(e.into()))?;
        writer.into_inner().map_err(|e| self.failed("write")(e.into_error()))
    }

    /// The header of the file that is there, once it holds whole rows of epochs before `first` alone (all whole rows if
    /// that is 0); `None` where there is no header yet.
    fn keep_rows_before(&self, first: usize) -> Result<Option<Vec<String>>> {
        let bytes = match std::fs::read(&self.path) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            read => read.map_err(self.failed("read"))?,
        };
        let other = |problem: String| {
            let hint = "give another file or the separator that it was written with, or do not append";
            Error::format(&self.path, problem, hint)
        };
        let whole = bytes.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
        let mut rows = ReaderBuilder::new()
            .delimiter(self.separator)
            .has_headers(false)
            .flexible(true)
            .from_reader(&bytes[..whole])
            .into_records();
        let (header, mut kept) = match rows.next() {
            None if "epoch".as_bytes().starts_with(&bytes[..bytes.len().min(5)]) => (None, Vec::new()),
            None => return Err(other("is no log of a training".into())),
            Some(header) => {
                let header = header.map_err(|e| other(e.to_string()))?;
                if header.get(0) != Some("epoch") {
                    return Err(other("is no log of a training: its first column is not `epoch`".into()));
                }
                let kept = self.row(&header)?;
                (Some(header), kept)
            }
        };
        let epoch = |row: &StringRecord| row.get(0).and_then(|cell| cell.parse::<usize>().ok());
        for (i, row) in rows.enumerate() {
            let row = row.map_err(|e| other(e.to_string()))?;
            let n = epoch(&row).ok_or_else(|| other(format!("row {} has no epoch's number", i + 1)))?;
            if first == 0 || n < first {
                kept.extend(self.row(&row)?);
            }
        }
        if kept != bytes {
            AtomicFile::write(&self.path, &kept)?;
        }
        Ok(header.map(|header| header.iter().map(str::to_string).collect()))
    }

    /// The columns for these figures: those of the file, which must be the same, or new ones.
    fn header(&mut self, record: &Epoch) -> Result<Vec<String>> {
        let mut names: Vec<String> = record.scores.0.iter().map(|(name, _)| name.clone()).collect();
        names.sort();
        let Some(there) = &self.columns else {
            let columns: Vec<String> = std::iter::once("epoch".to_string()).chain(names).collect();
            let header = self.row(&columns)?;
            self.write(&header)?;
            return Ok(columns);
        };
        let mut known = there[1..].to_vec();
        known.sort();
        match known == names {
            true => Ok(there.clone()),
            false => Err(Error::format(
                &self.path,
                format!("has the columns {}, this training gives {}", known.join(", "), names.join(", ")),
                "log the same figures as before, give another file, or do not append",
            )),
        }
    }

    fn write(&mut self, row: &[u8]) -> Result<()> {
        let failed = self.failed("write");
        match &mut self.file {
            Some(file) => file.write_all(row).map_err(failed), // unbuffered: one call to the system
            None => Ok(()),
        }
    }
}

fn cell(value: Option<f64>) -> String {
    match value {
        None => "NA".into(),
        Some(v) if v.is_nan() => "nan".into(), // as Python writes it
        Some(v) => format!("{v:?}"),
    }
}

impl Callback for CsvLogger {
    fn on_train_begin(&mut self, _model: &mut Sequential, epochs: Range<usize>) -> Result<()> {
        if matches!(self.separator, 0 | b'"' | b'\n' | b'\r') {
            return Err(Error::invalid(
                "the separator of a CSV file must be one ASCII character, and no quote or line break",
                "use a comma, a semicolon or a tab",
            ));
        }
        let regular = std::fs::metadata(&self.path).is_ok_and(|there| there.is_file());
        self.columns = match self.append && regular {
            true => self.keep_rows_before(epochs.start)?,
            false => None,
        };
        let mut options = File::options();
        match self.append {
            true => options.create(true).append(true),
            false => options.create(true).write(true).truncate(true),
        };
        self.file = Some(options.open(&self.path).map_err(self.failed("write"))?);
        self.first = true;
        Ok(())
    }

    fn on_epoch_end(&mut self, _model: &mut Sequential, epoch: usize, record: &mut Epoch) -> Result<Flow> {
        if self.first {
            self.columns = Some(self.header(record)?);
            self.first = false;
        }
        let figures = self.columns.iter().flatten().skip(1).map(|name| cell(record.scores.get(name)));
        let row = self.row(std::iter::once(epoch.to_string()).chain(figures))?;
        self.write(&row)?;
        Ok(Flow::Continue)
    }

    fn on_train_end(&mut self, _model: &mut Sequential) -> Result<()> {
        self.file = None;
        Ok(())
    }
}
