//! Signatures of persons on papers: imported, verified, logged; never made here.
//!
//! Owns the predicate and the rule that a signature counts for the file it was made over, whose
//! content the log knows. Must never sign with the tool's key, take a signature made with it, or
//! say more than was checked. Called by the command line, `dossier` and the papers.

use proofmark_evidence::digest::Digest;
use proofmark_evidence::entry::EntryKind;
use proofmark_evidence::log::Log;
use proofmark_evidence::store::{Store, StoreError};
use proofmark_schema::measurement::AssetDigest;
use proofmark_schema::system::System;
use serde::{Deserialize, Serialize};

use crate::events::{self, Logged};
use crate::papers::written;
use crate::predicate::Tool;
use crate::register::{Register, RegisterError};
use crate::risk::{self, Who};

mod certificate;
mod cms;
mod key;

pub use certificate::{Certificate, CertificateError};
pub use key::KeyError;

/// Predicate type of an imported signature.
pub const SIGNATURE: &str = "urn:proofmark:predicate:signature:v1";

/// A person's signature on a paper, as it was verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignaturePredicate {
    /// System name.
    pub system: String,
    /// System version.
    pub version: String,
    /// Program that verified it.
    pub tool: Tool,
    /// Paper, e.g. `test-report`.
    pub paper: String,
    /// SHA-256 of the signed file, hex.
    pub file: String,
    /// SHA-256 of the paper's content without signatures, hex.
    pub content: String,
    /// Who signed, as declared.
    pub person: Who,
    /// `cms` or `raw`.
    pub form: String,
    /// Algorithm, e.g. `ecdsa-p256-sha256`.
    pub algorithm: String,
    /// SHA-256 of the signature file, hex.
    pub signature: String,
    /// SHA-256 of the certificate (DER), hex.
    pub certificate: String,
    /// SHA-256 of the certificate file as it was given, hex.
    pub certificate_file: String,
    /// Subject of the certificate.
    pub subject: String,
    /// Issuer of the certificate.
    pub issuer: String,
    /// Serial number of the certificate, hex.
    pub serial: String,
    /// The certificate is valid from, RFC 3339 in UTC.
    pub not_before: String,
    /// The certificate is valid until, RFC 3339 in UTC.
    pub not_after: String,
    /// When the signer says it was signed; nobody else attests it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signing_time: Option<String>,
    /// What of the certificate was checked.
    pub chain: Chain,
}

/// What of a certificate was checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "chain", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Chain {
    /// Nothing but its dates.
    Unchecked,
    /// Signed, over at most a few steps, by an authority that was handed in.
    Verified {
        /// Subject of the authority.
        authority: String,
        /// SHA-256 of its certificate (DER), hex.
        fingerprint: String,
    },
}

/// A signature in the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Signed {
    /// Index of the leaf.
    pub index: u64,
    /// When it was imported.
    pub time: String,
    /// What was verified.
    pub said: SignaturePredicate,
    /// Whether the paper still says what was signed.
    pub current: bool,
}

/// What is imported.
#[derive(Clone, Copy, Debug)]
pub struct Import<'a> {
    /// Paper, e.g. `test-report`.
    pub paper: &'a str,
    /// The signed file.
    pub file: &'a [u8],
    /// Person (`people.<id>`), by id or name.
    pub person: &'a str,
    /// Certificate, PEM or DER.
    pub certificate: &'a [u8],
    /// Signature: CMS, PEM or DER, or the bare bytes.
    pub signature: &'a [u8],
    /// Certificates of authorities, PEM, when the chain is to be checked.
    pub authorities: Option<&'a [u8]>,
}

/// Verifies a signature and logs it. The file, the certificate and the signature go to the store.
///
/// # Errors
/// [`SignatureError`] if anything does not hold; nothing is logged then.
pub fn import(
    register: &mut Register<'_>,
    system: &System,
    import: &Import<'_>,
) -> Result<Logged<SignaturePredicate>, SignatureError> {
    if import.signature.len() > SIGNATURE_BYTES_MAX {
        return Err(SignatureError::Long);
    }
    let person = risk::person(system, import.person)
        .ok_or_else(|| SignatureError::Person(import.person.to_owned()))?;
    let file = Digest::of(import.file).hex();
    let content = content_of(register, import.paper, &file)?;
    let certificate = Certificate::read(import.certificate)?;
    if certificate.key_digest() == register.key.public().fingerprint() {
        return Err(SignatureError::OwnKey);
    }
    let now = (register.now)();
    if !certificate.covers(&now) {
        let (from, until) = (certificate.not_before.clone(), certificate.not_after.clone());
        return Err(SignatureError::Dates { from, until });
    }
    let found = cms::verify(import.signature, import.file, &certificate)?;
    let chain = match import.authorities {
        None => Chain::Unchecked,
        Some(authorities) => certificate::chain(&certificate, &found.others, authorities, &now)?,
    };
    for bytes in [import.file, import.certificate, import.signature] {
        register.store.put(bytes)?;
    }
    let predicate = SignaturePredicate {
        system: system.name.clone(),
        version: system.version.clone(),
        tool: register.tool.clone(),
        paper: import.paper.to_owned(),
        content,
        person: Who::of(person),
        form: found.form.to_owned(),
        algorithm: found.algorithm.to_owned(),
        signature: Digest::of(import.signature).hex(),
        certificate: certificate.fingerprint().hex(),
        certificate_file: Digest::of(import.certificate).hex(),
        subject: certificate.subject.clone(),
        issuer: certificate.issuer.clone(),
        serial: certificate.serial.clone(),
        not_before: certificate.not_before.clone(),
        not_after: certificate.not_after.clone(),
        signing_time: found.signing_time,
        chain,
        file: file.clone(),
    };
    let subject = AssetDigest { name: format!("papers/{}.pdf", import.paper), sha256: file };
    Ok(events::record(register, EntryKind::Signature, SIGNATURE, &predicate, &[subject])?)
}

/// Every signature in the log; `contents` gives the digest of what each paper says now.
///
/// # Errors
/// [`RegisterError`] if the log is damaged or a statement is gone.
pub fn signatures(
    log: &Log,
    store: &Store,
    contents: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<Signed>, RegisterError> {
    let logged =
        events::logged::<SignaturePredicate>(log, store, &EntryKind::Signature, SIGNATURE)?;
    let signed = |l: Logged<SignaturePredicate>| Signed {
        current: contents(&l.said.paper).as_ref() == Some(&l.said.content),
        index: l.index,
        time: l.time,
        said: l.said,
    };
    Ok(logged.into_iter().map(signed).collect())
}

/// The content of the paper whose PDF has that digest.
fn content_of(register: &Register<'_>, paper: &str, file: &str) -> Result<String, SignatureError> {
    let written = written::papers(register.log, register.store)?;
    let all = written.iter().rev().flat_map(|w| &w.said.papers);
    let mut ours = all.filter(|p| p.id == paper && p.pdf.as_deref() == Some(file));
    let found = ours.next().map(|p| p.content.clone());
    found.ok_or_else(|| SignatureError::NotOurs(paper.to_owned()))
}

/// Why a signature is not imported.
#[derive(Debug, thiserror::Error)]
pub enum SignatureError {
    /// Nobody of that name is declared.
    #[error("`{0}` is no declared person; declare `[people.<id>]` with `name` and `role`")]
    Person(String),
    /// The file is none that was written here.
    #[error(
        "the file is no `{0}` that this log knows; sign the PDF of a dossier, and do not change it"
    )]
    NotOurs(String),
    /// Made with the tool's key.
    #[error("the certificate holds the key of this program; a person signs with their own key")]
    OwnKey,
    /// Outside its dates.
    #[error("the certificate is valid from {from} to {until} only; use one that is valid now")]
    Dates {
        /// From.
        from: String,
        /// Until.
        until: String,
    },
    /// Larger than any signature.
    #[error("the signature is larger than {SIGNATURE_BYTES_MAX} bytes; name the signature file")]
    Long,
    /// The signature does not read.
    #[error("the signature does not read: {0}")]
    Form(&'static str),
    /// It is over another file.
    #[error("the signature is over another file: the digest in it is not that of the PDF")]
    OtherFile,
    /// It is by another certificate.
    #[error("the signature names another certificate than the one given")]
    OtherCertificate,
    /// It does not verify.
    #[error("the signature does not verify with the key of the certificate")]
    Bad,
    /// The chain does not hold.
    #[error("the certificate does not lead to an authority that was given: {0}")]
    Chain(&'static str),
    /// The certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// A key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The register.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A signature with its certificates is some kilobytes.
const SIGNATURE_BYTES_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests;
