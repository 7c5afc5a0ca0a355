//! How long kernels take, by the device's own clock, and how long they would have to take at least.

use super::Cuda;
use super::driver::{failed, missing};
use super::memory::Buffer;
use crate::error::Result;
use cudarc::cublas;
use cudarc::driver::{result, sys};

/// What the device could do at most: the two sides of the roofline (Williams, Waterman, Patterson 2009).
#[derive(Clone, Copy, Debug)]
pub struct Roofline {
    /// f32 multiplications and additions a second, outside of tensor cores, at the boost clock.
    pub flops: f64,
    /// Bytes a second between memory and chip.
    pub bytes: f64,
}

impl Roofline {
    /// The least time that so much arithmetic on so many bytes takes, in seconds.
    pub fn seconds(&self, flops: f64, bytes: f64) -> f64 {
        (flops / self.flops).max(bytes / self.bytes)
    }
}

/// Times work on a GPU.
pub struct Stopwatch<'a> {
    cuda: &'a Cuda,
    start: sys::CUevent,
    end: sys::CUevent,
    /// Twice the L2 cache: writing it leaves nothing else there.
    flush: Buffer,
}

impl Stopwatch<'_> {
    /// # Errors
    /// The driver is older than CUDA 12.8; the device is out of memory.
    pub fn new(cuda: &Cuda) -> Result<Stopwatch<'_>> {
        if cuda.facts().driver < 12080 {
            return Err(missing(
                "the driver is too old to time kernels",
                "install a driver for CUDA 12.8 or later",
            ));
        }
        cuda.stream.context.bind()?;
        let event = || {
            let flags = sys::CUevent_flags::CU_EVENT_DEFAULT;
            result::event::create(flags).map_err(|e| failed("make an event", e))
        };
        let l2 = cuda.attribute(sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE)? as usize;
        let flush = Buffer::zeros(&cuda.stream, 2 * l2.max(1 << 20) / 4)?;
        Ok(Stopwatch { cuda, start: event()?, end: event()?, flush })
    }

    /// The median time of `work` among others of its kind, in seconds: in a step, as a graph, with what it needs in the
    /// L2 cache if it fits.
    ///
    /// # Errors
    /// Those of the work.
    pub fn warm(&self, mut work: impl FnMut() -> Result<()>) -> Result<f64> {
        let (stream, times) = (&self.cuda.stream, self.times(&mut work)?);
        let mut step = || {
            stream.begin_step()?;
            (0..times).try_for_each(|_| work())?;
            stream.end_step()
        };
        step()?;
        step()?; // builds the graph
        Ok(self.median(|| Ok(()), step)? / times as f64)
    }

    /// As [`Stopwatch::warm`], of work that goes to the driver past our own queue.
    ///
    /// # Errors
    /// Those of the work.
    pub fn foreign(&self, mut work: impl FnMut() -> Result<()>) -> Result<f64> {
        let (stream, times) = (&self.cuda.stream, self.times(&mut work)?);
        let graph = stream.capture(|| (0..times).try_for_each(|_| work()))?;
        Ok(self.median(|| Ok(()), || stream.play(&graph))? / times as f64)
    }

    /// The median time of `work` by itself with an L2 cache full of other things, in seconds.
    ///
    /// # Errors
    /// Those of the work.
    pub fn cold(&self, mut work: impl FnMut() -> Result<()>) -> Result<f64> {
        let stream = &self.cuda.stream;
        work()?; // compiles, allocates scratch
        // The device is busy with this while the host hands over what is timed.
        let flush = || stream.clear(self.flush.ptr().0, 4 * self.flush.words());
        self.median(flush, work)
    }

    /// Runs of which the median is taken, unless they take longer than `ENOUGH` seconds. Odd: one is in the middle.
    const RUNS: usize = 21;
    const ENOUGH: f64 = 0.1;

    /// How often a graph does the work: ten times, to share the way from the host to the device, or once if it is long.
    fn times(&self, work: &mut dyn FnMut() -> Result<()>) -> Result<usize> {
        work()?; // compiles, allocates scratch
        Ok(if self.once(&mut *work)? < 1e-3 { 10 } else { 1 })
    }

    /// The median time of `work` after `before`, in seconds.
    fn median(
        &self,
        mut before: impl FnMut() -> Result<()>,
        mut work: impl FnMut() -> Result<()>,
    ) -> Result<f64> {
        let mut seconds = Vec::with_capacity(Self::RUNS);
        while seconds.len() < Self::RUNS && seconds.iter().sum::<f64>() < Self::ENOUGH {
            before()?;
            seconds.push(self.once(&mut work)?);
        }
        seconds.sort_by(f64::total_cmp);
        Ok(seconds[seconds.len() / 2])
    }

    /// The time of `work`, in seconds.
    fn once(&self, mut work: impl FnMut() -> Result<()>) -> Result<f64> {
        let record = |event| {
            // SAFETY: event and stream live.
            unsafe { result::event::record(event, self.cuda.stream.raw()) }
                .map_err(|e| failed("record an event", e))
        };
        record(self.start)?;
        work()?;
        record(self.end)?;
        // SAFETY: both were recorded on one stream; the wait comes before the question.
        let milliseconds = unsafe {
            result::event::synchronize(self.end).and_then(|()| result::event::elapsed(self.start, self.end))
        };
        Ok(f64::from(milliseconds.map_err(|e| failed("time a kernel", e))?) * 1e-3)
    }
}

impl Drop for Stopwatch<'_> {
    fn drop(&mut self) {
        // SAFETY: made once, destroyed once.
        unsafe {
            let _ = result::event::destroy(self.start);
            let _ = result::event::destroy(self.end);
        }
    }
}

impl Cuda {
    fn attribute(&self, attribute: sys::CUdevice_attribute) -> Result<i32> {
        self.stream.context.attribute(attribute)
    }

    /// The device's roofline, from the clocks and widths that the driver tells.
    ///
    /// # Errors
    /// The driver does not tell them.
    pub fn roofline(&self) -> Result<Roofline> {
        use sys::CUdevice_attribute as A;
        let (clock, memory_clock) = (
            self.attribute(A::CU_DEVICE_ATTRIBUTE_CLOCK_RATE)?,
            self.attribute(A::CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE)?,
        );
        let bits = self.attribute(A::CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH)?;
        let facts = self.facts();
        // f32 lanes of a multiprocessor: CUDA C++ Programming Guide, "Arithmetic Instructions".
        let lanes = if facts.architecture < 86 { 64.0 } else { 128.0 };
        Ok(Roofline {
            flops: 2.0 * lanes * f64::from(facts.multiprocessors) * 1e3 * f64::from(clock),
            bytes: 2.0 * 1e3 * f64::from(memory_clock) * f64::from(bits) / 8.0, // two transfers a cycle
        })
    }
}

/// NVIDIA's own product of f32 matrices, to be measured against. It chooses its kernel by its own heuristic.
pub struct Cublas<'a> {
    cuda: &'a Cuda,
    handle: cublas::sys::cublasHandle_t,
}

impl Cublas<'_> {
    /// `None` where cuBLAS is not installed.
    ///
    /// # Errors
    /// It is, and does not start.
    pub fn new(cuda: &Cuda) -> Result<Option<Cublas<'_>>> {
        // SAFETY: looks for the library and loads it.
        if !unsafe { cublas::sys::is_culib_present() } {
            return Ok(None);
        }
        cuda.stream.context.bind()?;
        let problem = |e| missing(format!("cuBLAS does not start: {e:?}"), "reinstall it");
        let handle = cublas::result::create_handle().map_err(problem)?;
        let cublas = Cublas { cuda, handle };
        // SAFETY: handle and stream live.
        unsafe { cublas::result::set_stream(handle, cuda.stream.raw().cast()) }.map_err(problem)?;
        Ok(Some(cublas))
    }

    /// C = A B with A [m, k] and B [k, n], to be timed. Their numbers lie in -1 .. 1 and look random: chips are faster
    /// on zeros.
    ///
    /// # Errors
    /// The device is out of memory.
    pub fn product(&self, [m, n, k]: [usize; 3]) -> Result<impl FnMut() -> Result<()>> {
        let stream = &self.cuda.stream;
        let buffer = |words| -> Result<Buffer> {
            let buffer = Buffer::zeros(stream, words)?;
            stream.write(buffer.ptr().0, 4 * words, |start, piece| {
                for (i, word) in piece.chunks_exact_mut(4).enumerate() {
                    let hash = ((start / 4 + i) as u32).wrapping_mul(0x9E37_79B9).rotate_left(15);
                    let value = hash.wrapping_mul(0x85EB_CA6B) as i32 as f32 / 2f32.powi(31);
                    word.copy_from_slice(&value.to_le_bytes());
                }
            })?;
            Ok(buffer)
        };
        let (a, b, c) = (buffer(m * k)?, buffer(k * n)?, buffer(m * n)?);
        let handle = self.handle;
        Ok(move || {
            let none = cublas::sys::cublasOperation_t::CUBLAS_OP_N;
            let (one, zero) = (1f32, 0f32);
            let at = |b: &Buffer| b.ptr().0 as *mut f32;
            let (m, n, k) = (m as i32, n as i32, k as i32);
            // SAFETY: the buffers have these extents. cuBLAS is column-major: it computes Cᵀ = Bᵀ Aᵀ.
            unsafe {
                cublas::result::sgemm(
                    handle,
                    none,
                    none,
                    n,
                    m,
                    k,
                    &one,
                    at(&b),
                    n,
                    at(&a),
                    k,
                    &zero,
                    at(&c),
                    n,
                )
            }
            .map_err(|e| missing(format!("cuBLAS fails: {e:?}"), ""))
        })
    }
}

impl Drop for Cublas<'_> {
    fn drop(&mut self) {
        // SAFETY: made once, destroyed once.
        let _ = unsafe { cublas::result::destroy_handle(self.handle) };
    }
}
