//! `handgrad train`: a preset, from its data to its figures beside the published ones.

use super::keep::{self, Kept};
use super::own;
use super::plots::Plots;
use super::report::{Report, fingerprint, samples_per_second, write_json};
use super::training::{Plan, Trained, Training};
use super::{say, table};
use clap::Args;
use clap::builder::RangedU64ValueParser;
use handgrad::callbacks::{Callback, CsvLogger, ReduceLROnPlateau};
use handgrad::data::{AtomicFile, Dataset};
use handgrad::mistakes::{Count, Mistake, Range};
use handgrad::presets::{Figure, Figures, Keep, Parts, Preset, Source};
use handgrad::{Device, Error, Optimizer, Result, Sequential};
use std::path::PathBuf;

#[derive(Args, Clone)]
pub(super) struct Arguments {
    /// What to train; `handgrad presets` lists them
    #[arg(
        required_unless_present_any = ["csv", "images"],
        conflicts_with_all = own::OF_OWN_DATA.iter().chain(&own::OF_TABLES).chain(&own::OF_READING)
    )]
    pub(super) preset: Option<String>,
    /// The folder of the four IDX files, plain or gzipped [default: mnist or fashion-mnist under $HANDGRAD_DATA or
    /// data, or where `handgrad data get` puts them; for Fashion-MNIST first $HANDGRAD_FASHION_MNIST]
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
    /// How often to go through the training data [default: the preset's]
    #[arg(long, value_name = "N", value_parser = counted())]
    pub(super) epochs: Option<usize>,
    /// How many samples share one update [default: the preset's]
    #[arg(long, value_name = "N", value_parser = counted())]
    pub(super) batch_size: Option<usize>,
    /// sgd, rmsprop, adagrad, adadelta, adam, adamw, adamax or nadam [default: the preset's]
    #[arg(long, value_name = "NAME")]
    pub(super) optimizer: Option<String>,
    /// How far a step goes [default: the optimizer's]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub(super) learning_rate: Option<f64>,
    /// Of initial weights, shuffling, splits and dropout: one seed, one result, at any number of threads [default: 0]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(super) seed: Option<u64>,
    /// How many threads compute [default: one for each core]
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..=1024))]
    threads: Option<usize>,
    /// auto, cpu, reference or cuda:N [default: auto]
    #[arg(long, value_name = "NAME")]
    pub(super) device: Option<String>,
    /// Use only the first N training and the first N test samples
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    pub(super) limit: Option<usize>,
    /// 0: no progress, 1: a line with the time left, 2: one line for each epoch [default: 1, and 0 for logic gates]
    #[arg(long, value_name = "LEVEL", value_parser = clap::value_parser!(u8).range(0..=2))]
    pub(super) verbose: Option<u8>,
    /// Write each epoch's figures as a row of this CSV file, as soon as it ends
    #[arg(long, value_name = "FILE")]
    pub(super) log: Option<PathBuf>,
    /// Stop after N epochs without a lower validation loss (or loss), and put the best weights back [default: the
    /// preset's way]
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    pub(super) early_stopping: Option<usize>,
    /// Divide the learning rate by 10 after N epochs without a lower validation loss (or loss)
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    pub(super) reduce_lr: Option<usize>,
    /// Keep the newest and the best state of the training in this folder; Ctrl-C then ends after the step, saved
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    pub(super) save: Option<PathBuf>,
    /// Go on with the training in this folder, up to --epochs in all, as if it had never stopped
    #[arg(long, value_name = "DIR")]
    pub(super) resume: Option<PathBuf>,
    /// Write the figures as one JSON object
    #[arg(long, value_name = "FILE")]
    pub(super) json: Option<PathBuf>,
    /// Write pictures into this folder: curves, and what suits the data and the model
    #[arg(long, value_name = "DIR")]
    pub(super) plots: Option<PathBuf>,
    /// svg or png
    #[arg(long, value_name = "FORMAT", value_parser = ["svg", "png"], default_value = "svg", requires = "plots")]
    pub(super) plots_format: String,
    #[command(flatten)]
    pub(super) own: own::Own,
}

fn at_least_one() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=1 << 32)
}

/// A number whose 0 is explained as a mistake, in the language of the others.
fn counted() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(..=1 << 32)
}

/// The mistakes that can be made with these options alone.
pub(super) fn check(arguments: &Arguments) -> Result<()> {
    match (arguments.epochs, arguments.batch_size, arguments.learning_rate) {
        (Some(0), _, _) => Err(Mistake::Zero(Count::Epochs).into()),
        (_, Some(0), _) => Err(Mistake::Zero(Count::BatchSize).into()),
        (_, _, Some(value)) if !(value > 0.0 && value.is_finite()) => {
            Err(Mistake::Hyperparameter { name: "learning rate", value, range: Range::Positive }.into())
        }
        _ => Ok(()),
    }
}

/// Everything that can be wrong is found out before the training begins.
pub(super) fn run(arguments: &Arguments) -> Result<()> {
    if arguments.own.wanted() {
        return own::run(arguments);
    }
    let preset = Preset::named(arguments.preset.as_deref().unwrap_or_default())?;
    let mut arguments = arguments.clone();
    if let Some(folder) = &arguments.resume.clone() {
        keep::take_over(&mut arguments, preset.name, folder)?;
    }
    check(&arguments)?;
    let (name, rate) = (arguments.optimizer.clone(), arguments.learning_rate);
    let optimizer = || {
        let mut optimizer = match &name {
            Some(name) => name.parse()?,
            None => preset.optimizer()?,
        };
        if let Some(rate) = rate {
            optimizer.set_learning_rate(rate)?;
        }
        Ok::<Optimizer, Error>(optimizer)
    };
    let shown = optimizer()?;
    // What was not said is the preset's: a folder that keeps the training remembers it.
    let seed = *arguments.seed.get_or_insert(0);
    let epochs = *arguments.epochs.get_or_insert(preset.epochs);
    let batch_size = *arguments.batch_size.get_or_insert(preset.batch_size);
    arguments.optimizer.get_or_insert_with(|| shown.name().to_string());
    arguments.learning_rate.get_or_insert(shown.learning_rate_now());
    let arguments = &arguments;
    let (device, why_no_gpu) = choose_device(arguments)?;
    if let Some(path) = &arguments.json {
        AtomicFile::probe(path)?;
    }
    let plots = Plots::wanted(arguments)?;
    let data = preset.load(arguments.data.as_deref(), arguments.limit, seed)?;

    announce(preset, &data, &device)?;
    if let Some(why) = why_no_gpu {
        say(format!("          (no GPU: {why})"))?;
    }
    say(format!(
        "training  {epochs} × {} samples in batches of {batch_size}, {} with learning rate {}, {}, seed {}",
        data.train.len(),
        shown.name(),
        shown.learning_rate_now(),
        preset.loss,
        seed,
    ))?;
    let quiet = matches!(preset.source, Source::Gate(_));
    let training = Training {
        preset,
        data: &data,
        device: &device,
        optimizer: &optimizer,
        plan: Plan {
            keep: arguments.early_stopping.map_or(preset.keep, Keep::BestWithPatience),
            epochs,
            batch_size,
            verbose: arguments.verbose.unwrap_or(u8::from(!quiet)),
        },
        seed,
    };
    say(format!("\n{}", training.model()?.summary()?))?;
    check_folds(arguments, preset)?;
    let mut callbacks = callbacks(arguments, data.validation.is_some(), arguments.log.clone());
    let parts = std::iter::once(&data.train).chain(&data.validation);
    let mut kept = Kept::open(arguments, preset.name, None, parts, &device)?;
    if let Some(kept) = &kept {
        kept.announce(epochs)?;
    }
    let mut trained = training.run(&mut callbacks, kept.as_mut())?;
    if let (Some(kept), true) = (&kept, trained.interrupted) {
        kept.how_to_go_on(preset.name, trained.history.epochs.len(), trained.model.paused())?;
        std::process::exit(130); // as programs do that Ctrl-C ended
    }

    if let Source::Gate(_) = preset.source {
        truth_table(&mut trained.model, &data.train)?;
    }
    trained.say_which()?;
    compare(preset, &trained)?;
    let speed = samples_per_second(&trained.history, samples_trained(preset, &data));
    say(format!("{speed:.0} samples/s in training, validation not counted"))?;

    if let Some(plots) = &plots {
        plots.of_preset(preset, &mut trained.model, &trained.history, &data)?;
    }
    let Some(path) = &arguments.json else { return Ok(()) };
    let report = Report {
        preset: Some(preset.name.to_string()),
        data: None,
        device: device.name().to_string(),
        threads: device.threads(),
        seed,
        parameters: trained.model.parameter_count()?,
        weights_sha256: fingerprint(&trained.model.get_weights()?),
        samples_per_second: speed,
        epochs: trained.history.epochs.iter().map(Into::into).collect(),
        folds: trained.folds.iter().map(Into::into).collect(),
        test: trained.test.as_ref().map(Into::into),
    };
    write_json(path, &report)
}

/// Who computes, and if it was left to the machine, why it is no GPU.
pub(super) fn choose_device(arguments: &Arguments) -> Result<(Device, Option<Error>)> {
    match arguments.device.as_deref().unwrap_or("auto") {
        "auto" => Device::auto(arguments.threads),
        name => Ok((Device::from_name(name, arguments.threads)?, None)),
    }
}

/// What the options hang into the training; its epochs are logged in `log`.
pub(super) fn callbacks(
    arguments: &Arguments,
    validated: bool,
    log: Option<PathBuf>,
) -> Vec<Box<dyn Callback>> {
    let monitor = if validated { "val_loss" } else { "loss" };
    let mut callbacks: Vec<Box<dyn Callback>> = Vec::new();
    if let Some(patience) = arguments.reduce_lr {
        callbacks.push(Box::new(ReduceLROnPlateau::new(monitor).patience(patience).verbose(true)));
    }
    if let Some(path) = log {
        let log = CsvLogger::new(path).append(arguments.resume.is_some());
        callbacks.push(Box::new(log)); // last: it logs the learning rate as well
    }
    callbacks
}

/// Refuses what makes no sense for several models.
fn check_folds(arguments: &Arguments, preset: &Preset) -> Result<()> {
    let options = [
        ("--log", arguments.log.is_some()),
        ("--early-stopping", arguments.early_stopping.is_some()),
        ("--reduce-lr", arguments.reduce_lr.is_some()),
        ("--save", arguments.save.is_some()),
        ("--resume", arguments.resume.is_some()),
    ];
    match options.into_iter().find(|(_, given)| *given && preset.folds > 0) {
        None => Ok(()),
        Some((option, _)) => Err(Error::invalid(
            format!("`{}` trains {} models, one for each fold", preset.name, preset.folds),
            format!("leave {option} out, or train another preset"),
        )),
    }
}

/// How many samples an epoch goes through.
fn samples_trained(preset: &Preset, data: &Parts) -> usize {
    match preset.folds {
        0 => data.train.len(),
        k => data.train.len() - data.train.len() / k,
    }
}

fn announce(preset: &Preset, data: &Parts, device: &Device) -> Result<()> {
    let mut parts = format!("{} samples to train on", data.train.len());
    if let Some(validation) = &data.validation {
        parts += &format!(", {} to validate", validation.len());
    }
    if let Some(test) = &data.test {
        parts += &format!(", {} to test", test.len());
    }
    say(format!("preset    {}: {}", preset.name, preset.summary))?;
    say(format!("data      {}, {}: {parts}", preset.source, data.origin))?;
    say(format!("device    {}", device.describe()))
}

/// What a logic gate's model makes of each row.
fn truth_table(model: &mut Sequential, rows: &Dataset) -> Result<()> {
    let mut table = table(&["input", "wanted", "predicted"]);
    let predictions = model.predict(rows.x())?.to_vec();
    let wanted = rows.y();
    for (i, predicted) in predictions.iter().enumerate() {
        let input = rows.x().values_of(i);
        let input: Vec<String> = input.iter().map(f32::to_string).collect();
        table.add_row([input.join(", "), wanted.values_of(i)[0].to_string(), format!("{predicted:.4}")]);
    }
    say(table)
}

/// The figures beside the published ones.
fn compare(preset: &Preset, trained: &Trained) -> Result<()> {
    let published = &preset.published;
    let mut table = table(&["", "loss", "published", "accuracy", "published"]);
    let mut row = |part: &str, by: Figures| {
        let (loss, accuracy) = (trained.figure(part, "loss"), trained.figure(part, "accuracy"));
        if loss.is_some() || accuracy.is_some() {
            let own = |figure: Option<f64>| figure.map_or("".into(), |f| format!("{f:.4}"));
            let theirs = |figure: Figure| figure.to_string();
            table.add_row([part, &own(loss), &theirs(by.loss), &own(accuracy), &theirs(by.accuracy)]);
        }
    };
    row("training", published.training);
    row("validation", published.validation);
    row("test", published.test);
    say(table)?;
    match published.note {
        "" => Ok(()),
        note => say(format!("Published: {note}.")),
    }
}
