//! What others had with the same models, and whether one's own figures agree.

use std::fmt;

/// A published figure.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)] // the names say it
pub enum Figure {
    Unpublished,
    About(f64),
    AtLeast(f64),
    Between(f64, f64),
}

impl Figure {
    /// Whether a figure of one's own agrees, to within `tolerance`; anything agrees with what was not published.
    pub fn agrees(self, own: f64, tolerance: f64) -> bool {
        match self {
            Figure::Unpublished => true,
            Figure::About(x) => (own - x).abs() <= tolerance,
            Figure::AtLeast(x) => own >= x,
            Figure::Between(a, b) => own >= a - tolerance && own <= b + tolerance,
        }
    }

    /// How far a figure of one's own is above (or, negative, below) what was published; 0 inside a range or above a least
    /// value. NaN for what was not published.
    pub fn difference(self, own: f64) -> f64 {
        match self {
            Figure::Unpublished => f64::NAN,
            Figure::About(x) => own - x,
            Figure::AtLeast(x) => (own - x).min(0.0),
            Figure::Between(a, b) => own - own.clamp(a, b),
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Figure::Unpublished => Ok(()),
            Figure::About(x) => write!(f, "{x:.4}"),
            Figure::AtLeast(x) => write!(f, "at least {x}"),
            Figure::Between(a, b) => write!(f, "{a} to {b}"),
        }
    }
}

/// Loss and accuracy of one part of the data.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figures {
    /// The loss.
    pub loss: Figure,
    /// The accuracy.
    pub accuracy: Figure,
}

impl Figures {
    pub(super) const NONE: Figures = Figures { loss: Figure::Unpublished, accuracy: Figure::Unpublished };

    pub(super) const fn about(loss: f64, accuracy: f64) -> Figures {
        Figures { loss: Figure::About(loss), accuracy: Figure::About(accuracy) }
    }

    pub(super) const fn at_least(accuracy: f64) -> Figures {
        Figures { loss: Figure::Unpublished, accuracy: Figure::AtLeast(accuracy) }
    }
}

/// What others had.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Published {
    /// On the samples that were trained on, over the last epoch.
    pub training: Figures,
    /// On those set aside, with the weights that were kept.
    pub validation: Figures,
    /// On the test set, with the weights that were kept.
    pub test: Figures,
    /// What the figures do not say.
    pub note: &'static str,
}

impl Published {
    /// Nothing was published.
    pub(super) const NOTHING: Published =
        Published { training: Figures::NONE, validation: Figures::NONE, test: Figures::NONE, note: "" };

    /// Each published figure: of which part (`training`, `validation`, `test`), which (`loss`, `accuracy`), and what.
    pub fn each(&self) -> impl Iterator<Item = (&'static str, &'static str, Figure)> {
        let parts = [("training", self.training), ("validation", self.validation), ("test", self.test)];
        let figures = parts.map(|(part, of)| [(part, "loss", of.loss), (part, "accuracy", of.accuracy)]);
        figures.into_iter().flatten().filter(|(.., figure)| *figure != Figure::Unpublished)
    }
}

/// How far figures may be from the published ones, from seed to seed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    /// Accuracies: 0.01, or more where the published training itself swings more from seed to seed.
    pub accuracy: f64,
    /// Losses; `None` where they say less than the accuracies, as the loss of a model that has learnt its samples by
    /// heart.
    pub loss: Option<f64>,
}
