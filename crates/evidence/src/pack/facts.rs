//! Facts: every figure of a report resolves to a signed statement.
//!
//! Owns `data/facts.json`, its check against the statements, and the strict scan of the report.
//! Must never round or compare loosely: the value in the statement is the value of the fact, the
//! text in the report is the text of the fact. Called by the pack's writer and verifier.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::canonical::{self, CanonicalError};
use crate::digest::Digest;

/// Facts by id.
pub type Facts = BTreeMap<String, Fact>;

/// One figure and where it comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fact {
    /// SHA-256 of the payload of the statement that holds it.
    pub statement: Digest,
    /// JSON pointer (RFC 6901) into that payload.
    pub pointer: String,
    /// The value found there.
    pub value: Value,
    /// How the report shows it; no `<`, `>`, `&` or quotes.
    pub text: String,
}

/// The bytes of `facts.json`.
///
/// # Errors
/// [`FactError`] if an id or text could not stand in a report as it is.
pub fn to_json(facts: &Facts) -> Result<Vec<u8>, FactError> {
    facts.iter().try_for_each(|(id, fact)| check(id, fact))?;
    Ok(canonical::to_vec(facts)?)
}

/// Reads `facts.json`, which must be canonical.
///
/// # Errors
/// [`FactError`] if it is another form or a fact is not fit for a report.
pub fn parse(bytes: &[u8]) -> Result<Facts, FactError> {
    let facts: Facts = serde_json::from_value(canonical::parse(bytes)?)
        .map_err(|e| FactError::Shape(e.to_string()))?;
    facts.iter().try_for_each(|(id, fact)| check(id, fact))?;
    Ok(facts)
}

/// Whether the fact stands in the payload of its statement.
pub(super) fn resolves(fact: &Fact, payload: &Value) -> bool {
    payload.pointer(&fact.pointer).is_some_and(|found| same(found, &fact.value))
}

/// What is wrong with the figures of a report: spans that are malformed, unknown or show another
/// text, and facts that are not shown.
pub(super) fn scan_report(html: &str, facts: &Facts) -> Vec<String> {
    let mut faults = Vec::new();
    let mut shown = BTreeSet::new();
    let lower = html.to_ascii_lowercase();
    for (place, _) in lower.match_indices(ATTRIBUTE) {
        let (before, rest) = html.split_at_checked(place).unwrap_or_default();
        let after = rest.get(ATTRIBUTE.len()..).unwrap_or_default();
        if before.ends_with('[') && after.starts_with(']') {
            continue; // a selector of the style sheet
        }
        match span(before, rest) {
            Some((id, text)) if facts.get(id).is_some_and(|fact| fact.text == text) => {
                shown.insert(id);
            }
            Some((id, text)) => match facts.get(id) {
                Some(fact) => faults.push(format!(
                    "`{id}` shows `{}`, its fact says `{}`",
                    clip(text),
                    fact.text
                )),
                None => faults.push(format!("`{}` is no known fact", clip(id))),
            },
            None => faults.push(format!("malformed fact at byte {place}: `{}`", clip(rest))),
        }
    }
    for id in facts.keys().filter(|id| !shown.contains(id.as_str())) {
        faults.push(format!("`{id}` is not shown"));
    }
    faults
}

/// Why facts cannot stand in a report.
#[derive(Debug, thiserror::Error)]
pub enum FactError {
    /// Not canonical JSON.
    #[error("facts: {0}")]
    Canonical(#[from] CanonicalError),
    /// JSON, but not facts.
    #[error("facts: {0}")]
    Shape(String),
    /// An id that does not fit into an attribute.
    #[error("`{0}` cannot be the id of a fact: 1 to 200 printable characters, no quotes, <, >, &")]
    Id(String),
    /// A text that would be escaped.
    #[error("the text of fact `{0}` is empty, too long, or holds quotes, <, > or &")]
    Text(String),
}

fn check(id: &str, fact: &Fact) -> Result<(), FactError> {
    if !is_plain(id) {
        return Err(FactError::Id(clip(id)));
    }
    if !is_plain(&fact.text) {
        return Err(FactError::Text(id.to_owned()));
    }
    Ok(())
}

fn is_plain(text: &str) -> bool {
    let bad = |c: char| c.is_control() || matches!(c, '<' | '>' | '&' | '"' | '\'');
    !text.is_empty() && text.len() <= TEXT_BYTES_MAX && !text.chars().any(bad)
}

// `<span data-fact="ID">TEXT</span>`, exactly.
fn span<'a>(before: &str, rest: &'a str) -> Option<(&'a str, &'a str)> {
    if !before.ends_with("<span ") {
        return None;
    }
    let (id, rest) = rest.strip_prefix(ATTRIBUTE)?.strip_prefix("=\"")?.split_once("\">")?;
    let (text, _) = rest.split_once("</span>")?;
    (is_plain(id) && !text.contains('<')).then_some((id, text))
}

fn same(found: &Value, value: &Value) -> bool {
    match (found, value) {
        // Canonical JSON has one number type; 1 and 1.0 are the same bytes there.
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        _ => found == value,
    }
}

fn clip(text: &str) -> String {
    text.chars().take(60).collect()
}

const ATTRIBUTE: &str = "data-fact";
const TEXT_BYTES_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn facts() -> Facts {
        let fact = |pointer: &str, value, text: &str| Fact {
            statement: Digest::of(b"s"),
            pointer: pointer.to_owned(),
            value,
            text: text.to_owned(),
        };
        BTreeMap::from([
            ("mlp/accuracy".to_owned(), fact("/predicate/a~1b/0", json!(0.75), "75.0 %")),
            ("n".to_owned(), fact("/predicate/n", json!(200), "200")),
        ])
    }

    #[test]
    fn facts_resolve_exactly() {
        let facts = facts();
        assert_eq!(parse(&to_json(&facts).unwrap()).unwrap(), facts);
        let payload = json!({"predicate": {"a/b": [0.75], "n": 200.0}});
        assert!(facts.values().all(|fact| resolves(fact, &payload)));
        for other in [
            json!({"predicate": {"a/b": [0.750_000_1], "n": 201}}),
            json!({"predicate": {"a/b": {"0": 0.7}, "n": "200"}}),
            json!({"predicate": {}}),
        ] {
            assert!(!facts.values().any(|fact| resolves(fact, &other)), "{other}");
        }
    }

    #[test]
    fn the_report_is_scanned_strictly() {
        let facts = facts();
        let n = r#"<span data-fact="n">200</span>"#;
        let a = r#"<span data-fact="mlp/accuracy">75.0 %</span>"#;
        let style = "<style>[data-fact] { color: red }</style>";
        assert_eq!(scan_report(&format!("{style}{a} of {n}, {n}"), &facts), [""; 0]);
        for (bad, part) in [
            (n.to_owned(), "`mlp/accuracy` is not shown"),
            (format!("{a}{}", n.replace("200", "201")), "shows `201`"),
            (format!("{a}{n}{}", n.replace("\"n\"", "\"m\"")), "`m` is no known fact"),
            (format!("{a}{n}{}", n.replace("<span ", "<span class=x ")), "malformed"),
            (format!("{a}{n}{}", n.replace('"', "'")), "malformed"),
            (format!("{a}{n}{}", n.replace("data-fact", "DATA-FACT")), "malformed"),
            (format!("{a}{n}<span data-fact"), "malformed"),
            (format!("{a}{n}<span data-fact=\"n\">2<b>0</b>0</span>"), "malformed"),
        ] {
            let faults = scan_report(&bad, &facts).join("; ");
            assert!(faults.contains(part), "{bad}: {faults}");
        }
    }

    #[test]
    fn what_would_be_escaped_is_refused() {
        for text in ["", "< 1", "a & b", "\"x\"", "it's", "a\nb"] {
            let mut facts = facts();
            facts.get_mut("n").unwrap().text = text.to_owned();
            assert!(to_json(&facts).is_err(), "{text}");
        }
    }
}
