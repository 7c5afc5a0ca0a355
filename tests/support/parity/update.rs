//! Optimizer steps, and limits of norms.

use super::*;
use handgrad::optimizers::{Rule, Update};

/// Every rule, with every switch on and off.
fn rules() -> Vec<Rule> {
    let mut rules = vec![Rule::Sgd { lr: 0.01, momentum: 0.0, nesterov: false }];
    for on in [false, true] {
        rules.push(Rule::Sgd { lr: 0.01, momentum: 0.9, nesterov: on });
        rules.push(Rule::Adam { alpha: 3e-4, beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7, amsgrad: on });
        for momentum in [0.0, 0.9] {
            rules.push(Rule::RmsProp { lr: 0.001, rho: 0.9, momentum, epsilon: 1e-7, centered: on });
        }
    }
    rules.push(Rule::Adagrad { lr: 0.001, epsilon: 1e-7 });
    rules.push(Rule::Adadelta { lr: 0.001, rho: 0.95, epsilon: 1e-7 });
    rules.push(Rule::Adamax { alpha: 0.01, beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7 });
    let (from_m, from_g, from_v) = (1.2, 0.9, 30.0);
    rules.push(Rule::Nadam { lr: 0.001, beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7, from_m, from_g, from_v });
    rules
}

pub(super) fn cases(t: &mut Table) {
    for n in SIZES.into_iter().chain([0, 1000, 100_003]) {
        for rule in rules() {
            for decay in [0.0, 4e-5] {
                update(t, Update { decay, rule }, n);
            }
        }
        for (name, squares) in [("below", 3.0), ("above", 12.0), ("at zero", 0.0)] {
            let y = t.draw().normal([n]);
            t.case(format!("limit_norm {n} {name}"), move |r| {
                let acc = r.input(&Array::new([2], [squares, squares * 1e-8]));
                let mut y = r.input_fit(&y, Fit::Free);
                r.device.limit_norm(2.0, acc.view(), y.view_mut())?;
                r.show("y", &y, ulps(2.0));
                Ok(())
            });
        }
    }
}

fn update(t: &mut Table, u: Update, n: usize) {
    let mut draw = t.draw();
    let (value, grad) = (draw.normal([n]), draw.normal([n]));
    // Slots as training leaves them: means of gradients have either sign, those of squares do not and are larger
    // than the squared means.
    let signed = match u.rule {
        Rule::Sgd { .. } => [true, true, true],
        Rule::RmsProp { .. } => [false, true, true],
        Rule::Adagrad { .. } | Rule::Adadelta { .. } => [false; 3],
        Rule::Adam { .. } | Rule::Adamax { .. } | Rule::Nadam { .. } => [true, false, false],
    };
    let slots: Vec<Array> = (0..u.rule.slots())
        .map(|i| if signed[i] { draw.uniform([n], -0.3, 0.3) } else { draw.uniform([n], 0.2, 1.5) })
        .collect();
    t.case(format!("update {u:?} {n}"), move |r| {
        let (mut w, g) = (r.input(&value), r.input(&grad));
        let mut tensors: Vec<Tensor> = slots.iter().map(|s| r.tensor(s)).collect();
        r.device.update(&u, w.view_mut(), g.view(), &mut tensors)?;
        let sizes: Vec<Sizes> = (0..n)
            .map(|i| {
                let before: Vec<f64> = slots.iter().map(|s| s.values[i]).collect();
                sizes(&u, value.values[i], grad.values[i], &before)
            })
            .collect();
        let of = |f: &dyn Fn(&Sizes) -> f64| sizes.iter().map(|s| 4.0 * EPS * f(s)).collect::<Vec<f64>>();
        r.show("value", &w, |_| of(&|s| s.value));
        for (i, (name, slot)) in ["slot 0", "slot 1", "slot 2"].into_iter().zip(&tensors).enumerate() {
            r.show_view(name, slot.view(), |_| of(&|s| s.slots[i]));
        }
        Ok(())
    });
}

/// The sums of the sizes of the terms of one element: of the value, and of each slot.
struct Sizes {
    value: f64,
    slots: [f64; 3],
}

fn sizes(u: &Update, w: f64, g: f64, before: &[f64]) -> Sizes {
    let (w, signed_g, g, g2) = (w.abs() * (1.0 + u.decay), g, g.abs(), g * g);
    let slot = |i: usize| before.get(i).copied().unwrap_or(0.0);
    // m ← m + (1 − β)(g − m): its size, and its value where nothing cancels.
    let towards = |old: f64, new: f64, beta: f64| old.abs() + (1.0 - beta) * (old.abs() + new.abs());
    let mixed = |old: f64, new: f64, rho: f64| rho * old.abs() + (1.0 - rho) * new.abs();
    match u.rule {
        Rule::Sgd { lr, momentum, .. } => {
            let m = (momentum * slot(0)).abs() + lr * g;
            Sizes { value: w + 2.0 * m + lr * g, slots: [m, 0.0, 0.0] }
        }
        Rule::RmsProp { lr, rho, momentum, epsilon, centered } => {
            let v = mixed(slot(0), g2, rho);
            let (mean, a) = match before.last() {
                Some(&old) if centered => (rho * old + (1.0 - rho) * signed_g, mixed(old, g, rho)),
                _ => (0.0, 0.0),
            };
            // v − a² may cancel, and the root sees the errors of both.
            let variance = v - mean * mean + epsilon;
            let step = lr * g / variance.sqrt() * (2.0 + (v + 2.0 * a * mean.abs()) / variance);
            let m = if momentum != 0.0 { (momentum * slot(1)).abs() } else { 0.0 } + step;
            let slots = if momentum != 0.0 { [v, m, a] } else { [v, a, 0.0] };
            Sizes { value: w + m, slots }
        }
        Rule::Adagrad { lr, epsilon } => {
            let a = slot(0) + g2;
            Sizes { value: w + 2.0 * lr * g / (a + epsilon).sqrt(), slots: [a, 0.0, 0.0] }
        }
        Rule::Adadelta { lr, rho, epsilon } => {
            let a = mixed(slot(0), g2, rho);
            let step = g * (slot(1) + epsilon).sqrt() / (a + epsilon).sqrt();
            let d = mixed(slot(1), 4.0 * step * step, rho);
            Sizes { value: w + 2.0 * lr * step, slots: [a, d, 0.0] }
        }
        Rule::Adam { alpha, beta_1, beta_2, epsilon, amsgrad } => {
            let (m, v) = (towards(slot(0), g, beta_1), towards(slot(1), g2, beta_2));
            let second = slot(1) + (1.0 - beta_2) * (g2 - slot(1));
            let second = if amsgrad { second.max(slot(2)) } else { second };
            Sizes { value: w + 3.0 * alpha * m / (second.sqrt() + epsilon), slots: [m, v, v.max(slot(2))] }
        }
        Rule::Adamax { alpha, beta_1, beta_2, epsilon } => {
            let (m, u) = (towards(slot(0), g, beta_1), (beta_2 * slot(1)).max(g));
            Sizes { value: w + 2.0 * alpha * m / (u + epsilon), slots: [m, u, 0.0] }
        }
        Rule::Nadam { lr, beta_1, beta_2, epsilon, from_m, from_g, from_v } => {
            let (m, v) = (towards(slot(0), g, beta_1), towards(slot(1), g2, beta_2));
            let second = slot(1) + (1.0 - beta_2) * (g2 - slot(1));
            let step = lr * (from_m * m + from_g * g) / ((from_v * second).sqrt() + epsilon);
            Sizes { value: w + 3.0 * step, slots: [m, v, 0.0] }
        }
    }
}
