//! Public keys of certificates and what they verify.
//!
//! Owns the short list of algorithms that are taken: RSA (PKCS#1, 2048 bits or more) and ECDSA on
//! P-256 and P-384, with SHA-2. Must never take another. Called by `cms` and `certificate`.

use ring::digest;
use ring::signature::{self, UnparsedPublicKey, VerificationAlgorithm};

/// A public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PublicKey {
    /// Kind.
    pub kind: KeyKind,
    /// Point, or RSA key in DER.
    pub bytes: Vec<u8>,
}

/// Kind of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyKind {
    /// RSA.
    Rsa,
    /// On the curve P-256.
    P256,
    /// On the curve P-384.
    P384,
}

/// A hash function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hash {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

/// Why a key or an algorithm is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Of a kind that is not taken.
    #[error("keys of the kind `{0}` are not taken; use RSA or ECDSA on P-256 or P-384")]
    Kind(String),
    /// An algorithm that is not taken.
    #[error("the algorithm `{0}` is not taken; use SHA-2 with RSA (PKCS#1) or ECDSA")]
    Algorithm(String),
}

impl Hash {
    /// By the identifier of the hash, or of a signature algorithm that names it.
    pub fn of(oid: &str) -> Option<Self> {
        match oid {
            "2.16.840.1.101.3.4.2.1" | "1.2.840.113549.1.1.11" | "1.2.840.10045.4.3.2" => {
                Some(Self::Sha256)
            }
            "2.16.840.1.101.3.4.2.2" | "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => {
                Some(Self::Sha384)
            }
            "2.16.840.1.101.3.4.2.3" | "1.2.840.113549.1.1.13" => Some(Self::Sha512),
            _ => None,
        }
    }

    /// The digest of `bytes`.
    pub fn digest(self, bytes: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        };
        digest::digest(algorithm, bytes).as_ref().to_vec()
    }
}

impl PublicKey {
    /// From the algorithm identifiers and the bits of a certificate.
    pub fn of(algorithm: &str, curve: Option<&str>, bytes: &[u8]) -> Result<Self, KeyError> {
        let kind = match (algorithm, curve) {
            ("1.2.840.113549.1.1.1", _) => KeyKind::Rsa,
            ("1.2.840.10045.2.1", Some("1.2.840.10045.3.1.7")) => KeyKind::P256,
            ("1.2.840.10045.2.1", Some("1.3.132.0.34")) => KeyKind::P384,
            (other, _) => return Err(KeyError::Kind(other.to_owned())),
        };
        Ok(Self { kind, bytes: bytes.to_vec() })
    }

    /// Name of the algorithm, when it is taken.
    pub fn algorithm(&self, hash: Hash) -> Option<&'static str> {
        self.pick(hash).map(|(name, _)| name)
    }

    /// Whether `signature` over `message` is by this key.
    pub fn verifies(&self, hash: Hash, message: &[u8], signature: &[u8]) -> bool {
        let Some((_, algorithm)) = self.pick(hash) else { return false };
        UnparsedPublicKey::new(algorithm, &self.bytes).verify(message, signature).is_ok()
    }

    fn pick(&self, hash: Hash) -> Option<(&'static str, &'static dyn VerificationAlgorithm)> {
        Some(match (self.kind, hash) {
            (KeyKind::Rsa, Hash::Sha256) => {
                ("rsa-pkcs1-sha256", &signature::RSA_PKCS1_2048_8192_SHA256)
            }
            (KeyKind::Rsa, Hash::Sha384) => {
                ("rsa-pkcs1-sha384", &signature::RSA_PKCS1_2048_8192_SHA384)
            }
            (KeyKind::Rsa, Hash::Sha512) => {
                ("rsa-pkcs1-sha512", &signature::RSA_PKCS1_2048_8192_SHA512)
            }
            (KeyKind::P256, Hash::Sha256) => {
                ("ecdsa-p256-sha256", &signature::ECDSA_P256_SHA256_ASN1)
            }
            (KeyKind::P256, Hash::Sha384) => {
                ("ecdsa-p256-sha384", &signature::ECDSA_P256_SHA384_ASN1)
            }
            (KeyKind::P384, Hash::Sha256) => {
                ("ecdsa-p384-sha256", &signature::ECDSA_P384_SHA256_ASN1)
            }
            (KeyKind::P384, Hash::Sha384) => {
                ("ecdsa-p384-sha384", &signature::ECDSA_P384_SHA384_ASN1)
            }
            (KeyKind::P256 | KeyKind::P384, Hash::Sha512) => return None,
        })
    }
}
