//! Graphs made from graphs: two models that vote as one file, and a smaller tree ensemble.
//!
//! Owns the joining of names, inputs and opsets. Must never change what a part computes: where
//! that cannot be promised the parts are refused. Called by `harden`.

mod trees;
mod vote;

pub use trees::{first_trees, tree_count};
pub use vote::{Cut, VOTE, Voter, vote};

/// Why graphs cannot be composed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ComposeError {
    /// A shared input differs.
    #[error("the input `{input}` is {first} in one model and {second} in the other")]
    Input {
        /// Input.
        input: String,
        /// As the first model has it.
        first: String,
        /// As the second model has it.
        second: String,
    },
    /// Opsets that do not go together.
    #[error("the models import `{domain}` in versions {first} and {second}, which do not mix")]
    Opset {
        /// Domain.
        domain: String,
        /// Of the first model.
        first: i64,
        /// Of the second model.
        second: i64,
    },
    /// An output that cannot be voted on.
    #[error("the output `{output}` cannot be voted on: {reason}")]
    Output {
        /// Output.
        output: String,
        /// Reason.
        reason: &'static str,
    },
    /// No ensemble, or one of a form that is not read.
    #[error("no smaller tree ensemble can be made: {0}")]
    Trees(String),
}

#[cfg(test)]
mod tests;
