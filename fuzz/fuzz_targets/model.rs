//! Any model that loads is prepared, rewritten and run with tiny inputs, or refused; kernels may
//! refuse what they are given, and never panic. Shapes are kept small by a limit of its own on
//! the elements of a result, which the engine takes under `cfg(fuzzing)`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proofmark_engine::autodiff::upgrade;
use proofmark_engine::graph::{Dim, Graph, ValueInfo};
use proofmark_engine::lower::lower;
use proofmark_engine::model::Model;
use proofmark_engine::reference::{Precision, run};
use proofmark_engine::value::{DType, Inputs, Tensor, Value};

/// Nodes of a model that is run: more say nothing new and take time.
const NODES_MAX: usize = 64;
/// Elements of an input.
const ELEMENTS_MAX: usize = 4096;

/// A small value of the declared type and shape; dynamic dimensions are 2.
fn value(info: &ValueInfo) -> Option<Value> {
    let dims = info.shape.as_ref().map_or(&[][..], Vec::as_slice);
    let shape: Vec<usize> = dims
        .iter()
        .map(|d| match d {
            Dim::Fixed(n) => *n,
            Dim::Dynamic(_) => 2,
        })
        .collect();
    let count = shape.iter().try_fold(1usize, |a, &d| a.checked_mul(d))?;
    if count > ELEMENTS_MAX {
        return None;
    }
    let wave = |i: usize| (i % 7) as f32 - 3.0;
    let words = ["", "a", "A b", "é,3"];
    Some(match info.dtype? {
        DType::F64 => Value::F64(Tensor::new(shape, (0..count).map(|i| wave(i).into()).collect())?),
        DType::I64 => Value::I64(Tensor::new(shape, (0..count).map(|i| wave(i) as i64).collect())?),
        DType::I32 => Value::I32(Tensor::new(shape, (0..count).map(|i| wave(i) as i32).collect())?),
        DType::U8 => Value::U8(Tensor::new(shape, (0..count).map(|i| i as u8).collect())?),
        DType::I8 => Value::I8(Tensor::new(shape, (0..count).map(|i| i as i8).collect())?),
        DType::Bool => Value::Bool(Tensor::new(shape, (0..count).map(|i| i % 2 == 0).collect())?),
        DType::Str => {
            let texts = (0..count).map(|i| words[i % words.len()].to_string()).collect();
            Value::Str(Tensor::new(shape, texts)?)
        }
        _ => Value::F32(Tensor::new(shape, (0..count).map(wave).collect())?),
    })
}

fn answer(graph: &Graph, inputs: &Inputs) {
    for output in &graph.outputs {
        let _ = run(graph, inputs, &[&output.name], Precision::F32);
    }
}

fuzz_target!(|bytes: &[u8]| {
    let none = |_: &str| Err("no external data".to_string());
    let Ok(model) = Model::from_onnx(bytes, &none) else { return };
    let graph = model.graph();
    if graph.nodes.len() > NODES_MAX {
        return;
    }
    let inputs: Option<Inputs> =
        graph.inputs.iter().map(|i| Some((i.name.clone(), value(i)?))).collect();
    let Some(inputs) = inputs else { return };
    answer(graph, &inputs);
    answer(&upgrade(&lower(graph)), &inputs);
});
