//! Any bytes read or are refused; what reads writes and reads again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proofmark_formats::npy;

fuzz_target!(|bytes: &[u8]| {
    let Ok(array) = npy::read(bytes) else { return };
    let data = array.data();
    let _ = (data.to_f32(), data.to_f64(), data.to_i64(), data.to_strings());
    let written = npy::write(&array).expect("what we read can be written");
    let again = npy::read(&written).expect("what we write can be read");
    // zeros at the end of text are padding, and NaN equals nothing: the bytes must settle
    assert_eq!(npy::write(&again).expect("as before"), written);
});
