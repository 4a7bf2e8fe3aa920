//! Canonical bytes of rows, and which rows are equal.
//!
//! Owns the encoding `proofmark.row/1`. Must never hash under a key or leave a row's plain digest
//! in an output: the caller does that under the secret of the system (a plain digest of a person's
//! row can be guessed). Called by `proofmark` and by the check for leakage.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::images::Images;
use crate::series::SeriesSet;
use crate::table::{Cells, Column, Table};

/// Rows that have canonical bytes and a label.
pub trait Rows {
    /// Number of rows.
    fn rows(&self) -> usize;
    /// What the row holds, without its label.
    fn content(&self, row: usize) -> Vec<u8>;
    /// Class index, or the bits of a label that is a number.
    fn label(&self, row: usize) -> u64;
}

/// Canonical bytes of a row: tag, content, label. Equal exactly when the typed values are equal,
/// however the files write them; columns count in the order of the declaration.
pub fn row_bytes(rows: &dyn Rows, row: usize) -> Vec<u8> {
    let mut bytes = TAG.to_vec();
    bytes.extend(rows.content(row));
    bytes.extend(rows.label(row).to_be_bytes());
    bytes
}

/// Rows that occur more than once within a data set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Duplicates {
    /// Rows that repeat an earlier row, from 0, ascending.
    pub rows: Vec<usize>,
    /// Those of them whose label differs from that of the first such row.
    pub contradicting: Vec<usize>,
}

/// Rows of one data set that occur in another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overlap {
    /// Rows of the first that occur in the second, from 0, ascending.
    pub rows: Vec<usize>,
    /// Those of them whose label differs from that of the first such row there.
    pub contradicting: Vec<usize>,
}

/// Rows whose content repeats an earlier row's, labels left aside.
pub fn duplicates(rows: &dyn Rows) -> Duplicates {
    let mut seen: BTreeMap<[u8; 32], usize> = BTreeMap::new();
    let mut found = Duplicates::default();
    for row in 0..rows.rows() {
        let label = rows.label(row);
        let first = *seen.entry(key(rows, row)).or_insert(row);
        if first != row {
            found.rows.push(row);
            if rows.label(first) != label {
                found.contradicting.push(row);
            }
        }
    }
    found
}

/// Rows of `a` whose content occurs in `b`, labels left aside.
pub fn overlap(a: &dyn Rows, b: &dyn Rows) -> Overlap {
    let mut there: BTreeMap<[u8; 32], usize> = BTreeMap::new();
    for row in 0..b.rows() {
        there.entry(key(b, row)).or_insert(row);
    }
    let mut found = Overlap::default();
    for row in 0..a.rows() {
        let Some(other) = there.get(&key(a, row)) else { continue };
        found.rows.push(row);
        if b.label(*other) != a.label(row) {
            found.contradicting.push(row);
        }
    }
    found
}

impl Rows for Table {
    fn rows(&self) -> usize {
        self.n
    }
    fn content(&self, row: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        columns_content(&mut bytes, &self.columns, row);
        bytes
    }
    fn label(&self, row: usize) -> u64 {
        label(&self.labels, &self.targets, row)
    }
}

impl Rows for Images {
    fn rows(&self) -> usize {
        self.n
    }
    fn content(&self, row: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        pixels_content(&mut bytes, self.image(row));
        bytes
    }
    fn label(&self, row: usize) -> u64 {
        label(&self.labels, &self.targets, row)
    }
}

fn label(labels: &[usize], targets: &[f64], row: usize) -> u64 {
    match targets.get(row) {
        Some(target) => u64::from_be_bytes(number(*target)),
        None => labels.get(row).copied().unwrap_or_default() as u64,
    }
}

impl Rows for SeriesSet {
    fn rows(&self) -> usize {
        self.n
    }
    fn content(&self, row: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        pixels_content(&mut bytes, self.window(row));
        bytes
    }
    fn label(&self, row: usize) -> u64 {
        label(&self.labels, &self.targets, row)
    }
}

/// Canonical bytes of a row of columns, without a label, behind what `bytes` holds.
pub fn columns_content(bytes: &mut Vec<u8>, columns: &[Column], row: usize) {
    for column in columns {
        cell(bytes, column, row);
    }
}

/// Canonical bytes of one image, without a label, behind what `bytes` holds.
pub fn pixels_content(bytes: &mut Vec<u8>, pixels: &[f32]) {
    bytes.extend(pixels.iter().flat_map(|v| number(f64::from(*v))));
}

/// One cell: missing, a number in eight bytes, or a text with its length before it.
fn cell(bytes: &mut Vec<u8>, column: &Column, row: usize) {
    match &column.cells {
        Cells::Numbers(numbers) => match numbers.get(row).copied().filter(|n| !n.is_nan()) {
            None => bytes.push(MISSING),
            Some(value) => {
                bytes.push(NUMBER);
                bytes.extend(number(value));
            }
        },
        Cells::Texts(texts) => match texts.get(row).and_then(Option::as_deref) {
            None => bytes.push(MISSING),
            Some(text) => {
                bytes.push(TEXT);
                bytes.extend((text.len() as u64).to_be_bytes());
                bytes.extend(text.as_bytes());
            }
        },
    }
}

/// Big-endian bits of a number; the two zeros are one.
fn number(value: f64) -> [u8; 8] {
    let value = if value == 0.0 { 0.0 } else { value };
    value.to_bits().to_be_bytes()
}

fn key(rows: &dyn Rows, row: usize) -> [u8; 32] {
    Sha256::digest(rows.content(row)).into()
}

const TAG: &[u8] = b"proofmark.row/1\n";
const MISSING: u8 = 0;
const NUMBER: u8 = 1;
const TEXT: u8 = 2;
