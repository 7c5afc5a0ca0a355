//! Windows that slide over space: unrolling for convolution, and pooling.

use super::check;
use crate::error::Result;
use crate::shape::Shape;
use crate::tensor::{View, ViewMut};
use crate::window::Window;

/// Calls `visit` with every (output row, kernel position, input row) that meet: the output row counts
/// n, od, oh, ow; the kernel position kd, kh, kw; the input row n, d, h, w. Positions in the padding are left out.
fn each_meeting(w: &Window, n: usize, mut visit: impl FnMut(usize, usize, usize)) {
    let ([od, oh, ow], [kd, kh, kw], [id, ih, iw]) = (w.output, w.kernel, w.input);
    for n in 0..n {
        for (d, h, v) in triples(od, oh, ow) {
            let row = ((n * od + d) * oh + h) * ow + v;
            for (a, b, c) in triples(kd, kh, kw) {
                if let (Some(z), Some(y), Some(x)) = (w.at(0, d, a), w.at(1, h, b), w.at(2, v, c)) {
                    visit(row, (a * kh + b) * kw + c, ((n * id + z) * ih + y) * iw + x);
                }
            }
        }
    }
}

/// All (i, j, k) below the given ends, the last one fastest.
fn triples(a: usize, b: usize, c: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..a).flat_map(move |i| (0..b).flat_map(move |j| (0..c).map(move |k| (i, j, k))))
}

/// The batch, if `x` holds images [N, D, H, W, C] and `out` is a matrix with a row for each of their windows.
fn batch(op: &'static str, w: &Window, x: (&str, Shape), out: (&str, Shape), cols: usize) -> Result<usize> {
    let n = x.1.rows();
    let fit = x.1.rank() > 1 && x.1.len() == n * w.input_len() && x.1.last() == w.channels;
    check(op, fit && out.1.as_matrix() == (n * w.positions(), cols), &[x, out])?;
    Ok(n)
}

pub(super) fn im2col(w: &Window, x: View, cols: ViewMut) -> Result<()> {
    let n = batch("im2col", w, ("x", x.shape()), ("cols", cols.shape()), w.taps())?;
    let (x, cols, c) = (x.f64()?, cols.f64()?, w.channels);
    cols.fill(0.0);
    each_meeting(w, n, |row, k, i| {
        let to = row * w.taps() + k * c;
        cols[to..to + c].copy_from_slice(&x[i * c..(i + 1) * c]);
    });
    Ok(())
}

pub(super) fn col2im(w: &Window, dcols: View, dx: ViewMut) -> Result<()> {
    let n = batch("col2im", w, ("dx", dx.shape()), ("dcols", dcols.shape()), w.taps())?;
    let (dcols, dx, c) = (dcols.f64()?, dx.f64()?, w.channels);
    dx.fill(0.0);
    each_meeting(w, n, |row, k, i| {
        for e in 0..c {
            dx[i * c + e] += dcols[row * w.taps() + k * c + e];
        }
    });
    Ok(())
}

pub(super) fn max_pool(w: &Window, x: View, y: ViewMut) -> Result<()> {
    let n = batch("max_pool", w, ("x", x.shape()), ("y", y.shape()), w.channels)?;
    let (x, y, c) = (x.f64()?, y.f64()?, w.channels);
    y.fill(f64::NEG_INFINITY);
    each_meeting(w, n, |row, _, i| {
        for e in 0..c {
            if x[i * c + e] > y[row * c + e] {
                y[row * c + e] = x[i * c + e];
            }
        }
    });
    Ok(())
}

pub(super) fn max_pool_backward(w: &Window, x: View, y: View, dy: View, dx: ViewMut) -> Result<()> {
    let op = "max_pool_backward";
    let n = batch(op, w, ("x", x.shape()), ("y", y.shape()), w.channels)?;
    check(op, dy.len() == y.len(), &[("y", y.shape()), ("dy", dy.shape())])?;
    check(op, dx.len() == x.len(), &[("x", x.shape()), ("dx", dx.shape())])?;
    let (x, y, dy, dx, c) = (x.f64()?, y.f64()?, dy.f64()?, dx.f64()?, w.channels);
    dx.fill(0.0);
    for e in 0..c {
        let mut served = None; // the window whose dy has found its element
        each_meeting(w, n, |row, _, i| {
            if served != Some(row) && x[i * c + e] == y[row * c + e] {
                dx[i * c + e] += dy[row * c + e];
                served = Some(row);
            }
        });
    }
    Ok(())
}

pub(super) fn average_pool(w: &Window, x: View, y: ViewMut) -> Result<()> {
    let n = batch("average_pool", w, ("x", x.shape()), ("y", y.shape()), w.channels)?;
    let (x, y, c) = (x.f64()?, y.f64()?, w.channels);
    y.fill(0.0);
    each_meeting(w, n, |row, _, i| {
        for e in 0..c {
            y[row * c + e] += x[i * c + e] / window_len(w, row);
        }
    });
    Ok(())
}

pub(super) fn average_pool_backward(w: &Window, dy: View, dx: ViewMut) -> Result<()> {
    let n = batch("average_pool_backward", w, ("dx", dx.shape()), ("dy", dy.shape()), w.channels)?;
    let (dy, dx, c) = (dy.f64()?, dx.f64()?, w.channels);
    dx.fill(0.0);
    each_meeting(w, n, |row, _, i| {
        for e in 0..c {
            dx[i * c + e] += dy[row * c + e] / window_len(w, row);
        }
    });
    Ok(())
}

/// How many positions of output row `row`'s window lie inside the input.
fn window_len(w: &Window, row: usize) -> f64 {
    let [od, oh, ow] = w.output;
    let at = [row / (oh * ow) % od, row / ow % oh, row % ow];
    let inside = |axis: usize| (0..w.kernel[axis]).filter(|&k| w.at(axis, at[axis], k).is_some()).count();
    (inside(0) * inside(1) * inside(2)) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Device, Padding};

    /// Worked by hand: 3×3, window 2×2, `same`, so the last row and column of windows look into the padding.
    #[test]
    fn a_small_picture() {
        let dev = Device::reference();
        let w = Window::new([3, 3, 1].into(), &[2, 2], &[2, 2], &[1, 1], Padding::Same).unwrap();
        let x = dev.tensor([1, 3, 3, 1], &[1., 2., 3., 4., 5., 6., 7., 8., 9.]).unwrap();
        let mut cols = dev.zeros([4, 4].into()).unwrap();
        dev.im2col(&w, x.view(), cols.view_mut()).unwrap();
        assert_eq!(cols.to_vec(), [1., 2., 4., 5., 3., 0., 6., 0., 7., 8., 0., 0., 9., 0., 0., 0.]);
        let mut y = dev.zeros([1, 2, 2, 1].into()).unwrap();
        dev.average_pool(&w, x.view(), y.view_mut()).unwrap();
        assert_eq!(y.to_vec(), [3.0, 4.5, 7.5, 9.0]);
        dev.max_pool(&w, x.view(), y.view_mut()).unwrap();
        assert_eq!(y.to_vec(), [5., 6., 8., 9.]);
        let dy = dev.tensor([1, 2, 2, 1], &[1., 2., 4., 8.]).unwrap();
        let mut dx = dev.zeros([1, 3, 3, 1].into()).unwrap();
        dev.max_pool_backward(&w, x.view(), y.view(), dy.view(), dx.view_mut()).unwrap();
        assert_eq!(dx.to_vec(), [0., 0., 0., 0., 1., 2., 0., 4., 8.]);
        dev.average_pool_backward(&w, dy.view(), dx.view_mut()).unwrap();
        assert_eq!(dx.to_vec(), [0.25, 0.25, 1., 0.25, 0.25, 1., 2., 2., 8.]);
        assert!(dev.max_pool(&w, x.view(), cols.view_mut()).is_err());
    }

    /// Of equals in one window, the first gets the whole gradient; col2im is im2col's transpose: ⟨Ax, r⟩ = ⟨x, Aᵀr⟩.
    #[test]
    fn ties_and_the_transpose() {
        let dev = Device::reference();
        let w = Window::new([4, 1].into(), &[3], &[1], &[1], Padding::Valid).unwrap();
        let x = dev.tensor([1, 4, 1], &[7., 7., 7., 1.]).unwrap();
        let (y, dy) = (dev.tensor([1, 2, 1], &[7., 7.]).unwrap(), dev.tensor([1, 2, 1], &[1., 10.]).unwrap());
        let mut dx = dev.zeros([1, 4, 1].into()).unwrap();
        dev.max_pool_backward(&w, x.view(), y.view(), dy.view(), dx.view_mut()).unwrap();
        assert_eq!(dx.to_vec(), [1., 10., 0., 0.]);

        let r = dev.tensor([2, 3], &[1., 10., 100., 1000., 1e4, 1e5]).unwrap();
        dev.col2im(&w, r.view(), dx.view_mut()).unwrap();
        assert_eq!(dx.to_vec(), [1., 1010., 10100., 1e5]);
    }
}
