//! `handgrad evaluate MODEL`: a trained model's figures on data whose answers are known.

use super::own::{OF_READING, Reading};
use super::predict::{Eye, open, table_meaning};
use super::report::write_json;
use super::show;
use super::{say, table};
use clap::Args;
use handgrad::data::{
    AtomicFile, Dataset, Features, ImageDataset, ImageFolder, ImageFolderOptions, Input, Meaning, Output,
    Targets,
};
use handgrad::metrics::ConfusionCounts;
use handgrad::{Error, Result, Sequential};
use std::path::{Path, PathBuf};

#[derive(Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["data", "csv", "images"])))]
pub(super) struct Arguments {
    /// A saved model, or the folder that --save made
    model: PathBuf,
    /// The folder of IDX files; the two of the test part count
    #[arg(long, value_name = "DIR", conflicts_with_all = OF_READING)]
    data: Option<PathBuf>,
    /// A table with the columns that the model was trained on, and the one that it learned
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// A folder with a folder of PNG files for each class
    #[arg(long, value_name = "DIR", conflicts_with_all = OF_READING)]
    images: Option<PathBuf>,
    #[command(flatten)]
    reading: Reading,
    /// How many samples are computed at a time
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    batch_size: u32,
    /// How many threads compute [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1024))]
    threads: Option<usize>,
    /// auto, cpu, reference or cuda:N
    #[arg(long, value_name = "NAME", default_value = "auto")]
    device: String,
    /// Write the figures as one JSON object
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    if let Some(path) = &arguments.json {
        AtomicFile::probe(path)?;
    }
    let (mut model, meaning) = open(&arguments.model, &arguments.device, arguments.threads)?;
    let output = meaning.as_ref().map(|m| m.output.clone());
    let (data, source) = match (&arguments.csv, &arguments.images, &arguments.data) {
        (Some(csv), ..) => (from_table(meaning, csv, arguments)?, csv),
        (_, Some(folder), _) => (from_folder(&model, meaning, folder)?, folder),
        (.., Some(folder)) => (from_idx(&model, meaning, folder)?, folder),
        _ => return Err(Error::invalid("there is no data", "give --data DIR, --csv FILE or --images DIR")),
    };
    let (outputs, batch_size) = (model.output_shape().map_or(1, |s| s.last()), arguments.batch_size as usize);
    let rows = outputs > 1 && show::loss(&model).is_some_and(|loss| !loss.is_sparse());
    let scores = match data.y() {
        Targets::Labels { .. } if rows => model.evaluate(&data.clone().one_hot(outputs)?, batch_size)?,
        _ => model.evaluate(&data, batch_size)?,
    };
    say(format!("{}: {} samples", source.display(), data.len()))?;
    say(scores.line())?;
    if let Some(Output::Number { target, scale }) = &output
        && scale.by != 1.0
    {
        say(format!("Figures are in standard deviations of `{target}`, one of which is {:.6}.", scale.by))?;
    }
    if let Some(path) = &arguments.json {
        let mut figures: serde_json::Map<String, serde_json::Value> =
            scores.0.iter().map(|(name, figure)| (name.clone(), (*figure).into())).collect();
        figures.insert("samples".into(), data.len().into());
        write_json(path, &figures)?;
    }
    if let Targets::Labels { .. } = data.y() {
        let names = match &output {
            Some(Output::Classes { names, .. }) => Some(&names[..]),
            _ => None,
        };
        let names = show::class_names(&model, names);
        confusion(&ConfusionCounts::of(data.y(), &show::guesses(&mut model, data.x())?)?, &names)?;
    }
    Ok(())
}

/// How often each class was taken for each; of many classes, the most frequent mistakes.
fn confusion(counts: &ConfusionCounts, names: &[String]) -> Result<()> {
    let rows = counts.rows();
    let name = |i: usize| names.get(i).cloned().unwrap_or_else(|| i.to_string());
    if rows.len() <= 10 {
        let all: Vec<String> = (0..rows.len()).map(name).collect();
        let header = std::iter::once("is \\ taken for").chain(all.iter().map(String::as_str));
        let mut table = table(&header.collect::<Vec<_>>());
        for (name, row) in all.iter().zip(rows) {
            table.add_row(std::iter::once(name.clone()).chain(row.iter().map(u64::to_string)));
        }
        return say(table);
    }
    let mut table = table(&["mistakes", "is", "taken for"]);
    for (n, is, taken) in counts.mistakes().into_iter().take(10) {
        table.add_row([n.to_string(), name(is), name(taken)]);
    }
    say(table)
}

fn from_table(meaning: Option<Meaning>, csv: &Path, arguments: &Arguments) -> Result<Dataset> {
    let (preprocessing, output) = table_meaning(meaning, &arguments.model)?;
    let table = preprocessing.read_csv(csv, &arguments.reading.options())?;
    let target = match &output {
        Output::Classes { target, .. } | Output::Number { target, .. } => target,
    };
    let column = table.column(target)?;
    let known: Vec<usize> = (0..table.len()).filter(|&i| !column.is_missing(i)).collect();
    if known.is_empty() {
        return Err(Error::format(
            csv,
            format!("column `{target}` has no value at all"),
            "evaluation needs the answers",
        ));
    }
    let rows = table.select(&known);
    let transformed = preprocessing.transform(&rows)?;
    for note in &transformed.notes {
        say(format!("note  {note}"))?;
    }
    let left_out = table.len() - transformed.rows.len();
    if left_out > 0 {
        say(format!("note  {left_out} rows with a missing cell were left out"))?;
    }
    let y = match &output {
        Output::Classes { names, .. } => {
            let column = rows.column(target)?;
            let class = |&i: &usize| {
                let text = column.text(i).unwrap_or_default();
                names.iter().position(|n| *n == text).map(|c| c as u32).ok_or_else(|| {
                    let known: Vec<&str> = names.iter().map(String::as_str).take(40).collect();
                    let hint = Error::unknown("class", &text, &known).hint().unwrap_or_default().to_string();
                    let problem =
                        format!("line {}: `{text}` is none of the classes of `{target}`", rows.line(i));
                    Error::format(csv, problem, hint)
                })
            };
            Targets::labels(transformed.rows.iter().map(class).collect::<Result<_>>()?)
        }
        Output::Number { scale, .. } => {
            let numbers = rows.numbers(target)?;
            let values = transformed.rows.iter().map(|&i| scale.apply(numbers[i]) as f32).collect();
            Targets::Values { sample: 1.into(), values }
        }
    };
    Dataset::new(transformed.x, y)
}

fn no_pictures(meaning: &Option<Meaning>) -> Result<()> {
    match meaning {
        Some(Meaning { input: Input::Table(_), .. }) => Err(Error::invalid(
            "the model was trained on a table, and looks at no pictures",
            "give it rows: handgrad evaluate MODEL --csv FILE",
        )),
        _ => Ok(()),
    }
}

fn from_folder(model: &Sequential, meaning: Option<Meaning>, folder: &Path) -> Result<Dataset> {
    no_pictures(&meaning)?;
    let eye = Eye::of(model)?;
    let options =
        ImageFolderOptions { size: Some((eye.height, eye.width)), colours: Some(eye.colours), invert: false };
    let read = ImageFolder::read(folder, options)?;
    let names = match &meaning {
        Some(Meaning { output: Output::Classes { names, .. }, .. }) => names.clone(),
        _ => show::class_names(model, None),
    };
    let number: Vec<u32> = read
        .classes
        .iter()
        .map(|class| {
            // Its number stands for a name that no folder can have, as `T-shirt/top`.
            let no_folder = |&number: &usize| names.get(number).is_some_and(|name| name.contains('/'));
            let number = || class.parse().ok().filter(no_folder);
            names.iter().position(|n| n == class).or_else(number).map(|c| c as u32).ok_or_else(|| {
                let known: Vec<&str> = names.iter().map(String::as_str).take(40).collect();
                let hint = Error::unknown("class", class, &known).hint().unwrap_or_default().to_string();
                Error::format(folder.join(class), "the model knows no such class", hint)
            })
        })
        .collect::<Result<_>>()?;
    let labels = match read.data.y() {
        Targets::Labels { labels, .. } => labels.iter().map(|&l| number[l as usize]).collect(),
        Targets::Values { .. } => Vec::new(), // a folder has labels
    };
    Dataset::new(shaped(read.data.x().clone(), model)?, Targets::labels(labels))
}

fn from_idx(model: &Sequential, meaning: Option<Meaning>, folder: &Path) -> Result<Dataset> {
    no_pictures(&meaning)?;
    let classes = model.output_shape().map_or(1, |s| s.last()).max(2);
    let test = ImageDataset::read_test(folder, classes)?;
    Dataset::new(shaped(test.x().clone(), model)?, test.y().clone())
}

/// Pictures in the shape of the model's samples, where they have as many numbers.
fn shaped(x: Features, model: &Sequential) -> Result<Features> {
    let (from, to) = (x.sample(), model.input_shape().unwrap_or(x.sample()));
    match from.len() == to.len() {
        true => x.reshape(to),
        false => Err(Error::data(
            format!("the pictures are {from}, the model's samples {to}"),
            "give pictures of the size that the model was trained on",
        )),
    }
}
