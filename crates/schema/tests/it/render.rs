//! Plain rendering of diagnostics for snapshots: place, text, underline, help.

use std::fmt::Write;
use std::ops::Range;

use proofmark_schema::system::{Diagnostic, line_col};

/// All diagnostics of a text.
pub fn render(text: &str, problems: &[Diagnostic]) -> String {
    let mut out = String::new();
    for problem in problems {
        writeln!(out, "{}: {}", problem.code, problem.message).unwrap();
        underline(&mut out, text, &problem.span, &problem.label, '^');
        if let Some((span, label)) = &problem.also {
            underline(&mut out, text, span, label, '-');
        }
        writeln!(out, "  help: {}", problem.help).unwrap();
    }
    out
}

fn underline(out: &mut String, text: &str, span: &Range<usize>, label: &str, mark: char) {
    let (line, column) = line_col(text, span.start);
    let source = text.lines().nth(line - 1).unwrap_or_default();
    let rest = source.chars().count() + 1 - column.min(source.chars().count() + 1);
    let length = text[span.clone()].chars().count().clamp(1, rest.max(1));
    writeln!(out, "  {line}:{column} | {source}").unwrap();
    let indent = format!("  {line}:{column} | ").chars().count() + column - 1;
    let marks: String = std::iter::repeat_n(mark, length).collect();
    writeln!(out, "{}{marks} {label}", " ".repeat(indent)).unwrap();
}
