//! `handgrad train --csv FILE` and `--images DIR`: a person's own data, from the file to a saved model.

mod parts;

use super::keep::{self, Kept};
use super::plots::{About, Plots};
use super::report::{Report, fingerprint, samples_per_second, write_json};
use super::train::{self, choose_device};
use super::training::{Plan, Trained, fit};
use super::{say, table};
use clap::{Args, ValueEnum};
use handgrad::data::{AtomicFile, Dataset, Input, Output};
use handgrad::model::Compile;
use handgrad::presets::Keep;
use handgrad::recipe::Recipe;
use handgrad::{Error, Loss, Result, Sequential};
use parts::Parts;
use std::path::{Path, PathBuf};

/// Options of both tables and pictures, which presets know nothing of.
pub(super) const OF_OWN_DATA: [&str; 7] =
    ["model", "validation_split", "test_split", "oversample", "undersample", "image_size", "colours"];

/// Options of [`Reading`].
pub(super) const OF_READING: [&str; 4] = ["delimiter", "decimal_comma", "missing_value", "text"];

/// Options that make no sense without a table.
pub(super) const OF_TABLES: [&str; 10] = [
    "target",
    "task",
    "scale",
    "standardize",
    "min_max",
    "encode",
    "one_hot",
    "label_encode",
    "missing",
    "drop",
];

#[derive(Args, Clone)]
#[command(next_help_heading = "Own data")]
pub(super) struct Own {
    /// Learn from a table: a CSV file whose first line names the columns
    #[arg(
        long,
        value_name = "FILE",
        requires = "target",
        conflicts_with_all = ["preset", "images", "data", "image_size", "colours"]
    )]
    pub(super) csv: Option<PathBuf>,
    /// The column to learn
    #[arg(long, value_name = "COLUMN", requires = "csv")]
    target: Option<String>,
    /// Learn from pictures: a folder with a folder of PNG files for each class
    #[arg(long, value_name = "DIR", conflicts_with_all = OF_TABLES.iter().chain(&OF_READING).chain(&["preset", "data"]))]
    pub(super) images: Option<PathBuf>,
    /// The model as a TOML file: layers, loss, optimizer [default: one that fits the data, which is shown]
    #[arg(long, value_name = "FILE", conflicts_with = "preset")]
    model: Option<PathBuf>,
    /// Whether the target is classes or a number [default: by the loss, or by what stands in the column]
    #[arg(long, value_enum, requires = "csv")]
    task: Option<Task>,
    /// The share of the samples to watch while training; 0 for none
    #[arg(long, value_name = "SHARE", default_value_t = 0.2, value_parser = share)]
    validation_split: f64,
    /// The share of the samples to test on at the end; 0 for none
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    test_split: f64,
    /// Draw samples of small classes again, until all classes are of one size
    #[arg(long, conflicts_with = "undersample")]
    oversample: bool,
    /// Leave samples of large classes out, until all classes are of one size
    #[arg(long)]
    undersample: bool,
    #[command(flatten)]
    reading: Reading,
    /// What becomes of numbers: mean 0 and deviation 1, or 0 to 1, or nothing
    #[arg(long, value_enum, default_value_t = Scale::Standardize, requires = "csv")]
    scale: Scale,
    /// The same as --scale standardize
    #[arg(long, requires = "csv", conflicts_with_all = ["scale", "min_max"])]
    standardize: bool,
    /// The same as --scale min-max
    #[arg(long, requires = "csv", conflicts_with = "scale")]
    min_max: bool,
    /// What becomes of texts: a number for each different text, or one number
    #[arg(long, value_enum, default_value_t = Encode::OneHot, requires = "csv")]
    encode: Encode,
    /// The same as --encode one-hot
    #[arg(long, requires = "csv", conflicts_with_all = ["encode", "label_encode"])]
    one_hot: bool,
    /// The same as --encode label
    #[arg(long, requires = "csv", conflicts_with = "encode")]
    label_encode: bool,
    /// What becomes of missing cells [default: they are an error]
    #[arg(long, value_enum, requires = "csv")]
    missing: Option<Missing>,
    /// Leave a column out; may be given again
    #[arg(long, value_name = "COLUMN", requires = "csv")]
    drop: Vec<String>,
    /// Bring all pictures to this size, as 28x28: height and width
    #[arg(long, value_name = "HxW", requires = "images", value_parser = size)]
    image_size: Option<(usize, usize)>,
    /// What pixels are made of [default: rgb if any picture has colours]
    #[arg(long, value_enum, requires = "images")]
    colours: Option<Colours>,
}

/// How CSV files are read. A model keeps all but the delimiter: what is said when it is used comes on top.
#[derive(Args, Clone)]
pub(super) struct Reading {
    /// What separates cells
    #[arg(long, value_name = "CHARACTER", default_value = ",", value_parser = delimiter)]
    pub(super) delimiter: u8,
    /// 3,5 is three and a half
    #[arg(long)]
    decimal_comma: bool,
    /// What also means that a cell is missing, besides nothing, NA, NaN, null and ?; may be given again
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    missing_value: Vec<String>,
    /// Take the numbers of a column for names; may be given again
    #[arg(long, value_name = "COLUMN")]
    text: Vec<String>,
}

impl Reading {
    pub(super) fn options(&self) -> handgrad::data::CsvOptions {
        handgrad::data::CsvOptions {
            delimiter: self.delimiter,
            decimal_comma: self.decimal_comma,
            missing: self.missing_value.clone(),
            text: self.text.clone(),
        }
    }
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Task {
    Classification,
    Regression,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Scale {
    Standardize,
    MinMax,
    None,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Encode {
    OneHot,
    Label,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Missing {
    Drop,
    Mean,
    Median,
    MostFrequent,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Colours {
    Grey,
    Rgb,
}

fn share(text: &str) -> std::result::Result<f64, String> {
    match text.parse::<f64>() {
        Ok(x) if (0.0..1.0).contains(&x) => Ok(x),
        _ => Err("not a share from 0 to below 1, as 0.2".into()),
    }
}

fn delimiter(text: &str) -> std::result::Result<u8, String> {
    match text {
        "\\t" | "tab" => Ok(b'\t'),
        _ => match text.as_bytes() {
            [one] if one.is_ascii() && !b"\"\r\n".contains(one) => Ok(*one),
            _ => Err("not a single character, as ',' or ';' or '\\t'".into()),
        },
    }
}

pub(super) fn size(text: &str) -> std::result::Result<(usize, usize), String> {
    let side = |t: &str| t.trim().parse::<usize>().ok().filter(|n| (1..=4096).contains(n));
    let both = text.split_once(['x', 'X', '×']).unwrap_or((text, text));
    match (side(both.0), side(both.1)) {
        (Some(height), Some(width)) => Ok((height, width)),
        _ => Err("not a size, as 28x28".into()),
    }
}

impl Own {
    /// Whether it is own data that is to be learned.
    pub(super) fn wanted(&self) -> bool {
        self.csv.is_some() || self.images.is_some()
    }
}

/// The note of a model under which it keeps what its data means.
pub(super) const NOTE: &str = "data";

/// Everything that can be wrong is found out before the training begins.
pub(super) fn run(arguments: &train::Arguments) -> Result<()> {
    let mut arguments = arguments.clone();
    if let Some(folder) = &arguments.resume.clone() {
        keep::take_over(&mut arguments, NAME, folder)?;
    }
    train::check(&arguments)?;
    let seed = *arguments.seed.get_or_insert(0);
    let (device, why_no_gpu) = choose_device(&arguments)?;
    if let Some(path) = &arguments.json {
        AtomicFile::probe(path)?;
    }
    let plots = Plots::wanted(&arguments)?;
    let given = arguments.own.model.as_deref().map(Recipe::read).transpose()?;
    let recipe = match &arguments.resume {
        Some(folder) => resumed(given, folder)?,
        None => given,
    };
    let Parts { mut train, mut validation, mut test, meaning, source, notes } =
        parts::read(&arguments.own, recipe.as_ref().map(|r| r.loss), seed, arguments.limit)?;
    let suggested = recipe.is_none();
    let recipe = match recipe {
        Some(recipe) => recipe,
        None => Recipe::suggested(train.sample_shape(), &meaning.output)?,
    };
    let epochs = *arguments.epochs.get_or_insert(recipe.epochs);
    let batch_size = *arguments.batch_size.get_or_insert(recipe.batch_size);

    let mut model = recipe.model(seed)?.device(&device);
    model.build(train.sample_shape())?;
    check_output(&model, &meaning.output, recipe.loss, &recipe)?;
    if let (Output::Classes { names, .. }, Some(output)) = (&meaning.output, model.output_shape())
        && !recipe.loss.is_sparse()
        && output.len() > 1
    {
        train = train.one_hot(names.len())?;
        validation = validation.map(|d| d.one_hot(names.len())).transpose()?;
        test = test.map(|d| d.one_hot(names.len())).transpose()?;
    }
    let mut optimizer = match &arguments.optimizer {
        Some(name) => name.parse()?,
        None => recipe.optimizer()?,
    };
    if let Some(rate) = arguments.learning_rate {
        optimizer.set_learning_rate(rate)?;
    }
    let (name, rate) = (optimizer.name(), optimizer.learning_rate_now());
    arguments.optimizer.get_or_insert_with(|| name.to_string());
    arguments.learning_rate.get_or_insert(rate);
    let compile = Compile::new(recipe.loss).optimizer(optimizer);
    model.compile(recipe.metrics.iter().fold(compile, |c, metric| c.metric(metric.as_str())))?;
    model.set_note(NOTE, meaning.to_json()?);
    let arguments = &arguments;

    say(format!("data      {source}"))?;
    for note in &notes {
        say(format!("note      {note}"))?;
    }
    let part = |what: &str, d: &Option<Dataset>| {
        d.as_ref().map_or(String::new(), |d| format!(", {} to {what}", d.len()))
    };
    say(format!(
        "parts     {} samples to train on{}{}",
        train.len(),
        part("validate", &validation),
        part("test", &test)
    ))?;
    say(format!("device    {}", device.describe()))?;
    if let Some(why) = why_no_gpu {
        say(format!("          (no GPU: {why})"))?;
    }
    say(format!(
        "training  {epochs} × {} samples in batches of {batch_size}, {name} with learning rate {rate}, {}, seed {}",
        train.len(),
        recipe.loss,
        seed,
    ))?;
    if suggested {
        say(
            "model     none was given, so this one; put it into a file, change it, and give it with --model:\n",
        )?;
        say(indented(&recipe.text))?;
    }
    let seen = std::iter::once(&train).chain(&validation);
    let mut kept = Kept::open(arguments, NAME, Some(&recipe.text), seen, &device)?;
    if let Some(kept) = &kept {
        kept.announce(epochs)?;
    }
    say(format!("\n{}", model.summary()?))?;

    let plan = Plan {
        keep: arguments.early_stopping.map_or(Keep::Last, Keep::BestWithPatience),
        epochs,
        batch_size,
        verbose: arguments.verbose.unwrap_or(u8::from(epochs * train.len() > 100_000)),
    };
    let log = arguments.log.clone().or(kept.as_ref().map(|kept| kept.folder.join("history.csv")));
    let mut callbacks = train::callbacks(arguments, validation.is_some(), log.clone());
    let mut trained = fit(model, &plan, &train, validation.as_ref(), &mut callbacks, kept.as_mut())?;
    if let (Some(kept), true) = (&kept, trained.interrupted) {
        let done = trained.history.epochs.len();
        kept.how_to_go_on("with the same options, and", done, trained.model.paused())?;
        std::process::exit(130); // as programs do that Ctrl-C ended
    }
    trained.test = test.as_ref().map(|test| trained.model.evaluate(test, batch_size)).transpose()?;
    trained.say_which()?;
    figures(&trained)?;
    if let Output::Number { target, scale } = &meaning.output
        && scale.by != 1.0
    {
        say(format!("Figures are in standard deviations of `{target}`, one of which is {:.6}.", scale.by))?;
    }
    if let Some(kept) = &kept {
        saved(&recipe, &kept.folder, &meaning.input, validation.is_some(), log.as_deref())?;
    }
    if let Some(plots) = &plots {
        let about = match (&meaning.output, &meaning.input) {
            (Output::Number { .. }, _) => About::Numbers,
            (Output::Classes { names, .. }, Input::Pictures { .. }) => About::Images(names),
            (Output::Classes { names, .. }, Input::Table(_)) => About::Classes(names),
        };
        let seen = test.as_ref().or(validation.as_ref()).unwrap_or(&train);
        plots.draw(&source, &mut trained.model, &trained.history, seen, about)?;
    }
    let Some(path) = &arguments.json else { return Ok(()) };
    let report = Report {
        preset: None,
        data: arguments.own.csv.as_ref().or(arguments.own.images.as_ref()).map(|p| p.display().to_string()),
        device: device.name().to_string(),
        threads: device.threads(),
        seed,
        parameters: trained.model.parameter_count()?,
        weights_sha256: fingerprint(&trained.model.get_weights()?),
        samples_per_second: samples_per_second(&trained.history, train.len()),
        epochs: trained.history.epochs.iter().map(Into::into).collect(),
        folds: Vec::new(),
        test: trained.test.as_ref().map(Into::into),
    };
    write_json(path, &report)
}

/// The last layer must give what the target needs, and the file that the model came from says where to change it.
fn check_output(model: &Sequential, output: &Output, loss: Loss, recipe: &Recipe) -> Result<()> {
    let Some(shape) = model.output_shape() else { return Ok(()) };
    let (needed, what) = match output {
        Output::Number { target, .. } => (1, format!("`{target}` is one number")),
        Output::Classes { names, .. } if names.len() == 2 && shape.len() == 1 && !loss.is_sparse() => {
            return Ok(());
        }
        Output::Classes { target, names } => (names.len(), format!("`{target}` has {} classes", names.len())),
    };
    if shape.len() == needed {
        return Ok(());
    }
    Err(Error::format(
        recipe.path.clone().unwrap_or_else(|| "the suggested model".into()),
        format!("the last layer gives {} numbers for a sample, but {what}", shape.len()),
        match shape.rank() {
            1 => format!("give the last layer units = {needed}"),
            _ => format!("end with a Flatten layer and a Dense layer of units = {needed}"),
        },
    ))
}

fn indented(text: &str) -> String {
    text.lines().map(|line| if line.is_empty() { "\n".to_string() } else { format!("  {line}\n") }).collect()
}

/// All figures: of training over the last epoch, the others with the weights that were kept.
fn figures(trained: &Trained) -> Result<()> {
    let Some(last) = trained.history.epochs.last() else { return Ok(()) };
    let names = last.scores.0.iter().map(|(name, _)| name.as_str());
    let names: Vec<&str> = names.filter(|n| !n.starts_with("val_") && *n != "learning_rate").collect();
    let mut table = table(&[&[""], &names[..]].concat());
    for part in ["training", "validation", "test"] {
        let figures: Vec<Option<f64>> = names.iter().map(|name| trained.figure(part, name)).collect();
        if figures.iter().any(Option::is_some) {
            let shown = figures.iter().map(|f| f.map_or(String::new(), |f| format!("{f:.4}")));
            table.add_row(std::iter::once(part.to_string()).chain(shown));
        }
    }
    say(table)
}

/// What checkpoints call a training on a person's own data.
pub(super) const NAME: &str = "own data";

/// The model that the training in `folder` began with, which one that is given must be.
fn resumed(given: Option<Recipe>, folder: &Path) -> Result<Option<Recipe>> {
    let Some(text) = keep::recipe(folder)? else { return Ok(given) };
    match given {
        Some(given) if given.text != text => Err(Error::invalid(
            format!("the training in {} began with another model file", folder.display()),
            "leave --model out, or begin a new training with --save in another folder",
        )),
        _ => Recipe::parse(&text, folder.join("model.toml")).map(Some),
    }
}

/// The checkpoints that stand for a folder of `--save`, the better one first.
pub(super) const MODELS: [&str; 2] = ["best.safetensors", "last.safetensors"];

/// What was left in the folder, and how to use it.
fn saved(recipe: &Recipe, folder: &Path, input: &Input, validated: bool, log: Option<&Path>) -> Result<()> {
    AtomicFile::write(folder.join("model.toml"), recipe.text.as_bytes())?;
    let data = match input {
        Input::Table(_) => "--csv FILE",
        Input::Pictures { .. } => "PICTURE.png",
    };
    let (best, lowest) = (MODELS[0], if validated { "validation loss" } else { "loss" });
    let log = log.map_or(String::new(), |log| format!("; its epochs are in {}", log.display()));
    let folder = folder.display();
    say(format!(
        "Saved in {folder}: {best} (after the epoch with the lowest {lowest}), last.safetensors, model.toml{log}"
    ))?;
    say(format!("Use it:   handgrad predict {folder} {data}"))
}
