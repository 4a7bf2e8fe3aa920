//! What an RFC 3161 time-stamp response says.
//!
//! Owns reading it. Must never claim that its signature is verified. Called by `anchor` only.

use super::AnchorError;
use super::der::{
    CONTEXT_0, CONTEXT_4, GENERALIZED_TIME, INTEGER, OBJECT_ID, OCTET_STRING, Reader, SEQUENCE,
    SET, dotted,
};
use crate::digest::Digest;
use crate::time;

/// The content of a granted time stamp; its signature is not verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeStamp {
    /// SHA-256 of what was stamped.
    pub imprint: Digest,
    /// When: RFC 3339 in UTC.
    pub time: String,
    /// Serial number, hexadecimal.
    pub serial: String,
    /// Policy of the authority, dotted object identifier.
    pub policy: String,
    /// Name the authority gives itself, if any.
    pub authority: Option<String>,
}

impl TimeStamp {
    /// Reads a response (RFC 3161, section 2.4.2) and the token inside.
    ///
    /// # Errors
    /// [`AnchorError::Form`] or [`AnchorError::NotGranted`].
    pub fn parse(response: &[u8]) -> Result<Self, AnchorError> {
        let form = || AnchorError::Form("the structure is another");
        let mut outer = Reader::new(response);
        let mut parts = outer.inside(SEQUENCE).ok_or_else(form)?;
        if !outer.is_empty() {
            return Err(AnchorError::Form("bytes follow it"));
        }
        let mut status = parts.inside(SEQUENCE).ok_or_else(form)?;
        let code = status.expect(INTEGER).and_then(small).ok_or_else(form)?;
        if code > GRANTED_WITH_MODS {
            return Err(AnchorError::NotGranted(code));
        }
        let info = token_content(&mut parts).ok_or_else(form)?;
        Self::from_info(info).ok_or(AnchorError::Form("the stamp inside is another or not SHA-256"))
    }

    // TSTInfo, RFC 3161, section 2.4.2.
    fn from_info(info: &[u8]) -> Option<Self> {
        let mut info = Reader::new(info).inside(SEQUENCE)?;
        if small(info.expect(INTEGER)?)? != 1 {
            return None;
        }
        let policy = dotted(info.expect(OBJECT_ID)?)?;
        let mut imprint = info.inside(SEQUENCE)?;
        let algorithm = imprint.inside(SEQUENCE)?.expect(OBJECT_ID)?;
        if dotted(algorithm)? != SHA_256 {
            return None;
        }
        let imprint = Digest::from_bytes(imprint.expect(OCTET_STRING)?.try_into().ok()?);
        let serial = info.expect(INTEGER).filter(|s| s.len() <= SERIAL_BYTES_MAX)?;
        let time = rfc3339(info.expect(GENERALIZED_TIME)?)?;
        let mut authority = None;
        while !info.is_empty() {
            // accuracy, ordering, nonce, extensions: of no use here
            if let (CONTEXT_0, content) = info.any()? {
                authority = directory_name(content);
            }
        }
        Some(Self { imprint, time, serial: hex::encode(serial), policy, authority })
    }
}

// ContentInfo → SignedData → EncapsulatedContentInfo → content (RFC 5652, sections 3 and 5).
fn token_content<'a>(parts: &mut Reader<'a>) -> Option<&'a [u8]> {
    let mut token = parts.inside(SEQUENCE)?;
    if dotted(token.expect(OBJECT_ID)?)? != SIGNED_DATA {
        return None;
    }
    let mut signed = token.inside(CONTEXT_0)?.inside(SEQUENCE)?;
    signed.expect(INTEGER)?;
    signed.expect(SET)?;
    let mut content = signed.inside(SEQUENCE)?;
    if dotted(content.expect(OBJECT_ID)?)? != TST_INFO {
        return None;
    }
    content.inside(CONTEXT_0)?.expect(OCTET_STRING)
}

fn small(content: &[u8]) -> Option<u64> {
    let fits = !content.is_empty() && content.len() <= 7 && content.first()? & 0x80 == 0;
    fits.then(|| content.iter().fold(0, |sum, byte| (sum << 8) | u64::from(*byte)))
}

// `20261122150000Z` or with a fraction (RFC 3161 forbids other zones).
fn rfc3339(content: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(content).ok()?.strip_suffix('Z')?;
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) => (whole, format!(".{fraction}")),
        None => (text, String::new()),
    };
    let part = |from: usize, to: usize| whole.get(from..to);
    if whole.len() != 14 {
        return None;
    }
    let time = format!(
        "{}-{}-{}T{}:{}:{}{fraction}Z",
        part(0, 4)?,
        part(4, 6)?,
        part(6, 8)?,
        part(8, 10)?,
        part(10, 12)?,
        part(12, 14)?
    );
    time::check(&time).ok()?;
    Some(time)
}

// GeneralName with a directoryName (RFC 5280, sections 4.2.1.6 and 4.1.2.4): `O=…, CN=…`.
fn directory_name(general: &[u8]) -> Option<String> {
    let mut names = Reader::new(general).inside(CONTEXT_4)?.inside(SEQUENCE)?;
    let mut shown = Vec::new();
    while !names.is_empty() && shown.len() < NAME_PARTS_MAX {
        let mut part = names.inside(SET)?.inside(SEQUENCE)?;
        let kind = dotted(part.expect(OBJECT_ID)?)?;
        let value = String::from_utf8_lossy(part.any()?.1);
        let label = match kind.as_str() {
            "2.5.4.3" => "CN",
            "2.5.4.6" => "C",
            "2.5.4.10" => "O",
            "2.5.4.11" => "OU",
            _ => continue,
        };
        let safe: String = value.chars().filter(|c| !c.is_control()).take(NAME_CHARS_MAX).collect();
        shown.push(format!("{label}={safe}"));
    }
    (!shown.is_empty()).then(|| shown.join(", "))
}

const GRANTED_WITH_MODS: u64 = 1;
const SIGNED_DATA: &str = "1.2.840.113549.1.7.2";
const TST_INFO: &str = "1.2.840.113549.1.9.16.1.4";
const SHA_256: &str = "2.16.840.1.101.3.4.2.1";
/// RFC 3161 asks for up to 160 bits.
const SERIAL_BYTES_MAX: usize = 64;
const NAME_PARTS_MAX: usize = 16;
const NAME_CHARS_MAX: usize = 200;
