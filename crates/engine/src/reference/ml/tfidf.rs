//! `TfIdfVectorizer`: counts of word sequences.
//!
//! Owns the dictionary of sequences, built once as a tree. Called by the registry.

use std::collections::HashMap;
use std::hash::Hash;

use crate::reference::Precision;
use crate::reference::op::{Kernel, OpError, Spec, misshapen, mistyped, tensor, volume, wrong};
use crate::value::Value;

/// How counts become numbers.
#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Tf,
    Idf,
    TfIdf,
}

/// Sequences longer than this are refused: nobody counts them, and each length is one level.
const LENGTH_MAX: i64 = 64;
/// Words that may be skipped between two of a sequence.
const SKIP_MAX: i64 = 64;
/// Columns of the result: as many as a large dictionary has words.
const COLUMNS_MAX: i64 = 1 << 24;

/// Which sequences are counted.
struct Grams {
    shortest: usize,
    longest: usize,
    /// Distances between the words of a sequence: 1 to this.
    distances: usize,
    mode: Mode,
    columns: usize,
    /// By column; empty for 1 everywhere.
    weights: Vec<f32>,
}

/// A node of the tree: where the next word leads, and the column of the sequence so far.
struct Tree<K> {
    next: Vec<HashMap<K, usize>>,
    column: Vec<Option<usize>>,
}

impl<K: Hash + Eq> Tree<K> {
    fn new() -> Self {
        Self { next: vec![HashMap::new()], column: vec![None] }
    }

    fn insert(&mut self, words: impl Iterator<Item = K>, column: usize) {
        let mut at = 0;
        for word in words {
            let fresh = self.next.len();
            at = *self.next[at].entry(word).or_insert(fresh);
            if at == fresh {
                self.next.push(HashMap::new());
                self.column.push(None);
            }
        }
        self.column[at] = Some(column);
    }

    /// Adds the sequences of one row to `counts`.
    fn count(&self, row: &[K], grams: &Grams, counts: &mut [u32]) {
        let mut shortest = grams.shortest;
        for distance in 1..=grams.distances {
            for start in 0..row.len() {
                if start + distance * (shortest - 1) >= row.len() {
                    break;
                }
                let mut at = 0;
                for (n, word) in
                    row[start..].iter().step_by(distance).take(grams.longest).enumerate()
                {
                    let Some(&to) = self.next[at].get(word) else { break };
                    at = to;
                    if n + 1 >= shortest
                        && let Some(column) = self.column[at]
                    {
                        counts[column] += 1;
                    }
                }
            }
            // Single words have no distance: they are counted once.
            if shortest == 1 {
                shortest = 2;
                if shortest > grams.longest {
                    break;
                }
            }
        }
    }
}

/// The dictionary by the type of its words.
enum Pool {
    Texts(Tree<String>),
    Ints(Tree<i64>),
}

/// `TfIdfVectorizer`
pub fn tf_idf(spec: &Spec) -> Result<Kernel, OpError> {
    let (grams, pool) = read(spec)?;
    let precision = spec.precision;
    Ok(Box::new(move |args| {
        let x = args.required(0)?;
        let shape = x.shape();
        let (n, width) = match shape[..] {
            [width] => (1, width),
            [n, width] => (n, width),
            _ => return Err(misshapen(format!("expected (c) or (n, c), given shape {shape:?}"))),
        };
        let mut out = vec![0.0f32; volume(&[n, grams.columns])?];
        let mut counts = vec![0u32; grams.columns];
        let ints = match (x, &pool) {
            (Value::I64(_) | Value::I32(_), Pool::Ints(_)) => x.to_i64s().unwrap_or_default(),
            _ => Vec::new(),
        };
        for (r, out) in out.chunks_mut(grams.columns).enumerate() {
            counts.fill(0);
            let row = r * width..(r + 1) * width;
            match (x, &pool) {
                (Value::Str(t), Pool::Texts(tree)) => {
                    tree.count(&t.data()[row], &grams, &mut counts);
                }
                (Value::I64(_) | Value::I32(_), Pool::Ints(tree)) => {
                    tree.count(&ints[row], &grams, &mut counts);
                }
                _ => return Err(mistyped(0, x, "the type of the dictionary")),
            }
            for (i, (o, &count)) in out.iter_mut().zip(&counts).enumerate() {
                let weight = grams.weights.get(i).copied().unwrap_or(1.0);
                *o = match grams.mode {
                    Mode::Tf => count as f32,
                    Mode::Idf if count > 0 => weight,
                    Mode::Idf => 0.0,
                    Mode::TfIdf => count as f32 * weight,
                };
            }
        }
        let shape = if shape.len() == 1 { vec![grams.columns] } else { vec![n, grams.columns] };
        let out = tensor(shape, out)?;
        Ok(vec![match precision {
            Precision::F32 => Value::F32(out),
            Precision::F64 => Value::F32(out).widened(),
        }])
    }))
}

fn read(spec: &Spec) -> Result<(Grams, Pool), OpError> {
    let bounded = |name: &str, low: i64, high: i64| {
        let v = spec.int(name)?.ok_or_else(|| wrong(name, "is missing"))?;
        let v = Some(v).filter(|v| (low..=high).contains(v)).and_then(|v| usize::try_from(v).ok());
        v.ok_or_else(|| wrong(name, format!("lies outside {low} to {high}")))
    };
    let shortest = bounded("min_gram_length", 1, LENGTH_MAX)?;
    let longest = bounded("max_gram_length", 1, LENGTH_MAX)?;
    if shortest > longest {
        return Err(wrong("min_gram_length", "is larger than `max_gram_length`"));
    }
    let distances = bounded("max_skip_count", 0, SKIP_MAX)? + 1;
    let mode = match spec.text("mode")? {
        Some("TF") => Mode::Tf,
        Some("IDF") => Mode::Idf,
        Some("TFIDF") => Mode::TfIdf,
        Some(other) => return Err(wrong("mode", format!("has the unknown value `{other}`"))),
        None => return Err(wrong("mode", "is missing")),
    };
    let indices = spec.ints("ngram_indexes")?.unwrap_or(&[]);
    let columns = indices.iter().copied().max().unwrap_or(-1);
    if !(0..COLUMNS_MAX).contains(&columns) || indices.iter().any(|&i| i < 0) {
        return Err(wrong("ngram_indexes", "is missing or names an impossible column"));
    }
    let weights = spec.floats("weights")?.unwrap_or(&[]).to_vec();
    if !weights.is_empty() && weights.len() != indices.len() {
        return Err(wrong("weights", format!("does not have {} entries", indices.len())));
    }
    let columns = columns as usize + 1;
    let weights = by_column(&weights, indices, columns)?;
    let grams = Grams { shortest, longest, distances, mode, columns, weights };
    let counts = spec.ints("ngram_counts")?.unwrap_or(&[]);
    let pool = match (spec.texts("pool_strings")?, spec.ints("pool_int64s")?) {
        (Some(t), _) if !t.is_empty() => Pool::Texts(tree(t, counts, indices, &grams)?),
        (_, Some(i)) if !i.is_empty() => Pool::Ints(tree(i, counts, indices, &grams)?),
        _ => return Err(wrong("pool_strings", "and `pool_int64s` are both missing")),
    };
    Ok((grams, pool))
}

/// Weights are given in the order of the pool.
fn by_column(weights: &[f32], indices: &[i64], columns: usize) -> Result<Vec<f32>, OpError> {
    if weights.is_empty() {
        return Ok(Vec::new());
    }
    let mut out: Vec<Option<f32>> = vec![None; columns];
    for (&weight, &i) in weights.iter().zip(indices) {
        let slot = &mut out[i as usize];
        if slot.is_some_and(|w| w != weight) {
            let what = format!("two weights for the column {i} of `TfIdfVectorizer`");
            return Err(OpError::Unsupported(what));
        }
        *slot = Some(weight);
    }
    Ok(out.into_iter().map(|w| w.unwrap_or(1.0)).collect())
}

/// The pool holds all sequences of one word, then those of two, …; `counts` says where each
/// length begins.
fn tree<K: Hash + Eq + Clone>(
    pool: &[K],
    counts: &[i64],
    indices: &[i64],
    grams: &Grams,
) -> Result<Tree<K>, OpError> {
    let name = "ngram_counts";
    if counts.len() < grams.longest {
        return Err(wrong(name, format!("does not have {} entries", grams.longest)));
    }
    let mut tree = Tree::new();
    let mut next = indices.iter();
    for (i, &start) in counts.iter().enumerate() {
        let end = counts.get(i + 1).copied().unwrap_or(pool.len() as i64);
        let range = usize::try_from(start).ok().zip(usize::try_from(end).ok());
        let words = range.and_then(|(a, b)| pool.get(a..b));
        let length = i + 1;
        let words = words.filter(|w| w.len() % length == 0);
        let words = words.ok_or_else(|| wrong(name, "does not fit the pool"))?;
        for gram in words.chunks(length) {
            let &column = next.next().ok_or_else(|| wrong("ngram_indexes", "is too short"))?;
            if (grams.shortest..=grams.longest).contains(&length) {
                tree.insert(gram.iter().cloned(), column as usize);
            }
        }
    }
    Ok(tree)
}
