//! A look at a shared library before it is loaded.
//!
//! Owns the checks that keep a broken file from crashing the process (a truncated library is
//! mapped by the system's loader and kills whoever touches the missing pages) and the version
//! written inside. Must never load anything. Called by [`super`].

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use super::MINOR_MIN;

/// Version of the ONNX Runtime in the file, or why it cannot be one, in words.
pub(super) fn inspect(path: &Path) -> Result<String, String> {
    let meta = path.metadata().map_err(|e| e.to_string())?;
    if !meta.is_file() {
        return Err("it is no file".to_string());
    }
    let mut file = File::open(path).map_err(|e| e.to_string())?;
    let mut head = Vec::new();
    let read = |file: &mut File, n: u64, into: &mut Vec<u8>| {
        file.take(n).read_to_end(into).map(|_| ()).map_err(|e| e.to_string())
    };
    read(&mut file, HEAD_BYTES, &mut head)?;
    let kind = kind(&head).ok_or("it is no shared library of this platform")?;
    if kind == Kind::Elf {
        whole_elf(&head, meta.len())?;
    }
    let mut version = version_in(&head);
    if version.is_none() && meta.len() > HEAD_BYTES && meta.len() <= FILE_BYTES_MAX {
        file.seek(SeekFrom::Start(0)).map_err(|e| e.to_string())?;
        let mut all = Vec::new();
        read(&mut file, FILE_BYTES_MAX, &mut all)?;
        version = version_in(&all);
    }
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let version = version.or_else(|| version_of_name(&name));
    let version = version.ok_or("no version of ONNX Runtime is written in it or in its name")?;
    let mut parts = version.split('.').map(|p| p.parse::<u32>().unwrap_or(0));
    match (parts.next(), parts.next()) {
        (Some(1), Some(minor)) if minor >= MINOR_MIN => Ok(version),
        _ => Err(format!("it is ONNX Runtime {version}; 1.{MINOR_MIN} or a later 1.x is needed")),
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Elf,
    Mach,
    Pe,
}

/// The format that this platform loads.
fn kind(head: &[u8]) -> Option<Kind> {
    let elf = head.starts_with(b"\x7fELF").then_some(Kind::Elf);
    let mach = [&b"\xcf\xfa\xed\xfe"[..], b"\xca\xfe\xba\xbe"].iter().any(|m| head.starts_with(m));
    let mach = mach.then_some(Kind::Mach);
    let pe = head.starts_with(b"MZ").then_some(Kind::Pe);
    let found = elf.or(mach).or(pe)?;
    let native = match std::env::consts::OS {
        "windows" => Kind::Pe,
        "macos" => Kind::Mach,
        _ => Kind::Elf,
    };
    (found == native).then_some(found)
}

/// That every segment and the section table of a 64-bit little-endian library end inside the
/// file (System V ABI, ELF-64 object file format, chapters 2 and 4).
fn whole_elf(head: &[u8], len: u64) -> Result<(), String> {
    let odd = || "its header is not that of a 64-bit library".to_string();
    let short = |end: u64| format!("it is truncated: {len} bytes of at least {end}");
    if head.get(4..6) != Some(&[2, 1]) {
        return Err(odd());
    }
    if number(head, 16, 2) != Some(ET_DYN) {
        return Err("it is no shared library".to_string());
    }
    let field = |at: usize, n: usize| number(head, at, n).ok_or_else(odd);
    let (segments, sections) = (field(32, 8)?, field(40, 8)?);
    let (segment_size, segment_count) = (field(54, 2)?, field(56, 2)?);
    let (section_size, section_count) = (field(58, 2)?, field(60, 2)?);
    if segment_count == 0 || segment_size < 56 {
        return Err(odd());
    }
    let end = |from: u64, n: u64| from.checked_add(n).ok_or_else(odd);
    let table = end(sections, section_size * section_count)?;
    if section_count > 0 && table > len {
        return Err(short(table));
    }
    for i in 0..segment_count {
        let at = end(segments, i * segment_size)?;
        let at = usize::try_from(at).map_err(|_| odd())?;
        let beyond = || short(len + 1);
        let offset = number(head, at.checked_add(8).ok_or_else(odd)?, 8).ok_or_else(beyond)?;
        let size = number(head, at.checked_add(32).ok_or_else(odd)?, 8).ok_or_else(beyond)?;
        let last = end(offset, size)?;
        if last > len {
            return Err(short(last));
        }
    }
    Ok(())
}

fn number(bytes: &[u8], at: usize, n: usize) -> Option<u64> {
    let part = bytes.get(at..at.checked_add(n)?)?;
    Some(part.iter().rev().fold(0, |sum, &b| sum << 8 | u64::from(b)))
}

/// The version as the library carries it: the symbol version `VERS_1.31.0` of its one export
/// (ELF), or the product version of its resource (PE).
fn version_in(bytes: &[u8]) -> Option<String> {
    let marks = bytes.windows(5).enumerate().filter(|(_, w)| *w == b"VERS_").map(|(i, _)| i + 5);
    for at in marks {
        let text: String =
            bytes.iter().skip(at).take(VERSION_BYTES_MAX).map_while(|&b| digit(b)).collect();
        if let Some(version) = three(&text) {
            return Some(version);
        }
    }
    let mark: Vec<u8> = "ProductVersion".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let at = bytes.windows(mark.len()).position(|w| w == mark)? + mark.len();
    let wide = bytes.get(at..)?.chunks_exact(2).take(VERSION_BYTES_MAX);
    let text: String = wide
        .skip_while(|c| *c == [0, 0])
        .map_while(|c| if c.get(1) == Some(&0) { c.first().and_then(|&b| digit(b)) } else { None })
        .collect();
    three(&text)
}

/// `libonnxruntime.so.1.31.0`, `libonnxruntime.1.31.0.dylib`.
fn version_of_name(name: &str) -> Option<String> {
    let from = name.find(|c: char| c.is_ascii_digit())?;
    three(name[from..].trim_end_matches(".dylib"))
}

fn digit(b: u8) -> Option<char> {
    (b.is_ascii_digit() || b == b'.').then_some(char::from(b))
}

/// The first three numbers of a dotted version, if there are three.
fn three(text: &str) -> Option<String> {
    let parts: Vec<&str> = text.split('.').take(3).collect();
    let good = |p: &&str| !p.is_empty() && p.len() <= 5 && p.bytes().all(|b| b.is_ascii_digit());
    (parts.len() == 3 && parts.iter().all(good)).then(|| parts.join("."))
}

/// What is read first: the headers, and in an ELF library the names of its symbols.
const HEAD_BYTES: u64 = 4 << 20;
/// Libraries above this are not searched for a version: builds with every provider inside stay
/// far below.
const FILE_BYTES_MAX: u64 = 1 << 30;
/// A version is shorter than this.
const VERSION_BYTES_MAX: usize = 24;
/// ELF type of a shared library.
const ET_DYN: u64 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_symbols_resources_and_names() {
        let wide = |s: &str| s.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
        let resource = [wide("ProductVersion"), vec![0, 0, 0, 0], wide("1.31.0.2025"), vec![0, 0]];
        for (name, bytes, want) in [
            ("symbol", b"..VERS_\0VERS_1.31.0\0OrtGetApiBase".to_vec(), Some("1.31.0")),
            ("resource", resource.concat(), Some("1.31.0")),
            ("two numbers", b"VERS_1.31\0".to_vec(), None),
            ("nothing", b"hello".to_vec(), None),
        ] {
            assert_eq!(version_in(&bytes).as_deref(), want, "{name}");
        }
        assert_eq!(version_of_name("libonnxruntime.so.1.20.1").as_deref(), Some("1.20.1"));
        assert_eq!(version_of_name("libonnxruntime.1.20.1.dylib").as_deref(), Some("1.20.1"));
        assert_eq!(version_of_name("libonnxruntime.so"), None);
    }

    #[test]
    fn a_library_cut_short_is_seen_in_its_header() {
        let good = elf();
        assert_eq!(whole_elf(&good, good.len() as u64), Ok(()));
        for keep in [0, 5, 20, 63, 64, 100, 119, 180, 220] {
            assert!(whole_elf(&good[..keep], keep as u64).is_err(), "{keep}");
        }
        let mut far = good.clone();
        far[32..40].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(whole_elf(&far, far.len() as u64).is_err());
        let mut program = good.clone();
        program[16] = 2;
        assert!(whole_elf(&program, program.len() as u64).unwrap_err().contains("no shared"));
    }

    /// A header, one segment of 100 bytes behind it, and a table of two sections at the end.
    fn elf() -> Vec<u8> {
        let mut bytes = vec![0; 64];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        bytes[16] = 3;
        bytes[32] = 64;
        bytes[40] = 220;
        bytes[54] = 56;
        bytes[56] = 1;
        bytes[58] = 64;
        bytes[60] = 2;
        let mut segment = vec![0; 56];
        segment[8] = 120;
        segment[32] = 100;
        bytes.extend(segment);
        bytes.extend([7; 100]);
        bytes.extend([0; 128]);
        bytes
    }
}
