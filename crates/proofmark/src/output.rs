//! Text on stdout and stderr. Data goes to stdout, all else to stderr.
//!
//! Owns every print of the product.

pub mod human;
pub mod summary;

use serde_json::json;

use crate::cli::Format;
use crate::failure::Failure;

/// Prints data for people or machines on stdout.
pub fn data(text: &str) {
    use std::io::Write;
    // A closed pipe (`proofmark … | head`) is not an error of ours.
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
    let _ = std::io::stdout().lock().flush();
}

/// One JSON document on stdout.
pub fn json(value: &serde_json::Value) {
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    data(&text);
}

/// A note on stderr, unless `quiet`.
#[expect(clippy::print_stderr, reason = "the one door to stderr")]
pub fn note(quiet: bool, text: &str) {
    if !quiet {
        eprintln!("{text}");
    }
}

/// A failure: cause and next step on stderr; with JSON also an error document on stdout.
#[expect(clippy::print_stderr, reason = "the one door to stderr")]
pub fn report_failure(failure: &Failure, format: Format) {
    if !failure.details.is_empty() {
        eprintln!("{}", failure.details.trim_end());
    }
    eprintln!("error[{}]: {}", failure.code, failure.message);
    if !failure.help.is_empty() {
        eprintln!("\nhelp: {}", failure.help);
    }
    if format == Format::Json {
        json(&json!({
            "format": "proofmark.error/1",
            "complete": false,
            "code": failure.code,
            "message": failure.message,
            "help": failure.help,
        }));
    }
}
