//! Cases from opening to closing on a real log, and everything that must be refused.

use std::cell::RefCell;

use proofmark_evidence::durable::OsFs;
use proofmark_schema::clock::clock_rules;
use proofmark_schema::incident::{
    Awareness, Frozen, FrozenFile, Ground, HOLD_FILE, Harm, Known, Party,
};
use proofmark_schema::system::Person;

use super::report::{Draft, page, report as draft};
use super::*;
use crate::clock::ClockState;
use crate::fixture::{Desk, system as fixture_system};
use crate::predicate::ArtefactRef;

const OPENED: &str = "2026-11-22T15:30:00Z";

fn system() -> System {
    let mut system = fixture_system();
    system.people.push(Person {
        id: "quality".into(),
        name: "Kim Example".into(),
        role: "quality manager".into(),
    });
    system
}

fn kim() -> Actor {
    Actor { person: Some("quality".into()), name: "Kim Example".into(), role: "quality".into() }
}

fn stranger() -> Actor {
    Actor { person: None, name: "someone".into(), role: String::new() }
}

fn facts() -> IncidentFacts {
    IncidentFacts {
        what: "applicants were refused".into(),
        occurred: Some("2026-11-22T10:00:00Z".into()),
        detected: Some("2026-11-22T12:00:00Z".into()),
        aware: vec![Awareness { at: "2026-11-22T15:00:00Z".into(), who: Party::Provider }],
        harm: vec![Harm::Rights],
        member_states: vec!["DE".into()],
        ground: Ground::AnnexIii,
        personal_data: Suspicion::No,
        ..IncidentFacts::default()
    }
}

fn freeze() -> Freeze {
    Freeze {
        frozen: Frozen {
            models: vec![FrozenFile { name: "mlp".into(), sha256: "c".repeat(64) }],
            declaration: "b".repeat(64),
            guard_policy: Some("e".repeat(64)),
            guard_checkpoint: None,
            log_checkpoint: "note".into(),
        },
        copies: vec![],
    }
}

fn opening(facts: IncidentFacts) -> Deed {
    let freeze = facts.is_serious().then(freeze);
    let (reading, rules) = (Reading::Text, clock_rules().clone());
    Deed::Open(Box::new(Opening { facts, reading, rules, freeze }))
}

fn updated(facts: IncidentFacts, because: Option<&str>) -> Deed {
    let changed = vec!["x".to_owned()];
    let because = because.map(str::to_owned);
    Deed::Update(Box::new(Update { facts, changed, because, freeze: None }))
}

fn kept(name: &str) -> ArtefactRef {
    ArtefactRef {
        name: name.into(),
        media_type: "text/html".into(),
        sha256: "f".repeat(64),
        personal: true,
    }
}

fn reported(id: &str, form: &str, clocks: &[&str]) -> Deed {
    Deed::Report(ReportMade {
        id: id.into(),
        form: form.into(),
        clocks: clocks.iter().map(|c| (*c).to_owned()).collect(),
        covers: vec![],
        gaps: vec![],
        document: kept("r.html"),
        data: kept("r.json"),
    })
}

fn received(id: &str, report: &str, at: &str) -> Receipt {
    Receipt {
        id: id.into(),
        report: report.into(),
        authority: "market surveillance".into(),
        channel: "mail".into(),
        reference: format!("ref of {id}"),
        at: at.into(),
        member_state: Some("DE".into()),
        late_because: None,
        file: None,
    }
}

fn released(receipt: Option<&str>, because: Option<&str>) -> Deed {
    let owned = |t: Option<&str>| t.map(str::to_owned);
    Deed::Release(Release { receipt: owned(receipt), because: owned(because) })
}

fn closed(passed: bool, started: &str) -> Deed {
    let run = "run-2-00000000".to_owned();
    let retest = Retest { run, verdicts: "a".repeat(64), started: started.into(), passed };
    Deed::Close(Closing { retest: Some(retest), because: None })
}

/// A log with a clock that can be set.
struct Office {
    desk: Desk,
    now: RefCell<String>,
    system: System,
}

impl Office {
    fn new() -> Self {
        Self { desk: Desk::new(), now: RefCell::new(OPENED.into()), system: system() }
    }

    fn opened() -> Self {
        let mut office = Self::new();
        office.act(opening(facts())).unwrap();
        office
    }

    fn at(&mut self, now: &str) -> &mut Self {
        *self.now.borrow_mut() = now.to_owned();
        self
    }

    fn act(&mut self, deed: Deed) -> Result<Incident, IncidentError> {
        self.act_as("inc-1", &kim(), deed)
    }

    fn act_as(&mut self, id: &str, by: &Actor, deed: Deed) -> Result<Incident, IncidentError> {
        let now = &self.now;
        let clock = || now.borrow().clone();
        let subjects = [AssetDigest { name: "declaration".into(), sha256: "b".repeat(64) }];
        record(&mut self.desk.register(&clock), &self.system, id, by, deed, &subjects)
    }

    fn refused(&mut self, deed: Deed) -> String {
        let before = self.desk.log.size();
        let error = self.act(deed).unwrap_err().to_string();
        assert_eq!(self.desk.log.size(), before, "a refused deed left a trace");
        error
    }

    fn all(&self) -> Vec<Incident> {
        incidents(&self.desk.log, &self.desk.store).unwrap()
    }
}

#[test]
fn a_case_from_opening_to_closing_is_the_fold_of_its_log() {
    let mut office = Office::opened();
    office.act(reported("inc-1-r1", "aia-73", &["CK-1"])).unwrap();
    let open = &office.all()[0];
    assert!(open.is_open() && open.holds());
    assert_eq!(open.severity(), Severity::Serious);
    let running = open.due("2026-11-22T16:00:00Z").unwrap();
    assert_eq!(running.len(), 1, "a report alone stops nothing");
    office.at("2026-11-23T10:00:00Z");
    office.act(Deed::Receipt(received("inc-1-q1", "inc-1-r1", "2026-11-23T09:00:00Z"))).unwrap();
    office.act(released(Some("inc-1-q1"), None)).unwrap();
    let last = office.act(closed(true, "2026-11-23T08:00:00Z")).unwrap();
    let all = office.all();
    assert_eq!(all[0], last, "what a deed returns is what the log folds to");
    assert!(!last.is_open() && !last.holds());
    let state = last.clocks("2027-01-01T00:00:00Z").unwrap()[0].state;
    assert_eq!(state, ClockState::Met);
    let deeds: Vec<&str> = last.deeds.iter().map(|d| d.said.deed.title()).collect();
    assert_eq!(deeds, ["opened", "report written", "receipt", "hold released", "closed"]);
}

#[test]
fn facts_that_cannot_be_are_refused() {
    type Change = fn(&mut IncidentFacts);
    let cases: &[(&str, Change, &str)] = &[
        ("aware tomorrow", |f| f.aware[0].at = "2026-11-23T15:00:00Z".into(), "in the future"),
        ("occurred tomorrow", |f| f.occurred = Some("2027-01-01T00:00:00Z".into()), "future"),
        (
            "occurred after detected",
            |f| f.occurred = Some("2026-11-22T13:00:00Z".into()),
            "`occurred` (2026-11-22T13:00:00Z) comes after `detected`",
        ),
        (
            "detected after aware",
            |f| f.detected = Some("2026-11-22T15:10:00Z".into()),
            "after `aware`",
        ),
        ("a slip in the year", |f| f.aware[0].at = "0206-11-22T15:00:00Z".into(), "year"),
        ("no zone", |f| f.aware[0].at = "2026-11-22T15:00:00".into(), "not a time in UTC"),
        ("nobody aware", |f| f.aware.clear(), "`aware` is empty"),
        ("nothing happened", |f| f.what = "  \n".into(), "`what` is empty"),
        ("ten megabytes", |f| f.what = "x".repeat(10 << 20), "10485760 bytes, at most 20000"),
        ("a terminal escape", |f| f.people = "x\u{1b}[2J".into(), "`people` holds control"),
        ("text turned around", |f| f.cause = "a\u{202e}b".into(), "`cause` holds control"),
        ("no such state", |f| f.member_states = vec!["XX".into()], "`XX` is no Member State"),
        ("a state twice", |f| f.member_states.push("DE".into()), "twice"),
        ("a death without harm to health", |f| f.death = true, "`health`"),
        (
            "an exploit of no product",
            |f| {
                let at = "2026-11-22T15:00:00Z".to_owned();
                f.exploited = Some(Known { at, evidence: "logs".into() });
            },
            "product with digital elements",
        ),
        ("a million risks", |f| f.risks = vec!["r".into(); 1000], "more than 64"),
    ];
    for (name, change, words) in cases {
        let mut facts = facts();
        change(&mut facts);
        let error = Office::new().refused(opening(facts));
        assert!(error.contains(words), "{name}: {error}");
        assert!(error.len() < 400, "{name}: an error repeats hostile input");
    }
}

#[test]
fn what_fits_no_case_is_refused() {
    let mut office = Office::new();
    let error = office.refused(updated(facts(), None));
    assert!(error.contains("no incident `inc-1`"), "{error}");
    let mut office = Office::opened();
    let cases: Vec<(&str, Deed, &str)> = vec![
        ("a second opening", opening(facts()), "the next incident is `inc-2`"),
        (
            "a receipt for no report",
            Deed::Receipt(received("q", "inc-1-r9", "2026-11-22T15:10:00Z")),
            "no report `inc-1-r9`",
        ),
        ("a report for no clock", reported("r", "aia-73", &[]), "no clock runs"),
        ("a report on an unknown clock", reported("r", "aia-73", &["CK-99"]), "`CK-99`"),
        ("a report on what did not start", reported("r", "cra-72", &["CK-5-v"]), "no report"),
        ("a report in another form", reported("r", "gdpr-33", &["CK-1"]), "`aia-73`"),
        ("a close during the hold", closed(true, OPENED), "still holds"),
        ("a release without anything", released(None, None), "--receipt"),
        ("a release with no such receipt", released(Some("q9"), None), "no receipt `q9`"),
        (
            "an update of nothing",
            Deed::Update(Box::new(Update {
                facts: facts(),
                changed: vec![],
                because: None,
                freeze: None,
            })),
            "nothing new",
        ),
        (
            "a decision on a clock that does not run",
            Deed::Waive(Waiver { clock: "CK-13".into(), because: "x".into() }),
            "does not run",
        ),
    ];
    for (name, deed, words) in cases {
        let error = office.refused(deed);
        assert!(error.contains(words), "{name}: {error}");
    }
}

#[test]
fn a_closed_case_stays_closed() {
    let mut office = Office::opened();
    office.act(released(None, Some("a false alarm"))).unwrap();
    let error = office.refused(closed(true, "2026-11-23T08:00:00Z"));
    assert!(error.contains("clocks still run: CK-1"), "{error}");
    let waiver = Waiver { clock: "CK-1".into(), because: "no harm was done after all".into() };
    office.act(Deed::Waive(waiver)).unwrap();
    for (deed, words) in [
        (closed(false, "2026-11-23T08:00:00Z"), "did not pass"),
        (closed(true, "2026-11-20T08:00:00Z"), "before the incident"),
        (Deed::Close(Closing { retest: None, because: None }), "--retest"),
    ] {
        let error = office.refused(deed);
        assert!(error.contains(words), "{error}");
    }
    office.act(closed(true, "2026-11-23T08:00:00Z")).unwrap();
    for deed in [closed(true, "2026-11-23T08:00:00Z"), updated(facts(), None)] {
        let error = office.refused(deed);
        assert!(error.contains("was closed at"), "{error}");
    }
    let shown = office.all()[0].clocks("2027-01-01T00:00:00Z").unwrap()[0].clone();
    assert_eq!(shown.state, ClockState::Waived, "not reported stays visible");
}

#[test]
fn only_a_person_of_the_declaration_sets_something_aside() {
    let mut office = Office::opened();
    let waiver = Waiver { clock: "CK-1".into(), because: "x".into() };
    for deed in [Deed::Waive(waiver), released(None, Some("x"))] {
        let error = office.act_as("inc-1", &stranger(), deed).unwrap_err().to_string();
        assert!(error.contains("no person of the declaration (quality)"), "{error}");
    }
    // Whoever sees the fire may say so, and contain it.
    let contain = Containment { action: Action::Stop, what: "stopped".into(), at: OPENED.into() };
    office.act_as("inc-1", &stranger(), Deed::Contain(contain)).unwrap();
}

#[test]
fn an_update_that_postpones_a_clock_needs_a_reason_and_a_person() {
    let mut office = Office::opened();
    office.at("2026-11-23T10:00:00Z");
    let mut later = facts();
    later.aware[0].at = "2026-11-23T09:00:00Z".into();
    let mut harmless = facts();
    harmless.harm.clear();
    for facts in [later.clone(), harmless] {
        let error = office.refused(updated(facts, None));
        assert!(error.contains("CK-1 would end later"), "{error}");
    }
    let typo = updated(later, Some("the day was mistyped"));
    assert!(office.act_as("inc-1", &stranger(), typo.clone()).is_err());
    office.act(typo).unwrap();
    let mut earlier = facts();
    earlier.aware.push(Awareness { at: "2026-11-22T14:00:00Z".into(), who: Party::Deployer });
    office.act(updated(earlier, None)).unwrap();
    let due = office.all()[0].due("2026-11-23T11:00:00Z").unwrap();
    assert_eq!(due[0].due.as_deref(), Some("2026-12-07T14:00:00Z"));
    assert_eq!(office.all()[0].deeds.len(), 3, "what was said before stays");
}

#[test]
fn an_update_that_makes_a_case_serious_freezes() {
    let mut office = Office::new();
    let mut small = facts();
    small.harm.clear();
    office.act(opening(small)).unwrap();
    assert!(!office.all()[0].holds());
    let error = office.refused(updated(facts(), None));
    assert!(error.contains("freezes"), "{error}");
    let update = Update {
        facts: facts(),
        changed: vec!["harm".into()],
        because: None,
        freeze: Some(freeze()),
    };
    office.act(Deed::Update(Box::new(update))).unwrap();
    assert!(office.all()[0].holds());
}

#[test]
fn a_change_during_a_hold_needs_a_notice_and_is_then_permitted() {
    let mut office = Office::opened();
    let change = |notice: &str, told: &str| {
        Deed::Change(Change {
            what: "a retrained model".into(),
            notice: notice.into(),
            authority: "market surveillance".into(),
            told: told.into(),
            file: None,
            models: vec![FrozenFile { name: "mlp".into(), sha256: "d".repeat(64) }],
            guard_policy: None,
        })
    };
    let error = office.refused(change("", OPENED));
    assert!(error.contains("--notice") && error.contains("contain"), "{error}");
    let error = office.refused(change("N-1", "2026-11-22T15:31:00Z"));
    assert!(error.contains("future"), "{error}");
    assert!(office.act_as("inc-1", &stranger(), change("N-1", OPENED)).is_err());
    let hold = hold::current(&office.all(), "credit").unwrap();
    assert!(!hold.permits_model("mlp", &"d".repeat(64)));
    office.act(change("N-1", OPENED)).unwrap();
    let hold = hold::current(&office.all(), "credit").unwrap();
    assert!(
        hold.permits_model("mlp", &"d".repeat(64)) && hold.permits_model("mlp", &"c".repeat(64))
    );
    assert!(!hold.permits_model("mlp", &"a".repeat(64)));
    office.act(released(None, Some("the authority has its copy"))).unwrap();
    assert!(hold::current(&office.all(), "credit").is_none());
    let error = office.refused(change("N-2", OPENED));
    assert!(error.contains("holds nothing"), "{error}");
}

#[test]
fn the_first_of_two_holds_stays_until_it_is_lifted() {
    let mut office = Office::opened();
    office.at("2026-11-22T16:00:00Z");
    office.act_as("inc-2", &kim(), opening(facts())).unwrap();
    let hold = hold::current(&office.all(), "credit").unwrap();
    assert_eq!((hold.incident.as_str(), hold.also.as_slice()), ("inc-1", &["inc-2".into()][..]));
    office.act(released(None, Some("done"))).unwrap();
    let hold = hold::current(&office.all(), "credit").unwrap();
    assert_eq!((hold.incident.as_str(), hold.also.len()), ("inc-2", 0));
}

#[test]
fn the_file_of_the_hold_is_a_cache_that_can_be_lost() {
    let office = Office::opened();
    let hold = hold::current(&office.all(), "credit");
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(hold::load(dir.path()).unwrap(), None);
    hold::save(&OsFs, dir.path(), hold.as_ref()).unwrap();
    assert_eq!(hold::load(dir.path()).unwrap(), hold);
    for damage in ["", "{}", "{\"format\":\"proofmark.hold/9\"}"] {
        std::fs::write(dir.path().join(HOLD_FILE), damage).unwrap();
        assert!(hold::load(dir.path()).is_err(), "{damage}: damage is not `nothing is held`");
    }
    hold::save(&OsFs, dir.path(), None).unwrap();
    assert_eq!(hold::load(dir.path()).unwrap(), None);
    hold::save(&OsFs, dir.path(), None).unwrap();
}

#[test]
fn receipts_are_checked_against_report_state_and_time() {
    let mut office = Office::new();
    let mut facts = facts();
    facts.member_states = vec!["DE".into(), "FR".into()];
    facts.personal_data = Suspicion::Yes;
    office.act(opening(facts)).unwrap();
    office.act(reported("inc-1-r1", "aia-73", &["CK-1"])).unwrap();
    office.act(reported("inc-1-r2", "gdpr-33", &["CK-13"])).unwrap();
    office.at("2026-12-01T00:00:00Z");
    let base = || received("inc-1-q1", "inc-1-r1", "2026-11-23T09:00:00Z");
    let late =
        || Receipt { member_state: None, ..received("q", "inc-1-r2", "2026-11-30T00:00:00Z") };
    let cases = [
        (Receipt { at: "2027-01-01T00:00:00Z".into(), ..base() }, "in the future"),
        (Receipt { at: "2026-11-22T14:00:00Z".into(), ..base() }, "older than the event"),
        (Receipt { member_state: Some("IT".into()), ..base() }, "`IT` is not among"),
        (Receipt { member_state: None, ..base() }, "whose receipt"),
        (Receipt { reference: " ".into(), ..base() }, "`reference` is empty"),
        (Receipt { authority: "a\u{7}".into(), ..base() }, "control"),
        (late(), "--late-because"),
    ];
    for (receipt, words) in cases {
        let error = office.refused(Deed::Receipt(receipt));
        assert!(error.contains(words), "{words}: {error}");
    }
    office.act(Deed::Receipt(base())).unwrap();
    let error = office.refused(Deed::Receipt(base()));
    assert!(error.contains("recorded already"), "{error}");
    let reasoned = Receipt { late_because: Some("found late".into()), ..late() };
    let after = office.act(Deed::Receipt(reasoned)).unwrap();
    let clocks = after.clocks("2026-12-01T00:00:00Z").unwrap();
    let state = |id: &str| clocks.iter().find(|c| c.rule == id).unwrap().state;
    assert_eq!((state("CK-1"), state("CK-13")), (ClockState::Running, ClockState::MetLate));
    // A receipt of the data-protection authority does not lift a hold under the AI Act.
    let error = office.refused(released(Some("q"), None));
    assert!(error.contains("AI Act"), "{error}");
}

#[test]
fn a_case_keeps_the_rules_it_was_opened_with() {
    let mut office = Office::new();
    let mut rules = clock_rules().clone();
    rules.edition = 99;
    rules.rules[0].limit = proofmark_schema::clock::Limit::Days(30);
    let opening = Opening { facts: facts(), reading: Reading::Text, rules, freeze: Some(freeze()) };
    office.act(Deed::Open(Box::new(opening))).unwrap();
    let kept = &office.all()[0];
    assert_eq!(kept.rules.edition, 99);
    let due = kept.due("2026-11-23T00:00:00Z").unwrap();
    assert_eq!(due[0].due.as_deref(), Some("2026-12-22T15:00:00Z"));
}

#[test]
fn rules_in_a_circle_open_no_case() {
    let mut rules = clock_rules().clone();
    rules.rules[0].start = proofmark_schema::clock::Start::Filed { clock: "CK-1".into() };
    let opening = Opening { facts: facts(), reading: Reading::Text, rules, freeze: Some(freeze()) };
    let error = Office::new().refused(Deed::Open(Box::new(opening)));
    assert!(error.contains("wait for each other"), "{error}");
}

#[test]
fn a_damaged_log_is_told_and_nothing_is_guessed() {
    let office = Office::opened();
    let digest = office.all()[0].deeds[0].stored.bundle.hex();
    let path = office.desk.dir.path().join("artefacts").join(&digest[..2]).join(&digest[2..]);
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    assert!(incidents(&office.desk.log, &office.desk.store).is_err());
    std::fs::remove_file(&path).unwrap();
    assert!(incidents(&office.desk.log, &office.desk.store).is_err());
}

#[test]
fn deeds_that_do_not_fit_together_are_a_damaged_log() {
    let office = Office::opened();
    let first = office.all()[0].deeds[0].clone();
    let mut stray = first.clone();
    stray.said.deed = released(None, Some("x"));
    assert!(matches!(fold(vec![stray.clone()]), Err(IncidentError::Leaf { .. })));
    assert!(matches!(fold(vec![first.clone(), first.clone()]), Err(IncidentError::Leaf { .. })));
    let mut end = first.clone();
    end.said.deed = closed(true, OPENED);
    let error = fold(vec![first, end, stray]).unwrap_err().to_string();
    assert!(error.contains("closed"), "{error}");
}

fn report_on(
    incident: &Incident,
    clock: &str,
    covers: &[&str],
) -> Result<report::Report, report::ReportError> {
    let now = "2026-11-23T00:00:00Z";
    let clocks: Vec<Clock> =
        incident.clocks(now).unwrap().into_iter().filter(|c| c.rule == clock).collect();
    let covers: Vec<String> = covers.iter().map(|c| (*c).to_owned()).collect();
    let system = system();
    let draft_of =
        Draft { incident, system: &system, clocks: &clocks, covers: &covers, by: "Kim", now };
    draft(&draft_of)
}

#[test]
fn a_report_prints_its_gaps_and_invents_nothing() {
    let office = Office::opened();
    let made = report_on(&office.all()[0], "CK-1", &[]).unwrap();
    assert_eq!(made.gaps, ["reporter", "found", "harm", "impact", "measures", "other-authorities"]);
    assert!(made.may_be_incomplete && made.demo);
    let page = page(&made).unwrap();
    assert_eq!(page.matches("GAP: not known yet").count(), 8, "{page}");
    assert!(page.contains("DEMO") && page.contains("2026-12-07T15:00:00Z"), "{page}");
    let text = serde_json::to_string(&made).unwrap();
    assert_eq!(serde_json::from_str::<report::Report>(&text).unwrap(), made);
}

#[test]
fn hostile_text_stays_text_in_the_page() {
    let mut office = Office::new();
    let mut facts = facts();
    facts.people = "<script>alert(1)</script>\n\"&'".into();
    office.act(opening(facts)).unwrap();
    let page = page(&report_on(&office.all()[0], "CK-1", &[]).unwrap()).unwrap();
    assert!(!page.contains("<script>"), "{page}");
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;<br>"), "{page}");
}

#[test]
fn a_warning_covers_the_notice_only_when_nothing_of_it_is_missing() {
    let mut office = Office::new();
    let mut facts = facts();
    (facts.harm, facts.product) = (vec![], true);
    let at = "2026-11-22T15:00:00Z".to_owned();
    facts.exploited = Some(Known { at, evidence: "logs".into() });
    facts.reporter = "Kim, street, town".into();
    office.act(opening(facts.clone())).unwrap();
    let error = report_on(&office.all()[0], "CK-4-v", &["CK-5-v"]).unwrap_err().to_string();
    assert!(error.contains("impact") && error.contains("measures"), "{error}");
    for text in [
        &mut facts.nature,
        &mut facts.impact,
        &mut facts.measures_taken,
        &mut facts.measures_planned,
        &mut facts.user_measures,
    ] {
        *text = "known".into();
    }
    office.act(updated(facts, None)).unwrap();
    let made = report_on(&office.all()[0], "CK-4-v", &["CK-5-v"]).unwrap();
    assert_eq!((made.gaps.len(), made.covers.as_slice()), (0, &["CK-5-v".to_owned()][..]));
    let other = reported("r", "cra-24-v", &["CK-4-v"]);
    let Deed::Report(mut claims) = other else { unreachable!() };
    claims.covers = vec!["CK-7".into()];
    let error = office.refused(Deed::Report(claims));
    assert!(error.contains("CK-7"), "{error}");
}
