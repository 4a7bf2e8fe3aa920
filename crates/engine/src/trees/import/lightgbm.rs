//! LightGBM's text files.
//!
//! Owns the meaning of objectives, missing values and categories as the library's predictor has
//! them: everything in `f64`, a value up to the threshold goes left, a category of the node's set
//! goes left.

use proofmark_formats::document::Value;
use proofmark_formats::lightgbm::{self as file, MissingKind};

use super::ImportError;
use super::plant::{Seen, plant};
use crate::trees::{Arithmetic, Categories, Codes, Ensemble, Join, Labels, Link, Missing, Output};
use crate::trees::{Test, Tree, ZERO_MAX};

/// Reads a model.
///
/// # Errors
/// [`ImportError`] for files that cannot be read, linear trees, and trees that are none.
pub fn import(bytes: &[u8]) -> Result<Ensemble, ImportError> {
    let model = file::read(bytes).map_err(malformed)?;
    if model.trees.iter().any(|tree| tree.linear) {
        return Err(ImportError::Unsupported {
            format: FORMAT,
            what: "trees with linear leaves".into(),
            next: "train with `linear_tree=false`".into(),
        });
    }
    let kind = if model.average { "rf" } else { "gbdt" };
    let source = format!("lightgbm {} ({kind})", model.version);
    let mut ensemble = Ensemble::new(model.features, Arithmetic::F64, source);
    ensemble.outputs = model.trees_per_round;
    ensemble.codes = Codes::Truncated;
    ensemble.names = model.feature_names.clone();
    let rounds = u32::try_from(model.trees.len() / model.trees_per_round).unwrap_or(u32::MAX);
    if model.average && rounds > 0 {
        ensemble.join = Join::Average(rounds);
    }
    describe(&model, &mut ensemble)?;
    categories(&model, &mut ensemble);
    let mut codes = 0usize;
    for (number, tree) in model.trees.iter().enumerate() {
        let target = (number % model.trees_per_round) as u32;
        let tree = tree_of(tree, target, model.features, &mut codes);
        let tree = tree.map_err(|reason| malformed(format!("tree {number}: {reason}")))?;
        ensemble.trees.push(tree);
    }
    Ok(ensemble)
}

/// Link and labels by objective.
fn describe(model: &file::Model, ensemble: &mut Ensemble) -> Result<(), ImportError> {
    let name = model.objective.first().map(String::as_str).unwrap_or_default();
    let has = |word: &str| model.objective.iter().skip(1).any(|w| w == word);
    let number = |key: &str| {
        let found = model.objective.iter().find_map(|word| word.strip_prefix(key));
        let parsed = found.map(|text| text.trim_start_matches(':').parse::<f64>());
        match parsed {
            None => Ok(1.0),
            Some(Ok(number)) if number.is_finite() => Ok(number),
            Some(_) => Err(malformed(format!("`{key}` of the objective is no number"))),
        }
    };
    let (link, classifies) = match name {
        "binary" => (Link::Logistic { scale: number("sigmoid")? }, true),
        "multiclass" => (Link::Softmax, true),
        "multiclassova" => {
            (Link::LogisticEach { scale: number("sigmoid")?, normalised: false }, true)
        }
        "cross_entropy" | "xentropy" => (Link::Logistic { scale: 1.0 }, false),
        "cross_entropy_lambda" | "xentlambda" => (Link::LogOnePlusExp, false),
        "poisson" | "gamma" | "tweedie" => (Link::Exp, false),
        _ if has("sqrt") => (Link::SignedSquare, false),
        _ => (Link::Identity, false),
    };
    let plain = [
        "regression",
        "regression_l1",
        "regression_l2",
        "huber",
        "fair",
        "quantile",
        "mape",
        "lambdarank",
        "rank_xendcg",
    ];
    if link == Link::Identity && !plain.contains(&name) {
        ensemble.notes.push(match name {
            "" => "the file names no objective: answers are margins".into(),
            _ => format!("the objective `{name}` is not known: answers are margins"),
        });
    }
    let one = matches!(link, Link::Logistic { .. } | Link::Exp | Link::LogOnePlusExp);
    if one && ensemble.outputs != 1 {
        return Err(malformed(format!("`{name}` with {} outputs", ensemble.outputs)));
    }
    ensemble.link = link;
    ensemble.labels = classifies.then(|| Labels::counted(ensemble.outputs.max(2)));
    Ok(())
}

/// Texts of pandas' categorical columns, where it is certain which columns these are.
fn categories(model: &file::Model, ensemble: &mut Ensemble) {
    let categorical = |info: &String| info != "none" && !info.starts_with('[');
    let flags: Vec<bool> = model.feature_infos.iter().map(categorical).collect();
    let count = flags.iter().filter(|&&flag| flag).count();
    if count == 0 {
        return;
    }
    let lists = &model.pandas_categories;
    if !lists.is_empty() && lists.len() != count {
        ensemble.notes.push(format!(
            "the file names the categories of {} columns but {count} columns hold categories: \
             give codes, as the texts cannot be told apart",
            lists.len()
        ));
    }
    let mut texts = lists.iter().filter(|_| lists.len() == count).map(|list| texts(list));
    let of = |flag: bool| flag.then(|| texts.next().flatten().unwrap_or(Categories::Codes));
    ensemble.categories = flags.into_iter().map(of).collect();
}

fn texts(list: &[Value]) -> Option<Categories> {
    let text = |value: &Value| match value {
        Value::Text(text) => Some(text.clone()),
        Value::Int(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(if *flag { "True" } else { "False" }.into()),
        _ => None,
    };
    list.iter().map(text).collect::<Option<Vec<_>>>().map(Categories::Texts)
}

fn tree_of(
    tree: &file::Tree,
    target: u32,
    columns: usize,
    codes: &mut usize,
) -> Result<Tree, String> {
    let nodes = tree.left.len();
    // leaves stand behind the inner nodes in the numbering of the walk
    let child = |link: i32| match usize::try_from(link) {
        Ok(node) => node,
        Err(_) => nodes + (-(i64::from(link) + 1)) as usize,
    };
    let count = nodes + tree.leaf.len();
    let root = if nodes == 0 { child(-1) } else { 0 };
    plant((root, count), (Output::One(target), 1), |node, leaves| {
        if node >= nodes {
            leaves.push(*tree.leaf.get(node - nodes).ok_or("a leaf is missing")?);
            return Ok(Seen::Leaf);
        }
        let missing = || format!("node {node} is incomplete");
        let (left, right) = tree.left.get(node).zip(tree.right.get(node)).ok_or_else(missing)?;
        let (yes, no) = (child(*left), child(*right));
        if (*left >= 0 && yes >= nodes) || (*right >= 0 && no >= nodes) {
            return Err(format!("node {node} has a child that does not exist"));
        }
        let feature = *tree.feature.get(node).ok_or_else(missing)?;
        if feature as usize >= columns {
            return Err(format!("node {node} asks column {feature} of {columns}"));
        }
        let threshold = *tree.threshold.get(node).ok_or_else(missing)?;
        if *tree.categorical.get(node).ok_or_else(missing)? {
            let place = threshold as usize;
            let set = tree.sets.get(place).filter(|_| threshold >= 0.0 && threshold.fract() == 0.0);
            let set = set.ok_or_else(|| format!("node {node} asks for a set that is missing"))?;
            *codes = codes.saturating_add(set.len());
            if *codes > CODES_MAX {
                return Err(format!("the splits hold more than {CODES_MAX} categories in all"));
            }
            let test = Test::OneOf(set.clone().into());
            return Ok(Seen::Branch { feature, test, missing: Missing::No, yes, no });
        }
        let kind = *tree.missing.get(node).ok_or_else(missing)?;
        let left = *tree.default_left.get(node).ok_or_else(missing)?;
        if threshold.is_nan() {
            return Err(format!("node {node} has no threshold"));
        }
        let missing = match kind {
            MissingKind::Zero => Missing::ZeroIs { to_yes: left },
            MissingKind::Nan if left => Missing::Yes,
            // without missing values NaN is taken for 0
            MissingKind::None if 0.0 <= threshold => Missing::Yes,
            MissingKind::Nan | MissingKind::None => Missing::No,
        };
        Ok(Seen::Branch { feature, test: at_most(threshold), missing, yes, no })
    })
}

/// `v <= threshold` as the library answers it, which takes every value next to zero for zero when
/// it reads a row.
fn at_most(threshold: f64) -> Test {
    if (0.0..ZERO_MAX).contains(&threshold) {
        Test::AtMost(ZERO_MAX)
    } else if (-ZERO_MAX..0.0).contains(&threshold) {
        Test::Below(-ZERO_MAX)
    } else {
        Test::AtMost(threshold)
    }
}

fn malformed(reason: impl ToString) -> ImportError {
    ImportError::Malformed { format: FORMAT, reason: reason.to_string() }
}

/// How messages call these files.
const FORMAT: &str = "LightGBM";

/// Codes in the sets of all splits, which nodes may share in the file but not here: 256 MiB.
const CODES_MAX: usize = 1 << 26;
