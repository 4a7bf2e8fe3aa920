//! Rows of libsvm as a table, for a model of one matrix.
//!
//! Owns the names of the columns: as said, as the model's file has them, or `f0`, `f1`, ... Must
//! never choose what absent values or the first index mean. Called by [`super::declared`].

use proofmark_dataset::found;
use proofmark_engine::graph::Dim;
use proofmark_engine::model::Model;
use proofmark_formats::libsvm::{self, Absent, Index, Libsvm, LibsvmError};
use proofmark_formats::sniff::Kind;
use proofmark_schema::system::FoundTable;

use super::asked::Asked;
use super::exact;
use crate::failure::{Failure, OrFail, Outcome};
use crate::{assets, loader};

/// The rows as text with a header, and the digest of their file; `None` where the data is no file
/// of libsvm.
pub fn table(
    args: &Asked<'_>,
    model: &Model,
    notes: &mut Vec<String>,
) -> Outcome<Option<(Vec<u8>, String)>> {
    if !args.libsvm.said() && assets::recognise(&args.data)? != Kind::Libsvm {
        return Ok(None);
    }
    let [input] = model.graph().inputs.as_slice() else {
        let words = "rows of libsvm feed a model of one matrix";
        return Err(Failure::new("data", words, "give a table whose columns name the inputs"));
    };
    let width = match input.shape.as_deref() {
        Some([_, Dim::Fixed(n)]) => Some(*n),
        _ => None,
    };
    let bytes = assets::read_data(&args.data)?;
    let help = "see `proofmark attack --help` for the flags of libsvm";
    let mut options = args.libsvm.options(width);
    if args.suite == exact::SUITE {
        // The convention of the search: what a row leaves out is 0.
        options.absent.get_or_insert(Absent::Zero);
    }
    let rows = match libsvm::read(&bytes, options) {
        // As the library that wrote the trees counts them, where the file does not say.
        Err(LibsvmError::IndexUnsettled { .. }) if args.suite == exact::SUITE => {
            options.index = Some(Index::Zero);
            libsvm::read(&bytes, options)
        }
        rows => rows,
    };
    let rows = rows.or_fail("data", help)?;
    notes.push(format!(
        "libsvm, {} columns, indices from {}, absent values are {}",
        rows.columns, rows.index, rows.absent
    ));
    let names = match args.columns.is_empty() {
        true => loader::named_columns(model.graph()).unwrap_or_default(),
        false => args.columns.clone(),
    };
    let numbered = || (0..rows.columns).map(|i| format!("f{i}")).collect();
    let names: Vec<String> = if names.is_empty() { numbered() } else { names };
    if names.len() != rows.columns || names.contains(&args.label) {
        let words = format!(
            "{} names of columns and the label `{}` for {} columns of libsvm",
            names.len(),
            args.label,
            rows.columns
        );
        let help = "name every column once, in order, with `--columns`, and the label otherwise";
        return Err(Failure::new("column", words, help));
    }
    Ok(Some((text(&rows, &names, &args.label)?.into_bytes(), assets::sha256(&bytes))))
}

/// What the table holds: that of [`table`], or the file itself.
pub fn found(args: &Asked<'_>, rows: Option<&(Vec<u8>, String)>) -> Outcome<FoundTable> {
    let read = match rows {
        Some((bytes, _)) => found::table(bytes),
        None => found::table(&assets::read_data(&args.data)?),
    };
    read.or_fail("data", "name a CSV, NPY, NPZ or IDX file")
}

fn text(rows: &Libsvm, names: &[String], label: &str) -> Outcome<String> {
    let help = "give fewer rows, or a table";
    let dense = rows.dense().or_fail("data", help)?;
    let mut text = quoted(label);
    names.iter().for_each(|name| text.push_str(&format!(",{}", quoted(name))));
    text.push('\n');
    for (at, labels) in rows.labels.iter().enumerate() {
        let [label] = labels.as_slice() else {
            let words = format!("row {} of libsvm has {} labels", at + 1, labels.len());
            return Err(Failure::new("label", words, "an attack needs one label per row"));
        };
        text.push_str(&label.to_string());
        let from = at * rows.columns;
        for value in dense.get(from..from + rows.columns).unwrap_or_default() {
            text.push(',');
            // No value at all is an empty cell.
            if !value.is_nan() {
                text.push_str(&value.to_string());
            }
        }
        text.push('\n');
    }
    Ok(text)
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
