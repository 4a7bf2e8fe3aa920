//! Durable writes: what a call acknowledges is on the disk, whole, or nothing of it is visible.
//!
//! Owns the write sequence (new file in the same folder, write, fsync, rename, fsync of the
//! folder), durable append, and the lock of the single writer. Every durable write of the product
//! goes through here. Must never leave a half-written file under its final name. Called by the
//! log, the store, the keys, the packs and the command line.

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

pub mod fault;

/// A new or grown file that is not yet durable.
pub trait FsFile: Send {
    /// Writes all of `bytes` at the end.
    ///
    /// # Errors
    /// What the file system reports; some bytes may have been written.
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Flushes content and length to the disk.
    ///
    /// # Errors
    /// What the file system reports.
    fn sync(&mut self) -> io::Result<()>;
    /// Flushes content, and of the rest only what reading it back needs (fdatasync).
    ///
    /// # Errors
    /// What the file system reports.
    fn sync_data(&mut self) -> io::Result<()> {
        self.sync()
    }
}

/// The few file-system operations durable writes are made of, so that tests can make each fail.
pub trait Fs: Send + Sync + fmt::Debug {
    /// Creates a file that must not exist; `private` asks for mode 0600 where modes exist.
    ///
    /// # Errors
    /// What the file system reports.
    fn create(&self, path: &Path, private: bool) -> io::Result<Box<dyn FsFile>>;
    /// Opens a file for writing at its end, creating it if absent.
    ///
    /// # Errors
    /// What the file system reports.
    fn open_append(&self, path: &Path) -> io::Result<Box<dyn FsFile>>;
    /// Renames over an existing file.
    ///
    /// # Errors
    /// What the file system reports.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Makes the entries of a folder durable.
    ///
    /// # Errors
    /// What the file system reports.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Creates one folder.
    ///
    /// # Errors
    /// What the file system reports.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    /// Removes a file.
    ///
    /// # Errors
    /// What the file system reports.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
}

/// The operating system's file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsFs;

impl Fs for OsFs {
    fn create(&self, path: &Path, private: bool) -> io::Result<Box<dyn FsFile>> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        if private {
            use std::os::unix::fs::OpenOptionsExt;
            options.mode(0o600);
        }
        #[cfg(not(unix))]
        let _ = private;
        Ok(Box::new(OsFile(options.open(path)?)))
    }

    fn open_append(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        Ok(Box::new(OsFile(OpenOptions::new().append(true).create(true).open(path)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        // Only POSIX systems can open a folder; elsewhere the rename itself is all there is.
        #[cfg(unix)]
        File::open(dir)?.sync_all()?;
        #[cfg(not(unix))]
        let _ = dir;
        Ok(())
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir(dir)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }
}

/// Replaces or creates `path` with `bytes`: after `Ok`, a power cut leaves the new content; after
/// an error, the old or the new one, never a mixture. The folder is made if absent.
///
/// # Errors
/// [`DurableError`] naming the operation and the file.
pub fn write(fs: &dyn Fs, path: &Path, bytes: &[u8]) -> Result<(), DurableError> {
    replace(fs, path, false, &mut |file| file.write_all(bytes))
}

/// As [`write`], readable by its owner only (mode 0600 where modes exist).
///
/// # Errors
/// [`DurableError`] naming the operation and the file.
pub fn write_private(fs: &dyn Fs, path: &Path, bytes: &[u8]) -> Result<(), DurableError> {
    replace(fs, path, true, &mut |file| file.write_all(bytes))
}

/// As [`write`], from a reader, in bounded memory.
///
/// # Errors
/// [`DurableError`] naming the operation and the file.
pub fn write_from(fs: &dyn Fs, path: &Path, reader: &mut dyn Read) -> Result<(), DurableError> {
    replace(fs, path, false, &mut |file| {
        let mut buffer = vec![0u8; COPY_CHUNK_BYTES];
        loop {
            match reader.read(&mut buffer)? {
                0 => return Ok(()),
                count => file.write_all(buffer.get(..count).unwrap_or_default())?,
            }
        }
    })
}

/// Appends `bytes` to `path` and flushes; a failed append may leave a torn tail, so formats
/// appended to must be able to tell (one record a line).
///
/// # Errors
/// [`DurableError`] naming the operation and the file.
pub fn append(fs: &dyn Fs, path: &Path, bytes: &[u8]) -> Result<(), DurableError> {
    let dir = folder_of(path);
    create_dir_all(fs, dir)?;
    let fresh = !path.exists();
    let mut file = fs.open_append(path).map_err(DurableError::at("open", path))?;
    file.write_all(bytes).map_err(DurableError::at("write", path))?;
    file.sync().map_err(DurableError::at("flush", path))?;
    if fresh {
        fs.sync_dir(dir).map_err(DurableError::at("flush the folder of", path))?;
    }
    Ok(())
}

/// Creates `dir` and its missing parents, each durable in its parent.
///
/// # Errors
/// [`DurableError`] naming the operation and the folder.
pub fn create_dir_all(fs: &dyn Fs, dir: &Path) -> Result<(), DurableError> {
    if dir.as_os_str().is_empty() || dir.is_dir() {
        return Ok(());
    }
    let parent = folder_of(dir);
    create_dir_all(fs, parent)?;
    match fs.create_dir(dir) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => {}
        Err(e) => return Err(DurableError::at("create", dir)(e)),
    }
    fs.sync_dir(parent).map_err(DurableError::at("flush the folder of", dir))
}

/// Removes a file and makes the removal durable; absent already is fine.
///
/// # Errors
/// [`DurableError`] naming the operation and the file.
pub fn remove(fs: &dyn Fs, path: &Path) -> Result<(), DurableError> {
    match fs.remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            return Err(DurableError::at("remove", path)(e));
        }
        _ => {}
    }
    fs.sync_dir(folder_of(path)).map_err(DurableError::at("flush the folder of", path))
}

/// Whether a file name is one this module gives to a file that is not finished.
pub fn is_unfinished(name: &str) -> bool {
    name.starts_with('.') && name.ends_with(UNFINISHED_SUFFIX)
}

/// Reads a file of at most `bytes_max`.
///
/// # Errors
/// [`DurableError`] if it cannot be read or is longer.
pub fn read_bounded(path: &Path, bytes_max: u64) -> Result<Vec<u8>, DurableError> {
    let file = File::open(path).map_err(DurableError::at("open", path))?;
    let mut bytes = Vec::new();
    file.take(bytes_max.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(DurableError::at("read", path))?;
    if bytes.len() as u64 > bytes_max {
        return Err(DurableError::TooLong { path: path.to_owned(), bytes_max });
    }
    Ok(bytes)
}

/// The lock of a single writer: held until dropped, released by the system if the process dies.
#[derive(Debug)]
pub struct WriterLock {
    file: File,
    path: PathBuf,
}

impl Drop for WriterLock {
    /// Closing the file is not enough: a process being started at this moment by another thread
    /// holds a copy of it, and with it the lock, until its program runs.
    fn drop(&mut self) {
        // Nothing can be done about an error here, and closing releases the lock all the same.
        let _ = self.file.unlock();
    }
}

impl WriterLock {
    /// Takes the lock at once or fails at once.
    ///
    /// # Errors
    /// [`DurableError::Locked`] if another writer holds it.
    pub fn acquire(path: &Path) -> Result<Self, DurableError> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(DurableError::at("open", path))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { file, path: path.to_owned() }),
            Err(TryLockError::WouldBlock) => Err(DurableError::Locked(path.to_owned())),
            Err(TryLockError::Error(e)) => Err(DurableError::at("lock", path)(e)),
        }
    }

    /// The locked file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Why something is not durable.
#[derive(Debug, thiserror::Error)]
pub enum DurableError {
    /// An operation failed.
    #[error("cannot {operation} `{}`: {source}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another writer is at work.
    #[error(
        "another process is writing (it holds `{}`); wait for it to end and try again",
        .0.display()
    )]
    Locked(PathBuf),
    /// Longer than its kind of file may be.
    #[error("`{}` is longer than {bytes_max} bytes", path.display())]
    TooLong {
        /// Which file.
        path: PathBuf,
        /// The limit.
        bytes_max: u64,
    },
}

impl DurableError {
    /// Wraps an I/O error with what was tried on which file.
    pub(crate) fn at(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { operation, path, source }
    }

    /// Whether the file was not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// Whether the disk was full.
    pub fn is_disk_full(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull)
    }
}

struct OsFile(File);

impl FsFile for OsFile {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_all()
    }

    fn sync_data(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }
}

type Fill<'a> = &'a mut dyn FnMut(&mut dyn FsFile) -> io::Result<()>;

fn replace(fs: &dyn Fs, path: &Path, private: bool, fill: Fill<'_>) -> Result<(), DurableError> {
    let dir = folder_of(path);
    create_dir_all(fs, dir)?;
    let (unfinished, mut file) = create_beside(fs, path, private)?;
    let written = fill(file.as_mut())
        .map_err(DurableError::at("write", path))
        .and_then(|()| file.sync().map_err(DurableError::at("flush", path)));
    drop(file);
    let renamed = written.and_then(|()| {
        fs.rename(&unfinished, path).map_err(DurableError::at("put into place", path))
    });
    if let Err(error) = renamed {
        // The unfinished file is harmless and is swept later; the first error is what matters.
        let _ = fs.remove_file(&unfinished);
        return Err(error);
    }
    fs.sync_dir(dir).map_err(DurableError::at("flush the folder of", path))
}

fn create_beside(
    fs: &dyn Fs,
    path: &Path,
    private: bool,
) -> Result<(PathBuf, Box<dyn FsFile>), DurableError> {
    static SERIAL: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    for _ in 0..CREATE_TRIES_MAX {
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let unfinished = folder_of(path).join(format!(".{name}.{serial}{UNFINISHED_SUFFIX}"));
        match fs.create(&unfinished, private) {
            Ok(file) => return Ok((unfinished, file)),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(DurableError::at("create a new version of", path)(e)),
        }
    }
    let busy = io::Error::from(io::ErrorKind::AlreadyExists);
    Err(DurableError::at("find a free name beside", path)(busy))
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}

const UNFINISHED_SUFFIX: &str = ".unfinished";
/// Leftovers of crashes occupy names; more than this many beside one file is a fault elsewhere.
const CREATE_TRIES_MAX: usize = 10_000;
/// Copy buffer: large enough to be limited by the disk.
const COPY_CHUNK_BYTES: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::fault::{Fault, FaultFs};
    use super::*;

    #[test]
    fn a_write_replaces_wholly_and_leaves_nothing_beside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/file");
        write(&OsFs, &path, b"one").unwrap();
        write_from(&OsFs, &path, &mut &b"two"[..]).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        append(&OsFs, &path, b"+").unwrap();
        assert_eq!(read_bounded(&path, 4).unwrap(), b"two+");
        assert!(matches!(read_bounded(&path, 3), Err(DurableError::TooLong { .. })));
        remove(&OsFs, &path).unwrap();
        remove(&OsFs, &path).unwrap();
        assert!(read_bounded(&path, 3).unwrap_err().is_not_found());
    }

    #[cfg(unix)]
    #[test]
    fn private_files_are_private() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        write_private(&OsFs, &path, b"s").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_fault_at_any_operation_leaves_old_or_new() {
        for fault in Fault::ALL {
            for k in 0.. {
                let dir = tempfile::tempdir().unwrap();
                let path = dir.path().join("file");
                write(&OsFs, &path, b"old").unwrap();
                let faulty = FaultFs::new(k, fault);
                let result = write(&faulty, &path, b"new content");
                let found = fs::read(&path).unwrap();
                assert!(found == b"old" || found == b"new content", "{fault:?} at {k}");
                if result.is_ok() {
                    assert_eq!(found, b"new content");
                }
                if !faulty.fired() {
                    assert!(k >= 5, "create, write, flush, rename, flush folder");
                    break;
                }
            }
        }
    }

    #[test]
    fn a_second_writer_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = WriterLock::acquire(&path).unwrap();
        let error = WriterLock::acquire(&path).unwrap_err();
        assert!(error.to_string().contains("lock"), "{error}");
        drop(held);
        WriterLock::acquire(&path).unwrap();
    }

    #[test]
    fn a_dropped_lock_is_free_even_if_a_copy_of_its_file_is_still_open() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = WriterLock::acquire(&path).unwrap();
        let copy = held.file.try_clone().unwrap();
        drop(held);
        WriterLock::acquire(&path).unwrap();
        drop(copy);
    }
}
