//! Randomness that can be repeated: seeded streams, and a counter-based generator.
//!
//! A stream ([`Rng`]) is consumed in order, by one thread: initialisers, shuffling, splits.
//! The counter-based generator ([`Noise`]) is a function of (seed, layer, step, element): whoever asks for an element
//! gets the same number, so dropout draws the same mask on every device and at any number of threads.

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng as _, SeedableRng};

/// A stream of random numbers: xoshiro256++ (Blackman, Vigna 2019).
///
/// ```
/// use handgrad::Rng;
/// let (mut a, mut b) = (Rng::new(7, 0), Rng::new(7, 0));
/// assert_eq!(a.uniform(), b.uniform());
/// assert_ne!(Rng::new(7, 1).uniform(), Rng::new(7, 0).uniform());
/// ```
#[derive(Clone, Debug)]
pub struct Rng(Xoshiro256PlusPlus);

impl Rng {
    /// Stream number `stream` of `seed`; different streams of one seed are independent.
    pub fn new(seed: u64, stream: u64) -> Rng {
        let [a, b, c, d] = philox([stream as u32, (stream >> 32) as u32, 0, 0], seed);
        let mixed = (u64::from(a) << 32 | u64::from(b)) ^ (u64::from(c) << 32 | u64::from(d));
        Rng(Xoshiro256PlusPlus::seed_from_u64(mixed))
    }

    /// Uniform in [0, 1), with all 53 bits of a double.
    pub fn uniform(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 * (-53f64).exp2()
    }

    /// A whole number below `n`, without bias (Lemire 2019). `n` must not be 0.
    pub fn below(&mut self, n: u64) -> u64 {
        loop {
            let wide = u128::from(self.0.next_u64()) * u128::from(n);
            // The low word is below n for at most n of the 2⁶⁴ words; those below 2⁶⁴ mod n would be drawn once too often.
            if wide as u64 >= n || wide as u64 >= n.wrapping_neg() % n {
                return (wide >> 64) as u64;
            }
        }
    }

    /// Standard normal, by Box and Muller (1958).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// Shuffles in place (Fisher, Yates; Durstenfeld 1964): every order is equally likely.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i as u64 + 1) as usize);
        }
    }
}

/// The address of one layer's noise in one step; with an element's number it names one random word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Noise {
    /// The model's seed.
    pub seed: u64,
    /// The layer's number in the model.
    pub layer: u32,
    /// The number of the training step.
    pub step: u32,
}

impl Noise {
    /// Random words of the elements `4·block .. 4·block + 4`.
    #[inline(always)]
    pub fn block(&self, block: u64) -> [u32; 4] {
        philox([block as u32, (block >> 32) as u32, self.step, self.layer], self.seed)
    }

    /// [`block`](Noise::block) of 64 blocks, from `first` on: so many that the compiler puts them side by side into
    /// registers.
    #[inline(always)]
    pub(crate) fn blocks(&self, first: u64) -> [[u32; 4]; 64] {
        let block: [u64; 64] = std::array::from_fn(|l| first.wrapping_add(l as u64));
        let counter =
            [block.map(|b| b as u32), block.map(|b| (b >> 32) as u32), [self.step; 64], [self.layer; 64]];
        let [a, b, c, d] = philox_lanes(counter, self.seed);
        std::array::from_fn(|l| [a[l], b[l], c[l], d[l]])
    }

    /// The random word of one element: word `element mod 4` of block `element div 4`.
    pub fn word(&self, element: u64) -> u32 {
        self.block(element / 4)[(element % 4) as usize]
    }
}

/// Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011, §3.3): ten rounds of multiply, swap and xor turn a counter and a key
/// into four random words.
#[inline(always)]
pub fn philox(counter: [u32; 4], key: u64) -> [u32; 4] {
    philox_lanes(counter.map(|c| [c]), key).map(|[c]| c)
}

/// [`philox`] of L counters side by side: word k of counter l is `[k][l]`.
#[inline(always)]
pub(crate) fn philox_lanes<const L: usize>(counter: [[u32; L]; 4], key: u64) -> [[u32; L]; 4] {
    let ([mut c0, mut c1, mut c2, mut c3], mut k0, mut k1) = (counter, key as u32, (key >> 32) as u32);
    for _ in 0..10 {
        for l in 0..L {
            let p0 = u64::from(c0[l]) * 0xD251_1F53;
            let p1 = u64::from(c2[l]) * 0xCD9E_8D57;
            (c0[l], c1[l]) = ((p1 >> 32) as u32 ^ c1[l] ^ k0, p1 as u32);
            (c2[l], c3[l]) = ((p0 >> 32) as u32 ^ c3[l] ^ k1, p0 as u32);
        }
        k0 = k0.wrapping_add(0x9E37_79B9);
        k1 = k1.wrapping_add(0xBB67_AE85);
    }
    [c0, c1, c2, c3]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers of the authors' own test file (Random123, kat_vectors).
    #[test]
    fn philox_gives_the_published_words() {
        assert_eq!(philox([0; 4], 0), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox([u32::MAX; 4], u64::MAX), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        let pi = [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344];
        let key = 0x299f_31d0_a409_3822;
        assert_eq!(philox(pi, key), [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]);
    }

    #[test]
    fn many_blocks_are_many_times_one() {
        let noise = Noise { seed: 0x0123_4567_89ab_cdef, layer: 5, step: 9 };
        for first in [0, 77, u64::from(u32::MAX) - 3] {
            let one_by_one: [_; 64] = std::array::from_fn(|l| noise.block(first + l as u64));
            assert_eq!(noise.blocks(first), one_by_one);
        }
    }

    #[test]
    fn moments_and_bounds() {
        let mut rng = Rng::new(1, 2);
        let n = 100_000;
        let (mut mean, mut square, mut uniform) = (0.0, 0.0, 0.0);
        for _ in 0..n {
            let x = rng.normal();
            mean += x / n as f64;
            square += x * x / n as f64;
            let u = rng.uniform();
            assert!((0.0..1.0).contains(&u));
            uniform += u / n as f64;
        }
        // Five standard errors: 1/√n, √2/√n and 1/√(12 n).
        assert!(mean.abs() < 0.016 && (square - 1.0).abs() < 0.023 && (uniform - 0.5).abs() < 0.0046);
    }

    #[test]
    fn below_and_shuffle_are_fair() {
        let mut rng = Rng::new(3, 0);
        let mut seen = [0u32; 6];
        let mut orders = std::collections::HashMap::new();
        for _ in 0..6000 {
            seen[rng.below(6) as usize] += 1;
            let mut items = [0, 1, 2];
            rng.shuffle(&mut items);
            *orders.entry(items).or_insert(0u32) += 1;
        }
        // 1000 ± 5 standard deviations of 29.
        assert!(seen.iter().all(|n| (855..1145).contains(n)), "{seen:?}");
        assert!(orders.len() == 6 && orders.values().all(|n| (855..1145).contains(n)), "{orders:?}");
    }
}
