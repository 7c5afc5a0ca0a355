//! Small pictures in rows: images of a dataset, filters, feature maps.

use super::canvas::{Align, Area, Canvas};
use super::lines::{self, MARGIN};
use super::palette::{Colour, FAINT, INK};
use super::{Picture, font};
use crate::error::{Error, Result};

/// One small picture: pixels in rows of `columns`, and what stands below it.
pub(super) struct Tile {
    pub(super) columns: usize,
    pub(super) pixels: Vec<Colour>,
    pub(super) caption: Vec<(String, Colour)>,
    /// Drawn around it, to say that it is special.
    pub(super) frame: Option<Colour>,
}

/// Tiles with a title; beside them what their colours mean.
pub(super) struct Sheet<'a> {
    pub(super) title: &'a str,
    pub(super) tiles: Vec<Tile>,
    pub(super) per_row: usize,
    /// How long the longer side of a tile is, about: pixels of an image are whole pixels of the picture where they can.
    pub(super) side: f64,
    pub(super) bar: Option<Bar<'a>>,
    /// In small letters at the bottom.
    pub(super) note: String,
}

/// A scale of colours: the values at its ends, and the colour of each share in between.
pub(super) struct Bar<'a> {
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) colour: &'a dyn Fn(f64) -> Colour,
}

const GAP: f64 = 10.0;
const CAPTION: f64 = 12.0;
const CAPTION_ROW: f64 = 16.0;
/// A tile makes room for its caption up to this width.
const WIDEST_CAPTION: f64 = 110.0;
const MOST_PIXELS: usize = 2_000_000;

impl Bar<'_> {
    /// What it takes to the right of what it explains.
    pub(super) const WIDTH: f64 = 74.0;

    /// Draws it from `top` to `bottom`.
    pub(super) fn draw(&self, canvas: &mut Canvas, left: f64, top: f64, bottom: f64) {
        let area = Area::sized((left, top), 12.0, bottom - top);
        let colours: Vec<Colour> = (0..64).rev().map(|i| (self.colour)(f64::from(i) / 63.0)).collect();
        canvas.cells(area, 1, &colours);
        canvas.frame(area, FAINT, 0.6);
        let step = (self.to - self.from).abs() / 100.0;
        for (share, align) in [(0.0, 4.0), (0.5, 0.0), (1.0, -4.0)] {
            let value = self.from + share * (self.to - self.from);
            let at = (left + 17.0, bottom - share * (bottom - top) - align);
            canvas.text_in(at, Self::WIDTH - 20.0, &super::axis::short(value, step), 11.0, INK, Align::Left);
        }
    }
}

impl Sheet<'_> {
    pub(super) fn draw(&self) -> Result<Picture> {
        let pixels: usize = self.tiles.iter().map(|t| t.pixels.len()).sum();
        if pixels > MOST_PIXELS {
            return Err(Error::invalid(
                format!(
                    "{} images of {pixels} pixels together are too many for one picture",
                    self.tiles.len()
                ),
                "draw fewer of them",
            ));
        }
        // Whole pixels for images that are smaller than a tile.
        let scaled = |t: &Tile| {
            let rows = t.pixels.len() / t.columns.max(1);
            let longest = t.columns.max(rows).max(1) as f64;
            let scale =
                if longest <= self.side { (self.side / longest).floor() } else { self.side / longest };
            (t.columns as f64 * scale, rows as f64 * scale)
        };
        let widest = self.tiles.iter().map(|t| scaled(t).0).fold(1.0, f64::max);
        let captions = self.tiles.iter().flat_map(|t| &t.caption);
        let text = captions.map(|(text, _)| font::width(text, CAPTION)).fold(0.0, f64::max);
        let cell = widest.max(if text > 0.0 { text.min(WIDEST_CAPTION.max(widest)) + 4.0 } else { 0.0 });

        let per_row = self.per_row.clamp(1, self.tiles.len().max(1));
        let below = |lines: usize| if lines > 0 { lines as f64 * CAPTION_ROW + 6.0 } else { 0.0 };
        // Of each row: where it begins, and how high its tiles are.
        let (mut rows, mut total) = (Vec::new(), 0.0);
        for row in self.tiles.chunks(per_row) {
            let highest = row.iter().map(|t| scaled(t).1).fold(1.0, f64::max);
            rows.push((total, highest));
            total += highest + below(row.iter().map(|t| t.caption.len()).max().unwrap_or(0)) + GAP;
        }
        let grid = (per_row as f64 * (cell + GAP) - GAP, total - GAP);
        let bar = if self.bar.is_some() { Bar::WIDTH } else { 0.0 };
        // A single small tile still leaves its title some room.
        let title_width = lines::title_width(self.title);
        let note_width = font::width(&self.note, 11.0).min(560.0);
        let inner = (grid.0 + bar).max(title_width).max(note_width);
        let title = lines::title_height(self.title);
        let note = if self.note.is_empty() { 0.0 } else { 22.0 };
        // A bar needs a minimum of height to be read.
        let high = if bar > 0.0 { grid.1.max(70.0) } else { grid.1 };
        let (width, height) = (inner + 2.0 * MARGIN, MARGIN + title + high + note + MARGIN);
        let mut canvas = Canvas::new(self.title, width, height)?;
        lines::title(&mut canvas, self.title);
        let (left, top) = (MARGIN + (inner - grid.0 - bar) / 2.0, MARGIN + title);
        for (i, tile) in self.tiles.iter().enumerate() {
            let x = left + (i % per_row) as f64 * (cell + GAP);
            let (row_top, highest) = rows[i / per_row];
            let y = (top + row_top).round();
            let (w, h) = scaled(tile);
            let x0 = (x + (cell - w) / 2.0).round();
            let area = Area::sized((x0, y), w, h);
            canvas.cells(area, tile.columns, &tile.pixels);
            match tile.frame {
                Some(colour) => canvas.frame(area.grown(2.0), colour, 3.0),
                None => canvas.frame(area, [200, 200, 200], 0.6),
            }
            for (line, (text, colour)) in tile.caption.iter().enumerate() {
                let below = y + highest + 13.0 + line as f64 * CAPTION_ROW;
                canvas.text_in((x + cell / 2.0, below), cell + 6.0, text, CAPTION, *colour, Align::Center);
            }
        }
        if let Some(bar) = &self.bar {
            bar.draw(&mut canvas, left + grid.0 + 14.0, top, top + high.min(260.0));
        }
        canvas.text_in((MARGIN, height - 16.0), inner, &self.note, 11.0, FAINT, Align::Left);
        Ok(canvas.finish())
    }
}
