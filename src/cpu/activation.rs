//! Activations: each function above its derivative, a register at a time.

use super::Cpu;
use super::formula::{Formula, Product, Same, check, formula, largest, slices, sum_of};
use super::math::{exp, exp_m1, ln, ln_1p, normal, sigmoid, tanh};
use super::parallel::rows_per_task;
use super::simd::{Kernel, Lanes, MAX_LANES, Simd};
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

// Forward: y ← f(y). Backward, in terms of y = f(x): dy ← dy f′. Relu and its kin keep NaN.

formula! { Relu {} [] -> [y] |s| [s.splat(0.0).max(y)] }
formula! { ReluBackward {} [y] -> [dy] |s| [above(s, y, dy, s.splat(0.0))] }

formula! { Sigmoid {} [] -> [y] |s| [sigmoid(s, y)] }
formula! { SigmoidBackward {} [y] -> [dy] |s| [dy * y * (s.splat(1.0) - y)] }

formula! { Tanh {} [] -> [y] |s| [tanh(s, y)] }
formula! { TanhBackward {} [y] -> [dy] |s| [dy * y.neg_mul_add(y, s.splat(1.0))] }

formula! { Softplus {} [] -> [y] |s| [s.splat(0.0).max(y) + ln_1p(s, exp(s, -y.abs()))] } // eˣ would overflow
formula! { SoftplusBackward {} [y] -> [dy] |s| [-dy * exp_m1(s, -y)] }

formula! { Softsign {} [] -> [y] |s| [y / (s.splat(1.0) + y.abs())] }
formula! { SoftsignBackward {} [y] -> [dy] |s| {
    let root = s.splat(1.0) - y.abs();
    [dy * root * root]
} }

formula! { Exponential {} [] -> [y] |s| [exp(s, y)] }
formula! { ExponentialBackward {} [y] -> [dy] |_s| [dy * y] }

// elu and selu: a x above 0, b (eˣ − 1) below.
formula! { Elu { a, b } [] -> [y] |s| {
    let below = s.splat(b) * exp_m1(s, s.splat(0.0).min(y));
    [above(s, y, s.splat(a) * y, below)]
} }
formula! { EluBackward { a, b } [y] -> [dy] |s| [dy * above(s, y, s.splat(a), y + s.splat(b))] }

formula! { LeakyRelu { slope } [] -> [y] |s| [above(s, y, y, s.splat(slope) * y)] }
formula! { LeakyReluBackward { slope } [y] -> [dy] |s| [above(s, y, dy, s.splat(slope) * dy)] }

// Backward in terms of x.

formula! { Silu {} [] -> [y] |s| [y * sigmoid(s, y)] }
formula! { SiluBackward {} [x] -> [dy] |s| {
    let y = sigmoid(s, x);
    [dy * (x * y).mul_add(s.splat(1.0) - y, y)]
} }

formula! { Gelu {} [] -> [y] |s| [y * normal(s, y).0] }
formula! { GeluBackward {} [x] -> [dy] |s| {
    let (distribution, density) = normal(s, x);
    [dy * x.mul_add(density, distribution)]
} }

/// u = 2 √(2/π) (x + 0.044715 x³) and u′. ½ (1 + tanh(u/2)) is σ(u), which loses no digits below 0.
#[inline(always)]
fn gelu_inner<S: Simd>(s: S, x: S::V) -> (S::V, S::V) {
    const A: f64 = 1.595_769_121_605_730_7;
    let (a, b) = (s.splat(A as f32), s.splat((0.044_715 * A) as f32));
    let square = x * x;
    (x * b.mul_add(square, a), (b * s.splat(3.0)).mul_add(square, a))
}

formula! { GeluTanh {} [] -> [y] |s| [y * sigmoid(s, gelu_inner(s, y).0)] }
formula! { GeluTanhBackward {} [x] -> [dy] |s| {
    let (inner, slope) = gelu_inner(s, x);
    let y = sigmoid(s, inner);
    [dy * (x * slope * y).mul_add(s.splat(1.0) - y, y)]
} }

/// `body` with the forward and backward formulas of an activation; `other` for those that have none.
macro_rules! formulas {
    ($f:expr, |$forward:ident, $backward:ident| $body:expr, $other:expr) => {
        formulas!(@ $f, $forward, $backward, $body, $other;
            Activation::Relu => Relu {}, ReluBackward {};
            Activation::Sigmoid => Sigmoid {}, SigmoidBackward {};
            Activation::Tanh => Tanh {}, TanhBackward {};
            Activation::Softplus => Softplus {}, SoftplusBackward {};
            Activation::Softsign => Softsign {}, SoftsignBackward {};
            Activation::Exponential => Exponential {}, ExponentialBackward {};
            Activation::Elu { alpha } =>
                Elu { a: 1.0, b: alpha as f32 }, EluBackward { a: 1.0, b: alpha as f32 };
            Activation::Selu =>
                Elu { a: SELU_SCALE as f32, b: (SELU_SCALE * SELU_ALPHA) as f32 },
                EluBackward { a: SELU_SCALE as f32, b: (SELU_SCALE * SELU_ALPHA) as f32 };
            Activation::LeakyRelu { negative_slope } =>
                LeakyRelu { slope: negative_slope as f32 }, LeakyReluBackward { slope: negative_slope as f32 };
            Activation::Silu => Silu {}, SiluBackward {};
            Activation::Gelu { approximate: false } => Gelu {}, GeluBackward {};
            Activation::Gelu { approximate: true } => GeluTanh {}, GeluTanhBackward {})
    };
    (@ $f:expr, $forward:ident, $backward:ident, $body:expr, $other:expr;
        $($activation:pat => $a:expr, $b:expr);*) => {
        match $f {
            $($activation => {
                let ($forward, $backward) = ($a, $b);
                $body
            })*
            Activation::Linear | Activation::Softmax | Activation::Custom(_) => $other,
        }
    };
}

/// f(x), as a call: for those who cannot have every activation compiled into their loop.
#[inline(never)]
pub(super) fn value<S: Simd>(s: S, f: Activation, x: S::V) -> S::V {
    formulas!(f, |forward, _backward| forward.apply(s, [], [x])[0], x)
}

/// f′ in terms of y = f(x), as a call.
#[inline(never)]
pub(super) fn slope<S: Simd>(s: S, f: Activation, y: S::V) -> S::V {
    let one = s.splat(1.0);
    formulas!(f, |_forward, backward| backward.apply(s, [y], [one])[0], one)
}

/// y = f(y).
struct Activate<'a>(Activation, &'a mut [f32]);

impl Kernel for Activate<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        formulas!(self.0, |forward, _backward| slices(s, forward, [], [self.1]), {});
    }
}

/// dy = dy ⊙ f′, from x if f needs it, else from y.
struct Backward<'a>(Activation, &'a [f32], &'a mut [f32]);

impl Kernel for Backward<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Backward(f, from, dy) = self;
        formulas!(f, |_forward, backward| slices(s, backward, [from], [dy]), {});
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

/// The most columns that are narrow: several such rows are worked on side by side, one in each lane. A row of ten would
/// leave most of a register's lanes idle, and finds its maximum and its sum across lanes.
pub(super) const NARROW: usize = 32;

/// Room for the columns of narrow rows, a row in each lane. What a lane without a row holds does not matter.
pub(super) struct Columns([[f32; MAX_LANES]; NARROW]);

impl Columns {
    pub(super) const NEW: Columns = Columns([[0.0; MAX_LANES]; NARROW]);
}

/// [`softmax`] of up to LANES narrow rows. Returns ln Σⱼ e^xⱼ of each.
#[inline(always)]
pub(super) fn softmax_of_narrow<S: Simd>(
    s: S,
    cols: usize,
    Columns(columns): &mut Columns,
    y: &mut [f32],
) -> [f32; MAX_LANES] {
    for (r, row) in y.chunks_exact(cols).enumerate() {
        for (column, &x) in columns.iter_mut().zip(row) {
            column[r] = x;
        }
    }
    let mut max = s.splat(f32::NEG_INFINITY);
    for column in &columns[..cols] {
        // SAFETY: a column has room for every lane of any set; the same below.
        max = max.max(unsafe { s.load(column.as_ptr()) });
    }
    let mut sum = s.splat(0.0);
    for column in &mut columns[..cols] {
        // SAFETY: as above.
        unsafe {
            let e = exp(s, s.load(column.as_ptr()) - max);
            sum = sum + e;
            s.store(e, column.as_mut_ptr());
        }
    }
    let (share, mut log) = (s.splat(1.0) / sum, [0.0; MAX_LANES]);
    // SAFETY: as above.
    unsafe { s.store(max + ln(s, sum), log.as_mut_ptr()) };
    for column in &mut columns[..cols] {
        // SAFETY: as above.
        unsafe { s.store(s.load(column.as_ptr()) * share, column.as_mut_ptr()) };
    }
    for (r, row) in y.chunks_exact_mut(cols).enumerate() {
        for (column, x) in columns.iter().zip(row) {
            *x = column[r];
        }
    }
    log
}

/// Softmax of every row of this many columns, in place.
struct SoftmaxRows<'a>(usize, &'a mut [f32]);

impl Kernel for SoftmaxRows<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let SoftmaxRows(cols, y) = self;
        match cols <= NARROW {
            true => {
                let mut columns = Columns::NEW;
                for rows in y.chunks_mut(S::LANES * cols) {
                    softmax_of_narrow(s, cols, &mut columns, rows);
                }
            }
            false => y.chunks_exact_mut(cols).for_each(|row| _ = softmax(s, row)),
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
    let ((rows, cols), y, dy) = (y.shape().as_matrix(), y.f32()?, dy.f32()?);
    let from = match (f.needs_input(), x) {
        (true, Some(x)) => x.f32()?,
        (true, None) => return Err(Error::op(op, format!("the derivative of {f} needs x"))),
        (false, _) => y,
    };
    if dy.is_empty() || f == Activation::Linear {
        return Ok(());
    }
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
