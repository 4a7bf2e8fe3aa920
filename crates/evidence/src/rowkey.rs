//! Keyed digests of rows: rows can be counted and compared, not guessed from their digests.
//!
//! Owns the secret of a system and the HMAC. Must never put the secret or a row into an error or a
//! log. Called by `assess` when it names rows in results.

use std::fmt;
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::digest::Digest;
use crate::durable::{self, DurableError, Fs};
use crate::keys::{self, KeyError};

/// The secret under which the rows of one system are digested.
pub struct RowKey(Zeroizing<[u8; 32]>);

impl RowKey {
    /// Reads the secret, making it (mode 0600 where modes exist) if there is none.
    ///
    /// # Errors
    /// [`RowKeyError`] if the file is damaged, cannot be written, or no randomness is to be had.
    pub fn load_or_create(fs: &dyn Fs, path: &Path) -> Result<Self, RowKeyError> {
        if !path.exists() {
            let secret = keys::random_bytes::<32>()?;
            let text = Zeroizing::new(format!("{}\n", hex::encode(secret.as_slice())));
            durable::write_private(fs, path, text.as_bytes())?;
        }
        Self::load(path)
    }

    /// Reads the secret.
    ///
    /// # Errors
    /// [`RowKeyError`] if the file is absent or damaged.
    pub fn load(path: &Path) -> Result<Self, RowKeyError> {
        let bytes = Zeroizing::new(durable::read_bounded(path, SECRET_FILE_BYTES_MAX)?);
        let text = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        let mut secret = Zeroizing::new([0u8; 32]);
        hex::decode_to_slice(text, secret.as_mut_slice())
            .map_err(|_| RowKeyError::Damaged(path.to_owned()))?;
        Ok(Self(secret))
    }

    /// Keyed digest of one row's bytes: HMAC-SHA-256 (RFC 2104).
    pub fn digest(&self, row: &[u8]) -> Digest {
        // A 32-byte key is always accepted; the fallback cannot be reached.
        match Hmac::<Sha256>::new_from_slice(self.0.as_slice()) {
            Ok(mut mac) => {
                mac.update(row);
                Digest::from_bytes(mac.finalize().into_bytes().into())
            }
            Err(_) => Digest::from_bytes([0; 32]),
        }
    }
}

impl fmt::Debug for RowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RowKey(..)")
    }
}

/// Why there is no row key.
#[derive(Debug, thiserror::Error)]
pub enum RowKeyError {
    /// Not 64 hexadecimal digits.
    #[error("`{}` is no row secret; restore it, or row digests no longer compare", .0.display())]
    Damaged(PathBuf),
    /// No randomness.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The file could not be read or written.
    #[error(transparent)]
    Durable(#[from] DurableError),
}

const SECRET_FILE_BYTES_MAX: u64 = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::durable::OsFs;

    #[test]
    fn digests_are_hmac_sha_256() {
        // RFC 4231 has no 32-byte key; golden value of `openssl dgst -sha256 -mac HMAC
        // -macopt hexkey:0b…0b` (32 bytes of 0x0b) over "Hi There"
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("row.secret");
        std::fs::write(&path, format!("{}\n", "0b".repeat(32))).unwrap();
        let key = RowKey::load(&path).unwrap();
        assert_eq!(
            key.digest(b"Hi There").hex(),
            "198a607eb44bfbc69903a0f1cf2bbdc5ba0aa3f3d9ae3c1c7a3b1696a0b68cf7"
        );
    }

    #[test]
    fn the_secret_is_made_once_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("row.secret");
        let first = RowKey::load_or_create(&OsFs, &path).unwrap();
        let again = RowKey::load_or_create(&OsFs, &path).unwrap();
        assert_eq!(first.digest(b"row"), again.digest(b"row"));
        let other = RowKey::load_or_create(&OsFs, &dir.path().join("other")).unwrap();
        assert_ne!(first.digest(b"row"), other.digest(b"row"));
        std::fs::write(&path, b"short").unwrap();
        assert!(matches!(RowKey::load(&path), Err(RowKeyError::Damaged(_))));
    }
}
