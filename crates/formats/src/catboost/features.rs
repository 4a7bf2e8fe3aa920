//! Features of a CatBoost model: floats, categories, and counts by category (CTR).

use super::FEATURES_MAX;
use crate::document::{FieldError, Value};

/// A feature of numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct FloatFeature {
    /// Column of a row.
    pub column: usize,
    /// Name; empty where the file holds none.
    pub name: String,
    /// Thresholds, which splits number.
    pub borders: Vec<f32>,
    /// Where NaN goes.
    pub nan: NanTreatment,
}

/// Where NaN goes at a split of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NanTreatment {
    /// Compared as it is: above nothing.
    AsIs,
    /// Above nothing.
    AsFalse,
    /// Above everything.
    AsTrue,
}

/// A feature of categories.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneHot {
    /// Column of a row.
    pub column: usize,
    /// Name; empty where the file holds none.
    pub name: String,
    /// Hashes that splits ask for; empty where none does.
    pub values: Vec<u32>,
}

/// A number made of counts by category.
#[derive(Clone, Debug, PartialEq)]
pub struct Ctr {
    /// Which counts.
    pub table: String,
    /// What is made of them.
    pub kind: CtrKind,
    /// The only category feature it looks at; `None` for combinations of several features.
    pub category: Option<usize>,
    /// Thresholds, which splits number.
    pub borders: Vec<f32>,
    /// Added to the counts of the target's side.
    pub prior_numerator: f32,
    /// Added to all counts.
    pub prior_denominator: f32,
    /// Added to the ratio.
    pub shift: f32,
    /// What the sum is multiplied by.
    pub scale: f32,
    /// Class above which, or at which, targets are counted.
    pub target_border: usize,
}

/// What is made of counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CtrKind {
    /// Share of targets above a border.
    Borders,
    /// Share of targets in a bucket.
    Buckets,
    /// Mean of the target.
    Mean,
    /// Frequency of the category.
    Counter,
}

/// Counts by hash of the category.
#[derive(Clone, Debug, PartialEq)]
pub struct CtrTable {
    /// Name.
    pub name: String,
    /// Hash and counts (for means: sum, count) by category.
    pub rows: Vec<(u64, Vec<f32>)>,
    /// What frequencies are divided by.
    pub denominator: f32,
}

pub(super) fn float_features(info: &Value) -> Result<Vec<FloatFeature>, FieldError> {
    let read = |value: &Value| {
        let nan = match value.at("nan_value_treatment").and_then(Value::text) {
            Some("AsFalse") => NanTreatment::AsFalse,
            Some("AsTrue") => NanTreatment::AsTrue,
            Some("AsIs") | None => NanTreatment::AsIs,
            Some(other) => {
                let problem = format!("is the unknown `{other}`");
                return Err(FieldError::new("nan_value_treatment", problem));
            }
        };
        Ok(FloatFeature { column: column(value)?, name: name(value), borders: f32s(value)?, nan })
    };
    list(info, "float_features")?.iter().map(read).collect()
}

pub(super) fn one_hots(info: &Value) -> Result<Vec<OneHot>, FieldError> {
    let read = |value: &Value| {
        let values = match value.at("values") {
            Some(_) => value.need_ints("values")?,
            None => Vec::new(),
        };
        let values = values.into_iter().map(hash).collect::<Option<Vec<_>>>();
        let values = values.ok_or_else(|| FieldError::new("values", "holds no hash"))?;
        Ok(OneHot { column: column(value)?, name: name(value), values })
    };
    list(info, "categorical_features")?.iter().map(read).collect()
}

pub(super) fn ctrs(info: &Value) -> Result<Vec<Ctr>, FieldError> {
    let read = |value: &Value| {
        let kind = match value.need_text("ctr_type")? {
            "Borders" => CtrKind::Borders,
            "Buckets" => CtrKind::Buckets,
            "BinarizedTargetMeanValue" | "FloatTargetMeanValue" => CtrKind::Mean,
            "Counter" | "FeatureFreq" => CtrKind::Counter,
            other => {
                let problem = format!("is the unknown `{other}`");
                return Err(FieldError::new("ctr_type", problem));
            }
        };
        let category = match value.need_items("elements")? {
            [only] => match only.need_text("combination_element")? {
                "cat_feature_value" => Some(only.need_size("cat_feature_index", FEATURES_MAX)?),
                _ => None,
            },
            _ => None,
        };
        let number = |key: &str| value.need_number(key).map(|number| number as f32);
        Ok(Ctr {
            table: value.need_text("identifier")?.to_owned(),
            kind,
            category,
            borders: f32s(value)?,
            prior_numerator: number("prior_numerator")?,
            prior_denominator: number("prior_denomerator")?, // so spelt in the files
            shift: number("shift")?,
            scale: number("scale")?,
            target_border: value.need_size("target_border_idx", FEATURES_MAX)?,
        })
    };
    list(info, "ctrs")?.iter().map(read).collect()
}

pub(super) fn tables(document: &Value) -> Result<Vec<CtrTable>, FieldError> {
    let Some(Value::Object(entries)) = document.at("ctr_data") else { return Ok(Vec::new()) };
    entries.iter().map(|(name, value)| table(name, value)).collect()
}

/// Rows stand one after another: a hash as text, then numbers, `hash_stride` items in all.
fn table(name: &str, value: &Value) -> Result<CtrTable, FieldError> {
    let wrong = |problem: &str| FieldError::new("hash_map", problem);
    let stride = value.need_size("hash_stride", STRIDE_MAX)?;
    let items = value.need_items("hash_map")?;
    if stride < 2 || items.len() % stride != 0 {
        return Err(wrong("is not a whole number of rows"));
    }
    let mut rows = Vec::with_capacity(items.len() / stride);
    for row in items.chunks(stride) {
        let (key, counts) = row.split_first().ok_or_else(|| wrong("has an empty row"))?;
        let key = match key {
            Value::Int(number) => u64::try_from(*number).ok(),
            other => other.text().and_then(|text| text.parse().ok()),
        };
        let key: u64 = key.ok_or_else(|| wrong("holds no hash where one is needed"))?;
        let counts = counts.iter().map(|count| count.number().map(|count| count as f32));
        let counts = counts.collect::<Option<Vec<_>>>();
        let counts = counts.ok_or_else(|| wrong("holds no count where one is needed"))?;
        if key != EMPTY {
            rows.push((key, counts));
        }
    }
    let denominator = value.need_number("counter_denominator")? as f32;
    Ok(CtrTable { name: name.to_owned(), rows, denominator })
}

/// The hash of a category, which files write as a signed or an unsigned number of 32 bits.
pub(super) fn hash(number: i64) -> Option<u32> {
    u32::try_from(number).ok().or_else(|| i32::try_from(number).ok().map(i32::cast_unsigned))
}

fn list<'a>(info: &'a Value, key: &str) -> Result<&'a [Value], FieldError> {
    if info.at(key).is_some() { info.need_items(key) } else { Ok(&[]) }
}

fn column(value: &Value) -> Result<usize, FieldError> {
    value.need_size("flat_feature_index", FEATURES_MAX)
}

fn name(value: &Value) -> String {
    let name = value.at("feature_name").or_else(|| value.at("feature_id"));
    name.and_then(Value::text).unwrap_or_default().to_owned()
}

fn f32s(value: &Value) -> Result<Vec<f32>, FieldError> {
    match value.at("borders") {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(_) => Ok(value.need_floats("borders")?.into_iter().map(|b| b as f32).collect()),
    }
}

/// Marks an empty place of the library's hash table.
const EMPTY: u64 = u64::MAX;

/// Items of a row of counts: one per class and the hash.
const STRIDE_MAX: usize = 100_000;
