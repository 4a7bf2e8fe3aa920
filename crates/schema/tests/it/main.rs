//! Tests of the declaration: what is read, what is refused and how it is told.

mod accepted;
mod constraints;
mod duties;
mod refused;
mod render;
mod robustness;
mod template;
