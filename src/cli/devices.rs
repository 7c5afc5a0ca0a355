//! `handgrad devices`: who can compute.

use super::{say, table};
use handgrad::{Device, Result};

/// Prints a table of what `--device` knows, whether it is here or not.
pub(super) fn run() -> Result<()> {
    let mut table = table(&["device", "numbers", "what"]);
    for (name, numbers) in [("cpu", "f32"), ("reference", "f64"), ("cuda:0", "f32")] {
        let what = match Device::from_name(name, None) {
            Ok(device) => device.describe(),
            Err(e) => e.to_string(),
        };
        table.add_row([name, numbers, &what]);
    }
    say(table)?;
    say(format!("`--device auto` takes {}.", Device::from_name("auto", None)?.name()))
}
