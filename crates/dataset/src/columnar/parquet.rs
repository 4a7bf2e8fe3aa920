//! Parquet files.
//!
//! Owns the limits that are checked before anything is decoded: columns, and the size of every
//! page as its header states it ([`super::pages`]). Called by [`super`].

use std::fs::File;

use bytes::Bytes;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::file::metadata::PageIndexPolicy;
use parquet::file::reader::ChunkReader;
use proofmark_schema::system::DataFormat;

use super::{BATCH_ROWS, Batches, ColumnarError, arrays, check_names, pages};

/// Batches of bytes in memory.
pub(super) fn of_bytes(bytes: &[u8]) -> Result<Batches, ColumnarError> {
    open(Bytes::copy_from_slice(bytes))
}

/// Batches of a file, of which one row group's pages are held at a time.
pub(super) fn of_file(file: File) -> Result<Batches, ColumnarError> {
    open(file)
}

fn open<R: ChunkReader + 'static>(reader: R) -> Result<Batches, ColumnarError> {
    let options = ArrowReaderOptions::new()
        .with_page_index_policy(PageIndexPolicy::Skip)
        .with_skip_arrow_metadata(true);
    let metadata = ArrowReaderMetadata::load(&reader, options).map_err(refused)?;
    let schema = metadata.schema().clone();
    let columns: Vec<String> = schema.fields().iter().map(|f| f.name().clone()).collect();
    check_names(&columns)?;
    pages::check(&reader, metadata.metadata())?;
    let rows = metadata.metadata().file_metadata().num_rows();
    let rows = u64::try_from(rows).map_err(|_| refused("it counts a negative number of rows"))?;
    let mut batches = ParquetRecordBatchReaderBuilder::new_with_metadata(reader, metadata)
        .with_batch_size(BATCH_ROWS)
        .build()
        .map_err(refused)?;
    let next = move || {
        let batch = batches.next().transpose().map_err(refused)?;
        Ok(batch.map(|batch| arrays::frame(&batch)))
    };
    let rows = Some(rows);
    Ok(Batches { format: DataFormat::Parquet, columns, rows, next: Box::new(next) })
}

pub(super) fn refused(error: impl std::fmt::Display) -> ColumnarError {
    ColumnarError::Unreadable { container: "Parquet", reason: error.to_string() }
}
