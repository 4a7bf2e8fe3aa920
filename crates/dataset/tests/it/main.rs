//! Tests of the way from bytes to model inputs.

mod bind;
mod dialects;
mod examples;
mod figures;
mod found;
mod images;
mod make;
mod real;
mod rows;
mod tables;
