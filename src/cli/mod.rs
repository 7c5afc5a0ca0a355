//! The command line: what can be asked, and how answers and errors are said.
//!
//! Exit codes: 0 for success, 1 for an error, 2 for a question that makes no sense: an unknown preset, optimizer, device,
//! layer or option, or a value out of its range.

mod bench;
mod data;
mod devices;
mod evaluate;
mod export;
mod gradcheck;
mod keep;
mod own;
mod plot;
mod plots;
mod predict;
mod replay;
mod report;
mod show;
mod summary;
mod train;
mod training;

use clap::builder::styling::AnsiColor;
use clap::{Parser, Subcommand};
use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use handgrad::presets::PRESETS;
use handgrad::{Error, Language, Result};
use std::fmt::Display;
use std::io::{ErrorKind, IsTerminal, Write};
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  handgrad train mnist                          learn to read digits, the data is in the repository
  handgrad train xor --seed 7                   half a second: what one hidden layer can do
  handgrad train fashion-adam --data DIR        Fashion-MNIST from the four files in DIR
  handgrad train mnist-mlp --epochs 3 --optimizer sgd --learning-rate 0.1 --json result.json
  handgrad train --csv birds.csv --target species --save birds
                                                your own table; --images DIR for your own pictures
  handgrad predict birds --csv new.csv          ask what was learned
  handgrad replay all                           train all presets, and hold them to their published figures
  handgrad gradcheck Dense                      hold a layer's backward against difference quotients
  handgrad bench gemm                           how fast matrix products are, and how fast they could be
  handgrad train fashion-relu --plots pictures  curves, samples, the confusion matrix as pictures
  handgrad plot history.csv --out curves.png    the curves of a log, from here or from Keras
  handgrad presets                              what can be trained, with published figures

Exit codes: 0 success, 1 error, 2 usage error.";

/// A neural-network engine written by hand: every backward pass spelled out, every number checked.
#[derive(Parser)]
#[command(name = "handgrad", version, after_help = EXAMPLES, arg_required_else_help = true)]
struct Cli {
    /// In which language mistakes are explained: en or ko [default: that of $HANDGRAD_LANG, or of the system, or en]
    #[arg(long, global = true, value_name = "LANGUAGE")]
    lang: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Train a model on real data, and hold its figures against published ones
    Train(Box<train::Arguments>),
    /// Ask a trained model what pictures show, or what rows of a table are
    Predict(predict::Arguments),
    /// Hold a trained model against data whose answers are known
    Evaluate(evaluate::Arguments),
    /// Show what a trained model is made of
    Summary(summary::Arguments),
    /// Train the presets again, and say which published figures they reach
    Replay(replay::Arguments),
    /// Hold every backward pass against difference quotients
    Gradcheck(gradcheck::Arguments),
    /// Measure the ops, and hold them against what this machine can do at best
    Bench(bench::Arguments),
    /// Draw the curves of a training from its log, or activation functions
    Plot(plot::Arguments),
    /// Write a trained model for another program
    Export(export::Arguments),
    /// Fetch public image sets, or list them
    Data(data::Arguments),
    /// List what can be trained
    Presets,
    /// List who can compute
    Devices,
}

/// The whole program.
pub(crate) fn run() -> ExitCode {
    let cli = Cli::parse();
    let language = match cli.lang.as_deref().map(str::parse).transpose() {
        Ok(chosen) => chosen.unwrap_or_else(usual_language),
        Err(e) => return fail(&e, usual_language()),
    };
    let done = match cli.command {
        Command::Train(arguments) => train::run(&arguments),
        Command::Predict(arguments) => predict::run(&arguments),
        Command::Evaluate(arguments) => evaluate::run(&arguments),
        Command::Summary(arguments) => summary::run(&arguments),
        Command::Replay(arguments) => replay::run(&arguments),
        Command::Gradcheck(arguments) => gradcheck::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Plot(arguments) => plot::run(&arguments),
        Command::Export(arguments) => export::run(&arguments),
        Command::Data(arguments) => data::run(&arguments),
        Command::Presets => presets(),
        Command::Devices => devices::run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => fail(&e, language),
    }
}

/// Says what went wrong, and with which code to end.
fn fail(e: &Error, language: Language) -> ExitCode {
    let (red, cyan) = (AnsiColor::Red.on_default().bold(), AnsiColor::Cyan.on_default());
    let (error, hint) = match language {
        Language::English => ("error", "hint"),
        Language::Korean => ("오류", "도움말"),
    };
    let (sentence, remedy) = e.in_language(language);
    let mut text = format!("{red}{error}{red:#}: {sentence}\n");
    if let Some(remedy) = remedy {
        text += &format!("  {cyan}{hint}{cyan:#}: {remedy}\n");
    }
    let _ = anstream::stderr().write_all(text.as_bytes()); // there is nowhere left to complain
    ExitCode::from(match e {
        Error::Mistake { mistake, .. } if mistake.is_misuse() => 2,
        _ => 1,
    })
}

/// The language of the first of these that is set, as POSIX has them; English where it is none of ours.
fn usual_language() -> Language {
    let names = ["HANDGRAD_LANG", "LC_ALL", "LC_MESSAGES", "LANG"];
    let set = names.iter().find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    set.and_then(|locale| Language::from_locale(&locale)).unwrap_or_default()
}

/// Prints lines. On a terminal their control characters are shown as escapes: names come from models and tables, and a
/// file must not be able to move the cursor or to clear the screen.
fn say(lines: impl Display) -> Result<()> {
    match std::io::stdout().is_terminal() {
        true => draw(harmless(&lines.to_string())),
        false => draw(lines),
    }
}

/// Prints lines as they are, colours included. A reader that went away (`handgrad presets | head -1`) is no error.
fn draw(lines: impl Display) -> Result<()> {
    match writeln!(anstream::stdout(), "{lines}") {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => {
            Err(Error::Io { action: "write", path: "to standard output".into(), source: e })
        }
        _ => Ok(()),
    }
}

/// The text with escapes in place of control characters, but for the ends of lines.
fn harmless(text: &str) -> String {
    let shown = |c: char| match c.is_control() && c != '\n' {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    };
    text.chars().map(shown).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A layer's name that would clear the screen, one of C1, and what people write.
    #[test]
    fn names_cannot_write_on_a_terminal() {
        assert_eq!(harmless("clear\x1b[2J\r\u{9b}31m"), r"clear\u{1b}[2J\r\u{9b}31m");
        let fine = "┌ 손글씨, 784 → 100 ┐\n└ naïve ┘\n";
        assert_eq!(harmless(fine), fine);
    }
}
