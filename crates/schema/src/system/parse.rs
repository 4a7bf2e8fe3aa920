//! From the text of a declaration to a [`System`], or to all that is wrong with it.
//!
//! Owns the order of reading: sections first, then what holds between them. Must never open a
//! file. Called by `proofmark` for every verb that works on a declared system.

use toml_edit::Document;

use super::diagnostic::{Diagnostic, Spans, suggest};
use super::reader::{Reader, Section};
use super::{
    System, Use, check, constraints, criteria, data, faults, features, models, people, threats,
};

/// The format tag of a declaration.
pub const FORMAT: &str = "proofmark.system/1";

/// Parses a declaration.
///
/// # Errors
/// Every problem found, in the order of the text.
pub fn parse(text: &str) -> Result<System, Vec<Diagnostic>> {
    parse_spanned(text).map(|(system, _)| system)
}

/// Parses a declaration and keeps where each value stands.
///
/// # Errors
/// Every problem found, in the order of the text.
pub fn parse_spanned(text: &str) -> Result<(System, Spans), Vec<Diagnostic>> {
    if text.len() > BYTES_MAX {
        let message = format!("the declaration has {} bytes, at most {BYTES_MAX}", text.len());
        let help = "declare fewer features or split the system";
        return Err(vec![Diagnostic::new("too-long", 0..0, message, "starts here", help)]);
    }
    let document = Document::parse(text).map_err(|error| vec![syntax(text, &error)])?;
    let reader = Reader::default();
    let system = read(&Section::root(&reader, document.as_table()));
    check::check(&reader, &system);
    let (problems, spans) = reader.finish();
    if problems.is_empty() { Ok((system, spans)) } else { Err(problems) }
}

fn read(root: &Section<'_>) -> System {
    root.only(&[
        "format",
        "system",
        "data",
        "features",
        "models",
        "threats",
        "faults",
        "criteria",
        "declared",
        "people",
        "harms",
        "misuse",
        "use",
        "papers",
        "constraints",
    ]);
    root.need("format", "format = \"proofmark.system/1\"");
    if let Some(format) = root.text("format").filter(|f| f != FORMAT) {
        let message = format!("`{format}` is not a format that is read here");
        root.refuse("unknown-format", "format", message, "not known", format!("write `{FORMAT}`"));
    }
    let mut system = System {
        name: String::new(),
        version: String::new(),
        provider: String::new(),
        purpose: String::new(),
        demo: false,
        seed: 0,
        data: root.sections("data").iter().map(data::read).collect(),
        features: root.sections("features").iter().map(features::read).collect(),
        models: root.sections("models").iter().map(models::read).collect(),
        threats: root.sections("threats").iter().map(threats::read).collect(),
        faults: root.sections("faults").iter().map(faults::read).collect(),
        criteria: root.sections("criteria").iter().map(criteria::read).collect(),
        declared: root.sections("declared").iter().filter_map(criteria::read_declared).collect(),
        people: root.sections("people").iter().map(people::read_person).collect(),
        harms: root.sections("harms").iter().map(people::read_harm).collect(),
        misuse: root.sections("misuse").iter().map(people::read_misuse).collect(),
        upkeep: root.section("use").map_or_else(Use::default, |s| people::read_use(&s)),
        papers: root.sections("papers").iter().map(people::read_authored).collect(),
        constraints: root.section("constraints").map(|s| constraints::read(&s)).unwrap_or_default(),
    };
    root.need("system", "[system]");
    if let Some(section) = root.section("system") {
        read_header(&section, &mut system);
    }
    settle(&mut system);
    system
}

fn read_header(section: &Section<'_>, system: &mut System) {
    section.only(&["name", "version", "provider", "purpose", "demo", "seed"]);
    for (key, example) in [
        ("name", "name = \"credit\""),
        ("version", "version = \"1.0.0\""),
        ("provider", "provider = \"Example Bank AG\""),
        ("purpose", "purpose = \"decides on credit applications of natural persons\""),
    ] {
        section.need(key, example);
    }
    let name = section.text("name");
    if let Some(name) = name.as_deref().filter(|n| !is_slug(n, false)) {
        let message = format!("`{name}` is not a system name");
        let help = "use a-z, 0-9 and hyphens only";
        section.refuse("bad-name", "name", message, "not allowed", help);
    }
    system.name = name.unwrap_or_default();
    system.version = section.text("version").unwrap_or_default();
    system.provider = section.text("provider").unwrap_or_default();
    system.purpose = section.text("purpose").unwrap_or_default();
    system.demo = section.flag("demo").unwrap_or(false);
    system.seed = section.whole("seed").unwrap_or(0);
}

/// Fills what the declaration leaves to its own other parts.
fn settle(system: &mut System) {
    let Some(test) = system.data.iter().find(|d| d.role == super::DataRole::Test) else { return };
    let classes: Vec<String> = test.classes.iter().map(|(name, _)| name.clone()).collect();
    let test = test.name.clone();
    for model in &mut system.models {
        if model.output.classes.is_empty() {
            model.output.classes = classes.clone();
        }
        if model.expected.is_some() && model.expected_data.is_none() {
            model.expected_data = Some(test.clone());
        }
    }
}

/// Whether a name may stand in ids and file names: `[a-z0-9-]+`, with `_` when allowed.
pub(super) fn is_slug(name: &str, underscore: bool) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !name.is_empty()
        && name.len() <= NAME_MAX
        && name.chars().all(|c| fits(c) || (underscore && c == '_'))
}

/// Refuses a section whose name cannot stand in ids.
pub(super) fn check_slug(reader: &Section<'_>, kind: &str) {
    let name = reader.name();
    if !is_slug(name, true) {
        let message = format!("`{name}` is no name of a {kind}");
        let help = format!("use a-z, 0-9, `-` and `_`, at most {NAME_MAX} characters");
        reader.refuse_name("bad-name", message, "not allowed", help);
    }
}

/// A path below the folder of the declaration, with one of some endings.
pub(super) fn read_path(section: &Section<'_>, key: &str, endings: &[&str]) -> Option<String> {
    let path = section.text(key)?;
    if let Err((label, help)) = confined(&path) {
        let message = format!("`{path}` does not stay in the folder of the declaration");
        section.refuse("path-outside", key, message, label, help);
        return None;
    }
    let lower = path.to_lowercase();
    if !endings.iter().any(|e| lower.ends_with(e)) {
        let message = format!("`{path}` is no file that `{key}` can name");
        let help = ending_help(&lower, endings);
        section.refuse("unknown-file-type", key, message, "ending not known", help);
        return None;
    }
    Some(path)
}

fn confined(path: &str) -> Result<(), (&'static str, &'static str)> {
    let inside = "copy the file beside the declaration and name it relative to there";
    let drive = path.as_bytes().get(1) == Some(&b':');
    if path.starts_with('/') || drive {
        return Err(("absolute", inside));
    }
    if path.contains('\\') || path.contains(char::is_control) {
        return Err(("not a portable path", "separate folders by `/`, without control characters"));
    }
    if path.split('/').any(|part| part == "..") {
        return Err(("leaves the folder", inside));
    }
    // A folder may be written with its last `/`.
    if path.strip_suffix('/').unwrap_or(path).split('/').any(str::is_empty) {
        return Err(("has an empty part", "remove the doubled or last `/`"));
    }
    Ok(())
}

fn ending_help(path: &str, endings: &[&str]) -> String {
    let python = [".joblib", ".pkl", ".pickle", ".pt", ".pth", ".h5", ".keras"];
    if endings.contains(&".onnx") && python.iter().any(|e| path.ends_with(e)) {
        return "export the model to ONNX first; pickled models are never loaded".into();
    }
    format!("known endings: {}", super::diagnostic::list(endings))
}

pub(super) fn syntax(text: &str, error: &toml_edit::TomlError) -> Diagnostic {
    let span = error.span().unwrap_or(0..0);
    let span = span.start.min(text.len())..span.end.min(text.len());
    let words = error.message().replace('\n', "; ");
    if words.contains("duplicate key") {
        let name = text.get(span.clone()).unwrap_or_default().to_owned();
        let message = format!("`{name}` is declared twice");
        let help = "give one of them another name, or remove it";
        return Diagnostic::new("duplicate-name", span, message, "the second one", help);
    }
    let message = format!("the declaration is not TOML: {words}");
    let help = "texts stand in double quotes, lists in `[ ]`, sections begin with `[name]`";
    Diagnostic::new("toml-syntax", span, message, "here", help)
}

/// A name that must resolve: reports `code` at `key` with what is known.
pub(super) fn unresolved<'a>(
    span: std::ops::Range<usize>,
    what: &str,
    name: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Diagnostic {
    let message = format!("no {what} is called `{name}`");
    let help = suggest(name, what, known);
    Diagnostic::new("unresolved-name", span, message, "not declared", help)
}

/// Bytes of a declaration; ten thousand features fit many times over.
pub(super) const BYTES_MAX: usize = 4 << 20;
/// Characters of a name that becomes part of ids and file names.
const NAME_MAX: usize = 64;
