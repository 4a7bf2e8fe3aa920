//! Folders of images on disk: what they hold, and one digest over all of it.
//!
//! Owns every walk through a data folder. Must never follow a link, nor leave the folder. Called
//! by the loader and wherever assets are digested.

use std::collections::BTreeMap;
use std::path::Path;

use proofmark_dataset::folder::{self, Gather};
use proofmark_dataset::images::Images;
use proofmark_schema::measurement::AssetDigest;
use proofmark_schema::system::{DataAsset, Feature};
use sha2::{Digest, Sha256};

use crate::assets;
use crate::failure::{Failure, Outcome};
use crate::project::Project;

/// Images of a folder.
pub struct Pictures {
    /// Pixels and classes.
    pub images: Images,
    /// What was not applied to them, in words.
    pub notes: Vec<String>,
    /// Digests of the folder and of the list of labels, made of the very bytes that were read.
    pub digests: Vec<AssetDigest>,
}

/// Reads the images of a data set.
pub fn images(project: &Project, asset: &DataAsset, feature: &Feature) -> Outcome<Pictures> {
    let unreadable = |e: folder::FolderError| {
        Failure::new(
            "data-unreadable",
            format!("data.{} (`{}`): {e}", asset.name, asset.path),
            "check shape and classes in the declaration against the folder",
        )
    };
    let root = project.path(&asset.path);
    let labels = asset.labels.as_deref();
    let list = labels.map(|path| assets::read_data(&project.path(path))).transpose()?;
    let names = files(&root, asset)?;
    let entries = folder::entries(&names, list.as_deref(), asset).map_err(unreadable)?;
    let mut gather = Gather::begin(asset, feature, entries.len()).map_err(unreadable)?;
    let mut digests = BTreeMap::new();
    for entry in &entries {
        let bytes = assets::read_limited(&root.join(&entry.name), IMAGE_BYTES_MAX)?;
        digests.insert(entry.name.clone(), assets::sha256(&bytes));
        gather.push(entry, &bytes).map_err(unreadable)?;
    }
    let (images, notes) = gather.finish();
    let name = format!("data/{}", asset.name);
    let mut digests = vec![AssetDigest { name, sha256: over(&root, &names, digests)? }];
    if let Some(list) = &list {
        let name = format!("data/{}/labels", asset.name);
        digests.push(AssetDigest { name, sha256: assets::sha256(list) });
    }
    Ok(Pictures { images, notes, digests })
}

/// SHA-256 over the names of all files, sorted, each with the SHA-256 of its content:
/// `name NUL digest-in-hex LF`.
pub fn digest(project: &Project, asset: &DataAsset) -> Outcome<String> {
    let root = project.path(&asset.path);
    over(&root, &files(&root, asset)?, BTreeMap::new())
}

/// The digest over all files, of which some may be digested already.
fn over(root: &Path, names: &[String], known: BTreeMap<String, String>) -> Outcome<String> {
    let mut whole = Sha256::new();
    for name in names {
        let sha256 = match known.get(name) {
            Some(sha256) => sha256.clone(),
            None => assets::sha256(&assets::read_limited(&root.join(name), IMAGE_BYTES_MAX)?),
        };
        whole.update(name.as_bytes());
        whole.update([0]);
        whole.update(sha256.as_bytes());
        whole.update(b"\n");
    }
    Ok(hex::encode(whole.finalize()))
}

/// Names of the files in a folder and below it, parts separated by `/`, sorted. Files that begin
/// with a dot are left out, and the list of labels, which has a digest of its own.
fn files(root: &Path, asset: &DataAsset) -> Outcome<Vec<String>> {
    let mut names = below(root)?;
    let base = asset.path.trim_end_matches('/');
    let list = asset.labels.as_deref().and_then(|l| l.strip_prefix(base)?.strip_prefix('/'));
    names.retain(|name| Some(name.as_str()) != list);
    Ok(names)
}

/// Names of all files in a folder and below it, but those that begin with a dot.
pub fn below(root: &Path) -> Outcome<Vec<String>> {
    let mut names = Vec::new();
    walk(root, "", 0, &mut names)?;
    names.sort_unstable();
    Ok(names)
}

/// The bytes of one image file.
pub fn image(path: &Path) -> Outcome<Vec<u8>> {
    assets::read_limited(path, IMAGE_BYTES_MAX)
}

fn walk(folder: &Path, prefix: &str, depth: usize, names: &mut Vec<String>) -> Outcome<()> {
    let shown = folder.display();
    let help = "name a folder of images, copied into the folder of the declaration";
    let unreadable = |e: std::io::Error| {
        Failure::new("unreadable", format!("cannot read the folder `{shown}`: {e}"), help)
    };
    if depth > DEPTH_MAX {
        let words = format!("`{shown}` lies over {DEPTH_MAX} folders deep");
        return Err(Failure::new("unreadable", words, help));
    }
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            let words = format!("`{}` has a name that is no Unicode", entry.path().display());
            return Err(Failure::new("unreadable", words, "rename it"));
        };
        if name.starts_with('.') {
            continue;
        }
        let name = format!("{prefix}{name}");
        // The type of the entry itself: a link is never looked through.
        let kind = entry.file_type().map_err(unreadable)?;
        if kind.is_dir() {
            walk(&entry.path(), &format!("{name}/"), depth + 1, names)?;
        } else if kind.is_file() {
            names.push(name);
        } else {
            let words = format!("`{}` is a link or no plain file", entry.path().display());
            return Err(Failure::new("unreadable", words, "put the file itself in its place"));
        }
        if names.len() > FILES_MAX {
            let words = format!("`{shown}` holds over {FILES_MAX} files");
            return Err(Failure::new("too-large", words, "take a sample of it"));
        }
    }
    Ok(())
}

/// Bytes of one image file.
const IMAGE_BYTES_MAX: u64 = 64 << 20;
/// Folders below the one that is named: a class, and perhaps its parts.
const DEPTH_MAX: usize = 8;
/// Files of a folder: the pixels of more do not fit in memory.
const FILES_MAX: usize = 500_000;
