//! Tensors, and the borrowed views that ops work on.
//!
//! A [`Tensor`] owns reals, [`Indices`] own positions and class labels. Both are contiguous and row-major, and live
//! where their device keeps them: `f32` in 64-byte lines on the CPU, `f64` on the reference device.
//! A [`View`] or [`ViewMut`] borrows a run of rows. There are no strides: whatever needs another order says so with
//! an op that moves the numbers.
//!
//! Layers pass views around and never look inside; a backend opens them with [`View::f32`], [`View::f64`] and their
//! mutable twins, which fail when the numbers live elsewhere.

use crate::error::{Error, Result};
use crate::shape::Shape;
use std::ops::Range;

/// One cache line of floats: what the CPU's buffers are made of, so that every tensor starts at a line's boundary.
#[repr(C, align(64))]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Line([f32; 16]);

/// Where the numbers are.
enum Storage {
    F32(Vec<Line>),
    F64(Vec<f64>),
}

/// Reals of a [`Shape`], on a device. Made by [`Device::zeros`](crate::Backend::zeros) and its kin.
pub struct Tensor {
    shape: Shape,
    storage: Storage,
}

/// A borrowed tensor, or some rows of one. `Copy`: pass it by value.
#[derive(Clone, Copy)]
pub struct View<'a> {
    shape: Shape,
    data: Data<'a>,
}

#[derive(Clone, Copy)]
enum Data<'a> {
    F32(&'a [f32]),
    F64(&'a [f64]),
}

/// A tensor, or some rows of one, borrowed to be written. [`reborrow`](ViewMut::reborrow) it to use it twice.
pub struct ViewMut<'a> {
    shape: Shape,
    data: DataMut<'a>,
}

enum DataMut<'a> {
    F32(&'a mut [f32]),
    F64(&'a mut [f64]),
}

const F32_DEVICE: &str = "cpu";
const F64_DEVICE: &str = "reference";

impl Tensor {
    /// Zeros in `f32`, each tensor at a cache line's boundary. For backends; others ask a device.
    pub fn zeros_f32(shape: Shape) -> Tensor {
        let lines = shape.len().div_ceil(16);
        Tensor { shape, storage: Storage::F32(bytemuck::zeroed_vec(lines)) }
    }

    /// Zeros in `f64`. For backends; others ask a device.
    pub fn zeros_f64(shape: Shape) -> Tensor {
        Tensor { shape, storage: Storage::F64(vec![0.0; shape.len()]) }
    }

    /// The extents.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The whole tensor, to read.
    pub fn view(&self) -> View<'_> {
        let data = match &self.storage {
            Storage::F32(lines) => Data::F32(&bytemuck::cast_slice(lines)[..self.shape.len()]),
            Storage::F64(v) => Data::F64(v),
        };
        View { shape: self.shape, data }
    }

    /// The whole tensor, to write.
    pub fn view_mut(&mut self) -> ViewMut<'_> {
        let data = match &mut self.storage {
            Storage::F32(lines) => DataMut::F32(&mut bytemuck::cast_slice_mut(lines)[..self.shape.len()]),
            Storage::F64(v) => DataMut::F64(v),
        };
        ViewMut { shape: self.shape, data }
    }

    /// The first `shape.len()` elements as a tensor of `shape`, to read. Buffers planned for the largest batch
    /// serve smaller ones this way.
    ///
    /// # Errors
    /// `shape` has more elements than the tensor.
    pub fn prefix(&self, shape: Shape) -> Result<View<'_>> {
        let len = self.shape.len();
        match self.view().take(shape) {
            Some(view) => Ok(view),
            None => Err(too_short(len, shape)),
        }
    }

    /// The first `shape.len()` elements as a tensor of `shape`, to write.
    ///
    /// # Errors
    /// `shape` has more elements than the tensor.
    pub fn prefix_mut(&mut self, shape: Shape) -> Result<ViewMut<'_>> {
        Ok(self.view_mut().split(shape)?.0)
    }

    /// The numbers, rounded to `f32`.
    pub fn to_vec(&self) -> Vec<f32> {
        self.view().to_vec()
    }
}

impl std::fmt::Debug for Tensor {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "Tensor{} {:?}", self.shape, self.to_vec())
    }
}

fn too_short(len: usize, shape: Shape) -> Error {
    Error::op("view", format!("{shape} needs {} elements, the buffer has {len}", shape.len()))
}

impl<'a> View<'a> {
    /// A view of numbers that live in the program's own memory, as the CPU device reads them.
    ///
    /// # Errors
    /// `shape` does not have as many elements as the slice.
    pub fn from_f32(shape: Shape, values: &'a [f32]) -> Result<View<'a>> {
        if shape.len() != values.len() {
            return Err(too_short(values.len(), shape));
        }
        Ok(View { shape, data: Data::F32(values) })
    }

    /// The extents.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The number of elements.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.shape.len()
    }

    /// The same numbers under another shape.
    ///
    /// # Errors
    /// The two shapes do not have the same number of elements.
    pub fn reshape(self, shape: impl Into<Shape>) -> Result<View<'a>> {
        let shape = shape.into();
        if shape.len() != self.shape.len() {
            return Err(Error::op("reshape", format!("{} into {shape}", self.shape)));
        }
        Ok(View { shape, ..self })
    }

    /// Rows `range` of the outermost dimension.
    ///
    /// # Errors
    /// The range does not lie inside the rows.
    pub fn rows(self, range: Range<usize>) -> Result<View<'a>> {
        let (shape, at) = rows_of(self.shape, range)?;
        let data = match self.data {
            Data::F32(v) => Data::F32(&v[at]),
            Data::F64(v) => Data::F64(&v[at]),
        };
        Ok(View { shape, data })
    }

    fn take(self, shape: Shape) -> Option<View<'a>> {
        let data = match self.data {
            Data::F32(v) => Data::F32(v.get(..shape.len())?),
            Data::F64(v) => Data::F64(v.get(..shape.len())?),
        };
        Some(View { shape, data })
    }

    /// The numbers, for a backend that works in `f32`.
    ///
    /// # Errors
    /// The tensor lives on another device.
    pub fn f32(self) -> Result<&'a [f32]> {
        match self.data {
            Data::F32(v) => Ok(v),
            Data::F64(_) => Err(Error::WrongDevice { tensor: F64_DEVICE, device: F32_DEVICE }),
        }
    }

    /// The numbers, for a backend that works in `f64`.
    ///
    /// # Errors
    /// The tensor lives on another device.
    pub fn f64(self) -> Result<&'a [f64]> {
        match self.data {
            Data::F64(v) => Ok(v),
            Data::F32(_) => Err(Error::WrongDevice { tensor: F32_DEVICE, device: F64_DEVICE }),
        }
    }

    /// A copy on the host, rounded to `f32`.
    pub fn to_vec(self) -> Vec<f32> {
        match self.data {
            Data::F32(v) => v.to_vec(),
            Data::F64(v) => v.iter().map(|&x| x as f32).collect(),
        }
    }

    /// A copy on the host, in `f64`.
    pub fn to_vec_f64(self) -> Vec<f64> {
        match self.data {
            Data::F32(v) => v.iter().map(|&x| x.into()).collect(),
            Data::F64(v) => v.to_vec(),
        }
    }

    /// Copies the numbers into `out` without allocating.
    ///
    /// # Panics
    /// If `out` has another length.
    pub fn read(self, out: &mut [f64]) {
        assert_eq!(out.len(), self.len(), "reading {} into a slice of another length", self.shape);
        match self.data {
            Data::F32(v) => out.iter_mut().zip(v).for_each(|(o, &x)| *o = x.into()),
            Data::F64(v) => out.copy_from_slice(v),
        }
    }
}

impl<'a> ViewMut<'a> {
    /// The extents.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The number of elements.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.shape.len()
    }

    /// Lends the view on, to use it again afterwards.
    pub fn reborrow(&mut self) -> ViewMut<'_> {
        let data = match &mut self.data {
            DataMut::F32(v) => DataMut::F32(v),
            DataMut::F64(v) => DataMut::F64(v),
        };
        ViewMut { shape: self.shape, data }
    }

    /// The same numbers, to read.
    pub fn as_view(&self) -> View<'_> {
        let data = match &self.data {
            DataMut::F32(v) => Data::F32(v),
            DataMut::F64(v) => Data::F64(v),
        };
        View { shape: self.shape, data }
    }

    /// The same numbers, to read from now on.
    pub fn into_view(self) -> View<'a> {
        let data = match self.data {
            DataMut::F32(v) => Data::F32(v),
            DataMut::F64(v) => Data::F64(v),
        };
        View { shape: self.shape, data }
    }

    /// The same numbers under another shape.
    ///
    /// # Errors
    /// The two shapes do not have the same number of elements.
    pub fn reshape(self, shape: impl Into<Shape>) -> Result<ViewMut<'a>> {
        let shape = shape.into();
        if shape.len() != self.shape.len() {
            return Err(Error::op("reshape", format!("{} into {shape}", self.shape)));
        }
        Ok(ViewMut { shape, ..self })
    }

    /// Rows `range` of the outermost dimension.
    ///
    /// # Errors
    /// The range does not lie inside the rows.
    pub fn rows(self, range: Range<usize>) -> Result<ViewMut<'a>> {
        let (shape, at) = rows_of(self.shape, range)?;
        let data = match self.data {
            DataMut::F32(v) => DataMut::F32(&mut v[at]),
            DataMut::F64(v) => DataMut::F64(&mut v[at]),
        };
        Ok(ViewMut { shape, data })
    }

    /// The first `shape.len()` elements as `shape`, and a flat view of what is left.
    ///
    /// # Errors
    /// There are not that many elements.
    pub fn split(self, shape: impl Into<Shape>) -> Result<(ViewMut<'a>, ViewMut<'a>)> {
        let (shape, len) = (shape.into(), self.len());
        let at = shape.len();
        if at > len {
            return Err(too_short(len, shape));
        }
        let (head, tail) = match self.data {
            DataMut::F32(v) => {
                let (a, b) = v.split_at_mut(at);
                (DataMut::F32(a), DataMut::F32(b))
            }
            DataMut::F64(v) => {
                let (a, b) = v.split_at_mut(at);
                (DataMut::F64(a), DataMut::F64(b))
            }
        };
        Ok((ViewMut { shape, data: head }, ViewMut { shape: Shape::from([len - at]), data: tail }))
    }

    /// The numbers, for a backend that works in `f32`.
    ///
    /// # Errors
    /// The tensor lives on another device.
    pub fn f32(self) -> Result<&'a mut [f32]> {
        match self.data {
            DataMut::F32(v) => Ok(v),
            DataMut::F64(_) => Err(Error::WrongDevice { tensor: F64_DEVICE, device: F32_DEVICE }),
        }
    }

    /// The numbers, for a backend that works in `f64`.
    ///
    /// # Errors
    /// The tensor lives on another device.
    pub fn f64(self) -> Result<&'a mut [f64]> {
        match self.data {
            DataMut::F64(v) => Ok(v),
            DataMut::F32(_) => Err(Error::WrongDevice { tensor: F32_DEVICE, device: F64_DEVICE }),
        }
    }

    /// Writes numbers of the host, rounded to the device's precision.
    ///
    /// # Errors
    /// `values` has another length.
    pub fn write(self, values: &[f64]) -> Result<()> {
        if values.len() != self.len() {
            return Err(Error::op("write", format!("{} values into {}", values.len(), self.shape)));
        }
        match self.data {
            DataMut::F32(v) => v.iter_mut().zip(values).for_each(|(o, &x)| *o = x as f32),
            DataMut::F64(v) => v.copy_from_slice(values),
        }
        Ok(())
    }

    /// Writes `f32` numbers of the host.
    ///
    /// # Errors
    /// `values` has another length.
    pub fn write_f32(self, values: &[f32]) -> Result<()> {
        if values.len() != self.len() {
            return Err(Error::op("write", format!("{} values into {}", values.len(), self.shape)));
        }
        match self.data {
            DataMut::F32(v) => v.copy_from_slice(values),
            DataMut::F64(v) => v.iter_mut().zip(values).for_each(|(o, &x)| *o = x.into()),
        }
        Ok(())
    }
}

fn rows_of(shape: Shape, range: Range<usize>) -> Result<(Shape, Range<usize>)> {
    let row = shape.sample().len();
    if shape.rank() == 0 || range.start > range.end || range.end > shape.rows() {
        return Err(Error::op("rows", format!("rows {}..{} of {shape}", range.start, range.end)));
    }
    Ok((shape.with_rows(range.len()), range.start * row..range.end * row))
}

/// Whole numbers on a device: class labels, positions, token ids.
pub struct Indices {
    shape: Shape,
    data: Vec<u32>,
}

/// Borrowed [`Indices`], or some rows of them.
#[derive(Clone, Copy)]
pub struct IndexView<'a> {
    shape: Shape,
    data: &'a [u32],
}

impl Indices {
    /// Zeros in the host's memory, where the CPU and the reference device keep their indices.
    pub fn zeros_host(shape: Shape) -> Indices {
        Indices { shape, data: vec![0; shape.len()] }
    }

    /// The extents.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The first `shape.len()` indices as `shape`.
    ///
    /// # Errors
    /// There are not that many.
    pub fn prefix(&self, shape: Shape) -> Result<IndexView<'_>> {
        let data = self.data.get(..shape.len()).ok_or_else(|| too_short(self.data.len(), shape))?;
        Ok(IndexView { shape, data })
    }

    /// All of them.
    pub fn view(&self) -> IndexView<'_> {
        IndexView { shape: self.shape, data: &self.data }
    }

    /// Writes numbers of the host over the first `values.len()` indices.
    ///
    /// # Errors
    /// There are not that many.
    pub fn write(&mut self, values: &[u32]) -> Result<()> {
        let have = self.data.len();
        let into = self.data.get_mut(..values.len());
        into.ok_or_else(|| too_short(have, Shape::from([values.len()])))?.copy_from_slice(values);
        Ok(())
    }

    /// The numbers, to write, for a backend that keeps them on the host.
    ///
    /// # Errors
    /// They live on another device.
    pub fn host_mut(&mut self) -> Result<&mut [u32]> {
        Ok(&mut self.data)
    }
}

impl<'a> IndexView<'a> {
    /// The extents.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The numbers, for a backend that keeps them on the host.
    ///
    /// # Errors
    /// They live on another device.
    pub fn host(self) -> Result<&'a [u32]> {
        Ok(self.data)
    }

    /// A copy on the host.
    pub fn to_vec(self) -> Vec<u32> {
        self.data.to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_tensors_start_at_a_cache_line() {
        for n in [1, 15, 16, 17, 1000] {
            let t = Tensor::zeros_f32(Shape::from([n]));
            assert_eq!(t.view().f32().unwrap().as_ptr() as usize % 64, 0);
            assert_eq!(t.view().f32().unwrap().len(), n);
        }
    }

    #[test]
    fn rows_and_prefix_are_the_first_numbers() {
        let mut t = Tensor::zeros_f64(Shape::from([3, 2]));
        t.view_mut().write(&[0., 1., 2., 3., 4., 5.]).unwrap();
        assert_eq!(t.view().rows(1..3).unwrap().to_vec(), [2., 3., 4., 5.]);
        assert_eq!(t.prefix(Shape::from([2, 2])).unwrap().to_vec(), [0., 1., 2., 3.]);
        assert!(t.view().rows(2..4).is_err());
        assert!(t.prefix(Shape::from([7])).is_err());
        assert!(t.view().reshape([4]).is_err());
        let (a, b) = t.view_mut().split([4]).unwrap();
        assert_eq!((a.len(), b.into_view().to_vec()), (4, vec![4., 5.]));
    }

    #[test]
    fn the_wrong_precision_is_an_error() {
        let t = Tensor::zeros_f32(Shape::from([3]));
        assert!(t.view().f64().is_err());
    }
}
