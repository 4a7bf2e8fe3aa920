//! Coverage of duties on small logs.
