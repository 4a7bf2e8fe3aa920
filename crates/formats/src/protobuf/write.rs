//! The writing half of the wire format.
//!
//! Owns tags, minimal varints and nested lengths. Large payloads are copied once: a nested
//! message is first counted and then written in place. Called by [`crate::onnx::encode`].

/// Writes fields, or only counts their bytes.
#[derive(Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
    /// Bytes counted so far when nothing is stored.
    counted: Option<usize>,
}

impl Writer {
    /// A writer that stores.
    pub fn new() -> Self {
        Self::default()
    }

    /// What was written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// A varint field.
    pub fn int64(&mut self, number: u32, value: i64) {
        self.tag(number, 0);
        self.varint(value.cast_unsigned());
    }

    /// A varint field of 32 bits, sign-extended as protobuf wants it.
    pub fn int32(&mut self, number: u32, value: i32) {
        self.int64(number, i64::from(value));
    }

    /// A `float` field.
    pub fn float(&mut self, number: u32, value: f32) {
        self.tag(number, 5);
        self.put(&value.to_le_bytes());
    }

    /// A field of bytes.
    pub fn bytes(&mut self, number: u32, bytes: &[u8]) {
        self.tag(number, 2);
        self.varint(bytes.len() as u64);
        self.put(bytes);
    }

    /// A field of text, left out when empty: the default of both proto2 and proto3.
    pub fn text(&mut self, number: u32, text: &str) {
        if !text.is_empty() {
            self.bytes(number, text.as_bytes());
        }
    }

    /// A nested message.
    pub fn message(&mut self, number: u32, write: impl Fn(&mut Writer)) {
        let mut counter = Writer { bytes: Vec::new(), counted: Some(0) };
        write(&mut counter);
        let len = counter.counted.unwrap_or(0);
        self.tag(number, 2);
        self.varint(len as u64);
        match &mut self.counted {
            Some(counted) => *counted += len,
            None => write(self),
        }
    }

    /// A packed field of varints, left out when empty.
    pub fn packed_varints(&mut self, number: u32, values: impl Iterator<Item = u64> + Clone) {
        if values.clone().next().is_some() {
            self.message(number, |writer| values.clone().for_each(|value| writer.varint(value)));
        }
    }

    /// A packed field of fixed-size little-endian elements, left out when empty.
    pub fn packed_fixed<const N: usize>(
        &mut self,
        number: u32,
        values: impl Iterator<Item = [u8; N]> + Clone,
    ) {
        if values.clone().next().is_some() {
            self.message(number, |writer| values.clone().for_each(|value| writer.put(&value)));
        }
    }

    fn tag(&mut self, number: u32, wire: u64) {
        self.varint(u64::from(number) << 3 | wire);
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.put(&[value.to_le_bytes()[0] | 0x80]);
            value >>= 7;
        }
        self.put(&[value.to_le_bytes()[0]]);
    }

    fn put(&mut self, bytes: &[u8]) {
        match &mut self.counted {
            Some(counted) => *counted += bytes.len(),
            None => self.bytes.extend_from_slice(bytes),
        }
    }
}
