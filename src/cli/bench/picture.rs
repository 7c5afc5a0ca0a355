//! The roofline as a picture: how many operations an op does for each byte, against how many it does a second.
//!
//! Nothing can be above the roofs: to the left memory and caches bound an op, to the right arithmetic. A panel for each
//! number of threads. A point is an op, and carries a number that the key at the right explains.
//!
//! Source: Williams, Waterman, Patterson 2009, "Roofline: An Insightful Visual Performance Model". Colours: Okabe and
//! Ito 2008, "Color Universal Design": who sees no red or no green can still tell them apart; shapes say the same again.

use super::report::Row;
use handgrad::cpu::{Floor, Level};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// What a family looks like.
const FAMILIES: [(&str, RGBColor, Mark); 7] = [
    ("gemm", RGBColor(0, 114, 178), Mark::Disc),
    ("ladder", RGBColor(86, 180, 233), Mark::Ring),
    ("conv", RGBColor(213, 94, 0), Mark::Triangle),
    ("lstm", RGBColor(0, 158, 115), Mark::Square),
    ("softmax", RGBColor(204, 121, 167), Mark::Diamond),
    ("optimizer", RGBColor(230, 159, 0), Mark::Cross),
    ("step", RGBColor(0, 0, 0), Mark::Frame),
];

#[derive(Clone, Copy)]
enum Mark {
    Disc,
    Ring,
    Triangle,
    Square,
    Diamond,
    Cross,
    Frame,
}

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

type Outcome<T> = Result<T, String>;
type Root<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// The library's errors, which are of many types and cannot happen in a string.
fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// The picture as SVG. `floors` has one for each panel.
pub(super) fn draw(processor: &str, floors: &[Floor], rows: &[Row]) -> Outcome<String> {
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
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (WIDTH as u32, height as u32)).into_drawing_area();
        root.fill(&WHITE).map_err(text)?;
        let title = format!("handgrad on {processor}: what each op reaches, and what bounds it");
        write(&root, &title, (LEFT + MARGIN, TITLE / 2), 20, &BLACK, HPos::Left)?;
        for (i, floor) in floors.iter().enumerate() {
            let points: Vec<(usize, &Row)> = rows
                .iter()
                .filter(|r| r.threads == floor.threads)
                .filter_map(|r| {
                    let name = (r.family, r.op.as_str(), r.shape.as_str());
                    Some((names.iter().position(|n| *n == name)? + 1, *r))
                })
                .collect();
            panel(&root, floor, TITLE + PANEL * i as i32, &rows, &points)?;
        }
        draw_key(&root, &names)?;
        root.present().map_err(text)?;
    }
    Ok(svg)
}

/// Axes, roofs and points of one number of threads. The axes fit `all`, so that panels can be compared.
fn panel(root: &Root, floor: &Floor, top: i32, all: &[&Row], points: &[(usize, &Row)]) -> Outcome<()> {
    let intensity = |r: &Row| r.flops / r.bytes;
    let least = |f: &dyn Fn(&Row) -> f64| all.iter().map(|r| f(r)).fold(f64::INFINITY, f64::min);
    let most = |f: &dyn Fn(&Row) -> f64| all.iter().map(|r| f(r)).fold(0.0, f64::max);
    let peak = floor.flops * 1e-9;
    let x = (least(&intensity).min(0.5) / 1.6)..(most(&intensity).max(10.0) * 1.6);
    let y = (least(&Row::gflops) / 2.5).min(peak / 100.0)..(most(&Row::gflops).max(peak) * 2.5);
    let area = root.clone().shrink((0, top as u32), ((WIDTH - KEY) as u32, PANEL as u32));
    let mut chart = ChartBuilder::on(&area)
        .margin_top(TOP)
        .margin_left(MARGIN)
        .margin_right(10)
        .x_label_area_size(BOTTOM)
        .y_label_area_size(LEFT)
        .build_cartesian_2d(x.clone().log_scale(), y.clone().log_scale())
        .map_err(text)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.08))
        .x_desc("operations for each byte that must be moved")
        .y_desc("GFLOP/s")
        .x_label_formatter(&|v| label(*v))
        .y_label_formatter(&|v| label(*v))
        .axis_desc_style(("sans-serif", 16))
        .label_style(("sans-serif", 15))
        .draw()
        .map_err(text)?;

    // Roofs: y = bandwidth · x up to the peak, then the peak.
    let roof = BLACK.mix(0.55);
    let mut taken = Vec::new();
    let mut signs = Vec::new();
    for level in Level::ALL {
        let bandwidth = floor.bandwidth(level) * 1e-9;
        let (from, to) = (x.start.max(y.start / bandwidth), (peak / bandwidth).min(x.end));
        if from < to {
            let line = [(from, from * bandwidth), (to, to * bandwidth)];
            chart.draw_series(LineSeries::new(line, &roof)).map_err(text)?;
            // The name on the line, each further up than the one before: the lines may lie close together.
            let at = from * (to / from).powf([0.7, 0.5, 0.3, 0.1][level as usize]);
            signs.push((level.to_string(), chart.backend_coord(&(at, at * bandwidth))));
        }
    }
    let ridge = floor.bytes.iter().map(|b| floor.flops / b).fold(f64::INFINITY, f64::min);
    let line = [(ridge.max(x.start), peak), (x.end, peak)];
    chart.draw_series(LineSeries::new(line, roof.stroke_width(2))).map_err(text)?;
    let (_, at_peak) = chart.backend_coord(&(x.end, peak));
    for (name, (px, py)) in signs {
        let half = 4 * name.len() as i32 + 3;
        let sign = Area { left: px - half, top: py - 8, right: px + half, bottom: py + 8 };
        root.draw(&Rectangle::new([(sign.left, sign.top), (sign.right, sign.bottom)], WHITE.filled()))
            .map_err(text)?;
        write(root, &name, (px, py), 15, &BLACK.mix(0.7), HPos::Center)?;
        taken.push(sign);
    }
    let (right, bottom) = chart.backend_coord(&(x.end, y.start));
    let (left, above) = chart.backend_coord(&(x.start, y.end));
    write(root, "multiply-adds in registers", (right - 6, at_peak - 9), 15, &BLACK.mix(0.7), HPos::Right)?;
    taken.push(Area { left: right - 180, top: at_peak - 17, right, bottom: at_peak - 1 });
    write(root, &floor.to_string(), (LEFT + MARGIN, top + TOP / 2), 17, &BLACK, HPos::Left)?;

    let at: Vec<(i32, i32)> =
        points.iter().map(|(_, r)| chart.backend_coord(&(intensity(r), r.gflops()))).collect();
    let numbers: Vec<String> = points.iter().map(|(number, _)| number.to_string()).collect();
    let bounds = Area { left, top: above, right, bottom };
    let places = places(&numbers, &at, taken, bounds);
    for (&(px, py), place) in at.iter().zip(&places) {
        let (cx, cy) = place.centre();
        if (cx - px).abs().max((cy - py).abs()) > 13 {
            root.draw(&PathElement::new([(px, py), (cx, cy)], BLACK.mix(0.35))).map_err(text)?;
        }
    }
    for (&point, (_, row)) in at.iter().zip(points) {
        let (colour, mark) = look(row.family);
        draw_mark(root, point, colour, mark)?;
    }
    for (number, place) in numbers.iter().zip(&places) {
        let paper = [(place.left, place.top), (place.right, place.bottom)];
        root.draw(&Rectangle::new(paper, WHITE.mix(0.8).filled())).map_err(text)?;
        write(root, number, place.centre(), 14, &BLACK, HPos::Center)?;
    }
    Ok(())
}

/// Which number is which op.
fn draw_key(root: &Root, names: &[(&str, &str, &str)]) -> Outcome<()> {
    let (x, mut y) = (WIDTH - KEY + 20, TITLE + TOP);
    for (family, colour, mark) in FAMILIES {
        if !names.iter().any(|n| n.0 == family) {
            continue;
        }
        draw_mark(root, (x, y), colour, mark)?;
        write(root, family, (x + 14, y), 17, &BLACK, HPos::Left)?;
        y += LINE + 2;
        for (i, (_, op, shape)) in names.iter().enumerate().filter(|(_, n)| n.0 == family) {
            write(root, &(i + 1).to_string(), (x + 30, y), 14, &BLACK, HPos::Right)?;
            write(root, &format!("{op} {shape}"), (x + 40, y), 14, &BLACK, HPos::Left)?;
            y += LINE;
        }
        y += LINE - 2;
    }
    Ok(())
}

/// An axis's number: 0.1, 1, 10.
fn label(value: f64) -> String {
    let digits = (-value.log10().floor()).max(0.0) as usize;
    format!("{value:.digits$}")
}

fn look(family: &str) -> (RGBColor, Mark) {
    let found = FAMILIES.iter().find(|f| f.0 == family);
    found.map_or((BLACK, Mark::Frame), |&(_, colour, mark)| (colour, mark))
}

/// Text of `size`, centred vertically.
fn write(root: &Root, text_: &str, at: (i32, i32), size: i32, colour: &impl Color, h: HPos) -> Outcome<()> {
    let style = ("sans-serif", size).into_font().color(colour).pos(Pos::new(h, VPos::Center));
    root.draw(&Text::new(text_.to_string(), at, style)).map_err(text)
}

fn draw_mark(root: &Root, (x, y): (i32, i32), colour: RGBColor, mark: Mark) -> Outcome<()> {
    let (fill, stroke) = (colour.filled(), colour.stroke_width(2));
    let drawn = match mark {
        Mark::Disc => root.draw(&Circle::new((x, y), 4, fill)),
        Mark::Ring => root.draw(&Circle::new((x, y), 4, stroke)),
        Mark::Triangle => root.draw(&Polygon::new([(x, y - 5), (x + 5, y + 4), (x - 5, y + 4)], fill)),
        Mark::Square => root.draw(&Rectangle::new([(x - 4, y - 4), (x + 4, y + 4)], fill)),
        Mark::Diamond => root.draw(&Polygon::new([(x, y - 6), (x + 5, y), (x, y + 6), (x - 5, y)], fill)),
        Mark::Cross => {
            root.draw(&PathElement::new([(x - 4, y - 4), (x + 4, y + 4)], stroke)).map_err(text)?;
            root.draw(&PathElement::new([(x - 4, y + 4), (x + 4, y - 4)], stroke))
        }
        Mark::Frame => root.draw(&Rectangle::new([(x - 4, y - 4), (x + 4, y + 4)], stroke)),
    };
    drawn.map_err(text)
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

    #[test]
    fn axes_have_round_numbers() {
        assert_eq!([0.01, 0.1, 1.0, 10.0, 1000.0].map(label), ["0.01", "0.1", "1", "10", "1000"]);
    }
}
