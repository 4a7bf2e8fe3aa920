//! An ensemble as a graph.
//!
//! Owns the form: one matrix of numbers, one input per column of texts, one node of our own
//! domain. Texts become codes by `LabelEncoder`, or by their hash where the file holds hashes.
//! Called by the loader of models, and by whoever looks for the ensemble in a graph.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::import::onnx;
use super::{Arithmetic, Branch, Categories, Ensemble, Labels, TreeError};
use crate::graph::{Attribute, Dim, Graph, HASHES, ML, Node, OWN, TREES, ValueInfo};
use crate::value::DType;

/// Name of the input that holds the columns of numbers.
pub const FEATURES: &str = "features";
/// Name of the output that holds the margins.
pub const MARGIN: &str = "margin";
/// Name of the output that holds the labels.
pub const LABEL: &str = "label";
/// Columns of texts that a graph has inputs for: far above any table.
const TEXTS_MAX: usize = 1 << 12;

/// The graph of an ensemble. Columns whose categories are texts become inputs of their own, by
/// the name of the feature; the others stay together, in the order of the file.
///
/// # Errors
/// What keeps the ensemble from being run.
pub fn graph(ensemble: Ensemble) -> Result<Graph, TreeError> {
    ensemble.compile()?;
    let texts: Vec<usize> = (0..ensemble.columns).filter(|&c| textual(&ensemble, c)).collect();
    if texts.len() > TEXTS_MAX {
        let what = format!("{} columns of texts exceed the limit of {TEXTS_MAX}", texts.len());
        return Err(TreeError::Size { what });
    }
    let numbers = ensemble.columns - texts.len();
    // Features are compared in f32 unless the library compares doubles.
    let dtype = match ensemble.arithmetic {
        Arithmetic::F32 | Arithmetic::Mixed => DType::F32,
        Arithmetic::F64 => DType::F64,
    };
    let opsets = [("", 18), (ML, 4), (OWN, 1)].map(|(d, v)| (d.to_string(), v)).into();
    let mut graph = Graph { opsets, ..Graph::default() };
    let mut parts = Vec::new();
    if numbers > 0 || texts.is_empty() {
        graph.inputs.push(matrix(FEATURES, dtype, numbers));
        parts.push(FEATURES.to_string());
    }
    for &column in &texts {
        parts.push(encode(&mut graph, &ensemble, column, dtype));
    }
    let x = match &parts[..] {
        [only] => only.clone(),
        _ => {
            let axis = [("axis".to_string(), Attribute::Int(1))];
            graph.nodes.push(node("", "Concat", parts, vec!["columns".into()], axis.into()));
            "columns".to_string()
        }
    };
    let ensemble = reordered(ensemble, &texts);
    outputs(&mut graph, ensemble, x);
    Ok(graph)
}

/// Declares the outputs and adds the node.
fn outputs(graph: &mut Graph, ensemble: Ensemble, x: String) {
    let dtype = match ensemble.arithmetic {
        Arithmetic::F32 => DType::F32,
        Arithmetic::F64 | Arithmetic::Mixed => DType::F64,
    };
    let answers = ensemble.kind().output();
    if let Some(labels) = &ensemble.labels {
        let dtype = match labels {
            Labels::Ints(_) => DType::I64,
            Labels::Texts(_) => DType::Str,
        };
        let shape = Some(vec![Dim::Dynamic("batch".into())]);
        graph.outputs.push(ValueInfo { name: LABEL.into(), dtype: Some(dtype), shape });
    }
    graph.outputs.push(matrix(answers, dtype, ensemble.width()));
    graph.outputs.push(matrix(MARGIN, dtype, ensemble.outputs));
    let names = graph.outputs.iter().map(|o| o.name.clone()).collect();
    let trees = Attribute::Trees(Arc::new(ensemble));
    let trees = [(TREES.to_string(), trees)];
    graph.nodes.push(node(OWN, "TreeEnsemble", vec![x], names, trees.into()));
}

fn matrix(name: &str, dtype: DType, columns: usize) -> ValueInfo {
    let shape = Some(vec![Dim::Dynamic("batch".into()), Dim::Fixed(columns)]);
    ValueInfo { name: name.to_string(), dtype: Some(dtype), shape }
}

fn node(
    domain: &str,
    op: &str,
    inputs: Vec<String>,
    outputs: Vec<String>,
    attributes: BTreeMap<String, Attribute>,
) -> Node {
    let name = outputs.last().map(|o| format!("{o}/{op}")).unwrap_or_default();
    Node { name, op: op.into(), domain: domain.into(), inputs, outputs, attributes }
}

/// Whether the categories of a column are texts.
fn textual(e: &Ensemble, column: usize) -> bool {
    let held = e.categories.get(column).and_then(Option::as_ref);
    matches!(held, Some(Categories::Texts(_) | Categories::Hashes(_)))
}

/// An input of texts and its codes; a text that the file does not hold has none (NaN).
fn encode(graph: &mut Graph, e: &Ensemble, column: usize, dtype: DType) -> String {
    let taken: Vec<String> = graph.names().into_iter().map(str::to_string).collect();
    let code_of = |name: &str| format!("{name}/code");
    let free = |name: &String| {
        let new = |n: &String| !taken.contains(n) && !RESERVED.contains(&n.as_str());
        !name.is_empty() && new(name) && new(&code_of(name))
    };
    let name = e.names.get(column).cloned().filter(free);
    let name = name.unwrap_or_else(|| format!("column {column}"));
    graph.inputs.push(ValueInfo { dtype: Some(DType::Str), ..matrix(&name, dtype, 1) });
    let code = code_of(&name);
    let (domain, op, attributes) = coder(e, column);
    graph.nodes.push(node(domain, op, vec![name], vec![code.clone()], attributes));
    if dtype != DType::F64 {
        return code;
    }
    let wide = format!("{code} as double");
    let to = [("to".to_string(), Attribute::Int(i64::from(crate::write::code(DType::F64))))];
    graph.nodes.push(node("", "Cast", vec![code], vec![wide.clone()], to.into()));
    wide
}

/// The operator that turns texts into codes.
fn coder(e: &Ensemble, column: usize) -> (&'static str, &'static str, BTreeMap<String, Attribute>) {
    match e.categories.get(column) {
        Some(Some(Categories::Texts(texts))) => {
            let codes = (0..texts.len()).map(|i| i as f32).collect();
            let attributes = [
                ("keys_strings".to_string(), Attribute::Texts(texts.clone())),
                ("values_floats".to_string(), Attribute::Floats(codes)),
                ("default_float".to_string(), Attribute::Float(f32::NAN)),
            ];
            (ML, "LabelEncoder", attributes.into())
        }
        Some(Some(Categories::Hashes(hashes))) => {
            let hashes = hashes.iter().map(|&(hash, _)| hash as i64).collect();
            (OWN, "CategoryHash", [(HASHES.to_string(), Attribute::Ints(hashes))].into())
        }
        _ => (OWN, "CategoryHash", BTreeMap::new()),
    }
}

const RESERVED: &[&str] = &[FEATURES, MARGIN, LABEL, "probabilities", "scores", "value", "columns"];

/// The ensemble with its columns of texts behind the others.
fn reordered(mut e: Ensemble, texts: &[usize]) -> Ensemble {
    if texts.is_empty() {
        return e;
    }
    let mut order: Vec<usize> = (0..e.columns).filter(|c| !texts.contains(c)).collect();
    order.extend(texts);
    let mut place = vec![0u32; e.columns];
    order.iter().enumerate().for_each(|(to, &from)| place[from] = to as u32);
    let moved = |b: &mut Branch| b.feature = place[b.feature as usize];
    e.trees.iter_mut().flat_map(|t| &mut t.branches).for_each(moved);
    if !e.names.is_empty() {
        e.names = order.iter().map(|&c| e.names[c].clone()).collect();
    }
    e.categories = order.iter().map(|&c| e.categories.get(c).cloned().flatten()).collect();
    e
}

/// The ensemble that a node holds, whatever its domain; `None` for other nodes and for one that
/// cannot be read.
pub fn of_node(node: &Node, graph: &Graph) -> Option<Arc<Ensemble>> {
    if let Some(Attribute::Trees(ensemble)) = node.attributes.get(TREES) {
        return Some(Arc::clone(ensemble));
    }
    onnx::of_node(node, graph.opset(ML))?.ok().map(Arc::new)
}
