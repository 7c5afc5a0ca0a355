//! From source text to kernels that can be launched: NVRTC, a cache on disk, and the driver's modules.

use super::driver::{self, Context, dotted, failed, missing};
use super::source;
use crate::data::{AtomicFile, cache_folder};
use crate::error::{Error, Result};
use cudarc::driver::{result, sys};
use cudarc::nvrtc;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::ffi::CString;
use std::path::PathBuf;
use std::sync::Arc;

/// A folder whose `*.cu` files are used instead of those that were built in: to change a kernel without building.
pub const KERNELS: &str = "HANDGRAD_KERNELS";

/// A file of kernels, as build.rs found it.
#[derive(Clone, Copy, Debug)]
pub struct KernelFile {
    /// Its name, without `.cu`.
    pub name: &'static str,
    /// Its text, with the shared header in its place.
    pub source: &'static str,
    /// The oldest architecture that it claims, 80 for sm_80.
    pub needs: u32,
    /// Its entry points.
    pub kernels: &'static [&'static str],
}

/// Texts to compile instead of the built-in ones, by file name: for a laboratory, and for tests that break a kernel.
pub type Sources = BTreeMap<String, String>;

/// Options of every compilation. No fast-math: results are to be what IEEE arithmetic gives.
const OPTIONS: [&str; 2] = ["--std=c++17", "--generate-line-info"];

/// Compiles files of kernels for one device.
pub(super) struct Compiler {
    context: Arc<Context>,
    sources: Sources,
}

impl Compiler {
    pub(super) fn new(context: Arc<Context>, sources: Sources) -> Compiler {
        Compiler { context, sources }
    }

    /// The text of a file: given by the caller, from the folder that `HANDGRAD_KERNELS` names, or built in.
    fn source(&self, file: &KernelFile) -> Result<String> {
        if let Some(text) = self.sources.get(file.name) {
            return Ok(text.clone());
        }
        let Some(folder) = std::env::var_os(KERNELS).map(PathBuf::from) else {
            return Ok(file.source.to_string());
        };
        let read = |file: &str| {
            let path = folder.join(file);
            std::fs::read_to_string(&path).map_err(|source| Error::Io { action: "read", path, source })
        };
        source::inline_headers(&format!("{}.cu", file.name), &read)
    }

    /// Compiles a file, or takes it from the cache, and loads it into the device.
    pub(super) fn load(&self, name: &str) -> Result<Module> {
        let file = super::FILES.iter().find(|f| f.name == name);
        let file = file.ok_or_else(|| missing(format!("there is no file of kernels `{name}`"), ""))?;
        let architecture = self.context.facts.architecture;
        if file.needs > architecture {
            return Err(missing(
                format!(
                    "the kernels of {name}.cu need compute capability {}, this GPU has {}",
                    dotted(file.needs),
                    dotted(architecture)
                ),
                "use the other kernels of the ladder",
            ));
        }
        let text = self.source(file)?;
        let ptx = cached(name, &text, architecture)?;
        self.context.bind()?;
        match Module::new(&self.context, &ptx) {
            // A driver older than NVRTC does not know the PTX, but runs machine code of its own generation.
            Err(e) if e.0 == sys::CUresult::CUDA_ERROR_UNSUPPORTED_PTX_VERSION => {
                let (cubin, _) = compile(name, &text, &format!("sm_{architecture}"), Output::Cubin)?;
                Module::new(&self.context, &cubin)
            }
            loaded => loaded,
        }
        .map_err(|e| failed(&format!("load the kernels of {name}.cu"), e))
    }
}

/// What the compiler makes.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Output {
    /// Text for the driver to finish.
    Ptx,
    /// Machine code.
    Cubin,
}

/// Compiles `text`; the result, and what the compiler said (with registers, shared memory and spills for machine code).
///
/// # Errors
/// NVRTC is not there, or the text does not compile: the message is NVRTC's, with the file's own line numbers.
pub(super) fn compile(
    name: &str,
    text: &str,
    architecture: &str,
    output: Output,
) -> Result<(Vec<u8>, String)> {
    driver::load_nvrtc()?;
    let problem = |e: nvrtc::result::NvrtcError| missing(format!("NVRTC failed on {name}.cu: {e}"), "");
    let source = CString::new(text).map_err(|_| missing(format!("{name}.cu contains a zero byte"), ""))?;
    let file = CString::new(format!("kernels/{name}.cu")).unwrap_or_default();
    let program = nvrtc::result::create_program(&source, Some(&file)).map_err(problem)?;
    let mut options: Vec<String> = OPTIONS.iter().map(|o| o.to_string()).collect();
    options.push(format!("--gpu-architecture={architecture}"));
    if output == Output::Cubin {
        options.push("--ptxas-options=-v".into());
    }
    // SAFETY: the program lives until it is destroyed below; sizes come from NVRTC itself.
    unsafe {
        let compiled = nvrtc::result::compile_program(program, &options);
        let log = nvrtc::result::get_program_log(program).unwrap_or_default();
        let log: Vec<u8> = log.into_iter().map(|c| c as u8).take_while(|&c| c != 0).collect();
        let log = String::from_utf8_lossy(&log).trim().to_string();
        let code = compiled.and_then(|()| match output {
            Output::Ptx => nvrtc::result::get_ptx(program).map(|c| c.into_iter().map(|c| c as u8).collect()),
            Output::Cubin => cubin(program),
        });
        let _ = nvrtc::result::destroy_program(program);
        let code = code.map_err(|e| {
            missing(
                format!("kernels/{name}.cu does not compile for {architecture}: {e}\n{log}"),
                "mend the kernel; or, if it is as it came, report it with NVRTC's version",
            )
        })?;
        Ok((code, log))
    }
}

/// # Safety
/// The program is compiled and not destroyed.
unsafe fn cubin(
    program: nvrtc::sys::nvrtcProgram,
) -> std::result::Result<Vec<u8>, nvrtc::result::NvrtcError> {
    let mut size = 0;
    // SAFETY: the caller's word; the buffer has the size that NVRTC says.
    unsafe {
        nvrtc::sys::nvrtcGetCUBINSize(program, &mut size).result()?;
        let mut code = vec![0u8; size];
        nvrtc::sys::nvrtcGetCUBIN(program, code.as_mut_ptr().cast()).result()?;
        Ok(code)
    }
}

/// NVRTC's version, (12, 9).
pub(super) fn nvrtc_version() -> Result<(i32, i32)> {
    driver::load_nvrtc()?;
    let (mut major, mut minor) = (0, 0);
    // SAFETY: writes two integers.
    unsafe { nvrtc::sys::nvrtcVersion(&mut major, &mut minor) }
        .result()
        .map_err(|e| missing(format!("NVRTC does not tell its version: {e}"), ""))?;
    Ok((major, minor))
}

/// PTX of `text`, from the cache if the same was compiled before.
///
/// A file of the cache is named by the hash of everything that it depends on, and starts with the hash of the rest of
/// itself. It is written beside its place and renamed: processes that compile the same at once write the same, and
/// nobody sees half of it. Where the cache cannot be written, the kernels are compiled each time.
fn cached(name: &str, text: &str, architecture: u32) -> Result<Vec<u8>> {
    let target = format!("compute_{architecture}");
    let key = hash(&[text, &OPTIONS.join(" "), &target, &format!("{:?}", nvrtc_version()?)]);
    let path = cache_folder().map(|f| f.join("kernels").join(format!("{name}-{key}.ptx")));
    if let Some(ptx) = path.as_ref().and_then(|p| std::fs::read(p).ok()).and_then(unsealed) {
        return Ok(ptx);
    }
    let (ptx, _) = compile(name, text, &target, Output::Ptx)?;
    if let Some(path) = path {
        let _ = store(&path, &ptx);
    }
    Ok(ptx)
}

pub(super) fn hash(parts: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize().iter().take(16).map(|b| format!("{b:02x}")).collect()
}

fn store(path: &std::path::Path, ptx: &[u8]) -> Result<()> {
    if let Some(folder) = path.parent() {
        let error = |source| Error::Io { action: "write", path: path.to_path_buf(), source };
        std::fs::create_dir_all(folder).map_err(error)?;
    }
    let seal = format!("// {}\n", hash(&[&String::from_utf8_lossy(ptx)]));
    AtomicFile::write(path, &[seal.as_bytes(), ptx].concat())
}

/// The contents of a file of the cache, if they are whole.
fn unsealed(file: Vec<u8>) -> Option<Vec<u8>> {
    let end = file.iter().position(|&b| b == b'\n')?;
    let seal = std::str::from_utf8(file.get(3..end)?).ok()?;
    let ptx = file.get(end + 1..)?;
    (seal == hash(&[&String::from_utf8_lossy(ptx)])).then(|| ptx.to_vec())
}

/// A file of kernels in the device.
pub(super) struct Module {
    raw: sys::CUmodule,
    context: Arc<Context>,
}

// SAFETY: the driver's handles may be used from any thread.
unsafe impl Send for Module {}
// SAFETY: as above; the driver locks for itself.
unsafe impl Sync for Module {}

impl Module {
    /// From PTX that ends in a zero byte, or machine code.
    fn new(context: &Arc<Context>, code: &[u8]) -> std::result::Result<Module, result::DriverError> {
        let mut image = code.to_vec();
        image.push(0);
        // SAFETY: the image is whole: PTX ends in a zero byte, machine code knows its own size.
        let raw = unsafe { result::module::load_data(image.as_ptr().cast()) }?;
        Ok(Module { raw, context: context.clone() })
    }

    pub(super) fn function(&self, name: &'static str) -> Result<Function> {
        let c_name = CString::new(name).unwrap_or_default();
        // SAFETY: the module is loaded.
        let raw = unsafe { result::module::get_function(self.raw, c_name) }
            .map_err(|e| failed(&format!("find the kernel `{name}`"), e))?;
        Ok(Function { raw, name })
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        // SAFETY: loaded once, unloaded once; nothing that was launched from it is still to run, as the driver waits.
        let _ = self.context.bind().map(|()| unsafe { result::module::unload(self.raw) });
    }
}

/// A kernel that can be launched while its module lives.
#[derive(Clone, Copy)]
pub(super) struct Function {
    pub(super) raw: sys::CUfunction,
    pub(super) name: &'static str,
}

// SAFETY: a handle of the driver, which may be used from any thread.
unsafe impl Send for Function {}
// SAFETY: as above.
unsafe impl Sync for Function {}
