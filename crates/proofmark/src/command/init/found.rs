//! What lies in a folder, as facts for a first declaration.
//!
//! Owns which files belong together: images and labels, a model and its expected scores; folders
//! of images are [`super::folders`]. Every guess is marked in the declaration for a person to
//! confirm. Must never load a pickle.

use std::path::{Path, PathBuf};

use proofmark_dataset::found;
use proofmark_engine::graph::{Dim, ValueInfo};
use proofmark_formats::npy::NpyArray;
use proofmark_formats::sniff::Kind;
use proofmark_formats::{idx, npy};
use proofmark_schema::system::{FoundData, FoundModel, FoundTable, FoundTensor, Template};

use super::folders;
use crate::failure::{OrFail, Outcome};
use crate::{assets, loader};

/// What was found.
#[derive(Default)]
pub struct Found {
    /// Facts for the declaration.
    pub template: Template,
    /// Pickles, not opened.
    pub pickles: Vec<PathBuf>,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// Looks at every file of the folder.
pub fn survey(dir: &Path, files: &[PathBuf]) -> Outcome<Found> {
    let mut found = Found::default();
    let absolute = assets::absolute(dir)?;
    found.template.folder =
        absolute.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let mut arrays = Vec::new();
    for path in files {
        let kind = assets::recognise(path)?;
        let name = relative(path);
        match &kind {
            kind if is_model(kind) => match model(path) {
                Ok(model) => found.template.models.push(model),
                Err(failure) => found.notes.push(format!("skipped `{name}`: {}", failure.message)),
            },
            kind if is_rows(path, kind)? => match table(path) {
                Ok(table) => found.template.data.push(FoundData {
                    path: name,
                    table: Some(table),
                    images: None,
                }),
                Err(failure) => found.notes.push(format!("skipped `{name}`: {}", failure.message)),
            },
            Kind::Npy { objects: false, .. } | Kind::Idx { .. } | Kind::Gzip { .. } => {
                if let Ok(array) = array(path) {
                    arrays.push((path.clone(), array));
                }
            }
            Kind::XgboostDump => found.notes.push(format!(
                "`{name}` is a dump of XGBoost's trees, which does not say where margins start: \
                 use the saved model, or declare it by hand (docs/tree-files.md)"
            )),
            kind if super::is_pickle(kind) => {
                found.notes.push(format!("`{name}` is a pickle, which is code: not loaded"));
                found.pickles.push(path.clone());
            }
            _ => {}
        }
    }
    pair(&mut found, &arrays)?;
    folders::survey(dir, &mut found)?;
    Ok(found)
}

/// Labels go with the images of as many rows; a matrix of scores goes with the model it is named
/// after.
fn pair(found: &mut Found, arrays: &[(PathBuf, NpyArray)]) -> Outcome<()> {
    let rank = |a: &NpyArray| a.shape().len();
    for model in &mut found.template.models {
        let stem = model.path.rsplit_once('.').map_or(model.path.as_str(), |(stem, _)| stem);
        model.expected = arrays
            .iter()
            .filter(|(_, array)| rank(array) <= 2)
            .map(|(path, _)| relative(path))
            .find(|name| name == "expected.npy" || *name == format!("expected_{stem}.npy"));
    }
    for (path, array) in arrays.iter().filter(|(_, a)| rank(a) >= 3) {
        let rows = array.shape().first();
        let fits = |(_, a): &&(PathBuf, NpyArray)| {
            rank(a) == 1 && a.shape().first() == rows && a.data().to_i64().is_ok()
        };
        let labels = arrays.iter().find(fits).map(|(path, _)| path);
        let label_bytes = labels.map(|path| assets::read_data(path)).transpose()?;
        match found::images(&assets::read_data(path)?, label_bytes.as_deref()) {
            Ok(mut images) => {
                images.labels = labels.map(|path| relative(path));
                let path = relative(path);
                found.template.data.push(FoundData { path, table: None, images: Some(images) });
            }
            Err(error) => found.notes.push(format!("skipped `{}`: {error}", relative(path))),
        }
    }
    Ok(())
}

/// Whether a file is a model that says all of itself. A dump of trees does not: it is named in a
/// declaration with what it leaves open.
fn is_model(kind: &Kind) -> bool {
    matches!(kind, Kind::Onnx | Kind::Xgboost { .. } | Kind::Lightgbm | Kind::Catboost)
}

fn model(path: &Path) -> Outcome<FoundModel> {
    let model = assets::open_model(path)?;
    let tensors = |list: &[ValueInfo]| list.iter().map(tensor).collect();
    Ok(FoundModel {
        path: relative(path),
        inputs: tensors(&model.graph().inputs),
        outputs: tensors(&model.graph().outputs),
        expected: None,
        columns: loader::named_columns(model.graph()).unwrap_or_default(),
    })
}

fn tensor(info: &ValueInfo) -> FoundTensor {
    let shape = info.shape.iter().flatten().map(|d| match d {
        Dim::Fixed(n) => Some(*n),
        Dim::Dynamic(_) => None,
    });
    FoundTensor {
        name: info.name.clone(),
        dtype: info.dtype.map_or("map".to_owned(), |d| format!("{d:?}").to_lowercase()),
        shape: shape.collect(),
    }
}

fn table(path: &Path) -> Outcome<FoundTable> {
    found::table(&assets::read_data(path)?).or_fail("table", "")
}

fn array(path: &Path) -> Outcome<NpyArray> {
    let bytes = assets::read_data(path)?;
    if bytes.starts_with(b"\x93NUMPY") {
        return npy::read(&bytes).or_fail("array", "");
    }
    idx::read(&bytes, IDX_BYTES_MAX).or_fail("array", "")
}

/// Whether a file holds rows of a table, in whatever container.
fn is_rows(path: &Path, kind: &Kind) -> Outcome<bool> {
    let text = matches!(kind, Kind::Table { .. });
    Ok(!is_prose(path) && (text || assets::is_typed_table(path, kind)?))
}

/// Scripts and notes can look like rows of text.
fn is_prose(path: &Path) -> bool {
    path.extension().is_some_and(|e| ["md", "py", "toml", "json", "ipynb"].iter().any(|p| e == *p))
}

fn relative(path: &Path) -> String {
    path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
}

/// As for any data file.
const IDX_BYTES_MAX: usize = 512 << 20;
