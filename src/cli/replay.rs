//! `handgrad replay`: the presets trained again, each published figure beside one's own, and whether they agree.

use super::report::write_json;
use super::training::{Plan, Training};
use super::{say, table};
use clap::Args;
use clap::builder::RangedU64ValueParser;
use handgrad::data::AtomicFile;
use handgrad::presets::{PRESETS, Preset, Source};
use handgrad::{Device, Error, Result};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::Instant;

#[derive(Args)]
pub(super) struct Arguments {
    /// A preset, or all of them
    #[arg(default_value = "all")]
    preset: String,
    /// The folder of a preset's four IDX files, or one with the folders mnist and fashion-mnist in it; with `all`, the
    /// former is taken for Fashion-MNIST [default: as `handgrad train`]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Write the rows as one JSON object
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Of initial weights, shuffling, splits and dropout
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    seed: u64,
    /// Leave out what takes a minute or more on two cores
    #[arg(long)]
    quick: bool,
    /// How many threads compute [default: one for each core]
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..=1024))]
    threads: Option<usize>,
    /// auto, cpu, reference or cuda:N
    #[arg(long, value_name = "NAME", default_value = "auto")]
    device: String,
}

/// What `--json` writes. Scripts depend on these names.
#[derive(Serialize)]
struct Replay {
    device: String,
    seed: u64,
    rows: Vec<Row>,
    skipped: Vec<Skipped>,
}

/// One published figure.
#[derive(Serialize)]
struct Row {
    preset: &'static str,
    part: &'static str,
    figure: &'static str,
    published: String,
    ours: Option<f64>,
    difference: Option<f64>,
    /// Absent where the figure is shown, but not judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    tolerance: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inside: Option<bool>,
}

#[derive(Serialize)]
struct Skipped {
    preset: &'static str,
    why: String,
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let all = arguments.preset == "all";
    let presets: Vec<&Preset> = match all {
        true => PRESETS.iter().collect(),
        false => vec![Preset::named(&arguments.preset)?],
    };
    let device = Device::from_name(&arguments.device, arguments.threads)?;
    if let Some(path) = &arguments.json {
        AtomicFile::probe(path)?;
    }
    say(format!("device    {}, seed {}", device.describe(), arguments.seed))?;
    let (mut rows, mut skipped) = (Vec::new(), Vec::new());
    for preset in presets {
        if arguments.quick && preset.slow {
            skipped.push(Skipped {
                preset: preset.name,
                why: "takes a minute or more: leave --quick out".into(),
            });
            continue;
        }
        let folder = arguments.data.as_deref().and_then(|data| folder_of(preset.source, data, all));
        let data = match preset.load(folder.as_deref(), None, arguments.seed) {
            Err(Error::Missing { problem, hint }) => {
                skipped.push(Skipped { preset: preset.name, why: format!("{problem}; {hint}") });
                continue;
            }
            data => data?,
        };
        let start = Instant::now();
        let training = Training {
            preset,
            data: &data,
            device: &device,
            optimizer: &|| preset.optimizer(),
            plan: Plan {
                keep: preset.keep,
                epochs: preset.epochs,
                batch_size: preset.batch_size,
                verbose: 0,
            },
            seed: arguments.seed,
        };
        let trained = training.run(&mut [], None)?;
        let epochs = trained.history.epochs.len();
        say(format!("trained   {} in {:.0} s, {epochs} epochs", preset.name, start.elapsed().as_secs_f64()))?;
        let tolerance = |name| match name {
            "loss" => preset.tolerance.loss,
            _ => Some(preset.tolerance.accuracy),
        };
        rows.extend(preset.published.each().map(|(part, name, published)| {
            let (ours, tolerance) = (trained.figure(part, name), tolerance(name));
            let agrees = |within| ours.is_some_and(|own| published.agrees(own, within));
            Row {
                preset: preset.name,
                part,
                figure: name,
                published: published.to_string(),
                ours,
                difference: ours.map(|own| published.difference(own)),
                tolerance,
                inside: tolerance.map(agrees),
            }
        }));
    }
    let replay = Replay { device: device.name().to_string(), seed: arguments.seed, rows, skipped };
    replay.show()?;
    if let Some(path) = &arguments.json {
        write_json(path, &replay)?;
    }
    replay.verdict()
}

/// Where a preset's files are under what `--data` names; `None` for where they are looked for anyway.
fn folder_of(source: Source, data: &Path, all: bool) -> Option<PathBuf> {
    let name = match source {
        Source::Gate(_) => return None,
        Source::Mnist => "mnist",
        Source::FashionMnist => "fashion-mnist",
    };
    let inside = data.join(name);
    match (inside.is_dir(), source) {
        (true, _) => Some(inside),
        (false, Source::Mnist) if all => None,
        (false, _) => Some(data.to_path_buf()),
    }
}

impl Replay {
    fn show(&self) -> Result<()> {
        let mut table = table(&["preset", "figure", "published", "ours", "difference", "within", ""]);
        let mut before = "";
        for row in &self.rows {
            let own = |x: Option<f64>| x.map_or("not measured".into(), |x| format!("{x:.4}"));
            table.add_row([
                if row.preset == before { "" } else { row.preset }.to_string(),
                format!("{} {}", row.part, row.figure),
                row.published.clone(),
                own(row.ours),
                row.difference.map_or(String::new(), |d| format!("{d:+.4}")),
                row.tolerance.map_or(String::new(), |t| format!("{t}")),
                match row.inside {
                    Some(true) => "inside",
                    Some(false) => "OUTSIDE",
                    None => "not judged",
                }
                .to_string(),
            ]);
            before = row.preset;
        }
        if !self.rows.is_empty() {
            say(table)?;
        }
        for skipped in &self.skipped {
            say(format!("skipped   {}: {}", skipped.preset, skipped.why))?;
        }
        Ok(())
    }

    /// An error if a judged figure is outside, or if there was none.
    fn verdict(&self) -> Result<()> {
        let judged = self.rows.iter().filter(|row| row.inside.is_some()).count();
        let outside: Vec<&Row> = self.rows.iter().filter(|row| row.inside == Some(false)).collect();
        if let Some(first) = outside.first() {
            return Err(Error::data(
                format!("{} of {judged} figures are outside, the first is {}'s", outside.len(), first.preset),
                "figures vary with the seed: try another --seed before you look for a fault",
            ));
        }
        match judged {
            0 => Err(Error::data("nothing was replayed", "see above what was skipped, and why")),
            n => say(format!("All {n} judged figures are inside.")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replay(inside: &[Option<bool>]) -> Replay {
        let row = |&inside: &Option<bool>| Row {
            preset: "xor",
            part: "training",
            figure: "loss",
            published: "0.0420".into(),
            ours: Some(0.5),
            difference: Some(0.458),
            tolerance: inside.map(|_| 0.01),
            inside,
        };
        Replay { device: "cpu".into(), seed: 0, rows: inside.iter().map(row).collect(), skipped: Vec::new() }
    }

    #[test]
    fn one_figure_outside_is_an_error_and_so_is_none_at_all() {
        assert!(replay(&[Some(true), None]).verdict().is_ok());
        let e = replay(&[Some(true), Some(false), None]).verdict().unwrap_err();
        assert_eq!(e.to_string(), "1 of 2 figures are outside, the first is xor's");
        assert!(replay(&[]).verdict().is_err() && replay(&[None]).verdict().is_err());
    }

    #[test]
    fn folders_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        assert_eq!(folder_of(Source::Gate([0.; 4]), data, true), None);
        assert_eq!(folder_of(Source::Mnist, data, true), None);
        assert_eq!(folder_of(Source::Mnist, data, false), Some(data.into()));
        assert_eq!(folder_of(Source::FashionMnist, data, true), Some(data.into()));
        std::fs::create_dir(data.join("mnist")).unwrap();
        assert_eq!(folder_of(Source::Mnist, data, true), Some(data.join("mnist")));
    }
}
