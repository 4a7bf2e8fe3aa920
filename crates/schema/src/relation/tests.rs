//! Syntax, types and the round trip of relations.

use proptest::prelude::*;

use super::*;

fn parsed(text: &str) -> Formula {
    Relation::parse(text).unwrap_or_else(|e| panic!("{text}: {e}")).formula
}

#[test]
fn precedence_is_that_of_arithmetic_and_logic() {
    // (written, with every parenthesis)
    let cases = [
        ("a + b * c = d", "a + (b * c) = d"),
        ("a - b - c = d", "((a - b) - c) = d"),
        ("-a ^ 2 = d", "-((a ^ 2)) = d"),
        ("a ^ b ^ c = d", "(a ^ (b ^ c)) = d"),
        ("a ^ -2 = d", "a ^ (-(2)) = d"),
        ("a = 1 or b = 2 and not c = 3", "(a = 1) or ((b = 2) and (not (c = 3)))"),
        ("if a = 1 then b = 2 or c = 3", "if (a = 1) then ((b = 2) or (c = 3))"),
        ("if a=1 then if b=2 then c=3 else d=4", "if (a=1) then (if (b=2) then (c=3) else (d=4))"),
        ("0 <= a < b", "(0 <= a) and (a < b)"),
        ("(a = 1 and b = 2) and c = 3", "a = 1 and b = 2 and c = 3"),
        ("x == y", "x = y"),
        ("`x` = min(y, 2, abs(z))", "x = min((y), 2, (abs(z)))"),
    ];
    for (written, plain) in cases {
        assert_eq!(parsed(written), parsed(plain), "{written}");
        let printed = parsed(written).to_string();
        assert_eq!(parsed(&printed), parsed(written), "{written} printed as {printed}");
    }
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    // (text, where, words of the message)
    let cases: [(&str, usize, &str); 22] = [
        ("", 0, "ends too early"),
        ("a <=", 4, "ends too early"),
        ("a", 0, "comparison is needed"),
        ("a + (b = c) = 1", 4, "number is needed"),
        ("(a <= b", 0, "`)` is missing"),
        ("a <= b)", 6, "does not belong"),
        ("a <= b c", 7, "does not belong"),
        ("if a = 1 b = 2", 9, "`then` is missing"),
        ("a = \"x", 4, "without an end"),
        ("`` = 1", 0, "without an end"),
        ("a & b", 2, "no meaning"),
        ("a = 1.2.3", 4, "no number"),
        ("a = 1e999", 4, "no number"),
        ("a = mix(b, c)", 4, "no function"),
        ("a = min(b)", 4, "number of values"),
        ("a = abs(b, c)", 4, "number of values"),
        ("a = 1 + \"x\"", 8, "no arithmetic"),
        ("a = and", 4, "value is needed"),
        ("not a", 4, "comparison is needed"),
        ("a < (b < c) < d", 4, "number is needed"),
        ("ä = ö ö", 8, "does not belong"),
        ("a = 2x", 5, "does not belong"),
    ];
    for (text, at, words) in cases {
        let error = Relation::parse(text).expect_err(text);
        assert_eq!(error.span.start, at, "{text}: {error}");
        assert!(error.message.contains(words), "{text}: {error}");
    }
}

#[test]
fn names_and_types_are_checked_against_the_columns() {
    let purposes = ["new car".to_owned(), "repairs".to_owned()];
    let type_of = |name: &str| match name {
        "amount" | "hours per week" => Some(CellType::Number),
        "purpose" => Some(CellType::Text(&purposes)),
        "job" => Some(CellType::Text(&[])),
        _ => None,
    };
    let known = ["amount", "hours per week", "purpose", "job"];
    // (text, None when it is right, else where and words)
    let cases = [
        ("amount >= 1 and `hours per week` < 99", None),
        ("purpose = 'new car' or purpose != job", None),
        ("job = \"whatever\"", None),
        ("amuont >= 1", Some((0, "did you mean `amount`?"))),
        ("if amount > 1 then nothing_like_it = 2", Some((19, "no column"))),
        ("purpose = 'new cart'", Some((0, "did you mean `new car`?"))),
        ("purpose = 3", Some((0, "compared with a number"))),
        ("amount = 'x'", Some((0, "compared with a number"))),
        ("purpose < 'repairs'", Some((0, "no order"))),
        ("amount + purpose = 2", Some((9, "no arithmetic"))),
    ];
    for (text, wrong) in cases {
        let found = Relation::parse(text).unwrap().check(&known, &type_of);
        match wrong {
            None => assert_eq!(found, Ok(()), "{text}"),
            Some((at, words)) => {
                let error = found.expect_err(text);
                assert_eq!(error.span.start, at, "{text}: {error}");
                assert!(error.to_string().contains(words), "{text}: {error}");
            }
        }
    }
}

#[test]
fn hostile_texts_are_refused_before_they_cost_anything() {
    let deep = |open: &str, n: usize| format!("{}a = 1", open.repeat(n));
    for (name, text) in [
        ("parentheses", deep("(", 1000)),
        ("signs", deep("-", 1000)),
        ("negations", deep("not ", 900)),
        ("conditions", deep("if ", 1000)),
        ("powers", format!("a = {}2", "2 ^ ".repeat(500))),
        ("functions", format!("a = {}2", "abs(".repeat(500))),
        ("long", "a".repeat(5000)),
        ("parts", "1+".repeat(2000)),
    ] {
        assert!(Relation::parse(&text).is_err(), "{name}");
    }
    // As long as is allowed, and flat.
    assert!(Relation::parse(&format!("a = {}1", "1+".repeat(500))).is_ok());
}

#[test]
fn relations_are_kept_on_the_wire_as_they_were_written() {
    let relation = Relation::parse("a<=b+1").unwrap();
    let wire = serde_json::to_string(&relation).unwrap();
    assert_eq!(wire, "\"a<=b+1\"");
    assert_eq!(serde_json::from_str::<Relation>(&wire).unwrap(), relation);
    assert!(serde_json::from_str::<Relation>("\"a<=\"").is_err());
    let names: Vec<&str> = relation.columns().iter().map(|n| n.text.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
}

fn term() -> impl Strategy<Value = Term> {
    let name = prop::sample::select(vec!["a", "b_1", "hours per week", "if", "min", "größe"]);
    let leaf = prop_oneof![
        (0.0..1e9_f64).prop_map(Term::Number),
        (0..1000_u32).prop_map(|n| Term::Number(f64::from(n))),
        name.prop_map(|n| Term::Column(Name { text: n.into(), span: 0..0 })),
    ];
    leaf.prop_recursive(3, 20, 3, |inner| {
        let operator = prop::sample::select(vec![
            Operator::Add,
            Operator::Subtract,
            Operator::Multiply,
            Operator::Divide,
            Operator::Power,
        ]);
        let one = prop::sample::select(vec![
            Function::Abs,
            Function::Floor,
            Function::Ceil,
            Function::Sqrt,
            Function::Log,
            Function::Exp,
        ]);
        let many = prop::sample::select(vec![Function::Min, Function::Max]);
        prop_oneof![
            inner.clone().prop_map(|t| Term::Minus(Box::new(t))),
            (operator, inner.clone(), inner.clone()).prop_map(|(o, a, b)| Term::Binary(
                o,
                Box::new(a),
                Box::new(b)
            )),
            (one, inner.clone()).prop_map(|(f, a)| Term::Call(f, vec![a])),
            (many, prop::collection::vec(inner, 2..4)).prop_map(|(f, a)| Term::Call(f, a)),
        ]
    })
}

fn side() -> impl Strategy<Value = Term> {
    prop_oneof![4 => term(), 1 => "[a-z ']{0,8}".prop_map(Term::Text)]
}

fn formula() -> impl Strategy<Value = Formula> {
    let how = prop::sample::select(vec![
        Comparison::Equal,
        Comparison::NotEqual,
        Comparison::Less,
        Comparison::AtMost,
        Comparison::Greater,
        Comparison::AtLeast,
    ]);
    let leaf =
        (how, side(), side()).prop_map(|(how, left, right)| Formula::Compare { how, left, right });
    leaf.prop_recursive(3, 16, 3, |inner| {
        let boxed = |f: Formula| Box::new(f);
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(Formula::and),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Formula::or),
            inner.clone().prop_map(move |f| Formula::Not(boxed(f))),
            (inner.clone(), inner.clone(), prop::option::of(inner)).prop_map(move |(w, t, o)| {
                Formula::If { when: boxed(w), then: boxed(t), otherwise: o.map(boxed) }
            }),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_printed_is_parsed_back(formula in formula()) {
        let printed = formula.to_string();
        match Relation::parse(&printed) {
            Ok(relation) => prop_assert_eq!(relation.formula, formula, "{}", printed),
            Err(error) => {
                let limit = printed.len() > 4096 || error.message.contains("too many");
                prop_assert!(limit, "{}: {}", printed, error);
            }
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "[ab1-9 .\"'`()<>=!+*/^-]{0,40}|\\PC{0,20}") {
        let _ = Relation::parse(&text);
    }
}
