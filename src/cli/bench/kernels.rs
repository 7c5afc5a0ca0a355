//! `handgrad bench --kernels`: what every CUDA kernel is made of, and what it does or how long it takes.
//!
//! Three tables. From the compiler, without any GPU: registers, shared memory, spills, occupancy. From a GPU in
//! software: what the kernels did, counted. From a real GPU: times, beside cuBLAS and the roofline. Where something is
//! not there, its column says "not run".

use crate::cli::{say, table};
use clap::Args;
use handgrad::cuda::{
    ARCHITECTURES, Cublas, Cuda, Exercise, KernelFacts, Size, Software, Stopwatch, each_exercise, exercises,
    inspect_all, kernel_files, kernel_fingerprint,
};
use handgrad::data::AtomicFile;
use handgrad::{Error, Result};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// What belongs to the processor's ops.
const OTHERS: [&str; 5] = ["family", "threads", "quick", "json", "svg"];

#[derive(Args)]
#[group(id = "kernel_options")] // the options around it have the same type name
pub(super) struct Arguments {
    /// The CUDA kernels, one by one
    #[arg(long, conflicts_with_all = OTHERS)]
    pub(super) kernels: bool,
    /// With --kernels: auto, cuda:N, or none to ask the compiler only
    #[arg(long, value_name = "NAME", default_value = "auto", requires = "kernels", conflicts_with_all = OTHERS)]
    device: String,
    /// With --kernels: only kernels and ops whose name contains this
    #[arg(long, value_name = "TEXT", default_value = "", requires = "kernels", conflicts_with_all = OTHERS)]
    filter: String,
    /// With --kernels: write the tables as Markdown, too
    #[arg(long, value_name = "FILE", requires = "kernels", conflicts_with_all = OTHERS)]
    markdown: Option<PathBuf>,
}

const NOT_RUN: &str = "not run";

/// A table with the words above it.
struct Section {
    title: &'static str,
    words: String,
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Section {
    fn new(title: &'static str, words: impl Into<String>, header: &[&str]) -> Section {
        let header = header.iter().map(|h| h.to_string()).collect();
        Section { title, words: words.into(), header, rows: Vec::new() }
    }

    fn print(&self) -> Result<()> {
        say(format!("{}. {}", self.title, self.words))?;
        if self.rows.is_empty() {
            return Ok(());
        }
        let mut table = table(&self.header.iter().map(String::as_str).collect::<Vec<_>>());
        table.add_rows(&self.rows);
        say(table)
    }

    fn markdown(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let mut text = format!("## {}\n\n{}\n", self.title, self.words);
        if !self.rows.is_empty() {
            let rule = format!("|{}\n", "---|".repeat(self.header.len()));
            text += &format!("\n{}{rule}", line(&self.header));
            self.rows.iter().for_each(|row| text += &line(row));
        }
        text
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let cuda = match arguments.device.as_str() {
        "none" => None,
        "auto" => Cuda::new(0).ok(),
        name => match name.strip_prefix("cuda:").map(str::parse) {
            Some(Ok(ordinal)) => Some(Cuda::new(ordinal)?),
            _ => return Err(Error::unknown("device", name, &["auto", "none", "cuda:0"])),
        },
    };
    if let Some(path) = &arguments.markdown {
        AtomicFile::probe(path)?;
    }
    let mut sections = Vec::new();
    let mut done = |section: Section| section.print().map(|()| sections.push(section));
    done(compiled(arguments)?)?;
    let software = Software::found();
    match (cuda.map(Arc::new), &software) {
        (Some(cuda), Some(software)) => {
            done(counted(arguments, &cuda, software)?)?;
            done(not_timed())?;
        }
        (Some(cuda), None) => done(timed(arguments, &cuda)?)?,
        (None, _) => done(not_timed())?,
    }
    let Some(path) = &arguments.markdown else { return Ok(()) };
    let text: Vec<String> = sections.iter().map(Section::markdown).collect();
    let text =
        format!("{MARKDOWN}\nFingerprint of the kernels: `{}`\n\n{}", kernel_fingerprint(), text.join("\n"));
    AtomicFile::write(path, text.as_bytes())
}

const MARKDOWN: &str = "\
# What is known of every kernel

Made by `bash benches/kernels.sh`, which needs no GPU; a test fails when the kernels have changed since. NVRTC may choose
a register more or less from run to run.
";

/// What the compiler says: a row for each kernel.
fn compiled(arguments: &Arguments) -> Result<Section> {
    let wanted = |name: &str| name.contains(&arguments.filter);
    let files: Vec<_> = kernel_files().iter().filter(|f| f.kernels.iter().any(|k| wanted(k))).collect();
    let mut found = BTreeMap::<&str, Vec<KernelFacts>>::new();
    for facts in inspect_all(&files)?.into_iter().flat_map(|(_, facts)| facts) {
        let name = files.iter().flat_map(|f| f.kernels).find(|k| **k == facts.name);
        if let Some(name) = name.filter(|k| wanted(k)) {
            found.entry(name).or_default().push(facts);
        }
    }
    let mut header = vec!["file".to_string(), "kernel".into(), "threads".into(), "shared".into()];
    header.extend(ARCHITECTURES.map(|a| format!("sm_{a}")));
    header.extend(["spills".into(), "blocks, occupancy on sm_80".into(), "on sm_90".into()]);
    let words = "Threads of a block, bytes of its static shared memory, registers of a thread on each architecture, bytes \
                 spilled on any; how many blocks a multiprocessor holds, and the part of its warps that they are.";
    let mut section = Section::new("By the compiler", words, &[]);
    section.header = header;
    let kernels = files.iter().flat_map(|f| f.kernels.iter().map(|k| (f.name, *k)));
    for (file, kernel) in kernels {
        let Some((all, first)) = found.get(kernel).and_then(|all| Some((all, all.first()?))) else {
            continue;
        };
        let on = |a: u32| all.iter().find(|f| f.architecture == a);
        let occupancy =
            |a| on(a).map_or(String::new(), |f| format!("{}, {:.0} %", f.blocks(0), 100.0 * f.occupancy(0)));
        let mut row =
            vec![file.into(), first.name.clone(), first.threads.to_string(), first.shared.to_string()];
        row.extend(ARCHITECTURES.map(|a| on(a).map_or(String::new(), |f| f.registers.to_string())));
        row.push(all.iter().map(|f| f.spills + f.stack).max().unwrap_or(0).to_string());
        row.extend([occupancy(80), occupancy(90)]);
        section.rows.push(row);
    }
    Ok(section)
}

/// What a GPU in software counts: a row for each kernel, over all exercises.
fn counted(arguments: &Arguments, cuda: &Arc<Cuda>, software: &Software) -> Result<Section> {
    software.set("counters", "1");
    let mut all = exercises(cuda, Size::Small)?;
    all.retain(|e| e.name.contains(&arguments.filter));
    cuda.synchronize()?;
    software.reset();
    all.iter_mut().try_for_each(Exercise::run)?;
    cuda.synchronize()?;
    software.set("counters", "0");
    let counters: BTreeMap<String, Value> = serde_json::from_str(&software.counters()).unwrap_or_default();
    let words = "Over small exercises of every op. FMA: their part of the warps' instructions in the main loop. Read and \
                 written: bytes asked for over distinct bytes, 1 being each once. Sectors: 32-byte sectors moved over \
                 those that a coalesced access of the same bytes moves. Conflicts: passes over the banks of shared \
                 memory that only conflicts need, as a part of all, in the main loop if there is one.";
    let header = ["kernel", "launches", "FMA", "read", "written", "sectors", "conflicts", "barriers a block"];
    let mut section = Section::new("By the software GPU", words, &header);
    for name in kernel_files().iter().flat_map(|f| f.kernels) {
        let Some(k) = counters.get(*name) else { continue };
        let number = |path: &str| k.pointer(path).and_then(Value::as_f64).unwrap_or(0.0);
        let ratio = |a: f64, b: f64| if b == 0.0 { String::new() } else { format!("{:.2}", a / b) };
        let once = |side: &str| {
            ratio(
                number(&format!("/global_memory/{side}/bytes_requested")),
                number(&format!("/global_memory/{side}/bytes_distinct")),
            )
        };
        let both = |what: &str| {
            number(&format!("/global_memory/load/{what}")) + number(&format!("/global_memory/store/{what}"))
        };
        let place = if number("/main_loop/shared_memory/load/wavefronts") > 0.0 { "/main_loop" } else { "" };
        let banks = |what: &str| {
            number(&format!("{place}/shared_memory/load/{what}"))
                + number(&format!("{place}/shared_memory/store/{what}"))
        };
        let share = number("/main_loop/fma_share");
        section.rows.push(vec![
            name.to_string(),
            number("/launches").to_string(),
            if share > 0.0 { format!("{:.1} %", 100.0 * share) } else { String::new() },
            once("load"),
            once("store"),
            ratio(both("sectors"), both("sectors_coalesced")),
            if banks("wavefronts") > 0.0 {
                format!("{:.1} %", 100.0 * banks("conflicts") / banks("wavefronts"))
            } else {
                String::new()
            },
            ratio(number("/barriers"), number("/blocks")),
        ]);
    }
    Ok(section)
}

/// What stands in place of times where no GPU was.
fn not_timed() -> Section {
    Section::new(
        "By a GPU's clock",
        format!("Times, cuBLAS and the roofline: {NOT_RUN}, no GPU was there."),
        &[],
    )
}

/// How long a GPU takes.
fn timed(arguments: &Arguments, cuda: &Arc<Cuda>) -> Result<Section> {
    let (roofline, watch, cublas) = (cuda.roofline()?, Stopwatch::new(cuda)?, Cublas::new(cuda)?);
    let words = format!(
        "{}, driver for CUDA {}.{}: at most {:.1} TFLOP/s in f32 and {:.0} GB/s. Medians of up to 21 runs: \
         warm among ten of its kind in a graph, cold by itself with other things in the L2 cache. GFLOP/s are warm, GB/s are cold. The floor is \
         the larger of what arithmetic and memory need at least, as a part of the better of the two times; inputs that \
         stay in the L2 cache can beat it.",
        cuda.facts().name,
        cuda.facts().driver / 1000,
        cuda.facts().driver % 1000 / 10,
        roofline.flops * 1e-12,
        roofline.bytes * 1e-9
    );
    let header =
        ["op", "warm µs", "cold µs", "GFLOP/s", "GB/s", "of the floor", "cuBLAS µs", "against cuBLAS"];
    let mut section = Section::new("By a GPU's clock", words, &header);
    each_exercise(cuda, Size::Large, &mut |mut e| {
        if !e.name.contains(&arguments.filter) {
            return Ok(());
        }
        let warm = watch.warm(|| e.run())?;
        let cold = watch.cold(|| e.run())?;
        let theirs = match (&cublas, e.gemm) {
            (Some(cublas), Some(extents)) => Some(watch.foreign(cublas.product(extents)?)?),
            _ => None,
        };
        let no_theirs = if e.gemm.is_some() { NOT_RUN } else { "" };
        section.rows.push(vec![
            e.name.clone(),
            format!("{:.1}", 1e6 * warm),
            format!("{:.1}", 1e6 * cold),
            if e.flops > 0.0 { format!("{:.0}", 1e-9 * e.flops / warm) } else { String::new() },
            format!("{:.0}", 1e-9 * e.bytes / cold),
            format!("{:.0} %", 100.0 * roofline.seconds(e.flops, e.bytes) / warm.min(cold)),
            theirs.map_or(no_theirs.into(), |t| format!("{:.1}", 1e6 * t)),
            theirs.map_or(String::new(), |t| format!("{:.2}", t / warm)),
        ]);
        Ok(())
    })?;
    Ok(section)
}
