//! Formulas: what an op does to one register, and the loops that do it to all.
//!
//! A [`Formula`] takes a register of each input and of each output, and gives the outputs' new values. [`slices`] runs
//! it over slices within a kernel, [`elements`] over whole tensors, on all threads. Elements do not see each other, so
//! neither the register's width nor the number of threads shows in the result.
//!
//! ```text
//! formula! { AddScaled { a } [x] -> [y] |s| [s.splat(a).mul_add(x, y)] }      y ← a x + y
//! ```

use super::Cpu;
use super::cut::share;
use super::parallel::{Pieces, rows_per_task};
use super::simd::{Isa, Kernel, Lanes, MAX_LANES, Simd};
use crate::error::Result;
pub(super) use crate::error::check;
use crate::shape::Shape;

/// A function of one register of each of IN inputs and OUT outputs. `apply` must be `#[inline(always)]`.
pub(super) trait Formula<const IN: usize, const OUT: usize>: Copy + Sync {
    /// The outputs' new values; `y` are the old ones.
    fn apply<S: Simd>(self, s: S, x: [S::V; IN], y: [S::V; OUT]) -> [S::V; OUT];
}

/// Declares a [`Formula`]: its name, its numbers (all `f32`), its inputs, its outputs, and what becomes of these.
macro_rules! formula {
    ($(#[$doc:meta])* $name:ident { $($field:ident),* } [$($x:ident),*] -> [$($y:pat),+] |$s:ident| $body:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub(super) struct $name {
            $(pub(super) $field: f32,)*
        }
        impl Formula<{ <[&str]>::len(&[$(stringify!($x)),*]) }, { <[&str]>::len(&[$(stringify!($y)),+]) }> for $name {
            #[inline(always)]
            fn apply<S: Simd>(
                self,
                $s: S,
                [$($x),*]: [S::V; { <[&str]>::len(&[$(stringify!($x)),*]) }],
                [$($y),+]: [S::V; { <[&str]>::len(&[$(stringify!($y)),+]) }],
            ) -> [S::V; { <[&str]>::len(&[$(stringify!($y)),+]) }] {
                let $name { $($field),* } = self;
                $body
            }
        }
    };
}
pub(super) use formula;

/// Runs a formula over slices, which all have the length of the first output.
#[inline(always)]
pub(super) fn slices<S: Simd, F: Formula<IN, OUT>, const IN: usize, const OUT: usize>(
    s: S,
    f: F,
    x: [&[f32]; IN],
    y: [&mut [f32]; OUT],
) {
    let len = y[0].len();
    assert!(x.iter().all(|x| x.len() == len) && y.iter().all(|y| y.len() == len), "slices of one length");
    let (mut xs, mut ys) = ([std::ptr::null(); IN], [std::ptr::null_mut(); OUT]);
    for k in 0..IN {
        xs[k] = x[k].as_ptr();
    }
    for k in 0..OUT {
        ys[k] = y[k].as_mut_ptr();
    }
    let (mut a, mut b) = ([s.splat(0.0); IN], [s.splat(0.0); OUT]);
    let mut i = 0;
    // One loop for whole registers and the rest: the formula is compiled once, and the branch is foreseen.
    while i < len {
        let n = S::LANES.min(len - i);
        for k in 0..IN {
            // SAFETY: i + n ≤ len, the length of every slice.
            a[k] = unsafe { s.load_up_to(xs[k].add(i), n) };
        }
        for k in 0..OUT {
            // SAFETY: as above.
            b[k] = unsafe { s.load_up_to(ys[k].add(i), n) };
        }
        b = f.apply(s, a, b);
        for k in 0..OUT {
            // SAFETY: as above, and `y` is borrowed to be written.
            unsafe { s.store_up_to(b[k], ys[k].add(i), n) };
        }
        i += S::LANES;
    }
}

/// [`slices`] as a kernel.
struct Slices<'a, F, const IN: usize, const OUT: usize>(F, [&'a [f32]; IN], [&'a mut [f32]; OUT]);

impl<F: Formula<IN, OUT>, const IN: usize, const OUT: usize> Kernel for Slices<'_, F, IN, OUT> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        slices(s, self.0, self.1, self.2);
    }
}

/// [`slices`], compiled for `isa`.
pub(super) fn slices_on<F: Formula<IN, OUT>, const IN: usize, const OUT: usize>(
    isa: Isa,
    f: F,
    x: [&[f32]; IN],
    y: [&mut [f32]; OUT],
) {
    isa.run(Slices(f, x, y));
}

/// Runs a formula over whole tensors, which all have the length of the first output, on all threads. An element costs
/// as much as `work` simple operations.
pub(super) fn elements<F: Formula<IN, OUT>, const IN: usize, const OUT: usize>(
    cpu: &Cpu,
    work: usize,
    f: F,
    x: [&[f32]; IN],
    y: [&mut [f32]; OUT],
) {
    elements_in(cpu, 1, work, f, x, y);
}

/// [`elements`], cut where 16 rows of `row` numbers end: whole cache lines, or as products cut a matrix of weights.
pub(super) fn elements_in<F: Formula<IN, OUT>, const IN: usize, const OUT: usize>(
    cpu: &Cpu,
    row: usize,
    work: usize,
    f: F,
    x: [&[f32]; IN],
    y: [&mut [f32]; OUT],
) {
    let len = y[0].len();
    let y = y.map(Pieces::new);
    let tasks = match len.div_ceil(rows_per_task(len, work)) {
        0 => return,
        1 => 1,
        n => n.next_multiple_of(2),
    };
    cpu.pool.run(tasks, &|task| {
        let at = share(len, 16 * row, tasks, task);
        let x = x.map(|x| &x[at.clone()]);
        // SAFETY: tasks have different numbers, and their ranges do not overlap.
        let y = y.each_ref().map(|y| unsafe { y.piece(at.clone()) });
        slices_on(cpu.isa, f, x, y);
    });
}

/// The sum of a formula's values, which sees 0 as its old value. The order depends on the length alone.
#[inline(always)]
pub(super) fn sum_of<S: Simd, F: Formula<IN, 1>, const IN: usize>(s: S, f: F, x: [&[f32]; IN]) -> f32 {
    let len = x[0].len();
    assert!(x.iter().all(|x| x.len() == len), "slices of one length");
    let (zero, mut a) = (s.splat(0.0), [s.splat(0.0); IN]);
    let mut sums = [zero; 4]; // side by side, so that an addition need not wait for the one before
    let mut i = 0;
    while i < len {
        let n = S::LANES.min(len - i);
        for k in 0..IN {
            // SAFETY: i + n ≤ len, the length of every slice.
            a[k] = unsafe { s.load_up_to(x[k].as_ptr().add(i), n) };
        }
        let [mut y] = f.apply(s, a, [zero]);
        if n < S::LANES {
            let mut first = [0.0; MAX_LANES];
            // SAFETY: `first` has room for every lane of any set. The lanes behind n come back as 0.
            y = unsafe {
                s.store_part(y, first.as_mut_ptr(), n);
                s.load(first.as_ptr())
            };
        }
        sums = [sums[1], sums[2], sums[3], sums[0] + y];
        i += S::LANES;
    }
    ((sums[0] + sums[1]) + (sums[2] + sums[3])).sum()
}

formula! { Same {} [x] -> [_y] |_s| [x] }
formula! { Product {} [a, b] -> [_y] |_s| [a * b] }

/// The largest number, −∞ of none. NaN may get lost.
#[inline(always)]
pub(super) fn largest<S: Simd>(s: S, x: &[f32]) -> f32 {
    let mut best = f32::NEG_INFINITY;
    let mut chunks = x.chunks_exact(S::LANES);
    if x.len() >= S::LANES {
        let mut lanes = s.splat(best);
        for chunk in chunks.by_ref() {
            // SAFETY: a chunk has LANES floats.
            lanes = lanes.max(unsafe { s.load(chunk.as_ptr()) });
        }
        best = lanes.largest();
    }
    chunks.remainder().iter().fold(best, |best, &v| best.max(v))
}

/// [`check`] that x and y have as many elements.
pub(super) fn same_len(op: &'static str, x: Shape, y: Shape) -> Result<()> {
    check(op, x.len() == y.len(), &[("x", x), ("y", y)])
}
