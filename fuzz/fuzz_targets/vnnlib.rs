//! Any text is a property with a box for each case, or is refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proofmark_formats::vnnlib::{self, Variable};

fuzz_target!(|bytes: &[u8]| {
    let Ok(property) = vnnlib::read(bytes) else { return };
    assert!(property.inputs > 0 && property.outputs > 0);
    for case in &property.cases {
        assert_eq!((case.lower.len(), case.upper.len()), (property.inputs, property.inputs));
        for number in case.lower.iter().chain(&case.upper) {
            assert!(number.below <= number.above && number.below.is_finite());
        }
        for (variable, factor) in case.constraints.iter().flat_map(|c| &c.terms) {
            let known = match *variable {
                Variable::Input(i) => (i as usize) < property.inputs,
                Variable::Output(j) => (j as usize) < property.outputs,
            };
            assert!(known && factor.below <= factor.above);
        }
    }
});
