//! The repair of a candidate: what follows from the other columns is computed.
//!
//! After the repair operator of CAPGD (Simonetto et al., "Constrained adaptive attack", NeurIPS
//! 2024, section 4): `column = formula` is set to its formula. Inequalities are left to the
//! search and to the harness, which draws a candidate back toward the clean row.

use super::measure::greatest;
use super::{At, Constraints};

pub(super) fn repair(all: &Constraints, row: usize, x: &mut [f64]) {
    for group in &all.groups {
        if group.coordinates.iter().any(|&at| x[at].is_nan()) {
            continue;
        }
        let top = greatest(&group.coordinates, x);
        for &at in &group.coordinates {
            x[at] = if at == top { 1.0 } else { 0.0 };
        }
    }
    define(all, row, x);
}

/// Computes what follows from other columns, in the order in which they build on each other.
pub(super) fn define(all: &Constraints, row: usize, x: &mut [f64]) {
    // One definition may build on another: as many rounds as there are definitions settle every
    // order; a circle of definitions is given up.
    for _ in 0..all.definitions.len() {
        let mut moved = false;
        for definition in &all.definitions {
            let at = At { all, row, x };
            let unexamined = all.rules[definition.rule].unexamined[row];
            let applies = |when| at.measure(when, true, false) == 0.0;
            if unexamined || !definition.when.as_ref().is_none_or(applies) {
                continue;
            }
            let value = at.value(&definition.value);
            let old = x[definition.coordinate];
            if value.is_finite() && old.is_finite() && value != old {
                x[definition.coordinate] = value;
                moved = true;
            }
        }
        if !moved {
            return;
        }
    }
}
