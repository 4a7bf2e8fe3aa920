//! Archives made to mislead or exhaust a reader.

use std::io::Write;

use flate2::Compression;
use flate2::write::DeflateEncoder;
use proofmark_formats::zip::{RATIO_MAX, TOTAL_BYTES_MAX, ZipArchive, ZipError, ZipWriter};

/// A member as an attacker writes it: every field is free.
#[derive(Clone)]
struct Member {
    name: &'static [u8],
    local_name: &'static [u8],
    method: u16,
    flags: u16,
    crc: u32,
    packed: Vec<u8>,
    size: u32,
    packed_len: u32,
    local_size: u32,
}

fn deflated(content: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn member(name: &'static [u8], content: &[u8], method: u16) -> Member {
    let packed = if method == 8 { deflated(content) } else { content.to_vec() };
    let mut crc = flate2::Crc::new();
    crc.update(content);
    let size = u32::try_from(content.len()).unwrap();
    let packed_len = u32::try_from(packed.len()).unwrap();
    let local_name = name;
    Member {
        name,
        local_name,
        method,
        flags: 0,
        crc: crc.sum(),
        packed,
        size,
        packed_len,
        local_size: size,
    }
}

/// A change to an honest member.
type Lie = &'static dyn Fn(&mut Member);

/// Writes members one after the other, then a directory of all.
fn archive(members: &[Member]) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for m in members {
        let offset = bytes.len() as u32;
        let header = |out: &mut Vec<u8>, size: u32, name: &[u8]| {
            out.extend(m.flags.to_le_bytes());
            out.extend(m.method.to_le_bytes());
            out.extend([0; 4]);
            out.extend(m.crc.to_le_bytes());
            out.extend(m.packed_len.to_le_bytes());
            out.extend(size.to_le_bytes());
            out.extend((name.len() as u16).to_le_bytes());
            out.extend([0; 2]);
        };
        bytes.extend(b"PK\x03\x04\x14\x00");
        header(&mut bytes, m.local_size, m.local_name);
        bytes.extend(m.local_name);
        bytes.extend(&m.packed);
        directory.extend(b"PK\x01\x02\x14\x00\x14\x00");
        header(&mut directory, m.size, m.name);
        directory.extend([0; 10]);
        directory.extend(offset.to_le_bytes());
        directory.extend(m.name);
    }
    let offset = bytes.len() as u32;
    bytes.extend(&directory);
    bytes.extend(b"PK\x05\x06\0\0\0\0");
    bytes.extend((members.len() as u16).to_le_bytes());
    bytes.extend((members.len() as u16).to_le_bytes());
    bytes.extend((directory.len() as u32).to_le_bytes());
    bytes.extend(offset.to_le_bytes());
    bytes.extend([0; 2]);
    bytes
}

fn refused(bytes: &[u8]) -> ZipError {
    let opened = ZipArchive::open(bytes, TOTAL_BYTES_MAX);
    let read = opened
        .and_then(|archive| archive.entries().iter().try_for_each(|entry| entry.read().map(drop)));
    read.expect_err("the archive must be refused")
}

#[test]
fn honest_archives_read() {
    let text = b"proofmark ".repeat(100);
    let bytes =
        archive(&[member(b"a", &text, 0), member(b"dir/b", &text, 8), member(b"c", b"", 8)]);
    let archive = ZipArchive::open(&bytes, TOTAL_BYTES_MAX).unwrap();
    let names: Vec<_> = archive.entries().iter().map(|entry| entry.name()).collect();
    assert_eq!(names, ["a", "dir/b", "c"]);
    assert_eq!(archive.entry("a").unwrap().read().unwrap(), text);
    assert_eq!(archive.entry("dir/b").unwrap().read().unwrap(), text);
    assert_eq!(archive.entry("c").unwrap().read().unwrap().as_ref(), b"");
    assert!(archive.entry("d").is_none());
    assert_eq!(ZipArchive::open(&self::archive(&[]), 0).unwrap().entries().len(), 0);
}

#[test]
fn members_that_lie_are_refused() {
    let text = b"proofmark ".repeat(100);
    let good = member(b"a", &text, 8);
    let change = |f: &dyn Fn(&mut Member)| {
        let mut member = good.clone();
        f(&mut member);
        refused(&archive(&[member])).to_string()
    };
    let cases: [(&str, Lie, &str); 12] = [
        ("crc", &|m| m.crc ^= 1, "is damaged: CRC"),
        ("encrypted", &|m| m.flags = 1, "is encrypted"),
        ("masked", &|m| m.flags = 1 << 13, "is encrypted"),
        ("method", &|m| m.method = 12, "compressed by method 12"),
        ("names differ", &|m| m.local_name = b"b", "names another member"),
        ("sizes differ", &|m| m.local_size = 1, "size: 1 in one place and 1000 in another"),
        ("too small", &|m| (m.size, m.local_size) = (999, 999), "has 1000 bytes where"),
        ("too large", &|m| (m.size, m.local_size) = (1001, 1001), "has 1000 bytes where"),
        ("name", &|m| (m.name, m.local_name) = (b"\xff", b"\xff"), "not UTF-8"),
        ("no name", &|m| (m.name, m.local_name) = (b"", b""), "a member name that is empty"),
        ("zero", &|m| (m.name, m.local_name) = (b"a\0b", b"a\0b"), "holds a zero byte"),
        ("packed", &|m| m.packed_len = u32::MAX - 1, "cut short or lies outside"),
    ];
    for (name, f, part) in cases {
        let message = change(f);
        assert!(message.contains(part), "{name}: {message}");
    }
    let mut slack = good.clone();
    slack.packed.extend(b"hidden");
    slack.packed_len += 6;
    assert!(refused(&archive(&[slack])).to_string().contains("packed bytes"));
    let mut cut = good.clone();
    cut.packed.truncate(10);
    cut.packed_len = 10;
    let error = refused(&archive(&[cut]));
    assert!(matches!(error, ZipError::Inflate { .. } | ZipError::Size { .. }), "{error}");
    let twice = archive(&[good.clone(), good.clone()]);
    assert_eq!(refused(&twice), ZipError::Duplicate { name: "a".to_owned() });
}

#[test]
fn bombs_are_refused_before_they_inflate() {
    let zeros = vec![0; 10_000_000];
    let bomb = archive(&[member(b"bomb", &zeros, 8)]);
    assert!(bomb.len() < 11_000);
    let limit = 9_999_999;
    let error = ZipArchive::open(&bomb, limit).unwrap_err();
    assert_eq!(error, ZipError::TooLarge { found: 10_000_000, limit });
    // honest about its size, it is within what deflate can do
    let opened = ZipArchive::open(&bomb, TOTAL_BYTES_MAX).unwrap();
    assert_eq!(opened.entries()[0].read().unwrap().len(), zeros.len());
    // claiming less than it holds, it stops one byte past the claim
    let mut liar = member(b"bomb", &zeros, 8);
    (liar.size, liar.local_size) = (10, 10);
    assert!(matches!(refused(&archive(&[liar])), ZipError::Size { expected: 10, found: 11, .. }));
    // claiming more than deflate can do
    let mut boast = member(b"bomb", b"", 8);
    let claim = boast.packed_len * RATIO_MAX as u32 + 1;
    (boast.size, boast.local_size) = (claim, claim);
    assert!(matches!(refused(&archive(&[boast])), ZipError::Ratio { .. }));
    // many members that are each within the limit
    let half = member(b"a", &zeros, 8);
    let mut other = half.clone();
    (other.name, other.local_name) = (b"b", b"b");
    let error = ZipArchive::open(&archive(&[half, other]), 15_000_000).unwrap_err();
    assert_eq!(error, ZipError::TooLarge { found: 20_000_000, limit: 15_000_000 });
}

#[test]
fn overlapping_members_are_refused() {
    // two records of the directory share one local header
    let mut bytes = archive(&[member(b"a", b"content", 0), member(b"a", b"content", 0)]);
    let directory = bytes.len() - 22 - 2 * 47;
    let second = directory + 47;
    bytes[second + 42..second + 46].copy_from_slice(&0u32.to_le_bytes());
    // still two of one name; rename the second one in directory only, and it names another
    assert!(matches!(refused(&bytes), ZipError::Duplicate { .. }));
    bytes[second + 46] = b'b';
    assert!(matches!(refused(&bytes), ZipError::LocalName { .. }));
    // a member inside another one's data
    let inner = archive(&[member(b"b", b"x", 0)]);
    let inner = inner[..30 + 1 + 1].to_vec();
    let mut outer = archive(&[member(b"a", &inner, 0), member(b"b", b"x", 0)]);
    let second = outer.len() - 22 - 47;
    let inside = 30 + 1;
    outer[second + 42..second + 46].copy_from_slice(&(inside as u32).to_le_bytes());
    assert!(matches!(refused(&outer), ZipError::Layout { .. }), "{}", refused(&outer));
}

#[test]
fn archives_with_two_readings_are_refused() {
    let good = archive(&[member(b"a", b"content", 0)]);
    let other = archive(&[member(b"b", b"other", 0)]);
    let cases: [(&str, Vec<u8>); 6] = [
        ("concatenated", [good.clone(), other.clone()].concat()),
        ("prefix", [b"#!/bin/sh\n".to_vec(), good.clone()].concat()),
        ("trailing", [good.clone(), b"x".to_vec()].concat()),
        ("empty", Vec::new()),
        ("end only", b"PK\x05\x06".to_vec()),
        ("text", b"label,x\n".to_vec()),
    ];
    for (name, bytes) in cases {
        let error = ZipArchive::open(&bytes, TOTAL_BYTES_MAX);
        assert!(error.is_err(), "{name}: {error:?}");
    }
    // an end record in the comment of another one
    let mut commented = good.clone();
    let at = commented.len() - 2;
    let inner = archive(&[]);
    commented[at..].copy_from_slice(&(inner.len() as u16).to_le_bytes());
    commented.extend(&inner);
    assert!(matches!(refused(&commented), ZipError::TwoEnds { .. }));
    for len in 0..good.len() {
        assert!(ZipArchive::open(&good[..len], TOTAL_BYTES_MAX).is_err(), "cut at {len}");
    }
    // a directory that counts more members than it has
    let mut more = good.clone();
    let at = more.len() - 22;
    more[at + 8] = 2;
    more[at + 10] = 2;
    assert!(ZipArchive::open(&more, TOTAL_BYTES_MAX).is_err());
}

#[test]
fn zip64_records_must_agree() {
    // the directory of an empty archive, described by a zip64 end record
    let zip64 = |entries: u64, offset: u64| {
        let mut bytes = b"PK\x06\x06".to_vec();
        bytes.extend(44u64.to_le_bytes());
        bytes.extend([45, 0, 45, 0]);
        bytes.extend([0; 8]);
        for value in [entries, entries, 0, offset] {
            bytes.extend(value.to_le_bytes());
        }
        bytes.extend(b"PK\x06\x07\0\0\0\0");
        bytes.extend([0; 8]);
        bytes.extend(1u32.to_le_bytes());
        bytes.extend(b"PK\x05\x06\0\0\0\0\xff\xff\xff\xff");
        bytes.extend([0xff; 8]);
        bytes.extend([0; 2]);
        bytes
    };
    assert_eq!(ZipArchive::open(&zip64(0, 0), 0).unwrap().entries().len(), 0);
    let found = u64::MAX;
    assert_eq!(refused(&zip64(found, 0)), ZipError::TooMany { found });
    assert!(matches!(refused(&zip64(0, u64::MAX)), ZipError::Contradiction { .. }));
    assert!(matches!(refused(&zip64(1, 0)), ZipError::Signature { .. }));
}

#[test]
fn the_writer_refuses_what_zip_cannot_say() {
    let mut writer = ZipWriter::new();
    writer.add("a", b"1").unwrap();
    assert_eq!(writer.add("a", b"2"), Err(ZipError::Duplicate { name: "a".to_owned() }));
    assert!(matches!(writer.add("", b""), Err(ZipError::Name { .. })));
    assert!(matches!(writer.add(&"x".repeat(70_000), b""), Err(ZipError::Name { .. })));
    let bytes = writer.finish().unwrap();
    let archive = ZipArchive::open(&bytes, 1).unwrap();
    assert_eq!(archive.entries()[0].read().unwrap().as_ref(), b"1");
}
