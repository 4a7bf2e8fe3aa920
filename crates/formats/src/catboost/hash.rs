//! The hash by which CatBoost knows a category: CityHash64, first edition, low 32 bits.
//!
//! Follows the published algorithm (Pike and Alakuijala, CityHash 1.0); golden values are the
//! library's own. Must never change: it says which category a text is.

/// The hash of a category's text.
pub fn category_hash(text: &[u8]) -> u32 {
    (city64(text) & 0xffff_ffff) as u32
}

fn city64(s: &[u8]) -> u64 {
    match s.len() {
        0..=16 => short(s),
        17..=32 => {
            let len = s.len();
            let a = u64_at(s, 0).wrapping_mul(K1);
            let b = u64_at(s, 8);
            let c = u64_at(s, len - 8).wrapping_mul(K2);
            let d = u64_at(s, len - 16).wrapping_mul(K0);
            let left = a.wrapping_sub(b).rotate_right(43).wrapping_add(c.rotate_right(30));
            let right = a.wrapping_add((b ^ K3).rotate_right(20)).wrapping_sub(c);
            mix16(left.wrapping_add(d), right.wrapping_add(len as u64))
        }
        33..=64 => medium(s),
        _ => long(s),
    }
}

/// Up to 16 bytes.
fn short(s: &[u8]) -> u64 {
    let len = s.len();
    if len > 8 {
        let (a, b) = (u64_at(s, 0), u64_at(s, len - 8));
        return mix16(a, b.wrapping_add(len as u64).rotate_right(len as u32)) ^ b;
    }
    if len >= 4 {
        let (a, b) = (u32_at(s, 0), u32_at(s, len - 4));
        return mix16((len as u64).wrapping_add(a << 3), b);
    }
    let byte = |at: usize| s.get(at).copied().map_or(0, u64::from);
    if len > 0 {
        let y = byte(0) + (byte(len >> 1) << 8);
        let z = len as u64 + (byte(len - 1) << 2);
        return shift_mix(y.wrapping_mul(K2) ^ z.wrapping_mul(K3)).wrapping_mul(K2);
    }
    K2
}

/// 33 to 64 bytes.
fn medium(s: &[u8]) -> u64 {
    let len = s.len();
    let half = |first: u64, second: u64, third: u64, z: u64| {
        let b = first.wrapping_add(z).rotate_right(52);
        let mut c = first.rotate_right(37);
        let mut a = first.wrapping_add(second);
        c = c.wrapping_add(a.rotate_right(7));
        a = a.wrapping_add(third);
        (a.wrapping_add(z), b.wrapping_add(a.rotate_right(31)).wrapping_add(c))
    };
    let tail = (len as u64).wrapping_add(u64_at(s, len - 16)).wrapping_mul(K0);
    let first = u64_at(s, 0).wrapping_add(tail);
    let (vf, vs) = half(first, u64_at(s, 8), u64_at(s, 16), u64_at(s, 24));
    let first = u64_at(s, 16).wrapping_add(u64_at(s, len - 32));
    let (wf, ws) = half(first, u64_at(s, len - 24), u64_at(s, len - 16), u64_at(s, len - 8));
    let left = vf.wrapping_add(ws).wrapping_mul(K2);
    let r = shift_mix(left.wrapping_add(wf.wrapping_add(vs).wrapping_mul(K0)));
    shift_mix(r.wrapping_mul(K0).wrapping_add(vs)).wrapping_mul(K2)
}

/// More than 64 bytes: 56 bytes of state over blocks of 64.
fn long(s: &[u8]) -> u64 {
    let len = s.len();
    let mut x = u64_at(s, 0);
    let mut y = u64_at(s, len - 16) ^ K1;
    let mut z = u64_at(s, len - 56) ^ K0;
    let mut v = weak32(s, len - 64, len as u64, y);
    let mut w = weak32(s, len - 32, (len as u64).wrapping_mul(K1), K0);
    z = z.wrapping_add(shift_mix(v.1).wrapping_mul(K1));
    x = z.wrapping_add(x).rotate_right(39).wrapping_mul(K1);
    y = y.rotate_right(33).wrapping_mul(K1);
    for block in 0..(len - 1) / 64 {
        let at = block * 64;
        let sum = x.wrapping_add(y).wrapping_add(v.0).wrapping_add(u64_at(s, at + 16));
        x = sum.rotate_right(37).wrapping_mul(K1);
        let sum = y.wrapping_add(v.1).wrapping_add(u64_at(s, at + 48));
        y = sum.rotate_right(42).wrapping_mul(K1);
        x ^= w.1;
        y ^= v.0;
        z = (z ^ w.0).rotate_right(33);
        v = weak32(s, at, v.1.wrapping_mul(K1), x.wrapping_add(w.0));
        w = weak32(s, at + 32, z.wrapping_add(w.1), y);
        std::mem::swap(&mut z, &mut x);
    }
    let left = mix16(v.0, w.0).wrapping_add(shift_mix(y).wrapping_mul(K1)).wrapping_add(z);
    mix16(left, mix16(v.1, w.1).wrapping_add(x))
}

/// 32 bytes and two seeds into 128 bits.
fn weak32(s: &[u8], at: usize, a: u64, b: u64) -> (u64, u64) {
    let z = u64_at(s, at + 24);
    let a = a.wrapping_add(u64_at(s, at));
    let b = b.wrapping_add(a).wrapping_add(z).rotate_right(21);
    let c = a;
    let a = a.wrapping_add(u64_at(s, at + 8)).wrapping_add(u64_at(s, at + 16));
    (a.wrapping_add(z), b.wrapping_add(a.rotate_right(44)).wrapping_add(c))
}

/// 128 bits into 64.
fn mix16(low: u64, high: u64) -> u64 {
    let a = shift_mix((low ^ high).wrapping_mul(MUL));
    let b = shift_mix((high ^ a).wrapping_mul(MUL));
    b.wrapping_mul(MUL)
}

fn shift_mix(value: u64) -> u64 {
    value ^ (value >> 47)
}

/// Eight bytes, little-endian; callers stay inside the text.
fn u64_at(s: &[u8], at: usize) -> u64 {
    let chunk = s.get(at..).and_then(|rest| rest.first_chunk::<8>());
    chunk.map_or(0, |chunk| u64::from_le_bytes(*chunk))
}

fn u32_at(s: &[u8], at: usize) -> u64 {
    let chunk = s.get(at..).and_then(|rest| rest.first_chunk::<4>());
    chunk.map_or(0, |chunk| u32::from_le_bytes(*chunk).into())
}

const K0: u64 = 0xc3a5_c85c_97cb_3127;
const K1: u64 = 0xb492_b66f_be98_f273;
const K2: u64 = 0x9ae1_6a3b_2f90_404f;
const K3: u64 = 0xc949_d7c7_509e_6557;
const MUL: u64 = 0x9ddf_ea08_eb38_2d69;

#[cfg(test)]
mod tests {
    use super::*;

    /// Prefixes of one text: hashes from `features_info.cat_features_hash` of CatBoost 1.2.10,
    /// made by `crates/engine/tests/boosted/make.py --hashes`.
    #[test]
    fn hashes_are_those_of_the_library() {
        let text = "The quick brown fox jumps over the lazy dog; Zwölf Boxkämpfer jagen Viktor \
                    quer über den großen Sylter Deich, und 0123456789 weitere sehen dabei zu.";
        for (len, hash) in HASHES {
            assert_eq!(category_hash(&text.as_bytes()[..len]), hash, "{len} bytes");
        }
    }

    const HASHES: [(usize, u32); 31] = [
        (1, 311401451),
        (2, 1391204213),
        (3, 802589044),
        (4, 3051752953),
        (5, 4042376276),
        (7, 3950516137),
        (8, 3664305727),
        (9, 62722841),
        (12, 502489177),
        (15, 2874732688),
        (16, 3688493868),
        (17, 2361206127),
        (20, 156918783),
        (24, 3020692229),
        (31, 1752146168),
        (32, 704156603),
        (33, 2239288843),
        (40, 853146485),
        (55, 2500529428),
        (63, 1394243185),
        (64, 2427620653),
        (65, 1178875158),
        (71, 87019710),
        (72, 1821988865),
        (80, 1905332112),
        (100, 3617377699),
        (127, 1701130566),
        (128, 3972372494),
        (129, 571399716),
        (140, 3211289529),
        (152, 125060430),
    ];
}
