//! Rows to ranks.
//!
//! Owns the search of each value among its feature's thresholds, several rows side by side and
//! without branches. Called by `eval`.

use std::hint::select_unpredictable;

use super::Codes;
use super::eval::Rows;
use super::key::Feature;
use super::plan::{Plan, Source, What};
use crate::reference::Float;

/// Writes the ranks `(rows, width)` of the rows into the beginning of `ranks`.
pub(super) fn ranks<F: Feature, S, T: Float>(plan: &Plan<F, S>, rows: Rows<T>, ranks: &mut [u16]) {
    let n = rows.len();
    for (t, tile) in rows.tiles(TILE).enumerate() {
        let out = &mut ranks[t * TILE * plan.width..(t * TILE + tile.len()).min(n) * plan.width];
        for source in &plan.sources {
            of_source::<F, T>(source, plan.codes, tile, plan.width, out);
        }
    }
}

fn of_source<F: Feature, T: Float>(
    source: &Source<F::Key>,
    codes: Codes,
    rows: Rows<T>,
    width: usize,
    out: &mut [u16],
) {
    let n = rows.len();
    let mut keys = [F::Key::default(); TILE];
    let value = |v: T| F::from_f64(v.to_f64());
    let missing = |v: F| v.is_nan() || (source.zero && v.is_zero());
    let column = rows.column(source.feature as usize);
    if let What::Member { codes: set, missing: side, column: to } = &source.what {
        for (v, row) in column.zip(out.chunks_exact_mut(width)) {
            let v = value(v);
            let member = || codes.of(v.to_f64()).is_some_and(|c| set.binary_search(&c).is_ok());
            row[*to as usize] = if missing(v) { *side } else { u16::from(!member()) };
        }
        return;
    }
    match source.zero {
        false => keys.iter_mut().zip(column).for_each(|(k, v)| *k = value(v).key()),
        true => keys.iter_mut().zip(column).for_each(|(k, v)| {
            let v = value(v);
            *k = if missing(v) { F::MISSING } else { v.key() };
        }),
    }
    let keys = &keys[..n];
    match &source.what {
        What::Rank { cuts, low, high } => {
            let mut found = [0u16; TILE];
            search(cuts, keys, &mut found);
            if let Some(high) = high {
                let slots = out.iter_mut().skip(*high as usize).step_by(width);
                slots.zip(&found).for_each(|(slot, &r)| *slot = r);
            }
            if let Some(low) = low {
                let slots = out.iter_mut().skip(*low as usize).step_by(width);
                for ((slot, &r), &k) in slots.zip(&found).zip(keys) {
                    *slot = if k == F::MISSING { 0 } else { r };
                }
            }
        }
        What::Same { key, missing, column } => {
            for (&k, row) in keys.iter().zip(out.chunks_exact_mut(width)) {
                let apart = u16::from(k != *key);
                row[*column as usize] = if k == F::MISSING { *missing } else { apart };
            }
        }
        What::Member { .. } => {}
    }
}

/// For each key the number of `cuts` (ascending, at least one) below it.
fn search<K: Copy + Ord + Default>(cuts: &[K], keys: &[K], found: &mut [u16; TILE]) {
    for (keys, found) in keys.chunks(LANES).zip(found.chunks_mut(LANES)) {
        let mut lanes = [K::default(); LANES];
        lanes[..keys.len()].copy_from_slice(keys);
        let mut base = [0usize; LANES];
        let mut len = cuts.len();
        while len > 1 {
            let half = len / 2;
            for (base, key) in base.iter_mut().zip(&lanes) {
                // Half of these go either way: a jump would be guessed wrong as often.
                let below = cuts[*base + half - 1] < *key;
                *base = select_unpredictable(below, *base + half, *base);
            }
            len -= half;
        }
        for ((found, base), key) in found.iter_mut().zip(base).zip(&lanes) {
            *found = (base + usize::from(cuts[base] < *key)) as u16;
        }
    }
}

/// Rows whose keys are searched together: a feature's thresholds stay in the cache meanwhile.
const TILE: usize = 256;
/// Searches side by side.
const LANES: usize = 8;
