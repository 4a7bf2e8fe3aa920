//! `Einsum`: sums of products by index letters.
//!
//! Owns the reading of equations, which the reverse pass shares, and the plain loops over them.
//! Called by the registry and by `autodiff`.

use super::float::Float;
use super::op::{
    Args, Kernel, OpError, Spec, float_dispatch, misshapen, strides, tensor, volume, wrong,
};
use crate::value::{Tensor, Value};

/// An equation: letters per operand and of the result. The letters of an ellipsis are
/// [`ELLIPSIS`] and what follows it in the code points.
#[derive(Clone, Debug, PartialEq)]
pub struct Equation {
    /// Letters of each operand; `...` is one entry.
    pub operands: Vec<Vec<char>>,
    /// Letters of the result.
    pub result: Vec<char>,
}

/// Stands for `...` until the ranks are known.
const DOTS: char = '.';
/// First of the letters that the dimensions of an ellipsis get; outside the alphabet.
const ELLIPSIS: u32 = 0x100;

/// `Einsum`
pub fn einsum(spec: &Spec) -> Result<Kernel, OpError> {
    let text = spec.text("equation")?.ok_or_else(|| wrong("equation", "is missing"))?;
    let equation = Equation::parse(text)?;
    Ok(Box::new(move |args| float_dispatch!(0, args.required(0)?, x => of(x, args, &equation))))
}

fn of<T: Float>(
    first: &Tensor<T>,
    args: &Args,
    equation: &Equation,
) -> Result<Vec<Value>, OpError> {
    let mut operands = vec![first];
    for i in 1..args.count() {
        operands.push(args.float::<T>(i)?);
    }
    let shapes: Vec<Vec<usize>> = operands.iter().map(|t| t.shape().to_vec()).collect();
    let equation = equation.spelled(&shapes)?;
    let sizes = equation.sizes(&shapes)?;
    let size = |c: char| sizes.iter().find(|(k, _)| *k == c).map_or(1, |(_, n)| *n);
    let mut letters = equation.result.clone();
    let shape: Vec<usize> = letters.iter().map(|&c| size(c)).collect();
    let summed = sizes.iter().map(|(c, _)| *c).filter(|c| !equation.result.contains(c));
    letters.extend(summed.collect::<Vec<_>>());
    let all: Vec<usize> = letters.iter().map(|&c| size(c)).collect();
    let work = all.iter().try_fold(1usize, |a, &d| a.checked_mul(d));
    if work.is_none_or(|w| w > WORK_MAX) {
        return Err(OpError::Value(format!("an equation over {all:?} cells")));
    }
    let steps: Vec<Vec<usize>> = equation
        .operands
        .iter()
        .zip(&shapes)
        .map(|(own, shape)| {
            let strides = strides(shape);
            let step = |c: char| -> usize {
                let hits = own.iter().zip(shape).zip(&strides);
                // A dimension of 1 is stretched; a letter given twice walks the diagonal.
                hits.filter(|((k, n), _)| **k == c && **n != 1).map(|(_, s)| *s).sum()
            };
            letters.iter().map(|&c| step(c)).collect()
        })
        .collect();
    let mut out = vec![T::ZERO; volume(&shape)?];
    let inner: usize = all[shape.len()..].iter().product();
    let mut index = vec![0usize; all.len()];
    let mut at = vec![0usize; operands.len()];
    for cell in &mut out {
        let mut total = T::ZERO;
        for _ in 0..inner {
            let parts = operands.iter().zip(&at).map(|(t, &o)| t.data()[o]);
            total += parts.fold(T::ONE, |a, b| a * b);
            advance(&mut index, &all, &steps, &mut at);
        }
        *cell = total;
    }
    Ok(vec![T::wrap(tensor(shape, out)?)])
}

/// The next index in row-major order, and the offsets that follow from it.
fn advance(index: &mut [usize], all: &[usize], steps: &[Vec<usize>], at: &mut [usize]) {
    for d in (0..index.len()).rev() {
        index[d] += 1;
        for (o, s) in at.iter_mut().zip(steps) {
            *o += s[d];
        }
        if index[d] < all[d] {
            return;
        }
        for (o, s) in at.iter_mut().zip(steps) {
            *o -= s[d] * all[d];
        }
        index[d] = 0;
    }
}

/// The shape of the result for operands of these shapes.
///
/// # Errors
/// As the kernel.
pub fn result(equation: &str, shapes: &[Vec<usize>]) -> Result<Vec<usize>, OpError> {
    let equation = Equation::parse(equation)?.spelled(shapes)?;
    let sizes = equation.sizes(shapes)?;
    let size = |c: &char| sizes.iter().find(|(k, _)| k == c).map_or(1, |(_, n)| *n);
    Ok(equation.result.iter().map(size).collect())
}

impl Equation {
    /// Reads an equation.
    ///
    /// # Errors
    /// Anything but letters, one `...` per operand, commas and one arrow.
    pub fn parse(text: &str) -> Result<Self, OpError> {
        let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let bad = || wrong("equation", format!("`{text}` is not an equation"));
        let (left, right) = match text.split_once("->") {
            Some((l, r)) => (l, Some(r)),
            None => (text.as_str(), None),
        };
        let letters = |term: &str| -> Result<Vec<char>, OpError> {
            let plain = term.replacen("...", ".", 1);
            let good = plain.chars().all(|c| c.is_ascii_alphabetic() || c == DOTS)
                && plain.chars().filter(|&c| c == DOTS).count() <= 1
                && plain.len() <= LETTERS_MAX;
            if good { Ok(plain.chars().collect()) } else { Err(bad()) }
        };
        let operands = left.split(',').map(letters).collect::<Result<Vec<_>, _>>()?;
        let result = match right {
            Some(term) => letters(term)?,
            None => {
                // Letters that occur once, in the order of the alphabet, the ellipsis first.
                let all: Vec<char> = operands.iter().flatten().copied().collect();
                let mut once: Vec<char> = all
                    .iter()
                    .copied()
                    .filter(|c| *c == DOTS || all.iter().filter(|k| *k == c).count() == 1)
                    .collect();
                once.sort_unstable();
                once.dedup();
                once
            }
        };
        let mut seen = result.clone();
        seen.sort_unstable();
        seen.dedup();
        let held = |c: &char| *c == DOTS || operands.iter().any(|o| o.contains(c));
        if seen.len() != result.len() || !result.iter().all(held) {
            return Err(bad());
        }
        Ok(Self { operands, result })
    }

    /// The equation with a letter for each dimension behind an ellipsis.
    ///
    /// # Errors
    /// Ranks that do not fit the letters.
    pub fn spelled(&self, shapes: &[Vec<usize>]) -> Result<Self, OpError> {
        if shapes.len() != self.operands.len() {
            return Err(misshapen(format!(
                "{} operands for an equation of {}",
                shapes.len(),
                self.operands.len()
            )));
        }
        let mut widest = 0;
        let mut operands = Vec::new();
        for (own, shape) in self.operands.iter().zip(shapes) {
            let plain = own.iter().filter(|c| **c != DOTS).count();
            let rest = shape.len().checked_sub(plain).filter(|&r| r == 0 || own.contains(&DOTS));
            let rest = rest.ok_or_else(|| {
                misshapen(format!("an operand of shape {shape:?} for {plain} letters"))
            })?;
            widest = widest.max(rest);
            operands.push((own, rest));
        }
        let spell = |own: &[char], rest: usize| -> Vec<char> {
            let dots = (widest - rest..widest).filter_map(|i| char::from_u32(ELLIPSIS + i as u32));
            let dots: Vec<char> = dots.collect();
            own.iter().flat_map(|&c| if c == DOTS { dots.clone() } else { vec![c] }).collect()
        };
        Ok(Self {
            operands: operands.iter().map(|(own, rest)| spell(own, *rest)).collect(),
            result: spell(&self.result, widest),
        })
    }

    /// The size of every letter of a spelled equation, in order of appearance.
    ///
    /// # Errors
    /// A letter of two sizes of which none is 1.
    pub fn sizes(&self, shapes: &[Vec<usize>]) -> Result<Vec<(char, usize)>, OpError> {
        let mut sizes: Vec<(char, usize)> = Vec::new();
        for (own, shape) in self.operands.iter().zip(shapes) {
            for (&c, &n) in own.iter().zip(shape) {
                match sizes.iter_mut().find(|(k, _)| *k == c) {
                    None => sizes.push((c, n)),
                    Some((_, known)) if *known == n || n == 1 => {}
                    Some((_, known)) if *known == 1 => *known = n,
                    Some((_, known)) => {
                        return Err(misshapen(format!("an index of sizes {known} and {n}")));
                    }
                }
            }
        }
        Ok(sizes)
    }
}

/// Letters of one term: no tensor has more dimensions.
const LETTERS_MAX: usize = 64;
/// Products in one equation: beyond it the plain loops would run for minutes.
const WORK_MAX: usize = 1 << 32;
