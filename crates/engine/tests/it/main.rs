//! Whole models and operators against independent implementations.

mod boosted;
mod cases;
mod docs;
mod engines;
mod forward;
mod gradient;
mod pipeline;
mod zoo;
