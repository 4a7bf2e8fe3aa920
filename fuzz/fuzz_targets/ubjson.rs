//! Any bytes are UBJSON whose values stay within the bytes, and perhaps a model, or are refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proofmark_engine::trees::import::xgboost;
use proofmark_formats::document::Value;
use proofmark_formats::ubjson;

#[path = "../trees.rs"]
mod trees;

/// Values in a document, without recursion.
fn count(document: &Value) -> usize {
    let (mut open, mut count) = (vec![document], 0);
    while let Some(value) = open.pop() {
        count += 1;
        match value {
            Value::Ints(items) => count += items.len(),
            Value::Floats(items) => count += items.len(),
            Value::List(items) => open.extend(items),
            Value::Object(entries) => open.extend(entries.iter().map(|(_, value)| value)),
            _ => {}
        }
    }
    count
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(document) = ubjson::read(bytes) {
        assert!(count(&document) <= bytes.len(), "every value takes a byte");
    }
    trees::run(xgboost::import(bytes));
});
