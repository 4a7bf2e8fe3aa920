//! Requests of the Open Inference Protocol, JSON and binary: the first two bytes are the length of
//! the JSON, or 0xffff for a request without binary tensors.
#![no_main]

#[path = "../guard.rs"]
mod guard;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((length, body)) = data.split_first_chunk::<2>() else { return };
    let length = u16::from_le_bytes(*length);
    let header = (length != u16::MAX).then_some(usize::from(length));
    let (intake, model) = guard::declared();
    if let Ok(asked) = model.read(intake, body, header) {
        guard::inside(&asked.rows);
    }
});
