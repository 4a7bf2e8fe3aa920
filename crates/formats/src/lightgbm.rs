//! Models of LightGBM in its text format.
//!
//! Owns what the file says: header, trees as parallel arrays by node, pandas categories. Must
//! never judge what an objective means: the engine does. Called by the engine's importer.

mod tree;

pub use tree::{MissingKind, Tree};

use crate::document::{BYTES_MAX, Value};
use crate::json;

/// Classes, or trees per round.
pub const OUTPUTS_MAX: usize = 100_000;

/// Features of a model.
pub const FEATURES_MAX: usize = 10_000_000;

/// Why a file is no model of LightGBM.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[allow(missing_docs)] // the messages say it
pub enum LightgbmError {
    #[error("a model of {found} bytes; at most {limit} are read", limit = BYTES_MAX)]
    TooLarge { found: usize },
    #[error("the model is not UTF-8 from byte {offset} on")]
    NotUtf8 { offset: usize },
    #[error("line {line}: {problem}")]
    Line { line: usize, problem: String },
    #[error("the header lacks `{key}`")]
    Header { key: &'static str },
    #[error("`{key}` is {problem}")]
    Value { key: &'static str, problem: String },
    #[error("tree {tree}: `{key}` {problem}")]
    Tree { tree: usize, key: &'static str, problem: String },
    #[error("the file ends before `end of trees`, after {trees} trees")]
    Truncated { trees: usize },
}

/// A model as its file says it.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// Version of the format, `v4`.
    pub version: String,
    /// Classes; 1 but for multiclass objectives.
    pub classes: usize,
    /// Trees per round, which is outputs per row.
    pub trees_per_round: usize,
    /// Columns of a row.
    pub features: usize,
    /// The objective and its parameters, `["binary", "sigmoid:1"]`; empty for custom ones.
    pub objective: Vec<String>,
    /// Whether the trees are averaged (`boosting: rf`).
    pub average: bool,
    /// Names of the features, one per column; blanks have become `_`.
    pub feature_names: Vec<String>,
    /// What is known of each feature: a range, the categories, or `none`.
    pub feature_infos: Vec<String>,
    /// The trees, round after round.
    pub trees: Vec<Tree>,
    /// Categories of pandas' categorical columns in the order of these columns, by code.
    pub pandas_categories: Vec<Vec<Value>>,
}

/// Reads a model.
///
/// # Errors
/// Text that is no model, that ends early, and trees whose arrays do not fit each other.
pub fn read(bytes: &[u8]) -> Result<Model, LightgbmError> {
    if bytes.len() > BYTES_MAX {
        return Err(LightgbmError::TooLarge { found: bytes.len() });
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|error| LightgbmError::NotUtf8 { offset: error.valid_up_to() })?;
    let mut lines = text.lines().enumerate().map(|(i, line)| (i + 1, line.trim_end()));
    match lines.next() {
        Some((_, "tree")) => {}
        _ => {
            let problem = "a model of LightGBM begins with `tree`".to_owned();
            return Err(LightgbmError::Line { line: 1, problem });
        }
    }
    let mut sections = Sections::default();
    for (number, line) in lines.by_ref() {
        if line == "end of trees" {
            sections.ended = true;
            break;
        }
        sections.add(number, line)?;
    }
    if !sections.ended {
        return Err(LightgbmError::Truncated { trees: sections.trees.len() });
    }
    let mut model = header(&sections.header)?;
    for (tree, section) in sections.trees.iter().enumerate() {
        model.trees.push(Tree::of(tree, section)?);
    }
    if model.trees.len() % model.trees_per_round != 0 {
        let found = model.trees.len();
        let problem = format!("{}, which does not divide {found} trees", model.trees_per_round);
        return Err(LightgbmError::Value { key: "num_tree_per_iteration", problem });
    }
    for (number, line) in lines {
        if let Some(json) = line.strip_prefix("pandas_categorical:") {
            model.pandas_categories = pandas(number, json)?;
        }
    }
    Ok(model)
}

/// Lines `key=value` by section.
#[derive(Default)]
struct Sections<'a> {
    header: Section<'a>,
    trees: Vec<Section<'a>>,
    ended: bool,
}

/// Keys and values of one section; a key alone has an empty value.
pub(crate) type Section<'a> = Vec<(&'a str, &'a str)>;

impl<'a> Sections<'a> {
    fn add(&mut self, number: usize, line: &'a str) -> Result<(), LightgbmError> {
        let wrong = |problem: String| LightgbmError::Line { line: number, problem };
        if line.is_empty() {
            return Ok(());
        }
        let (key, value) = line.split_once('=').unwrap_or((line, ""));
        if key == "Tree" {
            if value.parse() != Ok(self.trees.len()) {
                return Err(wrong(format!("tree `{value}` where {} comes", self.trees.len())));
            }
            self.trees.push(Section::new());
            return Ok(());
        }
        let section = self.trees.last_mut().unwrap_or(&mut self.header);
        if section.len() >= KEYS_MAX {
            return Err(wrong(format!("more than {KEYS_MAX} lines in one section")));
        }
        if section.iter().any(|(known, _)| *known == key) {
            return Err(wrong(format!("`{key}` stands twice in one section")));
        }
        section.push((key, value));
        Ok(())
    }
}

fn header(section: &Section<'_>) -> Result<Model, LightgbmError> {
    let find = |key: &str| section.iter().find(|(k, _)| *k == key).map(|(_, value)| *value);
    let need = |key: &'static str| find(key).ok_or(LightgbmError::Header { key });
    let size = |key: &'static str, least: usize, max: usize| {
        let text = need(key)?;
        let size = text.trim().parse().ok().filter(|size| (least..=max).contains(size));
        let problem = || format!("`{text}` where {least} to {max} is read");
        size.ok_or_else(|| LightgbmError::Value { key, problem: problem() })
    };
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let features = size("max_feature_idx", 0, FEATURES_MAX)? + 1;
    let classes = size("num_class", 1, OUTPUTS_MAX)?;
    let trees_per_round = match find("num_tree_per_iteration") {
        Some(_) => size("num_tree_per_iteration", 1, OUTPUTS_MAX)?,
        None => classes,
    };
    let feature_names = words(need("feature_names")?);
    let feature_infos = words(find("feature_infos").unwrap_or_default());
    for (key, found) in
        [("feature_names", feature_names.len()), ("feature_infos", feature_infos.len())]
    {
        if found != features && !(key == "feature_infos" && found == 0) {
            let problem = format!("{found} items where {features} are needed");
            return Err(LightgbmError::Value { key, problem });
        }
    }
    Ok(Model {
        version: find("version").unwrap_or_default().to_owned(),
        classes,
        trees_per_round,
        features,
        objective: words(find("objective").unwrap_or_default()),
        average: find("average_output").is_some(),
        feature_names,
        feature_infos,
        trees: Vec::new(),
        pandas_categories: Vec::new(),
    })
}

/// The categories of pandas' categorical columns: a list of lists, or null.
fn pandas(line: usize, text: &str) -> Result<Vec<Vec<Value>>, LightgbmError> {
    let wrong = |problem: String| LightgbmError::Line { line, problem };
    let value = json::read(text.as_bytes()).map_err(|error| wrong(error.to_string()))?;
    if value == Value::Null {
        return Ok(Vec::new());
    }
    let lists = value.items().and_then(|lists| lists.iter().map(list).collect());
    lists.ok_or_else(|| wrong("`pandas_categorical` is no list of lists".into()))
}

fn list(value: &Value) -> Option<Vec<Value>> {
    Some(match value {
        Value::Ints(items) => items.iter().map(|&item| Value::Int(item)).collect(),
        Value::Floats(items) => items.iter().map(|&item| Value::Float(item)).collect(),
        Value::List(items) => items.clone(),
        _ => return None,
    })
}

/// Lines of one section: the format has about 30 keys.
const KEYS_MAX: usize = 100;

#[cfg(test)]
mod tests;
