//! Writes a first declaration from the assets that were found.
//!
//! Owns the words that ask a person. Must never decide for one: what only a person can know is
//! left as `"?"`, which [`super::parse`](super::parse()) refuses, below a line `# SAY:`. Called
//! by `proofmark init`.

use std::fmt::Write;

use toml_edit::{Key, Value};

use super::reader::UNSAID;
use super::{DataRole, FeatureKind};

mod found;

pub use found::{FoundColumn, FoundData, FoundImages, FoundModel, FoundTable, FoundTensor};

/// What was found in a folder. Paths are relative to it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Template {
    /// Name of the folder.
    pub folder: String,
    /// Data files.
    pub data: Vec<FoundData>,
    /// Model files.
    pub models: Vec<FoundModel>,
}

impl Template {
    /// The text of a declaration.
    pub fn render(&self) -> String {
        let mut out = Lines::default();
        out.raw("# Proofmark declaration. Lines that begin with `# SAY:` ask what only a person");
        out.raw("# can say; replace each \"?\" below them, then run `proofmark check`.");
        out.raw("format = \"proofmark.system/1\"");
        self.header(&mut out);
        for (index, data) in self.data.iter().enumerate() {
            self.data(&mut out, data, &self.data_name(index));
        }
        self.features(&mut out);
        for (index, model) in self.models.iter().enumerate() {
            self.model(&mut out, model, &self.model_name(index));
        }
        self.threat(&mut out);
        self.criterion(&mut out);
        people(&mut out);
        out.text
    }

    fn header(&self, out: &mut Lines) {
        out.section("system", "");
        out.pair("name", &quoted(&slug(&self.folder, "system")));
        out.pair("version", "\"0.1.0\"");
        out.say("who provides the system, as it stands in the papers");
        out.unsaid("provider");
        out.say("what the system is for");
        out.unsaid("purpose");
    }

    fn data(&self, out: &mut Lines, data: &FoundData, name: &str) {
        out.section("data", name);
        out.pair("path", &quoted(&data.path));
        match role(&data.path) {
            Some(role) => out.pair("role", &quoted(role)),
            None => {
                out.say("train, validation or test? figures come from test data");
                out.unsaid("role");
            }
        }
        if let Some(table) = &data.table {
            self.table_data(out, table);
        }
        if let Some(images) = &data.images {
            images_data(out, images);
        }
    }

    fn table_data(&self, out: &mut Lines, table: &FoundTable) {
        out.found(&format!("{} rows; {}", table.rows, table.dialect));
        let label = label_column(table);
        match label {
            Some(label) => {
                out.found("a column that is named like a label; correct it if it is another");
                out.pair("label", &quoted(&label.name));
            }
            None => {
                out.say("the column with the true outcome");
                out.unsaid("label");
            }
        }
        classes(out, label.map(|l| l.values.as_slice()).unwrap_or_default());
        let ids = table.columns.iter().filter(|c| self.numbers_rows(c, table));
        let ids: Vec<String> = ids.map(|c| quoted(&c.name)).collect();
        if !ids.is_empty() {
            out.found("columns that number the rows are ignored");
            out.pair("ignore", &format!("[{}]", ids.join(", ")));
        }
        let mut missing: Vec<String> =
            table.columns.iter().flat_map(|c| c.missing.clone()).collect();
        missing.sort_unstable();
        missing.dedup();
        if !missing.is_empty() {
            let texts: Vec<String> = missing.iter().map(|t| quoted(t)).collect();
            out.say(&format!(
                "which of these texts mean that a value is missing: {}",
                texts.join(", ")
            ));
            out.unsaid("missing");
        }
        let mut dialect = Vec::new();
        if !table.header {
            let names: Vec<String> = table.columns.iter().map(|c| quoted(&c.name)).collect();
            out.found("no header; give the columns their names here and below");
            dialect.push(format!("header = false, columns = [{}]", names.join(", ")));
        }
        if let Some(text) = &table.open_mark {
            out.say(&format!(
                "the decimal mark, \".\" or \",\": is `{text}` below ten, or over a thousand? then \
                 add `thousands` with the other mark"
            ));
            dialect.push(format!("decimal = {}", quoted(UNSAID)));
        }
        if !dialect.is_empty() {
            out.pair("dialect", &format!("{{ {} }}", dialect.join(", ")));
        }
    }

    /// A column that numbers the rows, and that no model reads by its name.
    fn numbers_rows(&self, column: &FoundColumn, table: &FoundTable) -> bool {
        let read = |model: &FoundModel| {
            let inputs = model.inputs.iter().map(|input| &input.name);
            inputs.chain(&model.columns).any(|name| *name == column.name)
        };
        is_id(column, table.rows) && !self.models.iter().any(read)
    }

    fn features(&self, out: &mut Lines) {
        let images = self.data.iter().find_map(|d| d.images.as_ref());
        if let Some(table) = self.leading_table() {
            let label = label_column(table);
            for column in &table.columns {
                if label.is_some_and(|l| l.name == column.name) || self.numbers_rows(column, table)
                {
                    continue;
                }
                feature(out, &self.over_all_files(column));
            }
        } else if let Some(images) = images {
            out.section("features", "image");
            out.pair("type", "\"image\"");
            let [c, h, w] = images.shape;
            out.pair("shape", &format!("[{c}, {h}, {w}]"));
            let [lower, upper] = images.range;
            out.found(&format!("pixels from {lower} to {upper}"));
            out.say("the range that a stored pixel can have, e.g. [0, 255]");
            out.unsaid("bounds");
            out.say("can an attacker change the image?");
            out.unsaid("mutable");
        }
    }

    /// The table whose columns become features: the test data where there are some.
    fn leading_table(&self) -> Option<&FoundTable> {
        let tables = || self.data.iter().filter(|d| d.table.is_some());
        let test = tables().find(|d| role(&d.path) == Some("test"));
        test.or(tables().next()).and_then(|d| d.table.as_ref())
    }

    /// A column with what every data file holds, so that bounds and values fit all of them.
    fn over_all_files(&self, column: &FoundColumn) -> FoundColumn {
        let mut all = column.clone();
        let tables = self.data.iter().filter_map(|d| d.table.as_ref());
        for other in tables.flat_map(|t| &t.columns).filter(|c| c.name == column.name) {
            all.kind = match (all.kind, other.kind) {
                (FeatureKind::Integer, FeatureKind::Number) => FeatureKind::Number,
                (kind, _) => kind,
            };
            if let (Some([low, high]), Some([least, most])) = (all.range, other.range) {
                all.range = Some([low.min(least), high.max(most)]);
            }
            all.distinct = all.distinct.max(other.distinct);
            join(&mut all.values, &other.values);
            join(&mut all.missing, &other.missing);
        }
        // Each file may hold few values, all together many.
        all.distinct = all.distinct.max(all.values.len());
        all
    }

    fn model(&self, out: &mut Lines, model: &FoundModel, name: &str) {
        out.section("models", name);
        out.pair("path", &quoted(&model.path));
        if self.models.len() == 1 {
            out.pair("role", "\"primary\"");
        } else {
            out.say("primary (the one that decides), backup or candidate?");
            out.unsaid("role");
        }
        let outputs: Vec<String> = model.outputs.iter().map(tensor).collect();
        out.found(&format!("outputs {}", outputs.join(", ")));
        let judged = judged_output(&model.outputs);
        let name = judged.map(|o| format!("name = {}, ", quoted(&o.name))).unwrap_or_default();
        let kind = judged.and_then(|o| output_kind(&o.name)).unwrap_or(UNSAID);
        if kind == UNSAID {
            out.say("what the output holds: probability, logit, score or label");
        }
        out.pair("output", &format!("{{ {name}kind = {} }}", quoted(kind)));
        out.say("how the system decides: \"argmax\", or { class = \"...\", at = 0.5 }");
        out.unsaid("decision");
        match &model.expected {
            Some(path) => out.pair("expected", &quoted(path)),
            None => out.raw("# expected = \"expected.npy\"  # scores of the training framework"),
        }
        let inputs: Vec<String> = model.inputs.iter().map(tensor).collect();
        out.found(&format!("inputs {}", inputs.join(", ")));
        if let [input] = model.inputs.as_slice() {
            self.input(out, model, input);
        }
    }

    /// Whether the leading table has all these columns.
    fn holds(&self, columns: &[String]) -> bool {
        let Some(table) = self.leading_table() else { return false };
        let held = |name: &String| table.columns.iter().any(|c| c.name == *name);
        !columns.is_empty() && columns.iter().all(held)
    }

    fn input(&self, out: &mut Lines, model: &FoundModel, input: &FoundTensor) {
        let images = self.data.iter().any(|d| d.images.is_some());
        if images && input.shape.len() == 4 {
            let channels = self.data.iter().find_map(|d| d.images.as_ref()).map(|i| i.shape[0]);
            let last = input.shape.last().copied().flatten() == channels;
            let first = input.shape.get(1).copied().flatten() == channels;
            let layout = if last && !first { "nhwc" } else { "nchw" };
            out.say("the range of the input, and mean and std per channel if it is normalised");
            let range = quoted(UNSAID);
            out.pair("input", &format!("{{ layout = \"{layout}\", range = {range} }}"));
        } else if !images && input.shape.len() == 2 && input.shape.get(1) != Some(&Some(1)) {
            let width = input.shape.get(1).copied().flatten();
            let width = width.map(|k| format!("the {k} columns")).unwrap_or("the columns".into());
            if self.holds(&model.columns) {
                let names: Vec<String> = model.columns.iter().map(|name| quoted(name)).collect();
                out.found(&format!("the model names its columns: [{}]", names.join(", ")));
                return;
            }
            if let Some(table) = self.leading_table() {
                let label = label_column(table);
                let read = table.columns.iter().filter(|c| {
                    label.is_none_or(|l| l.name != c.name) && !self.numbers_rows(c, table)
                });
                let names: Vec<String> = read.map(|c| quoted(&c.name)).collect();
                out.found(&format!("columns as the file orders them: [{}]", names.join(", ")));
            }
            out.say(&format!("{width} of the input in the order of the training code"));
            out.pair("input", &format!("{{ columns = {} }}", quoted(UNSAID)));
        }
    }

    fn threat(&self, out: &mut Lines) {
        let images = self.data.iter().any(|d| d.images.is_some());
        out.section("threats", "attacker");
        out.pair("norm", "\"linf\"");
        if images {
            out.say("budgets in steps of a pixel, e.g. [2, 4, 8]");
            out.unsaid("eps");
            out.pair("scale", "\"0-255\"");
        } else {
            out.say("budgets as shares of each feature's bounds, e.g. [0.02, 0.05, 0.1]");
            out.unsaid("eps");
            out.pair("scale", "\"bounds\"");
            out.say("which decision the attacker gets now, and which one is wanted");
            out.pair("goal", &format!("{{ from = {0}, to = {0} }}", quoted(UNSAID)));
        }
        out.say("what the attacker sees: white-box, score or decision");
        out.unsaid("access");
    }

    fn criterion(&self, out: &mut Lines) {
        let test = self.data.iter().position(|d| role(&d.path) == Some("test"));
        out.section("criteria", "accuracy");
        out.pair("metric", "\"balanced_accuracy\"");
        match self.models.len() {
            1 => out.pair("model", &quoted(&self.model_name(0))),
            _ => {
                out.say("which model");
                out.unsaid("model");
            }
        }
        match test {
            Some(index) => out.pair("data", &quoted(&self.data_name(index))),
            None => {
                out.say("which data set");
                out.unsaid("data");
            }
        }
        out.say("the threshold, fixed before any run, and the confidence to reach it with");
        out.unsaid("at_least");
        out.unsaid("confidence");
        out.say("why this threshold fits, and who approved it");
        out.unsaid("rationale");
        out.unsaid("approver");
    }

    fn data_name(&self, index: usize) -> String {
        name_of(self.data.iter().map(|d| d.path.as_str()), index, "data")
    }

    fn model_name(&self, index: usize) -> String {
        name_of(self.models.iter().map(|m| m.path.as_str()), index, "model")
    }
}

/// The text that grows.
#[derive(Default)]
struct Lines {
    text: String,
}

impl Lines {
    fn raw(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }
    fn section(&mut self, kind: &str, name: &str) {
        let name = if name.is_empty() { String::new() } else { format!(".{}", Key::new(name)) };
        self.raw(&format!("\n[{kind}{name}]"));
    }
    fn pair(&mut self, key: &str, value: &str) {
        // Writing to a text cannot fail.
        let _ = writeln!(self.text, "{key} = {value}");
    }
    fn unsaid(&mut self, key: &str) {
        self.pair(key, &quoted(UNSAID));
    }
    fn say(&mut self, words: &str) {
        self.raw(&format!("# SAY: {}", one_line(words)));
    }
    fn found(&mut self, words: &str) {
        self.raw(&format!("# found: {}", one_line(words)));
    }
}

/// What the register of risks and the gate want, as comments: no measurement needs it.
fn people(out: &mut Lines) {
    out.raw(PEOPLE);
}

fn images_data(out: &mut Lines, images: &FoundImages) {
    out.found(&format!("{} images", images.rows));
    match &images.labels {
        Some(path) => out.pair("labels", &quoted(path)),
        None if images.folder && !images.label_values.is_empty() => {
            // Every class has its name already; a person may still give it another.
            let names = images.label_values.iter();
            let pair = |name: &String| format!("{} = {}", Key::new(name.as_str()), quoted(name));
            let pairs: Vec<String> = names.map(pair).collect();
            out.found("subfolders are the classes; name = \"subfolder\"");
            return out.pair("classes", &format!("{{ {} }}", pairs.join(", ")));
        }
        None if images.folder => {
            out.say("a list of the labels, with the columns `file` and `label` (.csv)");
            out.unsaid("labels");
        }
        None => {
            out.say("the file with the labels (.npy or IDX)");
            out.unsaid("labels");
        }
    }
    classes(out, &images.label_values);
}

fn classes(out: &mut Lines, values: &[String]) {
    out.say("name each class: { <name> = \"<value in the file>\" }");
    if !values.is_empty() {
        let values: Vec<String> = values.iter().take(VALUES_MAX).map(|v| quoted(v)).collect();
        out.found(&format!("label values {}", values.join(", ")));
    }
    out.unsaid("classes");
}

fn feature(out: &mut Lines, column: &FoundColumn) {
    out.section("features", &column.name);
    let kind = match column.kind {
        FeatureKind::Number => "number",
        FeatureKind::Integer => "integer",
        FeatureKind::Category => "category",
        FeatureKind::Ordinal => "ordinal",
        FeatureKind::Boolean => "boolean",
        FeatureKind::Text | FeatureKind::Image | FeatureKind::Series => "text",
    };
    out.pair("type", &quoted(kind));
    if let Some([lower, upper]) = column.range.filter(|_| column.kind.is_numeric()) {
        out.found(&format!("{} values from {lower} to {upper}", column.distinct));
        out.say("can a person or attacker change it? if true, add `bounds = [lowest, highest]`");
        out.unsaid("mutable");
    } else if column.distinct <= VALUES_MAX && !matches!(kind, "text") {
        let present = column.values.iter().filter(|v| !column.missing.contains(v));
        let values: Vec<String> = present.map(|v| quoted(v)).collect();
        if kind == "boolean" {
            out.say("first the value that means false, then the one that means true");
            out.found(&values.join(", "));
            out.unsaid("values");
        } else {
            out.pair("values", &format!("[{}]", values.join(", ")));
        }
    }
    let lower = column.name.to_lowercase();
    if PROTECTED.iter().any(|word| lower.split(['_', ' ', '-', '.']).any(|part| part == *word)) {
        let edges = if column.kind.is_numeric() { ", with `group_edges = [25, 50]`" } else { "" };
        out.say(&format!("true if figures are to be given per group{edges}"));
        out.unsaid("group");
        out.say("false if the model does not read this column");
        out.unsaid("input");
    }
}

/// Adds what is not there yet; the order stays where nothing is added.
fn join(texts: &mut Vec<String>, more: &[String]) {
    let known = texts.len();
    for text in more {
        if !texts.contains(text) {
            texts.push(text.clone());
        }
    }
    if texts.len() > known {
        texts.sort();
    }
}

/// The column that is named like a label, when there is one.
fn label_column(table: &FoundTable) -> Option<&FoundColumn> {
    let named = |word: &str| table.columns.iter().find(|c| c.name.eq_ignore_ascii_case(word));
    LABELS.iter().find_map(|word| named(word))
}

/// A column that numbers the rows.
fn is_id(column: &FoundColumn, rows: usize) -> bool {
    let named = matches!(column.name.to_lowercase().as_str(), "id" | "index" | "row" | "");
    named && column.distinct == rows
}

fn judged_output(outputs: &[FoundTensor]) -> Option<&FoundTensor> {
    let float = |o: &&FoundTensor| o.dtype.starts_with('f');
    let map = |o: &&FoundTensor| o.dtype == MAP;
    outputs.iter().find(float).or(outputs.iter().find(map)).or(outputs.first())
}

fn output_kind(name: &str) -> Option<&'static str> {
    let name = name.to_lowercase();
    let known = [("prob", "probability"), ("logit", "logit"), ("label", "label")];
    known.into_iter().find(|(word, _)| name.contains(word)).map(|(_, kind)| kind)
}

fn role(path: &str) -> Option<&'static str> {
    let stem = stem(path).to_lowercase();
    let known = [
        ("train", DataRole::Train, "train"),
        ("val", DataRole::Validation, "validation"),
        ("test", DataRole::Test, "test"),
        ("t10k", DataRole::Test, "test"),
    ];
    known.into_iter().find(|(word, ..)| stem.contains(word)).map(|(.., name)| name)
}

fn stem(path: &str) -> &str {
    // A folder is written with its last `/`.
    let path = path.trim_end_matches('/');
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split('.').next().unwrap_or(file)
}

/// A name from the file's, with a number when an earlier file has the same.
fn name_of<'a>(paths: impl Iterator<Item = &'a str>, index: usize, fallback: &str) -> String {
    let names: Vec<String> = paths.take(index + 1).map(|p| slug(stem(p), fallback)).collect();
    let Some(name) = names.last() else { return fallback.to_owned() };
    match names.iter().filter(|n| *n == name).count() {
        1 => name.clone(),
        count => format!("{name}-{count}"),
    }
}

fn slug(text: &str, fallback: &str) -> String {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let text: String =
        text.to_lowercase().chars().map(|c| if fits(c) { c } else { '-' }).take(SLUG_MAX).collect();
    let text = text.trim_matches('-');
    if text.is_empty() { fallback.to_owned() } else { text.to_owned() }
}

fn tensor(tensor: &FoundTensor) -> String {
    if tensor.dtype == MAP {
        return format!("`{}` {MAP} of label to score", tensor.name);
    }
    let dims: Vec<String> =
        tensor.shape.iter().map(|d| d.map_or("n".to_owned(), |d| d.to_string())).collect();
    format!("`{}` {} [{}]", tensor.name, tensor.dtype, dims.join(", "))
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string().trim().to_owned()
}

/// A comment must not break out of its line.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Sections that a release needs and a first measurement does not.
const PEOPLE: &str = "
# Before a release, say who answers for what, and what a failure does to people; docs/risk.md.
# [people.owner]
# name = \"\"
# role = \"\"
# [use]
# retest_days = 90            # after so many days a figure is measured again
# risk_owner = \"owner\"      # writes the register of risks
# approver = \"\"             # another person, who accepts
# no_misuse = \"\"            # why none can be foreseen, or declare [misuse.<name>]
# [harms.<name>]
# class = \"\"                # health, safety, fundamental-rights or property
# severity = 3                # 1 negligible to 5 catastrophic
# people = \"\"               # who is harmed
# vulnerable = \"\"           # what it means for minors and vulnerable groups
# rationale = \"\"
# and at each threat: actor, harm, attempts_per_year = [least, most], attempts_reason";
/// How a [`FoundTensor`] says that each row is a map, as scikit-learn's `zipmap` writes it.
const MAP: &str = "map";
/// Names that a label column often has.
const LABELS: [&str; 8] =
    ["class", "label", "target", "outcome", "y", "default", "approved", "income"];
/// Words in the names of columns that groups are often made of.
const PROTECTED: [&str; 8] =
    ["sex", "gender", "age", "race", "ethnicity", "nationality", "foreign", "religion"];
/// Values written out; a category with more is left open.
const VALUES_MAX: usize = 40;
/// Characters of a name made from a file name.
const SLUG_MAX: usize = 40;
