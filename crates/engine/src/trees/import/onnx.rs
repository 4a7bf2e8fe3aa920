//! Tree ensembles of `ai.onnx.ml`.
//!
//! Owns the reading of the attributes of `TreeEnsembleClassifier`, `TreeEnsembleRegressor` and
//! `TreeEnsemble`: lengths, identities, modes. Post transforms and the odd rules for two classes
//! are the operators' (see `reference::ml::trees`). Called when a program is prepared, by
//! `compose` and for reports.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

use crate::graph::{ML, Node};
use crate::reference::{OpError, Spec, wrong};
use crate::trees::{
    Arithmetic, Branch, Child, Codes, Ensemble, Join, Labels, Link, Missing, OUTPUTS_MAX, Output,
    Place, Test, Tree,
};
use crate::value::Value;

/// Features a node may name: far above any table, so that a hostile index is refused early.
const FEATURES_MAX: i64 = 1 << 24;

/// The ensemble that a node holds; `None` when it is no such operator.
///
/// The inner error is a missing or malformed attribute.
pub fn of_node(node: &Node, opset: i64) -> Option<Result<Ensemble, OpError>> {
    if node.domain != ML {
        return None;
    }
    let spec = Spec { node, opset, precision: crate::reference::Precision::F32 };
    Some(match node.op.as_str() {
        "TreeEnsembleClassifier" => classifier(&spec),
        "TreeEnsembleRegressor" => regressor(&spec),
        "TreeEnsemble" => ensemble(&spec),
        _ => return None,
    })
}

/// `TreeEnsembleClassifier`
pub(crate) fn classifier(spec: &Spec) -> Result<Ensemble, OpError> {
    let labels = match (spec.ints("classlabels_int64s")?, spec.texts("classlabels_strings")?) {
        (_, Some(texts)) if !texts.is_empty() => Labels::Texts(texts.to_vec()),
        (Some(ints), _) if !ints.is_empty() => Labels::Ints(ints.to_vec()),
        _ => {
            let what = "and `classlabels_strings` are both missing";
            return Err(wrong("classlabels_int64s", what));
        }
    };
    let mut e = of_nodes(spec, "class", labels.len())?;
    let text = spec.text_or("post_transform", "NONE")?;
    e.link = link(text, false, &mut e.notes);
    e.labels = Some(labels);
    Ok(e)
}

/// `TreeEnsembleRegressor`
pub(crate) fn regressor(spec: &Spec) -> Result<Ensemble, OpError> {
    let targets = targets(spec)?;
    let text = spec.text_or("aggregate_function", "SUM")?;
    let codes = [("AVERAGE", 0), ("SUM", 1), ("MIN", 2), ("MAX", 3)];
    let code = codes.iter().find(|(name, _)| *name == text).map(|&(_, code)| code);
    let unknown = || wrong("aggregate_function", format!("has the unknown value `{text}`"));
    let code = code.ok_or_else(unknown)?;
    let mut e = of_nodes(spec, "target", targets)?;
    e.join = join(code, &e)?;
    e.link = link(spec.text_or("post_transform", "NONE")?, targets == 1, &mut e.notes);
    Ok(e)
}

/// `TreeEnsemble`, the one operator that replaces both since opset 5.
pub(crate) fn ensemble(spec: &Spec) -> Result<Ensemble, OpError> {
    let mut e = of_tensors(spec, targets(spec)?)?;
    e.join = join(spec.int_or("aggregate_function", 1)?, &e)?;
    let names = ["NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"];
    let code = usize::try_from(spec.int_or("post_transform", 0)?).unwrap_or(usize::MAX);
    e.link = link(names.get(code).unwrap_or(&"?"), e.outputs == 1, &mut e.notes);
    Ok(e)
}

fn targets(spec: &Spec) -> Result<usize, OpError> {
    let n = usize::try_from(spec.int_or("n_targets", 1)?).unwrap_or(0);
    if n == 0 || n > OUTPUTS_MAX {
        return Err(wrong("n_targets", format!("is not between 1 and {OUTPUTS_MAX}")));
    }
    Ok(n)
}

fn join(code: i64, e: &Ensemble) -> Result<Join, OpError> {
    let trees = u32::try_from(e.trees.len()).unwrap_or(u32::MAX).max(1);
    Ok(match code {
        0 => Join::Average(trees),
        1 => Join::Sum,
        2 => Join::Min,
        3 => Join::Max,
        other => {
            return Err(wrong("aggregate_function", format!("has the unknown value {other}")));
        }
    })
}

/// The post transform as a link, for reports; the operator applies its own.
fn link(text: &str, one: bool, notes: &mut Vec<String>) -> Link {
    match text {
        "NONE" => Link::Identity,
        "SOFTMAX" => Link::Softmax,
        "LOGISTIC" if one => Link::Logistic { scale: 1.0 },
        "LOGISTIC" => Link::LogisticEach { scale: 1.0, normalised: false },
        other => {
            notes.push(format!("the scores are transformed by {other}"));
            Link::Identity
        }
    }
}

fn empty(spec: &Spec, doubles: bool) -> Ensemble {
    let arithmetic = if doubles { Arithmetic::F64 } else { Arithmetic::F32 };
    let mut e = Ensemble::new(0, arithmetic, format!("ONNX {}", spec.node.op));
    e.base_last = true;
    e.codes = Codes::Whole;
    e
}

/// The two operators whose nodes carry the number of their tree.
fn of_nodes(spec: &Spec, prefix: &str, targets: usize) -> Result<Ensemble, OpError> {
    if targets > OUTPUTS_MAX {
        return Err(wrong("classlabels_int64s", format!("names more than {OUTPUTS_MAX} classes")));
    }
    let double = |name: &str| matches!(spec.tensor(name), Ok(Some(Value::F64(_))));
    let doubles = ["nodes_values_as_tensor", "base_values_as_tensor"].into_iter().any(double);
    let mut e = empty(spec, doubles);
    e.outputs = targets;
    let nodes = Nodes::read(spec, doubles)?;
    let mut weights = weights(spec, prefix, targets, doubles)?;
    let mut seen = BTreeSet::new();
    let mut from = 0;
    while from < nodes.trees.len() {
        let id = nodes.trees[from];
        if !seen.insert(id) {
            return Err(wrong("nodes_treeids", format!("gives tree {id} in several parts")));
        }
        let run = nodes.trees[from..].iter().take_while(|&&t| t == id).count();
        let weights = weights.remove(&id).unwrap_or_default();
        e.trees.push(nodes.tree(from..from + run, weights, targets)?);
        from += run;
    }
    if !weights.is_empty() {
        return Err(wrong(&format!("{prefix}_treeids"), "names a tree that has no nodes"));
    }
    let base = numbers(spec, "base_values", doubles)?;
    // A single base value belongs to a single target only; operators have rules of their own.
    if base.len() == targets && base.iter().all(|b| !b.is_nan()) {
        e.base = base;
    }
    e.columns = columns(&e.trees);
    Ok(e)
}

fn columns(trees: &[Tree]) -> usize {
    let features = trees.iter().flat_map(|t| &t.branches).map(|b| b.feature as usize + 1);
    features.max().unwrap_or(0)
}

/// The attributes of nodes as they are, one entry for each.
struct Nodes {
    trees: Vec<i64>,
    ids: Vec<i64>,
    features: Vec<i64>,
    thresholds: Vec<f64>,
    modes: Vec<Option<i64>>,
    yes: Vec<i64>,
    no: Vec<i64>,
    missing: Vec<i64>,
}

/// Node, target and weight, in the order of the file.
type Weights = Vec<(i64, u32, f64)>;

impl Nodes {
    fn read(spec: &Spec, doubles: bool) -> Result<Self, OpError> {
        let trees = ints(spec, "nodes_treeids")?;
        let n = trees.len();
        let sized = |name: &str| {
            let v = ints(spec, name)?;
            if v.len() == n {
                Ok(v)
            } else {
                Err(wrong(name, format!("does not have {n} entries")))
            }
        };
        let modes = spec.texts("nodes_modes")?.unwrap_or(&[]);
        let modes = modes.iter().map(|m| mode(m)).collect::<Result<Vec<_>, _>>()?;
        let thresholds = numbers(spec, "nodes_values", doubles)?;
        if modes.len() != n || thresholds.len() != n {
            return Err(wrong("nodes_modes", format!("or the values do not have {n} entries")));
        }
        Ok(Self {
            ids: sized("nodes_nodeids")?,
            features: sized("nodes_featureids")?,
            thresholds,
            modes,
            yes: sized("nodes_truenodeids")?,
            no: sized("nodes_falsenodeids")?,
            missing: spec.ints("nodes_missing_value_tracks_true")?.unwrap_or(&[]).to_vec(),
            trees,
        })
    }

    /// The tree whose nodes lie at `range`; the first is its root.
    fn tree(&self, range: Range<usize>, weights: Weights, targets: usize) -> Result<Tree, OpError> {
        let mut place = HashMap::with_capacity(range.len());
        let (mut branches, mut leaves) = (0, 0);
        for i in range.clone() {
            let (id, branch) = (self.ids[i], self.modes[i].is_some());
            let child = if branch { Child::branch(branches) } else { Child::leaf(leaves) };
            if branch {
                branches += 1
            } else {
                leaves += 1
            }
            let child = child.ok_or_else(|| wrong("nodes_nodeids", "gives too many nodes"))?;
            if place.insert(id, child).is_some() {
                let tree = self.trees[i];
                return Err(wrong("nodes_nodeids", format!("gives tree {tree} {id} twice")));
            }
        }
        let child = |id: i64, name: &str| {
            let at = place.get(&id).copied();
            at.ok_or_else(|| wrong(name, format!("names node {id}, which its tree lacks")))
        };
        let root = child(self.ids[range.start], "nodes_nodeids")?;
        let mut nodes = Vec::with_capacity(branches);
        for i in range {
            let Some(mode) = self.modes[i] else { continue };
            nodes.push(Branch {
                feature: feature(self.features[i])?,
                test: test(mode, self.thresholds[i])?,
                yes: child(self.yes[i], "nodes_truenodeids")?,
                no: child(self.no[i], "nodes_falsenodeids")?,
                missing: missing(self.missing.get(i)),
            });
        }
        let mut by_leaf: Vec<Vec<(u32, f64)>> = vec![Vec::new(); leaves];
        for (node, target, weight) in weights {
            let at = place.get(&node);
            let at = at.ok_or_else(|| wrong("nodeids", "of a weight names no node"))?;
            // A weight on a node that asks is never reached.
            if let Place::Leaf(leaf) = at.place() {
                by_leaf[leaf].push((target, weight));
            }
        }
        Ok(with_leaves(nodes, root, &by_leaf, targets))
    }
}

/// Weights by tree.
fn weights(
    spec: &Spec,
    prefix: &str,
    targets: usize,
    doubles: bool,
) -> Result<BTreeMap<i64, Weights>, OpError> {
    let part = |name: &str| ints(spec, &format!("{prefix}_{name}"));
    let (trees, nodes, ids) = (part("treeids")?, part("nodeids")?, part("ids")?);
    let values = numbers(spec, &format!("{prefix}_weights"), doubles)?;
    if [nodes.len(), ids.len(), values.len()] != [trees.len(); 3] {
        return Err(wrong(&format!("{prefix}_weights"), "differs in length from its ids"));
    }
    let mut by_tree: BTreeMap<i64, Weights> = BTreeMap::new();
    for (i, &tree) in trees.iter().enumerate() {
        let target = u32::try_from(ids[i]).ok().filter(|&t| (t as usize) < targets);
        let target = target.ok_or_else(|| wrong("ids", "of a weight is out of range"))?;
        by_tree.entry(tree).or_default().push((nodes[i], target, values[i]));
    }
    Ok(by_tree)
}

/// A tree whose leaves hold these values; in the plainest form that says so.
fn with_leaves(
    branches: Vec<Branch>,
    root: Child,
    by_leaf: &[Vec<(u32, f64)>],
    targets: usize,
) -> Tree {
    let leaves = by_leaf.iter().flatten().map(|&(_, v)| v).collect();
    let first = by_leaf.first().and_then(|l| l.first()).map_or(0, |&(t, _)| t);
    let one = by_leaf.iter().all(|l| matches!(l[..], [(t, _)] if t == first));
    let all = |l: &Vec<(u32, f64)>| {
        l.len() == targets && l.iter().enumerate().all(|(k, &(t, _))| t as usize == k)
    };
    let output = if one {
        Output::One(first)
    } else if by_leaf.iter().all(all) {
        Output::Vector
    } else {
        let mut starts = vec![0];
        let mut end = 0;
        starts.extend(by_leaf.iter().map(|l| {
            end += l.len() as u32;
            end
        }));
        Output::Listed { starts, targets: by_leaf.iter().flatten().map(|&(t, _)| t).collect() }
    };
    Tree { output, branches, leaves, root, weight: 1.0 }
}

/// `TreeEnsemble`: nodes and leaves of all trees in lists of their own.
struct Lists {
    splits: Vec<f64>,
    modes: Vec<i64>,
    features: Vec<i64>,
    yes: Vec<i64>,
    no: Vec<i64>,
    yes_leaf: Vec<i64>,
    no_leaf: Vec<i64>,
    missing: Vec<i64>,
    weights: Vec<f64>,
    targets: Vec<u32>,
    /// Members of the sets of the nodes that test membership.
    members: BTreeMap<usize, Box<[u32]>>,
}

fn of_tensors(spec: &Spec, targets: usize) -> Result<Ensemble, OpError> {
    let doubles = matches!(spec.tensor("nodes_splits")?, Some(Value::F64(_)));
    let lists = Lists::read(spec, targets, doubles)?;
    let mut e = empty(spec, doubles);
    e.outputs = targets;
    let mut seen = vec![false; lists.splits.len()];
    for root in ints(spec, "tree_roots")? {
        e.trees.push(lists.tree(root, targets, &mut seen)?);
    }
    e.columns = columns(&e.trees);
    Ok(e)
}

impl Lists {
    fn read(spec: &Spec, targets: usize, doubles: bool) -> Result<Self, OpError> {
        let held = |name: &str| spec.tensor(name)?.ok_or_else(|| wrong(name, "is missing"));
        let splits = converted(held("nodes_splits")?, "nodes_splits", doubles)?;
        let modes = held("nodes_modes")?.to_i64s();
        let modes = modes.ok_or_else(|| wrong("nodes_modes", "is no list"))?;
        let weights = converted(held("leaf_weights")?, "leaf_weights", doubles)?;
        let ids = ints(spec, "leaf_targetids")?;
        let in_range = |&t: &i64| u32::try_from(t).ok().filter(|&t| (t as usize) < targets);
        let targets: Option<Vec<u32>> = ids.iter().map(in_range).collect();
        let targets = targets
            .filter(|t| t.len() == weights.len())
            .ok_or_else(|| wrong("leaf_targetids", "does not fit the weights or the targets"))?;
        let members = members(spec, &modes)?;
        let lists = Self {
            features: ints(spec, "nodes_featureids")?,
            yes: ints(spec, "nodes_truenodeids")?,
            no: ints(spec, "nodes_falsenodeids")?,
            yes_leaf: ints(spec, "nodes_trueleafs")?,
            no_leaf: ints(spec, "nodes_falseleafs")?,
            missing: spec.ints("nodes_missing_value_tracks_true")?.unwrap_or(&[]).to_vec(),
            splits,
            modes,
            weights,
            targets,
            members,
        };
        let n = lists.splits.len();
        let lengths = [&lists.modes, &lists.features, &lists.yes, &lists.no, &lists.yes_leaf];
        if lengths.iter().any(|l| l.len() != n) || lists.no_leaf.len() != n {
            return Err(wrong("nodes_splits", "differs in length from the other lists of nodes"));
        }
        Ok(lists)
    }

    /// The tree at `root`; what `seen` marks belongs to a tree already.
    fn tree(&self, root: i64, targets: usize, seen: &mut [bool]) -> Result<Tree, OpError> {
        let lost = || wrong("nodes_truenodeids", "or the false ones name no node");
        let place = |to: i64, limit: usize| {
            usize::try_from(to).ok().filter(|&to| to < limit).ok_or_else(lost)
        };
        // A tree of one leaf is a branch whose children are that leaf.
        let mut order = vec![place(root, self.splits.len())?];
        let mut branches: Vec<Branch> = Vec::new();
        let mut by_leaf = Vec::new();
        let mut next = 0;
        while let Some(&i) = order.get(next) {
            next += 1;
            if std::mem::replace(&mut seen[i], true) {
                return Err(wrong("nodes_truenodeids", "or the false ones reach a node twice"));
            }
            let mut child = |to: i64, leaf: i64| {
                let child = if leaf != 0 {
                    let at = place(to, self.weights.len())?;
                    by_leaf.push(vec![(self.targets[at], self.weights[at])]);
                    Child::leaf(by_leaf.len() - 1)
                } else {
                    order.push(place(to, self.splits.len())?);
                    Child::branch(order.len() - 1)
                };
                child.ok_or_else(lost)
            };
            let test = match self.members.get(&i) {
                Some(codes) => Test::OneOf(codes.clone()),
                None => test(self.modes[i], self.splits[i])?,
            };
            branches.push(Branch {
                feature: feature(self.features[i])?,
                test,
                yes: child(self.yes[i], self.yes_leaf[i])?,
                no: child(self.no[i], self.no_leaf[i])?,
                missing: missing(self.missing.get(i)),
            });
        }
        let root = Child::branch(0).ok_or_else(lost)?;
        Ok(with_leaves(branches, root, &by_leaf, targets))
    }
}

/// Sets of the nodes that test membership: each ends with a value that is not a number.
fn members(spec: &Spec, modes: &[i64]) -> Result<BTreeMap<usize, Box<[u32]>>, OpError> {
    let mut all = BTreeMap::new();
    let at: Vec<usize> = (0..modes.len()).filter(|&i| modes[i] == MEMBER).collect();
    if at.is_empty() {
        return Ok(all);
    }
    let name = "membership_values";
    let held = spec.tensor(name)?.ok_or_else(|| wrong(name, "is missing"))?;
    let values = converted(held, name, true)?;
    let mut sets = values.split(|v| v.is_nan());
    for i in at {
        let set = sets.next().ok_or_else(|| wrong(name, "holds fewer sets than nodes ask for"))?;
        let codes: Option<Vec<u32>> = set.iter().map(|&v| Codes::Whole.of(v)).collect();
        let mut codes = codes.ok_or_else(|| {
            OpError::Unsupported("membership in a set of other than whole numbers".to_string())
        })?;
        codes.sort_unstable();
        codes.dedup();
        all.insert(i, codes.into());
    }
    Ok(all)
}

fn feature(id: i64) -> Result<u32, OpError> {
    if (0..FEATURES_MAX).contains(&id) {
        Ok(id as u32)
    } else {
        Err(wrong("nodes_featureids", format!("names the column {id}")))
    }
}

fn missing(tracks_true: Option<&i64>) -> Missing {
    if tracks_true == Some(&1) { Missing::Yes } else { Missing::Compare }
}

/// The mode's number in `TreeEnsemble`; `None` for a leaf.
fn mode(name: &str) -> Result<Option<i64>, OpError> {
    let names = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"];
    match names.iter().position(|n| *n == name) {
        Some(code) => Ok(Some(code as i64)),
        None if name == "LEAF" => Ok(None),
        None => Err(wrong("nodes_modes", format!("has the unknown value `{name}`"))),
    }
}

/// The mode of a node that tests membership.
const MEMBER: i64 = 6;

fn test(mode: i64, t: f64) -> Result<Test, OpError> {
    Ok(match mode {
        0 => Test::AtMost(t),
        1 => Test::Below(t),
        2 => Test::AtLeast(t),
        3 => Test::Above(t),
        4 => Test::Equal(t),
        5 => Test::Unequal(t),
        other => return Err(wrong("nodes_modes", format!("has the unknown value {other}"))),
    })
}

fn ints(spec: &Spec, name: &str) -> Result<Vec<i64>, OpError> {
    Ok(spec.ints(name)?.ok_or_else(|| wrong(name, "is missing"))?.to_vec())
}

/// Floats, or the tensor that replaces them since opset 3; empty when both are missing. Numbers
/// are rounded to `f32` where the ensemble is not held in doubles.
pub(crate) fn numbers(spec: &Spec, name: &str, doubles: bool) -> Result<Vec<f64>, OpError> {
    if let Some(v) = spec.floats(name)?
        && !v.is_empty()
    {
        return Ok(v.iter().map(|&x| f64::from(x)).collect());
    }
    let name = format!("{name}_as_tensor");
    match spec.tensor(&name)? {
        None => Ok(Vec::new()),
        Some(v) => converted(v, &name, doubles),
    }
}

fn converted(v: &Value, name: &str, doubles: bool) -> Result<Vec<f64>, OpError> {
    let mut wide = v.to_f64s().ok_or_else(|| wrong(name, "does not hold numbers"))?;
    if !doubles {
        wide.iter_mut().for_each(|v| *v = f64::from(*v as f32));
    }
    Ok(wide)
}
