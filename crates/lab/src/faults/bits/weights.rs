//! Bits of the stored numbers: initialisers, attributes of classical operators, trees.
//!
//! Owns the list of numbers that a flip can hit. Numbers that a library keeps as 64-bit floats
//! (trees of LightGBM, for one) are hit in their 32-bit form, so that parts of a number mean the
//! same everywhere.

use std::sync::Arc;

use proofmark_engine::graph::{Attribute, Graph, ML, Node, TREES};
use proofmark_engine::trees::{Ensemble, Test};
use proofmark_engine::value::Value;

use super::{BITS, Bench, Injected, ask, flipped, flips, part_of};
use crate::stream::Stream;

/// Numbers that lie together.
pub(super) struct Site {
    place: Where,
    layer: String,
    numbers: u64,
}

enum Where {
    Constant(String),
    Attribute(usize, String, Picks),
    Leaves(usize),
    Thresholds(usize),
}

/// Which numbers of a list are read; `None`: all.
type Picks = Option<Vec<usize>>;

impl Site {
    pub(super) fn bits(&self) -> u64 {
        self.numbers * BITS
    }
}

/// Every float that the model stores.
pub(super) fn sites(graph: &Graph) -> Vec<Site> {
    let mut sites = Vec::new();
    for (name, value) in &graph.constants {
        if let Value::F32(tensor) = value {
            let (place, numbers) = (Where::Constant(name.clone()), tensor.len() as u64);
            sites.push(Site { place, layer: name.clone(), numbers });
        }
    }
    for (at, node) in graph.nodes.iter().enumerate() {
        let label = if node.name.is_empty() { &node.op } else { &node.name };
        for (name, attribute) in &node.attributes {
            let layer = format!("{label}.{name}");
            let mut picks = None;
            let numbers = match attribute {
                // Statistics of the training, which no engine reads.
                Attribute::Floats(_) if name.starts_with("nodes_hitrates") => continue,
                Attribute::Floats(values) if node.domain == ML => {
                    picks = thresholds_of(node, name);
                    picks.as_ref().map_or(values.len(), Vec::len)
                }
                Attribute::Tensor(Value::F32(tensor)) => tensor.len(),
                Attribute::Trees(trees) => {
                    let (leaves, thresholds) = counts(trees);
                    for (place, numbers, what) in [
                        (Where::Leaves(at), leaves, "leaves"),
                        (Where::Thresholds(at), thresholds, "thresholds"),
                    ] {
                        let layer = format!("{label}.{what}");
                        sites.push(Site { place, layer, numbers });
                    }
                    continue;
                }
                _ => continue,
            };
            let place = Where::Attribute(at, name.clone(), picks);
            sites.push(Site { place, layer, numbers: numbers as u64 });
        }
    }
    sites.retain(|site| site.numbers > 0);
    sites
}

/// Of the values of a tree operator's nodes, those that are asked: a leaf holds one too, unread.
fn thresholds_of(node: &Node, name: &str) -> Picks {
    let Some(Attribute::Texts(modes)) = node.attributes.get("nodes_modes") else { return None };
    (name == "nodes_values")
        .then(|| modes.iter().enumerate().filter(|(_, m)| *m != "LEAF").map(|(at, _)| at).collect())
}

/// One injection.
pub(super) fn trial(
    bench: &Bench<'_>,
    sites: &[Site],
    bits: u64,
    severity: u8,
    stream: &mut Stream,
) -> Injected {
    let mut graph = bench.model.graph().clone();
    let mut first = None;
    let mut hit: Vec<u64> = Vec::new();
    let wanted = flips(severity).min(bits);
    while (hit.len() as u64) < wanted {
        let at = stream.below(usize::try_from(bits).unwrap_or(usize::MAX)) as u64;
        if hit.contains(&at) {
            continue;
        }
        hit.push(at);
        let (site, number, bit) = find(sites, at);
        first.get_or_insert((part_of(bit), site.layer.clone()));
        flip(&mut graph, site, number, bit);
    }
    let model = bench.model.altered(graph);
    let (changed, detectable) = ask(bench, &model, &bench.binding, &bench.clean);
    let (part, layer) = first.unwrap_or(("", String::new()));
    Injected { part, layer, changed, rows: bench.clean.len(), detectable }
}

/// The number and bit at a place in the row of all bits.
fn find(sites: &[Site], mut at: u64) -> (&Site, usize, u32) {
    let mut last = &sites[0];
    for site in sites {
        last = site;
        if at < site.bits() {
            break;
        }
        at -= site.bits();
    }
    (last, (at / BITS) as usize, (at % BITS) as u32)
}

fn flip(graph: &mut Graph, site: &Site, number: usize, bit: u32) {
    match &site.place {
        Where::Constant(name) => {
            if let Some(Value::F32(tensor)) = graph.constants.get_mut(name) {
                flip_at(tensor.data_mut(), number, bit);
            }
        }
        Where::Attribute(node, name, picks) => {
            let number = match picks {
                Some(picks) => picks.get(number).copied().unwrap_or(usize::MAX),
                None => number,
            };
            match graph.nodes[*node].attributes.get_mut(name) {
                Some(Attribute::Floats(values)) => flip_at(values, number, bit),
                Some(Attribute::Tensor(Value::F32(tensor))) => {
                    flip_at(tensor.data_mut(), number, bit);
                }
                _ => {}
            }
        }
        Where::Leaves(node) | Where::Thresholds(node) => {
            let thresholds = matches!(site.place, Where::Thresholds(_));
            if let Some(Attribute::Trees(trees)) = graph.nodes[*node].attributes.get_mut(TREES) {
                flip_tree(Arc::make_mut(trees), thresholds, number, bit);
            }
        }
    }
}

fn flip_at(values: &mut [f32], number: usize, bit: u32) {
    if let Some(value) = values.get_mut(number) {
        *value = flipped(*value, bit);
    }
}

/// Leaves and thresholds of all trees.
fn counts(trees: &Ensemble) -> (u64, u64) {
    let leaves = trees.trees.iter().map(|t| t.leaves.len() as u64).sum();
    let asks = |test: &Test| u64::from(!matches!(test, Test::OneOf(_)));
    let thresholds =
        trees.trees.iter().flat_map(|t| &t.branches).map(|branch| asks(&branch.test)).sum();
    (leaves, thresholds)
}

fn flip_tree(trees: &mut Ensemble, thresholds: bool, number: usize, bit: u32) {
    let turn = |value: &mut f64| *value = f64::from(flipped(*value as f32, bit));
    if !thresholds {
        if let Some(leaf) = trees.trees.iter_mut().flat_map(|t| &mut t.leaves).nth(number) {
            turn(leaf);
        }
        return;
    }
    let branches = trees.trees.iter_mut().flat_map(|t| &mut t.branches);
    let mut numbers = branches.filter_map(|branch| match &mut branch.test {
        Test::Below(t)
        | Test::AtMost(t)
        | Test::AtLeast(t)
        | Test::Above(t)
        | Test::Equal(t)
        | Test::Unequal(t) => Some(t),
        Test::OneOf(_) => None,
    });
    if let Some(threshold) = numbers.nth(number) {
        turn(threshold);
    }
}
