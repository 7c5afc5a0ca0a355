//! Cuts of a range into parts, which the sizes alone decide: what a task computes never depends on the number of threads.
//!
//! [`Cut`] is for what has to be of few sizes, such as the slivers of a product. [`share`] is for tasks: whatever their
//! number is, two threads meet at the same place.

use std::ops::Range;

/// `0..len` cut into parts, as even as whole numbers allow: the first few are one longer.
#[derive(Clone, Copy)]
pub(super) struct Cut {
    parts: usize,
    size: usize,
    longer: usize,
}

impl Cut {
    /// Into `parts` parts, at least 1.
    pub(super) fn new(len: usize, parts: usize) -> Cut {
        Cut { parts, size: len / parts, longer: len % parts }
    }

    /// Into as many parts as are needed for none to be longer than `most`; one, if there is nothing to cut.
    pub(super) fn at_most(len: usize, most: usize) -> Cut {
        Cut::new(len, len.div_ceil(most).max(1))
    }

    /// The parts of `range` alone.
    pub(super) fn some(&self, range: Range<usize>) -> Cut {
        let longer = self.longer.saturating_sub(range.start).min(range.len());
        Cut { parts: range.len(), size: self.size, longer }
    }

    /// How long the first parts are and how many are so long, then the same of the rest.
    pub(super) fn sizes(&self) -> [(usize, usize); 2] {
        [(self.size + 1, self.longer), (self.size, self.parts - self.longer)]
    }

    /// How many parts there are.
    pub(super) fn parts(&self) -> usize {
        self.parts
    }

    /// Part i.
    pub(super) fn part(&self, i: usize) -> Range<usize> {
        let start = i * self.size + i.min(self.longer);
        start..start + self.size + usize::from(i < self.longer)
    }
}

/// Part i of `len` things in `parts` parts, which begin at multiples of `unit`. Half of the parts are half of the units,
/// whatever their number is, if only it is even: so two threads, each with the first or the second half of an op's tasks,
/// find in the next op what they wrote in the one before.
pub(super) fn share(len: usize, unit: usize, parts: usize, i: usize) -> Range<usize> {
    let units = len.div_ceil(unit);
    let start = |i: usize| len.min((i * units).div_ceil(parts) * unit);
    start(i)..start(i + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cut's sizes, and those of some of its parts, are the lengths of its parts in their order.
    #[test]
    fn sizes_are_those_of_the_parts() {
        for (len, parts) in [(0, 1), (5, 3), (6, 3), (32, 6), (2, 5), (98, 17)] {
            let cut = Cut::new(len, parts);
            let sizes =
                |c: Cut| c.sizes().into_iter().flat_map(|(size, n)| vec![size; n]).collect::<Vec<_>>();
            let lengths: Vec<_> = (0..parts).map(|i| cut.part(i).len()).collect();
            assert_eq!(sizes(cut), lengths);
            for (from, to) in (0..=parts).flat_map(|to| (0..=to).map(move |from| (from, to))) {
                assert_eq!(sizes(cut.some(from..to)), lengths[from..to]);
            }
        }
    }

    /// Parts follow each other, begin at whole units, and have the same middle for every even number of them.
    #[test]
    fn shares_meet_in_the_middle() {
        for (len, unit) in [(784, 16), (783, 16), (78_400, 1600), (5, 16), (0, 16), (64, 1)] {
            for parts in 1..20 {
                let shares: Vec<_> = (0..parts).map(|i| share(len, unit, parts, i)).collect();
                assert!(
                    shares
                        .windows(2)
                        .all(|w| w[0].end == w[1].start && (w[1].start % unit == 0 || w[1].is_empty()))
                );
                assert_eq!((shares[0].start, shares[parts - 1].end), (0, len));
                if parts % 2 == 0 {
                    assert_eq!(shares[parts / 2].start, share(len, unit, 2, 1).start, "{len} in {parts}");
                }
            }
        }
    }
}
