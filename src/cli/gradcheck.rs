//! `handgrad gradcheck`: every backward pass against difference quotients, as the engine's own tests do it.

use super::say;
use clap::Args;
use handgrad::gradcheck::{cases, check};
use handgrad::{Device, Error, Result};

#[derive(Args)]
pub(super) struct Arguments {
    /// A layer, loss or model as in `Dense`, `LSTM` or `huber`; or all
    #[arg(value_name = "LAYER", default_value = "all")]
    layer: String,
    /// reference (f64, tolerance 1e-6), cpu or cuda:N (f32, tolerance 1e-3)
    #[arg(long, value_name = "NAME", default_value = "reference")]
    device: String,
}

/// Prints a row as soon as its case is checked.
pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let device = Device::from_name(&arguments.device, None)?;
    let all = cases();
    let chosen: Vec<_> = all
        .iter()
        .filter(|case| arguments.layer == "all" || case.kind.eq_ignore_ascii_case(&arguments.layer))
        .collect();
    if chosen.is_empty() {
        let mut known: Vec<&str> = all.iter().map(|case| case.kind).collect();
        known.dedup();
        known.push("all");
        return Err(Error::unknown("layer", &arguments.layer, &known));
    }
    say(format!("Gradients on {}\n", device.describe()))?;
    say(row("layer", "configuration", "params", "inputs", "worst error", "where"))?;
    let mut failures = 0;
    for case in &chosen {
        let report = check(&device, case)?;
        let worst = &report.worst;
        let (parameters, inputs) = (report.parameters.to_string(), report.inputs.to_string());
        let (error, place) = (format!("{:.1e}", worst.error), format!("{}[{}]", worst.tensor, worst.index));
        let line = row(report.kind, &report.configuration, &parameters, &inputs, &error, &place);
        if report.passed() {
            say(line)?;
        } else {
            failures += 1;
            say(format!("{line}  WRONG\n  {report}"))?;
        }
    }
    if failures > 0 {
        return Err(Error::invalid(
            format!("{failures} of {} gradient checks failed", chosen.len()),
            "look at the rows marked WRONG: a backward pass is not the derivative of its forward pass",
        ));
    }
    say(format!("\nAll {} gradient checks passed.", chosen.len()))
}

fn row(kind: &str, configuration: &str, parameters: &str, inputs: &str, error: &str, place: &str) -> String {
    format!("{kind:<24} {configuration:<56} {parameters:>6} {inputs:>6} {error:>11}  {place}")
}
