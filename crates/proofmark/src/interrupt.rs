//! Ctrl-C: sets a flag that the lab looks at; a second Ctrl-C ends the process at once.
//!
//! Owns the signal handler. Nothing durable is lost either way: the log is whole after every
//! append, and a run without its end leaf is resumed.

use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

static CANCEL: AtomicBool = AtomicBool::new(false);
static INSTALL: Once = Once::new();

/// The flag, with the handler installed.
pub fn flag() -> &'static AtomicBool {
    INSTALL.call_once(|| {
        // Without a handler Ctrl-C ends the process, which is safe as well.
        let _ = ctrlc::set_handler(|| {
            if CANCEL.swap(true, Ordering::Relaxed) {
                std::process::exit(EXIT_INTERRUPTED);
            }
        });
    });
    &CANCEL
}

/// What shells report for a process ended by Ctrl-C.
const EXIT_INTERRUPTED: i32 = 130;
