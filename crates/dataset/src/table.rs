//! A table: records typed by the declaration, with labels as class indices.
//!
//! Owns the typing of cells and what lies outside the declared domain. Must never clip, fill or
//! drop: a cell is read as declared or refused by line and column. Called by `proofmark`.

use std::collections::BTreeMap;

use proofmark_schema::system::{DataAsset, Feature, FeatureKind, nearest};

use crate::csv::{self, CsvError, Dialect, Hints, Records, Sentinel};

/// A typed table of `n` rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// Rows.
    pub n: usize,
    /// Declared features, in the order of the declaration.
    pub columns: Vec<Column>,
    /// Class index per row, in the order of `classes` of the data set.
    pub labels: Vec<usize>,
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
        check_columns(&records, asset, features, label)?;
        let missing = |text: &str| asset.missing.iter().any(|m| m == text);
        let mut columns = Vec::with_capacity(features.len());
        let mut violations = Vec::new();
        for feature in features {
            let Some(at) = records.position(&feature.name) else { continue };
            let cells = type_cells(&records, at, feature, &missing)?;
            violations.extend(outside(&records, at, feature, &cells));
            columns.push(Column { name: feature.name.clone(), kind: feature.kind, cells });
        }
        let labels = read_labels(&records, asset, label)?;
        let surprising = |s: &Sentinel| {
            let feature = features.iter().find(|f| f.name == s.column);
            !missing(&s.text) && feature.is_some_and(|f| !f.values.contains(&s.text))
        };
        Ok(Self {
            n: records.len(),
            columns,
            classes: count_classes(&asset.classes, &labels),
            labels,
            lines: records.lines().to_vec(),
            warnings: records.sentinels().into_iter().filter(surprising).collect(),
            dialect: records.dialect,
            violations,
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
        if let [first, second, ..] = records.positions(name).as_slice() {
            let (first, second) = (first + 1, second + 1);
            return Err(TableError::ColumnTwice { name: name.to_owned(), first, second });
        }
    }
    let extra: Vec<&String> =
        records.columns.iter().filter(|c| !declared.contains(&c.as_str())).collect();
    if !extra.is_empty() {
        return Err(TableError::ColumnUndeclared { names: quoted(&extra) });
    }
    Ok(())
}

fn type_cells(
    records: &Records,
    at: usize,
    feature: &Feature,
    missing: &dyn Fn(&str) -> bool,
) -> Result<Cells, TableError> {
    let (expected, hint) = match feature.kind {
        FeatureKind::Number => ("a number", NUMBER_HINT),
        FeatureKind::Integer => ("a whole number", NUMBER_HINT),
        _ => ("a value", "add `\"\"` to `missing`, or list it in `values`"),
    };
    let mut bad: Option<(u64, &str)> = None;
    let mut bad_count = 0usize;
    let mut note = |line: u64, text| {
        bad.get_or_insert((line, text));
        bad_count += 1;
    };
    let rows = records.column(at).zip(records.lines().iter().copied());
    let cells = if feature.kind.is_numeric() {
        let whole = feature.kind == FeatureKind::Integer;
        let number = |text: &str| records.number(text).filter(|n| !whole || n.fract() == 0.0);
        let cell = |(text, line)| {
            if missing(text) {
                return f64::NAN;
            }
            number(text).unwrap_or_else(|| {
                note(line, text);
                f64::NAN
            })
        };
        Cells::Numbers(rows.map(cell).collect())
    } else {
        let free = feature.kind == FeatureKind::Text || feature.values.iter().any(String::is_empty);
        let cell = |(text, line): (&str, u64)| {
            if missing(text) {
                return None;
            }
            if text.is_empty() && !free {
                note(line, "");
            }
            Some(text.to_owned())
        };
        Cells::Texts(rows.map(cell).collect())
    };
    let Some((line, text)) = bad else { return Ok(cells) };
    let more = match bad_count - 1 {
        0 => String::new(),
        n => format!(" (and {n} more in this column)"),
    };
    let (column, text) = (feature.name.clone(), cut(text));
    Err(TableError::Cell { line, column, text, expected, more, hint })
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

fn read_labels(
    records: &Records,
    asset: &DataAsset,
    label: &str,
) -> Result<Vec<usize>, TableError> {
    let index: BTreeMap<&str, usize> =
        asset.classes.iter().enumerate().map(|(i, (_, value))| (value.as_str(), i)).collect();
    let at = records.position(label).unwrap_or_default();
    let mut labels = Vec::with_capacity(records.len());
    for (text, line) in records.column(at).zip(records.lines()) {
        let Some(class) = index.get(text) else {
            let known: Vec<String> =
                asset.classes.iter().map(|(name, value)| format!("`{value}` ({name})")).collect();
            let hint = match nearest(text, index.keys().copied()) {
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
        };
        labels.push(*class);
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

const NUMBER_HINT: &str =
    "mend the cell, add the text to `missing`, or check the type and `dialect.decimal`";
/// Names shown in a message; more would hide it.
const NAMES_MAX: usize = 12;
/// Characters of a cell shown in a message.
const TEXT_MAX: usize = 60;
/// Examples kept of the values outside a domain; the row numbers are all kept.
const EXAMPLES_MAX: usize = 10;
