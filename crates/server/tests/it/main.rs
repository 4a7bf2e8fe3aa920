//! Tests of the guard over real sockets.

mod answered;
mod local;
mod policy;
mod refused;
mod started;
mod support;
