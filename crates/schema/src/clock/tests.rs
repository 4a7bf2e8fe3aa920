//! The bundled rules hold together; rules that do not are refused by name.

use super::*;

fn text_with(change: impl Fn(&mut serde_json::Value)) -> String {
    let mut value = serde_json::to_value(clock_rules()).unwrap();
    change(&mut value);
    value.to_string()
}

fn place(id: &str) -> usize {
    clock_rules().rules.iter().position(|r| r.id == id).unwrap()
}

#[test]
fn the_bundled_rules_read_back_and_name_dates_and_duties() {
    let rules = clock_rules();
    assert_eq!(ClockRules::parse(&serde_json::to_string(rules).unwrap()).unwrap(), *rules);
    for rule in &rules.rules {
        assert!(crate::duties::duties().named(&rule.duty).is_some(), "{}", rule.duty);
        assert!(!rule.trap.is_empty() && !rule.recipient.is_empty(), "{}", rule.id);
        for span in &rule.in_force {
            for date in std::iter::once(&span.from).chain(&span.to) {
                let shaped = date.len() == 10
                    && date.bytes().enumerate().all(|(i, b)| match i {
                        4 | 7 => b == b'-',
                        _ => b.is_ascii_digit(),
                    });
                assert!(shaped, "{}: {date}", rule.id);
            }
        }
    }
}

#[test]
fn every_act_of_a_rule_is_an_act_of_the_catalogue_with_its_version() {
    let bases = &crate::duties::duties().legal_base;
    for rule in &clock_rules().rules {
        let duty = crate::duties::duties().named(&rule.duty).unwrap();
        let base = bases.iter().find(|b| b.id == duty.base).unwrap();
        let number = rule.act.split(' ').nth(2).unwrap();
        assert!(base.title.contains(number), "{}: {}", rule.id, base.title);
        if rule.regime == Regime::Aia {
            assert!(rule.act.contains("2026/1744"), "{}", rule.id);
        }
    }
}

#[test]
fn a_proposal_is_no_rule() {
    let of_gdpr: Vec<_> = clock_rules().rules.iter().filter(|r| r.regime == Regime::Gdpr).collect();
    assert_eq!(of_gdpr.len(), 1);
    assert_eq!(of_gdpr[0].limit, Limit::Hours(72));
    let proposal = &clock_rules().proposals[0];
    assert!(proposal.says.contains("96") && proposal.status.contains("not adopted"));
}

#[test]
fn each_rule_stands_after_those_it_waits_for() {
    let order = clock_rules().order().unwrap();
    let at = |id: &str| order.iter().position(|&p| p == place(id)).unwrap();
    assert!(at("CK-7") > at("CK-5-i") && at("CK-5-i") > at("CK-4-i"));
}

#[test]
fn rules_that_do_not_hang_together_are_refused() {
    let circle = |v: &mut serde_json::Value| {
        let filed = serde_json::json!({"event": "filed", "clock": "CK-7"});
        v["rules"][place("CK-5-i")]["start"] = filed;
    };
    let itself = |v: &mut serde_json::Value| {
        let filed = serde_json::json!({"event": "filed", "clock": "CK-7"});
        v["rules"][place("CK-7")]["start"] = filed;
    };
    type Change<'a> = &'a dyn Fn(&mut serde_json::Value);
    let cases: &[(&str, Change<'_>, &str)] = &[
        ("a circle", &circle, "wait for each other: CK-5-i, CK-7"),
        ("a clock that waits for itself", &itself, "wait for each other: CK-7"),
        ("an unknown clock", &|v| v["rules"][0]["replaces"] = ["CK-99"].into(), "`CK-99`"),
        ("two of one id", &|v| v["rules"][1]["id"] = "CK-1".into(), "two rules"),
        ("another format", &|v| v["format"] = format!("{FORMAT}9").into(), "format"),
        ("no limit", &|v| v["rules"][0]["limit"]["days"] = 0.into(), "limit is zero"),
        ("a million days", &|v| v["rules"][0]["limit"]["days"] = 1_000_000.into(), "longer"),
        ("negative", &|v| v["rules"][0]["limit"]["days"] = (-1).into(), "no rules of clocks"),
        ("as asked by nobody", &|v| v["rules"][0]["limit"] = "as-asked".into(), "request"),
        ("nobody aware", &|v| v["rules"][0]["start"]["whose"] = [""; 0].into(), "nobody"),
        ("never in force", &|v| v["rules"][0]["in_force"] = [0; 0].into(), "since when"),
        ("a surplus field", &|v| v["rules"][0]["surplus"] = 1.into(), "surplus"),
    ];
    for (name, change, words) in cases {
        let error = ClockRules::parse(&text_with(change)).unwrap_err().to_string();
        assert!(error.contains(words), "{name}: {error}");
    }
    let many = text_with(|v| {
        let rule = v["rules"][0].clone();
        v["rules"] = vec![rule; 201].into();
    });
    assert_eq!(ClockRules::parse(&many).unwrap_err(), RulesError::Many(201));
}
