//! What this machine can do at best, on one thread and on all: the figures that every other bench is held against.
//!
//! ```text
//! cargo bench --bench floor
//! HANDGRAD_ISA=portable cargo bench --bench floor
//! ```
//!
//! See `src/cpu/floor.rs` for what is measured.

use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use handgrad::cpu::{Cpu, Floor, caches, handoff, processor};
use std::time::Duration;

fn main() -> handgrad::Result<()> {
    let c = caches();
    println!("{}: L1 {} KiB, L2 {} KiB, L3 {} KiB", processor(), c.l1 >> 10, c.l2 >> 10, c.l3 >> 10);
    let mut table = Table::new();
    let header = ["instructions", "threads", "GFLOP/s", "L1 GB/s", "L2 GB/s", "L3 GB/s", "memory GB/s"];
    table.load_preset(UTF8_FULL_CONDENSED).set_header(header);
    for threads in [Some(1), None] {
        let floor = Floor::measure(&Cpu::new(threads, None)?, Duration::from_secs(1));
        let mut row = vec![floor.isa.to_string(), floor.threads.to_string()];
        row.extend([floor.flops].into_iter().chain(floor.bytes).map(|rate| format!("{:.1}", rate * 1e-9)));
        table.add_row(row);
    }
    println!("{table}");
    if let Some([quickest, slowest]) = handoff(Duration::from_secs(2)) {
        let (quickest, slowest) = (quickest * 1e9, slowest * 1e9);
        println!("a cache line to another core and back: {quickest:.0} to {slowest:.0} ns");
    }
    Ok(())
}
