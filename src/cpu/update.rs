//! Optimizer steps: one pass over the parameter, its gradient and its slots.
//!
//! Each formula is given g and [w, slots...] and says what they become; [`Rule`] has the equations.

use super::Cpu;
use super::formula::{Formula, check, elements_in, formula};
use super::gemm;
use super::simd::{Lanes, Simd};
use crate::error::{Error, Result};
use crate::optimizers::{Rule, Update};
use crate::tensor::{Tensor, View, ViewMut};

/// A running mean that has faded below 10⁻³⁰ is 0: it cannot move a weight any more, but on its way through the
/// subnormal numbers each operation on it would take a processor several times as long. NaN stays.
#[inline(always)]
fn faded<S: Simd>(s: S, mean: S::V) -> S::V {
    mean.zero_if(s.splat(1e-30).gt(mean.abs()))
}

formula! { Descend { decay, lr } [g] -> [w] |s| [s.splat(lr).neg_mul_add(g, s.splat(decay).neg_mul_add(w, w))] }

formula! { Momentum { decay, lr, momentum, nesterov } [g] -> [w, m] |s| {
    let (w, step) = (s.splat(decay).neg_mul_add(w, w), s.splat(lr) * g);
    let m = faded(s, s.splat(momentum).mul_add(m, -step));
    match nesterov > 0.0 {
        true => [w + s.splat(momentum).mul_add(m, -step), m],
        false => [w + m, m],
    }
} }

formula! { Adagrad { decay, lr, epsilon } [g] -> [w, a] |s| {
    let (w, a) = (s.splat(decay).neg_mul_add(w, w), g.mul_add(g, a));
    [w - s.splat(lr) * g / (a + s.splat(epsilon)).sqrt(), a]
} }

formula! { Adadelta { decay, lr, rho, rest, epsilon } [g] -> [w, a, d] |s| {
    let (w, rho, rest, epsilon) = (s.splat(decay).neg_mul_add(w, w), s.splat(rho), s.splat(rest), s.splat(epsilon));
    let a = faded(s, rho.mul_add(a, rest * g * g));
    let u = g * (d + epsilon).sqrt() / (a + epsilon).sqrt();
    [s.splat(lr).neg_mul_add(u, w), a, rho.mul_add(d, rest * u * u)]
} }

formula! { Adam { decay, alpha, rest_1, rest_2, epsilon } [g] -> [w, m, v] |s| {
    let w = s.splat(decay).neg_mul_add(w, w);
    let m = faded(s, s.splat(rest_1).mul_add(g - m, m));
    let v = faded(s, s.splat(rest_2).mul_add(g.mul_add(g, -v), v));
    [w - s.splat(alpha) * m / (v.sqrt() + s.splat(epsilon)), m, v]
} }

formula! { Amsgrad { decay, alpha, rest_1, rest_2, epsilon } [g] -> [w, m, v, most] |s| {
    let w = s.splat(decay).neg_mul_add(w, w);
    let m = faded(s, s.splat(rest_1).mul_add(g - m, m));
    let v = faded(s, s.splat(rest_2).mul_add(g.mul_add(g, -v), v));
    let most = most.max(v);
    [w - s.splat(alpha) * m / (most.sqrt() + s.splat(epsilon)), m, v, most]
} }

formula! { Adamax { decay, alpha, rest_1, beta_2, epsilon } [g] -> [w, m, u] |s| {
    let w = s.splat(decay).neg_mul_add(w, w);
    let m = faded(s, s.splat(rest_1).mul_add(g - m, m));
    let u = (s.splat(beta_2) * u).max(g.abs());
    [w - s.splat(alpha) * m / (u + s.splat(epsilon)), m, u]
} }

formula! { Nadam { decay, from_m, from_g, from_v, rest_1, rest_2, epsilon } [g] -> [w, m, v] |s| {
    let w = s.splat(decay).neg_mul_add(w, w);
    let m = faded(s, s.splat(rest_1).mul_add(g - m, m));
    let v = faded(s, s.splat(rest_2).mul_add(g.mul_add(g, -v), v));
    let direction = s.splat(from_m).mul_add(m, s.splat(from_g) * g);
    [w - direction / ((s.splat(from_v) * v).sqrt() + s.splat(epsilon)), m, v]
} }

/// Slots v, then m if momentum is not 0, then a if centered.
#[derive(Clone, Copy)]
struct RmsProp {
    decay: f32,
    lr: f32,
    rho: f32,
    rest: f32,
    momentum: f32,
    epsilon: f32,
    centered: bool,
}

impl<const OUT: usize> Formula<1, OUT> for RmsProp {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, [g]: [S::V; 1], mut y: [S::V; OUT]) -> [S::V; OUT] {
        let (rho, rest) = (s.splat(self.rho), s.splat(self.rest));
        y[0] = s.splat(self.decay).neg_mul_add(y[0], y[0]);
        y[1] = faded(s, rho.mul_add(y[1], rest * g * g));
        let mut variance = y[1];
        if self.centered {
            let a = faded(s, rho.mul_add(y[OUT - 1], rest * g));
            // Rounding must not make a variance negative. NaN is kept.
            (y[OUT - 1], variance) = (a, s.splat(0.0).max(a.neg_mul_add(a, variance)));
        }
        let u = s.splat(self.lr) * g / (variance + s.splat(self.epsilon)).sqrt();
        if self.momentum != 0.0 {
            y[2] = s.splat(self.momentum).mul_add(y[2], u);
            y[0] = y[0] - y[2];
        } else {
            y[0] = y[0] - u;
        }
        y
    }
}

pub(super) fn update(
    cpu: &Cpu,
    update: &Update,
    value: ViewMut,
    grad: View,
    slots: &mut [Tensor],
) -> Result<()> {
    check("update", value.len() == grad.len(), &[("value", value.shape()), ("grad", grad.shape())])?;
    for slot in &*slots {
        let fit = slot.shape().len() == value.len();
        check("update", fit, &[("value", value.shape()), ("slot", slot.shape())])?;
    }
    // A wide layer's weights are cut as its products cut them.
    let (inputs, units) = value.shape().as_matrix();
    let row = if inputs >= gemm::WIDE { units.max(1) } else { 1 };
    let (w, g, decay) = (value.f32()?, grad.f32()?, update.decay as f32);
    // 1 − β in f64: in f32, 1 − 0.999 would keep four digits.
    let rest = |beta: f64| (1.0 - beta) as f32;
    match (update.rule, slots) {
        (Rule::Sgd { lr, momentum: 0.0, .. }, []) => {
            elements_in(cpu, row, 1, Descend { decay, lr: lr as f32 }, [g], [w]);
        }
        (Rule::Sgd { lr, momentum, nesterov }, [m]) => {
            let (lr, momentum, nesterov) = (lr as f32, momentum as f32, f32::from(nesterov));
            elements_in(cpu, row, 2, Momentum { decay, lr, momentum, nesterov }, [g], [w, open(m)?]);
        }
        (Rule::RmsProp { lr, rho, momentum, epsilon, centered }, slots)
            if slots.len() == update.rule.slots() =>
        {
            let (lr, momentum, epsilon) = (lr as f32, momentum as f32, epsilon as f32);
            let f = RmsProp { decay, lr, rho: rho as f32, rest: rest(rho), momentum, epsilon, centered };
            match slots {
                [v] => elements_in(cpu, row, 4, f, [g], [w, open(v)?]),
                [v, m] => elements_in(cpu, row, 4, f, [g], [w, open(v)?, open(m)?]),
                [v, m, a] => elements_in(cpu, row, 4, f, [g], [w, open(v)?, open(m)?, open(a)?]),
                _ => {}
            }
        }
        (Rule::Adagrad { lr, epsilon }, [a]) => {
            let f = Adagrad { decay, lr: lr as f32, epsilon: epsilon as f32 };
            elements_in(cpu, row, 4, f, [g], [w, open(a)?]);
        }
        (Rule::Adadelta { lr, rho, epsilon }, [a, d]) => {
            let (lr, epsilon) = (lr as f32, epsilon as f32);
            let f = Adadelta { decay, lr, rho: rho as f32, rest: rest(rho), epsilon };
            elements_in(cpu, row, 4, f, [g], [w, open(a)?, open(d)?]);
        }
        (Rule::Adam { alpha, beta_1, beta_2, epsilon, amsgrad }, slots) => {
            let (alpha, rest_1, rest_2, epsilon) = (alpha as f32, rest(beta_1), rest(beta_2), epsilon as f32);
            match (amsgrad, slots) {
                (false, [m, v]) => {
                    let f = Adam { decay, alpha, rest_1, rest_2, epsilon };
                    elements_in(cpu, row, 4, f, [g], [w, open(m)?, open(v)?]);
                }
                (true, [m, v, most]) => {
                    let f = Amsgrad { decay, alpha, rest_1, rest_2, epsilon };
                    elements_in(cpu, row, 4, f, [g], [w, open(m)?, open(v)?, open(most)?]);
                }
                (_, slots) => return Err(slot_error(update, slots)),
            }
        }
        (Rule::Adamax { alpha, beta_1, beta_2, epsilon }, [m, u]) => {
            let (alpha, beta_2, epsilon) = (alpha as f32, beta_2 as f32, epsilon as f32);
            let f = Adamax { decay, alpha, rest_1: rest(beta_1), beta_2, epsilon };
            elements_in(cpu, row, 4, f, [g], [w, open(m)?, open(u)?]);
        }
        (Rule::Nadam { lr, beta_1, beta_2, epsilon, from_m, from_g, from_v }, [m, v]) => {
            let (from_m, from_g, from_v) = ((lr * from_m) as f32, (lr * from_g) as f32, from_v as f32);
            let (rest_1, rest_2, epsilon) = (rest(beta_1), rest(beta_2), epsilon as f32);
            let f = Nadam { decay, from_m, from_g, from_v, rest_1, rest_2, epsilon };
            elements_in(cpu, row, 4, f, [g], [w, open(m)?, open(v)?]);
        }
        (_, slots) => return Err(slot_error(update, slots)),
    }
    Ok(())
}

fn open(slot: &mut Tensor) -> Result<&mut [f32]> {
    slot.view_mut().f32()
}

fn slot_error(update: &Update, slots: &[Tensor]) -> Error {
    Error::op("update", format!("{} slots, the rule wants {}", slots.len(), update.rule.slots()))
}

pub(super) fn limit_norm(cpu: &Cpu, limit: f64, acc: View, y: ViewMut) -> Result<()> {
    check("limit_norm", acc.len() == 2, &[("acc", acc.shape())])?;
    let acc = acc.f32()?;
    let norm = (f64::from(acc[0]) + f64::from(acc[1])).sqrt();
    if norm > limit { super::elementwise::scale(cpu, limit / norm, y) } else { y.f32().map(|_| ()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Backend;
    use crate::cpu::Isa;

    /// A mean on its way through the subnormal numbers ends at 0, on every set; what is not a number stays so.
    #[test]
    fn means_fade_to_zero() {
        for isa in Isa::available() {
            let cpu = Cpu::new(Some(1), Some(isa)).unwrap();
            let tensor = |values: &[f64]| {
                let mut t = cpu.zeros([values.len()].into()).unwrap();
                t.view_mut().write(values).unwrap();
                t
            };
            let before = [1e-31, -1e-31, 1e-29, -1e-29, f64::NAN, 1e-40, 0.5, 0.0, 1e-45, f64::INFINITY];
            let mut w = tensor(&[1.0; 10]);
            let (g, mut slots) = (tensor(&[0.0; 10]), [tensor(&before), tensor(&[0.25; 10])]);
            let rule = Rule::Adam { alpha: 0.0, beta_1: 0.5, beta_2: 0.5, epsilon: 1e-7, amsgrad: false };
            cpu.update(&Update { decay: 0.0, rule }, w.view_mut(), g.view(), &mut slots).unwrap();
            for (before, now) in before.into_iter().zip(slots[0].to_vec()) {
                let want = if before.abs() < 1e-30 { 0.0 } else { before as f32 / 2.0 };
                assert!(now == want || (now.is_nan() && !before.is_finite()), "{isa}: {before} → {now}");
            }
        }
    }
}
