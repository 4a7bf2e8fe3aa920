//! `model inspect`: what a model file holds.
//!
//! Owns the report on a graph and on the tree ensembles in it. Must never run the model.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use proofmark_engine::graph::{Dim, ValueInfo};
use proofmark_engine::model::Model;
use serde_json::{Value, json};

use super::super::Global;
use super::trees::{self, Trees};
use crate::cli::Format;
use crate::failure::Outcome;
use crate::hints::DumpArgs;
use crate::{assets, output};

/// Arguments.
#[derive(clap::Args, Debug)]
pub struct InspectArgs {
    /// ONNX file, or tree ensemble of XGBoost (JSON, UBJSON, dump), LightGBM (text) or CatBoost
    /// (JSON).
    model: PathBuf,
    #[command(flatten)]
    dump: DumpArgs,
}

/// Runs the verb.
pub fn run(args: &InspectArgs, global: Global) -> Outcome<ExitCode> {
    let path = &args.model;
    let model = assets::open_model_with(path, &args.dump.hints(&[]))?;
    let ensembles = trees::found(&model);
    let graph = model.graph();
    let mut operators: BTreeMap<String, usize> = BTreeMap::new();
    for node in &graph.nodes {
        let domain =
            if node.domain.is_empty() { String::new() } else { format!("{}.", node.domain) };
        *operators.entry(format!("{domain}{}", node.op)).or_default() += 1;
    }
    let weights: usize = graph.constants.values().map(|v| v.len()).sum();
    if global.format == Format::Json {
        let info = |list: &[ValueInfo]| -> Vec<Value> {
            list.iter().map(|i| json!({"name": i.name, "type": type_of(i)})).collect()
        };
        output::json(&json!({
            "format": "proofmark.model/1", "path": path, "sha256": model.sha256(),
            "digest": model.digest(), "producer": model.producer(),
            "ir_version": model.ir_version(), "opsets": graph.opsets,
            "inputs": info(&graph.inputs), "outputs": info(&graph.outputs),
            "operators": operators, "constants": weights,
            "non_finite": model.non_finite_weights(),
            "trees": ensembles.iter().map(Trees::json).collect::<Vec<_>>(),
        }));
    } else {
        output::data(&text(&model, &operators, weights, &ensembles));
    }
    Ok(ExitCode::SUCCESS)
}

fn text(
    model: &Model,
    operators: &BTreeMap<String, usize>,
    weights: usize,
    ensembles: &[Trees],
) -> String {
    let graph = model.graph();
    let mut text = String::new();
    let opsets: Vec<String> = graph
        .opsets
        .iter()
        .map(|(domain, v)| format!("{} {v}", if domain.is_empty() { "ai.onnx" } else { domain }))
        .collect();
    let _ = writeln!(text, "sha256     {}", model.sha256());
    if model.ir_version() > 0 {
        let _ = writeln!(text, "producer   {}, IR {}", model.producer(), model.ir_version());
        let _ = writeln!(text, "opsets     {}", opsets.join(", "));
    } else {
        let _ = writeln!(text, "source     {}", model.producer());
    }
    for input in &graph.inputs {
        let _ = writeln!(text, "input      {}  {}", input.name, type_of(input));
    }
    for out in &graph.outputs {
        let _ = writeln!(text, "output     {}  {}", out.name, type_of(out));
    }
    let counted: Vec<String> = operators.iter().map(|(op, n)| format!("{op} {n}")).collect();
    text.push_str(&output::human::wrap(&counted.join(", "), 80, "           "));
    let _ = writeln!(text, "constants  {weights} values");
    ensembles.iter().for_each(|e| text.push_str(&e.text()));
    for name in model.non_finite_weights() {
        let _ = writeln!(text, "warning: constant `{name}` holds NaN or infinity");
    }
    text
}

fn type_of(info: &ValueInfo) -> String {
    let Some(dtype) = info.dtype else { return "map per row".into() };
    let shape = info.shape.as_ref().map_or_else(
        || "unknown shape".to_owned(),
        |dims| {
            let parts: Vec<String> = dims
                .iter()
                .map(|d| match d {
                    Dim::Fixed(n) => n.to_string(),
                    Dim::Dynamic(name) if name.is_empty() => "?".into(),
                    Dim::Dynamic(name) => name.clone(),
                })
                .collect();
            format!("[{}]", parts.join(", "))
        },
    );
    format!("{dtype:?} {shape}").to_lowercase()
}
