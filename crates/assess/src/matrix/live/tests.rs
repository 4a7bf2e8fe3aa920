//! Cells that turn, and cells that must not.
