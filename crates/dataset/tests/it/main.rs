//! Tests of the way from bytes to model inputs.

mod bind;
mod dialects;
mod figures;
mod images;
mod make;
mod real;
mod rows;
mod tables;
