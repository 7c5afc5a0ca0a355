//! The ops of `handgrad bench conv`, `lstm`, `softmax` and `optimizer`, on the shapes of the presets.

use super::{Case, Crew, uniform};
use handgrad::backend::{CellActivations, LossTerm};
use handgrad::optimizers::{Rule, Update};
use handgrad::window::Window;
use handgrad::{Activation, Device, Gemm, Indices, Loss, Padding, Result, Shape, Target, Tensor};

/// An op that is asked for once.
type Run = Box<dyn FnMut(&Device) -> Result<()>>;

/// The two convolutions and the two poolings of `mnist-cnn`, and a larger convolution with padding.
pub(super) fn conv(crews: &[Crew], quick: bool) -> Result<Vec<Case>> {
    let mut all = Vec::new();
    let n = if quick { 16 } else { 128 };
    let layers =
        [(n, 28, 1, 32, Padding::Valid), (n, 13, 32, 64, Padding::Valid), (n / 8, 32, 64, 64, Padding::Same)];
    for (n, side, channels, filters, padding) in layers {
        let w = Window::new([side, side, channels].into(), &[3, 3], &[1, 1], &[1, 1], padding)?;
        let (image, out) = ([n, side, side, channels], [n, w.output[1], w.output[2], filters]);
        let layer = format!("{n}×{side}×{side}×{channels}, 3×3×{filters} {padding}");
        let kernel = [3, 3, channels, filters];
        let numbers = [image, out, kernel].map(|s| s.iter().product::<usize>()).into_iter().sum::<usize>();
        // In tiles, 36 products are 16 outputs, of which those beyond the border are for nothing.
        let in_tiles = crews.iter().all(|crew| crew.device.conv_in_tiles(&w, filters));
        let (layer, products) = match in_tiles {
            true => (layer + ", in tiles", w.output[1].div_ceil(4) * w.output[2].div_ceil(4) * 36 * channels),
            false => (layer, w.positions() * w.taps()),
        };
        let flops = 2 * n * products * filters;
        let mut add = |op: &str, run: Run| {
            all.push(Case::new("conv", (op, &layer), flops, (numbers, numbers), run));
        };
        let wanted = crews.iter().map(|crew| crew.device.conv_scratch(&w, filters, n)).max().unwrap_or(0);
        let scratch = || Tensor::zeros_f32(Shape::from([wanted]));
        let (x, k, b, mut s, mut y) =
            (uniform(image)?, uniform(kernel)?, uniform([filters])?, scratch(), uniform(out)?);
        add(
            "conv relu",
            Box::new(move |dev| {
                let (b, s) = (Some(b.view()), s.view_mut());
                dev.conv(&w, Activation::Relu, x.view(), k.view(), b, s, y.view_mut())
            }),
        );
        let (x, dz, mut s, mut dk) = (uniform(image)?, uniform(out)?, scratch(), uniform(kernel)?);
        add(
            "conv dK",
            Box::new(move |dev| {
                dev.conv_backward_kernel(&w, x.view(), dz.view(), s.view_mut(), dk.view_mut())
            }),
        );
        let (dz, k, mut s, mut dx) = (uniform(out)?, uniform(kernel)?, scratch(), uniform(image)?);
        add(
            "conv dx",
            Box::new(move |dev| {
                dev.conv_backward_input(&w, dz.view(), k.view(), s.view_mut(), dx.view_mut())
            }),
        );
    }
    for (side, channels) in [(26, 32), (11, 64)] {
        let w = Window::new([side, side, channels].into(), &[2, 2], &[2, 2], &[1, 1], Padding::Valid)?;
        let (image, out) = ([n, side, side, channels], [n, side / 2, side / 2, channels]);
        let (large, small) = (image.iter().product::<usize>(), out.iter().product::<usize>());
        let layer = format!("{n}×{side}×{side}×{channels}, 2×2");
        let (x, mut y) = (uniform(image)?, uniform(out)?);
        let numbers = large + small;
        all.push(Case::new("conv", ("max pool", &layer), 3 * small, (numbers, numbers), move |dev| {
            dev.max_pool(&w, x.view(), y.view_mut())
        }));
        let (x, mut y, dy, mut dx) = (uniform(image)?, uniform(out)?, uniform(out)?, uniform(image)?);
        Device::cpu_with(Some(1), None)?.max_pool(&w, x.view(), y.view_mut())?; // y is the maxima
        let numbers = 2 * (large + small);
        all.push(Case::new("conv", ("max pool dx", &layer), large, (numbers, numbers), move |dev| {
            dev.max_pool_backward(&w, x.view(), y.view(), dy.view(), dx.view_mut())
        }));
    }
    Ok(all)
}

/// The products and the gates of `mnist-lstm`: 28 steps of 28 pixels, 128 cells, batch 128.
pub(super) fn lstm() -> Result<Vec<Case>> {
    let (n, steps, features, u) = (128, 28, 28, 128);
    let mut all = Vec::new();
    let products = [
        ("x W, all steps", Gemm::nn(), [steps * n, features, 4 * u]),
        ("h U, one step", Gemm::nn().add(), [n, u, 4 * u]),
        ("dh, one step", Gemm::nt(), [n, 4 * u, u]),
        ("dW, all steps", Gemm::tn(), [features, steps * n, 4 * u]),
        ("dU, all steps", Gemm::tn(), [u, steps * n, 4 * u]),
    ];
    for (op, g, [m, k, n]) in products {
        let a = uniform(if g.transpose_a { [k, m] } else { [m, k] })?;
        let b = uniform(if g.transpose_b { [n, k] } else { [k, n] })?;
        let mut c = uniform([m, n])?;
        let different = m * k + k * n + m * n;
        let moved = different + if g.beta == 0.0 { 0 } else { m * n };
        let name = (op, format!("{m}×{k}×{n}"));
        all.push(Case::new("lstm", name, 2 * m * k * n, (moved, different), move |dev| {
            dev.gemm(g, a.view(), b.view(), c.view_mut())
        }));
    }
    let (dz, mut db) = (uniform([steps * n, 4 * u])?, uniform([4 * u])?);
    let numbers = steps * n * 4 * u + 4 * u;
    all.push(Case::new("lstm", ("db, all steps", dz.shape()), numbers, (numbers, numbers), move |dev| {
        dev.sum_rows(dz.view(), db.view_mut())
    }));

    let cell = CellActivations { activation: Activation::Tanh, recurrent: Activation::Sigmoid };
    let (before, mut gates) = (uniform([n, u])?, uniform([n, 4 * u])?);
    let (mut c, mut h) = (uniform([n, u])?, uniform([n, u])?);
    let shape = gates.shape();
    all.push(Case::new("lstm", ("gates", shape), 9 * n * u, (11 * n * u, 7 * n * u), move |dev| {
        dev.lstm_step(cell, gates.view_mut(), Some(before.view()), c.view_mut(), h.view_mut())
    }));
    let (before, after, mut gates) = (uniform([n, u])?, uniform([n, 4 * u])?, uniform([n, 4 * u])?);
    let (c, dh, mut dc) = (uniform([n, u])?, uniform([n, u])?, uniform([n, u])?);
    let name = ("gates backward, with copies", shape);
    all.push(Case::new("lstm", name, 23 * n * u, (23 * n * u, 12 * n * u), move |dev| {
        // Copied in each time: gradients of gradients would vanish.
        dev.copy(after.view(), gates.view_mut())?;
        dev.copy(before.view(), dc.view_mut())?;
        dev.lstm_step_backward(
            cell,
            gates.view_mut(),
            Some(before.view()),
            c.view(),
            dh.view(),
            dc.view_mut(),
        )
    }));

    // The whole sequence, as the layer asks for it.
    let (xs, kernel, recurrent) =
        (uniform([steps, n, features])?, uniform([features, 4 * u])?, uniform([u, 4 * u])?);
    let bias = uniform([4 * u])?;
    let sizes = [[steps, n, 4 * u], [steps, n, u], [steps, n, u]];
    let [mut gates, mut c, mut h] = [uniform(sizes[0])?, uniform(sizes[1])?, uniform(sizes[2])?];
    let flops = 2 * steps * n * (features + u) * 4 * u;
    let numbers = steps * n * (features + 6 * u) + (features + u + 1) * 4 * u;
    let name = ("lstm, all steps", gates.shape());
    all.push(Case::new("lstm", name, flops, (numbers, numbers), move |dev| {
        let (bias, gates) = (Some(bias.view()), gates.view_mut());
        dev.lstm(cell, xs.view(), kernel.view(), recurrent.view(), bias, gates, c.view_mut(), h.view_mut())
    }));
    let (recurrent, after) = (uniform([u, 4 * u])?, uniform(sizes[0])?);
    let [mut gates, c, before] = [uniform(sizes[0])?, uniform(sizes[1])?, uniform(sizes[2])?];
    let (mut dh, mut dc) = (uniform(sizes[2])?, uniform([n, u])?);
    let numbers = steps * n * (3 * 4 * u + 4 * u) + u * 4 * u;
    let name = ("lstm backward, with copies", gates.shape());
    all.push(Case::new("lstm", name, 2 * steps * n * u * 4 * u, (numbers, numbers), move |dev| {
        dev.copy(after.view(), gates.view_mut())?;
        dev.copy(before.view(), dh.view_mut())?;
        let (gates, dh) = (gates.view_mut(), dh.view_mut());
        dev.lstm_backward(cell, recurrent.view(), None, gates, c.view(), dh, dc.view_mut())
    }));
    Ok(all)
}

/// Activations, and softmax with its loss.
pub(super) fn softmax() -> Result<Vec<Case>> {
    let mut all = Vec::new();
    let activations = [
        (Activation::Softmax, [128, 10], 5),
        (Activation::Softmax, [128, 512], 5),
        (Activation::Softmax, [1024, 1000], 5),
        (Activation::Relu, [128, 512], 1),
        (Activation::Exponential, [128, 512], 1),
        (Activation::Tanh, [128, 512], 1),
        (Activation::Sigmoid, [128, 512], 3),
        (Activation::Silu, [128, 512], 4),
        (Activation::Gelu { approximate: false }, [128, 512], 5),
    ];
    for (f, shape, flops) in activations {
        let (x, mut y) = (uniform(shape)?, uniform(shape)?);
        let numbers = shape[0] * shape[1];
        let name = (format!("{f}, with copy"), x.shape());
        all.push(Case::new("softmax", name, flops * numbers, (4 * numbers, 2 * numbers), move |dev| {
            dev.copy(x.view(), y.view_mut())?; // an activation of its own result would drift away
            dev.activate(f, y.view_mut())
        }));
    }
    for (n, classes) in [(128, 10), (1024, 1000)] {
        let (z, mut p, mut dz) = (uniform([n, classes])?, uniform([n, classes])?, uniform([n, classes])?);
        let (mut rows, mut labels) = (uniform([n])?, Indices::zeros_host(n.into()));
        labels.write(&(0..n as u32).map(|r| r % classes as u32).collect::<Vec<_>>())?;
        let name = ("softmax, crossentropy and gradient", z.shape());
        let numbers = (3 * classes + 2) * n;
        all.push(Case::new("softmax", name, 7 * n * classes, (numbers, numbers), move |dev| {
            let term = LossTerm {
                loss: Loss::SparseCategoricalCrossentropy { from_logits: true },
                folded: Activation::Softmax,
                target: Target::Labels(labels.view()),
                weights: None,
                scale: 1.0 / n as f64,
            };
            dev.loss_step(&term, z.view(), p.view_mut(), rows.view_mut(), dz.view_mut())
        }));
    }
    Ok(all)
}

/// One update, of as many parameters as 784-100-10 has and of a million.
pub(super) fn optimizer() -> Result<Vec<Case>> {
    let rules = [
        ("sgd", Rule::Sgd { lr: 1e-6, momentum: 0.0, nesterov: false }, 2),
        ("sgd, momentum", Rule::Sgd { lr: 1e-6, momentum: 0.9, nesterov: false }, 4),
        ("rmsprop", Rule::RmsProp { lr: 1e-6, rho: 0.9, momentum: 0.0, epsilon: 1e-7, centered: false }, 9),
        ("adam", Rule::Adam { alpha: 1e-6, beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7, amsgrad: false }, 12),
    ];
    let mut all = Vec::new();
    for (parameters, (name, rule, flops)) in
        [79_510, 1_000_000].into_iter().flat_map(|p| rules.map(|rule| (p, rule)))
    {
        let (mut w, g) = (uniform([parameters])?, uniform([parameters])?);
        let mut slots: Vec<Tensor> =
            (0..rule.slots()).map(|_| Tensor::zeros_f32(Shape::from([parameters]))).collect();
        let update = Update { decay: 0.0, rule };
        let different = 2 + slots.len();
        let moved = different + 1 + slots.len();
        let (name, moved) = ((name, parameters), (moved * parameters, different * parameters));
        all.push(Case::new("optimizer", name, flops * parameters, moved, move |dev| {
            dev.update(&update, w.view_mut(), g.view(), &mut slots)
        }));
    }
    Ok(all)
}
