//! Text: `StringNormalizer`, `Tokenizer`, `StringConcat`, `StringSplit`, `RegexFullMatch`,
//! `MurmurHash3`.
//!
//! Owns case, cutting and joining of texts as ONNX Runtime does them. Must never compare by a
//! locale of this machine. Called by the registry.

use super::pattern::Pattern;
use crate::reference::broadcast;
use crate::reference::op::{
    Args, Kernel, OpError, Spec, misshapen, mistyped, tensor, volume, wrong,
};
use crate::value::{Tensor, Value};

/// The texts of an input.
fn texts<'a>(args: &Args<'a>, i: usize) -> Result<&'a Tensor<String>, OpError> {
    match args.required(i)? {
        Value::Str(t) => Ok(t),
        other => Err(mistyped(i, other, "text")),
    }
}

/// What happens to letters.
#[derive(Clone, Copy, PartialEq)]
enum Case {
    Lower,
    Upper,
    Keep,
}

impl Case {
    fn apply(self, text: &str) -> String {
        match self {
            Self::Keep => text.to_string(),
            Self::Lower => text.chars().map(lower).collect(),
            Self::Upper => text.chars().map(upper).collect(),
        }
    }
}

/// One letter for one letter, as the C library has it: a letter whose other case takes several
/// stays, but for the dotted capital I.
fn lower(c: char) -> char {
    let mut made = c.to_lowercase();
    match (made.next(), made.next()) {
        (Some(l), None) => l,
        _ if c == '\u{130}' => 'i',
        _ => c,
    }
}

fn upper(c: char) -> char {
    let mut made = c.to_uppercase();
    match (made.next(), made.next()) {
        (Some(u), None) => u,
        _ => c,
    }
}

/// `StringNormalizer`: drops stop words, then changes the case. What is left of nothing is one
/// empty text.
pub fn string_normalizer(spec: &Spec) -> Result<Kernel, OpError> {
    let case = match spec.text_or("case_change_action", "NONE")? {
        "LOWER" => Case::Lower,
        "UPPER" => Case::Upper,
        "NONE" => Case::Keep,
        other => {
            return Err(wrong("case_change_action", format!("has the unknown value `{other}`")));
        }
    };
    let exact = spec.flag("is_case_sensitive", false)?;
    // Without regard to case, stop words are compared in the case that is asked for.
    let compared = match (exact, case) {
        (true, _) => Case::Keep,
        (false, Case::Upper) => Case::Upper,
        (false, _) => Case::Lower,
    };
    let stop = spec.texts("stopwords")?.unwrap_or(&[]);
    let stop: std::collections::HashSet<String> = stop.iter().map(|w| compared.apply(w)).collect();
    Ok(Box::new(move |args| {
        let x = texts(args, 0)?;
        let flat = match x.shape() {
            [_] => true,
            [1, _] => false,
            shape => {
                return Err(misshapen(format!("expected (n) or (1, n), given shape {shape:?}")));
            }
        };
        let keep = |t: &&String| stop.is_empty() || !stop.contains(&compared.apply(t));
        let mut out: Vec<String> = x.data().iter().filter(keep).map(|t| case.apply(t)).collect();
        if out.is_empty() {
            out.push(String::new());
        }
        let shape = if flat { vec![out.len()] } else { vec![1, out.len()] };
        Ok(vec![Value::Str(tensor(shape, out)?)])
    }))
}

/// How a text is cut.
enum Cut {
    Letters,
    Separators(Vec<Pattern>),
    Tokens(Pattern),
}

/// Marks of the beginning and the end of a text.
const MARKS: (&str, &str) = ("\u{2}", "\u{3}");

/// `Tokenizer` of the domain `com.microsoft`: the tokens of every text, padded to the longest.
pub fn tokenizer(spec: &Spec) -> Result<Kernel, OpError> {
    let least = usize::try_from(spec.int_or("mincharnum", 1)?).unwrap_or(0);
    if least == 0 {
        return Err(wrong("mincharnum", "is not positive"));
    }
    let mark = spec.flag("mark", false)?;
    let pad = spec.text("pad_value")?.unwrap_or_default().to_string();
    let cut = match (spec.texts("separators")?, spec.text("tokenexp")?) {
        (Some([one]), _) if one.is_empty() => Cut::Letters,
        (Some(list), _) if !list.is_empty() => {
            let list = list.iter().map(|s| Pattern::new("separators", s));
            Cut::Separators(list.collect::<Result<_, _>>()?)
        }
        (_, Some(".")) => Cut::Letters,
        (_, Some(t)) if !t.is_empty() => Cut::Tokens(Pattern::new("tokenexp", t)?),
        _ => return Err(wrong("separators", "and `tokenexp` are both missing")),
    };
    if least > 1 && matches!(cut, Cut::Letters) {
        return Err(wrong("mincharnum", "is more than 1, and the tokens are single letters"));
    }
    Ok(Box::new(move |args| {
        let x = texts(args, 0)?;
        if !(1..=2).contains(&x.rank()) {
            return Err(misshapen(format!("expected (n) or (n, c), given shape {:?}", x.shape())));
        }
        let rows: Vec<Vec<&str>> = x.data().iter().map(|t| cut_up(t, &cut, least)).collect();
        let longest = rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = longest + if mark { 2 } else { 0 };
        let shape = [x.shape(), &[width]].concat();
        let mut out = Vec::with_capacity(volume(&shape)?);
        for row in rows {
            let end = out.len() + width;
            out.extend(mark.then(|| MARKS.0.to_string()));
            out.extend(row.into_iter().map(str::to_string));
            out.extend(mark.then(|| MARKS.1.to_string()));
            out.resize(end, pad.clone());
        }
        Ok(vec![Value::Str(tensor(shape, out)?)])
    }))
}

fn cut_up<'t>(text: &'t str, cut: &Cut, least: usize) -> Vec<&'t str> {
    let long = |t: &&str| t.chars().take(least).count() == least;
    match cut {
        Cut::Letters => {
            let ends = text.char_indices().map(|(i, c)| &text[i..i + c.len_utf8()]);
            ends.filter(long).collect()
        }
        Cut::Tokens(pattern) => pattern.matches(text).map(|r| &text[r]).filter(long).collect(),
        Cut::Separators(list) => {
            let mut parts = vec![text];
            for pattern in list {
                let mut next = Vec::new();
                for part in parts {
                    let mut from = 0;
                    for m in pattern.matches(part) {
                        next.push(&part[from..m.start]);
                        from = m.end;
                    }
                    next.push(&part[from..]);
                }
                parts = next.into_iter().filter(long).collect();
            }
            parts
        }
    }
}

/// `StringConcat`
pub fn string_concat(_: &Spec) -> Result<Kernel, OpError> {
    Ok(Box::new(|args| {
        let (a, b) = (texts(args, 0)?, texts(args, 1)?);
        let joined = broadcast::zip(a, b, |a, b| format!("{a}{b}"))?;
        Ok(vec![Value::Str(joined)])
    }))
}

/// `StringSplit`: the parts, padded with empty texts, and how many there are. Without a
/// delimiter, at runs of white space.
pub fn string_split(spec: &Spec) -> Result<Kernel, OpError> {
    let delimiter = spec.text("delimiter")?.unwrap_or_default().to_string();
    let most = match spec.int("maxsplit")? {
        None => usize::MAX,
        Some(n) => usize::try_from(n).unwrap_or(usize::MAX),
    };
    Ok(Box::new(move |args| {
        let x = texts(args, 0)?;
        let parts: Vec<Vec<&str>> = match delimiter.is_empty() {
            true => x.data().iter().map(|t| words(t, most)).collect(),
            false => x
                .data()
                .iter()
                .map(|t| match t.is_empty() {
                    true => Vec::new(),
                    false => t.splitn(most.saturating_add(1), delimiter.as_str()).collect(),
                })
                .collect(),
        };
        let width = parts.iter().map(Vec::len).max().unwrap_or(0);
        let counts = parts.iter().map(|p| p.len() as i64).collect();
        let shape = [x.shape(), &[width]].concat();
        let mut out = Vec::with_capacity(volume(&shape)?);
        for row in parts {
            let end = out.len() + width;
            out.extend(row.into_iter().map(str::to_string));
            out.resize(end, String::new());
        }
        let counts = tensor(x.shape().to_vec(), counts)?;
        Ok(vec![Value::Str(tensor(shape, out)?), Value::I64(counts)])
    }))
}

/// Parts between runs of white space; after `most` cuts the rest stays whole.
fn words(text: &str, most: usize) -> Vec<&str> {
    let mut rest = text.trim_matches(|c: char| c.is_ascii_whitespace());
    let mut out = Vec::new();
    while !rest.is_empty() {
        let end = match out.len() < most {
            true => rest.find(|c: char| c.is_ascii_whitespace()).unwrap_or(rest.len()),
            false => rest.len(),
        };
        out.push(&rest[..end]);
        rest = rest[end..].trim_start_matches(|c: char| c.is_ascii_whitespace());
    }
    out
}

/// `RegexFullMatch`
pub fn regex_full_match(spec: &Spec) -> Result<Kernel, OpError> {
    let text = spec.text("pattern")?.ok_or_else(|| wrong("pattern", "is missing"))?;
    let pattern = Pattern::new("pattern", text)?;
    Ok(Box::new(move |args| {
        let hits = texts(args, 0)?.map(|t| pattern.is_whole(t));
        Ok(vec![Value::Bool(hits)])
    }))
}

/// `MurmurHash3` of the domain `com.microsoft`, 32 bits; unsigned results are held as `i64`.
pub fn murmur_hash(spec: &Spec) -> Result<Kernel, OpError> {
    let positive = spec.flag("positive", true)?;
    let seed = spec.int_or("seed", 0)? as u32;
    Ok(Box::new(move |args| {
        let x = args.required(0)?;
        let hashes: Vec<u32> = match x {
            Value::Str(t) => t.data().iter().map(|t| murmur3(t.as_bytes(), seed)).collect(),
            Value::I32(t) => t.data().iter().map(|v| murmur3(&v.to_le_bytes(), seed)).collect(),
            Value::I64(t) => t.data().iter().map(|v| murmur3(&v.to_le_bytes(), seed)).collect(),
            Value::F32(t) => t.data().iter().map(|v| murmur3(&v.to_le_bytes(), seed)).collect(),
            Value::F64(t) => t.data().iter().map(|v| murmur3(&v.to_le_bytes(), seed)).collect(),
            other => return Err(mistyped(0, other, "a number or text")),
        };
        Ok(vec![match positive {
            true => Value::I64(tensor(x.shape(), hashes.into_iter().map(i64::from).collect())?),
            false => Value::I32(tensor(x.shape(), hashes.into_iter().map(|h| h as i32).collect())?),
        }])
    }))
}

/// MurmurHash3 (Appleby, 2011), the form with 32 bits for x86.
fn murmur3(bytes: &[u8], seed: u32) -> u32 {
    let mixed = |k: u32| k.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
    let mut h = seed;
    let (blocks, rest) = bytes.as_chunks::<4>();
    for block in blocks {
        h ^= mixed(u32::from_le_bytes(*block));
        h = h.rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
    }
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    h ^= mixed(u32::from_le_bytes(last));
    h ^= bytes.len() as u32;
    h = (h ^ (h >> 16)).wrapping_mul(0x85eb_ca6b);
    h = (h ^ (h >> 13)).wrapping_mul(0xc2b2_ae35);
    h ^ (h >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_of_known_texts() {
        // As `sklearn.utils.murmurhash3_32(text, seed, positive=True)` gives them.
        for (text, seed, hash) in
            [("", 0, 0), ("a", 0, 1009084850), ("abc", 0, 3017643002), ("abcde", 7, 3037955123)]
        {
            assert_eq!(murmur3(text.as_bytes(), seed), hash, "{text}");
        }
    }

    #[test]
    fn letters_change_one_for_one() {
        for (from, to) in [("ÄÖÅ", "äöå"), ("İI", "ii"), ("ΣΑΣ", "σασ"), ("1?", "1?")]
        {
            assert_eq!(Case::Lower.apply(from), to);
        }
        assert_eq!(Case::Upper.apply("straße"), "STRAßE");
    }
}
