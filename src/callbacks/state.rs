//! What a callback remembers, in a form that can be saved.

use crate::error::{Error, Result};
use crate::model::Weight;

/// What a callback remembers: named numbers, and weights if it keeps any.
///
/// ```
/// use handgrad::callbacks::State;
/// let state = State::new("EarlyStopping").with("waited", 2.0);
/// assert_eq!((state.get("waited"), state.count("waited")?), (Some(2.0), 2));
/// assert!(state.check_kind("ReduceLROnPlateau").is_err());
/// # Ok::<(), handgrad::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// Whose it is: the name of the callback's type.
    pub kind: String,
    /// Names and values. A value may be NaN or infinite.
    pub numbers: Vec<(String, f64)>,
    /// A copy of a model's weights; empty if there is none.
    pub weights: Vec<Weight>,
}

impl State {
    /// Of the callback `kind`, with nothing in it.
    pub fn new(kind: &str) -> State {
        State { kind: kind.to_string(), numbers: Vec::new(), weights: Vec::new() }
    }

    /// With one more number.
    pub fn with(mut self, name: &str, value: f64) -> State {
        self.numbers.push((name.to_string(), value));
        self
    }

    /// The number of that name.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.numbers.iter().find(|(n, _)| n == name).map(|&(_, v)| v)
    }

    /// The number of that name, which must be there and be a count.
    ///
    /// # Errors
    /// It is not.
    pub fn count(&self, name: &str) -> Result<usize> {
        match self.get(name) {
            Some(v) if v >= 0.0 && v.fract() == 0.0 && v < 2f64.powi(53) => Ok(v as usize),
            v => Err(Error::data(
                format!("the saved state of {} has `{name}` {v:?}, which is no count", self.kind),
                "start from another checkpoint",
            )),
        }
    }

    /// Checks that the state is that of the callback `kind`.
    ///
    /// # Errors
    /// It is another's.
    pub fn check_kind(&self, kind: &str) -> Result<()> {
        match self.kind == kind {
            true => Ok(()),
            false => Err(Error::data(
                format!("the saved state of {} was given to {kind}", self.kind),
                "give each callback the state that it gave itself",
            )),
        }
    }
}
