//! The progress line: `1500/1500 [====] 3s 1ms/step - loss: 0.4785 - accuracy: 0.8385`.

use super::{Callback, Flow, Running};
use crate::error::Result;
use crate::model::{Epoch, Sequential};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::Write;
use std::ops::Range;
use std::time::{Duration, Instant};

/// At most this often the line is redrawn, and the figures are read from the device.
const REDRAW: Duration = Duration::from_millis(50);

/// Shows how training goes on standard output: verbose 1 redraws a line with the time left while an epoch runs
/// (on a terminal), verbose 2 prints one line for each epoch. `fit` adds it by itself.
pub struct Progress {
    verbose: u8,
    epochs: usize,
    bar: ProgressBar,
    batches: usize,
    drawn: Option<Instant>,
}

impl Progress {
    /// For `verbose` 1 or 2; 0 shows nothing.
    pub fn new(verbose: u8) -> Progress {
        Progress { verbose, epochs: 0, bar: ProgressBar::hidden(), batches: 0, drawn: None }
    }

    /// Takes the unfinished line away, so that others can print.
    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

impl Callback for Progress {
    fn on_train_begin(&mut self, _model: &mut Sequential, epochs: Range<usize>) -> Result<()> {
        self.epochs = epochs.end;
        Ok(())
    }

    fn on_batch_end(&mut self, running: &Running) -> Result<Flow> {
        self.batches = running.batches;
        if self.verbose != 1 {
            return Ok(Flow::Continue);
        }
        if running.batch == 1 {
            self.bar = ProgressBar::with_draw_target(
                Some(running.batches as u64),
                ProgressDrawTarget::stdout_with_hz(20),
            );
            let style = ProgressStyle::with_template("{prefix}{pos}/{len} [{bar:24}] {eta} left - {msg}");
            self.bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=>."));
            self.bar.set_prefix(format!("Epoch {}/{}  ", running.epoch + 1, self.epochs));
        }
        if !self.bar.is_hidden() && self.drawn.is_none_or(|t| t.elapsed() >= REDRAW) {
            self.bar.set_message(running.scores()?.line());
            self.bar.set_position(running.batch as u64);
            self.drawn = Some(Instant::now());
        }
        Ok(Flow::Continue)
    }

    fn on_epoch_end(&mut self, _model: &mut Sequential, epoch: usize, record: &mut Epoch) -> Result<Flow> {
        self.clear();
        let (n, seconds) = (self.batches, record.seconds);
        let bar = if self.verbose == 1 { format!("[{}] ", "=".repeat(24)) } else { String::new() };
        let line = format!(
            "Epoch {}/{}  {n}/{n} {bar}{} {}/step - {}",
            epoch + 1,
            self.epochs,
            human(seconds),
            human(seconds / n.max(1) as f64),
            record.scores.line(),
        );
        if self.verbose > 0 {
            // A reader that went away is no reason to stop training.
            let _ = writeln!(std::io::stdout(), "{line}");
        }
        Ok(Flow::Continue)
    }
}

/// A duration as progress lines show it: 350us, 12ms, 3s, 2m05s.
fn human(seconds: f64) -> String {
    match seconds {
        s if s < 1e-3 => format!("{:.0}us", s * 1e6),
        s if s < 1.0 => format!("{:.0}ms", s * 1e3),
        s if s < 60.0 => format!("{s:.0}s"),
        s => format!("{}m{:02}s", s as u64 / 60, s as u64 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::human;

    #[test]
    fn durations_read_well() {
        let shown = [2.5e-4, 0.0123, 3.2, 125.0].map(human);
        assert_eq!(shown, ["250us", "12ms", "3s", "2m05s"]);
    }
}
