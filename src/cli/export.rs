//! `handgrad export`: a trained model in the format of another program.

use super::{predict, say};
use clap::{Args, ValueEnum};
use handgrad::{Error, Result, io};
use std::path::PathBuf;

#[derive(Args)]
pub(super) struct Arguments {
    /// The file of the model, .safetensors, .keras or .h5; or the folder that --save made
    model: PathBuf,
    /// The format to write
    #[arg(long, value_name = "FORMAT")]
    to: Format,
    /// Where to write it [default: the name of the file or folder with the format's ending, in the current folder]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Format {
    /// For onnxruntime and its like: predictions only
    Onnx,
    /// For Keras 3: the model and its weights
    Keras,
    /// For numpy: the weights alone
    Npz,
    /// For this program: the model and its weights
    Safetensors,
}

impl Format {
    fn ending(self) -> &'static str {
        match self {
            Format::Onnx => "onnx",
            Format::Keras => "keras",
            Format::Npz => "npz",
            Format::Safetensors => "safetensors",
        }
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let ending = arguments.to.ending();
    let model = predict::file(&arguments.model)?;
    let out = match (&arguments.out, arguments.model.file_stem()) {
        (Some(out), _) => out.clone(),
        (None, stem) => {
            let mut name = stem.unwrap_or("model".as_ref()).to_os_string();
            name.push(format!(".{ending}"));
            name.into()
        }
    };
    // The library goes by the end of the name, and so do those who read the file.
    if out.extension().is_none_or(|e| !e.eq_ignore_ascii_case(ending)) {
        return Err(Error::invalid(
            format!("{} does not end in .{ending}", out.display()),
            format!("name it {}", out.with_extension(ending).display()),
        ));
    }
    let same = std::fs::canonicalize(&out).ok().zip(std::fs::canonicalize(&model).ok());
    if same.is_some_and(|(out, model)| out == model) {
        return Err(Error::invalid(
            format!("{} would be written over itself", out.display()),
            "give another file with --out",
        ));
    }
    let mut model = io::load(&model)?;
    match arguments.to {
        Format::Onnx => io::onnx::save(&mut model, &out)?,
        Format::Npz => model.save_weights(&out)?,
        Format::Keras | Format::Safetensors => model.save(&out)?,
    }
    let what = match arguments.to {
        Format::Npz => "the weights",
        _ => "the model",
    };
    say(format!("Wrote {what}, {} parameters, to {}", model.parameter_count()?, out.display()))
}
