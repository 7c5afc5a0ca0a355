//! k-fold cross-validation: every sample is tested on once, by a model that has not seen it.
//!
//! Source: Stone 1974; sizes and shares are scikit-learn's (`KFold`, `StratifiedKFold`).

use super::Dataset;
use super::split::random_order;
use crate::error::{Error, Result};

/// The folds of a dataset, one after the other: what to train on, and what to test on. Made by [`Dataset::k_fold`].
pub struct KFold<'a> {
    data: &'a Dataset,
    /// The fold in which each sample is tested on.
    fold_of: Vec<u32>,
    k: usize,
    next: usize,
}

impl Dataset {
    /// Cuts the samples into `k` parts, in a random order that depends on the seed alone. Fold after fold, one part is for
    /// testing and the others together for training; both keep the samples in their order. The parts' sizes differ by
    /// one at most; `stratified`, so do the counts of each class in them.
    ///
    /// A fold is copied out when its turn comes, and no earlier.
    ///
    /// ```
    /// use handgrad::data::{Dataset, Features, Targets};
    /// let x = Features::F32 { sample: 1.into(), values: (0..10).map(|i| i as f32).collect() };
    /// let y = Targets::labels(vec![0, 0, 0, 0, 0, 0, 1, 1, 1, 1]);
    /// for (train, test) in Dataset::new(x, y)?.k_fold(2, 7, true)? {
    ///     assert_eq!(train.class_counts()?, [3, 2]);
    ///     assert_eq!(test.class_counts()?, [3, 2]);
    /// }
    /// # Ok::<(), handgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// `k` below 2 or above the number of samples; stratified without classes, or with a class of fewer samples than
    /// folds.
    pub fn k_fold(&self, k: usize, seed: u64, stratified: bool) -> Result<KFold<'_>> {
        if k < 2 || k > self.len() {
            return Err(Error::invalid(
                format!("{} samples cannot be cut into {k} folds", self.len()),
                format!("give 2 to {} folds; 5 and 10 are usual", self.len()),
            ));
        }
        let mut order = random_order(self.len(), seed);
        if stratified {
            let counts = self.class_counts()?;
            if let Some(class) = counts.iter().position(|&n| n > 0 && n < k) {
                let n = counts[class];
                return Err(Error::data(
                    format!("class {class} has {n} of the samples, too few for each of {k} folds"),
                    "take fewer folds, add samples of that class, or split without stratification",
                ));
            }
            order.sort_by_key(|&i| self.y().class_of(i)); // stable: at random within a class
        }
        // Dealt like cards: any stretch of the order, and so any class, is spread evenly.
        let mut fold_of = vec![0; self.len()];
        order.iter().enumerate().for_each(|(at, &i)| fold_of[i] = (at % k) as u32);
        Ok(KFold { data: self, fold_of, k, next: 0 })
    }
}

impl Iterator for KFold<'_> {
    type Item = (Dataset, Dataset);

    fn next(&mut self) -> Option<(Dataset, Dataset)> {
        let fold = u32::try_from(self.next).ok().filter(|_| self.next < self.k)?;
        self.next += 1;
        let (test, train): (Vec<usize>, Vec<usize>) =
            (0..self.data.len()).partition(|&i| self.fold_of[i] == fold);
        Some((self.data.gather(&train), self.data.gather(&test)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.k - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for KFold<'_> {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Features, Targets};

    /// `counts[c]` samples of class c, each a number of its own.
    fn classes(counts: &[usize]) -> Dataset {
        let labels: Vec<u32> =
            counts.iter().enumerate().flat_map(|(c, &n)| std::iter::repeat_n(c as u32, n)).collect();
        let values = (0..labels.len()).map(|i| i as f32).collect();
        Dataset::new(Features::F32 { sample: 1.into(), values }, Targets::labels(labels)).unwrap()
    }

    fn numbers(data: &Dataset) -> Vec<usize> {
        (0..data.len()).map(|i| data.x().values_of(i)[0] as usize).collect()
    }

    #[test]
    fn every_sample_is_tested_on_once_and_trained_on_in_all_other_folds() {
        let whole = classes(&[17, 5, 31]);
        for (k, stratified) in [(2, false), (5, false), (5, true), (53, false)] {
            let folds = whole.k_fold(k, 3, stratified).unwrap();
            assert_eq!(folds.len(), k);
            let mut tested = Vec::new();
            for (train, test) in folds {
                let mut all = [numbers(&train), numbers(&test)].concat();
                all.sort();
                assert_eq!(all, (0..53).collect::<Vec<_>>(), "{k} folds");
                assert!(test.len() == 53 / k || test.len() == 53 / k + 1, "{k} folds: {}", test.len());
                for i in 0..test.len() {
                    let (x, y) = (test.x().values_of(i)[0] as usize, test.y().values_of(i)[0]);
                    assert_eq!(y, whole.y().values_of(x)[0], "a target left its sample");
                }
                tested.extend(numbers(&test));
            }
            tested.sort();
            assert_eq!(tested, (0..53).collect::<Vec<_>>(), "{k} folds");
        }
    }

    #[test]
    fn strata_are_even_to_one_sample() {
        let counts = [17, 5, 31, 0, 10];
        let whole = classes(&counts);
        for (_, test) in whole.k_fold(5, 0, true).unwrap() {
            let mut here = test.class_counts().unwrap();
            here.resize(5, 0);
            for (class, (&n, &all)) in here.iter().zip(&counts).enumerate() {
                assert!(n == all / 5 || n == all.div_ceil(5), "class {class}: {n} of {all}");
            }
        }
    }

    #[test]
    fn folds_depend_on_the_seed_alone() {
        let whole = classes(&[20, 20]);
        for stratified in [false, true] {
            let first = |seed| numbers(&whole.k_fold(4, seed, stratified).unwrap().next().unwrap().1);
            assert_eq!(first(1), first(1));
            assert_ne!(first(1), first(2));
        }
    }

    #[test]
    fn impossible_folds_are_refused() {
        let whole = classes(&[20, 3]);
        for (k, stratified, words) in [
            (0, false, "into 0 folds"),
            (1, true, "into 1 folds"),
            (24, false, "24"),
            (4, true, "class 1 has 3"),
        ] {
            let e = whole.k_fold(k, 0, stratified).map(|_| ()).unwrap_err();
            assert!(e.to_string().contains(words) && e.hint().is_some(), "{e}");
        }
        assert!(whole.k_fold(3, 0, true).is_ok());
    }
}
