//! Normalisation over columns.

use super::check;
use crate::backend::Affine;
use crate::error::Result;
use crate::tensor::{View, ViewMut};

pub(super) fn moments(x: View, mean: ViewMut, variance: ViewMut) -> Result<()> {
    let (rows, cols) = x.shape().as_matrix();
    let shapes = [("x", x.shape()), ("mean", mean.shape()), ("variance", variance.shape())];
    check("moments", rows > 0 && mean.len() == cols && variance.len() == cols, &shapes)?;
    let (x, mean, variance) = (x.f64()?, mean.f64()?, variance.f64()?);
    for j in 0..cols {
        mean[j] = (0..rows).map(|r| x[r * cols + j]).sum::<f64>() / rows as f64;
        variance[j] = (0..rows).map(|r| (x[r * cols + j] - mean[j]).powi(2)).sum::<f64>() / rows as f64;
    }
    Ok(())
}

/// Whether every part of `a` has `cols` columns.
fn check_affine(op: &'static str, a: &Affine, cols: usize) -> Result<()> {
    let parts =
        [("mean", Some(a.mean)), ("variance", Some(a.variance)), ("gamma", a.gamma), ("beta", a.beta)];
    for (name, part) in parts {
        if let Some(part) = part {
            check(op, part.len() == cols, &[(name, part.shape()), ("columns", cols.into())])?;
        }
    }
    Ok(())
}

pub(super) fn normalize(a: &Affine, x: View, y: ViewMut) -> Result<()> {
    let (rows, cols) = x.shape().as_matrix();
    check("normalize", y.shape().as_matrix() == (rows, cols), &[("x", x.shape()), ("y", y.shape())])?;
    check_affine("normalize", a, cols)?;
    let (mean, variance) = (a.mean.f64()?, a.variance.f64()?);
    let (gamma, beta) = (a.gamma.map(View::f64).transpose()?, a.beta.map(View::f64).transpose()?);
    let (x, y) = (x.f64()?, y.f64()?);
    for r in 0..rows {
        for j in 0..cols {
            let xhat = (x[r * cols + j] - mean[j]) / (variance[j] + a.epsilon).sqrt();
            y[r * cols + j] = gamma.map_or(1.0, |g| g[j]) * xhat + beta.map_or(0.0, |b| b[j]);
        }
    }
    Ok(())
}

pub(super) fn normalize_backward(
    a: &Affine,
    x: View,
    dy: View,
    dgamma: ViewMut,
    dbeta: ViewMut,
    dx: Option<ViewMut>,
) -> Result<()> {
    let op = "normalize_backward";
    let (rows, cols) = x.shape().as_matrix();
    check(op, dy.shape().as_matrix() == (rows, cols), &[("x", x.shape()), ("dy", dy.shape())])?;
    let both = [("x", x.shape()), ("dgamma", dgamma.shape()), ("dbeta", dbeta.shape())];
    check(op, dgamma.len() == cols && dbeta.len() == cols, &both)?;
    if let Some(dx) = &dx {
        check(op, dx.len() == x.len(), &[("x", x.shape()), ("dx", dx.shape())])?;
    }
    check_affine(op, a, cols)?;
    let (mean, variance) = (a.mean.f64()?, a.variance.f64()?);
    let gamma = a.gamma.map(View::f64).transpose()?;
    let (x, dy, dgamma, dbeta) = (x.f64()?, dy.f64()?, dgamma.f64()?, dbeta.f64()?);
    let root = |j: usize| (variance[j] + a.epsilon).sqrt();
    let xhat = |r: usize, j: usize| (x[r * cols + j] - mean[j]) / root(j);
    for j in 0..cols {
        dgamma[j] = (0..rows).map(|r| dy[r * cols + j] * xhat(r, j)).sum();
        dbeta[j] = (0..rows).map(|r| dy[r * cols + j]).sum();
    }
    let Some(dx) = dx else { return Ok(()) };
    let dx = dx.f64()?;
    for r in 0..rows {
        for j in 0..cols {
            let centred = dy[r * cols + j] - dbeta[j] / rows as f64 - xhat(r, j) * dgamma[j] / rows as f64;
            dx[r * cols + j] = gamma.map_or(1.0, |g| g[j]) / root(j) * centred;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::Device;
    use crate::backend::Affine;

    /// The backward against a central difference of Σ r·y, through the moments.
    #[test]
    fn backward_is_the_derivative_through_the_moments() {
        let dev = Device::reference();
        let x = [0.3, -1.0, 2.0, 0.7, -0.4, 0.1, 1.1, 0.9];
        let r = dev.tensor([4, 2], &[1.0, -0.5, 0.3, 0.8, -1.2, 0.4, 0.6, -0.9]).unwrap();
        let gamma = dev.tensor([2], &[1.5, -0.7]).unwrap();
        let (mut mean, mut var) = (dev.zeros([2].into()).unwrap(), dev.zeros([2].into()).unwrap());
        let mut run = |x: &[f64]| {
            let x = dev.tensor([4, 2], x).unwrap();
            dev.moments(x.view(), mean.view_mut(), var.view_mut()).unwrap();
            let affine = Affine {
                mean: mean.view(),
                variance: var.view(),
                gamma: Some(gamma.view()),
                beta: None,
                epsilon: 1e-3,
            };
            let mut y = dev.zeros([4, 2].into()).unwrap();
            dev.normalize(&affine, x.view(), y.view_mut()).unwrap();
            let loss: f64 =
                y.view().f64().unwrap().iter().zip(r.view().f64().unwrap()).map(|(y, r)| y * r).sum();
            let [mut dg, mut db] = [0; 2].map(|_| dev.zeros([2].into()).unwrap());
            let mut dx = dev.zeros([4, 2].into()).unwrap();
            let out = (dg.view_mut(), db.view_mut(), Some(dx.view_mut()));
            dev.normalize_backward(&affine, x.view(), r.view(), out.0, out.1, out.2).unwrap();
            (loss, dx.view().to_vec_f64())
        };
        let (_, dx) = run(&x);
        for i in 0..x.len() {
            let h = 1e-5;
            let (mut up, mut down) = (x, x);
            up[i] += h;
            down[i] -= h;
            let numeric = (run(&up).0 - run(&down).0) / (2.0 * h);
            assert!((numeric - dx[i]).abs() <= 1e-8, "{numeric} and {}", dx[i]);
        }
    }
}
