//! Models of tables: several inputs, preparation before the first layer, columns that stand still.
//!
//! Owns the lowering of a model for one row: what an attacker moves is the net's input, everything
//! else of the row is a constant. Must never let a value through a replacement that it could meet.

use proofmark_engine::graph::ML;

use super::*;

/// Lowers a model for one row: `live` inputs one after the other are the net's input, the others
/// have the values of `row` (all inputs with one row each).
///
/// # Errors
/// [`LowerError`].
pub fn lower_row(graph: &Graph, row: &Inputs, live: &[String]) -> Result<Net, LowerError> {
    let [output] = graph.outputs.as_slice() else {
        return Err(LowerError::Outputs(format!("{} outputs", graph.outputs.len())));
    };
    let mut builder = Builder {
        nodes: Vec::new(),
        values: BTreeMap::new(),
        constants: graph.constants.clone(),
        graph,
        weights: 0,
        heads: BTreeMap::new(),
    };
    let mut shapes = Vec::new();
    for name in live {
        let Some(Value::F32(value)) = row.get(name) else {
            return Err(LowerError::Inputs(format!(
                "an input `{name}` of another type than floats"
            )));
        };
        builder.sized(value.shape(), name)?;
        shapes.push(value.shape().to_vec());
    }
    let lens: Vec<usize> = shapes.iter().map(|shape| shape.iter().product()).collect();
    let total = builder.sized(&[lens.iter().sum()], "the input")?;
    builder.nodes.push(Node { len: total, op: Op::Input });
    let mut begin = 0;
    for ((name, shape), len) in live.iter().zip(shapes).zip(lens) {
        let places = (begin..begin + len).map(|place| (0, place as u32)).collect();
        let node = match len == total {
            true => 0,
            false => builder.push(len, Op::Pick { from: vec![0], places }),
        };
        builder.values.insert(name.clone(), Held { node, shape });
        begin += len;
    }
    let still = row.iter().filter(|(name, _)| !live.contains(name));
    builder.constants.extend(still.map(|(name, value)| (name.clone(), value.clone())));
    builder.all(&output.name)
}

impl Builder<'_> {
    /// A constant of the row where a value is wanted: a map that ignores the input.
    pub(super) fn still(&mut self, node: &GraphNode, i: usize) -> Lowered<Held> {
        let tensor = self.wanted(node, i)?;
        let len = self.sized(tensor.shape(), "a constant")?;
        let columns = self.nodes[0].len;
        let map = Sparse { columns, starts: vec![0; len + 1], ..Sparse::default() };
        let at = self.linear(0, Map::Sparse(map), tensor.data().to_vec())?;
        Ok(Held { node: at, shape: tensor.shape().to_vec() })
    }

    /// `Scaler`: `(x - offset) * scale`, by column.
    pub(super) fn scaler(&mut self, node: &GraphNode) -> Lowered<()> {
        let held = self.held(node, 0)?;
        let columns = held.shape.last().copied().unwrap_or(1);
        let read = |name: &str| match node.attributes.get(name) {
            Some(Attribute::Floats(v)) if v.len() == 1 || v.len() == columns => Ok(v.clone()),
            _ => Err(refusal(node, format!("`{name}` does not fit"))),
        };
        let (offset, scale) = (read("offset")?, read("scale")?);
        let of = |v: &[f32], i: usize| f64::from(v[if v.len() == 1 { 0 } else { i % columns }]);
        let len = self.nodes[held.node].len;
        let factors: Vec<f64> = (0..len).map(|i| of(&scale, i)).collect();
        let bias: Vec<f64> = (0..len).map(|i| -of(&offset, i) * of(&scale, i)).collect();
        if !factors.iter().chain(&bias).all(|v| v.is_finite()) {
            return refuse(node, "offset or scale is not finite");
        }
        let at = self.linear(held.node, Map::Diagonal(factors), bias)?;
        self.give(node, at, held.shape)
    }

    /// `Imputer`: replaces what is missing, and no number that a box could hold.
    pub(super) fn imputer(&mut self, node: &GraphNode) -> Lowered<()> {
        match node.attributes.get("replaced_value_float") {
            Some(Attribute::Float(v)) if v.is_nan() => self.alias(node, None),
            _ => refuse(node, "it replaces a number that an attacker could choose"),
        }
    }

    /// `Cast` from 32-bit floats to themselves.
    pub(super) fn cast(&mut self, node: &GraphNode) -> Lowered<()> {
        match node.attributes.get("to") {
            Some(Attribute::Int(FLOAT)) => self.alias(node, None),
            _ => refuse(node, "a conversion of what an attacker moves"),
        }
    }

    /// Whether an operator of `ai.onnx.ml` is bounded.
    pub(super) fn prepares(node: &GraphNode) -> bool {
        node.domain == ML && matches!(node.op.as_str(), "Scaler" | "Imputer")
    }
}

/// The type in the format.
const FLOAT: i64 = 1;
