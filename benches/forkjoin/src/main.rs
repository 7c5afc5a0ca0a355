//! What one fork and join costs: a job of a few tasks, from the call until the last task is done.
//!
//! ```text
//! cargo run --release                  # on 2 threads and on 4
//! cargo run --release -- 8 handgrad    # on 8, and only those whose name has this
//! ```
//!
//! Jobs are 2, 8 and 64 tasks that do nothing, and 2 tasks of 5 µs each (5 µs is then the least it can take). They come
//! one right behind the other, or the caller computes alone for 20 or 200 µs in between, as an engine does between two
//! ops that have something for every thread. Printed are the least and the median, in nanoseconds, of all calls of five
//! rounds; the clock itself takes some 20.

use rayon::prelude::*;
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// The engine's own file, as it is.
#[allow(dead_code)]
#[path = "../../../src/cpu/parallel.rs"]
mod parallel;

/// As much of the engine's errors as that file needs.
mod error {
    #[derive(Debug)]
    #[allow(dead_code)]
    pub enum Error {
        Device { problem: String, hint: String },
    }
    pub type Result<T> = std::result::Result<T, Error>;
    impl Error {
        pub fn invalid(problem: impl Into<String>, hint: impl Into<String>) -> Error {
            Error::Device { problem: problem.into(), hint: hint.into() }
        }
    }
}

/// As much of the engine's tensors as that file needs: a cache line.
mod tensor {
    #[repr(C, align(64))]
    #[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
    pub struct Line([f32; 16]);
}

type Task<'a> = &'a (dyn Fn(usize) + Sync);
/// Does a job: calls the task with 0, 1, 2 ... on all threads.
type Run<'a> = &'a mut dyn FnMut(usize, Task);

/// (tasks, turns of a task's loop in units of 5 µs).
const JOBS: [(usize, u64); 4] = [(2, 0), (8, 0), (64, 0), (2, 1)];
const PAUSES: [(Duration, usize); 3] =
    [(Duration::ZERO, 2000), (Duration::from_micros(20), 300), (Duration::from_micros(200), 100)];

/// Computes for `turns` turns, which nobody else can hasten or delay.
fn compute(turns: u64) {
    black_box((0..turns).fold(black_box(1u64), |x, _| x.wrapping_mul(0x5851_f42d_4c95_7f2d).rotate_left(7)));
}

/// Turns of [`compute`] in 5 µs.
fn calibrate() -> u64 {
    let time = || {
        let start = Instant::now();
        compute(100_000);
        start.elapsed().as_nanos() as f64
    };
    let best = (0..200).map(|_| time()).fold(f64::MAX, f64::min);
    (5000.0 * 100_000.0 / best) as u64
}

/// The times of all calls: [job][pause].
type Times = [[Vec<u64>; PAUSES.len()]; JOBS.len()];

/// One round of all jobs and pauses.
fn round(five_us: u64, times: &mut Times, run: Run) {
    for ((tasks, load), times) in JOBS.iter().zip(times) {
        let ran = AtomicUsize::new(0);
        let task = |_: usize| match load {
            0 => _ = black_box(&ran),
            _ => compute(load * five_us),
        };
        for ((pause, calls), times) in PAUSES.iter().zip(times) {
            for call in 0..calls + 20 {
                let start = Instant::now();
                while start.elapsed() < *pause {
                    std::hint::spin_loop();
                }
                let start = Instant::now();
                run(*tasks, &task);
                let time = start.elapsed().as_nanos() as u64;
                if call >= 20 {
                    times.push(time);
                }
            }
        }
        run(*tasks, &|_| _ = ran.fetch_add(1, Relaxed));
        assert_eq!(ran.load(Relaxed), *tasks, "every task runs once");
    }
}

/// Halves a range of tasks until one is left.
fn halve(scope: &mut chili::Scope, from: usize, to: usize, task: Task) {
    match to - from {
        0 => {}
        1 => task(from),
        n => {
            let mid = from + n / 2;
            scope.join(|s| halve(s, from, mid, task), |s| halve(s, mid, to, task));
        }
    }
}

/// Calls `f` with every way to do a job on this many threads, one after the other.
fn contenders(threads: usize, mut f: impl FnMut(&'static str, Run) + Send) {
    {
        let pool = parallel::Pool::new(Some(threads)).unwrap();
        f("handgrad", &mut |n, task| pool.run(n, task));
    }
    let rayon = || rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    // From a thread of the pool, as if all of the program ran in `install`.
    rayon().install(|| {
        f("rayon par_iter", &mut |n, task| (0..n).into_par_iter().with_max_len(1).for_each(task));
    });
    rayon().install(|| {
        f("rayon scope", &mut |n, task| {
            rayon::scope(|s| (0..n).for_each(|i| s.spawn(move |_| task(i))));
        });
    });
    {
        // From any thread, as a library is called.
        let pool = rayon();
        f("rayon install", &mut |n, task| {
            pool.install(|| (0..n).into_par_iter().with_max_len(1).for_each(task));
        });
    }
    {
        let config = chili::Config { thread_count: threads.try_into().ok(), ..Default::default() };
        let pool = chili::ThreadPool::with_config(config);
        let mut scope = pool.scope();
        f("chili join", &mut |n, task| halve(&mut scope, 0, n, task));
    }
    {
        let mut pool = fork_union::ThreadPool::try_spawn(threads).unwrap();
        f("fork_union", &mut |n, task| drop(pool.for_n_dynamic(n, |prong| task(prong.task_index))));
    }
    f("std::thread::scope", &mut |n, task| {
        let next = AtomicUsize::new(0);
        let work = || {
            let mut i = next.fetch_add(1, Relaxed);
            while i < n {
                task(i);
                i = next.fetch_add(1, Relaxed);
            }
        };
        std::thread::scope(|s| {
            (1..threads.min(n)).for_each(|_| _ = s.spawn(work));
            work();
        });
    });
}

fn main() {
    let (asked, names): (Vec<_>, Vec<_>) = std::env::args().skip(1).partition(|a| a.parse::<usize>().is_ok());
    let asked: Vec<usize> = asked.iter().filter_map(|a| a.parse().ok()).collect();
    let wanted = |name: &str| names.is_empty() || names.iter().any(|n| name.contains(n));
    let asked = if asked.is_empty() { vec![2, 4] } else { asked };
    let five_us = calibrate();
    for threads in asked {
        let mut all: Vec<(&str, Times)> = Vec::new();
        for _ in 0..5 {
            contenders(threads, |name, run| {
                if !wanted(name) {
                    return;
                }
                if !all.iter().any(|(n, _)| *n == name) {
                    all.push((name, Times::default()));
                }
                let times = &mut all.iter_mut().find(|(n, _)| *n == name).unwrap().1;
                round(five_us, times, run);
            });
        }
        for (p, (pause, _)) in PAUSES.iter().enumerate() {
            println!("\n{threads} threads, {} µs between jobs: least / median, ns\n", pause.as_micros());
            println!("| | 2 empty tasks | 8 | 64 | 2 tasks of 5 µs |\n|---|---|---|---|---|");
            for (name, times) in &mut all {
                let mut line = format!("| {name} |");
                for times in times.iter_mut() {
                    times[p].sort_unstable();
                    line += &format!(" {} / {} |", times[p][0], times[p][times[p].len() / 2]);
                }
                println!("{line}");
            }
        }
    }
}
