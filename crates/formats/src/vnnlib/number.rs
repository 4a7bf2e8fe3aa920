//! A decimal as the two doubles that enclose it.
//!
//! Owns the arithmetic on such pairs: results enclose the exact result, and an exact double stays
//! one. Must never widen what is exact: a box that is a point would then hold no point.

/// An exact real number `x` with `below <= x <= above`; equal where `x` is a double.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Number {
    /// Largest known double that is not above.
    pub below: f64,
    /// Smallest known double that is not below.
    pub above: f64,
}

impl Number {
    /// A double.
    pub fn exact(value: f64) -> Self {
        Self { below: value, above: value }
    }

    /// A decimal literal, e.g. `-0.5` or `1e-5`; `None` for anything else and beyond the range
    /// of doubles.
    pub fn literal(text: &str) -> Option<Self> {
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
            Some(at) => (unsigned.get(..at)?, unsigned.get(at + 1..)?.parse::<i64>().ok()?),
            None => (unsigned, 0),
        };
        let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digit = |c: char| c.is_ascii_digit();
        if (whole.is_empty() && part.is_empty()) || !whole.chars().chain(part.chars()).all(digit) {
            return None;
        }
        let value: f64 = text.parse().ok()?;
        if !value.is_finite() {
            return None;
        }
        let digits: String = whole.chars().chain(part.chars()).collect();
        let scale = exponent.checked_sub(i64::try_from(part.len()).ok()?)?;
        Some(if is_double(&digits, scale) { Self::exact(value) } else { Self::around(value) })
    }

    /// A rounded value whose exact value is less than one step of a double away.
    fn around(value: f64) -> Self {
        Self { below: value.next_down(), above: value.next_up() }
    }

    /// Whether it is nought.
    pub fn is_zero(&self) -> bool {
        self.below == 0.0 && self.above == 0.0
    }

    /// `-x`.
    #[must_use]
    pub fn negated(self) -> Self {
        Self { below: -self.above, above: -self.below }
    }

    /// `x + y`; `None` beyond the range of doubles.
    pub fn plus(self, other: Self) -> Option<Self> {
        let below = sum(self.below, other.below);
        let above = sum(self.above, other.above);
        Self::finite(below.0, above.1)
    }

    /// `x * y`; `None` beyond the range of doubles.
    pub fn times(self, other: Self) -> Option<Self> {
        let ends = [
            product(self.below, other.below),
            product(self.below, other.above),
            product(self.above, other.below),
            product(self.above, other.above),
        ];
        let below = ends.iter().fold(f64::INFINITY, |low, end| low.min(end.0));
        let above = ends.iter().fold(f64::NEG_INFINITY, |high, end| high.max(end.1));
        Self::finite(below, above)
    }

    /// `x / y`; `None` where `y` can be nought or the result is beyond the range of doubles.
    pub fn over(self, other: Self) -> Option<Self> {
        if other.below <= 0.0 && other.above >= 0.0 {
            return None;
        }
        if other == Self::exact(1.0) || other == Self::exact(-1.0) {
            return self.times(other);
        }
        let ends = [
            self.below / other.below,
            self.below / other.above,
            self.above / other.below,
            self.above / other.above,
        ];
        let below = ends.iter().fold(f64::INFINITY, |low, end| low.min(*end));
        let above = ends.iter().fold(f64::NEG_INFINITY, |high, end| high.max(*end));
        Self::finite(below.next_down(), above.next_up())
    }

    fn finite(below: f64, above: f64) -> Option<Self> {
        (below.is_finite() && above.is_finite()).then_some(Self { below, above })
    }
}

/// A sum, rounded down and up (the error of the rounded sum is a double: Knuth's two-sum).
fn sum(a: f64, b: f64) -> (f64, f64) {
    let s = a + b;
    let t = s - a;
    let error = (a - (s - t)) + (b - t);
    bracket(s, error)
}

/// A product, rounded down and up. Near the smallest doubles the error is no double: widened.
fn product(a: f64, b: f64) -> (f64, f64) {
    let p = a * b;
    if a == 0.0 || b == 0.0 {
        return (0.0, 0.0);
    }
    if p.abs() < SMALL {
        return (p.next_down(), p.next_up());
    }
    bracket(p, a.mul_add(b, -p))
}

fn bracket(value: f64, error: f64) -> (f64, f64) {
    match error.partial_cmp(&0.0) {
        Some(std::cmp::Ordering::Equal) => (value, value),
        Some(std::cmp::Ordering::Less) => (value.next_down(), value),
        Some(std::cmp::Ordering::Greater) => (value, value.next_up()),
        None => (f64::NEG_INFINITY, f64::INFINITY),
    }
}

/// Whether `digits * 10^scale` is surely a normal double: with `d = digits` without trailing
/// noughts, `d * 10^s` needs the significant bits of `d * 5^s`, and for `s < 0` is a binary
/// fraction only where `5^-s` divides `d`.
fn is_double(digits: &str, scale: i64) -> bool {
    let kept = digits.trim_start_matches('0').trim_end_matches('0');
    if kept.is_empty() {
        return true;
    }
    let Ok(dropped) = i64::try_from(digits.len() - digits.trim_end_matches('0').len()) else {
        return false;
    };
    let (Ok(d), Some(s)) = (kept.parse::<u128>(), scale.checked_add(dropped)) else { return false };
    if !(-EXPONENT_MAX..=EXPONENT_MAX).contains(&s) {
        return false;
    }
    let Some(power) = 5_u128.checked_pow(s.unsigned_abs() as u32) else { return false };
    let odd = match s < 0 {
        true if d % power != 0 => return false,
        true => Some(d / power),
        false => d.checked_mul(power),
    };
    odd.is_some_and(|m| m >> m.trailing_zeros().min(127) < 1 << 53)
}

/// Decimal exponents for which the exact test is made: far from the ends of the range of doubles.
const EXPONENT_MAX: i64 = 55;
/// Below it the error of a product may itself be rounded.
const SMALL: f64 = 1e-290;
