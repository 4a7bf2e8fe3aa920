//! What `docs/models.md` lists is what the tables of the code hold.

use std::path::PathBuf;

use proofmark_engine::autodiff::{differentiable, flat};
use proofmark_engine::lower::{composites, rewritten};
use proofmark_engine::model::{OPSETS, OPSETS_ML};
use proofmark_engine::reference::operators;
use proofmark_engine::rten_engine::RtenProgram;

use crate::cases::{graph, node};

/// Columns of the document's lists.
const COLUMNS: usize = 110;

#[test]
fn the_lists_in_the_document_are_those_of_the_code() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/models.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let plain = || operators().filter(|(domain, _)| domain.is_empty()).map(|(_, op)| op);
    let defined = |op: (&str, &str)| composites().any(|known| known == op);
    let classical =
        operators().filter(|&(domain, op)| !domain.is_empty() && !defined((domain, op)));
    let classical = classical.map(|(_, op)| op);
    let written = |own: bool| {
        composites().filter(move |(domain, _)| domain.is_empty() == own).map(|(_, op)| op)
    };
    let versions = format!(
        "Opsets {} to {} of `ai.onnx`, {} to {} of `ai.onnx.ml`.\n",
        OPSETS.start(),
        OPSETS.end(),
        OPSETS_ML.start(),
        OPSETS_ML.end()
    );
    let rewritten = rewritten().map(|(op, since)| match since {
        1 => format!("`{op}`"),
        since => format!("`{op}` (from opset {since} of `ai.onnx` on)"),
    });
    let sections = [
        ("versions", versions),
        ("not on rten", listed(plain().filter(|op| !defined(("", op)) && lacks(op)))),
        ("forward", listed(plain())),
        ("gradient", listed(plain().filter(|op| differentiable(op, "") && !flat(op, "")))),
        ("flat", listed(plain().filter(|op| flat(op, "")))),
        ("composite", listed(written(true))),
        ("contributed", listed(written(false))),
        ("classical", listed(classical)),
        ("rewritten", wrapped(rewritten)),
    ];
    let mut wanted = text.clone();
    for (name, body) in sections {
        let start = format!("<!-- generated: {name} -->\n");
        let from = wanted.find(&start).unwrap_or_else(|| panic!("no line {start}")) + start.len();
        let to = from + wanted[from..].find("<!-- end -->").unwrap();
        wanted.replace_range(from..to, &body);
    }
    if text != wanted {
        let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("models.md");
        std::fs::write(&file, wanted).unwrap();
        panic!(
            "docs/models.md is out of date; update it by\n  cp {} docs/models.md",
            file.display()
        );
    }
}

/// Whether rten refuses the operator as such, and not for the attributes that are left out here.
fn lacks(op: &str) -> bool {
    // `Dropout` and `Constant` are gone before a graph reaches an engine.
    if matches!(op, "Dropout" | "Constant") {
        return false;
    }
    let alone = graph(&[("x", &[2])], &[], vec![node(op, &["x"], &["y"], &[])]);
    // Asked past `compile`, which first wants to know how large a node without inputs becomes.
    let error = RtenProgram::compile(&alone, 1).err().map(|e| e.to_string());
    let partly = ["required attribute missing", "is not known there"];
    error.is_some_and(|e| partly.iter().all(|words| !e.contains(words)))
}

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    wrapped(names.map(|name| format!("`{name}`")))
}

fn wrapped(words: impl Iterator<Item = String>) -> String {
    let words: Vec<String> = words.collect();
    let last = words.len().saturating_sub(1);
    let (mut text, mut column) = (String::new(), 0);
    for (i, word) in words.iter().enumerate() {
        let word = format!("{word}{}", if i == last { "." } else { "," });
        if column > 0 && column + 1 + word.len() > COLUMNS {
            text.push('\n');
            column = 0;
        } else if column > 0 {
            text.push(' ');
            column += 1;
        }
        column += word.len();
        text.push_str(&word);
    }
    text.push('\n');
    text
}
