//! The GPU that the tests run on: the software driver of `tests/softgpu`, or with `HANDGRAD_TEST_GPU=1` this machine's.

use handgrad::Device;
use handgrad::cuda::{Cuda, use_libraries};
use std::ffi::{CStr, CString, c_char};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Whether the machine's own GPU is to be tested.
pub fn is_real() -> bool {
    std::env::var("HANDGRAD_TEST_GPU").is_ok_and(|v| v == "1")
}

/// The software driver's file: cargo puts it beside this test's own.
pub fn driver_path() -> PathBuf {
    if let Some(path) = std::env::var_os("HANDGRAD_CUDA_DRIVER") {
        return path.into();
    }
    let test = std::env::current_exe().unwrap();
    test.with_file_name("libsoftgpu.so")
}

/// NVRTC's file: from the environment, or where `tests/fetch_nvrtc.sh` put it.
pub fn nvrtc_path() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("HANDGRAD_NVRTC") {
        return Some(path.into());
    }
    let fetched = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/nvrtc");
    let versions = std::fs::read_dir(fetched).ok()?;
    let library = |v: std::fs::DirEntry| v.path().join("nvidia/cuda_nvrtc/lib/libnvrtc.so.12");
    versions.flatten().map(library).find(|path| path.exists())
}

/// Whether CUDA can be tested here. If not, says why, or fails where nothing may be skipped.
pub fn is_there() -> bool {
    static THERE: OnceLock<Result<(), String>> = OnceLock::new();
    let there = THERE.get_or_init(|| {
        if is_real() {
            return Cuda::new(0).map(drop).map_err(|e| e.to_string());
        }
        let nvrtc = nvrtc_path().ok_or("no NVRTC: run tests/fetch_nvrtc.sh")?;
        use_libraries(&driver_path(), &nvrtc).map_err(|e| e.to_string())
    });
    match there {
        Ok(()) => true,
        Err(why) => {
            let required = std::env::var("HANDGRAD_REQUIRE_ALL").is_ok_and(|v| v == "1");
            assert!(!required || !cfg!(target_os = "linux"), "CUDA cannot be tested: {why}");
            println!("skipped: CUDA cannot be tested: {why}");
            false
        }
    }
}

/// GPU number 0, unless CUDA cannot be tested here.
pub fn device() -> Option<Device> {
    is_there().then(|| Device::cuda(0).unwrap())
}

/// What the software driver can do beyond a real one. `None` on a real GPU.
pub struct Soft(libloading::Library);

impl Soft {
    pub fn new() -> Option<Soft> {
        if !is_there() || is_real() {
            return None;
        }
        // SAFETY: the library is loaded already.
        Some(Soft(unsafe { libloading::Library::new(driver_path()) }.unwrap()))
    }

    /// Sets an option: `order` to `forward`, `reverse` or `random:7`, `counters` to `1` ...
    pub fn set(&self, key: &str, value: &str) {
        let (key, value) = (CString::new(key).unwrap(), CString::new(value).unwrap());
        // SAFETY: the signature is the library's.
        let status = unsafe {
            let set = self
                .0
                .get::<unsafe extern "C" fn(*const c_char, *const c_char) -> i32>(b"softgpu_set")
                .unwrap();
            set(key.as_ptr(), value.as_ptr())
        };
        assert_eq!(status, 0, "the software GPU refuses {key:?} = {value:?}");
    }

    /// A text that the library gives away.
    fn text(&self, name: &str) -> String {
        // SAFETY: the signatures are the library's; the text is freed by whoever made it.
        unsafe {
            let get = self.0.get::<unsafe extern "C" fn() -> *mut c_char>(name.as_bytes()).unwrap();
            let free = self.0.get::<unsafe extern "C" fn(*mut c_char)>(b"softgpu_free").unwrap();
            let raw = get();
            let text = CStr::from_ptr(raw).to_string_lossy().into_owned();
            free(raw);
            text
        }
    }

    /// Counters of all kernels, as JSON.
    pub fn counters(&self) -> serde_json::Value {
        serde_json::from_str(&self.text("softgpu_counters")).unwrap()
    }

    pub fn reset_counters(&self) {
        // SAFETY: the signature is the library's.
        unsafe { self.0.get::<unsafe extern "C" fn()>(b"softgpu_reset_counters").unwrap()() }
    }

    /// What the last wrong kernel did.
    pub fn report(&self) -> String {
        self.text("softgpu_report")
    }

    pub fn clear_report(&self) {
        // SAFETY: the signature is the library's.
        unsafe { self.0.get::<unsafe extern "C" fn()>(b"softgpu_clear_report").unwrap()() }
    }

    /// How many allocations were made so far.
    pub fn allocations(&self) -> u64 {
        // SAFETY: the signature is the library's.
        unsafe { self.0.get::<unsafe extern "C" fn() -> u64>(b"softgpu_allocations").unwrap()() }
    }

    /// How often a function of the driver was called so far.
    pub fn calls(&self, function: &str) -> u64 {
        let function = CString::new(function).unwrap();
        // SAFETY: the signature is the library's.
        unsafe {
            let calls = self.0.get::<unsafe extern "C" fn(*const c_char) -> u64>(b"softgpu_calls").unwrap();
            calls(function.as_ptr())
        }
    }
}
