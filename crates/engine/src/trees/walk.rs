//! The plainest walk: branch after branch, as the ensemble is written.
//!
//! Owns what every faster way is measured against, and runs the rare ensemble that asks too many
//! different questions for it. Called by `eval` and by tests. The ensemble must have been checked.

use super::{Arithmetic, Branch, Codes, Ensemble, Join, Missing, Output, Place, Test, ZERO_MAX};
use crate::reference::Float;

impl Ensemble {
    /// The leaf that `x` reaches in tree `t`; values are rounded as [`Arithmetic`] says.
    pub(super) fn leaf(&self, t: usize, x: impl Fn(usize) -> f64) -> usize {
        let tree = &self.trees[t];
        let mut at = tree.root;
        loop {
            match at.place() {
                Place::Leaf(i) => return i,
                Place::Branch(i) => {
                    let b = &tree.branches[i];
                    let v = x(b.feature as usize);
                    let v = match self.arithmetic {
                        Arithmetic::F64 => v,
                        Arithmetic::F32 | Arithmetic::Mixed => f64::from(v as f32),
                    };
                    at = if says_yes(b, v, self.codes) { b.yes } else { b.no };
                }
            }
        }
    }

    /// Joins the trees' leaves of one row into `sums`; `present` tells which outputs any leaf
    /// had a value for, the others are left at their start.
    pub(super) fn walk<S: Float>(
        &self,
        x: impl Fn(usize) -> f64,
        sums: &mut [S],
        present: &mut [bool],
    ) {
        for (t, tree) in self.trees.iter().enumerate() {
            let leaf = self.leaf(t, &x);
            let weight = S::from_f64(tree.weight);
            let n = sums.len();
            let mut add = |target: usize, value: f64| {
                let value = S::from_f64(value) * weight;
                let (slot, seen) = (&mut sums[target], &mut present[target]);
                *slot = match self.join {
                    Join::Sum | Join::Average(_) => *slot + value,
                    Join::Min if *seen && *slot <= value => *slot,
                    Join::Max if *seen && *slot >= value => *slot,
                    Join::Min | Join::Max => value,
                };
                *seen = true;
            };
            match &tree.output {
                Output::One(k) => add(*k as usize, tree.leaves[leaf]),
                Output::Vector => {
                    let values = tree.leaves[leaf * n..][..n].iter();
                    values.enumerate().for_each(|(k, &v)| add(k, v));
                }
                Output::Listed { starts, targets } => {
                    let (from, to) = (starts[leaf] as usize, starts[leaf + 1] as usize);
                    let values = targets[from..to].iter().zip(&tree.leaves[from..to]);
                    values.for_each(|(&k, &v)| add(k as usize, v));
                }
            }
        }
    }
}

fn says_yes(b: &Branch, v: f64, codes: Codes) -> bool {
    let missing = match b.missing {
        Missing::Yes if v.is_nan() => Some(true),
        Missing::No if v.is_nan() => Some(false),
        Missing::ZeroIs { to_yes } if v.is_nan() || v.abs() <= ZERO_MAX => Some(to_yes),
        _ => None,
    };
    missing.unwrap_or_else(|| match &b.test {
        Test::Below(t) => v < *t,
        Test::AtMost(t) => v <= *t,
        Test::AtLeast(t) => v >= *t,
        Test::Above(t) => v > *t,
        Test::Equal(t) => v == *t,
        Test::Unequal(t) => v != *t,
        Test::OneOf(list) => codes.of(v).is_some_and(|c| list.binary_search(&c).is_ok()),
    })
}

impl Codes {
    /// The category code of a number.
    pub fn of(self, v: f64) -> Option<u32> {
        let whole = v.trunc();
        let coded = match self {
            Self::Whole => v == whole && v >= 0.0,
            Self::Floor => v >= 0.0,
            Self::Truncated => whole >= 0.0,
        };
        (coded && whole <= f64::from(u32::MAX)).then_some(whole as u32)
    }
}
