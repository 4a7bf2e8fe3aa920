//! Worker that sets one paper as PDF: reads a `proofmark.paper/1` on standard input, writes a
//! PDF/A-3a, PDF/UA-1 file on standard output.
//!
//! Owns the process: its limits, its exit codes (0 done, 2 not done) and what it says on standard
//! error. Must never open a file, reach the network, read the clock or the environment: what is
//! not in the paper is not in the PDF. Started by `proofmark dossier`.

use std::io::{self, Read, Write};
use std::process::ExitCode;
use std::{panic, thread};

use proofmark_schema::paper::{PAPER_BYTES_MAX, Paper};

mod glyphs;
mod setting;
mod world;

use setting::{Set, SetError};

fn main() -> ExitCode {
    bound_memory();
    // A panic of the library is an error of this paper, told in one line.
    panic::set_hook(Box::new(|_| {}));
    let worker = thread::Builder::new().stack_size(STACK_BYTES).spawn(work);
    let outcome = worker.map_err(|e| Failure::Thread(e.to_string())).and_then(|handle| {
        handle.join().unwrap_or_else(|cause| Err(Failure::Panic(words_of(cause.as_ref()))))
    });
    match outcome.and_then(|set| write(&set)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            say(&format!("error: {failure}"));
            ExitCode::from(EXIT_NOT_DONE)
        }
    }
}

/// Why there is no PDF.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("cannot read the paper: {0}")]
    Read(String),
    #[error("the paper is larger than {PAPER_BYTES_MAX} bytes")]
    Large,
    #[error("the paper does not read: {0}")]
    Parse(String),
    #[error(transparent)]
    Set(#[from] SetError),
    #[error("typesetting stopped: {0}; please report this as a bug")]
    Panic(String),
    #[error("no thread to work in: {0}")]
    Thread(String),
    #[error("cannot write the PDF: {0}")]
    Write(String),
}

fn work() -> Result<Set, Failure> {
    let mut bytes = Vec::new();
    let limit = PAPER_BYTES_MAX as u64 + 1;
    let read = io::stdin().lock().take(limit).read_to_end(&mut bytes);
    read.map_err(|e| Failure::Read(e.to_string()))?;
    if bytes.len() > PAPER_BYTES_MAX {
        return Err(Failure::Large);
    }
    let paper: Paper = serde_json::from_slice(&bytes).map_err(|e| Failure::Parse(e.to_string()))?;
    drop(bytes);
    Ok(setting::set(paper)?)
}

fn write(set: &Set) -> Result<(), Failure> {
    if set.replaced > 0 {
        say(&format!(
            "note: {} characters are not in the fonts of the PDF and stand as their code points",
            set.replaced
        ));
    }
    let mut out = io::stdout().lock();
    let wrote = out.write_all(&set.pdf).and_then(|()| out.flush());
    wrote.map_err(|e| Failure::Write(e.to_string()))
}

/// One line on standard error; nobody may be listening.
fn say(line: &str) {
    let _ = writeln!(io::stderr(), "proofmark-papers: {line}");
}

fn words_of(cause: &(dyn std::any::Any + Send)) -> String {
    let text = cause.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| cause.downcast_ref::<String>().cloned()).unwrap_or_else(|| "panic".to_owned())
}

/// The system ends the process when it asks for more memory than this.
fn bound_memory() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let limit =
            Rlimit { current: Some(MEMORY_BYTES_MAX), maximum: getrlimit(Resource::As).maximum };
        // Where it cannot be set, the parent still bounds time and output.
        let _ = setrlimit(Resource::As, limit);
    }
}

/// Address space: Typst with its fonts takes about 300 MB for a paper of a hundred pages.
#[cfg(unix)]
const MEMORY_BYTES_MAX: u64 = 4 << 30;
/// Layout recurses; main threads have 8 MB on most systems, but not on all.
const STACK_BYTES: usize = 64 << 20;
const EXIT_NOT_DONE: u8 = 2;
