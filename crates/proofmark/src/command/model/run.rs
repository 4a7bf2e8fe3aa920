//! `model run`: rows of any file through a model, in bounded memory.
//!
//! Owns the road from file to file: batches are read in order, computed by several threads and
//! written in order. Must never leave half a file under the name that was asked for, nor guess
//! which column feeds which input. Called by [`super`].

mod feed;
mod pump;
mod sink;

use std::path::PathBuf;
use std::process::ExitCode;

use proofmark_engine::graph::{Dim, Graph};
use proofmark_engine::model::Model;
use proofmark_engine::pipeline::{WIDTH, Whole};
use proofmark_lab::ctx::Progress;
use proofmark_schema::system::{DataFormat, DialectPins, TextEncoding};
use serde_json::json;

use super::{EngineName, Global};
use crate::cli::Format;
use crate::failure::{Failure, OrFail, Outcome};
use crate::hints::{DumpArgs, LibsvmArgs};
use crate::progress::Bars;
use crate::{assets, interrupt, output};

/// Arguments.
#[derive(clap::Args, Debug)]
pub struct RunArgs {
    /// Model file.
    model: PathBuf,
    /// `.npy` for the only input, `.npz` with one array per input, or a table whose columns feed
    /// the inputs: CSV and the like, Parquet, Arrow IPC, JSON lines, libsvm (told by their bytes).
    #[arg(long)]
    input: PathBuf,
    /// Where the outputs go: `.npy` for one, `.npz` for several, `.csv` for any number.
    #[arg(long)]
    output: PathBuf,
    /// Outputs wanted; all by default.
    #[arg(long, value_delimiter = ',')]
    outputs: Vec<String>,
    /// Columns of a table that feed the only input, in the order the model was trained with; all
    /// columns in the order of the file by default.
    #[arg(long, value_delimiter = ',')]
    columns: Vec<String>,
    /// Texts of a table that mean missing.
    #[arg(long, value_delimiter = ',', default_values_t = MISSING.map(str::to_owned))]
    missing: Vec<String>,
    /// Decimal mark of a delimited file, `.` or `,`; found by default.
    #[arg(long)]
    decimal: Option<char>,
    /// Mark between thousands of a delimited file; none by default.
    #[arg(long)]
    thousands: Option<char>,
    /// Delimiter of a delimited file, or `blank`; found by default.
    #[arg(long)]
    delimiter: Option<String>,
    /// Whether a delimited file begins with the names of its columns; found by default.
    #[arg(long)]
    header: Option<bool>,
    /// Encoding of a delimited file; found by default.
    #[arg(long, value_enum)]
    encoding: Option<EncodingName>,
    /// Container of the input; told by its bytes by default.
    #[arg(long = "input-format", value_enum)]
    container: Option<ContainerName>,
    #[command(flatten)]
    dump: DumpArgs,
    #[command(flatten)]
    libsvm: LibsvmArgs,
    /// Threads; one per processor core by default. The answers do not depend on it.
    #[arg(long)]
    threads: Option<usize>,
    /// Engine.
    #[arg(long, value_enum, default_value_t = EngineName::Auto)]
    engine: EngineName,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum EncodingName {
    /// UTF-8.
    #[value(name = "utf-8")]
    Utf8,
    /// Windows-1252, of which Latin-1 is a part.
    #[value(name = "windows-1252", alias = "latin-1")]
    Windows1252,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum ContainerName {
    /// Delimited text.
    Csv,
    /// Parquet.
    Parquet,
    /// Arrow IPC.
    Arrow,
    /// JSON lines.
    Jsonl,
}

impl RunArgs {
    /// Runs the verb.
    pub fn run(&self, global: Global) -> Outcome<ExitCode> {
        // From here on a signal ends the run with a word, however early it comes.
        let cancelled = interrupt::flag();
        let model = assets::open_model_with(&self.model, &self.dump.hints(&self.columns))?;
        let whole =
            Whole::open(&model, self.engine.ready(global.quiet)?, &self.outputs, width(&model))
                .or_fail("run", "see `proofmark model inspect` for names and shapes")?;
        let mut feed = feed::open(&self.input, &model, self, whole.width())?;
        let mut sink = sink::Sink::create(&self.output, whole.outputs())?;
        let bars = Bars::new(global.quiet);
        // Delimited text and JSON lines do not say how many rows there are.
        match feed.rows() {
            Some(_) => bars.begin("rows"),
            None => bars.begin_counting("rows"),
        }
        let threads = self.threads.unwrap_or_else(cores).clamp(1, THREADS_MAX);
        let total = feed.rows().unwrap_or(0);
        let step = |rows: u64| bars.step("", rows, total.max(rows));
        let course = pump::Course { threads, cancelled, step: &step };
        let ran = pump::run(&whole, &mut feed, &mut sink, &course);
        bars.end();
        let rows = ran?;
        sink.finish(cancelled)?;
        self.report(&whole, feed.told(), rows, threads, global);
        Ok(ExitCode::SUCCESS)
    }

    fn report(&self, whole: &Whole, told: &str, rows: u64, threads: usize, global: Global) {
        let facts = whole.engine();
        if global.format == Format::Json {
            output::json(&json!({
                "format": "proofmark.model-run/1", "complete": true, "rows": rows,
                "input": told, "outputs": whole.outputs(), "output": self.output,
                "engine": facts.name, "engine_version": facts.version, "engine_note": facts.note,
                "batch": whole.width(), "threads": threads, "dump": self.dump.said(),
            }));
        }
        let note = facts.note.as_ref().map(|n| format!(" ({n})")).unwrap_or_default();
        let dump = self.dump.said().map(|d| format!("trees as said: {d}\n")).unwrap_or_default();
        output::note(
            global.quiet,
            &format!(
                "{dump}read as: {told}\n{rows} rows through {} {}{note} into `{}`",
                facts.name,
                facts.version,
                self.output.display()
            ),
        );
    }

    fn pins(&self) -> Outcome<DialectPins> {
        let mark = |name: &str, mark: Option<char>, known: &[char]| match mark {
            Some(c) if !known.contains(&c) => Err(Failure::new(
                "usage",
                format!("`{c}` is no {name}"),
                format!("one of {}", known.iter().map(|c| format!("`{c}`")).collect::<String>()),
            )),
            mark => Ok(mark),
        };
        Ok(DialectPins {
            delimiter: self.delimiter.clone(),
            decimal: mark("decimal mark", self.decimal, &['.', ','])?,
            thousands: mark("mark of thousands", self.thousands, &[',', '.', '\'', ' '])?,
            header: self.header,
            columns: None,
            encoding: self.encoding.map(|e| match e {
                EncodingName::Utf8 => TextEncoding::Utf8,
                EncodingName::Windows1252 => TextEncoding::Windows1252,
            }),
            format: self.container.map(|c| match c {
                ContainerName::Csv => DataFormat::Csv,
                ContainerName::Parquet => DataFormat::Parquet,
                ContainerName::Arrow => DataFormat::Arrow,
                ContainerName::Jsonl => DataFormat::Jsonl,
            }),
        })
    }
}

/// Ctrl-C or a signal to end.
fn interrupted() -> Failure {
    Failure::new("interrupted", "interrupted: no answer was written", "run it again")
}

/// Rows of a batch: many for tables, where the cost of a call would show, few for images.
fn width(model: &Model) -> usize {
    let values = |graph: &Graph| -> usize {
        let size = |dims: &[Dim]| {
            dims.iter()
                .skip(1)
                .map(|d| if let Dim::Fixed(n) = d { *n } else { 1 })
                .product::<usize>()
        };
        graph.inputs.iter().filter_map(|i| i.shape.as_deref()).map(size).sum()
    };
    if values(model.graph()) <= NARROW_MAX { NARROW_WIDTH } else { WIDTH }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Texts read as missing unless said otherwise.
const MISSING: [&str; 5] = ["", "NA", "NaN", "nan", "?"];
/// Values of a row up to which it counts as one of a table.
const NARROW_MAX: usize = 2_048;
/// Rows of a batch of a table: more gain nothing, and take memory in models that widen.
const NARROW_WIDTH: usize = 1_024;
/// Threads: each holds a batch.
const THREADS_MAX: usize = 64;
