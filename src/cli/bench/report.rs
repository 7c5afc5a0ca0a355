//! What `handgrad bench` prints, and the object that `--json` writes. Scripts depend on its names.

use super::measure::Timing;
use super::{Case, Crew};
use crate::cli::{say, table};
use handgrad::Result;
use handgrad::cpu::{Caches, Floor, Level};
use serde::Serialize;
use std::fmt;

/// The whole object.
#[derive(Serialize)]
pub(super) struct Report {
    pub(super) machine: Machine,
    /// Whether it was made with `--quick`.
    pub(super) quick: bool,
    /// One for each number of threads.
    pub(super) floors: Vec<FloorReport>,
    pub(super) rows: Vec<Row>,
}

/// What it was measured on.
#[derive(Serialize)]
pub(super) struct Machine {
    pub(super) processor: String,
    l1_bytes: usize,
    l2_bytes: usize,
    l3_bytes: usize,
}

impl Machine {
    pub(super) fn of(processor: &str, caches: Caches) -> Machine {
        let Caches { l1, l2, l3 } = caches;
        Machine { processor: processor.to_string(), l1_bytes: l1, l2_bytes: l2, l3_bytes: l3 }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let [l1, l2, l3] = [self.l1_bytes, self.l2_bytes, self.l3_bytes].map(|bytes| bytes >> 10);
        write!(f, "processor {}, caches {l1} KiB, {l2} KiB and {l3} KiB", self.processor)
    }
}

/// What a number of threads can do at best.
#[derive(Serialize)]
pub(super) struct FloorReport {
    isa: String,
    threads: usize,
    gflops: f64,
    l1_gigabytes_per_second: f64,
    l2_gigabytes_per_second: f64,
    l3_gigabytes_per_second: f64,
    memory_gigabytes_per_second: f64,
}

impl From<Floor> for FloorReport {
    fn from(floor: Floor) -> FloorReport {
        let [l1, l2, l3, memory] = floor.bytes.map(|b| b * 1e-9);
        FloorReport {
            isa: floor.isa.to_string(),
            threads: floor.threads,
            gflops: floor.flops * 1e-9,
            l1_gigabytes_per_second: l1,
            l2_gigabytes_per_second: l2,
            l3_gigabytes_per_second: l3,
            memory_gigabytes_per_second: memory,
        }
    }
}

/// An op at a number of threads.
#[derive(Serialize)]
pub(super) struct Row {
    pub(super) family: &'static str,
    pub(super) op: String,
    pub(super) shape: String,
    pub(super) threads: usize,
    /// The best of the samples.
    pub(super) seconds: f64,
    median_seconds: f64,
    samples: usize,
    pub(super) flops: f64,
    pub(super) bytes: f64,
    /// The least time that these operations and bytes could take.
    floor_seconds: f64,
    /// That over the best.
    of_floor: f64,
    /// What that least time is spent on: arithmetic, or L1, L2, L3, memory.
    bound: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) matrixmultiply_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    samples_per_second: Option<f64>,
}

impl Row {
    pub(super) fn new(case: &Case, crew: &Crew, timing: &Timing) -> Row {
        let floor = &crew.floor;
        let least = floor.seconds(case.flops, case.bytes, case.footprint);
        let level: Level = floor.level(case.footprint);
        let arithmetic = case.flops / floor.flops >= least;
        Row {
            family: case.family,
            op: case.op.clone(),
            shape: case.shape.clone(),
            threads: crew.threads,
            seconds: timing.best,
            median_seconds: timing.median,
            samples: timing.samples,
            flops: case.flops,
            bytes: case.bytes,
            floor_seconds: least,
            of_floor: least / timing.best,
            bound: if arithmetic { "arithmetic".into() } else { level.to_string() },
            matrixmultiply_seconds: None,
            samples_per_second: case.samples.map(|samples| samples / timing.best),
        }
    }

    /// GFLOP/s.
    pub(super) fn gflops(&self) -> f64 {
        1e-9 * self.flops / self.seconds
    }
}

/// `1.23 ms`: three digits and a unit.
fn time(seconds: f64) -> String {
    let (value, unit) = match seconds {
        s if s < 1e-3 => (s * 1e6, "µs"),
        s if s < 1.0 => (s * 1e3, "ms"),
        s => (s, "s"),
    };
    format!("{} {unit}", digits(value))
}

/// Three digits, as far as they lie behind the point.
fn digits(value: f64) -> String {
    match value {
        v if v < 9.995 => format!("{v:.2}"),
        v if v < 99.95 => format!("{v:.1}"),
        v => format!("{v:.0}"),
    }
}

fn percent(share: f64) -> String {
    if share < 0.0995 { format!("{:.1} %", 100.0 * share) } else { format!("{:.0} %", 100.0 * share) }
}

/// One family as a table. Rows of an op come one after the other, that of one thread first.
pub(super) fn print(family: &str, rows: &[Row]) -> Result<()> {
    let rate = match family {
        "gemm" => "matrixmultiply",
        "step" => "samples/s",
        _ => "GB/s",
    };
    let mut header = vec!["op", "shape", "threads", "best", "median", "GFLOP/s", rate];
    header.push(if family == "gemm" { "ours : theirs" } else { "bound by" });
    header.extend(["of floor", "× 1 thread"]);
    let mut out = table(&header);
    let mut single = f64::NAN;
    for (i, row) in rows.iter().enumerate() {
        let first = i == 0 || rows[i - 1].op != row.op || rows[i - 1].shape != row.shape;
        if first {
            single = row.seconds;
        }
        let mut cells = match first {
            true => vec![row.op.clone(), row.shape.clone()],
            false => vec![String::new(); 2],
        };
        cells.extend([
            row.threads.to_string(),
            time(row.seconds),
            time(row.median_seconds),
            digits(row.gflops()),
        ]);
        let theirs = row.matrixmultiply_seconds;
        cells.extend(match family {
            "gemm" => [
                theirs.map_or(String::new(), |s| digits(1e-9 * row.flops / s)),
                theirs.map_or(String::new(), |s| digits(s / row.seconds)),
            ],
            "step" => {
                [row.samples_per_second.map_or(String::new(), |s| format!("{s:.0}")), row.bound.clone()]
            }
            _ => [digits(1e-9 * row.bytes / row.seconds), row.bound.clone()],
        });
        cells.push(percent(row.of_floor));
        cells.push(if first { String::new() } else { digits(single / row.seconds) });
        out.add_row(cells);
    }
    say(format!("\n{family}"))?;
    say(out)
}

/// The rungs, the lowest first, each with what it does.
pub(super) fn print_ladder(rows: &[Row]) -> Result<()> {
    let mut out = table(&["rung", "threads", "best", "GFLOP/s", "of floor", "× the last", "the idea"]);
    for (i, row) in rows.iter().enumerate() {
        let step = if i == 0 { String::new() } else { digits(rows[i - 1].seconds / row.seconds) };
        let idea = row.op.parse().map_or("", handgrad::cpu::Rung::idea);
        let (threads, time) = (row.threads.to_string(), time(row.seconds));
        out.add_row([
            row.op.as_str(),
            &threads,
            &time,
            &digits(row.gflops()),
            &percent(row.of_floor),
            &step,
            idea,
        ]);
    }
    say(format!("\nThe ladder to gemm, at {}", rows.first().map_or("", |r| &r.shape)))?;
    say(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits() {
        assert_eq!(
            ["0.3 %", "9.9 %", "10 %", "100 %"],
            [0.003, 0.099, 0.0999, 1.0].map(percent).each_ref().map(String::as_str)
        );
        let times = [
            (1.234e-7, "0.12 µs"),
            (1.234e-5, "12.3 µs"),
            (9.999e-4, "1000 µs"),
            (0.1, "100 ms"),
            (2.0, "2.00 s"),
        ];
        for (seconds, text) in times {
            assert_eq!(time(seconds), text);
        }
        assert_eq!(
            ["0.50", "9.99", "10.0", "100"],
            [0.5, 9.99, 9.999, 99.99].map(digits).each_ref().map(String::as_str)
        );
    }
}
