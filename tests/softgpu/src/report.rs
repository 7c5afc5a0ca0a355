//! The report of an error: kept for whoever asks, and printed when it happens.

use std::sync::Mutex;
use std::sync::atomic::Ordering::Relaxed;

use crate::config::config;

static LAST: Mutex<String> = Mutex::new(String::new());

/// Keeps and prints a report.
pub(crate) fn report(text: String) {
    if !config().quiet.load(Relaxed) {
        eprintln!("softgpu: {text}");
    }
    *LAST.lock().unwrap_or_else(|e| e.into_inner()) = text;
}

/// The text of the last report; empty if there was none.
pub fn last_report() -> String {
    LAST.lock().unwrap_or_else(|e| e.into_inner()).clone()
}

/// Forgets the last report.
pub fn clear_report() {
    LAST.lock().unwrap_or_else(|e| e.into_inner()).clear();
}
