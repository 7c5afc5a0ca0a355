//! Matrix products, and Dense with everything behind them.

use super::*;
use handgrad::{Activation, Gemm};

/// Larger products: beyond the blocks of a cache, long and thin, flat, and with a long inner extent, along which the last
/// two are cut.
const LARGE: [(usize, usize, usize); 11] = [
    (65, 129, 257),
    (130, 70, 300),
    (1, 1000, 300),
    (300, 1, 1000),
    (7, 10, 2000),
    (257, 64, 33),
    (20, 2100, 40),
    (1030, 20, 40),
    (128, 100, 784),
    (33, 100, 784),
    (130, 37, 1111),
];

/// Nothing to add, or nowhere to put it.
const EMPTY: [(usize, usize, usize); 4] = [(3, 5, 0), (0, 5, 3), (3, 0, 5), (0, 0, 0)];

pub(super) fn cases(t: &mut Table) {
    let transposes = [Gemm::nn(), Gemm::tn(), Gemm::nt(), Gemm::tt()];
    let scales = [(1.0, 0.0), (1.0, 1.0), (-0.5, 0.0), (2.0, -0.25), (0.3, 0.7), (0.0, 0.5)];
    let s = SIZES.len();
    for (i, &m) in SIZES.iter().enumerate() {
        for (j, &n) in SIZES.iter().enumerate() {
            for (l, g) in transposes.into_iter().enumerate() {
                let (alpha, beta) = scales[(i + j + l) % scales.len()];
                product(t, Gemm { alpha, beta, ..g }, (m, n, SIZES[(5 * i + 3 * j + l) % s]), false);
            }
        }
    }
    for (i, extents) in LARGE.into_iter().chain(EMPTY).enumerate() {
        for g in transposes {
            product(t, g, extents, false);
            product(t, g.add(), extents, true);
            let (alpha, beta) = scales[i % scales.len()];
            product(t, Gemm { alpha, beta, ..g }, extents, false);
        }
    }
    let activations = [Activation::Linear, Activation::Relu, Activation::Tanh, Activation::Softmax];
    for (i, &f) in activations.iter().enumerate() {
        for (j, &rows) in SIZES.iter().enumerate() {
            dense(t, f, (rows, SIZES[(3 * i + 5 * j) % s], SIZES[(i + 9 * j) % s]), j % 2 == 0);
        }
        dense(t, f, (33, 784, 100), true);
        dense(t, f, (130, 1111, 37), true);
        dense(t, f, (300, 65, 130), true);
    }
    for (i, &f) in activations[..3].iter().enumerate() {
        for (j, &rows) in SIZES.iter().enumerate() {
            dense_backward_input(t, f, (rows, SIZES[(3 * i + 5 * j) % s], SIZES[(i + 9 * j) % s]));
        }
        dense_backward_input(t, f, (33, 100, 784));
        dense_backward_input(t, f, (130, 37, 300));
        dense_backward_input(t, f, (3, 5, 0));
    }
}

/// |α| |op(A)| |op(B)| + |β| |C|, on the reference device.
pub(super) fn magnitude(g: Gemm, a: &Array, b: &Array, c: &Array) -> Vec<f64> {
    let dev = Device::reference();
    let (a, b, mut c) = (a.abs().reference(), b.abs().reference(), c.abs().reference());
    let g = Gemm { alpha: g.alpha.abs(), beta: g.beta.abs(), ..g };
    dev.gemm(g, a.view(), b.view(), c.view_mut()).unwrap();
    c.view().to_vec_f64()
}

fn product(t: &mut Table, g: Gemm, (m, n, k): (usize, usize, usize), whole: bool) {
    let mut draw = t.draw();
    let mut array = |shape: [usize; 2]| if whole { draw.whole(shape, 4) } else { draw.normal(shape) };
    let a = array(if g.transpose_a { [k, m] } else { [m, k] });
    let b = array(if g.transpose_b { [n, k] } else { [k, n] });
    let c = if g.beta == 0.0 { array([m, n]).map(|_| f64::NAN) } else { array([m, n]) };
    let letters = [g.transpose_a, g.transpose_b].map(|t| if t { "t" } else { "n" }).concat();
    let kind = if whole { " of whole numbers" } else { "" };
    t.case(format!("gemm {letters} {m}x{n}x{k}, α {}, β {}{kind}", g.alpha, g.beta), move |r| {
        let (va, vb, mut vc) = (r.input(&a), r.input(&b), r.input(&c));
        r.device.gemm(g, va.view(), vb.view(), vc.view_mut())?;
        if whole {
            r.show("c", &vc, exact);
        } else {
            r.show("c", &vc, |_| times(additions(k + 2), &magnitude(g, &a, &b, &c))(&[]));
        }
        Ok(())
    });
}

/// What an error of `dz` before an activation makes of it behind: none of these is steeper than 2.
pub(super) fn behind(f: Activation, cols: usize, want: &[f64], dz: &[f64]) -> Vec<f64> {
    let row = |e: usize| e / cols.max(1) * cols..(e / cols.max(1) + 1) * cols;
    let worst = |e: usize| dz[row(e)].iter().fold(0f64, |a, &b| a.max(b));
    let of = |e: usize| match f {
        Activation::Linear => dz[e],
        // ∂yᵢ/∂zⱼ = yᵢ (δᵢⱼ − yⱼ); the exponent's rounding grows with its size, which is −ln y at most.
        Activation::Softmax => {
            want[e] * (2.0 * worst(e) + EPS * (10.0 - want[e].ln().min(0.0) + (cols as f64).sqrt()))
        }
        _ => 2.0 * dz[e] + 6.0 * EPS * want[e].abs(),
    };
    (0..want.len()).map(of).collect()
}

fn dense(t: &mut Table, f: Activation, (rows, features, units): (usize, usize, usize), bias: bool) {
    let mut draw = t.draw();
    let (x, w) = (draw.normal([rows, features]), draw.normal([features, units]).map(|w| 0.3 * w));
    let b = draw.normal([units]);
    t.case(format!("dense {f} {rows}x{features}x{units}, bias {bias}"), move |r| {
        let (vx, vw, vb) = (r.input(&x), r.input(&w), bias.then(|| r.input(&b)));
        let mut y = r.output([rows, units]);
        r.device.dense(f, vx.view(), vw.view(), vb.as_ref().map(Buffer::view), y.view_mut())?;
        r.show("y", &y, |want| {
            let biases = Array::new(
                [rows, units],
                (0..rows * units).map(|e| if bias { b.values[e % units] } else { 0.0 }),
            );
            let sizes = magnitude(Gemm::nn().add(), &x, &w, &biases);
            let dz = times(additions(features + 1), &sizes)(&[]);
            behind(f, units, want, &dz)
        });
        Ok(())
    });
}

fn dense_backward_input(t: &mut Table, f: Activation, (rows, features, units): (usize, usize, usize)) {
    let mut draw = t.draw();
    let (dz, w) = (draw.normal([rows, units]), draw.normal([features, units]).map(|w| 0.3 * w));
    // What f may have given: zeros among them, from relu.
    let x = draw.normal([rows, features]).map(|x| match f {
        Activation::Relu => x.max(0.0),
        Activation::Tanh => x.tanh(),
        _ => x,
    });
    t.case(format!("dense_backward_input {f} {rows}x{features}x{units}"), move |r| {
        let (vdz, vw, vx) = (r.input(&dz), r.input(&w), r.input(&x));
        let mut dx = r.output([rows, features]);
        r.device.dense_backward_input(f, vdz.view(), vw.view(), vx.view(), dx.view_mut())?;
        r.show("dx", &dx, |want| {
            let sizes =
                magnitude(Gemm::nt(), &dz, &w, &Array::new([rows, features], vec![0.0; rows * features]));
            let by_product = times(additions(units), &sizes)(&[]);
            // |f′| ≤ 1, and where relu is flat, dx is 0 and nothing else.
            let of = |e: usize| match f {
                Activation::Relu if x.values[e] == 0.0 => 0.0,
                Activation::Tanh => by_product[e] + 4.0 * EPS * (want[e].abs() + sizes[e]),
                _ => by_product[e],
            };
            (0..want.len()).map(of).collect()
        });
        Ok(())
    });
}
