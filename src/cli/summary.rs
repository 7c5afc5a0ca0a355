//! `handgrad summary MODEL`: layers, parameters, and what the model knows of its data.

use super::predict::open;
use super::say;
use clap::Args;
use handgrad::Result;
use handgrad::data::{Input, Output};
use std::path::PathBuf;

#[derive(Args)]
pub(super) struct Arguments {
    /// A saved model, or the folder that --save made
    model: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let (mut model, meaning) = open(&arguments.model, "auto", None)?;
    say(model.summary()?)?;
    let Some(meaning) = meaning else { return Ok(()) };
    match &meaning.input {
        Input::Table(table) => {
            say(format!("Input: columns {} as {} numbers", table.columns().join(", "), table.width()))?;
        }
        Input::Pictures { height, width, channels } => {
            let colours = if *channels == 1 { "grey" } else { "coloured" };
            say(format!("Input: pictures of {height} × {width}, {colours}"))?;
        }
    }
    match &meaning.output {
        Output::Classes { target, names } => say(format!("Output: {target}, one of {}", names.join(", "))),
        Output::Number { target, .. } => say(format!("Output: {target}, a number")),
    }
}
