//! The command line: what can be asked, and how answers and errors are said.
//!
//! Exit codes: 0 for success, 1 for an error, 2 for a question that makes no sense: an unknown preset, optimizer, device,
//! layer or option, or a value out of its range.

mod bench;
mod devices;
mod gradcheck;
mod keep;
mod replay;
mod report;
mod train;
mod training;

use clap::builder::styling::AnsiColor;
use clap::{Parser, Subcommand};
use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use handgrad::presets::PRESETS;
use handgrad::{Error, Result};
use std::fmt::Display;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  handgrad train mnist                          learn to read digits, the data is in the repository
  handgrad train xor --seed 7                   half a second: what one hidden layer can do
  handgrad train fashion-adam --data DIR        Fashion-MNIST from the four files in DIR
  handgrad train mnist-mlp --epochs 3 --optimizer sgd --learning-rate 0.1 --json result.json
  handgrad replay all                           train all presets, and hold them to their published figures
  handgrad gradcheck Dense                      hold a layer's backward against difference quotients
  handgrad bench gemm                           how fast matrix products are, and how fast they could be
  handgrad presets                              what can be trained, with published figures

Exit codes: 0 success, 1 error, 2 usage error.";

/// A neural-network engine written by hand: every backward pass spelled out, every number checked.
#[derive(Parser)]
#[command(name = "handgrad", version, after_help = EXAMPLES, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Train a model on real data, and hold its figures against published ones
    Train(Box<train::Arguments>),
    /// Train the presets again, and say which published figures they reach
    Replay(replay::Arguments),
    /// Hold every backward pass against difference quotients
    Gradcheck(gradcheck::Arguments),
    /// Measure the ops, and hold them against what this machine can do at best
    Bench(bench::Arguments),
    /// List what can be trained
    Presets,
    /// List who can compute
    Devices,
}

/// The whole program.
pub(crate) fn run() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Train(arguments) => train::run(&arguments),
        Command::Replay(arguments) => replay::run(&arguments),
        Command::Gradcheck(arguments) => gradcheck::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Presets => presets(),
        Command::Devices => devices::run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            let (red, cyan) = (AnsiColor::Red.on_default().bold(), AnsiColor::Cyan.on_default());
            let mut text = format!("{red}error{red:#}: {e}\n");
            if let Some(hint) = e.hint() {
                text += &format!("  {cyan}hint{cyan:#}: {hint}\n");
            }
            let _ = anstream::stderr().write_all(text.as_bytes()); // there is nowhere left to complain
            ExitCode::from(match e {
                Error::UnknownName { .. } => 2,
                _ => 1,
            })
        }
    }
}

/// Prints a line. A reader that went away (`handgrad presets | head -1`) is no error.
fn say(line: impl Display) -> Result<()> {
    match writeln!(anstream::stdout(), "{line}") {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => {
            Err(Error::Io { action: "write", path: "to standard output".into(), source: e })
        }
        _ => Ok(()),
    }
}

/// An empty table in the style of the summary.
fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_FULL_CONDENSED).set_header(header);
    table
}

fn presets() -> Result<()> {
    let mut table = table(&["preset", "data", "model", "optimizer", "epochs × batch"]);
    for p in &PRESETS {
        let name = match p.alias {
            Some(alias) => format!("{} (= {alias})", p.name),
            None => p.name.to_string(),
        };
        let training = format!("{} × {}", p.epochs, p.batch_size);
        table.add_row([name, p.source.to_string(), p.summary.into(), p.optimizer.into(), training]);
    }
    say(table)?;
    say("Train one with `handgrad train PRESET`; `handgrad train --help` says what can be changed.")
}
