//! Tests against files that other software made, hostile files, and random bytes.

mod golden;
mod hostile_arrays;
mod hostile_onnx;
mod hostile_zip;
mod random;
mod round_trip;
mod shared;

use std::path::PathBuf;

/// A committed file, made by `fixtures/make.py`.
fn fixture(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
