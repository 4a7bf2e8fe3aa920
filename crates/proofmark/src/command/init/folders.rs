//! Folders of images beside the other assets.
//!
//! Owns what counts as one: most of its files end like images. Subfolders named after splits are
//! data sets of their own, all others are classes. Must never follow a link. Called by
//! [`super::found`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use proofmark_dataset::folder::{listed_labels, look};
use proofmark_schema::system::{FoundData, FoundImages};

use super::found::Found;
use crate::failure::{OrFail, Outcome};
use crate::{assets, folder};

/// Adds a data set for every folder of images.
pub fn survey(dir: &Path, found: &mut Found) -> Outcome<()> {
    for name in subfolders(dir)? {
        let root = dir.join(&name);
        let mut names = match folder::below(&root) {
            Ok(names) => names,
            Err(failure) => {
                // Most folders are about something else; that needs no word.
                if has_images(&root) {
                    found.notes.push(format!("skipped `{name}/`: {}", failure.message));
                }
                continue;
            }
        };
        let list = list_inside(&root, &mut names);
        let images = names.iter().filter(|n| is_image(n)).count();
        if images == 0 || images * 2 < names.len() {
            continue;
        }
        for (split, names) in splits(&names) {
            let path = format!("{name}/{split}");
            let list = list.clone().filter(|_| split.is_empty());
            add(dir, &path, &names, list, found)?;
        }
    }
    Ok(())
}

fn add(
    dir: &Path,
    path: &str,
    names: &[String],
    list: Option<String>,
    found: &mut Found,
) -> Outcome<()> {
    let others = names.iter().filter(|n| !is_image(n)).count();
    if others > 0 {
        let files = if others == 1 { "file that does" } else { "files that do" };
        found.notes.push(format!("`{path}` holds {others} {files} not end like an image"));
    }
    let root = dir.join(path);
    let mut images = match looked_at(&root, path, names, found) {
        Some(images) => images,
        None => return Ok(()),
    };
    let classes: BTreeSet<&str> =
        names.iter().filter_map(|n| n.split_once('/').map(|(class, _)| class)).collect();
    let loose = names.iter().filter(|n| is_image(n) && !n.contains('/')).count();
    let inside = list.map(|list| format!("{path}{list}"));
    let listed = match inside {
        Some(list) => Some(list),
        None if loose > 0 => list_beside(dir, names, found),
        None => None,
    };
    if let Some(list) = listed {
        let bytes = assets::read_data(&dir.join(&list))?;
        if let Some((labels, known)) = listed_labels(&bytes, names) {
            if known < images.rows {
                let missing = images.rows - known;
                found.notes.push(format!("`{list}` has no label for {missing} images of `{path}`"));
            }
            (images.label_values, images.labels) = (labels, Some(list));
        }
    } else if loose == 0 {
        images.label_values = classes.into_iter().map(str::to_owned).collect();
    } else if !classes.is_empty() {
        found.notes.push(format!("`{path}`: {loose} images lie in no subfolder, others do"));
    }
    let path = path.to_owned();
    found.template.data.push(FoundData { path, table: None, images: Some(images) });
    Ok(())
}

/// Decodes some of the images, spread over the folder.
fn looked_at(root: &Path, path: &str, names: &[String], found: &mut Found) -> Option<FoundImages> {
    let files: Vec<&String> = names.iter().filter(|n| is_image(n)).collect();
    let step = files.len().div_ceil(LOOKED_AT_MAX).max(1);
    let mut shapes: BTreeMap<[usize; 3], usize> = BTreeMap::new();
    let mut range: Option<[f64; 2]> = None;
    for name in files.iter().step_by(step) {
        let seen = folder::image(&root.join(name))
            .and_then(|bytes| look(name, &bytes).or_fail("image", ""));
        match seen {
            Ok((shape, [low, high])) => {
                *shapes.entry(shape).or_default() += 1;
                let [least, most] = range.unwrap_or([low, high]);
                range = Some([least.min(low), most.max(high)]);
            }
            Err(failure) => found.notes.push(format!("`{path}`: {}", failure.message)),
        }
    }
    let (shape, _) = shapes.iter().max_by_key(|(_, count)| **count)?;
    if shapes.len() > 1 {
        let told = |([c, h, w], n): (&[usize; 3], &usize)| format!("{n} of [{c}, {h}, {w}]");
        let told: Vec<String> = shapes.iter().take(SHAPES_MAX).map(told).collect();
        found.notes.push(format!(
            "`{path}` holds images of different shapes ({}, ...): bring them to one as the \
             training code did",
            told.join(", ")
        ));
    }
    let range = range.unwrap_or_default();
    let (shape, rows) = (*shape, files.len());
    Some(FoundImages { rows, shape, range, labels: None, label_values: Vec::new(), folder: true })
}

/// Names by the split they belong to, its name with a `/` behind it; one nameless split where the
/// subfolders are no splits.
fn splits(names: &[String]) -> BTreeMap<String, Vec<String>> {
    let mut by_split: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for name in names {
        let parts = name.split_once('/');
        let Some((first, rest)) =
            parts.filter(|(first, _)| SPLITS.contains(&first.to_lowercase().as_str()))
        else {
            return BTreeMap::from([(String::new(), names.to_vec())]);
        };
        by_split.entry(format!("{first}/")).or_default().push(rest.to_owned());
    }
    by_split
}

/// A list of labels among the files of the folder; it is taken out of them.
fn list_inside(root: &Path, names: &mut Vec<String>) -> Option<String> {
    let is_list = |name: &String| {
        let csv = !name.contains('/') && name.to_lowercase().ends_with(".csv");
        let bytes = csv.then(|| assets::read_data(&root.join(name)).ok()).flatten();
        bytes.is_some_and(|bytes| listed_labels(&bytes, names).is_some_and(|(_, n)| n > 0))
    };
    let at = names.iter().position(is_list)?;
    Some(names.remove(at))
}

/// A table beside the folder that is its list of labels, and no data set then.
fn list_beside(dir: &Path, names: &[String], found: &mut Found) -> Option<String> {
    let is_list = |data: &FoundData| {
        data.table.is_some()
            && assets::read_data(&dir.join(&data.path))
                .is_ok_and(|bytes| listed_labels(&bytes, names).is_some_and(|(_, n)| n > 0))
    };
    let at = found.template.data.iter().position(is_list)?;
    Some(found.template.data.remove(at).path)
}

fn subfolders(dir: &Path) -> Outcome<Vec<String>> {
    let entries = std::fs::read_dir(dir).or_fail("unreadable", "name a folder that exists")?;
    let mut names: Vec<String> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| !name.starts_with('.') && !name.contains('\\'))
        .collect();
    names.sort_unstable();
    Ok(names)
}

/// Whether images lie in a folder or in its first subfolder.
fn has_images(root: &Path) -> bool {
    let names = |dir: &Path| -> Vec<std::path::PathBuf> {
        let entries = std::fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok);
        entries.take(LOOKED_AT_MAX).map(|e| e.path()).collect()
    };
    let image = |path: &std::path::PathBuf| is_image(&path.to_string_lossy());
    let here = names(root);
    here.iter().any(image) || here.first().is_some_and(|first| names(first).iter().any(image))
}

fn is_image(name: &str) -> bool {
    let name = name.to_lowercase();
    [".png", ".jpg", ".jpeg"].iter().any(|ending| name.ends_with(ending))
}

/// Names of folders that hold a part of the data, as training code names them.
const SPLITS: [&str; 6] = ["train", "training", "val", "valid", "validation", "test"];
/// Images of a folder that are decoded to propose a shape.
const LOOKED_AT_MAX: usize = 64;
/// Shapes named in a note.
const SHAPES_MAX: usize = 3;
