//! Reads and checks `[constraints]`: what holds in every valid row of a table.
//!
//! Owns relations between columns, one-hot groups, and the fragment of a declaration that
//! `attack --constraints` reads. What one feature says of itself (bounds, direction, cost) is in
//! `features`. Must never evaluate a relation: the lab does.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use toml_edit::Document;

use super::diagnostic::{Diagnostic, list};
use super::parse::{BYTES_MAX, syntax, unresolved};
use super::reader::{Reader, Section};
use super::{Feature, FeatureKind, Threat, features};
use crate::relation::{CellType, Relation, RelationError};

/// What holds in every valid row, beside types and bounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Constraints {
    /// Relations between columns; every one holds in a valid row.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub relations: Vec<Relation>,
    /// Columns of which exactly one is 1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub one_hot: Vec<OneHot>,
    /// Relative tolerance of comparisons: two sides are equal when they differ by at most this
    /// times the greatest of 1 and both.
    #[serde(default = "tolerance")]
    pub tolerance: f64,
}

/// A category that lies in several columns, one for each value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OneHot {
    /// What it is called in reports.
    pub name: String,
    /// Its columns: integers from 0 to 1.
    pub columns: Vec<String>,
}

/// The only way an attacker can move a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// Upwards.
    Increase,
    /// Downwards.
    Decrease,
}

impl Default for Constraints {
    fn default() -> Self {
        Self { relations: Vec::new(), one_hot: Vec::new(), tolerance: TOLERANCE }
    }
}

impl Constraints {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        self.relations.is_empty() && self.one_hot.is_empty()
    }
}

fn tolerance() -> f64 {
    TOLERANCE
}

/// Reads `[constraints]`; what is wrong is reported and left out.
pub(super) fn read(section: &Section<'_>) -> Constraints {
    section.only(&["relations", "one_hot", "tolerance"]);
    let texts = section.texts("relations").unwrap_or_default();
    if texts.len() > RELATIONS_MAX {
        let message = format!("there are {} relations, at most {RELATIONS_MAX}", texts.len());
        section.refuse("too-many", "relations", message, "too many", "join some by `and`");
    }
    let (mut relations, mut sound) = (Vec::new(), true);
    for (index, text) in texts.iter().enumerate().take(RELATIONS_MAX) {
        match Relation::parse(text) {
            Ok(relation) => relations.push(relation),
            Err(error) => {
                sound = false;
                section.refuse_part("bad-relation", "relations", index, text, &error);
            }
        }
    }
    // Later checks find a relation by its place in the list.
    if !sound {
        relations.clear();
    }
    let groups = section.section("one_hot").map(|s| read_groups(&s)).unwrap_or_default();
    let tolerance = section.number("tolerance");
    if tolerance.is_some_and(|t| !(0.0..=TOLERANCE_MAX).contains(&t)) {
        let message = "the tolerance of relations is a small share";
        let help = format!("from 0 to {TOLERANCE_MAX}; {TOLERANCE:e} suits 32-bit floats");
        section.refuse("bad-tolerance", "tolerance", message, "not a small share", help);
    }
    Constraints { relations, one_hot: groups, tolerance: tolerance.unwrap_or(TOLERANCE) }
}

fn read_groups(section: &Section<'_>) -> Vec<OneHot> {
    let mut groups = Vec::new();
    for name in section.keys() {
        let Some(columns) = section.texts(name) else { continue };
        section.refuse_repeats(name, &columns);
        if columns.len() < 2 {
            let message = format!("`{name}` has one column: nothing to choose from");
            let help = "list every column of the category";
            section.refuse("one-hot-single", name, message, "at least two", help);
            continue;
        }
        groups.push(OneHot { name: name.to_owned(), columns });
    }
    groups
}

/// Reports names and types that do not fit the features.
pub(super) fn check(reader: &Reader, features: &[Feature], constraints: &Constraints) {
    let Constraints { relations, one_hot, .. } = constraints;
    let table = !features.iter().any(|f| is_array(f.kind));
    if let Some(span) = reader.span(&["constraints"]).filter(|_| !table) {
        let message = "constraints are about the columns of a table, and this system has none";
        reader.report(Diagnostic::new("not-a-table", span, message, "no table", "remove them"));
        return;
    }
    let known: Vec<&str> = features.iter().map(|f| f.name.as_str()).collect();
    let type_of = |name: &str| cell_type(features, name);
    for (index, relation) in relations.iter().enumerate() {
        if let Err(error) = relation.check(&known, &type_of) {
            let index = index.to_string();
            let Some(span) = reader.span(&["constraints", "relations", &index]) else { continue };
            reader.report(in_relation("bad-relation", span, relation.text(), &error));
        }
    }
    for (at, group) in one_hot.iter().enumerate() {
        check_group(reader, features, group, one_hot.get(..at).unwrap_or_default());
    }
}

fn check_group(reader: &Reader, features: &[Feature], group: &OneHot, before: &[OneHot]) {
    let known = features.iter().map(|f| f.name.as_str());
    let mut mutable = None;
    for (index, column) in group.columns.iter().enumerate() {
        let Some(span) = reader.span(&["constraints", "one_hot", &group.name, &index.to_string()])
        else {
            continue;
        };
        let Some(feature) = features.iter().find(|f| f.name == *column) else {
            reader.report(unresolved(span, "feature", column, known.clone()));
            continue;
        };
        let report = |message: String, help: &str| {
            let span = span.clone();
            reader.report(Diagnostic::new("bad-one-hot", span, message, "does not fit", help));
        };
        if feature.kind != FeatureKind::Integer || feature.bounds != Some([0.0, 1.0]) {
            let message = format!("`{column}` of the one-hot group is no flag");
            report(message, "declare it as `type = \"integer\"`, `bounds = [0, 1]`");
        } else if before.iter().any(|other| other.columns.contains(column)) {
            report(format!("`{column}` is in two one-hot groups"), "a column has one category");
        } else if *mutable.get_or_insert(feature.mutable) != feature.mutable {
            let message = format!("`{column}` is not as mutable as the rest of its group");
            report(message, "a category can be changed or cannot: the same for all its columns");
        }
    }
}

/// Reports a limit of costs where nothing has a cost.
pub(super) fn check_cost(reader: &Reader, features: &[Feature], threat: &Threat) {
    let costs = features.iter().any(|f| f.mutable && f.cost.is_some());
    if let Some(span) = reader.span(&["threats", &threat.name, "cost_limit"]).filter(|_| !costs) {
        let message = "a limit of costs, and no mutable feature has a cost";
        let help = "write e.g. `cost = 2.5` at a feature: what one unit of the file costs";
        reader.report(Diagnostic::new("no-costs", span, message, "limits nothing", help));
    }
}

/// What the cells of a feature are; `None` for a column that is not declared.
fn cell_type<'a>(features: &'a [Feature], name: &str) -> Option<CellType<'a>> {
    let feature = features.iter().find(|f| f.name == name)?;
    Some(match feature.kind {
        kind if kind.is_numeric() => CellType::Number,
        _ => CellType::Text(&feature.values),
    })
}

fn is_array(kind: FeatureKind) -> bool {
    matches!(kind, FeatureKind::Image | FeatureKind::Series)
}

/// A problem inside of a relation, underlined where it stands.
fn in_relation(
    code: &'static str,
    value: Range<usize>,
    text: &str,
    error: &RelationError,
) -> Diagnostic {
    let span = inner_span(&value, text, &error.span);
    let label = match span == value {
        true => format!("at character {}", error.span.start + 1),
        false => "here".to_owned(),
    };
    let message = format!("relation `{}`: {}", shortened(text), error.message);
    Diagnostic::new(code, span, message, label, error.help.clone())
}

/// The place inside a quoted value. Only where the value holds no escapes is it known.
fn inner_span(value: &Range<usize>, text: &str, inner: &Range<usize>) -> Range<usize> {
    let quotes = value.len().checked_sub(text.len());
    let opening = match quotes {
        Some(2) => 1,
        Some(6) => 3,
        _ => return value.clone(),
    };
    let start = value.start + opening + inner.start.min(text.len());
    let end = value.start + opening + inner.end.min(text.len());
    start..end.max(start + usize::from(start + opening < value.end))
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN_MAX) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

impl Section<'_> {
    /// Adds a problem inside of one element of a list of relations.
    fn refuse_part(
        &self,
        code: &'static str,
        key: &str,
        index: usize,
        text: &str,
        error: &RelationError,
    ) {
        let mut path = self.path_of(key);
        path.push(index.to_string());
        let span = self.element_span(&path).unwrap_or_else(|| self.value_span(key));
        self.report(in_relation(code, span, text, error));
    }
}

/// Reads a fragment of a declaration: `[features.<name>]` with what an attacker may do to columns
/// that `features` holds already, and `[constraints]`.
///
/// # Errors
/// Every problem found, in the order of the text.
pub fn parse_constraints(
    text: &str,
    features: &mut [Feature],
) -> Result<Constraints, Vec<Diagnostic>> {
    if text.len() > BYTES_MAX {
        let message = format!("the file has {} bytes, at most {BYTES_MAX}", text.len());
        let help = "declare fewer features";
        return Err(vec![Diagnostic::new("too-long", 0..0, message, "starts here", help)]);
    }
    let document = Document::parse(text).map_err(|error| vec![syntax(text, &error)])?;
    let reader = Reader::of("the file of constraints");
    let root = Section::root(&reader, document.as_table());
    root.only(&["features", "constraints"]);
    let known: Vec<String> = features.iter().map(|f| f.name.clone()).collect();
    for section in root.sections("features") {
        match features.iter_mut().find(|f| f.name == section.name()) {
            Some(feature) => features::amend(&section, feature),
            None => {
                let help = format!("the data have {}", list(&known));
                let message = format!("the data have no column `{}`", section.name());
                section.refuse_name("unresolved-name", message, "not there", help);
            }
        }
    }
    let constraints = root.section("constraints").map(|s| read(&s)).unwrap_or_default();
    check(&reader, features, &constraints);
    let (problems, _) = reader.finish();
    if problems.is_empty() { Ok(constraints) } else { Err(problems) }
}

/// Suits values that a model holds as 32-bit floats: sixteen times their rounding.
pub const TOLERANCE: f64 = 1e-6;
/// A relation that may miss by more says nothing.
const TOLERANCE_MAX: f64 = 0.01;
/// Relations of a declaration: each is evaluated for every candidate.
const RELATIONS_MAX: usize = 256;
/// Characters of a relation in a message.
const SHOWN_MAX: usize = 80;
