//! The lab on the bundled examples: real models, real data, few rows.

mod clothing;
mod credit;
mod exact;
mod world;
