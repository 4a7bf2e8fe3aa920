//! Batches of a container as frames of bounded size.
//!
//! Owns how many rows of a batch become cells at once: containers share one text between many
//! cells, a frame does not. Called by the readers of Parquet and Arrow IPC.

use arrow_array::RecordBatch;

use super::{BATCH_TEXT_BYTES, ColumnarError, Frame, arrays};

/// A batch, and how far it was given.
#[derive(Default)]
pub(super) struct Slices {
    held: Option<(RecordBatch, usize)>,
}

impl Slices {
    /// Goes on with another batch.
    pub(super) fn fill(&mut self, batch: RecordBatch) {
        self.held = Some((batch, 0));
    }

    /// The next rows of the batch, at most `rows`; `None` when all were given, and then nothing of
    /// it is held.
    pub(super) fn next(&mut self, rows: usize) -> Result<Option<Frame>, ColumnarError> {
        let Some((batch, at)) = &mut self.held else { return Ok(None) };
        let mut n = batch.num_rows().saturating_sub(*at).min(rows.max(1));
        if n == 0 {
            self.held = None;
            return Ok(None);
        }
        loop {
            let part = batch.slice(*at, n);
            let bytes = arrays::text_bytes(&part);
            if bytes <= BATCH_TEXT_BYTES {
                *at += n;
                return Ok(Some(arrays::frame(&part)));
            }
            if n == 1 {
                let (found, limit) = (bytes as u64, BATCH_TEXT_BYTES as u64);
                let (what, hint) = ("the texts of one row", "leave long texts out of the file");
                return Err(ColumnarError::Heavy { what, found, limit, hint });
            }
            n /= 2;
        }
    }
}
