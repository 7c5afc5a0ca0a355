//! Samples and what a model should make of them.

use super::features::{Features, Targets, flatten};
use super::split::{TestSize, check_positions, random_order, train_test_indices};
use crate::error::{Error, Result};
use crate::mistakes::{Mistake, Part};
use crate::shape::Shape;

/// Samples and what they should give, one target for each sample, in the program's memory.
///
/// Checked when it is made: the counts agree, there is at least one sample, and every number is finite.
///
/// ```
/// use handgrad::data::Dataset;
/// let xor = Dataset::from_rows(&[[0., 0.], [0., 1.], [1., 0.], [1., 1.]], &[[0.], [1.], [1.], [0.]])?;
/// assert_eq!((xor.len(), xor.sample_shape().dims()), (4, &[2][..]));
/// # Ok::<(), handgrad::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    x: Features,
    y: Targets,
    len: usize,
}

impl Dataset {
    /// Pairs samples with targets.
    ///
    /// # Errors
    /// Their counts differ, there is none, a sample is incomplete, or a number is NaN or infinite.
    pub fn new(x: Features, y: Targets) -> Result<Dataset> {
        x.check()?;
        y.check()?;
        let len = x.len();
        if len != y.len() {
            return Err(Mistake::Counts { samples: len, targets: y.len() }.into());
        }
        if u32::try_from(len).is_err() {
            return Err(Error::data(
                format!("{len} samples are more than a dataset can number"),
                "train on parts of fewer than 2³² samples",
            ));
        }
        Ok(Dataset { x, y, len })
    }

    /// A small table, such as a logic gate's: rows of inputs and rows of what they should give.
    ///
    /// # Errors
    /// As [`new`](Dataset::new), and rows of different lengths.
    pub fn from_rows(x: &[impl AsRef<[f32]>], y: &[impl AsRef<[f32]>]) -> Result<Dataset> {
        let (sample, values) = flatten(y, Part::Y)?;
        Dataset::new(Features::from_rows(x)?, Targets::Values { sample, values })
    }

    /// How many samples; at least one.
    #[allow(clippy::len_without_is_empty)] // a dataset is never empty
    pub fn len(&self) -> usize {
        self.len
    }

    /// What goes in.
    pub fn x(&self) -> &Features {
        &self.x
    }

    /// What should come out.
    pub fn y(&self) -> &Targets {
        &self.y
    }

    /// The shape of one sample.
    pub fn sample_shape(&self) -> Shape {
        self.x.sample()
    }

    /// The shape of one sample's target.
    pub fn target_shape(&self) -> Shape {
        self.y.sample()
    }

    /// The first `n` samples, or all if there are fewer.
    ///
    /// # Errors
    /// `n` is 0.
    pub fn take(mut self, n: usize) -> Result<Dataset> {
        if n == 0 {
            return Err(Mistake::NothingLeft { part: 0, of: self.len }.into());
        }
        if n < self.len {
            self.x.split_off(n);
            self.y.split_off(n);
            self.len = n;
        }
        Ok(self)
    }

    /// The samples at the given positions, in that order; a position may come more than once.
    ///
    /// # Errors
    /// No position, or one past the end.
    pub fn subset(&self, order: &[usize]) -> Result<Dataset> {
        check_positions(order, self.len)?;
        Dataset::new(self.x.gather(order), self.y.gather(order))
    }

    /// The same samples in a random order that depends on the seed alone.
    pub fn shuffled(&self, seed: u64) -> Dataset {
        self.gather(&random_order(self.len, seed))
    }

    /// The samples at positions that are known to be there, at least one.
    pub(super) fn gather(&self, order: &[usize]) -> Dataset {
        Dataset { x: self.x.gather(order), y: self.y.gather(order), len: order.len() }
    }

    /// The first `at` samples, and the others.
    ///
    /// # Errors
    /// One of the parts would be empty.
    pub fn split_at(mut self, at: usize) -> Result<(Dataset, Dataset)> {
        if at == 0 || at >= self.len {
            return Err(Mistake::NothingLeft { part: at, of: self.len }.into());
        }
        let rest = Dataset { x: self.x.split_off(at), y: self.y.split_off(at), len: self.len - at };
        self.len = at;
        Ok((self, rest))
    }

    /// A random part to train on, and one of `test_size` to test on. `stratified` keeps the shares of the classes.
    ///
    /// ```
    /// use handgrad::data::{Dataset, Features, Targets};
    /// let x = Features::F32 { sample: 1.into(), values: (0..10).map(|i| i as f32).collect() };
    /// let y = Targets::labels(vec![0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
    /// let (train, test) = Dataset::new(x, y)?.train_test_split(0.5, 7, true)?;
    /// assert_eq!(train.class_counts()?, [4, 1]);
    /// assert_eq!(test.class_counts()?, [4, 1]);
    /// # Ok::<(), handgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// One of the parts would be empty; a share outside 0 to 1; stratified without classes, with a class of only one
    /// sample, or with a part of fewer samples than classes.
    pub fn train_test_split(
        &self,
        test_size: impl Into<TestSize>,
        seed: u64,
        stratified: bool,
    ) -> Result<(Dataset, Dataset)> {
        let (train, test) = self.train_test_indices(test_size, seed, stratified)?;
        Ok((self.subset(&train)?, self.subset(&test)?))
    }

    /// The positions of the samples that [`train_test_split`](Dataset::train_test_split) puts into each part.
    ///
    /// # Errors
    /// As there.
    pub fn train_test_indices(
        &self,
        test_size: impl Into<TestSize>,
        seed: u64,
        stratified: bool,
    ) -> Result<(Vec<usize>, Vec<usize>)> {
        match stratified {
            true => self.y.stratified_indices(test_size, seed),
            false => train_test_indices(self.len, test_size, seed),
        }
    }

    /// Labels as one-hot rows of `classes` numbers: 2 of 4 becomes `[0, 0, 1, 0]`.
    ///
    /// # Errors
    /// A label of `classes` or more, or targets that are values already.
    pub fn one_hot(self, classes: usize) -> Result<Dataset> {
        let (sample, labels) = match &self.y {
            Targets::Labels { sample, labels } => (*sample, labels),
            Targets::Values { sample, .. } => {
                let targets = [&[self.len], sample.dims()].concat();
                return Err(Mistake::EncodedAgain { targets, classes }.into());
            }
        };
        self.check_labels(classes)?;
        let mut dims = sample.dims().to_vec();
        dims.push(classes);
        let encoded = Shape::new(&dims)?;
        let numbers = Shape::new(&[labels.len(), classes])?.len();
        let mut values = vec![0.0; numbers];
        for (row, &label) in values.chunks_exact_mut(classes).zip(labels) {
            row[label as usize] = 1.0;
        }
        Dataset::new(self.x, Targets::Values { sample: encoded, values })
    }

    /// Checks that every label is below `classes`. Targets that are values pass.
    ///
    /// # Errors
    /// A label of `classes` or more, and where.
    pub fn check_labels(&self, classes: usize) -> Result<()> {
        match &self.y {
            Targets::Labels { sample, labels } => check_labels(labels, sample.len(), classes, || None),
            Targets::Values { .. } => Ok(()),
        }
    }

    /// The same numbers with another shape of a sample: `[784]` as `[28, 28, 1]`.
    ///
    /// # Errors
    /// As [`Features::reshape`].
    pub fn reshape(mut self, sample: impl Into<Shape>) -> Result<Dataset> {
        self.x = self.x.reshape(sample)?;
        Ok(self)
    }

    /// Multiplies every number that goes in by `factor`. Bytes stay bytes: it is their worth that changes.
    ///
    /// # Errors
    /// The factor is 0 or not finite, or makes a number so.
    pub fn scale(mut self, factor: f32) -> Result<Dataset> {
        if !(factor.is_finite() && factor != 0.0) {
            return Err(Error::invalid(
                format!("samples cannot be scaled by {factor}"),
                "give a factor such as 1.0 / 255.0",
            ));
        }
        match &mut self.x {
            Features::F32 { values, .. } => values.iter_mut().for_each(|v| *v *= factor),
            Features::Bytes { scale, .. } => *scale *= factor,
        }
        self.x.check()?;
        Ok(self)
    }

    /// How many classes there are: the largest label and all below it, or the columns of one-hot rows (2 for one
    /// column).
    ///
    /// # Errors
    /// A target is not one class.
    pub fn classes(&self) -> Result<usize> {
        self.y.classes()
    }

    /// How many samples each class has.
    ///
    /// # Errors
    /// A target is not one class, or labels are so large that they cannot be classes.
    pub fn class_counts(&self) -> Result<Vec<usize>> {
        self.y.class_counts()
    }
}

/// Checks that every label is below `classes`, those of the layer that `layer` names, if one is to blame.
pub(crate) fn check_labels(
    labels: &[u32],
    width: usize,
    classes: usize,
    layer: impl Fn() -> Option<String>,
) -> Result<()> {
    let Some(i) = labels.iter().position(|&l| l as usize >= classes) else { return Ok(()) };
    let label = labels[i];
    let from_one = label as usize == classes && labels.iter().all(|l| (1..=label).contains(l));
    Err(Mistake::LabelOutside { layer: layer(), label, sample: i / width, classes, from_one }.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(n: usize) -> Dataset {
        let values = (0..2 * n).map(|i| i as f32).collect();
        let labels = (0..n).map(|i| (i % 3) as u32).collect();
        Dataset::new(Features::F32 { sample: 2.into(), values }, Targets::labels(labels)).unwrap()
    }

    #[test]
    fn a_split_keeps_every_sample_once_and_its_target_with_it() {
        let whole = table(50);
        for stratified in [false, true] {
            let (train, test) = whole.train_test_split(0.3, 5, stratified).unwrap();
            assert_eq!((train.len(), test.len()), (35, 15));
            let mut seen: Vec<usize> = [&train, &test]
                .iter()
                .flat_map(|d| (0..d.len()).map(|i| (d.x().values_of(i)[0] as usize / 2, d.y().class_of(i))))
                .map(|(i, class)| {
                    assert_eq!(class, i % 3);
                    i
                })
                .collect();
            seen.sort_unstable();
            assert_eq!(seen, (0..50).collect::<Vec<_>>());
            assert_eq!(whole.train_test_split(15, 5, stratified).unwrap(), (train.clone(), test));
            assert_ne!(whole.train_test_split(15, 6, stratified).unwrap().0, train);
        }
        let (_, test) = whole.train_test_split(15, 5, true).unwrap();
        assert_eq!(test.class_counts().unwrap(), [5, 5, 5]); // 17 · 0.3, 17 · 0.3, 16 · 0.3
    }

    #[test]
    fn one_hot_puts_the_one_at_the_label_and_refuses_a_second_time() {
        let data = table(4).one_hot(3).unwrap();
        let expected = [1., 0., 0., 0., 1., 0., 0., 0., 1., 1., 0., 0.];
        assert_eq!(data.y(), &Targets::Values { sample: 3.into(), values: expected.to_vec() });
        assert_eq!(data.class_counts().unwrap(), [2, 1, 1]);
        let again = data.one_hot(3).unwrap_err().to_string();
        assert!(again.contains("encoded twice") && again.contains("[4, 3]"), "{again}");
        let outside = table(4).one_hot(2).unwrap_err().to_string();
        assert_eq!(outside, "sample 2 has label 2, outside the 2 classes");
    }

    #[test]
    fn what_cannot_be_trained_on_says_where() {
        let bad = |values: Vec<f32>, labels: Vec<u32>| {
            let x = Features::F32 { sample: 2.into(), values };
            Dataset::new(x, Targets::labels(labels)).unwrap_err().to_string()
        };
        assert_eq!(
            bad(vec![0., 1., f32::NAN, 2.], vec![0, 1]),
            "x has NaN in sample 1, column 0 (counted from 0)"
        );
        assert_eq!(bad(vec![0., f32::INFINITY], vec![0]), "x has inf in sample 0, column 1 (counted from 0)");
        assert_eq!(bad(vec![0., 1.], vec![0, 1]), "1 samples came with 2 targets");
        assert!(bad(vec![], vec![]).starts_with("x is empty"));
        assert!(bad(vec![0.; 3], vec![0]).contains("not a multiple"));
        let rows = Dataset::from_rows(&[vec![0.], vec![0., 1.]], &[[1.], [0.]]).unwrap_err();
        assert_eq!(rows.to_string(), "row 1 of x has 2 numbers, row 0 has 1");
        assert!(table(3).reshape(28 * 20).unwrap_err().to_string().contains("[560]"));
        assert!(table(3).take(0).is_err() && table(3).subset(&[3]).is_err());
        for share in [0.0, 1.0, f64::NAN, -1.0, 0.01] {
            assert!(table(3).train_test_split(share, 0, false).is_err(), "{share}");
        }
        assert!(table(3).split_at(0).is_err() && table(3).split_at(3).is_err());
        assert!(table(4).train_test_split(2, 0, true).is_err());
    }

    #[test]
    fn bytes_stay_bytes_and_are_worth_their_scale() {
        let x = Features::Bytes { sample: Shape::from([2, 2]), bytes: (0..12).collect(), scale: 0.5 };
        let data = Dataset::new(x, Targets::labels(vec![7, 8, 9])).unwrap();
        assert_eq!(data.x().values_of(1), [2., 2.5, 3., 3.5]);
        let (a, b) = data.clone().split_at(1).unwrap();
        assert_eq!((a.len(), b.len(), b.x().values_of(1)), (1, 2, vec![4., 4.5, 5., 5.5]));
        let flat = data.scale(2.0).unwrap().reshape(4).unwrap().subset(&[2, 0]).unwrap();
        assert_eq!((flat.x().values_of(0), flat.sample_shape().dims()), (vec![8., 9., 10., 11.], &[4][..]));
        assert_eq!(flat.y(), &Targets::labels(vec![9, 7]));
        assert!(flat.take(5).unwrap().x().values_of(2).is_empty());
    }
}
