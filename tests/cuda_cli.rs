//! The command with a GPU, and with each part of one missing: a result, or one sentence with the remedy.
#![cfg(all(feature = "cli", feature = "cuda"))]

#[path = "support/gpu.rs"]
#[allow(dead_code, unreachable_pub)]
mod gpu;

#[path = "support/command.rs"]
mod command;

use std::fs;
use std::path::Path;
use std::process::Command;

/// The command on a machine that has no GPU.
fn bare(arguments: &str) -> Command {
    let mut command = command::handgrad(arguments.split_whitespace());
    command.current_dir(env!("CARGO_MANIFEST_DIR")).env_remove("CUDA_HOME").env_remove("CUDA_PATH");
    // cargo's own folders are no place to find a driver in.
    command.env_remove("LD_LIBRARY_PATH");
    command
}

/// The command with the software GPU. `None` where there is no NVRTC.
fn soft(arguments: &str) -> Option<Command> {
    if gpu::is_real() || !gpu::is_there() {
        return None;
    }
    let mut command = bare(arguments);
    let nvrtc = gpu::nvrtc_path()?;
    // before the machine's own, where there is one
    command.env("LD_LIBRARY_PATH", nvrtc.parent()?);
    command.env("HANDGRAD_CUDA_DRIVER", gpu::driver_path()).env("HANDGRAD_NVRTC", nvrtc);
    Some(command)
}

#[track_caller]
fn succeeds(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{:?}: {out}\n{err}", output.status);
    out.into_owned()
}

/// A run that must end with code 1 and say `words` in an error with a hint, without a panic.
#[track_caller]
fn fails(command: &mut Command, words: &str) -> String {
    let output = command.output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(
        err.starts_with("error: ") && err.contains(words) && err.contains("\n  hint: "),
        "{err} should say {words}"
    );
    assert!(!err.contains("panicked"), "{err}");
    err
}

/// Whether this machine has a driver of its own.
fn has_driver() -> bool {
    // SAFETY: looks whether the library is there.
    unsafe { libloading::Library::new("libcuda.so.1") }.is_ok()
}

#[test]
fn without_a_driver_auto_takes_the_processor_and_says_so() {
    if has_driver() {
        println!("skipped: this machine has a CUDA driver");
        return;
    }
    let devices = succeeds(&mut bare("devices"));
    assert!(devices.contains("no CUDA driver") && devices.contains("install NVIDIA's driver"), "{devices}");
    assert!(devices.contains("`--device auto` takes cpu"), "{devices}");
    fails(&mut bare("train xor --device cuda:0"), "cuda:0 cannot be used: no CUDA driver");
    let out = succeeds(&mut bare("train xor --device auto --epochs 2"));
    assert!(out.contains("device    cpu") && out.contains("no GPU: no CUDA driver"), "{out}");
}

#[test]
fn a_wrong_library_is_no_driver() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("libcuda.so");
    fs::write(&text, "not a library").unwrap();
    for path in [Path::new("/no/such/libcuda.so"), &text] {
        let mut command = bare("train xor --device cuda:0");
        fails(command.env("HANDGRAD_CUDA_DRIVER", path), "which cannot be loaded as a CUDA driver");
    }
}

#[test]
fn xor_trains_on_the_software_gpu() {
    let Some(mut command) = soft("train xor --device cuda:0") else { return };
    let out = succeeds(&mut command);
    assert!(out.contains("device    cuda:0: f32, Software GPU"), "{out}");
    assert!(out.contains("1.0000"), "{out}");
    let devices = succeeds(&mut soft("devices").unwrap());
    assert!(
        devices.contains("compute capability") && devices.contains("`--device auto` takes cuda:0"),
        "{devices}"
    );
}

#[test]
fn what_a_gpu_lacks_is_said() {
    let Some(mut none) = soft("train xor --device cuda:0") else { return };
    fails(none.env("SOFTGPU_DEVICES", "0"), "no GPU that it can use");
    fails(&mut soft("train xor --device cuda:7").unwrap(), "there is no cuda:7");

    let mut old = soft("train xor --device cuda:0").unwrap();
    fails(old.env("SOFTGPU_SM", "70"), "compute capability 7.0, the kernels need 7.5");

    let mut no_compiler = soft("train xor --device cuda:0").unwrap();
    fails(no_compiler.env("HANDGRAD_NVRTC", "/no/such/libnvrtc.so"), "which cannot be loaded as NVRTC");

    let mut small = soft("train mnist-cnn --device cuda:0 --epochs 1 --limit 256").unwrap();
    fails(small.env("SOFTGPU_MEMORY", "20000000"), "out of memory");
}

/// Two NVRTCs: the one that is named, and the one that a system finds under the first name that is looked for.
#[test]
fn a_library_that_is_named_but_not_the_one_that_loads_is_an_error() {
    let Some(mut command) = soft("devices") else { return };
    let (nvrtc, folder) = (gpu::nvrtc_path().unwrap(), tempfile::tempdir().unwrap());
    let found = nvrtc.parent().unwrap().join("libnvrtc.so");
    if !found.exists() {
        println!("skipped: {} is not there", found.display());
        return;
    }
    let named = folder.path().join("libnvrtc.so.12"); // a copy: a link would be the same library
    fs::copy(&nvrtc, &named).unwrap();
    let said = succeeds(command.env("HANDGRAD_NVRTC", &named));
    assert!(said.contains("is not what loads: this system has another libnvrtc.so"), "{said}");
    fails(soft("train xor --device cuda:0").unwrap().env("HANDGRAD_NVRTC", &named), "is not what loads");
    // With a link of that name in front it is the one.
    std::os::unix::fs::symlink(&named, folder.path().join("libnvrtc.so")).unwrap();
    let said = succeeds(command.env("LD_LIBRARY_PATH", folder.path()));
    assert!(!said.contains("is not what loads"), "{said}");
}

#[test]
fn a_kernel_that_does_not_compile_is_shown_with_its_own_line() {
    let Some(mut command) = soft("train xor --device cuda:0") else { return };
    let folder = tempfile::tempdir().unwrap();
    for file in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/kernels")).unwrap() {
        let path = file.unwrap().path();
        let mut text = fs::read_to_string(&path).unwrap();
        if path.ends_with("update.cu") {
            text = text.replace("__global__ void", "__global__ voyd");
        }
        fs::write(folder.path().join(path.file_name().unwrap()), text).unwrap();
    }
    let error = fails(command.env("HANDGRAD_KERNELS", folder.path()), "kernels/update.cu does not compile");
    let line = fs::read_to_string(folder.path().join("update.cu")).unwrap();
    let line = line.lines().position(|l| l.contains("voyd")).unwrap() + 1;
    assert!(error.contains(&format!("kernels/update.cu({line})")), "line {line}: {error}");
}

/// Several processes compile at once into an empty cache; a later one finds it full, and a damaged file is made anew.
#[test]
fn compiled_kernels_are_cached_safely() {
    if soft("").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let train = || {
        let mut command = soft("train xor --device cuda:0 --epochs 1").unwrap();
        command.env("HANDGRAD_CACHE", folder.path());
        succeeds(&mut command)
    };
    std::thread::scope(|s| {
        for _ in 0..3 {
            s.spawn(train);
        }
    });
    let files = || {
        let all = fs::read_dir(folder.path().join("kernels")).unwrap();
        let mut all: Vec<_> =
            all.map(|f| f.unwrap().path()).map(|p| (p.clone(), fs::read(p).unwrap())).collect();
        all.sort();
        all
    };
    let full = files();
    assert!(full.len() > 3 && full.iter().all(|(_, ptx)| ptx.starts_with(b"// ")), "{} files", full.len());
    fs::write(&full[0].0, &full[0].1[..100]).unwrap();
    fs::write(&full[1].0, b"").unwrap();
    train();
    assert_eq!(files(), full);

    // A cache that cannot be written is no error.
    let mut command = soft("train xor --device cuda:0 --epochs 1").unwrap();
    succeeds(command.env("HANDGRAD_CACHE", "/dev/null/nowhere"));
}
