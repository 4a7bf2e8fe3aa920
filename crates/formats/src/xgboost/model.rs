//! The learner around the trees: parameters, objective, names, stored categories.

use super::tree::{Tree, floats};
use super::{FEATURES_MAX, OUTPUTS_MAX, XgboostError};
use crate::document::{FieldError, Value};

/// A model as its file says it.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// Version of the library that wrote it, `3.2.0`; empty where the file does not say.
    pub version: String,
    /// What is boosted.
    pub booster: Booster,
    /// Name of the objective.
    pub objective: String,
    /// Columns of a row.
    pub features: usize,
    /// Classes; 0 but for objectives of several.
    pub classes: usize,
    /// Targets, at least 1.
    pub targets: usize,
    /// Base score in the units of the answer, not of the margin; one, or one per output.
    pub base_score: Vec<f32>,
    /// Names of the features; empty, or one per column.
    pub feature_names: Vec<String>,
    /// Types of the features; empty, or one per column (`c` is a category).
    pub feature_types: Vec<String>,
    /// Stored categories; empty, or one per column.
    pub categories: Vec<StoredCategories>,
    /// Attributes that training left, `best_iteration` among them.
    pub attributes: Vec<(String, String)>,
}

/// What is boosted.
#[derive(Clone, Debug, PartialEq)]
pub enum Booster {
    /// Trees.
    Trees {
        /// The trees in order.
        trees: Vec<Tree>,
        /// Output that each tree adds to.
        outputs: Vec<u32>,
        /// Weight of each tree, with DART.
        weights: Option<Vec<f32>>,
        /// First tree of each round, and the end; empty where the file does not say.
        rounds: Vec<u32>,
    },
    /// A linear model: weights by feature and output, then the biases.
    Linear {
        /// `(features + 1) x outputs`.
        weights: Vec<f32>,
    },
}

/// The categories of one column, as files from 3.1 on store them.
#[derive(Clone, Debug, PartialEq)]
pub enum StoredCategories {
    /// The column has none.
    None,
    /// Texts by code.
    Texts(Vec<String>),
    /// Whole numbers by code.
    Ints(Vec<i64>),
    /// Texts with letters beyond ASCII, which 3.1 and 3.2 cut by letters and not by bytes, so
    /// that the file no longer holds them.
    Garbled,
}

impl Model {
    pub(super) fn of(document: &Value) -> Result<Self, XgboostError> {
        let learner = document.need("learner")?;
        let params = learner.need("learner_model_param")?;
        let features = params.need_size("num_feature", FEATURES_MAX)?;
        let classes = params.need_size("num_class", OUTPUTS_MAX)?;
        let targets = match params.at("num_target") {
            Some(_) => params.need_size("num_target", OUTPUTS_MAX)?.max(1),
            None => 1,
        };
        let objective = learner.need("objective")?.need_text("name")?.to_owned();
        let gradient_booster = learner.need("gradient_booster")?;
        let booster = booster(gradient_booster)?;
        let categories = categories(gradient_booster, features)?;
        let feature_names = texts(learner, "feature_names", features)?;
        let feature_types = texts(learner, "feature_types", features)?;
        Ok(Self {
            version: version(document),
            booster,
            objective,
            features,
            classes,
            targets,
            base_score: base_score(params)?,
            feature_names,
            feature_types,
            categories,
            attributes: attributes(learner),
        })
    }

    /// An attribute that training left.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

fn version(document: &Value) -> String {
    let parts = document.at("version").and_then(Value::ints).unwrap_or_default();
    parts.iter().map(i64::to_string).collect::<Vec<_>>().join(".")
}

fn attributes(learner: &Value) -> Vec<(String, String)> {
    let Some(Value::Object(entries)) = learner.at("attributes") else { return Vec::new() };
    let pair = |(key, value): &(String, Value)| Some((key.clone(), value.text()?.to_owned()));
    entries.iter().filter_map(pair).collect()
}

/// A number, or from 3.1 on a list, both written as text.
fn base_score(params: &Value) -> Result<Vec<f32>, FieldError> {
    let value = params.need("base_score")?;
    let wrong = || FieldError::new("base_score", "is neither a number nor a list of numbers");
    let scores = match value.text() {
        Some(text) => {
            let inner = text.trim().trim_start_matches('[').trim_end_matches(']');
            let parse = |part: &str| part.trim().parse::<f32>().ok();
            inner.split(',').map(parse).collect::<Option<Vec<_>>>().ok_or_else(wrong)?
        }
        None => match value.number() {
            Some(number) => vec![number as f32],
            None => floats("base_score", params)?,
        },
    };
    if scores.is_empty() || scores.len() > OUTPUTS_MAX { Err(wrong()) } else { Ok(scores) }
}

fn texts(learner: &Value, key: &str, features: usize) -> Result<Vec<String>, FieldError> {
    let Some(value) = learner.at(key) else { return Ok(Vec::new()) };
    let found = value.texts().ok_or_else(|| FieldError::new(key, "is no list of texts"))?;
    if found.is_empty() || found.len() == features {
        return Ok(found);
    }
    let count = found.len();
    Err(FieldError::new(key, format!("has {count} items where {features} are needed")))
}

fn booster(value: &Value) -> Result<Booster, XgboostError> {
    match value.need_text("name")? {
        "gbtree" => trees(value.need("model")?, None),
        "dart" => {
            let weights = floats("weight_drop", value)?;
            trees(value.need("gbtree")?.need("model")?, Some(weights))
        }
        "gblinear" => Ok(Booster::Linear { weights: floats("weights", value.need("model")?)? }),
        other => Err(FieldError::new("name", format!("is the unknown booster `{other}`")).into()),
    }
}

fn trees(model: &Value, weights: Option<Vec<f32>>) -> Result<Booster, XgboostError> {
    let values = model.need_items("trees")?;
    let said = model.need("gbtree_model_param")?.need_size("num_trees", usize::MAX)?;
    if said != values.len() {
        return Err(XgboostError::TreeCount { said, found: values.len() });
    }
    let mut trees = Vec::with_capacity(values.len());
    for (tree, value) in values.iter().enumerate() {
        trees.push(Tree::of(value).map_err(|source| XgboostError::Tree { tree, source })?);
    }
    let outputs = unsigned(model, "tree_info")?;
    let rounds = match model.at("iteration_indptr") {
        Some(_) => unsigned(model, "iteration_indptr")?,
        None => Vec::new(),
    };
    let ascending = rounds.windows(2).all(|pair| pair.first() <= pair.last());
    if outputs.len() != said || weights.as_ref().is_some_and(|weights| weights.len() != said) {
        let problem = "has not one item per tree, or `weight_drop` has not";
        return Err(FieldError::new("tree_info", problem).into());
    }
    if !rounds.is_empty() && (!ascending || rounds.last().map(|&end| end as usize) != Some(said)) {
        return Err(FieldError::new("iteration_indptr", "does not end at the last tree").into());
    }
    Ok(Booster::Trees { trees, outputs, weights, rounds })
}

fn unsigned(model: &Value, key: &str) -> Result<Vec<u32>, FieldError> {
    let wide = model.need_ints(key)?;
    let narrow = wide.into_iter().map(u32::try_from).collect::<Result<Vec<_>, _>>();
    narrow.map_err(|_| FieldError::new(key, "is out of range"))
}

/// Stored categories by column; `cats` stands in the model of trees, also inside DART.
fn categories(booster: &Value, features: usize) -> Result<Vec<StoredCategories>, FieldError> {
    let inner = booster.at("gbtree").unwrap_or(booster);
    let cats = inner.at("model").and_then(|model| model.at("cats"));
    let Some(encoders) = cats.and_then(|cats| cats.at("enc")) else { return Ok(Vec::new()) };
    let encoders = encoders.items().ok_or_else(|| FieldError::new("enc", "is no list"))?;
    if encoders.is_empty() {
        return Ok(Vec::new());
    }
    if encoders.len() != features {
        let (found, problem) = (encoders.len(), "items where");
        return Err(FieldError::new("enc", format!("has {found} {problem} {features} are needed")));
    }
    encoders.iter().map(stored).collect()
}

fn stored(encoder: &Value) -> Result<StoredCategories, FieldError> {
    let values = encoder.need_ints("values")?;
    if encoder.at("offsets").is_none() {
        return Ok(StoredCategories::Ints(values));
    }
    let offsets = encoder.need_ints("offsets")?;
    if offsets.len() < 2 {
        return Ok(StoredCategories::None);
    }
    // characters are signed bytes
    let byte = |&value: &i64| u8::try_from(value & 0xff).ok();
    let bytes: Vec<u8> = values.iter().filter_map(byte).collect();
    if !bytes.is_ascii() {
        return Ok(StoredCategories::Garbled);
    }
    let wrong = || FieldError::new("offsets", "does not cut `values` into texts");
    let mut texts = Vec::with_capacity(offsets.len());
    for pair in offsets.windows(2) {
        let &[start, end] = pair else { return Err(wrong()) };
        let ends = usize::try_from(start).ok().zip(usize::try_from(end).ok());
        let part = ends.and_then(|(start, end)| bytes.get(start..end)).ok_or_else(wrong)?;
        texts.push(String::from_utf8(part.to_vec()).map_err(|_| wrong())?);
    }
    Ok(StoredCategories::Texts(texts))
}
