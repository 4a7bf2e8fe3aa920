//! Sizes of Parquet pages, checked before a page is decoded.
//!
//! Owns a walk over the page headers (Thrift compact protocol, of which only sizes, counts and
//! encodings are kept): the decoder allocates what a header states and inflates gzip to its end,
//! so both are bounded here, and so is what it holds at once. Must never decode a page for its
//! values. Called by [`super::parquet`].

mod held;

use std::io::Read;
use std::sync::Arc;

use parquet::basic::{Compression, Encoding, Type};
use parquet::column::page::{Page as Unpacked, PageReader};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::reader::ChunkReader;
use parquet::file::serialized_reader::SerializedPageReader;

use super::ColumnarError;
use super::parquet::refused;
use held::Held;

/// Refuses what is not read and what would be too large of the columns with those places; gives
/// how many rows may be decoded at once, at most `rows`.
pub(super) fn check<R: ChunkReader + 'static>(
    reader: &Arc<R>,
    metadata: &ParquetMetaData,
    columns: &[usize],
    rows: usize,
) -> Result<usize, ColumnarError> {
    let mut held = Held::of(columns.len(), rows);
    for group in metadata.row_groups() {
        for (at, column) in columns.iter().enumerate() {
            let column = group.columns().get(*column);
            let column = column.ok_or_else(|| refused("a row group lacks a column"))?;
            readable(column)?;
            held.begin_chunk(at);
            let delta = walk(reader.as_ref(), column, &mut |page| held.push(at, page))?;
            if delta {
                lengths(reader, column, usize::try_from(group.num_rows()).map_err(refused)?)?;
            }
        }
    }
    held.rows_at_once()
}

/// Refuses codecs that are not read.
fn readable(column: &ColumnChunkMetaData) -> Result<(), ColumnarError> {
    let name = match column.compression() {
        Compression::BROTLI(_) => "brotli",
        Compression::LZO => "LZO",
        // Its framing differs between writers and has no stated size in some.
        Compression::LZ4 => "the deprecated LZ4",
        _ => return Ok(()),
    };
    Err(refused(format!("its pages are packed with {name}; write it with zstd")))
}

/// Walks over the pages of a column; gives whether one has lengths to be looked at.
fn walk<R: ChunkReader>(
    reader: &R,
    column: &ColumnChunkMetaData,
    push: &mut dyn FnMut(held::Page),
) -> Result<bool, ColumnarError> {
    let start = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
    let (Ok(start), Ok(len)) = (u64::try_from(start), u64::try_from(column.compressed_size()))
    else {
        return Err(refused("a column begins before the file"));
    };
    let end = start.checked_add(len).filter(|end| *end <= reader.len());
    let end = end.ok_or_else(|| refused("a column ends behind the file"))?;
    let (mut at, mut delta) = (start, false);
    while at < end {
        let (page, header) = header(reader, at, end - at)?;
        let sizes = (u64::try_from(page.packed), u64::try_from(page.full));
        let (Ok(packed), Ok(full)) = sizes else {
            return Err(refused("a page has a negative size"));
        };
        if full > PAGE_BYTES_MAX {
            let (found, limit) = (full, PAGE_BYTES_MAX);
            return Err(ColumnarError::TooLarge { what: "bytes in one page", found, limit });
        }
        let body = at + header;
        if packed > end.saturating_sub(body) {
            return Err(refused("a page ends behind its column"));
        }
        if matches!(column.compression(), Compression::GZIP(_)) {
            inflates_to(reader, body, packed, full)?;
        }
        delta |= page.encoding == Some(DELTA_LENGTHS);
        push(weighed(&page, full, column)?);
        at = body + packed;
    }
    Ok(delta)
}

/// What the decoder makes of a page.
fn weighed(
    page: &Page,
    full: u64,
    column: &ColumnChunkMetaData,
) -> Result<held::Page, ColumnarError> {
    if page.encoding == Some(DELTA_TEXTS) {
        let words = "texts are written as what they add to the one before (DELTA_BYTE_ARRAY), \
                     of which nothing bounds the size; write it with dictionaries, or plain";
        return Err(refused(words));
    }
    let values = page.values.map_or(Ok(0), u64::try_from).map_err(refused)?;
    if page.dictionary {
        // The least of a value is the two bytes of a half float.
        if values > full / 2 {
            return Err(refused("a dictionary counts more values than it has bytes for"));
        }
        let text = column.column_type() == Type::BYTE_ARRAY;
        let bytes = if text { full + values * VIEW_BYTES } else { full + values * VALUE_BYTES };
        return Ok(held::Page { rows: 0, bytes, dictionary: true });
    }
    Ok(held::Page { rows: values, bytes: full, dictionary: false })
}

/// The decoder makes a list of as many lengths as a page of texts states.
fn lengths<R: ChunkReader + 'static>(
    reader: &Arc<R>,
    column: &ColumnChunkMetaData,
    rows: usize,
) -> Result<(), ColumnarError> {
    let pages = SerializedPageReader::new(Arc::clone(reader), column, rows, None);
    let mut pages = pages.map_err(refused)?;
    let optional = column.column_descr().max_def_level() > 0;
    while let Some(page) = pages.get_next_page().map_err(refused)? {
        let (buffer, values, levels) = match page {
            Unpacked::DataPage {
                ref buf,
                num_values,
                encoding: Encoding::DELTA_LENGTH_BYTE_ARRAY,
                def_level_encoding,
                ..
            } => {
                if optional && def_level_encoding != Encoding::RLE {
                    return Err(refused("the levels of a page are of an old encoding"));
                }
                let size = buf.first_chunk::<4>().map(|size| u32::from_le_bytes(*size));
                let levels = size.and_then(|size| usize::try_from(size).ok()?.checked_add(4));
                let levels = if optional { levels } else { Some(0) };
                (buf, num_values, levels)
            }
            Unpacked::DataPageV2 {
                ref buf,
                num_values,
                encoding: Encoding::DELTA_LENGTH_BYTE_ARRAY,
                def_levels_byte_len,
                rep_levels_byte_len,
                ..
            } => {
                let levels = def_levels_byte_len.checked_add(rep_levels_byte_len);
                (buf, num_values, levels.and_then(|n| usize::try_from(n).ok()))
            }
            _ => continue,
        };
        let body = levels.and_then(|levels| buffer.get(levels..));
        let stated = body.filter(|body| !body.is_empty()).map(|bytes| {
            let mut thrift = Thrift { bytes, at: 0 };
            // Size of a block, parts of a block, values: variable-length numbers as in Thrift.
            thrift.varint().and_then(|_| thrift.varint()).and_then(|_| thrift.varint())
        });
        match stated {
            Some(Some(count)) if count > u64::from(values).min(LENGTHS_MAX) => {
                return Err(refused("a page counts more lengths of texts than values"));
            }
            // An empty page, or one that ends within its head: the decoder says so.
            _ => {}
        }
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

/// Facts of a page, as its header states them.
#[derive(Default)]
struct Page {
    full: i64,
    packed: i64,
    values: Option<i64>,
    encoding: Option<i64>,
    dictionary: bool,
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
            // A field that stands twice could mean one thing here and another to the decoder.
            if field <= id {
                return None;
            }
            id = field;
            match (field, kind) {
                (2, I32) => page.full = self.zigzag()?,
                (3, I32) => page.packed = self.zigzag()?,
                // Of a data page, of a dictionary, of a data page of version 2.
                (5, RECORD) => self.content(&mut page, 2)?,
                (7, RECORD) => {
                    page.dictionary = true;
                    self.content(&mut page, 2)?;
                }
                (8, RECORD) => self.content(&mut page, 4)?,
                _ => self.skip(kind, 0)?,
            }
        }
    }

    /// Number of values, and the encoding in the field of that number.
    fn content(&mut self, page: &mut Page, encoding: i64) -> Option<()> {
        let mut id = 0i64;
        loop {
            let (kind, field) = self.field(id)?;
            if kind == STOP {
                return Some(());
            }
            if field <= id {
                return None;
            }
            id = field;
            match (field, kind) {
                (1, I32) => page.values = Some(self.zigzag()?),
                (_, I32) if field == encoding => page.encoding = Some(self.zigzag()?),
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
const RECORD: u8 = 12;
/// Encodings as a page header numbers them (parquet-format, `Encoding`).
const DELTA_LENGTHS: i64 = 6;
const DELTA_TEXTS: i64 = 7;
/// Lengths of texts in one page: writers cut pages at some ten thousand values.
const LENGTHS_MAX: u64 = 16 << 20;
/// Memory of a text of a dictionary beside its page, and of any other value.
const VIEW_BYTES: u64 = 16;
const VALUE_BYTES: u64 = 16;
/// Structures within a page header nest two deep.
const DEPTH_MAX: usize = 8;
/// Bytes looked at for a header: most have tens, those with statistics of long texts more.
const HEADER_BYTES: [u64; 3] = [512, 64 << 10, 4 << 20];
/// Bytes of one page when unpacked: writers cut pages at one MiB or a few.
const PAGE_BYTES_MAX: u64 = 128 << 20;
