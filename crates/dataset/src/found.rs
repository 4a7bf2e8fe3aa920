//! What a data file looks like before anything is declared: facts and guesses for `init`.
//!
//! Owns the guesses of types. Must never be used to measure: what a person confirmed is read by
//! [`crate::table`] and [`crate::images`].

use std::collections::BTreeSet;

use proofmark_schema::system::{DialectPins, FeatureKind, FoundColumn, FoundImages, FoundTable};

use crate::csv::{self, CsvError, Hints, Records, is_code};
use crate::images::{IMAGE_NAMES, ImagesError, LABEL_NAMES, label_texts, load};

/// Facts of a delimited file, with a guessed type per column.
///
/// # Errors
/// See [`CsvError`].
pub fn table(bytes: &[u8]) -> Result<FoundTable, CsvError> {
    let read = |decimal| {
        let pins = DialectPins { decimal, ..DialectPins::default() };
        csv::read(bytes, &pins, &Hints::default())
    };
    // A person says which mark it is; until then every such column looks like texts or decimals.
    let (records, open_mark) = match read(None) {
        Err(CsvError::AmbiguousDecimal { text, .. }) => (read(Some('.'))?, Some(text)),
        records => (records?, None),
    };
    let sentinels = records.sentinels();
    let named = records.columns.iter().enumerate().filter(|(at, _)| !records.is_void(*at));
    let columns = named.map(|(at, name)| {
        let mut missing: BTreeSet<String> =
            sentinels.iter().filter(|s| s.column == *name).map(|s| s.text.clone()).collect();
        if records.present(at).any(str::is_empty) {
            missing.insert(String::new());
        }
        column(&records, at, name, missing.into_iter().collect())
    });
    Ok(FoundTable {
        rows: records.len(),
        dialect: records.dialect.to_string(),
        header: records.named,
        open_mark,
        columns: columns.collect(),
    })
}

/// Facts of an image file and, when there is one, its labels.
///
/// # Errors
/// See [`ImagesError`]; arrays must be `(n, h, w)` or of four dimensions.
pub fn images(images: &[u8], labels: Option<&[u8]>) -> Result<FoundImages, ImagesError> {
    let array = load(images, "images", &IMAGE_NAMES)?;
    let (rows, shape) = match *array.shape() {
        [n, k] => (n, [1, 1, k]),
        [n, h, w] => (n, [1, h, w]),
        [n, a, b, c] if is_channels(c) && !is_channels(a) => (n, [c, a, b]),
        [n, a, b, c] => (n, [a, b, c]),
        _ => return Err(ImagesError::Rank { found: array.shape().len() }),
    };
    let kind = |source| ImagesError::Npy { which: "images", source };
    let pixels = array.data().to_f32().map_err(kind)?;
    let range = pixels.iter().filter(|p| p.is_finite()).fold(None, |range, pixel| {
        let pixel = f64::from(*pixel);
        let [low, high] = range.unwrap_or([pixel, pixel]);
        Some([pixel.min(low), pixel.max(high)])
    });
    let label_values = match labels {
        None => Vec::new(),
        Some(bytes) => distinct_labels(label_texts(&load(bytes, "labels", &LABEL_NAMES)?)?),
    };
    let range = range.unwrap_or_default();
    Ok(FoundImages { rows, shape, range, labels: None, label_values, folder: false })
}

fn column(records: &Records, at: usize, name: &str, missing: Vec<String>) -> FoundColumn {
    let texts: BTreeSet<&str> =
        records.present(at).filter(|t| !missing.iter().any(|m| m == t)).collect();
    let numbers: Option<Vec<f64>> = texts.iter().map(|t| records.number_in(at, t)).collect();
    // `007` is a code: as a number it would lose what tells it from `7`.
    let code = texts.iter().any(|t| is_code(t));
    let numbers = numbers.filter(|n| !n.is_empty() && !code);
    let range = numbers.as_ref().map(|n| {
        n.iter()
            .fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], v| [low.min(*v), high.max(*v)])
    });
    let lower: Vec<String> = texts.iter().map(|t| t.to_lowercase()).collect();
    let kind = match &numbers {
        Some(numbers) if numbers.iter().all(|n| n.fract() == 0.0) => FeatureKind::Integer,
        Some(_) => FeatureKind::Number,
        None if records.is_truth(at) => FeatureKind::Boolean,
        None if BOOLEANS.iter().any(|pair| lower == *pair) => FeatureKind::Boolean,
        None if texts.len() <= CATEGORIES_MAX || texts.len() * 20 <= records.len() => {
            FeatureKind::Category
        }
        None => FeatureKind::Text,
    };
    let values = texts.iter().take(VALUES_MAX).map(|t| (*t).to_owned()).collect();
    FoundColumn { name: name.to_owned(), kind, range, values, distinct: texts.len(), missing }
}

/// Different labels, numbers in their order before texts.
fn distinct_labels(texts: Vec<String>) -> Vec<String> {
    let mut texts: Vec<String> = texts.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
    texts.sort_by_key(|t| t.parse::<i64>().map_or((1, 0), |n| (0, n)));
    texts.truncate(VALUES_MAX);
    texts
}

/// Whether a dimension is likely one of channels: grey, colour, or colour with transparency.
fn is_channels(dim: usize) -> bool {
    matches!(dim, 1 | 3 | 4)
}

/// Pairs of texts, sorted, that mean false and true in some order.
const BOOLEANS: [[&str; 2]; 5] =
    [["false", "true"], ["no", "yes"], ["f", "t"], ["n", "y"], ["ja", "nein"]];
/// Different texts up to which a column is a category whatever its length.
const CATEGORIES_MAX: usize = 20;
/// Different values kept.
const VALUES_MAX: usize = 1000;
