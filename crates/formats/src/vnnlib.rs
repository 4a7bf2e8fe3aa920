//! Properties of networks in VNN-LIB 1.0: a box of inputs and a condition on the outputs.
//!
//! Owns the text and its normal form: a disjunction of cases, each a box and a conjunction of
//! linear constraints; a point in any case is a counter-example. Decimals are kept as the pair of
//! doubles that enclose them, so that nothing is lost in rounding. Must never judge a network.
//! Called by `proofmark attack --property`.
//!
//! Read: `declare-const` of `X_i` and `Y_j`, `assert` with `<=`, `>=`, `<`, `>`, `=`, `and`, `or`,
//! `not`, `=>`, and terms of `+`, `-`, `*` that are linear. Everything else is refused by name.

use std::fmt;

use crate::gzip::{self, GzipError};

mod form;
mod lexer;
mod number;
mod parse;

pub use number::Number;

/// Inflated bytes of a property: a box over a million inputs takes about 80 MB.
pub const BYTES_MAX: usize = 256 << 20;
/// Variables of a kind: more than any image has.
pub const VARIABLES_MAX: usize = 1 << 20;
/// Depth of brackets: hand-written and generated properties stay below ten.
pub const DEPTH_MAX: usize = 64;
/// Cases of the normal form: each is proved apart.
pub const CASES_MAX: usize = 1 << 14;
/// Atoms of all cases together, about 1 GiB of memory.
pub const ATOMS_MAX: usize = 1 << 23;

/// A property; a point that lies in one of the cases violates what is to be shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Property {
    /// Number of inputs `X_0 ..`.
    pub inputs: usize,
    /// Number of outputs `Y_0 ..`.
    pub outputs: usize,
    /// Cases; none where the assertions contradict one another.
    pub cases: Vec<Case>,
}

/// A box of inputs and constraints that hold together.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// Lower bound per input.
    pub lower: Vec<Number>,
    /// Upper bound per input.
    pub upper: Vec<Number>,
    /// All hold.
    pub constraints: Vec<Constraint>,
}

/// `sum of terms + constant <= 0`, or `< 0` where strict.
#[derive(Clone, Debug, PartialEq)]
pub struct Constraint {
    /// Variable and factor; a variable occurs once.
    pub terms: Vec<(Variable, Number)>,
    /// Constant.
    pub constant: Number,
    /// Whether equality does not satisfy it.
    pub strict: bool,
}

/// A variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Variable {
    /// `X_i`.
    Input(u32),
    /// `Y_j`.
    Output(u32),
}

/// A place in the text, both from 1; the column counts bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

/// Why a property is not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // the messages say it
pub enum VnnlibError {
    #[error(transparent)]
    Gzip(#[from] GzipError),
    #[error("{place}: {problem}")]
    At { place: Place, problem: String },
    #[error("the property holds more than {BYTES_MAX} bytes")]
    TooLarge,
    #[error("the property declares no {0}")]
    NoVariable(&'static str),
    #[error(
        "the variables {kind}_i are numbered from 0 without gaps, but {kind}_{index} is missing"
    )]
    Gap { kind: char, index: usize },
    #[error("X_{input} has no {side} bound in case {case}; a property needs a box of inputs")]
    Unbounded { input: usize, side: &'static str, case: usize },
    #[error("written as alternatives, the property has more than {0}; split it")]
    TooMany(String),
}

/// Reads a property, plain or gzip by content.
///
/// # Errors
/// Text that is no VNN-LIB, is not linear, leaves an input without bounds, or passes a limit.
pub fn read(bytes: &[u8]) -> Result<Property, VnnlibError> {
    let text = gzip::inflate_if_gzip(bytes, BYTES_MAX)?;
    if text.len() > BYTES_MAX {
        return Err(VnnlibError::TooLarge);
    }
    let script = parse::script(&text)?;
    form::normal(script)
}

impl fmt::Display for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input(i) => write!(f, "X_{i}"),
            Self::Output(j) => write!(f, "Y_{j}"),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

impl Place {
    pub(crate) fn error<T>(self, problem: impl Into<String>) -> Result<T, VnnlibError> {
        Err(VnnlibError::At { place: self, problem: problem.into() })
    }
}

#[cfg(test)]
mod tests;
