//! Packs written from a run of the fake runner, checked by the evidence crate.

use std::collections::BTreeMap;
use std::process::Command;

use proofmark_evidence::anchor::Anchor;
use proofmark_evidence::entry::Entry;
use proofmark_evidence::keys::LogKey;
use proofmark_evidence::note::sign_line;

use super::*;
use crate::fixture::{Desk, FakeRunner, system};

fn options(desk: &Desk) -> DossierOptions<'static> {
    DossierOptions { with_rows: false, log_key: desk.log_key, anchors: vec![], papers: None }
}

fn write(desk: &mut Desk, options: &DossierOptions<'_>) -> Result<DossierReport, DossierError> {
    let runs = history::history(&desk.log, &desk.store).unwrap();
    let run = &runs.iter().rev().find(|r| r.ended.is_some()).unwrap().run;
    let assessment = crate::assessment::load(&desk.log, &desk.store, run).unwrap();
    let out = desk.dir.path().join("dossier");
    let now = || "2026-11-22T16:00:00Z".to_owned();
    dossier(&mut desk.register(&now), &system(), &assessment, &out, options)
}

fn written() -> (Desk, DossierReport) {
    let mut desk = Desk::new();
    desk.assess(&system(), &mut FakeRunner::default()).unwrap();
    let options = options(&desk);
    let report = write(&mut desk, &options).unwrap();
    (desk, report)
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|i| i.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn a_dossier_verifies_and_is_logged() {
    let (desk, report) = written();
    let check = verify_pack(&report.dir, Some(&report.signer));
    assert_eq!(check.verdict(), format!("consistent; signed by {}", report.signer));
    assert!(check.demo);
    assert!(report.facts > 100, "{} facts", report.facts);
    assert_eq!((report.artefacts, report.withheld, report.erased), (1, 1, 0));
    assert!(!report.replaced);
    let last = Entry::parse(&desk.log.leaf(desk.log.size() - 1).unwrap()).unwrap();
    assert_eq!(last.kind, EntryKind::Pack);
    assert_eq!(last.extra["manifest"], report.manifest.hex());
    let wanted = [
        "facts.json",
        "measurements.json",
        "plan.json",
        "runs.json",
        "system.json",
        "verdicts.json",
    ];
    assert_eq!(names(&report.dir.join("data")), wanted);
    assert_eq!(names(&report.dir.join("attestations")).len(), 6);
    assert_eq!(names(&report.dir.join("proofs")).len(), 8);
}

#[test]
fn one_figure_changed_in_the_page_is_found() {
    let (_desk, report) = written();
    let path = report.dir.join("report.html");
    let page = fs::read_to_string(&path).unwrap();
    let changed = page.replacen(">76.5 %<", ">79.5 %<", 1);
    assert_ne!(page, changed);
    fs::write(&path, changed).unwrap();
    let check = verify_pack(&report.dir, None);
    let failed: Vec<&str> =
        check.checks.iter().filter(|c| !c.ok).map(|c| c.name.as_str()).collect();
    assert_eq!(failed, ["manifest", "report"]);
}

#[test]
fn the_shell_verifier_agrees() {
    let tools = ["openssl", "jq", "xxd"];
    let there = |tool: &&str| Command::new(tool).arg("--help").output().is_ok();
    if !tools.iter().all(there) {
        return; // the same checks run in Rust above
    }
    let (_desk, report) = written();
    let run =
        || Command::new("sh").arg(report.dir.join("verify.sh")).arg(&report.dir).output().unwrap();
    let good = run();
    assert!(good.status.success(), "{}", String::from_utf8_lossy(&good.stdout));
    let facts = report.dir.join("data/facts.json");
    let text = fs::read_to_string(&facts).unwrap();
    fs::write(&facts, text.replacen("76.5 %", "79.5 %", 1)).unwrap();
    assert!(!run().status.success());
}

#[test]
fn rows_are_handed_out_only_on_demand() {
    let mut desk = Desk::new();
    desk.assess(&system(), &mut FakeRunner::default()).unwrap();
    let options = DossierOptions { with_rows: true, ..options(&desk) };
    let report = write(&mut desk, &options).unwrap();
    assert_eq!((report.artefacts, report.withheld), (2, 0));
    let rows = Digest::of(b"rows").hex();
    assert!(names(&report.dir.join("artefacts")).contains(&rows));
    let options = DossierOptions { with_rows: false, ..options };
    let report = write(&mut desk, &options).unwrap();
    assert!(report.replaced);
    assert!(!names(&report.dir.join("artefacts")).contains(&rows), "the old pack is gone");
    assert!(verify_pack(&report.dir, Some(&report.signer)).authenticated);
}

#[test]
fn what_was_erased_is_not_in_the_pack() {
    let mut desk = Desk::new();
    desk.assess(&system(), &mut FakeRunner::default()).unwrap();
    let erasure = desk.store.erase(&Digest::of(b"rows"), "asked to").unwrap();
    desk.register(&String::new).log(&[erasure.entry("2026-11-22T15:30:00Z")]).unwrap();
    let options = DossierOptions { with_rows: true, ..options(&desk) };
    let report = write(&mut desk, &options).unwrap();
    assert_eq!((report.artefacts, report.erased), (1, 1));
    let check = verify_pack(&report.dir, Some(&report.signer));
    assert!(check.authenticated, "{}", check.verdict());
    assert_eq!(check.erased, [erasure]);
}

#[test]
fn a_folder_that_is_no_pack_is_left_alone() {
    let mut desk = Desk::new();
    desk.assess(&system(), &mut FakeRunner::default()).unwrap();
    let out = desk.dir.path().join("dossier");
    fs::create_dir(&out).unwrap();
    fs::write(out.join("report.html"), "mine").unwrap();
    let options = options(&desk);
    let error = write(&mut desk, &options).unwrap_err();
    assert!(matches!(error, DossierError::NotOurs(_)), "{error}");
    assert_eq!(fs::read_to_string(out.join("report.html")).unwrap(), "mine");
    fs::remove_file(out.join("report.html")).unwrap();
    assert!(!write(&mut desk, &options).unwrap().replaced, "an empty folder may be used");
    let left = names(desk.dir.path());
    assert!(!left.iter().any(|n| n.contains("proofmark-")), "{left:?}");
}

#[test]
fn a_pack_that_a_crash_left_aside_is_put_back() {
    let (desk, report) = written();
    let places = Places::of(&report.dir).unwrap();
    fs::rename(&report.dir, &places.former).unwrap();
    fs::create_dir(&places.partial).unwrap();
    fs::write(places.partial.join("report.html"), "half").unwrap();
    places.restore().unwrap();
    assert!(verify_pack(&report.dir, Some(&report.signer)).authenticated);
    let mut desk = desk;
    let options = options(&desk);
    assert!(write(&mut desk, &options).unwrap().replaced);
}

#[test]
fn a_file_in_the_way_and_a_folder_without_a_name_are_refused() {
    let mut desk = Desk::new();
    desk.assess(&system(), &mut FakeRunner::default()).unwrap();
    fs::write(desk.dir.path().join("dossier"), "a file").unwrap();
    let options = options(&desk);
    assert!(matches!(write(&mut desk, &options), Err(DossierError::NotOurs(_))));
    assert!(matches!(Places::of(Path::new("/")), Err(DossierError::Unnamed(_))));
    assert!(matches!(Places::of(Path::new("a/..")), Err(DossierError::Unnamed(_))));
}

#[test]
fn the_same_run_gives_the_same_report_again() {
    let (mut desk, report) = written();
    let first = fs::read(report.dir.join("report.html")).unwrap();
    let facts = fs::read(report.dir.join("data/facts.json")).unwrap();
    let options = options(&desk);
    let again = write(&mut desk, &options).unwrap();
    assert_eq!(fs::read(again.dir.join("report.html")).unwrap(), first);
    assert_eq!(fs::read(again.dir.join("data/facts.json")).unwrap(), facts);
}

#[test]
fn an_anchor_is_named_for_what_it_covers() {
    let mut desk = Desk::new();
    desk.assess(&system(), &mut FakeRunner::default()).unwrap();
    let after = cosigned("after", &desk);
    let mut options = options(&desk);
    options.anchors.push(after);
    let report = write(&mut desk, &options).unwrap();
    let page = fs::read_to_string(report.dir.join("report.html")).unwrap();
    assert!(page.contains("made after the run started"));
    assert!(page.contains("attested by the provider&#39;s own key only"), "not the order");
    // The same plan, run again, was registered before this anchor and started after it.
    desk.assess(&system(), &mut FakeRunner::default()).unwrap();
    let report = write(&mut desk, &options).unwrap();
    let page = fs::read_to_string(report.dir.join("report.html")).unwrap();
    assert!(page.contains("before the run started"));
    assert!(!page.contains("own key only"));
    assert!(verify_pack(&report.dir, Some(&report.signer)).authenticated);
}

fn cosigned(name: &str, desk: &Desk) -> Anchor {
    let key = LogKey::generate().unwrap();
    let checkpoint = desk.log.checkpoint_text().to_owned();
    let text = proofmark_evidence::note::Note::parse(&checkpoint).unwrap().text().to_owned();
    let line = sign_line("witness", &key, &text).unwrap();
    let vkey = Verifier::new("witness", key.public()).unwrap().vkey();
    Anchor::cosignature(name, &checkpoint, &line, &vkey).unwrap()
}

#[test]
fn a_declaration_changed_after_the_run_is_said() {
    let mut desk = Desk::new();
    let assessment = desk.assess(&system(), &mut FakeRunner::default()).unwrap();
    let mut changed = system();
    changed.purpose = "another one".into();
    let out = desk.dir.path().join("dossier");
    let options = options(&desk);
    let now = || "2026-11-22T16:00:00Z".to_owned();
    dossier(&mut desk.register(&now), &changed, &assessment, &out, &options).unwrap();
    let page = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(page.contains("declaration was changed after this run"));
    assert!(page.contains("decides on small loans") && !page.contains("another one"));
}

#[test]
fn no_row_and_no_witness_reaches_the_log_or_the_page() {
    let (desk, report) = written();
    let mut bytes: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    bytes.insert("page".into(), fs::read(report.dir.join("report.html")).unwrap());
    desk.log
        .for_each_leaf(|index, leaf| {
            bytes.insert(index.to_string(), leaf.to_vec());
            Ok(())
        })
        .unwrap();
    let rows = Digest::of(b"rows").hex();
    assert!(!report.dir.join("artefacts").join(rows).exists());
    for (name, bytes) in bytes {
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("witnesses.npz"), "{name}");
    }
}

/// Stands for the worker: the paper itself.
struct Plain;

impl Press for Plain {
    fn set(&self, paper: &proofmark_schema::paper::Paper) -> Result<Vec<u8>, String> {
        if paper.id == "fail-safe" {
            return Err("no ink".to_owned());
        }
        assert!(paper.attachments.iter().any(|a| a.name == "facts.json"));
        Ok(serde_json::to_vec(paper).unwrap())
    }
}

fn with_papers(desk: &mut Desk) -> DossierReport {
    let assets = crate::fixture::assets();
    let world = crate::standing::World::read(&desk.log, &desk.store).unwrap();
    let declared = system();
    let now = "2026-11-23T00:00:00Z";
    let present = crate::standing::Present { system: &declared, assets: &assets, now };
    let papers = PapersWith { world: &world, present, press: Ok(&Plain) };
    let options = DossierOptions { papers: Some(papers), ..options(desk) };
    write(desk, &options).unwrap()
}

#[test]
fn papers_lie_in_the_pack_and_are_held_against_their_facts() {
    let mut desk = Desk::new();
    desk.assess(&system(), &mut FakeRunner::default()).unwrap();
    let report = with_papers(&mut desk);
    let check = verify_pack(&report.dir, Some(&report.signer));
    assert!(check.authenticated, "{:#?}", check.checks);
    let names = names(&report.dir.join("papers"));
    assert_eq!(names.len(), 5 * 3 - 1, "one paper has no PDF: {names:?}");
    let failed: Vec<_> = report.papers.iter().filter_map(|p| p.pdf.as_ref().err()).collect();
    assert_eq!(failed, ["no ink"]);
    let logged = crate::papers::written::papers(&desk.log, &desk.store).unwrap();
    assert_eq!(logged.len(), 1);
    for record in &logged[0].said.papers {
        let page = fs::read(report.dir.join(format!("papers/{}.html", record.id))).unwrap();
        assert_eq!(record.html, Digest::of(&page).hex());
    }
    // The same log gives the same papers, but for the time of what they rest on.
    let again = with_papers(&mut desk);
    let pdf = |r: &DossierReport| r.papers.iter().map(|p| p.pdf.clone()).collect::<Vec<_>>();
    assert_eq!(pdf(&again), pdf(&report));
}

#[test]
fn a_changed_figure_of_a_paper_is_found() {
    let mut desk = Desk::new();
    desk.assess(&system(), &mut FakeRunner::default()).unwrap();
    let report = with_papers(&mut desk);
    let page = report.dir.join("papers/instructions.html");
    let html = fs::read_to_string(&page).unwrap();
    fs::write(&page, html.replace("76.5 %", "96.5 %")).unwrap();
    let failed = |dir: &Path| -> Vec<String> {
        let report = verify_pack(dir, None);
        report.checks.into_iter().filter(|c| !c.ok).map(|c| c.name).collect()
    };
    assert_eq!(failed(&report.dir), ["manifest", "paper instructions"]);
    fs::remove_file(&page).unwrap();
    assert_eq!(failed(&report.dir), ["manifest", "papers", "papers"]);
}
