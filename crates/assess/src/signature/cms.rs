//! Detached signatures: CMS SignedData (RFC 5652) as `openssl cms -sign -binary` makes it, or the
//! bare bytes of a signature.
//!
//! Owns which bytes a signature is over. Must never take a digest from the signature for that of
//! the file. Called by `signature`.

use proofmark_evidence::anchor::der::{
    CONTEXT_0, INTEGER, OBJECT_ID, OCTET_STRING, Reader, SEQUENCE, SET, dotted,
};

use super::SignatureError;
use super::certificate::{Certificate, pem, time};
use super::key::{Hash, KeyError};

/// What was found out.
#[derive(Debug)]
pub(super) struct Found {
    /// `cms` or `raw`.
    pub form: &'static str,
    /// Algorithm.
    pub algorithm: &'static str,
    /// When the signer says it was signed.
    pub signing_time: Option<String>,
    /// Other certificates that came with it; not trusted.
    pub others: Vec<Certificate>,
}

/// Verifies `signature` over `file` with the key of `certificate`.
pub(super) fn verify(
    signature: &[u8],
    file: &[u8],
    certificate: &Certificate,
) -> Result<Found, SignatureError> {
    let armoured =
        ["CMS", "PKCS7"].iter().find_map(|label| pem(signature, label).into_iter().next());
    let der = armoured.as_deref().unwrap_or(signature);
    match signed_data(der) {
        Some(data) => verify_cms(data, file, certificate),
        None => verify_raw(signature, file, certificate),
    }
}

fn verify_raw(
    signature: &[u8],
    file: &[u8],
    certificate: &Certificate,
) -> Result<Found, SignatureError> {
    if !certificate.key.verifies(Hash::Sha256, file, signature) {
        return Err(SignatureError::Bad);
    }
    let algorithm = certificate.key.algorithm(Hash::Sha256).unwrap_or_default();
    Ok(Found { form: "raw", algorithm, signing_time: None, others: Vec::new() })
}

/// The content of a ContentInfo that is SignedData; `None` when it is something else.
fn signed_data(der: &[u8]) -> Option<Reader<'_>> {
    let mut whole = Reader::new(der);
    let mut info = whole.inside(SEQUENCE)?;
    let kind = dotted(info.expect(OBJECT_ID)?)?;
    (kind == SIGNED_DATA && whole.is_empty()).then_some(())?;
    info.inside(CONTEXT_0)?.inside(SEQUENCE)
}

fn verify_cms(
    data: Reader<'_>,
    file: &[u8],
    certificate: &Certificate,
) -> Result<Found, SignatureError> {
    let parts = parts(data).ok_or(SignatureError::Form("it is no detached CMS signature"))?;
    if parts.attached {
        return Err(SignatureError::Form("the file is inside it; sign it detached"));
    }
    let mut signers = parts.signers;
    let signer = signers.inside(SEQUENCE).and_then(signer);
    let signer = signer.ok_or(SignatureError::Form("its signer does not read"))?;
    if !signers.is_empty() {
        return Err(SignatureError::Form("it has several signers; import them one by one"));
    }
    if let Some((issuer, serial)) = signer.by
        && (issuer != certificate.issuer_der || serial != certificate.serial_der)
    {
        return Err(SignatureError::OtherCertificate);
    }
    let hash = Hash::of(&signer.digest_algorithm)
        .ok_or_else(|| KeyError::Algorithm(signer.digest_algorithm.clone()))?;
    let named = Hash::of(&signer.signature_algorithm);
    if signer.signature_algorithm != RSA && named != Some(hash) {
        return Err(KeyError::Algorithm(signer.signature_algorithm.clone()).into());
    }
    let (message, signing_time) = match signer.attributes {
        None => (file.to_vec(), None),
        Some(content) => attributes(content, &hash.digest(file))?,
    };
    let algorithm = certificate.key.algorithm(hash);
    let algorithm =
        algorithm.ok_or_else(|| KeyError::Algorithm(signer.signature_algorithm.clone()))?;
    if !certificate.key.verifies(hash, &message, signer.signature) {
        return Err(SignatureError::Bad);
    }
    Ok(Found { form: "cms", algorithm, signing_time, others: parts.certificates })
}

struct Parts<'a> {
    attached: bool,
    certificates: Vec<Certificate>,
    signers: Reader<'a>,
}

fn parts(mut data: Reader<'_>) -> Option<Parts<'_>> {
    data.expect(INTEGER)?;
    data.expect(SET)?;
    let mut content = data.inside(SEQUENCE)?;
    content.expect(OBJECT_ID)?;
    let attached = !content.is_empty();
    let mut certificates = Vec::new();
    if let Some(set) = data.maybe(CONTEXT_0) {
        let mut set = Reader::new(set);
        while !set.is_empty() && certificates.len() < CERTIFICATES_MAX {
            let (_, _, der) = set.element()?;
            certificates.extend(Certificate::parse(der));
        }
    }
    data.maybe(CONTEXT_1);
    Some(Parts { attached, certificates, signers: data.inside(SET)? })
}

struct Signer<'a> {
    /// Issuer and serial number of the certificate; `None` when it is named by its key.
    by: Option<(&'a [u8], &'a [u8])>,
    digest_algorithm: String,
    attributes: Option<&'a [u8]>,
    signature_algorithm: String,
    signature: &'a [u8],
}

fn signer(mut signer: Reader<'_>) -> Option<Signer<'_>> {
    signer.expect(INTEGER)?;
    let by = match signer.maybe(SEQUENCE) {
        Some(sid) => {
            let mut sid = Reader::new(sid);
            let (_, _, issuer) = sid.element()?;
            Some((issuer, sid.expect(INTEGER)?))
        }
        None => {
            signer.any()?;
            None
        }
    };
    let digest_algorithm = dotted(signer.inside(SEQUENCE)?.expect(OBJECT_ID)?)?;
    let attributes = signer.maybe(CONTEXT_0);
    let signature_algorithm = dotted(signer.inside(SEQUENCE)?.expect(OBJECT_ID)?)?;
    let signature = signer.expect(OCTET_STRING)?;
    Some(Signer { by, digest_algorithm, attributes, signature_algorithm, signature })
}

/// The signed attributes as they were signed, and the time among them. The digest of the file must
/// be one of them (RFC 5652, section 5.4).
fn attributes(content: &[u8], digest: &[u8]) -> Result<(Vec<u8>, Option<String>), SignatureError> {
    const FORM: SignatureError = SignatureError::Form("its attributes do not read");
    let (mut told, mut signing_time) = (None, None);
    let mut list = Reader::new(content);
    while !list.is_empty() {
        let mut attribute = list.inside(SEQUENCE).ok_or(FORM)?;
        let kind = attribute.expect(OBJECT_ID).and_then(dotted).ok_or(FORM)?;
        let mut values = attribute.inside(SET).ok_or(FORM)?;
        match kind.as_str() {
            MESSAGE_DIGEST if told.is_none() => {
                told = Some(values.expect(OCTET_STRING).ok_or(FORM)?)
            }
            MESSAGE_DIGEST => return Err(FORM),
            SIGNING_TIME => signing_time = time(&mut values),
            _ => {}
        }
    }
    if told.ok_or(FORM)? != digest {
        return Err(SignatureError::OtherFile);
    }
    Ok((as_set(content), signing_time))
}

/// The attributes with the tag of a SET instead of the one they carry in the signature.
fn as_set(content: &[u8]) -> Vec<u8> {
    let mut set = vec![SET];
    match u8::try_from(content.len()) {
        Ok(length) if length < 0x80 => set.push(length),
        _ => {
            let length = content.len().to_be_bytes();
            let digits: Vec<u8> = length.into_iter().skip_while(|b| *b == 0).collect();
            set.push(0x80 | u8::try_from(digits.len()).unwrap_or_default());
            set.extend(digits);
        }
    }
    set.extend_from_slice(content);
    set
}

const SIGNED_DATA: &str = "1.2.840.113549.1.7.2";
const MESSAGE_DIGEST: &str = "1.2.840.113549.1.9.4";
const SIGNING_TIME: &str = "1.2.840.113549.1.9.5";
/// Named alone, the digest algorithm says which hash.
const RSA: &str = "1.2.840.113549.1.1.1";
/// Constructed, context-specific, number 1.
const CONTEXT_1: u8 = 0xa1;
/// A chain is short.
const CERTIFICATES_MAX: usize = 16;
