//! Any bytes inflate within the limit or are refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proofmark_formats::gzip;

const LIMIT: usize = 1 << 20;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(content) = gzip::inflate(bytes, LIMIT) {
        assert!(content.len() <= LIMIT);
    }
});
