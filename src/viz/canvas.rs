//! What everything here is drawn on, and what pictures of one's own can be drawn on too.
//!
//! Extents are pixels, fractions of them included; x goes right and y down. Axes are plotters', through a backend of
//! our own: plotters' SVG backend guesses the width of text from its bytes, where a Hangul letter has three.

use super::axis::{Axes, Axis};
use super::palette::{Colour, FAINT, HAIR, INK, Look, Mark};
use super::{Picture, font};
use crate::error::{Error, Result};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters_backend::text_anchor::{HPos, VPos};
use plotters_backend::{
    BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingErrorKind, FontTransform,
};
use std::cell::RefCell;
use std::convert::Infallible;
use std::fmt::Write;
use std::rc::Rc;

/// plotters counts in whole steps. With so many of them to a pixel, no curve has stairs.
const GRID: f64 = 8.0;

/// No picture is wider or higher than so many pixels.
pub(super) const LARGEST: f64 = 8192.0;

/// Where a text is, seen from the point that it is written at.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)] // the names say it
pub enum Align {
    Left,
    Center,
    Right,
}

/// A rectangle of pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)] // the names say it
pub struct Area {
    pub left: f64,
    pub top: f64,
    pub right: f64,
    pub bottom: f64,
}

impl Area {
    /// Of that width and height, from its corner at the left and the top.
    pub fn sized((left, top): (f64, f64), width: f64, height: f64) -> Area {
        Area { left, top, right: left + width, bottom: top + height }
    }

    /// Of that width and height, around its middle.
    pub fn around((x, y): (f64, f64), width: f64, height: f64) -> Area {
        Area::sized((x - width / 2.0, y - height / 2.0), width, height)
    }

    /// Its middle.
    pub fn centre(&self) -> (f64, f64) {
        ((self.left + self.right) / 2.0, (self.top + self.bottom) / 2.0)
    }

    /// Larger by so many pixels on each side.
    pub fn grown(&self, by: f64) -> Area {
        let Area { left, top, right, bottom } = *self;
        Area { left: left - by, top: top - by, right: right + by, bottom: bottom + by }
    }

    /// Whether it shares more than an edge with another.
    pub fn meets(&self, o: &Area) -> bool {
        self.left < o.right && o.left < self.right && self.top < o.bottom && o.top < self.bottom
    }

    /// Whether all of another is in it.
    pub fn holds(&self, o: &Area) -> bool {
        self.left <= o.left && self.top <= o.top && self.right >= o.right && self.bottom >= o.bottom
    }
}

/// A picture that is being drawn.
///
/// ```
/// use handgrad::viz::canvas::{Align, Area, Canvas};
/// use handgrad::viz::{Axis, palette::{INK, Look}};
/// let mut canvas = Canvas::new("squares", 400.0, 300.0)?;
/// let area = Area::sized((60.0, 40.0), 330.0, 210.0);
/// let axes = canvas.axes(area, Axis::linear("x", -2.0, 2.0), Axis::linear("x²", 0.0, 4.0))?;
/// let points: Vec<_> = (-20..=20).map(|i| f64::from(i) / 10.0).map(|x| axes.at(x, x * x)).collect();
/// canvas.line(&points, Look::number(0));
/// canvas.text((225.0, 20.0), "squares", 16.0, INK, Align::Center);
/// assert!(canvas.finish().svg().contains("x²"));
/// # Ok::<(), handgrad::Error>(())
/// ```
pub struct Canvas {
    out: Rc<RefCell<Out>>,
    width: f64,
    height: f64,
}

/// The SVG so far, and the characters in it that the font does not have.
#[derive(Default)]
struct Out {
    svg: String,
    foreign: Vec<char>,
}

impl Canvas {
    /// White paper of that many pixels. `title` is what a screen reader says.
    ///
    /// # Errors
    /// A side is longer than 8192 pixels, or not at least 1.
    pub fn new(title: &str, width: f64, height: f64) -> Result<Canvas> {
        let (width, height) = (width.ceil(), height.ceil());
        if !((1.0..=LARGEST).contains(&width) && (1.0..=LARGEST).contains(&height)) {
            return Err(Error::invalid(
                format!("a picture of {width} × {height} pixels cannot be drawn"),
                format!("draw less in one picture: its sides are {LARGEST} pixels at most"),
            ));
        }
        let svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} \
             {height}\" role=\"img\" aria-label=\"{}\" font-family=\"{}\">\n\
             <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n",
            escaped(title),
            font::FAMILIES,
        );
        let out = Out { svg, ..Out::default() };
        Ok(Canvas { out: Rc::new(RefCell::new(out)), width, height })
    }

    /// Width and height in pixels.
    pub fn size(&self) -> (f64, f64) {
        (self.width, self.height)
    }

    /// Text of `size` pixels; capitals are centred on the point's y. Line breaks become spaces.
    pub fn text(&mut self, at: (f64, f64), text: &str, size: f64, colour: Colour, align: Align) {
        self.out.borrow_mut().text(at, text, size, colour, align, 0.0);
    }

    /// The same, turned around its point by `degrees`, clockwise.
    pub fn turned_text(
        &mut self,
        at: (f64, f64),
        text: &str,
        size: f64,
        colour: Colour,
        align: Align,
        degrees: f64,
    ) {
        self.out.borrow_mut().text(at, text, size, colour, align, degrees);
    }

    /// Text that is no wider than `room`: in smaller letters, down to three quarters, then cut with an ellipsis.
    pub fn text_in(
        &mut self,
        at: (f64, f64),
        room: f64,
        text: &str,
        size: f64,
        colour: Colour,
        align: Align,
    ) {
        let size = (size * room / font::width(text, size).max(1e-9)).clamp(0.75 * size, size);
        self.text(at, &cut(text, size, room), size, colour, align);
    }

    /// A line through `points`, in the look's colour, width and dashes.
    pub fn line(&mut self, points: &[(f64, f64)], look: Look) {
        let out = &mut self.out.borrow_mut().svg;
        out.push_str("<polyline points=\"");
        for (i, (x, y)) in points.iter().enumerate() {
            let _ = write!(out, "{}{} {}", if i > 0 { "," } else { "" }, n(*x), n(*y));
        }
        let _ =
            write!(out, "\" fill=\"none\" stroke=\"{}\" stroke-width=\"{}\"", hex(look.colour), look.width);
        if !look.dash.is_empty() {
            let dash: Vec<String> = look.dash.iter().map(|d| n(*d)).collect();
            let _ = write!(out, " stroke-dasharray=\"{}\"", dash.join(" "));
        }
        out.push_str(" stroke-linejoin=\"round\"/>\n");
    }

    /// A point of some 2·`radius` pixels. What is filled has a white rim, so that points on a heap stay apart.
    pub fn mark(&mut self, (x, y): (f64, f64), look: Look, radius: f64) {
        let (r, out) = (radius, &mut self.out.borrow_mut().svg);
        let colour = hex(look.colour);
        let filled = format!("fill=\"{colour}\" stroke=\"#ffffff\" stroke-width=\"0.8\"");
        let hollow = format!("fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.6\"");
        let square = |r: f64| {
            format!(
                "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"",
                n(x - r),
                n(y - r),
                n(2.0 * r),
                n(2.0 * r)
            )
        };
        let path = |points: &[(f64, f64)]| {
            let points: Vec<String> =
                points.iter().map(|(dx, dy)| format!("{} {}", n(x + dx * r), n(y + dy * r))).collect();
            format!("<polygon points=\"{}\"", points.join(","))
        };
        let shape = match look.mark {
            Mark::Disc | Mark::Ring => format!("<circle cx=\"{}\" cy=\"{}\" r=\"{}\"", n(x), n(y), n(r)),
            Mark::Square | Mark::Frame => square(0.9 * r),
            Mark::Triangle => path(&[(0.0, -1.15), (1.15, 0.85), (-1.15, 0.85)]),
            Mark::Diamond => path(&[(0.0, -1.3), (1.1, 0.0), (0.0, 1.3), (-1.1, 0.0)]),
            Mark::Cross => format!(
                "<path d=\"M{} {}L{} {}M{} {}L{} {}\"",
                n(x - r),
                n(y - r),
                n(x + r),
                n(y + r),
                n(x - r),
                n(y + r),
                n(x + r),
                n(y - r)
            ),
        };
        let paint = match look.mark {
            Mark::Ring | Mark::Frame | Mark::Cross => hollow,
            _ => filled,
        };
        let _ = writeln!(out, "{shape} class=\"mark\" {paint}/>");
    }

    /// A filled rectangle; `opacity` goes from 0 to 1.
    pub fn fill(&mut self, area: Area, colour: Colour, opacity: f64) {
        let out = &mut self.out.borrow_mut().svg;
        let _ = write!(out, "<rect {} fill=\"{}\"", extents(area), hex(colour));
        let _ = match opacity < 1.0 {
            true => writeln!(out, " fill-opacity=\"{opacity}\"/>"),
            false => writeln!(out, "/>"),
        };
    }

    /// The outline of a rectangle, `width` pixels wide.
    pub fn frame(&mut self, area: Area, colour: Colour, width: f64) {
        let out = &mut self.out.borrow_mut().svg;
        let _ = writeln!(
            out,
            "<rect {} fill=\"none\" stroke=\"{}\" stroke-width=\"{width}\"/>",
            extents(area),
            hex(colour)
        );
    }

    /// A picture of `colours`, row by row, `columns` in a row, spread over `area` with hard edges. Neighbours of one
    /// colour become one piece.
    pub fn cells(&mut self, area: Area, columns: usize, colours: &[Colour]) {
        if columns == 0 || colours.len() < columns {
            return;
        }
        let rows = colours.len() / columns;
        let (dx, dy) = ((area.right - area.left) / columns as f64, (area.bottom - area.top) / rows as f64);
        // One path for each colour: its pieces. The commonest colour is the ground.
        let mut pieces: std::collections::BTreeMap<Colour, (usize, String)> = Default::default();
        for (y, row) in colours.chunks_exact(columns).enumerate() {
            let mut x = 0;
            for piece in row.chunk_by(|a, b| a == b) {
                let (count, path) = pieces.entry(piece[0]).or_default();
                *count += piece.len();
                let _ = write!(path, "M{x} {y}h{}v1h-{}z", piece.len(), piece.len());
                x += piece.len();
            }
        }
        let ground = pieces.iter().max_by_key(|(_, (count, _))| *count).map(|(colour, _)| *colour);
        let out = &mut self.out.borrow_mut().svg;
        let _ = writeln!(
            out,
            "<g class=\"cells\" data-rows=\"{rows}\" data-columns=\"{columns}\" shape-rendering=\"crispEdges\" \
             transform=\"translate({} {}) scale({} {})\">",
            n(area.left),
            n(area.top),
            precise(dx),
            precise(dy)
        );
        if let Some(colour) = ground {
            let _ = writeln!(out, "<path fill=\"{}\" d=\"M0 0h{columns}v{rows}h-{columns}z\"/>", hex(colour));
        }
        for (colour, (_, path)) in pieces.iter().filter(|(colour, _)| Some(**colour) != ground) {
            let _ = writeln!(out, "<path fill=\"{}\" d=\"{path}\"/>", hex(*colour));
        }
        out.push_str("</g>\n");
    }

    /// Axes around `area`, with a grid, numbers and names: numbers and names stand outside of it, left and below.
    ///
    /// # Errors
    /// There is no room for them.
    pub fn axes(&mut self, area: Area, x: Axis, y: Axis) -> Result<Axes> {
        let (x, y) = (x.ticked(area.right - area.left, true), y.ticked(area.bottom - area.top, false));
        let (names, axes) = ((x.name.clone(), y.name.clone()), Axes { area, x: x.clone(), y: y.clone() });
        let widest = y.labels().iter().map(|l| font::width(l, LABEL)).fold(0.0, f64::max);
        self.draw_axes(area, x, y).map_err(|e| {
            Error::invalid(format!("the axes cannot be drawn: {e}"), "give the picture more room")
        })?;
        let centre = area.centre();
        let (wide, high) = (area.right - area.left, area.bottom - area.top);
        self.text_in((centre.0, area.bottom + 38.0), wide, &names.0, NAME, INK, Align::Center);
        let left = (area.left - widest - 20.0).max(9.0);
        let name = cut(&names.1, NAME, high);
        self.turned_text((left, centre.1), &name, NAME, INK, Align::Center, -90.0);
        Ok(axes)
    }

    fn draw_axes(
        &self,
        area: Area,
        x: Axis,
        y: Axis,
    ) -> Result<(), plotters::drawing::DrawingAreaErrorKind<Infallible>> {
        let steps = |pixels: f64| (pixels * GRID).round() as i32;
        let size = (steps(self.width) as u32, steps(self.height) as u32);
        let root = Svg { out: self.out.clone(), size }.into_drawing_area();
        // Label areas are as wide as there is room: what a label needs is what it gets.
        let chart: DrawingArea<Svg, Shift> =
            root.shrink((0, steps(area.top)), (steps(area.right), steps(self.height - area.top)));
        let mut chart = ChartBuilder::on(&chart)
            .set_label_area_size(LabelAreaPosition::Left, steps(area.left))
            .set_label_area_size(LabelAreaPosition::Bottom, steps(self.height - area.bottom))
            .build_cartesian_2d(x, y)?;
        let style = |c: Colour| Color::stroke_width(&RGBColor(c[0], c[1], c[2]), GRID as u32);
        let text = ("sans-serif", LABEL * GRID).into_font().color(&RGBColor(INK[0], INK[1], INK[2]));
        chart
            .configure_mesh()
            .bold_line_style(style(HAIR))
            .light_line_style(TRANSPARENT)
            .set_all_tick_mark_size(steps(4.0))
            .axis_style(style(FAINT))
            .label_style(text)
            .draw()
    }

    /// The picture as drawn.
    pub fn finish(self) -> Picture {
        let mut out = self.out.take();
        out.svg.push_str("</svg>\n");
        out.foreign.sort_unstable();
        out.foreign.dedup();
        Picture { svg: out.svg, foreign: out.foreign, width: self.width as u32, height: self.height as u32 }
    }
}

/// The sizes of an axis's numbers and of its name.
pub(super) const LABEL: f64 = 12.0;
const NAME: f64 = 13.0;

impl Out {
    fn text(
        &mut self,
        (x, y): (f64, f64),
        text: &str,
        size: f64,
        colour: Colour,
        align: Align,
        degrees: f64,
    ) {
        if text.is_empty() {
            return;
        }
        self.foreign.extend(text.chars().filter(|&c| !font::covers(c)));
        let anchor = match align {
            Align::Left => "",
            Align::Center => " text-anchor=\"middle\"",
            Align::Right => " text-anchor=\"end\"",
        };
        // The middle of a capital, or of a Hangul letter, is so far above the line that it stands on.
        let turn = match degrees != 0.0 {
            true => format!(
                "x=\"0\" y=\"{}\" transform=\"translate({} {}) rotate({degrees})\"",
                n(0.36 * size),
                n(x),
                n(y)
            ),
            false => format!("x=\"{}\" y=\"{}\"", n(x), n(y + 0.36 * size)),
        };
        let _ = writeln!(
            self.svg,
            "<text {turn} font-size=\"{}\" fill=\"{}\"{anchor}>{}</text>",
            n(size),
            hex(colour),
            escaped(text)
        );
    }
}

/// `text`, or as much of it as fits into `room`, with an ellipsis.
pub(super) fn cut(text: &str, size: f64, room: f64) -> String {
    if font::width(text, size) <= room {
        return text.to_string();
    }
    let chars: Vec<char> = text.chars().collect();
    let cut = |n: &usize| chars[..*n].iter().collect::<String>().trim_end().to_string() + "…";
    let fits = |n: &usize| font::width(&cut(n), size) <= room;
    let (mut low, mut high) = (0, chars.len()); // `low` letters fit, `high` do not; none is always shown
    while high - low > 1 {
        let middle = (low + high) / 2;
        if fits(&middle) { low = middle } else { high = middle }
    }
    cut(&low)
}

/// A number of pixels, to a hundredth.
fn n(pixels: f64) -> String {
    let text = format!("{pixels:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".into() } else { text.into() }
}

/// A factor: cells must end where their neighbours begin.
fn precise(factor: f64) -> String {
    format!("{factor:.6}")
}

fn hex([r, g, b]: Colour) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

fn extents(a: Area) -> String {
    let (width, height) = ((a.right - a.left).max(0.0), (a.bottom - a.top).max(0.0));
    format!("x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"", n(a.left), n(a.top), n(width), n(height))
}

/// Text for XML. Line breaks become spaces; what XML cannot hold at all, a replacement character.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\r' | '\t' => out.push(' '),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// The backend that plotters draws axes with.
struct Svg {
    out: Rc<RefCell<Out>>,
    size: (u32, u32),
}

/// Steps of plotters' grid as pixels.
fn pixels(steps: i32) -> f64 {
    f64::from(steps) / GRID
}

fn colour(c: BackendColor) -> Colour {
    [c.rgb.0, c.rgb.1, c.rgb.2]
}

type Drawn = Result<(), DrawingErrorKind<Infallible>>;

impl DrawingBackend for Svg {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        self.size
    }

    fn ensure_prepared(&mut self) -> Drawn {
        Ok(())
    }

    fn present(&mut self) -> Drawn {
        Ok(())
    }

    fn draw_pixel(&mut self, at: BackendCoord, c: BackendColor) -> Drawn {
        let (x, y) = (pixels(at.0), pixels(at.1));
        let (out, side) = (&mut self.out.borrow_mut().svg, 1.0 / GRID);
        let area = Area::sized((x, y), side, side);
        let _ = writeln!(out, "<rect {} fill=\"{}\"/>", extents(area), hex(colour(c)));
        Ok(())
    }

    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        path: I,
        style: &S,
    ) -> Drawn {
        let c = style.color();
        if c.alpha > 0.0 {
            let points: Vec<String> =
                path.into_iter().map(|(x, y)| format!("{} {}", n(pixels(x)), n(pixels(y)))).collect();
            let _ = writeln!(
                self.out.borrow_mut().svg,
                "<path d=\"M{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{}\"/>",
                points.join("L"),
                hex(colour(c)),
                n(f64::from(style.stroke_width()) / GRID)
            );
        }
        Ok(())
    }

    fn draw_line<S: BackendStyle>(&mut self, from: BackendCoord, to: BackendCoord, style: &S) -> Drawn {
        self.draw_path([from, to], style)
    }

    fn draw_text<T: BackendTextStyle>(&mut self, text: &str, style: &T, at: BackendCoord) -> Drawn {
        let (anchor, size) = (style.anchor(), style.size() / GRID);
        let align = match anchor.h_pos {
            HPos::Left => Align::Left,
            HPos::Center => Align::Center,
            HPos::Right => Align::Right,
        };
        let below = match anchor.v_pos {
            VPos::Top => 0.5 * size,
            VPos::Center => 0.0,
            VPos::Bottom => -0.5 * size,
        };
        let (degrees, dx, dy) = match style.transform() {
            FontTransform::None => (0.0, 0.0, below),
            FontTransform::Rotate90 => (90.0, -below, 0.0),
            FontTransform::Rotate180 => (180.0, 0.0, -below),
            FontTransform::Rotate270 => (270.0, below, 0.0),
        };
        let at = (pixels(at.0) + dx, pixels(at.1) + dy);
        self.out.borrow_mut().text(at, text, size, colour(style.color()), align, degrees);
        Ok(())
    }

    fn estimate_text_size<T: BackendTextStyle>(
        &self,
        text: &str,
        style: &T,
    ) -> Result<(u32, u32), DrawingErrorKind<Infallible>> {
        Ok((font::width(text, style.size()).ceil() as u32, style.size().ceil() as u32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_to_its_room() {
        assert_eq!(cut("Ankle boot", 12.0, 100.0), "Ankle boot");
        let short = cut("Ankle boot", 12.0, 45.0);
        assert!(
            short.starts_with("Ankle") && short.ends_with('…') && font::width(&short, 12.0) <= 45.0,
            "{short}"
        );
        assert_eq!(cut("가나다라", 10.0, 0.0), "…");
    }

    #[test]
    fn what_xml_cannot_hold_is_replaced() {
        assert_eq!(escaped("a<b> & \"c\"\n\u{0}"), "a&lt;b&gt; &amp; &quot;c&quot; \u{fffd}");
    }

    #[test]
    fn neighbours_of_one_colour_are_one_piece() {
        let mut canvas = Canvas::new("", 10.0, 10.0).unwrap();
        let (a, b) = ([1, 1, 1], [2, 2, 2]);
        canvas.cells(Area::sized((0.0, 0.0), 6.0, 4.0), 3, &[a, a, a, b, b, a]);
        let svg = canvas.finish().svg().to_string();
        assert!(
            svg.contains("d=\"M0 0h3v2h-3z\"") && svg.contains("fill=\"#020202\" d=\"M0 1h2v1h-2z\""),
            "{svg}"
        );
        assert_eq!(svg.matches("<path").count(), 2);
    }

    #[test]
    fn areas_know_each_other() {
        let area = Area::around((10.0, 20.0), 8.0, 4.0);
        assert_eq!(area, Area { left: 6.0, top: 18.0, right: 14.0, bottom: 22.0 });
        assert_eq!((area.centre(), area.grown(2.0)), ((10.0, 20.0), Area::sized((4.0, 16.0), 12.0, 8.0)));
        let beside = Area::sized((14.0, 18.0), 5.0, 5.0);
        assert!(!area.meets(&beside) && area.meets(&beside.grown(0.1)) && beside.grown(0.1).meets(&area));
        assert!(area.grown(1.0).holds(&area) && area.holds(&area) && !area.holds(&area.grown(0.1)));
    }

    #[test]
    fn paper_has_limits() {
        for (w, h) in [(0.0, 5.0), (5.0, 9000.0), (f64::NAN, 1.0), (f64::INFINITY, 1.0)] {
            assert!(Canvas::new("", w, h).is_err());
        }
    }
}
