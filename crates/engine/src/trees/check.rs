//! What an ensemble must be before it is run.
//!
//! Owns every check: sizes, indices, that nodes form trees, that numbers are numbers. An importer
//! may be as trusting as it likes; nothing is run that has not passed here. Called by `compile`.

use super::{Branch, Categories, Child, Ensemble, Join, Link, Output, Place, Test, Tree};

/// Columns that a row can have: far above any table, so that a hostile index is refused early.
pub const COLUMNS_MAX: usize = 1 << 24;
/// Outputs: far above any number of classes; a row holds as many margins.
pub const OUTPUTS_MAX: usize = 1 << 16;
/// Questions from the root to a leaf: no learner comes near it, and it bounds the time of a row.
pub const DEPTH_MAX: usize = 1 << 12;

/// Why an ensemble is not run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// A size that does not fit the others, or exceeds its limit.
    #[error("the ensemble's {what}; the file is damaged or was written for something else")]
    Size {
        /// What is wrong.
        what: String,
    },
    /// A tree that is not one.
    #[error("tree {tree} {what}; the file is damaged or was written for something else")]
    Tree {
        /// Number of the tree, from 0.
        tree: usize,
        /// What is wrong.
        what: String,
    },
}

/// Checks the whole ensemble; gives the depth of each tree.
///
/// # Errors
/// The first thing that is wrong.
pub(super) fn check(ensemble: &Ensemble) -> Result<Vec<usize>, TreeError> {
    sizes(ensemble)?;
    let trees = ensemble.trees.iter().enumerate();
    trees
        .map(|(i, tree)| checked(ensemble, tree).map_err(|what| TreeError::Tree { tree: i, what }))
        .collect()
}

fn sizes(e: &Ensemble) -> Result<(), TreeError> {
    let fail = |what: String| Err(TreeError::Size { what });
    if e.columns > COLUMNS_MAX {
        return fail(format!("{} columns exceed the limit of {COLUMNS_MAX}", e.columns));
    }
    if e.outputs == 0 || e.outputs > OUTPUTS_MAX {
        return fail(format!("{} outputs are not between 1 and {OUTPUTS_MAX}", e.outputs));
    }
    for (what, len, want) in [
        ("feature names", e.names.len(), e.columns),
        ("columns with categories", e.categories.len(), e.columns),
        ("base margins", e.base.len(), e.outputs),
    ] {
        if len != 0 && len != want {
            return fail(format!("{len} {what} do not fit {want}"));
        }
    }
    if e.base.iter().any(|b| b.is_nan()) || !e.scale.is_finite() {
        return fail("base margin or scale is not a number".to_string());
    }
    if e.join == Join::Average(0) {
        return fail("average is taken over no trees".to_string());
    }
    if let Some(labels) = &e.labels
        && labels.len() != e.outputs
        && !(labels.len() == 2 && e.outputs == 1)
    {
        return fail(format!("{} labels do not fit {} outputs", labels.len(), e.outputs));
    }
    let one = matches!(e.link, Link::Logistic { .. } | Link::Step);
    if one && e.outputs > 1 {
        return fail(format!("link is of one margin, there are {}", e.outputs));
    }
    Ok(())
}

fn checked(e: &Ensemble, tree: &Tree) -> Result<usize, String> {
    let leaves = leaves(e, tree)?;
    if !tree.weight.is_finite() || tree.leaves.iter().any(|v| v.is_nan()) {
        return Err("has a weight or a leaf that is not a number".to_string());
    }
    let child = |c: Child| match c.place() {
        Place::Branch(i) if i >= tree.branches.len() => {
            Err(format!("names branch {i} of {}", tree.branches.len()))
        }
        Place::Leaf(i) if i >= leaves => Err(format!("names leaf {i} of {leaves}")),
        _ => Ok(()),
    };
    child(tree.root)?;
    for b in &tree.branches {
        child(b.yes)?;
        child(b.no)?;
        branch(e, b)?;
    }
    depth(tree)
}

/// Number of leaves, when their values fit.
fn leaves(e: &Ensemble, tree: &Tree) -> Result<usize, String> {
    let n = tree.leaf_count(e.outputs);
    let fits = match &tree.output {
        Output::One(k) => (*k as usize) < e.outputs,
        Output::Vector => n * e.outputs == tree.leaves.len(),
        Output::Listed { starts, targets } => {
            starts.first().is_none_or(|&s| s == 0)
                && starts.last().is_none_or(|&s| s as usize == tree.leaves.len())
                && starts.is_sorted()
                && targets.len() == tree.leaves.len()
                && targets.iter().all(|&t| (t as usize) < e.outputs)
        }
    };
    if fits { Ok(n) } else { Err("has leaves that do not fit the outputs".to_string()) }
}

fn branch(e: &Ensemble, b: &Branch) -> Result<(), String> {
    let feature = b.feature as usize;
    if feature >= e.columns {
        return Err(format!("asks for column {feature} of {}", e.columns));
    }
    match &b.test {
        Test::Below(t) | Test::AtMost(t) | Test::AtLeast(t) | Test::Above(t) => number(*t),
        Test::Equal(t) | Test::Unequal(t) => number(*t),
        Test::OneOf(codes) => {
            let known = match e.categories.get(feature) {
                Some(Some(Categories::Texts(texts))) => texts.len(),
                Some(Some(Categories::Hashes(hashes))) => hashes.len(),
                _ => u32::MAX as usize,
            };
            if !codes.is_sorted_by(|a, b| a < b) {
                return Err("lists category codes that do not ascend".to_string());
            }
            match codes.last() {
                Some(&c) if c as usize >= known => {
                    Err(format!("asks for category {c} of {known} in column {feature}"))
                }
                _ => Ok(()),
            }
        }
    }
}

fn number(t: f64) -> Result<(), String> {
    if t.is_nan() { Err("compares with what is not a number".to_string()) } else { Ok(()) }
}

/// The depth, when every branch is reached from one parent at most.
fn depth(tree: &Tree) -> Result<usize, String> {
    let mut seen = vec![false; tree.branches.len()];
    let mut open = vec![(tree.root, 0)];
    let mut deepest = 0;
    while let Some((at, depth)) = open.pop() {
        deepest = deepest.max(depth);
        let Place::Branch(i) = at.place() else { continue };
        if std::mem::replace(&mut seen[i], true) {
            return Err(format!("reaches branch {i} twice"));
        }
        if depth == DEPTH_MAX {
            return Err(format!("is deeper than {DEPTH_MAX}"));
        }
        let b = &tree.branches[i];
        open.extend([(b.yes, depth + 1), (b.no, depth + 1)]);
    }
    Ok(deepest)
}
