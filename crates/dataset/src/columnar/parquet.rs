//! Parquet files.
//!
//! Owns the limits that are checked before anything is decoded: columns, and the pages that the
//! reader would hold at once ([`super::pages`]). Columns without cells, and such as nobody asked
//! for, are not decoded at all. Called by [`super`].

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema};
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::basic::Type;
use parquet::file::metadata::PageIndexPolicy;
use parquet::file::reader::ChunkReader;
use parquet::schema::types::SchemaDescriptor;
use proofmark_schema::system::DataFormat;

use super::slices::Slices;
use super::{
    Batches, ColumnarError, Frame, FrameCells, FrameColumn, arrays, batch_rows, check_names,
    footer, pages,
};

/// Batches of bytes in memory.
pub(super) fn of_bytes(bytes: &[u8]) -> Result<Batches, ColumnarError> {
    let bytes = Bytes::copy_from_slice(bytes);
    open(bytes.clone(), bytes, &[])
}

/// Batches of a file, of which the pages of one batch are held at a time; all columns, or those
/// `wanted`.
pub(super) fn of_file(file: File, wanted: &[String]) -> Result<Batches, ColumnarError> {
    let again = file.try_clone().map_err(refused)?;
    open(file, again, wanted)
}

fn open<R: ChunkReader + 'static>(
    reader: R,
    checked: R,
    wanted: &[String],
) -> Result<Batches, ColumnarError> {
    footer::check(&reader)?;
    let options = || ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Skip);
    let metadata = ArrowReaderMetadata::load(&reader, options().with_skip_arrow_metadata(true));
    let metadata = metadata.map_err(refused)?;
    let found = columns(&metadata);
    let names: Vec<String> = found.iter().map(|c| c.name.clone()).collect();
    check_names(&names)?;
    let asked = |c: &Found| c.unread.is_none() && (wanted.is_empty() || wanted.contains(&c.name));
    let read: Vec<usize> =
        (0..found.len()).filter(|at| found.get(*at).is_some_and(asked)).collect();
    let leaves: Vec<usize> = read.iter().filter_map(|at| found.get(*at)?.leaf).collect();
    let rows_at_once = batch_rows(read.len());
    let parquet = metadata.metadata();
    let rows_at_once = pages::check(&Arc::new(checked), parquet, &leaves, rows_at_once)?;
    let rows = u64::try_from(parquet.file_metadata().num_rows());
    let rows = rows.map_err(|_| refused("it counts a negative number of rows"))?;

    // Views point into pages and dictionaries, where plain texts would be copied for every cell.
    let schema = Arc::new(as_views(metadata.schema()));
    let viewed = ArrowReaderMetadata::try_new(parquet.clone(), options().with_schema(schema));
    let mask = ProjectionMask::leaves(parquet.file_metadata().schema_descr(), leaves);
    let mut batches =
        ParquetRecordBatchReaderBuilder::new_with_metadata(reader, viewed.map_err(refused)?)
            .with_batch_size(rows_at_once)
            .with_projection(mask)
            .build()
            .map_err(refused)?;
    let mut slices = Slices::default();
    let next = move || {
        loop {
            if let Some(frame) = slices.next(rows_at_once)? {
                return Ok(Some(widened(frame, &found)));
            }
            match batches.next().transpose().map_err(refused)? {
                Some(batch) => slices.fill(batch),
                None => return Ok(None),
            }
        }
    };
    let (format, rows) = (DataFormat::Parquet, Some(rows));
    Ok(Batches { format, columns: names, rows, next: Box::new(next) })
}

/// A column of the file.
struct Found {
    name: String,
    /// The first of its places among the columns that hold values.
    leaf: Option<usize>,
    /// What it holds when it has no cells in a table.
    unread: Option<String>,
}

fn columns(metadata: &ArrowReaderMetadata) -> Vec<Found> {
    let leaves = metadata.metadata().file_metadata().schema_descr();
    let mut first = BTreeMap::new();
    for leaf in 0..leaves.num_columns() {
        first.entry(leaves.get_column_root_idx(leaf)).or_insert(leaf);
    }
    let fields = metadata.schema().fields().iter().enumerate();
    let column = |(root, field): (usize, &Arc<Field>)| {
        let leaf = first.get(&root).copied();
        let unread = arrays::unread(field.data_type());
        let unread = unread.or_else(|| loose_decimal(leaves, leaf?, field.data_type()));
        Found { name: field.name().clone(), leaf, unread }
    };
    fields.map(column).collect()
}

/// Decimals of any length are put together as bytes first, of which nothing bounds the size.
fn loose_decimal(leaves: &SchemaDescriptor, leaf: usize, kind: &DataType) -> Option<String> {
    let bytes = leaves.column(leaf).physical_type() == Type::BYTE_ARRAY;
    let text = matches!(kind, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    (bytes && !text).then(|| "decimals of any length (declare them with a precision)".to_owned())
}

fn as_views(schema: &Schema) -> Schema {
    let field = |field: &Arc<Field>| match field.data_type() {
        DataType::Utf8 => Arc::new(field.as_ref().clone().with_data_type(DataType::Utf8View)),
        _ => Arc::clone(field),
    };
    Schema::new(schema.fields().iter().map(field).collect::<Vec<_>>())
}

/// The columns that were not decoded, in their places.
fn widened(frame: Frame, found: &[Found]) -> Frame {
    let mut read = frame.columns.into_iter().peekable();
    let column = |column: &Found| {
        let name = column.name.clone();
        match read.next_if(|c| c.name == name) {
            Some(column) => column,
            None => {
                let what = column.unread.clone().unwrap_or_default();
                FrameColumn { name, cells: FrameCells::Unread(what) }
            }
        }
    };
    Frame { n: frame.n, columns: found.iter().map(column).collect() }
}

pub(super) fn refused(error: impl std::fmt::Display) -> ColumnarError {
    ColumnarError::Unreadable { container: "Parquet", reason: error.to_string() }
}
