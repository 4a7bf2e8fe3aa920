//! Categories of a CatBoost model, and the sets of them that splits ask for.
//!
//! Owns the universe of each category column: all hashes that a split or a table of counts knows,
//! in ascending order; a category's code is its place. A category outside has no code, and the
//! library sees it as one it never counted.

use std::collections::HashMap;

use proofmark_formats::catboost::{Ctr, CtrKind, CtrTable, Model, Split, Trees};

use super::{FORMAT, Question, TreeError, malformed};
use crate::trees::import::ImportError;
use crate::trees::{Categories, Missing, Test};

/// Universes by category feature, and the tables of counts.
pub(super) struct Sets<'a> {
    features: Vec<Feature>,
    tables: HashMap<&'a str, Counts<'a>>,
    /// For each number of a split: which CTR.
    numbers: Vec<usize>,
    /// The first number that is a CTR's.
    first: usize,
    known: HashMap<(usize, u32), Question>,
    spent: usize,
}

struct Feature {
    column: u32,
    hashes: Vec<u32>,
}

/// A table by the hash of the category.
struct Counts<'a> {
    table: &'a CtrTable,
    rows: HashMap<u32, &'a [f32]>,
}

impl<'a> Sets<'a> {
    pub(super) fn of(model: &'a Model) -> Result<Self, ImportError> {
        let features = model.categories.iter().map(|feature| Feature {
            column: feature.column as u32,
            hashes: feature.values.clone(),
        });
        let mut features: Vec<Feature> = features.collect();
        for (feature, value) in one_hots(model) {
            let known = features.get_mut(feature);
            let reason = || malformed(format!("category feature {feature} is missing"));
            known.ok_or_else(reason)?.hashes.push(value);
        }
        let mut tables = HashMap::new();
        for table in &model.tables {
            let users = model.ctrs.iter().filter(|ctr| ctr.table == table.name);
            let single: Vec<usize> = users.filter_map(|ctr| ctr.category).collect();
            let Some(&feature) = single.first() else { continue };
            let mut rows = HashMap::with_capacity(table.rows.len());
            for (key, counts) in &table.rows {
                let hash = category_of(*key)
                    .ok_or_else(|| malformed(format!("{key} is no hash of one category")))?;
                rows.insert(hash, counts.as_slice());
            }
            let known = features.get_mut(feature);
            let reason = || malformed(format!("category feature {feature} is missing"));
            known.ok_or_else(reason)?.hashes.extend(rows.keys());
            tables.insert(table.name.as_str(), Counts { table, rows });
        }
        for feature in &mut features {
            feature.hashes.sort_unstable();
            feature.hashes.dedup();
        }
        let borders = |ctr: &Ctr| ctr.borders.len();
        let numbers = model.ctrs.iter().enumerate();
        let numbers = numbers.flat_map(|(place, ctr)| std::iter::repeat_n(place, borders(ctr)));
        let floats: usize = model.floats.iter().map(|feature| feature.borders.len()).sum();
        let hashes: usize = model.categories.iter().map(|feature| feature.values.len()).sum();
        Ok(Self {
            features,
            tables,
            numbers: numbers.collect(),
            first: floats + hashes,
            known: HashMap::new(),
            spent: 0,
        })
    }

    /// Categories by column, with the texts that the file knows.
    pub(super) fn categories(&self, model: &Model, columns: usize) -> Vec<Option<Categories>> {
        if self.features.is_empty() {
            return Vec::new();
        }
        let texts: HashMap<u32, &str> =
            model.texts.iter().map(|(hash, text)| (*hash, text.as_str())).collect();
        let mut all = vec![None; columns];
        for feature in &self.features {
            let text = |hash: &u32| texts.get(hash).copied().unwrap_or_default().to_owned();
            let pairs = feature.hashes.iter().map(|hash| (u64::from(*hash), text(hash)));
            all[feature.column as usize] = Some(Categories::Hashes(pairs.collect()));
        }
        all
    }

    /// Whether the category is this one.
    pub(super) fn one_hot(&self, feature: usize, value: u32) -> Result<Question, String> {
        let feature = self.features.get(feature);
        let feature = feature.ok_or("a category feature is missing")?;
        let code = feature.hashes.binary_search(&value).map_err(|_| "a hash is missing")?;
        Ok(Question::Ask {
            feature: feature.column,
            test: Test::OneOf(Box::new([code as u32])),
            missing: Missing::Compare,
            inverted: false,
        })
    }

    /// Whether the number made of counts lies above the border, as a set of categories.
    pub(super) fn ctr(
        &mut self,
        model: &Model,
        number: usize,
        border: f32,
    ) -> Result<Question, TreeError> {
        let place = number.checked_sub(self.first).and_then(|at| self.numbers.get(at));
        let place = *place.ok_or_else(|| format!("split {number} is no count"))?;
        if let Some(question) = self.known.get(&(place, border.to_bits())) {
            return Ok(question.clone());
        }
        let ctr = &model.ctrs[place];
        if !ctr.borders.contains(&border) {
            return Err(format!("split {number} has no border {border}").into());
        }
        let Some(category) = ctr.category else {
            return Err(TreeError::Unsupported(ImportError::Unsupported {
                format: FORMAT,
                what: "counts by combinations of features".into(),
                next: "train with `max_ctr_complexity=1`, or with `one_hot_max_size` above the \
                       number of categories"
                    .into(),
            }));
        };
        let missing = || format!("the counts `{}` are missing", ctr.table);
        let counts = self.tables.get(ctr.table.as_str()).ok_or_else(missing)?;
        let feature = self.features.get(category).ok_or_else(missing)?;
        let unseen = above(ctr, counts.table, None, border)?;
        let mut set = Vec::new();
        for (code, hash) in feature.hashes.iter().enumerate() {
            let row = counts.rows.get(hash).copied();
            if above(ctr, counts.table, row, border)? != unseen {
                set.push(code as u32);
            }
        }
        let question = match set.is_empty() {
            true => Question::Always { right: unseen },
            false => Question::Ask {
                feature: feature.column,
                test: Test::OneOf(set.into()),
                missing: Missing::Compare,
                inverted: unseen,
            },
        };
        self.known.insert((place, border.to_bits()), question.clone());
        Ok(question)
    }

    /// Counts the codes that a tree copies.
    pub(super) fn spend(&mut self, codes: usize) -> Result<(), TreeError> {
        self.spent = self.spent.saturating_add(codes);
        if self.spent <= CODES_MAX {
            return Ok(());
        }
        Err(TreeError::Unsupported(ImportError::Unsupported {
            format: FORMAT,
            what: format!("splits over more than {CODES_MAX} categories in all"),
            next: "train with fewer categories or shallower trees".into(),
        }))
    }
}

/// Every category that a one-hot split asks for.
fn one_hots(model: &Model) -> Vec<(usize, u32)> {
    let of = |split: &Split| match split {
        Split::OneHot { feature, value } => Some((*feature, *value)),
        _ => None,
    };
    match &model.trees {
        Trees::Oblivious(trees) => trees.iter().flat_map(|t| &t.splits).filter_map(of).collect(),
        Trees::Free(trees) => {
            use proofmark_formats::catboost::Node;
            let split = |node: &'_ Node| match node {
                Node::Branch { split, .. } => of(split),
                Node::Leaf(_) => None,
            };
            trees.iter().flatten().filter_map(split).collect()
        }
    }
}

/// Whether the number lies above the border; `None` is a category that was never counted. In
/// `f32`, as the library computes it.
fn above(ctr: &Ctr, table: &CtrTable, row: Option<&[f32]>, border: f32) -> Result<bool, TreeError> {
    let short = || format!("the counts `{}` have too few items per row", ctr.table);
    let (good, all) = match (ctr.kind, row) {
        (CtrKind::Counter, None) => (0.0, table.denominator),
        (CtrKind::Counter, Some(row)) => (*row.first().ok_or_else(short)?, table.denominator),
        (_, None) => (0.0, 0.0),
        (CtrKind::Mean, Some(row)) => match row {
            [sum, count, ..] => (*sum, *count),
            _ => return Err(short().into()),
        },
        (CtrKind::Borders, Some(row)) => {
            let good = row.get(ctr.target_border + 1..).ok_or_else(short)?;
            (good.iter().sum(), row.iter().sum())
        }
        (CtrKind::Buckets, Some(row)) => {
            (*row.get(ctr.target_border).ok_or_else(short)?, row.iter().sum())
        }
    };
    let ratio = (good + ctr.prior_numerator) / (all + ctr.prior_denominator);
    Ok((ratio + ctr.shift) * ctr.scale > border)
}

/// The category whose hash makes a table's key: a key is `M * (0 + M * h)` modulo 2^64 for the
/// hash `h` taken as a signed number of 32 bits, and `M` is odd, so that it can be undone.
fn category_of(key: u64) -> Option<u32> {
    let value = key.wrapping_mul(INVERSE).wrapping_mul(INVERSE).cast_signed();
    i32::try_from(value).ok().map(i32::cast_unsigned)
}

/// The multiplier of the library's hash of several features.
const MULTIPLIER: u64 = 0x4906_ba49_4954_cb65;

/// Its inverse modulo 2^64, by Newton's iteration.
const INVERSE: u64 = {
    let mut inverse = MULTIPLIER;
    let mut round = 0;
    while round < 6 {
        inverse = inverse.wrapping_mul(2u64.wrapping_sub(MULTIPLIER.wrapping_mul(inverse)));
        round += 1;
    }
    inverse
};

/// Codes in the sets of all splits: 256 MiB.
const CODES_MAX: usize = 1 << 26;
