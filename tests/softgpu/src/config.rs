//! Settings: from the environment when the library is first used, and at run time by `softgpu_set`.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Forward,
    Reverse,
    Random(u64),
}

impl Order {
    fn parse(s: &str) -> Option<Order> {
        match s {
            "forward" => Some(Order::Forward),
            "reverse" => Some(Order::Reverse),
            "random" => Some(Order::Random(0)),
            _ => s.strip_prefix("random:")?.parse().ok().map(Order::Random),
        }
    }
}

pub(crate) struct Config {
    pub sm: u32,
    pub memory: u64,
    pub devices: u32,
    pub order: Mutex<Order>,
    pub threads: AtomicU32,
    pub checks: AtomicBool,
    pub counters: AtomicBool,
    pub quiet: AtomicBool,
    /// Instructions a warp may run before its loop counts as endless.
    pub budget: AtomicU64,
}

fn env<T>(name: &str, default: T, parse: impl Fn(&str) -> Option<T>) -> T {
    match std::env::var(name) {
        Ok(v) => parse(v.trim()).unwrap_or_else(|| {
            eprintln!("softgpu: {name}={v} is not understood and ignored");
            default
        }),
        Err(_) => default,
    }
}

fn flag(s: &str) -> Option<bool> {
    match s {
        "1" | "on" | "true" => Some(true),
        "0" | "off" | "false" | "" => Some(false),
        _ => None,
    }
}

fn bytes(s: &str) -> Option<u64> {
    let (n, unit) = match s.trim_end_matches(['i', 'B', 'b']) {
        x if x.ends_with(['k', 'K']) => (&x[..x.len() - 1], 1 << 10),
        x if x.ends_with(['m', 'M']) => (&x[..x.len() - 1], 1 << 20),
        x if x.ends_with(['g', 'G']) => (&x[..x.len() - 1], 1 << 30),
        x => (x, 1),
    };
    n.trim().parse::<u64>().ok()?.checked_mul(unit)
}

const TARGETS: [u32; 12] = [50, 60, 61, 70, 75, 80, 86, 87, 89, 90, 100, 120];

pub(crate) fn config() -> &'static Config {
    static CONFIG: OnceLock<Config> = OnceLock::new();
    CONFIG.get_or_init(|| {
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get() as u32);
        Config {
            sm: env("SOFTGPU_SM", 80, |s| {
                s.trim_start_matches("sm_").parse().ok().filter(|n| TARGETS.contains(n))
            }),
            memory: env("SOFTGPU_MEMORY", 8 << 30, bytes),
            devices: env("SOFTGPU_DEVICES", 1, |s| s.parse().ok().filter(|n| *n <= 1)),
            order: Mutex::new(env("SOFTGPU_ORDER", Order::Forward, Order::parse)),
            threads: AtomicU32::new(env("SOFTGPU_THREADS", cores, threads).min(MAX_THREADS)),
            checks: AtomicBool::new(env("SOFTGPU_CHECKS", true, flag)),
            counters: AtomicBool::new(env("SOFTGPU_COUNTERS", false, flag)),
            quiet: AtomicBool::new(env("SOFTGPU_QUIET", false, flag)),
            budget: AtomicU64::new(env("SOFTGPU_BUDGET", 200_000_000, |s| s.parse().ok())),
        }
    })
}

/// Records of accesses have six bits for the worker.
pub(crate) const MAX_THREADS: u32 = 63;

fn threads(s: &str) -> Option<u32> {
    s.parse().ok().filter(|n| *n >= 1)
}

impl Config {
    pub(crate) fn order(&self) -> Order {
        *self.order.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Changes a setting. False: no such key, or a value that is not understood.
    pub(crate) fn set(&self, key: &str, value: &str) -> bool {
        match key {
            "order" => Order::parse(value).map(|o| *self.order.lock().unwrap_or_else(|e| e.into_inner()) = o),
            "threads" => threads(value).map(|n| self.threads.store(n.min(MAX_THREADS), Relaxed)),
            "checks" => flag(value).map(|b| self.checks.store(b, Relaxed)),
            "counters" => flag(value).map(|b| self.counters.store(b, Relaxed)),
            "quiet" => flag(value).map(|b| self.quiet.store(b, Relaxed)),
            "budget" => value.parse().ok().map(|n| self.budget.store(n, Relaxed)),
            _ => None,
        }
        .is_some()
    }
}
