//! Events: the time at which they were recorded, since all work before them is done by then.

use std::collections::HashMap;
use std::ffi::{c_uint, c_void};
use std::sync::{LazyLock, Mutex};
use std::time::Instant;

use super::{DEVICE, INVALID_HANDLE, Outcome, api, give, lock, ready, stream};

static EVENTS: LazyLock<Mutex<HashMap<usize, Option<Instant>>>> =
    LazyLock::new(|| Mutex::new(HashMap::new()));

pub(crate) fn clear() {
    lock(&EVENTS).clear();
}

pub(crate) fn exists(event: *mut c_void) -> Outcome {
    if lock(&EVENTS).contains_key(&(event as usize)) { Ok(()) } else { Err(INVALID_HANDLE) }
}

fn elapsed(out: *mut f32, start: *mut c_void, end: *mut c_void) -> Outcome {
    ready()?;
    let events = lock(&EVENTS);
    let at = |e: *mut c_void| events.get(&(e as usize)).copied().flatten().ok_or(INVALID_HANDLE);
    let (a, b) = (at(start)?, at(end)?);
    let ms = if b >= a { (b - a).as_secs_f32() } else { -(a - b).as_secs_f32() } * 1e3;
    // SAFETY: the caller's pointer.
    unsafe { give(out, ms) }
}

api! {
    fn cuEventCreate(out: *mut *mut c_void, flags: c_uint) {
        ready()?;
        let h = DEVICE.handle();
        // SAFETY: the caller's pointer.
        unsafe { give(out, h as *mut c_void) }?;
        lock(&EVENTS).insert(h, None);
        Ok(())
    }

    fn cuEventDestroy_v2(event: *mut c_void) {
        match lock(&EVENTS).remove(&(event as usize)) {
            Some(_) => Ok(()),
            None => Err(INVALID_HANDLE),
        }
    }

    fn cuEventRecord(event: *mut c_void, on: *mut c_void) {
        ready()?;
        stream::exists(on)?;
        match lock(&EVENTS).get_mut(&(event as usize)) {
            Some(e) => *e = Some(Instant::now()),
            None => return Err(INVALID_HANDLE),
        }
        Ok(())
    }

    fn cuEventSynchronize(event: *mut c_void) {
        ready()?;
        exists(event)
    }

    fn cuEventQuery(event: *mut c_void) {
        ready()?;
        exists(event)
    }

    fn cuEventElapsedTime(out: *mut f32, start: *mut c_void, end: *mut c_void) {
        elapsed(out, start, end)
    }

    fn cuEventElapsedTime_v2(out: *mut f32, start: *mut c_void, end: *mut c_void) {
        elapsed(out, start, end)
    }
}
