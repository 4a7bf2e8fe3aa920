//! From bytes to text: UTF-8, UTF-16 and Windows-1252.
//!
//! Owns detection and the one table of characters. Must never replace what cannot be decoded: it
//! is refused by byte and line. Called by [`super::read`] and by [`crate::rows`].

use std::borrow::Cow;

use proofmark_schema::system::TextEncoding;

use super::{BOM, CsvError};

/// Text and how it was written.
pub(crate) struct Decoded<'a> {
    pub(crate) text: Cow<'a, str>,
    pub(crate) encoding: TextEncoding,
    /// Whether the encoding is a guess: not UTF-8, so most likely Windows-1252.
    pub(crate) assumed: bool,
    pub(crate) bom: bool,
}

/// Decodes a whole file; what is not pinned is told by its bytes.
pub(crate) fn decode(bytes: &[u8], pin: Option<TextEncoding>) -> Result<Decoded<'_>, CsvError> {
    let decoded = match pin {
        Some(TextEncoding::Utf16) => utf16(bytes),
        Some(TextEncoding::Windows1252) => windows(bytes, false),
        None if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) => {
            utf16(bytes)
        }
        pin => utf8(bytes, pin),
    }?;
    if let Some(at) = decoded.text.find('\0') {
        let line = line_of(decoded.text.as_bytes(), at);
        let half = bytes.iter().take(SAMPLE_BYTES).filter(|b| **b == 0).count() * 3;
        let wide = half > bytes.len().min(SAMPLE_BYTES);
        let hint = if wide {
            "it looks like UTF-16 without a byte order mark: pin \
             `dialect = { encoding = \"utf-16\" }`"
        } else {
            "the file is damaged or no text: export it again"
        };
        return Err(CsvError::Nul { line, hint });
    }
    Ok(decoded)
}

/// One character of Windows-1252; `None` for the five bytes that have none.
pub(crate) fn windows_char(byte: u8) -> Option<char> {
    match byte {
        0x80..=0x9f => HIGH.get(usize::from(byte - 0x80)).copied().filter(|c| *c != '\0'),
        _ => Some(char::from(byte)),
    }
}

fn utf8(bytes: &[u8], pin: Option<TextEncoding>) -> Result<Decoded<'_>, CsvError> {
    let bom = bytes.starts_with(BOM);
    let body = bytes.strip_prefix(BOM).unwrap_or(bytes);
    let error = match std::str::from_utf8(body) {
        Ok(text) => {
            let text = Cow::Borrowed(text);
            return Ok(Decoded { text, encoding: TextEncoding::Utf8, assumed: false, bom });
        }
        Err(error) => error,
    };
    let refuse = |hint| {
        let line = line_of(body, error.valid_up_to());
        let offset = error.valid_up_to() + (bytes.len() - body.len());
        Err(CsvError::Encoding { offset, line, hint })
    };
    if pin.is_some() || bom {
        return refuse(" (it may be Latin-1 or Windows-1252)");
    }
    // Whoever writes one character in UTF-8 writes all of them so: the rest is damage.
    if body.utf8_chunks().any(|chunk| !chunk.valid().is_ascii()) {
        return refuse(" (other characters of it are UTF-8, so this one is damaged)");
    }
    let control = |b: &u8| *b < 0x20 && !matches!(b, b'\t' | b'\n' | b'\r' | 0x0c);
    if body.iter().any(control) {
        return refuse(" (it holds control characters, so it may be no text at all)");
    }
    windows(bytes, true)
}

fn windows(bytes: &[u8], assumed: bool) -> Result<Decoded<'_>, CsvError> {
    let mut text = String::with_capacity(bytes.len() + bytes.len() / 8);
    for (offset, byte) in bytes.iter().enumerate() {
        let Some(c) = windows_char(*byte) else {
            let hint = " (no character of Windows-1252 either)";
            return Err(CsvError::Encoding { offset, line: line_of(bytes, offset), hint });
        };
        text.push(c);
    }
    let encoding = TextEncoding::Windows1252;
    Ok(Decoded { text: Cow::Owned(text), encoding, assumed, bom: false })
}

fn utf16(bytes: &[u8]) -> Result<Decoded<'_>, CsvError> {
    let big = bytes.starts_with(&[0xfe, 0xff]);
    let bom = big || bytes.starts_with(&[0xff, 0xfe]);
    let body = if bom { bytes.get(2..).unwrap_or_default() } else { bytes };
    let (pairs, rest) = body.as_chunks::<2>();
    let units = pairs.iter().map(|p| match big {
        true => u16::from_be_bytes(*p),
        false => u16::from_le_bytes(*p),
    });
    let mut text = String::with_capacity(body.len() / 2);
    for decoded in char::decode_utf16(units) {
        match decoded {
            Ok(c) => text.push(c),
            Err(_) => return Err(broken(bytes, &text)),
        }
    }
    if !rest.is_empty() {
        return Err(broken(bytes, &text));
    }
    Ok(Decoded { text: Cow::Owned(text), encoding: TextEncoding::Utf16, assumed: false, bom })
}

fn broken(bytes: &[u8], before: &str) -> CsvError {
    let offset = bytes.len().min(before.encode_utf16().count() * 2);
    let line = line_of(before.as_bytes(), before.len());
    CsvError::Encoding { offset, line, hint: " (it is broken UTF-16)" }
}

fn line_of(bytes: &[u8], at: usize) -> u64 {
    let before = bytes.get(..at).unwrap_or_default();
    before.iter().filter(|b| **b == b'\n').count() as u64 + 1
}

/// What Windows-1252 has where Latin-1 has control characters; NUL where it has nothing.
const HIGH: [char; 32] = [
    '€', '\0', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\0', 'Ž', '\0', '\0', '‘',
    '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\0', 'ž', 'Ÿ',
];
/// Enough to tell text of two bytes a character from text with a stray zero.
const SAMPLE_BYTES: usize = 4096;
