//! `handgrad devices`: who can compute, and what a GPU would need.

use super::{say, table};
use handgrad::{Device, Result};

/// Prints a table of what `--device` knows, whether it is here or not.
pub(super) fn run() -> Result<()> {
    let mut table = table(&["device", "numbers", "what"]);
    let mut names = vec![("cpu".to_string(), "f32"), ("reference".to_string(), "f64")];
    names.extend((0..gpus()).map(|i| (format!("cuda:{i}"), "f32")));
    for (name, numbers) in &names {
        let what = match Device::from_name(name, None) {
            Ok(device) => device.describe(),
            Err(e) => match e.hint() {
                Some(hint) => format!("not here: {e}\n{hint}"),
                None => format!("not here: {e}"),
            },
        };
        table.add_row([name.as_str(), numbers, &what]);
    }
    say(table)?;
    #[cfg(feature = "cuda")]
    for (part, found) in handgrad::cuda::parts() {
        match found {
            Ok(what) => say(format!("{part}: {what}"))?,
            Err(e) => say(format!("{part}: missing. {e}; {}", e.hint().unwrap_or_default()))?,
        }
    }
    say(format!("`--device auto` takes {}.", Device::from_name("auto", None)?.name()))
}

/// How many GPUs to list: those that are there, or one to say why there is none.
fn gpus() -> usize {
    #[cfg(feature = "cuda")]
    let count = handgrad::cuda::Cuda::count().unwrap_or(0);
    #[cfg(not(feature = "cuda"))]
    let count = 0;
    count.max(1)
}
