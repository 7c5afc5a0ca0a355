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
    /// What the kernel does with each.
    uses: [Use; Args::COUNT],
    count: usize,
    len: usize,
}

impl Args {
    const BYTES: usize = 320;
    const COUNT: usize = 24;

    pub(super) fn new() -> Args {
        let (starts, uses) = ([0; Args::COUNT], [Use::Value; Args::COUNT]);
        Args { bytes: [0; Args::BYTES], starts, uses, count: 0, len: 0 }
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

    /// A pointer to what the kernel reads.
    pub(super) fn read(&mut self, at: Ptr) {
        self.uses[self.count] = Use::Read;
        self.push(at);
    }

    /// A pointer to what the kernel writes, and may read.
    pub(super) fn write(&mut self, at: Ptr) {
        self.uses[self.count] = Use::Write;
        self.push(at);
    }

    /// The addresses that the kernel is given, with whether it writes there.
    pub(super) fn places(&self) -> impl Iterator<Item = (u64, bool)> + '_ {
        (0..self.count).filter(|&i| self.uses[i] != Use::Value).filter_map(|i| {
            let at = self.bytes[self.starts[i] as usize..].first_chunk().copied().map(u64::from_ne_bytes);
            at.filter(|&at| at != 0).map(|at| (at, self.uses[i] == Use::Write))
        })
    }

    /// A pointer to each argument, as the driver wants them. They point into `self`.
    pub(super) fn pointers(&self) -> [*mut std::ffi::c_void; Args::COUNT] {
        std::array::from_fn(|i| match i < self.count {
            true => self.bytes[self.starts[i] as usize..].as_ptr().cast_mut().cast(),
            false => std::ptr::null_mut(),
        })
    }
}

/// What a kernel does with an argument.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    /// Nothing but look at it.
    Value,
    /// It reads where it points to.
    Read,
    /// It writes there.
    Write,
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
    /// None at all.
    pub(super) const LINEAR: Activation = Activation { kind: 0, parameter: 0.0 };

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

/// `struct GemmArgs` of tile.cuh.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub(super) struct GemmArgs {
    /// Floats from one product of a batch to the next.
    pub(super) batch_a: u64,
    pub(super) batch_b: u64,
    /// Floats from what one `blockIdx.z` writes to what the next one writes.
    pub(super) batch_c: u64,
    pub(super) m: i32,
    pub(super) n: i32,
    pub(super) k: i32,
    /// Floats from a row to the next, as stored.
    pub(super) lda: i32,
    pub(super) ldb: i32,
    pub(super) ldc: i32,
    /// k is cut into so many parts ...
    pub(super) split: i32,
    /// ... of so many steps.
    pub(super) part: i32,
    pub(super) alpha: f32,
    pub(super) beta: f32,
    pub(super) f: Activation,
}

/// `struct GemmStrides` of gemm_ladder.cu.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub(super) struct GemmStrides {
    pub(super) row_a: i32,
    pub(super) step_a: i32,
    pub(super) step_b: i32,
    pub(super) column_b: i32,
}

/// `struct Divisor` of window.cuh: n / d = n · multiplier >> shift, for n < 2³¹.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub(super) struct Divisor {
    multiplier: u32,
    shift: u32,
}

impl Divisor {
    /// Of 1 ≤ d < 2³¹. With s the smallest that 2ˢ ≥ d, the multiplier is 2³¹⁺ˢ / d, rounded up; it is too large by
    /// less than 1 ≤ 2ˢ / d, so n times it is off by less than 2³¹⁺ˢ / d, and the quotient is exact.
    pub(super) fn new(d: usize) -> Divisor {
        let s = d.next_power_of_two().trailing_zeros();
        Divisor { multiplier: (1u64 << (31 + s)).div_ceil(d as u64) as u32, shift: 31 + s }
    }
}

/// `struct WindowArgs` of window.cuh.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub(super) struct WindowArgs {
    pub(super) input: [i32; 3],
    pub(super) output: [i32; 3],
    pub(super) kernel: [i32; 3],
    pub(super) stride: [i32; 3],
    pub(super) dilation: [i32; 3],
    pub(super) before: [i32; 3],
    pub(super) channels: i32,
    pub(super) filters: i32,
    pub(super) by_input: [Divisor; 3],
    pub(super) by_output: [Divisor; 3],
    pub(super) by_kernel: [Divisor; 3],
    pub(super) by_stride: [Divisor; 3],
    pub(super) by_channels: Divisor,
    pub(super) by_filters: Divisor,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every quotient of a division by a multiplier is the quotient: around multiples, and at the ends of the range.
    #[test]
    fn divisors_divide() {
        let mut divisors: Vec<u64> = (1..200).chain([255, 256, 257, 1000, 65_535, 65_537, 1 << 30]).collect();
        divisors.extend([(1 << 30) + 1, (1 << 31) - 1, 715_827_883, 3 << 29]);
        for d in divisors {
            let by = Divisor::new(d as usize);
            let check = |n: u64| {
                assert_eq!((n * u64::from(by.multiplier)) >> by.shift, n / d, "{n} / {d}");
            };
            for q in [0, 1, 2, 3, 1000, ((1 << 31) - 1) / d] {
                for n in (q * d).saturating_sub(2)..=q * d + 2 {
                    check(n.min((1 << 31) - 1));
                }
            }
            check((1 << 31) - 1);
        }
    }
}
