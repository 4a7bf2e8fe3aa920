//! Relations evaluated: against a naive evaluator, against differences, and by hand.

use proofmark_dataset::table::Cells;
use proofmark_schema::relation::{Comparison, Formula, Function, Operator, Relation, Term};
use proofmark_schema::system;

use super::*;
use crate::stream::Stream;

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

/// Constraints over rows whose columns `a`, `b` ... are all free.
pub(crate) fn bound(data: &[Vec<f32>], relations: &[&str], limit: Option<f64>) -> Constraints {
    let declared = system::Constraints {
        relations: relations.iter().map(|r| Relation::parse(r).unwrap()).collect(),
        ..system::Constraints::default()
    };
    let dims = data[0].len();
    let columns: Vec<Cells> = (0..dims)
        .map(|i| Cells::Numbers(data.iter().map(|row| f64::from(row[i])).collect()))
        .collect();
    let coordinates: Vec<Coordinate> = NAMES[..dims]
        .iter()
        .enumerate()
        .map(|(i, name)| Coordinate { name: (*name).into(), price: i as f64 })
        .collect();
    let cells = |name: &str| columns.get(NAMES.iter().position(|n| *n == name)?);
    let rows = data.len();
    let ground = Ground { coordinates: &coordinates, rows, cells: &cells, cost_limit: limit };
    Constraints::bind(&declared, &ground).unwrap()
}

#[test]
fn the_measure_is_that_of_the_literature() {
    let all = |relation: &str| bound(&[vec![0.0; 5]], &[relation], None);
    // (relation, a, b, violation)
    let cases: [(&str, f32, f32, f64); 19] = [
        ("a <= b", 3.0, 5.0, 0.0),
        ("a <= b", 5.0, 3.0, 2.0),
        ("a >= b", 3.0, 5.0, 2.0),
        ("a = b", 3.0, 5.0, 2.0),
        ("a = b", 5.0, 5.0, 0.0),
        ("a < b", 3.0, 5.0, 0.0),
        ("a < b", 5.0, 3.0, 2.000005),
        ("a < b", 4.0, 4.0, 4e-6),
        ("a != b", 4.0, 4.0, 4e-6),
        ("a != b", 4.0, 5.0, 0.0),
        ("a <= 1 and b <= 2", 3.0, 5.0, 5.0),
        ("a <= 1 or b <= 2", 3.0, 5.0, 2.0),
        ("not (a <= 1 or b >= 2)", 3.0, 5.0, 3.000005),
        ("if a >= 1 then b <= 2", 3.0, 5.0, 2.000003),
        ("if a >= 1 then b <= 2", 0.0, 5.0, 0.0),
        ("if a >= 1 then b <= 2 else b >= 9", 0.0, 5.0, 1.0),
        ("a = b / 0", 1.0, 1.0, 1e30),
        ("max(a, b) - min(a, b) <= 1", 3.0, 5.0, 1.0),
        ("floor(a) = a and abs(b) ^ 2 = 25", 3.5, -5.0, 0.5),
    ];
    for (relation, a, b, wanted) in cases {
        let found = all(relation).violation(0, &[a, b, 0.0, 0.0, 0.0]);
        let near = (found - wanted).abs() <= 1e-9 * wanted.max(1.0);
        // Of the condition the nearer way out counts: `a >= 1` is left by 2, `b <= 2` met by 3.
        assert!(near, "{relation} at {a}, {b}: {found}, not {wanted}");
    }
}

#[test]
fn missing_cells_texts_and_columns_that_nobody_moves() {
    let purpose = Cells::Texts(vec![Some("car".into()), Some("tv".into()), None]);
    let age = Cells::Numbers(vec![30.0, f64::NAN, 50.0]);
    let amount = Cells::Numbers(vec![100.0, 200.0, 300.0]);
    let declared = system::Constraints {
        relations: ["if purpose = 'car' then amount <= 150", "amount <= age * 5"]
            .map(|r| Relation::parse(r).unwrap())
            .to_vec(),
        ..system::Constraints::default()
    };
    let coordinates = [Coordinate { name: "amount".into(), price: 2.5 }];
    let cells = |name: &str| match name {
        "purpose" => Some(&purpose),
        "age" => Some(&age),
        "amount" => Some(&amount),
        _ => None,
    };
    let ground = Ground { coordinates: &coordinates, rows: 3, cells: &cells, cost_limit: None };
    let all = Constraints::bind(&declared, &ground).unwrap();
    // (row, amount, violation): row 1 has no age, row 2 no purpose.
    let cases =
        [(0, 120.0, 0.0), (0, 200.0, 51.0), (1, 9999.0, 0.0), (2, 250.0, 0.0), (2, 251.0, 1.0)];
    for (row, amount, wanted) in cases {
        assert_eq!(all.violation(row, &[amount]), wanted, "row {row} at {amount}");
    }
    assert_eq!(all.unexamined(), 2);
    assert_eq!(all.cost(0, &[104.0]), 10.0);
    assert!(all.breaches(0).is_empty() && all.breaches(1).is_empty());
    let found = all.breaches(2);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].found.as_str(), found[0].violation), ("300 <= 250", 50.0));
    let unknown = system::Constraints {
        relations: vec![Relation::parse("nothing = 1").unwrap()],
        ..system::Constraints::default()
    };
    assert!(matches!(Constraints::bind(&unknown, &ground), Err(ConstraintError::NoColumn { .. })));
}

#[test]
fn repair_computes_what_follows_whatever_the_order_and_gives_up_on_circles() {
    let data = vec![vec![1.0, 2.0, 3.0, 0.0, 0.0]];
    // c builds on b, b on a; written the other way round.
    let all = bound(&data, &["c = b + 1", "b = a * 2", "if a > 5 then d = 7 else d = 0"], None);
    for (a, wanted) in [(1.0, [1.0, 2.0, 3.0, 0.0]), (6.0, [6.0, 12.0, 13.0, 7.0])] {
        let mut x = vec![a, 0.0, 0.0, 3.0, 0.0];
        all.repair(0, &mut x);
        assert_eq!(x[..4], wanted);
    }
    let circle = bound(&data, &["a = b + 1", "b = a + 1"], None);
    circle.repair(0, &mut [0.0; 5]);
    let grouped = system::Constraints {
        one_hot: vec![system::OneHot {
            name: "kind".into(),
            columns: vec!["a".into(), "b".into()],
        }],
        ..system::Constraints::default()
    };
    let columns = [Cells::Numbers(vec![1.0]), Cells::Numbers(vec![0.0])];
    let coordinates = ["a", "b"].map(|name| Coordinate { name: name.into(), price: 0.0 });
    let cells = |name: &str| columns.get(NAMES.iter().position(|n| *n == name)?);
    let ground = Ground { coordinates: &coordinates, rows: 1, cells: &cells, cost_limit: None };
    let all = Constraints::bind(&grouped, &ground).unwrap();
    let mut x = [0.4, 0.6];
    assert!(all.violation(0, &[0.4, 0.6]) > 0.0);
    all.repair(0, &mut x);
    assert_eq!(x, [0.0, 1.0]);
    assert_eq!(all.violation(0, &[0.0, 1.0]), 0.0);
    assert_eq!(all.violation(0, &[1.0, 1.0]), 1.0);
    assert_eq!(all.violation(0, &[0.0, 0.0]), 1.0);
}

#[test]
fn costs_are_limited() {
    // Prices are 0, 1, 2 ... per unit of a, b, c.
    let all = bound(&[vec![1.0, 1.0, 1.0]], &[], Some(5.0));
    for (x, cost, violation) in
        [([9.0, 6.0, 1.0], 5.0, 0.0), ([1.0, 3.0, 4.0], 8.0, 3.0), ([1.0, -4.0, 1.0], 5.0, 0.0)]
    {
        assert_eq!((all.cost(0, &x), all.violation(0, &x)), (cost, violation), "{x:?}");
    }
}

/// A formula drawn at random.
fn formula(stream: &mut Stream, depth: usize) -> Formula {
    let how = [
        Comparison::Equal,
        Comparison::NotEqual,
        Comparison::Less,
        Comparison::AtMost,
        Comparison::Greater,
        Comparison::AtLeast,
    ][stream.below(6)];
    let boxed = |f: Formula| Box::new(f);
    match if depth == 0 { 0 } else { stream.below(6) } {
        1 => Formula::and(vec![formula(stream, depth - 1), formula(stream, depth - 1)]),
        2 => Formula::or(vec![formula(stream, depth - 1), formula(stream, depth - 1)]),
        3 => Formula::Not(boxed(formula(stream, depth - 1))),
        4 => Formula::If {
            when: boxed(formula(stream, depth - 1)),
            then: boxed(formula(stream, depth - 1)),
            otherwise: (stream.below(2) == 0).then(|| boxed(formula(stream, depth - 1))),
        },
        _ => Formula::Compare { how, left: term(stream, 2), right: term(stream, 2) },
    }
}

fn term(stream: &mut Stream, depth: usize) -> Term {
    let operators =
        [Operator::Add, Operator::Subtract, Operator::Multiply, Operator::Divide, Operator::Power];
    let one = [Function::Abs, Function::Floor, Function::Ceil, Function::Sqrt, Function::Exp];
    match if depth == 0 { stream.below(2) } else { stream.below(6) } {
        0 => Term::Number(stream.below(4) as f64),
        1 | 2 => {
            let text = NAMES[stream.below(5)].to_owned();
            Term::Column(proofmark_schema::relation::Name { text, span: 0..0 })
        }
        3 => Term::Minus(Box::new(term(stream, depth - 1))),
        4 => {
            let (a, b) = (term(stream, depth - 1), term(stream, depth - 1));
            Term::Binary(operators[stream.below(5)], Box::new(a), Box::new(b))
        }
        _ if stream.below(2) == 0 => {
            Term::Call(one[stream.below(5)], vec![term(stream, depth - 1)])
        }
        _ => {
            let many = [Function::Min, Function::Max][stream.below(2)];
            Term::Call(many, vec![term(stream, depth - 1), term(stream, depth - 1)])
        }
    }
}

/// Truth of a formula, written down without measuring anything.
fn holds(formula: &Formula, x: &[f64]) -> Option<bool> {
    Some(match formula {
        Formula::Compare { how, left, right } => {
            let (l, r) = (number(left, x), number(right, x));
            if !(l.is_finite() && r.is_finite()) {
                return None;
            }
            let same = (l - r).abs() <= system::TOLERANCE * l.abs().max(r.abs()).max(1.0);
            match how {
                Comparison::Equal => same,
                Comparison::NotEqual => !same,
                Comparison::Less => l < r && !same,
                Comparison::AtMost => l < r || same,
                Comparison::Greater => l > r && !same,
                Comparison::AtLeast => l > r || same,
            }
        }
        Formula::And(parts) => {
            let all: Option<Vec<bool>> = parts.iter().map(|p| holds(p, x)).collect();
            all?.iter().all(|t| *t)
        }
        Formula::Or(parts) => {
            let all: Option<Vec<bool>> = parts.iter().map(|p| holds(p, x)).collect();
            all?.iter().any(|t| *t)
        }
        Formula::Not(inner) => !holds(inner, x)?,
        Formula::If { when, then, otherwise } => {
            let (when, then) = (holds(when, x)?, holds(then, x)?);
            let otherwise = match otherwise {
                Some(otherwise) => holds(otherwise, x)?,
                None => true,
            };
            if when { then } else { otherwise }
        }
    })
}

fn number(term: &Term, x: &[f64]) -> f64 {
    match term {
        Term::Number(n) => *n,
        Term::Text(_) => f64::NAN,
        Term::Column(name) => x[NAMES.iter().position(|n| *n == name.text).unwrap()],
        Term::Minus(t) => -number(t, x),
        Term::Binary(o, a, b) => {
            let (a, b) = (number(a, x), number(b, x));
            match o {
                Operator::Add => a + b,
                Operator::Subtract => a - b,
                Operator::Multiply => a * b,
                Operator::Divide => a / b,
                Operator::Power => a.powf(b),
            }
        }
        Term::Call(f, args) => {
            let v: Vec<f64> = args.iter().map(|a| number(a, x)).collect();
            if v.iter().any(|v| v.is_nan()) {
                return f64::NAN;
            }
            match f {
                Function::Min => v.iter().copied().fold(f64::INFINITY, f64::min),
                Function::Max => v.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                Function::Abs => v[0].abs(),
                Function::Floor => v[0].floor(),
                Function::Ceil => v[0].ceil(),
                Function::Sqrt => v[0].sqrt(),
                Function::Log => v[0].ln(),
                Function::Exp => v[0].exp(),
            }
        }
    }
}

#[test]
fn nothing_is_violated_exactly_where_the_relation_holds() {
    let mut stream = Stream::new(9, "t", "naive", 0, 0);
    let (mut right, mut wrong) = (0, 0);
    for _ in 0..3000 {
        let formula = formula(&mut stream, 3);
        let all = bound(&[vec![0.5; 5]], &[&formula.to_string()], None);
        for _ in 0..4 {
            // Halves, so that sides are often equal.
            let x: Vec<f32> = (0..5).map(|_| stream.below(9) as f32 / 2.0 - 2.0).collect();
            let wide: Vec<f64> = x.iter().map(|&v| f64::from(v)).collect();
            let (found, relative) = (all.violation(0, &x), all.violation_relative(0, &x));
            assert!(found >= 0.0 && relative >= 0.0, "{formula} at {x:?}: {found}");
            assert_eq!(found == 0.0, relative == 0.0, "{formula} at {x:?}: {found} {relative}");
            let Some(truth) = holds(&formula, &wide) else { continue };
            assert_eq!(found == 0.0, truth, "{formula} at {x:?}: {found}");
            if truth { right += 1 } else { wrong += 1 }
        }
    }
    assert!(right > 1000 && wrong > 1000, "{right} hold, {wrong} do not: tells nothing");
}

#[test]
fn the_slope_is_that_of_differences() {
    let relations = [
        "a * b <= c",
        "a / b = c + d",
        "if a > 1 then sqrt(b) >= c else d = e",
        "max(a, b, c) <= 1 or d ^ 2 <= 0.5",
        "not (a + b >= c and d <= e)",
        "abs(a - b) + exp(c) <= log(d) ",
        "-a >= min(b, c * d)",
    ];
    let mut stream = Stream::new(4, "t", "slope", 0, 0);
    let (mut compared, mut descended) = (0, 0);
    for relation in relations {
        let all = bound(&[vec![9.0; 5]], &[relation], None);
        for _ in 0..100 {
            let x: Vec<f32> = (0..5).map(|_| (0.02 + 1.5 * stream.unit()) as f32).collect();
            let mut slope = vec![0.0; 5];
            all.slope(0, &x, &mut slope);
            let wide: Vec<f64> = x.iter().map(|&v| f64::from(v)).collect();
            let at = |i: usize, step: f64| {
                let mut moved = wide.clone();
                moved[i] += step;
                all.total(0, &moved, true)
            };
            let whole = all.total(0, &wide, true);
            if whole < 1e-3 {
                continue;
            }
            // Where every side is below 1 the scale is constant: differences are the slope.
            let plain = (whole - all.total(0, &wide, false)).abs() < 1e-12;
            for (i, slope) in slope.iter().enumerate().filter(|_| plain) {
                let (left, right) = ((whole - at(i, -1e-6)) / 1e-6, (at(i, 1e-6) - whole) / 1e-6);
                if (left - right).abs() > 1e-3 * left.abs().max(1.0) {
                    continue;
                }
                let close = (slope - right).abs() <= 1e-3 * right.abs().max(1.0);
                assert!(close, "{relation} at {x:?}, {i}: {slope} {right}");
                compared += 1;
            }
            let length = slope.iter().map(|s| s * s).sum::<f64>();
            if length > 0.0 {
                let down = wide.iter().zip(&slope).map(|(x, s)| x - 1e-4 * s / length.sqrt());
                // A step may raise what the violation is divided by, never the violation itself.
                let down = down.collect::<Vec<_>>();
                let lower = [true, false]
                    .map(|relative| all.total(0, &down, relative) < all.total(0, &wide, relative));
                assert!(lower.contains(&true), "{relation} at {x:?} by {slope:?}");
                descended += 1;
            }
        }
    }
    assert!(compared > 300 && descended > 300, "{compared} compared, {descended} descended");
}

#[test]
fn violations_are_those_of_python() {
    #[derive(serde::Deserialize)]
    struct Golden {
        columns: Vec<String>,
        relations: Vec<String>,
        rows: Vec<Vec<f64>>,
        violations: Vec<Vec<f64>>,
    }
    let golden: Golden =
        serde_json::from_str(include_str!("../../tests/golden/constraints.json")).unwrap();
    let columns: Vec<Cells> = (0..golden.columns.len())
        .map(|i| Cells::Numbers(golden.rows.iter().map(|row| row[i]).collect()))
        .collect();
    let declared = system::Constraints {
        relations: golden.relations.iter().map(|r| Relation::parse(r).unwrap()).collect(),
        ..system::Constraints::default()
    };
    let coordinates: Vec<Coordinate> =
        golden.columns.iter().map(|n| Coordinate { name: n.clone(), price: 0.0 }).collect();
    let cells = |name: &str| columns.get(golden.columns.iter().position(|n| n == name)?);
    let rows = golden.rows.len();
    let ground = Ground { coordinates: &coordinates, rows, cells: &cells, cost_limit: None };
    let all = Constraints::bind(&declared, &ground).unwrap();
    for (row, (cells, wanted)) in golden.rows.iter().zip(&golden.violations).enumerate() {
        let x: Vec<f32> = cells.iter().map(|&v| v as f32).collect();
        for (at, &wanted) in wanted.iter().enumerate() {
            let found = all.violation_of(at, row, &x);
            // Roots and powers may differ in the last digit between libraries.
            let near = (found - wanted).abs() <= 1e-9 * wanted.abs().max(1.0);
            let same = (found == 0.0) == (wanted == 0.0);
            assert!(near && same, "row {row}, `{}`: {found} {wanted}", golden.relations[at]);
        }
        assert_eq!(all.breaches(row).len(), wanted.iter().filter(|v| **v > 0.0).count());
    }
}
