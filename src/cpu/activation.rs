//! Activations: each function above its derivative, a register at a time.

use super::Cpu;
use super::formula::{Formula, Product, Same, check, formula, largest, slices, sum_of};
use super::math::{exp, exp_m1, ln_1p, normal, sigmoid, tanh};
use super::parallel::rows_per_task;
use super::simd::{Kernel, Lanes, Simd};
use crate::activations::{Activation, Custom, SELU_ALPHA, SELU_SCALE};
use crate::error::{Error, Result};
use crate::tensor::{View, ViewMut};

/// What an exponential costs, in simple operations.
pub(super) const EXP_WORK: usize = 8;

/// yes where x > 0, else no.
#[inline(always)]
fn above<S: Simd>(s: S, x: S::V, yes: S::V, no: S::V) -> S::V {
    S::V::select(x.gt(s.splat(0.0)), yes, no)
}

/// f(x) of an activation that works element by element. Relu and its kin keep NaN.
#[inline(always)]
pub(super) fn value<S: Simd>(s: S, f: Activation, x: S::V) -> S::V {
    let (zero, one) = (s.splat(0.0), s.splat(1.0));
    match f {
        Activation::Relu => zero.max(x),
        Activation::Sigmoid => sigmoid(s, x),
        Activation::Tanh => tanh(s, x),
        Activation::Softplus => zero.max(x) + ln_1p(s, exp(s, -x.abs())), // eˣ would overflow
        Activation::Softsign => x / (one + x.abs()),
        Activation::Elu { alpha } => above(s, x, x, s.splat(alpha as f32) * exp_m1(s, zero.min(x))),
        Activation::Selu => {
            let low = s.splat((SELU_SCALE * SELU_ALPHA) as f32) * exp_m1(s, zero.min(x));
            above(s, x, s.splat(SELU_SCALE as f32) * x, low)
        }
        Activation::Exponential => exp(s, x),
        Activation::LeakyRelu { negative_slope } => above(s, x, x, s.splat(negative_slope as f32) * x),
        Activation::Gelu { approximate: false } => x * normal(s, x).0,
        Activation::Gelu { approximate: true } => x * sigmoid(s, gelu_inner(s, x).0),
        Activation::Silu => x * sigmoid(s, x),
        Activation::Linear | Activation::Softmax | Activation::Custom(_) => x,
    }
}

/// f′ in terms of y = f(x).
#[inline(always)]
pub(super) fn slope<S: Simd>(s: S, f: Activation, y: S::V) -> S::V {
    let (zero, one) = (s.splat(0.0), s.splat(1.0));
    match f {
        Activation::Relu => above(s, y, one, zero),
        Activation::Sigmoid => y * (one - y),
        Activation::Tanh => y.neg_mul_add(y, one),
        Activation::Softplus => -exp_m1(s, -y),
        Activation::Softsign => (one - y.abs()) * (one - y.abs()),
        Activation::Elu { alpha } => above(s, y, one, y + s.splat(alpha as f32)),
        Activation::Selu => {
            above(s, y, s.splat(SELU_SCALE as f32), y + s.splat((SELU_SCALE * SELU_ALPHA) as f32))
        }
        Activation::Exponential => y,
        Activation::LeakyRelu { negative_slope } => above(s, y, one, s.splat(negative_slope as f32)),
        _ => one, // linear; the others need more than y
    }
}

/// f′ in terms of x, where y does not do.
#[inline(always)]
fn slope_at<S: Simd>(s: S, f: Activation, x: S::V) -> S::V {
    let one = s.splat(1.0);
    match f {
        Activation::Gelu { approximate: false } => {
            let (distribution, density) = normal(s, x);
            x.mul_add(density, distribution)
        }
        Activation::Gelu { approximate: true } => {
            let (inner, slope) = gelu_inner(s, x);
            let y = sigmoid(s, inner);
            (x * slope * y).mul_add(one - y, y)
        }
        Activation::Silu => {
            let y = sigmoid(s, x);
            (x * y).mul_add(one - y, y)
        }
        _ => one,
    }
}

/// u = 2 √(2/π) (x + 0.044715 x³) and u′. ½ (1 + tanh(u/2)) is σ(u), which loses no digits below 0.
#[inline(always)]
fn gelu_inner<S: Simd>(s: S, x: S::V) -> (S::V, S::V) {
    let (a, b) = (s.splat(1.595_769_1), s.splat(0.044_715 * 1.595_769_1));
    let square = x * x;
    (x * b.mul_add(square, a), (b * s.splat(3.0)).mul_add(square, a))
}

#[derive(Clone, Copy)]
struct Value(Activation);

impl Formula<0, 1> for Value {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, []: [S::V; 0], [y]: [S::V; 1]) -> [S::V; 1] {
        [value(s, self.0, y)]
    }
}

#[derive(Clone, Copy)]
struct Slope(Activation);

impl Formula<1, 1> for Slope {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, [y]: [S::V; 1], [dy]: [S::V; 1]) -> [S::V; 1] {
        [dy * slope(s, self.0, y)]
    }
}

#[derive(Clone, Copy)]
struct SlopeAt(Activation);

impl Formula<1, 1> for SlopeAt {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, [x]: [S::V; 1], [dy]: [S::V; 1]) -> [S::V; 1] {
        [dy * slope_at(s, self.0, x)]
    }
}

/// `body` once for each activation, so that the choice is made outside its loops.
macro_rules! chosen {
    ($f:expr, |$g:ident| $body:expr) => {
        chosen!(@ $f, $g, $body, Relu, Sigmoid, Tanh, Softplus, Softsign, Selu, Exponential, Silu;
            Elu { alpha }, LeakyRelu { negative_slope };
            true, false)
    };
    (@ $f:expr, $g:ident, $body:expr, $($name:ident),*; $($with:ident { $field:ident }),*; $($approximate:literal),*) => {
        match $f {
            $(Activation::$name => { let $g = Activation::$name; $body })*
            $(Activation::$with { $field } => { let $g = Activation::$with { $field }; $body })*
            $(Activation::Gelu { approximate: $approximate } => {
                let $g = Activation::Gelu { approximate: $approximate };
                $body
            })*
            Activation::Linear | Activation::Softmax | Activation::Custom(_) => {}
        }
    };
}

/// y = f(y).
struct Activate<'a>(Activation, &'a mut [f32]);

impl Kernel for Activate<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        chosen!(self.0, |f| slices(s, Value(f), [], [self.1]));
    }
}

/// dy = dy ⊙ f′, from x if f needs it, else from y.
struct Backward<'a>(Activation, &'a [f32], &'a mut [f32]);

impl Kernel for Backward<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Backward(f, from, dy) = self;
        match f.needs_input() {
            true => chosen!(f, |f| slices(s, SlopeAt(f), [from], [dy])),
            false => chosen!(f, |f| slices(s, Slope(f), [from], [dy])),
        }
    }
}

formula! { Exp { max } [] -> [y] |s| [exp(s, y - s.splat(max))] }
formula! { Scale { a } [] -> [y] |s| [s.splat(a) * y] }
formula! { TimesLess { dot } [y] -> [dy] |s| [y * (dy - s.splat(dot))] }

/// yᵢ = e^(xᵢ − max) / Σⱼ e^(xⱼ − max), in place: no exponential overflows. Returns max and the sum.
#[inline(always)]
pub(super) fn softmax<S: Simd>(s: S, y: &mut [f32]) -> (f32, f32) {
    let max = largest(s, y);
    slices(s, Exp { max }, [], [y]);
    let total = sum_of(s, Same {}, [y]);
    slices(s, Scale { a: 1.0 / total }, [], [y]);
    (max, total)
}

/// Softmax of every row of this many columns, in place.
struct SoftmaxRows<'a>(usize, &'a mut [f32]);

impl Kernel for SoftmaxRows<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for y in self.1.chunks_exact_mut(self.0) {
            softmax(s, y);
        }
    }
}

/// dyᵢ = yᵢ (dyᵢ − Σⱼ dyⱼ yⱼ) in every row of this many columns.
struct SoftmaxBackward<'a>(usize, &'a [f32], &'a mut [f32]);

impl Kernel for SoftmaxBackward<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let SoftmaxBackward(cols, y, dy) = self;
        for (y, dy) in y.chunks_exact(cols).zip(dy.chunks_exact_mut(cols)) {
            let dot = sum_of(s, Product {}, [y, dy]);
            slices(s, TimesLess { dot }, [y], [dy]);
        }
    }
}

/// y = f(y) of a user's own function, which works in f64.
fn activate_custom(f: Custom, y: &mut [f32]) {
    y.iter_mut().for_each(|y| *y = (f.f)(f64::from(*y)) as f32);
}

pub(super) fn activate(cpu: &Cpu, f: Activation, y: ViewMut) -> Result<()> {
    let (rows, cols) = y.shape().as_matrix();
    let y = y.f32()?;
    if y.is_empty() || f == Activation::Linear {
        return Ok(());
    }
    let per_row = rows_per_task(rows, cols * EXP_WORK) * cols;
    let per_task = rows_per_task(y.len(), EXP_WORK).next_multiple_of(16);
    match f {
        Activation::Softmax => cpu.pool.run_chunks(y, per_row, |_, y| cpu.isa.run(SoftmaxRows(cols, y))),
        Activation::Custom(f) => cpu.pool.run_chunks(y, per_task, |_, y| activate_custom(f, y)),
        _ => cpu.pool.run_chunks(y, per_task, |_, y| cpu.isa.run(Activate(f, y))),
    }
    Ok(())
}

pub(super) fn activation_backward(
    cpu: &Cpu,
    f: Activation,
    x: Option<View>,
    y: View,
    dy: ViewMut,
) -> Result<()> {
    let op = "activation_backward";
    check(op, y.len() == dy.len(), &[("y", y.shape()), ("dy", dy.shape())])?;
    if let Some(x) = x {
        check(op, x.len() == y.len(), &[("x", x.shape()), ("y", y.shape())])?;
    }
    let ((rows, cols), dy) = (y.shape().as_matrix(), dy.f32()?);
    if dy.is_empty() || f == Activation::Linear {
        return Ok(());
    }
    let from = match f.needs_input() {
        true => x.ok_or_else(|| Error::op(op, format!("the derivative of {f} needs x")))?.f32()?,
        false => y.f32()?,
    };
    let per_row = rows_per_task(rows, cols * 2) * cols;
    let per_task = rows_per_task(dy.len(), if f.needs_input() { EXP_WORK } else { 1 }).next_multiple_of(16);
    match f {
        Activation::Softmax => cpu.pool.run_chunks(dy, per_row, |task, dy| {
            cpu.isa.run(SoftmaxBackward(cols, &from[task * per_row..][..dy.len()], dy));
        }),
        Activation::Custom(f) => cpu.pool.run_chunks(dy, per_task, |task, dy| {
            let x = &from[task * per_task..];
            dy.iter_mut().zip(x).for_each(|(dy, &x)| *dy *= (f.df)(f64::from(x)) as f32);
        }),
        _ => cpu.pool.run_chunks(dy, per_task, |task, dy| {
            cpu.isa.run(Backward(f, &from[task * per_task..][..dy.len()], dy));
        }),
    }
    Ok(())
}
