//! Copies a tree out of a file's arrays, from the root, each node once.
//!
//! Owns the walk and its refusals: a node reached twice, a child that does not exist. What is not
//! reached (deleted nodes) is left behind. Called by the importers.

use crate::trees::{Branch, Child, Missing, Output, Test, Tree};

/// What a node of the file is.
pub(super) enum Seen {
    /// A leaf, whose values were appended.
    Leaf,
    /// A question, with the children by their numbers in the file.
    Branch { feature: u32, test: Test, missing: Missing, yes: usize, no: usize },
}

/// Walks from node `root` over at most `nodes` nodes; `look` says what a node is and appends the
/// `width` values of a leaf.
pub(super) fn plant(
    (root, nodes): (usize, usize),
    (output, width): (Output, usize),
    mut look: impl FnMut(usize, &mut Vec<f64>) -> Result<Seen, String>,
) -> Result<Tree, String> {
    let mut places: Vec<Option<Child>> = vec![None; nodes];
    let mut branches = Vec::new();
    let mut ends: Vec<(usize, usize)> = Vec::new();
    let mut leaves = Vec::new();
    let mut count = 0;
    let mut waiting = vec![root];
    while let Some(node) = waiting.pop() {
        let place = places.get_mut(node).ok_or_else(|| format!("node {node} does not exist"))?;
        if place.is_some() {
            return Err(format!("node {node} has two parents"));
        }
        let child = match look(node, &mut leaves)? {
            Seen::Leaf => {
                count += 1;
                if leaves.len() != count * width {
                    return Err(format!("leaf {node} has not {width} values"));
                }
                Child::leaf(count - 1)
            }
            Seen::Branch { feature, test, missing, yes, no } => {
                waiting.extend([no, yes]);
                ends.push((yes, no));
                let none = Child::leaf(0).ok_or("no leaf")?; // set below
                branches.push(Branch { feature, test, yes: none, no: none, missing });
                Child::branch(branches.len() - 1)
            }
        };
        *place = Some(child.ok_or("more nodes than fit")?);
    }
    let find = |node: usize| places.get(node).copied().flatten().ok_or("a child is missing");
    for (branch, (yes, no)) in branches.iter_mut().zip(ends) {
        (branch.yes, branch.no) = (find(yes)?, find(no)?);
    }
    Ok(Tree { output, branches, leaves, root: find(root)?, weight: 1.0 })
}
