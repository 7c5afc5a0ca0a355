//! Normalisation over columns.

use super::*;
use handgrad::backend::Affine;

const EPSILON: f64 = 1e-3;

/// Rows and columns; the last ones are shared out to several threads.
fn matrices() -> impl Iterator<Item = (usize, usize)> {
    let small = SIZES.into_iter().enumerate().map(|(i, rows)| (rows, SIZES[(5 * i + 3) % SIZES.len()]));
    small.chain([(65, 1), (1, 65), (300, 301), (20_011, 3), (5, 20_011)])
}

/// A matrix with its columns' moments, and what else a normalisation takes, as f32 has them.
#[derive(Clone)]
struct Columns {
    rows: usize,
    cols: usize,
    x: Array,
    mean: Array,
    variance: Array,
    gamma: Array,
    beta: Array,
}

impl Columns {
    /// Columns whose mean is about `offset`: a large one ruins E x² − μ².
    fn new(draw: &mut Draw, rows: usize, cols: usize, offset: f64) -> Columns {
        let x = draw.normal([rows, cols]).map(|x| x + offset);
        let column = |j: usize| (0..rows).map(move |r| r * cols + j);
        let mean = |j: usize| column(j).map(|e| x.values[e]).sum::<f64>() / rows as f64;
        let means: Vec<f64> = (0..cols).map(mean).collect();
        let variance =
            |j: usize| column(j).map(|e| (x.values[e] - means[j]).powi(2)).sum::<f64>() / rows as f64;
        let variances: Vec<f64> = (0..cols).map(variance).collect();
        let (gamma, beta) = (draw.normal([cols]), draw.normal([cols]));
        let (mean, variance) = (Array::new([cols], means), Array::new([cols], variances));
        Columns { rows, cols, x, mean, variance, gamma, beta }
    }

    /// 1 / √(σ² + ε).
    fn inverse(&self, j: usize) -> f64 {
        (self.variance.values[j] + EPSILON).sqrt().recip()
    }

    fn xhat(&self, r: usize, j: usize) -> f64 {
        (self.x.values[r * self.cols + j] - self.mean.values[j]) * self.inverse(j)
    }
}

pub(super) fn cases(t: &mut Table) {
    for (rows, cols) in matrices() {
        for offset in [0.0, 100.0] {
            let c = Columns::new(&mut t.draw(), rows, cols, offset);
            moments(t, &c, offset);
            for affine in [false, true] {
                forward(t, &c, affine);
            }
            if offset == 0.0 {
                backward(t, &c, false, true);
                backward(t, &c, true, true);
                backward(t, &c, true, false);
            }
        }
    }
}

fn moments(t: &mut Table, c: &Columns, offset: f64) {
    let (rows, cols, x) = (c.rows, c.cols, c.x.clone());
    t.case(format!("moments {rows}x{cols} around {offset}"), move |r| {
        let (vx, mut mean, mut variance) =
            (r.input_fit(&x, Fit::Columns), r.output([cols]), r.output([cols]));
        r.device.moments(vx.view(), mean.view_mut(), variance.view_mut())?;
        let size = |j: usize| (0..rows).map(|i| x.values[i * cols + j].abs()).sum::<f64>() / rows as f64;
        let sizes: Vec<f64> = (0..cols).map(size).collect();
        let off = times(additions(rows), &sizes)(&[]);
        r.show("mean", &mean, |_| off.clone());
        // In two passes the mean's own error counts squared.
        r.show("variance", &variance, |want| {
            (0..cols).map(|j| (additions(rows) + 2.0) * EPS * want[j] + off[j] * off[j]).collect()
        });
        Ok(())
    });
}

fn forward(t: &mut Table, c: &Columns, affine: bool) {
    let c = c.clone();
    let (rows, cols) = (c.rows, c.cols);
    t.case(format!("normalize {rows}x{cols}, affine {affine}"), move |r| {
        let (mean, variance) = (r.input(&c.mean), r.input(&c.variance));
        let (gamma, beta) = (affine.then(|| r.input(&c.gamma)), affine.then(|| r.input(&c.beta)));
        let (x, mut y) = (r.input(&c.x), r.output([rows, cols]));
        let a = Affine {
            mean: mean.view(),
            variance: variance.view(),
            gamma: gamma.as_ref().map(Buffer::view),
            beta: beta.as_ref().map(Buffer::view),
            epsilon: EPSILON,
        };
        r.device.normalize(&a, x.view(), y.view_mut())?;
        r.show("y", &y, |_| {
            let (gamma, beta) = match affine {
                true => (c.gamma.values.clone(), c.beta.values.clone()),
                false => (vec![1.0; cols], vec![0.0; cols]),
            };
            let size = |e: usize| (gamma[e % cols] * c.xhat(e / cols, e % cols)).abs() + beta[e % cols].abs();
            (0..rows * cols).map(|e| 4.0 * EPS * size(e)).collect()
        });
        Ok(())
    });
}

fn backward(t: &mut Table, c: &Columns, gamma: bool, wants_dx: bool) {
    let c = c.clone();
    let (rows, cols) = (c.rows, c.cols);
    let dy = t.draw().normal([rows, cols]);
    t.case(format!("normalize_backward {rows}x{cols}, gamma {gamma}, dx {wants_dx}"), move |r| {
        let (mean, variance) = (r.input(&c.mean), r.input(&c.variance));
        let vgamma = gamma.then(|| r.input(&c.gamma));
        let (x, vdy) = (r.input(&c.x), r.input(&dy));
        let (mut dgamma, mut dbeta) = (r.output([cols]), r.output([cols]));
        let mut dx = wants_dx.then(|| r.output([rows, cols]));
        let a = Affine {
            mean: mean.view(),
            variance: variance.view(),
            gamma: vgamma.as_ref().map(Buffer::view),
            beta: None,
            epsilon: EPSILON,
        };
        let (dg, db) = (dgamma.view_mut(), dbeta.view_mut());
        r.device.normalize_backward(&a, x.view(), vdy.view(), dg, db, dx.as_mut().map(Buffer::view_mut))?;
        let sum = |f: &dyn Fn(usize) -> f64| (0..rows).map(f).sum::<f64>();
        let dy_at = |i: usize, j: usize| dy.values[i * cols + j].abs();
        let gammas: Vec<f64> = (0..cols).map(|j| sum(&|i| dy_at(i, j) * c.xhat(i, j).abs())).collect();
        let betas: Vec<f64> = (0..cols).map(|j| sum(&|i| dy_at(i, j))).collect();
        r.show("dgamma", &dgamma, times(additions(rows) + 2.0, &gammas));
        r.show("dbeta", &dbeta, times(additions(rows), &betas));
        if let Some(dx) = &dx {
            r.show("dx", dx, |_| {
                let of = |e: usize| {
                    let (i, j) = (e / cols, e % cols);
                    let shared = (additions(rows) + 4.0) / rows as f64;
                    let size = 4.0 * dy_at(i, j) + shared * (betas[j] + c.xhat(i, j).abs() * gammas[j]);
                    EPS * c.inverse(j) * if gamma { c.gamma.values[j].abs() } else { 1.0 } * size
                };
                (0..rows * cols).map(of).collect()
            });
        }
        Ok(())
    });
}
