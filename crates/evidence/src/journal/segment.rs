//! The bytes of a segment: a header, then batches, each with its own checksum.
//!
//! Owns the format and telling a torn tail (never acknowledged) from damage (acknowledged). Must
//! never return a record that did not verify. Called by [`super`] only.
//!
//! All numbers are little-endian. Header: magic, serial, first sequence number, SHA-256 of these.
//! Batch: magic, first sequence number, count, bytes of the body, SHA-256 over these and over the
//! leaf hashes in order, then the body: records, each with a length of four bytes.

use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::JournalError;
use crate::durable;
use crate::entry::LEAF_BYTES_MAX;
use crate::log::Leaf;

/// What a segment begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub serial: u64,
    /// Sequence number of its first record.
    pub first: u64,
}

/// A segment as read back.
#[derive(Debug)]
pub(super) struct Parsed {
    pub first: u64,
    pub records: Vec<Leaf>,
    /// Bytes behind the last whole batch.
    pub torn_bytes: u64,
    /// Whether a whole batch lies beyond a broken one: what broke had been acknowledged.
    pub beyond: bool,
}

impl Header {
    pub fn encode(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0u8; HEADER_BYTES];
        let parts = [SEGMENT_MAGIC, &self.serial.to_le_bytes(), &self.first.to_le_bytes()];
        for (place, byte) in bytes.iter_mut().zip(parts.concat()) {
            *place = byte;
        }
        let digest = Sha256::digest(parts.concat());
        for (place, byte) in bytes.iter_mut().skip(SEGMENT_MAGIC.len() + 16).zip(digest) {
            *place = byte;
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let head = bytes.get(..HEADER_BYTES)?;
        let rest = head.strip_prefix(SEGMENT_MAGIC)?;
        let header = Self { serial: number(rest, 0)?, first: number(rest, 8)? };
        (header.encode() == head).then_some(header)
    }
}

/// Name of the segment of that serial number.
pub(super) fn name(serial: u64) -> String {
    format!("{serial:020}.wal")
}

/// Serial number of a segment of that name; `None` for other files.
pub(super) fn serial(file: &str) -> Option<u64> {
    let number = file.strip_suffix(".wal")?.parse().ok()?;
    (name(number) == file).then_some(number)
}

/// Writes a batch into `buffer`, which is emptied first.
pub(super) fn encode_batch(first: u64, records: &[Leaf], buffer: &mut Vec<u8>) {
    buffer.clear();
    let body: usize = records.iter().map(|r| r.bytes().len() + LENGTH_BYTES).sum();
    let head = batch_head(first, records.len() as u32, body as u64);
    buffer.reserve(BATCH_HEAD_BYTES + body);
    buffer.extend_from_slice(&head);
    buffer.extend_from_slice(&checksum(&head, records));
    for record in records {
        buffer.extend_from_slice(&(record.bytes().len() as u32).to_le_bytes());
        buffer.extend_from_slice(record.bytes());
    }
}

/// Reads a segment; `None` if it has no whole header, so that it never acknowledged anything.
pub(super) fn read(path: &Path, serial: u64) -> Result<Option<Parsed>, JournalError> {
    let bytes = durable::read_bounded(path, SEGMENT_BYTES_MAX)?;
    let damaged = |what| JournalError::Damaged { path: path.to_owned(), sequence: 0, what };
    let header = match Header::decode(&bytes) {
        Some(header) if header.serial == serial => header,
        Some(_) => return Err(damaged("its name is not that of its header")),
        // The header is flushed before the first batch is written.
        None if bytes.len() > HEADER_BYTES => return Err(damaged("its header does not verify")),
        None => return Ok(None),
    };
    let mut records: Vec<Leaf> = Vec::new();
    let mut rest = bytes.get(HEADER_BYTES..).unwrap_or_default();
    loop {
        let next = header.first + records.len() as u64;
        match decode_batch(rest) {
            Some((first, batch, after)) if first == next => {
                records.extend(batch);
                rest = after;
            }
            _ => break,
        }
    }
    let end = header.first + records.len() as u64;
    let (first, torn_bytes) = (header.first, rest.len() as u64);
    Ok(Some(Parsed { first, records, torn_bytes, beyond: whole_batch_beyond(rest, end) }))
}

// Sequence number, records and what follows, of the whole batch at the start of `bytes`.
fn decode_batch(bytes: &[u8]) -> Option<(u64, Vec<Leaf>, &[u8])> {
    let rest = bytes.strip_prefix(BATCH_MAGIC)?;
    let (first, count) = (number(rest, 0)?, number(rest, 8)? as u32);
    let length = number(rest, 12)?;
    let head = batch_head(first, count, length);
    let rest = bytes.strip_prefix(head.as_slice())?;
    let (sum, rest) = rest.split_at_checked(32)?;
    let (mut body, after) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    let mut records = Vec::new();
    while !body.is_empty() {
        let (size, tail) = body.split_first_chunk::<LENGTH_BYTES>()?;
        let size = usize::try_from(u32::from_le_bytes(*size)).ok()?;
        if size > LEAF_BYTES_MAX {
            return None;
        }
        let (record, tail) = tail.split_at_checked(size)?;
        records.push(Leaf::new(record.to_vec()).ok()?);
        body = tail;
    }
    let whole = records.len() as u64 == u64::from(count) && checksum(&head, &records) == sum;
    whole.then_some((first, records, after))
}

// A batch is written only after the one before it was flushed, so one that is whole and comes
// later proves that what lies before it was acknowledged.
fn whole_batch_beyond(bytes: &[u8], end: u64) -> bool {
    let starts = bytes.windows(BATCH_MAGIC.len()).enumerate();
    let mut candidates = starts.filter(|(_, window)| *window == BATCH_MAGIC);
    candidates.any(|(at, _)| {
        let batch = bytes.get(at..).and_then(decode_batch);
        batch.is_some_and(|(first, records, _)| first > end && !records.is_empty())
    })
}

fn batch_head(first: u64, count: u32, body: u64) -> Vec<u8> {
    [BATCH_MAGIC, &first.to_le_bytes(), &count.to_le_bytes(), &body.to_le_bytes()].concat()
}

fn checksum(head: &[u8], records: &[Leaf]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(head);
    for record in records {
        hasher.update(record.hash());
    }
    hasher.finalize().into()
}

fn number(bytes: &[u8], at: usize) -> Option<u64> {
    let chunk = bytes.get(at..)?.first_chunk::<8>()?;
    Some(u64::from_le_bytes(*chunk))
}

const SEGMENT_MAGIC: &[u8] = b"PMJRNL01";
const BATCH_MAGIC: &[u8] = b"PMB\x01";
const LENGTH_BYTES: usize = 4;
const HEADER_BYTES: usize = 8 + 8 + 8 + 32;
const BATCH_HEAD_BYTES: usize = 4 + 8 + 4 + 8 + 32;
/// The length at which a segment is ended, and one batch of the largest records beyond it.
const SEGMENT_BYTES_MAX: u64 = super::SEGMENT_BYTES + 512 * 1024 * 1024;
