//! Weak points: each is named on the bad policy and not on its good twin.

use proofmark_server::intake::Intake;
use proofmark_server::keys::{KeyFile, NewKey, Scope};
use proofmark_server::policy::effective::{Circumstances, limits, weak_points};
use proofmark_server::policy::parse;

use crate::support::{declared, now};

const GOOD: &str = "format = \"proofmark.guard/1\"\n\
    [primary]\nmodel = \"mlp\"\nupstream = \"http://127.0.0.1:9000\"\n\
    [backup]\nmodel = \"gbm\"\n\
    [limits]\nrange = \"schema.json\"\n";

#[test]
fn each_weak_point_is_named_and_its_good_twin_is_not() {
    let good = about();
    assert_eq!(ids(GOOD, &good, "2027-02-01T00:00:00Z"), [""; 0]);
    for (name, from, to) in [
        ("pass-through", "[primary]", "mode = \"pass-through\"\n[primary]"),
        ("no-backup", "[backup]\nmodel = \"gbm\"\n", ""),
        ("upstream-in-clear", "127.0.0.1:9000", "10.0.0.7:9000"),
        ("no-answer-id", "[backup]", "upstream_protocol = \"json\"\n[backup]"),
        ("declared-ranges", "range = \"schema.json\"", "range = \"declared\""),
        ("fast-rate", "[limits]", "[limits]\nrequests_per_second = 201"),
        ("large-body", "[limits]", "[limits]\nbody_bytes = 16777216"),
        ("fine-scores", "[limits]", "[release]\ndecimals = 4\n[limits]"),
        ("fields-in-clear", "[limits]", "[record]\nfields = [\"age\"]\n[limits]"),
    ] {
        let bad = GOOD.replacen(from, to, 1);
        assert_ne!(bad, GOOD, "{name}");
        assert_eq!(ids(&bad, &good, "2027-02-01T00:00:00Z"), [name]);
    }
    let unassessed = Circumstances { unassessed: vec!["mlp".into()], ..about() };
    assert_eq!(ids(GOOD, &unassessed, "2027-02-01T00:00:00Z"), ["unassessed"]);
    let unknown = Circumstances { known_rows: false, ..about() };
    assert_eq!(ids(GOOD, &unknown, "2027-02-01T00:00:00Z"), ["no-known-answers"]);
    let cut = Circumstances { complete: false, ..about() };
    assert_eq!(ids(GOOD, &cut, "2027-02-01T00:00:00Z"), ["incomplete-run"]);
    assert_eq!(ids(GOOD, &good, "2026-01-01T00:00:00Z"), ["no-key"]);
    assert_eq!(ids(GOOD, &good, "2030-01-01T00:00:00Z"), ["long-key"]);
}

#[test]
fn the_limits_of_every_feature_are_listed() {
    let system = declared();
    let policy = parse(GOOD, Some(&system)).unwrap();
    let intake = Intake::new(&system, &policy.limits, &|f| f.name != "telephone");
    let all = limits(&policy, &intake);
    assert_eq!(all.len(), system.features.len());
    let of = |name: &str| all.iter().find(|l| l.name == name).unwrap();
    assert_eq!(of("amount").allowed, "250 to 20000");
    assert_eq!(of("housing").allowed, "`rent`, `own`, `free`");
    assert!(of("amount").read && !of("telephone").read && !of("sex").read);
}

fn about() -> Circumstances {
    Circumstances {
        unassessed: vec![],
        complete: true,
        known_rows: true,
        now: now(),
        in_a_year: "2027-11-23T00:00:00Z".into(),
        groups: vec!["age".into()],
    }
}

fn ids(text: &str, about: &Circumstances, expires: &str) -> Vec<String> {
    let system = declared();
    let policy = parse(text, Some(&system)).unwrap();
    let intake = Intake::new(&system, &policy.limits, &|_| true);
    let mut keys = KeyFile::empty();
    let key = NewKey::generate(vec![Scope::Score], None, now(), expires.into()).unwrap();
    keys.keys.push(key.record);
    weak_points(&policy, &intake, &keys, about).into_iter().map(|w| w.id).collect()
}
