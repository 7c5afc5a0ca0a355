//! Pooling: the largest or the mean number of each window, channel by channel, so that a register holds neighbours.
//!
//! ```text
//! max      y[o, c] = max over taps of x[i(o, tap), c]       dx gets dy where the first tap equals y
//! average  y[o, c] = Σ over taps of x[i(o, tap), c] / taps   dx gets dy / taps everywhere
//! ```
//!
//! Forward is cut into lines of the output. Backward is cut into images, because windows of neighbouring lines may
//! overlap in dx.

use super::Cpu;
use super::parallel::rows_per_task;
use super::simd::{Kernel, Lanes, Simd};
use crate::error::{Error, Result};
use crate::shape::Shape;
use crate::tensor::{View, ViewMut};
use crate::window::Window;

/// The body for each group of registers that share one walk over the taps: G registers of `lanes` channels from `c` on,
/// four at a time, then two, then one, the last of which may have fewer lanes.
macro_rules! each_group {
    ($S:ident, $channels:expr, |$c:ident, $G:ident, $lanes:ident| $body:expr) => {
        let mut $c = 0;
        each_group!(@ $S, $channels, $c, $G, $lanes, $body; 4 2 1)
    };
    (@ $S:ident, $channels:expr, $c:ident, $G:ident, $lanes:ident, $body:expr; $($registers:literal)*) => {
        $({
            const $G: usize = $registers;
            let least = if $G > 1 { $G * $S::LANES } else { 1 };
            while $c + least <= $channels {
                let $lanes = $S::LANES.min($channels - $c);
                $body;
                $c += $G * $lanes;
            }
        })*
    };
}

/// The number of images, if x is [n, D, H, W, C] and `rows` a matrix of `columns` with a row for each window.
pub(super) fn images(op: &'static str, w: &Window, x: Shape, rows: Shape, columns: usize) -> Result<usize> {
    let n = x.rows();
    let fits = x.rank() > 1 && x.len() == n * w.input_len() && x.last() == w.channels;
    match fits && rows.as_matrix() == (n * w.positions(), columns) {
        true => Ok(n),
        false => Err(Error::op(op, format!("{x} and {rows} for a window {:?} over {:?}", w.kernel, w.input))),
    }
}

/// Along `axis`, the taps of output position `o` that lie in the input: position of the first, and how many.
#[inline(always)]
pub(super) fn span(w: &Window, axis: usize, o: usize) -> (usize, usize) {
    let dilation = w.dilation[axis];
    let steps = |distance: usize| if dilation == 1 { distance } else { distance.div_ceil(dilation) };
    let corner = o * w.stride[axis]; // of the window, counted from the first element of the padding
    let skipped = steps(w.before[axis].saturating_sub(corner));
    let end = steps((w.input[axis] + w.before[axis]).saturating_sub(corner)).min(w.kernel[axis]);
    ((corner + skipped * dilation).saturating_sub(w.before[axis]), end.saturating_sub(skipped))
}

/// Calls `visit` with the input position of every tap of one window, in row-major order. `depth` and `height` are
/// spans, `o` is the output position along the width. Returns how many there were.
#[inline(always)]
fn each_tap(
    w: &Window,
    depth: (usize, usize),
    height: (usize, usize),
    o: usize,
    mut visit: impl FnMut(usize),
) {
    let width = span(w, 2, o);
    for d in 0..depth.1 {
        for h in 0..height.1 {
            let row = (depth.0 + d * w.dilation[0]) * w.input[1] + height.0 + h * w.dilation[1];
            for k in 0..width.1 {
                visit(row * w.input[2] + width.0 + k * w.dilation[2]);
            }
        }
    }
}

/// See [`Backend::max_pool`](crate::Backend::max_pool).
pub(super) fn max_pool(cpu: &Cpu, w: &Window, x: View, y: ViewMut) -> Result<()> {
    forward(cpu, "max_pool", w, true, x, y)
}

/// See [`Backend::average_pool`](crate::Backend::average_pool).
pub(super) fn average_pool(cpu: &Cpu, w: &Window, x: View, y: ViewMut) -> Result<()> {
    forward(cpu, "average_pool", w, false, x, y)
}

fn forward(cpu: &Cpu, op: &'static str, w: &Window, max: bool, x: View, y: ViewMut) -> Result<()> {
    let n = images(op, w, x.shape(), y.shape(), w.channels)?;
    let (x, line) = (x.f32()?, w.output[2] * w.channels);
    let per_task = rows_per_task(n * w.output[0] * w.output[1], line * w.kernel.iter().product::<usize>());
    cpu.pool.run_chunks(y.f32()?, per_task * line, |task, y| {
        cpu.isa.run(Forward { w, max, x, first: task * per_task, y });
    });
    Ok(())
}

/// Some lines of the output.
struct Forward<'a> {
    w: &'a Window,
    max: bool,
    x: &'a [f32],
    /// The first line.
    first: usize,
    y: &'a mut [f32],
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Forward { w, max, x, first, y } = self;
        let [od, oh, ow] = w.output;
        for (l, line) in y.chunks_exact_mut(ow * w.channels).enumerate() {
            let (image, o) = ((first + l) / (od * oh), (first + l) % (od * oh));
            let x = &x[image * w.input_len()..][..w.input_len()];
            let (depth, height) = (span(w, 0, o / oh), span(w, 1, o % oh));
            for (o, y) in line.chunks_exact_mut(w.channels).enumerate() {
                each_group!(S, w.channels, |c, G, lanes| {
                    pool_group::<S, G>(s, w, max, x, depth, height, o, c, lanes, y);
                });
            }
        }
    }
}

/// `G` registers of one output position, from channel `c` on; `lanes` channels in each.
#[inline(always)]
fn pool_group<S: Simd, const G: usize>(
    s: S,
    w: &Window,
    max: bool,
    x: &[f32],
    depth: (usize, usize),
    height: (usize, usize),
    o: usize,
    c: usize,
    lanes: usize,
    y: &mut [f32],
) {
    let mut best = [s.splat(if max { f32::NEG_INFINITY } else { 0.0 }); G];
    let mut taps = 0.0;
    each_tap(
        w,
        depth,
        height,
        o,
        #[inline(always)]
        |at| {
            let x = &x[at * w.channels + c..][..(G - 1) * S::LANES + lanes];
            taps += 1.0;
            for (g, best) in best.iter_mut().enumerate() {
                // SAFETY: the slice has `lanes` numbers in each of the G registers.
                let v = unsafe { s.load_up_to(x.as_ptr().add(g * S::LANES), lanes) };
                *best = if max { v.max(*best) } else { v + *best };
            }
        },
    );
    let y = &mut y[c..][..(G - 1) * S::LANES + lanes];
    for (g, best) in best.into_iter().enumerate() {
        let v = if max { best } else { best / s.splat(taps) };
        // SAFETY: as above.
        unsafe { s.store_up_to(v, y.as_mut_ptr().add(g * S::LANES), lanes) };
    }
}

/// See [`Backend::max_pool_backward`](crate::Backend::max_pool_backward).
pub(super) fn max_pool_backward(
    cpu: &Cpu,
    w: &Window,
    x: View,
    y: View,
    dy: View,
    dx: ViewMut,
) -> Result<()> {
    let op = "max_pool_backward";
    if x.len() != dx.len() || y.len() != dy.len() {
        let (x, dx, y, dy) = (x.shape(), dx.shape(), y.shape(), dy.shape());
        return Err(Error::op(op, format!("x {x} and dx {dx}, y {y} and dy {dy}")));
    }
    backward(cpu, op, w, Some((x.f32()?, y.f32()?)), dy, dx)
}

/// See [`Backend::average_pool_backward`](crate::Backend::average_pool_backward).
pub(super) fn average_pool_backward(cpu: &Cpu, w: &Window, dy: View, dx: ViewMut) -> Result<()> {
    backward(cpu, "average_pool_backward", w, None, dy, dx)
}

fn backward(
    cpu: &Cpu,
    op: &'static str,
    w: &Window,
    max: Option<(&[f32], &[f32])>,
    dy: View,
    dx: ViewMut,
) -> Result<()> {
    let n = images(op, w, dx.shape(), dy.shape(), w.channels)?;
    let (dy, input, output) = (dy.f32()?, w.input_len(), w.positions() * w.channels);
    let per_task = rows_per_task(n, output * w.kernel.iter().product::<usize>());
    cpu.pool.run_chunks(dx.f32()?, per_task * input, |task, dx| {
        for (i, dx) in dx.chunks_exact_mut(input).enumerate() {
            let i = task * per_task + i;
            let (x_of, y_of) = (i * input..(i + 1) * input, i * output..(i + 1) * output);
            let max = max.map(|(x, y)| (&x[x_of], &y[y_of.clone()]));
            cpu.isa.run(Backward { w, max, dy: &dy[y_of], dx });
        }
    });
    Ok(())
}

/// One image.
pub(super) struct Backward<'a> {
    pub(super) w: &'a Window,
    /// x and y for max, none for average.
    pub(super) max: Option<(&'a [f32], &'a [f32])>,
    pub(super) dy: &'a [f32],
    pub(super) dx: &'a mut [f32],
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (w, ow) = (self.w, self.w.output[2]);
        // Windows that do not overlap write each element at most once; where they also leave nothing out, all of them.
        let apart = (0..3).all(|a| w.stride[a] > (w.kernel[a] - 1) * w.dilation[a]);
        let all = (0..3).all(|a| {
            w.dilation[a] == 1
                && w.stride[a] == w.kernel[a]
                && w.output[a] * w.stride[a] >= w.input[a] + w.before[a]
        });
        if !(apart && all) {
            self.dx.fill(0.0);
        }
        for line in 0..w.output[0] * w.output[1] {
            let spans = (span(w, 0, line / w.output[1]), span(w, 1, line % w.output[1]));
            for o in 0..ow {
                let at = (line * ow + o) * w.channels;
                let dy = &self.dy[at..];
                each_group!(S, w.channels, |c, G, lanes| {
                    spread::<S, G>(s, w, self.max, dy, self.dx, at, spans, o, c, lanes, apart);
                });
            }
        }
    }
}

/// What `G` registers of one window's dy, from channel `c` on, give to dx; `lanes` channels in each. `at` is where the
/// window's row begins in y, `o` its position along the width, `apart` whether no other window has its elements.
#[inline(always)]
fn spread<S: Simd, const G: usize>(
    s: S,
    w: &Window,
    max: Option<(&[f32], &[f32])>,
    dy: &[f32],
    dx: &mut [f32],
    at: usize,
    (depth, height): ((usize, usize), (usize, usize)),
    o: usize,
    c: usize,
    lanes: usize,
    apart: bool,
) {
    let (len, zero) = ((G - 1) * S::LANES + lanes, s.splat(0.0));
    let (mut d, mut y) = (read::<S, G>(s, &dy[c..], lanes), [zero; G]);
    match max {
        Some((_, all)) => y = read(s, &all[at + c..], lanes),
        None => {
            let share = s.splat(1.0 / (depth.1 * height.1 * span(w, 2, o).1) as f32);
            for d in &mut d {
                *d = *d * share;
            }
        }
    }
    each_tap(
        w,
        depth,
        height,
        o,
        #[inline(always)]
        |tap| {
            let mut add = d;
            if let Some((x, _)) = max {
                let x = read::<S, G>(s, &x[tap * w.channels + c..], lanes);
                for g in 0..G {
                    let equal = x[g].ge(y[g]); // y is the largest
                    add[g] = S::V::select(equal, d[g], zero);
                    d[g] = S::V::select(equal, zero, d[g]); // the first one has it all
                }
            }
            if !apart {
                let before = read::<S, G>(s, &dx[tap * w.channels + c..], lanes);
                for g in 0..G {
                    add[g] = add[g] + before[g];
                }
            }
            let dx = &mut dx[tap * w.channels + c..][..len];
            for (g, add) in add.into_iter().enumerate() {
                // SAFETY: the slice has `lanes` numbers in each of the G registers.
                unsafe { s.store_up_to(add, dx.as_mut_ptr().add(g * S::LANES), lanes) };
            }
        },
    );
}

/// G registers from the start of `from`, `lanes` floats in each.
#[inline(always)]
fn read<S: Simd, const G: usize>(s: S, from: &[f32], lanes: usize) -> [S::V; G] {
    let (from, mut v) = (&from[..(G - 1) * S::LANES + lanes], [s.splat(0.0); G]);
    for (g, v) in v.iter_mut().enumerate() {
        // SAFETY: the slice has `lanes` numbers in each of the G registers.
        *v = unsafe { s.load_up_to(from.as_ptr().add(g * S::LANES), lanes) };
    }
    v
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::window::Padding;

    /// `span` against the definition, `Window::at`.
    #[test]
    fn spans_are_the_taps_inside() {
        for (n, k, s, d, padding) in [
            (7, 3, 1, 1, Padding::Same),
            (7, 3, 2, 1, Padding::Same),
            (8, 3, 2, 1, Padding::Same),
            (9, 4, 3, 1, Padding::Valid),
            (9, 3, 1, 3, Padding::Same),
            (2, 5, 1, 2, Padding::Same),
        ] {
            let w = Window::new([n, 1].into(), &[k], &[s], &[d], padding).unwrap();
            for o in 0..w.output[2] {
                let inside: Vec<usize> = (0..k).filter_map(|k| w.at(2, o, k)).collect();
                let (first, count) = span(&w, 2, o);
                let ours: Vec<usize> = (0..count).map(|k| first + k * d).collect();
                assert_eq!(ours, inside, "{w:?} at {o}");
            }
        }
    }
}
