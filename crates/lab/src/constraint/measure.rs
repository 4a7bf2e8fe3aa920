//! The measure of violation, and in words what a row breaks.

use proofmark_schema::relation::{Comparison, Function, Operator};

use super::{At, Breach, Constraints, Expr, Rule, Truth};

impl Constraints {
    pub(super) fn total(&self, row: usize, x: &[f64], relative: bool) -> f64 {
        let rules = self.rules.iter().map(|rule| self.rule(rule, row, x, relative));
        let groups = self.groups.iter().map(|g| one_hot(&g.coordinates, x));
        rules.sum::<f64>() + groups.sum::<f64>() + self.over_limit(row, x, relative)
    }

    pub(super) fn rule(&self, rule: &Rule, row: usize, x: &[f64], relative: bool) -> f64 {
        if rule.unexamined.get(row).copied().unwrap_or(false) {
            return 0.0;
        }
        At { all: self, row, x }.measure(&rule.truth, true, relative)
    }

    pub(super) fn spent(&self, row: usize, x: &[f64]) -> f64 {
        let each = self.prices.iter().zip(x).enumerate().filter(|(_, (price, _))| **price > 0.0);
        each.map(|(at, (price, x))| {
            let cell = self.raw[row * self.dims + at];
            // A missing cell never moves.
            if cell.is_nan() { 0.0 } else { price * (x - cell).abs() }
        })
        .sum()
    }

    fn over_limit(&self, row: usize, x: &[f64], relative: bool) -> f64 {
        let Some(limit) = self.cost_limit else { return 0.0 };
        let spent = self.spent(row, x);
        if !spent.is_finite() {
            return NO_NUMBER;
        }
        let over = spent - limit;
        if over <= self.tolerance * limit.max(1.0) {
            0.0
        } else if relative {
            over / limit.max(1.0)
        } else {
            over
        }
    }
}

/// How far values are from exactly one 1 among 0s: `sum |x_i - h_i|`, with `h` the nearest
/// one-hot vector. A group with a missing value is not examined.
fn one_hot(coordinates: &[usize], x: &[f64]) -> f64 {
    if coordinates.iter().any(|&at| x[at].is_nan()) {
        return 0.0;
    }
    let top = greatest(coordinates, x);
    coordinates.iter().map(|&at| (x[at] - if at == top { 1.0 } else { 0.0 }).abs()).sum()
}

/// The coordinate with the greatest value, the first on ties.
pub(super) fn greatest(coordinates: &[usize], x: &[f64]) -> usize {
    let mut top = coordinates[0];
    for &at in coordinates {
        if x[at] > x[top] {
            top = at;
        }
    }
    top
}

impl At<'_> {
    /// Violation of a formula, or of its opposite where `wanted` is false.
    pub(super) fn measure(&self, truth: &Truth, wanted: bool, relative: bool) -> f64 {
        let of = |truth: &Truth, wanted: bool| self.measure(truth, wanted, relative);
        let sum = |parts: &[Truth]| parts.iter().map(|p| of(p, wanted)).sum::<f64>();
        let least =
            |parts: &[Truth]| parts.iter().map(|p| of(p, wanted)).fold(f64::INFINITY, f64::min);
        match truth {
            Truth::Compare(how, left, right) => {
                let how = if wanted { *how } else { opposite(*how) };
                self.compare(how, self.value(left), self.value(right), relative)
            }
            Truth::Settled(index) => match self.all.settled[*index][self.row] {
                Some(truth) if truth != wanted => TEXT_VIOLATION,
                _ => 0.0,
            },
            Truth::And(parts) => {
                if wanted {
                    sum(parts)
                } else {
                    least(parts)
                }
            }
            Truth::Or(parts) => {
                if wanted {
                    least(parts)
                } else {
                    sum(parts)
                }
            }
            Truth::Not(inner) => of(inner, !wanted),
            Truth::If(when, then, otherwise) if wanted => {
                let then = of(when, false).min(of(then, true));
                let other = |o: &Truth| of(when, true).min(of(o, true));
                then + otherwise.as_deref().map_or(0.0, other)
            }
            Truth::If(when, then, otherwise) => {
                let then = of(when, true) + of(then, false);
                let other = |o: &Truth| of(when, false) + of(o, false);
                then.min(otherwise.as_deref().map_or(f64::INFINITY, other))
            }
        }
    }

    fn compare(&self, how: Comparison, left: f64, right: f64, relative: bool) -> f64 {
        if !(left.is_finite() && right.is_finite()) {
            return NO_NUMBER;
        }
        let scale = left.abs().max(right.abs()).max(1.0);
        let slack = self.all.tolerance * scale;
        // An open comparison that misses by nothing is still no success.
        let open = |gap: f64| if gap < 0.0 { 0.0 } else { gap.max(f64::MIN_POSITIVE) };
        let closed = |gap: f64| if gap <= slack { 0.0 } else { gap };
        let violation = match how {
            Comparison::Equal => closed((left - right).abs()),
            Comparison::AtMost => closed(left - right),
            Comparison::AtLeast => closed(right - left),
            Comparison::NotEqual => open(slack - (left - right).abs()),
            Comparison::Less => open(left - right + slack),
            Comparison::Greater => open(right - left + slack),
        };
        if relative && violation > 0.0 {
            (violation / scale).max(f64::MIN_POSITIVE)
        } else {
            violation
        }
    }

    pub(super) fn value(&self, expr: &Expr) -> f64 {
        match expr {
            Expr::Number(number) => *number,
            Expr::Free(at) => self.x[*at],
            Expr::Fixed(column) => self.all.fixed[*column][self.row],
            Expr::Minus(inner) => -self.value(inner),
            Expr::Binary(operator, left, right) => {
                let (left, right) = (self.value(left), self.value(right));
                match operator {
                    Operator::Add => left + right,
                    Operator::Subtract => left - right,
                    Operator::Multiply => left * right,
                    Operator::Divide => left / right,
                    Operator::Power => left.powf(right),
                }
            }
            Expr::Call(function, arguments) => self.call(*function, arguments),
        }
    }

    /// `min` and `max` of something that is no number are no number either.
    fn call(&self, function: Function, arguments: &[Expr]) -> f64 {
        let mut values = arguments.iter().map(|a| self.value(a));
        let first = values.next().unwrap_or(f64::NAN);
        let fold = |better: fn(f64, f64) -> bool, values: &mut dyn Iterator<Item = f64>| {
            values.fold(first, |best, v| {
                if best.is_nan() || v.is_nan() {
                    f64::NAN
                } else if better(v, best) {
                    v
                } else {
                    best
                }
            })
        };
        match function {
            Function::Min => fold(|a, b| a < b, &mut values),
            Function::Max => fold(|a, b| a > b, &mut values),
            Function::Abs => first.abs(),
            Function::Floor => first.floor(),
            Function::Ceil => first.ceil(),
            Function::Sqrt => first.sqrt(),
            Function::Log => first.ln(),
            Function::Exp => first.exp(),
        }
    }

    /// The comparison that breaks a formula, in words.
    fn fault(&self, truth: &Truth, wanted: bool) -> Option<String> {
        let broken = |truth: &Truth, wanted: bool| self.measure(truth, wanted, false) > 0.0;
        if !broken(truth, wanted) {
            return None;
        }
        match truth {
            Truth::Compare(how, left, right) => {
                let how = if wanted { *how } else { opposite(*how) };
                Some(format!("{} {how} {}", self.value(left), self.value(right)))
            }
            Truth::Settled(_) => None,
            Truth::And(parts) | Truth::Or(parts) => {
                parts.iter().find_map(|part| self.fault(part, wanted))
            }
            Truth::Not(inner) => self.fault(inner, !wanted),
            Truth::If(when, then, otherwise) => {
                let applies = !broken(when, true);
                let part = if applies { Some(then) } else { otherwise.as_ref() };
                part.and_then(|part| self.fault(part, wanted))
            }
        }
    }
}

/// What a row of the data breaks as it stands.
pub(super) fn breaches(all: &Constraints, row: usize) -> Vec<Breach> {
    let x = &all.raw[row * all.dims..(row + 1) * all.dims];
    let at = At { all, row, x };
    let mut found = Vec::new();
    for rule in &all.rules {
        let violation = all.rule(rule, row, x, false);
        if violation > 0.0 {
            let words = at.fault(&rule.truth, true);
            let said = words.unwrap_or_else(|| "it does not hold".to_owned());
            found.push(Breach { rule: rule.text.clone(), found: said, violation });
        }
    }
    for group in &all.groups {
        let violation = one_hot(&group.coordinates, x);
        if violation > 0.0 {
            let values: Vec<String> =
                group.coordinates.iter().map(|&at| x[at].to_string()).collect();
            let rule = format!("one_hot.{}", group.name);
            found.push(Breach { rule, found: values.join(", "), violation });
        }
    }
    found
}

pub(super) fn opposite(how: Comparison) -> Comparison {
    match how {
        Comparison::Equal => Comparison::NotEqual,
        Comparison::NotEqual => Comparison::Equal,
        Comparison::Less => Comparison::AtLeast,
        Comparison::AtLeast => Comparison::Less,
        Comparison::AtMost => Comparison::Greater,
        Comparison::Greater => Comparison::AtMost,
    }
}

/// Violation of a comparison of texts: they have no distance.
const TEXT_VIOLATION: f64 = 1.0;

/// Violation where a side is no finite number: worse than any that can be measured in practice,
/// and sums of it stay finite.
pub(super) const NO_NUMBER: f64 = 1e30;
