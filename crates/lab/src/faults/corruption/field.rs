//! Random fields: clouds by the diamond-square rule.
//!
//! Owns the rule (Fournier, Fussell and Carpenter 1982), on a torus, as the published fog uses it.

use crate::stream::Stream;

/// A map of `side` by `side` values in `[0, 1]`, the least 0 and the greatest 1; `side` is a power
/// of two. `decay` above 1 makes it smoother.
pub(super) fn clouds(side: usize, decay: f64, stream: &mut Stream) -> Vec<f64> {
    let mut map = vec![0.0; side * side];
    let (mut step, mut wibble) = (side, WIBBLE);
    while step >= 2 {
        squares(&mut map, side, step, wibble, stream);
        diamonds(&mut map, side, step, wibble, stream);
        step /= 2;
        wibble /= decay;
    }
    let least = map.iter().copied().fold(f64::INFINITY, f64::min);
    let most = map.iter().copied().fold(f64::NEG_INFINITY, f64::max) - least;
    map.into_iter().map(|v| if most > 0.0 { (v - least) / most } else { 0.0 }).collect()
}

fn squares(map: &mut [f64], side: usize, step: usize, wibble: f64, stream: &mut Stream) {
    let half = step / 2;
    for row in (0..side).step_by(step) {
        for column in (0..side).step_by(step) {
            let (down, right) = ((row + step) % side, (column + step) % side);
            let sum = map[row * side + column]
                + map[down * side + column]
                + map[row * side + right]
                + map[down * side + right];
            map[(row + half) * side + column + half] = wibbled(sum, wibble, stream);
        }
    }
}

fn diamonds(map: &mut [f64], side: usize, step: usize, wibble: f64, stream: &mut Stream) {
    let half = step / 2;
    let back = |at: usize| (at + side - half) % side;
    for row in (0..side).step_by(step) {
        for column in (0..side).step_by(step) {
            let (y, x) = (row, column + half);
            let sum = map[row * side + column]
                + map[row * side + (column + step) % side]
                + map[(row + half) * side + x]
                + map[back(row) * side + x];
            map[y * side + x] = wibbled(sum, wibble, stream);
        }
    }
    for row in (0..side).step_by(step) {
        for column in (0..side).step_by(step) {
            let (y, x) = (row + half, column);
            let sum = map[row * side + column]
                + map[((row + step) % side) * side + column]
                + map[y * side + column + half]
                + map[y * side + back(column)];
            map[y * side + x] = wibbled(sum, wibble, stream);
        }
    }
}

fn wibbled(sum: f64, wibble: f64, stream: &mut Stream) -> f64 {
    sum / 4.0 + wibble * wibble * stream.symmetric()
}

/// Height of the first displacement; the map is scaled afterwards.
const WIBBLE: f64 = 100.0;
