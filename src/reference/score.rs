//! Scores, counts and sums that keep their digits.

use super::check;
use crate::backend::Target;
use crate::error::{Error, Result};
use crate::metrics::Score;
use crate::shape::Shape;
use crate::tensor::{View, ViewMut};

/// The targets of a prediction [R, C], opened.
enum Targets<'a> {
    Values(&'a [f64]),
    Labels(&'a [u32]),
}

impl<'a> Targets<'a> {
    /// Values of the prediction's own shape, or a label below `classes` for each row.
    fn open(op: &'static str, prediction: Shape, target: Target<'a>, classes: usize) -> Result<Targets<'a>> {
        let (rows, cols) = prediction.as_matrix();
        let shapes = [("prediction", prediction), ("target", target.shape())];
        match target {
            Target::Values(t) => {
                check(op, cols > 0 && t.shape().as_matrix() == (rows, cols), &shapes)?;
                Ok(Targets::Values(t.f64()?))
            }
            Target::Labels(t) => {
                check(op, cols > 0 && t.shape().len() == rows, &shapes)?;
                let labels = t.host()?;
                match labels.iter().find(|&&label| label as usize >= classes) {
                    Some(label) => Err(Error::op(op, format!("label {label} of {classes} classes"))),
                    None => Ok(Targets::Labels(labels)),
                }
            }
        }
    }

    /// The class of row `r`: its label, or where its largest target stands.
    fn class(&self, r: usize, cols: usize) -> usize {
        match self {
            Targets::Values(t) => argmax(&t[r * cols..(r + 1) * cols]),
            Targets::Labels(t) => t[r] as usize,
        }
    }
}

/// Where the largest stands; the first of equals.
fn argmax(x: &[f64]) -> usize {
    let mut best = 0;
    for j in 1..x.len() {
        if x[j] > x[best] {
            best = j;
        }
    }
    best
}

pub(super) fn score(score: Score, prediction: View, target: Target, rows: ViewMut) -> Result<()> {
    let (r, cols) = prediction.shape().as_matrix();
    let targets = Targets::open("score", prediction.shape(), target, cols)?;
    check("score", rows.len() == r, &[("prediction", prediction.shape()), ("rows", rows.shape())])?;
    let (p, rows) = (prediction.f64()?, rows.f64()?);
    for r in 0..rows.len() {
        let row = &p[r * cols..(r + 1) * cols];
        let class = targets.class(r, cols);
        rows[r] = match (score, &targets) {
            (Score::Binary { threshold }, Targets::Values(t)) => {
                let right = |&j: &usize| f64::from(u8::from(row[j] > threshold)) == t[r * cols + j];
                (0..cols).filter(right).count() as f64 / cols as f64
            }
            (Score::Binary { .. }, Targets::Labels(_)) => {
                return Err(Error::op("score", "a binary score takes values, got labels"));
            }
            (Score::Categorical, _) => f64::from(u8::from(argmax(row) == class)),
            (Score::TopK(k), _) => {
                let larger = row.iter().filter(|&&p| p > row[class]).count();
                f64::from(u8::from(larger < k))
            }
        };
    }
    Ok(())
}

pub(super) fn count_classes(
    threshold: Option<f64>,
    prediction: View,
    target: Target,
    counts: ViewMut,
) -> Result<()> {
    let op = "count_classes";
    let (rows, cols) = prediction.shape().as_matrix();
    let targets = Targets::open(op, prediction.shape(), target, cols)?;
    let shapes = [("prediction", prediction.shape()), ("counts", counts.shape())];
    check(op, counts.shape().as_matrix() == (3, cols), &shapes)?;
    let (p, counts) = (prediction.f64()?, counts.f64()?);
    for r in 0..rows {
        let row = &p[r * cols..(r + 1) * cols];
        for j in 0..cols {
            let predicted = match threshold {
                Some(threshold) => row[j] > threshold,
                None => argmax(row) == j,
            };
            let actual = match targets {
                Targets::Values(t) => t[r * cols + j] > 0.5,
                Targets::Labels(t) => t[r] as usize == j,
            };
            counts[j] += f64::from(u8::from(predicted && actual));
            counts[cols + j] += f64::from(u8::from(predicted));
            counts[2 * cols + j] += f64::from(u8::from(actual));
        }
    }
    Ok(())
}

pub(super) fn count_pairs(prediction: View, target: Target, counts: ViewMut) -> Result<()> {
    let op = "count_pairs";
    let (rows, cols) = prediction.shape().as_matrix();
    let classes = if cols == 1 { 2 } else { cols };
    let targets = Targets::open(op, prediction.shape(), target, classes)?;
    let shapes = [("prediction", prediction.shape()), ("counts", counts.shape())];
    check(op, counts.shape().as_matrix() == (classes, classes), &shapes)?;
    let (p, counts) = (prediction.f64()?, counts.f64()?);
    for r in 0..rows {
        let (actual, predicted) = match targets {
            Targets::Values(t) if cols == 1 => (usize::from(t[r] > 0.5), usize::from(p[r] > 0.5)),
            Targets::Labels(t) if cols == 1 => (t[r] as usize, usize::from(p[r] > 0.5)),
            _ => (targets.class(r, cols), argmax(&p[r * cols..(r + 1) * cols])),
        };
        counts[actual * classes + predicted] += 1.0;
    }
    Ok(())
}

pub(super) fn accumulate(x: View, weights: Option<View>, acc: ViewMut) -> Result<()> {
    check("accumulate", acc.len() == 2, &[("acc", acc.shape())])?;
    if let Some(w) = weights {
        check("accumulate", w.len() == x.len(), &[("x", x.shape()), ("weights", w.shape())])?;
    }
    let weights = weights.map(View::f64).transpose()?;
    let (x, acc) = (x.f64()?, acc.f64()?);
    for r in 0..x.len() {
        add(acc, weights.map_or(1.0, |w| w[r]) * x[r]);
    }
    Ok(())
}

pub(super) fn accumulate_squares(x: View, acc: ViewMut) -> Result<()> {
    check("accumulate_squares", acc.len() == 2, &[("acc", acc.shape())])?;
    let (x, acc) = (x.f64()?, acc.f64()?);
    x.iter().for_each(|x| add(acc, x * x));
    Ok(())
}

/// acc[0] + acc[1] += x. The second number collects what rounding takes from the first (Neumaier 1974).
fn add(acc: &mut [f64], x: f64) {
    let (sum, total) = (acc[0], acc[0] + x);
    acc[1] += if sum.abs() >= x.abs() { (sum - total) + x } else { (x - total) + sum };
    acc[0] = total;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Device;

    #[test]
    fn scores_and_counts_by_hand() {
        let dev = Device::reference();
        let p = dev.tensor([3, 3], &[0.1, 0.7, 0.2, 0.4, 0.4, 0.2, 0.6, 0.3, 0.1]).unwrap();
        let mut labels = dev.indices([3].into()).unwrap();
        labels.write(&[1, 1, 2]).unwrap();
        let t = Target::Labels(labels.view());
        let mut rows = dev.zeros([3].into()).unwrap();
        dev.score(Score::Categorical, p.view(), t, rows.view_mut()).unwrap();
        assert_eq!(rows.to_vec(), [1., 0., 0.]); // of equals, the first
        dev.score(Score::TopK(1), p.view(), t, rows.view_mut()).unwrap();
        assert_eq!(rows.to_vec(), [1., 1., 0.]); // nothing is larger
        let mut counts = dev.zeros([3, 3].into()).unwrap();
        dev.count_classes(None, p.view(), t, counts.view_mut()).unwrap();
        assert_eq!(counts.to_vec(), [0., 1., 0., 2., 1., 0., 0., 2., 1.]);
        dev.fill(0.0, counts.view_mut()).unwrap();
        dev.count_pairs(p.view(), t, counts.view_mut()).unwrap();
        assert_eq!(counts.to_vec(), [0., 0., 0., 1., 1., 0., 1., 0., 0.]);
        labels.write(&[3]).unwrap();
        let t = Target::Labels(labels.view());
        assert!(dev.score(Score::Categorical, p.view(), t, rows.view_mut()).is_err());
    }

    #[test]
    fn sums_keep_their_digits() {
        let mut acc = [0.0; 2];
        [1.0, 1e100, 1.0, -1e100].iter().for_each(|&x| add(&mut acc, x));
        assert_eq!(acc[0] + acc[1], 2.0);
    }
}
