//! Threads.
use crate::error::{Error, Result};

/// A pool of threads. (Written by the first commit as one thread; see the next.)
pub(crate) struct Pool {
    threads: usize,
}

impl Pool {
    pub(crate) fn new(threads: Option<usize>) -> Result<Pool> {
        match threads {
            Some(0) => Err(Error::invalid("0 threads cannot compute", "give --threads 1 or more")),
            _ => Ok(Pool { threads: 1 }),
        }
    }

    pub(crate) fn threads(&self) -> usize {
        self.threads
    }

    /// Calls `task(i)` for every i in 0..tasks, in any order, on any of the threads; returns when all are done.
    pub(crate) fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        (0..tasks).for_each(task);
    }
}
