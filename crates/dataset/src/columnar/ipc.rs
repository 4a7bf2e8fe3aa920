//! Arrow IPC, files and streams.
//!
//! Owns the walk over the messages that comes first: sizes that a message states, and sizes that
//! packed buffers state, are bounded before anything is allocated for them. A file is read as the
//! stream it contains. Called by [`super`].

use std::fs::File;
use std::io::{BufReader, Cursor, Read, Seek, SeekFrom};

use arrow_array::RecordBatch;
use arrow_ipc::reader::StreamReader;
use arrow_ipc::{Message, MessageHeader, root_as_message};
use proofmark_schema::system::DataFormat;

use super::{BATCH_ROWS, Batches, ColumnarError, arrays, check_names};

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
    let start = if magic == MAGIC { FILE_START } else { 0 };
    reader.seek(SeekFrom::Start(start)).map_err(refused)?;
    let rows = check(&mut reader, start, len)?;
    reader.seek(SeekFrom::Start(start)).map_err(refused)?;
    let mut reader = StreamReader::try_new(reader, None).map_err(refused)?;
    let schema = reader.schema();
    let columns: Vec<String> = schema.fields().iter().map(|f| f.name().clone()).collect();
    check_names(&columns)?;
    let mut held: Option<(RecordBatch, usize)> = None;
    let next = move || {
        loop {
            if let Some((batch, at)) = &mut held
                && *at < batch.num_rows()
            {
                let n = (batch.num_rows() - *at).min(BATCH_ROWS);
                let part = batch.slice(*at, n);
                *at += n;
                return Ok(Some(arrays::frame(&part)));
            }
            held = reader.next().transpose().map_err(refused)?.map(|batch| (batch, 0));
            if held.is_none() {
                return Ok(None);
            }
        }
    };
    let format = DataFormat::Arrow;
    Ok(Batches { format, columns, rows: Some(rows), next: Box::new(next) })
}

/// Walks over all messages; gives the rows they hold.
fn check<R: Read + Seek>(reader: &mut R, mut at: u64, len: u64) -> Result<u64, ColumnarError> {
    let mut rows = 0u64;
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
        rows = rows.saturating_add(batch(reader, &message, start, body)?);
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
) -> Result<u64, ColumnarError> {
    let (records, counted) = match message.header_type() {
        MessageHeader::RecordBatch => (message.header_as_record_batch(), true),
        MessageHeader::DictionaryBatch => {
            (message.header_as_dictionary_batch().and_then(|d| d.data()), false)
        }
        _ => return Ok(0),
    };
    let Some(records) = records else { return Err(refused("a message has no content")) };
    let rows = u64::try_from(records.length()).unwrap_or(u64::MAX);
    if rows > ROWS_MAX {
        let limit = ROWS_MAX;
        return Err(ColumnarError::TooLarge { what: "rows in one batch", found: rows, limit });
    }
    let mut unpacked = 0u64;
    for buffer in records.buffers().into_iter().flatten() {
        let offset = u64::try_from(buffer.offset()).unwrap_or(u64::MAX);
        let size = u64::try_from(buffer.length()).unwrap_or(u64::MAX);
        if offset.checked_add(size).is_none_or(|end| end > body) {
            return Err(refused("a buffer ends behind its message"));
        }
        if records.compression().is_none() || size < 8 {
            continue;
        }
        reader.seek(SeekFrom::Start(start + offset)).map_err(refused)?;
        let mut stated = [0u8; 8];
        reader.read_exact(&mut stated).map_err(refused)?;
        // -1: the buffer is not packed after all.
        let stated = i64::from_le_bytes(stated).max(0);
        unpacked = unpacked.saturating_add(stated.unsigned_abs());
    }
    if unpacked > UNPACKED_BYTES_MAX {
        let (found, limit) = (unpacked, UNPACKED_BYTES_MAX);
        return Err(ColumnarError::TooLarge { what: "bytes in one batch", found, limit });
    }
    Ok(if counted { rows } else { 0 })
}

fn refused(error: impl std::fmt::Display) -> ColumnarError {
    ColumnarError::Unreadable { container: "Arrow IPC", reason: error.to_string() }
}

const MAGIC: &[u8] = b"ARROW1";
/// The magic and the zeros that align what follows.
const FILE_START: u64 = 8;
/// The mark of a message and its length.
const PREFIX: u64 = 8;
/// Bytes of a message's description: a handful per column and buffer.
const META_BYTES_MAX: u64 = 64 << 20;
/// Bytes of one batch when unpacked: as much as a file may have.
const UNPACKED_BYTES_MAX: u64 = 512 << 20;
/// Rows of one batch: columns of nulls take no bytes, whatever their length.
const ROWS_MAX: u64 = 1 << 31;
