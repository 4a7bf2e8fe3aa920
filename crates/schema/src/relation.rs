//! Relations between columns: a small language for what holds in every valid row.
//!
//! Owns the syntax tree, its printed form and its types. Must never compute a value: the lab
//! evaluates. Called by the declaration's reader, by the lab and by `attack --constraints`.
//!
//! ```text
//! installment <= amount                      if term = 36 then rate < 0.2
//! ratio = open / max(total, 1)               abs(a - b * c) <= 0.01
//! `hours per week` >= 1 or job = "none"      0 < low <= high
//! ```
//!
//! Numbers are in the unit of the data file. Columns stand by their name, in backticks where it
//! is no plain word; texts stand in single or double quotes and are compared by `=` and `!=`.

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::system::nearest;

mod parse;
mod print;

/// A relation as written, and what it says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Relation {
    text: String,
    formula: Formula,
}

/// Something that is true or false in a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Formula {
    /// Two sides compared.
    Compare {
        /// How.
        how: Comparison,
        /// Left side.
        left: Term,
        /// Right side.
        right: Term,
    },
    /// All of them, at least two.
    And(Vec<Formula>),
    /// Any of them, at least two.
    Or(Vec<Formula>),
    /// The opposite.
    Not(Box<Formula>),
    /// Where `when` holds `then` holds, elsewhere `otherwise`, if given.
    If {
        /// Condition.
        when: Box<Formula>,
        /// Holds where it does.
        then: Box<Formula>,
        /// Holds where it does not.
        otherwise: Option<Box<Formula>>,
    },
}

/// A side of a comparison, or a part of one.
#[derive(Clone, Debug, PartialEq)]
pub enum Term {
    /// A number, not negative.
    Number(f64),
    /// A text; only as a whole side.
    Text(String),
    /// The cell of a column.
    Column(Name),
    /// The negative.
    Minus(Box<Term>),
    /// Two terms.
    Binary(Operator, Box<Term>, Box<Term>),
    /// A function.
    Call(Function, Vec<Term>),
}

/// A column by name, and where it stands in the text.
#[derive(Clone, Debug)]
pub struct Name {
    /// Name.
    pub text: String,
    /// Bytes of the relation's text.
    pub span: Range<usize>,
}

/// Where a name stands does not make it another one.
impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// Comparisons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

/// Arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Power,
}

/// Functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Function {
    Min,
    Max,
    Abs,
    Floor,
    Ceil,
    Sqrt,
    Log,
    Exp,
}

/// What the cells of a column are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CellType<'a> {
    /// Numbers.
    Number,
    /// Texts; the allowed ones, where they are listed.
    Text(&'a [String]),
}

/// What is wrong with a relation, and where in its text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}, at character {}: {help}", .span.start + 1)]
pub struct RelationError {
    /// What is wrong.
    pub message: String,
    /// Bytes of the relation's text.
    pub span: Range<usize>,
    /// The likely fix.
    pub help: String,
}

impl Relation {
    /// Parses a relation.
    ///
    /// # Errors
    /// Syntax, a truth where a number belongs, or too long.
    pub fn parse(text: &str) -> Result<Self, RelationError> {
        let formula = parse::formula(text)?;
        Ok(Self { text: text.to_owned(), formula })
    }

    /// As written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it says.
    pub fn formula(&self) -> &Formula {
        &self.formula
    }

    /// Columns, in the order of the text; one that stands twice comes twice.
    pub fn columns(&self) -> Vec<&Name> {
        let mut all = Vec::new();
        self.formula.each_side(&mut |term| term.columns(&mut all));
        all
    }

    /// Checks names and types against the columns that there are.
    ///
    /// # Errors
    /// An unknown column or listed text (with the nearest one), or texts where numbers belong.
    pub fn check<'a>(
        &self,
        known: &[&str],
        type_of: &dyn Fn(&str) -> Option<CellType<'a>>,
    ) -> Result<(), RelationError> {
        for name in self.columns() {
            if type_of(&name.text).is_none() {
                return Err(unknown(name, known));
            }
        }
        let mut first = Ok(());
        self.formula.each_comparison(&mut |how, left, right| {
            if first.is_ok() {
                first = sides(how, left, right, type_of);
            }
        });
        first
    }
}

impl TryFrom<String> for Relation {
    type Error = RelationError;
    fn try_from(text: String) -> Result<Self, RelationError> {
        Self::parse(&text)
    }
}

impl From<Relation> for String {
    fn from(relation: Relation) -> Self {
        relation.text
    }
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Formula {
    /// All of them; parts that are such lists themselves are taken in.
    pub fn and(parts: Vec<Self>) -> Self {
        let mut flat = Vec::new();
        for part in parts {
            match part {
                Self::And(inner) => flat.extend(inner),
                other => flat.push(other),
            }
        }
        if flat.len() == 1 { flat.swap_remove(0) } else { Self::And(flat) }
    }

    /// Any of them; parts that are such lists themselves are taken in.
    pub fn or(parts: Vec<Self>) -> Self {
        let mut flat = Vec::new();
        for part in parts {
            match part {
                Self::Or(inner) => flat.extend(inner),
                other => flat.push(other),
            }
        }
        if flat.len() == 1 { flat.swap_remove(0) } else { Self::Or(flat) }
    }

    /// Every comparison, from left to right.
    pub fn each_comparison<'s>(&'s self, see: &mut dyn FnMut(Comparison, &'s Term, &'s Term)) {
        match self {
            Self::Compare { how, left, right } => see(*how, left, right),
            Self::And(parts) | Self::Or(parts) => parts.iter().for_each(|p| p.each_comparison(see)),
            Self::Not(inner) => inner.each_comparison(see),
            Self::If { when, then, otherwise } => {
                when.each_comparison(see);
                then.each_comparison(see);
                if let Some(otherwise) = otherwise {
                    otherwise.each_comparison(see);
                }
            }
        }
    }

    fn each_side<'s>(&'s self, see: &mut dyn FnMut(&'s Term)) {
        self.each_comparison(&mut |_, left, right| {
            see(left);
            see(right);
        });
    }
}

impl Term {
    /// Adds the columns of the term, in the order of the text.
    pub fn columns<'s>(&'s self, all: &mut Vec<&'s Name>) {
        match self {
            Self::Number(_) | Self::Text(_) => {}
            Self::Column(name) => all.push(name),
            Self::Minus(inner) => inner.columns(all),
            Self::Binary(_, left, right) => {
                left.columns(all);
                right.columns(all);
            }
            Self::Call(_, arguments) => arguments.iter().for_each(|a| a.columns(all)),
        }
    }
}

/// Names of the functions.
pub const FUNCTIONS: [(&str, Function); 8] = [
    ("min", Function::Min),
    ("max", Function::Max),
    ("abs", Function::Abs),
    ("floor", Function::Floor),
    ("ceil", Function::Ceil),
    ("sqrt", Function::Sqrt),
    ("log", Function::Log),
    ("exp", Function::Exp),
];

fn unknown(name: &Name, known: &[&str]) -> RelationError {
    let help = match nearest(&name.text, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "a text stands in quotes; columns are called as in the file".to_owned(),
    };
    let message = format!("no column is called `{}`", name.text);
    RelationError { message, span: name.span.clone(), help }
}

/// Either two numbers, or two texts that are the same or not.
fn sides<'a>(
    how: Comparison,
    left: &Term,
    right: &Term,
    type_of: &dyn Fn(&str) -> Option<CellType<'a>>,
) -> Result<(), RelationError> {
    let (a, b) = (text_side(left, type_of), text_side(right, type_of));
    let place = || {
        let mut all = Vec::new();
        left.columns(&mut all);
        right.columns(&mut all);
        all.first().map_or(0..0, |n| n.span.clone())
    };
    let refuse = |message: &str, help: &str| {
        Err(RelationError { message: message.into(), span: place(), help: help.into() })
    };
    let (a, b) = match (a, b) {
        (None, None) => {
            return numbers_only(left, type_of).and_then(|()| numbers_only(right, type_of));
        }
        (Some(a), Some(b)) => (a, b),
        _ => {
            let help = "numbers stand without quotes; a category is compared with a text";
            return refuse("a text is compared with a number", help);
        }
    };
    if !matches!(how, Comparison::Equal | Comparison::NotEqual) {
        return refuse("texts have no order", "compare them by `=` or `!=`");
    }
    for (side, listed) in [(left, b), (right, a)] {
        if let Term::Text(text) = side
            && !listed.is_empty()
            && !listed.contains(text)
        {
            let near = nearest(text, listed.iter().map(String::as_str));
            let help = near.map_or_else(
                || "see `values` of the column".to_owned(),
                |near| format!("did you mean `{near}`?"),
            );
            return refuse(&format!("`{text}` is no value of the column"), &help);
        }
    }
    Ok(())
}

/// Listed texts of a side that is a text.
fn text_side<'a>(
    term: &Term,
    type_of: &dyn Fn(&str) -> Option<CellType<'a>>,
) -> Option<&'a [String]> {
    match term {
        Term::Text(_) => Some(&[]),
        Term::Column(name) => match type_of(&name.text) {
            Some(CellType::Text(listed)) => Some(listed),
            _ => None,
        },
        _ => None,
    }
}

fn numbers_only<'a>(
    term: &Term,
    type_of: &dyn Fn(&str) -> Option<CellType<'a>>,
) -> Result<(), RelationError> {
    let mut all = Vec::new();
    term.columns(&mut all);
    let text = all.into_iter().find(|n| matches!(type_of(&n.text), Some(CellType::Text(_))));
    match text {
        None => Ok(()),
        Some(name) => Err(RelationError {
            message: format!("`{}` holds texts, which have no arithmetic", name.text),
            span: name.span.clone(),
            help: "declare it as a number, or compare it with a text by `=`".into(),
        }),
    }
}

#[cfg(test)]
mod tests;
