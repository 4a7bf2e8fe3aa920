//! Tests of the declaration: what is read, what is refused and how it is told.

mod refused;
