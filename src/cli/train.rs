//! `handgrad train`: a preset, from its data to its figures beside the published ones.

use super::keep::{self, Interrupt};
use super::own;
use super::report::{Report, fingerprint, samples_per_second};
use super::{say, table};
use clap::Args;
use clap::builder::RangedU64ValueParser;
use handgrad::callbacks::EarlyStopping;
use handgrad::data::{AtomicFile, Dataset};
use handgrad::io::{Checkpoints, Resume};
use handgrad::model::{Compile, Fit, History, Scores};
use handgrad::presets::{Figure, Figures, Parts, Preset, Source};
use handgrad::{Device, Error, Optimizer, Result, Sequential};
use std::path::PathBuf;

#[derive(Args, Clone)]
pub(super) struct Arguments {
    /// What to train; `handgrad presets` lists them
    #[arg(required_unless_present_any = ["csv", "images"])]
    preset: Option<String>,
    /// The folder of the four IDX files, plain or gzipped [default: mnist or fashion-mnist under $HANDGRAD_DATA or
    /// data; for Fashion-MNIST first $HANDGRAD_FASHION_MNIST]
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
    /// How often to go through the training data [default: the preset's]
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    pub(super) epochs: Option<usize>,
    /// How many samples share one update [default: the preset's]
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    pub(super) batch_size: Option<usize>,
    /// sgd, rmsprop, adagrad, adadelta, adam, adamw, adamax or nadam [default: the preset's]
    #[arg(long, value_name = "NAME")]
    pub(super) optimizer: Option<String>,
    /// How far a step goes [default: the optimizer's]
    #[arg(long, value_name = "X", value_parser = positive, allow_negative_numbers = true)]
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
    /// Keep the newest and the best state of the training in this folder; Ctrl-C then ends after the step, saved
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    pub(super) save: Option<PathBuf>,
    /// Go on with the training in this folder, up to --epochs in all, as if it had never stopped
    #[arg(long, value_name = "DIR")]
    pub(super) resume: Option<PathBuf>,
    /// Write the figures as one JSON object
    #[arg(long, value_name = "FILE")]
    pub(super) json: Option<PathBuf>,
    #[command(flatten)]
    pub(super) own: own::Own,
}

fn at_least_one() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=1 << 32)
}

fn positive(text: &str) -> std::result::Result<f64, String> {
    match text.parse::<f64>() {
        Ok(x) if x.is_finite() && x > 0.0 => Ok(x),
        _ => Err("not a number above 0".into()),
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
    let seed = *arguments.seed.get_or_insert(0);
    let mut optimizer: Optimizer = arguments.optimizer.as_deref().unwrap_or(preset.optimizer).parse()?;
    if let Some(rate) = arguments.learning_rate {
        optimizer.set_learning_rate(rate)?;
    }
    let (device, why_no_gpu) = choose_device(&arguments)?;
    if let Some(path) = &arguments.json {
        drop(AtomicFile::create(path)?);
    }
    let data = preset.load(arguments.data.as_deref(), arguments.limit, seed)?;
    let epochs = *arguments.epochs.get_or_insert(preset.epochs);
    let batch_size = *arguments.batch_size.get_or_insert(preset.batch_size);
    arguments.optimizer.get_or_insert_with(|| optimizer.name().into());
    arguments.learning_rate.get_or_insert(optimizer.learning_rate_now());
    let arguments = &arguments;

    announce(preset, &data, &device)?;
    if let Some(why) = why_no_gpu {
        say(format!("          (no GPU: {why})"))?;
    }
    say(format!(
        "training  {epochs} × {} samples in batches of {batch_size}, {} with learning rate {}, {}, seed {}",
        data.train.len(),
        optimizer.name(),
        optimizer.learning_rate_now(),
        preset.loss,
        seed,
    ))?;
    let mut model = (preset.model)().seed(seed).device(&device);
    model.build(data.train.sample_shape())?;
    model.compile(Compile::new(preset.loss).optimizer(optimizer).metric("accuracy"))?;
    let parts = std::iter::once(&data.train).chain(&data.validation);
    let mut kept = kept(arguments, preset.name, parts, &device)?;
    if let Some(kept) = &mut kept {
        kept.begin(&mut model, epochs)?;
    }
    say(format!("\n{}", model.summary()?))?;

    let quiet = matches!(preset.source, Source::Gate(_));
    let mut keeper = preset.keeper();
    let mut fit = Fit::new()
        .epochs(epochs)
        .batch_size(batch_size)
        .verbose(arguments.verbose.unwrap_or(u8::from(!quiet)));
    if let Some(validation) = &data.validation {
        fit = fit.validation(validation);
    }
    if let Some(keeper) = &mut keeper {
        fit = fit.callback(keeper);
    }
    let mut interrupt = kept.as_ref().map(|_| Interrupt::new()).transpose()?;
    if let Some(interrupt) = &mut interrupt {
        fit = fit.callback(interrupt);
    }
    if let Some(kept) = &mut kept {
        fit = fit.checkpoints(&mut kept.checkpoints);
        if let Some((_, resume)) = kept.before.take() {
            fit = fit.resume(resume);
        }
    }
    model.fit(&data.train, fit)?;
    let history = model.history().clone();
    if let Some(kept) = &kept
        && keep::interrupted(
            history.epochs.len(),
            epochs,
            keeper.as_ref().is_some_and(|k| k.stopped_epoch().is_some()),
        )
    {
        keep::how_to_go_on(preset.name, &kept.folder, history.epochs.len(), model.paused())?;
        std::process::exit(130); // as programs do that Ctrl-C ended
    }
    diverged(&history)?;
    let test = data.test.as_ref().map(|test| model.evaluate(test, batch_size)).transpose()?;

    if let Source::Gate(_) = preset.source {
        truth_table(&mut model, &data.train)?;
    }
    let best = keeper.as_ref().and_then(EarlyStopping::best_epoch);
    if let Some(best) = best {
        let (last, best) = (history.epochs.len(), best + 1);
        say(format!(
            "Ended with epoch {last}; the weights are those of epoch {best}, with the lowest val_loss."
        ))?;
    }
    let kept = best.unwrap_or(history.epochs.len() - 1);
    compare(preset, &history, kept, test.as_ref())?;
    let rate = samples_per_second(&history, data.train.len());
    say(format!("{rate:.0} samples/s in training, validation not counted"))?;

    let Some(path) = &arguments.json else { return Ok(()) };
    let report = Report {
        preset: Some(preset.name.to_string()),
        data: None,
        device: device.name().to_string(),
        threads: device.threads(),
        seed,
        parameters: model.parameter_count()?,
        weights_sha256: fingerprint(&model.get_weights()?),
        samples_per_second: rate,
        epochs: history.epochs.iter().map(Into::into).collect(),
        test: test.as_ref().map(Into::into),
    };
    report.write(path)
}

/// Who computes, and if it was left to the machine, why it is no GPU.
pub(super) fn choose_device(arguments: &Arguments) -> Result<(Device, Option<Error>)> {
    match arguments.device.as_deref().unwrap_or("auto") {
        "auto" => Device::auto(arguments.threads),
        name => Ok((Device::from_name(name, arguments.threads)?, None)),
    }
}

/// Whether the loss stayed a number.
pub(super) fn diverged(history: &History) -> Result<()> {
    match history.get("loss").iter().position(|loss| !loss.is_finite()) {
        None => Ok(()),
        Some(epoch) => Err(Error::data(
            format!("training diverged: after epoch {} the loss is no longer a number", epoch + 1),
            "give a lower --learning-rate, or another --optimizer",
        )),
    }
}

/// A folder that keeps the training, and if it kept one before, that one's model and how it goes on.
pub(super) struct Kept {
    pub(super) folder: PathBuf,
    pub(super) checkpoints: Checkpoints,
    pub(super) before: Option<(Sequential, Resume)>,
}

impl Kept {
    /// Takes up the model of before, if there was one, in the place of `model`, and says what will happen.
    pub(super) fn begin(&mut self, model: &mut Sequential, epochs: usize) -> Result<()> {
        let folder = self.folder.display();
        let Some((before, resume)) = &mut self.before else {
            return say(format!("saving    to {folder} after each epoch; Ctrl-C ends after the step, saved"));
        };
        std::mem::swap(model, before);
        let (done, ended) = (resume.epochs(), if resume.ended() { ", and was ended early" } else { "" });
        if epochs < done {
            return Err(Error::invalid(
                format!("the training in {folder} has had {done} epochs, --epochs asks for {epochs} in all"),
                format!("give --epochs {done} or more"),
            ));
        }
        say(format!("resuming  {folder}: {done} epochs were done{ended}"))
    }
}

/// The folder of `--save` or `--resume`; `name` is what is trained, on `parts`.
pub(super) fn kept<'a>(
    arguments: &Arguments,
    name: &str,
    parts: impl IntoIterator<Item = &'a Dataset>,
    device: &Device,
) -> Result<Option<Kept>> {
    let seen = || keep::fingerprint(parts);
    match (&arguments.save, &arguments.resume) {
        (Some(folder), _) => {
            let run = keep::run(arguments, name, device.name(), seen())?;
            let checkpoints = Checkpoints::create(folder)?.run(run);
            Ok(Some(Kept { folder: folder.clone(), checkpoints, before: None }))
        }
        (None, Some(folder)) => {
            let (model, resume, checkpoints) = Checkpoints::resume(folder, device)?;
            let seen = seen();
            keep::check_data(resume.run(), &seen, folder)?;
            let checkpoints = checkpoints.run(keep::run(arguments, name, device.name(), seen)?);
            Ok(Some(Kept { folder: folder.clone(), checkpoints, before: Some((model, resume)) }))
        }
        (None, None) => Ok(None),
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
fn compare(preset: &Preset, history: &History, kept: usize, test: Option<&Scores>) -> Result<()> {
    let published = &preset.published;
    let mut table = table(&["", "loss", "published", "accuracy", "published"]);
    let mut row = |what: &str, loss: Option<f64>, accuracy: Option<f64>, by: Figures| {
        if loss.is_some() || accuracy.is_some() {
            let own = |figure: Option<f64>| figure.map_or("".into(), |f| format!("{f:.4}"));
            let theirs = |figure: Figure| figure.to_string();
            table.add_row([what, &own(loss), &theirs(by.loss), &own(accuracy), &theirs(by.accuracy)]);
        }
    };
    row("training", history.last("loss"), history.last("accuracy"), published.training);
    let kept = history.epochs.get(kept).map(|epoch| &epoch.scores);
    let of = |name: &str| kept.and_then(|scores| scores.get(name));
    row("validation", of("val_loss"), of("val_accuracy"), published.validation);
    let of = |name: &str| test.and_then(|scores| scores.get(name));
    row("test", of("loss"), of("accuracy"), published.test);
    say(table)?;
    match published.note {
        "" => Ok(()),
        note => say(format!("Published: {note}.")),
    }
}
