//! A file system that fails on purpose, at one chosen operation.
//!
//! Owns the fault kinds and the wrapper. Must never be used outside tests. Called by the tests of
//! every crate that writes evidence.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Fs, FsFile, OsFs};

/// How the chosen operation goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fails and does nothing.
    Fail,
    /// A write stores only half of its bytes, then fails; other operations fail.
    ShortWrite,
    /// It and all later operations that need space fail with "no space left".
    DiskFull,
    /// It succeeds but reports an error.
    ReportedLost,
    /// It and everything after it fails: the process is as good as dead.
    Crash,
}

impl Fault {
    /// Every kind, for loops in tests.
    pub const ALL: [Self; 5] =
        [Self::Fail, Self::ShortWrite, Self::DiskFull, Self::ReportedLost, Self::Crash];
}

/// [`OsFs`] with one fault at the operation number `at` (from 0). Flushing is counted and can
/// fail, but does not reach the disk: no test cuts the power.
#[derive(Clone, Debug)]
pub struct FaultFs {
    state: Arc<State>,
}

impl FaultFs {
    /// A file system whose operation `at` suffers `fault`.
    pub fn new(at: u64, fault: Fault) -> Self {
        Self { state: Arc::new(State { at, fault, count: AtomicU64::new(0) }) }
    }

    /// A file system without faults (and without real flushes).
    pub fn sound() -> Self {
        Self::new(u64::MAX, Fault::Fail)
    }

    /// Whether the fault has happened.
    pub fn fired(&self) -> bool {
        self.operations() > self.state.at
    }

    /// Operations so far.
    pub fn operations(&self) -> u64 {
        self.state.count.load(Ordering::SeqCst)
    }
}

impl Fs for FaultFs {
    fn create(&self, path: &Path, private: bool) -> io::Result<Box<dyn FsFile>> {
        self.state.run(true, || {
            let inner = OsFs.create(path, private)?;
            Ok(Box::new(FaultFile { inner, state: self.state.clone() }) as Box<dyn FsFile>)
        })
    }

    fn open_append(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        self.state.run(true, || {
            let inner = OsFs.open_append(path)?;
            Ok(Box::new(FaultFile { inner, state: self.state.clone() }) as Box<dyn FsFile>)
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.state.run(false, || OsFs.rename(from, to))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.state.run(false, || if dir.is_dir() { Ok(()) } else { OsFs.sync_dir(dir) })
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.state.run(true, || OsFs.create_dir(dir))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.state.run(false, || OsFs.remove_file(path))
    }
}

#[derive(Debug)]
struct State {
    at: u64,
    fault: Fault,
    count: AtomicU64,
}

impl State {
    fn run<T>(&self, space: bool, action: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let number = self.count.fetch_add(1, Ordering::SeqCst);
        match self.fault {
            Fault::Fail | Fault::ShortWrite if number == self.at => Err(injected()),
            Fault::Crash if number >= self.at => Err(injected()),
            Fault::DiskFull if number >= self.at && space => {
                Err(io::Error::from(io::ErrorKind::StorageFull))
            }
            Fault::ReportedLost if number == self.at => {
                action()?;
                Err(injected())
            }
            _ => action(),
        }
    }

    fn shortens(&self) -> bool {
        self.fault == Fault::ShortWrite && self.count.load(Ordering::SeqCst) == self.at
    }
}

struct FaultFile {
    inner: Box<dyn FsFile>,
    state: Arc<State>,
}

impl FsFile for FaultFile {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.state.shortens() {
            self.inner.write_all(bytes.get(..bytes.len() / 2).unwrap_or_default())?;
        }
        let inner = &mut self.inner;
        self.state.run(true, || inner.write_all(bytes))
    }

    fn sync(&mut self) -> io::Result<()> {
        self.state.run(true, || Ok(()))
    }
}

fn injected() -> io::Error {
    io::Error::other("injected fault")
}
