//! TLS of the data listener: rustls with ring, TLS 1.2 and 1.3, no client certificates.
//!
//! Owns reading certificate and key. Must never accept a key that others can read or log it.
//! Called when the guard is put together.

use std::path::Path;
use std::sync::Arc;

use proofmark_evidence::durable::{self, DurableError};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// An acceptor for a certificate chain and its key, both PEM.
///
/// # Errors
/// [`TlsError`] with the file at fault.
pub fn acceptor(certificate: &Path, key: &Path) -> Result<TlsAcceptor, TlsError> {
    let pem = |path: &Path| durable::read_bounded(path, PEM_BYTES_MAX).map_err(TlsError::Read);
    let fault = |path: &Path, what: &str| TlsError::Pem {
        path: path.display().to_string(),
        what: what.to_owned(),
    };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem(certificate)?)
        .map(|c| c.map(|c| c.into_owned()))
        .collect();
    let chain = chain.map_err(|e| fault(certificate, &e.to_string()))?;
    if chain.is_empty() {
        return Err(fault(certificate, "it holds no certificate"));
    }
    private(key)?;
    let secret = PrivateKeyDer::from_pem_slice(&pem(key)?);
    let secret = secret.map_err(|e| fault(key, &e.to_string()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| TlsError::Config(e.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(|e| TlsError::Config(e.to_string()))?;
    let mut config = config;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// The key file is its owner's alone, where files have modes.
#[cfg(unix)]
fn private(key: &Path) -> Result<(), TlsError> {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(key).map(|m| m.permissions().mode()).unwrap_or(0);
    if mode & 0o077 != 0 {
        return Err(TlsError::Open(key.display().to_string()));
    }
    Ok(())
}

#[cfg(not(unix))]
fn private(_: &Path) -> Result<(), TlsError> {
    Ok(())
}

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error(transparent)]
    Read(DurableError),
    /// A file does not hold what it should.
    #[error("`{path}`: {what}; PEM with a certificate chain, or one private key, is read")]
    Pem {
        /// File.
        path: String,
        /// What is wrong.
        what: String,
    },
    /// Others can read the key.
    #[error("`{0}` can be read by others; set its mode to 0600")]
    Open(String),
    /// Certificate and key do not fit.
    #[error("TLS cannot be set up: {0}; do certificate and key belong together?")]
    Config(String),
}

/// Bytes of a PEM file; a chain of ten certificates fits.
const PEM_BYTES_MAX: u64 = 1 << 20;
