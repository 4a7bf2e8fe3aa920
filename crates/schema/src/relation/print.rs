//! Relations as text, with every nested part in parentheses: parsed again it is the same tree.

use std::fmt;

use super::parse::{RESERVED, is_plain};
use super::{Comparison, FUNCTIONS, Formula, Function, Name, Operator, Term};

impl fmt::Display for Formula {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compare { how, left, right } => write!(f, "{left} {how} {right}"),
            Self::And(parts) => joined(f, parts, " and "),
            Self::Or(parts) => joined(f, parts, " or "),
            Self::Not(inner) => write!(f, "not ({inner})"),
            Self::If { when, then, otherwise } => {
                write!(f, "if ({when}) then ({then})")?;
                match otherwise {
                    Some(otherwise) => write!(f, " else ({otherwise})"),
                    None => Ok(()),
                }
            }
        }
    }
}

fn joined(f: &mut fmt::Formatter<'_>, parts: &[Formula], word: &str) -> fmt::Result {
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            f.write_str(word)?;
        }
        write!(f, "({part})")?;
    }
    Ok(())
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number:?}"),
            Self::Text(text) if text.contains('"') => write!(f, "'{text}'"),
            Self::Text(text) => write!(f, "\"{text}\""),
            Self::Column(name) => write!(f, "{name}"),
            Self::Minus(inner) => write!(f, "-({inner})"),
            Self::Binary(operator, left, right) => {
                part(f, left)?;
                write!(f, " {operator} ")?;
                part(f, right)
            }
            Self::Call(function, arguments) => {
                write!(f, "{function}(")?;
                for (at, argument) in arguments.iter().enumerate() {
                    let comma = if at > 0 { ", " } else { "" };
                    write!(f, "{comma}{argument}")?;
                }
                f.write_str(")")
            }
        }
    }
}

fn part(f: &mut fmt::Formatter<'_>, term: &Term) -> fmt::Result {
    match term {
        Term::Binary(..) | Term::Minus(_) => write!(f, "({term})"),
        other => write!(f, "{other}"),
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_plain(&self.text) && !RESERVED.contains(&self.text.as_str()) {
            f.write_str(&self.text)
        } else {
            write!(f, "`{}`", self.text)
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Greater => ">",
            Self::AtLeast => ">=",
        })
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Power => "^",
        })
    }
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = FUNCTIONS.iter().find(|(_, function)| function == self);
        f.write_str(found.map_or("", |(name, _)| name))
    }
}
