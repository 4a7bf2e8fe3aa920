//! The worker as a process: what it writes, what it refuses, what it never does.

mod support;
mod worker;
