//! Tensors, and the borrowed views that ops work on.
//!
//! A [`Tensor`] owns reals, [`Indices`] own positions and class labels. Both are contiguous and row-major, and live
//! where their device keeps them: `f32` in 64-byte lines on the CPU, `f64` on the reference device, and in [`Memory`]
//! that the program cannot address on a GPU.
//! A [`View`] or [`ViewMut`] borrows a run of rows. There are no strides: whatever needs another order says so with
//! an op that moves the numbers. The one exception is a batch [in blocks](View::in_blocks), for the first layer of a
//! perceptron.
//!
//! Layers pass views around and never look inside; a backend opens them with [`View::f32`], [`View::f64`] and their
//! mutable twins, which fail when the numbers live elsewhere.

mod indices;

use crate::backend::LiveColumns;
use crate::error::{Error, Result};
use crate::shape::Shape;
pub use indices::{IndexView, Indices};
use std::any::Any;
use std::ops::Range;

/// One cache line of floats: what the CPU's buffers are made of, so that every tensor starts at a line's boundary.
#[repr(C, align(64))]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
pub(crate) struct Line([f32; 16]);

/// A run of 32-bit words in a device's own memory, which the program cannot address: `f32`, or `u32` of indices.
///
/// Copies run in the order of the device's work: a read waits for what was asked of the device before.
pub trait Memory: Any + Send + Sync {
    /// Which kind of device has it, for messages: `cuda`.
    fn device(&self) -> &'static str;

    /// Copies the words from word `at` on to the host.
    ///
    /// # Errors
    /// They are not all there; the device failed, now or in the work before.
    fn read(&self, at: usize, out: &mut [u32]) -> Result<()>;

    /// Copies words of the host to word `at` and on.
    ///
    /// # Errors
    /// There is no room for them; the device failed.
    fn write(&self, at: usize, words: &[u32]) -> Result<()>;
}

/// A place in [`Memory`]: what a view holds of it. Views of one tensor that are borrowed to be written never overlap.
#[derive(Clone, Copy)]
struct Place<'a> {
    memory: &'a dyn Memory,
    /// The first word.
    at: usize,
}

impl Place<'_> {
    fn plus(self, words: usize) -> Self {
        Place { at: self.at + words, ..self }
    }

    fn read(self, out: &mut [f32]) -> Result<()> {
        self.memory.read(self.at, bytemuck::cast_slice_mut(out))
    }

    fn write(self, values: &[f32]) -> Result<()> {
        self.memory.write(self.at, bytemuck::cast_slice(values))
    }
}

/// Where the numbers are.
enum Storage {
    F32(Vec<Line>),
    F64(Vec<f64>),
    Device(Box<dyn Memory>),
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
    Device(Place<'a>),
    /// See [`View::in_blocks`].
    Blocks(&'a [f32], &'a LiveColumns),
}

/// A tensor, or some rows of one, borrowed to be written. [`reborrow`](ViewMut::reborrow) it to use it twice.
pub struct ViewMut<'a> {
    shape: Shape,
    data: DataMut<'a>,
}

enum DataMut<'a> {
    F32(&'a mut [f32]),
    F64(&'a mut [f64]),
    Device(Place<'a>),
}

const F32_DEVICE: &str = "cpu";
const F64_DEVICE: &str = "reference";
/// What errors call numbers that are not in rows.
const BLOCKS: &str = "cpu, in blocks";

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

    /// Numbers in `memory`, which holds at least `shape.len()` of them. For backends; others ask a device.
    pub fn on_device(shape: Shape, memory: impl Memory) -> Tensor {
        Tensor { shape, storage: Storage::Device(Box::new(memory)) }
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
            Storage::Device(memory) => Data::Device(Place { memory: &**memory, at: 0 }),
        };
        View { shape: self.shape, data }
    }

    /// The whole tensor, to write.
    pub fn view_mut(&mut self) -> ViewMut<'_> {
        let data = match &mut self.storage {
            Storage::F32(lines) => DataMut::F32(&mut bytemuck::cast_slice_mut(lines)[..self.shape.len()]),
            Storage::F64(v) => DataMut::F64(v),
            Storage::Device(memory) => DataMut::Device(Place { memory: &**memory, at: 0 }),
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
    ///
    /// # Panics
    /// As [`View::to_vec`].
    pub fn to_vec(&self) -> Vec<f32> {
        self.view().to_vec()
    }
}

impl std::fmt::Debug for Tensor {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self.view().values() {
            Ok(values) => write!(f, "Tensor{} {values:?}", self.shape),
            Err(e) => write!(f, "Tensor{} ({e})", self.shape),
        }
    }
}

fn in_blocks() -> Error {
    Error::WrongDevice { tensor: BLOCKS, device: F32_DEVICE }
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

    /// What [`load_blocks`](crate::Backend::load_blocks) wrote: samples cut into blocks of columns, where a sample's
    /// numbers in the first block are followed by the next sample's. A block has the columns that `live` names, at the
    /// place where it would begin if all blocks had all of theirs. For the ops that may
    /// [have it](crate::Backend::has_blocks) so.
    ///
    /// # Errors
    /// The numbers do not live in the program's memory, in `f32`; `live` is of samples of another width.
    pub fn in_blocks(self, live: &'a LiveColumns) -> Result<View<'a>> {
        let values = self.f32()?;
        if self.shape.sample().len() != live.width() {
            let problem = format!("{} has no blocks of {} columns", self.shape, live.width());
            return Err(Error::op("view", problem));
        }
        Ok(View { data: Data::Blocks(values, live), ..self })
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
            Data::Device(place) => Data::Device(place.plus(at.start)),
            Data::Blocks(..) => return Err(in_blocks()),
        };
        Ok(View { shape, data })
    }

    fn take(self, shape: Shape) -> Option<View<'a>> {
        let data = match self.data {
            Data::F32(v) => Data::F32(v.get(..shape.len())?),
            Data::F64(v) => Data::F64(v.get(..shape.len())?),
            Data::Device(place) if shape.len() <= self.len() => Data::Device(place),
            Data::Device(_) | Data::Blocks(..) => return None,
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
            Data::Device(p) => Err(Error::WrongDevice { tensor: p.memory.device(), device: F32_DEVICE }),
            Data::Blocks(..) => Err(in_blocks()),
        }
    }

    /// The numbers, if they are [in blocks](View::in_blocks).
    pub fn blocks(self) -> Option<(&'a [f32], &'a LiveColumns)> {
        match self.data {
            Data::Blocks(values, live) => Some((values, live)),
            _ => None,
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
            Data::Device(p) => Err(Error::WrongDevice { tensor: p.memory.device(), device: F64_DEVICE }),
            Data::Blocks(..) => Err(Error::WrongDevice { tensor: BLOCKS, device: F64_DEVICE }),
        }
    }

    /// The memory of a device, and the word in it at which the view starts; the processor's own devices have none.
    ///
    /// # Errors
    /// The tensor lives in the program's memory.
    pub fn memory(self, device: &'static str) -> Result<(&'a dyn Memory, usize)> {
        match self.data {
            Data::F32(_) => Err(Error::WrongDevice { tensor: F32_DEVICE, device }),
            Data::F64(_) => Err(Error::WrongDevice { tensor: F64_DEVICE, device }),
            Data::Device(place) => Ok((place.memory, place.at)),
            Data::Blocks(..) => Err(Error::WrongDevice { tensor: BLOCKS, device }),
        }
    }

    /// A copy on the host, in `f64`. Waits for the device.
    ///
    /// # Errors
    /// The device failed.
    pub fn values(self) -> Result<Vec<f64>> {
        let mut values = vec![0.0; self.len()];
        self.read(&mut values)?;
        Ok(values)
    }

    /// A copy on the host, rounded to `f32`. Waits for the device.
    ///
    /// # Panics
    /// If a GPU fails; [`values`](View::values) gives an error instead.
    pub fn to_vec(self) -> Vec<f32> {
        match self.data {
            Data::F32(v) => v.to_vec(),
            _ => self.to_vec_f64().into_iter().map(|x| x as f32).collect(),
        }
    }

    /// A copy on the host, in `f64`. Waits for the device.
    ///
    /// # Panics
    /// If a GPU fails; [`values`](View::values) gives an error instead.
    pub fn to_vec_f64(self) -> Vec<f64> {
        self.values().unwrap_or_else(|e| panic!("reading {}: {e}", self.shape))
    }

    /// Copies the numbers into `out`; allocates nothing where they are few. Waits for the device.
    ///
    /// # Errors
    /// The device failed.
    ///
    /// # Panics
    /// If `out` has another length.
    pub fn read(self, out: &mut [f64]) -> Result<()> {
        assert_eq!(out.len(), self.len(), "reading {} into a slice of another length", self.shape);
        match self.data {
            Data::F32(v) => out.iter_mut().zip(v).for_each(|(o, &x)| *o = x.into()),
            Data::F64(v) => out.copy_from_slice(v),
            Data::Blocks(..) => return Err(in_blocks()),
            Data::Device(place) => {
                let (mut few, mut many) = ([0.0; 256], Vec::new());
                let words = match few.get_mut(..out.len()) {
                    Some(words) => words,
                    None => {
                        many.resize(out.len(), 0.0);
                        &mut many[..]
                    }
                };
                place.read(words)?;
                out.iter_mut().zip(words).for_each(|(o, x)| *o = f64::from(*x));
            }
        }
        Ok(())
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
            DataMut::Device(place) => DataMut::Device(*place),
        };
        ViewMut { shape: self.shape, data }
    }

    /// The same numbers, to read.
    pub fn as_view(&self) -> View<'_> {
        let data = match &self.data {
            DataMut::F32(v) => Data::F32(v),
            DataMut::F64(v) => Data::F64(v),
            DataMut::Device(place) => Data::Device(*place),
        };
        View { shape: self.shape, data }
    }

    /// The same numbers, to read from now on.
    pub fn into_view(self) -> View<'a> {
        let data = match self.data {
            DataMut::F32(v) => Data::F32(v),
            DataMut::F64(v) => Data::F64(v),
            DataMut::Device(place) => Data::Device(place),
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
            DataMut::Device(place) => DataMut::Device(place.plus(at.start)),
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
            DataMut::Device(place) => (DataMut::Device(place), DataMut::Device(place.plus(at))),
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
            DataMut::Device(p) => Err(Error::WrongDevice { tensor: p.memory.device(), device: F32_DEVICE }),
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
            DataMut::Device(p) => Err(Error::WrongDevice { tensor: p.memory.device(), device: F64_DEVICE }),
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
            DataMut::Device(place) => place.write(&values.iter().map(|&x| x as f32).collect::<Vec<_>>())?,
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
            DataMut::Device(place) => place.write(values)?,
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

    /// Numbers in blocks are for those who ask for blocks: nobody takes them for rows.
    #[test]
    fn blocks_are_not_rows() {
        let (t, wide) = (Tensor::zeros_f32(Shape::from([3, 2])), Tensor::zeros_f64(Shape::from([3, 2])));
        let (live, other) = (LiveColumns::all(2), LiveColumns::all(3));
        let blocks = t.view().in_blocks(&live).unwrap();
        assert_eq!((blocks.shape(), blocks.blocks().map(|(v, _)| v.len())), (t.shape(), Some(6)));
        assert!(t.view().blocks().is_none() && wide.view().in_blocks(&live).is_err());
        assert!(t.view().in_blocks(&other).is_err());
        let refused = blocks.f32().unwrap_err().to_string();
        assert!(refused.contains("in blocks"), "{refused}");
        assert!(blocks.f64().is_err() && blocks.memory("cuda").is_err() && blocks.rows(0..1).is_err());
        assert!(blocks.values().is_err() && blocks.in_blocks(&live).is_err());
        assert!(blocks.reshape([6, 1]).unwrap().f32().is_err());
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
