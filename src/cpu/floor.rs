//! The floor: the time below which no program gets on this machine, from how fast it multiplies and how fast its
//! memory is.
//!
//! An op of F floating-point operations on B bytes takes at least
//!
//! ```text
//! seconds ≥ max(F / peak, B / bandwidth)          "roofline": Williams, Waterman, Patterson 2009
//! ```
//!
//! Which bandwidth depends on where the bytes are: in the smallest cache that holds all of them. Both rates are
//! measured here, with the registers and instructions that the ops themselves use:
//!
//! - **Peak**: chains of x ← x · a + b, in registers. One chain waits for its own last result; a processor that starts
//!   2 of these every cycle and needs 4 cycles for each must have 8 chains to be busy.
//! - **Bandwidth**: y ← y + a x over arrays of a size, again and again: reads two numbers and writes one, which is also
//!   the mixture that most processors can move the most of.
//!
//! What none of this counts is what threads tell each other: [`handoff`].
//!
//! Each is the best of several short runs: whatever else the machine does only slows a run. `cargo bench --bench floor`
//! prints them, `handgrad bench` holds every op against them.

use super::Cpu;
use super::caches::{Caches, caches};
use super::parallel::Pool;
use super::simd::{Isa, Kernel, Lanes, MAX_LANES, Simd};
use crate::shape::Shape;
use crate::tensor::Tensor;
use std::fmt;
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering::*};
use std::thread;
use std::time::{Duration, Instant};

/// Chains of multiply-adds: more than any processor needs, and no more than its registers hold beside two operands.
const CHAINS: usize = if cfg!(target_arch = "aarch64") { 20 } else { 12 };
/// Multiply-adds of a chain that are counted as one.
const STEPS: usize = 1 << 12;
/// Seconds of a short run: long against starting the threads, short against what disturbs them.
const RUN: f64 = 2e-3;
/// Registers that the pass over memory handles at once.
const UNROLL: usize = 4;
/// Floats of a thread's arrays come in blocks of this: whole registers of every instruction set, whole cache lines.
const BLOCK: usize = UNROLL * MAX_LANES;
/// "Memory" is measured on so many bytes at least and at most.
const MEMORY: (usize, usize) = (64 << 20, 512 << 20);

/// How fast one instruction set and a number of threads are, at best.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Floor {
    /// The instruction set.
    pub isa: Isa,
    /// The threads, together.
    pub threads: usize,
    /// What the levels are.
    pub caches: Caches,
    /// Floating-point operations per second, two for each multiply-add.
    pub flops: f64,
    /// Bytes read and written per second, at each [`Level`].
    pub bytes: [f64; 4],
}

/// Where data is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)] // the names say it
pub enum Level {
    L1,
    L2,
    L3,
    Memory,
}

impl Level {
    /// All of them, the fastest first.
    pub const ALL: [Level; 4] = [Level::L1, Level::L2, Level::L3, Level::Memory];
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Level::L1 => "L1",
            Level::L2 => "L2",
            Level::L3 => "L3",
            Level::Memory => "memory",
        })
    }
}

impl Floor {
    /// Measures `cpu`'s instruction set on all its threads, in about `budget`, but at least one short run of each kind.
    /// A second gives figures that repeat to a few percent on a machine that does nothing else.
    ///
    /// ```
    /// use handgrad::cpu::{Cpu, Floor};
    /// use std::time::Duration;
    /// let floor = Floor::measure(&Cpu::new(Some(1), None)?, Duration::from_millis(1));
    /// println!("{floor}");
    /// let product = 2.0 * 512f64.powi(3);
    /// let seconds = floor.seconds(product, 3.0 * 4.0 * 512.0 * 512.0, 3.0 * 4.0 * 512.0 * 512.0);
    /// assert!(seconds >= product / floor.flops);
    /// # Ok::<(), handgrad::Error>(())
    /// ```
    pub fn measure(cpu: &Cpu, budget: Duration) -> Floor {
        let (isa, pool, caches) = (cpu.isa, &cpu.pool, caches());
        let threads = pool.threads();
        // Of one thread, two arrays together: half of its own caches, a quarter of the shared one, and of memory four
        // times what the last cache holds.
        let l3 = (caches.l3 / 4 / threads).max(2 * caches.l2);
        let memory = ((4 * caches.last()).clamp(MEMORY.0, MEMORY.1) / threads).max(l3);
        let sizes = [caches.l1 / 2, caches.l2 / 2, l3, memory];
        let mut arrays = Arrays::new(pool, memory);
        let mut run = |kind: usize, times: usize| {
            let start = Instant::now();
            let work = match kind.checked_sub(1) {
                None => multiply_adds(isa, pool, times),
                Some(level) => arrays.stream(isa, pool, sizes[level], times),
            };
            (work as f64, start.elapsed().as_secs_f64().max(1e-9))
        };
        // One after the other in short runs, round after round: what slows the machine for a while slows one round of all.
        let target = (budget.as_secs_f64() / 50.0).min(RUN);
        let times = [0, 1, 2, 3, 4].map(|kind| {
            run(kind, 1); // warms up
            (target / run(kind, 1).1).ceil().clamp(1.0, 1e6) as usize
        });
        let (start, mut best) = (Instant::now(), [0f64; 5]);
        loop {
            for kind in 0..5 {
                let (work, seconds) = run(kind, times[kind]);
                best[kind] = best[kind].max(work / seconds);
            }
            if start.elapsed() >= budget {
                break;
            }
        }
        let [flops, l1, l2, l3, memory] = best;
        let l3 = if caches.l3 == 0 { memory } else { l3 };
        Floor { isa, threads, caches, flops, bytes: [l1, l2, l3, memory] }
    }

    /// The level that holds `footprint` bytes, spread over all threads: the smallest that does.
    pub fn level(&self, footprint: f64) -> Level {
        let Caches { l1, l2, l3 } = self.caches;
        let sizes = [(l1 * self.threads, Level::L1), (l2 * self.threads, Level::L2), (l3, Level::L3)];
        sizes
            .into_iter()
            .find(|(size, _)| footprint <= *size as f64)
            .map_or(Level::Memory, |(_, level)| level)
    }

    /// Bytes per second at a level.
    pub fn bandwidth(&self, level: Level) -> f64 {
        self.bytes[level as usize]
    }

    /// The least time in seconds of an op of `flops` floating-point operations that reads and writes `bytes` in all, of
    /// which `footprint` are different ones.
    pub fn seconds(&self, flops: f64, bytes: f64, footprint: f64) -> f64 {
        (flops / self.flops).max(bytes / self.bandwidth(self.level(footprint)))
    }
}

impl fmt::Display for Floor {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let [l1, l2, l3, memory] = self.bytes.map(|b| b * 1e-9);
        let (isa, threads, plural) = (self.isa, self.threads, if self.threads == 1 { "" } else { "s" });
        write!(f, "{isa}, {threads} thread{plural}: {:.1} GFLOP/s; ", self.flops * 1e-9)?;
        write!(f, "L1 {l1:.0}, L2 {l2:.0}, L3 {l3:.0}, memory {memory:.1} GB/s")
    }
}

/// What it takes to tell another core something and hear its answer: seconds from writing a cache line that the other
/// waits for until its answer is there. Of many short runs, in about `budget`, what a tenth are quicker than, and what a
/// tenth are slower than; `None` on a machine with one core.
///
/// Every line that two threads share costs at least half of this each time that it changes hands. Cores of one chip may
/// differ by a factor of four, with whether they share their last cache; and where the system moves programs from core to
/// core, a virtual machine's host above all, so does one program from second to second.
///
/// ```
/// use std::time::Duration;
/// if let Some([quickest, slowest]) = handgrad::cpu::handoff(Duration::from_millis(1)) {
///     assert!(0.0 < quickest && quickest <= slowest);
/// }
/// ```
pub fn handoff(budget: Duration) -> Option<[f64; 2]> {
    /// A line of its own.
    #[repr(align(128))]
    struct Ball(AtomicUsize);
    const TRIPS: usize = 1000;
    const OVER: usize = usize::MAX;
    if thread::available_parallelism().map_or(1, |n| n.get()) < 2 {
        return None;
    }
    let ball = Ball(AtomicUsize::new(0));
    // Waits until the ball is at `at`, or the game is over.
    let catch = |at: usize| {
        for look in 1.. {
            match ball.0.load(Acquire) {
                OVER => return false,
                now if now == at => break,
                _ if look % 1024 == 0 => thread::yield_now(), // the other has no core now
                _ => std::hint::spin_loop(),
            }
        }
        true
    };
    Some(thread::scope(|scope| {
        scope.spawn(|| {
            let mut at = 1;
            while catch(at) {
                ball.0.store(at + 1, Release);
                at += 2;
            }
        });
        let (start, mut at, mut times) = (Instant::now(), 0, Vec::new());
        let mut run = || {
            let start = Instant::now();
            for _ in 0..TRIPS {
                ball.0.store(at + 1, Release);
                at += 2;
                catch(at);
            }
            start.elapsed().as_secs_f64() / TRIPS as f64
        };
        run(); // until the other has begun
        loop {
            times.push(run());
            if start.elapsed() >= budget {
                break;
            }
        }
        ball.0.store(OVER, Release);
        times.sort_by(f64::total_cmp);
        [times[times.len() / 10], times[times.len() * 9 / 10]]
    }))
}

/// So many rounds of [`STEPS`] of every chain on every thread. How many floating-point operations that was.
fn multiply_adds(isa: Isa, pool: &Pool, times: usize) -> usize {
    let steps = STEPS * times;
    pool.run(pool.threads(), &|_| {
        black_box(isa.run(MultiplyAdds { steps }));
    });
    2 * CHAINS * isa.run(LaneCount) * steps * pool.threads()
}

struct LaneCount;

impl Kernel for LaneCount {
    type Output = usize;

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> usize {
        S::LANES
    }
}

/// So many steps of every chain. They tend to 1, so that no number grows or becomes denormal.
struct MultiplyAdds {
    steps: usize,
}

impl Kernel for MultiplyAdds {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        let (a, b) = (s.splat(black_box(0.875)), s.splat(black_box(0.125)));
        // From memory and back, with different numbers, as the ops have them: the compiler keeps whole registers then.
        let mut numbers = [0.0; CHAINS * MAX_LANES];
        numbers.iter_mut().enumerate().for_each(|(i, x)| *x = i as f32);
        let numbers = black_box(&mut numbers);
        let mut chains = [s.splat(0.0); CHAINS];
        for (chain, from) in chains.iter_mut().zip(numbers.chunks_exact(S::LANES)) {
            // SAFETY: `from` is as long as a register.
            *chain = unsafe { s.load(from.as_ptr()) };
        }
        for _ in 0..self.steps {
            for chain in &mut chains {
                *chain = chain.mul_add(a, b);
            }
        }
        for (chain, to) in chains.into_iter().zip(numbers.chunks_exact_mut(S::LANES)) {
            // SAFETY: `to` is as long as a register.
            unsafe { s.store(chain, to.as_mut_ptr()) };
        }
        black_box(&*numbers)[..CHAINS * S::LANES].iter().sum()
    }
}

/// Two arrays, x and y, for each thread.
struct Arrays {
    memory: Tensor,
    /// Floats of one array.
    len: usize,
}

/// Floats of each of two arrays that together have about `bytes`.
fn floats(bytes: usize) -> usize {
    (bytes / 8).next_multiple_of(BLOCK).max(BLOCK)
}

impl Arrays {
    /// Of `bytes` for each thread. Each thread writes its own first, so that they are in the memory nearest to it.
    fn new(pool: &Pool, bytes: usize) -> Arrays {
        let len = floats(bytes);
        let mut arrays = Arrays { memory: Tensor::zeros_f32(Shape::from([pool.threads(), 2 * len])), len };
        arrays.each(pool, |x, y| {
            x.fill(1.0);
            y.fill(0.5);
        });
        arrays
    }

    /// Calls `task(x, y)` for every thread's arrays.
    fn each(&mut self, pool: &Pool, task: impl Fn(&mut [f32], &mut [f32]) + Sync) {
        let len = self.len;
        if let Ok(all) = self.memory.view_mut().f32() {
            pool.run_chunks(all, 2 * len, |_, own| {
                let (x, y) = own.split_at_mut(len);
                task(x, y);
            });
        }
    }

    /// So many passes over the first `bytes` of each thread's arrays. How many bytes were read and written.
    fn stream(&mut self, isa: Isa, pool: &Pool, bytes: usize, passes: usize) -> usize {
        let len = floats(bytes).min(self.len);
        self.each(pool, |x, y| isa.run(Stream { x: &x[..len], y: &mut y[..len], passes }));
        3 * 4 * len * pool.threads() * passes
    }
}

/// y ← y + a x, so many times. a is so small that y never changes, and the processor cannot know.
struct Stream<'a> {
    x: &'a [f32],
    y: &'a mut [f32],
    passes: usize,
}

impl Kernel for Stream<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Stream { x, y, passes } = self;
        let a = s.splat(black_box(1e-9));
        for _ in 0..passes {
            let blocks = x.chunks_exact(UNROLL * S::LANES).zip(y.chunks_exact_mut(UNROLL * S::LANES));
            for (x, y) in blocks {
                for i in 0..UNROLL {
                    // SAFETY: a block of either is UNROLL registers long.
                    unsafe {
                        let at = y.as_mut_ptr().add(i * S::LANES);
                        s.store(s.load(x.as_ptr().add(i * S::LANES)).mul_add(a, s.load(at)), at);
                    }
                }
            }
            black_box(&mut *y);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Figures, not which: other programs may run beside the tests.
    #[test]
    fn every_figure_is_one() {
        for isa in Isa::available() {
            let cpu = Cpu::new(Some(2), Some(isa)).unwrap();
            let floor = Floor::measure(&cpu, Duration::ZERO);
            assert_eq!((floor.isa, floor.threads, floor.caches), (isa, 2, caches()));
            for rate in floor.bytes.into_iter().chain([floor.flops]) {
                assert!(rate.is_finite() && rate > 0.0, "{floor:?}");
            }
            assert!(floor.to_string().starts_with(&format!("{isa}, 2 threads: ")), "{floor}");
        }
    }

    #[test]
    fn the_slower_of_arithmetic_and_memory_bounds() {
        let caches = Caches { l1: 1000, l2: 4000, l3: 0 };
        let floor =
            Floor { isa: Isa::Portable, threads: 2, caches, flops: 100.0, bytes: [40.0, 20.0, 5.0, 5.0] };
        let levels = [1.0, 2000.0, 2001.0, 8000.0, 8001.0].map(|footprint| floor.level(footprint));
        assert_eq!(levels, [Level::L1, Level::L1, Level::L2, Level::L2, Level::Memory]);
        assert_eq!(floor.seconds(300.0, 40.0, 40.0), 3.0);
        assert_eq!(floor.seconds(300.0, 400.0, 400.0), 10.0);
        assert_eq!(floor.seconds(0.0, 40000.0, 20000.0), 8000.0);
        assert_eq!(floor.bandwidth(Level::Memory), 5.0);
    }

    /// What is measured computes what it says.
    #[test]
    fn the_loops_compute() {
        for isa in Isa::available() {
            let lanes = isa.run(LaneCount);
            // x ← ⅞ x + ⅛ halves the distance to 1 some five steps at a time.
            let sum = isa.run(MultiplyAdds { steps: 400 });
            assert!((sum / (CHAINS * lanes) as f32 - 1.0).abs() < 1e-5, "{isa}: {sum}");
            let (x, mut y) = ([2.0; 2 * BLOCK], [0.0; 2 * BLOCK]);
            isa.run(Stream { x: &x, y: &mut y, passes: 3 });
            assert!(y.iter().all(|y| (y / 6e-9 - 1.0).abs() < 1e-6), "{isa}: {y:?}");
        }
    }
}
