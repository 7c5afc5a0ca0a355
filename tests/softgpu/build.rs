//! Gives the shared library the driver's SONAME, so that whoever has loaded it by path finds it as `libcuda.so`.
//!
//! Its file is named otherwise: a search of the library path must never find a software driver by accident.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libcuda.so");
    }
}
