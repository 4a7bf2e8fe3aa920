//! Properties as text, and what they become.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};

use super::*;

const BOX: &str = "(declare-const X_0 Real)(declare-const X_1 Real)\n\
    (declare-const Y_0 Real)(declare-const Y_1 Real)\n\
    (assert (<= X_0 1)) (assert (>= X_0 -0.5)) ; a comment\n\
    (assert (and (<= X_1 0.25) (>= X_1 0.25)))\n";

fn with(more: &str) -> Result<Property, VnnlibError> {
    read(format!("{BOX}{more}").as_bytes())
}

/// `(terms as text, constant, strict)` of the constraints of each case.
fn shown(property: &Property) -> Vec<Vec<(String, f64, bool)>> {
    let one = |c: &Constraint| {
        let terms = c.terms.iter().map(|(v, n)| format!("{}*{v}", n.below)).collect::<Vec<_>>();
        (terms.join("+"), c.constant.below, c.strict)
    };
    property.cases.iter().map(|case| case.constraints.iter().map(one).collect()).collect()
}

#[test]
fn formulas_become_cases() {
    let row = |terms: &str, constant, strict| (terms.to_string(), constant, strict);
    let less = || row("1*Y_0+-1*Y_1", 0.0, false);
    let table = [
        ("", vec![vec![]]),
        ("(assert (<= Y_0 Y_1))", vec![vec![less()]]),
        ("(assert (>= Y_1 Y_0))", vec![vec![less()]]),
        ("(assert (not (> Y_0 Y_1)))", vec![vec![less()]]),
        ("(assert (not (<= Y_0 2)))", vec![vec![row("-1*Y_0", 2.0, true)]]),
        (
            "(assert (or (<= Y_0 Y_1) (and (<= Y_0 2) (>= Y_0 1))))",
            vec![vec![less()], vec![row("1*Y_0", -2.0, false), row("-1*Y_0", 1.0, false)]],
        ),
        (
            "(assert (not (and (<= Y_0 Y_1) (<= Y_0 2))))",
            vec![vec![row("-1*Y_0+1*Y_1", 0.0, true)], vec![row("-1*Y_0", 2.0, true)]],
        ),
        (
            "(assert (=> (<= Y_0 2) (<= Y_0 Y_1)))",
            vec![vec![row("-1*Y_0", 2.0, true)], vec![less()]],
        ),
        ("(assert (<= (+ (* 2 Y_0) (- 3) (- Y_1)) (* Y_1 0.5)))", {
            vec![vec![row("2*Y_0+-1.5*Y_1", -3.0, false)]]
        }),
        ("(assert (<= (+ X_0 X_1) Y_0))", vec![vec![row("1*X_0+1*X_1+-1*Y_0", 0.0, false)]]),
        ("(assert (or (<= 2 1) (<= Y_0 Y_1)))", vec![vec![less()]]),
        ("(assert (or (and (<= X_0 -1) (>= Y_0 2)) (<= Y_0 Y_1)))", vec![vec![less()]]),
        ("(assert false)", vec![]),
        ("(assert (<= (- Y_0 Y_0) 0))", vec![vec![]]),
    ];
    for (text, cases) in table {
        assert_eq!(shown(&with(text).unwrap()), cases, "{text}");
    }
}

#[test]
fn boxes_of_alternatives_stay_apart() {
    let text = "(assert (or (and (<= X_0 0) (<= Y_0 0)) (and (>= (* 2 X_0) 1) (>= Y_0 3))))";
    let property = with(text).unwrap();
    let ends = |case: &Case| (case.lower[0].below, case.upper[0].above);
    assert_eq!(property.cases.iter().map(ends).collect::<Vec<_>>()[0], (-0.5, 0.0));
    let (low, high) = ends(&property.cases[1]);
    assert!(low <= 0.5 && low > 0.499_999 && high == 1.0, "{low} {high}");
    assert_eq!((property.inputs, property.outputs), (2, 2));
    assert_eq!(property.cases[0].lower[1], Number::exact(0.25));
}

#[test]
fn decimals_are_enclosed_and_doubles_stay_exact() {
    for text in ["0", "-0.0", "0.5", "1e3", "-2.5e-1", "0.100000001490116119384765625", "+7", ".5"]
    {
        let number = Number::literal(text).unwrap();
        assert_eq!(number, Number::exact(text.parse().unwrap()), "{text}");
    }
    for text in ["0.1", "0.029999999329447746", "1e-300", "123456789012345678901"] {
        let number = Number::literal(text).unwrap();
        let value: f64 = text.parse().unwrap();
        assert!(number.below < value && value < number.above, "{text}");
        assert_eq!(number.below.next_up(), value);
    }
    for text in ["", "-", ".", "1e", "0x1", "1_0", "inf", "nan", "1e999", "1.2.3", "--1"] {
        assert_eq!(Number::literal(text), None, "{text}");
    }
    let tenth = Number::literal("0.1").unwrap();
    let third = tenth.plus(tenth).and_then(|n| n.plus(tenth)).unwrap();
    assert!(third.below < 0.3 && third.above > 0.3);
    assert_eq!(Number::exact(0.5).plus(Number::exact(0.25)), Some(Number::exact(0.75)));
    assert_eq!(Number::exact(1.0).over(tenth.plus(tenth.negated()).unwrap()), None);
}

#[test]
fn bad_text_is_refused_with_its_place() {
    let table = [
        ("(assert (<= Y_0 Y_2))", "Y_2 is missing"),
        ("(assert (<= Y_0 z))", "line 5, column 17: `z` is neither"),
        ("(assert (<= Y_0 (* Y_0 Y_1)))", "line 5, column 18: a product of two variables"),
        ("(assert (<= Y_0 (sin Y_1)))", "the operator `sin`"),
        ("(assert (xor (<= Y_0 1) (<= Y_1 1)))", "the operator `xor`"),
        ("(assert (<= Y_0 1)", "the text ends where"),
        ("(assert (<= Y_0 1 2))", "`)` is wanted"),
        ("(push 1)", "the command `push`"),
        ("assert", "a command in brackets"),
        ("(declare-const Z_0 Real)", "neither X_i nor Y_j"),
        ("(declare-const X_00 Real)", "neither X_i nor Y_j"),
        ("(declare-const Y_1 Real)", "declared twice"),
        ("(declare-const X_2 Int)", "the sort `Int`"),
        ("(declare-const X_7 Real)", "X_2 is missing"),
        ("(declare-const X_2 Real)", "X_2 has no lower bound"),
        ("(assert (<= Y_0 |a b|))", "quoted names"),
        ("(assert (<= Y_0 \u{e9}))", "a character that"),
        ("(assert (<= Y_0 (+)))", "has no operand"),
        ("(assert (<= Y_0 (+ 1e308 1e308)))", "beyond the range"),
    ];
    for (text, part) in table {
        let error = with(text).unwrap_err().to_string();
        assert!(error.contains(part), "{text}: {error}");
    }
    assert!(read(b"").unwrap_err().to_string().contains("no input"));
}

#[test]
fn limits_hold() {
    let deep = format!("(assert {}(<= Y_0 1){})", "(not ".repeat(80), ")".repeat(80));
    assert!(with(&deep).unwrap_err().to_string().contains("deeper than 64"));
    // every assertion doubles the alternatives
    let either = "(assert (or (<= Y_0 1) (<= Y_1 1)))";
    assert_eq!(with(&either.repeat(5)).unwrap().cases.len(), 32);
    let error = with(&either.repeat(40)).unwrap_err();
    assert!(matches!(error, VnnlibError::TooMany(_)), "{error}");
}

#[test]
fn gzip_is_seen_by_content() {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(BOX.as_bytes()).unwrap();
    assert_eq!(read(&encoder.finish().unwrap()), read(BOX.as_bytes()));
}
