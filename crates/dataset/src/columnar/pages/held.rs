//! What the decoder of Parquet holds at once.
//!
//! Owns the sum: a batch of so many rows touches, in every column, some pages that follow each
//! other and the dictionaries of their chunks, and the texts of the batch point into all of them.
//! Must never count less than that. Called by [`super`].

use crate::columnar::ColumnarError;

/// A page as the decoder holds it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Page {
    /// Rows; none for a dictionary.
    pub(super) rows: u64,
    /// Bytes in memory.
    pub(super) bytes: u64,
    /// Whether it is the dictionary of the pages behind it.
    pub(super) dictionary: bool,
}

/// Pages of all columns.
pub(super) struct Held {
    columns: Vec<Vec<Chunk>>,
    rows: usize,
}

/// The pages of a column in one row group.
#[derive(Default)]
struct Chunk {
    dictionary: u64,
    pages: Vec<Page>,
}

impl Held {
    /// For so many columns, of which `rows` are wanted at once.
    pub(super) fn of(columns: usize, rows: usize) -> Self {
        Self { columns: (0..columns).map(|_| Vec::new()).collect(), rows }
    }

    /// Begins the pages of a row group.
    pub(super) fn begin_chunk(&mut self, column: usize) {
        if let Some(column) = self.columns.get_mut(column) {
            column.push(Chunk::default());
        }
    }

    /// Adds the next page.
    pub(super) fn push(&mut self, column: usize, page: Page) {
        let Some(chunk) = self.columns.get_mut(column).and_then(|c| c.last_mut()) else { return };
        if page.dictionary {
            chunk.dictionary = chunk.dictionary.saturating_add(page.bytes);
            return;
        }
        match chunk.pages.last_mut() {
            // Small pages count as one, which only makes the sum larger.
            Some(last) if last.bytes.saturating_add(page.bytes) <= MERGED_BYTES => {
                last.bytes += page.bytes;
                last.rows = last.rows.saturating_add(page.rows);
            }
            _ => chunk.pages.push(page),
        }
    }

    /// The most rows, as wanted or fewer, whose pages may be held at once.
    pub(super) fn rows_at_once(&self) -> Result<usize, ColumnarError> {
        let mut rows = self.rows;
        loop {
            let all = self.columns.iter().map(|column| widest(column, rows as u64));
            let found = all.fold(0u64, u64::saturating_add);
            if found <= HELD_BYTES_MAX {
                return Ok(rows);
            }
            if rows == 1 {
                let (what, limit) = ("the pages of one row", HELD_BYTES_MAX);
                let hint = "write the file with smaller pages (pyarrow: `data_page_size`, \
                            `dictionary_pagesize_limit`), or with fewer columns";
                return Err(ColumnarError::Heavy { what, found, limit, hint });
            }
            rows = (rows / FEWER).max(1);
        }
    }
}

/// Bytes of the pages that some `rows` rows touch, where they are the most.
fn widest(column: &[Chunk], rows: u64) -> u64 {
    // (chunk, page, rows before it), in order.
    let mut before = 0u64;
    let mut pages = Vec::new();
    for (at, chunk) in column.iter().enumerate() {
        for page in &chunk.pages {
            pages.push((at, *page, before));
            before = before.saturating_add(page.rows);
        }
    }
    let dictionary = |chunk: usize| column.get(chunk).map_or(0, |c| c.dictionary);
    let lone = column.iter().map(|c| c.dictionary).max().unwrap_or(0);
    let (mut sum, mut most) = (0u64, lone);
    let mut first = pages.iter().peekable();
    let mut last_chunk = None;
    for (chunk, page, start) in &pages {
        sum = sum.saturating_add(page.bytes);
        if last_chunk != Some(*chunk) {
            sum = sum.saturating_add(dictionary(*chunk));
            last_chunk = Some(*chunk);
        }
        // A page is left behind when a whole batch fits between it and this one.
        let behind = |(_, old, at): &&(usize, Page, u64)| {
            let end = at.saturating_add(old.rows);
            at < start && start.saturating_sub(end) >= rows
        };
        while let Some((old, page, _)) = first.next_if(behind) {
            sum = sum.saturating_sub(page.bytes);
            if first.peek().is_some_and(|(next, ..)| next != old) {
                sum = sum.saturating_sub(dictionary(*old));
            }
        }
        most = most.max(sum);
    }
    most
}

/// Bytes of pages that are held at once: columns of megabytes by the hundred fit, and the process
/// stays below two gigabytes.
const HELD_BYTES_MAX: u64 = 1 << 30;
/// Bytes up to which pages count as one.
const MERGED_BYTES: u64 = 64 << 10;
/// How much smaller the next batch is that is tried.
const FEWER: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn held(columns: &[&[&[(u64, u64)]]], rows: usize) -> Result<usize, ColumnarError> {
        let mut held = Held::of(columns.len(), rows);
        for (at, chunks) in columns.iter().enumerate() {
            for chunk in *chunks {
                held.begin_chunk(at);
                for (rows, mib) in *chunk {
                    // No rows: a dictionary.
                    let page = Page { rows: *rows, bytes: mib * MIB, dictionary: *rows == 0 };
                    held.push(at, page);
                }
            }
        }
        held.rows_at_once()
    }

    #[test]
    fn batches_shrink_until_their_pages_fit() {
        let many = |page: (u64, u64), n: usize| vec![page; n];
        let ordinary = many((20_000, 1), 2_000);
        assert_eq!(held(&[&[&ordinary]], 8_192).unwrap(), 8_192, "a large file of small pages");
        // A page of 100 MiB for each row: ten are too many, one is not.
        let rows = many((1, 100), 64);
        assert_eq!(held(&[&[&rows]], 8_192).unwrap(), 2);
        // Eight columns of them are too many at any size of a batch.
        let column: &[&[(u64, u64)]] = &[&rows];
        let told = held(&[column; 8], 8_192).unwrap_err().to_string();
        assert!(told.starts_with("the pages of one row take 1677721600 bytes"), "{told}");
        // Dictionaries count with each chunk they serve.
        let chunk: &[(u64, u64)] = &[(0, 120), (1, 1)];
        assert_eq!(held(&[&[chunk; 64]], 8_192).unwrap(), 2);
        assert_eq!(held(&[&[&[(0, 120), (90_000, 1), (90_000, 1)]]], 8_192).unwrap(), 8_192);
        assert!(held(&[&[&[(0, 1_025)]]], 8_192).is_err(), "a dictionary without a page");
        assert_eq!(held(&[], 8_192).unwrap(), 8_192);
    }
}
