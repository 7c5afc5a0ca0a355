//! The two libraries that a GPU needs, and the device itself: found, or missed in one sentence.

use crate::error::{Error, Result};
use cudarc::driver::{result, sys};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// The driver's file, if the system's is not to be used.
pub const DRIVER: &str = "HANDGRAD_CUDA_DRIVER";
/// NVRTC's file, if the system's is not to be used.
pub const NVRTC: &str = "HANDGRAD_NVRTC";

/// The oldest compute capability whose kernels all work: Turing.
const OLDEST: u32 = 75;

pub(super) fn missing(problem: impl Into<String>, hint: impl Into<String>) -> Error {
    Error::Device { problem: problem.into(), hint: hint.into() }
}

/// What went wrong in the driver, in its own words, while we did `what`.
pub(super) fn failed(what: &str, error: result::DriverError) -> Error {
    let code = error.0;
    // Only asked once the driver is loaded: cudarc panics where it is not.
    let words = error.error_string().ok().map(|s| s.to_string_lossy().into_owned());
    let words = words.unwrap_or_else(|| format!("{code:?}"));
    let hint = match code {
        sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY => {
            "use a smaller batch or model, close what else uses the GPU, or use --device cpu"
        }
        sys::CUresult::CUDA_ERROR_NO_BINARY_FOR_GPU | sys::CUresult::CUDA_ERROR_UNSUPPORTED_PTX_VERSION => {
            "NVRTC is newer than the driver: update the driver, or name an older NVRTC with HANDGRAD_NVRTC"
        }
        sys::CUresult::CUDA_ERROR_ILLEGAL_ADDRESS
        | sys::CUresult::CUDA_ERROR_LAUNCH_FAILED
        | sys::CUresult::CUDA_ERROR_MISALIGNED_ADDRESS => {
            "a kernel is wrong, and the device cannot be used again in this process: please report it; \
             `compute-sanitizer` finds the place"
        }
        _ => "start again; if it stays, update the driver or use --device cpu",
    };
    missing(format!("the GPU's driver failed to {what}: {words} ({})", code as u32), hint)
}

/// A library that cudarc opens by its own list of names. One that was opened by path before is found by its SONAME.
struct Library {
    variable: &'static str,
    what: &'static str,
    /// The name that cudarc looks for first.
    link: &'static str,
    /// Why and what to do, if it is nowhere.
    absent: [&'static str; 2],
    /// Whether cudarc finds it.
    present: fn() -> bool,
    /// The library, once it is present.
    get: fn() -> &'static libloading::Library,
    /// All that we call in it. cudarc panics at the first call of what is not there.
    functions: &'static [&'static str],
}

const THE_DRIVER: Library = Library {
    variable: DRIVER,
    what: "a CUDA driver",
    link: "libcuda.so",
    absent: [
        "no CUDA driver: libcuda is not on this machine",
        "install NVIDIA's driver, or use --device cpu",
    ],
    // SAFETY: looks for the library, which runs its initialisers.
    present: || unsafe { sys::is_culib_present() },
    // SAFETY: only called once it is present.
    get: || unsafe { sys::culib() },
    functions: &[
        "cuInit",
        "cuDriverGetVersion",
        "cuGetErrorString",
        "cuDeviceGet",
        "cuDeviceGetCount",
        "cuDeviceGetName",
        "cuDeviceGetAttribute",
        "cuDeviceTotalMem_v2",
        "cuDevicePrimaryCtxRetain",
        "cuDevicePrimaryCtxRelease_v2",
        "cuCtxSetCurrent",
        "cuModuleLoadData",
        "cuModuleUnload",
        "cuModuleGetFunction",
        "cuFuncSetAttribute",
        "cuLaunchKernel",
        "cuMemAlloc_v2",
        "cuMemFree_v2",
        "cuMemHostAlloc",
        "cuMemFreeHost",
        "cuMemsetD8Async",
        "cuMemcpyHtoDAsync_v2",
        "cuMemcpyDtoHAsync_v2",
        "cuStreamCreate",
        "cuStreamDestroy_v2",
        "cuStreamSynchronize",
        "cuEventCreate",
        "cuEventDestroy_v2",
        "cuEventRecord",
        "cuEventSynchronize",
        "cuEventQuery",
        "cuGraphCreate",
        "cuGraphAddKernelNode_v2",
        "cuGraphInstantiateWithFlags",
        "cuGraphExecKernelNodeSetParams_v2",
        "cuGraphLaunch",
        "cuGraphExecDestroy",
        "cuGraphDestroy",
    ],
};

const THE_COMPILER: Library = Library {
    variable: NVRTC,
    what: "NVRTC",
    link: "libnvrtc.so",
    absent: [
        "no NVRTC, the library that compiles the kernels: libnvrtc is not on this machine",
        "install the CUDA toolkit, or `pip install nvidia-cuda-nvrtc-cu12` and name its libnvrtc.so.12 with \
         HANDGRAD_NVRTC",
    ],
    // SAFETY: as above.
    present: || unsafe { cudarc::nvrtc::sys::is_culib_present() },
    // SAFETY: as above.
    get: || unsafe { cudarc::nvrtc::sys::culib() },
    functions: &[
        "nvrtcVersion",
        "nvrtcCreateProgram",
        "nvrtcCompileProgram",
        "nvrtcDestroyProgram",
        "nvrtcGetProgramLogSize",
        "nvrtcGetProgramLog",
        "nvrtcGetPTXSize",
        "nvrtcGetPTX",
        "nvrtcGetCUBINSize",
        "nvrtcGetCUBIN",
    ],
};

impl Library {
    /// Finds the library: where the user says, where the system looks, or in one of `folders`.
    fn load(&self, folders: &[PathBuf]) -> Result<()> {
        let named = std::env::var_os(self.variable).filter(|path| !path.is_empty());
        if let Some(path) = &named {
            self.open(Path::new(path))?;
        } else if !(self.present)() && !self.open_in(folders) {
            return Err(missing(self.absent[0], self.absent[1]));
        }
        // SAFETY: the address is not used.
        let there = |f: &&str| unsafe { (self.get)().get::<*const ()>(f.as_bytes()) }.is_ok();
        match self.functions.iter().find(|f| !there(f)) {
            None => Ok(()),
            Some(function) => Err(missing(
                format!("{} is here, but has no function `{function}`: it is too old", self.what),
                "CUDA 12.0 or later is needed",
            )),
        }
    }

    /// Opens the file that the user named.
    fn open(&self, path: &Path) -> Result<()> {
        let problem = |why: String| {
            missing(
                format!(
                    "{} names {}, which cannot be loaded as {}: {why}",
                    self.variable,
                    path.display(),
                    self.what
                ),
                format!("correct {}, or unset it to use the system's", self.variable),
            )
        };
        let named = open(path.as_os_str()).map_err(|e| problem(e.to_string()))?;
        match (self.present)() {
            true => self.is_in_use(named, path),
            false => Err(problem("it is another library".into())),
        }
    }

    /// An error if cudarc, which looks for a list of names, found another library than the one at `path`.
    fn is_in_use(&self, library: &libloading::Library, path: &Path) -> Result<()> {
        // SAFETY: the addresses are compared and not used.
        let address =
            |l: &libloading::Library| unsafe { l.get::<*const ()>(self.functions[0].as_bytes()) }.map(|f| *f);
        match (address(library), address((self.get)())) {
            (Ok(a), Ok(b)) if std::ptr::eq(a, b) => Ok(()),
            _ => Err(missing(
                format!("{} is not what loads: this system has another {}", path.display(), self.link),
                format!(
                    "unset {} to use the system's, or put a link {} to the file into a folder of LD_LIBRARY_PATH",
                    self.variable, self.link
                ),
            )),
        }
    }

    /// Opens the newest library of the folders that will do.
    fn open_in(&self, folders: &[PathBuf]) -> bool {
        let files = folders.iter().flat_map(|f| std::fs::read_dir(f).into_iter().flatten().flatten());
        let mut files: Vec<_> = files.map(|f| f.path()).collect();
        files.retain(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with("libnvrtc.so.")));
        files.sort();
        files.iter().rev().any(|p| open(p.as_os_str()).is_ok() && (self.present)())
    }
}

/// Opens a library and never lets go of it.
fn open(path: &OsStr) -> std::result::Result<&'static libloading::Library, libloading::Error> {
    // SAFETY: loading runs the library's initialisers; the user names the file, or it is the toolkit's own.
    Ok(Box::leak(Box::new(unsafe { libloading::Library::new(path)? })))
}

/// Loads a driver and NVRTC by path, whatever the environment says: for programs that bring their own. Whoever has
/// used a GPU before keeps what was loaded then.
///
/// # Errors
/// One of them cannot be loaded.
pub fn use_libraries(driver: &Path, nvrtc: &Path) -> Result<()> {
    for (path, library) in [(driver, THE_DRIVER), (nvrtc, THE_COMPILER)] {
        let loaded = open(path.as_os_str()).map_err(|e| {
            missing(
                format!("{} cannot be loaded as {}: {e}", path.display(), library.what),
                "name another file",
            )
        })?;
        if (library.present)() {
            library.is_in_use(loaded, path)?;
        }
    }
    Ok(())
}

/// What is remembered of a library that was looked for: nothing if it is there, else the problem and the remedy.
type Found = OnceLock<std::result::Result<(), (String, String)>>;

/// Finds the driver. Nothing of cudarc's driver part may be called before: it panics without one.
pub(super) fn load_driver() -> Result<()> {
    static FOUND: Found = OnceLock::new();
    once(&FOUND, || THE_DRIVER.load(&[]))
}

/// Finds NVRTC.
pub(super) fn load_nvrtc() -> Result<()> {
    static FOUND: Found = OnceLock::new();
    once(&FOUND, || {
        let home = ["CUDA_HOME", "CUDA_PATH"].into_iter().filter_map(std::env::var_os).map(PathBuf::from);
        let folders: Vec<_> =
            home.chain([PathBuf::from("/usr/local/cuda")]).map(|d| d.join("lib64")).collect();
        THE_COMPILER.load(&folders)
    })
}

/// Runs `f` once in the process's life; its error is given again to whoever asks again.
fn once(found: &Found, f: impl FnOnce() -> Result<()>) -> Result<()> {
    let words = |e: Error| (e.to_string(), e.hint().unwrap_or_default().to_string());
    found.get_or_init(|| f().map_err(words)).clone().map_err(|(problem, hint)| missing(problem, hint))
}

/// How many devices there are.
pub(super) fn count() -> Result<usize> {
    load_driver()?;
    match result::init() {
        Ok(()) => {}
        Err(e) if e.0 == sys::CUresult::CUDA_ERROR_NO_DEVICE => return Ok(0),
        Err(e) => return Err(failed("start", e)),
    }
    Ok(result::device::get_count().map_err(|e| failed("count its devices", e))? as usize)
}

/// The newest CUDA that the driver knows, 12090 for 12.9.
pub(super) fn version() -> Result<i32> {
    load_driver()?;
    let mut version = 0;
    // SAFETY: writes one integer.
    unsafe { sys::cuDriverGetVersion(&mut version) }.result().map_err(|e| failed("tell its version", e))?;
    Ok(version)
}

/// A device's primary context, held until dropped.
pub(super) struct Context {
    device: sys::CUdevice,
    raw: sys::CUcontext,
    pub(super) facts: Facts,
}

/// What the device is.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Its maker's name for it.
    pub name: String,
    /// Its compute capability, 80 for 8.0.
    pub architecture: u32,
    /// Streaming multiprocessors.
    pub multiprocessors: u32,
    /// Bytes of memory.
    pub memory: usize,
    /// The newest CUDA that the driver knows, 12090 for 12.9.
    pub driver: i32,
}

// SAFETY: a context may be used from any thread once it is made current there, which `bind` does.
unsafe impl Send for Context {}
// SAFETY: as above; the driver locks for itself.
unsafe impl Sync for Context {}

impl Context {
    pub(super) fn new(ordinal: usize) -> Result<Arc<Context>> {
        load_driver()?;
        result::init().map_err(|e| match e.0 {
            sys::CUresult::CUDA_ERROR_NO_DEVICE => no_device(ordinal, 0),
            _ => failed("start", e),
        })?;
        let count = result::device::get_count().map_err(|e| failed("count its devices", e))?;
        if ordinal >= count as usize {
            return Err(no_device(ordinal, count));
        }
        let device = result::device::get(ordinal as i32).map_err(|e| failed("open the device", e))?;
        let facts = Facts::of(device).map_err(|e| failed("describe the device", e))?;
        if facts.architecture < OLDEST {
            return Err(missing(
                format!(
                    "cuda:{ordinal} ({}) has compute capability {}, the kernels need {}",
                    facts.name,
                    dotted(facts.architecture),
                    dotted(OLDEST)
                ),
                "use a GPU of 2018 (Turing) or later, or --device cpu",
            ));
        }
        // SAFETY: the device exists; released once, in `drop`.
        let raw = unsafe { result::primary_ctx::retain(device) }.map_err(|e| failed("open the device", e))?;
        let context = Arc::new(Context { device, raw, facts });
        context.bind()?;
        Ok(context)
    }

    /// One of the device's numbers.
    pub(super) fn attribute(&self, attribute: sys::CUdevice_attribute) -> Result<i32> {
        // SAFETY: the device exists.
        unsafe { result::device::get_attribute(self.device, attribute) }
            .map_err(|e| failed("describe the device", e))
    }

    /// Makes this context the calling thread's.
    pub(super) fn bind(&self) -> Result<()> {
        // SAFETY: the context is held.
        unsafe { result::ctx::set_current(self.raw) }.map_err(|e| failed("take the context", e))
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: retained once, released once. An error here has nobody left to hear it.
        let _ = unsafe { result::primary_ctx::release(self.device) };
    }
}

impl Facts {
    fn of(device: sys::CUdevice) -> std::result::Result<Facts, result::DriverError> {
        use sys::CUdevice_attribute as A;
        // SAFETY: the device exists.
        let get = |a| unsafe { result::device::get_attribute(device, a) };
        let major = get(A::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
        let minor = get(A::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
        let mut driver = 0;
        // SAFETY: writes one integer.
        unsafe { sys::cuDriverGetVersion(&mut driver) }.result()?;
        Ok(Facts {
            name: result::device::get_name(device)?,
            architecture: (10 * major + minor) as u32,
            multiprocessors: get(A::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)? as u32,
            // SAFETY: the device exists.
            memory: unsafe { result::device::total_mem(device)? },
            driver,
        })
    }
}

/// 80 is "8.0".
pub(super) fn dotted(architecture: u32) -> String {
    format!("{}.{}", architecture / 10, architecture % 10)
}

fn no_device(ordinal: usize, count: i32) -> Error {
    let problem = match count {
        0 => "the CUDA driver is here, but no GPU that it can use".to_string(),
        1 => format!("there is no cuda:{ordinal}: the only GPU is cuda:0"),
        n => format!("there is no cuda:{ordinal}: the GPUs are cuda:0 to cuda:{}", n - 1),
    };
    missing(problem, "`handgrad devices` lists what is there; CUDA_VISIBLE_DEVICES may hide some")
}
