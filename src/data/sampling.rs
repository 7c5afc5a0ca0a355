//! Classes of unequal size, made equal: by drawing some samples again, or by leaving some out.
//!
//! For the training part alone: a sample drawn twice must not stand on both sides of a split.

use super::dataset::Dataset;
use crate::error::{Error, Result};
use crate::rng::Rng;

/// The stream of a seed that draws samples, apart from those that split and shuffle.
const SAMPLING_STREAM: u64 = u64::from_be_bytes(*b"datasmpl");

impl Dataset {
    /// Draws samples of the smaller classes again, at random, until all classes have as many as the largest. Every
    /// sample stays, the order is random.
    ///
    /// ```
    /// use handgrad::data::{Dataset, Features, Targets};
    /// let x = Features::F32 { sample: 1.into(), values: vec![1., 2., 3., 4.] };
    /// let data = Dataset::new(x, Targets::labels(vec![0, 1, 1, 1]))?;
    /// assert_eq!(data.oversample(7)?.class_counts()?, [3, 3]);
    /// assert_eq!(data.undersample(7)?.class_counts()?, [1, 1]);
    /// # Ok::<(), handgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// The targets are not one class a sample; the result would have more samples than can be numbered.
    pub fn oversample(&self, seed: u64) -> Result<Dataset> {
        let mut rng = Rng::new(seed, SAMPLING_STREAM);
        let members = self.members()?;
        let most = members.iter().map(Vec::len).max().unwrap_or(0);
        let present = members.iter().filter(|m| !m.is_empty()).count();
        if most.checked_mul(present).is_none_or(|n| u32::try_from(n).is_err()) {
            return Err(Error::data(
                format!("{present} classes of {most} samples each are more than can be numbered"),
                "leave samples of the larger classes out instead: undersample",
            ));
        }
        let mut order = Vec::with_capacity(most * present);
        for class in members.iter().filter(|m| !m.is_empty()) {
            order.extend(class);
            order.extend((class.len()..most).map(|_| class[rng.below(class.len() as u64) as usize]));
        }
        rng.shuffle(&mut order);
        self.subset(&order)
    }

    /// Leaves samples of the larger classes out, at random, until all classes have as few as the smallest that has any.
    /// The order is random.
    ///
    /// # Errors
    /// The targets are not one class a sample.
    pub fn undersample(&self, seed: u64) -> Result<Dataset> {
        let mut rng = Rng::new(seed, SAMPLING_STREAM);
        let members = self.members()?;
        let least = members.iter().map(Vec::len).filter(|&n| n > 0).min().unwrap_or(0);
        let mut order = Vec::new();
        for mut class in members {
            rng.shuffle(&mut class);
            order.extend(class.into_iter().take(least));
        }
        rng.shuffle(&mut order);
        self.subset(&order)
    }

    /// The samples of each class.
    fn members(&self) -> Result<Vec<Vec<usize>>> {
        let mut members = vec![Vec::new(); self.class_counts()?.len()];
        (0..self.len()).for_each(|i| members[self.y().class_of(i)].push(i));
        Ok(members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Features, Targets};

    fn data() -> Dataset {
        let labels: Vec<u32> = (0..50)
            .map(|i| {
                if i < 40 {
                    0
                } else if i < 47 {
                    3
                } else {
                    1
                }
            })
            .collect();
        let x = Features::F32 { sample: 1.into(), values: (0..50).map(|i| i as f32).collect() };
        Dataset::new(x, Targets::labels(labels)).unwrap()
    }

    fn samples(data: &Dataset) -> Vec<usize> {
        let mut all: Vec<usize> = (0..data.len()).map(|i| data.x().values_of(i)[0] as usize).collect();
        all.sort_unstable();
        all
    }

    #[test]
    fn oversampling_keeps_all_and_repeats_the_few() {
        let more = data().oversample(1).unwrap();
        assert_eq!(more.class_counts().unwrap(), [40, 40, 0, 40]);
        let (mut distinct, all) = (samples(&more), samples(&more));
        distinct.dedup();
        assert_eq!(distinct, (0..50).collect::<Vec<_>>());
        assert_eq!(all.iter().filter(|&&i| i < 40).count(), 40, "the largest class is not repeated");
        assert_eq!(more, data().oversample(1).unwrap());
        assert_ne!(more, data().oversample(2).unwrap());
    }

    #[test]
    fn undersampling_repeats_none() {
        let fewer = data().undersample(1).unwrap();
        assert_eq!(fewer.class_counts().unwrap(), [3, 3, 0, 3]);
        let (mut distinct, all) = (samples(&fewer), samples(&fewer));
        distinct.dedup();
        assert_eq!(distinct, all);
        assert_ne!(samples(&data().undersample(2).unwrap()), all);
    }

    #[test]
    fn numbers_are_no_classes() {
        let rows = [[0.], [1.]];
        let y = Targets::Values { sample: [2, 2].into(), values: vec![0.; 8] };
        let x = Features::from_rows(&rows).unwrap();
        assert!(Dataset::new(x, y).unwrap().oversample(0).is_err());
    }
}
