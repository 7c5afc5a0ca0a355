//! Threads: the one entry through which every op of this backend uses more than one core.
//!
//! A [`Pool`] keeps its threads between calls. [`Pool::run`] opens a job, takes part in it, closes it and waits for
//! those inside: one fork and join, without an allocation.
//!
//! **Each thread has tasks of its own**, a range of neighbours, and the same ones in every job with as many tasks: what
//! it wrote in one op it finds in its own cache in the next. Only who has finished, and waited for a while, takes tasks
//! of others, one by one, so a thread that the system has put aside delays nobody but itself.
//!
//! **Which thread does a task never shows in the result.** An op cuts its work at boundaries that the sizes alone
//! decide ([`rows_per_task`]); what a task computes depends on its number only. The bits are the same on 1 thread and
//! on 64.
//!
//! ```text
//! state   | round : 31 | open : 1 | workers inside : 32 |
//!
//! caller  write job, open ── take tasks ── close ── wait until nobody is inside ── job is gone
//! worker  spin, then sleep until a new round is open ── enter ── take tasks ── leave
//! ```

use crate::error::{Error, Result};
use crate::tensor::Line;
use std::any::Any;
use std::cell::{RefCell, UnsafeCell};
use std::marker::PhantomData;
use std::num::NonZero;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::*};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The most threads that a pool takes: more is a slip of the keyboard.
const MAX_THREADS: usize = 1024;
/// How long a worker looks out for the next job before it sleeps. Ops of one training step follow each other within
/// a few microseconds; waking a sleeper costs about as much as this.
const LOOKOUT: Duration = Duration::from_micros(50);
/// How long a thread that is done waits before it takes tasks that belong to others. Their data are in the other's
/// cache, and to fetch them from there, and back for the next op, costs several times what a small task does.
const PATIENCE: Duration = Duration::from_micros(10);
/// Looks at the state in a row, before a look at the clock or a `yield`, which takes so long that a job begins and ends
/// half a microsecond late: some 5 µs, as long as a step's work between two jobs ...
const SPINS: usize = 256;
/// ... or, where threads must share a core, as few as it takes not to keep the others from it. So many, too, between two
/// looks at how long we have been patient.
const SPINS_IN_TURN: usize = 32;

/// Work below this many simple operations (an element loaded, computed and stored) stays on one thread.
pub(crate) const GRAIN: usize = 16 * 1024;
/// The most tasks that [`rows_per_task`] cuts.
const MAX_TASKS: usize = 64;

/// Rows of one task, so that a task has at least [`GRAIN`] operations, at `work` operations a row, and there are at
/// most 64 tasks. Depends on the sizes alone. Never 0.
pub(crate) fn rows_per_task(rows: usize, work: usize) -> usize {
    let tasks = (rows.saturating_mul(work) / GRAIN).clamp(1, MAX_TASKS);
    rows.div_ceil(tasks).max(1)
}

/// Floats of a thread's [`with_own`] memory: two megabytes, of which the system gives as much as is touched.
pub(crate) const OWN: usize = 512 * 1024;
/// Floats of it that L2 holds beside what else an op reads: a quarter of a megabyte.
pub(crate) const IN_L2: usize = 64 * 1024;
/// Floats of a thread's [`with_shared`] memory: two megabytes, of which the system gives as much as is touched.
pub(crate) const SHARED: usize = 512 * 1024;

thread_local! {
    static OWN_MEMORY: RefCell<Vec<Line>> = RefCell::new(bytemuck::zeroed_vec(OWN / 16));
    static SHARED_MEMORY: RefCell<Vec<Line>> = RefCell::new(bytemuck::zeroed_vec(SHARED / 16));
}

/// Lends a task [`OWN`] floats that belong to its thread, at a cache line's boundary. They hold anything.
/// Workers have theirs from the start and a caller from its first job on, so that later jobs allocate nothing.
pub(crate) fn with_own<R>(f: impl FnOnce(&mut [f32]) -> R) -> R {
    OWN_MEMORY.with(|m| f(bytemuck::cast_slice_mut(&mut m.borrow_mut())))
}

/// Lends the caller of a job [`SHARED`] floats to prepare what its tasks will read. They hold anything.
pub(crate) fn with_shared<R>(f: impl FnOnce(&mut [f32]) -> R) -> R {
    SHARED_MEMORY.with(|m| f(bytemuck::cast_slice_mut(&mut m.borrow_mut())))
}

const OPEN: u64 = 1 << 32;
const ROUND: u64 = 1 << 33;
const INSIDE: u64 = OPEN - 1;
/// Tasks of one job that a counter holds; the job's number is behind them.
const JOB: u64 = 1 << 24;

type Task<'a> = &'a (dyn Fn(usize) + Sync);

/// On a cache line of its own, so that threads that write it do not disturb the neighbours' readers.
#[repr(align(128))]
struct Padded<T>(T);

/// What the threads share.
struct Shared {
    /// See the [module](self).
    state: Padded<AtomicU64>,
    /// How many of each thread's own tasks are taken, behind the number of the job: job · 2²⁴ + taken. One that still
    /// has another job's number stands for none, so nobody has to reset them.
    taken: Box<[Padded<AtomicU64>]>,
    /// Written by the caller while the state is closed and nobody is inside; read by those inside.
    job: UnsafeCell<Job>,
    /// [`SPINS`] or [`SPINS_IN_TURN`].
    spins: usize,
    /// Sleeping workers: counted so that an awake pool costs no system call.
    sleepers: AtomicUsize,
    sleep: Mutex<()>,
    wake: Condvar,
    /// A task of this round has panicked: the rest is dropped.
    failed: AtomicBool,
    /// The first task that panicked in this round.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    stop: AtomicBool,
}

/// A job of one round. The lifetime of the task is erased; the round's end keeps it honest.
#[derive(Clone, Copy)]
struct Job {
    task: Task<'static>,
    tasks: usize,
    number: u64,
}

// SAFETY: `job` alone keeps this from being automatic. It is written only while no other thread may read it (the state
// is closed with nobody inside, and `Pool::busy` admits one caller), and what it refers to is `Sync`.
unsafe impl Sync for Shared {}
// SAFETY: all fields may move between threads; `job` refers to a `Sync` closure.
unsafe impl Send for Shared {}

impl Shared {
    /// Does the tasks of thread `me`, then those that others have not begun. After a panic the rest of the round is
    /// dropped.
    fn work(&self, me: usize, job: Job) {
        let parts = self.taken.len().min(job.tasks);
        let mut free = None;
        for of in (me..parts).chain(0..me.min(parts)) {
            let (start, end) = (of * job.tasks / parts, (of + 1) * job.tasks / parts);
            if of != me && self.all_begun(of, job.number, end - start, &mut free) {
                continue;
            }
            while let Some(i) = self.take(of, job.number, end - start) {
                if self.failed.load(Relaxed) {
                    return;
                }
                if let Err(payload) = catch_unwind(AssertUnwindSafe(|| (job.task)(start + i))) {
                    self.failed.store(true, Relaxed);
                    self.panic.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(payload);
                }
            }
        }
    }

    /// Whether thread `of` has begun all of its `len` tasks: waits for it, but not longer than [`PATIENCE`] after `free`,
    /// which is when we first had to wait in this job.
    fn all_begun(&self, of: usize, number: u64, len: usize, free: &mut Option<Instant>) -> bool {
        let begun = || {
            let taken = self.taken[of].0.load(Relaxed);
            taken / JOB == number && (taken % JOB) as usize >= len
        };
        loop {
            if (0..SPINS_IN_TURN).any(|_| begun() || (std::hint::spin_loop(), false).1) {
                return true;
            }
            if free.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
                return false;
            }
            // With a core for each thread, a yield gives it to a neighbour's program, for longer than most jobs take.
            if self.spins < SPINS {
                thread::yield_now();
            }
        }
    }

    /// Takes the next of the `len` tasks of job `number` that belong to thread `of`.
    fn take(&self, of: usize, number: u64, len: usize) -> Option<usize> {
        let none = number * JOB;
        let count = |taken: u64| if taken / JOB == number { (taken % JOB) as usize } else { 0 };
        let more = |taken: u64| (count(taken) < len).then(|| none + count(taken) as u64 + 1);
        self.taken[of].0.fetch_update(Relaxed, Relaxed, more).ok().map(count)
    }

    /// The life of worker `me`.
    fn serve(&self, me: usize) {
        OWN_MEMORY.with(|_| ()); // made now
        let mut seen = 0;
        while let Some(round) = self.await_round(seen) {
            seen = round;
            if self.enter(round) {
                // SAFETY: we are inside, and the caller writes the job only while nobody is. Entering (acquire)
                // follows opening (release), which follows the write.
                self.work(me, unsafe { *self.job.get() });
                self.state.0.fetch_sub(1, Release);
            }
        }
    }

    /// The number of a round other than `seen`, which may be over by now: then it was too short for us, but shows that
    /// there is work, and that we should look out further. `None` when the pool ends.
    fn await_round(&self, seen: u64) -> Option<u64> {
        let ready = || {
            let round = self.state.0.load(SeqCst) / ROUND;
            (round != seen || self.stop.load(SeqCst)).then_some(round)
        };
        let looks = || (0..self.spins).find_map(|_| ready().or_else(|| (std::hint::spin_loop(), None).1));
        let mut found = looks();
        if found.is_none() {
            let start = Instant::now();
            while found.is_none() && start.elapsed() < LOOKOUT {
                thread::yield_now();
                found = looks();
            }
        }
        if found.is_none() {
            // Counted as a sleeper before the last look: either that look sees the new round, or the caller who
            // opened it sees a sleeper, and then waits for this lock until we are really asleep.
            let mut guard = self.sleep.lock().unwrap_or_else(PoisonError::into_inner);
            self.sleepers.fetch_add(1, SeqCst);
            loop {
                found = ready();
                if found.is_some() {
                    break;
                }
                guard = self.wake.wait(guard).unwrap_or_else(PoisonError::into_inner);
            }
            self.sleepers.fetch_sub(1, SeqCst);
        }
        found.filter(|_| !self.stop.load(SeqCst))
    }

    /// Joins `round` if it is still open.
    fn enter(&self, round: u64) -> bool {
        let open = |state: u64| (state / ROUND == round && state & OPEN != 0).then_some(state + 1);
        self.state.0.fetch_update(Acquire, Relaxed, open).is_ok()
    }

    fn wake(&self, at_most: usize) {
        if self.sleepers.load(SeqCst) > 0 {
            drop(self.sleep.lock().unwrap_or_else(PoisonError::into_inner));
            match at_most < self.sleepers.load(SeqCst) {
                true => (0..at_most).for_each(|_| self.wake.notify_one()),
                false => self.wake.notify_all(),
            }
        }
    }
}

/// How many threads the system lets us run at once.
fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// Threads that wait for work. Dropping the pool ends them.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    /// Held by the one caller whose job the workers have.
    busy: AtomicBool,
    workers: Vec<JoinHandle<()>>,
}

impl Pool {
    /// `threads` threads, the caller's included; one a core if `None`.
    ///
    /// # Errors
    /// 0 threads or more than 1024, or the system grants no more.
    pub(crate) fn new(threads: Option<usize>) -> Result<Pool> {
        let threads = match threads {
            Some(0) => return Err(Error::invalid("0 threads cannot compute", "ask for 1 thread or more")),
            Some(n) if n > MAX_THREADS => {
                let problem = format!("{n} threads are more than the {MAX_THREADS} that a pool takes");
                return Err(Error::invalid(
                    problem,
                    "ask for one thread a core; more only slow each other down",
                ));
            }
            Some(n) => n,
            None => cores().min(MAX_THREADS),
        };
        let shared = Arc::new(Shared {
            state: Padded(AtomicU64::new(0)),
            taken: (0..threads).map(|_| Padded(AtomicU64::new(0))).collect(),
            job: UnsafeCell::new(Job { task: &|_| (), tasks: 0, number: 0 }),
            spins: if threads <= cores() { SPINS } else { SPINS_IN_TURN },
            sleepers: AtomicUsize::new(0),
            sleep: Mutex::new(()),
            wake: Condvar::new(),
            failed: AtomicBool::new(false),
            panic: Mutex::new(None),
            stop: AtomicBool::new(false),
        });
        let mut pool = Pool { shared, busy: AtomicBool::new(false), workers: Vec::new() };
        for i in 1..threads {
            let shared = pool.shared.clone();
            let worker = thread::Builder::new().name(format!("handgrad-{i}")).spawn(move || shared.serve(i));
            pool.workers.push(worker.map_err(|e| Error::Device {
                problem: format!("the system refused thread {i} of {threads}: {e}"),
                hint: "ask for fewer threads".into(),
            })?);
        }
        Ok(pool)
    }

    /// How many threads compute, the caller's included.
    pub(crate) fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `task(i)` for every i in 0..tasks, in any order, on any of the threads; returns when all are done.
    ///
    /// A task that panics makes this call panic in turn, once no thread works on the job any more. A call from inside
    /// a task, or while another thread's job is running, does its tasks alone.
    pub(crate) fn run(&self, tasks: usize, task: Task) {
        let alone = tasks < 2 || self.workers.is_empty() || tasks as u64 >= JOB;
        if alone || self.busy.swap(true, Acquire) {
            return (0..tasks).for_each(task);
        }
        OWN_MEMORY.with(|_| ()); // made now, if this is the caller's first job
        let s = &*self.shared;
        // SAFETY: the reference lives on beyond its lifetime in `Shared::job` alone, where only threads inside the
        // round read it; we return after the round is closed and nobody is inside. `work` lets no panic out.
        let task = unsafe { std::mem::transmute::<Task<'_>, Task<'static>>(task) };
        // SAFETY: `busy` is ours, and the round before ended closed with nobody inside: nobody else reads or writes.
        let job = unsafe {
            let number = (*s.job.get()).number.wrapping_add(1) % (u64::MAX / JOB);
            s.job.get().write(Job { task, tasks, number });
            *s.job.get()
        };
        s.state.0.fetch_add(ROUND + OPEN, SeqCst);
        s.wake(tasks - 1);
        s.work(0, job);

        // As above: with a core for each thread, only after a third of a millisecond.
        let in_a_row = if s.spins < SPINS { s.spins } else { 64 * SPINS };
        let mut looks = 0;
        s.state.0.fetch_and(!OPEN, SeqCst);
        while s.state.0.load(Acquire) & INSIDE != 0 {
            looks += 1;
            if looks % in_a_row != 0 { std::hint::spin_loop() } else { thread::yield_now() }
        }
        let panic = match s.failed.swap(false, Relaxed) {
            true => s.panic.lock().unwrap_or_else(PoisonError::into_inner).take(),
            false => None,
        };
        self.busy.store(false, Release);
        if let Some(payload) = panic {
            resume_unwind(payload);
        }
    }

    /// Cuts `y` into pieces of `chunk` elements (the last may be shorter) and calls `task(i, piece)` for each, as
    /// [`run`](Pool::run) does. Piece i begins at element `i · chunk`.
    pub(crate) fn run_chunks<T: Send>(
        &self,
        y: &mut [T],
        chunk: usize,
        task: impl Fn(usize, &mut [T]) + Sync,
    ) {
        let (len, chunk) = (y.len(), chunk.max(1));
        let y = Pieces::new(y);
        self.run(len.div_ceil(chunk), &|i| {
            // SAFETY: tasks have different i, and pieces of different i do not overlap.
            task(i, unsafe { y.piece(i * chunk..len.min(i * chunk + chunk)) });
        });
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, SeqCst);
        self.shared.wake(usize::MAX);
        for worker in self.workers.drain(..) {
            let _ = worker.join(); // a worker catches its tasks' panics: there is nothing to hear
        }
    }
}

/// A slice whose parts are lent to different tasks: for ops that write more than one output at once.
pub(crate) struct Pieces<'a, T> {
    start: *mut T,
    len: usize,
    lent: PhantomData<&'a mut [T]>,
}

// SAFETY: a `Pieces` only hands out `&mut [T]`, which may go to another thread if T may; that they do not overlap is
// the promise of who calls `piece`.
unsafe impl<T: Send> Sync for Pieces<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Send for Pieces<'_, T> {}

impl<'a, T> Pieces<'a, T> {
    /// Where the slice begins.
    pub(crate) fn start(&self) -> *mut T {
        self.start
    }

    /// How long the slice is.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn new(slice: &'a mut [T]) -> Pieces<'a, T> {
        Pieces { start: slice.as_mut_ptr(), len: slice.len(), lent: PhantomData }
    }

    /// The elements `range`.
    ///
    /// # Panics
    /// If the range leaves the slice.
    ///
    /// # Safety
    /// As long as the returned slice lives, nobody else may have a piece that overlaps it.
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn piece(&self, range: Range<usize>) -> &mut [T] {
        assert!(range.start <= range.end && range.end <= self.len, "a piece outside its slice");
        // SAFETY: the range lies inside the slice that `new` borrowed for 'a; the caller promises that it is not lent
        // twice.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every task runs exactly once, for any number of threads and of tasks, none included, call after call.
    #[test]
    fn every_task_runs_once() {
        for threads in [1, 2, 3, 19] {
            let pool = Pool::new(Some(threads)).unwrap();
            assert_eq!(pool.threads(), threads);
            for tasks in (0..40).chain([1000]) {
                let counts: Vec<_> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
                pool.run(tasks, &|i| {
                    counts[i].fetch_add(1, Relaxed);
                });
                assert!(counts.iter().all(|c| c.load(Relaxed) == 1), "{threads} threads, {tasks} tasks");
            }
        }
    }

    /// A sleeping pool wakes: each call comes after the workers' lookout is over.
    #[test]
    fn sleepers_wake_up() {
        let pool = Pool::new(Some(3)).unwrap();
        for _ in 0..20 {
            thread::sleep(LOOKOUT * 4);
            // Two tasks that wait for each other: without a second thread they would never end.
            let met = AtomicUsize::new(0);
            pool.run(2, &|_| {
                met.fetch_add(1, SeqCst);
                while met.load(SeqCst) < 2 {
                    thread::yield_now();
                }
            });
        }
    }

    /// What a thread wrote in one job it gets to read in the next: tasks belong to threads by their numbers, as long as
    /// nobody is late.
    #[test]
    fn tasks_keep_to_their_threads() {
        let pool = Pool::new(Some(2)).unwrap();
        let caller = thread::current().id();
        for _ in 0..100 {
            let (met, by_caller) = (AtomicUsize::new(0), AtomicUsize::new(0));
            pool.run(6, &|i| {
                if i % 3 == 0 {
                    // Both threads are here before either goes on, so neither can take the other's tasks in the meantime.
                    met.fetch_add(1, SeqCst);
                    while met.load(SeqCst) < 2 {
                        thread::yield_now();
                    }
                    assert_eq!(thread::current().id() == caller, i == 0, "task {i}");
                }
                by_caller.fetch_add(usize::from(thread::current().id() == caller), Relaxed);
            });
            assert!((1..6).contains(&by_caller.into_inner()));
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_lives_on() {
        let pool = Pool::new(Some(4)).unwrap();
        for bad in [0, 7, 31] {
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                pool.run(32, &|i| assert!(i != bad, "task {i} fails"));
            }));
            let message = outcome.unwrap_err();
            assert_eq!(*message.downcast::<String>().unwrap(), format!("task {bad} fails"));
            let sum = AtomicUsize::new(0);
            pool.run(10, &|i| {
                sum.fetch_add(i, Relaxed);
            });
            assert_eq!(sum.into_inner(), 45);
        }
    }

    /// From inside a task, and from several threads at once.
    #[test]
    fn nested_and_concurrent_calls_end() {
        let pool = Pool::new(Some(4)).unwrap();
        let sum = AtomicUsize::new(0);
        thread::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| {
                    for _ in 0..50 {
                        pool.run(8, &|_| {
                            pool.run(8, &|j| {
                                sum.fetch_add(j, Relaxed);
                            })
                        });
                    }
                });
            }
        });
        assert_eq!(sum.into_inner(), 4 * 50 * 8 * 28);
    }

    #[test]
    fn chunks_cover_the_slice() {
        let pool = Pool::new(Some(3)).unwrap();
        for (len, chunk) in [(0, 4), (1, 4), (4, 4), (1003, 17), (5, 0)] {
            let mut y = vec![0; len];
            pool.run_chunks(&mut y, chunk, |i, part| {
                for (k, v) in part.iter_mut().enumerate() {
                    *v += i * chunk.max(1) + k;
                }
            });
            assert!(y.iter().enumerate().all(|(i, &v)| i == v));
        }
    }

    #[test]
    fn impossible_numbers_of_threads_are_errors() {
        assert!(Pool::new(Some(0)).is_err());
        assert!(Pool::new(Some(1 << 40)).is_err());
        assert!(Pool::new(None).is_ok());
    }

    #[test]
    fn small_work_is_one_task() {
        assert_eq!(rows_per_task(32, 100), 32);
        assert_eq!(rows_per_task(0, 100), 1);
        assert_eq!(rows_per_task(1000, GRAIN), 16);
        assert_eq!(rows_per_task(4, GRAIN), 1);
    }
}
