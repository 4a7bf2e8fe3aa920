//! Columns cut into cells: what any test of an ensemble can tell apart.
//!
//! Owns the cuts of each column and the cells that a test says yes to. A cell lies between two
//! neighbouring cuts; within it no test of the ensemble changes its answer. Thresholds are never
//! rounded. Called by [`super::boxes`].

use proofmark_engine::trees::{Branch, Codes, Ensemble, Missing, Test, ZERO_MAX};

/// A place between numbers: just below `at`, or just above it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cut {
    /// The number.
    pub at: f64,
    /// Whether the number itself lies left of the cut.
    pub above: bool,
}

impl Cut {
    /// Just below a number.
    fn below(at: f64) -> Self {
        // Adding 0 makes -0 the same as 0.
        Self { at: at + 0.0, above: false }
    }
    /// Just above a number.
    fn above(at: f64) -> Self {
        Self { at: at + 0.0, above: true }
    }
    fn order(&self, other: &Self) -> std::cmp::Ordering {
        self.at.total_cmp(&other.at).then(self.above.cmp(&other.above))
    }
    /// Whether a number lies right of the cut.
    pub fn passed_by(&self, v: f64) -> bool {
        if self.above { v > self.at } else { v >= self.at }
    }
}

/// One column that the ensemble asks about.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Column of the ensemble.
    pub feature: u32,
    /// Cuts, ascending; there is one cell more than cuts.
    pub cuts: Vec<Cut>,
    /// Whether category codes are asked for.
    pub coded: bool,
}

/// Cells from the first to the last, both included.
pub type Run = (u32, u32);

impl Column {
    /// The last cell.
    pub fn last(&self) -> u32 {
        self.cuts.len() as u32
    }

    /// The cell that a number lies in.
    pub fn cell(&self, v: f64) -> u32 {
        self.cuts.partition_point(|cut| cut.passed_by(v)) as u32
    }

    fn place(&self, cut: Cut) -> u32 {
        self.cuts.partition_point(|c| c.order(&cut).is_lt()) as u32
    }

    /// Cells between two cuts of this column; none where they enclose nothing.
    fn between(&self, from: Option<Cut>, to: Option<Cut>) -> Option<Run> {
        let first = from.map_or(0, |cut| self.place(cut) + 1);
        let last = match to {
            Some(cut) => self.place(cut),
            None => self.last(),
        };
        (first <= last).then_some((first, last))
    }

    /// Cells of which a branch's test says yes, ascending and apart; numbers only.
    pub fn yes(&self, branch: &Branch, codes: Codes) -> Vec<Run> {
        let one = |from, to| self.between(from, to).into_iter().collect::<Vec<_>>();
        let runs = match &branch.test {
            Test::Below(t) => one(None, Some(Cut::below(*t))),
            Test::AtMost(t) => one(None, Some(Cut::above(*t))),
            Test::AtLeast(t) => one(Some(Cut::below(*t)), None),
            Test::Above(t) => one(Some(Cut::above(*t)), None),
            Test::Equal(t) => one(Some(Cut::below(*t)), Some(Cut::above(*t))),
            Test::Unequal(t) => self.others(&one(Some(Cut::below(*t)), Some(Cut::above(*t)))),
            Test::OneOf(set) => {
                let each = set.iter().map(|&code| code_ends(code, codes));
                merged(each.filter_map(|(a, b)| self.between(Some(a), Some(b))).collect())
            }
        };
        let Missing::ZeroIs { to_yes } = branch.missing else { return runs };
        let [from, to] = zero_ends();
        let zero = one(Some(from), Some(to));
        if to_yes {
            return merged([runs, zero].concat());
        }
        meet(&runs, &self.others(&zero))
    }

    /// The cells that are in none of these.
    pub fn others(&self, runs: &[Run]) -> Vec<Run> {
        let mut out = Vec::with_capacity(runs.len() + 1);
        let mut next = 0;
        for &(first, last) in runs {
            if first > next {
                out.push((next, first - 1));
            }
            next = last + 1;
        }
        if next <= self.last() {
            out.push((next, self.last()));
        }
        out
    }
}

/// The columns of an ensemble that are asked about, in order.
pub fn columns(ensemble: &Ensemble) -> Vec<Column> {
    let mut all: std::collections::BTreeMap<u32, Column> = Default::default();
    for branch in ensemble.trees.iter().flat_map(|t| &t.branches) {
        let feature = branch.feature;
        let fresh = || Column { feature, cuts: Vec::new(), coded: false };
        let column = all.entry(feature).or_insert_with(fresh);
        match &branch.test {
            Test::Below(t) | Test::AtLeast(t) => column.cuts.push(Cut::below(*t)),
            Test::AtMost(t) | Test::Above(t) => column.cuts.push(Cut::above(*t)),
            Test::Equal(t) | Test::Unequal(t) => {
                column.cuts.extend([Cut::below(*t), Cut::above(*t)]);
            }
            Test::OneOf(set) => {
                column.coded = true;
                let ends = set.iter().map(|&code| code_ends(code, ensemble.codes));
                column.cuts.extend(ends.flat_map(|(a, b)| [a, b]));
            }
        }
        if matches!(branch.missing, Missing::ZeroIs { .. }) {
            column.cuts.extend(zero_ends());
        }
    }
    let mut columns: Vec<Column> = all.into_values().collect();
    for column in &mut columns {
        column.cuts.sort_by(Cut::order);
        column.cuts.dedup();
    }
    columns
}

/// The numbers that stand for a code.
fn code_ends(code: u32, codes: Codes) -> (Cut, Cut) {
    let (low, high) = (f64::from(code), f64::from(code) + 1.0);
    match codes {
        Codes::Whole => (Cut::below(low), Cut::above(low)),
        Codes::Truncated if code == 0 => (Cut::above(-1.0), Cut::below(high)),
        Codes::Floor | Codes::Truncated => (Cut::below(low), Cut::below(high)),
    }
}

/// The numbers that LightGBM takes for zero.
fn zero_ends() -> [Cut; 2] {
    [Cut::below(-ZERO_MAX), Cut::above(ZERO_MAX)]
}

fn merged(mut runs: Vec<Run>) -> Vec<Run> {
    runs.sort_unstable();
    let mut out: Vec<Run> = Vec::with_capacity(runs.len());
    for (first, last) in runs {
        match out.last_mut() {
            Some(open) if first <= open.1.saturating_add(1) => open.1 = open.1.max(last),
            _ => out.push((first, last)),
        }
    }
    out
}

/// Cells in both.
pub fn meet(a: &[Run], b: &[Run]) -> Vec<Run> {
    let (mut i, mut j) = (0, 0);
    let mut out = Vec::new();
    while let (Some(&(a0, a1)), Some(&(b0, b1))) = (a.get(i), b.get(j)) {
        if a0.max(b0) <= a1.min(b1) {
            out.push((a0.max(b0), a1.min(b1)));
        }
        if a1 < b1 { i += 1 } else { j += 1 }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proofmark_engine::trees::Child;

    fn branch(test: Test, missing: Missing) -> Branch {
        let (yes, no) = (Child::leaf(0).unwrap(), Child::leaf(1).unwrap());
        Branch { feature: 0, test, yes, no, missing }
    }

    /// The answer of the test itself, for numbers.
    fn answers(branch: &Branch, v: f64, codes: Codes) -> bool {
        if let Missing::ZeroIs { to_yes } = branch.missing
            && v.abs() <= ZERO_MAX
        {
            return to_yes;
        }
        let code = match codes {
            Codes::Whole => (v >= 0.0 && v.fract() == 0.0).then_some(v),
            Codes::Floor => (v >= 0.0).then_some(v.trunc()),
            Codes::Truncated => (v > -1.0).then_some(v.trunc().abs()),
        };
        match &branch.test {
            Test::Below(t) => v < *t,
            Test::AtMost(t) => v <= *t,
            Test::AtLeast(t) => v >= *t,
            Test::Above(t) => v > *t,
            Test::Equal(t) => v == *t,
            Test::Unequal(t) => v != *t,
            Test::OneOf(set) => code.is_some_and(|c| set.contains(&(c as u32))),
        }
    }

    #[test]
    fn cells_answer_every_test_as_the_number_itself_does() {
        let tests = [
            Test::Below(1.5),
            Test::AtMost(0.0),
            Test::AtLeast(-1.0),
            Test::Above(2.0),
            Test::Equal(1.0),
            Test::Unequal(0.0),
            Test::OneOf([0, 2, 3].into()),
            Test::Below(f64::INFINITY),
            Test::AtMost(f64::NEG_INFINITY),
        ];
        for codes in [Codes::Whole, Codes::Floor, Codes::Truncated] {
            for missing in
                [Missing::Yes, Missing::ZeroIs { to_yes: true }, Missing::ZeroIs { to_yes: false }]
            {
                let mut ensemble = Ensemble::new(1, proofmark_engine::trees::Arithmetic::F64, "t");
                ensemble.codes = codes;
                let branches: Vec<Branch> =
                    tests.iter().map(|t| branch(t.clone(), missing)).collect();
                ensemble.trees.push(proofmark_engine::trees::Tree {
                    output: proofmark_engine::trees::Output::One(0),
                    branches: branches.clone(),
                    leaves: vec![],
                    root: Child::leaf(0).unwrap(),
                    weight: 1.0,
                });
                let column = columns(&ensemble).remove(0);
                for v in [
                    -2.0, -1.0, -0.5, -1e-300, -0.0, 0.0, 1e-36, 0.5, 1.0, 1.2, 1.5, 2.0, 2.5, 3.0,
                    4.0, 1e9,
                ] {
                    let cell = column.cell(v);
                    for b in &branches {
                        let yes = column.yes(b, codes).iter().any(|&(a, z)| a <= cell && cell <= z);
                        assert_eq!(
                            yes,
                            answers(b, v, codes),
                            "{v} {:?} {codes:?} {missing:?}",
                            b.test
                        );
                    }
                }
            }
        }
    }
}
