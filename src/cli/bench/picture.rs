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
use handgrad::viz::canvas::{self, Align, Canvas};
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
const WIDTH: i32 = 1280;
const KEY: i32 = 380;
const PANEL: i32 = 600;
const TITLE: i32 = 40;
const LINE: i32 = 16;
/// What is around the axes of a panel.
const LEFT: i32 = 70;
const MARGIN: i32 = 14;
const BOTTOM: i32 = 46;
const TOP: i32 = 30;

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
    let key = (names.len() + 2 * families) as i32 * LINE + 2 * LINE;
    let height = TITLE + (PANEL * floors.len() as i32).max(key);
    let title = format!("handgrad on {processor}: what each op reaches, and what bounds it");
    let mut canvas = Canvas::new(&title, f64::from(WIDTH), f64::from(height))?;
    let room = f64::from(WIDTH - LEFT - 2 * MARGIN);
    canvas.text_in((f64::from(LEFT + MARGIN), f64::from(TITLE / 2)), room, &title, 17.0, INK, Align::Left);
    for (i, floor) in floors.iter().enumerate() {
        let points: Vec<(usize, &Row)> = rows
            .iter()
            .filter(|r| r.threads == floor.threads)
            .filter_map(|r| {
                let name = (r.family, r.op.as_str(), r.shape.as_str());
                Some((names.iter().position(|n| *n == name)? + 1, *r))
            })
            .collect();
        panel(&mut canvas, floor, TITLE + PANEL * i as i32, &rows, &points)?;
    }
    draw_key(&mut canvas, &names);
    Ok(canvas.finish())
}

/// Axes, roofs and points of one number of threads. The axes fit `all`, so that panels can be compared.
fn panel(canvas: &mut Canvas, floor: &Floor, top: i32, all: &[&Row], points: &[(usize, &Row)]) -> Result<()> {
    let intensity = |r: &Row| r.flops / r.bytes;
    let least = |f: &dyn Fn(&Row) -> f64| all.iter().map(|r| f(r)).fold(f64::INFINITY, f64::min);
    let most = |f: &dyn Fn(&Row) -> f64| all.iter().map(|r| f(r)).fold(0.0, f64::max);
    let peak = floor.flops * 1e-9;
    let x = (least(&intensity).min(0.5) / 1.6)..(most(&intensity).max(10.0) * 1.6);
    let y = (least(&Row::gflops) / 2.5).min(peak / 100.0)..(most(&Row::gflops).max(peak) * 2.5);
    let area = canvas::Area {
        left: f64::from(LEFT + MARGIN),
        top: f64::from(top + TOP),
        right: f64::from(WIDTH - KEY - 10),
        bottom: f64::from(top + PANEL - BOTTOM),
    };
    let across = Axis::logarithmic("operations for each byte that must be moved", x.start, x.end);
    let axes = canvas.axes(area, across, Axis::logarithmic("GFLOP/s", y.start, y.end))?;
    let whole = |(x, y): (f64, f64)| (x.round() as i32, y.round() as i32);

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
            signs.push((level.to_string(), whole(axes.at(at, at * bandwidth))));
        }
    }
    let ridge = floor.bytes.iter().map(|b| floor.flops / b).fold(f64::INFINITY, f64::min);
    canvas.line(&[axes.at(ridge.max(x.start), peak), axes.at(x.end, peak)], Look { width: 2.0, ..roof });
    let (_, at_peak) = whole(axes.at(x.end, peak));
    for (name, (px, py)) in signs {
        let half = 4 * name.chars().count() as i32 + 3;
        let sign = Area { left: px - half, top: py - 8, right: px + half, bottom: py + 8 };
        canvas.fill(sign.on_canvas(), PAPER, 1.0);
        canvas.text((f64::from(px), f64::from(py)), &name, 12.0, FAINT, Align::Center);
        taken.push(sign);
    }
    let (right, bottom) = whole(axes.at(x.end, y.start));
    let (left, above) = whole(axes.at(x.start, y.end));
    let at = (f64::from(right - 6), f64::from(at_peak - 9));
    canvas.text(at, "multiply-adds in registers", 12.0, FAINT, Align::Right);
    taken.push(Area { left: right - 180, top: at_peak - 17, right, bottom: at_peak - 1 });
    let at = (f64::from(LEFT + MARGIN), f64::from(top + TOP / 2));
    canvas.text_in(at, area.right - area.left, &floor.to_string(), 14.0, INK, Align::Left);

    let at: Vec<(i32, i32)> = points.iter().map(|(_, r)| whole(axes.at(intensity(r), r.gflops()))).collect();
    let numbers: Vec<String> = points.iter().map(|(number, _)| number.to_string()).collect();
    let bounds = Area { left, top: above, right, bottom };
    let places = places(&numbers, &at, taken, bounds);
    let f = |(x, y): (i32, i32)| (f64::from(x), f64::from(y));
    for (&(px, py), place) in at.iter().zip(&places) {
        let (cx, cy) = place.centre();
        if (cx - px).abs().max((cy - py).abs()) > 13 {
            canvas.line(&[f((px, py)), f((cx, cy))], Look { colour: mix(PAPER, INK, 0.4), ..roof });
        }
    }
    for (&point, (_, row)) in at.iter().zip(points) {
        canvas.mark(f(point), look(row.family), 4.5);
    }
    for (number, place) in numbers.iter().zip(&places) {
        canvas.fill(place.on_canvas(), PAPER, 0.8);
        canvas.text(f(place.centre()), number, 11.5, INK, Align::Center);
    }
    Ok(())
}

/// Which number is which op.
fn draw_key(canvas: &mut Canvas, names: &[(&str, &str, &str)]) {
    let (x, mut y) = (f64::from(WIDTH - KEY + 20), f64::from(TITLE + TOP));
    let line = f64::from(LINE);
    for (family, ..) in FAMILIES {
        if !names.iter().any(|n| n.0 == family) {
            continue;
        }
        canvas.mark((x, y), look(family), 4.5);
        canvas.text((x + 14.0, y), family, 14.0, INK, Align::Left);
        y += line + 2.0;
        for (i, (_, op, shape)) in names.iter().enumerate().filter(|(_, n)| n.0 == family) {
            canvas.text((x + 30.0, y), &(i + 1).to_string(), 11.5, INK, Align::Right);
            canvas.text((x + 40.0, y), &format!("{op} {shape}"), 11.5, INK, Align::Left);
            y += line;
        }
        y += line - 2.0;
    }
}

fn look(family: &str) -> Look {
    let found = FAMILIES.iter().find(|f| f.0 == family);
    let (colour, mark) = found.map_or((INK, Mark::Frame), |&(_, colour, mark)| (colour, mark));
    Look { colour, mark, dash: &[], width: 1.8 }
}

/// A rectangle of pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Area {
    left: i32,
    top: i32,
    right: i32,
    bottom: i32,
}

impl Area {
    fn around((x, y): (i32, i32), width: i32, height: i32) -> Area {
        Area { left: x - width / 2, top: y - height / 2, right: x + width / 2, bottom: y + height / 2 }
    }

    fn on_canvas(&self) -> canvas::Area {
        let [left, top, right, bottom] = [self.left, self.top, self.right, self.bottom].map(f64::from);
        canvas::Area { left, top, right, bottom }
    }

    fn centre(&self) -> (i32, i32) {
        ((self.left + self.right) / 2, (self.top + self.bottom) / 2)
    }

    fn meets(&self, o: &Area) -> bool {
        self.left < o.right && o.left < self.right && self.top < o.bottom && o.top < self.bottom
    }

    fn holds(&self, o: &Area) -> bool {
        self.left <= o.left && self.top <= o.top && self.right >= o.right && self.bottom >= o.bottom
    }
}

/// A place for each point's number: the nearest around it where it covers no point, no other number and nothing of what
/// is `taken`. One that has no place at all lies on its point.
fn places(numbers: &[String], at: &[(i32, i32)], mut taken: Vec<Area>, bounds: Area) -> Vec<Area> {
    taken.extend(at.iter().map(|&point| Area::around(point, 10, 10)));
    let mut found = Vec::new();
    for (number, &(x, y)) in numbers.iter().zip(at) {
        let size = |at| Area::around(at, 8 * number.len() as i32 + 2, 12);
        let around = (0..40).flat_map(|ring| {
            let radius = 12.0 + 6.0 * f64::from(ring);
            (0..16).map(move |turn| {
                let angle = std::f64::consts::TAU * f64::from(turn) / 16.0;
                (x + (radius * angle.cos()).round() as i32, y - (radius * angle.sin()).round() as i32)
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
        let at: Vec<(i32, i32)> = (0..50).map(|i| (300 + i % 7 * 3, 200 + i / 7 * 4)).collect();
        let numbers: Vec<String> = (1..=50).map(|i| i.to_string()).collect();
        let bounds = Area { left: 0, top: 0, right: 600, bottom: 400 };
        let all = places(&numbers, &at, vec![Area::around((320, 150), 80, 20)], bounds);
        for (i, a) in all.iter().enumerate() {
            assert!(bounds.holds(a) && !all[..i].iter().any(|b| b.meets(a)), "{a:?}");
            assert!(!at.iter().any(|&p| Area::around(p, 10, 10).meets(a)), "{a:?} covers a point");
        }
    }
}
