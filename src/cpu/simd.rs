//! Instruction sets: one way to write a loop, compiled once for each set that the processor may have.
//!
//! A loop is a [`Kernel`], generic over [`Simd`]. [`Isa::run`] enters a function that is compiled for the instruction
//! set, and everything marked `#[inline(always)]` below it is compiled for that set too: the registers' operators,
//! the functions of `math`, the kernel itself. A closure inside a kernel must be marked as well.
//!
//! | set | floats in a register | a·b + c |
//! |---|---|---|
//! | AVX-512 | 16 | one rounding |
//! | AVX2 | 8 | one rounding |
//! | NEON | 4 | one rounding |
//! | portable | 4 | two roundings; one on aarch64, where every processor has the instruction |
//!
//! Portable is plain Rust on arrays of four, which compilers turn into SSE2 on x86-64.
//!
//! Safety: a token (`Avx2`, `Avx512`, `Neon`) is made in [`Isa::run`] alone, after the processor was asked, and a
//! register is made from a token or another register alone. So wherever a register exists, its instructions do too.

use crate::error::{Error, Result};
use std::fmt;
use std::ops::{Add, Div, Mul, Neg, Sub};
use std::str::FromStr;

/// An instruction set of the processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// 16 floats in a register (AVX-512 F, BW, DQ and VL).
    Avx512,
    /// 8 floats in a register, with fused multiply-add.
    Avx2,
    /// 4 floats in a register: every aarch64 processor.
    Neon,
    /// Plain Rust.
    Portable,
}

impl Isa {
    /// All of them, the best first.
    pub const ALL: [Isa; 4] = [Isa::Avx512, Isa::Avx2, Isa::Neon, Isa::Portable];

    /// Whether this processor has it.
    pub fn is_available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
            }
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(not(target_arch = "x86_64"))]
            Isa::Avx512 | Isa::Avx2 => false,
            Isa::Neon => cfg!(target_arch = "aarch64"),
            Isa::Portable => true,
        }
    }

    /// Those that this processor has, the best first. Portable is always among them.
    pub fn available() -> impl Iterator<Item = Isa> {
        Isa::ALL.into_iter().filter(|isa| isa.is_available())
    }

    /// `isa` if the processor has it; if `None`, what the environment variable `HANDGRAD_ISA` names, else the best.
    ///
    /// # Errors
    /// The processor lacks it, or `HANDGRAD_ISA` names none.
    pub fn choose(isa: Option<Isa>) -> Result<Isa> {
        let isa = match (isa, std::env::var("HANDGRAD_ISA")) {
            (Some(isa), _) => isa,
            (None, Ok(name)) => name.parse()?,
            (None, Err(_)) => return Ok(Isa::available().next().unwrap_or(Isa::Portable)),
        };
        if isa.is_available() {
            return Ok(isa);
        }
        let have = Isa::available().map(|i| i.to_string()).collect::<Vec<_>>().join(", ");
        Err(Error::Device {
            problem: format!("this processor has no {isa} instructions"),
            hint: format!("it has: {have}; unset HANDGRAD_ISA to take the best"),
        })
    }

    /// Runs `kernel` compiled for this instruction set.
    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        debug_assert!(self.is_available());
        match self {
            // SAFETY: an `Isa` reaches a `Cpu` through `choose` alone, which asked the processor.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => unsafe { x86::enter_avx512(kernel) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => unsafe { x86::enter_avx2(kernel) },
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => neon::enter(kernel),
            _ => kernel.run(Portable),
        }
    }
}

impl FromStr for Isa {
    type Err = Error;

    fn from_str(name: &str) -> Result<Isa> {
        let known = ["avx512", "avx2", "neon", "portable"];
        let at = known.iter().position(|k| *k == name.to_lowercase());
        at.map(|i| Isa::ALL[i]).ok_or_else(|| Error::unknown("instruction set", name, &known))
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Isa::Avx512 => "avx512",
            Isa::Avx2 => "avx2",
            Isa::Neon => "neon",
            Isa::Portable => "portable",
        })
    }
}

/// The floats in the widest register.
pub(crate) const MAX_LANES: usize = 16;

/// A loop to be compiled for every instruction set. `run` must be `#[inline(always)]`.
pub(crate) trait Kernel {
    /// What it returns.
    type Output;
    /// The loop, in terms of `s`.
    fn run<S: Simd>(self, s: S) -> Self::Output;
}

/// An instruction set, as a token that makes registers.
pub(crate) trait Simd: Copy + Send + Sync {
    /// A register of floats.
    type V: Lanes;
    /// How many.
    const LANES: usize;
    /// Rows of a GEMM tile of two registers in width: as many as the registers can hold.
    const ROWS: usize;
    /// The same instructions on registers half as wide, where they take half the time, or else these.
    type Half: Simd;

    /// A token for half registers.
    fn half(self) -> Self::Half;

    /// x in every lane.
    fn splat(self, x: f32) -> Self::V;

    /// `LANES` floats from `p`, which need not be aligned.
    ///
    /// # Safety
    /// They must be readable.
    unsafe fn load(self, p: *const f32) -> Self::V;

    /// The first `n ≤ LANES` floats from `p`, and 0 in the other lanes.
    ///
    /// # Safety
    /// Those `n` must be readable; what is behind them is not touched.
    unsafe fn load_part(self, p: *const f32, n: usize) -> Self::V;

    /// `LANES` bytes from `p`, as numbers.
    ///
    /// # Safety
    /// They must be readable.
    #[inline(always)]
    unsafe fn load_bytes(self, p: *const u8) -> Self::V {
        let mut lanes = [0.0; MAX_LANES];
        for (i, lane) in lanes[..Self::LANES].iter_mut().enumerate() {
            // SAFETY: the caller vouches for them.
            *lane = f32::from(unsafe { *p.add(i) });
        }
        // SAFETY: no register has more lanes.
        unsafe { self.load(lanes.as_ptr()) }
    }

    /// Writes `LANES` floats to `p`, which need not be aligned.
    ///
    /// # Safety
    /// They must be writable.
    unsafe fn store(self, v: Self::V, p: *mut f32);

    /// Writes the first `n ≤ LANES` lanes to `p`.
    ///
    /// # Safety
    /// Those `n` must be writable; what is behind them is not touched.
    unsafe fn store_part(self, v: Self::V, p: *mut f32, n: usize);

    /// [`load`](Simd::load) of a whole register, [`load_part`](Simd::load_part) of less.
    ///
    /// # Safety
    /// Those `n ≤ LANES` floats must be readable.
    #[inline(always)]
    unsafe fn load_up_to(self, p: *const f32, n: usize) -> Self::V {
        // SAFETY: passed on to our caller.
        unsafe { if n == Self::LANES { self.load(p) } else { self.load_part(p, n) } }
    }

    /// [`store`](Simd::store) of a whole register, [`store_part`](Simd::store_part) of less.
    ///
    /// # Safety
    /// Those `n ≤ LANES` floats must be writable.
    #[inline(always)]
    unsafe fn store_up_to(self, v: Self::V, p: *mut f32, n: usize) {
        // SAFETY: passed on to our caller.
        unsafe { if n == Self::LANES { self.store(v, p) } else { self.store_part(v, p, n) } }
    }

    /// Asks for the cache line of `p`, which will be needed soon. Does nothing else, wherever `p` points.
    #[inline(always)]
    fn prefetch<T>(self, p: *const T) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a hint, which cannot fault; every x86-64 processor has it.
        unsafe {
            std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(p.cast())
        };
        #[cfg(target_arch = "aarch64")]
        // SAFETY: a hint, which cannot fault.
        unsafe {
            std::arch::asm!("prfm pldl1keep, [{}]", in(reg) p, options(nostack, preserves_flags, readonly))
        };
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        let _ = p;
    }

    /// Transposes a block of `LANES` × `LANES`: `to[j·to_row + i] = from[i·from_row + j]`.
    ///
    /// # Safety
    /// `LANES` rows of `LANES` floats must be readable from `from` and writable from `to`.
    unsafe fn transpose(self, from: *const f32, from_row: usize, to: *mut f32, to_row: usize);
}

/// A register of floats. Operators and methods work lane by lane, but for the last two.
pub(crate) trait Lanes:
    Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self> + Neg<Output = Self>
{
    /// A yes or no for each lane.
    type Mask: Copy;

    /// self · a + b.
    fn mul_add(self, a: Self, b: Self) -> Self;
    /// b − self · a.
    fn neg_mul_add(self, a: Self, b: Self) -> Self;
    /// `if self < b { self } else { b }`: if either is NaN, b. Put the value that may be NaN second to keep it.
    fn min(self, b: Self) -> Self;
    /// `if self > b { self } else { b }`: if either is NaN, b.
    fn max(self, b: Self) -> Self;
    /// |self|.
    fn abs(self) -> Self;
    /// The square root.
    fn sqrt(self) -> Self;
    /// The nearest whole number, the even one of two. For |self| < 2²².
    fn round(self) -> Self;
    /// self > b; never for NaN.
    fn gt(self, b: Self) -> Self::Mask;
    /// self ≥ b; never for NaN.
    fn ge(self, b: Self) -> Self::Mask;
    /// `yes` where the mask holds, `no` elsewhere.
    fn select(mask: Self::Mask, yes: Self, no: Self) -> Self;
    /// 0 where the mask holds, self elsewhere: quicker than to [`select`](Lanes::select) zeros.
    fn zero_if(self, mask: Self::Mask) -> Self;
    /// |self| with the sign of `sign`.
    fn copysign(self, sign: Self) -> Self;
    /// self, or −self where `sign` is negative, −0 included.
    fn flip(self, sign: Self) -> Self;
    /// 2ⁿ of self = 1.5 · 2²³ + 127 + n, for a whole number n in −126 ..= 127: its bits, moved to the exponent.
    fn power_of_biased(self) -> Self;
    /// ⌊log₂ self⌋ of a positive normal number.
    fn exponent(self) -> Self;
    /// self / 2^exponent, in [1, 2), of a positive normal number.
    fn mantissa(self) -> Self;
    /// The sum of all lanes: halves onto each other, again and again.
    fn sum(self) -> f32;
    /// The largest lane; NaN may get lost.
    fn largest(self) -> f32;
}

/// The sign bit.
const SIGN: u32 = 1 << 31;

/// Plain Rust.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

/// Four floats.
#[derive(Clone, Copy)]
#[repr(C, align(16))]
pub(crate) struct F32x4([f32; 4]);

impl F32x4 {
    #[inline(always)]
    fn map(self, f: impl Fn(f32) -> f32) -> F32x4 {
        let [a, b, c, d] = self.0;
        F32x4([f(a), f(b), f(c), f(d)])
    }

    #[inline(always)]
    fn zip<T>(self, other: F32x4, f: impl Fn(f32, f32) -> T) -> [T; 4] {
        let ([a, b, c, d], [e, g, h, i]) = (self.0, other.0);
        [f(a, e), f(b, g), f(c, h), f(d, i)]
    }
}

impl Simd for Portable {
    type V = F32x4;
    const LANES: usize = 4;
    const ROWS: usize = 4;
    type Half = Portable;

    #[inline(always)]
    fn half(self) -> Portable {
        self
    }

    #[inline(always)]
    fn splat(self, x: f32) -> F32x4 {
        F32x4([x; 4])
    }

    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> F32x4 {
        // SAFETY: the caller vouches for four floats.
        F32x4(unsafe { p.cast::<[f32; 4]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn load_part(self, p: *const f32, n: usize) -> F32x4 {
        let mut v = [0.0; 4];
        for (i, lane) in v.iter_mut().enumerate().take(n) {
            // SAFETY: the caller vouches for n floats.
            *lane = unsafe { *p.add(i) };
        }
        F32x4(v)
    }

    #[inline(always)]
    unsafe fn store(self, v: F32x4, p: *mut f32) {
        // SAFETY: the caller vouches for four floats.
        unsafe { p.cast::<[f32; 4]>().write_unaligned(v.0) }
    }

    #[inline(always)]
    unsafe fn store_part(self, v: F32x4, p: *mut f32, n: usize) {
        for (i, lane) in v.0.into_iter().enumerate().take(n) {
            // SAFETY: the caller vouches for n floats.
            unsafe { *p.add(i) = lane };
        }
    }

    #[inline(always)]
    unsafe fn transpose(self, from: *const f32, from_row: usize, to: *mut f32, to_row: usize) {
        for i in 0..Self::LANES {
            for j in 0..Self::LANES {
                // SAFETY: the caller vouches for the block in both places.
                unsafe { *to.add(j * to_row + i) = *from.add(i * from_row + j) };
            }
        }
    }
}

impl Lanes for F32x4 {
    type Mask = [bool; 4];

    #[inline(always)]
    fn mul_add(self, a: F32x4, b: F32x4) -> F32x4 {
        if cfg!(target_arch = "aarch64") {
            let F32x4(b) = b;
            let p = self.zip(a, |x, y| (x, y));
            F32x4([0, 1, 2, 3].map(|i| p[i].0.mul_add(p[i].1, b[i])))
        } else {
            self * a + b // f32::mul_add is a slow call where there is no instruction for it
        }
    }
    #[inline(always)]
    fn neg_mul_add(self, a: F32x4, b: F32x4) -> F32x4 {
        (-self).mul_add(a, b)
    }
    #[inline(always)]
    fn min(self, b: F32x4) -> F32x4 {
        F32x4(self.zip(b, |x, y| if x < y { x } else { y }))
    }
    #[inline(always)]
    fn max(self, b: F32x4) -> F32x4 {
        F32x4(self.zip(b, |x, y| if x > y { x } else { y }))
    }
    #[inline(always)]
    fn abs(self) -> F32x4 {
        self.map(f32::abs)
    }
    #[inline(always)]
    fn sqrt(self) -> F32x4 {
        self.map(f32::sqrt)
    }
    #[inline(always)]
    fn round(self) -> F32x4 {
        // Above 2²³ floats are whole numbers, so the sum itself rounds.
        const SHIFT: f32 = 12_582_912.0; // 1.5 · 2²³
        self.map(|x| (x + SHIFT) - SHIFT)
    }
    #[inline(always)]
    fn gt(self, b: F32x4) -> [bool; 4] {
        self.zip(b, |x, y| x > y)
    }
    #[inline(always)]
    fn ge(self, b: F32x4) -> [bool; 4] {
        self.zip(b, |x, y| x >= y)
    }
    #[inline(always)]
    fn select(mask: [bool; 4], yes: F32x4, no: F32x4) -> F32x4 {
        let p = yes.zip(no, |y, n| (y, n));
        F32x4([0, 1, 2, 3].map(|i| if mask[i] { p[i].0 } else { p[i].1 }))
    }
    #[inline(always)]
    fn zero_if(self, mask: [bool; 4]) -> F32x4 {
        F32x4::select(mask, F32x4([0.0; 4]), self)
    }
    #[inline(always)]
    fn copysign(self, sign: F32x4) -> F32x4 {
        F32x4(self.zip(sign, f32::copysign))
    }
    #[inline(always)]
    fn flip(self, sign: F32x4) -> F32x4 {
        F32x4(self.zip(sign, |x, sign| f32::from_bits(x.to_bits() ^ sign.to_bits() & SIGN)))
    }
    #[inline(always)]
    fn power_of_biased(self) -> F32x4 {
        self.map(|x| f32::from_bits(x.to_bits() << 23))
    }
    #[inline(always)]
    fn exponent(self) -> F32x4 {
        self.map(|x| ((x.to_bits() >> 23) as i32 - 127) as f32)
    }
    #[inline(always)]
    fn mantissa(self) -> F32x4 {
        self.map(|x| f32::from_bits(x.to_bits() & 0x007f_ffff | 0x3f80_0000))
    }
    #[inline(always)]
    fn sum(self) -> f32 {
        let [a, b, c, d] = self.0;
        (a + c) + (b + d)
    }
    #[inline(always)]
    fn largest(self) -> f32 {
        let [a, b, c, d] = self.0;
        a.max(c).max(b.max(d))
    }
}

/// Operators of a register, from one function each.
macro_rules! operators {
    ($v:ident, $add:expr, $sub:expr, $mul:expr, $div:expr, $neg:expr) => {
        operators!(@ $v, Add, add, $add);
        operators!(@ $v, Sub, sub, $sub);
        operators!(@ $v, Mul, mul, $mul);
        operators!(@ $v, Div, div, $div);
        impl Neg for $v {
            type Output = $v;
            #[inline(always)]
            fn neg(self) -> $v {
                $neg(self)
            }
        }
    };
    (@ $v:ident, $trait:ident, $name:ident, $f:expr) => {
        impl $trait for $v {
            type Output = $v;
            #[inline(always)]
            fn $name(self, other: $v) -> $v {
                $f(self, other)
            }
        }
    };
}

operators!(
    F32x4,
    |x: F32x4, y| F32x4(x.zip(y, |a, b| a + b)),
    |x: F32x4, y| F32x4(x.zip(y, |a, b| a - b)),
    |x: F32x4, y| F32x4(x.zip(y, |a, b| a * b)),
    |x: F32x4, y| F32x4(x.zip(y, |a, b| a / b)),
    |x: F32x4| x.map(|a| -a)
);

#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(test)]
mod tests {
    use super::*;

    /// Every method on one register, against plain Rust.
    struct Methods;

    impl Kernel for Methods {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            let n = S::LANES;
            let xs: Vec<f32> = (0..n).map(|i| (i as f32 - 2.5) * 1.75).collect();
            let ys: Vec<f32> = (0..n).map(|i| 3.25 - (i as f32) * 0.5).collect();
            // SAFETY: both have LANES floats.
            let (x, y) = unsafe { (s.load(xs.as_ptr()), s.load(ys.as_ptr())) };
            let check = |name: &str, v: S::V, f: &dyn Fn(f32, f32) -> f32| {
                let mut out = vec![f32::NAN; n];
                // SAFETY: `out` has LANES floats.
                unsafe { s.store(v, out.as_mut_ptr()) };
                for i in 0..n {
                    let want = f(xs[i], ys[i]);
                    assert!(out[i].to_bits() == want.to_bits(), "{name}: lane {i} is {}, not {want}", out[i]);
                }
            };
            check("+", x + y, &|x, y| x + y);
            check("-", x - y, &|x, y| x - y);
            check("*", x * y, &|x, y| x * y);
            check("/", x / y, &|x, y| x / y);
            check("neg", -x, &|x, _| -x);
            check("neg of zero", -s.splat(0.0), &|_, _| -0.0);
            check("mul_add", x.mul_add(y, x), &|x, y| x.mul_add(y, x)); // exact in either rounding
            check("neg_mul_add", x.neg_mul_add(y, x), &|x, y| (-x).mul_add(y, x));
            check("min", x.min(y), &f32::min);
            check("max", x.max(y), &f32::max);
            check("max keeps the second NaN", x.max(s.splat(f32::NAN)), &|_, _| f32::NAN);
            check("max drops the first NaN", s.splat(f32::NAN).max(x), &|x, _| x);
            check("abs", x.abs(), &|x, _| x.abs());
            check("sqrt", x.abs().sqrt(), &|x, _| x.abs().sqrt());
            check("round", (x + s.splat(0.125)).round(), &|x, _| (x + 0.125).round_ties_even());
            check("select", S::V::select(x.gt(y), x, y), &|x, y| if x > y { x } else { y });
            check("zero_if", x.zero_if(x.gt(y)), &|x, y| if x > y { 0.0 } else { x });
            check("zero_if keeps NaN", s.splat(f32::NAN).zero_if(x.gt(y)), &|x, y| {
                if x > y { 0.0 } else { f32::NAN }
            });
            check("ge", S::V::select(x.ge(x), x, y), &|x, _| x);
            check("copysign", y.copysign(x), &|x, y| y.copysign(x));
            check("flip", x.flip(y), &|x, y| if y.is_sign_negative() { -x } else { x });
            check("flip by zero", x.flip(s.splat(-0.0)), &|x, _| -x);
            let power_of_two = |n: S::V| (n + s.splat(12_582_912.0 + 127.0)).power_of_biased();
            check("power_of_biased", power_of_two(x), &|x, _| x.round_ties_even().exp2());
            let z = x.abs() * s.splat(100.0);
            check("exponent", z.exponent(), &|x, _| (x.abs() * 100.0).log2().floor());
            check("mantissa", z.mantissa() * power_of_two(z.exponent()), &|x, _| x.abs() * 100.0);
            assert_eq!(x.sum(), xs.iter().sum::<f32>()); // exact: all are multiples of 1/8
            assert_eq!(x.largest(), xs[n - 1]);
            let block: Vec<f32> = (0..n * (n + 3)).map(|i| i as f32).collect();
            let mut turned = vec![-1.0; n * (n + 1)];
            // SAFETY: n rows of n + 3 and of n + 1 floats.
            unsafe { s.transpose(block.as_ptr(), n + 3, turned.as_mut_ptr(), n + 1) };
            for (j, row) in turned.chunks(n + 1).enumerate() {
                assert!((0..n).all(|i| row[i] == block[i * (n + 3) + j]) && row[n] == -1.0, "column {j}");
            }
            let bytes: Vec<u8> = (0..n as u8).map(|i| 255 - 13 * i).collect();
            // SAFETY: LANES bytes.
            let numbers = unsafe { s.load_bytes(bytes.as_ptr()) };
            check("load_bytes", numbers - x, &|x, _| f32::from(255 - 13 * ((x / 1.75 + 2.5) as u8)) - x);
            for part in 0..=n {
                let mut out = vec![-1.0; n];
                // SAFETY: `part` floats are in `xs` and in `out`.
                unsafe { s.store_part(s.load_part(xs.as_ptr(), part), out.as_mut_ptr(), part) };
                assert_eq!((&out[..part], &out[part..]), (&xs[..part], &vec![-1.0; n - part][..]));
                // SAFETY: as above, and `out` has LANES floats.
                unsafe { s.store(s.load_part(xs.as_ptr(), part), out.as_mut_ptr()) };
                assert!(out[part..].iter().all(|v| *v == 0.0));
            }
        }
    }

    /// The same on half a register.
    struct OnHalf;

    impl Kernel for OnHalf {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            Methods.run(s.half());
        }
    }

    #[test]
    fn registers_work_lane_by_lane() {
        Isa::available().for_each(|isa| isa.run(Methods));
        Isa::available().for_each(|isa| isa.run(OnHalf));
    }

    #[test]
    fn names_and_choices() {
        for isa in Isa::ALL {
            assert_eq!(isa.to_string().parse::<Isa>().unwrap(), isa);
            assert_eq!(Isa::choose(Some(isa)).is_ok(), isa.is_available());
        }
        assert!(Isa::available().any(|isa| isa == Isa::Portable));
        assert!("sse9".parse::<Isa>().is_err());
    }
}
