//! What crosses from the host to a kernel: pointers, numbers, and structs laid out as C lays them out.

use crate::activations::{self, Activation as F};
use crate::error::{Error, Result};
use bytemuck::{Pod, Zeroable};

/// An address in the device's memory, of a float or an index. Valid while the tensor it was taken from lives.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub(super) struct Ptr(pub(super) u64);

impl Ptr {
    /// An operand that is absent.
    pub(super) const NULL: Ptr = Ptr(0);

    /// `words` floats or indices further on.
    pub(super) fn plus(self, words: usize) -> Ptr {
        Ptr(self.0 + 4 * words as u64)
    }

    /// Whether loads of 16 bytes may start here.
    pub(super) fn is_aligned(self) -> bool {
        self.0.is_multiple_of(16)
    }
}

/// The arguments of one launch, as the kernel's parameters lie in memory, without a heap.
#[derive(Clone, Copy)]
pub(super) struct Args {
    bytes: [u8; Args::BYTES],
    /// Where each argument starts.
    starts: [u16; Args::COUNT],
    count: usize,
    len: usize,
}

impl Args {
    const BYTES: usize = 320;
    const COUNT: usize = 24;

    pub(super) fn new() -> Args {
        Args { bytes: [0; Args::BYTES], starts: [0; Args::COUNT], count: 0, len: 0 }
    }

    /// One more argument.
    pub(super) fn push<T: Pod>(&mut self, value: T) {
        let start = self.len.next_multiple_of(align_of::<T>().max(4));
        let end = start + size_of::<T>();
        assert!(end <= Args::BYTES && self.count < Args::COUNT, "a kernel with too many parameters");
        self.bytes[start..end].copy_from_slice(bytemuck::bytes_of(&value));
        self.starts[self.count] = start as u16;
        (self.count, self.len) = (self.count + 1, end);
    }

    /// A pointer to each argument, as the driver wants them. They point into `self`.
    pub(super) fn pointers(&self) -> [*mut std::ffi::c_void; Args::COUNT] {
        std::array::from_fn(|i| match i < self.count {
            true => self.bytes[self.starts[i] as usize..].as_ptr().cast_mut().cast(),
            false => std::ptr::null_mut(),
        })
    }
}

impl PartialEq for Args {
    fn eq(&self, other: &Args) -> bool {
        self.bytes[..self.len] == other.bytes[..other.len]
    }
}

/// `struct Activation` of common.cuh.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub(super) struct Activation {
    kind: i32,
    parameter: f32,
}

impl Activation {
    /// The kind's number in common.cuh, and its parameter.
    ///
    /// # Errors
    /// A user's own function: a GPU cannot call it.
    pub(super) fn new(f: F) -> Result<Activation> {
        let (kind, parameter) = match f {
            F::Linear => (0, 0.0),
            F::Relu => (1, 0.0),
            F::Sigmoid => (2, 0.0),
            F::Softmax => (3, 0.0),
            F::Tanh => (4, 0.0),
            F::Softplus => (5, 0.0),
            F::Softsign => (6, 0.0),
            F::Elu { alpha } => (7, alpha),
            F::Selu => (8, 0.0),
            F::Exponential => (9, 0.0),
            F::LeakyRelu { negative_slope } => (10, negative_slope),
            F::Gelu { approximate: false } => (11, 0.0),
            F::Gelu { approximate: true } => (12, 0.0),
            F::Silu => (13, 0.0),
            F::Custom(activations::Custom { name, .. }) => {
                return Err(Error::invalid(
                    format!("the activation `{name}` is a Rust function, and a GPU cannot call it"),
                    format!("use --device cpu, or one of: {}", F::NAMES.join(", ")),
                ));
            }
        };
        Ok(Activation { kind, parameter: parameter as f32 })
    }
}
