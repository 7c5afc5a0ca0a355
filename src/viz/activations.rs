//! Activation functions and their derivatives, beside each other.

use super::Picture;
use super::axis::Axis;
use super::canvas::{Area, Canvas};
use super::lines::{self, Entry, Legend, Line, MARGIN};
use super::palette::{HAIR, Look};
use crate::activations::Activation;
use crate::device::Device;
use crate::error::{Error, Result};

/// Graphs of functions; see [`activations`].
#[derive(Clone, Debug)]
pub struct Activations {
    functions: Vec<Activation>,
    title: String,
    derivatives: bool,
    range: (f64, f64),
}

/// The graphs of `functions` and of their derivatives, as the reference device computes them. Of
/// [`softmax`](Activation::Softmax), the one that looks at more than one number, it shows the first of two outputs while
/// the second input stays 0.
///
/// ```
/// use handgrad::{Activation, viz};
/// let picture = viz::activations(&[Activation::Sigmoid, Activation::Relu]).range(-4.0, 4.0).draw()?;
/// assert!(picture.svg().contains("sigmoid"));
/// # Ok::<(), handgrad::Error>(())
/// ```
pub fn activations(functions: &[Activation]) -> Activations {
    Activations { functions: functions.to_vec(), title: String::new(), derivatives: true, range: (-5.0, 5.0) }
}

const PANEL: (f64, f64) = (400.0, 300.0);
const LEFT: f64 = 70.0;
const POINTS: usize = 801;
/// exp leaves the others no room: the axis ends here, or where the others do.
const HIGHEST: f64 = 5.0;

impl Activations {
    /// What stands above the picture, in any language.
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = title.into();
        self
    }

    /// Whether to draw the derivatives beside the functions; `true` by default.
    pub fn derivatives(mut self, derivatives: bool) -> Self {
        self.derivatives = derivatives;
        self
    }

    /// From which x to which; −5 to 5 by default.
    pub fn range(mut self, from: f64, to: f64) -> Self {
        self.range = (from, to);
        self
    }

    /// Draws them.
    ///
    /// # Errors
    /// No function, or more than 28; a range that is empty or not finite.
    pub fn draw(&self) -> Result<Picture> {
        let (from, to) = self.range;
        if !(from < to && from.abs() <= 1e6 && to.abs() <= 1e6 && to - from >= 1e-6) {
            return Err(Error::invalid(
                format!("functions cannot be drawn from x = {from} to x = {to}"),
                "give a smaller and a greater number, such as -5 and 5",
            ));
        }
        if self.functions.is_empty() || self.functions.len() > 28 {
            return Err(Error::invalid(
                format!("{} functions cannot be drawn together", self.functions.len()),
                "give between 1 and 28 of them",
            ));
        }
        let x: Vec<f64> = (0..POINTS).map(|i| from + (to - from) * i as f64 / (POINTS - 1) as f64).collect();
        let graphs = self.functions.iter().map(|f| graph(*f, &x)).collect::<Result<Vec<_>>>()?;
        let columns = 1 + usize::from(self.derivatives);
        let width = MARGIN + columns as f64 * (LEFT + PANEL.0 + MARGIN);
        let inner = width - 2.0 * MARGIN;
        let entries = self.functions.iter().enumerate().map(|(i, f)| Entry {
            name: f.to_string(),
            look: Look::number(i),
            line: true,
            mark: false,
        });
        let legend = Legend::new(entries.collect(), inner - LEFT);
        let title = lines::title_height(&self.title);
        let top = MARGIN + title + legend.height() + 14.0;
        let mut canvas = Canvas::new(&self.title, width, top + PANEL.1 + 60.0)?;
        lines::title(&mut canvas, &self.title);
        legend.draw(&mut canvas, MARGIN + LEFT, MARGIN + title, inner - LEFT);
        for (column, name) in ["f(x)", "f′(x)"].into_iter().enumerate().take(columns) {
            let left = MARGIN + LEFT + column as f64 * (LEFT + PANEL.0 + MARGIN);
            let area = Area::sized((left, top), PANEL.0, PANEL.1);
            let shown = graphs.iter().flat_map(|g| &g[column]).filter(|y| y.abs() <= HIGHEST);
            let mut y = Axis::around(name, shown.copied());
            if y.ends().0 == 0.0 {
                y = Axis::linear(name, -0.05 * y.ends().1, y.ends().1); // a line on 0 is not on the frame
            }
            let ends = y.ends();
            let axes = canvas.axes(area, Axis::linear("x", from, to), y)?;
            let zero = Look { colour: HAIR, dash: &[], width: 1.6, ..Look::number(0) };
            if from < 0.0 && to > 0.0 {
                canvas.line(&[axes.at(0.0, ends.0), axes.at(0.0, ends.1)], zero);
            }
            for (i, graph) in graphs.iter().enumerate() {
                let inside = |y: f64| if y >= ends.0 && y <= ends.1 { y } else { f64::NAN };
                let points: Vec<(f64, f64)> =
                    x.iter().zip(&graph[column]).map(|(&x, &y)| (x, inside(y))).collect();
                lines::draw(
                    &mut canvas,
                    &axes,
                    &Line { points: &points, look: Look::number(i), marked: false },
                );
            }
        }
        Ok(canvas.finish())
    }
}

/// f and f′ at every x, in f64.
fn graph(f: Activation, x: &[f64]) -> Result<[Vec<f64>; 2]> {
    let dev = Device::reference();
    // Softmax needs a second number beside each; all others take the rows as they are.
    let columns = if f.is_elementwise() { 1 } else { 2 };
    let spread = |first: &dyn Fn(usize) -> f64| -> Vec<f64> {
        (0..x.len() * columns).map(|i| if i % columns == 0 { first(i / columns) } else { 0.0 }).collect()
    };
    let shape = [x.len(), columns];
    let input = dev.tensor(shape, &spread(&|i| x[i]))?;
    let mut y = dev.tensor(shape, &spread(&|i| x[i]))?;
    dev.activate(f, y.view_mut())?;
    let mut slope = dev.tensor(shape, &spread(&|_| 1.0))?;
    dev.activation_backward(f, Some(input.view()), y.view(), slope.view_mut())?;
    let first = |all: Vec<f64>| all.into_iter().step_by(columns).collect();
    Ok([first(y.view().values()?), first(slope.view().values()?)])
}
