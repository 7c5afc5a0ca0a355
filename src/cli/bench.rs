//! `handgrad bench --kernels`: what every CUDA kernel is made of, and what it does or how long it takes.
//!
//! Three tables. From the compiler, without any GPU: registers, shared memory, spills, occupancy. From a GPU in
//! software: what the kernels did, counted. From a real GPU: times, beside cuBLAS and the roofline. Where something is
//! not there, its column says "not run".

use super::{say, table};
use clap::Args;
use handgrad::cuda::{
    ARCHITECTURES, Cublas, Cuda, Exercise, KernelFacts, Size, Software, Stopwatch, exercises, inspect,
    kernel_files,
};
use handgrad::{Error, Result};
use std::sync::Arc;

#[derive(Args)]
pub(super) struct Arguments {
    /// The CUDA kernels, one by one
    #[arg(long, required = true)]
    kernels: bool,
    /// auto, cuda:N, or none to ask the compiler only
    #[arg(long, value_name = "NAME", default_value = "auto")]
    device: String,
    /// Only kernels and ops whose name contains this
    #[arg(long, value_name = "TEXT", default_value = "")]
    filter: String,
    /// Architectures to compile for, as in 80,90
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_values_t = ARCHITECTURES)]
    architectures: Vec<u32>,
}

const NOT_RUN: &str = "not run";

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    debug_assert!(arguments.kernels);
    let cuda = match arguments.device.as_str() {
        "none" => None,
        "auto" => Cuda::new(0).ok(),
        name => match name.strip_prefix("cuda:").map(str::parse) {
            Some(Ok(ordinal)) => Some(Cuda::new(ordinal)?),
            _ => return Err(Error::unknown("device", name, &["auto", "none", "cuda:0"])),
        },
    };
    compiled(arguments)?;
    match (cuda.map(Arc::new), Software::found()) {
        (None, _) => {
            say(format!("Counters and times: {NOT_RUN}, there is no GPU here, not even in software."))
        }
        (Some(cuda), Some(software)) => counted(arguments, &cuda, &software),
        (Some(cuda), None) => timed(arguments, &cuda),
    }
}

/// What the compiler says.
fn compiled(arguments: &Arguments) -> Result<()> {
    let mut table =
        table(&["kernel", "sm", "threads", "registers", "shared", "spills", "blocks", "occupancy"]);
    for file in kernel_files() {
        let wanted = |f: &KernelFacts| f.name.contains(&arguments.filter);
        for &architecture in arguments.architectures.iter().filter(|a| **a >= file.needs) {
            for f in inspect(file, architecture)?.into_iter().filter(wanted) {
                table.add_row([
                    f.name.clone(),
                    architecture.to_string(),
                    f.threads.to_string(),
                    f.registers.to_string(),
                    f.shared.to_string(),
                    f.spills.to_string(),
                    f.blocks(0).to_string(),
                    format!("{:.0} %", 100.0 * f.occupancy(0)),
                ]);
            }
        }
    }
    say(
        "By the compiler: registers of a thread, bytes of shared memory of a block, bytes spilled, blocks that a",
    )?;
    say("multiprocessor holds, and the part of its warps that they are.")?;
    say(table)
}

/// The exercises whose names fit.
fn wanted(arguments: &Arguments, cuda: &Arc<Cuda>, size: Size) -> Result<Vec<Exercise>> {
    let mut all = exercises(cuda, size)?;
    all.retain(|e| e.name.contains(&arguments.filter));
    Ok(all)
}

/// What a GPU in software counts.
fn counted(_arguments: &Arguments, _cuda: &Arc<Cuda>, _software: &Software) -> Result<()> {
    Ok(())
}

/// How long a GPU takes.
fn timed(arguments: &Arguments, cuda: &Arc<Cuda>) -> Result<()> {
    let (roofline, watch, cublas) = (cuda.roofline()?, Stopwatch::new(cuda)?, Cublas::new(cuda)?);
    say(format!(
        "{}: at most {:.1} TFLOP/s in f32 and {:.0} GB/s. Medians of 20 runs.",
        cuda.facts().name,
        roofline.flops * 1e-12,
        roofline.bytes * 1e-9
    ))?;
    let header =
        ["op", "warm µs", "cold µs", "GFLOP/s", "GB/s", "of the roofline", "cuBLAS µs", "against cuBLAS"];
    let mut table = table(&header);
    for mut e in wanted(arguments, cuda, Size::Large)? {
        let warm = watch.median(20, false, || e.run())?;
        let cold = watch.median(20, true, || e.run())?;
        let theirs = match (&cublas, e.gemm) {
            (Some(cublas), Some(extents)) => Some(watch.median(20, false, cublas.product(extents)?)?),
            _ => None,
        };
        table.add_row([
            e.name.clone(),
            format!("{:.1}", 1e6 * warm),
            format!("{:.1}", 1e6 * cold),
            if e.flops > 0.0 { format!("{:.0}", 1e-9 * e.flops / warm) } else { String::new() },
            format!("{:.0}", 1e-9 * e.bytes / cold),
            format!("{:.0} %", 100.0 * roofline.seconds(e.flops, e.bytes) / warm),
            theirs.map_or(if e.gemm.is_some() { NOT_RUN.into() } else { String::new() }, |t| {
                format!("{:.1}", 1e6 * t)
            }),
            theirs.map_or(String::new(), |t| format!("{:.2}", t / warm)),
        ]);
    }
    say(table)
}
