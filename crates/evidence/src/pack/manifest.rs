//! MANIFEST: one line of digest and path for every file of a pack.
//!
//! Owns its form (that of `sha256sum`), the survey of the folder and the comparison. Must never
//! follow a link or accept an unlisted file. Called by the pack's writer and verifier.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;

use super::{MANIFEST, MANIFEST_BUNDLE, PackError};
use crate::digest::Digest;
use crate::durable::DurableError;

/// Every file below `dir` that MANIFEST covers, sorted by path (with `/`).
pub(super) fn survey(dir: &Path) -> Result<Vec<String>, PackError> {
    let mut found = Vec::new();
    let mut bytes = 0;
    walk(dir, "", 0, &mut found, &mut bytes)?;
    found.retain(|path| path != MANIFEST && path != MANIFEST_BUNDLE);
    found.sort();
    Ok(found)
}

/// The text of MANIFEST.
pub(super) fn write(dir: &Path, listed: &[String]) -> Result<String, PackError> {
    let mut text = String::new();
    for path in listed {
        text.push_str(&format!("{}  {path}\n", digest_of(&dir.join(path))?));
    }
    Ok(text)
}

/// Reads MANIFEST: sorted, unique, plain paths.
pub(super) fn parse(text: &str) -> Result<BTreeMap<String, Digest>, String> {
    let mut listed = BTreeMap::new();
    let mut last = "";
    let body = text.strip_suffix('\n').ok_or("MANIFEST does not end in a newline")?;
    for line in body.split('\n') {
        let (digest, path) =
            line.split_once("  ").ok_or_else(|| format!("MANIFEST: `{line}` is no entry"))?;
        let digest = digest.parse().map_err(|e| format!("MANIFEST: {e}"))?;
        if !path.split('/').all(is_plain_name) || path <= last {
            return Err(format!("MANIFEST: `{path}` is not a plain path in sorted order"));
        }
        last = path;
        listed.insert(path.to_owned(), digest);
    }
    Ok(listed)
}

/// What differs between MANIFEST and the folder.
pub(super) fn compare(dir: &Path, listed: &BTreeMap<String, Digest>) -> Vec<String> {
    let found = match survey(dir) {
        Ok(found) => found,
        Err(error) => return vec![error.to_string()],
    };
    let mut faults = Vec::new();
    for path in &found {
        match (listed.get(path), digest_of(&dir.join(path))) {
            (None, _) => faults.push(format!("`{path}` is not in MANIFEST")),
            (Some(_), Err(error)) => faults.push(error.to_string()),
            (Some(digest), Ok(actual)) if *digest != actual => {
                faults.push(format!("`{path}` was changed"));
            }
            _ => {}
        }
    }
    for path in listed.keys().filter(|path| found.binary_search(path).is_err()) {
        faults.push(format!("`{path}` is missing"));
    }
    faults
}

/// Whether a name may be a part of a path in a pack.
pub(super) fn is_plain_name(name: &str) -> bool {
    let ours = |c: u8| c.is_ascii_alphanumeric() || b"-_.".contains(&c);
    !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && !name.starts_with(['.', '-'])
        && name.bytes().all(ours)
}

fn walk(
    dir: &Path,
    below: &str,
    depth: usize,
    found: &mut Vec<String>,
    bytes: &mut u64,
) -> Result<(), PackError> {
    if depth > DEPTH_MAX {
        return Err(PackError::Layout(format!("`{below}` is nested too deeply")));
    }
    let here = dir.join(below);
    for item in fs::read_dir(&here).map_err(DurableError::at("list", &here))? {
        let item = item.map_err(DurableError::at("list", &here))?;
        let name = item.file_name();
        let path = match name.to_str().filter(|name| is_plain_name(name)) {
            Some(name) if below.is_empty() => name.to_owned(),
            Some(name) => format!("{below}/{name}"),
            None => {
                let shown = name.to_string_lossy();
                return Err(PackError::Layout(format!("`{below}/{shown}` is no plain name")));
            }
        };
        let meta = item.metadata().map_err(DurableError::at("inspect", &here))?;
        if meta.is_dir() {
            walk(dir, &path, depth + 1, found, bytes)?;
        } else if meta.is_file() {
            *bytes = bytes.saturating_add(meta.len());
            found.push(path);
        } else {
            return Err(PackError::Layout(format!("`{path}` is a link or a special file")));
        }
        if found.len() > FILES_MAX || *bytes > BYTES_MAX {
            let limit = format!("more than {FILES_MAX} files or {BYTES_MAX} bytes");
            return Err(PackError::Layout(limit));
        }
    }
    Ok(())
}

fn digest_of(path: &Path) -> Result<Digest, PackError> {
    let mut file = File::open(path).map_err(DurableError::at("open", path))?;
    let (digest, _) = Digest::of_reader(&mut file).map_err(DurableError::at("read", path))?;
    Ok(digest)
}

/// Tiles of the largest log, plus as many artefacts.
const FILES_MAX: usize = 50_000;
/// A pack travels by mail or stick; 16 GiB is more than one with all its artefacts needs.
const BYTES_MAX: u64 = 16 << 30;
const DEPTH_MAX: usize = 12;
const NAME_BYTES_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_strict() {
        let digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let good = format!("{digest}  a\n{digest}  b/c.json\n");
        assert_eq!(parse(&good).unwrap().len(), 2);
        for bad in [
            String::new(),
            format!("{digest}  a"),
            format!("{digest} a\n"),
            format!("{digest}  b\n{digest}  a\n"),
            format!("{digest}  a\n{digest}  a\n"),
            format!("{digest}  ../a\n"),
            format!("{digest}  /a\n"),
            format!("{digest}  a//b\n"),
            format!("{digest}  a b\n"),
            format!("{}  a\n", digest.to_uppercase()),
        ] {
            assert!(parse(&bad).is_err(), "{bad}");
        }
    }
}
