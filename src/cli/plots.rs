//! The pictures of a training: `handgrad train PRESET --plots DIR`.

use super::say;
use handgrad::data::{AtomicFile, Dataset};
use handgrad::model::History;
use handgrad::presets::{Parts, Preset, Source};
use handgrad::viz::{self, Confusion, Picture};
use handgrad::{Error, Result, Sequential};
use std::path::{Path, PathBuf};

const FASHION: [&str; 10] = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
];

/// A folder for pictures, all of one format.
pub(super) struct Plots {
    folder: PathBuf,
    ending: &'static str,
}

impl Plots {
    /// Makes the folder, and finds out whether files can be made in it.
    pub(super) fn into(folder: &Path, png: bool) -> Result<Plots> {
        std::fs::create_dir_all(folder).map_err(|source| Error::Io {
            action: "create",
            path: folder.to_path_buf(),
            source,
        })?;
        let plots = Plots { folder: folder.to_path_buf(), ending: if png { "png" } else { "svg" } };
        drop(AtomicFile::create(plots.path("curves"))?);
        Ok(plots)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.{}", self.ending))
    }

    /// Curves always; the boundary of a gate; of images some with what the model makes of them, and the confusion matrix
    /// over the test data; of a convolution its filters and what it sees in the first sample.
    pub(super) fn draw(
        &self,
        preset: &Preset,
        model: &mut Sequential,
        history: &History,
        data: &Parts,
    ) -> Result<()> {
        let mut written = Vec::new();
        let mut save = |name: &str, picture: Picture| {
            written.push(format!("{name}.{}", self.ending));
            picture.save(self.path(name))
        };
        let name = preset.name;
        save("curves", viz::curves(history).title(name).draw()?)?;
        if let Source::Gate(_) = preset.source {
            save("boundary", viz::boundary(model, &data.train).title(name).draw()?)?;
        } else {
            let seen: &Dataset = data.test.as_ref().or(data.validation.as_ref()).unwrap_or(&data.train);
            let classes: Vec<String> = match preset.source {
                Source::FashionMnist => FASHION.map(String::from).to_vec(),
                _ => (0..10).map(|digit| digit.to_string()).collect(),
            };
            let guesses = model.predict(seen.x())?;
            let first: Vec<usize> = (0..seen.len().min(20)).collect();
            let samples = viz::samples(seen).indices(&first).predictions(&guesses).classes(&classes);
            save("samples", samples.title(name).draw()?)?;
            save("confusion", Confusion::of(seen, &guesses)?.classes(&classes).title(name).draw()?)?;
            let convolutions: Vec<String> =
                model.layer_names().iter().filter(|l| l.starts_with("conv")).map(|l| l.to_string()).collect();
            for layer in &convolutions {
                save(&format!("filters_{layer}"), viz::filters(model, layer).draw()?)?;
                let maps = viz::feature_maps(model, layer, seen.x(), 0).draw()?;
                save(&format!("feature_maps_{layer}"), maps)?;
            }
            if convolutions.is_empty() {
                // The weights of a dense layer right above the image are images too.
                let dense =
                    model.layer_names().iter().find(|l| l.starts_with("dense")).map(|l| l.to_string());
                if let Some(picture) = dense.and_then(|layer| viz::filters(model, &layer).draw().ok()) {
                    save("filters", picture)?;
                }
            }
        }
        say(format!("Pictures in {}: {}.", self.folder.display(), written.join(", ")))
    }
}
