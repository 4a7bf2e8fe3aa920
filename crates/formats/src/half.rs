//! Widening of 16-bit floats.
//!
//! Owns the bit patterns; both conversions are exact. Called by [`crate::onnx`] and
//! [`crate::npy`].

/// IEEE 754 binary16 bits as `f32`; NaN payloads and signs are kept.
pub(crate) fn f16_to_f32(bits: u16) -> f32 {
    let sign = u32::from(bits & 0x8000) << 16;
    let exponent = u32::from(bits >> 10 & 0x1f);
    let fraction = u32::from(bits & 0x3ff);
    match exponent {
        0 => {
            // subnormal: fraction times 2^-24, exact in f32
            let magnitude = fraction as f32 * f32::from_bits(0x3380_0000);
            f32::from_bits(sign | magnitude.to_bits())
        }
        0x1f => f32::from_bits(sign | 0x7f80_0000 | fraction << 13),
        _ => f32::from_bits(sign | (exponent + 112) << 23 | fraction << 13),
    }
}

/// bfloat16 bits as `f32`.
pub(crate) fn bf16_to_f32(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f16_cases() {
        let cases: [(&str, u16, f32); 9] = [
            ("zero", 0x0000, 0.0),
            ("one", 0x3c00, 1.0),
            ("minus two", 0xc000, -2.0),
            ("largest", 0x7bff, 65504.0),
            ("smallest normal", 0x0400, 6.103_515_6e-5),
            ("smallest subnormal", 0x0001, 5.960_464_5e-8),
            ("largest subnormal", 0x03ff, 6.097_555e-5),
            ("infinity", 0x7c00, f32::INFINITY),
            ("a third", 0x3555, 0.333_251_95),
        ];
        for (name, bits, expected) in cases {
            assert_eq!(f16_to_f32(bits), expected, "{name}");
        }
        assert_eq!(f16_to_f32(0x8000).to_bits(), (-0.0f32).to_bits());
        assert!(f16_to_f32(0x7e01).is_nan());
        assert_eq!(bf16_to_f32(0x3f80), 1.0);
        assert_eq!(bf16_to_f32(0xc0a0), -5.0);
    }
}
