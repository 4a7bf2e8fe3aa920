//! `ai.proofmark.TreeEnsemble`: an ensemble read from its own file.
//!
//! Owns the operators of our own domain: one matrix in; label (of classifiers), answers and
//! margins out; and the codes of texts of which a file holds the hashes only. It computes as the
//! library does that trained the ensemble. Called by the registry.

use std::collections::HashMap;
use std::sync::Arc;

use proofmark_formats::catboost::category_hash;

use super::scores::{Choice, Labels, arg_max};
use super::{given, rows};
use crate::graph::{Attribute, HASHES, TREES};
use crate::reference::Precision;
use crate::reference::float::Float;
use crate::reference::op::{
    Args, Kernel, OpError, Spec, misshapen, mistyped, tensor, volume, wrong,
};
use crate::trees::{self, Arithmetic, Ensemble, Forest, Numbers, Rows};
use crate::value::{Tensor, Value};

/// `TreeEnsemble`
pub fn ensemble(spec: &Spec) -> Result<Kernel, OpError> {
    let Some(Attribute::Trees(ensemble)) = spec.attribute(TREES) else {
        return Err(wrong(TREES, "holds no ensemble"));
    };
    let ensemble = Arc::clone(ensemble);
    // Features keep the type they are compared in: a wider program adds leaves in f64 only.
    let arithmetic = match (spec.precision, ensemble.arithmetic) {
        (Precision::F64, Arithmetic::F32) => Arithmetic::Mixed,
        (_, deployed) => deployed,
    };
    let forest = ensemble.compile_as(arithmetic).map_err(|e| OpError::Value(e.to_string()))?;
    let labelled = spec.node.outputs.len() > 2;
    Ok(Box::new(move |args| run(&ensemble, &forest, labelled, args)))
}

fn run(
    ensemble: &Ensemble,
    forest: &Forest,
    labelled: bool,
    args: &Args,
) -> Result<Vec<Value>, OpError> {
    let x = args.required(0)?;
    let margins = match x {
        Value::F32(t) => margins(forest, t)?,
        Value::F64(t) => margins(forest, t)?,
        other => {
            let wide = other.to_f64s().ok_or_else(|| mistyped(0, other, "a number"))?;
            margins(forest, &tensor(other.shape(), wide)?)?
        }
    };
    let n = rows(&x.shape())?.0;
    match margins {
        Numbers::F32(m) => answers(ensemble, labelled, n, m),
        Numbers::F64(m) => answers(ensemble, labelled, n, m),
    }
}

fn margins<T: Float>(forest: &Forest, x: &Tensor<T>) -> Result<Numbers, OpError> {
    let (n, columns) = rows(x.shape())?;
    if columns != forest.columns() {
        let want = forest.columns();
        return Err(misshapen(format!("the trees ask for {want} columns, given {columns}")));
    }
    volume(&[n, forest.outputs()])?;
    let given = Rows::new(x.data(), columns.max(1)).ok_or_else(|| misshapen("no whole rows"))?;
    forest.margins(given, 1).map_err(|e| OpError::Shape(e.to_string()))
}

fn answers<S: Float>(
    e: &Ensemble,
    labelled: bool,
    n: usize,
    margins: Vec<S>,
) -> Result<Vec<Value>, OpError> {
    let width = e.width();
    let mut out: Vec<S> = Vec::with_capacity(volume(&[n, width])?);
    margins.chunks(e.outputs).for_each(|row| e.answer(row, &mut out));
    let mut values = Vec::new();
    if labelled {
        let labels = match &e.labels {
            Some(trees::Labels::Ints(v)) => Labels::Ints(v.clone()),
            Some(trees::Labels::Texts(v)) => Labels::Texts(v.clone()),
            None => return Err(wrong(TREES, "has no labels")),
        };
        let chosen: Vec<Choice> =
            out.chunks(width).map(|row| Choice::Class(arg_max(row))).collect();
        values.push(labels.of(&chosen));
    }
    values.push(S::wrap(tensor(vec![n, width], out)?));
    values.push(S::wrap(tensor(vec![n, e.outputs], margins)?));
    Ok(values)
}

/// `CategoryHash`: the place of a text's CatBoost hash among the attribute's, NaN without one.
pub fn category_hash_of(spec: &Spec) -> Result<Kernel, OpError> {
    let hashes = spec.ints(HASHES)?.ok_or_else(|| wrong(HASHES, "is missing"))?;
    let places: HashMap<i64, f32> =
        hashes.iter().enumerate().map(|(i, &hash)| (hash, i as f32)).collect();
    let precision = spec.precision;
    Ok(Box::new(move |args| {
        let Value::Str(texts) = args.required(0)? else {
            return Err(mistyped(0, args.required(0)?, "text"));
        };
        let code = |text: &String| {
            let hash = i64::from(category_hash(text.as_bytes()));
            places.get(&hash).copied().unwrap_or(f32::NAN)
        };
        Ok(vec![given(texts.map(code), precision)])
    }))
}
