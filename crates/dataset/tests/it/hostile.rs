//! Containers that are made to take memory: one text in many cells, counts that nothing backs,
//! encodings that grow. Each is refused or read in parts, and its good twin is read.

use std::fs::File;
use std::io::{Seek, Write};
use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, DictionaryArray, Int32Array, Int64Array, RecordBatch, StringArray};
use parquet::basic::Encoding;
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder};
use proofmark_dataset::csv::{self, CsvError, Hints};
use proofmark_dataset::rows::{RowStream, StreamOptions};
use proofmark_schema::system::{DialectPins, FeatureKind as Kind};

use crate::make::{features, ipc, parquet};

/// `rows` cells that all name one text of `bytes` bytes.
fn repeated(rows: usize, bytes: usize) -> RecordBatch {
    let values = StringArray::from(vec!["x".repeat(bytes)]);
    let keys = Int32Array::from(vec![0; rows]);
    let texts = DictionaryArray::<Int32Type>::new(keys, Arc::new(values));
    let count = Int64Array::from_iter_values(0..rows as i64);
    RecordBatch::try_from_iter([
        ("n", Arc::new(count) as ArrayRef),
        ("text", Arc::new(texts) as ArrayRef),
    ])
    .unwrap()
}

fn read(bytes: &[u8], limit: Option<usize>) -> Result<usize, CsvError> {
    let hints = Hints { limit, ..Hints::default() };
    csv::read(bytes, &DialectPins::default(), &hints).map(|records| records.len())
}

/// Sizes of the batches of a stream.
fn streamed(bytes: &[u8], columns: &[&str]) -> Vec<usize> {
    let mut file = tempfile();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    let columns = columns.iter().map(|c| (*c).to_owned()).collect();
    let options = StreamOptions { columns, ..StreamOptions::default() };
    let mut stream = RowStream::open(file, &options).unwrap();
    let typing = stream.typing(&features(Kind::Integer, "n"), &[]).unwrap();
    let (mut sizes, mut next) = (Vec::new(), 0.0);
    while let Some(rows) = stream.advance().unwrap() {
        let typed = typing.columns(&rows).unwrap();
        for n in typed[0].numbers().unwrap() {
            assert_eq!(*n, next);
            next += 1.0;
        }
        sizes.push(rows.len());
    }
    sizes
}

/// A file that is read from its start and has no name once it is open.
fn tempfile() -> File {
    let path = std::env::temp_dir().join(format!("proofmark-{}-hostile", std::process::id()));
    let file = File::options().read(true).write(true).create(true).truncate(true).open(&path);
    let file = file.unwrap();
    std::fs::remove_file(path).unwrap();
    file
}

#[test]
fn one_text_in_many_cells_comes_in_small_batches_or_not_at_all() {
    let large = || WriterProperties::builder().set_dictionary_page_size_limit(8 << 20);
    // 1,200 cells of a mebibyte in a file of some kilobytes: over a GiB once each has its own.
    let batch = repeated(1_200, 1 << 20);
    for (name, bytes, packed) in
        [("parquet", parquet(&batch, large()), true), ("arrow", ipc(&batch), false)]
    {
        assert!(bytes.len() < if packed { 200 << 10 } else { 2 << 20 }, "{name}: {}", bytes.len());
        assert_eq!(read(&bytes, Some(40)).unwrap(), 40, "{name}");
        let told = read(&bytes, None).unwrap_err().to_string();
        assert!(told.contains("bytes of cells, at most 805306368 are read"), "{name}: {told}");
        // A column that nobody asks for is not decoded; one that is comes in parts of 64 MiB.
        let sizes = streamed(&bytes, &["n"]);
        assert_eq!(sizes.iter().sum::<usize>(), 1_200, "{name}");
        assert!(if packed { sizes == [1_200] } else { sizes[0] <= 64 }, "{name}: {sizes:?}");
        let small = streamed(&bytes[..], &["n", "text"]);
        assert!(small.iter().all(|n| *n <= 64), "{name}: {small:?}");
    }
    let batch = repeated(20_000, 100);
    assert_eq!(read(&parquet(&batch, large()), None).unwrap(), 20_000);
    assert_eq!(read(&ipc(&batch), None).unwrap(), 20_000);
}

#[test]
fn a_text_larger_than_a_batch_is_refused() {
    let batch = repeated(3, 65 << 20);
    let large = WriterProperties::builder().set_dictionary_page_size_limit(100 << 20);
    for bytes in [parquet(&batch, large), ipc(&batch)] {
        let told = read(&bytes, None).unwrap_err().to_string();
        assert!(told.starts_with("the texts of one row take 68157440 bytes in memory"), "{told}");
    }
}

#[test]
fn encodings_of_texts_are_read_or_refused_by_name() {
    let words = (0..3_000).map(|i| (i % 7 > 0).then(|| format!("word number {}", i % 900)));
    let texts: StringArray = words.collect();
    let n = Int64Array::from_iter_values(0..3_000);
    let batch = RecordBatch::try_from_iter([
        ("n", Arc::new(n) as ArrayRef),
        ("text", Arc::new(texts) as ArrayRef),
    ])
    .unwrap();
    let plain = |encoding| {
        let builder = WriterProperties::builder().set_dictionary_enabled(false);
        builder.set_column_encoding("text".into(), encoding)
    };
    let records = |builder: WriterPropertiesBuilder| {
        let bytes = parquet(&batch, builder);
        csv::read(&bytes, &DialectPins::default(), &Hints::default())
    };
    let want = records(WriterProperties::builder()).unwrap();
    assert!(want.is_absent(0, 1) && want.field(1, 1) == Some("word number 1"));
    for version in [
        parquet::file::properties::WriterVersion::PARQUET_1_0,
        parquet::file::properties::WriterVersion::PARQUET_2_0,
    ] {
        for encoding in [Encoding::PLAIN, Encoding::DELTA_LENGTH_BYTE_ARRAY] {
            let got = records(plain(encoding).set_writer_version(version)).unwrap();
            assert!(got == want, "{encoding} {version:?}");
        }
    }
    let told = records(plain(Encoding::DELTA_BYTE_ARRAY)).unwrap_err().to_string();
    assert!(told.contains("(DELTA_BYTE_ARRAY)") && told.contains("write it with"), "{told}");
}

#[test]
fn a_dictionary_that_counts_more_than_it_holds_is_refused() {
    let texts = StringArray::from(vec!["a", "b", "a", "b"]);
    let batch = RecordBatch::try_from_iter([("text", Arc::new(texts) as ArrayRef)]).unwrap();
    let mut bytes = parquet(&batch, WriterProperties::builder());
    assert_eq!(read(&bytes, None).unwrap(), 4);
    // Field 7 of the page header, a record whose first field is the number of values: 2, zigzag.
    let head = [0x4c, 0x15, 0x04];
    let at = bytes.windows(3).position(|w| w == head).expect("a dictionary");
    bytes[at + 2] = 0x7e;
    let told = read(&bytes, None).unwrap_err().to_string();
    assert!(told.contains("a dictionary counts more values than it has bytes for"), "{told}");
}
