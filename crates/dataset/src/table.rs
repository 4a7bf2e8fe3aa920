//! A table: records typed by the declaration, with labels as class indices.
//!
//! Owns the typing of cells and what lies outside the declared domain. Must never clip, fill or
//! drop: a cell is read as declared or refused by line and column. Called by `proofmark`.

mod hint;

use std::collections::BTreeMap;

use proofmark_schema::system::{DataAsset, Feature, FeatureKind, nearest};

use crate::csv::{self, CsvError, Dialect, Hints, Records, Sentinel};
use hint::number_hint;

/// A typed table of `n` rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// Rows.
    pub n: usize,
    /// Declared features, in the order of the declaration.
    pub columns: Vec<Column>,
    /// Class index per row, in the order of `classes` of the data set.
    pub labels: Vec<usize>,
    /// Regression: the label of each row, finite; empty for classes. `labels` are then all 0.
    pub targets: Vec<f64>,
    /// Rows per class; a class without rows is kept with 0.
    pub classes: Vec<ClassCount>,
    /// Line of each row in the file, from 1.
    pub lines: Vec<u64>,
    /// How the file is written.
    pub dialect: Dialect,
    /// Values of features that may mean "missing", declared neither as that nor in `values`.
    pub warnings: Vec<Sentinel>,
    /// Values outside the declared domain, per column.
    pub violations: Vec<DomainViolation>,
    /// What was left out or read in another way than it stands, in words.
    pub notes: Vec<String>,
}

/// One typed column.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Name.
    pub name: String,
    /// Declared type.
    pub kind: FeatureKind,
    /// Cells, one per row.
    pub cells: Cells,
}

/// Cells of a column.
#[derive(Clone, Debug, PartialEq)]
pub enum Cells {
    /// Numbers and integers; NaN where missing.
    Numbers(Vec<f64>),
    /// All other types; `None` where missing.
    Texts(Vec<Option<String>>),
}

/// Rows of a class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassCount {
    /// Class name.
    pub name: String,
    /// Rows.
    pub count: usize,
}

/// Values of one column outside `bounds` or not in `values`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainViolation {
    /// Column.
    pub column: String,
    /// What is declared, e.g. `250 to 20000`.
    pub expected: String,
    /// Rows concerned, from 0, ascending.
    pub rows: Vec<usize>,
    /// The first few, as (line, text).
    pub examples: Vec<(u64, String)>,
}

/// Why a table could not be read.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TableError {
    /// The file is not readable as records.
    #[error(transparent)]
    Csv(#[from] CsvError),
    /// No header where one is needed.
    #[error(
        "the first line holds no declared column, so it is no header; \
         pin `dialect = {{ header = false, columns = [...] }}` with {columns} names"
    )]
    NoHeader {
        /// Columns of the file.
        columns: usize,
    },
    /// A declared column is not there.
    #[error("column `{name}` is declared but not in the file; {hint}")]
    ColumnMissing {
        /// Name.
        name: String,
        /// What is near, or there.
        hint: String,
    },
    /// Two columns of one declared name.
    #[error(
        "the header names `{name}` twice, as columns {first} and {second}; \
         name all columns by `dialect = {{ header = true, columns = [...] }}`"
    )]
    ColumnTwice {
        /// Name.
        name: String,
        /// Position, from 1.
        first: usize,
        /// Position, from 1.
        second: usize,
    },
    /// A column that nothing declares.
    #[error(
        "the file has columns that nothing declares: {names}; \
         declare them as features or add them to `ignore`"
    )]
    ColumnUndeclared {
        /// Names.
        names: String,
    },
    /// A column of a typed container that has no cells in a table.
    #[error(
        "column `{name}` holds {what}, of which a table has no cells; flatten it where the file \
         is written, or add it to `ignore`"
    )]
    Nested {
        /// Name.
        name: String,
        /// What it holds.
        what: String,
    },
    /// A cell of the wrong type.
    #[error("line {line}, column `{column}`: `{text}` is not {expected}{more}; {hint}")]
    Cell {
        /// Line, from 1.
        line: u64,
        /// Column.
        column: String,
        /// Text.
        text: String,
        /// What was expected.
        expected: &'static str,
        /// How many more cells of the column are wrong, in words.
        more: String,
        /// The likely fix.
        hint: &'static str,
    },
    /// A label that no class has.
    #[error("line {line}, column `{column}`: label `{text}` is no class; known: {known}{hint}")]
    Label {
        /// Line, from 1.
        line: u64,
        /// Label column.
        column: String,
        /// Text.
        text: String,
        /// Known values, with their classes.
        known: String,
        /// What is near.
        hint: String,
    },
    /// The data set has no label column: it is no table.
    #[error("data set `{name}` declares no label column")]
    NoLabel {
        /// Name of the data set.
        name: String,
    },
}

impl Table {
    /// Reads and types a delimited file.
    ///
    /// # Errors
    /// See [`TableError`]; lines count from 1 and include the header.
    pub fn read(bytes: &[u8], asset: &DataAsset, features: &[Feature]) -> Result<Self, TableError> {
        let label = asset.label.as_deref();
        let label = label.ok_or_else(|| TableError::NoLabel { name: asset.name.clone() })?;
        let records = records(bytes, asset, features, label)?;
        let mut notes = Vec::new();
        check_columns(&records, asset, features, label, &mut notes)?;
        let missing = |text: &str| asset.missing.iter().any(|m| m == text);
        let mut columns = Vec::with_capacity(features.len());
        let mut violations = Vec::new();
        for feature in features {
            let Some(at) = records.position(&feature.name) else { continue };
            let cells = type_cells(&records, at, feature, &missing, &mut notes)?;
            violations.extend(outside(&records, at, feature, &cells));
            columns.push(Column { name: feature.name.clone(), kind: feature.kind, cells });
        }
        let (labels, targets) = if asset.task.is_regression() {
            (vec![0; records.len()], read_targets(&records, label)?)
        } else {
            (read_labels(&records, asset, label, &mut notes)?, Vec::new())
        };
        let surprising = |s: &Sentinel| {
            let feature = features.iter().find(|f| f.name == s.column);
            !missing(&s.text) && feature.is_some_and(|f| !f.values.contains(&s.text))
        };
        Ok(Self {
            n: records.len(),
            columns,
            classes: count_classes(&asset.classes, &labels),
            labels,
            targets,
            lines: records.lines().to_vec(),
            warnings: records.sentinels().into_iter().filter(surprising).collect(),
            dialect: records.dialect,
            violations,
            notes,
        })
    }

    /// The column of that name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|c| c.name == name)
    }
}

impl Column {
    /// Numbers, when the column holds them.
    pub fn numbers(&self) -> Option<&[f64]> {
        match &self.cells {
            Cells::Numbers(numbers) => Some(numbers),
            Cells::Texts(_) => None,
        }
    }
    /// Texts, when the column holds them.
    pub fn texts(&self) -> Option<&[Option<String>]> {
        match &self.cells {
            Cells::Numbers(_) => None,
            Cells::Texts(texts) => Some(texts),
        }
    }
}

/// Rows per class, in the order of `classes`.
pub(crate) fn count_classes(classes: &[(String, String)], labels: &[usize]) -> Vec<ClassCount> {
    let count = |index: usize| labels.iter().filter(|l| **l == index).count();
    let named = classes.iter().enumerate();
    named.map(|(i, (name, _))| ClassCount { name: name.clone(), count: count(i) }).collect()
}

fn records(
    bytes: &[u8],
    asset: &DataAsset,
    features: &[Feature],
    label: &str,
) -> Result<Records, TableError> {
    let mut columns: Vec<&str> = features.iter().map(|f| f.name.as_str()).collect();
    columns.push(label);
    columns.extend(asset.ignore.iter().map(String::as_str));
    let numeric: Vec<&str> =
        features.iter().filter(|f| f.kind.is_numeric()).map(|f| f.name.as_str()).collect();
    let hints = Hints { columns: &columns, numeric: &numeric, limit: asset.limit };
    let records = csv::read(bytes, &asset.dialect, &hints)?;
    if !records.named {
        return Err(TableError::NoHeader { columns: records.columns.len() });
    }
    Ok(records)
}

fn check_columns(
    records: &Records,
    asset: &DataAsset,
    features: &[Feature],
    label: &str,
    notes: &mut Vec<String>,
) -> Result<(), TableError> {
    let ignored = asset.ignore.iter().map(String::as_str);
    let names = features.iter().map(|f| f.name.as_str()).chain([label]).chain(ignored);
    let declared: Vec<&str> = names.collect();
    if let Some(name) = declared.iter().find(|name| records.position(name).is_none()) {
        let known = records.columns.iter().map(String::as_str);
        let hint = match nearest(name, known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the file has {}", quoted(&records.columns)),
        };
        return Err(TableError::ColumnMissing { name: (*name).to_owned(), hint });
    }
    let read = features.iter().map(|f| f.name.as_str()).chain([label]);
    for name in read {
        let positions = records.positions(name);
        if let [first, second, ..] = positions.as_slice() {
            let same = positions.iter().all(|at| records.column(*first).eq(records.column(*at)));
            if !same {
                let (first, second) = (first + 1, second + 1);
                return Err(TableError::ColumnTwice { name: name.to_owned(), first, second });
            }
            notes.push(format!("the header names `{name}` twice; both columns are the same"));
        }
        if let Some(what) = positions.first().and_then(|at| records.unread(*at)) {
            let (name, what) = (name.to_owned(), what.to_owned());
            return Err(TableError::Nested { name, what });
        }
    }
    let undeclared = records.columns.iter().enumerate();
    let undeclared = undeclared.filter(|(_, c)| !declared.contains(&c.as_str()));
    let (void, undeclared): (Vec<_>, Vec<_>) = undeclared.partition(|(at, _)| records.is_void(*at));
    for (at, _) in void {
        let at = at + 1;
        notes.push(format!("column {at} has neither a name nor a value: left out"));
    }
    let undeclared = undeclared.into_iter();
    let (index, extra): (Vec<_>, Vec<_>) =
        undeclared.partition(|(at, name)| is_index(records, *at, name));
    for (_, name) in index {
        notes.push(format!(
            "column `{name}` counts the rows and is declared nowhere: left out as an index; \
             add it to `ignore` to say so"
        ));
    }
    if !extra.is_empty() {
        let names: Vec<&String> = extra.into_iter().map(|(_, name)| name).collect();
        return Err(TableError::ColumnUndeclared { names: quoted(&names) });
    }
    Ok(())
}

/// Whether a column is the index that data frames write: its name says so, and it counts.
fn is_index(records: &Records, at: usize, name: &str) -> bool {
    let named = name.is_empty()
        || name.starts_with("Unnamed: 0")
        || name.starts_with("__index_level_")
        || name == "index";
    let mut numbers = records.column(at).map(|field| field.parse::<u64>().ok());
    let Some(Some(first @ (0 | 1))) = numbers.next().filter(|_| named) else { return false };
    numbers.zip(first + 1..).all(|(found, wanted)| found == Some(wanted))
}

fn type_cells(
    records: &Records,
    at: usize,
    feature: &Feature,
    missing: &dyn Fn(&str) -> bool,
    notes: &mut Vec<String>,
) -> Result<Cells, TableError> {
    let (expected, hint) = match feature.kind {
        FeatureKind::Number => ("a number", hint::NUMBER),
        FeatureKind::Integer => ("a whole number", hint::NUMBER),
        _ => ("a value", "add `\"\"` to `missing`, or list it in `values`"),
    };
    let mut bad: Option<(usize, u64, &str)> = None;
    let mut bad_count = 0usize;
    let mut note = |row: usize, line: u64, text| {
        bad.get_or_insert((row, line, text));
        bad_count += 1;
    };
    let absent = |row: usize, text: &str| records.is_absent(row, at) || missing(text);
    let rows = records.column(at).zip(records.lines().iter().copied()).enumerate();
    let cells = if feature.kind.is_numeric() {
        let whole = feature.kind == FeatureKind::Integer;
        let truth = records.is_truth(at);
        let number = |text: &str| match text {
            "true" if truth => Some(1.0),
            "false" if truth => Some(0.0),
            _ => records.number_in(at, text).filter(|n| !whole || n.fract() == 0.0),
        };
        let (mut codes, mut code) = (0, "");
        let cell = |(row, (text, line))| {
            if absent(row, text) {
                return f64::NAN;
            }
            if csv::is_code(text) {
                (codes, code) = (codes + 1, text);
            }
            number(text).unwrap_or_else(|| {
                note(row, line, text);
                f64::NAN
            })
        };
        let cells = rows.map(cell).collect();
        if codes > 0 {
            notes.push(code_note(&feature.name, codes, code));
        }
        Cells::Numbers(cells)
    } else {
        let free = feature.kind == FeatureKind::Text || feature.values.iter().any(String::is_empty);
        let wanted: Vec<&str> = feature.values.iter().map(String::as_str).collect();
        let cell = |(row, (text, line)): (usize, (&str, u64))| {
            if absent(row, text) {
                return None;
            }
            if text.is_empty() && !free {
                note(row, line, "");
            }
            Some(spelled(records, at, text, &wanted).to_owned())
        };
        Cells::Texts(rows.map(cell).collect())
    };
    let Some((row, line, text)) = bad else { return Ok(cells) };
    let hint = match feature.kind.is_numeric() || records.is_blank(row) {
        true => cell_hint(records, (row, at), feature, text),
        false => hint,
    };
    let (column, text, more) = (feature.name.clone(), cut(text), and_more(bad_count));
    Err(TableError::Cell { line, column, text, expected, more, hint })
}

/// How many cells of a column are at fault beside the one that is told.
fn and_more(count: usize) -> String {
    match count - 1 {
        0 => String::new(),
        n => format!(" (and {n} more in this column)"),
    }
}

/// The likely fix for a text where a number belongs, or for a line without any.
fn cell_hint(
    records: &Records,
    (row, at): (usize, usize),
    feature: &Feature,
    text: &str,
) -> &'static str {
    if records.is_blank(row) {
        hint::BLANK_ROW
    } else if text == feature.name {
        hint::HEADER_AGAIN
    } else if records.number_in(at, text).is_some() {
        hint::NOT_WHOLE
    } else {
        number_hint(text)
    }
}

fn code_note(column: &str, codes: usize, code: &str) -> String {
    format!(
        "column `{column}` is read as numbers, but {codes} cells such as `{code}` begin with 0: \
         declare a code as a category"
    )
}

/// A truth value of a typed container as the declaration writes it: `True`, `yes` and `1` are
/// words of delimited text, the container knows only true and false.
fn spelled<'a>(records: &Records, at: usize, text: &'a str, wanted: &[&'a str]) -> &'a str {
    if !records.is_truth(at) || wanted.contains(&text) {
        return text;
    }
    let digit = if text == "true" { "1" } else { "0" };
    let same = |w: &&&str| w.eq_ignore_ascii_case(text) || **w == digit;
    wanted.iter().find(same).copied().unwrap_or(text)
}

fn outside(
    records: &Records,
    at: usize,
    feature: &Feature,
    cells: &Cells,
) -> Option<DomainViolation> {
    let (expected, rows): (String, Vec<usize>) = match cells {
        Cells::Numbers(numbers) => {
            let [lower, upper] = feature.bounds?;
            let out = |n: &f64| *n < lower || *n > upper;
            let rows = numbers.iter().enumerate().filter(|(_, n)| out(n)).map(|(row, _)| row);
            (format!("{lower} to {upper}"), rows.collect())
        }
        Cells::Texts(texts) => {
            if feature.values.is_empty() {
                return None;
            }
            let out = |t: &Option<String>| t.as_ref().is_some_and(|t| !feature.values.contains(t));
            let rows = texts.iter().enumerate().filter(|(_, t)| out(t)).map(|(row, _)| row);
            (format!("one of {}", quoted(&feature.values)), rows.collect())
        }
    };
    if rows.is_empty() {
        return None;
    }
    let example = |row: &usize| {
        let line = records.lines().get(*row).copied()?;
        Some((line, cut(records.field(*row, at)?)))
    };
    let examples = rows.iter().take(EXAMPLES_MAX).filter_map(example).collect();
    Some(DomainViolation { column: feature.name.clone(), expected, rows, examples })
}

/// Labels that are numbers. A missing one cannot be judged, so it is refused.
fn read_targets(records: &Records, label: &str) -> Result<Vec<f64>, TableError> {
    let at = records.position(label).unwrap_or_default();
    let mut targets = Vec::with_capacity(records.len());
    let mut bad: Option<(u64, &str)> = None;
    let mut bad_count = 0usize;
    for (text, line) in records.column(at).zip(records.lines()) {
        match records.number(text).filter(|n| n.is_finite()) {
            Some(number) => targets.push(number),
            None => {
                bad.get_or_insert((*line, text));
                bad_count += 1;
            }
        }
    }
    let Some((line, text)) = bad else { return Ok(targets) };
    let more = match bad_count - 1 {
        0 => String::new(),
        n => format!(" (and {n} more in this column)"),
    };
    Err(TableError::Cell {
        line,
        column: label.to_owned(),
        text: cut(text),
        expected: "a number, as the label of a regression is",
        more,
        hint: "remove rows without a label from the file, or check `dialect.decimal`",
    })
}

fn read_labels(
    records: &Records,
    asset: &DataAsset,
    label: &str,
    notes: &mut Vec<String>,
) -> Result<Vec<usize>, TableError> {
    let index: BTreeMap<&str, usize> =
        asset.classes.iter().enumerate().map(|(i, (_, value))| (value.as_str(), i)).collect();
    let wanted: Vec<&str> = index.keys().copied().collect();
    let at = records.position(label).unwrap_or_default();
    let mut labels = Vec::with_capacity(records.len());
    let mut dotted: Option<(&str, usize)> = None;
    for (text, line) in records.column(at).zip(records.lines()) {
        let text = spelled(records, at, text, &wanted);
        if let Some(class) = index.get(text) {
            labels.push(*class);
            continue;
        }
        // `<=50K.` of a file whose twin says `<=50K`: exactly a class and a full stop.
        if let Some(class) = text.strip_suffix('.').and_then(|t| index.get(t)) {
            dotted.get_or_insert((text, 0)).1 += 1;
            labels.push(*class);
            continue;
        }
        let known: Vec<String> =
            asset.classes.iter().map(|(name, value)| format!("`{value}` ({name})")).collect();
        let hint = match nearest(text, wanted.iter().copied()) {
            Some(near) => format!("; did you mean `{near}`?"),
            None => String::new(),
        };
        return Err(TableError::Label {
            line: *line,
            column: label.to_owned(),
            text: cut(text),
            known: known.join(", "),
            hint,
        });
    }
    if let Some((text, count)) = dotted {
        notes.push(format!(
            "{count} labels such as `{text}` end in a full stop that no class has: read without it"
        ));
    }
    Ok(labels)
}

fn quoted<S: AsRef<str>>(names: &[S]) -> String {
    let shown: Vec<String> =
        names.iter().take(NAMES_MAX).map(|n| format!("`{}`", n.as_ref())).collect();
    match names.len().saturating_sub(NAMES_MAX) {
        0 => shown.join(", "),
        n => format!("{} and {n} more", shown.join(", ")),
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(TEXT_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Names shown in a message; more would hide it.
const NAMES_MAX: usize = 12;
/// Characters of a cell shown in a message.
const TEXT_MAX: usize = 60;
/// Examples kept of the values outside a domain; the row numbers are all kept.
const EXAMPLES_MAX: usize = 10;
