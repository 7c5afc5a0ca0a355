//! The table that says what a model is made of.

use super::{Sequential, compile};
use crate::error::Result;
use crate::shape::Shape;
use comfy_table::{CellAlignment, Table, presets::UTF8_FULL_CONDENSED};

impl Sequential {
    /// A table: each layer's name and kind, output shape with `None` for the batch, parameters; then the totals.
    ///
    /// # Errors
    /// The model is not built.
    ///
    /// ```
    /// # use handgrad::{Sequential, layers::Dense};
    /// let mut model = Sequential::new().with(Dense::new(100)).with(Dense::new(10));
    /// model.build([784])?;
    /// assert!(model.summary()?.contains("Total params: 79,510 (310.59 KB)"));
    /// # Ok::<(), handgrad::Error>(())
    /// ```
    pub fn summary(&mut self) -> Result<String> {
        self.check_built()?;
        let mut table = Table::new();
        table.load_preset(UTF8_FULL_CONDENSED).set_header(["Layer (type)", "Output shape", "Param #"]);
        if let Some(column) = table.column_mut(2) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        let (mut trainable, mut fixed) = (0, 0);
        for node in &mut self.nodes.0 {
            let before = trainable + fixed;
            node.layer.params(&mut |p| {
                *(if p.trainable { &mut trainable } else { &mut fixed }) += p.value.shape().len();
                Ok(())
            })?;
            let name = format!("{} ({})", node.name, node.layer.kind());
            table.add_row([name, keras_shape(node.output), grouped(trainable + fixed - before)]);
        }
        let line = |what: &str, n: usize| format!("{what}: {} ({})\n", grouped(n), bytes(4 * n));
        Ok(format!("Model: \"{}\"\n{table}\n", self.name)
            + &line("Total params", trainable + fixed)
            + &line("Trainable params", trainable)
            + &line("Non-trainable params", fixed)
            + &self.compiled.as_ref().map(compile::Compiled::line).unwrap_or_default()
            + &self.why_not_compiled.as_ref().map_or(String::new(), |why| format!("Not compiled: {why}\n")))
    }
}

fn keras_shape(sample: Shape) -> String {
    format!("({})", sample.per_sample().trim_matches(['[', ']']).replacen('N', "None", 1))
}

/// 79510 → 79,510.
fn grouped(n: usize) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, d) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(d);
    }
    out
}

fn bytes(n: usize) -> String {
    match n {
        0..1024 => format!("{n} B"),
        1024..1_048_576 => format!("{:.2} KB", n as f64 / 1024.0),
        _ => format!("{:.2} MB", n as f64 / 1_048_576.0),
    }
}
