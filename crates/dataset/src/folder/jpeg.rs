//! JPEG: baseline and progressive, grey and colour.
//!
//! Owns the order of checks: the size is compared before anything is decoded. Decoders of JPEG
//! round in their own ways: values may be a few steps off those of another library, which a
//! parity check with `expected` shows. Called by [`super`].

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::{Channels, FolderError, ORIENTATION, PROFILE, Pixels};

pub(super) fn decode(
    bytes: &[u8],
    size: &dyn Fn(usize, usize) -> Result<(), FolderError>,
    unreadable: &dyn Fn(String) -> FolderError,
) -> Result<Pixels, FolderError> {
    let guarded = catch_unwind(AssertUnwindSafe(|| read(bytes, size, unreadable)));
    guarded.unwrap_or_else(|_| Err(unreadable("its reader stopped at an inner check".to_owned())))
}

fn read(
    bytes: &[u8],
    size: &dyn Fn(usize, usize) -> Result<(), FolderError>,
    unreadable: &dyn Fn(String) -> FolderError,
) -> Result<Pixels, FolderError> {
    // Without special instructions: the same values on every processor.
    let options = DecoderOptions::default()
        .set_use_unsafe(false)
        .set_strict_mode(true)
        .set_max_width(SIDE_MAX)
        .set_max_height(SIDE_MAX)
        .jpeg_set_max_scans(SCANS_MAX);
    let mut decoder = JpegDecoder::new_with_options(Cursor::new(bytes), options);
    decoder.decode_headers().map_err(|e| unreadable(e.to_string()))?;
    let info = decoder.info().ok_or_else(|| unreadable("it has no header".to_owned()))?;
    let (width, height) = (usize::from(info.width), usize::from(info.height));
    size(width, height)?;
    let (channels, space) = match decoder.input_colorspace() {
        Some(ColorSpace::Luma) => (Channels::Grey, ColorSpace::Luma),
        Some(ColorSpace::YCbCr | ColorSpace::RGB) => (Channels::Colour, ColorSpace::RGB),
        _ => return Err(unreadable("it is of four inks (CMYK); save it as RGB".to_owned())),
    };
    let mut untouched = Vec::new();
    if decoder.icc_profile().is_some() {
        untouched.push(PROFILE);
    }
    if decoder.exif().is_some_and(|exif| orientation(exif).is_some_and(|o| o != 1)) {
        untouched.push(ORIENTATION);
    }
    decoder.set_options(options.jpeg_set_out_colorspace(space));
    let raw = decoder.decode().map_err(|e| unreadable(e.to_string()))?;
    let data = raw.into_iter().map(u16::from).collect();
    Ok(Pixels { data, channels, bits: 8, untouched })
}

/// The orientation that EXIF states: tag 0x0112 of the first directory.
fn orientation(exif: &[u8]) -> Option<u16> {
    let tiff = exif.strip_prefix(b"Exif\0\0").unwrap_or(exif);
    let big = tiff.starts_with(b"MM");
    let two = |at: usize| {
        let bytes: [u8; 2] = tiff.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    };
    let four = |at: usize| {
        let bytes: [u8; 4] = tiff.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    };
    let start = usize::try_from(four(4)?).ok()?;
    let count = usize::from(two(start)?);
    let entry = |at: usize| start.checked_add(2 + at * 12);
    let found = (0..count).find_map(|at| entry(at).filter(|e| two(*e) == Some(ORIENTATION_TAG)));
    two(found?.checked_add(8)?)
}

const ORIENTATION_TAG: u16 = 0x0112;
/// Pixels of a side; the declared shape is compared first.
const SIDE_MAX: usize = 1 << 16;
/// Passes of a progressive image: more are made to take time.
const SCANS_MAX: usize = 100;
