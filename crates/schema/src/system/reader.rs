//! Typed access to one table of a declaration, collecting every problem.
//!
//! Owns presence, type and unknown-key checks. Must never know what a key means: the sections
//! do. A value's span is kept only when it was read well, so later checks never pile up. Called by
//! the sections of the declaration and by the policy of the guard.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::Range;

use toml_edit::{Array, Item, Key, TableLike, Value};

use super::diagnostic::{Diagnostic, Spans, list, nearest, suggest};

/// Problems and spans gathered so far.
#[derive(Debug)]
pub struct Reader {
    document: &'static str,
    problems: RefCell<Vec<Diagnostic>>,
    spans: RefCell<Spans>,
    written: RefCell<BTreeSet<Vec<String>>>,
}

impl Default for Reader {
    fn default() -> Self {
        Self::of("the declaration")
    }
}

impl Reader {
    /// A reader of a document that messages call `document`, e.g. `the policy`.
    pub fn of(document: &'static str) -> Self {
        let (problems, spans) = (RefCell::default(), RefCell::default());
        Self { document, problems, spans, written: RefCell::default() }
    }

    /// Adds a problem.
    pub fn report(&self, problem: Diagnostic) {
        self.problems.borrow_mut().push(problem);
    }

    /// Whether a value was written, be it well or not.
    pub fn was_written(&self, path: &[&str]) -> bool {
        let path: Vec<String> = path.iter().map(|p| (*p).to_owned()).collect();
        self.written.borrow().contains(&path)
    }

    /// Span of a value that was read well.
    pub fn span(&self, path: &[&str]) -> Option<Range<usize>> {
        self.spans.borrow().of(path)
    }

    fn span_of(&self, path: &[String]) -> Option<Range<usize>> {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        self.span(&path)
    }

    /// Remembers where a value or a section stands.
    pub fn keep(&self, path: Vec<String>, span: Range<usize>) {
        self.spans.borrow_mut().insert(path, span);
    }

    /// Forgets a value that was refused after all, so that no later check builds on it.
    pub fn forget(&self, path: &[String]) {
        self.spans.borrow_mut().remove(path);
    }

    /// All problems, in the order of the text, and the spans.
    pub fn finish(self) -> (Vec<Diagnostic>, Spans) {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|p| p.span.start);
        (problems, self.spans.into_inner())
    }
}

/// One table, with the keys it may hold.
pub struct Section<'r> {
    reader: &'r Reader,
    path: Vec<String>,
    table: &'r dyn TableLike,
    /// Where the section's name stands.
    pub span: Range<usize>,
}

impl<'r> Section<'r> {
    /// Opens the root of a document.
    pub fn root(reader: &'r Reader, table: &'r dyn TableLike) -> Self {
        Self { reader, path: Vec::new(), table, span: 0..0 }
    }

    /// Path of the section, as in a header.
    pub fn title(&self) -> String {
        if self.path.is_empty() { self.reader.document.into() } else { self.path.join(".") }
    }

    /// The section for messages.
    fn place(&self) -> String {
        if self.path.is_empty() { self.title() } else { format!("`{}`", self.title()) }
    }

    /// The section's own name.
    pub fn name(&self) -> &str {
        self.path.last().map_or("", String::as_str)
    }

    /// Refuses keys that are not in `known`.
    pub fn only(&self, known: &[&str]) {
        for (key, item) in self.table.iter() {
            self.reader.written.borrow_mut().insert(self.path_of(key));
            if known.contains(&key) || item.is_none() {
                continue;
            }
            let help = match nearest(key, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known keys here: {}", list(known)),
            };
            let message = format!("unknown key `{key}` in {}", self.place());
            let span = self.key_span(key);
            self.reader.report(Diagnostic::new("unknown-key", span, message, "not known", help));
        }
    }

    /// Names of the entries, in order.
    pub fn keys(&self) -> Vec<&'r str> {
        self.table.iter().filter(|(_, item)| !item.is_none()).map(|(key, _)| key).collect()
    }

    /// Whether the key is written.
    pub fn has(&self, key: &str) -> bool {
        self.table.get(key).is_some_and(|item| !item.is_none())
    }

    /// Reports `key` as missing when it is; `example` is the line to write.
    pub fn need(&self, key: &str, example: &str) -> bool {
        let has = self.has(key);
        if !has {
            let message = format!("`{key}` is missing in {}", self.place());
            let help = format!("write `{example}`");
            let label = format!("has no `{key}`");
            let span = self.span.clone();
            self.reader.report(Diagnostic::new("missing-key", span, message, label, help));
        }
        has
    }

    /// Adds a problem found at a place of its own.
    pub fn report(&self, problem: Diagnostic) {
        self.reader.report(problem);
    }

    /// Span of a value that was read well, by its path.
    pub fn element_span(&self, path: &[String]) -> Option<Range<usize>> {
        self.reader.span_of(path)
    }

    /// Span of the value of a key, else of the section.
    pub fn value_span(&self, key: &str) -> Range<usize> {
        let item = self.table.get(key).and_then(Item::span);
        item.unwrap_or_else(|| self.key_span(key))
    }

    /// Span of a key, else of the section.
    pub fn key_span(&self, key: &str) -> Range<usize> {
        let found = self.table.get_key_value(key).and_then(|(k, _): (&Key, _)| k.span());
        found.unwrap_or_else(|| self.span.clone())
    }

    /// Adds a problem at the value of `key`.
    pub fn refuse(
        &self,
        code: &'static str,
        key: &str,
        message: impl Into<String>,
        label: impl Into<String>,
        help: impl Into<String>,
    ) {
        let span = self.value_span(key);
        self.reader.report(Diagnostic::new(code, span, message, label, help));
        self.reader.forget(&self.path_of(key));
    }

    /// Adds a problem at the section's own name.
    pub fn refuse_name(
        &self,
        code: &'static str,
        message: impl Into<String>,
        label: impl Into<String>,
        help: impl Into<String>,
    ) {
        let span = self.span.clone();
        self.reader.report(Diagnostic::new(code, span, message, label, help));
    }

    /// Refuses a list that names something twice, and underlines both places.
    pub fn refuse_repeats(&self, key: &str, list: &[String]) {
        for (index, text) in list.iter().enumerate() {
            let Some(first) = list.iter().take(index).position(|t| t == text) else { continue };
            let at = |i: usize| {
                let mut path = self.path_of(key);
                path.push(i.to_string());
                self.reader.span_of(&path)
            };
            let message = format!("`{text}` stands twice in `{key}` of `{}`", self.title());
            let span = at(index).unwrap_or_else(|| self.value_span(key));
            let problem =
                Diagnostic::new("duplicate-name", span, message, "again here", "remove one");
            self.reader.report(problem.and(at(first), "first here"));
        }
    }

    /// Elements of the list under `key`; `None` when it is no list.
    pub fn count(&self, key: &str) -> Option<usize> {
        self.table.get(key)?.as_array().map(Array::len)
    }

    /// The table under `key`, when it is there.
    pub fn section(&self, key: &str) -> Option<Section<'r>> {
        let item = self.table.get(key).filter(|item| !item.is_none())?;
        if self.unsaid(key, item) {
            return None;
        }
        let Some(table) = item.as_table_like() else {
            self.wrong_type(key, item, "a table");
            return None;
        };
        let path = self.path_of(key);
        let span = match item.as_inline_table() {
            Some(_) => self.value_span(key),
            None => self.key_span(key),
        };
        self.reader.keep(path.clone(), span.clone());
        Some(Section { reader: self.reader, path, table, span })
    }

    /// The tables under `key`, by name.
    pub fn sections(&self, key: &str) -> Vec<Section<'r>> {
        let Some(parent) = self.section(key) else { return Vec::new() };
        parent.keys().into_iter().filter_map(|name| parent.section(name)).collect()
    }

    /// A text, not empty.
    pub fn text(&self, key: &str) -> Option<String> {
        let text = self.scalar(key, "a text in quotes", |v| v.as_str().map(str::to_owned))?;
        if text.trim().is_empty() {
            let message = format!("`{key}` in `{}` is empty", self.title());
            self.refuse("empty-text", key, message, "nothing said", "a person must fill this in");
            return None;
        }
        Some(text)
    }

    /// A text that may be blank, e.g. a tab.
    pub fn text_raw(&self, key: &str) -> Option<String> {
        self.scalar(key, "a text in quotes", |v| v.as_str().map(str::to_owned))
    }

    /// True or false.
    pub fn flag(&self, key: &str) -> Option<bool> {
        self.scalar(key, "`true` or `false`", Value::as_bool)
    }

    /// A finite number.
    pub fn number(&self, key: &str) -> Option<f64> {
        self.scalar(key, "a finite number", finite)
    }

    /// A whole number, not negative.
    pub fn whole(&self, key: &str) -> Option<u64> {
        let expected = "a whole number, not negative";
        self.scalar(key, expected, |v| v.as_integer().and_then(|i| u64::try_from(i).ok()))
    }

    /// A list of finite numbers.
    pub fn numbers(&self, key: &str) -> Option<Vec<f64>> {
        self.items(key, "a list of finite numbers", finite)
    }

    /// A list of finite numbers of a fixed length.
    pub fn pair(&self, key: &str) -> Option<[f64; 2]> {
        self.scalar(key, "two finite numbers, `[lowest, highest]`", |v| {
            let list: Vec<f64> = v.as_array()?.iter().map(finite).collect::<Option<_>>()?;
            list.try_into().ok()
        })
    }

    /// A list of texts; empty texts are allowed.
    pub fn texts(&self, key: &str) -> Option<Vec<String>> {
        self.items(key, "a list of texts in quotes", |v| v.as_str().map(str::to_owned))
    }

    /// A list of whole numbers.
    pub fn wholes(&self, key: &str) -> Option<Vec<usize>> {
        let whole = |v: &Value| v.as_integer().and_then(|i| usize::try_from(i).ok());
        self.items(key, "a list of whole numbers, not negative", whole)
    }

    /// One of some words.
    pub fn choice<T: Copy>(&self, key: &str, words: &[(&str, T)]) -> Option<T> {
        let names: Vec<&str> = words.iter().map(|(name, _)| *name).collect();
        let expected = format!("one of {}", list(&names));
        let text = self.scalar(key, &expected, |v| v.as_str().map(str::to_owned))?;
        let found = words.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
        if found.is_none() {
            let message = format!("`{text}` is no {key} of `{}`", self.title());
            let help = suggest(&text, key, names);
            self.refuse("unknown-word", key, message, "not known", help);
        }
        found
    }

    /// Texts by name, in order: `{ good = "1" }`.
    pub fn pairs(&self, key: &str) -> Option<Vec<(String, String)>> {
        let inner = self.section(key)?;
        let mut pairs = Vec::new();
        for name in inner.keys() {
            match inner.scalar(name, "a text in quotes", |v| v.as_str().map(str::to_owned)) {
                Some(text) => pairs.push((name.to_owned(), text)),
                None => self.reader.forget(&inner.path),
            }
        }
        self.reader.span_of(&inner.path).map(|_| pairs)
    }

    /// Whether the value of `key` was written and read without a problem so far.
    pub fn read_well(&self, key: &str) -> bool {
        self.reader.span_of(&self.path_of(key)).is_some()
    }

    /// Whether the value of `key` is a plain text.
    pub fn is_text(&self, key: &str) -> bool {
        self.table.get(key).is_some_and(Item::is_str)
    }

    /// Whether the value of `key` is a plain number.
    pub fn is_number(&self, key: &str) -> bool {
        self.table.get(key).is_some_and(|i| i.is_integer() || i.is_float())
    }

    /// Path of a key, from the root.
    pub fn path_of(&self, key: &str) -> Vec<String> {
        self.path.iter().cloned().chain([key.to_owned()]).collect()
    }

    fn scalar<T>(
        &self,
        key: &str,
        expected: &str,
        convert: impl Fn(&Value) -> Option<T>,
    ) -> Option<T> {
        let item = self.table.get(key).filter(|item| !item.is_none())?;
        if self.unsaid(key, item) {
            return None;
        }
        let Some(value) = item.as_value().and_then(convert) else {
            self.wrong_type(key, item, expected);
            return None;
        };
        self.reader.keep(self.path_of(key), self.value_span(key));
        Some(value)
    }

    fn items<T>(
        &self,
        key: &str,
        expected: &str,
        convert: impl Fn(&Value) -> Option<T>,
    ) -> Option<Vec<T>> {
        let item = self.table.get(key).filter(|item| !item.is_none())?;
        if self.unsaid(key, item) {
            return None;
        }
        let Some(array) = item.as_array() else {
            self.wrong_type(key, item, expected);
            return None;
        };
        let good = self.elements(key, array, expected, convert)?;
        self.reader.keep(self.path_of(key), self.value_span(key));
        Some(good)
    }

    fn elements<T>(
        &self,
        key: &str,
        array: &Array,
        expected: &str,
        convert: impl Fn(&Value) -> Option<T>,
    ) -> Option<Vec<T>> {
        let mut good = Vec::new();
        for (index, value) in array.iter().enumerate() {
            let span = value.span().unwrap_or_else(|| self.value_span(key));
            match convert(value) {
                Some(converted) => good.push(converted),
                None => {
                    let message = format!("`{key}` in {} must be {expected}", self.place());
                    let label = format!("this is {}", words(value.type_name()));
                    let help = "mend this element";
                    self.reader.report(Diagnostic::new("wrong-type", span, message, label, help));
                    return None;
                }
            }
            let mut path = self.path_of(key);
            path.push(index.to_string());
            self.reader.keep(path, value.span().unwrap_or_else(|| self.value_span(key)));
        }
        Some(good)
    }

    /// `?` is what `init` writes where a person must decide.
    fn unsaid(&self, key: &str, item: &Item) -> bool {
        let unsaid = item.as_str() == Some(UNSAID);
        if unsaid {
            let message = format!("`{key}` in `{}` is still to be said by a person", self.title());
            let help = "replace the question mark; the line above it says what is asked";
            self.refuse("not-said", key, message, "not said yet", help);
        }
        unsaid
    }

    fn wrong_type(&self, key: &str, item: &Item, expected: &str) {
        let message = format!("`{key}` in {} must be {expected}", self.place());
        let label = format!("this is {}", words(item.type_name()));
        let help = format!("write {expected}");
        self.refuse("wrong-type", key, message, label, help);
    }
}

/// What stands where a person has not decided yet.
pub const UNSAID: &str = "?";

/// A TOML type in plain words.
fn words(type_name: &str) -> &str {
    match type_name {
        "string" => "a text",
        "integer" => "a whole number",
        "float" => "a fraction",
        "boolean" => "true or false",
        "datetime" => "a date or time",
        "array" => "a list",
        "array of tables" => "a list of tables",
        "inline table" | "table" => "a table",
        other => other,
    }
}

fn finite(value: &Value) -> Option<f64> {
    let number = value.as_float().or_else(|| value.as_integer().map(|i| i as f64))?;
    number.is_finite().then_some(number)
}
