//! `handgrad train --csv FILE` and `--images DIR`: a person's own data, from the file to a saved model.

mod parts;

use super::keep::{self, Interrupt, Kept};
use super::plots::{About, Plots};
use super::report::{Report, fingerprint, samples_per_second};
use super::train::{self, choose_device};
use super::{say, table};
use clap::{Args, ValueEnum};
use handgrad::callbacks::TerminateOnNan;
use handgrad::data::{AtomicFile, Dataset, Input, Output};
use handgrad::mistakes::Mistake;
use handgrad::model::{Compile, Fit, History, Scores};
use handgrad::presets::Keep;
use handgrad::recipe::Recipe;
use handgrad::{Error, Loss, Result, Sequential};
use parts::Parts;
use std::io::Write;
use std::path::{Path, PathBuf};

#[derive(Args, Clone)]
#[command(next_help_heading = "Own data")]
pub(super) struct Own {
    /// Learn from a table: a CSV file whose first line names the columns
    #[arg(long, value_name = "FILE", requires = "target", conflicts_with_all = ["preset", "images", "data"])]
    pub(super) csv: Option<PathBuf>,
    /// The column to learn
    #[arg(long, value_name = "COLUMN", requires = "csv")]
    target: Option<String>,
    /// Learn from pictures: a folder with a folder of PNG files for each class
    #[arg(long, value_name = "DIR", conflicts_with_all = ["preset", "data"])]
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
    delimiter: u8,
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
        drop(AtomicFile::create(path)?);
    }
    let plots = Plots::wanted(&arguments)?;
    let recipe = arguments.own.model.as_deref().map(Recipe::read).transpose()?;
    let Parts { mut train, mut validation, mut test, meaning, source, notes } =
        parts::read(&arguments.own, recipe.as_ref().map(|r| r.loss), seed, arguments.limit)?;
    let suggested = recipe.is_none();
    let recipe = match recipe {
        Some(recipe) => recipe,
        None => Recipe::suggested(train.sample_shape(), &meaning.output)?,
    };
    let epochs = *arguments.epochs.get_or_insert(recipe.epochs);
    let batch_size = *arguments.batch_size.get_or_insert(recipe.batch_size);
    let arguments = &arguments;

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
    let compile = Compile::new(recipe.loss).optimizer(optimizer);
    model.compile(recipe.metrics.iter().fold(compile, |c, metric| c.metric(metric.as_str())))?;
    model.set_note(NOTE, meaning.to_json()?);

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
    let mut kept = Kept::open(arguments, NAME, seen, &device)?;
    if let Some(kept) = &kept {
        same_layers(&model, kept)?;
        kept.announce(epochs)?;
    }
    say(format!("\n{}", model.summary()?))?;

    let verbose = arguments.verbose.unwrap_or(u8::from(epochs * train.len() > 100_000));
    let mut fit = Fit::new().epochs(epochs).batch_size(batch_size).verbose(verbose);
    if let Some(validation) = &validation {
        fit = fit.validation(validation);
    }
    let log = arguments.log.clone().or(kept.as_ref().map(|kept| kept.folder.join("history.csv")));
    let mut callbacks = train::callbacks(arguments, validation.is_some(), log);
    let monitor = if validation.is_some() { "val_loss" } else { "loss" };
    let mut keeper = arguments.early_stopping.and_then(|n| Keep::BestWithPatience(n).keeper(monitor));
    let (mut guard, mut interrupt) =
        (TerminateOnNan::new(), kept.as_ref().map(|_| Interrupt::new()).transpose()?);
    fit = fit.callback(&mut guard);
    if let Some(keeper) = &mut keeper {
        fit = fit.callback(keeper);
    }
    for callback in &mut callbacks {
        fit = fit.callback(callback.as_mut());
    }
    if let Some(interrupt) = &mut interrupt {
        fit = fit.callback(interrupt);
    }
    if let Some(kept) = &mut kept {
        fit = fit.checkpoints(&mut kept.checkpoints);
        if let Some((before, resume)) = kept.before.take() {
            model = before;
            fit = fit.resume(resume);
        }
    }
    model.fit(&train, fit)?;
    let history = model.history().clone();
    let done = history.epochs.len();
    let ended = keeper.as_ref().is_some_and(|k| k.stopped_epoch().is_some());
    if let Some(kept) = &kept
        && keep::asked()
        && done < epochs
        && !ended
    {
        kept.how_to_go_on("with the same options, and", done, model.paused())?;
        std::process::exit(130); // as programs do that Ctrl-C ended
    }
    if let Some(epoch) = history.get("loss").iter().position(|loss| !loss.is_finite()) {
        return Err(Mistake::Diverged { epoch: epoch + 1, learning_rate: rate }.into());
    }
    let seen = test.as_ref().or(validation.as_ref()).unwrap_or(&train);
    let scores = test.as_ref().map(|test| model.evaluate(test, batch_size)).transpose()?;
    figures(&history, scores.as_ref())?;
    if let Output::Number { target, scale } = &meaning.output
        && scale.by != 1.0
    {
        say(format!("Figures are in standard deviations of `{target}`, one of which is {:.6}.", scale.by))?;
    }
    if let Some(kept) = &kept {
        saved(&recipe, &kept.folder, &meaning.input)?;
    }
    if let Some(plots) = &plots {
        let about = match (&meaning.output, &meaning.input) {
            (Output::Number { .. }, _) => About::Numbers,
            (Output::Classes { names, .. }, Input::Pictures { .. }) => About::Images(names),
            (Output::Classes { names, .. }, Input::Table(_)) => About::Classes(names),
        };
        plots.draw(&source, &mut model, &history, seen, about)?;
    }
    let Some(path) = &arguments.json else { return Ok(()) };
    let report = Report {
        preset: None,
        data: arguments.own.csv.as_ref().or(arguments.own.images.as_ref()).map(|p| p.display().to_string()),
        device: device.name().to_string(),
        threads: device.threads(),
        seed,
        parameters: model.parameter_count()?,
        weights_sha256: fingerprint(&model.get_weights()?),
        samples_per_second: samples_per_second(&history, train.len()),
        epochs: history.epochs.iter().map(Into::into).collect(),
        folds: Vec::new(),
        test: scores.as_ref().map(Into::into),
    };
    report.write(path)
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

/// All figures of the last epoch, and those of the test.
fn figures(history: &History, test: Option<&Scores>) -> Result<()> {
    let Some(last) = history.epochs.last() else { return Ok(()) };
    let all = &last.scores.0;
    let names: Vec<&str> = all
        .iter()
        .map(|(n, _)| n.as_str())
        .filter(|n| !n.starts_with("val_") && *n != "learning_rate")
        .collect();
    let mut table = table(&[&[""], &names[..]].concat());
    let mut row = |what: &str, of: &dyn Fn(&str) -> Option<f64>| {
        if names.iter().any(|n| of(n).is_some()) {
            let figures = names.iter().map(|n| of(n).map_or(String::new(), |f| format!("{f:.4}")));
            table.add_row(std::iter::once(what.to_string()).chain(figures));
        }
    };
    row("training", &|name| last.scores.get(name));
    row("validation", &|name| last.scores.get(&format!("val_{name}")));
    row("test", &|name| test.and_then(|scores| scores.get(name)));
    say(table)
}

/// What checkpoints call a training on a person's own data.
pub(super) const NAME: &str = "own data";

/// A training goes on with the layers that it began with.
fn same_layers(model: &Sequential, kept: &Kept) -> Result<()> {
    let Some((before, _)) = &kept.before else { return Ok(()) };
    match before.config()?.get("layers") == model.config()?.get("layers") {
        true => Ok(()),
        false => Err(Error::invalid(
            format!("the training in {} began with other layers", kept.folder.display()),
            format!(
                "give the model that it began with: --model {}",
                kept.folder.join("model.toml").display()
            ),
        )),
    }
}

/// The checkpoints that stand for a folder of `--save`, the better one first.
pub(super) const MODELS: [&str; 2] = ["best.safetensors", "last.safetensors"];

/// What was left in the folder, and how to use it.
fn saved(recipe: &Recipe, folder: &Path, input: &Input) -> Result<()> {
    let toml = folder.join("model.toml");
    let mut file = AtomicFile::create(&toml)?;
    file.write_all(recipe.text.as_bytes()).map_err(|source| Error::Io {
        action: "write",
        path: toml,
        source,
    })?;
    file.commit()?;
    let folder = folder.display();
    let data = match input {
        Input::Table(_) => "--csv FILE",
        Input::Pictures { .. } => "PICTURE.png",
    };
    let best = MODELS[0];
    say(format!(
        "Saved in {folder}: {best} (after the epoch with the lowest validation loss), last.safetensors, model.toml, history.csv"
    ))?;
    say(format!("Use it:   handgrad predict {folder} {data}"))
}
