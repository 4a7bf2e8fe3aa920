//! Reads `[data.<name>]`.
//!
//! Owns what holds within one data set. What holds between sections is in `check`.

use super::parse::{check_slug, read_path};
use super::reader::Section;
use super::{DataAsset, DataFormat, DataRole, DialectPins, Task, TextEncoding};

/// Reads one data set; what is wrong is reported and left at a neutral value.
pub(super) fn read(section: &Section<'_>) -> DataAsset {
    section.only(&KEYS);
    check_slug(section, "data set");
    section.need("path", "path = \"test.csv\"");
    section.need("role", "role = \"test\"");
    let task = section.choice("task", &TASKS).unwrap_or_default();
    if task == Task::Classification {
        section.need("classes", "classes = { good = \"1\", bad = \"2\" }");
    }
    let format = section.choice("format", &FORMATS);
    let mut dialect = section.section("dialect").map(|s| read_dialect(&s)).unwrap_or_default();
    dialect.format = format;
    // With a pin the name of the file says nothing.
    let endings: &[&str] = if format.is_some() { &ANY_ENDING } else { &DATA_ENDINGS };
    let asset = DataAsset {
        name: section.name().to_owned(),
        path: read_path(section, "path", endings).unwrap_or_default(),
        role: section.choice("role", &ROLES).unwrap_or(DataRole::Train),
        label: section.is_text("label").then(|| section.text("label")).flatten(),
        labels: read_path(section, "labels", &LABEL_ENDINGS),
        classes: section.pairs("classes").unwrap_or_default(),
        ignore: section.texts("ignore").unwrap_or_default(),
        missing: section.texts("missing").unwrap_or_default(),
        dialect,
        limit: section.whole("limit").and_then(|n| usize::try_from(n).ok()),
        task,
        unit: section.text("unit"),
        quantiles: section.numbers("quantiles").unwrap_or_else(|| match task {
            Task::Classification => Vec::new(),
            Task::Regression => vec![QUANTILE_DEFAULT],
        }),
    };
    if section.has("label") && !section.is_text("label") {
        section.text("label");
    }
    check_labels(section, &asset);
    if task == Task::Regression {
        check_regression(section, &asset);
    } else {
        check_classes(section, &asset);
        for key in ["unit", "quantiles"] {
            if section.has(key) {
                let message = format!("`{key}` is about a label that is a number");
                let help = "write `task = \"regression\"`, or remove it";
                section.refuse("key-of-regression", key, message, "labels are classes", help);
            }
        }
    }
    check_lists(section, &asset);
    asset
}

fn check_labels(section: &Section<'_>, asset: &DataAsset) {
    if section.has("label") && section.has("labels") {
        let help = "a table has `label`, the name of its column; images have `labels`, a file";
        let message = format!("`{}` has both `label` and `labels`", section.title());
        section.refuse("label-twice", "labels", message, "one of the two", help);
        return;
    }
    if asset.path.is_empty() {
        return;
    }
    if asset.is_table() {
        if section.has("labels") {
            let message = "a table has its labels in a column, not in a file";
            let help = "write `label = \"<column>\"`";
            section.refuse("labels-of-table", "labels", message, "not for tables", help);
        } else {
            section.need("label", "label = \"class\"");
        }
    } else if section.has("label") {
        let message = "this data set has no columns, so its labels are in a file";
        let help = "write `labels = \"labels.npy\"`";
        section.refuse("label-of-images", "label", message, "not for this file type", help);
    } else if !asset.is_folder() {
        section.need("labels", "labels = \"labels.npy\"");
    }
    for key in ["ignore", "missing", "dialect"] {
        if !asset.is_table() && section.has(key) {
            let message = format!("`{key}` is about the columns of a table");
            let help = "remove it: this data set is not a table";
            section.refuse("key-of-table", key, message, "not for this file type", help);
        }
    }
}

fn check_classes(section: &Section<'_>, asset: &DataAsset) {
    if !section.read_well("classes") {
        return;
    }
    if asset.classes.len() < 2 {
        let message = format!("`{}` declares {} class", section.title(), asset.classes.len());
        let help = "declare at least two classes, each with its value in the file";
        section.refuse("too-few-classes", "classes", message, "too few", help);
    }
    for (index, (name, value)) in asset.classes.iter().enumerate() {
        if let Some((first, _)) = asset.classes.iter().take(index).find(|(_, v)| v == value) {
            let message = format!("classes `{first}` and `{name}` have the same value `{value}`");
            let help = "give each class the value that stands for it in the file";
            section.refuse("duplicate-value", "classes", message, "the same value twice", help);
        }
        if name.trim().is_empty() {
            let message = "a class has no name";
            section.refuse("bad-name", "classes", message, "empty name", "name the class");
        }
    }
}

fn check_regression(section: &Section<'_>, asset: &DataAsset) {
    if section.has("classes") {
        let message = "the label of a regression is a number, it has no classes";
        let help = "remove `classes`, or remove `task = \"regression\"`";
        section.refuse("classes-of-number", "classes", message, "not for a regression", help);
    }
    let inside = |q: &f64| *q > 0.0 && *q < 1.0;
    let ascending = asset.quantiles.windows(2).all(|w| w.first() < w.last());
    let read = section.has("quantiles") && section.read_well("quantiles");
    if read && (asset.quantiles.is_empty() || !ascending || !asset.quantiles.iter().all(inside)) {
        let message = "quantiles lie between 0 and 1 and ascend";
        let help = "write e.g. `quantiles = [0.9, 0.95]`";
        section.refuse("bad-quantiles", "quantiles", message, "no such list", help);
    }
}

fn check_lists(section: &Section<'_>, asset: &DataAsset) {
    section.refuse_repeats("ignore", &asset.ignore);
    section.refuse_repeats("missing", &asset.missing);
    if asset.limit == Some(0) {
        let message = "a limit of 0 leaves no row";
        let help = "write at least 1, or remove `limit` to use every row";
        section.refuse("bad-limit", "limit", message, "no row is left", help);
    }
    if let Some(label) = asset.label.as_ref().filter(|l| asset.ignore.contains(l)) {
        let message = format!("the label column `{label}` is also ignored");
        let help = format!("remove `{label}` from `ignore`");
        section.refuse("label-ignored", "ignore", message, "holds the label", help);
    }
}

fn read_dialect(section: &Section<'_>) -> DialectPins {
    section.only(&["delimiter", "decimal", "header", "columns", "encoding", "thousands"]);
    let delimiter = section.text_raw("delimiter");
    if let Some(text) = delimiter.as_ref().filter(|d| !DELIMITERS.contains(&d.as_str())) {
        let message = format!("`{}` is no delimiter that is read", text.escape_debug());
        let help = "one of `,`, `;`, `\\t`, `|`, or `blank` for runs of blanks";
        section.refuse("bad-dialect", "delimiter", message, "not known", help);
    }
    let decimal = section.choice("decimal", &[(".", '.'), (",", ',')]);
    if decimal == Some(',') && delimiter.as_deref() == Some(",") {
        let message = "the comma is both the delimiter and the decimal mark";
        let help = "set `delimiter` to what separates the columns, or `decimal = \".\"`";
        section.refuse("bad-dialect", "decimal", message, "same as the delimiter", help);
    }
    let thousands = section.choice("thousands", &THOUSANDS);
    if thousands.is_some() && thousands == Some(decimal.unwrap_or('.')) {
        let message = "the mark of thousands is also the decimal mark";
        let help = "set `decimal` to the other one, e.g. `decimal = \",\", thousands = \".\"`";
        section.refuse("bad-dialect", "thousands", message, "same as the decimal mark", help);
    }
    let encoding = section.choice("encoding", &ENCODINGS);
    let header = section.flag("header");
    let mut columns = section.texts("columns").filter(|c| !c.is_empty());
    if let Some(names) = &columns {
        section.refuse_repeats("columns", names);
        if header.is_none() {
            columns = None;
            let message = "`columns` names the columns, but is the first line a header or data?";
            let help = "add `header = false`, or `header = true` to replace the names of a header";
            section.refuse("bad-dialect", "columns", message, "say `header` too", help);
        }
    }
    DialectPins { delimiter, decimal, header, columns, encoding, thousands, format: None }
}

/// Endings of data files. `-ubyte` is how the MNIST family names its IDX files; `/` ends a folder
/// of images.
pub(super) const DATA_ENDINGS: [&str; 21] = [
    ".csv",
    ".tsv",
    ".data",
    ".txt",
    ".parquet",
    ".pq",
    ".arrow",
    ".arrows",
    ".feather",
    ".ipc",
    ".jsonl",
    ".ndjson",
    ".json",
    ".npy",
    ".npz",
    ".idx",
    ".idx.gz",
    "-ubyte",
    "-ubyte.gz",
    ".test",
    "/",
];
const ANY_ENDING: [&str; 1] = [""];
const LABEL_ENDINGS: [&str; 7] = [".npy", ".npz", ".idx", ".idx.gz", "-ubyte", "-ubyte.gz", ".csv"];
const ROLES: [(&str, DataRole); 3] =
    [("train", DataRole::Train), ("validation", DataRole::Validation), ("test", DataRole::Test)];
const FORMATS: [(&str, DataFormat); 5] = [
    ("csv", DataFormat::Csv),
    ("parquet", DataFormat::Parquet),
    ("arrow", DataFormat::Arrow),
    ("jsonl", DataFormat::Jsonl),
    ("images", DataFormat::Images),
];
const ENCODINGS: [(&str, TextEncoding); 4] = [
    ("utf-8", TextEncoding::Utf8),
    ("utf-16", TextEncoding::Utf16),
    ("windows-1252", TextEncoding::Windows1252),
    ("latin-1", TextEncoding::Windows1252),
];
const THOUSANDS: [(&str, char); 4] = [(",", ','), (".", '.'), ("'", '\''), (" ", ' ')];
const TASKS: [(&str, Task); 2] =
    [("classification", Task::Classification), ("regression", Task::Regression)];
/// Nine rows of ten err by less: the figure that a mean hides.
const QUANTILE_DEFAULT: f64 = 0.9;
const DELIMITERS: [&str; 5] = [",", ";", "\t", "|", "blank"];
const KEYS: [&str; 13] = [
    "path",
    "role",
    "label",
    "labels",
    "classes",
    "ignore",
    "missing",
    "dialect",
    "limit",
    "format",
    "task",
    "unit",
    "quantiles",
];
