//! Sizes of Parquet pages, checked before a page is decoded.
//!
//! Owns a walk over the page headers (Thrift compact protocol, of which only sizes are kept): the
//! decoder allocates what a header states and inflates gzip to its end, so both are bounded here.
//! Must never decode a page. Called by [`super::parquet`].

use std::io::Read;

use parquet::basic::Compression;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::ChunkReader;

use super::ColumnarError;
use super::parquet::refused;

/// Refuses codecs that are not read and pages that would be larger than [`PAGE_BYTES_MAX`].
pub(super) fn check<R: ChunkReader>(
    reader: &R,
    metadata: &ParquetMetaData,
) -> Result<(), ColumnarError> {
    for group in metadata.row_groups() {
        for column in group.columns() {
            let codec = column.compression();
            let name = match codec {
                Compression::BROTLI(_) => Some("brotli"),
                Compression::LZO => Some("LZO"),
                // Its framing differs between writers and has no stated size in some.
                Compression::LZ4 => Some("the deprecated LZ4"),
                _ => None,
            };
            if let Some(name) = name {
                let words = format!("its pages are packed with {name}; write it with zstd");
                return Err(refused(words));
            }
            let start = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
            let (Ok(start), Ok(len)) =
                (u64::try_from(start), u64::try_from(column.compressed_size()))
            else {
                return Err(refused("a column begins before the file"));
            };
            walk(reader, start, len, matches!(codec, Compression::GZIP(_)))?;
        }
    }
    Ok(())
}

fn walk<R: ChunkReader>(reader: &R, start: u64, len: u64, gzip: bool) -> Result<(), ColumnarError> {
    let end = start.checked_add(len).filter(|end| *end <= reader.len());
    let end = end.ok_or_else(|| refused("a column ends behind the file"))?;
    let mut at = start;
    while at < end {
        let (page, header) = header(reader, at, end - at)?;
        let (packed, full) = match (u64::try_from(page.packed), u64::try_from(page.full)) {
            (Ok(packed), Ok(full)) => (packed, full),
            _ => return Err(refused("a page has a negative size")),
        };
        if full > PAGE_BYTES_MAX {
            let (found, limit) = (full, PAGE_BYTES_MAX);
            return Err(ColumnarError::TooLarge { what: "bytes in one page", found, limit });
        }
        let body = at + header;
        if packed > end.saturating_sub(body) {
            return Err(refused("a page ends behind its column"));
        }
        if gzip {
            inflates_to(reader, body, packed, full)?;
        }
        at = body + packed;
    }
    Ok(())
}

/// A gzip page may not hold more than its header says.
fn inflates_to<R: ChunkReader>(
    reader: &R,
    at: u64,
    packed: u64,
    full: u64,
) -> Result<(), ColumnarError> {
    let packed = usize::try_from(packed).map_err(refused)?;
    let bytes = reader.get_bytes(at, packed).map_err(refused)?;
    let mut inflated = flate2::read::MultiGzDecoder::new(bytes.as_ref()).take(full + 1);
    let mut buffer = [0u8; 8192];
    let mut found = 0;
    // A page that does not inflate at all is left to the decoder, which says why.
    while let Ok(n) = inflated.read(&mut buffer) {
        found += n as u64;
        if n == 0 {
            break;
        }
    }
    if found > full {
        return Err(refused("a page inflates to more than it states"));
    }
    Ok(())
}

/// Sizes of a page.
#[derive(Default)]
struct Page {
    full: i64,
    packed: i64,
}

/// The header at `at` and its length.
fn header<R: ChunkReader>(reader: &R, at: u64, left: u64) -> Result<(Page, u64), ColumnarError> {
    for size in HEADER_BYTES {
        let size = size.min(left);
        let bytes = usize::try_from(size).map_err(refused)?;
        let bytes = reader.get_bytes(at, bytes).map_err(refused)?;
        let mut thrift = Thrift { bytes: &bytes, at: 0 };
        if let Some(page) = thrift.page() {
            return Ok((page, thrift.at as u64));
        }
        if size == left {
            break;
        }
    }
    Err(refused("a page has no readable header"))
}

/// A cursor over Thrift's compact protocol; `None` where bytes run out or make no sense.
struct Thrift<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Thrift<'_> {
    fn page(&mut self) -> Option<Page> {
        let mut page = Page::default();
        let mut id = 0i64;
        loop {
            let (kind, field) = self.field(id)?;
            if kind == STOP {
                return Some(page);
            }
            id = field;
            match (field, kind) {
                (2, I32) => page.full = self.zigzag()?,
                (3, I32) => page.packed = self.zigzag()?,
                _ => self.skip(kind, 0)?,
            }
        }
    }

    /// Type and number of the next field; the number is a step from the last one where it fits.
    fn field(&mut self, last: i64) -> Option<(u8, i64)> {
        let byte = self.byte()?;
        let kind = byte & 0x0f;
        match byte >> 4 {
            _ if kind == STOP => Some((STOP, last)),
            0 => Some((kind, self.zigzag()?)),
            step => Some((kind, last.checked_add(i64::from(step))?)),
        }
    }

    fn skip(&mut self, kind: u8, depth: usize) -> Option<()> {
        if depth > DEPTH_MAX {
            return None;
        }
        match kind {
            1 | 2 => Some(()),
            3 => self.advance(1),
            4..=6 => self.varint().map(|_| ()),
            7 => self.advance(8),
            8 => {
                let len = self.varint()?;
                self.advance(usize::try_from(len).ok()?)
            }
            9 | 10 => {
                let head = self.byte()?;
                let count = match head >> 4 {
                    15 => self.varint()?,
                    few => u64::from(few),
                };
                let element = head & 0x0f;
                (0..count).try_for_each(|_| match element {
                    // Truth values take a byte in a list, and none as a field.
                    1 | 2 => self.advance(1),
                    _ => self.skip(element, depth + 1),
                })
            }
            12 => {
                let mut id = 0;
                loop {
                    let (kind, field) = self.field(id)?;
                    if kind == STOP {
                        return Some(());
                    }
                    id = field;
                    self.skip(kind, depth + 1)?;
                }
            }
            // Maps do not occur in a page header.
            _ => None,
        }
    }

    fn zigzag(&mut self) -> Option<i64> {
        let raw = self.varint()?;
        Some((raw >> 1) as i64 ^ -((raw & 1) as i64))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn byte(&mut self) -> Option<u8> {
        let byte = self.bytes.get(self.at).copied()?;
        self.at += 1;
        Some(byte)
    }

    fn advance(&mut self, n: usize) -> Option<()> {
        let at = self.at.checked_add(n).filter(|at| *at <= self.bytes.len())?;
        self.at = at;
        Some(())
    }
}

const STOP: u8 = 0;
const I32: u8 = 5;
/// Structures within a page header nest two deep.
const DEPTH_MAX: usize = 8;
/// Bytes looked at for a header: most have tens, those with statistics of long texts more.
const HEADER_BYTES: [u64; 3] = [512, 64 << 10, 4 << 20];
/// Bytes of one page when unpacked: writers cut pages at one MiB or a few.
const PAGE_BYTES_MAX: u64 = 128 << 20;
