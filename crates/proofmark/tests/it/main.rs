//! The command line as a user meets it: the real binary on copies of the bundled examples.
//!
//! Owns the end-to-end tests: what `assess` leaves, what bad input does, that evidence checks.

mod bad_inputs;
mod classical;
mod constraints;
mod containers;
mod drill;
mod endpoint;
mod exact;
mod faults;
mod first_use;
mod guard;
mod harden;
mod hostile_models;
mod image_folder;
mod incident;
mod interrupted;
mod masking;
mod model_run;
mod onnxruntime;
mod papers;
mod proofs;
mod regression;
mod risk;
mod schemas;
mod series;
mod spine;
mod support;
mod tree_files;
mod trees;
