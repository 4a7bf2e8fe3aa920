//! Where rows come from: arrays, or tables whose columns are bound to the inputs.
//!
//! Owns the choice by content and the binding of columns. Must never feed an input from a column
//! that nobody named or that its place does not give. Called by [`super`].

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use proofmark_dataset::bind::{self, BoundData, InputType, ModelInput, TableOptions, TableRows};
use proofmark_dataset::rows::{RawRows, RowStream, StreamOptions, Typing};
use proofmark_engine::graph::{Dim, Graph, ValueInfo};
use proofmark_engine::model::Model;
use proofmark_engine::pipeline::rows_of;
use proofmark_engine::trees::FEATURES;
use proofmark_engine::value::{Inputs, Tensor, Value};
use proofmark_formats::libsvm;
use proofmark_formats::npy::{NpyArray, NpyData, NpyRows};
use proofmark_formats::sniff::Kind;
use proofmark_schema::system::{
    Decision, Feature, FeatureKind, InputSpec, ModelAsset, ModelRole, OutputKind, OutputSpec,
};

use super::RunArgs;
use crate::failure::{Failure, OrFail, Outcome};
use crate::{arrays, assets, loader};

/// Rows to come.
pub struct Feed {
    source: Source,
    told: String,
    rows: Option<u64>,
    batch: usize,
    binder: Option<Box<Binder>>,
}

enum Source {
    Array(NpyRows<BufReader<File>>, ValueInfo),
    /// Arrays in memory, and the row to go on with.
    Held(Inputs, usize),
    Table(Box<RowStream>),
}

/// Rows on their way to the inputs of a model.
pub enum Batch {
    /// Already bound.
    Bound(Inputs),
    /// An array of the only input.
    Array(NpyArray, ValueInfo),
    /// Rows of a table.
    Rows(RawRows),
}

/// How columns become inputs.
pub struct Binder {
    typing: Typing,
    features: Vec<Feature>,
    model: ModelAsset,
    inputs: Vec<ModelInput>,
}

/// Opens the input by what its bytes are; batches are multiples of `width` rows.
pub fn open(path: &Path, model: &Model, args: &RunArgs, width: usize) -> Outcome<Feed> {
    let unreadable = |e: std::io::Error| {
        let words = format!("cannot read `{}`: {e}", path.display());
        Failure::new("unreadable", words, "check the path and its permissions")
    };
    let mut head = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    (&file).take(8).read_to_end(&mut head).map_err(unreadable)?;
    let file = File::open(path).map_err(unreadable)?;
    let graph = model.graph();
    if head.starts_with(b"PK") {
        return held(path, graph, width);
    }
    if args.libsvm.said() || assets::recognise(path)? == Kind::Libsvm {
        return sparse(path, graph, args, width);
    }
    if !head.starts_with(b"\x93NUMPY") {
        return table(file, path, graph, args);
    }
    let [input] = graph.inputs.as_slice() else { return held(path, graph, width) };
    let rows = NpyRows::open(BufReader::new(file)).or_fail("input", "write it with numpy.save")?;
    let Some(rows) = rows else { return held(path, graph, width) };
    let most = (BATCH_BYTES / rows.row_bytes().max(1)).clamp(1, BATCH_ROWS);
    Ok(Feed {
        told: format!("rows of an array for `{}`", input.name),
        rows: Some(rows.rows() as u64),
        batch: most.next_multiple_of(width),
        binder: None,
        source: Source::Array(rows, input.clone()),
    })
}

fn held(path: &Path, graph: &Graph, width: usize) -> Outcome<Feed> {
    held_inputs(arrays::inputs(path, graph)?, width)
}

fn held_inputs(inputs: Inputs, width: usize) -> Outcome<Feed> {
    let rows = inputs.values().filter_map(|v| v.shape().first().copied()).max().unwrap_or(0);
    if rows == 0 || inputs.values().any(|v| v.shape().first() != Some(&rows)) {
        let words = "every input needs the same number of rows, at least one";
        return Err(Failure::new("run", words, "see `proofmark model inspect`"));
    }
    let bytes: usize = inputs.values().map(|v| v.len() / rows * 8).sum();
    let most = (BATCH_BYTES / bytes.max(1)).clamp(1, BATCH_ROWS);
    let names: Vec<&str> = inputs.keys().map(String::as_str).collect();
    Ok(Feed {
        told: format!("arrays {}", names.join(", ")),
        rows: Some(rows as u64),
        batch: most.next_multiple_of(width),
        binder: None,
        source: Source::Held(inputs, 0),
    })
}

/// Rows of libsvm, written out for the only matrix.
fn sparse(path: &Path, graph: &Graph, args: &RunArgs, width: usize) -> Outcome<Feed> {
    let [input] = graph.inputs.as_slice() else {
        let words = "rows of libsvm feed a model of one matrix";
        return Err(Failure::new("input", words, "give a table whose columns name the inputs"));
    };
    let columns = input.shape.as_ref().and_then(|dims| match dims.as_slice() {
        [_, Dim::Fixed(n)] => Some(*n),
        _ => None,
    });
    let help = "see `proofmark model run --help` for the flags of libsvm";
    let bytes = assets::read_data(path)?;
    let rows = libsvm::read(&bytes, args.libsvm.options(columns)).or_fail("input", help)?;
    let data = NpyData::F64(rows.dense().or_fail("input", help)?);
    let array = NpyArray::new(vec![rows.rows(), rows.columns], data).or_fail("input", help)?;
    let value = arrays::value(array, input.dtype, &input.name)?;
    let told = format!(
        "libsvm, {} columns, indices from {}, absent values are {}",
        rows.columns, rows.index, rows.absent
    );
    let feed = held_inputs(Inputs::from([(input.name.clone(), value)]), width)?;
    Ok(Feed { told, ..feed })
}

fn table(file: File, path: &Path, graph: &Graph, args: &RunArgs) -> Outcome<Feed> {
    let inputs = loader::model_inputs(graph);
    let matrix = is_matrix(&inputs);
    // Beside columns of texts, a tree file reads its numbers as one matrix.
    let beside = match matrix {
        true => None,
        false => loader::named_columns(graph).filter(|_| args.columns.is_empty()),
    };
    let named: Vec<(String, InputType)> = inputs
        .iter()
        .flat_map(|i| match &beside {
            Some(names) if i.name == FEATURES => {
                names.iter().map(|n| (n.clone(), i.dtype)).collect()
            }
            _ => vec![(i.name.clone(), i.dtype)],
        })
        .collect();
    if !matrix && !args.columns.is_empty() {
        let words = "the model names its inputs, so `--columns` has nothing to say";
        return Err(Failure::new("usage", words, "leave it out: columns are found by name"));
    }
    let columns = match (matrix, args.columns.is_empty()) {
        (true, true) => named_in_both(path, graph, args)?,
        (true, false) => args.columns.clone(),
        (false, _) => named.iter().map(|(name, _)| name.clone()).collect(),
    };
    let missing = args.missing.clone();
    let (pins, columns_known) = (args.pins()?, columns.clone());
    let options = StreamOptions { columns: columns_known, pins, missing: missing.clone() };
    let help = "a wrong dialect is pinned with --delimiter, --decimal, --header, --encoding";
    let stream = RowStream::open(file, &options)
        .map_err(|e| format!("`{}`: {e}", path.display()))
        .or_fail("input", help)?;
    let columns = if columns.is_empty() { stream.columns().to_vec() } else { columns };
    if matrix {
        fits(&inputs, &columns)?;
    }
    let only = inputs.first().map_or(InputType::F32, |i| i.dtype);
    let typed = match matrix {
        true => columns.iter().map(|name| (name.clone(), only)).collect(),
        false => named,
    };
    let features = features(&typed);
    let typing = stream
        .typing(&features, &missing)
        .or_fail("binding", "see `proofmark model inspect` for what the model reads")?;
    let names: Vec<&str> = columns.iter().take(SHOWN_MAX).map(String::as_str).collect();
    let more = if columns.len() > SHOWN_MAX { ", ..." } else { "" };
    let told = format!("{}; inputs from {}{more}", stream.told(), names.join(", "));
    let model = listed(if matrix { columns } else { beside.unwrap_or_default() });
    Ok(Feed {
        told,
        rows: stream.rows(),
        batch: BATCH_ROWS,
        binder: Some(Box::new(Binder { typing, features, model, inputs })),
        source: Source::Table(Box::new(stream)),
    })
}

/// The columns that the model's file names, where the table names columns too; none where either
/// has no names, so that the order decides.
fn named_in_both(path: &Path, graph: &Graph, args: &RunArgs) -> Outcome<Vec<String>> {
    let Some(names) = loader::named_columns(graph) else { return Ok(Vec::new()) };
    let words = |e: &dyn std::fmt::Display| format!("cannot read `{}`: {e}", path.display());
    let help = "see `proofmark model run --help`";
    let file = File::open(path).map_err(|e| words(&e)).or_fail("unreadable", help)?;
    let (pins, missing) = (args.pins()?, args.missing.clone());
    let options = StreamOptions { columns: Vec::new(), pins, missing };
    // What is wrong with the file is said when it is opened to be read.
    let Ok(stream) = RowStream::open(file, &options) else { return Ok(Vec::new()) };
    let held = |name: &&String| stream.columns().contains(*name);
    let (there, absent): (Vec<&String>, Vec<&String>) = names.iter().partition(held);
    match absent.first() {
        None => Ok(names),
        // No header, or names of another origin throughout: the order decides.
        Some(_) if there.is_empty() => Ok(Vec::new()),
        Some(name) => Err(Failure::new(
            "binding",
            format!("the model reads a column `{name}`, which the file has not"),
            "name the columns of the file in the order of the model with --columns",
        )),
    }
}

/// A matrix of fixed width has as many columns as are given.
fn fits(inputs: &[ModelInput], columns: &[String]) -> Outcome<()> {
    let Some(input) = inputs.first() else { return Ok(()) };
    let fixed = input.shape.get(1).copied().flatten();
    let Some(width) = fixed.filter(|width| *width != columns.len()) else { return Ok(()) };
    let (name, found, names) = (&input.name, columns.len(), columns.join(", "));
    Err(Failure::new(
        "binding",
        format!("the input `{name}` reads {width} columns, the file gives {found}: {names}"),
        "name the columns of the training code in order with --columns",
    ))
}

/// Whether the only input takes several columns side by side.
fn is_matrix(inputs: &[ModelInput]) -> bool {
    match inputs {
        [input] => !matches!(input.shape.as_slice(), [_] | [_, Some(1)]),
        _ => false,
    }
}

fn features(columns: &[(String, InputType)]) -> Vec<Feature> {
    let feature = |(name, dtype): &(String, InputType)| {
        let kind = match dtype {
            InputType::F32 | InputType::F64 => FeatureKind::Number,
            InputType::I64 | InputType::I32 => FeatureKind::Integer,
            InputType::Bool => FeatureKind::Boolean,
            InputType::Str => FeatureKind::Text,
        };
        let values = match dtype {
            InputType::Bool => vec!["false".to_owned(), "true".to_owned()],
            _ => Vec::new(),
        };
        Feature {
            name: name.clone(),
            kind,
            bounds: None,
            values,
            mutable: false,
            group: false,
            group_edges: Vec::new(),
            input: true,
            shape: None,
            series: None,
            direction: None,
            cost: None,
        }
    };
    columns.iter().map(feature).collect()
}

/// A model of which nothing is declared but its columns.
fn listed(columns: Vec<String>) -> ModelAsset {
    ModelAsset {
        name: "model".to_owned(),
        path: String::new(),
        role: ModelRole::Primary,
        output: OutputSpec {
            name: None,
            kind: OutputKind::Logit,
            classes: Vec::new(),
            column: None,
        },
        decision: Decision::Argmax,
        expected: None,
        expected_data: None,
        input: InputSpec { columns, ..InputSpec::default() },
        dump: Default::default(),
    }
}

impl Feed {
    /// Rows, where they are known.
    pub fn rows(&self) -> Option<u64> {
        self.rows
    }

    /// How the file is read, in one line.
    pub fn told(&self) -> &str {
        &self.told
    }

    /// What turns rows of a table into inputs; given away once.
    pub fn take_binder(&mut self) -> Option<Box<Binder>> {
        self.binder.take()
    }

    /// The next rows; `None` at the end.
    pub fn next(&mut self) -> Outcome<Option<Batch>> {
        match &mut self.source {
            Source::Array(rows, input) => {
                let array = rows.next(self.batch).or_fail("input", "write it with numpy.save")?;
                Ok(array.map(|array| Batch::Array(array, input.clone())))
            }
            Source::Held(inputs, at) => {
                let rows = usize::try_from(self.rows.unwrap_or(0)).unwrap_or(usize::MAX);
                let end = at.saturating_add(self.batch).min(rows);
                if *at >= end {
                    return Ok(None);
                }
                let mut part = Inputs::new();
                for (name, value) in inputs.iter() {
                    let rows = rows_of(value, *at..end).ok_or_else(|| {
                        Failure::new("input", "an input has no rows", "see `model inspect`")
                    })?;
                    part.insert(name.clone(), rows);
                }
                *at = end;
                Ok(Some(Batch::Bound(part)))
            }
            Source::Table(stream) => {
                let rows = stream.advance().or_fail("input", "mend the row, or leave it out")?;
                Ok(rows.map(Batch::Rows))
            }
        }
    }
}

impl Batch {
    /// The inputs of the model.
    pub fn bound(self, binder: Option<&Binder>) -> Outcome<Inputs> {
        match (self, binder) {
            (Self::Bound(inputs), _) => Ok(inputs),
            (Self::Array(array, info), _) => {
                let value = arrays::value(array, info.dtype, &info.name)?;
                Ok(Inputs::from([(info.name, value)]))
            }
            (Self::Rows(rows), Some(binder)) => binder.bind(&rows),
            (Self::Rows(_), None) => Ok(Inputs::new()),
        }
    }
}

impl Binder {
    fn bind(&self, rows: &RawRows) -> Outcome<Inputs> {
        let columns =
            self.typing.columns(rows).or_fail("input", "mend the row, or leave it out")?;
        let rows = TableRows { n: rows.len(), columns: &columns, lines: rows.lines() };
        let options = TableOptions::default();
        let bound = bind::columns(rows, &self.features, &self.model, &self.inputs, &options)
            .or_fail("binding", "see `proofmark model inspect` for what the model reads")?;
        let mut inputs = Inputs::new();
        for input in bound.inputs {
            let value = value(input.shape, input.data).ok_or_else(|| {
                Failure::new("binding", "columns do not fill an input", "please report this")
            })?;
            inputs.insert(input.name, value);
        }
        Ok(inputs)
    }
}

fn value(shape: Vec<usize>, data: BoundData) -> Option<Value> {
    Some(match data {
        BoundData::F32(v) => Value::F32(Tensor::new(shape, v)?),
        BoundData::F64(v) => Value::F64(Tensor::new(shape, v)?),
        BoundData::I64(v) => Value::I64(Tensor::new(shape, v)?),
        BoundData::I32(v) => Value::I32(Tensor::new(shape, v)?),
        BoundData::Bool(v) => Value::Bool(Tensor::new(shape, v)?),
        BoundData::Str(v) => Value::Str(Tensor::new(shape, v)?),
    })
}

/// Bytes of a batch of array rows.
const BATCH_BYTES: usize = 16 << 20;
/// Rows of a batch of narrow rows, as in tables.
const BATCH_ROWS: usize = 8_192;
/// Columns named in a message.
const SHOWN_MAX: usize = 8;
