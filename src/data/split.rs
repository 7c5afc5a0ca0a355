//! Which samples are for training and which for testing: at random, and where wanted in the classes' shares.

use super::features::Targets;
use crate::error::{Error, Result};
use crate::mistakes::Mistake;
use crate::rng::Rng;

/// The stream of a seed that shuffles and splits, apart from those that models draw from.
const SPLIT_STREAM: u64 = u64::from_be_bytes(*b"datasplt");

/// More classes than anyone has; labels beyond it are not labels.
const MAX_CLASSES: usize = 1 << 24;

/// How much of a dataset [`Dataset::train_test_split`](super::Dataset::train_test_split) sets aside: a share (`0.2`) or a
/// count (`12_000`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TestSize {
    /// A share between 0 and 1, rounded to whole samples.
    Share(f64),
    /// A number of samples.
    Count(usize),
}

impl From<f64> for TestSize {
    fn from(share: f64) -> TestSize {
        TestSize::Share(share)
    }
}

impl From<usize> for TestSize {
    fn from(count: usize) -> TestSize {
        TestSize::Count(count)
    }
}

impl TestSize {
    /// How many of `samples` are set aside: at least one, and not all.
    fn of(self, samples: usize) -> Result<usize> {
        let test = match self {
            TestSize::Count(n) => n,
            TestSize::Share(s) if s > 0.0 && s < 1.0 => (s * samples as f64).round() as usize,
            TestSize::Share(share) => return Err(Mistake::TestShare { share }.into()),
        };
        match test == 0 || test >= samples {
            true => Err(Mistake::NothingLeft { part: test, of: samples }.into()),
            false => Ok(test),
        }
    }
}

/// The numbers 0 to `samples` − 1 in a random order that depends on the seed alone.
pub(super) fn random_order(samples: usize, seed: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..samples).collect();
    Rng::new(seed, SPLIT_STREAM).shuffle(&mut order);
    order
}

/// The positions of so many samples for training, and those for testing, at random.
///
/// ```
/// let (train, test) = handgrad::data::train_test_indices(10, 0.3, 7)?;
/// assert_eq!((train.len(), test.len()), (7, 3));
/// # Ok::<(), handgrad::Error>(())
/// ```
///
/// # Errors
/// One of the parts would be empty; a share outside 0 to 1.
pub fn train_test_indices(
    samples: usize,
    test_size: impl Into<TestSize>,
    seed: u64,
) -> Result<(Vec<usize>, Vec<usize>)> {
    let test = test_size.into().of(samples)?;
    let mut order = random_order(samples, seed);
    let train = order.split_off(test);
    Ok((train, order))
}

impl Targets {
    /// The positions for training and for testing, with the whole's shares of the classes in both parts. Fractions of a
    /// sample are made whole by the largest remainders, so that a part is never off by more than one a class.
    ///
    /// # Errors
    /// As [`train_test_indices`]; a target is not one class; a class of a single sample, or a part of fewer samples than
    /// classes.
    pub fn stratified_indices(
        &self,
        test_size: impl Into<TestSize>,
        seed: u64,
    ) -> Result<(Vec<usize>, Vec<usize>)> {
        let (len, test) = (self.len(), test_size.into().of(self.len())?);
        let counts = self.class_counts()?;
        if let Some(class) = counts.iter().position(|&n| n == 1) {
            return Err(Error::data(
                format!(
                    "class {class} has a single sample, which cannot be on both sides of a stratified split"
                ),
                "add samples of that class, or split without stratification",
            ));
        }
        let present = counts.iter().filter(|&&n| n > 0).count();
        if test < present || len - test < present {
            return Err(Error::data(
                format!("a stratified split of {len} samples into {} and {test}", len - test)
                    + &format!(" cannot show each of {present} classes on both sides"),
                "set more samples aside, or fewer, or split without stratification",
            ));
        }
        let mut quota: Vec<usize> = counts.iter().map(|&n| n * test / len).collect();
        let mut by_remainder: Vec<usize> = (0..counts.len()).collect();
        by_remainder.sort_by_key(|&c| (std::cmp::Reverse(counts[c] * test % len), c));
        let missing = test - quota.iter().sum::<usize>();
        by_remainder[..missing].iter().for_each(|&c| quota[c] += 1);
        let (mut front, mut back) = (Vec::with_capacity(test), Vec::with_capacity(len - test));
        for i in random_order(len, seed) {
            let left = &mut quota[self.class_of(i)];
            let part = if *left > 0 { &mut front } else { &mut back };
            *left = left.saturating_sub(1);
            part.push(i);
        }
        Ok((back, front))
    }

    /// How many classes there are: the largest label and all below it, or the columns of one-hot rows (2 for one
    /// column).
    ///
    /// # Errors
    /// A target is not one class.
    pub fn classes(&self) -> Result<usize> {
        match self {
            Targets::Labels { sample, labels } if sample.len() == 1 => {
                Ok(labels.iter().max().map_or(0, |&l| l as usize + 1))
            }
            Targets::Values { sample, .. } if sample.rank() <= 1 => Ok(sample.len().max(2)),
            y => Err(Error::data(
                format!("targets of shape {} are not one class a sample", y.sample().per_sample()),
                "give one label a sample, or one one-hot row",
            )),
        }
    }

    /// How many samples each class has.
    ///
    /// # Errors
    /// A target is not one class, or labels are so large that they cannot be classes.
    pub fn class_counts(&self) -> Result<Vec<usize>> {
        let classes = self.classes()?;
        if classes > MAX_CLASSES {
            return Err(Error::data(
                format!("the largest label is {}, too large to be a class", classes - 1),
                "number the classes from 0",
            ));
        }
        let mut counts = vec![0; classes];
        (0..self.len()).for_each(|i| counts[self.class_of(i)] += 1);
        Ok(counts)
    }

    /// The class of sample `i`: its label, the largest of its one-hot row, or whether its one value is above ½.
    pub(super) fn class_of(&self, i: usize) -> usize {
        match self {
            Targets::Labels { labels, .. } => labels[i] as usize,
            Targets::Values { sample, values } if sample.len() == 1 => usize::from(values[i] > 0.5),
            Targets::Values { sample, values } => {
                let row = &values[i * sample.len()..][..sample.len()];
                (1..row.len()).fold(0, |best, c| if row[c] > row[best] { c } else { best })
            }
        }
    }
}

/// Fails if a position is none of `len` samples, or if there is no position.
pub(super) fn check_positions(order: &[usize], len: usize) -> Result<()> {
    if order.is_empty() {
        return Err(Mistake::NothingLeft { part: 0, of: len }.into());
    }
    match order.iter().find(|&&i| i >= len) {
        None => Ok(()),
        Some(i) => Err(Error::data(
            format!("sample {i} was asked for, the dataset has {len}"),
            format!("positions go from 0 to {}", len.saturating_sub(1)),
        )),
    }
}
