//! Tests of the way from bytes to model inputs.

mod bind;
mod containers;
mod dialects;
mod examples;
mod figures;
mod folder;
mod found;
mod hostile;
mod images;
mod make;
mod quirks;
mod real;
mod rows;
mod tables;
