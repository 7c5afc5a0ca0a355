//! Logs of trainings, as Keras's `CSVLogger` writes them: a line of names, then a line for each epoch.

use super::{Epoch, History, Scores};
use crate::error::{Error, Result};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// A log beyond this is no log.
const MOST_BYTES: u64 = 256 << 20;
const MOST_COLUMNS: usize = 1000;

impl History {
    /// Reads a log of a training: `epoch,accuracy,loss,val_accuracy,val_loss` and so on, in any order, separated by commas,
    /// semicolons or tabs. `epoch` is left out, lines are taken in their order, and `NA`, or nothing, is what was not
    /// measured in that epoch. The seconds of an epoch are those of a column `seconds`, else 0.
    ///
    /// ```
    /// use handgrad::model::History;
    /// let folder = tempfile::tempdir().unwrap();
    /// let path = folder.path().join("history.csv");
    /// std::fs::write(&path, "epoch,loss,val_loss\n0,0.7,0.6\n1,0.5,NA\n").unwrap();
    /// let history = History::read_csv(&path)?;
    /// assert_eq!(history.get("loss"), [0.7, 0.5]);
    /// assert_eq!(history.get("val_loss"), [0.6]);
    /// # Ok::<(), handgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// The file cannot be read, or is no text; no names, or a name twice; no epochs; a line with another number of fields
    /// than there are names; a field that is no number.
    pub fn read_csv(path: impl AsRef<Path>) -> Result<History> {
        let path = path.as_ref();
        let failed = |source| Error::Io { action: "read", path: path.to_path_buf(), source };
        let wrong = |problem: String, hint: &str| Error::format(path, problem, hint);
        let mut bytes = Vec::new();
        File::open(path).map_err(failed)?.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > MOST_BYTES {
            return Err(wrong("the log is larger than 256 MiB".into(), "give the log of one training"));
        }
        let text = String::from_utf8(bytes).map_err(|e| {
            let at = e.utf8_error().valid_up_to();
            wrong(format!("byte {at} is no text"), "give a CSV file in UTF-8, as CSVLogger writes it")
        })?;
        let text = text.trim_start_matches('\u{feff}');
        let first = text.lines().next().unwrap_or("");
        let separator =
            [b',', b';', b'\t'].into_iter().max_by_key(|&s| (first.matches(s as char).count(), s == b','));
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(separator.unwrap_or(b','))
            .trim(csv::Trim::All)
            .flexible(true)
            .from_reader(text.as_bytes());
        let names: Vec<String> = match reader.headers() {
            Ok(names) => names.iter().map(str::to_string).collect(),
            Err(e) => return Err(wrong(e.to_string(), "give a file as CSVLogger writes it")),
        };
        check_names(&names).map_err(|problem| {
            wrong(problem, "the first line of a log is its names, such as `epoch,loss,accuracy`")
        })?;
        let mut epochs = Vec::new();
        for record in reader.records() {
            let record = record.map_err(|e| wrong(e.to_string(), "give a file as CSVLogger writes it"))?;
            let line = record.position().map_or(0, csv::Position::line);
            if record.len() != names.len() {
                return Err(wrong(
                    format!(
                        "line {line} has {} fields, the first line has {} names",
                        record.len(),
                        names.len()
                    ),
                    "a training that was cut off may have left its last line unfinished: remove that",
                ));
            }
            let (mut seconds, mut scores) = (0.0, Vec::new());
            for (name, field) in names.iter().zip(record.iter()) {
                let Some(value) = parse(field).map_err(|()| {
                    wrong(
                        format!("line {line} has `{}` for `{name}`, which is no number", shortened(field)),
                        "give numbers, `nan`, `inf`, or `NA` for what was not measured",
                    )
                })?
                else {
                    continue;
                };
                match name.as_str() {
                    "epoch" => (),
                    "seconds" => seconds = value,
                    _ => scores.push((name.clone(), value)),
                }
            }
            epochs.push(Epoch { seconds, scores: Scores(scores) });
        }
        if epochs.is_empty() {
            return Err(wrong("the log has no epochs".into(), "train for at least one epoch"));
        }
        Ok(History { epochs })
    }
}

fn check_names(names: &[String]) -> Result<(), String> {
    if names.len() > MOST_COLUMNS {
        return Err(format!("the log has {} columns", names.len()));
    }
    if names.iter().all(String::is_empty) {
        return Err("the log is empty".into());
    }
    if names.iter().all(|name| name.parse::<f64>().is_ok()) {
        return Err("the log has no names".into());
    }
    if let Some(i) = names.iter().position(String::is_empty) {
        return Err(format!("column {} has no name", i + 1));
    }
    if let Some((i, name)) = names.iter().enumerate().find(|(i, name)| names[..*i].contains(name)) {
        return Err(format!("column {} is named `{}`, as one before it", i + 1, shortened(name)));
    }
    if !names.iter().any(|name| name != "epoch" && name != "seconds") {
        return Err("the log has no figures".into());
    }
    Ok(())
}

/// A number; none where nobody measured.
fn parse(field: &str) -> Result<Option<f64>, ()> {
    match field {
        "" | "NA" | "None" => Ok(None),
        _ => field.parse().map(Some).map_err(drop),
    }
}

/// For a message: the beginning of what a file holds.
fn shortened(text: &str) -> String {
    let short: String = text.chars().take(40).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().count() > 40 { short + "…" } else { short }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Result<History> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.csv");
        std::fs::write(&path, text).unwrap();
        History::read_csv(&path)
    }

    /// As Keras 3.15 wrote it, with the `NA` of a training that was stopped.
    #[test]
    fn a_log_of_keras_is_read() {
        let log =
            b"epoch,accuracy,learning_rate,loss,val_loss\r\n0,0.85,0.001,0.53,0.4\r\n1,0.87,0.001,nan,NA\r\n";
        let history = read(log).unwrap();
        assert_eq!(history.get("accuracy"), [0.85, 0.87]);
        assert_eq!(history.get("val_loss"), [0.4]);
        assert!(history.get("loss")[1].is_nan() && history.get("epoch").is_empty());
        let tabs = read("\u{feff}epoch\tloss\n0\t1e-3\n".as_bytes()).unwrap();
        assert_eq!(tabs.get("loss"), [1e-3]);
        assert_eq!(read(b"epoch;loss\n0;inf").unwrap().get("loss"), [f64::INFINITY]);
    }

    #[test]
    fn what_is_wrong_in_a_log_is_said() {
        for (text, words) in [
            (&b""[..], "the log is empty"),
            (b"\n\n", "the log is empty"),
            (b"epoch,loss\n", "no epochs"),
            (b"epoch,loss\n0,0.5\n1\n", "line 3 has 1 fields, the first line has 2 names"),
            (b"epoch,loss\n0,high\n", "line 2 has `high` for `loss`"),
            (b"0,0.5\n1,0.4\n", "no names"),
            (b"loss,loss\n1,2\n", "column 2 is named `loss`"),
            (b"epoch,,loss\n1,2,3\n", "column 2 has no name"),
            (b"epoch\n1\n", "no figures"),
            (b"epoch,loss\n0,\xff\n", "byte 13 is no text"),
        ] {
            let e = read(text).unwrap_err();
            assert!(e.to_string().contains(words) && e.hint().is_some(), "{e} should say {words}");
        }
        assert!(History::read_csv("/no/such/file.csv").unwrap_err().to_string().starts_with("cannot read"));
    }
}
