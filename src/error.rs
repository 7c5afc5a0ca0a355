//! One typed error for the whole engine. A message says what was wrong and where; [`Error::hint`] says what to do.

use crate::mistakes::{Language, Mistake, Place};
use crate::shape::Shape;
use std::borrow::Cow;
use std::fmt::{self, Write};
use std::path::PathBuf;

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong. `Display` is one sentence on one line, whatever names a file may contain;
/// [`hint`](Error::hint) is the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A layer was given data whose shape it cannot work with.
    #[error("{}", OneLine(format_args!("layer `{layer}` got {got}, expected {expected}")))]
    LayerShape {
        /// The layer's name and description, as in ``conv2d_1 (Conv2D 64, 3×3)``.
        layer: String,
        /// The shape that came, with `N` for the batch.
        got: String,
        /// The shape that was wanted.
        expected: String,
        /// What to do.
        hint: String,
    },
    /// An op was given views whose shapes do not fit each other. A bug in a layer, or a caller of the op table.
    #[error("op `{op}`: {problem}")]
    OpShape {
        /// The method of the op table.
        op: &'static str,
        /// Both shapes, and what does not fit.
        problem: String,
    },
    /// A tensor lives on another device than the op that was asked to use it.
    #[error("a tensor of the {tensor} device was given to the {device} device")]
    WrongDevice {
        /// Where the tensor lives.
        tensor: &'static str,
        /// Who was asked to work on it.
        device: &'static str,
    },
    /// A mistake that learners make, explained in more than one language.
    #[error("{}", OneLine(format_args!("{}{mistake}", Place::prefix(place.as_ref(), Language::English))))]
    Mistake {
        /// Where it was found, if not in the program's own numbers.
        place: Option<Place>,
        /// What was wrong.
        mistake: Box<Mistake>,
        /// What to do, in English.
        hint: String,
    },
    /// A value outside its range, or a combination that makes no sense.
    #[error("{}", OneLine(problem))]
    Invalid {
        /// What was wrong, and where.
        problem: String,
        /// What to do.
        hint: String,
    },
    /// The data cannot be trained on: empty, not a number, a label outside the classes, the wrong shape.
    #[error("{}", OneLine(problem))]
    Data {
        /// What was wrong, and where.
        problem: String,
        /// What to do.
        hint: String,
    },
    /// A file whose contents are not what its format promises.
    #[error("{}", OneLine(format_args!("{}: {problem}", path.display())))]
    Format {
        /// The file.
        path: PathBuf,
        /// What was wrong in it.
        problem: String,
        /// What to do.
        hint: String,
    },
    /// A file could not be fetched, whole and right, from anywhere.
    #[error("{}", OneLine(problem))]
    Network {
        /// What was wanted, and what every mirror said.
        problem: String,
        /// What to do.
        hint: String,
    },
    /// Files that are not where they are looked for.
    #[error("{}", OneLine(problem))]
    Missing {
        /// What is missing, and where.
        problem: String,
        /// What to do.
        hint: String,
    },
    /// The operating system refused.
    #[error("{}", OneLine(format_args!("cannot {action} {}: {source}", path.display())))]
    Io {
        /// "read", "write", "create" ...
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's own word.
        source: std::io::Error,
    },
    /// A device, or a part of one, is not there.
    #[error("{}", OneLine(problem))]
    Device {
        /// What is missing.
        problem: String,
        /// What to do.
        hint: String,
    },
}

impl Error {
    /// The remedy, in one sentence; `None` when the message says it all.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Error::LayerShape { hint, .. }
            | Error::Mistake { hint, .. }
            | Error::Invalid { hint, .. }
            | Error::Data { hint, .. }
            | Error::Format { hint, .. }
            | Error::Missing { hint, .. }
            | Error::Network { hint, .. }
            | Error::Device { hint, .. } => Some(hint).filter(|h| !h.is_empty()).map(String::as_str),
            Error::WrongDevice { .. } => Some("make both with the same `Device`"),
            Error::OpShape { .. } | Error::Io { .. } => None,
        }
    }

    /// A value outside its range: the problem and the remedy.
    pub fn invalid(problem: impl Into<String>, hint: impl Into<String>) -> Error {
        Error::Invalid { problem: problem.into(), hint: hint.into() }
    }

    /// Data that cannot be trained on: the problem and the remedy.
    pub fn data(problem: impl Into<String>, hint: impl Into<String>) -> Error {
        Error::Data { problem: problem.into(), hint: hint.into() }
    }

    /// A file whose contents are not what its format promises: the file, the problem and the remedy.
    pub fn format(path: impl Into<PathBuf>, problem: impl Into<String>, hint: impl Into<String>) -> Error {
        Error::Format { path: path.into(), problem: problem.into(), hint: hint.into() }
    }

    /// Views that do not fit each other in op `op`.
    pub fn op(op: &'static str, problem: impl Into<String>) -> Error {
        Error::OpShape { op, problem: problem.into() }
    }

    /// An unknown name, with the nearest of `known` as the hint.
    ///
    /// ```
    /// let e = handgrad::Error::unknown("loss", "msee", &["mae", "mse"]);
    /// assert_eq!(e.to_string(), "unknown loss `msee`");
    /// assert_eq!(e.hint(), Some("did you mean `mse`? known: mae, mse"));
    /// ```
    pub fn unknown(what: impl Into<Cow<'static, str>>, name: &str, known: &[&str]) -> Error {
        Mistake::unknown_name(what, name, known).into()
    }

    /// The message and the remedy in that language. Those that are no [`Mistake`] are in English.
    pub fn in_language(&self, language: Language) -> (String, Option<String>) {
        match self {
            Error::Mistake { place, mistake, .. } => {
                let (sentence, hint) = mistake.told(language);
                let sentence = Place::prefix(place.as_ref(), language) + &sentence;
                (OneLine(sentence).to_string(), Some(OneLine(hint).to_string()))
            }
            other => (other.to_string(), other.hint().map(|hint| OneLine(hint).to_string())),
        }
    }

    /// The same, of a layer that has `below` it, nearest first, by name and kind.
    pub(crate) fn above<'a>(self, below: impl Iterator<Item = (&'a str, &'a str)>) -> Error {
        match self {
            Error::Mistake { place: None, mut mistake, .. } => {
                mistake.above(below);
                Error::from(*mistake)
            }
            other => other,
        }
    }

    /// The same, found in `path`. One that names a file already stays as it is.
    pub fn in_file(self, path: impl Into<PathBuf>) -> Error {
        match self {
            Error::Io { .. } | Error::Format { .. } => self,
            Error::Mistake { place: Some(Place::File(_)), .. } => self,
            Error::Mistake { mistake, hint, .. } => {
                Error::Mistake { place: Some(Place::File(path.into())), mistake, hint }
            }
            other => Error::format(path, other.to_string(), other.hint().unwrap_or_default()),
        }
    }

    /// The same, found in the data that a model is validated on.
    pub(crate) fn in_validation(self) -> Error {
        match self {
            Error::Mistake { place: None, mistake, hint } => {
                Error::Mistake { place: Some(Place::Validation), mistake, hint }
            }
            other => other,
        }
    }
}

/// Text whose control characters are shown as escapes, `\n` or `\u{1b}`: names in messages come from files, and a file
/// must not be able to write on the user's terminal or to break a message in two.
struct OneLine<T>(T);

impl<T: fmt::Display> fmt::Display for OneLine<T> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(Escaped(f), "{}", self.0)
    }
}

struct Escaped<'a, 'f>(&'a mut fmt::Formatter<'f>);

impl Write for Escaped<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for part in text.split_inclusive(char::is_control) {
            match part.chars().next_back().filter(|c| c.is_control()) {
                Some(c) => write!(self.0, "{}{}", &part[..part.len() - c.len_utf8()], c.escape_default())?,
                None => self.0.write_str(part)?,
            }
        }
        Ok(())
    }
}

/// Fails, naming the shapes, unless they `fit`: how an op refuses views that do not belong together.
pub(crate) fn check(op: &'static str, fit: bool, shapes: &[(&str, Shape)]) -> Result<()> {
    if fit {
        return Ok(());
    }
    let named: Vec<String> = shapes.iter().map(|(name, shape)| format!("{name} {shape}")).collect();
    Err(Error::op(op, format!("these do not fit each other: {}", named.join(", "))))
}

/// What never fails has no error: lets values stand where names may be misspelt.
impl From<std::convert::Infallible> for Error {
    fn from(never: std::convert::Infallible) -> Error {
        match never {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_cannot_break_a_message_or_write_on_a_terminal() {
        let e = Error::format("a\tb.npz", "array `de\nnse\u{1b}[2J/층`: no `shape`", "");
        assert_eq!(e.to_string(), "a\\tb.npz: array `de\\nnse\\u{1b}[2J/층`: no `shape`");
        let e = Error::unknown("layer", "de\r\nnse", &["dense"]);
        assert_eq!(e.to_string(), "unknown layer `de\\r\\nnse`");
        let (_, hint) = Error::invalid("x", "try `\u{7}`").in_language(Language::English);
        assert_eq!(hint.as_deref(), Some("try `\\u{7}`"));
    }
}
