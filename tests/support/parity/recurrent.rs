//! One step of an LSTM and of a GRU.

use super::*;
use handgrad::Activation;
use handgrad::backend::CellActivations;

/// Batch and units; the last one is shared out to several threads.
fn extents() -> impl Iterator<Item = (usize, usize)> {
    let small = SIZES.into_iter().enumerate().map(|(i, n)| (n, SIZES[(5 * i + 3) % SIZES.len()]));
    small.chain([(3, 128), (65, 1), (1, 65), (128, 131), (0, 4)])
}

/// Keras's, and others that a layer may ask for.
const ACTIVATIONS: [CellActivations; 3] = [
    CellActivations { activation: Activation::Tanh, recurrent: Activation::Sigmoid },
    CellActivations { activation: Activation::Relu, recurrent: Activation::Sigmoid },
    CellActivations { activation: Activation::Softsign, recurrent: Activation::Tanh },
];

/// Units in the last place of an activation of an exact argument.
const FUNCTION: f64 = 6.0;

pub(super) fn cases(t: &mut Table) {
    for (i, (n, u)) in extents().enumerate() {
        for acts in [ACTIVATIONS[0], ACTIVATIONS[1 + i % 2]] {
            for first in [false, true] {
                lstm(t, acts, n, u, first);
                lstm_backward(t, acts, n, u, first);
                gru(t, acts, n, u, first);
                gru_backward(t, acts, n, u, first);
            }
        }
    }
}

/// An activation's value, from the reference device.
fn value(f: Activation, x: &[f64]) -> Vec<f64> {
    let dev = Device::reference();
    let mut y = dev.tensor([x.len()], x).unwrap();
    dev.activate(f, y.view_mut()).unwrap();
    y.view().to_vec_f64()
}

/// An activation's derivative in terms of its value.
fn slope(f: Activation, y: &[f64]) -> Vec<f64> {
    let dev = Device::reference();
    let (y, mut d) = (dev.tensor([y.len()], y).unwrap(), dev.tensor([y.len()], &vec![1.0; y.len()]).unwrap());
    dev.activation_backward(f, None, y.view(), d.view_mut()).unwrap();
    d.view().to_vec_f64()
}

/// Block `b` of `blocks` of columns.
fn block(all: &[f64], b: usize, blocks: usize, u: usize) -> Vec<f64> {
    all.chunks_exact(u * blocks).flat_map(|row| &row[b * u..(b + 1) * u]).copied().collect()
}

/// The reverse: blocks of columns side by side.
fn side_by_side(blocks: &[Vec<f64>], u: usize) -> Vec<f64> {
    let n = blocks[0].len() / u;
    (0..n).flat_map(|r| blocks.iter().flat_map(move |b| &b[r * u..(r + 1) * u])).copied().collect()
}

/// The values that a step leaves in the gates: pre-activations through their functions, rounded to f32.
fn activated(acts: CellActivations, pre: &Array, blocks: usize, candidate: usize) -> Array {
    let u = pre.shape.last() / blocks;
    let of = |b: usize| {
        value(
            if b == candidate { acts.activation } else { acts.recurrent },
            &block(&pre.values, b, blocks, u),
        )
    };
    Array::new(pre.shape, side_by_side(&(0..blocks).map(of).collect::<Vec<_>>(), u))
}

fn title(op: &str, acts: CellActivations, n: usize, u: usize, first: bool) -> String {
    format!("{op} {n}x{u} {} {}, first {first}", acts.activation, acts.recurrent)
}

fn lstm(t: &mut Table, acts: CellActivations, n: usize, u: usize, first: bool) {
    let mut draw = t.draw();
    let (gates, c_prev) = (draw.normal([n, 4 * u]), draw.normal([n, u]));
    t.case(title("lstm_step", acts, n, u, first), move |r| {
        let mut g = r.input(&gates);
        let p = (!first).then(|| r.input(&c_prev));
        let (mut c, mut h) = (r.output([n, u]), r.output([n, u]));
        r.device.lstm_step(acts, g.view_mut(), p.as_ref().map(Buffer::view), c.view_mut(), h.view_mut())?;
        let after = activated(acts, &gates, 4, 2).values;
        let [i, f, candidate, o] = [0, 1, 2, 3].map(|b| block(&after, b, 4, u));
        let before = |e: usize| if first { 0.0 } else { c_prev.values[e] };
        let of_c = |e: usize| {
            (FUNCTION + 2.0) * EPS * ((f[e] * before(e)).abs() + 2.0 * (i[e] * candidate[e]).abs())
        };
        let cells: Vec<f64> = (0..n * u).map(|e| f[e] * before(e) + i[e] * candidate[e]).collect();
        let (t, dt) =
            (value(acts.activation, &cells), slope(acts.activation, &value(acts.activation, &cells)));
        let of_h =
            |e: usize| (o[e] * dt[e]).abs() * of_c(e) + 2.0 * (FUNCTION + 1.0) * EPS * (o[e] * t[e]).abs();
        r.show("gates", &g, ulps(FUNCTION));
        r.show("c", &c, |_| (0..n * u).map(of_c).collect());
        // Where the activation bends sharply, dt is that of the other side: at most 1 for all of these.
        r.show("h", &h, |_| (0..n * u).map(|e| of_h(e).max(o[e].abs() * of_c(e))).collect());
        Ok(())
    });
}

fn lstm_backward(t: &mut Table, acts: CellActivations, n: usize, u: usize, first: bool) {
    let mut draw = t.draw();
    let gates = activated(acts, &draw.normal([n, 4 * u]), 4, 2);
    let [c_prev, c, dh, dc] = [(); 4].map(|()| draw.normal([n, u]));
    t.case(title("lstm_step_backward", acts, n, u, first), move |r| {
        let mut g = r.input(&gates);
        let p = (!first).then(|| r.input(&c_prev));
        let (vc, vdh, mut vdc) = (r.input(&c), r.input(&dh), r.input(&dc));
        let p = p.as_ref().map(Buffer::view);
        r.device.lstm_step_backward(acts, g.view_mut(), p, vc.view(), vdh.view(), vdc.view_mut())?;
        let [i, f, candidate, o] = [0, 1, 2, 3].map(|b| block(&gates.values, b, 4, u));
        let t = value(acts.activation, &c.values);
        // Sizes: of tanh′ = 1 − t², both terms; relative bounds of everything else.
        let dt: Vec<f64> = slope(acts.activation, &t).iter().zip(&t).map(|(d, t)| d + t * t).collect();
        let through = |f: Activation, y: &[f64]| -> Vec<f64> {
            slope(f, y).iter().zip(y).map(|(d, y)| d + y * y).collect()
        };
        let [di, df, dcandidate, d_o] = [(0, &i), (1, &f), (2, &candidate), (3, &o)]
            .map(|(b, y)| through(if b == 2 { acts.activation } else { acts.recurrent }, y));
        let before = |e: usize| if first { 0.0 } else { c_prev.values[e].abs() };
        let cell = |e: usize| dc.values[e].abs() + (dh.values[e] * o[e]).abs() * dt[e];
        let per_element = |f: &dyn Fn(usize) -> f64| (0..n * u).map(f).collect::<Vec<f64>>();
        let sizes = [
            per_element(&|e| cell(e) * candidate[e].abs() * di[e]),
            per_element(&|e| cell(e) * before(e) * df[e]),
            per_element(&|e| cell(e) * i[e].abs() * dcandidate[e]),
            per_element(&|e| (dh.values[e] * t[e]).abs() * d_o[e]),
        ];
        r.show("gates", &g, times(2.0 * FUNCTION, &side_by_side(&sizes, u)));
        r.show("dc", &vdc, times(2.0 * FUNCTION, &per_element(&|e| cell(e) * f[e].abs())));
        Ok(())
    });
}

fn gru(t: &mut Table, acts: CellActivations, n: usize, u: usize, first: bool) {
    let mut draw = t.draw();
    let (gates, recurrent, h_prev) = (draw.normal([n, 3 * u]), draw.normal([n, 3 * u]), draw.normal([n, u]));
    t.case(title("gru_step", acts, n, u, first), move |r| {
        let (mut g, v) = (r.input(&gates), r.input(&recurrent));
        let p = (!first).then(|| r.input(&h_prev));
        let mut h = r.output([n, u]);
        r.device.gru_step(acts, g.view_mut(), v.view(), p.as_ref().map(Buffer::view), h.view_mut())?;
        let [xz, xr, xh] = [0, 1, 2].map(|b| block(&gates.values, b, 3, u));
        let [hz, hr, hh] = [0, 1, 2].map(|b| block(&recurrent.values, b, 3, u));
        let sum = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a + b).collect::<Vec<f64>>();
        let (z, reset) = (value(acts.recurrent, &sum(&xz, &hz)), value(acts.recurrent, &sum(&xr, &hr)));
        let gated: Vec<f64> = reset.iter().zip(&hh).map(|(r, h)| r * h).collect();
        let candidate = value(acts.activation, &sum(&xh, &gated));
        // No function here is steeper than 1: an argument's error is its value's at most.
        let of_z = |e: usize| EPS * (FUNCTION * z[e].abs() + (xz[e] + hz[e]).abs());
        let of_r = |e: usize| EPS * (FUNCTION * reset[e].abs() + (xr[e] + hr[e]).abs());
        let of_candidate = |e: usize| {
            of_r(e) * hh[e].abs() + EPS * (xh[e].abs() + 2.0 * gated[e].abs() + FUNCTION * candidate[e].abs())
        };
        let before = |e: usize| if first { 0.0 } else { h_prev.values[e] };
        let of_h = |e: usize| {
            let sizes = (z[e] * before(e)).abs()
                + ((1.0 - z[e]) * candidate[e]).abs()
                + z[e].abs() * candidate[e].abs();
            of_z(e) * (before(e).abs() + candidate[e].abs())
                + (1.0 - z[e]).abs() * of_candidate(e)
                + 2.0 * EPS * sizes
        };
        let all = |f: &dyn Fn(usize) -> f64| (0..n * u).map(f).collect::<Vec<f64>>();
        r.show("gates", &g, |_| side_by_side(&[all(&of_z), all(&of_r), all(&of_candidate)], u));
        r.show("h", &h, |_| all(&of_h));
        Ok(())
    });
}

fn gru_backward(t: &mut Table, acts: CellActivations, n: usize, u: usize, first: bool) {
    let mut draw = t.draw();
    let gates = activated(acts, &draw.normal([n, 3 * u]), 3, 2);
    let (recurrent, h_prev, dh) = (draw.normal([n, 3 * u]), draw.normal([n, u]), draw.normal([n, u]));
    t.case(title("gru_step_backward", acts, n, u, first), move |r| {
        let (mut g, mut v) = (r.input(&gates), r.input(&recurrent));
        let p = (!first).then(|| r.input(&h_prev));
        let mut d = r.input(&dh);
        let p = p.as_ref().map(Buffer::view);
        r.device.gru_step_backward(acts, g.view_mut(), v.view_mut(), p, d.view_mut())?;
        let [z, reset, candidate] = [0, 1, 2].map(|b| block(&gates.values, b, 3, u));
        let hh = block(&recurrent.values, 2, 3, u);
        let through = |f: Activation, y: &[f64]| -> Vec<f64> {
            slope(f, y).iter().zip(y).map(|(d, y)| d + y * y).collect()
        };
        let (sz, sr) = (through(acts.recurrent, &z), through(acts.recurrent, &reset));
        let sc = through(acts.activation, &candidate);
        let before = |e: usize| if first { 0.0 } else { h_prev.values[e].abs() };
        let dz = |e: usize| dh.values[e].abs() * (before(e) + candidate[e].abs()) * sz[e];
        let dcandidate = |e: usize| (dh.values[e] * (1.0 - z[e])).abs() * sc[e];
        let dr = |e: usize| dcandidate(e) * hh[e].abs() * sr[e];
        let all = |f: &dyn Fn(usize) -> f64| (0..n * u).map(f).collect::<Vec<f64>>();
        r.show("gates", &g, times(FUNCTION, &side_by_side(&[all(&dz), all(&dr), all(&dcandidate)], u)));
        let gated = all(&|e| dcandidate(e) * reset[e].abs());
        r.show("recurrent", &v, times(FUNCTION, &side_by_side(&[all(&dz), all(&dr), gated], u)));
        r.show("dh", &d, ulps(1.0));
        Ok(())
    });
}
