//! The controls of a driver in software (`tests/softgpu`), if that is what was loaded: it can count what kernels do.
//!
//! The engine never needs them. A real driver has none of these functions.

use super::driver::load_driver;
use cudarc::driver::sys;
use std::ffi::{CStr, CString, c_char};

/// A driver that is software.
pub struct Software(&'static libloading::Library);

impl Software {
    /// `None` if there is no driver, or a real one.
    pub fn found() -> Option<Software> {
        load_driver().ok()?;
        // SAFETY: the driver is loaded; the address is not used.
        let library = unsafe { sys::culib() };
        // SAFETY: the address is not used.
        unsafe { library.get::<*const ()>(b"softgpu_counters") }.ok()?;
        Some(Software(library))
    }

    /// A function of the driver, by its name and signature.
    ///
    /// # Safety
    /// `F` is its signature.
    unsafe fn get<F: Copy>(&self, name: &str) -> Option<F> {
        // SAFETY: the caller's word.
        unsafe { self.0.get::<F>(name.as_bytes()).ok().map(|f| *f) }
    }

    /// Sets an option, as `order` to `reverse`; false if the driver does not know it.
    pub fn set(&self, key: &str, value: &str) -> bool {
        type Set = unsafe extern "C" fn(*const c_char, *const c_char) -> i32;
        let (Ok(key), Ok(value)) = (CString::new(key), CString::new(value)) else { return false };
        // SAFETY: the function's signature; both texts end in a zero byte.
        unsafe { self.get::<Set>("softgpu_set").is_some_and(|set| set(key.as_ptr(), value.as_ptr()) == 0) }
    }

    /// A text that the driver gives away.
    fn text(&self, name: &str) -> String {
        type Get = unsafe extern "C" fn() -> *mut c_char;
        type Free = unsafe extern "C" fn(*mut c_char);
        // SAFETY: the functions' signatures; the text ends in a zero byte and is freed by whoever made it.
        unsafe {
            let (Some(get), Some(free)) = (self.get::<Get>(name), self.get::<Free>("softgpu_free")) else {
                return String::new();
            };
            let raw = get();
            let text = CStr::from_ptr(raw).to_string_lossy().into_owned();
            free(raw);
            text
        }
    }

    fn call(&self, name: &str) {
        // SAFETY: the function's signature.
        unsafe {
            if let Some(f) = self.get::<unsafe extern "C" fn()>(name) {
                f();
            }
        }
    }

    /// Counters of every kernel that ran since the last [`reset`](Software::reset), as JSON.
    pub fn counters(&self) -> String {
        self.text("softgpu_counters")
    }

    /// Starts counting anew.
    pub fn reset(&self) {
        self.call("softgpu_reset_counters");
    }

    /// What the last wrong kernel did; empty if none was.
    pub fn report(&self) -> String {
        self.text("softgpu_report")
    }

    /// Forgets the last report.
    pub fn clear_report(&self) {
        self.call("softgpu_clear_report");
    }

    /// How many allocations of the device's memory were made so far.
    pub fn allocations(&self) -> u64 {
        // SAFETY: the function's signature.
        unsafe { self.get::<unsafe extern "C" fn() -> u64>("softgpu_allocations").map_or(0, |f| f()) }
    }

    /// How often a function of the driver was called so far, as `cuLaunchKernel`.
    pub fn calls(&self, function: &str) -> u64 {
        type Calls = unsafe extern "C" fn(*const c_char) -> u64;
        let Ok(function) = CString::new(function) else { return 0 };
        // SAFETY: the function's signature; the text ends in a zero byte.
        unsafe { self.get::<Calls>("softgpu_calls").map_or(0, |calls| calls(function.as_ptr())) }
    }
}
