//! Answers of a live endpoint: whatever reads has one score per row and class, finite or none.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proofmark_lab::endpoint::json::JsonMap;
use proofmark_lab::endpoint::oip::OipMap;
use proofmark_lab::endpoint::{Protocol, Reads, Words};

const METADATA: &[u8] = br#"{"inputs":[{"name":"a","datatype":"FP32","shape":[-1,1]}]}"#;

fuzz_target!(|data: &[u8]| {
    let Some((&choice, body)) = data.split_first() else { return };
    let rows = 1 + usize::from(choice & 3);
    let words = Words { classes: vec!["no".into(), "yes".into()], abstain: vec!["refer".into()] };
    let reads = match choice >> 2 & 3 {
        0 => Reads::Probabilities,
        1 => Reads::Numbers,
        _ => Reads::Label,
    };
    let pointer = ["", "/a", "/a/*", "/a/*/b/0"][usize::from(choice >> 4 & 3)];
    let columns = ["a".to_owned()];
    // The metadata are an answer of the endpoint too.
    let _ = OipMap::new(body, &columns, None, reads, words.clone());
    let _ = OipMap::images(body, &[1, 2, 3], None, reads, words.clone());
    let _ = OipMap::image_axes(body);
    let json = JsonMap::new("{{rows}}", pointer, reads, words.clone());
    let oip = OipMap::new(METADATA, &columns, None, reads, words);
    let protocols: [Option<Box<dyn Protocol>>; 2] =
        [json.ok().map(|p| Box::new(p) as _), oip.ok().map(|p| Box::new(p) as _)];
    for protocol in protocols.into_iter().flatten() {
        if let Ok(scores) = protocol.answers(body, rows) {
            assert_eq!(scores.len(), rows * 2);
            let plain = |s: &[f32]| s.iter().all(|v| v.is_finite()) || s.iter().all(|v| v.is_nan());
            assert!(scores.chunks(2).all(plain));
        }
    }
});
