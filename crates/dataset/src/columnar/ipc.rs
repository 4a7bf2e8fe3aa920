//! Arrow IPC, files and streams.
//!
//! Owns the walk over the messages that comes first: sizes that a message states, and sizes that
//! packed buffers state, are bounded before anything is allocated for them. A file is read as the
//! stream it contains. Called by [`super`].

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Cursor, Read, Seek, SeekFrom};

use arrow_ipc::reader::StreamReader;
use arrow_ipc::{Message, MessageHeader, root_as_message};
use proofmark_schema::system::DataFormat;

use super::slices::Slices;
use super::{Batches, ColumnarError, batch_rows, check_names};

/// Batches of bytes in memory.
pub(super) fn of_bytes(bytes: &[u8]) -> Result<Batches, ColumnarError> {
    open(Cursor::new(bytes.to_vec()))
}

/// Batches of a file.
pub(super) fn of_file(file: File) -> Result<Batches, ColumnarError> {
    open(BufReader::new(file))
}

fn open<R: Read + Seek + Send + 'static>(mut reader: R) -> Result<Batches, ColumnarError> {
    let len = reader.seek(SeekFrom::End(0)).map_err(refused)?;
    reader.rewind().map_err(refused)?;
    let mut magic = Vec::new();
    (&mut reader).take(MAGIC.len() as u64).read_to_end(&mut magic).map_err(refused)?;
    // A file is its magic, a stream, and a footer that repeats where the messages are.
    let start = if magic == MAGIC { first_message(&mut reader)? } else { 0 };
    reader.seek(SeekFrom::Start(start)).map_err(refused)?;
    let rows = check(&mut reader, start, len)?;
    reader.seek(SeekFrom::Start(start)).map_err(refused)?;
    let mut reader = StreamReader::try_new(reader, None).map_err(refused)?;
    let schema = reader.schema();
    let columns: Vec<String> = schema.fields().iter().map(|f| f.name().clone()).collect();
    check_names(&columns)?;
    let mut slices = Slices::default();
    let rows_at_once = batch_rows(columns.len());
    let next = move || {
        loop {
            if let Some(frame) = slices.next(rows_at_once)? {
                return Ok(Some(frame));
            }
            match reader.next().transpose().map_err(refused)? {
                Some(batch) => slices.fill(batch),
                None => return Ok(None),
            }
        }
    };
    let format = DataFormat::Arrow;
    Ok(Batches { format, columns, rows: Some(rows), next: Box::new(next) })
}

/// Where the messages of a file begin: zeros behind its magic align them, to 8 bytes or to 64.
fn first_message<R: Read + Seek>(reader: &mut R) -> Result<u64, ColumnarError> {
    reader.seek(SeekFrom::Start(FILE_START)).map_err(refused)?;
    let mut padding = Vec::new();
    reader.take(ALIGNED_MAX - FILE_START).read_to_end(&mut padding).map_err(refused)?;
    let zeros = padding.iter().take_while(|byte| **byte == 0).count() as u64;
    Ok(FILE_START + zeros / FILE_START * FILE_START)
}

/// Walks over all messages; gives the rows they hold.
fn check<R: Read + Seek>(reader: &mut R, mut at: u64, len: u64) -> Result<u64, ColumnarError> {
    let mut rows = 0u64;
    // What each dictionary takes: the reader holds all of them to the end.
    let mut dictionaries = BTreeMap::new();
    loop {
        let Some(size) = message_size(reader)? else { return Ok(rows) };
        if size > META_BYTES_MAX.min(len.saturating_sub(at)) {
            return Err(refused("a message is longer than the file, or than any real one"));
        }
        let mut meta = Vec::new();
        reader.take(size).read_to_end(&mut meta).map_err(refused)?;
        let message = root_as_message(&meta).map_err(refused)?;
        let body = u64::try_from(message.bodyLength()).unwrap_or(u64::MAX);
        let start = at + PREFIX + size;
        let end = start.checked_add(body).filter(|end| *end <= len);
        let end = end.ok_or_else(|| refused("a message ends behind the file"))?;
        rows = rows.saturating_add(batch(reader, &message, start, body, &mut dictionaries)?);
        reader.seek(SeekFrom::Start(end)).map_err(refused)?;
        at = end;
    }
}

/// Length of the next message; `None` at the end of the stream.
fn message_size<R: Read>(reader: &mut R) -> Result<Option<u64>, ColumnarError> {
    let mut prefix = Vec::new();
    reader.take(PREFIX).read_to_end(&mut prefix).map_err(refused)?;
    match *prefix.as_slice() {
        [] => Ok(None),
        [0xff, 0xff, 0xff, 0xff, a, b, c, d] => match u32::from_le_bytes([a, b, c, d]) {
            0 => Ok(None),
            size => Ok(Some(u64::from(size))),
        },
        _ => Err(refused("a message does not begin where the one before it ends")),
    }
}

/// Checks the sizes of one message's buffers; gives its rows.
fn batch<R: Read + Seek>(
    reader: &mut R,
    message: &Message<'_>,
    start: u64,
    body: u64,
    dictionaries: &mut BTreeMap<i64, u64>,
) -> Result<u64, ColumnarError> {
    let dictionary = message.header_as_dictionary_batch();
    let records = match message.header_type() {
        MessageHeader::RecordBatch => message.header_as_record_batch(),
        MessageHeader::DictionaryBatch => dictionary.and_then(|d| d.data()),
        _ => return Ok(0),
    };
    let Some(records) = records else { return Err(refused("a message has no content")) };
    let rows = u64::try_from(records.length()).unwrap_or(u64::MAX);
    if rows > ROWS_MAX {
        let limit = ROWS_MAX;
        return Err(ColumnarError::TooLarge { what: "rows in one batch", found: rows, limit });
    }
    let packed = records.compression().is_some();
    let mut unpacked = 0u64;
    for buffer in records.buffers().into_iter().flatten() {
        let offset = u64::try_from(buffer.offset()).unwrap_or(u64::MAX);
        let size = u64::try_from(buffer.length()).unwrap_or(u64::MAX);
        if offset.checked_add(size).is_none_or(|end| end > body) {
            return Err(refused("a buffer ends behind its message"));
        }
        if !packed || size < 8 {
            unpacked = unpacked.saturating_add(size);
            continue;
        }
        reader.seek(SeekFrom::Start(start + offset)).map_err(refused)?;
        let mut stated = [0u8; 8];
        reader.read_exact(&mut stated).map_err(refused)?;
        // -1: the buffer is not packed after all.
        let stated = u64::try_from(i64::from_le_bytes(stated)).unwrap_or(size);
        unpacked = unpacked.saturating_add(stated);
    }
    let held = if packed { unpacked.saturating_add(body) } else { unpacked.max(body) };
    let Some(dictionary) = dictionary else {
        bounded("one batch and what it is packed in", held)?;
        return Ok(rows);
    };
    let of_one = dictionaries.entry(dictionary.id()).or_default();
    *of_one = if dictionary.isDelta() { of_one.saturating_add(held) } else { held };
    let all = dictionaries.values().fold(0u64, |sum, bytes| sum.saturating_add(*bytes));
    bounded("the dictionaries", all)?;
    Ok(0)
}

fn bounded(what: &'static str, found: u64) -> Result<(), ColumnarError> {
    if found <= BATCH_BYTES_MAX {
        return Ok(());
    }
    let hint = "write the file in smaller batches (pyarrow: `max_chunksize`)";
    Err(ColumnarError::Heavy { what, found, limit: BATCH_BYTES_MAX, hint })
}

fn refused(error: impl std::fmt::Display) -> ColumnarError {
    ColumnarError::Unreadable { container: "Arrow IPC", reason: error.to_string() }
}

const MAGIC: &[u8] = b"ARROW1";
/// The magic and the least zeros that align what follows.
const FILE_START: u64 = 8;
/// The widest alignment that writers use.
const ALIGNED_MAX: u64 = 64;
/// The mark of a message and its length.
const PREFIX: u64 = 8;
/// Bytes of a message's description: a handful per column and buffer.
const META_BYTES_MAX: u64 = 64 << 20;
/// Bytes of one batch as it lies in the file and unpacked, and of all dictionaries: as much as a
/// declared file may have.
const BATCH_BYTES_MAX: u64 = 512 << 20;
/// Rows of one batch: columns of nulls take no bytes, whatever their length.
const ROWS_MAX: u64 = 1 << 31;
