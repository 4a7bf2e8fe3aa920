//! Where answers go: `.npy`, `.npz` or `.csv`.
//!
//! Owns the spooling: rows gather in a file without a name, and what is asked for appears whole
//! under its name at the end, or not at all. Must never replace what is no plain file, such as a
//! device: that is written into. Called by [`super`].

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Cursor, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use proofmark_engine::value::Value;
use proofmark_evidence::durable::{self, OsFs};
use proofmark_formats::npy::{self, NpyArray, NpyBody, NpyData};
use proofmark_formats::zip::ZipWriter;

use crate::arrays;
use crate::failure::{Failure, OrFail, Outcome};

/// Answers on their way to a file.
pub struct Sink {
    path: PathBuf,
    /// Where rows gather until then.
    spools: PathBuf,
    /// Whether the path is that of a device or a pipe.
    into: bool,
    names: Vec<String>,
    kind: Kind,
}

enum Kind {
    /// A line per row; the header once the columns are known.
    Csv { spool: Spool, begun: bool },
    /// An array per output.
    Arrays { gathered: Vec<Gathered>, zip: bool },
}

/// Rows of one output.
enum Gathered {
    Empty,
    /// Numbers, in a file.
    Numbers(Spool, NpyBody),
    /// Texts, whose width is known at the end only, in memory.
    Texts(Vec<String>, Vec<usize>),
}

impl Sink {
    /// Gets ready to write the outputs of those names to `path`.
    pub fn create(path: &Path, outputs: &[String]) -> Outcome<Self> {
        let ending = |e: &str| path.extension().is_some_and(|x| x.eq_ignore_ascii_case(e));
        let there = std::fs::metadata(path).ok();
        if there.as_ref().is_some_and(|m| m.is_dir()) {
            let words = format!("`{}` is a folder", path.display());
            return Err(Failure::new("output", words, "name a file: .npy, .npz or .csv"));
        }
        let into = there.is_some_and(|m| !m.is_file());
        let spools = if into { std::env::temp_dir() } else { folder_of(path).to_owned() };
        if !into {
            durable::create_dir_all(&OsFs, &spools).or_fail("output", "check the folder")?;
        }
        let zip = ending("npz");
        let kind = if ending("csv") {
            Kind::Csv { spool: Spool::create(&spools)?, begun: false }
        } else if outputs.len() == 1 || zip {
            Kind::Arrays { gathered: outputs.iter().map(|_| Gathered::Empty).collect(), zip }
        } else {
            return Err(Failure::new(
                "output",
                format!("{} arrays do not fit one .npy", outputs.len()),
                "name an .npz or a .csv, or choose one output with --outputs",
            ));
        };
        Ok(Self { path: path.to_owned(), spools, into, names: outputs.to_vec(), kind })
    }

    /// Puts the answers of further rows behind the others.
    pub fn write(&mut self, values: &[Value]) -> Outcome<()> {
        let arrays = values.iter().map(arrays::array).collect::<Outcome<Vec<NpyArray>>>()?;
        match &mut self.kind {
            Kind::Csv { spool, begun } => {
                if !std::mem::replace(begun, true) {
                    let named = self.names.iter().zip(values).zip(&arrays);
                    let names: Vec<String> = named
                        .flat_map(|((name, value), array)| columns(name, value, array))
                        .collect();
                    spool.push(line(names).as_bytes())?;
                }
                spool.push(rows(&arrays).as_bytes())
            }
            Kind::Arrays { gathered, .. } => {
                let folder = &self.spools;
                let mut each = gathered.iter_mut().zip(&arrays);
                each.try_for_each(|(gathered, array)| gathered.push(folder, array))
            }
        }
    }

    /// Puts the file in its place, unless `cancelled` is set before it is whole.
    pub fn finish(self, cancelled: &AtomicBool) -> Outcome<()> {
        let help = "check the folder and the free space";
        let whole: Box<dyn Read> = match self.kind {
            Kind::Csv { spool, .. } => Box::new(spool.rewound()?),
            Kind::Arrays { gathered, zip: true } => {
                let mut zip = ZipWriter::new();
                let mut left = NPZ_BYTES_MAX;
                for (name, gathered) in self.names.iter().zip(gathered) {
                    let mut bytes = Vec::new();
                    let read = gathered.whole()?.take(left).read_to_end(&mut bytes);
                    left -= read.or_fail("output", help)? as u64;
                    if left == 0 {
                        let words = format!("the outputs take over {} MiB", NPZ_BYTES_MAX >> 20);
                        let help = "choose one with --outputs and write .npy, or write .csv";
                        return Err(Failure::new("output", words, help));
                    }
                    zip.add(&format!("{name}.npy"), &bytes).or_fail("output", help)?;
                }
                Box::new(Cursor::new(zip.finish().or_fail("output", help)?))
            }
            Kind::Arrays { gathered, zip: false } => match gathered.into_iter().next() {
                Some(gathered) => gathered.whole()?,
                None => return Ok(()),
            },
        };
        let mut whole = Stoppable { whole, cancelled };
        let written = if self.into {
            let told =
                |e: std::io::Error| format!("cannot write to `{}`: {e}", self.path.display());
            let file = OpenOptions::new().write(true).open(&self.path);
            file.and_then(|mut file| {
                std::io::copy(&mut whole, &mut file)?;
                file.flush()
            })
            .map_err(told)
            .or_fail("output", help)
        } else {
            durable::write_from(&OsFs, &self.path, &mut whole).or_fail("output", help)
        };
        match written {
            Err(_) if cancelled.load(Ordering::Relaxed) => Err(super::interrupted()),
            written => written,
        }
    }
}

impl Gathered {
    fn push(&mut self, folder: &Path, array: &NpyArray) -> Outcome<()> {
        if let NpyData::Str(texts) = array.data() {
            let tail = array.shape().get(1..).unwrap_or_default().to_vec();
            if matches!(self, Self::Empty) {
                *self = Self::Texts(Vec::new(), tail);
            }
            if let Self::Texts(held, _) = self {
                held.extend(texts.iter().cloned());
                if held.len() > TEXTS_MAX {
                    let words = format!("an output has over {TEXTS_MAX} texts");
                    let help = "write .csv, or leave it out with --outputs";
                    return Err(Failure::new("output", words, help));
                }
                return Ok(());
            }
        }
        if matches!(self, Self::Empty) {
            *self = Self::Numbers(Spool::create(folder)?, NpyBody::default());
        }
        let Self::Numbers(spool, body) = self else {
            return Err(Failure::new("output", "batches differ in type", "write .csv"));
        };
        let bytes = body.push(array).or_fail("output", "write .csv")?;
        spool.push(&bytes)
    }

    /// The bytes of the `.npy` file.
    fn whole(self) -> Outcome<Box<dyn Read>> {
        Ok(match self {
            Self::Empty => Box::new(std::io::empty()),
            Self::Numbers(spool, body) => {
                let header = body.header().or_fail("output", "write .csv")?;
                Box::new(Cursor::new(header).chain(spool.rewound()?))
            }
            Self::Texts(held, tail) => {
                let per = tail.iter().product::<usize>().max(1);
                let shape = [&[held.len() / per], tail.as_slice()].concat();
                let array = NpyArray::new(shape, NpyData::Str(held)).or_fail("output", "")?;
                Box::new(Cursor::new(npy::write(&array).or_fail("output", "write .csv")?))
            }
        })
    }
}

/// Bytes that end with an error once the run is cancelled.
struct Stoppable<'a> {
    whole: Box<dyn Read>,
    cancelled: &'a AtomicBool,
}

impl Read for Stoppable<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.cancelled.load(Ordering::Relaxed) {
            return Err(std::io::Error::other("interrupted"));
        }
        self.whole.read(buffer)
    }
}

/// A file without a name.
struct Spool {
    file: BufWriter<File>,
    folder: PathBuf,
}

impl Spool {
    fn create(folder: &Path) -> Outcome<Self> {
        let file = tempfile::tempfile_in(folder)
            .map_err(|e| format!("cannot write in `{}`: {e}", folder.display()))
            .or_fail("output", "check the folder, its permissions and the free space")?;
        Ok(Self { file: BufWriter::new(file), folder: folder.to_owned() })
    }

    fn push(&mut self, bytes: &[u8]) -> Outcome<()> {
        let written = self.file.write_all(bytes);
        written.map_err(|e| self.full(&e)).or_fail("output", SPACE)
    }

    fn rewound(self) -> Outcome<File> {
        let folder = self.folder;
        let told = |e: &dyn std::fmt::Display| full(&folder, e);
        let mut file =
            self.file.into_inner().map_err(|e| told(&e.error())).or_fail("output", SPACE)?;
        file.rewind().map_err(|e| told(&e)).or_fail("output", SPACE)?;
        Ok(file)
    }

    fn full(&self, error: &std::io::Error) -> String {
        full(&self.folder, error)
    }
}

fn full(folder: &Path, error: &dyn std::fmt::Display) -> String {
    format!("cannot write the rows in `{}`: {error}; no answer was written", folder.display())
}

/// Names of the columns of an output: its own, with the key or the place where it has several.
fn columns(name: &str, value: &Value, array: &NpyArray) -> Vec<String> {
    if let Value::Maps(rows) = value {
        let keys = rows.first().into_iter().flat_map(|row| row.keys());
        return keys.map(|key| format!("{name}[{key}]")).collect();
    }
    match array.shape().get(1..).unwrap_or_default() {
        [] | [1] => vec![name.to_owned()],
        tail => (0..tail.iter().product()).map(|at| format!("{name}[{at}]")).collect(),
    }
}

fn rows(arrays: &[NpyArray]) -> String {
    let n = arrays.first().and_then(|a| a.shape().first().copied()).unwrap_or(0);
    let texts: Vec<(Vec<String>, usize)> = arrays
        .iter()
        .map(|a| (texts(a.data()), a.shape().iter().skip(1).product::<usize>()))
        .collect();
    let mut out = String::new();
    for row in 0..n {
        let cells = texts
            .iter()
            .flat_map(|(cells, width)| cells.iter().skip(row * width).take(*width).cloned());
        out.push_str(&line(cells.collect()));
    }
    out
}

/// Cells in the shortest form that reads back the same.
fn texts(data: &NpyData) -> Vec<String> {
    match data {
        NpyData::F32(list) => list.iter().map(|v| format!("{v:?}")).collect(),
        NpyData::F64(list) => list.iter().map(|v| format!("{v:?}")).collect(),
        NpyData::Str(list) => list.iter().map(|text| quoted(text)).collect(),
        other => other.to_strings(),
    }
}

fn line(cells: Vec<String>) -> String {
    cells.join(",") + "\n"
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) || text.trim() != text {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

const SPACE: &str = "make room there, or name another folder with --output";
/// Bytes of an archive, which is put together in memory.
const NPZ_BYTES_MAX: u64 = 384 << 20;
/// Texts held in memory: at some tens of bytes each, a few hundred megabytes.
const TEXTS_MAX: usize = 4_000_000;
