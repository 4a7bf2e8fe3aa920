//! Relations of a declaration: any text is read or refused with its place, and what is read, once
//! printed, reads the same again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proofmark_schema::relation::{CellType, Relation};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Relation::parse(text) {
        Ok(relation) => {
            for name in relation.columns() {
                assert!(text.get(name.span.clone()).is_some_and(|at| at.contains(&name.text)));
            }
            let _ = relation.check(&["a"], &|name| (name == "a").then_some(CellType::Number));
            // Printed with every parenthesis it may be too deep or too long to be read.
            if let Ok(again) = Relation::parse(&relation.formula().to_string()) {
                assert_eq!(again.formula(), relation.formula());
            }
        }
        Err(error) => {
            assert!(error.span.start <= error.span.end && error.span.end <= text.len());
            assert!(text.get(error.span).is_some());
        }
    }
});
