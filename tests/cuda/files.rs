//! Every file of kernels, compiled to machine code for every architecture that it claims.

use super::gpu;
use handgrad::cuda::{KernelFacts, KernelFile, inspect_all, kernel_files, kernel_fingerprint};

/// Fails if a kernel does not assemble (NVRTC checks inline assembly only here), or when one starts to spill registers
/// or to keep arrays in local memory.
#[test]
fn every_kernel_assembles_and_none_spills() {
    if !gpu::is_there() {
        return;
    }
    let files: Vec<_> = kernel_files().iter().collect();
    let all = inspect_all(&files).unwrap_or_else(|e| panic!("{e}"));
    all.iter().for_each(|(file, facts)| complete(file, facts));
    let facts: Vec<KernelFacts> = all.into_iter().flat_map(|(_, facts)| facts).collect();
    let count = facts.len();
    let wrong: Vec<_> = facts.iter().filter(|f| f.spills + f.stack > 0).map(|f| format!("{f:?}")).collect();
    println!("{count} kernels");
    assert!(wrong.is_empty(), "{} spill:\n{}", wrong.len(), wrong.join("\n"));
}

/// docs/kernels.md was made from these very sources. Its registers are not held against the compiler's: which of two
/// equally good assignments NVRTC takes differs by a register or two from process to process.
#[test]
fn the_page_is_of_these_kernels() {
    let Ok(page) = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/kernels.md")) else {
        println!("skipped: docs/kernels.md is not here");
        return;
    };
    let fingerprint = kernel_fingerprint();
    assert!(page.contains(&fingerprint), "the kernels are {fingerprint} now: run benches/kernels.sh");
}

/// Fails unless the compiler says something of every kernel of a file.
fn complete(file: &KernelFile, facts: &[KernelFacts]) {
    for kernel in file.kernels {
        let found = facts.iter().find(|f| f.name == *kernel);
        let found = found.unwrap_or_else(|| panic!("{}.cu: nothing of {kernel}", file.name));
        assert!(found.registers > 0 && found.blocks(0) > 0, "{found:?}");
    }
}

/// Every kernel of the table comes from a file of the folder, and the other way round.
#[test]
fn the_table_has_every_file() {
    let Ok(folder) = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/kernels")) else {
        println!("skipped: the folder kernels is not here");
        return;
    };
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
