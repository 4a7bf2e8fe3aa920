//! The footer of a Parquet file, looked over before the reader gets it.
//!
//! Owns a walk over Thrift's compact protocol that only counts: the reader passes over lists of
//! truth values without reading a byte of them, so that a few bytes could keep it busy for hours.
//! Must never interpret a field. Called by [`super::parquet`].

use parquet::file::reader::ChunkReader;

use super::ColumnarError;
use super::parquet::refused;

/// Refuses footers whose lists are longer than their bytes; what is no Parquet file at all is
/// left to the reader, which says so.
pub(super) fn check<R: ChunkReader>(reader: &R) -> Result<(), ColumnarError> {
    let Some(end) = reader.len().checked_sub(TAIL_BYTES) else { return Ok(()) };
    let tail = reader.get_bytes(end, TAIL_BYTES as usize).map_err(refused)?;
    let Some(length) = tail.first_chunk::<4>() else { return Ok(()) };
    let length = u64::from(u32::from_le_bytes(*length));
    let Some(start) = end.checked_sub(length) else { return Ok(()) };
    if length > FOOTER_BYTES_MAX {
        let (found, limit) = (length, FOOTER_BYTES_MAX);
        return Err(ColumnarError::TooLarge { what: "bytes in the footer", found, limit });
    }
    let footer = reader.get_bytes(start, length as usize).map_err(refused)?;
    Walk { rest: &footer }.fields(0).ok_or_else(|| refused("its footer is damaged"))
}

struct Walk<'a> {
    rest: &'a [u8],
}

impl Walk<'_> {
    /// A struct: fields up to the one that ends it.
    fn fields(&mut self, depth: usize) -> Option<()> {
        loop {
            let header = self.byte()?;
            let kind = header & 0x0f;
            if kind == 0 {
                return Some(());
            }
            // Without a step from the last field its number follows.
            if header >> 4 == 0 {
                self.number()?;
            }
            self.value(kind, depth)?;
        }
    }

    fn value(&mut self, kind: u8, depth: usize) -> Option<()> {
        match kind {
            // A truth value is in the header of its field.
            1 | 2 => Some(()),
            3 => self.skip(1),
            4..=6 => self.number().map(drop),
            7 => self.skip(8),
            8 => {
                let length = self.number()?;
                self.skip(usize::try_from(length).ok()?)
            }
            9 | 10 if depth < DEPTH_MAX => self.list(depth + 1),
            12 if depth < DEPTH_MAX => self.fields(depth + 1),
            // A footer holds no maps, and nothing else.
            _ => None,
        }
    }

    fn list(&mut self, depth: usize) -> Option<()> {
        let header = self.byte()?;
        let count = match header >> 4 {
            15 => self.number()?,
            short => u64::from(short),
        };
        let kind = header & 0x0f;
        // Truth values in lists are what a footer does not hold, and what the reader miscounts.
        if count > self.rest.len() as u64 || (count > 0 && matches!(kind, 1 | 2)) {
            return None;
        }
        (0..count).try_for_each(|_| self.value(kind, depth))
    }

    fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    fn number(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn skip(&mut self, bytes: usize) -> Option<()> {
        self.rest = self.rest.get(bytes..)?;
        Some(())
    }
}

/// Length of the footer and the mark that ends a file.
const TAIL_BYTES: u64 = 8;
/// A footer names every column of every row group: tables with thousands of both stay below.
const FOOTER_BYTES_MAX: u64 = 256 << 20;
/// The format itself nests to six.
const DEPTH_MAX: usize = 24;

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn file(footer: &[u8]) -> Bytes {
        let length = (footer.len() as u32).to_le_bytes();
        [b"PAR1", footer, &length, b"PAR1"].concat().into()
    }

    #[test]
    fn footers_that_say_more_than_they_hold_are_refused() {
        let endless = [0xff, 0xff, 0xff, 0xff, 0x07];
        for (name, footer, sound) in [
            ("nothing", vec![0], true),
            ("a number and a text", vec![0x15, 4, 0x18, 1, b'a', 0], true),
            ("a list of numbers", vec![0x19, 0x35, 1, 2, 3, 0], true),
            ("an empty list", vec![0x19, 0, 0], true),
            ("2^31 truth values", [&[0x19, 0xf1][..], &endless, &[0]].concat(), false),
            ("two truth values", vec![0x19, 0x21, 1, 1, 0], false),
            ("2^31 structs", [&[0x19, 0xfc][..], &endless, &[0]].concat(), false),
            ("a text beyond the end", vec![0x18, 9, b'a', 0], false),
            ("no end", vec![0x15, 4], false),
            ("structs without end", [vec![0x1c; 1000], vec![0; 1001]].concat(), false),
            ("a number without end", [vec![0x15], vec![0xff; 20], vec![0]].concat(), false),
            ("a map", vec![0x1b, 1, 0x55, 1, 1, 0], false),
        ] {
            assert_eq!(check(&file(&footer)).is_ok(), sound, "{name}");
        }
        assert!(check(&Bytes::from_static(b"PAR1")).is_ok(), "the reader says what it is");
    }
}
