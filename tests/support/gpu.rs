//! The GPU that the tests run on: the software driver of `tests/softgpu`, or with `HANDGRAD_TEST_GPU=1` this machine's.

use handgrad::Device;
use handgrad::cuda::{Cuda, Software, use_libraries};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Whether the machine's own GPU is to be tested.
pub fn is_real() -> bool {
    std::env::var("HANDGRAD_TEST_GPU").is_ok_and(|v| v == "1")
}

/// The software driver's file: cargo puts it beside this test's own.
pub fn driver_path() -> PathBuf {
    if let Some(path) = std::env::var_os("HANDGRAD_CUDA_DRIVER").filter(|path| !path.is_empty()) {
        return path.into();
    }
    let test = std::env::current_exe().unwrap();
    test.with_file_name("libsoftgpu.so")
}

/// NVRTC's file: from the environment, or where `tests/fetch_nvrtc.sh` put it.
pub fn nvrtc_path() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("HANDGRAD_NVRTC").filter(|path| !path.is_empty()) {
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

/// The controls of the software driver. `None` on a real GPU.
pub fn software() -> Option<Software> {
    (is_there() && !is_real()).then(|| Software::found().expect("the software driver is loaded"))
}

/// Sets an option of the software driver.
#[track_caller]
pub fn set(software: &Software, key: &str, value: &str) {
    assert!(software.set(key, value), "the software GPU refuses {key} = {value}");
}

/// Counters of all kernels by name.
pub fn counters(software: &Software) -> serde_json::Value {
    serde_json::from_str(&software.counters()).unwrap()
}
