//! PNG: grey and colour, 1 to 16 bits, palettes, transparency, interlace.
//!
//! Owns the order of checks: the size is compared before anything is inflated. Called by
//! [`super`].

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use png::{BitDepth, ColorType, Decoder, Limits, Transformations};

use super::{Channels, FolderError, PROFILE, Pixels};

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
    let bad = |e: png::DecodingError| unreadable(e.to_string());
    let limits = Limits { bytes: DECODER_BYTES_MAX };
    let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), limits);
    // Palettes become colours, grey of 1, 2 and 4 bits becomes 8, a transparent colour alpha.
    decoder.set_transformations(Transformations::EXPAND);
    let header = decoder.read_header_info().map_err(bad)?;
    let (width, height) = (header.width as usize, header.height as usize);
    size(width, height)?;
    let mut reader = decoder.read_info().map_err(bad)?;
    let info = reader.info();
    if info.animation_control.is_some() {
        return Err(unreadable("it is animated; save one frame".to_owned()));
    }
    let profile = info.icc_profile.is_some() || info.gama_chunk.is_some();
    let length = reader.output_buffer_size();
    let length = length.ok_or_else(|| unreadable("its size has no end".to_owned()))?;
    let mut raw = vec![0u8; length];
    let frame = reader.next_frame(&mut raw).map_err(bad)?;
    raw.truncate(frame.buffer_size());
    let channels = match frame.color_type {
        ColorType::Grayscale => Channels::Grey,
        ColorType::GrayscaleAlpha => Channels::GreyAlpha,
        ColorType::Rgb => Channels::Colour,
        ColorType::Rgba => Channels::ColourAlpha,
        ColorType::Indexed => return Err(unreadable("its palette is missing".to_owned())),
    };
    let (data, bits) = match frame.bit_depth {
        BitDepth::Sixteen => {
            let pairs = raw.as_chunks::<2>().0.iter();
            (pairs.map(|pair| u16::from_be_bytes(*pair)).collect(), 16)
        }
        _ => (raw.into_iter().map(u16::from).collect(), 8),
    };
    let untouched = if profile { vec![PROFILE] } else { Vec::new() };
    Ok(Pixels { data, channels, bits, untouched })
}

/// Bytes that the decoder may take beside the pixels: profiles and texts are small.
const DECODER_BYTES_MAX: usize = 64 << 20;
