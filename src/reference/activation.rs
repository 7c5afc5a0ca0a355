//! Activations: each function above its derivative.

use super::check;
use super::erf::erfc;
use crate::activations::{Activation, SELU_ALPHA, SELU_SCALE};
use crate::error::{Error, Result};
use crate::tensor::{View, ViewMut};
use std::f64::consts::{FRAC_1_SQRT_2, PI};

pub(super) fn activate(f: Activation, y: ViewMut) -> Result<()> {
    let (rows, cols) = y.shape().as_matrix();
    let y = y.f64()?;
    if f == Activation::Softmax {
        for r in 0..rows {
            softmax(&mut y[r * cols..(r + 1) * cols]);
        }
    } else {
        y.iter_mut().for_each(|y| *y = value(f, *y));
    }
    Ok(())
}

pub(super) fn activation_backward(f: Activation, x: Option<View>, y: View, mut dy: ViewMut) -> Result<()> {
    let op = "activation_backward";
    check(op, y.len() == dy.len(), &[("y", y.shape()), ("dy", dy.shape())])?;
    if let Some(x) = x {
        check(op, x.len() == y.len(), &[("x", x.shape()), ("y", y.shape())])?;
    }
    let ((rows, cols), d) = (y.shape().as_matrix(), dy.reborrow().f64()?);
    let y = y.f64()?;
    if f == Activation::Softmax {
        for r in 0..rows {
            let at = r * cols..(r + 1) * cols;
            softmax_backward(&y[at.clone()], &mut d[at]);
        }
    } else if f.needs_input() {
        let x = x.ok_or_else(|| Error::op(op, format!("the derivative of {f} needs x")))?.f64()?;
        d.iter_mut().zip(x).for_each(|(d, &x)| *d *= slope_at(f, x));
    } else {
        d.iter_mut().zip(y).for_each(|(d, &y)| *d *= slope(f, y));
    }
    Ok(())
}

/// yᵢ = e^(xᵢ − max) / Σⱼ e^(xⱼ − max): no exponential overflows.
fn softmax(y: &mut [f64]) {
    let max = y.iter().fold(f64::NEG_INFINITY, |m, &x| m.max(x));
    y.iter_mut().for_each(|y| *y = (*y - max).exp());
    let sum: f64 = y.iter().sum();
    y.iter_mut().for_each(|y| *y /= sum);
}

/// dxᵢ = yᵢ (dyᵢ − Σⱼ dyⱼ yⱼ).
fn softmax_backward(y: &[f64], dy: &mut [f64]) {
    let dot: f64 = y.iter().zip(dy.iter()).map(|(y, d)| y * d).sum();
    dy.iter_mut().zip(y).for_each(|(d, y)| *d = y * (*d - dot));
}

/// 1 / (1 + e⁻ˣ).
pub(super) fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// f(x), element by element.
pub(super) fn value(f: Activation, x: f64) -> f64 {
    match f {
        Activation::Linear => x,
        Activation::Relu => {
            if x < 0.0 {
                0.0
            } else {
                x
            }
        } // NaN stays NaN
        Activation::Sigmoid => sigmoid(x),
        Activation::Softmax => unreachable!("softmax does not work element by element"),
        Activation::Tanh => x.tanh(),
        Activation::Softplus => x.max(0.0) + (-x.abs()).exp().ln_1p(), // e^x would overflow
        Activation::Softsign => x / (1.0 + x.abs()),
        Activation::Elu { alpha } => {
            if x > 0.0 {
                x
            } else {
                alpha * x.exp_m1()
            }
        }
        Activation::Selu => SELU_SCALE * if x > 0.0 { x } else { SELU_ALPHA * x.exp_m1() },
        Activation::Exponential => x.exp(),
        Activation::LeakyRelu { negative_slope } => {
            if x > 0.0 {
                x
            } else {
                negative_slope * x
            }
        }
        Activation::Gelu { approximate: false } => x * normal_distribution(x),
        Activation::Gelu { approximate: true } => x * sigmoid(2.0 * gelu_inner(x)), // ½ (1 + tanh u) = σ(2u)
        Activation::Silu => x * sigmoid(x),
        Activation::Custom(c) => (c.f)(x),
    }
}

/// f′ in terms of y = f(x).
pub(super) fn slope(f: Activation, y: f64) -> f64 {
    match f {
        Activation::Linear => 1.0,
        Activation::Relu => f64::from(y > 0.0),
        Activation::Sigmoid => y * (1.0 - y),
        Activation::Tanh => 1.0 - y * y,
        Activation::Softplus => -(-y).exp_m1(),
        Activation::Softsign => (1.0 - y.abs()).powi(2),
        Activation::Elu { alpha } => {
            if y > 0.0 {
                1.0
            } else {
                y + alpha
            }
        }
        Activation::Selu => {
            if y > 0.0 {
                SELU_SCALE
            } else {
                y + SELU_SCALE * SELU_ALPHA
            }
        }
        Activation::Exponential => y,
        Activation::LeakyRelu { negative_slope } => {
            if y > 0.0 {
                1.0
            } else {
                negative_slope
            }
        }
        Activation::Softmax | Activation::Gelu { .. } | Activation::Silu | Activation::Custom(_) => {
            unreachable!("the derivative of {f} is not a function of y alone")
        }
    }
}

/// f′ in terms of x, where y does not do.
fn slope_at(f: Activation, x: f64) -> f64 {
    match f {
        Activation::Gelu { approximate: false } => {
            normal_distribution(x) + x * (-x * x / 2.0).exp() / (2.0 * PI).sqrt()
        }
        Activation::Gelu { approximate: true } => {
            let y = sigmoid(2.0 * gelu_inner(x));
            let inner_slope = (2.0 / PI).sqrt() * (1.0 + 3.0 * 0.044715 * x * x);
            y + 2.0 * x * y * (1.0 - y) * inner_slope
        }
        Activation::Silu => sigmoid(x) * (1.0 + x * (1.0 - sigmoid(x))),
        Activation::Custom(c) => (c.df)(x),
        _ => unreachable!("the derivative of {f} is a function of y"),
    }
}

/// Φ(x) = ½ erfc(−x / √2).
fn normal_distribution(x: f64) -> f64 {
    0.5 * erfc(-x * FRAC_1_SQRT_2)
}

/// √(2/π) (x + 0.044715 x³).
fn gelu_inner(x: f64) -> f64 {
    (2.0 / PI).sqrt() * (x + 0.044715 * x.powi(3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activations::Custom;

    /// Each derivative against a central difference of its function.
    #[test]
    fn derivatives_belong_to_their_functions() {
        let square = Custom { name: "square", f: |x| x * x, df: |x| 2.0 * x };
        let fs = [
            Activation::Linear,
            Activation::Relu,
            Activation::Sigmoid,
            Activation::Tanh,
            Activation::Softplus,
            Activation::Softsign,
            Activation::Elu { alpha: 0.7 },
            Activation::Selu,
            Activation::Exponential,
            Activation::LeakyRelu { negative_slope: 0.2 },
            Activation::Gelu { approximate: false },
            Activation::Gelu { approximate: true },
            Activation::Silu,
            Activation::Custom(square),
        ];
        for f in fs {
            for x in [-4.0, -1.3, -0.2, 0.1, 0.9, 3.0] {
                let h = 1e-5;
                let numeric = (value(f, x + h) - value(f, x - h)) / (2.0 * h);
                let exact = if f.needs_input() { slope_at(f, x) } else { slope(f, value(f, x)) };
                assert!(
                    (numeric - exact).abs() <= 1e-9 * (1.0 + exact.abs()),
                    "{f} at {x}: {numeric}, {exact}"
                );
            }
        }
    }

    /// By Keras 3 with JAX in f64.
    #[test]
    fn known_values() {
        for (f, x, want) in [
            (Activation::Softplus, -1.3, 0.241_008_453_832_992_2),
            (Activation::Softplus, 800.0, 800.0),
            (Activation::Sigmoid, -800.0, 0.0),
            (Activation::Selu, -1.3, -1.278_961_375_154_325_6),
            (Activation::Gelu { approximate: false }, -1.3, -0.125_840_629_961_293_47),
            (Activation::Gelu { approximate: true }, -1.3, -0.126_070_987_682_690_54),
            (Activation::Silu, -1.3, -0.278_414_522_044_673_8),
        ] {
            let y = value(f, x);
            assert!((y - want).abs() <= 1e-15 * want.abs().max(1.0), "{f}({x}) = {y}, not {want}");
        }
        let mut y = [1000.0, 1000.0 + 2f64.ln(), 1000.0];
        softmax(&mut y);
        assert!(y.iter().zip([0.25, 0.5, 0.25]).all(|(a, b)| (a - b).abs() <= 1e-12), "{y:?}");
    }
}
