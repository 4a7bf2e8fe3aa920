//! One tree of an XGBoost model: parallel arrays by node.

use super::OUTPUTS_MAX;
use crate::document::{FieldError, Value};

/// Nodes by number, the root first. A node whose left child is negative is a leaf.
#[derive(Clone, Debug, PartialEq)]
pub struct Tree {
    /// Left child by node, -1 at leaves.
    pub left: Vec<i32>,
    /// Right child by node; at leaves of vector trees the row of `leaf_vectors`.
    pub right: Vec<i32>,
    /// Feature by node.
    pub feature: Vec<u32>,
    /// Threshold by node, at leaves of scalar trees the value.
    pub condition: Vec<f32>,
    /// Whether a missing value goes left, by node.
    pub default_left: Vec<bool>,
    /// Categories that go right, ascending, by node; empty where no node splits by category.
    pub categories: Vec<Option<Vec<u32>>>,
    /// Values per leaf: 1, or more in vector trees.
    pub width: usize,
    /// Leaf values of vector trees, `width` per row; empty in scalar trees.
    pub leaf_vectors: Vec<f32>,
    /// Whether `leaf_vectors` has a row per node (to 3.1) and not per leaf.
    pub vectors_by_node: bool,
}

impl Tree {
    /// Reads the arrays of a tree.
    ///
    /// # Errors
    /// [`FieldError`] when one is missing, of another length, or out of its range.
    pub(super) fn of(value: &Value) -> Result<Self, FieldError> {
        let left = narrow("left_children", value)?;
        let nodes = left.len();
        let right = fit("right_children", narrow("right_children", value)?, nodes)?;
        let feature = value.need_ints("split_indices")?;
        let feature = feature.into_iter().map(u32::try_from).collect::<Result<Vec<_>, _>>();
        let feature = feature.map_err(|_| FieldError::new("split_indices", "is out of range"))?;
        let feature = fit("split_indices", feature, nodes)?;
        let condition = floats("split_conditions", value)?;
        let condition = fit("split_conditions", condition, nodes)?;
        let default_left = value.need_ints("default_left")?.iter().map(|&d| d != 0).collect();
        let default_left = fit("default_left", default_left, nodes)?;
        let width = width(value)?;
        let leaves_alone = value.at("leaf_weights").is_some_and(|leaves| !leaves.is_empty());
        let leaf_vectors = match width {
            1 => Vec::new(),
            _ if leaves_alone => floats("leaf_weights", value)?,
            _ => fit("base_weights", floats("base_weights", value)?, nodes.saturating_mul(width))?,
        };
        let categories = categories(value, nodes)?;
        let vectors_by_node = width > 1 && !leaves_alone;
        Ok(Self {
            left,
            right,
            feature,
            condition,
            default_left,
            categories,
            width,
            leaf_vectors,
            vectors_by_node,
        })
    }

    /// The values of a leaf of a vector tree.
    pub fn leaf_vector(&self, node: usize) -> Option<&[f32]> {
        let row = match self.vectors_by_node {
            true => node,
            false => usize::try_from(*self.right.get(node)?).ok()?,
        };
        let start = row.checked_mul(self.width)?;
        self.leaf_vectors.get(start..start.checked_add(self.width)?)
    }
}

fn width(value: &Value) -> Result<usize, FieldError> {
    let Some(params) = value.at("tree_param") else { return Ok(1) };
    match params.at("size_leaf_vector") {
        // 0 in files of version 1
        Some(_) => Ok(params.need_size("size_leaf_vector", OUTPUTS_MAX)?.max(1)),
        None => Ok(1),
    }
}

/// Sets of categories by node, from the segments of one shared list.
fn categories(value: &Value, nodes: usize) -> Result<Vec<Option<Vec<u32>>>, FieldError> {
    let kinds = match value.at("split_type") {
        Some(_) => fit("split_type", value.need_ints("split_type")?, nodes)?,
        None => return Ok(Vec::new()), // before 1.3 there were no categories
    };
    if let Some(kind) = kinds.iter().find(|kind| !(0..=1).contains(*kind)) {
        return Err(FieldError::new("split_type", format!("is {kind}; 0 and 1 are known")));
    }
    if kinds.iter().all(|&kind| kind == 0) {
        return Ok(Vec::new());
    }
    let all = value.need_ints("categories")?;
    let at = value.need_ints("categories_nodes")?;
    let starts = fit("categories_segments", value.need_ints("categories_segments")?, at.len())?;
    let sizes = fit("categories_sizes", value.need_ints("categories_sizes")?, at.len())?;
    let sum = sizes.iter().try_fold(0i64, |sum, &size| sum.checked_add(size.max(0)));
    if sum.is_none_or(|sum| sum > all.len() as i64) {
        // shared segments would let a short file ask for any amount of memory
        return Err(FieldError::new("categories_sizes", "is more than `categories` holds"));
    }
    let mut sets = vec![None; nodes];
    for ((node, start), size) in at.iter().zip(starts).zip(sizes) {
        let part = usize::try_from(start).ok().zip(usize::try_from(size).ok());
        let part = part.and_then(|(start, size)| all.get(start..start.checked_add(size)?));
        let part = part.ok_or_else(|| FieldError::new("categories", "is shorter than said"))?;
        let mut set = Vec::with_capacity(part.len());
        for &code in part {
            let code = u32::try_from(code).ok().filter(|&code| code < CATEGORY_MAX);
            set.push(code.ok_or_else(|| FieldError::new("categories", "is out of range"))?);
        }
        set.sort_unstable();
        set.dedup();
        let slot = usize::try_from(*node).ok().and_then(|node| sets.get_mut(node));
        match slot {
            Some(slot @ None) => *slot = Some(set),
            _ => return Err(FieldError::new("categories_nodes", "names a node wrongly")),
        }
    }
    for (kind, set) in kinds.iter().zip(&sets) {
        if (*kind == 1) != set.is_some() {
            let problem = "and `categories_nodes` name other nodes";
            return Err(FieldError::new("split_type", problem));
        }
    }
    Ok(sets)
}

/// Numbers as the library holds them: a double of a file is rounded to the nearest `f32`.
pub(super) fn floats(key: &str, value: &Value) -> Result<Vec<f32>, FieldError> {
    Ok(value.need_floats(key)?.into_iter().map(|number| number as f32).collect())
}

fn narrow(key: &str, value: &Value) -> Result<Vec<i32>, FieldError> {
    let wide = value.need_ints(key)?;
    let narrow = wide.into_iter().map(i32::try_from).collect::<Result<Vec<_>, _>>();
    narrow.map_err(|_| FieldError::new(key, "is out of range"))
}

fn fit<T>(key: &str, items: Vec<T>, count: usize) -> Result<Vec<T>, FieldError> {
    match items.len() == count {
        true => Ok(items),
        false => {
            let found = items.len();
            Err(FieldError::new(key, format!("has {found} items where {count} are needed")))
        }
    }
}

/// Codes lie below this: the library refuses larger ones, for floats cannot tell them apart.
const CATEGORY_MAX: u32 = 1 << 24;
