//! What lies in a folder, as facts for a first declaration.
//!
//! Owns the guesses: kinds of columns, pairs of images and labels, expected scores. Every guess
//! is marked in the declaration for a person to confirm. Must never load a pickle.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use proofmark_dataset::csv::{self, Hints, Records};
use proofmark_engine::graph::{Dim, ValueInfo};
use proofmark_formats::npy::NpyArray;
use proofmark_formats::sniff::{HEAD_BYTES, Kind, sniff};
use proofmark_formats::{idx, npy};
use proofmark_schema::system::{
    DialectPins, FeatureKind, FoundColumn, FoundData, FoundImages, FoundModel, FoundTable,
    FoundTensor, Template,
};


use crate::assets;
use crate::failure::{OrFail, Outcome};

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
        let kind = recognise(path)?;
        let name = relative(path);
        match &kind {
            Kind::Onnx => match model(path) {
                Ok(model) => found.template.models.push(model),
                Err(failure) => found.notes.push(format!("skipped `{name}`: {}", failure.message)),
            },
            Kind::Table { .. } if !is_prose(path) => match table(path) {
                Ok(table) => found.template.data.push(FoundData {
                    path: name,
                    table: Some(table),
                    images: None,
                }),
                Err(failure) => found.notes.push(format!("skipped `{name}`: {}", failure.message)),
            },
            Kind::Npy { objects: false, .. } | Kind::Idx { .. } | Kind::Gzip { .. } => {
                if let Ok(array) = array(path) {
                    arrays.push((name, array));
                }
            }
            kind if super::is_pickle(kind) => {
                found.notes.push(format!("`{name}` is a pickle, which is code: not loaded"));
                found.pickles.push(path.clone());
            }
            _ => {}
        }
    }
    pair(&mut found, arrays);
    Ok(found)
}

/// Labels go with the images of as many rows; a matrix of scores goes with the model it is named
/// after.
fn pair(found: &mut Found, arrays: Vec<(String, NpyArray)>) {
    let rank = |a: &NpyArray| a.shape().len();
    for model in &mut found.template.models {
        let stem = model.path.trim_end_matches(".onnx").to_owned();
        model.expected = arrays
            .iter()
            .filter(|(name, array)| rank(array) <= 2 && name.contains("expected"))
            .find(|(name, _)| name.contains(&stem) || name == "expected.npy")
            .map(|(name, _)| name.clone());
    }
    for (name, array) in arrays.iter().filter(|(_, a)| rank(a) >= 3) {
        let rows = array.shape().first().copied().unwrap_or(0);
        let labels = arrays.iter().find(|(_, a)| {
            rank(a) == 1 && a.shape().first() == Some(&rows) && a.to_i64().is_ok()
        });
        found.template.data.push(FoundData {
            path: name.clone(),
            table: None,
            images: images(array, labels),
        });
    }
}

fn images(array: &NpyArray, labels: Option<&(String, NpyArray)>) -> Option<FoundImages> {
    let (rows, shape) = match *array.shape() {
        [n, h, w] => (n, [1, h, w]),
        [n, c, h, w] if c <= CHANNELS_MAX => (n, [c, h, w]),
        [n, h, w, c] if c <= CHANNELS_MAX => (n, [c, h, w]),
        _ => return None,
    };
    let values = array.to_f32().ok()?;
    let fold = |f: fn(f32, f32) -> f32, start| values.iter().copied().fold(start, f);
    let (low, high) = (fold(f32::min, f32::INFINITY), fold(f32::max, f32::NEG_INFINITY));
    let range = if low >= 0.0 && high > 1.0 && high <= 255.0 {
        [0.0, 255.0]
    } else {
        [f64::from(low), f64::from(high)]
    };
    let label_values = labels
        .and_then(|(_, a)| a.to_i64().ok())
        .map(|v| v.into_iter().collect::<BTreeSet<_>>())
        .unwrap_or_default();
    Some(FoundImages {
        rows,
        shape,
        range,
        labels: labels.map(|(name, _)| name.clone()),
        label_values: label_values.iter().map(i64::to_string).collect(),
    })
}

fn model(path: &Path) -> Outcome<FoundModel> {
    let model = assets::open_model(path)?;
    let tensors = |list: &[ValueInfo]| list.iter().map(tensor).collect();
    Ok(FoundModel {
        path: relative(path),
        inputs: tensors(&model.graph().inputs),
        outputs: tensors(&model.graph().outputs),
        expected: None,
    })
}

fn tensor(info: &ValueInfo) -> FoundTensor {
    let shape = info.shape.iter().flatten().map(|d| match d {
        Dim::Fixed(n) => Some(*n),
        Dim::Dynamic(_) => None,
    });
    FoundTensor {
        name: info.name.clone(),
        dtype: info.dtype.map(|d| format!("{d:?}").to_lowercase()).unwrap_or_default(),
        shape: shape.collect(),
    }
}

fn table(path: &Path) -> Outcome<FoundTable> {
    let bytes = assets::read_data(path)?;
    let records = csv::read(&bytes, &DialectPins::default(), &Hints::default())
        .or_fail("table", "")?;
    let columns = (0..records.columns.len()).map(|c| column(&records, c)).collect();
    Ok(FoundTable {
        rows: records.len(),
        dialect: records.dialect.to_string(),
        header: records.dialect.header,
        columns,
    })
}

fn column(records: &Records, index: usize) -> FoundColumn {
    let mut distinct: BTreeSet<&str> = BTreeSet::new();
    let mut missing: BTreeSet<&str> = BTreeSet::new();
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    let (mut numbers, mut whole, mut texts) = (0usize, true, 0usize);
    for text in records.column(index) {
        if MISSING.contains(&text) {
            missing.insert(text);
            continue;
        }
        distinct.insert(text);
        match records.number(text) {
            Some(value) => {
                numbers += 1;
                whole &= value.fract() == 0.0 && !text.contains(['.', 'e', 'E']);
                (low, high) = (low.min(value), high.max(value));
            }
            None => texts += 1,
        }
    }
    let kind = if texts == 0 && numbers > 0 {
        if whole { FeatureKind::Integer } else { FeatureKind::Number }
    } else if is_boolean(&distinct) {
        FeatureKind::Boolean
    } else if distinct.len() <= CATEGORIES_MAX || distinct.len() * 2 < records.len() {
        FeatureKind::Category
    } else {
        FeatureKind::Text
    };
    FoundColumn {
        name: records.columns.get(index).cloned().unwrap_or_default(),
        kind,
        range: (texts == 0 && numbers > 0).then_some([low, high]),
        values: distinct.iter().take(CATEGORIES_MAX).map(|v| (*v).to_owned()).collect(),
        distinct: distinct.len(),
        missing: missing.iter().map(|v| (*v).to_owned()).collect(),
    }
}

fn is_boolean(values: &BTreeSet<&str>) -> bool {
    let lower: BTreeSet<String> = values.iter().map(|v| v.to_lowercase()).collect();
    let is = |a: &str, b: &str| lower.iter().all(|v| v == a || v == b) && lower.len() == 2;
    is("true", "false") || is("yes", "no")
}

fn array(path: &Path) -> Outcome<NpyArray> {
    let bytes = assets::read_data(path)?;
    if bytes.starts_with(b"\x93NUMPY") {
        return npy::read(&bytes).or_fail("array", "");
    }
    idx::read(&bytes, IDX_BYTES_MAX).or_fail("array", "")
}

fn recognise(path: &Path) -> Outcome<Kind> {
    let mut head = Vec::new();
    let file = File::open(path).or_fail("unreadable", "check its permissions")?;
    let length = file.metadata().map(|m| m.len()).unwrap_or(0);
    file.take(HEAD_BYTES as u64).read_to_end(&mut head).or_fail("unreadable", "")?;
    Ok(sniff(&head, length))
}

/// Scripts and notes can look like rows of text.
fn is_prose(path: &Path) -> bool {
    path.extension().is_some_and(|e| ["md", "py", "toml", "json", "ipynb"].iter().any(|p| e == *p))
}

fn relative(path: &Path) -> String {
    path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Texts that mean missing in most exports.
const MISSING: &[&str] = &["", "NA", "N/A", "nan", "NaN", "null", "NULL", "?"];
/// More different texts than this are listed by count only.
const CATEGORIES_MAX: usize = 30;
/// Grey, colour, colour with transparency.
const CHANNELS_MAX: usize = 4;
/// As for any data file.
const IDX_BYTES_MAX: usize = 512 << 20;
