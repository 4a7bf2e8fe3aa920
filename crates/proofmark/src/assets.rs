//! Files the user names: read within limits, digested, opened as models.
//!
//! Owns every read of a model or data file. Must never trust a path inside a file: external
//! data is read from the model's own folder only.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use proofmark_engine::model::{Hints, LoadError, Model};
use proofmark_formats::gzip;
use proofmark_formats::sniff::{HEAD_BYTES, Kind, sniff};
use sha2::{Digest, Sha256};

use crate::failure::{Failure, OrFail, Outcome};

/// A file's bytes, refused above `limit`.
pub fn read_limited(path: &Path, limit: u64) -> Outcome<Vec<u8>> {
    let unreadable = |error| unreadable(path, &error);
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if metadata.is_dir() {
        return Err(Failure::new(
            "unreadable",
            format!("`{}` is a folder, a file is wanted", path.display()),
            "name the file",
        ));
    }
    if metadata.len() > limit {
        return Err(too_large(path, limit));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
    file.take(limit + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > limit {
        return Err(too_large(path, limit));
    }
    Ok(bytes)
}

fn too_large(path: &Path, limit: u64) -> Failure {
    Failure::new(
        "too-large",
        format!("`{}` is larger than {} MiB", path.display(), limit >> 20),
        "split it, or use a smaller sample",
    )
}

/// What a file is, by its first bytes; nothing is loaded.
pub fn recognise(path: &Path) -> Outcome<Kind> {
    let (head, length) = head(path).map_err(|error| unreadable(path, &error))?;
    Ok(sniff(&head, length))
}

/// The first bytes of a file, and its length.
fn head(path: &Path) -> std::io::Result<(Vec<u8>, u64)> {
    let mut head = Vec::new();
    let file = File::open(path)?;
    let length = file.metadata().map(|m| m.len()).unwrap_or(0);
    file.take(HEAD_BYTES as u64).read_to_end(&mut head)?;
    Ok((head, length))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(
        "unreadable",
        format!("cannot read `{}`: {error}", path.display()),
        "check the path and its permissions",
    )
}

/// Whether a file of that kind is a table in a typed container (Parquet, Arrow IPC, JSON lines).
pub fn is_typed_table(path: &Path, kind: &Kind) -> Outcome<bool> {
    if !matches!(kind, Kind::Unknown | Kind::Json | Kind::Text | Kind::Table { .. }) {
        return Ok(false);
    }
    let (head, _) = head(path).map_err(|error| unreadable(path, &error))?;
    Ok(matches!(proofmark_dataset::columnar::container(&head, None), Ok(Some(_))))
}

/// SHA-256, hex.
pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Opens a model file of any kind that says everything itself.
pub fn open_model(path: &Path) -> Outcome<Model> {
    open_model_with(path, &Hints::default())
}

/// Opens a model file; `hints` say what a dump of trees leaves open.
pub fn open_model_with(path: &Path, hints: &Hints) -> Outcome<Model> {
    refuse_pickles(path)?;
    let bytes = read_limited(path, MODEL_BYTES_MAX)?;
    let bytes = gzip::inflate_if_gzip(&bytes, MODEL_BYTES_MAX as usize)
        .or_fail("model-unreadable", "inflate it by hand, or export it again")?;
    let folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
    let externals = |location: &str| read_external(&folder, location);
    Model::open(&bytes, hints, &externals).map_err(|error| {
        let help = match error {
            LoadError::Import(_) | LoadError::Trees(_) | LoadError::Hints => {
                "docs/tree-files.md says which tree files are read, and what to declare"
            }
            _ => "export the model again; docs/models.md lists operators and opsets that are read",
        };
        let words = format!("cannot load `{}`: {error}", path.display());
        Failure::new("model-unreadable", words, help)
    })
}

/// External data: inside the model's folder even after links are followed.
fn read_external(folder: &Path, location: &str) -> Result<Vec<u8>, String> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let root = folder.canonicalize().map_err(|e| e.to_string())?;
    let wanted = root.join(location).canonicalize().map_err(|e| format!("`{location}`: {e}"))?;
    if !wanted.starts_with(&root) {
        return Err(format!("`{location}` lies outside the model's folder"));
    }
    read_limited(&wanted, MODEL_BYTES_MAX).map_err(|f| f.message)
}

/// A pickle is code: it is named and never loaded.
fn refuse_pickles(path: &Path) -> Outcome<()> {
    let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase());
    let pickled = extension.is_some_and(|e| PICKLED.contains(&e.as_str()));
    if !pickled {
        return Ok(());
    }
    Err(Failure::new(
        "pickle-refused",
        format!("`{}` is a pickle, which is code; it is not loaded", path.display()),
        format!(
            "export it to ONNX where it was trained:\n{}",
            crate::command::init::sklearn_recipe(path)
        ),
    ))
}

/// Reads a file that is named on the command line.
pub fn read_data(path: &Path) -> Outcome<Vec<u8>> {
    read_limited(path, DATA_BYTES_MAX)
}

/// The absolute form of a path, for messages and logs of where evidence lies.
pub fn absolute(path: &Path) -> Outcome<PathBuf> {
    std::path::absolute(path).or_fail("path", "check the path")
}

/// File names whose content is a pickle.
const PICKLED: &[&str] = &["joblib", "pkl", "pickle", "pt", "pth", "ckpt"];
/// Protobuf itself cannot hold more than 2 GiB in one file.
const MODEL_BYTES_MAX: u64 = 2 << 30;
/// Data is held in memory: more than this would pass the 2 GiB bound of the process.
const DATA_BYTES_MAX: u64 = 512 << 20;
