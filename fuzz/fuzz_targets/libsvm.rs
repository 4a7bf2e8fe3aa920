//! Any text is rows that can be written out, or is refused; nothing is chosen silently.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proofmark_formats::libsvm::{self, Absent, Index, Options};

fuzz_target!(|bytes: &[u8]| {
    let plain = libsvm::read(bytes, Options::default());
    for index in [Index::Zero, Index::One] {
        let options = Options { index: Some(index), absent: Some(Absent::Missing), columns: None };
        let Ok(rows) = libsvm::read(bytes, options) else { continue };
        assert_eq!(rows.starts.len(), rows.rows() + 1);
        assert!(rows.places.iter().all(|&place| (place as usize) < rows.columns));
        if rows.rows() * rows.columns <= 1 << 20 {
            let dense = rows.dense().expect("small");
            assert_eq!(dense.len(), rows.rows() * rows.columns);
        }
        if let Ok(plain) = &plain
            && plain.index == index
        {
            assert!(!plain.sparse && format!("{:?}", plain.values) == format!("{:?}", rows.values));
        }
    }
});
