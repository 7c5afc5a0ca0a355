//! A device that makes mistakes on purpose: it passes every op on to another, and spoils what one of them wrote.
//!
//! Ops are counted. One [`Plant`] names the op by its number, one of its outputs, and the [`Fault`].

use handgrad::backend::{Affine, CellActivations, LossTerm};
use handgrad::metrics::Score;
use handgrad::optimizers::Update;
use handgrad::rng::Noise;
use handgrad::window::Window;
use handgrad::{Activation, Backend, Device, Gemm, HostRows, Indices, Loss, Result, Shape, Target, Tensor};
use handgrad::{View, ViewMut};
use std::sync::{Arc, Mutex};

/// A mistake of the kind that people make in a backward pass.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// The wrong sign.
    Flip,
    /// A factor too many or too few: 2, 1/N, or one that is hard to see.
    Scale(f64),
    /// A term that was forgotten.
    Drop,
    /// Every number one place further: a wrong index.
    Shift,
    /// Two numbers in each other's place, as after a transposition: the first and the last.
    Swap,
    /// The last number was not reached: the edge of a loop.
    Edge,
    /// An op that was not called: its output holds what it held before.
    Skip,
    /// The op was called without what it could go without: a bias, what was there before, the step before.
    Alone,
    /// An LSTM step passed dc back without ⊙ f.
    NoForget,
    /// Each number off by a random part of itself, up to this much: rounding, and not a mistake.
    Round(f64),
}

/// Where a fault is planted: in which op of a run, counted from 0, and in which of its outputs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plant {
    pub call: usize,
    /// After how many calls the run begins anew, and with it the fault.
    pub period: usize,
    pub output: usize,
    pub fault: Fault,
}

/// What happened: every op that was called since [`Watch::plant`], with the names of its outputs.
#[derive(Clone, Debug, Default)]
pub struct Log {
    pub calls: Vec<(&'static str, Vec<&'static str>)>,
    /// Whether the fault changed any number that the op wrote.
    pub changed: bool,
}

/// The handle by which a test plants faults in a [`Faulty`] device and reads its log.
#[derive(Clone, Default)]
pub struct Watch(Arc<Mutex<(Log, Option<Plant>)>>);

impl Watch {
    /// Starts the count anew, with a fault or without.
    pub fn plant(&self, plant: Option<Plant>) {
        *self.0.lock().unwrap() = (Log::default(), plant);
    }

    pub fn log(&self) -> Log {
        self.0.lock().unwrap().0.clone()
    }
}

/// Ops that only move numbers, and do not round them. (A rounded maximum would stand nowhere in its window.)
const MOVES: [&str; 7] = ["load_rows", "fill", "copy", "swap_axes", "copy_columns", "im2col", "max_pool"];

/// See the [module](self).
pub struct Faulty {
    inner: Device,
    watch: Watch,
    /// Spoils every output of every op that computes, whatever the plant says.
    everywhere: Option<Fault>,
}

/// A device that works like `inner` until its watch plants a fault.
pub fn faulty(inner: &Device) -> (Device, Watch) {
    let watch = Watch::default();
    let device = Faulty { inner: inner.clone(), watch: watch.clone(), everywhere: None };
    (Device::from_backend(device), watch)
}

/// A device that rounds as one with precision `epsilon` would: each number that an op computes is off by up
/// to that part.
pub fn rounding(inner: &Device, epsilon: f64, seed: u64) -> Device {
    let watch = Watch::default();
    // The count of calls seeds the noise.
    watch.0.lock().unwrap().0.calls = vec![("seed", Vec::new()); seed as usize];
    Device::from_backend(Faulty { inner: inner.clone(), watch, everywhere: Some(Fault::Round(epsilon)) })
}

/// An argument of an op that can be passed on: as it is, or lent.
trait Lend {
    type Lent<'a>
    where
        Self: 'a;
    fn lend(&mut self) -> Self::Lent<'_>;
}

macro_rules! lend_copy {
    ($($t:ty),*) => { $(impl Lend for $t { type Lent<'a> = Self where Self: 'a; fn lend(&mut self) -> Self { *self } })* };
}
lend_copy!(f64, usize, Gemm, Activation, CellActivations, Loss, Noise, Score, HostRows<'_>, View<'_>);
lend_copy!(Target<'_>, Option<View<'_>>, Option<f64>, &[u32], &Window, &Affine<'_>, &LossTerm<'_>, &Update);

impl Lend for ViewMut<'_> {
    type Lent<'a>
        = ViewMut<'a>
    where
        Self: 'a;
    fn lend(&mut self) -> ViewMut<'_> {
        self.reborrow()
    }
}

impl Lend for Option<ViewMut<'_>> {
    type Lent<'a>
        = Option<ViewMut<'a>>
    where
        Self: 'a;
    fn lend(&mut self) -> Option<ViewMut<'_>> {
        self.as_mut().map(ViewMut::reborrow)
    }
}

impl Lend for &mut [Tensor] {
    type Lent<'a>
        = &'a mut [Tensor]
    where
        Self: 'a;
    fn lend(&mut self) -> &mut [Tensor] {
        self
    }
}

/// Something that an op writes.
trait Output {
    fn view(&mut self) -> Option<ViewMut<'_>>;
}

impl Output for ViewMut<'_> {
    fn view(&mut self) -> Option<ViewMut<'_>> {
        Some(self.reborrow())
    }
}

impl Output for Option<ViewMut<'_>> {
    fn view(&mut self) -> Option<ViewMut<'_>> {
        self.lend()
    }
}

/// The argument that a called-alone op goes without: the bias, or β.
trait Alone {
    fn without(&mut self) {}
}

impl Alone for Option<View<'_>> {
    fn without(&mut self) {
        *self = None;
    }
}

impl Alone for Gemm {
    fn without(&mut self) {
        self.beta = 0.0;
    }
}

impl Faulty {
    /// Notes a call, and says whether a fault is planted in it.
    fn note(&self, op: &'static str, outputs: &[&'static str]) -> (usize, Option<Plant>) {
        let mut watch = self.watch.0.lock().unwrap();
        let call = watch.0.calls.len();
        watch.0.calls.push((op, outputs.to_vec()));
        (call, watch.1.filter(|plant| plant.call == call % plant.period))
    }

    /// After an op: spoils the output that the plant names.
    fn spoil(
        &self,
        op: &str,
        call: usize,
        plant: Option<Plant>,
        before: &[Vec<f64>],
        outputs: &mut [&mut dyn Output],
    ) {
        for (i, output) in outputs.iter_mut().enumerate() {
            let Some(mut view) = output.view() else { continue };
            let fault = match plant {
                Some(plant) if plant.output == i => plant.fault,
                _ => match self.everywhere {
                    Some(fault) if !MOVES.contains(&op) => fault,
                    _ => continue,
                },
            };
            let right = view.as_view().to_vec_f64();
            let mut wrong = right.clone();
            fault.spoil(&mut wrong, view.shape().last(), before, i, call);
            if wrong != right {
                self.watch.0.lock().unwrap().0.changed = true;
                view.reborrow().write(&wrong).unwrap();
            }
        }
    }
}

impl Fault {
    /// Spoils output number `i` of an op, in rows of `columns`, given what stood in all of them before the call.
    fn spoil(self, y: &mut [f64], columns: usize, before: &[Vec<f64>], i: usize, call: usize) {
        let n = y.len();
        match self {
            _ if n == 0 => {}
            Fault::Flip => y.iter_mut().for_each(|y| *y = -*y),
            Fault::Scale(a) => y.iter_mut().for_each(|y| *y *= a),
            Fault::Drop => y.fill(0.0),
            Fault::Shift => y.rotate_right(1),
            Fault::Swap => y.swap(0, n - 1),
            Fault::Edge => y[n - 1] = 0.0,
            Fault::Skip => y.copy_from_slice(&before[i]),
            Fault::Alone => {} // The op was called so.
            Fault::NoForget => {
                // before[0] holds the gates i, f, ĉ, o; y is dc ⊙ f.
                let f = |e: usize| before[0][e / columns * 4 * columns + columns + e % columns];
                y.iter_mut().enumerate().for_each(|(e, dc)| *dc /= f(e));
            }
            Fault::Round(epsilon) => {
                let noise = Noise { seed: 9, layer: 0, step: call as u32 };
                let part = |e: usize| f64::from(noise.word(e as u64)) / f64::from(u32::MAX / 2) - 1.0;
                y.iter_mut().enumerate().for_each(|(e, y)| *y *= 1.0 + epsilon * part(e));
            }
        }
    }
}

/// Every op: passed on, then spoiled. In brackets what it writes, in braces the argument that it can go without.
macro_rules! pass_on {
    ($(fn $op:ident($($arg:ident: $t:ty),*) [$($out:ident),*] {$($alone:ident)?})*) => { $(
        fn $op(&self, $(mut $arg: $t),*) -> Result<()> {
            let (call, plant) = self.note(stringify!($op), &[$(stringify!($out)),*]);
            let fault = plant.map(|plant| plant.fault);
            let before = match fault {
                Some(Fault::Skip | Fault::NoForget) => {
                    vec![$($out.view().map_or(Vec::new(), |v| v.as_view().to_vec_f64())),*]
                }
                _ => Vec::new(),
            };
            $(if fault == Some(Fault::Alone) {
                let right = $alone;
                $alone.without();
                self.watch.0.lock().unwrap().0.changed = right.differs(&$alone);
            })?
            self.inner.$op($($arg.lend()),*)?;
            self.spoil(stringify!($op), call, plant, &before, &mut [$(&mut $out as &mut dyn Output),*]);
            Ok(())
        }
    )* };
}

/// Whether going without an argument makes a difference.
trait Differs {
    fn differs(&self, other: &Self) -> bool;
}

impl Differs for Option<View<'_>> {
    fn differs(&self, other: &Self) -> bool {
        self.is_some() != other.is_some()
    }
}

impl Differs for Gemm {
    fn differs(&self, other: &Self) -> bool {
        self != other
    }
}

impl Backend for Faulty {
    fn name(&self) -> &str {
        "faulty"
    }

    fn describe(&self) -> String {
        format!("a faulty {}", self.inner.describe())
    }

    fn threads(&self) -> usize {
        self.inner.threads()
    }

    fn zeros(&self, shape: Shape) -> Result<Tensor> {
        self.inner.zeros(shape)
    }

    fn indices(&self, shape: Shape) -> Result<Indices> {
        self.inner.indices(shape)
    }

    fn conv_scratch(&self, w: &Window, filters: usize, n: usize) -> usize {
        self.inner.conv_scratch(w, filters, n)
    }

    fn conv_in_tiles(&self, w: &Window, filters: usize) -> bool {
        self.inner.conv_in_tiles(w, filters)
    }

    pass_on! {
        fn load_rows(rows: HostRows, order: &[u32], y: ViewMut) [y] {}
        fn fill(value: f64, y: ViewMut) [y] {}
        fn copy(x: View, y: ViewMut) [y] {}
        fn scale(a: f64, y: ViewMut) [y] {}
        fn add_scaled(a: f64, x: View, y: ViewMut) [y] {}
        fn interpolate(a: f64, x: View, y: ViewMut) [y] {}
        fn multiply(x: View, y: ViewMut) [y] {}
        fn clamp(low: f64, high: f64, y: ViewMut) [y] {}
        fn swap_axes(x: View, y: ViewMut) [y] {}
        fn copy_columns(x: View, from: usize, y: ViewMut, to: usize, width: usize) [y] {}
        fn gemm(g: Gemm, a: View, b: View, c: ViewMut) [c] {g}
        fn add_bias(b: View, y: ViewMut) [y] {}
        fn sum_rows(x: View, y: ViewMut) [y] {}
        fn activate(f: Activation, y: ViewMut) [y] {}
        fn activation_backward(f: Activation, x: Option<View>, y: View, dy: ViewMut) [dy] {}
        fn dense(f: Activation, x: View, w: View, b: Option<View>, y: ViewMut) [y] {b}
        fn dense_backward_input(f: Activation, dz: View, w: View, x: View, dx: ViewMut) [dx] {}
        fn im2col(w: &Window, x: View, cols: ViewMut) [cols] {}
        fn col2im(w: &Window, dcols: View, dx: ViewMut) [dx] {}
        fn conv(
            w: &Window, f: Activation, x: View, kernel: View, b: Option<View>, scratch: ViewMut, y: ViewMut
        ) [y] {b}
        fn conv_backward_kernel(w: &Window, x: View, dz: View, scratch: ViewMut, dk: ViewMut) [dk] {}
        fn conv_backward_input(w: &Window, dz: View, kernel: View, scratch: ViewMut, dx: ViewMut) [dx] {}
        fn max_pool(w: &Window, x: View, y: ViewMut) [y] {}
        fn max_pool_backward(w: &Window, x: View, y: View, dy: View, dx: ViewMut) [dx] {}
        fn average_pool(w: &Window, x: View, y: ViewMut) [y] {}
        fn average_pool_backward(w: &Window, dy: View, dx: ViewMut) [dx] {}
        fn moments(x: View, mean: ViewMut, variance: ViewMut) [mean, variance] {}
        fn normalize(a: &Affine, x: View, y: ViewMut) [y] {}
        fn normalize_backward(
            a: &Affine, x: View, dy: View, dgamma: ViewMut, dbeta: ViewMut, dx: Option<ViewMut>
        ) [dgamma, dbeta, dx] {}
        fn lstm_step(
            acts: CellActivations, gates: ViewMut, c_prev: Option<View>, c: ViewMut, h: ViewMut
        ) [gates, c, h] {c_prev}
        fn lstm_step_backward(
            acts: CellActivations, gates: ViewMut, c_prev: Option<View>, c: View, dh: View, dc: ViewMut
        ) [gates, dc] {c_prev}
        fn gru_step(
            acts: CellActivations, gates: ViewMut, recurrent: View, h_prev: Option<View>, h: ViewMut
        ) [gates, h] {h_prev}
        fn gru_step_backward(
            acts: CellActivations, gates: ViewMut, recurrent: ViewMut, h_prev: Option<View>, dh: ViewMut
        ) [gates, recurrent, dh] {h_prev}
        fn dropout(rate: f64, noise: Noise, x: View, y: ViewMut) [y] {}
        fn loss(loss: Loss, prediction: View, target: Target, rows: ViewMut) [rows] {}
        fn loss_backward(term: &LossTerm, prediction: View, d: ViewMut) [d] {}
        fn loss_step(term: &LossTerm, z: View, y: ViewMut, rows: ViewMut, dz: ViewMut) [y, rows, dz] {}
        fn score(score: Score, prediction: View, target: Target, rows: ViewMut) [rows] {}
        fn count_classes(threshold: Option<f64>, prediction: View, target: Target, counts: ViewMut) [counts] {}
        fn count_pairs(prediction: View, target: Target, counts: ViewMut) [counts] {}
        fn accumulate(x: View, weights: Option<View>, acc: ViewMut) [acc] {}
        fn accumulate_squares(x: View, acc: ViewMut) [acc] {}
        fn limit_norm(limit: f64, acc: View, y: ViewMut) [y] {}
        fn update(rule: &Update, value: ViewMut, grad: View, slots: &mut [Tensor]) [value] {}
    }
}
