//! Axes: which numbers they show, and where on the paper a value is.

use super::canvas::{Area, LABEL};
use super::font;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use std::ops::Range;

/// Values beyond this are as good as infinite: the distance of two of them must be a number.
pub(super) const FAR: f64 = 1e300;

/// One axis: its name, the values at its ends, and the numbers that it shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    pub(super) name: String,
    from: f64,
    to: f64,
    kind: Kind,
    ticks: Vec<f64>,
    /// The distance of two ticks: how many digits a number needs.
    step: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Linear,
    /// Shows whole numbers alone.
    Counts,
    Logarithmic,
}

impl Axis {
    /// From one value to another in equal steps. Ends that are equal, in the wrong order or no numbers are made sense
    /// of: there is always a range.
    pub fn linear(name: impl Into<String>, from: f64, to: f64) -> Axis {
        let (from, to) = widened(from, to);
        Axis { name: name.into(), from, to, kind: Kind::Linear, ticks: Vec::new(), step: 1.0 }
    }

    /// The same, with whole numbers alone: epochs.
    pub fn counts(name: impl Into<String>, from: f64, to: f64) -> Axis {
        Axis { kind: Kind::Counts, ..Axis::linear(name, from, to) }
    }

    /// Powers of ten in equal steps. Ends that have no logarithm become the least and the greatest that make sense.
    pub fn logarithmic(name: impl Into<String>, from: f64, to: f64) -> Axis {
        let from = if from > 0.0 && from.is_finite() { from.clamp(1e-300, 1e299) } else { 1e-3 };
        let to = if to > 1.0001 * from && to.is_finite() { to.min(FAR) } else { from * 10.0 };
        Axis { name: name.into(), from, to, kind: Kind::Logarithmic, ticks: Vec::new(), step: 1.0 }
    }

    /// An axis for all of `values` that are numbers, with a little room at both ends; from 0 if they come near to it.
    /// Without such values it goes from 0 to 1.
    pub fn around(name: impl Into<String>, values: impl IntoIterator<Item = f64>) -> Axis {
        let finite = values.into_iter().filter(|v| v.abs() <= FAR);
        let ends = finite.fold(None, |ends: Option<(f64, f64)>, v| {
            Some(ends.map_or((v, v), |(low, high)| (low.min(v), high.max(v))))
        });
        let (low, high) = ends.map_or((0.0, 1.0), |(low, high)| widened(low, high));
        let room = 0.05 * (high - low);
        let from = if low >= 0.0 && low < 0.2 * high { 0.0 } else { low - room };
        Axis::linear(name, from, high + room)
    }

    /// The values at its ends.
    pub fn ends(&self) -> (f64, f64) {
        (self.from, self.to)
    }

    /// Where `value` is, from 0 at the beginning to 1 at the end.
    pub fn share(&self, value: f64) -> f64 {
        match self.kind {
            Kind::Logarithmic => (value / self.from).ln() / (self.to / self.from).ln(),
            _ => (value - self.from) / (self.to - self.from),
        }
    }

    /// The same with the numbers to show on `length` pixels: as many as stand well apart.
    pub(super) fn ticked(mut self, length: f64, horizontal: bool) -> Axis {
        let fits = |axis: &Axis| {
            let places: Vec<f64> = axis.ticks.iter().map(|t| axis.share(*t) * length).collect();
            let widths: Vec<f64> = axis.labels().iter().map(|l| font::width(l, LABEL)).collect();
            (1..places.len()).all(|i| match horizontal {
                true => places[i] - places[i - 1] >= (widths[i] + widths[i - 1]) / 2.0 + 12.0,
                false => places[i] - places[i - 1] >= 32.0,
            })
        };
        // The finest steps that leave room; at worst there is one number.
        for step in self.steps() {
            self.step = step;
            self.ticks = self.multiples(step);
            if fits(&self) {
                break;
            }
        }
        self
    }

    /// Steps from fine to coarse: 1, 2, 5, 10, ... times a power of ten; of decades for a logarithmic axis.
    fn steps(&self) -> Vec<f64> {
        let span = self.to - self.from;
        let first = (span / 60.0).log10().floor() as i32;
        let all = (first..=first + 4).flat_map(|e| [1.0, 2.0, 5.0].map(|m| scaled(m, e)));
        match self.kind {
            Kind::Logarithmic => (1..=64).map(f64::from).collect(),
            Kind::Counts => all.filter(|s| *s >= 1.0).chain([span.max(1.0).ceil()]).collect(),
            Kind::Linear => all.collect(),
        }
    }

    /// The values that are shown with that step.
    fn multiples(&self, step: f64) -> Vec<f64> {
        if self.kind == Kind::Logarithmic {
            let (first, last) = (self.from.log10().ceil() as i32, self.to.log10().floor() as i32);
            return (first..=last).step_by(step as usize).map(|e| scaled(1.0, e)).collect();
        }
        // The range may end a rounding error before a tick.
        let slack = 1e-9 * (self.to - self.from);
        let (first, last) = (((self.from - slack) / step).ceil(), ((self.to + slack) / step).floor());
        let count = (last - first).clamp(-1.0, 500.0) as i64;
        let mut ticks: Vec<f64> = (0..=count).map(|i| (first + i as f64) * step + 0.0).collect();
        // Epochs begin with 1, whatever the step is.
        if self.kind == Kind::Counts && step > 1.0 && self.from <= 1.0 && self.to >= 1.0 {
            ticks.retain(|t| *t >= 1.0);
            if ticks.first().is_none_or(|t| *t > 1.0) {
                ticks.insert(0, 1.0);
            }
        }
        ticks
    }

    pub(super) fn labels(&self) -> Vec<String> {
        self.ticks.iter().map(|t| self.label(*t)).collect()
    }

    fn label(&self, value: f64) -> String {
        match self.kind {
            Kind::Logarithmic => number(value, value),
            _ => number(value, self.step),
        }
    }
}

/// m · 10ᵉ, as near as a float can be.
fn scaled(m: f64, e: i32) -> f64 {
    if e < 0 { m / 10f64.powi(-e) } else { m * 10f64.powi(e) }
}

/// Ends that are a range: finite, in order, and so far apart that numbers between them differ.
fn widened(from: f64, to: f64) -> (f64, f64) {
    let sane = |v: f64, instead: f64| if v.is_nan() { instead } else { v.clamp(-FAR, FAR) };
    let (from, to) = (sane(from, 0.0), sane(to, 1.0));
    let (from, to) = (from.min(to), from.max(to));
    let size = from.abs().max(to.abs());
    if to - from > 1e-6 * size && to - from > 1e-290 {
        return (from, to);
    }
    let room = if size > 1e-280 { 0.1 * size } else { 1.0 };
    (from - room, to + room)
}

/// A value with as many digits as steps of `step` need; powers of ten for what is very large or very small.
pub(super) fn number(value: f64, step: f64) -> String {
    let digits = |x: f64| -(x.abs().log10() + 1e-9).floor() as i32;
    let plain = || format!("{value:.*}", digits(step).clamp(0, 12) as usize);
    match value.abs() {
        0.0 => "0".into(),
        v if v >= 1e6 || (v < 1e-3 && step < 1e-3) => {
            let mantissa = (digits(step) - digits(value)).clamp(0, 12) as usize;
            powers(value, mantissa)
        }
        _ if step < 1e-6 => powers(value, (digits(step) - digits(value)).clamp(0, 12) as usize),
        _ => plain(),
    }
}

/// 2.5e-4, with so many digits after the point at most.
fn powers(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$e}");
    match text.split_once('e') {
        Some((mantissa, exponent)) if mantissa.contains('.') => {
            format!("{}e{exponent}", mantissa.trim_end_matches('0').trim_end_matches('.'))
        }
        _ => text,
    }
}

/// The same without zeros at the end: 0.5, not 0.50.
pub(super) fn short(value: f64, step: f64) -> String {
    let text = number(value, step);
    match text.contains('.') && !text.contains('e') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_string(),
        false => text,
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (first, last): (i32, i32)) -> i32 {
        (f64::from(first) + self.share(*value) * f64::from(last - first)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() { Vec::new() } else { self.ticks.clone() }
    }

    fn range(&self) -> Range<f64> {
        self.from..self.to
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, value: &f64) -> String {
        self.label(*value)
    }
}

/// Two axes on the paper.
#[derive(Clone, Debug, PartialEq)]
pub struct Axes {
    /// What they enclose.
    pub area: Area,
    pub(super) x: Axis,
    pub(super) y: Axis,
}

impl Axes {
    /// Where on the paper a pair of values is.
    pub fn at(&self, x: f64, y: f64) -> (f64, f64) {
        let a = &self.area;
        (a.left + self.x.share(x) * (a.right - a.left), a.bottom - self.y.share(y) * (a.bottom - a.top))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: Axis, length: f64) -> Vec<String> {
        axis.ticked(length, true).labels()
    }

    #[test]
    fn epochs_are_whole_numbers() {
        let epochs = |n: f64| labels(Axis::counts("epoch", 1.0 - 0.02 * n, n + 0.02 * n), 400.0);
        assert_eq!(labels(Axis::counts("epoch", 0.5, 1.5), 400.0), ["1"]);
        assert_eq!(epochs(5.0), ["1", "2", "3", "4", "5"]);
        let many = epochs(200.0);
        assert!(many.len() >= 4 && many.iter().all(|l| l.parse::<u32>().is_ok()), "{many:?}");
        assert_eq!(many[0], "1");
        assert!(epochs(1e6).len() > 1);
    }

    #[test]
    fn numbers_have_the_digits_that_they_need() {
        assert_eq!(labels(Axis::linear("", 0.0, 1.0), 200.0), ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(
            labels(Axis::logarithmic("", 0.01, 1000.0), 400.0),
            ["0.01", "0.1", "1", "10", "100", "1000"]
        );
        assert_eq!(number(2.5e-4, 5e-5), "2.5e-4");
        assert_eq!(number(3e7, 1e7), "3e7");
        assert_eq!(number(-0.25, 0.05), "-0.25");
    }

    /// Whatever comes, an axis has a range, at least one number and no two that overlap.
    #[test]
    fn every_range_has_numbers() {
        let extremes = [
            0.0,
            -0.0,
            1.0,
            -1.0,
            1e-320,
            1e-300,
            1e300,
            1e308,
            -1e308,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            1e9,
            1e9 + 1.0,
            0.1,
        ];
        for from in extremes {
            for to in extremes {
                for axis in [
                    Axis::linear("", from, to),
                    Axis::counts("", from, to),
                    Axis::logarithmic("", from, to),
                    Axis::around("", [from, to]),
                ] {
                    let (a, b) = axis.ends();
                    assert!(a < b && (b - a).is_finite(), "{from} {to} {axis:?}");
                    let ticked = axis.clone().ticked(300.0, false);
                    assert!(
                        ticked.ticks.len() <= 501 && ticked.share(a).abs() < 1e-9,
                        "{from} {to} {ticked:?}"
                    );
                    assert!(ticked.labels().iter().all(|l| l.len() < 24), "{:?}", ticked.labels());
                }
            }
        }
    }
}
