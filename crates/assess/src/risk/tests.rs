//! What may be said, and what the log makes of it.

use proofmark_schema::risk::{Effect, Links, ScenarioKind};

use super::*;
use crate::standing::room::{EXPIRES, Room, START, THREAT, entered};

fn scenario(after: &[&str], techniques: &[&str]) -> Scenario {
    Scenario {
        title: "something happens".into(),
        kind: ScenarioKind::Attack,
        row: None,
        actor: "someone".into(),
        assets: vec!["system".into()],
        techniques: techniques.iter().map(|t| (*t).to_owned()).collect(),
        effect: Effect::Integrity,
        harm: None,
        links: Links { after: after.iter().map(|a| (*a).to_owned()).collect(), ..Links::default() },
        owner: "owner".into(),
    }
}

fn enter(after: &[&str], techniques: &[&str]) -> Act {
    Act::Enter { scenario: scenario(after, techniques), seed: None }
}

fn treatment(id: &str, order: Order, not_enough: &[(Order, &str)]) -> Act {
    let higher =
        |(step, reason): &(Order, &str)| NotEnough { step: *step, reason: (*reason).to_owned() };
    Act::Treat {
        treatment: Treatment {
            id: id.into(),
            order,
            what: "something is done".into(),
            measure: None,
            cells: vec![],
            owner: "owner".into(),
            not_enough: not_enough.iter().map(higher).collect(),
        },
    }
}

/// A room with one measured and rated risk.
fn rated() -> Room {
    let mut room = Room::new();
    room.assess(0.6);
    room.seed();
    room.rate_measured(THREAT);
    room
}

fn said<T>(result: Result<T, SayError>) -> String {
    result.err().map(|e| e.to_string()).unwrap_or_default()
}

#[test]
fn seeding_gives_every_threat_row_and_misuse_once() {
    let mut room = Room::new();
    let ids = room.seed();
    assert_eq!(
        ids,
        [
            "threat-applicant",
            "row-data-poisoning",
            "row-model-poisoning",
            "row-confidentiality",
            "row-model-flaws",
            "row-errors-and-faults",
            "row-ict-underneath",
            "misuse-hiring"
        ]
    );
    let size = room.desk.log.size();
    assert_eq!(room.seed(), Vec::<String>::new());
    assert_eq!(room.desk.log.size(), size, "nothing is logged twice");
    let risks = room.world().risks;
    let threat = risks.named(THREAT).unwrap();
    assert_eq!(threat.scenario.links.criteria, ["c2"]);
    assert_eq!(threat.scenario.assets, ["model/mlp"]);
    assert_eq!(threat.scenario.harm.as_ref().unwrap().severity, 3);
    assert_eq!(risks.named("row-model-flaws").unwrap().scenario.links.criteria, ["c1"]);
}

#[test]
fn a_changed_declaration_enters_its_scenario_anew_and_keeps_the_harm_that_was_named() {
    let mut room = rated();
    room.rate("row-model-flaws", Side::Inherent, 2).unwrap();
    room.system.misuse[0].what = "used for firing".into();
    room.system.criteria.push(crate::fixture::criterion(
        "c3",
        "brier",
        proofmark_schema::system::Bound::AtMost(0.3),
    ));
    assert_eq!(room.seed(), ["row-model-flaws", "misuse-hiring"]);
    let risks = room.world().risks;
    let flaws = risks.named("row-model-flaws").unwrap();
    assert_eq!(flaws.scenario.links.criteria, ["c1", "c3"]);
    assert_eq!(flaws.scenario.harm.as_ref().unwrap().name, "loss");
    assert_eq!(flaws.history.len(), 3);
}

#[test]
fn author_and_approver_are_two_people_under_whatever_name() {
    let mut room = rated();
    let accept = |residual: Rating| Act::Accept {
        reason: "fine".into(),
        expires: EXPIRES.into(),
        residual,
        run: None,
        waives: vec![],
    };
    for who in ["owner", "owner2", "OWNER", " Olive Owner", "olive   owner"] {
        let error = said(room.say_as(who, THREAT, accept(entered(4, 3))));
        assert!(error.contains("cannot also accept"), "{who}: {error}");
        let act = Act::Exclude { reason: "no".into(), expires: EXPIRES.into() };
        assert!(said(room.say_as(who, THREAT, act)).contains("cannot also"), "{who}");
    }
    room.say_as("boss", THREAT, accept(entered(4, 3))).unwrap();
    // Who treats it later is an author as well, and may not accept it again.
    room.say_as("boss", THREAT, treatment("t", Order::Design, &[])).unwrap();
    let error = said(room.say_as("boss", THREAT, accept(entered(4, 3))));
    assert!(error.contains("Bo Boss"), "{error}");
}

#[test]
fn what_may_not_be_said_is_refused_and_nothing_is_logged() {
    let mut room = rated();
    let size = room.desk.log.size();
    for (name, who, risk, act, wanted) in entered_wrongly().into_iter().chain(said_wrongly()) {
        let error = said(room.say_as(who, risk, act));
        assert!(error.contains(wanted), "{name}: {error}");
    }
    assert_eq!(room.desk.log.size(), size);
    assert!(said(room.overall()).contains("neither accepted nor excluded"));
}

type Wrong = (&'static str, &'static str, &'static str, Act, &'static str);

fn entered_wrongly() -> Vec<Wrong> {
    vec![
        ("technique", "owner", "x", enter(&[], &["AML.T9999"]), "no bundled taxonomy"),
        ("no technique", "owner", "x", enter(&[], &[]), "at least one technique"),
        ("taken", "owner", THREAT, enter(&[], &["AML.T0015"]), "entered before"),
        ("own follower", "owner", "x", enter(&["x"], &["AML.T0015"]), "follow from itself"),
        ("follows nothing", "owner", "x", enter(&["nope"], &["AML.T0015"]), "no risk `nope`"),
        ("id", "owner", "../x", enter(&[], &["AML.T0015"]), "no id"),
        ("overall as an id", "owner", "overall", enter(&[], &["AML.T0015"]), "no id"),
    ]
}

fn said_wrongly() -> Vec<Wrong> {
    let long = "x".repeat(4001);
    let rate =
        |side, rating, reason: &str| Act::Rate { side, rating, harm: None, reason: reason.into() };
    let accept = |reason: &str, expires: &str| Act::Accept {
        reason: reason.into(),
        expires: expires.into(),
        residual: entered(4, 3),
        run: None,
        waives: vec![],
    };
    let mut wrong_level = entered(4, 3);
    wrong_level.level = proofmark_schema::risk::Level::Low;
    let design = Order::Design;
    vec![
        ("unknown", "owner", "nope", rate(Side::Inherent, entered(1, 3), "r"), "no risk"),
        ("no reason", "owner", THREAT, rate(Side::Inherent, entered(1, 3), " \u{a0}"), "empty"),
        ("marks only", "owner", THREAT, rate(Side::Inherent, entered(1, 3), "..."), "empty"),
        ("too long", "owner", THREAT, rate(Side::Inherent, entered(1, 3), &long), "too long"),
        ("level", "owner", THREAT, rate(Side::Inherent, wrong_level, "r"), "table"),
        (
            "residual below without treatment",
            "owner",
            THREAT,
            rate(Side::Residual, entered(1, 3), "r"),
            "nothing is done",
        ),
        ("no harm", "owner", "row-model-flaws", rate(Side::Inherent, entered(1, 3), "r"), "harm"),
        ("unrated", "boss", "row-model-flaws", accept("fine", EXPIRES), "before treatment first"),
        ("past", "boss", THREAT, accept("fine", "2026-11-22T14:59:59Z"), "not a later day"),
        ("now", "boss", THREAT, accept("fine", START), "not a later day"),
        ("no day", "boss", THREAT, accept("fine", "soon"), "not a later day"),
        ("no reason to accept", "boss", THREAT, accept("", EXPIRES), "empty"),
        (
            "control first",
            "owner",
            THREAT,
            treatment("t", Order::Control, &[]),
            "why design is not enough",
        ),
        (
            "information without control",
            "owner",
            THREAT,
            treatment("t", Order::Information, &[(design, "no other model")]),
            "why control is not enough",
        ),
        (
            "empty reason for a lower step",
            "owner",
            THREAT,
            treatment("t", Order::Control, &[(design, " ")]),
            "why design is not enough",
        ),
        ("open already", "owner", THREAT, Act::Reopen { reason: "r".into() }, "open already"),
    ]
}

#[test]
fn risks_form_no_circle() {
    let mut room = Room::new();
    for (id, after) in [("a", vec![]), ("b", vec!["a"]), ("c", vec!["b", "a"])] {
        room.say_as("owner", id, enter(&after, &["AML.T0015"])).unwrap();
    }
    // A seed that is entered anew is the only way to change links afterwards.
    let seeded =
        |after: &[&str]| Act::Enter { scenario: scenario(after, &["AML.T0015"]), seed: Some(1) };
    room.say_as("owner", "s", seeded(&[])).unwrap();
    room.say_as("owner", "d", enter(&["c", "s"], &["AML.T0015"])).unwrap();
    let error = said(room.say_as("owner", "s", seeded(&["d"])));
    assert!(error.contains("`s` would follow from itself by way of `d`"), "{error}");
    room.say_as("owner", "s", seeded(&["a"])).unwrap();
}

#[test]
fn a_rating_whose_figures_do_not_give_it_is_refused() {
    let mut room = rated();
    let world = room.world();
    let good = world.risks.named(THREAT).unwrap().inherent.clone().unwrap().said;
    let changed =
        |change: &dyn Fn(&mut Rating, &mut proofmark_schema::risk::MeasuredLikelihood)| {
            let mut rating = good.clone();
            let Basis::Measured(mut m) = rating.basis.clone() else { panic!("not measured") };
            change(&mut rating, &mut m);
            rating.basis = Basis::Measured(m);
            rating
        };
    use proofmark_schema::risk::{Basis, Level};
    let cases = [
        changed(&|_, m| m.successes_per_year = [0.0, 0.01]),
        changed(&|r, _| (r.likelihood, r.level) = (1, Level::Low)),
        changed(&|_, m| m.likelihood_lower = 1),
        changed(&|_, m| m.success = [0.9, 0.1]),
        changed(&|_, m| m.attempts_per_year = [f64::NAN, 1.0]),
    ];
    for rating in cases {
        let act = Act::Rate { side: Side::Inherent, rating, harm: None, reason: "r".into() };
        let error = said(room.say_as("owner", THREAT, act));
        assert!(error.contains("do not give it") || error.contains("table"), "{error}");
    }
    let act = Act::Rate { side: Side::Residual, rating: good, harm: None, reason: "r".into() };
    let error = said(room.say_as("owner", THREAT, act));
    assert!(error.contains("follows the latest run by itself"), "{error}");
}

#[test]
fn a_statement_that_breaks_a_rule_is_kept_void_and_never_applied() {
    let mut room = rated();
    // Somebody with the key but another program logs an acceptance by the author.
    let act = Act::Accept {
        reason: "fine".into(),
        expires: EXPIRES.into(),
        residual: entered(1, 1),
        run: None,
        waives: vec![],
    };
    let by = Who::of(person(&room.system, "owner").unwrap());
    let tool = Tool { name: "other".into(), version: "1".into() };
    let predicate = RiskPredicate {
        risk: THREAT.into(),
        system: "credit".into(),
        version: "1.0.0".into(),
        tool,
        by,
        said: act,
        assets: room.assets.clone(),
    };
    let clock = || START.to_owned();
    let subjects = predicate.assets.clone();
    let mut register = room.desk.register(&clock);
    events::record(&mut register, EntryKind::Risk, RISK, &predicate, &subjects).unwrap();
    let world = room.world();
    let risk = world.risks.named(THREAT).unwrap();
    assert!(risk.acceptance.is_none());
    assert!(risk.history.last().unwrap().void.as_ref().unwrap().contains("cannot also accept"));
    assert_eq!(room.overview().void.len(), 1);
}

#[test]
fn a_damaged_log_is_an_error_and_not_an_empty_register() {
    let room = rated();
    // The bundle of the first risk statement is gone from the store.
    let first = &room.world().risks.risks[0];
    let bundle = first.history[0].logged.stored.bundle.hex();
    let path = room.desk.dir.path().join("artefacts").join(&bundle[..2]).join(&bundle[2..]);
    std::fs::write(&path, b"{}").unwrap();
    assert!(risks(&room.desk.log, &room.desk.store).is_err(), "a changed statement");
    std::fs::remove_file(&path).unwrap();
    assert!(risks(&room.desk.log, &room.desk.store).is_err(), "a missing statement");
}

#[test]
fn treatments_come_in_the_order_of_the_law_and_can_be_given_up() {
    let mut room = rated();
    let (design, control) = (Order::Design, Order::Control);
    room.say_as("owner", THREAT, treatment("a", design, &[])).unwrap();
    let why = [(design, "the vote is not enough")];
    room.say_as("owner", THREAT, treatment("b", control, &why)).unwrap();
    let both = [(design, "not enough"), (control, "not enough either")];
    room.say_as("owner", THREAT, treatment("c", Order::Information, &both)).unwrap();
    let error = said(room.say_as("owner", THREAT, treatment("a", design, &[])));
    assert!(error.contains("is there already"), "{error}");
    let withdraw = Act::Withdraw { treatment: "b".into(), reason: "no use".into() };
    room.say_as("owner", THREAT, withdraw.clone()).unwrap();
    assert!(said(room.say_as("owner", THREAT, withdraw)).contains("not in force"));
    let world = room.world();
    let ids: Vec<&str> =
        world.risks.named(THREAT).unwrap().treatments.iter().map(|t| t.said.id.as_str()).collect();
    assert_eq!(ids, ["a", "c"]);
}

/// A statement as a log would show it, without a log.
fn in_memory(index: u64, who: &str, risk: &str, act: Act) -> Logged<RiskPredicate> {
    let digest = proofmark_evidence::digest::Digest::of(b"");
    Logged {
        index,
        time: START.into(),
        stored: crate::register::Stored { statement: digest, bundle: digest },
        said: RiskPredicate {
            risk: risk.into(),
            system: "credit".into(),
            version: "1".into(),
            tool: Tool { name: "t".into(), version: "1".into() },
            by: Who { id: who.to_lowercase(), name: who.into(), role: "r".into() },
            said: act,
            assets: vec![],
        },
    }
}

fn any_act(kind: u8, level: u8) -> Act {
    let (reason, expires) = ("so".to_owned(), EXPIRES.to_owned());
    let harm = ScenarioHarm {
        name: "loss".into(),
        class: proofmark_schema::system::HarmClass::Property,
        severity: 3,
        people: "people".into(),
        vulnerable: None,
    };
    let rating = entered(level, 3);
    match kind {
        0 => enter(&[], &["AML.T0015"]),
        1 => Act::Rate { side: Side::Inherent, rating, harm: Some(harm), reason },
        2 => Act::Rate { side: Side::Residual, rating, harm: None, reason },
        3 => treatment("t", Order::Design, &[]),
        4 => Act::Withdraw { treatment: "t".into(), reason },
        5 => Act::Accept { reason, expires, residual: rating, run: None, waives: vec![] },
        6 => Act::Exclude { reason, expires },
        7 => Act::Review { reason, next: expires },
        _ => Act::Reopen { reason },
    }
}

proptest::proptest! {
    /// Whatever is logged in whatever order: nobody settles what they wrote, nothing is settled
    /// unrated, and every statement is kept.
    #[test]
    fn no_order_of_statements_breaks_the_rules(
        said in proptest::collection::vec((0u8..3, 0u8..9, 1u8..6), 0..40)
    ) {
        let people = ["Ann", "Ben", "BEN "];
        let statements: Vec<Logged<RiskPredicate>> = said
            .iter()
            .zip(0..)
            .map(|((who, kind, level), index)| {
                in_memory(index, people[usize::from(*who)], "x", any_act(*kind, *level))
            })
            .collect();
        for end in 0..=statements.len() {
            let risks = fold(statements[..end].to_vec());
            let of_risks: usize = risks.risks.iter().map(|r| r.history.len()).sum();
            let kept = risks.others.len() + of_risks;
            proptest::prop_assert_eq!(kept, end);
            let Some(risk) = risks.named("x") else { continue };
            proptest::prop_assert!(risk.acceptance.is_none() || risk.exclusion.is_none());
            proptest::prop_assert!(risk.acceptance.is_none() || risk.inherent.is_some());
            let settler = risk.acceptance.as_ref().map(|a| (&a.by, a.index));
            let settler = settler.or(risk.exclusion.as_ref().map(|e| (&e.by, e.index)));
            if let Some((by, index)) = settler {
                let wrote = |item: &&Item| {
                    let act = &item.logged.said.said;
                    let writes =
                        matches!(act, Act::Enter { .. } | Act::Rate { .. } | Act::Treat { .. });
                    writes && item.void.is_none() && item.logged.index < index
                };
                let authors = risk.history.iter().filter(wrote);
                proptest::prop_assert!(!authors.map(|i| &i.logged.said.by).any(|a| a.is(by)));
            }
        }
    }
}
