//! Measures against evasion as the lab sees them: the system with a measure on is again a target.
//!
//! Owns the composed targets (vote, input limits, rounded release), the attacks that know of them
//! and the paired comparison of two systems. Must never judge a witness: every target here goes
//! through the harness like any other. Called by `harden`.

mod limited;
mod pairing;
mod press;
mod rounded;
mod transfer;
mod vote;

pub use limited::{Limited, Limits};
pub use pairing::{Figure, Outcomes, compare};
pub use press::{Press, Pressed};
pub use rounded::{Rounded, round};
pub use transfer::{Starts, Transfer};
pub use vote::{Member, Vote, VoteError, VoteRule};

#[cfg(test)]
mod tests;
