//! Any bytes read or are refused, gzipped or not.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proofmark_formats::idx;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(array) = idx::read(bytes, 1 << 24) {
        assert_eq!(array.data().len(), array.shape().iter().product::<usize>());
    }
});
