//! `handgrad plot`: the curves of a training's log, or activation functions, as a picture.

use super::say;
use clap::Args;
use handgrad::data::AtomicFile;
use handgrad::model::History;
use handgrad::viz::{self, Format};
use handgrad::{Activation, Error, Result};
use std::path::{Path, PathBuf};

#[derive(Args)]
pub(super) struct Arguments {
    /// A log as CSVLogger writes it, or `activations`
    #[arg(value_name = "FILE.csv|activations")]
    what: PathBuf,
    /// Which figures of the log, or which functions [default: all]
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// The picture, .svg or .png [default: the log's name, or activations, with .svg]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// What stands above it, in any language
    #[arg(long, value_name = "TEXT", default_value = "")]
    title: String,
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let names: Vec<&str> = arguments.names.iter().map(String::as_str).collect();
    let functions = arguments.what == Path::new("activations");
    let out = match (&arguments.out, functions) {
        (Some(out), _) => out.clone(),
        (None, true) => "activations.svg".into(),
        (None, false) => arguments.what.with_extension("svg"),
    };
    Format::of(&out)?;
    if out == arguments.what {
        return Err(Error::invalid(
            format!("the picture would take the place of {}", out.display()),
            "give it another name with --out",
        ));
    }
    AtomicFile::probe(&out)?;
    let picture = match functions {
        true => {
            let names = if names.is_empty() { Activation::NAMES.to_vec() } else { names };
            let functions: Vec<Activation> = names.iter().map(|name| name.parse()).collect::<Result<_>>()?;
            viz::activations(&functions).title(&arguments.title).draw()?
        }
        false => {
            let history = History::read_csv(&arguments.what)?;
            viz::curves(&history).only(&names).title(&arguments.title).draw()?
        }
    };
    picture.save(&out)?;
    say(format!("wrote {}", out.display()))
}
