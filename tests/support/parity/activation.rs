//! Activations and their derivatives.

use super::*;
use handgrad::Activation;
use handgrad::activations::{Custom, SELU_ALPHA, SELU_SCALE};

/// Every activation that works element by element.
fn elementwise() -> [Activation; 15] {
    [
        Activation::Linear,
        Activation::Relu,
        Activation::Sigmoid,
        Activation::Tanh,
        Activation::Softplus,
        Activation::Softsign,
        Activation::Elu { alpha: 1.0 },
        Activation::Elu { alpha: 0.7 },
        Activation::Selu,
        Activation::Exponential,
        Activation::LeakyRelu { negative_slope: 0.2 },
        Activation::Gelu { approximate: false },
        Activation::Gelu { approximate: true },
        Activation::Silu,
        Activation::Custom(Custom { name: "square", f: |x| x * x, df: |x| 2.0 * x }),
    ]
}

/// Where functions change their formula, overflow, or lose digits.
const POINTS: [f64; 20] = [
    0.0, -0.0, 1e-30, -1e-30, 1e-6, -1e-6, 1e-3, -1e-3, 0.5, -0.5, 1.0, -1.0, 5.0, -5.0, 12.0, -12.0, 30.0,
    -30.0, 80.0, -80.0,
];

/// Random numbers of a spread of 3, and behind them the points, as far as there is room.
fn arguments(draw: &mut Draw, n: usize) -> Array {
    let mut x = draw.normal([n]).map(|x| 3.0 * x);
    x.values.iter_mut().rev().zip(POINTS).for_each(|(x, p)| *x = f64::from(p as f32));
    x
}

pub(super) fn cases(t: &mut Table) {
    for n in SIZES.into_iter().chain([0, 1000, 100_003]) {
        for f in elementwise() {
            forward(t, f, n);
            backward(t, f, n);
        }
    }
    for (i, cols) in SIZES.into_iter().chain([10, 1000, 3000]).enumerate() {
        for rows in [SIZES[(7 * i + 2) % SIZES.len()], 130] {
            softmax(t, rows, cols);
        }
    }
    not_a_number(t);
}

fn forward(t: &mut Table, f: Activation, n: usize) {
    let x = arguments(&mut t.draw(), n);
    t.case(format!("activate {f:?} {n}"), move |r| {
        let mut y = r.input_fit(&x, Fit::Free);
        r.device.activate(f, y.view_mut())?;
        r.show("y", &y, |want| match f {
            Activation::Linear | Activation::Relu => exact(want),
            Activation::LeakyRelu { .. } | Activation::Custom(_) => ulps(1.0)(want),
            // Exponents: what rounds their argument is multiplied by it.
            Activation::Gelu { approximate: true } => {
                let inner = |x: f64| (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
                let of = |(w, x): (&f64, &f64)| (6.0 + 8.0 * inner(*x).abs()) * EPS * w.abs();
                want.iter().zip(&x.values).map(of).collect()
            }
            _ => ulps(6.0)(want),
        });
        Ok(())
    });
}

fn backward(t: &mut Table, f: Activation, n: usize) {
    let mut draw = t.draw();
    let x = arguments(&mut draw, n);
    let dy = draw.normal([n]);
    // y as a device in f32 has it.
    let y = x.clone();
    let mut exact_y = y.reference();
    Device::reference().activate(f, exact_y.view_mut()).unwrap();
    let y = Array::new([n], exact_y.view().to_vec_f64());
    t.case(format!("activation_backward {f:?} {n}"), move |r| {
        let vx = f.needs_input().then(|| r.input(&x));
        let (vy, mut d) = (r.input(&y), r.input(&dy));
        r.device.activation_backward(f, vx.as_ref().map(Buffer::view), vy.view(), d.view_mut())?;
        let size = |e: usize| {
            let (x, y, dy) = (x.values[e], y.values[e], dy.values[e].abs());
            let density = (-x * x / 2.0).exp() / std::f64::consts::TAU.sqrt();
            let s = 1.0 / (1.0 + (-x).exp());
            dy * match f {
                Activation::Tanh => 1.0 + y * y,
                Activation::Elu { alpha } => y.abs() + alpha,
                Activation::Selu => y.abs() + SELU_SCALE * SELU_ALPHA,
                Activation::Gelu { approximate: false } => x.abs() * density,
                Activation::Gelu { approximate: true } => {
                    // 0.5 (1 + t) + 0.5 x (1 − t²) u′: all as powers of e^u, whose roundings grow with u.
                    let u = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
                    let slope = (2.0 / std::f64::consts::PI).sqrt() * (1.0 + 3.0 * 0.044715 * x * x);
                    // A subnormal tail is rounded as coarsely as the smallest normal number.
                    let tail = (1.0 / (1.0 + (-2.0 * u).exp())).max(f64::from(f32::MIN_POSITIVE));
                    (1.0 + u.abs()) * (tail + 2.0 * x.abs() * tail * (1.0 - tail) * slope)
                }
                Activation::Silu => s * (1.0 + x.abs() * (1.0 - s)),
                _ => 0.0,
            }
        };
        r.show("dy", &d, |want| match f {
            Activation::Linear | Activation::Relu => exact(want),
            _ => (0..want.len()).map(|e| 8.0 * EPS * (want[e].abs() + size(e))).collect(),
        });
        Ok(())
    });
}

fn softmax(t: &mut Table, rows: usize, cols: usize) {
    let mut draw = t.draw();
    let mut x = draw.normal([rows, cols]).map(|x| 5.0 * x);
    x.values[..cols].iter_mut().for_each(|x| *x = f64::from((*x + 1000.0) as f32)); // e^1000 overflows
    let dy = draw.normal([rows, cols]);
    let f = Activation::Softmax;
    let mut exact_y = x.reference();
    Device::reference().activate(f, exact_y.view_mut()).unwrap();
    let y = Array::new([rows, cols], exact_y.view().to_vec_f64());
    t.case(format!("activate softmax {rows}x{cols}"), move |r| {
        let mut y = r.input_fit(&x, Fit::Free);
        r.device.activate(f, y.view_mut())?;
        r.show("y", &y, |want| {
            let max = |row: &[f64]| row.iter().fold(f64::NEG_INFINITY, |a, &b| a.max(b));
            let largest: Vec<f64> = x.values.chunks_exact(cols).map(max).collect();
            // The exponent x − max is rounded once; the sum has one term for each column.
            let size = |e: usize| 4.0 + (largest[e / cols] - x.values[e]) / 2.0 + additions(cols);
            (0..want.len()).map(|e| size(e) * EPS * want[e]).collect()
        });
        Ok(())
    });
    t.case(format!("activation_backward softmax {rows}x{cols}"), move |r| {
        let (vy, mut d) = (r.input(&y), r.input(&dy));
        r.device.activation_backward(f, None, vy.view(), d.view_mut())?;
        r.show("dy", &d, |want| {
            let terms: Vec<f64> = y.values.iter().zip(&dy.values).map(|(y, d)| (y * d).abs()).collect();
            let dots: Vec<f64> = terms.chunks_exact(cols).map(|row| row.iter().sum()).collect();
            let size = |e: usize| y.values[e] * (2.0 * dy.values[e].abs() + additions(cols) * dots[e / cols]);
            (0..want.len()).map(|e| EPS * size(e)).collect()
        });
        Ok(())
    });
}

/// A model that has diverged must not look healthy behind an activation.
fn not_a_number(t: &mut Table) {
    for f in elementwise() {
        t.case(format!("activate {f:?} of NaN"), move |r| {
            let mut y = r.input_fit(&Array::new([33], [f64::NAN; 33]), Fit::Free);
            r.device.activate(f, y.view_mut())?;
            r.show("y", &y, exact);
            Ok(())
        });
    }
}
