//! Tree ensembles in one form, whatever file they came from.
//!
//! Owns the form: trees, tests, where missing values go, how leaves join, how a margin becomes
//! an answer. Must never run an ensemble that was not checked: [`Ensemble`] is plain data that an
//! importer fills, and only what compiles is run. Called by the importers,
//! the operators of `ai.onnx.ml`, `compose` and the loader of models.

pub mod import;

mod check;
mod eval;
mod export;
mod graph;
mod key;
mod link;
mod plan;
mod rank;
mod walk;

use std::fmt;

pub use check::{COLUMNS_MAX, DEPTH_MAX, OUTPUTS_MAX, TreeError};
pub(crate) use eval::Sums;
pub use eval::{Forest, Numbers, Rows};
pub(crate) use export::exported;
pub use graph::{FEATURES, LABEL, MARGIN, graph, of_node};
pub use link::Kind;

/// A sum (or other join) of decision trees, as deployed.
///
/// The margin of output `k` of a row is, for [`Join::Sum`], `scale · (base[k] + Σ weight · leaf)`
/// where the base comes first and `scale · (Σ weight · leaf) + base[k]` where it comes last
/// ([`Ensemble::base_last`]), added in the order of `trees` in the type of [`Arithmetic`].
#[derive(Clone, Debug, PartialEq)]
pub struct Ensemble {
    /// Columns that a row has, in the order of the file.
    pub columns: usize,
    /// Feature names of the file; empty, or `columns` long.
    pub names: Vec<String>,
    /// Categories by column; empty where the file holds none, else `columns` long.
    pub categories: Vec<Option<Categories>>,
    /// How a number becomes a category code before [`Test::OneOf`] looks at it.
    pub codes: Codes,
    /// The trees, in the order in which they are added.
    pub trees: Vec<Tree>,
    /// Margins per row; 1 for regression and for two classes with one score.
    pub outputs: usize,
    /// Margins before any tree; empty for zeros, else `outputs` long.
    pub base: Vec<f64>,
    /// Whether `base` is added after the trees (CatBoost, ONNX) and not before (XGBoost).
    pub base_last: bool,
    /// What the sum of the trees (without `base` where that comes last) is multiplied by;
    /// 1 but for CatBoost's scale.
    pub scale: f64,
    /// In which types features are compared and leaves added.
    pub arithmetic: Arithmetic,
    /// How the leaves join.
    pub join: Join,
    /// From margin to the answer of the library's own predict.
    pub link: Link,
    /// Class labels: `Some` for every classifier (`0..n` where the file holds none), `None` for
    /// regressions, rankings and raw margins. Two labels go with one or two outputs.
    pub labels: Option<Labels>,
    /// Library, version and booster for reports, e.g. `xgboost 3.2.0 (gbtree)`.
    pub source: String,
    /// What whoever reads a report should know of the import: an objective that is not known,
    /// rounds beyond the best one, a base margin that was taken to be 0.
    pub notes: Vec<String>,
}

/// One tree.
#[derive(Clone, Debug, PartialEq)]
pub struct Tree {
    /// Which outputs its leaves add to.
    pub output: Output,
    /// Nodes that ask.
    pub branches: Vec<Branch>,
    /// Values of the leaves, leaf after leaf, each as many as [`Output`] says.
    pub leaves: Vec<f64>,
    /// Where a row begins.
    pub root: Child,
    /// What leaves are multiplied by (DART); 1 elsewhere.
    pub weight: f64,
}

/// Which outputs the leaves of a tree add to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Each leaf holds one value, for this output.
    One(u32),
    /// Each leaf holds one value per output of the ensemble.
    Vector,
    /// Leaf `i` holds the values `starts[i]..starts[i + 1]` of `leaves`, each for the output in
    /// `targets` at its place. ONNX files may be so; `starts` is one longer than the leaves are.
    Listed {
        /// Where each leaf's values begin, and the end.
        starts: Vec<u32>,
        /// Output of each value.
        targets: Vec<u32>,
    },
}

/// A node that asks one question of one feature.
#[derive(Clone, Debug, PartialEq)]
pub struct Branch {
    /// Column.
    pub feature: u32,
    /// The question.
    pub test: Test,
    /// Where a row goes that answers yes.
    pub yes: Child,
    /// Where a row goes that answers no.
    pub no: Child,
    /// Where a row goes whose value is missing.
    pub missing: Missing,
}

/// A branch or a leaf of the same tree, in 32 bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Child(u32);

/// What a branch asks of a value `v`.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// `v < t`
    Below(f64),
    /// `v <= t`
    AtMost(f64),
    /// `v >= t`
    AtLeast(f64),
    /// `v > t`
    Above(f64),
    /// `v == t`
    Equal(f64),
    /// `v != t`
    Unequal(f64),
    /// The category code of `v` (see [`Codes`]) is one of these, which ascend. A value without a
    /// code is none of them.
    OneOf(Box<[u32]>),
}

/// Where a missing value goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// NaN goes to `yes`.
    Yes,
    /// NaN goes to `no`.
    No,
    /// NaN is compared like any value: it is neither below, at, nor above anything, unequal to
    /// everything, and has no category code.
    Compare,
    /// NaN and every value of magnitude up to [`ZERO_MAX`] is missing (LightGBM's
    /// `zero_as_missing`).
    ZeroIs {
        /// Whether it goes to `yes`.
        to_yes: bool,
    },
}

/// LightGBM takes values of at most this magnitude for zero: the `float` 1e-35, widened.
pub const ZERO_MAX: f64 = 1e-35_f32 as f64;

/// The categories of one column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Categories {
    /// Texts; the code of a text is its position.
    Texts(Vec<String>),
    /// The column holds codes already.
    Codes,
    /// Hashes of texts, with the text where the file holds it (else empty); the code is the
    /// position.
    Hashes(Vec<(u64, String)>),
}

/// Which code a number stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codes {
    /// Only whole numbers from 0 have a code.
    Whole,
    /// Cut towards zero; numbers below 0 have no code (XGBoost).
    Floor,
    /// Cut towards zero first, so that -0.5 has the code 0; whole numbers below 0 have none
    /// (LightGBM).
    Truncated,
}

/// In which types an ensemble computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    /// Features are rounded to `f32`, leaves and sums are `f32` (XGBoost).
    F32,
    /// Features, leaves and sums are `f64` (LightGBM).
    F64,
    /// Features are rounded to `f32`, leaves and sums are `f64` (CatBoost, scikit-learn).
    Mixed,
}

/// How leaves join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// Added.
    Sum,
    /// Added and divided by this many trees or iterations.
    Average(u32),
    /// The least.
    Min,
    /// The greatest.
    Max,
}

/// From the margins of a row to the answer of the library's own predict.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Link {
    /// The margin itself.
    Identity,
    /// `1 / (1 + exp(-scale · m))` of the only margin; with two labels it is the probability of
    /// the second.
    Logistic {
        /// 1 but for LightGBM's `sigmoid` parameter.
        scale: f64,
    },
    /// Probabilities that add up to 1.
    Softmax,
    /// The logistic of each margin. With `normalised` they are divided by their sum.
    LogisticEach {
        /// As in [`Link::Logistic`].
        scale: f64,
        /// Whether the shares are made to add up to 1.
        normalised: bool,
    },
    /// `exp(m)` (Poisson, gamma, Tweedie, Cox, accelerated failure time).
    Exp,
    /// `ln(1 + exp(m))` (LightGBM `cross_entropy_lambda`).
    LogOnePlusExp,
    /// `sign(m) · m²` (LightGBM `reg_sqrt`).
    SignedSquare,
    /// 1 where `m > 0`, else 0 (XGBoost `binary:hinge`).
    Step,
}

/// Class labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Labels {
    /// Integers.
    Ints(Vec<i64>),
    /// Texts.
    Texts(Vec<String>),
}

impl Ensemble {
    /// An ensemble of no tree, to be filled: one output, no base, sums in `arithmetic`.
    pub fn new(columns: usize, arithmetic: Arithmetic, source: impl Into<String>) -> Self {
        Self {
            columns,
            names: Vec::new(),
            categories: Vec::new(),
            codes: Codes::Whole,
            trees: Vec::new(),
            outputs: 1,
            base: Vec::new(),
            base_last: false,
            scale: 1.0,
            arithmetic,
            join: Join::Sum,
            link: Link::Identity,
            labels: None,
            source: source.into(),
            notes: Vec::new(),
        }
    }
}

impl Ensemble {
    /// The output that every leaf adds to, if it is one.
    pub fn only_output(&self) -> Option<u32> {
        let mut targets = self.trees.iter().flat_map(|t| match &t.output {
            Output::One(k) => vec![*k],
            Output::Vector => (0..self.outputs as u32).collect(),
            Output::Listed { targets, .. } => targets.clone(),
        });
        let first = targets.next()?;
        targets.all(|t| t == first).then_some(first)
    }
}

impl Tree {
    /// Number of leaves, by the length of what they hold; `outputs` is the ensemble's.
    pub fn leaf_count(&self, outputs: usize) -> usize {
        match &self.output {
            Output::One(_) => self.leaves.len(),
            Output::Vector => self.leaves.len() / outputs.max(1),
            Output::Listed { starts, .. } => starts.len().saturating_sub(1),
        }
    }
}

/// Marks a child as a leaf.
const LEAF: u32 = 1 << 31;

/// Branches, and leaves, that a tree can have: what a [`Child`] can name.
pub const NODES_MAX: u32 = LEAF;

impl Child {
    /// Branch `i`; `None` from [`NODES_MAX`] on.
    pub fn branch(i: usize) -> Option<Self> {
        u32::try_from(i).ok().filter(|i| i & LEAF == 0).map(Self)
    }
    /// Leaf `i`; `None` from [`NODES_MAX`] on.
    pub fn leaf(i: usize) -> Option<Self> {
        Self::branch(i).map(|Self(i)| Self(i | LEAF))
    }
    /// Which it is.
    pub fn place(self) -> Place {
        match self.0 & LEAF {
            0 => Place::Branch(self.0 as usize),
            _ => Place::Leaf((self.0 & !LEAF) as usize),
        }
    }
}

/// A child, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Index into `branches`.
    Branch(usize),
    /// Number of the leaf.
    Leaf(usize),
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place().fmt(f)
    }
}

impl Labels {
    /// `0..n`.
    pub fn counted(n: usize) -> Self {
        Self::Ints((0..n as i64).collect())
    }
    /// Number of classes.
    pub fn len(&self) -> usize {
        match self {
            Self::Ints(v) => v.len(),
            Self::Texts(v) => v.len(),
        }
    }
    /// Whether there is no class.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests;
