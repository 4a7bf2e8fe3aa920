//! The register.
