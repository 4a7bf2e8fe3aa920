//! The end record, the central directory, and the local headers it points at.
//!
//! Owns their agreement. Called by [`super::ZipArchive::open`].

use std::collections::BTreeSet;

use super::{ENTRIES_MAX, Method, RATIO_MAX, ZipEntry, ZipError};

/// Reads and checks all members.
pub(super) fn read(bytes: &[u8], limit: u64) -> Result<Vec<ZipEntry<'_>>, ZipError> {
    let end = End::find(bytes)?;
    if end.entries > ENTRIES_MAX {
        return Err(ZipError::TooMany { found: end.entries });
    }
    let mut directory = Cursor::at(bytes, end.directory_offset, "the directory")?;
    let mut records = Vec::new();
    let mut names = BTreeSet::new();
    let mut total = 0u64;
    for _ in 0..end.entries {
        let record = Record::read(&mut directory)?;
        total = total.saturating_add(record.size);
        if total > limit {
            return Err(ZipError::TooLarge { found: total, limit });
        }
        if !names.insert(record.name.clone()) {
            return Err(ZipError::Duplicate { name: record.name });
        }
        records.push(record);
    }
    same(directory.offset, "end of the directory", directory.offset, end.directory_end)?;
    layout(bytes, records, end.directory_offset)
}

/// Checks that the members fill the file from its first byte to the directory, each once.
fn layout(
    bytes: &[u8],
    records: Vec<Record>,
    directory: u64,
) -> Result<Vec<ZipEntry<'_>>, ZipError> {
    let mut entries = Vec::with_capacity(records.len());
    let mut ranges = Vec::with_capacity(records.len());
    for record in records {
        let (entry, end, gap_max) = record.local(bytes)?;
        ranges.push((entry.offset, end, gap_max, entry.name.clone()));
        entries.push(entry);
    }
    ranges.sort();
    let (mut at, mut slack) = (0u64, 0u64);
    for (start, end, gap_max, name) in ranges {
        if start < at || start - at > slack {
            return Err(ZipError::Layout { name, offset: start });
        }
        (at, slack) = (end, gap_max);
    }
    if directory < at || directory - at > slack {
        return Err(ZipError::Layout { name: "the directory".to_owned(), offset: directory });
    }
    Ok(entries)
}

/// What the end records say.
struct End {
    entries: u64,
    directory_offset: u64,
    directory_end: u64,
}

impl End {
    fn find(bytes: &[u8]) -> Result<Self, ZipError> {
        let mut found: Option<usize> = None;
        let first = bytes.len().saturating_sub(END_BYTES + COMMENT_BYTES_MAX);
        let tail = bytes.get(first..).unwrap_or_default();
        for (index, window) in tail.windows(END_BYTES).enumerate() {
            let Some((&[b'P', b'K', 5, 6], record)) = window.split_first_chunk() else { continue };
            let comment = record.last_chunk().map_or(0, |c| usize::from(u16::from_le_bytes(*c)));
            let at = first + index;
            if at + END_BYTES + comment != bytes.len() {
                continue;
            }
            if let Some(first) = found.replace(at) {
                return Err(ZipError::TwoEnds { first, second: at });
            }
        }
        Self::read(bytes, found.ok_or(ZipError::NotZip)? as u64)
    }

    fn read(bytes: &[u8], at: u64) -> Result<Self, ZipError> {
        let mut cursor = Cursor::at(bytes, at + 4, "the end record")?;
        let (disk, directory_disk) = (cursor.u16()?, cursor.u16()?);
        let (entries_here, entries) = (cursor.u16()?, cursor.u16()?);
        let (size, offset) = (cursor.u32()?, cursor.u32()?);
        if let Some(end) = Self::zip64(bytes, at, [entries.into(), size.into(), offset.into()])? {
            return Ok(end);
        }
        if disk != 0 || directory_disk != 0 || entries_here != entries {
            return Err(ZipError::SeveralDisks);
        }
        let directory_end = u64::from(offset) + u64::from(size);
        same(at, "end of the directory", directory_end, at)?;
        Ok(Self { entries: entries.into(), directory_offset: offset.into(), directory_end })
    }

    /// The zip64 end record, when its locator stands before the end record at `at`.
    fn zip64(bytes: &[u8], at: u64, short: [u64; 3]) -> Result<Option<Self>, ZipError> {
        let Some(locator_at) = at.checked_sub(LOCATOR_BYTES) else { return Ok(None) };
        let mut cursor = Cursor::at(bytes, locator_at, "the zip64 locator")?;
        if cursor.u32()? != SIGNATURE_LOCATOR {
            return Ok(None);
        }
        let (disk, record_at, disks) = (cursor.u32()?, cursor.u64()?, cursor.u32()?);
        let mut cursor = Cursor::at(bytes, record_at, "the zip64 end record")?;
        cursor.signature(SIGNATURE_END64, "the zip64 end record")?;
        let len = cursor.u64()?;
        same(
            record_at,
            "end of the zip64 end record",
            record_at.saturating_add(len),
            locator_at.saturating_sub(12),
        )?;
        let _versions = cursor.u32()?;
        let (this, other) = (cursor.u32()?, cursor.u32()?);
        let (entries_here, entries) = (cursor.u64()?, cursor.u64()?);
        let (size, offset) = (cursor.u64()?, cursor.u64()?);
        if [disk, this, other] != [0; 3] || disks > 1 || entries_here != entries {
            return Err(ZipError::SeveralDisks);
        }
        let [short_entries, short_size, short_offset] = short;
        let fields = [
            ("number of members", short_entries, entries, u64::from(u16::MAX)),
            ("size of the directory", short_size, size, u64::from(u32::MAX)),
            ("offset of the directory", short_offset, offset, u64::from(u32::MAX)),
        ];
        for (what, short, long, sentinel) in fields {
            if short != sentinel {
                same(at, what, short, long)?;
            }
        }
        let directory_end = offset.saturating_add(size);
        same(record_at, "end of the directory", directory_end, record_at)?;
        Ok(Some(Self { entries, directory_offset: offset, directory_end }))
    }
}

/// One record of the central directory.
struct Record {
    name: String,
    flags: u16,
    method: u16,
    crc: u32,
    compressed: u64,
    size: u64,
    local: u64,
}

impl Record {
    fn read(cursor: &mut Cursor<'_>) -> Result<Self, ZipError> {
        let start = cursor.offset;
        cursor.signature(SIGNATURE_CENTRAL, "a record of the directory")?;
        let _versions = cursor.u32()?;
        let (flags, method) = (cursor.u16()?, cursor.u16()?);
        let _time = cursor.u32()?;
        let (crc, compressed, size) = (cursor.u32()?, cursor.u32()?, cursor.u32()?);
        let (name_len, extra_len) = (cursor.u16()?, cursor.u16()?);
        let comment_len = cursor.u16()?;
        let disk = cursor.u16()?;
        let _attributes = (cursor.u16()?, cursor.u32()?);
        let local = cursor.u32()?;
        let name = cursor.name(name_len)?;
        let extra = cursor.take(extra_len.into())?;
        cursor.take(comment_len.into())?;
        let [size, compressed, local, disk] = Zip64 { extra, offset: start }
            .resolve([size.into(), compressed.into(), local.into(), disk.into()], true)?;
        if disk != 0 {
            return Err(ZipError::SeveralDisks);
        }
        let record = Self { name, flags, method, crc, compressed, size, local };
        record.check()?;
        Ok(record)
    }

    fn check(&self) -> Result<(), ZipError> {
        let name = || self.name.clone();
        if self.flags & FLAGS_ENCRYPTED != 0 {
            return Err(ZipError::Encrypted { name: name() });
        }
        let (size, compressed) = (self.size, self.compressed);
        match self.method {
            0 if size != compressed => {
                Err(ZipError::Size { name: name(), expected: size, found: compressed })
            }
            8 if size > compressed.saturating_mul(RATIO_MAX) => {
                Err(ZipError::Ratio { name: name(), size, compressed })
            }
            0 | 8 => Ok(()),
            method => Err(ZipError::Method { name: name(), method }),
        }
    }

    /// The member with its data, its end, and how many bytes of descriptor may follow.
    fn local(self, bytes: &[u8]) -> Result<(ZipEntry<'_>, u64, u64), ZipError> {
        let mut cursor = Cursor::at(bytes, self.local, "a local header")?;
        cursor.signature(SIGNATURE_LOCAL, "a local header")?;
        let _version = cursor.u16()?;
        let (flags, method) = (cursor.u16()?, cursor.u16()?);
        let _time = cursor.u32()?;
        let (crc, compressed, size) = (cursor.u32()?, cursor.u32()?, cursor.u32()?);
        let (name_len, extra_len) = (cursor.u16()?, cursor.u16()?);
        let offset = self.local;
        if cursor.take(name_len.into())? != self.name.as_bytes() {
            return Err(ZipError::LocalName { name: self.name, offset });
        }
        let extra = cursor.take(extra_len.into())?;
        same(offset, "flags", flags.into(), self.flags.into())?;
        same(offset, "compression method", method.into(), self.method.into())?;
        let [size, compressed, _, _] =
            Zip64 { extra, offset }.resolve([size.into(), compressed.into(), 0, 0], false)?;
        let described = flags & FLAG_DESCRIPTOR != 0;
        // with a descriptor behind the data, the header may leave all three at zero
        if !described || [u64::from(crc), compressed, size] != [0; 3] {
            same(offset, "CRC", crc.into(), self.crc.into())?;
            same(offset, "packed size", compressed, self.compressed)?;
            same(offset, "size", size, self.size)?;
        }
        let data = cursor.take(self.compressed)?;
        let gap_max = if described { DESCRIPTOR_BYTES_MAX } else { 0 };
        let method = if self.method == 0 { Method::Stored } else { Method::Deflated };
        let entry =
            ZipEntry { name: self.name, method, crc: self.crc, size: self.size, offset, data };
        Ok((entry, cursor.offset, gap_max))
    }
}

/// The extra fields of a header, of which only zip64 sizes are read.
struct Zip64<'a> {
    extra: &'a [u8],
    offset: u64,
}

impl Zip64<'_> {
    /// Replaces size, packed size, offset and disk (the last two in the directory only) by their
    /// long forms where the short ones say so.
    fn resolve(self, short: [u64; 4], central: bool) -> Result<[u64; 4], ZipError> {
        let mut fields = Cursor { rest: self.extra, offset: self.offset, what: "an extra field" };
        let mut long: Option<Cursor<'_>> = None;
        while !fields.rest.is_empty() {
            let (id, len) = (fields.u16()?, fields.u16()?);
            let body = fields.take(len.into())?;
            if id != EXTRA_ZIP64 {
                continue;
            }
            let cursor = Cursor { rest: body, offset: self.offset, what: "the zip64 extra field" };
            if long.replace(cursor).is_some() {
                let what = "one zip64 extra field, not two";
                return Err(ZipError::Signature { offset: self.offset, what });
            }
        }
        let Some(mut long) = long else { return Ok(short) };
        let [mut size, mut compressed, mut local, mut disk] = short;
        for value in [&mut size, &mut compressed] {
            if *value == u64::from(u32::MAX) {
                *value = long.u64()?;
            }
        }
        if central && local == u64::from(u32::MAX) {
            local = long.u64()?;
        }
        if central && disk == u64::from(u16::MAX) {
            disk = long.u32()?.into();
        }
        Ok([size, compressed, local, disk])
    }
}

/// A bounded cursor over little-endian records.
struct Cursor<'a> {
    rest: &'a [u8],
    offset: u64,
    what: &'static str,
}

impl<'a> Cursor<'a> {
    fn at(bytes: &'a [u8], offset: u64, what: &'static str) -> Result<Self, ZipError> {
        let rest = usize::try_from(offset).ok().and_then(|start| bytes.get(start..));
        Ok(Self { rest: rest.ok_or(ZipError::Truncated { offset, what })?, offset, what })
    }

    fn take(&mut self, len: u64) -> Result<&'a [u8], ZipError> {
        let split = usize::try_from(len).ok().and_then(|len| self.rest.split_at_checked(len));
        let (head, rest) =
            split.ok_or(ZipError::Truncated { offset: self.offset, what: self.what })?;
        self.rest = rest;
        self.offset += len;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ZipError> {
        let (offset, what) = (self.offset, self.what);
        self.take(N as u64)?.try_into().map_err(|_| ZipError::Truncated { offset, what })
    }

    fn u16(&mut self) -> Result<u16, ZipError> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, ZipError> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, ZipError> {
        self.array().map(u64::from_le_bytes)
    }

    fn signature(&mut self, signature: u32, what: &'static str) -> Result<(), ZipError> {
        let offset = self.offset;
        if self.u32()? == signature { Ok(()) } else { Err(ZipError::Signature { offset, what }) }
    }

    /// A name that every reader understands alike.
    fn name(&mut self, len: u16) -> Result<String, ZipError> {
        let offset = self.offset;
        let name = std::str::from_utf8(self.take(len.into())?).ok();
        let name = name.filter(|name| !name.is_empty() && !name.contains('\0'));
        name.map(str::to_owned).ok_or(ZipError::Name { offset })
    }
}

fn same(offset: u64, what: &'static str, one: u64, other: u64) -> Result<(), ZipError> {
    if one == other { Ok(()) } else { Err(ZipError::Contradiction { offset, what, one, other }) }
}

pub(super) const SIGNATURE_LOCAL: u32 = 0x0403_4b50;
pub(super) const SIGNATURE_CENTRAL: u32 = 0x0201_4b50;
pub(super) const SIGNATURE_END: u32 = 0x0605_4b50;
const SIGNATURE_END64: u32 = 0x0606_4b50;
const SIGNATURE_LOCATOR: u32 = 0x0706_4b50;
const END_BYTES: usize = 22;
const LOCATOR_BYTES: u64 = 20;
const COMMENT_BYTES_MAX: usize = 65_535;
/// Signature, CRC and two 8-byte sizes behind the data.
const DESCRIPTOR_BYTES_MAX: u64 = 24;
const FLAG_DESCRIPTOR: u16 = 1 << 3;
/// Plain and strong encryption, and masked headers.
const FLAGS_ENCRYPTED: u16 = 1 | 1 << 6 | 1 << 13;
const EXTRA_ZIP64: u16 = 1;
