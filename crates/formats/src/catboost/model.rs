//! The model around the features: trees, scale and bias, loss, class names.

use super::features::{self, Ctr, CtrTable, FloatFeature, OneHot};
use super::{CatboostError, DEPTH_MAX, FEATURES_MAX};
use crate::document::{FieldError, Value};
use crate::json;

/// A model as its file says it.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// Release of the library, `1.2.10`; empty where the file does not say.
    pub version: String,
    /// Loss function by name, with parameters after a colon where it has some; empty where the
    /// file does not say.
    pub loss: String,
    /// Features of numbers.
    pub floats: Vec<FloatFeature>,
    /// Features of categories.
    pub categories: Vec<OneHot>,
    /// Numbers made of counts by category.
    pub ctrs: Vec<Ctr>,
    /// The counts.
    pub tables: Vec<CtrTable>,
    /// Hash and text of the categories, where the file was saved with its pool.
    pub texts: Vec<(u32, String)>,
    /// Kinds of features that are not read (`text_features`, `embedding_features`).
    pub other_features: Vec<String>,
    /// The trees.
    pub trees: Trees,
    /// What the sum of leaves is multiplied by.
    pub scale: f64,
    /// What is added to it, by output.
    pub bias: Vec<f64>,
    /// Names of the classes.
    pub classes: ClassNames,
}

/// Names of the classes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClassNames {
    /// The file names none.
    None,
    /// Integers.
    Ints(Vec<i64>),
    /// Texts.
    Texts(Vec<String>),
}

/// Trees of one of two kinds.
#[derive(Clone, Debug, PartialEq)]
pub enum Trees {
    /// One split per level.
    Oblivious(Vec<Oblivious>),
    /// Nodes with their own splits, the root first; children are indices.
    Free(Vec<Vec<Node>>),
}

/// A tree with one split per level.
#[derive(Clone, Debug, PartialEq)]
pub struct Oblivious {
    /// Split `i` sets bit `i` of the number of the leaf.
    pub splits: Vec<Split>,
    /// Values, leaf after leaf, as many per leaf as there are outputs.
    pub leaves: Vec<f64>,
}

/// A node of a free tree.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// Values of a leaf, one per output.
    Leaf(Vec<f64>),
    /// A question: rows that answer yes go right.
    Branch {
        /// The question.
        split: Split,
        /// Child of rows that answer no.
        left: usize,
        /// Child of rows that answer yes.
        right: usize,
    },
}

/// A question.
#[derive(Clone, Debug, PartialEq)]
pub enum Split {
    /// Whether the number of this float feature lies above the border.
    Float {
        /// Index into the float features.
        feature: usize,
        /// The border.
        border: f32,
    },
    /// Whether the category of this category feature has the hash.
    OneHot {
        /// Index into the category features.
        feature: usize,
        /// The hash.
        value: u32,
    },
    /// Whether a number made of counts lies above the border; which number, the count of all
    /// borders and hashes before it says.
    Ctr {
        /// Number of the split among all that the features make.
        number: usize,
        /// The border.
        border: f32,
    },
    /// A kind that is not read.
    Other(String),
}

impl Model {
    pub(super) fn of(document: &Value) -> Result<Self, CatboostError> {
        let info = document.need("features_info")?;
        let model_info = document.need("model_info")?;
        let other = ["text_features", "embedding_features", "estimated_features"];
        let other = other.into_iter().filter(|key| info.at(key).is_some_and(|v| !v.is_empty()));
        let trees = if document.at("oblivious_trees").is_some() {
            let trees = document.need_items("oblivious_trees")?.iter().enumerate();
            let read = |(tree, value): (usize, &Value)| {
                oblivious(value).map_err(|source| CatboostError::Tree { tree, source })
            };
            Trees::Oblivious(trees.map(read).collect::<Result<_, _>>()?)
        } else {
            let trees = document.need_items("trees")?.iter().enumerate();
            let read = |(tree, value): (usize, &Value)| {
                free(value).map_err(|source| CatboostError::Tree { tree, source })
            };
            Trees::Free(trees.map(read).collect::<Result<_, _>>()?)
        };
        let (scale, bias) = scale_and_bias(document)?;
        Ok(Self {
            version: version(model_info),
            loss: loss(model_info),
            floats: features::float_features(info)?,
            categories: features::one_hots(info)?,
            ctrs: features::ctrs(info)?,
            tables: features::tables(document)?,
            texts: texts(info)?,
            other_features: other.map(str::to_owned).collect(),
            trees,
            scale,
            bias,
            classes: classes(model_info)?,
        })
    }
}

/// The release in the text that the library writes about itself.
fn version(info: &Value) -> String {
    let text = info.at("catboost_version_info").and_then(Value::text).unwrap_or_default();
    let tag = text.lines().find_map(|line| line.trim().strip_prefix("Branch: tags/v"));
    tag.unwrap_or_default().to_owned()
}

/// The loss stands in the parameters, which are an object or the text of one.
fn loss(info: &Value) -> String {
    let read;
    let params = match info.at("params") {
        Some(Value::Text(text)) => match json::read(text.as_bytes()) {
            Ok(value) => {
                read = value;
                &read
            }
            Err(_) => return String::new(),
        },
        Some(value) => value,
        None => return String::new(),
    };
    let function = params.at("loss_function");
    let name = function.and_then(|function| function.at("type")).and_then(Value::text);
    let Some(name) = name else { return String::new() };
    let mut loss = name.to_owned();
    if let Some(Value::Object(entries)) = function.and_then(|function| function.at("params")) {
        let known = entries.iter().filter(|(key, _)| !key.starts_with("__"));
        let parts = known.filter_map(|(key, value)| Some(format!("{key}={}", value.text()?)));
        let parts = parts.collect::<Vec<_>>().join(";");
        if !parts.is_empty() {
            loss = format!("{loss}:{parts}");
        }
    }
    loss
}

fn texts(info: &Value) -> Result<Vec<(u32, String)>, FieldError> {
    if info.at("cat_features_hash").is_none() {
        return Ok(Vec::new());
    }
    let wrong = || FieldError::new("cat_features_hash", "holds no hash with its text");
    let read = |value: &Value| {
        let hash = value.at("hash").and_then(Value::whole).and_then(features::hash);
        let text = value.at("value").and_then(Value::text);
        Ok((hash.ok_or_else(wrong)?, text.ok_or_else(wrong)?.to_owned()))
    };
    info.need_items("cat_features_hash")?.iter().map(read).collect()
}

fn scale_and_bias(document: &Value) -> Result<(f64, Vec<f64>), FieldError> {
    let Some(value) = document.at("scale_and_bias") else { return Ok((1.0, vec![0.0])) };
    let wrong = || FieldError::new("scale_and_bias", "is not a number and a list of numbers");
    if let Some([scale, bias]) = value.items() {
        let bias = bias.floats().or_else(|| bias.number().map(|bias| vec![bias]));
        return Ok((scale.number().ok_or_else(wrong)?, bias.ok_or_else(wrong)?));
    }
    match value.floats().as_deref() {
        Some([scale, bias]) => Ok((*scale, vec![*bias])), // releases before 0.26
        _ => Err(wrong()),
    }
}

fn classes(info: &Value) -> Result<ClassNames, FieldError> {
    let Some(names) = info.at("class_params").and_then(|params| params.at("class_names")) else {
        return Ok(ClassNames::None);
    };
    if names.is_empty() {
        return Ok(ClassNames::None);
    }
    if let Some(texts) = names.texts() {
        return Ok(ClassNames::Texts(texts));
    }
    if let Some(ints) = names.ints() {
        return Ok(ClassNames::Ints(ints));
    }
    match names.floats() {
        Some(floats) => Ok(ClassNames::Texts(floats.iter().map(f64::to_string).collect())),
        None => Err(FieldError::new("class_names", "holds neither numbers nor texts")),
    }
}

fn oblivious(value: &Value) -> Result<Oblivious, FieldError> {
    let splits = match value.at("splits") {
        None | Some(Value::Null) => Vec::new(),
        Some(_) => value.need_items("splits")?.iter().map(split).collect::<Result<_, _>>()?,
    };
    if splits.len() > DEPTH_MAX {
        let problem = format!("has {} levels; at most {DEPTH_MAX} are read", splits.len());
        return Err(FieldError::new("splits", problem));
    }
    Ok(Oblivious { splits, leaves: value.need_floats("leaf_values")? })
}

/// Lists the nodes of a tree, parents before children, without recursion.
fn free(root: &Value) -> Result<Vec<Node>, FieldError> {
    let mut values = vec![root];
    let mut nodes = Vec::new();
    let mut at = 0;
    while let Some(&value) = values.get(at) {
        at += 1;
        if let Some(leaf) = value.at("value") {
            let list = leaf.floats().or_else(|| leaf.number().map(|number| vec![number]));
            let list = list.ok_or_else(|| FieldError::new("value", "is no number"))?;
            nodes.push(Node::Leaf(list));
            continue;
        }
        let split = split(value.need("split")?)?;
        let left = values.len();
        values.extend([value.need("left")?, value.need("right")?]);
        nodes.push(Node::Branch { split, left, right: left + 1 });
    }
    Ok(nodes)
}

fn split(value: &Value) -> Result<Split, FieldError> {
    let border = || value.need_number("border").map(|border| border as f32);
    Ok(match value.need_text("split_type")? {
        "FloatFeature" => Split::Float {
            feature: value.need_size("float_feature_index", FEATURES_MAX)?,
            border: border()?,
        },
        "OneHotFeature" => {
            let hash = value.need("value")?.whole().and_then(features::hash);
            Split::OneHot {
                feature: value.need_size("cat_feature_index", FEATURES_MAX)?,
                value: hash.ok_or_else(|| FieldError::new("value", "is no hash"))?,
            }
        }
        "OnlineCtr" => {
            let number = value.need_size("split_index", usize::MAX)?;
            Split::Ctr { number, border: border()? }
        }
        other => Split::Other(other.to_owned()),
    })
}
