//! One step of an LSTM and of a GRU, and all steps of an LSTM.

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
    for (i, extents) in SEQUENCES.into_iter().enumerate() {
        for acts in [ACTIVATIONS[0], ACTIVATIONS[1 + i % 2]] {
            sequence(t, acts, extents, i % 3 != 1);
            sequence_backward(t, acts, extents, [None, Some(2), Some(1)][i % 3]);
        }
    }
    for (i, extents) in WEIGHTS.into_iter().enumerate() {
        weights(t, extents, i % 3 != 1);
    }
}

/// Steps, batch, inputs, units and columns of dz: one step; blocks of rows that are whole and ragged; columns that do not
/// fill the last panel, or one task; inputs and units too many for one pass.
const WEIGHTS: [[usize; 5]; 9] = [
    [1, 3, 2, 4, 16],
    [1, 20, 5, 40, 160],
    [3, 5, 7, 40, 160],
    [4, 130, 28, 36, 144],
    [2, 300, 3, 33, 133],
    [5, 1, 1, 1, 257],
    [3, 20, 170, 40, 160],
    [3, 20, 7, 170, 680],
    [2, 16, 8, 64, 64],
];

fn weights(t: &mut Table, [steps, n, f, u, g]: [usize; 5], bias: bool) {
    let mut draw = t.draw();
    let (xs, h, dz) = (draw.normal([steps, n, f]), draw.normal([steps, n, u]), draw.normal([steps, n, g]));
    t.case(format!("recurrent_gradients {steps} steps of {n}, {f}+{u}x{g}, bias {bias}"), move |r| {
        let (vx, vh, vz) = (r.input(&xs), r.input(&h), r.input(&dz));
        let (mut dw, mut du, mut db) = (r.output([f, g]), r.output([u, g]), bias.then(|| r.output([g])));
        let of_bias = db.as_mut().map(|db| db.view_mut());
        r.device.recurrent_gradients(
            vx.view(),
            vh.view(),
            vz.view(),
            dw.view_mut(),
            du.view_mut(),
            of_bias,
        )?;
        // Σ |a| |dz| over the rows of dz from `first` on.
        let sizes = |a: &[f64], m: usize, first: usize| -> Vec<f64> {
            let mut sums = vec![0.0; m * g];
            for (a, dz) in a.chunks_exact(m).zip(dz.values[first * g..].chunks_exact(g)) {
                for (i, j) in (0..m).flat_map(|i| (0..g).map(move |j| (i, j))) {
                    sums[i * g + j] += (a[i] * dz[j]).abs();
                }
            }
            sums
        };
        let rows = steps * n;
        r.show("dw", &dw, times(additions(rows), &sizes(&xs.values, f, 0)));
        r.show("du", &du, times(additions(rows), &sizes(&h.values[..(rows - n) * u], u, n)));
        if let Some(db) = &db {
            r.show("db", db, times(additions(rows), &sizes(&vec![1.0; rows], 1, 0)));
        }
        Ok(())
    });
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

/// All steps: steps, batch, features and units. Batches of less than a tile, of one task, of several.
const SEQUENCES: [[usize; 4]; 7] = [
    [1, 3, 2, 4],
    [3, 1, 1, 1],
    [4, 7, 3, 5],
    [3, 24, 28, 16],
    [3, 50, 5, 33],
    [2, 130, 17, 20],
    [3, 4, 0, 6],
];

/// A row of x times a matrix of `columns`: Σᵢ xᵢ mᵢⱼ for each j.
fn row_times(x: &[f64], m: &[f64], columns: usize) -> Vec<f64> {
    let mut sums = vec![0.0; columns];
    for (x, row) in x.iter().zip(m.chunks_exact(columns)) {
        sums.iter_mut().zip(row).for_each(|(s, m)| *s += x * m);
    }
    sums
}

/// x times the transpose of a matrix with rows of `columns`: Σⱼ xⱼ mᵢⱼ for each i.
fn row_times_transposed(x: &[f64], m: &[f64], columns: usize) -> Vec<f64> {
    m.chunks_exact(columns).map(|row| row.iter().zip(x).map(|(m, x)| m * x).sum()).collect()
}

/// The bound walks along: no function here is steeper than 1, so an error of z is one of its gate at most; those of the
/// step before come through f and through U.
fn sequence(t: &mut Table, acts: CellActivations, [steps, n, f, u]: [usize; 4], bias: bool) {
    let mut draw = t.draw();
    let small = |x: f64| x / ((f + u) as f64).sqrt();
    let xs = draw.normal([steps, n, f]);
    let (w, w_h, b) =
        (draw.normal([f, 4 * u]).map(small), draw.normal([u, 4 * u]).map(small), draw.normal([4 * u]));
    t.case(title("lstm", acts, n, u, bias) + &format!(", {steps} steps of {f}"), move |r| {
        let (vx, vw, vu) = (r.input(&xs), r.input(&w), r.input(&w_h));
        let vb = bias.then(|| r.input(&b));
        let (mut gates, mut c, mut h) =
            (r.output([steps, n, 4 * u]), r.output([steps, n, u]), r.output([steps, n, u]));
        let vb = vb.as_ref().map(Buffer::view);
        let (g, vc, vh) = (gates.view_mut(), c.view_mut(), h.view_mut());
        r.device.lstm(acts, vx.view(), vw.view(), vu.view(), vb, g, vc, vh)?;
        let abs = |v: &[f64]| v.iter().map(|x| x.abs()).collect::<Vec<f64>>();
        let zeros = vec![0.0; n * u];
        let (mut c_prev, mut h_prev, mut of_c, mut of_h) =
            (zeros.clone(), zeros.clone(), zeros.clone(), zeros.clone());
        let (mut all_gates, mut all_c, mut all_h) = (Vec::new(), Vec::new(), Vec::new());
        for x in xs.values.chunks_exact((n * f).max(1)).chain(std::iter::repeat_n(&[][..], steps)).take(steps)
        {
            let (mut z, mut of_z) = (Vec::new(), Vec::new());
            for row in 0..n {
                let (x, at) = (&x[row * f..][..f], row * u..(row + 1) * u);
                let (h, of_h) = (&h_prev[at.clone()], &of_h[at]);
                let (from_x, from_h) = (row_times(x, &w.values, 4 * u), row_times(h, &w_h.values, 4 * u));
                let sizes = row_times(&abs(x), &abs(&w.values), 4 * u);
                let more = row_times(&abs(h), &abs(&w_h.values), 4 * u);
                let through = row_times(of_h, &abs(&w_h.values), 4 * u);
                for j in 0..4 * u {
                    let b = if bias { b.values[j] } else { 0.0 };
                    z.push(from_x[j] + from_h[j] + b);
                    of_z.push(additions(f + u + 2) * EPS * (sizes[j] + more[j] + b.abs()) + through[j]);
                }
            }
            let after = activated(acts, &Array::new([n, 4 * u], z), 4, 2).values;
            let of_gate: Vec<f64> =
                of_z.iter().zip(&after).map(|(d, y)| d + FUNCTION * EPS * y.abs()).collect();
            let [i, forget, candidate, o] = [0, 1, 2, 3].map(|b| block(&after, b, 4, u));
            let [of_i, of_f, of_candidate, of_o] = [0, 1, 2, 3].map(|b| block(&of_gate, b, 4, u));
            let cells: Vec<f64> = (0..n * u).map(|e| forget[e] * c_prev[e] + i[e] * candidate[e]).collect();
            let shown = value(acts.activation, &cells);
            for e in 0..n * u {
                let sizes = (forget[e] * c_prev[e]).abs() + (i[e] * candidate[e]).abs();
                of_c[e] = c_prev[e].abs() * of_f[e]
                    + forget[e].abs() * of_c[e]
                    + candidate[e].abs() * of_i[e]
                    + i[e].abs() * of_candidate[e]
                    + 3.0 * EPS * sizes;
                let of_shown = of_c[e] + FUNCTION * EPS * shown[e].abs();
                of_h[e] =
                    shown[e].abs() * of_o[e] + o[e].abs() * of_shown + 2.0 * EPS * (o[e] * shown[e]).abs();
                h_prev[e] = o[e] * shown[e];
            }
            c_prev = cells;
            all_gates.extend(of_gate);
            all_c.extend_from_slice(&of_c);
            all_h.extend_from_slice(&of_h);
        }
        r.show("gates", &gates, |_| all_gates);
        r.show("c", &c, |_| all_c);
        r.show("h", &h, |_| all_h);
        Ok(())
    });
}

/// Errors as multiples of sizes, both of which walk back through time: each op adds its roundings to the multiple.
fn sequence_backward(t: &mut Table, acts: CellActivations, [steps, n, _, u]: [usize; 4], cut: Option<usize>) {
    let mut draw = t.draw();
    let gates = activated(acts, &draw.normal([steps, n, 4 * u]), 4, 2);
    let (c, dh) = (draw.normal([steps, n, u]), draw.normal([steps, n, u]));
    let w_h = draw.normal([u, 4 * u]).map(|x| x / (u as f64).sqrt());
    let name = title("lstm_backward", acts, n, u, false) + &format!(", {steps} steps, cut {cut:?}");
    t.case(name, move |r| {
        let (mut g, vc, mut vdh, vu) = (r.input(&gates), r.input(&c), r.input(&dh), r.input(&w_h));
        let mut dc = r.output([n, u]);
        let (vg, d, vdc) = (g.view_mut(), vdh.view_mut(), dc.view_mut());
        r.device.lstm_backward(acts, vu.view(), cut, vg, vc.view(), d, vdc)?;
        let weights: Vec<f64> = w_h.values.iter().map(|x| x.abs()).collect();
        let through = |f: Activation, y: &[f64]| -> Vec<f64> {
            slope(f, y).iter().zip(y).map(|(d, y)| d + y * y).collect()
        };
        let (mut of_dz, mut of_dh) = (vec![Vec::new(); steps], vec![Vec::new(); steps]);
        let (mut size_dc, mut roundings) = (vec![0.0; n * u], 0.0);
        let mut later = vec![0.0; n * u]; // what step t + 1 passes back to dh
        for t in (0..steps).rev() {
            let at = t * n * u..(t + 1) * n * u;
            let y = &gates.values[4 * at.start..4 * at.end];
            let [i, f, candidate, o] = [0, 1, 2, 3].map(|b| block(y, b, 4, u));
            let shown = value(acts.activation, &c.values[at.clone()]);
            let of_shown: Vec<f64> =
                slope(acts.activation, &shown).iter().zip(&shown).map(|(d, t)| d + t * t).collect();
            let [di, df, dcandidate, d_o] = [(0, &i), (1, &f), (2, &candidate), (3, &o)]
                .map(|(b, y)| through(if b == 2 { acts.activation } else { acts.recurrent }, y));
            let size_dh: Vec<f64> =
                dh.values[at.clone()].iter().zip(&later).map(|(own, later)| own.abs() + later).collect();
            of_dh[t] = size_dh.iter().map(|size| roundings * EPS * size).collect();
            let before = |e: usize| if t == 0 { 0.0 } else { c.values[at.start - n * u + e].abs() };
            let cell: Vec<f64> =
                (0..n * u).map(|e| size_dc[e] + (size_dh[e] * o[e]).abs() * of_shown[e]).collect();
            let per_element = |f: &dyn Fn(usize) -> f64| (0..n * u).map(f).collect::<Vec<f64>>();
            let sizes = side_by_side(
                &[
                    per_element(&|e| cell[e] * candidate[e].abs() * di[e]),
                    per_element(&|e| cell[e] * before(e) * df[e]),
                    per_element(&|e| cell[e] * i[e].abs() * dcandidate[e]),
                    per_element(&|e| (size_dh[e] * shown[e]).abs() * d_o[e]),
                ],
                u,
            );
            roundings += 2.0 * FUNCTION;
            of_dz[t] = sizes.iter().map(|size| roundings * EPS * size).collect();
            roundings += additions(4 * u + 1);
            let flows = t > 0 && cut.is_none_or(|k| !t.is_multiple_of(k));
            size_dc = per_element(&|e| if flows { cell[e] * f[e].abs() } else { 0.0 });
            later = sizes
                .chunks_exact(4 * u)
                .flat_map(|row| row_times_transposed(row, &weights, 4 * u))
                .collect();
            if !flows {
                later.fill(0.0);
            }
        }
        r.show("dz", &g, |_| of_dz.concat());
        r.show("dh", &vdh, |_| of_dh.concat());
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
