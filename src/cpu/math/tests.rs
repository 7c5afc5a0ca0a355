//! Every function against f64, at every float there is.
//!
//! What makes 2³² floats on every instruction set a matter of seconds: a reference in plain Rust that the compiler
//! makes vectors of, itself held against the standard library's; and the ends where the result is 0, 1, ∞ or x itself,
//! which are only compared.

use super::*;
use crate::cpu::simd::{Isa, Kernel};
use std::ops::RangeInclusive;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// A function under test, and what it should give.
trait Function: Copy + Sync {
    fn call<S: Simd>(self, s: S, x: S::V) -> S::V;
    /// In f64, to 1e-13 of itself. Without branches and calls, so that the compiler makes vectors of it.
    fn want(self, x: f64) -> f64;
    /// The same from the standard library, or by another way.
    fn trusted(self, x: f64) -> f64;
    /// Where the nearest float is known without computing.
    fn settled(self) -> &'static [Settled];
}

/// What f gives from one float up to another: a number, or (if `None`) x itself.
type Settled = (f32, f32, Option<f32>);

macro_rules! functions {
    ($($name:ident = $f:expr, $want:expr, $trusted:expr, $settled:expr;)*) => {$(
        #[derive(Clone, Copy)]
        struct $name;
        impl Function for $name {
            #[inline(always)]
            fn call<S: Simd>(self, s: S, x: S::V) -> S::V {
                let f: fn(S, S::V) -> S::V = $f;
                f(s, x)
            }
            #[inline(always)]
            fn want(self, x: f64) -> f64 {
                let f: fn(f64) -> f64 = $want;
                f(x)
            }
            fn trusted(self, x: f64) -> f64 {
                let f: fn(f64) -> f64 = $trusted;
                f(x)
            }
            fn settled(self) -> &'static [Settled] {
                &$settled
            }
        }
    )*};
}

functions! {
    Exp = exp, |x| exp64(x).0, f64::exp,
        [(-INF, -104.0, Some(0.0)), (-TINY, TINY, Some(1.0)), (89.0, INF, Some(INF))];
    ExpM1 = exp_m1, |x| exp64(x).1, f64::exp_m1,
        [(-INF, -18.0, Some(-1.0)), (-TINY, TINY, None), (89.0, INF, Some(INF))];
    Ln = ln, ln64, f64::ln, [(-INF, -f32::MIN_POSITIVE, Some(f32::NAN))];
    Ln1p = ln_1p, ln_1p64, f64::ln_1p, [(-INF, -1.01, Some(f32::NAN)), (-TINY, TINY, None)];
    Sigmoid = sigmoid, |x| 1.0 / (1.0 + exp64(-x).0), |x| 1.0 / (1.0 + (-x).exp()),
        [(-INF, -104.0, Some(0.0)), (-TINY, TINY, Some(0.5)), (18.0, INF, Some(1.0))];
    Tanh = tanh, tanh64, f64::tanh,
        [(-INF, -10.0, Some(-1.0)), (-TINY, TINY, None), (10.0, INF, Some(1.0))];
    Phi = |s, x| normal(s, x).0, phi64, phi64, [];
    Density = |s, x| normal(s, x).1, density64, density64, [];
}

const INF: f32 = f32::INFINITY;
/// Below 2⁻²⁶.
const TINY: f32 = 1.4e-8;

/// eˣ and eˣ − 1 by Taylor's series, as above: 2ⁿ (1 + p). 0 and ∞ where f32 has them.
#[inline(always)]
fn exp64(x: f64) -> (f64, f64) {
    const BIASED: f64 = 6_755_399_441_055_744.0 + 1023.0; // 1.5 · 2⁵² + ...
    let y = if x > 300.0 { 300.0 } else { x };
    let y = if y < -300.0 { -300.0 } else { y };
    let m = y * std::f64::consts::LOG2_E + BIASED;
    let n = m - BIASED;
    let r = (y - n * 0.693_147_180_369_123_8) - n * 1.908_214_929_270_587_7e-10;
    let t = f64::from_bits(m.to_bits() << 52);
    let mut p = 1.0 / 479_001_600.0; // 1 / 12!
    for factorial in FACTORIAL {
        p = p * r + 1.0 / factorial;
    }
    let p = p * r * r + r;
    (t + t * p, t * p + (t - 1.0))
}
/// 11!, 10!, ... 2!
const FACTORIAL: [f64; 10] =
    [39_916_800.0, 3_628_800.0, 362_880.0, 40_320.0, 5040.0, 720.0, 120.0, 24.0, 6.0, 2.0];

/// ln x of a positive normal number: e ln 2 + 2 artanh(f / (2 + f)), by its series.
#[inline(always)]
fn ln64(x: f64) -> f64 {
    const TWO_52: u64 = 0x4330_0000_0000_0000; // the bits of 2⁵², whose last digit is worth 1
    let bits = x.to_bits();
    // to [√½, √2): take the bits of √½ off, as if they were whole numbers
    let above = bits.wrapping_sub(0x3fe6_a09e_667f_3bcd).wrapping_add(1023 << 52);
    let e = f64::from_bits(TWO_52 | above >> 52) - f64::from_bits(TWO_52 | 1023);
    let f = f64::from_bits(bits.wrapping_sub((above >> 52).wrapping_sub(1023) << 52)) - 1.0;
    let s = f / (2.0 + f);
    let ss = s * s;
    let mut p = 1.0 / 21.0;
    for odd in ODD {
        p = p * ss + 1.0 / odd;
    }
    let y = e * std::f64::consts::LN_2 + (2.0 * s + 2.0 * s * ss * p);
    let y = if x > f64::MAX { x } else { y };
    let y = if x > 0.0 { y } else { f64::NAN };
    if x == 0.0 { f64::NEG_INFINITY } else { y }
}
const ODD: [f64; 9] = [19.0, 17.0, 15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0];

#[inline(always)]
fn ln_1p64(x: f64) -> f64 {
    let u = 1.0 + x;
    let lost = x - (u - 1.0);
    let y = ln64(u) + if u > 0.0 && u < 1e30 { lost / u } else { 0.0 };
    if x == 0.0 { x } else { y }
}

#[inline(always)]
fn tanh64(x: f64) -> f64 {
    let e = exp64(-2.0 * x.abs()).1;
    (-e / (2.0 + e)).copysign(x)
}

fn density64(x: f64) -> f64 {
    (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt()
}

/// Φ as ½ + φ(x) (x + x³/3 + x⁵/15 + ...) near 0, as Laplace's continued fraction beyond 2.
fn phi64(x: f64) -> f64 {
    let a = x.abs();
    let tail = if x.is_nan() {
        x
    } else if a < 2.0 {
        let (mut term, mut sum) = (a, a);
        for k in 1..60 {
            term *= a * a / f64::from(2 * k + 1);
            sum += term;
        }
        0.5 - density64(a) * sum
    } else if a < 40.0 {
        density64(a) / (1..200).rev().fold(a, |below, k| a + f64::from(k) / below)
    } else {
        0.0
    };
    if x > 0.0 { 1.0 - tail } else { tail }
}

/// 1 / the unit in the last place of the nearest f32; a subnormal's unit is the smallest there is.
#[inline(always)]
fn per_unit(want: f64) -> f64 {
    let exponent = (want.to_bits() << 1 >> 53) as i64; // with its bias, 1023
    let exponent = if exponent > 897 { exponent } else { 897 }; // 2⁻¹²⁶
    f64::from_bits(((1023 + 1023 + 23i64).wrapping_sub(exponent) << 52) as u64)
}

/// The distance of `got` from `want` in units in the last place. Infinite where one is NaN and the other is not, or
/// their signs differ.
fn ulps(got: f32, want: f64) -> f64 {
    let nearest = want as f32;
    let settled = !nearest.is_finite() || nearest == 0.0;
    if (settled && got.to_bits() == nearest.to_bits()) || (got.is_nan() && nearest.is_nan()) {
        return 0.0;
    }
    let d = (f64::from(got) - want).abs() * per_unit(want);
    if d >= 0.0 && got.is_sign_negative() == want.is_sign_negative() { d } else { f64::INFINITY }
}

/// Any set, but with two roundings in a multiply-add: what the portable set computes, in wider registers. (Without
/// the last passes of the optimiser, the portable set works on one float at a time.)
#[derive(Clone, Copy)]
struct Unfused<T>(T);

macro_rules! delegate {
    ($($name:ident($($arg:ident),*);)*) => {$(
        #[inline(always)]
        fn $name(self, $($arg: Self),*) -> Self {
            Unfused(self.0.$name($($arg.0),*))
        }
    )*};
}
macro_rules! operators {
    ($($trait:ident $name:ident($($arg:ident),*);)*) => {$(
        impl<V: Lanes> std::ops::$trait for Unfused<V> {
            type Output = Self;
            delegate! { $name($($arg),*); }
        }
    )*};
}
operators! { Add add(b); Sub sub(b); Mul mul(b); Div div(b); Neg neg(); }

impl<V: Lanes> Lanes for Unfused<V> {
    type Mask = V::Mask;
    delegate! {
        min(b); max(b); abs(); sqrt(); round(); copysign(b); flip(b); power_of_biased(); exponent(); mantissa();
    }
    #[inline(always)]
    fn mul_add(self, a: Self, b: Self) -> Self {
        self * a + b
    }
    #[inline(always)]
    fn neg_mul_add(self, a: Self, b: Self) -> Self {
        -self * a + b
    }
    #[inline(always)]
    fn gt(self, b: Self) -> V::Mask {
        self.0.gt(b.0)
    }
    #[inline(always)]
    fn ge(self, b: Self) -> V::Mask {
        self.0.ge(b.0)
    }
    #[inline(always)]
    fn select(mask: V::Mask, yes: Self, no: Self) -> Self {
        Unfused(V::select(mask, yes.0, no.0))
    }
    #[inline(always)]
    fn zero_if(self, mask: V::Mask) -> Self {
        Unfused(self.0.zero_if(mask))
    }
    fn sum(self) -> f32 {
        self.0.sum()
    }
    fn largest(self) -> f32 {
        self.0.largest()
    }
}

impl<S: Simd> Simd for Unfused<S> {
    type V = Unfused<S::V>;
    const LANES: usize = S::LANES;
    const ROWS: usize = S::ROWS;
    type Half = Self;

    #[inline(always)]
    fn half(self) -> Self {
        self
    }
    #[inline(always)]
    fn splat(self, x: f32) -> Self::V {
        Unfused(self.0.splat(x))
    }
    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> Self::V {
        // SAFETY: passed on to our caller.
        Unfused(unsafe { self.0.load(p) })
    }
    #[inline(always)]
    unsafe fn load_part(self, p: *const f32, n: usize) -> Self::V {
        // SAFETY: passed on to our caller.
        Unfused(unsafe { self.0.load_part(p, n) })
    }
    #[inline(always)]
    unsafe fn store(self, v: Self::V, p: *mut f32) {
        // SAFETY: passed on to our caller.
        unsafe { self.0.store(v.0, p) }
    }
    #[inline(always)]
    unsafe fn store_part(self, v: Self::V, p: *mut f32, n: usize) {
        // SAFETY: passed on to our caller.
        unsafe { self.0.store_part(v.0, p, n) }
    }
    #[inline(always)]
    unsafe fn transpose(self, from: *const f32, from_row: usize, to: *mut f32, to_row: usize) {
        // SAFETY: passed on to our caller.
        unsafe { self.0.transpose(from, from_row, to, to_row) }
    }
}

/// The sets to check, and whether to do it unfused: the portable set, which would take long, by the best one.
fn sets() -> impl Iterator<Item = (Isa, bool)> {
    let best = Isa::available().next().unwrap_or(Isa::Portable);
    Isa::available().map(move |isa| match isa {
        Isa::Portable => (best, !cfg!(target_arch = "aarch64")),
        _ => (isa, false),
    })
}

/// A block of floats whose bit patterns follow each other.
struct Block {
    x: [f32; BLOCK],
    want: [f64; BLOCK],
    got: [f32; BLOCK],
}
const BLOCK: usize = 1 << 10;

/// The floats.
struct Fill<'a>(&'a mut Block, u32, u32);
impl Kernel for Fill<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Fill(b, first, step) = self;
        for (i, x) in b.x.iter_mut().enumerate() {
            *x = f32::from_bits(first.wrapping_add((i as u32).wrapping_mul(step)));
        }
    }
}

/// What is wanted.
struct Want<'a, F>(F, &'a mut Block);
impl<F: Function> Kernel for Want<'_, F> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Want(f, b) = self;
        for (want, &x) in b.want.iter_mut().zip(&b.x) {
            *want = f.want(x.into());
        }
    }
}

/// What is got; with two roundings in a multiply-add or as the set has it.
struct Get<'a, F>(F, &'a mut Block, bool);
impl<F: Function> Kernel for Get<'_, F> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match self.2 {
            true => self.get(Unfused(s)),
            false => self.get(s),
        }
    }
}
impl<F: Function> Get<'_, F> {
    #[inline(always)]
    fn get<S: Simd>(self, s: S) {
        let Get(f, b, _) = self;
        for i in 0..BLOCK / S::LANES {
            // SAFETY: LANES floats from i · LANES on are inside both.
            unsafe {
                let x = s.load(b.x.as_ptr().add(i * S::LANES));
                s.store(f.call(s, x), b.got.as_mut_ptr().add(i * S::LANES));
            }
        }
    }
}

/// Whether each error is as small as this. Signs of zeros are not looked at.
struct Within<'a>(&'a Block, f64);
impl Kernel for Within<'_> {
    type Output = bool;
    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> bool {
        let Within(b, most) = self;
        let mut within = 0;
        for (&got, &want) in b.got.iter().zip(&b.want) {
            let d = (f64::from(got) - want).abs() * per_unit(want);
            within += usize::from(d <= most); // NaN is not
        }
        within == BLOCK
    }
}

/// Whether each result is the very float, or NaN if that is.
struct Settle<'a>(&'a Block, Option<f32>);
impl Kernel for Settle<'_> {
    type Output = bool;
    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> bool {
        let Settle(b, y) = self;
        let mut others = 0;
        match y {
            Some(y) if y.is_nan() => b.got.iter().for_each(|got| others |= u32::from(!got.is_nan())),
            Some(y) => b.got.iter().for_each(|got| others |= got.to_bits() ^ y.to_bits()),
            None => b.got.iter().zip(&b.x).for_each(|(got, x)| others |= got.to_bits() ^ x.to_bits()),
        }
        others == 0
    }
}

/// The largest error and where, for each instruction set: at every `step`th float, counted by its bits, that lies
/// in `range`, and at NaN.
fn worst<F: Function>(f: F, step: u32, range: RangeInclusive<f32>) -> Vec<(f64, f32)> {
    let best = Isa::available().next().unwrap_or(Isa::Portable);
    let all = Mutex::new(vec![(0.0, f32::NAN); Isa::available().count()]);
    let (next, blocks) = (AtomicU32::new(0), u32::MAX / step / BLOCK as u32 + 1);
    let work = || {
        let mut b = Block { x: [0.0; BLOCK], want: [0.0; BLOCK], got: [0.0; BLOCK] };
        let mut mine = vec![(0.0, f32::NAN); Isa::available().count()];
        let take = || Some(next.fetch_add(1, Relaxed)).filter(|block| *block < blocks);
        while let Some(block) = take() {
            best.run(Fill(&mut b, block.wrapping_mul(BLOCK as u32).wrapping_mul(step), step));
            let (first, last) = (b.x[0], b.x[BLOCK - 1]);
            let inside = |(low, high, _): &&Settled| {
                [first, last]
                    .iter()
                    .all(|x| (low..=high).contains(&x) && x.is_sign_negative() == first.is_sign_negative())
            };
            let settled = match first.is_nan() && last.is_nan() {
                true => Some(Some(f32::NAN)),
                false => f.settled().iter().find(inside).map(|settled| settled.2),
            };
            if settled.is_none() {
                best.run(Want(f, &mut b));
            }
            for ((isa, unfused), mine) in sets().zip(&mut mine) {
                isa.run(Get(f, &mut b, unfused));
                let fine = match settled {
                    Some(y) => best.run(Settle(&b, y)),
                    None => best.run(Within(&b, mine.0)),
                };
                if !fine {
                    let x = b.x.iter().zip(&b.got);
                    let error = |(&x, &got): (&f32, &f32)| (ulps(got, f.want(x.into())), x);
                    let errors = x.map(error).filter(|(_, x)| x.is_nan() || range.contains(x));
                    *mine = errors.fold(*mine, |a, b| if b.0 > a.0 { b } else { a });
                }
            }
        }
        for (all, mine) in all.lock().unwrap().iter_mut().zip(mine) {
            *all = if mine.0 > all.0 { mine } else { *all };
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    std::thread::scope(|s| (0..threads).for_each(|_| _ = s.spawn(work)));
    all.into_inner().unwrap()
}

/// Holds a function to a bound.
fn check<F: Function>(name: &str, f: F, bound: f64, step: u32, range: RangeInclusive<f32>) {
    for (isa, (e, x)) in Isa::available().zip(worst(f, step, range)) {
        println!("{name} on {isa}: {e:.3} ulp at {x:e}");
        assert!(e <= bound, "{name} on {isa}: {e} ulp at {x:e}");
    }
}

/// The stand-in for the portable set gives its bits.
fn check_stand_in<F: Function>(f: F) {
    let (isa, unfused) = sets().last().unwrap();
    let mut b = Block { x: [0.0; BLOCK], want: [0.0; BLOCK], got: [0.0; BLOCK] };
    for block in 0..u32::MAX / 9973 / BLOCK as u32 {
        Isa::Portable.run(Fill(&mut b, block * 9973 * BLOCK as u32, 9973));
        let mut bits = [(isa, unfused), (Isa::Portable, false)].map(|(isa, unfused)| {
            isa.run(Get(f, &mut b, unfused));
            b.got.map(|y| if y.is_nan() { 0 } else { y.to_bits() })
        });
        let [stand_in, portable] = &mut bits;
        assert_eq!(stand_in, portable, "from {:e} on", b.x[0]);
    }
}

/// Every float there is.
fn check_all<F: Function>(name: &str, f: F, bound: f64) {
    check_stand_in(f);
    check(name, f, bound, 1, -INF..=INF);
    // The reference itself, where it matters: where a f32 has room for the result.
    let near = |a: f64, b: f64| (a - b).abs() <= 1e-13 * b.abs() || (b.abs() < 1e-46 && a.abs() < 1e-46);
    for i in 0..u32::MAX / 9973 {
        let x = f64::from(f32::from_bits(i * 9973));
        let (got, want) = (f.want(x), f.trusted(x));
        let beyond = want.abs() > 1e39 && got.abs() > 1e39;
        let fits = near(got, want) || beyond || (got.is_nan() && want.is_nan());
        assert!(fits, "the reference of {name} is {got:e}, not {want:e}, at {x:e}");
    }
}

/// What each function is held to.
macro_rules! bounds {
    ($($test:ident: $name:literal $f:ident $bound:literal;)*) => {
        $(
            #[test]
            fn $test() {
                check_all($name, $f, $bound);
            }
        )*
        /// A quick look, for emulators.
        #[test]
        fn a_sample() {
            $(check($name, $f, $bound, 4999, -INF..=INF);)*
        }
    };
}

bounds! {
    exp_everywhere: "exp" Exp 1.1;
    exp_m1_everywhere: "exp_m1" ExpM1 2.0;
    sigmoid_everywhere: "sigmoid" Sigmoid 2.0;
    tanh_everywhere: "tanh" Tanh 2.0;
    ln_everywhere: "ln" Ln 1.0;
    ln_1p_everywhere: "ln_1p" Ln1p 2.0;
}

/// A sample, for the reference is slow.
#[test]
fn the_normal_distribution() {
    check("density", Density, 2.0, 4999, -13.0..=13.0);
    check("normal", Phi, 4.5, 4999, -12.8..=INF);
    assert!(
        (phi64(1.0) - 0.841_344_746_068_542_9).abs() < 1e-15
            && (phi64(-3.0) - 0.001_349_898_031_630_095).abs() < 1e-17
    );
}
