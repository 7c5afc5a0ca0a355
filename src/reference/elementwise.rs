//! Element by element, bias and dropout.

use super::check;
use crate::backend::HostRows;
use crate::error::{Error, Result};
use crate::rng::Noise;
use crate::tensor::{View, ViewMut};

pub(super) fn load_rows(rows: HostRows, order: &[u32], y: ViewMut) -> Result<()> {
    let width = rows.width(order, y.shape())?;
    if width == 0 {
        return Ok(());
    }
    for (&r, out) in order.iter().zip(y.f64()?.chunks_exact_mut(width)) {
        let at = r as usize * width..(r as usize + 1) * width;
        match rows {
            HostRows::F32(v) => out.iter_mut().zip(&v[at]).for_each(|(o, &x)| *o = x.into()),
            HostRows::U8 { bytes, scale } => {
                out.iter_mut().zip(&bytes[at]).for_each(|(o, &x)| *o = f64::from(x) * f64::from(scale));
            }
        }
    }
    Ok(())
}

pub(super) fn fill(value: f64, y: ViewMut) -> Result<()> {
    y.f64()?.fill(value);
    Ok(())
}

/// y = f(x, y), element by element.
fn zip(op: &'static str, x: View, y: ViewMut, f: impl Fn(f64, f64) -> f64) -> Result<()> {
    check(op, x.len() == y.len(), &[("x", x.shape()), ("y", y.shape())])?;
    y.f64()?.iter_mut().zip(x.f64()?).for_each(|(y, &x)| *y = f(x, *y));
    Ok(())
}

pub(super) fn copy(x: View, y: ViewMut) -> Result<()> {
    zip("copy", x, y, |x, _| x)
}

pub(super) fn scale(a: f64, y: ViewMut) -> Result<()> {
    y.f64()?.iter_mut().for_each(|y| *y *= a);
    Ok(())
}

pub(super) fn add_scaled(a: f64, x: View, y: ViewMut) -> Result<()> {
    zip("add_scaled", x, y, |x, y| y + a * x)
}

pub(super) fn interpolate(a: f64, x: View, y: ViewMut) -> Result<()> {
    zip("interpolate", x, y, |x, y| y + a * (x - y))
}

pub(super) fn multiply(x: View, y: ViewMut) -> Result<()> {
    zip("multiply", x, y, |x, y| x * y)
}

pub(super) fn clamp(low: f64, high: f64, y: ViewMut) -> Result<()> {
    // Comparisons, so that NaN stays NaN.
    for y in y.f64()? {
        if *y < low {
            *y = low;
        }
        if *y > high {
            *y = high;
        }
    }
    Ok(())
}

pub(super) fn swap_axes(x: View, y: ViewMut) -> Result<()> {
    let (from, to) = (x.shape(), y.shape());
    let (f, t) = (from.dims(), to.dims());
    let fit = f.len() >= 2 && f.len() == t.len() && f[0] == t[1] && f[1] == t[0] && f[2..] == t[2..];
    check("swap_axes", fit, &[("x", from), ("y", to)])?;
    let (a, b, rest) = (f[0], f[1], f[2..].iter().product::<usize>());
    let (x, y) = (x.f64()?, y.f64()?);
    for i in 0..a {
        for j in 0..b {
            for e in 0..rest {
                y[(j * a + i) * rest + e] = x[(i * b + j) * rest + e];
            }
        }
    }
    Ok(())
}

pub(super) fn copy_columns(x: View, from: usize, y: ViewMut, to: usize, width: usize) -> Result<()> {
    let ((rows, cx), (ry, cy)) = (x.shape().as_matrix(), y.shape().as_matrix());
    let inside = |start: usize, c| start.checked_add(width).is_some_and(|end| end <= c);
    if rows != ry || !inside(from, cx) || !inside(to, cy) {
        let (x, y) = (x.shape(), y.shape());
        let problem = format!("{width} columns from column {from} of {x} to column {to} of {y}");
        return Err(Error::op("copy_columns", problem));
    }
    let (x, y) = (x.f64()?, y.f64()?);
    for r in 0..rows {
        for j in 0..width {
            y[r * cy + to + j] = x[r * cx + from + j];
        }
    }
    Ok(())
}

pub(super) fn add_bias(b: View, y: ViewMut) -> Result<()> {
    let (rows, cols) = y.shape().as_matrix();
    check("add_bias", b.len() == cols, &[("b", b.shape()), ("y", y.shape())])?;
    let (b, y) = (b.f64()?, y.f64()?);
    for r in 0..rows {
        for j in 0..cols {
            y[r * cols + j] += b[j];
        }
    }
    Ok(())
}

pub(super) fn sum_rows(x: View, y: ViewMut) -> Result<()> {
    let (rows, cols) = x.shape().as_matrix();
    check("sum_rows", y.len() == cols, &[("x", x.shape()), ("y", y.shape())])?;
    let (x, y) = (x.f64()?, y.f64()?);
    y.fill(0.0);
    for r in 0..rows {
        for j in 0..cols {
            y[j] += x[r * cols + j];
        }
    }
    Ok(())
}

pub(super) fn dropout(rate: f64, noise: Noise, x: View, y: ViewMut) -> Result<()> {
    check("dropout", x.len() == y.len(), &[("x", x.shape()), ("y", y.shape())])?;
    if !(0.0..1.0).contains(&rate) {
        return Err(Error::op("dropout", format!("the rate {rate} is not in 0 .. 1")));
    }
    let (x, y) = (x.f64()?, y.f64()?);
    for e in 0..x.len() {
        let keep = f64::from(noise.word(e as u64)) >= rate * 32f64.exp2();
        y[e] = if keep { x[e] / (1.0 - rate) } else { 0.0 };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::{Device, HostRows};

    #[test]
    fn rows_are_gathered_and_bytes_scaled() {
        let dev = Device::reference();
        let mut y = dev.zeros([2, 2].into()).unwrap();
        let bytes = [0, 51, 102, 153, 204, 255];
        dev.load_rows(HostRows::U8 { bytes: &bytes, scale: 0.5 }, &[2, 0], y.view_mut()).unwrap();
        assert_eq!(y.to_vec(), [102.0, 127.5, 0.0, 25.5]);
        assert!(dev.load_rows(HostRows::F32(&[0.0; 6]), &[3, 0], y.view_mut()).is_err());
        assert!(dev.load_rows(HostRows::F32(&[0.0; 5]), &[1, 0], y.view_mut()).is_err());
    }

    #[test]
    fn columns_and_axes_move() {
        let dev = Device::reference();
        let x = dev.tensor([2, 3], &[1., 2., 3., 4., 5., 6.]).unwrap();
        let mut y = dev.tensor([3, 2], &[0.0; 6]).unwrap();
        dev.swap_axes(x.view(), y.view_mut()).unwrap();
        assert_eq!(y.to_vec(), [1., 4., 2., 5., 3., 6.]);
        let mut y = dev.tensor([2, 4], &[9.0; 8]).unwrap();
        dev.copy_columns(x.view(), 1, y.view_mut(), 2, 2).unwrap();
        assert_eq!(y.to_vec(), [9., 9., 2., 3., 9., 9., 5., 6.]);
        assert!(dev.copy_columns(x.view(), 2, y.view_mut(), 0, usize::MAX).is_err());
    }

    #[test]
    fn clamp_keeps_nan() {
        let dev = Device::reference();
        let mut y = dev.tensor([4], &[-2.0, 0.5, 2.0, f64::NAN]).unwrap();
        dev.clamp(-1.0, 1.0, y.view_mut()).unwrap();
        let y = y.to_vec();
        assert!(y[..3] == [-1.0, 0.5, 1.0] && y[3].is_nan());
    }
}
