//! Attributes of tree ensembles to the compact layout.
//!
//! Owns every check on them: lengths, indices, and that the nodes form trees. Called when a
//! program is prepared.

use std::collections::HashMap;

use super::{Branch, Forest, LEAF, Mode, Stored};
use crate::reference::float::Float;
use crate::reference::op::{OpError, Spec, wrong};
use crate::value::Value;

/// Features a node may name: far above any table, so that a hostile index is refused early.
const FEATURES_MAX: i64 = 1 << 24;

/// Reads a forest; `prefix` is `target` or `class`.
pub fn forest(spec: &Spec, prefix: &str, targets: usize) -> Result<Stored, OpError> {
    let doubles = ["nodes_values_as_tensor", "base_values_as_tensor"]
        .iter()
        .any(|name| matches!(spec.tensor(name), Ok(Some(Value::F64(_)))));
    Ok(match doubles {
        true => Stored::Double(Nodes::read(spec, prefix)?.build(targets)?),
        false => Stored::Single(Nodes::read(spec, prefix)?.build(targets)?),
    })
}

/// The attributes as they are, one entry for each node or weight.
struct Nodes<H> {
    ids: Vec<(i64, i64)>,
    features: Vec<i64>,
    thresholds: Vec<H>,
    modes: Vec<Option<Mode>>,
    yes: Vec<i64>,
    no: Vec<i64>,
    missing: Vec<i64>,
    /// Tree, node, target, weight.
    weights: Vec<(i64, i64, i64, H)>,
    base: Vec<H>,
}

impl<H: Float> Nodes<H> {
    fn read(spec: &Spec, prefix: &str) -> Result<Self, OpError> {
        let ints = |name: &str| {
            let v = spec.ints(name)?;
            Ok::<_, OpError>(v.ok_or_else(|| wrong(name, "is missing"))?.to_vec())
        };
        let trees = ints("nodes_treeids")?;
        let n = trees.len();
        let sized = |name: &str| {
            let v = ints(name)?;
            if v.len() == n {
                Ok(v)
            } else {
                Err(wrong(name, format!("does not have {n} entries")))
            }
        };
        let modes = spec.texts("nodes_modes")?.unwrap_or(&[]);
        let modes = modes.iter().map(|m| mode(m)).collect::<Result<Vec<_>, _>>()?;
        let thresholds = numbers(spec, "nodes_values")?;
        if modes.len() != n || thresholds.len() != n {
            return Err(wrong("nodes_modes", format!("or the values do not have {n} entries")));
        }
        let part = |name: &str| ints(&format!("{prefix}_{name}"));
        let (wt, wn, wi) = (part("treeids")?, part("nodeids")?, part("ids")?);
        let ww = numbers::<H>(spec, &format!("{prefix}_weights"))?;
        if [wn.len(), wi.len(), ww.len()] != [wt.len(); 3] {
            return Err(wrong(&format!("{prefix}_weights"), "differs in length from its ids"));
        }
        let nodeids = sized("nodes_nodeids")?;
        Ok(Self {
            ids: trees.into_iter().zip(nodeids).collect(),
            features: sized("nodes_featureids")?,
            thresholds,
            modes,
            yes: sized("nodes_truenodeids")?,
            no: sized("nodes_falsenodeids")?,
            missing: spec.ints("nodes_missing_value_tracks_true")?.unwrap_or(&[]).to_vec(),
            weights: (0..wt.len()).map(|i| (wt[i], wn[i], wi[i], ww[i])).collect(),
            base: numbers(spec, "base_values")?,
        })
    }

    fn build(self, targets: usize) -> Result<Forest<H>, OpError> {
        let n = self.ids.len();
        let mut place = HashMap::with_capacity(n);
        for (i, id) in self.ids.iter().enumerate() {
            if place.insert(*id, i).is_some() {
                let (tree, node) = id;
                return Err(wrong("nodes_nodeids", format!("gives tree {tree} {node} twice")));
            }
        }
        // Branches and leaves numbered in file order.
        let (mut branches, mut leaves) = (0u32, 0u32);
        let numbers: Vec<u32> = self
            .modes
            .iter()
            .map(|m| {
                let next = if m.is_some() { &mut branches } else { &mut leaves };
                *next += 1;
                if m.is_some() { *next - 1 } else { (*next - 1) | LEAF }
            })
            .collect();
        let child = |i: usize, id: i64, name: &str| {
            let at = place.get(&(self.ids[i].0, id)).copied();
            at.ok_or_else(|| wrong(name, format!("names node {id}, which its tree lacks")))
        };
        let mut forest = Forest {
            roots: Vec::new(),
            branches: Vec::with_capacity(branches as usize),
            leaves: vec![0; leaves as usize + 1],
            weights: Vec::with_capacity(self.weights.len()),
            columns: 0,
            targets,
            base: self.base.clone(),
        };
        for i in 0..n {
            if i == 0 || self.ids[i].0 != self.ids[i - 1].0 {
                forest.roots.push(numbers[i]);
            }
            let Some(mode) = self.modes[i] else { continue };
            let feature = self.features[i];
            if !(0..FEATURES_MAX).contains(&feature) {
                return Err(wrong("nodes_featureids", format!("names the column {feature}")));
            }
            forest.columns = forest.columns.max(feature as usize + 1);
            forest.branches.push(Branch {
                threshold: self.thresholds[i],
                feature: feature as u32,
                yes: numbers[child(i, self.yes[i], "nodes_truenodeids")?],
                no: numbers[child(i, self.no[i], "nodes_falsenodeids")?],
                mode,
                missing_yes: self.missing.get(i) == Some(&1),
            });
        }
        self.place_weights(&mut forest, &place, &numbers)?;
        acyclic(&forest)?;
        Ok(forest)
    }

    fn place_weights(
        &self,
        forest: &mut Forest<H>,
        place: &HashMap<(i64, i64), usize>,
        numbers: &[u32],
    ) -> Result<(), OpError> {
        let mut by_leaf: Vec<Vec<(u32, H)>> = vec![Vec::new(); forest.leaves.len() - 1];
        for &(tree, node, target, weight) in &self.weights {
            let target = u32::try_from(target).ok().filter(|&t| (t as usize) < forest.targets);
            let target = target.ok_or_else(|| wrong("ids", "of a weight is out of range"))?;
            let at = place.get(&(tree, node)).map(|&i| numbers[i]);
            let at = at.ok_or_else(|| wrong("nodeids", "of a weight names no node"))?;
            // A weight on a node that asks is never reached.
            if at & LEAF != 0 {
                by_leaf[(at & !LEAF) as usize].push((target, weight));
            }
        }
        for (i, list) in by_leaf.into_iter().enumerate() {
            forest.weights.extend(list);
            forest.leaves[i + 1] = forest.weights.len() as u32;
        }
        Ok(())
    }
}

/// Every branch is reached from one parent at most, so that a walk ends.
fn acyclic<H>(f: &Forest<H>) -> Result<(), OpError> {
    let mut seen = vec![false; f.branches.len()];
    let mut open: Vec<u32> = f.roots.clone();
    while let Some(at) = open.pop() {
        if at & LEAF != 0 {
            continue;
        }
        if std::mem::replace(&mut seen[at as usize], true) {
            return Err(wrong("nodes_truenodeids", "or the false ones reach a node twice"));
        }
        let b = &f.branches[at as usize];
        open.extend([b.yes, b.no]);
    }
    Ok(())
}

fn mode(name: &str) -> Result<Option<Mode>, OpError> {
    Ok(Some(match name {
        "LEAF" => return Ok(None),
        "BRANCH_LEQ" => Mode::AtMost,
        "BRANCH_LT" => Mode::Below,
        "BRANCH_GTE" => Mode::AtLeast,
        "BRANCH_GT" => Mode::Above,
        "BRANCH_EQ" => Mode::Equal,
        "BRANCH_NEQ" => Mode::Unequal,
        other => return Err(wrong("nodes_modes", format!("has the unknown value `{other}`"))),
    }))
}

/// Floats, or the tensor that replaces them since opset 3; empty when both are missing.
fn numbers<H: Float>(spec: &Spec, name: &str) -> Result<Vec<H>, OpError> {
    if let Some(v) = spec.floats(name)?
        && !v.is_empty()
    {
        return Ok(v.iter().map(|&x| H::from_f32(x)).collect());
    }
    let name = format!("{name}_as_tensor");
    match spec.tensor(&name)? {
        None => Ok(Vec::new()),
        Some(v) => converted(v, &name),
    }
}

fn converted<H: Float>(v: &Value, name: &str) -> Result<Vec<H>, OpError> {
    let wide = v.to_f64s().ok_or_else(|| wrong(name, "does not hold numbers"))?;
    Ok(wide.into_iter().map(H::from_f64).collect())
}

/// Reads the attributes of `TreeEnsemble`, where leaves are a list of their own.
pub fn forest_of_tensors(spec: &Spec) -> Result<Stored, OpError> {
    Ok(match spec.tensor("nodes_splits")? {
        Some(Value::F64(_)) => Stored::Double(of_tensors(spec)?),
        _ => Stored::Single(of_tensors(spec)?),
    })
}

fn of_tensors<H: Float>(spec: &Spec) -> Result<Forest<H>, OpError> {
    let ints = |name: &str| {
        let v = spec.ints(name)?;
        Ok::<_, OpError>(v.ok_or_else(|| wrong(name, "is missing"))?.to_vec())
    };
    let held = |name: &str| spec.tensor(name)?.ok_or_else(|| wrong(name, "is missing"));
    let splits: Vec<H> = converted(held("nodes_splits")?, "nodes_splits")?;
    let modes = held("nodes_modes")?.to_i64s().ok_or_else(|| wrong("nodes_modes", "is no list"))?;
    let features = ints("nodes_featureids")?;
    let (yes, no) = (ints("nodes_truenodeids")?, ints("nodes_falsenodeids")?);
    let (yes_leaf, no_leaf) = (ints("nodes_trueleafs")?, ints("nodes_falseleafs")?);
    let missing = spec.ints("nodes_missing_value_tracks_true")?.unwrap_or(&[]);
    let n = splits.len();
    if [modes.len(), features.len(), yes.len(), no.len(), yes_leaf.len(), no_leaf.len()] != [n; 6] {
        return Err(wrong("nodes_splits", "differs in length from the other lists of nodes"));
    }
    let weights: Vec<H> = converted(held("leaf_weights")?, "leaf_weights")?;
    let ids = ints("leaf_targetids")?;
    let targets = usize::try_from(spec.int_or("n_targets", 1)?).unwrap_or(0);
    let in_range = |&t: &i64| usize::try_from(t).is_ok_and(|t| t < targets);
    if ids.len() != weights.len() || !ids.iter().all(in_range) {
        return Err(wrong("leaf_targetids", "does not fit the weights or the targets"));
    }
    let child = |to: i64, leaf: i64| {
        let limit = if leaf != 0 { weights.len() } else { n };
        let at = u32::try_from(to).ok().filter(|&t| (t as usize) < limit);
        let at = at.ok_or_else(|| wrong("nodes_truenodeids", "or the false ones name no node"))?;
        Ok(if leaf != 0 { at | LEAF } else { at })
    };
    let mut forest = Forest {
        roots: Vec::new(),
        branches: Vec::with_capacity(n),
        leaves: (0..=weights.len() as u32).collect(),
        weights: ids.iter().map(|&t| t as u32).zip(weights.iter().copied()).collect(),
        columns: 0,
        targets,
        base: Vec::new(),
    };
    for i in 0..n {
        if !(0..FEATURES_MAX).contains(&features[i]) {
            return Err(wrong("nodes_featureids", format!("names the column {}", features[i])));
        }
        forest.columns = forest.columns.max(features[i] as usize + 1);
        forest.branches.push(Branch {
            threshold: splits[i],
            feature: features[i] as u32,
            yes: child(yes[i], yes_leaf[i])?,
            no: child(no[i], no_leaf[i])?,
            mode: numbered_mode(modes[i])?,
            missing_yes: missing.get(i) == Some(&1),
        });
    }
    for root in ints("tree_roots")? {
        // A tree of one leaf is a branch whose children are that leaf.
        forest.roots.push(child(root, 0)?);
    }
    acyclic(&forest)?;
    Ok(forest)
}

fn numbered_mode(code: i64) -> Result<Mode, OpError> {
    Ok(match code {
        0 => Mode::AtMost,
        1 => Mode::Below,
        2 => Mode::AtLeast,
        3 => Mode::Above,
        4 => Mode::Equal,
        5 => Mode::Unequal,
        6 => return Err(OpError::Unsupported("a node that tests membership".to_string())),
        other => return Err(wrong("nodes_modes", format!("has the unknown value {other}"))),
    })
}
