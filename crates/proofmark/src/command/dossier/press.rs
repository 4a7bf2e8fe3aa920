//! The worker that sets papers as PDF, as a child process.
//!
//! Owns where the worker is looked for and its bounds in time and output. Must never take a PDF
//! from anything but the worker's standard output, nor wait without end. Called by `dossier`.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use proofmark_assess::dossier::Press;
use proofmark_schema::paper::Paper;

use crate::output;

/// The worker.
pub struct Worker {
    path: PathBuf,
    quiet: bool,
}

impl Worker {
    /// The worker named by the environment, else the one beside this program.
    ///
    /// # Errors
    /// In words, why there is none and how to build it.
    pub fn find(quiet: bool) -> Result<Self, String> {
        if let Some(named) = std::env::var_os(VARIABLE) {
            let path = PathBuf::from(named);
            if path.is_file() {
                return Ok(Self { path, quiet });
            }
            return Err(format!("`{VARIABLE}` names `{}`, which is no file", path.display()));
        }
        let beside = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.join(NAME)));
        match beside.filter(|path| path.is_file()) {
            Some(path) => Ok(Self { path, quiet }),
            None => Err(format!(
                "`{NAME}` is not beside this program; build it with `{BUILD}`, or name it in \
                 `{VARIABLE}`"
            )),
        }
    }
}

impl Press for Worker {
    fn set(&self, paper: &Paper) -> Result<Vec<u8>, String> {
        let input = serde_json::to_vec(paper).map_err(|e| e.to_string())?;
        let (pdf, said) = run(&self.path, input)?;
        if !said.is_empty() {
            output::note(self.quiet, &format!("{}: {said}", paper.title));
        }
        Ok(pdf)
    }
}

/// Runs the worker on `input`; its standard output and what it said.
fn run(path: &Path, input: Vec<u8>) -> Result<(Vec<u8>, String), String> {
    let mut child = Command::new(path)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("cannot start `{}`: {e}", path.display()))?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    // The worker may end before it has read everything: its exit code tells.
    let writer = thread::spawn(move || stdin.map(|mut pipe| pipe.write_all(&input)));
    let reader = thread::spawn(move || read(stdout, PDF_BYTES_MAX));
    let errors = thread::spawn(move || read(stderr, SAID_BYTES_MAX));
    let ended = wait(&mut child);
    if ended.is_err() {
        let _ = child.kill();
        let _ = child.wait();
    }
    let _ = writer.join();
    let pdf = reader.join().unwrap_or_default();
    let said = String::from_utf8_lossy(&errors.join().unwrap_or_default()).trim().to_owned();
    if !ended? {
        return Err(if said.is_empty() { "the worker was ended".to_owned() } else { said });
    }
    if pdf.len() as u64 > PDF_BYTES_MAX {
        return Err(format!("the PDF is larger than {} MiB", PDF_BYTES_MAX >> 20));
    }
    if !pdf.starts_with(b"%PDF-") {
        return Err(format!("`{}` wrote no PDF; is it the worker?", path.display()));
    }
    Ok((pdf, said))
}

fn read(pipe: Option<impl Read>, limit: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        // What could be read decides; the exit code tells about the rest.
        let _ = pipe.take(limit + 1).read_to_end(&mut bytes);
    }
    bytes
}

/// Whether it ended well.
fn wait(child: &mut Child) -> Result<bool, String> {
    let deadline = Instant::now() + TIME_MAX;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status.success()),
            Ok(None) if Instant::now() < deadline => thread::sleep(POLL),
            Ok(None) => return Err(format!("it took longer than {} s", TIME_MAX.as_secs())),
            Err(e) => return Err(e.to_string()),
        }
    }
}

const NAME: &str = if cfg!(windows) { "proofmark-papers.exe" } else { "proofmark-papers" };
const VARIABLE: &str = "PROOFMARK_PAPERS";
const BUILD: &str = "cargo build --release -p proofmark-papers";
/// A hundred pages take about two seconds; machines are shared and slow at times.
const TIME_MAX: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(20);
/// A paper with its attestations is some megabytes.
const PDF_BYTES_MAX: u64 = 256 << 20;
/// One line, or a few.
const SAID_BYTES_MAX: u64 = 8 << 10;
