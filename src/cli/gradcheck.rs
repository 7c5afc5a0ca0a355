//! `handgrad gradcheck`: every backward pass against difference quotients, as the engine's own tests do it.

use super::{say, table};
use clap::Args;
use comfy_table::CellAlignment::Right;
use handgrad::gradcheck::{cases, check};
use handgrad::{Device, Error, Result};

#[derive(Args)]
pub(super) struct Arguments {
    /// A layer, a loss or `Model`, as in `Dense`, `LSTM` or `huber`; or all
    #[arg(value_name = "LAYER", default_value = "all")]
    layer: String,
    /// reference (f64, tolerance 1e-6), cpu or cuda:N (f32, tolerance 1e-3)
    #[arg(long, value_name = "NAME", default_value = "reference")]
    device: String,
}

/// Checks every case of the chosen layer and prints one row for each.
pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let device = Device::from_name(&arguments.device, None)?;
    let all = cases();
    let is_chosen = |kind: &str| arguments.layer == "all" || kind.eq_ignore_ascii_case(&arguments.layer);
    if !all.iter().any(|case| is_chosen(case.kind)) {
        let mut known = vec!["all"];
        for case in &all {
            if !known.contains(&case.kind) {
                known.push(case.kind);
            }
        }
        return Err(Error::unknown("layer", &arguments.layer, &known));
    }
    say(format!("Gradients on {}", device.describe()))?;
    let mut rows = table(&["layer", "configuration", "parameters", "inputs", "worst error", "where", ""]);
    let (mut count, mut failures) = (0, Vec::new());
    for case in all.iter().filter(|case| is_chosen(case.kind)) {
        let report = check(&device, case)?;
        rows.add_row([
            report.kind,
            &report.configuration,
            &report.parameters.to_string(),
            &report.inputs.to_string(),
            &format!("{:.1e}", report.worst.error),
            &format!("{}[{}]", report.worst.tensor, report.worst.index),
            if report.passed() { "ok" } else { "WRONG" },
        ]);
        count += 1;
        if !report.passed() {
            failures.push(report);
        }
    }
    for column in 2..=4 {
        rows.column_mut(column).into_iter().for_each(|c| c.set_cell_alignment(Right));
    }
    say(rows)?;
    failures.iter().try_for_each(say)?;
    match failures.len() {
        0 => say(format!("All {count} gradient checks passed.")),
        n => Err(Error::invalid(
            format!("{n} of {count} gradient checks failed"),
            "look at the rows marked WRONG: a backward pass is not the derivative of its forward pass",
        )),
    }
}
