//! Any bytes are recognised as something, whatever the length of the file is said to be.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proofmark_formats::sniff::{Kind, sniff};

fuzz_target!(|bytes: &[u8]| {
    let kind = sniff(bytes, bytes.len() as u64);
    assert_eq!(kind == Kind::Empty, bytes.is_empty());
    let _ = sniff(bytes, u64::MAX);
});
