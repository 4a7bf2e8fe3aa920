//! An ensemble laid out to be fast: every distinct question is asked once per row.
//!
//! Owns the layout. Each feature's thresholds are sorted; a row's value becomes its rank among
//! them, with missing values below or above all ranks, category sets as ranks 0 and 1. A node is
//! then eight bytes and asks `rank <= cut`; its children lie side by side and a leaf is a node
//! whose left child is itself. Nothing is rounded: ranks part the numbers just as the thresholds
//! do. Called by `eval`. The ensemble must have been checked.

use std::collections::{BTreeMap, HashMap};

use super::key::Feature;
use super::{Branch, Child, Codes, Ensemble, Missing, Output, Place, Test};
use crate::reference::Float;

/// A node: go to `left + 1` where the row's rank in `column` is above `cut`, else to `left`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    pub left: u32,
    pub column: u16,
    pub cut: u16,
}

/// A tree of the plan.
#[derive(Clone, Copy, Debug)]
pub(super) struct Root {
    pub at: u32,
    pub depth: u32,
    pub adds: Adds,
}

/// What a tree's leaves hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Adds {
    One(u32),
    Vector,
    Listed,
}

/// An ensemble as it runs: features compared as `F`, leaves added as `S`.
#[derive(Debug)]
pub(super) struct Plan<F: Feature, S> {
    /// Ranks that a row is turned into.
    pub width: usize,
    pub sources: Vec<Source<F::Key>>,
    pub codes: Codes,
    pub nodes: Vec<Node>,
    pub roots: Vec<Root>,
    /// Values by node where `starts` is empty, else leaf after leaf.
    pub values: Vec<S>,
    /// Where a leaf's values begin and, for [`Adds::Listed`], end; by node.
    pub starts: Vec<(u32, u32)>,
    /// Output of each value, where any tree is [`Adds::Listed`].
    pub targets: Vec<u32>,
}

/// Where ranks come from.
#[derive(Debug)]
pub(super) struct Source<K> {
    pub feature: u32,
    /// Whether values near zero are missing.
    pub zero: bool,
    pub what: What<K>,
}

/// What is asked of a feature.
#[derive(Debug)]
pub(super) enum What<K> {
    /// The number of `cuts` below the value; what is missing ranks 0 in the column `low`, and
    /// above all in `high`.
    Rank { cuts: Vec<K>, low: Option<u16>, high: Option<u16> },
    /// 0 where the value is this one, else 1.
    Same { key: K, missing: u16, column: u16 },
    /// 0 where the category code is a member, else 1.
    Member { codes: Box<[u32]>, missing: u16, column: u16 },
}

/// Cuts of one column: ranks go from 0 to this, and a leaf's cut is above the last.
const CUTS_MAX: usize = u16::MAX as usize;
/// Columns that a node can name.
const WIDTH_MAX: usize = 1 << 16;

/// A branch's question in the one form: left where it is at most, the same, or a member.
struct Ask<'a, K> {
    what: Question<'a, K>,
    left: Child,
    right: Child,
    missing_left: bool,
    zero: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Question<'a, K> {
    AtMost(K),
    Same(K),
    Member(&'a [u32]),
}

fn ask<F: Feature>(b: &Branch) -> Ask<'_, F::Key> {
    let (what, yes_left) = match &b.test {
        Test::AtMost(t) => (Question::AtMost(F::cut(*t, false)), true),
        Test::Below(t) => (Question::AtMost(F::cut(*t, true)), true),
        Test::Above(t) => (Question::AtMost(F::cut(*t, false)), false),
        Test::AtLeast(t) => (Question::AtMost(F::cut(*t, true)), false),
        Test::Equal(t) => (Question::Same(same::<F>(*t)), true),
        Test::Unequal(t) => (Question::Same(same::<F>(*t)), false),
        Test::OneOf(codes) => (Question::Member(codes), true),
    };
    let missing_yes = match b.missing {
        Missing::Yes => true,
        Missing::No => false,
        Missing::ZeroIs { to_yes } => to_yes,
        Missing::Compare => matches!(b.test, Test::Unequal(_)),
    };
    let (left, right) = if yes_left { (b.yes, b.no) } else { (b.no, b.yes) };
    let zero = matches!(b.missing, Missing::ZeroIs { .. });
    Ask { what, left, right, missing_left: missing_yes == yes_left, zero }
}

/// The key that equals `t`, or one that no number has.
fn same<F: Feature>(t: f64) -> F::Key {
    let at = F::cut(t, false);
    if at == F::cut(t, true) { F::MISSING } else { at }
}

impl<F: Feature, S: Float> Plan<F, S> {
    /// Lays an ensemble out; `None` when it asks more different questions than fit.
    pub fn new(e: &Ensemble, depths: &[usize]) -> Option<Self> {
        let mut columns = Columns::<F>::new(e)?;
        let one = e.trees.iter().all(|t| matches!(t.output, Output::One(_)));
        let listed = e.trees.iter().any(|t| matches!(t.output, Output::Listed { .. }));
        let mut plan = Self {
            width: 0,
            sources: Vec::new(),
            codes: e.codes,
            nodes: Vec::new(),
            roots: Vec::with_capacity(e.trees.len()),
            values: Vec::new(),
            starts: Vec::new(),
            targets: Vec::new(),
        };
        for (t, &depth) in depths.iter().enumerate() {
            plan.tree(e, t, depth, (one, listed), &mut columns)?;
        }
        plan.width = columns.width;
        plan.sources = columns.sources;
        Some(plan)
    }

    fn tree(
        &mut self,
        e: &Ensemble,
        t: usize,
        depth: usize,
        (one, listed): (bool, bool),
        columns: &mut Columns<F>,
    ) -> Option<()> {
        let tree = &e.trees[t];
        let weight = S::from_f64(tree.weight);
        let adds = match &tree.output {
            Output::One(k) => Adds::One(*k),
            Output::Vector => Adds::Vector,
            Output::Listed { .. } => Adds::Listed,
        };
        let at = u32::try_from(self.nodes.len()).ok()?;
        self.roots.push(Root { at, depth: depth as u32, adds });
        let first = self.values.len();
        if !one {
            self.values.extend(tree.leaves.iter().map(|&v| S::from_f64(v) * weight));
        }
        if listed {
            match &tree.output {
                Output::Listed { targets, .. } => self.targets.extend(targets),
                _ => self.targets.extend(tree.leaves.iter().map(|_| 0)),
            }
        }
        // The children of a node follow it as closely as a stack allows: left paths lie in line.
        self.slots(1, one)?;
        let mut open = vec![(at as usize, tree.root)];
        while let Some((slot, child)) = open.pop() {
            match child.place() {
                Place::Leaf(i) => {
                    self.nodes[slot] = Node { left: slot as u32, column: 0, cut: u16::MAX };
                    if one {
                        self.values[slot] = S::from_f64(tree.leaves[i]) * weight;
                    } else {
                        self.starts[slot] = span(&tree.output, first, i, e.outputs)?;
                    }
                }
                Place::Branch(i) => {
                    let b = &tree.branches[i];
                    let ask = ask::<F>(b);
                    let (column, cut) = columns.of(b.feature, &ask)?;
                    let left = self.slots(2, one)?;
                    self.nodes[slot] = Node { left: left as u32, column, cut };
                    open.push((left + 1, ask.right));
                    open.push((left, ask.left));
                }
            }
        }
        Some(())
    }

    /// Room for `n` more nodes; where it begins.
    fn slots(&mut self, n: usize, one: bool) -> Option<usize> {
        let at = self.nodes.len();
        u32::try_from(at + n).ok()?;
        self.nodes.resize(at + n, Node { left: 0, column: 0, cut: u16::MAX });
        if one {
            self.values.resize(at + n, S::ZERO);
        } else {
            self.starts.resize(at + n, (0, 0));
        }
        Some(at)
    }
}

/// Where the values of leaf `i` lie.
fn span(output: &Output, first: usize, i: usize, outputs: usize) -> Option<(u32, u32)> {
    let (from, to) = match output {
        Output::One(_) => (i, i + 1),
        Output::Vector => (i * outputs, (i + 1) * outputs),
        Output::Listed { starts, .. } => (starts[i] as usize, starts[i + 1] as usize),
    };
    Some((u32::try_from(first + from).ok()?, u32::try_from(first + to).ok()?))
}

/// All cuts of a feature, ascending, with its first source; by feature and whether zero is missing.
type Cuts<K> = BTreeMap<(u32, bool), (Vec<K>, usize)>;
/// The column of a question that stands alone.
type Singles<K> = HashMap<(u32, bool, Single<K>, bool), u16>;

/// Columns of ranks as they are handed out.
struct Columns<F: Feature> {
    width: usize,
    sources: Vec<Source<F::Key>>,
    cuts: Cuts<F::Key>,
    single: Singles<F::Key>,
}

#[derive(PartialEq, Eq, Hash)]
enum Single<K> {
    Same(K),
    Member(Box<[u32]>),
}

impl<F: Feature> Columns<F> {
    fn new(e: &Ensemble) -> Option<Self> {
        let mut cuts: Cuts<F::Key> = BTreeMap::new();
        for b in e.trees.iter().flat_map(|t| &t.branches) {
            let ask = ask::<F>(b);
            if let Question::AtMost(key) = ask.what {
                cuts.entry((b.feature, ask.zero)).or_default().0.push(key);
            }
        }
        let mut sources = Vec::new();
        for (&(feature, zero), (keys, first)) in &mut cuts {
            keys.sort_unstable();
            keys.dedup();
            *first = sources.len();
            for part in keys.chunks(CUTS_MAX) {
                let what = What::Rank { cuts: part.to_vec(), low: None, high: None };
                sources.push(Source { feature, zero, what });
            }
        }
        (sources.len() <= WIDTH_MAX).then_some(())?;
        Some(Self { width: 0, sources, cuts, single: HashMap::new() })
    }

    /// The column and cut of a question.
    fn of(&mut self, feature: u32, ask: &Ask<F::Key>) -> Option<(u16, u16)> {
        let single = match ask.what {
            Question::AtMost(key) => {
                let (keys, first) = self.cuts.get(&(feature, ask.zero))?;
                let i = keys.binary_search(&key).ok()?;
                let source = first + i / CUTS_MAX;
                let next = column(self.width);
                let What::Rank { low, high, .. } = &mut self.sources.get_mut(source)?.what else {
                    return None;
                };
                let side = if ask.missing_left { low } else { high };
                if side.is_none() {
                    *side = Some(next?);
                    self.width += 1;
                }
                return Some(((*side)?, (i % CUTS_MAX) as u16));
            }
            Question::Same(key) => Single::Same(key),
            Question::Member(codes) => Single::Member(codes.into()),
        };
        let place = (feature, ask.zero, single, ask.missing_left);
        if let Some(&column) = self.single.get(&place) {
            return Some((column, 0));
        }
        let column = column(self.width)?;
        self.width += 1;
        let missing = u16::from(!ask.missing_left);
        let what = match ask.what {
            Question::Member(codes) => What::Member { codes: codes.into(), missing, column },
            Question::Same(key) | Question::AtMost(key) => What::Same { key, missing, column },
        };
        self.sources.push(Source { feature, zero: ask.zero, what });
        self.single.insert(place, column);
        Some((column, 0))
    }
}

fn column(width: usize) -> Option<u16> {
    u16::try_from(width).ok()
}
