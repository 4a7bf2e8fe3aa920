//! Canonical JSON (RFC 8785): one value, one sequence of bytes.
//!
//! Owns writing it and the check that bytes are in that form. Must never round a number: integers
//! that a double cannot hold are refused, not changed. Called by statements, entries and packs.

use serde::Serialize;
use serde_json::Value;

/// The canonical bytes of `value`.
///
/// # Errors
/// [`CanonicalError`] if it does not serialise, or holds an integer beyond 2^53 - 1.
pub fn to_vec<T: Serialize>(value: &T) -> Result<Vec<u8>, CanonicalError> {
    let value = serde_json::to_value(value).map_err(|e| CanonicalError::Value(e.to_string()))?;
    check(&value, 0)?;
    serde_json_canonicalizer::to_vec(&value).map_err(|e| CanonicalError::Value(e.to_string()))
}

/// The value of bytes that are already in canonical form (so no key is given twice).
///
/// # Errors
/// [`CanonicalError`] if the bytes are not JSON, or not its canonical form.
pub fn parse(bytes: &[u8]) -> Result<Value, CanonicalError> {
    let value: Value =
        serde_json::from_slice(bytes).map_err(|e| CanonicalError::Value(e.to_string()))?;
    if to_vec(&value)? != bytes {
        return Err(CanonicalError::Form);
    }
    Ok(value)
}

/// Why a value has no canonical bytes, or bytes are not canonical.
#[derive(Debug, thiserror::Error)]
pub enum CanonicalError {
    /// Not JSON or not serialisable.
    #[error("not JSON: {0}")]
    Value(String),
    /// An integer a double cannot hold.
    #[error("the integer {0} does not fit a JSON number exactly; write it as text")]
    Integer(String),
    /// JSON, but not in canonical form.
    #[error("not canonical JSON (RFC 8785): key order, spaces or number form differ")]
    Form,
    /// Nested too deeply.
    #[error("JSON nested deeper than {DEPTH_MAX} levels")]
    Depth,
}

fn check(value: &Value, depth: usize) -> Result<(), CanonicalError> {
    if depth > DEPTH_MAX {
        return Err(CanonicalError::Depth);
    }
    match value {
        Value::Number(number) => {
            let fits = match (number.as_u64(), number.as_i64()) {
                (Some(n), _) => n <= INTEGER_MAX,
                (None, Some(n)) => n.unsigned_abs() <= INTEGER_MAX,
                (None, None) => true,
            };
            if fits { Ok(()) } else { Err(CanonicalError::Integer(number.to_string())) }
        }
        Value::Array(items) => items.iter().try_for_each(|item| check(item, depth + 1)),
        Value::Object(map) => map.values().try_for_each(|item| check(item, depth + 1)),
        _ => Ok(()),
    }
}

/// Largest integer that every double up to it represents exactly (RFC 7493, section 2.2).
const INTEGER_MAX: u64 = (1 << 53) - 1;
/// serde_json's own depth limit when reading; we write nothing we could not read.
const DEPTH_MAX: usize = 126;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn golden_forms() {
        // RFC 8785, section 3.2.2 (numbers and literals) and 3.2.3 (key order), in short form
        let value: Value = serde_json::from_str(
            r#"{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],
                "literals":[null,true,false]}"#,
        )
        .unwrap();
        assert_eq!(
            String::from_utf8(to_vec(&value).unwrap()).unwrap(),
            r#"{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27]}"#
        );
    }

    #[test]
    fn refuses_what_would_change() {
        assert!(to_vec(&json!({"seed": u64::MAX})).is_err());
        assert!(to_vec(&json!({"seed": (1u64 << 53) - 1})).is_ok());
        assert!(to_vec(&json!({"seed": -(1i64 << 53)})).is_err());
        for bad in [r#"{"b":1,"a":2}"#, r#"{"a":1,"a":1}"#, r#"{ "a":1}"#, r#"{"a":1.0}"#, "{"] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert_eq!(parse(br#"{"a":1}"#).unwrap(), json!({"a": 1}));
    }
}
