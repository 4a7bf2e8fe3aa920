//! Keeps ONNX Runtime from reporting home.
//!
//! Owns the switch for it. From 1.32 on the library has telemetry of its own: once loaded it writes
//! a device number and a store of events into the user's cache folder and, after some seconds, asks
//! for a host to send them to, whatever its interface was told. Only a variable in the environment
//! from before it is loaded stops that. Must never let the library be loaded without a word where
//! the switch is not set. Called first of all by `main`, and by whoever loads the library.

use std::ffi::OsStr;

/// Whether this process was started with the switch.
pub fn held() -> bool {
    std::env::var_os(SWITCH).as_deref() == Some(OsStr::new(ON))
}

/// Starts this program again in its own place, with the switch set. A process cannot safely
/// change its own environment, so there is no other way to set it. Comes back where the switch is
/// set already, or where the system refuses; [`held`] tells which.
#[cfg(unix)]
pub fn ensure() {
    use std::os::unix::process::CommandExt;
    if held() {
        return;
    }
    let Ok(program) = std::env::current_exe() else { return };
    let mut words = std::env::args_os();
    let mut again = std::process::Command::new(program);
    if let Some(name) = words.next() {
        again.arg0(name);
    }
    let _refused = again.args(words).env(SWITCH, ON).exec();
}

/// There is no such step on this system; [`held`] tells whether the user set the switch.
#[cfg(not(unix))]
pub fn ensure() {}

/// What to say where the switch is not set.
pub const UNSET: &str = "ONNX Runtime may report to its makers from this process: set \
                         ORT_DISABLE_TELEMETRY=1 before you start proofmark";

/// The variable that ONNX Runtime asks for.
const SWITCH: &str = "ORT_DISABLE_TELEMETRY";
/// The value that it takes for yes.
const ON: &str = "1";
