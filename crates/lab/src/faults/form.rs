//! Which rows the checks of form would refuse before the model is asked.
//!
//! Owns the question for one row: declared bounds, whole numbers, declared values, missing values.
//! These are the checks of the guard's gate; a system without them lets everything through. Must
//! never look at the model.

use proofmark_dataset::table::{Cells, Table};
use proofmark_schema::system::{Feature, FeatureKind};

/// Per row: whether some value of an input feature is outside its declared form.
///
/// A missing value is inside only where `may_miss` says that the feature may lack one.
pub fn refused(table: &Table, features: &[Feature], may_miss: &dyn Fn(&str) -> bool) -> Vec<bool> {
    let mut refused = vec![false; table.n];
    for column in &table.columns {
        let Some(feature) = features.iter().find(|f| f.name == column.name && f.input) else {
            continue;
        };
        let missing = may_miss(&column.name);
        for (row, out) in refused.iter_mut().enumerate() {
            *out |= !match &column.cells {
                Cells::Numbers(numbers) => admits(feature, numbers[row], missing),
                Cells::Texts(texts) => match &texts[row] {
                    None => missing,
                    Some(text) => feature.values.is_empty() || feature.values.contains(text),
                },
            };
        }
    }
    refused
}

fn admits(feature: &Feature, value: f64, missing: bool) -> bool {
    if value.is_nan() {
        return missing;
    }
    let whole = feature.kind != FeatureKind::Integer || value.fract() == 0.0;
    whole && feature.bounds.is_none_or(|[lowest, highest]| value >= lowest && value <= highest)
}
