//! Optimizer steps.

use super::check;
use crate::error::{Error, Result};
use crate::optimizers::{Rule, Update};
use crate::tensor::{Tensor, View, ViewMut};

pub(super) fn update(rule: &Update, value: ViewMut, grad: View, slots: &mut [Tensor]) -> Result<()> {
    check("update", value.len() == grad.len(), &[("value", value.shape()), ("grad", grad.shape())])?;
    if slots.len() != rule.rule.slots() {
        let problem = format!("{} slots, the rule wants {}", slots.len(), rule.rule.slots());
        return Err(Error::op("update", problem));
    }
    for slot in &*slots {
        check(
            "update",
            slot.shape().len() == value.len(),
            &[("value", value.shape()), ("slot", slot.shape())],
        )?;
    }
    let (w, g) = (value.f64()?, grad.f64()?);
    w.iter_mut().for_each(|w| *w -= rule.decay * *w);
    let mut slots = slots.iter_mut();
    let mut next = || slots.next().map_or(Ok(&mut [][..]), |slot| slot.view_mut().f64());
    match rule.rule {
        Rule::Sgd { lr, momentum: 0.0, .. } => {
            for i in 0..w.len() {
                w[i] -= lr * g[i];
            }
        }
        Rule::Sgd { lr, momentum, nesterov } => {
            let m = next()?;
            for i in 0..w.len() {
                m[i] = momentum * m[i] - lr * g[i];
                w[i] += if nesterov { momentum * m[i] - lr * g[i] } else { m[i] };
            }
        }
        Rule::RmsProp { lr, rho, momentum, epsilon, centered } => {
            let v = next()?;
            let m = if momentum != 0.0 { next()? } else { &mut [] };
            let a = if centered { next()? } else { &mut [] };
            for i in 0..w.len() {
                v[i] = rho * v[i] + (1.0 - rho) * g[i].powi(2);
                let mut variance = v[i];
                if centered {
                    a[i] = rho * a[i] + (1.0 - rho) * g[i];
                    variance -= a[i].powi(2);
                }
                let u = lr * g[i] / (variance + epsilon).sqrt();
                if momentum != 0.0 {
                    m[i] = momentum * m[i] + u;
                    w[i] -= m[i];
                } else {
                    w[i] -= u;
                }
            }
        }
        Rule::Adagrad { lr, epsilon } => {
            let a = next()?;
            for i in 0..w.len() {
                a[i] += g[i].powi(2);
                w[i] -= lr * g[i] / (a[i] + epsilon).sqrt();
            }
        }
        Rule::Adadelta { lr, rho, epsilon } => {
            let (a, d) = (next()?, next()?);
            for i in 0..w.len() {
                a[i] = rho * a[i] + (1.0 - rho) * g[i].powi(2);
                let u = g[i] * (d[i] + epsilon).sqrt() / (a[i] + epsilon).sqrt();
                d[i] = rho * d[i] + (1.0 - rho) * u.powi(2);
                w[i] -= lr * u;
            }
        }
        Rule::Adam { alpha, beta_1, beta_2, epsilon, amsgrad } => {
            let (m, v) = (next()?, next()?);
            let s = if amsgrad { next()? } else { &mut [] };
            for i in 0..w.len() {
                m[i] += (1.0 - beta_1) * (g[i] - m[i]);
                v[i] += (1.0 - beta_2) * (g[i].powi(2) - v[i]);
                let mut second = v[i];
                if amsgrad {
                    s[i] = s[i].max(v[i]);
                    second = s[i];
                }
                w[i] -= alpha * m[i] / (second.sqrt() + epsilon);
            }
        }
        Rule::Adamax { alpha, beta_1, beta_2, epsilon } => {
            let (m, u) = (next()?, next()?);
            for i in 0..w.len() {
                m[i] += (1.0 - beta_1) * (g[i] - m[i]);
                u[i] = (beta_2 * u[i]).max(g[i].abs());
                w[i] -= alpha * m[i] / (u[i] + epsilon);
            }
        }
        Rule::Nadam { lr, beta_1, beta_2, epsilon, from_m, from_g, from_v } => {
            let (m, v) = (next()?, next()?);
            for i in 0..w.len() {
                m[i] += (1.0 - beta_1) * (g[i] - m[i]);
                v[i] += (1.0 - beta_2) * (g[i].powi(2) - v[i]);
                w[i] -= lr * (from_m * m[i] + from_g * g[i]) / ((from_v * v[i]).sqrt() + epsilon);
            }
        }
    }
    Ok(())
}

pub(super) fn limit_norm(limit: f64, acc: View, y: ViewMut) -> Result<()> {
    check("limit_norm", acc.len() == 2, &[("acc", acc.shape())])?;
    let acc = acc.f64()?;
    let factor = (limit / (acc[0] + acc[1]).sqrt()).min(1.0);
    y.f64()?.iter_mut().for_each(|y| *y *= factor);
    Ok(())
}
