//! Bodies of the JSON scorer: what is let in lies inside the declaration.
#![no_main]

#[path = "../guard.rs"]
mod guard;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let (intake, _) = guard::declared();
    if let Ok(body) = intake.read(data) {
        guard::inside(&body.rows);
    }
});
