//! What a training leaves behind: the object that `--json` writes. Scripts depend on these names.

use handgrad::data::AtomicFile;
use handgrad::model::{Epoch, History, Scores, Weight};
use handgrad::{Error, Result};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::path::Path;

/// The whole object.
#[derive(Serialize)]
pub(super) struct Report {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) preset: Option<String>,
    /// The file or folder, where a person's own data was learned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) data: Option<String>,
    pub(super) device: String,
    pub(super) threads: usize,
    pub(super) seed: u64,
    pub(super) parameters: usize,
    pub(super) weights_sha256: String,
    pub(super) samples_per_second: f64,
    pub(super) epochs: Vec<EpochReport>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) folds: Vec<Figures>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) test: Option<Figures>,
}

/// One epoch: how long the training took, and its figures, those of validation with `val_` in front.
#[derive(Serialize)]
pub(super) struct EpochReport {
    seconds: f64,
    #[serde(flatten)]
    figures: Figures,
}

/// Loss and metrics by name: those that were measured.
#[derive(Serialize)]
pub(super) struct Figures(serde_json::Map<String, serde_json::Value>);

impl From<&Scores> for Figures {
    fn from(scores: &Scores) -> Figures {
        Figures(scores.0.iter().map(|(name, figure)| (name.clone(), (*figure).into())).collect())
    }
}

impl From<&Epoch> for EpochReport {
    fn from(epoch: &Epoch) -> EpochReport {
        EpochReport { seconds: epoch.seconds, figures: (&epoch.scores).into() }
    }
}

/// Writes an object for scripts, whole or not at all.
pub(super) fn write_json(path: &Path, object: &impl Serialize) -> Result<()> {
    let failed = |source| Error::Io { action: "write", path: path.to_path_buf(), source };
    let mut text = serde_json::to_vec_pretty(object).map_err(|e| failed(e.into()))?;
    text.push(b'\n');
    AtomicFile::write(path, &text)
}

/// The fingerprint of all weights: SHA-256 of their `f32`, little-endian, in layer order.
pub(super) fn fingerprint(weights: &[Weight]) -> String {
    let mut sha = Sha256::new();
    for weight in weights {
        let bytes: Vec<u8> = weight.values.iter().flat_map(|&v| (v as f32).to_le_bytes()).collect();
        sha.update(bytes);
    }
    sha.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Training samples a second, validation not counted: the median over the epochs after the first, which warms up,
/// or the only one.
pub(super) fn samples_per_second(history: &History, samples: usize) -> f64 {
    let skip = usize::from(history.epochs.len() > 1);
    let mut rates: Vec<f64> =
        history.epochs.iter().skip(skip).map(|e| samples as f64 / e.seconds.max(1e-9)).collect();
    rates.sort_by(f64::total_cmp);
    let middle = rates.len() / 2;
    match rates.len() {
        0 => 0.0,
        n if n % 2 == 1 => rates[middle],
        _ => (rates[middle - 1] + rates[middle]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(seconds: &[f64]) -> History {
        let epoch = |&seconds| Epoch { seconds, scores: Scores(vec![("loss".into(), 1.0)]) };
        History { epochs: seconds.iter().map(epoch).collect() }
    }

    #[test]
    fn the_rate_is_the_median_after_the_first_epoch() {
        assert_eq!(samples_per_second(&history(&[2.0]), 100), 50.0);
        assert_eq!(samples_per_second(&history(&[9.0, 1.0]), 100), 100.0);
        assert_eq!(samples_per_second(&history(&[9.0, 1.0, 4.0, 2.0]), 100), 50.0);
        assert_eq!(samples_per_second(&history(&[9.0, 1.0, 2.0]), 100), 75.0);
    }

    #[test]
    fn what_was_not_measured_is_absent() {
        let epoch: EpochReport = (&history(&[1.5]).epochs[0]).into();
        assert_eq!(serde_json::to_string(&epoch).unwrap(), r#"{"seconds":1.5,"loss":1.0}"#);
    }

    /// The known SHA-256 of the bytes 00 00 80 3f 00 00 00 c0.
    #[test]
    fn the_fingerprint_is_of_little_endian_floats() {
        let weight = |values| Weight { name: "w".into(), shape: 1.into(), values };
        let expected = Sha256::digest([0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0]);
        let expected: String = expected.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(fingerprint(&[weight(vec![1.0]), weight(vec![-2.0])]), expected);
    }
}
