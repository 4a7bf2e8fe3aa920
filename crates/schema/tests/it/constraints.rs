//! `[constraints]`, directions and costs: what is read, and where it is refused.

use proofmark_schema::system::{self, Constraints, Way, line_col};

use crate::accepted::TABLE;

const GOOD: &str = r#"
[constraints]
relations = [
    "amount >= 300 * rate",
    'if housing = "own" then amount >= 500',
    "`age` >= 18 or telephone = 'yes'",
]
tolerance = 1e-5
"#;

fn with(constraints: &str) -> String {
    format!("{TABLE}\n{constraints}")
}

#[test]
fn constraints_are_read_and_kept_on_the_wire() {
    let text = with(GOOD)
        .replace("bounds = [250, 20000]\n", "bounds = [250, 20000]\ndirection = \"decrease\"\n")
        .replace("bounds = [0.5, 4.0]\n", "bounds = [0.5, 4.0]\ncost = 2.5\n")
        .replace("queries = 5000\n", "queries = 5000\ncost_limit = 10\n");
    let system = system::parse(&text).unwrap_or_else(|p| panic!("{p:#?}"));
    assert_eq!(system.constraints.relations.len(), 3);
    assert_eq!(system.constraints.tolerance, 1e-5);
    assert_eq!(system.feature_named("amount").unwrap().direction, Some(Way::Decrease));
    assert_eq!(system.feature_named("rate").unwrap().cost, Some(2.5));
    assert_eq!(system.threat_named("applicant").unwrap().cost_limit, Some(10.0));
    let wire = serde_json::to_value(&system).unwrap();
    assert_eq!(wire["constraints"]["relations"][0], "amount >= 300 * rate");
    assert_eq!(serde_json::from_value::<system::System>(wire).unwrap(), system);
    // Nothing declared leaves nothing on the wire: plans of old stay what they were.
    let plain = system::parse(TABLE).unwrap();
    assert_eq!(plain.constraints, Constraints::default());
    let wire = serde_json::to_string(&plain).unwrap();
    for key in ["constraints", "direction", "\"cost", "cost_limit"] {
        assert!(!wire.contains(key), "{key}");
    }
}

#[test]
fn what_does_not_fit_is_underlined_where_it_stands() {
    let flags = "\n[features.car]\ntype = \"integer\"\nbounds = [0, 1]\n\
                 [features.tv]\ntype = \"integer\"\nbounds = [0, 1]\nmutable = true\n";
    let groups = |list: &str| format!("{flags}\n[constraints.one_hot]\nuse = {list}\n");
    let relation = |text: &str| format!("\n[constraints]\nrelations = [\"{text}\"]\n");
    // (constraints, text at the place, words of message or help)
    let cases: Vec<(String, &str, &str)> = vec![
        (relation("amuont >= 3"), "amuont", "did you mean `amount`?"),
        (relation("amount >= (3"), "(", "a `)` is missing"),
        (relation("housing = 'owm'"), "housing", "did you mean `own`?"),
        (relation("amount + housing = 3"), "housing", "no arithmetic"),
        (relation("a\\u0062c >= 3"), "\"a\\u0062c >= 3\"", "no column is called `abc`"),
        ("\n[constraints]\ntolerance = 0.5\n".into(), "0.5", "small share"),
        ("\n[constraints]\nrelation = []\n".into(), "relation", "did you mean `relations`?"),
        (groups("[\"car\"]"), "[\"car\"]", "one column"),
        (groups("[\"car\", \"vt\"]"), "\"vt\"", "vt"),
        (groups("[\"car\", \"amount\"]"), "\"amount\"", "is no flag"),
        (groups("[\"car\", \"tv\"]"), "\"tv\"", "not as mutable"),
    ];
    for (constraints, at, words) in cases {
        let text = with(&constraints);
        let problems = system::parse(&text).expect_err(&constraints);
        assert_eq!(problems.len(), 1, "{constraints}: {problems:#?}");
        let problem = &problems[0];
        assert_eq!(&text[problem.span.clone()], at, "{constraints}: {problem:#?}");
        assert!(line_col(&text, problem.span.start).0 > TABLE.lines().count());
        let told = format!("{} {}", problem.message, problem.help);
        assert!(told.contains(words), "{constraints}: {told}");
    }
}

#[test]
fn directions_and_costs_need_something_that_moves() {
    // (from, to, code)
    for (from, to, code) in [
        ("mutable = false\ngroup", "mutable = false\ncost = 1\ngroup", "key-of-mutable"),
        ("bounds = [0.5, 4.0]", "bounds = [0.5, 4.0]\ncost = -1", "bad-cost"),
        ("bounds = [0.5, 4.0]", "bounds = [0.5, 4.0]\ndirection = \"up\"", "unknown-word"),
        ("queries = 5000", "queries = 5000\ncost_limit = 3", "no-costs"),
        ("queries = 5000", "queries = 5000\ncost_limit = 0", "bad-limit"),
    ] {
        assert_eq!(TABLE.matches(from).count(), 1, "{from}");
        let problems = system::parse(&TABLE.replace(from, to)).expect_err(to);
        assert!(problems.iter().any(|p| p.code == code), "{to}: {problems:#?}");
    }
}
