//! Optimizer steps, and limits of norms.

use super::abi::Ptr;
use super::elementwise::by_fours;
use super::{Cuda, check};
use crate::error::{Error, Result};
use crate::optimizers::{Rule, Update};
use crate::tensor::{Tensor, View, ViewMut};

pub(super) fn update(
    cuda: &Cuda,
    update: &Update,
    value: ViewMut,
    grad: View,
    slots: &mut [Tensor],
) -> Result<()> {
    check("update", value.len() == grad.len(), &[("value", value.shape()), ("grad", grad.shape())])?;
    if slots.len() != update.rule.slots() {
        let problem = format!("{} slots, the rule wants {}", slots.len(), update.rule.slots());
        return Err(Error::op("update", problem));
    }
    let n = value.len();
    let mut at = [Ptr::NULL; 3]; // no rule has more slots
    for (at, slot) in at.iter_mut().zip(slots) {
        check("update", slot.shape().len() == n, &[("value", value.shape()), ("slot", slot.shape())])?;
        *at = cuda.write(slot.view_mut())?;
    }
    let (w, g, [a, b, c]) = (cuda.write(value)?, cuda.read(grad)?, at);
    if n == 0 {
        return Ok(());
    }
    let (kernels, stream, grid) = (cuda.kernels.update()?, &cuda.stream, by_fours(n));
    let (decay, n) = (update.decay as f32, n as u64);
    // 1 − β in f64: in f32, 1 − 0.999 would keep four digits.
    let rest = |beta: f64| (1.0 - beta) as f32;
    match update.rule {
        Rule::Sgd { lr, momentum: 0.0, .. } => kernels.sgd(stream, grid, decay, lr as f32, g, w, n),
        Rule::Sgd { lr, momentum, nesterov: false } => {
            kernels.momentum(stream, grid, decay, lr as f32, momentum as f32, g, w, a, n)
        }
        Rule::Sgd { lr, momentum, nesterov: true } => {
            kernels.nesterov(stream, grid, decay, lr as f32, momentum as f32, g, w, a, n)
        }
        Rule::RmsProp { lr, rho, momentum, epsilon, centered } => {
            let (lr, still, rho, rest) = (lr as f32, momentum == 0.0, rho as f32, rest(rho));
            let (momentum, epsilon) = (momentum as f32, epsilon as f32);
            match (still, centered) {
                (true, false) => kernels.rmsprop(stream, grid, decay, lr, rho, rest, epsilon, g, w, a, n),
                (true, true) => {
                    kernels.rmsprop_centered(stream, grid, decay, lr, rho, rest, epsilon, g, w, a, b, n)
                }
                (false, false) => kernels
                    .rmsprop_momentum(stream, grid, decay, lr, rho, rest, momentum, epsilon, g, w, a, b, n),
                (false, true) => kernels.rmsprop_centered_momentum(
                    stream, grid, decay, lr, rho, rest, momentum, epsilon, g, w, a, b, c, n,
                ),
            }
        }
        Rule::Adagrad { lr, epsilon } => {
            kernels.adagrad(stream, grid, decay, lr as f32, epsilon as f32, g, w, a, n)
        }
        Rule::Adadelta { lr, rho, epsilon } => {
            let (lr, rest, rho, epsilon) = (lr as f32, rest(rho), rho as f32, epsilon as f32);
            kernels.adadelta(stream, grid, decay, lr, rho, rest, epsilon, g, w, a, b, n)
        }
        Rule::Adam { alpha, beta_1, beta_2, epsilon, amsgrad } => {
            let (alpha, rest_1, rest_2, epsilon) = (alpha as f32, rest(beta_1), rest(beta_2), epsilon as f32);
            match amsgrad {
                false => kernels.adam(stream, grid, decay, alpha, rest_1, rest_2, epsilon, g, w, a, b, n),
                true => {
                    kernels.amsgrad(stream, grid, decay, alpha, rest_1, rest_2, epsilon, g, w, a, b, c, n)
                }
            }
        }
        Rule::Adamax { alpha, beta_1, beta_2, epsilon } => {
            let (alpha, rest_1, beta_2, epsilon) =
                (alpha as f32, rest(beta_1), beta_2 as f32, epsilon as f32);
            kernels.adamax(stream, grid, decay, alpha, rest_1, beta_2, epsilon, g, w, a, b, n)
        }
        Rule::Nadam { lr, beta_1, beta_2, epsilon, from_m, from_g, from_v } => {
            let (from_m, from_g, from_v) = ((lr * from_m) as f32, (lr * from_g) as f32, from_v as f32);
            let (rest_1, rest_2, epsilon) = (rest(beta_1), rest(beta_2), epsilon as f32);
            kernels.nadam(stream, grid, decay, rest_1, rest_2, epsilon, from_m, from_g, from_v, g, w, a, b, n)
        }
    }
}

pub(super) fn limit_norm(cuda: &Cuda, limit: f64, acc: View, y: ViewMut) -> Result<()> {
    check("limit_norm", acc.len() == 2, &[("acc", acc.shape())])?;
    let n = y.len();
    let (acc, y) = (cuda.read(acc)?, cuda.write(y)?);
    if n == 0 {
        return Ok(());
    }
    cuda.kernels.update()?.limit_norm(&cuda.stream, by_fours(n), limit as f32, acc, y, n as u64)
}
