//! How times are taken.
//!
//! What is to be compared runs in turn, a few milliseconds each, until every one has had its time: whatever slows the
//! machine for a while slows all of them. Each gives the best and the median of its runs. Other programs only ever add
//! time, so the best is what the code takes; the median says what one gets.

use handgrad::Result;
use std::time::{Duration, Instant};

/// One sample lasts so long at least: a clock is read in some 50 ns.
const SAMPLE: f64 = 20e-6;
/// One turn, if samples are short: a thread that slept is awake for most of it.
const TURN: f64 = 2e-3;

/// How long a run takes, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Timing {
    pub(super) best: f64,
    pub(super) median: f64,
    /// Out of how many samples.
    pub(super) samples: usize,
}

impl Timing {
    /// Of `samples`, at least one.
    fn of(mut samples: Vec<f64>) -> Timing {
        samples.sort_by(f64::total_cmp);
        let at = |i: usize| samples.get(i).copied().unwrap_or(f64::NAN);
        Timing { best: at(0), median: at(samples.len() / 2), samples: samples.len() }
    }

    /// Of one of `parts` equal parts of a run.
    pub(super) fn part(self, parts: f64) -> Timing {
        Timing { best: self.best / parts, median: self.median / parts, ..self }
    }
}

/// One racer's samples, and how it is sampled.
struct Lane {
    samples: Vec<f64>,
    /// Runs of a sample.
    runs: usize,
    /// Samples of a turn.
    turn: usize,
}

/// Times `run(0)`, `run(1)` ... `run(racers − 1)` against each other: each for `budget`, and at least once.
///
/// # Errors
/// The first of a run.
pub(super) fn race(
    racers: usize,
    budget: Duration,
    mut run: impl FnMut(usize) -> Result<()>,
) -> Result<Vec<Timing>> {
    let mut time = |racer: usize, runs: usize| -> Result<f64> {
        let start = Instant::now();
        (0..runs).try_for_each(|_| run(racer))?;
        Ok(start.elapsed().as_secs_f64().max(1e-9) / runs as f64)
    };
    let mut lanes = Vec::new();
    for racer in 0..racers {
        let first = time(racer, 1)?; // warms up
        let each = if first < budget.as_secs_f64() / 8.0 { time(racer, 1)? } else { first };
        let runs = (SAMPLE / each).ceil().max(1.0);
        let turn = (TURN / (runs * each)).ceil().max(1.0);
        lanes.push(Lane { samples: Vec::new(), runs: runs as usize, turn: turn as usize });
    }
    let start = Instant::now();
    loop {
        for (racer, lane) in lanes.iter_mut().enumerate() {
            if lane.turn > 3 {
                time(racer, lane.runs)?; // brings its own numbers back into the caches
            }
            for _ in 0..lane.turn {
                lane.samples.push(time(racer, lane.runs)?);
            }
        }
        if start.elapsed() >= budget * racers as u32 {
            return Ok(lanes.into_iter().map(|lane| Timing::of(lane.samples)).collect());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use handgrad::Error;

    #[test]
    fn best_and_median_are_of_the_samples() {
        let timing = Timing::of(vec![5.0, 1.0, 2.0]);
        assert_eq!(timing, Timing { best: 1.0, median: 2.0, samples: 3 });
        assert_eq!(timing.part(2.0), Timing { best: 0.5, median: 1.0, samples: 3 });
    }

    #[test]
    fn every_racer_runs_and_an_error_ends_the_race() {
        let mut counts = [0; 3];
        let timings = race(3, Duration::ZERO, |racer| {
            counts[racer] += 1;
            Ok(())
        });
        let timings = timings.unwrap();
        assert!(counts.iter().all(|&n| n > 1) && timings.iter().all(|t| t.samples > 0 && t.best <= t.median));
        assert!(race(2, Duration::ZERO, |_| Err(Error::invalid("no", ""))).is_err());
    }
}
