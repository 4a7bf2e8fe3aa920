//! From text to declarations and formulas over linear atoms.
//!
//! Owns the grammar. Must never recurse deeper than [`DEPTH_MAX`]. Called by [`super::read`].

use std::collections::BTreeMap;

use super::lexer::{Lexer, Token};
use super::{ATOMS_MAX, DEPTH_MAX, Number, Place, VARIABLES_MAX, Variable, VnnlibError};

/// What a file says.
pub(super) struct Script {
    /// Number of inputs.
    pub inputs: usize,
    /// Number of outputs.
    pub outputs: usize,
    /// All hold.
    pub asserted: Vec<Formula>,
}

/// A formula without negation.
#[derive(Clone, Debug)]
pub(super) enum Formula {
    Atom(Atom),
    And(Vec<Formula>),
    Or(Vec<Formula>),
}

/// `terms + constant <= 0`, or `< 0`.
#[derive(Clone, Debug)]
pub(super) struct Atom {
    pub terms: Vec<(Variable, Number)>,
    pub constant: Number,
    pub strict: bool,
}

pub(super) fn script(bytes: &[u8]) -> Result<Script, VnnlibError> {
    let mut parser = Parser { lexer: Lexer::new(bytes), depth: 0, atoms: 0 };
    let mut declared = [Vec::new(), Vec::new()];
    let mut asserted = Vec::new();
    while let Some((token, place)) = parser.lexer.next()? {
        if token != Token::Open {
            return place.error("a command in brackets is wanted here");
        }
        let (command, place) = parser.word("the name of a command")?;
        match command {
            "declare-const" | "declare-fun" => parser.declare(command, place, &mut declared)?,
            "assert" => {
                asserted.push(parser.formula(false)?);
                parser.close()?;
            }
            "set-logic" | "set-info" | "set-option" | "check-sat" | "get-model" | "exit" => {
                parser.skip()?;
            }
            other => return place.error(format!("the command `{other}` is not read")),
        }
    }
    let [inputs, outputs] = declared;
    let (inputs, outputs) = (counted('X', inputs)?, counted('Y', outputs)?);
    match (inputs, outputs) {
        (0, _) => Err(VnnlibError::NoVariable("input X_0")),
        (_, 0) => Err(VnnlibError::NoVariable("output Y_0")),
        _ => {
            known(&asserted, inputs, outputs)?;
            Ok(Script { inputs, outputs, asserted })
        }
    }
}

/// The number of variables of a kind, which are numbered without gaps.
fn counted(kind: char, mut list: Vec<u32>) -> Result<usize, VnnlibError> {
    list.sort_unstable();
    match list.iter().enumerate().find(|&(i, &index)| index as usize != i) {
        Some((index, _)) => Err(VnnlibError::Gap { kind, index }),
        None => Ok(list.len()),
    }
}

/// Every variable that is used is declared.
fn known(formulas: &[Formula], inputs: usize, outputs: usize) -> Result<(), VnnlibError> {
    for formula in formulas {
        match formula {
            Formula::And(list) | Formula::Or(list) => known(list, inputs, outputs)?,
            Formula::Atom(atom) => {
                for (variable, _) in &atom.terms {
                    match variable {
                        Variable::Input(i) if *i as usize >= inputs => {
                            return Err(VnnlibError::Gap { kind: 'X', index: *i as usize });
                        }
                        Variable::Output(j) if *j as usize >= outputs => {
                            return Err(VnnlibError::Gap { kind: 'Y', index: *j as usize });
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    Ok(())
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    depth: usize,
    atoms: usize,
}

/// A linear term while it is read.
struct Linear {
    terms: BTreeMap<Variable, Number>,
    constant: Number,
}

impl<'a> Parser<'a> {
    fn token(&mut self, wanted: &str) -> Result<(Token<'a>, Place), VnnlibError> {
        let end = self.lexer.place();
        match self.lexer.next()? {
            Some(found) => Ok(found),
            None => end.error(format!("the text ends where {wanted} is wanted")),
        }
    }

    fn word(&mut self, wanted: &str) -> Result<(&'a str, Place), VnnlibError> {
        match self.token(wanted)? {
            (Token::Word(word), place) => Ok((word, place)),
            (_, place) => place.error(format!("{wanted} is wanted here")),
        }
    }

    fn close(&mut self) -> Result<(), VnnlibError> {
        match self.token("`)`")? {
            (Token::Close, _) => Ok(()),
            (_, place) => place.error("`)` is wanted here"),
        }
    }

    /// Passes over the rest of a command.
    fn skip(&mut self) -> Result<(), VnnlibError> {
        let mut open = 1_usize;
        while open > 0 {
            match self.token("`)`")?.0 {
                Token::Open => open += 1,
                Token::Close => open -= 1,
                Token::Word(_) => {}
            }
        }
        Ok(())
    }

    fn declare(
        &mut self,
        command: &str,
        place: Place,
        declared: &mut [Vec<u32>; 2],
    ) -> Result<(), VnnlibError> {
        let (name, at) = self.word("the name of a variable")?;
        if command == "declare-fun" {
            match (self.token("`()`")?.0, self.token("`()`")?.0) {
                (Token::Open, Token::Close) => {}
                _ => return place.error("functions with arguments are not read"),
            }
        }
        let (sort, sort_at) = self.word("`Real`")?;
        if sort != "Real" {
            return sort_at.error(format!("the sort `{sort}` is not read, only `Real`"));
        }
        let [inputs, outputs] = declared;
        let (list, index) = match variable(name) {
            Some(Variable::Input(i)) => (inputs, i),
            Some(Variable::Output(j)) => (outputs, j),
            None => return at.error(format!("the variable `{name}` is neither X_i nor Y_j")),
        };
        // files declare in order; a late repetition shows as a gap
        if list.last() == Some(&index) {
            return at.error(format!("`{name}` is declared twice"));
        }
        if list.len() >= VARIABLES_MAX {
            return at.error(format!("more than {VARIABLES_MAX} variables of a kind"));
        }
        list.push(index);
        self.close()
    }

    fn deeper(&mut self, place: Place) -> Result<(), VnnlibError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return place.error(format!("brackets are nested deeper than {DEPTH_MAX}"));
        }
        Ok(())
    }

    /// A formula; `negated` where an odd number of `not` stands around it.
    fn formula(&mut self, negated: bool) -> Result<Formula, VnnlibError> {
        let (token, place) = self.token("a formula")?;
        match token {
            Token::Open => {}
            Token::Word("true" | "false") => {
                let holds = (token == Token::Word("true")) != negated;
                return Ok(if holds { Formula::And(Vec::new()) } else { Formula::Or(Vec::new()) });
            }
            _ => return place.error("a formula in brackets is wanted here"),
        }
        self.deeper(place)?;
        let (operator, at) = self.word("an operator")?;
        let formula = match operator {
            "and" | "or" => {
                let parts = self.formulas(negated)?;
                // De Morgan
                if (operator == "and") != negated {
                    Formula::And(parts)
                } else {
                    Formula::Or(parts)
                }
            }
            "not" => {
                let inner = self.formula(!negated)?;
                self.close()?;
                inner
            }
            "=>" => {
                let parts = vec![self.formula(!negated)?, self.formula(negated)?];
                self.close()?;
                if negated { Formula::And(parts) } else { Formula::Or(parts) }
            }
            "<=" | ">=" | "<" | ">" | "=" => self.relation(operator, negated)?,
            other => return at.error(format!("the operator `{other}` is not read here")),
        };
        self.depth -= 1;
        Ok(formula)
    }

    fn formulas(&mut self, negated: bool) -> Result<Vec<Formula>, VnnlibError> {
        let mut parts = Vec::new();
        while !self.closes()? {
            parts.push(self.formula(negated)?);
        }
        Ok(parts)
    }

    /// Whether the next token closes; it is then taken.
    fn closes(&mut self) -> Result<bool, VnnlibError> {
        let before = (self.lexer.at(), self.lexer.place());
        match self.token("`)`")?.0 {
            Token::Close => Ok(true),
            _ => {
                self.lexer.back(before.0, before.1);
                Ok(false)
            }
        }
    }

    fn relation(&mut self, operator: &str, negated: bool) -> Result<Formula, VnnlibError> {
        let place = self.lexer.place();
        let left = self.term()?;
        let right = self.term()?;
        self.close()?;
        self.atoms += 1;
        if self.atoms > ATOMS_MAX {
            return Err(VnnlibError::TooMany(format!("{ATOMS_MAX} atoms")));
        }
        // `left - right` and `right - left` against nought
        let less = |strict| atom(&left, &right, strict, place).map(Formula::Atom);
        let more = |strict| atom(&right, &left, strict, place).map(Formula::Atom);
        match (operator, negated) {
            ("<=", false) | (">", true) => less(false),
            ("<", false) | (">=", true) => less(true),
            (">=", false) | ("<", true) => more(false),
            (">", false) | ("<=", true) => more(true),
            (_, false) => Ok(Formula::And(vec![less(false)?, more(false)?])),
            (_, true) => Ok(Formula::Or(vec![less(true)?, more(true)?])),
        }
    }

    fn term(&mut self) -> Result<Linear, VnnlibError> {
        let (token, place) = self.token("a term")?;
        match token {
            Token::Word(word) => leaf(word, place),
            Token::Close => place.error("a term is wanted here"),
            Token::Open => {
                self.deeper(place)?;
                let (operator, at) = self.word("an operator")?;
                let mut parts = Vec::new();
                while !self.closes()? {
                    parts.push(self.term()?);
                }
                self.depth -= 1;
                combined(operator, parts, at)
            }
        }
    }
}

/// `X_3`, `Y_0`; leading noughts are refused, so that a variable has one name.
fn variable(name: &str) -> Option<Variable> {
    let (kind, index) = name.split_at_checked(2)?;
    let plain = index == "0" || !index.starts_with('0');
    let digits = !index.is_empty() && index.bytes().all(|b| b.is_ascii_digit());
    let index = index.parse().ok().filter(|_| plain && digits)?;
    match kind {
        "X_" => Some(Variable::Input(index)),
        "Y_" => Some(Variable::Output(index)),
        _ => None,
    }
}

fn leaf(word: &str, place: Place) -> Result<Linear, VnnlibError> {
    if let Some(variable) = variable(word) {
        let terms = BTreeMap::from([(variable, Number::exact(1.0))]);
        return Ok(Linear { terms, constant: Number::exact(0.0) });
    }
    match Number::literal(word) {
        Some(constant) => Ok(Linear { terms: BTreeMap::new(), constant }),
        None => place.error(format!("`{word}` is neither a variable nor a number")),
    }
}

fn combined(operator: &str, parts: Vec<Linear>, place: Place) -> Result<Linear, VnnlibError> {
    let single = parts.len() == 1;
    let mut parts = parts.into_iter();
    let Some(mut total) = parts.next() else {
        return place.error(format!("`{operator}` has no operand"));
    };
    let range = || VnnlibError::At { place, problem: "a number beyond the range".into() };
    let minus = Number::exact(-1.0);
    match operator {
        "+" => {}
        "-" if single => total = scaled(total, minus).ok_or_else(range)?,
        "-" | "*" => {}
        other => return place.error(format!("the operator `{other}` is not read in a term")),
    }
    for part in parts {
        total = match operator {
            "*" if part.terms.is_empty() => scaled(total, part.constant),
            "*" if total.terms.is_empty() => scaled(part, total.constant),
            "*" => return place.error("a product of two variables is not linear"),
            "-" => scaled(part, minus).and_then(|part| added(total, &part)),
            _ => added(total, &part),
        }
        .ok_or_else(range)?;
    }
    Ok(total)
}

fn scaled(mut linear: Linear, factor: Number) -> Option<Linear> {
    for value in linear.terms.values_mut() {
        *value = value.times(factor)?;
    }
    linear.constant = linear.constant.times(factor)?;
    Some(linear)
}

fn added(mut total: Linear, part: &Linear) -> Option<Linear> {
    for (variable, factor) in &part.terms {
        let entry = total.terms.entry(*variable).or_insert(Number::exact(0.0));
        *entry = entry.plus(*factor)?;
    }
    total.constant = total.constant.plus(part.constant)?;
    Some(total)
}

/// `left - right <= 0`.
fn atom(left: &Linear, right: &Linear, strict: bool, place: Place) -> Result<Atom, VnnlibError> {
    let copy = Linear { terms: left.terms.clone(), constant: left.constant };
    let negative = Linear {
        terms: right.terms.iter().map(|(v, f)| (*v, f.negated())).collect(),
        constant: right.constant.negated(),
    };
    let Some(difference) = added(copy, &negative) else {
        return place.error("a number beyond the range");
    };
    let terms = difference.terms.into_iter().filter(|(_, factor)| !factor.is_zero()).collect();
    Ok(Atom { terms, constant: difference.constant, strict })
}
