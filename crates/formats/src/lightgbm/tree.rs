//! One tree of a LightGBM model: parallel arrays by inner node and by leaf.

use std::str::FromStr;

use super::{LightgbmError, Section};

/// Inner nodes by number, the root first. A child below 0 is leaf `-child - 1`.
#[derive(Clone, Debug, PartialEq)]
pub struct Tree {
    /// Feature by inner node.
    pub feature: Vec<u32>,
    /// Threshold by inner node; number of the set of categories at categorical nodes.
    pub threshold: Vec<f64>,
    /// Whether a node asks for categories.
    pub categorical: Vec<bool>,
    /// Whether a missing value goes left.
    pub default_left: Vec<bool>,
    /// What counts as missing.
    pub missing: Vec<MissingKind>,
    /// Left child by inner node.
    pub left: Vec<i32>,
    /// Right child by inner node.
    pub right: Vec<i32>,
    /// Values of the leaves.
    pub leaf: Vec<f64>,
    /// Sets of categories that go left, ascending.
    pub sets: Vec<Vec<u32>>,
    /// Whether the leaves hold linear models.
    pub linear: bool,
}

/// What counts as missing at a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissingKind {
    /// Nothing: NaN is taken for 0.
    None,
    /// NaN and values next to 0.
    Zero,
    /// NaN.
    Nan,
}

impl Tree {
    /// Reads the arrays of tree number `tree`.
    ///
    /// # Errors
    /// [`LightgbmError::Tree`] when one is missing, of another length, or out of its range.
    pub(super) fn of(tree: usize, section: &Section<'_>) -> Result<Self, LightgbmError> {
        let reader = Reader { tree, section };
        let leaf = reader.all::<f64>("leaf_value")?;
        let leaves = reader.one("num_leaves")?;
        if leaves == 0 || leaf.len() != leaves {
            let problem = format!("has {} items where {leaves} are needed", leaf.len());
            return Err(reader.wrong("leaf_value", problem));
        }
        let nodes = leaves - 1;
        let linear = reader.find("is_linear").is_some_and(|text| text.trim() == "1");
        let feature = reader.some("split_feature", nodes)?;
        let threshold = reader.some("threshold", nodes)?;
        let left = reader.some("left_child", nodes)?;
        let right = reader.some("right_child", nodes)?;
        let kinds = match reader.find("decision_type") {
            Some(_) => reader.some::<u8>("decision_type", nodes)?,
            None => vec![0; nodes],
        };
        if let Some(kind) = kinds.iter().find(|&&kind| kind > 0b1011) {
            let problem = format!("holds {kind}, which no version writes");
            return Err(reader.wrong("decision_type", problem));
        }
        let missing = kinds.iter().map(|kind| match kind >> 2 {
            0 => MissingKind::None,
            1 => MissingKind::Zero,
            _ => MissingKind::Nan,
        });
        Ok(Self {
            missing: missing.collect(),
            categorical: kinds.iter().map(|kind| kind & 1 != 0).collect(),
            default_left: kinds.iter().map(|kind| kind & 2 != 0).collect(),
            feature,
            threshold,
            left,
            right,
            leaf,
            sets: reader.sets()?,
            linear,
        })
    }
}

struct Reader<'a> {
    tree: usize,
    section: &'a Section<'a>,
}

impl Reader<'_> {
    fn find(&self, key: &str) -> Option<&str> {
        self.section.iter().find(|(k, _)| *k == key).map(|(_, value)| *value)
    }

    fn all<T: FromStr>(&self, key: &'static str) -> Result<Vec<T>, LightgbmError> {
        let text = self.find(key).ok_or_else(|| self.wrong(key, "is missing".into()))?;
        let parse = |word: &str| {
            word.parse().map_err(|_| self.wrong(key, format!("holds `{}`", shortened(word))))
        };
        text.split_ascii_whitespace().map(parse).collect()
    }

    /// As many as said; trees of one leaf leave the arrays of inner nodes out or empty.
    fn some<T: FromStr>(&self, key: &'static str, count: usize) -> Result<Vec<T>, LightgbmError> {
        if count == 0 {
            return Ok(Vec::new());
        }
        let items = self.all(key)?;
        let found = items.len();
        if found == count {
            return Ok(items);
        }
        Err(self.wrong(key, format!("has {found} items where {count} are needed")))
    }

    fn one(&self, key: &'static str) -> Result<usize, LightgbmError> {
        let items = self.all(key)?;
        match items.as_slice() {
            [one] => Ok(*one),
            _ => Err(self.wrong(key, "is not one number".into())),
        }
    }

    /// Sets of categories, from bits in words of 32.
    fn sets(&self) -> Result<Vec<Vec<u32>>, LightgbmError> {
        if self.find("num_cat").is_none_or(|text| text.trim() == "0") {
            return Ok(Vec::new());
        }
        let count = self.one("num_cat")?;
        let bounds = self.all::<usize>("cat_boundaries")?;
        let words = self.all::<u32>("cat_threshold")?;
        if count.checked_add(1) != Some(bounds.len()) {
            let problem = format!("has {} items for {count} sets", bounds.len());
            return Err(self.wrong("cat_boundaries", problem));
        }
        let mut sets = Vec::with_capacity(count);
        for pair in bounds.windows(2) {
            let &[start, end] = pair else { continue };
            let part = words.get(start..end);
            let part = part.ok_or_else(|| self.wrong("cat_threshold", "is too short".into()))?;
            if part.len() > WORDS_MAX {
                return Err(self.wrong("cat_boundaries", "makes a set too large".into()));
            }
            let bits = part.iter().zip(0u32..).flat_map(|(&word, place)| {
                (0..32).filter(move |bit| word >> bit & 1 != 0).map(move |bit| place * 32 + bit)
            });
            sets.push(bits.collect());
        }
        Ok(sets)
    }

    fn wrong(&self, key: &'static str, problem: String) -> LightgbmError {
        LightgbmError::Tree { tree: self.tree, key, problem }
    }
}

fn shortened(word: &str) -> String {
    word.chars().take(40).collect()
}

/// Words of one set of categories: codes are 31 bits.
const WORDS_MAX: usize = 1 << 26;
