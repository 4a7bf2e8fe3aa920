//! Dumps of trees (`Booster.dump_model(..., dump_format="json")`): a list of nested nodes.
//!
//! A dump holds no base score, objective, number of classes or library version. Must never guess
//! them: the importer asks.

use super::XgboostError;
use crate::document::Value;

/// The trees of a dump, each a list of nodes with the root first.
#[derive(Clone, Debug, PartialEq)]
pub struct Dump {
    /// Nodes by tree.
    pub trees: Vec<Vec<DumpNode>>,
}

/// A node of a dump; children are indices into the nodes of the same tree.
#[derive(Clone, Debug, PartialEq)]
pub enum DumpNode {
    /// A leaf with one value, or several in vector trees: the decimals of the file.
    Leaf(Vec<f64>),
    /// A node that asks.
    Branch {
        /// The feature.
        split: DumpSplit,
        /// The question.
        condition: DumpCondition,
        /// Child of rows that answer yes.
        yes: usize,
        /// Child of rows that answer no.
        no: usize,
        /// Whether rows without the value go to `yes`.
        missing_yes: bool,
    },
}

/// How a dump names a feature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DumpSplit {
    /// By number, `2` or `"f2"`.
    Index(u32),
    /// By name.
    Name(String),
}

/// What a node of a dump asks.
#[derive(Clone, Debug, PartialEq)]
pub enum DumpCondition {
    /// Yes below this value: the decimal of the file, which the library rounds to `f32`.
    Below(f64),
    /// Yes when the category is one of these, which ascend.
    OneOf(Vec<u32>),
}

/// Reads a dump.
///
/// # Errors
/// Documents that are no list of trees, and nodes that lack a part or name a child twice.
pub fn dump(bytes: &[u8]) -> Result<Dump, XgboostError> {
    let document = crate::json::read(bytes)?;
    let found = document.kind();
    let trees = document.items().ok_or(XgboostError::NotADump { found })?;
    let trees = trees.iter().enumerate().map(|(tree, root)| flatten(tree, root));
    Ok(Dump { trees: trees.collect::<Result<_, _>>()? })
}

/// Lists the nodes of a tree, parents before children, without recursion.
fn flatten(tree: usize, root: &Value) -> Result<Vec<DumpNode>, XgboostError> {
    let mut values = vec![root];
    let mut nodes = Vec::new();
    let mut at = 0;
    while let Some(&value) = values.get(at) {
        at += 1;
        let id = value.at("nodeid").and_then(Value::whole).unwrap_or(-1);
        let wrong = |problem: String| XgboostError::DumpNode { tree, node: id, problem };
        if let Some(leaf) = value.at("leaf") {
            let list = leaf.floats().or_else(|| leaf.number().map(|number| vec![number]));
            let list = list.ok_or_else(|| wrong("`leaf` is no number".into()))?;
            nodes.push(DumpNode::Leaf(list));
            continue;
        }
        let children = value.at("children").and_then(Value::items).unwrap_or_default();
        let child = |key: &str| {
            let named = value.at(key).and_then(Value::whole);
            let named = named.ok_or_else(|| wrong(format!("`{key}` is no node")))?;
            let same = |child: &&Value| child.at("nodeid").and_then(Value::whole) == Some(named);
            match (children.iter().position(|c| same(&c)), children.len()) {
                (Some(place), 2) => Ok((named, values.len() + place)),
                _ => Err(wrong(format!("`{key}` is {named}, which is none of its two children"))),
            }
        };
        let condition = condition(value).map_err(wrong)?;
        let ((yes_id, yes), (no_id, no)) = (child("yes")?, child("no")?);
        let (missing, _) = child("missing")?;
        if yes_id == no_id {
            return Err(wrong("`yes` and `no` are the same child".into()));
        }
        let split = split(value).map_err(wrong)?;
        let missing_yes = missing == yes_id;
        nodes.push(DumpNode::Branch { split, condition, yes, no, missing_yes });
        values.extend(children);
    }
    Ok(nodes)
}

fn split(value: &Value) -> Result<DumpSplit, String> {
    let split = value.at("split").ok_or("`split` is missing")?;
    let index = |number: i64| u32::try_from(number).ok().map(DumpSplit::Index);
    match split {
        Value::Int(number) => index(*number).ok_or_else(|| "`split` is out of range".into()),
        Value::Text(text) => {
            let digits = text.strip_prefix('f').filter(|d| d.bytes().all(|b| b.is_ascii_digit()));
            let number = digits.and_then(|digits| digits.parse().ok()).and_then(index);
            Ok(number.unwrap_or_else(|| DumpSplit::Name(text.clone())))
        }
        _ => Err("`split` is neither a number nor a name".into()),
    }
}

fn condition(value: &Value) -> Result<DumpCondition, String> {
    let Some(condition) = value.at("split_condition") else {
        // indicator features lose their threshold, and sparse and dense rows differ in zeros
        return Err(
            "`split_condition` is missing, as dumps leave it out for features of the type \
                    `i` (indicator); load the model file itself"
                .into(),
        );
    };
    if let Some(number) = condition.number() {
        return Ok(DumpCondition::Below(number));
    }
    let codes = condition.ints().ok_or("`split_condition` is neither a number nor categories")?;
    let codes = codes.into_iter().map(u32::try_from).collect::<Result<Vec<_>, _>>();
    let mut codes = codes.map_err(|_| "`split_condition` holds a category out of range")?;
    codes.sort_unstable();
    codes.dedup();
    Ok(DumpCondition::OneOf(codes))
}
