//! Facts: every figure of a document, tied to the place in a signed statement where it stands.
//!
//! Owns the only way a figure gets into a document: by statement digest and JSON pointer, from
//! where its value is taken; text is made from that value alone. Must never take a figure from
//! anywhere else. Called by `document`.

use std::collections::BTreeMap;
use std::fmt;

use proofmark_evidence::digest::Digest;
use proofmark_evidence::pack::facts::{Fact as Record, Facts};
use proofmark_evidence::statement::{Statement, Subject};
use proofmark_schema::measurement::AssetDigest;
use serde_json::Value;

use crate::drill::DRILL;
use crate::predicate::MEASUREMENTS;
use crate::treatment::TREATMENTS;

/// A fact in a document: id and text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fact {
    id: String,
    text: String,
}

impl Fact {
    /// Id, the key in `facts.json`.
    pub fn id(&self) -> &str {
        &self.id
    }
    /// Text.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// How a value is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A share as percent with one decimal: `61.2 %`.
    Percent,
    /// A share as percent, as short as it reads back: thresholds and confidences, `60 %`.
    PlainPercent,
    /// A number with three digits after the point, more where it is small.
    Number,
    /// As short as reads back exactly: budgets, thresholds, seeds, counts.
    Plain,
}

/// Collects facts while a document is built.
#[derive(Debug, Default)]
pub struct FactBook {
    sources: BTreeMap<String, Quoted>,
    facts: Facts,
}

/// A statement that can be quoted.
#[derive(Clone, Debug)]
struct Quoted {
    digest: Digest,
    value: Value,
    /// Files whose bytes its figures hang on; empty for what people say.
    files: Vec<AssetDigest>,
}

impl FactBook {
    /// Makes a statement available; returns its digest in hex.
    ///
    /// # Errors
    /// [`FactError::Source`] if it has no canonical form.
    pub fn source(&mut self, statement: &Statement) -> Result<String, FactError> {
        let payload = statement.payload().map_err(|e| FactError::Source(e.to_string()))?;
        let value =
            serde_json::from_slice(&payload).map_err(|e| FactError::Source(e.to_string()))?;
        let digest = Digest::of(&payload);
        let measured = [MEASUREMENTS, TREATMENTS, DRILL];
        let files = match measured.contains(&statement.predicate_type.as_str()) {
            true => statement.subject.iter().filter_map(file).collect(),
            false => Vec::new(),
        };
        self.sources.insert(digest.hex(), Quoted { digest, value, files });
        Ok(digest.hex())
    }

    /// Files whose bytes the figures of a statement hang on, by digest.
    pub fn files(&self, statement: &str) -> &[AssetDigest] {
        self.sources.get(statement).map(|q| q.files.as_slice()).unwrap_or_default()
    }

    /// Digest of the statement a fact stands in.
    pub fn statement_of(&self, fact: &Fact) -> Option<Digest> {
        self.facts.get(fact.id()).map(|record| record.statement)
    }

    /// The fact `id`: what stands at `pointer` of `statement`, printed in `form`.
    ///
    /// # Errors
    /// [`FactError`] if nothing stands there, it is no number where one is wanted, or the id
    /// already names another fact.
    pub fn fact(&mut self, id: &str, at: &At<'_>, form: Form) -> Result<Fact, FactError> {
        let (statement, value) = self.stands(id, at)?;
        let text = print(&value, form).ok_or_else(|| FactError::Form { id: id.to_owned() })?;
        let pointer = at.pointer.clone();
        self.add(id, Record { statement, pointer, value, text })
    }

    /// Words of a statement, as one fact per line of the report: a fact is short and plain.
    ///
    /// # Errors
    /// [`FactError`] as [`FactBook::fact`].
    pub fn words(&mut self, id: &str, at: &At<'_>) -> Result<Vec<Fact>, FactError> {
        let (statement, value) = self.stands(id, at)?;
        let said = value.as_str().ok_or_else(|| FactError::Form { id: id.to_owned() })?;
        let mut facts = Vec::new();
        for (index, text) in lines(&plain(said)).into_iter().enumerate() {
            let id = if index == 0 { id.to_owned() } else { format!("{id}#line/{index}") };
            let (pointer, value) = (at.pointer.clone(), value.clone());
            facts.push(self.add(&id, Record { statement, pointer, value, text })?);
        }
        Ok(facts)
    }

    fn stands(&self, id: &str, at: &At<'_>) -> Result<(Digest, Value), FactError> {
        let absent = || FactError::Absent { id: id.to_owned(), pointer: at.pointer.clone() };
        let quoted = self.sources.get(at.statement).ok_or_else(absent)?;
        let value = quoted.value.pointer(&at.pointer).filter(|v| !v.is_null());
        Ok((quoted.digest, value.ok_or_else(absent)?.clone()))
    }

    fn add(&mut self, id: &str, record: Record) -> Result<Fact, FactError> {
        let id = fact_id(id);
        let fact = Fact { id: id.clone(), text: record.text.clone() };
        match self.facts.get(&id) {
            Some(known) if *known != record => Err(FactError::Taken(id)),
            Some(_) => Ok(fact),
            None => {
                self.facts.insert(id, record);
                Ok(fact)
            }
        }
    }

    /// As [`FactBook::fact`], or `None` where nothing stands at the pointer.
    ///
    /// # Errors
    /// [`FactError`] as there, but for an absent value.
    pub fn fact_if_any(
        &mut self,
        id: &str,
        at: &At<'_>,
        form: Form,
    ) -> Result<Option<Fact>, FactError> {
        match self.fact(id, at, form) {
            Ok(fact) => Ok(Some(fact)),
            Err(FactError::Absent { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All facts, as they are written.
    pub fn finish(self) -> Facts {
        self.facts
    }
}

/// A subject that is a file of the declared system, not a program or a policy.
fn file(subject: &Subject) -> Option<AssetDigest> {
    let ours = ["model/", "data/", "expected/"].iter().any(|kind| subject.name.starts_with(kind));
    let sha256 = subject.digest.sha256.hex();
    ours.then(|| AssetDigest { name: subject.name.clone(), sha256 })
}

/// A place in a statement.
#[derive(Clone, Debug)]
pub struct At<'a> {
    /// Statement digest, hex.
    pub statement: &'a str,
    /// RFC 6901 pointer.
    pub pointer: String,
}

impl<'a> At<'a> {
    /// A place.
    pub fn new(statement: &'a str, pointer: impl fmt::Display) -> Self {
        Self { statement, pointer: pointer.to_string() }
    }
}

/// Why a fact cannot be stated.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FactError {
    /// The statement does not read.
    #[error("a statement cannot be quoted: {0}")]
    Source(String),
    /// Nothing stands there.
    #[error("fact `{id}`: nothing stands at `{pointer}`; please report this as a bug")]
    Absent {
        /// Fact.
        id: String,
        /// Pointer.
        pointer: String,
    },
    /// Not printable in the asked form.
    #[error("fact `{id}` is not of the form it is printed in; please report this as a bug")]
    Form {
        /// Fact.
        id: String,
    },
    /// Two facts of one name.
    #[error("two facts are named `{0}`; please report this as a bug")]
    Taken(String),
}

/// The text of `value` in `form`; `None` where they do not fit.
pub fn print(value: &Value, form: Form) -> Option<String> {
    match form {
        Form::Percent => Some(format!("{:.1} %", no_minus_zero(100.0 * value.as_f64()?, 0.05))),
        Form::PlainPercent => Some(format!("{} %", shortest(100.0 * value.as_f64()?))),
        Form::Number => Some(number(value.as_f64()?)),
        Form::Plain => value.is_number().then(|| match value.as_u64() {
            Some(whole) => whole.to_string(),
            None => value.as_f64().unwrap_or_default().to_string(),
        }),
    }
}

/// An id as it stands in the page: plain, and short enough for a pack.
pub fn fact_id(id: &str) -> String {
    let id = plain(id);
    if id.len() <= LINE_BYTES_MAX {
        return id;
    }
    let digest: String = Digest::of(id.as_bytes()).hex().chars().take(ID_DIGEST_DIGITS).collect();
    let mut cut = LINE_BYTES_MAX - ID_DIGEST_DIGITS - 1;
    while !id.is_char_boundary(cut) {
        cut -= 1;
    }
    let (head, _) = id.split_at(cut);
    format!("{head}~{digest}")
}

/// Words without the marks that markup would escape, on one line.
fn plain(said: &str) -> String {
    let mark = |c: char| match c {
        '"' => '\u{201d}',
        '\'' => '\u{2019}',
        '<' => '\u{2039}',
        '>' => '\u{203a}',
        '&' => '+',
        c if c.is_control() => ' ',
        c => c,
    };
    said.chars().map(mark).collect()
}

/// Pieces of at most [`LINE_BYTES_MAX`] bytes, cut between words where there are any.
fn lines(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let mut word = word;
        while word.len() > LINE_BYTES_MAX {
            let cut = (1..=LINE_BYTES_MAX).rev().find(|at| word.is_char_boundary(*at));
            let (head, tail) = word.split_at(cut.unwrap_or(word.len()));
            lines.push(head.to_owned());
            word = tail;
        }
        match lines.last_mut() {
            Some(last) if last.len() + 1 + word.len() <= LINE_BYTES_MAX => {
                last.push(' ');
                last.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

fn number(value: f64) -> String {
    if value == 0.0 {
        "0".to_owned()
    } else if value.abs() < SMALL {
        format!("{value:.2e}")
    } else if value.abs() < LARGE {
        format!("{value:.3}")
    } else {
        format!("{value:.1}")
    }
}

/// Without the last bits that a multiplication by a hundred leaves behind.
fn shortest(value: f64) -> f64 {
    (value * PERCENT_GRAIN).round() / PERCENT_GRAIN
}

/// A value that rounds to zero is printed without a sign.
fn no_minus_zero(value: f64, half_unit: f64) -> f64 {
    if value.abs() < half_unit { 0.0 } else { value }
}

/// Percents of thresholds are kept to this many parts.
const PERCENT_GRAIN: f64 = 1e9;
/// Digits of the digest that keeps a shortened id apart from others.
const ID_DIGEST_DIGITS: usize = 16;
/// Id and text of a fact in a pack are at most 200 bytes long.
const LINE_BYTES_MAX: usize = 180;
/// Below, three decimals would hide the figure.
const SMALL: f64 = 0.01;
/// From here on, one decimal is enough.
const LARGE: f64 = 1000.0;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn values_are_printed_by_form() {
        let cases = [
            (json!(0.6123), Form::Percent, Some("61.2 %")),
            (json!(1), Form::Percent, Some("100.0 %")),
            (json!(0), Form::Percent, Some("0.0 %")),
            (json!(-0.0001), Form::Percent, Some("0.0 %")),
            (json!(-0.25), Form::Percent, Some("-25.0 %")),
            (json!(0.6), Form::PlainPercent, Some("60 %")),
            (json!(0.07), Form::PlainPercent, Some("7 %")),
            (json!(0.6125), Form::PlainPercent, Some("61.25 %")),
            (json!(0.78131), Form::Number, Some("0.781")),
            (json!(0.000123), Form::Number, Some("1.23e-4")),
            (json!(12345.67), Form::Number, Some("12345.7")),
            (json!(0), Form::Number, Some("0")),
            (json!(0.05), Form::Plain, Some("0.05")),
            (json!(1000), Form::Plain, Some("1000")),
            (json!(3.0), Form::Plain, Some("3")),
            (json!("words"), Form::Percent, None),
        ];
        for (value, form, wanted) in cases {
            assert_eq!(print(&value, form).as_deref(), wanted, "{value} {form:?}");
        }
    }

    fn book() -> (FactBook, String) {
        let mut book = FactBook::default();
        let statement = Statement::new("urn:test", json!({"a": [0.5, null], "b": "x"}))
            .subject("m", Digest::of(b"m"));
        let digest = book.source(&statement).unwrap();
        (book, digest)
    }

    #[test]
    fn a_fact_takes_its_value_from_the_statement() {
        let (mut book, digest) = book();
        let at = At::new(&digest, "/predicate/a/0");
        assert_eq!(book.fact("f", &at, Form::Percent).unwrap().text(), "50.0 %");
        assert_eq!(book.fact("f", &at, Form::Percent).unwrap().id(), "f");
        let other = book.fact("f", &at, Form::Plain).unwrap_err();
        assert_eq!(other, FactError::Taken("f".into()));
        let facts = book.finish();
        assert_eq!(facts["f"].value, json!(0.5));
        assert_eq!(facts.len(), 1);
    }

    #[test]
    fn what_does_not_stand_there_cannot_be_stated() {
        let (mut book, digest) = book();
        for pointer in ["/predicate/a/1", "/predicate/a/2", "/predicate/c"] {
            let at = At::new(&digest, pointer);
            assert!(book.fact("f", &at, Form::Plain).is_err(), "{pointer}");
            assert_eq!(book.fact_if_any("f", &at, Form::Plain).unwrap(), None);
        }
        let at = At::new(&digest, "/predicate/b");
        assert_eq!(
            book.fact("f", &at, Form::Plain).unwrap_err(),
            FactError::Form { id: "f".into() }
        );
        let at = At::new("00", "/predicate/b");
        assert!(book.words("f", &at).is_err());
    }

    #[test]
    fn long_ids_are_cut_and_stay_apart() {
        let (a, b) = (format!("{}a", "\u{e9}".repeat(120)), format!("{}b", "\u{e9}".repeat(120)));
        assert!(fact_id(&a).len() <= LINE_BYTES_MAX && fact_id(&a) != fact_id(&b));
        assert_eq!(
            fact_id("mlp/test/accuracy/group:age=<25"),
            "mlp/test/accuracy/group:age=\u{2039}25"
        );
    }

    #[test]
    fn words_become_short_plain_lines_that_lose_nothing_but_marks() {
        let said = format!("it's \"<so>\" & {} {}", "word ".repeat(60), "x".repeat(500));
        let pieces = lines(&plain(&said));
        assert!(pieces.iter().all(|l| !l.is_empty() && l.len() <= LINE_BYTES_MAX));
        assert_eq!(pieces.concat().replace(' ', ""), plain(&said).replace(' ', ""));
        assert!(!pieces.concat().contains(['"', '\'', '<', '>', '&']));
        let (mut book, digest) = book();
        let facts = book.words("w", &At::new(&digest, "/predicate/b")).unwrap();
        assert_eq!((facts.len(), facts[0].text()), (1, "x"));
    }

    proptest! {
        #[test]
        fn percents_read_back_within_half_a_unit(value in 0.0f64..=1.0) {
            let text = print(&json!(value), Form::Percent).unwrap();
            let read: f64 = text.trim_end_matches(" %").parse().unwrap();
            prop_assert!((read - 100.0 * value).abs() <= 0.05 + 1e-9, "{text}");
        }

        #[test]
        fn plain_numbers_read_back_exactly(value in proptest::num::f64::NORMAL) {
            let text = print(&json!(value), Form::Plain).unwrap();
            prop_assert_eq!(text.parse::<f64>().unwrap(), value);
        }
    }
}
