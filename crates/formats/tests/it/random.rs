//! Random bytes and random changes to valid files: never a panic, never more than an error.

use proofmark_formats::{gzip, idx, npy, npz, onnx, sniff, zip};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, RngSeed};

use crate::fixture;

/// Deterministic cases; failures are printed and not written beside the sources.
pub(crate) fn config(cases: u32) -> Config {
    Config {
        cases,
        rng_seed: RngSeed::Fixed(20_261_122),
        rng_algorithm: RngAlgorithm::ChaCha,
        failure_persistence: None,
        ..Config::default()
    }
}

/// Bytes a reader may inflate here; mutated lengths must not slow the tests down.
const LIMIT: usize = 1 << 22;

/// Runs every reader over the bytes and everything they lead to.
fn read_all(bytes: &[u8]) {
    if let Ok(model) = onnx::decode(bytes) {
        for tensor in &model.graph.initializers {
            let _ = (tensor.elements(), tensor.external(), tensor.shape());
        }
        let again = onnx::encode(&model);
        assert!(onnx::decode(&again).is_ok(), "what we encode decodes");
    }
    if let Ok(array) = npy::read(bytes) {
        let data = array.data();
        let _ = (data.to_f32(), data.to_f64(), data.to_i64(), data.to_strings());
        let again = npy::read(&npy::write(&array).unwrap()).unwrap();
        assert_eq!(again.shape(), array.shape());
    }
    if let Ok(npz) = npz::Npz::open(bytes) {
        for name in npz.names() {
            let _ = npz.array(name);
        }
    }
    if let Ok(archive) = zip::ZipArchive::open(bytes, LIMIT as u64) {
        for entry in archive.entries() {
            let content = entry.read();
            assert!(content.is_err() || content.is_ok_and(|c| c.len() as u64 == entry.size()));
        }
    }
    let _ = idx::read(bytes, LIMIT);
    let _ = gzip::inflate(bytes, LIMIT);
    let _ = sniff::sniff(bytes, bytes.len() as u64);
    let _ = sniff::sniff(bytes, u64::MAX);
}

/// One change: where (as a share of the length), what, and how.
#[derive(Clone, Debug)]
enum Change {
    Set(f64, u8),
    Flip(f64, u8),
    Cut(f64),
    Insert(f64, Vec<u8>),
    Remove(f64, usize),
    Repeat(f64, usize),
}

fn change() -> impl Strategy<Value = Change> {
    let at = || 0.0..1.0;
    prop_oneof![
        4 => (at(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        4 => (at(), 0u8..8).prop_map(|(at, bit)| Change::Flip(at, bit)),
        1 => at().prop_map(Change::Cut),
        2 => (at(), proptest::collection::vec(any::<u8>(), 1..12))
            .prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        2 => (at(), 1usize..20).prop_map(|(at, len)| Change::Remove(at, len)),
        2 => (at(), 1usize..40).prop_map(|(at, len)| Change::Repeat(at, len)),
    ]
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    let len = bytes.len();
    if len == 0 {
        return;
    }
    let place = |share: f64| ((share * len as f64) as usize).min(len - 1);
    let range = |share, count: usize| place(share)..(place(share) + count).min(len);
    match change {
        Change::Set(at, byte) => bytes[place(*at)] = *byte,
        Change::Flip(at, bit) => bytes[place(*at)] ^= 1 << bit,
        Change::Cut(at) => bytes.truncate(place(*at)),
        Change::Insert(at, new) => drop(bytes.splice(place(*at)..place(*at), new.clone())),
        Change::Remove(at, count) => drop(bytes.drain(range(*at, *count))),
        Change::Repeat(at, count) => {
            let copy = bytes[range(*at, *count)].to_vec();
            drop(bytes.splice(place(*at)..place(*at), copy));
        }
    }
}

const SEEDS: [&str; 14] = [
    "golden.onnx",
    "external.onnx",
    "f4.npy",
    "f8_fortran.npy",
    "text.npy",
    "bytes.npy",
    "version3.npy",
    "plain.npz",
    "deflated.npz",
    "streamed.npz",
    "u1.idx.gz",
    "f8.idx",
    "protocol4.pkl",
    "model.pkl.z",
];

proptest! {
    #![proptest_config(config(4000))]

    #[test]
    fn random_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        read_all(&bytes);
    }

    #[test]
    fn random_bytes_behind_magic(
        magic in 0usize..6,
        bytes in proptest::collection::vec(any::<u8>(), 0..120),
    ) {
        let starts: [&[u8]; 6] = [
            b"\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', 'fortran_order': ",
            b"PK\x03\x04",
            b"\x1f\x8b\x08\x00",
            b"\x00\x00\x08\x02",
            b"\x08\x07\x3a",
            b"\x08\x07\x3a\x10\x0a\x0e\x2a",
        ];
        let mut file = starts[magic].to_vec();
        file.extend(bytes);
        read_all(&file);
    }

    #[test]
    fn changed_files(
        seed in 0..SEEDS.len(),
        changes in proptest::collection::vec(change(), 1..6),
    ) {
        let mut bytes = fixture(SEEDS[seed]);
        changes.iter().for_each(|change| apply(&mut bytes, change));
        read_all(&bytes);
    }
}

#[test]
fn every_prefix_of_every_seed() {
    for seed in SEEDS {
        let bytes = fixture(seed);
        for len in 0..bytes.len().min(3000) {
            read_all(&bytes[..len]);
        }
    }
}
