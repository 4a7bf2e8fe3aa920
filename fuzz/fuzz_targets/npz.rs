//! Any bytes open or are refused; members have the size that the directory says.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proofmark_formats::npz::Npz;
use proofmark_formats::zip::ZipArchive;

/// Keeps one input fast; the limit itself is tested elsewhere.
const LIMIT: u64 = 1 << 24;

fuzz_target!(|bytes: &[u8]| {
    let Ok(archive) = ZipArchive::open(bytes, LIMIT) else { return };
    for entry in archive.entries() {
        if let Ok(content) = entry.read() {
            assert_eq!(content.len() as u64, entry.size());
        }
    }
    let npz = Npz::open(bytes).expect("it opened with a lower limit");
    for name in npz.names() {
        let _ = npz.array(name);
    }
});
