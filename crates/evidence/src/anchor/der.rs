//! A bounded reader of DER, enough to walk a time-stamp response, a certificate or a signature.
//!
//! Owns tag-length-value reading. Must never recurse by itself, allocate for a length it has not
//! got, or accept an indefinite length. Called by `tsp` and by the check of persons' signatures.

/// What is left to read.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(&'a [u8]);

/// INTEGER.
pub const INTEGER: u8 = 0x02;
/// OCTET STRING.
pub const OCTET_STRING: u8 = 0x04;
/// OBJECT IDENTIFIER.
pub const OBJECT_ID: u8 = 0x06;
/// GeneralizedTime.
pub const GENERALIZED_TIME: u8 = 0x18;
/// SEQUENCE.
pub const SEQUENCE: u8 = 0x30;
/// SET.
pub const SET: u8 = 0x31;
/// Constructed, context-specific, number 0.
pub const CONTEXT_0: u8 = 0xa0;
/// Constructed, context-specific, number 4.
pub const CONTEXT_4: u8 = 0xa4;

impl<'a> Reader<'a> {
    /// Reads `bytes` from the start.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next element: its tag and content.
    pub fn any(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        if tag & 0x1f == 0x1f {
            return None; // multi-byte tags do not occur here
        }
        let (&first, mut rest) = rest.split_first()?;
        let length = if first < 0x80 {
            usize::from(first)
        } else {
            let count = usize::from(first & 0x7f);
            if count == 0 || count > LENGTH_BYTES_MAX {
                return None;
            }
            let (digits, after) = rest.split_at_checked(count)?;
            rest = after;
            let length = digits.iter().fold(0usize, |sum, byte| (sum << 8) | usize::from(*byte));
            let shortest = length >= 0x80 && digits.first() != Some(&0);
            shortest.then_some(length)?
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }

    /// The next element with its head: its tag, its content, all of its bytes.
    pub fn element(&mut self) -> Option<(u8, &'a [u8], &'a [u8])> {
        let before = self.0;
        let (tag, content) = self.any()?;
        let whole = before.get(..before.len().checked_sub(self.0.len())?)?;
        Some((tag, content, whole))
    }

    /// The next element if it has `tag`; else nothing is read.
    pub fn maybe(&mut self, tag: u8) -> Option<&'a [u8]> {
        let mut ahead = *self;
        let content = ahead.expect(tag)?;
        *self = ahead;
        Some(content)
    }

    /// The content of the next element, which must have `tag`.
    pub fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (found, content) = self.any()?;
        (found == tag).then_some(content)
    }

    /// A reader of the content of the next element, which must have `tag`.
    pub fn inside(&mut self, tag: u8) -> Option<Self> {
        self.expect(tag).map(Self)
    }
}

/// An object identifier in dotted form.
pub fn dotted(content: &[u8]) -> Option<String> {
    if content.len() > OID_BYTES_MAX || content.last().is_none_or(|byte| byte & 0x80 != 0) {
        return None;
    }
    let mut arcs = Vec::new();
    let mut value = 0u64;
    for byte in content {
        value = value.checked_mul(128)? | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            arcs.push(value);
            value = 0;
        }
    }
    let (first, rest) = arcs.split_first()?;
    let top = (first / 40).min(2);
    let mut text = format!("{top}.{}", first - top * 40);
    for arc in rest {
        text.push_str(&format!(".{arc}"));
    }
    Some(text)
}

/// Lengths up to 4 GiB; the input itself is bounded far below.
const LENGTH_BYTES_MAX: usize = 4;
const OID_BYTES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_read_strictly() {
        assert_eq!(Reader::new(&[2, 1, 5]).any(), Some((2, &[5u8][..])));
        for bad in [
            &[][..],
            &[2],
            &[2, 2, 5],
            &[0x30, 0x80, 0, 0],
            &[2, 0x81, 1, 5],
            &[2, 0x82, 0, 0x80],
            &[0x1f, 1, 1],
            &[2, 0x85, 0, 0, 0, 0, 1, 5],
            &[2, 0xff],
        ] {
            assert_eq!(Reader::new(bad).any(), None, "{bad:?}");
        }
    }

    #[test]
    fn object_identifiers() {
        // id-sha256 and id-ct-TSTInfo, from their registrations
        assert_eq!(
            dotted(&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1]).unwrap(),
            "2.16.840.1.101.3.4.2.1"
        );
        assert_eq!(
            dotted(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 16, 1, 4]).unwrap(),
            "1.2.840.113549.1.9.16.1.4"
        );
        assert_eq!(dotted(&[0x80]), None);
        assert_eq!(dotted(&[0xff; 20]), None);
    }
}
