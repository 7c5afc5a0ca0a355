//! The device's one queue of work: launches, steps recorded into graphs, and copies.
//!
//! Everything goes through one stream, so that everything runs in the order in which it was asked for.
//!
//! **A training step becomes a graph.** Between `begin_step` and `end_step` launches are not handed to the driver but
//! noted. At the end the list is compared with those of earlier steps. A list that is new is launched kernel by kernel;
//! one that comes the second time is built into a graph; from the third time on the whole step is one call of the
//! driver. Kernels whose arguments changed since (a step's number in the dropout mask, Adam's step size) get the new
//! ones first, node by node.
//!
//! In the graph a kernel waits for those only whose numbers it needs; see `order`. What has nothing to do with each other
//! (dW and dx, the metrics and the way back, one parameter's update and the next one's) runs side by side.

use super::abi::Args;
use super::driver::{Context, failed};
use super::module::Function;
use super::order::{Allocations, waits};
use crate::error::Result;
use cudarc::driver::{result, sys};
use std::mem::MaybeUninit;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many blocks of how many threads, and how many bytes of dynamic shared memory each block has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grid {
    pub(super) blocks: [u32; 3],
    pub(super) threads: [u32; 3],
    pub(super) shared: u32,
}

impl Grid {
    /// Threads in a block, where the kernel does not care.
    pub(super) const BLOCK: u32 = 256;
    /// Blocks of a grid-stride loop at most: a few for each multiprocessor of the largest GPU.
    const MOST: usize = 2048;

    pub(super) fn new(blocks: [u32; 3], threads: [u32; 3]) -> Grid {
        Grid { blocks, threads, shared: 0 }
    }

    /// For a grid-stride loop over `n` elements. `n` must not be 0: a grid has at least one block.
    pub(super) fn elements(n: usize) -> Grid {
        let blocks = n.div_ceil(Grid::BLOCK as usize).clamp(1, Grid::MOST) as u32;
        Grid::new([blocks, 1, 1], [Grid::BLOCK, 1, 1])
    }

    /// With `bytes` of dynamic shared memory for each block.
    pub(super) fn shared(self, bytes: usize) -> Grid {
        Grid { shared: bytes as u32, ..self }
    }
}

/// A kernel with everything that it needs to run.
#[derive(Clone, Copy)]
struct Launch {
    function: Function,
    grid: Grid,
    args: Args,
}

impl Launch {
    /// Whether only the arguments differ.
    fn is_like(&self, other: &Launch) -> bool {
        self.function.raw == other.function.raw && self.grid == other.grid
    }
}

/// How many different steps are remembered: full batches, the last short one, and the same of another model.
const STEPS: usize = 6;

/// A list of launches that was seen before, and its graph once it came again.
struct Step {
    launches: Vec<Launch>,
    graph: Option<Graph>,
}

/// Kernels that the driver launches at once.
pub(super) struct Graph {
    graph: sys::CUgraph,
    nodes: Vec<sys::CUgraphNode>,
    /// For each node those that it waits for, and the state of the allocations that this holds for.
    waits: Vec<Vec<usize>>,
    changes: u64,
    exec: sys::CUgraphExec,
}

#[derive(Default)]
struct Queue {
    /// The launches of the step that is being recorded; `None` outside of steps, when launches go to the driver.
    recording: Option<Vec<Launch>>,
    /// The list that the next step is recorded into, empty, kept for its memory.
    spare: Vec<Launch>,
    steps: Vec<Step>,
    staging: Staging,
}

/// Buffers of page-locked memory on the way to the device. A buffer is written again once the copy from it is done.
/// There are as many as steps are under way; only when there are too many does somebody wait.
#[derive(Default)]
struct Staging {
    slots: Vec<Slot>,
    next: usize,
}

struct Slot {
    memory: *mut u8,
    bytes: usize,
    copied: sys::CUevent,
}

impl Staging {
    const SLOTS: usize = 16;
    /// Larger copies go in pieces.
    const LARGEST: usize = 4 << 20;
}

/// The queue of one device.
pub(super) struct Stream {
    pub(super) context: Arc<Context>,
    raw: sys::CUstream,
    queue: Mutex<Queue>,
    /// Which addresses are one tensor's.
    pub(super) order: Allocations,
}

// SAFETY: the driver's handles may be used from any thread; the rest is behind the lock.
unsafe impl Send for Stream {}
// SAFETY: as above.
unsafe impl Sync for Stream {}

impl Stream {
    pub(super) fn new(context: Arc<Context>) -> Result<Stream> {
        let raw = result::stream::create(result::stream::StreamKind::NonBlocking)
            .map_err(|e| failed("create a stream", e))?;
        Ok(Stream { context, raw, queue: Mutex::default(), order: Allocations::default() })
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // A panic while it was held left at most a step half recorded, which the next one starts anew.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a kernel after all that was asked for before. Allocates nothing once a step has been recorded.
    pub(super) fn launch(&self, function: &Function, grid: Grid, fill: impl FnOnce(&mut Args)) -> Result<()> {
        let mut args = Args::new();
        fill(&mut args);
        let launch = Launch { function: *function, grid, args };
        match &mut self.queue().recording {
            Some(list) => {
                list.push(launch);
                Ok(())
            }
            None => self.run(&launch),
        }
    }

    /// Hands one launch to the driver.
    fn run(&self, launch: &Launch) -> Result<()> {
        let Launch { function, grid, args } = launch;
        self.context.bind()?;
        let ([bx, by, bz], [tx, ty, tz]) = (grid.blocks, grid.threads);
        let mut pointers = args.pointers();
        grid.allow_shared(function)?;
        // SAFETY: build.rs made the arguments' types from the kernel's own declaration; tensors that the pointers lead
        // to outlive the launch, since freeing one waits for the device.
        unsafe {
            let (blocks, threads) = ((bx, by, bz), (tx, ty, tz));
            result::launch_kernel(function.raw, blocks, threads, grid.shared, self.raw, &mut pointers)
        }
        .map_err(|e| failed(&format!("run the kernel `{}`", function.name), e))
    }

    /// From here to `end_step` launches belong to one step.
    pub(super) fn begin_step(&self) -> Result<()> {
        let queue = &mut *self.queue();
        self.flush(queue)?; // a step that an error has cut short
        queue.recording = Some(std::mem::take(&mut queue.spare));
        Ok(())
    }

    /// Runs what was recorded.
    pub(super) fn end_step(&self) -> Result<()> {
        let queue = &mut *self.queue();
        let Some(list) = queue.recording.take() else { return Ok(()) };
        let done = self.replay(&mut queue.steps, &list);
        queue.spare = list;
        queue.spare.clear();
        done
    }

    /// Runs the launches of a step, as a graph if the same step was seen before.
    fn replay(&self, steps: &mut Vec<Step>, list: &[Launch]) -> Result<()> {
        let same = |s: &Step| {
            s.launches.len() == list.len() && s.launches.iter().zip(list).all(|(a, b)| a.is_like(b))
        };
        self.context.bind()?;
        let Some(at) = steps.iter().position(same) else {
            if steps.len() == STEPS {
                steps.remove(0);
            }
            steps.push(Step { launches: list.to_vec(), graph: None });
            return list.iter().try_for_each(|launch| self.run(launch));
        };
        steps[at..].rotate_left(1); // the latest used is the last to be forgotten
        let Some(step) = steps.last_mut() else { return Ok(()) };
        // Numbers may change, and places, as long as nobody waits for another than before.
        let changes = self.order.lock().changes();
        let moved = step.launches.iter().zip(list).any(|(a, b)| !a.args.places().eq(b.args.places()));
        let fits = |graph: &Graph| (!moved && graph.changes == changes) || graph.waits == self.waits(list);
        match &mut step.graph {
            Some(graph) if fits(graph) => {
                graph.changes = changes;
                for ((old, new), &node) in step.launches.iter_mut().zip(list).zip(&graph.nodes) {
                    if old.args != new.args {
                        graph.change(node, new)?;
                        *old = *new;
                    }
                }
            }
            _ => {
                step.graph = Some(Graph::new(list, self.waits(list), changes)?);
                step.launches.copy_from_slice(list);
            }
        }
        let Some(graph) = &step.graph else { return Ok(()) };
        self.play(graph)
    }

    /// For each launch those of the list that it waits for.
    fn waits(&self, list: &[Launch]) -> Vec<Vec<usize>> {
        let allocations = self.order.lock();
        let tensors = |launch: &Launch| {
            let places = launch.args.places();
            places.map(|(at, writes)| (allocations.tensor(at), writes)).collect::<Vec<_>>()
        };
        waits(list.iter().map(tensors))
    }

    /// What `work` asks the driver for on this stream, itself and not through us, as a graph.
    pub(super) fn capture(&self, work: impl FnOnce() -> Result<()>) -> Result<Graph> {
        let problem = |e| failed("capture a graph", e);
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_RELAXED;
        // SAFETY: the stream lives; what was captured is destroyed with the graph.
        unsafe {
            result::stream::begin_capture(self.raw, mode).map_err(problem)?;
            let worked = work();
            let graph = result::stream::end_capture(self.raw).map_err(problem)?;
            let (nodes, waits, exec) = (Vec::new(), Vec::new(), std::ptr::null_mut());
            let mut graph = Graph { graph, nodes, waits, changes: 0, exec };
            worked?;
            let flags = sys::CUgraphInstantiate_flags(0);
            graph.exec = result::graph::instantiate(graph.graph, flags).map_err(problem)?;
            Ok(graph)
        }
    }

    /// Launches a graph after all that was asked for before.
    pub(super) fn play(&self, graph: &Graph) -> Result<()> {
        // SAFETY: graph and stream live.
        unsafe { result::graph::launch(graph.exec, self.raw) }.map_err(|e| failed("launch a graph", e))
    }

    /// Hands over what was recorded so far; the rest of the step is launched as it comes.
    fn flush(&self, queue: &mut Queue) -> Result<()> {
        self.context.bind()?;
        let Some(list) = queue.recording.take() else { return Ok(()) };
        let done = list.iter().try_for_each(|launch| self.run(launch));
        queue.spare = list;
        queue.spare.clear();
        done
    }

    /// Waits until the device has done all that was asked for.
    pub(super) fn synchronize(&self) -> Result<()> {
        self.flush(&mut self.queue())?;
        self.wait()
    }

    fn wait(&self) -> Result<()> {
        // SAFETY: the stream lives.
        unsafe { result::stream::synchronize(self.raw) }.map_err(|e| failed("finish its work", e))
    }

    /// Copies `out.len()` bytes of the device to the host, after all that was asked for before. Waits.
    pub(super) fn read(&self, from: u64, out: &mut [u8]) -> Result<()> {
        self.flush(&mut self.queue())?;
        if out.is_empty() {
            return Ok(());
        }
        // SAFETY: the caller owns `out.len()` bytes at `from`; `out` is not touched before the wait below.
        unsafe { result::memcpy_dtoh_async(out, from, self.raw) }
            .map_err(|e| failed("copy to the host", e))?;
        self.wait()
    }

    /// Copies `bytes` bytes to the device, which `fill` writes piece by piece: `fill(start, piece)`.
    /// Returns at once; the copy runs after all that was asked for before.
    pub(super) fn write(&self, to: u64, bytes: usize, mut fill: impl FnMut(usize, &mut [u8])) -> Result<()> {
        let queue = &mut *self.queue();
        self.flush(queue)?;
        for start in (0..bytes).step_by(Staging::LARGEST) {
            let len = (bytes - start).min(Staging::LARGEST);
            let slot = queue.staging.slot(len).map_err(|e| failed("lock memory of the host", e))?;
            // SAFETY: the slot has at least `len` bytes, and the last copy from it is done.
            let piece = unsafe { std::slice::from_raw_parts_mut(slot.memory, len) };
            fill(start, piece);
            // SAFETY: the caller owns the memory at `to`; the slot is not written before its event has passed.
            unsafe {
                result::memcpy_htod_async(to + start as u64, piece, self.raw)
                    .and_then(|()| result::event::record(slot.copied, self.raw))
            }
            .map_err(|e| failed("copy to the device", e))?;
        }
        Ok(())
    }

    /// Sets bytes of the device to 0, after all that was asked for before.
    pub(super) fn clear(&self, at: u64, bytes: usize) -> Result<()> {
        self.flush(&mut self.queue())?;
        // SAFETY: the caller owns the memory.
        unsafe { result::memset_d8_async(at, 0, bytes, self.raw) }.map_err(|e| failed("clear memory", e))
    }

    /// Finishes all work and forgets the recorded steps, before the kernels that they launch are unloaded.
    pub(super) fn forget(&self) {
        let _ = self.synchronize();
        self.queue().steps.clear();
    }

    /// The driver's handle.
    pub(super) fn raw(&self) -> sys::CUstream {
        self.raw
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let _ = self.synchronize();
        // Graphs and staging buffers go before the stream they were used in.
        *self.queue() = Queue::default();
        // SAFETY: created once, destroyed once; its work is done.
        let _ = unsafe { result::stream::destroy(self.raw) };
    }
}

impl Grid {
    /// Above 48 KB, a kernel must be allowed its dynamic shared memory first.
    fn allow_shared(&self, function: &Function) -> Result<()> {
        if self.shared <= 48 << 10 {
            return Ok(());
        }
        let attribute = sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        // SAFETY: the function lives.
        unsafe { result::function::set_function_attribute(function.raw, attribute, self.shared as i32) }
            .map_err(|e| {
                failed(
                    &format!("give the kernel `{}` {} bytes of shared memory", function.name, self.shared),
                    e,
                )
            })
    }
}

impl Staging {
    /// A buffer of at least `bytes` bytes from which nothing is being copied any more.
    fn slot(&mut self, bytes: usize) -> std::result::Result<&mut Slot, result::DriverError> {
        // SAFETY: the events live; one that was never recorded has passed.
        let free = |s: &Slot| s.bytes >= bytes && unsafe { result::event::query(s.copied) }.is_ok();
        let fitting =
            (0..self.slots.len()).filter(|&i| free(&self.slots[i])).min_by_key(|&i| self.slots[i].bytes);
        let at = match fitting {
            Some(at) => at,
            None if self.slots.len() < Staging::SLOTS => {
                self.slots.reserve_exact(Staging::SLOTS - self.slots.len());
                self.slots.push(Slot::new()?);
                self.slots.len() - 1
            }
            None => {
                self.next = (self.next + 1) % Staging::SLOTS;
                self.next
            }
        };
        let slot = &mut self.slots[at];
        slot.make_room(bytes)?;
        Ok(slot)
    }
}

impl Slot {
    fn new() -> std::result::Result<Slot, result::DriverError> {
        let copied = result::event::create(sys::CUevent_flags::CU_EVENT_DISABLE_TIMING)?;
        Ok(Slot { memory: std::ptr::null_mut(), bytes: 0, copied })
    }

    /// Waits until the last copy is done, and makes the buffer larger if it is too small.
    fn make_room(&mut self, bytes: usize) -> std::result::Result<(), result::DriverError> {
        // SAFETY: the event lives. The memory is freed once, after the last copy from it, and not used after.
        unsafe {
            result::event::synchronize(self.copied)?;
            if self.bytes < bytes {
                if !self.memory.is_null() {
                    result::free_host(self.memory.cast())?;
                    (self.memory, self.bytes) = (std::ptr::null_mut(), 0);
                }
                let bytes = bytes.next_power_of_two().max(4096);
                self.memory = result::malloc_host(bytes, 0)?.cast();
                self.bytes = bytes;
            }
        }
        Ok(())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // SAFETY: made by `Staging::slot`, dropped when the stream is idle.
        unsafe {
            let _ = result::event::destroy(self.copied);
            if !self.memory.is_null() {
                let _ = result::free_host(self.memory.cast());
            }
        }
    }
}

impl Graph {
    /// The launches, each of which waits for some before it.
    fn new(list: &[Launch], waits: Vec<Vec<usize>>, changes: u64) -> Result<Graph> {
        let problem = |e| failed("build a step's graph", e);
        let mut graph = MaybeUninit::uninit();
        // SAFETY: writes one handle.
        let graph = unsafe {
            sys::cuGraphCreate(graph.as_mut_ptr(), 0).result().map_err(problem)?;
            graph.assume_init()
        };
        // From here on dropping `made` destroys what there is.
        let nodes = Vec::with_capacity(list.len());
        let mut made = Graph { graph, nodes, waits, changes, exec: std::ptr::null_mut() };
        for (i, launch) in list.iter().enumerate() {
            launch.grid.allow_shared(&launch.function)?;
            let mut pointers = launch.args.pointers();
            let params = launch.params(&mut pointers);
            let before: Vec<_> = made.waits[i].iter().map(|&i| made.nodes[i]).collect();
            let (first, count) = (before.as_ptr(), before.len());
            let mut node = MaybeUninit::uninit();
            // SAFETY: the driver copies the arguments, whose types are the kernel's, before it returns.
            unsafe {
                sys::cuGraphAddKernelNode_v2(node.as_mut_ptr(), graph, first, count, &params)
                    .result()
                    .map_err(problem)?;
                made.nodes.push(node.assume_init());
            }
        }
        // SAFETY: the graph is complete.
        made.exec = unsafe { result::graph::instantiate(graph, sys::CUgraphInstantiate_flags(0)) }
            .map_err(problem)?;
        Ok(made)
    }

    /// Gives a node new arguments.
    fn change(&self, node: sys::CUgraphNode, launch: &Launch) -> Result<()> {
        let mut pointers = launch.args.pointers();
        let params = launch.params(&mut pointers);
        // SAFETY: the node belongs to the graph; the driver copies the arguments before it returns.
        unsafe { sys::cuGraphExecKernelNodeSetParams_v2(self.exec, node, &params) }
            .result()
            .map_err(|e| failed("change a step's graph", e))
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        // SAFETY: made once, destroyed once; the driver lets a running graph finish.
        unsafe {
            if !self.exec.is_null() {
                let _ = result::graph::exec_destroy(self.exec);
            }
            let _ = result::graph::destroy(self.graph);
        }
    }
}

impl Launch {
    fn params(&self, pointers: &mut [*mut std::ffi::c_void]) -> sys::CUDA_KERNEL_NODE_PARAMS {
        sys::CUDA_KERNEL_NODE_PARAMS {
            func: self.function.raw,
            gridDimX: self.grid.blocks[0],
            gridDimY: self.grid.blocks[1],
            gridDimZ: self.grid.blocks[2],
            blockDimX: self.grid.threads[0],
            blockDimY: self.grid.threads[1],
            blockDimZ: self.grid.threads[2],
            sharedMemBytes: self.grid.shared,
            kernelParams: pointers.as_mut_ptr(),
            extra: std::ptr::null_mut(),
            kern: std::ptr::null_mut(),
            ctx: std::ptr::null_mut(),
        }
    }
}
