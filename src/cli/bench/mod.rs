//! `handgrad bench`: how fast the ops are on this processor, and how fast they could be.
//!
//! First the floor is measured ([`Floor`]): what the machine can do at best. Then each family of ops, on one thread and
//! on all. The part of the floor is the least time that an op could take over the time that it took: 100 % is the
//! machine's own limit. An op whose numbers lie between two caches may pass it a little.
//!
//! `--kernels` is another thing: see [`kernels`].

mod cases;
mod gemm;
#[cfg(feature = "cuda")]
mod kernels;
mod measure;
mod picture;
mod report;
mod step;

use super::report::write_json;
use super::say;
use clap::Args;
use clap::builder::RangedU64ValueParser;
use handgrad::cpu::{Cpu, Floor, caches, processor};
use handgrad::data::AtomicFile;
use handgrad::{Device, Error, Result, Rng, Shape, Tensor};
use measure::{Timing, race};
use report::{Machine, Report, Row};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

#[derive(Args)]
pub(super) struct Arguments {
    /// What to measure: gemm, conv, lstm, softmax, optimizer, step or all
    #[arg(value_name = "FAMILY", default_value = "all")]
    family: String,
    /// How many threads compute, beside one [default: one for each core]
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..=1024))]
    threads: Option<usize>,
    /// A tenth of the time, without the largest sizes: to see that it works
    #[arg(long)]
    quick: bool,
    /// Write all figures as one JSON object
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw the roofline, with a point for each op
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    #[cfg(feature = "cuda")]
    #[command(flatten)]
    kernels: kernels::Arguments,
}

/// The names of the families, in the order in which they are measured.
const FAMILIES: [&str; 6] = ["gemm", "conv", "lstm", "softmax", "optimizer", "step"];

/// A number of threads to compute with.
struct Crew {
    /// Its place in [`Bench::crews`].
    number: usize,
    threads: usize,
    cpu: Arc<Cpu>,
    device: Device,
    floor: Floor,
}

/// Who is asked for an op.
enum By<'a> {
    Ours(&'a Crew),
    /// The crate `matrixmultiply`.
    Rival,
}

/// An op on tensors of its own.
struct Case {
    family: &'static str,
    op: String,
    shape: String,
    /// Floating-point operations of the definition. A function such as exp, a division and a root count 1.
    flops: f64,
    /// Bytes read and written, each once.
    bytes: f64,
    /// How many different ones.
    footprint: f64,
    /// How often one run does it.
    times: f64,
    /// Samples trained on.
    samples: Option<f64>,
    /// Whether there is a rival.
    rival: bool,
    run: Box<dyn FnMut(By) -> Result<()>>,
}

impl Case {
    /// An op that counts `flops` and moves `moved` floats, of which `different` are different ones.
    fn new(
        family: &'static str,
        (op, shape): (impl Into<String>, impl ToString),
        flops: usize,
        (moved, different): (usize, usize),
        mut run: impl FnMut(&Device) -> Result<()> + 'static,
    ) -> Case {
        Case {
            family,
            op: op.into(),
            shape: shape.to_string(),
            flops: flops as f64,
            bytes: 4.0 * moved as f64,
            footprint: 4.0 * different as f64,
            times: 1.0,
            samples: None,
            rival: false,
            run: Box::new(move |by| match by {
                By::Ours(crew) => run(&crew.device),
                By::Rival => Ok(()),
            }),
        }
    }
}

/// Numbers in [−1, 1), the same each time.
fn uniform(shape: impl Into<Shape>) -> Result<Tensor> {
    let (shape, mut rng) = (shape.into(), Rng::new(1, 2));
    let values: Vec<f32> = (0..shape.len()).map(|_| rng.uniform() as f32 * 2.0 - 1.0).collect();
    let mut t = Tensor::zeros_f32(shape);
    t.view_mut().write_f32(&values)?;
    Ok(t)
}

/// What all families need.
struct Bench {
    /// One thread, and all threads where there are more.
    crews: Vec<Crew>,
    /// For each racer.
    budget: Duration,
    quick: bool,
}

impl Bench {
    fn new(arguments: &Arguments) -> Result<Bench> {
        let all = Cpu::new(arguments.threads, None)?;
        let mut cpus = vec![Cpu::new(Some(1), None)?];
        if handgrad::Backend::threads(&all) > 1 {
            cpus.push(all);
        }
        let each = Duration::from_millis(if arguments.quick { 50 } else { 1000 });
        let crews = cpus.into_iter().enumerate().map(|(number, cpu)| {
            let floor = Floor::measure(&cpu, each);
            let cpu = Arc::new(cpu);
            let device = Device::from_shared(cpu.clone());
            Crew { number, threads: floor.threads, cpu, device, floor }
        });
        let crews = crews.collect();
        let budget = Duration::from_millis(if arguments.quick { 20 } else { 200 });
        Ok(Bench { crews, budget, quick: arguments.quick })
    }

    /// A case as rows: one for each crew, the first with the rival's figures.
    fn measure(&self, case: &mut Case) -> Result<Vec<Row>> {
        let ours = self.crews.len();
        let timings = race(ours + usize::from(case.rival), self.budget, |racer| {
            (case.run)(self.crews.get(racer).map_or(By::Rival, By::Ours))
        })?;
        let timings: Vec<Timing> = timings.into_iter().map(|t| t.part(case.times)).collect();
        let rival = timings.get(ours).map(|t| t.best);
        let rows = self.crews.iter().zip(&timings).map(|(crew, timing)| Row::new(case, crew, timing));
        let mut rows: Vec<Row> = rows.collect();
        if let Some(first) = rows.first_mut() {
            first.matrixmultiply_seconds = rival;
        }
        Ok(rows)
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    #[cfg(feature = "cuda")]
    if arguments.kernels.kernels {
        return kernels::run(&arguments.kernels);
    }
    let families: Vec<&str> = match arguments.family.as_str() {
        "all" => FAMILIES.to_vec(),
        name => match FAMILIES.iter().find(|f| **f == name) {
            Some(family) => vec![family],
            None => return Err(Error::unknown("family", name, &[&FAMILIES[..], &["all"]].concat())),
        },
    };
    for path in [&arguments.json, &arguments.svg].into_iter().flatten() {
        AtomicFile::probe(path)?;
    }
    let machine = Machine::of(&processor(), caches());
    say(&machine)?;
    let bench = Bench::new(arguments)?;
    for crew in &bench.crews {
        say(format!("at best   {}", crew.floor))?;
    }
    let mut rows = Vec::new();
    for family in families {
        let cases = match family {
            "gemm" => gemm::cases(bench.quick)?,
            "conv" => cases::conv(&bench.crews, bench.quick)?,
            "lstm" => cases::lstm()?,
            "softmax" => cases::softmax()?,
            "optimizer" => cases::optimizer()?,
            _ => step::cases(&bench.crews, bench.quick)?,
        };
        let mut measured = Vec::new();
        for mut case in cases {
            measured.extend(bench.measure(&mut case)?);
        }
        report::print(family, &measured)?;
        rows.append(&mut measured);
        let sides: &[usize] = if bench.quick { &[128] } else { &[512, 2048] };
        for side in sides.iter().filter(|_| family == "gemm") {
            let mut ladder = gemm::ladder(&bench, *side)?;
            report::print_ladder(&ladder)?;
            rows.append(&mut ladder);
        }
    }
    if let Some(path) = &arguments.svg {
        let floors: Vec<Floor> = bench.crews.iter().map(|c| c.floor).collect();
        let picture = picture::draw(&machine.processor, &floors, &rows)?;
        AtomicFile::write(path, picture.svg().as_bytes())?;
    }
    if let Some(path) = &arguments.json {
        let floors = bench.crews.iter().map(|c| c.floor.into()).collect();
        write_json(path, &Report { machine, quick: bench.quick, floors, rows })?;
    }
    Ok(())
}
