//! The three recurrent layers against a second implementation: one sample and one unit at a time, from the equations.
//!
//! Its forward must agree to 1e-12. Its gradients are central differences, and truncation is what its name says: at a
//! cut the state is a constant, frozen at the value it had.

use crate::activations::Activation;
use crate::layers::trial::{Trial, assert_close, refusal};
use crate::layers::{GRU, LSTM, Layer, SimpleRNN};

#[derive(Clone, Copy, PartialEq)]
enum Cell {
    Simple,
    Lstm,
    GruAfter,
    GruBefore,
}

/// A recurrent layer, written again as scalars.
#[derive(Clone, Copy)]
struct Scalar {
    cell: Cell,
    steps: usize,
    features: usize,
    units: usize,
    bias: bool,
    sequence: bool,
    backwards: bool,
    truncate: usize,
    f: fn(f64) -> f64,
    sigma: fn(f64) -> f64,
}

/// W, U and b, each row-major, as the layer has them; b is empty if there is none.
type Weights = [Vec<f64>; 3];

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn softsign(x: f64) -> f64 {
    x / (1.0 + x.abs())
}

impl Scalar {
    fn new(cell: Cell, steps: usize, features: usize, units: usize) -> Scalar {
        Scalar {
            cell,
            steps,
            features,
            units,
            bias: true,
            sequence: false,
            backwards: false,
            truncate: steps,
            f: f64::tanh,
            sigma: sigmoid,
        }
    }

    fn blocks(&self) -> usize {
        match self.cell {
            Cell::Simple => 1,
            Cell::Lstm => 4,
            Cell::GruAfter | Cell::GruBefore => 3,
        }
    }

    fn weights(&self) -> Weights {
        let columns = self.blocks() * self.units;
        let biases = if self.cell == Cell::GruAfter { 2 } else { 1 };
        let bias = if self.bias { biases * columns } else { 0 };
        [wave(self.features * columns, 0.7, 1.3), wave(self.units * columns, 0.8, 2.1), wave(bias, 0.5, 0.9)]
    }

    /// y, and (h, c) of every step of every sample. `frozen` states replace the walk's own at cuts.
    fn run(&self, w: &Weights, x: &[f64], frozen: Option<&[State]>) -> (Vec<f64>, Vec<State>) {
        let (mut y, mut states): (Vec<f64>, Vec<State>) = (vec![], vec![]);
        for (sample, x) in x.chunks(self.steps * self.features).enumerate() {
            let mut state = (vec![0.0; self.units], vec![0.0; self.units]);
            for t in 0..self.steps {
                if t > 0
                    && t % self.truncate == 0
                    && let Some(frozen) = frozen
                {
                    state = frozen[sample * self.steps + t - 1].clone();
                }
                let at = if self.backwards { self.steps - 1 - t } else { t };
                state = self.step(w, &x[at * self.features..][..self.features], &state);
                states.push(state.clone());
                if self.sequence || t + 1 == self.steps {
                    y.extend(&state.0);
                }
            }
        }
        (y, states)
    }

    fn step(&self, [w, u, b]: &Weights, x: &[f64], (h, c): &State) -> State {
        let columns = self.blocks() * self.units;
        let dot = |x: &[f64], m: &[f64], column: usize| -> f64 {
            x.iter().enumerate().map(|(row, x)| x * m[row * columns + column]).sum()
        };
        let bias = |index: usize| b.get(index).copied().unwrap_or(0.0);
        let from_x = |block: usize, j: usize| {
            let column = block * self.units + j;
            dot(x, w, column) + bias(column)
        };
        let from_h = |h: &[f64], block: usize, j: usize| {
            let column = block * self.units + j;
            let second = if self.cell == Cell::GruAfter { bias(columns + column) } else { 0.0 };
            dot(h, u, column) + second
        };
        let (f, sigma) = (self.f, self.sigma);
        let gate = |block: usize, j: usize| from_x(block, j) + from_h(h, block, j);
        let units = 0..self.units;
        match self.cell {
            Cell::Simple => (units.map(|j| f(gate(0, j))).collect(), c.clone()),
            Cell::Lstm => {
                let c: Vec<f64> = units
                    .clone()
                    .map(|j| sigma(gate(1, j)) * c[j] + sigma(gate(0, j)) * f(gate(2, j)))
                    .collect();
                (units.map(|j| sigma(gate(3, j)) * f(c[j])).collect(), c)
            }
            Cell::GruAfter | Cell::GruBefore => {
                let r: Vec<f64> = units.clone().map(|j| sigma(gate(1, j))).collect();
                let reset: Vec<f64> = units.clone().map(|j| r[j] * h[j]).collect();
                let next = |j: usize| {
                    let z = sigma(gate(0, j));
                    let recurrent = match self.cell {
                        Cell::GruAfter => r[j] * from_h(h, 2, j),
                        _ => from_h(&reset, 2, j),
                    };
                    z * h[j] + (1.0 - z) * f(from_x(2, j) + recurrent)
                };
                (units.map(next).collect(), c.clone())
            }
        }
    }

    /// ∂(Σ r ⊙ y) by W, U, b and x, by central differences, with the states at cuts held still.
    fn gradients(&self, w: &Weights, x: &[f64], r: &[f64]) -> [Vec<f64>; 4] {
        let (_, states) = self.run(w, x, None);
        let loss = |w: &Weights, x: &[f64]| inner(r, &self.run(w, x, Some(&states)).0);
        let of_weight = |which: usize| {
            differences(&w[which], |moved| {
                let mut w = w.clone();
                w[which] = moved.to_vec();
                loss(&w, x)
            })
        };
        [of_weight(0), of_weight(1), of_weight(2), differences(x, |x| loss(w, x))]
    }
}

/// h and c of one sample.
type State = (Vec<f64>, Vec<f64>);

fn inner(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Numbers without a pattern that a transposition or a shift would leave alone.
fn wave(n: usize, height: f64, pace: f64) -> Vec<f64> {
    (0..n).map(|i| height * (pace * (i + 1) as f64 + 0.1 * (i * i) as f64).sin()).collect()
}

fn differences(at: &[f64], f: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    let (step, mut moved) = (1e-5, at.to_vec());
    let mut quotient = |i: usize| {
        moved[i] = at[i] + step;
        let above = f(&moved);
        moved[i] = at[i] - step;
        let below = f(&moved);
        moved[i] = at[i];
        (above - below) / (2.0 * step)
    };
    (0..at.len()).map(&mut quotient).collect()
}

fn load<L: Layer>(trial: &mut Trial<L>, w: &Weights) {
    for (name, values) in trial.names().into_iter().zip(w) {
        trial.set(name, values);
    }
}

/// Forward and all gradients of the layer against the scalars, on a batch and then on a smaller one.
fn check<L: Layer>(what: &str, layer: L, s: Scalar) {
    let mut trial = Trial::new(layer, [s.steps, s.features]).unwrap();
    let w = s.weights();
    load(&mut trial, &w);
    for n in [5, 2] {
        let x = wave(n * s.steps * s.features, 1.1, 0.7);
        let (y, _) = s.run(&w, &x, None);
        assert_close(&trial.forward(&x), &y, 1e-12);
        let r = wave(y.len(), 1.0, 1.7);
        let dx = trial.backward(&x, &r);
        let [dw, du, db, want] = s.gradients(&w, &x, &r);
        println!("{what}, batch {n}"); // shown when the next line fails
        assert_close(&dx, &want, 1e-8);
        for (name, want) in trial.names().into_iter().zip([dw, du, db]) {
            println!("  {name}");
            assert_close(&trial.grad(name), &want, 1e-8);
        }
    }
}

/// Every way to configure a walk, for one kind of cell.
macro_rules! check_walks {
    ($cell:expr, $new:expr, $other_activations:expr) => {
        let new = $new;
        check("plain", new(4), Scalar::new($cell, 5, 3, 4));
        check("of one", new(1), Scalar::new($cell, 1, 1, 1));
        check("one step", new(3), Scalar::new($cell, 1, 2, 3));
        let s = Scalar::new($cell, 5, 3, 4);
        check("sequence", new(4).return_sequences(true), Scalar { sequence: true, ..s });
        check("backwards", new(4).go_backwards(true), Scalar { backwards: true, ..s });
        let (backwards, sequence) = (true, true);
        let both = new(4).go_backwards(true).return_sequences(true);
        check("backwards, sequence", both, Scalar { backwards, sequence, ..s });
        check("no bias", new(4).use_bias(false), Scalar { bias: false, ..s });
        for truncate in [1, 2, 3, 5, 9] {
            check("truncated", new(4).truncate(truncate), Scalar { truncate, ..s });
            let layer = new(4).truncate(truncate).return_sequences(true);
            check("truncated sequence", layer, Scalar { truncate, sequence, ..s });
            let layer = new(4).truncate(truncate).return_sequences(true).go_backwards(true);
            check("truncated backwards", layer, Scalar { truncate, sequence, backwards, ..s });
        }
        let s = Scalar { f: softsign, sigma: f64::tanh, ..s };
        check("other activations", $other_activations(new(4)), s);
    };
}

#[test]
fn simple_rnn_agrees_with_scalars() {
    check_walks!(Cell::Simple, SimpleRNN::new, |l: SimpleRNN| l.activation(Activation::Softsign));
}

#[test]
fn lstm_agrees_with_scalars() {
    let other = |l: LSTM| l.activation(Activation::Softsign).recurrent_activation(Activation::Tanh);
    check_walks!(Cell::Lstm, LSTM::new, other);
}

#[test]
fn gru_agrees_with_scalars() {
    let other = |l: GRU| l.activation(Activation::Softsign).recurrent_activation(Activation::Tanh);
    check_walks!(Cell::GruAfter, GRU::new, other);
}

#[test]
fn gru_with_reset_before_the_product_agrees_with_scalars() {
    let other = |l: GRU| l.activation(Activation::Softsign).recurrent_activation(Activation::Tanh);
    check_walks!(Cell::GruBefore, |units| GRU::new(units).reset_after(false), other);
}

/// What the upper layer says about its input is what the lower one learns from.
#[test]
fn a_gradient_goes_through_two_layers() {
    let lower = Scalar { sequence: true, ..Scalar::new(Cell::Lstm, 4, 3, 2) };
    let upper = Scalar::new(Cell::GruAfter, 4, 2, 3);
    let (w, v) = (lower.weights(), upper.weights());
    let x = wave(2 * 4 * 3, 1.1, 0.7);
    let r = wave(2 * 3, 1.0, 1.7);

    let mut first = Trial::new(LSTM::new(2).return_sequences(true), [4, 3]).unwrap();
    let mut second = Trial::new(GRU::new(3), first.output).unwrap();
    load(&mut first, &w);
    load(&mut second, &v);
    let between = first.forward(&x);
    let dx = first.backward(&x, &second.backward(&between, &r));

    let loss = |w: &Weights, x: &[f64]| inner(&r, &upper.run(&v, &lower.run(w, x, None).0, None).0);
    assert_close(&dx, &differences(&x, |x| loss(&w, x)), 1e-8);
    let of_recurrent = differences(&w[1], |u| loss(&[w[0].clone(), u.to_vec(), w[2].clone()], &x));
    assert_close(&first.grad("recurrent_kernel"), &of_recurrent, 1e-8);
}

/// Figures of Keras 3.15, which multiplies in f32: with the weights' numbers 0.7 sin 0, 0.7 sin 1 ... in the order of
/// `get_weights`, and the inputs cos 0, cos 1 ...
#[test]
fn keras_gives_the_same() {
    fn y(layer: impl Layer) -> Vec<f64> {
        let mut trial = Trial::new(layer, [3, 2]).unwrap();
        let mut k = 0;
        for name in trial.names() {
            let n = trial.value(name).len();
            trial.set(name, &(k..k + n).map(|i| 0.7 * (i as f64).sin()).collect::<Vec<_>>());
            k += n;
        }
        trial.forward(&(0..12).map(|i| f64::from(i).cos()).collect::<Vec<_>>())
    }
    let simple = [0.82120226, 0.12861468, 0.73835530, 0.03902401];
    let lstm = [-0.38959835, -0.08791622, -0.35684259, -0.09691217];
    let gru = [0.54966673, -0.32790536, 0.63117732, -0.23785828];
    let gru_before = [0.33052724, -0.09614271, 0.41947889, 0.05062809];
    let lstm_backwards = [
        [-0.16787411, 0.02665834, -0.10185111, -0.13981707, -0.41753550, -0.49282075],
        [-0.08635347, 0.03579156, -0.09131971, -0.17356037, -0.44973405, -0.48097411],
    ];
    assert_close(&y(SimpleRNN::new(2)), &simple, 2e-7);
    assert_close(&y(LSTM::new(2)), &lstm, 2e-7);
    assert_close(&y(GRU::new(2)), &gru, 2e-7);
    assert_close(&y(GRU::new(2).reset_after(false)), &gru_before, 2e-7);
    let backwards = LSTM::new(2).go_backwards(true).return_sequences(true);
    assert_close(&y(backwards), lstm_backwards.as_flattened(), 2e-7);
}

/// Keras's shapes and first values: U orthogonal as a whole, a forget bias of 1, other biases 0.
#[test]
fn parameters_start_as_in_keras() {
    let mut lstm = Trial::new(LSTM::new(3), [5, 2]).unwrap();
    assert_eq!(lstm.names(), ["kernel", "recurrent_kernel", "bias"]);
    assert_eq!(lstm.value("kernel").len(), 2 * 12);
    assert_eq!(lstm.value("bias"), [0., 0., 0., 1., 1., 1., 0., 0., 0., 0., 0., 0.]);
    let u = lstm.value("recurrent_kernel");
    for (i, a) in u.chunks(12).enumerate() {
        for (j, b) in u.chunks(12).enumerate() {
            assert!((inner(a, b) - f64::from(i == j)).abs() <= 1e-12); // its 3 rows are orthonormal
        }
    }
    let mut off = Trial::new(LSTM::new(3).unit_forget_bias(false), [5, 2]).unwrap();
    assert_eq!(off.value("bias"), [0.0; 12]);
    assert_eq!(Trial::new(LSTM::new(3).use_bias(false), [5, 2]).unwrap().names().len(), 2);
    assert_eq!(Trial::new(GRU::new(3), [5, 2]).unwrap().value("bias").len(), 2 * 9);
    assert_eq!(Trial::new(GRU::new(3).reset_after(false), [5, 2]).unwrap().value("bias").len(), 9);
    assert_eq!(Trial::new(SimpleRNN::new(3), [5, 2]).unwrap().value("bias").len(), 3);
    assert_eq!(Trial::new(SimpleRNN::new(3).return_sequences(true), [5, 2]).unwrap().output.dims(), [5, 3]);
}

#[test]
fn what_cannot_work_is_refused_with_a_remedy() {
    let (error, hint) = refusal(LSTM::new(3), [7]);
    assert_eq!(error, "layer `on_trial (LSTM 3)` got [N, 7], expected [N, steps, features]");
    assert!(hint.contains("return_sequences(true)"), "{hint}");
    assert!(refusal(GRU::new(3), [2, 3, 4]).1.contains("Reshape"));
    assert!(refusal(SimpleRNN::new(0), [2, 3]).1.contains("at least one unit"));
    assert!(refusal(SimpleRNN::new(2), [0, 3]).1.contains("one step"));
    assert!(refusal(LSTM::new(2).truncate(0), [5, 3]).0.contains("segments of 0 steps"));
    assert!(refusal(LSTM::new(usize::MAX), [5, 3]).0.contains("too large"));
    let (error, _) = refusal(LSTM::new(2).recurrent_activation(Activation::Softmax), [5, 3]);
    assert!(error.contains("(LSTM 2) cannot use softmax"), "{error}");
    assert!(refusal(GRU::new(2).activation(Activation::Silu), [5, 3]).0.contains("silu"));
    assert!(refusal(SimpleRNN::new(2).activation(Activation::Softmax), [5, 3]).0.contains("softmax"));
}
