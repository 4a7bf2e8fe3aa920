//! Checks of the tree itself: imports between crates, module docs, line and function lengths,
//! reminders, manifest comments, paths named in the documents.
//!
//! Owns the rules that a compiler cannot hold. Each failure names the file, the line and what
//! to do instead.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Which of our crates each crate may import (DESIGN.md, workspace).
const IMPORTS: &[(&str, &[&str])] = &[
    ("schema", &[]),
    ("evidence", &[]),
    ("formats", &[]),
    ("engine", &["formats"]),
    ("dataset", &["schema", "formats"]),
    ("lab", &["engine", "dataset", "schema"]),
    ("assess", &["schema", "evidence"]),
    ("papers", &["schema"]),
    ("server", &["schema", "engine", "dataset", "assess", "evidence"]),
    (
        "proofmark",
        &["schema", "evidence", "formats", "engine", "dataset", "lab", "assess", "server"],
    ),
];

/// Words that may not stand in code, with what to do instead.
const REMINDERS: &[(&str, &str)] = &[
    ("TODO", "do it, or open an issue"),
    ("FIXME", "fix it, or open an issue"),
    ("XXX", "say it in words"),
    ("unimplemented!", "return an error that names the cause"),
];

#[test]
fn crates_import_only_what_the_design_allows() {
    let allowed: BTreeMap<&str, &[&str]> = IMPORTS.iter().copied().collect();
    let mut problems = Vec::new();
    for dir in children(&root().join("crates")) {
        let name = file_name(&dir);
        let Some(rule) = allowed.get(name.as_str()) else {
            problems.push(format!("crates/{name}: no import rule; add one to IMPORTS"));
            continue;
        };
        let manifest: toml_edit::DocumentMut =
            fs::read_to_string(dir.join("Cargo.toml")).expect("manifest").parse().expect("toml");
        let table = manifest["dependencies"].as_table_like();
        for (dependency, _) in table.into_iter().flat_map(|t| t.iter()) {
            if let Some(ours) = dependency.strip_prefix("proofmark-")
                && !rule.contains(&ours)
            {
                problems.push(format!("crates/{name} imports `{ours}`: the design forbids it"));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn every_module_says_what_it_owns() {
    let mut problems = Vec::new();
    for file in sources() {
        let text = fs::read_to_string(&file).expect("source");
        if !text.starts_with("//!") {
            problems.push(format!("{}: begin with `//!`: what it owns", show(&file)));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn lines_and_functions_stay_short() {
    let mut problems = Vec::new();
    for file in sources() {
        let text = fs::read_to_string(&file).expect("source");
        for (index, line) in text.lines().enumerate() {
            if line.chars().count() > LINE_COLUMNS {
                problems.push(format!("{}:{}: over 100 columns", show(&file), index + 1));
            }
        }
        // A table of named cases in a test may be as long as it needs.
        let table = file.components().any(|c| c.as_os_str() == "tests");
        for (start, length) in long_functions(&text).into_iter().filter(|_| !table) {
            problems.push(format!(
                "{}:{start}: function of {length} lines; split it (limit {FUNCTION_LINES})",
                show(&file)
            ));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn no_reminders_are_left() {
    let mut problems = Vec::new();
    for file in sources() {
        if file.ends_with("xtask/tests/tidy.rs") {
            continue;
        }
        let text = fs::read_to_string(&file).expect("source");
        for (index, line) in text.lines().enumerate() {
            for (word, instead) in REMINDERS {
                if line.contains(word) {
                    problems.push(format!("{}:{}: `{word}`: {instead}", show(&file), index + 1));
                }
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn every_dependency_says_what_it_is_for() {
    let text = fs::read_to_string(root().join("Cargo.toml")).expect("manifest");
    let mut inside = false;
    let mut problems = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.starts_with('[') {
            inside = line == "[workspace.dependencies]";
            continue;
        }
        if inside && line.contains('=') && !line.contains("path =") && !line.contains('#') {
            problems.push(format!("Cargo.toml:{}: say what it is for", index + 1));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn banned_crates_are_not_in_the_lock_file() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).expect("lock file");
    let names: BTreeSet<&str> =
        lock.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"')).collect();
    for banned in ["burn", "tract-onnx", "datafusion", "aws-lc-sys", "openssl-sys"] {
        assert!(!names.contains(banned), "`{banned}` must stay out of the main binary");
    }
}

#[test]
fn documents_name_paths_that_exist() {
    let mut problems = Vec::new();
    for name in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"] {
        let text = fs::read_to_string(root().join(name)).unwrap_or_default();
        assert!(!text.is_empty(), "{name} is missing");
        for (index, line) in text.lines().enumerate() {
            for word in line.split('`').skip(1).step_by(2) {
                let path = word.trim_end_matches('/');
                let ours = ["crates/", "examples/", "docs/", "xtask/", "benches/", ".ci/", "fuzz/"]
                    .iter()
                    .any(|p| path.starts_with(p));
                let plain = !path.contains([' ', '*', '{', '<']);
                if ours && plain && !root().join(path).exists() {
                    problems.push(format!("{name}:{}: `{path}` does not exist", index + 1));
                }
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn the_function_counter_counts() {
    let body = "    x();\n".repeat(80);
    let text = format!("//! doc\nfn short() {{\n    y();\n}}\n\nfn long() {{\n{body}}}\n");
    assert_eq!(long_functions(&text), vec![(6, 82)]);
}

/// Functions longer than the limit: (first line, number of lines). Relies on rustfmt: a
/// function ends at the first `}` with the indentation of its `fn`.
fn long_functions(text: &str) -> Vec<(usize, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let word = line.trim_start();
        let is_fn = ["fn ", "pub fn ", "pub(crate) fn ", "pub(super) fn ", "const fn "]
            .iter()
            .any(|p| word.starts_with(p));
        if !is_fn || word.ends_with(';') || word.ends_with('}') {
            continue;
        }
        let closing = format!("{}}}", " ".repeat(indent));
        let Some(end) = lines[start..].iter().position(|l| *l == closing) else { continue };
        if end + 1 > FUNCTION_LINES {
            found.push((start + 1, end + 1));
        }
    }
    found
}

fn sources() -> Vec<PathBuf> {
    let mut files = Vec::new();
    for top in ["crates", "xtask"] {
        walk(&root().join(top), &mut files);
    }
    files.sort();
    files
}

fn walk(dir: &Path, files: &mut Vec<PathBuf>) {
    for path in children(dir) {
        if path.is_dir() && file_name(&path) != "target" {
            walk(&path, files);
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
}

fn children(dir: &Path) -> Vec<PathBuf> {
    let mut list: Vec<PathBuf> =
        fs::read_dir(dir).expect("folder").map(|e| e.expect("entry").path()).collect();
    list.sort();
    list
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("workspace").to_path_buf()
}

fn file_name(path: &Path) -> String {
    path.file_name().expect("name").to_string_lossy().into_owned()
}

fn show(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

const LINE_COLUMNS: usize = 100;
const FUNCTION_LINES: usize = 70;
