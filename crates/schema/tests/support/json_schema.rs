//! The part of JSON Schema (draft 2020-12) that the committed schemas use.
//!
//! Owns the check of a document against `schemas/`. Must never pass over a keyword that it does
//! not know: that is a panic, so no schema promises more than is checked. Included by the tests of
//! the lab and of the command line.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};

/// Every committed schema by its `$id`.
pub struct Schemas {
    by_id: BTreeMap<String, Value>,
}

impl Schemas {
    /// The schemas of this repository.
    pub fn committed() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schema/schemas");
        let mut by_id = BTreeMap::new();
        for file in std::fs::read_dir(folder).expect("schemas") {
            let path = file.expect("schema").path();
            let bytes = std::fs::read(&path).expect("schema");
            let schema: Value = serde_json::from_slice(&bytes)
                .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            let id = schema["$id"].as_str().expect("$id").to_owned();
            let name = path.file_name().and_then(|n| n.to_str()).expect("name");
            assert_eq!(name, file_of(&id), "the file of {id} has another name");
            assert!(by_id.insert(id, schema).is_none(), "{name}: the $id is taken");
        }
        Self { by_id }
    }

    /// What is wrong with `value` under the schema `reference`, as in `$ref`; nothing when it fits.
    ///
    /// # Panics
    /// If there is no such schema, or it holds what is not known here.
    pub fn faults(&self, reference: &str, value: &Value) -> Vec<String> {
        let mut faults = Vec::new();
        let (id, schema) = self.find("", reference);
        self.check(id, schema, value, "$", &mut faults);
        faults
    }

    fn find<'a>(&'a self, base: &'a str, reference: &'a str) -> (&'a str, &'a Value) {
        let (id, pointer) = reference.split_once('#').unwrap_or((reference, ""));
        let id = if id.is_empty() { base } else { id };
        let root = self.by_id.get(id).unwrap_or_else(|| panic!("no schema `{id}`"));
        let found = root.pointer(pointer);
        (id, found.unwrap_or_else(|| panic!("`{id}` has no `{pointer}`")))
    }

    fn check(&self, base: &str, schema: &Value, value: &Value, at: &str, out: &mut Vec<String>) {
        let keywords = match schema {
            Value::Bool(true) => return,
            Value::Bool(false) => return out.push(format!("{at}: nothing may stand here")),
            Value::Object(keywords) => keywords,
            other => panic!("{base}: {other} is no schema"),
        };
        for (keyword, wanted) in keywords {
            match keyword.as_str() {
                "$schema" | "$id" | "$defs" | "title" | "description" | "then" => {}
                "$ref" => {
                    let (id, schema) = self.find(base, wanted.as_str().expect("$ref"));
                    self.check(id, schema, value, at, out);
                }
                "allOf" => {
                    list(wanted).iter().for_each(|s| self.check(base, s, value, at, out));
                }
                "oneOf" => {
                    let fitting =
                        list(wanted).iter().filter(|s| self.fits(base, s, value, at)).count();
                    if fitting != 1 {
                        out.push(format!("{at}: {value} fits {fitting} of the choices, not one"));
                    }
                }
                "if" => {
                    if self.fits(base, wanted, value, at) {
                        self.check(base, &schema["then"], value, at, out);
                    }
                }
                "const" | "enum" | "type" | "minimum" | "maximum" | "minLength" | "maxLength"
                | "pattern" | "minItems" | "maxItems" => {
                    if !holds(keyword, wanted, value) {
                        out.push(format!("{at}: {value} does not hold to {keyword} {wanted}"));
                    }
                }
                "items" | "prefixItems" => self.items(base, keywords, keyword, value, at, out),
                "required" | "properties" | "additionalProperties" | "propertyNames" => {
                    self.fields(base, keywords, keyword, value, at, out);
                }
                other => panic!("{base}: the keyword `{other}` is not known here"),
            }
        }
    }

    fn fits(&self, base: &str, schema: &Value, value: &Value, at: &str) -> bool {
        let mut faults = Vec::new();
        self.check(base, schema, value, at, &mut faults);
        faults.is_empty()
    }

    fn items(
        &self,
        base: &str,
        keywords: &Map<String, Value>,
        keyword: &str,
        value: &Value,
        at: &str,
        out: &mut Vec<String>,
    ) {
        let first = keywords.get("prefixItems").map_or(&[][..], |p| list(p));
        for (i, item) in value.as_array().into_iter().flatten().enumerate() {
            let schema = match (keyword, first.get(i)) {
                ("prefixItems", Some(schema)) => schema,
                ("items", None) => &keywords["items"],
                _ => continue,
            };
            self.check(base, schema, item, &format!("{at}[{i}]"), out);
        }
    }

    fn fields(
        &self,
        base: &str,
        keywords: &Map<String, Value>,
        keyword: &str,
        value: &Value,
        at: &str,
        out: &mut Vec<String>,
    ) {
        let Some(fields) = value.as_object() else { return };
        let wanted = &keywords[keyword];
        if keyword == "required" {
            let missing = list(wanted).iter().filter_map(Value::as_str);
            let missing = missing.filter(|name| !fields.contains_key(*name));
            out.extend(missing.map(|name| format!("{at}: no `{name}`")));
            return;
        }
        for (name, field) in fields {
            let declared = keywords.get("properties").and_then(|p| p.get(name));
            match (keyword, declared) {
                ("properties", Some(schema)) => {
                    self.check(base, schema, field, &format!("{at}.{name}"), out);
                }
                ("additionalProperties", None) => {
                    self.check(base, wanted, field, &format!("{at}.{name}"), out);
                }
                ("propertyNames", _) => {
                    let shown = format!("{at}: the name `{name}`");
                    self.check(base, wanted, &Value::String(name.clone()), &shown, out);
                }
                _ => {}
            }
        }
    }
}

/// The schema of a `format` tag: `proofmark.KIND/VERSION`.
pub fn id_of(format: &str) -> Option<String> {
    let (kind, version) = format.strip_prefix("proofmark.")?.split_once('/')?;
    Some(format!("urn:proofmark:schema:{kind}:{version}"))
}

fn file_of(id: &str) -> String {
    let schema = id.strip_prefix("urn:proofmark:schema:").map(str::to_owned);
    let predicate =
        || id.strip_prefix("urn:proofmark:predicate:").map(|p| format!("predicate-{p}"));
    let name = schema.or_else(predicate).unwrap_or_else(|| panic!("an $id of another form: {id}"));
    format!("{}.json", name.replace(":v", ".").replace(':', "."))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

/// Keywords that need no other schema; those about another type hold.
fn holds(keyword: &str, wanted: &Value, value: &Value) -> bool {
    let limit = || wanted.as_f64().expect("a number");
    let chars = value.as_str().map(|s| s.chars().count() as f64);
    let items = value.as_array().map(|a| a.len() as f64);
    match keyword {
        "const" => wanted == value,
        "enum" => list(wanted).contains(value),
        "type" => match wanted {
            Value::Array(some) => some.iter().any(|w| is_a(w, value)),
            one => is_a(one, value),
        },
        "minimum" => value.as_f64().is_none_or(|v| v >= limit()),
        "maximum" => value.as_f64().is_none_or(|v| v <= limit()),
        "minLength" => chars.is_none_or(|n| n >= limit()),
        "maxLength" => chars.is_none_or(|n| n <= limit()),
        "minItems" => items.is_none_or(|n| n >= limit()),
        "maxItems" => items.is_none_or(|n| n <= limit()),
        "pattern" => value.as_str().is_none_or(|text| match wanted.as_str() {
            Some(HEX) => digits(text, &"x".repeat(64)),
            Some(TIME) => is_time(text),
            other => panic!("the pattern {other:?} is not known here"),
        }),
        other => panic!("`{other}`"),
    }
}

fn is_a(wanted: &Value, value: &Value) -> bool {
    match wanted.as_str().expect("a type") {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.as_f64().is_some_and(|v| v.fract() == 0.0),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("the type `{other}` is not known here"),
    }
}

fn is_time(text: &str) -> bool {
    let (instant, fraction) = match text.strip_suffix('Z').and_then(|t| t.split_once('.')) {
        Some((instant, fraction)) => (format!("{instant}Z"), fraction),
        None => (text.to_owned(), "0"),
    };
    let fraction =
        (1..=9).contains(&fraction.len()) && digits(fraction, &"0".repeat(fraction.len()));
    fraction && digits(&instant, "0000-00-00T00:00:00Z")
}

/// Whether `text` is the mask with every `0` a digit and every `x` a hexadecimal one.
fn digits(text: &str, mask: &str) -> bool {
    let fits = |(t, m): (u8, u8)| match m {
        b'0' => t.is_ascii_digit(),
        b'x' => t.is_ascii_digit() || (b'a'..=b'f').contains(&t),
        other => t == other,
    };
    text.len() == mask.len() && text.bytes().zip(mask.bytes()).all(fits)
}

/// A SHA-256.
const HEX: &str = "^[0-9a-f]{64}$";
/// RFC 3339 in UTC.
const TIME: &str = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?Z$";
