//! Every file of kernels, compiled to machine code for every architecture that it claims.

use super::gpu;
use handgrad::cuda::{ARCHITECTURES, inspect, kernel_files};

/// Fails if a kernel does not assemble (NVRTC checks inline assembly only here), or when one starts to spill registers
/// or to keep arrays in local memory.
#[test]
fn every_kernel_assembles_and_none_spills() {
    if !gpu::is_there() {
        return;
    }
    let (mut wrong, mut count) = (Vec::new(), 0);
    for file in kernel_files() {
        for architecture in ARCHITECTURES.into_iter().filter(|a| *a >= file.needs) {
            let facts = inspect(file, architecture).unwrap_or_else(|e| panic!("{e}"));
            let names: Vec<&str> = facts.iter().map(|f| f.name.as_str()).collect();
            for kernel in file.kernels {
                assert!(
                    names.contains(kernel),
                    "{}.cu for sm_{architecture}: nothing of {kernel}",
                    file.name
                );
            }
            for f in facts {
                count += 1;
                assert!(f.registers > 0 && f.blocks(0) > 0, "{f:?}");
                if f.spills + f.stack > 0 {
                    wrong.push(format!("{f:?}"));
                }
            }
        }
    }
    println!("{count} kernels");
    assert!(wrong.is_empty(), "{} spill:\n{}", wrong.len(), wrong.join("\n"));
}

/// Every kernel of the table comes from a file of the folder, and the other way round.
#[test]
fn the_table_has_every_file() {
    let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/kernels")).unwrap();
    let names = folder.map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter_map(|n| n.strip_suffix(".cu").map(str::to_string)).collect();
    names.sort();
    let files: Vec<&str> = kernel_files().iter().map(|f| f.name).collect();
    assert_eq!(names, files);
    for file in kernel_files() {
        let launched = file.source.matches("__global__ void").count();
        assert!(launched >= file.kernels.len() && !file.kernels.is_empty(), "{}", file.name);
    }
}
