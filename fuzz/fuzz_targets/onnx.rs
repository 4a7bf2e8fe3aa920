//! Any bytes decode or are refused; what decodes encodes to bytes that decode to the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proofmark_formats::onnx;

fuzz_target!(|bytes: &[u8]| {
    let Ok(model) = onnx::decode(bytes) else { return };
    for tensor in &model.graph.initializers {
        if let Ok(elements) = tensor.elements() {
            let made = onnx::TensorProto::from_elements(&tensor.name, &tensor.dims, &elements);
            let again = made.elements().expect("what we make is well-formed");
            // NaN equals nothing, so compare as text
            assert_eq!(format!("{again:?}"), format!("{elements:?}"));
        }
        let _ = tensor.external();
    }
    let once = onnx::encode(&model);
    let again = onnx::decode(&once).expect("what we encode decodes");
    assert_eq!(onnx::encode(&again), once);
});
