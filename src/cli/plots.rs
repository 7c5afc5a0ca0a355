//! The pictures of a training: `handgrad train PRESET --plots DIR`.

use super::train::Arguments;
use super::{say, show};
use handgrad::data::{AtomicFile, Dataset};
use handgrad::model::History;
use handgrad::presets::{Parts, Preset};
use handgrad::viz::{self, Confusion, Picture};
use handgrad::{Error, Result, Sequential};
use std::path::{Path, PathBuf};

/// What a training was about.
#[derive(Clone, Copy)]
pub(super) enum About<'a> {
    /// Two inputs, one output.
    Gate,
    /// Classes with these names.
    Classes(&'a [String]),
    /// Classes of images.
    Images(&'a [String]),
    /// One number or more.
    Numbers,
}

/// A folder for pictures, all of one format.
pub(super) struct Plots {
    folder: PathBuf,
    ending: &'static str,
}

impl Plots {
    /// The folder of `--plots`, if one is given.
    pub(super) fn wanted(arguments: &Arguments) -> Result<Option<Plots>> {
        let png = arguments.plots_format == "png";
        arguments.plots.as_deref().map(|folder| Plots::into(folder, png)).transpose()
    }

    /// Makes the folder, and finds out whether files can be made in it.
    fn into(folder: &Path, png: bool) -> Result<Plots> {
        std::fs::create_dir_all(folder).map_err(|source| Error::Io {
            action: "create",
            path: folder.to_path_buf(),
            source,
        })?;
        let plots = Plots { folder: folder.to_path_buf(), ending: if png { "png" } else { "svg" } };
        AtomicFile::probe(plots.path("curves"))?;
        Ok(plots)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.{}", self.ending))
    }

    /// The pictures of a preset's training.
    pub(super) fn of_preset(
        &self,
        preset: &Preset,
        model: &mut Sequential,
        history: &History,
        data: &Parts,
    ) -> Result<()> {
        let seen: &Dataset = data.test.as_ref().or(data.validation.as_ref()).unwrap_or(&data.train);
        let collection = preset.source.collection();
        let classes: Vec<String> =
            collection.iter().flat_map(|c| c.classes).map(|class| class.to_string()).collect();
        let about = if collection.is_some() { About::Images(&classes) } else { About::Gate };
        self.draw(preset.name, model, history, seen, about)
    }

    /// Curves always; the boundary of a gate; of classes the confusion matrix over the samples in `seen`; of images some
    /// with what the model makes of them, and of a convolution its filters and what it sees in the first.
    pub(super) fn draw(
        &self,
        name: &str,
        model: &mut Sequential,
        history: &History,
        seen: &Dataset,
        about: About,
    ) -> Result<()> {
        let mut written = Vec::new();
        let mut save = |name: &str, picture: Picture| {
            written.push(format!("{name}.{}", self.ending));
            picture.save(self.path(name))
        };
        save("curves", viz::curves(history).title(name).draw()?)?;
        match about {
            About::Numbers => {}
            About::Gate => save("boundary", viz::boundary(model, seen).title(name).draw()?)?,
            About::Classes(classes) | About::Images(classes) => {
                let guesses = show::guesses(model, seen.x())?;
                save("confusion", Confusion::of(seen, &guesses)?.classes(classes).title(name).draw()?)?;
                if let About::Images(_) = about {
                    let first: Vec<usize> = (0..seen.len().min(20)).collect();
                    let samples = viz::samples(seen).indices(&first).predictions(&guesses).classes(classes);
                    save("samples", samples.title(name).draw()?)?;
                    self.layers(model, seen, &mut save)?;
                }
            }
        }
        say(format!("Pictures in {}: {}.", self.folder.display(), written.join(", ")))
    }

    /// What the layers of a model of images have learned.
    fn layers(
        &self,
        model: &mut Sequential,
        seen: &Dataset,
        save: &mut impl FnMut(&str, Picture) -> Result<()>,
    ) -> Result<()> {
        let named = |model: &Sequential, start: &str| -> Vec<String> {
            model.layer_names().iter().filter(|l| l.starts_with(start)).map(|l| l.to_string()).collect()
        };
        let convolutions = named(model, "conv");
        for layer in &convolutions {
            save(&format!("filters_{layer}"), viz::filters(model, layer).draw()?)?;
            let maps = viz::feature_maps(model, layer, seen.x(), 0).draw()?;
            save(&format!("feature_maps_{layer}"), maps)?;
        }
        // The weights of a dense layer right above the image are images too.
        if convolutions.is_empty()
            && let Some(layer) = named(model, "dense").first()
            && let Ok(picture) = viz::filters(model, layer).draw()
        {
            save("filters", picture)?;
        }
        Ok(())
    }
}
