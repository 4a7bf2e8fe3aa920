//! What went wrong, in words for a person: the cause and the next step.
//!
//! Owns the one error type of the command line. Every failure exits with 2.

use std::fmt::Display;

/// A failure with its next step.
#[derive(Debug)]
pub struct Failure {
    /// Short stable code, kebab-case.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to do next; may be empty.
    pub help: String,
    /// Text already rendered (diagnostics with source lines), printed before the message.
    pub details: String,
}

impl Failure {
    /// A failure with a cause and a next step.
    pub fn new(code: &'static str, message: impl Display, help: impl Display) -> Self {
        Self { code, message: message.to_string(), help: help.to_string(), details: String::new() }
    }
    /// The same, with rendered details before the message.
    pub fn with_details(mut self, details: String) -> Self {
        self.details = details;
        self
    }
}

/// Result of the command line.
pub type Outcome<T> = Result<T, Failure>;

/// Turns a library error into a failure with a code and a next step.
pub trait OrFail<T> {
    /// The error's words, with `code` and `help`.
    fn or_fail(self, code: &'static str, help: &str) -> Outcome<T>;
}

impl<T, E: Display> OrFail<T> for Result<T, E> {
    fn or_fail(self, code: &'static str, help: &str) -> Outcome<T> {
        self.map_err(|error| Failure::new(code, error, help))
    }
}
