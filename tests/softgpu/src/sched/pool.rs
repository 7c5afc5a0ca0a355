//! Host threads that run blocks: kept between launches, woken only for launches worth it.

use std::sync::atomic::Ordering::*;
use std::sync::{Arc, Condvar, Mutex, OnceLock};

use super::Launch;
use super::block::Worker;
use crate::config::config;
use crate::memory::Space;

/// A launch this small is done before a thread has woken up.
const SMALL: u64 = 2048;

struct Job {
    launch: Option<Arc<Launch>>,
    /// Rises with each job, so that a helper takes part once.
    number: u64,
    helpers: u32,
    busy: u32,
}

struct Pool {
    job: Mutex<Job>,
    wake: Condvar,
    done: Condvar,
    /// One launch runs at a time; the caller is worker 0.
    caller: Mutex<State>,
}

struct State {
    worker: Worker,
    clock: u64,
    launches: u64,
    started: u32,
}

fn pool() -> &'static Pool {
    static POOL: OnceLock<Pool> = OnceLock::new();
    POOL.get_or_init(|| Pool {
        job: Mutex::new(Job { launch: None, number: 0, helpers: 0, busy: 0 }),
        wake: Condvar::new(),
        done: Condvar::new(),
        caller: Mutex::new(State { worker: Worker::new(0), clock: 1, launches: 0, started: 0 }),
    })
}

/// Runs a kernel to its end. An error is the `CUresult` and the report.
pub(crate) fn launch(
    code: &Arc<crate::exec::code::Code>,
    grid: [u32; 3],
    block: [u32; 3],
    dynamic: u32,
    params: Vec<u8>,
    space: &'static Space,
) -> Result<(), (u32, String)> {
    let p = pool();
    let mut state = p.caller.lock().unwrap_or_else(|e| e.into_inner());
    state.launches += 1;
    let launch =
        Arc::new(Launch::new(code.clone(), grid, block, dynamic, params, space, state.clock, state.launches));
    let threads = config().threads.load(Relaxed).min(launch.log.len() as u32);
    let work = launch.blocks * u64::from(launch.threads());
    let helpers = if launch.blocks < 2 || work < SMALL && !code.has_loop {
        0
    } else {
        (threads - 1).min((launch.blocks - 1).min(63) as u32)
    };
    if helpers > 0 {
        while state.started < helpers {
            state.started += 1;
            let index = state.started;
            std::thread::Builder::new()
                .name(format!("softgpu-{index}"))
                .spawn(move || help(index))
                .map_err(|e| (999, format!("no thread could be started: {e}")))?;
        }
        let mut job = p.job.lock().unwrap_or_else(|e| e.into_inner());
        job.launch = Some(launch.clone());
        job.number += 1;
        job.helpers = helpers;
        drop(job);
        p.wake.notify_all();
    }
    let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| state.worker.run(&launch)));
    if ran.is_err() {
        launch.stop.store(true, SeqCst);
        state.worker = Worker::new(0);
    }
    if helpers > 0 {
        let mut job = p.job.lock().unwrap_or_else(|e| e.into_inner());
        // helpers that have not begun need not
        job.launch = None;
        while job.busy > 0 {
            job = p.done.wait(job).unwrap_or_else(|e| e.into_inner());
        }
    }
    if launch.count {
        crate::counters::record(&launch);
    }
    state.clock = launch.end_time.load(SeqCst) + 1;
    if ran.is_err() {
        return Err((999, format!("the software GPU itself failed in kernel {}", code.name)));
    }
    let fault = launch.fault.lock().unwrap_or_else(|e| e.into_inner()).take();
    fault.map_or(Ok(()), Err)
}

fn help(index: u32) {
    let p = pool();
    let mut worker = Worker::new(index);
    let mut seen = 0;
    loop {
        let launch = {
            let mut job = p.job.lock().unwrap_or_else(|e| e.into_inner());
            loop {
                if job.number != seen {
                    seen = job.number;
                    if index <= job.helpers
                        && let Some(l) = job.launch.clone()
                    {
                        job.busy += 1;
                        break l;
                    }
                }
                job = p.wake.wait(job).unwrap_or_else(|e| e.into_inner());
            }
        };
        let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| worker.run(&launch)));
        if ran.is_err() {
            launch.stop.store(true, SeqCst);
            let mut slot = launch.fault.lock().unwrap_or_else(|e| e.into_inner());
            if slot.is_none() {
                *slot = Some((999, format!("the software GPU itself failed in kernel {}", launch.code.name)));
            }
            drop(slot);
            worker = Worker::new(index);
        }
        drop(launch);
        let mut job = p.job.lock().unwrap_or_else(|e| e.into_inner());
        job.busy -= 1;
        drop(job);
        p.done.notify_all();
    }
}
