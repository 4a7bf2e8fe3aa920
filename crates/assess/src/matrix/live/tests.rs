//! Cells that turn, and cells that must not.

use proofmark_evidence::digest::Digest;
use proofmark_schema::measurement::AssetDigest;

use super::*;
use crate::drill::Counts;
use crate::predicate::{ArtefactRef, Tool};
use crate::register::Stored;
use crate::standing::room::{Room, START};
use crate::standing::{GuardFacts, Trigger, TriggerKind};
use crate::treatment::{Effect, Measure, Order, Says, TreatmentsPredicate};

fn at(matrix: &Matrix, id: &str) -> Cell {
    let rows = matrix.rows.iter().flat_map(|r| r.cells.iter().map(move |c| (r.threat, c)));
    rows.into_iter().find(|(t, c)| cell_id(*t, c.verb) == id).unwrap().1.clone()
}

fn logged<P>(said: P) -> Logged<P> {
    let stored = Stored { statement: Digest::of(b"s"), bundle: Digest::of(b"b") };
    Logged { index: 1, time: START.into(), stored, said }
}

fn tool() -> Tool {
    Tool { name: "proofmark".into(), version: "0".into() }
}

fn experiment(fault: &str, deviated: bool, recovery_ms: Option<f64>) -> Experiment {
    Experiment {
        fault: fault.into(),
        hypothesis: "the backup answers".into(),
        before: Counts::default(),
        during: Counts::default(),
        after: Counts::default(),
        states: vec![],
        gap_ms: None,
        failover_ms: None,
        recovery_ms,
        gap_limit_ms: None,
        deviated,
        reason: deviated.then(|| "three answers were lost".into()),
    }
}

fn drill(experiments: Vec<Experiment>) -> Logged<DrillPredicate> {
    let digest =
        |name: &str, c: char| AssetDigest { name: name.into(), sha256: c.to_string().repeat(64) };
    logged(DrillPredicate {
        id: "drill-1".into(),
        system: "credit".into(),
        version: "1.0.0".into(),
        tool: tool(),
        operator: "o".into(),
        started: START.into(),
        ended: START.into(),
        assets: vec![digest("guard-policy", '7'), digest("model/mlp", 'c')],
        experiments,
        guard_checkpoint: String::new(),
    })
}

fn effect(metric: &str, eps: f64, says: Says) -> Effect {
    let difference = match says {
        Says::Better => 0.2,
        Says::Worse => -0.2,
        Says::NoMeasuredEffect => 0.0,
    };
    let json = serde_json::json!({
        "measure": "vote", "metric": metric, "difference": difference,
        "lower": difference - 0.1, "upper": difference + 0.1, "confidence": 0.95, "n": 300,
        "eps": eps, "says": says,
    });
    serde_json::from_value(json).unwrap()
}

fn vote(effects: Vec<Effect>) -> Logged<TreatmentsPredicate> {
    let measure = Measure {
        id: "vote".into(),
        title: "vote of primary and backup".into(),
        order: Order::Design,
        cells: vec!["evasion/prevent".into(), "evasion/control".into()],
        artefacts: vec![ArtefactRef {
            name: "vote.onnx".into(),
            media_type: "application/octet-stream".into(),
            sha256: "5".repeat(64),
            personal: false,
        }],
        setting: Some("release.vote".into()),
        ships: Vec::new(),
        what: String::new(),
        not_measured: None,
    };
    let json = serde_json::json!({
        "id": "harden-1", "system": "credit", "version": "1.0.0", "tool": tool(),
        "started": START, "ended": START, "assets": crate::fixture::assets(),
        "measures": [measure], "arms": [], "effects": effects, "notes": [],
    });
    logged(serde_json::from_value(json).unwrap())
}

fn guard(settings: &[(&str, &str)]) -> GuardFacts {
    let pair = |(k, v): &(&str, &str)| ((*k).to_owned(), (*v).to_owned());
    GuardFacts {
        time: START.into(),
        policy: "7".repeat(64),
        settings: settings.iter().map(pair).collect(),
        models: vec![],
    }
}

#[test]
fn a_measure_turns_a_cell_only_when_it_helps_and_is_in_force() {
    use Says::{Better, NoMeasuredEffect, Worse};
    let on = [("release.vote", "true")];
    let robust = |says| vec![effect("robust_recall", 0.05, says)];
    let mixed = vec![effect("robust_recall", 0.05, Better), effect("robust_recall", 0.1, Worse)];
    let costs = vec![effect("robust_recall", 0.05, Better), effect("robust_accuracy", 0.05, Worse)];
    let bought =
        vec![effect("robust_recall", 0.05, Worse), effect("robust_accuracy", 0.05, Better)];
    let other = vec![effect("accuracy", 0.0, Better)];
    let arms = |says, with: &str, without: &str| Effect {
        with: with.into(),
        without: without.into(),
        ..effect("robust_recall", 0.05, says)
    };
    let alone = vec![arms(Better, "only vote", "none")];
    let trade = vec![arms(Better, "only vote", "none"), arms(Worse, "all", "without vote")];
    let part = vec![arms(Better, "stand-in smaller backup", "stand-in backup")];
    let cases = [
        ("helps and is on", robust(Better), Some(&on[..]), true, "better"),
        ("helps and is off", robust(Better), Some(&[("release.vote", "false")][..]), false, "="),
        ("helps and is not set", robust(Better), Some(&[][..]), false, "does not set"),
        ("helps, no guard", robust(Better), None, false, "no guard has recorded"),
        ("no effect", robust(NoMeasuredEffect), Some(&on[..]), false, "no measured effect"),
        ("worse", robust(Worse), Some(&on[..]), false, "WORSE"),
        ("better here, worse there", mixed, Some(&on[..]), false, "WORSE"),
        ("alone", alone, Some(&on[..]), true, "only vote against none"),
        ("better alone, worse beside the others", trade, Some(&on[..]), false, "WORSE"),
        ("of a part only", part, Some(&on[..]), false, "stand-in"),
        ("fewer fall, at a cost that is told", costs, Some(&on[..]), true, "WORSE"),
        ("more fall, fewer errors elsewhere", bought, Some(&on[..]), false, "WORSE"),
        ("another figure", other, Some(&on[..]), false, "no figure of it"),
    ];
    for (name, effects, settings, wanted, said) in cases {
        let mut room = Room::settled(0.6);
        let settings = settings.map(<[_]>::to_vec);
        room.extra = Box::new(move |world| {
            world.treatments.push(vote(effects.clone()));
            world.guard = settings.as_deref().map(guard);
        });
        let cell = at(&room.matrix(), "evasion/prevent");
        assert_eq!(cell.coverage == Coverage::Measured, wanted, "{name}: {cell:?}");
        assert!(cell.note.contains(said), "{name}: {}", cell.note);
        assert_eq!(cell.evidence.is_empty(), !wanted, "{name}");
        if !wanted {
            assert_eq!(cell.next, "`proofmark harden --out DIR`", "{name}");
        }
    }
}

#[test]
fn a_trial_on_the_first_rows_is_shown_and_counts_nowhere() {
    let robust = vec![effect("robust_recall", 0.05, Says::Better)];
    let trial = |rows| {
        let mut tried = vote(robust.clone());
        tried.said.limit = Some(rows);
        tried
    };
    let cases = [
        ("a trial alone", vec![trial(50)], false, "first 50 rows only"),
        ("a trial after all rows", vec![vote(robust.clone()), trial(50)], true, "better"),
        ("all rows after a trial", vec![trial(50), vote(robust.clone())], true, "better"),
    ];
    for (name, treatments, wanted, said) in cases {
        let mut room = Room::settled(0.6);
        room.extra = Box::new(move |world| {
            world.treatments.extend(treatments.clone());
            world.guard = Some(guard(&[("release.vote", "true")]));
        });
        let cell = at(&room.matrix(), "evasion/prevent");
        assert_eq!(cell.coverage == Coverage::Measured, wanted, "{name}: {cell:?}");
        assert!(cell.note.contains(said), "{name}: {}", cell.note);
    }
}

#[test]
fn a_measure_is_also_in_force_when_its_file_is_shipped_and_never_on_other_data() {
    let with = |change: fn(&mut Room)| {
        let mut room = Room::settled(0.6);
        room.extra = Box::new(|world| {
            world.treatments.push(vote(vec![effect("robust_recall", 0.05, Says::Better)]));
            world.guard = Some(guard(&[("release.vote", "true")]));
        });
        change(&mut room);
        at(&room.matrix(), "evasion/prevent")
    };
    let shipped = |room: &mut Room| {
        // The vote is now the model that decides.
        room.assets.iter_mut().find(|a| a.name == "model/mlp").unwrap().sha256 = "5".repeat(64);
        room.extra = Box::new(|world| {
            world.treatments.push(vote(vec![effect("robust_recall", 0.05, Says::Better)]));
        });
    };
    assert_eq!(with(shipped).coverage, Coverage::Measured);
    let other_data = with(|room| room.change("data/test"));
    assert_ne!(other_data.coverage, Coverage::Measured);
    assert!(other_data.note.contains("another `data/test`"), "{}", other_data.note);
    let other_model = with(|room| room.change("model/trees"));
    assert_ne!(other_model.coverage, Coverage::Measured);
}

#[test]
fn a_drill_turns_cells_only_while_it_is_about_this_guard() {
    let good = || {
        vec![experiment("kill-primary", false, Some(90.0)), experiment("hang-primary", false, None)]
    };
    let room = |drill: Logged<DrillPredicate>, policy: &str| {
        let mut room = Room::settled(0.6);
        let policy = policy.repeat(64);
        room.extra = Box::new(move |world| {
            world.drills.push(drill.clone());
            world.policies.push(policy.clone());
        });
        room
    };
    let respond = "errors-and-faults/respond";
    let cell = at(&room(drill(good()), "7").matrix(), respond);
    assert_eq!(cell.coverage, Coverage::Measured);
    assert_eq!(cell.evidence, ["drill:drill-1#kill-primary", "drill:drill-1#hang-primary"]);
    let resolve = at(&room(drill(good()), "7").matrix(), "errors-and-faults/resolve");
    assert_eq!(resolve.coverage, Coverage::Measured);

    let mut deviated = good();
    deviated[1] = experiment("hang-primary", true, None);
    let mut unrecovered = good();
    unrecovered[0].recovery_ms = None;
    let mut unnamed = drill(good());
    unnamed.said.assets.clear();
    let cases = [
        ("another policy", room(drill(good()), "8"), respond, "another policy"),
        ("deviated", room(drill(deviated), "7"), respond, "three answers were lost"),
        ("one missing", room(drill(good()[..1].to_vec()), "7"), respond, "never drilled"),
        ("no recovery", room(drill(unrecovered), "7"), "errors-and-faults/resolve", "no recovery"),
        ("no policy named", room(unnamed, "7"), respond, "names no policy"),
    ];
    for (name, room, id, said) in cases {
        let cell = at(&room.matrix(), id);
        assert_eq!(cell.coverage, Coverage::Missing, "{name}");
        assert!(cell.note.contains(said), "{name}: {}", cell.note);
        assert_eq!(cell.next, "`proofmark drill`");
    }
    let mut old = room(drill(good()), "7");
    old.now = "2027-06-01T00:00:00Z".into();
    assert!(at(&old.matrix(), respond).note.contains("older than 180 days"));
    let mut other = room(drill(good()), "7");
    other.change("model/mlp");
    assert!(at(&other.matrix(), respond).note.contains("another `model/mlp`"));
}

#[test]
fn a_run_about_other_files_measures_nothing_today() {
    let mut room = Room::settled(0.6);
    assert_eq!(at(&room.matrix(), "evasion/control").coverage, Coverage::Measured);
    room.change("model/mlp");
    let cell = at(&room.matrix(), "evasion/control");
    assert_eq!(cell.coverage, Coverage::Missing);
    assert!(cell.note.contains("changed since: model/mlp"), "{}", cell.note);
    assert_eq!(cell.next, "`proofmark assess`");
    let mut room = Room::settled(0.6);
    room.now = "2027-03-01T00:00:00Z".into();
    let cell = at(&room.matrix(), "evasion/control");
    assert!(cell.note.contains("older than the declared period"), "{}", cell.note);
}

#[test]
fn text_policies_and_treatments_without_figures_never_measure() {
    let mut room = Room::settled(0.6);
    let treat = crate::risk::Act::Treat {
        treatment: crate::risk::Treatment {
            id: "t".into(),
            order: Order::Design,
            what: "suppliers sign their data".into(),
            measure: None,
            cells: vec!["data-poisoning/detect".into()],
            owner: "boss".into(),
            not_enough: vec![],
        },
    };
    room.say_as("owner", "row-data-poisoning", treat).unwrap();
    room.extra = Box::new(|world| world.guard = Some(guard(&[])));
    let matrix = room.matrix();
    let cell = at(&matrix, "data-poisoning/detect");
    assert_eq!(cell.coverage, Coverage::Declared);
    assert_eq!(
        (cell.measure.as_str(), cell.owner.as_str()),
        ("suppliers sign their data", "Bo Boss")
    );
    let policy = at(&matrix, "ict-underneath/prevent");
    assert_eq!(policy.coverage, Coverage::Declared);
    assert!(policy.note.contains("stated, not measured"), "{}", policy.note);
    assert_eq!(matrix.count(Coverage::Measured), 2, "accuracy and robust figures of the run");
    for row in &matrix.rows {
        for cell in &row.cells {
            assert!(!cell.next.is_empty(), "{:?}/{:?} has no next step", row.threat, cell.verb);
            assert!(!cell.owner.is_empty(), "{:?}/{:?} has no owner", row.threat, cell.verb);
        }
    }
}

#[test]
fn an_open_incident_stands_in_the_row_that_it_touches() {
    let mut room = Room::settled(0.6);
    room.extra = Box::new(|world| {
        world.triggers.push(Trigger {
            time: START.into(),
            kind: TriggerKind::Incident,
            what: "incident `inc-1` is open".into(),
            next: "proofmark incident show inc-1".into(),
            rows: vec![],
            risks: vec!["row-data-poisoning".into()],
            everything: false,
            open: true,
        });
    });
    let matrix = room.matrix();
    let cell = at(&matrix, "data-poisoning/respond");
    assert!(cell.note.contains("inc-1") && cell.next.contains("incident show inc-1"));
    assert!(!at(&matrix, "data-poisoning/prevent").note.contains("inc-1"));
    assert!(!at(&matrix, "evasion/respond").note.contains("inc-1"));
}
