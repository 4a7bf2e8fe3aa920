//! NPY and NPZ files to model inputs, and values back to files.
//!
//! Owns the conversion between arrays of a file and values of the engine, by the type that the
//! model declares. Must never guess a type that would change a value.

use std::path::Path;

use proofmark_engine::graph::Graph;
use proofmark_engine::value::{DType, Inputs, Tensor, Value};
use proofmark_formats::npy::{self, NpyArray, NpyData};
use proofmark_formats::npz;

use crate::assets;
use crate::failure::{Failure, OrFail, Outcome};

/// Inputs of `graph` from an `.npz` (arrays by name) or an `.npy` (the only input).
pub fn inputs(path: &Path, graph: &Graph) -> Outcome<Inputs> {
    let bytes = assets::read_data(path)?;
    let mut inputs = Inputs::new();
    let help = "write it with numpy.save, or numpy.savez with the input names";
    if bytes.starts_with(b"PK") {
        let file = npz::Npz::open(&bytes).or_fail("input", help)?;
        for input in &graph.inputs {
            let array = file.array(&input.name).or_fail("input", help)?;
            inputs.insert(input.name.clone(), value(array, input.dtype, &input.name)?);
        }
        return Ok(inputs);
    }
    let [input] = graph.inputs.as_slice() else {
        let names: Vec<_> = graph.inputs.iter().map(|i| format!("`{}`", i.name)).collect();
        return Err(Failure::new(
            "input",
            format!("the model has {} inputs: {}", names.len(), names.join(", ")),
            "give an .npz with one array per input",
        ));
    };
    let array = npy::read(&bytes).or_fail("input", help)?;
    inputs.insert(input.name.clone(), value(array, input.dtype, &input.name)?);
    Ok(inputs)
}

/// An array as a value of the declared type.
pub fn value(array: NpyArray, dtype: Option<DType>, name: &str) -> Outcome<Value> {
    let shape = array.shape().to_vec();
    let help = "convert the array to the type the model declares";
    let wrong = || Failure::new("input", format!("array `{name}` does not fill its shape"), help);
    let made = match dtype {
        Some(DType::F32) => {
            Tensor::new(shape, array.data().to_f32().or_fail("input", help)?).map(Value::F32)
        }
        Some(DType::F64) => {
            Tensor::new(shape, array.data().to_f64().or_fail("input", help)?).map(Value::F64)
        }
        Some(DType::I64) => {
            Tensor::new(shape, array.data().to_i64().or_fail("input", help)?).map(Value::I64)
        }
        Some(DType::Str) => Tensor::new(shape, array.data().to_strings()).map(Value::Str),
        Some(DType::Bool) => match array.into_parts().1 {
            NpyData::Bool(data) => Tensor::new(shape, data).map(Value::Bool),
            _ => return Err(Failure::new("input", format!("array `{name}` is not bool"), help)),
        },
        Some(DType::I32) => {
            let wide = array.data().to_i64().or_fail("input", help)?;
            let narrow: Result<Vec<i32>, _> = wide.into_iter().map(i32::try_from).collect();
            Tensor::new(shape, narrow.or_fail("input", help)?).map(Value::I32)
        }
        Some(DType::U8) => {
            let wide = array.data().to_i64().or_fail("input", help)?;
            let narrow: Result<Vec<u8>, _> = wide.into_iter().map(u8::try_from).collect();
            Tensor::new(shape, narrow.or_fail("input", help)?).map(Value::U8)
        }
        Some(DType::I8) => {
            let wide = array.data().to_i64().or_fail("input", help)?;
            let narrow: Result<Vec<i8>, _> = wide.into_iter().map(i8::try_from).collect();
            Tensor::new(shape, narrow.or_fail("input", help)?).map(Value::I8)
        }
        None => {
            return Err(Failure::new("input", format!("input `{name}` is no tensor"), ""));
        }
    };
    made.ok_or_else(wrong)
}

/// A value as an array; maps become one column per key, sorted.
pub fn array(value: &Value) -> Outcome<NpyArray> {
    let shape = value.shape();
    let data = match value {
        Value::F32(t) => NpyData::F32(t.data().to_vec()),
        Value::F64(t) => NpyData::F64(t.data().to_vec()),
        Value::I64(t) => NpyData::I64(t.data().to_vec()),
        Value::I32(t) => NpyData::I64(t.data().iter().map(|&v| i64::from(v)).collect()),
        Value::U8(t) => NpyData::U8(t.data().to_vec()),
        Value::I8(t) => NpyData::I64(t.data().iter().map(|&v| i64::from(v)).collect()),
        Value::Bool(t) => NpyData::Bool(t.data().to_vec()),
        Value::Str(t) => NpyData::Str(t.data().to_vec()),
        Value::Maps(rows) => return maps(rows),
    };
    NpyArray::new(shape, data).or_fail("output", "")
}

fn maps(rows: &[std::collections::BTreeMap<String, f32>]) -> Outcome<NpyArray> {
    let width = rows.first().map_or(0, |row| row.len());
    let flat: Vec<f32> = rows.iter().flat_map(|row| row.values().copied()).collect();
    NpyArray::new(vec![rows.len(), width], NpyData::F32(flat)).or_fail("output", "")
}

/// Writes arrays: one into an `.npy`, several into an `.npz`.
pub fn write(path: &Path, arrays: &[(String, NpyArray)]) -> Outcome<()> {
    let npz_wanted = path.extension().is_some_and(|e| e == "npz");
    let bytes = match arrays {
        [(_, only)] if !npz_wanted => npy::write(only).or_fail("output", "")?,
        _ if !npz_wanted => {
            return Err(Failure::new(
                "output",
                format!("{} arrays do not fit one .npy", arrays.len()),
                "name an .npz, or choose one output with --outputs",
            ));
        }
        _ => npz::write(arrays.iter().map(|(n, a)| (n.as_str(), a))).or_fail("output", "")?,
    };
    write_file(path, &bytes)
}

/// Writes a file the user asked for, whole or not at all.
pub fn write_file(path: &Path, bytes: &[u8]) -> Outcome<()> {
    proofmark_evidence::durable::write(&proofmark_evidence::durable::OsFs, path, bytes)
        .or_fail("output", "check the folder and the free space")
}
