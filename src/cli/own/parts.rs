//! The data of one training: read, split, prepared.

use super::{Colours, Encode, Missing, Own, Scale, Task};
use handgrad::data::{
    self, Cells, Dataset, ImageFolder, ImageFolderOptions, Input, Meaning, Output, Preparation,
    Preprocessing, Scaling, Table, Targets, TextEncoding,
};
use handgrad::{Error, Loss, Result};
use std::path::Path;

/// What a training needs of the data, and what a person should know of it.
pub(super) struct Parts {
    pub(super) train: Dataset,
    pub(super) validation: Option<Dataset>,
    pub(super) test: Option<Dataset>,
    pub(super) meaning: Meaning,
    /// Where it came from, and what is in it.
    pub(super) source: String,
    pub(super) notes: Vec<String>,
}

/// Reads what `own` names. `loss` is the model's, if a person gave one.
pub(super) fn read(own: &Own, loss: Option<Loss>, seed: u64, limit: Option<usize>) -> Result<Parts> {
    match (&own.csv, &own.target, &own.images) {
        (Some(csv), Some(target), _) => from_table(own, csv, target, loss, seed, limit),
        (_, _, Some(folder)) => from_folder(own, folder, seed, limit),
        _ => Err(Error::invalid("there is no data", "give --csv FILE --target COLUMN, or --images DIR")),
    }
}

/// Which samples are for what.
struct Split {
    train: Vec<usize>,
    validation: Vec<usize>,
    test: Vec<usize>,
}

impl Split {
    /// Of so many samples, at random.
    fn of_numbers(samples: usize, own: &Own, seed: u64) -> Result<Split> {
        Split::new(samples, own, |of, share, _| data::train_test_indices(of.len(), share, seed))
    }

    /// In the classes' shares where each class has samples enough for that.
    fn of_classes(
        y: &Targets,
        names: &[String],
        own: &Own,
        seed: u64,
        notes: &mut Vec<String>,
    ) -> Result<Split> {
        let name = |class: usize| names.get(class).cloned().unwrap_or_else(|| class.to_string());
        let split = Split::new(y.len(), own, |of, share, what| {
            let part = y.subset(of)?;
            part.stratified_indices(share, seed).or_else(|e| {
                let why = match part.class_counts()?.iter().position(|&n| n == 1) {
                    Some(class) => format!("there is a single sample of `{}`", name(class)),
                    None => e.to_string(),
                };
                notes.push(format!("the {what} part does not keep the classes' shares: {why}"));
                data::train_test_indices(of.len(), share, seed)
            })
        })?;
        let (all, left) = (y.class_counts()?, y.subset(&split.train)?.class_counts()?);
        let lost = |&class: &usize| all[class] > 0 && left.get(class).is_none_or(|&n| n == 0);
        let lost: Vec<String> =
            (0..all.len()).filter(lost).map(|class| format!("`{}`", name(class))).collect();
        if !lost.is_empty() {
            notes.push(format!(
                "no sample of {} is left to train on, so the model cannot learn it: add samples, or set fewer aside",
                lost.join(", ")
            ));
        }
        Ok(split)
    }

    /// `set_aside` says which positions of a list are for training, and which for the part that it is told of.
    fn new(
        samples: usize,
        own: &Own,
        mut set_aside: impl FnMut(&[usize], f64, &str) -> Result<(Vec<usize>, Vec<usize>)>,
    ) -> Result<Split> {
        check_shares(samples, own)?;
        let mut part = |of: Vec<usize>, share: f64, what: &str| -> Result<(Vec<usize>, Vec<usize>)> {
            if share == 0.0 {
                return Ok((of, Vec::new()));
            }
            let (rest, aside) = set_aside(&of, share, what)?;
            let those = |positions: Vec<usize>| positions.into_iter().map(|i| of[i]).collect();
            Ok((those(rest), those(aside)))
        };
        let (rest, test) = part((0..samples).collect(), own.test_split, "test")?;
        let (train, validation) = part(rest, of_rest(own), "validation")?;
        Ok(Split { train, validation, test })
    }
}

/// The share of what the test part leaves that is for validation.
fn of_rest(own: &Own) -> f64 {
    own.validation_split / (1.0 - own.test_split)
}

/// Every part that is asked for must have a sample, and so must the one to train on.
fn check_shares(samples: usize, own: &Own) -> Result<()> {
    let shares = [("validation", own.validation_split), ("test", own.test_split)];
    let count = |share: f64, of: usize| (share * of as f64).round() as usize;
    let counted = if samples == 1 { "1 sample".to_string() } else { format!("{samples} samples") };
    let test = count(own.test_split, samples);
    let validation = count(of_rest(own), samples.saturating_sub(test));
    if test + validation >= samples {
        let given: Vec<String> = shares
            .iter()
            .filter(|(_, share)| *share > 0.0)
            .map(|(what, share)| format!("--{what}-split {share}"))
            .collect();
        return Err(Error::invalid(
            format!("{} of {counted} leaves none to train on", given.join(" and ")),
            "give smaller shares, which are below 1 together, or 0 for no such part; or take more samples",
        ));
    }
    for ((what, share), part) in shares.into_iter().zip([validation, test]) {
        if share > 0.0 && part == 0 {
            let one = (100.0 / samples as f64).ceil() / 100.0;
            return Err(Error::invalid(
                format!("--{what}-split {share} of {counted} is less than one sample"),
                format!("give --{what}-split {one} or more, or 0 for no {what} part; or take more samples"),
            ));
        }
    }
    Ok(())
}

/// Classes of one size, if that was asked for.
fn balanced(
    train: Dataset,
    own: &Own,
    seed: u64,
    names: &[String],
    notes: &mut Vec<String>,
) -> Result<Dataset> {
    let (what, even) = match (own.oversample, own.undersample) {
        (true, _) => ("drawn again", train.oversample(seed)?),
        (_, true) => ("left out", train.undersample(seed)?),
        _ => return Ok(train),
    };
    let (before, after) = (train.class_counts()?, even.class_counts()?);
    let counts = counted(names, &before);
    let each = after.iter().max().copied().unwrap_or(0);
    notes.push(format!("samples to train on, {what} until each class has {each}: were {counts}"));
    Ok(even)
}

/// `cat 12, dog 7`, the first ten.
fn counted(names: &[String], counts: &[usize]) -> String {
    let all: Vec<String> = names.iter().zip(counts).take(10).map(|(name, n)| format!("{name} {n}")).collect();
    all.join(", ") + if names.len() > 10 { ", ..." } else { "" }
}

fn from_folder(own: &Own, folder: &Path, seed: u64, limit: Option<usize>) -> Result<Parts> {
    let colours = own.colours.map(|c| match c {
        Colours::Grey => data::Colours::Grey,
        Colours::Rgb => data::Colours::Rgb,
    });
    let read =
        ImageFolder::read(folder, ImageFolderOptions { size: own.image_size, colours, invert: false })?;
    let (mut notes, names) = (Vec::new(), read.classes);
    if let [only] = &names[..] {
        return Err(Error::format(
            folder,
            format!("one class alone (`{only}`): there is nothing to tell apart"),
            "put the pictures of each class into a folder of its own, as cats/tom.png and dogs/rex.png",
        ));
    }
    if read.skipped > 0 {
        notes.push(format!("{} files were passed over: their names do not end in .png", read.skipped));
    }
    let sample = read.data.sample_shape();
    let (height, width, channels) = (sample.dims()[0], sample.dims()[1], sample.last());
    let source = format!(
        "{}: {} pictures of {height} × {width}, {}; {}",
        folder.display(),
        read.data.len(),
        if channels == 1 { "grey" } else { "coloured" },
        counted(&names, &read.data.class_counts()?),
    );
    let all = match limit {
        Some(n) => read.data.shuffled(seed).take(n)?,
        None => read.data,
    };
    let split = Split::of_classes(all.y(), &names, own, seed, &mut notes)?;
    let part = |order: &[usize]| (!order.is_empty()).then(|| all.subset(order)).transpose();
    Ok(Parts {
        train: balanced(all.subset(&split.train)?, own, seed, &names, &mut notes)?,
        validation: part(&split.validation)?,
        test: part(&split.test)?,
        meaning: Meaning {
            input: Input::Pictures { height, width, channels },
            output: Output::Classes { target: "the picture".into(), names },
        },
        source,
        notes,
    })
}

fn from_table(
    own: &Own,
    csv: &Path,
    target: &str,
    loss: Option<Loss>,
    seed: u64,
    limit: Option<usize>,
) -> Result<Parts> {
    let mut table = Table::read_csv(csv, &own.reading.options())?;
    if let Some(n) = limit {
        table = table.select(&(0..n.min(table.len())).collect::<Vec<_>>());
    }
    table.column(target)?;
    for name in &own.drop {
        table.column(name)?;
    }
    let inputs: Vec<String> = table.names().into_iter().map(String::from).collect();
    let inputs: Vec<&str> = inputs
        .iter()
        .map(String::as_str)
        .filter(|n| *n != target && !own.drop.iter().any(|d| d == n))
        .collect();
    let how = preparation(own);
    let mut notes = Vec::new();
    // All rows first: what is wrong is then named by its first line, in whichever part it would be.
    Preprocessing::fit(&table, &inputs, Preparation { scaling: Scaling::None, ..how })?;
    let table = complete_rows(table, target, &inputs, how.missing, &mut notes)?;

    let classes = match own.task.or(loss.map(task_of)) {
        Some(task) => task == Task::Classification,
        None => looks_like_classes(&table, target)?,
    };
    let file = csv.display();
    if classes {
        let found = table.classes(target)?;
        let labels: Vec<u32> = found.of_row.iter().flatten().copied().collect();
        let y = Targets::labels(labels);
        let split = Split::of_classes(&y, &found.names, own, seed, &mut notes)?;
        let (fitted, [train, validation, test]) = transformed(&table, &inputs, how, &split, &y, &mut notes)?;
        let Some(train) = train else { return Err(no_rows(csv)) };
        let counts = counted(&found.names, &y.class_counts()?);
        Ok(Parts {
            train: balanced(train, own, seed, &found.names, &mut notes)?,
            validation,
            test,
            source: described(&file.to_string(), &table, &inputs, &fitted, &format!("`{target}`: {counts}")),
            meaning: Meaning {
                input: Input::Table(fitted),
                output: Output::Classes { target: target.into(), names: found.names },
            },
            notes,
        })
    } else {
        if own.oversample || own.undersample {
            return Err(Error::invalid(
                format!("`{target}` is a number, and numbers have no classes to make equal"),
                "leave --oversample and --undersample out",
            ));
        }
        let numbers = table.numbers(target)?;
        let split = Split::of_numbers(numbers.len(), own, seed)?;
        let of_train: Vec<f64> = split.train.iter().map(|&i| numbers[i]).collect();
        // A model that nobody chose should not have to learn the target's units first.
        let scaling = if loss.is_none() { Scaling::Standardize } else { Scaling::None };
        let scale = data::Scale::fit(&of_train, scaling);
        let values: Vec<f32> = numbers.iter().map(|&n| scale.apply(n) as f32).collect();
        let y = Targets::Values { sample: 1.into(), values };
        let (fitted, [train, validation, test]) = transformed(&table, &inputs, how, &split, &y, &mut notes)?;
        let least = numbers.iter().copied().fold(f64::INFINITY, f64::min);
        let most = numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Ok(Parts {
            train: train.ok_or_else(|| no_rows(csv))?,
            validation,
            test,
            source: described(
                &file.to_string(),
                &table,
                &inputs,
                &fitted,
                &format!("`{target}`: {least} to {most}"),
            ),
            meaning: Meaning {
                input: Input::Table(fitted),
                output: Output::Number { target: target.into(), scale },
            },
            notes,
        })
    }
}

fn no_rows(csv: &Path) -> Error {
    Error::format(
        csv,
        "no row is left to train on",
        "set fewer aside, or fill missing cells with --missing mean",
    )
}

fn described(file: &str, table: &Table, inputs: &[&str], fitted: &Preprocessing, target: &str) -> String {
    let (rows, columns, numbers) = (table.len(), inputs.len(), fitted.width());
    format!("{file}: {rows} rows, {columns} columns as {numbers} numbers; {target}")
}

fn preparation(own: &Own) -> Preparation {
    let scale = match own.min_max {
        true => Scale::MinMax,
        false if own.standardize => Scale::Standardize,
        false => own.scale,
    };
    let encode = match own.label_encode {
        true => Encode::Label,
        false if own.one_hot => Encode::OneHot,
        false => own.encode,
    };
    Preparation {
        scaling: match scale {
            Scale::Standardize => Scaling::Standardize,
            Scale::MinMax => Scaling::MinMax,
            Scale::None => Scaling::None,
        },
        texts: match encode {
            Encode::OneHot => TextEncoding::OneHot,
            Encode::Label => TextEncoding::Label,
        },
        missing: match own.missing {
            None => data::Missing::Refuse,
            Some(Missing::Drop) => data::Missing::Drop,
            Some(Missing::Mean) => data::Missing::Mean,
            Some(Missing::Median) => data::Missing::Median,
            Some(Missing::MostFrequent) => data::Missing::MostFrequent,
        },
    }
}

fn task_of(loss: Loss) -> Task {
    match loss {
        Loss::BinaryCrossentropy { .. }
        | Loss::CategoricalCrossentropy { .. }
        | Loss::SparseCategoricalCrossentropy { .. }
        | Loss::Hinge
        | Loss::SquaredHinge => Task::Classification,
        _ => Task::Regression,
    }
}

/// Texts are classes, and so are a few whole numbers.
fn looks_like_classes(table: &Table, target: &str) -> Result<bool> {
    Ok(match &table.column(target)?.cells {
        Cells::Numbers(numbers) => {
            let mut seen: Vec<f64> = numbers.iter().copied().filter(|n| !n.is_nan()).collect();
            let whole = seen.iter().all(|n| n.fract() == 0.0);
            seen.sort_unstable_by(f64::total_cmp);
            seen.dedup();
            whole && seen.len() <= 10 && seen.len() * 2 <= numbers.len()
        }
        _ => true,
    })
}

/// Without the rows that cannot be learned from: those without a target, and all with a missing cell if that is asked.
fn complete_rows(
    table: Table,
    target: &str,
    inputs: &[&str],
    missing: data::Missing,
    notes: &mut Vec<String>,
) -> Result<Table> {
    let wanted = table.column(target)?;
    let columns = inputs.iter().map(|name| table.column(name)).collect::<Result<Vec<_>>>()?;
    let no_target: Vec<usize> = (0..table.len()).filter(|&i| wanted.is_missing(i)).collect();
    if let (Some(&first), data::Missing::Refuse) = (no_target.first(), missing) {
        return Err(Error::format(
            table.source(),
            format!(
                "column `{target}` has nothing in {} rows, the first in line {}",
                no_target.len(),
                table.line(first)
            ),
            "fill in what is to be learned, or leave such rows out: --missing drop",
        ));
    }
    let broken = |&i: &usize| missing == data::Missing::Drop && columns.iter().any(|c| c.is_missing(i));
    let keep: Vec<usize> = (0..table.len()).filter(|i| !wanted.is_missing(*i) && !broken(i)).collect();
    if keep.is_empty() {
        return Err(no_rows(table.source()));
    }
    let out = table.len() - keep.len() - no_target.len();
    if !no_target.is_empty() {
        notes.push(format!("{} rows without `{target}` were left out", no_target.len()));
    }
    if out > 0 {
        notes.push(format!("{out} rows with a missing cell were left out"));
    }
    Ok(if keep.len() == table.len() { table } else { table.select(&keep) })
}

/// The three parts as numbers, in the way that the training rows teach.
fn transformed(
    table: &Table,
    inputs: &[&str],
    how: Preparation,
    split: &Split,
    y: &Targets,
    notes: &mut Vec<String>,
) -> Result<(Preprocessing, [Option<Dataset>; 3])> {
    let fitted = Preprocessing::fit(&table.select(&split.train), inputs, how)?;
    let mut part = |order: &[usize]| -> Result<Option<Dataset>> {
        if order.is_empty() {
            return Ok(None);
        }
        let transformed = fitted.transform(&table.select(order))?;
        notes.extend(transformed.notes);
        Ok(Some(Dataset::new(transformed.x, y.subset(order)?)?))
    };
    let parts = [part(&split.train)?, part(&split.validation)?, part(&split.test)?];
    Ok((fitted, parts))
}
