//! DSSE envelopes in Sigstore bundle form: a signed statement in one file.
//!
//! Owns the pre-authentication encoding, signing, verification and the bundle's exact bytes. Must
//! never accept a second spelling of the same bundle: one changed byte anywhere is an error. Called
//! by `assess`, the pack and the command line.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::canonical::{self, CanonicalError};
use crate::digest::Digest;
use crate::keys::{StatementKey, StatementPublicKey};
use crate::statement::{PAYLOAD_BYTES_MAX, Statement, StatementError};

/// Payload type of in-toto statements.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
/// Media type of the bundle.
pub const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// A signed statement as a Sigstore bundle v0.3.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Bundle {
    media_type: String,
    verification_material: VerificationMaterial,
    dsse_envelope: Envelope,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct VerificationMaterial {
    public_key: PublicKeyHint,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PublicKeyHint {
    hint: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Envelope {
    payload: String,
    payload_type: String,
    signatures: Vec<Signature>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signature {
    sig: String,
    keyid: String,
}

impl Bundle {
    /// Signs a statement.
    ///
    /// # Errors
    /// [`DsseError`] if the statement is not well formed.
    pub fn sign(statement: &Statement, key: &StatementKey) -> Result<Self, DsseError> {
        let payload = statement.payload()?;
        let signature = key.sign(&pae(PAYLOAD_TYPE, &payload));
        let keyid = key.public().fingerprint().hex();
        Ok(Self {
            media_type: MEDIA_TYPE.to_owned(),
            verification_material: VerificationMaterial {
                public_key: PublicKeyHint { hint: keyid.clone() },
            },
            dsse_envelope: Envelope {
                payload: STANDARD.encode(payload),
                payload_type: PAYLOAD_TYPE.to_owned(),
                signatures: vec![Signature { sig: STANDARD.encode(signature), keyid }],
            },
        })
    }

    /// The file's bytes: canonical JSON.
    ///
    /// # Errors
    /// [`DsseError`], which would be a fault of ours.
    pub fn to_json(&self) -> Result<Vec<u8>, DsseError> {
        Ok(canonical::to_vec(self)?)
    }

    /// Reads a file written by [`Bundle::to_json`]; nothing is verified yet.
    ///
    /// # Errors
    /// [`DsseError`] if it is another form, or the same content spelt otherwise.
    pub fn parse(bytes: &[u8]) -> Result<Self, DsseError> {
        if bytes.len() > BUNDLE_BYTES_MAX {
            return Err(DsseError::Shape(format!("longer than {BUNDLE_BYTES_MAX} bytes")));
        }
        let bundle: Self = serde_json::from_value(canonical::parse(bytes)?)
            .map_err(|e| DsseError::Shape(e.to_string()))?;
        let envelope = &bundle.dsse_envelope;
        let fault = if bundle.media_type != MEDIA_TYPE {
            "media type is not Sigstore bundle v0.3"
        } else if envelope.payload_type != PAYLOAD_TYPE {
            "payload type is not in-toto"
        } else {
            match envelope.signatures.as_slice() {
                [one] if one.keyid == bundle.verification_material.public_key.hint => "",
                [_] => "the key hint differs from the key id",
                _ => "it must hold exactly one signature",
            }
        };
        if fault.is_empty() { Ok(bundle) } else { Err(DsseError::Shape(fault.to_owned())) }
    }

    /// Fingerprint of the key that is said to have signed; not verified.
    pub fn key_hint(&self) -> &str {
        &self.verification_material.public_key.hint
    }

    /// The payload bytes; not verified.
    ///
    /// # Errors
    /// [`DsseError::Shape`] if it is not base64.
    pub fn payload(&self) -> Result<Vec<u8>, DsseError> {
        decode("payload", &self.dsse_envelope.payload)
    }

    /// SHA-256 of the payload: the name of the statement in the log and in facts; not verified.
    ///
    /// # Errors
    /// [`DsseError::Shape`] if the payload is not base64.
    pub fn statement_digest(&self) -> Result<Digest, DsseError> {
        Ok(Digest::of(&self.payload()?))
    }

    /// Verifies the signature and reads the statement.
    ///
    /// # Errors
    /// [`DsseError`] if another key signed, the signature is wrong or the statement malformed.
    pub fn verify(&self, key: &StatementPublicKey) -> Result<Statement, DsseError> {
        let fingerprint = key.fingerprint().hex();
        if self.key_hint() != fingerprint {
            return Err(DsseError::OtherKey { found: self.key_hint().to_owned(), fingerprint });
        }
        let payload = self.payload()?;
        let signature = match self.dsse_envelope.signatures.as_slice() {
            [one] => decode("signature", &one.sig)?,
            _ => return Err(DsseError::Signature),
        };
        if !key.verify(&pae(PAYLOAD_TYPE, &payload), &signature) {
            return Err(DsseError::Signature);
        }
        Ok(Statement::parse(&payload)?)
    }
}

/// DSSE v1 pre-authentication encoding: the bytes that are signed.
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes =
        format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

/// What is wrong with an envelope.
#[derive(Debug, thiserror::Error)]
pub enum DsseError {
    /// Not canonical JSON.
    #[error("bundle: {0}")]
    Canonical(#[from] CanonicalError),
    /// Not the bundle form.
    #[error("not a signed statement of ours: {0}")]
    Shape(String),
    /// The statement inside.
    #[error(transparent)]
    Statement(#[from] StatementError),
    /// Signed by a key other than the expected one.
    #[error("signed by the key {found}, expected {fingerprint}")]
    OtherKey {
        /// The key named in the bundle.
        found: String,
        /// The expected key.
        fingerprint: String,
    },
    /// The signature does not fit the payload.
    #[error("the signature does not fit the content: one of them was changed")]
    Signature,
}

fn decode(what: &str, text: &str) -> Result<Vec<u8>, DsseError> {
    STANDARD.decode(text).map_err(|e| DsseError::Shape(format!("the {what} is not base64: {e}")))
}

/// Base64 grows the payload by a third; the rest of the bundle is under a kilobyte.
const BUNDLE_BYTES_MAX: usize = PAYLOAD_BYTES_MAX / 3 * 4 + 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn pae_is_that_of_the_specification() {
        // DSSE v1 protocol.md, test vector
        assert_eq!(
            pae("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
    }

    #[test]
    fn every_changed_byte_is_found() {
        let key = StatementKey::generate().unwrap();
        let statement = Statement::new("https://example.invalid/p/1", json!({"n": 0.25}))
            .subject("model", Digest::of(b"m"));
        let bundle = Bundle::sign(&statement, &key).unwrap();
        let bytes = bundle.to_json().unwrap();
        assert_eq!(bytes, Bundle::sign(&statement, &key).unwrap().to_json().unwrap());
        let check = |bytes: &[u8]| Bundle::parse(bytes)?.verify(&key.public());
        assert_eq!(check(&bytes).unwrap(), statement);
        for place in 0..bytes.len() {
            for flip in [1u8, 0x20] {
                let mut changed = bytes.clone();
                changed[place] ^= flip;
                assert!(check(&changed).is_err(), "byte {place} xor {flip}");
            }
        }
        let other = StatementKey::generate().unwrap();
        assert!(matches!(bundle.verify(&other.public()), Err(DsseError::OtherKey { .. })));
    }
}
