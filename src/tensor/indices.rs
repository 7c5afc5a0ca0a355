//! Whole numbers on a device, beside the reals of [`Tensor`](super::Tensor).

use super::{F32_DEVICE, Memory, too_short};
use crate::error::{Error, Result};
use crate::shape::Shape;

/// Whole numbers on a device: class labels, positions, token ids.
pub struct Indices {
    shape: Shape,
    store: IndexStore,
    /// No index is larger: so a device whose memory the host cannot see need not be asked whether they are in range.
    largest: u32,
    /// How many of the first indices were ever written.
    written: usize,
}

enum IndexStore {
    Host(Vec<u32>),
    Device(Box<dyn Memory>),
}

/// Borrowed [`Indices`], or some rows of them.
#[derive(Clone, Copy)]
pub struct IndexView<'a> {
    shape: Shape,
    data: IndexData<'a>,
    largest: u32,
}

#[derive(Clone, Copy)]
enum IndexData<'a> {
    Host(&'a [u32]),
    Device(&'a dyn Memory),
}

impl Indices {
    fn new(shape: Shape, store: IndexStore) -> Indices {
        Indices { shape, store, largest: 0, written: 0 }
    }

    /// Zeros in the host's memory, where the CPU and the reference device keep their indices.
    pub fn zeros_host(shape: Shape) -> Indices {
        Indices::new(shape, IndexStore::Host(vec![0; shape.len()]))
    }

    /// Indices in `memory`, which holds `shape.len()` of them, all 0. For backends; others ask a device.
    pub fn on_device(shape: Shape, memory: impl Memory) -> Indices {
        Indices::new(shape, IndexStore::Device(Box::new(memory)))
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
        if shape.len() > self.shape.len() {
            return Err(too_short(self.shape.len(), shape));
        }
        let data = match &self.store {
            IndexStore::Host(v) => IndexData::Host(&v[..shape.len()]),
            IndexStore::Device(memory) => IndexData::Device(&**memory),
        };
        Ok(IndexView { shape, data, largest: self.largest })
    }

    /// All of them.
    pub fn view(&self) -> IndexView<'_> {
        let data = match &self.store {
            IndexStore::Host(v) => IndexData::Host(v),
            IndexStore::Device(memory) => IndexData::Device(&**memory),
        };
        IndexView { shape: self.shape, data, largest: self.largest }
    }

    /// Writes numbers of the host over the first `values.len()` indices.
    ///
    /// # Errors
    /// There are not that many; the device failed.
    pub fn write(&mut self, values: &[u32]) -> Result<()> {
        if values.len() > self.shape.len() {
            return Err(too_short(self.shape.len(), Shape::from([values.len()])));
        }
        match &mut self.store {
            IndexStore::Host(v) => v[..values.len()].copy_from_slice(values),
            IndexStore::Device(memory) => memory.write(0, values)?,
        }
        // Older indices may stand behind the new ones.
        let older = if values.len() < self.written { self.largest } else { 0 };
        self.largest = values.iter().fold(older, |a, &b| a.max(b));
        self.written = self.written.max(values.len());
        Ok(())
    }
}

impl<'a> IndexView<'a> {
    /// The extents.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// No index is larger than this, which the last writes knew. One of the view's own need not be as large.
    pub fn largest(&self) -> u32 {
        self.largest
    }

    /// The numbers, for a backend that keeps them on the host.
    ///
    /// # Errors
    /// They live on another device.
    pub fn host(self) -> Result<&'a [u32]> {
        match self.data {
            IndexData::Host(v) => Ok(v),
            IndexData::Device(m) => Err(Error::WrongDevice { tensor: m.device(), device: F32_DEVICE }),
        }
    }

    /// The memory of a device, which they start.
    ///
    /// # Errors
    /// They live in the program's memory.
    pub fn memory(self, device: &'static str) -> Result<&'a dyn Memory> {
        match self.data {
            IndexData::Host(_) => Err(Error::WrongDevice { tensor: F32_DEVICE, device }),
            IndexData::Device(memory) => Ok(memory),
        }
    }

    /// A copy on the host. Waits for the device.
    ///
    /// # Errors
    /// The device failed.
    pub fn values(self) -> Result<Vec<u32>> {
        match self.data {
            IndexData::Host(v) => Ok(v.to_vec()),
            IndexData::Device(memory) => {
                let mut out = vec![0; self.shape.len()];
                memory.read(0, &mut out)?;
                Ok(out)
            }
        }
    }
}
