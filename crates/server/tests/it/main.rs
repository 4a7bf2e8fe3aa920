//! Tests of the guard over real sockets.
