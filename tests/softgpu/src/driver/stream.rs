//! Streams, and the work that goes to them: done at once, or recorded while the stream is captured.

use std::collections::HashMap;
use std::ffi::{c_int, c_uint, c_void};
use std::sync::{Arc, LazyLock, Mutex};

use super::graph::{self, Graph};
use super::launch::{Kernel, run_kernel};
use super::memory::{device_copy, download, fill, upload};
use super::{
    DEVICE, INVALID_HANDLE, INVALID_VALUE, Outcome, STREAM_CAPTURE_UNSUPPORTED, api, give, lock, ready,
};

/// Something to do on the device.
#[derive(Clone)]
pub(crate) enum Work {
    Kernel(Kernel),
    Upload { dst: u64, src: usize, len: u64 },
    Download { dst: usize, src: u64, len: u64 },
    Copy { dst: u64, src: u64, len: u64 },
    Fill { dst: u64, value: u32, size: u64, count: u64 },
    Nothing,
}

impl Work {
    pub(crate) fn run(&self) -> Outcome {
        match self {
            Work::Kernel(k) => run_kernel(k),
            // SAFETY: the host's pointers are valid until the work is done: what the caller of a copy promises.
            Work::Upload { dst, src, len } => unsafe { upload(*dst, *src as *const u8, *len) },
            // SAFETY: as above.
            Work::Download { dst, src, len } => unsafe { download(*dst as *mut u8, *src, *len) },
            Work::Copy { dst, src, len } => device_copy(*dst, *src, *len),
            Work::Fill { dst, value, size, count } => fill(*dst, *value, *size, *count),
            Work::Nothing => Ok(()),
        }
    }
}

#[derive(Default)]
struct Stream {
    capture: Option<Graph>,
    flags: c_uint,
    priority: c_int,
}

static STREAMS: LazyLock<Mutex<HashMap<usize, Stream>>> = LazyLock::new(|| Mutex::new(HashMap::new()));

pub(crate) fn clear() {
    lock(&STREAMS).clear();
}

/// The default streams have small numbers for handles.
fn is_default(stream: *mut c_void) -> bool {
    (stream as usize) <= 2
}

pub(crate) fn exists(stream: *mut c_void) -> Outcome {
    if is_default(stream) || lock(&STREAMS).contains_key(&(stream as usize)) {
        Ok(())
    } else {
        Err(INVALID_HANDLE)
    }
}

/// Does the work, or records it.
pub(crate) fn submit(stream: *mut c_void, work: Work) -> Outcome {
    if !is_default(stream) {
        let mut streams = lock(&STREAMS);
        let Some(s) = streams.get_mut(&(stream as usize)) else { return Err(INVALID_HANDLE) };
        if let Some(g) = &mut s.capture {
            g.append(work);
            return Ok(());
        }
    }
    work.run()
}

fn not_capturing(stream: *mut c_void) -> Outcome {
    exists(stream)?;
    match lock(&STREAMS).get(&(stream as usize)) {
        Some(s) if s.capture.is_some() => Err(STREAM_CAPTURE_UNSUPPORTED),
        _ => Ok(()),
    }
}

fn create(out: *mut *mut c_void, flags: c_uint, priority: c_int) -> Outcome {
    ready()?;
    if flags > 1 {
        return Err(INVALID_VALUE);
    }
    let h = DEVICE.handle();
    // SAFETY: the caller's pointer.
    unsafe { give(out, h as *mut c_void) }?;
    lock(&STREAMS).insert(h, Stream { capture: None, flags, priority });
    Ok(())
}

api! {
    fn cuStreamCreate(out: *mut *mut c_void, flags: c_uint) {
        create(out, flags, 0)
    }

    fn cuStreamCreateWithPriority(out: *mut *mut c_void, flags: c_uint, priority: c_int) {
        create(out, flags, priority)
    }

    fn cuStreamDestroy_v2(stream: *mut c_void) {
        match lock(&STREAMS).remove(&(stream as usize)) {
            Some(_) => Ok(()),
            None => Err(INVALID_HANDLE),
        }
    }

    fn cuStreamSynchronize(stream: *mut c_void) {
        ready()?;
        not_capturing(stream)
    }

    fn cuStreamQuery(stream: *mut c_void) {
        ready()?;
        not_capturing(stream)
    }

    fn cuStreamWaitEvent(stream: *mut c_void, event: *mut c_void, flags: c_uint) {
        ready()?;
        exists(stream)?;
        super::events::exists(event)
    }

    fn cuStreamGetFlags(stream: *mut c_void, flags: *mut c_uint) {
        exists(stream)?;
        let f = lock(&STREAMS).get(&(stream as usize)).map_or(0, |s| s.flags);
        // SAFETY: the caller's pointer.
        unsafe { give(flags, f) }
    }

    fn cuStreamGetPriority(stream: *mut c_void, priority: *mut c_int) {
        exists(stream)?;
        let p = lock(&STREAMS).get(&(stream as usize)).map_or(0, |s| s.priority);
        // SAFETY: the caller's pointer.
        unsafe { give(priority, p) }
    }

    fn cuStreamBeginCapture_v2(stream: *mut c_void, mode: c_uint) {
        ready()?;
        if is_default(stream) {
            return Err(STREAM_CAPTURE_UNSUPPORTED);
        }
        let mut streams = lock(&STREAMS);
        let Some(s) = streams.get_mut(&(stream as usize)) else { return Err(INVALID_HANDLE) };
        if s.capture.is_some() {
            return Err(INVALID_VALUE);
        }
        s.capture = Some(Graph::default());
        Ok(())
    }

    fn cuStreamEndCapture(stream: *mut c_void, out: *mut *mut c_void) {
        ready()?;
        let g = match lock(&STREAMS).get_mut(&(stream as usize)) {
            Some(s) => s.capture.take(),
            None => return Err(INVALID_HANDLE),
        };
        let Some(g) = g else { return Err(INVALID_VALUE) };
        let h = graph::insert(Arc::new(Mutex::new(g)));
        // SAFETY: the caller's pointer.
        unsafe { give(out, h as *mut c_void) }
    }

    fn cuStreamIsCapturing(stream: *mut c_void, status: *mut c_uint) {
        exists(stream)?;
        let on = lock(&STREAMS).get(&(stream as usize)).is_some_and(|s| s.capture.is_some());
        // SAFETY: the caller's pointer.
        unsafe { give(status, c_uint::from(on)) }
    }
}
