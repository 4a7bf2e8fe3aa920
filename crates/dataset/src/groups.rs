//! Which group each row belongs to, per group feature.
//!
//! Owns the assignment; the names of bins are `schema`'s, so that criteria find them. Must never
//! merge or drop a group: the lab decides which are too small to report.

use std::collections::BTreeMap;

use proofmark_schema::system::{Feature, MISSING_GROUP};

use crate::table::{Cells, Table};

/// The groups of one feature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Groups {
    /// Feature.
    pub feature: String,
    /// Names of the groups: declared values or bins first, then values found besides in
    /// alphabetical order, `missing` last and only when rows are missing.
    pub names: Vec<String>,
    /// Group per row, an index into `names`.
    pub members: Vec<usize>,
}

impl Groups {
    /// Rows per group, in the order of `names`; a declared group without rows has 0.
    pub fn counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.names.len()];
        for member in &self.members {
            if let Some(count) = counts.get_mut(*member) {
                *count += 1;
            }
        }
        counts
    }

    /// Rows of a group, ascending.
    pub fn rows(&self, name: &str) -> Vec<usize> {
        let wanted = self.names.iter().position(|n| n == name);
        let of = |(_, member): &(usize, &usize)| Some(**member) == wanted;
        self.members.iter().enumerate().filter(of).map(|(row, _)| row).collect()
    }

    /// Name with the feature, e.g. `age=[25,35)`.
    pub fn title(&self, group: usize) -> Option<String> {
        self.names.get(group).map(|name| format!("{}={name}", self.feature))
    }
}

/// The groups of every feature with `group = true`, in the order of the declaration.
pub fn groups(table: &Table, features: &[Feature]) -> Vec<Groups> {
    features.iter().filter(|f| f.group).filter_map(|f| of_feature(table, f)).collect()
}

fn of_feature(table: &Table, feature: &Feature) -> Option<Groups> {
    let mut names = feature.group_names();
    names.retain(|name| name != MISSING_GROUP);
    let keys: Vec<Key> = match &table.column(&feature.name)?.cells {
        Cells::Numbers(numbers) => numbers.iter().map(|n| bin(*n, &feature.group_edges)).collect(),
        Cells::Texts(texts) => by_value(texts, &mut names),
    };
    let last = names.len();
    if keys.iter().any(|k| matches!(k, Key::Missing)) {
        names.push(MISSING_GROUP.to_owned());
    }
    let member = |key: Key| match key {
        Key::Group(index) => index,
        Key::Missing => last,
    };
    let members = keys.into_iter().map(member).collect();
    Some(Groups { feature: feature.name.clone(), names, members })
}

enum Key {
    Group(usize),
    Missing,
}

/// Bin `i` is `[edges[i-1], edges[i])`.
fn bin(value: f64, edges: &[f64]) -> Key {
    if value.is_nan() { Key::Missing } else { Key::Group(edges.partition_point(|e| *e <= value)) }
}

fn by_value(texts: &[Option<String>], names: &mut Vec<String>) -> Vec<Key> {
    let mut extra: Vec<String> =
        texts.iter().flatten().filter(|t| !names.contains(t)).cloned().collect();
    extra.sort_unstable();
    extra.dedup();
    names.extend(extra);
    let index: BTreeMap<&str, usize> =
        names.iter().enumerate().map(|(i, name)| (name.as_str(), i)).collect();
    let key = |text: &Option<String>| {
        let found = text.as_deref().and_then(|t| index.get(t));
        found.map_or(Key::Missing, |i| Key::Group(*i))
    };
    texts.iter().map(key).collect()
}
