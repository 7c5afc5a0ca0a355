//! Graphs: work recorded once and run many times.

use std::collections::HashMap;
use std::ffi::{c_uint, c_ulonglong, c_void};
use std::sync::{Arc, LazyLock, Mutex};

use crate::config::{Order, config};

use super::launch::{Kernel, check, collect};
use super::module::function;
use super::stream::{Work, exists};
use super::{DEVICE, INVALID_HANDLE, INVALID_VALUE, NOT_SUPPORTED, Outcome, api, give, lock, ready, wrong};

/// Nodes in an order that respects their dependencies: a node is added after those it depends on.
#[derive(Default, Clone)]
pub(crate) struct Graph {
    nodes: Vec<(usize, Work)>,
    /// For each node the positions of those it depends on.
    deps: Vec<Vec<usize>>,
}

impl Graph {
    /// Adds work that waits for all that is there.
    pub(crate) fn append(&mut self, work: Work) -> usize {
        self.add(work, (0..self.nodes.len()).collect())
    }

    fn add(&mut self, work: Work, deps: Vec<usize>) -> usize {
        let h = DEVICE.handle();
        self.nodes.push((h, work));
        self.deps.push(deps);
        h
    }

    /// Runs the nodes: in the order in which they were added, or, where warps run last to first, always the latest that
    /// may run. A dependency that is missing shows in one of the two.
    fn run(&self, order: Order) -> Outcome {
        if order == Order::Forward {
            return self.nodes.iter().try_for_each(|(_, work)| work.run());
        }
        let mut done = vec![false; self.nodes.len()];
        let ready = |done: &[bool]| {
            (0..done.len()).rev().find(|&i| !done[i] && self.deps[i].iter().all(|&d| done[d]))
        };
        while let Some(i) = ready(&done) {
            self.nodes[i].1.run()?;
            done[i] = true;
        }
        Ok(())
    }
}

type Shared = Arc<Mutex<Graph>>;

static GRAPHS: LazyLock<Mutex<HashMap<usize, Shared>>> = LazyLock::new(|| Mutex::new(HashMap::new()));
static EXECS: LazyLock<Mutex<HashMap<usize, Shared>>> = LazyLock::new(|| Mutex::new(HashMap::new()));

pub(crate) fn clear() {
    lock(&GRAPHS).clear();
    lock(&EXECS).clear();
}

pub(crate) fn insert(g: Shared) -> usize {
    let h = DEVICE.handle();
    lock(&GRAPHS).insert(h, g);
    h
}

fn find(map: &Mutex<HashMap<usize, Shared>>, h: *mut c_void) -> Result<Shared, u32> {
    lock(map).get(&(h as usize)).cloned().ok_or(INVALID_HANDLE)
}

/// `CUDA_KERNEL_NODE_PARAMS`; the second version has two more fields at its end, which are not used.
#[repr(C)]
pub struct KernelNodeParams {
    func: *mut c_void,
    grid: [c_uint; 3],
    block: [c_uint; 3],
    shared: c_uint,
    params: *mut *mut c_void,
    extra: *mut *mut c_void,
}

#[repr(C)]
pub struct MemsetNodeParams {
    dst: u64,
    pitch: usize,
    value: c_uint,
    element: c_uint,
    width: usize,
    height: usize,
}

/// # Safety
/// `p` is null or points to parameters whose own pointers are valid.
unsafe fn kernel(p: *const KernelNodeParams) -> Result<Kernel, u32> {
    // SAFETY: the caller's word.
    let Some(p) = (unsafe { p.as_ref() }) else { return Err(INVALID_VALUE) };
    let function = function(p.func)?;
    // SAFETY: the caller's word.
    let params = unsafe { collect(&function, p.params, p.extra)? };
    let k = Kernel { function, grid: p.grid, block: p.block, dynamic: p.shared, params };
    check(&k)?;
    Ok(k)
}

/// # Safety
/// `deps` points to `n` handles.
unsafe fn add(
    out: *mut *mut c_void,
    graph: *mut c_void,
    deps: *const *mut c_void,
    n: usize,
    work: Work,
) -> Outcome {
    let g = find(&GRAPHS, graph)?;
    let mut g = lock(&g);
    if n > 0 && deps.is_null() {
        return Err(INVALID_VALUE);
    }
    let mut waits = Vec::with_capacity(n);
    for i in 0..n {
        // SAFETY: the caller's word.
        let d = unsafe { *deps.add(i) } as usize;
        match g.nodes.iter().position(|x| x.0 == d) {
            Some(at) => waits.push(at),
            None => {
                return wrong(INVALID_VALUE, "a graph's node depends on one that the graph does not have");
            }
        }
    }
    let h = g.add(work, waits);
    // SAFETY: the caller's pointer.
    unsafe { give(out, h as *mut c_void) }
}

/// # Safety
/// As [`kernel`].
unsafe fn set_params(exec: *mut c_void, node: *mut c_void, p: *const KernelNodeParams) -> Outcome {
    ready()?;
    let g = find(&EXECS, exec)?;
    // SAFETY: the caller's word.
    let k = unsafe { kernel(p)? };
    let mut g = lock(&g);
    match g.nodes.iter_mut().find(|x| x.0 == node as usize) {
        Some((_, Work::Kernel(old))) => {
            *old = k;
            Ok(())
        }
        _ => Err(INVALID_VALUE),
    }
}

fn instantiate(out: *mut *mut c_void, graph: *mut c_void) -> Outcome {
    ready()?;
    let g = find(&GRAPHS, graph)?;
    let copy = lock(&g).clone();
    let h = DEVICE.handle();
    lock(&EXECS).insert(h, Arc::new(Mutex::new(copy)));
    // SAFETY: the caller's pointer.
    unsafe { give(out, h as *mut c_void) }
}

api! {
    fn cuGraphCreate(out: *mut *mut c_void, flags: c_uint) {
        ready()?;
        if flags != 0 {
            return Err(INVALID_VALUE);
        }
        let h = insert(Arc::default());
        // SAFETY: the caller's pointer.
        unsafe { give(out, h as *mut c_void) }
    }

    fn cuGraphAddKernelNode(
        out: *mut *mut c_void,
        graph: *mut c_void,
        deps: *const *mut c_void,
        n: usize,
        p: *const KernelNodeParams,
    ) {
        ready()?;
        // SAFETY: the caller's pointers.
        unsafe { add(out, graph, deps, n, Work::Kernel(kernel(p)?)) }
    }

    fn cuGraphAddKernelNode_v2(
        out: *mut *mut c_void,
        graph: *mut c_void,
        deps: *const *mut c_void,
        n: usize,
        p: *const KernelNodeParams,
    ) {
        ready()?;
        // SAFETY: the caller's pointers.
        unsafe { add(out, graph, deps, n, Work::Kernel(kernel(p)?)) }
    }

    fn cuGraphAddMemsetNode(
        out: *mut *mut c_void,
        graph: *mut c_void,
        deps: *const *mut c_void,
        n: usize,
        p: *const MemsetNodeParams,
        ctx: *mut c_void,
    ) {
        ready()?;
        // SAFETY: the caller's pointers.
        let Some(p) = (unsafe { p.as_ref() }) else { return Err(INVALID_VALUE) };
        if p.height > 1 {
            return Err(NOT_SUPPORTED);
        }
        if !matches!(p.element, 1 | 2 | 4) {
            return Err(INVALID_VALUE);
        }
        let work = Work::Fill { dst: p.dst, value: p.value, size: u64::from(p.element), count: p.width as u64 };
        // SAFETY: the caller's pointers.
        unsafe { add(out, graph, deps, n, work) }
    }

    fn cuGraphAddEmptyNode(out: *mut *mut c_void, graph: *mut c_void, deps: *const *mut c_void, n: usize) {
        ready()?;
        // SAFETY: the caller's pointers.
        unsafe { add(out, graph, deps, n, Work::Nothing) }
    }

    fn cuGraphInstantiateWithFlags(out: *mut *mut c_void, graph: *mut c_void, flags: c_ulonglong) {
        instantiate(out, graph)
    }

    fn cuGraphInstantiate_v2(
        out: *mut *mut c_void,
        graph: *mut c_void,
        error: *mut *mut c_void,
        log: *mut i8,
        len: usize,
    ) {
        instantiate(out, graph)
    }

    fn cuGraphExecKernelNodeSetParams(exec: *mut c_void, node: *mut c_void, p: *const KernelNodeParams) {
        // SAFETY: the caller's pointers.
        unsafe { set_params(exec, node, p) }
    }

    fn cuGraphExecKernelNodeSetParams_v2(exec: *mut c_void, node: *mut c_void, p: *const KernelNodeParams) {
        // SAFETY: the caller's pointers.
        unsafe { set_params(exec, node, p) }
    }

    fn cuGraphLaunch(exec: *mut c_void, stream: *mut c_void) {
        ready()?;
        exists(stream)?;
        let g = find(&EXECS, exec)?;
        lock(&g).run(config().order())
    }

    fn cuGraphUpload(exec: *mut c_void, stream: *mut c_void) {
        ready()?;
        find(&EXECS, exec).map(|_| ())
    }

    fn cuGraphExecDestroy(exec: *mut c_void) {
        lock(&EXECS).remove(&(exec as usize)).map(|_| ()).ok_or(INVALID_HANDLE)
    }

    fn cuGraphDestroy(graph: *mut c_void) {
        lock(&GRAPHS).remove(&(graph as usize)).map(|_| ()).ok_or(INVALID_HANDLE)
    }

    fn cuGraphGetNodes(graph: *mut c_void, nodes: *mut *mut c_void, n: *mut usize) {
        let g = find(&GRAPHS, graph)?;
        let g = lock(&g);
        if n.is_null() {
            return Err(INVALID_VALUE);
        }
        // SAFETY: the caller's pointers: `nodes`, where given, has room for `*n` handles.
        unsafe {
            if !nodes.is_null() {
                for (i, x) in g.nodes.iter().enumerate().take(*n) {
                    *nodes.add(i) = x.0 as *mut c_void;
                }
            }
            *n = g.nodes.len();
        }
        Ok(())
    }
}
