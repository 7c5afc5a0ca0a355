//! What a kernel is made of, by the compiler's word: registers, shared memory, spills, and how full that lets a
//! multiprocessor be. Needs NVRTC, and neither driver nor GPU.

use super::module::{self, KernelFile, Output};
use crate::error::Result;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The architectures that every kernel is compiled for in the tests: Turing to Blackwell.
pub const ARCHITECTURES: [u32; 7] = [75, 80, 86, 89, 90, 100, 120];

/// A kernel compiled for one architecture.
#[derive(Clone, Debug)]
pub struct KernelFacts {
    /// Its entry point.
    pub name: String,
    /// 80 for sm_80.
    pub architecture: u32,
    /// Registers of a thread.
    pub registers: u32,
    /// Bytes of static shared memory of a block.
    pub shared: u32,
    /// Bytes of a thread's local memory; 0 unless arrays could not be kept in registers.
    pub stack: u32,
    /// Bytes of registers that did not fit and go through memory, stores and loads.
    pub spills: u32,
    /// Threads of a block: the kernel's launch bound, or 256.
    pub threads: u32,
}

/// What a multiprocessor has, by the CUDA C++ Programming Guide, "Compute Capabilities".
struct Multiprocessor {
    warps: u32,
    blocks: u32,
    shared: u32,
    /// Shared memory that the system takes of each block.
    reserved: u32,
}

const REGISTERS: u32 = 65536;
const WARP: u32 = 32;

fn multiprocessor(architecture: u32) -> Multiprocessor {
    let (warps, blocks, kib, reserved) = match architecture {
        0..80 => (32, 16, 64, 0),
        80..86 => (64, 32, 164, 1024),
        86..89 => (48, 16, 100, 1024),
        89..90 => (48, 24, 100, 1024),
        90..120 => (64, 32, 228, 1024),
        120.. => (48, 24, 100, 1024),
    };
    Multiprocessor { warps, blocks, shared: kib << 10, reserved }
}

impl KernelFacts {
    /// How many blocks a multiprocessor can hold at once, with `dynamic` bytes of dynamic shared memory for each.
    pub fn blocks(&self, dynamic: u32) -> u32 {
        let mp = multiprocessor(self.architecture);
        let warps = self.threads.div_ceil(WARP);
        // Registers are given to warps in pieces of 256.
        let by_registers = REGISTERS / (warps * (self.registers.max(1) * WARP).next_multiple_of(256));
        let shared = self.shared + dynamic + mp.reserved;
        let by_shared = mp.shared.checked_div(shared).unwrap_or(mp.blocks);
        mp.blocks.min(mp.warps / warps).min(by_registers).min(by_shared)
    }

    /// The part of a multiprocessor's warps that can be there at once, in 0 ..= 1.
    pub fn occupancy(&self, dynamic: u32) -> f64 {
        let warps = self.threads.div_ceil(WARP) * self.blocks(dynamic);
        f64::from(warps) / f64::from(multiprocessor(self.architecture).warps)
    }
}

/// Compiles a file of kernels for an architecture and reads what the assembler says of each kernel.
///
/// # Errors
/// NVRTC is not there; the file does not compile.
pub fn inspect(file: &KernelFile, architecture: u32) -> Result<Vec<KernelFacts>> {
    let (_, log) = module::compile(file.name, file.source, &format!("sm_{architecture}"), Output::Cubin)?;
    let bounds = launch_bounds(file.source);
    let threads = |name: &str| bounds.iter().find(|(n, _)| n == name).map_or(256, |(_, threads)| *threads);
    let mut facts: Vec<KernelFacts> = Vec::new();
    for line in log.lines() {
        if let Some((_, rest)) = line.split_once("Compiling entry function '") {
            let name = rest.split('\'').next().unwrap_or_default().to_string();
            let threads = threads(&name);
            let unknown =
                KernelFacts { name, architecture, registers: 0, shared: 0, stack: 0, spills: 0, threads };
            facts.push(unknown);
        }
        let Some(kernel) = facts.last_mut() else { continue };
        let number = |before: &str| {
            let words: Vec<&str> = line.split(before).next()?.split_whitespace().collect();
            words.last()?.parse::<u32>().ok().filter(|_| line.contains(before))
        };
        if let Some(stack) = number(" bytes stack frame") {
            kernel.stack = stack;
            kernel.spills =
                number(" bytes spill stores").unwrap_or(0) + number(" bytes spill loads").unwrap_or(0);
        }
        if let Some(registers) = number(" registers") {
            kernel.registers = registers;
            kernel.shared = number(" bytes smem").unwrap_or(0);
        }
    }
    facts.retain(|f| file.kernels.contains(&f.name.as_str()));
    Ok(facts)
}

/// The same of several files, each for every architecture that it claims, in that order. Compiling the largest takes
/// seconds, so it is done on all cores.
///
/// # Errors
/// As [`inspect`].
pub fn inspect_all(files: &[&'static KernelFile]) -> Result<Vec<(&'static KernelFile, Vec<KernelFacts>)>> {
    let claimed =
        |&f: &&'static KernelFile| ARCHITECTURES.into_iter().filter(|a| *a >= f.needs).map(move |a| (f, a));
    let work: Vec<_> = files.iter().flat_map(claimed).collect();
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut done = Vec::new();
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            let Some(&(file, architecture)) = work.get(i) else { return done };
            done.push((i, inspect(file, architecture).map(|facts| (file, facts))));
        }
    };
    let mut all: Vec<_> = std::thread::scope(|s| {
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(work.len());
        let workers: Vec<_> = (0..threads).map(|_| s.spawn(worker)).collect();
        workers.into_iter().flat_map(|w| w.join().unwrap_or_else(|e| resume_unwind(e))).collect()
    });
    all.sort_by_key(|(i, _)| *i);
    all.into_iter().map(|(_, facts)| facts).collect()
}

/// The kernels that declare how many threads their blocks have at most, with that number.
fn launch_bounds(source: &str) -> Vec<(String, u32)> {
    let mut found = Vec::new();
    for declaration in source.split("extern \"C\" __global__ void").skip(1) {
        let Some(rest) = declaration.trim_start().strip_prefix("__launch_bounds__(") else { continue };
        let Some((bounds, rest)) = rest.split_once(')') else { continue };
        let threads = bounds.split(',').next().and_then(|n| n.trim().parse().ok());
        let name = rest.split('(').next().unwrap_or("").trim().to_string();
        found.extend(threads.map(|threads| (name, threads)));
    }
    found
}
