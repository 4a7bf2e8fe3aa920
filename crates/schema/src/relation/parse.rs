//! From the text of a relation to its tree: words, then one climb by precedence.
//!
//! Owns precedence and limits. Truths and numbers are read by the same grammar and told apart
//! afterwards, so that nothing is read twice and hostile nesting costs no time. Must never
//! recurse deeper than [`DEPTH_MAX`].
//!
//! From loose to tight: `if then else`, `or`, `and`, `not`, comparisons, `+ -`, `* /`, the sign,
//! `^` (to the right). `a < b < c` is `a < b and b < c`.

use std::ops::Range;

use super::{Comparison, FUNCTIONS, Formula, Function, Name, Operator, RelationError, Term};

/// Words that are no columns unless in backticks.
pub(super) const RESERVED: [&str; 6] = ["if", "then", "else", "and", "or", "not"];

/// Parses a whole relation.
pub(super) fn formula(text: &str) -> Result<Formula, RelationError> {
    if text.len() > LENGTH_MAX {
        let message = format!("the relation has {} bytes, at most {LENGTH_MAX}", text.len());
        let help = "split it: every relation of the list must hold".into();
        return Err(RelationError { message, span: 0..0, help });
    }
    let tokens = words(text)?;
    let mut parser = Parser { tokens: &tokens, at: 0, end: text.len(), depth: 0 };
    let node = parser.whole()?;
    if let Some(token) = parser.peek() {
        let help = "one relation ends here; combine several by `and`";
        return Err(fault(token.span.clone(), "this does not belong to the relation", help));
    }
    node.truth()
}

/// Whether a name needs no backticks.
pub(super) fn is_plain(name: &str) -> bool {
    let mut letters = name.chars();
    letters.next().is_some_and(|c| c.is_alphabetic() || c == '_')
        && letters.all(|c| c.is_alphanumeric() || c == '_' || c == '.')
}

#[derive(Clone, Debug, PartialEq)]
enum Kind {
    Number(f64),
    Text(String),
    Word(String),
    Quoted(String),
    Sign(&'static str),
}

#[derive(Clone, Debug)]
struct Token {
    kind: Kind,
    span: Range<usize>,
}

fn words(text: &str) -> Result<Vec<Token>, RelationError> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let first = rest.chars().next().unwrap_or(' ');
        if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        }
        let (kind, length) = word(rest, first, at)?;
        tokens.push(Token { kind, span: at..at + length });
        at += length;
        if tokens.len() > TOKENS_MAX {
            let help = "split it: every relation of the list must hold";
            return Err(fault(at..at, "the relation has too many parts", help));
        }
    }
    Ok(tokens)
}

/// The next word of `rest` and its length in bytes.
fn word(rest: &str, first: char, at: usize) -> Result<(Kind, usize), RelationError> {
    if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
        return Ok((Kind::Sign(sign), sign.len()));
    }
    match first {
        '"' | '\'' | '`' => {
            let inside = rest.get(1..).unwrap_or_default();
            let Some(length) = inside.find(first).filter(|length| *length > 0 || first != '`')
            else {
                let help = "close it by the same sign; it cannot hold that sign itself";
                return Err(fault(at..at + rest.len(), "this is quoted without an end", help));
            };
            let inner = inside.get(..length).unwrap_or_default().to_owned();
            let kind = if first == '`' { Kind::Quoted(inner) } else { Kind::Text(inner) };
            Ok((kind, length + 2))
        }
        c if c.is_ascii_digit() || c == '.' => number(rest, at),
        c if c.is_alphabetic() || c == '_' => {
            let inside = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
            let length = rest.find(|c| !inside(c)).unwrap_or(rest.len());
            Ok((Kind::Word(rest.get(..length).unwrap_or_default().to_owned()), length))
        }
        other => {
            let span = at..at + other.len_utf8();
            let help = "columns whose names are no plain words stand in backticks";
            Err(fault(span, format!("`{other}` has no meaning here"), help))
        }
    }
}

fn number(rest: &str, at: usize) -> Result<(Kind, usize), RelationError> {
    let bytes = rest.as_bytes();
    let digits = |from: usize| {
        bytes.iter().skip(from).take_while(|b| b.is_ascii_digit() || **b == b'.').count()
    };
    let mut length = digits(0);
    if matches!(bytes.get(length), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(length + 1), Some(b'+' | b'-')));
        let power = bytes.iter().skip(length + 1 + sign).take_while(|b| b.is_ascii_digit()).count();
        if power > 0 {
            length += 1 + sign + power;
        }
    }
    let text = rest.get(..length).unwrap_or_default();
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok((Kind::Number(number), length)),
        _ => {
            let help = "write e.g. `36`, `0.25` or `1e-3`";
            Err(fault(at..at + length.max(1), format!("`{text}` is no number"), help))
        }
    }
}

/// A tree in which truths and numbers are not told apart yet.
struct Node {
    kind: Part,
    span: Range<usize>,
}

enum Part {
    Term(Term),
    Minus(Box<Node>),
    Binary(Operator, Box<Node>, Box<Node>),
    Call(Function, Vec<Node>),
    /// Sides, and how each is compared with the next.
    Compare(Vec<Node>, Vec<Comparison>),
    And(Vec<Node>),
    Or(Vec<Node>),
    Not(Box<Node>),
    If(Box<Node>, Box<Node>, Option<Box<Node>>),
}

impl Node {
    fn new(kind: Part, span: Range<usize>) -> Self {
        Self { kind, span }
    }

    fn truth(self) -> Result<Formula, RelationError> {
        let boxed = |node: Box<Self>| node.truth().map(Box::new);
        let all = |nodes: Vec<Self>| nodes.into_iter().map(Self::truth).collect::<Result<_, _>>();
        match self.kind {
            Part::And(parts) => Ok(Formula::and(all(parts)?)),
            Part::Or(parts) => Ok(Formula::or(all(parts)?)),
            Part::Not(inner) => Ok(Formula::Not(boxed(inner)?)),
            Part::If(when, then, otherwise) => Ok(Formula::If {
                when: boxed(when)?,
                then: boxed(then)?,
                otherwise: otherwise.map(boxed).transpose()?,
            }),
            Part::Compare(sides, hows) => {
                let sides: Vec<Term> =
                    sides.into_iter().map(Self::side).collect::<Result<_, _>>()?;
                let pairs = sides.iter().zip(sides.iter().skip(1)).zip(hows);
                let parts = pairs.map(|((left, right), how)| Formula::Compare {
                    how,
                    left: left.clone(),
                    right: right.clone(),
                });
                Ok(Formula::and(parts.collect()))
            }
            _ => {
                let help = "compare it with something, e.g. `amount <= 20000`";
                Err(fault(self.span, "this is a number, where a comparison is needed", help))
            }
        }
    }

    /// A side of a comparison: a number or a text.
    fn side(self) -> Result<Term, RelationError> {
        match self.kind {
            Part::Term(text @ Term::Text(_)) => Ok(text),
            _ => self.number(),
        }
    }

    fn number(self) -> Result<Term, RelationError> {
        let boxed = |node: Box<Self>| node.number().map(Box::new);
        match self.kind {
            Part::Term(Term::Text(_)) => {
                let help = "a text is compared as a whole, e.g. `purpose = \"repairs\"`";
                Err(fault(self.span, "a text has no arithmetic", help))
            }
            Part::Term(term) => Ok(term),
            Part::Minus(inner) => Ok(Term::Minus(boxed(inner)?)),
            Part::Binary(operator, left, right) => {
                Ok(Term::Binary(operator, boxed(left)?, boxed(right)?))
            }
            Part::Call(function, arguments) => {
                let arguments = arguments.into_iter().map(Self::number);
                Ok(Term::Call(function, arguments.collect::<Result<_, _>>()?))
            }
            _ => {
                let help = "truths are joined by `and`, `or` and `if`, not by arithmetic";
                Err(fault(self.span, "this is true or false, where a number is needed", help))
            }
        }
    }
}

struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
    end: usize,
    depth: usize,
}

type Parsed = Result<Node, RelationError>;

impl Parser<'_> {
    fn whole(&mut self) -> Parsed {
        self.deeper(|parser| {
            if !parser.takes_word("if") {
                return parser.either();
            }
            let start = parser.last_start();
            let when = parser.whole()?;
            parser.wants_word("then")?;
            let then = parser.whole()?;
            let otherwise =
                if parser.takes_word("else") { Some(Box::new(parser.whole()?)) } else { None };
            let span = start..otherwise.as_ref().map_or(then.span.end, |o| o.span.end);
            Ok(Node::new(Part::If(Box::new(when), Box::new(then), otherwise), span))
        })
    }

    fn either(&mut self) -> Parsed {
        let first = self.both()?;
        let mut parts = vec![first];
        while self.takes_word("or") {
            parts.push(self.both()?);
        }
        Ok(several(parts, Part::Or))
    }

    fn both(&mut self) -> Parsed {
        let first = self.negated()?;
        let mut parts = vec![first];
        while self.takes_word("and") {
            parts.push(self.negated()?);
        }
        Ok(several(parts, Part::And))
    }

    fn negated(&mut self) -> Parsed {
        if !self.takes_word("not") {
            return self.compared();
        }
        let start = self.last_start();
        let inner = self.deeper(Self::negated)?;
        let span = start..inner.span.end;
        Ok(Node::new(Part::Not(Box::new(inner)), span))
    }

    fn compared(&mut self) -> Parsed {
        let first = self.sum()?;
        let (mut sides, mut hows) = (vec![first], Vec::new());
        while let Some((_, how)) = COMPARISONS.iter().find(|(sign, _)| self.takes(sign)) {
            hows.push(*how);
            sides.push(self.sum()?);
        }
        if hows.is_empty() {
            return Ok(sides.swap_remove(0));
        }
        let span = around(&sides);
        Ok(Node::new(Part::Compare(sides, hows), span))
    }

    fn sum(&mut self) -> Parsed {
        let mut left = self.product()?;
        loop {
            let operator = match () {
                () if self.takes("+") => Operator::Add,
                () if self.takes("-") => Operator::Subtract,
                () => return Ok(left),
            };
            left = binary(operator, left, self.product()?);
        }
    }

    fn product(&mut self) -> Parsed {
        let mut left = self.signed()?;
        loop {
            let operator = match () {
                () if self.takes("*") => Operator::Multiply,
                () if self.takes("/") => Operator::Divide,
                () => return Ok(left),
            };
            left = binary(operator, left, self.signed()?);
        }
    }

    fn signed(&mut self) -> Parsed {
        if self.takes("-") {
            let start = self.last_start();
            let inner = self.deeper(Self::signed)?;
            let span = start..inner.span.end;
            return Ok(Node::new(Part::Minus(Box::new(inner)), span));
        }
        let base = self.atom()?;
        if self.takes("^") {
            let power = self.deeper(Self::signed)?;
            return Ok(binary(Operator::Power, base, power));
        }
        Ok(base)
    }

    fn atom(&mut self) -> Parsed {
        let Some(token) = self.peek().cloned() else {
            let help = "a column, a number or a parenthesis is missing";
            return Err(fault(self.end..self.end, "the relation ends too early", help));
        };
        let span = token.span.clone();
        match token.kind {
            Kind::Sign("(") => {
                self.at += 1;
                let mut inner = self.whole()?;
                self.wants(")", &span)?;
                inner.span = span.start..self.last_end();
                Ok(inner)
            }
            Kind::Number(number) => {
                self.at += 1;
                Ok(Node::new(Part::Term(Term::Number(number)), span))
            }
            Kind::Text(text) => {
                self.at += 1;
                Ok(Node::new(Part::Term(Term::Text(text)), span))
            }
            Kind::Quoted(text) => {
                self.at += 1;
                let name = Name { text, span: span.clone() };
                Ok(Node::new(Part::Term(Term::Column(name)), span))
            }
            Kind::Word(text) if !RESERVED.contains(&text.as_str()) => {
                self.at += 1;
                if self.takes("(") {
                    return self.call(&text, span);
                }
                let name = Name { text, span: span.clone() };
                Ok(Node::new(Part::Term(Term::Column(name)), span))
            }
            Kind::Word(_) | Kind::Sign(_) => {
                let help = "a column, a number or a parenthesis belongs here";
                Err(fault(span, "this stands where a value is needed", help))
            }
        }
    }

    fn call(&mut self, name: &str, span: Range<usize>) -> Parsed {
        let Some((_, function)) = FUNCTIONS.iter().find(|(known, _)| *known == name) else {
            let known: Vec<&str> = FUNCTIONS.iter().map(|(known, _)| *known).collect();
            let help = match crate::system::nearest(name, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there are {}", known.join(", ")),
            };
            return Err(fault(span, format!("no function is called `{name}`"), help));
        };
        let first = self.whole()?;
        let mut arguments = vec![first];
        while self.takes(",") {
            arguments.push(self.whole()?);
        }
        self.wants(")", &span)?;
        let span = span.start..self.last_end();
        let many = matches!(function, Function::Min | Function::Max);
        if many != (arguments.len() > 1) {
            let help = "`min` and `max` take at least two values, all others one";
            return Err(fault(span, "the number of values does not fit the function", help));
        }
        Ok(Node::new(Part::Call(*function, arguments), span))
    }

    /// Counts nesting, so that a hostile text cannot use up the stack.
    fn deeper(&mut self, inner: impl FnOnce(&mut Self) -> Parsed) -> Parsed {
        if self.depth >= DEPTH_MAX {
            let span = self.peek().map_or(self.end..self.end, |token| token.span.clone());
            let message = format!("the relation is nested deeper than {DEPTH_MAX} levels");
            return Err(fault(span, message, "split it: every relation of the list must hold"));
        }
        self.depth += 1;
        let node = inner(self);
        self.depth -= 1;
        node
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn takes(&mut self, sign: &str) -> bool {
        let takes = matches!(self.peek(), Some(Token { kind: Kind::Sign(s), .. }) if *s == sign);
        self.at += usize::from(takes);
        takes
    }

    fn takes_word(&mut self, word: &str) -> bool {
        let takes = matches!(self.peek(), Some(Token { kind: Kind::Word(w), .. }) if w == word);
        self.at += usize::from(takes);
        takes
    }

    fn wants(&mut self, sign: &str, opened: &Range<usize>) -> Result<(), RelationError> {
        if self.takes(sign) {
            return Ok(());
        }
        let message = format!("a `{sign}` is missing");
        Err(fault(opened.clone(), message, "what is opened here is not closed"))
    }

    fn wants_word(&mut self, word: &str) -> Result<(), RelationError> {
        if self.takes_word(word) {
            return Ok(());
        }
        let span = self.peek().map_or(self.end..self.end, |token| token.span.clone());
        let help = "write `if <condition> then <relation>`, and `else <relation>` if needed";
        Err(fault(span, format!("`{word}` is missing here"), help))
    }

    fn last_start(&self) -> usize {
        self.tokens.get(self.at.wrapping_sub(1)).map_or(0, |token| token.span.start)
    }

    fn last_end(&self) -> usize {
        self.tokens.get(self.at.wrapping_sub(1)).map_or(0, |token| token.span.end)
    }
}

fn binary(operator: Operator, left: Node, right: Node) -> Node {
    let span = left.span.start..right.span.end;
    Node::new(Part::Binary(operator, Box::new(left), Box::new(right)), span)
}

fn several(mut parts: Vec<Node>, join: fn(Vec<Node>) -> Part) -> Node {
    if parts.len() == 1 {
        return parts.swap_remove(0);
    }
    let span = around(&parts);
    Node::new(join(parts), span)
}

fn around(parts: &[Node]) -> Range<usize> {
    let (first, last) = (parts.first(), parts.last());
    first.map_or(0, |p| p.span.start)..last.map_or(0, |p| p.span.end)
}

fn fault(span: Range<usize>, message: impl Into<String>, help: impl Into<String>) -> RelationError {
    RelationError { message: message.into(), span, help: help.into() }
}

/// Signs, the longer ones first.
const SIGNS: [&str; 15] =
    ["==", "!=", "<=", ">=", "=", "<", ">", "+", "-", "*", "/", "^", "(", ")", ","];

const COMPARISONS: [(&str, Comparison); 7] = [
    ("==", Comparison::Equal),
    ("!=", Comparison::NotEqual),
    ("<=", Comparison::AtMost),
    (">=", Comparison::AtLeast),
    ("=", Comparison::Equal),
    ("<", Comparison::Less),
    (">", Comparison::Greater),
];

/// Bytes of one relation: a page of text; what needs more is better split.
const LENGTH_MAX: usize = 4096;
/// Words of one relation: bounds the tree, and with it every walk over it.
const TOKENS_MAX: usize = 1024;
/// Levels of nesting: each costs a few hundred bytes of stack.
const DEPTH_MAX: usize = 48;
