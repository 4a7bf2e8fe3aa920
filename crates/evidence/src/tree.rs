//! The Merkle tree of RFC 6962 over SHA-256: roots, proofs and their verification.
//!
//! Owns the tree in memory and the pure verification functions. Must never touch a file. Called by
//! the log, the pack and anyone who checks a proof.

use sha2::{Digest as _, Sha256};

/// A node or leaf hash.
pub type Hash = [u8; 32];

/// Leaf hash, RFC 6962 section 2.1: `SHA-256(0x00 || entry)`.
pub fn leaf_hash(entry: &[u8]) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update([0u8]);
    hasher.update(entry);
    hasher.finalize().into()
}

/// Interior hash, RFC 6962 section 2.1: `SHA-256(0x01 || left || right)`.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update([1u8]);
    hasher.update(left);
    hasher.update(right);
    hasher.finalize().into()
}

/// Root of the empty tree, RFC 6962 section 2.1: `SHA-256()`.
pub fn empty_root() -> Hash {
    Sha256::digest([]).into()
}

/// All complete subtrees of an append-only list of leaf hashes.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    // levels[k][j] is the hash of leaves j*2^k .. (j+1)*2^k, for every complete such range.
    levels: Vec<Vec<Hash>>,
}

impl Tree {
    /// The empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.levels.first().map_or(0, |level| level.len() as u64)
    }

    /// Appends a leaf by its hash; amortised constant time.
    pub fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        for height in 0.. {
            if self.levels.len() == height {
                self.levels.push(Vec::new());
            }
            let Some(level) = self.levels.get_mut(height) else { return };
            level.push(hash);
            if level.len() % 2 == 1 {
                return;
            }
            let [.., left, right] = level.as_slice() else { return };
            hash = node_hash(left, right);
        }
    }

    /// Hash of the complete subtree `index` of `height`, if it is complete.
    pub fn subtree(&self, height: usize, index: u64) -> Option<Hash> {
        self.levels.get(height)?.get(usize::try_from(index).ok()?).copied()
    }

    /// Root of the first `size` leaves; `None` beyond the tree.
    pub fn root(&self, size: u64) -> Option<Hash> {
        if size == 0 { Some(empty_root()) } else { self.range(0, size) }
    }

    /// Inclusion proof of leaf `index` in the first `size` leaves (RFC 6962, 2.1.1), leaf first.
    pub fn inclusion(&self, index: u64, size: u64) -> Option<Vec<Hash>> {
        if index >= size || size > self.size() {
            return None;
        }
        let (mut low, mut high) = (0, size);
        let mut path = Vec::new();
        while high - low > 1 {
            let middle = low + split(high - low);
            if index < middle {
                path.push(self.range(middle, high)?);
                high = middle;
            } else {
                path.push(self.range(low, middle)?);
                low = middle;
            }
        }
        path.reverse();
        Some(path)
    }

    /// Consistency proof from the first `old` to the first `new` leaves (RFC 6962, 2.1.2).
    pub fn consistency(&self, old: u64, new: u64) -> Option<Vec<Hash>> {
        if old > new || new > self.size() {
            return None;
        }
        if old == 0 || old == new {
            return Some(Vec::new());
        }
        let (mut low, mut high) = (0, new);
        let mut path = Vec::new();
        // Walk down until the old tree is exactly the range at hand.
        while high != old {
            let middle = low + split(high - low);
            if old <= middle {
                path.push(self.range(middle, high)?);
                high = middle;
            } else {
                path.push(self.range(low, middle)?);
                low = middle;
            }
        }
        if low != 0 {
            path.push(self.range(low, high)?);
        }
        path.reverse();
        Some(path)
    }

    fn range(&self, low: u64, high: u64) -> Option<Hash> {
        let count = high.checked_sub(low).filter(|&count| count > 0)?;
        if count.is_power_of_two() && low.is_multiple_of(count) {
            return self.subtree(count.trailing_zeros() as usize, low / count);
        }
        let middle = low + split(count);
        Some(node_hash(&self.range(low, middle)?, &self.range(middle, high)?))
    }
}

/// Whether `proof` leads from `leaf` at `index` to `root` of `size` leaves (RFC 9162, 2.1.3.2).
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, proof: &[Hash], root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut position, mut last, mut hash) = (index, size - 1, *leaf);
    for sibling in proof {
        if last == 0 {
            return false;
        }
        if position & 1 == 1 || position == last {
            hash = node_hash(sibling, &hash);
            while position & 1 == 0 && position != 0 {
                position >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        position >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

/// Whether the tree of `new` leaves extends the one of `old` leaves (RFC 9162, 2.1.4.2).
pub fn verify_consistency(
    old: u64,
    new: u64,
    proof: &[Hash],
    old_root: &Hash,
    new_root: &Hash,
) -> bool {
    if old > new {
        return false;
    }
    if old == new {
        return proof.is_empty() && old_root == new_root;
    }
    if old == 0 {
        return proof.is_empty() && *old_root == empty_root();
    }
    let (mut position, mut last) = (old - 1, new - 1);
    while position & 1 == 1 {
        position >>= 1;
        last >>= 1;
    }
    let (seed, rest) = if old.is_power_of_two() {
        (old_root, proof)
    } else {
        match proof.split_first() {
            Some(parts) => parts,
            None => return false,
        }
    };
    let (mut left, mut right) = (*seed, *seed);
    for sibling in rest {
        if last == 0 {
            return false;
        }
        if position & 1 == 1 || position == last {
            left = node_hash(sibling, &left);
            right = node_hash(sibling, &right);
            while position & 1 == 0 && position != 0 {
                position >>= 1;
                last >>= 1;
            }
        } else {
            right = node_hash(&right, sibling);
        }
        position >>= 1;
        last >>= 1;
    }
    last == 0 && left == *old_root && right == *new_root
}

// Largest power of two strictly below `count`; `count` is at least 2.
fn split(count: u64) -> u64 {
    1 << (63 - (count - 1).leading_zeros())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ct_merkle::mem_backed_tree::MemoryBackedTree;
    use proptest::prelude::*;

    // RFC 6962 section 2.1, written as it stands there.
    fn naive(entries: &[Vec<u8>]) -> Hash {
        match entries {
            [] => empty_root(),
            [one] => leaf_hash(one),
            many => {
                let mut k = 1;
                while k * 2 < many.len() {
                    k *= 2;
                }
                node_hash(&naive(&many[..k]), &naive(&many[k..]))
            }
        }
    }

    fn entries(count: usize) -> Vec<Vec<u8>> {
        (0..count).map(|i| format!("entry {i}").into_bytes()).collect()
    }

    fn tree_of(entries: &[Vec<u8>]) -> Tree {
        let mut tree = Tree::new();
        entries.iter().for_each(|entry| tree.push(leaf_hash(entry)));
        tree
    }

    #[test]
    fn all_proofs_of_small_trees_verify_and_wrong_ones_do_not() {
        let entries = entries(40);
        let tree = tree_of(&entries);
        for size in 0..=40u64 {
            let root = tree.root(size).unwrap();
            assert_eq!(root, naive(&entries[..size as usize]));
            for index in 0..size {
                let leaf = leaf_hash(&entries[index as usize]);
                let proof = tree.inclusion(index, size).unwrap();
                assert!(verify_inclusion(&leaf, index, size, &proof, &root));
                assert!(!verify_inclusion(&leaf_hash(b"x"), index, size, &proof, &root));
                for other in (0..size).filter(|&other| other != index) {
                    assert!(!verify_inclusion(&leaf, other, size, &proof, &root));
                }
                for place in 0..proof.len() {
                    let mut wrong = proof.clone();
                    wrong[place][31] ^= 1;
                    assert!(!verify_inclusion(&leaf, index, size, &wrong, &root));
                    wrong.remove(place);
                    assert!(!verify_inclusion(&leaf, index, size, &wrong, &root));
                }
            }
            for old in 0..=size {
                let old_root = tree.root(old).unwrap();
                let proof = tree.consistency(old, size).unwrap();
                assert!(verify_consistency(old, size, &proof, &old_root, &root), "{old} {size}");
                let mut bent = old_root;
                bent[0] ^= 1;
                assert!(!verify_consistency(old, size, &proof, &bent, &root));
                for place in 0..proof.len() {
                    let mut wrong = proof.clone();
                    wrong[place][0] ^= 1;
                    assert!(!verify_consistency(old, size, &wrong, &old_root, &root));
                }
            }
        }
        assert!(tree.inclusion(40, 40).is_none());
        assert!(tree.consistency(3, 41).is_none());
    }

    #[test]
    fn agrees_with_an_independent_implementation() {
        let mut theirs: MemoryBackedTree<Sha256, Vec<u8>> = MemoryBackedTree::new();
        let mut ours = Tree::new();
        for (count, entry) in entries(300).into_iter().enumerate() {
            ours.push(leaf_hash(&entry));
            theirs.push(entry);
            let size = count as u64 + 1;
            assert_eq!(ours.root(size).unwrap().as_slice(), theirs.root().as_bytes().as_slice());
            let index = (count * 7) / 11;
            let proof = ours.inclusion(index as u64, size).unwrap().concat();
            assert_eq!(proof, theirs.prove_inclusion(index).as_bytes());
            let old = (count as u64 * 5) / 8 + 1;
            if old < size {
                let proof = ours.consistency(old, size).unwrap().concat();
                let additions = usize::try_from(size - old).unwrap();
                assert_eq!(proof, theirs.prove_consistency(additions).as_bytes());
            }
        }
    }

    proptest! {
        #[test]
        fn any_size_gives_the_naive_root_and_verifying_proofs(
            size in 1usize..600, index in any::<prop::sample::Index>(),
            old in any::<prop::sample::Index>(),
        ) {
            let entries = entries(size);
            let tree = tree_of(&entries);
            let root = tree.root(size as u64).unwrap();
            prop_assert_eq!(root, naive(&entries));
            let index = index.index(size);
            let proof = tree.inclusion(index as u64, size as u64).unwrap();
            prop_assert!(verify_inclusion(
                &leaf_hash(&entries[index]), index as u64, size as u64, &proof, &root));
            let old = old.index(size) as u64;
            let proof = tree.consistency(old, size as u64).unwrap();
            prop_assert!(verify_consistency(
                old, size as u64, &proof, &tree.root(old).unwrap(), &root));
        }
    }
}
