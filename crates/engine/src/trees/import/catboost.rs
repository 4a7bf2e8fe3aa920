//! CatBoost's JSON files.
//!
//! Owns the meaning of losses, splits and counts by category as the library's CPU evaluator has
//! them: features in `f32`, leaves and sums in `f64`, a value above the border goes right. A
//! number made of counts by one category is a set of categories: exactly those whose number lies
//! above the border. Must never approximate combinations of features: they are refused.

mod sets;

use proofmark_formats::catboost::{self as file, ClassNames, NanTreatment, Node, Split, Trees};

use super::ImportError;
use super::plant::{Seen, plant};
use crate::trees::{Arithmetic, Branch, Child, Ensemble, Labels, Link, Missing, Output, Test};
use crate::trees::{Codes, Tree};
use sets::Sets;

/// Reads a model.
///
/// # Errors
/// [`ImportError`] for files that cannot be read, text and embedding features, counts by several
/// features, and trees that are none.
pub fn import(bytes: &[u8]) -> Result<Ensemble, ImportError> {
    let model = file::read(bytes).map_err(malformed)?;
    if let Some(kind) = model.other_features.first() {
        let next = "train without them".into();
        return Err(ImportError::Unsupported { format: FORMAT, what: format!("`{kind}`"), next });
    }
    let source = format!("catboost {}", model.version);
    let columns = columns(&model)?;
    let mut ensemble = Ensemble::new(columns, Arithmetic::Mixed, source.trim_end());
    ensemble.codes = Codes::Whole;
    ensemble.names = names(&model, columns);
    ensemble.outputs = outputs(&model)?;
    ensemble.scale = model.scale;
    ensemble.base_last = true;
    ensemble.base = match model.bias.as_slice() {
        [0.0] => vec![0.0; ensemble.outputs],
        bias if bias.len() == ensemble.outputs => bias.to_vec(),
        bias => {
            let reason = format!("{} biases for {} outputs", bias.len(), ensemble.outputs);
            return Err(malformed(reason));
        }
    };
    let mut sets = Sets::of(&model)?;
    ensemble.categories = sets.categories(&model, columns);
    describe(&model, &mut ensemble)?;
    match &model.trees {
        Trees::Oblivious(trees) => {
            for (number, tree) in trees.iter().enumerate() {
                let tree = oblivious(tree, &model, &mut sets, ensemble.outputs);
                ensemble.trees.push(tree.map_err(|error| error.of_tree(number))?);
            }
        }
        Trees::Free(trees) => {
            for (number, nodes) in trees.iter().enumerate() {
                let tree = free(nodes, &model, &mut sets, ensemble.outputs);
                ensemble.trees.push(tree.map_err(|error| error.of_tree(number))?);
            }
        }
    }
    Ok(ensemble)
}

/// Why a tree is not taken over.
enum TreeError {
    Malformed(String),
    Unsupported(ImportError),
}

impl TreeError {
    fn of_tree(self, number: usize) -> ImportError {
        match self {
            Self::Malformed(reason) => malformed(format!("tree {number}: {reason}")),
            Self::Unsupported(error) => error,
        }
    }
}

impl From<String> for TreeError {
    fn from(reason: String) -> Self {
        Self::Malformed(reason)
    }
}

/// A split, ready to be asked; rows that answer `right` go right.
#[derive(Clone)]
enum Question {
    /// Every row goes to the same side.
    Always { right: bool },
    /// `yes` goes right unless `inverted`.
    Ask { feature: u32, test: Test, missing: Missing, inverted: bool },
}

impl Question {
    /// Codes in its set.
    fn size(&self) -> usize {
        match self {
            Self::Ask { test: Test::OneOf(set), .. } => set.len(),
            _ => 0,
        }
    }
}

fn question(
    split: &Split,
    model: &file::Model,
    sets: &mut Sets<'_>,
) -> Result<Question, TreeError> {
    match split {
        Split::Float { feature, border } => {
            let float = model.floats.get(*feature);
            let float = float.ok_or_else(|| format!("float feature {feature} is missing"))?;
            let missing = match float.nan {
                NanTreatment::AsTrue => Missing::Yes,
                NanTreatment::AsIs | NanTreatment::AsFalse => Missing::No,
            };
            let feature = float.column as u32;
            let test = Test::Above((*border).into());
            Ok(Question::Ask { feature, test, missing, inverted: false })
        }
        Split::OneHot { feature, value } => Ok(sets.one_hot(*feature, *value)?),
        Split::Ctr { number, border } => sets.ctr(model, *number, *border),
        Split::Other(kind) => Err(TreeError::Unsupported(ImportError::Unsupported {
            format: FORMAT,
            what: format!("splits of the type `{kind}`"),
            next: "train without text, embedding and estimated features".into(),
        })),
    }
}

/// A tree with one question per level: questions of sets come first, as they are copied least
/// often there.
fn oblivious(
    tree: &file::Oblivious,
    model: &file::Model,
    sets: &mut Sets<'_>,
    outputs: usize,
) -> Result<Tree, TreeError> {
    let leaves = outputs << tree.splits.len();
    if tree.leaves.len() != leaves {
        let reason = format!("{} leaf values where {leaves} are needed", tree.leaves.len());
        return Err(reason.into());
    }
    let mut fixed = 0;
    let mut levels = Vec::new();
    for (bit, split) in tree.splits.iter().enumerate() {
        match question(split, model, sets)? {
            Question::Always { right } => fixed |= usize::from(right) << bit,
            ask => levels.push((bit, ask)),
        }
    }
    levels.sort_by_key(|(_, question)| std::cmp::Reverse(question.size()));
    let mut branches = Vec::with_capacity((1 << levels.len()) - 1);
    // leaf numbers that the answers so far lead to, in the order of the nodes of a level
    let mut reached = vec![fixed];
    for (level, (bit, question)) in levels.iter().enumerate() {
        let Question::Ask { feature, test, missing, inverted } = question else { continue };
        sets.spend(question.size() << level)?;
        let last = level + 1 == levels.len();
        let below = (2 << level) - 1;
        let mut next = Vec::with_capacity(reached.len() * 2);
        for (place, &leaf) in reached.iter().enumerate() {
            let right = leaf | 1 << bit;
            next.extend([leaf, right]);
            let children = match last {
                true => Child::leaf(leaf).zip(Child::leaf(right)),
                false => Child::branch(below + 2 * place).zip(Child::branch(below + 2 * place + 1)),
            };
            let (left, right) = children.ok_or_else(|| "too many nodes".to_owned())?;
            let (yes, no) = if *inverted { (left, right) } else { (right, left) };
            let (feature, test, missing) = (*feature, test.clone(), *missing);
            branches.push(Branch { feature, test, yes, no, missing });
        }
        reached = next;
    }
    let root = if branches.is_empty() { Child::leaf(fixed) } else { Child::branch(0) };
    let root = root.ok_or_else(|| "too many nodes".to_owned())?;
    Ok(Tree { output: output(outputs), branches, leaves: tree.leaves.clone(), root, weight: 1.0 })
}

fn free(
    nodes: &[Node],
    model: &file::Model,
    sets: &mut Sets<'_>,
    outputs: usize,
) -> Result<Tree, TreeError> {
    let mut refused = None;
    let width = (output(outputs), outputs);
    let planted = plant((0, nodes.len()), width, |node, leaves| {
        match nodes.get(node).ok_or_else(|| format!("node {node} is missing"))? {
            Node::Leaf(values) => {
                leaves.extend(values);
                Ok(Seen::Leaf)
            }
            Node::Branch { split, left, right } => match question(split, model, sets) {
                Ok(ask @ Question::Ask { .. }) if sets.spend(ask.size()).is_err() => {
                    Err("too many categories in splits".into())
                }
                Ok(Question::Ask { feature, test, missing, inverted }) => {
                    let (yes, no) = if inverted { (*left, *right) } else { (*right, *left) };
                    Ok(Seen::Branch { feature, test, missing, yes, no })
                }
                Ok(Question::Always { right: to_right }) => {
                    // no test is always true of every value, NaN included, but through `missing`
                    let missing = if to_right { Missing::Yes } else { Missing::No };
                    let test = if to_right {
                        Test::AtLeast(f64::NEG_INFINITY)
                    } else {
                        Test::Below(f64::NEG_INFINITY)
                    };
                    Ok(Seen::Branch { feature: 0, test, missing, yes: *right, no: *left })
                }
                Err(TreeError::Malformed(reason)) => Err(reason),
                Err(TreeError::Unsupported(error)) => {
                    refused = Some(error);
                    Err("is not run here".into())
                }
            },
        }
    });
    match (planted, refused) {
        (_, Some(error)) => Err(TreeError::Unsupported(error)),
        (planted, None) => Ok(planted?),
    }
}

fn output(outputs: usize) -> Output {
    if outputs == 1 { Output::One(0) } else { Output::Vector }
}

/// Outputs per row, by the leaves of the first tree and else by the biases.
fn outputs(model: &file::Model) -> Result<usize, ImportError> {
    let leaves = match &model.trees {
        Trees::Oblivious(trees) => trees.first().map(|t| t.leaves.len() >> t.splits.len()),
        Trees::Free(trees) => trees.first().and_then(|nodes| {
            nodes.iter().find_map(|node| match node {
                Node::Leaf(values) => Some(values.len()),
                Node::Branch { .. } => None,
            })
        }),
    };
    let outputs = leaves.unwrap_or(model.bias.len());
    if outputs == 0 { Err(malformed("tree 0: a leaf has no value")) } else { Ok(outputs) }
}

fn columns(model: &file::Model) -> Result<usize, ImportError> {
    let all = all_columns(model);
    let columns = all.iter().map(|(column, _)| column + 1).max().unwrap_or(0);
    let mut taken = vec![false; columns];
    for (column, _) in all {
        if std::mem::replace(&mut taken[column], true) {
            return Err(malformed(format!("two features stand in column {column}")));
        }
    }
    Ok(columns)
}

fn all_columns(model: &file::Model) -> Vec<(usize, &str)> {
    let floats = model.floats.iter().map(|feature| (feature.column, feature.name.as_str()));
    floats.chain(model.categories.iter().map(|f| (f.column, f.name.as_str()))).collect()
}

/// Names by column; features that have none are called by the number of their column, as the
/// library does.
fn names(model: &file::Model, columns: usize) -> Vec<String> {
    let mut names: Vec<String> = (0..columns).map(|column| column.to_string()).collect();
    let mut named = false;
    for (column, name) in all_columns(model) {
        if !name.is_empty() && name != names[column] {
            named = true;
            names[column] = name.to_owned();
        }
    }
    if named { names } else { Vec::new() }
}

/// Link and labels by loss.
fn describe(model: &file::Model, ensemble: &mut Ensemble) -> Result<(), ImportError> {
    let name = model.loss.split(':').next().unwrap_or_default();
    let outputs = ensemble.outputs;
    let (link, classes) = match name {
        "Logloss" | "CrossEntropy" | "Focal" => (Link::Logistic { scale: 1.0 }, Some(2)),
        "MultiClass" => (Link::Softmax, Some(outputs)),
        "MultiClassOneVsAll" => {
            (Link::LogisticEach { scale: 1.0, normalised: false }, Some(outputs))
        }
        "MultiLogloss" | "MultiCrossEntropy" => {
            (Link::LogisticEach { scale: 1.0, normalised: false }, None)
        }
        "Poisson" | "Tweedie" => (Link::Exp, None),
        _ => (Link::Identity, None),
    };
    if matches!(link, Link::Logistic { .. } | Link::Exp) && outputs != 1 {
        return Err(malformed(format!("`{name}` with {outputs} outputs")));
    }
    if link == Link::Identity && !PLAIN.contains(&name) {
        ensemble.notes.push(match name {
            "" => "the file names no loss: answers are margins".into(),
            "RMSEWithUncertainty" => {
                "`RMSEWithUncertainty`: the answers are the mean and the logarithm of the \
                 standard deviation"
                    .into()
            }
            _ => format!("the loss `{name}` is not known: answers are margins"),
        });
    }
    ensemble.link = link;
    ensemble.labels = classes.map(|classes| match &model.classes {
        ClassNames::Ints(names) if names.len() == classes => Labels::Ints(names.clone()),
        ClassNames::Texts(names) if names.len() == classes => Labels::Texts(names.clone()),
        _ => Labels::counted(classes),
    });
    Ok(())
}

fn malformed(reason: impl ToString) -> ImportError {
    ImportError::Malformed { format: FORMAT, reason: reason.to_string() }
}

/// How messages call these files.
const FORMAT: &str = "CatBoost";

/// Losses whose margin is the answer.
const PLAIN: [&str; 22] = [
    "RMSE",
    "MAE",
    "Quantile",
    "LogLinQuantile",
    "MAPE",
    "Lq",
    "Expectile",
    "Huber",
    "LogCosh",
    "MultiRMSE",
    "MultiRMSEWithMissingValues",
    "MultiQuantile",
    "YetiRank",
    "YetiRankPairwise",
    "PairLogit",
    "PairLogitPairwise",
    "QueryRMSE",
    "GroupQuantile",
    "QuerySoftMax",
    "LambdaMart",
    "StochasticRank",
    "Cox",
];
