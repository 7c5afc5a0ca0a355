//! The roofline as a picture: how many operations an op does for each byte, against how many it does a second.
//!
//! Nothing can be above the roofs: to the left memory and caches bound an op, to the right arithmetic. A panel for each
//! number of threads. A point is an op, and carries a number that the key at the right explains.
//!
//! Source: Williams, Waterman, Patterson 2009, "Roofline: An Insightful Visual Performance Model". Colours and
//! marks are those of all pictures: who sees no red or no green can still tell them apart.

use super::report::Row;
use handgrad::Result;
use handgrad::cpu::{Floor, Level};
use handgrad::viz::canvas::{Align, Area, Canvas};
use handgrad::viz::palette::{COLOURS, Colour, FAINT, INK, Look, Mark, PAPER, mix};
use handgrad::viz::{Axis, Picture};

/// What a family looks like.
const FAMILIES: [(&str, Colour, Mark); 7] = [
    ("gemm", COLOURS[0], Mark::Disc),
    ("ladder", COLOURS[4], Mark::Ring),
    ("conv", COLOURS[1], Mark::Triangle),
    ("lstm", COLOURS[2], Mark::Square),
    ("softmax", COLOURS[5], Mark::Diamond),
    ("optimizer", COLOURS[3], Mark::Cross),
    ("step", COLOURS[6], Mark::Frame),
];

/// Extents in pixels.
const WIDTH: f64 = 1280.0;
const KEY: f64 = 380.0;
const PANEL: f64 = 600.0;
const TITLE: f64 = 40.0;
const LINE: f64 = 16.0;
/// What is around the axes of a panel.
const LEFT: f64 = 70.0;
const MARGIN: f64 = 14.0;
const BOTTOM: f64 = 46.0;
const TOP: f64 = 30.0;

/// The picture. `floors` has one for each panel.
pub(super) fn draw(processor: &str, floors: &[Floor], rows: &[Row]) -> Result<Picture> {
    let rows: Vec<&Row> = rows.iter().filter(|r| r.flops > 0.0 && r.bytes > 0.0).collect();
    let mut names: Vec<(&str, &str, &str)> = Vec::new();
    for row in &rows {
        let name = (row.family, row.op.as_str(), row.shape.as_str());
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let families = FAMILIES.iter().filter(|f| names.iter().any(|n| n.0 == f.0)).count();
    let key = (names.len() + 2 * families + 2) as f64 * LINE;
    let height = TITLE + (PANEL * floors.len() as f64).max(key);
    let title = format!("handgrad on {processor}: what each op reaches, and what bounds it");
    let mut canvas = Canvas::new(&title, WIDTH, height)?;
    let room = WIDTH - LEFT - 2.0 * MARGIN;
    canvas.text_in((LEFT + MARGIN, TITLE / 2.0), room, &title, 17.0, INK, Align::Left);
    for (i, floor) in floors.iter().enumerate() {
        let points: Vec<(usize, &Row)> = rows
            .iter()
            .filter(|r| r.threads == floor.threads)
            .filter_map(|r| {
                let name = (r.family, r.op.as_str(), r.shape.as_str());
                Some((names.iter().position(|n| *n == name)? + 1, *r))
            })
            .collect();
        panel(&mut canvas, floor, TITLE + PANEL * i as f64, &rows, &points)?;
    }
    draw_key(&mut canvas, &names);
    Ok(canvas.finish())
}

/// Axes, roofs and points of one number of threads. The axes fit `all`, so that panels can be compared.
fn panel(canvas: &mut Canvas, floor: &Floor, top: f64, all: &[&Row], points: &[(usize, &Row)]) -> Result<()> {
    let intensity = |r: &Row| r.flops / r.bytes;
    let least = |f: &dyn Fn(&Row) -> f64| all.iter().map(|r| f(r)).fold(f64::INFINITY, f64::min);
    let most = |f: &dyn Fn(&Row) -> f64| all.iter().map(|r| f(r)).fold(0.0, f64::max);
    let peak = floor.flops * 1e-9;
    let x = (least(&intensity).min(0.5) / 1.6)..(most(&intensity).max(10.0) * 1.6);
    let y = (least(&Row::gflops) / 2.5).min(peak / 100.0)..(most(&Row::gflops).max(peak) * 2.5);
    let area =
        Area { left: LEFT + MARGIN, top: top + TOP, right: WIDTH - KEY - 10.0, bottom: top + PANEL - BOTTOM };
    let across = Axis::logarithmic("operations for each byte that must be moved", x.start, x.end);
    let axes = canvas.axes(area, across, Axis::logarithmic("GFLOP/s", y.start, y.end))?;

    // Roofs: y = bandwidth · x up to the peak, then the peak.
    let roof = Look { colour: FAINT, mark: Mark::Disc, dash: &[], width: 1.0 };
    let mut taken = Vec::new();
    let mut signs = Vec::new();
    for level in Level::ALL {
        let bandwidth = floor.bandwidth(level) * 1e-9;
        let (from, to) = (x.start.max(y.start / bandwidth), (peak / bandwidth).min(x.end));
        if from < to {
            canvas.line(&[axes.at(from, from * bandwidth), axes.at(to, to * bandwidth)], roof);
            // The name on the line, each further up than the one before: the lines may lie close together.
            let at = from * (to / from).powf([0.7, 0.5, 0.3, 0.1][level as usize]);
            signs.push((level.to_string(), axes.at(at, at * bandwidth)));
        }
    }
    let ridge = floor.bytes.iter().map(|b| floor.flops / b).fold(f64::INFINITY, f64::min);
    canvas.line(&[axes.at(ridge.max(x.start), peak), axes.at(x.end, peak)], Look { width: 2.0, ..roof });
    let (_, at_peak) = axes.at(x.end, peak);
    for (name, at) in signs {
        let sign = Area::around(at, 8.0 * name.chars().count() as f64 + 6.0, 16.0);
        canvas.fill(sign, PAPER, 1.0);
        canvas.text(at, &name, 12.0, FAINT, Align::Center);
        taken.push(sign);
    }
    let at = (area.right - 6.0, at_peak - 9.0);
    canvas.text(at, "multiply-adds in registers", 12.0, FAINT, Align::Right);
    taken.push(Area::sized((area.right - 180.0, at_peak - 17.0), 180.0, 16.0));
    let at = (area.left, top + TOP / 2.0);
    canvas.text_in(at, area.right - area.left, &floor.to_string(), 14.0, INK, Align::Left);

    let at: Vec<(f64, f64)> = points.iter().map(|(_, r)| axes.at(intensity(r), r.gflops())).collect();
    let numbers: Vec<String> = points.iter().map(|(number, _)| number.to_string()).collect();
    let places = places(&numbers, &at, taken, area);
    for (&(px, py), place) in at.iter().zip(&places) {
        let (cx, cy) = place.centre();
        if (cx - px).abs().max((cy - py).abs()) > 13.0 {
            canvas.line(&[(px, py), (cx, cy)], Look { colour: mix(PAPER, INK, 0.4), ..roof });
        }
    }
    for (&point, (_, row)) in at.iter().zip(points) {
        canvas.mark(point, look(row.family), 4.5);
    }
    for (number, place) in numbers.iter().zip(&places) {
        canvas.fill(*place, PAPER, 0.8);
        canvas.text(place.centre(), number, 11.5, INK, Align::Center);
    }
    Ok(())
}

/// Which number is which op.
fn draw_key(canvas: &mut Canvas, names: &[(&str, &str, &str)]) {
    let (x, mut y) = (WIDTH - KEY + 20.0, TITLE + TOP);
    for (family, ..) in FAMILIES {
        if !names.iter().any(|n| n.0 == family) {
            continue;
        }
        canvas.mark((x, y), look(family), 4.5);
        canvas.text((x + 14.0, y), family, 14.0, INK, Align::Left);
        y += LINE + 2.0;
        for (i, (_, op, shape)) in names.iter().enumerate().filter(|(_, n)| n.0 == family) {
            canvas.text((x + 30.0, y), &(i + 1).to_string(), 11.5, INK, Align::Right);
            canvas.text((x + 40.0, y), &format!("{op} {shape}"), 11.5, INK, Align::Left);
            y += LINE;
        }
        y += LINE - 2.0;
    }
}

fn look(family: &str) -> Look {
    let found = FAMILIES.iter().find(|f| f.0 == family);
    let (colour, mark) = found.map_or((INK, Mark::Frame), |&(_, colour, mark)| (colour, mark));
    Look { colour, mark, dash: &[], width: 1.8 }
}

/// A place for each point's number: the nearest around it where it covers no point, no other number and nothing of what
/// is `taken`. One that has no place at all lies on its point.
fn places(numbers: &[String], at: &[(f64, f64)], mut taken: Vec<Area>, bounds: Area) -> Vec<Area> {
    taken.extend(at.iter().map(|&point| Area::around(point, 10.0, 10.0)));
    let mut found = Vec::new();
    for (number, &(x, y)) in numbers.iter().zip(at) {
        let size = |at| Area::around(at, 8.0 * number.len() as f64 + 2.0, 12.0);
        let around = (0..40).flat_map(|ring| {
            let radius = 12.0 + 6.0 * f64::from(ring);
            (0..16).map(move |turn| {
                let angle = std::f64::consts::TAU * f64::from(turn) / 16.0;
                (x + radius * angle.cos(), y - radius * angle.sin())
            })
        });
        let free = around.map(size).find(|a| bounds.holds(a) && !taken.iter().any(|t| t.meets(a)));
        let place = free.unwrap_or_else(|| size((x, y)));
        taken.push(place);
        found.push(place);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fifty points on a heap: every number has its place, and none covers another.
    #[test]
    fn numbers_do_not_overlap() {
        let at: Vec<(f64, f64)> =
            (0..50).map(|i| (f64::from(300 + i % 7 * 3), f64::from(200 + i / 7 * 4))).collect();
        let numbers: Vec<String> = (1..=50).map(|i| i.to_string()).collect();
        let bounds = Area::sized((0.0, 0.0), 600.0, 400.0);
        let all = places(&numbers, &at, vec![Area::around((320.0, 150.0), 80.0, 20.0)], bounds);
        for (i, a) in all.iter().enumerate() {
            assert!(bounds.holds(a) && !all[..i].iter().any(|b| b.meets(a)), "{a:?}");
            assert!(!at.iter().any(|&p| Area::around(p, 10.0, 10.0).meets(a)), "{a:?} covers a point");
        }
    }
}
