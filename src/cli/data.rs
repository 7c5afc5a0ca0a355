//! `handgrad data`: which image sets are known, and how they come onto this machine.

use super::{say, table};
use clap::{Args, Subcommand};
use handgrad::data::{COLLECTIONS, Collection, Download, Fetching, Install};
use handgrad::{Error, Result};
use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::path::PathBuf;
use std::time::Duration;

#[derive(Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List the sets, and which of them are here
    List,
    /// Fetch a set, check it and unpack it; goes on where it was cut off
    Get(Get),
}

#[derive(Args)]
struct Get {
    /// What to fetch; `handgrad data list` lists them
    name: String,
    /// The folder that the files go into [default: the set's own under $HANDGRAD_DATA, or else under `data` in
    /// $HANDGRAD_CACHE or the user's cache folder]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// A folder on the web that has the files, instead of the public mirrors; checksums stay the published ones
    #[arg(long, value_name = "URL")]
    from: Option<String>,
    /// How many seconds a server may be silent
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
    /// How often in a row a server may fail
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    attempts: u32,
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    match &arguments.command {
        Command::List => list(),
        Command::Get(get) => fetch(get),
    }
}

fn list() -> Result<()> {
    let mut table = table(&["name", "what", "by", "download", "here"]);
    for c in &COLLECTIONS {
        let here = c.here().map_or(String::new(), |folder| folder.display().to_string());
        let what = format!("{}: {}", c.title, c.summary);
        table.add_row([c.name, &what, c.source, &HumanBytes(c.bytes()).to_string(), &here]);
    }
    say(table)?;
    say("Fetch one with `handgrad data get NAME`; `handgrad data get --help` says what can be changed.")
}

fn fetch(get: &Get) -> Result<()> {
    let collection = Collection::named(&get.name)?;
    let folder = match (&get.dir, collection.home()) {
        (Some(dir), _) => dir.clone(),
        (None, Some(home)) => home,
        (None, None) => {
            return Err(Error::invalid(
                "the user has no home folder, and so no cache folder",
                "say with --dir DIR where the files should go",
            ));
        }
    };
    let mut install = Install::new(collection, &folder).replace(get.dir.is_none());
    if let Some(from) = &get.from {
        if !(from.starts_with("http://") || from.starts_with("https://")) {
            return Err(Error::invalid(
                format!("`{from}` is not an address on the web"),
                "give one that begins with http:// or https://; files on this machine can be copied",
            ));
        }
        install = install.from(from);
    }
    let download = Download::new().stall(Duration::from_secs(get.timeout)).attempts(get.attempts);
    let mut bar = Bar::new();
    let done = install.run(&download, &mut |event| bar.show(event));
    bar.bar.finish_and_clear();
    let done = done?;
    let how = match done.fetched {
        0 => "was here already, and is right",
        _ => "is here, with the published checksums",
    };
    say(format!("{} {how}: {}", collection.title, folder.display()))?;
    match collection.name {
        "mnist" | "kmnist" => say(format!("Train on it: handgrad train mnist --data {}", folder.display())),
        "fashion-mnist" => {
            say(format!("Train on it: handgrad train fashion-adam --data {}", folder.display()))
        }
        name => say(format!("Read it in a program with `handgrad::data::{}()`.", name.replace('-', "_"))),
    }
}

/// The progress line; nothing at all where standard output is not a terminal.
struct Bar {
    bar: ProgressBar,
    file: String,
}

impl Bar {
    fn new() -> Bar {
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stdout_with_hz(10));
        let template = "{prefix} [{bar:24}] {bytes}/{total_bytes} {bytes_per_sec}, {eta} left {wide_msg}";
        let style = ProgressStyle::with_template(template);
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=>."));
        Bar { bar, file: String::new() }
    }

    fn show(&mut self, event: Fetching) {
        match event {
            Fetching::Bytes { file, done, of } => {
                if self.file != file {
                    self.file = file.to_string();
                    if self.bar.is_hidden() {
                        let _ = say(format!("fetching {file}, {}", HumanBytes(of))); // for logs
                    }
                    self.bar.set_prefix(self.file.clone());
                    self.bar.set_length(of);
                    self.bar.reset_eta();
                }
                self.bar.set_message("");
                self.bar.set_position(done);
            }
            Fetching::Again { why, .. } => self.bar.set_message(why.to_string()),
            Fetching::Checking => self.bar.set_message("checking"),
            Fetching::Unpacking => self.bar.set_message("unpacking"),
            _ => {}
        }
    }
}
