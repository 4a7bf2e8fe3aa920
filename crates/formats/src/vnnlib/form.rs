//! The normal form: alternatives, each a box and linear constraints.
//!
//! Owns distribution over `or` within limits. An alternative that surely holds no point is left
//! out; a bound that is not surely crossed is kept.

use super::parse::{Atom, Formula, Script};
use super::{ATOMS_MAX, CASES_MAX, Case, Constraint, Number, Property, Variable, VnnlibError};

pub(super) fn normal(script: Script) -> Result<Property, VnnlibError> {
    let Script { inputs, outputs, asserted } = script;
    let mut cases = Vec::new();
    for (i, atoms) in alternatives(&Formula::And(asserted), inputs)?.iter().enumerate() {
        cases.extend(case(atoms, inputs, i)?);
    }
    Ok(Property { inputs, outputs, cases })
}

/// The disjunction of conjunctions that a formula is.
fn alternatives(formula: &Formula, inputs: usize) -> Result<Vec<Vec<&Atom>>, VnnlibError> {
    match formula {
        Formula::Atom(atom) => Ok(vec![vec![atom]]),
        Formula::Or(parts) => {
            let mut all = Vec::new();
            for part in parts {
                all.append(&mut alternatives(part, inputs)?);
                limited(&all, inputs)?;
            }
            Ok(all)
        }
        Formula::And(parts) => {
            let mut all = vec![Vec::new()];
            let (plain, rest): (Vec<_>, Vec<_>) =
                parts.iter().partition(|part| matches!(part, Formula::Atom(_)));
            for part in rest {
                all = crossed(&all, &alternatives(part, inputs)?, inputs)?;
            }
            let atoms = plain.iter().filter_map(|part| match part {
                Formula::Atom(atom) => Some(atom),
                _ => None,
            });
            let atoms: Vec<&Atom> = atoms.collect();
            crossed(&all, &[atoms], inputs)
        }
    }
}

fn crossed<'a>(
    left: &[Vec<&'a Atom>],
    right: &[Vec<&'a Atom>],
    inputs: usize,
) -> Result<Vec<Vec<&'a Atom>>, VnnlibError> {
    let mut all = Vec::new();
    for one in left {
        for other in right {
            all.push(one.iter().chain(other).copied().collect());
            limited(&all, inputs)?;
        }
    }
    Ok(all)
}

fn limited(all: &[Vec<&Atom>], inputs: usize) -> Result<(), VnnlibError> {
    // the box of a case costs memory as well; the count grows one case at a time
    let last = all.last().map_or(0, Vec::len);
    if all.len() > CASES_MAX {
        return Err(VnnlibError::TooMany(format!("{CASES_MAX} cases")));
    }
    if all.len().saturating_mul(last.max(inputs)) > ATOMS_MAX {
        return Err(VnnlibError::TooMany(format!("{ATOMS_MAX} atoms")));
    }
    Ok(())
}

/// The case of a conjunction; `None` where it surely holds no point.
fn case(atoms: &[&Atom], inputs: usize, index: usize) -> Result<Option<Case>, VnnlibError> {
    let free = Number { below: f64::NEG_INFINITY, above: f64::INFINITY };
    let (mut lower, mut upper) = (vec![free; inputs], vec![free; inputs]);
    let mut constraints = Vec::new();
    for atom in atoms {
        if let (false, [(Variable::Input(i), factor)]) = (atom.strict, atom.terms.as_slice())
            && let Some(bound) = atom.constant.negated().over(*factor)
        {
            let i = *i as usize;
            let up = factor.below > 0.0;
            let side = if up { upper.get_mut(i) } else { lower.get_mut(i) };
            if let Some(held) = side {
                *held = tighter(*held, bound, up);
            }
            continue;
        }
        if atom.terms.is_empty() {
            let (low, high) = (atom.constant.below, atom.constant.above);
            if low > 0.0 || (atom.strict && low >= 0.0) {
                return Ok(None);
            }
            if high < 0.0 || (!atom.strict && high <= 0.0) {
                continue;
            }
        }
        constraints.push(Constraint {
            terms: atom.terms.clone(),
            constant: atom.constant,
            strict: atom.strict,
        });
    }
    let unbounded = |list: &[Number]| list.iter().position(|n| n.below.is_infinite());
    for (list, side) in [(&lower, "lower"), (&upper, "upper")] {
        if let Some(input) = unbounded(list) {
            return Err(VnnlibError::Unbounded { input, side, case: index });
        }
    }
    let empty = lower.iter().zip(&upper).any(|(low, high)| low.below > high.above);
    Ok((!empty).then_some(Case { lower, upper, constraints }))
}

/// Both bounds hold: the smaller upper, the larger lower one, each end by itself.
fn tighter(held: Number, bound: Number, upper: bool) -> Number {
    if held.below.is_infinite() {
        return bound;
    }
    match upper {
        true => Number { below: held.below.min(bound.below), above: held.above.min(bound.above) },
        false => Number { below: held.below.max(bound.below), above: held.above.max(bound.above) },
    }
}
