//! Any bytes end in records or an error. Panics inside the readers of others are caught by the
//! product, so the hook that would abort here is put aside; memory and time are what is looked at.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proofmark_schema::system::DataFormat;

#[path = "../columnar.rs"]
mod columnar;

fuzz_target!(
    init: {
        // libFuzzer's own hook aborts before a panic can be caught.
        std::panic::set_hook(Box::new(|_| {}));
    },
    |bytes: &[u8]| columnar::table(bytes, DataFormat::Parquet)
);
