//! `handgrad predict MODEL`: what a trained model makes of new pictures, or of new rows of a table.

use super::own::{MODELS, NOTE, Reading};
use super::{say, show, table};
use clap::Args;
use handgrad::data::{AtomicFile, Colours, Features, Input, Meaning, Output, Picture, Table};
use handgrad::{Device, Error, Result, Sequential, Shape};
use std::path::{Path, PathBuf};

#[derive(Args)]
pub(super) struct Arguments {
    /// A saved model, or the folder that --save made
    model: PathBuf,
    /// PNG or IDX files
    #[arg(value_name = "IMAGE", required_unless_present = "csv")]
    images: Vec<PathBuf>,
    /// Rows of a table with the columns that the model was trained on
    #[arg(long, value_name = "FILE", conflicts_with = "images")]
    csv: Option<PathBuf>,
    /// Write the table with the predictions as further columns
    #[arg(long, value_name = "FILE.csv", requires = "csv")]
    out: Option<PathBuf>,
    #[command(flatten)]
    reading: Reading,
    /// Dark made bright and bright dark: for ink on paper, where the model learned light on dark
    #[arg(long, conflicts_with = "csv")]
    invert: bool,
    /// How many classes to show of each picture
    #[arg(long, value_name = "N", default_value_t = 5)]
    top: usize,
    /// How many pictures of an IDX file, or rows of a table, to show
    #[arg(long, value_name = "N", default_value_t = 10)]
    limit: usize,
    /// auto, cpu, reference or cuda:N
    #[arg(long, value_name = "NAME", default_value = "auto")]
    device: String,
}

/// The model's file: itself, or the better one in a folder of `--save`.
pub(super) fn file(path: &Path) -> Result<PathBuf> {
    if !path.is_dir() {
        return Ok(path.to_path_buf());
    }
    MODELS.iter().map(|name| path.join(name)).find(|file| file.is_file()).ok_or_else(|| {
        let problem = format!("there is neither {} nor {} in it", MODELS[0], MODELS[1]);
        Error::format(path, problem, "give the folder that --save made, or a model's file")
    })
}

/// The model in a file or in a folder of `--save`, and what it knows of its data.
pub(super) fn open(
    path: &Path,
    device: &str,
    threads: Option<usize>,
) -> Result<(Sequential, Option<Meaning>)> {
    let device = match device {
        "auto" => Device::auto(threads)?.0,
        name => Device::from_name(name, threads)?,
    };
    let file = file(path)?;
    let model = handgrad::io::load_on(&file, &device)?;
    let meaning = model.note(NOTE).map(Meaning::from_json).transpose();
    let meaning = meaning.map_err(|e| Error::format(&file, e.to_string(), e.hint().unwrap_or_default()))?;
    Ok((model, meaning))
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    if let Some(out) = &arguments.out {
        AtomicFile::probe(out)?;
    }
    let (mut model, meaning) = open(&arguments.model, &arguments.device, None)?;
    match &arguments.csv {
        Some(csv) => rows(&mut model, meaning, csv, arguments),
        None => pictures(&mut model, meaning, arguments),
    }
}

fn pictures(model: &mut Sequential, meaning: Option<Meaning>, arguments: &Arguments) -> Result<()> {
    if let Some(Meaning { input: Input::Table(_), .. }) = meaning {
        return Err(Error::invalid(
            "the model was trained on a table, and looks at no pictures",
            format!("give it rows: handgrad predict {} --csv FILE", arguments.model.display()),
        ));
    }
    let eye = Eye::of(model)?;
    let output = meaning.map(|m| m.output);
    let names = match &output {
        Some(Output::Classes { names, .. }) => Some(&names[..]),
        _ => None,
    };
    let names = show::class_names(model, names);
    let several = arguments.images.len() > 1;
    for (k, path) in arguments.images.iter().enumerate() {
        let all = read_pictures(path)?;
        let (count, shown) = (all.len(), all.into_iter().take(arguments.limit.max(1)));
        for (i, picture) in shown.enumerate() {
            let original = picture.describe();
            let picture = eye.adapt(picture, arguments.invert)?;
            let outputs = model.predict(&eye.features(&picture)?)?.to_vec();
            if k + i > 0 {
                say("")?;
            }
            let which = if count > 1 { format!(" [{i}]") } else { String::new() };
            let probabilities = show::probabilities(&outputs);
            let best = show::largest(&probabilities);
            let name = names.get(best).cloned().unwrap_or_else(|| best.to_string());
            say(format!("{}{which}: {name}", path.display()))?;
            if original != picture.describe() {
                say(format!("  ({original}; the model looks at {})", picture.describe()))?;
            }
            say(show::picture(&picture, show::colours())?)?;
            say(show::bars(&names, &probabilities, arguments.top).trim_end())?;
        }
        if count > arguments.limit {
            say(format!(
                "\n{} more in {}; --limit {count} shows all",
                count - arguments.limit,
                path.display()
            ))?;
        }
    }
    if several {
        say(format!("\n{} files", arguments.images.len()))?;
    }
    Ok(())
}

/// A PNG file, or the pictures of an IDX file: its first bytes tell.
fn read_pictures(path: &Path) -> Result<Vec<Picture>> {
    use std::io::Read;
    let failed = |source| Error::Io { action: "read", path: path.to_path_buf(), source };
    let mut first = Vec::new();
    std::fs::File::open(path).map_err(failed)?.take(4).read_to_end(&mut first).map_err(failed)?;
    match &first[..] {
        [0, 0, ..] | [0x1f, 0x8b, ..] => Picture::read_idx(path),
        _ => Ok(vec![Picture::read_png(path)?]),
    }
}

/// How a model wants its pictures.
pub(super) struct Eye {
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) colours: Colours,
    sample: Shape,
}

impl Eye {
    /// From the shape of the model's samples: `[height, width]`, `[height, width, channels]`, or a square number of
    /// pixels.
    pub(super) fn of(model: &Sequential) -> Result<Eye> {
        let sample = model.input_shape().unwrap_or(Shape::SCALAR);
        let (height, width, channels) = match sample.dims() {
            [h, w] => (*h, *w, 1),
            [h, w, c] => (*h, *w, *c),
            [n] if n.isqrt().pow(2) == *n => (n.isqrt(), n.isqrt(), 1),
            _ => (0, 0, 0),
        };
        let colours = match channels {
            1 => Colours::Grey,
            3 => Colours::Rgb,
            _ => {
                return Err(Error::data(
                    format!("the model's samples are {sample}, which are no pictures"),
                    "give rows of a table with --csv, or a model whose samples are [height, width, 1 or 3]",
                ));
            }
        };
        Ok(Eye { height, width, colours, sample })
    }

    fn adapt(&self, picture: Picture, invert: bool) -> Result<Picture> {
        let picture = picture.in_colours(self.colours).resized(self.height, self.width)?;
        Ok(if invert { picture.inverted() } else { picture })
    }

    fn features(&self, picture: &Picture) -> Result<Features> {
        let bytes = picture.bytes().to_vec();
        Ok(Features::Bytes { sample: self.sample, bytes, scale: 1.0 / 255.0 })
    }
}

/// The rows of a table as a model's input; the sentence for a model that was not trained on one.
pub(super) fn table_meaning(
    meaning: Option<Meaning>,
    model: &Path,
) -> Result<(handgrad::data::Preprocessing, Output)> {
    match meaning {
        Some(Meaning { input: Input::Table(preprocessing), output }) => Ok((preprocessing, output)),
        Some(_) => Err(Error::format(
            model,
            "the model was trained on pictures, and reads no tables",
            "give it pictures: handgrad predict MODEL IMAGE.png",
        )),
        None => Err(Error::format(
            model,
            "the model does not say which columns it was trained on",
            "train it with `handgrad train --csv FILE --target COLUMN --save DIR`",
        )),
    }
}

fn rows(model: &mut Sequential, meaning: Option<Meaning>, csv: &Path, arguments: &Arguments) -> Result<()> {
    let (preprocessing, output) = table_meaning(meaning, &arguments.model)?;
    let data = preprocessing.read_csv(csv, &arguments.reading.options())?;
    let transformed = preprocessing.transform(&data)?;
    for note in &transformed.notes {
        say(format!("note  {note}"))?;
    }
    let width = model.output_shape().map_or(1, |s| s.len()).max(1);
    let outputs = model.predict(&transformed.x)?.to_vec();
    let (target, header, answers) = answers(&output, &outputs, width);

    let mut answer_of: Vec<Option<usize>> = vec![None; data.len()];
    transformed.rows.iter().enumerate().for_each(|(k, &row)| answer_of[row] = Some(k));
    let shown = data.len().min(arguments.limit);
    let first = [&["line", &target][..], &header.iter().map(String::as_str).collect::<Vec<_>>()].concat();
    let mut view = table(&first[..first.len().min(12)]);
    for (row, &answer) in answer_of.iter().enumerate().take(shown) {
        let mut cells = vec![data.line(row).to_string()];
        match answer {
            Some(k) => cells.extend(answers[k].iter().take(11).cloned()),
            None => cells.push("(a cell is missing)".into()),
        }
        view.add_row(cells);
    }
    say(view)?;
    if shown < data.len() {
        let hint = if arguments.out.is_none() { "; --out FILE.csv writes all" } else { "" };
        say(format!("{} more rows{hint}", data.len() - shown))?;
    }
    let Some(path) = &arguments.out else { return Ok(()) };
    write_rows(path, &data, &target, &header, &answers, &answer_of)?;
    say(format!("Wrote {} rows to {}", data.len(), path.display()))
}

/// The name of the predicted column, those of further columns, and each row's cells for them.
fn answers(output: &Output, outputs: &[f32], width: usize) -> (String, Vec<String>, Vec<Vec<String>>) {
    match output {
        Output::Classes { target, names } => {
            let row = |outputs: &[f32]| {
                let probabilities = show::probabilities(outputs);
                let best = show::largest(&probabilities);
                let name = names.get(best).cloned().unwrap_or_else(|| best.to_string());
                std::iter::once(name).chain(probabilities.iter().map(|p| format!("{p:.4}"))).collect()
            };
            (target.clone(), names.clone(), outputs.chunks_exact(width).map(row).collect())
        }
        Output::Number { target, scale } => {
            let row = |outputs: &[f32]| vec![(scale.undo(f64::from(outputs[0])) as f32).to_string()];
            (target.clone(), Vec::new(), outputs.chunks_exact(width).map(row).collect())
        }
    }
}

/// The table as it was read, with the predictions behind it.
fn write_rows(
    path: &Path,
    data: &Table,
    target: &str,
    header: &[String],
    answers: &[Vec<String>],
    answer_of: &[Option<usize>],
) -> Result<()> {
    let failed =
        |e: String| Error::Io { action: "write", path: path.to_path_buf(), source: std::io::Error::other(e) };
    let mut writer = csv::Writer::from_writer(AtomicFile::create(path)?);
    let names = data.names().into_iter().map(String::from);
    let added = std::iter::once(format!("predicted {target}"))
        .chain(header.iter().map(|name| format!("probability {name}")));
    writer.write_record(names.chain(added)).map_err(|e| failed(e.to_string()))?;
    let nothing = vec![String::new(); 1 + header.len()];
    for (row, &answer) in answer_of.iter().enumerate() {
        let cells = data.columns().iter().map(|column| column.text(row).unwrap_or_default());
        let answer = answer.map_or(&nothing, |k| &answers[k]).iter().cloned();
        writer.write_record(cells.chain(answer)).map_err(|e| failed(e.to_string()))?;
    }
    writer.into_inner().map_err(|e| failed(e.to_string()))?.commit()
}
