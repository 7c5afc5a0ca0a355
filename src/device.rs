//! Where the numbers live and who computes with them.

use crate::backend::Backend;
use crate::cpu::{Cpu, Isa};
use crate::error::{Error, Result};
use crate::reference::Reference;
use crate::shape::Shape;
use crate::tensor::Tensor;
use std::ops::Deref;
use std::sync::Arc;

/// A handle to a backend; cheap to clone. Every op of the [`Backend`] table is a method of it.
///
/// ```
/// use handgrad::{Device, Gemm};
/// let dev = Device::reference();
/// let a = dev.tensor([2, 2], &[1., 2., 3., 4.])?;
/// let mut c = dev.zeros([2, 2].into())?;
/// dev.gemm(Gemm::nn(), a.view(), a.view(), c.view_mut())?;
/// assert_eq!(c.to_vec(), [7., 10., 15., 22.]);
/// # Ok::<(), handgrad::Error>(())
/// ```
#[derive(Clone)]
pub struct Device(Arc<dyn Backend>);

impl Device {
    /// The processor, with SIMD and one thread a core: `f32`.
    ///
    /// # Errors
    /// `HANDGRAD_ISA` names an instruction set that this processor lacks.
    pub fn cpu() -> Result<Device> {
        Device::cpu_with(None, None)
    }

    /// The processor with a given number of threads and instruction set; `None` takes what is there.
    /// Results do not depend on the number of threads.
    ///
    /// # Errors
    /// No thread at all, or an instruction set that this processor lacks.
    pub fn cpu_with(threads: Option<usize>, isa: Option<Isa>) -> Result<Device> {
        Ok(Device::from_backend(Cpu::new(threads, isa)?))
    }

    /// Textbook loops in `f64`, one thread: the oracle that everything else is measured against.
    pub fn reference() -> Device {
        Device::from_backend(Reference)
    }

    /// NVIDIA GPU number `ordinal`, with our own kernels: `f32`.
    ///
    /// # Errors
    /// No driver, no NVRTC, no such device, or one that is too old; the error says which, and what to do.
    #[cfg(feature = "cuda")]
    pub fn cuda(ordinal: usize) -> Result<Device> {
        Ok(Device::from_backend(crate::cuda::Cuda::new(ordinal)?))
    }

    #[cfg(not(feature = "cuda"))]
    fn cuda(ordinal: usize) -> Result<Device> {
        Err(Error::Device {
            problem: format!("device `cuda:{ordinal}` is not there: this build has no CUDA backend"),
            hint: "build with the feature `cuda`, or use --device cpu".into(),
        })
    }

    /// The best device there is: the first GPU, or else the processor. In the second case also why there is no GPU.
    ///
    /// # Errors
    /// As [`Device::cpu`].
    pub fn auto(threads: Option<usize>) -> Result<(Device, Option<Error>)> {
        match Device::cuda(0) {
            Ok(gpu) => Ok((gpu, None)),
            Err(why) => Ok((Device::cpu_with(threads, None)?, Some(why))),
        }
    }

    /// By name: `auto`, `cpu`, `reference`, or `cuda:0` and so on. `threads` goes to the processor's threads.
    ///
    /// # Errors
    /// An unknown name, or a device that is not there.
    pub fn from_name(name: &str, threads: Option<usize>) -> Result<Device> {
        match name {
            "auto" => Ok(Device::auto(threads)?.0),
            "cpu" => Device::cpu_with(threads, None),
            "reference" => Ok(Device::reference()),
            _ => match name.strip_prefix("cuda:").map(str::parse) {
                Some(Ok(ordinal)) => Device::cuda(ordinal).map_err(|e| match e {
                    Error::Device { problem, hint } => {
                        Error::Device { problem: format!("{name} cannot be used: {problem}"), hint }
                    }
                    e => e,
                }),
                _ => Err(Error::unknown("device", name, &["auto", "cpu", "reference", "cuda:0"])),
            },
        }
    }

    /// From anyone's backend: how a test wraps one to watch it, and how a new one joins.
    pub fn from_backend(backend: impl Backend) -> Device {
        Device(Arc::new(backend))
    }

    /// From a backend that others hold as well, to use what it has beyond the op table.
    pub fn from_shared(backend: Arc<impl Backend>) -> Device {
        Device(backend)
    }

    /// A tensor with the given numbers, rounded to the device's precision.
    ///
    /// # Errors
    /// `shape` does not have as many elements as `values`, or the device is out of memory.
    pub fn tensor(&self, shape: impl Into<Shape>, values: &[f64]) -> Result<Tensor> {
        let mut t = self.zeros(shape.into())?;
        t.view_mut().write(values)?;
        Ok(t)
    }
}

impl Deref for Device {
    type Target = dyn Backend;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "Device({})", self.name())
    }
}
