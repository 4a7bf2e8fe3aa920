//! X.509 certificates, as far as a person's signature needs them.
//!
//! Owns reading of key, names, dates and the mark of an authority, and the walk from a certificate
//! to an authority that was handed in. Must never trust a certificate because it came with a
//! signature, nor say that one was not withdrawn. Called by `signature`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proofmark_evidence::anchor::der::{
    CONTEXT_0, GENERALIZED_TIME, INTEGER, OBJECT_ID, OCTET_STRING, Reader, SEQUENCE, SET, dotted,
};
use proofmark_evidence::digest::Digest;

use super::key::{Hash, KeyError, PublicKey};
use super::{Chain, SignatureError};

/// A certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Subject in words.
    pub subject: String,
    /// Issuer in words.
    pub issuer: String,
    /// Serial number, hex.
    pub serial: String,
    /// Valid from, RFC 3339 in UTC.
    pub not_before: String,
    /// Valid until, RFC 3339 in UTC.
    pub not_after: String,
    /// Subject in DER.
    pub(super) subject_der: Vec<u8>,
    /// Issuer in DER.
    pub(super) issuer_der: Vec<u8>,
    /// Serial number as it stands there.
    pub(super) serial_der: Vec<u8>,
    /// Key.
    pub(super) key: PublicKey,
    authority: bool,
    der: Vec<u8>,
    signed: Vec<u8>,
    spki: Vec<u8>,
    signature: Vec<u8>,
    signature_algorithm: String,
}

/// Why a certificate does not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Not PEM or DER of a certificate.
    #[error("the certificate does not read: {0}; give an X.509 certificate in PEM or DER")]
    Form(&'static str),
    /// Its key.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl Certificate {
    /// Reads PEM (the first certificate) or DER.
    ///
    /// # Errors
    /// [`CertificateError`] if it does not read or its key is of a kind that is not taken.
    pub fn read(bytes: &[u8]) -> Result<Self, CertificateError> {
        match pem(bytes, "CERTIFICATE").into_iter().next() {
            Some(der) => Self::parse(&der),
            None => Self::parse(bytes),
        }
    }

    pub(super) fn parse(der: &[u8]) -> Result<Self, CertificateError> {
        if der.len() > CERTIFICATE_BYTES_MAX {
            return Err(CertificateError::Form("it is too large"));
        }
        let parts = outer(der).ok_or(CertificateError::Form("it is no certificate"))?;
        let body = body(parts.body).ok_or(CertificateError::Form("a field is missing"))?;
        let key = PublicKey::of(&body.algorithm, body.curve.as_deref(), body.bits)?;
        Ok(Self {
            subject: name(body.subject).ok_or(CertificateError::Form("its subject"))?,
            issuer: name(body.issuer).ok_or(CertificateError::Form("its issuer"))?,
            serial: hex(body.serial),
            not_before: body.not_before,
            not_after: body.not_after,
            subject_der: body.subject.to_vec(),
            issuer_der: body.issuer.to_vec(),
            serial_der: body.serial.to_vec(),
            key,
            authority: body.authority,
            der: der.to_vec(),
            signed: parts.signed.to_vec(),
            spki: body.spki.to_vec(),
            signature: parts.signature.to_vec(),
            signature_algorithm: parts.algorithm,
        })
    }

    /// SHA-256 of its DER.
    pub fn fingerprint(&self) -> Digest {
        Digest::of(&self.der)
    }

    /// SHA-256 of its key (SPKI, DER), as the keys of this program are named.
    pub(super) fn key_digest(&self) -> Digest {
        Digest::of(&self.spki)
    }

    /// Whether `time` (RFC 3339 in UTC) lies within its dates.
    pub fn covers(&self, time: &str) -> bool {
        let at = |t: &str| t.get(..SECONDS).map(str::to_owned);
        match (at(&self.not_before), at(time), at(&self.not_after)) {
            (Some(from), Some(time), Some(until)) => from <= time && time <= until,
            _ => false,
        }
    }

    fn is_signed_by(&self, authority: &Self) -> bool {
        let hash = Hash::of(&self.signature_algorithm);
        authority.authority
            && self.issuer_der == authority.subject_der
            && hash.is_some_and(|h| authority.key.verifies(h, &self.signed, &self.signature))
    }
}

/// Walks from `certificate`, over `others`, to one of `authorities` (PEM).
pub(super) fn chain(
    certificate: &Certificate,
    others: &[Certificate],
    authorities: &[u8],
    now: &str,
) -> Result<Chain, SignatureError> {
    let mut known = Vec::new();
    for der in pem(authorities, "CERTIFICATE").into_iter().take(AUTHORITIES_MAX) {
        known.push(Certificate::parse(&der)?);
    }
    if known.is_empty() {
        return Err(SignatureError::Chain("no certificate of an authority was given"));
    }
    let verified = |a: &Certificate| Chain::Verified {
        authority: a.subject.clone(),
        fingerprint: a.fingerprint().hex(),
    };
    let mut at = certificate;
    for _ in 0..STEPS_MAX {
        if let Some(same) = known.iter().find(|a| a.der == at.der) {
            return Ok(verified(same));
        }
        let mut above = known.iter().chain(others).filter(|a| at.is_signed_by(a));
        let Some(next) = above.next() else {
            return Err(SignatureError::Chain("nobody among them signed it"));
        };
        if !next.covers(now) {
            return Err(SignatureError::Chain("an authority on the way is outside its dates"));
        }
        at = next;
    }
    Err(SignatureError::Chain("the way is too long"))
}

/// Blocks of a PEM file with that label, decoded.
pub(super) fn pem(bytes: &[u8], label: &str) -> Vec<Vec<u8>> {
    let Ok(text) = std::str::from_utf8(bytes) else { return Vec::new() };
    let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once(&begin) {
        let Some((body, left)) = after.split_once(&end) else { break };
        let body: String = body.split_whitespace().collect();
        if let Ok(der) = STANDARD.decode(body) {
            blocks.push(der);
        }
        rest = left;
    }
    blocks
}

struct Outer<'a> {
    body: Reader<'a>,
    signed: &'a [u8],
    algorithm: String,
    signature: &'a [u8],
}

fn outer(der: &[u8]) -> Option<Outer<'_>> {
    let mut whole = Reader::new(der);
    let mut certificate = whole.inside(SEQUENCE)?;
    if !whole.is_empty() {
        return None;
    }
    let (tag, content, signed) = certificate.element()?;
    if tag != SEQUENCE {
        return None;
    }
    let algorithm = dotted(certificate.inside(SEQUENCE)?.expect(OBJECT_ID)?)?;
    let signature = bits(certificate.expect(BIT_STRING)?)?;
    Some(Outer { body: Reader::new(content), signed, algorithm, signature })
}

struct Body<'a> {
    serial: &'a [u8],
    issuer: &'a [u8],
    subject: &'a [u8],
    not_before: String,
    not_after: String,
    spki: &'a [u8],
    algorithm: String,
    curve: Option<String>,
    bits: &'a [u8],
    authority: bool,
}

fn body(mut body: Reader<'_>) -> Option<Body<'_>> {
    body.maybe(CONTEXT_0); // version
    let serial = body.expect(INTEGER)?;
    body.expect(SEQUENCE)?; // algorithm of the signature, again
    let (tag, _, issuer) = body.element()?;
    let mut validity = body.inside(SEQUENCE)?;
    let (not_before, not_after) = (time(&mut validity)?, time(&mut validity)?);
    let (other, _, subject) = body.element()?;
    if tag != SEQUENCE || other != SEQUENCE {
        return None;
    }
    let (tag, content, spki) = body.element()?;
    if tag != SEQUENCE {
        return None;
    }
    let mut key = Reader::new(content);
    let mut algorithm = key.inside(SEQUENCE)?;
    let kind = dotted(algorithm.expect(OBJECT_ID)?)?;
    let curve = algorithm.maybe(OBJECT_ID).and_then(dotted);
    let bits = bits(key.expect(BIT_STRING)?)?;
    let mut authority = false;
    while !body.is_empty() {
        let (tag, content) = body.any()?;
        if tag == CONTEXT_3 {
            authority = is_authority(content)?;
        }
    }
    let algorithm = kind;
    Some(Body {
        serial,
        issuer,
        subject,
        not_before,
        not_after,
        spki,
        algorithm,
        curve,
        bits,
        authority,
    })
}

/// The extension of basic constraints says so.
fn is_authority(extensions: &[u8]) -> Option<bool> {
    let mut list = Reader::new(extensions).inside(SEQUENCE)?;
    while !list.is_empty() {
        let mut extension = list.inside(SEQUENCE)?;
        let id = dotted(extension.expect(OBJECT_ID)?)?;
        extension.maybe(BOOLEAN);
        let value = extension.expect(OCTET_STRING)?;
        if id == BASIC_CONSTRAINTS {
            let mut constraints = Reader::new(value).inside(SEQUENCE)?;
            return Some(constraints.maybe(BOOLEAN) == Some(&[0xff]));
        }
    }
    Some(false)
}

/// Bits that fill whole bytes.
fn bits(content: &[u8]) -> Option<&[u8]> {
    let (unused, bytes) = content.split_first()?;
    (*unused == 0).then_some(bytes)
}

/// A time as RFC 3339.
pub(super) fn time(reader: &mut Reader<'_>) -> Option<String> {
    let (tag, content) = reader.any()?;
    let text = std::str::from_utf8(content).ok()?.strip_suffix('Z')?;
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let full = match (tag, text.len()) {
        (UTC_TIME, 12) => {
            let century = if text < "50" { "20" } else { "19" };
            format!("{century}{text}")
        }
        (GENERALIZED_TIME, 14) => text.to_owned(),
        _ => return None,
    };
    let part = |from: usize, to: usize| full.get(from..to);
    Some(format!(
        "{}-{}-{}T{}:{}:{}Z",
        part(0, 4)?,
        part(4, 6)?,
        part(6, 8)?,
        part(8, 10)?,
        part(10, 12)?,
        part(12, 14)?
    ))
}

/// A name in words: `CN=A. Person, O=Example`.
fn name(der: &[u8]) -> Option<String> {
    let mut parts = Vec::new();
    let mut sets = Reader::new(der).inside(SEQUENCE)?;
    while !sets.is_empty() {
        let mut set = sets.inside(SET)?;
        while !set.is_empty() {
            let mut pair = set.inside(SEQUENCE)?;
            let kind = dotted(pair.expect(OBJECT_ID)?)?;
            let (tag, content) = pair.any()?;
            let label = LABELS.iter().find(|(oid, _)| *oid == kind).map(|(_, label)| *label);
            parts.push(format!("{}={}", label.unwrap_or(&kind), text(tag, content)));
        }
    }
    Some(parts.join(", "))
}

fn text(tag: u8, content: &[u8]) -> String {
    let shown = match tag {
        BMP_STRING => {
            let units = content.chunks_exact(2).filter_map(|c| c.try_into().ok());
            let units: Vec<u16> = units.map(u16::from_be_bytes).collect();
            String::from_utf16_lossy(&units)
        }
        _ => String::from_utf8_lossy(content).into_owned(),
    };
    let calm = |c: char| if c.is_control() { ' ' } else { c };
    shown.chars().take(NAME_CHARS).map(calm).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Attributes of a name that people know.
const LABELS: [(&str, &str); 9] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.4", "SN"),
    ("2.5.4.42", "GN"),
    ("2.5.4.5", "serialNumber"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("1.2.840.113549.1.9.1", "email"),
];
const BASIC_CONSTRAINTS: &str = "2.5.29.19";
const BOOLEAN: u8 = 0x01;
const BIT_STRING: u8 = 0x03;
const UTC_TIME: u8 = 0x17;
const BMP_STRING: u8 = 0x1e;
/// Constructed, context-specific, number 3.
const CONTEXT_3: u8 = 0xa3;
/// `2026-11-22T15:00:00`.
const SECONDS: usize = 19;
/// Certificates are some kilobytes.
const CERTIFICATE_BYTES_MAX: usize = 64 << 10;
/// Authorities that are looked at.
const AUTHORITIES_MAX: usize = 64;
/// Person, two in between, root; more is no practice.
const STEPS_MAX: usize = 5;
/// Longer parts of a name are cut.
const NAME_CHARS: usize = 120;
