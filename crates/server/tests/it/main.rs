//! Tests of the guard over real sockets.

mod answered;
mod refused;
mod started;
mod support;
