//! The rule of `Einsum`.
//!
//! Owns the equation of each operand's cotangent. Called by the table in [`super`].

use super::builder::{signed, text};
use super::{AutodiffError, Tape};
use crate::graph::{Attribute, Node};
use crate::reference::einsum::Equation;

type Done = Result<(), AutodiffError>;

/// The sum over all operands but one, with the cotangent in its place.
pub(super) fn einsum(t: &mut Tape, node: &Node, grads: &[Option<String>]) -> Done {
    let Some(Some(g)) = grads.first() else { return Ok(()) };
    let shapes = node.inputs.iter().map(|i| t.shape(i)).collect::<Result<Vec<_>, _>>()?;
    let equation = Equation::parse(text(node, "equation", "")).and_then(|e| e.spelled(&shapes));
    let equation = equation.map_err(|e| t.unsupported(node, &e.to_string()))?;
    let sizes = equation.sizes(&shapes).map_err(|e| t.unsupported(node, &e.to_string()))?;
    let size = |c: char| sizes.iter().find(|(k, _)| *k == c).map_or(1, |(_, n)| *n);
    for (k, operand) in node.inputs.iter().enumerate() {
        if !t.is_live(operand) {
            continue;
        }
        let own = &equation.operands[k];
        if own.iter().enumerate().any(|(i, c)| own[..i].contains(c)) {
            return Err(t.unsupported(node, "a diagonal"));
        }
        let mut terms = vec![equation.result.clone()];
        let mut inputs = vec![g.as_str()];
        for (j, other) in node.inputs.iter().enumerate().filter(|(j, _)| *j != k) {
            terms.push(equation.operands[j].clone());
            inputs.push(other);
        }
        // A letter of which the operand has one cell is summed; one that nothing else has is
        // stretched again.
        let held = |i: usize| {
            shapes[k][i] == size(own[i]) && terms.iter().any(|term| term.contains(&own[i]))
        };
        let kept: Vec<usize> = (0..own.len()).filter(|&i| held(i)).collect();
        let result: Vec<char> = kept.iter().map(|&i| own[i]).collect();
        let words = written(&terms, &result);
        let words = words.ok_or_else(|| t.unsupported(node, "more indices than letters"))?;
        let with = vec![("equation", Attribute::Text(words))];
        let d = t.op_with("Einsum", &inputs, with);
        let from: Vec<usize> = kept.iter().map(|&i| shapes[k][i]).collect();
        let one = |i: usize| if kept.contains(&i) { shapes[k][i] } else { 1 };
        let spread: Vec<usize> = (0..own.len()).map(one).collect();
        let d = reshaped(t, &d, &from, &spread);
        let d = t.expand(&d, &spread, &shapes[k]);
        t.add(operand, d);
    }
    Ok(())
}

fn reshaped(t: &mut Tape, x: &str, from: &[usize], to: &[usize]) -> String {
    if from == to {
        return x.to_string();
    }
    let shape = t.ints(&signed(to));
    t.op("Reshape", &[x, &shape])
}

/// The equation in letters of the alphabet.
fn written(terms: &[Vec<char>], result: &[char]) -> Option<String> {
    let mut used: Vec<char> = Vec::new();
    for &c in terms.iter().flatten().chain(result) {
        if !used.contains(&c) {
            used.push(c);
        }
    }
    let letters: Vec<char> = ('a'..='z').chain('A'..='Z').collect();
    let spell = |term: &[char]| -> Option<String> {
        let letter = |c: &char| letters.get(used.iter().position(|u| u == c)?).copied();
        term.iter().map(letter).collect()
    };
    let left = terms.iter().map(|term| spell(term)).collect::<Option<Vec<_>>>()?;
    Some(format!("{}->{}", left.join(","), spell(result)?))
}
