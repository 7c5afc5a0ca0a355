//! Every file of kernels, compiled to machine code for every architecture that it claims.

use super::gpu;
use handgrad::cuda::{ARCHITECTURES, KernelFacts, KernelFile, inspect, kernel_files};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Fails if a kernel does not assemble (NVRTC checks inline assembly only here), or when one starts to spill registers
/// or to keep arrays in local memory.
#[test]
fn every_kernel_assembles_and_none_spills() {
    if !gpu::is_there() {
        return;
    }
    let claimed =
        |f: &'static KernelFile| ARCHITECTURES.into_iter().filter(|a| *a >= f.needs).map(move |a| (f, a));
    let work: Vec<_> = kernel_files().iter().flat_map(claimed).collect();
    // Compiling takes seconds for the largest files: on both of a small machine's cores.
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut facts = Vec::new();
        while let Some(&(file, architecture)) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
            facts.extend(assemble(file, architecture));
        }
        facts
    };
    let facts = std::thread::scope(|s| {
        let other = s.spawn(worker);
        let mut facts = worker();
        facts.extend(other.join().unwrap());
        facts
    });
    let count = facts.len();
    let wrong: Vec<_> = facts.iter().filter(|f| f.spills + f.stack > 0).map(|f| format!("{f:?}")).collect();
    println!("{count} kernels");
    documented(&facts);
    assert!(wrong.is_empty(), "{} spill:\n{}", wrong.len(), wrong.join("\n"));
}

/// Holds the registers in docs/kernels.md against the compiler's, if it is the version that the page was made with. When
/// it compiles two files at once, as here, its choice differs by a register or two from that of one file alone.
fn documented(facts: &[KernelFacts]) {
    let Ok(page) = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/kernels.md")) else {
        println!("skipped: docs/kernels.md is not here");
        return;
    };
    let [_, (_, version)] = handgrad::cuda::parts();
    if !version.is_ok_and(|v| v == "12.9") {
        println!("skipped: docs/kernels.md was made with NVRTC 12.9");
        return;
    }
    let rows: Vec<Vec<&str>> = page.lines().map(|l| l.split('|').map(str::trim).collect()).collect();
    let header = rows.iter().find(|r| r.contains(&"sm_80")).unwrap();
    for f in facts {
        let column = header.iter().position(|h| *h == format!("sm_{}", f.architecture)).unwrap();
        let row = rows.iter().find(|r| r.len() == header.len() && r[2] == f.name);
        let row = row.unwrap_or_else(|| panic!("docs/kernels.md lacks {}: run benches/kernels.sh", f.name));
        let registers: u32 = row[column].parse().unwrap();
        assert!(
            registers.abs_diff(f.registers) <= 4,
            "docs/kernels.md has {registers} registers for {f:?}: run benches/kernels.sh"
        );
    }
}

/// What the compiler says of all kernels of a file.
fn assemble(file: &KernelFile, architecture: u32) -> Vec<KernelFacts> {
    let facts = inspect(file, architecture).unwrap_or_else(|e| panic!("{e}"));
    for kernel in file.kernels {
        let found = facts.iter().find(|f| f.name == *kernel);
        let found =
            found.unwrap_or_else(|| panic!("{}.cu for sm_{architecture}: nothing of {kernel}", file.name));
        assert!(found.registers > 0 && found.blocks(0) > 0, "{found:?}");
    }
    facts
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
