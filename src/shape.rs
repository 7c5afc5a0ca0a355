//! The extents of a tensor: up to six dimensions, row-major, no heap.

use crate::error::{Error, Result};
use std::fmt;

/// The most dimensions that a [`Shape`] can have.
pub const MAX_DIMS: usize = 6;

/// The extents of a tensor, outermost first. Copy, compares by value, prints as `[32, 28, 28, 1]`.
///
/// Data is contiguous and row-major: the last dimension varies fastest.
///
/// ```
/// use handgrad::Shape;
/// let image = Shape::from([28, 28, 1]);
/// assert_eq!(image.len(), 784);
/// assert_eq!(image.batched(32), Shape::from([32, 28, 28, 1]));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    dims: [usize; MAX_DIMS],
    rank: usize,
}

impl Shape {
    /// The shape of a single number.
    pub const SCALAR: Shape = Shape { dims: [1; MAX_DIMS], rank: 0 };

    /// From a slice.
    ///
    /// # Errors
    /// More than [`MAX_DIMS`] dimensions, or more elements than memory can address.
    pub fn new(dims: &[usize]) -> Result<Shape> {
        let elements = dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        if dims.len() > MAX_DIMS || elements.is_none_or(|n| n > isize::MAX as usize / 8) {
            return Err(Error::invalid(
                format!("the shape {dims:?} is too large"),
                format!("a shape has up to {MAX_DIMS} dimensions and must fit into memory"),
            ));
        }
        let mut shape = Shape { rank: dims.len(), ..Shape::SCALAR };
        shape.dims[..dims.len()].copy_from_slice(dims);
        Ok(shape)
    }

    /// The extents, outermost first.
    pub fn dims(&self) -> &[usize] {
        &self.dims[..self.rank]
    }

    /// The number of dimensions.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// The number of elements: the product of the extents, 1 for a scalar.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.dims().iter().product()
    }

    /// The outermost extent (1 for a scalar): the batch, where there is one.
    pub fn rows(&self) -> usize {
        if self.rank == 0 { 1 } else { self.dims[0] }
    }

    /// The innermost extent (1 for a scalar): the channels, features or classes.
    pub fn last(&self) -> usize {
        if self.rank == 0 { 1 } else { self.dims[self.rank - 1] }
    }

    /// All but the innermost dimension folded into rows: `[rows, last]`, so that `rows · last = len`.
    pub fn as_matrix(&self) -> (usize, usize) {
        let cols = self.last();
        (self.dims().iter().rev().skip(1).product(), cols)
    }

    /// Where the `i`-th number stands, one position an axis: 30 of `[28, 28]` is at `[1, 2]`.
    pub fn coordinates(&self, i: usize) -> Vec<usize> {
        let mut rest = i;
        let inwards = self.dims().iter().rev().map(|&n| {
            let at = rest % n.max(1);
            rest /= n.max(1);
            at
        });
        let mut at: Vec<usize> = inwards.collect();
        at.reverse();
        at
    }

    /// With a batch of `n` in front: `[28, 28] → [n, 28, 28]`.
    ///
    /// # Panics
    /// If there is no dimension left; layers check samples to have at most five.
    pub fn batched(&self, n: usize) -> Shape {
        assert!(self.rank < MAX_DIMS, "no dimension left for the batch");
        let mut dims = [1; MAX_DIMS];
        dims[0] = n;
        dims[1..=self.rank].copy_from_slice(self.dims());
        Shape { dims, rank: self.rank + 1 }
    }

    /// Without the outermost dimension: `[n, 28, 28] → [28, 28]`. A scalar stays a scalar.
    pub fn sample(&self) -> Shape {
        let mut dims = [1; MAX_DIMS];
        let rank = self.rank.saturating_sub(1);
        dims[..rank].copy_from_slice(&self.dims()[self.rank - rank..]);
        Shape { dims, rank }
    }

    /// With another outermost extent: `[32, 10] → [n, 10]`.
    pub fn with_rows(mut self, n: usize) -> Shape {
        self.dims[0] = n;
        self.rank = self.rank.max(1);
        self
    }

    /// As text with `N` in front, the way errors show a layer's input: `[N, 28, 28]`.
    pub fn per_sample(&self) -> String {
        self.dims().iter().fold("[N".to_string(), |s, d| format!("{s}, {d}")) + "]"
    }
}

impl<const R: usize> From<[usize; R]> for Shape {
    /// Panics when the elements are more than memory can address; [`Shape::new`] returns an error instead.
    fn from(dims: [usize; R]) -> Shape {
        const { assert!(R <= MAX_DIMS, "a shape has at most 6 dimensions") };
        Shape::new(&dims).unwrap_or_else(|e| panic!("{e}"))
    }
}

impl From<usize> for Shape {
    fn from(n: usize) -> Shape {
        Shape::from([n])
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{:?}", self.dims())
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matrix_view_folds_all_but_the_last() {
        assert_eq!(Shape::from([2, 3, 4]).as_matrix(), (6, 4));
        assert_eq!(Shape::from([5]).as_matrix(), (1, 5));
        assert_eq!(Shape::SCALAR.as_matrix(), (1, 1));
    }

    #[test]
    fn coordinates_count_the_last_axis_first() {
        assert_eq!(Shape::from([28, 28]).coordinates(30), [1, 2]);
        assert_eq!(Shape::from([2, 3, 4]).coordinates(23), [1, 2, 3]);
        assert!(Shape::SCALAR.coordinates(0).is_empty());
    }

    #[test]
    fn batch_and_sample_are_inverse() {
        let s = Shape::from([28, 28, 1]);
        assert_eq!(s.batched(7).sample(), s);
        assert_eq!(s.batched(7).with_rows(3).dims(), [3, 28, 28, 1]);
        assert_eq!(Shape::SCALAR.sample(), Shape::SCALAR);
    }

    #[test]
    fn too_large_is_an_error_and_not_an_overflow() {
        assert!(Shape::new(&[usize::MAX, 2]).is_err());
        assert!(Shape::new(&[1 << 40, 1 << 40]).is_err());
        assert!(Shape::new(&[1; 7]).is_err());
        assert_eq!(Shape::from([3, 4]).to_string(), "[3, 4]");
        assert_eq!(Shape::from([3, 4]).per_sample(), "[N, 3, 4]");
    }
}
