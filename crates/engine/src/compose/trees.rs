//! A tree ensemble cut to its first trees.
//!
//! Owns the attributes of the ensemble node. Boosted ensembles add up, so their first trees are
//! the model as it was after so many rounds; averaged ones are weighted anew. Anything of another
//! form is refused.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::ComposeError;
use crate::graph::{Attribute, Graph, Node, TREES};
use crate::trees::{Ensemble, Join};
use crate::value::{Tensor, Value};

/// Trees of the only ensemble of a graph; `None` without one, or with several.
pub fn tree_count(graph: &Graph) -> Option<usize> {
    let node = ensemble(graph).ok()?;
    match held(node) {
        Some(trees) => Some(trees.trees.len()),
        None => Some(order(node).ok()?.len()),
    }
}

/// The graph with the first `keep` trees of its only ensemble, in the order of the file.
///
/// # Errors
/// [`ComposeError::Trees`] without exactly one ensemble, for a form that is not read, and when
/// nothing would be left out or kept.
pub fn first_trees(graph: &Graph, keep: usize) -> Result<Graph, ComposeError> {
    let node = ensemble(graph)?;
    if let Some(whole) = held(node) {
        return of_held(graph, whole, keep);
    }
    let trees = order(node)?;
    if keep == 0 || keep >= trees.len() {
        return refuse(format!("{keep} of {} trees leave nothing to do", trees.len()));
    }
    let kept: BTreeSet<i64> = trees.iter().take(keep).copied().collect();
    let factor = match averaged(node, trees.len())? {
        true => trees.len() as f64 / keep as f64,
        false => 1.0,
    };
    let mut cut = node.clone();
    for prefix in ["nodes", "class", "target"] {
        let Some(Attribute::Ints(ids)) = node.attributes.get(&format!("{prefix}_treeids")) else {
            continue;
        };
        let stays: Vec<bool> = ids.iter().map(|id| kept.contains(id)).collect();
        for (name, value) in &mut cut.attributes {
            if name.starts_with(&format!("{prefix}_")) && length(value) == Some(stays.len()) {
                filter(value, &stays);
                if name.starts_with(&format!("{prefix}_weights")) {
                    scale(value, factor);
                }
            }
        }
    }
    let mut out = graph.clone();
    let at = out.nodes.iter().position(is_ensemble);
    if let Some(place) = at.and_then(|at| out.nodes.get_mut(at)) {
        *place = cut;
    }
    Ok(out)
}

/// The same for an ensemble of a file of its own, whose form says how trees join.
fn of_held(graph: &Graph, whole: &Ensemble, keep: usize) -> Result<Graph, ComposeError> {
    let trees = whole.trees.len();
    if keep == 0 || keep >= trees {
        return refuse(format!("{keep} of {trees} trees leave nothing to do"));
    }
    let mut cut = whole.clone();
    cut.trees.truncate(keep);
    cut.join = match whole.join {
        Join::Sum => Join::Sum,
        // Over as many rounds as are left.
        Join::Average(n) => {
            let rounds = u64::from(n) * keep as u64 / trees as u64;
            match u32::try_from(rounds) {
                Ok(left) if left > 0 && rounds * trees as u64 == u64::from(n) * keep as u64 => {
                    Join::Average(left)
                }
                _ => return refuse(format!("{keep} of {trees} trees are no whole rounds")),
            }
        }
        Join::Min | Join::Max => return refuse("the ensemble takes the extreme of its trees"),
    };
    let mut out = graph.clone();
    if let Some(node) = out.nodes.iter_mut().find(|n| is_ensemble(n)) {
        node.attributes.insert(TREES.to_string(), Attribute::Trees(Arc::new(cut)));
    }
    Ok(out)
}

/// The ensemble of a file of its own.
fn held(node: &Node) -> Option<&Ensemble> {
    match node.attributes.get(TREES) {
        Some(Attribute::Trees(ensemble)) => Some(ensemble),
        _ => None,
    }
}

fn is_ensemble(node: &Node) -> bool {
    held(node).is_some() || ["TreeEnsembleClassifier", "TreeEnsembleRegressor"].contains(&&*node.op)
}

fn ensemble(graph: &Graph) -> Result<&Node, ComposeError> {
    let mut found = graph.nodes.iter().filter(|n| is_ensemble(n));
    match (found.next(), found.next()) {
        (Some(node), None) => Ok(node),
        (None, _) if graph.nodes.iter().any(|n| n.op == "TreeEnsemble") => {
            refuse("`TreeEnsemble` of opset 5 is not cut; export with an older `ai.onnx.ml`")
        }
        (None, _) => refuse("the model has no tree ensemble"),
        (Some(_), Some(_)) => refuse("the model has several tree ensembles"),
    }
}

/// Ids of the trees, in the order of the file.
fn order(node: &Node) -> Result<Vec<i64>, ComposeError> {
    let Some(Attribute::Ints(ids)) = node.attributes.get("nodes_treeids") else {
        return refuse("the ensemble does not name its trees");
    };
    let mut trees: Vec<i64> = Vec::new();
    for id in ids {
        if trees.last() != Some(id) && !trees.contains(id) {
            trees.push(*id);
        }
    }
    Ok(trees)
}

/// Whether the leaves carry shares of an average: no transform, no base, and each leaf of a
/// classifier adds up to one over the number of trees.
fn averaged(node: &Node, trees: usize) -> Result<bool, ComposeError> {
    let text = |name: &str| match node.attributes.get(name) {
        Some(Attribute::Text(text)) => text.clone(),
        _ => String::new(),
    };
    if node.op == "TreeEnsembleRegressor" {
        return match text("aggregate_function").as_str() {
            "" | "SUM" | "AVERAGE" => Ok(false),
            other => refuse(format!("the ensemble takes the {other} of its trees")),
        };
    }
    let transform = text("post_transform");
    if !(transform.is_empty() || transform == "NONE") || node.attributes.contains_key("base_values")
    {
        return Ok(false);
    }
    let ints = |name: &str| match node.attributes.get(name) {
        Some(Attribute::Ints(v)) => v.as_slice(),
        _ => &[],
    };
    let Some(Attribute::Floats(weights)) = node.attributes.get("class_weights") else {
        return refuse("the weights of the ensemble are not read in this form");
    };
    let mut leaves = std::collections::BTreeMap::new();
    let places = ints("class_treeids").iter().zip(ints("class_nodeids"));
    for (place, weight) in places.zip(weights) {
        *leaves.entry(place).or_insert(0.0) += f64::from(*weight);
    }
    let share = 1.0 / trees as f64;
    Ok(leaves.values().all(|sum| (sum - share).abs() < 1e-3 * share))
}

fn length(value: &Attribute) -> Option<usize> {
    Some(match value {
        Attribute::Ints(v) => v.len(),
        Attribute::Floats(v) => v.len(),
        Attribute::Texts(v) => v.len(),
        Attribute::Tensor(v) => v.len(),
        _ => return None,
    })
}

fn filter(value: &mut Attribute, stays: &[bool]) {
    fn only<T: Clone>(list: &[T], stays: &[bool]) -> Vec<T> {
        list.iter().zip(stays).filter(|&(_, &stays)| stays).map(|(v, _)| v.clone()).collect()
    }
    match value {
        Attribute::Ints(v) => *v = only(v, stays),
        Attribute::Floats(v) => *v = only(v, stays),
        Attribute::Texts(v) => *v = only(v, stays),
        Attribute::Tensor(Value::F32(t)) => *t = Tensor::vector(only(t.data(), stays)),
        Attribute::Tensor(Value::F64(t)) => *t = Tensor::vector(only(t.data(), stays)),
        Attribute::Tensor(Value::I64(t)) => *t = Tensor::vector(only(t.data(), stays)),
        _ => {}
    }
}

fn scale(value: &mut Attribute, factor: f64) {
    match value {
        Attribute::Floats(v) => {
            v.iter_mut().for_each(|w| *w = (f64::from(*w) * factor) as f32);
        }
        Attribute::Tensor(Value::F32(t)) => *t = t.map(|&w| (f64::from(w) * factor) as f32),
        Attribute::Tensor(Value::F64(t)) => *t = t.map(|&w| w * factor),
        _ => {}
    }
}

fn refuse<T>(reason: impl Into<String>) -> Result<T, ComposeError> {
    Err(ComposeError::Trees(reason.into()))
}
