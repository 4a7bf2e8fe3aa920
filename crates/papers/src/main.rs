//! Worker that sets one paper as PDF.

fn main() {}
