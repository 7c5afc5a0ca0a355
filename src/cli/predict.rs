//! `handgrad predict MODEL`: what a trained model makes of new pictures, or of new rows of a table.

use super::own::{MODELS, NOTE, OF_READING, Reading};
use super::show::{self, Figure, Verdict};
use super::{draw, say, table};
use clap::Args;
use handgrad::data::{AtomicFile, Colours, CsvFile, Features, Input, Meaning, Output, Picture};
use handgrad::{Device, Error, Result, Sequential, Shape};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

#[derive(Args)]
pub(super) struct Arguments {
    /// A saved model, or the folder that --save made
    model: PathBuf,
    /// PNG or IDX files
    #[arg(
        value_name = "IMAGE",
        required_unless_present = "csv",
        conflicts_with_all = OF_READING.iter().chain(&["out"])
    )]
    images: Vec<PathBuf>,
    /// Rows of a table with the columns that the model was trained on
    #[arg(long, value_name = "FILE", conflicts_with = "images")]
    csv: Option<PathBuf>,
    /// Write the table as it stands, with the predictions as further columns
    #[arg(long, value_name = "FILE.csv", requires = "csv")]
    out: Option<PathBuf>,
    #[command(flatten)]
    reading: Reading,
    /// Dark made bright and bright dark: for ink on paper, where the model learned light on dark
    #[arg(long, conflicts_with = "csv")]
    invert: bool,
    /// How many classes to show of each picture
    #[arg(long, value_name = "N", default_value_t = 5, conflicts_with = "csv")]
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
    let device = Device::from_name(device, threads)?;
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
    let (names, figure) = (show::class_names(model, names), Figure::of(model));
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
            let Verdict { figures, class } = figure.read(&outputs);
            let name = names.get(class).cloned().unwrap_or_else(|| class.to_string());
            say(format!("{}{which}: {name}", path.display()))?;
            if original != picture.describe() {
                say(format!("  ({original}; the model looks at {})", picture.describe()))?;
            }
            draw(show::picture(&picture, show::colours())?)?;
            say(show::bars(&names, &figures, figure, arguments.top).trim_end())?;
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
    explain(figure)
}

/// Says what the numbers are, where they are no probabilities.
fn explain(figure: Figure) -> Result<()> {
    figure.explained().map_or(Ok(()), |what| say(format!("Numbers are {what}.")))
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
        Picture::features(std::slice::from_ref(picture))?.reshape(self.sample)
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
    let file = CsvFile::read(csv)?;
    let data = preprocessing.table(&file, &arguments.reading.options())?;
    let transformed = preprocessing.transform(&data)?;
    for note in &transformed.notes {
        say(format!("note  {note}"))?;
    }
    let width = model.output_shape().map_or(1, |s| s.len()).max(1);
    let outputs = model.predict(&transformed.x)?.to_vec();
    let figure = Figure::of(model);
    let answers = Answers::new(&output, figure, &outputs, width);

    let mut answer_of: Vec<Option<usize>> = vec![None; data.len()];
    transformed.rows.iter().enumerate().for_each(|(k, &row)| answer_of[row] = Some(k));
    let shown = data.len().min(arguments.limit);
    let names = answers.names.iter().map(String::as_str);
    let first: Vec<&str> = ["line", answers.target].into_iter().chain(names).take(12).collect();
    let mut view = table(&first);
    for (row, &answer) in answer_of.iter().enumerate().take(shown) {
        let mut cells = vec![data.line(row).to_string()];
        match answer {
            Some(k) => cells.extend(answers.cells[k].iter().take(11).cloned()),
            None => cells.push("(a cell is missing)".into()),
        }
        view.add_row(cells);
    }
    say(view)?;
    if let Output::Classes { .. } = output {
        explain(figure)?;
    }
    if shown < data.len() {
        let hint = if arguments.out.is_none() { "; --out FILE.csv writes all" } else { "" };
        say(format!("{} more rows{hint}", data.len() - shown))?;
    }
    let Some(path) = &arguments.out else { return Ok(()) };
    let failed = |source| Error::Io { action: "write", path: path.to_path_buf(), source };
    let names = answers.columns(figure, &data.names());
    let mut out = AtomicFile::create(path)?;
    let cells = |record: usize| match record.checked_sub(1) {
        None => names.clone(),
        Some(row) => match answer_of.get(row).copied().flatten() {
            Some(k) => answers.spelled(k, |number| data.spelled(number)),
            None => vec![String::new(); names.len()],
        },
    };
    file.write_with(arguments.reading.delimiter, cells, BufWriter::new(&mut out)).map_err(failed)?;
    out.commit()?;
    say(format!("Wrote {} rows to {}", data.len(), path.display()))
}

/// What the model makes of each row.
struct Answers<'a> {
    /// The column that it was trained on.
    target: &'a str,
    /// The classes whose figures follow the answer.
    names: &'a [String],
    /// For each row the answer, then the figures.
    cells: Vec<Vec<String>>,
}

impl Answers<'_> {
    fn new<'a>(output: &'a Output, figure: Figure, outputs: &[f32], width: usize) -> Answers<'a> {
        let rows = outputs.chunks_exact(width);
        match output {
            Output::Classes { target, names } => {
                let row = |outputs: &[f32]| {
                    let Verdict { figures, class } = figure.read(outputs);
                    let name = names.get(class).cloned().unwrap_or_else(|| class.to_string());
                    std::iter::once(name).chain(figures.iter().map(|x| format!("{x:.4}"))).collect()
                };
                Answers { target, names, cells: rows.map(row).collect() }
            }
            Output::Number { target, scale } => {
                let row = |outputs: &[f32]| vec![(scale.undo(f64::from(outputs[0])) as f32).to_string()];
                Answers { target, names: &[], cells: rows.map(row).collect() }
            }
        }
    }

    /// The cells of an answer, its numbers as `spell` has them. The name of a class is what it is.
    fn spelled(&self, answer: usize, spell: impl Fn(&str) -> String) -> Vec<String> {
        let cell = |(i, cell): (usize, &String)| match i == 0 && !self.names.is_empty() {
            true => cell.clone(),
            false => spell(cell),
        };
        self.cells[answer].iter().enumerate().map(cell).collect()
    }

    /// The names of the columns in a file that has `known` already.
    fn columns(&self, figure: Figure, known: &[&str]) -> Vec<String> {
        let figures = self.names.iter().map(|name| format!("{} {name}", figure.name()));
        let all = std::iter::once(format!("predicted {}", self.target)).chain(figures);
        let free = |name: String| match known.contains(&name.as_str()) {
            false => name,
            true => {
                let numbered = (2..).map(|n| format!("{name} {n}"));
                numbered.into_iter().find(|name| !known.contains(&name.as_str())).unwrap_or(name)
            }
        };
        all.map(free).collect()
    }
}
