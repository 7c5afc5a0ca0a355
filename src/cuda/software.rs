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

    /// Sets an option; false if the driver does not know it.
    pub fn set(&self, key: &str, value: &str) -> bool {
        type Set = unsafe extern "C" fn(*const c_char, *const c_char) -> i32;
        let (Ok(key), Ok(value)) = (CString::new(key), CString::new(value)) else { return false };
        // SAFETY: the function's signature; both texts end in a zero byte.
        unsafe { self.0.get::<Set>(b"softgpu_set").is_ok_and(|set| set(key.as_ptr(), value.as_ptr()) == 0) }
    }

    /// Counters of every kernel that ran since the last [`reset`](Software::reset), as JSON.
    pub fn counters(&self) -> String {
        type Get = unsafe extern "C" fn() -> *mut c_char;
        type Free = unsafe extern "C" fn(*mut c_char);
        // SAFETY: the functions' signatures; the text ends in a zero byte and is freed by whoever made it.
        unsafe {
            match (self.0.get::<Get>(b"softgpu_counters"), self.0.get::<Free>(b"softgpu_free")) {
                (Ok(get), Ok(free)) => {
                    let raw = get();
                    let text = CStr::from_ptr(raw).to_string_lossy().into_owned();
                    free(raw);
                    text
                }
                _ => String::new(),
            }
        }
    }

    /// Starts counting anew.
    pub fn reset(&self) {
        // SAFETY: the function's signature.
        unsafe {
            if let Ok(reset) = self.0.get::<unsafe extern "C" fn()>(b"softgpu_reset_counters") {
                reset();
            }
        }
    }
}
